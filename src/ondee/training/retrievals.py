"""What the training of a retrieval works with: a store, the parts taken, and patches of both splits."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor
from torch.utils.data import DataLoader

from ondee import run
from ondee.batches import Patches, Scenes, collate, predictors_of, statistics_of
from ondee.condition import Batch, Condition, Predictors
from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.retriever.protocol import Retriever
from ondee.retriever.registry import retriever as model_class
from ondee.store import Store
from ondee.training.material import JUDGED, Material, Numbers
from ondee.training.settings import TrainConfig
from ondee.units import VOCABULARY

__all__ = ["RetrievalMaterial", "Scene", "noise_of"]

_MANIFEST = "truth.yaml"
"""What `ondee simulate` writes beside its archives."""
_PREPARED_ON = 128
"""Samples on which a model measures what it needs before it learns."""
_MEASURED_ON = 384
"""Samples for a model that has nothing more to learn."""
_SHOWN = 4
_MEMBERS_SHOWN = 2
_MOST_STEPS = 25
"""Steps of a member that is drawn for a picture only."""


@dataclass(frozen=True)
class Scene:
    """Patches of the validation days and what the model makes of them.

    Parameters
    ----------
    channel
        Name of the infrared channel.
    infrared
        Newest image, ``(B, H, W)``, K.
    radar
        Observed rain, ``(B, H, W)``, mm h-1, NaN where not observed.
    drawn
        Retrieved rain, ``(B, M, H, W)``, mm h-1.
    cell
        Height and width of a pixel, km.
    step
        Steps learnt so far.
    """

    channel: str
    infrared: NDArray[Any]
    radar: NDArray[Any]
    drawn: NDArray[Any]
    cell: tuple[float, float]
    step: int


class RetrievalMaterial(Material):
    """A store's patches, whole fields of its validation days, and a model that turns images into rain.

    Parameters
    ----------
    config, retriever, data
        As of :class:`Material`.
    training, validation
        Samples of the training days, and of the validation days as they are.
    scenes
        Whole fields of the validation days.
    """

    config: TrainConfig
    model: Retriever

    def __init__(
        self,
        config: TrainConfig,
        retriever: Retriever,
        data: dict[str, Any],
        training: Patches,
        validation: Patches,
        scenes: Scenes,
    ) -> None:
        super().__init__(config, retriever, data)
        self.training, self.validation, self.scenes = training, validation, scenes

    @classmethod
    def of(cls, config: TrainConfig) -> RetrievalMaterial:
        """Open the store, make the model, take the parts; see :func:`ondee.training.material.gather`."""
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
        return cls(config, retriever, _data(store, splits, config), training, validation, splits["validation"])

    # ---- learning

    def loader(self, first: int, rank: int = 0, world: int = 1) -> DataLoader[Any]:
        """Batches of patches."""
        workers = self.config.workers
        more: dict[str, Any] = {"persistent_workers": False, "prefetch_factor": 4} if workers else {}
        numbers = Numbers(first, self.config.steps, self.config.batch, rank, world)
        return DataLoader(self.training, batch_sampler=numbers, collate_fn=collate, num_workers=workers, **more)

    def judged(self) -> Iterator[Batch]:
        """Patches of the validation days."""
        config = self.config
        for start in range(0, config.validation_samples, config.batch):
            numbers = range(start, min(start + config.batch, config.validation_samples))
            batch = collate([self.validation[number] for number in numbers])
            yield replace(batch, keys=tuple(JUDGED + number for number in numbers))

    def placed(self, batch: Batch, device: torch.device) -> Batch:
        """A batch on a device."""
        return batch.to(device)

    def loss(self, model: Retriever, batch: Batch, step: int) -> dict[str, Tensor]:
        """Loss of the model."""
        return model.loss(batch, noise_of(self.config, list(batch.keys), batch.rain.device))

    def observed(self, batch: Batch) -> Tensor:
        """Observed pixels, weighted."""
        return (torch.isfinite(batch.rain) * batch.weight[:, None, None]).sum()

    def keys(self, batch: Batch) -> list[int]:
        """Numbers of the patches."""
        return list(batch.keys)

    def odd(self, batch: Batch) -> str:
        """The first plane with a value that cannot be, and that value."""
        return _odd_plane(batch, self.model)

    def prepare(self) -> None:
        """Let the model measure what it needs before it learns."""
        wanted = _PREPARED_ON if self.model.trained() else _MEASURED_ON
        count = min(wanted, max(1, wanted * 64**2 // self.config.patch**2))
        self.model.prepare(collate([self.training[number] for number in range(count)]))

    # ---- telling

    def counts(self) -> dict[str, int]:
        """Moments of each split."""
        return {"train": len(self.training.scenes), "validation": len(self.scenes)}

    def size(self, batch: Batch) -> int:
        """Bytes of images, planes and rain."""
        held = (batch.condition.images, batch.condition.auxiliary, batch.rain)
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def scene(self, model: Retriever, batches: Sequence[Batch], device: torch.device, step: int) -> Scene:
        """The wettest patches and what the model makes of them."""
        wettest: list[tuple[float, int, Batch]] = []
        for batch in batches:
            there = batch.condition.seen.float().mean((1, 2))  # a patch without images shows nothing
            wet = (torch.nan_to_num(batch.rain).mean((1, 2)) * there).tolist()
            wettest += [(-amount, number, batch) for number, amount in enumerate(wet)]
        shown = sorted(wettest, key=lambda entry: entry[:2])[:_SHOWN]
        images = torch.stack([batch.condition.images[number] for _, number, batch in shown])
        auxiliary = torch.stack([batch.condition.auxiliary[number] for _, number, batch in shown])
        radar = torch.stack([batch.rain[number] for _, number, batch in shown])
        members = range(_MEMBERS_SHOWN if model.stochastic else 1)
        noise = Noise(self.config.seed, keys=range(len(shown)), members=members, device=device)
        sampling = model.sampling.model_copy(update={"steps": min(model.sampling.steps, _MOST_STEPS)})
        drawn = model.sample(Condition(images, auxiliary).to(device), noise, sampling).float().cpu()
        channels = model.predictors.channels
        window = next((name for name in channels if "108" in name or "103" in name or "112" in name), channels[0])
        newest = images[:, 0, channels.index(window)]
        return Scene(window, newest.numpy(), radar.numpy(), drawn.numpy(), model.predictors.cell, step)

    def fit(self, model: Retriever) -> dict[str, float]:
        """Threshold and sampling, on the validation days."""
        from ondee.fitting import fit

        return dict(fit(model, self.scenes, seed=self.config.seed))

    def told(self) -> dict[str, Any]:
        """The configuration, with fingerprints in place of paths."""
        values = json.loads(self.config.model_dump_json(exclude={"store", "run", "parts"}))
        values["model"] = Path(values["model"]).name
        return {**values, "fingerprint": self.data["fingerprint"], "taken": self.data["parts"]}

    def described(self) -> dict[str, Any]:
        """What the run says of its model."""
        return run.described(self.model, model=self.config.model, training=self.told())

    def origin(self) -> dict[str, Any]:
        """The store and the configuration that made it."""
        return {"store": self.config.store, "store_config": Store(self.config.store).config}

    def save(self, folder: Path, model: Retriever, about: Mapping[str, Any]) -> None:
        """Write the run."""
        run.save(folder, model, model=self.config.model, about=about)

    def require_finished(self, folder: Path) -> None:
        """Refuse a finished run that cannot be loaded."""
        run.load(folder)


def noise_of(config: TrainConfig, keys: list[int], device: torch.device | str = "cpu") -> Noise:
    """Noise of samples by their numbers."""
    side = (0, config.patch)
    return Noise(config.seed, keys=keys, rows=side, columns=side, device=device)


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


def _odd_plane(batch: Batch, retriever: Retriever) -> str:
    """The first plane with a value that cannot be, and that value; empty if there is none."""
    predictors, condition = retriever.predictors, batch.condition
    kelvin = predictors.units == VOCABULARY["brightness_temperature"].units
    bounds = VOCABULARY["brightness_temperature"].plausible if kelvin else (-math.inf, math.inf)
    odd = _beyond(condition.images, bounds)
    for frame, channel in odd.flatten(3).any(-1).any(0).nonzero().tolist():
        value = condition.images[:, frame, channel][odd[:, frame, channel]][0]
        return f"{predictors.channels[channel]} at -{predictors.minutes[frame]} min is {value:g} {predictors.units}"
    for place, name in enumerate(predictors.auxiliary):
        if bool(torch.isinf(condition.auxiliary[:, place]).any()):
            return f"{name} is infinite"
    odd = _beyond(batch.rain, VOCABULARY["rain_rate"].plausible)
    return f"rain of the radar is {batch.rain[odd][0]:g} mm h-1" if bool(odd.any()) else ""


def _beyond(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Where values are infinite or outside what is plausible; NaN is neither."""
    return torch.isinf(values) | (values < bounds[0]) | (values > bounds[1])
