"""Figures of latents that roll: sequences, what a model makes of them, the roll of one frame, the space laid flat."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.plot.palette import MODEL_COLOURS
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
    save,
    scale_of,
    spelled,
    styled,
    unobserved_patch,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ondee.encoding import Atlas

__all__ = ["draw_atlas", "draw_capsule_rolls", "draw_forecast", "draw_places", "draw_rolls", "draw_traversal"]

_FRAME = 9.0
_ROWS = ("images", "reconstructed", "first one rolled")
_KNOWN = {"observed": "radar", "reconstructed": "reconstructed"}
_COMES = {"came": "what came", "rolled": "latents\nrolled on", "persistent": "last frame\nas it is"}
"""Rows of a forecast, and how they are called."""
_STRIP = 150.0
"""Width of a row of frames, millimetres."""
_TALLEST = 15.0
"""Height of a row, millimetres."""
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Kilometres of a scale bar."""
_PANEL = 36.0
"""Width of a panel of rolls, millimetres."""
_TORUS = 86.0
"""Width of a torus, millimetres."""
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
