"""A synthetic archive on disk: made event by event, wherever the engine runs, or gone on with where it was cut."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from ondee import __version__, engine
from ondee.errors import ConfigError, StoreError
from ondee.output import disk_errors, locked
from ondee.progress import track
from ondee.world import truth
from ondee.world.event import IMAGE_DELAY, Event
from ondee.world.recorders import frames_of, simulate_event
from ondee.world.reporting import MANIFEST, ZARR, SimulateReport, report
from ondee.world.settings import World
from ondee.world.view import seviri_grid

__all__ = ["SimulateReport", "simulate"]

_FOLDERS = ("radar", "seviri", "imerg", "events")


def simulate(
    world: World,
    out: str | Path,
    *,
    workers: int = 1,
    cluster: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> SimulateReport:
    """Make the archive of a world, or go on where an earlier run was cut short.

    Parameters
    ----------
    world
        What is made.
    out
        Folder of the archive; what else lies in it stays as it is.
    workers
        Processes on this machine. The bytes do not depend on their number.
    cluster
        Address of a dask scheduler instead.
    force
        Replace what another configuration made in the folder.
    dry_run
        Only tell what would be made.

    Returns
    -------
    SimulateReport

    Raises
    ------
    ConfigError
        If the domain cannot be used, or the engine cannot run.
    GridError
        If SEVIRI does not see the domain.
    StoreError
        If another run holds the folder, another configuration made what is in it, foreign files have the names that
        are needed, or the disk refuses.
    """
    folder = Path(out)
    events = [Event(world, number, folder.absolute()) for number in range(world.events)]
    _check(world)
    if dry_run:
        done = _is_ours(folder, world)
        todo = [event for event in events if not (done and _is_done(event))]
        return report(folder, events, todo, dry_run=True)
    with locked(folder.absolute()), disk_errors(folder):
        _prepare(folder, world, events, force)
        todo = [event for event in events if not _is_done(event)]
        for _ in track(_worked(todo, workers, cluster), f"simulating {world.name}", _frames(todo)):
            pass
        _finish(folder, world, events)
    return report(folder, events, todo, dry_run=False)


def _check(world: World) -> None:
    """Let a domain that cannot be used show before anything is written."""
    _ = world.grid
    if world.imerg is not None:
        widest = world.cells.pad(world.imerg.margin)
        if max(-widest.west - 180, widest.east - 180, -widest.south - 90, widest.north - 90) > 1e-6:
            raise ConfigError(
                f"a margin of {world.imerg.margin} cells leads beyond IMERG's grid",
                where="imerg: margin",
                fix="give a narrower margin, 0 at least, or a domain further from the pole and from 180 degrees",
            )
    if world.seviri is not None:
        seviri_grid(world.grid.region())


def _worked(todo: Sequence[Event], workers: int, cluster: str | None) -> Iterator[int]:
    """Do the events, and give a number for every frame done."""
    if workers == 1 and cluster is None:
        for event in todo:
            yield from frames_of(event)
    else:
        for _, count in engine.run(simulate_event, todo, workers=workers, cluster=cluster):
            yield from range(count)


def _is_done(event: Event) -> bool:
    """Whether an event was finished, and its files are still there."""
    return event.record.exists() and all(path.exists() for path in event.files())


def _frames(events: Sequence[Event]) -> int:
    return sum(event.simulated.size for event in events)


# ---- before and after


def _manifest(world: World, records: Sequence[Mapping[str, Any]], *, complete: bool) -> dict[str, Any]:
    return {"ondee": __version__, "complete": complete, "world": world.resolved(), "events": list(records)}


def _read(folder: Path) -> dict[str, Any] | None:
    """The manifest of an archive; None where there is none."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {"ondee": str(found["ondee"]), "world": dict(found["world"])}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise StoreError(
            "this is no record of a simulation", where=path, fix="move the file away, or simulate into another folder"
        ) from error


def _write(path: Path, content: Mapping[str, Any]) -> None:
    half = path.with_name(path.name + ".partial")
    half.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")
    half.replace(path)


def _is_ours(folder: Path, world: World) -> bool:
    """Whether a folder holds an archive of this very world."""
    found = _read(folder)
    return found is not None and not _difference(found, world)


