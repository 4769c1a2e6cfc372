"""The running sums of a survey: granules come one at a time, frames are taken in one at a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.facts.record import Facts, GridFacts, Statistics, VariableFacts
from ondee.grid import Grid
from ondee.source import Granule, identity
from ondee.units import WET

__all__ = ["QUALITY_THRESHOLDS", "WET", "Choice", "Tally", "tally_of"]

QUALITY_THRESHOLDS = (0.2, 0.5, 0.8)
"""Qualities for which the wet share that they would remove is told."""
_MINUTE = np.timedelta64(60_000_000_000, "ns")
_HOUR = np.timedelta64(3_600_000_000_000, "ns")


@dataclass(frozen=True)
class Choice:
    """Which field to keep for drawing."""

    variable: str | None
    time: np.datetime64 | None
    channel: str | None


@dataclass
class _Sums:
    """Mergeable numbers of one variable or channel."""

    pixels: int = 0
    observed: int = 0
    wet: int = 0
    judged: int = 0
    total: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    def add(self, values: NDArray[np.float32], wet: NDArray[np.bool_] | None) -> None:
        """Take in one frame."""
        seen = values[np.isfinite(values)]
        self.pixels += values.size
        self.observed += seen.size
        if seen.size:
            self.total += float(seen.sum(dtype=np.float64))
            self.minimum = min(self.minimum, float(seen.min()))
            self.maximum = max(self.maximum, float(seen.max()))
        if wet is not None:
            self.wet += int(np.count_nonzero(wet))
            self.judged += seen.size

    def finish(self) -> Statistics:
        """Divide."""
        some = self.observed > 0
        return Statistics(
            minimum=self.minimum if some else math.nan,
            maximum=self.maximum if some else math.nan,
            mean=_ratio(self.total, self.observed),
            missing_share=1.0 - _ratio(self.observed, self.pixels),
            wet_fraction=_ratio(self.wet, self.judged) if self.judged else None,
        )


@dataclass
class _Quantity:
    """What is summed up of one variable."""

    name: str
    units: str
    long_name: str
    dims: tuple[str, ...]
    whole: _Sums = field(default_factory=_Sums)
    channels: dict[str, _Sums] = field(default_factory=dict)
    implausible: int = 0
    extreme: float | None = None
    wet: int = 0
    low: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(QUALITY_THRESHOLDS), np.int64))
    unknown: int = 0

    def add_quality(self, wet: NDArray[np.bool_], quality: NDArray[np.float32]) -> None:
        """Count the wet pixels that each threshold would remove."""
        of_wet = quality[wet]
        self.wet += of_wet.size
        self.unknown += int(np.count_nonzero(np.isnan(of_wet)))
        self.low += [int(np.count_nonzero(of_wet < np.float32(threshold))) for threshold in QUALITY_THRESHOLDS]

    def finish(self) -> VariableFacts:
        """Divide."""
        removed = zip(QUALITY_THRESHOLDS, self.low, strict=True)
        return VariableFacts(
            name=self.name,
            units=self.units,
            long_name=self.long_name,
            dims=self.dims,
            statistics=self.whole.finish(),
            channels={name: sums.finish() for name, sums in self.channels.items()},
            implausible_count=self.implausible,
            implausible_extreme=self.extreme,
            removed_by_quality={str(limit): count / self.wet for limit, count in removed} if self.wet else None,
            unknown_quality=self.unknown / self.wet if self.wet else None,
        )


class Tally:
    """What is summed up of one product on one grid."""

    def __init__(self, granule: Granule, dataset: xr.Dataset) -> None:
        self.format = granule.format.name
        self.identity = _identity(granule, dataset)
        self.grid = Grid.of(dataset, where=granule.paths[0])
        self.attributes = dict(dataset.attrs)
        self.members = int(dataset.sizes["member"]) if "member" in dataset.dims else None
        self.label = str(dataset["time"].attrs.get("label", "unknown"))
        self.quantities: dict[str, _Quantity] = {}
        self.files: set[Path] = set()
        self.stamps: list[NDArray[np.datetime64]] = []
        self.interval = 0.0
        self.preview: xr.DataArray | None = None
        self.weight = (-1.0, -1.0)

    @property
    def order(self) -> tuple[str, ...]:
        """Key by which products are listed."""
        return (*self.identity[:-1], *self.identity[-1])

    def add(self, granule: Granule, dataset: xr.Dataset, choice: Choice) -> None:
        """Take in one granule."""
        self.files.update(granule.paths)
        self.stamps.append(dataset["time"].values)
        bounds = dataset["time_bounds"].values
        if bounds.size:
            self.interval = max(self.interval, float(np.median(bounds[:, 1] - bounds[:, 0]) / _MINUTE))
        drawn = _drawn(dataset, choice)
        for name in map(str, dataset.data_vars):
            if {"time", "y", "x"} <= set(dataset[name].dims):
                self._add_variable(name, dataset, drawn == name, choice)

    def _add_variable(self, name: str, dataset: xr.Dataset, drawn: bool, choice: Choice) -> None:
        """Take in one variable, frame by frame."""
        array = dataset[name]
        attributes = array.attrs
        quantity = self.quantities.setdefault(
            name,
            _Quantity(
                name,
                str(attributes.get("units", "")),
                str(attributes.get("long_name", "")),
                tuple(str(dim) for dim in array.dims),
            ),
        )
        quantity.implausible += int(attributes.get("implausible_count", 0))
        extremes = (quantity.extreme, attributes.get("implausible_extreme"))
        quantity.extreme = max((float(value) for value in extremes if value is not None), key=abs, default=None)
        for number in range(dataset.sizes["time"]):
            frame = array.isel(time=number)
            bounds = dataset["time_bounds"].values[number]
            for index, channel, layer in _layers(frame):
                values = np.asarray(layer.values)
                wet = _wet(attributes, values, bounds)
                quantity.whole.add(values, wet)
                if channel is not None:
                    quantity.channels.setdefault(channel, _Sums()).add(values, wet)
                if wet is not None and "quality" in dataset and channel is None:
                    quantity.add_quality(wet, _judged(dataset["quality"], number, index))
            if drawn:
                self._offer(frame, bounds, choice)

    def _offer(self, frame: xr.DataArray, bounds: NDArray[np.datetime64], choice: Choice) -> None:
        """Keep the frame for drawing if it is the one asked for, or rainier or better observed than the one held."""
        if choice.time is not None and frame["time"].values != choice.time:
            return
        if "channel" in frame.dims:
            names = [str(entry) for entry in frame["channel"].values]
            wanted = choice.channel or next((name for name in names if "108" in name), names[0])
            if wanted not in names:
                return
            frame = frame.isel(channel=names.index(wanted))
        if "member" in frame.dims:
            frame = frame.isel(member=0).assign_attrs(members=self.members)
        wet = _wet(frame.attrs, np.asarray(frame.values), bounds)
        seen = float(np.isfinite(frame.values).mean())
        weight = (0.0 if wet is None else float(wet.mean()), seen)
        if weight > self.weight:
            self.weight = weight
            self.preview = frame.copy(deep=True).assign_attrs(
                {name: self.attributes.get(name, "") for name in ("product", "run", "version")}
            )

    def finish(self) -> Facts:
        """Put the facts of the product together."""
        labels = np.concatenate(self.stamps)
        stamps = np.unique(labels)
        step, missing = _rhythm(stamps)
        attributes = self.attributes
        return Facts(
            product=str(attributes.get("product", "")),
            run=attributes.get("run"),
            version=None if attributes.get("version") is None else str(attributes["version"]),
            format=self.format,
            files=len(self.files),
            frames=int(stamps.size),
            first=str(np.datetime_as_string(stamps[0], "s")),
            last=str(np.datetime_as_string(stamps[-1], "s")),
            label=self.label,
            interval=self.interval,
            step=step,
            missing_frames=missing,
            repeated_frames=int(labels.size - stamps.size),
            grid=_grid_facts(self.grid),
            variables=tuple(quantity.finish() for quantity in self.quantities.values()),
            members=self.members,
            preview=self.preview,
        )


def _identity(granule: Granule, dataset: xr.Dataset) -> tuple[Any, ...]:
    """What makes two granules one product."""
    named = tuple(str(dataset.attrs.get(name) or "") for name in ("product", "run", "version"))
    return (*named, granule.format.name, identity(dataset)["members"], tuple(sorted(map(str, dataset.data_vars))))


def tally_of(tallies: list[Tally], granule: Granule, dataset: xr.Dataset) -> Tally:
    """Find the tally of a granule's product and grid, or begin one."""
    wanted, grid = _identity(granule, dataset), Grid.of(dataset, where=granule.paths[0])
    for tally in tallies:
        if tally.identity == wanted and tally.grid.same_as(grid):
            return tally
    tallies.append(Tally(granule, dataset))
    return tallies[-1]


