"""The height of the ground on the satellite's cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.area import weights
from ondee.collocation.regrid import apply
from ondee.errors import ConfigError, ReadError
from ondee.grid import LATITUDE_LONGITUDE, Grid

__all__ = ["read_height"]

_LONGITUDES, _LATITUDES = ("lon", "longitude", "x"), ("lat", "latitude", "y")
_METRES = ("m", "metre", "metres", "meter", "meters")


def read_height(spec: str, cells: Grid) -> NDArray[np.float32]:
    """Mean height of the ground in each cell, m.

    Parameters
    ----------
    spec
        ``FILE::VARIABLE``: NetCDF with one-dimensional, evenly spaced longitude and latitude, or with the ``crs``
        of ondee's own files.
    cells
        Cells wanted.

    Returns
    -------
    numpy.ndarray
        ``(y, x)``, NaN where less than half of the cell is known; the sea, where it is missing in the file, is missing.

    Raises
    ------
    ConfigError
        If no variable is named.
    ReadError
        If the file cannot be read, or the variable is no height on a grid.
    GridError
        If it does not reach the cells.
    """
    path, _, name = spec.partition("::")
    if not name:
        raise ConfigError("no variable is named", where=f"--height {spec}", fix="write --height FILE::VARIABLE")
    try:
        with xr.open_dataset(Path(path)) as held:
            if name not in held.data_vars:
                raise ReadError(
                    f"there is no variable {name}",
                    where=path,
                    fix="name one of: " + ", ".join(map(str, held.data_vars)),
                )
            array = held[name].squeeze(drop=True).load()
    except (OSError, ValueError) as error:
        raise ReadError(f"this cannot be read: {error}", where=path, fix="give a NetCDF file of heights") from error
    if str(array.attrs.get("units", "m")) not in _METRES:
        raise ReadError(f"{name} is in {array.attrs['units']!r}", where=path, fix="give heights in m")
    array, grid = _located(array, path)
    value, share = apply(weights(grid, cells), np.asarray(array.values, np.float32))
    value[share < 0.5] = np.nan
    return value


def _located(array: xr.DataArray, path: str) -> tuple[xr.DataArray, Grid]:
    """Height ``(y, x)``, row 0 north, and its grid."""
    if "crs" in array.coords and array.dims == ("y", "x"):
        return array, Grid.of(array, where=path)
    found: list[Any] = []
    for names in (_LATITUDES, _LONGITUDES):
        found.append(next((dim for dim in array.dims if str(dim).lower() in names and dim in array.coords), None))
    if array.ndim != 2 or None in found:
        raise ReadError(
            f"{array.name} has the dimensions {', '.join(map(str, array.dims))}",
            where=path,
            fix="give heights on (lat, lon) with their coordinates in degrees",
        )
    latitude, longitude = found
    ordered = array.transpose(latitude, longitude).sortby(longitude).sortby(latitude, ascending=False)
    grid = Grid.from_centres(LATITUDE_LONGITUDE, ordered[longitude].values, ordered[latitude].values, where=path)
    return ordered, grid
