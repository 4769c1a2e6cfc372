"""A small event of synthetic weather that no model has seen, and the rain that the shipped models see in it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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
from ondee.progress import track
from ondee.store import Store
from ondee.world.archive import simulate
from ondee.world.settings import World

if TYPE_CHECKING:
    from ondee.retriever import Retriever

__all__ = ["MODELS", "Scene", "event_of", "retrieved_scene"]

MODELS = ("unet", "ddpm", "flow")
"""Models that are shown: regression, diffusion, flow; each the name of a run that ondee ships, or the path of one."""
_SIZE, _CELL, _STEP = 256, 4, 15
"""Side of the domain and of a cell in km, minutes from one image to the next."""
_CENTRE = (2.5, 46.5)
_CRS = "+proj=laea +lat_0={1} +lon_0={0} +ellps=WGS84"
_THRESHOLDS = (0.1, 1.0)
_SHOWN, _MEMBERS = 3, 16
_APART = 2
"""One of so many moments is retrieved: the one between two would tell little more, and the diffusion takes its time."""
_TOGETHER = 5
"""Fields that go through a network at once."""
_TAIL = 0.999

Fields = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """What the models saw.

    Parameters
    ----------
    scene
        For :func:`ondee.plot.retrieval.draw_retrievals`: the rainiest moment.
    numbers
        For :func:`ondee.report.retrieval.retrieval_section`.
    """

    scene: xr.Dataset
    numbers: xr.Dataset


def event_of(seed: int) -> World:
    """An hour of convection, seen by radars and SEVIRI.

    Parameters
    ----------
    seed
        Of the weather.
    """
    return World.model_validate(
        {
            "name": "scene",
            "seed": seed,
            "domain": {"centre": list(_CENTRE), "size": _SIZE},
            "start": "2018-07-20T14:00",
            "events": 1,
            "hours": 1,
            "regimes": ["convective"],
            "radar": {"range": None},
            "seviri": {"step": _STEP},
            "imerg": None,
            "truth": ["rain"],
        }
    )


def retrieved_scene(
    out: Path, *, seed: int = 1, workers: int = 1, models: Sequence[str] = MODELS, members: int = _MEMBERS
) -> Scene:
    """Simulate the event, store it on the models' cells, and let each model retrieve moments half an hour apart.

    The diffusion goes through all of its steps, since the field is small.

    Parameters
    ----------
    out
        Folder of the archive and the store, made if it does not exist.
    seed
        Of the weather and of the noise.
    workers
        Processes of the simulation.
    models
        Names or paths of three runs: regression, diffusion, flow.
    members
        Of the flow.

    Raises
    ------
    OndeeError
        If a run is not there, or the disk refuses.
    """
    from ondee import run
    from ondee.batches import Scenes

    out.mkdir(parents=True, exist_ok=True)
    store = _store(out, seed, workers)
    names = [Path(model).name for model in models]
    retrievers = {name: run.load(model) for name, model in zip(names, models, strict=True)}
    scenes = {name: Scenes(store, retriever.predictors) for name, retriever in retrievers.items()}
    first = scenes[names[-1]]
    times = np.asarray(first.times)[::_APART]
    if not times.size:
        raise ConfigError("the event has no moment with image and radar", where=out, fix="choose another seed")
    radar = first.batch(list(range(times.size))).rain.numpy()
    made: dict[str, Fields] = {}
    costs: dict[str, tuple[int, float]] = {}
    for name, retriever in retrievers.items():
        count = members if name == names[-1] else 1
        made[name], costs[name] = _drawn(retriever, scenes[name], times, count, seed)
    chosen = int(np.argmax(np.nansum(radar, axis=(1, 2))))
    single = {name: fields[chosen, 0] for name, fields in made.items() if name != names[-1]}
    scene = panels(radar[chosen], single, made[names[-1]][chosen], names[-1], first.newest(chosen))
    scene = scene.assign_coords({**first.grid.coordinates(), "time": times[chosen]})
    return Scene(scene, _numbers(radar, made, names[-1], costs))


def _store(out: Path, seed: int, workers: int) -> Store:
    """Simulate and build; the files stay in the folder."""
    half = _SIZE // 2 * 1000
    cells = _SIZE // _CELL
    config: Mapping[str, Any] = {
        "store": "scene.zarr",
        "grid": {
            "crs": _CRS.format(*_CENTRE),
            "west": -half,
            "north": half,
            "dx": _CELL * 1000,
            "dy": _CELL * 1000,
            "nx": cells,
            "ny": cells,
        },
        "step": _STEP,
        "inputs": {
            "seviri": {"paths": ["seviri"], "variables": ["brightness_temperature"], "time": "label"},
            "radar": {
                "paths": ["radar"],
                "variables": ["rain_rate"],
                "rate": True,
                "time_coverage": 1.0,
                "coverage": 0.95,
            },
        },
        "chunks": {"time": 4, "y": cells, "x": cells},
    }
    with disk_errors(out):
        (out / "scene.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    simulate(event_of(seed), out, workers=workers, force=True)
    build(out / "scene.yaml", workers=1, force=True)
    return Store(out / "scene.zarr")


def _drawn(
    retriever: Retriever, scenes: Any, times: NDArray[np.datetime64], members: int, seed: int
) -> tuple[Fields, tuple[int, float]]:
    """Members of each moment ``(time, member, y, x)``; evaluations and seconds of one member."""
    from ondee.generative.noise import Noise

    held = [int(np.flatnonzero(scenes.times == stamp)[0]) for stamp in times]
    fields = []
    begun = time.perf_counter()
    keys = [int(stamp.astype("datetime64[m]").astype(np.int64)) for stamp in times]
    together = max(1, _TOGETHER // members)
    for first in track(range(0, len(keys), together), "retrieving"):
        some = slice(first, first + together)
        drawn = retriever.sample(scenes.condition(held[some]), Noise(seed, tuple(keys[some]), tuple(range(members))))
        fields.append(drawn.float().numpy())
    spent = (time.perf_counter() - begun) / len(times) / members
    evaluations = retriever.sampling.evaluations if retriever.stochastic else 1
    return np.concatenate(fields), (evaluations, spent)


def panels(
    radar: Fields, fields: Mapping[str, Fields], members: Fields, flow: str, image: xr.DataArray, shown: int = _SHOWN
) -> xr.Dataset:
    """What is drawn of one moment: image, radar, single fields, some members, their mean and a probability.

    Parameters
    ----------
    radar
        ``(y, x)`` mm h-1.
    fields
        The same, of other models by name.
    members
        ``(M, y, x)`` mm h-1.
    flow
        What the members are called.
    image
        ``(y, x)``, as :meth:`ondee.batches.Scenes.newest` gives it.
    shown
        Members that are shown.
    """
    rain = {"radar": radar, **fields}
    rain |= {f"{flow}, member {number + 1}": members[number] for number in range(min(shown, len(members)))}
    rain[f"{flow} mean"] = members.mean(axis=0)
    likely = np.where(np.isfinite(members).all(axis=0), (members >= 1.0).mean(axis=0), np.nan)
    return xr.Dataset(
        {
            "rain_rate": (("panel", "y", "x"), np.stack(list(rain.values())), {"units": "mm h-1"}),
            "probability": (("y", "x"), likely.astype(np.float32), {"units": "1", "threshold": 1.0}),
            str(image.name): image,
        },
        coords={"panel": list(rain)},
    )


def _numbers(
    radar: Fields, made: Mapping[str, Fields], flow: str, costs: Mapping[str, tuple[int, float]]
) -> xr.Dataset:
    """A few scores of all moments, pooled."""
    members = made[flow].shape[1]
    fields = {f"{name}, a draw" if name == flow else name: values for name, values in made.items()}
    fields[f"{flow} mean"] = made[flow].mean(axis=1, keepdims=True)
    truth = _array(radar)
    rows = []
    for name, values in fields.items():
        estimate = _array(values)
        event = score.finish(score.event(estimate, truth, thresholds=_THRESHOLDS))
        kind = score.finish(score.distribution(estimate, truth))
        model = name.removesuffix(" mean").removesuffix(", a draw")
        times = members if name.endswith(" mean") else 1
        rows.append(
            xr.Dataset(
                {
                    "critical_success_index": event["critical_success_index"],
                    "wet_fraction_ratio": kind["wet_fraction_ratio"],
                    "largest_ratio": kind["quantile_ratio"].sel(probability=_TAIL, method="nearest", drop=True),
                    "evaluations": times * costs[model][0],
                    "seconds": times * costs[model][1],
                }
            )
        )
    whole: xr.Dataset = xr.concat(rows, dim=xr.Variable("estimate", list(fields)), combine_attrs="drop")
    return whole.assign_attrs(moments=len(radar), members=members, size=_SIZE)


def _array(values: Fields) -> xr.DataArray:
    """Fields ``(time, [member, ]y, x)`` for a score, on cells whose distance is known."""
    dims = ("time", "member", "y", "x") if values.ndim == 4 else ("time", "y", "x")
    rows, columns = values.shape[-2:]
    coordinates = {
        "y": ("y", -1000.0 * _CELL * np.arange(rows), {"units": "m"}),
        "x": ("x", 1000.0 * _CELL * np.arange(columns), {"units": "m"}),
    }
    found = xr.DataArray(values, dims=dims, coords=coordinates, name="rain_rate", attrs={"units": "mm h-1"})
    return found.isel(member=0) if "member" in dims and values.shape[1] == 1 else found
