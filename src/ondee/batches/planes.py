"""One variable of a store at the times that are wanted: held in memory as it is packed, or read window by window."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

__all__ = ["StoredPlanes", "free_memory"]

_AT_ONCE = 32
"""Most times that are read in one piece, so that filling the memory needs little more than what is kept."""
_UNKNOWN = 4 * 2**30
"""Bytes taken to be free where the system does not say."""
_UNPACKED = np.arange(65536, dtype=np.uint16).view(np.int16)


class StoredPlanes:
    """Windows ``(channel, y, x)`` float32 of one variable; the same whether it is held or not.

    Parameters
    ----------
    path
        Of the store.
    name
        Of the variable.
    channels
        Indices of the channels that are wanted, in order; None if the variable has no channels.
    times
        Indices of the times that may be asked for.
    """

    def __init__(self, path: Path, name: str, channels: Sequence[int] | None, times: NDArray[np.int64]) -> None:
        self.path, self.name = path, name
        self.channels = None if channels is None else tuple(channels)
        self.times = np.unique(times)
        array = self._opened()
        self._shape: tuple[int, int] = (int(array.shape[-2]), int(array.shape[-1]))
        self._dtype: np.dtype[Any] = np.dtype(array.dtype)
        self._table = _table(dict(array.attrs)) if self._dtype == np.int16 else None
        self._held: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        """Bytes that all of it takes when held."""
        count = 1 if self.channels is None else len(self.channels)
        return int(self.times.size) * count * self._shape[0] * self._shape[1] * self._dtype.itemsize

    @property
    def held(self) -> bool:
        """Whether it is in memory."""
        return self._held is not None

    def hold(self) -> None:
        """Read all of it into memory."""
        count = 1 if self.channels is None else len(self.channels)
        made = np.empty((self.times.size, count, *self._shape), self._dtype)
        breaks = np.flatnonzero(np.diff(self.times) != 1) + 1
        for run in np.split(np.arange(self.times.size), breaks):
            for first in range(0, run.size, _AT_ONCE):
                part = run[first : first + _AT_ONCE]
                span = slice(int(self.times[part[0]]), int(self.times[part[-1]]) + 1)
                made[part[0] : part[-1] + 1] = self._raw(span, slice(None), slice(None))
        self._held = made

    def read(self, times: NDArray[np.int64], rows: slice, columns: slice, out: NDArray[np.float32]) -> None:
        """Write the windows of some times into `out`, ``(time, channel, rows, columns)``; NaN for times below 0."""
        there = np.flatnonzero(times >= 0)
        if there.size < times.size:
            out[times < 0] = np.nan
        if self._held is not None:
            for frame in there:
                place = np.searchsorted(self.times, times[frame])
                self._unpack(self._held[place, :, rows, columns], out[frame])
            return
        for frames in self._together(times, there):
            span = slice(int(times[frames].min()), int(times[frames].max()) + 1)
            raw = self._raw(span, rows, columns)
            for frame in frames:
                self._unpack(raw[times[frame] - span.start], out[frame])

    def _unpack(self, raw: NDArray[Any], out: NDArray[np.float32]) -> None:
        if self._table is None:
            out[...] = raw
        else:
            np.take(self._table, raw.view(np.uint16), out=out, mode="wrap")

    @staticmethod
    def _together(times: NDArray[np.int64], there: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Frames by what is read in one piece: all if they lie close, as neighbours mostly share a chunk."""
        if there.size and np.ptp(times[there]) < 2 * there.size:
            return [there]
        return [there[place : place + 1] for place in range(there.size)]

    # ---- the disk

    def _raw(self, times: slice, rows: slice, columns: slice) -> NDArray[Any]:
        """As it stands on disk, ``(time, channel, y, x)``."""
        array = self._array()
        if self.channels is None:
            return np.asarray(array[times, rows, columns])[:, None]
        if self.channels == tuple(range(array.shape[1])):
            return np.asarray(array[times, :, rows, columns])
        return np.stack([np.asarray(array[times, channel, rows, columns]) for channel in self.channels], axis=1)

    def _opened(self) -> Any:
        return zarr.open_group(self.path, mode="r")[self.name]

    def _array(self) -> Any:
        """The array on disk, opened once in each process."""
        if getattr(self, "_opener", None) != os.getpid():
            self._opener, self._on_disk = os.getpid(), self._opened()
        return self._on_disk

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is started afresh reads for itself: sending gigabytes through a pipe takes longer.
        return {**self.__dict__, "_held": None, "_opener": None, "_on_disk": None}


def _table(attributes: dict[str, Any]) -> NDArray[np.float32]:
    """Value of each 16-bit count, by its bits; NaN for the one that stands for missing."""
    counts = _UNPACKED.astype(np.float64)
    made = (counts * attributes["scale_factor"] + attributes["add_offset"]).astype(np.float32)
    missing = int(attributes["_FillValue"])
    return np.where(missing == _UNPACKED, np.float32(np.nan), made)


def free_memory() -> int:
    """Bytes that may be taken without harm: those of the machine, or what is left to the container if less."""
    known = _number(Path("/proc/meminfo"), "MemAvailable:")
    free = known * 1024 if known is not None else _UNKNOWN
    most, used = _number(Path("/sys/fs/cgroup/memory.max")), _number(Path("/sys/fs/cgroup/memory.current"))
    return free if most is None or used is None else min(free, max(0, most - used))


def _number(path: Path, key: str = "") -> int | None:
    """The first whole number of the line that begins with `key`; None if there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    words = next((line.removeprefix(key).split() for line in lines if line.startswith(key)), [])
    return int(words[0]) if words and words[0].isdigit() else None
