"""How often intervals hold the truth: 400 simulated archives of 40 and of 200 days with day-to-day correlation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.measure import machine
from ondee.plot.style import inks, new_figure, save, styled
from ondee.score.resampling import intervals, predecessors

__all__ = ["SCORES", "archives", "coverage", "main", "population", "scores"]

Array = NDArray[np.float64]

SEED = 20261121
"""Of the archives; the form of the intervals was chosen on others."""
ARCHIVES = 400
DAYS = (40, 200)
MEMORIES = (0.0, 0.3, 0.6)
"""Correlation of the weather of one day with that of the next."""
REPLICATES = 500
PIXELS = 20_000
"""Observed pixels a day."""
EDGES = np.concatenate([[0.1], np.geomspace(0.2, 200.0, 79)])
"""Lower edges of the classes of rain, mm h-1."""
_CLASSES = len(EDGES)
_SUMS = 17

SCORES: tuple[tuple[str, tuple[float, float]], ...] = (
    ("CSI 0.1", (0.0, 1.0)),
    ("POD 0.1", (0.0, 1.0)),
    ("FAR 0.1", (0.0, 1.0)),
    ("CSI 5", (0.0, 1.0)),
    ("POD 5", (0.0, 1.0)),
    ("FAR 5", (0.0, 1.0)),
    ("correlation", (-1.0, 1.0)),
    ("FSS", (0.0, 1.0)),
    ("bias", (0.0, np.inf)),
    ("q99 ratio", (0.0, np.inf)),
    ("CSI difference", (-np.inf, np.inf)),
)
"""Scores and their ranges; the last is the paired difference of two estimates."""
METHODS = ("pixels", "percentile", "adjusted")


def archives(rng: np.random.Generator, count: int, days: int, memory: float, *, expected: bool = False) -> Array:
    """Simulate archives, directly as sums by day, ``(archive, day, sum)``.

    Two states follow an AR(1) process from day to day: the wetness of the weather and the skill of the estimate. They
    and the day's own chance set the wet share (nothing on a third of the days), the mean of the exponential rain
    rates (log-normal from day to day) and the hit and false alarm rates; counts of pixels are binomial given the day.

    Parameters
    ----------
    rng
        Random numbers.
    count, days
        Number of archives and of days in each.
    memory
        Lag-1 correlation of both states.
    expected
        Give the expected counts of each day instead of drawn ones.
    """
    noise = rng.standard_normal((2, count, days))
    state = noise.copy()
    for day in range(1, days):
        state[..., day] = memory * state[..., day - 1] + np.sqrt(1 - memory**2) * noise[..., day]
    wetness, skill = state

    def chance(size: float) -> Array:
        return np.asarray(size * rng.standard_normal(wetness.shape))

    def binomial(number: Array, share: Array) -> Array:
        return number * share if expected else rng.binomial(number.astype(np.int64), share).astype(float)

    share = np.where(wetness + chance(0.3) < -0.4, 0.0, expit(-2.6 + 0.9 * wetness + chance(0.5)))
    mean = np.exp(0.2 + 0.5 * wetness + chance(0.35))
    bias = np.exp(-0.1 + 0.2 * skill - 0.1 * wetness + chance(0.25))
    first = 0.6 * skill + chance(0.4)
    second = first + chance(0.25) - 0.1
    pixels = np.full(wetness.shape, float(PIXELS))
    wet = binomial(pixels, share)
    dry = pixels - wet

    def counts(quality: Array) -> tuple[Array, Array]:
        """Hits and false alarms at 0.1 mm/h."""
        false = 0.02 * np.exp(0.5 * wetness - 0.4 * quality + chance(0.4))
        return binomial(wet, expit(0.8 + 0.3 * wetness + quality)), binomial(dry, np.clip(false, 0.0, 0.5))

    (hits, false), (rival_hits, rival_false) = counts(first), counts(second)
    heavy = np.exp(-5.0 / mean)
    rare = binomial(wet, heavy)
    rare_hits = binomial(rare, expit(-0.5 + 0.3 * wetness + first))
    rare_false = binomial(wet - rare, np.clip(0.5 * heavy ** (1 / bias) * np.exp(-0.4 * first), 0.0, 1.0))
    seen = hits + false
    power = 0.6 * (wet + seen)
    columns = [hits, wet - hits, false, rare_hits, rare - rare_hits, rare_false, rival_hits, wet - rival_hits]
    columns += [rival_false, pixels, seen * mean * bias, wet * mean, 2 * (mean * bias) ** 2 * seen]
    columns += [2 * mean**2 * wet, hits * mean**2 * bias * (1 + expit(0.5 + 0.3 * first))]
    columns += [power, power * (1 - expit(0.9 + 0.3 * wetness + first))]

    def histogram(number: Array, scale: Array) -> Array:
        """Pixels by class of an exponential distribution."""
        above = np.exp(-(EDGES - 0.1) / scale[..., np.newaxis])
        inside = number[..., np.newaxis] * np.concatenate([above[..., :-1] - above[..., 1:], above[..., -1:]], axis=-1)
        return np.asarray(inside if expected else rng.poisson(inside).astype(float))

    parts = np.stack(columns, axis=-1), histogram(wet, mean), histogram(seen, mean * bias)
    return np.concatenate(parts, axis=-1)


def scores(sums: Array) -> Array:
    """Scores of sums ``(…, sum)`` in the order of :data:`SCORES`, ``(…, score)``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = np.moveaxis(sums[..., :_SUMS], -1, 0)
        hits, misses, false, rare_hits, rare_misses, rare_false, rival_hits, rival_misses, rival_false = columns[:9]
        n, s, r, ss, rr, sr, power, error = columns[9:]
        index = hits / (hits + misses + false)
        quantiles = [_quantile(sums[..., begin : begin + _CLASSES], n, 0.99) for begin in (_SUMS, _SUMS + _CLASSES)]
        found = (
            index,
            hits / (hits + misses),
            false / (hits + false),
            rare_hits / (rare_hits + rare_misses + rare_false),
            rare_hits / (rare_hits + rare_misses),
            rare_false / (rare_hits + rare_false),
            (sr - s * r / n) / np.sqrt((ss - s * s / n) * (rr - r * r / n)),
            1 - error / power,
            s / r,
            quantiles[1] / quantiles[0],
            index - rival_hits / (rival_hits + rival_misses + rival_false),
        )
    return np.stack(found, axis=-1)


