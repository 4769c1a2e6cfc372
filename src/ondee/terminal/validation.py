"""A validation as a compact table: sources down, a few scores across, the sampling floor beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ondee.plot.heat import printed
from ondee.report.opening import title_of
from ondee.report.wording import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["show_validation", "show_validation_plan"]

_COLUMNS = (
    ("relative_bias", "bias, %", "all"),
    ("correlation", "correlation", "all"),
    ("probability_of_detection", "POD", 0.1),
    ("false_alarm_ratio", "FAR", 0.1),
)


_MOST = 400
"""Columns in which the table is laid out to see how wide it would be."""


def show_validation(scores: xr.Dataset, facts: Mapping[str, Any], console: Console) -> None:
    """Print the scores by source: against the radar at the pass, its half-hour mean, and the floor.

    Parameters
    ----------
    scores
        The group ``scores/source``.
    facts
        Title, period, and how much was compared.
    console
        Where to print.
    """
    console.print(title_of(facts), style="bold", highlight=False, markup=False)
    period = str(facts["period"]).replace("T", " ")
    counts = ((facts["half_hours"], "half hour"), (facts["days"], "day"), (facts["cells"], "pair"))
    amounts = ", ".join(counted(int(count), noun) for count, noun in counts)
    console.print(f"{period} UTC, {amounts} of cell and radar", highlight=False, markup=False, soft_wrap=True)
    table, wide = _table(scores, wide=True), True
    if console.measure(table, options=console.options.update(width=_MOST)).maximum > console.width:
        table, wide = _table(scores, wide=False), False
    console.print(table)
    level = f"{100 * float(facts['level']):g} % intervals over days"
    shown = f"in brackets: {level}" if wide else f"{level} need a wider window"
    for text in (
        f"{shown}; POD and FAR at {_lowest(scores):g} mm/h; dim: not resolved",
        "pass: against the radar at the minute of the pass; mean: against its half-hour mean; "
        "floor: the radar at the pass against its mean",
    ):
        console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


def _table(scores: xr.Dataset, *, wide: bool) -> Table:
    """Sources down, scores across; with intervals where `wide`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("source", "against", "half hours", "days", *(title for _, title, _ in _COLUMNS)):
        table.add_column(name, justify="left" if name in ("source", "against") else "right", no_wrap=True)
    for source in map(str, scores["source"].values):
        own = scores.sel(source=source)
        lines = [name for name in ("overpass", "mean", "floor") if _told(own.sel(comparison=name))]
        for number, name in enumerate(lines):
            line = own.sel(comparison=name)
            known = bool(line["resolved"]) or name == "floor"
            cells = [_cell(line, variable, at, known, wide) for variable, _, at in _COLUMNS]
            head = [source, str(int(own["views"])), str(int(own["days"]))] if number == 0 else ["", "", ""]
            against = {"overpass": "pass", "mean": "mean", "floor": "floor"}[name]
            style = "dim" if name == "floor" else ""
            table.add_row(Text(head[0], style="bold"), Text(against, style=style), head[1], head[2], *cells)
    return table


def show_validation_plan(made: Mapping[str, Any], console: Console) -> None:
    """Print what a validation would do.

    Parameters
    ----------
    made
        From :func:`ondee.validation.plan`.
    console
        Where to print.
    """
    imerg, radar = made["imerg"], made["radar"]
    passes = ", ".join(f"{name} {count:,}" for name, count in made["passes"].items()) or "none"
    lines = {
        "IMERG": f"{imerg['run']} {imerg['version']}, {made['files']['imerg']:,} files",
        "radar": f"{radar['product'] or 'unnamed'}, {made['files']['radar']:,} files",
        "period": f"{made['period'][0]} to {made['period'][1]}, {made['days']:,} days",
        "half hours": f"{made['half_hours']:,}, {made['frames']:,} radar frames",
        "cells": made["cells"],
        "passes": f"{passes} (as in {made['passes_seen_in']} half hours that were looked into)",
        "time": f"about {made['minutes']:g} min",
    }
    for name, text in lines.items():
        console.print(f"{name:<11}{text}", highlight=False, markup=False, soft_wrap=True)


def _told(line: xr.Dataset) -> bool:
    return bool(np.isfinite(line["mean_truth"].sel(population="all"))) if "mean_truth" in line else False


def _lowest(scores: xr.Dataset) -> float:
    return float(scores["threshold"].values[0])


def _cell(line: xr.Dataset, name: str, at: str | float, known: bool, wide: bool) -> Text:
    """A value, with its interval where there is room."""
    from rich.text import Text

    chosen = [line[f"{name}{end}"] for end in ("", "_low", "_high")]
    if isinstance(at, str):
        values = [float(array.sel(population=at)) for array in chosen]
    else:
        values = [float(array.isel(threshold=0)) for array in chosen]
    if not np.isfinite(values[0]):
        return Text("–", style="dim")
    text, low, high = (printed(name, value) for value in values)
    if wide and np.isfinite(values[1:]).all():
        text += f" [{low}, {high}]"
    return Text(text, style="" if known else "dim")
