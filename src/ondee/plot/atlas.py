"""A figure of a space of latents laid flat: frames of rain where their latents lie."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.style import (
    RAIN_COLOURS,
    UNOBSERVED,
    UNOBSERVED_HATCH,
    Scale,
    Style,
    enlarged,
    finish_bar,
    inks,
    moment,
    new_figure,
    scale_of,
    spelled,
    styled,
    unobserved_patch,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ondee.encoding import Atlas

__all__ = ["draw_atlas"]

_THUMBNAIL = 16.0
"""Width of a cell of an atlas, millimetres."""
_FILLED = 0.92
"""Share of a cell's width and height that its thumbnail fills."""
_LEAST = 0.01
"""Lower end of the scale of wet fractions: a drier frame is in no atlas."""
_LETTERS = (76, 58)
"""Most letters of a line below an atlas, and of one beside it."""
_STRONG = 0.5
"""Correlation from which on an axis is said to tell something."""
_FACTS = {
    "wet_fraction": "wet fraction",
    "log_wet_intensity": "log of the mean rain where wet",
    "east": "place of the rain from west to east",
    "north": "place of the rain from south to north",
    "observed_fraction": "observed fraction",
}


def draw_atlas(atlas: Atlas, *, style: Style = "paper") -> Figure:
    """Draw frames of rain at the places of their latents, and beside them all points by how wet the frames are.

    Parameters
    ----------
    atlas
        From :func:`ondee.encoding.atlas`.
    style
        ``paper`` or ``screen``.
    """
    from ondee.encoding.atlas import CELLS

    columns, rows = CELLS
    height, width = (side * length for side, length in zip(atlas.thumbnails.shape[1:], atlas.cell, strict=True))
    limits = zip(atlas.places.min(0), atlas.places.max(0), CELLS, strict=True)
    edges = [np.linspace(low, high, number + 1) for low, high, number in limits]
    size, tall = _THUMBNAIL * columns * enlarged(style), height * rows / (width * columns)
    with styled(style):
        figure = new_figure(1.58 * size, size * tall + 42 * enlarged(style))
        layout: Any = figure.get_layout_engine()
        layout.set(h_pad=0.03, w_pad=0.03, wspace=0.04)
        cells = figure.add_gridspec(2, 2, width_ratios=[2.6, 1])
        main = figure.add_subplot(cells[:, 0])
        scale = scale_of("rain_rate", "mm h-1")
        shown = _thumbnails(main, atlas, edges, scale)
        main.set_box_aspect(tall)
        main.set(xlabel=_component("first", 0, atlas), ylabel=_component("second", 1, atlas))
        bar = figure.colorbar(
            shown, ax=main, label=scale.label, extend=scale.extend, location="bottom", shrink=0.7, aspect=40, pad=0.02
        )
        finish_bar(bar, scale)
        if not np.isfinite(atlas.thumbnails).all():
            key = bar.ax.legend(
                handles=[unobserved_patch()], loc="center left", bbox_to_anchor=(1.05, 0.5), frameon=False
            )
            key.set_in_layout(False)
        wet = figure.add_subplot(cells[0, 1])
        _points(figure, wet, atlas, "wet_fraction", (_LEAST, 1.0), edges, "wet fraction", style)
        rain, mean = figure.add_subplot(cells[1, 1]), atlas.facts["mean"]
        ends = (float(mean.min()), max(float(mean.max()), 1.01 * float(mean.min())))
        _points(figure, rain, atlas, "mean", ends, edges, f"mean rain ({spelled('mm h-1')})", style)
        rain.set(xlabel="ringed: shown to the left")
        for axis in (wet, rain):
            axis.set_box_aspect(tall)
        first, last = (moment(time) for time in (atlas.times.min(), atlas.times.max()))
        figure.suptitle(
            f"{atlas.product.partition(', input ')[0]}\n{len(atlas.places)} frames of {width:.4g} x {height:.4g} km by"
            f" their latents, {first.removesuffix(' UTC')} to {last[11:] if last[:10] == first[:10] else last}",
            x=0.02,
            ha="left",
        )
        return figure


def _thumbnails(axis: Axes, atlas: Atlas, edges: list[NDArray[np.float64]], scale: Scale) -> Any:
    """Draw each thumbnail in the middle of its cell."""
    from matplotlib.patches import Rectangle

    colormap, norm = scale.colormap()
    wide, high = steps = np.array([ends[1] - ends[0] for ends in edges]) * _FILLED
    for frame, (column, row) in zip(atlas.thumbnails, atlas.cells, strict=True):
        middle = np.array([edges[0][column : column + 2].mean(), edges[1][row : row + 2].mean()])
        left, low = middle - steps / 2
        look: dict[str, Any] = {"facecolor": UNOBSERVED, "hatch": "//////", "edgecolor": UNOBSERVED_HATCH}
        axis.add_patch(Rectangle((left, low), wide, high, linewidth=0, zorder=1, **look))
        shown = axis.imshow(
            np.ma.masked_invalid(frame),
            cmap=colormap,
            norm=norm,
            extent=(left, left + wide, low, low + high),
            interpolation="nearest",
            aspect="auto",
            zorder=2,
        )
        axis.add_patch(Rectangle((left, low), wide, high, fill=False, edgecolor="0.6", linewidth=0.4, zorder=3))
    axis.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
    return shown


def _points(
    figure: Figure,
    axis: Axes,
    atlas: Atlas,
    fact: str,
    limits: tuple[float, float],
    edges: list[NDArray[np.float64]],
    label: str,
    style: Style,
) -> None:
    """Draw all points over the cells, coloured by a fact of their frames; those with a thumbnail have a ring."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, NullLocator

    ink, scale = inks(style), Scale((), RAIN_COLOURS[:-2], False, label)
    for line, ends in zip((axis.axvline, axis.axhline), edges, strict=True):
        for edge in ends:
            line(edge, color=ink.muted, linewidth=0.3, alpha=0.5, zorder=0)
    look: dict[str, Any] = {"cmap": scale.colormap()[0], "norm": LogNorm(*limits), "s": 11, "clip_on": False}
    x, y = atlas.places.T
    made = axis.scatter(x, y, c=atlas.facts[fact], edgecolors=ink.muted, linewidths=0.2, **look)
    x, y = atlas.places[atlas.drawn].T
    axis.scatter(x, y, s=20, facecolors="none", edgecolors=ink.contrast, linewidths=0.7, clip_on=False)
    axis.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
    ticks: Any = LogLocator(subs=(1, 2, 5))
    bar = figure.colorbar(made, ax=axis, label=label, shrink=0.9, ticks=ticks, format="%g")
    bar.ax.yaxis.set_minor_locator(NullLocator())
    finish_bar(bar, scale)


def _component(name: str, axis: int, atlas: Atlas) -> str:
    """What an axis is, and what it tells of the rain."""
    told = {key: value for key, value in atlas.correlations[axis].items() if value is not None and abs(value) > _STRONG}
    words = [f"{told[key]:.2f} with {_FACTS[key]}" for key in sorted(told, key=lambda key: -abs(told[key]))]
    lines = textwrap.wrap("r = " + ", ".join(words), _LETTERS[axis]) if words else []
    return "\n".join([f"{name} principal component, {atlas.shares[axis]:.0%} of the variance", *lines]).replace(
        "-", "−"
    )
