"""What validation days decide once a model is trained: what is wet, how rates read, how members are drawn.

All of it belongs to the model and is saved with it. The threshold makes rain as frequent as the radar's; of a
calibrated model a curve makes each rate as rare as the radar's. Of the samplings that a model offers, the one with the
least loss is kept::

    J = CRPS / min CRPS + 0.5 |ln spread-skill| + 0.1 |ln q99.9 ratio| + 0.02 mean |dB|

with the fair CRPS of all pixels, spread against error of the ensemble mean, the ratio of the 99.9 % quantiles of
members and radar, and the mean distance of their power spectra in decibels at all wavelengths above six pixels. Of
members drawn so, it is looked at last how likely rain must be to be called rain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ondee.condition import Batch
from ondee.generative.detection import best_odds
from ondee.generative.ensemble import almost_fair_crps
from ondee.generative.noise import Noise
from ondee.progress import track
from ondee.retriever.protocol import Retriever, Sampling
from ondee.transform import KNOTS
from ondee.units import WET

__all__ = ["Judged", "fit", "judge"]

Curve = tuple[Tensor, Tensor]

_SPREAD, _TAIL, _SPECTRUM = 0.5, 0.1, 0.02
"""Weights of the terms of J beside the CRPS."""
_SIDE = 512
"""Largest side of the window that is looked at, pixels."""
_RAREST = 50
"""Pixels of the radar above the last knot of the curve."""
_LONG = 100
"""Stages from which two members must do."""
_WORK = 6000
"""Evaluations of a network on 100 x 100 pixels that a fit may cost for one sampling."""


class Source(Protocol):
    """Where validation fields come from; :class:`ondee.batches.Scenes` is one."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> Batch:
        """Whole fields or a window, with the radar's rain."""
        ...


@dataclass(frozen=True)
class Judged:
    """What members are worth on the validation fields.

    Parameters
    ----------
    crps
        Fair score of all pixels, mm h-1.
    spread_skill
        Spread of the members over the error of their mean; 1 is best.
    tail
        99.9 % quantile of members over that of the radar.
    decibels
        Mean distance of the spectra, dB.
    """

    crps: float
    spread_skill: float
    tail: float
    decibels: float

    def loss(self, best: float) -> float:
        """J, beside the best CRPS of those compared."""
        off = _SPREAD * abs(_log(self.spread_skill)) + _TAIL * abs(_log(self.tail)) + _SPECTRUM * self.decibels
        return self.crps / best + off


def fit(retriever: Retriever, scenes: Source, *, seed: int, members: int = 4) -> dict[str, float]:
    """Set the threshold and the sampling of a model from validation fields.

    Parameters
    ----------
    retriever
        A trained model; its ``rain``, ``sampling`` and ``odds`` are changed.
    scenes
        Fields with the radar's rain, not trained on.
    seed
        Of the draws; others than those of a later retrieval with the same seed, for their keys are shifted.
    members
        Members drawn of each field; one of a model without chance.

    Returns
    -------
    dict
        What was found: ``threshold`` in mm h-1 and the number of ``fields``; of an ensemble also those of
        :class:`Judged`, ``detection_odds`` (how likely rain of 0.1 mm h-1 must be to be called rain), and steps and
        noise scale of the sampling.
    """
    count = members if retriever.stochastic else 1
    device = retriever.rain.threshold.device
    tried: list[tuple[Sampling, float, Curve | None, Judged | None]] = []
    offered = list(retriever.candidates()) if retriever.stochastic else [retriever.sampling]
    for sampling in track(offered, "fitting on validation days"):
        few = min(count, 2) if _is_long(retriever, sampling) else count
        truth, drawn = _draw(retriever, scenes, sampling, few, seed, device)
        threshold = wet_threshold(drawn, truth)
        curve = matching_curve(drawn, truth) if retriever.calibrated else None
        retriever.rain.set_threshold(threshold)
        if curve is not None:
            retriever.rain.set_curve(*curve)
        judged = judge(retriever.rain.decided(drawn), truth) if retriever.stochastic else None
        tried.append((sampling, threshold, curve, judged))
    sampling, threshold, curve, found = tried[_best([judged for *_, judged in tried])]
    retriever.sampling = sampling
    retriever.rain.set_threshold(threshold)
    if curve is not None:
        retriever.rain.set_curve(*curve)
    figures = {"threshold": threshold, "fields": float(len(truth))}
    if retriever.stochastic and members > 1:
        if not _is_long(retriever, sampling):
            truth, drawn = _draw(retriever, scenes, sampling, 2 * members, seed, device)
        retriever.odds.copy_(torch.from_numpy(best_odds(retriever.rain.decided(drawn), truth)))
        figures["detection_odds"] = float(retriever.odds[0])
    if found is None:
        return figures
    return figures | {
        "crps": found.crps,
        "spread_skill": found.spread_skill,
        "tail_ratio": found.tail,
        "spectrum_decibels": found.decibels,
        "steps": float(sampling.steps),
        "noise_scale": sampling.noise_scale,
    }


def _is_long(retriever: Retriever, sampling: Sampling) -> bool:
    return len(retriever.stages(sampling)) > _LONG


def _best(tried: Sequence[Judged | None]) -> int:
    found = [judged for judged in tried if judged is not None]
    if not found:
        return 0
    best = min(judged.crps for judged in found)
    return int(np.argmin([judged.loss(best) for judged in found]))


