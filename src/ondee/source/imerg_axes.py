"""Where an IMERG file lies: its axes snapped to the 0.1 degree cells of the whole Earth, and regions cut from them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ondee.grid import LATITUDE_LONGITUDE, Grid, Region

__all__ = ["AXES", "Axis", "cut", "snapped"]

AXES = {"lon": (("lon", "longitude", "nlon"), -180.0, 3600), "lat": (("lat", "latitude", "nlat"), -90.0, 1800)}
"""Axis → its names, its outer edge and its number of cells of 0.1 degree on the whole Earth."""


class Axis(NamedTuple):
    """One axis of a file: its first cell on the whole Earth, its length, whether the file counts upwards."""

    first: int
    size: int
    upwards: bool

    def in_file(self, cells: slice) -> tuple[slice, int]:
        """Slice in the file, and the step that then turns the values into ascending order."""
        if self.upwards:
            return cells, 1
        return slice(self.size - cells.stop, self.size - cells.start), -1


@lru_cache(maxsize=64)
def snapped(raw: bytes, kind: str, edge: float, most: int) -> tuple[str, Axis | None]:
    """Find the cells of 0.1 degree on the whole Earth whose centres these are, or what is wrong with them.

    It takes bytes, and keeps its answers, because the files of an archive repeat their axes.

    Parameters
    ----------
    raw, kind
        Bytes of the centres in degrees, ``(cells,)``, and their NumPy type code.
    edge, most
        Outer edge of the whole Earth in degrees and its number of cells, of :data:`AXES`.

    Returns
    -------
    tuple
        ``""`` and the axis; or the fault and None. float32 centres are off by 2e-4 cells; 0.01 is allowed.
    """
    centres = np.frombuffer(raw, dtype=kind).astype(np.float64)
    if not centres.size or not (np.abs(centres) < 1e4).all():
        return "it is not a row of numbers", None
    exact = (centres - edge) * 10.0 - 0.5
    cells = np.rint(exact).astype(np.int64)
    step = int(cells[1] - cells[0]) if cells.size > 1 else 1
    if np.abs(exact - cells).max() > 0.01 or cells.min() < 0 or cells.max() >= most:
        return "its centres are not those of IMERG's cells", None
    if step not in (-1, 1) or (np.diff(cells) != step).any():
        return "its cells do not follow one another", None
    return "", Axis(int(cells.min()), int(centres.size), step > 0)


@lru_cache(maxsize=256)
def cut(lon: Axis, lat: Axis, region: Region | None) -> tuple[slice, slice, Grid]:
    """Find the rows and columns of a region in a file, and their own grid; kept, for an archive repeats them.

    Parameters
    ----------
    lon, lat
        Axes of the file.
    region
        West, south, east, north in degrees; None for all.

    Returns
    -------
    tuple
        Rows (from the north) and columns (from the west), and the grid they leave, edges exact to 0.1 degree.

    Raises
    ------
    GridError
        If the region lies outside the file.
    """

    def grid(columns: slice, rows: slice) -> Grid:
        west, north = (lon.first + columns.start - 1800) / 10, (lat.first + lat.size - rows.start - 900) / 10
        size = columns.stop - columns.start, rows.stop - rows.start
        return Grid(LATITUDE_LONGITUDE, west, north, 0.1, 0.1, *size)

    rows, columns = slice(0, lat.size), slice(0, lon.size)
    if region is not None:
        rows, columns = grid(columns, rows).window(region, where="region of the IMERG granule")
    return rows, columns, grid(columns, rows)
