"""Sums of every cell of the map by day, and the maps that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee import score
from ondee.grid import Grid
from ondee.score import MEASURES
from ondee.score.resampling import intervals, predecessors
from ondee.validation.chance import controlled, p_value
from ondee.validation.settings import Settings
from ondee.validation.sums import COMPARISONS

__all__ = ["PLACES", "DayMaps", "finished_maps"]

PLACES = (("mean", "all"), ("mean", "microwave"), ("overpass", "microwave"), ("floor", "microwave"))
"""Comparison and group of sources of each map that is summed. The last two have the same cells for both groups."""
GROUPS = ("all", "microwave")
_MEASURES = ("relative_bias", "correlation", "probability_of_detection", "false_alarm_ratio")
_SLAB = 2048
"""Cells at once: replicates of all would not fit in memory."""
_NOISE = 1e-12
"""Share of a mean square below which a variance is rounding, as in ondee.score."""
Floats = NDArray[np.float64]


class DayMaps:
    """Fields of one day, summed over its half hours at each cell.

    Parameters
    ----------
    cells
        The cells.
    settings
        With the threshold of events.
    """

    def __init__(self, cells: Grid, settings: Settings) -> None:
        self._cells, self._settings = cells, settings
        self._held: dict[tuple[str, str], list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {}

    def add(
        self,
        comparison: int,
        estimate: NDArray[np.float32],
        truth: NDArray[np.float32],
        valid: NDArray[np.bool_],
        passed: NDArray[np.bool_],
    ) -> None:
        """Add one half hour.

        Parameters
        ----------
        comparison
            Number of the comparison.
        estimate, truth
            ``(y, x)``, mm h-1.
        valid
            Cells that count.
        passed
            Cells that a microwave sensor saw.
        """
        hole = np.float32(np.nan)
        for place in PLACES:
            if place[0] == COMPARISONS[comparison]:
                chosen = valid & passed if place[1] == "microwave" else valid
                fields = np.where(chosen, estimate, hole), np.where(chosen, truth, hole)
                self._held.setdefault(place, []).append(fields)

    def tables(self, day: np.datetime64) -> dict[str, xr.Dataset]:
        """Sums of the day, ``(day, place, y, x)``.

        Parameters
        ----------
        day
            Its start.
        """
        shape = self._cells.shape
        nothing = [(np.full(shape, np.nan, np.float32),) * 2]
        points, events = [], []
        for place in PLACES:
            held = self._held.get(place, nothing)
            estimate, truth = (
                xr.DataArray(np.stack([pair[i] for pair in held]), dims=("time", "y", "x"), attrs={"units": "mm h-1"})
                for i in range(2)
            )
            moments = score.point(estimate, truth, over="time", wet=self._settings.map_threshold)
            points.append(moments.sel(population="all", drop=True))
            counts = score.event(estimate, truth, over="time", thresholds=[self._settings.map_threshold])
            events.append(counts.isel(threshold=0, drop=True))
        made = {}
        for name, parts in (("maps/point", points), ("maps/event", events)):
            together = xr.concat(parts, dim="place", combine_attrs="override").expand_dims(day=[day])
            grid = self._cells.coordinates()
            labels = np.array([f"{comparison} {group}" for comparison, group in PLACES])
            made[name] = together.assign_coords({"place": ("place", labels), **grid})
        return made


def finished_maps(
    point: xr.Dataset, event: xr.Dataset, settings: Settings, *, replicates: int, level: float, seed: int, span: Any
) -> xr.Dataset:
    """Maps of bias, correlation, detection and false alarms with intervals.

    Parameters
    ----------
    point, event
        Sums by block of days, ``(day, place, y, x)``, with ``rain_days (place, y, x)`` in `event`.
    settings
        With the rules.
    replicates, level, seed
        Of the bootstrap.
    span
        Length of a block.
    """
    shape = (len(COMPARISONS), len(GROUPS), point.sizes["y"], point.sizes["x"])
    made = {f"{name}{end}": np.full(shape, np.nan) for name in _MEASURES for end in ("", "_low", "_high")}
    made |= {f"{name}_p": np.full(shape, np.nan) for name in _MEASURES}
    days = np.zeros(shape)
    previous = predecessors(point["day"].values.astype("datetime64[s]"), span)
    how: dict[str, Any] = {"replicates": replicates, "level": level, "seed": seed, "previous": previous}
    for index, (comparison, group) in enumerate(PLACES):
        c = COMPARISONS.index(comparison)
        groups = [GROUPS.index(group)] if comparison == "mean" else [0, 1]
        here = [sums.isel(place=index) for sums in (point, event)]
        found = _place(here[0], here[1], how)
        for g in groups:
            days[c, g] = event["rain_days"].values[index]
            for name, values in found.items():
                made[name][c, g] = values
    dims = ("comparison", "group", "y", "x")
    data: dict[str, Any] = {}
    for name in _MEASURES:
        tolerance = settings.bias_tolerance if name == "relative_bias" else settings.score_tolerance
        best = MEASURES[name].best
        p = p_value(made[name], made[f"{name}_low"], made[f"{name}_high"], best, tolerance, level)
        p[days < settings.map_days] = np.nan
        adjusted = np.stack([np.stack([controlled(part) for part in parts]) for parts in p])
        about = MEASURES[name].attributes()
        for end in ("", "_low", "_high"):
            data[f"{name}{end}"] = (dims, made[f"{name}{end}"].astype(np.float32), about)
        data[f"{name}_p"] = (dims, adjusted.astype(np.float32), {"long_name": f"p of {about['long_name']}, controlled"})
        data[f"{name}_resolved"] = (dims, adjusted < 1 - level)
    data["days"] = (dims, days.astype(np.int32), {"units": "1", "long_name": "days with rain"})
    places = {name: point.coords[name] for name in ("y", "x", "crs") if name in point.coords}
    labels = {"comparison": list(COMPARISONS), "group": list(GROUPS)}
    return xr.Dataset(data, coords={**labels, **places}, attrs={"threshold": settings.map_threshold})


def _place(point: xr.Dataset, event: xr.Dataset, how: dict[str, Any]) -> dict[str, Floats]:
    """Measures of one map with intervals, a slab of cells at a time."""
    shape = point["weight"].shape[1:]
    made: dict[str, Floats] = {}
    for name in _MEASURES:
        needed, formula = _FORMULAS[name]
        sums = point if needed[0] in point else event
        table = np.stack([sums[own].values.reshape(sums.sizes["day"], -1) for own in needed], axis=-1)
        ends = [np.full(table.shape[1], np.nan) for _ in range(3)]
        busy = np.flatnonzero((table != 0).any(axis=(0, 2)))
        for first in range(0, busy.size, _SLAB):
            slab = busy[first : first + _SLAB]
            part = table[:, slab]
            ends[0][slab] = formula(part.sum(axis=0)[np.newaxis])[0]
            ends[1][slab], ends[2][slab] = intervals(part, formula, bounds=MEASURES[name].bounds, **how)
        for suffix, values in zip(("", "_low", "_high"), ends, strict=True):
            made[f"{name}{suffix}"] = values.reshape(shape)
    return made


# Four ratios of ondee.score, written out: to finish whole Datasets for every cell and draw would take fifty times as
# long. A test holds them against ondee.score.


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0))


def _relative_bias(sums: Floats) -> Floats:
    return _ratio(sums[..., 0] - sums[..., 1], sums[..., 1])


def _correlation(sums: Floats) -> Floats:
    n, s, r, ss, rr, sr = (sums[..., i] for i in range(6))
    squares = [_ratio(total, n) for total in (ss, rr)]
    means = [_ratio(total, n) for total in (s, r)]
    variances = [square - mean**2 for square, mean in zip(squares, means, strict=True)]
    flat = [variance <= _NOISE * square for variance, square in zip(variances, squares, strict=True)]
    found = _ratio(_ratio(sr, n) - means[0] * means[1], np.sqrt(np.maximum(variances[0] * variances[1], 0.0)))
    return np.where(flat[0] | flat[1], np.nan, np.clip(found, -1.0, 1.0))


def _share(sums: Floats) -> Floats:
    return _ratio(sums[..., 0], sums[..., 0] + sums[..., 1])


_FORMULAS: dict[str, tuple[tuple[str, ...], Callable[[Floats], Floats]]] = {
    "relative_bias": (("sum_estimate", "sum_truth"), _relative_bias),
    "correlation": (
        ("weight", "sum_estimate", "sum_truth", "sum_estimate_squares", "sum_truth_squares", "sum_products"),
        _correlation,
    ),
    "probability_of_detection": (("hits", "misses"), _share),
    "false_alarm_ratio": (("false_alarms", "hits"), _share),
}
