"""The report of a verification: one HTML file with its figures inside, for the screen, the phone and the printer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.output import check_target, whole
from ondee.plot.overview import draw_cases
from ondee.plot.series import estimates_of
from ondee.plot.style import Style, encoded, styled
from ondee.report.gallery import Picture, axes_picture, case_maps, level_of, pictures, strata_pictures
from ondee.report.parts import blindness, cells, definitions, document, image, section, table, told
from ondee.report.table import Row, shown_value, tabulate

__all__ = ["write_report"]

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
        body.append(section("two-axes", whole_picture.title, _figure(whole_picture, scores, style)))
    body.append(section("table", "Main scores", _tables(tabulate(scores), facts, mutual=_is_mutual(scores))))
    shown = "".join(_entry(picture, scores, style) for picture in pictures(scores, facts))
    if shown:
        body.append(section("figures", "Figures", shown))
    cut = "".join(_entry(picture, scores, style) for picture in strata_pictures(scores, facts))
    if cut:
        body.append(section("strata", "Strata", cut))
    body.append(section("blind", "What each score does not see", blindness(scores)))
    body.append(section("settings", "Settings and provenance", _settings(facts)))
    return document(title, body, style)


def _header(title: str, facts: Mapping[str, Any]) -> str:
    """Title, and what was compared, in one line."""
    words = []
    if facts.get("truth"):
        words.append(f"truth: {facts['truth']}")
    if facts.get("period"):
        words.append(str(facts["period"]).replace("T", " ") + " UTC")
    for name in ("frames", "days", "pixels"):
        if facts.get(name):
            words.append(f"{told(facts[name])} {name[:-1] if facts[name] == 1 else name}")
    links = "".join(
        f'<a href="#{anchor}">{name}</a> '
        for anchor, name in (
            ("table", "table"),
            ("figures", "figures"),
            ("blind", "blind spots"),
            ("settings", "settings"),
        )
    )
    return f"<header>\n<h1>{escape(title)}</h1>\n<p>{escape('  ·  '.join(words))}</p>\n<nav>{links}</nav>\n</header>"


def _entry(picture: Picture, scores: Mapping[str, xr.Dataset], style: Style) -> str:
    """One figure under its own heading."""
    heading = f"<h3>{escape(picture.title)}</h3>"
    return f'<article id="{escape(picture.name)}">\n{heading}\n{_figure(picture, scores, style)}\n</article>'


def _figure(picture: Picture, scores: Mapping[str, xr.Dataset], style: Style) -> str:
    """A figure as an image of outlines inside the page, with its caption."""
    names = ", ".join(estimates_of(scores))
    drawn = image(encoded(picture.draw(style), ".svg"), "svg+xml", f"{picture.title}: {names}")
    return f"<figure>\n{drawn}\n<figcaption>{escape(picture.caption)}</figcaption>\n</figure>"


def _maps(cases: xr.Dataset, style: Style) -> str:
    """Maps of the case."""
    images = []
    for _, case, variable in case_maps(cases):
        names = ", ".join(str(name) for name in case["panel"].values)
        words = f"Maps of {variable.replace('_', ' ')}: {names}"
        images.append(image(encoded(draw_cases(case, variable=variable, style=style), ".png"), "png", words))
    caption = (
        "The frame with most rain: the truth first, then each estimate (one member of an ensemble), all in one scale. "
        "Hatched grey was not observed; white was observed dry."
    )
    pictures = "\n".join(images)
    return section("case", "One case", f"<figure>\n{pictures}\n<figcaption>{caption}</figcaption>\n</figure>")


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
    return table("scores", heads, lines, caption=heading)


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


def _settings(facts: Mapping[str, Any]) -> str:
    """Settings, estimates and the machine."""
    return definitions(_SETTINGS, facts) + _estimates(facts.get("estimates") or {})


def _estimates(estimates: Mapping[str, Mapping[str, Any]]) -> str:
    """What each estimate is."""
    if not estimates:
        return ""
    keys = ("product", "variable", "members", "frames", "missing_frames", "files")
    lines = []
    for name, about in estimates.items():
        known = {**about, "members": about.get("members") or None}
        lines.append((escape(name), cells(*(told(known.get(key)) for key in keys))))
    return table("words", ("estimate", *(key.replace("_", " ") for key in keys)), lines)
