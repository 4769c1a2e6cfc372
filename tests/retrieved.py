"""Small scenes of images and radar, and models with random weights, for tests of retrievals."""

from pathlib import Path

import numpy as np
import torch
import yaml

from archives import radar, times
from ondee import run
from ondee.building import build
from ondee.condition import Condition, Predictors
from ondee.grid import Grid
from ondee.retriever import Retriever, Sampling, Statistics, flow, unet
from ondee.source.assembly import Variable, assemble, time_bounds

CHANNELS = ("IR_108", "WV_062")
GRID = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -80_000.0, 72_000.0, 4000.0, 4000.0, 38, 35)
"""A grid whose sides are no multiples of anything."""
PREDICTORS = Predictors(CHANNELS, (0, 15), ("scan_offset", "parallax_north"))
STATISTICS = Statistics((260.0, 240.0), (20.0, 10.0), 30.0, 1.5, 2.0, 0.1)
SMALL = unet.Settings(widths=(8, 16), dropout=0.0)


def images(stamps, *, grid=GRID, channels=CHANNELS, seed=0):
    """Brightness temperatures, some pixels missing."""
    stamps = np.atleast_1d(np.asarray(stamps, "datetime64[ns]"))
    fields = []
    for stamp in stamps:
        rng = np.random.default_rng([seed, int(stamp.astype("int64") // 10**9)])
        field = rng.normal(255, 15, (len(channels), *grid.shape))
        field[:, rng.uniform(size=grid.shape) < 0.02] = np.nan
        fields.append(field)
    data = {"brightness_temperature": Variable(np.stack(fields).astype(np.float32))}
    bounds = time_bounds(stamps, 15, "start")
    return assemble(data, grid, stamps, bounds, label="start", product="SEVIRI", where="tests", channels=channels)


def write_images(folder: Path, stamps, **settings) -> Path:
    """One NetCDF file an image."""
    folder.mkdir(parents=True, exist_ok=True)
    for stamp in np.atleast_1d(stamps):
        name = str(stamp.astype("datetime64[m]")).replace(":", "").replace("-", "")
        images([stamp], **settings).to_netcdf(folder / f"image_{name}.nc", engine="h5netcdf")
    return folder


def write_store(folder: Path, days=("2018-06-04", "2018-06-05", "2018-06-06"), count=5) -> Path:
    """A store of some moments on each day; the second image of each day is missing."""
    for day in days:
        stamps = times(f"{day}T12:00", count, 15)
        write_images(folder / "seviri", np.delete(stamps, 1))
        (folder / "radar").mkdir(exist_ok=True)
        radar(stamps, grid=GRID, minutes=15).to_netcdf(folder / "radar" / f"{day}.nc", engine="h5netcdf")
    config = {
        "store": "store.zarr",
        "grid": {name: getattr(GRID, name) for name in ("crs", "west", "north", "dx", "dy", "nx", "ny")},
        "step": 15,
        "inputs": {
            "seviri": {"paths": ["seviri"], "variables": ["brightness_temperature"], "time": "label"},
            "radar": {"paths": ["radar"], "variables": ["rain_rate"]},
        },
        "splits": {"train": 1, "validation": 1, "test": 1, "gap": 0},
        "chunks": {"time": 4, "y": 64, "x": 64},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    build(folder / "config.yaml")
    return folder / "store.zarr"


def randomised(model: Retriever, scale=0.7, seed=3) -> Retriever:
    """The model with random weights in every layer, those that begin at zero as well, and rain at most pixels."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                size = scale / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)
    return model.eval()


def small_flow(predictors=PREDICTORS, **sampling) -> Retriever:
    """A flow of random weights."""
    settings = flow.Settings(
        widths=(8, 16), mean=SMALL, embedding=8, sampling=Sampling(**{"solver": "heun", "steps": 2} | sampling)
    )
    return randomised(flow.Flow(settings, predictors, STATISTICS))


def small_unet(kind="probabilistic", predictors=PREDICTORS) -> Retriever:
    """A regression of random weights."""
    settings = unet.Settings(kind=kind, widths=(8, 16), dropout=0.0)
    return randomised(unet.RegressionUNet(settings, predictors, STATISTICS), 2.0 if kind == "plain" else 0.7)


def scene(height: int, width: int, moments=2, seed=0) -> Condition:
    """Images as tensors: a frame missing in a corner, a hole in all, no image of the last row."""
    generator = torch.Generator().manual_seed(1000 * height + width + seed)
    pictures = 255 + 20 * torch.randn(moments, 2, 2, height, width, generator=generator)
    pictures[:, 1, :, : height // 3] = torch.nan
    pictures[0, :, :, 2:4, 3:5] = torch.nan
    pictures[..., -1, :] = torch.nan
    return Condition(pictures, torch.randn(moments, 2, height, width, generator=generator))


def write_runs(folder: Path) -> dict[str, Path]:
    """Runs of untrained models."""
    made = {"flow": small_flow(), "unet": small_unet()}
    return {name: run.save(folder / name, model, model=name, about={}) for name, model in made.items()}
