"""Waves along capsules: a pair of capsules holds the cosine and the sine of a phase, newest first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["DAMPING", "continued", "pitch"]

DAMPING = 0.9
"""What is left of a wave for each step that it is carried on, so that its size tells how far that was."""
_MEMORY = 3.0
"""Places over which a pitch is averaged."""


def pitch(waves: Tensor) -> Tensor:
    """Phase from one place to the one before, radians, averaged over the newest places.

    Parameters
    ----------
    waves
        Cosine and sine, ``(…, 2, D)``.

    Returns
    -------
    Tensor
        ``(…)``, from -pi to pi.
    """
    cosine, sine = waves.unbind(-2)
    newest = torch.exp(-torch.arange(waves.shape[-1] - 1, device=waves.device, dtype=waves.dtype) / _MEMORY)
    along = (newest * (cosine[..., :-1] * cosine[..., 1:] + sine[..., :-1] * sine[..., 1:])).sum(-1)
    across = (newest * (sine[..., :-1] * cosine[..., 1:] - cosine[..., :-1] * sine[..., 1:])).sum(-1)
    # An empty wave has no pitch, and no infinite gradient of one.
    return torch.atan2(across, torch.where(along.abs() + across.abs() > 1e-6, along, 1.0))


def continued(waves: Tensor, steps: int) -> Tensor:
    """What enters at the first places as waves go on by whole places.

    Parameters
    ----------
    waves
        Cosine and sine, ``(…, 2, D)``.
    steps
        How far, 1 or more.

    Returns
    -------
    Tensor
        ``(…, 2, steps)``: each step turns the newest place by the pitch and damps it.
    """
    ahead = torch.arange(steps, 0, -1, device=waves.device, dtype=waves.dtype)
    turned = pitch(waves)[..., None] * ahead
    kept = torch.exp(ahead * math.log(DAMPING))
    cosine, sine = waves[..., 0, :1], waves[..., 1, :1]
    made = [turned.cos() * cosine - turned.sin() * sine, turned.sin() * cosine + turned.cos() * sine]
    return kept[..., None, :] * torch.stack(made, -2)
