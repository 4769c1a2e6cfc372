"""Speed of the Topographic VAE beside a plain re-creation of the published design.

``python -m benchmarks.tvae [--mnist FOLDER]`` builds the same sequences of digits both ways, gives both models the same
weights, compares what they make, and times both in turn in one process and one thread. Where the outputs differ the
seconds mean nothing, and the command fails.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import retrieval_page as page
from benchmarks.tvae_plain import PlainVAE, sequence
from ondee.generative.noise import Noise
from ondee.topographic.coherence import Coherence
from ondee.topographic.digits import digits_of
from ondee.topographic.model import LatentSettings, TopographicVAE
from ondee.topographic.sequences import ANGLES, HUES, SCALES, Digits
from ondee.training.memory import keep_memory

__all__ = ["ALIKE", "TARGETS", "Work", "copied", "differences", "main", "plain_frames", "plain_of", "rounds", "table"]

TARGETS = {"building the sequences": 50.0, "model step": 5.0, "end to end": 6.0}
"""Times faster than the plain one."""
ALIKE = 1e-5
"""Largest difference, in parts of the largest value."""
_SEED = 7
_RATE, _MOMENTUM = 1e-4, 0.9
_OPENING = "# Topographic VAE, measured\n\nNumbers are written by `python -m benchmarks.tvae`, none by hand.\n"


@dataclass(frozen=True)
class Work:
    """A batch of sequences.

    Parameters
    ----------
    numbers
        Of the sequences.
    values
        Number of the value of everything at each frame, for each sequence.
    """

    numbers: Sequence[int]
    values: Sequence[Mapping[str, NDArray[np.int64]]]

    @classmethod
    def of(cls, digits: Digits, numbers: Sequence[int]) -> Work:
        """The batch of those numbers."""
        return cls(numbers, [digits.values(number, None)[1] for number in numbers])


class _Side(NamedTuple):
    """One of the two: how it builds frames, and how it learns from them."""

    build: Callable[[Work], Tensor]
    step: Callable[[Tensor, Work], None]


# ---- the same sequences, weights and noise


def plain_frames(digits: Digits, work: Work) -> Tensor:
    """Frames of a batch built plainly, ``(B, S, 3, H, W)``."""
    made = []
    for values in work.values:
        angles = [float(ANGLES[place]) for place in values["rotation"]]
        scales = [SCALES[place] for place in values["scale"]]
        hues = [float(HUES[place]) for place in values["hue"]]
        made.append(sequence(digits.images[int(values["digit"][0])], angles, scales, hues))
    return torch.stack(made)


def plain_of(ours: TopographicVAE) -> PlainVAE:
    """The plain model of the same sizes and weights.

    Parameters
    ----------
    ours
        Dense, with a coherence around both circles.
    """
    settings = ours.settings
    coherence = settings.coherence or Coherence()
    made = PlainVAE(
        ours.shape[0],
        ours.shape[1],
        capsules=settings.capsules,
        places=ours.topography.places,
        frames=coherence.frames,
        width=coherence.width,
    )
    copied(ours, made)
    return made


class _Pair(NamedTuple):
    """A weight of ours, that of the plain one, and how ours is laid to be compared."""

    ours: Tensor
    plain: Tensor
    laid: Callable[[Tensor], Tensor]


def _pairs(ours: TopographicVAE, plain: PlainVAE) -> Iterator[_Pair]:
    convolved = [layer for layer in plain.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for one, other in zip(_layers(ours), convolved, strict=True):
        turned = isinstance(one, nn.Linear) and isinstance(other, nn.ConvTranspose2d)
        yield _Pair(one.weight, other.weight, partial(_laid, shape=other.weight.shape, turned=turned))
        assert one.bias is not None and other.bias is not None
        yield _Pair(one.bias, other.bias, torch.flatten)
    yield _Pair(ours.topography.centre, plain.centre, torch.flatten)


def _layers(ours: TopographicVAE) -> list[nn.Linear | nn.ConvTranspose2d]:
    """Layers of ours: fully connected ones, the last of them kept as a transposed convolution."""
    return [layer for layer in ours.modules() if isinstance(layer, nn.Linear | nn.ConvTranspose2d)]


def _laid(weight: Tensor, shape: Sequence[int], *, turned: bool) -> Tensor:
    """Weights of a layer as those of a convolution; a transposed one has its inputs first."""
    return (weight.T if turned else weight).reshape(tuple(shape))


@torch.no_grad()
def copied(ours: TopographicVAE, plain: PlainVAE) -> None:
    """Give the plain model the weights of ours."""
    for pair in _pairs(ours, plain):
        pair.plain.copy_(pair.laid(pair.ours))


def differences(digits: Digits, ours: TopographicVAE, plain: PlainVAE, numbers: Sequence[int]) -> dict[str, float]:
    """Largest differences of what both make of the same sequences and noise, in parts of the largest value.

    Parameters
    ----------
    digits
        The sequences.
    ours, plain
        Models of the same weights.
    numbers
        Of the sequences.

    Returns
    -------
    dict
        Of ``frames``, ``logits``, ``loss`` and ``gradient``, the last that of the weight that differs most.
    """
    frames = digits.batch(numbers).frames
    noise = Noise(_SEED, tuple(numbers))
    posterior = ours.encode(frames)
    shape = posterior.z_mean.shape
    z, u = ours.sampled(posterior, noise)
    logits = ours.decode(ours.topography(z, u))
    loss = ours.loss(frames, noise)["loss"]
    drawn = [noise.vectors(name, math.prod(shape[1:])).reshape(shape) for name in ("z", "u")]
    plain_logits, plain_loss = plain(frames, *drawn)
    for model, made in ((ours, loss), (plain, plain_loss)):
        model.zero_grad()
        torch.autograd.backward(made)
    gradients = []
    for pair in _pairs(ours, plain):
        assert pair.ours.grad is not None and pair.plain.grad is not None
        gradients.append(_apart(pair.laid(pair.ours.grad), pair.plain.grad))
        pair.ours.grad = pair.plain.grad = None
    return {
        "frames": _apart(frames, plain_frames(digits, Work.of(digits, numbers))),
        "logits": _apart(logits, plain_logits),
        "loss": _apart(loss, plain_loss),
        "gradient": max(gradients),
    }


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().abs().max() / other.detach().abs().max())


# ---- seconds


def _sides(digits: Digits, ours: TopographicVAE, plain: PlainVAE) -> dict[str, _Side]:
    descent, plain_descent = (
        torch.optim.SGD(model.parameters(), lr=_RATE, momentum=_MOMENTUM, fused=is_fused)
        for model, is_fused in ((ours, True), (plain, None))
    )

    def step(frames: Tensor, work: Work) -> None:
        _descend(descent, ours.loss(frames, Noise(_SEED, tuple(work.numbers)))["loss"])

    def plain_step(frames: Tensor, work: Work) -> None:
        shape = (*frames.shape[:2], plain.capsules, plain.places)
        _descend(plain_descent, plain(frames, torch.randn(shape), torch.randn(shape))[1])

    return {
        "plain": _Side(lambda work: plain_frames(digits, work), plain_step),
        "ours": _Side(lambda work: digits.batch(work.numbers).frames, step),
    }


def _descend(descent: torch.optim.Optimizer, loss: Tensor) -> None:
    descent.zero_grad()
    torch.autograd.backward(loss)
    descent.step()


def rounds(
    digits: Digits, ours: TopographicVAE, plain: PlainVAE, count: int, batch: int
) -> dict[str, NDArray[np.float64]]:
    """CPU seconds of both, which take turns at each batch, after one that is not counted.

    Parameters
    ----------
    digits
        The sequences.
    ours, plain
        Models; they learn.
    count
        Batches.
    batch
        Sequences in each.

    Returns
    -------
    dict
        ``plain`` and ``ours``: ``(count, 3)``, building, model step and both together. Ours also draws the values of
        the factors, which the plain one is given.
    """
    sides = _sides(digits, ours, plain)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for number in range(count + 1):
        work = Work.of(digits, range(number * batch, (number + 1) * batch))
        for name in sorted(sides, reverse=number % 2 == 0):
            begun = time.process_time()
            frames = sides[name].build(work)
            built = time.process_time()
            sides[name].step(frames, work)
            ended = time.process_time()
            found[name].append((built - begun, ended - built, ended - begun))
    return {name: np.array(seconds[1:]) for name, seconds in found.items()}


def products(ours: TopographicVAE, frames: int, repeats: int) -> float:
    """CPU seconds of the matrix products of a model step as PyTorch makes them of its own accord, by median.

    Parameters
    ----------
    ours
        The model.
    frames
        Of a batch.
    repeats
        Of each product.
    """
    pixels = math.prod(ours.shape)
    spent = 0.0
    for layer in _layers(ours):
        weight = layer.weight.detach().flatten(1)
        weight = weight if isinstance(layer, nn.Linear) else weight.T.contiguous()
        seen, missed = torch.rand(frames, weight.shape[1]), torch.rand(frames, weight.shape[0])
        tasks = [lambda w=weight, s=seen: s @ w.T, lambda s=seen, m=missed: m.T @ s]
        if weight.shape[1] != pixels:  # nothing is learnt before the first layer of an encoder
            tasks.append(lambda w=weight, m=missed: m @ w)
        spent += sum(_median(task, repeats) for task in tasks)
    return spent


def sums(plain: PlainVAE, batch: int, repeats: int) -> float:
    """CPU seconds of the plain sum over neighbours, forward and back, by median.

    Parameters
    ----------
    plain
        The model.
    batch
        Sequences.
    repeats
        How often it is timed.
    """
    squares = torch.rand(batch, len(ANGLES), plain.capsules, plain.places, requires_grad=True)
    return _median(lambda: torch.autograd.backward(plain.summed(squares).sum()), repeats)


def _median(task: Callable[[], object], repeats: int) -> float:
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        task()
        found.append(time.process_time() - begun)
    return float(np.median(found))


# ---- the page


def table(found: Mapping[str, NDArray[np.float64]]) -> str:
    """Medians, their ratio, what was asked and whether it is met.

    Parameters
    ----------
    found
        From :func:`rounds`.
    """
    plain, ours = (1e3 * np.median(found[name], axis=0) for name in ("plain", "ours"))
    ends = np.quantile(found["plain"] / found["ours"], (0.25, 0.75), axis=0)
    rows = []
    for place, (task, asked) in enumerate(TARGETS.items()):
        ratio = plain[place] / ours[place]
        told = f"{ratio:.1f} ({ends[0, place]:.1f} to {ends[1, place]:.1f})"
        verdict = "yes" if ratio >= asked else "**no**"
        rows.append([task, f"{plain[place]:.1f}", f"{ours[place]:.1f}", told, f"≥ {asked:g}", verdict])
    return page.table_of(["CPU ms of a batch", "plain", "ours", "ratio", "asked", "met"], rows)


def _told(
    found: Mapping[str, NDArray[np.float64]], apart: Mapping[str, float], floor: float, summing: float, batch: int
) -> str:
    count = len(found["ours"])
    told = ", ".join(f"{name} {value:.1e}" for name, value in apart.items())
    return "\n".join(
        [
            f"A batch is {batch} sequences of {len(ANGLES)} frames. CPU time of one thread, median of {count} rounds "
            "in which both take turns, and in brackets the middle half of the rounds. *Plain* is the published design "
            "re-created for this page from its description: frames turned, scaled and coloured one by one, layers as "
            "convolutions of the whole image, the sum over neighbours as a transposed convolution. It is not the "
            "published code. The model step is loss, gradients and a step of SGD.",
            "",
            table(found),
            f"With the same weights and noise the largest differences are, in parts of the largest value: {told} "
            f"(asked of frames, logits and loss: at most {ALIKE:g}).",
            "",
            f"The matrix products of a model step take {1e3 * floor:.1f} ms by themselves here as PyTorch makes them "
            "of its own accord; ours are made by oneDNN. "
            f"The plain sum over neighbours takes {1e3 * summing:.1f} ms, forward and back.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and time; 0 if both make the same."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tvae", description=__doc__)
    parser.add_argument("--mnist", type=Path, default=None, help="folder of the digits; random images if not given")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8, help="sequences in a batch")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("TVAE.md"))
    given = parser.parse_args(typed)
    torch.set_num_threads(1)
    keep_memory()  # as a training does; both are quicker for it
    torch.manual_seed(_SEED)
    if given.mnist is None:
        images = np.random.default_rng(_SEED).integers(0, 256, (256, 28, 28), np.uint8)
        kind = "random grey images (the seconds do not depend on what is seen)"
    else:
        images = digits_of(given.mnist, "train")
        kind = f"MNIST, {len(images):,} images"
    digits = Digits(images, seed=_SEED)
    ours = TopographicVAE(LatentSettings(), digits.shape)
    plain = plain_of(ours)
    load = os.getloadavg()[0]
    apart = differences(digits, ours, plain, range(given.batch))
    for name in ("frames", "logits", "loss"):
        if not apart[name] <= ALIKE:
            print(f"both differ in {name} by {apart[name]:.1e} of the largest value", file=sys.stderr)
            return 1
    found = rounds(digits, ours, plain, given.rounds, given.batch)
    facts = {
        "digits": kind,
        "model": f"{sum(weight.numel() for weight in ours.parameters()):,} parameters, "
        f"{ours.topography.capsules} capsules of {ours.topography.places}, "
        f"{len(list(Coherence().offsets(0)))} neighbours",
        "packages": f"PyTorch {torch.__version__}, NumPy {np.__version__}",
        "threads": torch.get_num_threads(),
        "load": f"{load:.1f} processes wanted the machine in the minute before",
    }
    words = (Path(word).name if Path(word).is_absolute() else word for word in typed)
    command = shlex.join(["python", "-m", "benchmarks.tvae", *words])
    floor = products(ours, given.batch * len(ANGLES), given.rounds)
    summing = sums(plain, given.batch, given.rounds)
    text = "\n".join([page.head(command, facts), _told(found, apart, floor, summing, given.batch)])
    if not given.out.exists():
        given.out.write_text(_OPENING, encoding="utf-8")
    page.put(given.out, "speed", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
