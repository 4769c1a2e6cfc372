"""The store: one zarr on one grid and one step, with the configuration that made it and a mark on all that is written.

A store is a plain Zarr v3 group that xarray opens. A shard of it holds one day (or an even part of a day, if a
day is large); one day is written by one task and then recorded, so that work cut short is never taken
for missing data. Group ``records`` holds what each day was made from, group ``summary`` the statistics.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from ondee.errors import StoreError
from ondee.grid import Grid
from ondee.output import disk_errors

__all__ = ["SPLITS", "Layout", "Store", "Stored"]

SPLITS = ("train", "validation", "test")
"""Names of the splits; their codes in the coordinate ``split`` are 0, 1, 2, and −1 for the gaps between."""

_FILL = -32768
_SHARD_BYTES = 128 * 2**20
_DAY = 1440


@dataclass(frozen=True)
class Stored:
    """One variable of a store.

    Parameters
    ----------
    name
        Name in the store: the input's name, an underscore, the quantity.
    channels
        Names of its channels; empty if it has none.
    packing
        ``scale_factor`` and ``add_offset`` of int16 counts that lose nothing; empty for float32.
    attributes
        CF attributes.
    """

    name: str
    channels: tuple[str, ...] = ()
    packing: Mapping[str, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type on disk."""
        return np.dtype(np.int16 if self.packing else np.float32)

    def packed(self, values: NDArray[np.float32], where: object) -> NDArray[Any]:
        """Values as they stand on disk.

        Raises
        ------
        StoreError
            If packing would change a value.
        """
        if not self.packing:
            return values.astype(np.float32)
        scale, offset = self.packing["scale_factor"], self.packing["add_offset"]
        counts = np.rint((values.astype(np.float64) - offset) / scale)
        seen = np.isfinite(values)
        back = (counts * scale + offset).astype(np.float32)
        if (np.abs(counts[seen]) > 32767).any() or not np.allclose(back[seen], values[seen], rtol=1e-6, atol=0):
            raise StoreError(
                f"{self.name} does not fit its packing (scale {scale}, offset {offset}): values would change",
                where=where,
                fix="the files are packed unlike the first one; build them into a store of their own",
            )
        return np.where(seen, counts, _FILL).astype(np.int16)


