"""A score in every class of every cut, in small panels side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.plot.findings import Result, class_of
from ondee.plot.palette import Look, looks, truth_ink
from ondee.plot.series import Series, arms, series
from ondee.plot.style import Style, enlarged, inks, new_figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CUTS", "cuts_of", "draw_classes"]

CUTS = {
    "minute": "minute of the pass (min)",
    "age": "since the last microwave pass (min)",
    "infrared_weight": "weight of infrared (%)",
    "quality_index": "quality index of IMERG",
    "wet_fraction": "radar: wet share of the cell",
    "rain_maximum": "radar: maximum in the cell (mm h⁻¹)",
    "rain_variability": "radar: variability in the cell (sd / mean)",
    "phase": "phase of the rain",
    "hour": "hour of the day (UTC)",
    "season": "season",
    "height": "height of the ground (m)",
}
"""Cut → what its axis says."""
FAMILIES = ("microwave", "morph", "mixed", "infrared")
_WORDS = {
    "relative_bias": "relative bias (%)",
    "correlation": "correlation",
    "probability_of_detection": "detected, ≥ 0.1 mm h⁻¹ (POD)",
    "false_alarm_ratio": "false alarms, ≥ 0.1 mm h⁻¹ (FAR)",
}
_COLUMNS = 3
_MOST_BIAS = 200.0
"""Highest bias that is drawn, %: in classes of hardly any rain it has no end."""


def cuts_of(result: Result, variable: str) -> list[str]:
    """Cuts with at least two classes in which a score is defined, in the order of the figure."""
    held = []
    for name in result:
        cut = name.removeprefix("scores/")
        if cut == name or cut == "source" or variable not in result[name]:
            continue
        dimension, labels = class_of(result[name], cut)
        finite = np.isfinite(result[name][variable].transpose(dimension, ...).values.astype(float))
        if len(labels) > 1 and sum(bool(one.any()) for one in finite) > 1:
            held.append(cut)
    order = list(CUTS)
    return sorted(held, key=lambda cut: (order.index(cut) if cut in order else len(order), cut))


def draw_classes(
    result: Result,
    path: str | Path | None = None,
    *,
    variable: str = "correlation",
    comparison: str = "mean",
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw a score against the classes of every cut, by how the estimate was made, with the sampling floor in grey.

    Parameters
    ----------
    result
        Groups of a validation; every ``scores/<cut>`` but ``scores/source`` is drawn.
    path
        Where to save the figure; not saved where None.
    variable
        Which score.
    comparison
        Reference: ``mean`` or ``overpass``.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If no cut holds the score, or the figure cannot be written.
    """
    cuts = cuts_of(result, variable)
    if not cuts:
        raise ConfigError(f"{variable} is defined in no two classes", where="scores.nc", fix="validate more half hours")
    names = _families(result, cuts, variable)
    columns = min(_COLUMNS, len(cuts))
    rows = -(-len(cuts) // columns)
    with styled(style):
        scale = enlarged(style)
        figure = new_figure((58 * columns + 6) * scale, (50 * rows + 12) * scale)
        panels: Any = figure.subplots(rows, columns, squeeze=False, sharey=True)
        drawn = _family_looks(names, style)
        for ax in panels.ravel()[len(cuts) :]:
            ax.set_visible(False)
        for ax, cut in zip(panels.ravel(), cuts, strict=False):
            _panel(ax, result[f"scores/{cut}"], cut, variable, comparison, drawn, style)
        _limits(panels[0, 0], panels.ravel()[: len(cuts)], variable)
        for ax in panels[:, 0]:
            ax.set_ylabel(_WORDS.get(variable, variable.replace("_", " ")))
        _legend(figure, drawn, style)
        figure.get_layout_engine().set(w_pad=0.04, h_pad=0.05)  # type: ignore[union-attr, call-arg]
    if path is not None:
        save(figure, path, force=force)
    return figure


def _limits(first: Axes, panels: Iterable[Axes], variable: str) -> None:
    """Keep long intervals of small samples from flattening all else; an arrow points at those that leave the panel."""
    low, high = first.get_ylim()
    if variable != "relative_bias":
        held = [
            y for ax in panels for line in ax.lines for y in np.asarray(line.get_ydata(), dtype=float) if np.isfinite(y)
        ]
        first.set_ylim(max(low, min(0.0, min(held, default=0.0) - 0.05)), min(high, 1.02))
        return
    first.set_ylim(max(low, -100.0), min(high, _MOST_BIAS))
    for ax in panels:
        for line in list(ax.lines):
            for x, y in zip(*(np.asarray(part, dtype=float) for part in line.get_data()), strict=True):
                if y > _MOST_BIAS and line.get_marker() != "None":
                    mark: dict[str, Any] = {"marker": 6, "markersize": 4.5, "markeredgewidth": 0, "clip_on": False}
                    ax.plot(x, 0.985 * _MOST_BIAS, color=line.get_color(), linestyle="none", zorder=6, **mark)


def _families(result: Result, cuts: list[str], variable: str) -> list[str]:
    """Families that are defined in any cut; all together where none is."""
    held: dict[str, None] = {}
    for cut in cuts:
        found = result[f"scores/{cut}"]
        for name in found["source"].values.astype(str):
            if np.isfinite(found[variable].sel(source=name).values.astype(float)).any():
                held[str(name)] = None
    return [name for name in FAMILIES if name in held] or [name for name in ("all",) if name in held] or list(held)


def _family_looks(names: list[str], style: Style) -> dict[str, Look]:
    """Look of each family; the floor is grey and has none."""
    return looks(names, style)


def _panel(
    ax: Axes,
    found: xr.Dataset,
    cut: str,
    variable: str,
    comparison: str,
    drawn: dict[str, Look],
    style: Style,
) -> None:
    """Draw one cut: bars of intervals side by side, open marks where a class is not resolved."""
    dimension, _ = class_of(found, cut)
    filled = np.isfinite(found[variable].transpose(dimension, ...).values).reshape(found.sizes[dimension], -1)
    found = found.isel({dimension: np.flatnonzero(filled.any(axis=1))})
    _, labels = class_of(found, cut)
    chosen = {"comparison": comparison, "population": "all", "threshold": 0.1}
    places = np.arange(len(labels), dtype=float)
    _floor(ax, found, variable, chosen, len(labels), style)
    known = set(found["source"].values.astype(str))
    for number, (name, look) in enumerate(drawn.items()):
        if name not in known:
            continue
        curve = _curve(found, variable, source=name, **chosen)
        moved = places + (number - (len(drawn) - 1) / 2) * 0.13
        settled = np.isfinite(curve.value) & _resolved(found, comparison, name, dimension)
        ax.plot(moved, curve.value, color=look.colour, linewidth=0.7, alpha=0.45, zorder=2)
        for chosen_ones, face in ((settled, look.colour), (~settled, ax.get_facecolor())):
            if not (chosen_ones & np.isfinite(curve.value)).any():
                continue
            held = [part[chosen_ones] for part in curve]
            mark = {**look.mark(4), "markerfacecolor": face}
            bars: dict[str, Any] = {"elinewidth": 1.1, "linestyle": "none", "zorder": 4, **mark}
            drawn_bars = ax.errorbar(moved[chosen_ones], held[0], yerr=arms(*held)[:, :], color=look.colour, **bars)
            if chosen_ones is not settled:
                for bar in drawn_bars.lines[2]:
                    bar.set_alpha(0.45)
    if variable == "relative_bias":
        ax.axhline(0, color=inks(style).muted, linewidth=0.6, zorder=1)
    crowded = sum(map(len, labels)) > 26
    step = -(-len(labels) // 8)
    ax.set_xticks(places[::step], labels[::step])
    if crowded and step == 1:
        ax.tick_params(axis="x", rotation=30)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.set_xlabel(CUTS.get(cut, cut.replace("_", " ")))
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)


def _curve(found: xr.Dataset, variable: str, **chosen: Any) -> Series:
    """Values and intervals as they are drawn: the bias in percent."""
    curve = series(found, variable, **chosen)
    return Series(*(100 * part for part in curve)) if variable == "relative_bias" else curve


def _floor(ax: Axes, found: xr.Dataset, variable: str, chosen: dict[str, Any], count: int, style: Style) -> None:
    """Draw the sampling floor of all microwave cells as a grey step in each class, behind the marks."""
    if "floor" not in found["comparison"].values.astype(str):
        return
    source = "microwave" if "microwave" in found["source"].values.astype(str) else str(found["source"].values[0])
    floor = _curve(found, variable, **(chosen | {"source": source, "comparison": "floor"}))
    for place in range(count):
        low, value, high = (float(part[place]) for part in (floor.low, floor.value, floor.high))
        if not np.isfinite(value):
            continue
        wide = [place - 0.42, place + 0.42]
        if np.isfinite([low, high]).all():
            ax.fill_between(wide, low, high, color=inks(style).muted, alpha=0.16, linewidth=0, zorder=0)
        ax.plot(wide, [value, value], color=inks(style).muted, linewidth=1.2, zorder=1)


def _resolved(found: xr.Dataset, comparison: str, source: str, dimension: str) -> NDArray[np.bool_]:
    """Whether each class is resolved; all are where nothing is said."""
    if "resolved" not in found:
        return np.ones(found.sizes[dimension], dtype=bool)
    held: NDArray[np.bool_] = found["resolved"].sel(comparison=comparison, source=source).values.astype(bool)
    return held


def _legend(figure: Figure, drawn: dict[str, Look], style: Style) -> None:
    """Name the families and the floor above the panels."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label=name, color=look.colour, linestyle="none", **look.mark(5)) for name, look in drawn.items()
    ]
    handles.append(Line2D([], [], label="sampling floor", color=inks(style).muted, linewidth=2))
    open_mark: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5}
    ink = truth_ink(style)
    handles.append(Line2D([], [], label="open: not resolved", color=ink, markerfacecolor="none", **open_mark))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=6, frameon=False, borderaxespad=0.0, handlelength=1.4
    )
