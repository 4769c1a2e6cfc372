"""The variational autoencoder of sequences with topographic latents: what it learns by, and how likely it finds them.

References
----------
T. A. Keller and M. Welling, Topographic VAEs learn equivariant capsules, NeurIPS 2021, arXiv 2109.01394;
T. A. Keller and M. Welling, Predictive coding with topographic variational autoencoders, ICCVW 2021 (`lead`);
Y. Burda et al., Importance weighted autoencoders, ICLR 2016, Eq. 7 (likelihood).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.nn.advective import AdvectiveDecoder, AdvectiveEncoder
from ondee.nn.autoencoder import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DenseDecoder,
    DenseEncoder,
    Heads,
)
from ondee.topographic.likelihood import Likelihood, likelihood_of
from ondee.topographic.settings import LatentSettings
from ondee.topographic.topography import Topography
from ondee.units import WET

__all__ = ["LatentSettings", "Posterior", "TopographicVAE"]

_LOG_ROOT = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Posterior:
    """Diagonal Gaussians of z and u at each frame, ``(B, S, C, D)`` each; those of u are None where it is not used.

    `entered` ``(S, C, D)`` tells which latents are drawn at their frame; a register carries the others on. None: all.
    """

    z_mean: Tensor
    z_log_variance: Tensor
    u_mean: Tensor | None = None
    u_log_variance: Tensor | None = None
    entered: Tensor | None = None

    @cached_property
    def z_spread(self) -> Tensor:
        """Standard deviation of z."""
        return torch.exp(0.5 * self.z_log_variance)

    @cached_property
    def u_spread(self) -> Tensor | None:
        """Standard deviation of u."""
        return None if self.u_log_variance is None else torch.exp(0.5 * self.u_log_variance)

    def drawn(self, z_noise: Tensor, u_noise: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Draw z and u from standard normal noise of their shape."""
        z = torch.addcmul(self.z_mean, z_noise, self.z_spread)
        if self.u_mean is None or self.u_spread is None or u_noise is None:
            return z, None
        return z, torch.addcmul(self.u_mean, u_noise, self.u_spread)

    def squares(self) -> Tensor | None:
        """Expectation of u²."""
        if self.u_mean is None or self.u_spread is None:
            return None
        return self.u_mean.square() + self.u_spread.square()

    def divergence(self) -> dict[str, Tensor]:
        """Kullback-Leibler divergence from the standard normal prior of each latent, nats, of ``z`` and of ``u``.

        What a register carries on has none of its own.
        """
        made = {"z": _divergence(self.z_mean, self.z_log_variance, self.z_spread)}
        if self.u_mean is not None and self.u_log_variance is not None and self.u_spread is not None:
            made["u"] = _divergence(self.u_mean, self.u_log_variance, self.u_spread)
        return made if self.entered is None else {name: nats * self.entered for name, nats in made.items()}

    def weight(self, z: Tensor, u: Tensor | None) -> Tensor:
        """Log density of drawn latents under the prior less that under this law, summed in each frame: ``(B, S)``."""
        found = _density(z, 0.0, 0.0) - _density(z, self.z_mean, self.z_log_variance)
        if u is not None and self.u_mean is not None and self.u_log_variance is not None:
            found = found + _density(u, 0.0, 0.0) - _density(u, self.u_mean, self.u_log_variance)
        if self.entered is not None:
            found = found * self.entered
        return found.flatten(-2).sum(-1)


def _divergence(mean: Tensor, log_variance: Tensor, spread: Tensor) -> Tensor:
    return 0.5 * (mean.square() + spread.square() - 1 - log_variance)


def _density(values: Tensor, mean: Tensor | float, log_variance: Tensor | float) -> Tensor:
    """Log density of Gaussians, each by itself."""
    spread = torch.as_tensor(log_variance, dtype=values.dtype, device=values.device)
    off = (values - mean).square() * torch.exp(-spread)
    return -0.5 * (off + spread) - _LOG_ROOT


