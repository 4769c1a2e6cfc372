"""Convective cells: born in storm systems, carried by the wind, each grown and gone in 40 to 100 minutes.

A system is a cluster or a line. It lives for one to four hours, in which it bears its cells one after the other. They
move with the wind, the system itself slower: what renews it is born at its rear (multicell storms).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ondee.grid import Grid

__all__ = ["LIVING", "Cells"]

LIVING = np.dtype([(name, np.float64) for name in ("x", "y", "age", "life", "peak", "stretch", "angle")])
"""What is told of a living cell: x and y of its centre in pixels from the western and northern edge, minutes of age
and life, peak rain rate in mm h-1, square root of the ratio of its axes, angle of the long one (east towards south)."""

_LIFE = (40.0, 100.0)
"""Shortest and longest life of a cell in minutes."""
_SYSTEM = (90.0, 270.0)
"""Minutes for which a system bears cells."""
_MEMBERS = 12
"""Mean number of cells of a system."""
_SPREAD = 8.0
"""Standard deviation of the places of births in a cluster, km."""
_LINE = (40.0, 110.0)
"""Length of a line, km."""
_DEPTH = 3.0
"""Standard deviation of the places of births across a line, km."""
_FOLD = 1.6
"""Distance in km over which a cell's rain rate falls by e."""
_REACH = 6.0
"""Distance at which a cell ends, in folds."""
_STRETCH = 1.8
"""Largest ratio of a cell's axes."""


