"""What rain it is, wherever it falls: wet fraction, quantiles, exceedance, distances, return levels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal
from zlib import crc32

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.classes import class_edges, class_of, floating, in_precision
from ondee.score.contingency import THRESHOLDS, ratio, rising, threshold_coordinate
from ondee.score.sums import pointwise
from ondee.units import WET

__all__ = ["PERIODS", "PROBABILITIES", "distribution"]

Array = NDArray[Any]
Floats = NDArray[np.float64]

PROBABILITIES = tuple(
    share / 10_000
    for share in (*range(5000, 9000, 500), *range(9000, 9900, 100), *range(9900, 9990, 10), *range(9990, 10_000))
)
"""Probabilities of the quantiles: from the median to 0.9999, denser towards the tail."""
PERIODS = (24.0, 240.0, 720.0, 2160.0, 8766.0, 87660.0)
"""Return periods, hours: 1, 10, 30 and 90 days, 1 and 10 years."""

_MOST = 1 << 27
"""Most numbers that sums over exact classes may hold: 1 GiB."""
_FIELDS = ["estimate", "truth"]


def distribution(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    classes: Sequence[float] | Literal["exact"] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    wet: float = WET,
    probabilities: Sequence[float] = PROBABILITIES,
    periods: Sequence[float] = PERIODS,
    step: float | xr.DataArray | None = None,
) -> xr.Dataset:
    """Count the values of both fields in fine classes, wherever they lie.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…)``, NaN where not observed: such a pixel counts in neither. Members are pooled, and count as
        samples of their own.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    classes
        Ascending lower edges (values below the first fall into the first class, the last class is open), or
        ``"exact"``: each value is its own class, for data of few values or small samples. None: 370 classes, zero (and
        anything negative) alone, then up to 0.01, then 3 % wide to 500 and above. Each class also carries the sum of
        its values, so that means are exact.
    thresholds
        Thresholds of the exceedance, counted exactly whatever the classes.
    wet
        Value from which a pixel is wet, counted exactly.
    probabilities
        Probabilities of the quantiles, within (0, 1), of all pixels, dry ones included.
    periods
        Return periods, hours.
    step
        Length of a frame in hours, or ``time_bounds`` ``(time, bounds)`` from which it follows. Where None, return
        levels are missing.

    Returns
    -------
    xarray.Dataset
        Sums ``count`` and ``amount`` against ``field`` and ``value`` (lower edge of the class, or the value itself),
        ``exceedances`` against ``field`` and ``threshold``, ``wet`` against ``field``, and ``samples``, the number of
        pixels. :func:`~ondee.score.finish` gives wet fraction, mean, quantiles, exceedance, Wasserstein-1 and energy
        distance, and return levels. Within a class, quantiles are linear about the mean of the class; distances
        between distributions hold each class at its mean.

    Raises
    ------
    ConfigError
        If classes, thresholds, probabilities, periods or the step cannot be used, or exact classes would be too many.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.0, 0.0, 2.0, 4.0], dims="x")
    >>> estimate = xr.DataArray([0.0, 1.0, 2.0, 4.0], dims="x")
    >>> from ondee.score import finish
    >>> float(finish(distribution(estimate, truth, classes="exact")).wasserstein_distance)
    0.25
    """
    exact = isinstance(classes, str)
    edges = _values(estimate, truth, classes) if isinstance(classes, str) else class_edges(classes)
    levels = rising(thresholds, "thresholds")
    chosen = _within(probabilities, "probabilities", 1.0)
    awaited = _within(periods, "periods", np.inf)
    rows = int(np.prod([truth.sizes[dim] for dim in truth.dims if dim not in _dimensions(truth, over)]))
    if exact and 4 * rows * edges.size > _MOST:
        raise ConfigError(
            f"{edges.size} values, each a class of its own, for each of {rows} sums are too many",
            where="classes='exact'",
            fix="leave the classes to their default, which are 3 % wide, or sum over more dimensions",
        )

    def kernel(e: Array, t: Array, w: Floats) -> dict[str, Floats]:
        shape = (len(t), len(_FIELDS))
        count, amount = np.zeros((*shape, edges.size)), np.zeros((*shape, edges.size))
        reach, rain = np.zeros((*shape, levels.size)), np.zeros(shape)
        for i, values in enumerate(map(floating, (e, t))):
            limits = in_precision(levels, values), float(in_precision(np.array([wet]), values)[0])
            _count(values, w, in_precision(edges, values), *limits, count[:, i], amount[:, i], reach[:, i], rain[:, i])
        samples = (w > 0).sum(axis=1).astype(float)
        return {"count": count, "amount": amount, "exceedances": reach, "wet": rain, "samples": samples}

    kind = "exact" if exact else f"{edges.size} from {edges[0]:g} to {edges[-1]:g}, {crc32(edges.tobytes()):08x}"
    unit = {"units": str(truth.attrs["units"])} if "units" in truth.attrs else {}
    made = pointwise(
        "distribution",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={
            "count": ("field", "value"),
            "amount": ("field", "value"),
            "exceedances": ("field", "threshold"),
            "wet": ("field",),
            "samples": (),
        },
        coordinates={
            "field": _FIELDS,
            "value": ("value", edges, {**unit, "long_name": "value" if exact else "lower edge of the class"}),
            "threshold": threshold_coordinate(levels, truth),
            "probability": ("probability", chosen, {"units": "1", "long_name": "probability of not exceeding"}),
            "period": ("period", awaited, {"units": "h", "long_name": "return period"}),
        },
        settings={"classes": kind, "wet": float(wet), "step": _hours(step)},
    )
    return _occupied(made) if exact else made


@njit(cache=True)
def _count(
    values: Any, weight: Any, edges: Any, levels: Any, wet: float, count: Any, amount: Any, reach: Any, rain: Any
) -> None:
    """Add weights, weighted values and exceedances ``(kept, class or level)`` of values ``(kept, pooled)``."""
    for row in range(values.shape[0]):
        for i in range(values.shape[1]):
            w = weight[row, i]
            if w > 0.0:
                v = np.float64(values[row, i])
                k = class_of(v, edges)
                count[row, k] += w
                amount[row, k] += w * v
                if v >= wet:
                    rain[row] += w
                for j in range(levels.size):
                    if v < levels[j]:
                        break
                    reach[row, j] += w


def _values(estimate: xr.DataArray, truth: xr.DataArray, classes: str) -> Floats:
    """All values that either field takes."""
    if classes != "exact":
        raise ConfigError(
            f"there are no classes {classes!r}", where="classes", fix="use 'exact', ascending numbers, or None"
        )
    found = [np.unique(field.values[np.isfinite(field.values)]).astype(float) for field in (estimate, truth)]
    values = np.unique(np.concatenate(found))
    return values if values.size else np.zeros(1)


def _occupied(sums: xr.Dataset) -> xr.Dataset:
    """Leave out exact classes that hold nothing, because their pixels are missing in the other field or unweighted."""
    held = np.flatnonzero((sums["count"].values > 0).reshape(-1, sums.sizes["value"]).any(axis=0))
    return sums.isel(value=held if held.size else [0])


def _dimensions(truth: xr.DataArray, over: str | Iterable[Hashable] | None) -> tuple[Hashable, ...]:
    """Dimensions to sum over."""
    return truth.dims if over is None else (over,) if isinstance(over, str) else tuple(over)


def _within(values: Sequence[float], name: str, highest: float) -> Floats:
    """Ascending numbers between 0 and a bound, both left out."""
    found = rising(values, name)
    if found[0] <= 0 or found[-1] >= highest:
        raise ConfigError(
            f"{name} must lie between 0 and {highest:g}, and are {values!r}",
            where=name,
            fix="give probabilities such as (0.5, 0.99)" if highest == 1 else "give hours such as (24, 8766)",
        )
    return found


def _hours(step: float | xr.DataArray | None) -> float:
    """Length of a frame in hours; -1 where unknown."""
    if step is None:
        return -1.0
    if not isinstance(step, xr.DataArray):
        lengths = np.array([float(step)])
    else:
        lengths = np.asarray((step.isel(bounds=1) - step.isel(bounds=0)) / np.timedelta64(1, "h"), float).reshape(-1)
    if not lengths.size or not (lengths > 0).all() or not np.allclose(lengths, lengths[0], rtol=1e-6, atol=0.0):
        raise ConfigError(
            f"the frames have no one length, in hours: {np.unique(lengths)[:5].tolist()}",
            where="step",
            fix="give the length of a frame in hours, such as step=0.5, or time_bounds of frames of one length",
        )
    return float(lengths[0])


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Quantities of the two distributions."""
    sums = sums.sortby("value")
    count, n = sums["count"], sums["count"].sum("value")
    mean, half = _inside(sums)
    step = float(sums.attrs["step"])
    share = step / sums["period"] if step > 0 else sums["period"] * np.nan
    known = (share < 1) & (sums["samples"] * share >= 1)
    quantile = _quantile(count, mean, half, sums["probability"])
    wet = ratio(sums["wet"], n)
    pair = [array.sel(field=name, drop=True) for array in (count, mean) for name in _FIELDS]
    first, square = xr.apply_ufunc(
        _distances, *pair, input_core_dims=[["value"]] * 4, output_core_dims=[[], []], keep_attrs=False
    )
    return xr.Dataset(
        {
            "wet_fraction": wet,
            "wet_fraction_ratio": _quotient(wet),
            "mean_value": ratio(sums["amount"].sum("value"), n),
            "quantile": quantile,
            "quantile_ratio": _quotient(quantile),
            "exceedance": ratio(sums["exceedances"], n),
            "wasserstein_distance": first,
            "energy_distance": square,
            "return_level": _quantile(count, mean, half, 1 - share).where(known),
        }
    )


