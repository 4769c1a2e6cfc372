"""Writing IMERG half-hourly files in NASA's layout: names, groups, types, fills, epochs, chunks and header text.

The layout is that of real V06B and V07A granules. Whole granules are chunked and packed as NASA does,
(1, 145, 1800) for float32 and (1, 291, 1800) for int16, gzip.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, StoreError, UnitError
from ondee.grid import Grid
from ondee.source.hdf5_output import whole_hdf5
from ondee.source.imerg_fields import FIELDS, HALF_HOUR, RUNS, Field, file_name
from ondee.units import require

__all__ = ["write"]

_FLOAT_FILL, _INTEGER_FILL = np.float32(-9999.9), np.int16(-9999)
_FLOAT_CHUNK, _INTEGER_CHUNK = (1, 145, 1800), (1, 291, 1800)


@dataclass(frozen=True)
class _Version:
    """What differs between the versions.

    Parameters
    ----------
    newest
        Whether a field has its newest name.
    epoch
        Origin of the raw time.
    algorithm, metadata, blueprint
        Texts of the header.
    """

    newest: bool
    epoch: str
    algorithm: str
    metadata: str
    blueprint: str


_VERSIONS = {
    "V06": _Version(False, "1970-01-01", "3IMERGH_6.3", "6a", "BV_62"),
    "V07": _Version(True, "1980-01-06", "3IMERGH_7.0", "7e", "BV_69"),
}
_UNITS = {
    **dict.fromkeys(
        ("rain_rate", "rain_rate_uncalibrated", "microwave_rain_rate", "infrared_rain_rate", "random_error"), "mm/hr"
    ),
    "microwave_minute": "minutes",
    "liquid_probability": "percent",
}
"""NASA's spelling; it states no unit for codes, weights and indices."""
_LONG_NAMES = {
    "rain_rate": "Complete merged microwave-infrared (gauge-adjusted) precipitation estimate; "
    "formerly precipitationCal",
    "rain_rate_uncalibrated": "Merged microwave-infrared precipitation estimate",
    "microwave_rain_rate": "Observed merged microwave precipitation estimate; formerly HQprecipitation",
    "microwave_source": "Observed merged microwave satellite source; formerly HQprecipSource",
    "microwave_minute": "Observed merged microwave observation time after dataset start time; "
    "formerly HQobservationTime",
    "infrared_rain_rate": "Infrared precipitation estimate",
    "infrared_weight": "Relative influence of infrared precipitation in the merged microwave-infrared "
    "precipitation estimate",
    "random_error": "Root-mean-square error estimate for complete merged microwave-infrared (gauge-adjusted) "
    "precipitation",
    "quality_index": "Precipitation quality index; qualitative indicator of skill based on the microwave-infrared "
    "merging process",
    "liquid_probability": "Probability of liquid precipitation; estimated with a diagnostic parameterization using "
    "ancillary data",
}
_INTERMEDIATE = frozenset(
    {
        "rain_rate_uncalibrated",
        "microwave_rain_rate",
        "microwave_source",
        "microwave_minute",
        "infrared_rain_rate",
        "infrared_weight",
    }
)
"""What V07 keeps in the group ``Grid/Intermediate``."""
_NO_VARIABLE = f"This is a netCDF dimension but not a netCDF variable.{2:10d}"


def write(
    path: str | Path, dataset: xr.Dataset, *, version: str = "V07", run: str = "Final", force: bool = False
) -> Path:
    """Write one half hour as NASA writes it.

    Parameters
    ----------
    path
        The file, or a folder, in which it gets NASA's name.
    dataset
        One time, on cells of IMERG's 0.1 degree grid (whole or a piece), with ``rain_rate`` and any of the
        other quantities of IMERG; those that are absent are not written. NaN is written as missing.
    version
        ``"V06"`` or ``"V07"``, with or without a letter.
    run
        ``"Early"``, ``"Late"`` or ``"Final"``.
    force
        Whether a file of that name may be replaced.

    Returns
    -------
    Path
        The file. It appears whole or not at all.

    Raises
    ------
    StoreError
        If the file exists, cannot be written, or the grid, time or values are none that IMERG can hold.
    ConfigError
        If run or version are unknown.
    UnitError
        If a quantity is in another unit, or ``rain_rate`` is absent.
    """
    layout, place = _version(version), Path(path)
    start = _start(dataset, place)
    name = file_name(start, run, version)
    place = place / name if place.is_dir() else place
    if "rain_rate" not in dataset:
        raise UnitError("there is no rain_rate to write", where=place, fix="name it with ondee.units.tag")
    cells = _cells(dataset, place)
    with whole_hdf5(place, force=force) as file:
        _write_header(file, name, start, run, layout)
        group = file.create_group("Grid")
        group.attrs["GridHeader"] = np.bytes_(_lines(_GRID_HEADER))
        scales = _write_axes(group, cells, start, layout)
        for where, quantity, values in _fields(dataset, layout, place):
            _write_field(group, where, quantity, values, scales, layout)
    return place


