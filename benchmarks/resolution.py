"""How much rain is enough for a number: intervals from few days, held against the value of many worlds.

``python -m benchmarks.resolution`` makes worlds in memory, lets sound sensors pass over them, and scores each sensor
against the radar at the pass on 4, 6, 8, 12, 20 and 40 days with rain. It writes ``benchmarks/RESOLUTION.md``: how
often intervals called 95 % hold the value of all worlds together, and how wide they are. The defaults of
:class:`ondee.validation.Settings` for when a number may be told rest on it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import machine
from ondee import engine
from ondee.collocation.area import weights
from ondee.collocation.match import at_the_pass
from ondee.collocation.regrid import apply
from ondee.grid import Grid
from ondee.progress import track
from ondee.score import MEASURES
from ondee.score.resampling import intervals, predecessors
from ondee.world.constellation import Pass, passes, reported_minute
from ondee.world.domain import domain_grid, imerg_cells
from ondee.world.microwave import INSTRUMENTS, observe, rain_needed
from ondee.world.rain import State, states

__all__ = ["DAYS", "Task", "main", "sums_of"]

SEED = 20261122
WORLDS, LENGTH, HALF_HOURS = 12, 60, 6
DAYS = (4, 6, 8, 12, 20, 40)
REGIMES = {"convective": 0.45, "embedded": 0.35, "frontal": 0.2}
REPLICATES = 500
_WET = 0.1
_CENTRE = (2.5, 47.0)
_STEP = np.timedelta64(5, "m")
_BEFORE, _AFTER = np.timedelta64(20, "m"), np.timedelta64(20, "m")
_SENSORS = tuple(INSTRUMENTS)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One world."""

    number: int
    seed: int = SEED
    days: int = LENGTH
    size: int = 256


def sums_of(task: Task) -> Floats:
    """Sums of each day and sensor of a world, ``(day, sensor, 10)``: six moments, hits, misses, false alarms, views."""
    grid = domain_grid(_CENTRE, (task.size, task.size))
    cells = imerg_cells(grid)
    matrix = weights(grid, cells)
    made = np.zeros((task.days, len(_SENSORS), 10))
    for day in range(task.days):
        start = np.datetime64("2018-06-01T12:00", "m") + day * np.timedelta64(1, "D")
        span = HALF_HOURS * np.timedelta64(30, "m")
        rng = np.random.default_rng([task.seed, task.number, day])
        regime = str(rng.choice(list(REGIMES), p=list(REGIMES.values())))
        count = int((span + _BEFORE + _AFTER) / _STEP)
        stamps = (start - _BEFORE + (np.arange(count) + 1) * _STEP).astype("datetime64[ns]")
        rain = list(states(grid, stamps, seed=int(rng.integers(2**31)), regime=regime))
        radar = np.stack([apply(matrix, state.rate)[0] for state in rain])
        seed = task.seed + 1000 * task.number + day
        for overpass in passes(cells, start, start + span, schedule="half-hourly", seed=seed):
            estimate, truth = _view(overpass, rain, radar, stamps, grid, cells, seed)
            made[day, _SENSORS.index(overpass.sensor)] += _summed(estimate, truth)
    return made


def _view(
    overpass: Pass,
    rain: list[State],
    radar: NDArray[np.float32],
    stamps: NDArray[np.datetime64],
    grid: Grid,
    cells: Grid,
    seed: int,
) -> tuple[Floats, Floats]:
    """Pairs of a pass: what the sensor reports, and the radar at the minute that it states."""
    first, last = rain_needed(overpass)
    near = [state for state in rain if first - 2 * _STEP <= state.time <= last + 3 * _STEP]
    estimate = observe(INSTRUMENTS[overpass.sensor], overpass, near, grid, cells, seed=seed)
    ends = ((stamps - overpass.start) / np.timedelta64(1, "m")).astype(np.float64)
    truth = at_the_pass(radar, np.column_stack([ends - 5.0, ends]), reported_minute(overpass), 2.5)
    both = np.isfinite(estimate) & np.isfinite(truth)
    return estimate[both].astype(np.float64), truth[both].astype(np.float64)


def _summed(s: Floats, r: Floats) -> Floats:
    seen, true = s >= _WET, r >= _WET
    counts = [(seen & true).sum(), (~seen & true).sum(), (seen & ~true).sum()]
    views = float((seen | true).any())
    return np.array([s.size, s.sum(), r.sum(), (s * s).sum(), (r * r).sum(), (s * r).sum(), *counts, views])


