"""Parts of a page that every report is made of: document, section, image, table, list of settings."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
import xarray as xr

from ondee.plot.style import Style, spelled
from ondee.provenance import machine
from ondee.report.table import measure_of

__all__ = [
    "blindness",
    "bullets",
    "cells",
    "definitions",
    "document",
    "image",
    "is_told",
    "section",
    "table",
    "told",
    "value_range",
]

_MAGNIFIED = 1.9
"""Pixels of the page for one point of a figure: print letters of 8 points are read well on a screen."""


def document(title: str, body: Iterable[str], style: Style, *, script: str = "") -> str:
    """Put a page together that needs no other file and no network.

    Parameters
    ----------
    title
        Title of the window, plain text.
    body
        Parts of the page, HTML.
    style
        Style of its figures, which lie on paper of that colour.
    script
        Program at the end of the page; none where empty.
    """
    css = (files("ondee.report") / "page.css").read_text(encoding="utf-8")
    ground = "#16181d" if style == "screen" else "#ffffff"
    program = f"\n<script>\n{script}</script>" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="generator" content="ondee">\n'
        f"<title>{escape(title)}</title>\n<style>\n:root {{ --paper: {ground}; }}\n{css}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"{program}\n</body>\n</html>\n"
    )


def section(anchor: str, heading: str, content: str) -> str:
    """One section under its heading.

    Parameters
    ----------
    anchor
        Name of the section in links.
    heading
        Plain text.
    content
        HTML.
    """
    return f'<section id="{anchor}">\n<h2>{escape(heading)}</h2>\n{content}\n</section>'


def image(held: bytes, kind: str, words: str) -> str:
    """An image inside the page; the letters of a figure stay readable on a phone because it scrolls.

    Parameters
    ----------
    held
        The file.
    kind
        ``svg+xml`` or ``png``.
    words
        What it shows, for those who do not see it.
    """
    data = b64encode(held).decode("ascii")
    stated = re.search(rb'<svg[^>]*? width="([0-9.]+)pt"', held[:4000]) if kind == "svg+xml" else None
    width = f' width="{float(stated[1]) * _MAGNIFIED:.0f}"' if stated else ""
    return f'<div class="scroll"><img src="data:image/{kind};base64,{data}"{width} alt="{escape(words)}"></div>'


def table(kind: str, heads: Iterable[str], lines: Iterable[tuple[str, str]], *, caption: str = "") -> str:
    """A table that scrolls where the page is narrow; each line has its name and its ready cells.

    Parameters
    ----------
    kind
        Class of the table: ``scores`` or ``words``.
    heads
        Heads of the columns, HTML.
    lines
        Name of each row and its cells, HTML.
    caption
        Plain text above it.
    """
    above = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    head = "".join(f'<th scope="col">{words}</th>' for words in heads)
    body = "".join(f'<tr><th scope="row">{name}</th>{cells}</tr>\n' for name, cells in lines)
    return (
        f'<div class="scroll"><table class="{kind}">\n{above}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n"
    )


def cells(*words: str) -> str:
    """Cells of plain words.

    Parameters
    ----------
    *words
        Text of each.
    """
    return "".join(f"<td>{escape(text)}</td>" for text in words)


def bullets(sentences: Iterable[tuple[str, str]]) -> str:
    """Sentences of a summary as a list, each set apart by its topic.

    Parameters
    ----------
    sentences
        Topic, which is the class of the entry, and plain text.
    """
    lines = "\n".join(f'<li class="{topic}">{escape(text)}</li>' for topic, text in sentences)
    return f'<ul class="summary">\n{lines}\n</ul>'


def blindness(scores: Mapping[str, xr.Dataset]) -> str:
    """What each score of the report does not see, as a table.

    Parameters
    ----------
    scores
        Score name → finished Dataset; what is defined nowhere is left out.
    """
    lines = []
    for score, dataset in scores.items():
        for name in map(str, dataset.data_vars):
            measure = measure_of(name)
            if measure is None or not np.isfinite(dataset[name].values.astype(float)).any():
                continue
            units = spelled(str(dataset[name].attrs.get("units", "1")))
            best = f"{measure.best:g}".replace("-", "−") if np.isfinite(measure.best) else "none"
            entry = ("" if units == "1" else units, value_range(measure.bounds), best, measure.blind, measure.source)
            lines.append((f"{escape(measure.long_name)}<small>{escape(score)}</small>", cells(*entry)))
    heads = ("score", "unit", "range", "best", "blind to", "source")
    return "<p>No score sees everything: read each with what it is blind to.</p>\n" + table("words", heads, lines)


def value_range(bounds: tuple[float, float]) -> str:
    """Smallest and largest value of a measure.

    Examples
    --------
    >>> value_range((-1.0, float("inf")))
    '−1 to ∞'
    """
    low, high = (
        f"{bound:.3g}".replace("-", "−") if np.isfinite(bound) else "−∞" if bound < 0 else "∞" for bound in bounds
    )
    return f"{low} to {high}"


def definitions(settings: Iterable[tuple[str, str]], facts: Mapping[str, Any]) -> str:
    """Settings and the machine as a list of terms.

    Parameters
    ----------
    settings
        Key of each fact and its words, in their order; what is not known is left out.
    facts
        What is known.
    """
    held = [(words, facts[name]) for name, words in settings if is_told(facts.get(name))]
    held.append(("machine", facts.get("machine") or machine()))
    lines = ""
    for words, value in held:
        text = escape(told(value))
        lines += f"<dt>{escape(words)}</dt><dd>{f'<code>{text}</code>' if words == 'command' else text}</dd>\n"
    return f"<dl>\n{lines}</dl>\n"


def is_told(value: Any) -> bool:
    """Whether a fact is known.

    Parameters
    ----------
    value
        Anything; NaN, None and what is empty are not known.
    """
    return value is not None and not (isinstance(value, float) and np.isnan(value)) and value not in ("", [], ())


def told(value: Any) -> str:
    """Write a fact: whole numbers in groups of three, lists with commas.

    Examples
    --------
    >>> told([0.1, 1.0]), told(None)
    ('0.1, 1', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{int(value):,}".replace(",", "\u202f")
    if isinstance(value, float | np.floating):
        return f"{float(value):g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {told(held)}" for key, held in value.items())
    return ", ".join(told(entry) for entry in value) if isinstance(value, Iterable) else str(value)
