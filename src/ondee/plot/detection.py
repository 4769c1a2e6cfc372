"""Figures of events: the performance diagram, the ROC, and the fractions skill score by scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.plot.labels import legend_above, name_beside, name_near
from ondee.plot.series import (
    Scores,
    Sheet,
    arms,
    chosen_thresholds,
    drawable,
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

__all__ = ["draw_fractions", "draw_performance", "draw_roc"]

_CROSS: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.3}
"""Intervals of marks on a curve stand back behind it."""
_BIASES = (0.25, 0.5, 1.0, 2.0, 4.0)


def draw_performance(
    scores: Scores,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the performance diagram of Roebber 2009 (Weather and Forecasting 24, 601): one curve an estimate.

    Detection against success ratio, with lines of equal critical success index and equal frequency bias. Each mark is
    a threshold of rain, the crosses are intervals. An estimate that is another quantity than rain has one curve along
    its own thresholds for the lowest threshold of the truth.

    Parameters
    ----------
    scores
        Holds ``event``.
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
    event = stated(scores, "event", "probability_of_detection", "success_ratio")
    with sheet(scores, 110, 107, path, style, force) as page:
        ax = page.figure.add_subplot()
        unit_square(ax)
        names = shown(event, "success_ratio", page.looks)
        legend_above(page, names, marks=True)
        units = spelled(str(event["threshold"].attrs.get("units", "mm h-1")))
        _performance_ground(ax, inks(style).muted, "" if "estimate_threshold" in event.dims else f" ({units})")
        labels: list[tuple[float, float, str, str]] = []
        places: list[tuple[float, float]] = []
        for name in names:
            _performance_curve(ax, page, event, name, labels, places)
        ax.set_xlabel("success ratio (1 − false alarm ratio)")
        ax.set_ylabel("probability of detection")
        name_near(ax, labels, places, distance=5.0, size=0.78, once=True)
    return page.figure


def _performance_ground(ax: Axes, muted: str, units: str) -> None:
    """Draw lines of equal critical success index and rays of equal frequency bias."""
    import matplotlib as mpl

    success, detection = np.meshgrid(np.linspace(0.005, 1, 200), np.linspace(0.005, 1, 200))
    index = 1 / (1 / success + 1 / detection - 1)
    lines = ax.contour(
        success, detection, index, levels=np.arange(0.1, 0.95, 0.1), colors=muted, linewidths=0.5, alpha=0.55
    )
    ax.clabel(lines, fmt="%.1f", fontsize="x-small", manual=_index_spots(), inline_spacing=1)
    for bias in _BIASES:
        ax.plot([0, min(1, 1 / bias)], [0, min(1, bias)], color=muted, linewidth=0.5, linestyle=(0, (2, 2)), alpha=0.7)
        beyond: dict[str, Any] = {"fontsize": "x-small", "color": muted, "annotation_clip": False}
        text = "bias 1" if bias == 1 else f"{bias:g}"
        side = ((0, 2), "center", "bottom") if bias > 1 else ((3, 0), "left", "center")
        if bias == 1:
            side = ((2, 1), "left", "bottom")
        ax.annotate(
            text,
            (min(1, 1 / bias), min(1, bias)),
            xytext=side[0],
            textcoords="offset points",
            ha=side[1],
            va=side[2],
            **beyond,
        )
    told = f"marks: thresholds{units}  ·  curves: critical success index  ·  rays: frequency bias"
    ax.annotate(
        told,
        (0, 0),
        xycoords="axes fraction",
        xytext=(0, -4.2 * mpl.rcParams["font.size"]),
        textcoords="offset points",
        fontsize="x-small",
        color=muted,
        annotation_clip=False,
    )


def _index_spots() -> list[tuple[float, float]]:
    """Where the lines of equal critical success index carry their number: left of most curves."""
    spots = []
    for index in np.arange(0.1, 0.95, 0.1):
        detection = min(2.2 * (1 + 1 / 2.2) / (1 / index + 1), 0.96)
        spots.append((1 / (1 / index + 1 - 1 / detection), detection))
    return spots


def _performance_curve(
    ax: Axes,
    page: Sheet,
    event: xr.Dataset,
    name: str,
    labels: list[tuple[float, float, str, str]],
    places: list[tuple[float, float]],
) -> None:
    """Draw one estimate across its thresholds."""
    x, y = (series(event, wanted, estimate=name) for wanted in ("success_ratio", "probability_of_detection"))
    levels = event["threshold"].values.astype(float)
    units, prefix = "", ""
    if x.value.ndim == 2:
        row = int(np.argmax(np.isfinite(x.value).any(axis=1)))
        x, y = (type(one)(*(np.broadcast_to(values, x.value.shape)[row] for values in one)) for one in (x, y))
        levels = event["estimate_threshold"].values.astype(float)
        units, prefix = str(event["estimate_threshold"].attrs.get("units", "1")).replace("1", ""), "≥ "
    held = np.isfinite(x.value) & np.isfinite(y.value)
    if not held.any():
        return
    look = page.looks[name]
    bars: dict[str, Any] = {"color": look.colour, **_CROSS, "zorder": 2}
    ax.hlines(y.value[held], x.low[held], x.high[held], **bars)
    ax.vlines(x.value[held], y.low[held], y.high[held], **bars)
    ax.plot(x.value[held], y.value[held], **look.line(), **look.mark(4.5 * page.scale), linewidth=1.2, zorder=4)
    ends = sorted({int(np.flatnonzero(held)[0]), int(np.flatnonzero(held)[-1])})
    for index in ends:
        words = f"{prefix}{levels[index]:g} {units}".strip()
        labels.append((float(x.value[index]), float(y.value[index]), words, look.colour))
    along = np.linspace(0, held.sum() - 1, 5 * int(held.sum()))
    for one in zip(*(np.interp(along, np.arange(held.sum()), e.value[held]) for e in (x, y)), strict=True):
        places.append((float(one[0]), float(one[1])))


def draw_roc(
    scores: Scores,
    path: str | Path | None = None,
    *,
    threshold: float | None = None,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the relative operating characteristic: detection against false detection as the probability limit falls.

    Parameters
    ----------
    scores
        Holds ``probability``; single marks of ``event`` stand beside it where they are there.
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
    found = stated(scores, "probability", "roc_detection", "roc_false_detection")
    level = lowest(found, "roc_detection") if threshold is None else threshold
    with sheet(scores, 110, 107, path, style, force) as page:
        ax = page.figure.add_subplot()
        unit_square(ax)
        curved = shown(found, "roc_detection", page.looks)
        single = _single_marks(scores, curved, list(page.looks))
        legend_above(page, [*curved, *single], marks=True, unlined=single)
        muted = inks(style).muted
        ax.plot([0, 1], [0, 1], color=muted, linewidth=0.7)
        ax.text(0.5, 0.485, "no skill", color=muted, fontsize="small", rotation=45, rotation_mode="anchor", va="top")
        areas = []
        for name in curved:
            _roc_curve(ax, page, found, name, level)
            if "roc_area" in found:
                areas.append((name, series(found, "roc_area", estimate=name, threshold=level)))
        for name in single:
            _roc_mark(ax, page, scores["event"], name, level)
        for row, (name, area) in enumerate(reversed(areas)):
            words = f"area {float(area.value):.3f}" + (
                f" [{float(area.low):.3f}, {float(area.high):.3f}]" if np.isfinite(area.low) else ""
            )
            ax.text(0.98, 0.03 + 0.055 * row, words, color=page.looks[name].colour, ha="right", fontsize="small")
        units = spelled(str(found["threshold"].attrs.get("units", "mm h-1")))
        ax.set_xlabel("probability of false detection")
        ax.set_ylabel("probability of detection")
        ax.set_title(f"Rain of at least {level:g} {units}")
    return page.figure


def _single_marks(scores: Scores, curved: list[str], names: list[str]) -> list[str]:
    """Estimates without probabilities that the ROC shows as one mark."""
    if not drawable(scores, "event", "probability_of_detection", "false_detection_rate"):
        return []
    event = scores["event"]
    held = [name for name in shown(event, "false_detection_rate", names) if name not in curved]
    return [name for name in held if series(event, "false_detection_rate", estimate=name).value.ndim == 1]


def _roc_curve(ax: Axes, page: Sheet, found: xr.Dataset, name: str, level: float) -> None:
    """Draw one curve from (0, 0) to (1, 1) with crosses of its intervals."""
    x, y = (series(found, v, estimate=name, threshold=level) for v in ("roc_false_detection", "roc_detection"))
    held = np.isfinite(x.value) & np.isfinite(y.value)
    order = np.lexsort((y.value[held], x.value[held]))
    across, up = (np.concatenate([[0.0], one.value[held][order], [1.0]]) for one in (x, y))
    look = page.looks[name]
    ax.plot(across, up, **look.line(), zorder=3)
    if held.sum() <= 30:
        ax.vlines(x.value[held], y.low[held], y.high[held], color=look.colour, **_CROSS)
        ax.hlines(y.value[held], x.low[held], x.high[held], color=look.colour, **_CROSS)
    ax.plot(x.value[held], y.value[held], linestyle="none", **look.mark(3.0 * page.scale), zorder=4)


def _roc_mark(ax: Axes, page: Sheet, event: xr.Dataset, name: str, level: float) -> None:
    """Mark an estimate that says yes or no."""
    x, y = (
        series(event, v, estimate=name, threshold=level) for v in ("false_detection_rate", "probability_of_detection")
    )
    look = page.looks[name]
    ax.errorbar(
        x.value,
        y.value,
        xerr=arms(x.value, x.low, x.high),
        yerr=arms(y.value, y.low, y.high),
        color=look.colour,
        linestyle="none",
        elinewidth=0.9,
        **look.mark(5.5 * page.scale),
        zorder=5,
    )


def draw_fractions(
    scores: Scores,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the fractions skill score by the size of the window, one panel for each of three thresholds.

    The dashed line is the score from which a forecast counts as useful, 0.5 + half the base rate (Roberts and Lean
    2008). Bands are intervals.

    Parameters
    ----------
    scores
        Holds ``fractions``.
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
    found = stated(scores, "fractions", "fractions_skill_score")
    levels = chosen_thresholds(found, "fractions_skill_score")
    pixel = float(found.attrs.get("pixel", -1.0))
    with sheet(scores, max(95, 56 * len(levels) + 12), 78, path, style, force) as page:
        panels = np.atleast_1d(page.figure.subplots(1, len(levels), sharey=True))
        names = shown(found, "fractions_skill_score", page.looks)
        legend_above(page, names, marks=True)
        for ax, level in zip(panels, levels, strict=True):
            _fractions_panel(ax, page, found, names, level, pixel)
        panels[0].set_ylabel("fractions skill score")
        panels[0].set_ylim(0, 1)
        _name_useful(panels, page, found, levels)
    return page.figure


def _fractions_panel(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str], level: float, pixel: float) -> None:
    """Draw the curves of one threshold."""
    size = found["scale"].values.astype(float) * (pixel if pixel > 0 else 1.0)
    band = 0.10 if len(names) > 2 else 0.15
    for name in names:
        score = series(found, "fractions_skill_score", estimate=name, threshold=level)
        look = page.looks[name]
        ax.fill_between(size, score.low, score.high, color=look.colour, alpha=band, linewidth=0)
        ax.plot(size, score.value, **look.line(), **look.mark(3.5 * page.scale), linewidth=1.3)
    plain_decades(ax, "x", (1, 2, 5))
    ax.set_xticks(size, [f"{value:.3g}" for value in size])
    ax.set_xlim(size[0] / 1.08, size[-1] * 1.08)
    units = spelled(str(found["threshold"].attrs.get("units", "mm h-1")))
    ax.set_title(f"≥ {level:g} {units}")
    ax.set_xlabel("window (km)" if pixel > 0 else "window (pixels)")
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)


def _name_useful(panels: NDArray[Any], page: Sheet, found: xr.Dataset, levels: list[float]) -> None:
    """Draw the score from which a forecast is useful, and say so beside the last panel."""
    if "useful_fractions_skill" not in found:
        return
    muted = inks(page.style).muted
    for ax, level in zip(panels, levels, strict=True):
        one = found["useful_fractions_skill"].sel(threshold=level, method="nearest")
        one = one.isel(stratum=0) if "stratum" in one.dims else one
        held = one.values[np.isfinite(one.values)]
        if held.size:
            useful = float(np.median(held))
            ax.axhline(useful, color=muted, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
            if ax is panels[-1]:
                name_beside(ax, [(useful, "useful", muted)])
