"""A training from its first step, or from where it stopped, to a finished run."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from ondee import run
from ondee.errors import ConfigError, ReadError, StoreError
from ondee.output import disk_errors, locked
from ondee.training.diary import CHECKPOINT, Diary, Draw, checkpoint, require_state
from ondee.training.lesson import Lesson
from ondee.training.material import Material, gather, trained
from ondee.training.memory import keep_memory
from ondee.training.settings import LearningConfig, differences

__all__ = ["Devices", "Trained", "checked", "precision_of", "quiet", "train"]

_OWN = ("config.yaml", "model.safetensors", "README.md", "metrics.jsonl", "provenance.json", "model.py", CHECKPOINT)
_MEASURED = ("fingerprint", "taken")
"""What a run keeps of its store and its parts in place of where they lay."""
_OWN_FOLDERS = ("pictures", "tensorboard")


@dataclass(frozen=True)
class Devices:
    """Where a training runs, in the words of Lightning.

    Parameters
    ----------
    accelerator
        ``auto``, ``cpu`` or ``gpu``.
    devices
        Number on each node; ``auto`` for all.
    nodes
        Number of nodes.
    strategy
        ``auto``, or one of those that begin with ``ddp``.
    """

    accelerator: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    strategy: str = "auto"


@dataclass
class Trained:
    """What a training did.

    Parameters
    ----------
    run
        Folder of the run.
    steps
        Steps learnt in all.
    first
        Step from which this session went on.
    seconds
        Spent on steps in all sessions.
    figures
        What validation found.
    """

    run: str
    steps: int
    first: int = 0
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


def train(
    config: LearningConfig,
    *,
    out: str | Path | None = None,
    on: Devices | None = None,
    force: bool = False,
    draw: Draw | None = None,
) -> Trained | None:
    """Train a model, or go on where an earlier training of the same configuration stopped.

    Parameters
    ----------
    config
        As :func:`ondee.training.settings.read` gives it.
    out
        Folder of the run; that of the configuration if None.
    on
        Devices; one of the best kind there is if None.
    force
        Remove a run that another configuration made.
    draw
        Draws pictures while it trains.

    Returns
    -------
    Trained or None
        None in all processes but the first.

    Raises
    ------
    OndeeError
        If the configuration, the store or the device cannot be used, another configuration made the run, or
        nothing can be learnt from a batch.
    """
    folder = Path(out or config.run or "run")
    on = checked(on or Devices(), config)
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    keep_memory()
    if getattr(rank_zero_only, "rank", 0) != 0:
        _learn(gather(config), folder, on, None)
        return None
    with _held(folder), quiet():
        material = gather(config)
        if not _opened(folder, material, force):
            material.require_finished(folder)
            return _finished(folder)
        lesson, diary = _learn(material, folder, on, draw)
        return _finish(folder, material, lesson, diary)


def checked(on: Devices, config: LearningConfig) -> Devices:
    """Refuse devices on which a training would not be what its configuration says.

    Raises
    ------
    ConfigError
        If a model would be split, the batch cannot be, or there is no such device.
    """
    if on.strategy != "auto" and not on.strategy.startswith("ddp"):
        raise ConfigError(
            f"the strategy {on.strategy!r} splits a model over devices",
            where="--strategy",
            fix="use auto or ddp: every model here fits on one device",
        )
    if on.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("there is no GPU that torch can use", where="--accelerator gpu", fix="use --accelerator cpu")
    if on.nodes < 1 or (on.devices != "auto" and not (isinstance(on.devices, int) and on.devices > 0)):
        raise ConfigError(
            f"{on.devices} devices on {on.nodes} nodes cannot be used",
            where="--devices, --nodes",
            fix="give numbers from 1 on; --devices auto takes all of a node",
        )
    count = on.devices if isinstance(on.devices, int) else 1
    if config.batch % (count * on.nodes):
        raise ConfigError(
            f"a batch of {config.batch} samples cannot be split over {count * on.nodes} devices",
            where="batch",
            fix=f"give a multiple of {count * on.nodes}",
        )
    return on


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a run for one training."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except StoreError as error:
            if "another" not in error.what:
                raise
            raise StoreError(
                "another training is writing this run", where=folder, fix="wait for it, or give another --out"
            ) from error
        yield


def _opened(folder: Path, material: Material, force: bool) -> bool:
    """Make the folder of a run, or find the one that an earlier training began; False if it is finished.

    Raises
    ------
    StoreError
        If another configuration or store made it.
    """
    path = folder / run.CONFIG
    if path.is_file():
        unlike = _unlike(_told_training(path), material)
        if not unlike:
            return not (folder / run.WEIGHTS).is_file()
        if not force:
            raise StoreError(
                f"the run was made by another configuration: {unlike[0]}"
                + (f" (and {len(unlike) - 1} more)" if len(unlike) > 1 else ""),
                where=folder,
                fix="give another --out, or --force to train anew",
            )
    elif folder.is_dir() and any(folder.iterdir()) and not force:
        raise StoreError("there is something else already", where=folder, fix="give another --out, or --force")
    with disk_errors(folder):
        for name in _OWN:
            (folder / name).unlink(missing_ok=True)
        for name in _OWN_FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    _write_config(folder, material)
    return True


def _told_training(path: Path) -> dict[str, Any]:
    """The configuration of the training that made a run; empty where the file tells none."""
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    before = told.get("training") if isinstance(told, dict) else None
    return before if isinstance(before, dict) else {}


def _unlike(before: dict[str, Any], material: Material) -> list[str]:
    """In what a run differs from what is asked for."""
    ours = material.told()
    if not before:
        return [f"its {run.CONFIG} tells of no training"]
    told = {key: value for key, value in before.items() if key not in _MEASURED}
    found = differences(told, {key: value for key, value in ours.items() if key not in _MEASURED})
    if not found and before.get("fingerprint") != ours["fingerprint"]:
        found = [f"the store {material.data['store']} holds other data than the one it learnt from"]
    if not found and before.get("taken") != ours["taken"]:
        found = ["a part was taken from another run"]
    return found


def _write_config(folder: Path, material: Material) -> None:
    run.write_text(
        folder / run.CONFIG, yaml.safe_dump(material.described(), sort_keys=False, allow_unicode=True, width=120)
    )


def _learn(material: Material, folder: Path, on: Devices, draw: Draw | None) -> tuple[Lesson, Diary]:
    """All steps that are left."""
    config = material.config
    state = checkpoint(folder)
    if state is None:
        material.prepare()
    else:
        require_state(state, material.model, folder)
    first = int(state["step"]) if state else 0
    lesson, diary = Lesson(material, first, state), Diary(folder, material, state, draw)
    if first >= config.steps or not trained(material.model):
        return lesson, diary
    trainer = _trainer(config, on, diary)
    with quiet():
        try:
            trainer.fit(lesson)
        except SystemExit as error:
            if diary.interrupted:
                raise KeyboardInterrupt from error
            raise
    return lesson, diary


def _trainer(config: LearningConfig, on: Devices, diary: Diary) -> Trainer:
    """Lightning's trainer, without anything that it would do by itself.

    Raises
    ------
    ConfigError
        If Lightning refuses the devices.
    """
    chosen: dict[str, Any] = {"precision": precision_of(config, on), "gradient_clip_val": config.clip}
    try:
        return Trainer(
            accelerator=on.accelerator,
            devices=on.devices,
            num_nodes=on.nodes,
            strategy=on.strategy,
            max_epochs=1,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[diary],
            **chosen,
        )
    except (MisconfigurationException, ImportError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"Lightning refuses the devices: {str(error).strip().splitlines()[0]}",
            where=f"--accelerator {on.accelerator} --devices {on.devices} --strategy {on.strategy}",
            fix="give the devices that this machine has",
        ) from error


def precision_of(config: LearningConfig, on: Devices) -> Any:
    """Arithmetic of a training, in the words of Lightning."""
    if config.precision != "auto":
        return {"32": "32-true", "64": "64-true"}.get(config.precision, config.precision)
    gpu = on.accelerator != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if gpu else "32-true"


def _finish(folder: Path, material: Material, lesson: Lesson, diary: Diary) -> Trained:
    """Fit what is fitted last, write the run, forget the state."""
    config, kept = material.config, lesson.average.cpu()
    steps = config.steps if trained(material.model) else 0
    began = time.monotonic()
    figures = material.fit(kept)
    losses = [line for line in run.metrics_of(folder / run.METRICS) if "validation_loss" in line]
    if losses:
        figures = {"validation_loss": losses[-1]["validation_loss"], **figures}
    provenance = {
        **material.origin(),
        "seed": config.seed,
        "steps": steps,
        "seconds": {"training": round(diary.seconds, 1), "fitting": round(time.monotonic() - began, 1)},
        "waiting_share": round(diary.waited / diary.seconds, 4) if diary.seconds else 0.0,
        "finished": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    about = {"training": material.told(), "data": material.data, "figures": figures, "provenance": provenance}
    material.save(folder, kept, about)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return Trained(str(folder), steps, lesson.first, diary.seconds, figures)


def _finished(folder: Path) -> Trained:
    """What a finished run says of its training.

    Raises
    ------
    ReadError
        If it says nothing.
    """
    path = folder / run.PROVENANCE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        steps, seconds = int(told["steps"]), float(told["seconds"]["training"])
        return Trained(str(folder), steps, steps, seconds, dict(told["figures"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ReadError(
            "the run is finished, and what it says of its training cannot be read",
            where=path,
            fix="copy the file again from where it came from; without it `ondee retrieve` still takes the run",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning from talking on the terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(lightning|torch)(\..*)?$")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
