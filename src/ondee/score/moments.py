"""Pixel against pixel: bias, errors, correlation of values and of ranks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.score.catalogue import register
from ondee.score.classes import class_edges, class_of, floating, in_precision, level_of
from ondee.score.components import decomposition, measure, multiplicative, variance
from ondee.score.contingency import ratio, threshold_coordinate
from ondee.score.sums import pointwise
from ondee.units import WET

__all__ = ["decomposition", "multiplicative", "point", "rank_correlation"]

Array = NDArray[Any]
Floats = NDArray[np.float64]

_POINT = (
    "samples",
    "weight",
    "sum_estimate",
    "sum_truth",
    "sum_estimate_squares",
    "sum_truth_squares",
    "sum_products",
    "sum_absolute_errors",
    "sum_square_errors",
)


def point(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    wet: float = WET,
) -> xr.Dataset:
    """Sum values, squares, products and errors, of all pixels and of those where it rains.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…)``, NaN where not observed: such a pixel counts nowhere. Members are pooled.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    wet
        Value from which a pixel is wet.

    Returns
    -------
    xarray.Dataset
        Sums against ``population``: ``all`` pixels, those wet in ``either`` field, and ``hits``, wet in both.
        :func:`~ondee.score.finish` gives bias, MAE, RMSE, correlation and KGE. ``samples`` counts pixels without their
        weight.

    Raises
    ------
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.0, 2.0, 4.0, float("nan")], dims="x")
    >>> estimate = xr.DataArray([0.0, 3.0, 4.0, 5.0], dims="x")
    >>> from ondee.score import finish
    >>> float(finish(point(estimate, truth)).mean_absolute_error.sel(population="hits"))
    0.5
    """

    def kernel(e: Array, t: Array, w: Floats) -> dict[str, Floats]:
        e, t = floating(e), floating(t)
        groups = np.zeros((len(t), 3, len(_POINT)))
        _add_moments(e, t, w, level_of(wet, e), level_of(wet, t), groups)
        dry, either, hits = groups[:, 0], groups[:, 1] + groups[:, 2], groups[:, 2]
        made = np.stack([dry + either, either, hits], axis=1)
        return {name: made[..., i] for i, name in enumerate(_POINT)}

    return pointwise(
        "point",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(_POINT, ("population",)),
        coordinates={"population": ["all", "either", "hits"]},
        settings={"wet": float(wet)},
    )


def rank_correlation(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    classes: int | Sequence[float] = 100,
) -> xr.Dataset:
    """Count pixels by class of the estimate and of the truth, for the correlation of ranks.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…)``, NaN where not observed: such a pixel counts nowhere. Members are pooled.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    classes
        Number of classes of rain (100 are 11.8 % wide, zero is alone), or ascending lower edges. Values of one class
        count as equal: the correlation is exact where each class holds one value; otherwise ties bring it nearer to 0,
        by some 0.001 with 100 classes.

    Returns
    -------
    xarray.Dataset
        Sums ``count`` against ``estimate_class`` and ``truth_class`` (lower edges). :func:`~ondee.score.finish` gives
        Spearman's correlation.

    Raises
    ------
    ConfigError
        If classes do not ascend, or are too few.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.
    """
    edges = class_edges(classes)

    def kernel(e: Array, t: Array, w: Floats) -> dict[str, Floats]:
        e, t = floating(e), floating(t)
        count = np.zeros((len(t), edges.size, edges.size))
        _add_pairs(e, t, w, in_precision(edges, e), in_precision(edges, t), count)
        return {"count": count}

    names = ("estimate_class", "truth_class")
    return pointwise(
        "rank_correlation",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={"count": names},
        coordinates={name: threshold_coordinate(edges, truth, name)[:2] for name in names},
        settings={"classes": f"{edges.size} from {edges[0]:g} to {edges[-1]:g}"},
    )


@njit(cache=True)
def _add_moments(e: Any, t: Any, w: Any, wet_e: float, wet_t: float, groups: Any) -> None:
    """Add the moments of ``(kept, pooled)`` to groups: dry in both, wet in one, wet in both."""
    for row in range(t.shape[0]):
        for i in range(t.shape[1]):
            weight = w[row, i]
            if weight > 0.0:
                s, r = np.float64(e[row, i]), np.float64(t[row, i])
                group = groups[row, int(s >= wet_e) + int(r >= wet_t)]
                group[0] += 1.0
                group[1] += weight
                if s != 0.0 or r != 0.0:
                    error = s - r
                    group[2] += weight * s
                    group[3] += weight * r
                    group[4] += weight * s * s
                    group[5] += weight * r * r
                    group[6] += weight * s * r
                    group[7] += weight * abs(error)
                    group[8] += weight * error * error


@njit(cache=True)
def _add_pairs(e: Any, t: Any, w: Any, edges_e: Any, edges_t: Any, count: Any) -> None:
    for row in range(t.shape[0]):
        for i in range(t.shape[1]):
            if w[row, i] > 0.0:
                k, m = class_of(np.float64(e[row, i]), edges_e), class_of(np.float64(t[row, i]), edges_t)
                count[row, k, m] += w[row, i]


def _finish_point(sums: xr.Dataset) -> xr.Dataset:
    """Errors, correlation and efficiency."""
    n = sums["weight"]
    mean_s, mean_r = ratio(sums["sum_estimate"], n), ratio(sums["sum_truth"], n)
    variance_s = variance(sums["sum_estimate_squares"], sums["sum_estimate"], n)
    variance_r = variance(sums["sum_truth_squares"], sums["sum_truth"], n)
    covariance = ratio(sums["sum_products"], n) - mean_s * mean_r
    correlation = (covariance / np.sqrt(variance_s * variance_r)).clip(-1.0, 1.0)
    root = ratio(sums["sum_square_errors"], n) ** 0.5
    distance = (correlation - 1) ** 2 + (np.sqrt(variance_s / variance_r) - 1) ** 2 + (ratio(mean_s, mean_r) - 1) ** 2
    return xr.Dataset(
        {
            "mean_error": mean_s - mean_r,
            "relative_bias": ratio(mean_s - mean_r, mean_r),
            "mean_absolute_error": ratio(sums["sum_absolute_errors"], n),
            "root_mean_square_error": root,
            "normalised_rmse": ratio(root, mean_r),
            "correlation": correlation,
            "kling_gupta_efficiency": 1 - np.sqrt(distance),
            "mean_estimate": mean_s,
            "mean_truth": mean_r,
            "samples": sums["samples"],
        }
    )


def _finish_ranks(sums: xr.Dataset) -> xr.Dataset:
    """Pearson's correlation of mid-ranks."""
    names = ["estimate_class", "truth_class"]
    count = sums["count"].sortby(names)
    ranks, squares = [], []
    for name, other in zip(names, reversed(names), strict=True):
        margin = count.sum(other)
        ranks.append(margin.cumsum(name) - margin / 2 - margin.sum(name) / 2)
        squares.append((margin * ranks[-1] ** 2).sum(name))
    product = xr.dot(count, *ranks, dim=names)
    return xr.Dataset({"spearman_correlation": ratio(product, (squares[0] * squares[1]) ** 0.5).clip(-1.0, 1.0)})


