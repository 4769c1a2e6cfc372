"""What a model of sequences is told: its latents, and its networks. No torch is needed to read it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ondee.config import Part
from ondee.topographic.coherence import Coherence

__all__ = ["LatentSettings", "TopographySettings"]


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

    @model_validator(mode="after")
    def _shared_out(self) -> TopographySettings:
        if self.coherence is not None:
            if self.capsules % self.coherence.groups:
                raise ValueError(f"{self.capsules} capsules cannot be shared out among {self.coherence.groups} speeds")
            if "open" in (self.coherence.time, self.coherence.capsule) and not self.normalised:
                raise ValueError("at an open end fewer neighbours are summed than elsewhere: set normalised to true")
            for group in range(self.coherence.groups):
                self.coherence.velocity(group, len(self.dimensions))
        return self


class LatentSettings(TopographySettings):
    """Of the autoencoder."""

    network: Literal["dense", "convolutional"] = "dense"
    """Fully connected layers as in the published model, with encoders of z and u of their own; or convolutions, with
    one trunk for both."""
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

    @property
    def layers(self) -> tuple[int, ...]:
        """Widths of the layers, the usual ones where none were given."""
        return self.widths or {"dense": (3, 2), "convolutional": (32, 64, 128, 128)}[self.network]
