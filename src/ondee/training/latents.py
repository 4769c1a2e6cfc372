"""What the training of an autoencoder works with: sequences, made by their numbers on the device that learns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ondee.batches import Windows
from ondee.generative.noise import Noise
from ondee.nn.advective import AdvectiveDecoder
from ondee.progress import track
from ondee.run import RainLearnt, described_latent, load_latent, save_latent
from ondee.store import Store
from ondee.topographic.components import level_of, principal
from ondee.topographic.digits import digits_of
from ondee.topographic.judging import judge, judge_rain, unrolled
from ondee.topographic.model import TopographicVAE
from ondee.topographic.sequences import Digits, Drawn, Factors, Sprites
from ondee.training.material import JUDGED, Material, Numbers
from ondee.training.settings import LatentConfig
from ondee.units import VOCABULARY, WET

__all__ = ["LatentMaterial", "Sequences", "Unrolled", "frames_of_windows", "sequences_of"]

_MOMENTUM = 0.9
_EVEN_SEED = 20_180_604
"""Seed of the windows of rain that are judged, whatever the seed of the training."""
_SHOWN = 3
_WINDOWS = 600
"""Windows from which components are found."""
_FITTED_ON = 32
"""Sequences of each factor on which a finished model is judged."""


@dataclass(frozen=True)
class Sequences:
    """Sequences of a batch and their numbers.

    Parameters
    ----------
    keys
        Numbers.
    frames
        ``(B, S, channels, H, W)``; None before they are made.
    weight
        How much each counts, ``(B,)``; all alike where None.
    """

    keys: tuple[int, ...]
    frames: Tensor | None = None
    weight: Tensor | None = None


@dataclass(frozen=True)
class Unrolled:
    """Sequences of the validation and what the model makes of them.

    Parameters
    ----------
    frames, reconstructed, rolled
        ``(B, S, H, W, channels)``, 0 to 1 or mm h-1; `rolled` is decoded from the latents of the first frame, rolled.
    step
        Steps learnt so far.
    is_rain
        Whether it is rain.
    """

    frames: NDArray[Any]
    reconstructed: NDArray[Any]
    rolled: NDArray[Any]
    step: int
    is_rain: bool = False


class RainSequences:
    """Windows of radar rain as sequences.

    Parameters
    ----------
    windows
        Of stores.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.shape = (1, windows.side, windows.side)

    def batch(self, numbers: Sequence[int], *, device: torch.device | str = "cpu") -> Drawn:
        """Sequences by their numbers; no factor is known to move."""
        rain, weight = self.windows.batch(numbers, device)
        unknown = np.zeros(len(rain), np.int64)
        return Drawn(rain, unknown, unknown, weight)

    def components(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Principal components of whole frames, dB, each counted by the weight of its window.

        Parameters
        ----------
        size
            Components.

        Returns
        -------
        tuple of ndarray
            As of :func:`ondee.topographic.components.principal`.
        """
        return principal(*frames_of_windows(self.windows), size)

    def begin(self, model: TopographicVAE) -> None:
        """Give a model with a linear path the components of the rain to begin with."""
        if not isinstance(model.decoder, AdvectiveDecoder):
            return
        mean, basis, variance = self.components(model.decoder.staying)
        threshold, decade = 10 * np.log10(WET), 10.0
        begun = ((mean - threshold) / decade, basis, np.sqrt(variance) / decade)
        model.decoder.components.begin(*(torch.from_numpy(values).float() for values in begun))


def frames_of_windows(windows: Windows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels of whole frames ``(N, H W)``, dB, of the first windows, and the weight of each."""
    levels, weights = [], []
    for number in track(range(_WINDOWS), "finding components"):
        one = windows.window(number)
        whole = np.isfinite(one.rain).all((1, 2))
        levels.append(level_of(one.rain[whole]).reshape(int(whole.sum()), one.rain[0].size))
        weights += [one.weight] * int(whole.sum())
    return np.concatenate(levels).astype(np.float64), np.asarray(weights)


SequenceSource = Factors | RainSequences


class _Count(Dataset[int]):
    """Numbers themselves."""

    def __getitem__(self, number: int) -> int:
        return number


class LatentMaterial(Material):
    """Sequences of two splits and a model that learns them.

    Parameters
    ----------
    config, model, data
        As of :class:`Material`.
    training, validation
        Where the sequences come from.
    """

    config: LatentConfig
    model: TopographicVAE

    def __init__(
        self,
        config: LatentConfig,
        model: TopographicVAE,
        data: dict[str, Any],
        training: SequenceSource,
        validation: SequenceSource,
    ) -> None:
        super().__init__(config, model, data)
        self.training, self.validation = training, validation

    @classmethod
    def of(cls, config: LatentConfig) -> LatentMaterial:
        """Read what there is to read and make the model.

        Raises
        ------
        ReadError
            If the digits are not there.
        """
        splits = {name: sequences_of(config, name) for name in ("train", "validation")}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = TopographicVAE(config.settings, splits["train"].shape)
        if isinstance(splits["train"], RainSequences):
            splits["train"].begin(model)
        return cls(config, model, _data(config, splits), splits["train"], splits["validation"])

    # ---- learning

    def loader(self, first: int, rank: int = 0, world: int = 1) -> DataLoader[Any]:
        """Numbers of the sequences of each step."""
        numbers = Numbers(first, self.config.steps, self.config.batch, rank, world)
        return DataLoader(_Count(), batch_sampler=numbers, collate_fn=_numbered)

    def judged(self) -> Iterator[Sequences]:
        """Numbers of the sequences of the validation."""
        for start in range(0, self.config.validation_samples, self.config.batch):
            last = min(start + self.config.batch, self.config.validation_samples)
            yield Sequences(tuple(JUDGED + number for number in range(start, last)))

    def placed(self, batch: Sequences, device: torch.device) -> Sequences:
        """Sequences made on a device."""
        judged = batch.keys[0] >= JUDGED
        source = self.validation if judged else self.training
        numbers = [key - JUDGED * judged for key in batch.keys]
        drawn = source.batch(numbers, device=device)
        is_weighted = judged or self.config.weighted
        return Sequences(batch.keys, drawn.frames, drawn.weight if is_weighted else None)

    def loss(self, model: TopographicVAE, batch: Sequences, step: int) -> dict[str, Tensor]:
        """Bound of the model."""
        assert batch.frames is not None
        noise = Noise(self.config.seed, keys=batch.keys, device=batch.frames.device)
        warmup, judged = self.config.divergence_warmup, batch.keys[0] >= JUDGED
        risen = min(1.0, (step + 1) / warmup) if warmup and not judged else 1.0
        return model.loss(batch.frames, noise, self.config.divergence * risen, batch.weight)

    def observed(self, batch: Sequences) -> Tensor:
        """Sequences: their weights are in the loss."""
        return torch.tensor(float(len(batch.keys)), device=batch.frames.device if batch.frames is not None else None)

    def keys(self, batch: Sequences) -> list[int]:
        """Numbers of the sequences."""
        return list(batch.keys)

    def prepare(self) -> None:
        """Nothing."""

    def optimiser(self) -> torch.optim.Optimizer:
        """Adam with decoupled weight decay, or gradient descent with momentum; shift and biases do not decay."""
        if self.config.optimiser == "sgd":
            return torch.optim.SGD(self._groups(), lr=self.config.rate, momentum=_MOMENTUM, fused=self._fused())
        return super().optimiser()

    def decays(self, name: str, parameter: torch.nn.Parameter) -> bool:
        """Neither mu nor a bias does."""
        return parameter.ndim > 1 and name != "topography.centre"

    def odd(self, batch: Sequences) -> str:
        """The first infinite or implausible rain rate."""
        if batch.frames is None:
            return ""
        bounds = VOCABULARY["rain_rate"].plausible if self.model.likelihood.is_rain else (0.0, 1.0)
        wrong = torch.isinf(batch.frames) | (batch.frames < bounds[0]) | (batch.frames > bounds[1])
        return f"a pixel is {batch.frames[wrong][0]:g}" if bool(wrong.any()) else ""

    @property
    def constant_rate(self) -> bool:
        """Whether the rate stays."""
        return self.config.schedule == "constant"

    # ---- telling

    def counts(self) -> dict[str, int]:
        """Sequences learnt in all, and those of the validation."""
        return {"train": self.config.steps * self.config.batch, "validation": self.config.validation_samples}

    def size(self, batch: Sequences) -> int:
        """Bytes of the frames."""
        return 0 if batch.frames is None else batch.frames.numel() * batch.frames.element_size()

    def scene(self, model: TopographicVAE, batches: Sequence[Sequences], device: torch.device, step: int) -> Unrolled:
        """The first sequence of each factor, reconstructed, and rolled from its first frame."""
        if isinstance(self.validation, RainSequences):
            frames = self.validation.batch(range(_SHOWN), device=device).frames
        else:
            chosen = range(min(_SHOWN, len(self.validation.factors)))
            frames = torch.cat([self.validation.batch([n], factor=n, device=device).frames for n in chosen])
        seen, made, moved = unrolled(model, frames)
        return Unrolled(seen, made, moved, step, model.likelihood.is_rain)

    def fit(self, model: TopographicVAE) -> dict[str, float]:
        """Nothing is fitted; the figures are those of the validation."""
        if isinstance(self.validation, RainSequences):
            found = judge_rain(model, self.validation, seed=self.config.seed, count=4 * _FITTED_ON)
        else:
            found = judge(model, self.validation, seed=self.config.seed, count=_FITTED_ON, likelihood=8)
        return {name: round(value, 5) for name, value in found.items()}

    def told(self) -> dict[str, Any]:
        """The configuration without paths."""
        values: dict[str, Any] = json.loads(self.config.model_dump_json(exclude={"data", "stores", "run"}))
        return {**values, "fingerprint": self.data["fingerprint"], "taken": {}}

    def described(self) -> dict[str, Any]:
        """What the run says of its model."""
        return described_latent(self.model, training=self.told(), rain=self._rain())

    def _rain(self) -> dict[str, Any]:
        """What kind of rain is learnt; empty of anything else."""
        if not isinstance(self.training, RainSequences):
            return {}
        windows = self.training.windows
        return RainLearnt(windows.frames, windows.step, windows.cell, windows.crop).plain()

    def origin(self) -> dict[str, Any]:
        """Where digits or stores lay."""
        return {"data_folder": self.config.data or "", "stores": [Path(store).name for store in self.config.stores]}

    def save(self, folder: Path, model: TopographicVAE, about: Mapping[str, Any]) -> None:
        """Write the run."""
        save_latent(folder, model, about={**about, "rain": self._rain()})

    def require_finished(self, folder: Path) -> None:
        """Refuse a finished run that cannot be loaded."""
        load_latent(folder)


def sequences_of(config: LatentConfig, split: str) -> Factors | RainSequences:
    """Sequences of a split as a configuration tells them.

    Parameters
    ----------
    config
        With whole paths.
    split
        ``train``, ``validation`` or ``test``.

    Raises
    ------
    ReadError
        If the digits are not there.
    """
    if config.sequences == "rain":
        stores = [Store(path) for path in config.stores]
        seed = config.seed if split == "train" else _EVEN_SEED
        names = ("frames", "side", "crop", "rain", "shares")
        more: dict[str, Any] = {name: getattr(config, name) for name in names}
        return RainSequences(Windows(stores, split, seed=seed, **more))
    if config.sequences == "sprites":
        return Sprites(seed=config.seed, split=split)
    images = digits_of(config.data or ".", split)
    return Digits(images, seed=config.seed, stream=split, together=config.together)


def _numbered(numbers: list[int]) -> Sequences:
    return Sequences(tuple(numbers))


def _data(config: LatentConfig, splits: Mapping[str, Factors | RainSequences]) -> dict[str, Any]:
    """What is learnt from, in plain values."""
    source = splits["train"]
    if isinstance(source, RainSequences):
        return _data_of_rain(config, source)
    held = {
        name: hashlib.sha256(entry.images.numpy().tobytes()).hexdigest()
        for name, entry in splits.items()
        if isinstance(entry, Digits)
    }
    about = {"sequences": config.sequences, "factors": dict(source.factors), "frames": source.frames, "images": held}
    return {
        "store": config.sequences,
        "fingerprint": hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16],
        "factors": ", ".join(f"{name} ({size} values)" for name, size in source.factors.items()),
        "frames": source.frames,
        "parts": {},
    }


def _data_of_rain(config: LatentConfig, source: RainSequences) -> dict[str, Any]:
    """What is learnt from of radar rain."""
    contents = [[Store(path).about, Store(path).summary] for path in config.stores]
    printed = hashlib.sha256(json.dumps(contents, sort_keys=True, default=str).encode()).hexdigest()
    windows = source.windows
    return {
        "store": ", ".join(Path(path).name for path in config.stores),
        "fingerprint": printed[:16],
        "frames": windows.frames,
        "step": f"{windows.step} min",
        "cell": " x ".join(f"{side:g}" for side in windows.cell) + " km",
        "starts_of_windows": windows.count,
        "parts": {},
    }
