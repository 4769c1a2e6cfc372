"""From replicates and influences to the two ends of an interval."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["Array", "Bounds", "Kind", "limits"]

Kind = Literal["adjusted", "percentile"]
"""How replicates become an interval; see :func:`bootstrap`."""
Array = NDArray[np.float64]
Bounds = tuple[float, float]

_MEMORY = 0.85
"""Largest lag-1 correlation of blocks that is believed."""
_FEWEST_FREEDOM = 2.0
_TRUSTED = 2.0
"""Largest ratio of jackknife to bootstrap error that is believed: the jackknife fails where a score is a step."""
_REACH = 1.0
"""How far beyond the replicates an interval goes at most, in units of their range."""
_ROUNDING = 1e-6
"""Influence that is none, relative to the score: a square root makes 1e-8 of a rounding at a bound."""


def limits(
    estimate: Array,
    drawn: Array,
    without: Array | None,
    bounds: Bounds,
    previous: NDArray[np.int64],
    level: float,
    kind: Kind | Literal["steps"],
    *,
    paired: bool = False,
) -> Array:
    """Ends of the interval of a score.

    Parameters
    ----------
    estimate
        The score, ``(1, …)``.
    drawn
        The score of each replicate, ``(replicate, …)``.
    without
        The score without each block, ``(block, …)``; None where only percentiles are wanted.
    bounds
        Smallest and largest value of the score.
    previous
        For each block the position of the one just before it, −1 where there is none.
    level
        Probability of the interval.
    kind
        Of the interval; ``"steps"`` for a score that can only be one of a few values.
    paired
        Whether this is a difference of two scores, which stays on its own scale.

    Returns
    -------
    numpy.ndarray
        ``(2, …)``.
    """
    shape = (2, *estimate.shape[1:])
    value = estimate.reshape(1, -1)
    draws = drawn.reshape(len(drawn), -1)
    ends = np.full((2, value.shape[1]), np.nan)
    known = np.isfinite(value[0]) & (np.isfinite(draws).mean(axis=0) > 0.5)
    if len(previous) < 2 or not known.any():
        return ends.reshape(shape)
    draws = np.where(np.isfinite(draws[:, known]), draws[:, known], np.nan)
    tails = [50 * (1 - level), 50 * (1 + level)]
    if kind != "adjusted" or without is None:
        ends[:, known] = _percentiles(draws, tails, "nearest" if kind == "steps" else "linear")
        return ends.reshape(shape)
    left = without.reshape(len(without), -1)[:, known]
    scale = (-np.inf, np.inf) if paired else bounds
    centre, spread, left = (_forward(part, scale) for part in (value[:, known], draws, left))
    half = _half_width(centre[0], _percentiles(spread, tails, "linear"), left, previous, level)
    found = np.stack([_backward(centre[0] - half, scale), _backward(centre[0] + half, scale)])
    # With a handful of blocks the width itself is a guess: what no draw came near is not claimed.
    lowest, highest = np.nanmin(draws, axis=0), np.nanmax(draws, axis=0)
    reach = _REACH * (highest - lowest)
    found = np.clip(np.clip(found, lowest - reach, highest + reach), *bounds)
    one = value[0, known]
    ends[:, known] = np.where(np.isfinite(half), [np.minimum(found[0], one), np.maximum(found[1], one)], np.nan)
    return ends.reshape(shape)


def _percentiles(draws: Array, tails: list[float], method: Literal["nearest", "linear"]) -> Array:
    """Percentiles of each column, without what is undefined; whole columns are sorted at once, which is far quicker."""
    whole = np.isfinite(draws).all(axis=0)
    made = np.full((len(tails), draws.shape[1]), np.nan)
    made[:, whole] = np.percentile(draws[:, whole], tails, axis=0, method=method)
    if not whole.all():
        made[:, ~whole] = np.nanpercentile(draws[:, ~whole], tails, axis=0, method=method)
    return made


def _half_width(centre: Array, ends: Array, left: Array, previous: NDArray[np.int64], level: float) -> Array:
    """Half the width of the interval on the scale of `centre`; NaN where one block alone decides."""
    blocks = len(left)
    lost = ~np.isfinite(left)
    influence = np.where(lost, 0.0, (blocks - 1) * (centre - left))
    some = np.abs(influence) > _ROUNDING * np.where(lost, 0.0, np.abs(left)).max(axis=0)
    alone = lost.any(axis=0) & (np.count_nonzero(some, axis=0) < 2)
    influence = influence - influence.mean(axis=0)
    square, fourth = (influence**2).sum(axis=0), (influence**4).sum(axis=0)
    normal = stats.norm.ppf(0.5 + level / 2)
    error = (ends[1] - ends[0]) / (2 * normal) * np.sqrt(blocks / (blocks - 1))
    error = np.clip(np.sqrt(square / (blocks * (blocks - 1))), error, _TRUSTED * error)
    memory = _memory(influence, previous)
    length = (1 + memory) / (1 - memory)
    kurtosis = np.divide(fourth - square**2 / blocks, 2 * square**2, out=np.zeros_like(square), where=square > 0)
    with np.errstate(divide="ignore"):
        freedom = np.clip(1 / (length * kurtosis), _FEWEST_FREEDOM, max(blocks - 1.0, _FEWEST_FREEDOM))
    half = stats.t.ppf(0.5 + level / 2, freedom) * error * np.sqrt(length)
    return np.asarray(np.where(alone, np.nan, half))


def _memory(influence: Array, previous: NDArray[np.int64]) -> Array:
    """Lag-1 correlation of the influences of neighbouring blocks, not below 0.

    The larger of two estimates, from the influences and from their signed roots, which a few great days do not rule;
    each corrected for the bias of a short series (Marriott and Pope 1954).
    """
    later = np.flatnonzero(previous >= 0)
    if len(later) < 3:
        return np.zeros(influence.shape[1])
    found = np.full(influence.shape[1], -1.0)
    for series in (influence, np.sign(influence) * np.sqrt(np.abs(influence))):
        deviation = series - series.mean(axis=0)
        variance = (deviation**2).mean(axis=0)
        product = (deviation[later] * deviation[previous[later]]).mean(axis=0)
        found = np.maximum(found, np.divide(product, variance, out=np.full_like(found, -1.0), where=variance > 0))
    return np.clip(found + (1 + 3 * found) / len(influence), 0.0, _MEMORY)


def _forward(values: Array, bounds: Bounds) -> Array:
    """Scores on a scale on which their spread hardly depends on their value, finite at the bounds."""
    low, high = bounds
    if np.isfinite(low) and np.isfinite(high):
        return np.asarray(np.arcsin(np.sqrt(np.clip((values - low) / (high - low), 0.0, 1.0))))
    if np.isfinite(low):
        return np.asarray(np.sqrt(np.maximum(values - low, 0.0)))
    if np.isfinite(high):
        return np.asarray(-np.sqrt(np.maximum(high - values, 0.0)))
    return values


def _backward(values: Array, bounds: Bounds) -> Array:
    """Inverse of :func:`_forward`; beyond the bounds, the bounds."""
    low, high = bounds
    if np.isfinite(low) and np.isfinite(high):
        return np.asarray(low + (high - low) * np.sin(np.clip(values, 0.0, np.pi / 2)) ** 2)
    if np.isfinite(low):
        return np.asarray(low + np.maximum(values, 0.0) ** 2)
    if np.isfinite(high):
        return np.asarray(high - np.minimum(values, 0.0) ** 2)
    return values
