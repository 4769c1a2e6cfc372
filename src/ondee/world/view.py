"""SEVIRI's view of a synthetic scene: slant lines of sight, footprint, noise and the time of each line.

Each line of sight ends at the first cloud top that it meets, so that a top appears away from the sub-satellite point
and hides what lies behind it. Radiances are then averaged over the footprint, 4.8 km wide where the pixels are 3 km
apart, and get the noise of their channel, constant in radiance: cold scenes are noisier in K, most of all at 3.9 um.

References
----------
.. [1] J. Schmetz et al., An introduction to Meteosat Second Generation (MSG), Bull. Amer. Meteor. Soc. 83
   (2002), 977-992 (footprint, cycle, noise).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.collocation.area import response, weights
from ondee.collocation.scan import scan_offset, seviri_disk
from ondee.collocation.viewing import satellite_longitude_of, true_position
from ondee.errors import GridError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer
from ondee.region import Region, four_numbers
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.world.atmosphere import CHANNELS, brightness, radiance
from ondee.world.clouds import Cloud

__all__ = ["scan_offset", "seviri_grid", "seviri_scene"]

_Field = NDArray[np.float32]

_ROOM = 33
"""Key of this module's random numbers."""
_FOOTPRINT = 1.6
"""Width of the footprint in pixels: 4.8 km [1]_."""
_CYCLE = 15
"""Minutes from one image to the next [1]_."""
_COVERAGE = 0.95
"""Least share of a footprint that must lie on the plane."""
_RISE = 500.0
"""Step along the line of sight, m of height: less than a pixel's width over Europe."""
_HIGH = 10_000.0
"""Height at which the slant of the lines of sight is taken, m."""
_COLDEST = 180.0
"""No noise makes a scene colder, K."""


def seviri_grid(region: Region, *, longitude: float = 0.0) -> Grid:
    """The part of SEVIRI's geostationary grid of 3 km that holds a region.

    Parameters
    ----------
    region
        West, south, east, north in degrees.
    longitude
        Of the satellite, degrees east.

    Raises
    ------
    GridError
        If the satellite does not see the region.
    ConfigError
        If the region is not four numbers.

    Examples
    --------
    >>> seviri_grid((0.0, 45.0, 2.0, 47.0)).shape
    (43, 51)
    """
    disk = seviri_disk(longitude)
    west, south, east, north = four_numbers(region)
    places = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    if not np.isfinite(transformer(LATITUDE_LONGITUDE, disk.crs).transform(*places)[0]).any():
        raise GridError(
            f"a satellite at {longitude:g} degrees east does not see {region}",
            where="the region of the SEVIRI scene",
            fix="give a region within 75 degrees of the satellite, or the longitude of another one",
        )
    return disk.crop(*disk.window(region, where="the region of the SEVIRI scene"))


