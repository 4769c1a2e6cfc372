"""Regridding, reading and building, beside the rivals: ``python -m benchmarks.collocation [--json]``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray

from benchmarks.measure import Row, pair, show
from ondee.collocation.area import weights
from ondee.collocation.regrid import apply
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid
from ondee.source import granules
from ondee.source.assembly import Variable, assemble, time_bounds

FRANCE = (-5.5, 42.0, 8.5, 51.5)
RADAR = Grid(LATITUDE_LONGITUDE, -2.03, 50.02, 0.01, 0.01, 800, 800)
CELLS = Grid.lattice((-2.0, 42.1, 5.9, 50.0))
FRAMES = 100
VARIABLES = ("rain_rate", "microwave_rain_rate", "microwave_source", "microwave_minute", "infrared_weight")
PLACES = (
    "Grid/precipitation",
    "Grid/Intermediate/MWprecipitation",
    "Grid/Intermediate/MWprecipSource",
    "Grid/Intermediate/MWobservationTime",
    "Grid/Intermediate/IRinfluence",
)


def main() -> None:
    """All rows, printed."""
    warnings.simplefilter("ignore")
    rows = [*regridding(), *reading(), *building()]
    show("Collocation", rows, "--json" in sys.argv[1:])


# ---- regridding


def _rain(frames: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Rain-like frames: a fifth wet, a tenth missing."""
    rng = np.random.default_rng(0)
    rain = rng.gamma(0.5, 3.0, (frames, *shape)).astype(np.float32)
    rain[:, shape[0] // 5 :] *= rng.uniform(size=(frames, shape[0] - shape[0] // 5, shape[1])) < 0.1
    rain[:, :, -shape[1] // 10 :] = np.nan
    return rain


def regridding() -> list[Row]:
    """800 × 800 frames to 0.1 degree with coverage, per 1000 frames."""
    matrix = weights(RADAR, CELLS)
    rain = _rain(FRAMES, RADAR.shape)
    task = "800² frames of 1 km to 0.1°, value and coverage, 1000 frames"

    def ours() -> None:
        apply(matrix, rain)

    rows = []
    for name, rival, frames, target in (
        (f"pyresample {version('pyresample')} BucketResampler", _bucket(rain[:2]), 2, ">= 40"),
        (f"xarray-regrid {version('xarray-regrid')}", _xarray_regrid(rain[:20]), 20, ">= 4"),
        (f"scipy {version('scipy')} CSR, value and mask", _sparse(matrix.matrix(), rain), FRAMES, ">= 1"),
    ):
        mine, theirs = pair(ours, rival, repeats=3, per_ours=FRAMES, per_theirs=frames)
        rows.append(Row.of(task, 1000 * mine, name, 1000 * theirs, target))
    return rows


def _bucket(rain: NDArray[np.float32]) -> Any:
    """Mean over the cells by pyresample, missing pixels left out, and the share of pixels observed."""
    import dask
    import dask.array as da
    from pyresample import create_area_def
    from pyresample.bucket import BucketResampler

    area = create_area_def(
        "cells",
        "EPSG:4326",
        shape=CELLS.shape,
        area_extent=(CELLS.west, CELLS.south, CELLS.east, CELLS.north),
    )
    longitude, latitude = (da.from_array(values) for values in np.meshgrid(RADAR.x, RADAR.y))

    def rival() -> None:
        with dask.config.set(scheduler="synchronous"):
            resampler = BucketResampler(area, longitude, latitude)
            pixels = resampler.get_count()
            for frame in rain:
                data = da.from_array(frame)
                mean = resampler.get_average(data, skipna=True)
                seen = resampler.get_sum(da.isfinite(data).astype(np.float32))
                da.compute(mean, seen / pixels)

    return rival


def _xarray_regrid(rain: NDArray[np.float32]) -> Any:
    """Conservative mean and coverage by xarray-regrid, without the sparse package, which makes it slower."""
    import xarray_regrid  # noqa: F401

    array = xr.DataArray(
        rain, dims=("time", "latitude", "longitude"), coords={"latitude": RADAR.y, "longitude": RADAR.x}
    )
    target = xr.Dataset(coords={"latitude": CELLS.y, "longitude": CELLS.x})

    def rival() -> None:
        array.regrid.conservative(target, skipna=True, latitude_coord="latitude").compute()
        array.notnull().astype(np.float32).regrid.conservative(target, latitude_coord="latitude").compute()

    return rival


def _sparse(matrix: Any, rain: NDArray[np.float32]) -> Any:
    """The same weights as a SciPy matrix, once for the values and once for the mask."""

    def rival() -> None:
        for frame in rain:
            flat = frame.ravel()
            seen = np.isfinite(flat)
            coverage = matrix @ seen.astype(np.float32)
            with np.errstate(invalid="ignore"):
                _ = (matrix @ np.where(seen, flat, np.float32(0))) / coverage

    return rival


# ---- reading


def reading() -> list[Row]:
    """France out of a whole IMERG granule with NASA's chunks."""
    with tempfile.TemporaryDirectory() as folder:
        path = _granule(Path(folder))
        granule = granules(path, variables=VARIABLES)[0]
        task = "IMERG, France, 5 variables of a whole V07 granule"

        def ours() -> None:
            granule.read(FRANCE)

        rows = []
        for name, rival, target in (
            (f"bare h5py {version('h5py')}", _bare(path), "<= 1.3"),
            (f"xarray {version('xarray')} open_datatree, h5netcdf", _datatree(path, "h5netcdf"), ">= 8"),
            (f"xarray {version('xarray')} open_datatree, netCDF4", _datatree(path, "netcdf4"), ">= 1"),
        ):
            rows.append(Row.of(task, *_named(pair(ours, rival, repeats=7), name), target))
        return rows


def _named(times: tuple[float, float], name: str) -> tuple[float, str, float]:
    return times[0], name, times[1]


def _granule(folder: Path) -> Path:
    """A whole granule of noise that compresses like rain."""
    from ondee.source.imerg import file_name, write

    grid = Grid(LATITUDE_LONGITUDE, -180, 90, 0.1, 0.1, 3600, 1800)
    rng = np.random.default_rng(0)
    wet = rng.uniform(size=(1, *grid.shape)) < 0.1
    rain = (rng.gamma(0.5, 3.0, wet.shape) * wet).astype(np.float32)
    source = np.where(rng.uniform(size=wet.shape) < 0.3, 7, 0).astype(np.float32)
    data = {
        "rain_rate": Variable(rain),
        "microwave_rain_rate": Variable(np.where(source > 0, rain, np.nan).astype(np.float32)),
        "microwave_source": Variable(source),
        "microwave_minute": Variable(np.where(source > 0, 12, np.nan).astype(np.float32)),
        "infrared_weight": Variable(np.where(source > 0, 0, 50).astype(np.float32)),
        "infrared_rain_rate": Variable(rain),
        "rain_rate_uncalibrated": Variable(rain),
        "random_error": Variable(rain),
        "quality_index": Variable(np.where(source > 0, 0.9, 0.5).astype(np.float32)),
        "liquid_probability": Variable(np.where(wet, 100, 0).astype(np.float32)),
    }
    start = np.array(["2018-06-04T12:00"], "datetime64[ns]")
    bounds = time_bounds(start, 30, "start")
    dataset = assemble(data, grid, start, bounds, label="start", product="IMERG", where="benchmark", run="Final")
    path = folder / file_name(start[0], run="Final", version="V07")
    write(path, dataset)
    return path


def _bare(path: Path) -> Any:
    """The least that anyone can do: the window known beforehand, five hyperslabs, transposed."""

    def rival() -> None:
        with h5py.File(path, "r") as file:
            for place in PLACES:
                _ = file[place][0, 1745:1885, 1320:1415].T[::-1].astype(np.float32)

    return rival


def _datatree(path: Path, engine: str) -> Any:
    """The whole tree opened lazily, as its users do, and the same five windows loaded."""
    settings: dict[str, Any] = {"phony_dims": "access"} if engine == "h5netcdf" else {}

    def rival() -> None:
        with xr.open_datatree(path, engine=engine, **settings) as tree:
            for place in PLACES:
                group, name = place.rsplit("/", 1)
                node = tree[group]
                _ = (
                    node[name]
                    .isel({node[name].dims[1]: slice(1745, 1885), node[name].dims[2]: slice(1320, 1415)})
                    .load()
                )

    return rival


# ---- building


def building() -> list[Row]:
    """Peak memory of building ten days beside one day, 800 × 800 pixels every five minutes."""
    with tempfile.TemporaryDirectory() as folder:
        one = _peak(Path(folder) / "one", 1)
        ten = _peak(Path(folder) / "ten", 10)
    task = "peak memory of building 800² × 288 frames a day"
    return [
        Row.of(f"{task}: 10 days beside 1 day", ten, "1 day", one, "<= 1.1", "MB"),
        Row.of(f"{task}: 10 days beside the limit", ten, "1500 MB", 1500.0, "<= 1", "MB"),
    ]


def _peak(folder: Path, days: int) -> float:
    """Largest resident memory of the process that builds, MB.

    ``VmHWM`` begins anew with a process; ``ru_maxrss`` would inherit the size of the one that started it.
    """
    (folder / "radar").mkdir(parents=True)
    grid = Grid(LOCAL, 0, 800_000, 1000, 1000, 800, 800)
    rain = np.rint(_rain(6, grid.shape) / 0.12) * 0.12
    for day in range(days):
        for hour in range(24):
            start = np.datetime64("2018-06-01", "ns") + np.timedelta64(24 * day + hour, "h")
            _hour(folder / "radar" / f"{day:02d}{hour:02d}.nc", grid, rain, start)
    settings = {"grid": {"like": "radar"}, "step": 5, "inputs": {"radar": {"paths": ["radar"]}}}
    config = folder / "build.yaml"
    config.write_text(yaml.safe_dump(settings))
    code = (
        "import sys; from ondee.building import build; build(sys.argv[1]);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(config)], capture_output=True, text=True, check=True)
    return float(done.stdout) / 1024


def _hour(path: Path, grid: Grid, rain: NDArray[np.float32], start: np.datetime64) -> None:
    """One hour of five-minute frames as packed NetCDF."""
    times = start + np.arange(12) * np.timedelta64(5, "m")
    packing = {"dtype": "int16", "scale_factor": 0.12, "_FillValue": -1, "zlib": True, "complevel": 1}
    data = {"rain_rate": Variable(np.concatenate([rain, rain[::-1]]))}
    bounds = time_bounds(times, 5, "start")
    dataset = assemble(data, grid, times, bounds, label="start", product="benchmark radar", where="benchmark")
    encoding = {"rain_rate": {**packing, "chunksizes": (1, 800, 800)}}
    dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)


if __name__ == "__main__":
    main()
