"""Where the pixels of a CF file lie: its grid mapping, its axes, or the regular grid behind its 2-D coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, GridError, ReadError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid, transformer

__all__ = ["GEOSTATIONARY", "Layout", "Placement", "axis_of", "geostationary", "layout"]

_ROW_NAMES = frozenset(
    {"y", "lat", "latitude", "row", "rows", "nj", "ny", "j", "rlat", "yc", "northing", "south_north"}
)
_COLUMN_NAMES = frozenset(
    {"x", "lon", "longitude", "column", "columns", "ni", "nx", "i", "rlon", "xc", "easting", "west_east"}
)
_ROW_STANDARD = frozenset({"latitude", "grid_latitude", "projection_y_coordinate", "projection_y_angular_coordinate"})
_COLUMN_STANDARD = frozenset(
    {"longitude", "grid_longitude", "projection_x_coordinate", "projection_x_angular_coordinate"}
)
_METRES = {
    **dict.fromkeys(("m", "metre", "meter", "metres", "meters"), 1.0),
    **dict.fromkeys(("km", "kilometre", "kilometer", "kilometres", "kilometers"), 1000.0),
}
_RADIANS = {**dict.fromkeys(("rad", "radian", "radians"), 1.0), **dict.fromkeys(("microradian", "urad"), 1e-6)}
_FIT = 5e-3
"""Largest departure of a pixel's own coordinates from the regular grid that they are found to be, in cells."""


def geostationary(longitude: float, *, ellipsoid: str = "+a=6378169 +rf=295.488065897014") -> str:
    """PROJ string of the view of Meteosat Second Generation from a longitude.

    The height 35785831 m and the ellipsoid are those that satpy gives SEVIRI's level 1.5 images.

    Examples
    --------
    >>> geostationary(9.5)
    '+proj=geos +h=35785831 +lon_0=9.5 +a=6378169 +rf=295.488065897014 +units=m +no_defs'
    """
    return f"+proj=geos +h=35785831 +lon_0={longitude:g} {ellipsoid} +units=m +no_defs"


GEOSTATIONARY: tuple[str, ...] = tuple(
    geostationary(longitude, ellipsoid=ellipsoid)
    for ellipsoid in ("+a=6378169 +rf=295.488065897014", "+ellps=WGS84")
    for longitude in (0.0, 9.5, 3.4, 41.5, 45.5)
)
"""Views tried on 2-D coordinates: full disk, rapid scan, spare and Indian Ocean services of Meteosat."""


@dataclass(frozen=True)
class Placement:
    """Where the user says that an image lies: a CRS, and the outer edges of its first column and row in metres."""

    crs: str | None = None
    west: float | None = None
    north: float | None = None

    def check(self, where: object) -> None:
        """Refuse half a placement.

        Raises
        ------
        ConfigError
            If an edge is given without its CRS, or one edge without the other.
        """
        if (self.west is None) != (self.north is None) or (self.west is not None and self.crs is None):
            raise ConfigError(
                "the place of the image is half given",
                where=where,
                fix="give crs, west and north together (metres, outer edges); or crs alone if x and y are true",
            )


