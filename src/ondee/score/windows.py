"""Near enough: event fractions in windows, and events that have a counterpart in a window."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import THRESHOLDS, ratio, rising, threshold_coordinate
from ondee.score.fields import pixel_size
from ondee.score.summed_area import fraction_sums, neighbour_sums
from ondee.score.sums import framewise

__all__ = ["SCALES", "Outside", "fractions", "neighbourhood"]

SCALES = (1, 3, 5, 11, 21)
"""Widths of the windows, pixels."""

Outside = Literal["missing", "dry"]
"""What pixels beyond the edge are."""

_SQUARES = ("squared_difference", "estimate_square", "truth_square")
_NEAR = ("detected_events", "truth_events", "confirmed_events", "estimate_events")
_UNWEIGHTED = np.empty((0, 0))


def fractions(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    scales: Sequence[int] = SCALES,
    coverage: float = 0.5,
    outside: Outside = "missing",
) -> xr.Dataset:
    """Compare the share of observed pixels with an event in square windows around each observed pixel.

    A fraction is the number of events in a window over the number of its *observed* pixels. A window counts where its
    centre is observed, and at least `coverage` of all its pixels. Missing pixels are hence never taken for dry ones,
    and a margin of missing pixels around the fields changes nothing.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed; a pixel that one lacks is missing in both. Members are pooled.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel: it multiplies the squares of the window of which the pixel is the centre. It does not
        weigh the pixels within a window, but one that is missing or 0 leaves them.
    thresholds
        Thresholds of both, in their unit. An event is a value of at least a threshold.
    scales
        Widths of the windows in pixels, odd and ascending.
    coverage
        Least observed share of a window's pixels, 0 to 1.
    outside
        ``"missing"``: pixels beyond the edge are not observed. ``"dry"``: they are observed and dry, the usual zero
        padding; it lowers fractions along the edge.

    Returns
    -------
    xarray.Dataset
        Sums ``squared_difference``, ``estimate_square``, ``truth_square`` against ``threshold`` and ``scale``;
        ``events`` (of the truth) and ``pixels`` against ``threshold``. :func:`~ondee.score.finish` gives the fractions
        skill score, the score from which it is called useful, and the smallest scale that is.

    Raises
    ------
    ConfigError
        If thresholds or scales are not ascending, a scale is not odd, `coverage` is not a share, or `outside` is
        neither.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit, or ``y`` and ``x`` are not summed over.

    References
    ----------
    Roberts and Lean 2008, Monthly Weather Review 136, 78-97. Sums are pooled over frames before dividing, and the table
    of sums follows Faggian et al. 2015, Mausam 66, 457-466.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from ondee.score import finish
    >>> truth = xr.DataArray(np.zeros((11, 11)), dims=("y", "x"))
    >>> truth[5, 5] = 2.0
    >>> estimate = truth.roll(x=1)
    >>> found = finish(fractions(estimate, truth, thresholds=[1.0], scales=[1, 3, 5]))
    >>> found.fractions_skill_score.values.round(3)
    array([[0.   , 0.667, 0.8  ]])
    """
    levels, widths, least = _checked(thresholds, scales, coverage)
    if outside not in get_args(Outside):
        raise ConfigError(
            f"outside is {outside!r}", where="fractions", fix="use one of: " + ", ".join(get_args(Outside))
        )

    def kernel(e: NDArray[Any], t: NDArray[Any], w: NDArray[np.float64] | None) -> dict[str, NDArray[np.float64]]:
        e_levels, t_levels = levels.astype(e.dtype), levels.astype(t.dtype)
        e, t = np.ascontiguousarray(e), np.ascontiguousarray(t)
        held = _UNWEIGHTED if w is None else np.ascontiguousarray(w)
        squares = fraction_sums(e, t, e_levels, t_levels, held, widths, least, outside == "dry")
        true = [t >= level for level in t_levels]
        events = [np.count_nonzero(event) if w is None else w[event].sum() for event in true]
        pixels = t.size - np.count_nonzero(np.isnan(t)) if w is None else w.sum()
        return {
            **dict(zip(_SQUARES, squares, strict=True)),
            "events": np.array(events, float),
            "pixels": np.full(levels.size, float(pixels)),
        }

    return framewise(
        "fractions",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={**dict.fromkeys(_SQUARES, ("threshold", "scale")), "events": ("threshold",), "pixels": ("threshold",)},
        coordinates=_coordinates(levels, widths, truth),
        settings={"coverage": float(coverage), "outside": outside, "pixel": pixel_size(truth)},
    )


def neighbourhood(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    scales: Sequence[int] = SCALES,
    coverage: float = 0.5,
) -> xr.Dataset:
    """Count events that have a counterpart near, in a square window around them.

    A true event is detected where an estimated event lies in the window around it; an estimated event is confirmed
    where a true one lies in the window around it. Only observed pixels are looked at, and only windows of which the
    centre is observed, and at least `coverage` of all pixels. With a window of one pixel these are the counts of
    :func:`~ondee.score.event`.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed; a pixel that one lacks is missing in both. Members are pooled.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel that is the centre of a window; a pixel where it is missing or 0 leaves windows too.
    thresholds
        Thresholds of both, in their unit. An event is a value of at least a threshold.
    scales
        Widths of the windows in pixels, odd and ascending.
    coverage
        Least observed share of a window's pixels, 0 to 1; pixels beyond the edge are not observed.

    Returns
    -------
    xarray.Dataset
        Sums ``detected_events``, ``truth_events``, ``confirmed_events``, ``estimate_events`` against ``threshold`` and
        ``scale``. :func:`~ondee.score.finish` gives detection, success ratio and CSI.

    Raises
    ------
    ConfigError
        If thresholds or scales are not ascending, a scale is not odd or `coverage` is not a share.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit, or ``y`` and ``x`` are not summed over.

    References
    ----------
    Misses and false events are those of Clark et al. 2010, Weather and Forecasting 25, 1495-1509. Schwartz 2017,
    Weather and Forecasting 32, 733-750, compares ways to count hits: figures of different papers need not compare.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from ondee.score import finish
    >>> truth = xr.DataArray(np.zeros((9, 9)), dims=("y", "x"))
    >>> truth[4, 4] = 2.0
    >>> found = finish(neighbourhood(truth.roll(x=1), truth, thresholds=[1.0], scales=[1, 3]))
    >>> found.neighbourhood_critical_success_index.values
    array([[0., 1.]])
    """
    levels, widths, least = _checked(thresholds, scales, coverage)

    def kernel(e: NDArray[Any], t: NDArray[Any], w: NDArray[np.float64] | None) -> Mapping[str, NDArray[np.float64]]:
        held = _UNWEIGHTED if w is None else np.ascontiguousarray(w)
        e, t = np.ascontiguousarray(e), np.ascontiguousarray(t)
        sums = neighbour_sums(e, t, levels.astype(e.dtype), levels.astype(t.dtype), held, widths, least)
        return dict(zip(_NEAR, sums, strict=True))

    return framewise(
        "neighbourhood",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(_NEAR, ("threshold", "scale")),
        coordinates=_coordinates(levels, widths, truth),
        settings={"coverage": float(coverage)},
    )


# ---- arguments


def _checked(
    thresholds: Sequence[float], scales: Sequence[int], coverage: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Thresholds, widths of windows, and fewest observed pixels of each."""
    levels, widths = rising(thresholds, "thresholds"), rising(scales, "scales")
    if (widths < 1).any() or (widths % 2 != 1).any():
        raise ConfigError(
            f"scales must be odd numbers of pixels, and are {scales!r}",
            where="scales",
            fix="a window has a pixel in its middle: give widths such as (1, 3, 5, 11)",
        )
    if not 0.0 <= coverage <= 1.0:
        raise ConfigError(
            f"coverage must be a share, and is {coverage!r}", where="coverage", fix="give a number from 0 to 1"
        )
    # A share such as 7/25 times 25 comes out a hair above 7 in floating point.
    least = np.maximum(np.ceil(coverage * widths**2 * (1.0 - 1e-12)), 1.0)
    return levels, widths.astype(np.int64), least.astype(np.int64)


