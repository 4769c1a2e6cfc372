"""The continuous ranked probability score of an ensemble, of its whole distribution and of its tail."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.score.catalogue import Measure, register
from ondee.score.contingency import ratio, rising, threshold_coordinate
from ondee.score.sums import pointwise

__all__ = ["TAILS", "crps"]

TAILS = (0.0, 1.0, 5.0, 10.0, 20.0)
"""Rain rates from which the distribution is judged, mm h-1; 0 is the whole of it."""
_BLOCK = 64
"""Pixels that are sorted side by side: the processor does several in one instruction, and they stay in its cache."""


def crps(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    tails: Sequence[float] = TAILS,
) -> xr.Dataset:
    r"""Sum up how far the distribution of the members lies from the truth: mean distances to it and among them.

    The score of the tail from :math:`t` upwards is that of :math:`\max(x, t)` against :math:`\max(y, t)`: it is
    0 where neither reaches :math:`t`, and stays proper (an ensemble cannot gain by choosing when to be bold), which
    the score of those pixels alone that turned out heavy does not.

    Parameters
    ----------
    estimate
        ``(member, …)``; a pixel that any member lacks is missing.
    truth
        ``(…)``, in the same unit.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    tails
        Thresholds in the unit of the truth, ascending. 0 stands for the whole distribution (rain is never negative;
        of a quantity that can be, nothing is cut at 0 either).

    Returns
    -------
    xarray.Dataset
        Sums ``absolute_error`` and ``member_distance`` against ``tail``, and ``weight``.
        :func:`~ondee.score.finish` gives the fair and the plain score.

    Raises
    ------
    ConfigError
        If there are no members, or the tails do not ascend.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Notes
    -----
    With members :math:`x_1 … x_M` and truth :math:`y` the score is
    :math:`\frac1M\sum_i|x_i-y|-\frac{1}{2}D`; the fair one, which an ensemble of any size drawn from the truth's law
    minimises, has for :math:`D` the mean of :math:`|x_i-x_j|` over :math:`i\neq j`, the plain one the mean over all
    pairs. Distances among sorted members need one pass: :math:`\sum_{i<j}(x_j-x_i)=\sum_i(2i-M-1)x_i`.

    References
    ----------
    Ferro 2014, QJRMS 140, 1917-1923 (fair scores); Gneiting and Ranjan 2011, JBES 29, 411-422 (threshold weights);
    Allen et al. 2023, SIAM/ASA JUQ 11, 906-940 (chaining function).

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.0, 4.0], dims="x")
    >>> members = xr.DataArray([[0.0, 1.0], [1.0, 3.0]], dims=("member", "x"))
    >>> from ondee.score import finish
    >>> [float(value) for value in finish(crps(members, truth, tails=[0.0, 3.5])).fair_crps]
    [0.5, 0.25]
    """
    levels = rising(tails, "tails")
    cuts = np.where(levels == 0.0, -np.inf, levels)

    def kernel(e: NDArray[Any], t: NDArray[Any], w: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        rows, columns = t.shape
        error, distance = np.zeros((2, rows, len(cuts)))
        order = _comparisons(len(e))
        _add(e.reshape(len(e), -1), t.ravel(), w.ravel(), columns, cuts, order, error, distance)
        # A single member has no distance to another. Both sums are kept, so that ensembles of any size are paired.
        apart = distance if len(e) > 1 else np.full_like(distance, np.nan)
        own = distance * (1 - 1 / len(e))
        return {"absolute_error": error, "member_distance": apart, "own_distance": own, "weight": w.sum(axis=1)}

    return pointwise(
        "crps",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={"absolute_error": ("tail",), "member_distance": ("tail",), "own_distance": ("tail",), "weight": ()},
        coordinates={"tail": threshold_coordinate(levels, truth, "tail", "threshold of the tail, 0 for the whole")},
        stack=True,
    )


@cache
def _comparisons(members: int) -> NDArray[np.int64]:
    """Pairs of places that, compared and exchanged in this order, sort so many values.

    Batcher's merge exchange (Knuth 1998, The Art of Computer Programming 3, 5.2.2, algorithm M): which pairs are
    compared does not depend on the values, so that many pixels can be sorted side by side.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max(0, (members - 1).bit_length() - 1)
    step = top
    while step > 0 and members > 1:
        half, rest, apart = top, 0, step
        while True:
            pairs += [(i, i + apart) for i in range(members - apart) if i & step == rest]
            if half == step:
                break
            apart, half, rest = half - step, half >> 1, step
        step >>= 1
    return np.array(pairs, np.int64).reshape(-1, 2)