def _quotient(values: xr.DataArray) -> xr.DataArray:
    """Estimate over truth."""
    return ratio(values.sel(field="estimate", drop=True), values.sel(field="truth", drop=True))


def _inside(sums: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean of each class, and how far its values reach to both sides of it: evenly, and not beyond the class."""
    count, value = sums["count"], sums["value"]
    if sums.attrs["classes"] == "exact":
        return value.broadcast_like(count), xr.zeros_like(count)
    mean = (sums["amount"] / count.where(count > 0)).fillna(value)
    upper = xr.DataArray(np.append(value.values[1:], np.inf), dims="value", coords={"value": value})
    return mean, xr.DataArray(np.minimum(mean - value, upper - mean)).clip(min=0.0)


def _quantile(count: xr.DataArray, mean: xr.DataArray, half: xr.DataArray, probability: xr.DataArray) -> xr.DataArray:
    """Quantiles along the one dimension of `probability`."""
    dim = probability.dims[0]
    found = xr.apply_ufunc(
        _quantiles,
        count,
        mean,
        half,
        probability,
        input_core_dims=[["value"], ["value"], ["value"], [dim]],
        output_core_dims=[[dim]],
        keep_attrs=False,
    )
    return xr.DataArray(found)


def _rows(*arrays: Array) -> tuple[tuple[int, ...], list[Array]]:
    """Arrays of one shape ``(…, class)`` as tables, and the shape that the rows had."""
    wide = np.broadcast_arrays(*arrays)
    shape = wide[0].shape
    return shape[:-1], [np.ascontiguousarray(array, dtype=np.float64).reshape(-1, shape[-1]) for array in wide]


def _quantiles(count: Array, mean: Array, half: Array, probability: Array) -> Array:
    """Quantiles ``(…, probability)`` of classes ``(…, class)``."""
    shape, (counts, means, halves) = _rows(count, mean, half)
    levels = np.ascontiguousarray(probability, dtype=np.float64).reshape(-1)
    found = np.full((len(counts), levels.size), np.nan)
    _fill_quantiles(counts, means, halves, levels, found)
    return found.reshape(*shape, levels.size)


def _distances(count: Array, other: Array, mean: Array, other_mean: Array) -> tuple[Array, Array]:
    """Wasserstein-1 and energy distance of classes ``(…, class)``."""
    shape, (counts, others, means, other_means) = _rows(count, other, mean, other_mean)
    found = np.full((2, len(counts)), np.nan)
    _fill_distances(counts, others, means, other_means, found)
    return found[0].reshape(shape), found[1].reshape(shape)


@njit(cache=True)
def _fill_quantiles(count: Any, mean: Any, half: Any, levels: Any, found: Any) -> None:
    for row in range(count.shape[0]):
        total = count[row].sum()
        if not total > 0.0:
            continue
        for j in range(levels.size):
            if not levels[j] >= 0.0:
                continue
            wanted = levels[j] * total
            reached = 0.0
            for k in range(count.shape[1]):
                c = count[row, k]
                if c > 0.0:
                    place = min(max((wanted - reached) / c, 0.0), 1.0)
                    found[row, j] = mean[row, k]
                    if half[row, k] > 0.0:
                        found[row, j] += (2.0 * place - 1.0) * half[row, k]
                    reached += c
                    # 0.57 of 100 pixels differs from 57 by rounding alone.
                    if reached >= wanted * (1.0 - 1e-12):
                        break


@njit(cache=True)
def _fill_distances(count: Any, other: Any, mean: Any, other_mean: Any, found: Any) -> None:
    """Walk both distribution functions upwards, step by step."""
    size = count.shape[1]
    for row in range(count.shape[0]):
        total, total_other = count[row].sum(), other[row].sum()
        if not (total > 0.0 and total_other > 0.0):
            continue
        i, j = 0, 0
        below, below_other = 0.0, 0.0
        first, square, last = 0.0, 0.0, 0.0
        begun = False
        while True:
            while i < size and not count[row, i] > 0.0:
                i += 1
            while j < size and not other[row, j] > 0.0:
                j += 1
            if i == size and j == size:
                break
            x = np.inf
            if i < size:
                x = mean[row, i]
            if j < size:
                x = min(x, other_mean[row, j])
            if begun:
                gap = below / total - below_other / total_other
                first += abs(gap) * (x - last)
                square += gap * gap * (x - last)
            if i < size and mean[row, i] == x:
                below += count[row, i]
                i += 1
            if j < size and other_mean[row, j] == x:
                below_other += other[row, j]
                j += 1
            last, begun = x, True
        found[0, row] = first
        found[1, row] = 2.0 * square


_WILKS = "Wilks 2019, Statistical Methods in the Atmospheric Sciences, 4th ed., ch. 3"
_NOWHERE = "says nothing of where: shuffled pixels score the same"
_POSITIVE = (0.0, np.inf)


def _measure(name: str, long_name: str, equation: str, source: str, blind: str, **given: Any) -> Measure:
    """A measure of what rain it is."""
    return Measure(name, long_name, equation, source, blind, **{"axis": "what", "bounds": _POSITIVE, **given})


register(
    "distribution",
    _finish,
    (
        _measure(
            "wet_fraction",
            "wet fraction",
            r"P(X\ge w)",
            _WILKS,
            "depends on the size of a pixel and on what a sensor can see; " + _NOWHERE,
            best=np.nan,
            bounds=(0.0, 1.0),
        ),
        _measure(
            "wet_fraction_ratio",
            "ratio of wet fractions",
            r"P(S\ge w)/P(R\ge w)",
            _WILKS,
            _NOWHERE,
        ),
        _measure(
            "mean_value",
            "mean",
            r"\bar X",
            _WILKS,
            "few heavy pixels and many light ones give the same",
            axis="amount",
            units="data",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        _measure(
            "quantile",
            "quantile of all pixels",
            r"Q(p)=\inf\{x: P(X\le x)\ge p\}",
            "Hyndman and Fan 1996, The American Statistician 50, 361-365, definition 1; linear within a class",
            "dry pixels count; beyond 1 - 1/n it is the largest value of the sample; 3 % classes blur it",
            units="data",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        _measure(
            "quantile_ratio",
            "ratio of quantiles",
            r"Q_S(p)/Q_R(p)",
            "Hyndman and Fan 1996, The American Statistician 50, 361-365, definition 1",
            _NOWHERE + "; not defined where the truth's quantile is dry",
        ),
        _measure(
            "exceedance",
            "exceedance probability",
            r"P(X\ge t)",
            _WILKS,
            _NOWHERE,
            best=np.nan,
            bounds=(0.0, 1.0),
        ),
        _measure(
            "wasserstein_distance",
            "Wasserstein-1 distance",
            r"\int|F_S(x)-F_R(x)|\,dx",
            "Ramdas, García Trillos and Cuturi 2017, Entropy 19, 47",
            _NOWHERE + "; with default classes each class stands at its mean, which hides shifts within 3 %",
            units="data",
            best=0.0,
        ),
        _measure(
            "energy_distance",
            "energy distance",
            r"2\int(F_S(x)-F_R(x))^2\,dx=2E|S-R|-E|S-S'|-E|R-R'|",
            "Székely and Rizzo 2013, Journal of Statistical Planning and Inference 143, 1249-1272",
            _NOWHERE + "; hardly sees rare heavy rain. scipy.stats.energy_distance gives its square root",
            units="data",
            best=0.0,
        ),
        _measure(
            "return_level",
            "return level of a pixel",
            r"Q(1-\Delta t/T)",
            "Coles 2001, An Introduction to Statistical Modeling of Extreme Values (here empirical, no law is fitted)",
            "pools unlike pixels, and counts each frame of one storm; uncertain where few exceedances stand behind it",
            units="data",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
    ),
)
