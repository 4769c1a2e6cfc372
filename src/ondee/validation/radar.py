"""Radar frames on the satellite's cells, a few hours at a time, and what happened inside each cell."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.area import weights
from ondee.collocation.calendar import HALF_HOUR, overlap, step_of
from ondee.collocation.reading import Reading
from ondee.collocation.regrid import apply, apply_statistics
from ondee.errors import GridError, ReadError
from ondee.grid import Grid
from ondee.source import identity, require_same
from ondee.source.granule import Granule
from ondee.units import tag

__all__ = ["AFTER", "BEFORE", "Frame", "Radar"]

BEFORE, AFTER = np.timedelta64(35, "m"), np.timedelta64(65, "m")
"""Frames that a half hour may look at: from so long before its start to so long after it."""
_EVEN = 1e-4
_SECOND = np.timedelta64(1, "s")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """One frame on the cells: ``rain (y, x)`` in mm h-1, NaN where too little of the cell was observed."""

    start: np.datetime64
    end: np.datetime64
    rain: Floats


@dataclass
class _Sum:
    """The half hour on the radar's own pixels, added up frame by frame."""

    total: Floats
    seen: Floats

    def add(self, rain: Floats, share: float) -> None:
        observed = np.isfinite(rain)
        self.total += np.where(observed, rain * np.float32(share), np.float32(0))
        self.seen += observed * np.float32(share)


@dataclass
class Radar:
    """Frames of a day in order of time, each read once and held at full resolution only while it is added up.

    Parameters
    ----------
    pieces
        Granules in order of time.
    reading
        How they are read.
    cells
        Cells of the comparison.
    grid, identity
        What all files must agree on.
    coverage, time_coverage
        Smallest observed share of a cell in each frame, and of a half hour.
    first
        Start of the first half hour whose cells are looked into.
    """

    pieces: Sequence[Granule]
    reading: Reading
    cells: Grid
    grid: Grid
    identity: Mapping[str, str]
    coverage: float
    time_coverage: float
    first: np.datetime64
    held: deque[Frame] = field(default_factory=deque)
    _sums: dict[np.datetime64, _Sum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._frames = self._read()
        self._last: np.datetime64 | None = None

    def around(self, start: np.datetime64) -> list[Frame]:
        """Frames from :data:`BEFORE` a half hour to :data:`AFTER` its start; half hours are asked for in order.

        Raises
        ------
        OndeeError
            If a file cannot be read, or files do not belong together.
        """
        while self._last is None or self._last < start + AFTER:
            frame = next(self._frames, None)
            if frame is None:
                break
            self.held.append(frame)
            self._last = frame.end
        while self.held and self.held[0].start < start - BEFORE:
            self.held.popleft()
        return [frame for frame in self.held if frame.end <= start + AFTER]

    def close(self) -> None:
        """Let go of all fields: the frames to come refer back to this object, so that nothing else would soon."""
        self._frames.close()
        self._sums.clear()
        self.held.clear()

    def inside(self, start: np.datetime64) -> tuple[Floats, Floats, Floats]:
        """Wet fraction, maximum (mm h-1) and coefficient of variation in each cell of a half hour's mean.

        Parameters
        ----------
        start
            Of a half hour for which :meth:`around` was called.
        """
        held = self._sums.pop(start, None)
        for earlier in [one for one in self._sums if one < start]:
            del self._sums[earlier]
        if held is None:
            return tuple(np.full(self.cells.shape, np.nan, np.float32) for _ in range(3))  # type: ignore[return-value]
        enough = (held.seen >= self.time_coverage - _EVEN) & (held.seen > 0)
        mean = np.divide(held.total, held.seen, out=np.full(held.total.shape, np.nan, np.float32), where=enough)
        matrix = weights(self.grid, self.cells)
        share = apply(matrix, mean)[1]
        found = apply_statistics(matrix, mean)
        for values in found:
            values[share < self.coverage - _EVEN] = np.nan
        return found

    def _read(self) -> Generator[Frame, None, None]:
        """Frames in order of time."""
        matrix, last = weights(self.grid, self.cells), None
        for piece in self.pieces:
            where = piece.paths[0]
            dataset = self.reading.read(piece)
            require_same(self.identity, identity(dataset), where=where)
            if not Grid.of(dataset, where=where).same_as(self.grid):
                raise GridError(
                    f"the grid changes: {self.grid.describe()}, then {Grid.of(dataset).describe()}",
                    where=where,
                    fix="give radar files of one grid",
                )
            rain = dataset["rain_rate"].values
            for index, (start, end) in enumerate(np.asarray(dataset["time_bounds"].values)):
                if last is not None and start < last:
                    raise ReadError(
                        f"frames overlap in time: one ends {_told(last)}, the next starts {_told(start)}",
                        where=where,
                        fix="keep each frame once, or give what a frame stands for: --interval 5,end (minutes,label)",
                    )
                last = end
                values = np.asarray(rain[index], np.float32)
                self._add(start, end, values)
                mean, share = apply(matrix, values)
                mean[(share < self.coverage - _EVEN) | (share == 0)] = np.nan
                yield Frame(start, end, mean)

    def _add(self, start: np.datetime64, end: np.datetime64, values: Floats) -> None:
        """Add a frame to the half hours that it shares time with."""
        half_hour = step_of(start, HALF_HOUR)
        while half_hour < end:
            if half_hour >= self.first:
                bounds = np.array([[start, end]])
                share = float(overlap(bounds, np.array([half_hour]), np.array([half_hour + HALF_HOUR]))[0, 0])
                held = self._sums.get(half_hour)
                if held is None:
                    held = self._sums[half_hour] = _Sum(
                        np.zeros(values.shape, np.float32), np.zeros(values.shape, np.float32)
                    )
                held.add(values, share / float(HALF_HOUR / _SECOND))
            half_hour = half_hour + HALF_HOUR


def _told(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "s"))


def as_dataset(frames: Sequence[Frame], cells: Grid) -> xr.Dataset:
    """Frames as a Dataset of rain with intervals.

    Parameters
    ----------
    frames
        At least one.
    cells
        Their grid.
    """
    bounds = np.array([[frame.start, frame.end] for frame in frames], "datetime64[ns]")
    rain = tag(
        xr.DataArray(np.stack([frame.rain for frame in frames]), dims=("time", "y", "x")),
        "rain_rate",
        grid_mapping="crs",
    )
    coordinates = {"time": bounds[:, 0], "time_bounds": (("time", "bounds"), bounds), **cells.coordinates()}
    return xr.Dataset({"rain_rate": rain}, coords=coordinates)
