"""A validation as a compact table: sources down, a few scores across, the sampling floor beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["show_validation", "show_validation_plan"]

_COLUMNS = (
    ("relative_bias", "bias", "all"),
    ("correlation", "correlation", "all"),
    ("probability_of_detection", "POD", 0.1),
    ("false_alarm_ratio", "FAR", 0.1),
)


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
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console.print(str(facts["title"]), style="bold", highlight=False, markup=False)
    period = str(facts["period"]).replace("T", " ")
    amounts = f"{facts['half_hours']:,} half hours, {facts['days']:,} days, {facts['cells']:,} cells compared"
    console.print(f"{period} UTC, {amounts}".replace(",0", "\u202f0"), highlight=False, markup=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("source", "against", "views", "days", *(title for _, title, _ in _COLUMNS)):
        table.add_column(name, justify="left" if name in ("source", "against") else "right", no_wrap=True)
    for source in map(str, scores["source"].values):
        own = scores.sel(source=source)
        lines = [name for name in ("overpass", "mean", "floor") if _told(own.sel(comparison=name))]
        for number, name in enumerate(lines):
            line = own.sel(comparison=name)
            known = bool(line["resolved"]) or name == "floor"
            cells = [_cell(line, variable, at, known) for variable, _, at in _COLUMNS]
            head = [source, str(int(own["views"])), str(int(own["days"]))] if number == 0 else ["", "", ""]
            against = {"overpass": "pass", "mean": "mean", "floor": "floor"}[name]
            style = "dim" if name == "floor" else ""
            table.add_row(Text(head[0], style="bold"), Text(against, style=style), head[1], head[2], *cells)
    console.print(table)
    level = f"[{100 * float(facts['level']):g} % interval over days]"
    key = "against the radar at the pass and its half-hour mean; floor: the one scored on the other; dim: not resolved"
    text = f"{level}; POD and FAR at {_lowest(scores):g} mm/h; {key}"
    console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


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


def _cell(line: xr.Dataset, name: str, at: str | float, known: bool) -> Text:
    """A value with its interval."""
    from rich.text import Text

    chosen = [line[f"{name}{end}"] for end in ("", "_low", "_high")]
    if isinstance(at, str):
        values = [float(array.sel(population=at)) for array in chosen]
    else:
        values = [float(array.isel(threshold=0)) for array in chosen]
    if not np.isfinite(values[0]):
        return Text("–", style="dim")
    text = f"{values[0]:+.2f}" if name == "relative_bias" else f"{values[0]:.2f}"
    if np.isfinite(values[1]) and np.isfinite(values[2]):
        text += f" [{values[1]:.2f}, {values[2]:.2f}]"
    return Text(text, style="" if known else "dim")
