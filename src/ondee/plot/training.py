"""Pictures of a training as it goes: patches beside the radar, and the curve of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.style import (
    UNOBSERVED,
    UNOBSERVED_HATCH,
    Scale,
    Style,
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


def draw_learning(metrics: Sequence[Mapping[str, Any]], *, style: Style = "paper") -> Figure:
    """Draw the loss over the steps: of training samples, and of the averaged weights on validation patches.

    Parameters
    ----------
    metrics
        Lines of ``metrics.jsonl``.
    style
        ``paper`` or ``screen``.
    """
    ink = inks(style)
    with styled(style):
        figure = new_figure(120, 75)
        ax = figure.add_subplot()
        for key, colour, words in (
            ("loss", ink.muted, "training samples"),
            ("validation_loss", ink.accent, "validation patches, averaged weights"),
        ):
            points = [(line["step"], line[key]) for line in metrics if key in line]
            if points:
                steps, values = zip(*points, strict=True)
                ax.plot(steps, values, color=colour, label=words, marker="o" if key != "loss" else None, markersize=2.5)
        ax.set_xlabel("steps")
        ax.set_ylabel("loss")
        ax.legend(frameon=False)
    return figure
