"""The table of a verification: one value for each estimate and main score, which is best, and what is resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.plot.series import estimates_of, held_thresholds, series
from ondee.plot.style import spelled
from ondee.score.catalogue import MEASURES, Axis, Measure

__all__ = ["COLUMNS", "Column", "Row", "direction", "measure_of", "shown_value", "tabulate"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Parameters
    ----------
    score, variable
        Where the values are.
    title
        What the column is called; ``{threshold}`` and ``{scale}`` are filled with what was chosen.
    axis
        Heading under which it stands: ``where``, ``what`` or ``probability``.
    chosen
        Further dimensions and their label; ``localisation`` stands for the threshold or scale of the two-axis picture.
    digits
        Digits behind the point.
    """

    score: str
    variable: str
    title: str
    axis: Axis
    chosen: Mapping[str, Any] = field(default_factory=dict)
    digits: int = 2


_AT = {"threshold": "localisation"}
COLUMNS = (
    Column("axes", "localisation", "FSS{threshold}{scale}", "where"),
    Column("event", "critical_success_index", "CSI{threshold}", "where", _AT),
    Column("event", "probability_of_detection", "POD{threshold}", "where", _AT),
    Column("event", "false_alarm_ratio", "FAR{threshold}", "where", _AT),
    Column("fractions", "skilful_scale", "skilful scale{threshold}", "where", _AT, 0),
    Column("point", "correlation", "correlation", "where", {"population": "all"}),
    Column("spectrum", "effective_resolution", "effective resolution", "where", {"transform": "rain"}, 0),
    Column("axes", "realism_error", "realism error", "what"),
    Column("spectrum", "spectral_error", "spectral error", "what", {"transform": "rain"}),
    Column("axes", "tail_error", "tail error", "what"),
    Column("distribution", "quantile_ratio", "q99.9, ratio", "what", {"probability": 0.999}),
    Column("distribution", "wet_fraction_ratio", "wet fraction, ratio", "what"),
    Column("event", "frequency_bias", "frequency bias{threshold}", "what", _AT),
    Column("point", "relative_bias", "relative bias", "amount", {"population": "all"}, 3),
    Column("point", "root_mean_square_error", "RMSE", "amount", {"population": "all"}),
    Column("decomposition", "hit_error", "hit error{threshold}", "amount", {"threshold": 0.1}, 3),
    Column("decomposition", "missed_rain", "missed rain{threshold}", "amount", {"threshold": 0.1}, 3),
    Column("decomposition", "false_rain", "false rain{threshold}", "amount", {"threshold": 0.1}, 3),
    Column("displacement", "displacement_east", "displaced east", "context"),
    Column("displacement", "displacement_north", "displaced north", "context"),
    Column("sal", "sal_structure", "SAL structure", "context"),
    Column("sal", "sal_amplitude", "SAL amplitude", "context"),
    Column("sal", "sal_location", "SAL location", "context"),
    Column("objects", "object_detection", "objects found{threshold}", "context", _AT),
    Column("objects", "object_false_share", "objects invented{threshold}", "context", _AT),
    Column("crps", "fair_crps", "fair CRPS", "probability", {"tail": 0.0}, 3),
    Column("probability", "brier_score", "Brier score", "probability", digits=4),
    Column("probability", "brier_skill_score", "Brier skill", "probability"),
    Column("probability", "reliability", "reliability", "probability", digits=4),
    Column("probability", "roc_area", "ROC area", "probability"),
    Column("spread", "spread_skill_ratio", "spread / error", "probability"),
    Column("replicate", "replicate_gap_critical_success_index", "replicate gap, CSI{threshold}", "probability", _AT),
)
"""Main scores, in the order of the table."""


@dataclass(frozen=True)
class Row:
    """One cell of the table, with what it stands for.

    Parameters
    ----------
    estimate
        Name of the estimate.
    column
        Title of the column.
    axis
        Heading of the column.
    variable
        Name of the finished variable.
    units
        Unit, as printed; empty for a pure number.
    arrow
        ``↑`` where more is better, ``↓`` where less is, ``→ 1`` where the best value lies between.
    value, low, high
        Value and interval; NaN where undefined.
    best
        Whether it is the nearest to the perfect value, of two or more, or prints the same as that one.
    resolved
        Whether the bootstrap tells it from the best one; True for the best ones and where nothing is compared.
    digits
        Digits behind the point.
    """

    estimate: str
    column: str
    axis: str
    variable: str
    units: str
    arrow: str
    value: float
    low: float
    high: float
    best: bool
    resolved: bool
    digits: int = 2


def measure_of(variable: str) -> Measure | None:
    """What a variable is; None where the score room does not know it."""
    return MEASURES.get(variable)


def direction(measure: Measure | None) -> str:
    """Arrow to the better values.

    Examples
    --------
    >>> from ondee.score import MEASURES
    >>> direction(MEASURES["false_alarm_ratio"]), direction(MEASURES["frequency_bias"])
    ('↓', '→ 1')
    """
    if measure is None or not np.isfinite(measure.best):
        return ""
    if measure.best >= measure.bounds[1]:
        return "↑"
    return "↓" if measure.best <= measure.bounds[0] else f"→ {measure.best:g}"


