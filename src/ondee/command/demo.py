"""The work of ``ondee demo``: stormy afternoons with three planted faults, and a validation that has to find them.

Then one more event, seen in the infrared by models that ondee ships, and a storm of the afternoons in latents.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import yaml

from ondee.building import build
from ondee.command.plain import as_dict
from ondee.command.scene import MODELS, Scene, retrieved_scene
from ondee.command.storm import Storm, rolled_storm, wettest_day
from ondee.errors import ConfigError
from ondee.output import check_target, disk_errors
from ondee.store import Store
from ondee.validation.inputs import Sides
from ondee.validation.outcome import Outcome, outcomes
from ondee.validation.run import validate
from ondee.validation.settings import Settings
from ondee.world.archive import simulate
from ondee.world.faults import sizes
from ondee.world.settings import World

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Demo", "demo", "show", "world_of"]

AFTERNOONS, HOURS = 10, 3
_FACTOR, _CELLS, _MINUTES = 1.5, 1.0, 10.0
"""Sizes of the planted faults: a factor, cells, minutes."""
SETTINGS = Settings(minutes=(0, 10, 20, 30), cases=24)
"""Of the validation: a dozen passes a sensor fill three classes of the minute, not six."""
_SCENE = "infrared"
_STORM = "storm"
_ARCHIVE = ("radar", "imerg", "events", "truth.zarr", "truth.yaml", _SCENE, _STORM)
_RESULTS = ("world.yaml", "half-hours.yaml", "half-hours.zarr", "validation", "report.html")


@dataclass(frozen=True)
class Demo:
    """What the demo made and found.

    Parameters
    ----------
    report
        The page to open.
    outcomes
        Each planted fault, and each that was found.
    quiet
        Kinds of fault and sensors on which nothing was planted and nothing found.
    retrieved
        Numbers of the retrievals from infrared, as of :class:`ondee.command.scene.Scene`; None where torch is not
        installed.
    forecast
        Numbers of the storm, as of :class:`ondee.command.storm.Storm`; None where torch is not installed.
    """

    report: Path
    outcomes: tuple[Outcome, ...]
    quiet: int
    retrieved: xr.Dataset | None
    forecast: xr.Dataset | None = None

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, which JSON can hold."""
        told = [asdict(one) | {"right": one.right} for one in self.outcomes]
        held = {"retrieved": self.retrieved, "forecast": self.forecast}
        plain = {name: None if numbers is None else as_dict(numbers) for name, numbers in held.items()}
        return {"report": str(self.report), "outcomes": told, "quiet": self.quiet, **plain}


def world_of(size: int = 256, seed: int = 1) -> World:
    """World of the demo: afternoons of convection over France, with a fault in three of the five sensors.

    Parameters
    ----------
    size
        Width and height in km, an even number.
    seed
        Seed of the weather; it also draws which sensors are faulty, and which way.

    Raises
    ------
    ConfigError
        If size or seed cannot be used.
    """
    if not (160 <= size <= 1800 and size % 2 == 0):
        raise ConfigError(
            f"a demo of {size} km cannot be made", where="--size", fix="use an even number from 160 to 1800"
        )
    if not 0 <= seed < 2**32:
        raise ConfigError(f"the seed is {seed}", where="--seed", fix="use a whole number from 0 to 4294967295")
    drawn = np.random.default_rng([seed, 90])
    faulty = [str(name) for name in drawn.permutation(["GMI", "AMSR2", "SSMIS", "MHS", "ATMS"])[:3]]
    way, sign = str(drawn.choice(["east", "north"])), float(drawn.choice([-1.0, 1.0]))
    late = float(drawn.choice([-_MINUTES, _MINUTES]))
    return World.model_validate(
        {
            "name": "demo",
            "seed": seed,
            "domain": {"centre": [2.5, 47.0], "size": size},
            "start": "2018-06-04T12:00",
            "events": AFTERNOONS,
            "hours": HOURS,
            "every": 24,
            "regimes": ["convective", "embedded"],
            "radar": {"range": round(0.55 * size)},
            "imerg": {"schedule": "half-hourly"},
            "truth": ["rain"],
            "faults": [
                {"bias": {"sensor": faulty[0], "factor": _FACTOR}},
                {"shift": {"sensor": faulty[1], way: sign * _CELLS}},
                {"clock": {"sensor": faulty[2], "minutes": late}},
            ],
        }
    )


