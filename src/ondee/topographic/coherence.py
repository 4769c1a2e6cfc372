"""Which squared latents make the scale of one topographic latent: its neighbours in time and along its capsule.

The scale of the latent at frame l and place j of a capsule is the root of

    v[l, j] = sum over (a, b) of W[a, b] u²[l + a, j + b]

so that two latents with many neighbours in common are large together. Where the neighbourhood moves along the capsule
as time goes on (`shifting`), what is active at a place now is active one place further in the next frame: a movement of
the image becomes a roll of the capsule.

References
----------
T. A. Keller and M. Welling, Topographic VAEs learn equivariant capsules, NeurIPS 2021, arXiv 2109.01394 (W as in the
code that they published).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ondee.config import Part

__all__ = ["Coherence"]


class Coherence(Part):
    """The shape of the neighbourhood."""

    shape: Literal["shifting", "bubble"] = "shifting"
    """A band that moves along the capsule with time, or a block that stays."""
    frames: Annotated[int, Field(ge=1, le=512)] = 13
    """Frames that it spans, k = 2 L; 1 for no coherence in time."""
    width: Annotated[int, Field(ge=1, le=512)] = 3
    """Places of the capsule that it spans at one frame, K, along each of its axes; an odd number."""
    speeds: Annotated[tuple[float | tuple[float, ...], ...], Field(min_length=1)] = (1.0,)
    """Places by which it moves from a frame to the next, a number (a vector on a two-dimensional capsule) for each
    group of capsules; the capsules are shared out evenly. A fraction is divided between two places."""
    causal: bool = False
    """Whether it ends at the frame itself, so that no later frame is needed."""
    time: Literal["circular", "open"] = "circular"
    """Whether the first frame follows the last one; where not, fewer neighbours are summed at both ends."""
    capsule: Literal["circular", "open"] = "circular"
    """Whether the first place follows the last one."""

    @field_validator("width")
    @classmethod
    def _odd(cls, width: int) -> int:
        if width % 2 == 0:
            raise ValueError("give an odd number: as many places on either side")
        return width

    @property
    def groups(self) -> int:
        """Groups of capsules, one for each speed."""
        return len(self.speeds) if self.shape == "shifting" else 1

    def velocity(self, group: int, axes: int) -> tuple[float, ...]:
        """Places per frame along each axis of the capsule; those of a block are what a roll is taken to be, 1.

        Parameters
        ----------
        group
            Number of the group.
        axes
            Axes of the capsule. One number moves along the last.

        Raises
        ------
        ValueError
            If the speed has another number of axes.
        """
        speed = self.speeds[group] if self.shape == "shifting" else 1.0
        if not isinstance(speed, tuple):
            return (0.0,) * (axes - 1) + (float(speed),)
        if len(speed) != axes:
            raise ValueError(f"a speed along {len(speed)} axes was given for capsules of {axes}")
        return tuple(map(float, speed))

    def lags(self) -> range:
        """Offsets in time: half of the frames on either side (of an even number the later half is the longer one)."""
        if self.causal:
            return range(1 - self.frames, 1)
        before = (self.frames - 1) // 2
        return range(-before, self.frames - before)

    def offsets(self, group: int, axes: int = 1) -> Iterator[tuple[int, tuple[int, ...], float]]:
        """Every neighbour: offset in time, offset along each axis of the capsule, weight.

        Parameters
        ----------
        group
            Number of the group of capsules.
        axes
            Axes of the capsule.

        Notes
        -----
        Along the capsule the band ends where the middle of the band is at its first and its last frame, as in the
        published code: with 13 frames and 3 places there are 37 neighbours and not 39.

        Examples
        --------
        >>> len(list(Coherence(frames=13, width=3).offsets(0)))
        37
        """
        moves = self.velocity(group, axes) if self.shape == "shifting" else (0.0,) * axes
        lags = self.lags()
        side = range(-(self.width // 2), self.width // 2 + 1)
        along = [_limits(lags, move, side) for move in moves]
        for lag in lags:
            for shift in itertools.product(side, repeat=axes):
                places = [lag * move + step for move, step in zip(moves, shift, strict=True)]
                if all(low <= place <= high for place, (low, high) in zip(places, along, strict=True)):
                    for corner, weight in _divided(places):
                        yield lag, corner, weight

    def matrix(self, frames: int, dimensions: tuple[int, ...], group: int = 0) -> NDArray[np.float32]:
        """Weights of all latents of a capsule in the scale of each.

        Parameters
        ----------
        frames
            Frames of the sequence, S.
        dimensions
            Places of the capsule along each of its axes; D is their product.
        group
            Number of the group of capsules.

        Returns
        -------
        ndarray
            ``(S D, S D)``: row of the latent whose scale is made, column of the latent that is summed.
        """
        axes = len(dimensions)
        sizes = np.array((frames, *dimensions))
        around = np.array([self.time == "circular"] + [self.capsule == "circular"] * axes)
        here = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij")).reshape(axes + 1, -1)
        made = np.zeros((here.shape[1],) * 2, np.float32)
        rows = np.arange(here.shape[1])
        for lag, corner, weight in self.offsets(group, axes):
            there = here + np.array((lag, *corner))[:, None]
            wrapped = there % sizes[:, None]
            kept = (around[:, None] | (there == wrapped)).all(0)
            columns = np.ravel_multi_index(tuple(wrapped[:, kept]), tuple(sizes))
            np.add.at(made, (rows[kept], columns), weight)
        return made


def _limits(lags: range, move: float, side: range) -> tuple[float, float]:
    """First and last place along one axis of the capsule."""
    ends = (lags[0] * move, lags[-1] * move)
    return min(*ends, side[0]), max(*ends, side[-1])


def _divided(places: list[float]) -> Iterator[tuple[tuple[int, ...], float]]:
    """Whole places around a fractional one, with their shares."""
    choices = []
    for place in places:
        whole = int(np.floor(place))
        part = place - whole
        choices.append([(whole, 1 - part), (whole + 1, part)] if part else [(whole, 1.0)])
    for chosen in itertools.product(*choices):
        yield tuple(place for place, _ in chosen), float(np.prod([share for _, share in chosen]))
