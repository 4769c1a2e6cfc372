"""The figure of the replicate test: members against the truth beside members against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ondee.plot.labels import legend_above
from ondee.plot.series import (
    Scores,
    Sheet,
    drawable,
    held_thresholds,
    plain_decades,
    quantity,
    series,
    sheet,
    shown,
    stated,
)
from ondee.plot.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_replicate"]

_DASHED = (0, (4, 2))
_PAIRS: tuple[tuple[str, str, Any], ...] = (
    ("truth", "member with truth", "solid"),
    ("member", "member with member", _DASHED),
)
"""Partner of a member, what the pair is called, and its line."""
_SCORES = {
    "replicate_critical_success_index": "critical success index",
    "replicate_fractions_skill_score": "fractions skill score",
}


def draw_replicate(
    scores: Scores,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the replicate test: how well members meet the truth beside how well they meet each other, by threshold.

    Where both curves of an ensemble agree the truth could be one of its members. A dashed curve above the solid one
    tells of members too much alike, one below of members that scatter more than the truth.

    Parameters
    ----------
    scores
        Holds ``replicate``.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the scores are absent, or the figure cannot be written.
    """
    found = stated(scores, "replicate", "replicate_critical_success_index")
    variables = [name for name in _SCORES if drawable(scores, "replicate", name)]
    with sheet(scores, max(95, 80 * len(variables)), 84, path, style, force) as page:
        panels: Any = page.figure.subplots(1, len(variables), squeeze=False)[0]
        names = shown(found, variables[0], page.looks)
        legend_above(page, names, marks=True, unlined=names, lines=[(words, dashes) for _, words, dashes in _PAIRS])
        for ax, variable in zip(panels, variables, strict=True):
            for name in names:
                _pair_curves(ax, page, found, variable, name, pale=len(names) > 2)
            _replicate_ground(ax, found, variable)
    return page.figure


def _pair_curves(ax: Axes, page: Sheet, found: xr.Dataset, variable: str, name: str, *, pale: bool) -> None:
    """Draw both curves of one ensemble with their bands; only that of the truth has marks."""
    levels = found["threshold"].values.astype(float)
    look = page.looks[name]
    for partner, _, dashes in _PAIRS:
        score = series(found, variable, estimate=name, against=partner)
        held = np.isfinite(score.value)
        marks = look.mark(3.5 * page.scale) if partner == "truth" else {}
        ax.fill_between(levels, score.low, score.high, color=look.colour, alpha=0.09 if pale else 0.14, linewidth=0)
        if partner == "member":  # its band lies on that of the truth: thin edges tell it
            for end in (score.low, score.high):
                ax.plot(levels, end, color=look.colour, linestyle=dashes, linewidth=0.5, alpha=0.6, zorder=2)
        ax.plot(levels[held], score.value[held], color=look.colour, linestyle=dashes, linewidth=1.3, zorder=3, **marks)


def _replicate_ground(ax: Axes, found: xr.Dataset, variable: str) -> None:
    """Thresholds on decades, scores from 0 with room above."""
    levels = held_thresholds(found[variable])
    if levels[0] > 0:
        plain_decades(ax, "x")
        ax.set_xlim(levels[0] / 1.15, levels[-1] * 1.15)
    ax.set_xticks(levels, [f"{level:g}" for level in levels])
    ax.set_ylim(0, min(1.0, max(0.1, 1.08 * float(np.nan_to_num(ax.dataLim.y1)))))
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)
    ax.set_xlabel(quantity(found["threshold"], "threshold"))
    words = _SCORES[variable]
    scale = float(found.attrs.get("scale", -1.0))
    if "fractions" in variable and scale > 0:
        pixel = float(found.attrs.get("pixel", -1.0))
        window = f"{scale * pixel:.3g} km" if pixel > 0 else f"{scale:g} pixels"
        words += f", window of {window}" if scale > 1 else ""
    ax.set_ylabel(words)