def _coordinates(levels: NDArray[np.float64], widths: NDArray[np.int64], truth: xr.DataArray) -> dict[str, Any]:
    return {
        "threshold": threshold_coordinate(levels, truth),
        "scale": ("scale", widths, {"units": "1", "long_name": "width of the window in pixels"}),
    }


# ---- ratios


def _finish_fractions(sums: xr.Dataset) -> xr.Dataset:
    """Skill of fractions, and from which scale it is useful."""
    skill = 1.0 - ratio(sums["squared_difference"], sums["estimate_square"] + sums["truth_square"])
    useful = 0.5 + 0.5 * ratio(sums["events"], sums["pixels"])
    # A scale at which nothing could be scored does not break the row of useful ones.
    enough = ((skill >= useful) | skill.isnull()).isel(scale=slice(None, None, -1))
    onwards = enough.astype(int).cumprod("scale").isel(scale=slice(None, None, -1)).astype(bool)
    smallest = sums["scale"].where(onwards & skill.notnull(), np.inf).min("scale")
    pixel = float(sums.attrs.get("pixel", -1.0))
    return xr.Dataset(
        {
            "fractions_skill_score": skill,
            "useful_fractions_skill": useful,
            "skilful_scale": smallest.where(np.isfinite(smallest) & (pixel > 0.0)) * pixel,
        }
    )