def _drawn(dataset: xr.Dataset, choice: Choice) -> str | None:
    """Name of the variable to draw."""
    names = [str(name) for name, array in dataset.data_vars.items() if {"time", "y", "x"} <= set(array.dims)]
    if choice.variable is not None:
        return choice.variable if choice.variable in names else None
    return next((name for name in names if _is_rain(dataset[name].attrs)), names[0] if names else None)


def _layers(frame: xr.DataArray) -> Iterator[tuple[int, str | None, xr.DataArray]]:
    """The channels of a frame with their names, its members, or the frame itself; each with its number."""
    if "member" in frame.dims:
        yield from ((number, None, frame.isel(member=number)) for number in range(frame.sizes["member"]))
    elif "channel" in frame.dims:
        names = frame["channel"].values
        yield from ((number, str(name), frame.isel(channel=number)) for number, name in enumerate(names))
    else:
        yield 0, None, frame


def _judged(quality: xr.DataArray, frame: int, member: int) -> NDArray[np.float32]:
    """The quality of one field: each member's own where it has one."""
    chosen = quality.isel(time=frame)
    return np.asarray((chosen.isel(member=member) if "member" in chosen.dims else chosen).values)


def _is_amount(attributes: Mapping[str, Any]) -> bool:
    """Whether a variable is a rain amount over its interval."""
    return str(attributes.get("standard_name", "")).startswith("lwe_thickness_of_precipitation")


