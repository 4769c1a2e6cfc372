"""One day of a store: the task that an engine runs, wherever it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee import __version__
from ondee.building import moments
from ondee.building.plan import Day
from ondee.building.stream import Stream
from ondee.output import disk_errors
from ondee.store import Layout, Store, Stored

__all__ = ["write_day"]

_DAY = np.timedelta64(1, "D")


def write_day(task: Day) -> dict[str, Any]:
    """Write one day of a store: all its variables, its frame counts, its flags, and last its record.

    Parameters
    ----------
    task
        The day.

    Returns
    -------
    dict
        The record: inputs with their hashes, rejected files, missing steps, what each rule removed, and sums.
    """
    store, layout = Store(task.store), task.layout
    first = task.index * layout.steps
    times = layout.times[first : first + layout.steps]
    streams = {
        name: Stream(settings, items, layout.grid, layout.step, *task.references[name])
        for name, (settings, items) in task.inputs.items()
    }
    frames = {name: np.zeros(layout.steps, np.int16) for name in streams}
    sums: dict[str, dict[str, list[moments.Sums]]] = {}
    with disk_errors(store.path):
        for part in range(0, layout.steps, layout.part):
            buffers = {variable.name: _buffer(layout, variable) for variable in layout.variables}
            for step in range(part, part + layout.part):
                split = layout.splits[first + step]
                for name, stream in streams.items():
                    fields, frames[name][step] = stream.step(times[step])
                    if fields is not None:
                        _fill(layout, buffers, name, fields, step - part, sums.setdefault(str(split), {}), task.day)
            for variable in layout.variables:
                store.write(variable.name, first + part, buffers.pop(variable.name))
        for name, counts in frames.items():
            store.write(f"{name}_frames", first, counts)
        store.write("written", first, np.ones(layout.steps, np.uint8))
        record = _record(task, streams, frames, times, sums)
        store.commit(task.day, record)
    return record


def _buffer(layout: Layout, variable: Stored) -> NDArray[Any]:
    """An empty part of a day, as it stands on disk."""
    middle = (len(variable.channels),) if variable.channels else ()
    shape = (layout.part, *middle, *layout.grid.shape)
    return variable.packed(np.full(shape[1:], np.nan, np.float32), "")[None].repeat(layout.part, axis=0)


def _fill(
    layout: Layout,
    buffers: Mapping[str, NDArray[Any]],
    name: str,
    fields: xr.Dataset,
    step: int,
    sums: dict[str, list[moments.Sums]],
    day: str,
) -> None:
    """Put the fields of one step where they belong, and into the sums."""
    for variable in layout.variables:
        quantity = variable.name.removeprefix(f"{name}_")
        if not variable.name.startswith(f"{name}_") or quantity not in fields:
            continue
        values = np.asarray(fields[quantity].values[0], np.float32)
        buffers[variable.name][step] = variable.packed(values, f"{name}, {day}")
        layers = values if variable.channels else values[None]
        parts = [moments.of(layer) for layer in layers]
        known = sums.get(variable.name)
        sums[variable.name] = [moments.add(pair) for pair in zip(known, parts, strict=True)] if known else parts


def _record(
    task: Day,
    streams: Mapping[str, Stream],
    frames: Mapping[str, NDArray[np.int16]],
    times: NDArray[np.datetime64],
    sums: Mapping[str, Any],
) -> dict[str, Any]:
    """What the day was made from and what became of it."""
    start = np.datetime64(task.day, "ns")
    inputs = {}
    for name, stream in streams.items():
        own = [item for item in stream.used if item.touches(start, start + _DAY)]
        inputs[name] = {
            "files": {path.name: _digest(path) for item in own for path in item.granule.paths},
            "rejected": [asdict(bad) for bad in stream.rejected],
            "missing_steps": [str(times[step].astype("datetime64[m]")) for step in np.flatnonzero(frames[name] == 0)],
            "removed": dict(sorted(stream.removed.items())),
        }
    return {"signature": task.signature, "inputs": inputs, "sums": sums, "ondee": __version__}


def _digest(path: Path) -> str:
    """SHA-256 of a file; of the names and sizes inside, for a folder."""
    digest = hashlib.sha256()
    if path.is_dir():
        inside = sorted(
            (str(file.relative_to(path)), file.stat().st_size) for file in path.rglob("*") if file.is_file()
        )
        digest.update(json.dumps(inside).encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
