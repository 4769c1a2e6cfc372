"""Building a store: plan it, write day after day wherever the engine runs, and sum up."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ondee import config, engine
from ondee.building import moments
from ondee.building.day import write_day
from ondee.building.plan import Day, Plan, plan
from ondee.errors import StoreError
from ondee.output import disk_errors, locked
from ondee.progress import track
from ondee.store import SPLITS, Layout, Store, Stored

__all__ = ["BuildReport", "build"]


@dataclass
class BuildReport:
    """What a build did.

    Parameters
    ----------
    store
        The store's folder.
    days, written, kept
        Days in all, written now, found done.
    files, rejected
        Files in all, and those that could not be used, with reasons.
    removed
        Pixels and cells that each rule removed, by input.
    """

    store: str
    days: int
    written: int = 0
    kept: int = 0
    files: int = 0
    steps: int = 0
    bytes: int = 0
    rejected: list[dict[str, str]] = field(default_factory=list)
    removed: dict[str, dict[str, int]] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    dry_run: bool = False


def build(
    path: str | Path,
    *,
    workers: int = 1,
    cluster: str | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> BuildReport:
    """Build the store that a configuration describes, or go on where an earlier build was cut short.

    Parameters
    ----------
    path
        YAML configuration (:class:`ondee.config.BuildConfig`).
    workers
        Processes on this machine.
    cluster
        Address of a dask scheduler instead.
    dry_run
        Only plan: tell days, files and size.
    force
        Remove a store that another configuration made.

    Returns
    -------
    BuildReport

    Raises
    ------
    ConfigError
        If the configuration or an input cannot be used.
    StoreError
        If another process holds the store, it was made by another configuration, the disk refuses, or more than
        ``max_rejected`` of the files cannot be read.
    """
    settings = config.load(path)
    made = plan(settings, Path(path))
    if dry_run:
        return _report(made, dry_run=True)
    with locked(made.store), disk_errors(made.store):
        store = _opened(made, force)
        todo = [day for day in made.days if not _is_done(store, day)]
        _run(store, made, todo, settings.max_rejected, workers, cluster)
        records = {day.day: store.record(day.day) or {} for day in made.days}
        summary = _summary(made, records)
        if todo or store.summary != summary:
            store.finish(summary)
    report = _report(made)
    report.written, report.kept = len(todo), len(made.days) - len(todo)
    report.rejected = summary["rejected"]
    report.removed = summary["removed"]
    report.bytes = sum(file.stat().st_size for file in made.store.rglob("*") if file.is_file())
    return report


# ---- running


def _opened(made: Plan, force: bool) -> Store:
    """The store to write into: a new one, or the one that an earlier run of the same plan began."""
    if made.store.exists():
        store = Store(made.store)
        difference = _difference(store.about, made.layout)
        if not difference:
            store.sweep()
            return store
        if not force:
            raise StoreError(
                f"the store was made by another configuration: {difference}",
                where=made.store,
                fix="build into another place (store: in the configuration), or give --force to make it anew",
            )
        shutil.rmtree(made.store)
    return Store.create(made.store, made.layout)


def _difference(about: Mapping[str, Any], layout: Layout) -> str:
    """First thing in which a store differs from a plan, in words; empty if there is none."""
    if tuple(about["days"]) != layout.days:
        ours, theirs = set(layout.days), set(about["days"])
        return f"days {sorted(ours ^ theirs)[:3]} are in one and not in the other"
    before, now = _flat(about["config"]), _flat(dict(layout.config))
    for key in sorted(before | now):
        if before.get(key) != now.get(key):
            return f"{key} is {before.get(key)!r} there and {now.get(key)!r} here"
    if [dict(variable) for variable in about["variables"]] != json.loads(
        json.dumps([asdict(v) for v in layout.variables])
    ):
        return "the files hold other variables, or pack them otherwise"
    return ""


def _flat(tree: Any, above: str = "") -> dict[str, Any]:
    """Leaves of nested settings by their dotted names."""
    if not isinstance(tree, Mapping):
        return {above: tree}
    made: dict[str, Any] = {}
    for key, value in tree.items():
        made |= _flat(value, f"{above}.{key}" if above else str(key))
    return made


def _is_done(store: Store, day: Day) -> bool:
    """Whether a day is written from the very files that are there now."""
    record = store.record(day.day)
    if record is None:
        return False
    if record["signature"] == day.signature:
        return True
    store.forget(day.day)
    return False


def _run(store: Store, made: Plan, todo: Sequence[Day], most: float, workers: int, cluster: str | None) -> None:
    """Write the days that are not done, and stop when too many files cannot be read."""
    bad = {rejected.path for rejected in made.rejected}
    for day in made.days:
        bad |= _bad(store.record(day.day) or {})
    _refuse_too_many(made, bad, most)
    results = engine.run(write_day, todo, workers=workers, cluster=cluster)
    for _, record in track(results, f"building {made.store.name}", len(todo)):
        bad |= _bad(record)
        _refuse_too_many(made, bad, most)


def _bad(record: Mapping[str, Any]) -> set[str]:
    return {bad["path"] for part in record.get("inputs", {}).values() for bad in part["rejected"]}


def _refuse_too_many(made: Plan, bad: set[str], most: float) -> None:
    if len(bad) > most * made.files:
        raise StoreError(
            f"{len(bad)} of {made.files} files cannot be read, more than max_rejected: {most:g}",
            where=f"{made.store}, first {min(bad)}",
            fix="mend or remove the files (`ondee look` says what is wrong with one), or raise max_rejected",
        )


def _summary(made: Plan, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Statistics by split, and all that was rejected or removed."""
    sums: dict[str, dict[str, list[list[moments.Sums]]]] = {}
    removed: dict[str, Counter[str]] = {}
    rejected = {bad.path: bad.reason for bad in made.rejected}
    for record in records.values():
        for split, variables in record["sums"].items():
            for name, parts in variables.items():
                sums.setdefault(split, {}).setdefault(name, []).append(parts)
        for name, part in record["inputs"].items():
            removed.setdefault(name, Counter()).update(part["removed"])
            rejected |= {bad["path"]: bad["reason"] for bad in part["rejected"]}
    named = {variable.name: variable for variable in made.layout.variables}
    statistics: dict[str, Any] = {}
    for code, split in ((str(index), name) for index, name in enumerate(SPLITS)):
        statistics[split] = {
            name: _of_channels(named[name], [moments.add(parts) for parts in zip(*days, strict=True)])
            for name, days in sorted(sums.get(code, {}).items())
        }
    return {
        "statistics": statistics,
        "removed": {name: dict(sorted(counts.items())) for name, counts in removed.items()},
        "rejected": [{"path": path, "reason": reason} for path, reason in sorted(rejected.items())],
        "files": made.files,
    }


def _of_channels(variable: Stored, sums: Sequence[moments.Sums]) -> Any:
    """Statistics of a variable, by channel if it has channels."""
    rain = str(variable.attributes.get("units")) == "mm h-1"
    finished = [moments.finish(part, rain=rain) for part in sums]
    return dict(zip(variable.channels, finished, strict=True)) if variable.channels else finished[0]


def _report(made: Plan, *, dry_run: bool = False) -> BuildReport:
    """What is known of a build before it runs."""
    codes = np.array(made.layout.splits)
    size = sum(
        int(np.prod([len(codes), max(1, len(v.channels)), *made.layout.grid.shape])) * v.dtype.itemsize
        for v in made.layout.variables
    )
    return BuildReport(
        str(made.store),
        len(made.days),
        files=made.files,
        steps=len(codes),
        bytes=size,
        rejected=[asdict(bad) for bad in made.rejected],
        splits={name: int((codes == index).sum()) for index, name in enumerate(SPLITS)},
        dry_run=dry_run,
    )
