"""One input of a build, step by step: read in order of time, masked by quality, averaged, brought onto the grid."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xarray as xr

from ondee.building.inventory import Item, Rejected
from ondee.collocation import mask_by_quality, means, regrid, with_interval
from ondee.config import InputConfig
from ondee.errors import ConfigError, GridError, ReadError, UnitError
from ondee.grid import Grid, Region
from ondee.source import identity, require_same
from ondee.units import to_rate

__all__ = ["Stream"]

_AHEAD = np.timedelta64(60, "m")
"""How far a label may lie from the interval it stands for; an hourly sum is the longest product."""
_UNUSABLE = (ReadError, UnitError, GridError)
"""What is wrong with a file, and not with the configuration: such a file becomes missing steps."""
_COUNTS = (
    "pixels_removed_by_quality",
    "wet_pixels_removed_by_quality",
    "pixels_removed_by_time",
    "cells_removed_by_coverage",
)


@dataclass
class Stream:
    """An input as a source of steps on the store's grid.

    Parameters
    ----------
    settings
        The input's configuration.
    items
        Its granules, in order of time.
    target
        The store's grid; None leaves every field on its own grid.
    minutes
        Length of a step.
    reference
        What all its files must agree on (:func:`ondee.source.identity`); None for what the first one says.
    grid
        The grid of all its files; None for that of the first one.
    """

    settings: InputConfig
    items: Sequence[Item]
    target: Grid | None
    minutes: int
    reference: Mapping[str, str] | None = None
    grid: Grid | None = None
    rejected: list[Rejected] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    used: list[Item] = field(default_factory=list)
    _next: int = 0
    _held: deque[xr.Dataset] = field(default_factory=deque)

    def step(self, start: np.datetime64) -> tuple[xr.Dataset | None, int]:
        """Fields of one step on the grid, and how many frames they come from; None where nothing was observed.

        Parameters
        ----------
        start
            Start of the step; steps are asked for in order.

        Raises
        ------
        ReadError
            If frames overlap in time.
        """
        length = np.timedelta64(self.minutes, "m")
        self._read_until(start + length + _AHEAD)
        while self._held and self._held[0]["time_bounds"].values.max() + _AHEAD <= start:
            self._held.popleft()
        chosen = [part for held in self._held if (part := self._inside(held, start, start + length)) is not None]
        if not chosen:
            return None, 0
        frames = (
            chosen[0]
            if len(chosen) == 1
            else xr.concat(chosen, "time", data_vars="minimal", coords="minimal", compat="override", join="override")
        )
        count = frames.sizes["time"]
        if count > 1 and self.settings.time == "label":
            raise ReadError(
                f"{count} frames bear the label {start.astype('datetime64[m]')}",
                where=", ".join(self.settings.paths),
                fix="keep one file of each time",
            )
        return self._on_grid(self._of_step(frames, start, length)), count

    def sample(self) -> xr.Dataset:
        """Fields of the first step that can be made, with the packing of the files where nothing was averaged.

        Raises
        ------
        ReadError
            If no file of the input can be read.
        """
        for item in self.items:
            try:
                dataset = self._prepared(item)
            except _UNUSABLE as error:
                self.rejected.append(Rejected(str(item.granule.paths[0]), error.what))
                continue
            frame = self._masked(dataset.isel(time=slice(0, 1)))
            made = self._on_grid(frame)
            span = frame["time_bounds"].values[0]
            same = self._unchanged(frame, span[1] - span[0])
            for name in made.data_vars:
                made[name].encoding = dict(dataset[name].encoding) if same and name in dataset else {}
            return made
        reason = self.rejected[0].reason if self.rejected else "there is none"
        raise ReadError(
            f"no file of the input can be read: {reason}",
            where=", ".join(self.settings.paths),
            fix="look at one of the files with `ondee look`",
        )

    # ---- reading

    def _read_until(self, limit: np.datetime64) -> None:
        """Read granules whose first label lies before a time; unreadable ones are noted and left out."""
        while self._next < len(self.items) and self.items[self._next].first < limit:
            item = self.items[self._next]
            self._next += 1
            try:
                dataset = self._prepared(item)
            except _UNUSABLE as error:
                self.rejected += [Rejected(str(path), error.what) for path in item.granule.paths[:1]]
                continue
            self.used.append(item)
            if dataset.sizes["time"]:
                self._held.append(dataset)

    def _prepared(self, item: Item) -> xr.Dataset:
        """One granule: its variables, a rate for an amount, and what each frame stands for."""
        settings = self.settings
        dataset = item.granule.read(self._region)
        own = identity(dataset)
        self.reference = self.reference or own
        require_same(self.reference, own, where=item.granule.paths[0])
        if settings.interval is not None:
            dataset = with_interval(dataset, settings.interval.minutes, settings.interval.label)
        if settings.rate and "rain_amount" in dataset:
            rate = to_rate(dataset["rain_amount"], dataset["time_bounds"])
            dataset = dataset.drop_vars("rain_amount").assign(rain_rate=rate)
        wanted = list(settings.variables) or [str(name) for name in dataset.data_vars if "x" in dataset[name].dims]
        absent = [name for name in wanted if name not in dataset]
        if absent:
            raise ReadError(
                f"there is no {absent[0]} among {', '.join(map(str, dataset.data_vars))}",
                where=item.granule.paths[0],
                fix="name variables that the files hold; `ondee look` lists them",
            )
        if any("member" in dataset[name].dims for name in wanted):
            raise ConfigError(
                f"the input is an ensemble of {dataset.sizes['member']} members; a store holds one field a step",
                where=item.granule.paths[0],
                fix=f"build one member: options: {{member: {dataset['member'].values[0]}}} under the input; "
                "to score an ensemble, keep it as it is",
            )
        needed = [*wanted, "quality"] if settings.quality is not None and "quality" in dataset else wanted
        grid = Grid.of(dataset, where=item.granule.paths[0])
        if self.grid is not None and not self.grid.same_as(grid):
            raise ReadError(
                f"its grid differs from that of the first file: {grid.describe()}",
                where=item.granule.paths[0],
                fix="give files of one grid, or an input for each grid",
            )
        self.grid = self.grid or grid
        return dataset.drop_vars([name for name in dataset.data_vars if name not in needed])

    @cached_property
    def _region(self) -> Region | None:
        """What must be read to cover the grid, and the reach of a footprint around it."""
        if self.target is None or self.target.is_local:
            return None
        return self.target.pad(1 + int(np.ceil(2 * (self.settings.footprint or 0)))).region()

    def _inside(self, held: xr.Dataset, start: np.datetime64, end: np.datetime64) -> xr.Dataset | None:
        """Frames of a granule that belong to a step."""
        if self.settings.time == "label":
            chosen = held["time"].values == start
        else:
            first, last = held["time_bounds"].values.T
            # A snapshot has no length: it belongs to the step in which it lies.
            chosen = (np.maximum(last, first + np.timedelta64(1, "ns")) > start) & (first < end)
        return held.isel(time=np.flatnonzero(chosen)) if chosen.any() else None

    # ---- bringing together

    def _of_step(self, frames: xr.Dataset, start: np.datetime64, length: np.timedelta64) -> xr.Dataset:
        """Frames of a step as one field, quality applied first."""
        settings = self.settings
        masked = self._masked(frames)
        if settings.time == "label":
            return masked
        made = means(masked, [start], length=length, time_coverage=settings.time_coverage)
        self._count(made, ("pixels_removed_by_time",))
        return made

    def _masked(self, frames: xr.Dataset) -> xr.Dataset:
        """Frames without what the quality threshold removes."""
        settings = self.settings
        masked = mask_by_quality(frames, settings.quality, unknown=settings.unknown_quality)
        self._count(masked)
        dropped = settings.quality is not None and "quality" not in settings.variables
        return masked.drop_vars("quality") if dropped else masked

    def _on_grid(self, dataset: xr.Dataset) -> xr.Dataset:
        """Fields on the store's grid; left as they are if they are on it already."""
        settings = self.settings
        if self.target is None:
            return dataset
        block = Grid.of(dataset).block(self.target)
        if block is not None:
            rows, columns = block
            return dataset.isel(y=rows, x=columns).assign_coords(self.target.coordinates())
        made = regrid(
            dataset,
            self.target,
            coverage=settings.coverage,
            footprint=settings.footprint,
            statistics=settings.statistics,
        )
        self._count(made, ("cells_removed_by_coverage",))
        return made

    def _unchanged(self, frame: xr.Dataset, span: np.timedelta64) -> bool:
        """Whether a frame goes into the store as it is."""
        same_grid = self.target is None or Grid.of(frame).block(self.target) is not None
        return same_grid and (self.settings.time == "label" or span == np.timedelta64(self.minutes, "m"))

    def _count(self, dataset: xr.Dataset, names: tuple[str, ...] = _COUNTS[:2]) -> None:
        for array in dataset.data_vars.values():
            for name in names:
                self.removed[name] += int(array.attrs.get(name, 0))
