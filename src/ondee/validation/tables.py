"""Sums by view, put into tables of blocks of days by comparison, source and class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.validation.archive import SumsFile
from ondee.validation.sources import ALL, MICROWAVE, is_microwave, name_of, ordered
from ondee.validation.strata import BY_TIME, Cut, time_classes
from ondee.validation.sums import COMPARISONS, SOURCE

__all__ = ["Blocks", "Counts", "blocks_of", "counts_of", "table_of"]

MOST_BLOCKS = 128
"""Above this number of days, blocks are of several days, which bounds memory."""
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Blocks:
    """Blocks of days.

    Parameters
    ----------
    days
        Length of a block, days.
    starts
        Start of each block that holds a day.
    """

    days: int
    starts: NDArray[np.datetime64]

    def number(self, times: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """Position of the block of each time."""
        return np.searchsorted(self.starts, _floored(times, self.days))

    @property
    def spelled(self) -> str:
        """Length as :func:`ondee.score.bootstrap` takes it."""
        return f"{self.days}D"


@dataclass(frozen=True)
class Counts:
    """How much there is, ``(source, class)``: half hours, those with rain, and days with rain."""

    views: NDArray[np.int64]
    rainy: NDArray[np.int64]
    days: NDArray[np.int64]


def blocks_of(days: Sequence[str]) -> Blocks:
    """Blocks that hold all days: of one day each, or of several where there would be more than 128.

    Parameters
    ----------
    days
        ISO dates.
    """
    times = np.array(sorted(days), "datetime64[D]")
    span = int((times[-1] - times[0]) / _DAY) + 1
    length = -(-span // MOST_BLOCKS)
    return Blocks(length, np.unique(_floored(times, length)))


def _floored(times: NDArray[np.datetime64], days: int) -> NDArray[np.datetime64]:
    number = times.astype("datetime64[D]").astype(np.int64) // days * days
    return number.astype("datetime64[D]").astype("datetime64[ns]")


def sources_in(tables: Sequence[xr.Dataset]) -> list[int]:
    """Sources of tables and the two totals, in order.

    Parameters
    ----------
    tables
        Sums by view.
    """
    found = {int(number) for table in tables for number in np.unique(table["source"].values)}
    return ordered(found | {MICROWAVE, ALL})


def table_of(sums: SumsFile, name: str, cut: Cut | None, blocks: Blocks, sources: Sequence[int]) -> xr.Dataset | None:
    """Sums of one score, ``(time, comparison, source[, class], …)``, `time` being blocks.

    Parameters
    ----------
    sums
        All sums.
    name
        Of the score: ``fractions`` and ``spectrum`` look at neighbours and hold their own totals, the rest is added up.
    cut
        How it is split; by source alone where None.
    blocks
        Blocks of days.
    sources
        Numbers of the sources of the result.
    """
    place = _place(sums, name, cut)
    if place is None:
        return None
    rows = sums.read(place)
    classes = _classes(rows, cut)
    size = 1 if cut is None else len(cut.labels)
    lookup = {number: position for position, number in enumerate(sources)}
    source = np.array([lookup.get(int(number), -1) for number in rows["source"].values])
    held = (source >= 0) & (classes >= 0)
    shape = (blocks.starts.size, len(COMPARISONS), len(sources), size)
    keys = (blocks.number(rows["time"].values), rows["comparison"].values.astype(int), source, classes)
    flat = np.ravel_multi_index([key[held] for key in keys], shape)
    order = np.argsort(flat, kind="stable")
    first = np.flatnonzero(np.diff(flat[order], prepend=-1))
    data, dims = {}, ("time", "comparison", "source", *(() if cut is None else (cut.name,)))
    for own, variable in rows.data_vars.items():
        if "row" not in variable.dims:
            data[str(own)] = (variable.dims, variable.values)
            continue
        inner = variable.values.shape[1:]
        made = np.zeros((int(np.prod(shape)), *inner))
        if first.size:
            made[flat[order][first]] = np.add.reduceat(variable.values[held][order], first, axis=0)
        made = made.reshape(*shape, *inner)
        if not place.startswith("fields/"):
            _add_totals(made, sources)
        data[str(own)] = ((*dims, *variable.dims[1:]), made if cut is not None else made[:, :, :, 0])
    coordinates = {
        key: value for key, value in rows.coords.items() if "row" not in value.dims and key not in ("y", "x")
    }
    labels = {"comparison": list(COMPARISONS), "source": [name_of(number) for number in sources]}
    if cut is not None:
        labels[cut.name] = list(cut.labels)
    return xr.Dataset(data, coords={**coordinates, "time": blocks.starts, **labels}, attrs=rows.attrs)


def counts_of(sums: SumsFile, cut: Cut | None, sources: Sequence[int]) -> Counts:
    """Half hours and days behind each source and class, in the comparison with the half-hour mean.

    Parameters
    ----------
    sums, cut, sources
        As in :func:`table_of`.
    """
    size = 1 if cut is None else len(cut.labels)
    shape = (len(sources), size)
    views, rainy, days = (np.zeros(shape, np.int64) for _ in range(3))
    place = _place(sums, "event", cut)
    if place is None:
        return Counts(views, rainy, days)
    rows = sums.read(place)
    rows = rows.isel(row=np.flatnonzero(rows["comparison"].values == 0))
    classes, number = _classes(rows, cut), rows["source"].values.astype(int)
    time = rows["time"].values
    wet = sum(rows[name].values[:, 0] for name in ("hits", "false_alarms", "misses")) > 0
    for position, source in enumerate(sources):
        own = number > 0 if source == MICROWAVE else number == source
        own |= source == ALL
        for index in range(size):
            here = own & (classes == index)
            views[position, index] = np.unique(time[here]).size
            rainy[position, index] = np.unique(time[here & wet]).size
            days[position, index] = np.unique(time[here & wet].astype("datetime64[D]")).size
    return Counts(views, rainy, days)


def _place(sums: SumsFile, name: str, cut: Cut | None) -> str | None:
    """Where the sums of a score lie."""
    split = SOURCE if cut is None or cut.name in BY_TIME else cut.name
    places = (
        (f"sums/{split}/{name}",)
        if cut is not None
        else (f"sums/{SOURCE}/{name}", f"sums/day/{name}", f"fields/{name}")
    )
    return next((place for place in places if place in sums.names), None)


def _classes(rows: xr.Dataset, cut: Cut | None) -> NDArray[np.int64]:
    if cut is None:
        return np.zeros(rows.sizes["row"], np.int64)
    if cut.name in BY_TIME:
        return time_classes(cut.name, rows["time"].values).astype(np.int64)
    return rows["class"].values.astype(np.int64)


def _add_totals(made: NDArray[np.float64], sources: Sequence[int]) -> None:
    """Fill in the totals of sensors and of all sources, on the third axis."""
    single = [position for position, number in enumerate(sources) if number not in (MICROWAVE, ALL)]
    sensors = [position for position in single if is_microwave(sources[position])]
    made[:, :, sources.index(MICROWAVE)] = made[:, :, sensors].sum(axis=2)
    made[:, :, sources.index(ALL)] = made[:, :, single].sum(axis=2)
