"""Regression by a U-Net: one field for one scene.

``probabilistic`` predicts mean, spread and probability of rain, in the scaling of the rain; ``plain`` is the plain
U-Net with batch norm and a squared error that most retrievals begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.generative.noise import Noise
from ondee.nn.unet import PlainUNet, UNet
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, weighted
from ondee.units import WET

__all__ = ["RegressionUNet"]

_LEAST, _MOST = 0.05, 3.0
"""Bounds of the predicted spread, in the scaling of the rain."""


class Settings(Part):
    """Of the regression."""

    kind: Literal["probabilistic", "plain"] = "probabilistic"
    """Mean, spread and probability of rain; or a plain U-Net with batch norm and squared error."""
    widths: Annotated[tuple[Annotated[int, Field(ge=4, le=1024)], ...], Field(min_length=1)] = (32, 64, 128)
    """Channels at each level; the plain one begins at full resolution, the other at half."""
    dilations: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (1, 2)
    """Spread of the blocks at the coarsest level."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of features dropped in the coarsest blocks."""
    wet_weight: Annotated[float, Field(ge=0)] = 0.2
    """Weight of the cross-entropy of the probability of rain."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain."""


class RegressionUNet(Retriever):
    """Mean, spread and probability of rain at each pixel; the rain that it gives is its mean, scaled back."""

    settings_type = Settings
    calibrated = False
    stochastic = False

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        if settings.kind == "plain":
            self.network: UNet | PlainUNet = PlainUNet(predictors.planes, 1, settings.widths)
        else:
            more: dict[str, Any] = {"dilations": settings.dilations, "dropout": settings.dropout}
            self.network = UNet(predictors.planes, 3, settings.widths, **more)

    def predict(self, condition: Condition) -> dict[str, Tensor]:
        """Mean, spread (both scaled) and logit of rain, ``(B, 1, H, W)`` each; the mean alone of the plain one."""
        made = self.network(self.planes(condition))
        if self.settings.kind == "plain":
            return {"mean": made}
        mean, spread, logit = made.chunk(3, dim=1)
        return {"mean": mean, "spread": bounded(spread), "logit": logit}

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Squared error; of the probabilistic kind also the likelihood of the spread and the cross-entropy of rain."""
        target = torch.nan_to_num(self.rain(batch.rain, noise), nan=0.0)
        made = {name: field[:, 0] for name, field in self.predict(batch.condition).items()}
        error = (target - made["mean"]).square()
        parts = {"squared_error": weighted(error, batch.rain, batch.weight)}
        if "spread" in made:
            spread = made["spread"]
            likelihood = 0.5 * error.detach() / spread.square() + spread.log()
            wet = functional.binary_cross_entropy_with_logits(
                made["logit"], (batch.rain >= WET).to(error.dtype), reduction="none"
            )
            parts["likelihood"] = weighted(likelihood, batch.rain, batch.weight)
            parts["wet"] = self.settings.wet_weight * weighted(wet, batch.rain, batch.weight)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """One evaluation."""
        return [Stage(self._once, shared=True)]

    def _once(self, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        made = self.predict(condition)
        return {**made, "rain": self.rain.inverse(made["mean"])}


def bounded(raw: Tensor) -> Tensor:
    """A spread between its bounds, from any number."""
    return _LEAST + (_MOST - _LEAST) * torch.sigmoid(raw - 1.0)
