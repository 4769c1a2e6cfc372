"""One axis of a regular grid: from centres to edges, and from a stretch to the cells it touches."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ondee.errors import GridError

__all__ = ["evenly_spaced", "touched"]

_SNAP = 2e-3
"""Largest departure of a coordinate from a regular grid, in cells."""


def evenly_spaced(centres: ArrayLike, *, where: object) -> tuple[float, float, int]:
    """First edge, step and number of evenly spaced ascending centres.

    Parameters
    ----------
    centres
        Centres of the cells, ascending, at least two.
    where
        What to name in an error.

    Raises
    ------
    GridError
        If they are too few, in the wrong order, or off by more than 0.2 % of a cell.
    """
    values = np.asarray(centres, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise GridError(
            f"{values.size} centre is too few to know the cell size",
            where=where,
            fix="open a piece with at least two rows and two columns",
        )
    step = (values[-1] - values[0]) / (values.size - 1)
    if not step > 0:
        raise GridError(
            "the centres are in the wrong order",
            where=where,
            fix="order x from west to east and y from north to south, with the data",
        )
    departure = np.abs(values - (values[0] + step * np.arange(values.size))).max() / step
    if not departure < _SNAP:
        raise GridError(
            f"the centres are not evenly spaced: off by {departure:.3g} cells",
            where=where,
            fix="ondee reads regular grids; regrid the data first, or crop it where it is regular",
        )
    return float(values[0] - step / 2), float(step), int(values.size)


def touched(low: float, high: float, size: int) -> slice:
    """Indices of the cells that a stretch touches.

    Parameters
    ----------
    low, high
        Ends of the stretch, in cells from the first edge.
    size
        Number of cells.
    """
    return slice(max(0, int(np.floor(low + 1e-9))), min(size, int(np.ceil(high - 1e-9))))
