"""Rain of every model at the moments of a split, kept in a folder so that a judging goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ondee import run
from ondee.batches import Scenes
from ondee.batches.offered import IMAGES, RAIN
from ondee.condition import Condition
from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.grid import Grid
from ondee.nn.unet import PlainUNet, UNet
from ondee.output import write_netcdf
from ondee.retrieval import ensemble_products
from ondee.retriever import Retriever, Sampling
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.store import Store

__all__ = [
    "PRODUCTS",
    "Entry",
    "Moments",
    "entries",
    "evaluations",
    "retrieved",
    "truth_of",
]

_TOGETHER = 8
"""Members drawn together: as many fields of features lie in memory at once."""
_NUMBERS: dict[str, type] = {"steps": int, "noise_scale": float, "persistence": float, "members": int, "solver": str}
PRODUCTS = ("median", "matched", "detected")
"""Single fields made of the members, beside their mean, which the verification makes itself."""

Fields = NDArray[np.float32]


@dataclass(frozen=True)
class Entry:
    """One model, drawn from in one way.

    Parameters
    ----------
    name
        What tables and figures call it.
    path
        Its run.
    changes
        What differs from the sampling of the run, and ``members``.
    """

    name: str
    path: Path
    changes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def retriever(self) -> Retriever:
        """The model, on the processor."""
        return run.load(self.path)

    @property
    def sampling(self) -> Sampling:
        """How members are drawn."""
        changed = {key: value for key, value in self.changes.items() if key != "members"}
        return Sampling.model_validate({**self.retriever.sampling.model_dump(), **changed})

    def members(self, usual: int) -> int:
        """Members to draw; 1 of a model whose members are all alike."""
        return int(self.changes.get("members", usual)) if self.retriever.stochastic else 1

    @property
    def model(self) -> str:
        """Name of the model without the way of drawing."""
        return self.name.split(" (")[0]


def entries(texts: Sequence[str], runs: Path) -> list[Entry]:
    """Read ``[NAME=]RUN[@key=value,…]``; all finished runs of the folder where there is no text.

    Parameters
    ----------
    texts
        As typed: ``flow``, ``flow@steps=4,noise_scale=0.9``, ``quick=flow@steps=2``.
    runs
        Folder of the runs.

    Raises
    ------
    ConfigError
        If a text cannot be read, or two are called alike.
    """
    found = list(texts) or sorted(place.parent.name for place in runs.glob(f"*/{run.WEIGHTS}"))
    made = [_entry(text, runs) for text in found]
    twice = {entry.name for entry in made if sum(other.name == entry.name for other in made) > 1}
    if twice or not made:
        words = f"two models are called {sorted(twice)[0]!r}" if twice else "there is no finished run"
        raise ConfigError(words, where=runs, fix="name models: NAME=RUN@key=value,…")
    return made


def _entry(text: str, runs: Path) -> Entry:
    whole, _, changes = text.partition("@")
    name, equals, place = whole.partition("=")
    place = place if equals else name
    parts = [part.partition("=") for part in changes.split(",") if part]
    wrong = [key for key, _, value in parts if key not in _NUMBERS or not value]
    if wrong:
        raise ConfigError(
            f"{wrong[0]!r} is nothing that can be changed of a draw", where=text, fix="use " + ", ".join(_NUMBERS)
        )
    read = {key: _NUMBERS[key](value) for key, _, value in parts}
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in read.items() if key != "members")
    return Entry(
        name if equals else f"{place} ({told})" if told else place,
        runs / place if (runs / place).is_dir() else Path(place),
        read,
    )


@dataclass(frozen=True)
class Moments:
    """The moments that all models are judged on.

    Parameters
    ----------
    store
        The store.
    split
        ``validation`` or ``test``.
    count
        How many, spread evenly; all where None.
    images, rain
        Variables of the store.
    """

    store: Store
    split: str
    count: int | None = None
    images: str = IMAGES
    rain: str = RAIN

    def scenes(self, retriever: Retriever) -> Scenes:
        """What a model looks at."""
        return Scenes(self.store, retriever.predictors, images=self.images, rain=self.rain, split=self.split)

    @property
    def step(self) -> int:
        """Minutes that a field stands for."""
        return int(self.store.about["step_minutes"])

    def times(self, all_of: Sequence[Retriever]) -> NDArray[np.datetime64]:
        """Moments that every model can be asked about."""
        times = self.scenes(all_of[0]).times
        for retriever in all_of[1:]:
            times = np.intersect1d(times, self.scenes(retriever).times)
        if self.count is not None and self.count < times.size:
            times = times[np.linspace(0, times.size - 1, self.count).round().astype(int)]
        return np.asarray(times)


def retrieved(
    entry: Entry,
    moments: Moments,
    times: NDArray[np.datetime64],
    folder: Path,
    *,
    members: int,
    seed: int,
    device: str = "cpu",
) -> Iterator[tuple[str, Path]]:
    """Retrieve every moment, a file a day, and give the name and folder of each product.

    Parameters
    ----------
    entry
        The model.
    moments, times
        What to retrieve.
    folder
        Working folder; days that are there are not made again.
    members
        Members to draw.
    seed
        Of the noise.
    device
        Of torch.
    """
    scenes = moments.scenes(entry.retriever)
    count = entry.members(members)
    place = folder / f"{_file_name(entry.name)}-{_signature(entry, moments, times, count, seed)}"
    names = [entry.name, *(f"{entry.name} {product}" for product in PRODUCTS)] if count > 1 else [entry.name]
    folders = [place / part for part in ("rain", *PRODUCTS)][: len(names)]
    for made in folders:
        made.mkdir(parents=True, exist_ok=True)
    days = times.astype("datetime64[D]")
    for day in np.unique(days):
        targets = [made / f"{day}.nc" for made in folders]
        if all(target.exists() for target in targets):
            continue
        begun = time.perf_counter()
        rain = np.stack(
            [_moment(entry, scenes, stamp, count, seed, moments.step, device) for stamp in times[days == day]]
        )
        spent = (time.perf_counter() - begun) / len(rain) / count
        fields = _products(rain, entry.retriever.odds.cpu().numpy()) if count > 1 else [rain[:, 0]]
        for target, name, values in zip(targets, names, fields, strict=True):
            _write(target, name, values, scenes.grid, times[days == day], moments.step)
        print(f"{entry.name} {day}: {len(rain)} moments, {spent:.2f} s a member", flush=True)
    yield from zip(names, folders, strict=True)


def _moment(
    entry: Entry, scenes: Scenes, stamp: np.datetime64, count: int, seed: int, step: int, device: str
) -> Fields:
    """Members ``(M, H, W)`` of one moment."""
    index = int(np.flatnonzero(scenes.times == stamp)[0])
    retriever, condition = entry.retriever.to(device), scenes.condition([index]).to(device)
    parts = []
    for first in range(0, count, _TOGETHER):
        chosen = range(first, min(first + _TOGETHER, count))
        parts.append(retriever.sample(condition, _noise(entry, stamp, chosen, seed, step, device), entry.sampling))
    return np.concatenate([part[0].float().cpu().numpy() for part in parts])


def _products(rain: Fields, odds: Fields) -> list[Fields]:
    """Members, then each product, of members ``(time, member, y, x)``."""
    made = [list(ensemble_products(members, PRODUCTS, odds).values()) for members in rain]
    return [rain, *(np.stack(fields) for fields in zip(*made, strict=True))]


def _noise(entry: Entry, stamp: np.datetime64, members: Sequence[int], seed: int, step: int, device: str) -> Noise:
    minutes = int(stamp.astype("datetime64[m]").astype(np.int64))
    persistence = entry.sampling.persistence
    return Noise(seed, (minutes,), tuple(members), persistence=persistence, step=step, device=device)


def truth_of(moments: Moments, retriever: Retriever, times: NDArray[np.datetime64], folder: Path) -> Path:
    """Write the radar of the moments, and of no others, a file a day.

    Parameters
    ----------
    moments, times
        Which.
    retriever
        Any model: the radar is the same for all.
    folder
        Working folder.
    """
    scenes = moments.scenes(retriever)
    told = json.dumps([str(moments.store.path.resolve()), moments.split, [str(stamp) for stamp in times]])
    place = folder / f"radar-{hashlib.sha256(told.encode()).hexdigest()[:10]}"
    place.mkdir(parents=True, exist_ok=True)
    days = times.astype("datetime64[D]")
    for day in np.unique(days):
        if not (place / f"{day}.nc").exists():
            chosen = np.flatnonzero(np.isin(scenes.times, times[days == day]))
            rain = scenes.batch(list(map(int, chosen))).rain.numpy()
            _write(place / f"{day}.nc", "radar", rain, scenes.grid, times[days == day], moments.step)
    return place


def _write(path: Path, product: str, values: Fields, grid: Grid, times: NDArray[np.datetime64], step: int) -> None:
    members = tuple(range(values.shape[1])) if values.ndim == 4 else ()
    stamps = times.astype("datetime64[ns]")
    made = assemble(
        {"rain_rate": Variable(values, layer="member")},
        grid,
        stamps,
        time_bounds(stamps, step, "start"),
        label="start",
        product=product,
        where=path,
        members=members,
    )
    write_netcdf(made, path, force=True, rain_rate={"zlib": True, "complevel": 1})


def _signature(entry: Entry, moments: Moments, times: NDArray[np.datetime64], count: int, seed: int) -> str:
    """Of all that the rain depends on."""
    told = {
        "config": run.described(entry.retriever, model=entry.name, training={}),
        "sampling": entry.sampling.model_dump(),
        "store": [str(moments.store.path.resolve()), moments.images, moments.split],
        "times": [str(stamp) for stamp in times],
        "members": count,
        "seed": seed,
    }
    made = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    for name, weights in sorted(entry.retriever.state_dict().items()):
        made.update(name.encode() + weights.detach().cpu().numpy().tobytes())
    return made.hexdigest()[:10]


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def evaluations(entry: Entry, condition: Condition, members: int = 1) -> int:
    """Evaluations of a network that so many more members cost; those of the shared part where they cost none.

    Parameters
    ----------
    entry
        The model.
    condition
        Anything small that it can look at.
    members
        How many.
    """
    calls = [0, 0]
    shared = [False]

    def count(*_: Any) -> None:
        calls[shared[0]] += 1

    retriever = entry.retriever
    hooks = [part.register_forward_hook(count) for part in retriever.modules() if isinstance(part, (UNet, PlainUNet))]
    noise = Noise(0, (0,) * len(condition), (0,)).window((0, condition.shape[0]), (0, condition.shape[1]))
    states: dict[str, Any] = {}
    with torch.no_grad():
        for stage in retriever.stages(entry.sampling):
            shared[0] = stage.shared
            states |= stage.work(condition, states, noise)
    for hook in hooks:
        hook.remove()
    return calls[False] * members or calls[True]
