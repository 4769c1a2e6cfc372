"""One step of learning after another, as Lightning wants it: each depends on the number of the step alone."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ondee.errors import ConfigError, ReadError
from ondee.generative.noise import mixed
from ondee.training.material import Material, trained

__all__ = ["Lesson", "rate_at"]

_LOWEST = 0.01
"""Share of the highest rate at which training ends."""
_WARMUP_SHARE = 4


def rate_at(step: int, steps: int, rate: float, warmup: int, *, constant: bool = False) -> float:
    """Learning rate of a step: a straight rise, then half a cosine down to 1 %.

    Parameters
    ----------
    step
        Number of the step, from 0.
    steps
        Steps in all.
    rate
        Highest rate.
    warmup
        Steps of the rise, at most a quarter of all.
    constant
        Whether it stays after the rise.

    Examples
    --------
    >>> rate_at(0, 100, 1.0, 10), rate_at(9, 100, 1.0, 10), round(rate_at(99, 100, 1.0, 10), 3)
    (0.1, 1.0, 0.01)
    """
    warmup = min(warmup, steps // _WARMUP_SHARE)
    if step < warmup:
        return rate * (step + 1) / warmup
    if constant:
        return rate
    share = (step - warmup) / max(1, steps - 1 - warmup)
    return rate * (_LOWEST + (1 - _LOWEST) * 0.5 * (1 + math.cos(math.pi * share)))


class Lesson(LightningModule):
    """A model and the moving average of its weights, from one step to the next.

    Parameters
    ----------
    material
        What is learnt from, and the model.
    first
        Number of the first step: 0, or where an earlier training stopped.
    state
        What that training left; None for a new one.

    Attributes
    ----------
    average
        The model with averaged weights; it is the one that is judged and kept.
    losses
        Loss of the last step and its parts, and the norm of the gradient.
    """

    def __init__(self, material: Material, first: int = 0, state: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.material, self.config, self.first = material, material.config, first
        self.model = material.model
        if state is not None:
            self.model.load_state_dict(state["weights"])
        self._state = state
        self._average = [_still(self.model)]  # in a list, so that it is no part of what is trained
        if state is not None:
            self.average.load_state_dict(state["average"])
        self.losses: dict[str, Tensor] = {}
        self._batch: Any = None

    @property
    def average(self) -> Any:
        """The model with averaged weights."""
        return self._average[0]

    def left(self, step: int) -> dict[str, Any]:
        """All that the steps after `step` depend on, to go on from there."""
        optimiser: Any = self.optimizers(use_pl_optimizer=False)
        return {
            "step": step,
            "weights": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": optimiser.state_dict(),
        }

    # ---- what Lightning calls, in its order

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The material's, from where it was left."""
        optimiser = self.material.optimiser()
        if self._state is not None:
            optimiser.load_state_dict(self._state["optimiser"])
            self._state = None
        return optimiser

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches from the first step on, those of this process.

        Raises
        ------
        ConfigError
            If a batch cannot be split evenly.
        """
        world = self.trainer.world_size
        if self.config.batch % world:
            raise ConfigError(
                f"a batch of {self.config.batch} samples cannot be split over {world} devices",
                where="batch",
                fix=f"give a multiple of {world}, or fewer devices",
            )
        return self.material.loader(self.first, self.trainer.global_rank, world)

    def on_fit_start(self) -> None:
        """Bring the averaged model to where the other is."""
        self.average.to(self.device)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """A batch on the device."""
        return self.material.placed(batch, device)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of a batch; what is drawn besides its noise, such as dropout, is keyed by the step."""
        self._batch = batch
        torch.manual_seed(_seed(self.config.seed, self.first + batch_idx, self.trainer.global_rank))
        losses = self.material.loss(self.model, batch, self.first + batch_idx)
        self.losses = {name: value.detach() for name, value in losses.items()}
        wrong = [name for name, value in self.losses.items() if not bool(torch.isfinite(value))]
        if wrong:
            self._stop(batch_idx, f"the loss is not finite ({', '.join(wrong)})")
        return losses["loss"] * self._share(batch)

    def _share(self, batch: Any) -> float | Tensor:
        """What this process observed over the mean of all: its loss counts as much as it was made from."""
        if self.trainer.world_size == 1:
            return 1.0
        observed = self.material.observed(batch)
        mean: Any = self.trainer.strategy.reduce(observed.clone(), reduce_op="mean")
        share: Tensor = observed / mean.clamp(min=1e-6)
        return share

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scale the gradient down to the largest norm, and refuse one that is not finite."""
        largest = math.inf if self.config.clip is None else self.config.clip
        norm = torch.nn.utils.clip_grad_norm_(trained(self.model), largest)
        if not bool(torch.isfinite(norm)):
            self._stop(self.trainer.fit_loop.epoch_loop.batch_idx, "the gradient is not finite")
        self.losses["gradient"] = norm.detach()

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """One step at its rate, then the average follows."""
        config, step = self.config, self.first + batch_idx
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, config.steps, config.rate, config.warmup, constant=self.material.constant_rate)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self._follow(min(config.ema, (1 + step) / (10 + step)))

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Move the averaged weights towards the weights; buffers are copied."""
        for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
            if fast.requires_grad:
                slow.lerp_(fast, 1 - decay)
        for kept, held in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(held)

    def _stop(self, batch_idx: int, what: str) -> None:
        """Stop at a batch from which nothing can be learnt.

        Raises
        ------
        ReadError
            Always; it names the batch, its samples and the plane in which a value is odd.
        """
        assert self._batch is not None
        keys = self.material.keys(self._batch)
        odd = self.material.odd(self._batch)
        where = f"batch {self.first + batch_idx}, samples {_spelled(keys)}" + (f", {odd}" if odd else "")
        fix = (
            "mend these values in the files and build the store again"
            if odd
            else f"the data are finite: lower `rate` ({self.config.rate:g}), "
            + (f"lower `clip` ({self.config.clip:g})" if self.config.clip else "set a `clip`")
            + ", or take precision: 32"
        )
        raise ReadError(f"the training stopped: {what}", where=where, fix=fix)


def _still(model: nn.Module) -> nn.Module:
    """A copy that is not trained."""
    return copy.deepcopy(model).requires_grad_(False).eval()


def _seed(seed: int, step: int, rank: int) -> int:
    """A seed for one step of one process."""
    return mixed((seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank + 1) & 0xFFFFFFFFFFFFFFFF) >> 1


def _spelled(keys: list[int]) -> str:
    if len(keys) <= 8:
        return ", ".join(map(str, keys))
    return f"{', '.join(map(str, keys[:3]))} … {keys[-1]}"
