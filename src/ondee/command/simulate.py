"""The work of ``ondee simulate``: a world from its configuration to files, and what to print of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ondee.world.archive import simulate as work
from ondee.world.settings import load_world

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show", "simulate"]

_PRODUCTS = {"radar": "radar, ODIM_H5", "seviri": "SEVIRI, CF NetCDF", "imerg": "IMERG, HDF5"}


def simulate(config: Path, out: Path, **how: Any) -> dict[str, Any]:
    """Make the archive of a world.

    Parameters
    ----------
    config
        Its configuration, YAML.
    out
        Folder of the archive.
    **how
        ``workers``, ``cluster``, ``force`` and ``dry_run`` of :func:`ondee.world.archive.simulate`.

    Returns
    -------
    dict
        What was made, or would be: the fields of :class:`ondee.world.archive.SimulateReport`.

    Raises
    ------
    OndeeError
        As :func:`ondee.world.settings.load_world` and :func:`ondee.world.archive.simulate` do.
    """
    return asdict(work(load_world(config), out, **how))


def show(report: dict[str, Any], console: Console) -> None:
    """Print what a simulation made, or would make.

    Parameters
    ----------
    report
        From :func:`simulate`.
    console
        Where to print.
    """
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("archive", report["archive"])
    table.add_row("domain", report["grid"])
    table.add_row("period", f"{report['first'].replace('T', ' ')} to {report['last'].replace('T', ' ')} UTC")
    table.add_row("events", f"{_counted(report['weather'])}; {_progress(report)}")
    for name, count in report["files"].items():
        table.add_row(f"{name}/", f"{count} files, {_PRODUCTS[name]}")
    table.add_row("truth", "truth.yaml" + (", truth.zarr" if report["truth"] else ""))
    faults = [f"{kind} {_spelled(values)}" for fault in report["faults"] for kind, values in fault.items()]
    table.add_row("faults", "; ".join(faults) or "none planted")
    about = "about " if report["dry_run"] else ""
    table.add_row("size", about + _size(report["bytes"]))
    if report["dry_run"]:
        table.add_row("time", f"about {_time(report['seconds'])} of one process")
    console.print(f"[bold]{report['name']}[/bold]{'  (dry run: nothing is written)' * report['dry_run']}")
    console.print(table, highlight=False, markup=False)


def _counted(weather: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in weather.items())


def _progress(report: dict[str, Any]) -> str:
    if report["dry_run"]:
        return f"{report['kept']} done, {report['events'] - report['kept']} to do"
    return f"{report['written']} made now" + (f", {report['kept']} found done" if report["kept"] else "")


def _spelled(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _time(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{max(1, round(seconds))} seconds"
