"""Clouds above synthetic rain: towers and their anvils, stratiform decks, and clouds without rain.

A tower grows before its cell rains hardest; its anvil, carried away by a faster upper wind, spreads, thins and
outlives the rain. The top of a stratiform deck is only loosely tied to the rain below. Cirrus, thin and thick, and
low clouds have patterns of their own and no rain. A scene has two layers, as far as the infrared is concerned: what is
below (low clouds, deck and towers) and the ice above it (anvils and cirrus).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.world.atmosphere import air_temperature, tropopause_height
from ondee.world.rain import REGIMES, State

__all__ = ["SPIN_UP", "Cloud", "Clouds"]

SPIN_UP = 120.0
"""Minutes of weather that should be passed before the first image: anvils come from cells of the hours before."""

_Field = NDArray[np.float32]

_ROOM = 31
"""Key of this module's random numbers."""
_VISIBLE = 0.3
"""Optical depth at 10.8 um above which a layer has a top."""
_CEILING = 17_500.0
"""No cloud stands higher, m."""


@dataclass(frozen=True)
class Cloud:
    """The clouds of one time, in two layers; all ``(y, x)`` float32.

    Parameters
    ----------
    top_height
        Of the highest layer that can be seen, m; NaN where it is clear.
    optical_depth
        Of both layers at 10.8 um, along the vertical; 0 where clear.
    low_height, low_depth
        Top in m and optical depth of the lower layer: low clouds, decks and towers.
    ice_height, ice_depth
        The same of the ice above it: anvils and cirrus.
    anvil_depth
        Part of `ice_depth` that came out of towers.
    moisture
        Natural logarithm of the precipitable water over that of the air's standard.
    air
        Air temperature at sea level, K.
    """

    top_height: _Field
    optical_depth: _Field
    low_height: _Field
    low_depth: _Field
    ice_height: _Field
    ice_depth: _Field
    anvil_depth: _Field
    moisture: _Field
    air: float


@dataclass(frozen=True)
class _Sky:
    """Clouds of a regime.

    Margin of the deck round the rain, in standard deviations; mean and spread of its top, in fractions of the
    tropopause's height; thresholds of cirrus and low clouds in their unit fields; limits of all tops but cirrus, m.
    """

    margin: float
    middle: float
    spread: float
    cirrus: float
    low: float
    lowest: float = 1500.0
    highest: float = _CEILING


_SKIES = {
    "frontal": _Sky(0.55, 0.60, 0.15, 0.55, 0.9),
    "embedded": _Sky(0.45, 0.48, 0.14, 0.80, 0.9),
    "convective": _Sky(0.45, 0.50, 0.14, 0.85, 0.9),
    "warm": _Sky(0.55, 0.24, 0.04, 1.30, 0.7, 2000.0, 3500.0),
    "dry": _Sky(0.20, 0.45, 0.15, 0.55, 1.0),
}

_UPPER, _TURN = 1.7, 0.35
"""The upper wind over the steering wind, and the largest turn between the two, radians."""
_SPREADING = 1.0, 0.25
"""Diffusion of anvils along the upper wind and across it, km2 per minute: 4 km become 14 and 8 km in 90 min."""
_THINNING = 35.0
"""Minutes in which an anvil thins by e."""
_OUTFLOW = 1.0
"""Optical depth that the strongest tower adds to its anvil in a minute, at its centre."""
_FRAY = 0.15
"""Optical depth below which an anvil dissolves."""
_OUTLET = 3.5
"""Radius (standard deviation) of the outflow of a tower, km."""


