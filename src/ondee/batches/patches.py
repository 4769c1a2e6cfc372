"""Patches to learn from: a sample for every number, whoever asks for it and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ondee.batches.scenes import Scenes
from ondee.condition import Batch, Condition
from ondee.errors import ConfigError

__all__ = ["Patch", "Patches", "chance_of", "collate"]

_ROOM = 51
"""Key of this module's random numbers."""
_PLACES, _CHANCES = 0, 1
_SATURATION = 1.0
"""Rain rate in mm h-1 beyond which more of it hardly makes a patch more likely [1]_."""
_GAIN = 2.0
"""Share of a patch's mean saturation that is added to the least chance: one that is half saturated is always taken."""
_TRIED = 512
"""Places that are looked at to find the mean chance."""
_MOST = 100_000
"""Tries after which there is taken to be nothing observed."""


@dataclass(frozen=True)
class Patch:
    """One sample; shapes as in :class:`ondee.condition.Batch`, without the first dimension."""

    images: Tensor
    auxiliary: Tensor
    rain: Tensor
    weight: float
    key: int


@dataclass(frozen=True)
class _Place:
    """Where a patch lies, with its rain and its chance of being taken."""

    moment: int
    rows: slice
    columns: slice
    rain: NDArray[np.float32]
    chance: float


