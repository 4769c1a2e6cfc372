"""Timing and its table: CPU seconds of one thread, best of several runs, ours and the rival's in turn."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ondee.provenance import commit, version_of

__all__ = ["Row", "machine", "markdown", "pair", "show"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    task
        What is done.
    seconds, rival_seconds
        What ondee and the rival took, in `unit`.
    rival
        Name and version of the rival.
    ratio
        Rival over ondee where the target is ``">= …"`` (times faster), ondee over rival where it is ``"<= …"``.
    target
        What the ratio must be.
    met
        Whether it is.
    unit
        ``"s"``, or ``"MB"`` for memory.
    """

    task: str
    seconds: float
    rival: str
    rival_seconds: float
    ratio: float
    target: str
    met: bool
    unit: str = "s"

    @classmethod
    def of(cls, task: str, ours: float, rival: str, theirs: float, target: str, unit: str = "s") -> Row:
        """A row with its ratio and verdict."""
        sign, limit = target.split()
        ratio = theirs / ours if sign == ">=" else ours / theirs
        met = ratio >= float(limit) if sign == ">=" else ratio <= float(limit)
        return cls(task, round(ours, 4), rival, round(theirs, 4), round(ratio, 2), target, met, unit)


def pair(
    ours: Callable[[], Any], theirs: Callable[[], Any], *, repeats: int = 5, per_ours: int = 1, per_theirs: int = 1
) -> tuple[float, float]:
    """CPU seconds of two functions called in turn, best of `repeats`, after one call that is not counted.

    Parameters
    ----------
    ours, theirs
        Functions to time.
    repeats
        Counted calls of each.
    per_ours, per_theirs
        Number of items that one call handles; the result is per item.
    """
    best = [float("inf"), float("inf")]
    for function in (ours, theirs):
        function()
    for _ in range(repeats):
        for index, function in enumerate((ours, theirs)):
            begun = time.process_time()
            function()
            best[index] = min(best[index], time.process_time() - begun)
    return best[0] / per_ours, best[1] / per_theirs


def machine() -> dict[str, str]:
    """Where and with what the figures were measured."""
    collocation = ("numpy", "numba", "scipy", "h5py", "xarray", "zarr", "pyresample", "xarray-regrid")
    packages = (*collocation, "pysteps", "scores", "scoringrules")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": ", ".join(f"{name} {found}" for name in packages if (found := version_of(name))),
        "commit": commit()[:7] or "unknown",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def markdown(title: str, rows: list[Row]) -> str:
    """A table for people."""
    lines = [
        f"## {title}",
        "",
        "| task | ondee | rival | rival took | ratio | target | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, theirs = f"{row.seconds:.4g} {row.unit}", f"{row.rival_seconds:.4g} {row.unit}"
        verdict = "yes" if row.met else "**no**"
        lines.append(f"| {row.task} | {ours} | {row.rival} | {theirs} | {row.ratio:.2f} | {row.target} | {verdict} |")
    return "\n".join(lines)


def show(title: str, rows: list[Row], as_json: bool) -> None:
    """Print rows, for people or as JSON with the machine."""
    if as_json:
        print(json.dumps({"title": title, "rows": [asdict(row) for row in rows], "machine": machine()}, indent=1))
    else:
        print(markdown(title, rows))
