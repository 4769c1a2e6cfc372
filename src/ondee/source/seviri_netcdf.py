"""Calibrated brightness temperatures of SEVIRI in CF NetCDF, read and written."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.errors import ConfigError, ReadError, StoreError
from ondee.grid import Grid, Region
from ondee.output import whole
from ondee.source import cf
from ondee.units import require

__all__ = ["PACKING", "read_netcdf", "write"]

PACKING: dict[str, Any] = {
    "dtype": np.dtype("int16"),
    "scale_factor": 0.01,
    "add_offset": 273.15,
    "_FillValue": np.int16(-32768),
}
"""How brightness temperatures are written: 0.01 K, exact for what was read so, else within 0.005 K."""


def read_netcdf(
    path: Path, region: Region | None, channels: tuple[str, ...] | None, calibration: str, mask_bad_lines: bool | None
) -> xr.Dataset:
    """A NetCDF of calibrated channels: the CF reader, with what is known of SEVIRI."""
    if calibration != "nominal" or mask_bad_lines is not None:
        raise ConfigError(
            "the file holds brightness temperatures: calibration and mask_bad_lines come too late",
            where=path,
            fix="leave both out, or open the native or HRIT files",
        )
    with cf.opened(path) as file:
        if channels is not None and "channel" in file.variables:
            present = [str(name) for name in file["channel"].values]
            absent = [name for name in channels if name not in present]
            if absent:
                raise ReadError(
                    f"the channel {absent[0]} is not in the file",
                    where=path,
                    fix="ask for channels=(…) among " + ", ".join(present),
                )
            file = file.isel(channel=[present.index(name) for name in channels])
        dataset = cf.read_file(file, where=path, region=region, product="SEVIRI", assumed="start")
    if "brightness_temperature" not in dataset:
        raise ReadError(
            "the file holds no brightness temperature but " + ", ".join(map(str, dataset.data_vars)),
            where=path,
            fix="leave format out, or read the file as plain CF: format='cf'",
        )
    return dataset


def write(path: str | Path, dataset: xr.Dataset, *, force: bool = False) -> None:
    """Write brightness temperatures as SEVIRI NetCDF, which :func:`ondee.open` and any CF reader read again.

    Variables: ``bt(time, channel, y, x)`` as int16 (:data:`PACKING`), ``scan_offset(time, y)`` if there, the grid
    mapping ``crs``, 2-D ``lon`` and ``lat`` where the position is known, and the PROJ string ``proj4`` at the root.

    Parameters
    ----------
    path
        File to make. It appears whole or not at all.
    dataset
        With ``brightness_temperature`` in K.
    force
        Whether a file that is there is replaced.

    Raises
    ------
    UnitError
        If the brightness temperature is not in K.
    StoreError
        If the file exists and `force` is not given, or the disk refuses it.
    """
    target = Path(path)
    prepared = _prepared(dataset)
    ny, nx = prepared.sizes["y"], prepared.sizes["x"]
    chunks = (1, prepared.sizes["channel"], min(ny, 232), min(nx, 232))
    encoding: dict[str, dict[str, Any]] = {"bt": {**PACKING, "chunksizes": chunks, "zlib": True, "complevel": 4}}
    encoding.update(
        {name: {"zlib": True, "_FillValue": np.float32(np.nan)} for name in ("lon", "lat") if name in prepared}
    )
    with whole(target, force=force) as draft:
        # Made in memory: the HDF5 library cannot close a file that a full disk refuses.
        draft.write_bytes(prepared.to_netcdf(engine="h5netcdf", encoding=encoding))


def _prepared(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset in the names of the file."""
    grid = Grid.of(dataset)
    if "brightness_temperature" not in dataset:
        raise StoreError(
            "there is no brightness_temperature to write",
            where="ondee.source.seviri.write",
            fix="give a Dataset from ondee.open of SEVIRI",
        )
    temperature = require(dataset["brightness_temperature"], "brightness_temperature", where="the Dataset to write")
    kept = ["brightness_temperature", *(["scan_offset"] if "scan_offset" in dataset else [])]
    prepared = dataset[kept].rename(brightness_temperature="bt")
    prepared["bt"].attrs = dict(temperature.attrs)
    prepared["bt"].encoding = {}
    if not grid.is_local:
        prepared.attrs["proj4"] = _proj4(grid)
        for name, plane, units in zip(
            ("lon", "lat"), grid.longitude_latitude(), ("degrees_east", "degrees_north"), strict=True
        ):
            standard = {"lon": "longitude", "lat": "latitude"}[name]
            prepared[name] = (("y", "x"), plane.astype(np.float32), {"units": units, "standard_name": standard})
    return prepared


def _proj4(grid: Grid) -> str:
    """PROJ string of a grid; what it loses against WKT stands in ``crs_wkt``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return str(grid.projection.to_proj4())