def _finish_neighbourhood(sums: xr.Dataset) -> xr.Dataset:
    """Detection, success and the CSI that both imply."""
    detection = ratio(sums["detected_events"], sums["truth_events"])
    success = ratio(sums["confirmed_events"], sums["estimate_events"])
    both = detection * success
    index = ratio(both, detection + success - both)
    # Without any hit both are 0, or the one of them that has no event at all is undefined.
    missed = (detection.fillna(0.0) + success.fillna(0.0) == 0.0) & (detection.notnull() | success.notnull())
    index = index.where(~missed, 0.0)
    return xr.Dataset(
        {
            "neighbourhood_detection": detection,
            "neighbourhood_success_ratio": success,
            "neighbourhood_critical_success_index": index,
        }
    )


_ROBERTS = "Roberts and Lean 2008, Monthly Weather Review 136, 78-97"
_NEIGHBOURS = (
    "Clark et al. 2010, Weather and Forecasting 25, 1495-1509; Schwartz 2017, Weather and Forecasting 32, 733-750"
)
_GENEROUS = "grows with the window whatever the skill, and rewards"

register(
    "fractions",
    _finish_fractions,
    (
        Measure(
            "fractions_skill_score",
            "fractions skill score",
            r"1-\frac{\sum(P_e-P_t)^2}{\sum P_e^2+\sum P_t^2},\ P=\frac{N(\text{event})}{N(\text{observed})}",
            _ROBERTS,
            "grows with the window and with how common the event is; a bias lowers it at every scale, a shift only at "
            "small ones",
        ),
        Measure(
            "useful_fractions_skill",
            "fractions skill score from which an estimate is useful",
            r"\frac{1}{2}+\frac{f_0}{2},\ f_0=\frac{N(\text{true event})}{N(\text{observed})}",
            _ROBERTS,
            "a property of the truth alone, and a convention: an estimate below it can have skill "
            "(Antonio and Aitchison 2024, arXiv 2311.11985)",
            axis="context",
            best=np.nan,
            bounds=(0.5, 1.0),
        ),
        Measure(
            "skilful_scale",
            "smallest scale of useful fractions",
            r"\min\{n\,\Delta:\ \mathrm{FSS}(n')\ge\frac{1}{2}+\frac{f_0}{2}\ \forall n'\ge n\}",
            _ROBERTS + "; Skok and Roberts 2016, Quarterly Journal of the Royal Meteorological Society 142, 2765-2777",
            "steps from one given scale to the next; undefined where no scale is useful, which a mean over cases hides",
            units="km",
            best=0.0,
            bounds=(0.0, np.inf),
            stepped=True,
        ),
    ),
)
register(
    "neighbourhood",
    _finish_neighbourhood,
    (
        Measure(
            "neighbourhood_detection",
            "probability of detection nearby",
            r"D_n=\frac{N(\text{true event with an estimated one in its window})}"
            r"{N(\text{true event})}",
            _NEIGHBOURS,
            f"{_GENEROUS} scattered single events: ignores false alarms",
        ),
        Measure(
            "neighbourhood_success_ratio",
            "success ratio nearby",
            r"S_n=\frac{N(\text{estimated event with a true one in its window})}"
            r"{N(\text{estimated event})}",
            _NEIGHBOURS,
            f"{_GENEROUS} few events in safe places: ignores misses",
        ),
        Measure(
            "neighbourhood_critical_success_index",
            "critical success index nearby",
            r"\left(\frac{1}{D_n}+\frac{1}{S_n}-1\right)^{-1}",
            _NEIGHBOURS + "; the identity: Roebber 2009, Weather and Forecasting 24, 601-608",
            f"{_GENEROUS} an estimate with events in every window; look at the frequency bias beside it",
        ),
    ),
)
