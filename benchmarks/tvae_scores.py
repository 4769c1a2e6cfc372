"""Scores of laws of rain as sums by block, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.tvae_rivals import Fields, neighbourhood
from ondee.score.resampling import intervals
from ondee.topographic.likelihood import Likelihood
from ondee.units import WET

__all__ = ["LEVELS", "QUANTILES", "SCALE", "SEED", "Sums", "Table", "fss", "law_sums", "quantiles", "ratio", "spelt"]

Sums = dict[str, NDArray[np.float64]]

SEED = 11
LEVELS = (0.1, 1.0)
"""Of the critical success index, mm h-1."""
QUANTILES = 20
"""Quantiles of the law of a pixel that stand for it."""
SCALE = 9
"""Width of the windows of the fractions skill score, pixels."""
_REPLICATES = 1000


class Table:
    """Sums of every method by block, and scores of them with intervals."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Sums]] = {}

    def add(self, method: str, block: str, sums: Sums) -> None:
        """Add sums of one case."""
        held = self._sums.setdefault(method, {}).setdefault(block, {})
        for name, values in sums.items():
            held[name] = held[name] + values if name in held else np.asarray(values, float)

    @property
    def methods(self) -> list[str]:
        """In the order in which they came."""
        return list(self._sums)

    def score(self, method: str, score: Callable[[Sums], NDArray[np.float64]], beside: str | None = None) -> Any:
        """A score of a method, or its difference to another one's, with its interval: ``(3, …)``."""
        names = [method] if beside is None else [method, beside]
        blocks = sorted(self._sums[method])
        kinds = list(self._sums[method][blocks[0]])
        stacked = {
            (name, kind): np.stack([self._sums[name][block][kind] for block in blocks])
            for name in names
            for kind in kinds
        }
        shapes = {key: values.shape[1:] for key, values in stacked.items()}
        flat = np.concatenate([values.reshape(len(blocks), -1) for values in stacked.values()], axis=1)

        def scored(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            parts: dict[str, Sums] = {name: {} for name in names}
            at = 0
            for (name, kind), shape in shapes.items():
                size = int(np.prod(shape))
                parts[name][kind] = sums[:, at : at + size].reshape(len(sums), *shape)
                at += size
            made = score(parts[method])
            return made if beside is None else made - score(parts[beside])

        whole = scored(flat.sum(0, keepdims=True))[0]
        return np.stack([whole, *intervals(flat, scored, replicates=_REPLICATES, seed=SEED)])


def ratio(above: str, below: str) -> Callable[[Sums], NDArray[np.float64]]:
    return lambda sums: np.asarray(sums[above] / np.maximum(sums[below], 1e-12))


def fss(sums: Sums) -> NDArray[np.float64]:
    return np.asarray(1 - sums["fss_apart"] / np.maximum(sums["fss_most"], 1e-12))


def spelt(values: NDArray[np.float64], digits: int = 3, sign: bool = False) -> str:
    """Score and interval in words; bold where a difference is clear of zero."""
    middle, low, high = (f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}" for value in values)
    text = f"{middle} [{low}, {high}]".replace("-", "−")
    return f"**{text}**" if sign and (values[1] > 0 or values[2] < 0) else text


# ---- what a law is worth


def law_sums(members: Fields, truth: Fields, levels: Sequence[float] = LEVELS) -> Sums:
    """Sums of the scores of laws, each given by quantiles, over frames.

    Parameters
    ----------
    members
        ``(M, F, H, W)``, equally likely, mm h-1, NaN where a method says nothing.
    truth
        ``(F, H, W)``.
    levels
        Of the critical success index, mm h-1.

    Returns
    -------
    dict
        Sums for each frame, ``(F,)``.
    """
    there = np.isfinite(truth) & np.isfinite(members).all(0)
    rain = np.where(there, truth, 0.0)
    drawn = np.sort(np.where(there, members, 0.0), axis=0)
    count = len(drawn)
    order = (2 * np.arange(1, count + 1) - count - 1)[:, None, None, None]
    crps = np.abs(drawn - rain).mean(0) - (order * drawn).sum(0) / count**2
    found: Sums = {"crps": _summed(crps, there), "pixels": there.sum((1, 2)).astype(float)}
    for level in levels:
        likely, event = (drawn >= level).mean(0) >= 0.5, rain >= level
        found[f"hits_{level:g}"] = _summed(likely & event, there)
        found[f"events_{level:g}"] = _summed(likely | event, there)
    found["wet"] = _summed((drawn >= WET).mean(0), there)
    found["wet_observed"] = _summed(rain >= WET, there)
    share = neighbourhood((drawn >= 1.0).mean(0), there, SCALE)
    true = neighbourhood((rain >= 1.0).astype(float), there, SCALE)
    inside = np.isfinite(share)
    found["fss_apart"] = np.where(inside, (share - true) ** 2, 0.0).sum((1, 2))
    found["fss_most"] = np.where(inside, share**2 + true**2, 0.0).sum((1, 2))
    return found


def _summed(values: NDArray[Any], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.where(there, values, 0.0).sum((1, 2)), float)


def quantiles(likelihood: Likelihood, made: Tensor) -> Fields:
    """Quantiles of the law of each pixel, ``(M, F, H, W)``, of planes ``(F, planes, H, W)``.

    Parameters
    ----------
    likelihood
        Of rain.
    made
        From the decoder.
    """
    levels = (torch.arange(QUANTILES) + 0.5) / QUANTILES
    shape = (*made.shape[:1], 1, *made.shape[2:])
    return np.stack([likelihood.draw(made, torch.full(shape, float(level)))[:, 0].numpy() for level in levels])