def _relative_bias(sums: Floats) -> Floats:
    return _ratio(sums[..., 1] - sums[..., 2], sums[..., 2])


def _correlation(sums: Floats) -> Floats:
    n, s, r, ss, rr, sr = (sums[..., place] for place in range(6))
    spread = np.maximum((ss - _ratio(s * s, n)) * (rr - _ratio(r * r, n)), 0.0)
    return _ratio(sr - _ratio(s * r, n), np.sqrt(spread))


def _detection(sums: Floats) -> Floats:
    return _ratio(sums[..., 6], sums[..., 6] + sums[..., 7])


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0))


_FORMULAS: dict[str, Callable[[Floats], Floats]] = {
    "relative_bias": _relative_bias,
    "correlation": _correlation,
    "probability_of_detection": _detection,
}


def _groups(table: Floats, count: int) -> Iterator[Floats]:
    """Sums of days with rain of a world and sensor, so many at a time, none used twice."""
    wet = table[table[:, 9] > 0]
    for first in range(0, len(wet) - count + 1, count):
        yield wet[first : first + count]


def _rows(worlds: Floats) -> list[tuple[int, float, int, list[tuple[float, float, float]]]]:
    """For each number of days: median passes, number of trials, and of each score coverage and quantiles of width."""
    pools = {name: formula(worlds.sum(axis=(0, 1))) for name, formula in _FORMULAS.items()}
    made = []
    for count in DAYS:
        found: dict[str, list[tuple[bool, float]]] = {name: [] for name in _FORMULAS}
        views = []
        for world in worlds:
            for sensor in range(len(_SENSORS)):
                for group in _groups(world[:, sensor], count):
                    views.append(group[:, 9].sum())
                    previous = predecessors(np.arange(count).astype("datetime64[D]"), np.timedelta64(1, "D"))
                    for name, formula in _FORMULAS.items():
                        low, high = intervals(
                            group, formula, bounds=MEASURES[name].bounds, previous=previous, replicates=REPLICATES
                        )
                        truth = pools[name][sensor]
                        found[name].append((bool(low <= truth <= high), float(high - low)))
        if views:
            scores = [
                (
                    float(np.mean([held for held, _ in own])),
                    float(np.median([width for _, width in own])),
                    float(np.quantile([width for _, width in own], 0.9)),
                )
                for own in found.values()
            ]
            made.append((count, float(np.median(views)), len(views), scores))
    return made


def page(worlds: Floats, minutes: float) -> str:
    """The table as Markdown."""
    about = machine()
    lines = [
        "| days with rain | passes | tried | bias: held | width | correlation: held | width | detection: held "
        "| width |",
        "|---" * 9 + "|",
    ]
    for count, views, tried, scores in _rows(worlds):
        cells = [f"{100 * held:.0f} % | {middle:.2f} ({most:.2f})" for held, middle, most in scores]
        lines.append(f"| {count} | {views:.0f} | {tried} | " + " | ".join(cells) + " |")
    pools = [
        f"{sensor} {_relative_bias(sums):+.3f}, {_correlation(sums):.3f}, {_detection(sums):.3f}"
        for sensor, sums in zip(_SENSORS, worlds.sum(axis=(0, 1)), strict=True)
    ]
    parts = [
        "# How many days a number needs",
        f"`python -m benchmarks.resolution`: {len(worlds)} worlds of {worlds.shape[1]} afternoons of 3 h, sound "
        f"sensors against the radar at the pass; {about['date']}, commit {about['commit']}, {about['processor']}, "
        f"{minutes:.0f} min.",
        "*Held*: share of intervals called 95 % that hold the value of all worlds together. *Width*: median, and in "
        "brackets what nine in ten do not exceed; a bias of 1 is 100 %. *Passes*: median number with rain. Detection "
        f"is of {_WET} mm/h.",
        "\n".join(lines),
        "Values of all worlds (relative bias, correlation, detection): " + "; ".join(pools) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Make the worlds, count, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--days", type=int, default=LENGTH)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/RESOLUTION.md"))
    chosen = parser.parse_args()
    begun = time.monotonic()
    tasks = [Task(number, chosen.seed, chosen.days) for number in range(chosen.worlds)]
    done = track(engine.run(sums_of, tasks, workers=chosen.workers), "worlds", len(tasks))
    by_world = {task.number: sums for task, sums in done}
    text = page(np.stack([by_world[number] for number in sorted(by_world)]), (time.monotonic() - begun) / 60)
    chosen.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
