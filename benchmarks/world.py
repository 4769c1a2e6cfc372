"""CPU time of the synthetic world beside its targets: ``python -m benchmarks.world [--json]``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Row, show
from ondee.grid import Grid
from ondee.world.clouds import Clouds
from ondee.world.infrared import brightness_temperature
from ondee.world.rain import rain, states
from ondee.world.view import seviri_grid, seviri_scene

__all__ = ["main", "rows"]

_TARGETS = {128: 1.0, 256: 3.0, 512: 12.0}
"""Milliseconds of a frame of rain, by width in km."""
_SCENE = 40.0
"""Milliseconds of rain, clouds, eight channels and SEVIRI's scene on 256 km."""
_FRAMES, _BATCH = 40, 10
"""Frames timed, and those of a batch; the best batch counts."""
_REGIME = "convective"
_START = np.datetime64("2018-06-04T12:00", "ns")


def rows() -> list[Row]:
    """One row for each target."""
    found = []
    for size, target in _TARGETS.items():
        task = f"a frame of rain, {size}²"
        found.append(Row.of(task, _each(_rain(size)), "target", target / 1000, "<= 1"))
    task = "rain, eight channels and the SEVIRI scene, 256²"
    found.append(Row.of(task, _each(_scenes(256)), "target", _SCENE / 1000, "<= 1"))
    return found


def _grid(size: int) -> Grid:
    half = 500.0 * size
    return Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -half, half, 1000, 1000, size, size)


def _times(minutes: int) -> np.ndarray:
    return _START + np.arange(_FRAMES + 2) * np.timedelta64(minutes, "m")


def _rain(size: int) -> Iterator[object]:
    yield from rain(_grid(size), _times(5), seed=1, regime=_REGIME)


def _scenes(size: int) -> Iterator[object]:
    grid = _grid(size)
    seviri, clouds = seviri_grid(grid.region()), Clouds(grid, seed=1, minutes=15)
    for state in states(grid, _times(15), seed=1, regime=_REGIME):
        cloud = clouds.at(state)
        temperatures = brightness_temperature(cloud, grid, state.time, seed=1)
        yield seviri_scene(cloud, temperatures, grid, seviri, state.time, seed=1)


def _each(frames: Iterator[object]) -> float:
    """CPU seconds of a frame in the best batch; the first two, which make tables and compile, are not counted."""
    next(frames)
    next(frames)
    best = float("inf")
    for _ in range(_FRAMES // _BATCH):
        begun = time.process_time()
        for _ in range(_BATCH):
            next(frames)
        best = min(best, (time.process_time() - begun) / _BATCH)
    return best


def main() -> None:
    """The table."""
    show("Synthetic world", rows(), "--json" in sys.argv[1:])


if __name__ == "__main__":
    main()
