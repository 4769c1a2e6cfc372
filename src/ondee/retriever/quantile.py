"""Quantiles of the rain at each pixel by a U-Net, as neural-network retrievals of microwave and infrared rain do.

Such a model states the law of each pixel and nothing of two pixels together. Members are drawn accordingly: each pixel
on its own, by a uniform number put into its inverse distribution. They are calibrated pixel by pixel and have no
texture; a model of joint fields is judged against exactly this.

References
----------
R. Koenker and G. Bassett, Regression quantiles, Econometrica 46, 1978, Eq. 2.1 (the loss); S. Pfreundschuh et al., A
neural network approach to estimating a posteriori distributions of Bayesian retrieval problems, Atmos. Meas. Tech.
11, 2018 (quantiles as a retrieval).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.generative.noise import Noise
from ondee.nn.unet import UNet
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, weighted

__all__ = ["Quantile", "Settings"]

_TWENTIETHS = tuple(round(0.05 * number, 2) for number in range(1, 20))


class Settings(Part):
    """Of the quantile U-Net."""

    levels: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=2)] = (*_TWENTIETHS, 0.99)
    """Levels of the quantiles, rising."""
    widths: Annotated[tuple[Annotated[int, Field(ge=4, le=1024)], ...], Field(min_length=1)] = (32, 64, 128)
    """Channels at 1/2, 1/4, 1/8 … of the resolution."""
    dilations: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (1, 2)
    """Spread of the blocks at the coarsest level."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of features dropped in the coarsest blocks."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain."""
    sampling: Sampling = Sampling(solver="euler", steps=1)
    """How members are drawn: only the noise scale matters, 0 for the median in every member."""

    @field_validator("levels")
    @classmethod
    def _rising(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in pairwise(levels)):
            raise ValueError("levels that rise are needed")
        return levels


class Quantile(Retriever):
    """Quantiles that cannot cross: the lowest, and steps up that are never negative."""

    levels: Tensor

    settings_type = Settings

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        self.register_buffer("levels", torch.tensor(settings.levels), persistent=False)
        outputs = len(settings.levels)
        self.network = UNet(
            predictors.planes, outputs, settings.widths, dilations=settings.dilations, dropout=settings.dropout
        )

    def quantiles(self, condition: Condition) -> Tensor:
        """Quantiles in the scaling of the rain, ``(B, Q, H, W)``, rising along Q."""
        made = self.network(self.planes(condition)).float()
        # The shift makes the first guess of all steps together about 2: the width of a law of variance about 1.
        steps = functional.softplus(made[:, 1:] - 2.2)
        return torch.cat([made[:, :1], made[:, :1] + steps.cumsum(1)], dim=1)

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Mean pinball loss over the levels, in the scaling of the rain."""
        target = self.rain(batch.rain, noise)
        above = torch.nan_to_num(target, nan=0.0)[:, None] - self.quantiles(batch.condition)
        levels = self.levels[:, None, None]
        pinball = torch.maximum(levels * above, (levels - 1) * above).mean(1)
        return {"loss": weighted(pinball, target, batch.weight)}

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The quantiles, then one draw at each pixel."""

        def quantiles(condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
            fields = self.quantiles(condition)
            return {f"quantile {number}": fields[:, [number]] for number in range(len(self.levels))}

        def draw(condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
            level = 0.5 + sampling.noise_scale * (noise.uniform("level") - 0.5)
            known = torch.cat([states[f"quantile {number}"] for number in range(len(self.levels))], dim=1)
            return {"rain": self.rain.inverse(self.at(known, level))}

        return [Stage(quantiles, shared=True), Stage(draw)]

    def at(self, quantiles: Tensor, level: Tensor) -> Tensor:
        """Quantiles at any level, linear between those that are known and straight on beyond them.

        Parameters
        ----------
        quantiles
            ``(B, Q, H, W)``.
        level
            ``(B, M, H, W)``.

        Returns
        -------
        Tensor
            ``(B, M, H, W)``.
        """
        upper = torch.searchsorted(self.levels, level.contiguous()).clamp(1, len(self.levels) - 1)
        low, high = quantiles.gather(1, upper - 1), quantiles.gather(1, upper)
        share = (level - self.levels[upper - 1]) / (self.levels[upper] - self.levels[upper - 1])
        return low + share * (high - low)
