"""What a trained model of sequences is worth on sequences that it has not learnt from.

Every figure stands beside what it would be without having learnt anything: equivariance beside chance, the identity and
an untrained model, a rolled first frame beside the same frame left as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.progress import track
from ondee.topographic.likelihood import RainLikelihood
from ondee.topographic.measures import (
    active_units,
    capsule_correlation,
    centred,
    chance_of_error,
    equivariance_error,
)
from ondee.topographic.model import Posterior, TopographicVAE
from ondee.topographic.sequences import Drawn, Factors
from ondee.units import WET

__all__ = ["judge", "judge_rain", "unrolled", "untrained"]

_TOGETHER = 16
_OBSERVED, _WET_SHARE = 0.5, 0.01
"""Least shares of observed and of wet pixels of a frame that is compared with another."""


class Source(Protocol):
    """Where sequences of rain come from."""

    def batch(self, numbers: Sequence[int], *, device: torch.device | str = "cpu") -> Drawn:
        """Sequences by their numbers."""
        ...


def untrained(model: TopographicVAE, seed: int) -> TopographicVAE:
    """The same model with weights as they are before any training.

    Parameters
    ----------
    model
        Any.
    seed
        Of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model.settings.network == "advective":  # some of its layers begin with values of their own
            return TopographicVAE(model.settings, model.shape).eval()
        fresh = copy.deepcopy(model)
        for part in fresh.modules():
            if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.GroupNorm):
                part.reset_parameters()
    with torch.no_grad():
        if fresh.topography.is_topographic:
            fresh.topography.centre.fill_(model.settings.centre)
    return fresh.eval()


@torch.no_grad()
def unrolled(model: TopographicVAE, frames: Tensor) -> tuple[NDArray[np.float32], ...]:
    """Sequences as a figure shows them: as they are, reconstructed, and what the first frame's latents roll to.

    Parameters
    ----------
    model
        A trained model.
    frames
        ``(B, S, channels, H, W)``.

    Returns
    -------
    tuple of ndarray
        Three arrays ``(B, S, H, W, channels)``.
    """
    latents = model.latents(frames)
    rolled = torch.stack([model.topography.roll(latents[:, 0], lag) for lag in range(frames.shape[1])], dim=1)
    made = (model.likelihood.mean(model.decode(entry)) for entry in (latents, rolled))
    return tuple(fields.movedim(-3, -1).float().cpu().numpy() for fields in (frames, *made))


@torch.no_grad()
def judge(
    model: TopographicVAE, source: Factors, *, seed: int, count: int = 96, draws: int = 10, likelihood: int = 32
) -> dict[str, float]:
    """Figures of a model on sequences of a source.

    Parameters
    ----------
    model
        A trained model.
    source
        Of sequences that were not learnt from.
    seed
        Of the draws of the latents.
    count
        Sequences of each factor.
    draws
        Draws of an importance-weighted likelihood.
    likelihood
        Sequences of each factor on which it is estimated.

    Returns
    -------
    dict
        ``reconstruction`` and ``divergence`` (nats a frame, of one draw), ``log_likelihood`` (nats a frame, of whole
        sequences) and ``log_likelihood_frame`` (as published, of frames), ``equivariance`` (of posterior means),
        ``…_drawn`` (of one draw, as published), ``…_identity``, ``…_centred``, ``…_centred_identity``, ``…_untrained``
        and ``…_chance``, ``active_units_z`` and ``active_units_u``, and for each factor ``capcorr_NAME`` (and
        ``…_untrained``), ``rolled_NAME`` and ``frozen_NAME`` (nats of the frames 1 to S - 1, decoded from the latents
        of the first one rolled, and left as they are; they are no forecast, since they share u with later frames). A
        figure that the model cannot have is left out: a correlation of capsules with several speeds, axes or too few
        places, a likelihood where only frames ahead were learnt.
    """
    model = model.eval()
    device = next(model.parameters()).device
    sums: dict[str, list[float]] = {}
    means: list[Posterior] = []
    made: dict[str, float] = {}
    fresh = untrained(model, seed)
    names = list(source.factors)
    for factor, name in enumerate(track(names, "judging by factor")):
        latents, before, values, moved = [], [], [], []
        for numbers in _batches(count):
            drawn = source.batch([factor * count + number for number in numbers], factor=factor, device=device)
            noise = Noise(seed, keys=[-1 - factor * count - number for number in numbers], device=device)
            few = len([number for number in numbers if number < likelihood])
            found = _of_batch(model, fresh, drawn.frames, noise, draws, few)
            for key, entry in found.items():
                sums.setdefault(key.replace("NAME", name), []).extend(entry.tolist())
            means.append(model.encode(drawn.frames))
            latents.append(model.latents(drawn.frames).cpu())
            before.append(fresh.latents(drawn.frames).cpu())
            values.append(drawn.value)
            moved.append(drawn.factor)
        size, first = source.factors[name], np.concatenate(values)
        if _tells_rolls(model, size) and all(bool((entry == factor).all()) for entry in moved):
            made[f"capcorr_{name}"] = capsule_correlation(torch.cat(latents), first, size)
            made[f"capcorr_{name}_untrained"] = capsule_correlation(torch.cat(before), first, size)
    made = {key: float(np.mean(entry)) for key, entry in sums.items()} | made
    made["equivariance_chance"] = chance_of_error(source.frames, model.topography.capsules, model.topography.places)
    return made | _active(means)