@dataclass(frozen=True)
class Layout:
    """Shape and contents of a store, all that is needed to make it empty.

    Parameters
    ----------
    grid
        The one grid.
    days
        Days that the store holds, in order, ``YYYY-MM-DD``; days without any input are left out.
    step
        Minutes between times; each day holds all its steps.
    inputs, variables
        Names of the inputs, and the variables.
    splits
        Code of the split of each time.
    chunks
        Inner chunk: time, y, x.
    config
        The configuration, as plain values.
    """

    grid: Grid
    days: tuple[str, ...]
    step: int
    inputs: tuple[str, ...]
    variables: tuple[Stored, ...]
    splits: tuple[int, ...]
    chunks: tuple[int, int, int]
    config: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """Steps of a day."""
        return _DAY // self.step

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Start of every step, UTC."""
        within = np.arange(self.steps) * np.timedelta64(self.step, "m")
        days = np.array(self.days, "datetime64[D]").astype("datetime64[ns]")
        return np.asarray((days[:, None] + within[None, :].astype("timedelta64[ns]")).ravel())

    def shard(self, variable: Stored) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shard and inner chunk of a variable: a day, or an even part of it below 128 MiB."""
        _, rows, columns = self.chunks
        rows, columns = min(rows, self.grid.ny), min(columns, self.grid.nx)
        height, width = -(-self.grid.ny // rows) * rows, -(-self.grid.nx // columns) * columns
        plane = height * width * variable.dtype.itemsize * max(1, len(variable.channels))
        parts = next(n for n in range(1, self.steps + 1) if self.steps % n == 0 and self._fits(plane, n))
        length = self.steps // parts
        inner = next(n for n in range(min(self.chunks[0], length), 0, -1) if length % n == 0)
        middle = (len(variable.channels),) if variable.channels else ()
        return (length, *middle, height, width), (inner, *(1 for _ in middle), rows, columns)

    def _fits(self, plane: int, parts: int) -> bool:
        return plane * self.steps // parts <= _SHARD_BYTES or parts == self.steps

    @property
    def part(self) -> int:
        """Steps that are held in memory together: the longest shard, of which all others are parts or equal."""
        return max(self.shard(variable)[0][0] for variable in self.variables)


class Store:
    """A store on disk.

    Parameters
    ----------
    path
        Its folder.

    Raises
    ------
    StoreError
        If there is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.root = zarr.open_group(self.path, mode="r+" if os.access(self.path, os.W_OK) else "r")
            self.about: dict[str, Any] = dict(self.root.attrs["ondee"])  # type: ignore[arg-type]
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(
                "this is no store of ondee", where=self.path, fix="make one with `ondee build CONFIG.yaml`"
            ) from error

    @classmethod
    def create(cls, path: Path, layout: Layout) -> Store:
        """Make an empty store; its folder appears only when it is whole.

        Raises
        ------
        StoreError
            If something is there already, or the disk refuses.
        """
        if path.exists():
            raise StoreError("something is there already", where=path, fix="choose another place, or give --force")
        partial = path.with_name(path.name + ".partial")
        with disk_errors(path):
            shutil.rmtree(partial, ignore_errors=True)
            partial.parent.mkdir(parents=True, exist_ok=True)
            _write_empty(partial, layout)
            partial.replace(path)
        return cls(path)

    # ---- what it holds

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that made it."""
        return dict(self.about["config"])

    @property
    def days(self) -> list[str]:
        """Days it holds."""
        return list(self.about["days"])

    def dataset(self) -> xr.Dataset:
        """The variables as an xarray Dataset, read when used."""
        opened: xr.Dataset = xr.open_zarr(self.path, consolidated=False, chunks=None)
        return opened

    def record(self, day: str) -> dict[str, Any] | None:
        """What a day was made from; None if it is not written."""
        node = self.path / "records" / day / "zarr.json"
        if not node.exists():
            return None
        return dict(json.loads(node.read_text())["attributes"])

    @property
    def summary(self) -> dict[str, Any]:
        """Statistics by split, rejected files and what each rule removed; empty until the build is complete."""
        node = self.path / "summary" / "zarr.json"
        return dict(json.loads(node.read_text())["attributes"]) if node.exists() else {}

    @property
    def complete(self) -> bool:
        """Whether every day is written and the statistics are there."""
        return bool(self.summary) and all(self.record(day) is not None for day in self.days)

    def split(self, name: str) -> NDArray[np.int64]:
        """Indices of the times of a split.

        Raises
        ------
        StoreError
            If `name` is no split.
        """
        if name not in SPLITS:
            raise StoreError(f"{name!r} is no split", where=self.path, fix="use train, validation or test")
        return np.flatnonzero(np.asarray(self.root["split"][:]) == SPLITS.index(name))  # type: ignore[index]

    # ---- writing

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        """Write whole shards of a variable from a time index on; `values` as they stand on disk."""
        array = self.root[name]
        array[start : start + len(values)] = values  # type: ignore[index]

    def commit(self, day: str, record: Mapping[str, Any]) -> None:
        """Record a day as written; the last thing that is done to it."""
        self._attributes(f"records/{day}", record)

    def forget(self, day: str) -> None:
        """Take back the record of a day, so that it is written anew."""
        shutil.rmtree(self.path / "records" / day, ignore_errors=True)
        shutil.rmtree(self.path / "summary", ignore_errors=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Add the summary: the store is complete."""
        self._attributes("summary", summary)

    def sweep(self) -> None:
        """Remove what a killed writer left half written."""
        for left in self.path.rglob("*.partial"):
            left.unlink()

    def _attributes(self, place: str, attributes: Mapping[str, Any]) -> None:
        """Write a group that holds only attributes, in one atomic step."""
        content = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
        node = self.path / place / "zarr.json"
        node.parent.mkdir(parents=True, exist_ok=True)
        half = node.with_suffix(".partial")
        half.write_text(json.dumps(content, indent=1, sort_keys=True))
        half.replace(node)


def _write_empty(path: Path, layout: Layout) -> None:
    """Metadata and coordinates of a store, its variables empty."""
    attributes = {
        "Conventions": "CF-1.11",
        "title": "ondee store",
        "coordinates": "crs time_bounds split written",
        "ondee": {
            "config": dict(layout.config),
            "days": list(layout.days),
            "step_minutes": layout.step,
            "inputs": list(layout.inputs),
            "variables": [asdict(variable) for variable in layout.variables],
        },
    }
    root = zarr.create_group(path, zarr_format=3, attributes=attributes)
    root.create_group("records")
    times = layout.times
    seconds = times.astype("datetime64[s]").astype(np.int64)
    clock = {"units": "seconds since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian"}
    stamp = {**clock, "standard_name": "time", "axis": "T", "bounds": "time_bounds", "label": "start"}
    _coordinate(root, "time", seconds, ("time",), stamp)
    bounds = np.stack([seconds, seconds + 60 * layout.step], axis=1)
    _coordinate(root, "time_bounds", bounds, ("time", "bounds"), clock)
    for name, array in layout.grid.coordinates().items():
        _coordinate(root, name, array.values, tuple(map(str, array.dims)), dict(array.attrs))
    meanings = {"flag_values": [-1, 0, 1, 2], "flag_meanings": "gap " + " ".join(SPLITS)}
    _coordinate(root, "split", np.array(layout.splits, np.int8), ("time",), meanings)
    day = (layout.steps,)
    written = {"long_name": "whether the step was written", "flag_values": [0, 1], "flag_meanings": "no yes"}
    _daily(root, "written", np.dtype(np.uint8), times.size, day, 0, written)
    for name in layout.inputs:
        words = {"long_name": f"frames of {name} in the step; 0: absent", "units": "1"}
        _daily(root, f"{name}_frames", np.dtype(np.int16), times.size, day, 0, words)
    channels = {variable.channels for variable in layout.variables if variable.channels}
    for names in channels:
        _coordinate(root, "channel", np.array(names, dtype=object), ("channel",), {"long_name": "channel"})
    for variable in layout.variables:
        _empty_variable(root, layout, variable)


def _coordinate(
    root: zarr.Group, name: str, values: NDArray[Any], dims: tuple[str, ...], attributes: dict[str, Any]
) -> None:
    if values.dtype == object:
        array = root.create_array(name, shape=values.shape, dtype=str, dimension_names=dims, attributes=attributes)
        array[...] = values
    else:
        root.create_array(name, data=values, dimension_names=dims, attributes=attributes)


def _daily(
    root: zarr.Group,
    name: str,
    dtype: np.dtype[Any],
    size: int,
    chunks: tuple[int],
    fill: int,
    attributes: dict[str, Any],
) -> None:
    root.create_array(
        name,
        shape=(size,),
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        dimension_names=("time",),
        attributes=attributes,
    )


def _empty_variable(root: zarr.Group, layout: Layout, variable: Stored) -> None:
    shard, chunk = layout.shard(variable)
    middle = (len(variable.channels),) if variable.channels else ()
    attributes = {**variable.attributes, "grid_mapping": "crs"}
    if variable.packing:
        attributes |= {**variable.packing, "_FillValue": _FILL}
    root.create_array(
        variable.name,
        shape=(layout.times.size, *middle, *layout.grid.shape),
        shards=shard,
        chunks=chunk,
        dtype=variable.dtype,
        fill_value=_FILL if variable.packing else np.float32(np.nan),
        compressors=ZstdCodec(level=5),
        dimension_names=("time", "channel", "y", "x") if middle else ("time", "y", "x"),
        attributes=attributes,
    )
