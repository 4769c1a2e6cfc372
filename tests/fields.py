"""Small radar fields and fake granules for the tests of what lies above the readers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.source.granule import Granule

FRANCE = Grid(LATITUDE_LONGITUDE, -5.0, 51.0, 0.1, 0.1, 120, 90)
LAEA = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +ellps=WGS84"


def radar(values, *, grid=FRANCE, start="2018-06-04T12:00", step=5, product="a radar", quality=None, name="rain_rate"):
    """Dataset of frames ``(time, y, x)``."""
    values = np.asarray(values, np.float32)
    times = np.datetime64(start, "ns") + np.arange(len(values)) * np.timedelta64(step, "m")
    variables = {name: Variable(values)}
    if quality is not None:
        variables["quality"] = Variable(np.asarray(quality, np.float32))
    bounds = time_bounds(times, step, "end")
    return assemble(variables, grid, times, bounds, label="end", product=product, where="test")


def showers(grid=FRANCE, frames=2, seed=0):
    """Frames with dry, wet and unobserved pixels."""
    rng = np.random.default_rng(seed)
    rain = np.where(rng.random((frames, *grid.shape)) < 0.3, rng.gamma(0.7, 3.0, (frames, *grid.shape)), 0.0)
    rain[:, :5, :7] = np.nan
    return rain.astype(np.float32)


class Fake:
    """A format whose files are Datasets in memory."""

    name = "fake"
    long = False
    options: Mapping[str, str] = {}

    def __init__(self, held: Mapping[str, xr.Dataset]) -> None:
        self.held = held
        self.reads = 0

    def recognise(self, path: Path, head: bytes) -> bool:
        return str(path) in self.held

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]):
        return self.held[str(paths[0])]["time"].values

    def read(self, paths: tuple[Path, ...], *, region=None, **options: Any) -> xr.Dataset:
        self.reads += 1
        return self.held[str(paths[0])]

    def granules(self):
        return [Granule((Path(name),), self) for name in self.held]
