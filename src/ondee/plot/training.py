"""Pictures of a training as it goes: patches beside the radar, and the curve of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.palette import looks
from ondee.plot.style import (
    UNOBSERVED,
    UNOBSERVED_HATCH,
    Scale,
    Style,
    enlarged,
    inks,
    new_figure,
    scale_of,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_learning", "draw_patches"]

_SIDE = 38.0
_BAR = 18.0
_PALE = 0.45
"""Opacity of the loss on training samples, where many runs are drawn."""
_WIDE = 8.0
"""Ratio of the ends of a logarithmic axis from which on 1, 2 and 5 name it well."""


def draw_patches(
    infrared: NDArray[Any],
    radar: NDArray[Any],
    drawn: NDArray[Any],
    *,
    channel: str,
    cell: tuple[float, float],
    title: str = "",
    style: Style = "paper",
) -> Figure:
    """Draw patches in rows: infrared, radar, and what a model makes of the images.

    Parameters
    ----------
    infrared
        ``(B, H, W)``, K.
    radar
        ``(B, H, W)``, mm h-1, NaN where not observed.
    drawn
        ``(B, M, H, W)``, mm h-1: one field of a regression, or some members.
    channel
        Name of the channel of `infrared`.
    cell
        Height and width of a pixel, km.
    title
        Above all.
    style
        ``paper`` or ``screen``.
    """
    count, members = drawn.shape[:2]
    height = radar.shape[-2] * cell[0] / (radar.shape[-1] * cell[1]) * _SIDE
    rain, warmth = scale_of("rain_rate", "mm h-1"), scale_of("brightness_temperature", "K")
    names = ["retrieved"] if members == 1 else [f"member {number}" for number in range(members)]
    with styled(style):
        figure = new_figure(_SIDE * (2 + members) + _BAR * 2, (height + 2) * count + 16)
        axes = figure.subplots(count, 2 + members, squeeze=False)
        for row in range(count):
            cells = [(infrared[row], warmth), (radar[row], rain)]
            cells += [(drawn[row, member], rain) for member in range(members)]
            images = [_draw(axes[row, place], *entry, cell) for place, entry in enumerate(cells)]
        for place, name in enumerate((channel, "radar", *names)):
            axes[0, place].set_title(name)
        side = radar.shape[-1] * cell[1]
        axes[-1, 0].set_xlabel(f"{side:.0f} km")
        figure.colorbar(images[0], ax=axes[:, 0], location="left", shrink=0.6, extend="both", label=warmth.label)
        figure.colorbar(images[1], ax=axes[:, -1], shrink=0.6, extend=rain.extend, label=rain.label)
        if title:
            figure.suptitle(title, x=0.01, ha="left")
    return figure


def _draw(ax: Any, field: NDArray[Any], scale: Scale, cell: tuple[float, float]) -> Any:
    """One patch: hatched where nothing was observed."""
    colours, norm = scale.colormap()
    rows, columns = field.shape
    extent = (0, columns * cell[1], rows * cell[0], 0)
    ax.set_facecolor(UNOBSERVED)
    if not np.isfinite(field).all():
        ax.fill_between(extent[:2], 0, extent[2], hatch="////", facecolor=UNOBSERVED, edgecolor=UNOBSERVED_HATCH)
    image = ax.imshow(np.ma.masked_invalid(field), cmap=colours, norm=norm, extent=extent, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    return image


def draw_learning(
    metrics: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    panels: Mapping[str, str] | None = None,
    style: Style = "paper",
) -> Figure:
    """Draw the loss over the steps: of training samples, and of the averaged weights on validation patches.

    Parameters
    ----------
    metrics
        Lines of ``metrics.jsonl``; of several runs by their names: each then has a colour, pale for its training
        samples, and the axis of losses is logarithmic where they are all above 0.
    panels
        Of several runs, the title of the panel in which each is drawn, by its name: losses of different data have no
        common axis. One panel where None.
    style
        ``paper`` or ``screen``.
    """
    if isinstance(metrics, Mapping):
        return _draw_several(metrics, panels or dict.fromkeys(metrics, ""), style)
    ink = inks(style)
    with styled(style):
        figure = new_figure(120, 75)
        ax = figure.add_subplot()
        for key, colour, words in (
            ("loss", ink.muted, "training samples"),
            ("validation_loss", ink.accent, "validation patches, averaged weights"),
        ):
            steps, values = _losses(metrics, key)
            if steps:
                ax.plot(steps, values, color=colour, label=words, marker="o" if key != "loss" else None, markersize=2.5)
        ax.set_xlabel("steps")
        ax.set_ylabel("loss")
        ax.legend(frameon=False)
    return figure


def _losses(metrics: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of the lines that hold a loss."""
    points = [(line["step"], line[key]) for line in metrics if key in line]
    return [step for step, _ in points], [value for _, value in points]


def _draw_several(runs: Mapping[str, Sequence[Mapping[str, Any]]], panels: Mapping[str, str], style: Style) -> Figure:
    """One panel below the other, each with its runs; what is pale and what has marks is told in the first."""
    from matplotlib.lines import Line2D

    ink, titles, size = inks(style), list(dict.fromkeys(panels[name] for name in runs)), enlarged(style)
    with styled(style):
        figure = new_figure(165 * size, (78 * len(titles) + 6) * size)
        axes = figure.subplots(len(titles), 1, squeeze=False)[:, 0]
        for ax, title in zip(axes, titles, strict=True):
            inside = [name for name in runs if panels[name] == title]
            known: list[float] = []
            for name, look in looks(inside, style).items():
                learnt = _losses(runs[name], "loss")
                alone = "." if len(learnt[0]) == 1 else None
                ax.plot(*learnt, color=look.colour, alpha=_PALE, linewidth=1.0 * size, marker=alone)
                steps, values = _losses(runs[name], "validation_loss")
                ax.plot(steps, values, **look.line(), **look.mark(3.5 * size), label=name)
                known += [value for value in (*values, *learnt[1]) if np.isfinite(value)]
            if known and min(known) > 0:
                ax.set_yscale("log")
                _name_ticks(ax)
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.set_title(title)
            ax.set_ylabel("loss, nats a frame")
            ax.grid(axis="y", alpha=0.25, linewidth=0.5)
            about = Line2D([], [], color=ink.muted, alpha=_PALE, label="training sequences")
            handles = [*ax.get_legend_handles_labels()[0], about]
            ax.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=3.2)
        axes[-1].set_xlabel("steps")
    return figure


def _name_ticks(ax: Any) -> None:
    """Write the values beside a logarithmic axis as plain numbers, however few powers of ten it holds."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = ax.get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low > _WIDE else (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", "\u202f")))
    ax.yaxis.set_minor_formatter(NullFormatter())
