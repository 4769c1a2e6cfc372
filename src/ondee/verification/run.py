"""A verification from files to scores: one task a day, resumed where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee import __version__, engine
from ondee.bundle import SUFFIX
from ondee.collocation.calendar import floor_to
from ondee.errors import ConfigError, ReadError
from ondee.output import disk_errors, locked
from ondee.progress import track
from ondee.score.axes import axes
from ondee.score.resampling import block_length, check_draws
from ondee.verification.day import Day, judged, score_day
from ondee.verification.pairing import pairs
from ondee.verification.record import Record, read_record, signature_of
from ondee.verification.result import Blocks, Verification, choose_reference, finished
from ondee.verification.settings import Settings
from ondee.verification.subjects import AROUND, Subject, pixel_of
from ondee.verification.suite import TILED, suite

__all__ = ["plan", "verify"]

_DAY = np.timedelta64(1, "D")
MOST_BLOCKS, FEWEST_BLOCKS = 128, 12
"""With ``block="auto"``, blocks are longer than a day where there would be more, which bounds memory, and shorter where
there would be fewer."""
_MINUTES = (1440, 360, 180, 60, 30)


def plan(
    truth: Subject,
    estimates: Sequence[Subject],
    settings: Settings,
    *,
    block: str = "auto",
    reference: str | None = None,
) -> dict[str, Any]:
    """Say what a verification will do, without doing it.

    Parameters
    ----------
    truth, estimates, settings, block, reference
        As in :func:`verify`.

    Returns
    -------
    dict
        What would be compared: estimates with their scores, days, blocks, frames.
    """
    days = _days(truth)
    entries = judged(estimates, settings)
    names = _names(entries)
    begin, end = days[0].astype("datetime64[ns]"), (days[-1] + 1).astype("datetime64[ns]")
    counted = {"truth": truth, **{entry.name: entry for entry in estimates}}
    return {
        "truth": truth.product,
        "grid": truth.grid.describe(),
        "period": [str(begin)[:16], str(end)[:16]],
        "days": len(days),
        "block": _spelled(_block(block, truth)),
        "reference": choose_reference(reference, names),
        "files": {name: len(entry.files) for name, entry in counted.items()},
        "frames": {name: sum(piece.times.size for piece in entry.pieces) for name, entry in counted.items()},
        "members": {entry.name: entry.members for entry in estimates if entry.members},
        "scores": {entry.name: [wanted.name for wanted in suite(entry.kind, settings)] for entry in entries},
        "settings": asdict(settings),
    }


def verify(
    truth: Subject,
    estimates: Sequence[Subject],
    settings: Settings,
    parts: Path,
    *,
    block: str = "auto",
    replicates: int = 1000,
    level: float = 0.95,
    reference: str | None = None,
    workers: int = 1,
    cluster: str | None = None,
) -> Verification:
    """Score estimates against the truth, a day at a time, in memory that does not grow with the archive.

    Parameters
    ----------
    truth
        The truth, from :func:`ondee.verification.subject`.
    estimates
        The estimates; none if only persistence is scored.
    settings
        How to score.
    parts
        Folder of the records of days; a verification that was cut short goes on from them.
    block
        Length of a block of the bootstrap, such as ``"1D"`` or ``"6h"``; ``"auto"`` is a day, more where the archive
        has over 128 days, and hours where it has so few days that there would be fewer than 12 blocks. Hours of one
        day depend on each other: such intervals speak of that weather, not of a climate.
    replicates, level
        Of the bootstrap.
    reference
        Estimate that figures call the reference; the first where None.
    workers, cluster
        As in :func:`ondee.engine.run`.

    Raises
    ------
    ConfigError
        If names or settings cannot be used.
    ReadError
        If files cannot be read, or no frame of the truth has an estimate.
    GridError
        If an estimate lies on another grid.
    StoreError
        If the disk refuses.
    """
    settings = replace(settings, step=truth.step if settings.step is None else settings.step)
    entries = judged(estimates, settings)
    names = _names(entries)
    chosen = choose_reference(reference, names)
    check_draws(replicates, level)
    _require_window(truth, estimates, settings)
    days = _days(truth)
    length = _block(block, truth)
    settings = replace(settings, block=int(min(length, _DAY) / np.timedelta64(1, "m")))
    with disk_errors(parts):
        parts.mkdir(parents=True, exist_ok=True)
    with locked(parts):
        tasks = [_task(day, truth, estimates, settings, parts) for day in days]
        todo = [task for task in tasks if signature_of(task.record) != task.signature]
        for _ in track(engine.run(score_day, todo, workers=workers, cluster=cluster), "scoring days", len(todo)):
            pass
        blocks, summary = Blocks(length), _Summary()
        for task in track(tasks, "adding up"):
            record = read_record(task.record)
            blocks.add(record)
            summary.add(record)
    if not blocks.held:
        raise _nothing_matched(truth, estimates, days)
    sums = {name: blocks.groups(name) for name in blocks.names()}
    composed = axes(sums, pixel=pixel_of(truth.grid), thresholds=settings.thresholds)
    whole = sums if composed is None else {"axes": [composed], **sums}
    how = {"block": _spelled(length), "replicates": replicates, "seed": settings.seed, "level": level}
    made = {}
    for name, groups in track(whole.items(), "intervals", len(whole)):
        made[name] = finished(groups, names, how)
    facts = _facts(truth, estimates, settings, summary) | {
        "block": _spelled(length),
        "blocks": int(next(iter(made.values())).attrs["blocks"]),
        "replicates": replicates,
        "level": level,
        "reference": chosen,
    }
    return Verification(made, sums, facts, _cases(truth, estimates, settings, summary))


def forget(parts: Path) -> None:
    """Remove the records of days, once their result is written; what else lies in their folder stays.

    Parameters
    ----------
    parts
        Folder of the records.
    """
    for record in parts.glob(f"*{SUFFIX}"):
        record.unlink(missing_ok=True)
    if parts.is_dir() and not any(parts.iterdir()):
        parts.rmdir()


def _names(entries: Sequence[Any]) -> list[str]:
    """Names of what is scored, which must differ."""
    names = [entry.name for entry in entries]
    if not names:
        raise ConfigError(
            "there is no estimate", where="ESTIMATE", fix="name one before the truth, or ask for --persistence 10,20,30"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"two estimates are called {twice[0]!r}",
            where="ESTIMATE",
            fix="name them: NAME=PATH or NAME=PATH::VARIABLE",
        )
    return names


def _days(truth: Subject) -> list[np.datetime64]:
    days = truth.days()
    if not days:
        raise ReadError("the truth has no frame", where=truth.name, fix="name files that hold frames")
    return days


def _block(block: str, truth: Subject) -> np.timedelta64:
    """Length of a block: as asked, or a day, longer in a long archive and shorter in one of few days."""
    if block != "auto":
        return block_length(block)
    starts = np.concatenate([piece.times + truth.offset for piece in truth.pieces])
    span = int((starts.max() - starts.min()) / _DAY) + 1
    if span > MOST_BLOCKS:
        return np.timedelta64(-(-span // MOST_BLOCKS), "D")
    lengths = [np.timedelta64(minutes, "m") for minutes in _MINUTES]
    return next(
        (length for length in lengths if np.unique(floor_to(starts, length)).size >= FEWEST_BLOCKS), lengths[-1]
    )


def _require_window(truth: Subject, estimates: Sequence[Subject], settings: Settings) -> None:
    """Refuse tiles that no frame can hold, before days are spent."""
    asked = {wanted.name for entry in judged(estimates, settings) for wanted in suite(entry.kind, settings)}
    least, tiled = min(truth.grid.shape), sorted(asked & TILED)
    if tiled and least < settings.window:
        raise ConfigError(
            f"tiles of {settings.window} pixels do not fit into {truth.grid.ny} x {truth.grid.nx} pixels",
            where="--window",
            fix=f"use --window {1 << (least.bit_length() - 1)}, or --scores without {', '.join(tiled)}",
        )


def _spelled(length: np.timedelta64) -> str:
    """Length of a block as text that :func:`block_length` reads."""
    minutes = int(length / np.timedelta64(1, "m"))
    return next(f"{minutes // size}{unit}" for size, unit in ((1440, "D"), (60, "h"), (1, "m")) if minutes % size == 0)


def _task(day: np.datetime64, truth: Subject, estimates: Sequence[Subject], settings: Settings, parts: Path) -> Day:
    """The task of a day, with the files that it needs and no others."""
    begin = day.astype("datetime64[ns]")
    early = begin - np.timedelta64(round(max(settings.lags, default=0.0) * 60), "s")
    own = replace(truth, pieces=tuple(truth.near(early - AROUND, begin + _DAY)))
    others = tuple(replace(entry, pieces=tuple(entry.near(begin - AROUND, begin + _DAY))) for entry in estimates)
    described = {
        "version": __version__,
        "settings": asdict(settings),
        "subjects": [_described(subject) for subject in (own, *others)],
    }
    signature = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()
    return Day(str(day), own, others, settings, signature, parts / f"{day}{SUFFIX}")


def _described(subject: Subject) -> dict[str, Any]:
    """All that the sums of a subject depend on."""
    files = [[str(path), *_stamp(path)] for path in subject.files]
    options = [dict(piece.granule.options) for piece in subject.pieces[:1]]
    return {"name": subject.name, "reading": asdict(subject.reading), "options": options, "files": files}


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


class _Summary:
    """What the records of all days tell beside sums."""

    def __init__(self) -> None:
        self.frames = self.pixels = self.days = 0
        self.seen: dict[str, int] = {}
        self.case: tuple[float, str] | None = None

    def add(self, record: Record) -> None:
        self.frames += record.frames
        self.pixels += record.pixels
        self.days += record.pixels > 0
        for name, count in record.seen.items():
            self.seen[name] = self.seen.get(name, 0) + count
        if record.case is not None and (self.case is None or record.case.rain > self.case[0]):
            self.case = record.case.rain, record.case.start


def _facts(truth: Subject, estimates: Sequence[Subject], settings: Settings, summary: _Summary) -> dict[str, Any]:
    """What was compared, and on how much."""
    known = {entry.name: entry for entry in estimates}
    described = {}
    for entry in judged(estimates, settings):
        source = known.get(entry.source)
        frames = summary.seen.get(entry.name, 0)
        described[entry.name] = {
            "product": truth.product if source is None else source.product,
            "files": len((source or truth).files),
            "variable": (source or truth).reading.variable,
            "members": 0 if source is None or entry.mean else source.members,
            "frames": frames,
            "missing_frames": summary.frames - frames,
        }
    days = truth.days()
    return {
        "title": f"Verification against {truth.product}" + (" and other products" if truth.mixed else ""),
        "truth": truth.product,
        "period": f"{days[0]} to {days[-1]}",
        "frames": summary.frames,
        "days": summary.days,
        "pixels": summary.pixels,
        "pixel_km": pixel_of(truth.grid),
        "thresholds": list(settings.thresholds),
        "scales": list(settings.scales),
        "sample": settings.sample,
        "quality": truth.reading.quality,
        "version": __version__,
        "estimates": described,
    }


def _nothing_matched(truth: Subject, estimates: Sequence[Subject], days: Sequence[np.datetime64]) -> ReadError:
    """Say why no frame could be compared: other periods, or other intervals."""
    first = next(iter(truth.frames(days[0].astype("datetime64[ns]"), days[-1].astype("datetime64[ns]") + _DAY)), None)
    told = [f"truth {first.start} to {first.end}"] if first else []
    for entry in estimates:
        own = entry.days()
        frame = next(iter(entry.frames(own[0].astype("datetime64[ns]"), own[-1].astype("datetime64[ns]") + _DAY)), None)
        told += [f"{entry.name} {frame.start} to {frame.end}"] if frame else []
    return ReadError(
        "no frame of the truth was observed together with the estimates, over the same interval: "
        + ", ".join(text.replace(":00.000000000", "") for text in told),
        where=f"{truth.name} and {', '.join(entry.name for entry in estimates) or 'persistence'}",
        fix="say what the frames stand for (--interval 15,start), average first (ondee build), or use --sample own",
    )


def _cases(truth: Subject, estimates: Sequence[Subject], settings: Settings, summary: _Summary) -> xr.Dataset | None:
    """The rainiest frame of all, read again: the truth and one field of each estimate of rain."""
    if summary.case is None:
        return None
    start = np.datetime64(summary.case[1], "ns")
    pair = next(pairs(truth, estimates, settings.lags, start, start + np.timedelta64(1, "s")), None)
    if pair is None:
        return None
    panels: dict[str, dict[str, xr.DataArray]] = {"rain_rate": {"truth": pair.truth.values}}
    for entry in judged(estimates, settings):
        values = pair.estimates.get(entry.source)
        if values is None:
            continue
        name = entry.name
        if "member" in values.dims and entry.mean:
            values = values.mean("member", skipna=False)
        elif "member" in values.dims:
            name = f"{name}, member {values['member'].values[0]}"
            values = values.isel(member=0, drop=True)
        panels.setdefault(str(values.name), {})[name] = values
    grid: Mapping[str, Any] = pair.truth.grid.coordinates()
    made = xr.Dataset(coords={**grid, "time": pair.truth.start})
    for variable, fields in panels.items():
        dim = "panel" if variable == "rain_rate" else f"{variable}_panel"
        attributes = next(iter(fields.values())).attrs
        stacked = np.stack([np.asarray(field.values, np.float32) for field in fields.values()])
        made = made.assign_coords({dim: list(fields)}).assign({variable: ((dim, "y", "x"), stacked, attributes)})
    return made
