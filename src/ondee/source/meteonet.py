"""MeteoNet radar (Larvor et al. 2020): rain and reflectivity over two zones of France, with coordinates and quality.

A file holds up to eleven days of five-minute frames: ``data`` (time, y, x), ``dates`` and ``miss_dates``.
Frames that are missing are simply absent. Dates are pickled; they pass the restricted unpickler.
"""

from __future__ import annotations

import datetime as dt
import re
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.grid import LATITUDE_LONGITUDE, Grid, Region
from ondee.source.assembly import Label, Variable, assemble, nanoseconds, time_bounds
from ondee.source.granule import Period, inside
from ondee.source.meteofrance_archive import packing, rate
from ondee.source.npz import Npz, opened

__all__ = ["NO_ECHO", "ZONES", "fits", "is_companion", "read", "recognise", "times", "zone_grid"]

NO_ECHO = -40.0
"""Reflectivity in dBZ that stands for no echo, as in :mod:`ondee.source.odim`."""

ZONES = {"NW": (-5.842, 51.896, 784, 565), "SE": (2.0, 46.25, 784, 515)}
"""Zone → west, north, columns, rows. NW is that of its coordinates file; SE that of the published bounds, which are
rounded by up to 0.004°: put ``radar_coords_SE.npz`` beside the data for the exact place."""

_STEP = 0.01
_RADAR = re.compile(r"(rainfall|reflectivity_old|reflectivity_new)_(NW|SE)_(\d{4})_(\d\d)\.(\d)\.npz")
_COMPANION = re.compile(r"radar_coords_(NW|SE)\.npz|rainfall_(mean|diff)_quality[-_]code_(NW|SE)_\d{4}_\d\d\.\d\.npz")
_PRODUCTS = {
    "rainfall": "MeteoNet rainfall",
    "reflectivity_old": "MeteoNet reflectivity (old)",
    "reflectivity_new": "MeteoNet reflectivity (new)",
}


def fits(path: Path) -> bool:
    """Whether the name is that of radar frames or of what accompanies them."""
    return _RADAR.fullmatch(path.name) is not None or is_companion(path)


def is_companion(path: Path) -> bool:
    """Whether the name is that of coordinates or quality, which hold no frames."""
    return _COMPANION.fullmatch(path.name) is not None


def recognise(path: Path, head: bytes) -> bool:
    """Whether name and first bytes are those of MeteoNet radar."""
    return fits(path) and head.startswith(b"PK")


def times(path: Path) -> NDArray[np.datetime64]:
    """Labels of the frames that are there."""
    with opened(path) as archive:
        return _labels(archive)


def zone_grid(zone: str) -> Grid:
    """Grid of a zone where no coordinates file tells it."""
    west, north, nx, ny = ZONES[zone]
    return Grid(LATITUDE_LONGITUDE, west, north, _STEP, _STEP, nx, ny)