class Clouds:
    """The clouds of a world, made from its rain step by step.

    Parameters
    ----------
    grid
        Square cells in metres; the plane is periodic.
    seed
        Clouds of a step depend on the seed, the rain and the number of steps from the first only.
    minutes
        Step of time.

    Raises
    ------
    ConfigError
        If the cells are not square or not in metres, or the step or the seed cannot be used.
    """

    def __init__(self, grid: Grid, *, seed: int, minutes: float = 5.0) -> None:
        if grid.is_geographic or grid.dx != grid.dy or not minutes > 0 or seed < 0:
            raise ConfigError(
                f"clouds cannot be made on {grid.describe()} every {minutes} min with the seed {seed}",
                where="ondee.world.clouds",
                fix="give the grid of the rain (square cells in metres), its step in minutes and a seed of 0 or more",
            )
        self._grid, self._seed, self._minutes = grid, seed, minutes
        self._last: np.datetime64 | None = None
        self._fields: dict[str, _Pattern] = {}
        self._anvils: _Anvils

    def at(self, state: State) -> Cloud:
        """Clouds of a state.

        Parameters
        ----------
        state
            Of the rain, one after the other in steps of `minutes`. Anvils are complete after :data:`SPIN_UP` minutes.

        Raises
        ------
        ConfigError
            If the state does not follow the one before, or is on another grid.
        """
        self._follow(state)
        air = air_temperature(state.time)
        tropopause, sky = tropopause_height(air), _SKIES[state.regime]
        fields = {name: pattern.step() for name, pattern in self._fields.items()}
        tower, tower_depth, outflow, outflow_top = self._towers(state, tropopause, sky, fields["texture"])
        deck, deck_depth = _deck(state, sky, tropopause, fields)
        below, below_depth = _low(sky, fields)
        height = _topped(_topped(below, deck, deck_depth), tower, tower_depth)
        low_depth = below_depth + deck_depth + tower_depth
        anvil_depth, anvil = self._anvils.step(outflow, outflow_top)
        anvil_depth *= np.exp(np.float32(0.5) * fields["texture"] + np.float32(0.4) * fields["cirrus"])
        anvil_depth = np.maximum(anvil_depth - np.float32(_FRAY), 0)
        cirrus_depth = _cirrus(sky, fields)
        ice_depth = anvil_depth + cirrus_depth
        cirrus = np.float32(0.8 * tropopause) + np.float32(0.06 * tropopause) * fields["moisture"]
        ice = (anvil_depth * anvil + cirrus_depth * cirrus) / np.maximum(ice_depth, np.float32(1e-6))
        ice = np.clip(np.maximum(ice, height), 0, _CEILING)
        top = np.where(ice_depth > _VISIBLE, ice, np.where(low_depth > _VISIBLE, height, np.float32(np.nan)))
        total = ice_depth + low_depth
        total[total < 1e-3] = 0
        return Cloud(
            top, total, height, low_depth, ice, ice_depth, anvil_depth, np.float32(0.22) * fields["moisture"], air
        )

    def _follow(self, state: State) -> None:
        """Check that a state follows the last; begin with the first."""
        step = np.timedelta64(round(self._minutes * 60e9), "ns")
        if state.rate.shape != self._grid.shape or (self._last is not None and state.time - self._last != step):
            raise ConfigError(
                f"the state of {state.time}, {state.rate.shape}, does not follow that of {self._last}",
                where="ondee.world.clouds",
                fix=f"pass the states of one world in order, one every {self._minutes:g} min, on one grid",
            )
        if self._last is None:
            self._begin(state)
        self._last = state.time

    def _begin(self, state: State) -> None:
        """Patterns and anvils of the first step."""
        turn = np.random.default_rng([self._seed, _ROOM, 0]).uniform(-_TURN, _TURN)
        steering = complex(*state.wind)
        upper = _UPPER * steering * np.exp(1j * turn)
        winds = {"deck": 1.1 * steering, "height": 1.2 * steering, "texture": steering, "cirrus": upper}
        winds["moisture"] = upper
        for number, (name, wind) in enumerate(winds.items()):
            exponent, longest, stretch = _PATTERNS[name]
            key = (self._seed, _ROOM, number + 1)
            self._fields[name] = _Pattern(self._grid, exponent, longest, stretch, wind, self._minutes, key)
        self._anvils = _Anvils(self._grid, upper, steering, self._minutes)

    def _towers(self, state: State, tropopause: float, sky: _Sky, texture: _Field) -> tuple[_Field, ...]:
        """Tops and optical depth of towers, and what flows out of them, with its height."""
        cells, pixel = state.cells, self._grid.dx / 1000
        age = cells["age"] / cells["life"]
        # A cell's own chance, which its rain does not know: the digits of its angle that turn nothing visible.
        chance = ndtri(np.clip((cells["angle"] * 1e5) % 1.0, 1e-3, 1 - 1e-3))
        full = np.clip(0.65 + 0.21 * np.log(cells["peak"] / 10) + 0.10 * chance, 0.2, 1.12)
        # The top stands when the rain is at half its peak, and sinks when the rain has gone.
        grown = np.clip(age / 0.38, 0, 1) ** 0.7 * np.clip((1 - age) / 0.3, 0, 1) ** 0.5
        top = np.clip(full * tropopause * (0.25 + 0.75 * grown), 0, sky.highest)
        radius = (3.2 + 3.2 * np.minimum(cells["peak"] / 50, 1.0)) * np.sqrt(np.maximum(grown, 0.02)) / pixel
        vigour = np.clip((full - 0.6) / 0.4, 0, 1) * np.clip((age - 0.15) / 0.25, 0, 1) * np.clip((1 - age) / 0.1, 0, 1)
        vigour = np.where(top > 5500, vigour, 0.0)
        shape = self._grid.shape
        planes = tuple(np.zeros(shape, np.float32) for _ in range(4))
        _splat(
            np.column_stack(
                [cells["x"] - 0.5, cells["y"] - 0.5, cells["stretch"], cells["angle"], top, radius, vigour]
            ),
            texture,
            _OUTLET / pixel,
            _OUTFLOW * self._minutes,
            *planes,
        )
        return planes


