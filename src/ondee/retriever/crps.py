"""An ensemble in one evaluation a member: a U-Net that is given noise and trained by the score of its own members.

Two or more members are drawn for each sample of a training, and the almost fair continuous ranked probability score
of the few is the loss: no diffusion, no flow, no steps. The score is that of each pixel, so nothing rewards members
for looking like rain beyond what the U-Net itself ties together; scores of averages over patches may be added.

References
----------
S. Lang et al., AIFS-CRPS, arXiv 2412.15832 (the loss); F. Alet et al., Skillful joint probabilistic weather
forecasting from marginals, arXiv 2506.10772 (noise at the input of one network, joint fields from marginal scores).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.generative.ensemble import almost_fair_crps
from ondee.generative.noise import Noise
from ondee.nn.unet import UNet
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, by_member, weighted

__all__ = ["Crps", "Settings"]


class Settings(Part):
    """Of the U-Net with noise."""

    widths: Annotated[tuple[Annotated[int, Field(ge=4, le=1024)], ...], Field(min_length=1)] = (32, 64, 128)
    """Channels at 1/2, 1/4, 1/8 … of the resolution."""
    dilations: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (1, 2)
    """Spread of the blocks at the coarsest level."""
    noise_planes: Annotated[int, Field(ge=1, le=64)] = 4
    """Planes of white noise beside the images, at full resolution."""
    draws: Annotated[int, Field(ge=2, le=16)] = 2
    """Members drawn for each sample while training."""
    fair: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Share of the fair score in the loss; the rest is the score of the ensemble as it stands."""
    scales: Annotated[tuple[Annotated[int, Field(ge=1, le=32)], ...], Field(min_length=1)] = (1,)
    """Sides of the patches, pixels, over which members and rain are averaged before they are scored."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain."""
    sampling: Sampling = Sampling(solver="euler", steps=1)
    """How members are drawn: only the noise scale and the persistence matter, for there are no steps."""


class Crps(Retriever):
    """Noise and images to a member of rain, in one evaluation."""

    settings_type = Settings

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        planes = predictors.planes + settings.noise_planes
        self.network = UNet(planes, 1, settings.widths, dilations=settings.dilations)

    def members(self, condition: Condition, noise: Noise, scale: float = 1.0) -> Tensor:
        """Members ``(B, M, H, W)`` in the scaling of the rain, one for each member of the noise.

        Parameters
        ----------
        condition
            Images of B moments.
        noise
            On the window of the condition.
        scale
            Factor on the noise.
        """
        drawn = [noise.normal(f"latent {number}") for number in range(self.settings.noise_planes)]
        latent = scale * torch.stack(drawn, dim=2).flatten(0, 1)
        planes = by_member(self.planes(condition), len(noise.members))
        made: Tensor = self.network(torch.cat([planes, latent], dim=1))
        return made.float().reshape(len(condition), len(noise.members), *condition.shape)

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Almost fair score of a few members, the mean over the scales."""
        target = self.rain(batch.rain, noise)
        members = self.members(batch.condition, noise.of(range(self.settings.draws)))
        # A patch counts only where all of it was observed: NaN goes through the average.
        parts = {}
        for side in self.settings.scales:
            truth = functional.avg_pool2d(target[:, None], side)[:, 0]
            # The gradient of a masked NaN is NaN, so that the truth is filled before it is scored.
            filled = torch.nan_to_num(truth, nan=0.0)
            score = almost_fair_crps(functional.avg_pool2d(members, side), filled, self.settings.fair)
            parts[f"crps_{side}"] = weighted(score, truth, batch.weight)
        return {"loss": torch.stack(list(parts.values())).mean(), **parts}

    def candidates(self) -> Sequence[Sampling]:
        """Noise a little less or more than that of the training."""
        return [self.sampling.model_copy(update={"noise_scale": scale}) for scale in (0.9, 1.0, 1.1, 1.2)]

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """One evaluation a member."""

        def once(condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
            return {"rain": self.rain.inverse(self.members(condition, noise, sampling.noise_scale))}

        return [Stage(once)]
