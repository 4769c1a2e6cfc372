"""The two-dimensional map of the Topographic VAE: which of single digits each place of a torus likes.

``python -m benchmarks.tvae_map --mnist FOLDER`` trains the published experiment (one torus of 18 x 18 places, blocks of
5 x 5 that share their scale, single grey digits) and draws the test digit at which each place is most active.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import retrieval_page as page
from ondee.generative.noise import Noise
from ondee.plot.rolls import draw_places
from ondee.plot.style import save
from ondee.progress import track
from ondee.topographic.coherence import Coherence
from ondee.topographic.digits import digits_of, read_idx
from ondee.topographic.model import LatentSettings, TopographicVAE
from ondee.training.memory import keep_memory

__all__ = ["alike", "liked", "main", "trained"]

_SEED = 1
_SIDE = 18
_BATCH = 128
_RATE = 1e-3
_CHANCES = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, write and draw."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tvae_map", description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--images", type=Path, help="folder for the figure")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("TVAE.md"))
    given = parser.parse_args(typed)
    torch.set_num_threads(1)
    keep_memory()
    learnt, seen = (_grey(digits_of(given.mnist, split)) for split in ("train", "test"))
    classes = read_idx(_labels(given.mnist))
    begun = time.process_time()
    fresh, model = trained(learnt, 0), trained(learnt, given.steps)
    minutes = (time.process_time() - begun) / 60
    rows = []
    for words, one in (("before any training", fresh), ("trained", model)):
        best = classes[liked(one, seen)].reshape(_SIDE, _SIDE)
        chance = alike_by_chance(best)
        kinds = str(len(np.unique(best)))
        rows.append([words, f"{alike(best):.2f}", f"{chance:.2f}", kinds, f"{_bound(one, seen):.1f}"])
    short = (Path(word).name if Path(word).is_absolute() else word for word in typed)
    head = page.head(
        shlex.join(["python", "-m", "benchmarks.tvae_map", *short]),
        {
            "model": f"1 capsule of {_SIDE} x {_SIDE} places on a torus, blocks of 5 x 5, mu from 10",
            "training": f"{given.steps:,} steps of {_BATCH} digits, Adam, {minutes:.1f} min of one core",
            "judged on": f"{len(seen):,} test digits",
        },
    )
    heads = ["", "neighbours alike", "by chance", "kinds of digit", "bound, nats"]
    text = "\n".join([head, page.table_of(heads, rows)])
    if given.images:
        shown = [seen[liked(one, seen)].reshape(_SIDE, _SIDE, *seen.shape[1:]) for one in (fresh, model)]
        figure = draw_places(shown, ("before any training", "trained"))
        save(figure, given.images / "tvae_map.png", force=True)
    if not given.out.exists():
        given.out.write_text("# Topographic VAE, measured\n", encoding="utf-8")
    page.put(given.out, "map", text)
    print(text)
    return 0


def _grey(digits: NDArray[np.uint8]) -> NDArray[np.float32]:
    return digits.astype(np.float32) / np.float32(255)


def _labels(folder: Path) -> Path:
    name = "t10k-labels-idx1-ubyte"
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name


def trained(digits: NDArray[np.float32], steps: int) -> TopographicVAE:
    """The model after so many steps.

    Parameters
    ----------
    digits
        ``(N, H, W)``, 0 to 1.
    steps
        Of :data:`_BATCH` digits; 0 for a model that has learnt nothing.
    """
    block = Coherence(shape="bubble", frames=1, width=5)
    settings = LatentSettings(capsules=1, dimensions=(_SIDE, _SIDE), coherence=block, centre=10.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = TopographicVAE(settings, (1, *digits.shape[1:]))
    descent = torch.optim.Adam(model.parameters(), lr=_RATE, fused=True)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(descent, max(steps, 1), eta_min=_RATE / 50)
    for step in track(range(steps), "learning the map"):
        chosen = np.random.default_rng([_SEED, step]).integers(len(digits), size=_BATCH)
        noise = Noise(_SEED, range(step * _BATCH, (step + 1) * _BATCH))
        descent.zero_grad()
        torch.autograd.backward(model.loss(_stills(digits[chosen]), noise)["loss"])
        descent.step()
        falling.step()
    return model


def _stills(digits: NDArray[np.float32]) -> Tensor:
    """Sequences of one grey frame."""
    return torch.from_numpy(digits)[:, None, None]


@torch.no_grad()
def liked(model: TopographicVAE, digits: NDArray[np.float32]) -> NDArray[np.intp]:
    """Number of the digit at which each place is most active, ``(D,)``."""
    parts = [model.latents(_stills(part)).flatten(1) for part in np.array_split(digits, 20)]
    return np.asarray(torch.cat(parts).argmax(0).numpy())


@torch.no_grad()
def _bound(model: TopographicVAE, digits: NDArray[np.float32]) -> float:
    """Bound on the negative log-likelihood of test digits, nats."""
    chosen = digits[:1000]
    return float(model.loss(_stills(chosen), Noise(_SEED, range(2**40, 2**40 + len(chosen))))["loss"])


def alike(classes: NDArray[np.integer]) -> float:
    """Share of neighbouring places, around the torus, of one class."""
    return float(np.mean([(classes == np.roll(classes, 1, axis)).mean() for axis in (0, 1)]))


def alike_by_chance(classes: NDArray[np.integer]) -> float:
    """The same, with the places of the torus mixed."""
    mixed = np.random.default_rng(_SEED)
    return float(np.mean([alike(mixed.permutation(classes.ravel()).reshape(classes.shape)) for _ in range(_CHANCES)]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
