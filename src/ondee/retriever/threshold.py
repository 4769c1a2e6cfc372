"""Rain from one temperature: the oldest retrieval from infrared images, and the reference below all others.

Cold tops rain. The share of pixels colder than a temperature is matched to the share of pixels that rain more than a
rate, over all training pixels; nothing is trained. The predictor is one channel, or the difference of two: that of
water vapour at 6.2 µm and the window at 10.8 µm is near 0 K or above over the deepest convection.

References
----------
P. A. Arkin and B. N. Meisner, Mon. Weather Rev. 115, 1987 (cold cloud and rain); G. A. Vicente, R. A. Scofield and
W. P. Menzel, The operational GOES infrared rainfall estimation technique, Bull. Am. Meteorol. Soc. 79, 1998, Eq. 1 (a
rate for each temperature at 10.7 µm); J. Schmetz et al., Monitoring deep convection and convective overshooting with
Meteosat, Adv. Space Res. 19, 1997 (the difference of water vapour and window).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.errors import ConfigError
from ondee.generative.matching import QuantileMap
from ondee.generative.noise import Noise
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, weighted

__all__ = ["Settings", "Threshold"]

_WINDOW = "IR_108"


class Settings(Part):
    """Of the matching of one temperature."""

    predictor: str | None = None
    """Name of a channel, or of two with a minus sign between them as WV_062-IR_108; IR_108 if there is one, else the
    only channel."""
    direction: Literal["measured", "falling", "rising"] = "measured"
    """Whether rain falls or rises with the predictor; measured by the sign of their correlation."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain."""


class Threshold(Retriever):
    """A monotone map from one channel, or the difference of two, of the newest image to rain."""

    direction: Tensor

    settings_type = Settings
    calibrated = False
    stochastic = False

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        self.added, self.subtracted = _channels(settings.predictor, predictors.channels)
        self.register_buffer("direction", torch.tensor(1.0 if settings.direction == "rising" else -1.0))
        self.map = QuantileMap()

    def predictor(self, condition: Condition) -> Tensor:
        """The predictor in the newest image, ``(B, H, W)`` in the units of the images, NaN where not seen."""
        newest = condition.images[:, 0]
        made = newest[:, self.added]
        return made if self.subtracted is None else made - newest[:, self.subtracted]

    @torch.no_grad()
    def prepare(self, batch: Batch) -> None:
        """Measure direction and map on one large batch."""
        target, seen = self.rain(batch.rain), self.predictor(batch.condition)
        there = torch.isfinite(target) & torch.isfinite(seen)
        weight = batch.weight[:, None, None].expand_as(target)[there]
        seen, target = seen[there], target[there]
        if self.settings.direction == "measured" and len(seen):
            apart = (seen - seen.mean()).double()
            self.direction.fill_(1.0 if float((weight * apart * (target - target.mean())).sum()) > 0 else -1.0)
        self.map.fit(self.direction * seen, target, weight)

    @torch.no_grad()
    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Squared error in the scaling of the rain: a curve to look at, nothing to learn by."""
        target = self.rain(batch.rain)
        made = self.map(self.direction * self.predictor(batch.condition))
        there = torch.where(torch.isfinite(made), target, torch.nan)
        return {"loss": weighted((torch.nan_to_num(made) - torch.nan_to_num(target)).square(), there, batch.weight)}

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The map at each pixel."""
        return [Stage(self._once, shared=True)]

    def _once(self, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        return {"rain": self.rain.inverse(self.map(self.direction * self.predictor(condition)))[:, None]}


def _channels(wanted: str | None, channels: Sequence[str]) -> tuple[int, int | None]:
    """Numbers of the channel, and of the one subtracted from it if there is one."""
    if wanted is None:
        wanted = channels[0] if len(channels) == 1 else _WINDOW
    if wanted in channels:
        return channels.index(wanted), None
    parts = [part.strip() for part in wanted.split("-")]
    if len(parts) == 2 and all(part in channels for part in parts):
        return channels.index(parts[0]), channels.index(parts[1])
    missing = ", ".join(repr(part) for part in parts if part not in channels) or repr(wanted)
    raise ConfigError(
        f"the images have no channel {missing}",
        where="settings.predictor",
        fix="name one of " + ", ".join(channels) + ", or two of them with a minus sign between",
    )