@dataclass(frozen=True)
class Layout:
    """How the horizontal dimensions of a file become a Grid.

    Parameters
    ----------
    grid
        The whole grid, row 0 north, column 0 west.
    y, x
        Names of the dimensions in the file.
    flip_y, flip_x
        Whether the file counts rows from the south, or columns from the east.
    """

    grid: Grid
    y: str
    x: str
    flip_y: bool
    flip_x: bool

    def in_file(self, rows: slice, columns: slice) -> dict[str, slice]:
        """Indices in the file of a block of the Grid."""
        return {
            self.y: _mirrored(rows, self.grid.ny, self.flip_y),
            self.x: _mirrored(columns, self.grid.nx, self.flip_x),
        }

    def north_up(self, block: NDArray[Any]) -> NDArray[Any]:
        """Turn a block ``(…, y, x)`` as the file holds it into the order of the Grid."""
        return block[..., :: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


def axis_of(name: str, variable: xr.Variable | None) -> str:
    """Say whether a dimension runs along ``"y"``, ``"x"`` or neither (``""``)."""
    attributes: Mapping[str, Any] = {} if variable is None else variable.attrs
    standard, axis = str(attributes.get("standard_name", "")), str(attributes.get("axis", "")).upper()
    units = str(attributes.get("units", "")).lower().replace(" ", "_")
    if axis == "Y" or standard in _ROW_STANDARD or units in ("degrees_north", "degree_north"):
        return "y"
    if axis == "X" or standard in _COLUMN_STANDARD or units in ("degrees_east", "degree_east"):
        return "x"
    if name.lower() in _ROW_NAMES:
        return "y"
    return "x" if name.lower() in _COLUMN_NAMES else ""


def layout(
    file: xr.Dataset, y: str, x: str, variables: Sequence[str], placement: Placement, *, where: object
) -> Layout:
    """Find the Grid of two dimensions of a file.

    Parameters
    ----------
    file
        The file, not decoded.
    y, x
        Its horizontal dimensions.
    variables
        Data variables on them, whose ``grid_mapping`` counts.
    placement
        What the user says of the position.
    where
        The file, for errors.

    Raises
    ------
    ReadError
        If the file does not tell where its pixels lie, or they are not on a regular grid.
    """
    placement.check(where)
    mapping = _mapping(file, variables)
    try:
        own = _own(file, y, x, mapping)
        if own is not None and placement.crs is None:
            return own
        rows, columns = _centres(file, y), _centres(file, x)
        if rows is None or columns is None:
            return _from_two_dimensional(file, y, x, placement, where)
        crs = placement.crs or _crs(file, mapping, where)
        if crs is None and axis_of(y, rows) == "y" and _is_degrees(rows) and _is_degrees(columns):
            crs = LATITUDE_LONGITUDE
        return _from_axes(rows, columns, y, x, crs, mapping, placement, where)
    except GridError as error:
        raise ReadError(
            f"the coordinates {y} and {x} make no regular grid: {error.what}", where=where, fix=error.fix
        ) from error


def _mirrored(cells: slice, size: int, flip: bool) -> slice:
    return slice(size - cells.stop, size - cells.start) if flip else slice(cells.start, cells.stop)


# ---- coordinate reference systems


def _mapping(file: xr.Dataset, variables: Sequence[str]) -> Mapping[str, Any]:
    """Attributes of the grid mapping of the variables; empty if there is none."""
    for name in variables:
        words = str(file[name].attrs.get("grid_mapping", "")).replace(":", " ").split()
        if words and words[0] in file.variables:
            return file[words[0]].attrs
    for name in ("crs", "spatial_ref"):
        if name in file.variables and file[name].ndim == 0:
            return file[name].attrs
    return {}


def _crs(file: xr.Dataset, mapping: Mapping[str, Any], where: object) -> str | None:
    """CRS that the file states, as text; None if it states none."""
    stated = next((mapping[key] for key in ("crs_wkt", "spatial_ref") if mapping.get(key)), None)
    if stated is None and "grid_mapping_name" in mapping:
        stated = {key: value for key, value in mapping.items() if key != "GeoTransform"}
    if stated is None:
        texts = (
            str(file.attrs[key]) for key in ("proj4", "crs_wkt", "crs", "projection", "projdef") if key in file.attrs
        )
        stated = next((text for text in texts if "+proj=" in text or "CRS[" in text or text.startswith("EPSG:")), None)
    if stated is None:
        return None
    try:
        crs = pyproj.CRS.from_cf(stated) if isinstance(stated, dict) else pyproj.CRS.from_user_input(str(stated))
    except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError) as error:
        raise ReadError(
            "the grid mapping of the file cannot be understood",
            where=f"{where}, {str(stated)[:80]}",
            fix="give the projection when opening: ondee.open(path, crs='+proj=…')",
        ) from error
    return LATITUDE_LONGITUDE if _is_plain_degrees(crs) else crs.to_wkt()


def _is_plain_degrees(crs: pyproj.CRS) -> bool:
    """Whether a CRS is longitude and latitude on the WGS 84 ellipsoid or on one that the file does not say."""
    if not crs.is_geographic or crs.is_derived or crs.prime_meridian is None or crs.prime_meridian.longitude:
        return False
    ellipsoid = crs.ellipsoid
    return ellipsoid is not None and abs(ellipsoid.semi_major_metre - 6378137.0) < 0.5


