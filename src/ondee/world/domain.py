"""Where a world lies: its plane, what the radar sees of it, and the cells of IMERG in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer

__all__ = ["domain_grid", "imerg_cells", "radar_quality"]

_PIXEL = 1000.0
"""Width of a pixel of the rain plane, m."""
_WIDEST = 180.0
"""No domain that lies on one side of the Earth's seam reaches over so many degrees of longitude."""
_ALONG_SIDE = 5
"""Points along a side of an IMERG cell that must lie in the domain."""


def domain_grid(centre: tuple[float, float], size: tuple[int, int], projection: str | None = None) -> Grid:
    """Grid of a domain, 1 km pixels.

    Parameters
    ----------
    centre
        Longitude and latitude of the middle, degrees.
    size
        Width and height in km, even numbers.
    projection
        PROJ text of a plane in metres; the Lambert azimuthal equal-area projection about the centre if None.

    Raises
    ------
    ConfigError
        If the projection is not in metres, or does not show the domain.
    """
    longitude, latitude = centre
    text = projection or f"+proj=laea +lat_0={latitude:g} +lon_0={longitude:g} +ellps=WGS84 +units=m"
    probe = Grid(text, 0.0, 0.0, _PIXEL, _PIXEL, 2, 2)
    unit = {axis.unit_name for axis in probe.projection.axis_info}
    if probe.is_geographic or probe.is_local or unit != {"metre"}:
        raise ConfigError(
            f"a domain needs a plane in metres, not {projection!r}",
            where="domain: projection",
            fix="leave it out for an equal-area plane about the centre, or give PROJ text such as that of a radar file",
        )
    x, y = transformer(LATITUDE_LONGITUDE, text).transform(longitude, latitude)
    width, height = (side * 1000.0 for side in size)
    if not (np.isfinite(x) and np.isfinite(y)):
        raise ConfigError(
            f"the projection does not show {centre}", where="domain: projection", fix="give a centre inside its area"
        )
    made = Grid(text, round(x, -3) - width / 2, round(y, -3) + height / 2, _PIXEL, _PIXEL, size[0], size[1])
    if not np.isfinite(made.longitude_latitude()[0][[0, 0, -1, -1], [0, -1, 0, -1]]).all():
        raise ConfigError(
            "a corner of the domain is not on the Earth", where="domain", fix="give a smaller size or another centre"
        )
    return made


def radar_quality(domain: Grid, reach: float | None, spacing: float | None) -> NDArray[np.float32]:
    """Quality of a radar composite, which falls with distance, as beam height and width grow.

    Parameters
    ----------
    domain
        Grid of the domain.
    reach
        Distance in km beyond which a radar sees nothing; None for no end.
    spacing
        Distance in km between radars, which stand in rows about the middle of the domain; None for a single one.

    Returns
    -------
    ndarray
        ``(y, x)``, 1 at a radar to 0.5 at its reach (1 everywhere without an end), NaN where no radar sees.
    """
    x, y = np.meshgrid(domain.x - domain.x.mean(), domain.y - domain.y.mean())
    if spacing is not None:
        x, y = (part - spacing * 1000 * np.rint(part / (spacing * 1000)) for part in (x, y))
    distance = np.hypot(x, y) / 1000
    if reach is None:
        return np.ones(domain.shape, np.float32)
    quality: NDArray[np.float32] = np.round(1 - 0.5 * (distance / reach) ** 2, 2).astype(np.float32)
    quality[distance > reach] = np.nan
    return quality


def imerg_cells(domain: Grid) -> Grid:
    """The largest block of IMERG's 0.1 degree cells that lie wholly in a domain.

    Parameters
    ----------
    domain
        Grid of the domain.

    Raises
    ------
    ConfigError
        If no cell lies in it, or it is torn by the edge of IMERG's grid.
    """
    west, south, east, north = domain.region()
    if east - west > _WIDEST:
        raise ConfigError(
            "the domain holds a pole, or crosses the meridian of 180 degrees",
            where="domain",
            fix="give a centre further from it, or imerg: null",
        )
    lattice = Grid.lattice((west, south, east, north), 0.1)
    inside = _inside(lattice, domain)
    top, bottom, left, right = 0, lattice.ny, 0, lattice.nx
    while top < bottom and left < right and not inside[top:bottom, left:right].all():
        block = ~inside[top:bottom, left:right]
        worst = [block[0].mean(), block[-1].mean(), block[:, 0].mean(), block[:, -1].mean()]
        side = int(np.argmax(worst))
        top, bottom = top + (side == 0), bottom - (side == 1)
        left, right = left + (side == 2), right - (side == 3)
    if bottom - top < 2 or right - left < 2:
        raise ConfigError(
            "the domain holds fewer than 2 x 2 cells of IMERG", where="domain: size", fix="give at least 64 km"
        )
    west, north = round(lattice.west + 0.1 * left, 9), round(lattice.north - 0.1 * top, 9)
    return Grid(LATITUDE_LONGITUDE, west, north, 0.1, 0.1, right - left, bottom - top)


def _inside(cells: Grid, domain: Grid) -> NDArray[np.bool_]:
    """Whether every point along the border of each cell lies in the domain, ``(y, x)``."""
    parts = np.linspace(0, 1, _ALONG_SIDE)
    found = np.ones(cells.shape, bool)
    to_plane = transformer(cells.crs, domain.crs)
    for across, down in [(part, side) for part in parts for side in (0.0, 1.0)] + [
        (side, part) for part in parts for side in (0.0, 1.0)
    ]:
        longitude, latitude = np.meshgrid(cells.x_edges[:-1] + across * cells.dx, cells.y_edges[:-1] - down * cells.dy)
        x, y = to_plane.transform(longitude, latitude)
        found &= (x >= domain.west) & (x <= domain.east) & (y >= domain.south) & (y <= domain.north)
    return found
