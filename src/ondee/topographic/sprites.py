"""Squares, ellipses and hearts like those of dSprites, drawn on any device: no file is needed.

Sizes, orientations and positions are numbered as in the published set, its quirk included that the last orientation is
the first one again. Square and ellipse are exact up to a pixel or two; the outline of the heart was
measured on published frames by ``tools/sprites.py``.

References
----------
L. Matthey et al., dSprites: disentanglement testing sprites dataset, 2017 (64 × 64 binary images of 3 shapes, 6 sizes,
40 orientations, 32 × 32 positions).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["HEART", "SHAPES", "draw_sprites", "heart_radius", "placed"]

SHAPES = ("square", "ellipse", "heart")
SIDE = 64
_HALF_SIDE = 9.6
_AXES = (12.8, 7.2)
HEART = (
    9.43, 8.11, 7.38, 7.07, 6.49, 6.33, 6.28, 5.86, 5.99, 5.98, 5.75, 6.00, 6.09, 5.87, 6.41, 6.43, 6.58, 7.12, 7.09,
    7.78, 7.96, 8.63, 9.10, 9.36, 10.04, 10.56, 10.84, 10.80, 11.18, 11.21, 11.24, 11.18, 11.11, 10.79, 10.37, 9.92,
    9.46, 8.57, 7.70, 6.47, 5.04,
)  # fmt: skip
"""Radii of the largest heart, pixels, from its tip (0 degrees) to its notch (180)."""


def placed(size: Tensor, orientation: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels in the coordinates of a sprite of size 1 that stands upright.

    Parameters
    ----------
    size
        Number of the size, 0 to 5: 0.5 to 1; ``(N,)``.
    orientation
        Number of the orientation, 0 to 39: a whole turn and the first again.
    x, y
        Numbers of the position, 0 to 31.

    Returns
    -------
    tuple of Tensor
        To the right and downwards, ``(N, 64, 64)``, pixels.
    """
    centre = torch.arange(SIDE, dtype=torch.float32, device=size.device) + 0.5
    scale = 0.5 + 0.1 * size[:, None, None]
    turn = 2 * math.pi * orientation[:, None, None] / 39
    right = (centre[None, None, :] - (16 + 32 * x[:, None, None] / 31)) / scale
    down = (centre[None, :, None] - (16 + 32 * y[:, None, None] / 31)) / scale
    cosine, sine = torch.cos(turn), torch.sin(turn)
    return cosine * right - sine * down, sine * right + cosine * down


def draw_sprites(shape: Tensor, size: Tensor, orientation: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sprites, ``(N, 64, 64)``, 0 or 1.

    Parameters
    ----------
    shape
        Number of the shape in :data:`SHAPES`, ``(N,)``.
    size, orientation, x, y
        As in :func:`placed`.
    """
    made = torch.empty((len(shape), SIDE, SIDE), device=shape.device)
    for number in range(len(SHAPES)):
        chosen = (shape == number).nonzero()[:, 0]
        if len(chosen):
            right, down = placed(size[chosen], orientation[chosen], x[chosen], y[chosen])
            made[chosen] = _inside(SHAPES[number], right, down).float()
    return made


def _inside(shape: str, right: Tensor, down: Tensor) -> Tensor:
    if shape == "square":
        return torch.maximum(right.abs(), down.abs()) <= _HALF_SIDE
    if shape == "ellipse":
        return (right / _AXES[0]).square() + (down / _AXES[1]).square() <= 1
    radii = torch.tensor(HEART, device=right.device)
    return torch.hypot(right, down) <= heart_radius(torch.atan2(right.abs(), down), radii)


def heart_radius(angle: Tensor, radii: Tensor) -> Tensor:
    """Radius of the heart at an angle from its tip, radians from 0 to pi, between given ones."""
    place = angle / math.pi * (len(radii) - 1)
    first = place.floor().long().clamp(max=len(radii) - 2)
    return torch.lerp(radii[first], radii[first + 1], place - first)
