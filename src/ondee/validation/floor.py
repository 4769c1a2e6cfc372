"""The sampling floor: how badly a perfect sensor scores when its snapshot is compared with the half-hour mean.

A microwave sensor sees the rain of one minute; the usual reference is the mean of thirty. Radar compared with
itself says what that alone costs: every frame of a half hour, averaged to 0.1 degree, is scored against the
mean of all the frames of that half hour. No sensor can be blamed for an error that stays below this floor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.area import Weights, weights
from ondee.collocation.calendar import HALF_HOUR, overlap, step_of
from ondee.collocation.reading import Reading
from ondee.collocation.regrid import apply
from ondee.errors import ConfigError, ReadError
from ondee.grid import Grid, Region
from ondee.progress import track
from ondee.score.resampling import block_length
from ondee.source import identity, require_same
from ondee.source.assembly import Label
from ondee.source.granule import Granule
from ondee.validation.tally import Frame, Tally, Window

__all__ = ["cells_of", "floor"]

_LOCAL_CELL = 10_000.0
"""Cell of a local plane, m: a tenth of a degree of latitude, rounded to the tens of kilometres of the plane."""


def floor(
    items: Sequence[Granule],
    *,
    region: Region | None = None,
    quality: float | None = None,
    interval: tuple[float, Label] | None = None,
    coverage: float = 0.95,
    block: str = "1h",
    replicates: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Score radar snapshots against the half-hour mean of the same radar, at 0.1 degree.

    Parameters
    ----------
    items
        Radar granules, from :func:`ondee.source.granules`; read one at a time, so that any archive fits in memory.
    region
        West, south, east, north in degrees; None for all.
    quality
        Lowest quality kept (0–1); None keeps all.
    interval
        Minutes and label of each frame (``(5, "start")``), where the product leaves them open.
    coverage
        Smallest observed share of a cell, in each frame.
    block
        Length of a bootstrap block in time (``"1h"``, ``"1D"``). While there are fewer than 30 of them, a block
        is also a tile of 10 × 10 cells in space.
    replicates
        Bootstrap replicates.
    seed
        Seed of the bootstrap.

    Returns
    -------
    xarray.Dataset
        Against ``population`` and ``minute`` of the snapshot (0…29): ``correlation`` and ``normalised_rmse`` (over the
        mean rain of the population); against ``threshold`` and ``minute``: ``probability_of_detection`` and
        ``false_alarm_ratio``; against ``population`` and ``lag`` (min): ``lag_correlation``. Each has companions
        ``_low`` and ``_high``, the 2.5 and 97.5 percentiles over blocks. NaN where a score is not defined.
        The population ``"rain"`` holds the cells in which it rained at any moment of the half hour.

    Raises
    ------
    ReadError
        If no half hour is completely observed, or frames overlap.
    UnitError
        If the files hold no rain rate or amount.
    ConfigError
        If a setting cannot be used.
    """
    span = block_length(block)
    if replicates < 100:
        raise ConfigError(
            f"{replicates} replicates are too few for an interval", where="replicates", fix="use 1000, at least 100"
        )
    reader = _Reader(region, quality, interval, coverage)
    tally: Tally | None = None
    recent: deque[Window] = deque(maxlen=3)
    first: np.datetime64 | None = None
    last: np.datetime64 | None = None
    for window in _windows(reader.frames(items)):
        if tally is None:
            tally = Tally(_tiles(window.mean.shape), span)
        tally.add(window)
        first, last = window.start if first is None else first, window.start + HALF_HOUR
        recent.append(window)
        for earlier in recent:
            tally.pair(earlier, window)
    if tally is None:
        raise ReadError(
            "no half hour is complete: not one has all its frames",
            where=reader.product or "radar",
            fix="open a longer piece, or say what the frames stand for: --interval 5,start (minutes, label)",
        )
    made = tally.scores(replicates=replicates, seed=seed)
    assert reader.target is not None
    return made.assign_attrs(
        title="Sampling floor: radar snapshot against the half-hour mean of the same radar",
        product=reader.product,
        period=f"{_minute(first)} to {_minute(last)}",
        resolution=f"{reader.target.dx:g} {reader.target.unit}",
        time_label=reader.label,
        minimum_coverage=coverage,
        quality_threshold="none" if quality is None else str(quality),
    )


def _minute(time: np.datetime64 | None) -> str:
    return "" if time is None else str(np.datetime_as_string(time, "m"))