def _active(posteriors: Sequence[Posterior]) -> dict[str, float]:
    """Active units of z and of u."""
    found = [one.divergence() for one in posteriors]
    return {
        f"active_units_{name}": float(active_units(torch.cat([one[name] for one in found]).flatten(0, 1)))
        for name in found[0]
    }


def _tells_rolls(model: TopographicVAE, size: int) -> bool:
    """Whether a roll of one place a frame along one axis could tell so many values."""
    topography = model.topography
    return topography.places >= size and all(velocity == (1.0,) for velocity in topography.velocities())


def _batches(count: int) -> Iterator[range]:
    for first in range(0, count, _TOGETHER):
        yield range(first, min(first + _TOGETHER, count))


def _of_batch(
    model: TopographicVAE, fresh: TopographicVAE, frames: Tensor, noise: Noise, draws: int, few: int
) -> dict[str, Tensor]:
    """Figures of each sequence of a batch."""
    posterior = model.encode(frames)
    drawn = model.topography(*model.sampled(posterior, noise))
    means = model.topography.expected(posterior.z_mean, posterior.squares())
    roll = model.topography.roll
    bound = _bound(model, frames, noise)
    found = {
        **{name: bound[name] / bound["frames"] for name in ("reconstruction", "divergence")},
        "equivariance": equivariance_error(means, roll),
        "equivariance_identity": equivariance_error(means, _stay),
        "equivariance_drawn": equivariance_error(drawn, roll),
        "equivariance_centred": equivariance_error(centred(means), roll),
        "equivariance_centred_identity": equivariance_error(centred(means), _stay),
        "equivariance_untrained": equivariance_error(fresh.latents(frames), fresh.topography.roll),
        **_followed(model, means, frames),
    }
    if few and 0 in model.settings.lead:
        chosen = Noise(noise.seed, keys=list(noise.keys)[:few], device=noise.device)
        found |= {
            {"sequence": "log_likelihood", "frame": "log_likelihood_frame"}[key]: nats
            for key, nats in model.log_likelihood(frames[:few], chosen, draws).items()
        }
    return found


def _followed(model: TopographicVAE, means: Tensor, frames: Tensor) -> dict[str, Tensor]:
    """How well the first frame, rolled or left, decodes to the later ones."""
    length = frames.shape[1]
    rolled = torch.stack([model.topography.roll(means[:, 0], lag) for lag in range(1, length)], dim=1)
    frozen = means[:, :1].expand_as(rolled)
    return {
        f"{name}_NAME": -_nats(model, latents, frames[:, 1:]) / (length - 1)
        for name, latents in (("rolled", rolled), ("frozen", frozen))
    }


def _nats(model: TopographicVAE, latents: Tensor, frames: Tensor) -> Tensor:
    """Log-likelihood of sequences, ``(B,)``."""
    return model.likelihood.log_probability(model.decode(latents), frames).flatten(1).sum(1)


def _stay(latents: Tensor, frames: float) -> Tensor:
    return latents


@torch.no_grad()
def judge_rain(
    model: TopographicVAE,
    source: Source,
    *,
    seed: int,
    count: int = 64,
    lags: int = 3,
    levels: Sequence[float] = (0.1, 1.0),
) -> dict[str, float]:
    """Figures of a model on sequences of rain, each counted by its weight.

    Parameters
    ----------
    model
        A trained model.
    source
        Of sequences that were not learnt from, rain in mm h-1.
    seed
        Of the draws of the latents.
    count
        Sequences.
    lags
        Frames ahead for which rolled and frozen latents are compared.
    levels
        Rain rates, mm h-1, of the critical success index of the expected rain.

    Returns
    -------
    dict
        ``reconstruction`` and ``divergence`` (nats a frame), ``nats`` (of an observed pixel, of posterior means),
        ``wet_ratio`` (expected wet pixels over observed ones), ``csi_LEVEL``, ``roll_skill_LAG`` (1 less the error of
        rolled latents over that of latents left as they are) and ``…_untrained``, ``rolled_LAG`` and ``frozen_LAG``
        (nats of an observed pixel so many frames ahead), ``pairs_LAG`` (frames that were compared) and
        ``active_units_z`` and ``active_units_u``. Frames are compared where both are at least half observed and it
        rains in both, in one pixel of a hundred or more: where nothing moves there is nothing to be told.
    """
    model = model.eval()
    device = next(model.parameters()).device
    sums: dict[str, float] = {}
    means: list[Posterior] = []
    fresh = untrained(model, seed)
    for numbers in _batches(count):
        drawn = source.batch(numbers, device=device)
        weight = torch.ones(len(numbers), device=device) if drawn.weight is None else drawn.weight
        noise = Noise(seed, keys=[-1 - number for number in numbers], device=device)
        latents = model.latents(drawn.frames)
        found = {**_bound(model, drawn.frames, noise), **_seen_rain(model, latents, drawn.frames, levels)}
        lags = min(lags, drawn.frames.shape[1] - 1)
        found |= _ahead(model, latents, drawn.frames, lags)
        before = _ahead(fresh, fresh.latents(drawn.frames), drawn.frames, lags)
        found |= {f"{name}_untrained": values for name, values in before.items()}
        for name, values in found.items():
            sums[name] = sums.get(name, 0.0) + float((weight * values).sum())
        means.append(model.encode(drawn.frames))
    made = {
        "reconstruction": sums["reconstruction"] / sums["frames"],
        "divergence": sums["divergence"] / sums["frames"],
        "nats": sums["nats"] / sums["pixels"],
        "wet_ratio": sums["wet"] / max(sums["wet_observed"], 1e-9),
    }
    made |= {f"csi_{level:g}": sums[f"hits_{level:g}"] / max(sums[f"events_{level:g}"], 1e-9) for level in levels}
    for lag in range(1, lags + 1):
        if not sums[f"pairs_{lag}"] > 0:
            continue
        for kind in ("", "_untrained"):
            made[f"roll_skill_{lag}{kind}"] = 1 - sums[f"moved_{lag}{kind}"] / max(sums[f"stayed_{lag}{kind}"], 1e-9)
        made |= {f"{kind}_{lag}": sums[f"{kind}_{lag}"] / sums[f"pixels_{lag}"] for kind in ("rolled", "frozen")}
        made[f"pairs_{lag}"] = sums[f"pairs_{lag}"]
    return made | _active(means)


