"""The truth of a world as one zarr: rain every five minutes, cloud tops, motion; one event after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ondee.grid import Grid
from ondee.units import VOCABULARY

__all__ = ["CLOUD_TOPS", "RAIN", "Field", "Shards", "create", "set_winds"]

_SHARD_BYTES = 32 * 2**20
_CHUNK = (4, 256, 256)
_FRAME = 300
"""Length of a frame, s."""
_CLOCK = {"units": "seconds since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian"}


@dataclass(frozen=True)
class Field:
    """How one quantity lies in the zarr.

    Parameters
    ----------
    quantity
        Name in the vocabulary.
    group
        Group, empty for the root.
    dtype, scale, fill
        Integers on disk, their unit, and the code of what is not there.
    """

    quantity: str
    group: str
    dtype: str
    scale: float
    fill: int

    @property
    def place(self) -> str:
        """Path of the array in the zarr."""
        return f"{self.group}/{self.quantity}".lstrip("/")

    def packed(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Values as they stand on disk, NaN as the fill; what is larger than the type holds, as its largest."""
        most = np.iinfo(self.dtype).max - (self.fill == np.iinfo(self.dtype).max)
        counts = np.minimum(np.rint(np.nan_to_num(values) / np.float32(self.scale)), most)
        return np.where(np.isnan(values), self.fill, counts).astype(self.dtype)


RAIN = Field("rain_rate", "", "uint16", 0.01, 65535)
"""Rain to 0.005 mm h-1, at most 655."""


CLOUD_TOPS = Field("cloud_top_height", "clouds", "int16", 1.0, -32768)
"""Height of cloud tops to half a metre, missing where the sky is clear."""


class Shards:
    """One event's part of a field, written shard by shard.

    Parameters
    ----------
    path
        The zarr.
    field
        What is written.
    event
        Number of the event.
    frames
        Frames of an event.
    """

    def __init__(self, path: Path, field: Field, event: int, frames: int) -> None:
        self._array = zarr.open_group(path, mode="r+")[field.place]
        self._field, self._next = field, event * frames
        assert isinstance(self._array, zarr.Array) and self._array.shards is not None
        self._length = self._array.shards[0]
        self._held: list[NDArray[Any]] = []

    def add(self, values: NDArray[np.float32]) -> None:
        """Add the next frame ``(y, x)``; a shard is written when it is full."""
        self._held.append(self._field.packed(values))
        if len(self._held) == self._length:
            assert isinstance(self._array, zarr.Array)
            self._array[self._next : self._next + self._length] = np.stack(self._held)
            self._next += self._length
            self._held.clear()


def create(
    path: Path,
    grid: Grid,
    fields: Sequence[tuple[Field, NDArray[np.datetime64]]],
    title: str,
) -> None:
    """Make an empty zarr with all coordinates; it appears whole.

    Parameters
    ----------
    path
        Its folder, which does not exist.
    grid
        Grid of the fields.
    fields
        Each field with its times ``(event, frame)``: the ends of 5-minute intervals in whose middle it is given.
    title
        What it is.
    """
    draft = path.with_name(path.name + ".partial")
    about = {"Conventions": "CF-1.11", "title": title, "coordinates": "crs time_bounds event_number"}
    root = zarr.create_group(draft, overwrite=True, zarr_format=3, attributes=dict(about))
    for field, times in fields:
        group = root.require_group(field.group) if field.group else root
        group.attrs.update(about)
        _axes(group, grid, times)
        _empty(group, grid, field, times.shape)
    draft.replace(path)


def set_winds(path: Path, winds: NDArray[np.float64]) -> None:
    """Add the motion of the rain.

    Parameters
    ----------
    path
        The zarr.
    winds
        Of each event, ``(event, 2)``, towards east and north of the grid, m s-1.
    """
    root = zarr.open_group(path, mode="r+")
    for name, column in (("wind_east", winds[:, 0]), ("wind_north", winds[:, 1])):
        words = {"units": "m s-1", "long_name": f"motion of the rain towards {name[5:]} of the grid, by event"}
        root.create_array(name, data=column, dimension_names=("event",), attributes=dict(words), overwrite=True)


def _axes(group: zarr.Group, grid: Grid, times: NDArray[np.datetime64]) -> None:
    seconds = times.astype("datetime64[s]").astype(np.int64).ravel()
    stamp = {**_CLOCK, "standard_name": "time", "axis": "T", "bounds": "time_bounds", "label": "end"}
    _coordinate(group, "time", seconds, ("time",), stamp)
    _coordinate(group, "time_bounds", np.stack([seconds - _FRAME, seconds], axis=1), ("time", "bounds"), _CLOCK)
    events = np.repeat(np.arange(times.shape[0], dtype=np.int32), times.shape[1])
    _coordinate(group, "event_number", events, ("time",), {"long_name": "number of the event, from 0"})
    for name, array in grid.coordinates().items():
        _coordinate(group, name, array.values, tuple(map(str, array.dims)), dict(array.attrs))


def _coordinate(
    group: zarr.Group, name: str, values: NDArray[Any], dims: tuple[str, ...], attributes: dict[str, Any]
) -> None:
    group.create_array(name, data=values, dimension_names=dims, attributes=json.loads(json.dumps(attributes)))


def _empty(group: zarr.Group, grid: Grid, field: Field, shape: tuple[int, ...]) -> None:
    """The array, sharded so that a shard holds frames of one event only."""
    events, frames = shape
    rows, columns = min(_CHUNK[1], grid.ny), min(_CHUNK[2], grid.nx)
    height, width = -(-grid.ny // rows) * rows, -(-grid.nx // columns) * columns
    most = max(1, _SHARD_BYTES // (2 * height * width))
    length = next(n for n in range(min(frames, most), 0, -1) if frames % n == 0)
    inner = next(n for n in range(min(_CHUNK[0], length), 0, -1) if length % n == 0)
    group.create_array(
        field.quantity,
        shape=(events * frames, grid.ny, grid.nx),
        shards=(length, height, width),
        chunks=(inner, rows, columns),
        dtype=field.dtype,
        fill_value=field.fill,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
        dimension_names=("time", "y", "x"),
        attributes={
            **VOCABULARY[field.quantity].attributes(),
            "scale_factor": field.scale,
            "add_offset": 0.0,
            "_FillValue": field.fill,
            "grid_mapping": "crs",
        },
    )
