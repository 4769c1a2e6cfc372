"""Figures of latents that roll: sequences and the roll of one frame, rolls against change, what places like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.palette import MODEL_COLOURS
from ondee.plot.style import Style, enlarged, finish_bar, inks, new_figure, scale_of, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_capsule_rolls", "draw_places", "draw_rolls"]

_FRAME = 9.0
"""Width of a frame, millimetres."""
_ROWS = ("images", "reconstructed", "first one rolled")
_PANEL = 36.0
"""Width of a panel of rolls, millimetres."""
_TORUS = 86.0
"""Width of a torus, millimetres."""


def draw_rolls(
    frames: NDArray[Any],
    reconstructed: NDArray[Any],
    rolled: NDArray[Any],
    *,
    rain: bool = False,
    names: tuple[str, ...] = (),
    title: str = "",
    style: Style = "paper",
) -> Figure:
    """Draw sequences from left to right, below each its reconstruction and the roll of its first frame.

    Parameters
    ----------
    frames, reconstructed, rolled
        ``(B, S, H, W, channels)``: 0 to 1, one channel being grey and three colours; or rain in mm h-1, one channel.
    rain
        Whether it is rain; missing pixels are left blank.
    names
        Of the sequences, to their left.
    title
        Above all.
    style
        ``paper`` or ``screen``.
    """
    count, length = frames.shape[:2]
    with styled(style):
        figure = new_figure(_FRAME * length + 30, (3 * _FRAME + 5) * count + 10)
        axes = figure.subplots(count, 1, squeeze=False)[:, 0]
        scale = scale_of("rain_rate", "mm h-1")
        colormap, norm = scale.colormap()
        colours = {"cmap": colormap, "norm": norm} if rain else {"cmap": "gray", "vmin": 0, "vmax": 1}
        for row, axis in enumerate(axes):
            strips = [_strip(entry[row]) for entry in (frames, reconstructed, rolled)]
            height, width = frames.shape[2:4]
            shown = axis.imshow(np.concatenate(strips), interpolation="nearest", **colours)
            axis.set_yticks([(place + 0.5) * height - 0.5 for place in range(3)], _ROWS)
            axis.set_xticks([(frame + 0.5) * width - 0.5 for frame in range(length)], [])
            axis.tick_params(length=0)
            for place in (1, 2):
                axis.axhline(place * height - 0.5, color="0.7", linewidth=0.6)
            for spine in axis.spines.values():
                spine.set_visible(False)
            if names:
                axis.set_title(names[row], loc="left")
        axes[-1].set_xticks([(frame + 0.5) * width - 0.5 for frame in range(length)], [str(n) for n in range(length)])
        axes[-1].set_xlabel("frame")
        if rain:
            bar = figure.colorbar(shown, ax=list(axes), label=scale.label, extend=scale.extend, shrink=0.8)
            finish_bar(bar, scale)
        if title:
            figure.suptitle(title)
        return figure


def _strip(frames: NDArray[Any]) -> NDArray[Any]:
    """Frames ``(S, H, W, channels)`` side by side, ``(H, S W)`` or ``(H, S W, 3)``."""
    beside = np.concatenate(list(frames), axis=1)
    return beside[..., 0] if beside.shape[-1] == 1 else beside.clip(0, 1)


def draw_capsule_rolls(
    rolls: Mapping[str, Mapping[str, tuple[NDArray[Any], NDArray[Any]]]], *, title: str = "", style: Style = "paper"
) -> Figure:
    """Draw the roll that capsules show against the change of the factor, a row for each model.

    Parameters
    ----------
    rolls
        Of each model, for each factor: the observed roll and the change, whole numbers, ``(N,)`` each.
    title
        Above all.
    style
        ``paper`` or ``screen``.
    """
    from matplotlib.ticker import MaxNLocator

    factors = list(next(iter(rolls.values())))
    side = _PANEL * enlarged(style)
    with styled(style):
        figure = new_figure(side * len(factors) + 12, side * len(rolls) + 12)
        axes = figure.subplots(len(rolls), len(factors), squeeze=False)
        for row, (name, each) in zip(axes, rolls.items(), strict=True):
            for axis, (factor, (rolled, moved)) in zip(row, each.items(), strict=True):
                pairs, counts = np.unique(np.stack([moved, rolled]), axis=1, return_counts=True)
                last = max(1, int(moved.max(initial=1)))
                axis.axline((0, 0), slope=1, color=inks(style).muted, linewidth=0.8, zorder=0)
                axis.scatter(*pairs, s=9 * counts, color=MODEL_COLOURS[style][0], alpha=0.75, linewidth=0)
                axis.set(xlim=(-0.7, last + 0.7), ylim=(-0.7, last + 0.7))
                axis.set_box_aspect(1)
                axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
                if axis in axes[0]:
                    axis.set_title(factor, loc="left")
            row[0].set_ylabel(f"{name}\nobserved roll, places")
        for axis in axes[-1]:
            axis.set_xlabel("change, steps")
        if title:
            figure.suptitle(title, x=0.02, ha="left")
        return figure


def draw_places(
    images: Sequence[NDArray[Any]], names: Sequence[str], *, title: str = "", style: Style = "paper"
) -> Figure:
    """Draw an image for each place of a torus, one torus beside the other.

    Parameters
    ----------
    images
        For each torus the images that its places like, ``(rows, columns, H, W)``, 0 to 1.
    names
        Of the tori.
    title
        Above all.
    style
        ``paper`` or ``screen``.
    """
    size = _TORUS * enlarged(style)
    rows, columns = images[0].shape[:2]
    with styled(style):
        figure = new_figure(len(images) * size, size * rows / columns + 16 * enlarged(style))
        axes = figure.subplots(1, len(images), squeeze=False)[0]
        for axis, each, name in zip(axes, images, names, strict=True):
            axis.imshow(
                np.concatenate([np.concatenate(list(row), axis=1) for row in each]), cmap="gray", vmin=0, vmax=1
            )
            axis.set(xticks=[], yticks=[])
            axis.set_title(name, loc="left")
        if title:
            figure.suptitle(title, x=0.02, ha="left")
        return figure
