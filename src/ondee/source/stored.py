"""A store of ondee, one input of it at a time, under the names that any other product has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.grid import Region
from ondee.source.cf import opened, read_file
from ondee.source.cf_time import read_labels
from ondee.source.granule import Format, Period
from ondee.units import VOCABULARY

__all__ = ["FORMAT", "Stored", "inputs"]


def inputs(path: Path) -> tuple[str, ...]:
    """Names of the inputs of a store.

    Raises
    ------
    ReadError
        If the folder is no store.
    """
    try:
        found = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["ondee"]["inputs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadError(
            "this is no store of ondee", where=path, fix="make one with `ondee build CONFIG.yaml`"
        ) from error
    return tuple(map(str, found))


class Stored:
    """The format: a zarr that ``ondee build`` made."""

    name = "stored"
    long = True
    options: Mapping[str, str] = {"input": "which input of the store, by its name in the configuration"}

    def recognise(self, path: Path, head: bytes) -> bool:
        """Whether a folder is a store."""
        if not (path.is_dir() and (path / "zarr.json").is_file()):
            return False
        try:
            return bool(inputs(path))
        except ReadError:
            return False

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """One store, one group."""
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Starts of the steps in which any input has a frame."""
        with opened(paths[0]) as file:
            present = np.any([file[f"{name}_frames"].values > 0 for name in inputs(paths[0])], axis=0)
            return read_labels(file, "time", where=paths[0])[present]

    def read(
        self,
        paths: tuple[Path, ...],
        *,
        region: Region | None = None,
        period: Period | None = None,
        input: str | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Read the steps in which one input has frames.

        Parameters
        ----------
        paths
            One store.
        region
            West, south, east, north in degrees.
        period
            Starts of steps from the first moment on and before the second.
        input
            Name of the input; it may be left out if there is only one.
        **options
            None are known.

        Raises
        ------
        ConfigError
            If the store has no such input, or several and none is named.
        """
        (path,) = paths
        chosen = _chosen(path, input)
        with opened(path) as file:
            stored = [str(variable["name"]) for variable in file.attrs["ondee"]["variables"]]
            names = {
                name: quantity
                for name in stored
                if (quantity := name.removeprefix(f"{chosen}_")) != name and quantity in VOCABULARY
            }
            # A folder lists its members in any order; a store has one.
            machinery = [str(name) for name in file.data_vars if name not in stored]
            present = np.flatnonzero(file[f"{chosen}_frames"].values > 0)
            product = str(file[next(iter(names))].attrs.get("product", chosen))
            made = read_file(
                file[[*machinery, *names]].isel(time=present),
                where=path,
                region=region,
                period=period,
                names=names,
                product=f"{product}, input {chosen} of a store",
            )
        made.attrs.pop("ondee", None)
        return made.assign_attrs(store=path.name, input=chosen)


FORMAT: Format = Stored()


def _chosen(path: Path, wanted: str | None) -> str:
    """The input to read."""
    known = inputs(path)
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted not in known:
        what = "the store has several inputs" if wanted is None else f"the store has no input {wanted!r}"
        raise ConfigError(what, where=path, fix=f"say which: input={known[0]!r}; it has {', '.join(known)}")
    return str(wanted)
