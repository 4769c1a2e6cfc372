"""Tables of the judging of retrievals, as sections of one Markdown file that the documentation includes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import machine
from ondee.plot.series import Scores, series

__all__ = [
    "Described",
    "Goal",
    "brief",
    "differences",
    "goals",
    "head",
    "how_sure",
    "put",
    "row_of_differences",
    "table_of",
    "what",
    "where",
    "winners",
]

_PIXELS = 5
"""Side of the window of the fractions skill score, pixels."""
_SHORTEST = 16.0
"""Wavelength in km, four pixels, from which spectra are compared: shorter waves are those of the pixels."""
_LEVELS = (0.1, 1.0, 5.0)


class Described(NamedTuple):
    """What a table says of an estimate beside its scores."""

    model: str
    product: str
    evaluations: int
    members: int


@dataclass(frozen=True)
class Goal:
    """One line of what was asked for.

    Parameters
    ----------
    words
        What.
    asked
        Of it.
    found
        With its interval.
    met
        Whether; None where it cannot be told.
    """

    words: str
    asked: str
    found: str
    met: bool | None


class _Value(NamedTuple):
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3, *, signed: bool = False, interval: bool = True) -> str:
        if not np.isfinite(self.value):
            return "–"
        form = f"{'+' if signed else ''}.{digits}f"
        told = f"{self.value:{form}}"
        if interval and np.isfinite([self.low, self.high]).all():
            told += f" [{self.low:{form}}, {self.high:{form}}]"
        return told.replace("-", "−")


def _of(scores: Scores, score: str, variable: str, estimate: str, **chosen: object) -> _Value:
    """A number of the scores; NaN where it is not there."""
    if score not in scores or variable not in scores[score]:
        return _Value(np.nan, np.nan, np.nan)
    found = series(scores[score], variable, estimate=estimate, **chosen)
    return _Value(*(float(np.asarray(part).reshape(-1)[0]) for part in found))


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown.

    Parameters
    ----------
    heads
        Of the columns.
    rows
        Cells.
    """
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _named(described: Mapping[str, Described], name: str) -> list[str]:
    one = described[name]
    return [name if one.product != "draw" else f"{name}, a draw", str(one.evaluations)]


def where(scores: Scores, described: Mapping[str, Described]) -> str:
    """Table of scores of place, with intervals.

    Parameters
    ----------
    scores
        Of a verification.
    described
        Estimates in the order of the table.
    """
    rows = []
    for name in described:
        cells = [_of(scores, "event", "critical_success_index", name, threshold=level).text() for level in _LEVELS]
        cells += [
            _of(scores, "event", variable, name, threshold=0.1).text(interval=False)
            for variable in ("probability_of_detection", "false_alarm_ratio")
        ]
        for level in _LEVELS[1:]:
            cells.append(_of(scores, "fractions", "fractions_skill_score", name, threshold=level, scale=_PIXELS).text())
        rows.append([*_named(described, name), *cells])
    heads = ["", "ev.", *(f"CSI {level:g}" for level in _LEVELS), "POD 0.1", "FAR 0.1", "FSS 1", "FSS 5"]
    return table_of(heads, rows)


def _spectral(scores: Scores, name: str, transform: str) -> _Value:
    """Largest distance of the power from the radar's at the waves that count, dB, with its sign."""
    found = scores.get("spectrum")
    if found is None:
        return _Value(np.nan, np.nan, np.nan)
    ratio = series(found, "spectral_ratio", estimate=name, transform=transform)
    waves = found["wavelength"].values.astype(float)
    held = np.flatnonzero((waves >= _SHORTEST) & np.isfinite(ratio.value))
    if not held.size:
        return _Value(np.nan, np.nan, np.nan)
    worst = held[np.argmax(np.abs(ratio.value[held]))]
    return _Value(*(float(part[worst]) for part in ratio))