class Patches(Dataset[Patch]):
    """A sample for every number ``k >= 0``, keyed by ``(seed, k)`` alone.

    A moment and a place are drawn evenly and taken with a chance that grows with the rain [1]_; the weight is the
    inverse of the chance, so that weighted means over samples are those over all places. Nothing is learned
    about how often rain falls from how often it is shown.

    Parameters
    ----------
    scenes
        Moments with rain.
    size
        Height and width of a patch, pixels.
    seed
        Of everything drawn.
    flips
        Whether half of the patches are turned upside down, and half left to right; the parallax turns with them.
    frame_dropout
        Chance of each older frame to be missing. The newest is always there: no retrieval is made without it.
    channel_dropout
        Chance of each channel to be missing, in all frames; one is always left.
    least
        Chance of a dry patch to be taken.

    Raises
    ------
    ConfigError
        If the patches are larger than the grid, a chance is none, or there is no rain observed.

    References
    ----------
    .. [1] S. Ravuri et al., Skilful precipitation nowcasting using deep generative models of radar, Nature 597
       (2021), 672-677, methods: importance sampling of the data.
    """

    def __init__(
        self,
        scenes: Scenes,
        size: int,
        *,
        seed: int,
        flips: bool = True,
        frame_dropout: float = 0.1,
        channel_dropout: float = 0.05,
        least: float = 0.2,
    ) -> None:
        ny, nx = scenes.grid.shape
        chances = 0 <= frame_dropout < 1 and 0 <= channel_dropout < 1 and 0 < least <= 1
        if not (0 < size <= min(ny, nx) and chances and seed >= 0):
            raise ConfigError(
                f"size={size}, frame_dropout={frame_dropout}, channel_dropout={channel_dropout}, least={least}, "
                f"seed={seed} make no patches of a grid of {ny} x {nx}",
                where=scenes.store.path,
                fix="give a size within the grid, dropouts in [0, 1), least in (0, 1] and a seed of 0 or more",
            )
        self.scenes, self.size, self.seed, self.flips = scenes, size, seed, flips
        self.frame_dropout, self.channel_dropout, self.least = frame_dropout, channel_dropout, least
        scenes.settle()
        self.mean_chance = self._mean()

    def __getitem__(self, k: int) -> Patch:
        """The sample of a number."""
        draw = np.random.default_rng([self.seed, _ROOM, _PLACES, k])
        place = self._taken(draw)
        predictors = self.scenes.predictors
        shape = (self.size, self.size)
        images = np.empty((len(predictors.minutes), len(predictors.channels), *shape), np.float32)
        auxiliary = np.empty((len(predictors.auxiliary), *shape), np.float32)
        self.scenes.fill(place.moment, place.rows, place.columns, images, auxiliary)
        self._drop(draw, images)
        rain = place.rain
        if self.flips:
            images, auxiliary, rain = self._flipped(draw, images, auxiliary, rain)
        weight = self.mean_chance / place.chance
        return Patch(torch.from_numpy(images), torch.from_numpy(auxiliary), torch.from_numpy(rain), weight, int(k))

    # ---- where

    def _candidate(self, draw: np.random.Generator) -> _Place:
        """An even draw of moment and place; its chance is 0 where no rain was observed, as there is no loss there."""
        ny, nx = self.scenes.grid.shape
        moment = int(draw.integers(len(self.scenes)))
        top, left = int(draw.integers(ny - self.size + 1)), int(draw.integers(nx - self.size + 1))
        rows, columns = slice(top, top + self.size), slice(left, left + self.size)
        rain = np.empty((self.size, self.size), np.float32)
        self.scenes.fill_rain(moment, rows, columns, rain)
        return _Place(moment, rows, columns, rain, chance_of(rain, self.least))

    def _taken(self, draw: np.random.Generator) -> _Place:
        for _ in range(_MOST):
            place = self._candidate(draw)
            if draw.random() < place.chance:
                return place
        return self._refuse()

    def _mean(self) -> float:
        """Mean chance of a place with any radar: what makes the weights 1 on average."""
        draw = np.random.default_rng([self.seed, _ROOM, _CHANCES])
        found = [self._candidate(draw).chance for _ in range(_TRIED)]
        observed = [chance for chance in found if chance > 0]
        if not observed:
            self._refuse()
        return float(np.mean(observed))

    def _refuse(self) -> NoReturn:
        raise ConfigError(
            "the radar observed nothing in any of the patches looked at",
            where=self.scenes.store.path,
            fix="look at the radar's quality and coverage with `ondee look`, and lower what they must be in the build",
        )

    # ---- how it is changed

    def _drop(self, draw: np.random.Generator, images: NDArray[np.float32]) -> None:
        """Take out older frames and whole channels."""
        frames, channels = images.shape[:2]
        gone = draw.random(frames) < np.full(frames, self.frame_dropout)
        gone[0] = False
        images[gone] = np.nan
        dead = draw.random(channels) < np.full(channels, self.channel_dropout)
        dead[draw.integers(channels)] = False
        images[:, dead] = np.nan

    def _flipped(
        self,
        draw: np.random.Generator,
        images: NDArray[np.float32],
        auxiliary: NDArray[np.float32],
        rain: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Upside down and left to right, or not."""
        names = self.scenes.predictors.auxiliary
        for axis, turned in ((-2, "parallax_north"), (-1, "parallax_east")):
            if draw.random() < 0.5:
                images, auxiliary, rain = (np.flip(planes, axis) for planes in (images, auxiliary, rain))
                if turned in names:
                    auxiliary = auxiliary.copy()
                    auxiliary[names.index(turned)] *= -1
        return np.ascontiguousarray(images), np.ascontiguousarray(auxiliary), np.ascontiguousarray(rain)


def chance_of(rain: NDArray[np.float32], least: float, observed: float = 0.0) -> float:
    """Chance of a piece of rain to be learnt from: it grows with the rain [1]_.

    Parameters
    ----------
    rain
        mm h-1, of any shape, NaN where not observed.
    least
        Chance of a dry piece.
    observed
        Share of it that must be observed; with less, or nothing at all, the chance is 0.

    References
    ----------
    .. [1] S. Ravuri et al., as in :class:`Patches`.
    """
    saturated = -np.expm1(-rain / np.float32(_SATURATION))
    there = int(np.count_nonzero(saturated == saturated))
    if not there or there < observed * rain.size:
        return 0.0
    mean = float(np.nansum(saturated, dtype=np.float64)) / there
    return min(1.0, least + _GAIN * (1 - least) * mean)


def collate(patches: Sequence[Patch]) -> Batch:
    """Samples as one batch."""
    condition = Condition(
        torch.stack([patch.images for patch in patches]), torch.stack([patch.auxiliary for patch in patches])
    )
    weight = torch.tensor([patch.weight for patch in patches], dtype=torch.float32)
    rain = torch.stack([patch.rain for patch in patches])
    return Batch(condition, rain, weight, [patch.key for patch in patches])
