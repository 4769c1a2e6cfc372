"""Moments of a store as tensors: images of the last hour, what is known beside them, and the radar's rain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from ondee.batches.offered import (
    IMAGES,
    RAIN,
    frames_of,
    grid_of,
    ground_of,
    require_minutes,
    require_rain,
    require_same,
    require_satellite,
    variable_of,
)
from ondee.batches.planes import StoredPlanes, free_memory
from ondee.batches.surroundings import Surroundings
from ondee.condition import Batch, Condition, Predictors
from ondee.errors import ConfigError, StoreError
from ondee.grid import Grid
from ondee.store import Store

__all__ = ["Scenes"]

_SHARE = 4
"""One part in so many of the free memory may be taken."""


class Scenes:
    """The moments of a store that have an image, and rain if it is wanted.

    Parameters
    ----------
    store
        A store.
    predictors
        What is looked at.
    images
        Variable of the images.
    rain
        Variable of the radar; None to look at images alone.
    split
        Name of a split; None for all moments.
    held
        Whether to keep all in memory; None to do so if it takes at most a quarter of what is free.

    Attributes
    ----------
    times
        Start of the slot of each moment, UTC.
    grid
        The store's.

    Raises
    ------
    StoreError
        If there is no such moment.
    ConfigError, UnitError
        If the store does not hold what is looked at.
    """

    def __init__(
        self,
        store: Store,
        predictors: Predictors,
        *,
        images: str = IMAGES,
        rain: str | None = RAIN,
        split: str | None = None,
        held: bool | None = None,
    ) -> None:
        offered = variable_of(store, images)
        require_same(predictors, offered, store)
        self.store, self.predictors = store, predictors
        self.grid: Grid = grid_of(store)
        require_satellite(predictors.satellite_longitude, self.grid, store.path)
        step = int(store.about["step_minutes"])
        require_minutes(predictors.minutes, step, store)
        stamps = np.asarray(store.root["time"][:]).astype("datetime64[s]").astype("datetime64[ns]")  # type: ignore[index]
        usable = self._usable(store, images, rain, split)
        self.times: NDArray[np.datetime64] = stamps[usable]
        self._keys = self.times.astype("datetime64[m]").astype(np.int64)
        there = frames_of(store, images) > 0
        self._frames = _earlier(stamps, usable, predictors.minutes, there)
        known = tuple(offered["channels"])
        channels = [known.index(name) for name in predictors.channels] if known else None
        self._images = StoredPlanes(store.path, images, channels, self._frames[self._frames >= 0])
        self._at = usable
        if rain is not None:
            require_rain(variable_of(store, rain), store)
        self._rain = None if rain is None else StoredPlanes(store.path, rain, None, usable)
        given = ground_of(store, predictors.auxiliary)
        self._surroundings = Surroundings(self.grid, predictors.auxiliary, predictors.satellite_longitude, step, given)
        self._clock = self._surroundings.clock(self.times)
        self._wanted = held
        self._settled = False

    def __len__(self) -> int:
        return int(self.times.size)

    @property
    def has_rain(self) -> bool:
        """Whether it holds the radar's rain."""
        return self._rain is not None

    @property
    def size(self) -> int:
        """Bytes that all of it takes in memory."""
        return self._images.size + (0 if self._rain is None else self._rain.size)

    @property
    def held(self) -> bool:
        """Whether all of it is in memory."""
        self.settle()
        return self._images.held

    def condition(
        self,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
    ) -> Condition:
        """Images and auxiliary planes of some moments, on the whole grid or a window of it.

        Parameters
        ----------
        indices
            Of :attr:`times`.
        rows, columns
            First, and one past the last.

        Raises
        ------
        ConfigError
            If there is no such moment or window.
        """
        window = self._window(rows, columns)
        shape = tuple(len(range(*part.indices(size))) for part, size in zip(window, self.grid.shape, strict=True))
        count = len(indices)
        minutes, channels, names = (
            len(part) for part in (self.predictors.minutes, self.predictors.channels, self.predictors.auxiliary)
        )
        images = np.empty((count, minutes, channels, *shape), np.float32)
        auxiliary = np.empty((count, names, *shape), np.float32)
        for place, index in enumerate(indices):
            if not 0 <= index < len(self):
                raise ConfigError(
                    f"there is no moment {index}", where=self.store.path, fix=f"give indices from 0 to {len(self) - 1}"
                )
            self.fill(int(index), *window, images[place], auxiliary[place])
        return Condition(torch.from_numpy(images), torch.from_numpy(auxiliary))

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
    ) -> Batch:
        """The same with the radar's rain; keys are minutes since 1970, weights 1.

        Raises
        ------
        ConfigError
            If the scenes were opened without rain, or there is no such moment or window.
        """
        condition = self.condition(indices, rows, columns)
        rain = np.empty((len(indices), *condition.shape), np.float32)
        for place, index in enumerate(indices):
            self.fill_rain(int(index), *self._window(rows, columns), rain[place])
        keys = [int(self._keys[index]) for index in indices]
        return Batch(condition, torch.from_numpy(rain), torch.ones(len(indices)), keys)

    # ---- one window of one moment

    def newest(self, index: int, channel: str = "IR_108") -> xr.DataArray:
        """The newest image of one channel: brightness temperature in K, or a likelihood in %.

        Parameters
        ----------
        index
            Of :attr:`times`.
        channel
            Its name; the first one if there is none of that name.

        Returns
        -------
        xarray.DataArray
            ``(y, x)``, NaN where missing.
        """
        seen = self.predictors
        place = seen.channels.index(channel) if channel in seen.channels else 0
        values = self.condition([index]).images[0, 0, place].numpy()
        name = "brightness_temperature" if seen.units == "K" else "precipitation_likelihood"
        return xr.DataArray(values, dims=("y", "x"), name=name, attrs={"units": seen.units})

    def fill(
        self, index: int, rows: slice, columns: slice, images: NDArray[np.float32], auxiliary: NDArray[np.float32]
    ) -> None:
        """Write the images ``(T, C, rows, columns)`` and planes ``(A, rows, columns)`` of a moment."""
        self.settle()
        self._images.read(self._frames[index], rows, columns, images)
        self._surroundings.fill(auxiliary, self._clock[index], rows, columns)

    def fill_rain(self, index: int, rows: slice, columns: slice, rain: NDArray[np.float32]) -> None:
        """Write the rain ``(rows, columns)`` of a moment.

        Raises
        ------
        ConfigError
            If the scenes were opened without rain.
        """
        self.settle()
        if self._rain is None:
            raise ConfigError(
                "these scenes have no rain", where=self.store.path, fix="open them with rain='radar_rain_rate'"
            )
        self._rain.read(self._at[index : index + 1], rows, columns, rain[None, None])

    # ---- behind it

    def _usable(self, store: Store, images: str, rain: str | None, split: str | None) -> NDArray[np.int64]:
        """Indices of the store's times that have what is needed."""
        usable = np.asarray(store.root["written"][:]) == 1  # type: ignore[index]
        usable &= frames_of(store, images) > 0
        if rain is not None:
            usable &= frames_of(store, rain) > 0
        if split is not None:
            chosen = np.zeros(usable.size, bool)
            chosen[store.split(split)] = True
            usable &= chosen
        found = np.flatnonzero(usable)
        if not found.size:
            raise StoreError(
                f"no moment has {images}" + ("" if rain is None else f" and {rain}"),
                where=f"{store.path}, split {split or 'any'}",
                fix="see with `ondee look` which times the store holds, and give days that have both",
            )
        return found

    def _window(self, rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> tuple[slice, slice]:
        y, x = slice(*(rows or (0, self.grid.ny))), slice(*(columns or (0, self.grid.nx)))
        if not (0 <= y.start < y.stop <= self.grid.ny and 0 <= x.start < x.stop <= self.grid.nx):
            raise ConfigError(
                f"rows {rows} and columns {columns} are no window of {self.grid.shape}",
                where=self.store.path,
                fix="give first and one past the last row and column within the grid",
            )
        return y, x

    def settle(self) -> None:
        """Decide, once in each process, whether all is held, and read it if so.

        Done before workers are forked, they share what is held.
        """
        if self._settled:
            return
        self._settled = True
        if self._wanted or (self._wanted is None and self.size * _SHARE <= free_memory()):
            self._images.hold()
            if self._rain is not None:
                self._rain.hold()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_settled": False}


def _earlier(
    stamps: NDArray[np.datetime64], usable: NDArray[np.int64], minutes: Sequence[int], there: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Index of the time of each frame of each moment, ``(n, T)``; -1 where there is none."""
    ages = np.asarray(minutes, np.int64).astype("timedelta64[m]")
    wanted = stamps[usable][:, None] - ages[None, :]
    place = np.searchsorted(stamps, wanted).clip(max=stamps.size - 1)
    found: NDArray[np.int64] = np.where((stamps[place] == wanted) & there[place], place, -1)
    return found