class TopographicVAE(nn.Module):
    """Encoder, topographic latents and decoder of sequences of frames.

    Parameters
    ----------
    settings
        Of the model.
    shape
        Channels, height and width of a frame.
    encoder, decoder
        Networks in place of those that the settings name: the encoder gives ``(N, 2 C D)`` for z, or a list of it for z
        and for u, and the decoder ``(N, planes, H, W)`` of ``(N, C D)``.
    likelihood
        In place of that of the settings.
    """

    def __init__(
        self,
        settings: LatentSettings,
        shape: tuple[int, int, int],
        *,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape
        self.topography = Topography(settings)
        self.likelihood = likelihood or likelihood_of(settings.likelihood)
        if settings.network == "advective":  # its encoder has the components of its decoder
            self.decoder = decoder or self._decoder()
        self.encoder = encoder or self._encoder()
        if settings.network != "advective":
            self.decoder = decoder or self._decoder()

    def _encoder(self) -> nn.Module:
        settings, latents = self.settings, self.topography.size
        count = 2 if self.topography.is_topographic else 1
        _, height, width = self.shape
        if settings.network == "advective" and isinstance(self.decoder, AdvectiveDecoder):
            return AdvectiveEncoder(
                self.decoder.components,
                self.topography.places,
                settings.history,
                settings.layers,
                settings.features,
                count,
            )
        seen = (self.seen_planes, height, width)
        if settings.network == "dense":
            return Several([DenseEncoder(seen, latents, settings.layers) for _ in range(count)])
        trunk = ConvolutionalEncoder(seen, settings.layers, settings.features)
        return Heads(trunk, settings.features, latents, count)

    def _decoder(self) -> nn.Module:
        settings, latents = self.settings, self.topography.size
        channels, height, width = self.shape
        made = (channels * self.likelihood.planes, height, width)
        if settings.network == "advective":
            return AdvectiveDecoder((height, width), settings.staying, self.topography.places, made[0])
        if settings.network == "dense":
            return DenseDecoder(made, latents, settings.layers[::-1])
        return ConvolutionalDecoder(made, latents, settings.layers)

    # ---- what an encoder sees

    @property
    def seen_planes(self) -> int:
        """Planes that an encoder sees of a frame and its history: of rain also where it is wet and was observed."""
        return self.shape[0] * (3 if self.likelihood.is_rain else 1) * (1 + self.settings.history)

    def seen(self, frames: Tensor) -> Tensor:
        """Frames ``(…, channels, H, W)`` as an encoder sees them; what is missing is told as such."""
        if not self.likelihood.is_rain:
            return torch.nan_to_num(frames, nan=0.0, posinf=0.0, neginf=0.0)
        there = torch.isfinite(frames)
        rain = torch.where(there, frames, 0.0)
        wet = rain >= WET
        level = torch.where(wet, 1 + torch.log10(rain.clamp(min=WET)), 0.0)
        return torch.cat([level, wet.to(level.dtype), there.to(level.dtype)], dim=-3)

    # ---- from frames to latents and back

    def encode(self, frames: Tensor) -> Posterior:
        """Laws of z and u.

        Parameters
        ----------
        frames
            ``(B, S, channels, H, W)``: grey values in [0, 1], or rain in mm h-1; NaN where missing.
        """
        batch, length = frames.shape[:2]
        seen = self.seen(frames)
        is_whole = isinstance(self.encoder, AdvectiveEncoder)  # it sees sequences, and needs no history beside frames
        told = self.encoder(seen if is_whole else self._with_history(seen).flatten(0, 1))
        parts = [told] if isinstance(told, Tensor) else list(told)
        shape = (batch, length, self.topography.capsules, self.topography.places)
        laws = [entry.reshape(shape) for part in parts for entry in part.float().chunk(2, dim=-1)]
        laws = [self.topography.carried(entry) for entry in laws[: 4 if self.topography.is_topographic else 2]]
        z, u = laws[:2], laws[2:] or [None, None]
        entered = self.topography.entered(length).to(frames.device) if self.settings.carried else None
        return Posterior(z[0], z[1], u[0], u[1], entered)

    def _with_history(self, seen: Tensor) -> Tensor:
        """Planes of each frame and of those before it, ``(B, S, (1 + history) planes, H, W)``; 0 before the first."""
        before = [seen]
        for back in range(1, min(self.settings.history, seen.shape[1] - 1) + 1):
            before.append(torch.cat([torch.zeros_like(seen[:, :back]), seen[:, :-back]], 1))
        before += [torch.zeros_like(seen)] * (1 + self.settings.history - len(before))
        return torch.cat(before, 2)

    def latents(self, frames: Tensor) -> Tensor:
        """Topographic latents ``(B, S, C, D)`` of the posterior means: (E z + mu) / sqrt(sum of E u²).

        Those of a frame hold something of its neighbours, later ones too unless the coherence is causal.
        """
        posterior = self.encode(frames)
        return self.topography.expected(posterior.z_mean, posterior.squares())

    def sampled(self, posterior: Posterior, noise: Noise, stream: str = "") -> tuple[Tensor, Tensor | None]:
        """Draw z and u with keyed noise, ``(B, S, C, D)``."""
        shape = posterior.z_mean.shape
        count = math.prod(shape[1:])
        needed = ("z", "u") if posterior.u_mean is not None else ("z",)
        drawn = [noise.vectors(name + stream, count).reshape(shape).to(posterior.z_mean) for name in needed]
        return posterior.drawn(*(self.topography.carried(entry) for entry in drawn))

    def prior(self, frames: int, noise: Noise) -> Tensor:
        """Topographic latents of sequences that nothing was seen of, ``(B, S, C, D)``: one for each key of the noise.

        Parameters
        ----------
        frames
            Of a sequence, S.
        noise
            Keyed by sample; its members are not used.
        """
        shape = (len(noise.keys), frames, self.topography.capsules, self.topography.places)
        names = ("z", "u") if self.topography.is_topographic else ("z",)
        drawn = [noise.vectors(f"{name} of the prior", math.prod(shape[1:])).reshape(shape) for name in names]
        made: Tensor = self.topography(*(self.topography.carried(entry) for entry in drawn))
        return made

    def decode(self, latents: Tensor) -> Tensor:
        """Planes ``(…, channels planes, H, W)`` of topographic latents ``(…, C, D)``."""
        flat = latents.reshape(-1, self.topography.size)
        made: Tensor = self.decoder(flat).float()  # a likelihood needs all of its digits
        return made.reshape(*latents.shape[:-2], *made.shape[1:])

    def told(self, latents: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What latents are decoded to, and the frames that this tells.

        A model that only looks ahead (no lead is 0) tells a frame from the latents of an earlier one, rolled.

        Parameters
        ----------
        latents
            ``(B, S, C, D)``.
        frames
            ``(B, S, channels, H, W)``.

        Returns
        -------
        tuple of Tensor
            Planes ``(B, S - lead, channels planes, H, W)``, and the frames from `lead` on.
        """
        ahead = min(self.settings.lead)
        if not ahead:
            return self.decode(latents), frames
        return self.decode(self.topography.roll(latents[:, :-ahead], ahead)), frames[:, ahead:]

    def reconstruct(self, frames: Tensor) -> Tensor:
        """Expected pixels of the posterior means, ``(B, S, channels, H, W)``."""
        return self.likelihood.mean(self.decode(self.latents(frames)))

    # ---- learning

    def loss(
        self, frames: Tensor, noise: Noise, weight: float = 1.0, samples: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Bound on the negative log-likelihood, nats a frame, of one draw of the latents.

        Parameters
        ----------
        frames
            ``(B, S, channels, H, W)``.
        noise
            Keyed by sample.
        weight
            Of the divergence, for a warm-up.
        samples
            Weights of the sequences, ``(B,)``, 1 on average; all alike where None.

        Returns
        -------
        dict
            ``loss``, ``reconstruction``, ``divergence_z`` and ``divergence_u``. With leads ahead, a frame that the
            sequence does not have counts for nothing.
        """
        posterior = self.encode(frames)
        z, u = self.sampled(posterior, noise)
        latents = self.topography(z, u)
        share = torch.ones(len(frames), device=frames.device) if samples is None else samples
        share = share / (len(frames) * frames.shape[1])
        parts = {"reconstruction": (share * self._missed(latents, frames)).sum()}
        for name, nats in posterior.divergence().items():
            parts[f"divergence_{name}"] = (share * nats.flatten(1).sum(1)).sum()
        divergence = sum((nats for name, nats in parts.items() if name != "reconstruction"), torch.zeros(()))
        return {"loss": parts["reconstruction"] + weight * divergence, **parts}

    def _missed(self, latents: Tensor, frames: Tensor) -> Tensor:
        """Negative log-likelihood of each sequence, the mean of the leads by their shares, each as of all frames."""
        found = []
        for lead in self.settings.lead:
            kept = frames.shape[1] - lead
            if kept < 1:
                raise ConfigError(
                    f"sequences of {frames.shape[1]} frames have none {lead} frames ahead",
                    where="settings.lead",
                    fix="give shorter leads or longer sequences",
                )
            # What lies ahead is told by frames that have all of their history.
            first = min(self.settings.history, kept - 1) if lead else 0
            seen = latents[:, first:kept]
            made = self.decode(self.topography.roll(seen, lead) if lead else seen)
            nats = self.likelihood.log_probability(made, frames[:, first + lead :]).flatten(1).sum(1)
            found.append(-nats * frames.shape[1] / (kept - first))
        shares = torch.tensor(self.settings.lead_shares or [1.0] * len(found), device=frames.device)
        return torch.stack(found, -1) @ (shares / shares.sum())

    # ---- how likely

    @torch.no_grad()
    def log_likelihood(self, frames: Tensor, noise: Noise, samples: int = 10) -> dict[str, Tensor]:
        """Importance-weighted log-likelihood of sequences, nats a frame.

        Parameters
        ----------
        frames
            ``(B, S, channels, H, W)``.
        noise
            Keyed by sample; its members are not used.
        samples
            Draws of the latents, K.

        Returns
        -------
        dict
            ``sequence``: log of the mean weight of whole sequences, over S; a lower bound of log p(x) / S that rises
            to it with K. ``frame``: what the published code reports, the log of the *sum* of the weights of each frame
            by itself, although its latents depend on the neighbours' u; it is no bound and only good to compare with
            published numbers. ``(B,)`` each.

        Raises
        ------
        ConfigError
            If the model was never asked for the frame itself: it has no likelihood of it.
        """
        if 0 not in self.settings.lead:
            raise ConfigError(
                f"the model decodes frames ahead ({', '.join(map(str, self.settings.lead))}), never the frame itself",
                where="settings.lead",
                fix="train with 0 among the leads",
            )
        posterior = self.encode(frames)
        weights = []
        for number in range(samples):
            z, u = self.sampled(posterior, noise, f" of draw {number}")
            made = self.decode(self.topography(z, u))
            nats = self.likelihood.log_probability(made, frames).flatten(2).sum(-1)
            weights.append((nats + posterior.weight(z, u)).double())
        each = torch.stack(weights)
        whole = torch.logsumexp(each.sum(-1), 0) - math.log(samples)
        return {"sequence": whole / frames.shape[1], "frame": torch.logsumexp(each, 0).mean(-1)}


class Several(nn.ModuleList):
    """Networks side by side on the same input."""

    def forward(self, values: Tensor) -> list[Tensor]:
        """What each makes of it."""
        return [network(values) for network in self]
