"""Grids: a coordinate reference system and the edges of regular cells, row 0 north, column 0 west."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ondee.axis import evenly_spaced, touched
from ondee.errors import GridError
from ondee.region import Region, four_numbers

__all__ = ["LATITUDE_LONGITUDE", "LOCAL", "Grid", "Region", "transformer"]


LATITUDE_LONGITUDE = "OGC:CRS84"
LOCAL = (
    'ENGCRS["local plane, position on the Earth unknown",EDATUM["unknown"],'
    'CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
)
_MOST = 10**6
"""Cells along a side: 40 m once round the Earth."""


@lru_cache(maxsize=256)
def _crs(text: str) -> pyproj.CRS:
    return pyproj.CRS.from_user_input(text)


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Transformer between two CRS texts, always in the order x (east), y (north)."""
    return pyproj.Transformer.from_crs(_crs(source), _crs(target), always_xy=True)


@dataclass(frozen=True)
class Grid:
    """A regular grid of cells.

    Parameters
    ----------
    crs
        Anything pyproj understands; held as WKT. :data:`LOCAL` for a plane of unknown position.
    west, north
        Outer edges of column 0 and row 0, in units of the CRS (m, or degrees for latitude-longitude).
    dx, dy
        Width and height of a cell, both positive.
    nx, ny
        Number of columns and rows.

    Examples
    --------
    >>> grid = Grid(LATITUDE_LONGITUDE, -5.0, 50.0, 0.1, 0.1, 100, 80)
    >>> grid.shape, float(grid.x[0]), float(grid.y[0])
    ((80, 100), -4.95, 49.95)
    """

    crs: str
    west: float
    north: float
    dx: float
    dy: float
    nx: int
    ny: int

    def __post_init__(self) -> None:
        sound = np.isfinite([self.west, self.north, self.dx, self.dy]).all() and self.dx > 0 and self.dy > 0
        if not (sound and 0 < self.nx < _MOST and 0 < self.ny < _MOST):
            raise GridError(
                f"a grid of {self.ny} x {self.nx} cells of {self.dy} x {self.dx} has no area, or is too large",
                where="Grid",
                fix="give positive dx, dy, nx and ny, fewer than a million cells a side; north is the upper edge",
            )
        try:
            wkt = _crs(self.crs).to_wkt()
        except pyproj.exceptions.CRSError as error:
            raise GridError(
                f"{self.crs!r} is not a coordinate reference system",
                where="Grid",
                fix="give an EPSG code, a PROJ string or WKT",
            ) from error
        object.__setattr__(self, "crs", wkt)
        for name in ("west", "north", "dx", "dy"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("nx", "ny"):
            object.__setattr__(self, name, int(getattr(self, name)))

    # ---- making one

    @classmethod
    def from_centres(cls, crs: str, x: ArrayLike, y: ArrayLike, *, where: object = "grid") -> Grid:
        """Grid from the centres of its cells.

        Parameters
        ----------
        crs
            Coordinate reference system.
        x, y
            Centres: `x` ascending, `y` descending, at least two of each, evenly spaced.
        where
            What to name in an error.

        Raises
        ------
        GridError
            If the centres are in the wrong order or not evenly spaced within 0.2 % of a cell.
        """
        west, dx, nx = evenly_spaced(x, where=f"{where}, x")
        south, dy, ny = evenly_spaced(np.asarray(y)[::-1], where=f"{where}, y reversed")
        return cls(crs, west, south + dy * ny, dx, dy, nx, ny)

    @classmethod
    def lattice(cls, region: Region, step: float = 0.1) -> Grid:
        """Latitude-longitude cells on multiples of `step` degrees that hold a region: IMERG's lattice for 0.1.

        Parameters
        ----------
        region
            West, south, east, north in degrees.
        step
            Cell size, a divisor of 90 degrees.

        Examples
        --------
        >>> Grid.lattice((-5.42, 42.0, 8.5, 51.31)).shape
        (94, 140)
        """
        west, south, east, north = (round(edge / step, 6) for edge in region)
        left, top = int(np.floor(west)), int(np.ceil(north))
        columns, rows = int(np.ceil(east)) - left, top - int(np.floor(south))
        return cls(LATITUDE_LONGITUDE, round(left * step, 9), round(top * step, 9), step, step, columns, rows)

    @classmethod
    def of(cls, dataset: xr.Dataset | xr.DataArray, *, where: object = "dataset") -> Grid:
        """Grid of an ondee Dataset: its ``crs`` coordinate holds WKT and the GeoTransform."""
        if "crs" not in dataset.coords:
            raise GridError(
                "the dataset has no coordinate 'crs'",
                where=where,
                fix="open it with ondee.open, or assign Grid.coordinates() to it",
            )
        attributes = dataset["crs"].attrs
        west, dx, _, north, _, minus_dy = (float(word) for word in str(attributes["GeoTransform"]).split())
        return cls(str(attributes["crs_wkt"]), west, north, dx, -minus_dy, dataset.sizes["x"], dataset.sizes["y"])

    # ---- what it is

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.ny, self.nx

    @property
    def east(self) -> float:
        """Outer edge of the last column."""
        return self.west + self.dx * self.nx

    @property
    def south(self) -> float:
        """Outer edge of the last row."""
        return self.north - self.dy * self.ny

    @property
    def x_edges(self) -> NDArray[np.float64]:
        """Edges of the columns, ascending, ``nx + 1``."""
        return np.asarray(self.west + self.dx * np.arange(self.nx + 1), np.float64)

    @property
    def y_edges(self) -> NDArray[np.float64]:
        """Edges of the rows, descending, ``ny + 1``."""
        return np.asarray(self.north - self.dy * np.arange(self.ny + 1), np.float64)

    @property
    def x(self) -> NDArray[np.float64]:
        """Centres of the columns, ascending."""
        return np.asarray(self.west + self.dx * (np.arange(self.nx) + 0.5), np.float64)

    @property
    def y(self) -> NDArray[np.float64]:
        """Centres of the rows, descending."""
        return np.asarray(self.north - self.dy * (np.arange(self.ny) + 0.5), np.float64)

    @property
    def projection(self) -> pyproj.CRS:
        """The CRS as a pyproj object."""
        return _crs(self.crs)

    @property
    def is_geographic(self) -> bool:
        """Whether x and y are degrees of longitude and latitude."""
        return self.projection.is_geographic

    @property
    def is_local(self) -> bool:
        """Whether the position on the Earth is unknown."""
        return bool(self.projection.is_engineering)

    @property
    def is_geostationary(self) -> bool:
        """Whether x and y are those of a geostationary view."""
        operation = self.projection.coordinate_operation
        return operation is not None and operation.method_name.startswith("Geostationary")

    @cached_property
    def digest(self) -> str:
        """Hash of the grid, the key of cached weights."""
        text = f"{self.crs}|{self.west!r}|{self.north!r}|{self.dx!r}|{self.dy!r}|{self.nx}|{self.ny}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def unit(self) -> str:
        """Unit of x and y: ``"degree"`` or ``"m"``."""
        return "degree" if self.is_geographic else "m"

    def describe(self) -> str:
        """One line for a person.

        Examples
        --------
        >>> Grid(LATITUDE_LONGITUDE, -5.0, 50.0, 0.1, 0.1, 100, 80).describe()
        '80 x 100 cells of 0.1 x 0.1 degree, latitude-longitude'
        """
        if self.is_geographic:
            kind = "latitude-longitude"
        elif self.is_local:
            kind = "local plane, position unknown"
        else:
            operation = self.projection.coordinate_operation
            kind = operation.method_name if operation is not None else self.projection.name
        size = f"{self.dy:.6g} x {self.dx:.6g} {self.unit}"
        return f"{self.ny} x {self.nx} cells of {size}, {kind}"

    def same_as(self, other: Grid, *, tolerance: float = 1e-3) -> bool:
        """Whether two grids are one, their edges within `tolerance` of a cell."""
        if self.shape != other.shape or not (
            self.crs == other.crs or self.projection.equals(other.projection, ignore_axis_order=True)
        ):
            return False
        reach_x, reach_y = tolerance * self.dx, tolerance * self.dy
        return (
            abs(self.west - other.west) < reach_x
            and abs(self.east - other.east) < reach_x
            and abs(self.north - other.north) < reach_y
            and abs(self.south - other.south) < reach_y
        )

    # ---- where it lies

    def require_located(self, where: object) -> None:
        """Refuse a grid whose place on the Earth is unknown.

        Raises
        ------
        GridError
            If the grid is a local plane.
        """
        if self.is_local:
            raise GridError(
                "the grid is a local plane: its position on the Earth is unknown",
                where=where,
                fix="give its place when opening: ondee.open(path, crs='+proj=…', west=…, north=…) in metres",
            )

    def longitude_latitude(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of the cell centres, ``(ny, nx)`` in degrees; NaN where the view misses the Earth."""
        self.require_located("Grid.longitude_latitude")
        x, y = np.meshgrid(self.x, self.y)
        longitude, latitude = transformer(self.crs, LATITUDE_LONGITUDE).transform(x, y)
        outside = ~(np.isfinite(longitude) & np.isfinite(latitude))
        return np.where(outside, np.nan, longitude), np.where(outside, np.nan, latitude)

    def region(self) -> Region:
        """Smallest box of longitude and latitude that holds all cells, as far as they see the Earth."""
        self.require_located("Grid.region")
        # Where the whole border sees the Earth, the extremes lie on it, or at a pole inside: a coarse look finds that.
        _, _, longitude, latitude = self._corners(1 + self.ny // 256, 1 + self.nx // 256)
        seen = np.isfinite(longitude) & np.isfinite(latitude)
        if not seen.all():
            _, _, longitude, latitude = self._corners(1, 1)
            seen = np.isfinite(longitude) & np.isfinite(latitude)
        if not seen.any():
            raise GridError(
                "no cell of the grid lies on the Earth", where=self.describe(), fix="check its edges and its projection"
            )
        return (
            float(longitude[seen].min()),
            float(latitude[seen].min()),
            float(longitude[seen].max()),
            float(latitude[seen].max()),
        )

    def _corners(self, rows: int, columns: int) -> tuple[NDArray[np.float64], ...]:
        """x, y, longitude and latitude of corners of cells: those along the border, and inside one in every few."""
        across, down = (np.zeros(count + 1, dtype=bool) for count in (self.nx, self.ny))
        across[::columns], down[::rows] = True, True
        x, y = np.meshgrid(self.x_edges, self.y_edges, sparse=True)
        chosen = across[None, :] & down[:, None]
        chosen[[0, -1]], chosen[:, [0, -1]] = True, True
        row, column = np.nonzero(chosen)
        chosen_x, chosen_y = x[0, column], y[row, 0]
        longitude, latitude = transformer(self.crs, LATITUDE_LONGITUDE).transform(chosen_x, chosen_y)
        return chosen_x, chosen_y, np.asarray(longitude), np.asarray(latitude)

    def block(self, other: Grid, *, tolerance: float = 1e-3) -> tuple[slice, slice] | None:
        """Rows and columns of this grid that are the cells of another one; None if they are not.

        Parameters
        ----------
        other
            A grid that may be a part of this one.
        tolerance
            Largest departure of its edges, in cells.
        """
        top, left = (self.north - other.north) / self.dy, (other.west - self.west) / self.dx
        rows, columns = round(top), round(left)
        inside = rows >= 0 and columns >= 0 and rows + other.ny <= self.ny and columns + other.nx <= self.nx
        if not inside:
            return None
        chosen = slice(rows, rows + other.ny), slice(columns, columns + other.nx)
        return chosen if self.crop(*chosen).same_as(other, tolerance=tolerance) else None

    def pad(self, cells: int) -> Grid:
        """The grid with some more cells on each side."""
        return Grid(
            self.crs,
            self.west - cells * self.dx,
            self.north + cells * self.dy,
            self.dx,
            self.dy,
            self.nx + 2 * cells,
            self.ny + 2 * cells,
        )

    def coarser(self, factor: int, *, where: object = "grid") -> Grid:
        """The grid with so many cells along each side put into one, from the north-west on.

        Parameters
        ----------
        factor
            Cells along each side; rows and columns left over at the south and the east are dropped.
        where
            What to name in an error.

        Raises
        ------
        GridError
            If not one cell is left.
        """
        rows, columns = self.ny // factor, self.nx // factor
        if factor < 1 or not rows or not columns:
            raise GridError(
                f"{self.ny} x {self.nx} cells cannot be put together {factor} by {factor}",
                where=where,
                fix="give a smaller number",
            )
        return Grid(self.crs, self.west, self.north, factor * self.dx, factor * self.dy, columns, rows)

    # ---- cutting it

    def window(self, region: Region, *, where: object = "region") -> tuple[slice, slice]:
        """Rows and columns of the block of cells that holds all those that touch a region.

        A region may be given in any turn of longitude. Where it crosses the edge of a latitude-longitude grid that
        goes round the Earth, the block has all columns.

        Parameters
        ----------
        region
            West, south, east, north in degrees.
        where
            What to name in an error.

        Raises
        ------
        ConfigError
            If the region is not four finite numbers.
        GridError
            If the region lies wholly outside, or the grid has no known position.
        """
        self.require_located(where)
        west, south, east, north = four_numbers(region)
        if not (west < east and south < north):
            raise GridError(
                f"the region {region} has no area",
                where=where,
                fix="give west, south, east, north in degrees, with west < east and south < north",
            )
        rows, columns = _touched(self, (west, south, east, north))
        if columns.start >= columns.stop or rows.start >= rows.stop:
            raise GridError(
                f"the region {region} lies outside the grid",
                where=where,
                fix=f"ask for a region inside {tuple(round(value, 3) for value in self.region())}",
            )
        return rows, columns

    def crop(self, rows: slice, columns: slice) -> Grid:
        """The grid of a block of rows and columns."""
        top, bottom, _ = rows.indices(self.ny)
        left, right, _ = columns.indices(self.nx)
        return Grid(
            self.crs,
            self.west + left * self.dx,
            self.north - top * self.dy,
            self.dx,
            self.dy,
            right - left,
            bottom - top,
        )

    # ---- in a Dataset

    def coordinates(self) -> dict[str, xr.DataArray]:
        """CF coordinates ``y``, ``x`` and the grid mapping ``crs`` (with WKT and GeoTransform)."""
        if self.is_geographic:
            names = (("longitude", "degrees_east"), ("latitude", "degrees_north"))
        else:
            names = (("projection_x_coordinate", "m"), ("projection_y_coordinate", "m"))
        mapping = dict(_cf(self.crs))
        mapping["crs_wkt"] = self.crs
        mapping["GeoTransform"] = f"{self.west!r} {self.dx!r} 0.0 {self.north!r} 0.0 {-self.dy!r}"
        return {
            "y": xr.DataArray(
                self.y, dims="y", attrs={"standard_name": names[1][0], "units": names[1][1], "axis": "Y"}
            ),
            "x": xr.DataArray(
                self.x, dims="x", attrs={"standard_name": names[0][0], "units": names[0][1], "axis": "X"}
            ),
            "crs": xr.DataArray(np.int32(0), attrs=mapping),
        }


@lru_cache(maxsize=256)
def _cf(crs: str) -> dict[str, Any]:
    """CF attributes of a projection; a local plane has none."""
    projection = _crs(crs)
    return {} if projection.is_engineering else dict(projection.to_cf())


@lru_cache(maxsize=256)
def _touched(grid: Grid, region: Region) -> tuple[slice, slice]:
    """Rows and columns of the block that holds all cells touching a region; kept, for an archive repeats them."""
    west, south, east, north = region
    if grid.is_geographic:
        lefts = [west + turn - grid.west for turn in (-720.0, -360.0, 0.0, 360.0, 720.0)]
        turns = [touched(left / grid.dx, (left + east - west) / grid.dx, grid.nx) for left in lefts]
        found = [turn for turn in turns if turn.start < turn.stop] or [slice(0, 0)]
        rows = touched((grid.north - north) / grid.dy, (grid.north - south) / grid.dy, grid.ny)
        return rows, slice(min(turn.start for turn in found), max(turn.stop for turn in found))
    along = np.linspace(0.0, 1.0, 1 + max(64, int(8 * max(east - west, north - south))))
    longitude = west + (east - west) * np.concatenate([along, along, 0 * along, 0 * along + 1])
    latitude = south + (north - south) * np.concatenate([0 * along, 0 * along + 1, along, along])
    x, y = transformer(LATITUDE_LONGITUDE, grid.crs).transform(longitude, np.clip(latitude, -90.0, 90.0))
    inside = (x >= grid.west) & (x <= grid.east) & (y >= grid.south) & (y <= grid.north)
    seen, margin = np.isfinite(x) & np.isfinite(y), 0
    x, y = x[seen], y[seen]
    if not inside.all():
        # The region reaches beyond the grid: what it holds may end where the grid, or the view of the Earth, ends.
        few = 1 + grid.ny // 256, 1 + grid.nx // 256
        own_x, own_y, longitude, latitude = grid._corners(*few)
        with np.errstate(invalid="ignore"):
            held = ((longitude - west) % 360.0 <= east - west) & (latitude >= south) & (latitude <= north)
        margin = 0 if np.isfinite(longitude).all() else max(few)
        x, y = np.concatenate([x, own_x[held]]), np.concatenate([y, own_y[held]])
    if not x.size:
        return slice(0, 0), slice(0, 0)
    columns = touched((x.min() - grid.west) / grid.dx - margin, (x.max() - grid.west) / grid.dx + margin, grid.nx)
    rows = touched((grid.north - y.max()) / grid.dy - margin, (grid.north - y.min()) / grid.dy + margin, grid.ny)
    return rows, columns
