"""Reading: ``open(path…)`` recognises a file, a folder or a store and returns one Dataset in the house's vocabulary."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.grid import Grid, Region
from ondee.source.granule import Format, Granule

__all__ = [
    "FORMATS",
    "Format",
    "Granule",
    "by_formats",
    "gathered",
    "granules",
    "identify",
    "join",
    "open",
    "read_each",
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
    if not place.exists():
        raise ReadError("there is no such file or folder", where=place, fix="check the path")
    head = b""
    if place.is_file():
        try:
            with place.open("rb") as stream:
                head = stream.read(512)
        except OSError as error:
            raise ReadError(
                f"the file cannot be opened: {error.strerror}", where=place, fix="check its permissions"
            ) from error
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
        If an option is unknown to the reader.
    """
    kind = _format(name)
    _check_options(kind, options)
    return [Granule(group, kind, options) for group in kind.gather(sorted(set(files)))]


def read_each(items: Sequence[Granule], *, region: Region | None = None) -> Iterator[xr.Dataset]:
    """Read granules one at a time, so that an archive of any length fits in memory."""
    for granule in items:
        yield granule.read(region)


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
        ``(time[, channel], y, x)``, row 0 north, units of :data:`ondee.units.VOCABULARY`, NaN = not observed.

    Raises
    ------
    ReadError
        If a file is damaged or unknown, a time comes twice, or products, runs, versions or grids are mixed.
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


def join(parts: Sequence[tuple[tuple[Path, ...], xr.Dataset]]) -> xr.Dataset:
    """Put Datasets of one product one after the other in time.

    Parameters
    ----------
    parts
        The files of each Dataset and the Dataset, in order of time.

    Raises
    ------
    ReadError
        If product, run, grid or variables differ, or a time comes twice.
    """
    (first_paths, first), *others = parts
    grid = Grid.of(first, where=first_paths[0])
    for paths, part in others:
        for name in ("product", "run", "version"):
            if part.attrs.get(name) != first.attrs.get(name):
                raise ReadError(
                    f"{name}s are mixed: {first.attrs.get(name)} and {part.attrs.get(name)}",
                    where=f"{first_paths[0]} and {paths[0]}",
                    fix=f"open the files of one {name} only",
                )
        if not grid.same_as(Grid.of(part, where=paths[0])):
            raise ReadError(
                "grids differ",
                where=f"{first_paths[0]} and {paths[0]}",
                fix="open the files of one grid, or regrid each with ondee.collocation",
            )
        if set(part.data_vars) != set(first.data_vars):
            raise ReadError(
                f"variables differ: {', '.join(sorted(map(str, set(part.data_vars) ^ set(first.data_vars))))}",
                where=f"{first_paths[0]} and {paths[0]}",
                fix="open the files that hold the same variables, or name them with variables=…",
            )
    if not others:
        return first
    _refuse_repeats(parts)
    ordered = sorted((part for _, part in parts), key=lambda part: part["time"].values[0])
    coordinates = {name: first.coords[name] for name in ("x", "y", "crs")}
    joined = xr.concat(
        [part.drop_vars(["x", "y", "crs"]) for part in ordered],
        dim="time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    ).assign_coords(coordinates)
    if (np.diff(joined["time"].values) <= np.timedelta64(0)).any():
        raise ReadError(
            "the times of the files interlace",
            where=f"{first_paths[0]} and others",
            fix="open one product at a time; two files must not share a period",
        )
    for name in map(str, first.data_vars):
        joined[name].attrs.update(_implausible([part[name].attrs for part in ordered]))
        joined[name].encoding = dict(first[name].encoding)
    return joined


def _refuse_repeats(parts: Sequence[tuple[tuple[Path, ...], xr.Dataset]]) -> None:
    """Refuse the same time from two files."""
    seen: dict[np.datetime64, Path] = {}
    for paths, part in parts:
        for stamp in part["time"].values:
            if stamp in seen:
                raise ReadError(
                    f"the time {np.datetime_as_string(stamp, 's')} comes twice",
                    where=f"{seen[stamp]} and {paths[0]}",
                    fix="keep one of the two files (a reprocessed product beside the old one?)",
                )
            seen[stamp] = paths[0]


def _implausible(attributes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of masked values, summed over the parts."""
    counts = [entry for entry in attributes if "implausible_count" in entry]
    if not counts:
        return {}
    return {
        "implausible_count": sum(int(entry["implausible_count"]) for entry in counts),
        "implausible_extreme": max((entry["implausible_extreme"] for entry in counts), key=abs),
    }


def _selected(
    times: NDArray[np.datetime64], start: str | np.datetime64 | None, end: str | np.datetime64 | None
) -> NDArray[np.bool_]:
    """Which times lie in [start, end)."""
    chosen = np.ones(times.shape, dtype=bool)
    try:
        if start is not None:
            chosen &= times >= np.datetime64(start)
        if end is not None:
            chosen &= times < np.datetime64(end)
    except ValueError as error:
        raise ConfigError(
            f"a time cannot be understood: {error}",
            where=f"start={start}, end={end}",
            fix="write times as 2018-06-04 or 2018-06-04T12:30, in UTC",
        ) from error
    return chosen


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    """Files to try below a path, each with whether it was named itself."""
    if not path.is_dir() or _is_zarr(path):
        yield path, True
        return
    for child in sorted(path.iterdir()):
        if child.name.startswith("."):
            continue
        if child.is_dir() and not _is_zarr(child):
            yield from ((place, False) for place, _ in _files(child))
        else:
            yield child, False


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ConfigError(f"{name!r} is no format", where="format", fix="use one of: " + ", ".join(FORMATS))
    found: Format = import_module(f"ondee.source.{name}").FORMAT
    return found


def _check_options(kind: Format, options: dict[str, Any]) -> None:
    unknown = sorted(set(options) - set(kind.options))
    if unknown:
        raise ConfigError(
            f"the {kind.name} reader has no option {unknown[0]!r}",
            where=f"options of {kind.name}",
            fix="its options are: " + (", ".join(sorted(kind.options)) or "none"),
        )