def _deck(state: State, sky: _Sky, tropopause: float, fields: dict[str, _Field]) -> tuple[_Field, _Field]:
    """Height and optical depth of the stratiform deck: wider than its rain, its top loosely tied to it."""
    kind = REGIMES[state.regime]
    cover = np.float32(0.85) * state.gaussian + np.float32(0.55) * fields["deck"]
    cover += np.float32(0.2) * fields["texture"]
    cover -= np.float32(0.85 * kind.threshold - sky.margin)
    depth = np.float32(9) * np.maximum(cover, 0) ** np.float32(1.5)
    rain = np.maximum(state.rate - state.convective, 0)
    depth += np.float32(8) * rain / (rain + np.float32(0.4))
    np.minimum(depth, np.float32(40), out=depth)
    height = (
        np.float32(0.9) * fields["height"] + np.float32(0.3) * state.gaussian + np.float32(0.12) * fields["texture"]
    )
    height = np.float32(sky.middle * tropopause) + np.float32(sky.spread * tropopause) * height
    return np.clip(height, sky.lowest, min(sky.highest, 0.95 * tropopause)), depth


def _low(sky: _Sky, fields: dict[str, _Field]) -> tuple[_Field, _Field]:
    """Height and optical depth of low clouds without rain."""
    cover = fields["texture"] + np.float32(0.5) * fields["moisture"] - np.float32(sky.low)
    np.maximum(cover, 0, out=cover)
    height: _Field = np.float32(1100) + np.float32(700) * np.minimum(cover, np.float32(2))
    return height, np.float32(8) * cover


def _topped(below: _Field, top: _Field, depth: _Field) -> _Field:
    """Height of what is below with a cloud on it, as far as that is opaque."""
    made: _Field = below + (1 - np.exp(-depth)) * np.maximum(top - below, 0)
    return made


def _cirrus(sky: _Sky, fields: dict[str, _Field]) -> _Field:
    """Optical depth of cirrus without rain: mostly thin, sometimes opaque."""
    over = np.maximum(fields["cirrus"] + np.float32(0.15) * fields["texture"] - np.float32(sky.cirrus), 0)
    depth: _Field = np.float32(0.35) * (np.exp(np.float32(2.0) * over) - np.float32(1))
    return np.minimum(depth, np.float32(12))


_PATTERNS = {
    "deck": (2.8, 250.0, 1.5),
    "height": (3.2, 250.0, 1.3),
    "texture": (2.7, 50.0, 1.2),
    "cirrus": (3.0, 200.0, 2.6),
    "moisture": (3.8, 400.0, 2.0),
}
"""Of each unit field: exponent of the power spectrum, scale in km above which it is flat, stretch along the wind."""


class _Pattern:
    """A unit Gaussian field carried by a wind; every Fourier coefficient turns at a random rate of its own.

    The rates are normal with the inverse of the lifetime as their standard deviation, so that the correlation in time
    falls as a Gaussian, and sooner at small scales.
    """

    def __init__(
        self,
        grid: Grid,
        exponent: float,
        longest: float,
        stretch: float,
        wind: complex,
        minutes: float,
        key: tuple[int, int, int],
    ) -> None:
        generator = np.random.default_rng(key)
        east, south = _waves(grid)
        direction = np.angle(wind)
        along = east * np.cos(direction) - south * np.sin(direction)
        across = south * np.cos(direction) + east * np.sin(direction)
        wave = np.hypot(along * stretch**0.5, across / stretch**0.5)
        amplitude = (wave**2 + (2 * np.pi / longest) ** 2) ** (-exponent / 4)
        amplitude[0, 0] = 0.0
        twice = np.full(east.size, 2.0)
        twice[[0, -1]] = 1.0
        amplitude *= grid.nx * grid.ny / np.sqrt((twice * amplitude**2).sum())
        pairs = generator.standard_normal((*amplitude.shape, 2)) * np.sqrt(0.5)
        self._spectrum = (amplitude * (pairs[..., 0] + 1j * pairs[..., 1])).astype(np.complex64)
        lifetime = 110.0 * (2 * np.pi / np.maximum(wave, 2 * np.pi / longest) / 64) ** 0.7
        turning = generator.standard_normal(amplitude.shape) * minutes / lifetime
        drift = wind * 0.06 * minutes
        turning -= east * drift.real - south * drift.imag
        self._rotation = np.exp(1j * turning).astype(np.complex64)
        self._shape = grid.shape

    def step(self) -> _Field:
        """The field, which then moves on by a step."""
        values: _Field = scipy.fft.irfft2(self._spectrum, s=self._shape)
        self._spectrum = self._spectrum * self._rotation
        return values


