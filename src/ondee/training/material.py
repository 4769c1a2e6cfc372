"""What every training needs before its first step: a model, batches of the training, and what it is judged on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from ondee.retriever.protocol import Retriever
from ondee.training.settings import LatentConfig, LearningConfig, TrainConfig

__all__ = ["JUDGED", "Material", "Numbers", "gather", "trained"]

JUDGED = 2**40
"""Added to the numbers of validation samples, so that their noise is none of the training's."""
_BETAS = (0.9, 0.99)
_FUSED = ("cpu", "cuda")
"""Devices on which PyTorch has optimisers of one pass."""


class Material(ABC):
    """All that a training works with.

    Parameters
    ----------
    config
        The configuration.
    model
        The model as it begins.
    data
        What it learns from, in plain values; ``fingerprint`` changes with the contents, ``parts`` with parts taken.
    """

    def __init__(self, config: LearningConfig, model: nn.Module, data: dict[str, Any]) -> None:
        self.config, self.model, self.data = config, model, data

    # ---- learning

    @abstractmethod
    def loader(self, first: int, rank: int = 0, world: int = 1) -> DataLoader[Any]:
        """Batches from step `first` on, as one of `world` processes sees them."""

    @abstractmethod
    def judged(self) -> Iterator[Any]:
        """The fixed batches of the validation; their noise is none of the training's."""

    @abstractmethod
    def placed(self, batch: Any, device: torch.device) -> Any:
        """A batch on a device."""

    @abstractmethod
    def loss(self, model: Any, batch: Any, step: int) -> dict[str, Tensor]:
        """``loss`` of a batch, and its parts; what is drawn is keyed by the numbers of the samples."""

    @abstractmethod
    def observed(self, batch: Any) -> Tensor:
        """How much a batch counts beside others."""

    @abstractmethod
    def keys(self, batch: Any) -> list[int]:
        """Numbers of the samples of a batch."""

    def odd(self, batch: Any) -> str:
        """The first thing in a batch that cannot be, in words; empty if there is none."""
        return ""

    @abstractmethod
    def prepare(self) -> None:
        """Let the model measure what it needs before it learns."""

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW, without decay of biases and scales."""
        return torch.optim.AdamW(self._groups(), lr=self.config.rate, betas=_BETAS, fused=self._fused())

    def _fused(self) -> bool | None:
        """Whether all of a step of the optimiser is done in one pass over the weights; None where PyTorch decides."""
        return True if all(entry.device.type in _FUSED for entry in self.model.parameters()) else None

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters that decay, and those that do not."""
        learning = [entry for entry in self.model.named_parameters() if entry[1].requires_grad]
        groups = [
            {
                "params": [entry for name, entry in learning if self.decays(name, entry)],
                "weight_decay": self.config.weight_decay,
            },
            {"params": [entry for name, entry in learning if not self.decays(name, entry)], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether weight decay acts on a parameter: on all but biases and scales."""
        return parameter.ndim > 1

    @property
    def constant_rate(self) -> bool:
        """Whether the rate stays after the warm-up."""
        return False

    # ---- telling

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """How much there is to learn from, by split."""

    @abstractmethod
    def size(self, batch: Any) -> int:
        """Bytes of a batch."""

    @abstractmethod
    def scene(self, model: Any, batches: Sequence[Any], device: torch.device, step: int) -> Any:
        """What is drawn of some batches of the validation."""

    @abstractmethod
    def fit(self, model: Any) -> dict[str, float]:
        """Set what is fitted after the training, and tell what was found."""

    @abstractmethod
    def told(self) -> dict[str, Any]:
        """The configuration as a run keeps it: without places on this machine."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """What ``config.yaml`` of the run says."""

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """What provenance tells of the data."""

    @abstractmethod
    def save(self, folder: Path, model: Any, about: Mapping[str, Any]) -> None:
        """Write a finished run."""

    @abstractmethod
    def require_finished(self, folder: Path) -> None:
        """Refuse a finished run that cannot be used."""


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that training changes: those that a retriever names, or that want a gradient."""
    if isinstance(model, Retriever):
        return model.trained()
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


class Numbers(Sampler[list[int]]):
    """Numbers of the samples of each batch: those of a step follow one another, and processes take turns.

    Parameters
    ----------
    first, last
        First step, and one past the last.
    size
        Samples of a step over all processes.
    rank, world
        Which of how many processes.

    Examples
    --------
    >>> list(Numbers(1, 3, 4, rank=1, world=2))
    [[5, 7], [9, 11]]
    """

    def __init__(self, first: int, last: int, size: int, rank: int = 0, world: int = 1) -> None:
        self.first, self.last, self.size, self.rank, self.world = first, last, size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        """Give the batches in order."""
        for step in range(self.first, self.last):
            yield list(range(step * self.size + self.rank, (step + 1) * self.size, self.world))

    def __len__(self) -> int:
        return self.last - self.first


def gather(config: LearningConfig) -> Material:
    """Open what is learnt from, make the model, take the parts.

    Parameters
    ----------
    config
        With whole paths, as :func:`ondee.training.settings.read` gives it.

    Raises
    ------
    OndeeError
        If the data do not hold what the model needs, a part is missing or does not fit, or a setting is wrong.
    """
    if isinstance(config, LatentConfig):
        from ondee.training.latents import LatentMaterial

        return LatentMaterial.of(config)
    from ondee.training.retrievals import RetrievalMaterial

    assert isinstance(config, TrainConfig)
    return RetrievalMaterial.of(config)
