"""The figure of realism: rain of the synthetic world beside that of radar events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.plot.series import plain_decades
from ondee.plot.style import Inks, Style, enlarged, inks, new_figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_realism"]

_NEEDED = ("real", "wet_fraction", "quantile", "exceedance", "correlation", "spectral_power")

# One hue a regime, told apart in print without colour by its dashes and its mark. Dark to light by intensity of rain.
_COLOURS = {
    "paper": ("#2a6fc9", "#7a3fb0", "#b3382c", "#b8860b", "#3d8b6e", "#5c6470"),
    "screen": ("#79b4ff", "#c79bff", "#ff9a85", "#f2c14e", "#7fd6b2", "#aab3c0"),
}
_DASHES: tuple[Any, ...] = ("solid", (0, (6, 1.6)), (0, (2.2, 1.2)), (0, (6, 1.4, 1.2, 1.4)), (0, (1, 1.2)), "solid")
_MARKS = ("o", "s", "D", "^", "v", "P")
_ABSENT = 1e-9
"""What stands for 0 on a logarithmic axis, below all that is shown."""
_Looks = dict[str, dict[str, Any]]


def draw_realism(
    table: xr.Dataset,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw what was measured of real and of synthetic rain.

    Six panels: exceedance of wet rain, spectra, correlation against the lag at a fixed place and following the motion,
    wet fraction, quantiles. Each real event is a thin line, their range a band; each regime is a bold line.

    Parameters
    ----------
    table
        Dimension ``event``; ``real`` (event) tells radar from regimes; ``wet_fraction`` with ``_low`` and ``_high``
        (event); ``quantile`` (event, probability) and ``exceedance`` (event, rate) of wet rain in mm h-1;
        ``correlation`` (event, frame, lag in minutes) with the frames ``fixed`` and ``following``; ``spectral_power``
        (event, transform, wavelength in km).
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If a variable is absent or the figure cannot be written.
    """
    absent = [name for name in _NEEDED if name not in table]
    if absent:
        raise ConfigError(
            f"the dataset has no {absent[0]}",
            where="ondee.plot.realism.draw_realism",
            fix="draw the dataset that `python -m benchmarks.realism` measures",
        )
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(180 * scale, 126 * scale)
        panels = figure.subplots(2, 3).ravel()
        colours, looks = inks(style), _looks(table, style)
        _exceedance(panels[0], table, colours, looks)
        _spectra(panels[1], table, colours, looks)
        _quantiles(panels[2], table, colours, looks)
        _memory(panels[3], table, colours, looks, "fixed", "d  Memory at a fixed place")
        _memory(panels[4], table, colours, looks, "following", "e  Memory along the motion")
        _wetness(panels[5], table, colours, looks)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.04)
        _legend(figure, colours, looks)
    if path is not None:
        save(figure, path, force=force)
    return figure


def _looks(table: xr.Dataset, style: Style) -> _Looks:
    """Colour, dashes and mark of each regime that has any rain."""
    known = table["wet_fraction"].notnull() & ~table["real"].astype(bool)
    names = [str(name) for name in table["event"].values[known.values]]
    return {
        name: {"color": colour, "linestyle": dashes, "marker": mark}
        for name, colour, dashes, mark in zip(names, _COLOURS[style], _DASHES, _MARKS, strict=False)
    }


def _real(table: xr.Dataset, variable: str, **chosen: Any) -> NDArray[np.float64]:
    """Values of the real events, the event first."""
    part = table[variable].sel(chosen) if chosen else table[variable]
    return np.asarray(part.isel(event=np.flatnonzero(table["real"].values.astype(bool))).values, dtype=float)


def _backdrop(ax: Axes, x: NDArray[np.float64], real: NDArray[np.float64], ink: Inks) -> None:
    """Draw the range of the real events as a band, and each of them as a thin line."""
    held = np.isfinite(real).any(axis=0)
    low = np.where(held, np.nanmin(np.where(np.isfinite(real), real, np.inf), axis=0), np.nan)
    high = np.where(held, np.nanmax(np.where(np.isfinite(real), real, -np.inf), axis=0), np.nan)
    ax.fill_between(x[held], low[held], high[held], color=ink.muted, alpha=0.16, linewidth=0, zorder=1)
    for one in real:
        there = np.isfinite(one)
        ax.plot(x[there], one[there], color=ink.muted, linewidth=0.6, alpha=0.75, zorder=2)


def _lines(ax: Axes, x: NDArray[np.float64], table: xr.Dataset, variable: str, looks: _Looks, **chosen: Any) -> None:
    """Draw the regimes."""
    for name, look in looks.items():
        y = table[variable].sel(event=name, **chosen).values.astype(float)
        marker = look["marker"] if x.size < 10 else None
        there = np.isfinite(y) & (y > 0 if variable in ("exceedance", "spectral_power") else True)
        ax.plot(x[there], y[there], **{**look, "marker": marker}, markersize=3.2, zorder=4)


def _exceedance(ax: Axes, table: xr.Dataset, ink: Inks, looks: _Looks) -> None:
    rate = table["rate"].values.astype(float)
    real = _real(table, "exceedance")
    _backdrop(ax, rate, np.maximum(real, _ABSENT), ink)
    _lines(ax, rate, table, "exceedance", looks)
    plain_decades(ax, "x", (1,))
    ax.set_yscale("log")
    ax.set_ylim(1e-5, 1.3)
    ax.set_xlim(0.1, 200)
    ax.set_xlabel("rain rate (mm h⁻¹)")
    ax.set_ylabel("share of wet pixels above")
    ax.set_title("a  Distribution of wet rain")


