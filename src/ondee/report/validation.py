"""The report of a validation: one HTML file with sentences, tables, figures and a slider through the half hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.output import check_target, disk_errors, whole
from ondee.plot.findings import KINDS, Finding, Result, class_of, judged, signed, sources_of
from ondee.plot.heat import heat_of, printed
from ondee.plot.style import Style, encoded_all, styled
from ondee.report.exhibits import exhibits
from ondee.report.figures import kept
from ondee.report.gallery import level_of
from ondee.report.latent import LATENT_ANCHOR, LATENT_HEADING
from ondee.report.opening import citations, header, title_of
from ondee.report.parts import blindness, bullets, definitions, document, is_told, section, table, told
from ondee.report.retrieval import ANCHOR, HEADING
from ondee.report.sentences import Sentence, summary
from ondee.report.slider import STEP, script, slider
from ondee.report.table import shown_value
from ondee.report.truth import Planted, planted_of, planted_words, truth_words
from ondee.score import SCORES
from ondee.validation.result import Validation, read_validation

__all__ = ["write_validation_report"]

_SETTINGS = (
    ("command", "command"),
    ("version", "version of ondee"),
    ("commit", "commit"),
    ("date", "date"),
    ("imerg", "IMERG"),
    ("radar", "radar"),
    ("period", "period, UTC"),
    ("half_hours", "half hours"),
    ("half_hours_without_radar", "half hours without radar"),
    ("days", "days"),
    ("cells", "cells compared"),
    ("grid", "grid"),
    ("block", "length of a block of the bootstrap"),
    ("blocks", "number of blocks"),
    ("replicates", "replicates"),
    ("level", "level of the intervals"),
    ("seed", "seed"),
    ("reading", "how files were read"),
    ("settings", "settings"),
    ("left_out", "left out"),
)
_HEADINGS = (
    ("minutes", "Sensor by minute"),
    ("timing", "Clock and place"),
    ("half-hours", "Half hour by half hour"),
    ("maps", "Maps"),
    ("sources", "By source"),
    ("strata", "Strata"),
)
_NAMES = {
    "relative_bias": "Relative bias, %",
    "correlation": "Correlation",
    "probability_of_detection": "Detected (POD), ≥ 0.1 mm/h",
    "false_alarm_ratio": "False alarms (FAR), ≥ 0.1 mm/h",
}


def write_validation_report(
    result: Validation | str | Path,
    path: str | Path,
    *,
    figures: str | Path | None = None,
    planted: Planted | None = None,
    retrieval: str = "",
    latents: str = "",
    style: Style = "paper",
    force: bool = False,
) -> Path:
    """Write a validation as one HTML file that needs no other file and no network.

    Every figure is also written as PNG and SVG beside it.

    Parameters
    ----------
    result
        From :func:`ondee.validation.run.validate`, or the folder that it filled.
    path
        Ends in ``.html``.
    figures
        Folder of the figures; ``figures`` beside `path` where None.
    planted
        True size of each fault by sensor and kind, where the truth is known: the page then says what was planted.
    retrieval
        Section on retrievals from :func:`ondee.report.retrieval.retrieval_section`; none where empty.
    latents
        Section on latents of rain from :func:`ondee.report.latent.latent_section`; none where empty.
    style
        ``paper`` or ``screen``: how the figures look.
    force
        Overwrite files that exist.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ConfigError
        If a name cannot be used, there is no such style, or a file exists and `force` is not set.
    StoreError
        If the folder holds no validation, or the disk refuses.
    """
    target = check_target(path, (".html", ".htm"), force=force)
    made = result if isinstance(result, Validation) else read_validation(result)
    folder = Path(figures) if figures is not None else target.parent / "figures"
    with styled(style):
        drawn = _drawn(made, folder, target.parent, planted, style, force)
        text = _page(made.groups, made.facts, drawn, planted, {ANCHOR: retrieval, LATENT_ANCHOR: latents}, style)
    with whole(target, force=force) as draft:
        draft.write_text(text, encoding="utf-8")
    return target


def _drawn(
    made: Validation, folder: Path, beside: Path, planted: Planted | None, style: Style, force: bool
) -> dict[str, list[str]]:
    """Draw and save every figure; give those of each section as HTML."""
    parts: dict[str, list[str]] = {}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for place, picture in exhibits(made.groups, made.facts, planted):
        figure = picture.draw(style)
        if figure is None:
            continue
        held = encoded_all(figure, (".png", ".svg"))
        shown = ".png" if picture.name.startswith("maps") else ".svg"  # maps as pixels, all else as outlines
        about = (picture.name, picture.title, picture.caption)
        parts.setdefault(place, []).append(kept(about, held, folder, beside, shown=shown, force=force))
    return parts


def _page(
    groups: Result,
    facts: Mapping[str, Any],
    drawn: Mapping[str, Sequence[str]],
    planted: Planted | None,
    models: Mapping[str, str],
    style: Style,
) -> str:
    """Put the page together; `models` holds ready sections on what trained models do, by their anchors."""
    more = {anchor: text for anchor, text in models.items() if text}
    sections = {name: list(parts) for name, parts in drawn.items()}
    minutes = _minutes(groups)
    if minutes:
        sections.setdefault("minutes", []).append(minutes)
    if "cases" in groups and groups["cases"].sizes.get("time", 0):
        sections["half-hours"] = [_slider(groups["cases"])]
    entries = judged(groups)
    body = [header(facts, groups, _links([name for name, _ in _HEADINGS if name in sections], more))]
    truth = truth_words(groups, planted) if planted is not None else ""
    body.append(section("summary", "Summary", _summary(summary(groups), truth)))
    verdicts = (_verdicts(entries, facts, planted) if entries else "") + "\n".join(sections.get("faults", []))
    if verdicts:
        body.append(section("verdicts", "Verdicts", verdicts))
    body += [section(name, words, "\n".join(sections[name])) for name, words in _HEADINGS if name in sections]
    body += more.values()
    body.append(section("blind", "What each score does not see", _blind(_scores(groups))))
    body.append(section("data", "How to cite the data", citations(facts)))
    body.append(section("settings", "Settings and provenance", definitions(_SETTINGS, _flat(facts))))
    return document(title_of(facts), body, style, script=script() if "half-hours" in sections else "")


def _links(held: Sequence[str], models: Iterable[str]) -> dict[str, str]:
    """Anchors of the page and their words."""
    names = {"verdicts": "verdicts", **{name: words.lower() for name, words in _HEADINGS if name in held}}
    headings = {ANCHOR: HEADING, LATENT_ANCHOR: LATENT_HEADING}
    names |= {anchor: headings[anchor].lower() for anchor in models}
    return names | {"blind": "blind spots", "data": "data", "settings": "settings"}


def _summary(sentences: Sequence[Sentence], truth: str) -> str:
    """Sentences as a list, what was found set apart, then the truth where it is known."""
    told: list[tuple[str, str]] = [(one.topic, one.text) for one in sentences]
    if truth:
        place = sum(topic == "found" for topic, _ in told)
        told.insert(place or 1, ("truth", truth))
    return bullets(told)


def _verdicts(entries: Sequence[Finding], facts: Mapping[str, Any], planted: Planted | None) -> str:
    """Sensor by kind of fault, each with its size, interval and verdict."""
    heads = ["source", *(_head(kind.title) for kind in KINDS.values()), "passes<small>or half hours</small>", "days"]
    lines = []
    for source in dict.fromkeys(entry.source for entry in entries):
        own = {entry.kind: entry for entry in entries if entry.source == source}
        first = next(iter(own.values()))
        counts = f"<td>{told(first.views)}</td><td>{told(first.days)}</td>"
        cells = "".join(_verdict(own.get(kind), planted_of(planted, own.get(kind))) for kind in KINDS)
        lines.append((escape(source), cells + counts))
    note = (
        f"<p>Size of each fault with its {level_of(facts)} interval, against the radar at the minute of the pass. "
        "<b>Found</b>: the whole interval lies beyond the tolerance. Clear: it is narrow and reaches into the "
        "tolerance. Not resolved: too few passes or days, or too wide an interval. Lag and displacement were estimated "
        "together. Passes and days are those with rain.</p>\n"
    )
    return note + table("scores verdicts", heads, lines)


def _head(title: str) -> str:
    """Name of a column over its unit."""
    name, _, unit = title.partition(" (")
    return f"{escape(name)}<small>{escape(unit.rstrip(')'))}</small>"


def _verdict(entry: Finding | None, planted: float | None) -> str:
    """One cell of the table of verdicts: a number over its interval, and the verdict as a word."""
    if entry is None or not np.isfinite(entry.value):
        return '<td class="open">–<small>not resolved</small></td>'
    digits = entry.about.digits
    write = shown_value if entry.kind == "bias" else signed
    interval = ""
    if np.isfinite([entry.low, entry.high]).all():
        interval = f"{write(entry.low, digits)} to {write(entry.high, digits)}"
    kind = entry.verdict.replace("not resolved", "open")
    size = write(entry.value, digits)
    shown = f"<b>{size}</b>" if entry.verdict == "found" else size
    word = escape(entry.verdict)
    if planted is not None:
        word += f"; planted {escape(planted_words(entry.kind, planted))}"
    return f'<td class="{kind}">{shown}<small>{interval}</small><small>{word}</small></td>'


def _minutes(groups: Result) -> str:
    """Sensor by minute as tables: the value over its interval, the sampling floor as the last row."""
    found = groups.get("scores/minute")
    if found is None or "overpass" not in found["comparison"].values.astype(str):
        return ""
    parts = "".join(_minute_table(found, name, words) for name, words in _NAMES.items() if name in found)
    return f"<details><summary>The same with intervals, as tables</summary>\n{parts}</details>\n" if parts else ""


def _minute_table(found: xr.Dataset, name: str, words: str) -> str:
    """One score: sensors against the minute of the pass."""
    dimension, labels = class_of(found, "minute")
    sensors = sources_of(found, name, sensors=True)
    rows = [*sensors, *(["microwave"] if "microwave" in found["source"].values.astype(str) and sensors else [])]
    if not rows:
        return ""
    lines = [
        (escape(row), _minute_cells(name, *(part[0] for part in heat_of(found, name, "overpass", [row], dimension))))
        for row in rows
    ]
    floor = heat_of(found, name, "floor", [rows[-1]], dimension) if "floor" in found["comparison"].values else None
    if floor is not None:
        lines.append(("sampling floor", _minute_cells(name, *(part[0] for part in floor))))
    heads = ["minute of the pass", *(escape(label) for label in labels)]
    return table("scores heat", heads, lines, caption=f"{words}, against the radar at the overpass")


def _minute_cells(name: str, value: Any, low: Any, high: Any, settled: Any) -> str:
    """Cells of one row; what is not resolved says so."""
    cells = ""
    for one, least, most, sure in zip(value, low, high, settled, strict=True):
        if not np.isfinite(one):
            cells += '<td class="open">–</td>'
            continue
        interval = ""
        if np.isfinite([least, most]).all():
            interval = f"{printed(name, float(least))} to {printed(name, float(most))}"
        mark = "" if sure else ' class="open hatched" title="not resolved"'
        cells += f"<td{mark}>{printed(name, float(one))}<small>{interval}</small></td>"
    return cells


def _slider(cases: xr.Dataset) -> str:
    """The slider with how to read it."""
    note = (
        "<p>The half hours with most rain, in order of time. Arrow keys move; values are held in steps of "
        f"{shown_value(STEP, 2)} mm/h. White was observed dry, hatched grey was not observed, plain grey had no pass "
        "of a microwave sensor.</p>\n"
    )
    return f'<div class="wide">{note}{slider(cases)}</div>'


def _scores(groups: Result) -> dict[str, xr.Dataset]:
    """Scores of the report by the name of their score."""
    found = groups.get("scores/source")
    if found is None:
        return {}
    parts = {score: [name for name in names if name in found] for score, names in SCORES.items()}
    return {score: found[names] for score, names in parts.items() if names}


_SHOWN = (
    "relative_bias",
    "correlation",
    "root_mean_square_error",
    "probability_of_detection",
    "false_alarm_ratio",
    "total_error",
    "hit_error",
    "missed_rain",
    "false_rain",
    "fractions_skill_score",
    "spectral_coherence",
    "effective_resolution",
)
"""Scores of the figures and sentences; the others stand in ``scores.nc``."""


def _blind(scores: Mapping[str, xr.Dataset]) -> str:
    """What the scores of the page do not see, then those of the file."""
    chosen = {name: held[[own for own in held.data_vars if own in _SHOWN]] for name, held in scores.items()}
    others = {name: held.drop_vars([own for own in held.data_vars if own in _SHOWN]) for name, held in scores.items()}
    parts = [f"<details><summary>The scores of this page</summary>\n{blindness(chosen)}</details>"]
    if any(held.data_vars for held in others.values()):
        parts.append(f"<details><summary>Further scores of scores.nc</summary>\n{blindness(others)}</details>")
    return "".join(parts)


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with what is not known left out of their parts."""
    return {
        name: {key: part for key, part in held.items() if is_told(part)} if isinstance(held, Mapping) else held
        for name, held in facts.items()
    }