def _own(file: xr.Dataset, y: str, x: str, mapping: Mapping[str, Any]) -> Layout | None:
    """Grid of a file that ondee wrote, to the last bit; None if this is no such file or its axes disagree."""
    if not {"crs_wkt", "GeoTransform"} <= set(mapping) or (y, x) != ("y", "x") or not {y, x} <= set(file.variables):
        return None
    words = str(mapping["GeoTransform"]).split()
    try:
        west, dx, _, north, _, minus_dy = (float(word) for word in words)
        grid = Grid(str(mapping["crs_wkt"]), west, north, dx, -minus_dy, file.sizes[x], file.sizes[y])
    except (ValueError, GridError):
        return None
    agree = np.allclose(file[x].values, grid.x, rtol=0, atol=2e-3 * dx) and np.allclose(
        file[y].values, grid.y, rtol=0, atol=2e-3 * grid.dy
    )
    return Layout(grid, y, x, False, False) if agree else None


# ---- axes


def _centres(file: xr.Dataset, dimension: str) -> xr.Variable | None:
    """The 1-D coordinate along a dimension, under its own name or another."""
    if dimension in file.variables and file[dimension].ndim == 1:
        return file.variables[dimension]
    kind = axis_of(dimension, None)
    for name, variable in file.variables.items():
        if variable.dims == (dimension,) and axis_of(str(name), variable) == kind != "":
            return variable
    return None


def _is_degrees(variable: xr.Variable) -> bool:
    return str(variable.attrs.get("units", "")).lower().startswith("degree") or str(
        variable.attrs.get("standard_name", "")
    ) in ("latitude", "longitude")


def _from_axes(
    rows: xr.Variable,
    columns: xr.Variable,
    y: str,
    x: str,
    crs: str | None,
    mapping: Mapping[str, Any],
    placement: Placement,
    where: object,
) -> Layout:
    """Grid of 1-D centres."""
    height = mapping.get("perspective_point_height") or _height(crs)
    east = _in_units_of(columns, crs, height, where=f"{where}, {x}")
    south_north = _in_units_of(rows, crs, height, where=f"{where}, {y}")
    flip_y = bool(south_north.size > 1 and south_north[0] < south_north[-1])
    flip_x = bool(east.size > 1 and east[0] > east[-1])
    centres_x = east[::-1] if flip_x else east
    centres_y = south_north[::-1] if flip_y else south_north
    if crs == LATITUDE_LONGITUDE and centres_x.min() >= 180.0:
        centres_x = centres_x - 360.0
    if crs == LATITUDE_LONGITUDE and not np.abs(centres_y).max() <= 90.0:
        raise ReadError(
            f"latitudes reach {centres_y[np.argmax(np.abs(centres_y))]:g} degrees",
            where=f"{where}, {y}",
            fix="the coordinates are damaged, or in another unit than they say; mend them",
        )
    grid = Grid.from_centres(crs or LOCAL, centres_x, centres_y, where=where)
    if placement.west is not None and placement.north is not None:
        grid = Grid(grid.crs, placement.west, placement.north, grid.dx, grid.dy, grid.nx, grid.ny)
    elif placement.crs is not None and centres_x[0] == 0.0 and centres_y[-1] == 0.0:
        raise ConfigError(
            "x and y count from a corner of the image; a crs alone does not place it",
            where=where,
            fix="give west and north too: the outer edges of the image in metres of that crs",
        )
    return Layout(grid, y, x, flip_y, flip_x)


def _height(crs: str | None) -> object:
    """Height of a geostationary satellite above the ellipsoid, m; None for another projection."""
    return None if crs is None else pyproj.CRS.from_user_input(crs).to_cf().get("perspective_point_height")


def _in_units_of(centres: xr.Variable, crs: str | None, height: object, *, where: object) -> NDArray[np.float64]:
    """Centres in degrees for a geographic CRS, in metres for another; angles of a scan become metres."""
    values = np.asarray(centres.values, dtype=np.float64)
    units = str(centres.attrs.get("units", "")).strip()
    if crs is not None and pyproj.CRS.from_user_input(crs).is_geographic:
        if units.lower().startswith("degree") or not units:
            return values
    elif units in _METRES:
        return values * _METRES[units]
    elif units in _RADIANS and height is not None:
        return values * (_RADIANS[units] * float(np.asarray(height).reshape(-1)[0]))
    raise ReadError(
        f"the coordinate is in {units!r}, which does not fit its projection",
        where=where,
        fix="give x and y in m (units = 'm'), or name the projection: ondee.open(path, crs='+proj=…')",
    )


