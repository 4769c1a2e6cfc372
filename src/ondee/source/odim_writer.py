"""Writing ODIM_H5 composites as their producers write them: groups, attributes, types, chunks and codes.

The layouts are those of real files: OPERA ODYSSEY, NIMBUS and CIRRUS, and Météo-France's 500 m mosaic of
five-minute amounts. A file holds one frame. The same frame gives the same bytes.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer
from ondee.source.hdf5_output import whole_hdf5
from ondee.source.odim_field import NO_ECHO, QUANTITIES
from ondee.units import require

__all__ = ["LAYOUTS", "Coding", "Layout", "file_name", "write"]


@dataclass(frozen=True)
class Coding:
    """How numbers are stored; `nodata` or `undetect` None where the producer writes none."""

    dtype: str
    gain: float
    nodata: float | None
    undetect: float | None
    chunks: tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """One producer's way of writing ODIM_H5.

    Parameters
    ----------
    version
        Of the data model, such as ``"2.4"``.
    source
        ``what/source``.
    names
        Quantity → pattern of the file name.
    rain, quality
        Codings.
    quality_place
        Group of the quality, such as ``"dataset2/data1"``.
    gzip
        Compression level.
    size_type
        Integer type of ``xsize`` and ``ysize``.
    products, titles, task
        Quantity → ``product`` and ``prodname``; ``how/task`` of the quality.
    quantity_beside_data
        Whether quantity and codes stand in ``data1/what`` rather than in ``dataset1/what``.
    """

    version: str
    source: str
    names: Mapping[str, str]
    rain: Coding
    quality: Coding
    quality_place: str
    gzip: int
    size_type: str
    products: Mapping[str, str]
    titles: Mapping[str, str]
    task: str
    quantity_beside_data: bool


_NODATA, _UNDETECT = -9999000.0, -8888000.0
_BESIDE = "dataset1/data1/quality1"

LAYOUTS: dict[str, Layout] = {
    "ODYSSEY": Layout(
        version="2.0",
        source="ORG:247",
        names={"RATE": "T_PAAH21_C_EUOC_{}.hdf", "ACRR": "T_PASH21_C_EUOC_{}.hdf", "DBZH": "T_PABH21_C_EUOC_{}.hdf"},
        rain=Coding("f8", 1.0, _NODATA, _UNDETECT, (380, 440)),
        quality=Coding("f8", 1.0, _NODATA, _UNDETECT, (380, 440)),
        quality_place="dataset2/data1",
        gzip=9,
        size_type="u8",
        products={"RATE": "COMP", "ACRR": "COMP", "DBZH": "COMP"},
        titles={},
        task="",
        quantity_beside_data=False,
    ),
    "NIMBUS": Layout(
        version="2.4",
        source="ORG:247",
        names={"RATE": "T_PAAH22_C_EUOC_{}.hdf", "ACRR": "T_PASH22_C_EUOC_{}.hdf"},
        rain=Coding("f8", 1.0, _NODATA, _UNDETECT, (69, 119)),
        quality=Coding("f8", 1.0, None, None, (69, 119)),
        quality_place=_BESIDE,
        gzip=4,
        size_type="i8",
        products={"RATE": "PPI", "ACRR": "PPI"},
        titles={
            "RATE": "OPERA NIMBUS instantaneous rain rate composite",
            "ACRR": "OPERA NIMBUS 1-hour accumulation composite",
        },
        task="pl.imgw.quality.qi_total",
        quantity_beside_data=True,
    ),
    "CIRRUS": Layout(
        version="2.4",
        source="ORG:247",
        names={"DBZH": "T_PABV21_C_EUOC_{}.hdf"},
        rain=Coding("f8", 1.0, _NODATA, _UNDETECT, (760, 880)),
        quality=Coding("f8", 1.0, _NODATA, None, (760, 880)),
        quality_place=_BESIDE,
        gzip=9,
        size_type="u8",
        products={"DBZH": "MAX"},
        titles={},
        task="pl.imgw.quality.qi_total",
        quantity_beside_data=True,
    ),
    "METEOFRANCE": Layout(
        version="2.3",
        source="CMT:ACRR_composite_metropole500_OPER,CTY:614,ORG:085",
        names={"ACRR": "T_IPRN20_C_LFPW_{}.h5"},
        rain=Coding("u2", 0.01, 65535.0, 65534.0, (150, 3472)),
        quality=Coding("u1", 0.01, 255.0, 254.0, (289, 3472)),
        quality_place=_BESIDE,
        gzip=6,
        size_type="i8",
        products={"ACRR": "COMP"},
        titles={},
        task="",
        quantity_beside_data=True,
    ),
}
"""Layout of each producer."""


def file_name(time: np.datetime64, layout: str = "ODYSSEY", *, quantity: str = "RATE") -> str:
    """Name that the producer gives the file of one nominal time.

    Raises
    ------
    ConfigError
        If the layout is unknown or does not carry the quantity.

    Examples
    --------
    >>> file_name(np.datetime64("2018-08-24T20:00"))
    'T_PAAH21_C_EUOC_20180824200000.hdf'
    """
    chosen = _layout(layout, quantity)
    return chosen.names[quantity].format("".join(_date_and_time(time)))


def write(
    path: Path | str,
    dataset: xr.Dataset,
    *,
    quantity: str = "RATE",
    layout: str = "ODYSSEY",
    comment: str = "",
    gzip: int | None = None,
    force: bool = False,
) -> Path:
    """Write one frame as an ODIM_H5 composite.

    Parameters
    ----------
    path
        The file to write. It appears whole or not at all.
    dataset
        One time step of ``rain_rate``, ``rain_amount`` or ``reflectivity`` ``(time=1, y, x)`` in the unit of the
        vocabulary, with ``time_bounds`` and ``crs`` as every reader of ondee returns them; ``quality`` (0–1)
        is written if it is there. NaN becomes nodata, exactly 0 (:data:`~ondee.source.odim_field.NO_ECHO` for
        reflectivity) becomes undetect.
    quantity
        ``"RATE"``, ``"ACRR"`` or ``"DBZH"``.
    layout
        One of :data:`LAYOUTS`.
    comment
        Text for ``how/comment``; say there that a file is synthetic.
    gzip
        Level of compression, 0 to 9; the producer's if None.
    force
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If the layout is unknown, does not carry the quantity, or cannot hold the values.
    UnitError
        If the dataset holds another quantity or unit.
    StoreError
        If the file exists, or cannot be written.
    """
    place, chosen = Path(path), _layout(layout, quantity)
    name = QUANTITIES[quantity]
    if name not in dataset or dataset.sizes.get("time") != 1:
        raise ConfigError(
            f"one time step of {name} is needed; there is {dict(dataset.sizes)} of {', '.join(map(str, dataset))}",
            where=place,
            fix=f"write dataset.isel(time=[0]), with {name} in it",
        )
    values = require(dataset[name], name, where=place).values[0]
    grid = Grid.of(dataset, where=place)
    grid.require_located(place)
    dry = NO_ECHO if name == "reflectivity" else 0.0
    rain = _encode(values, chosen.rain, dry, name, place)
    level = chosen.gzip if gzip is None else gzip
    quality = None
    if "quality" in dataset:
        index = require(dataset["quality"], "quality", where=place).values[0]
        quality = _encode(index, chosen.quality, None, "quality", place)
    with whole_hdf5(place, force=force) as file:
        _describe(file, dataset, grid, chosen, quantity, comment)
        _image(file, "dataset1/data1", rain, chosen.rain, level)
        if quality is not None:
            _image(file, chosen.quality_place, quality, chosen.quality, level)
            _describe_quality(file, chosen)
    return place


def _layout(layout: str, quantity: str) -> Layout:
    if layout not in LAYOUTS:
        raise ConfigError(f"{layout!r} is no layout", where="layout", fix="use one of: " + ", ".join(LAYOUTS))
    chosen = LAYOUTS[layout]
    if quantity not in chosen.names:
        raise ConfigError(
            f"{layout} does not carry {quantity!r}",
            where="quantity",
            fix=f"use {' or '.join(chosen.names)}, or another layout",
        )
    return chosen


# ---- numbers


def _encode(values: NDArray[Any], coding: Coding, dry: float | None, name: str, place: Path) -> NDArray[Any]:
    """Turn values into the file's numbers; nothing is clipped."""
    missing = np.isnan(values)
    scaled = np.where(missing, 0.0, values.astype(np.float64)) / coding.gain
    dtype = np.dtype(coding.dtype)
    if dtype.kind == "u":
        scaled = np.round(scaled)
        top = min(code for code in (coding.nodata, coding.undetect) if code is not None) - 1
        if scaled.size and (scaled.min() < 0 or scaled.max() > top):
            raise ConfigError(
                f"{name} reaches {np.nanmax(values):g}; the layout holds 0 to {top * coding.gain:g}",
                where=place,
                fix="write a layout of floating-point numbers, such as ODYSSEY",
            )
    if dry is not None and coding.undetect is not None:
        scaled[values == np.float32(dry)] = coding.undetect
    scaled[missing] = 0.0 if coding.nodata is None else coding.nodata
    return scaled.astype(dtype)


