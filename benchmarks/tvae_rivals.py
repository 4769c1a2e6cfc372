"""What latents of rain are compared with: principal components, and the extrapolation of optical flow."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import Tensor

from ondee.batches import Windows
from ondee.topographic.components import DRY_LEVEL, level_of, principal
from ondee.topographic.likelihood import Censored, Likelihood
from ondee.training.latents import frames_of_windows

__all__ = ["Components", "neighbourhood", "optical_flow"]

Fields = NDArray[np.float32]

_ITERATIONS = 20
"""Rounds in which a frame's missing pixels are taken from its own components."""


@dataclass(frozen=True)
class Components:
    """Principal components of frames of rain in decibels, and the spread that they leave.

    Parameters
    ----------
    mean
        ``(H W,)``, dB.
    basis
        ``(K, H W)``, orthonormal.
    spread
        Of what is left at wet pixels that are told wet, dB: that of a Gaussian cut at the threshold.
    """

    mean: NDArray[np.float64]
    basis: NDArray[np.float64]
    spread: float

    @property
    def size(self) -> int:
        """Components, K."""
        return len(self.basis)

    @classmethod
    def of(cls, windows: Windows, size: int) -> Self:
        """Components of frames of the training, each counted by the weight of its window.

        Parameters
        ----------
        windows
            Of the training.
        size
            Components, K.
        """
        level, weight = frames_of_windows(windows)
        mean, basis, _ = principal(level, weight, size)
        made = cls(mean, basis, 1.0)
        return cls(mean, basis, made._spread(level[: 4 * size], weight[: 4 * size]))

    def _spread(self, level: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
        """The spread, dB, at which the cut Gaussian finds what was learnt from most likely."""
        side = math.isqrt(len(self.mean))
        rain = torch.from_numpy(np.where(level > DRY_LEVEL, 10 ** (level / 10), 0.0)).reshape(-1, 1, side, side)
        told = self._told(level)
        counted = torch.from_numpy(weight)[:, None, None, None]
        spreads = [0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0]
        nats = []
        for spread in spreads:
            made = _planes(told, spread)
            nats.append(float((counted * Censored().log_probability(made, rain)).sum()))
        return spreads[int(np.argmax(nats))]

    def _told(self, level: NDArray[np.float64]) -> Tensor:
        """What the components make of whole frames ``(N, H W)``, dB: ``(N, H, W)``."""
        side = math.isqrt(len(self.mean))
        made = self.mean + (level - self.mean) @ self.basis.T @ self.basis
        return torch.from_numpy(made).reshape(-1, side, side)

    def law(self, rain: Fields) -> tuple[Likelihood, Tensor, Fields]:
        """Likelihood, planes ``(N, 2, H, W)`` and the frames: a Gaussian about what the components make of them.

        Missing pixels are found with the components, from the mean in 20 rounds.

        Parameters
        ----------
        rain
            ``(N, H, W)``, mm h-1, NaN where missing.
        """
        level = level_of(rain).reshape(len(rain), -1).astype(np.float64)
        missing = ~np.isfinite(level)
        filled = np.where(missing, self.mean, level)
        for _ in range(_ITERATIONS if missing.any() else 0):
            filled = np.where(missing, self._told(filled).reshape(len(rain), -1).numpy(), level)
        return Censored(), _planes(self._told(filled), self.spread).float(), rain


def _planes(told: Tensor, spread: float) -> Tensor:
    """Planes of the censored likelihood with a mean in dB and one spread."""
    law = Censored()
    raw = math.log(math.expm1((spread - law.least_spread) * math.log(2) / 10))
    return torch.stack([(told - law.threshold) / 10, torch.full_like(told, raw)], dim=1)


def neighbourhood(values: NDArray[np.float64], there: NDArray[np.bool_], width: int) -> NDArray[np.float64]:
    """Mean over square windows of what is observed, NaN where less than half of a window is.

    Parameters
    ----------
    values, there
        ``(F, H, W)``; pixels that are not there count for nothing.
    width
        Of the windows, pixels.
    """
    size = (0, width, width)
    share = uniform_filter(there.astype(float), size, mode="constant")
    total = uniform_filter(np.where(there, values, 0.0), size, mode="constant")
    return np.where(there & (share >= 0.5), total / np.maximum(share, 1e-9), np.nan)


def optical_flow(around: Fields, count: int, margin: int) -> Fields:
    """Rain carried on by the motion of its last two frames: Proesmans flow and semi-Lagrangian steps of pysteps.

    Parameters
    ----------
    around
        ``(S, H + 2 margin, W + 2 margin)``, mm h-1: the known frames with what lies around the window.
    count
        Frames to tell.
    margin
        Pixels on each side that the method sees and that are not judged.

    Returns
    -------
    ndarray
        ``(count, H, W)``. Where nothing is known upstream, the last frame stays.

    References
    ----------
    S. Pulkkinen et al., Geosci. Model Dev. 12, 4185-4219, 2019 (pysteps); M. Proesmans et al., ECCV 1994 (the motion,
    which on a validation event carried rain further than the library's variational method).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pysteps import extrapolation, motion

        last = around[-1]
        level = np.nan_to_num(level_of(around[-2:]), nan=DRY_LEVEL).astype(float)
        velocity = motion.get_method("proesmans")(level)
        carried = extrapolation.get_method("semilagrangian")(np.nan_to_num(last).astype(float), velocity, count)
    inner = slice(margin, last.shape[-1] - margin)
    stayed = np.repeat(last[None, inner, inner], count, 0)
    moved = np.asarray(carried, np.float32)[:, inner, inner]
    return np.where(np.isfinite(moved), moved, stayed).astype(np.float32)