def _quantile(counts: Array, total: Array, probability: float) -> Array:
    """Quantile of all pixels, dry ones among them, log-linear within its class; NaN where it is dry."""
    above = counts[..., ::-1].cumsum(axis=-1)[..., ::-1] / total[..., np.newaxis]
    tail = 1 - probability
    place = np.clip((above >= tail).sum(axis=-1) - 1, 0, _CLASSES - 2)
    upper = np.take_along_axis(above, place[..., np.newaxis], -1)[..., 0]
    lower = np.take_along_axis(above, place[..., np.newaxis] + 1, -1)[..., 0]
    part = np.clip((upper - tail) / (upper - lower), 0.0, 1.0)
    value = EDGES[place] ** (1 - part) * EDGES[place + 1] ** part
    return np.asarray(np.where(above[..., 0] >= tail, value, np.nan))


def population(days: int = 1_000_000) -> Array:
    """True scores: of so many days with their expected counts. Memory does not change them."""
    rng = np.random.default_rng(99)
    total = sum(archives(rng, 10_000, 1, 0.0, expected=True).sum(axis=(0, 1)) for _ in range(days // 10_000))
    return scores(np.asarray(total))


def coverage(
    memory: float, days: int, truth: Array, *, count: int = ARCHIVES, seed: int = SEED, block: int = 1
) -> dict[str, Array]:
    """Shares of archives whose interval holds the truth, and median widths, ``(2, score)`` by method.

    Parameters
    ----------
    memory, days
        As in :func:`archives`.
    truth
        From :func:`population`.
    count
        Number of archives.
    seed
        Of the archives; the draws of each are seeded with its number.
    block
        Days that are drawn together; days beyond the last whole block are left out.
    """
    rng = np.random.default_rng([seed, days, round(100 * memory)])
    simulated = archives(rng, count, days, memory)
    blocks = days // block
    simulated = simulated[:, : blocks * block].reshape(count, blocks, block, -1).sum(axis=2)
    span = np.timedelta64(block, "D")
    previous = predecessors(np.datetime64("2018-01-01", "s") + np.arange(blocks) * span, span)
    ends: dict[str, list[Array]] = {method: [] for method in METHODS}
    for number, sums in enumerate(simulated):
        ends["pixels"].append(_of_pixels(sums.sum(axis=0), scores(sums.sum(axis=0))))
        for kind in ("percentile", "adjusted"):
            ends[kind].append(_of_days(sums, previous, number, kind))
    made = {}
    for method, found in ends.items():
        low, high = np.moveaxis(np.stack(found), 1, 0)
        held = (low <= truth) & (truth <= high)
        made[method] = np.stack([held.mean(axis=0), np.median(high - low, axis=0)])
    return made


def _of_days(sums: Array, previous: NDArray[np.int64], seed: int, kind: Any) -> Array:
    """Intervals from days, scores of one range at once."""
    if kind == "percentile":
        return intervals(sums, scores, replicates=REPLICATES, seed=seed, kind=kind)
    found = np.empty((2, len(SCORES)))
    for bounds in {bounds for _, bounds in SCORES}:
        chosen = [place for place, (_, range_) in enumerate(SCORES) if range_ == bounds]

        def some(weighted: Array, chosen: list[int] = chosen) -> Array:
            return scores(weighted)[..., chosen]

        found[:, chosen] = intervals(
            sums, some, bounds=bounds, previous=previous, replicates=REPLICATES, seed=seed, kind=kind
        )
    return found


def _of_pixels(total: Array, value: Array) -> Array:
    """Intervals that take pixels as independent: binomial, Fisher's z and the delta method."""
    hits, misses, false, rare_hits, rare_misses, rare_false, rival_hits, rival_misses, rival_false = total[:9]
    n, s, r, ss, rr, sr, power, _ = total[9:_SUMS]
    trials = [hits + misses + false, hits + misses, hits + false]
    trials += [rare_hits + rare_misses + rare_false, rare_hits + rare_misses, rare_hits + rare_false]
    half = np.empty(len(SCORES))
    half[:6] = np.sqrt(value[:6] * (1 - value[:6]) / np.maximum(trials, 1.0))
    half[6] = (1 - value[6] ** 2) / np.sqrt(n)
    half[7] = np.sqrt(value[7] * (1 - value[7]) / power)
    half[8] = value[8] * np.sqrt(ss / s**2 + rr / r**2 - 2 * sr / (s * r))
    half[9] = value[9] * np.sqrt(2 * 0.01 * 0.99 / n) / 0.01  # density of an exponential tail of 1 %
    rival = rival_hits + rival_misses + rival_false
    other = rival_hits / rival
    half[10] = np.sqrt(half[0] ** 2 + other * (1 - other) / rival)
    return np.stack([value - 1.96 * half, value + 1.96 * half])


_Measured = dict[tuple[float, int], dict[str, Array]]


def markdown(measured: _Measured, truth: Array) -> str:
    """Tables for people: one a method, scores against settings, in per cent."""
    settings = sorted(measured)
    lines = []
    words = {"pixels": "Pixels taken as independent", "percentile": "Days, plain percentiles", "adjusted": "Adjusted"}
    for method in METHODS:
        lines += [f"**{words[method]}**", ""]
        heads = " | ".join(f"φ {memory:g}, {days} d" for memory, days in settings)
        lines += [f"| score | truth | {heads} |"]
        lines += ["|---|---|" + "---|" * len(settings)]
        for place, (name, _) in enumerate(SCORES):
            shares = " | ".join(f"{100 * measured[setting][method][0, place]:.1f}" for setting in settings)
            lines.append(f"| {name} | {truth[place]:.3f} | {shares} |")
        lines.append("")
    return "\n".join(lines)


def draw(measured: _Measured, path: Path, count: int = ARCHIVES) -> None:
    """Coverage of every score by method and setting, beside the band of 95 ± 2.5 %."""
    with styled("paper"):
        colours = inks("paper")
        figure = new_figure(180, 105)
        panels = figure.subplots(1, len(DAYS), sharey=True)
        looks = {
            "pixels": (colours.muted, "x", "pixels taken as independent"),
            "percentile": (colours.contrast, "s", "days, plain percentiles"),
            "adjusted": (colours.accent, "o", "adjusted (the default)"),
        }
        for ax, days in zip(panels, DAYS, strict=True):
            ax.axhspan(92.5, 97.5, color=colours.muted, alpha=0.18, linewidth=0)
            for offset, memory in zip((-0.25, 0.0, 0.25), MEMORIES, strict=True):
                for method, (colour, marker, words) in looks.items():
                    shares = 100 * measured[memory, days][method][0]
                    label = words if ax is panels[0] and memory == MEMORIES[0] else None
                    places = np.arange(len(SCORES)) + offset
                    ax.plot(places, shares, marker, color=colour, markersize=2.6, linestyle="none", label=label)
            ax.set_xticks(range(len(SCORES)), [name for name, _ in SCORES], rotation=60, ha="right")
            ax.set_title(f"{'ab'[DAYS.index(days)]}  {count} archives of {days} days")
            ax.set_ylim(0, 101)
            ax.grid(axis="y", linewidth=0.4, alpha=0.35)
        panels[0].set_ylabel("intervals that hold the truth (%)")
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        save(figure, path, force=True)


def main() -> int:
    """Print the table and draw the figure; 0 if every adjusted interval at φ = 0.3 covers at 95 ± 2.5 %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--png", type=Path, default=Path("docs/images/coverage.png"), help="where the figure goes")
    parser.add_argument("--archives", type=int, default=ARCHIVES, help="archives in each setting")
    parser.add_argument("--block", type=int, default=1, help="days that are drawn together")
    chosen = parser.parse_args()
    truth = population()
    measured: _Measured = {}
    for memory in MEMORIES:
        for days in DAYS:
            print(f"φ = {memory}, {days} days …", file=sys.stderr)
            measured[memory, days] = coverage(memory, days, truth, count=chosen.archives, block=chosen.block)
    print(markdown(measured, truth))
    print("\n".join(f"- {key}: {value}" for key, value in machine().items()))
    draw(measured, chosen.png, chosen.archives)
    shares = np.stack([100 * measured[0.3, days]["adjusted"][0] for days in DAYS])
    return 0 if ((shares >= 92.5) & (shares <= 97.5)).all() else 1


if __name__ == "__main__":
    sys.exit(main())