def _spectra(ax: Axes, table: xr.Dataset, ink: Inks, looks: _Looks) -> None:
    """Draw spectra of rain, each relative to its own power at 32 km."""
    wavelength = table["wavelength"].values.astype(float)
    near = int(np.argmin(abs(wavelength - 32)))
    power = table["spectral_power"].sel(transform="rain")
    relative = (power / power.isel(wavelength=near)).transpose("event", "wavelength")
    scaled = table.assign(spectral_power=relative)
    kept = (wavelength >= 4) & (wavelength <= 64)
    _backdrop(ax, wavelength[kept], _real(scaled, "spectral_power")[:, kept], ink)
    _lines(ax, wavelength[kept], scaled.isel(wavelength=np.flatnonzero(kept)), "spectral_power", looks)
    ax.set_xscale("log")
    ax.set_yscale("log")
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.xaxis.set_major_locator(FixedLocator([4, 8, 16, 32, 64]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlim(64, 4)
    ax.set_xlabel("wavelength (km)")
    ax.set_ylabel("power relative to 32 km")
    ax.set_title("b  Spectrum of rain")


def _quantiles(ax: Axes, table: xr.Dataset, ink: Inks, looks: _Looks) -> None:
    """Draw quantiles of wet rain, those of the real events as ranges with points."""
    real = _real(table, "quantile")
    labels = [f"q{100 * float(probability):g}" for probability in table["probability"].values]
    for place in range(len(labels)):
        _range_bar(ax, place, real[:, place], ink, 0.34)
        for column, (name, look) in enumerate(looks.items()):
            value = float(table["quantile"].sel(event=name).values[place])
            _mark(ax, place + _offset(column, looks), value, look)
    plain_decades(ax, "y")
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.set_ylabel("rain rate (mm h⁻¹)")
    ax.set_title("c  Quantiles of wet rain")


def _memory(ax: Axes, table: xr.Dataset, ink: Inks, looks: _Looks, frame: str, title: str) -> None:
    lag = table["lag"].values.astype(float)
    _backdrop(ax, lag, _real(table, "correlation", frame=frame), ink)
    _lines(ax, lag, table, "correlation", looks, frame=frame)
    ax.set_xticks(lag, [f"{value:g}" if value != 10 else "" for value in lag])  # no room between 5 and 15
    ax.set_xlim(0, lag[-1] + 2)
    ax.set_yticks(np.arange(0, 1.01, 0.2))
    ax.set_ylim(min(0.0, float(ax.dataLim.y0) - 0.02), 1)
    ax.set_xlabel("minutes apart")
    ax.set_ylabel("correlation")
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)
    ax.set_title(title)


def _wetness(ax: Axes, table: xr.Dataset, ink: Inks, looks: _Looks) -> None:
    """Draw wet fractions: mean over boxes, and the span of the middle 80 % of them."""
    names = [str(name) for name in table["event"].values[table["real"].values.astype(bool)]]
    rows = [*names, *looks]
    for row, name in enumerate(rows):
        value, low, high = (float(table[f"wet_fraction{end}"].sel(event=name)) for end in ("", "_low", "_high"))
        look = looks.get(name)
        colour = look["color"] if look else ink.muted
        ax.plot([low, high], [row, row], color=colour, linewidth=1.8 if look else 0.9, solid_capstyle="butt")
        ax.plot([value], [row], color=colour, marker=look["marker"] if look else "o", markersize=4.2 if look else 3)
        _name_row(ax, row, low, high, name, colour)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(rows) - 0.4, -0.8)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of a box, 10–90 %")
    ax.set_title("f  Wet fraction")


def _name_row(ax: Axes, row: float, low: float, high: float, name: str, colour: str) -> None:
    """Write a name beside its span, where there is room: right of it, left of it, or below."""
    room = 0.031 * len(name) + 0.025
    if high + room < 1.1:
        x, y, side = high + 0.025, float(row), "left"
    elif low - room > 0:
        x, y, side = low - 0.025, float(row), "right"
    else:
        x, y, side = low, row + 0.42, "left"
    ax.text(x, y, name, color=colour, fontsize="small", va="center", ha=side)


def _range_bar(ax: Axes, place: float, values: NDArray[np.float64], ink: Inks, half: float) -> None:
    """Draw the range of the real events and a tick at each of them."""
    seen = values[np.isfinite(values)]
    if not seen.size:
        return
    ax.fill_between(
        [place - half, place + half], seen.min(), seen.max(), color=ink.muted, alpha=0.16, linewidth=0, zorder=1
    )
    ax.hlines(seen, place - half, place + half, color=ink.muted, linewidth=0.6, alpha=0.75, zorder=2)


def _offset(column: int, looks: _Looks) -> float:
    return (column - (len(looks) - 1) / 2) * 0.56 / max(len(looks) - 1, 1)


def _mark(ax: Axes, x: float, y: float, look: dict[str, Any]) -> None:
    ax.plot([x], [y], linestyle="none", marker=look["marker"], color=look["color"], markersize=4.2, zorder=4)


def _legend(figure: Figure, ink: Inks, looks: _Looks) -> None:
    """Name the regimes and the backdrop above all panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], label=name, markersize=4.2, **look) for name, look in looks.items()]
    handles.append(Line2D([], [], color=ink.muted, linewidth=0.6, label="a radar event"))
    handles.append(Patch(facecolor=ink.muted, alpha=0.16, linewidth=0, label="range of the radar events"))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        frameon=False,
        handlelength=2.8,
        columnspacing=1.3,
        borderaxespad=0.0,
        labelcolor=[*(look["color"] for look in looks.values()), ink.muted, ink.muted],
    )
