"""Curves with their intervals: the figure of the sampling floor."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.plot.labels import name_beside
from ondee.plot.style import Inks, Style, enlarged, inks, new_figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cell_size", "draw_floor"]

_NEEDED = ("correlation", "normalised_rmse", "probability_of_detection", "false_alarm_ratio", "lag_correlation")


_APART = 3.0
"""Ratio of two errors from which they are drawn on a logarithmic scale."""
_End = tuple[float, str, str]
"""Last value of a curve, its words, its colour."""


@dataclass(frozen=True)
class _Curve:
    """One line of a panel: a variable with its selection, how it is drawn, and the words beside it."""

    name: str
    chosen: dict[str, Any]
    colour: str
    dashes: Any
    words: str


def draw_floor(
    floor: xr.Dataset,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the sampling floor: what a perfect sensor scores against the half-hour mean, by minute of its snapshot.

    Four panels: correlation, normalised error and detection against the minute, and the correlation of two snapshots
    against their distance in time. Bands are the intervals that the Dataset carries (``…_low``, ``…_high``).

    Parameters
    ----------
    floor
        From :func:`ondee.validation.floor.floor`.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If a variable of the floor is absent, or the figure cannot be written.
    """
    absent = [name for name in _NEEDED if name not in floor]
    if absent:
        raise ConfigError(
            f"the dataset has no {absent[0]}",
            where="ondee.plot.draw_floor",
            fix="draw the dataset that `ondee floor … --out floor.nc` wrote",
        )
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(180 * scale, 128 * scale)
        panels = figure.subplots(2, 2).ravel()
        colours = inks(style)
        _population_panel(panels[0], floor, colours, "correlation", "a  Correlation")
        _population_panel(panels[1], floor, colours, "normalised_rmse", "b  Error relative to the mean rain")
        _detection_panel(panels[2], floor, colours)
        _lag_panel(panels[3], floor, colours)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.06, h_pad=0.06, wspace=0.04, hspace=0.05)
        title, counts = _heading(floor)
        figure.suptitle(
            f"{title}\n{counts}" if counts else title, x=0.01, ha="left", fontsize="medium", color=colours.muted
        )
    if path is not None:
        save(figure, path, force=force)
    return figure


def _heading(floor: xr.Dataset) -> tuple[str, str]:
    """What was measured, and on how much."""
    attributes = floor.attrs
    counts = [f"cells of {cell_size(attributes['resolution'])}"] if "resolution" in attributes else []
    for name, words in (("half_hours", "half hours"), ("rainy_cells", "cells with rain"), ("blocks", "blocks")):
        if name in attributes:
            counts.append(f"{int(attributes[name]):,} {words}".replace(",", "\u202f"))
    title = f"Snapshots of {attributes.get('product', 'radar')} against the half-hour mean"
    if "period" in attributes:
        title = f"{title}, {str(attributes['period']).replace('T', ' ')} UTC"
    return textwrap.fill(title, 110), "  ·  ".join(counts)


def cell_size(resolution: str) -> str:
    """Write the size of a cell as a figure prints it.

    Examples
    --------
    >>> cell_size("0.1 degree"), cell_size("10000 m")
    ('0.1°', '10 km')
    """
    number, _, unit = str(resolution).partition(" ")
    return f"{number}°" if unit == "degree" else f"{float(number) / 1000:g} km" if unit == "m" else str(resolution)


def _populations(floor: xr.Dataset, colours: Inks, name: str) -> list[_Curve]:
    """Curves of a score for each population of cells it was computed over."""
    if "population" not in floor[name].dims:
        return [_Curve(name, {}, colours.accent, "solid", "")]
    looks = {"rain": (colours.accent, "solid", "cells with rain"), "all": (colours.muted, (0, (4, 2)), "all cells")}
    return [
        _Curve(
            name, {"population": population}, *looks.get(str(population), (colours.muted, "dotted", str(population)))
        )
        for population in floor["population"].values
    ]


