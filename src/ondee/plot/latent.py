"""Figures of latents that roll: sequences, what a model makes of them, and what comes of rolling those of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.style import (
    UNOBSERVED,
    UNOBSERVED_HATCH,
    Style,
    enlarged,
    finish_bar,
    inks,
    moment,
    new_figure,
    scale_of,
    styled,
    unobserved_patch,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_rolls", "draw_traversal"]

_FRAME = 9.0
_ROWS = ("images", "reconstructed", "first one rolled")
_STRIP = 150.0
"""Width of a row of frames, millimetres."""
_TALLEST = 15.0
"""Height of a row, millimetres."""
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Kilometres of a scale bar."""


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


def draw_traversal(
    observed: NDArray[Any],
    reconstructed: NDArray[Any],
    turned: NDArray[Any],
    names: Sequence[str],
    *,
    times: NDArray[np.datetime64],
    middle: int,
    cell: tuple[float, float],
    title: str = "",
    style: Style = "paper",
) -> Figure:
    """Draw a sequence of rain, its reconstruction, and one frame of it decoded while a capsule is rolled around.

    What is framed is one and the same frame: in the sequence, in its reconstruction, and rolled by no place.

    Parameters
    ----------
    observed, reconstructed
        ``(S, H, W)``, mm h-1, NaN where not observed.
    turned
        ``(rows, S, H, W)``: the frame `middle` with the capsules of a row rolled by 0, 1, 2 … places.
    names
        Of the rows.
    times
        Of the frames, UTC.
    middle
        Number of the frame that is rolled.
    cell
        Height and width of a pixel, km.
    title
        Above all.
    style
        ``paper`` or ``screen``.
    """
    length, height, width = observed.shape
    size = min(_TALLEST, _STRIP / length) * enlarged(style)
    rows = [observed, reconstructed, *turned]
    with styled(style):
        ratios = [1.0, 1.0, 0.32, *(1.0 for _ in turned)]
        figure = new_figure(size * length + 42 * enlarged(style), size * (sum(ratios) + 1.9))
        layout: Any = figure.get_layout_engine()
        layout.set(h_pad=0.012, hspace=0.0)
        cells = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
        axes = [figure.add_subplot(cells[place + (place > 1), 0]) for place in range(len(rows))]
        scale = scale_of("rain_rate", "mm h-1")
        colormap, norm = scale.colormap()
        for place, (axis, frames, name) in enumerate(zip(axes, rows, ("radar", "reconstructed", *names), strict=True)):
            axis.patch.set(facecolor=UNOBSERVED, hatch="//////", edgecolor=UNOBSERVED_HATCH, linewidth=0)
            strip = np.ma.masked_invalid(np.concatenate(list(frames), axis=1))
            shown = axis.imshow(strip, cmap=colormap, norm=norm, interpolation="nearest", aspect=cell[0] / cell[1])
            axis.set_yticks([height / 2 - 0.5], [name])
            axis.set_xticks([])
            axis.tick_params(length=0)
            _part(axis, length, width)
            _frame(axis, middle if place < 2 else 0, height, width, inks("paper").contrast)
        centres, every = (np.arange(length) + 0.5) * width - 0.5, 1 + (length - 1) // 14
        axes[0].xaxis.tick_top()
        axes[0].set_xticks(centres[::every], [moment(time)[11:16] for time in times[::every]])
        axes[-1].set_xticks(centres[::every], [str(number) for number in range(0, length, every)])
        axes[-1].set_xlabel(
            f"places by which the frame of {moment(times[middle])[11:16]} is rolled (speed: places a frame)"
        )
        _scale_bar(axes[0], height, width, cell)
        bar = figure.colorbar(shown, ax=axes, label=scale.label, extend=scale.extend, fraction=0.03, shrink=0.7)
        finish_bar(bar, scale)
        if not np.isfinite(observed).all():
            key = axes[2].legend(
                handles=[unobserved_patch()], loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderpad=0
            )
            key.set_in_layout(False)
        if title:
            axes[0].set_title(title, loc="left")
        return figure


def _part(axis: Axes, length: int, width: int) -> None:
    """Set frames side by side apart."""
    for spine in axis.spines.values():
        spine.set(visible=True, color="0.6", linewidth=0.4)
    for frame in range(1, length):
        axis.axvline(frame * width - 0.5, color="0.6", linewidth=0.4)


def _frame(axis: Axes, number: int, height: int, width: int, colour: str) -> None:
    """Frame one of the frames."""
    from matplotlib.patches import Rectangle

    corner = (number * width - 0.5, -0.5)
    axis.add_patch(
        Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=1.2, clip_on=False, zorder=5)
    )


def _scale_bar(axis: Axes, height: int, width: int, cell: tuple[float, float]) -> None:
    """Draw a bar of a round number of kilometres in the first frame."""
    from matplotlib.patheffects import withStroke

    kilometres = width * cell[1]
    length = min(_LENGTHS, key=lambda entry: abs(entry - 0.45 * kilometres))
    left, low = 0.07 * width, 0.9 * height
    halo = [withStroke(linewidth=2.5, foreground="white")]
    axis.plot([left, left + length / cell[1]], [low, low], color="#222222", linewidth=1.4, path_effects=halo)
    words: dict[str, Any] = {"ha": "left", "va": "bottom", "fontsize": "x-small", "color": "#222222"}
    axis.text(left, low - 0.06 * height, f"{length:g} km", path_effects=halo, **words)
