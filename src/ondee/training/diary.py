"""What a training writes down as it goes: metrics, validations, pictures, and the state from which it can go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ondee import run
from ondee.errors import ConfigError, ReadError
from ondee.output import disk_errors, whole
from ondee.progress import track
from ondee.run import metrics_of
from ondee.training.lesson import Lesson
from ondee.training.material import Material

__all__ = ["CHECKPOINT", "Diary", "Draw", "checkpoint", "require_state"]

CHECKPOINT = "checkpoint.pt"
_TOLD_EVERY = 50
"""Steps of which one line of metrics is the mean."""
_STATE = {"step": int, "weights": dict, "average": dict, "optimiser": dict, "books": dict}
"""What a state holds."""
_ANEW = "remove this file: the training then begins anew"


Draw = Callable[[Path, Any, list[dict[str, Any]]], None]
"""``draw(folder, scene, metrics)``: writes pictures into the folder of the run."""


def checkpoint(folder: Path) -> dict[str, Any] | None:
    """State that a training left in its folder; None if there is none.

    Raises
    ------
    ReadError
        If it cannot be read, or is no state.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch tells a broken file in many ways
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise ReadError(f"the state of the training cannot be read: {words}", where=path, fix=_ANEW) from error
    held = state if isinstance(state, dict) else {}
    absent = [name for name, kind in _STATE.items() if not isinstance(held.get(name), kind)]
    if absent:
        raise ReadError(f"the state of the training lacks {', '.join(absent)}", where=path, fix=_ANEW)
    return held


def require_state(state: dict[str, Any], model: torch.nn.Module, folder: Path) -> None:
    """Refuse a state that another model left.

    Parameters
    ----------
    state
        From :func:`checkpoint`.
    model
        The one that is to go on from there.
    folder
        Of the run, for the error.

    Raises
    ------
    ReadError
        If weights are missing, are too many, or are of another shape.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for part in ("weights", "average"):
        found = {name: tuple(getattr(tensor, "shape", ())) for name, tensor in state[part].items()}
        unlike = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        if unlike:
            raise ReadError(
                f"the state of the training is that of another model: {len(unlike)} of its {part} do not fit, "
                f"{unlike[0]!r} first",
                where=folder / CHECKPOINT,
                fix=_ANEW,
            )


class Diary(Callback):
    """Keeps the books of a training; only the first process writes.

    Parameters
    ----------
    folder
        Of the run.
    material
        What is learnt from.
    state
        What an earlier training left; None for a new one.
    draw
        Draws pictures; none where None.
    """

    def __init__(
        self, folder: Path, material: Material, state: dict[str, Any] | None = None, draw: Draw | None = None
    ) -> None:
        self.folder, self.material, self.config = folder, material, material.config
        books = (state or {}).get("books", {})
        self.seconds = float(books.get("seconds", 0.0))
        self.waited = float(books.get("waited", 0.0))
        self._sums: dict[str, float] = dict(books.get("sums", {}))
        self._since = [float(entry) for entry in books.get("since", (0.0, 0.0, 0.0))]
        self.draw = draw if material.config.pictures else None
        self.interrupted = False
        self._bar: Iterator[int] = iter(())
        self._clock = self._began = 0.0
        self._board: Any = None
        self._kept = metrics_of(folder / run.METRICS, int((state or {}).get("step", 0)))

    # ---- what Lightning calls

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the books where an earlier training left them."""
        self._clock = self._began = time.monotonic()
        if not trainer.is_global_zero:
            return
        text = "".join(json.dumps(line) + "\n" for line in self._kept)
        run.write_text(self.folder / run.METRICS, text)
        self._board = _board(self.folder) if self.config.logger == "tensorboard" else None
        lesson: Any = pl_module
        self._bar = iter(track(range(lesson.first, self.config.steps), "training"))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Count the time waited for a batch."""
        now = time.monotonic()
        self.waited += now - self._clock
        next(self._bar, None)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write down what there is to be told after a step."""
        lesson: Any = pl_module
        done = lesson.first + batch_idx + 1
        last = done == self.config.steps
        if trainer.is_global_zero:
            self._count(lesson)
            if done % _TOLD_EVERY == 0 or last:
                self._tell_losses(done, lesson)
            if done % self.config.validate_every == 0 or last:
                self._validate(done, lesson)
            if done % self.config.checkpoint_every == 0 or last:
                self._keep(done, lesson)
        self._tick()
        self._clock = time.monotonic()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remember that someone stopped it: Lightning does not tell."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)
        self._close()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the books."""
        next(self._bar, None)
        self._close()

    # ---- the books

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._began
        self._began = now

    def _close(self) -> None:
        if hasattr(self._bar, "close"):
            self._bar.close()
        if self._board is not None:
            self._board.close()

    def _count(self, lesson: Lesson) -> None:
        for name, value in lesson.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._sums["steps"] = self._sums.get("steps", 0.0) + 1

    def _tell_losses(self, done: int, lesson: Lesson) -> None:
        """A line with the mean losses since the last one."""
        self._tick()
        count = self._sums.pop("steps")
        means = {name: value / count for name, value in self._sums.items()}
        self._sums = {}
        seconds, waited = self.seconds - self._since[0], self.waited - self._since[1]
        self._since = [self.seconds, self.waited, float(done)]
        optimiser: Any = lesson.optimizers(use_pl_optimizer=False)
        self._tell(
            {
                "step": done,
                **means,
                "rate": optimiser.param_groups[0]["lr"],
                "seconds": round(self.seconds, 3),
                "waiting_share": round(waited / seconds, 4) if seconds > 0 else 0.0,
            }
        )

    def _tell(self, line: dict[str, Any]) -> None:
        self._kept.append(line)
        path = self.folder / run.METRICS
        with disk_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in line.items():
                if name != "step":
                    self._board.add_scalar(name, value, line["step"])

    def _keep(self, done: int, lesson: Lesson) -> None:
        """Write the state from which the training can go on; it is there whole or as it was before."""
        self._tick()
        books = {"seconds": self.seconds, "waited": self.waited, "sums": self._sums, "since": self._since}
        with whole(self.folder / CHECKPOINT, force=True) as draft:
            torch.save({**lesson.left(done), "books": books}, draft)

    # ---- validation

    @torch.no_grad()
    def _validate(self, done: int, lesson: Lesson) -> None:
        """Losses of the averaged weights on the fixed samples, and a picture of some of them."""
        judged, device = lesson.average, lesson.device
        sums: dict[str, float] = {}
        total = 0.0
        seen = []
        for batch in self.material.judged():
            losses = self.material.loss(judged, self.material.placed(batch, device), self.config.steps)
            observed = float(self.material.observed(batch))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value) * observed
            total += observed
            seen.append(batch)
        self._tell({"step": done, **{f"validation_{name}": value / max(total, 1e-6) for name, value in sums.items()}})
        if self.draw is not None:
            with disk_errors(self.folder):
                self.draw(self.folder, self.material.scene(judged, seen, device, done), list(self._kept))


def _board(folder: Path) -> Any:
    """TensorBoard's writer.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed", where="logger: tensorboard", fix="pip install tensorboard, or logger: none"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))
