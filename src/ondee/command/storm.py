"""A storm of the demo's own world, which no model has learnt: its latents decoded, rolled on, and what then came."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray

from ondee import score
from ondee.building import build
from ondee.errors import ConfigError
from ondee.output import disk_errors
from ondee.store import Store
from ondee.units import WET
from ondee.world.settings import World

if TYPE_CHECKING:
    from ondee.batches import Window
    from ondee.run import RainLearnt
    from ondee.topographic.model import TopographicVAE

__all__ = ["LEADS", "LEARNT_FROM", "RUN", "Storm", "rolled_storm", "wettest_day"]

RUN = "rain"
"""Run that ondee ships: an autoencoder of sequences of radar rain."""
LEARNT_FROM = {"seed": 5, "size": 800}
"""Seed and side in km of the synthetic archive among what it has learnt from: those of configs/world-retrieval.yaml."""
LEADS = (10, 20, 30, 45, 60)
"""Minutes from the last known frame to those that are told."""
_CELL = 1.0
"""Side of a cell of a world, km."""
_RAIN = "radar_rain_rate"

Fields = NDArray[np.float32]


@dataclass(frozen=True)
class Storm:
    """What the model made of the storm.

    Parameters
    ----------
    storm
        For :func:`ondee.plot.latent.draw_forecast`.
    numbers
        For :func:`ondee.report.latent.latent_section`.
    """

    storm: xr.Dataset
    numbers: xr.Dataset


def wettest_day(store: Store) -> str:
    """Day of a store with most radar rain, as ``2018-06-04``.

    Parameters
    ----------
    store
        Holds ``radar_rain_rate``.

    Raises
    ------
    ConfigError
        If its radar saw no rain.
    """
    rain = store.dataset()[_RAIN].sum(("y", "x"))
    days = rain.groupby(rain["time"].astype("datetime64[D]").rename("day")).sum()
    if not float(days.max()) > 0:
        raise ConfigError("the radar saw no rain", where=store.path, fix="choose another seed")
    return str(np.datetime_as_string(days["day"].values[days.values.argmax()], "D"))


def rolled_storm(out: Path, radar: Path, world: World, day: str, *, run: str = RUN) -> Storm:
    """Store the radar of a day on the model's cells, encode the wettest window of it, and roll its last latents on.

    No model has learnt anything of the world: all of it is kept for the test.

    Parameters
    ----------
    out
        Folder of the store, made if it does not exist.
    radar
        Folder of the radar's files of that day.
    world
        That it belongs to.
    day
        ``2018-06-04``.
    run
        Name or path of the run.

    Raises
    ------
    OndeeError
        If the run is not there, the radar has no two hours on the model's window, or the disk refuses.
    """
    from ondee.batches import Windows
    from ondee.run import load_latent, rain_learnt

    learnt, model = rain_learnt(run), load_latent(run)
    store = _store(out, radar, day, learnt)
    windows = Windows([store], "test", frames=2 * learnt.frames, side=model.shape[-1])
    window = max((one for one, _ in windows.lattice(1)), key=lambda one: float(np.nansum(one.rain, dtype=np.float64)))
    storm = _forecast(model, window, learnt)
    about = {
        "run": Path(run).name,
        "latents": model.topography.size,
        "pixels": int(np.prod(model.shape)),
        "seed": world.seed,
        "size": world.domain.sides[0],
        "learnt_seed": LEARNT_FROM["seed"],
        "learnt_size": LEARNT_FROM["size"],
    }
    return Storm(storm, _numbers(storm).assign_attrs(about))


def _store(out: Path, radar: Path, day: str, learnt: RainLearnt) -> Store:
    """Build; the files stay in the folder."""
    first = np.datetime64(day, "D")
    config: dict[str, Any] = {
        "store": "storm.zarr",
        "grid": {"like": "radar", "coarsen": round(learnt.cell[0] / _CELL)},
        "step": learnt.step,
        "inputs": {"radar": {"paths": [str(radar.resolve())], "variables": ["rain_rate"], "rate": True}},
        "splits": {"periods": {"test": [day, str(first + 1)]}},
    }
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "storm.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    build(out / "storm.yaml", workers=1, force=True)
    return Store(out / "storm.zarr")


def _forecast(model: TopographicVAE, window: Window, learnt: RainLearnt) -> xr.Dataset:
    """The first half of a window, its reconstruction, and the last latents of it rolled on beside what then came."""
    import torch

    known, later = window.rain[: learnt.frames], window.rain[learnt.frames :]
    steps = [lead // learnt.step for lead in LEADS]
    with torch.inference_mode():
        latents = model.latents(torch.from_numpy(known)[None, :, None])[0]
        ahead = torch.stack([model.topography.roll(latents[-1], step) for step in steps])
        made = model.likelihood.median(model.decode(torch.cat([latents, ahead])))[:, 0].numpy()
    rain = {
        "observed": ("time", known),
        "reconstructed": ("time", made[: learnt.frames]),
        "came": ("lead", later[[step - 1 for step in steps]]),
        "rolled": ("lead", made[learnt.frames :]),
        "persistent": ("lead", np.stack([known[-1]] * len(steps))),
    }
    ends = window.time + np.timedelta64(learnt.step, "m") * np.arange(1, learnt.frames + 1)
    height, width = (1000.0 * side for side in learnt.cell)
    return xr.Dataset(
        {name: ((dim, "y", "x"), values, {"units": "mm h-1"}) for name, (dim, values) in rain.items()},
        coords={
            "time": ends,
            "lead": ("lead", list(LEADS), {"units": "min"}),
            "y": ("y", -height * np.arange(known.shape[1]), {"units": "m"}),
            "x": ("x", width * np.arange(known.shape[2]), {"units": "m"}),
        },
    )


def _numbers(storm: xr.Dataset) -> xr.Dataset:
    """Critical success index of the reconstruction, and of both forecasts at each lead."""
    pairs = {
        "reconstructed": ("observed", ("time", "y", "x")),
        "rolled": ("came", ("y", "x")),
        "persistent": ("came", ("y", "x")),
    }
    return xr.Dataset(
        {
            name: score.finish(score.event(storm[name], storm[truth], over=over, thresholds=[WET]))[
                "critical_success_index"
            ].isel(threshold=0)
            for name, (truth, over) in pairs.items()
        }
    )
