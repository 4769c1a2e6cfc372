"""What a model of sequences is told: its latents, and its networks. No torch is needed to read it."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ondee.config import Part
from ondee.topographic.coherence import Coherence

__all__ = ["LatentSettings", "TopographySettings"]

_WAVES = 4
"""Capsules of the advective network that hold waves: cosine and sine, southwards and eastwards."""


class TopographySettings(Part):
    """Of the latents."""

    capsules: Annotated[int, Field(ge=1, le=4096)] = 18
    """Capsules, C."""
    dimensions: Annotated[tuple[Annotated[int, Field(ge=1, le=512)], ...], Field(min_length=1, max_length=2)] = (18,)
    """Places of a capsule: on a circle, or along both axes of a torus. D is their product."""
    coherence: Coherence | None = Coherence()
    """Which neighbours share their scale; null for plain Gaussian latents."""
    centre: float = 30.0
    """Where the learnt shift mu begins."""
    centres: Literal["one", "each"] = "one"
    """Whether all capsules share mu, or `each` has its own."""
    normalised: bool = False
    """Whether the sum of squares is divided by the weight of all neighbours, so that its size does not depend on how
    many there are."""
    carried: bool = False
    """Whether capsules that move are registers: what is at a place now is at the next one a frame later, and only what
    enters at the open end is drawn anew."""
    entering: Literal["centre", "wave"] = "centre"
    """What enters an open capsule as latents roll: the value that the prior is centred on, or, of carried capsules
    in pairs of cosine and sine, the wave that lies along them, carried on."""

    @model_validator(mode="after")
    def _shared_out(self) -> TopographySettings:
        if self.coherence is not None:
            if self.capsules % self.coherence.groups:
                raise ValueError(f"{self.capsules} capsules cannot be shared out among {self.coherence.groups} speeds")
            if "open" in (self.coherence.time, self.coherence.capsule) and not self.normalised:
                raise ValueError("at an open end fewer neighbours are summed than elsewhere: set normalised to true")
            for group in range(self.coherence.groups):
                self.coherence.velocity(group, len(self.dimensions))
        if self.carried:
            self._require_registers()
        if self.entering == "wave" and not self.carried:
            raise ValueError("entering: a wave lies along carried capsules: set carried to true")
        return self

    def _require_registers(self) -> None:
        coherence = self.coherence
        if coherence is None or coherence.shape != "shifting" or coherence.capsule != "open":
            raise ValueError("carried: a register has open ends: give a shifting coherence with capsule: open")
        if len(self.dimensions) > 1:
            raise ValueError("carried: a register has one dimension")
        speeds = [coherence.velocity(group, 1)[0] for group in range(coherence.groups)]
        if any(speed < 0 or speed != int(speed) for speed in speeds):
            raise ValueError("carried: a register moves by whole places, 0, 1, 2 ...")
        if self.entering == "wave" and any(speeds) and self.capsules // len(speeds) % 2:
            raise ValueError("entering: a wave takes two capsules, cosine and sine: let each group have an even number")


class LatentSettings(TopographySettings):
    """Of the autoencoder."""

    network: Literal["dense", "convolutional", "advective"] = "dense"
    """Fully connected layers as in the published model, with encoders of z and u of their own; or convolutions, with
    one trunk for both; or, of rain alone, one that draws what capsules of speed 0 hold, displaced by a motion that is
    read off the others."""
    history: Annotated[int, Field(ge=0, le=16)] = 0
    """Earlier frames of the sequence that an encoder sees beside each frame; of the advective network the steps over
    which it averages a velocity. Leads are learnt from frames that have as many before them."""
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    """Of the layers between pixels and latents: multiples of the number of latents of a dense network, channels at
    1/2, 1/4 … of the resolution of a convolutional one. Empty for the usual ones, 3 and 2, or 32, 64, 128 and 128."""
    features: Annotated[int, Field(ge=8, le=8192)] = 256
    """Width of the trunk of a convolutional network."""
    likelihood: Literal["bernoulli", "censored", "hurdle-gamma", "hurdle-lognormal"] = "bernoulli"
    """Of the pixels."""
    lead: tuple[Annotated[int, Field(ge=0, le=64)], ...] = (0,)
    """Frames ahead that are decoded from a roll of the latents; 0 for the frame itself. More than one are learnt side
    by side."""
    lead_shares: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """How much each lead counts, in any unit; all alike where empty."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Widths of the layers, the usual ones where none were given."""
        return self.widths or ((3, 2) if self.network == "dense" else (32, 64, 128, 128))

    @property
    def staying(self) -> int:
        """Latents of the capsules that do not move, where those come first."""
        velocities = self._velocities()
        still = list(itertools.takewhile(lambda velocity: not any(velocity), velocities))
        return len(still) * self.capsules // max(len(velocities), 1) * math.prod(self.dimensions)

    def _velocities(self) -> list[tuple[float, ...]]:
        coherence = self.coherence
        if coherence is None:
            return []
        return [coherence.velocity(group, len(self.dimensions)) for group in range(coherence.groups)]

    @model_validator(mode="after")
    def _one_share_for_each_lead(self) -> LatentSettings:
        if self.lead_shares and len(self.lead_shares) != len(self.lead):
            raise ValueError(f"lead_shares: there are {len(self.lead_shares)} for {len(self.lead)} leads")
        return self

    @model_validator(mode="after")
    def _advected(self) -> LatentSettings:
        if self.network == "advective":
            if self.likelihood != "censored":
                raise ValueError("network: the advective one is of rain, with likelihood: censored")
            places = math.prod(self.dimensions)
            moving = [group for group in self._velocities() if any(group)]
            if self.staying != (self.capsules - _WAVES) * places or not self.staying or not self.carried:
                raise ValueError(
                    f"network: the advective one needs capsules of speed 0, and then {_WAVES} carried ones"
                )
            if set(moving) != {(1.0,)} or places < 3 or self.entering != "wave":
                raise ValueError(
                    "network: the advective one needs waves (entering: wave) of speed 1 and 3 places or more"
                )
            if not self.history:
                raise ValueError("history: the advective network needs at least 1 earlier frame to see a motion")
        return self