def _bound(model: TopographicVAE, frames: Tensor, noise: Noise) -> dict[str, Tensor]:
    """Parts of the bound of each sequence, of one draw."""
    posterior = model.encode(frames)
    z, u = model.sampled(posterior, noise)
    divergence = torch.stack([nats.flatten(1).sum(1) for nats in posterior.divergence().values()]).sum(0)
    length = torch.full_like(divergence, float(frames.shape[1]))
    made, seen = model.told(model.topography(z, u), frames)
    nats = model.likelihood.log_probability(made, seen).flatten(1).sum(1)
    return {
        "reconstruction": -nats * frames.shape[1] / seen.shape[1],
        "divergence": divergence,
        "frames": length,
    }


def _seen_rain(model: TopographicVAE, latents: Tensor, frames: Tensor, levels: Sequence[float]) -> dict[str, Tensor]:
    """Sums over the observed pixels of each sequence."""
    made, frames = model.told(latents, frames)
    there = torch.isfinite(frames)
    rain = torch.where(there, frames, 0.0)
    expected = model.likelihood.mean(made)
    found = {
        "nats": -model.likelihood.log_probability(made, frames).flatten(1).sum(1),
        "pixels": there.flatten(1).sum(1).float(),
        "wet": torch.where(there, _wet(model, made), 0.0).flatten(1).sum(1),
        "wet_observed": (there & (rain >= WET)).flatten(1).sum(1).float(),
    }
    for level in levels:
        both = torch.stack([there & (rain >= level), there & (expected >= level)])
        found[f"hits_{level:g}"] = both.all(0).flatten(1).sum(1).float()
        found[f"events_{level:g}"] = both.any(0).flatten(1).sum(1).float()
    return found


def _wet(model: TopographicVAE, made: Tensor) -> Tensor:
    """Probability of rain where the likelihood is one of rain."""
    if not isinstance(model.likelihood, RainLikelihood):
        raise ConfigError(
            "the likelihood of the model is not one of rain",
            where="settings.likelihood",
            fix="judge a model that was trained on rain",
        )
    return model.likelihood.wet(made)


def _ahead(model: TopographicVAE, latents: Tensor, frames: Tensor, lags: int) -> dict[str, Tensor]:
    """Rolled and frozen latents against those of later frames, and what they decode to against the rain."""
    found = {}
    flat = centred(latents)
    there = torch.isfinite(frames)
    lively = (there.float().mean((-3, -2, -1)) >= _OBSERVED) & (
        (frames >= WET).float().mean((-3, -2, -1)) >= _WET_SHARE
    )
    for lag in range(1, lags + 1):
        before, after = latents[:, :-lag], flat[:, lag:]
        both = lively[:, :-lag] & lively[:, lag:]
        later = torch.where(both[..., None, None, None], frames[:, lag:], torch.nan)
        rolled = model.topography.roll(before, lag)
        for name, moved in (("moved", rolled), ("stayed", before)):
            apart = (centred(moved) - after).abs().flatten(2).sum(2)
            found[f"{name}_{lag}"] = (apart * both).sum(1)
        found[f"rolled_{lag}"] = -_nats(model, rolled, later)
        found[f"frozen_{lag}"] = -_nats(model, before, later)
        found[f"pixels_{lag}"] = torch.isfinite(later).flatten(1).sum(1).float()
        found[f"pairs_{lag}"] = both.sum(1).float()
    return found
