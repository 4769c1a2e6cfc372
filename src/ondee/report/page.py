"""The report of a verification: one HTML file with its figures inside, for the screen, the phone and the printer."""

from __future__ import annotations

import platform
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.output import check_target, whole
from ondee.plot.overview import draw_cases
from ondee.plot.series import estimates_of
from ondee.plot.style import Style, encoded, spelled, styled
from ondee.report.gallery import Picture, axes_picture, case_maps, level_of, pictures, strata_pictures
from ondee.report.table import Row, measure_of, shown_value, tabulate

__all__ = ["write_report"]

_MAGNIFIED = 1.9
"""Pixels of the page for one point of a figure: print letters of 8 points are read well on a screen."""
_HEADINGS = {
    "where": "Where the rain is",
    "what": "What rain it is",
    "amount": "How much rain",
    "probability": "What a probability is worth",
    "context": "Displacement and objects",
}
_SETTINGS = (
    ("command", "command"),
    ("version", "version of ondee"),
    ("commit", "commit"),
    ("date", "date"),
    ("truth", "truth"),
    ("reference", "reference"),
    ("period", "period, UTC"),
    ("frames", "frames"),
    ("days", "days"),
    ("pixels", "pixels compared"),
    ("pixel_km", "size of a pixel, km"),
    ("sample", "pixels that count"),
    ("quality", "least quality of the truth"),
    ("block", "length of a block of the bootstrap"),
    ("blocks", "number of blocks"),
    ("replicates", "replicates"),
    ("level", "level of the intervals"),
    ("thresholds", "thresholds, mm h⁻¹"),
    ("scales", "windows, pixels"),
)