_GRID_HEADER = {
    "BinMethod": "ARITHMETIC_MEAN",
    "Registration": "CENTER",
    "LatitudeResolution": "0.1",
    "LongitudeResolution": "0.1",
    "NorthBoundingCoordinate": "90",
    "SouthBoundingCoordinate": "-90",
    "EastBoundingCoordinate": "180",
    "WestBoundingCoordinate": "-180",
    "Origin": "SOUTHWEST",
}


# ---- what is asked


def _version(version: str) -> _Version:
    found = _VERSIONS.get(version[:3])
    if found is None or not re.fullmatch(r"V\d\d[A-Z]?", version):
        raise ConfigError(
            f"the layout of IMERG {version!r} is not known",
            where="version",
            fix="use 'V06' or 'V07', with or without a letter",
        )
    return found


def _start(dataset: xr.Dataset, place: Path) -> np.datetime64:
    """Start of the one half hour that a Dataset holds."""
    bounds = dataset.coords["time_bounds"].values if "time_bounds" in dataset.coords else np.empty((0, 2))
    if bounds.shape != (1, 2) or bounds[0, 1] - bounds[0, 0] != HALF_HOUR:
        raise StoreError(
            "an IMERG file holds one half hour",
            where=place,
            fix="give a Dataset with one time whose time_bounds are 30 minutes apart: dataset.isel(time=[0])",
        )
    return np.datetime64(bounds[0, 0], "s")


def _cells(dataset: xr.Dataset, place: Path) -> tuple[range, range]:
    """Columns (from 180 W) and rows (from the South Pole) of a Dataset on the whole Earth."""
    grid = Grid.of(dataset, where=place)
    first = np.array([(grid.west + 180) * 10, (grid.south + 90) * 10]) if grid.is_geographic else np.full(2, np.nan)
    nearest = np.nan_to_num(np.rint(first)).astype(int)
    columns, rows = range(nearest[0], nearest[0] + grid.nx), range(nearest[1], nearest[1] + grid.ny)
    inside = columns.start >= 0 and columns.stop <= 3600 and rows.start >= 0 and rows.stop <= 1800
    if not (inside and np.abs(first - nearest).max() < 1e-3 and max(abs(grid.dx - 0.1), abs(grid.dy - 0.1)) < 1e-7):
        raise StoreError(
            f"the grid is not IMERG's: {grid.describe()}",
            where=place,
            fix="regrid to cells of 0.1 degree whose edges are multiples of 0.1 degree",
        )
    return columns, rows


def _fields(dataset: xr.Dataset, layout: _Version, place: Path) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Name in the file, quantity and raw values ``(1, lon, lat)`` of every field of a Dataset."""
    for field in FIELDS:
        if field.quantity in dataset:
            name = field.names[0 if layout.newest else -1]
            within = "Intermediate/" if layout.newest and field.quantity in _INTERMEDIATE else ""
            array = require(dataset[field.quantity], field.quantity, where=place)
            values = np.asarray(array.transpose("time", "x", "y").values, dtype=np.float32)[:, :, ::-1]
            yield within + name, field.quantity, _raw(values, field, place)


def _raw(values: NDArray[np.float32], field: Field, place: Path) -> NDArray[Any]:
    """Values as NASA stores them, missing ones with its codes."""
    missing = np.isnan(values)
    if not field.integer:
        return np.where(missing, _FLOAT_FILL, values)
    known = values[~missing]
    if known.size and (np.abs(known - np.rint(known)).max() > 1e-3 or np.abs(known).max() > 32767):
        raise StoreError(
            f"{field.quantity} holds values that are no whole numbers",
            where=place,
            fix="IMERG keeps it as int16: round it first, deliberately",
        )
    return np.where(missing, _INTEGER_FILL, np.rint(np.where(missing, 0, values)).astype(np.int16))


# ---- how it is written


def _lines(pairs: dict[str, str]) -> str:
    """Header text as NASA writes it."""
    return "".join(f"{key}={value};\n" for key, value in pairs.items())


def _write_header(file: h5py.File, name: str, start: np.datetime64, run: str, layout: _Version) -> None:
    """Root attributes. The producer is said to be ondee: nobody shall take the file for NASA's."""
    version = name.split(".")[-2]
    stop = str(start + HALF_HOUR - np.timedelta64(1, "s"))
    suffix = RUNS[run]
    header = {
        "DOI": f"10.5067/GPM/IMERG/3B-HH{suffix}/{version[1:3]}",
        "DOIauthority": "http://dx.doi.org/",
        "DOIshortName": "3IMERGHH" + suffix.lstrip("-"),
        "AlgorithmID": "3IMERGHH",
        "AlgorithmVersion": layout.algorithm,
        "FileName": name,
        "SatelliteName": "MULTI",
        "InstrumentName": "MERGED",
        "GenerationDateTime": "",
        "StartGranuleDateTime": f"{start}.000Z",
        "StopGranuleDateTime": f"{stop}.999Z",
        "GranuleNumber": "",
        "NumberOfSwaths": "0",
        "NumberOfGrids": "1",
        "GranuleStart": "",
        "TimeInterval": "HALF_HOUR",
        "ProcessingSystem": "ondee",
        "ProductVersion": version,
        "EmptyGranule": "NOT_EMPTY",
        "MissingData": "",
    }
    information = {
        "DataFormatVersion": layout.metadata,
        "TKCodeBuildVersion": "0",
        "MetadataVersion": layout.metadata,
        "FormatPackage": f"HDF5-{h5py.version.hdf5_version}",
        "BlueprintFilename": f"GPM.V{layout.metadata[0]}.3IMERGHH.blueprint.xml",
        "BlueprintVersion": layout.blueprint,
        "TKIOVersion": "",
        "MetadataStyle": "PVL",
        "EndianType": "LITTLE_ENDIAN",
    }
    file.attrs["FileHeader"] = np.bytes_(_lines(header))
    file.attrs["FileInfo"] = np.bytes_(_lines(information))


