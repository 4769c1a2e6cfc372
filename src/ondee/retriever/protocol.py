"""What every retrieval is: a loss to learn by, and stages that turn images into rain.

A stage is one evaluation of a network with whatever is done at each pixel before and after. Whoever carries stages out
may do so in one piece, as :meth:`Retriever.sample` does, or tile by tile with a halo of :attr:`Retriever.reach`: the
rain is the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.generative.detection import EVEN
from ondee.generative.noise import Noise
from ondee.transform import Planes, RainTransform

__all__ = ["RainSettings", "Retriever", "Sampling", "Stage", "Statistics"]

States = Mapping[str, Tensor]
"""Fields between stages by name, ``(B, M, H, W)``; M is 1 for what all members share."""


@dataclass(frozen=True)
class Stage:
    """One step of a retrieval.

    Parameters
    ----------
    work
        ``work(condition, states, noise) -> states``: fields that are new or changed.
    shared
        Whether all members share the outcome, so that it is computed once.
    """

    work: Callable[[Condition, States, Noise], dict[str, Tensor]]
    shared: bool = False


@dataclass(frozen=True)
class Statistics:
    """What is known of the training days, from which scalings are made.

    Parameters
    ----------
    mean, deviation
        Of each channel, in the units of the images.
    rain_largest
        Largest rain rate, mm h-1.
    rain_wet_mean, rain_wet_deviation
        Of wet pixels alone, mm h-1.
    wet_fraction
        Share of observed pixels that are wet.
    """

    mean: Sequence[float]
    deviation: Sequence[float]
    rain_largest: float
    rain_wet_mean: float
    rain_wet_deviation: float
    wet_fraction: float


class RainSettings(Part):
    """How rain is scaled before a network sees it."""

    kind: Literal["log", "log1p", "sqrt", "raw"] = "log"
    """Logarithm with dry pixels spread below 0.03 mm/h, ln(1 + R), square root, or the rate as it is."""
    step: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Step on which the radar's product is quantised, mm/h; its rates are spread over it while training. 0 for none."""


class Sampling(Part):
    """How members are drawn; fitted on validation days and stored with the run."""

    solver: Literal["euler", "midpoint", "heun", "adams"] = "euler"
    """Euler evaluates the network once a step, midpoint and Heun twice, Adams twice in the first and once in others."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 8
    """Steps from noise to rain."""
    noise_scale: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Factor on the noise that a draw starts from: below 1 for members closer together, above 1 for more spread."""
    persistence: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Correlation of the noise from one image to the next, at most 0.99; 0 for moments drawn independently."""

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one member."""
        return {"euler": self.steps, "adams": self.steps + 1}.get(self.solver, 2 * self.steps)


class Retriever(nn.Module, ABC):
    """A model that turns a :class:`~ondee.condition.Condition` into members of rain.

    Parameters
    ----------
    settings
        Of the model: an instance of its ``settings_type``.
    predictors
        What it looks at.
    statistics
        Of the training days.

    Attributes
    ----------
    planes, rain
        Scalings, saved with the weights.
    odds
        How likely rain of each of :data:`ondee.generative.detection.RATES` must be to be called rain.
    sampling
        How members are drawn unless asked for otherwise.
    """

    odds: Tensor

    settings_type: ClassVar[type[Part]] = Part
    """Model of its settings, checked where a configuration is read."""
    stochastic: ClassVar[bool] = True
    """Whether members differ from one another."""
    calibrated: ClassVar[bool] = True
    """Whether rates that it draws are matched to rates of the radar that are as rare, on validation days."""
    taken: ClassVar[tuple[str, ...]] = ()
    """Names of parts whose weights come from runs trained before, frozen; each is a Retriever."""

    def __init__(self, settings: Any, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__()
        self.settings, self.predictors, self.statistics = settings, predictors, statistics
        self.planes = Planes(predictors, torch.tensor(list(statistics.mean)), torch.tensor(list(statistics.deviation)))
        rain = getattr(settings, "rain", RainSettings())
        self.rain = RainTransform(rain.kind, step=rain.step, largest=1.5 * statistics.rain_largest)
        self.register_buffer("odds", torch.from_numpy(EVEN.copy()))
        self.sampling: Sampling = getattr(settings, "sampling", Sampling())

    # ---- what a model must say

    @abstractmethod
    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss of a batch, as ``loss`` and whatever parts of it are worth a curve; all scalars."""

    @abstractmethod
    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The stages of a draw; the last gives ``rain`` ``(B, M, H, W)`` in mm h-1."""

    @property
    def reach(self) -> int:
        """Pixels beyond which one stage sees nothing; 0 for a model of single pixels."""
        return max((int(getattr(part, "reach", 0)) for part in self.children()), default=0)

    @property
    def multiple(self) -> int:
        """Pixels of which height, width and the origins of tiles must be multiples."""
        return max((int(getattr(part, "multiple", 1)) for part in self.children()), default=1)

    # ---- what follows

    def prepare(self, batch: Batch) -> None:
        """Measure on one large batch whatever a model needs before it learns; nothing unless a model says so."""

    def candidates(self) -> Sequence[Sampling]:
        """Samplings among which validation days choose; the one at hand unless a model says otherwise."""
        return [self.sampling]

    def trained(self) -> list[nn.Parameter]:
        """Parameters that training changes: those that want a gradient."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def frozen(self) -> Self:
        """The same model, never to be trained again: no gradients, no dropout."""
        self.requires_grad_(False)
        self._is_frozen = True
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """Training mode on or off, but for frozen models."""
        return super().train(mode and not getattr(self, "_is_frozen", False))

    @torch.no_grad()
    def sample(self, condition: Condition, noise: Noise, sampling: Sampling | None = None) -> Tensor:
        """Draw members in one piece.

        Parameters
        ----------
        condition
            Images of B moments.
        noise
            Its members are the members, its keys the moments; its window is set to that of the condition.
        sampling
            How; as fitted if None.

        Returns
        -------
        Tensor
            ``(B, M, H, W)`` mm h-1, NaN where no image shows anything.
        """
        height, width = condition.shape
        whole = padded(condition, self.multiple)
        noise = noise.window((0, whole.shape[0]), (0, whole.shape[1]))
        states: dict[str, Tensor] = {}
        for stage in self.stages(sampling or self.sampling):
            states |= stage.work(whole, states, noise.of((0,)) if stage.shared else noise)
        rain = states["rain"][..., :height, :width].expand(-1, len(noise.members), -1, -1)
        return torch.where(condition.seen[:, None], rain, torch.nan)


def padded(condition: Condition, multiple: int) -> Condition:
    """A condition whose height and width are multiples, with missing pixels at the bottom and the right."""
    height, width = condition.shape
    more = (0, -width % multiple, 0, -height % multiple)
    if not any(more):
        return condition
    images = functional.pad(condition.images, more, value=torch.nan)
    return Condition(images, functional.pad(condition.auxiliary, more, value=torch.nan))


def by_member(planes: Tensor, members: int) -> Tensor:
    """Planes ``(B, K, H, W)`` for each member: ``(B M, K, H, W)``."""
    return planes.repeat_interleave(members, 0) if members > 1 else planes


def weighted(values: Tensor, rain: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``(B, H, W)`` over pixels where rain was observed, samples weighted by ``(B,)``."""
    there = torch.isfinite(rain).to(values.dtype) * weight[:, None, None]
    return (torch.where(there > 0, values, 0.0) * there).sum() / there.sum().clamp(min=1e-6)
