"""The work of ``ondee retrieve``: rain from a run and scenes, and what to print of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ondee.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["retrieve", "show"]


def retrieve(
    run: str | Path,
    scenes: str | Path,
    *,
    out: str | Path,
    members: int = 16,
    seed: int = 0,
    split: str | None = None,
    start: str | None = None,
    end: str | None = None,
    tile: int = 256,
    batch: int | None = None,
    steps: int | None = None,
    solver: str | None = None,
    noise_scale: float | None = None,
    persistence: float | None = None,
    products: Sequence[str] | None = None,
    workers: int = 1,
    force: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Retrieve rain from scenes, or tell what that would take.

    Parameters
    ----------
    run
        Folder of a run, or name of one that ondee ships.
    scenes
        A store, or a file or folder of images.
    out
        Ends in ``.zarr`` or ``.nc``.
    members, seed, split, start, end, tile, batch, steps, solver, noise_scale, persistence, products
        As in :class:`ondee.retrieval.Options`; the defaults there where None.
    workers
        Processes; each takes a block of moments.
    force
        Replace what is there.
    dry_run
        Only tell moments, tiles, evaluations, time and size.

    Returns
    -------
    dict
        The fields of :class:`ondee.retrieval.Retrieved`.

    Raises
    ------
    ConfigError
        If torch is not installed, or an option cannot be used.
    OndeeError
        As :func:`ondee.retrieval.retrieve` does.
    """
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"retrievals need {error.name}, which is not installed",
            where="ondee retrieve",
            fix="pip install 'ondee[retrieval]'",
        ) from error
    from ondee import retrieval

    chosen: dict[str, Any] = {"split": split, "start": start, "end": end, "batch": batch}
    chosen |= {"steps": steps, "solver": solver, "noise_scale": noise_scale, "persistence": persistence}
    given = {name: value for name, value in chosen.items() if value is not None}
    options = retrieval.Options(members=members, seed=seed, tile=tile, products=tuple(products or ()), **given)
    if dry_run:
        return asdict(retrieval.plan(run, scenes, out, options, force=force))
    return asdict(retrieval.retrieve(run, scenes, out, options, workers=workers, force=force))


def show(report: dict[str, Any], console: Console) -> None:
    """Print what a retrieval made, or would make.

    Parameters
    ----------
    report
        From :func:`retrieve`.
    console
        Where to print.
    """
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, text in _rows(report).items():
        table.add_row(label, text)
    title = f"rain by {report['model']}, run {report['run']}"
    console.print(f"{title}{'  (dry run: nothing is written)' * report['dry_run']}", style="bold", markup=False)
    console.print(table, highlight=False, markup=False)


def _rows(report: dict[str, Any]) -> dict[str, str]:
    dry, members = report["dry_run"], max(1, report["members"])
    fields = report["moments"] * members
    drawn = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report["sampling"].items())
    kept = f", {report['kept']} of them found done" if report["kept"] else ""
    first, last = (report[name].replace("T", " ") for name in ("first", "last"))
    rows = {
        "scenes": report["scenes"],
        "moments": f"{report['moments']}, {first} to {last} UTC{kept}",
        "grid": f"{report['grid']}; {_counted(report['tiles'], 'tile')}, each with {report['halo']} pixels around it",
        "members": f"{report['members']}; {drawn}" if report["members"] else "one field a moment",
        "work": f"{_counted(report['evaluations'], 'evaluation')} of the network a member, {_counted(fields, 'field')}",
        "products": ", ".join(report["products"]),
        "out": f"{report['out']}, {'at most ' if dry else ''}{_size(report['bytes'])}",
    }
    if dry:
        rows["time"] = f"about {_time(report['seconds'])} of one process"
    elif report["written"]:
        each = report["seconds"] / (report["written"] * members)
        rows["time"] = f"{_time(report['seconds'])}, {each:.2g} s a field"
    return rows


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


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
    return f"{max(1, round(seconds))} s"
