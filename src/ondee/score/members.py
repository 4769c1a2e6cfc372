"""Ensembles, pixel by pixel: whether the members spread as far as they err, and where the truth ranks among them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import ratio, rising, threshold_coordinate
from ondee.score.continuous_ranked import TAILS, crps
from ondee.score.fields import MEMBER
from ondee.score.joint import energy, variogram
from ondee.score.sums import pointwise
from ondee.score.ties import keys, uniform
from ondee.units import WET

__all__ = ["SPREADS", "TAILS", "crps", "energy", "ranks", "spread", "variogram"]

SPREADS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Lower edges of the classes of ensemble standard deviation, mm h-1; the last class is open."""

_POPULATIONS = ("all", "wet")


def spread(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    classes: Sequence[float] = SPREADS,
) -> xr.Dataset:
    """Sum the variance of the members beside the squared error of their mean, by classes of spread.

    Parameters
    ----------
    estimate
        ``(member, …)`` with two members or more; a pixel that any member lacks is missing.
    truth
        ``(…)``, in the same unit.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    classes
        Lower edges of the classes of the members' standard deviation, in the unit of the truth, from 0 upwards.

    Returns
    -------
    xarray.Dataset
        Sums ``variance`` (of the members, divided by M - 1), ``squared_error`` (of their mean) and ``weight`` against
        ``spread_class``. :func:`~ondee.score.finish` gives spread, error and their ratio, of all and by class.

    Raises
    ------
    ConfigError
        If there are fewer than two members, or the classes do not rise from 0.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Notes
    -----
    The mean of M members errs more than the mean of the law they are drawn from: of an ensemble drawn from the truth's
    own law the squared error is (M + 1)/M times the variance, and spread carries that factor, so that the ratio is 1.

    That holds of all pixels. Classes are chosen by a spread that is itself an estimate: of few members a small spread
    is in part small by chance, and the error in its class is larger than it, however honest the ensemble.

    References
    ----------
    Fortin et al. 2014, Journal of Hydrometeorology 15, 1708-1713.

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([4.0], dims="x")
    >>> members = xr.DataArray([[0.0], [2.0]], dims=("member", "x"))
    >>> from ondee.score import finish
    >>> found = finish(spread(members, truth))
    >>> float(found.ensemble_mean_rmse), round(float(found.ensemble_spread) ** 2, 6)
    (3.0, 3.0)
    """
    edges = rising(classes, "classes")
    if edges[0] != 0.0:
        raise ConfigError(
            f"classes of spread rise from 0, and these from {edges[0]}", where="classes", fix="put 0.0 first"
        )
    _require_two(estimate, "spread")

    def kernel(e: NDArray[Any], t: NDArray[Any], w: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        found = np.zeros((3, len(t), len(edges)))
        _add_spread(e.reshape(len(e), -1), t.ravel(), w.ravel(), t.shape[1], edges, found)
        return dict(zip(("variance", "squared_error", "weight"), found, strict=True))

    return pointwise(
        "spread",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(("variance", "squared_error", "weight"), ("spread_class",)),
        coordinates={"spread_class": threshold_coordinate(edges, truth, "spread_class", "lower edge of spread")},
        settings={"members": estimate.sizes.get(MEMBER, 0)},
        stack=True,
    )


def ranks(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    wet: float = WET,
    seed: int = 0,
) -> xr.Dataset:
    """Count how many members lie below the truth; where some equal it, a random number decides among the ranks.

    Rain is full of ties: of a dry truth and five dry members any rank from 0 to 5 is as good. The number is keyed by
    the seed and by the time and place of the pixel, so the counts do not depend on how the archive is cut into parts.

    Parameters
    ----------
    estimate
        ``(member, …)``; a pixel that any member lacks is missing.
    truth
        ``(…)``, in the same unit; with coordinates, if its parts are scored one by one.
    over
        Dimensions to sum over; all where None.
    weights
        Weight of each pixel.
    wet
        The population ``wet`` has the pixels where truth *or any member* reaches this, in the unit of the truth. To
        ask for a wet truth alone would fill the upper ranks even of a perfect ensemble.
    seed
        Seed of the numbers that break ties.

    Returns
    -------
    xarray.Dataset
        Sum ``count`` against ``population`` (all, wet) and ``rank`` (0 … M). :func:`~ondee.score.finish` gives
        frequencies, their distance from flatness and the share of outliers.

    Raises
    ------
    ConfigError
        If there are no members.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    References
    ----------
    Hamill 2001, Monthly Weather Review 129, 550-560 (ranks, and ties); Delle Monache et al. 2006, JGR 111, D24307
    (reliability index).

    Examples
    --------
    >>> import xarray as xr
    >>> truth = xr.DataArray([0.5, 4.0], dims="x")
    >>> members = xr.DataArray([[0.0, 1.0], [1.0, 3.0]], dims=("member", "x"))
    >>> ranks(members, truth)["count"].sel(population="all").values
    array([0., 1., 1.])
    """
    members = estimate.sizes.get(MEMBER, 0)

    def kernel(
        e: NDArray[Any],
        t: NDArray[Any],
        w: NDArray[np.float64],
        moment: NDArray[np.uint64],
        place: NDArray[np.uint64],
    ) -> dict[str, NDArray[np.float64]]:
        count = np.zeros((len(t), 2, members + 1))
        key = (moment ^ place).ravel()
        level = np.result_type(e, t, np.float32).type(wet)
        _add_ranks(e.reshape(len(e), -1), t.ravel(), w.ravel(), key, t.shape[1], level, count)
        return {"count": count}

    return pointwise(
        "ranks",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={"count": ("population", "rank")},
        coordinates={"population": list(_POPULATIONS), "rank": np.arange(members + 1)},
        settings={"members": members, "wet": float(wet), "seed": int(seed)},
        others=keys(truth, seed),
        stack=True,
    )


def _require_two(estimate: xr.DataArray, score: str) -> None:
    """Refuse a single member, which does not differ from anything."""
    if estimate.sizes.get(MEMBER, 2) < 2:
        raise ConfigError(
            f"{score} needs two members at least, and there is one",
            where="dimension 'member' of the estimate",
            fix="give more members, or score the field with point",
        )


@njit(cache=True, error_model="numpy", nogil=True)
def _add_spread(
    members: NDArray[Any],
    truth: NDArray[Any],
    weight: NDArray[np.float64],
    columns: int,
    edges: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Add variance, squared error and weight of each pixel to its class, ``(3, row, class)``."""
    count, size = members.shape
    mean, square = np.zeros(size), np.zeros(size)
    for m in range(count):
        for p in range(size):
            mean[p] += members[m, p] / count
    for m in range(count):  # a second pass, since a mean of squares less a squared mean loses digits
        for p in range(size):
            square[p] += (members[m, p] - mean[p]) ** 2
    for p in range(size):
        if weight[p] > 0.0:
            variance = square[p] / (count - 1)
            deviation = np.sqrt(variance)
            k = len(edges) - 1
            while deviation < edges[k]:
                k -= 1
            row = p // columns
            found[0, row, k] += weight[p] * variance
            found[1, row, k] += weight[p] * (mean[p] - truth[p]) ** 2
            found[2, row, k] += weight[p]


@njit(cache=True, error_model="numpy", nogil=True)
def _add_ranks(
    members: NDArray[Any],
    truth: NDArray[Any],
    weight: NDArray[np.float64],
    key: NDArray[np.uint64],
    columns: int,
    wet: float,
    found: NDArray[np.float64],
) -> None:
    """Add the weight of each pixel to its rank, ``(row, population, rank)``."""
    count, size = members.shape
    below, ties = np.zeros(size, np.int32), np.zeros(size, np.int32)
    top = truth.copy()
    for m in range(count):
        for p in range(size):
            value = members[m, p]
            below[p] += value < truth[p]
            ties[p] += value == truth[p]
            top[p] = max(top[p], value)
    for p in range(size):
        if weight[p] > 0.0:
            rank = below[p]
            if ties[p] > 0:
                rank += int(uniform(key[p]) * (ties[p] + 1))
            row = p // columns
            found[row, 0, rank] += weight[p]
            if top[p] >= wet:
                found[row, 1, rank] += weight[p]


def _finish_spread(sums: xr.Dataset) -> xr.Dataset:
    """Spread and error, of all pixels and of each class."""
    members = int(sums.attrs["members"])
    whole = sums.sum("spread_class")
    made: dict[str, xr.DataArray] = {}
    for suffix, given in (("", whole), ("_by_class", sums)):
        made["spread" + suffix] = ratio(given["variance"], given["weight"] * members / (members + 1)) ** 0.5
        made["rmse" + suffix] = ratio(given["squared_error"], given["weight"]) ** 0.5
    return xr.Dataset(
        {
            "spread_skill_ratio": ratio(made["spread"], made["rmse"]),
            "ensemble_spread": made["spread"],
            "ensemble_mean_rmse": made["rmse"],
            "spread_by_class": made["spread_by_class"],
            "rmse_by_class": made["rmse_by_class"],
            "spread_class_share": ratio(sums["weight"], whole["weight"]),
        }
    )


def _finish_ranks(sums: xr.Dataset) -> xr.Dataset:
    """Frequencies, their distance from flatness, and the share of truths outside the ensemble."""
    frequency = ratio(sums["count"], sums["count"].sum("rank"))
    return xr.Dataset(
        {
            "rank_frequency": frequency,
            "rank_flatness": abs(frequency - 1 / frequency.sizes["rank"]).sum("rank", skipna=False),
            "outlier_share": frequency.isel(rank=0, drop=True) + frequency.isel(rank=-1, drop=True),
        }
    )


_FORTIN = "Fortin et al. 2014, Journal of Hydrometeorology 15"
_HAMILL = "Hamill 2001, Monthly Weather Review 129"
_SPREAD = r"\sqrt{\frac{M+1}{M}\,\overline{s^2}}"
_ERROR = r"\sqrt{\overline{(\bar x-y)^2}}"
_MEAN_ONLY = "looks at mean squares only, which the few heaviest pixels rule"

register(
    "spread",
    _finish_spread,
    (
        Measure(
            "spread_skill_ratio",
            "ratio of spread to error",
            rf"{_SPREAD}\Big/{_ERROR}",
            _FORTIN,
            "too much spread here hides too little there: see the classes; a spread that never varies can have 1",
            axis="probability",
            bounds=(0.0, np.inf),
        ),
        Measure(
            "ensemble_spread",
            "spread of the ensemble, corrected for its size",
            _SPREAD,
            _FORTIN,
            _MEAN_ONLY,
            axis="context",
            units="data",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "ensemble_mean_rmse",
            "root mean square error of the ensemble mean",
            _ERROR,
            _FORTIN,
            "rewards a smooth mean, which is no rain field",
            units="data",
            best=0.0,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "spread_by_class",
            "spread in a class of spread",
            _SPREAD + r"\text{ in the class}",
            _FORTIN,
            _MEAN_ONLY,
            axis="context",
            units="data",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "rmse_by_class",
            "root mean square error of the ensemble mean in a class of spread",
            _ERROR + r"\text{ in the class}",
            _FORTIN,
            "best is the spread of its class; of few members even a perfect ensemble errs more where it spreads least",
            axis="probability",
            units="data",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "spread_class_share",
            "share of the pixels in a class of spread",
            r"n_k/n",
            _FORTIN,
            "a property of the ensemble alone",
            axis="context",
            best=np.nan,
        ),
    ),
)
register(
    "ranks",
    _finish_ranks,
    (
        Measure(
            "rank_frequency",
            "frequency of the truth's rank among the members",
            r"f_r=n_r/n,\ r=0\ldots M",
            _HAMILL,
            "best is 1/(M+1) in every rank; biases of opposite sign in two places can add up to a flat histogram",
            axis="probability",
            best=np.nan,
        ),
        Measure(
            "rank_flatness",
            "distance of the rank histogram from flatness",
            r"\sum_r\left|f_r-\tfrac{1}{M+1}\right|",
            "Delle Monache et al. 2006, JGR 111, D24307 (reliability index)",
            "no skill is needed: drawing from the climate gives 0; ties of dry pixels are flat by themselves",
            axis="probability",
            best=0.0,
            bounds=(0.0, 2.0),
        ),
        Measure(
            "outlier_share",
            "share of truths outside the ensemble",
            r"f_0+f_M",
            _HAMILL,
            "best is 2/(M+1), so ensembles of different sizes do not compare",
            axis="probability",
            best=np.nan,
        ),
    ),
)
