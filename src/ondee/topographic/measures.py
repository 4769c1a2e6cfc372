"""Does the latent move as the image does? Measures of a trained model, and what they are beside chance.

A low equivariance error proves nothing by itself: latents that share their scale with their neighbours have it
without any training. It is to be read beside that of the identity, of an untrained model and of chance.

References
----------
T. A. Keller and M. Welling, arXiv 2109.01394: equivariance error, capsule correlation (Eq. 15 and 16).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import integrate, stats
from torch import Tensor

from ondee.errors import ConfigError

__all__ = [
    "active_units",
    "capsule_correlation",
    "capsule_rolls",
    "centred",
    "chance_of_error",
    "equivariance_error",
    "observed_rolls",
]

Roll = Callable[[Tensor, float], Tensor]
"""``roll(latents, frames)`` of :meth:`ondee.topographic.topography.Topography.roll`."""


def centred(latents: Tensor) -> Tensor:
    """Latents less the mean of each capsule over its places, ``(…, C, D)``."""
    return latents - latents.mean(-1, keepdim=True)


def equivariance_error(latents: Tensor, roll: Roll) -> Tensor:
    """Distance between rolled and later latents, summed over all pairs of frames.

    Parameters
    ----------
    latents
        ``(B, S, C, D)``; each capsule is scaled to length 1 first.
    roll
        How a frame becomes a later one; the identity is ``lambda latents, frames: latents``.

    Returns
    -------
    Tensor
        Sum of ``|roll(t_l, m - l) - t_m|`` over pairs l < m, capsules and places, ``(B,)``.

    Notes
    -----
    It is a sum, not a mean: it grows with S² C √D. Of normal noise it is that of :func:`chance_of_error`.
    """
    # What enters at an open end has the scale of the latents: they are rolled first and divided afterwards.
    length = latents.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    unit = latents / length
    frames = unit.shape[1]
    found = torch.zeros(unit.shape[0], dtype=unit.dtype, device=unit.device)
    for lag in range(1, frames):
        rolled = roll(latents[:, : frames - lag], lag) / length[:, : frames - lag]
        found += (rolled - unit[:, lag:]).abs().flatten(1).sum(1)
    return found


def chance_of_error(frames: int, capsules: int, places: int) -> float:
    """Expected equivariance error of independent normal latents: each capsule is a random direction.

    Parameters
    ----------
    frames, capsules, places
        S, C and D.

    Notes
    -----
    A coordinate of a random unit vector is 2 B - 1, with B of the Beta law of both parameters (D - 1) / 2. The mean
    distance of two of them is twice the integral of F (1 - F), with F their distribution function.

    Examples
    --------
    >>> round(chance_of_error(18, 18, 18)), round(chance_of_error(15, 15, 15))
    (13271, 6937)
    """
    if places == 1:
        mean = 1.0
    else:
        law = stats.beta((places - 1) / 2, (places - 1) / 2, loc=-1, scale=2)
        mean = 2 * float(integrate.quad(lambda x: law.cdf(x) * law.sf(x), -1, 1)[0])
    return frames * (frames - 1) / 2 * capsules * places * mean


def observed_rolls(first: Tensor, later: Tensor) -> NDArray[np.int64]:
    """By how many places each capsule has rolled from a frame to a later one.

    Parameters
    ----------
    first, later
        ``(B, C, D)``.

    Returns
    -------
    ndarray
        ``(B, C)``: the shift with the largest circular cross-correlation, 0 to D - 1.
    """
    product = torch.fft.rfft(later.double(), dim=-1) * torch.fft.rfft(first.double(), dim=-1).conj()
    return np.asarray(torch.fft.irfft(product, n=first.shape[-1], dim=-1).argmax(-1).cpu().numpy(), np.int64)


def capsule_correlation(latents: Tensor, values: NDArray[np.int64], size: int) -> float:
    """Correlation of the roll that is observed with the change of the factor that moved.

    Parameters
    ----------
    latents
        ``(B, S, C, D)``, of posterior means: with one draw of the posterior the noise that frames share rolls by
        itself, and even an untrained model has more than 0.99.
    values
        Value of the factor at the first frame, ``(B,)``; it rises by 1 each frame modulo its number of values.
    size
        Number of values of the factor; S is a multiple of it.

    Returns
    -------
    float
        Pearson correlation over sequences between y_0 and the roll back from the last frame at which y is 0 to the
        first one, the most frequent one of the capsules, modulo `size`; 0 where nothing rolls at all.

    Raises
    ------
    ConfigError
        If sequences do not hold whole cycles, or a capsule has fewer places than the factor has values.

    Notes
    -----
    The frame at which y is 0 is always the last such one (in capsules of fewer places than frames, the last from which
    a roll back is not yet a whole turn). The published code takes the one whose roll fits best, which
    flatters factors that go through more than one cycle. Where there is but one, a sequence that begins with y = 0
    would be compared with itself, which is right without having learnt anything: it is left out.
    """
    rolled, moved = capsule_rolls(latents, values, size)
    if moved.size < 2 or np.ptp(rolled) == 0 or np.ptp(moved) == 0:
        return 0.0
    return float(np.corrcoef(rolled, moved)[0, 1])


def capsule_rolls(latents: Tensor, values: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Roll that is observed in each sequence, and the change of the factor that moved.

    Parameters
    ----------
    latents, values, size
        As of :func:`capsule_correlation`.

    Returns
    -------
    tuple of ndarray
        Roll back to the first frame, the most frequent one of the capsules, and the value of the factor there, both
        0 to ``size - 1``, of the sequences that can tell: ``(N,)`` each.

    Raises
    ------
    ConfigError
        If sequences do not hold whole cycles, or a capsule has fewer places than the factor has values.
    """
    frames = latents.shape[1]
    if frames % size:
        raise ConfigError(
            f"{frames} frames hold no whole cycles of {size} values",
            where="size",
            fix="give sequences in which the factor goes through all of its values, once or more often",
        )
    cycles = min(frames, latents.shape[-1]) // size
    if not cycles:
        raise ConfigError(
            f"capsules of {latents.shape[-1]} places cannot tell {size} values apart",
            where="latents",
            fix="give capsules with at least as many places as the factor has values",
        )
    zero = (cycles - 1) * size + -values % size
    rows = np.flatnonzero(zero)
    if not rows.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    forward = observed_rolls(latents[rows, 0], latents[rows, zero[rows]])
    return np.asarray(stats.mode(-forward % size, axis=1).mode, np.int64), values[rows]


def active_units(divergence: Tensor, least: float = 0.01) -> int:
    """Latents that are used: those whose law differs from the prior by more than a little, on the mean over frames.

    Parameters
    ----------
    divergence
        Of each latent from its prior, nats, ``(N, C, D)``.
    least
        Nats.

    Notes
    -----
    The usual count asks for a variance of the posterior mean above 0.01. It does not see a latent that tells
    something by its spread alone, as u does, whose square is what counts.
    """
    return int((divergence.flatten(1).mean(0) > least).sum())
