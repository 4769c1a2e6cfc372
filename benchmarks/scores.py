"""Fractions and ensemble score beside rivals, memory of a verification: ``python -m benchmarks.scores [--json]``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.measure import Row, pair, show
from ondee.grid import LOCAL, Grid
from ondee.score.sums import finish
from ondee.score.windows import fractions

SHAPE = (1000, 1000)
MEMBERS = 16
THRESHOLDS = (0.1, 0.5, 1.0, 5.0, 10.0)
WINDOWS = (1, 5, 11, 31, 61)
MISSING = 0.1
DAY = (48, 800)
"""Frames, and pixels along a side, of the day that is verified whole."""


def main() -> None:
    """All rows, printed."""
    warnings.simplefilter("ignore")
    rows = [*windows(), *ensemble(), *whole_day()]
    show("Scores", rows, "--json" in sys.argv[1:])


# ---- windows


def _showers(seed: int) -> NDArray[np.float32]:
    """A frame of showers some ten pixels wide, a third of it wet."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 6.0)
    noise /= noise.std()
    return np.where(noise > 0.4, np.exp(2 * noise - 1), 0.0).astype(np.float32)


def _field(values: NDArray[np.float32]) -> xr.DataArray:
    return xr.DataArray(values, dims=("member", "y", "x")[-values.ndim :], attrs={"units": "mm h-1"})


def windows() -> list[Row]:
    """Ours with a tenth of the pixels missing and finished; the rivals on complete fields, as they cannot do other."""
    estimate, truth = _showers(0), _showers(1)
    holes = np.random.default_rng(2).random(SHAPE) < MISSING
    mine, true = _field(np.where(holes, np.float32(np.nan), estimate)), _field(truth)
    task = "fractions skill score, 1000², 5 thresholds × 5 windows of 1 to 61 pixels; ondee with 10 % missing"

    def ours() -> None:
        finish(fractions(mine, true, thresholds=THRESHOLDS, scales=WINDOWS)).load()

    rows = []
    for name, rival, target in (
        (f"pysteps {version('pysteps')} fss, nothing missing", _pysteps(estimate, truth), ">= 5"),
        (f"scores {version('scores')} fss_2d_single_field, nothing missing", _scores(estimate, truth), ">= 12"),
    ):
        taken = pair(ours, rival, repeats=3)
        rows.append(Row.of(task, taken[0], name, taken[1], target))
    return rows


def _pysteps(estimate: NDArray[np.float32], truth: NDArray[np.float32]) -> Any:
    """One call for each threshold and window, as its users write it."""
    with redirect_stdout(sys.stderr):  # it greets on import
        fss = import_module("pysteps.verification.spatialscores").fss

    def rival() -> None:
        for threshold in THRESHOLDS:
            for width in WINDOWS:
                fss(estimate, truth, threshold, width)

    return rival


def _scores(estimate: NDArray[np.float32], truth: NDArray[np.float32]) -> Any:
    """The summed-area table of its only working backend, complete windows only, which is its default."""
    fss = import_module("scores.spatial").fss_2d_single_field

    def rival() -> None:
        for threshold in THRESHOLDS:
            for width in WINDOWS:
                fss(estimate, truth, event_threshold=threshold, window_size=(width, width))

    return rival


# ---- ensembles


def ensemble() -> list[Row]:
    """Fair score of an ensemble, summed over the frame; the same complete fields for both."""
    crps = import_module("ondee.score.members").crps
    rng = np.random.default_rng(3)
    wet = rng.random((MEMBERS + 1, *SHAPE)) < 0.3
    rain = (rng.gamma(0.5, 3.0, wet.shape) * wet).astype(np.float32)
    members, truth = _field(rain[1:]), _field(rain[0])

    def ours() -> None:
        finish(crps(members, truth, tails=(0.0,))).load()

    name = f"scoringrules {version('scoringrules')} crps_ensemble, fair, numba"
    taken = pair(ours, _scoringrules(rain[1:], rain[0]), repeats=5)
    return [Row.of(f"fair CRPS of {MEMBERS} members, 1000², mean of the frame", taken[0], name, taken[1], ">= 1")]


