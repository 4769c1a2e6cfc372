"""Reading: ``open(path…)`` recognises a file, a folder or a store and returns one Dataset in the house's vocabulary."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.region import Region
from ondee.source.granule import Format, Granule
from ondee.source.joining import identity, join, require_same
from ondee.source.options import checked

__all__ = [
    "FORMATS",
    "Format",
    "Granule",
    "by_formats",
    "gathered",
    "granules",
    "identify",
    "identity",
    "join",
    "matching",
    "open",
    "require_same",
]

FORMATS = ("imerg", "odim", "meteofrance", "seviri", "nwcsaf", "weather4cast", "patches", "stored", "cf")
"""Modules of ``ondee.source`` in the order in which a file is tried; ``cf``, the most general, comes last."""

PathLike = str | Path


def identify(path: PathLike) -> Format | None:
    """Find the format of one file or zarr directory; None if no reader knows it.

    Raises
    ------
    ReadError
        If the path does not exist or cannot be opened.
    """
    place = Path(path)
    head = _head(place)
    for name in FORMATS:
        candidate = _format(name)
        if candidate.recognise(place, head):
            return candidate
    return None


def granules(*paths: PathLike, format: str | None = None, **options: Any) -> list[Granule]:
    """List what is to be read, in order of time, without reading data.

    Parameters
    ----------
    *paths
        Files, folders (searched through) or zarr stores.
    format
        Name of a format, to bypass recognition.
    **options
        Options of the reader (see ``ondee.source.<format>.FORMAT.options``).

    Returns
    -------
    list of Granule
        In order of their first time. Files of a folder that no reader knows are left out with a warning.

    Raises
    ------
    ReadError
        If a named file is of no known format, or the paths mix formats.
    ConfigError
        If an option is unknown to the reader.
    """
    by_format, left_out = by_formats(*paths, format=format)
    if left_out:
        warnings.warn(f"{len(left_out)} files of no known format are left out, {min(left_out)} first", stacklevel=2)
    if len(by_format) > 1:
        kinds = ", ".join(f"{len(files)} {name}" for name, files in sorted(by_format.items()))
        raise ReadError(
            f"the paths mix formats: {kinds}",
            where=", ".join(map(str, paths)),
            fix="name the files of one product, or give format=…",
        )
    name, files = by_format.popitem()
    groups = gathered(name, files, **options)
    return sorted(groups, key=lambda granule: (granule.times.min(), granule.paths))


def by_formats(*paths: PathLike, format: str | None = None) -> tuple[dict[str, list[Path]], dict[Path, str]]:
    """Sort files by their format.

    Parameters
    ----------
    *paths
        Files, folders (searched through) or zarr stores.
    format
        Name of a format, to bypass recognition.

    Returns
    -------
    tuple
        Format name → its files; and each file of a folder that cannot be read → the reason.

    Raises
    ------
    ReadError
        If a named file is of no known format, or there is nothing to read.
    """
    found: dict[str, list[Path]] = {}
    left_out: dict[Path, str] = {}
    for path in paths:
        for place, named in _files(Path(path)):
            try:
                _head(place)
                kind = _format(format) if format else identify(place)
            except ReadError as error:
                if named:
                    raise
                left_out[place] = error.what
                continue
            if kind is not None:
                found.setdefault(kind.name, []).append(place)
            elif named:
                raise ReadError(
                    "no reader knows this file",
                    where=place,
                    fix="ondee reads " + ", ".join(FORMATS) + "; a damaged or renamed file can be forced with format=…",
                )
            else:
                left_out[place] = "no reader knows this file"
    if not found:
        raise ReadError(
            "there is nothing to read",
            where=", ".join(map(str, paths)),
            fix="name files, or a folder that holds some",
        )
    return found, left_out


def gathered(name: str, files: Sequence[Path], **options: Any) -> list[Granule]:
    """Granules of the files of one format, in the order of the files; no file is opened for its times.

    Raises
    ------
    ConfigError
        If an option is unknown to the reader, of another type or out of range.
    """
    kind = _format(name)
    _refuse_unknown(kind, options)
    return [Granule(group, kind, checked(options)) for group in kind.gather(sorted(set(files)))]


def open(  # the public name is ondee.open
    *paths: PathLike,
    region: Region | None = None,
    start: str | np.datetime64 | None = None,
    end: str | np.datetime64 | None = None,
    format: str | None = None,
    **options: Any,
) -> xr.Dataset:
    """Open radar, satellite or model rain of any known format.

    Parameters
    ----------
    *paths
        Files, folders or stores of one product.
    region
        West, south, east, north in degrees: only the cells that touch it are read.
    start, end
        Keep times with ``start <= time < end`` (ISO text or datetime64, UTC).
    format
        Name of a format, to bypass recognition.
    **options
        Options of the reader, for example ``quantity="DBZH"`` or ``corner="centre"``.

    Returns
    -------
    xarray.Dataset
        ``(time[, channel or member], y, x)``, row 0 north, units of :data:`ondee.units.VOCABULARY`, NaN = not observed.

    Raises
    ------
    ReadError
        If a file is damaged or unknown, a time comes twice, or products, runs, versions, members or grids are
        mixed.
    ConfigError
        If an option is unknown to the reader.

    Examples
    --------
    >>> import ondee
    >>> rain = ondee.open("radar/", region=(-5.5, 42.0, 8.5, 51.5), start="2018-06-04")  # doctest: +SKIP
    """
    found = granules(*paths, format=format, **options)
    narrow = start is not None or end is not None
    chosen = [granule for granule in found if _selected(granule.times, start, end).any()] if narrow else found
    if not chosen:
        raise ReadError(
            f"no frame lies between {start} and {end}",
            where=", ".join(map(str, paths)),
            fix="widen start and end; `ondee look` tells the period of the files",
        )
    dataset = join([(granule.paths, granule.read(region)) for granule in chosen])
    if start is None and end is None:
        return dataset
    return dataset.isel(time=_selected(dataset["time"].values, start, end))


def matching(pattern: PathLike, folder: Path = Path()) -> list[Path]:
    """Files and folders behind a path or a pattern.

    Parameters
    ----------
    pattern
        A file, a folder, or a pattern such as ``radar/**/*.h5``.
    folder
        From where it is taken.

    Raises
    ------
    ReadError
        If there is none.
    """
    wanted = folder / Path(pattern).expanduser()
    below = str(wanted.relative_to(wanted.anchor))
    try:
        found = sorted(Path(wanted.anchor).glob(below)) if set("*?[") & set(below) else [wanted]
    except (ValueError, NotImplementedError):  # pathlib refuses some patterns, such as radar/**a
        found = []
    found = [place for place in found if place.exists()]
    if not found:
        raise ReadError(
            "there is no such file or folder",
            where=pattern,
            fix="check the path, or give a pattern in quotes, such as 'radar/**/*.h5'",
        )
    return found


def _selected(
    times: NDArray[np.datetime64], start: str | np.datetime64 | None, end: str | np.datetime64 | None
) -> NDArray[np.bool_]:
    """Which times lie in [start, end)."""
    chosen = np.ones(times.shape, dtype=bool)
    try:
        # In microseconds, which hold every year; NumPy would turn the year 9999 into nanoseconds of another.
        moments = times.astype("datetime64[us]")
        if start is not None:
            chosen &= moments >= np.datetime64(start).astype(moments.dtype)
        if end is not None:
            chosen &= moments < np.datetime64(end).astype(moments.dtype)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"a time cannot be understood: {error}",
            where=f"start={start}, end={end}",
            fix="write times as 2018-06-04 or 2018-06-04T12:30, in UTC",
        ) from error
    return chosen


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    """Files to try below a path, each with whether it was named itself."""
    if _is_folder(path) and os.access(path, os.R_OK | os.X_OK):
        yield from ((place, False) for place in _below(path, set()))
    else:
        yield path, True


def _below(folder: Path, been: set[Path]) -> Iterator[Path]:
    """Files and zarr stores below a folder, and what cannot be opened; links may lead in circles."""
    here = folder.resolve()
    if here in been:
        return
    been.add(here)
    for child in sorted(folder.iterdir()):
        if child.name.startswith("."):
            continue
        if _is_folder(child) and os.access(child, os.R_OK | os.X_OK):
            yield from _below(child, been)
        else:
            yield child


def _is_folder(path: Path) -> bool:
    """Whether a path is a directory, and no zarr."""
    try:
        return path.is_dir() and not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
    except OSError:  # it is told where it is opened
        return False


def _head(path: Path) -> bytes:
    """Give the first bytes of a file, none of a folder.

    Raises
    ------
    ReadError
        If there is nothing, it cannot be opened, or it is a pipe or a device, which may never end.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            next(path.iterdir(), None)
            return b""
        if stat.S_ISREG(mode):
            with path.open("rb") as stream:
                return stream.read(512)
    except FileNotFoundError as error:
        broken = "the link leads nowhere" if path.is_symlink() else "there is no such file or folder"
        raise ReadError(broken, where=path, fix="check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ReadError(f"the file cannot be opened: {reason}", where=path, fix="check its permissions") from error
    raise ReadError("this is a pipe or a device, no file", where=path, fix="save what it gives as a file first")


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ConfigError(f"{name!r} is no format", where="format", fix="use one of: " + ", ".join(FORMATS))
    found: Format = import_module(f"ondee.source.{name}").FORMAT
    return found


def _refuse_unknown(kind: Format, options: dict[str, Any]) -> None:
    unknown = sorted(set(options) - set(kind.options))
    if unknown:
        raise ConfigError(
            f"the {kind.name} reader has no option {unknown[0]!r}",
            where=f"options of {kind.name}",
            fix="its options are: " + (", ".join(sorted(kind.options)) or "none"),
        )
