"""The table of sensors by minute of their pass, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.plot.findings import Result, class_of, group, sources_of
from ondee.plot.palette import truth_ink
from ondee.plot.series import series
from ondee.plot.style import RAIN_COLOURS, UNOBSERVED, Style, enlarged, inks, new_figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DIVERGING", "GOOD", "HEAT", "Heat", "draw_minutes", "heat_of", "printed"]

DIVERGING = ("#7a3b05", "#b9691a", "#e3ab6b", "#f4e3cd", "#f7f7f5", "#d3e7ee", "#7fbad0", "#2c83a8", "#0b4a6b")
"""Too little rain is brown, too much is blue, as in most atlases of rain; equal lightness on both sides."""


class Heat(NamedTuple):
    """One panel of the table."""

    variable: str
    title: str
    limits: tuple[float, float]
    colours: tuple[str, ...]


GOOD = ("#ffffff", *RAIN_COLOURS[:6])
"""From nothing to much of what lies between 0 and 1."""
HEAT = (
    Heat("relative_bias", "relative bias (%)", (-0.8, 0.8), DIVERGING),
    Heat("correlation", "correlation", (0.0, 1.0), GOOD),
    Heat("probability_of_detection", "detected, ≥ 0.1 mm h⁻¹ (POD)", (0.0, 1.0), GOOD),
    Heat("false_alarm_ratio", "false alarms, ≥ 0.1 mm h⁻¹ (FAR)", (0.0, 1.0), GOOD),
)
"""Panels of the table, in their order."""


def printed(variable: str, value: float) -> str:
    """A value as the table prints it: a signed percentage for the bias, two digits for the rest.

    Examples
    --------
    >>> printed("relative_bias", -0.384), printed("correlation", 0.716), printed("correlation", float("nan"))
    ('−38', '.72', '–')
    """
    if not np.isfinite(value):
        return "–"
    if variable == "relative_bias":
        return f"{100 * value:+.0f}".replace("-", "−").replace("+0", "0").replace("−0", "0")
    return f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")


def heat_of(found: xr.Dataset, variable: str, comparison: str, sources: list[str], dimension: str) -> Any:
    """Values, intervals and whether each is resolved, ``(source, class)``.

    Parameters
    ----------
    found
        The group ``scores/<cut>``.
    variable
        Which score: all pixels, lowest threshold.
    comparison
        Reference.
    sources
        Rows.
    dimension
        Name of the classes.
    """
    chosen = {"comparison": comparison, "population": "all", "threshold": 0.1}
    rows = [series(found, variable, source=source, **chosen) for source in sources]
    value, low, high = (np.stack([row[part] for row in rows]) for part in range(3))
    settled = np.isfinite(value)
    if "resolved" in found:
        held = found["resolved"].sel(comparison=comparison, source=sources).transpose("source", dimension)
        settled &= held.values.astype(bool)
    return value, low, high, settled


def draw_minutes(
    result: Result,
    path: str | Path | None = None,
    *,
    cut: str = "minute",
    comparison: str = "overpass",
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the sensors against the minute of their pass: bias, correlation, detection and false alarms.

    The value stands in each cell; hatched grey is not resolved. The strip below is the sampling floor: the radar at
    the minute of the pass judged against the radar's half-hour mean.

    Parameters
    ----------
    result
        Groups of a validation; ``scores/<cut>`` is drawn.
    path
        Where to save the figure; not saved where None.
    cut
        The classes that are the columns.
    comparison
        Reference: ``overpass`` or ``mean``.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the group is absent or nothing in it is defined, or the figure cannot be written.
    """
    found = group(result, f"scores/{cut}")
    dimension, labels = class_of(found, cut)
    held = [heat for heat in HEAT if heat.variable in found]
    sources = _rows(found, held)
    if not sources:
        raise ConfigError("no sensor has a score by minute", where=f"scores/{cut}", fix="validate more half hours")
    with styled(style):
        scale = enlarged(style)
        tall = 6.0 * len(sources) + 6.0 + 17.0
        rows = -(-len(held) // 2)
        figure = new_figure(180 * scale, tall * rows * scale)
        panels: Any = figure.subplots(rows, min(2, len(held)), squeeze=False, sharey=True).ravel()
        for ax in panels[len(held) :]:
            ax.set_visible(False)
        for number, (ax, heat) in enumerate(zip(panels, held, strict=False)):
            _panel(ax, heat, found, comparison, sources, dimension, labels, style)
            if number + 2 >= len(held):
                ax.set_xlabel("minute of the pass in its half hour" if cut == "minute" else cut.replace("_", " "))
        _legend(figure, style)
        figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.04)  # type: ignore[union-attr, call-arg]
    if path is not None:
        save(figure, path, force=force)
    return figure


