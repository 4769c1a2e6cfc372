"""Synthetic rain whose statistics are those of radar: stratiform fields and convective cells, carried by a wind.

Stratiform rain is a Gaussian field with a power-law spectrum. Each Fourier coefficient is a second-order
autoregressive process whose lifetime grows with its scale (Seed 2003; Bowler et al. 2006, STEPS), and the
wind turns its phase, so that a frame costs one inverse transform. Convective cells are born in clusters, grow
and decay in 30 to 100 min and move with the wind. The plane is periodic: what leaves it comes in opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.world.cells import Cells

__all__ = ["REGIMES", "Regime", "rain"]


@dataclass(frozen=True)
class Regime:
    """A kind of weather.

    Parameters
    ----------
    lifetime, growth
        Minutes after which a pattern of 64 km has a correlation of 1/e with itself, seen along the wind; it
        goes with the scale to the power `growth`.
    spectrum
        Exponent of the power spectrum of the Gaussian field.
    threshold
        Value of the unit Gaussian field above which it rains: it sets the wet fraction.
    edge_rate, steepness
        Rain rate is ``edge_rate exp(steepness (G - threshold))``, in mm h-1, softened to 0 at the edge.
    stretch
        Ratio of the axes of the patterns, which lie along a direction of their own.
    speed
        Of the wind, in m s-1.
    cells
        Cells born in an hour on 100 x 100 km.
    peak
        Median of the cells' largest rain rate, in mm h-1.
    """

    lifetime: float
    growth: float
    spectrum: float
    threshold: float
    edge_rate: float
    steepness: float
    stretch: float
    speed: float
    cells: float
    peak: float


REGIMES = {
    "frontal": Regime(85, 0.75, 2.6, 0.2, 0.32, 1.45, 2.4, 17.0, 1.0, 10.0),
    "embedded": Regime(80, 0.75, 2.6, 0.55, 0.31, 1.5, 1.8, 14.0, 5.0, 16.0),
    "convective": Regime(75, 0.7, 2.6, 1.1, 0.29, 1.6, 1.4, 10.0, 10.0, 26.0),
    "dry": Regime(80, 0.7, 2.7, 2.4, 0.27, 1.0, 1.6, 10.0, 0.0, 10.0),
}
"""The kinds of weather that :func:`rain` makes."""

_TO_LIFETIME = 2.1462
"""Root of (1 + x) exp(-x) = 1/e: the correlation of a process with two equal roots falls to 1/e there."""
_SOFT = 0.25
"""Width of the soft edge, in standard deviations of the Gaussian field."""
_LEAST = 0.05
"""Rain rates below are exactly 0, in mm h-1: less than any radar reports."""


def rain(
    grid: Grid, times: Sequence[np.datetime64] | NDArray[np.datetime64], *, seed: int, regime: str = "embedded"
) -> Iterator[xr.Dataset]:
    """Make rain, one frame at a time, in memory that does not grow with their number.

    Parameters
    ----------
    grid
        A square grid of square cells, in metres.
    times
        Ends of the frames, evenly spaced; a single one stands for five minutes. A frame is the field in the
        middle of its interval.
    seed
        The same seed, grid, regime, first time and spacing give the same frames, however many are asked for.
    regime
        One of :data:`REGIMES`.

    Yields
    ------
    xarray.Dataset
        ``rain_rate(time=1, y, x)`` in mm h-1; dry is exactly 0, nothing is missing. The attributes ``wind_east``
        and ``wind_north`` tell the true motion in m s-1.

    Raises
    ------
    ConfigError
        If the grid is not square or not in metres, the times are not evenly spaced, or the regime is unknown.

    Examples
    --------
    >>> from ondee.grid import LOCAL
    >>> plane = Grid(LOCAL, 0, 0, 1000, 1000, 64, 64)
    >>> stamps = np.datetime64("2018-06-04T12:00") + np.arange(3) * np.timedelta64(5, "m")
    >>> [frame.rain_rate.shape for frame in rain(plane, stamps, seed=1)]
    [(1, 64, 64), (1, 64, 64), (1, 64, 64)]
    """
    stamps = np.asarray(times, dtype="datetime64[ns]")
    step = _spacing(stamps)
    _check(grid, regime, seed)
    return _frames(grid, stamps, step, seed, regime)


def _frames(
    grid: Grid, stamps: NDArray[np.datetime64], step: np.timedelta64, seed: int, regime: str
) -> Iterator[xr.Dataset]:
    kind, minutes = REGIMES[regime], float(step / np.timedelta64(1, "s")) / 60
    direction = np.random.default_rng([seed, 0]).uniform(0, 2 * np.pi, 2)
    wind = kind.speed * np.cos(direction[0]), kind.speed * np.sin(direction[0])
    field = _Field(grid, kind, minutes, direction[1], seed)
    cells = Cells(grid, kind.cells, kind.peak, minutes, seed)
    for index, stamp in enumerate(stamps):
        drift = tuple(speed * 60 * minutes * index for speed in wind)
        gaussian = field.at(index, drift)
        rate = _rate(gaussian, cells.at(index, drift), kind)
        yield assemble(
            {"rain_rate": Variable(rate[np.newaxis])},
            grid,
            [stamp],
            time_bounds([stamp], step, "end"),
            label="end",
            product="ondee synthetic rain",
            where="ondee.world.rain",
            regime=regime,
            seed=seed,
            wind_east=float(wind[0]),
            wind_north=float(wind[1]),
        )


def _rate(gaussian: NDArray[np.float32], cells: NDArray[np.float32], kind: Regime) -> NDArray[np.float32]:
    """Rain rate of a Gaussian field, 0 below the threshold, and of cells, textured by the field."""
    rate = np.zeros_like(gaussian)
    wet = gaussian > kind.threshold
    above = gaussian[wet] - np.float32(kind.threshold)
    rate[wet] = np.float32(kind.edge_rate) * np.exp(np.float32(kind.steepness) * above)
    rate[wet] *= 1 - np.exp(-above / np.float32(_SOFT))
    near = cells > 0
    rate[near] += cells[near] * np.exp(np.float32(0.45) * gaussian[near] - np.float32(0.1))
    rate[rate < _LEAST] = 0.0
    return rate


class _Field:
    """A unit Gaussian field that evolves; the state is that of two steps, in the frame of the wind."""

    def __init__(self, grid: Grid, kind: Regime, minutes: float, direction: float, seed: int) -> None:
        size = grid.nx
        east = 2 * np.pi * scipy.fft.rfftfreq(size, grid.dx / 1000)
        south = 2 * np.pi * scipy.fft.fftfreq(size, grid.dx / 1000)
        self._east, self._south = east / 1000, south / 1000
        along = east * np.cos(direction) + south[:, np.newaxis] * np.sin(direction)
        across = south[:, np.newaxis] * np.cos(direction) - east * np.sin(direction)
        wave = np.hypot(along * kind.stretch**0.5, across / kind.stretch**0.5)
        wave[0, 0] = 1.0
        length = 2 * np.pi / wave
        root = np.exp(-minutes * _TO_LIFETIME / (kind.lifetime * (length / 64) ** kind.growth))
        amplitude = wave ** (-kind.spectrum / 2)
        amplitude[0, 0] = 0.0
        twice = np.full(east.size, 2.0)
        twice[[0, -1]] = 1.0  # all other columns stand for their conjugates too
        amplitude *= size * size / np.sqrt((twice * amplitude**2).sum())
        self._amplitude = amplitude.astype(np.float32)
        self._first = (2 * root).astype(np.float32)
        self._second = (-(root**2)).astype(np.float32)
        self._noise = (amplitude * np.sqrt((1 - root**2) ** 3 / (1 + root**2))).astype(np.float32)
        self._correlation = 2 * root / (1 + root**2)
        self._seed, self._index = seed, 0
        self._state = self._start()

    def at(self, index: int, drift: tuple[float, ...]) -> NDArray[np.float32]:
        """Field of a step, moved by so many metres east and north; steps are asked for in order."""
        while self._index < index:
            self._index += 1
            before, now = self._state
            following = self._first * now
            following += self._second * before
            following += self._noise * self._draw(self._index + 1)
            self._state = now, following
        phase_x = np.exp(-1j * self._east * drift[0]).astype(np.complex64)
        phase_y = np.exp(1j * self._south * drift[1]).astype(np.complex64)
        turned = self._state[1] * phase_y[:, np.newaxis]
        turned *= phase_x
        values: NDArray[np.float32] = scipy.fft.irfft2(turned, s=(self._south.size,) * 2, overwrite_x=True)
        return values

    def _start(self) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Two steps of the stationary process."""
        before = self._draw(0)
        apart = np.sqrt(1 - self._correlation**2).astype(np.float32)
        now = self._correlation.astype(np.float32) * before + apart * self._draw(1)
        return self._amplitude * before, self._amplitude * now

    def _draw(self, number: int) -> NDArray[np.complex64]:
        """Unit complex normal numbers; the first and last column are made real fields' own."""
        generator = np.random.default_rng([self._seed, 1, number])
        shape = (self._south.size, self._east.size, 2)
        pairs = generator.standard_normal(shape, dtype=np.float32)
        noise: NDArray[np.complex64] = pairs.view(np.complex64)[..., 0]
        noise *= np.float32(np.sqrt(0.5))
        for column in (0, -1):
            mirrored = np.roll(noise[::-1, column], 1).conj()
            noise[:, column] = (noise[:, column] + mirrored) * np.float32(np.sqrt(0.5))
        return noise


def _spacing(stamps: NDArray[np.datetime64]) -> np.timedelta64:
    """The one step between times."""
    if stamps.size < 2:
        return np.timedelta64(5, "m")
    steps = np.unique(np.diff(stamps))
    if steps.size != 1 or not steps[0] > np.timedelta64(0):
        raise ConfigError(
            "the times are not evenly spaced, one after the other",
            where="times",
            fix="give times such as start + np.arange(12) * np.timedelta64(5, 'm')",
        )
    found: np.timedelta64 = steps[0]
    return found


def _check(grid: Grid, regime: str, seed: int) -> None:
    if seed < 0:
        raise ConfigError(f"the seed is {seed}", where="seed", fix="use 0 or a larger whole number")
    if regime not in REGIMES:
        raise ConfigError(f"{regime!r} is no regime", where="regime", fix="use one of: " + ", ".join(REGIMES))
    if grid.nx != grid.ny or grid.dx != grid.dy or grid.is_geographic or grid.nx % 2 or grid.nx < 16:
        raise ConfigError(
            f"rain is made on a square of square cells in metres, an even number wide, not on {grid.describe()}",
            where="grid",
            fix="make it on such a grid and regrid it with ondee.collocation",
        )