def _difference(found: Mapping[str, Any], world: World) -> str:
    """First thing in which an archive differs from a world, in words; empty if there is none."""
    before, now = _flat(found["world"]), _flat(world.resolved())
    for key in sorted(before | now):
        if before.get(key) != now.get(key):
            return f"{key} is {before.get(key)!r} there and {now.get(key)!r} here"
    if found["ondee"] != __version__:
        return f"it was begun by ondee {found['ondee']}, this is {__version__}"
    return ""


def _flat(tree: Any, above: str = "") -> dict[str, Any]:
    """Leaves of nested settings by their dotted names."""
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if not isinstance(tree, Mapping) or not tree:
        return {above: tree}
    made: dict[str, Any] = {}
    for key, value in tree.items():
        made |= _flat(value, f"{above}.{key}" if above else str(key))
    return made


def _prepare(folder: Path, world: World, events: Sequence[Event], force: bool) -> None:
    """Make the folder ready: an archive of this world is gone on with, that of another removed if asked to."""
    found = _read(folder)
    difference = _difference(found, world) if found is not None else ""
    if found is not None and difference:
        if not force:
            raise StoreError(
                f"the archive is of another world: {difference}",
                where=folder,
                fix="simulate into another folder, or replace it with --force",
            )
        _remove(folder, found["world"])
    if found is None or difference:
        if not force:
            _refuse_foreign(folder, events)
        for event in events:
            event.record.unlink(missing_ok=True)
        shutil.rmtree(folder / ZARR, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / MANIFEST, _manifest(world, (), complete=False))
    if world.true_fields and not (folder / ZARR).exists():
        for event in events:  # what they wrote of the truth is gone, if anything
            event.record.unlink(missing_ok=True)
        _create_truth(folder, world, events)


def _refuse_foreign(folder: Path, events: Sequence[Event]) -> None:
    needed = [folder / ZARR, *(path for event in events for path in [*event.files(), event.record])]
    there = next((path for path in needed if path.exists()), None)
    if there is not None:
        raise StoreError(
            "a file that is no part of this archive has the name of one",
            where=there,
            fix="simulate into another folder, or replace such files with --force",
        )


def _remove(folder: Path, tree: Mapping[str, Any]) -> None:
    """Remove what the simulation of a configuration wrote, and nothing else."""
    try:
        world = World.model_validate(tree)
    except ValidationError as error:
        raise StoreError(
            "the archive was made by a configuration that this version does not know",
            where=folder / MANIFEST,
            fix="remove the archive by hand, or simulate into another folder",
        ) from error
    (folder / MANIFEST).unlink()
    for number in range(world.events):
        event = Event(world, number, folder)
        for path in [event.record, *event.files()]:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / ZARR, ignore_errors=True)
    for name in _FOLDERS:
        for place in [*sorted((folder / name).glob("*")), folder / name]:
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()


def _create_truth(folder: Path, world: World, events: Sequence[Event]) -> None:
    """The empty zarr, with all times."""
    fields = []
    if "rain" in world.true_fields:
        fields.append((truth.RAIN, np.stack([event.frames for event in events])))
    if "cloud_top_height" in world.true_fields:
        fields.append((truth.CLOUD_TOPS, np.stack([event.images + IMAGE_DELAY for event in events])))
    truth.create(folder / ZARR, world.grid, fields, f"truth of the synthetic world {world.name}")


def _finish(folder: Path, world: World, events: Sequence[Event]) -> None:
    """Gather the records of all events."""
    records = [yaml.safe_load(event.record.read_text(encoding="utf-8")) for event in events]
    if (folder / ZARR).exists():
        truth.set_winds(
            folder / ZARR, np.array([[record["wind"][way] for way in ("east", "north")] for record in records])
        )
    _write(folder / MANIFEST, _manifest(world, records, complete=True))
    _sweep(folder, events)


def _sweep(folder: Path, events: Sequence[Event]) -> None:
    """Remove what a killed run left half written."""
    names: dict[Path, set[str]] = {}
    for event in events:
        for path in event.files():
            names.setdefault(path.parent, set()).add(path.name)
    drafts = [
        draft
        for place, known in names.items()
        for draft in place.glob(".*.part")
        if draft.name[1:].rsplit(".", 2)[0] in known
    ]
    for left in [*drafts, *(folder / "events").glob("*.partial"), *(folder / ZARR).rglob("*.partial")]:
        left.unlink()
