"""Probabilities of an event: whether they are honest, and whether they tell one case from another."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError, UnitError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import THRESHOLDS, ratio, reached, rising, threshold_coordinate
from ondee.score.fields import MEMBER
from ondee.score.sums import pointwise
from ondee.units import WET, canonical

__all__ = ["probability"]

_SCALES = {"1": 1.0, "%": 0.01}
_CLASSES = 21
_SUMS = ("weight", "probability", "observed", "probability_squared", "probability_observed")
_TINY = 1e-6
"""How far a probability may lie outside 0 and 1 by rounding."""


def probability(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    thresholds: Sequence[float] | None = None,
    classes: int | None = None,
) -> xr.Dataset:
    """Sum forecast probabilities and what was observed, by classes of probability.

    Parameters
    ----------
    estimate
        Either members ``(member, …)`` in the unit of the truth: the probability is the share of them that reaches the
        threshold, and a pixel that any member lacks is missing. Or a probability ``(…)`` in ``1`` or ``%``; with a
        dimension ``threshold``, one for each.
    truth
        ``(…)``; the event is a value of at least the threshold.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    thresholds
        Thresholds of the truth, in its unit. Where None, those of :func:`~ondee.score.event` for members, and 0.1 for
        a probability (of rain at all).
    classes
        Number of classes, with centres from 0 to 1 at equal steps; a probability goes to the nearest centre. Where
        None, one for each possible share of members, and 21 for a probability.

    Returns
    -------
    xarray.Dataset
        Sums ``weight``, ``probability``, ``observed`` (events), ``probability_squared`` and ``probability_observed``
        against ``threshold`` and ``probability_class``. :func:`~ondee.score.finish` gives the Brier score and its
        parts, the reliability curve and the ROC.

    Raises
    ------
    UnitError
        If a single field is no probability, or has values outside 0 and 1.
    ConfigError
        If thresholds do not ascend, or there are fewer than two classes.
    GridError
        If estimate and truth are not on the same pixels.

    Notes
    -----
    The Brier score is exact, whatever the classes. Its parts are those of the classes: with probabilities that differ
    inside a class, score = reliability - resolution + uncertainty + V - 2C, where V is the mean variance of the
    probabilities inside the classes and C their covariance with the event there (Stephenson et al. 2008, Weather and
    Forecasting 23, 752-757). Both are 0 where each class has one value, as for the shares of members.

    The score of a share of M members is larger by chance than that of the probability that M stands for; ensembles of
    different sizes do not compare.

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.0, 0.0, 2.0, 3.0], dims="x", attrs={"units": "mm h-1"})
    >>> likelihood = xr.DataArray([0, 20, 80, 100], dims="x", attrs={"units": "%"})
    >>> from ondee.score import finish
    >>> found = finish(probability(likelihood, truth))
    >>> round(found.brier_score.item(), 3), found.roc_area.item()
    (0.02, 1.0)
    """
    if classes is not None and classes < 2:
        raise ConfigError(f"{classes} classes of probability", where="classes", fix="give at least 2, or None")
    if MEMBER in estimate.dims:
        scale = None
        steps = classes or estimate.sizes[MEMBER] + 1
        levels = rising(THRESHOLDS if thresholds is None else thresholds, "thresholds")
    else:
        scale = _scale(estimate)
        steps = classes or _CLASSES
        if "threshold" in estimate.dims:
            return _one_each(estimate, truth, over, weights, thresholds, steps)
        levels = rising((WET,) if thresholds is None else thresholds, "thresholds")

    def kernel(e: NDArray[Any], t: NDArray[Any], w: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        found = np.zeros((len(_SUMS), len(t), len(levels), steps))
        shares = (
            (event.mean(axis=0) for event in reached(e, levels)) if scale is None else [_shares(e, scale)] * len(levels)
        )
        for k, (share, event) in enumerate(zip(shares, reached(t, levels), strict=True)):
            _add(share.ravel(), event.ravel(), w.ravel(), t.shape[1], found[:, :, k])
        return dict(zip(_SUMS, found, strict=True))

    return pointwise(
        "probability",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(_SUMS, ("threshold", "probability_class")),
        coordinates={
            "threshold": threshold_coordinate(levels, truth),
            "probability_class": (
                "probability_class",
                np.linspace(0.0, 1.0, steps),
                {"units": "1", "long_name": "centre of the class of probability"},
            ),
        },
        settings={"members": estimate.sizes.get(MEMBER, 0)},
        stack=scale is None,
        same_units=scale is None,
    )


def _one_each(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    over: str | Iterable[Hashable] | None,
    weights: xr.DataArray | None,
    thresholds: Sequence[float] | None,
    steps: int,
) -> xr.Dataset:
    """Sums of probabilities that were given for each threshold."""
    if thresholds is not None or "threshold" not in estimate.coords:
        raise ConfigError(
            "the estimate has a dimension threshold, and its coordinate alone says which thresholds those are",
            where="thresholds",
            fix="give the estimate a coordinate threshold, and no argument thresholds",
        )
    parts = [
        probability(
            estimate.isel(threshold=k, drop=True),
            truth,
            over=over,
            weights=weights,
            thresholds=(float(level),),
            classes=steps,
        )
        for k, level in enumerate(rising(list(estimate["threshold"].values), "threshold"))
    ]
    whole = xr.concat(parts, "threshold", combine_attrs="override", join="exact")
    return whole.transpose(..., "threshold", "probability_class")


def _scale(estimate: xr.DataArray) -> float:
    """What turns the values of a single field into a probability."""
    units = canonical(str(estimate.attrs["units"])) if "units" in estimate.attrs else None
    if units not in _SCALES:
        raise UnitError(
            "the estimate is neither an ensemble nor a probability: it has no dimension 'member', and its unit is "
            f"{units!r}",
            where="the estimate" if estimate.name is None else str(estimate.name),
            fix="give members along 'member', or a probability with attrs['units'] = '1' or '%'; a field is for event",
        )
    return _SCALES[units]


def _shares(values: NDArray[Any], scale: float) -> NDArray[np.float64]:
    """Probabilities between 0 and 1."""
    found = values.astype(np.float64) * scale
    wrong = (found < -_TINY) | (found > 1 + _TINY)
    if wrong.any():
        raise UnitError(
            f"a probability of {values[wrong][0]} in {'%' if scale < 1 else '1'!r}",
            where="estimate",
            fix="give values from 0 to 1 with units '1', or from 0 to 100 with units '%'",
        )
    return np.clip(found, 0.0, 1.0)


@njit(cache=True, error_model="numpy", nogil=True)
def _add(
    share: NDArray[np.float64],
    event: NDArray[np.bool_],
    weight: NDArray[np.float64],
    columns: int,
    found: NDArray[np.float64],
) -> None:
    """Add each pixel to the five sums of its class, ``(sum, row, class)``."""
    last = found.shape[2] - 1
    for p in range(len(share)):
        w = weight[p]
        if w > 0.0:
            k = int(share[p] * last + 0.5)
            row = p // columns
            given = w * share[p]
            found[0, row, k] += w
            found[1, row, k] += given
            found[3, row, k] += given * share[p]
            if event[p]:
                found[2, row, k] += w
                found[4, row, k] += given


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Brier score and its parts, reliability curve and ROC."""
    k = "probability_class"
    n, given, seen = (sums[name] for name in _SUMS[:3])
    whole = sums.sum(k)
    total, events = whole["weight"], whole["observed"]
    brier = ratio(whole["probability_squared"] - 2 * whole["probability_observed"] + events, total)
    rate = ratio(events, total)
    uncertainty = rate * (1 - rate)
    detection = ratio(_from_above(seen), events)
    false_detection = ratio(_from_above(n - seen), total - events)
    before = {name: value.shift({k: -1}, fill_value=0.0) for name, value in (("h", detection), ("f", false_detection))}
    area = ((false_detection - before["f"]) * (detection + before["h"]) / 2).sum(k, skipna=False)
    return xr.Dataset(
        {
            "brier_score": brier,
            "brier_skill_score": 1 - ratio(brier, uncertainty),
            "reliability": ratio(ratio((given - seen) ** 2, n).sum(k), total),
            "resolution": ratio(ratio((seen - n * rate) ** 2, n).sum(k), total),
            "uncertainty": uncertainty,
            "forecast_probability": ratio(given, n),
            "observed_frequency": ratio(seen, n),
            "class_share": ratio(n, total),
            "roc_area": area,
            "roc_detection": detection,
            "roc_false_detection": false_detection,
        }
    )


