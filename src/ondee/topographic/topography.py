"""Topographic latents: Gaussian ones divided by what their neighbourhood shares, in capsules that roll.

References
----------
T. A. Keller and M. Welling, Topographic VAEs learn equivariant capsules, NeurIPS 2021, arXiv 2109.01394.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ondee.errors import ConfigError
from ondee.nn.products import product
from ondee.nn.waves import continued
from ondee.topographic.coherence import Coherence
from ondee.topographic.settings import TopographySettings

__all__ = ["Topography", "TopographySettings", "rolled"]

_SMALL = 1e-6


class Topography(nn.Module):
    """From Gaussian z and u to topographic t.

    With a coherence, t = (z + mu) / sqrt(v), where v sums the squares of the neighbouring u; t then has Student's law
    with as many degrees of freedom as there are neighbours, up to its scale. Without one, t = z.

    Parameters
    ----------
    settings
        Of the latents.
    """

    def __init__(self, settings: TopographySettings) -> None:
        super().__init__()
        self.settings = settings
        self.places = math.prod(settings.dimensions)
        count = 1 if settings.centres == "one" else settings.capsules
        if settings.coherence is not None:
            self.centre = nn.Parameter(torch.full((count, 1), float(settings.centre)))
        self._matrices: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    @property
    def capsules(self) -> int:
        """Capsules, C."""
        return self.settings.capsules

    @property
    def size(self) -> int:
        """Latents of a frame, C D."""
        return self.capsules * self.places

    @property
    def is_topographic(self) -> bool:
        """Whether latents share their scale."""
        return self.settings.coherence is not None

    def velocities(self) -> list[tuple[float, ...]]:
        """Places per frame along each axis by which each group of capsules rolls."""
        coherence = self.settings.coherence or Coherence()
        return [coherence.velocity(group, len(self.settings.dimensions)) for group in range(coherence.groups)]

    # ---- the law

    def variance(self, squares: Tensor) -> Tensor:
        """The shared scale squared.

        Parameters
        ----------
        squares
            u², or its expectation, ``(B, S, C, D)``.

        Returns
        -------
        Tensor
            v, ``(B, S, C, D)``.

        Raises
        ------
        ConfigError
            If the latents share no scale.
        """
        batch, frames = squares.shape[:2]
        # Without coherence in time frames have nothing to do with one another, and one of them is enough of a matrix.
        span = 1 if self.settings.coherence is not None and self.settings.coherence.frames == 1 else frames
        weights = self._weights(span, squares)
        groups, size = len(weights), weights.shape[-1]
        each = self.capsules // groups
        laid = squares.reshape(-1, span, groups, each, self.places).permute(2, 0, 3, 1, 4).reshape(groups, -1, size)
        summed = torch.stack([product(*pair) for pair in zip(laid, weights, strict=True)])
        summed = summed.reshape(groups, -1, each, span, self.places)
        return summed.permute(1, 3, 0, 2, 4).reshape(batch, frames, self.capsules, self.places)

    def forward(self, z: Tensor, u: Tensor | None = None) -> Tensor:
        """Topographic latents ``(B, S, C, D)`` of z and u of that shape; u is not needed where t = z."""
        return self.expected(z, None if u is None else u.square())

    def expected(self, z: Tensor, squares: Tensor | None) -> Tensor:
        """As :meth:`forward` with u² or its expectation; with means of z it is what is taken for the posterior mean.

        Parameters
        ----------
        z, squares
            ``(B, S, C, D)``.

        Raises
        ------
        ConfigError
            If squares are needed and not given.
        """
        if not self.is_topographic:
            return z
        if squares is None:
            raise ConfigError("topographic latents need u beside z", where="u", fix="give u, or its squares")
        return (z + self.centre) * torch.rsqrt(self.variance(squares) + _SMALL)

    def _weights(self, frames: int, like: Tensor) -> Tensor:
        """Weights of the neighbours, ``(groups, S D, S D)``, kept for each length of sequence."""
        coherence = self.settings.coherence
        if coherence is None:
            raise ConfigError(
                "these latents share no scale", where="settings.coherence", fix="give a coherence, or take t = z"
            )
        key = (frames, like.device, like.dtype)
        if key not in self._matrices:
            found = np.stack(
                [coherence.matrix(frames, self.settings.dimensions, group) for group in range(coherence.groups)]
            )
            if self.settings.normalised:
                found = found / found.sum(-1, keepdims=True)
            with torch.inference_mode(False):  # what is kept may be learnt through later
                self._matrices[key] = torch.from_numpy(found).to(like.device, like.dtype)
        return self._matrices[key]

    # ---- registers

    def entered(self, frames: int) -> Tensor:
        """Which latents of a sequence are drawn anew, ``(S, C, D)``: all but those that a register carries on."""
        return self._origin(frames)[0]

    def carried(self, values: Tensor) -> Tensor:
        """What each place holds once registers have carried it on from where it entered, ``(B, S, C, D)``."""
        if not self.settings.carried:
            return values
        shape = values.shape
        origin = self._origin(shape[1])[1].to(values.device)
        return values.flatten(1).index_select(1, origin).reshape(shape)

    def _origin(self, frames: int) -> tuple[Tensor, Tensor]:
        """Where latents enter, ``(S, C, D)``, and from which of them, counted through the sequence, each comes."""
        frame, capsule, place = torch.meshgrid(
            torch.arange(frames), torch.arange(self.capsules), torch.arange(self.places), indexing="ij"
        )
        speed = torch.zeros_like(frame)
        if self.settings.carried:
            each = torch.tensor([int(velocity[0]) for velocity in self.velocities()])
            speed = each[capsule * len(each) // self.capsules]
        steps = torch.where(speed > 0, torch.minimum(frame, place // speed.clamp(min=1)), 0)
        origin = ((frame - steps) * self.capsules + capsule) * self.places + place - steps * speed
        return steps == 0, origin.flatten()

    # ---- the movement

    def roll(self, latents: Tensor, frames: float) -> Tensor:
        """Latents as so many frames later: each group of capsules rolled by its own speed.

        Parameters
        ----------
        latents
            ``(…, C, D)``.
        frames
            How far; a fraction or a negative number will do.

        Returns
        -------
        Tensor
            ``(…, C, D)``.
        """
        coherence = self.settings.coherence
        if coherence is None or coherence.capsule == "circular":
            return self._moved(latents, frames)
        # What enters at an open end is not known yet: it takes the value that the prior is centred on, or goes on.
        centre = self.centre.to(latents.dtype)
        if self.settings.entering == "centre" or frames <= 0:
            return centre + self._moved(latents - centre, frames, is_open=True)
        whole = math.floor(frames)
        made = self._carried_on(latents - centre, whole)
        if frames > whole:
            made = torch.lerp(made, self._carried_on(latents - centre, whole + 1), frames - whole)
        return centre + made

    def _carried_on(self, latents: Tensor, frames: int) -> Tensor:
        """Latents moved by whole frames, with the waves along moving capsules going on where they enter."""
        velocities = self.velocities()
        made = []
        for group, (speed,) in zip(latents.chunk(len(velocities), dim=-2), velocities, strict=True):
            steps = int(frames * speed)
            if steps:
                pairs = group.reshape(*group.shape[:-2], -1, 2, self.places)
                entering = continued(pairs, steps).reshape(*group.shape[:-1], steps)
                group = torch.cat([entering, group], dim=-1)[..., : self.places]
            made.append(group)
        return torch.cat(made, dim=-2)

    def _moved(self, latents: Tensor, frames: float, is_open: bool = False) -> Tensor:
        velocities = self.velocities()
        moved = [
            rolled(group, self.settings.dimensions, tuple(frames * speed for speed in velocity), is_open=is_open)
            for group, velocity in zip(latents.chunk(len(velocities), dim=-2), velocities, strict=True)
        ]
        return torch.cat(moved, dim=-2)


def rolled(latents: Tensor, dimensions: tuple[int, ...], steps: tuple[float, ...], *, is_open: bool = False) -> Tensor:
    """Roll capsules around; by a fraction of a place, the two neighbours are mixed.

    Parameters
    ----------
    latents
        ``(…, D)``.
    dimensions
        Places along each axis, with D as their product.
    steps
        Places to move along each axis: what was at j comes to j + step.
    is_open
        Whether what leaves at an end is lost, and 0 enters at the other.

    Examples
    --------
    >>> rolled(torch.tensor([1.0, 2.0, 3.0]), (3,), (1,)).tolist()
    [3.0, 1.0, 2.0]
    """
    shifted = _shifted if is_open else torch.roll
    made = latents.reshape(*latents.shape[:-1], *dimensions)
    for axis, step in zip(range(-len(dimensions), 0), steps, strict=True):
        whole = math.floor(step)
        part = step - whole
        moved = shifted(made, whole, axis)
        made = moved if not part else torch.lerp(moved, shifted(made, whole + 1, axis), part)
    return made.flatten(-len(dimensions))


def _shifted(values: Tensor, steps: int, axis: int) -> Tensor:
    """As :func:`torch.roll`, with 0 in place of what comes in from the other end."""
    place = torch.arange(values.shape[axis], device=values.device) - steps
    inside = (place >= 0) & (place < values.shape[axis])
    return torch.roll(values, steps, axis) * inside.reshape(-1, *(1,) * (-axis - 1))
