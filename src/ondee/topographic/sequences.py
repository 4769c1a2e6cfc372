"""Sequences in which one factor of an image goes through its values, made on the batch.

A sequence is drawn by its number: the same seed and number give the same sequence in any batch, on any device.

References
----------
T. A. Keller and M. Welling, arXiv 2109.01394, appendix (digits that turn, grow or change colour; sprites that move).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ondee.errors import ConfigError
from ondee.generative.noise import drawn_integers
from ondee.topographic.sprites import SHAPES, draw_sprites

__all__ = ["Digits", "Drawn", "Factors", "Sprites", "coloured", "split_of", "turned"]

ANGLES = tuple(range(0, 360, 20))
"""Degrees by which a digit turns."""
SCALES = (0.60, 0.64, 0.68, 0.72, 0.76, 0.79, 0.83, 0.87, 0.91, 0.95, 0.99, 1.03, 1.07, 1.11, 1.14, 1.18, 1.22, 1.26)
"""Sizes of a digit; after the largest it is small again at once."""
HUES = tuple(angle - 180 for angle in ANGLES)
"""Hues of a digit, degrees."""
SPLITS = ("train", "validation", "test")
_HELD_OUT = 10
"""One in so many orbits of sprites is kept for the validation, and one for the test."""


@dataclass(frozen=True)
class Drawn:
    """Sequences and what happens in them.

    Parameters
    ----------
    frames
        ``(B, S, channels, H, W)``, grey values in [0, 1], or rain in mm h-1.
    factor
        Number of the factor that moves, ``(B,)``.
    value
        Its value at the first frame, ``(B,)``.
    weight
        How much each sequence counts, ``(B,)``; all alike where None.
    """

    frames: Tensor
    factor: NDArray[np.int64]
    value: NDArray[np.int64]
    weight: Tensor | None = None


class Factors(ABC):
    """Images whose factors go through their values.

    Attributes
    ----------
    factors
        Number of values of each factor that moves, by its name.
    frames
        Frames of a sequence.
    shape
        Channels, height and width of a frame.
    """

    factors: Mapping[str, int]
    frames: int
    shape: tuple[int, int, int]

    @abstractmethod
    def values(self, number: int, factor: int | None) -> tuple[int, dict[str, NDArray[np.int64]]]:
        """Factor that moves (as asked for, or drawn) and the value of everything at each frame of a sequence."""

    @abstractmethod
    def image(self, values: Mapping[str, NDArray[np.int64]], device: torch.device | str) -> Tensor:
        """Frames ``(B, S, channels, H, W)`` of values ``(B, S)``."""

    def batch(self, numbers: Sequence[int], *, factor: int | None = None, device: torch.device | str = "cpu") -> Drawn:
        """Sequences by their numbers.

        Parameters
        ----------
        numbers
            Of the sequences.
        factor
            Number of the factor that moves; drawn for each sequence where None.
        device
            Where they are made.
        """
        drawn = [self.values(int(number), factor) for number in numbers]
        moving = np.array([entry for entry, _ in drawn], np.int64)
        values = {name: np.stack([entry[name] for _, entry in drawn]) for name in drawn[0][1]}
        names = list(self.factors)
        first = np.array([values[names[entry]][row, 0] for row, entry in enumerate(moving)], np.int64)
        return Drawn(self.image(values, device), moving, first)


class Digits(Factors):
    """Handwritten digits that turn, grow or change colour.

    Parameters
    ----------
    images
        ``(N, 28, 28)``, 0 to 255.
    seed
        Of the sequences.
    stream
        Name of the split: two splits never draw alike.
    together
        Factors that move side by side in every sequence; one at a time where empty.
    """

    def __init__(
        self, images: NDArray[np.uint8], *, seed: int, stream: str = "train", together: Sequence[str] = ()
    ) -> None:
        self.images = torch.from_numpy(images.astype(np.float32) / 255)
        self.seed, self.stream, self.together = seed, stream, tuple(together)
        self.factors = {"rotation": len(ANGLES), "scale": len(SCALES), "hue": len(HUES)}
        self.frames = len(ANGLES)
        self.shape = (3, *images.shape[1:])
        self._scales = torch.tensor(SCALES)

    def values(self, number: int, factor: int | None) -> tuple[int, dict[str, NDArray[np.int64]]]:
        """A digit; the factor that moves begins anywhere, the others stay at a random value."""
        sizes = (len(self.images), len(self.factors), *self.factors.values())
        digit, moving, *begin = drawn_integers(self.seed, f"digits {self.stream}", number, sizes)
        moving = moving if factor is None else factor
        starts = dict(zip(self.factors, begin, strict=True))
        moved = set(self.together) or {list(self.factors)[moving]}
        steps = np.arange(self.frames)
        if list(self.factors)[moving] not in moved:
            moving = list(self.factors).index(self.together[0])
        made = {
            name: (starts[name] + steps) % size if name in moved else np.full(self.frames, starts[name])
            for name, size in self.factors.items()
        }
        return moving, {**made, "digit": np.full(self.frames, digit)}

    def image(self, values: Mapping[str, NDArray[np.int64]], device: torch.device | str) -> Tensor:
        """Digits turned, scaled and coloured."""
        chosen = self.images[torch.from_numpy(values["digit"][:, 0])].to(device)
        angles = torch.tensor(ANGLES, dtype=torch.float32, device=device)[
            torch.from_numpy(values["rotation"]).to(device)
        ]
        scales = self._scales.to(device)[torch.from_numpy(values["scale"]).to(device)]
        hues = torch.tensor(HUES, dtype=torch.float32, device=device)[torch.from_numpy(values["hue"]).to(device)]
        return coloured(turned(chosen, angles, scales), hues)


def turned(images: Tensor, angles: Tensor, scales: Tensor) -> Tensor:
    """Images turned anticlockwise about their centre and scaled, all frames in one interpolation.

    Parameters
    ----------
    images
        ``(B, H, W)``.
    angles
        Degrees, ``(B, S)``.
    scales
        ``(B, S)``.

    Returns
    -------
    Tensor
        ``(B, S, H, W)``, bilinear, 0 outside.
    """
    batch, frames = angles.shape
    height, width = images.shape[-2:]
    turn, scale = torch.deg2rad(angles)[..., None, None], scales[..., None, None]
    cosine, sine = torch.cos(turn) / scale, torch.sin(turn) / scale
    ratio = (height - 1) / (width - 1)
    across = torch.linspace(-1, 1, width, device=images.device)
    down = torch.linspace(-1, 1, height, device=images.device)[:, None]
    grid = torch.empty((batch, frames, height, width, 2), device=images.device)
    torch.sub(cosine * across, sine * ratio * down, out=grid[..., 0])
    torch.add(sine / ratio * across, cosine * down, out=grid[..., 1])
    # The frames of an image lie one below the other in its grid, so that the image need not be repeated.
    grid = grid.reshape(batch, frames * height, width, 2)
    made = functional.grid_sample(images[:, None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return made.reshape(batch, frames, height, width)


def coloured(grey: Tensor, hues: Tensor) -> Tensor:
    """Grey frames in one pure colour: red turned by an angle of hue.

    Parameters
    ----------
    grey
        ``(B, S, H, W)``.
    hues
        Degrees, ``(B, S)``.

    Returns
    -------
    Tensor
        ``(B, S, 3, H, W)``.
    """
    sixths = (hues / 60) % 6
    red = (torch.abs(sixths - 3) - 1).clamp(0, 1)
    green = (2 - torch.abs(sixths - 2)).clamp(0, 1)
    blue = (2 - torch.abs(sixths - 4)).clamp(0, 1)
    return torch.stack([red, green, blue], dim=2)[..., None, None] * grey[:, :, None]


class Sprites(Factors):
    """White shapes on black, of which one of position, orientation or size goes through its values.

    Parameters
    ----------
    seed
        Of the sequences; what is held out does not depend on it.
    split
        ``train``, ``validation`` or ``test``: of the orbits (a factor with the values of all the others), one in ten is
        kept for the validation and one for the test. Their images occur in other orbits.
    """

    def __init__(self, *, seed: int, split: str = "train") -> None:
        if split not in SPLITS:
            raise ConfigError(
                f"there is no split {split!r} of the sprites", where="split", fix=f"give one of {', '.join(SPLITS)}"
            )
        self.seed, self.split = seed, split
        self.factors = {"x": 15, "y": 15, "orientation": 15, "scale": 5}
        self.frames = 15
        self.shape = (1, 64, 64)

    def values(self, number: int, factor: int | None) -> tuple[int, dict[str, NDArray[np.int64]]]:
        """A shape; the first of the drawn orbits that belongs to the split."""
        attempt = 0
        while True:
            sizes = (len(SHAPES), len(self.factors), *self.factors.values())
            shape, moving, *begin = drawn_integers(self.seed, f"sprites {self.split}", number, sizes, attempt)
            moving = moving if factor is None else factor
            starts = dict(zip(self.factors, begin, strict=True))
            name = list(self.factors)[moving]
            if split_of(shape, name, starts) == self.split:
                break
            attempt += 1
        steps = np.arange(self.frames)
        made = {
            key: (starts[key] + steps) % size if key == name else np.full(self.frames, starts[key])
            for key, size in self.factors.items()
        }
        return moving, {**made, "shape": np.full(self.frames, shape)}

    def image(self, values: Mapping[str, NDArray[np.int64]], device: torch.device | str) -> Tensor:
        """Sprites drawn; of the published numbering, every second orientation and position, and sizes from 0.6 on."""
        flat = {name: torch.from_numpy(entry.ravel()).to(device) for name, entry in values.items()}
        made = draw_sprites(flat["shape"], flat["scale"] + 1, 2 * flat["orientation"], 2 * flat["x"], 2 * flat["y"])
        return made.reshape(*values["x"].shape, *self.shape)


def split_of(shape: int, moving: str, starts: Mapping[str, int]) -> str:
    """Split to which an orbit of sprites belongs, the same for every seed.

    Parameters
    ----------
    shape
        Number of the shape.
    moving
        Name of the factor that moves.
    starts
        Value of each factor; that of the one that moves does not matter.
    """
    others = [value for key, value in sorted(starts.items()) if key != moving]
    orbit = sum(value * 64**place for place, value in enumerate((shape, *others)))
    drawn = drawn_integers(0, f"orbit along {moving}", orbit, (_HELD_OUT,))[0]
    return {0: "test", 1: "validation"}.get(drawn, "train")
