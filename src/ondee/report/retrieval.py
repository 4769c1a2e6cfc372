"""The section of a report that shows rain retrieved from infrared: one scene side by side, and a few numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.plot.retrieval import draw_retrievals
from ondee.plot.style import Style, encoded, spelled
from ondee.report.parts import image, section, table

__all__ = ["ANCHOR", "COLUMNS", "HEADING", "INSTALL", "estimates", "retrieval_section"]

ANCHOR, HEADING = "retrieval", "Rain from infrared"
INSTALL = "pip install 'ondee[retrieval]'"
COLUMNS: tuple[tuple[str, Mapping[str, Any], str, str, int], ...] = (
    ("critical_success_index", {"threshold": 0.1}, "CSI ≥ 0.1", "↑", 2),
    ("critical_success_index", {"threshold": 1.0}, "CSI ≥ 1", "↑", 2),
    ("wet_fraction_ratio", {}, "rainy area / radar's", "→ 1", 2),
    ("largest_ratio", {}, "strongest rain / radar's", "→ 1", 2),
    ("evaluations", {}, "evaluations", "", 0),
    ("seconds", {}, "seconds a field", "↓", 2),
)
"""Variable, where in it, head, which way is better, and digits."""


def retrieval_section(scene: xr.Dataset | None, numbers: xr.Dataset | None = None, *, style: Style = "paper") -> str:
    """Make the section, as HTML.

    Parameters
    ----------
    scene
        As of :func:`ondee.plot.retrieval.draw_retrievals`; None where torch is not installed: the section then says
        how to install it.
    numbers
        By ``estimate``: ``critical_success_index (estimate, threshold)``, ``wet_fraction_ratio``, ``largest_ratio`` (of
        99.9 % quantiles), ``evaluations`` and ``seconds``; attributes ``moments``, ``members`` and ``size`` (km).
    style
        ``paper`` or ``screen``.

    Raises
    ------
    ConfigError
        If numbers are given that lack a variable.
    """
    if scene is None:
        words = f"<p>Retrievals need torch, which is not installed: <code>{escape(INSTALL)}</code>.</p>"
        return section(ANCHOR, HEADING, words)
    shown = image(encoded(draw_retrievals(scene, style=style), ".png"), "png", _told(scene))
    caption = (
        "One moment of synthetic weather that no model has seen. The regression (unet) smooths what it does not know; "
        "a draw of the diffusion (ddpm) or of the flow looks like rain and is one possibility of many. Where the "
        "members of the flow agree, the probability is high."
    )
    parts = [_opening(), f"<figure>\n{shown}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"]
    if numbers is not None:
        parts += [_table(numbers), _reading(numbers)]
    return section(ANCHOR, HEADING, "\n".join(parts))


def estimates(numbers: xr.Dataset) -> Iterator[tuple[str, list[str]]]:
    """Go through the estimates: the name of each, and its numbers as text, one for each of the columns.

    Parameters
    ----------
    numbers
        As of :func:`retrieval_section`; what is undefined gives an empty text.

    Raises
    ------
    ConfigError
        If a variable is not there.
    """
    absent = [name for name, *_ in COLUMNS if name not in numbers]
    if absent:
        raise ConfigError(
            f"there is no {absent[0]} of the retrievals",
            where="numbers",
            fix="give " + ", ".join(dict.fromkeys(name for name, *_ in COLUMNS)) + " by estimate",
        )
    for name in map(str, numbers["estimate"].values):
        one = numbers.sel(estimate=name)
        values = [(_at(one[variable], chosen), digits) for variable, chosen, _, _, digits in COLUMNS]
        yield name, [f"{value:.{digits}f}" if np.isfinite(value) else "" for value, digits in values]


def _told(scene: xr.Dataset) -> str:
    names = [str(name) for name in scene["panel"].values]
    return "Infrared image and rain of one moment: " + ", ".join(names)


def _opening() -> str:
    return (
        "<p>The same infrared image allows many fields of rain. A mean of them is right in place and blurred; one of "
        "them has the look of radar, and by theory its squared error at each pixel is twice that of the mean. The flow "
        "gives both: members, and what they say together. The weights were learnt from other synthetic weather. "
        "<b>No skill is claimed on real infrared.</b></p>"
    )


def _table(numbers: xr.Dataset) -> str:
    """Numbers of each estimate."""
    heads = ["estimate", *(f"{escape(head)}<small>{arrow or '&nbsp;'}</small>" for _, _, head, arrow, _ in COLUMNS)]
    lines = [(escape(name), "".join(map(_cell, texts))) for name, texts in estimates(numbers)]
    rate = spelled("mm h-1")
    return table("scores", heads, lines, caption=f"A few moments of the event; thresholds in {rate}")


def _at(array: xr.DataArray, chosen: Mapping[str, Any]) -> float:
    return float(array.sel(chosen, method="nearest") if chosen else array)


def _cell(text: str) -> str:
    return f"<td>{text}</td>" if text else '<td class="open">–</td>'


def _reading(numbers: xr.Dataset) -> str:
    """What the numbers are of, and what they cannot say."""
    about = numbers.attrs
    told: Sequence[str] = (
        f"{about.get('moments', '?')} moments of one event on {about.get('size', '?')} km, pooled;",
        f"{about.get('members', '?')} members of the flow, scored as draws and as their mean.",
        "Moments of one event are no ranking of models: that wants whole days and intervals "
        "(<code>ondee verify</code>, and the page on retrievals of the documentation).",
    )
    return f"<p>{' '.join(told)}</p>"
