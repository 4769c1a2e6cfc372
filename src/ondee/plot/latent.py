"""Figures of latents that roll: sequences, what a model makes of them, and what it foresees from one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.style import Style, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_rolls"]

_FRAME = 9.0
_ROWS = ("images", "reconstructed", "rolled from the first")


def draw_rolls(
    frames: NDArray[Any],
    reconstructed: NDArray[Any],
    rolled: NDArray[Any],
    *,
    names: tuple[str, ...] = (),
    title: str = "",
    style: Style = "paper",
) -> Figure:
    """Draw sequences from left to right, below each its reconstruction and the roll of its first frame.

    Parameters
    ----------
    frames, reconstructed, rolled
        ``(B, S, H, W, channels)``, 0 to 1; one channel is grey, three are colours.
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
        for row, axis in enumerate(axes):
            strips = [_strip(entry[row]) for entry in (frames, reconstructed, rolled)]
            height, width = frames.shape[2:4]
            axis.imshow(np.concatenate(strips).clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
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
        if title:
            figure.suptitle(title)
        return figure


def _strip(frames: NDArray[Any]) -> NDArray[Any]:
    """Frames ``(S, H, W, channels)`` side by side, ``(H, S W)`` or ``(H, S W, 3)``."""
    beside = np.concatenate(list(frames), axis=1)
    return beside[..., 0] if beside.shape[-1] == 1 else beside
