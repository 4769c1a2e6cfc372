"""How a geostationary satellite and the sun see a Grid: angles, parallax, and its correction.

A cloud top at height h is seen where the line from the satellite through it meets the ground: away from the
sub-satellite point by ``h tan(zenith)``, about 12 km for a cloud at 10 km over France.

References
----------
.. [1] O. Montenbruck and E. Gill, Satellite Orbits, Springer 2000 (geodetic coordinates, local axes).
.. [2] J. J. Michalsky, The Astronomical Almanac's algorithm for approximate solar position (1950-2050),
   Solar Energy 40 (1988), 227-235; its author states an accuracy of 0.01 degrees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ondee.errors import ConfigError, GridError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer
from ondee.units import require, tag

__all__ = [
    "ORBIT_RADIUS",
    "cloud_top_height",
    "correct_parallax",
    "parallax",
    "satellite_angles",
    "satellite_longitude_of",
    "sun_angles",
    "true_position",
]

ORBIT_RADIUS = 42_164_000.0
"""Distance of a geostationary satellite from the centre of the Earth, m: the customary 42164 km."""

_Field = NDArray[np.float64]
_MAX_HEIGHT = 25_000.0


def satellite_longitude_of(grid: Grid, longitude: float | None = None) -> float:
    """Longitude of the satellite that looks at a Grid.

    Parameters
    ----------
    grid
        Any Grid with a position.
    longitude
        Degrees east; None to take that of a geostationary Grid.

    Raises
    ------
    ConfigError
        If the Grid is not geostationary and no longitude is given.
    """
    if longitude is not None:
        return float(longitude)
    grid.require_located("the satellite's view")
    if not grid.is_geostationary:
        raise ConfigError(
            "the grid is not the view of a satellite, so the satellite's longitude is not known",
            where=grid.describe(),
            fix="give satellite_longitude=… in degrees east: 0 for Meteosat's full disk, 9.5 for rapid scan",
        )
    operation = grid.projection.coordinate_operation
    parameters = {} if operation is None else {entry.name: entry.value for entry in operation.params}
    return float(parameters.get("Longitude of natural origin", 0.0))


def satellite_angles(grid: Grid, *, satellite_longitude: float | None = None) -> xr.Dataset:
    """Zenith and azimuth of a geostationary satellite, seen from the ground.

    The line of sight in the local axes east, north, up of the ellipsoid's normal [1]_.

    Parameters
    ----------
    grid
        Any Grid with a position.
    satellite_longitude
        Degrees east; may be left out for a geostationary Grid.

    Returns
    -------
    xarray.Dataset
        ``satellite_zenith_angle`` and ``satellite_azimuth_angle`` (clockwise from north), ``(y, x)`` in degrees;
        NaN off the Earth. A zenith angle above 90 is a place that the satellite does not see.

    Raises
    ------
    GridError
        If the position of the grid is unknown.
    ConfigError
        If the longitude of the satellite is.
    """
    east, north, up = _line_of_sight(grid, satellite_longitude)
    zenith = np.degrees(np.arctan2(np.hypot(east, north), up))
    azimuth = np.degrees(np.arctan2(east, north)) % 360.0
    return _dataset(grid, satellite_zenith_angle=zenith, satellite_azimuth_angle=azimuth)


def parallax(grid: Grid, *, satellite_longitude: float | None = None) -> xr.Dataset:
    """Apparent displacement per metre of cloud height, from the true to the apparent position.

    Parameters
    ----------
    grid
        Any Grid with a position: the true positions.
    satellite_longitude
        Degrees east; may be left out for a geostationary Grid.

    Returns
    -------
    xarray.Dataset
        ``parallax_east`` and ``parallax_north``, ``(y, x)``, metres on the tangent plane per metre of height; NaN where
        the satellite does not see the ground. To first order in the height: at 10 km within 0.5 % where
        the satellite stands 30 degrees high, 0.7 % at 60 degrees north.

    Raises
    ------
    GridError
        If the position of the grid is unknown.
    ConfigError
        If the longitude of the satellite is.
    """
    east, north, up = _line_of_sight(grid, satellite_longitude)
    up = np.where(up > 0, up, np.nan)
    return _dataset(grid, parallax_east=-east / up, parallax_north=-north / up)


def sun_angles(grid: Grid, times: ArrayLike, *, scan_offset: xr.DataArray | None = None) -> xr.Dataset:
    """Zenith and azimuth of the sun, without refraction, by the Astronomical Almanac's algorithm [2]_.

    Parameters
    ----------
    grid
        Any Grid with a position.
    times
        UTC, ``(time,)``.
    scan_offset
        ``(time, y)`` in s after `times`: the true time of each line. Lines without a time take the label.

    Returns
    -------
    xarray.Dataset
        ``sun_zenith_angle`` and ``sun_azimuth_angle`` (clockwise from north), ``(time, y, x)`` in degrees.

    Raises
    ------
    GridError
        If the position of the grid is unknown.
    UnitError
        If the scan offset is not in s.
    """
    longitude, latitude = grid.longitude_latitude()
    stamps = np.atleast_1d(np.asarray(times, dtype="datetime64[ns]"))
    days = (stamps - np.datetime64("2000-01-01T12:00", "ns")) / np.timedelta64(1, "D")
    moments = np.repeat(days[:, None], grid.ny, axis=1)
    if scan_offset is not None:
        offset = require(scan_offset, "scan_offset", where="sun_angles").transpose("time", "y").values
        moments = moments + np.nan_to_num(offset.astype(np.float64)) / 86400.0
    shape = (stamps.size, *grid.shape)
    zenith, azimuth = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for index, lines in enumerate(moments):
        zenith[index], azimuth[index] = _sun(lines[:, None], np.radians(longitude), np.radians(latitude))
    return _dataset(grid, stamps, sun_zenith_angle=zenith, sun_azimuth_angle=azimuth)


def cloud_top_height(
    brightness_temperature_108: xr.DataArray,
    *,
    surface_temperature: float | xr.DataArray,
    lapse_rate: float = 6.5,
    ceiling: float = 16_000.0,
) -> xr.DataArray:
    """Height of opaque cloud tops from the 10.8 um window and a constant lapse rate.

    ``(surface_temperature - T) / lapse_rate``, held between 0 (clear, or warmer than the surface value) and the
    `ceiling` (no cloud top in Europe stands higher than the tropopause by much). An estimate: thin cirrus comes out
    too low, inversions and the isothermal stratosphere are not known to it.

    Parameters
    ----------
    brightness_temperature_108
        In K, at 10.8 um, or with a ``channel`` dimension that holds ``IR_108``.
    surface_temperature
        Of the ground or the air near it, K; a number or an array that broadcasts.
    lapse_rate
        K per km; 6.5 is that of the ICAO standard atmosphere.
    ceiling
        Largest height, m.

    Returns
    -------
    xarray.DataArray
        ``cloud_top_height`` in m; NaN where the temperature is. The attributes ``lapse_rate``, ``ceiling``,
        ``at_ground_count`` and ``at_ceiling_count`` tell the assumptions and how often the bounds were needed.

    Raises
    ------
    UnitError
        If the brightness temperature is not in K.
    ConfigError
        If the lapse rate or ceiling is not positive, or there is no IR_108.
    """
    if not (lapse_rate > 0 and 0 < ceiling <= _MAX_HEIGHT):
        raise ConfigError(
            f"lapse_rate={lapse_rate}, ceiling={ceiling} make no height",
            where="cloud_top_height",
            fix=f"give a lapse rate in K per km, e.g. 6.5, and a ceiling in m of at most {_MAX_HEIGHT:.0f}",
        )
    temperature = require(brightness_temperature_108, "brightness_temperature", where="cloud_top_height")
    if "channel" in temperature.dims:
        if "IR_108" not in temperature["channel"].values:
            raise ConfigError(
                "there is no channel IR_108",
                where="cloud_top_height",
                fix="give the brightness temperature of a window channel near 10.8 um without a channel dimension",
            )
        temperature = temperature.sel(channel="IR_108", drop=True)
    height = (surface_temperature - temperature) * (1000.0 / lapse_rate)
    low, high = int((height < 0).sum()), int((height > ceiling).sum())
    bounded = height.clip(0.0, ceiling).transpose(*temperature.dims).astype(np.float32)
    return tag(
        bounded,
        "cloud_top_height",
        grid_mapping="crs",
        lapse_rate=f"{lapse_rate:g} K km-1",
        ceiling=float(ceiling),
        at_ground_count=low,
        at_ceiling_count=high,
    )


def true_position(grid: Grid, height: ArrayLike, *, satellite_longitude: float | None = None) -> tuple[_Field, _Field]:
    """Longitude and latitude below the cloud that is seen in each cell.

    The line from the satellite to the cell is cut with the ellipsoid whose half axes are longer by the height; the
    surface of equal height departs from that by less than a metre.

    Parameters
    ----------
    grid
        Any Grid with a position: the apparent positions.
    height
        Of the cloud, m, ``(ny, nx)`` or a number.
    satellite_longitude
        Degrees east; may be left out for a geostationary Grid.

    Returns
    -------
    tuple of ndarray
        Longitude and latitude in degrees, ``(ny, nx)``; NaN where the satellite does not see the ground.
    """
    longitude, latitude = grid.longitude_latitude()
    position = satellite_longitude_of(grid, satellite_longitude)
    a, b = _axes(grid)
    ground = _geocentric(np.radians(longitude), np.radians(latitude), a, b)
    satellite = _satellite(position)[:, None, None]
    sight = ground - satellite
    raised = np.asarray(height, dtype=np.float64)
    squares = np.stack(np.broadcast_arrays((a + raised) ** 2, (a + raised) ** 2, (b + raised) ** 2))
    if squares.ndim == 1:
        squares = squares[:, None, None]
    # |satellite + t sight| on the raised ellipsoid; the nearer of the two crossings is the visible one.
    p = (sight**2 / squares).sum(axis=0)
    q = (satellite * sight / squares).sum(axis=0)
    r = (satellite**2 / squares).sum(axis=0) - 1.0
    with np.errstate(invalid="ignore"):
        t = (-q - np.sqrt(q**2 - p * r)) / p
    # A cell behind the limb: the ray meets the Earth before it reaches the cell.
    seen = (sight * ground / np.array([a**2, a**2, b**2])[:, None, None]).sum(axis=0) < 0
    x, y, z = satellite + t * sight
    true_latitude = np.arctan2(z * squares[0], np.hypot(x, y) * squares[2])
    return np.where(seen, np.degrees(np.arctan2(y, x)), np.nan), np.where(seen, np.degrees(true_latitude), np.nan)


def correct_parallax(
    dataset: xr.Dataset,
    height: xr.DataArray | float,
    *,
    fallback: float | None = None,
    satellite_longitude: float | None = None,
) -> xr.Dataset:
    """Move what is seen to where it is.

    Each cell goes, whole, to the cell in which its true position lies (forward mapping to the nearest centre). Where
    several land in one cell the highest cloud wins, as it would from above; where none lands the result is missing:
    that ground was hidden behind a cloud, or outside the image. Nothing is interpolated.

    Parameters
    ----------
    dataset
        With variables ``(…, y, x)`` and a Grid; others (``scan_offset``) are kept as they are.
    height
        Of the cloud tops, m, ``([time,] y, x)``, 0 where clear; or one number for all cells.
    fallback
        Height in m where `height` is missing; None to make such cells missing.
    satellite_longitude
        Degrees east; may be left out for a geostationary Grid.

    Returns
    -------
    xarray.Dataset
        On the same Grid, with the attribute ``parallax_correction``.

    Raises
    ------
    UnitError
        If `height` is an array in another unit than m.
    GridError
        If `height` is on another grid.
    """
    grid = Grid.of(dataset)
    grid.require_located("correct_parallax")
    heights = _heights(height, grid, dataset, fallback)
    sources = [_sources(grid, plane, satellite_longitude) for plane in heights]
    corrected = dataset.copy()
    for name, array in dataset.data_vars.items():
        if array.dims[-2:] != ("y", "x"):
            continue
        moved = np.full(array.shape, np.nan, dtype=np.result_type(array.dtype, np.float32))
        steps = array.sizes.get("time", 1)
        flat, target = (part.reshape(steps, -1, grid.ny * grid.nx) for part in (array.values, moved))
        for index in range(steps):
            source = sources[index if len(sources) > 1 else 0]
            landed = source >= 0
            target[index][:, landed] = flat[index][:, source[landed]]
        corrected[name] = array.copy(data=moved)
        corrected[name].encoding = dict(array.encoding)
    kind = f"constant height {float(height):g} m" if not isinstance(height, xr.DataArray) else "cloud_top_height"
    corrected.attrs["parallax_correction"] = f"forward to the nearest cell, highest cloud wins; {kind}"
    return corrected


# ---- geometry


def _axes(grid: Grid) -> tuple[float, float]:
    """Half axes of the ellipsoid of a grid, m."""
    ellipsoid = grid.projection.ellipsoid
    if ellipsoid is None or ellipsoid.semi_minor_metre is None:
        raise GridError(
            "the grid stands on no ellipsoid", where=grid.describe(), fix="give the grid a CRS with an ellipsoid"
        )
    return float(ellipsoid.semi_major_metre), float(ellipsoid.semi_minor_metre)


def _satellite(longitude: float) -> _Field:
    """Geocentric position of the satellite, ``(3,)`` in m."""
    angle = np.radians(longitude)
    return ORBIT_RADIUS * np.array([np.cos(angle), np.sin(angle), 0.0])


def _geocentric(longitude: _Field, latitude: _Field, a: float, b: float) -> _Field:
    """Geocentric position of points of the ellipsoid, ``(3, …)`` in m, from radians [1]_."""
    normal = a**2 / np.hypot(a * np.cos(latitude), b * np.sin(latitude))
    return np.stack(
        [
            normal * np.cos(latitude) * np.cos(longitude),
            normal * np.cos(latitude) * np.sin(longitude),
            normal * (b / a) ** 2 * np.sin(latitude),
        ]
    )


def _line_of_sight(grid: Grid, satellite_longitude: float | None) -> tuple[_Field, _Field, _Field]:
    """Vector from the ground to the satellite, m, in the local axes east, north, up [1]_."""
    longitude, latitude = (np.radians(plane) for plane in grid.longitude_latitude())
    position = _satellite(satellite_longitude_of(grid, satellite_longitude))
    x, y, z = position[:, None, None] - _geocentric(longitude, latitude, *_axes(grid))
    outward = np.cos(longitude) * x + np.sin(longitude) * y
    return (
        -np.sin(longitude) * x + np.cos(longitude) * y,
        np.cos(latitude) * z - np.sin(latitude) * outward,
        np.cos(latitude) * outward + np.sin(latitude) * z,
    )


def _sun(days: _Field, longitude: _Field, latitude: _Field) -> tuple[_Field, _Field]:
    """Zenith and azimuth of the sun in degrees; `days` after 2000-01-01 12:00 UTC, the rest in radians [2]_."""
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic))
    hours = (days + 0.5) % 1.0 * 24.0
    sidereal = np.radians(15.0 * (6.697375 + 0.0657098242 * days + hours))
    angle = sidereal + longitude - ascension
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(angle)
    east = -np.cos(declination) * np.sin(angle)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(angle)
    return np.degrees(np.arctan2(np.hypot(east, north), up)), np.degrees(np.arctan2(east, north)) % 360.0


def _dataset(grid: Grid, times: NDArray[np.datetime64] | None = None, **planes: NDArray[Any]) -> xr.Dataset:
    """Planes of the vocabulary's quantities on the coordinates of a Grid."""
    coordinates: dict[str, Any] = dict(grid.coordinates())
    dims: tuple[str, ...] = ("y", "x")
    if times is not None:
        coordinates["time"], dims = ("time", times), ("time", "y", "x")
    arrays = {
        name: tag(xr.DataArray(plane.astype(np.float32), dims=dims), name, grid_mapping="crs")
        for name, plane in planes.items()
    }
    return xr.Dataset(arrays, coords=coordinates)


