"""Brightness temperatures of the thermal channels above synthetic clouds.

Of two cloud layers without scattering (but for a reflectivity at 3.9 um), the radiance at the top of the atmosphere is

    L = (1 - e2) [(1 - e1) L_clear + e1 L_overcast(h1)] + e2 L_overcast(h2),   e = (1 - r) (1 - exp(-m b t)),

where L_overcast(h) is that above a black cloud with its top at h, t the optical depth at 10.8 um, b that of the channel
over it, for ice and for water, m the air mass and r the reflectivity.

References
----------
.. [1] T. Inoue, On the temperature and effective emissivity determination of semi-transparent cirrus clouds by
   bi-spectral measurements in the 10 um window region, J. Meteor. Soc. Japan 63 (1985), 88-99.
.. [2] K. I. Strabala, S. A. Ackerman and W. P. Menzel, Cloud properties inferred from 8-12 um data,
   J. Appl. Meteor. 33 (1994), 212-229.
.. [3] F.-M. Göttsche and F. S. Olesen, Modelling of diurnal cycles of brightness temperature extracted from
   METEOSAT data, Remote Sens. Environ. 76 (2001), 337-348.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ondee.collocation.viewing import satellite_angles, sun_angles
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.world.atmosphere import (
    CHANNELS,
    FINE,
    Channel,
    Tables,
    brightness,
    cloud_temperature,
    radiance,
    tables,
)
from ondee.world.clouds import Cloud

__all__ = ["brightness_temperature", "surface_temperature"]

_Field = NDArray[np.float32]

_ROOM = 32
"""Key of this module's random numbers."""
_NOWHERE = (2.5, 46.5)
"""Longitude and latitude of a plane whose position is unknown: the middle of France."""
_NIGHT, _DAY, _LAG = -2.5, 15.0, 75.0
"""The ground beside the air: K at night, K more under the sun in the zenith, minutes by which it lags."""
_FREEZING = 252.0
"""Temperature in K at which half of the tops are of ice; all are at 235 K."""
_PATCHES = 1.6
"""Standard deviation of the temperature of the ground from place to place, K."""


def brightness_temperature(
    cloud: Cloud, grid: Grid, time: np.datetime64, *, seed: int, satellite_longitude: float = 0.0
) -> _Field:
    """What a satellite would measure of each pixel, without noise, footprint and parallax.

    Parameters
    ----------
    cloud
        The clouds.
    grid
        Of the rain; the ground of a plane of unknown position lies at 46.5 N, 2.5 E.
    time
        When the scene is seen, UTC.
    seed
        Of the pattern of the ground, which does not move.
    satellite_longitude
        Degrees east.

    Returns
    -------
    ndarray
        ``(channel, y, x)`` float32 in K, in the order of :data:`ondee.world.atmosphere.CHANNELS`.
    """
    air_mass = _air_mass(grid, satellite_longitude)
    sun = _sunshine(grid, time)
    ground = surface_temperature(cloud, grid, time, seed=seed)
    # The air follows the season slowly: tables of a day serve all its images.
    all_tables = _tables(round(cloud.air, 1), round(air_mass, 3))
    tops = cloud_temperature(cloud.low_height, cloud.air)
    frozen = (1 / (1 + np.exp((tops - _FREEZING) / 4))).astype(np.float32)
    result = np.empty((len(CHANNELS), *grid.shape), np.float32)
    layers = (
        _Layer.of(cloud.low_height, cloud.low_depth, cloud.moisture, frozen),
        _Layer.of(cloud.ice_height, cloud.ice_depth, cloud.moisture, None),
    )
    for index, (channel, table) in enumerate(zip(CHANNELS.values(), all_tables, strict=True)):
        found = _clear(channel, table, ground, cloud.moisture, sun)
        for layer in layers:
            layer.cover(found, channel, table, air_mass, sun)
        result[index] = brightness(found, channel.wave_number).reshape(grid.shape)
    return result


def surface_temperature(cloud: Cloud, grid: Grid, time: np.datetime64, *, seed: int) -> _Field:
    """Temperature of the ground in K: above the air by day, below it by night, and less so under cloud.

    The sun's height of a little earlier drives it, as in the descriptions of diurnal cycles by a cosine [3]_.
    """
    warmth = _sunshine(grid, time - np.timedelta64(round(_LAG * 60), "s"))
    shade = np.exp(np.float32(-0.1) * np.minimum(cloud.optical_depth, np.float32(20)))
    departure = np.float32(_NIGHT) + np.float32(_DAY * warmth) * (np.float32(0.25) + np.float32(0.75) * shade)
    made: _Field = np.float32(cloud.air) + departure + _patches(grid, seed)
    return made


# ---- one channel


