"""Words on a figure: names beside their curves, names near their marks, the legend above the panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ondee.plot.palette import truth_ink
from ondee.plot.series import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["halo", "legend_above", "name_beside", "name_near"]

_ANGLES = (0, 180, 35, -35, 145, -145, 90, -90, 60, -60, 120, -120, 15, -15, 165, -165)
"""Directions from a mark to its name, degrees, the best to read first."""


def halo(ax: Axes) -> list[Any]:
    """Path effects that keep words readable on lines: a rim in the colour of the ground.

    Parameters
    ----------
    ax
        The panel.
    """
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.2, foreground=ax.get_facecolor())]


def name_beside(ax: Axes, ends: Sequence[tuple[float, str, str]], *, gap: float = 0.0) -> None:
    """Write names right of the panel at the height of their values, moved apart where two would touch.

    Parameters
    ----------
    ax
        The panel; its limits must stand.
    ends
        Value, words and colour.
    gap
        Least distance of two names as a share of the panel's height; from the size of the letters where 0.
    """
    if not ends:
        return
    figure = ax.get_figure(root=True)
    figure.canvas.draw()  # type: ignore[union-attr]  # the layout must stand before heights are known
    tall = ax.get_window_extent().height
    letter = 1.35 * figure.dpi / 72 * _small_letter()  # type: ignore[union-attr]
    least = gap or letter / max(tall, letter)
    entries = sorted(
        (float((ax.transScale + ax.transLimits).transform((ax.get_xlim()[1], value))[1]), words, colour)
        for value, words, colour in ends
    )
    places = _apart([float(np.clip(place, 0.0, 1.0)) for place, _, _ in entries], least)
    for (_, words, colour), place in zip(entries, places, strict=True):
        ax.annotate(
            words,
            (1.0, place),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize="small",
            annotation_clip=False,
        )


def _small_letter() -> float:
    """Height of the small letters in points."""
    import matplotlib as mpl

    return float(mpl.rcParams["font.size"]) * 0.83


def _apart(places: list[float], least: float) -> list[float]:
    """Ascending places moved as little as it takes to lie `least` apart, and back into the panel from its top."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least) if moved else place)
    ceiling = max(1.0, (len(moved) - 1) * least)
    for index in range(len(moved) - 1, -1, -1):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - least
    return moved


def legend_above(
    page: Sheet,
    names: Sequence[str],
    *,
    marks: bool = False,
    unlined: Sequence[str] = (),
    lines: Sequence[tuple[str, Any]] = (),
) -> None:
    """Name the estimates above all panels, each with its line and mark.

    Parameters
    ----------
    page
        The figure and the looks.
    names
        Estimates to name.
    marks
        Whether they are drawn with marks.
    unlined
        Those that are drawn as a mark alone.
    lines
        Words and dashes of lines that mean the same for every estimate; they follow the names, in ink.
    """
    from matplotlib.lines import Line2D

    handles = []
    for name in names:
        look = page.looks[name]
        drawn: dict[str, Any] = {**look.line(), **(look.mark() if marks else {})}
        if name in unlined:
            drawn["linestyle"] = "none"
        handles.append(Line2D([], [], label=name, **drawn))
    ink = truth_ink(page.style)
    handles += [Line2D([], [], label=words, color=ink, linestyle=dashes) for words, dashes in lines]
    told = [*names, *(words for words, _ in lines)]
    widest = max((len(words) for words in told), default=1)
    columns = max(1, min(len(told), int(105 / (widest + 9))))
    page.figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        handlelength=2.6,
        columnspacing=1.4,
        borderaxespad=0.0,
        labelcolor=[*(page.looks[name].colour for name in names), *(ink for _ in lines)],
    )


def name_near(
    ax: Axes,
    entries: Sequence[tuple[float, float, str, str]],
    avoid: Sequence[tuple[float, float]] = (),
    *,
    distance: float = 6.0,
    size: float = 0.83,
    once: bool = False,
) -> None:
    """Write names near their marks, each where it covers least of the other names, of marks and of the margin.

    Parameters
    ----------
    ax
        The panel; its limits must stand.
    entries
        x, y, words and colour of each name.
    avoid
        Further places to leave free.
    distance
        From the mark to its name, points.
    size
        Letters relative to those of the figure.
    once
        Whether a name is left out that would lie on the same words of another mark.
    """
    import matplotlib as mpl

    figure: Any = ax.get_figure(root=True)
    figure.canvas.draw()
    points = figure.dpi / 72
    letter = float(mpl.rcParams["font.size"]) * size
    panel = ax.get_window_extent()
    marks = [ax.transData.transform(place) for place in [*avoid, *((x, y) for x, y, _, _ in entries)]]
    wide = 2.5 * points
    blocks = [np.array([x - wide, y - wide, x + wide, y + wide]) for x, y in marks]
    placed: list[tuple[str, NDArray[np.float64]]] = []
    frame = np.array([panel.x0, panel.y0, panel.x1, panel.y1])
    for x, y, words, colour in entries:
        at = ax.transData.transform((x, y))
        width, height = 0.62 * letter * points * len(words), 1.2 * letter * points
        best: tuple[float, float, float, NDArray[np.float64]] | None = None
        for reach in (1.0, 2.2, 3.6, 5.2, 7.0):
            for angle in np.radians(_ANGLES):
                shift = reach * distance * points
                dx = shift * np.cos(angle) + (np.cos(angle) - 1) / 2 * width
                dy = shift * np.sin(angle) - height / 2
                box = np.array([at[0] + dx, at[1] + dy, at[0] + dx + width, at[1] + dy + height])
                cost = 3 * sum(_overlap(box, block) for block in blocks)
                cost += 20 * sum(_overlap(box, name) for _, name in placed) + 6 * (
                    width * height - _overlap(box, frame)
                )
                cost += (reach - 1.0) * 0.02 * width * height
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, dx, dy, box)
        assert best is not None
        if once and any(told == words and _overlap(best[3], name) > 0 for told, name in placed):
            continue
        placed.append((words, best[3]))
        far = float(np.hypot(best[1] + width / 2, best[2] + height / 2)) > width / 2 + 2.5 * distance * points
        ax.annotate(
            words,
            (x, y),
            xytext=(best[1] / points, (best[2] + height / 2) / points),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=letter,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.6} if far else None,
            zorder=6,
            path_effects=halo(ax),
        )


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return float(max(wide, 0.0) * max(tall, 0.0))
