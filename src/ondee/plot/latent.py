"""Figures of rain told by latents: capsules rolled through a sequence, and a forecast by their roll."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.plot.style import (
    UNOBSERVED,
    UNOBSERVED_HATCH,
    Scale,
    Style,
    enlarged,
    finish_bar,
    inks,
    moment,
    new_figure,
    save,
    scale_of,
    styled,
    unobserved_patch,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_forecast", "draw_traversal"]

_KNOWN = {"observed": "radar", "reconstructed": "reconstructed"}
_COMES = {"came": "what came", "rolled": "latents\nrolled on", "persistent": "last frame\nas it is"}
"""Rows of a forecast, and how they are called."""
_STRIP = 150.0
"""Width of a row of frames, millimetres."""
_TALLEST = 15.0
"""Height of a row, millimetres."""
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Kilometres of a scale bar."""


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
        for place, (axis, frames, name) in enumerate(zip(axes, rows, ("radar", "reconstructed", *names), strict=True)):
            shown = _row(axis, frames, name, scale, cell)
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


def draw_forecast(
    storm: xr.Dataset, path: str | Path | None = None, *, style: Style = "paper", force: bool = False
) -> Figure:
    """Draw a known storm, its reconstruction, and what comes: observed, rolled on in latents, and left as it is.

    The last known frame, whose latents are rolled, is framed.

    Parameters
    ----------
    storm
        Rain in mm h-1, NaN where not observed: ``observed`` and ``reconstructed`` ``(time, y, x)`` of the known frames,
        which end at ``time`` in UTC; ``came``, ``rolled`` and ``persistent`` ``(lead, y, x)``, leads in minutes. Of
        y and x in m the cell is told.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If a variable is absent, or the figure cannot be written.
    """
    absent = [name for name in (*_KNOWN, *_COMES) if name not in storm]
    if absent:
        raise ConfigError(
            f"there is no {absent[0]} of the storm",
            where="storm",
            fix=f"give {', '.join(_KNOWN)} (time, y, x) and {', '.join(_COMES)} (lead, y, x)",
        )
    columns, length = storm.sizes["lead"], storm.sizes["time"]
    every = max(1, (length - 1) // columns)
    held = storm.isel(time=list(range(length - 1, -1, -every))[:columns][::-1])
    height, width = held["observed"].shape[1:]
    down, across = (float(abs(held[axis].values[1] - held[axis].values[0])) / 1000 for axis in ("y", "x"))
    last, accent = held["time"].values[-1], inks("paper").contrast
    with styled(style):
        size = _STRIP / columns
        figure = new_figure((_STRIP + 38) * enlarged(style), (size * 5.2 * down / across + 22) * enlarged(style))
        layout: Any = figure.get_layout_engine()
        layout.set(h_pad=0.012, hspace=0.0)
        cells = figure.add_gridspec(6, 1, height_ratios=[1.0, 1.0, 0.2, 1.0, 1.0, 1.0])
        axes = [figure.add_subplot(cells[place + (place > 1), 0]) for place in range(5)]
        scale = scale_of("rain_rate", "mm h-1", "rain rate")
        names = {**_KNOWN, **_COMES}
        for axis, (name, words) in zip(axes, names.items(), strict=True):
            shown = _row(axis, np.asarray(held[name].values), words, scale, (down, across))
        for axis in axes[:2]:
            _frame(axis, held.sizes["time"] - 1, height, width, accent)
        _times(axes[0], [moment(time)[11:] for time in held["time"].values], width)
        leads = [(int(lead), last + np.timedelta64(int(lead), "m")) for lead in held["lead"].values]
        _times(axes[2], [f"+{lead} min, {moment(time)[11:16]}" for lead, time in leads], width)
        _scale_bar(axes[0], height, width, (down, across))
        bar = figure.colorbar(shown, ax=axes, label=scale.label, extend=scale.extend, fraction=0.03, shrink=0.6)
        finish_bar(bar, scale)
        if not all(np.isfinite(held[name].values).all() for name in names):
            key = axes[1].legend(
                handles=[unobserved_patch()], loc="upper right", bbox_to_anchor=(1, 0), frameon=False, borderpad=0
            )
            key.set_in_layout(False)
        figure.suptitle(moment(last)[:10], x=0.01, ha="left", fontsize="medium", color=inks(style).muted)
    if path is not None:
        save(figure, path, force=force)
    return figure


def _row(axis: Axes, frames: NDArray[Any], name: str, scale: Scale, cell: tuple[float, float]) -> Any:
    """Draw frames of rain ``(S, H, W)`` side by side, with a name to their left."""
    colormap, norm = scale.colormap()
    axis.patch.set(facecolor=UNOBSERVED, hatch="//////", edgecolor=UNOBSERVED_HATCH, linewidth=0)
    strip = np.ma.masked_invalid(np.concatenate(list(frames), axis=1))
    shown = axis.imshow(strip, cmap=colormap, norm=norm, interpolation="nearest", aspect=cell[0] / cell[1])
    axis.set_yticks([frames.shape[1] / 2 - 0.5], [name])
    axis.set_xticks([])
    axis.tick_params(length=0)
    _part(axis, len(frames), frames.shape[2])
    return shown


def _times(axis: Axes, words: Sequence[str], width: int) -> None:
    """Say above each frame of a row when it was."""
    axis.xaxis.tick_top()
    axis.set_xticks((np.arange(len(words)) + 0.5) * width - 0.5, words)


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