class Cells:
    """The convective cells of a plane that live at a time.

    Parameters
    ----------
    grid
        Square cells in metres; the plane is periodic.
    births
        Cells born in an hour on 100 x 100 km, as a function of the step of time; steps before the first are negative.
    peak
        Median of their largest rain rate, in mm h-1.
    lines
        Share of systems that are lines.
    direction
        Of the lines, radians from east towards south; each differs from it a little.
    wind
        Towards east and towards north, m s-1.
    propagation
        Share of the wind at which systems move.
    minutes
        Step of time.
    seed
        Births of a step depend on the seed and the step only.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        births: Callable[[int], float],
        peak: float,
        lines: float,
        direction: float,
        wind: tuple[float, float],
        propagation: float,
        minutes: float,
        seed: int,
    ) -> None:
        self._step, self._shape = grid.dx / 1000, grid.shape
        self._births, self._peak, self._lines, self._direction = births, peak, lines, direction
        retreat = np.array([-wind[0], wind[1]]) * 0.06 * (1 - propagation)
        self._retreat = retreat  # of the births, in km east and south per minute, seen from the cells
        self._minutes, self._seed = minutes, seed
        self._past = int(np.ceil((_LIFE[1] + _SYSTEM[1]) / minutes))
        self._alive = np.concatenate([self._born(number) for number in range(-self._past, 0)])

    def at(self, index: int, drift: tuple[float, float]) -> NDArray[np.void]:
        """Cells that live at a step, of dtype :data:`LIVING`, moved by so many metres east and north.

        Steps are asked for in order.
        """
        now = index * self._minutes
        self._alive = np.concatenate([self._alive, self._born(index)])
        self._alive = self._alive[self._alive[:, 0] + self._alive[:, 1] > now]
        birth, life, x, y, peak, stretch, angle = self._alive[self._alive[:, 0] < now].T
        living = np.empty(birth.size, LIVING)
        living["x"] = ((x + drift[0] / 1000) / self._step + 0.5) % self._shape[1]
        living["y"] = ((y - drift[1] / 1000) / self._step + 0.5) % self._shape[0]
        living["age"], living["life"], living["peak"] = now - birth, life, peak
        living["stretch"], living["angle"] = stretch, angle
        return living

    def rate(self, living: NDArray[np.void]) -> NDArray[np.float32]:
        """Rain rate of cells in mm h-1, ``(y, x)``."""
        x, y, age, life, peak, stretch, angle = (living[name][:, np.newaxis] for name in LIVING.names or ())
        x, y = x - 0.5, y - 0.5  # in terms of columns and rows
        reach = int(np.ceil(_REACH * _FOLD * _STRETCH**0.5 / self._step))
        offsets = np.arange(-reach, reach + 1)
        columns, rows = np.floor(x).astype(np.int64) + offsets, np.floor(y).astype(np.int64) + offsets
        cosine, sine = (part * np.float32(self._step / _FOLD) for part in (np.cos(angle), np.sin(angle)))
        dx, dy = ((places - own).astype(np.float32) for places, own in ((columns, x), (rows, y)))
        # Along and across a cell's axis: parts of the column and of the row that are added for each pixel.
        parts = (cosine / stretch * dx, sine / stretch * dy), (-sine * stretch * dx, cosine * stretch * dy)
        along, across = (
            column.astype(np.float32)[:, np.newaxis] + row.astype(np.float32)[:, :, np.newaxis] for column, row in parts
        )
        along *= along
        across *= across
        along += across
        distance = np.sqrt(along, out=along)
        height = (peak * np.sin(np.pi * age / life) ** 2).astype(np.float32)[..., np.newaxis]
        values = height * np.exp(-distance)
        values[distance >= _REACH] = 0
        ny, nx = self._shape
        places = (rows % ny * nx)[:, :, np.newaxis] + (columns % nx)[:, np.newaxis]
        total = np.bincount(places.ravel(), values.ravel(), ny * nx)
        return total.astype(np.float32).reshape(ny, nx)

    def _born(self, number: int) -> NDArray[np.float64]:
        """Cells of the systems born in a step: birth, life (min), x, y (km), peak (mm h-1), stretch, angle."""
        generator = np.random.default_rng([self._seed, 2, number + self._past])
        sides = self._step * self._shape[1], self._step * self._shape[0]
        expected = self._births(number) * (sides[0] * sides[1] / 100**2) * self._minutes / 60
        systems = generator.poisson(expected / _MEMBERS)
        if not systems:  # as in most steps of a small plane
            return np.empty((0, len(LIVING.names or ())))
        of = np.repeat(np.arange(systems), generator.poisson(_MEMBERS, systems))
        count = of.size
        centre = generator.uniform((0, 0), sides, (systems, 2))
        start, lasts = (number + generator.uniform(size=systems)) * self._minutes, generator.uniform(*_SYSTEM, systems)
        strength = np.exp(generator.normal(0, 0.3, systems))[of]
        is_line = generator.uniform(size=systems) < self._lines
        towards = (self._direction + generator.normal(0, 0.2, systems))[of]
        reach = np.where(is_line, generator.uniform(*_LINE, systems) / np.sqrt(12), _SPREAD)[of]
        depth = np.where(is_line, _DEPTH, _SPREAD)[of]
        of_line = is_line[of]

        normal, even = generator.normal(size=(count, 2)), generator.uniform(-np.sqrt(3), np.sqrt(3), count)
        along, across = reach * np.where(of_line, even, normal[:, 0]), depth * normal[:, 1]
        cosine, sine = np.cos(towards), np.sin(towards)
        since = lasts[of] * generator.uniform(size=count)
        place = centre[of] + np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=1)
        place += self._retreat * since[:, np.newaxis]
        vigour = generator.normal(size=(count, 2))
        peak = np.minimum(self._peak * strength * np.exp(0.5 * vigour[:, 0]), 120.0)
        life = _LIFE[0] + (_LIFE[1] - _LIFE[0]) * ndtr(vigour @ (0.85, 0.53))  # the strong live long
        stretch, angle = generator.uniform((1, 0), (_STRETCH, np.pi), (count, 2)).T
        angle = np.where(of_line, towards + 0.25 * (angle - np.pi / 2), angle)
        return np.column_stack([start[of] + since, life, place, peak, np.sqrt(stretch), angle])
