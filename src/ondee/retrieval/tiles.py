"""Carry out the stages of a retriever tile by tile, so that memory follows the tile and not the domain.

Each stage is finished on the whole domain before the next begins. A tile sees the states of the stage before in a
window that is :attr:`~ondee.retriever.protocol.Retriever.reach` wider on every side, and keeps its middle: what comes
out is what one piece would have given, to the rounding of sums.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ondee.condition import Condition
from ondee.errors import StoreError
from ondee.generative.noise import Noise
from ondee.retriever.protocol import Retriever, Sampling, Stage

__all__ = ["Drawn", "Span", "Tile", "Work", "draw", "evaluation_seconds", "tiles"]

Span = tuple[int, int]
"""First row or column, and one past the last."""
Read = Callable[[Span, Span], Condition]
"""Rows and columns to the condition of all moments of a batch there."""

ON_DISK = 256 * 2**20
"""Bytes from which a field of the whole domain is kept in a temporary file and not in memory."""


@dataclass(frozen=True)
class Tile:
    """A part of the domain.

    Parameters
    ----------
    rows, columns
        What the tile gives.
    seen_rows, seen_columns
        What it must see for that.
    """

    rows: Span
    columns: Span
    seen_rows: Span
    seen_columns: Span

    @property
    def seen(self) -> tuple[slice, slice]:
        """The window that is seen."""
        return slice(*self.seen_rows), slice(*self.seen_columns)

    @property
    def given(self) -> tuple[slice, slice]:
        """The window that is given."""
        return slice(*self.rows), slice(*self.columns)

    @property
    def middle(self) -> tuple[slice, slice]:
        """What is given, counted from the corner of what is seen."""
        (top, bottom), (left, right) = self.rows, self.columns
        y, x = self.seen_rows[0], self.seen_columns[0]
        return slice(top - y, bottom - y), slice(left - x, right - x)


@dataclass(frozen=True)
class Work:
    """How the work is cut; it changes nothing of what comes out but the rounding of sums.

    Parameters
    ----------
    tile
        Most rows and columns that a tile gives.
    members
        Most members that are carried together.
    halo
        Pixels seen around a tile; the reach of the retriever where None.
    """

    tile: int = 256
    members: int = 4
    halo: int | None = None


@dataclass(frozen=True)
class Drawn:
    """What was drawn for a batch of moments.

    Parameters
    ----------
    rain
        ``(B, M, H, W)`` mm h-1, NaN where no image shows anything; M is 1 where members do not differ.
    frames
        ``(B, T)``: whether anything was seen in each image.
    """

    rain: NDArray[np.float32]
    frames: NDArray[np.bool_]


def tiles(shape: tuple[int, int], tile: int, halo: int, multiple: int) -> list[Tile]:
    """Cut a domain into tiles of about the same size, west to east and north to south.

    Parameters
    ----------
    shape
        Rows and columns, multiples of `multiple`.
    tile
        Most rows and columns of a tile, but never fewer than `multiple`.
    halo
        Pixels seen around a tile, as far as the domain goes.
    multiple
        Of which all corners are multiples.

    Examples
    --------
    >>> [(tile.rows, tile.seen_rows) for tile in tiles((40, 8), 24, 8, 8)]
    [((0, 24), (0, 32)), ((24, 40), (16, 40))]
    """
    around = -(-halo // multiple) * multiple
    return [
        Tile(rows, columns, _wider(rows, around, shape[0]), _wider(columns, around, shape[1]))
        for rows, columns in itertools.product(*(_spans(size, tile, multiple) for size in shape))
    ]


def _spans(size: int, tile: int, multiple: int) -> list[Span]:
    parts = -(-size // max(multiple, tile // multiple * multiple))
    length = -(-size // (parts * multiple)) * multiple
    return [(start, min(start + length, size)) for start in range(0, size, length)]


def _wider(span: Span, around: int, size: int) -> Span:
    return max(0, span[0] - around), min(size, span[1] + around)


@torch.inference_mode()
def draw(
    retriever: Retriever,
    read: Read,
    shape: tuple[int, int],
    noise: Noise,
    sampling: Sampling | None = None,
    work: Work = Work(),
) -> Drawn:
    """Draw members of a batch of moments, tile by tile.

    Parameters
    ----------
    retriever
        The model, in evaluation mode.
    read
        Gives the condition of all moments in a window of the domain; each pixel is asked for once.
    shape
        Rows and columns of the domain.
    noise
        Its keys are the moments, its members the members; its window and device are set here.
    sampling
        How members are drawn; as fitted if None.
    work
        How the work is cut.

    Returns
    -------
    Drawn
        The same as :meth:`ondee.retriever.Retriever.sample` to 1e-5, whatever `work` says.
    """
    multiple = retriever.multiple
    padded = (-(-shape[0] // multiple) * multiple, -(-shape[1] // multiple) * multiple)
    halo = retriever.reach if work.halo is None else work.halo
    cut = tiles(padded, work.tile, halo, multiple)
    images, auxiliary = _condition(read, shape, padded, cut)
    noise = replace(noise, device=_device(retriever))
    states: dict[str, NDArray[np.float32]] = {}
    with _exact(noise.device):
        for stage in retriever.stages(sampling or retriever.sampling):
            states |= _staged(stage, cut, (images, auxiliary), states, noise, work.members)
    rain = states["rain"][..., : shape[0], : shape[1]]
    images = images[..., : shape[0], : shape[1]]
    frames = np.zeros(images.shape[:2], np.bool_)
    for number, moment in enumerate(images):
        seen = _seen(moment)
        frames[number] = seen.any((1, 2))
        rain[number][:, ~seen.any(0)] = np.nan
    return Drawn(rain, frames)


def _seen(images: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pixels each frame ``(T, C, H, W)`` shows in any channel, ``(T, H, W)``."""
    found = np.zeros((images.shape[0], *images.shape[2:]), np.bool_)
    for channel in range(images.shape[1]):
        found |= np.isfinite(images[:, channel])
    return found


