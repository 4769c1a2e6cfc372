"""The answer of a validation beside the truth, where faults were planted."""

from __future__ import annotations

from collections.abc import Mapping

from ondee.plot.findings import KINDS, Finding, Result
from ondee.report.wording import gathered
from ondee.validation.outcome import Outcome, outcomes

__all__ = ["Planted", "planted_of", "planted_words", "spelled_fault", "truth_words"]

Planted = Mapping[tuple[str, str], float]
"""True size of a fault by sensor and kind."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def planted_words(kind: str, size: float) -> str:
    """Size of a planted fault, as short as a table needs it.

    Examples
    --------
    >>> planted_words("bias", 1.5), planted_words("east", -1.0), planted_words("clock", 10.0)
    ('× 1.5', '−1 cell', '+10 min')
    """
    if kind == "bias":
        return f"× {size:g}"
    unit = KINDS[kind].unit if abs(size) != 1 or kind == "clock" else "cell"
    return f"{size:+g} {unit}".replace("-", "−")


def spelled_fault(kind: str, size: float) -> str:
    """Size and direction of a fault in words.

    Examples
    --------
    >>> spelled_fault("bias", 1.5), spelled_fault("north", -1.0), spelled_fault("clock", 10.0)
    ('rain × 1.5', '1 cell south', 'clock 10 min late')
    """
    if kind == "bias":
        return f"rain × {size:g}"
    much = f"{abs(size):g}"
    if kind == "clock":
        return f"clock {much} min {'late' if size > 0 else 'early'}"
    ways = {"east": ("east", "west"), "north": ("north", "south")}[kind]
    return f"{much} {'cell' if much == '1' else 'cells'} {ways[0] if size > 0 else ways[1]}"


def truth_words(result: Result, planted: Planted) -> str:
    """Say which planted faults were found, whether the intervals hold them, and whether a sound sensor was accused.

    Parameters
    ----------
    result
        Groups of a validation, with ``sensors``.
    planted
        What was planted; empty where nothing was.
    """
    if "sensors" not in result:
        return ""
    every = list(outcomes(result["sensors"], planted))
    faults = [one for one in every if one.planted is not None]
    accused = [one for one in every if one.planted is None and one.verdict == "found"]
    parts = [_found(faults), _accused(accused, len(every) - len(faults))]
    named = [f"{one.sensor} {spelled_fault(one.kind, one.truth)}" for one in faults]
    lead = f"The truth is known. Planted: {'; '.join(named)}." if named else "The truth is known: nothing was planted."
    return " ".join([lead, *(part for part in parts if part)])


def _found(faults: list[Outcome]) -> str:
    """How many were found, and with what interval."""
    if not faults:
        return ""
    found = [one for one in faults if one.verdict == "found"]
    held = sum(one.held for one in found)
    number = _NUMBERS[len(faults)] if len(faults) < len(_NUMBERS) else str(len(faults))
    if len(faults) == 1:
        told = "It was found" if found else "It was not found"
    elif len(found) == len(faults):
        told = f"All {number} were found"
    else:
        lost = gathered([f"that of {one.sensor}" for one in faults if one.verdict != "found"])
        told = f"{len(found) or 'None'} of the {number} {'was' if len(found) < 2 else 'were'} found, not {lost}"
    if not found:
        return f"{told}."
    if held == len(found):
        return f"{told}, and {'each' if held > 1 else 'its'} interval holds the planted size."
    if len(found) == 1:
        return f"{told}, but its interval misses the planted size."
    return f"{told}, but {held or 'none'} of {len(found)} intervals {'holds' if held < 2 else 'hold'} the planted size."


def _accused(accused: list[Outcome], sound: int) -> str:
    """Whether something was found where nothing was planted."""
    if not accused:
        return f"Of {sound} sound pairs of sensor and fault none was accused."
    told = gathered([f"{one.sensor} ({KINDS[one.kind].title.partition(' (')[0]})" for one in accused])
    return f"Wrongly accused: {told}, of {sound} sound pairs of sensor and fault."


def planted_of(planted: Planted | None, entry: Finding | None) -> float | None:
    """True size of a fault; None where none was planted, or where the truth is not known.

    Parameters
    ----------
    planted
        What was planted; None where that is not known.
    entry
        One kind of fault of a source.
    """
    return None if planted is None or entry is None else planted.get((entry.source, entry.kind))
