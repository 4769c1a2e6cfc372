"""Weather4cast 2022 and 2023: SEVIRI patches and OPERA rain rates, HDF5, one file for a region and a split.

Layout, from the description of the 2023 competition data and its starter kit::

    YYYY/HRIT/<region>.<split>.reflbt0.ns.h5    REFL-BT      (frames, 11, 252, 252)
    YYYY/OPERA/<region>.<split>.rates.crop.h5   rates.crop   (frames, 1, 252, 252)

A satellite pixel is about 12 km, a radar pixel about 2 km: the radar patch is the central 42 x 42
satellite pixels. The files give no position, so both lie in one local plane whose origin is their
common centre. They give no times either: these stand in ``timestamps_and_splits_YYYY.csv`` of the
starter kit, which is used where it lies beside the files or in one of the three folders above.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.grid import LOCAL, Grid, Region
from ondee.source.assembly import Variable, assemble
from ondee.source.granule import Format
from ondee.source.hdf5 import opened

__all__ = ["CHANNELS", "FORMAT", "RADAR_GRID", "SATELLITE_GRID"]

CHANNELS = (
    "IR_016",
    "IR_039",
    "IR_087",
    "IR_097",
    "IR_108",
    "IR_120",
    "IR_134",
    "VIS006",
    "VIS008",
    "WV_062",
    "WV_073",
)
"""Order of the channels in ``REFL-BT``."""
SATELLITE_GRID = Grid(LOCAL, -126 * 12000.0, 126 * 12000.0, 12000.0, 12000.0, 252, 252)
"""252 x 252 pixels of about 12 km around the centre of the patch."""
RADAR_GRID = Grid(LOCAL, -126 * 2000.0, 126 * 2000.0, 2000.0, 2000.0, 252, 252)
"""252 x 252 pixels of about 2 km: the central 42 x 42 pixels of the satellite's grid."""

_SOLAR = frozenset({"IR_016", "VIS006", "VIS008"})
_NODATA, _UNDETECT = -9999000.0, -8888000.0
"""OPERA's codes: not observed, and observed without an echo."""
_STEP = np.timedelta64(15, "m")
_WINDOW = np.timedelta64(-10, "m"), np.timedelta64(5, "m")
"""The window of an OPERA RATE composite of those years, as its own headers give it: 17:50 to 18:05 for 18:00."""
_RADAR_TIME = "time_bounds of the rain are OPERA's window, 10 min before to 5 min after; these files do not state it"
_LARGEST = 4 * 2**30
"""Bytes that one read may fill: a year of satellite patches takes 56 GB."""
_NAME = re.compile(
    r"(?P<region>[A-Za-z]+_\d+)\.(?P<split>train|val|test|heldout)\.(?P<kind>reflbt0\.ns|rates\.crop)\.h5"
)
_SPLITS = {"train": "training", "val": "validation", "test": "test", "heldout": "heldout"}


@dataclass(frozen=True)
class _File:
    """What name and folder say: region, split, year, and whether it holds radar."""

    region: str
    split: str
    year: int | None
    radar: bool

    @property
    def variable(self) -> str:
        return "rates.crop" if self.radar else "REFL-BT"