def seviri_scene(cloud: Cloud, bt: _Field, grid: Grid, seviri: Grid, time: np.datetime64, *, seed: int) -> xr.Dataset:
    """What SEVIRI would deliver of a scene.

    Parameters
    ----------
    cloud
        The clouds at the moment the region is scanned, some 10 to 12 min after `time`.
    bt
        Brightness temperature of each pixel seen from above, ``(channel, y, x)`` in K.
    grid
        Of the clouds, with a known position.
    seviri
        A part of SEVIRI's grid, from :func:`seviri_grid`.
    time
        Nominal start of the image, UTC.
    seed
        Of the noise, which depends on the seed and the time only.

    Returns
    -------
    xarray.Dataset
        ``brightness_temperature(time=1, channel, y, x)`` in K, NaN where the plane of the rain does not reach, and
        ``scan_offset(time, y)`` in s, as :func:`ondee.source.seviri_netcdf.write` takes it.

    Raises
    ------
    GridError
        If the position of `grid` is unknown, or the two do not overlap.
    ConfigError
        If `seviri` is no part of SEVIRI's grid.
    """
    offset = scan_offset(seviri)
    longitude = satellite_longitude_of(seviri)
    seen = _slant(cloud.top_height, bt, grid, longitude)
    waves = [channel.wave_number for channel in CHANNELS.values()]
    for index, wave in enumerate(waves):
        seen[index] = radiance(seen[index], wave)
    footprints = _footprints(grid, seviri)
    radiances = footprints.mean(seen)
    moment = int(time.astype("datetime64[s]").astype(np.int64)) % 2**63
    noise = np.random.default_rng([seed, _ROOM, moment]).standard_normal(radiances.shape, dtype=np.float32)
    for index, (wave, channel) in enumerate(zip(waves, CHANNELS.values(), strict=True)):
        pair = radiance(np.array([channel.noise_at - 0.5, channel.noise_at + 0.5]), wave)
        noisy = radiances[index] + noise[index] * np.float32((pair[1] - pair[0]) * channel.noise)
        radiances[index] = brightness(np.maximum(noisy, radiance(_COLDEST, wave)), wave)
    radiances[:, footprints.coverage < _COVERAGE] = np.nan
    stamp = np.array([time], "datetime64[ns]")
    return assemble(
        {"brightness_temperature": Variable(radiances[np.newaxis]), "scan_offset": Variable(offset[np.newaxis])},
        seviri,
        stamp,
        time_bounds(stamp, _CYCLE, "start"),
        label="start",
        product="SEVIRI",
        where="ondee.world.view",
        channels=tuple(CHANNELS),
        source="ondee synthetic infrared",
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class _Footprints:
    """Means over footprints, by way of a grid twice as fine: a tenth of the weights of one matrix for all.

    Parameters
    ----------
    to_fine
        Shares of the pixels in each cell of the fine grid.
    along_y, along_x
        Shares of the fine rows and columns in those of the image.
    shape
        Of the fine grid.
    coverage
        Share of each footprint that the pixels cover, ``(y, x)``.
    """

    to_fine: scipy.sparse.csr_array
    along_y: scipy.sparse.csr_array
    along_x: scipy.sparse.csr_array
    shape: tuple[int, int]
    coverage: _Field

    def total(self, fields: _Field) -> _Field:
        """Sums over the covered part of each footprint, ``(channel, y, x)``; nothing in a scene is missing."""
        count = len(fields)
        # All channels at once: every weight is read a single time.
        fine = (self.to_fine @ fields.reshape(count, -1).T).reshape(self.shape[0], -1)
        rows = (self.along_y @ fine).reshape(-1, self.shape[1], count).transpose(1, 0, 2)
        both = (self.along_x @ rows.reshape(self.shape[1], -1)).reshape(self.along_x.shape[0], -1, count)
        made: _Field = np.ascontiguousarray(both.transpose(2, 1, 0))
        return made

    def mean(self, fields: _Field) -> _Field:
        """Means over the covered part of each footprint, ``(channel, y, x)``."""
        made = self.total(fields)
        made /= np.maximum(self.coverage, np.float32(1e-3))
        return made


@lru_cache(maxsize=8)
def _footprints(grid: Grid, seviri: Grid) -> _Footprints:
    """Weights of the pixels in each footprint."""
    fine, along_y, along_x = response(seviri, _FOOTPRINT)
    to_fine = weights(grid, fine)
    shape = (fine.nx * fine.ny, grid.nx * grid.ny)
    matrix = scipy.sparse.csr_array((to_fine.share, to_fine.index, to_fine.start.astype(np.int32)), shape=shape)
    found = _Footprints(
        matrix, along_y.astype(np.float32), along_x.astype(np.float32), fine.shape, np.zeros(0, np.float32)
    )
    return replace(found, coverage=found.total(np.ones((1, *grid.shape), np.float32))[0])


def _slant(top: _Field, bt: _Field, grid: Grid, longitude: float) -> _Field:
    """Image ``(channel, y, x)`` as seen along slant lines of sight, on the same pixels."""
    highest = float(np.nanmax(top, initial=0.0))
    source = _first_met(np.nan_to_num(top, nan=-1.0), *_lean(grid, longitude), highest)
    made: _Field = np.take(bt.reshape(bt.shape[0], -1), source.ravel(), axis=1).reshape(bt.shape)
    return made


@lru_cache(maxsize=8)
def _lean(grid: Grid, longitude: float) -> tuple[_Field, _Field]:
    """Columns and rows by which the line of sight to each pixel leaves it, per metre of height."""
    there = true_position(grid, _HIGH, satellite_longitude=longitude)
    x, y = transformer(LATITUDE_LONGITUDE, grid.crs).transform(*there)
    columns = (np.asarray(x) - grid.x) / (grid.dx * _HIGH)
    rows = (grid.y[:, np.newaxis] - np.asarray(y)) / (grid.dy * _HIGH)
    return columns.astype(np.float32), rows.astype(np.float32)


@njit(cache=True)
def _first_met(top: Any, columns: Any, rows: Any, highest: float) -> Any:
    """Pixel, flat, that each line of sight shows: the one whose cloud top it meets on its way down, or its own.

    Clouds are layers: a line that comes in below a top, from the side, shows what lies in front of that cloud. What
    lies beyond the plane is not known and hides nothing.
    """
    ny, nx = top.shape
    source = np.empty((ny, nx), np.int64)
    for i in range(ny):
        for j in range(nx):
            source[i, j] = i * nx + j
            lean_x, lean_y = columns[i, j], rows[i, j]
            if not np.isfinite(lean_x + lean_y):
                continue
            height, before = highest, np.int64(-1)
            while height > 0:
                ii = int(np.floor(i + lean_y * height + 0.5))
                jj = int(np.floor(j + lean_x * height + 0.5))
                if 0 <= ii < ny and 0 <= jj < nx:
                    if top[ii, jj] >= height:
                        from_above = top[ii, jj] < height + _RISE or before < 0
                        source[i, j] = ii * nx + jj if from_above else before
                        break
                    before = ii * nx + jj
                height -= _RISE
    return source
