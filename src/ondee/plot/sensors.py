"""The faults of all sensors at a glance: gain, place and clock with their intervals and the tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ondee.errors import ConfigError
from ondee.plot.findings import KINDS, REFERENCES, Finding, Result, findings, in_order, ink_of
from ondee.plot.palette import truth_ink
from ondee.plot.series import arms
from ondee.plot.style import Style, enlarged, inks, new_figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_faults"]

_VERDICTS = (
    ("found", "fault: beyond the tolerance"),
    ("clear", "clear: narrow, reaches the tolerance"),
    ("not resolved", "not resolved"),
)


def draw_faults(
    result: Result,
    path: str | Path | None = None,
    *,
    planted: Mapping[tuple[str, str], float] | None = None,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw gain, shift and clock of every sensor with their intervals; shaded is the tolerance.

    Large marks were estimated against the radar at the overpass, small ones against the half-hour mean.

    Parameters
    ----------
    result
        Groups of a validation; ``sensors`` is drawn.
    path
        Where to save the figure; not saved where None.
    planted
        True size of faults by sensor and kind: an arrow points at each.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If nothing of the sensors is known, or the figure cannot be written.
    """
    entries = {reference: findings(result, reference) for reference in REFERENCES}
    told = [entry for held in entries.values() for entry in held]
    sources = in_order({entry.source for entry in told})
    kinds = [kind for kind in KINDS if any(entry.kind == kind and np.isfinite(entry.value) for entry in told)]
    if not kinds:
        raise ConfigError("no fault of a sensor was estimated", where="sensors", fix="validate more half hours")
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(180 * scale, (9.5 * len(sources) + 30) * scale)
        panels: Any = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
        for ax, kind in zip(panels, kinds, strict=True):
            for reference, held in entries.items():
                _forest(ax, [entry for entry in held if entry.kind == kind], sources, reference == "mean", style)
            true = {source: size for (source, own), size in (planted or {}).items() if own == kind}
            _forest_ground(ax, [entry for entry in told if entry.kind == kind], sources, style, list(true.values()))
            _arrows(ax, true, sources, style)
        panels[0].set_yticks(range(len(sources)), sources)
        _verdict_legend(figure, style, any(entries["mean"]), bool(planted))
        figure.get_layout_engine().set(w_pad=0.05, wspace=0.03)  # type: ignore[union-attr, call-arg]
    if path is not None:
        save(figure, path, force=force)
    return figure


def _forest(ax: Axes, entries: list[Finding], sources: list[str], second: bool, style: Style) -> None:
    """Draw the intervals of one kind against one reference."""
    for entry in entries:
        if not np.isfinite(entry.value):
            continue
        colour = ink_of(entry.verdict, style)
        place = sources.index(entry.source) + (0.24 if second else -0.06)
        look: dict[str, Any] = {"marker": "o", "markersize": 3.0 if second else 5.5, "capsize": 0}
        look |= {"markerfacecolor": ax.get_facecolor() if second or entry.verdict == "not resolved" else colour}
        strong = entry.verdict == "found" and not second
        ax.errorbar(
            entry.value,
            place,
            xerr=arms(entry.value, entry.low, entry.high),
            color=colour,
            elinewidth=0.8 if second else 2.0 if strong else 1.3,
            alpha=0.75 if second else 1.0,
            zorder=3 if second else 4,
            **look,
        )


def _arrows(ax: Axes, true: Mapping[str, float], sources: list[str], style: Style) -> None:
    """Point from above at the true size of what was planted."""
    for source, size in true.items():
        if source in sources:
            look: dict[str, Any] = {"marker": "v", "markersize": 4.5, "markeredgewidth": 0, "linestyle": "none"}
            ax.plot(size, sources.index(source) - 0.36, color=truth_ink(style), zorder=5, **look)


def _forest_ground(ax: Axes, entries: list[Finding], sources: list[str], style: Style, more: list[float]) -> None:
    """Set the axis of one kind, its tolerance and the line of no fault."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    about = entries[0].about
    tolerance = next((entry.tolerance for entry in entries if np.isfinite(entry.tolerance)), float("nan"))
    muted = inks(style).muted
    ax.axvline(about.neutral, color=muted, linewidth=0.8, zorder=1)
    low, high = about.band(tolerance) if np.isfinite(tolerance) else (about.neutral, about.neutral)
    ax.axvspan(low, high, color=muted, alpha=0.16, linewidth=0, zorder=0)
    ends = [number for entry in entries for number in (entry.low, entry.value, entry.high) if np.isfinite(number)]
    ends += more
    if about.name == "bias":
        held = [number for number in (*ends, low, high) if number > 0]
        reach = max(1.3, 1.08 * max(max(held), 1 / min(held)))
        ax.set_xscale("log")
        ax.set_xlim(1 / reach, reach)
        steps = (
            (0.25, 0.5, 1.0, 2.0, 4.0)
            if reach > 2.2
            else (0.5, 0.7, 1.0, 1.4, 2.0)
            if reach > 1.6
            else (0.8, 1.0, 1.25)
        )
        ax.xaxis.set_major_locator(FixedLocator([*(0.01, 0.03, 0.1), *steps, *(10.0, 30.0, 100.0)]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        reach = 1.08 * max(abs(number) for number in (*ends, 2 * low, 2 * high, 0.1))
        ax.set_xlim(-reach, reach)
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], symmetric=True))
    ax.set_ylim(len(sources) - 0.45, -0.55)
    ax.set_xlabel(_AXES[about.name])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    for place in range(1, len(sources)):
        ax.axhline(place - 0.45, color=muted, linewidth=0.3, alpha=0.5, zorder=0)


_AXES = {
    "bias": "gain (×)\n← too little   too much →",
    "east": "shift east (cells)\n← west   east →",
    "north": "shift north (cells)\n← south   north →",
    "clock": "clock late (min)\n← early   late →",
}


def _verdict_legend(figure: Figure, style: Style, second: bool, planted: bool) -> None:
    """Name the colours above the panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ground = figure.get_facecolor()
    handles: list[Any] = []
    for verdict, words in _VERDICTS:
        colour = ink_of(verdict, style)
        face = ground if verdict == "not resolved" else colour
        handles.append(Line2D([], [], color=colour, marker="o", markersize=5, markerfacecolor=face, label=words))
    handles.append(Patch(color=inks(style).muted, alpha=0.2, linewidth=0, label="tolerance"))
    if second:
        look: dict[str, Any] = {"color": truth_ink(style), "linewidth": 0.8, "marker": "o", "markersize": 3}
        handles.append(Line2D([], [], markerfacecolor=ground, label="against the half-hour mean", **look))
    if planted:
        mark: dict[str, Any] = {"linestyle": "none", "marker": "v", "markersize": 4.5, "markeredgewidth": 0}
        handles.append(Line2D([], [], color=truth_ink(style), label="planted", **mark))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=3, frameon=False, borderaxespad=0.0, handlelength=1.8
    )
