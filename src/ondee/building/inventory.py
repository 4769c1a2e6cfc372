"""What the inputs of a build are: their files in order of time, and the files that cannot be used, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ondee.config import InputConfig
from ondee.errors import ConfigError, OndeeError, ReadError
from ondee.progress import track
from ondee.source import by_formats, gathered, matching
from ondee.source.granule import Granule

__all__ = ["Item", "Rejected", "inventory"]


@dataclass(frozen=True)
class Item:
    """One granule with the period of its labels."""

    granule: Granule
    first: np.datetime64
    last: np.datetime64
    times: tuple[np.datetime64, ...]

    def touches(self, start: np.datetime64, end: np.datetime64) -> bool:
        """Whether a label lies in ``[start, end)``."""
        return bool(self.first < end and self.last >= start)


@dataclass(frozen=True)
class Rejected:
    """A file that could not be used."""

    path: str
    reason: str


def inventory(name: str, settings: InputConfig, folder: Path) -> tuple[list[Item], list[Rejected]]:
    """List the granules of an input in order of time, without reading data.

    Parameters
    ----------
    name
        The input's name, for errors.
    settings
        Its configuration.
    folder
        Folder to which its paths are relative.

    Returns
    -------
    tuple
        Granules in order of time; and the files that no reader can use.

    Raises
    ------
    ConfigError
        If a path names nothing, nothing can be read, or the files are of several formats.
    """
    by_format: dict[str, list[Path]] = {}
    rejected: list[Rejected] = []
    for place in _places(name, settings.paths, folder):
        try:
            found, left_out = by_formats(place, format=settings.format)
        except ReadError as error:
            rejected.append(Rejected(str(place), error.what))
            continue
        rejected += [Rejected(str(path), reason) for path, reason in left_out.items()]
        for kind, files in found.items():
            by_format.setdefault(kind, []).extend(files)
    if not by_format:
        raise _unusable(name, rejected)
    if len(by_format) != 1:
        kinds = ", ".join(f"{len(files)} {kind}" for kind, files in sorted(by_format.items()))
        raise ConfigError(
            f"the files of input {name} are of several formats: {kinds}",
            where=f"inputs.{name}.paths",
            fix="give files of one format, and keep the store out of their folder; `ondee look` tells what each is",
        )
    kind, files = by_format.popitem()
    items = []
    for granule in track(gathered(kind, sorted(set(files)), **settings.options), f"listing {name}"):
        try:
            for piece in granule.pieces():
                times = piece.times
                items.append(Item(piece, times.min(), times.max(), tuple(times)))
        except (OndeeError, ValueError) as error:
            reason = error.what if isinstance(error, OndeeError) else str(error)
            rejected += [Rejected(str(path), reason) for path in granule.paths]
    if not items:
        raise _unusable(name, rejected)
    return sorted(items, key=lambda item: (item.first, item.granule.paths)), rejected


def _unusable(name: str, rejected: Sequence[Rejected]) -> ConfigError:
    """The error of an input of which no file can be read."""
    first = rejected[0] if rejected else Rejected(f"inputs.{name}.paths", "there is none")
    return ConfigError(
        f"no file of input {name} can be read: {first.reason}",
        where=first.path,
        fix="look at the file with `ondee look`; give another path or format",
    )


def _places(name: str, patterns: Sequence[str], folder: Path) -> list[Path]:
    """Files and folders behind paths and patterns."""
    places: list[Path] = []
    for pattern in patterns:
        try:
            places += matching(pattern, folder)
        except ReadError as error:
            raise ConfigError(
                f"nothing is at {pattern!r}",
                where=f"inputs.{name}.paths",
                fix=f"paths are taken from {folder}; give a file, a folder or a pattern such as radar/**/*.h5",
            ) from error
    return places
