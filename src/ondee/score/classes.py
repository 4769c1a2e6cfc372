"""Classes of values, fine enough that what is counted in them says nearly all about a distribution of rain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.contingency import rising

__all__ = ["class_edges", "class_of", "floating", "in_precision", "level_of", "rain_classes"]

Array = NDArray[Any]
Floats = NDArray[np.float64]

_LOWEST, _HIGHEST = 0.01, 500.0
"""Rain rates between which classes are logarithmic, mm h-1."""
_CLASSES = 370
"""Default number: 3 % wide."""
_SMALLEST = float(np.nextafter(np.float32(0), np.float32(1)))
"""Smallest positive float32: the class below it holds the zeros."""


def rain_classes(number: int = _CLASSES) -> Floats:
    """Lower edges of classes of rain: dry, up to 0.01, logarithmic to 500, and above.

    Parameters
    ----------
    number
        Of classes; 370 are 3 % wide, 100 are 11.8 % wide.

    Raises
    ------
    ConfigError
        If there are fewer than four.
    """
    if number < 4:
        raise ConfigError(f"{number} classes are too few", where="classes", fix="use at least 4, such as 100")
    return np.concatenate([[0.0, _SMALLEST], np.geomspace(_LOWEST, _HIGHEST, number - 2)])


def class_edges(classes: int | Sequence[float] | None = None) -> Floats:
    """Lower edges of classes, from their number or as given.

    Parameters
    ----------
    classes
        Number of :func:`rain_classes`, or ascending lower edges; 370 classes where None.

    Raises
    ------
    ConfigError
        If edges do not ascend, or there are too few classes.
    """
    if classes is None:
        return rain_classes()
    return rain_classes(int(classes)) if isinstance(classes, int | np.integer) else rising(classes, "classes")


def floating(values: Array) -> Array:
    """Values as float32 or float64, unchanged where they are."""
    if values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float32 if values.dtype == np.float16 else np.float64)


def in_precision(levels: Floats, values: Array) -> Floats:
    """Levels as they read in the precision of floating values: a float32 0.7 then reaches 0.7."""
    return levels.astype(values.dtype).astype(np.float64)


def level_of(value: float, values: Array) -> float:
    """A level in the precision of values."""
    return float(in_precision(np.array([value]), values)[0])


@njit(cache=True)
def class_of(value: float, edges: Any) -> int:
    """Last class whose lower edge is not above a value; the first for whatever lies below."""
    low, high = 0, edges.size
    if high == 1 or value < edges[1]:
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        if edges[middle] <= value:
            low = middle
        else:
            high = middle
    return low
