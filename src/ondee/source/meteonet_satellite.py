"""MeteoNet satellite images: cloud type and three SEVIRI channels, one NetCDF a zone, quantity and year.

Positions are not corrected for parallax: over France high clouds lie 3 or 4 pixels (about 10 km) too far north.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ReadError
from ondee.grid import LATITUDE_LONGITUDE, Grid, Region
from ondee.source.assembly import Variable, assemble
from ondee.source.granule import Period, inside
from ondee.source.hdf5 import MAGIC, attribute, opened

__all__ = ["fits", "read", "recognise", "times"]

_NAME = re.compile(r"(CT|IR039|IR108|WV062|VIS06)_(NW|SE)_\d{4}\.nc")
_CHANNELS = {"IR039": "IR_039", "IR108": "IR_108", "WV062": "WV_062", "VIS06": "VIS006"}
_ZERO_CELSIUS = 273.15
_UNITS = {"seconds": 1e9, "minutes": 60e9, "hours": 3600e9, "days": 86400e9}
"""CF unit of time → nanoseconds."""


def fits(path: Path) -> bool:
    """Whether the name is that of a satellite file."""
    return _NAME.fullmatch(path.name) is not None


def recognise(path: Path, head: bytes) -> bool:
    """Whether name and first bytes are those of a satellite file."""
    return fits(path) and head.startswith(MAGIC)


def times(path: Path) -> NDArray[np.datetime64]:
    """Labels of the images."""
    with opened(path) as file:
        return _times(file, path)


def read(
    path: Path, *, region: Region | None = None, period: Period | None = None, minus_one: str = "missing"
) -> xr.Dataset:
    """Read one file.

    Parameters
    ----------
    path
        The file, such as ``IR108_NW_2016.nc``.
    region
        West, south, east, north in degrees.
    period
        Labels from the first moment on and before the second.
    minus_one
        Infrared is in whole degrees Celsius, and -1 stands for missing there as it does for the visible channel:
        a cloud of -1 °C looks the same. ``"missing"`` makes both missing, which loses one degree of the range;
        ``"value"`` keeps both. How many there were stands in the attribute ``minus_one_count``.
        Where the file names a fill value, that one is missing and -1 is a value.

    Raises
    ------
    ReadError
        If the file is damaged or its variables are not those of its name.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ReadError(
            "the name is not that of a MeteoNet satellite file",
            where=path,
            fix="restore the name, such as IR108_NW_2016.nc: it tells the quantity and the zone",
        )
    quantity, zone = match.groups()
    with opened(path) as file:
        stamps = _times(file, path)
        latitude, longitude = file["lat"][:].astype(np.float64), file["lon"][:].astype(np.float64)
        north_up = bool(latitude[0] > latitude[-1])
        grid = Grid.from_centres(LATITUDE_LONGITUDE, longitude, latitude if north_up else latitude[::-1], where=path)
        rows, columns = slice(0, grid.ny), slice(0, grid.nx)
        if region is not None:
            rows, columns = grid.window(region, where=path)
        data = file[quantity]
        if data.shape != (stamps.size, *grid.shape):
            raise ReadError(
                f"{quantity} has shape {data.shape}, its coordinates say {(stamps.size, *grid.shape)}",
                where=path,
                fix="the file is damaged; fetch it again",
            )
        kept = inside(stamps, period)
        frames = slice(int(kept[0]), int(kept[-1]) + 1) if kept.size else slice(0)
        stamps = stamps[frames]
        if north_up:
            values = data[frames, rows, columns]
        else:
            values = data[frames, grid.ny - rows.stop : grid.ny - rows.start, columns][:, ::-1]
        fill = attribute(data, "_FillValue", attribute(data, "missing_value"))
    name, variable, channels = _decode(quantity, values, fill, minus_one)
    return assemble(
        {name: variable},
        grid.crop(rows, columns),
        stamps,
        np.stack([stamps, stamps], axis=1),
        label="unknown",
        product=f"MeteoNet {quantity}",
        where=path,
        channels=channels,
        zone=zone,
        comment="snapshots; not corrected for parallax",
        institution="Météo-France",
        licence="Etalab 2.0",
        references="Larvor et al. 2020, MeteoNet, an open reference weather dataset by Météo-France",
    )


def _times(file: h5py.File, path: Path) -> NDArray[np.datetime64]:
    """Decode ``time`` by its CF units."""
    numbers, text = file["time"][:], str(attribute(file["time"], "units", ""))
    match = re.fullmatch(r"(\w+) since (\d{4}-\d\d?-\d\d?)[T ]?([\d:.]*).*", text)
    if match is None or match.group(1) not in _UNITS:
        raise ReadError(
            f"the unit of time is {text!r}", where=path, fix="CF time is needed, such as 'minutes since 2016-01-01'"
        )
    unit, day, clock = match.groups()
    year, month, date = (int(part) for part in day.split("-"))
    hour, minute, second = [*(int(float(part)) for part in clock.split(":") if part), 0, 0, 0][:3]
    start = np.array(dt.datetime(year, month, date, hour, minute, second), dtype="datetime64[ns]")
    stamps: NDArray[np.datetime64] = start + np.round(numbers.astype(np.float64) * _UNITS[unit]).astype("m8[ns]")
    return stamps


def _decode(quantity: str, values: NDArray[Any], fill: Any, minus_one: str) -> tuple[str, Variable, tuple[str, ...]]:
    """Turn the file's numbers into K, a fraction, or a code."""
    absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=np.bool_)
    if fill is not None:
        absent |= values == fill
    numbers = values.astype(np.float32)
    if quantity == "CT":
        absent |= (values == 0) | (values == 20)
        numbers[absent] = np.nan
        about = {"comment": "classes of NWC SAF; 0 (no data) and 20 (no value) are missing"}
        packing = {"dtype": "uint8", "_FillValue": 0, "scale_factor": 1.0, "add_offset": 0.0}
        return "cloud_type", Variable(numbers, packing, about), ()
    channel = (_CHANNELS[quantity],)
    if quantity == "VIS06":
        absent |= values < 0
        numbers /= 100
        numbers[absent] = np.nan
        return "reflectance", Variable(numbers[:, np.newaxis]), channel
    doubtful = values == -1
    if minus_one == "missing" and fill is None:
        absent |= doubtful
    numbers += np.float32(_ZERO_CELSIUS)
    numbers[absent] = np.nan
    counted = {"minus_one_count": int(np.count_nonzero(doubtful))}
    return "brightness_temperature", Variable(numbers[:, np.newaxis], {}, counted), channel
