"""Planted faults beside those that were found, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ondee.validation.outcome import Outcome

__all__ = ["show_outcomes"]

_WORDS = {
    "bias": "rain times",
    "east": "cells to the east",
    "north": "cells to the north",
    "clock": "minutes late",
}


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
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("sensor", "fault", "planted", "found", "95 % interval", ""):
        table.add_column(name, justify="left" if name in ("sensor", "fault", "") else "right")
    for one in outcomes:
        planted = "nothing" if one.planted is None else f"{one.planted:g}"
        verdict = f"{one.value:.2f}" if one.verdict == "found" else one.verdict
        mark = "[green]right[/green]" if one.right else "[red]wrong[/red]"
        table.add_row(one.sensor, _WORDS[one.kind], planted, verdict, f"{one.low:.2f} to {one.high:.2f}", mark)
    console.print(table)
    planted_count = sum(one.planted is not None for one in outcomes)
    found = sum(one.planted is not None and one.verdict == "found" for one in outcomes)
    wrong = sum(one.planted is None for one in outcomes)
    alarms = "no sound sensor was accused" if not wrong else f"{wrong} that nobody planted"
    console.print(
        f"{found} of {planted_count} planted faults found; {quiet} more were looked for, and {alarms}.", highlight=False
    )
