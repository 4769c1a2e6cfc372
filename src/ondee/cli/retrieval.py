"""Commands that learn rain from infrared and retrieve it: train, retrieve."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ondee.cli.arguments import Flag, Names, Parts
from ondee.cli.console import console, print_json

__all__ = ["retrieve", "train"]


def train(
    config: Path,
    /,
    *,
    out: Path | None = None,
    store: Path | None = None,
    data: Path | None = None,
    part: Parts = None,
    steps: int | None = None,
    devices: str = "1",
    nodes: int = 1,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    strategy: str = "auto",
    dry_run: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Train a model that turns infrared images into rain, or one of sequences; go on where a training stopped.

    Parameters
    ----------
    config
        YAML file; those of configs/train-*.yaml and configs/tvae-*.yaml are explained line by line.
    out
        Folder of the run; that of the file, or the file's name, if left out.
    store
        Store to learn from, in place of the one of the file.
    data
        Folder to learn from, in place of the one of the file: of a model of sequences.
    part
        Run from which a part of the model is taken, as mean=RUN; may be given again.
    steps
        Steps of the optimiser, in place of those of the file.
    devices
        Number of GPUs or CPU processes on each node, or auto.
    nodes
        Number of nodes.
    accelerator
        Kind of device.
    strategy
        How devices share the work: auto or ddp.
    dry_run
        Only tell parameters, memory, batches and time, from three steps.
    json
        Print the outcome as JSON.
    force
        Remove a run that another configuration made.
    """
    from ondee.command.train import dry_run as tell
    from ondee.command.train import train as work

    count: int | str = int(devices) if devices.isdecimal() else devices
    on = {"accelerator": accelerator, "devices": count, "nodes": nodes, "strategy": strategy}
    parts = dict(part or ()) or None
    given: dict[str, Any] = {"run": out, "store": store, "data": data, "steps": steps, "parts": parts}
    found = tell(config, on=on, **given) if dry_run else work(config, on=on, force=force, **given)
    if found:
        print_json(found) if json else _show(found)


def _show(found: dict[str, Any]) -> None:
    """Print an outcome, one thing a line."""
    out = console()
    for name, value in found.items():
        for key, entry in value.items() if isinstance(value, dict) else [(name, value)]:
            words = key if key == name else f"{name}: {key}"
            shown = f"{entry:.4g}" if isinstance(entry, float) else f"{entry:,}" if isinstance(entry, int) else entry
            out.print(f"{words.replace('_', ' '):<32} {shown}", highlight=False, markup=False)


def retrieve(
    run: str,
    scenes: Path,
    /,
    *,
    out: Path,
    members: int = 16,
    seed: int = 0,
    split: Literal["train", "validation", "test"] | None = None,
    start: str | None = None,
    end: str | None = None,
    tile: int = 256,
    batch: int | None = None,
    steps: int | None = None,
    solver: Literal["euler", "midpoint", "heun", "adams"] | None = None,
    noise_scale: float | None = None,
    persistence: float | None = None,
    products: Names = (),
    workers: int = 1,
    dry_run: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Retrieve rain from infrared images: members of an ensemble and what follows from them, in one file.

    Parameters
    ----------
    run
        Folder of a run, or the name of one that ondee ships.
    scenes
        Store with the images, or files of them.
    out
        Zarr folder (.zarr) or NetCDF file (.nc) of the rain.
    members
        Members of the ensemble; one for a regression, whatever is given.
    seed
        Seed of the members.
    split
        Retrieve the moments of this split only.
    start
        First moment, UTC, as 2018-06-04T12:00.
    end
        Moment before which to stop, UTC.
    tile
        Height and width of the pieces in which a field is computed, pixels; no result depends on it.
    batch
        Fields computed together; no result depends on it.
    steps
        Steps from noise to rain, in place of those fitted on validation days.
    solver
        Solver, in place of the one fitted.
    noise_scale
        Factor on the noise of the start, in place of the one fitted.
    persistence
        Correlation of the noise from one image to the next, for members that do not flicker.
    products
        What is written, comma between: members, mean, median, probability, matched, detected, spread.
    workers
        Number of processes; no result depends on it.
    dry_run
        Only tell moments, memory and time.
    json
        Print the outcome as JSON.
    force
        Overwrite what is there.
    """
    from ondee.command.retrieve import retrieve as work
    from ondee.command.retrieve import show

    which: dict[str, Any] = {"split": split, "start": start, "end": end, "tile": tile, "batch": batch}
    which |= {"steps": steps, "solver": solver, "noise_scale": noise_scale, "persistence": persistence}
    how: dict[str, Any] = {"products": products or None, "workers": workers, "force": force, "dry_run": dry_run}
    found = work(run, scenes, out=out, members=members, seed=seed, **which, **how)
    print_json(found) if json else show(found, console())
