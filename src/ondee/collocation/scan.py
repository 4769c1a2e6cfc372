"""When SEVIRI sees each line of its full disk, and when it therefore sees each cell of another grid.

References
----------
.. [1] CGMS 03, LRIT/HRIT Global Specification, 1999, section 4.4 (the geostationary projection).
.. [2] J. Schmetz et al., An introduction to Meteosat Second Generation (MSG), Bull. Amer. Meteor. Soc. 83
   (2002), 977-992 (scan).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ondee.collocation.viewing import satellite_longitude_of
from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer

__all__ = ["nominal_scan_offset", "scan_offset", "seviri_disk"]

_PIXEL, _LINES = 3000.403165817, 3712
"""Width of a pixel below the satellite in m, and lines and columns of the full disk [1]_."""
_EDGE = 5_570_248.477
"""Northern and, with the sign turned, western edge of the full disk as satpy places it, m."""
_LINES_AT_ONCE, _TURN = 3, 0.6
"""Lines seen in a turn of the satellite, and its length in s [2]_."""


@lru_cache(maxsize=8)
def seviri_disk(longitude: float) -> Grid:
    """SEVIRI's full disk of 3 km [1]_, from a satellite at a longitude in degrees east."""
    crs = f"+proj=geos +lon_0={longitude!r} +h=35785831 +a=6378169 +rf=295.488065897014 +units=m"
    return Grid(crs, -_EDGE, _EDGE, _PIXEL, _PIXEL, _LINES, _LINES)


def scan_offset(seviri: Grid) -> NDArray[np.float32]:
    """Seconds from the nominal start of a full-disk image to the moment each line is seen, ``(y,)``.

    The disk is scanned from south to north, three lines in a turn of 0.6 s: Europe after 10 to 12 minutes.

    Parameters
    ----------
    seviri
        A part of SEVIRI's full disk.

    Raises
    ------
    ConfigError
        If the grid is no part of SEVIRI's.

    Examples
    --------
    >>> round(float(scan_offset(seviri_disk(0.0))[0]), 1)
    742.2
    """
    block = seviri_disk(satellite_longitude_of(seviri)).block(seviri)
    if block is None:
        raise ConfigError(
            f"{seviri.describe()} is no part of SEVIRI's grid",
            where="the grid of the SEVIRI scene",
            fix="crop it from ondee.collocation.scan.seviri_disk(longitude)",
        )
    return _seconds(np.arange(block[0].start, block[0].stop))


def nominal_scan_offset(grid: Grid, *, satellite_longitude: float) -> NDArray[np.float32]:
    """Minutes from the start of a full-disk image to the moment each cell is seen, ``(y, x)``; NaN if never.

    Parameters
    ----------
    grid
        Any Grid with a position.
    satellite_longitude
        Degrees east.

    Raises
    ------
    GridError
        If the position of the grid is unknown.

    Examples
    --------
    >>> france = Grid(LATITUDE_LONGITUDE, -5.0, 51.0, 1.0, 1.0, 12, 9)
    >>> offset = nominal_scan_offset(france, satellite_longitude=0.0)
    >>> round(float(offset.min()), 1), round(float(offset.max()), 1)
    (10.7, 11.3)
    """
    disk = seviri_disk(float(satellite_longitude))
    x, y = transformer(LATITUDE_LONGITUDE, disk.crs).transform(*grid.longitude_latitude())
    seen = np.isfinite(x) & np.isfinite(y)
    line = np.floor((disk.north - np.where(seen, y, 0.0)) / disk.dy).astype(np.intp).clip(0, _LINES - 1)
    made: NDArray[np.float32] = np.where(seen, _seconds(line) / 60, np.nan).astype(np.float32)
    return made


def _seconds(line: NDArray[np.int64]) -> NDArray[np.float32]:
    """Seconds after the start at which lines of the full disk are seen; line 0 is the northernmost."""
    made: NDArray[np.float32] = ((_LINES - 1 - line) // _LINES_AT_ONCE * _TURN).astype(np.float32)
    return made
