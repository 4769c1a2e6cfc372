"""What rain is retrieved from: the moments of a store, or images in files, window by window."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ondee.batches import Scenes, predictors_of
from ondee.batches.offered import IMAGES, cell_of, require_satellite
from ondee.batches.surroundings import Surroundings
from ondee.condition import AUXILIARY, Condition, Predictors
from ondee.errors import ConfigError, GridError, ReadError, StoreError
from ondee.grid import Grid
from ondee.retriever.protocol import Retriever
from ondee.run import require
from ondee.source import Granule, granules, identify
from ondee.store import Store
from ondee.units import require as in_units

__all__ = ["FileScenes", "Images", "StoredScenes", "scenes_of"]

_QUANTITY = "brightness_temperature"
_USUAL_STEP = 15
"""Minutes between images of a full disk, where a model looks at one image and does not tell."""
_FRAMES = 4
"""Frames of a long file that are read together."""
_HELD = 256 * 2**20
"""Bytes of frames that are kept for the moments that follow."""

Indices = Sequence[int] | NDArray[np.int64]


class Images(Protocol):
    """Moments whose newest image is there."""

    grid: Grid
    times: NDArray[np.datetime64]
    """Start of the slot of each moment's newest image, ``(n,)`` UTC."""
    step: int
    """Minutes that the rain of a moment stands for, from its label on; the distance of moments as well."""
    product: str
    """What the images are, in words."""
    stamp: str
    """Hash of what the values depend on beside the moments."""

    def condition(self, indices: Indices, rows: tuple[int, int], columns: tuple[int, int]) -> Condition:
        """Images and auxiliary planes of some moments in a window, NaN where missing."""
        ...


def scenes_of(path: str | Path, retriever: Retriever, *, split: str | None = None) -> Images:
    """Open what rain is to be retrieved from.

    Parameters
    ----------
    path
        A store, or a file or folder of images.
    retriever
        Who looks at them.
    split
        Split of a store; all its moments where None.

    Raises
    ------
    ConfigError
        If the model was not made for such images, or a split is asked of files.
    ReadError
        If nothing is there, or it cannot be read.
    """
    place = Path(path)
    kind = identify(place) if place.is_file() or (place / "zarr.json").exists() else None
    if kind is not None and kind.name == "stored":
        return StoredScenes(Store(place), retriever, split)
    if split is not None:
        raise ConfigError(
            f"the split {split!r} is asked of files, which have none",
            where=path,
            fix="leave --split out, or give a store made with `ondee build`; --start and --end choose times of files",
        )
    return FileScenes(place, retriever)


class StoredScenes:
    """Moments of a store.

    Parameters
    ----------
    store
        A store with images.
    retriever
        Who looks at them.
    split
        Name of a split; None for all.
    """

    def __init__(self, store: Store, retriever: Retriever, split: str | None = None) -> None:
        name = _images_of(store)
        needed = retriever.predictors
        offered = predictors_of(
            store,
            minutes=needed.minutes,
            auxiliary=needed.auxiliary,
            images=name,
            satellite_longitude=needed.satellite_longitude,
        )
        require(retriever, offered, where=store.path)
        self._scenes = Scenes(store, needed, images=name, rain=None, split=split, held=False)
        self.grid, self.times = self._scenes.grid, self._scenes.times
        self.step = int(store.about["step_minutes"])
        described = next(entry for entry in store.about["variables"] if entry["name"] == name)
        self.product = str(described["attributes"].get("product", name))
        self.stamp = _hashed([store.about, store.summary, name])

    def condition(self, indices: Indices, rows: tuple[int, int], columns: tuple[int, int]) -> Condition:
        """Images and auxiliary planes of some moments in a window, NaN where missing."""
        return self._scenes.condition(indices, rows, columns)


def _images_of(store: Store) -> str:
    """Name of the variable with the images: the usual one, or the only one."""
    names = [str(entry["name"]) for entry in store.about["variables"]]
    found = [name for name in names if name.endswith(_QUANTITY)]
    if IMAGES in found or len(found) == 1:
        return IMAGES if IMAGES in found else found[0]
    raise StoreError(
        f"the store has {len(found)} variables of brightness temperatures: {', '.join(found) or 'none'}",
        where=store.path,
        fix=f"build a store with one input of images, named so that its variable is {IMAGES}",
    )


