"""Figures of the scan of each sensor: how well its rain fits the radar of other minutes and other places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.plot.findings import REFERENCES, Finding, Result, findings, group, in_order, ink_of, signed
from ondee.plot.heat import GOOD
from ondee.plot.palette import truth_ink
from ondee.plot.series import arms, series
from ondee.plot.style import Style, enlarged, inks, new_figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_displacements", "draw_lags"]


def draw_lags(
    result: Result,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the correlation of each sensor with the radar so many minutes before or after, and its clock.

    A dot marks the highest point of each curve; the bar at the foot is the error of the clock as it was estimated
    together with the displacement, so it need not lie below the highest point.

    Parameters
    ----------
    result
        Groups of a validation; ``lag_correlation`` of ``sensors`` is drawn.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If no lag was scanned, or the figure cannot be written.
    """
    held = group(result, "sensors")
    sources = _defined(held, "lag_correlation")
    columns = min(3, len(sources))
    rows = -(-len(sources) // columns)
    with styled(style):
        scale = enlarged(style)
        figure = new_figure((60 * columns + 4) * scale, (46 * rows + 12) * scale)
        panels: Any = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for ax in panels.ravel()[len(sources) :]:
            ax.set_visible(False)
        clocks = {entry.source: entry for entry in findings(result) if entry.kind == "clock"}
        for ax, source in zip(panels.ravel(), sources, strict=False):
            _lag_curves(ax, held, source, style)
        low, high = panels[0, 0].get_ylim()
        panels[0, 0].set_ylim(max(low, -1.0), min(high, 1.02))  # the interval of hardly any pass knows no bounds
        for ax, source in zip(panels.ravel(), sources, strict=False):
            _clock_bar(ax, clocks.get(source), style)
        for number, ax in enumerate(panels.ravel()[: len(sources)]):
            if number + columns >= len(sources):
                ax.set_xlabel("radar later by (min)")
                ax.tick_params(labelbottom=True)
        for ax in panels[:, 0]:
            ax.set_ylabel("correlation")
        _lag_legend(figure, held, style)
        figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04)  # type: ignore[union-attr, call-arg]
    if path is not None:
        save(figure, path, force=force)
    return figure


def _defined(held: xr.Dataset, variable: str) -> list[str]:
    """Sources with any value of a variable.

    Raises
    ------
    ConfigError
        If there is none.
    """
    sources = (
        [
            str(source)
            for source in in_order(held["source"].values.astype(str))
            if np.isfinite(held[variable].sel(source=source).values.astype(float)).any()
        ]
        if variable in held
        else []
    )
    if not sources:
        raise ConfigError(
            f"{variable} is defined for no sensor", where="sensors", fix="validate more half hours with rain"
        )
    return sources


def _lag_looks(style: Style) -> dict[str, dict[str, Any]]:
    """How the curve of each reference is drawn."""
    return {
        "overpass": {"color": inks(style).accent, "linestyle": "solid"},
        "mean": {"color": inks(style).muted, "linestyle": (0, (4, 2))},
    }


def _lag_curves(ax: Axes, held: xr.Dataset, source: str, style: Style) -> None:
    """Draw the curves of one sensor against both references."""
    lags = held["lag"].values.astype(float)
    known = held["comparison"].values.astype(str) if "comparison" in held["lag_correlation"].dims else ["overpass"]
    for reference, look in _lag_looks(style).items():
        if reference not in known:
            continue
        curve = series(held, "lag_correlation", source=source, comparison=reference)
        if np.isfinite(curve.low).any():  # what too few passes reach has a value, but no interval
            curve = curve._replace(value=np.where(np.isfinite(curve.low), curve.value, np.nan))
        ax.fill_between(lags, curve.low, curve.high, color=look["color"], alpha=0.15, linewidth=0)
        ax.plot(lags, curve.value, linewidth=1.3, **look)
        if np.isfinite(curve.value).any():
            best = int(np.nanargmax(curve.value))
            ax.plot(lags[best], curve.value[best], marker="o", markersize=4, color=look["color"], zorder=5)
    ax.axvline(0, color=inks(style).muted, linewidth=0.6, zorder=1)
    ax.set_xlim(float(lags[0]), float(lags[-1]))
    ax.set_xticks(np.arange(np.ceil(lags[0] / 30) * 30, lags[-1] + 1, 30))
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)
    ax.set_title(source)


def _clock_bar(ax: Axes, clock: Finding | None, style: Style) -> None:
    """Mark the clock with its interval at the foot of the panel, on the axis of the lag, and write it."""
    if clock is None or not np.isfinite([clock.value, clock.low, clock.high]).all():
        return
    colour = ink_of(clock.verdict, style)
    at: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "color": colour, "zorder": 6}
    # A clock that reports late saw the rain of an earlier moment: the best radar lies before the minute it gives.
    ax.plot([-clock.high, -clock.low], [0.05, 0.05], linewidth=2.2, solid_capstyle="butt", **at)
    ax.plot(-clock.value, 0.05, marker="|", markersize=7, markeredgewidth=1.4, **at)
    ends = ", ".join(signed(end, 1) for end in (clock.low, clock.high))
    words = f"clock {signed(clock.value, 1)} min\n[{ends}]"
    ax.text(0.98, 0.97, words, transform=ax.transAxes, ha="right", va="top", fontsize="x-small", color=colour)


