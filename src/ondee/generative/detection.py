"""One field of an ensemble for the question whether it rains: how likely rain must be to be called rain.

The mean of an ensemble is wet wherever one member is, and its median dry wherever most are: neither is made to be
right about yes or no. Of calibrated probabilities the critical success index is best when rain is called where its
probability is at least ``CSI / (1 + CSI)`` of the best index itself [1]_: more than a third for any rain, a few per
cent for heavy rain, which is hard to place.

References
----------
.. [1] Z. C. Lipton, C. Elkan and B. Naryanaswamy, Optimal thresholding of classifiers to maximize F1 measure, ECML PKDD
   2014: half of the best F1, which is 2 CSI / (1 + CSI).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ondee.units import WET

__all__ = ["EVEN", "RATES", "best_odds", "detected"]

RATES = (10.0 ** (np.arange(-10, 21) / 10)).astype(np.float32)
"""Rates at which it is known how likely rain must be, mm h-1: ten a decade, from 0.1 to 100."""
EVEN = np.full(RATES.size, 0.5, np.float32)
"""Of an ensemble whose probabilities were never looked at: more likely than not."""

_FEWEST = 200
"""Pixels of the radar below which a rate is too rare to tell; it goes with the next lower one."""


def best_odds(drawn: Tensor, truth: Tensor) -> NDArray[np.float32]:
    """How likely rain of each of :data:`RATES` must be to be called rain.

    Parameters
    ----------
    drawn
        ``(n, M, H, W)`` mm h-1, NaN where missing.
    truth
        ``(n, H, W)`` mm h-1, NaN where missing.

    Returns
    -------
    ndarray
        Probabilities, falling with the rate.
    """
    radar = truth.numpy()
    there = np.isfinite(radar) & np.isfinite(drawn.numpy()).all(1)
    members, radar = np.moveaxis(drawn.numpy(), 1, 0)[:, there], radar[there]
    odds = EVEN.copy()
    for number, rate in enumerate(RATES):
        rains = radar >= rate
        if rains.sum() < _FEWEST:
            odds[number:] = odds[number - 1] if number else odds[0]
            break
        wet = (members >= rate).sum(0)
        best = max(_index(wet >= least, rains) for least in range(1, len(members) + 1))
        odds[number] = best / (1 + best)
    return np.minimum.accumulate(odds)


def _index(called: NDArray[np.bool_], rains: NDArray[np.bool_]) -> float:
    """Critical success index."""
    return float((called & rains).sum() / max(1, (called | rains).sum()))


def detected(members: NDArray[np.float32], odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest rate up to which rain is likely enough at every rate below; 0 where it is not at 0.1 mm/h.

    Parameters
    ----------
    members
        ``(M, n)`` mm h-1.
    odds
        From :func:`best_odds`.

    Returns
    -------
    ndarray
        ``(n,)`` mm h-1: at least a rate of :data:`RATES` where all rates up to it are likely enough, and between two of
        them the rate that so many members exceed.

    Examples
    --------
    >>> detected(np.array([[0, 0, 3], [0, 2, 4], [0, 3, 9]], np.float32), EVEN).tolist()
    [0.0, 2.0, 4.0]
    """
    count = len(members)
    falling = -np.sort(-members, axis=0)
    made = np.zeros(members.shape[1], np.float32)
    likely = np.ones(members.shape[1], bool)
    uppers = np.nextafter(np.append(RATES[1:], np.float32(np.inf)), np.float32(0))
    for rate, upper, needed in zip(RATES, uppers, odds, strict=True):
        # So many members must rain; a share of them is told to six digits.
        value = falling[max(1, int(np.ceil(float(needed) * count - 1e-6))) - 1]
        likely &= value >= np.maximum(rate, np.float32(WET))
        if not likely.any():
            break
        made[likely] = np.minimum(value[likely], upper)
    return made
