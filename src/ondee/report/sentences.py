"""What a validation found, in sentences that a person would write; none says more than its interval allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.plot.findings import Finding, Result, class_of, findings, judged, sources_of
from ondee.plot.series import Series, series
from ondee.report.sampling import sampling_words
from ondee.report.wording import counted, evidence_words, gain_words, gathered, plainly
from ondee.validation.faults import Rules

__all__ = ["Sentence", "summary"]

Settled = NDArray[np.bool_]
Topic = Literal["found", "clear", "open", "reference", "floor", "minute"]


@dataclass(frozen=True)
class Sentence:
    """One sentence of the summary.

    Parameters
    ----------
    topic
        What it is about; the report sets apart what was found.
    text
        Plain text.
    """

    topic: Topic
    text: str


def summary(result: Result) -> list[Sentence]:
    """Sum a validation up: faults first, then what is clear, what is open and why, the sampling floor, the minute.

    Parameters
    ----------
    result
        Groups of a validation: ``sensors``, ``scores/minute`` and ``scores/source`` are used where they are there.
    """
    entries = judged(result)
    parts = [
        *_found(entries),
        *_clear(entries),
        *_open(entries, result),
        *_reference(result),
        *(Sentence("floor", text) for text in sampling_words(result)),
        *_minutes(result),
    ]
    return parts or [Sentence("open", "Nothing could be scored: no half hour has both IMERG and radar rain.")]


# ---- faults


def _sources(entries: Iterable[Finding]) -> list[str]:
    """Sensors of some entries, each once."""
    return list(dict.fromkeys(entry.source for entry in entries))


def _found(entries: Sequence[Finding]) -> list[Sentence]:
    """One sentence a sensor with a fault; one that says there is none where nothing was found."""
    made = []
    for source in _sources(entry for entry in entries if entry.verdict == "found"):
        own = [entry for entry in entries if entry.source == source and entry.verdict == "found"]
        shifts = [plainly(entry) for entry in own if entry.kind in ("east", "north")]
        verbs = (
            {"bias": "reports", "clock": "reports its passes"} if own[0].is_sensor else {"bias": "has", "clock": "is"}
        )
        parts = [f"{verbs[entry.kind]} {plainly(entry)}" for entry in own if entry.kind in verbs]
        if shifts:
            parts.append(f"places its rain {gathered(shifts)}")
        made.append(Sentence("found", f"{source} {'; it '.join(parts)} ({evidence_words(own[0])})."))
    if made or not entries:
        return made
    if all(entry.verdict == "clear" for entry in entries):
        return [Sentence("clear", f"No fault was found in {gathered(_sources(entries))}.")]
    return [Sentence("clear", "No fault was found; that is no proof that there is none, as the following says.")]


_KIND_WORDS = {"bias": "amount", "east": "place", "north": "place", "clock": "clock"}


def _clear(entries: Sequence[Finding]) -> list[Sentence]:
    """Which sensors are clear of which kind, gathered by what they are clear of."""
    if entries and all(entry.verdict == "clear" for entry in entries):
        return [Sentence("clear", f"Every interval is narrow and reaches into the tolerance: {_tolerances(entries)}.")]
    groups: dict[tuple[str, ...], list[str]] = {}
    for source in _sources(entries):
        aspects = _aspects([entry for entry in entries if entry.source == source])
        clear = tuple(aspect for aspect, verdicts in aspects.items() if verdicts == {"clear"})
        if clear:
            groups.setdefault(clear, []).append(source)
    if not groups:
        return []
    told = [f"{gathered(sources)} in {gathered(clear)}" for clear, sources in groups.items()]
    used = [entry for entry in entries if entry.verdict == "clear"]
    return [
        Sentence(
            "clear",
            f"Clear, by intervals that are narrow and reach into the tolerance ({_tolerances(used)}): "
            f"{'; '.join(told)}.",
        )
    ]


def _aspects(entries: Iterable[Finding]) -> dict[str, set[str]]:
    """Verdicts on amount, place and clock."""
    made: dict[str, set[str]] = {}
    for entry in entries:
        made.setdefault(_KIND_WORDS[entry.kind], set()).add(entry.verdict)
    return made


def _tolerances(entries: Sequence[Finding]) -> str:
    """The tolerances in words, each once."""
    words = {}
    for entry in entries:
        if not np.isfinite(entry.tolerance):
            continue
        if entry.kind == "bias":
            words["amount"] = f"a factor of {1 + entry.tolerance:.3g}"
        elif entry.kind == "clock":
            words["clock"] = f"{entry.tolerance:g} min"
        else:
            words["place"] = f"{entry.tolerance:g} cell"
    return gathered(list(words.values())) or "no tolerance is stated"


def _open(entries: Sequence[Finding], result: Result) -> list[Sentence]:
    """What is not resolved and what it would take; sensors of which the same is true share a sentence."""
    groups: dict[tuple[str, str], list[str]] = {}
    for source in _sources(entries):
        own = [entry for entry in entries if entry.source == source and entry.verdict == "not resolved"]
        if own:
            what = gathered(list(dict.fromkeys(_KIND_WORDS[entry.kind] for entry in own)))
            groups.setdefault((what, _reason(own, result)), []).append(source)
    return [
        Sentence("open", f"Not resolved: {what} of {gathered(sources)}; {reason}{' each' * (len(sources) > 1)}.")
        for (what, reason), sources in groups.items()
    ]


def _reason(own: Sequence[Finding], result: Result) -> str:
    """Why a sensor is not resolved, and how many more passes it takes."""
    first = own[0]
    if first.views == 0:
        return f"no {'pass' if first.is_sensor else 'half hour'} while the radar saw rain"
    views = ("more pass", "more passes") if first.is_sensor else ("more half hour", "")
    nouns = {"views": views, "days": ("more day", "")}
    short = [
        counted(int(_rule(result, name)) - has, *nouns[name])
        for name, has in (("views", first.views), ("days", first.days))
        if _rule(result, name) > has
    ]
    if short:
        return (
            f"{evidence_words(first)} {'is' if first.views == 1 else 'are'} too few, at least {gathered(short)} needed"
        )
    if not any(np.isfinite([entry.low, entry.high]).all() for entry in own):
        return f"{evidence_words(first)} give no interval"
    more = [needed for entry in own if (needed := _more(entry, _widest(result, entry.kind))) > 0]
    if not more:
        return (
            f"the interval from {evidence_words(first)} leaves the tolerance, but not beyond chance among so many tests"
        )
    return (
        f"the intervals from {evidence_words(first)} are too wide, about {counted(max(more), *nouns['views'])} needed"
    )


def _rule(result: Result, name: str) -> float:
    """One of the rules by which faults are told; the default where the validation does not state it."""
    attributes = result["sensors"].attrs if "sensors" in result else {}
    return float(attributes.get(name, getattr(Rules(), name)))


def _widest(result: Result, kind: str) -> float:
    """Widest half interval that is resolved."""
    return _rule(result, "widest_shift" if kind in ("east", "north") else f"widest_{kind}")


def _more(entry: Finding, widest: float) -> int:
    """Passes that are missing until the interval is narrow enough, if it shrinks as 1/√passes."""
    half = _half(entry)
    if not np.isfinite(half):
        return 0
    reach = np.log1p(widest) if entry.kind == "bias" else widest
    more = entry.views * ((half / reach) ** 2 - 1)
    return _rounded(float(more)) if more > 0 else 0


def _rounded(count: float) -> int:
    """A count upwards to one digit that a person would say, from 10 on.

    Examples
    --------
    >>> _rounded(7.2), _rounded(31.0), _rounded(432.0)
    (8, 40, 500)
    """
    step = 10 ** max(int(np.floor(np.log10(max(count, 1.0)))), 0)
    return int(np.ceil(count / step) * step)


def _reference(result: Result) -> list[Sentence]:
    """How many of the faults the half-hour mean alone would have shown, and how much wider its intervals are."""
    sharp = [entry for entry in findings(result) if entry.verdict == "found"]
    blunt = {(entry.source, entry.kind): entry for entry in findings(result, "mean")}
    if not sharp or not blunt:
        return []
    missed = [entry for entry in sharp if getattr(blunt.get((entry.source, entry.kind)), "verdict", "") != "found"]
    held = len(sharp) - len(missed)
    if len(sharp) == 1:
        told = f"this fault is {'also' if held else 'not'} found"
    elif not missed:
        told = f"all {held} of these faults are found"
    else:
        told = f"{held or 'none'} of these {len(sharp)} faults {'is' if held < 2 else 'are'} found"
        lost = [f"the {_KIND_WORDS[entry.kind]} of {entry.source}" for entry in missed]
        told += f", not {gathered(lost)}" if held else ""
    return [Sentence("reference", f"With the half-hour mean of the radar alone {told}{_wider(result, blunt)}.")]


def _wider(result: Result, blunt: Mapping[tuple[str, str], Finding]) -> str:
    """How much wider the intervals of the half-hour mean are, in the median over sensors and kinds."""
    ratios = []
    for entry in findings(result):
        other = blunt.get((entry.source, entry.kind))
        widths = [_half(one) for one in (entry, other) if one is not None]
        if len(widths) == 2 and np.isfinite(widths).all() and min(widths) > 0:
            ratios.append(widths[1] / widths[0])
    if len(ratios) < _FEWEST_RATIOS:
        return ""
    middle = float(np.median(ratios))
    return f"; its intervals are {middle:.1f} times as wide (median of {len(ratios)})" if middle > 1.05 else ""


_FEWEST_RATIOS = 4
"""Pairs of intervals of which a median is worth telling."""


def _half(entry: Finding) -> float:
    """Half the width of an interval, of a gain in logarithms; NaN where there is none."""
    if not np.isfinite([entry.low, entry.high]).all() or (entry.kind == "bias" and entry.low <= 0):
        return float("nan")
    return 0.5 * float(np.log(entry.high / entry.low) if entry.kind == "bias" else entry.high - entry.low)


# ---- the minute


def _minutes(result: Result) -> list[Sentence]:
    """Best and worst minute of the half hour, and sensors whose amount leaves the radar's in one of them."""
    found = result.get("scores/minute")
    if found is None or "correlation" not in found:
        return []
    source = "microwave" if "microwave" in found["source"].values.astype(str) else "all"
    dimension, labels = class_of(found, "minute")
    made: list[Sentence] = []
    level: list[str] = []
    few = 0
    for comparison, (lead, words) in _AGREEING.items():
        if comparison not in found["comparison"].values.astype(str):
            continue
        curve = series(found, "correlation", source=source, comparison=comparison, population="all")
        places = np.flatnonzero(np.isfinite(curve.value) & _settled(found, comparison, source, dimension))
        if places.size < 2:
            few += int(np.isfinite(curve.value).any() and len(labels) > 1)
        elif ends := _best_and_worst(curve, places, labels):
            made.append(Sentence("minute", f"{lead} best {ends[0]} and worst {ends[1]}."))
        else:
            level.append(words)
    if level:
        text = f"No minute of the half hour stands out {gathered(level)}: the intervals of best and worst overlap."
        made.append(Sentence("minute", text))
    if few and not made:
        text = "At which minute of the half hour passes agree best with the radar is not resolved: too few rainy days."
        made.append(Sentence("minute", text))
    return made + _uneven(found, dimension, labels)


