"""Principal components of frames of rain, in decibels: what a linear model of the same size makes of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ondee.units import WET

__all__ = ["DRY_LEVEL", "level_of", "principal"]

DRY_LEVEL = -15.0
"""Level of dry pixels, dB of the rain rate: five below the threshold."""


def level_of(rain: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rain, mm h-1, in decibels; dry pixels at −15 dB, missing ones NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where(rain >= WET, 10 * np.log10(np.maximum(rain, WET)), DRY_LEVEL)
    return np.where(np.isfinite(rain), level, np.nan).astype(np.float32)


def principal(
    level: NDArray[np.float64], weight: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, components and the variance along each, largest first.

    Parameters
    ----------
    level
        Frames without gaps, ``(N, P)``.
    weight
        Of each frame, ``(N,)``.
    size
        Components, K; at most P.

    Returns
    -------
    tuple of ndarray
        ``(P,)``, ``(K, P)`` orthonormal and ``(K,)``. The sign of a component is that its largest entry is positive.
    """
    from scipy.linalg import eigh

    share = weight / weight.sum()
    mean = share @ level
    scaled = (level - mean) * np.sqrt(share)[:, None]
    last = scaled.shape[1] - 1
    variance, vectors = eigh(scaled.T @ scaled, subset_by_index=(last - size + 1, last))
    basis = vectors[:, ::-1].T
    largest = np.take_along_axis(basis, np.abs(basis).argmax(1)[:, None], 1)
    return mean, np.ascontiguousarray(basis * np.sign(largest)), np.maximum(variance[::-1], 0)
