"""Diffusion of the residual about a frozen mean: the corrective diffusion of weather downscaling.

A regression says where rain is, a diffusion what the regression leaves open: ``rain = m(c) + size * r``, with r of
variance 1 on the training days, all in the scaling of the rain. A draw begins with pure noise of a large level and
follows the deterministic path of the diffusion down to none.

Levels to learn at are log-normal with a median of 1, one deviation of the residual: noise and residual are then alike,
as they are in the middle of a straight flow, whose time t is a level of (1 - t) / t. The levels of images (median 0.6
of their deviation) leave large features of rain unlearnt, for they are seen through more noise than single pixels are.
A draw runs from level 40 to 0.02, narrower than the 80 to 0.002 of images: few steps over a wide range end with too
much spread by Heun's method, and 0.02 of the residual is no more than the noise of dry pixels.

References
----------
T. Karras et al., Elucidating the design space of diffusion-based generative models, NeurIPS 2022, Table 1, Algorithm 1;
M. Mardani et al., Residual corrective diffusion modeling for km-scale atmospheric downscaling, arXiv 2309.15214.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, cast

import torch
from pydantic import Field
from torch import Tensor

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.errors import ConfigError
from ondee.generative.diffusion import karras_levels, level_evaluations, log_normal, scalings
from ondee.generative.flow import Evaluation
from ondee.generative.noise import Noise
from ondee.nn.unet import UNet
from ondee.retriever import unet
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, by_member, weighted

__all__ = ["EDM", "Settings"]


class Settings(Part):
    """Of the diffusion of the residual; levels are in deviations of the residual."""

    centre: Annotated[float, Field(ge=-4, le=4)] = 0.0
    """Mean of the logarithm of the levels to learn at."""
    width: Annotated[float, Field(gt=0, le=4)] = 1.2
    """Deviation of the logarithm of the levels to learn at."""
    least: Annotated[float, Field(gt=0, le=0.1)] = 0.02
    """Smallest level of a draw."""
    most: Annotated[float, Field(ge=5, le=1000)] = 40.0
    """Level that a draw starts from."""
    bend: Annotated[float, Field(ge=1, le=20)] = 7.0
    """Exponent of the levels between: the larger, the more of them are small."""
    widths: Annotated[tuple[Annotated[int, Field(ge=4, le=1024)], ...], Field(min_length=1)] = (32, 64, 128)
    """Channels at 1/2, 1/4, 1/8 … of the resolution."""
    dilations: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (1, 2)
    """Spread of the blocks at the coarsest level."""
    embedding: Annotated[int, Field(ge=8, le=512, multiple_of=2)] = 64
    """Width of the embedding of the level."""
    mean: unet.Settings = unet.Settings()
    """The regression that gives m: as the run that it is taken from."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain."""
    sampling: Sampling = Sampling(solver="heun", steps=18)
    """How members are drawn until validation has said better; solver `heun` or `euler`."""


class EDM(Retriever):
    """A mean, and a diffusion of what it leaves open."""

    residual: Tensor

    settings_type = Settings
    taken = ("mean",)

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        if settings.mean.rain.kind != settings.rain.kind:
            raise ConfigError(
                f"the mean scales rain by {settings.mean.rain.kind!r}, and the model by {settings.rain.kind!r}",
                where="settings, rain",
                fix=f"set rain: kind: {settings.mean.rain.kind}; their difference is no residual otherwise",
            )
        self.mean = unet.RegressionUNet(settings.mean, predictors, statistics).frozen()
        self.register_buffer("residual", torch.tensor(1.0))
        more: dict[str, Any] = {"embedding": settings.embedding, "dilations": settings.dilations}
        self.network = UNet(predictors.planes + 2, 1, settings.widths, **more)

    def denoised(self, position: Tensor, level: Tensor, planes: Tensor, mean: Tensor) -> Tensor:
        """Best guess of the scaled residual from one with noise.

        Parameters
        ----------
        position
            Residual with noise, ``(B, 1, H, W)``, in deviations of the residual.
        level
            Deviation of the noise, ``(B,)``.
        planes
            What the network sees of the condition, ``(B, K, H, W)``.
        mean
            ``(B, 1, H, W)``, in the scaling of the rain.
        """
        skip, made, seen = scalings(level[:, None, None, None])
        network = self.network(torch.cat([planes, mean, seen * position], dim=1), embedded(level))
        return cast(Tensor, skip * position + made * network)

    # ---- learning

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Squared error of the denoised residual at a random level, weighted such that all levels count alike."""
        with torch.no_grad():
            mean = self.mean.predict(batch.condition)["mean"]
        target = torch.nan_to_num(self.rain(batch.rain, noise), nan=0.0)[:, None]
        # Where there was no radar, the residual is none: nothing to be learnt there, and nothing odd to be seen.
        clean = torch.where(torch.isfinite(batch.rain)[:, None], (target - mean) / self.residual, 0.0)
        level = log_normal(noise.scalars("level"), self.settings.centre, self.settings.width)
        wide = level[:, None, None, None]
        position = clean + wide * noise.normal("start")
        guess = self.denoised(position, level, self.planes(batch.condition), mean)
        _, made, _ = scalings(wide)
        error = ((guess - clean) / made).square()[:, 0]
        return {"loss": weighted(error, batch.rain, batch.weight)}

    def prepare(self, batch: Batch) -> None:
        """Measure the size of the residual on a batch, once before training."""
        target = self.rain(batch.rain)
        with torch.no_grad():
            error = (target - self.mean.predict(batch.condition)["mean"][:, 0]).square()
        self.residual.fill_(max(float(weighted(error, batch.rain, batch.weight).sqrt()), 1e-3))

    # ---- drawing

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The mean, the start, then one stage for each evaluation, the last with rain.

        Raises
        ------
        ConfigError
            If the solver is another than `euler` or `heun`.
        """
        if sampling.solver not in ("euler", "heun"):
            raise ConfigError(
                f"the levels of this diffusion are not taken by {sampling.solver!r}",
                where="sampling, solver",
                fix="set solver: heun, or euler for one evaluation a step",
            )
        levels = karras_levels(sampling.steps, self.settings.least, self.settings.most, self.settings.bend)
        found = level_evaluations(sampling.solver, levels)
        last = len(found) - 1
        moves = [Stage(partial(self._move, entry, number == last)) for number, entry in enumerate(found)]
        return [Stage(self._mean, shared=True), Stage(partial(self._start, sampling.noise_scale)), *moves]

    def _mean(self, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        return {"mean": self.mean.predict(condition)["mean"]}

    def _start(self, scale: float, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        return {"field": scale * self.settings.most * noise.normal("start")}

    def _move(
        self, entry: Evaluation, last: bool, condition: Condition, states: States, noise: Noise
    ) -> dict[str, Tensor]:
        position = entry.position(states)
        batch, members, height, width = position.shape
        flat = position.reshape(batch * members, 1, height, width)
        planes, mean = (by_member(field, members) for field in (self.planes(condition), states["mean"]))
        level = torch.full((len(flat),), entry.time, device=flat.device)
        guess = self.denoised(flat, level, planes, mean).reshape(position.shape)
        made = entry.update(states, (position - guess) / entry.time)
        if not last:
            return made
        return {**made, "rain": self.rain.inverse(states["mean"] + self.residual * made["field"])}


def embedded(level: Tensor) -> Tensor:
    """Level as the network sees it: its logarithm, 0 to 1 for levels of 0.02 to 50, whatever those of a draw."""
    return 0.5 + level.log() / 8
