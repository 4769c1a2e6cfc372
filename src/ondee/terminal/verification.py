"""A verification as compact tables: scores down, estimates across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ondee.report.table import Row, shown_value

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["show_verification"]

_AXES = {
    "where": "where the rain is",
    "what": "what rain it is",
    "amount": "how much",
    "probability": "probability",
    "context": "displacement and objects",
}


_GAP = 2
"""Letters between columns."""


def show_verification(rows: Sequence[Row], facts: Mapping[str, Any], console: Console) -> None:
    """Print the table of a verification: best in bold, what the bootstrap does not tell from the best dim.

    Parameters
    ----------
    rows
        From :func:`ondee.report.tabulate`.
    facts
        Title, period, frames and what else was verified; what is absent is not printed.
    console
        Where to print. Where it is too narrow for all estimates, they come in several tables.
    """
    if facts.get("title"):
        console.print(str(facts["title"]), style="bold", highlight=False, markup=False)
    told = [str(facts[name]).replace("T", " ") + " UTC" for name in ("period",) if facts.get(name)]
    for name in ("frames", "days", "pixels"):
        if facts.get(name):
            told.append(f"{int(facts[name]):,} {name[:-1] if int(facts[name]) == 1 else name}".replace(",", "\u202f"))
    if told:
        console.print(", ".join(told), highlight=False, markup=False, soft_wrap=True)
    estimates = list(dict.fromkeys(row.estimate for row in rows))
    widest = max((len(_cell(row).plain) for row in rows), default=0)
    widest = max([widest, *map(len, estimates)]) + _GAP
    across = max(1, (console.width - max((len(_label(row)) for row in rows), default=0) - _GAP) // widest)
    for first in range(0, len(estimates), across):
        console.print(_table(rows, estimates[first : first + across]))
    if rows:
        reference = f"; reference {facts['reference']}" if facts.get("reference") and len(estimates) > 1 else ""
        key = f"bold: best; dim: not told from the best; [{100 * float(facts.get('level', 0.95)):g} % interval]"
        console.print(key + reference, style="dim", highlight=False, markup=False, soft_wrap=True)


def _table(rows: Sequence[Row], estimates: Sequence[str]) -> Table:
    """Scores of some estimates, under the heading of each axis."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for name in estimates:
        table.add_column(Text(name), justify="right")
    axis = ""
    for cells in _by_column(rows).values():
        if not any(name in cells and np.isfinite(cells[name].value) for name in estimates):
            continue
        first = next(iter(cells.values()))
        if first.axis != axis:
            axis = first.axis
            table.add_row(Text(_AXES.get(axis, axis), style="italic"), *[""] * len(estimates))
        table.add_row(Text(_label(first)), *[_cell(cells.get(name)) for name in estimates])
    return table


def _label(row: Row) -> str:
    """Name of a score with its unit and direction."""
    unit = f" ({row.units})" if row.units else ""
    return f"  {row.column}{unit} {row.arrow}".rstrip()


def _by_column(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Column → estimate → cell."""
    made: dict[str, dict[str, Row]] = {}
    for row in rows:
        made.setdefault(row.column, {})[row.estimate] = row
    return made


def _cell(row: Row | None) -> Text:
    """A value with its interval."""
    from rich.text import Text

    if row is None or not np.isfinite(row.value):
        return Text("–", style="dim")
    text = shown_value(row.value, row.digits)
    if np.isfinite(row.low) and np.isfinite(row.high):
        text += f" [{shown_value(row.low, row.digits)}, {shown_value(row.high, row.digits)}]"
    return Text(text, style="bold" if row.best else "" if row.resolved else "dim")
