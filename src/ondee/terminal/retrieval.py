"""What models retrieved from infrared, as a compact table."""

from __future__ import annotations

import xarray as xr
from rich.console import Console
from rich.table import Table

from ondee.report.retrieval import COLUMNS, INSTALL, estimates
from ondee.report.wording import counted

__all__ = ["show_retrievals"]


def show_retrievals(numbers: xr.Dataset | None, console: Console) -> None:
    """Print the numbers of each estimate, and of what they are.

    Parameters
    ----------
    numbers
        As of :func:`ondee.report.retrieval.retrieval_section`; None where torch is not installed, which is told.
    console
        Where to print.

    Raises
    ------
    ConfigError
        If numbers lack a variable.
    """
    if numbers is None:
        text = f"Rain from infrared was left out, since torch is not installed: {INSTALL}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    about = numbers.attrs
    text = (
        f"Rain from infrared: {counted(int(about['moments']), 'moment')} of an event that no model has seen, over "
        f"{about['size']} km; {counted(int(about['members']), 'member')} of the flow. Thresholds in mm/h."
    )
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("estimate", no_wrap=True)
    for _, _, head, *_ in COLUMNS:
        table.add_column(head, justify="right")
    for name, texts in estimates(numbers):
        table.add_row(name, *(text or "–" for text in texts))
    console.print(table)