def _rows(found: xr.Dataset, held: list[Heat]) -> list[str]:
    """Sensors that have any value, then all microwave sensors together."""
    if not held:
        return []
    sensors = sources_of(found, held[0].variable, sensors=True)
    return [*sensors, *(["microwave"] if "microwave" in found["source"].values.astype(str) and sensors else [])]


def _panel(
    ax: Axes,
    heat: Heat,
    found: xr.Dataset,
    comparison: str,
    sources: list[str],
    dimension: str,
    labels: list[str],
    style: Style,
) -> None:
    """Draw one score: a row a sensor, and the floor as a strip below."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    value, _, _, settled = heat_of(found, heat.variable, comparison, sources, dimension)
    floor, *_, known = heat_of(found, heat.variable, "floor", [_floor_row(sources)], dimension)
    colours, norm = LinearSegmentedColormap.from_list("heat", list(heat.colours)), Normalize(*heat.limits)
    for row in range(len(sources)):
        for column in range(len(labels)):
            _cell(ax, (row, column), 1.0, heat, float(value[row, column]), bool(settled[row, column]), (colours, norm))
    strip = len(sources) + 0.25
    for column in range(len(labels)):
        _cell(ax, (strip, column), 0.8, heat, float(floor[0, column]), bool(known[0, column]), (colours, norm))
    ax.set_xlim(-0.02, len(labels) + 0.02)
    ax.set_ylim(len(sources) + 1.1, -0.02)
    ax.set_xticks(np.arange(len(labels)) + 0.5, labels)
    ax.set_yticks([*(np.arange(len(sources)) + 0.5), strip + 0.4], [*sources, "sampling floor"])
    for words in ax.get_yticklabels()[-1:]:
        words.set_color(inks(style).muted)
    ax.tick_params(length=0, pad=2)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_title(heat.title)


def _floor_row(sources: list[str]) -> str:
    """Whose floor is shown: that of all microwave sensors together where it is there."""
    return "microwave" if "microwave" in sources else sources[0]


def _cell(
    ax: Axes, place: tuple[float, int], tall: float, heat: Heat, value: float, settled: bool, look: tuple[Any, Any]
) -> None:
    """Draw one cell, its value on its colour."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    row, column = place
    box: dict[str, Any] = {"linewidth": 1.0, "edgecolor": ax.get_facecolor(), "zorder": 2}
    colour: Any = look[0](look[1](value)) if np.isfinite(value) else to_rgba(UNOBSERVED)
    if not settled:
        colour = tuple(_PALE * np.asarray(colour) + (1 - _PALE) * np.asarray(to_rgba(UNOBSERVED)))
        box |= {"hatch": "//////", "edgecolor": _HATCH, "linewidth": 0.0}
    ax.add_patch(Rectangle((column + 0.02, row + 0.03), 0.96, tall - 0.06, facecolor=colour, **box))
    if not np.isfinite(value):
        return
    ink = "#4a4a4a" if not settled else _ink_on(np.asarray(colour))
    words = ax.text(
        column + 0.5, row + tall / 2, printed(heat.variable, value), ha="center", va="center", color=ink, zorder=3
    )
    words.set_fontsize("small")
    if not settled:
        from matplotlib.patheffects import withStroke

        words.set_path_effects([withStroke(linewidth=2.0, foreground=colour)])


_HATCH = "#626973"
_PALE = 0.3
"""Share of its colour that a cell keeps which is not resolved: enough to see a pattern, too little to trust it."""


def _ink_on(colour: NDArray[np.float64]) -> str:
    """Black or white, whichever is read better on a colour."""
    return "#ffffff" if float(colour[:3] @ (0.299, 0.587, 0.114)) < 0.55 else "#1a1a1a"


def _legend(figure: Figure, style: Style) -> None:
    """Say what the hatching means."""
    from matplotlib.patches import Patch

    patch = Patch(facecolor=UNOBSERVED, hatch="//////", edgecolor=_HATCH, linewidth=0, label="not resolved")
    figure.legend(
        handles=[patch],
        loc="outside upper right",
        frameon=False,
        handlelength=1.4,
        borderaxespad=0.0,
        labelcolor=truth_ink(style),
    )
