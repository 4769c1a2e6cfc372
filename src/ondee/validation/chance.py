"""How probable an error is by chance, and how that changes where many are looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["controlled", "p_value"]

Floats = NDArray[np.float64]


def p_value(value: Floats, low: Floats, high: Floats, best: float, tolerance: float, level: float) -> Floats:
    """Probability of an error as large as this, were the true error just the tolerance.

    Parameters
    ----------
    value, low, high
        A score and its interval.
    best, tolerance
        The best value, and how far from it is no error worth naming.
    level
        Of the interval.
    """
    # The side of the interval that looks towards the best value tells how sure the error is.
    side = np.where(value > best, value - low, high - value)
    error = np.maximum(side, 1e-12) / stats.norm.ppf(0.5 + level / 2)
    away = np.abs(value - best)
    with np.errstate(over="ignore"):
        p = stats.norm.sf((away - tolerance) / error) + stats.norm.sf((away + tolerance) / error)
    return np.asarray(np.where(np.isfinite(side) & np.isfinite(value), np.minimum(p, 1.0), np.nan))


def controlled(p: Floats) -> Floats:
    """p-values adjusted for their number (Benjamini and Yekutieli 2001); what is missing stays so.

    Parameters
    ----------
    p
        Of any shape.
    """
    made = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        made[known] = stats.false_discovery_control(p[known], method="by")
    return made
