"""One SEVIRI level-1.5 image through satpy: calibrated channels, their Grid, and the true time of each scan line."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ondee.errors import ConfigError, OndeeError, ReadError
from ondee.grid import Grid
from ondee.source.cf import opened
from ondee.source.cf_grid import Layout, geostationary

__all__ = ["REFLECTIVE", "THERMAL", "Part", "Reader", "image", "require_whole"]

Reader = Literal["seviri_l1b_native", "seviri_l1b_hrit", "seviri_l1b_nc"]
"""satpy's name of a reader."""

THERMAL = ("IR_039", "WV_062", "WV_073", "IR_087", "IR_097", "IR_108", "IR_120", "IR_134")
"""Channels of a brightness temperature, in order of wavelength."""
REFLECTIVE = ("VIS006", "VIS008", "IR_016")
"""Channels of a reflectance, at 3 km."""


@dataclass(frozen=True)
class Part:
    """An image, or a segment of one, opened and calibrated lazily.

    Parameters
    ----------
    arrays
        Channel → lazy array ``(y, x)`` in the order of the file, K or %.
    place
        Where it lies.
    acquired
        Mean time of acquisition of each line in the order of the file; NaT where there is none.
    start, end
        Nominal bounds of the repeat cycle.
    attributes
        Platform and position of the satellite.
    """

    arrays: Mapping[str, Any]
    place: Layout
    acquired: NDArray[np.datetime64]
    start: np.datetime64
    end: np.datetime64
    attributes: Mapping[str, Any]

    def block(self, channel: str, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Values of a channel in a block of its Grid, north-up; only that block is computed."""
        cells = self.place.in_file(rows, columns)
        lazy = self.arrays[channel].isel(y=cells[self.place.y], x=cells[self.place.x])
        return np.asarray(self.place.north_up(np.asarray(lazy.values)), dtype=np.float32)

    def scan_offset(self, rows: slice) -> NDArray[np.float32]:
        """Seconds of the lines of a block after the nominal start, NaN where a line has no time."""
        cells = self.place.in_file(rows, slice(0, self.place.grid.nx))
        lines = self.acquired[cells[self.place.y]]
        seconds = np.where(np.isnat(lines), np.nan, (lines - self.start) / np.timedelta64(1, "s"))
        return (seconds[::-1] if self.place.flip_y else seconds).astype(np.float32)


@contextmanager
def image(
    paths: Sequence[Path],
    reader: Reader,
    channels: Sequence[str] | None,
    *,
    calibration: str = "nominal",
    mask_bad_lines: bool | None = None,
) -> Iterator[Part]:
    """Open one image, or one segment with its prologue and epilogue.

    Parameters
    ----------
    paths
        The files.
    reader
        satpy's reader of them.
    channels
        Channels wanted; None for every thermal one that is there.
    calibration
        ``nominal``, ``GSICS`` or ``meirink-2023``.
    mask_bad_lines
        Whether lines that the ground segment marks as bad become missing; None where the format tells.

    Raises
    ------
    ConfigError
        If satpy is not installed, or an option does not fit the format.
    ReadError
        If the files are damaged or lack a channel.
    """
    with _satpy(paths) as satpy:
        scene = satpy.Scene(
            reader=reader,
            filenames=[str(path) for path in paths],
            reader_kwargs=_arguments(reader, calibration, mask_bad_lines, paths[0]),
        )
        try:
            _mend_single_channel(scene)
            arrays = _loaded(scene, channels, paths[0])
            if reader == "seviri_l1b_nc" and mask_bad_lines is not False:
                arrays = _without_bad_lines(arrays, paths[0])
            yield _part(arrays, paths[0])
        finally:
            _close(scene)


@contextmanager
def _satpy(paths: Sequence[Path]) -> Iterator[Any]:
    """satpy, quiet and in this thread alone, its failures on damaged files turned into errors of ondee."""
    try:
        satpy, dask = import_module("satpy"), import_module("dask")
    except ImportError as error:
        raise ConfigError(
            "reading SEVIRI level 1.5 needs satpy, which is not installed",
            where=paths[0],
            fix="pip install 'ondee[seviri]'",
        ) from error
    loggers = [logging.getLogger(name) for name in ("satpy", "hrit_msg", "native_msg", "nc_msg")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield satpy
    except OndeeError:
        raise
    except Exception as error:  # satpy raises nearly anything on a damaged file
        first = (str(error).strip("'\"").splitlines() or ["no more is known"])[0]
        raise ReadError(
            f"satpy cannot read the image: {type(error).__name__}: {first}",
            where=paths[0],
            fix="the file is cut, damaged, or renamed so that satpy does not know it; fetch it again",
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _arguments(reader: Reader, calibration: str, mask_bad_lines: bool | None, where: object) -> dict[str, Any]:
    """Arguments of satpy's reader, the ones it has."""
    if calibration not in ("nominal", "GSICS", "meirink-2023"):
        raise ConfigError(
            f"{calibration!r} is no calibration of SEVIRI", where=where, fix="use nominal, GSICS or meirink-2023"
        )
    if reader == "seviri_l1b_nc":
        if calibration != "nominal":
            raise ConfigError(
                f"level-1.5 NetCDF holds the nominal calibration only, not {calibration}",
                where=where,
                fix="leave calibration out, or read the native or HRIT files",
            )
        # satpy turns the rows over but not their quality: the lines are masked here, after the turn.
        return {"mask_bad_quality_scan_lines": False}
    if reader == "seviri_l1b_native":
        if mask_bad_lines:
            raise ConfigError(
                "satpy does not tell the bad lines of native files",
                where=where,
                fix="leave mask_bad_lines out, or read the HRIT or NetCDF files of this image",
            )
        return {"calib_mode": calibration}
    return {"calib_mode": calibration, "mask_bad_quality_scan_lines": mask_bad_lines is not False}


def _loaded(scene: Any, channels: Sequence[str] | None, where: object) -> dict[str, Any]:
    """Channels that are wanted, calibrated lazily.

    What satpy calls available may be every channel of the instrument; only loading shows what is in the file.
    """
    present = _load(scene, THERMAL if channels is None else channels)
    absent = [name for name in channels or () if name not in present]
    if absent or not present:
        there = _load(scene, (*THERMAL, *REFLECTIVE))
        raise ReadError(
            f"the channel {absent[0]} is not in the files" if absent else "the files hold no thermal channel",
            where=where,
            fix="ask for channels=(…) among " + (", ".join(there) or "none: the image is empty"),
        )
    return {name: present[name] for name in channels or present}


def _load(scene: Any, names: Sequence[str]) -> dict[str, Any]:
    """Those of the channels that are in the files."""
    available = scene.available_dataset_names()
    for kind, calibration in ((THERMAL, "brightness_temperature"), (REFLECTIVE, "reflectance")):
        wanted = [name for name in names if name in kind and name in available]
        if wanted:
            scene.load(wanted, calibration=calibration, pad_data=False)
    return {name: scene[name] for name in names if name in scene}


def _part(arrays: Mapping[str, Any], where: object) -> Part:
    """What satpy says of the channels, as a Part."""
    first = next(iter(arrays.values()))
    place = _place(first.attrs["area"], first.shape, where)
    times, orbit = first.attrs["time_parameters"], first.attrs["orbital_parameters"]
    start, end = (np.datetime64(times[f"nominal_{name}_time"], "ns") for name in ("start", "end"))
    if not np.timedelta64(0, "m") < end - start <= np.timedelta64(15, "m"):
        raise ReadError(
            f"the repeat cycle would last from {start} to {end}",
            where=where,
            fix="the header is damaged; fetch the file again",
        )
    return Part(
        arrays,
        place,
        np.asarray(first["acq_time"].values, dtype="datetime64[ns]"),
        start,
        end,
        {"platform": str(first.attrs["platform_name"]), "satellite_longitude": float(orbit["projection_longitude"])},
    )


def _place(area: Any, shape: tuple[int, ...], where: object) -> Layout:
    """Grid of satpy's area definition, whose extent is x of column 0, y of the last row, and their opposites."""
    left, bottom, right, top = (float(edge) for edge in area.area_extent)
    ny, nx = (int(size) for size in shape)
    if (area.height, area.width) != (ny, nx):
        raise ReadError(
            f"the image has {ny} x {nx} pixels, its header says {area.height} x {area.width}",
            where=where,
            fix="the file is damaged; fetch it again",
        )
    grid = Grid(
        _crs(area.crs), min(left, right), max(top, bottom), abs(right - left) / nx, abs(top - bottom) / ny, nx, ny
    )
    return Layout(grid, "y", "x", flip_y=top < bottom, flip_x=left > right)


def _crs(crs: Any) -> str:
    """The geostationary CRS in one spelling, so that equal grids have equal hashes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        height, longitude = float(crs.to_dict()["h"]), float(crs.to_dict().get("lon_0", 0.0))
    major, minor = crs.ellipsoid.semi_major_metre, crs.ellipsoid.semi_minor_metre
    if abs(height - 35785831) < 0.5 and abs(major - 6378169.0) < 0.5 and abs(minor - 6356583.8) < 0.5:
        return geostationary(longitude)
    return f"+proj=geos +h={height!r} +lon_0={longitude:g} +a={major!r} +b={minor!r} +units=m +no_defs"


def _without_bad_lines(arrays: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Channels of a level-1.5 NetCDF with the lines masked that it marks as bad.

    A line is bad if it is based on missing or corrupted data (validity 2 or 3) and neither its radiometric nor its
    geometric quality lets it be used (4): the rule of satpy's ``mask_bad_quality``, after the MSG Level 1.5 Image
    Data Format Description (EUM/MSG/ICD/105), page 109.
    """
    mask = import_module("satpy.readers.core.seviri").mask_bad_quality
    names = [
        f"channel_data_visir_data_line_{what}" for what in ("validity", "geometric_quality", "radiometric_quality")
    ]
    order = ("VIS006", "VIS008", "IR_016", *THERMAL)
    with opened(path) as file:
        # Lines in the file run from south to north; satpy hands the rows over from north to south.
        flags = [np.asarray(file[name].values)[::-1] for name in names]
    return {
        name: mask(array, *(flag[:, order.index(name)] for flag in flags)).assign_attrs(array.attrs)
        for name, array in arrays.items()
    }


def _handlers(scene: Any) -> Iterator[Any]:
    """The file handlers of a Scene."""
    for reader in getattr(scene, "_readers", {}).values():
        for handlers in getattr(reader, "file_handlers", {}).values():
            yield from handlers


def _mend_single_channel(scene: Any) -> None:
    """Let satpy read a native file of one channel.

    It takes for granted that numpy drops a field's dimension of length one, which numpy 2 keeps; with a second
    name in its list it indexes the dimension instead.
    """
    for handler in _handlers(scene):
        listed = getattr(handler, "mda", {}).get("channel_list")
        lines = getattr(handler, "_dask_array", None)
        if isinstance(listed, list) and len(listed) == 1 and lines is not None and lines["visir"].ndim == 2:
            listed.append("")


def _close(scene: Any) -> None:
    """Close the files that satpy keeps open (its NetCDF reader does)."""
    for handler in _handlers(scene):
        file = getattr(handler, "__dict__", {}).get("nc")
        if file is not None:
            file.close()


# ---- whether a segment is whole


def require_whole(path: Path) -> None:
    """Refuse an HRIT file that is shorter or longer than its own header says.

    The primary header of LRIT and HRIT files (type 0) holds the length of all headers in bytes and that of the data in
    bits.

    Raises
    ------
    ReadError
        If the lengths differ.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
        size = path.stat().st_size
    except OSError as error:
        raise ReadError(
            f"the file cannot be opened: {error.strerror}", where=path, fix="check the path and its permissions"
        ) from error
    said = "nothing that can be read"
    if len(head) == 16:
        kind, length, _, headers, bits = struct.unpack(">BHBIQ", head)
        if (kind, length) == (0, 16) and headers + (bits + 7) // 8 == size:
            return
        said = f"{headers + (bits + 7) // 8}" if (kind, length) == (0, 16) else said
    raise ReadError(
        f"the file has {size} bytes, its header says {said}",
        where=path,
        fix="the file is cut or damaged; fetch it again",
    )
