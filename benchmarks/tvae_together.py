"""Whether latents still roll where transformations that were learnt one at a time come together.

``python -m benchmarks.tvae_together RUN … --mnist FOLDER`` takes runs of digits (``configs/tvae-mnist-13.yaml``) and
test digits of which two factors move at once.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import retrieval_page as page
from ondee import run
from ondee.plot.rolls import draw_rolls
from ondee.plot.style import save
from ondee.topographic.digits import digits_of
from ondee.topographic.judging import unrolled
from ondee.topographic.model import TopographicVAE
from ondee.topographic.sequences import Digits

__all__ = ["main", "rolled_and_frozen"]

_SEED = 11
_PAIRS = (("scale", "hue"), ("rotation", "hue"), ("rotation", "scale"))


@torch.no_grad()
def rolled_and_frozen(model: TopographicVAE, frames: Tensor) -> tuple[float, float, float]:
    """Cross-entropy, nats a frame, of frames from their own latents, and of later ones from the first's.

    Parameters
    ----------
    model
        A trained model.
    frames
        ``(B, S, channels, H, W)``.

    Returns
    -------
    tuple of float
        Of all frames reconstructed; of frames 1 to S - 1 decoded from the first one's latents rolled, and left.
    """
    latents = model.latents(frames)
    rolled = torch.stack([model.topography.roll(latents[:, 0], lag) for lag in range(1, frames.shape[1])], 1)
    pairs = ((latents, frames), (rolled, frames[:, 1:]), (latents[:, :1].expand_as(rolled), frames[:, 1:]))
    own, moved, left = (
        float(-model.likelihood.log_probability(model.decode(entry), truth).flatten(2).sum(-1).mean())
        for entry, truth in pairs
    )
    return own, moved, left


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, write and draw."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tvae_together", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="the first is drawn")
    parser.add_argument("--mnist", type=Path, required=True, help="folder of the digits")
    parser.add_argument("--count", type=int, default=64, help="sequences of each pair of factors")
    parser.add_argument("--images", type=Path, default=Path("docs/images"), help="folder for the figure")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("TVAE.md"))
    given = parser.parse_args(typed)
    torch.set_num_threads(1)
    digits = digits_of(given.mnist, "test")
    numbers = range(given.count)
    made = [Digits(digits, seed=_SEED, stream="test", together=pair).batch(numbers).frames for pair in _PAIRS]
    names = tuple(" and ".join(pair) for pair in _PAIRS)
    rows = []
    for place in given.runs:
        model = run.load_latent(place)
        cells = ["{:.0f}, {:.0f} / {:.0f}".format(*rolled_and_frozen(model, frames)) for frames in made]
        rows.append([place.name, *cells])
    shown = unrolled(run.load_latent(given.runs[0]), torch.cat([frames[:1] for frames in made]))
    figure = draw_rolls(*shown, names=names, title="Two factors at once, learnt one at a time")
    save(figure, given.images / "tvae_together.png", force=True)
    words = (Path(word).name if Path(word).is_absolute() else word for word in typed)
    command = shlex.join(["python", "-m", "benchmarks.tvae_together", *words])
    facts = {
        "split": f"test digits, {given.count} sequences of each pair",
        "cells": "cross-entropy, nats a frame: reconstructed, first frame rolled / left as it is",
    }
    page.put(given.out, "together", "\n".join([page.head(command, facts), page.table_of(["", *names], rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
