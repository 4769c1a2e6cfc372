"""The two archives of a validation: which files there are, whether they belong together, and what each day needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.area import weights
from ondee.collocation.calendar import HALF_HOUR, floor_to
from ondee.collocation.reading import Reading
from ondee.errors import ConfigError, GridError, ReadError
from ondee.grid import Grid
from ondee.progress import track
from ondee.region import Region
from ondee.source import granules, identity, matching
from ondee.source.assembly import Label
from ondee.source.granule import Granule, inside
from ondee.source.imerg_fields import parse_name
from ondee.validation.provenance import simulated
from ondee.validation.settings import Settings

__all__ = ["MEMORY", "Inputs", "Piece", "Sides", "find"]

MEMORY = np.timedelta64(180, "m")
"""How far back passes are looked for."""
_MINUTE = np.timedelta64(60, "s")
_VALUES = 1 << 23
"""Most values of a piece of a radar file: 32 MB of float32."""
_WANTED = (
    "rain_rate",
    "rain_rate_uncalibrated",
    "microwave_source",
    "microwave_minute",
    "infrared_weight",
    "quality_index",
    "liquid_probability",
)
_NEEDED = ("microwave_source",)


@dataclass(frozen=True)
class Sides:
    """What is compared, as it was asked for.

    Parameters
    ----------
    imerg, radar
        File, folder or quoted pattern.
    region
        West, south, east, north in degrees; None for all that the radar covers.
    quality
        Lowest quality of the radar that is kept, 0 to 1.
    interval
        Minutes and label of the radar's frames, where the files leave them open.
    format, options
        Of the radar's reader.
    height
        ``FILE::VARIABLE``: height of the ground in m, as plain CF NetCDF; none where None.
    """

    imerg: str
    radar: str
    region: Region | None = None
    quality: float | None = None
    interval: tuple[float, Label] | None = None
    format: str | None = None
    options: Mapping[str, Any] | None = None
    height: str | None = None


@dataclass(frozen=True)
class Piece:
    """A granule or a part of a long one, and the starts of its frames."""

    granule: Granule
    starts: NDArray[np.datetime64]

    def near(self, begin: np.datetime64, end: np.datetime64) -> bool:
        """Whether a frame starts in a period."""
        return bool(((self.starts >= begin) & (self.starts < end)).any())


@dataclass(frozen=True)
class Inputs:
    """Both archives, seen to belong together.

    Parameters
    ----------
    imerg, radar
        Pieces in order of time.
    reading
        How radar is read.
    region
        Region that is read of both, degrees.
    cells, grid
        Cells of IMERG, and the radar's grid.
    imerg_identity, radar_identity
        What all files of each agree on.
    about
        Product, run and version of both, and the minutes of a frame of the radar.
    origin
        Whether either was simulated.
    height
        Height of the ground on the cells ``(y, x)``, m; None where it was not given.
    """

    imerg: tuple[Piece, ...]
    radar: tuple[Piece, ...]
    reading: Reading
    region: Region
    cells: Grid
    grid: Grid
    imerg_identity: Mapping[str, str]
    radar_identity: Mapping[str, str]
    about: Mapping[str, Mapping[str, Any]]
    origin: Mapping[str, Any]
    height: NDArray[np.float32] | None

    def days(self) -> list[np.datetime64]:
        """Days in which a half hour of IMERG has radar."""
        seen = np.unique(floor_to(np.concatenate([piece.starts for piece in self.radar]), HALF_HOUR))
        shared = np.intersect1d(np.concatenate([piece.starts for piece in self.imerg]), seen)
        return [np.datetime64(day, "D") for day in np.unique(shared.astype("datetime64[D]"))]


def find(sides: Sides, settings: Settings) -> Inputs:
    """Find the files of both archives and see that they share place and time.

    Parameters
    ----------
    sides
        What is compared.
    settings
        With the name of the estimate, and whether runs may be mixed.

    Raises
    ------
    ConfigError
        If a path names nothing or an option cannot be used.
    ReadError
        If files cannot be read, are of another product or of several runs, or share no time.
    GridError
        If the two share no place.
    """
    reading = Reading(sides.region, sides.quality, sides.interval)
    radar = granules(*matching(sides.radar), format=sides.format, **dict(sides.options or {}))
    if radar[0].format.name == "imerg":
        raise ReadError(
            "these files are IMERG, and radar is wanted here",
            where=radar[0].paths[0],
            fix="give IMERG first and radar second; `ondee verify` compares two estimates",
        )
    head = reading.read(radar[0].pieces(1)[0])
    offset, minutes = _interval(head, radar[0].paths[0])
    grid = Grid.of(head, where=radar[0].paths[0])
    grid.require_located(radar[0].paths[0])
    imerg = granules(*matching(sides.imerg))
    if imerg[0].format.name != "imerg":
        raise ReadError(
            f"these files are of the format {imerg[0].format.name}, not half-hourly IMERG",
            where=imerg[0].paths[0],
            fix="give IMERG first and radar second: ondee validate IMERG RADAR --out validation/",
        )
    region = _shared(grid.region(), sides.region)
    first = _first(imerg[0], grid, region)
    names = _runs(imerg, settings)
    cells = Grid.of(first, where=imerg[0].paths[0])
    absent = [name for name in (settings.variable, *_NEEDED) if name not in first]
    if absent:
        raise ReadError(
            f"there is no {absent[0]} in the IMERG files",
            where=imerg[0].paths[0],
            fix="fetch the granules whole: a subset must keep precipitation and the source of the microwave estimate",
        )
    weights(grid, cells)  # made once and kept on disk, before many processes ask for it
    wanted = [name for name in _WANTED if name in first and (name == settings.variable or not name.startswith("rain"))]
    most = max(1, _VALUES // (grid.nx * grid.ny))
    pieces = _radar_pieces(radar, most, offset)
    made = Inputs(
        tuple(
            Piece(replace(granule, options={**granule.options, "variables": tuple(wanted)}), granule.times)
            for granule in imerg
        ),
        pieces,
        reading,
        region,
        cells,
        grid,
        {} if settings.mixed else identity(first),
        identity(head),
        {
            "imerg": {"product": "IMERG", **names},
            "radar": {"product": str(head.attrs.get("product", "")), "frame_minutes": minutes},
        },
        simulated(imerg[0].paths[0], str(first.attrs.get("processed_by", "")), radar[0].paths[0]),
        None if sides.height is None else _height(sides.height, cells),
    )
    _require_shared_time(made)
    return made


def _interval(head: xr.Dataset, where: Path) -> tuple[np.timedelta64, float]:
    """From the label of a frame to its start, and its length in minutes."""
    start, end = np.asarray(head["time_bounds"].values)[0]
    if end <= start:
        raise ReadError(
            "the radar's frames are snapshots: nothing says which interval each stands for",
            where=where,
            fix="give minutes and label of each frame, as --interval 15,end",
        )
    minutes = float((end - start) / _MINUTE)
    if minutes > 30:
        raise ReadError(
            f"each frame of the radar stands for {minutes:g} minutes, more than the half hour of IMERG",
            where=where,
            fix="give radar frames of 30 minutes or less; at most 15 tell the minute of a pass",
        )
    if head["rain_rate"].dims != ("time", "y", "x"):
        raise ConfigError(
            f"the radar's rain has the dimensions {', '.join(map(str, head['rain_rate'].dims))}",
            where=where,
            fix="give radar rain (time, y, x); of an ensemble one member at a time, as with --option member=0",
        )
    return np.timedelta64(start - head["time"].values[0]), minutes


def _runs(imerg: Sequence[Granule], settings: Settings) -> dict[str, str]:
    """Run and version of all granules by their names; refused where they are mixed."""
    found: dict[tuple[str, str], Path] = {}
    for granule in imerg:
        path = granule.paths[0]
        name = parse_name(path.name, where=path)
        if name is not None:
            found.setdefault((name.run, name.version), path)
    kinds = {(run, version[:3]): path for (run, version), path in reversed(found.items())}
    if len(kinds) > 1 and not settings.mixed:
        told = " and ".join(f"{run} {version}" for run, version in sorted(kinds))
        raise ReadError(
            f"runs or versions are mixed: {told}",
            where=" and ".join(str(kinds[kind]) for kind in sorted(kinds)),
            fix="give files of one run and version, or --mixed if their scores shall be pooled",
        )
    _refuse_repeats(imerg)
    return {
        "run": ", ".join(sorted({run for run, _ in found})) or "unknown",
        "version": ", ".join(sorted({version[:3] for _, version in found})) or "unknown",
    }


def _refuse_repeats(imerg: Sequence[Granule]) -> None:
    """Refuse a half hour that comes from two files."""
    starts: dict[np.datetime64, Path] = {}
    for granule in imerg:
        first = starts.setdefault(granule.times[0], granule.paths[0])
        if first != granule.paths[0]:
            raise ReadError(
                f"the half hour from {np.datetime_as_string(granule.times[0], 'm')} comes twice",
                where=f"{first} and {granule.paths[0]}",
                fix="keep one of the two files",
            )


def _shared(radar: Region, asked: Region | None) -> Region:
    """The part of the radar's region that was asked for."""
    if asked is None:
        return radar
    west, south, east, north = (
        pick(ours, theirs) for pick, ours, theirs in zip((max, max, min, min), radar, asked, strict=True)
    )
    return (west, south, east, north) if west < east and south < north else radar