def what(scores: Scores, described: Mapping[str, Described]) -> str:
    """Table of scores of kind, with intervals.

    Parameters
    ----------
    scores, described
        As of :func:`where`.
    """
    rows = []
    for name, one in described.items():
        if one.product == "median":
            continue  # a median is no field that anyone would take for rain
        cells = [
            _of(scores, "distribution", "wet_fraction_ratio", name).text(2),
            _of(scores, "distribution", "quantile_ratio", name, probability=0.999).text(2),
            _spectral(scores, name, "rain").text(1, signed=True),
            _spectral(scores, name, "decibel").text(1, signed=True),
            _of(scores, "spectrum", "power_resolution", name, transform="rain").text(0, interval=False),
            _of(scores, "axes", "realism_error", name).text(2),
        ]
        rows.append([*_named(described, name), *cells])
    heads = [
        "",
        "ev.",
        "wet ratio",
        "q99.9 ratio",
        "spectrum, dB",
        "spectrum of dB(R), dB",
        "resolved, km",
        "error, dB",
    ]
    return table_of(heads, rows)


def how_sure(scores: Scores, described: Mapping[str, Described]) -> str:
    """Table of scores of the ensembles, and the mean absolute error of single fields, which is their CRPS.

    Parameters
    ----------
    scores, described
        As of :func:`where`.
    """
    rows = []
    for name, one in described.items():
        if one.product not in ("draw", "field"):
            continue
        gaps = [
            _of(scores, "replicate", "replicate_gap_critical_success_index", name, threshold=level).text(signed=True)
            for level in _LEVELS[:2]
        ]
        cells = [
            str(max(one.members, 1)),
            _crps(scores, name).text(4),
            _of(scores, "spread", "spread_skill_ratio", name).text(2),
            *gaps,
            _of(scores, "ranks", "outlier_share", name).text(interval=False),
            _of(scores, "probability", "brier_score", name, threshold=1.0).text(4, interval=False),
            _of(scores, "probability", "reliability", name, threshold=1.0).text(4, interval=False),
        ]
        rows.append([name, *cells])
    heads = ["", "members", "CRPS, mm/h", "spread/skill", "replicate gap, CSI 0.1", "CSI 1"]
    return table_of([*heads, "outliers", "Brier 1", "reliability 1"], rows)


def brief(scores: Scores, described: Mapping[str, Described]) -> str:
    """One table of models that differ in one choice: a row for each, both axes and calibration side by side.

    Parameters
    ----------
    scores, described
        As of :func:`where`.
    """
    rows = []
    for name, one in described.items():
        if one.product not in ("draw", "field"):
            continue
        best = f"{name} detected" if f"{name} detected" in described else name
        mean = f"{name} mean" if f"{name} mean" in described else name
        cells = [
            _crps(scores, name).text(4),
            _of(scores, "event", "critical_success_index", best, threshold=0.1).text(interval=False),
            _of(scores, "event", "critical_success_index", mean, threshold=1.0).text(interval=False),
            _of(scores, "event", "critical_success_index", best, threshold=5.0).text(interval=False),
            _of(scores, "event", "critical_success_index", name, threshold=0.1).text(interval=False),
            _of(scores, "fractions", "fractions_skill_score", name, threshold=1.0, scale=_PIXELS).text(interval=False),
            _of(scores, "distribution", "quantile_ratio", name, probability=0.999).text(2, interval=False),
            _spectral(scores, name, "decibel").text(1, signed=True, interval=False),
            _of(scores, "axes", "realism_error", name).text(2, interval=False),
            _of(scores, "spread", "spread_skill_ratio", name).text(2, interval=False),
        ]
        rows.append([name, str(one.evaluations), *cells])
    fields = ["CSI 0.1 detected", "CSI 1 mean", "CSI 5 detected"]
    draws = ["CSI 0.1 draw", "FSS 1 draw", "q99.9 ratio", "spectrum of dB(R), dB", "error, dB"]
    return table_of(["", "ev.", "CRPS, mm/h", *fields, *draws, "spread/skill"], rows)


def _crps(scores: Scores, name: str) -> _Value:
    """Fair CRPS over all rates; of a single field its mean absolute error."""
    found = _of(scores, "crps", "fair_crps", name, tail=0.0)
    return found if np.isfinite(found.value) else _of(scores, "point", "mean_absolute_error", name, population="all")


