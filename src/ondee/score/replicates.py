"""The replicate test: whether the truth is to a member what another member is to it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import THRESHOLDS, ratio, rising, threshold_coordinate
from ondee.score.fields import MEMBER
from ondee.score.sums import framewise

__all__ = ["replicate"]

Array = NDArray[Any]
_COUNTS = ("hits", "false_alarms", "misses")
_FRACTIONS = ("squared_difference", "squares")
_MOMENTS = ("weight", "first", "second", "first_square", "second_square", "product")


def replicate(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    scale: int = 5,
    coverage: float = 0.5,
) -> xr.Dataset:
    r"""Score members against the truth, and members against each other in the truth's place.

    If truth and members are drawn from one law, no score can tell which of them is the truth: both columns agree, and
    the gap between them is 0 but for chance. Members that agree with each other better than with the truth give a gap
    above 0 (they are too sure, like copies of one mean); members that agree less give one below.

    Parameters
    ----------
    estimate
        ``(member, …, y, x)`` with two members or more; a pixel that any member lacks is missing.
    truth
        ``(…, y, x)``, in the same unit.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel (of each window, by its centre).
    thresholds
        Thresholds of the events, in the unit of the truth.
    scale
        Side of the window of the fractions skill score, an odd number of pixels.
    coverage
        Least share of a window that must be observed; pixels beyond the edge are not. Its centre must be.

    Returns
    -------
    xarray.Dataset
        Sums against ``against`` (truth, member): counts ``hits``, ``false_alarms`` and ``misses`` and the squares of
        fractions ``squared_difference`` and ``squares``, both by ``threshold``; moments of the pairs. Each is the mean
        over the pairs of a pixel: the M pairs with the truth, or the M (M - 1) ordered pairs of members.
        :func:`~ondee.score.finish` gives CSI, fractions skill score and correlation of both, and the gaps.

    Raises
    ------
    ConfigError
        If there are fewer than two members, thresholds do not ascend, or `scale` or `coverage` make no window.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit, or ``y`` and ``x`` are not summed over.

    Notes
    -----
    No pair is formed: with k of M members wet, :math:`k(k-1)` ordered pairs hit and :math:`k(M-k)` each miss and are
    falsely alarmed; with window fractions :math:`P_i`,
    :math:`\sum_{i\ne j}(P_i-P_j)^2=2M\sum_iP_i^2-2(\sum_iP_i)^2`; with values :math:`x_i`,
    :math:`\sum_{i\ne j}x_ix_j=(\sum_ix_i)^2-\sum_ix_i^2`.
    """
    levels = rising(thresholds, "thresholds")
    _require_usable(estimate, scale, coverage)
    reach, least = scale // 2, max(1, int(np.ceil(coverage * scale**2 * (1.0 - 1e-12))))

    def kernel(e: Array, t: Array, w: Array | None) -> dict[str, Array]:
        weight = np.isfinite(t).astype(np.float64) if w is None else w
        counts = np.zeros((len(_COUNTS), 2, len(levels)))
        fractions = np.zeros((len(_FRACTIONS), 2, len(levels)))
        moments = np.zeros((len(_MOMENTS), 2))
        own, true = levels.astype(e.dtype), levels.astype(t.dtype)
        _add_counts(e, t, weight, own, true, counts)
        _add_fractions(e, t, weight, own, true, reach, least, fractions)
        _add_moments(e, t, weight, moments)
        found = (*zip(_COUNTS, counts, strict=True), *zip(_FRACTIONS, fractions, strict=True))
        return {**dict(found), **dict(zip(_MOMENTS, moments, strict=True))}

    return framewise(
        "replicate",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={
            **dict.fromkeys((*_COUNTS, *_FRACTIONS), ("against", "threshold")),
            **dict.fromkeys(_MOMENTS, ("against",)),
        },
        coordinates={"against": ["truth", "member"], "threshold": threshold_coordinate(levels, truth)},
        settings={"members": estimate.sizes.get(MEMBER, 0), "scale": int(scale), "coverage": float(coverage)},
        stack=True,
    )


def _require_usable(estimate: xr.DataArray, scale: int, coverage: float) -> None:
    if estimate.sizes.get(MEMBER, 2) < 2:
        raise ConfigError(
            "the replicate test needs two members at least, and there is one",
            where="dimension 'member' of the estimate",
            fix="give more members, or score the field with event",
        )
    if scale < 1 or scale % 2 == 0:
        raise ConfigError(
            f"a window of {scale} pixels has no centre", where="scale", fix="give an odd number such as 1, 5 or 11"
        )
    if not 0.0 <= coverage <= 1.0:
        raise ConfigError(f"coverage is {coverage}", where="coverage", fix="give a share between 0 and 1")


@njit(cache=True, error_model="numpy", nogil=True)
def _add_counts(members: Array, truth: Array, weight: Array, own: Array, true: Array, found: Array) -> None:
    """Add hits, false alarms and misses of all pairs, ``(3, against, threshold)``."""
    count, height, width = members.shape
    pairs = count * (count - 1)
    wet = np.empty(width, np.int32)
    for k in range(len(own)):
        for y in range(height):
            wet[:] = 0
            for m in range(count):
                for x in range(width):
                    wet[x] += members[m, y, x] >= own[k]
            for x in range(width):
                w = weight[y, x]
                if w > 0.0:
                    n = wet[x]
                    if truth[y, x] >= true[k]:
                        found[0, 0, k] += w * n / count
                        found[2, 0, k] += w * (count - n) / count
                    else:
                        found[1, 0, k] += w * n / count
                    mixed = w * n * (count - n) / pairs
                    found[0, 1, k] += w * n * (n - 1) / pairs
                    found[1, 1, k] += mixed
                    found[2, 1, k] += mixed


@njit(cache=True, error_model="numpy", nogil=True)
def _add_moments(members: Array, truth: Array, weight: Array, found: Array) -> None:
    """Add weight, means, squares and product of all pairs (member, other), ``(6, against)``."""
    count, height, width = members.shape
    pairs = count * (count - 1)
    for y in range(height):
        for x in range(width):
            w = weight[y, x]
            if w > 0.0:
                total, square = 0.0, 0.0
                for m in range(count):
                    value = np.float64(members[m, y, x])
                    total += value
                    square += value * value
                other = np.float64(truth[y, x])
                mean, power = total / count, square / count
                for against in range(2):
                    found[0, against] += w
                    found[1, against] += w * mean
                    found[2, against] += w * (other if against == 0 else mean)
                    found[3, against] += w * power
                    found[4, against] += w * (other * other if against == 0 else power)
                    found[5, against] += w * (other * mean if against == 0 else (total * total - square) / pairs)


@njit(cache=True, error_model="numpy", nogil=True)
def _count_windows(values: Array, level: float, reach: int, line: Array, out: Array) -> None:
    """Number of pixels of at least a level in the window around each pixel; `line` is ``(x + 2 reach + 1,)``."""
    height, width = values.shape
    line[:] = 0
    for y in range(-reach, height):
        enters, leaves = y + reach, y - reach - 1
        if enters < height:
            for x in range(width):
                line[reach + 1 + x] += values[enters, x] >= level
        if leaves >= 0:
            for x in range(width):
                line[reach + 1 + x] -= values[leaves, x] >= level
        if y >= 0:
            total = 0
            for x in range(1, 2 * reach + 1):
                total += line[x]
            for x in range(width):
                total += line[x + 2 * reach + 1] - line[x]
                out[y, x] = total


@njit(cache=True, error_model="numpy", nogil=True)
def _add_fractions(
    members: Array, truth: Array, weight: Array, own: Array, true: Array, reach: int, least: int, found: Array
) -> None:
    """Add squared differences and squares of the window fractions of all pairs, ``(2, against, threshold)``."""
    count, height, width = members.shape
    line = np.zeros(width + 2 * reach + 1, np.int32)
    seen, events = np.empty((height, width), np.int32), np.empty((height, width), np.int32)
    total, square = np.empty((height, width)), np.empty((height, width))
    _count_windows(truth, -np.inf, reach, line, seen)
    for k in range(len(own)):
        total[:] = 0.0
        square[:] = 0.0
        for m in range(count):
            _count_windows(members[m], own[k], reach, line, events)
            for y in range(height):
                for x in range(width):
                    n = np.float64(events[y, x])
                    total[y, x] += n
                    square[y, x] += n * n
        _count_windows(truth, true[k], reach, line, events)
        for y in range(height):
            for x in range(width):
                if weight[y, x] > 0.0 and seen[y, x] >= least:
                    share = weight[y, x] / (np.float64(seen[y, x]) * seen[y, x])
                    other, mean, power = np.float64(events[y, x]), total[y, x] / count, square[y, x] / count
                    found[0, 0, k] += share * (power - 2.0 * other * mean + other * other)
                    found[1, 0, k] += share * (power + other * other)
                    # mean of (P_i - P_j)² over i ≠ j is twice the variance with divisor M - 1
                    found[0, 1, k] += share * 2.0 * (power - mean * mean) * count / (count - 1)
                    found[1, 1, k] += share * 2.0 * power


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Scores against truth and against member, and their gaps."""
    hits, false_alarms, misses = (sums[name] for name in _COUNTS)
    n, first, second, first_square, second_square, product = (sums[name] for name in _MOMENTS)
    covariance = product * n - first * second
    variances = _variance(first, first_square, n) * _variance(second, second_square, n)
    made = {
        "critical_success_index": ratio(hits, hits + false_alarms + misses),
        "fractions_skill_score": 1 - ratio(sums["squared_difference"], sums["squares"]),
        "correlation": ratio(covariance, variances**0.5),
    }
    gaps = {
        f"replicate_gap_{name}": value.sel(against="member", drop=True) - value.sel(against="truth", drop=True)
        for name, value in made.items()
    }
    return xr.Dataset({**{f"replicate_{name}": value for name, value in made.items()}, **gaps})


