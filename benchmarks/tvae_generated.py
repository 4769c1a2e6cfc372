"""Sequences of rain drawn from the prior of topographic models, beside sequences of radar.

``python -m benchmarks.tvae_generated RUNS STORE … --split test`` draws sequences from every run of rain in a folder and
tells how wet they are, how heavy their rain is, how fine and how lasting, and the same of windows of each store.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import retrieval_page as page
from benchmarks.tvae_rivals import Fields
from benchmarks.tvae_scores import SEED, Sums, Table, ratio, spelt
from ondee import run
from ondee.batches import Windows
from ondee.generative.noise import Noise
from ondee.progress import track
from ondee.store import Store
from ondee.topographic.model import TopographicVAE
from ondee.units import WET

__all__ = ["main", "sums_of"]

_EDGES = np.geomspace(WET, 300.0, 161)
"""Of the classes from which quantiles of wet pixels are read, mm/h: 5 % wide."""
_SHARES = (0.5, 0.9, 0.99)
_BANDS = ((1 / 16, 1 / 4), (1 / 64, 1 / 16))
"""Waves of 4 to 16 pixels and of 16 to 64, in waves a pixel."""
_LAGS = (1, 3, 6)
_TOGETHER = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, compare and write."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tvae_generated", description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("stores", type=Path, nargs="+", help="of radar rain; what they hold is told, each by itself")
    parser.add_argument("--only", nargs="*", help="names of runs")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--count", type=int, default=256, help="sequences from each run, and windows of each store")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("TVAE.md"))
    given = parser.parse_args(typed)
    torch.set_num_threads(1)
    names = given.only or sorted(place.parent.name for place in given.runs.glob(f"*/{run.WEIGHTS}"))
    models = {name: run.load_latent(given.runs / name) for name in names}
    frames, side = 12, next(iter(models.values())).shape[-1]
    table, steps = Table(), set()
    for path in given.stores:
        windows = Windows([Store(path)], given.split, frames=frames, side=side, seed=SEED)
        steps.add((windows.step, windows.cell))
        for number in track(range(given.count), f"looking at {path.name}"):
            one = windows.window(number)
            table.add(path.name, str(one.time.astype("datetime64[h]")), sums_of(one.rain, one.weight))
    if len(steps) > 1:
        parser.error("the stores differ in step or cell")
    step, cell = steps.pop()
    for name, model in models.items():
        for number, kinds in enumerate(track(_drawn(model, frames, given.count), f"drawing {name}", given.count)):
            for kind, rain in kinds.items():
                table.add(f"{name}, {kind}", str(number), sums_of(rain))
    short = (Path(word).name if Path(word).is_absolute() else word for word in typed)
    facts = {
        "sequences": f"{given.count} of each: {frames} frames of {step} min, {side} x {side} pixels of {cell[0]:g} km",
        "radar": f"the {given.split} split of each store, windows drawn evenly",
        "intervals": "95%, of blocks: hours of radar, sequences of a model",
    }
    text = "\n".join(
        [page.head(shlex.join(["python", "-m", "benchmarks.tvae_generated", *short]), facts), _page(table, step, cell)]
    )
    if not given.out.exists():
        given.out.write_text("# Topographic VAE, measured\n", encoding="utf-8")
    page.put(given.out, "generated", text)
    print(text)
    return 0


@torch.no_grad()
def _drawn(model: TopographicVAE, frames: int, count: int) -> Iterator[dict[str, Fields]]:
    """Sequences from the prior, ``(S, H, W)``: the median of each pixel, and pixels drawn one by one."""
    ahead = min(model.settings.lead)
    for first in range(0, count, _TOGETHER):
        keys = range(first, min(first + _TOGETHER, count))
        latents = model.prior(frames, Noise(SEED, keys))
        made = model.decode(model.topography.roll(latents, ahead) if ahead else latents)
        chance = Noise(SEED, keys, members=range(frames), rows=(0, made.shape[-2]), columns=(0, made.shape[-1]))
        told = model.likelihood.median(made)[:, :, 0].numpy()
        each = model.likelihood.draw(made, chance.uniform("pixels")[:, :, None])[:, :, 0].numpy()
        for median, drawn in zip(told, each, strict=True):
            yield {"median": median, "drawn": drawn}


# ---- what rain is like


def sums_of(rain: Fields, weight: float = 1.0) -> Sums:
    """Sums over a sequence from which all figures are made.

    Parameters
    ----------
    rain
        ``(S, H, W)``, mm h-1, NaN where not observed.
    weight
        By which it counts.
    """
    there = np.isfinite(rain)
    wet = rain[there & (rain >= WET)]
    level = np.log1p(np.where(there, rain, 0.0))
    found = {
        "pixels": there.sum(),
        "wet": wet.size,
        "rain": rain[there].sum(dtype=np.float64),
        "classes": np.histogram(np.minimum(wet, _EDGES[-1]), _EDGES)[0],
        "level": level[there].sum(dtype=np.float64),
        "level_squared": np.square(level[there]).sum(dtype=np.float64),
        "products": np.array([_products(level, there, lag)[0] for lag in _LAGS]),
        "pairs": np.array([_products(level, there, lag)[1] for lag in _LAGS]),
    }
    whole = there.all((1, 2))
    found |= {"power": _power(level[whole]), "whole": whole.sum()}
    return {name: weight * np.asarray(values, float) for name, values in found.items()}


def _products(level: NDArray[np.floating], there: NDArray[np.bool_], lag: int) -> tuple[float, float]:
    both = there[lag:] & there[:-lag]
    return float((level[lag:] * level[:-lag])[both].sum(dtype=np.float64)), float(both.sum())


def _power(level: NDArray[np.floating]) -> NDArray[np.float64]:
    """Variance of frames in each band."""
    sides = level.shape[1:]
    taper = np.hanning(sides[0])[:, None] * np.hanning(sides[1])
    mean = (level * taper).sum((1, 2), keepdims=True) / taper.sum()
    power = np.abs(np.fft.fft2((level - mean) * taper)) ** 2
    wave = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in sides), indexing="ij"))
    return np.array([power[:, (wave > low) & (wave <= high)].sum() for low, high in _BANDS])


def _quantile(share: float) -> Callable[[Sums], NDArray[np.float64]]:
    """Quantile of wet pixels, read from the classes."""

    def found(sums: Sums) -> NDArray[np.float64]:
        counts = np.cumsum(sums["classes"], axis=-1)
        total = counts[..., -1:]
        place = (counts < share * total).sum(-1).clip(max=len(_EDGES) - 2)
        middle = np.sqrt(_EDGES[1:] * _EDGES[:-1])
        return np.where(total[..., 0] > 0, middle[place], np.nan)

    return found


def _lasting(sums: Sums) -> NDArray[np.float64]:
    """Correlation of ln(1 + R) of a pixel with itself later."""
    mean = (sums["level"] / sums["pixels"])[..., None]
    spread = (sums["level_squared"] / sums["pixels"])[..., None] - mean**2
    return np.asarray((sums["products"] / np.maximum(sums["pairs"], 1) - mean**2) / np.maximum(spread, 1e-12))


def _fine(sums: Sums) -> NDArray[np.float64]:
    """Power of each band, dB of an arbitrary unit."""
    return np.asarray(10 * np.log10(np.maximum(sums["power"], 1e-12) / np.maximum(sums["whole"], 1e-12)[..., None]))


def _page(table: Table, step: int, cell: tuple[float, float]) -> str:
    """How wet, how heavy, how fine and how lasting."""
    bands = [f"{cell[0] / high:g} to {cell[0] / low:g} km, dB" for low, high in _BANDS]
    heads = ["", "wet, %", "mean, mm/h", *(f"wet, {100 * share:g} %" for share in _SHARES)]
    rows, more = [], []
    for method in table.methods:
        wet = table.score(method, lambda sums: 100 * sums["wet"] / sums["pixels"])
        heavy = [table.score(method, _quantile(share)) for share in _SHARES]
        mean = table.score(method, ratio("rain", "pixels"))
        rows.append([method, spelt(wet, 1), spelt(mean, 2), *(spelt(value, 2) for value in heavy)])
        fine, lasting = table.score(method, _fine), table.score(method, _lasting)
        more.append(
            [method]
            + [spelt(fine[:, place], 1) for place in range(len(_BANDS))]
            + [spelt(lasting[:, place], 2) for place in range(len(_LAGS))]
        )
    words = "*How wet and how heavy*: quantiles of wet pixels in mm/h"
    beside = "*How fine and how lasting*: power of ln(1 + R), and its correlation in time at a place"
    later = ["", *bands, *(f"after {lag * step} min" for lag in _LAGS)]
    return "\n".join([words, "", page.table_of(heads, rows), "", beside, "", page.table_of(later, more)])


if __name__ == "__main__":
    sys.exit(main())