_WILKS = "Wilks 2019, Statistical Methods in the Atmospheric Sciences, 4th ed., §9.3"
_FREE, _POSITIVE, _SIGNED = (-np.inf, np.inf), (0.0, np.inf), (-1.0, 1.0)


register(
    "point",
    _finish_point,
    (
        measure(
            "mean_error",
            "mean error",
            r"\overline{S-R}",
            _WILKS,
            "errors of opposite sign cancel",
            0.0,
            _FREE,
            axis="amount",
            units="data",
        ),
        measure(
            "relative_bias",
            "relative bias",
            r"\sum(S-R)/\sum R",
            _WILKS,
            "errors of opposite sign cancel",
            0.0,
            (-1.0, np.inf),
            axis="amount",
        ),
        measure(
            "mean_absolute_error",
            "mean absolute error",
            r"\overline{|S-R|}",
            _WILKS,
            "the median of what is possible scores best: an estimate that is dry too often",
            0.0,
            _POSITIVE,
            units="data",
        ),
        measure(
            "root_mean_square_error",
            "root mean square error",
            r"\sqrt{\overline{(S-R)^2}}",
            _WILKS,
            "a smooth mean scores better than rain in the right amounts; few heavy pixels decide",
            0.0,
            _POSITIVE,
            units="data",
        ),
        measure(
            "normalised_rmse",
            "root mean square error over the mean of the truth",
            r"\sqrt{\overline{(S-R)^2}}/\bar R",
            _WILKS,
            "grows as the domain gets drier, whatever the skill; a smooth mean scores best",
            0.0,
            _POSITIVE,
        ),
        measure(
            "correlation",
            "correlation",
            r"\mathrm{cov}(S,R)/(\sigma_S\sigma_R)",
            _WILKS,
            "does not see a bias or a wrong scale; few heavy pixels decide",
            1.0,
            _SIGNED,
        ),
        measure(
            "kling_gupta_efficiency",
            "Kling-Gupta efficiency",
            r"1-\sqrt{(r-1)^2+(\sigma_S/\sigma_R-1)^2+(\bar S/\bar R-1)^2}",
            "Gupta et al. 2009, Journal of Hydrology 377, 80-91",
            "mixes place, spread and amount into one number; the mean of the truth scores -0.41, not 0",
            1.0,
            (-np.inf, 1.0),
        ),
        measure(
            "mean_estimate",
            "mean of the estimate",
            r"\bar S",
            _WILKS,
            "a property of the estimate alone",
            np.nan,
            _FREE,
            axis="context",
            units="data",
        ),
        measure(
            "mean_truth",
            "mean of the truth",
            r"\bar R",
            _WILKS,
            "a property of the truth alone",
            np.nan,
            _FREE,
            axis="context",
            units="data",
        ),
        measure(
            "samples",
            "number of pixels",
            r"n",
            _WILKS,
            "neighbouring pixels and members are not independent samples",
            np.nan,
            _POSITIVE,
            axis="context",
        ),
    ),
)

register(
    "rank_correlation",
    _finish_ranks,
    (
        measure(
            "spearman_correlation",
            "Spearman's rank correlation",
            r"\mathrm{cov}(\mathrm{rank}\,S,\mathrm{rank}\,R)/(\sigma_{\mathrm{rank}\,S}\,\sigma_{\mathrm{rank}\,R})",
            "Spearman 1904, The American Journal of Psychology 15, 72-101; ties share their mean rank",
            "does not see amounts; where most pixels are dry in both it says little more than wet or dry",
            1.0,
            _SIGNED,
        ),
    ),
)