@dataclass(frozen=True)
class _Layer:
    """A cloud layer at the pixels where it is: flat indices, places in the tables, optical depth, moisture, ice."""

    where: NDArray[np.intp]
    level: NDArray[np.intp]
    depth: _Field
    moisture: _Field
    frozen: _Field | np.float32

    @classmethod
    def of(cls, height: _Field, depth: _Field, moisture: _Field, frozen: _Field | None) -> _Layer:
        """A layer; `frozen` is the share of ice, None for ice only."""
        where = np.flatnonzero(depth > 1e-3)
        level = np.rint(height.ravel()[where] * np.float32(1 / FINE)).astype(np.intp)
        ice = np.float32(1) if frozen is None else frozen.ravel()[where]
        return cls(where, level, depth.ravel()[where], moisture.ravel()[where], ice)

    def cover(self, found: _Field, channel: Channel, table: Tables, air_mass: float, sun: float) -> None:
        """Put the layer above the radiances of a channel, in place."""
        absorbing = np.float32(channel.water) + np.float32(channel.ice - channel.water) * self.frozen
        opaque = 1 - np.exp(np.float32(-air_mass) * absorbing * self.depth)
        own = table.overcast[0][self.level] + self.moisture * table.overcast[1][self.level]
        if channel.sunlight:
            own = self._reflecting(own, channel, table, sun)
        below = found[self.where]
        found[self.where] = below + opaque * (own - below)

    def _reflecting(self, own: _Field, channel: Channel, table: Tables, sun: float) -> _Field:
        """A layer's radiance where it emits less than a black body and reflects the sun instead."""
        more = np.float32(channel.ice_reflectivity - channel.water_reflectivity)
        reflectivity = np.float32(channel.water_reflectivity) + more * self.frozen
        light = table.above[0][self.level] ** 2 * np.float32(channel.sunlight * sun)
        made: _Field = own * (1 - reflectivity) + reflectivity * light
        return made


def _clear(channel: Channel, table: Tables, ground: _Field, moisture: _Field, sun: float) -> _Field:
    """Radiance of the sky without clouds, flat."""
    air = np.float32(table.air[0]) + np.float32(table.air[1]) * moisture
    through = np.float32(table.through[0]) + np.float32(table.through[1]) * moisture
    emitted = np.float32(channel.emissivity) * radiance(ground, channel.wave_number)
    if channel.sunlight:
        emitted += np.float32((1 - channel.emissivity) * channel.sunlight * sun) * through
    made: _Field = (air + through * emitted).ravel()
    return made


@lru_cache(maxsize=64)
def _tables(air: float, air_mass: float) -> tuple[Tables, ...]:
    return tuple(tables(channel, air, air_mass) for channel in CHANNELS.values())


# ---- where and when


def _placed(grid: Grid) -> Grid:
    """One cell in the middle of a grid, or of France where its position is unknown."""
    if grid.is_local:
        longitude, latitude = _NOWHERE
        return Grid(LATITUDE_LONGITUDE, longitude - 0.05, latitude + 0.05, 0.1, 0.1, 1, 1)
    return grid.crop(slice(grid.ny // 2, grid.ny // 2 + 1), slice(grid.nx // 2, grid.nx // 2 + 1))


@lru_cache(maxsize=16)
def _air_mass(grid: Grid, satellite_longitude: float) -> float:
    """Length of the line of sight from the middle of a grid to the satellite, over the vertical."""
    angles = satellite_angles(_placed(grid), satellite_longitude=satellite_longitude)
    zenith = float(angles["satellite_zenith_angle"].values[0, 0])
    return float(1 / np.cos(np.radians(min(zenith, 80.0))))


def _sunshine(grid: Grid, time: np.datetime64) -> float:
    """Cosine of the sun's zenith angle in the middle of a grid, 0 at night."""
    zenith = float(sun_angles(_placed(grid), [time])["sun_zenith_angle"].values[0, 0, 0])
    return max(0.0, float(np.cos(np.radians(zenith))))


@lru_cache(maxsize=4)
def _patches(grid: Grid, seed: int) -> _Field:
    """Departure of the ground's temperature from place to place, ``(y, x)`` in K; it does not move."""
    noise = np.random.default_rng([seed, _ROOM]).standard_normal(grid.shape, dtype=np.float32)
    wave = np.hypot(np.fft.rfftfreq(grid.nx, grid.dx / 1000), np.fft.fftfreq(grid.ny, grid.dy / 1000)[:, np.newaxis])
    spectrum = scipy.fft.rfft2(noise) * ((wave**2 + 0.01**2) ** -0.6).astype(np.float32)
    spectrum[0, 0] = 0
    field = scipy.fft.irfft2(spectrum, s=grid.shape)
    made: _Field = (field * np.float32(_PATCHES / max(float(field.std()), 1e-6))).astype(np.float32)
    return made
