"""What a verification would do, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show_plan"]


def show_plan(plan: Mapping[str, Any], console: Console) -> None:
    """Print the plan of a verification.

    Parameters
    ----------
    plan
        From :func:`ondee.verification.plan`.
    console
        Where to print.
    """
    console.print(f"truth       {plan['truth']}", highlight=False, markup=False)
    console.print(f"grid        {plan['grid']}", highlight=False, markup=False)
    first, last = (moment.replace("T", " ") for moment in plan["period"])
    days = f"{plan['days']} day{'s' if plan['days'] > 1 else ''}"
    console.print(f"period      {first} to {last} UTC, {days}", highlight=False)
    console.print(
        f"bootstrap   blocks of {plan['block']}, differences from {plan['reference']}", highlight=False, markup=False
    )
    settings = plan["settings"]
    split = ", ".join(settings["by"]) or "nothing"
    console.print(f"split by    {split}; pixels: {settings['sample']}", highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("who", "files", "frames", "scores"):
        table.add_column(name, justify="right" if name in ("files", "frames") else "left", overflow="fold")
    frames = plan["frames"]
    table.add_row("truth", str(plan["files"]["truth"]), str(frames["truth"]), "")
    for name, scores in plan["scores"].items():
        members = plan["members"].get(name, 0)
        words = f"{name} ({members} members)" if members else name
        table.add_row(words, str(plan["files"].get(name, "")), str(frames.get(name, "")), ", ".join(scores))
    console.print(table, highlight=False)