@njit(cache=True, error_model="numpy", nogil=True)
def _add(
    members: NDArray[Any],
    truth: NDArray[Any],
    weight: NDArray[np.float64],
    columns: int,
    cuts: NDArray[np.float64],
    order: NDArray[np.int64],
    error: NDArray[np.float64],
    distance: NDArray[np.float64],
) -> None:
    """Add to `error` and `distance`, ``(row, cut)``, what each pixel gives; `members` is ``(member, row · column)``."""
    count, size = members.shape
    block = np.empty((count, _BLOCK), members.dtype)
    away, apart = np.empty(_BLOCK), np.empty(_BLOCK)
    pairs = max(1, count * (count - 1))
    for first in range(0, size, _BLOCK):
        wide = min(_BLOCK, size - first)
        for m in range(count):
            for p in range(wide):
                block[m, p] = members[m, first + p]
        for k in range(len(order)):
            low, high = block[order[k, 0]], block[order[k, 1]]
            for p in range(wide):
                a, b = low[p], high[p]
                low[p], high[p] = min(a, b), max(a, b)
        for c in range(len(cuts)):
            cut = cuts[c]
            away[:] = 0.0
            apart[:] = 0.0
            for m in range(count):
                factor = 2.0 * m - count + 1.0
                row = block[m]
                for p in range(wide):
                    value = max(np.float64(row[p]), cut)
                    away[p] += abs(value - max(np.float64(truth[first + p]), cut))
                    apart[p] += factor * value
            for p in range(wide):
                row_index = (first + p) // columns
                error[row_index, c] += weight[first + p] * away[p] / count
                distance[row_index, c] += weight[first + p] * 2.0 * apart[p] / pairs


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Both scores; the fair one is not defined for a single member, which has no distance to another."""
    error = ratio(sums["absolute_error"], sums["weight"])
    return xr.Dataset(
        {
            "fair_crps": error - ratio(sums["member_distance"], sums["weight"]) / 2,
            "ensemble_crps": error - ratio(sums["own_distance"], sums["weight"]) / 2,
        }
    )


register(
    "crps",
    _finish,
    (
        Measure(
            "fair_crps",
            "fair continuous ranked probability score",
            r"\frac1M\sum_i|v(x_i)-v(y)|-\frac{1}{2M(M-1)}\sum_{i,j}|v(x_i)-v(x_j)|,\ v(x)=\max(x,t)",
            "Ferro 2014, QJRMS 140; tail: Gneiting and Ranjan 2011, JBES 29; Allen et al. 2023, SIAM/ASA JUQ 11",
            "judges each pixel alone: members without any spatial structure lose nothing; dry pixels dilute it",
            axis="probability",
            units="data",
            best=0.0,
            bounds=(-np.inf, np.inf),
        ),
        Measure(
            "ensemble_crps",
            "continuous ranked probability score of the ensemble as it is",
            r"\frac1M\sum_i|v(x_i)-v(y)|-\frac{1}{2M^2}\sum_{i,j}|v(x_i)-v(x_j)|,\ v(x)=\max(x,t)",
            "Gneiting and Raftery 2007, JASA 102, §4.2; Hersbach 2000, Weather and Forecasting 15",
            "falls as members are added, so ensembles of different sizes do not compare",
            axis="probability",
            units="data",
            best=0.0,
            bounds=(0.0, np.inf),
        ),
    ),
)