def read(
    path: Path,
    *,
    region: Region | None = None,
    period: Period | None = None,
    time_label: str = "unknown",
    z_r: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Read the frames of one file; see :class:`ondee.source.meteofrance.MeteoFrance`.

    Frames are decoded one at a time and cropped on the way, so that memory holds the result only.
    """
    kind, zone = _name(path)
    grid, source = _grid(path, zone)
    rows, columns = slice(None), slice(None)
    if region is not None:
        rows, columns = grid.window(region, where=path)
    with opened(path) as archive:
        stamps = _labels(archive)
        member = archive.member("data")
        if member.shape != (stamps.size, *grid.shape) or member.dtype.kind not in "iu":
            raise ReadError(
                f"data is {member.dtype} of shape {member.shape}, its coordinates say {(stamps.size, *grid.shape)}",
                where=path,
                fix="the file is damaged or of another zone; fetch it again",
            )
        cropped = grid.crop(rows, columns)
        kept = inside(stamps, period)
        values = np.empty((kept.size, *cropped.shape), dtype=member.dtype)
        for index, frame in enumerate(islice(archive.each("data"), int(kept[-1]) + 1 if kept.size else 0)):
            place = np.searchsorted(kept, index)
            if kept[place] == index:
                values[place] = frame[rows, columns]
        stamps = stamps[kept]
        missing = _dates(archive, "miss_dates").size
    name, variable = _decode(kind, values, z_r, path)
    variables = {name: variable}
    quality = _quality(path, stamps, grid.shape, rows, columns) if kind == "rainfall" else None
    if quality is not None:
        quality[np.isnan(variable.values)] = np.nan
        about = {"comment": "mean over the day; NaN on days that have none and where rain is missing"}
        variables["quality"] = Variable(quality, {}, about)
    label = cast(Label, time_label)
    return assemble(
        variables,
        cropped,
        stamps,
        time_bounds(stamps, 5, label),
        label=label,
        product=_PRODUCTS[kind],
        where=path,
        zone=zone,
        coordinates_from=source,
        missing_frames=missing,
        institution="Météo-France",
        licence="Etalab 2.0",
        references="Larvor et al. 2020, MeteoNet, an open reference weather dataset by Météo-France",
    )


def _name(path: Path) -> tuple[str, str]:
    match = _RADAR.fullmatch(path.name)
    if match is None:
        raise ReadError(
            "the name is not that of MeteoNet frames",
            where=path,
            fix="restore the name, such as rainfall_NW_2016_08.3.npz: it tells the quantity and the zone",
        )
    return match.group(1), match.group(2)


def _labels(archive: Npz) -> NDArray[np.datetime64]:
    """Labels of the frames, which must be of the month in the file's name."""
    stamps = _dates(archive, "dates")
    match = _RADAR.fullmatch(archive.path.name)
    month = np.datetime64(f"{match.group(3)}-{match.group(4)}" if match else "NaT", "M")
    # The last label of a month may be the first moment of the next.
    strange = stamps[(stamps < month) | (stamps > month + 1)]
    if strange.size:
        raise ReadError(
            f"the name says {month}, but a frame is of {strange[0].astype('datetime64[m]')}",
            where=archive.path,
            fix="the file was renamed or is damaged; fetch it again",
        )
    return stamps


def _dates(archive: Npz, name: str) -> NDArray[np.datetime64]:
    """Pickled dates and times as datetime64[ns]."""
    found = archive.array(name).ravel()
    if not found.size:
        return np.zeros(0, dtype="datetime64[ns]")
    if not all(isinstance(moment, dt.date) and getattr(moment, "tzinfo", None) is None for moment in found):
        raise ReadError(
            f"{name} holds something else than dates",
            where=archive.path,
            fix="the file is damaged or of another product; fetch it again",
        )
    return nanoseconds([np.datetime64(moment, "us") for moment in found], where=archive.path)


# ---- coordinates


def _grid(path: Path, zone: str) -> tuple[Grid, str]:
    """Grid from the coordinates file beside the data, or from the table of zones; and which of them."""
    beside = path.with_name(f"radar_coords_{zone}.npz")
    if not beside.exists():
        return zone_grid(zone), "table of zones"
    with opened(beside) as archive:
        latitude, longitude = archive.array("lats"), archive.array("lons")
    if latitude.ndim != 2 or latitude.shape != longitude.shape or min(latitude.shape) < 2:
        raise ReadError(
            f"lats has shape {latitude.shape}, lons {longitude.shape}",
            where=beside,
            fix="the coordinates are damaged; fetch the file again, or remove it to use the table of zones",
        )
    if np.ptp(latitude, axis=1).max() > _STEP / 500 or np.ptp(longitude, axis=0).max() > _STEP / 500:
        raise ReadError(
            "lats changes along a row, or lons along a column",
            where=beside,
            fix="the coordinates are damaged; fetch the file again, or remove it to use the table of zones",
        )
    found = Grid.from_centres(LATITUDE_LONGITUDE, longitude[0], latitude[:, 0], where=beside)
    return _corrected(found, zone), beside.name


def _corrected(found: Grid, zone: str) -> Grid:
    """Move a grid by half a cell if the coordinates are upper-left corners.

    The files of MeteoNet's first release hold corners (51.896° N 5.842° W for NW), later ones centres
    (51.891° N 5.837° W). The zone's known corner tells which of the two it is.
    """
    west, north, _, _ = ZONES[zone]
    half = _STEP / 2
    if abs(found.west + half - west) < half / 2 and abs(found.north - half - north) < half / 2:
        return Grid(found.crs, found.west + half, found.north - half, found.dx, found.dy, found.nx, found.ny)
    return found


# ---- values


def _decode(kind: str, values: NDArray[Any], z_r: tuple[float, float] | None, path: Path) -> tuple[str, Variable]:
    """Turn codes into the vocabulary's units."""
    if kind == "rainfall":
        if z_r is not None:
            raise ConfigError(
                "z_r turns reflectivity into rain; this file holds rain",
                where=path,
                fix="leave z_r out",
            )
        return "rain_rate", Variable(rate(values), packing(values))
    old = kind == "reflectivity_old"
    missing, silent, scale = (255, 0, 1.0) if old else (-200, -100, 0.1)
    echo = (values * np.float32(scale)).astype(np.float32)
    echo[values == missing] = np.nan
    none = values == silent
    echo[none] = NO_ECHO
    if z_r is None:
        told = "lower bound of a class; " if old else ""
        return "reflectivity", Variable(echo, {}, {"comment": f"{told}{NO_ECHO:g} dBZ stands for no echo"})
    a, b = z_r
    rain = ((10.0 ** (echo.astype(np.float64) / 10.0) / a) ** (1.0 / b)).astype(np.float32)
    rain[none] = 0.0
    return "rain_rate", Variable(rain, {}, {"z_r": [float(a), float(b)]})


def _quality(
    path: Path, stamps: NDArray[np.datetime64], shape: tuple[int, int], rows: slice, columns: slice
) -> NDArray[np.float32] | None:
    """Daily mean quality, 0–1, for each frame; NaN on days that the file beside the data does not hold."""
    beside = next(
        (
            place
            for mark in ("quality-code", "quality_code")
            if (place := path.with_name(path.name.replace("rainfall_", f"rainfall_mean_{mark}_", 1))).exists()
        ),
        None,
    )
    if beside is None:
        return None
    with opened(beside) as archive:
        days = _dates(archive, "dates").astype("datetime64[D]")
        codes = archive.array("data")
    if codes.shape != (days.size, *shape):
        raise ReadError(
            f"the quality has shape {codes.shape}, the radar frames say {(days.size, *shape)}",
            where=beside,
            fix="the quality is of another zone or damaged; fetch it again, or remove it",
        )
    found = np.full((stamps.size, *codes[:, rows, columns].shape[1:]), np.nan, dtype=np.float32)
    for day, code in zip(days, codes, strict=True):
        percent = code[rows, columns]
        daily = np.where(percent == 255, np.nan, percent / np.float64(100)).astype(np.float32)
        found[stamps.astype("datetime64[D]") == day] = daily
    return found