def _variance(total: xr.DataArray, square: xr.DataArray, n: xr.DataArray) -> xr.DataArray:
    """Variance times n²; NaN where it is nothing but rounding, as of a field that is the same everywhere."""
    found = square * n - total**2
    return found.where(found > 1e-12 * square * n)


_SOURCE = "exchangeability of truth and members: Anderson 1996, Journal of Climate 9, for ranks; here of pairs"
_UNSKILLED = "against=member is no skill: it says how alike members are, and sets what the truth could reach"
_GAP = "0 is also had by members drawn from the climate: it judges honesty, not skill"


def _measures(name: str, long_name: str, equation: str, lowest: float) -> tuple[Measure, Measure]:
    return (
        Measure(
            f"replicate_{name}",
            f"{long_name} of a member with the truth, and with another member",
            equation,
            _SOURCE,
            _UNSKILLED,
            bounds=(lowest, 1.0),
        ),
        Measure(
            f"replicate_gap_{name}",
            f"{long_name} of two members, less that of a member and the truth",
            rf"S_{{i\ne j}}(x_i,x_j)-S_i(x_i,y),\ S={equation}",
            _SOURCE,
            _GAP,
            axis="probability",
            best=0.0,
            bounds=(lowest - 1.0, 1.0 - lowest),
        ),
    )


register(
    "replicate",
    _finish,
    (
        *_measures("critical_success_index", "critical success index", r"a/(a+b+c)", 0.0),
        *_measures(
            "fractions_skill_score", "fractions skill score", r"1-\frac{\sum(P_1-P_2)^2}{\sum P_1^2+\sum P_2^2}", 0.0
        ),
        *_measures(
            "correlation", "correlation", r"\mathrm{cov}(x_1,x_2)/\sqrt{\mathrm{var}\,x_1\,\mathrm{var}\,x_2}", -1.0
        ),
    ),
)
