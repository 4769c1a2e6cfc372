"""One day of a validation: its half hours one after the other, its sums written whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.reading import Reading
from ondee.errors import GridError
from ondee.grid import Grid
from ondee.region import Region
from ondee.source import identity, require_same
from ondee.source.granule import Granule
from ondee.validation.evidence import EVIDENCE, View, evidence, evidence_coordinates
from ondee.validation.half_hour import HalfHour, half_hour, quantities_of
from ondee.validation.maps import DayMaps
from ondee.validation.passes import Passes
from ondee.validation.radar import Frame, Radar
from ondee.validation.record import Record, grown, write_record
from ondee.validation.settings import Settings
from ondee.validation.sources import ALL, MICROWAVE, name_of
from ondee.validation.strata import BY_TIME, cuts
from ondee.validation.sums import Cells, Fields, field_sums, pointwise_sums

__all__ = ["Day", "validate_day"]

_MOST_CASES = 4
"""Half hours of one day that may become pictures."""
_CASE = ("rain_rate", "radar_mean", "radar_overpass", "microwave_source", "microwave_minute", "quality_index")
_MINUTE = np.timedelta64(60, "s")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Day:
    """One task.

    Parameters
    ----------
    day
        ISO date.
    imerg
        Granules of the day, and of the hours before it, in order of time.
    radar
        Granules of the day and around it, in order of time.
    reading, region, cells, grid, imerg_identity, radar_identity, height
        As in :class:`~ondee.validation.inputs.Inputs`.
    settings
        How to compare.
    signature, around
        Of the files of the day, and of those around it.
    record
        Where the sums are written.
    """

    day: str
    imerg: tuple[Granule, ...]
    radar: tuple[Granule, ...]
    reading: Reading
    region: Region
    cells: Grid
    grid: Grid
    imerg_identity: Mapping[str, str]
    radar_identity: Mapping[str, str]
    height: Floats | None
    settings: Settings
    signature: str
    around: str
    record: Path


@dataclass
class _Tally:
    """What the half hours of a day leave behind."""

    cells: list[Cells] = field(default_factory=list)
    fields: list[Fields] = field(default_factory=list)
    evidence: list[tuple[np.datetime64, int, dict[str, NDArray[np.float64]]]] = field(default_factory=list)
    starts: list[np.datetime64] = field(default_factory=list)
    cases: list[tuple[float, HalfHour]] = field(default_factory=list)


def validate_day(task: Day) -> str:
    """Compare one day and write its record.

    Parameters
    ----------
    task
        The day.

    Returns
    -------
    str
        The day.

    Raises
    ------
    OndeeError
        If files cannot be read or do not belong together, or the record cannot be written.
    """
    begin = np.datetime64(task.day, "ns")
    known = cuts(task.settings)
    settings = task.settings
    radar = Radar(
        task.radar,
        task.reading,
        task.cells,
        task.grid,
        task.radar_identity,
        settings.coverage,
        settings.time_coverage,
        begin,
    )
    passes, tally, maps = Passes(task.cells.shape), _Tally(), DayMaps(task.cells, settings)
    counts = {"half_hours": 0, "half_hours_without_radar": 0}
    for granule in task.imerg:
        start = np.datetime64(granule.times[0])
        satellite = _read(granule, task)
        frames = radar.around(start) if start >= begin else []
        made = half_hour(start, satellite, frames, task.cells, settings)
        passed = made.source > 0
        if start >= begin:
            if np.isfinite(made.mean).any():
                counts["half_hours"] += 1
                age = passes.age(start, passed, settings.ages[-1])
                made.quantities = quantities_of(made, satellite, age, radar.inside(start), task.height)
                _add(made, frames, tally, maps, known, task)
            else:
                counts["half_hours_without_radar"] += 1
        passes.add(start, passed, made.minute)
    radar.close()
    record = Record(task.day, task.signature, task.around, counts)
    record.tables = {name: grown(table, name) for name, table in _tables(tally, maps, known, task).items()}
    write_record(record, task.record)
    return task.day


def _read(granule: Granule, task: Day) -> xr.Dataset:
    """One granule, cut to the cells."""
    dataset = granule.read(task.region)
    where = granule.paths[0]
    if task.imerg_identity:
        require_same(task.imerg_identity, identity(dataset), where=where)
    if not Grid.of(dataset, where=where).same_as(task.cells):
        raise GridError(
            f"the part of IMERG that the radar covers changes: {task.cells.describe()}, then "
            f"{Grid.of(dataset).describe()}",
            where=where,
            fix="give IMERG files of one cut, all over the whole Earth or all of one region",
        )
    return dataset


def _add(
    made: HalfHour, frames: Sequence[Frame], tally: _Tally, maps: DayMaps, known: Mapping[str, Any], task: Day
) -> None:
    """Add a half hour to the day."""
    number = len(tally.starts)
    tally.starts.append(made.start)
    classes = {
        name: cut.classes(made.quantities[name])
        for name, cut in known.items()
        if name not in BY_TIME and name in made.quantities
    }
    groups = [int(source) for source in np.unique(made.source)]
    for comparison, (estimate, truth, valid) in enumerate(made.pairs()):
        if not valid.any():
            continue
        size = int(valid.sum())
        tally.cells.append(
            Cells(
                np.full(size, number, np.int16),
                np.full(size, comparison, np.int8),
                made.source[valid],
                estimate[valid],
                truth[valid],
                {name: values[valid] for name, values in classes.items()},
            )
        )
        for source in (*groups, MICROWAVE, ALL):
            chosen = valid & _of(made.source, source)
            if chosen.any():
                hole = np.float32(np.nan)
                view = np.where(chosen, estimate, hole), np.where(chosen, truth, hole)
                tally.fields.append(Fields(number, comparison, source, *view))
        maps.add(comparison, estimate, truth, valid, made.source > 0)
    _add_evidence(made, frames, groups, tally, task)
    _offer(made, tally, min(_MOST_CASES, task.settings.cases))


def _of(sources: NDArray[np.int16], source: int) -> NDArray[np.bool_]:
    """Cells of a source, or of several together."""
    if source == ALL:
        return np.ones(sources.shape, bool)
    return sources > 0 if source == MICROWAVE else sources == source


def _add_evidence(made: HalfHour, frames: Sequence[Frame], groups: Sequence[int], tally: _Tally, task: Day) -> None:
    """What the finding of faults needs of every view that holds rain."""
    wet = task.settings.thresholds[0]
    stack = np.stack([frame.rain for frame in frames])
    bounds = np.array(
        [[(edge - made.start) / _MINUTE for edge in (frame.start, frame.end)] for frame in frames], np.float64
    )
    for source in groups:
        own = made.source == source
        estimate = np.where(own, made.estimate, np.float32(np.nan))
        rains = (made.estimate >= wet) | (made.mean >= wet)
        if not (rains & own & np.isfinite(made.estimate) & np.isfinite(made.mean)).any():
            continue
        view = View(
            start=made.start,
            source=name_of(source),
            code=max(source, 0),
            estimate=estimate,
            minute=np.where(own & made.timed, made.minute, np.float32(np.nan)),
        )
        tally.evidence.append((made.start, source, evidence(view, stack, bounds, task.cells)))


def _offer(made: HalfHour, tally: _Tally, most: int) -> None:
    """Keep the half hours with most rain."""
    tally.cases.append((float(np.nansum(made.mean)), made))
    tally.cases.sort(key=lambda case: (-case[0], case[1].start))
    del tally.cases[most:]


# ---- the day


def _tables(tally: _Tally, maps: DayMaps, known: Mapping[str, Any], task: Day) -> dict[str, xr.Dataset]:
    """All that a day gives."""
    if not tally.starts:
        return {}
    starts = np.array(tally.starts, "datetime64[ns]")
    coordinates = task.cells.coordinates()
    made: dict[str, xr.Dataset] = {}
    if tally.cells:
        made |= pointwise_sums(_joined(tally.cells), starts, known, task.settings)
        made |= field_sums(tally.fields, starts, coordinates, task.settings)
        made |= maps.tables(np.datetime64(task.day, "ns"))
    if tally.evidence:
        made["evidence"] = _evidence_of(tally, np.datetime64(task.day, "ns"))
    if tally.cases and tally.cases[0][0] > 0:
        made["cases"] = _cases(tally, coordinates)
    return made


def _joined(parts: Sequence[Cells]) -> Cells:
    def put(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    classes = {name: np.concatenate([part.classes[name] for part in parts]) for name in parts[0].classes}
    return Cells(put("half_hour"), put("comparison"), put("source"), put("estimate"), put("truth"), classes)


def _evidence_of(tally: _Tally, day: np.datetime64) -> xr.Dataset:
    """Evidence of each source, added up over the day: a view alone takes 45 kB, and a month has thousands."""
    parts: dict[int, list[Mapping[str, NDArray[np.float64]]]] = {}
    for _, source, sums in tally.evidence:
        parts.setdefault(source, []).append(sums)
    sources = sorted(parts)
    data = {
        name: (("view", *dims), np.stack([np.sum([part[name] for part in parts[own]], axis=0) for own in sources]))
        for name, dims in EVIDENCE.items()
    }
    labels = {"time": ("view", np.full(len(sources), day)), "source": ("view", np.array(sources, np.int16))}
    return xr.Dataset(data, coords={**labels, **evidence_coordinates()})


def _cases(tally: _Tally, coordinates: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """The half hours with most rain as fields."""
    kept = [(total, made) for total, made in tally.cases if total > 0]
    data: dict[str, Any] = {}
    for name in _CASE:
        fields = [_picture(made, name) for _, made in kept]
        units = {"rain_rate": "mm h-1", "radar_mean": "mm h-1", "radar_overpass": "mm h-1", "microwave_minute": "min"}
        data[name] = (("time", "y", "x"), np.stack(fields), {"units": units.get(name, "1")})
    data["total"] = ("time", np.array([total for total, _ in kept]))
    times = np.array([made.start for _, made in kept], "datetime64[ns]")
    return xr.Dataset(data, coords={"time": times, **coordinates})


def _picture(made: HalfHour, name: str) -> Floats:
    fields = {
        "rain_rate": made.estimate,
        "radar_mean": made.mean,
        "radar_overpass": made.at_pass,
        "microwave_source": made.source.astype(np.float32),
        "microwave_minute": made.minute,
        "quality_index": made.quantities["quality_index"],
    }
    return fields[name]