class FileScenes:
    """Images in files that :func:`ondee.open` reads, all on one grid.

    Parameters
    ----------
    path
        A file or a folder.
    retriever
        Who looks at them. How far its frames are apart tells how long an interval the rain of a moment stands for.

    Raises
    ------
    ReadError
        If a file cannot be read, or a time comes twice.
    ConfigError
        If the model was not made for such images.
    """

    def __init__(self, path: Path, retriever: Retriever) -> None:
        self.path, self._needed = path, retriever.predictors
        found = granules(path)
        self._pieces = [piece for granule in found for piece in granule.pieces(_FRAMES)]
        self._place = self._located()
        self.times = np.array(sorted(self._place), "datetime64[ns]")
        head = self._pieces[0].read()
        if _QUANTITY not in head:
            raise ReadError(
                f"there are no images among {', '.join(map(str, head.data_vars))}",
                where=self._pieces[0].paths[0],
                fix="give files of brightness temperatures; `ondee look` lists what files hold",
            )
        self.grid = Grid.of(head, where=self._pieces[0].paths[0])
        self.grid.require_located(self._pieces[0].paths[0])
        minutes = self._needed.minutes
        self.step = minutes[1] - minutes[0] if len(minutes) > 1 else _USUAL_STEP
        self.product = str(head.attrs.get("product", "images"))
        known = tuple(name for name in AUXILIARY if name not in ("elevation", "land"))
        units = str(head[_QUANTITY].attrs.get("units"))
        require(retriever, Predictors(_channels(head), minutes, known, units, cell_of(self.grid)), where=path)
        longitude = self._needed.satellite_longitude
        require_satellite(longitude, self.grid, path)
        self._surroundings = Surroundings(self.grid, self._needed.auxiliary, longitude, self.step, {})
        self._clock = self._surroundings.clock(self.times)
        files = sorted({file for piece in self._pieces for file in piece.paths})
        self.stamp = _hashed([[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files])
        self._held: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def condition(self, indices: Indices, rows: tuple[int, int], columns: tuple[int, int]) -> Condition:
        """Images and auxiliary planes of some moments in a window, NaN where missing."""
        y, x = slice(*rows), slice(*columns)
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        needed = self._needed
        images = np.full((len(indices), len(needed.minutes), len(needed.channels), *shape), np.nan, np.float32)
        auxiliary = np.empty((len(indices), len(needed.auxiliary), *shape), np.float32)
        for place, index in enumerate(indices):
            for frame, age in enumerate(needed.minutes):
                held = self._frame(self.times[index] - np.timedelta64(age, "m"))
                if held is not None:
                    images[place, frame] = held[:, y, x]
            self._surroundings.fill(auxiliary[place], self._clock[index], y, x)
        return Condition(torch.from_numpy(images), torch.from_numpy(auxiliary))

    def _located(self) -> dict[np.datetime64, tuple[int, int]]:
        """Piece and place in it of the image of each time."""
        made: dict[np.datetime64, tuple[int, int]] = {}
        for number, piece in enumerate(self._pieces):
            for place, stamp in enumerate(piece.times):
                if stamp in made:
                    raise ReadError(
                        f"the time {np.datetime_as_string(stamp, 's')} comes twice",
                        where=f"{self._pieces[made[stamp][0]].paths[0]} and {piece.paths[0]}",
                        fix="keep one of the two files",
                    )
                made[stamp] = number, place
        return made

    def _frame(self, time: np.datetime64) -> NDArray[np.float32] | None:
        """The image of a time, ``(C, H, W)``; None if there is none."""
        if time not in self._place:
            return None
        number, place = self._place[time]
        if number not in self._held:
            self._held[number] = self._read(self._pieces[number])
            size = sum(entry.nbytes for entry in self._held.values())
            while size > _HELD and len(self._held) > 1:
                size -= self._held.popitem(last=False)[1].nbytes
        self._held.move_to_end(number)
        found: NDArray[np.float32] = self._held[number][place]
        return found

    def _read(self, piece: Granule) -> NDArray[np.float32]:
        """Images of a piece ``(n, C, H, W)`` with the channels that are looked at; NaN for one that it lacks."""
        where = piece.paths[0]
        dataset = piece.read()
        if _QUANTITY not in dataset:
            raise ReadError("there are no images", where=where, fix="give files of brightness temperatures alone")
        if not self.grid.same_as(Grid.of(dataset, where=where)):
            raise GridError(
                f"the grid changes: {self.grid.describe()}, then {Grid.of(dataset).describe()}",
                where=where,
                fix="give files of one grid, or build them into a store",
            )
        values = in_units(dataset[_QUANTITY], _QUANTITY, where=where).values
        layers = values if values.ndim == 4 else values[:, None]
        names = _channels(dataset)
        shape = (layers.shape[0], len(self._needed.channels), *layers.shape[-2:])
        made = np.full(shape, np.nan, np.float32)
        for place, name in enumerate(self._needed.channels):
            if name in names:
                made[:, place] = layers[:, names.index(name)]
        return made


def _channels(dataset: Any) -> tuple[str, ...]:
    """Names of the channels of images; images without any are one channel."""
    return tuple(map(str, dataset["channel"].values)) if "channel" in dataset[_QUANTITY].dims else (_QUANTITY,)


def _hashed(entries: Any) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True, default=str).encode()).hexdigest()
