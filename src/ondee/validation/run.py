"""A validation from two archives to sums and scores: one task a day, days added to what is there."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ondee import engine
from ondee.bundle import SUFFIX, read_about
from ondee.errors import ConfigError, StoreError
from ondee.output import disk_errors, locked
from ondee.progress import track
from ondee.score.resampling import check_draws
from ondee.validation.archive import SUMS, DayFile, Part, SumsFile, choose, require_alike, write_sums
from ondee.validation.day import Day, validate_day
from ondee.validation.inputs import MEMORY, Inputs, Piece, Sides, find
from ondee.validation.radar import AFTER, BEFORE
from ondee.validation.result import SCORES, Draws, Validation, finish_validation, write_validation
from ondee.validation.settings import JUDGING, Settings
from ondee.validation.sources import name_of, ordered, sources_of

__all__ = ["Period", "combine", "plan", "refine", "validate"]

_DAY = np.timedelta64(1, "D")
_FORMAT = 1
"""Of the sums: raise it when they change their meaning."""
_SAMPLE = 24
"""Half hours that a plan looks into."""
_RESULTS = {SUMS, SCORES, "sums.parts", "report.html", "figures"}

Period = tuple[str | None, str | None, tuple[int, int] | None]
"""First day, last day, and shard (number from 1, of how many); None for all."""


def validate(
    sides: Sides,
    settings: Settings,
    out: Path,
    *,
    period: Period = (None, None, None),
    draws: Draws | None = None,
    workers: int = 1,
    cluster: str | None = None,
    command: str = "",
    force: bool = False,
) -> Validation:
    """Compare satellite rain with radar, add the days to the sums in a folder, and finish the scores of all its days.

    Parameters
    ----------
    sides
        What is compared.
    settings
        How.
    out
        Folder of the results; it may hold those of other days, which are kept.
    period
        Which days.
    draws
        Of the bootstrap.
    workers, cluster
        As in :func:`ondee.engine.run`.
    command
        The line that was typed.
    force
        Redo days whose files have changed, and replace sums that were made in another way.

    Raises
    ------
    ConfigError
        If an option cannot be used, or a day has changed and `force` is not set.
    ReadError, GridError
        If files cannot be read or do not share place and time.
    StoreError
        If the folder holds something else, or the disk refuses.
    """
    draws = draws or Draws()
    check_draws(draws.replicates, draws.level)
    _require_ours(out)
    inputs = find(sides, settings)
    about = _about(inputs, settings, sides)
    days = _chosen(inputs.days(), period)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    parts = out / "sums.parts"
    with locked(out / SUMS):
        held = _held(out, about, force)
        tasks = [_task(day, inputs, settings, parts) for day in track(days, "listing days")]
        wanted = _wanted(tasks, held, force)
        with disk_errors(parts):
            parts.mkdir(parents=True, exist_ok=True)
        todo = [task for task in wanted if not _done(task)]
        for _ in track(engine.run(validate_day, todo, workers=workers, cluster=cluster), "comparing days", len(todo)):
            pass
        _collect(out, held, wanted, about)
        return _finished(out, draws, command)


def combine(folders: Sequence[Path], out: Path, *, draws: Draws | None = None, command: str = "") -> Validation:
    """Put the sums of several folders together and finish the scores of all their days.

    Parameters
    ----------
    folders
        Results of :func:`validate` on different days.
    out
        Folder of the result, which must not hold one.
    draws
        Of the bootstrap.
    command
        The line that was typed.

    Raises
    ------
    StoreError
        If the sums do not belong together, or there is a result already.
    """
    draws = draws or Draws()
    check_draws(draws.replicates, draws.level)
    if (out / SUMS).exists():
        raise StoreError("there are sums already", where=out / SUMS, fix="give another --out")
    _require_ours(out)
    files = choose([SumsFile(folder / SUMS) for folder in folders])
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with locked(out / SUMS):
        write_sums(out / SUMS, files, files[0].about)
        return _finished(out, draws, command)


def refine(out: Path, *, draws: Draws | None = None, command: str = "") -> Validation:
    """Finish the scores of a folder anew from its sums, with other draws or another level.

    Parameters
    ----------
    out
        Folder of a validation.
    draws
        Of the bootstrap.
    command
        The line that was typed.
    """
    return _finished(out, draws or Draws(), command)


def plan(sides: Sides, settings: Settings, *, period: Period = (None, None, None), workers: int = 1) -> dict[str, Any]:
    """Say what a validation will do, without doing it.

    Parameters
    ----------
    sides, settings, period
        As in :func:`validate`.
    workers
        Processes, for the estimate of the time.

    Returns
    -------
    dict
        Files, half hours, passes by sensor (as they are in a sample, scaled), period, and the time it may take.
    """
    inputs = find(sides, settings)
    days = _chosen(inputs.days(), period)
    chosen = set(days)
    starts = np.concatenate([piece.starts for piece in inputs.imerg])
    half_hours = np.flatnonzero(np.isin(starts.astype("datetime64[D]"), np.array(sorted(chosen))))
    sample = half_hours[np.unique(np.linspace(0, half_hours.size - 1, _SAMPLE).round().astype(int))]
    began = time.perf_counter()
    passes: Counter[int] = Counter()
    for index in sample:
        dataset = inputs.imerg[index].granule.read(inputs.region)
        code = np.asarray(dataset["microwave_source"].values[0], np.float32)
        seen = sources_of(code, np.full(code.shape, np.nan, np.float32))
        passes.update(int(number) for number in np.unique(seen[seen > 0]))
    satellite = (time.perf_counter() - began) / sample.size
    middle = inputs.radar[len(inputs.radar) // 2]
    began = time.perf_counter()
    inputs.reading.read(middle.granule)
    frame = (time.perf_counter() - began) / middle.starts.size + 0.02
    frames = sum(int(np.isin(piece.starts.astype("datetime64[D]"), days).sum()) for piece in inputs.radar)
    seconds = (half_hours.size * (satellite + 0.1) + frames * frame) / max(1, min(workers, len(days)))
    scale = half_hours.size / sample.size
    return {
        **{name: dict(about) for name, about in inputs.about.items()},
        "period": [str(days[0]), str(days[-1])],
        "days": len(days),
        "half_hours": int(half_hours.size),
        "files": {"imerg": len(inputs.imerg), "radar": len({p.granule.paths for p in inputs.radar})},
        "frames": frames,
        "cells": inputs.cells.describe(),
        "passes": {name_of(number): round(passes[number] * scale) for number in ordered(passes)},
        "passes_seen_in": int(sample.size),
        "minutes": round(seconds / 60, 1),
        "settings": asdict(settings),
    }


# ---- which days


def _chosen(days: Sequence[np.datetime64], period: Period) -> list[np.datetime64]:
    """Days of a period and a shard."""
    first, last, shard = period
    try:
        low = np.datetime64(first or str(days[0]), "D")
        high = np.datetime64(last or str(days[-1]), "D")
    except ValueError as error:
        raise ConfigError(
            f"{first or 'the first day'} to {last or 'the last day'} is no period",
            where="--start, --end",
            fix="give days as 2018-06-04",
        ) from error
    kept = [day for day in days if low <= day <= high]
    if shard is not None:
        number, count = shard
        if not 1 <= number <= count:
            raise ConfigError(f"there is no shard {number}/{count}", where="--shard", fix="use 1/4 to 4/4, say")
        kept = list(np.array_split(np.array(kept), count)[number - 1])
    if not kept:
        raise ConfigError(
            f"no day is left of {days[0]} to {days[-1]}",
            where="--start, --end, --shard",
            fix="choose days that both archives have, and no more shards than days",
        )
    return kept


def _task(day: np.datetime64, inputs: Inputs, settings: Settings, parts: Path) -> Day:
    """The task of a day, with the files that it needs and no others."""
    begin, end = day.astype("datetime64[ns]"), (day + 1).astype("datetime64[ns]")
    imerg = [piece for piece in inputs.imerg if piece.near(begin - MEMORY, end)]
    radar = [piece for piece in inputs.radar if piece.near(begin - BEFORE, end + AFTER)]
    own = [piece for piece in (*imerg, *radar) if piece.near(begin, end)]
    others = [piece for piece in (*imerg, *radar) if not piece.near(begin, end)]
    ours = _stamps(own)
    return Day(
        str(day),
        tuple(piece.granule for piece in imerg),
        tuple(piece.granule for piece in radar),
        inputs.reading,
        inputs.region,
        inputs.cells,
        inputs.grid,
        inputs.imerg_identity,
        inputs.radar_identity,
        inputs.height,
        settings,
        _digest(ours),
        _digest(sorted(set(_stamps(others)) - set(ours))),
        parts / f"{day}{SUFFIX}",
    )


def _stamps(pieces: Sequence[Piece]) -> list[tuple[str, int, int]]:
    """Files by name, size and time of change; folders may move."""
    paths = {path for piece in pieces for path in piece.granule.paths}
    states = [(path.name, path.stat()) for path in paths]
    return sorted((name, state.st_size, state.st_mtime_ns) for name, state in states)


def _digest(described: Any) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def _held(out: Path, about: Mapping[str, Any], force: bool) -> SumsFile | None:
    """Sums that are in the folder already."""
    if not (out / SUMS).exists():
        return None
    held = SumsFile(out / SUMS)
    try:
        require_alike(held.about, about, where=out / SUMS)
    except StoreError:
        if not force:
            raise
        return None
    return held


def _wanted(tasks: Sequence[Day], held: SumsFile | None, force: bool) -> list[Day]:
    """Tasks of days that are new, or at the border of new ones."""
    if held is None:
        return list(tasks)
    wanted = []
    for task in tasks:
        entry = held.days.get(task.day)
        if entry is not None and entry.signature != task.signature and not force:
            raise ConfigError(
                f"the files of {task.day} have changed since they were compared",
                where=held.path,
                fix="redo such days with --force, or compare them in another --out",
            )
        if entry is None or (entry.signature, entry.around) != (task.signature, task.around):
            wanted.append(task)
    return wanted


def _done(task: Day) -> bool:
    """Whether a record of an earlier, interrupted run can be used."""
    about = read_about(task.record)
    return about is not None and (about["signature"], about["around"]) == (task.signature, task.around)


def _collect(out: Path, held: SumsFile | None, tasks: Sequence[Day], about: Mapping[str, Any]) -> None:
    """Write the sums of the days that are kept and of those that are new; the records are then needed no more."""
    done: list[Part] = [DayFile(task.record) for task in track(tasks, "reading sums")]
    if done or held is None or held.about != about:  # the rules may be others, which the sums do not depend on
        new = {day for part in done for day in part.days}
        kept: list[Part] = []
        if held is not None:
            kept = [SumsFile(held.path, [day for day in held.days if day not in new])]
        write_sums(out / SUMS, [*kept, *done], about)
    parts = out / "sums.parts"
    for record in parts.glob(f"*{SUFFIX}"):
        record.unlink(missing_ok=True)
    if parts.is_dir() and not any(parts.iterdir()):
        parts.rmdir()


def _finished(out: Path, draws: Draws, command: str) -> Validation:
    """Scores of all days of a folder, written beside the sums."""
    made = finish_validation(SumsFile(out / SUMS), draws, command)
    write_validation(made, out / SCORES)
    return made


def _about(inputs: Inputs, settings: Settings, sides: Sides) -> dict[str, Any]:
    """How sums are made: what two files of sums must agree in."""
    asked = asdict(settings)
    height = None if inputs.height is None else hashlib.sha256(inputs.height.tobytes()).hexdigest()
    made = {
        "format": _FORMAT,
        "settings": {name: value for name, value in asked.items() if name not in JUDGING},
        "rules": {name: asked[name] for name in JUDGING},
        "cells": [inputs.cells.digest, inputs.cells.describe(), *inputs.cells.region()],
        "grid": [inputs.grid.digest, inputs.grid.describe()],
        "origin": dict(inputs.origin),
        "imerg": dict(inputs.about["imerg"]),
        "radar": dict(inputs.about["radar"]) | {"identity": dict(inputs.radar_identity)},
        "reading": {
            "region": inputs.region,
            "quality": sides.quality,
            "interval": sides.interval,
            "options": dict(sides.options or {}),
            "height": height,
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(made, default=str))
    return plain


def _require_ours(out: Path) -> None:
    """Refuse a folder that holds anything else."""
    if out.exists() and not out.is_dir():
        raise StoreError("this is no folder", where=out, fix="give a folder as --out")
    foreign = sorted(
        path.name
        for path in (out.iterdir() if out.is_dir() else ())
        if path.name not in _RESULTS and not path.name.startswith((".", SUMS))
    )
    if foreign and not (out / SUMS).exists():
        raise StoreError(
            f"the folder holds {foreign[0]}, and no sums of a validation", where=out, fix="give an empty or new --out"
        )
