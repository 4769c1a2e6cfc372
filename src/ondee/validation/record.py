"""Tables of sums that grow along one dimension each: a day's in a bundle, put together in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.bundle import read_bundle, write_bundle
from ondee.errors import StoreError

__all__ = [
    "Record",
    "day_of_rows",
    "growing",
    "grown",
    "read_record",
    "stacked",
    "write_record",
]

_GROWING = {"sums": "row", "fields": "row", "evidence": "view", "maps": "day", "cases": "time"}
"""First part of the name of a table → the dimension along which it grows."""
_KEYS = ("time", "day", "comparison", "source", "class")
"""Coordinates along that dimension by which entries are sorted, so that no order of work can be seen."""


@dataclass
class Record:
    """What one day gave.

    Parameters
    ----------
    day
        ISO date.
    signature, around
        Of the day's own files, and of those of the days around it.
    counts
        What was compared: half hours and so on.
    tables
        Name → Dataset that grows along one dimension.
    """

    day: str
    signature: str
    around: str
    counts: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, xr.Dataset] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the tables."""
        return list(self.tables)


def growing(name: str) -> str:
    """Dimension along which a table grows.

    Examples
    --------
    >>> growing("sums/minute/point")
    'row'
    """
    return _GROWING[name.split("/")[0]]


def grown(table: xr.Dataset, name: str) -> xr.Dataset:
    """A table in the order of its keys.

    Parameters
    ----------
    table, name
        The table and its name.
    """
    dim = growing(name)
    keys = [table.coords[key].values for key in _KEYS if key in table.coords and table.coords[key].dims == (dim,)]
    order = np.lexsort(keys[::-1])
    return table if (np.diff(order) == 1).all() else table.isel({dim: order})


def day_of_rows(table: xr.Dataset, name: str) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """Day of each entry of a table.

    Parameters
    ----------
    table, name
        The table and its name.
    """
    return table["day" if growing(name) == "day" else "time"].values.astype("datetime64[D]")


def stacked(parts: Sequence[xr.Dataset], name: str) -> xr.Dataset:
    """Put tables of several days together, sorted by their keys.

    Parameters
    ----------
    parts
        At least one; what does not grow is equal in all of them.
    name
        Name of the table.

    Raises
    ------
    StoreError
        If they do not belong together.
    """
    first, dim = parts[0], growing(name)
    for part in parts[1:]:
        for own in first.variables:
            one, other = first.variables[own], part.variables.get(own)
            if other is None or (dim not in one.dims and not np.array_equal(one.values, other.values)):
                raise StoreError(
                    f"sums of {name} differ in {own}",
                    where=name,
                    fix="put together sums that were made with the same settings on the same cells",
                )
    made = {
        own: (variable.dims, _joined([part.variables[own] for part in parts], dim), variable.attrs)
        for own, variable in first.variables.items()
    }
    coordinates = {own: made.pop(own) for own in first.coords}
    return grown(xr.Dataset(made, coords=coordinates, attrs=first.attrs), name)


def _joined(variables: Sequence[xr.Variable], dim: str) -> np.ndarray[Any, np.dtype[Any]]:
    first = variables[0]
    if dim not in first.dims or len(variables) == 1:
        return first.values
    return np.concatenate([variable.values for variable in variables], axis=first.dims.index(dim))


def write_record(record: Record, path: Path) -> None:
    """Write the record of a day; it appears whole or not at all.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    about = {
        "day": record.day,
        "signature": record.signature,
        "around": record.around,
        "counts": record.counts,
        "tables": record.names,
    }
    write_bundle(path, about, record.tables, packed=True)


def read_record(path: Path, names: Sequence[str] | None = None) -> Record:
    """Read the record of a day.

    Parameters
    ----------
    path
        The file.
    names
        Tables that are wanted; all where None.
    """
    about, tables = read_bundle(path, names)
    return Record(about["day"], about["signature"], about["around"], about["counts"], tables)