def _lag_legend(figure: Figure, held: xr.Dataset, style: Style) -> None:
    """Name the two references above the panels."""
    from matplotlib.lines import Line2D

    known = held["comparison"].values.astype(str) if "comparison" in held["lag_correlation"].dims else ["overpass"]
    handles: list[Any] = [
        Line2D([], [], label=words, **_lag_looks(style)[reference])
        for reference, words in REFERENCES.items()
        if reference in known
    ]
    look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4, "color": truth_ink(style)}
    handles.append(Line2D([], [], label="highest point", **look))
    handles.append(Line2D([], [], label="clock with interval", color=truth_ink(style), linewidth=2.2))
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, borderaxespad=0.0)


def draw_displacements(
    result: Result,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw how well the rain of each sensor fits when it is moved back, and the displacement with its interval.

    One panel a sensor: the colours are the correlation when its rain is taken to lie so many cells east and north,
    the cross the displacement, the box the tolerance.

    Parameters
    ----------
    result
        Groups of a validation; ``shift_correlation`` of ``sensors`` is drawn.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If no displacement was scanned, or the figure cannot be written.
    """
    held = group(result, "sensors")
    sources = _defined(held, "shift_correlation")
    surface = held["shift_correlation"]
    if "comparison" in surface.dims:
        surface = surface.sel(comparison="overpass")
    columns = min(3, len(sources)) if len(sources) != 4 else 2
    rows = -(-len(sources) // columns)
    with styled(style):
        scale = enlarged(style)
        figure = new_figure((54 * columns + 18) * scale, (54 * rows + 12) * scale)
        panels: Any = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        low, top = (float(pick(surface.values.astype(float))) for pick in (np.nanmin, np.nanmax))
        image: Any = None
        for ax, source in zip(panels.ravel(), sources, strict=False):
            image = _surface(ax, surface.sel(source=source), (low, top))
            shifts = {entry.kind: entry for entry in findings(result) if entry.source == source}
            _displacement(ax, shifts.get("east"), shifts.get("north"), style)
            ax.set_title(source)
        for number, ax in enumerate(panels.ravel()):
            ax.set_visible(number < len(sources))
            if number + columns >= len(sources):
                ax.set_xlabel("east (cells)")
                ax.tick_params(labelbottom=True)
        for ax in panels[:, 0]:
            ax.set_ylabel("north (cells)")
        bar = figure.colorbar(image, ax=panels, aspect=35, fraction=0.04, pad=0.02, label="correlation when moved back")
        bar.outline.set_linewidth(0.4)
    if path is not None:
        save(figure, path, force=force)
    return figure


def _surface(ax: Axes, surface: xr.DataArray, limits: tuple[float, float]) -> Any:
    """Draw the correlation against the displacement."""
    from matplotlib.colors import LinearSegmentedColormap

    north, east = (surface[dim].values.astype(float) for dim in surface.dims)
    half = 0.5 * float(np.diff(east).mean())
    image = ax.imshow(
        np.ma.masked_invalid(surface.values.astype(float)),
        cmap=LinearSegmentedColormap.from_list("good", list(GOOD)),
        vmin=limits[0],
        vmax=max(limits[1], limits[0] + 0.1),
        extent=(east.min() - half, east.max() + half, north.min() - half, north.max() + half),
        origin="lower" if north[0] < north[-1] else "upper",
        interpolation="nearest",
        zorder=1,
    )
    ax.axhline(0, color="#333333", linewidth=0.4, zorder=2)
    ax.axvline(0, color="#333333", linewidth=0.4, zorder=2)
    ax.set_aspect("equal")
    ax.set_xticks(np.unique(np.rint(east)))
    ax.set_yticks(np.unique(np.rint(north)))
    return image


def _displacement(ax: Axes, east: Finding | None, north: Finding | None, style: Style) -> None:
    """Draw the displacement as a cross of its intervals, and the box of the tolerance."""
    from matplotlib.patches import Rectangle

    if east is None or north is None:
        return
    wide, tall = (entry.tolerance if np.isfinite(entry.tolerance) else 0.0 for entry in (east, north))
    box: dict[str, Any] = {"facecolor": "none", "edgecolor": "#1a1a1a", "linewidth": 1.0, "zorder": 3}
    ax.add_patch(Rectangle((-wide, -tall), 2 * wide, 2 * tall, **box))
    if not np.isfinite([east.value, north.value]).all():
        return
    colour = inks("paper").contrast if "found" in (east.verdict, north.verdict) else "#1a1a1a"
    cross: dict[str, Any] = {
        "xerr": arms(east.value, east.low, east.high),
        "yerr": arms(north.value, north.low, north.high),
    }
    for ink, width, order in (("#ffffff", 3.4, 4), (colour, 1.5, 5)):
        ax.errorbar(east.value, north.value, **cross, color=ink, elinewidth=width, zorder=order)
    if "found" in (east.verdict, north.verdict):
        for ink, width in (("#ffffff", 2.6), (colour, 1.2)):
            ring: dict[str, Any] = {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": width}
            ax.plot(east.value, north.value, marker="o", markeredgecolor=ink, zorder=5, **ring)
    words = f"east {signed(east.value)}, north {signed(north.value)}"
    ax.annotate(
        words,
        (1, 1),
        xycoords="axes fraction",
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize="x-small",
    )
