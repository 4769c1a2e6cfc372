"""What each estimate looks like: one colour, one dash and one mark, the same in every figure of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ondee.plot.style import Style

__all__ = ["MODEL_COLOURS", "Look", "looks", "truth_ink"]

# On white the eight are those of Okabe and Ito 2008 with their yellow and black exchanged for purple and brown, which
# show on white; on the dark ground each is turned lighter near its hue. Any two stay at least 17 CIELAB units apart
# for normal, protan and deutan eyes (a test says so); dashes and marks carry them through grey print.
MODEL_COLOURS: dict[Style, tuple[str, ...]] = {
    "paper": ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e6a100", "#56b4e9", "#5b1a6e", "#6f4a00"),
    "screen": ("#5d92dd", "#dd922a", "#2ae88d", "#c5a2b5", "#dadd30", "#dfc9ff", "#866cf8", "#8c8e47"),
}
"""Colours of estimates by their position, for each style."""
_DASHES: tuple[Any, ...] = (
    "solid",
    (0, (5, 1.6)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1.2)),
    (0, (8, 1.4, 1.2, 1.4, 1.2, 1.4)),
    (0, (1.2, 2.4)),
    (0, (10, 2.5)),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


class Look(NamedTuple):
    """How an estimate is drawn."""

    colour: str
    dashes: Any
    marker: str
    hollow: bool

    def line(self) -> dict[str, Any]:
        """Keywords of a line without marks."""
        return {"color": self.colour, "linestyle": self.dashes}

    def mark(self, size: float = 4.5) -> dict[str, Any]:
        """Keywords of a mark.

        Parameters
        ----------
        size
            Width of the mark, points.
        """
        return {
            "marker": self.marker,
            "markersize": size,
            "markerfacecolor": "none" if self.hollow else self.colour,
            "markeredgecolor": self.colour,
            "markeredgewidth": 0.9,
        }


def looks(names: Sequence[str], style: Style) -> dict[str, Look]:
    """Look of each estimate by its position; from the ninth on the colours come again with hollow marks.

    Parameters
    ----------
    names
        Estimates in their order.
    style
        ``paper`` or ``screen``.
    """
    colours = MODEL_COLOURS[style]
    count = len(colours)
    return {
        name: Look(
            colours[place % count],
            _DASHES[(place + place // count) % len(_DASHES)],
            _MARKERS[(place + place // count) % len(_MARKERS)],
            place >= count,
        )
        for place, name in enumerate(names)
    }


def truth_ink(style: Style) -> str:
    """Colour of the truth: the ink of the text."""
    return "#1a1a1a" if style == "paper" else "#e8eaed"
