"""Figures of ensembles and probabilities: reliability, ranks, spread and skill."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ondee.plot.labels import legend_above
from ondee.plot.series import (
    Scores,
    Sheet,
    arms,
    lowest,
    plain_decades,
    series,
    sheet,
    shown,
    stated,
    unit_square,
)
from ondee.plot.style import Style, inks, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_ranks", "draw_reliability", "draw_spread_skill"]

_COLUMNS = 4
"""Most panels side by side."""
_FEW = 20
"""Most probabilities whose shares are single marks: between the few values of an ensemble there is none."""


def draw_reliability(
    scores: Scores,
    path: str | Path | None = None,
    *,
    threshold: float | None = None,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw how often it rains where a probability is given, with the share of each probability below.

    A reliable forecast lies on the diagonal. The level line is the base rate (no resolution); above the dashed line,
    half way between the two, a forecast beats the base rate in the Brier score.

    Parameters
    ----------
    scores
        Holds ``probability``.
    path
        Where to save the figure; not saved where None.
    threshold
        Threshold of rain, in the unit of the truth; the lowest that is defined where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the scores are absent, or the figure cannot be written.
    """
    found = stated(scores, "probability", "observed_frequency", "forecast_probability", "class_share")
    level = lowest(found, "observed_frequency") if threshold is None else threshold
    with sheet(scores, 110, 134, path, style, force) as page:
        ax, shares = page.figure.subplots(2, 1, height_ratios=(4, 1))
        unit_square(ax)
        names = shown(found.sel(threshold=[level], method="nearest"), "observed_frequency", page.looks)
        legend_above(page, names, marks=True)
        _reliability_ground(ax, page, found, names, level)
        for name in names:
            _reliability_curve(ax, shares, page, found, name, level)
        shares.set_yscale("log")
        shares.set_ylim(bottom=max(1e-6, shares.get_ylim()[0]), top=1)
        shares.set_xlim(0, 1)
        shares.set_box_aspect(0.25)
        shares.set_ylabel("share of\npixels")
        shares.set_xlabel("probability given")
        units = spelled(str(found["threshold"].attrs.get("units", "mm h-1")))
        ax.set_title(f"Rain of at least {level:g} {units}")
        ax.set_ylabel("frequency observed")
    return page.figure