def _first(granule: Granule, grid: Grid, region: Region) -> xr.Dataset:
    """The first granule, cut to the radar; one error with both places where they share none."""
    try:
        dataset = granule.read(region)
        if weights(grid, Grid.of(dataset)).index.size:
            return dataset
    except GridError:
        pass
    whole = replace(granule, options={**granule.options, "variables": ("rain_rate",)}).read(None)
    raise GridError(
        f"radar and IMERG do not overlap: the radar covers {_spelled(region)}, "
        f"IMERG {_spelled(Grid.of(whole).region())}",
        where=granule.paths[0],
        fix="give IMERG files of the radar's region; `ondee look` tells the region of a file",
    )


def _spelled(region: Region) -> str:
    west, south, east, north = region
    return f"{west:.1f} to {east:.1f} °E, {south:.1f} to {north:.1f} °N"


def _radar_pieces(radar: Sequence[Granule], most: int, offset: np.timedelta64) -> tuple[Piece, ...]:
    """Pieces in order of time."""
    listed = []
    for granule in track(radar, "listing radar"):
        labels = granule.times
        for piece in granule.pieces(most):
            listed.append(Piece(piece, labels[inside(labels, piece.period)] + offset))
    return tuple(sorted(listed, key=lambda piece: (piece.starts.min(), piece.granule.paths)))


def _require_shared_time(made: Inputs) -> None:
    if made.days():
        return
    told = []
    for name, pieces in (("IMERG", made.imerg), ("radar", made.radar)):
        starts = np.concatenate([piece.starts for piece in pieces])
        told.append(f"{name} {np.datetime_as_string(starts.min(), 'm')} to {np.datetime_as_string(starts.max(), 'm')}")
    raise ReadError(
        f"radar and IMERG share no half hour: {', '.join(told)}",
        where=f"{made.imerg[0].granule.paths[0]} and {made.radar[0].granule.paths[0]}",
        fix="give files of the same days; times are UTC",
    )


def _height(spec: str, cells: Grid) -> NDArray[np.float32]:
    """Height of the ground on the cells."""
    from ondee.validation.ground import read_height

    return read_height(spec, cells)
