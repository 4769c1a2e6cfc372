"""How far the infrared tells the rain of the synthetic world: ``python -m benchmarks.ambiguity [--worlds 16]``.

One regressor (gradient boosting of symmetric trees: Friedman 2001) learns rain from the infrared of one time, of
four times at fixed places, and of four times along the motion; it is tried on worlds that it has not seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from benchmarks.measure import machine
from ondee.grid import Grid
from ondee.world.atmosphere import CHANNELS
from ondee.world.clouds import SPIN_UP, Clouds
from ondee.world.infrared import brightness_temperature
from ondee.world.rain import states

__all__ = ["KINDS", "Result", "experiment", "main"]

_Array = NDArray[np.float64]

KINDS = ("one", "four fixed", "four following")
"""The images that a predictor is given."""
_STEP = 15
"""Minutes from one image to the next."""
_FRAMES = 4
_BLOCK = 4
"""Width in km of the pixels on which rain and infrared are compared."""
_HEAVY = 5.0
"""Rain rate of the CSI, mm h-1."""
_TREES, _DEPTH, _RATE = 200, 5, 0.1
"""Number and depth of the trees, and share of each that is added."""
_BINS, _ROWS, _PENALTY = 24, 20_000, 20.0
"""Classes of a predictor, pixels that a tree is grown on, and pixels of no residual that each leaf is given."""
_FIRST_SEED = 52_000
"""Seed of the first world: worlds of seeds below 2000 were used to choose the numbers of the clouds."""
_NEIGHBOURS = 200
"""Pixels of nearly the same prediction among which the spread of the rain is taken."""


@dataclass(frozen=True)
class Result:
    """What a predictor reaches on unseen worlds.

    Parameters
    ----------
    correlation
        With the true rain, over all pixels; squared it is the share of the variance explained.
    critical_success_index
        At 5 mm h-1, of the prediction cut at the level that is exceeded as often as the rain was in training.
    spread
        Mean interquartile range of the rain where 1 mm h-1 or more is predicted, over the mean of that rain.
    gain, gain_error
        Correlation less that of the predictor from one image, and its standard error: a jackknife over the worlds that
        the predictors are tried on.
    """

    correlation: float
    critical_success_index: float
    spread: float
    gain: float
    gain_error: float


def experiment(
    regime: str,
    train: Sequence[int],
    test: Sequence[int],
    *,
    size: int = 256,
    targets: int = 3,
    kinds: Sequence[str] = KINDS,
) -> dict[str, Result]:
    """Result of each kind of predictor.

    Parameters
    ----------
    regime
        Of the weather.
    train, test
        Seeds of worlds to learn from and to be tried on.
    size
        Width of the worlds in km.
    targets
        Times at which rain is asked for, half an hour apart, in each world.
    kinds
        Some of :data:`KINDS`; gains are over the first.
    """
    worlds = {seed: _samples(regime, seed, size, targets) for seed in (*train, *test)}
    rain, truth = (np.concatenate([worlds[seed][1] for seed in seeds]) for seeds in (train, test))
    results: dict[str, Result] = {}
    first = np.empty(0)
    for kind in kinds:
        learnt, tried = (np.concatenate([worlds[seed][0][kind] for seed in seeds]) for seeds in (train, test))
        predicted, seen = _regress(learnt, rain, tried)
        first = first if first.size else predicted
        results[kind] = Result(
            _correlation(predicted, truth),
            _csi(predicted, truth, seen, rain),
            _spread(predicted, truth),
            *_gain(predicted, first, truth, len(test)),
        )
    return results


def _correlation(predicted: _Array, truth: _Array) -> float:
    return float(np.corrcoef(predicted, truth)[0, 1])


def _gain(predicted: _Array, first: _Array, truth: _Array, worlds: int) -> tuple[float, float]:
    """What a predictor's correlation is above that of the first, and its standard error by leaving out each world."""
    parts = np.stack([predicted, first, truth]).reshape(3, worlds, -1)
    without = []
    for world in range(worlds):
        ours, other, rain = np.delete(parts, world, axis=1).reshape(3, -1)
        without.append(_correlation(ours, rain) - _correlation(other, rain))
    error = np.sqrt((worlds - 1) * np.var(without))
    return _correlation(predicted, truth) - _correlation(first, truth), float(error)