_DIFFERENCES: tuple[tuple[str, str, Mapping[str, object], str], ...] = (
    *(("event", "critical_success_index", {"threshold": level}, f"CSI {level:g}") for level in _LEVELS),
    *(
        ("fractions", "fractions_skill_score", {"threshold": level, "scale": _PIXELS}, f"FSS {level:g}")
        for level in _LEVELS[1:]
    ),
    ("crps", "fair_crps", {"tail": 0.0}, "CRPS, mm/h"),
)


def differences(scores: Scores, pairs: Sequence[tuple[str, str]]) -> str:
    """Table of paired differences; bold where the interval is clear of zero.

    Parameters
    ----------
    scores
        Of a verification.
    pairs
        Names of who and against whom.
    """
    rows = [row_of_differences(scores, one, other) for one, other in pairs]
    return table_of(["", *(words for *_, words in _DIFFERENCES)], rows)


def row_of_differences(scores: Scores, one: str, other: str) -> list[str]:
    """One row of the table of differences, its name first.

    Parameters
    ----------
    scores
        Of a verification.
    one, other
        Who, and against whom.
    """
    cells = []
    for score, variable, chosen, _ in _DIFFERENCES:
        gap = _difference(scores, score, variable, one, other, **chosen)
        told = gap.text(4 if score == "crps" else 3, signed=True)
        cells.append(f"**{told}**" if _clear(gap) else told)
    return [f"{one} − {other}", *cells]


_CONTESTS: tuple[tuple[str, str, Mapping[str, object], str, float], ...] = (
    *((score, variable, chosen, words, 1.0) for score, variable, chosen, words in _DIFFERENCES[:-1]),
    ("crps", "fair_crps", {"tail": 0.0}, "CRPS of an ensemble", -1.0),
    ("axes", "realism_error", {}, "error of spectrum and tail", -1.0),
)


def winners(scores: Scores, named: Sequence[str]) -> str:
    """Who is best at what, and who cannot be told from the best, as a list.

    Parameters
    ----------
    scores
        Of a verification.
    named
        Estimates that compete.
    """
    lines = []
    for score, variable, chosen, words, sign in _CONTESTS:
        held = {name: _of(scores, score, variable, name, **chosen).value for name in named}
        held = {name: value for name, value in held.items() if np.isfinite(value)}
        if len(held) < 2:
            continue
        best = max(held, key=lambda name: sign * held[name])
        gaps = {name: _difference(scores, score, variable, name, best, **chosen) for name in held if name != best}
        gaps = {name: gap for name, gap in gaps.items() if np.isfinite(gap.value)}
        open_ = [name for name, gap in gaps.items() if not _clear(gap)]
        told = "; not told from it: " + ", ".join(map(_coded, open_)) if open_ else ", clear of all others"
        lines.append(f"- {words}: **{_coded(best)}** ({held[best]:.3f}){told}")
    return "\n".join(lines)


def _coded(name: str) -> str:
    return f"`{name}`"


def _difference(scores: Scores, score: str, variable: str, one: str, other: str, **chosen: object) -> _Value:
    return _of(scores, score, f"{variable}_difference", one, reference=other, **chosen)


def _clear(gap: _Value) -> bool:
    return bool(gap.low > 0 or gap.high < 0)


def goals(scores: Scores, described: Mapping[str, Described], flow: str, regression: str, rival: str) -> list[Goal]:
    """What a flow was asked for, and what was found.

    Parameters
    ----------
    scores, described
        As of :func:`where`.
    flow
        Name of its draws.
    regression, rival
        Names of the regression and of the model that it is to beat.
    """
    made = []
    for field in (f"{flow} mean", f"{flow} detected"):
        for level in _LEVELS:
            gap = _difference(scores, "event", "critical_success_index", field, regression, threshold=level)
            words = f"CSI {level:g} of `{field}` less that of `{regression}`"
            made.append(_goal(words, "≥ −0.01", gap, gap.value >= -0.01, signed=True))
    made += _own_goals(scores, flow)
    for score, variable, where_in_it, words in _DIFFERENCES[:-1]:
        gap = _difference(scores, score, variable, flow, rival, **where_in_it)
        told = f"{words} of a draw less that of `{rival}`"
        made.append(_goal(told, "> 0, clear of it", gap, gap.low > 0, signed=True))
    rivals = [name for name, one in described.items() if one.product in ("draw", "field")]
    held = {name: _crps(scores, name).value for name in rivals}
    best = sorted((name for name in held if np.isfinite(held[name])), key=lambda name: held[name])
    told = ", ".join(f"`{name}` {held[name]:.4f}" for name in best[:3])
    made.append(Goal("best CRPS of all", f"`{flow}`", told, best[:1] == [flow]))
    return made