def _is_rain(attributes: Mapping[str, Any]) -> bool:
    """Whether a variable is a rain rate or an amount; its error, or its largest value in a cell, is not."""
    rate = attributes.get("units") == "mm h-1" and str(attributes.get("long_name", "")).startswith("rain rate")
    return rate or _is_amount(attributes)


def _wet(
    attributes: Mapping[str, Any], values: NDArray[np.float32], bounds: NDArray[np.datetime64]
) -> NDArray[np.bool_] | None:
    """Which pixels are wet; None where the variable is not rain, or an amount that has no interval."""
    if not _is_rain(attributes):
        return None
    threshold = WET
    if _is_amount(attributes):
        hours = float((bounds[1] - bounds[0]) / _HOUR)
        if hours <= 0:
            return None
        threshold = WET * hours
    with np.errstate(invalid="ignore"):
        return np.asarray(values >= np.float32(threshold))


def _rhythm(stamps: NDArray[np.datetime64]) -> tuple[float | None, int]:
    """Most common step of sorted times in minutes, and how many times of that step are absent."""
    gaps = np.diff(stamps)
    if not gaps.size:
        return None, 0
    lengths, counts = np.unique(gaps, return_counts=True)
    step = lengths[np.argmax(counts)]
    absent = np.maximum(np.rint(gaps / step) - 1, 0).sum()
    return float(step / _MINUTE), int(absent)


def _grid_facts(grid: Grid) -> GridFacts:
    """The facts of a grid."""
    return GridFacts(
        description=grid.describe(),
        crs=_short(grid),
        shape=grid.shape,
        cell=(grid.dy, grid.dx),
        west=grid.west,
        north=grid.north,
        unit=grid.unit,
        region=None if grid.is_local else grid.region(),
    )


def _short(grid: Grid) -> str:
    """Name of the CRS, or the parameters of its projection."""
    if grid.is_geographic or grid.is_local:
        return str(grid.projection.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a PROJ text is a name here; nothing is computed from it
        known = grid.projection.to_dict()
    parameters = {name: value for name, value in known.items() if name not in ("type", "no_defs")}
    return " ".join(f"+{name}={value}" for name, value in parameters.items())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
