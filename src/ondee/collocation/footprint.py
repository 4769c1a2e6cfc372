"""The footprint of a microwave sensor, on cells: radar rain seen as widely as the sensor sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.units import DEGREE

__all__ = ["FULL_WIDTH", "blur", "cell_size"]

FULL_WIDTH = np.sqrt(8 * np.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""
_TO_SIGMA = float(1 / FULL_WIDTH)


def cell_size(cells: Grid) -> tuple[float, float]:
    """Height and width of a cell in km; on a latitude-longitude grid, of one in its middle.

    Parameters
    ----------
    cells
        The grid.

    Examples
    --------
    >>> from ondee.grid import LATITUDE_LONGITUDE
    >>> [round(side, 1) for side in cell_size(Grid(LATITUDE_LONGITUDE, 0, 48, 0.1, 0.1, 20, 20))]
    [11.1, 7.6]
    """
    if not cells.is_geographic:
        return cells.dy / 1000, cells.dx / 1000
    middle = np.deg2rad((cells.north + cells.south) / 2)
    return cells.dy * DEGREE, cells.dx * DEGREE * float(np.cos(middle))


def blur(values: NDArray[Any], cells: Grid, kilometres: float) -> NDArray[np.float32]:
    """Blur fields as a sensor of that footprint does; what is missing stays so and counts nowhere.

    Parameters
    ----------
    values
        ``(…, y, x)`` on `cells`, NaN where not observed.
    cells
        Their grid.
    kilometres
        Full width at half maximum of the sensor's Gaussian response; 0 leaves the fields as they are.

    Returns
    -------
    numpy.ndarray
        ``(…, y, x)``, float32. Near an edge or a hole, the mean is over what was observed.

    Raises
    ------
    ConfigError
        If the width is negative.
    """
    if not kilometres >= 0:
        raise ConfigError(f"a footprint of {kilometres} km has no width", where="footprint", fix="give 0 or more km")
    height, width = cell_size(cells)
    sigma = (0.0,) * (values.ndim - 2) + (kilometres * _TO_SIGMA / height, kilometres * _TO_SIGMA / width)
    seen = np.isfinite(values)
    total = gaussian_filter(np.where(seen, values, 0.0).astype(np.float64), sigma, mode="constant")
    weight = gaussian_filter(seen.astype(np.float64), sigma, mode="constant")
    made = np.divide(total, weight, out=np.full(values.shape, np.nan), where=seen)
    return np.asarray(made, np.float32)
