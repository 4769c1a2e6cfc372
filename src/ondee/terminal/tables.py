"""Facts, scores and reports as compact tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ondee.facts import Facts, Statistics, Survey, VariableFacts
from ondee.plot.curve import cell_size
from ondee.terminal.blocks import block_map

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["show_build", "show_floor", "show_survey"]

_LISTED = 5
_FLOOR_COLUMNS = (
    ("correlation", {"population": "rain"}, "correlation"),
    ("normalised_rmse", {"population": "rain"}, "RMSE/mean"),
    ("probability_of_detection", {"threshold": 0.1}, "POD 0.1"),
    ("false_alarm_ratio", {"threshold": 0.1}, "FAR 0.1"),
    ("probability_of_detection", {"threshold": 1.0}, "POD 1"),
    ("false_alarm_ratio", {"threshold": 1.0}, "FAR 1"),
)


def show_survey(survey: Survey, console: Console, *, draw: bool = True) -> None:
    """Print the facts of every product, a block map of each, and the files that were left out.

    Parameters
    ----------
    survey
        From :func:`ondee.facts.survey`.
    console
        Where to print. Colours and half blocks are used if it is a terminal that has them, plain text otherwise.
    draw
        Whether to draw the maps.
    """
    for facts in survey.products:
        console.print(_heading(facts), soft_wrap=True, highlight=False)
        console.print(_places(facts))
        console.print(_variables(facts))
        _quality(facts, console)
        if draw and facts.preview is not None:
            console.print(block_map(facts.preview, colour=_has_colours(console)), highlight=False)
        console.print()
    if survey.left_out:
        console.print(f"left out: {len(survey.left_out)}", highlight=False)
        for path, reason in list(survey.left_out.items())[:_LISTED]:
            console.print(f"  {path}: {reason}", soft_wrap=True, highlight=False, markup=False)
        if len(survey.left_out) > _LISTED:
            console.print(f"  … and {len(survey.left_out) - _LISTED} more; --json lists them all", highlight=False)


def _has_colours(console: Console) -> bool:
    return console.is_terminal and console.color_system is not None and console.encoding.startswith("utf")


def _heading(facts: Facts) -> Text:
    """Product, run and version."""
    from rich.text import Text

    run = [f"run {facts.run}"] if facts.run else []
    version = [f"version {facts.version}"] if facts.version else []
    return Text.assemble((facts.product, "bold"), "  ", ("  ".join([*run, *version, facts.format]), "dim"))


def _places(facts: Facts) -> Table:
    """Period, step and grid."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("period", f"{facts.first.replace('T', ' ')} to {facts.last.replace('T', ' ')} UTC")
    frames = [f"{facts.frames} in {facts.files} file{'s' if facts.files > 1 else ''}"]
    if facts.step is not None:
        frames.append(f"every {facts.step:g} min")
    frames.append(f"{facts.missing_frames} missing" if facts.missing_frames else "none missing")
    if facts.repeated_frames:
        frames.append(f"{facts.repeated_frames} come twice")
    table.add_row("frames", ", ".join(frames))
    if facts.members is not None:
        table.add_row("members", f"{facts.members}; the numbers below are over all, the map is of the first")
    span = f"{facts.interval:.4g} min" if facts.interval else "snapshot"
    table.add_row("time label", facts.label + (f" of {span}" if facts.interval else f", {span}"))
    table.add_row("grid", facts.grid.description)
    if facts.grid.region is not None:
        west, south, east, north = facts.grid.region
        region = f"{west:.2f} to {east:.2f} °E, {south:.2f} to {north:.2f} °N"
        table.add_row("region", region)
    return table


