"""A regression whose histogram, and texture if asked for, are put right afterwards: the cheap rival.

``plain`` maps the regression's mean to rain so that the rates over all training pixels have the radar's distribution.
``noise`` first adds Gaussian noise with the correlations of the regression's residual, so that rain has texture and
members differ. Nothing is trained: maps and filters are measured on one large batch.

References
----------
L. Beusch et al., Satellite-based rainfall retrieval: from generalized linear models to artificial neural networks,
Remote Sens. 10, 939, 2018 (probability matching after a regression that gives too little strong rain).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.generative.matching import QuantileMap, Texture
from ondee.generative.noise import Noise
from ondee.retriever import unet
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, weighted

__all__ = ["Matched", "Settings"]

_PREPARE = 2718
"""Seed of the noise with which the map is measured."""


class Settings(Part):
    """Of the matching."""

    kind: Literal["plain", "noise"] = "plain"
    """Matching of quantiles alone; or of the regression with noise that has the residual's correlations."""
    mean: unet.Settings = unet.Settings()
    """The regression: as the run that it is taken from."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain."""
    sampling: Sampling = Sampling(solver="euler", steps=1)
    """How members of the kind `noise` are drawn: only the noise scale and the persistence matter."""


class Matched(Retriever):
    """A frozen regression, noise about it, and a map to the rain with the same quantile."""

    settings_type = Settings
    calibrated = False
    taken = ("mean",)

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        self.stochastic = settings.kind == "noise"  # type: ignore[misc]  # of this model it is the settings that say
        self.mean = unet.RegressionUNet(settings.mean, predictors, statistics).frozen()
        self.texture = Texture() if settings.kind == "noise" else None
        self.map = QuantileMap()

    def regression(self, condition: Condition) -> dict[str, Tensor]:
        """Mean and spread in the scaling of the rain, ``(B, 1, H, W)`` each; spread 1 where the regression has none."""
        made = self.mean.predict(condition)
        return {"mean": made["mean"], "spread": made.get("spread", torch.ones_like(made["mean"]))}

    def rough(self, states: States, noise: Noise, scale: float = 1.0) -> Tensor:
        """Mean with noise, ``(B, M, H, W)``; the mean alone of the kind `plain`.

        White noise is drawn beyond the window by half a filter, so that the outcome depends on no border.
        """
        if self.texture is None or scale == 0:
            return states["mean"]
        more = self.texture.radius
        (top, bottom), (left, right) = noise.rows, noise.columns
        white = noise.window((top - more, bottom + more), (left - more, right + more)).normal("texture")
        made: Tensor = states["mean"] + scale * states["spread"] * self.texture(white)
        return made

    @torch.no_grad()
    def prepare(self, batch: Batch) -> None:
        """Measure the filter of the noise, then the map, on one large batch."""
        target = self.rain(batch.rain)
        states = self.regression(batch.condition)
        if self.texture is not None:
            self.texture.fit((target - states["mean"][:, 0]) / states["spread"][:, 0])
        rough = self.rough(states, _noise(batch, target))[:, 0]
        there = torch.isfinite(target)
        weight = batch.weight[:, None, None].expand_as(target)
        self.map.fit(rough[there], target[there], weight[there])

    @torch.no_grad()
    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Squared error of the mapped field in the scaling of the rain: a curve to look at, nothing to learn by."""
        target = self.rain(batch.rain)
        made = self.map(self.rough(self.regression(batch.condition), noise.of((0,))))[:, 0]
        return {"loss": weighted((made - torch.nan_to_num(target, nan=0.0)).square(), target, batch.weight)}

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The regression, then noise and map."""

        def regression(condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
            return self.regression(condition)

        def match(condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
            return {"rain": self.rain.inverse(self.map(self.rough(states, noise, sampling.noise_scale)))}

        return [Stage(regression, shared=True), Stage(match, shared=self.texture is None)]


def _noise(batch: Batch, field: Tensor) -> Noise:
    height, width = field.shape[-2:]
    return Noise(_PREPARE, batch.keys, rows=(0, height), columns=(0, width), device=field.device)