def _samples(regime: str, seed: int, size: int, targets: int) -> tuple[dict[str, _Array], _Array]:
    """Predictors of each kind, ``(pixel, predictor)``, and rain of a world."""
    half = 500.0 * size
    grid = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -half, half, 1000, 1000, size, size)
    before = int(SPIN_UP) // _STEP
    count = before + _FRAMES + 2 * (targets - 1)
    times = np.datetime64("2018-06-04T12:00", "ns") + np.arange(count) * np.timedelta64(_STEP, "m")
    clouds = Clouds(grid, seed=seed, minutes=_STEP)
    images, rates = [], []
    for state in states(grid, times, seed=seed, regime=regime):
        cloud = clouds.at(state)
        images.append(brightness_temperature(cloud, grid, state.time, seed=seed)[_CHOSEN])
        rates.append(state.rate)
    wind = state.wind
    found: dict[str, list[_Array]] = {kind: [] for kind in KINDS}
    rain = []
    for target in range(before + _FRAMES - 1, count, 2):
        frames = [images[target - lag] for lag in range(_FRAMES)]
        moved = [_moved(frame, wind, _STEP * lag) for lag, frame in enumerate(frames)]
        found["one"].append(_predictors(frames[:1]))
        found["four fixed"].append(_predictors(frames))
        found["four following"].append(_predictors(moved))
        rain.append(_blocks(rates[target]).ravel())
    return {kind: np.concatenate(parts) for kind, parts in found.items()}, np.concatenate(rain)


_CHOSEN = [list(CHANNELS).index(name) for name in ("IR_108", "IR_120", "WV_062", "IR_087")]


def _moved(image: NDArray[np.float32], wind: tuple[float, float], minutes: float) -> NDArray[np.float32]:
    """An image carried along the motion to a later time, on the periodic plane."""
    east, north = (round(speed * 0.06 * minutes) for speed in wind)
    return np.roll(image, (-north, east), axis=(-2, -1))