class _Anvils:
    """Ice that flows out of towers: carried by the upper wind, spreading and thinning. Its state is a spectrum."""

    def __init__(self, grid: Grid, wind: complex, steering: complex, minutes: float) -> None:
        east, south = _waves(grid)
        drift = wind * 0.06 * minutes
        phase = np.exp(-1j * (east * drift.real - south * drift.imag))
        angle = np.angle(wind)
        along, across = east * np.cos(angle) - south * np.sin(angle), south * np.cos(angle) + east * np.sin(angle)
        spread = np.exp(-minutes * (_SPREADING[0] * along**2 + _SPREADING[1] * across**2 + 1 / _THINNING))
        self._advance = (phase * spread).astype(np.complex64)
        # A tower moves with the steering wind while ice flows out: what it left lies along a line downwind of it.
        trail = (wind - steering) * 0.06 * minutes
        half = (east * trail.real - south * trail.imag) / 2
        self._trail = (np.exp(-1j * half) * np.sinc(half / np.pi)).astype(np.complex64)
        self._shape = grid.shape
        self._spectra = np.zeros((2, *self._advance.shape), np.complex64)

    def step(self, outflow: _Field, top: _Field) -> tuple[_Field, _Field]:
        """Optical depth and height in m of anvils, after what flowed out in a step at a height was added."""
        self._spectra *= self._advance
        self._spectra += self._trail * scipy.fft.rfft2(np.stack([outflow, outflow * top]))
        depth, weighted = scipy.fft.irfft2(self._spectra, s=self._shape)
        np.maximum(depth, 0, out=depth)
        height = np.clip(weighted / np.maximum(depth, np.float32(1e-3)), 0, _CEILING)
        return depth, height


def _waves(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wave numbers towards east, ``(x,)``, and towards south, ``(y, 1)``, radians per km."""
    east = 2 * np.pi * scipy.fft.rfftfreq(grid.nx, grid.dx / 1000)
    return east, 2 * np.pi * scipy.fft.fftfreq(grid.ny, grid.dy / 1000)[:, np.newaxis]


@njit(cache=True)
def _splat(
    cells: Any, texture: Any, outlet: float, rate: float, tower: Any, depth: Any, outflow: Any, weighted: Any
) -> None:
    """Draw towers (highest top, optical depth) and their outflow (sum, and mean height) on the periodic plane.

    Columns of `cells`: x, y, stretch, angle, top, radius (pixels), vigour.
    """
    ny, nx = tower.shape
    for number in range(cells.shape[0]):
        x, y, stretch, angle, top, radius, vigour = cells[number]
        cosine, sine = np.cos(angle), np.sin(angle)
        reach = int(np.ceil(max(1.5 * radius * 1.25, 3.2 * outlet if vigour > 0 else 0.0)))
        reach = min(reach, min(nx, ny) // 2)
        column, row = int(np.floor(x)), int(np.floor(y))
        for i in range(row - reach, row + reach + 1):
            for j in range(column - reach, column + reach + 1):
                dx, dy = j - x, i - y
                ii, jj = i % ny, j % nx
                if vigour > 0:
                    flow = vigour * rate * np.exp(-0.5 * (dx * dx + dy * dy) / outlet**2)
                    outflow[ii, jj] += flow
                    weighted[ii, jj] += flow * top
                along = (cosine * dx + sine * dy) / stretch
                across = (cosine * dy - sine * dx) * stretch
                edge = radius * min(max(1.0 + 0.22 * texture[ii, jj], 0.5), 1.5)
                ratio = (along * along + across * across) / edge**2
                if ratio < 1.0:
                    tower[ii, jj] = max(tower[ii, jj], top * (1.0 - 0.15 * ratio))
                    depth[ii, jj] += 40.0 * (1.0 - ratio) ** 2
    for i in range(ny):
        for j in range(nx):
            if outflow[i, j] > 0:
                weighted[i, j] /= outflow[i, j]
