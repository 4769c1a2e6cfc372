"""Faults of a sensor with their size: its gain, its place and its clock, each with an interval and a verdict.

A fault is *found* where its whole interval lies beyond a tolerance that a user cares about, not merely beyond zero.
It is *clear* where the interval is narrow and reaches into the tolerance, and *not resolved* where passes or days are
too few or the interval is too wide to say either. Sums of whole days are resampled, so that a storm counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from ondee.errors import ConfigError
from ondee.score.resampling import check_draws, intervals
from ondee.validation.chance import controlled
from ondee.validation.evidence import EVIDENCE, LAGS, REACH, REFERENCES

__all__ = ["KINDS", "Rules", "faults", "joint_peak"]

Floats = NDArray[np.float64]

KINDS = ("bias", "east", "north", "clock")
"""Faults that are looked for."""
_UNITS = {"bias": "1", "east": "cell", "north": "cell", "clock": "min"}
_NAMES = {
    "bias": "factor by which the rain is too much",
    "east": "eastward shift",
    "north": "northward shift",
    "clock": "minutes by which the stated time is late",
}
_METHOD = 0.05
"""What the logarithm of the gain of a sound sensor departs from 0, 19 times in 20, however many its passes: its
footprint is known roughly and its response bends. Found on clean worlds (docs/faults.md)."""
_STEP = float(LAGS[1] - LAGS[0])
_NEIGHBOURS = np.array([(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
_POWERS = np.column_stack(
    [
        np.ones(27),
        _NEIGHBOURS,
        _NEIGHBOURS**2,
        *(_NEIGHBOURS[:, a] * _NEIGHBOURS[:, b] for a, b in ((0, 1), (0, 2), (1, 2))),
    ]
)
_FIT = np.linalg.pinv(_POWERS)
"""From 27 values around the highest to the ten numbers of a quadratic."""
_FARTHEST = 1.0
"""How far from the highest grid point the top of the fitted quadratic may lie, in grid steps."""


@dataclass(frozen=True)
class Rules:
    """When a fault counts as found, as absent, or as not resolved.

    Parameters
    ----------
    bias, shift, clock
        Tolerances: a gain between ``1 / (1 + bias)`` and ``1 + bias``, a shift of so many cells either way along an
        axis, a clock that is late or early by so many minutes are no faults worth naming.
    views, days
        Fewest passes with rain, and fewest days on which they fall, for a verdict.
    widest_bias, widest_shift, widest_clock
        Half widths of an interval (of the gain as a ratio minus 1) beyond which what is not found is not resolved.
    """

    bias: float = 0.1
    shift: float = 0.25
    clock: float = 2.5
    views: int = 8
    days: int = 6
    widest_bias: float = 0.3
    widest_shift: float = 0.5
    widest_clock: float = 5.0

    def __post_init__(self) -> None:
        for name in ("bias", "shift", "clock", "widest_bias", "widest_shift", "widest_clock"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be positive", where="rules", fix=f"leave {name} out"
                )
        if self.views < 3 or self.days < 3:
            raise ConfigError(
                f"{self.views} passes on {self.days} days give no interval",
                where="rules",
                fix="ask for 3 or more of each",
            )

    def tolerance(self, kind: str) -> float:
        """Tolerance of a kind of fault, in its unit."""
        return float(getattr(self, "shift" if kind in ("east", "north") else kind))

    def widest(self, kind: str) -> float:
        """Widest half interval of a kind of fault, in its unit."""
        return float(getattr(self, "widest_shift" if kind in ("east", "north") else f"widest_{kind}"))


def faults(
    evidence: xr.Dataset,
    rules: Rules | None = None,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> xr.Dataset:
    """Look for faults of gain, place and clock in each source.

    Parameters
    ----------
    evidence
        Sums of :func:`ondee.validation.evidence.evidence` along ``view``, with ``time`` and ``source`` of each. Several
        views of a source may be one row, their sums added.
    rules
        Tolerances and what is too little to judge by.
    replicates, seed, level
        Of the bootstrap over days.

    Returns
    -------
    xarray.Dataset
        Against ``comparison`` (``"overpass"`` first, ``"mean"``) and ``source``: ``bias`` (factor, 1 is none), ``east``
        and ``north`` (cells, where the product lies beside the radar), ``clock`` (minutes by which the stated time is
        late), each with ``_low``, ``_high``, ``_p`` (that it is none), ``_verdict``, and its ``_tolerance``; ``views``
        and ``days`` with rain. Beside them ``lag_correlation`` at the best shift with its interval, and
        ``shift_correlation`` at the best lag.

        The gain is the mean of those of the passes, taken as log-normal; place and clock are where the correlation,
        pooled over passes and scanned over both, is highest. Of several faults, one counts as found only if
        it is also told from none by the procedure of Benjamini and Yekutieli (2001) over all sources and kinds.

    Raises
    ------
    ConfigError
        If the settings cannot be used or sums are absent.
    """
    check_draws(replicates, level)
    absent = [name for name in EVIDENCE if name not in evidence]
    if absent:
        raise ConfigError(f"there are no sums {absent[0]!r}", where="evidence", fix="make them with evidence()")
    chosen = rules or Rules()
    names = [str(name) for name in dict.fromkeys(np.asarray(evidence["source"].values).tolist())]
    parts = []
    for name in names:
        rows = np.flatnonzero(np.asarray(evidence["source"].values) == name)
        parts.append(_one_source(evidence.isel(view=rows), replicates, seed, level))
    if not parts:
        raise ConfigError("no source has a view with rain", where="evidence", fix="validate a period with rain")
    made = xr.concat(parts, dim=xr.Variable("source", names), combine_attrs="override")
    made = made.transpose("comparison", "source", ...)
    return _judged(made, chosen, level).assign_attrs(level=level, replicates=replicates, seed=seed)


def joint_peak(correlation: Floats) -> Floats:
    """Where a correlation is highest over lag and shifts, between the points of its grid.

    A quadratic in the three is fitted to the 27 values around the highest: rain moves, so that lag and shift lean on
    each other and none can be read alone.

    Parameters
    ----------
    correlation
        ``(draw, lag, shift_north, shift_east)`` on :data:`~ondee.validation.evidence.LAGS` and ± 3 cells; NaN where
        not known.

    Returns
    -------
    numpy.ndarray
        ``(draw, 3)``: lag in minutes, shifts to the north and east in cells; NaN where the highest is on the rim of
        what was scanned, or has a hole beside it.
    """
    draws, shape = len(correlation), correlation.shape[1:]
    filled = np.where(np.isfinite(correlation), correlation, -np.inf)
    place = np.stack(np.unravel_index(filled.reshape(draws, int(np.prod(shape))).argmax(axis=1), shape), axis=1)
    inside = ((place > 0) & (place < np.array(shape) - 1)).all(axis=1)
    centre = np.clip(place, 1, np.array(shape) - 2)
    around = centre[:, np.newaxis, :] + _NEIGHBOURS
    values = correlation[np.arange(draws)[:, np.newaxis], around[..., 0], around[..., 1], around[..., 2]]
    sound = inside & np.isfinite(values).all(axis=1)
    found = np.where(sound[:, np.newaxis], values, 0.0) @ _FIT.T
    bend = np.zeros((draws, 3, 3))
    for axis in range(3):
        bend[:, axis, axis] = 2 * found[:, 4 + axis]
    for number, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
        bend[:, a, b] = bend[:, b, a] = found[:, 7 + number]
    peaked = sound & (np.linalg.eigvalsh(bend).max(axis=1) < 0)
    bend[~peaked] = -np.eye(3)
    top = np.linalg.solve(bend, -found[:, 1:4, np.newaxis])[..., 0]
    top = np.where(peaked[:, np.newaxis], np.clip(top, -_FARTHEST, _FARTHEST), 0.0)
    steps, first = np.array([_STEP, 1.0, 1.0]), np.array([LAGS[0], -REACH, -REACH])
    made = first + steps * (centre + top)
    made[~sound] = np.nan
    return np.asarray(made, np.float64)


def _one_source(evidence: xr.Dataset, replicates: int, seed: int, level: float) -> xr.Dataset:
    """Faults and curves of one source, from the sums of its days."""
    days = np.asarray(evidence["time"].values).astype("datetime64[D]")
    _, number = np.unique(days, return_inverse=True)
    made = {}
    for index, kind in enumerate(REFERENCES):
        at = evidence.sel(comparison=kind)
        table = _by_day(
            np.column_stack([at[name].values for name in ("gain_views", "gain_sum", "gain_squares")]), number
        )
        scans = [at[name].values for name in ("covariance", "estimate_variance", "radar_variance")]
        scan = _by_day(np.stack(scans, axis=1), number)
        made[kind] = _one_comparison(table, scan, replicates, seed, level) | {
            "views": at["gain_views"].sum().item() if index == 0 else np.nan
        }
    views = _by_day(evidence["gain_views"].max("comparison").values[:, np.newaxis], number)[:, 0]
    dims = {"lag_correlation": ("lag",), "shift_correlation": ("shift_north", "shift_east")}
    result = xr.Dataset(
        coords={name: evidence.coords[name] for name in ("comparison", "lag", "shift_north", "shift_east")}
    )
    for name in (name for name in made[REFERENCES[0]] if name != "views"):
        stem = name.removesuffix("_low").removesuffix("_high")
        result[name] = (("comparison", *dims.get(stem, ())), np.stack([made[kind][name] for kind in REFERENCES]))
    return result.assign(views=((), int(views.sum())), days=((), int(np.count_nonzero(views))))


def _by_day(values: Floats, number: NDArray[np.int64]) -> Floats:
    """Sums of each day, ``(day, …)``."""
    total = np.zeros((number.max() + 1, *values.shape[1:]))
    np.add.at(total, number, values)
    return total


def _one_comparison(table: Floats, scan: Floats, replicates: int, seed: int, level: float) -> dict[str, Floats]:
    """Values, ends of intervals and curves against one reference."""
    inner = scan.shape[1:]

    def ends(sums: Floats, score: Callable[[Floats], Floats]) -> Floats:
        used = np.abs(sums).reshape(len(sums), -1).sum(axis=1) > 0
        return intervals(sums[used], score, replicates=replicates, seed=seed, level=level)

    def placed(sums: Floats) -> Floats:
        return joint_peak(_correlation(sums))

    whole = scan.sum(axis=0)[np.newaxis]
    correlation = _correlation(whole)[0]
    lag, north, east = placed(whole)[0]
    low, high = ends(scan, placed)
    gain = _mean_gain(table.sum(axis=0)[np.newaxis])[0]
    gain_ends = np.exp(_widened(gain, ends(table, _mean_gain)))
    best = [
        _nearest(value, first, step, size)
        for value, first, step, size in zip(
            (lag, north, east), (LAGS[0], -REACH, -REACH), (_STEP, 1.0, 1.0), inner[1:], strict=True
        )
    ]
    curve = ends(scan[..., best[1], best[2]], _correlation)
    return {
        "bias": np.exp(gain), "bias_low": gain_ends[0], "bias_high": gain_ends[1],
        "east": east, "east_low": low[2], "east_high": high[2],
        "north": north, "north_low": low[1], "north_high": high[1],
        # The product agrees best with radar before its stated time where that is late.
        "clock": -lag, "clock_low": -high[0], "clock_high": -low[0],
        "lag_correlation": correlation[:, best[1], best[2]],
        "lag_correlation_low": curve[0], "lag_correlation_high": curve[1],
        "shift_correlation": correlation[best[0]],
    }  # fmt: skip


def _widened(value: Floats, ends: Floats) -> Floats:
    """Interval of the logarithm of a gain with what the method does not know added in quadrature."""
    return np.asarray(
        np.stack([value - np.hypot(value - ends[0], _METHOD), value + np.hypot(ends[1] - value, _METHOD)])
    )


def _nearest(value: float, first: float, step: float, size: int) -> int:
    """Index of the point of a grid nearest to a value; that of zero where there is none."""
    return int(np.clip(round(((value if np.isfinite(value) else 0.0) - first) / step), 0, size - 1))


def _mean_gain(sums: Floats) -> Floats:
    """Logarithm of the mean gain of passes ``(draw, 3)``: of log-normal ones, mean and half the variance of the log."""
    count, total, squares = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0.0) * count / np.maximum(count - 1, 1)
        return np.asarray(np.where(count > 0, mean + variance / 2, np.nan))


def _correlation(sums: Floats) -> Floats:
    """Correlation from ``(draw, 3, …)``: covariance and the two variances."""
    covariance, estimate, radar = np.moveaxis(sums, 1, 0)
    below = np.sqrt(np.maximum(estimate, 0.0) * np.maximum(radar, 0.0))
    return np.asarray(np.divide(covariance, below, out=np.full(below.shape, np.nan), where=below > 0))


def _judged(made: xr.Dataset, rules: Rules, level: float) -> xr.Dataset:
    """Verdicts, with the false discoveries of many sources and kinds held down."""
    none = {"bias": 1.0}
    spread = stats.norm.ppf((1 + level) / 2)
    chances = {}
    for kind in KINDS:
        value, low, high = (_scaled(made[f"{kind}{suffix}"].values, kind) for suffix in ("", "_low", "_high"))
        error = np.maximum((high - low) / (2 * spread), 1e-12)
        chances[kind] = 2 * stats.norm.sf(np.abs(value) / error)
    by_comparison = np.stack([chances[kind] for kind in KINDS], axis=-1)
    adjusted = np.stack([controlled(of_all) for of_all in by_comparison])
    enough = (made["views"].values >= rules.views) & (made["days"].values >= rules.days)
    for number, kind in enumerate(KINDS):
        value, low, high = (_scaled(made[f"{kind}{suffix}"].values, kind) for suffix in ("", "_low", "_high"))
        edge, widest = (
            np.log1p(bound) if kind == "bias" else bound for bound in (rules.tolerance(kind), rules.widest(kind))
        )
        known = enough & np.isfinite(low) & np.isfinite(high)
        found = known & ((low > edge) | (high < -edge)) & (adjusted[..., number] <= 1 - level)
        clear = known & ~found & ((high - low) / 2 <= widest) & (low <= edge) & (high >= -edge)
        verdict = np.where(found, "found", np.where(clear, "clear", "not resolved"))
        attributes = {"units": _UNITS[kind], "long_name": _NAMES[kind], "none": none.get(kind, 0.0)}
        for suffix in ("", "_low", "_high"):
            made[f"{kind}{suffix}"].attrs = attributes
        made[f"{kind}_p"] = (
            ("comparison", "source"),
            adjusted[..., number],
            {"long_name": f"{kind}: probability of none"},
        )
        made[f"{kind}_verdict"] = (("comparison", "source"), verdict.astype(str))
        made[f"{kind}_tolerance"] = ((), rules.tolerance(kind), {"units": _UNITS[kind]})
    return made


def _scaled(values: Floats, kind: str) -> Floats:
    """A gain by its logarithm, all else as it is: none is 0."""
    return np.asarray(np.log(values) if kind == "bias" else values)
