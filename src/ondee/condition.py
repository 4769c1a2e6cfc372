"""What a retrieval looks at: images of the last hour and what is known beside them, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["AUXILIARY", "Auxiliary", "Batch", "Condition", "Predictors"]


@dataclass(frozen=True)
class Auxiliary:
    """A plane that goes beside the images.

    Parameters
    ----------
    units
        Of the values.
    centre, scale
        Subtracted, then divided by, before a network sees it: fixed numbers, so that no domain has its own.
    words
        What it is.
    """

    units: str
    centre: float
    scale: float
    words: str


AUXILIARY: dict[str, Auxiliary] = {
    "scan_offset": Auxiliary("min", 0.0, 10.0, "time of the newest image after the middle of the radar's interval"),
    "sun_zenith_cosine": Auxiliary("1", 0.0, 1.0, "cosine of the zenith angle of the sun"),
    "satellite_zenith_cosine": Auxiliary("1", 0.6, 0.2, "cosine of the zenith angle of the satellite"),
    "parallax_east": Auxiliary("1", 0.0, 1.0, "displacement of a cloud top to the east, m per m of its height"),
    "parallax_north": Auxiliary("1", 1.0, 1.0, "displacement of a cloud top to the north, m per m of its height"),
    "elevation": Auxiliary("m", 0.0, 1000.0, "height of the ground"),
    "land": Auxiliary("1", 0.5, 0.5, "1 over land, 0 over sea"),
    "day_sine": Auxiliary("1", 0.0, 1.0, "sine of the day of the year"),
    "day_cosine": Auxiliary("1", 0.0, 1.0, "cosine of the day of the year"),
    "hour_sine": Auxiliary("1", 0.0, 1.0, "sine of the local solar hour"),
    "hour_cosine": Auxiliary("1", 0.0, 1.0, "cosine of the local solar hour"),
}
"""Planes that may go beside the images, by name."""


@dataclass(frozen=True)
class Predictors:
    """Names of all that a model looks at; saved with its weights, and compared with what is offered.

    Parameters
    ----------
    channels
        Names of the channels of an image, in order.
    minutes
        How long before the newest image each image was taken, min: 0 first.
    auxiliary
        Names from :data:`AUXILIARY`, in order.
    units
        Of the images: K for brightness temperatures.
    cell
        Height and width of a pixel, km.
    satellite_longitude
        Where the satellite stands, degrees east: when and from where a pixel is seen follows from it.
    """

    channels: tuple[str, ...]
    minutes: tuple[int, ...] = (0, 15, 30, 45)
    auxiliary: tuple[str, ...] = ()
    units: str = "K"
    cell: tuple[float, float] = (4.0, 4.0)
    satellite_longitude: float = 0.0

    @property
    def planes(self) -> int:
        """Planes of the tensor that a network sees: images, which frames and which channels are there, auxiliary."""
        frames, channels = len(self.minutes), len(self.channels)
        return frames * channels + frames + channels + len(self.auxiliary)


@dataclass(frozen=True)
class Condition:
    """Images and auxiliary planes of some moments, in their own units.

    Parameters
    ----------
    images
        ``(B, T, C, H, W)``, NaN where not seen; frames and channels as in :class:`Predictors`.
    auxiliary
        ``(B, A, H, W)``, NaN where not known.
    """

    images: Tensor
    auxiliary: Tensor

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Condition:
        """A window of it."""
        y, x = slice(*rows), slice(*columns)
        return Condition(self.images[..., y, x], self.auxiliary[..., y, x])

    def frames(self, count: int) -> Condition:
        """The newest `count` frames."""
        return replace(self, images=self.images[:, :count])

    def to(self, device: torch.device | str) -> Condition:
        """The same on another device."""
        return Condition(self.images.to(device), self.auxiliary.to(device))

    @property
    def seen(self) -> Tensor:
        """Where any image shows anything, ``(B, H, W)``: elsewhere there is no retrieval."""
        return torch.isfinite(self.images).any(2).any(1)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.images.shape[-2]), int(self.images.shape[-1])

    def __len__(self) -> int:
        return int(self.images.shape[0])


@dataclass(frozen=True)
class Batch:
    """Samples to learn from.

    Parameters
    ----------
    condition
        What is looked at.
    rain
        The radar's rain, ``(B, H, W)`` mm h-1, NaN where not observed.
    weight
        ``(B,)``: undoes the choice of patches, mean about 1.
    keys
        Number of each sample in the training, by which its noise is keyed.
    """

    condition: Condition
    rain: Tensor
    weight: Tensor
    keys: Sequence[int]

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(self.condition.to(device), self.rain.to(device), self.weight.to(device), self.keys)