def _variables(facts: Facts) -> Table:
    """One row for each variable and channel."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("variable", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for name in ("minimum", "mean", "maximum", "missing", "wet", "implausible"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in facts.variables:
        _add_row(table, entry, entry.name, entry.statistics, whole=True)
        for channel, statistics in entry.channels.items():
            _add_row(table, entry, f"  {channel}", statistics, whole=False)
    return table


def _add_row(table: Table, entry: VariableFacts, name: str, statistics: Statistics, *, whole: bool) -> None:
    worst = "" if entry.implausible_extreme is None else f" ({entry.implausible_extreme:.4g})"
    table.add_row(
        name,
        entry.units if whole else "",
        _number(statistics.minimum),
        _number(statistics.mean),
        _number(statistics.maximum),
        _percent(statistics.missing_share),
        _percent(statistics.wet_fraction),
        f"{entry.implausible_count}{worst}" if whole else "",
    )


def _quality(facts: Facts, console: Console) -> None:
    """Say what quality thresholds would take away."""
    for entry in facts.variables:
        if entry.removed_by_quality is None or entry.unknown_quality is None:
            continue
        shares = ", ".join(f"{limit}: {_percent(share)}" for limit, share in entry.removed_by_quality.items())
        unknown = f"; {_percent(entry.unknown_quality)} have none" if entry.unknown_quality else ""
        console.print(
            f"wet pixels of {entry.name} that a quality threshold removes: {shares}{unknown}",
            soft_wrap=True,
            highlight=False,
        )


def _number(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "–"


def _percent(share: float | None) -> str:
    return "–" if share is None or not np.isfinite(share) else f"{100 * share:.1f} %"


def show_floor(floor: xr.Dataset, console: Console) -> None:
    """Print the sampling floor: one row for each stretch of minutes that one frame spans, then the lags.

    Parameters
    ----------
    floor
        From :func:`ondee.validation.floor.floor`.
    console
        Where to print.
    """
    about = floor.attrs
    console.print(f"{about.get('product', 'radar')}", style="bold", highlight=False)
    cells = f"{about.get('rainy_cells')} rainy cells of {cell_size(about['resolution'])}"
    counts = f"{about.get('half_hours')} half hours, {cells}"
    console.print(f"{counts}, {about.get('blocks')} blocks; [2.5, 97.5 percentile]", highlight=False, markup=False)
    console.print(_minutes(floor))
    console.print(_lags(floor))


def _minutes(floor: xr.Dataset) -> Table:
    """Scores against the minute of the snapshot."""
    from rich import box
    from rich.table import Table

    columns = [entry for entry in _FLOOR_COLUMNS if entry[0] in floor]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("minute", no_wrap=True)
    for _, _, title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    cells = [
        [_interval(floor, name, {**chosen, "minute": m}, brief="threshold" in chosen) for name, chosen, _ in columns]
        for m in range(30)
    ]
    first = 0
    for minute in range(1, 31):
        if minute == 30 or cells[minute] != cells[first]:
            table.add_row(f"{first}-{minute - 1}" if minute - 1 > first else str(first), *cells[first])
            first = minute
    return table


def _lags(floor: xr.Dataset) -> Table:
    """Correlation of two snapshots against the time between them, at most every 5 minutes."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("minutes apart", no_wrap=True)
    table.add_column("correlation", justify="right", no_wrap=True)
    for lag in floor["lag"].values:
        if lag % 5 == 0 or floor.sizes["lag"] <= 15:
            table.add_row(f"{lag:g}", _interval(floor, "lag_correlation", {"population": "rain", "lag": lag}))
    return table


def _interval(floor: xr.Dataset, name: str, chosen: dict[str, Any], *, brief: bool = False) -> str:
    """A score with its interval; without it if brief."""
    known = {dim: value for dim, value in chosen.items() if dim in floor[name].dims}
    value, low, high = (float(floor[name + suffix].sel(known)) for suffix in ("", "_low", "_high"))
    if not np.isfinite(value):
        return "–"
    return f"{value:.2f}" if brief else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def show_build(report: dict[str, Any], console: Console) -> None:
    """Print what a build did.

    Parameters
    ----------
    report
        Fields of :class:`ondee.building.BuildReport`.
    console
        Where to print.
    """
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    state = "planned" if report["dry_run"] else f"{report['written']} written, {report['kept']} found done"
    table.add_row("store", report["store"])
    table.add_row("days", f"{report['days']}: {state}")
    table.add_row("steps", f"{report['steps']}" + "".join(f", {name} {n}" for name, n in report["splits"].items()))
    table.add_row("files", f"{report['files']}, {len(report['rejected'])} rejected")
    size = f"{report['bytes'] / 1e6:.1f} MB"
    table.add_row("size", f"at most {size} before compression" if report["dry_run"] else size)
    for name, counts in report["removed"].items():
        lost = [f"{n:,} {rule.replace('_removed', '').replace('_', ' ')}" for rule, n in counts.items() if n]
        table.add_row("removed", f"{name}: {', '.join(lost) or 'nothing'}")
    console.print(table)
    for bad in report["rejected"][:_LISTED]:
        console.print(f"  {bad['path']}: {bad['reason']}", soft_wrap=True, highlight=False, markup=False)
