"""The page of the measured realism: real beside synthetic, and for every synthetic figure whether it lies inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from benchmarks.measure import machine

__all__ = ["REASONS", "page"]


class Figure(NamedTuple):
    """One number of the table: its name, its variable, the place in it, and its digits."""

    name: str
    variable: str
    chosen: dict[str, Any]
    digits: int = 2


def _figures() -> Iterator[Figure]:
    yield Figure("wet fraction", "wet_fraction", {})
    yield Figure("wet mean", "wet_mean", {})
    for probability in (0.5, 0.9, 0.99, 0.999):
        yield Figure(f"q{100 * probability:g}", "quantile", {"probability": probability})
    for transform, words in (("rain", "rain"), ("decibel", "dB")):
        yield Figure(f"slope, {words}", "spectral_slope", {"transform": transform})
        yield Figure(f"wide slope, {words}", "wide_spectral_slope", {"transform": transform})
    for frame in ("fixed", "following"):
        for lag in (5, 10, 15, 30, 60):
            yield Figure(f"{frame} {lag} min", "correlation", {"frame": frame, "lag": lag})
    yield Figure("anisotropy", "anisotropy", {})
    yield Figure("speed", "speed", {}, 1)


FIGURES = tuple(_figures())

_DRY = "the regime is made to be nearly dry: little, light rain, to which no radar event of rain compares"
REASONS: dict[tuple[str, str], str] = {
    ("convective", "speed"): "a slow regime is wanted beside fast ones; the events at hand all moved faster",
    ("warm", "q99"): "3 % below the lightest event, none of which was of warm rain; 24 other worlds gave 5.24",
    ("warm", "speed"): "warm rain falls in weak flow; the events at hand all moved faster",
    ("dry", "speed"): "a slow regime is wanted beside fast ones; the events at hand all moved faster",
    **{("dry", figure.name): _DRY for figure in FIGURES if figure.name != "speed"},
}
"""Why a figure of a regime may lie outside the range of the real events, (regime, figure) → reason."""

_INTRODUCTION = """# Realism of the synthetic rain

Written by `python -m benchmarks.realism`. Boxes of 128 x 128 km, at least 95 % observed and 2 % wet (> 0.1 mm/h), every
15 minutes. Each regime is {seeds} worlds of three hours on 256 x 256 km, of seeds that were not used to choose its
numbers. *Wet mean* and quantiles are those of wet pixels, in mm/h. *Slope* is -dlog P/dlog k of the radially averaged
spectrum from 4 to 64 km, *wide slope* from 4 to 128 km in boxes of 256 km, of rain and of its decibels. Correlations
are means over box-frames, at a fixed place and following the displacement that correlates best, tracked from lag to
lag. *Anisotropy* is |sum P exp(2i angle)| / sum P over the same waves. *Speed* is in m/s.

{machine}
"""


def page(table: xr.Dataset, seeds: int) -> tuple[str, list[str]]:
    """Write the page; also the figures that lie outside the real range and have no reason."""
    described = "\n".join(f"- {key}: {value}" for key, value in machine().items())
    real, synthetic = table.sel(event=table["real"].values), table.sel(event=~table["real"].values)
    verdicts, unexplained = _verdicts(real, synthetic)
    parts = [
        _INTRODUCTION.format(seeds=seeds, machine=described),
        "## Overview\n\n" + _overview(table),
        "## Every figure\n\n" + _ranges(real, synthetic),
        "## Inside or outside\n\n" + verdicts,
    ]
    return "\n".join(parts), unexplained


def _value(table: xr.Dataset, event: str, figure: Figure) -> float:
    return float(table[figure.variable].sel(event=event, **figure.chosen))


def _number(value: float, digits: int = 2) -> str:
    return "–" if not np.isfinite(value) else f"{value + 0.0:.{digits}f}".replace("-0.00", "0.00")


def _overview(table: xr.Dataset) -> str:
    """One line an event, as compact as can be read."""
    lines = [
        "| event | box-frames (boxes) | wet, mean (10–90 %) | wet mean | q50/90/99/99.9 | slope rain/dB |"
        " fixed 5/10/15/30/60 | following 5/10/15/30/60 | anisotropy | m/s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for event in table["event"].values:
        one = table.sel(event=event)
        if not float(one["box_frames"]):
            lines.append(f"| *{event}* | none is 2 % wet |" + " – |" * 8)
            continue
        share = [_number(float(one[f"wet_fraction{end}"])) for end in ("", "_low", "_high")]
        name = str(event) if bool(one["real"]) else f"*{event}*"
        cells = [
            name,
            f"{int(one['box_frames'])} ({int(one['boxes'])})",
            f"{share[0]} ({share[1]}–{share[2]})",
            _number(float(one["wet_mean"])),
            *(
                "/".join(_number(float(value)) for value in values.values)
                for values in (
                    one["quantile"],
                    one["spectral_slope"].sel(transform=["rain", "decibel"]),
                    one["correlation"].sel(frame="fixed"),
                    one["correlation"].sel(frame="following"),
                )
            ),
            _number(float(one["anisotropy"])),
            _number(float(one["speed"]), 0),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ranges(real: xr.Dataset, synthetic: xr.Dataset) -> str:
    """One line a figure: range of the real events, then each regime; what lies outside is set in italics."""
    names = [str(event) for event in synthetic["event"].values]
    lines = ["| figure | real events | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for figure in FIGURES:
        low, high = _range(real, figure)
        cells = []
        for name in names:
            value = _value(synthetic, name, figure)
            text = _number(value, figure.digits)
            cells.append(text if not np.isfinite(value) or low <= value <= high else f"*{text}*")
        span = f"{_number(low, figure.digits)} to {_number(high, figure.digits)}"
        lines.append(f"| {figure.name} | {span} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _range(real: xr.Dataset, figure: Figure) -> tuple[float, float]:
    """Smallest and largest value of the real events, NaN where none has it."""
    values = np.array([_value(real, str(event), figure) for event in real["event"].values])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)


def _verdicts(real: xr.Dataset, synthetic: xr.Dataset) -> tuple[str, list[str]]:
    """For each regime how many figures lie inside the real range, and why the others do not."""
    lines, unexplained = [], []
    for event in map(str, synthetic["event"].values):
        inside, outside, total = 0, [], 0
        for figure in FIGURES:
            value, (low, high) = _value(synthetic, event, figure), _range(real, figure)
            if not np.isfinite([value, low, high]).all():
                continue
            total += 1
            if low <= value <= high:
                inside += 1
                continue
            reason = REASONS.get((event, figure.name), "not explained")
            if reason == "not explained":
                unexplained.append(f"{event}: {figure.name}")
            outside.append((figure.name, _number(value, figure.digits), reason))
        lines.append(f"- **{event}**: {inside} of {total} figures inside the real range.")
        reasons = dict.fromkeys(reason for _, _, reason in outside)
        for reason in reasons:
            told = ", ".join(f"{name} ({value})" for name, value, why in outside if why == reason)
            lines.append(f"  - outside: {told}: {reason}.")
    return "\n".join(lines) + "\n", unexplained