class _Weather4cast:
    """The format ``weather4cast``."""

    name = "weather4cast"
    long = False
    options: Mapping[str, str] = MappingProxyType(
        {
            "frames": "first frame and the frame to stop before, such as (0, 96); all by default",
            "quantity": "'brightness_temperature' (default) or 'reflectance', of a satellite file",
        }
    )

    def recognise(self, path: Path, head: bytes) -> bool:
        """The competition's file names."""
        return _NAME.fullmatch(path.name) is not None

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Every file is one sequence of frames."""
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Times of the frames; numbers in the guise of times where no time table is found."""
        file = _described(paths[0])
        with opened(paths[0]) as content:
            length = _node(content, file, paths[0]).shape[0]
        return _times(file, length, paths[0])[0]

    def read(self, paths: tuple[Path, ...], *, region: Region | None = None, **options: Any) -> xr.Dataset:
        """Read the frames asked for, of a satellite file one of its two quantities."""
        (path,) = paths
        file = _described(path)
        grid = RADAR_GRID if file.radar else SATELLITE_GRID
        if region is not None:
            grid.require_located(path)
        quantity, channels = _asked(file, options.get("quantity"))
        with opened(path) as content:
            node = _node(content, file, path)
            times, comment = _times(file, node.shape[0], path)
            frames = _frames(options.get("frames"), node.shape, len(channels) or 1, path)
            values = _rain(node, frames) if file.radar else _radiation(node, frames, channels)
        stamps = times[frames]
        first, last = _WINDOW if file.radar else (np.timedelta64(0, "m"), _STEP)
        return assemble(
            {quantity: Variable(values)},
            grid,
            stamps,
            np.stack([stamps + first, stamps + last], axis=1),
            label="unknown" if comment or file.radar else "start",
            product=f"Weather4cast {'radar' if file.radar else 'satellite'} {file.region}",
            where=path,
            channels=channels,
            split=file.split,
            region=file.region,
            time_comment="; ".join(filter(None, (comment, _RADAR_TIME if file.radar else ""))),
            grid_comment="position unknown; cells of about 12 km (satellite) and 2 km (radar) around one centre; "
            "row 0 is taken for north, as in the OPERA composite, which the files do not say",
        )


FORMAT: Format = _Weather4cast()


def _described(path: Path) -> _File:
    """Read name and folder.

    Raises
    ------
    ReadError
        If the name is not one of the competition's.
    """
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ReadError(
            "the name is not one of Weather4cast",
            where=path,
            fix="name the file <region>.<split>.reflbt0.ns.h5 or <region>.<split>.rates.crop.h5",
        )
    years = [part for part in path.absolute().parts[:-1] if re.fullmatch(r"20\d\d", part)]
    return _File(found["region"], found["split"], int(years[-1]) if years else None, found["kind"] == "rates.crop")


def _asked(file: _File, quantity: str | None) -> tuple[str, tuple[str, ...]]:
    """Quantity and channels to read."""
    if file.radar:
        offered: dict[str, tuple[str, ...]] = {"rain_rate": ()}
    else:
        offered = {
            "brightness_temperature": tuple(name for name in CHANNELS if name not in _SOLAR),
            "reflectance": tuple(name for name in CHANNELS if name in _SOLAR),
        }
    chosen = quantity or next(iter(offered))
    if chosen not in offered:
        raise ConfigError(f"the file holds no {chosen!r}", where="quantity", fix="use " + " or ".join(offered))
    return chosen, offered[chosen]


def _node(content: h5py.File, file: _File, path: Path) -> h5py.Dataset:
    """The one variable of a file, its shape checked."""
    node = content.get(file.variable)
    layers = 1 if file.radar else len(CHANNELS)
    shapes = [(layers, 252, 252), (252, 252)] if file.radar else [(layers, 252, 252)]
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "iuf" or node.shape[1:] not in shapes:
        raise ReadError(
            f"there is no variable {file.variable} of shape (frames, {layers}, 252, 252)",
            where=f"{path}: " + ", ".join(f"{name} {getattr(item, 'shape', '')}" for name, item in content.items()),
            fix="the file is damaged or of another year of the competition; fetch it again",
        )
    return node


def _frames(frames: Sequence[int] | None, shape: tuple[int, ...], layers: int, path: Path) -> slice:
    """The slice of frames to read.

    Raises
    ------
    ConfigError
        If it is not inside the file, or would fill more than 4 GB.
    """
    first, stop = (0, shape[0]) if frames is None else _pair(frames, path)
    size = (stop - first) * layers * shape[-2] * shape[-1] * 4
    if not 0 <= first < stop <= shape[0] or size > _LARGEST:
        raise ConfigError(
            f"frames {first} to {stop} of {shape[0]} would fill {size / 2**30:.1f} GB"
            if size > _LARGEST
            else f"there are no frames {first} to {stop}; the file holds {shape[0]}",
            where=path,
            fix="read a part: frames=(first, stop), such as frames=(0, 96) for one day",
        )
    return slice(first, stop)


