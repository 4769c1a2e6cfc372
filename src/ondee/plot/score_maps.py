"""Maps of scores: bias, correlation, detection and false alarms of every cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.plot.findings import Result, group
from ondee.plot.heat import DIVERGING, GOOD
from ondee.plot.map import draw_map
from ondee.plot.style import (
    Scale,
    Style,
    enlarged,
    finish_bar,
    inks,
    new_figure,
    save,
    styled,
    unobserved_patch,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_score_maps", "gathered"]

_PANELS = (
    ("relative_bias", "relative bias (%)", DIVERGING),
    ("correlation", "correlation", GOOD),
    ("probability_of_detection", "detected (POD)", GOOD),
    ("false_alarm_ratio", "false alarms (FAR)", GOOD),
)
_WIDE = 0.6
"""Height of a map over its width below which the panels stand one below another."""


def gathered(maps: xr.Dataset) -> str:
    """Name of the dimension that tells all sources from microwave alone."""
    return next((str(dim) for dim in maps["relative_bias"].dims if dim not in ("comparison", "y", "x")), "")


def draw_score_maps(
    result: Result,
    path: str | Path | None = None,
    *,
    comparison: str = "mean",
    source: str = "all",
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw bias, correlation, detection and false alarms of every cell.

    Pale and dotted is not resolved; hatched grey was not observed.

    Parameters
    ----------
    result
        Groups of a validation; ``maps`` is drawn.
    path
        Where to save the figure; not saved where None.
    comparison
        Reference: ``mean`` or ``overpass``.
    source
        ``all``, or ``microwave`` alone.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If there are no maps, or the figure cannot be written.
    """
    maps = group(result, "maps")
    chosen: dict[str, Any] = {"comparison": comparison}
    if gathered(maps):
        chosen[gathered(maps)] = source
    held = maps.sel({dim: label for dim, label in chosen.items() if dim in maps.dims})
    names = [entry for entry in _PANELS if entry[0] in held and np.isfinite(held[entry[0]].values).any()]
    if not names:
        raise ConfigError("no cell of the map has a score", where="maps", fix="validate more half hours with rain")
    grid = Grid.of(held[names[0][0]].assign_coords(crs=maps["crs"]))
    tall = grid.ny * grid.dy / (grid.nx * grid.dx) / max(0.1, _shrink(grid))
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(180 * scale, float(np.clip((72 * tall + 12) * rows + 10, 60, 240)) * scale)
        panels: Any = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in panels[len(names) :]:
            ax.set_visible(False)
        for ax, (name, title, colours) in zip(panels, names, strict=False):
            _map(figure, ax, held, name, title, colours, style)
        _legend(figure, held[names[0][0]], style)
        figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05)  # type: ignore[union-attr, call-arg]
    if path is not None:
        save(figure, path, force=force)
    return figure


def _shrink(grid: Grid) -> float:
    """Length of a degree of longitude over one of latitude; 1 on a plane."""
    return float(np.cos(np.radians((grid.north + grid.south) / 2))) if grid.is_geographic else 1.0


def _map(
    figure: Figure, ax: Axes, held: xr.Dataset, name: str, title: str, colours: tuple[str, ...], style: Style
) -> None:
    """Draw one score, its colour bar, and dots on what is not resolved."""
    field = held[name].drop_vars([c for c in held[name].coords if c not in ("y", "x", "crs")])
    field = field.assign_coords(crs=held["crs"])
    values = field.values.astype(float)
    signed = name == "relative_bias"
    reach = float(np.clip(np.nanquantile(abs(values), 0.98), 0.2, 1.0)) if signed else 1.0
    levels = (-100.0 * reach, 100.0 * reach) if signed else (0.0, 1.0)
    scale = Scale(levels, colours, False, title)
    draw_map(100.0 * field if signed else field, ax, title=title, style=style, colour_bar=False, scale=scale)
    image = ax.images[0]
    _dots(ax, Grid.of(field), _open(held, name, values))
    beyond = values[np.isfinite(values)]
    extend = "both" if signed else "min" if (beyond < 0).any() else "neither"
    bar = figure.colorbar(image, ax=ax, fraction=0.045, pad=0.02, aspect=24, extend=extend)
    finish_bar(bar, scale)
    ax.tick_params(labelsize="x-small", length=2, pad=1.5)


def _open(held: xr.Dataset, name: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cells that have a value which is not resolved."""
    for wanted in (f"{name}_resolved", "resolved"):
        if wanted in held:
            known: NDArray[np.bool_] = np.isfinite(values) & ~held[wanted].values.astype(bool)
            return known
    return np.zeros(values.shape, dtype=bool)


def _dots(ax: Axes, grid: Grid, unsettled: NDArray[np.bool_]) -> None:
    """Make cells pale and put a dot into each, or into every second of many."""
    if not unsettled.any():
        return
    veil = np.zeros((*unsettled.shape, 4))
    veil[unsettled] = (1.0, 1.0, 1.0, 0.55)
    extent = (grid.west, grid.east, grid.south, grid.north)
    limits = ax.get_xlim(), ax.get_ylim(), ax.get_aspect()
    ax.imshow(veil, extent=extent, origin="upper", interpolation="nearest", zorder=1.5)
    ax.set(xlim=limits[0], ylim=limits[1], aspect=limits[2])
    step = max(1, round(max(grid.nx, grid.ny) / 45))
    rows, columns = np.nonzero(unsettled[step // 2 :: step, step // 2 :: step])
    y, x = grid.y[step // 2 :: step][rows], grid.x[step // 2 :: step][columns]
    ax.plot(x, y, linestyle="none", marker=".", markersize=2.2, color="#444444", markeredgewidth=0, zorder=1.6)


def _legend(figure: Figure, field: xr.DataArray, style: Style) -> None:
    """Say what dots and hatching mean."""
    from matplotlib.lines import Line2D

    handles: list[Any] = [
        Line2D([], [], linestyle="none", marker=".", color=inks(style).muted, markersize=4, label="dots: not resolved")
    ]
    if not np.isfinite(field.values).all():
        handles.append(unobserved_patch())
    figure.legend(
        handles=handles, loc="outside upper right", ncols=2, frameon=False, borderaxespad=0.0, handlelength=1.4
    )