# ---- two-dimensional longitude and latitude


def _from_two_dimensional(file: xr.Dataset, y: str, x: str, placement: Placement, where: object) -> Layout:
    """Grid behind 2-D longitude and latitude, if they are those of a regular one."""
    latitude, longitude = _plane(file, y, x, "y"), _plane(file, y, x, "x")
    if latitude is None or longitude is None:
        raise ReadError(
            f"the file does not say where its pixels lie: no coordinates along {y} and {x}",
            where=where,
            fix="add x(x) and y(y) in metres, with crs=… when opening; or 2-D lat and lon",
        )
    candidates = (placement.crs,) if placement.crs else (LATITUDE_LONGITUDE, *GEOSTATIONARY)
    for crs in candidates:
        found = _fitted(crs, longitude, latitude, y, x, where)
        if found is not None:
            return found
    tried = "the projection given" if placement.crs else "latitude-longitude and the views of Meteosat"
    raise ReadError(
        f"the 2-D coordinates are no regular grid in {tried}",
        where=where,
        fix="name the projection: ondee.open(path, crs='+proj=…'); ondee reads regular grids only",
    )


def _plane(file: xr.Dataset, y: str, x: str, kind: str) -> NDArray[np.float64] | None:
    """2-D latitude (``kind="y"``) or longitude over the dimensions, NaN where it is fill."""
    for name, variable in file.variables.items():
        if set(variable.dims) != {y, x} or axis_of(str(name), variable) != kind:
            continue
        values = np.asarray(variable.transpose(y, x).values, dtype=np.float64)
        fill = variable.attrs.get("_FillValue", np.nan)
        scale, offset = variable.attrs.get("scale_factor", 1.0), variable.attrs.get("add_offset", 0.0)
        values = np.where(values == np.asarray(fill, dtype=np.float64), np.nan, values * float(scale) + float(offset))
        return np.where(np.abs(values) <= 361.0, values, np.nan)
    return None


def _fitted(
    crs: str, longitude: NDArray[np.float64], latitude: NDArray[np.float64], y: str, x: str, where: object
) -> Layout | None:
    """Grid in a CRS whose cell centres the coordinates are, every one of them; None if they are not."""
    centres_x, centres_y = np.empty(0), np.empty(0)
    some = np.s_[:: max(1, latitude.shape[0] // 16), :: max(1, latitude.shape[1] // 16)]
    for part in (some, np.s_[:, :]):
        if min(latitude[part].shape) < 2:
            return None
        px, py = transformer(LATITUDE_LONGITUDE, crs).transform(longitude[part], latitude[part])
        px, py = (np.where(np.isfinite(value), value, np.nan) for value in (px, py))
        line_x, line_y = _line(px), _line(py.T)
        if line_x is None or line_y is None:
            return None
        centres_x, centres_y = line_x, line_y
        cell = abs(centres_x[1] - centres_x[0]), abs(centres_y[1] - centres_y[0])
        # A coarse sample has larger cells: the departure is judged in cells of the sample, then of the grid.
        with np.errstate(invalid="ignore"):
            off = np.abs(px - centres_x[None, :]) / cell[0] > _FIT
            off |= np.abs(py - centres_y[:, None]) / cell[1] > _FIT
        if off.any():
            return None
    flip_y, flip_x = bool(centres_y[0] < centres_y[-1]), bool(centres_x[0] > centres_x[-1])
    grid = Grid.from_centres(
        crs, centres_x[::-1] if flip_x else centres_x, centres_y[::-1] if flip_y else centres_y, where=where
    )
    return Layout(grid, y, x, flip_y, flip_x)


def _line(plane: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Evenly spaced centres along the last dimension that fit a plane best; None if they do not advance."""
    seen = np.isfinite(plane)
    counts = seen.sum(axis=0)
    columns = np.flatnonzero(counts)
    if columns.size < 2:
        return None
    mean = np.where(seen, plane, 0.0).sum(axis=0)[columns] / counts[columns]
    centre = columns.mean()
    step = float(np.sum((columns - centre) * (mean - mean.mean())) / np.sum((columns - centre) ** 2))
    if not abs(step) > 0:
        return None
    line: NDArray[np.float64] = mean.mean() + step * (np.arange(plane.shape[1]) - centre)
    return line