def cells_of(grid: Grid, step: float = 0.1) -> Grid:
    """Cells of IMERG's lattice that hold a grid: multiples of 0.1 degree, or of 10 km on a local plane.

    Parameters
    ----------
    grid
        The radar's grid.
    step
        Cell size in degrees.
    """
    if grid.is_local:
        nx, ny = int(grid.nx * grid.dx // _LOCAL_CELL), int(grid.ny * grid.dy // _LOCAL_CELL)
        if min(nx, ny) < 1:
            raise ConfigError(
                "the radar image is smaller than one cell of 10 km", where=grid.describe(), fix="use a larger image"
            )
        return Grid(grid.crs, grid.west, grid.north, _LOCAL_CELL, _LOCAL_CELL, nx, ny)
    return Grid.lattice(grid.region(), step)


class _Reader:
    """Radar granules as frames on the cells of the comparison."""

    def __init__(
        self, region: Region | None, quality: float | None, interval: tuple[float, Label] | None, coverage: float
    ) -> None:
        self.reading, self.coverage = Reading(region, quality, interval), coverage
        self.target: Grid | None = None
        self.product, self.label = "", ""
        self.reference: dict[str, str] | None = None

    def frames(self, items: Sequence[Granule]) -> Iterator[Frame]:
        """Frames in order of time, averaged to the cells."""
        pieces = [piece for granule in items for piece in granule.pieces()]
        for granule in track(pieces, "reading radar"):
            dataset = self._prepared(granule)
            matrix = self._weights(Grid.of(dataset))
            bounds = dataset["time_bounds"].values
            rain = dataset["rain_rate"]
            for index, (start, end) in enumerate(bounds):
                value, share = apply(matrix, np.asarray(rain.values[index], np.float32))
                value[share < self.coverage - 1e-5] = np.nan
                yield Frame(start, end, value)

    def _prepared(self, granule: Granule) -> xr.Dataset:
        """One granule as a masked rain rate with intervals."""
        dataset = self.reading.read(granule)
        own = identity(dataset)
        self.reference = self.reference or own
        require_same(self.reference, own, where=granule.paths[0])
        if dataset["rain_rate"].dims != ("time", "y", "x"):
            raise ConfigError(
                f"the rain has the dimensions {dataset['rain_rate'].dims}; (time, y, x) is needed",
                where=granule.paths[0],
                fix="give radar rain; of an ensemble one member at a time, as with --option member=0",
            )
        self.product = str(dataset.attrs.get("product", ""))
        self.label = str(dataset["time"].attrs.get("label", ""))
        return dataset

    def _weights(self, source: Grid) -> Weights:
        if self.target is None:
            self.target = cells_of(source)
        return weights(source, self.target)


def _windows(frames: Iterable[Frame]) -> Iterator[Window]:
    """Half hours that their frames cover wholly, in order of time."""
    held: list[Frame] = []
    start: np.datetime64 | None = None
    for frame in frames:
        if held and frame.start < held[-1].end:
            raise ReadError(
                f"frames overlap in time: one ends {held[-1].end}, the next starts {frame.start}",
                where="radar",
                fix="keep frames that do not overlap, or give their interval: --interval 5,end (minutes, label)",
            )
        while start is not None and start + HALF_HOUR <= frame.start:
            yield from _complete(start, held)
            start = start + HALF_HOUR
            held = [kept for kept in held if kept.end > start]
            start = start if held else None
        start = step_of(frame.start, HALF_HOUR) if start is None else start
        held.append(frame)
    while start is not None and held:
        yield from _complete(start, held)
        start = start + HALF_HOUR
        held = [kept for kept in held if kept.end > start]


def _complete(start: np.datetime64, held: Sequence[Frame]) -> Iterator[Window]:
    """The half hour from `start`, if its frames cover it wholly."""
    end = start + HALF_HOUR
    inside = [frame for frame in held if frame.end > start and frame.start < end]
    if not inside:
        return
    bounds = np.array([[frame.start, frame.end] for frame in inside])
    seconds = overlap(bounds, np.array([start]), np.array([end]))[0]
    if seconds.sum() < HALF_HOUR / np.timedelta64(1, "s") - 0.5:
        return
    parts = (seconds / seconds.sum()).astype(np.float32)
    mean = np.sum([part * frame.rain for part, frame in zip(parts, inside, strict=True)], axis=0)
    yield Window(start, inside, mean)


def _tiles(shape: tuple[int, ...], side: int = 10) -> NDArray[np.int64]:
    """Number of the tile of `side` × `side` cells to which each cell belongs."""
    rows, columns = np.indices(shape) // side
    return np.asarray(rows * (shape[1] // side + 1) + columns)