def _population_panel(ax: Axes, floor: xr.Dataset, colours: Inks, name: str, title: str) -> None:
    """Draw correlation or error against the minute of the snapshot."""
    ends = _draw(ax, floor, "minute", _populations(floor, colours, name))
    _minute_axis(ax, title)
    if name == "correlation":
        _unit_axis(ax)
    elif max(value for value, _, _ in ends) > _APART * min(value for value, _, _ in ends) > 0:
        _logarithmic_axis(ax)
    else:
        ax.set_ylim(bottom=0)
    name_beside(ax, [end for end in ends if end[1]])


def _logarithmic_axis(ax: Axes) -> None:
    """Give each decade the same height, with plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.set_yscale("log")
    low, high = float(ax.dataLim.y0), float(ax.dataLim.y1)
    ax.set_ylim(low / 1.3, high * 1.1)
    ax.yaxis.set_major_locator(FixedLocator([level * 10.0**power for power in range(-3, 4) for level in (1, 2, 5)]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _detection_panel(ax: Axes, floor: xr.Dataset, colours: Inks) -> None:
    """Draw detection and false alarms against the minute, for each threshold."""
    curves = []
    for threshold, dashes in zip(floor["threshold"].values, ("solid", (0, (4, 2)), "dotted"), strict=False):
        for name, colour, words in (
            ("probability_of_detection", colours.accent, "detected"),
            ("false_alarm_ratio", colours.contrast, "false"),
        ):
            text = f"{words}, {float(threshold):g}"
            curves.append(_Curve(name, {"threshold": threshold}, colour, dashes, text))
    ends = _draw(ax, floor, "minute", curves)
    bounds = " and ".join(f"{float(threshold):g}" for threshold in floor["threshold"].values)
    _minute_axis(ax, f"c  Detections, false alarms ({bounds} mm h⁻¹)")
    _unit_axis(ax)
    name_beside(ax, [end for end in ends if end[1]])


def _lag_panel(ax: Axes, floor: xr.Dataset, colours: Inks) -> None:
    """Draw the correlation of two snapshots against the time between them."""
    ends = _draw(ax, floor, "lag", _populations(floor, colours, "lag_correlation"))
    ax.set_title("d  Correlation of two snapshots")
    ax.set_xlabel("time between them (min)")
    last = float(floor["lag"].max())
    ax.set_xticks(np.arange(0, last + 1, 10 if last <= 70 else 30))
    ax.set_xlim(0, last)
    _unit_axis(ax)
    name_beside(ax, [end for end in ends if end[1]])


def _draw(ax: Axes, floor: xr.Dataset, dimension: str, curves: list[_Curve]) -> list[_End]:
    """Draw curves with their bands; give the end of each."""
    ends: list[_End] = []
    x = floor[dimension].values.astype(float)
    steps = dimension == "minute"  # a frame holds for all the minutes that it spans
    for curve in curves:
        y, low, high = (
            floor[name].sel(curve.chosen).values.astype(float) if name in floor else np.full(x.size, np.nan)
            for name in (curve.name, f"{curve.name}_low", f"{curve.name}_high")
        )
        if not np.isfinite(y).any():
            continue
        at = np.append(x, x[-1] + 1) if steps else x
        y, low, high = (np.append(values, values[-1]) if steps else values for values in (y, low, high))
        look = {"color": curve.colour, "linestyle": curve.dashes, "drawstyle": "steps-post" if steps else "default"}
        ax.fill_between(at, low, high, color=curve.colour, alpha=0.18, linewidth=0, step="post" if steps else None)
        ax.plot(at, y, **look)
        ends.append((float(y[np.isfinite(y)][-1]), curve.words, curve.colour))
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)
    return ends


def _minute_axis(ax: Axes, title: str) -> None:
    """Label the axis of the minute of the snapshot."""
    ax.set_title(title)
    ax.set_xlabel("minute of the snapshot in its half hour")
    ax.set_xticks(range(0, 31, 5))
    ax.set_xlim(0, 30)


def _unit_axis(ax: Axes) -> None:
    """Show 0 to 1, and less than 0 only if a curve goes there."""
    low = float(ax.dataLim.y0)
    ax.set_ylim(min(0.0, low) if np.isfinite(low) else 0.0, 1.0)