def demo(
    out: Path, *, size: int = 256, seed: int = 1, workers: int = 2, keep: bool = False, force: bool = False
) -> Demo:
    """Make the world, build a store of it, validate, report, and compare what was found with what was planted.

    The report also shows rain that the shipped models see in the infrared of another event, and a storm of the wettest
    afternoon in the latents of another shipped model, where torch is installed.

    Parameters
    ----------
    out
        Folder of the results, made if it does not exist.
    size, seed
        As of :func:`world_of`.
    workers
        Processes; no result depends on them.
    keep
        Keep the archive (``radar/``, ``imerg/``, truth), the event in ``infrared/`` and the store in ``storm/``, about
        60 MB, which are removed otherwise.
    force
        Replace the results of an earlier demo.

    Raises
    ------
    ConfigError
        If an argument cannot be used, or there are results and `force` is not set.
    StoreError
        If the disk refuses.
    """
    from ondee.report.latent import latent_section
    from ondee.report.retrieval import retrieval_section
    from ondee.report.validation import write_validation_report

    world = world_of(size, seed)
    out.mkdir(parents=True, exist_ok=True)
    _clear(out, force)
    with disk_errors(out):
        _write(out / "world.yaml", world.resolved())
        _write(out / "half-hours.yaml", _store(world))
    simulate(world, out, workers=workers, force=force)
    build(out / "half-hours.yaml", workers=workers, force=force)
    command = f"ondee demo --out {out} --size {size} --seed {seed}"
    sides = Sides(str(out / "imerg"), str(out / "radar"))
    found = validate(sides, SETTINGS, out / "validation", workers=workers, command=command)
    planted = sizes(world.planted)
    seen = _retrieved(out, seed)
    section = retrieval_section(seen.scene, seen.numbers) if seen is not None else retrieval_section(None)
    storm = _rolled(out, world)
    latents = latent_section(storm.storm, storm.numbers) if storm is not None else latent_section(None)
    target = check_target(out / "report.html", (".html",), force=True)
    write_validation_report(found, target, planted=planted, retrieval=section, latents=latents, force=True)
    if not keep:
        _forget(out, _ARCHIVE)
    every = list(outcomes(found.groups["sensors"], planted))
    told = tuple(one for one in every if one.planted is not None or one.verdict == "found")
    told = tuple(sorted(told, key=lambda one: one.planted is None))
    retrieved, forecast = (None if one is None else one.numbers for one in (seen, storm))
    return Demo(out / "report.html", told, len(every) - len(told), retrieved, forecast)


def show(found: Demo, console: Console) -> None:
    """Print what was planted, what was found, and where to read more.

    Parameters
    ----------
    found
        From :func:`demo`.
    console
        Where to print.
    """
    from ondee.terminal import show_forecast, show_outcomes, show_retrievals

    show_outcomes(found.outcomes, found.quiet, console)
    console.print()
    show_retrievals(found.retrieved, console)
    show_forecast(found.forecast, console)
    told = (
        f"\nOpen {found.report}: maps, sensors by minute, half hour by half hour, rain from infrared, latents of rain."
    )
    console.print(told, highlight=False, soft_wrap=True)


def _has_torch() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "safetensors"))


def _retrieved(out: Path, seed: int) -> Scene | None:
    """Let the shipped models retrieve an event of their own; None where torch is not installed."""
    return retrieved_scene(out / _SCENE, seed=seed, models=MODELS) if _has_torch() else None


def _rolled(out: Path, world: World) -> Storm | None:
    """Let the shipped model of rain roll the wettest storm on; None where torch is not installed."""
    if not _has_torch():
        return None
    day = wettest_day(Store(out / "half-hours.zarr"))
    return rolled_storm(out / _STORM, out / "radar" / day.replace("-", ""), world, day)


def _store(world: World) -> dict[str, Any]:
    """Configuration of a store of both products, half-hourly on IMERG's cells."""
    cells = world.cells
    region = [round(edge, 4) for edge in (cells.west, cells.south, cells.east, cells.north)]
    radar = {"paths": ["radar"], "variables": ["rain_rate"], "rate": True, "statistics": True}
    return {
        "store": "half-hours.zarr",
        "grid": {"region": region, "step": 0.1},
        "step": 30,
        "inputs": {"radar": radar, "imerg": {"paths": ["imerg"], "variables": ["rain_rate"], "time": "label"}},
        "chunks": {"time": 6, "y": 32, "x": 32},
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")


def _clear(out: Path, force: bool) -> None:
    """Refuse to replace results, or remove them."""
    there = [name for name in _RESULTS if (out / name).exists()]
    if there and not force:
        raise ConfigError(
            f"there is {there[0]} of an earlier demo", where=out, fix="choose another --out, or replace it with --force"
        )
    _forget(out, _RESULTS)


def _forget(out: Path, names: tuple[str, ...]) -> None:
    for name in names:
        place = out / name
        with disk_errors(place):
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
