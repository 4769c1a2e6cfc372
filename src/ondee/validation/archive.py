"""The file of sums: every day once, written whole; days are added to it, and files of shards are put together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr

from ondee.bundle import read_about
from ondee.errors import StoreError
from ondee.source.groups import group_names, read_attributes, read_group, write_groups
from ondee.validation.record import day_of_rows, growing, read_record, stacked

__all__ = ["SUMS", "DayFile", "Entry", "Part", "SumsFile", "choose", "require_alike", "write_sums"]

SUMS = "sums.nc"
_DAYS = "days"


@dataclass(frozen=True)
class Entry:
    """One day of a file of sums.

    Parameters
    ----------
    signature, around
        Of the files of the day, and of those around it.
    counts
        What was compared.
    """

    signature: str
    around: str
    counts: Mapping[str, Any]


class Part(Protocol):
    """Something that holds sums of days."""

    @property
    def days(self) -> Mapping[str, Entry]:
        """ISO date → what is known of the day."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Names of its tables."""
        ...

    def read(self, name: str) -> xr.Dataset:
        """One table, of its days only."""
        ...


class DayFile:
    """The record of one day.

    Parameters
    ----------
    path
        Its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        about = read_about(path)
        if about is None:
            raise StoreError("the record of a day cannot be read", where=path, fix="remove it, and run again")
        self.days = {about["day"]: Entry(about["signature"], about["around"], about["counts"])}
        self.names = list(about["tables"])

    def read(self, name: str) -> xr.Dataset:
        """One table."""
        return read_record(self.path, [name]).tables[name]


class SumsFile:
    """A file of sums, or some of its days.

    Parameters
    ----------
    path
        ``sums.nc``.
    days
        Days that are taken; all where None.

    Raises
    ------
    StoreError
        If it cannot be read.
    """

    def __init__(self, path: Path, days: Iterable[str] | None = None) -> None:
        self.path = path
        if not path.is_file():
            raise StoreError(
                f"there is no {SUMS}, and so no result of a validation",
                where=path.parent,
                fix="give the folder that `ondee validate --out` wrote",
            )
        try:
            self.about: dict[str, Any] = json.loads(read_attributes(path)["about"])
            held = read_group(path, _DAYS)
            self.names = [name for name in group_names(path) if name != _DAYS]
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(
                "this file is damaged, or no result of a validation",
                where=path,
                fix="give the folder that `ondee validate --out` wrote, or remove the file and validate again",
            ) from error
        rows = zip(*(held[name].values.tolist() for name in ("day", "signature", "around", "counts")), strict=True)
        known = {str(day): Entry(str(own), str(around), json.loads(counts)) for day, own, around, counts in rows}
        chosen = known if days is None else set(days)
        self.days = {day: entry for day, entry in known.items() if day in chosen}
        self._all = len(self.days) == len(known)

    def read(self, name: str) -> xr.Dataset:
        """One table, of the days that are taken."""
        table = read_group(self.path, name)
        if self._all:
            return table
        days = np.array(sorted(self.days), "datetime64[D]")
        return table.isel({growing(name): np.flatnonzero(np.isin(day_of_rows(table, name), days))})


def choose(parts: Sequence[SumsFile]) -> list[SumsFile]:
    """Files of sums with each day in one of them only.

    Parameters
    ----------
    parts
        Files of shards.

    Raises
    ------
    StoreError
        If they were made in different ways, or give a day from different files.
    """
    if not parts:
        raise StoreError("no folder is given", where="combine", fix="give folders that `ondee validate --out` wrote")
    owner: dict[str, int] = {}
    for number, part in enumerate(parts):
        require_alike(parts[0].about, part.about, where=f"{parts[0].path} and {part.path}", also=("rules",))
        for day, entry in part.days.items():
            first = owner.setdefault(day, number)
            other = parts[first].days[day]
            if (other.signature, other.around) != (entry.signature, entry.around):
                raise StoreError(
                    f"the day {day} is in both, and was made from different files",
                    where=f"{parts[first].path} and {part.path}",
                    fix="give each day to one shard: --shard 1/4, or --start and --end, on the same files",
                )
    return [
        SumsFile(part.path, [day for day in part.days if owner[day] == number]) for number, part in enumerate(parts)
    ]


def require_alike(one: Mapping[str, Any], other: Mapping[str, Any], *, where: object, also: Sequence[str] = ()) -> None:
    """Refuse sums that were made in different ways.

    Parameters
    ----------
    one, other
        What files of sums say of themselves.
    where
        The files, for the error.
    also
        Further entries in which they must agree.

    Raises
    ------
    StoreError
        If they were.
    """
    for key in ("settings", "cells", "grid", "imerg", "radar", "reading", "format", *also):
        if one.get(key) != other.get(key):
            ours, theirs = one.get(key), other.get(key)
            if isinstance(ours, dict) and isinstance(theirs, dict):
                inner = next(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
                key, ours, theirs = f"{key}: {inner}", ours.get(inner), theirs.get(inner)
            raise StoreError(
                f"these sums were made in two ways ({key}): {str(ours)[:80]} and {str(theirs)[:80]}",
                where=where,
                fix="use the same settings and products, another --out, or --force to begin anew",
            )


def write_sums(path: Path, parts: Sequence[Part], about: Mapping[str, Any]) -> None:
    """Write the sums of all days into one file, a table at a time.

    Parameters
    ----------
    path
        ``sums.nc``; it is replaced.
    parts
        Parts whose days differ.
    about
        How they were made.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    entries = {day: entry for part in parts for day, entry in part.days.items()}
    order = sorted(entries)
    days = xr.Dataset(
        {
            "day": ("entry", np.array(order, dtype=str)),
            "signature": ("entry", np.array([entries[day].signature for day in order], dtype=str)),
            "around": ("entry", np.array([entries[day].around for day in order], dtype=str)),
            "counts": (
                "entry",
                np.array([json.dumps(entries[day].counts, sort_keys=True) for day in order], dtype=str),
            ),
        }
    )

    def groups() -> Iterator[tuple[str, xr.Dataset]]:
        """Tables, one in memory at a time."""
        yield _DAYS, days
        for name in sorted({name for part in parts for name in part.names}):
            tables = [part.read(name) for part in parts if name in part.names and part.days]
            tables = [table for table in tables if table.sizes[growing(name)]]
            if tables:
                yield name, stacked(tables, name)

    write_groups(path, groups(), {"about": json.dumps(about, sort_keys=True)})