def _pair(frames: Sequence[int], path: Path) -> tuple[int, int]:
    """First frame and the frame to stop before."""
    if len(frames) != 2 or not all(isinstance(frame, int | np.integer) for frame in frames):
        raise ConfigError(f"frames is {frames!r}", where=path, fix="give two whole numbers: frames=(first, stop)")
    return int(frames[0]), int(frames[1])


def _rain(node: h5py.Dataset, frames: slice) -> NDArray[np.float32]:
    """Rain rates, mm/h: no echo is 0, not observed is NaN."""
    values = np.asarray(node[frames], dtype=np.float32).reshape(-1, *node.shape[-2:])
    undetected = values == np.float32(_UNDETECT)
    values = np.where((values == np.float32(_NODATA)) | ~np.isfinite(values), np.float32(np.nan), values)
    return np.where(undetected, np.float32(0.0), values)


def _radiation(node: h5py.Dataset, frames: slice, channels: tuple[str, ...]) -> NDArray[np.float32]:
    """Brightness temperatures in K, or reflectances as fractions."""
    indices = [CHANNELS.index(name) for name in channels]
    values = np.stack([node[frames, index] for index in indices], axis=1).astype(np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


# ---- time


def _times(file: _File, length: int, path: Path) -> tuple[NDArray[np.datetime64], str]:
    """Times of all frames, and a remark where they are not known.

    Raises
    ------
    ReadError
        If a time table lies there that does not fit the file.
    """
    table = _time_table(file, path)
    if table is None:
        origin = np.datetime64(f"{file.year or 1970}-01-01", "ns")
        return origin + np.arange(length) * _STEP.astype("timedelta64[ns]"), (
            "true times unknown: these are frame numbers, one frame = 15 min, counted from the start of "
            f"{file.year or 1970}; put timestamps_and_splits_{file.year or 'YYYY'}.csv of the starter kit "
            "beside the file or in a folder above it to have the true times"
        )
    rows = _rows(table)
    word = _SPLITS[file.split]
    # The splits' files hold the slots of which all variables exist; those of test and heldout only the inputs.
    for wanted in (
        [stamp for stamp, split, _ in rows if split == word],
        [stamp for stamp, split, kind in rows if split == word and not kind.endswith("_buffer")],
        [stamp for stamp, split, kind in rows if split == word and kind == f"{word}_in"],
    ):
        if len(wanted) == length:
            return np.array(wanted, dtype="datetime64[ns]"), ""
    raise ReadError(
        f"the time table has no {length} slots of the split {word}",
        where=f"{table} for {path}",
        fix="use the table of the year and edition of the competition that the file is from",
    )


def _time_table(file: _File, path: Path) -> Path | None:
    """The starter kit's table of the file's year, beside the file or in one of three folders above."""
    if file.year is None:
        return None
    name = f"timestamps_and_splits_{file.year}.csv"
    folders = list(path.absolute().parents)[:4]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _rows(table: Path) -> list[tuple[np.datetime64, str, str]]:
    """Time, split and kind of every slot of which all variables exist, in order of time."""
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            found = [
                (np.datetime64(f"{row['date']}T{clock[:2]}:{clock[2:4]}", "ns"), row["split"], row["split_type"])
                for row in csv.DictReader(stream)
                if row["all_vars"] == "1" and (clock := row["time"].rjust(6, "0"))
            ]
    except (OSError, KeyError, ValueError, AttributeError, csv.Error) as error:
        raise ReadError(
            f"the time table cannot be read: {type(error).__name__} {error}",
            where=table,
            fix="fetch the table of the starter kit again, or move it away",
        ) from error
    return sorted(found)
