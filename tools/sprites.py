"""Measure the outline of the heart on frames that were published with dSprites: ``python tools/sprites.py FRAMES.gif``.

The frames go through sizes, orientations and positions of each shape in a known order. Every pixel of every frame of
the heart says of one point whether it lies inside; the radii that err least are printed, for
:mod:`ondee.topographic.sprites`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from torch import Tensor

from ondee.topographic.sprites import HEART, heart_radius, placed

Frame = tuple[int, int, int, int]
"""Numbers of size, orientation, x and y."""


def order(*, positions: bool) -> list[Frame]:
    """Frames of one shape as they were published: sizes up, down and up, a turn, then once around the image."""
    sizes = [*range(6), *range(5, -1, -1), *range(6)]
    made = [(size, 0, 0, 0) for size in sizes] + [(5, turn, 0, 0) for turn in range(40)]
    if positions:
        made += [(5, 0, 0, y) for y in range(32)] + [(5, 0, x, 31) for x in range(32)]
        made += [(5, 0, 31, y) for y in range(31, -1, -1)] + [(5, 0, x, 0) for x in range(31, -1, -1)]
    return made


def frames(path: Path) -> NDArray[np.bool_]:
    """Frames of the animation, ``(N, 64, 64)``."""
    with Image.open(path) as image:
        return np.array([np.array(frame.convert("L")) for frame in ImageSequence.Iterator(image)]) > 127


def points(values: list[Frame]) -> tuple[Tensor, Tensor]:
    """Pixels of frames in the shape's own coordinates, ``(N, 64, 64)`` each."""
    told = torch.tensor(values)
    return placed(*(told[:, column] for column in range(4)))


def main() -> None:
    """Fit the radii and print them."""
    values = order(positions=True)
    inside = torch.from_numpy(frames(Path(sys.argv[1]))[: len(values)])
    across, down = points(values)
    near = torch.hypot(across, down) < 18
    radius, angle = torch.hypot(across, down)[near], torch.atan2(across.abs(), down)[near]
    wanted = inside[near].float()
    radii = torch.full((len(HEART),), 9.0, requires_grad=True)
    optimiser = torch.optim.Adam([radii], 0.1)
    for step in range(800):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 820)
        margin = (heart_radius(angle, radii) - radius) * 6
        loss = torch.nn.functional.binary_cross_entropy_with_logits(margin, wanted, reduction="sum")
        rough = 3.0 * radii.diff(n=2).square().sum()
        optimiser.zero_grad()
        (loss + rough).backward()
        optimiser.step()
    wrong = ((heart_radius(angle, radii.detach()) >= radius) != (wanted > 0)).sum()
    print(f"{int(wrong)} of {int(wanted.sum())} pixels differ")
    print(", ".join(f"{value:.2f}" for value in radii.tolist()))


if __name__ == "__main__":
    main()
