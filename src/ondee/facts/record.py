"""The records of a survey: frozen, and made of plain values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from ondee.grid import Region

__all__ = ["Facts", "GridFacts", "Statistics", "Survey", "VariableFacts", "plain"]


@dataclass(frozen=True)
class Statistics:
    """Numbers of a variable, or of one channel of it, over all frames.

    Parameters
    ----------
    minimum, maximum, mean
        Over observed pixels, in the variable's unit; NaN where nothing was observed.
    missing_share
        Share of pixels that were not observed.
    wet_fraction
        Share of observed pixels with at least 0.1 mm/h; None where the variable is not rain, or was
        nowhere observed.
    """

    minimum: float
    maximum: float
    mean: float
    missing_share: float
    wet_fraction: float | None


@dataclass(frozen=True)
class VariableFacts:
    """One variable.

    Parameters
    ----------
    name, units, long_name, dims
        As in the Dataset.
    statistics
        Over all frames, channels and members.
    channels
        Channel → statistics, where there is such a dimension.
    implausible_count, implausible_extreme
        How many values the reader made missing because they are outside the plausible range, and the worst.
    removed_by_quality
        Quality threshold → share of the wet pixels with a lower quality, those of every member; None where there is
        no quality or no rain.
    unknown_quality
        Share of the wet pixels that have no quality at all.
    """

    name: str
    units: str
    long_name: str
    dims: tuple[str, ...]
    statistics: Statistics
    channels: Mapping[str, Statistics]
    implausible_count: int
    implausible_extreme: float | None
    removed_by_quality: Mapping[str, float] | None
    unknown_quality: float | None


@dataclass(frozen=True)
class GridFacts:
    """Where the cells lie.

    Parameters
    ----------
    description
        One line for a person.
    crs
        Short name or PROJ text of the projection.
    shape
        Rows, columns.
    cell
        Height and width of a cell, in `unit`.
    west, north
        Outer edges of column 0 and row 0, in `unit`.
    unit
        ``"m"`` or ``"degree"``.
    region
        West, south, east, north of the cells in degrees; None where the place is unknown.
    """

    description: str
    crs: str
    shape: tuple[int, int]
    cell: tuple[float, float]
    west: float
    north: float
    unit: str
    region: Region | None


@dataclass(frozen=True)
class Facts:
    """One product on one grid.

    Parameters
    ----------
    product, run, version, format
        What it is; `run` and `version` None where the product has none.
    files, frames
        How many.
    first, last
        First and last time label, ISO text, UTC.
    label, interval
        Which moment of its interval a time names, and the length of the interval, min (0 for a snapshot).
    step
        Most common distance of two labels, min; None for one frame.
    missing_frames
        How many labels of the regular step are absent between the first and the last.
    repeated_frames
        How many frames bear a label that another one bears.
    grid, variables
        Where, and what.
    members
        How many members an ensemble has; None where it is none.
    preview
        One field ``(y, x)``, to draw, of an ensemble that of its first member; None where the product lacks the one
        asked for; not among the JSON.
    """

    product: str
    run: str | None
    version: str | None
    format: str
    files: int
    frames: int
    first: str
    last: str
    label: str
    interval: float
    step: float | None
    missing_frames: int
    repeated_frames: int
    grid: GridFacts
    variables: tuple[VariableFacts, ...]
    members: int | None
    preview: xr.DataArray | None = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Make a tree of plain values that JSON can hold; a number that is not there is None."""
        held = {name: value for name, value in vars(self).items() if name != "preview"}
        made: dict[str, Any] = plain(held)
        return made


@dataclass(frozen=True)
class Survey:
    """All products that were found, and the files that were left out with their reasons."""

    products: tuple[Facts, ...]
    left_out: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Make a tree of plain values that JSON can hold."""
        return {"products": [entry.as_dict() for entry in self.products], "left_out": dict(self.left_out)}


def plain(value: Any) -> Any:
    """A tree of dicts, lists, texts and numbers of at most 7 digits (those of float32), None for NaN."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