def _condition(
    read: Read, shape: tuple[int, int], padded: tuple[int, int], cut: Sequence[Tile]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images and auxiliary planes of the padded domain, read tile by tile, NaN outside the domain."""
    held: tuple[NDArray[np.float32], ...] = ()
    for tile in cut:
        rows, columns = (
            (span[0], min(span[1], size)) for span, size in zip((tile.rows, tile.columns), shape, strict=True)
        )
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            continue
        found = read(rows, columns)
        parts = [part.detach().cpu().numpy() for part in (found.images, found.auxiliary)]
        held = held or tuple(_empty((*part.shape[:-2], *padded), np.nan) for part in parts)
        for whole, part in zip(held, parts, strict=True):
            whole[..., slice(*rows), slice(*columns)] = part
    return held[0], held[1]


def _staged(
    stage: Stage,
    cut: Sequence[Tile],
    condition: tuple[NDArray[np.float32], NDArray[np.float32]],
    states: Mapping[str, NDArray[np.float32]],
    noise: Noise,
    group: int,
) -> dict[str, NDArray[np.float32]]:
    """Fields that one stage makes, on the whole domain; those it reads stay as they are until it is done."""
    members = (0,) if stage.shared else tuple(noise.members)
    made: dict[str, NDArray[np.float32]] = {}
    for tile in cut:
        seen = Condition(*(_tensor(part[(..., *tile.seen)], noise.device) for part in condition))
        for some in _groups(len(members), group):
            entering = {
                name: _tensor(_of(field, some)[(..., *tile.seen)], noise.device) for name, field in states.items()
            }
            own = noise.window(tile.seen_rows, tile.seen_columns).of(members[some])
            for name, field in stage.work(seen, entering, own).items():
                if name not in made:
                    made[name] = _empty((field.shape[0], len(members), *condition[0].shape[-2:]))
                made[name][:, some, *tile.given] = field[(..., *tile.middle)].cpu().numpy()
    return made


def _groups(count: int, most: int) -> Iterator[slice]:
    for first in range(0, count, most):
        yield slice(first, min(first + most, count))


def _of(field: NDArray[np.float32], members: slice) -> NDArray[np.float32]:
    """Members of a field; one that all share has a single one."""
    return field if field.shape[1] == 1 else field[:, members]


def _tensor(values: NDArray[np.float32], device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _empty(shape: tuple[int, ...], value: float = 0.0) -> NDArray[np.float32]:
    """A field of the whole domain; a large one lies in a file without a name, which is gone with it.

    Raises
    ------
    StoreError
        If there is no space for that file.
    """
    size = 4 * math.prod(shape)
    if size < ON_DISK:
        return np.full(shape, value, np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a disk that fills up later would end the process
            made: NDArray[np.float32] = np.memmap(file, np.float32, mode="w+", shape=shape)
    except OSError as error:
        raise StoreError(
            f"a field of {size / 2**30:.1f} GiB cannot be kept there: {error.strerror or error}",
            where=tempfile.gettempdir(),
            fix="make space, set TMPDIR to a folder with more, or ask for fewer --members",
        ) from error
    for part in made:
        part[...] = value
    return made


def _device(retriever: Retriever) -> torch.device:
    return next(itertools.chain(retriever.parameters(), retriever.buffers())).device


@contextmanager
def _exact(device: torch.device | str) -> Iterator[None]:
    """Keep all digits of float32 in the convolutions of a GPU, which would else round to ten bits."""
    if torch.device(device).type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@torch.inference_mode()
def evaluation_seconds(
    retriever: Retriever,
    read: Read,
    shape: tuple[int, int],
    noise: Noise,
    sampling: Sampling | None = None,
    work: Work = Work(),
) -> float:
    """Estimate the seconds that :func:`draw` needs: the first stages are carried out on the first tile, once.

    Parameters
    ----------
    retriever, read, shape, noise, sampling, work
        As of :func:`draw`.
    """
    multiple = retriever.multiple
    padded = (-(-shape[0] // multiple) * multiple, -(-shape[1] // multiple) * multiple)
    cut = tiles(padded, work.tile, retriever.reach if work.halo is None else work.halo, multiple)
    first = replace(cut[0], rows=cut[0].seen_rows, columns=cut[0].seen_columns)
    condition = _condition(read, shape, (first.rows[1], first.columns[1]), [first])
    noise = replace(noise, device=_device(retriever))
    members = tuple(noise.members)
    groups = len(list(_groups(len(members), work.members)))
    states: dict[str, Any] = {}
    total = 0.0
    timed: list[float] = []
    with _exact(noise.device):
        for stage in retriever.stages(sampling or retriever.sampling):
            if not stage.shared and len(timed) >= _TIMED:
                total += max(timed) * groups
                continue
            own = noise if stage.shared else noise.of(members[: work.members])
            begin = time.perf_counter()
            states |= _staged(stage, [first], condition, states, own, work.members)
            seconds = time.perf_counter() - begin
            timed += [] if stage.shared else [seconds]
            total += seconds if stage.shared else seconds * groups
    return total * len(cut)


_TIMED = 4
"""Stages of members that are timed; a sampler repeats itself."""
