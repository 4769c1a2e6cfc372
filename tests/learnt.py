"""A small store to learn from, three days of rain where the clouds are cold; and models that have learnt nothing."""

import numpy as np
import torch

from ondee import run
from ondee.condition import Predictors
from ondee.grid import Grid
from ondee.retriever import Sampling, Statistics, ddpm, flow, unet
from ondee.store import Layout, Store, Stored

GRID = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -64_000, 64_000, 4000, 4000, 32, 32)
CHANNELS = ("IR_108", "WV_062")
_IMAGES = Stored("seviri_brightness_temperature", CHANNELS, {}, {"units": "K", "product": "SEVIRI"})
_RAIN = Stored("radar_rain_rate", (), {}, {"units": "mm h-1", "product": "a radar"})
_DAYS = ("2018-06-04", "2018-06-06", "2018-06-08")
_SEEN = slice(36, 60)


def write_scene_runs(folder):
    """Runs of the three models of the demo's scene, untrained and of the smallest kind; their paths."""
    predictors = Predictors(CHANNELS, (0, 15))
    statistics = Statistics((260.0, 235.0), (20.0, 8.0), 60.0, 1.5, 2.0, 0.2)
    small = unet.Settings(widths=(8, 16), dropout=0.0)
    chain = ddpm.Settings(widths=(8, 16), diffusion_steps=3, embedding=8)
    straight = flow.Settings(widths=(8, 16), mean=small, embedding=8, sampling=Sampling(steps=2))
    torch.manual_seed(1)
    models = {
        "unet": unet.RegressionUNet(small, predictors, statistics),
        "ddpm": ddpm.DDPM(chain, predictors, statistics),
        "flow": flow.Flow(straight, predictors, statistics),
    }
    return [str(run.save(folder / name, model, model=name, about={})) for name, model in models.items()]


def make_store(path, *, change=None, seed=0):
    """Days of train, validation and test; `change(images, rain)` may spoil what is written of each."""
    splits = tuple(np.repeat([0, 1, 2], 96).tolist())
    store = Store.create(
        path, Layout(GRID, _DAYS, 15, ("seviri", "radar"), (_IMAGES, _RAIN), splits, (4, 32, 32), {"seed": seed})
    )
    for day in range(3):
        images, rain = _weather(np.random.default_rng([seed, day]))
        if change is not None:
            change(images, rain)
        frames = np.isfinite(images).any((1, 2, 3)).astype(np.int16)
        for variable, values in ((_IMAGES, images), (_RAIN, rain)):
            store.write(variable.name, 96 * day, variable.packed(values, path))
        for name in ("seviri", "radar"):
            store.write(f"{name}_frames", 96 * day, frames)
        store.write("written", 96 * day, np.ones(96, np.uint8))
        store.commit(_DAYS[day], {})
    store.finish(_summary(store))
    return store


def _weather(rng):
    """A wave of cold cloud that moves east, rain in its core; a strip in the west has no radar."""
    rows, columns, time = np.mgrid[:32, :32, :24]
    wave = np.sin(2 * np.pi * (columns - time) / 24 + rng.uniform(0, 6)) * np.sin(2 * np.pi * rows / 32)
    cold = np.moveaxis(270 - 40 * wave, -1, 0) + rng.normal(0, 2, (24, 32, 32))
    images = np.full((96, 2, 32, 32), np.nan, np.float32)
    images[_SEEN] = np.stack([cold, 0.3 * cold + 170], axis=1)
    rain = np.full((96, 32, 32), np.nan, np.float32)
    rain[_SEEN] = np.where(cold < 250, rng.gamma(1.0, (265 - np.minimum(cold, 264)) / 8), 0.0)
    rain[:, :, :3] = np.nan
    return images, rain


def _summary(store):
    """Statistics of the training days, as a build leaves them."""
    data = store.dataset().isel(time=store.split("train"))

    def of(values):
        seen = values[np.isfinite(values)].astype(float)
        return {"n": seen.size, "mean": seen.mean(), "std": seen.std(), "max": seen.max(), "min": seen.min()}

    rain = data[_RAIN.name].values
    wet = float((rain[np.isfinite(rain)] >= 0.1).mean())
    images = {name: of(data[_IMAGES.name].values[:, place]) for place, name in enumerate(CHANNELS)}
    entry = {**of(rain), "wet": of(rain[rain >= 0.1]), "wet_fraction": wet}
    return {"statistics": {"train": {_IMAGES.name: images, _RAIN.name: entry}}}
