"""Conditional flow matching from a source near the answer.

A draw starts at ``x0 = m(c) + tau kappa(c) noise`` and follows a learnt velocity to the rain. The source decides how
much there is left to do:

========== =============== ============ ==================================================================
source     kappa           sees images  is
========== =============== ============ ==================================================================
`noise`    1, and m = 0    yes          plain conditional flow matching
`residual` one number      yes          a flow of the residual about a frozen mean, up to a shift
`mean`     sigma(c)        yes          little noise where the images leave little doubt, as in clear sky
`pmrf`     a small number  no           carries the mean to the most likely realistic field
========== =============== ============ ==================================================================

References
----------
Y. Lipman et al., ICLR 2023 (flow matching); S. Fotiadis et al., arXiv 2410.19814 (stochastic flow matching: a source
from the condition); G. Ohayon et al., Posterior-mean rectified flow, arXiv 2410.00418 (`pmrf`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.errors import ConfigError
from ondee.generative.flow import Evaluation, between, evaluations, logit_normal, preconditioned
from ondee.generative.noise import Noise
from ondee.nn.unet import UNet
from ondee.retriever import unet
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, by_member, weighted

__all__ = ["Flow", "Settings"]


class Settings(Part):
    """Of the flow."""

    source: Literal["noise", "residual", "mean", "pmrf"] = "mean"
    """Where a draw starts; see the table of the module."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Least kappa of the source `mean`, in the scaling of the rain."""
    constant: Annotated[float, Field(gt=0, le=2)] = 0.1
    """Kappa of the source `pmrf`, in the scaling of the rain."""
    widths: Annotated[tuple[Annotated[int, Field(ge=4, le=1024)], ...], Field(min_length=1)] = (32, 64, 128)
    """Channels at 1/2, 1/4, 1/8 … of the resolution."""
    dilations: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (1, 2)
    """Spread of the blocks at the coarsest level."""
    embedding: Annotated[int, Field(ge=8, le=512, multiple_of=2)] = 64
    """Width of the embedding of the flow's time."""
    mean: unet.Settings = unet.Settings()
    """The regression that gives m and sigma: as the run that it is taken from."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain."""
    sampling: Sampling = Sampling()
    """How members are drawn until validation has said better."""