def write_report(
    path: str | Path,
    scores: Mapping[str, xr.Dataset],
    facts: Mapping[str, Any],
    cases: xr.Dataset | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Path:
    """Write a verification as one HTML file that needs no other file, no script and no network.

    Maps of a case, the two-axis picture, the table, every figure that the scores allow with how to read it, the strata,
    what each score is blind to, the settings.

    Parameters
    ----------
    path
        Ends in ``.html``.
    scores
        Score name → finished Dataset with ``estimate``, and intervals as :func:`ondee.score.bootstrap` names them.
    facts
        Title, command, period, estimates and what else is known; what is absent is left out.
    cases
        ``rain_rate (panel, y, x)`` of one time, the truth first; no maps where None.
    style
        ``paper`` or ``screen``: how the figures look.
    force
        Overwrite a file that exists.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ConfigError
        If the name cannot be used, there is no such style, or the file exists and `force` is not set.
    StoreError
        If the disk refuses.
    """
    target = check_target(path, (".html", ".htm"), force=force)
    with styled(style):
        text = _page(scores, facts, cases, style)
    with whole(target, force=force) as draft:
        draft.write_text(text, encoding="utf-8")
    return target


def _page(scores: Mapping[str, xr.Dataset], facts: Mapping[str, Any], cases: xr.Dataset | None, style: Style) -> str:
    """Put the page together."""
    title = str(facts.get("title") or "Verification of rain")
    body = [_header(title, facts)]
    if cases is not None:
        body.append(_maps(cases, style))
    whole_picture = axes_picture(scores, facts)
    if whole_picture is not None:
        body.append(_section("two-axes", whole_picture.title, _figure(whole_picture, scores, style)))
    body.append(_section("table", "Main scores", _tables(tabulate(scores), facts, mutual=_is_mutual(scores))))
    shown = "".join(_entry(picture, scores, style) for picture in pictures(scores, facts))
    if shown:
        body.append(_section("figures", "Figures", shown))
    cut = "".join(_entry(picture, scores, style) for picture in strata_pictures(scores, facts))
    if cut:
        body.append(_section("strata", "Strata", cut))
    body.append(_section("blind", "What each score does not see", _blindness(scores)))
    body.append(_section("settings", "Settings and provenance", _settings(facts)))
    css = (files("ondee.report") / "page.css").read_text(encoding="utf-8")
    ground = "#16181d" if style == "screen" else "#ffffff"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="generator" content="ondee">\n'
        f"<title>{escape(title)}</title>\n<style>\n:root {{ --paper: {ground}; }}\n{css}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _header(title: str, facts: Mapping[str, Any]) -> str:
    """Title, and what was compared, in one line."""
    told = []
    if facts.get("truth"):
        told.append(f"truth: {facts['truth']}")
    if facts.get("period"):
        told.append(str(facts["period"]).replace("T", " ") + " UTC")
    for name in ("frames", "days", "pixels"):
        if facts.get(name):
            told.append(f"{_told(facts[name])} {name[:-1] if facts[name] == 1 else name}")
    links = "".join(
        f'<a href="#{anchor}">{words}</a> '
        for anchor, words in (
            ("table", "table"),
            ("figures", "figures"),
            ("blind", "blind spots"),
            ("settings", "settings"),
        )
    )
    return f"<header>\n<h1>{escape(title)}</h1>\n<p>{escape('  ·  '.join(told))}</p>\n<nav>{links}</nav>\n</header>"


def _section(anchor: str, heading: str, content: str) -> str:
    return f'<section id="{anchor}">\n<h2>{escape(heading)}</h2>\n{content}\n</section>'


def _entry(picture: Picture, scores: Mapping[str, xr.Dataset], style: Style) -> str:
    """One figure under its own heading."""
    heading = f"<h3>{escape(picture.title)}</h3>"
    return f'<article id="{escape(picture.name)}">\n{heading}\n{_figure(picture, scores, style)}\n</article>'


def _figure(picture: Picture, scores: Mapping[str, xr.Dataset], style: Style) -> str:
    """A figure as an image of outlines inside the page, with its caption."""
    names = ", ".join(estimates_of(scores))
    image = _image(encoded(picture.draw(style), ".svg"), "svg+xml", f"{picture.title}: {names}")
    return f"<figure>\n{image}\n<figcaption>{escape(picture.caption)}</figcaption>\n</figure>"


def _image(held: bytes, kind: str, words: str) -> str:
    """An image inside the page; the letters of a figure stay readable on a phone because it scrolls."""
    data = b64encode(held).decode("ascii")
    stated = re.search(rb'<svg[^>]*? width="([0-9.]+)pt"', held[:4000]) if kind == "svg+xml" else None
    width = f' width="{float(stated[1]) * _MAGNIFIED:.0f}"' if stated else ""
    return f'<div class="scroll"><img src="data:image/{kind};base64,{data}"{width} alt="{escape(words)}"></div>'


def _maps(cases: xr.Dataset, style: Style) -> str:
    """Maps of the case."""
    images = []
    for _, case, variable in case_maps(cases):
        names = ", ".join(str(name) for name in case["panel"].values)
        words = f"Maps of {variable.replace('_', ' ')}: {names}"
        images.append(_image(encoded(draw_cases(case, variable=variable, style=style), ".png"), "png", words))
    caption = (
        "The frame with most rain: the truth first, then each estimate (one member of an ensemble), all in one scale. "
        "Hatched grey was not observed; white was observed dry."
    )
    pictures = "\n".join(images)
    return _section("case", "One case", f"<figure>\n{pictures}\n<figcaption>{caption}</figcaption>\n</figure>")


def _is_mutual(scores: Mapping[str, xr.Dataset]) -> bool:
    """Whether differences were taken against every estimate."""
    return any(
        str(name).endswith("_difference") and "reference" in dataset[name].dims
        for dataset in scores.values()
        for name in dataset.data_vars
    )


def _tables(rows: Sequence[Row], facts: Mapping[str, Any], *, mutual: bool) -> str:
    """One table for each axis; `mutual` where differences have no single reference."""
    if not rows:
        return "<p>No score of the table is defined.</p>"
    parts = []
    for axis in dict.fromkeys(row.axis for row in rows):
        parts.append(_axis_table(_HEADINGS.get(axis, axis), [row for row in rows if row.axis == axis]))
    alone = facts.get("reference") and not mutual and len({row.estimate for row in rows}) > 1
    reference = f" Differences were taken against {escape(str(facts['reference']))}." if alone else ""
    note = (
        "<p>Rows are estimates. <b>Bold</b> is the best value of a column, with all that print the same; "
        "<span class='open'>grey</span> are values that the paired block bootstrap does not tell from the best (the "
        "interval of the difference holds 0). ↑ more is better, ↓ less is, → the best value. "
        f"Small: {level_of(facts)} interval.{reference}</p>"
    )
    return note + "".join(parts)


def _axis_table(heading: str, rows: Sequence[Row]) -> str:
    """Scores of one axis."""
    columns = list(dict.fromkeys(row.column for row in rows))
    cells = {(row.estimate, row.column): row for row in rows}
    first = {row.column: row for row in reversed(rows)}
    names = [
        name
        for name in dict.fromkeys(row.estimate for row in rows)
        if any(np.isfinite(cells[name, column].value) for column in columns)
    ]
    heads = ["estimate"]
    for column in columns:
        between = ", " if first[column].arrow.startswith("→") else " "
        below = between.join(part for part in (first[column].units, first[column].arrow) if part)
        heads.append(f"{escape(column)}<small>{escape(below) or '&nbsp;'}</small>")
    lines = [(escape(name), "".join(_cell(cells[name, column]) for column in columns)) for name in names]
    return _table("scores", heads, lines, caption=heading)


def _table(kind: str, heads: Iterable[str], lines: Iterable[tuple[str, str]], *, caption: str = "") -> str:
    """A table that scrolls where the page is narrow; each line has its name and its ready cells."""
    above = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    head = "".join(f'<th scope="col">{words}</th>' for words in heads)
    body = "".join(f'<tr><th scope="row">{name}</th>{cells}</tr>\n' for name, cells in lines)
    return (
        f'<div class="scroll"><table class="{kind}">\n{above}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n"
    )


def _cells(*words: str) -> str:
    """Cells of plain words."""
    return "".join(f"<td>{escape(text)}</td>" for text in words)


def _cell(row: Row) -> str:
    """A value over its interval."""
    if not np.isfinite(row.value):
        return '<td class="open">–</td>'
    text = shown_value(row.value, row.digits)
    small = ""
    if np.isfinite(row.low) and np.isfinite(row.high):
        small = f"<small>{shown_value(row.low, row.digits)} to {shown_value(row.high, row.digits)}</small>"
    if row.best:
        return f'<td class="best"><b>{text}</b>{small}</td>'
    return f"<td>{text}{small}</td>" if row.resolved else f'<td class="open">{text}{small}</td>'


def _blindness(scores: Mapping[str, xr.Dataset]) -> str:
    """What each score of the report does not see."""
    lines = []
    for score, dataset in scores.items():
        for name in map(str, dataset.data_vars):
            measure = measure_of(name)
            if measure is None or not np.isfinite(dataset[name].values.astype(float)).any():
                continue
            units = spelled(str(dataset[name].attrs.get("units", "1")))
            best = f"{measure.best:g}".replace("-", "−") if np.isfinite(measure.best) else "none"
            told = ("" if units == "1" else units, _range(measure.bounds), best, measure.blind, measure.source)
            lines.append((f"{escape(measure.long_name)}<small>{escape(score)}</small>", _cells(*told)))
    heads = ("score", "unit", "range", "best", "blind to", "source")
    return "<p>No score sees everything: read each with what it is blind to.</p>\n" + _table("words", heads, lines)


def _range(bounds: tuple[float, float]) -> str:
    """Smallest and largest value."""
    low, high = (
        f"{bound:.3g}".replace("-", "−") if np.isfinite(bound) else "−∞" if bound < 0 else "∞" for bound in bounds
    )
    return f"{low} to {high}"


def _settings(facts: Mapping[str, Any]) -> str:
    """Settings, estimates and the machine."""
    held = [(words, facts[name]) for name, words in _SETTINGS if _is_told(facts.get(name))]
    machine = facts.get("machine") or f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    held.append(("machine", machine))
    lines = ""
    for words, value in held:
        text = escape(_told(value))
        lines += f"<dt>{escape(words)}</dt><dd>{f'<code>{text}</code>' if words == 'command' else text}</dd>\n"
    return f"<dl>\n{lines}</dl>\n{_estimates(facts.get('estimates') or {})}"


def _estimates(estimates: Mapping[str, Mapping[str, Any]]) -> str:
    """What each estimate is."""
    if not estimates:
        return ""
    keys = ("product", "variable", "members", "frames", "missing_frames", "files")
    lines = []
    for name, about in estimates.items():
        known = {**about, "members": about.get("members") or None}
        lines.append((escape(name), _cells(*(_told(known.get(key)) for key in keys))))
    return _table("words", ("estimate", *(key.replace("_", " ") for key in keys)), lines)


def _is_told(value: Any) -> bool:
    """Whether a fact is known."""
    return value is not None and not (isinstance(value, float) and np.isnan(value)) and value not in ("", [], ())


def _told(value: Any) -> str:
    """Write a fact: whole numbers in groups of three, lists with commas.

    Examples
    --------
    >>> _told([0.1, 1.0]), _told(None)
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
        return ", ".join(f"{key}: {_told(held)}" for key, held in value.items())
    return ", ".join(_told(entry) for entry in value) if isinstance(value, Iterable) else str(value)