def _own_goals(scores: Scores, flow: str) -> list[Goal]:
    """Goals of the draws themselves: spectrum, histogram, calibration."""
    made = []
    for transform, words in (("rain", "spectrum of a draw"), ("decibel", "spectrum of a draw, of dB(R)")):
        found = _spectral(scores, flow, transform)
        told = f"{words}, largest distance from {_SHORTEST:g} km on, dB"
        made.append(_goal(told, "within ± 1", found, abs(found.value) <= 1, digits=2, signed=True))
    wanted: tuple[tuple[str, str, float, float, str, Mapping[str, object]], ...] = (
        ("distribution", "wet_fraction_ratio", 0.9, 1.1, "wet fraction over the radar's", {}),
        ("distribution", "quantile_ratio", 0.8, 1.25, "99.9 % quantile over the radar's", {"probability": 0.999}),
        ("spread", "spread_skill_ratio", 0.9, 1.1, "spread over skill", {}),
    )
    for score, variable, low, high, words, chosen in wanted:
        found = _of(scores, score, variable, flow, **chosen)
        made.append(_goal(words, f"{low:g} to {high:g}", found, low <= found.value <= high, digits=2))
    for level in _LEVELS:
        gap = _of(scores, "replicate", "replicate_gap_critical_success_index", flow, threshold=level)
        made.append(_goal(f"replicate gap of CSI {level:g}", "below 0.02", gap, abs(gap.value) < 0.02, signed=True))
    return made


def _goal(words: str, asked: str, found: _Value, met: bool, *, digits: int = 3, signed: bool = False) -> Goal:
    return Goal(words, asked, found.text(digits, signed=signed), bool(met) if np.isfinite(found.value) else None)


def goals_table(made: Sequence[Goal]) -> str:
    """Goals as a table.

    Parameters
    ----------
    made
        From :func:`goals`.
    """
    verdict = {True: "yes", False: "**no**", None: "–"}
    rows = [[goal.words, goal.asked, goal.found, verdict[goal.met]] for goal in made]
    return table_of(["", "asked", "found", "met"], rows)


def head(command: str, facts: Mapping[str, object]) -> str:
    """Machine, date, commit and what was compared, as a list.

    Parameters
    ----------
    command
        That was typed.
    facts
        Further lines.
    """
    held = machine()
    told = {name: held[name] for name in ("processor", "cores", "commit", "date")}
    lines = [f"- {name}: {value}" for name, value in {**facts, **told}.items()]
    return "\n".join([f"Written by `{command}`.", "", *lines, ""])


def put(path: Path, name: str, text: str) -> None:
    """Put a section into the file, in place of the one of that name.

    Parameters
    ----------
    path
        Markdown file; made if it is not there.
    name
        Of the section: ``<!-- name -->`` to ``<!-- /name -->``, by which pages include it.
    text
        Its content.
    """
    opening = "# Retrievals, judged\n\nNumbers are written by `python -m benchmarks.retrieval`, none by hand.\n"
    whole = path.read_text(encoding="utf-8") if path.exists() else opening
    made = f"<!-- {name} -->\n{text.strip()}\n<!-- /{name} -->\n"
    pattern = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- /{re.escape(name)} -->\n", re.DOTALL)
    whole = pattern.sub(lambda _: made, whole) if pattern.search(whole) else f"{whole}\n{made}"
    path.write_text(whole, encoding="utf-8")
