"""What is told of a simulation: how many files, how large, how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ondee.world.event import Event
from ondee.world.settings import Radar, World

__all__ = ["MANIFEST", "ZARR", "SimulateReport", "report"]

MANIFEST = "truth.yaml"
"""File of the resolved configuration and of what happened in each event."""
ZARR = "truth.zarr"
"""The true fields."""


@dataclass(frozen=True)
class SimulateReport:
    """What a simulation made, or would make.

    Parameters
    ----------
    archive
        Its folder.
    name
        Of the world.
    grid, cells
        The domain and IMERG's cells in it, in words; no cells where there is no IMERG.
    first, last
        Start of the first and end of the last event, UTC.
    events, written, kept
        Events in all, made now, found done.
    weather
        Number of events of each regime.
    files
        Number of files by product.
    truth
        Whether there is a ``truth.zarr``.
    bytes
        Size of the archive; of a dry run, as estimated.
    seconds
        Of a dry run, estimated time of the work that is left, in one process.
    faults
        The planted faults.
    dry_run
        Whether nothing was written.
    """

    archive: str
    name: str
    grid: str
    cells: str
    first: str
    last: str
    events: int
    written: int
    kept: int
    weather: dict[str, int]
    files: dict[str, int]
    truth: bool
    bytes: int
    seconds: float
    faults: list[dict[str, Any]]
    dry_run: bool


@dataclass(frozen=True)
class _Cost:
    """Of one frame, image or half hour: a fixed part, and one that grows with the pixels of the domain."""

    seconds: float
    seconds_per_pixel: float
    bytes: float
    bytes_per_pixel: float


_COSTS = {
    "made": _Cost(0.001, 65e-9, 0, 0),
    "rain": _Cost(0.002, 45e-9, 0, 0.42),
    "radar": _Cost(0.006, 70e-9, 18e3, 0.46),
    "image": _Cost(0.06, 400e-9, 33e3, 1.2),
    "cloud_top_height": _Cost(0.002, 60e-9, 0, 1.2),
    "half hour": _Cost(0.03, 300e-9, 62e3, 0.12),
}
"""As measured on one core of an x86-64 server, in weather of all kinds; a guess elsewhere."""


def report(folder: Path, events: Sequence[Event], todo: Sequence[Event], *, dry_run: bool) -> SimulateReport:
    """Tell what was made, or would be.

    Parameters
    ----------
    folder
        Of the archive.
    events, todo
        All events, and those that were not done before.
    dry_run
        Whether nothing was written: size and time are then estimated.
    """
    world = events[0].world
    files = Counter(path.relative_to(event.out).parts[0] for event in events for path in event.files())
    size = _estimated(world, events)[1] if dry_run else sum(path.stat().st_size for path in _written(folder, events))
    return SimulateReport(
        archive=str(folder),
        name=world.name,
        grid=world.grid.describe(),
        cells=world.cells.describe() if world.imerg is not None else "",
        first=str(events[0].start.astype("datetime64[m]")),
        last=str(events[-1].end.astype("datetime64[m]")),
        events=len(events),
        written=0 if dry_run else len(todo),
        kept=len(events) - len(todo),
        weather=dict(Counter(event.regime for event in events)),
        files=dict(files),
        truth=bool(world.true_fields),
        bytes=round(size),
        seconds=round(_estimated(world, todo)[0], 1) if dry_run else 0.0,
        faults=world.resolved()["faults"],
        dry_run=dry_run,
    )


def _written(folder: Path, events: Sequence[Event]) -> Iterator[Path]:
    """All files of an archive."""
    yield folder / MANIFEST
    for event in events:
        yield from [event.record, *event.files()]
    yield from (path for path in (folder / ZARR).rglob("*") if path.is_file())


def _estimated(world: World, events: Sequence[Event]) -> tuple[float, float]:
    """Seconds and bytes of some events."""
    pixels, seconds, size = world.grid.nx * world.grid.ny, 0.0, 0.0
    for event in events:
        counts = {
            "made": event.simulated.size,
            "rain": event.frames.size * ("rain" in world.true_fields),
            "radar": event.frames.size * (world.radar is not None),
            "image": event.images.size,
            "cloud_top_height": event.images.size * ("cloud_top_height" in world.true_fields),
            "half hour": event.half_hours.size * (world.imerg is not None),
        }
        for name, count in counts.items():
            cost = _COSTS[name]
            told = _seen(world.radar, pixels) if name == "radar" and world.radar else pixels
            seconds += count * (cost.seconds + pixels * cost.seconds_per_pixel)
            size += count * (cost.bytes + told * cost.bytes_per_pixel)
    return seconds, size


def _seen(radar: Radar, pixels: int) -> float:
    """Pixels in a radar's range; what none sees takes no space. Radars in rows are taken to see all."""
    if radar.range is None or radar.spacing is not None:
        return pixels
    return min(pixels, np.pi * radar.range**2)
