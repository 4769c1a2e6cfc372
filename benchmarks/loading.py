"""How long a training waits for its samples: ``python -m benchmarks.loading STORE`` writes ``benchmarks/LOADING.md``.

Trains the shipped regression and flow for some steps, with their own sizes, on one thread, and takes the time from
asking for a batch to having it. Target: less than 5 % of the training, without a process that loads ahead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.measure import machine
from ondee.batches import Patches, Scenes, collate, predictors_of, statistics_of
from ondee.condition import Batch
from ondee.generative.noise import Noise
from ondee.retriever.registry import retriever
from ondee.store import Store

__all__ = ["BATCH", "PATCH", "TARGET", "Waited", "loaded_in", "main", "page", "waited"]

BATCH, PATCH = 16, 64
"""Sizes of the shipped configurations."""
MODELS = ("unet", "flow")
TARGET = 5.0
"""Most of a training's time that may pass waiting, %."""
_SEED = 7
_FIRST = 3
"""Steps that are not counted: memory is laid out, kernels are chosen."""


@dataclass(frozen=True)
class Waited:
    """Of one training.

    Parameters
    ----------
    model
        Name.
    parameters
        Number that it learns.
    workers
        Processes that load ahead; 0 to load between steps.
    wait, step
        Median of a batch and of all else in a step, ms.
    share
        Of the counted time, that of waiting, %.
    """

    model: str
    parameters: int
    workers: int
    wait: float
    step: float
    share: float


def waited(patches: Patches, name: str, *, steps: int, workers: int, batch: int = BATCH) -> Waited:
    """Train a model for some steps and time both halves of each."""
    scenes = patches.scenes
    made = retriever(name)
    model = made(made.settings_type(), scenes.predictors, statistics_of(scenes.store, scenes.predictors))
    model.prepare(collate([patches[number] for number in range(batch)]))
    model.train()
    optimizer = torch.optim.AdamW(model.trained(), lr=1e-3)
    numbers = range(batch, batch * (steps + _FIRST + 1))
    loader = iter(DataLoader(patches, batch, sampler=numbers, collate_fn=collate, num_workers=workers))
    waits: list[float] = []
    works: list[float] = []
    for batch_now, wait in _timed(loader):
        begun = time.perf_counter()
        noise = Noise(_SEED, keys=batch_now.keys, rows=(0, patches.size), columns=(0, patches.size))
        optimizer.zero_grad()
        torch.autograd.backward(model.loss(batch_now, noise)["loss"])
        torch.nn.utils.clip_grad_norm_(model.trained(), 1.0)
        optimizer.step()
        waits.append(wait)
        works.append(time.perf_counter() - begun)
    both = 1e3 * np.array([waits, works])[:, _FIRST:]
    (wait, step), total = np.median(both, axis=1), both.sum(axis=1)
    count = sum(parameter.numel() for parameter in model.trained())
    return Waited(name, count, workers, float(wait), float(step), float(100 * total[0] / total.sum()))


def _timed(loader: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Batches with the seconds that each took to come."""
    while True:
        begun = time.perf_counter()
        found = next(loader, None)
        if found is None:
            return
        yield found, time.perf_counter() - begun


def loaded_in(patches: Patches, *, batch: int = BATCH, repeats: int = 20) -> float:
    """CPU milliseconds of one batch, best of several."""
    best = float("inf")
    for number in range(repeats):
        begun = time.process_time()
        collate([patches[k] for k in range(batch * number, batch * (number + 1))])
        best = min(best, time.process_time() - begun)
    return 1e3 * best


def page(store: Store, scenes: Scenes, seconds: float, rows: list[Waited], ways: dict[str, float]) -> str:
    """The tables as Markdown."""
    about = machine()
    predictors = scenes.predictors
    lines = ["| model | parameters | loading ahead | batch, ms | step, ms | waiting | < 5 % |", "|---" * 7 + "|"]
    for row in rows:
        ahead = f"{row.workers} process{'es' if row.workers > 1 else ''}" if row.workers else "none"
        lines.append(
            f"| {row.model} | {row.parameters / 1e6:.2f} M | {ahead} | {row.wait:.1f} | {row.step:.0f} "
            f"| {row.share:.1f} % | {'yes' if row.share < TARGET else '**no**'} |"
        )
    costs = ["| samples from | CPU ms of a batch |", "|---|---|"]
    costs += [f"| {name} | {cost:.1f} |" for name, cost in ways.items()]
    parts = [
        "# How long a training waits for its samples",
        f"`python -m benchmarks.loading STORE`: {store.path.name}, {len(scenes)} moments of {scenes.grid.describe()}; "
        f"batches of {BATCH} patches of {PATCH}², {len(predictors.minutes)} frames of {len(predictors.channels)} "
        f"channels and {len(predictors.auxiliary)} planes beside them; PyTorch {torch.__version__} on one thread of "
        f"{about['processor']} ({about['cores']} cores); {about['date']}, commit {about['commit']}.",
        "*Waiting*: share of the time of a training from asking for a batch to having it. Wall clock, median of a "
        "step.",
        "\n".join(lines),
        f"Held in memory: {scenes.size / 1e9:.2f} GB, read in {seconds:.1f} s before the first step.",
        "\n".join(costs),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Train, time, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/LOADING.md"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(_SEED)
    store = Store(chosen.store)
    predictors = predictors_of(store)
    scenes = Scenes(store, predictors, split="train", held=True)
    begun = time.monotonic()
    scenes.settle()
    seconds = time.monotonic() - begun
    patches = Patches(scenes, PATCH, seed=_SEED)
    ways = {"memory": loaded_in(patches)}
    lazy = Patches(Scenes(store, predictors, split="train", held=False), PATCH, seed=_SEED)
    ways["the store on disk"] = loaded_in(lazy, repeats=3)
    rows = [waited(patches, name, steps=chosen.steps, workers=workers) for name in MODELS for workers in chosen.workers]
    text = page(store, scenes, seconds, rows, ways)
    chosen.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
