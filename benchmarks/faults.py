"""How often planted faults are found, and how often faults are found that nobody planted: worlds whose truth is known.

``python -m benchmarks.faults`` makes 40 worlds of 40 afternoons, lets five sensors pass thirty times each, plants
faults in four of them in turn, and looks for them as ``ondee validate`` does: with the minute of the pass, and with
the half-hour mean alone. It writes ``benchmarks/FAULTS.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.measure import machine
from ondee import engine
from ondee.collocation.area import weights
from ondee.collocation.regrid import apply
from ondee.grid import Grid
from ondee.progress import track
from ondee.validation.evidence import EVIDENCE, View, evidence, evidence_coordinates
from ondee.validation.faults import Rules, faults
from ondee.validation.outcome import outcomes
from ondee.world.constellation import Pass, passes, reported_minute
from ondee.world.domain import domain_grid, imerg_cells
from ondee.world.faults import Bias, Clock, Fault, Shift, sizes
from ondee.world.microwave import INSTRUMENTS, observe, rain_needed, rough
from ondee.world.rain import State, states

__all__ = ["EXPERIMENTS", "Experiment", "Trial", "main", "observed", "tried"]

SEED = 20261121
"""Of the worlds of the table; estimators and rules were chosen on others."""
WORLDS, DAYS, HALF_HOURS, PASSES = 40, 40, 6, 30
FEWER = (5, 8, 12, 20)
"""Numbers of passes at which the clean sensors are judged too: they justify the rule for too few."""
REGIMES = {"convective": 0.45, "embedded": 0.35, "frontal": 0.2}
REPLICATES = 500
_CENTRE, _SIZE = (2.5, 47.0), (256, 256)
_STEP = np.timedelta64(5, "m")
_BEFORE, _AFTER = np.timedelta64(35, "m"), np.timedelta64(65, "m")
_SENSORS = tuple(INSTRUMENTS)
FAULTY = ("overpass", "mean")


@dataclass(frozen=True)
class Experiment:
    """One way of planting faults in the sensors of a trial.

    Parameters
    ----------
    name
        What is tried.
    rough
        Whether the sensors are misplaced, gain and lose with each pass, miss light rain and invent some.
    planted
        Faults of as many sensors, the sensor's name still to be filled in; None plants nothing.
    """

    name: str
    rough: bool
    planted: tuple[dict[str, float] | None, ...]

    def faults(self, world: int) -> list[Fault]:
        """Faults of one world: which sensor has which turns from world to world."""
        made: list[Fault] = []
        for place, fault in enumerate(self.planted):
            sensor = _SENSORS[(place + world) % len(_SENSORS)]
            if fault is None:
                continue
            if "factor" in fault:
                made.append(Bias.model_validate({"sensor": sensor, **fault}))
            elif "minutes" in fault:
                made.append(Clock.model_validate({"sensor": sensor, **fault}))
            else:
                east = world % 2 == 0
                made.append(Shift.model_validate({"sensor": sensor, "east" if east else "north": fault["cells"]}))
        return made


_PLANTED: tuple[dict[str, float] | None, ...] = ({"cells": 1.0}, {"minutes": 10.0}, {"minutes": 5.0}, None)
EXPERIMENTS = (
    Experiment("rough", True, ({"factor": 1.5}, *_PLANTED)),
    Experiment("plain", False, ({"factor": 1.2}, *_PLANTED)),
    Experiment("clean", True, (None,)),
)


@dataclass(frozen=True)
class Trial:
    """A task: one trial."""

    number: int
    seed: int
    days: int = DAYS
    passes: int = PASSES
    experiments: tuple[Experiment, ...] = EXPERIMENTS


def observed(trial: Trial) -> dict[str, xr.Dataset]:
    """Evidence of one world, ``(view, …)`` with ``time`` and ``source``, by experiment."""
    grid = domain_grid(_CENTRE, _SIZE)
    cells = imerg_cells(grid)
    matrix = weights(grid, cells)
    held: dict[str, list[tuple[Pass, dict[str, NDArray[np.float64]]]]] = {one.name: [] for one in trial.experiments}
    for start, overpasses in _days(trial, cells):
        rng = np.random.default_rng([trial.seed, trial.number, 1, int(start.astype(int))])
        regime = str(rng.choice(list(REGIMES), p=list(REGIMES.values())))
        count = int((HALF_HOURS * np.timedelta64(30, "m") + _BEFORE + _AFTER) / _STEP)
        stamps = (start - _BEFORE + (np.arange(count) + 1) * _STEP).astype("datetime64[ns]")
        rain = list(states(grid, stamps, seed=int(rng.integers(2**31)), regime=regime))
        radar = np.stack([apply(matrix, state.rate)[0] for state in rain])
        for overpass in overpasses:
            for experiment in trial.experiments:
                found = _evidence(overpass, experiment, trial, rain, radar, stamps, grid, cells)
                held[experiment.name].append((overpass, found))
    return {name: _stacked(views) for name, views in held.items()}


def _days(trial: Trial, cells: Grid) -> Iterator[tuple[np.datetime64, list[Pass]]]:
    """Afternoons, each with the passes that are kept of it: as many of each sensor as asked for."""
    starts = np.datetime64("2018-06-01T12:00", "m") + np.arange(trial.days) * np.timedelta64(1, "D")
    span = HALF_HOURS * np.timedelta64(30, "m")
    made = [
        overpass
        for start in starts
        for overpass in passes(cells, start, start + span, schedule="half-hourly", seed=trial.seed + trial.number)
    ]
    kept = []
    for number, sensor in enumerate(_SENSORS):
        own = [overpass for overpass in made if overpass.sensor == sensor]
        rng = np.random.default_rng([trial.seed, trial.number, 2, number])
        kept += [own[place] for place in sorted(rng.permutation(len(own))[: trial.passes])]
    for start in starts:
        yield start, [overpass for overpass in kept if start <= overpass.start < start + span]


def _evidence(
    overpass: Pass,
    experiment: Experiment,
    trial: Trial,
    rain: Sequence[State],
    radar: NDArray[np.float32],
    stamps: NDArray[np.datetime64],
    grid: Grid,
    cells: Grid,
) -> dict[str, NDArray[np.float64]]:
    """Evidence of one pass."""
    planted = experiment.faults(trial.number)
    first, last = rain_needed(overpass, planted)
    near = [state for state in rain if first - 2 * _STEP <= state.time <= last + 3 * _STEP]
    instrument = INSTRUMENTS[overpass.sensor]
    instrument = rough(instrument) if experiment.rough else instrument
    seen = observe(instrument, overpass, near, grid, cells, seed=trial.seed + trial.number, faults=planted)
    view = View(overpass.start, overpass.sensor, overpass.code, seen, reported_minute(overpass))
    ends = (stamps - overpass.start) / np.timedelta64(1, "m")
    return evidence(view, radar, np.column_stack([ends - 5.0, ends]).astype(np.float64), cells)


def _stacked(views: Sequence[tuple[Pass, dict[str, NDArray[np.float64]]]]) -> xr.Dataset:
    """Views as one Dataset."""
    data = {name: (("view", *dims), np.stack([sums[name] for _, sums in views])) for name, dims in EVIDENCE.items()}
    times = np.array([overpass.start for overpass, _ in views], "datetime64[ns]")
    names = [overpass.sensor for overpass, _ in views]
    return xr.Dataset(data, coords={"time": ("view", times), "source": ("view", names), **evidence_coordinates()})


def tried(trial: Trial) -> list[dict[str, Any]]:
    """What is found in one world: a row for each experiment, number of passes, reference, sensor and kind."""
    rows = []
    for name, sums in observed(trial).items():
        experiment = next(one for one in trial.experiments if one.name == name)
        truth = sizes(experiment.faults(trial.number))
        for count in (*(FEWER if name == "clean" else ()), trial.passes):
            found = faults(_first(sums, count), _UNRULED, replicates=REPLICATES, seed=trial.number)
            about = {"world": trial.number, "experiment": name, "passes": count}
            for comparison in FAULTY:
                for one in outcomes(found, truth, comparison=comparison):
                    rows.append(
                        {**about, "comparison": comparison, **asdict(one), "truth": one.truth, "held": one.held}
                    )
    return rows


_UNRULED = Rules(views=3, days=3)
"""Verdicts on whatever there is; the rules for too few are judged by what that gives."""


def _first(sums: xr.Dataset, count: int) -> xr.Dataset:
    """The first passes of each sensor."""
    order = xr.DataArray(sums["source"].values).to_series().groupby(sums["source"].values).cumcount().to_numpy()
    return sums.isel(view=np.flatnonzero(order < count))


# ---- the table


_TARGETS = (
    ("rough", "bias", 1.5, 0.90, None),
    ("rough", "shift", 1.0, 0.95, 0.3),
    ("rough", "clock", 10.0, 0.95, 2.5),
    ("rough", "clock", 5.0, 0.85, None),
    ("plain", "bias", 1.2, 0.90, None),
    ("plain", "shift", 1.0, None, 0.3),
    ("plain", "clock", 10.0, None, 2.5),
    ("plain", "clock", 5.0, None, None),
)
"""Experiment, fault, its size; share that is to be found, and how near to its size."""
_FALSE_ALARMS = {"bias": 0.05, "shift": 0.02, "clock": 0.02}
_COVERAGE = 0.92


def _kinds(kind: str) -> tuple[str, ...]:
    return ("east", "north") if kind == "shift" else (kind,)


def _chosen(rows: Sequence[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """Rows that agree in what is wanted; a tuple is any of its entries."""
    return [
        row
        for row in rows
        if all(row[key] in value if isinstance(value, tuple) else row[key] == value for key, value in wanted.items())
    ]


def _share(found: Sequence[bool]) -> float:
    return float(np.mean(found)) if found else float("nan")


def _percent(share: float) -> str:
    return "–" if not np.isfinite(share) else f"{100 * share:.1f}".removesuffix(".0") + " %"


def _detection(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Table of faults that were planted."""
    lines = [
        _line(
            "sensors", "fault", "tried", "found", "target", "within", "found, mean alone", "half width", "mean alone"
        ),
        "|---" * 9 + "|",
    ]
    for experiment, kind, size, target, near in _TARGETS:
        cells = []
        for comparison in FAULTY:
            own = _chosen(rows, experiment=experiment, kind=_kinds(kind), planted=size, comparison=comparison)
            close = [row["verdict"] == "found" and (near is None or abs(row["value"] - size) <= near) for row in own]
            cells.append((len(own), _share(close), _width(own)))
        names = {"bias": f"bias × {size:g}", "shift": f"shift of {size:g} cell", "clock": f"clock {size:g} min late"}
        within = "" if near is None else f"± {near:g} {'cell' if kind == 'shift' else 'min'}"
        wanted = "" if target is None else f"≥ {100 * target:.0f} %"
        (count, share, width), (_, share_mean, width_mean) = cells
        verdict = _percent(share) if target is None or share >= target else f"**{_percent(share)}**"
        cell = (verdict, wanted, within, _percent(share_mean), width, width_mean)
        lines.append(_line(experiment, names[kind], count, *cell))
    return lines


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _width(rows: Sequence[dict[str, Any]]) -> str:
    """Median half width of the intervals; of a gain as a factor."""
    if not rows:
        return "–"
    if rows[0]["kind"] == "bias":
        return f"×÷ {np.exp(np.nanmedian([np.log(row['high'] / row['low']) / 2 for row in rows])):.3f}"
    return f"± {np.nanmedian([(row['high'] - row['low']) / 2 for row in rows]):.2f}"