def _reliability_ground(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str], level: float) -> None:
    """Draw the diagonal, the base rate and the line of no skill."""
    muted = inks(page.style).muted
    ax.plot([0, 1], [0, 1], color=muted, linewidth=0.8, zorder=1)
    rates = [_base_rate(found, name, level) for name in names]
    if not rates or not np.isfinite(rates).any():
        return
    rate = float(np.nanmedian(rates))
    ax.axhline(rate, color=muted, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
    ax.plot([0, 1], [rate / 2, (1 + rate) / 2], color=muted, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    ax.fill_between([rate, 1], [rate, (1 + rate) / 2], [1, 1], color=muted, alpha=0.07, linewidth=0, zorder=0)
    ax.fill_between([0, rate], [0, 0], [rate / 2, rate], color=muted, alpha=0.07, linewidth=0, zorder=0)
    ax.text(0.99, rate + 0.008, "base rate", color=muted, fontsize="x-small", ha="right", va="bottom")
    angle = float(np.degrees(np.arctan(0.5)))
    ax.text(0.86, (0.86 + rate) / 2 - 0.01, "no skill", color=muted, fontsize="x-small", rotation=angle, va="top").set(
        rotation_mode="anchor"
    )


def _base_rate(found: xr.Dataset, name: str, level: float) -> float:
    """How often it rains, from the observed frequency of every class and its share."""
    observed = series(found, "observed_frequency", estimate=name, threshold=level).value
    share = series(found, "class_share", estimate=name, threshold=level).value
    held = np.isfinite(observed) & np.isfinite(share) & (share > 0)
    return float((observed[held] * share[held]).sum() / share[held].sum()) if held.any() else float("nan")


def _reliability_curve(ax: Axes, shares: Axes, page: Sheet, found: xr.Dataset, name: str, level: float) -> None:
    """Draw one estimate and the share of its probabilities."""
    x = series(found, "forecast_probability", estimate=name, threshold=level).value
    y = series(found, "observed_frequency", estimate=name, threshold=level)
    share = series(found, "class_share", estimate=name, threshold=level).value
    held = np.isfinite(x) & np.isfinite(y.value)
    look = page.looks[name]
    ax.fill_between(x[held], y.low[held], y.high[held], color=look.colour, alpha=0.18, linewidth=0)
    ax.plot(x[held], y.value[held], **look.line(), **look.mark(3.5 * page.scale), linewidth=1.3, zorder=3)
    some = held & (share > 0)
    if some.sum() > _FEW:
        shares.plot(x[some], share[some], **look.line(), linewidth=1.0)
    else:
        marks = look.mark(4.0 * page.scale)
        shares.plot(x[some], share[some], linestyle="none", **marks, clip_on=False, zorder=3)


def draw_ranks(
    scores: Scores,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the rank of the truth among the members: one panel an ensemble, 1 where every rank is as frequent.

    Bars are pixels where it rains in truth or in a member, the line is all pixels, where ties of dry members are
    broken by lot. High ends mean too little spread, a slope means bias.

    Parameters
    ----------
    scores
        Holds ``ranks``.
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
    found = stated(scores, "ranks", "rank_frequency")
    names = shown(found, "rank_frequency", [str(name) for name in found["estimate"].values])
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    width = max(90, 52 * columns)
    with sheet(scores, width, 16 + 52 * rows, path, style, force) as page:
        panels = page.figure.subplots(rows, columns, sharey=True, squeeze=False)
        for ax in panels.ravel()[len(names) :]:
            ax.set_visible(False)
        for number, (ax, name) in enumerate(zip(panels.ravel(), names, strict=False)):
            _rank_panel(ax, page, found, name, legend=number == 0)
        for ax in panels[:, 0]:
            ax.set_ylabel("frequency × number of ranks")
        top = max(2.0, 1.08 * max(float(ax.dataLim.y1) for ax in panels.ravel()[: len(names)]))
        panels[0, 0].set_ylim(0, top)
    return page.figure


def _rank_panel(ax: Axes, page: Sheet, found: xr.Dataset, name: str, *, legend: bool) -> None:
    """Draw the ranks of one ensemble: the last population as bars, the first as a line."""
    populations = [str(p) for p in found["population"].values] if "population" in found.dims else ["all"]
    words = {"all": "all pixels", "wet": "pixels with rain"}
    bars = series(found, "rank_frequency", estimate=name, population=populations[-1])
    held = np.isfinite(bars.value)
    ranks, count = np.flatnonzero(held), int(held.sum())
    look = page.looks[name]
    first, last = populations[0], populations[-1]
    ax.bar(ranks, bars.value[held] * count, width=0.86, color=look.colour, alpha=0.75, label=words.get(last, last))
    ax.errorbar(
        ranks,
        bars.value[held] * count,
        yerr=arms(bars.value[held], bars.low[held], bars.high[held]) * count,
        linestyle="none",
        color=inks(page.style).muted,
        elinewidth=0.8,
    )
    if len(populations) > 1:
        line = series(found, "rank_frequency", estimate=name, population=first).value[held] * count
        edges = np.concatenate([ranks - 0.5, [ranks[-1] + 0.5]])
        ax.stairs(
            line, edges, color=inks(page.style).contrast, linewidth=1.0, baseline=None, label=words.get(first, first)
        )
    ax.axhline(1, color=inks(page.style).muted, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_title(textwrap.fill(name, 24), fontsize="medium")
    ax.set_xlabel(f"rank among {count - 1} members")
    ax.set_xlim(-0.6, count - 0.4)
    ax.set_xticks(sorted({0, (count - 1) // 2, count - 1}))
    if legend and len(populations) > 1:
        ax.legend(frameon=False, loc="upper center", handlelength=1.4)


def draw_spread_skill(
    scores: Scores,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the error of the ensemble mean against the spread of the ensemble, in classes of spread.

    On the diagonal an ensemble knows how wrong it is; above it the ensemble is too sure of itself. With few members
    the ends of an honest curve turn flatter than the diagonal, for the sampled spread regresses to its mean.

    Parameters
    ----------
    scores
        Holds ``spread``.
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
    found = stated(scores, "spread", "rmse_by_class", "spread_by_class")
    with sheet(scores, 110, 107, path, style, force) as page:
        ax = page.figure.add_subplot()
        names = shown(found, "rmse_by_class", page.looks)
        legend_above(page, names, marks=True)
        for row, name in enumerate(reversed(names)):
            _spread_curve(ax, page, found, name, row)
        drawn = bool(np.isfinite([ax.dataLim.min, ax.dataLim.max]).all())  # nothing is of an ensemble that never rains
        top = float(np.max(ax.dataLim.max)) * 1.05 if drawn else 1.0
        low = float(np.min(ax.dataLim.min)) / 1.2 if drawn else 0.0
        decades = low > 0 and top / low > 30
        if decades:
            steps = (1, 2, 5) if top / low < 500 else (1,)
            plain_decades(ax, "x", steps)
            plain_decades(ax, "y", steps)
            top *= 1.2
        ax.set_xlim(low if decades else 0, top)
        ax.set_ylim(low if decades else 0, top)
        ax.set_aspect("equal")
        ends = [low if decades else 0.0, top]
        ax.plot(ends, ends, color=inks(style).muted, linewidth=0.8, zorder=1)
        ax.grid(linewidth=0.4, alpha=0.3)
        units = spelled(str(found["spread_by_class"].attrs.get("units", "mm h-1")))
        ax.set_xlabel(f"spread of the ensemble ({units})")
        ax.set_ylabel(f"error of its mean ({units})")
    return page.figure


def _spread_curve(ax: Axes, page: Sheet, found: xr.Dataset, name: str, row: int) -> None:
    """Draw one ensemble and write its ratio of spread to error."""
    x = series(found, "spread_by_class", estimate=name).value
    y = series(found, "rmse_by_class", estimate=name)
    held = np.isfinite(x) & np.isfinite(y.value) & (x > 0) & (y.value > 0)
    look = page.looks[name]
    ax.fill_between(x[held], y.low[held], y.high[held], color=look.colour, alpha=0.18, linewidth=0)
    ax.plot(x[held], y.value[held], **look.line(), **look.mark(3.5 * page.scale), linewidth=1.3, zorder=3)
    if "spread_skill_ratio" in found:
        ratio = series(found, "spread_skill_ratio", estimate=name)
        interval = f" [{float(ratio.low):.2f}, {float(ratio.high):.2f}]" if np.isfinite(ratio.low) else ""
        ax.text(
            0.98,
            0.03 + 0.055 * row,
            f"spread / error {float(ratio.value):.2f}{interval}",
            transform=ax.transAxes,
            color=look.colour,
            ha="right",
            fontsize="small",
        )
