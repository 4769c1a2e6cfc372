"""What a format is to the rest of ondee: it recognises files, tells their times, and reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ReadError
from ondee.region import Region, four_numbers
from ondee.source.assembly import nanoseconds

__all__ = ["Ensembles", "Format", "Granule", "Period", "inside"]

Period = tuple[np.datetime64, np.datetime64]
"""Labels from the first moment on and before the second."""

_FIELDS = 96
"""Most fields of a piece: a day of quarters of an hour, or six frames of an ensemble of 16."""


def inside(labels: NDArray[np.datetime64], period: Period | None) -> NDArray[np.int64]:
    """Indices of the labels in a period; all where there is none."""
    if period is None:
        return np.arange(labels.size)
    return np.flatnonzero((labels >= period[0]) & (labels < period[1]))


class Format(Protocol):
    """A file format. One module of ``ondee.source`` holds one, as its constant ``FORMAT``."""

    name: str
    """Short name, the one that ``open(format=…)`` takes."""
    long: bool
    """Whether one file may hold many frames; :meth:`read` then takes ``period`` too, and reads no more than that."""
    options: Mapping[str, str]
    """Keyword options of :meth:`read` beside ``region``, each with a line that says what it is."""

    def recognise(self, path: Path, head: bytes) -> bool:
        """Whether a file (or, for a zarr, a directory; `head` is then empty) is of this format."""
        ...

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Group the files that belong together: the segments of one image, the months of one product."""
        ...

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Labels of the frames of one group, read without touching the data."""
        ...

    def read(self, paths: tuple[Path, ...], *, region: Region | None = None, **options: Any) -> xr.Dataset:
        """Read one group."""
        ...


@runtime_checkable
class Ensembles(Protocol):
    """A format whose frames may hold the members of an ensemble."""

    def members(self, paths: tuple[Path, ...]) -> int:
        """Most members that a frame of one group holds, 1 where there is no ensemble; the data are not touched."""
        ...


@dataclass(frozen=True)
class Granule:
    """The files of one group, and how to read them.

    Parameters
    ----------
    paths
        Files that are read together, in order.
    format
        Their format.
    options
        Options for the reader.
    period
        Labels from the first moment on and before the second; None for all. Only a long format has one.
    """

    paths: tuple[Path, ...]
    format: Format
    options: Mapping[str, Any] = field(default_factory=dict)
    period: Period | None = None

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Labels of the frames, datetime64[ns].

        Raises
        ------
        ReadError
            If the file is damaged or holds no frame.
        """
        labels = nanoseconds(self.format.times(self.paths), where=self.paths[0])
        if not labels.size:
            raise ReadError("it holds no frame", where=self.paths[0], fix="leave it out, or fetch it again")
        return labels[inside(labels, self.period)]

    def read(self, region: Region | None = None) -> xr.Dataset:
        """Read the group, cropped to a region if one is given."""
        period = {} if self.period is None else {"period": self.period}
        place = None if region is None else four_numbers(region)
        with np.errstate(over="ignore"):  # a damaged number too large for float32 is infinite, which is implausible
            return self.format.read(self.paths, region=place, **period, **self.options)

    @property
    def members(self) -> int:
        """Number of members that each frame brings when it is read; 1 where there is no ensemble.

        Raises
        ------
        ReadError
            If the file is damaged.
        """
        if "member" in self.options or not isinstance(self.format, Ensembles):
            return 1
        return self.format.members(self.paths)

    def pieces(self, frames: int | None = None) -> list[Granule]:
        """The granule in pieces of at most so many frames, so that a long file need not fit in memory.

        Parameters
        ----------
        frames
            Most frames of a piece; 96 fields where None, each member of an ensemble a field of its own.

        Raises
        ------
        ReadError
            If the labels of a long file are not strictly ascending.
        """
        if not self.format.long:
            return [self]
        labels = self.times
        if labels.size == 1:
            return [self]
        if frames is None:
            frames = max(1, _FIELDS // self.members)
        if labels.size <= frames:
            return [self]
        if (np.diff(labels) <= np.timedelta64(0)).any():
            raise ReadError(
                "times come twice or out of order",
                where=self.paths[0],
                fix="sort the frames by time and remove repeated ones; ondee never reorders inside a file",
            )
        starts = [*labels[::frames], labels[-1] + np.timedelta64(1, "ns")]
        return [replace(self, period=(start, end)) for start, end in pairwise(starts)]