_AGREEING = {
    "mean": ("Against the half-hour mean, microwave passes agree", "against the half-hour mean"),
    "overpass": ("Against the radar at the overpass, microwave passes agree", "against the radar at the overpass"),
    "floor": ("A perfect snapshot (the sampling floor) agrees with the half-hour mean", "for a perfect snapshot"),
}
"""Comparison → start of a sentence, and what it is called among others."""
_NAMED = 0.1
"""Relative bias that is worth a sentence: the whole interval lies beyond it."""


def _settled(found: xr.Dataset, comparison: str, source: str, dimension: str) -> Settled:
    """Which classes are resolved; all where nothing is said."""
    if "resolved" not in found:
        return np.ones(found.sizes[dimension], dtype=bool)
    one = found["resolved"].sel(comparison=comparison, source=source).transpose(dimension)
    return np.asarray(one.values, dtype=bool)


def _uneven(found: xr.Dataset, dimension: str, labels: Sequence[str]) -> list[Sentence]:
    """Sensors whose amount depends on the minute of the pass: intervals of two minutes that do not touch."""
    made: list[Sentence] = []
    if "relative_bias" not in found or "overpass" not in found["comparison"].values.astype(str):
        return made
    for source in sources_of(found, "relative_bias", sensors=True):
        bias = series(found, "relative_bias", source=source, comparison="overpass", population="all")
        places = np.flatnonzero(np.isfinite(bias.value) & _settled(found, "overpass", source, dimension))
        if places.size < 2:
            continue
        order = places[np.argsort(abs(bias.value[places]))]
        near, far = int(order[0]), int(order[-1])
        apart = bias.low[far] > bias.high[near] or bias.high[far] < bias.low[near]
        if apart and (bias.low[far] > _NAMED or bias.high[far] < -_NAMED):
            told = [f"{_amount(bias, place)} when it passes in minutes {labels[place]}" for place in (far, near)]
            made.append(Sentence("minute", f"{source} sees {told[0]}, but {told[1]}."))
    return made


def _amount(bias: Series, place: int) -> str:
    """A relative bias in words; what its interval does not tell from none is none."""
    value, low, high = (float(part[place]) for part in bias)
    if low <= 0 <= high or not np.isfinite([low, high]).all():
        return "as much rain as the radar, within the interval,"
    return gain_words(Finding("", "bias", 1 + value, 1 + low, 1 + high, np.nan, "found", 0, 0))


def _best_and_worst(curve: Series, places: NDArray[np.intp], labels: Sequence[str]) -> list[str]:
    """Best and worst class of minutes in words; nothing where their intervals overlap."""
    best, worst = int(places[np.argmax(curve.value[places])]), int(places[np.argmin(curve.value[places])])
    if not curve.low[best] > curve.high[worst]:
        return []
    return [
        f"in minutes {labels[place]} (correlation {curve.value[place]:.2f} "
        f"[{curve.low[place]:.2f}, {curve.high[place]:.2f}])".replace("-", "−")
        for place in (best, worst)
    ]