def _scoringrules(members: NDArray[np.float32], truth: NDArray[np.float32]) -> Any:
    """Its compiled backend, three times faster than its NumPy one, on members that lie side by side in memory."""
    score = import_module("scoringrules").crps_ensemble
    beside = np.ascontiguousarray(np.moveaxis(members, 0, -1))

    def rival() -> None:
        score(truth, beside, estimator="fair", backend="numba").mean()

    return rival


# ---- everything, streamed


def whole_day() -> list[Row]:
    """Peak memory of the process that scores a day of an ensemble from files, with every score that suits one."""
    with tempfile.TemporaryDirectory() as folder:
        peak = _peak(Path(folder))
    frames, side = DAY
    task = f"peak memory of every score of one day of {side}² × {frames} × {MEMBERS} members, streamed from files"
    return [Row.of(task, peak, "the limit", 1024.0, "<= 1", "MB")]


def _peak(folder: Path) -> float:
    """Largest resident memory of the process that verifies, MB; see :mod:`benchmarks.collocation` on ``VmHWM``."""
    write_day(folder, *DAY, MEMBERS)
    code = (
        "import sys; from pathlib import Path; from ondee.command.verify import Outputs, Sides, verification;"
        "from ondee.verification import Settings; folder = Path(sys.argv[1]);"
        "sides = Sides([str(folder / 'ensemble.nc'), str(folder / 'truth.nc')]);"
        "verification(sides, Settings(), Outputs(folder / 'scores.nc'));"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout) / 1024


def write_day(folder: Path, frames: int, side: int, members: int, day: str = "2018-06-04") -> None:
    """Write the truth and an ensemble of half-hourly rain, a frame at a time: rain of two seeds, mixed and moved."""
    make = import_module("ondee.world.rain").rain
    grid = Grid(LOCAL, 0, 1000 * side, 1000, 1000, side, side)
    times = np.datetime64(day, "ns") + np.arange(1, frames + 1) * np.timedelta64(30, "m")
    true, other = (make(grid, times, seed=seed) for seed in (1, 2))
    first = next(make(grid, times, seed=1)).drop_vars(["rain_rate", "time", "time_bounds"])
    stamps = {"units": "minutes since 2018-01-01", "dtype": "int64"}
    bounds = xr.Variable(("time", "bounds"), np.stack([times - np.timedelta64(30, "m"), times], axis=1))
    shell = first.assign_coords(time=("time", times, {"bounds": "time_bounds", "label": "end"}), time_bounds=bounds)
    paths = folder / "truth.nc", folder / "ensemble.nc"
    shell.to_netcdf(paths[0], engine="h5netcdf", encoding={"time": stamps})
    numbers = ("member", np.arange(members), {"standard_name": "realization"})
    shell.assign_coords(member=numbers).to_netcdf(paths[1], engine="h5netcdf", encoding={"time": stamps})
    with h5netcdf.File(paths[0], "a") as single, h5netcdf.File(paths[1], "a") as several:
        truths = _created(single, ("time", "y", "x"))
        forecasts = _created(several, ("time", "member", "y", "x"))
        for index, (frame, unlike) in enumerate(zip(true, other, strict=True)):
            rain, noise = (part["rain_rate"].values[0] for part in (frame, unlike))
            truths[index] = rain
            for member in range(members):
                moved = np.roll(rain, (member % 4 - 2, member // 4 - 2), (0, 1))
                mixed = np.float32(0.7) * moved + np.float32(0.3) * np.roll(noise, 37 * member, 1)
                forecasts[index, member] = np.where(mixed < 0.05, np.float32(0), mixed)


def _created(file: Any, dims: tuple[str, ...]) -> Any:
    """An empty variable of rain, packed lightly, a chunk for each field."""
    sizes = [file.dimensions[name].size for name in dims]
    packing = {"chunks": (*(1 for _ in sizes[:-2]), *sizes[-2:]), "compression": "gzip", "compression_opts": 1}
    made = file.create_variable("rain_rate", dims, np.float32, **packing)
    made.attrs["units"] = "mm h-1"
    if "crs" in file.variables:
        made.attrs["grid_mapping"] = "crs"
    return made


if __name__ == "__main__":
    main()
