"""When a microwave sensor last passed over each cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Passes"]

_HALF_HOUR = np.timedelta64(30, "m")
_MINUTE = np.timedelta64(60, "s")
_MIDDLE = 15.0


class Passes:
    """The last pass over each cell, as half hours come in.

    Parameters
    ----------
    shape
        Rows and columns.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._last = np.full(shape, -np.inf)
        self._since: np.datetime64 | None = None
        self._next: np.datetime64 | None = None

    def age(self, start: np.datetime64, passed: NDArray[np.bool_], longest: float) -> NDArray[np.float32]:
        """Minutes from the last pass over a cell to the middle of a half hour.

        Parameters
        ----------
        start
            Start of the half hour.
        passed
            Where a sensor passes in it: there the age is 0.
        longest
            From so many minutes on it does not matter how long: an age that is longer, or is not known but must be, is
            infinite. An age that is not known, as files are absent, is NaN.
        """
        if self._next != start:
            return np.where(passed, np.float32(0), np.float32(np.nan))
        assert self._since is not None
        middle = start + np.timedelta64(15, "m")
        known = float((middle - self._since) / _MINUTE)
        age = self._minutes(start) + _MIDDLE - self._last
        age[age >= longest] = np.inf
        age[~np.isfinite(self._last) & (known < longest)] = np.nan
        return np.where(passed, 0.0, age).astype(np.float32)

    def add(self, start: np.datetime64, passed: NDArray[np.bool_], minute: NDArray[np.float32]) -> None:
        """Note the passes of a half hour; after a gap, what was before is forgotten.

        Parameters
        ----------
        start
            Start of the half hour.
        passed
            Where a sensor passed.
        minute
            Minute of the pass; the middle of the half hour is taken where it is missing.
        """
        if self._next != start:
            self._last[:] = -np.inf
            self._since = start
        # In double precision: minutes since 1970 do not fit into single.
        when = self._minutes(start) + np.where(np.isfinite(minute), minute.astype(np.float64), _MIDDLE)
        self._last[passed] = when[passed]
        self._next = start + _HALF_HOUR

    @staticmethod
    def _minutes(time: np.datetime64) -> float:
        return float((time - np.datetime64(0, "ns")) / _MINUTE)
