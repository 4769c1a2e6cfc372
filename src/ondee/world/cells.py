"""Convective cells: born in clusters, carried by the wind, each grown and gone in 30 to 100 minutes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ondee.grid import Grid

__all__ = ["Cells"]

_LONGEST = 100.0
"""Longest life of a cell in minutes."""
_FOLD = 1.6
"""Distance in km over which a cell's rain rate falls by e."""
_REACH = 6.0
"""Distance at which a cell ends, in folds."""


class Cells:
    """The convective cells of a plane that live at a time.

    Parameters
    ----------
    grid
        A square grid of square cells, in metres.
    births
        Cells born in an hour on 100 x 100 km.
    peak
        Median of their largest rain rate, in mm h-1.
    minutes
        Step of time.
    seed
        Births of a step depend on the seed and the step only.
    """

    def __init__(self, grid: Grid, births: float, peak: float, minutes: float, seed: int) -> None:
        self._step, self._size = grid.dx / 1000, grid.nx
        self._births, self._peak, self._minutes, self._seed = births, peak, minutes, seed
        self._past = int(np.ceil(_LONGEST / minutes))
        self._alive = np.concatenate([self._born(number) for number in range(-self._past, 0)])

    def at(self, index: int, drift: tuple[float, ...]) -> NDArray[np.float32]:
        """Rain rate in mm h-1, ``(y, x)``, of the cells that live at a step, moved by so many metres east and north.

        Steps are asked for in order.
        """
        now = index * self._minutes
        self._alive = np.concatenate([self._alive, self._born(index)])
        self._alive = self._alive[self._alive[:, 0] + self._alive[:, 1] > now]
        birth, life, x0, y0, peak, stretch, angle = self._alive[self._alive[:, 0] < now].T[..., np.newaxis]
        reach = int(np.ceil(_REACH * _FOLD * 1.25 / self._step))
        offsets = np.arange(-reach, reach + 1)
        x, y = (x0 + drift[0] / 1000) / self._step, (y0 - drift[1] / 1000) / self._step
        columns, rows = np.floor(x).astype(np.int64) + offsets, np.floor(y).astype(np.int64) + offsets
        cosine, sine = np.cos(angle) * self._step / _FOLD, np.sin(angle) * self._step / _FOLD
        dx, dy = (columns - x)[:, np.newaxis], (rows - y)[:, :, np.newaxis]
        along = ((cosine / stretch)[..., np.newaxis] * dx + (sine / stretch)[..., np.newaxis] * dy).astype(np.float32)
        across = ((cosine * stretch)[..., np.newaxis] * dy - (sine * stretch)[..., np.newaxis] * dx).astype(np.float32)
        distance = np.sqrt(along * along + across * across)
        height = (peak * np.sin(np.pi * (now - birth) / life) ** 2).astype(np.float32)[..., np.newaxis]
        values = np.where(distance < _REACH, height * np.exp(-distance), 0)
        places = (rows % self._size * self._size)[:, :, np.newaxis] + (columns % self._size)[:, np.newaxis]
        total = np.bincount(places.ravel(), values.ravel(), self._size**2)
        return total.astype(np.float32).reshape(self._size, self._size)

    def _born(self, number: int) -> NDArray[np.float64]:
        """Cells born in a step, in clusters of a few: birth, life (min), x, y (km), peak (mm h-1), stretch, angle."""
        generator = np.random.default_rng([self._seed, 2, number + self._past])
        side = self._step * self._size
        clusters = generator.poisson(self._births * (side / 100) ** 2 * self._minutes / 60 / 4)
        members = generator.poisson(4, clusters)
        count = int(members.sum())
        centres = np.repeat(generator.uniform(0, side, (clusters, 2)), members, axis=0)
        birth = (number + generator.uniform(size=count)) * self._minutes
        place = centres + generator.normal(0, 12, (count, 2))
        peak = np.minimum(self._peak * np.exp(generator.normal(0, 0.6, count)), 120.0)
        rest = generator.uniform((30, 1, 0), (_LONGEST, 1.5, np.pi), (count, 3))
        return np.column_stack([birth, rest[:, 0], place, peak, np.sqrt(rest[:, 1]), rest[:, 2]])
