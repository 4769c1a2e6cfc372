"""A Gaussian field with a power-law spectrum that evolves and moves: the pattern of stratiform rain."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ondee.grid import Grid
from ondee.world.regime import Regime

__all__ = ["GaussianField"]

_TO_LIFETIME = 2.1462
"""Root of (1 + x) exp(-x) = 1/e: the correlation of a process with two equal roots falls to 1/e there."""
_LARGE = 100.0
"""Wavelength in km at which patterns move half-way between the wind and their propagation."""


def _turn(
    east: NDArray[np.float64],
    south: NDArray[np.float64],
    wind: tuple[float, float],
    minutes: float,
    propagation: float,
) -> NDArray[np.complex128]:
    """Factor by which a step turns the Fourier coefficients, wave numbers in radians per km.

    Patterns much shorter than 100 km move with the wind, much longer ones at the share `propagation` of it.
    """
    square = east**2 + south[:, np.newaxis] ** 2
    share = propagation + (1 - propagation) * square / (square + (2 * np.pi / _LARGE) ** 2)
    way = east * wind[0] - south[:, np.newaxis] * wind[1]
    turn: NDArray[np.complex128] = np.exp(-1j * 0.06 * minutes * share * way)
    return turn


class GaussianField:
    """A unit Gaussian field that evolves and moves; the state is that of two steps."""

    def __init__(
        self, grid: Grid, regime: Regime, minutes: float, direction: float, wind: tuple[float, float], seed: int
    ) -> None:
        self._shape = grid.shape
        east = 2 * np.pi * scipy.fft.rfftfreq(grid.nx, grid.dx / 1000)
        south = 2 * np.pi * scipy.fft.fftfreq(grid.ny, grid.dx / 1000)
        along = east * np.cos(direction) + south[:, np.newaxis] * np.sin(direction)
        across = south[:, np.newaxis] * np.cos(direction) - east * np.sin(direction)
        wave = np.hypot(along * regime.stretch**0.5, across / regime.stretch**0.5)
        wave[0, 0] = 1.0
        length = 2 * np.pi / wave
        root = np.exp(-minutes * _TO_LIFETIME / (regime.lifetime * (length / 64) ** regime.growth))
        amplitude = wave ** (-regime.spectrum / 2)
        amplitude[0, 0] = 0.0
        twice = np.full(east.size, 2.0)
        twice[[0, -1]] = 1.0  # all other columns stand for their conjugates too
        amplitude *= grid.nx * grid.ny / np.sqrt((twice * amplitude**2).sum())
        self._amplitude = amplitude.astype(np.float32)
        turn = _turn(east, south, wind, minutes, regime.propagation)
        self._first = (2 * root * turn).astype(np.complex64)
        self._second = (-((root * turn) ** 2)).astype(np.complex64)
        self._noise = (amplitude * np.sqrt((1 - root**2) ** 3 / (1 + root**2))).astype(np.float32)
        self._apart = ((1 - root**2) / (1 + root**2)).astype(np.float32)  # its square and the correlation's make 1
        self._correlation = (2 * root / (1 + root**2) * turn).astype(np.complex64)
        self._seed, self._index = seed, 0
        self._state = self._start()

    def at(self, index: int) -> NDArray[np.float32]:
        """Field of a step; steps are asked for in order."""
        while self._index < index:
            self._index += 1
            before, now = self._state
            following = self._first * now
            before *= self._second
            following += before
            noise = self._draw(self._index + 1)
            noise *= self._noise
            following += noise
            self._state = now, following
        values: NDArray[np.float32] = scipy.fft.irfft2(self._state[1], s=self._shape)
        return values

    def _start(self) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Two steps of the stationary process."""
        before = self._draw(0)
        now = self._correlation * before + self._apart * self._draw(1)
        return self._amplitude * before, self._amplitude * now

    def _draw(self, number: int) -> NDArray[np.complex64]:
        """Unit complex normal numbers; the first and last column are made real fields' own."""
        generator = np.random.default_rng([self._seed, 1, number])
        shape = (*self._amplitude.shape, 2)
        pairs = generator.standard_normal(shape, dtype=np.float32)
        noise: NDArray[np.complex64] = pairs.view(np.complex64)[..., 0]
        noise *= np.float32(np.sqrt(0.5))
        for column in (0, -1):
            mirrored = np.roll(noise[::-1, column], 1).conj()
            noise[:, column] = (noise[:, column] + mirrored) * np.float32(np.sqrt(0.5))
        return noise