class Flow(Retriever):
    """A velocity that carries noise about a frozen mean to rain."""

    residual: Tensor

    settings_type = Settings
    taken = ("mean",)

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        if settings.mean.kind == "plain" or settings.mean.rain.kind != settings.rain.kind:
            raise ConfigError(
                "the flow starts from mean and spread in its own scaling of the rain, and the regression is "
                f"{settings.mean.kind!r} and scales rain by {settings.mean.rain.kind!r}",
                where="settings, mean and rain",
                fix=f"take a probabilistic regression trained with rain: kind: {settings.rain.kind}, or set rain alike",
            )
        self.mean = unet.RegressionUNet(settings.mean, predictors, statistics).frozen()
        self.register_buffer("residual", torch.tensor(1.0))
        planes = 1 if settings.source == "pmrf" else predictors.planes + 4
        self.network = UNet(planes, 1, settings.widths, embedding=settings.embedding, dilations=settings.dilations)

    # ---- the source

    def source(self, condition: Condition) -> dict[str, Tensor]:
        """Mean and kappa of the source, ``(B, 1, H, W)`` each, in the scaling of the rain."""
        made = self.mean.predict(condition)
        mean, spread = made["mean"], made["spread"]
        kind = self.settings.source
        if kind == "noise":
            return {"mean": torch.zeros_like(mean), "kappa": torch.ones_like(mean)}
        if kind == "residual":
            return {"mean": mean, "kappa": torch.ones_like(mean) * self.residual}
        if kind == "pmrf":
            return {"mean": mean, "kappa": torch.full_like(mean, self.settings.constant)}
        return {"mean": mean, "kappa": spread.clamp(min=self.settings.floor)}

    def velocity(self, position: Tensor, time: Tensor, planes: Tensor, mean: Tensor, kappa: Tensor) -> Tensor:
        """Velocity in the scaling of the rain.

        Parameters
        ----------
        position, mean, kappa
            ``(B, 1, H, W)``.
        time
            ``(B,)``.
        planes
            What the network sees of the condition, ``(B, K, H, W)``.
        """
        scaled = (position - mean) / kappa
        if self.settings.source == "pmrf":
            return self.residual * cast(Tensor, self.network(position, time))
        skip, scale = preconditioned(scaled, time)
        made = self.network(torch.cat([planes, position, mean, kappa.log(), scaled], dim=1), time)
        return cast(Tensor, kappa * (skip + scale * made))

    # ---- learning

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Squared error of the velocity over kappa squared, at a random time of each sample."""
        target = torch.nan_to_num(self.rain(batch.rain, noise), nan=0.0)[:, None]
        with torch.no_grad():
            source = self.source(batch.condition)
        mean, kappa = source["mean"], source["kappa"]
        # Where there was no radar, the target is the mean: nothing to be learnt there, and nothing odd to be seen.
        target = torch.where(torch.isfinite(batch.rain)[:, None], target, mean)
        start = mean + kappa * noise.normal("start")
        time = logit_normal(noise.scalars("time"))
        position = between(start, target, time)
        made = self.velocity(position, time, self.planes(batch.condition), mean, kappa)
        size = self.residual if self.settings.source == "pmrf" else kappa
        error = ((made - (target - start)) / size).square()[:, 0]
        if self.settings.source != "pmrf":
            _, scale = preconditioned(position, time)
            error = error / scale[:, 0].square()
        return {"loss": weighted(error, batch.rain, batch.weight)}

    def prepare(self, batch: Batch) -> None:
        """Measure the size of the residual on a batch, once before training."""
        target = self.rain(batch.rain)
        with torch.no_grad():
            error = (target - self.mean.predict(batch.condition)["mean"][:, 0]).square()
        self.residual.fill_(float(weighted(error, batch.rain, batch.weight).sqrt()))

    # ---- drawing

    def candidates(self) -> Sequence[Sampling]:
        """Seven or eight evaluations, by three solvers, with noise about as wide as in the training."""
        euler = [Sampling(solver="euler", steps=8, noise_scale=scale) for scale in (1.0, 1.1)]
        midpoint = [Sampling(solver="midpoint", steps=4, noise_scale=scale) for scale in (0.95, 1.0)]
        adams = [Sampling(solver="adams", steps=6, noise_scale=scale) for scale in (0.95, 1.0)]
        kept = {"persistence": self.sampling.persistence}
        return [sampling.model_copy(update=kept) for sampling in (*euler, *midpoint, *adams)]

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The source, then one stage for each evaluation of the velocity, the last with rain."""
        found = evaluations(sampling.solver, sampling.steps)
        last = len(found) - 1
        moves = [Stage(partial(self._move, entry, number == last)) for number, entry in enumerate(found)]
        return [Stage(self._source, shared=True), Stage(partial(self._start, sampling.noise_scale)), *moves]

    def _source(self, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        return self.source(condition)

    def _start(self, scale: float, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        return {"field": states["mean"] + scale * states["kappa"] * noise.normal("start")}

    def _move(
        self, entry: Evaluation, last: bool, condition: Condition, states: States, noise: Noise
    ) -> dict[str, Tensor]:
        position = entry.position(states)
        batch, members, height, width = position.shape
        flat = position.reshape(batch * members, 1, height, width)
        mean, kappa = (by_member(states[name], members) for name in ("mean", "kappa"))
        time = torch.full((len(flat),), entry.time, device=flat.device)
        velocity = self.velocity(flat, time, by_member(self.planes(condition), members), mean, kappa)
        made = entry.update(states, velocity.reshape(position.shape))
        return {**made, "rain": self.rain.inverse(made["field"])} if last else made
