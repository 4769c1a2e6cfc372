"""Memory and time of ``ondee validate`` as an archive grows: ``python -m benchmarks.validation [--days 30]``.

Run by hand, for it takes a while: it simulates the archive, compares its first days, and writes ``VALIDATION.md`` and a
figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import machine
from ondee.plot.style import inks, new_figure, save, styled

__all__ = ["Run", "archive", "draw", "line", "main", "measured", "page"]

MEMORY = 1500.0
"""Most memory that a month may take, MB."""
STRAIGHT = 0.15
"""Largest departure of the time from a straight line, as a share of the line."""
_EVENT = 3
"""Days of one event of the archive; the last two hours of it have rain but no IMERG."""
_FIRST = "2018-06-01"
_WORLD = """\
name: growth
seed: 1
domain: {{ centre: [2.5, 46.5], size: 800 }}
start: {first}T00:00
events: {events}
hours: {hours}
every: {every}
regimes: [frontal]
radar: {{ range: 180, spacing: 150 }}
imerg: {{ version: V07B, run: Final, schedule: orbits, rough: true }}
truth: []
faults: []
"""
_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_VALIDATE = """\
import atexit, json, sys, time
def told():
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    json.dump({"cpu": time.process_time(), "memory": int(peak) / 1024}, open(sys.argv[-1], "w"))
atexit.register(told)
from ondee.cli import main
main(sys.argv[1:-1])
"""


@dataclass(frozen=True)
class Run:
    """What one validation took.

    Parameters
    ----------
    days
        Days of its archive.
    wall, cpu
        Seconds.
    memory
        Largest resident memory of the process, MB.
    sums, scores
        Sizes of ``sums.nc`` and ``scores.nc``, MB.
    """

    days: int
    wall: float
    cpu: float
    memory: float
    sums: float
    scores: float


def archive(days: int, folder: Path) -> None:
    """Simulate radar on 800 x 800 km and IMERG; what is there already is not made again.

    Parameters
    ----------
    days
        Days, at least; whole events are made.
    folder
        Where ``world.yaml`` and ``archive/`` go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world = folder / "world.yaml"
    length = 24 * _EVENT
    world.write_text(_WORLD.format(first=_FIRST, events=-(-days // _EVENT), hours=length - 2, every=length))
    command = [sys.executable, "-m", "ondee.cli", "simulate", str(world), "--out", str(folder / "archive")]
    subprocess.run(command, stdout=sys.stderr, check=True, env={**os.environ, **_ENVIRONMENT})


def measured(days: int, folder: Path) -> Run:
    """Compare the first days of the archive with one worker, in a process of its own.

    Parameters
    ----------
    days
        How many.
    folder
        With ``archive/``.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        part, out, told = Path(scratch, "part"), Path(scratch, "out"), Path(scratch, "told.json")
        _link(folder / "archive", part, days)
        sides = [str(part / "imerg"), str(part / "radar")]
        command = [sys.executable, "-c", _VALIDATE, "validate", *sides, "--out", str(out), "--workers", "1", str(told)]
        begun = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env={**os.environ, **_ENVIRONMENT})
        wall = time.perf_counter() - begun
        found = json.loads(told.read_text())
        sums, scores = ((out / name).stat().st_size / 1e6 for name in ("sums.nc", "scores.nc"))
    return Run(
        days, round(wall, 1), round(found["cpu"], 1), round(found["memory"], 1), round(sums, 1), round(scores, 1)
    )


def _link(whole: Path, part: Path, days: int) -> None:
    """The first days of an archive as an archive of its own, of links to its files."""
    first = np.datetime64(_FIRST)
    kept = {str(first + day).replace("-", "") for day in range(days)}
    for path in sorted((whole / "radar").rglob("*.h5")) + sorted((whole / "imerg").rglob("*.HDF5")):
        day = path.parent.name if path.suffix == ".h5" else path.name.split(".")[4][:8]
        if day in kept:
            target = part / path.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)


def line(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Offset and slope of the straight line through CPU time, and the largest departure as a share of the line.

    Parameters
    ----------
    runs
        At least two.
    """
    days, seconds = (np.array([getattr(run, name) for run in runs], float) for name in ("days", "cpu"))
    # Shares of the line are what is judged, so they are what is least: each run weighs by one over its time.
    slope, offset = np.polyfit(days, seconds, 1, w=1 / seconds)
    fitted = offset + slope * days
    return float(offset), float(slope), float(np.abs(seconds / fitted - 1).max())


def draw(runs: Sequence[Run], path: Path) -> None:
    """Time and memory against days.

    Parameters
    ----------
    runs
        What was measured.
    path
        Where the figure goes.
    """
    offset, slope, _ = line(runs)
    days: NDArray[np.float64] = np.array([run.days for run in runs], float)
    reach = np.array([0.0, 1.06 * days.max()])
    with styled("paper"):
        colours = inks("paper")
        figure = new_figure(180, 70)
        left, right = figure.subplots(1, 2)
        told = f"{offset:.0f} s + {slope:.1f} s a day"
        left.plot(reach, (offset + slope * reach) / 60, color=colours.muted, linewidth=0.9, label=told)
        left.plot(days, [run.cpu / 60 for run in runs], "o", color=colours.accent, markersize=4, label="measured")
        left.set_ylabel("CPU time of one process (min)")
        left.set_title("a  Time")
        left.legend(frameon=False, loc="upper left")
        right.axhline(MEMORY / 1000, color=colours.contrast, linewidth=0.9, linestyle="--", label="limit")
        memory = [run.memory / 1000 for run in runs]
        right.plot(days, memory, "-o", color=colours.accent, linewidth=0.9, markersize=4, label="measured")
        right.set_ylabel("largest resident memory (GB)")
        right.set_title("b  Memory")
        right.legend(frameon=False, loc="lower right")
        for ax, top in ((left, None), (right, 1.15 * max(MEMORY / 1000, *memory))):
            ax.set_xlabel("days of the archive")
            ax.set_xlim(*reach)
            ax.set_ylim(0, top)
            ax.grid(axis="y", linewidth=0.4, alpha=0.35)
        save(figure, path, force=True)


def page(runs: Sequence[Run]) -> tuple[str, bool]:
    """The page for people, and whether both targets are met.

    Parameters
    ----------
    runs
        What was measured.
    """
    offset, slope, apart = line(runs)
    largest = max(run.memory for run in runs)
    met = largest < MEMORY, apart < STRAIGHT
    verdicts = ["yes" if one else "**no**" for one in met]
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "src"], capture_output=True, text=True, check=False
    ).stdout.strip()
    about = machine()
    about["commit"] += ", and changes to it" if changed else ""
    rows = [
        f"| {run.days} | {run.cpu:.0f} s | {run.wall:.0f} s | {run.memory:.0f} MB "
        f"| {run.sums:.1f} MB | {run.scores:.1f} MB |"
        for run in runs
    ]
    text = "\n".join(
        [
            "# Memory and time of a validation",
            "",
            "Written by `python -m benchmarks.validation`. Simulated radar of 800 × 800 km every 5 minutes and IMERG, "
            "as archives of so many days; `ondee validate` in a fresh process with one worker, all splits, 1000 "
            "replicates. Memory is the largest resident memory of that process (`VmHWM`). CPU time is what is judged: "
            "the wall time also tells what else the machine did.",
            "",
            *(f"- {key}: {value}" for key, value in about.items()),
            "",
            "| days | CPU time | wall time | largest memory | sums.nc | scores.nc |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "| target | found | met |",
            "|---|---|---|",
            f"| memory below {MEMORY:.0f} MB | {largest:.0f} MB | {verdicts[0]} |",
            f"| CPU time within {100 * STRAIGHT:.0f} % of a straight line "
            f"| {offset:.0f} s + {slope:.1f} s a day, at most {100 * apart:.1f} % from it | {verdicts[1]} |",
            "",
        ]
    )
    return text, all(met)


def main() -> int:
    """Simulate, measure, write the page and the figure; 0 if the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30, help="days of the longest run, at least 10")
    parser.add_argument("--folder", type=Path, help="where the archive goes; a scratch folder if left out")
    parser.add_argument("--keep", action="store_true", help="keep the archive of --folder for another time")
    parser.add_argument("--png", type=Path, default=Path("docs/images/validation_growth.png"), help="the figure")
    chosen = parser.parse_args()
    if chosen.days < 10:
        parser.error("--days must be 10 or more")
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch)
        archive(chosen.days, folder)
        runs = []
        for days in sorted({chosen.days // 10, chosen.days // 3, chosen.days}):
            print(f"{days} days …", file=sys.stderr)
            runs.append(measured(days, folder))
            print(json.dumps(asdict(runs[-1])), file=sys.stderr)
        if chosen.folder and not chosen.keep:
            _remove(folder)
    text, met = page(runs)
    Path(__file__).with_name("VALIDATION.md").write_text(text, encoding="utf-8")
    draw(runs, chosen.png)
    print(text)
    return 0 if met else 1


def _remove(folder: Path) -> None:
    """Remove what :func:`archive` made."""
    from shutil import rmtree

    rmtree(folder / "archive")
    (folder / "world.yaml").unlink()


if __name__ == "__main__":
    sys.exit(main())
