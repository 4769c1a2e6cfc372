"""Météo-France's open archive of five-minute radar rain over France, 2020 on: one ``YYYYMMDDHHMM.npz`` a frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ReadError
from ondee.grid import Grid, Region
from ondee.source.assembly import Label, Variable, assemble, nanoseconds, time_bounds
from ondee.source.npz import opened

__all__ = ["PROJECTION", "UPPER_LEFT", "fits", "grid", "packing", "rate", "read", "recognise", "times"]

PROJECTION = "+proj=stere +lat_0=90 +lat_ts=45 +lon_0=0 +a=6378137 +rf=298.252840776245 +units=m"
"""Polar stereographic, true at 45° N."""
UPPER_LEFT = (-619652.095, -3526818.459)
"""9.965° W 53.670° N in :data:`PROJECTION`."""
_SIZE = 1536
_KEY = "arr_0"
_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)\.npz")
_RATE = 0.12
"""mm h-1 of one unit: 1/100 mm in five minutes."""


def fits(path: Path) -> bool:
    """Whether the name is that of a frame."""
    return _NAME.fullmatch(path.name) is not None


def recognise(path: Path, head: bytes) -> bool:
    """Whether name and first bytes are those of a frame."""
    return fits(path) and head.startswith(b"PK")


def times(path: Path) -> NDArray[np.datetime64]:
    """Time of the frame, from its name."""
    match = _NAME.fullmatch(path.name)
    try:
        if match is None:
            raise ValueError(path.name)
        year, month, day, hour, minute = match.groups()
        return nanoseconds([np.datetime64(f"{year}-{month}-{day}T{hour}:{minute}", "m")], where=path)
    except ValueError as error:
        raise ReadError(
            "the name tells no date and time",
            where=path,
            fix="the archive names its files YYYYMMDDHHMM.npz; restore the name",
        ) from error


def grid(corner: str) -> Grid:
    """Grid of the archive.

    Parameters
    ----------
    corner
        ``"edge"``: the upper-left point is the outer corner of the first pixel. So it is in Météo-France's
        own 500 m mosaic, whose ODIM corners are outer edges by definition and start at the same 53.670° N
        9.965° W, and in the extents of the service's maps, 1536 km wide for 1536 pixels. ``"centre"``: it is
        the centre of that pixel, as some conversions of the archive take it; the grid then lies 500 m further
        west and north.
    """
    west, north = UPPER_LEFT
    shift = 500.0 if corner == "centre" else 0.0
    return Grid(PROJECTION, west - shift, north + shift, 1000.0, 1000.0, _SIZE, _SIZE)


def read(
    path: Path,
    *,
    region: Region | None = None,
    corner: str = "edge",
    time_label: str = "end",
) -> xr.Dataset:
    """Read one frame as ``rain_rate`` (mm h-1); see :class:`ondee.source.meteofrance.MeteoFrance`."""
    with opened(path) as archive:
        member = archive.member(_KEY)
        if member.shape != (_SIZE, _SIZE) or member.dtype.kind not in "iuf":
            raise ReadError(
                f"{_KEY} is {member.dtype} of shape {member.shape}, not numbers of shape ({_SIZE}, {_SIZE})",
                where=path,
                fix="the archive's frames are whole: crop with region=… when reading, not the files",
            )
        values = archive.array(_KEY)
    place = grid(corner)
    rows, columns = slice(None), slice(None)
    if region is not None:
        rows, columns = place.window(region, where=path)
    kept = values[np.newaxis, rows, columns]
    stamps, label = times(path), cast(Label, time_label)
    return assemble(
        {"rain_rate": Variable(rate(kept), packing(kept))},
        place.crop(rows, columns),
        stamps,
        time_bounds(stamps, 5, label),
        label=label,
        product="Météo-France radar archive",
        where=path,
        corner=corner,
        institution="Météo-France",
        licence="Etalab 2.0",
    )


def rate(values: NDArray[Any]) -> NDArray[np.float32]:
    """Rain rate in mm h-1 from 1/100 mm in five minutes; negative is missing."""
    result = (values.astype(np.float64) * _RATE).astype(np.float32)
    result[values < 0] = np.nan
    return result


def packing(values: NDArray[Any]) -> dict[str, Any]:
    """How a store holds the rates without loss: the archive's own whole numbers; nothing if they are not whole.

    Examples
    --------
    >>> packing(np.array([0.0, 3.0, -1.0]))["scale_factor"], packing(np.array([0.5]))
    (0.12, {})
    """
    told = values[np.isfinite(values)]
    if (told != np.round(told)).any() or (told.size and told.max() > np.iinfo(np.int16).max):
        return {}
    return {"scale_factor": _RATE, "add_offset": 0.0, "dtype": "int16", "_FillValue": -1}
