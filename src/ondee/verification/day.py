"""One day of a verification: its frames read once, its sums written whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee import score
from ondee.collocation.calendar import floor_to
from ondee.units import VOCABULARY
from ondee.verification.pairing import Batch, batches, pairs, persistence_name
from ondee.verification.record import Case, Record, write_record
from ondee.verification.settings import Settings
from ondee.verification.strata import ALL, pixel_strata, time_strata
from ondee.verification.subjects import Subject
from ondee.verification.suite import suite

__all__ = ["Day", "Judged", "judged", "score_day"]

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Judged:
    """Something that is scored: a subject as it is, its ensemble mean, or the truth of some minutes ago."""

    name: str
    source: str
    kind: str
    """``field``, ``ensemble`` or ``probability``."""
    mean: bool = False


@dataclass(frozen=True)
class Day:
    """One task.

    Parameters
    ----------
    day
        ISO date.
    truth, estimates
        With the pieces near this day only.
    settings
        How to score.
    signature
        Of files and settings.
    record
        Where the sums are written.
    """

    day: str
    truth: Subject
    estimates: tuple[Subject, ...]
    settings: Settings
    signature: str
    record: Path


def judged(estimates: Sequence[Subject], settings: Settings) -> list[Judged]:
    """List what is scored: every estimate, the mean of every ensemble, every persistence forecast.

    Parameters
    ----------
    estimates
        The subjects.
    settings
        With the minutes of persistence.
    """
    found = []
    for subject in estimates:
        if VOCABULARY[subject.reading.variable].units != VOCABULARY["rain_rate"].units:
            found.append(Judged(subject.name, subject.name, "probability"))
        elif subject.members > 1:
            found.append(Judged(subject.name, subject.name, "ensemble"))
            found.append(Judged(f"{subject.name} mean", subject.name, "field", mean=True))
        else:
            found.append(Judged(subject.name, subject.name, "field"))
    return [*found, *(Judged(persistence_name(lag), persistence_name(lag), "field") for lag in settings.lags)]


def score_day(task: Day) -> str:
    """Score one day and write its record.

    Parameters
    ----------
    task
        The day.

    Returns
    -------
    str
        The day.

    Raises
    ------
    OndeeError
        If files cannot be read or compared, or the record cannot be written.
    """
    begin = np.datetime64(task.day, "ns")
    entries = judged(task.estimates, task.settings)
    made = Record(task.day, task.signature)
    found = pairs(task.truth, task.estimates, task.settings.lags, begin, begin + _DAY)
    for batch in batches(found):
        _score_batch(batch, entries, task.settings, made)
    write_record(made, task.record)
    return task.day


def _score_batch(batch: Batch, entries: Sequence[Judged], settings: Settings, made: Record) -> None:
    """Add the sums of one batch to the record of its day."""
    truth, used, estimates = _sample(batch, {entry.source for entry in entries}, settings)
    made.frames += truth.sizes["time"]
    for entry in entries:
        if entry.source in batch.estimates:
            there = (
                batch.estimates[entry.source]
                .notnull()
                .any([d for d in batch.estimates[entry.source].dims if d != "time"])
            )
            made.seen[entry.name] = made.seen.get(entry.name, 0) + int(there.sum())
    if not used.any():
        return
    starts = batch.starts[used]
    truth = truth.isel(time=used)
    quality = None if batch.quality is None else batch.quality.isel(time=used)
    made.pixels += int(truth.notnull().sum())
    made.offer(_case(truth, starts))
    frames = time_strata(settings.by, starts)
    pixels = pixel_strata(settings.by, quality)
    blocks = floor_to(starts, np.timedelta64(settings.block, "m"))
    for entry in entries:
        if entry.source not in estimates:
            continue
        estimate = estimates[entry.source].isel(time=used)
        if entry.mean:
            estimate = estimate.mean("member", skipna=False, keep_attrs=True)
        for wanted in suite(entry.kind, settings):
            add = partial(_add, made, wanted.name, entry.name, blocks)
            add(wanted.sums(estimate, truth), frames if wanted.stratified else {ALL: frames[ALL]})
            for label, mask in pixels.items() if wanted.stratified else ():
                add(wanted.sums(estimate, truth.where(mask)), {label: frames[ALL]})


def _add(
    made: Record,
    name: str,
    estimate: str,
    blocks: NDArray[np.datetime64],
    sums: xr.Dataset,
    strata: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Add the sums of frames to each stratum and block of time."""
    for label, chosen in strata.items():
        for block in np.unique(blocks[chosen]):
            place = label, np.datetime_as_string(block, "m")
            made.add(name, estimate, place, score.pool(sums.isel(time=chosen & (blocks == block)), "time"))


def _sample(
    batch: Batch, sources: Set[str], settings: Settings
) -> tuple[xr.DataArray, np.ndarray[tuple[int], np.dtype[np.bool_]], Mapping[str, xr.DataArray]]:
    """The truth where it may be used, the frames that are, and the estimates."""
    if settings.sample == "own":
        return batch.truth, np.ones(batch.starts.size, bool), batch.estimates
    common = batch.truth.notnull() & (sources <= batch.estimates.keys())  # one that has no frame here sees no pixel
    for estimate in batch.estimates.values():
        seen = estimate.notnull()
        common &= seen.all("member") if "member" in seen.dims else seen
    used = common.any(("y", "x")).values
    return batch.truth.where(common), used, batch.estimates


def _case(truth: xr.DataArray, starts: np.ndarray[tuple[int], np.dtype[np.datetime64]]) -> Case:
    """The frame with most rain."""
    totals = truth.sum(("y", "x")).values
    index = int(np.argmax(totals))
    return Case(np.datetime_as_string(starts[index], "s"), float(totals[index]))
