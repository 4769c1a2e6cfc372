"""The plan of a build: its files, grid, days, variables and splits, found from one frame of each input."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.building.inventory import Item, Rejected, inventory
from ondee.building.stream import Stream
from ondee.config import BuildConfig, InputConfig
from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.store import SPLITS, Layout, Stored

__all__ = ["Day", "Plan", "plan"]

Reference = tuple[Mapping[str, str] | None, Grid | None]
_DAY = np.timedelta64(1, "D")
_AROUND = np.timedelta64(60, "m")


@dataclass(frozen=True)
class Day:
    """One task: all that writes one day of a store."""

    store: str
    day: str
    index: int
    layout: Layout
    inputs: Mapping[str, tuple[InputConfig, tuple[Item, ...]]]
    signature: str
    references: Mapping[str, Reference]
    """Input → what all its files must agree on, and their grid."""


@dataclass(frozen=True)
class Plan:
    """What a build will do."""

    store: Path
    layout: Layout
    days: tuple[Day, ...]
    rejected: tuple[Rejected, ...]
    files: int


def plan(settings: BuildConfig, path: Path) -> Plan:
    """Find the files, the grid, the days and the variables of a store.

    Parameters
    ----------
    settings
        The configuration.
    path
        Where it was read from: paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        If an input is empty, or no day has any.
    """
    folder = path.resolve().parent
    found = {name: inventory(name, settings_of, folder) for name, settings_of in settings.inputs.items()}
    grid = _grid(settings, found)
    variables: list[Stored] = []
    references: dict[str, Reference] = {}
    starts: list[np.datetime64] = []
    for name, (items, _) in found.items():
        stream = Stream(settings.inputs[name], items, grid, settings.step)
        sample = stream.sample()
        references[name] = (stream.reference, stream.grid)
        variables += _stored(name, sample)
        lead = sample["time_bounds"].values[0, 0] - sample["time"].values[0]
        starts += [time + lead for item in items for time in item.times]
    days = _days(settings, np.array(starts, "datetime64[ns]"))
    layout = Layout(
        grid,
        tuple(str(day) for day in days),
        settings.step,
        tuple(settings.inputs),
        tuple(variables),
        tuple(_splits(settings, days)),
        (settings.chunks.time, settings.chunks.y, settings.chunks.x),
        json.loads(settings.model_dump_json(exclude={"store", "max_rejected"})),
    )
    store = Path(os.path.normpath(folder / Path(settings.store or path.with_suffix(".zarr").name).expanduser()))
    if not store.name:
        raise ConfigError(f"the store cannot be {store}", where="store", fix="name a folder that is to be made")
    tasks = tuple(_task(store, layout, index, settings, found, references) for index in range(len(days)))
    rejected = tuple(bad for _, more in found.values() for bad in more)
    files = sum(len(item.granule.paths) for items, _ in found.values() for item in items) + len(rejected)
    return Plan(store, layout, tasks, rejected, files)


def _grid(settings: BuildConfig, found: Mapping[str, tuple[list[Item], list[Rejected]]]) -> Grid:
    """The store's grid."""
    wanted = settings.grid
    if wanted.crs is not None:
        assert wanted.west is not None and wanted.north is not None and wanted.dx is not None
        assert wanted.dy is not None and wanted.nx is not None and wanted.ny is not None
        return Grid(wanted.crs, wanted.west, wanted.north, wanted.dx, wanted.dy, wanted.nx, wanted.ny)
    if wanted.like is not None:
        own = Stream(settings.inputs[wanted.like], found[wanted.like][0], None, settings.step).sample()
        grid = Grid.of(own)
        grid = grid.crop(*grid.window(wanted.region, where="grid.region")) if wanted.region else grid
        return grid.coarser(wanted.coarsen, where="grid.coarsen")
    assert wanted.region is not None
    return Grid.lattice(wanted.region, wanted.step)


def _stored(name: str, sample: xr.Dataset) -> list[Stored]:
    """Variables that an input brings, int16 where the files are and nothing is averaged."""
    made = []
    for quantity, array in sample.data_vars.items():
        packing = array.encoding
        packable = np.dtype(packing.get("dtype", np.float32)) in (np.dtype(np.int16), np.dtype(np.uint8))
        kept = {
            key: value
            for key, value in array.attrs.items()
            if not key.startswith(("pixels_", "wet_pixels", "cells_", "implausible", "frames_"))
        }
        made.append(
            Stored(
                f"{name}_{quantity}",
                tuple(map(str, sample["channel"].values)) if "channel" in array.dims else (),
                {
                    "scale_factor": float(packing.get("scale_factor", 1.0)),
                    "add_offset": float(packing.get("add_offset", 0.0)),
                }
                if packable
                else {},
                {**kept, "product": str(sample.attrs.get("product", name))},
            )
        )
    return made


def _days(settings: BuildConfig, starts: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Days on which the interval of any frame begins, inside the period asked for."""
    if settings.start:
        starts = starts[starts >= np.datetime64(settings.start)]
    if settings.end:
        starts = starts[starts < np.datetime64(settings.end)]
    days = np.unique(starts.astype("datetime64[D]"))
    if not days.size:
        raise ConfigError(
            f"no frame lies between {settings.start} and {settings.end}",
            where="start, end",
            fix="widen the period; `ondee look` tells that of the files",
        )
    return days


def _splits(settings: BuildConfig, days: NDArray[np.datetime64]) -> list[int]:
    """Code of the split of each step: whole days in a cycle counted from the first, or the periods given."""
    per_day = 1440 // settings.step
    splits = settings.splits
    times = (days.astype("datetime64[m]")[:, None] + np.arange(per_day) * np.timedelta64(settings.step, "m")).ravel()
    codes = np.full(times.size, -1)
    if splits.periods is not None:
        for name, (start, end) in splits.periods.items():
            inside = (times >= np.datetime64(start)) & (times < np.datetime64(end))
            if (codes[inside] >= 0).any():
                raise ConfigError(
                    f"the period of {name} overlaps another",
                    where="splits.periods",
                    fix="leave a gap between the periods: they share weather otherwise",
                )
            codes[inside] = SPLITS.index(name)
        return [int(code) for code in codes]
    cycle: list[int] = []
    for code, length in enumerate((splits.train, splits.validation, splits.test)):
        cycle += [code] * length + [-1] * (splits.gap if length else 0)
    position = ((days - days[0]) / _DAY).astype(int) % len(cycle)
    return [int(code) for code in np.repeat(np.array(cycle)[position], per_day)]


def _task(
    store: Path,
    layout: Layout,
    index: int,
    settings: BuildConfig,
    found: Mapping[str, tuple[list[Item], list[Rejected]]],
    references: Mapping[str, Reference],
) -> Day:
    """The task of one day: its granules, and those an hour around it."""
    day = np.datetime64(layout.days[index], "ns")
    inputs = {}
    for name, (items, _) in found.items():
        near = tuple(item for item in items if item.touches(day - _AROUND, day + _DAY + _AROUND))
        inputs[name] = (settings.inputs[name], near)
    files = [
        (name, path.name, path.stat().st_size)
        for name, (_, items) in inputs.items()
        for item in items
        for path in item.granule.paths
    ]
    signature = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return Day(str(store), layout.days[index], index, layout, inputs, signature, references)