def _quiet(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Table of what was not planted, and of how often intervals hold what was."""
    lines = [
        _line("sensors", "kind", "reference", "sound", "false alarms", "target", "all", "intervals hold", "target"),
        "|---" * 9 + "|",
    ]
    for experiment in ("rough", "clean", "plain"):
        for kind in ("bias", "shift", "clock"):
            for comparison in FAULTY:
                own = _chosen(rows, experiment=experiment, kind=_kinds(kind), comparison=comparison, passes=PASSES)
                sound = [row for row in own if row["planted"] is None]
                false = _share([row["verdict"] == "found" for row in sound])
                held = _share([row["held"] for row in own])
                bold = comparison == "overpass" and experiment != "plain"
                shown = _percent(false) if false <= _FALSE_ALARMS[kind] or not bold else f"**{_percent(false)}**"
                covered = _percent(held) if held >= _COVERAGE or not bold else f"**{_percent(held)}**"
                most, least = f"≤ {100 * _FALSE_ALARMS[kind]:.0f} %", f"≥ {100 * _COVERAGE:.0f} %"
                lines.append(_line(experiment, kind, comparison, len(sound), shown, most, len(own), covered, least))
    return lines


def _few(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Table of clean sensors with few passes."""
    lines = [
        "| passes | kind | false alarms | intervals hold the truth | median half width |",
        "|---|---|---|---|---|",
    ]
    for count in (*FEWER, PASSES):
        for kind in ("bias", "shift", "clock"):
            own = _chosen(rows, experiment="clean", kind=_kinds(kind), comparison="overpass", passes=count)
            own = [row for row in own if np.isfinite(row["low"])]
            false = _share([row["verdict"] == "found" for row in own])
            held = _share([row["held"] for row in own])
            lines.append(f"| {count} | {kind} | {_percent(false)} | {_percent(held)} | {_width(own)} |")
    return lines


def page(rows: Sequence[dict[str, Any]], worlds: int, minutes: float) -> str:
    """The tables as Markdown."""
    about = machine()
    parts = [
        "# Planted faults, found and not found",
        f"`python -m benchmarks.faults`: {worlds} worlds of {DAYS} afternoons of 3 h, 256 × 256 km, {PASSES} passes of "
        f"each of {len(_SENSORS)} sensors; {about['date']}, commit {about['commit']}, {about['processor']}, "
        f"{about['cores']} cores, {minutes:.0f} min.",
        "## Planted faults",
        "\n".join(_detection(rows)),
        "## Sound sensors, and how often intervals called 95 % hold the truth",
        "\n".join(_quiet(rows)),
        "## Clean rough sensors with few passes",
        "\n".join(_few(rows)),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Make the worlds, look for the faults, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/FAULTS.md"))
    parser.add_argument("--json", type=Path, help="write every single outcome into this file too")
    chosen = parser.parse_args()
    begun = time.monotonic()
    tasks = [Trial(number, chosen.seed) for number in range(chosen.worlds)]
    done = track(engine.run(tried, tasks, workers=chosen.workers), "worlds", len(tasks))
    by_world = sorted(((task.number, rows) for task, rows in done), key=lambda entry: entry[0])
    rows = [row for _, own in by_world for row in own]
    text = page(rows, chosen.worlds, (time.monotonic() - begun) / 60)
    chosen.out.write_text(text, encoding="utf-8")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
