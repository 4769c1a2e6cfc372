"""Planted faults beside those that were found: a sentence each, and a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ondee.plot.findings import Finding
from ondee.report.truth import spelled_fault
from ondee.report.wording import plainly
from ondee.validation.outcome import Outcome

__all__ = ["outcome_words", "show_outcomes"]

_COLUMNS = {"bias": ("rain, ×", 2), "east": ("east, cells", 2), "north": ("north, cells", 2), "clock": ("late, min", 1)}
"""Kind → what is measured with its unit, and digits behind the point."""


def outcome_words(one: Outcome) -> str:
    """Say in one sentence what became of a fault.

    Parameters
    ----------
    one
        A planted fault, or one that was found where none was planted.

    Examples
    --------
    >>> outcome_words(Outcome("GMI", "bias", 1.5, 1.48, 1.40, 1.56, "found"))
    'GMI, rain × 1.5: found, 48 % too much rain [40, 56].'
    >>> outcome_words(Outcome("MHS", "clock", 10.0, 8.0, -1.0, 17.0, "not resolved"))
    'MHS, clock 10 min late: not found (not resolved), 8.0 min late [−1.0, 17.0].'
    >>> outcome_words(Outcome("ATMS", "north", None, 0.6, 0.4, 0.8, "found"))
    'ATMS, nothing planted: accused, 0.60 cells too far north [0.40, 0.80].'
    """
    size = plainly(Finding(one.sensor, one.kind, one.value, one.low, one.high, 0.0, one.verdict, 0, 0))
    if one.planted is None:
        return f"{one.sensor}, nothing planted: accused, {size}."
    verdict = "found" if one.verdict == "found" else f"not found ({one.verdict})"
    outside = "" if one.held else "; the interval misses what was planted"
    return f"{one.sensor}, {spelled_fault(one.kind, one.planted)}: {verdict}, {size}{outside}."


def show_outcomes(outcomes: Sequence[Outcome], quiet: int, console: Console) -> None:
    """Print what was planted, what was found, and whether that is right.

    Parameters
    ----------
    outcomes
        Planted faults, and those found.
    quiet
        How many more were looked for, not planted and not found.
    console
        Where to print.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("sensor", "what", "planted", "measured", "95 % interval", "verdict", ""):
        right = name in ("planted", "measured", "95 % interval")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for one in outcomes:
        words, digits = _COLUMNS[one.kind]
        planted = "none" if one.planted is None else _number(one.planted, digits)
        interval = f"{_number(one.low, digits)} to {_number(one.high, digits)}"
        mark = Text("right", style="green") if one.right else Text("wrong", style="red")
        table.add_row(one.sensor, words, planted, _number(one.value, digits), interval, one.verdict, mark)
    console.print(table)
    console.print()
    for one in outcomes:
        console.print(outcome_words(one), highlight=False, markup=False, soft_wrap=True)
    planted_count = sum(one.planted is not None for one in outcomes)
    found = sum(one.planted is not None and one.verdict == "found" for one in outcomes)
    wrong = sum(one.planted is None for one in outcomes)
    alarms = f"{wrong} of them accused" if wrong else "none of them accused"
    text = (
        f"{found} of {planted_count} planted faults found; {quiet + wrong} sound pairs of sensor and fault, {alarms}."
    )
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _number(value: float, digits: int) -> str:
    """A number with a true minus sign; a dash where it is undefined."""
    return f"{value:.{digits}f}".replace("-", "−") if value == value else "–"