def _draw(
    retriever: Retriever, scenes: Source, sampling: Sampling, members: int, seed: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Radar ``(n, H, W)`` and undecided members ``(n, M, H, W)``, mm h-1, of fields spread evenly over the scenes."""
    window = _window(scenes)
    one = scenes.batch([0], *window)
    work = one.rain[0].numel() / 1e4 * max(1, len(retriever.stages(sampling)) - 1) * members
    count = int(np.clip(_WORK / work, 4, 24))
    chosen = np.unique(np.linspace(0, len(scenes) - 1, min(count, len(scenes))).round().astype(int))
    truth, drawn = [], []
    with retriever.rain.undecided():
        for index in chosen:
            batch = scenes.batch([int(index)], *window)
            keys = tuple(-1 - key for key in batch.keys)  # no moment of a retrieval has a negative key
            noise = Noise(seed, keys, members=tuple(range(members)), device=device)
            drawn.append(retriever.sample(batch.condition.to(device), noise, sampling).cpu())
            truth.append(batch.rain)
    return torch.cat(truth), torch.cat(drawn)


def _window(scenes: Source) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The middle of the grid, if it is large."""
    grid = getattr(scenes, "grid", None)
    if grid is None:
        return None, None
    sides = [max(0, (size - _SIDE) // 2) for size in grid.shape]
    return (sides[0], min(grid.ny, sides[0] + _SIDE)), (sides[1], min(grid.nx, sides[1] + _SIDE))


def wet_threshold(drawn: Tensor, truth: Tensor) -> float:
    """Rate from which members are called wet so that rain is as frequent as the radar's, mm h-1.

    Parameters
    ----------
    drawn
        ``(n, M, H, W)``, undecided, NaN where missing.
    truth
        ``(n, H, W)``, NaN where missing.

    Notes
    -----
    Members that are dry in the scaling of the rain lie near 0.02 mm/h and wet ones above 0.1 mm/h; the threshold lies
    between, or wherever the wet share of the radar is met. Rates that many pixels share, as the one that a matching of
    quantiles gives to all dry pixels, go to the side that is nearer to that share; a rate of 0 is never wet.
    """
    both = torch.isfinite(truth)[:, None] & torch.isfinite(drawn)
    seen = torch.isfinite(truth) & torch.isfinite(drawn).all(1)
    if not bool(seen.any()):
        return WET
    wet = float((truth[seen] >= WET).double().mean())
    rates = drawn[both].numpy()
    found = rates.max() if wet <= 0 else np.quantile(rates, 1 - wet, method="nearest")
    above, below = rates > found, rates < found
    with_it, without_it = 1 - below.mean(), above.mean()
    if found > 0 and with_it - wet <= wet - without_it:
        # Halfway to the next rate: scaled and back again, a threshold may move by a rounding.
        return float(found + rates[below].max(initial=0.0)) / 2
    if not above.any():
        return max(2 * float(found), WET)
    return float(found + rates[above].min()) / 2


def matching_curve(drawn: Tensor, truth: Tensor) -> Curve | None:
    """Rates drawn and rates of the radar that are exceeded as often, mm h-1; None where it hardly rains.

    Parameters
    ----------
    drawn
        ``(n, M, H, W)``, undecided, NaN where missing.
    truth
        ``(n, H, W)``, NaN where missing.
    """
    seen = torch.isfinite(truth) & torch.isfinite(drawn).all(1)
    radar = truth[seen].numpy()
    members = drawn.movedim(1, -1)[seen].numpy().ravel()
    wet = float((radar >= WET).mean()) if radar.size else 0.0
    rarest = _RAREST / max(radar.size, 1)
    if wet <= 4 * rarest:
        return None
    shares = 1 - np.geomspace(wet, rarest, KNOTS)
    rates = [np.maximum.accumulate(np.quantile(values, shares).clip(1e-4)) for values in (members, radar)]
    # Rates that many pixels share would make steps: each knot lies a little above the one before.
    ramp = 1 + 1e-5 * np.arange(KNOTS)
    return torch.from_numpy(rates[0] * ramp), torch.from_numpy(rates[1].clip(WET) * ramp)


def judge(drawn: Tensor, truth: Tensor) -> Judged:
    """Judge members ``(n, M, H, W)`` by the radar ``(n, H, W)``, mm h-1, where both are there."""
    seen = torch.isfinite(truth) & torch.isfinite(drawn).all(1)
    members = torch.where(seen[:, None], drawn, 0.0)
    radar = torch.where(seen, truth, 0.0)
    total = seen.sum().clamp(min=1)
    count = drawn.shape[1]
    crps = float(almost_fair_crps(members, radar, 1.0).sum() / total)
    variance = float(members.var(1, correction=1).sum() / total)
    error = float((members.mean(1) - radar).square().sum() / total)
    tails = [float(np.quantile(field[seen].numpy(), 0.999)) for field in (members[:, 0], radar)]
    return Judged(
        crps=crps,
        spread_skill=float(np.sqrt((count + 1) / count * variance / max(error, 1e-12))),
        tail=tails[0] / max(tails[1], 1e-6),
        decibels=_decibels(members[:, 0], radar),
    )


def _decibels(members: Tensor, radar: Tensor) -> float:
    """Mean absolute log ratio of two power spectra over rings of wave number, down to six pixels."""
    height, width = radar.shape[-2:]
    taper = torch.hann_window(height)[:, None] * torch.hann_window(width)[None, :]
    powers = [
        torch.fft.rfft2((field - field.mean((-2, -1), keepdim=True)) * taper).abs().square().mean(0)
        for field in (members, radar)
    ]
    number = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :])
    rings = (number * min(height, width)).round().long()
    ratios = []
    for ring in _rings(min(height, width)):
        there = rings == ring
        ratios.append(
            10 * abs(_log(float(powers[0][there].mean() / powers[1][there].mean().clamp(min=1e-12))) / 2.302585)
        )
    return float(np.mean(ratios)) if ratios else 0.0


def _rings(side: int) -> Iterable[int]:
    return range(2, max(3, side // 6))


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-6)))