# ---- moving an image


def _heights(height: xr.DataArray | float, grid: Grid, dataset: xr.Dataset, fallback: float | None) -> list[_Field]:
    """Heights of each time, ``(ny, nx)``; one for all times if they do not change."""
    if not isinstance(height, xr.DataArray):
        return [np.full(grid.shape, float(height))]
    tagged = require(height, "cloud_top_height", where="correct_parallax")
    if "crs" in tagged.coords and not grid.same_as(Grid.of(tagged)):
        raise GridError(
            "the heights are on another grid than the image",
            where="correct_parallax",
            fix="regrid the heights to the image's grid first, with ondee.collocation",
        )
    steps = tagged.sizes.get("time", 1)
    fits = tagged.transpose(..., "y", "x").values.reshape(steps, -1, *tagged.shape[-2:])
    if fits.shape != (steps, 1, *grid.shape) or steps not in (1, dataset.sizes.get("time", 1)):
        raise GridError(
            f"heights of shape {tagged.shape} do not fit an image of {grid.shape}",
            where="correct_parallax",
            fix="give heights ([time,] y, x) with the times and cells of the image",
        )
    planes = fits[:, 0].astype(np.float64)
    return list(planes if fallback is None else np.where(np.isnan(planes), float(fallback), planes))


def _sources(grid: Grid, height: _Field, satellite_longitude: float | None) -> NDArray[np.intp]:
    """For each cell the flat index of the cell whose content belongs there; -1 where none does."""
    longitude, latitude = true_position(grid, height, satellite_longitude=satellite_longitude)
    x, y = transformer(LATITUDE_LONGITUDE, grid.crs).transform(longitude, latitude)
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(height)
    column = np.floor((np.where(known, x, grid.west) - grid.west) / grid.dx).astype(np.intp)
    row = np.floor((grid.north - np.where(known, y, grid.north)) / grid.dy).astype(np.intp)
    known &= (column >= 0) & (column < grid.nx) & (row >= 0) & (row < grid.ny)
    cells = np.flatnonzero(known)
    order = cells[np.argsort(height.reshape(-1)[cells], kind="stable")]
    sources = np.full(grid.nx * grid.ny, -1, dtype=np.intp)
    # Later assignments win: the cells come in order of height.
    sources[(row * grid.nx + column).reshape(-1)[order]] = order
    return sources
