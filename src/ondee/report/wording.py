"""Numbers and faults in words: plurals, enumerations, directions."""

from __future__ import annotations

from collections.abc import Sequence

from ondee.plot.findings import Finding

__all__ = ["counted", "evidence_words", "gain_words", "gathered", "plainly"]


def counted(count: int, noun: str, nouns: str = "") -> str:
    """A number and its noun.

    Parameters
    ----------
    count
        How many.
    noun, nouns
        Singular and plural; the plural ends in s where it is empty.

    Examples
    --------
    >>> counted(1, "pass", "passes"), counted(12, "pass", "passes"), counted(0, "day")
    ('1 pass', '12 passes', 'no days')
    """
    several = nouns or noun + "s"
    number = "no" if count == 0 else f"{count:,}".replace(",", "\u202f")
    return f"{number} {noun if count == 1 else several}"


def gathered(words: Sequence[str]) -> str:
    """Words as an enumeration.

    Examples
    --------
    >>> gathered(["GMI"]), gathered(["GMI", "MHS", "ATMS"])
    ('GMI', 'GMI, MHS and ATMS')
    """
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def plainly(entry: Finding) -> str:
    """Size and direction of one fault with its interval, the sign as a word.

    Parameters
    ----------
    entry
        A kind of fault of a sensor.

    Examples
    --------
    >>> plainly(Finding("MHS", "bias", 0.62, 0.55, 0.70, 0.1, "found", 60, 10))
    '38 % too little rain [30, 45]'
    >>> plainly(Finding("ATMS", "clock", -9.7, -11.04, -8.3, 2.5, "found", 60, 10))
    '9.7 min early [8.3, 11.0]'
    """
    if entry.kind == "bias":
        return gain_words(entry)
    digits, unit, words = {
        "east": (2, "cell", ("too far east", "too far west")),
        "north": (2, "cell", ("too far north", "too far south")),
        "clock": (1, "min", ("late", "early")),
    }[entry.kind]
    sign = 1.0 if entry.value >= 0 else -1.0
    ends = sorted((sign * entry.low, sign * entry.high))
    size = _number(sign * entry.value, digits)
    several = unit if unit == "min" or size in ("1.00", "1") else unit + "s"
    return f"{size} {several} {words[0] if sign > 0 else words[1]} [{_interval(ends, digits)}]"


def gain_words(entry: Finding) -> str:
    """A gain as a percentage, or as a multiple where it is twice or more.

    Parameters
    ----------
    entry
        Of the kind ``bias``; its value is a factor.
    """
    if entry.value >= 2.0:
        return f"{entry.value:.1f} times the rain [{entry.low:.1f}, {entry.high:.1f}]"
    sign = 1.0 if entry.value >= 1 else -1.0
    ends = sorted(100 * sign * (end - 1) for end in (entry.low, entry.high))
    words = "too much" if sign > 0 else "too little"
    return f"{_number(100 * sign * (entry.value - 1), 0)} % {words} rain [{_interval(ends, 0)}]"


def _number(value: float, digits: int) -> str:
    """A number with a true minus sign and no negative zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def _interval(ends: Sequence[float], digits: int) -> str:
    """Both ends of an interval."""
    return ", ".join(_number(end, digits) for end in ends)


def evidence_words(entry: Finding) -> str:
    """Number of passes, or half hours where no sensor passed, and of days behind an estimate.

    Parameters
    ----------
    entry
        A kind of fault of a source.
    """
    views = counted(entry.views, *(("pass", "passes") if entry.is_sensor else ("half hour", "")))
    return f"{views} on {counted(entry.days, 'day')}"
