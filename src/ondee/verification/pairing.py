"""Estimates beside the truth, frame by frame: same interval, same pixels, or an error that says what differs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ondee.errors import GridError
from ondee.verification.subjects import Frame, Subject

__all__ = ["Batch", "Pair", "batches", "pairs", "persistence_name"]

_MINUTE = np.timedelta64(60, "s")
_VALUES = 1 << 23
"""Most values of a batch: 32 MB of float32 for each copy."""


@dataclass(frozen=True)
class Pair:
    """A frame of the truth with the frames of the same interval of the estimates; None where one has none."""

    truth: Frame
    estimates: Mapping[str, xr.DataArray | None]


@dataclass(frozen=True)
class Batch:
    """Pairs on one grid, stacked in time.

    Parameters
    ----------
    starts
        Start of each interval.
    truth
        ``(time, y, x)``.
    quality
        Quality of the truth, or None.
    estimates
        Name → ``(time, [member, ]y, x)``, all missing where an estimate has no frame.
    """

    starts: np.ndarray[tuple[int], np.dtype[np.datetime64]]
    truth: xr.DataArray
    quality: xr.DataArray | None
    estimates: Mapping[str, xr.DataArray]


def persistence_name(lag: float) -> str:
    """Name of the forecast that the truth of some minutes ago persists.

    Examples
    --------
    >>> persistence_name(10.0)
    'persistence 10 min'
    """
    return f"persistence {lag:g} min"


def pairs(
    truth: Subject, estimates: Sequence[Subject], lags: Sequence[float], begin: np.datetime64, end: np.datetime64
) -> Iterator[Pair]:
    """Give each frame of the truth whose interval starts in a period, with its estimates.

    Parameters
    ----------
    truth, estimates
        Who is judged by whom.
    lags
        Minutes of the persistence forecasts.
    begin, end
        The period.

    Raises
    ------
    GridError
        If an estimate lies on another grid than the truth.
    ReadError
        If files cannot be read.
    """
    longest = max(lags, default=0.0)
    memory: deque[Frame] = deque()
    readers = {entry.name: _Follower(entry, begin, end) for entry in estimates}
    earlier = begin - np.timedelta64(round(longest * 60), "s")
    for frame in truth.frames(earlier, end):
        if frame.start >= begin:
            found: dict[str, xr.DataArray | None] = {name: reader.at(frame) for name, reader in readers.items()}
            found |= {persistence_name(lag): _before(memory, frame, lag) for lag in lags}
            yield Pair(frame, found)
        memory.append(frame)
        while memory and frame.start - memory[0].start > np.timedelta64(round(longest * 60), "s"):
            memory.popleft()


def batches(found: Iterator[Pair], values: int = _VALUES) -> Iterator[Batch]:
    """Stack pairs in time, as many as fit.

    Parameters
    ----------
    found
        From :func:`pairs`.
    values
        Most values of a batch.
    """
    held: list[Pair] = []
    for pair in found:
        size = _size(pair)
        if held and (not held[0].truth.grid.same_as(pair.truth.grid) or (len(held) + 1) * size > values):
            yield _stacked(held)
            held = []
        held.append(pair)
    if held:
        yield _stacked(held)


def _size(pair: Pair) -> int:
    largest = max((array.size for array in pair.estimates.values() if array is not None), default=0)
    return max(largest, pair.truth.values.size)


def _stacked(held: Sequence[Pair]) -> Batch:
    """One batch; coordinates are those of the truth, whose grid the estimates share."""
    starts = np.array([pair.truth.start for pair in held], "datetime64[ns]")
    truth = _in_time([pair.truth.values for pair in held], starts)
    quality = None
    pattern = next((pair.truth.quality for pair in held if pair.truth.quality is not None), None)
    if pattern is not None:  # a file without quality among others has an unknown one
        unknown = xr.full_like(pattern, np.nan)
        quality = _in_time([unknown if q is None else q for q in (pair.truth.quality for pair in held)], starts)
    names = held[0].estimates
    estimates = {}
    for name in names:
        frames = [pair.estimates[name] for pair in held]
        first = next((frame for frame in frames if frame is not None), None)
        if first is not None:
            hollow = xr.full_like(first, np.nan)
            estimates[name] = _in_time([hollow if frame is None else frame for frame in frames], starts)
    return Batch(starts, truth, quality, estimates)


def _in_time(frames: Sequence[xr.DataArray], starts: np.ndarray[tuple[int], np.dtype[np.datetime64]]) -> xr.DataArray:
    """Stack frames along time."""
    first = frames[0]
    values = np.stack([np.asarray(frame.values, np.float32) for frame in frames])
    coordinates = {name: first.coords[name] for name in ("member", "y", "x") if name in first.coords}
    return xr.DataArray(
        values, dims=("time", *first.dims), coords={"time": starts, **coordinates}, attrs=first.attrs, name=first.name
    )


def _before(memory: Sequence[Frame], frame: Frame, lag: float) -> xr.DataArray | None:
    """The truth so many minutes before a frame."""
    wanted = frame.start - np.timedelta64(round(lag * 60), "s")
    for earlier in memory:
        if earlier.start == wanted and earlier.grid.same_as(frame.grid):
            return earlier.values
    return None


class _Follower:
    """Frames of an estimate, fetched as the truth asks for them."""

    def __init__(self, subject: Subject, begin: np.datetime64, end: np.datetime64) -> None:
        self._subject = subject
        self._frames = subject.frames(begin, end)
        self._waiting: Frame | None = next(self._frames, None)

    def at(self, truth: Frame) -> xr.DataArray | None:
        """The estimate of the same interval, None if there is none."""
        while self._waiting is not None and self._waiting.start < truth.start:
            self._waiting = next(self._frames, None)
        found = self._waiting
        if found is None or found.start != truth.start or found.end != truth.end:
            return None
        if not found.grid.same_as(truth.grid):
            raise GridError(
                f"{self._subject.name} lies on {found.grid.describe()}, the truth on {truth.grid.describe()}",
                where=self._subject.files[0],
                fix="bring both onto one grid: `ondee build` with a grid, or ondee.collocation.regrid",
            )
        own = {name: truth.values.coords[name] for name in ("y", "x")}
        return found.values.assign_coords(own)
