"""Small archives for tests, written in a format that the readers read."""

from pathlib import Path

import numpy as np
import xarray as xr

from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source.assembly import Variable, assemble, time_bounds

RADAR = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.01, 0.01, 60, 50)
"""A radar grid of 0.01 degree; six by five cells of IMERG."""


def radar(times, *, grid=RADAR, seed=0, minutes=5, label="start", missing=0.02, quality=False, values=None, amount=3.0):
    """A Dataset of rain: patches of gamma rain, dry elsewhere, some pixels missing."""
    stamps = np.atleast_1d(np.asarray(times, "datetime64[ns]"))
    fields = np.stack([_field(grid, seed, int(stamp.astype("int64") // 10**9), missing, amount) for stamp in stamps])
    data = {"rain_rate": Variable((fields if values is None else values).astype(np.float32))}
    if quality:
        rng = np.random.default_rng(seed + 1)
        data["quality"] = Variable(rng.uniform(0, 1, fields.shape).astype(np.float32))
    bounds = time_bounds(stamps, minutes, label)
    return assemble(data, grid, stamps, bounds, label=label, product="test radar", where="tests")


def _field(grid, seed, moment, missing, amount):
    rng = np.random.default_rng([seed, moment])
    rain = rng.gamma(0.4, amount, grid.shape) * (rng.uniform(size=grid.shape) < 0.3)
    return np.where(rng.uniform(size=grid.shape) < missing, np.nan, rain)


def write_frames(folder: Path, times, **settings) -> list[Path]:
    """One NetCDF file a frame."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for stamp in np.atleast_1d(np.asarray(times, "datetime64[ns]")):
        name = str(stamp.astype("datetime64[m]")).replace(":", "").replace("-", "")
        path = folder / f"radar_{name}.nc"
        radar([stamp], **settings).to_netcdf(path, engine="h5netcdf")
        paths.append(path)
    return paths


def times(start: str, count: int, minutes: int = 5) -> np.ndarray:
    """Evenly spaced times."""
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(minutes, "m")


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder and their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def concatenated(*parts: xr.Dataset) -> xr.Dataset:
    """Datasets one after the other in time, unchecked."""
    return xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override", join="override")