def _image(file: h5py.File, place: str, values: NDArray[Any], coding: Coding, gzip: int) -> None:
    chunks = tuple(min(chunk, size) for chunk, size in zip(coding.chunks, values.shape, strict=True))
    data = file.create_dataset(
        f"{place}/data", data=values, chunks=chunks, compression="gzip", compression_opts=gzip, track_times=False
    )
    _set(data, CLASS="IMAGE", IMAGE_VERSION="1.2")
    # Laid down now, and not when the last reference goes: a profiler of dask holds some, and the layout would vary.
    data.flush()


def _codes(coding: Coding) -> dict[str, Any]:
    codes = {"gain": coding.gain, "offset": 0.0, "nodata": coding.nodata, "undetect": coding.undetect}
    return {name: np.float64(value) for name, value in codes.items() if value is not None}


# ---- attributes


def _set(node: h5py.HLObject, **attributes: Any) -> None:
    """Set attributes; text as null-terminated fixed-length strings, as ODIM asks for."""
    for name, value in attributes.items():
        if not isinstance(value, str):
            node.attrs[name] = value
            continue
        content = value.encode()
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(content) + 1)
        kind.set_strpad(h5py.h5t.STR_NULLTERM)
        entry = h5py.h5a.create(node.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
        entry.write(np.array(content, dtype=f"S{len(content) + 1}"))


def _date_and_time(moment: np.datetime64) -> tuple[str, str]:
    stamp = np.asarray(moment, dtype="datetime64[ns]")
    whole: dt.datetime = stamp.astype("datetime64[s]").item()
    if np.datetime64(whole, "ns") != stamp:
        raise ConfigError(
            f"{moment} is not a whole second",
            where="time and time_bounds",
            fix="ODIM tells times by the second: round them first",
        )
    return whole.strftime("%Y%m%d"), whole.strftime("%H%M%S")


def _describe(file: h5py.File, dataset: xr.Dataset, grid: Grid, layout: Layout, quantity: str, comment: str) -> None:
    """Write what, where and how."""
    date, time = _date_and_time(dataset["time"].values[0])
    (start, end) = (_date_and_time(moment) for moment in dataset["time_bounds"].values[0])
    _set(file, Conventions=f"ODIM_H5/V{layout.version.replace('.', '_')}")
    _set(
        file.create_group("what"),
        date=date,
        object="COMP",
        source=layout.source,
        time=time,
        version=f"H5rad {layout.version}",
    )
    _set(file.create_group("where"), **_where(grid, layout.size_type))
    _set(file.create_group("how"), comment=comment or "written by ondee")
    interval = {"startdate": start[0], "starttime": start[1], "enddate": end[0], "endtime": end[1]}
    title = {"prodname": layout.titles[quantity]} if quantity in layout.titles else {}
    _set(file.create_group("dataset1/what"), product=layout.products[quantity], **interval, **title)
    beside = "dataset1/data1/what" if layout.quantity_beside_data else "dataset1/what"
    _set(file.require_group(beside), quantity=quantity, **_codes(layout.rain))


def _describe_quality(file: h5py.File, layout: Layout) -> None:
    """Write what is said of the quality: by ODYSSEY as of a dataset, by NIMBUS and CIRRUS by a task."""
    if layout.quality_place != _BESIDE:
        what = file.create_group("dataset2/what")
        for name in ("enddate", "endtime", "product", "startdate", "starttime"):
            _set(what, **{name: file["dataset1/what"].attrs[name].decode()})
        _set(what, quantity="QIND", **_codes(layout.quality))
        return
    told = {} if layout.task else {"quantity": "QIND"}
    _set(file.create_group(f"{_BESIDE}/what"), **told, **_codes(layout.quality))
    if layout.task:
        _set(file.create_group(f"{_BESIDE}/how"), task=layout.task)


def _where(grid: Grid, size_type: str) -> dict[str, Any]:
    """Projection, size and outer corners of a grid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a PROJ string is what ODIM has
        words = grid.projection.to_proj4().split()
    projection = " ".join(word for word in words if word not in ("+no_defs", "+type=crs"))
    corners = {
        "LL": (grid.west, grid.south),
        "UL": (grid.west, grid.north),
        "UR": (grid.east, grid.north),
        "LR": (grid.east, grid.south),
    }
    backward = transformer(projection, LATITUDE_LONGITUDE)
    where: dict[str, Any] = {"projdef": projection}
    for name, (x, y) in corners.items():
        longitude, latitude = backward.transform(x, y)
        if not (np.isfinite(longitude) and np.isfinite(latitude)):
            raise ConfigError(
                f"the corner {name} of the grid is not on the Earth",
                where=grid.describe(),
                fix="ODIM tells corners by longitude and latitude: crop the grid to where it sees the Earth",
            )
        where[f"{name}_lat"], where[f"{name}_lon"] = np.float64(latitude), np.float64(longitude)
    integer = np.dtype(size_type).type
    where |= {"xscale": np.float64(grid.dx), "yscale": np.float64(grid.dy)}
    return where | {"xsize": integer(grid.nx), "ysize": integer(grid.ny)}