def _set(node: h5py.Dataset, **attributes: object) -> None:
    """Attributes as NASA stores them: text of fixed length, NumPy scalars as they are."""
    for name, value in attributes.items():
        node.attrs[name] = np.bytes_(value) if isinstance(value, str) else value


def _write_axes(
    group: h5py.Group, cells: tuple[range, range], start: np.datetime64, layout: _Version
) -> dict[str, h5py.Dataset]:
    """Coordinates, bounds and dimension scales; returns the scales by name."""
    seconds = int((start - np.datetime64(layout.epoch)) / np.timedelta64(1, "s"))
    since = f"seconds since {layout.epoch} 00:00:00 UTC"
    raw = np.array([[seconds, seconds + 1800]], dtype=np.int32)
    time = group.create_dataset("time", data=raw[:, 0], maxshape=(None,), chunks=(1,))
    _set(time, DimensionNames="time", Units=since, units=since, standard_name="time", calendar="julian")
    _set(time, LongName=f"Representative time of data in {since}.", bounds="time_bnds", axis="T")
    scales, bounds = {"time": time}, {"time": ("nv", raw, since)}
    for name, word, axis, indices, reach in (
        ("lon", "longitude", "X", cells[0], 180),
        ("lat", "latitude", "Y", cells[1], 90),
    ):
        ends = np.arange(indices.start, indices.stop + 1) / 10 - reach
        units = "degrees_east" if name == "lon" else "degrees_north"
        scale = group.create_dataset(name, data=((ends[:-1] + ends[1:]) / 2).astype(np.float32))
        _set(scale, DimensionNames=name, Units=units, units=units, standard_name=word, bounds=f"{name}_bnds", axis=axis)
        centre = f"{word.capitalize()} at the center of 0.10 degree grid intervals of {word}"
        _set(scale, LongName=f"{centre} from -{reach} to {reach}.")
        scales[name] = scale
        bounds[name] = (f"{name}v", np.stack([ends[:-1], ends[1:]], axis=1).astype(np.float32), units)
    for name, short, word in (("nv", "time", "time"), ("lonv", "lon", "longitude"), ("latv", "lat", "latitude")):
        scales[name] = group.create_dataset(name, data=np.zeros(2, dtype=np.int32))
        _set(
            scales[name], DimensionNames=name, LongName=f"Number of {word} bounds.", standard_name=f"number{short}bnds"
        )
    for name, scale in scales.items():
        scale.make_scale(_NO_VARIABLE if name.endswith("v") else "")
    for name, (vertex, values, units) in bounds.items():
        node = group.create_dataset(f"{name}_bnds", data=values)
        _set(node, DimensionNames=f"{name},{vertex}", Units=units, units=units, coordinates=f"{name} {vertex}")
        node.dims[0].attach_scale(scales[name])
        node.dims[1].attach_scale(scales[vertex])
    return scales


def _write_field(
    group: h5py.Group,
    name: str,
    quantity: str,
    values: NDArray[Any],
    scales: dict[str, h5py.Dataset],
    layout: _Version,
) -> None:
    """One field: chunks, fill, attributes and dimensions."""
    integer = values.dtype == np.int16
    chunk = _INTEGER_CHUNK if integer else _FLOAT_CHUNK
    node = group.create_dataset(
        name,
        data=values,
        maxshape=(None, *values.shape[1:]),
        chunks=tuple(min(pair) for pair in zip(chunk, values.shape, strict=True)),
        compression="gzip",
        compression_opts=4,
    )
    _set(
        node,
        DimensionNames="time,lon,lat",
        coordinates="time lon lat",
        _FillValue=_INTEGER_FILL if integer else _FLOAT_FILL,
        CodeMissingValue="-9999" if integer else "-9999.9",
    )
    if quantity in _UNITS:
        _set(node, Units=_UNITS[quantity], units=_UNITS[quantity])
    if layout.newest:
        _set(node, LongName=_LONG_NAMES[quantity])
    for dimension, scale in zip(node.dims, ("time", "lon", "lat"), strict=True):
        dimension.attach_scale(scales[scale])
    node.flush()  # laid down now, and not when the last reference goes: the same data give the same bytes