def tabulate(scores: Mapping[str, xr.Dataset], columns: Sequence[Column] = COLUMNS) -> list[Row]:
    """Make the table as plain data, one entry a cell, column by column; a column without any value is left out.

    The best value is the one nearest to the perfect value of its measure; whoever prints the same digits shares the
    place. Another is resolved from it if the interval of their paired difference excludes 0. That interval is there if
    ``…_difference`` has a dimension ``reference`` with the best one in it, or if either is the estimate against which
    differences were taken; otherwise, to be safe, the two intervals, or the two intervals of the difference to the same
    third, must not overlap.

    Parameters
    ----------
    scores
        Score name → finished Dataset with ``estimate``, ``…_low``, ``…_high`` and ``…_difference…``.
    columns
        Columns to look for.
    """
    names = estimates_of(scores)
    rows: list[Row] = []
    for column in columns:
        if column.score not in scores or column.variable not in scores[column.score]:
            continue
        dataset = scores[column.score]
        chosen, title = _chosen(column, dataset, scores)
        held = [name for name in names if name in dataset["estimate"].values]
        cells = {name: _cell(dataset, column.variable, {**chosen, "estimate": name}) for name in held}
        if not any(np.isfinite(cell[0]) for cell in cells.values()):
            continue
        measure = measure_of(column.variable)
        best = _best(measure, cells)
        units = spelled(str(dataset[column.variable].attrs.get("units", "1")))
        for name in names:
            value, low, high = cells.get(name, (np.nan, np.nan, np.nan))
            tied = best is not None and shown_value(value, column.digits) == shown_value(cells[best][0], column.digits)
            resolved = (
                best is None
                or tied
                or name not in cells
                or _resolved(dataset, column.variable, chosen, name, str(best), cells)
            )
            rows.append(
                Row(
                    estimate=name,
                    column=title,
                    axis=column.axis,
                    variable=column.variable,
                    units="" if units == "1" else units,
                    arrow=direction(measure),
                    value=value,
                    low=low,
                    high=high,
                    best=tied,
                    resolved=resolved,
                    digits=column.digits,
                )
            )
    return rows


def _chosen(column: Column, dataset: xr.Dataset, scores: Mapping[str, xr.Dataset]) -> tuple[dict[str, Any], str]:
    """What to choose of further dimensions, and the title that says so."""
    about = scores["axes"].attrs if "axes" in scores else {}
    threshold = float(about.get("localisation_threshold", 1.0))
    scale = float(about.get("localisation_scale_km", -1.0))
    chosen = {dim: threshold if label == "localisation" else label for dim, label in column.chosen.items()}
    array = dataset[column.variable]
    if "threshold" in array.dims and "threshold" in array.coords:
        held = held_thresholds(array)
        if held.size:
            threshold = float(held[np.argmin(abs(held - threshold))]) if "threshold" in chosen else float(held[0])
        chosen["threshold"] = threshold
        title = column.title if "{threshold}" in column.title else column.title + "{threshold}"
    else:
        title = column.title
    units = spelled(str(dataset["threshold"].attrs.get("units", "mm h-1")) if "threshold" in dataset else "mm h-1")
    filled = title.replace("{threshold}", f" ≥ {threshold:g} {units}")
    return chosen, filled.replace("{scale}", f", {scale:.3g} km" if scale > 0 else "")


def _cell(dataset: xr.Dataset, variable: str, chosen: Mapping[str, Any]) -> tuple[float, float, float]:
    """Value and interval; NaN where one number cannot stand for it, as for the many thresholds of a probability."""
    found = series(dataset, variable, **chosen)
    if found.value.ndim:
        return np.nan, np.nan, np.nan
    return float(found.value), float(found.low), float(found.high)


def _best(measure: Measure | None, cells: Mapping[str, tuple[float, float, float]]) -> str | None:
    """Estimate nearest to the perfect value; None where there is no such value, or nothing to compare."""
    finite = {name: cell[0] for name, cell in cells.items() if np.isfinite(cell[0])}
    if measure is None or not np.isfinite(measure.best) or len(finite) < 2:
        return None
    far = {name: float(measure.distance(xr.DataArray(value))) for name, value in finite.items()}
    return min(far, key=lambda name: (far[name], name))


def _resolved(
    dataset: xr.Dataset,
    variable: str,
    chosen: Mapping[str, Any],
    name: str,
    best: str,
    cells: Mapping[str, tuple[float, float, float]],
) -> bool:
    """Whether the intervals tell an estimate from the best one."""
    difference = f"{variable}_difference"
    if difference in dataset:
        if "reference" in dataset[difference].dims and best in dataset["reference"].values:
            return _excludes_zero(_cell(dataset, difference, {**chosen, "estimate": name, "reference": best}))
        one, other = (_cell(dataset, difference, {**chosen, "estimate": which}) for which in (name, best))
        if np.isfinite(one[0]) != np.isfinite(other[0]):
            return _excludes_zero(other if np.isfinite(other[0]) else one)
        if _apart(one, other):
            return True
    return _apart(cells[name], cells[best])


def _excludes_zero(cell: tuple[float, float, float]) -> bool:
    """Whether an interval lies on one side of 0."""
    return bool(cell[1] > 0 or cell[2] < 0)


def _apart(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    """Whether two intervals do not overlap; False where either is undefined."""
    return bool(one[2] < other[1] or one[1] > other[2])


def shown_value(value: float, digits: int) -> str:
    """Write a value with its digits; a dash where it is undefined.

    Examples
    --------
    >>> shown_value(0.5, 2), shown_value(-1.25, 1), shown_value(-0.001, 2), shown_value(float("nan"), 2)
    ('0.50', '−1.2', '0.00', '–')
    """
    if not np.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")
