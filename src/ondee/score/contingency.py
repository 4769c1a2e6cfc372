"""Events: what was detected, missed and falsely seen."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.sums import pointwise

__all__ = ["THRESHOLDS", "event", "ratio", "reached", "rising", "threshold_coordinate"]

THRESHOLDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Rain rates from which an event counts, mm h-1."""

_COUNTS = ("hits", "false_alarms", "misses", "correct_negatives")


def event(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    estimate_thresholds: Sequence[float] | None = None,
) -> xr.Dataset:
    """Count hits, false alarms, misses and correct negatives; an event is a value of at least a threshold.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…)``, NaN where not observed: such a pixel counts nowhere. Members are pooled.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    thresholds
        Thresholds of the truth, in its unit.
    estimate_thresholds
        Thresholds of the estimate, where it is another quantity than the truth (a probability, a likelihood in %): each
        is counted against each of `thresholds`, and units need not agree. Those of the truth where None.

    Returns
    -------
    xarray.Dataset
        Sums ``hits``, ``false_alarms``, ``misses``, ``correct_negatives`` against ``threshold`` (and
        ``estimate_threshold``). :func:`~ondee.score.finish` gives detection, false alarms, CSI, frequency bias, ETS,
        HSS and SEDI.

    Raises
    ------
    ConfigError
        If thresholds are not ascending.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.0, 0.0, 2.0, 3.0, float("nan")], dims="x")
    >>> estimate = xr.DataArray([0.0, 1.0, 2.0, 0.0, 5.0], dims="x")
    >>> from ondee.score import event, finish
    >>> float(finish(event(estimate, truth, thresholds=[1.0])).critical_success_index.item().__round__(3))
    0.333
    """
    levels = rising(thresholds, "thresholds")
    own = None if estimate_thresholds is None else rising(estimate_thresholds, "estimate_thresholds")

    def kernel(e: NDArray[Any], t: NDArray[Any], w: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        true = reached(t, levels)
        seen = reached(e, levels if own is None else own)
        pairs = (
            [[(s, r)] for s, r in zip(seen, true, strict=True)]
            if own is None
            else [[(s, r) for s in seen] for r in true]
        )
        shape = (len(t), len(levels), len(pairs[0]))
        made = {name: np.empty(shape) for name in _COUNTS}
        for i, row in enumerate(pairs):
            for j, (s, r) in enumerate(row):
                hits = (w * (s & r)).sum(axis=1)
                false, missed = (w * s).sum(axis=1) - hits, (w * r).sum(axis=1) - hits
                dry = (w * ~(s | r)).sum(axis=1)  # a difference of weighted sums would leave rounding for none
                for name, values in zip(_COUNTS, (hits, false, missed, dry), strict=True):
                    made[name][:, i, j] = values
        return made if own is not None else {name: values[..., 0] for name, values in made.items()}

    added = ("threshold",) if own is None else ("threshold", "estimate_threshold")
    coordinates = {"threshold": threshold_coordinate(levels, truth)}
    if own is not None:
        coordinates["estimate_threshold"] = threshold_coordinate(
            own, estimate, "estimate_threshold", "threshold of the estimate"
        )
    return pointwise(
        "event",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(_COUNTS, added),
        coordinates=coordinates,
        same_units=own is None,
    )


def reached(values: NDArray[Any], levels: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Where values reach each level, compared in the precision of the values: a float32 0.7 reaches 0.7."""
    return [values >= values.dtype.type(level) for level in levels]


def rising(values: Sequence[float], name: str) -> NDArray[np.float64]:
    """Numbers that must be finite and ascend.

    Parameters
    ----------
    values
        At least one number.
    name
        Name of the argument, for errors.

    Raises
    ------
    ConfigError
        If they are not.
    """
    found = np.atleast_1d(np.asarray(values, float))
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (np.diff(found) <= 0).any():
        raise ConfigError(
            f"{name} must be finite and ascend, and are {values!r}",
            where=name,
            fix="give numbers such as (0.1, 1.0, 5.0)",
        )
    return found


def threshold_coordinate(
    levels: NDArray[np.float64], field: xr.DataArray, name: str = "threshold", long_name: str = "threshold"
) -> tuple[str, NDArray[np.float64], dict[str, str]]:
    """Coordinate of thresholds in the unit of a field, as xarray takes it."""
    units = {"units": str(field.attrs["units"])} if "units" in field.attrs else {}
    return name, levels, {**units, "long_name": long_name}


def ratio(above: xr.DataArray, below: xr.DataArray) -> xr.DataArray:
    """Quotient, NaN where nothing stands below."""
    plain = below.values
    return above / below.copy(data=np.where(plain != 0, plain, np.nan))


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Ratios of the four counts."""
    a, b, c, d = (sums[name] for name in _COUNTS)
    n = a + b + c + d
    chance = ratio((a + b) * (a + c), n)
    detection, false_detection = ratio(a, a + c), ratio(b, b + d)
    return xr.Dataset(
        {
            "probability_of_detection": detection,
            "false_alarm_ratio": ratio(b, a + b),
            "success_ratio": ratio(a, a + b),
            "false_detection_rate": false_detection,
            "critical_success_index": ratio(a, a + b + c),
            "frequency_bias": ratio(a + b, a + c),
            "equitable_threat_score": ratio(a - chance, a + b + c - chance),
            "heidke_skill_score": ratio(2 * (a * d - b * c), (a + c) * (c + d) + (a + b) * (b + d)),
            "extremal_dependence": _extremal_dependence(detection, false_detection),
            "base_rate": ratio(a + c, n),
        }
    )


def _extremal_dependence(h: xr.DataArray, f: xr.DataArray) -> xr.DataArray:
    """SEDI of hit rate and false detection rate; its limits where one of them is 0 or 1."""
    inside = (h > 0) & (h < 1) & (f > 0) & (f < 1)
    hit, false = h.where(inside), f.where(inside)
    above = np.log(false) - np.log(hit) - np.log1p(-false) + np.log1p(-hit)
    below = np.log(false) + np.log(hit) + np.log1p(-false) + np.log1p(-hit)
    perfect = (h == 1) & (f < 1) | (f == 0) & (h > 0)
    worthless = (h == 0) & (f > 0) | (f == 1) & (h < 1)
    return xr.DataArray((above / below).where(~perfect, 1.0).where(~worthless, -1.0))


_WILKS = "Wilks 2019, Statistical Methods in the Atmospheric Sciences, 4th ed., §9.2"
_RARE = "goes to 0 as the event becomes rare, whatever the skill; a shift by one pixel counts twice"

register(
    "event",
    _finish,
    (
        Measure("probability_of_detection", "probability of detection", r"a/(a+c)", _WILKS, "ignores false alarms"),
        Measure("false_alarm_ratio", "false alarm ratio", r"b/(a+b)", _WILKS, "ignores misses", best=0.0),
        Measure("success_ratio", "success ratio", r"a/(a+b)", _WILKS, "ignores misses"),
        Measure(
            "false_detection_rate",
            "probability of false detection",
            r"b/(b+d)",
            _WILKS,
            "small whenever most of the field is dry",
            best=0.0,
        ),
        Measure("critical_success_index", "critical success index", r"a/(a+b+c)", _WILKS, _RARE),
        Measure(
            "frequency_bias",
            "frequency bias",
            r"(a+b)/(a+c)",
            _WILKS,
            "says nothing of where",
            axis="what",
            bounds=(0.0, np.inf),
        ),
        Measure(
            "equitable_threat_score",
            "equitable threat score",
            r"(a-a_r)/(a+b+c-a_r),\ a_r=(a+b)(a+c)/n",
            _WILKS,
            _RARE,
            bounds=(-1 / 3, 1.0),
        ),
        Measure(
            "heidke_skill_score",
            "Heidke skill score",
            r"2(ad-bc)/[(a+c)(c+d)+(a+b)(b+d)]",
            _WILKS,
            "depends on the share of dry pixels, hence on the domain",
            bounds=(-1.0, 1.0),
        ),
        Measure(
            "extremal_dependence",
            "symmetric extremal dependence index",
            r"\frac{\ln F-\ln H-\ln(1-F)+\ln(1-H)}{\ln F+\ln H+\ln(1-F)+\ln(1-H)},\ H=\frac{a}{a+c},\ F=\frac{b}{b+d}",
            "Ferro and Stephenson 2011, Weather and Forecasting 26, 699-713",
            "meant for forecasts without bias: hedging by over-forecasting raises it",
            bounds=(-1.0, 1.0),
        ),
        Measure(
            "base_rate",
            "base rate of the event",
            r"(a+c)/n",
            _WILKS,
            "a property of the truth alone",
            axis="context",
            best=np.nan,
        ),
    ),
)
