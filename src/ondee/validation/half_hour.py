"""One half hour of IMERG on its cells, with the radar's two references, and what its cells are split by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.calendar import means
from ondee.collocation.match import overpass
from ondee.grid import Grid
from ondee.validation.radar import Frame, as_dataset
from ondee.validation.settings import Settings
from ondee.validation.sources import sources_of

__all__ = ["LONGEST_FRAME", "HalfHour", "field_of", "half_hour", "quantities_of"]

LONGEST_FRAME = 15.0
"""Longest frame of a radar, min, that tells what it saw at the minute of a pass."""
_MINUTE = np.timedelta64(60, "s")
Floats = NDArray[np.float32]


@dataclass
class HalfHour:
    """One half hour of IMERG on the cells, with the radar's two references.

    Parameters
    ----------
    start
        Its start.
    estimate
        Rain, mm h-1.
    source, minute
        Number of the source of each cell, and minute of the pass.
    mean, at_pass
        The radar's half-hour mean, and the radar at the minute of the pass.
    quantities
        What cells are split by.
    timed
        Whether the radar's frames are short enough to tell the moment of a pass.
    """

    start: np.datetime64
    estimate: Floats
    source: NDArray[np.int16]
    minute: Floats
    mean: Floats
    at_pass: Floats
    quantities: dict[str, Floats] = field(default_factory=dict)
    timed: bool = True

    def pairs(self) -> list[tuple[Floats, Floats, NDArray[np.bool_]]]:
        """Estimate, truth, and the cells that count, of each comparison.

        Where a sensor passed at a known minute, a cell counts in all three comparisons or in none, so that they differ
        by nothing but the reference.
        """
        both = np.isfinite(self.estimate) & np.isfinite(self.mean)
        passed = (self.source > 0) & np.isfinite(self.minute) & self.timed
        at_pass = both & passed & np.isfinite(self.at_pass)
        plain = at_pass | (both & ~passed)
        return [
            (self.estimate, self.mean, plain),
            (self.estimate, self.at_pass, at_pass),
            (self.at_pass, self.mean, at_pass),
        ]


def field_of(dataset: xr.Dataset, name: str) -> Floats:
    """One field ``(y, x)`` of a granule, all missing where the file has none.

    Parameters
    ----------
    dataset
        The granule.
    name
        Of the field.
    """
    if name in dataset:
        return np.asarray(dataset[name].values[0], np.float32)
    return np.full((dataset.sizes["y"], dataset.sizes["x"]), np.nan, np.float32)


def half_hour(
    start: np.datetime64, satellite: xr.Dataset, frames: Sequence[Frame], cells: Grid, settings: Settings
) -> HalfHour:
    """A half hour with both references.

    Parameters
    ----------
    start
        Its start.
    satellite
        The granule, cut to the cells.
    frames
        Radar in it and around it.
    cells
        The cells.
    settings
        How to compare.
    """
    source = sources_of(field_of(satellite, "microwave_source"), field_of(satellite, "infrared_weight"))
    minute = np.where(source > 0, field_of(satellite, "microwave_minute"), np.float32(np.nan))
    estimate = field_of(satellite, settings.variable)
    hole = np.full(cells.shape, np.nan, np.float32)
    if not frames:
        return HalfHour(start, estimate, source, minute, hole, hole)
    rain = as_dataset(frames, cells)
    coverage = settings.time_coverage
    mean = means(rain, [start], time_coverage=coverage)["rain_rate"].values[0]
    timed = max(float((frame.end - frame.start) / _MINUTE) for frame in frames) <= LONGEST_FRAME
    if not timed or not np.isfinite(minute).any():
        return HalfHour(start, estimate, source, minute, mean, hole, timed=timed)
    passed = satellite["microwave_minute"].copy(data=minute[np.newaxis])
    at_pass = overpass(rain, passed, half_width=settings.half_width, time_coverage=coverage)
    return HalfHour(start, estimate, source, minute, mean, at_pass["rain_rate"].values[0])


def quantities_of(
    made: HalfHour, satellite: xr.Dataset, age: Floats, inside: Sequence[Floats], height: Floats | None
) -> dict[str, Floats]:
    """What the cells of a half hour are split by.

    Parameters
    ----------
    made
        The half hour.
    satellite
        The granule, cut to the cells.
    age
        Minutes since the last pass.
    inside
        Wet fraction, maximum and variability of the radar in each cell.
    height
        Height of the ground; None where it is not known.
    """
    return {
        "minute": made.minute,
        "age": age,
        "infrared_weight": field_of(satellite, "infrared_weight"),
        "quality_index": field_of(satellite, "quality_index"),
        "phase": field_of(satellite, "liquid_probability"),
        **dict(zip(("wet_fraction", "rain_maximum", "rain_variability"), inside, strict=True)),
        **({} if height is None else {"height": height}),
    }
