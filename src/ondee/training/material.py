"""What a training needs before its first step: the model with the parts taken, and samples of both splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch.utils.data import DataLoader, Sampler

from ondee import run
from ondee.batches import Patches, Scenes, collate, predictors_of, statistics_of
from ondee.condition import Batch, Predictors
from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.retriever.protocol import Retriever
from ondee.retriever.registry import retriever as model_class
from ondee.store import Store
from ondee.training.settings import TrainConfig

__all__ = ["Material", "Numbers", "gather", "noise_of"]

_MANIFEST = "truth.yaml"
"""What `ondee simulate` writes beside its archives."""
_PREPARED_ON = 128
"""Samples on which a model measures what it needs before it learns."""
_MEASURED_ON = 384
"""Samples for a model that has nothing more to learn."""
_JUDGED = 2**40
"""Added to the numbers of validation samples, so that their noise is none of the training's."""


@dataclass(frozen=True)
class Material:
    """All that a training works with.

    Parameters
    ----------
    config
        The configuration.
    retriever
        The model as it begins.
    training, validation
        Samples of the training days, and of the validation days as they are.
    scenes
        Whole fields of the validation days.
    data
        What the model learns from, in plain values.
    """

    config: TrainConfig
    retriever: Retriever
    training: Patches
    validation: Patches
    scenes: Scenes
    data: dict[str, Any]

    def loader(self, first: int, rank: int = 0, world: int = 1) -> DataLoader[Any]:
        """Batches from step `first` on, as one of `world` processes sees them."""
        workers = self.config.workers
        more: dict[str, Any] = {"persistent_workers": False, "prefetch_factor": 4} if workers else {}
        numbers = Numbers(first, self.config.steps, self.config.batch, rank, world)
        return DataLoader(self.training, batch_sampler=numbers, collate_fn=collate, num_workers=workers, **more)

    def judged(self) -> Iterator[tuple[Batch, Noise]]:
        """The fixed batches of the validation days with their noise."""
        config = self.config
        for start in range(0, config.validation_samples, config.batch):
            numbers = range(start, min(start + config.batch, config.validation_samples))
            batch = collate([self.validation[number] for number in numbers])
            yield batch, noise_of(config, [_JUDGED + number for number in numbers])

    def prepare(self) -> None:
        """Let the model measure what it needs before it learns."""
        wanted = _PREPARED_ON if self.retriever.trained() else _MEASURED_ON
        count = min(wanted, max(1, wanted * 64**2 // self.config.patch**2))
        self.retriever.prepare(collate([self.training[number] for number in range(count)]))


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


def noise_of(config: TrainConfig, keys: list[int], device: torch.device | str = "cpu") -> Noise:
    """Noise of samples by their numbers."""
    side = (0, config.patch)
    return Noise(config.seed, keys=keys, rows=side, columns=side, device=device)


def gather(config: TrainConfig) -> Material:
    """Open the store, make the model, take the parts.

    Parameters
    ----------
    config
        With whole paths, as :func:`ondee.training.settings.read` gives it.

    Raises
    ------
    OndeeError
        If the store does not hold what the model needs, a part is missing or does not fit, or a setting is wrong.
    """
    store = Store(config.store)
    predictors = predictors_of(
        store,
        channels=config.predictors.channels or None,
        minutes=config.predictors.minutes,
        auxiliary=config.predictors.auxiliary,
        images=config.images,
        satellite_longitude=config.predictors.satellite_longitude,
    )
    retriever = _made(config, store, predictors)
    if config.patch % retriever.multiple:
        raise ConfigError(
            f"patches of {config.patch} pixels do not fit a model that halves them down to 1/{retriever.multiple}",
            where="patch",
            fix=f"give a multiple of {retriever.multiple}",
        )
    splits = {
        name: Scenes(store, predictors, split=name, images=config.images, rain=config.rain)
        for name in ("train", "validation")
    }
    drops = config.dropout
    training = Patches(
        splits["train"],
        config.patch,
        seed=config.seed,
        flips=config.flips,
        frame_dropout=drops.frame,
        channel_dropout=drops.channel,
    )
    validation = Patches(
        splits["validation"], config.patch, seed=config.seed, flips=False, frame_dropout=0.0, channel_dropout=0.0
    )
    return Material(config, retriever, training, validation, splits["validation"], _data(store, splits, config))


def _made(config: TrainConfig, store: Store, predictors: Predictors) -> Retriever:
    """The model with its parts, its weights drawn from the seed."""
    made = model_class(config.model)
    parts = _parts(config, made, predictors)
    values = config.settings | {name: part.settings.model_dump(mode="json") for name, part in parts.items()}
    try:
        settings = made.settings_type.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigError(
            str(fault["msg"]),
            where="settings." + ".".join(map(str, fault["loc"])),
            fix="mend the value; ondee.retriever tells the settings of each model",
        ) from error
    statistics = statistics_of(store, predictors, images=config.images, rain=config.rain)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        retriever = made(settings, predictors, statistics)
    for name, part in parts.items():
        whole = getattr(retriever, name)
        whole.load_state_dict(part.state_dict())
        whole.frozen()
    return retriever


def _parts(config: TrainConfig, made: type[Retriever], predictors: Predictors) -> dict[str, Retriever]:
    """Models that were trained before, by the name of the part that they become."""
    odd = sorted(set(config.parts) ^ set(made.taken))
    if odd:
        missing = odd[0] in made.taken
        raise ConfigError(
            f"the model {config.model} needs a run for its part {odd[0]!r}"
            if missing
            else f"the model {config.model} has no part {odd[0]!r}",
            where="parts",
            fix=f"train it first, then name its run: `parts: {{ {odd[0]}: RUN }}`, or --part {odd[0]}=RUN"
            if missing
            else "the parts here are: " + (", ".join(made.taken) or "none"),
        )
    found = {}
    for name, path in config.parts.items():
        if not (Path(path) / run.WEIGHTS).is_file():
            raise ConfigError(
                f"there is no finished run for the part {name!r}",
                where=f"parts.{name}: {path}",
                fix="train it first, with `ondee train` and the configuration of that model",
            )
        part = run.load(path)
        if part.predictors != predictors:
            raise ConfigError(
                f"the part {name!r} looks at {_told(part.predictors)}; this model at {_told(predictors)}",
                where=f"parts.{name}: {path}",
                fix="give both trainings the same store and predictors",
            )
        found[name] = part
    return found


def _told(predictors: Predictors) -> str:
    minutes = ", ".join(map(str, predictors.minutes))
    beside = ", ".join(predictors.auxiliary) or "nothing"
    cell = " x ".join(f"{side:g}" for side in predictors.cell)
    seen = f"{', '.join(predictors.channels)} of {minutes} min, {beside}"
    return f"{seen}, {cell} km, from {predictors.satellite_longitude:g} degrees east"


def _data(store: Store, splits: dict[str, Scenes], config: TrainConfig) -> dict[str, Any]:
    """What is learnt from, in plain values."""
    about = {key: store.about[key] for key in ("config", "days", "variables") if key in store.about}
    contents = json.dumps([about, store.summary], sort_keys=True, default=str)
    products = {entry["name"]: entry.get("attributes", {}).get("product", "") for entry in store.about["variables"]}
    times = {name: scenes.times for name, scenes in splits.items()}
    return {
        "store": store.path.name,
        "fingerprint": hashlib.sha256(contents.encode()).hexdigest()[:16],
        "images": f"{config.images} ({products.get(config.images, '')})",
        "rain": f"{config.rain} ({products.get(config.rain, '')})",
        **{f"{name}_moments": len(found) for name, found in times.items()},
        **{f"{name}_period": f"{str(found[0])[:16]} to {str(found[-1])[:16]}" for name, found in times.items()},
        "simulated": _simulated(store),
        "parts": {name: _print_of(path) for name, path in config.parts.items()},
    }


def _simulated(store: Store) -> bool:
    """Whether an input of the store lies in an archive that `ondee simulate` made: its manifest lies there too."""
    places = [store.path.parent / path for entry in store.config.get("inputs", {}).values() for path in entry["paths"]]
    folders = [folder for place in places for folder in (place, *place.resolve().parents[:3])]
    return any((folder / _MANIFEST).is_file() for folder in folders)


def _print_of(run_folder: str) -> str:
    """Fingerprint of the weights of a run."""
    with (Path(run_folder) / run.WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
