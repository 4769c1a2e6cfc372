"""Figures of latents that roll: sequences, what a model makes of them, and what comes of rolling those of one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.style import Style, finish_bar, new_figure, scale_of, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_rolls"]

_FRAME = 9.0
_ROWS = ("images", "reconstructed", "first one rolled")


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
