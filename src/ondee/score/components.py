"""Of what the error of rain is made: a power law and its scatter, or hits, misses and false alarms."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.classes import class_of, floating, in_precision, level_of
from ondee.score.contingency import THRESHOLDS, ratio, rising, threshold_coordinate
from ondee.score.sums import pointwise
from ondee.units import WET

__all__ = ["decomposition", "measure", "multiplicative", "variance"]

Array = NDArray[Any]
Floats = NDArray[np.float64]

_LOGARITHMS = (
    "weight",
    "sum_truth_logarithms",
    "sum_estimate_logarithms",
    "sum_truth_logarithm_squares",
    "sum_estimate_logarithm_squares",
    "sum_logarithm_products",
    "sum_square_errors",
)
_BY_TRUTH = (
    "class_weight",
    "class_truth",
    "class_estimate",
    "class_truth_squares",
    "class_estimate_squares",
    "class_products",
)
_PARTS = (
    "hit_overestimates",
    "hit_underestimates",
    "missed_truth",
    "missed_estimate",
    "false_estimate",
    "false_truth",
    "dry_estimate",
    "dry_truth",
)
_DECADES, _WIDTH = 4, 0.03
_NOISE = 1e-12
"""Share of a mean square below which a variance is rounding, and the field constant."""


def multiplicative(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    wet: float = WET,
) -> xr.Dataset:
    """Sum logarithms where both fields are wet, for the model ``ln S = a + b ln R + ε`` of estimate and truth.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…)``, NaN where not observed: such a pixel counts nowhere. Members are pooled.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    wet
        Value from which a pixel is wet, more than 0; only hits are fitted.

    Returns
    -------
    xarray.Dataset
        Sums of the fit, and sums against ``truth_class`` (lower edge), logarithmic classes of the truth 3 % wide from
        `wet` to 10 000 times that: through them the systematic and the random error of the fitted model are found.
        The fit itself knows no classes; within a class the fitted curve is taken for a parabola, which changes the two
        shares by some millionths.

    Raises
    ------
    ConfigError
        If `wet` is not positive.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.0, 1.0, 2.0, 4.0], dims="x")
    >>> from ondee.score import finish
    >>> float(finish(multiplicative(3 * truth**0.5, truth)).multiplicative_slope.round(6))
    0.5
    """
    if not wet > 0:
        raise ConfigError(
            f"the logarithm needs positive rain, and wet is {wet:g}",
            where="wet",
            fix="give the smallest rain to be fitted, such as wet=0.1",
        )
    number = int(np.ceil(_DECADES * np.log(10) / np.log1p(_WIDTH)))
    edges = np.geomspace(wet, wet * 10.0**_DECADES, number + 1)

    def kernel(e: Array, t: Array, w: Floats) -> dict[str, Floats]:
        e, t = floating(e), floating(t)
        fit, classes = np.zeros((len(t), len(_LOGARITHMS))), np.zeros((len(t), edges.size, len(_BY_TRUTH)))
        _add_logarithms(e, t, w, level_of(wet, e), level_of(wet, t), in_precision(edges, t), fit, classes)
        made = {name: fit[:, i] for i, name in enumerate(_LOGARITHMS)}
        return made | {name: classes[..., i] for i, name in enumerate(_BY_TRUTH)}

    return pointwise(
        "multiplicative",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(_LOGARITHMS, ()) | dict.fromkeys(_BY_TRUTH, ("truth_class",)),
        coordinates={"truth_class": threshold_coordinate(edges, truth, "truth_class")[:2]},
        settings={"wet": float(wet)},
    )


def decomposition(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> xr.Dataset:
    """Sum the rain of hits, of misses, of false alarms, and of pixels that are dry in both.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…)``, NaN where not observed: such a pixel counts nowhere. Members are pooled.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    thresholds
        Values from which a pixel is an event.

    Returns
    -------
    xarray.Dataset
        Sums against ``threshold``, and the rain of both fields. :func:`~ondee.score.finish` gives the total error and
        its parts, ``total_error = hit_error - missed_rain + false_rain + dry_residual``, with
        ``hit_error = hit_overestimate - hit_underestimate``. The residual is all that lies below the threshold: in
        pixels dry in both, the estimate's rain in misses and the truth's rain in false alarms.

    Raises
    ------
    ConfigError
        If thresholds are not ascending.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.0, 1.0, 3.0], dims="x")
    >>> estimate = xr.DataArray([2.0, 0.0, 4.0], dims="x")
    >>> from ondee.score import finish
    >>> made = finish(decomposition(estimate, truth, thresholds=[1.0]))
    >>> [float(made[name].item()) for name in ("total_error", "hit_error", "missed_rain", "false_rain")]
    [0.5, 0.25, 0.25, 0.5]
    """
    levels = rising(thresholds, "thresholds")

    def kernel(e: Array, t: Array, w: Floats) -> dict[str, Floats]:
        e, t = floating(e), floating(t)
        table = np.zeros((len(t), levels.size + 1, levels.size + 1, 4))
        _add_rain(e, t, w, in_precision(levels, e), in_precision(levels, t), table)
        made = {name: np.empty((len(t), levels.size)) for name in _PARTS}
        for i in range(levels.size):
            yes, no = slice(i + 1, None), slice(None, i + 1)
            parts = [
                table[:, seen, true].sum(axis=(1, 2)) for seen, true in ((yes, yes), (no, yes), (yes, no), (no, no))
            ]
            hit, missed, false, dry = parts
            found = (hit[:, 2], hit[:, 3], missed[:, 1], missed[:, 0], false[:, 0], false[:, 1], dry[:, 0], dry[:, 1])
            for name, values in zip(_PARTS, found, strict=True):
                made[name][:, i] = values
        whole = table.sum(axis=(1, 2))
        return made | {"sum_estimate": whole[:, 0], "sum_truth": whole[:, 1]}

    return pointwise(
        "decomposition",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(_PARTS, ("threshold",)) | dict.fromkeys(("sum_estimate", "sum_truth"), ()),
        coordinates={"threshold": threshold_coordinate(levels, truth)},
    )


@njit(cache=True)
def _add_logarithms(e: Any, t: Any, w: Any, wet_e: float, wet_t: float, edges: Any, fit: Any, classes: Any) -> None:
    for row in range(t.shape[0]):
        for i in range(t.shape[1]):
            weight, s, r = w[row, i], np.float64(e[row, i]), np.float64(t[row, i])
            if weight > 0.0 and s >= wet_e and r >= wet_t:
                x, y = np.log(r), np.log(s)
                fit[row, 0] += weight
                fit[row, 1] += weight * x
                fit[row, 2] += weight * y
                fit[row, 3] += weight * x * x
                fit[row, 4] += weight * y * y
                fit[row, 5] += weight * x * y
                fit[row, 6] += weight * (s - r) * (s - r)
                found = classes[row, class_of(r, edges)]
                found[0] += weight
                found[1] += weight * r
                found[2] += weight * s
                found[3] += weight * r * r
                found[4] += weight * s * s
                found[5] += weight * r * s


@njit(cache=True)
def _add_rain(e: Any, t: Any, w: Any, levels_e: Any, levels_t: Any, table: Any) -> None:
    """Add rain, excess and deficit, by the number of levels that the estimate and the truth reach."""
    for row in range(t.shape[0]):
        for i in range(t.shape[1]):
            weight, s, r = w[row, i], np.float64(e[row, i]), np.float64(t[row, i])
            if weight > 0.0 and (s != 0.0 or r != 0.0):
                high, true = 0, 0
                while high < levels_e.size and s >= levels_e[high]:
                    high += 1
                while true < levels_t.size and r >= levels_t[true]:
                    true += 1
                found = table[row, high, true]
                found[0] += weight * s
                found[1] += weight * r
                if s > r:
                    found[2] += weight * (s - r)
                else:
                    found[3] += weight * (r - s)


def variance(squares: xr.DataArray, total: xr.DataArray, n: xr.DataArray) -> xr.DataArray:
    """Variance of a population; NaN where it is none but rounding."""
    square = ratio(squares, n)
    variance = square - ratio(total, n) ** 2
    return variance.where(variance > _NOISE * square)


def _finish_multiplicative(sums: xr.Dataset) -> xr.Dataset:
    """Fit by least squares of logarithms, and the shares of the error that the fit explains and leaves."""
    n, x, y = sums["weight"], sums["sum_truth_logarithms"], sums["sum_estimate_logarithms"]
    mean_x, mean_y = ratio(x, n), ratio(y, n)
    covariance = ratio(sums["sum_logarithm_products"], n) - mean_x * mean_y
    slope = covariance / variance(sums["sum_truth_logarithm_squares"], x, n)
    offset = mean_y - slope * mean_x
    left = ratio(sums["sum_estimate_logarithm_squares"], n) - mean_y**2 - slope * covariance
    weight, truth, estimate, truth_squares, squares, products = (sums[name] for name in _BY_TRUTH)
    held = weight > 0
    mean = (truth / weight.where(held)).where(held, 1.0)
    fitted = np.exp(offset + slope * np.log(mean))
    tangent = slope * fitted / mean
    curvature = (slope - 1) * tangent / mean
    within = (truth_squares - mean * truth).clip(min=0.0)
    systematic = weight * (fitted - mean) ** 2 + ((tangent - 1) ** 2 + (fitted - mean) * curvature) * within
    explained = fitted * estimate + tangent * (products - mean * estimate)
    bend = (fitted - estimate / weight.where(held, 1.0)) * curvature
    random = squares - 2 * explained + weight * fitted**2 + (tangent**2 + bend) * within
    error = sums["sum_square_errors"]
    return xr.Dataset(
        {
            "multiplicative_offset": offset,
            "multiplicative_slope": slope,
            "multiplicative_scatter": np.sqrt(left.clip(min=0.0)),
            "systematic_error_share": ratio(systematic.sum("truth_class", skipna=False), error),
            "random_error_share": ratio(random.sum("truth_class", skipna=False).clip(min=0.0), error),
        }
    )


def _finish_decomposition(sums: xr.Dataset) -> xr.Dataset:
    """Parts of the error, as shares of the true rain."""
    whole = sums["sum_truth"]
    over, under, missed, missed_s, false, false_r, dry_s, dry_r = (ratio(sums[name], whole) for name in _PARTS)
    total = ratio(sums["sum_estimate"] - whole, whole)
    return xr.Dataset(
        {
            "total_error": total.broadcast_like(over),
            "hit_error": over - under,
            "hit_overestimate": over,
            "hit_underestimate": under,
            "missed_rain": missed,
            "false_rain": false,
            "dry_residual": missed_s - false_r + dry_s - dry_r,
        }
    )


_TIAN_2009 = "Tian et al. 2009, Journal of Geophysical Research 114, D24101"
_TIAN_2013 = "Tian et al. 2013, Geophysical Research Letters 40, 2060-2065"
_SHARES = (
    "Willmott 1981, Physical Geography 2, 184-194; AghaKouchak et al. 2012, Geophysical Research Letters 39, L09406"
)
_FREE, _POSITIVE = (-np.inf, np.inf), (0.0, np.inf)


def measure(
    name: str,
    long_name: str,
    equation: str,
    source: str,
    blind: str,
    best: float,
    bounds: tuple[float, float],
    **more: Any,
) -> Measure:
    """A measure, in few words."""
    return Measure(name, long_name, equation, source, blind, best=best, bounds=bounds, **more)


register(
    "multiplicative",
    _finish_multiplicative,
    (
        measure(
            "multiplicative_offset",
            "offset of the multiplicative model",
            r"a\ \mathrm{in}\ \ln S=a+b\ln R+\varepsilon",
            _TIAN_2013,
            "hits only; the bias at R = 1, not the bias of all rain",
            0.0,
            _FREE,
            axis="amount",
        ),
        measure(
            "multiplicative_slope",
            "slope of the multiplicative model",
            r"b\ \mathrm{in}\ \ln S=a+b\ln R+\varepsilon",
            _TIAN_2013,
            "hits only; errors of the truth and the cut at the threshold flatten it",
            1.0,
            _FREE,
            axis="what",
        ),
        measure(
            "multiplicative_scatter",
            "scatter of the multiplicative model",
            r"\sigma_\varepsilon=\sqrt{\overline{(\ln S-a-b\ln R)^2}}",
            _TIAN_2013,
            "hits only; the same on average for light and heavy rain; includes the errors of the truth",
            0.0,
            _POSITIVE,
        ),
        measure(
            "systematic_error_share",
            "systematic share of the mean square error of hits",
            r"\sum(\hat S-R)^2/\sum(S-R)^2,\ \hat S=e^aR^b",
            _SHARES + "; with the fit of " + _TIAN_2013,
            "adds to 1 with the random share only up to a cross term, as the fit is one of logarithms; hits only",
            np.nan,
            _POSITIVE,
            axis="context",
        ),
        measure(
            "random_error_share",
            "random share of the mean square error of hits",
            r"\sum(S-\hat S)^2/\sum(S-R)^2,\ \hat S=e^aR^b",
            _SHARES + "; with the fit of " + _TIAN_2013,
            "adds to 1 with the systematic share only up to a cross term, as the fit is one of logarithms; hits only",
            np.nan,
            _POSITIVE,
            axis="context",
        ),
    ),
)

register(
    "decomposition",
    _finish_decomposition,
    (
        measure(
            "total_error",
            "total error",
            r"E=\sum(S-R)/\sum R=H-M+F+\mathrm{residual}",
            _TIAN_2009,
            "false rain and missed rain cancel",
            0.0,
            (-1.0, np.inf),
            axis="amount",
        ),
        measure(
            "hit_error",
            "error of hits",
            r"H=\sum_\mathrm{hits}(S-R)/\sum R",
            _TIAN_2009,
            "rain too heavy and rain too light cancel",
            0.0,
            (-1.0, np.inf),
            axis="amount",
        ),
        measure(
            "hit_overestimate",
            "rain in excess at hits",
            r"\sum_\mathrm{hits}\max(S-R,0)/\sum R",
            _TIAN_2009 + ", split by sign",
            "a shift by one pixel counts here and among the underestimates",
            0.0,
            _POSITIVE,
            axis="amount",
        ),
        measure(
            "hit_underestimate",
            "rain lacking at hits",
            r"\sum_\mathrm{hits}\max(R-S,0)/\sum R",
            _TIAN_2009 + ", split by sign",
            "a shift by one pixel counts here and among the overestimates",
            0.0,
            (0.0, 1.0),
            axis="amount",
        ),
        measure(
            "missed_rain",
            "missed rain",
            r"M=\sum_\mathrm{misses}R/\sum R",
            _TIAN_2009,
            "a shift by one pixel counts as missed and as false",
            0.0,
            (0.0, 1.0),
        ),
        measure(
            "false_rain",
            "false rain",
            r"F=\sum_\mathrm{false}S/\sum R",
            _TIAN_2009,
            "a shift by one pixel counts as missed and as false",
            0.0,
            _POSITIVE,
        ),
        measure(
            "dry_residual",
            "residual below the threshold",
            r"\left[\sum_\mathrm{misses}S-\sum_\mathrm{false}R+\sum_\mathrm{dry}(S-R)\right]/\sum R",
            "what remains of the total error of " + _TIAN_2009,
            "drizzle of one kind may cancel another; small where the threshold is",
            0.0,
            _FREE,
            axis="amount",
        ),
    ),
)