def _from_above(values: xr.DataArray) -> xr.DataArray:
    """Sum over this class and all above."""
    backwards = {"probability_class": slice(None, None, -1)}
    return values.isel(backwards).cumsum("probability_class").isel(backwards).assign_coords(values.coords)


_BRIER = "Brier 1950, Monthly Weather Review 78"
_MURPHY = "Murphy 1973, Journal of Applied Meteorology 12"
_WILKS = "Wilks 2019, Statistical Methods in the Atmospheric Sciences, 4th ed., §9.4"
_RARE = "the sample's own base rate is the reference, which flatters where seasons or places differ in it"
_ROC = "does not see bias: any rising function of the probability has the same; rare events leave it near 1 at ease"

register(
    "probability",
    _finish,
    (
        Measure(
            "brier_score",
            "Brier score",
            r"B=\frac1n\sum(p-o)^2",
            _BRIER,
            "of a rare event it is small whatever the skill: see the skill score",
            axis="probability",
            best=0.0,
        ),
        Measure(
            "brier_skill_score",
            "Brier skill score against the base rate",
            r"1-\frac{B}{\bar o(1-\bar o)}",
            _WILKS,
            _RARE,
            axis="probability",
            bounds=(-np.inf, 1.0),
        ),
        Measure(
            "reliability",
            "reliability part of the Brier score",
            r"\frac1n\sum_k n_k(\bar p_k-\bar o_k)^2",
            _MURPHY,
            "0 is also had by always giving the base rate; grows by chance where classes hold few cases",
            axis="probability",
            best=0.0,
        ),
        Measure(
            "resolution",
            "resolution part of the Brier score",
            r"\frac1n\sum_k n_k(\bar o_k-\bar o)^2",
            _MURPHY,
            "best is the uncertainty; grows by chance where classes hold few cases",
            axis="probability",
            best=np.nan,
            bounds=(0.0, 0.25),
        ),
        Measure(
            "uncertainty",
            "uncertainty of the event",
            r"\bar o(1-\bar o)",
            _MURPHY,
            "a property of the truth alone",
            axis="context",
            best=np.nan,
            bounds=(0.0, 0.25),
        ),
        Measure(
            "forecast_probability",
            "mean probability given in a class",
            r"\bar p_k",
            _WILKS,
            "to be read against the observed frequency",
            axis="context",
            best=np.nan,
        ),
        Measure(
            "observed_frequency",
            "observed frequency of the event in a class",
            r"\bar o_k",
            _WILKS,
            "best is the mean probability given; noise where the class holds few cases",
            axis="probability",
            best=np.nan,
        ),
        Measure(
            "class_share",
            "share of the cases in a class (sharpness)",
            r"n_k/n",
            _WILKS,
            "a property of the estimate alone",
            axis="context",
            best=np.nan,
        ),
        Measure(
            "roc_area",
            "area under the relative operating characteristic",
            r"\sum_k\tfrac12(F_k-F_{k+1})(H_k+H_{k+1})",
            "Mason and Graham 2002, QJRMS 128",
            _ROC,
            axis="probability",
        ),
        Measure(
            "roc_detection",
            "detection where the probability is in a class or above",
            r"H_k=\sum_{j\ge k}n_j\bar o_j\big/\sum_j n_j\bar o_j",
            _WILKS,
            "to be read against the false detection",
            axis="probability",
            best=np.nan,
        ),
        Measure(
            "roc_false_detection",
            "false detection where the probability is in a class or above",
            r"F_k=\sum_{j\ge k}n_j(1-\bar o_j)\big/\sum_j n_j(1-\bar o_j)",
            _WILKS,
            "to be read against the detection",
            axis="probability",
            best=np.nan,
        ),
    ),
)
