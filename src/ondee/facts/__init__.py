"""What a person wants to know of a file, a folder or a store before using it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ondee.errors import ConfigError, OndeeError, ReadError
from ondee.facts.record import Facts, GridFacts, Statistics, Survey, VariableFacts
from ondee.facts.tally import QUALITY_THRESHOLDS, WET, Choice, Tally, tally_of
from ondee.grid import Region
from ondee.progress import track
from ondee.source import Granule, by_formats, gathered
from ondee.source.stored import inputs

__all__ = [
    "QUALITY_THRESHOLDS",
    "WET",
    "Facts",
    "GridFacts",
    "Statistics",
    "Survey",
    "VariableFacts",
    "facts",
    "survey",
]


def facts(path: str | Path, *, region: Region | None = None, format: str | None = None, **options: Any) -> Facts:
    """Tell the facts of the one product that a path holds.

    Parameters
    ----------
    path
        File, folder or store.
    region
        West, south, east, north in degrees; the whole grid where None.
    format
        Name of a format, to bypass recognition.
    **options
        Options of the reader.

    Raises
    ------
    ReadError
        If a file that was named is damaged or of no known format.
    ConfigError
        If the path holds more than one product, or an option is unknown.
    """
    found = survey(path, region=region, format=format, **options).products
    if len(found) > 1:
        raise ConfigError(
            f"there are {len(found)} products: " + ", ".join(entry.product for entry in found),
            where=path,
            fix="name the files of one product, or call ondee.facts.survey, which tells them all",
        )
    return found[0]


def survey(
    *paths: str | Path,
    region: Region | None = None,
    variable: str | None = None,
    time: str | None = None,
    channel: str | None = None,
    format: str | None = None,
    **options: Any,
) -> Survey:
    """Tell the facts of every product below some paths, reading one granule at a time.

    Parameters
    ----------
    *paths
        Files, folders, stores; formats and products may be mixed.
    region
        West, south, east, north in degrees; the whole grids where None.
    variable, time, channel
        Which field to keep as the preview: the first rain (or the first variable), the frame with most rain,
        and 10.8 µm (or the first channel) where None. Of an ensemble it is the first member; the reader's option
        ``member`` chooses another one.
    format
        Name of a format, to bypass recognition.
    **options
        Options of the reader.

    Returns
    -------
    Survey
        Products in the order of their names. In a folder, a file that cannot be read is left out with its reason.

    Raises
    ------
    ReadError
        If a file that was named cannot be read, or no file can.
    ConfigError
        If an option is unknown to the reader, or no product has the field that was asked for.
    """
    choice = Choice(variable, _moment(time), channel)
    by_name, unknown = by_formats(*paths, format=format)
    left_out = {str(path): reason for path, reason in sorted(unknown.items())}
    granules = _granules(by_name, left_out, options)
    named = {Path(path) for path in paths}
    tallies: list[Tally] = []
    failure: OndeeError | None = None
    for granule in track(granules, "reading"):
        try:
            for part in _parts(granule):
                dataset = part.read(region)
                if dataset.sizes["time"]:
                    tally_of(tallies, part, dataset).add(part, dataset, choice)
                del dataset
        except OndeeError as error:
            if isinstance(error, ConfigError) or named.intersection(granule.paths):
                raise
            failure = failure or error
            left_out[str(granule.paths[0])] = error.what
    if failure is not None and not tallies:
        raise failure
    _require_choice(tallies, choice)
    return Survey(tuple(tally.finish() for tally in sorted(tallies, key=lambda tally: tally.order)), left_out)


def _granules(
    by_name: Mapping[str, Sequence[Path]], left_out: dict[str, str], options: Mapping[str, Any]
) -> list[Granule]:
    """Granules of all formats; the files of a format that make none are left out if other formats have some."""
    granules: list[Granule] = []
    failure: ReadError | None = None
    for name, files in sorted(by_name.items()):
        try:
            granules += gathered(name, files, **options)
        except ReadError as error:
            failure = failure or error
            left_out |= {str(file): error.what for file in files}
    if failure is not None and not granules:
        raise failure
    return granules


def _parts(granule: Granule) -> list[Granule]:
    """Pieces of a granule that fit in memory; of a store, those of each input."""
    if granule.format.name == "stored" and "input" not in granule.options:
        chosen = [replace(granule, options={**granule.options, "input": name}) for name in inputs(granule.paths[0])]
        return [piece for part in chosen for piece in part.pieces()]
    return granule.pieces()


def _require_choice(tallies: list[Tally], choice: Choice) -> None:
    """Refuse a field that no product has; a product that lacks it falls out of the drawing only."""
    asked = ", ".join(str(entry) for entry in (choice.variable, choice.time, choice.channel) if entry is not None)
    if not asked or any(tally.preview is not None for tally in tallies):
        return
    names = sorted({name for tally in tallies for name in tally.quantities})
    periods = [np.concatenate(tally.stamps) for tally in tallies]
    span = f"{min(map(np.min, periods)).astype('datetime64[m]')} to {max(map(np.max, periods)).astype('datetime64[m]')}"
    raise ConfigError(
        f"there is no field {asked}",
        where=", ".join(str(tally.attributes.get("product")) for tally in tallies),
        fix=f"its variables are {', '.join(names)}; its frames are of {span} UTC",
    )


def _moment(time: str | None) -> np.datetime64 | None:
    """A time as numpy holds it."""
    if time is None:
        return None
    try:
        return np.datetime64(time, "ns")
    except ValueError as error:
        raise ConfigError(
            f"{time!r} is not a time", where="--time", fix="write times as 2018-06-04T12:30, in UTC"
        ) from error