def _blocks(field: NDArray[np.float32]) -> _Array:
    """Means of blocks."""
    *front, ny, nx = field.shape
    parts = field.reshape(*front, ny // _BLOCK, _BLOCK, nx // _BLOCK, _BLOCK)
    means: _Array = parts.astype(np.float64).mean(axis=(-3, -1))
    return means


def _predictors(frames: Sequence[NDArray[np.float32]]) -> _Array:
    """Of each pixel: 10.8 um, three differences, and 10.8 um about it, now; and the changes of all these since."""
    now = _described(frames[0])
    since = [now - _described(frame) for frame in frames[1:]]
    return np.concatenate([now, *since], axis=1)


def _described(frame: NDArray[np.float32]) -> _Array:
    """Six numbers of each pixel of an image, ``(pixel, 6)``."""
    window, split, vapour, phase = _blocks(frame)
    mean = uniform_filter(window, 5, mode="wrap")
    spread = np.sqrt(np.maximum(uniform_filter(window**2, 5, mode="wrap") - mean**2, 0))
    columns = window, window - split, vapour - window, phase - window, window - mean, spread
    return np.stack([column.ravel() for column in columns], axis=1)


def _regress(predictors: _Array, rain: _Array, tried: _Array) -> tuple[_Array, _Array]:
    """Rain predicted of what is tried, and of what was learnt from, by boosted symmetric trees.

    All nodes of a level share one split, so that a leaf is a number of as many bits as the tree is deep.
    """
    generator = np.random.default_rng(0)
    edges = np.quantile(predictors, np.arange(1, _BINS) / _BINS, axis=0)
    learnt, asked = (_binned(values, edges) for values in (predictors, tried))
    seen, predicted = np.full(len(rain), rain.mean()), np.full(len(tried), rain.mean())
    for _ in range(_TREES):
        rows = generator.choice(len(rain), min(_ROWS, len(rain)), replace=False)
        splits, leaves = _tree(learnt[:, rows], rain[rows] - seen[rows])
        seen += _RATE * leaves[_leaf(learnt, splits)]
        predicted += _RATE * leaves[_leaf(asked, splits)]
    return predicted, seen


def _binned(values: _Array, edges: _Array) -> NDArray[np.int64]:
    """Quantile class of each predictor, ``(predictor, pixel)``."""
    return np.stack([np.searchsorted(edge, column) for edge, column in zip(edges.T, values.T, strict=True)])


def _tree(classes: NDArray[np.int64], residual: _Array) -> tuple[list[tuple[int, int]], _Array]:
    """Splits ``(predictor, class)`` of the levels, and what the leaves add."""
    leaf, splits = np.zeros(residual.size, np.int64), list[tuple[int, int]]()
    for level in range(_DEPTH):
        best = -np.inf
        for number, column in enumerate(classes):
            place, shape = leaf * _BINS + column, (1 << level, _BINS)
            sums = np.bincount(place, residual, shape[0] * _BINS).reshape(shape).cumsum(axis=1)
            counts = np.bincount(place, minlength=shape[0] * _BINS).reshape(shape).cumsum(axis=1)
            rest, others = sums[:, -1:] - sums, counts[:, -1:] - counts
            gain = (sums**2 / (counts + _PENALTY) + rest**2 / (others + _PENALTY)).sum(axis=0)
            if gain.max() > best:
                best, chosen = gain.max(), (number, int(gain.argmax()))
        splits.append(chosen)
        leaf = 2 * leaf + (classes[chosen[0]] > chosen[1])
    sums = np.bincount(leaf, residual, 1 << _DEPTH)
    return splits, sums / (np.bincount(leaf, minlength=1 << _DEPTH) + _PENALTY)


def _leaf(classes: NDArray[np.int64], splits: list[tuple[int, int]]) -> NDArray[np.int64]:
    leaf = np.zeros(classes.shape[1], np.int64)
    for number, limit in splits:
        leaf = 2 * leaf + (classes[number] > limit)
    return leaf


def _csi(predicted: _Array, truth: _Array, seen: _Array, rain: _Array) -> float:
    level = np.quantile(seen, 1 - (rain >= _HEAVY).mean())
    yes, heavy = predicted >= level, truth >= _HEAVY
    return float((yes & heavy).sum() / max(1, (yes | heavy).sum()))


def _spread(predicted: _Array, truth: _Array) -> float:
    order = np.argsort(predicted, kind="stable")
    wet = order[predicted[order] >= 1.0]
    groups = truth[wet[: wet.size // _NEIGHBOURS * _NEIGHBOURS]].reshape(-1, _NEIGHBOURS)
    low, high = np.quantile(groups, [0.25, 0.75], axis=1)
    return float((high - low).mean() / groups.mean())


def main() -> None:
    """A table of all regimes with heavy rain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=16, help="worlds to learn from; as many others are tried on")
    parser.add_argument("--first", type=int, default=_FIRST_SEED, help="seed of the first world to learn from")
    arguments = parser.parse_args()
    train = range(arguments.first, arguments.first + arguments.worlds)
    test = range(train.stop, train.stop + arguments.worlds)
    begun = time.process_time()
    print("| regime | images | correlation | gain | R2 | CSI 5 mm/h | interquartile range / mean |")
    print("|---|---|---|---|---|---|---|")
    for regime in ("frontal", "embedded", "convective", "warm"):
        for kind, found in experiment(regime, train, test).items():
            r, csi, spread = found.correlation, found.critical_success_index, found.spread
            gain = "–" if kind == KINDS[0] else f"{found.gain:+.3f} ± {found.gain_error:.3f}"
            print(f"| {regime} | {kind} | {r:.2f} | {gain} | {r * r:.2f} | {csi:.2f} | {spread:.2f} |", flush=True)
    where = machine()
    spent = f"{time.process_time() - begun:.0f} s"
    print(f"\nseeds {train[0]} to {test[-1]}, {spent}, {where['processor']}, {where['date']}, {where['commit']}")


if __name__ == "__main__":
    main()
