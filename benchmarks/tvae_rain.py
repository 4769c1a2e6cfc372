"""What topographic latents know of rain: reconstruction, rolls and forecasts on events that nothing was learnt from.

``python -m benchmarks.tvae_rain RUNS STORE … --train STORE …`` judges every run of rain in a folder on the test split
of some stores, beside principal components of equal size, persistence, optical flow and the autoencoder's own ceiling.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import retrieval_page as page
from benchmarks.tvae_rivals import Components, neighbourhood, optical_flow
from ondee import run
from ondee.batches import Window, Windows
from ondee.progress import track
from ondee.score.resampling import intervals
from ondee.store import Store
from ondee.topographic.judging import untrained
from ondee.topographic.likelihood import Likelihood
from ondee.topographic.measures import centred
from ondee.topographic.model import TopographicVAE
from ondee.units import WET

__all__ = ["main"]

Fields = NDArray[np.float32]
Sums = dict[str, NDArray[np.float64]]

_SEED = 11
_LEVELS = (0.1, 1.0)
_QUANTILES = 20
"""Quantiles of the law of a pixel that stand for it."""
_SCALE = 9
"""Width of the windows of the fractions skill score, pixels."""
_LAGS = 6
_WET_SHARE = 0.01
"""Least share of wet pixels of a frame that is looked at."""
_REPLICATES = 1000


@dataclass(frozen=True)
class Case:
    """A window whose first half is known and whose second half is to be told.

    Parameters
    ----------
    rain
        ``(2 S, H, W)``, mm h-1, NaN where not observed.
    around
        The known half with a margin of half a window on all sides.
    block
        Store and hour: cases of one block are drawn together.
    """

    rain: Fields
    around: Fields
    block: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge and write."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tvae_rain", description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("stores", type=Path, nargs="+", help="stores with a test split")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="stores that components are found in")
    parser.add_argument("--only", nargs="*", help="names of runs")
    parser.add_argument("--components", type=int, nargs="*", default=[], help="further numbers of components")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--stride", type=int, default=6, help="frames from one case to the next")
    parser.add_argument("--known", type=int, help="frames that are known, and as many later ones; else as learnt")
    parser.add_argument("--name", default="rain", help="of the section")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("TVAE.md"))
    given = parser.parse_args(typed)
    torch.set_num_threads(1)
    names = given.only or sorted(place.parent.name for place in given.runs.glob(f"*/{run.WEIGHTS}"))
    models = {name: run.load_latent(given.runs / name) for name in names}
    frames, side = _shape(given.runs / names[0])
    frames = given.known or frames
    stores = [Store(path) for path in given.stores]
    cases = [case for store in stores for case in cases_of(store, given.split, frames, side, given.stride)]
    if not cases:
        parser.error(f"no window of the split {given.split} is observed and rainy")
    learnt = Windows([Store(path) for path in given.train], "train", frames=frames, side=side, seed=_SEED)
    size = max(model.topography.size for model in models.values())
    components = [Components.of(learnt, count) for count in (*given.components, size)]
    text = "\n".join(
        [
            page.head(
                shlex.join(["python", "-m", "benchmarks.tvae_rain", *(_short(word) for word in typed)]),
                {
                    "split": f"{given.split} of {', '.join(store.path.name for store in stores)}",
                    "cases": f"{len(cases)}, of {frames} known and {frames} later frames of {learnt.step} min on "
                    f"{side} x {side} pixels of {learnt.cell[0]:g} km",
                    "intervals": f"95%, blocks of one hour ({len({case.block for case in cases})} of them)",
                    "fractions": f"windows of {_SCALE} x {_SCALE} pixels",
                },
            ),
            "**Reconstruction** of the known frames",
            "",
            _reconstructions(models, components, cases),
            "**Rolls** of posterior means, 1 less the distance to what is there over that of another guess",
            "",
            _rolls(models, cases, learnt.step),
            "**Forecasts**",
            "",
            _forecasts(models, cases, learnt.step),
        ]
    )
    if not given.out.exists():
        given.out.write_text("# Topographic VAE, measured\n", encoding="utf-8")
    page.put(given.out, given.name, text)
    print(text)
    return 0


def _short(word: str) -> str:
    return Path(word).name if Path(word).is_absolute() else word


def _shape(place: Path) -> tuple[int, int]:
    """Frames and side of the windows that a run has learnt."""
    told = yaml.safe_load((place / run.CONFIG).read_text(encoding="utf-8"))["training"]
    return int(told["frames"]), int(told["side"])


# ---- cases


def cases_of(store: Store, split: str, frames: int, side: int, stride: int) -> list[Case]:
    """Every window of a split on a lattice in time and space that is observed and rainy at the end of the known half.

    Parameters
    ----------
    store, split
        Of radar rain.
    frames, side
        Known frames, as many as later ones, and pixels.
    stride
        Frames from one window to the next.
    """
    windows = Windows([store], split, frames=2 * frames, side=side)
    found = []
    for one, around in windows.lattice(stride, margin=side // 2, known=frames):
        last = one.rain[frames - 1]
        there = np.isfinite(one.rain)
        if there.mean((1, 2)).min() < 0.5 or not np.mean(last >= WET) >= _WET_SHARE:
            continue
        found.append(Case(one.rain, around, _block(store, one)))
    return found


def _block(store: Store, one: Window) -> str:
    return f"{store.path.name} {one.time.astype('datetime64[h]')}"


# ---- sums by block


class Table:
    """Sums of every method by block, and scores of them with intervals."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Sums]] = {}

    def add(self, method: str, block: str, sums: Sums) -> None:
        """Add sums of one case."""
        held = self._sums.setdefault(method, {}).setdefault(block, {})
        for name, values in sums.items():
            held[name] = held[name] + values if name in held else np.asarray(values, float)

    @property
    def methods(self) -> list[str]:
        """In the order in which they came."""
        return list(self._sums)

    def score(self, method: str, score: Callable[[Sums], NDArray[np.float64]], beside: str | None = None) -> Any:
        """A score of a method, or its difference to another one's, with its interval: ``(3, …)``."""
        names = [method] if beside is None else [method, beside]
        blocks = sorted(self._sums[method])
        kinds = list(self._sums[method][blocks[0]])
        stacked = {
            (name, kind): np.stack([self._sums[name][block][kind] for block in blocks])
            for name in names
            for kind in kinds
        }
        shapes = {key: values.shape[1:] for key, values in stacked.items()}
        flat = np.concatenate([values.reshape(len(blocks), -1) for values in stacked.values()], axis=1)

        def scored(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            parts: dict[str, Sums] = {name: {} for name in names}
            at = 0
            for (name, kind), shape in shapes.items():
                size = int(np.prod(shape))
                parts[name][kind] = sums[:, at : at + size].reshape(len(sums), *shape)
                at += size
            made = score(parts[method])
            return made if beside is None else made - score(parts[beside])

        whole = scored(flat.sum(0, keepdims=True))[0]
        return np.stack([whole, *intervals(flat, scored, replicates=_REPLICATES, seed=_SEED)])


def _ratio(above: str, below: str) -> Callable[[Sums], NDArray[np.float64]]:
    return lambda sums: np.asarray(sums[above] / np.maximum(sums[below], 1e-12))


def _fss(sums: Sums) -> NDArray[np.float64]:
    return np.asarray(1 - sums["fss_apart"] / np.maximum(sums["fss_most"], 1e-12))


def _told(values: NDArray[np.float64], digits: int = 3, sign: bool = False) -> str:
    """Score and interval in words; bold where a difference is clear of zero."""
    middle, low, high = (f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}" for value in values)
    text = f"{middle} [{low}, {high}]".replace("-", "−")
    return f"**{text}**" if sign and (values[1] > 0 or values[2] < 0) else text


# ---- what a law is worth


def law_sums(members: Fields, truth: Fields, levels: Sequence[float] = _LEVELS) -> Sums:
    """Sums of the scores of laws, each given by quantiles, over frames.

    Parameters
    ----------
    members
        ``(M, F, H, W)``, equally likely, mm h-1, NaN where a method says nothing.
    truth
        ``(F, H, W)``.
    levels
        Of the critical success index, mm h-1.

    Returns
    -------
    dict
        Sums for each frame, ``(F,)``.
    """
    there = np.isfinite(truth) & np.isfinite(members).all(0)
    rain = np.where(there, truth, 0.0)
    drawn = np.sort(np.where(there, members, 0.0), axis=0)
    count = len(drawn)
    order = (2 * np.arange(1, count + 1) - count - 1)[:, None, None, None]
    crps = np.abs(drawn - rain).mean(0) - (order * drawn).sum(0) / count**2
    found: Sums = {"crps": _summed(crps, there), "pixels": there.sum((1, 2)).astype(float)}
    for level in levels:
        likely, event = (drawn >= level).mean(0) >= 0.5, rain >= level
        found[f"hits_{level:g}"] = _summed(likely & event, there)
        found[f"events_{level:g}"] = _summed(likely | event, there)
    found["wet"] = _summed((drawn >= WET).mean(0), there)
    found["wet_observed"] = _summed(rain >= WET, there)
    share = neighbourhood((drawn >= 1.0).mean(0), there, _SCALE)
    true = neighbourhood((rain >= 1.0).astype(float), there, _SCALE)
    inside = np.isfinite(share)
    found["fss_apart"] = np.where(inside, (share - true) ** 2, 0.0).sum((1, 2))
    found["fss_most"] = np.where(inside, share**2 + true**2, 0.0).sum((1, 2))
    return found


def _summed(values: NDArray[Any], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.where(there, values, 0.0).sum((1, 2)), float)


def quantiles(likelihood: Likelihood, made: Tensor) -> Fields:
    """Quantiles of the law of each pixel, ``(M, F, H, W)``, of planes ``(F, planes, H, W)``.

    Parameters
    ----------
    likelihood
        Of rain.
    made
        From the decoder.
    """
    levels = (torch.arange(_QUANTILES) + 0.5) / _QUANTILES
    shape = (*made.shape[:1], 1, *made.shape[2:])
    return np.stack([likelihood.draw(made, torch.full(shape, float(level)))[:, 0].numpy() for level in levels])


# ---- reconstruction


@torch.no_grad()
def _reconstructions(
    models: Mapping[str, TopographicVAE], components: Sequence[Components], cases: Sequence[Case]
) -> str:
    table = Table()
    for case in track(cases, "reconstructing"):
        known = case.rain[: len(case.rain) // 2]
        frames = torch.from_numpy(known)[None, :, None]
        for name, model in models.items():
            made = model.decode(model.latents(frames))[0]
            table.add(name, case.block, _reconstructed(model.likelihood, made, known))
        for one in components:
            table.add(f"{one.size} components", case.block, _reconstructed(*one.law(known)))
    heads = ["", "CRPS, mm/h", "CSI 0.1", "CSI 1", "FSS 1", "wet ratio", "nats a pixel", "spectrum, dB"]
    rows = []
    for method in table.methods:
        row = [table.score(method, _ratio("crps", "pixels"))]
        row += [table.score(method, _ratio(f"hits_{level:g}", f"events_{level:g}")) for level in _LEVELS]
        row += [table.score(method, _fss), table.score(method, _ratio("wet", "wet_observed"))]
        row += [table.score(method, _ratio("nats", "pixels"))]
        slope = table.score(method, lambda sums: 10 * np.log10(sums["power"] / sums["power_observed"]))
        rows.append([method, *(_told(values) for values in row), _told(slope, 1)])
    last = table.methods[-1]
    lines = [page.table_of(heads, rows), "", f"Differences to the {last}, paired by block:", ""]
    beside = []
    for method in table.methods[:-1]:
        parts = [_ratio("crps", "pixels"), _ratio("hits_0.1", "events_0.1"), _ratio("hits_1", "events_1"), _fss]
        parts += [_ratio("nats", "pixels")]
        beside.append([method, *(_told(table.score(method, part, last), 3, sign=True) for part in parts)])
    return "\n".join([*lines, page.table_of(["", "CRPS, mm/h", "CSI 0.1", "CSI 1", "FSS 1", "nats a pixel"], beside)])


def _reconstructed(likelihood: Likelihood, made: Tensor, known: Fields) -> Sums:
    """Sums over all frames of a case."""
    found = {name: values.sum() for name, values in law_sums(quantiles(likelihood, made), known).items()}
    truth = torch.from_numpy(known)[:, None]
    there = torch.isfinite(truth)
    found["nats"] = -likelihood.log_probability(made, truth).sum().double().numpy()
    median = torch.where(there, likelihood.median(made), torch.nan)[:, 0].numpy()
    found["power"], found["power_observed"] = _fine_power(median), _fine_power(known)
    return found


def _fine_power(rain: Fields) -> NDArray[np.float64]:
    """Variance of ln(1 + R) at wavelengths from 4 to 16 pixels, of frames without gaps."""
    whole = rain[np.isfinite(rain).all((1, 2))]
    side = rain.shape[-1]
    level = np.log1p(whole) * (np.hanning(side)[:, None] * np.hanning(side))
    power = np.abs(np.fft.fft2(level)) ** 2
    wave = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    return np.asarray(power[:, (wave > 1 / 16) & (wave <= 1 / 4)].sum())


# ---- rolls


@torch.no_grad()
def _rolls(models: Mapping[str, TopographicVAE], cases: Sequence[Case], step: int) -> str:
    lags = range(1, min(_LAGS, len(cases[0].rain) // 2 - 1) + 1)
    table = Table()
    for name, model in models.items():
        fresh = untrained(model, _SEED)
        for number, case in enumerate(track(cases, f"rolling {name}")):
            known = torch.from_numpy(case.rain[: len(case.rain) // 2])[None, :, None]
            mixed = known[:, np.random.default_rng([_SEED, number]).permutation(known.shape[1])]
            before, other = _apart(fresh, known, lags), _apart(model, mixed, lags)
            sums = _apart(model, known, lags) | {f"{key}_untrained": before[key] for key in ("moved", "stayed")}
            sums["moved_mixed"] = other["moved"]
            table.add(name, case.block, sums)
    heads = ["", "against", *(f"{lag * step} min" for lag in lags)]
    rows = []
    kinds = {"left as it is": "stayed", "rolled back": "back", "frames in another order": "moved_mixed"}
    for method in table.methods:
        for words, below in kinds.items():
            found = table.score(method, lambda sums, below=below: 1 - sums["moved"] / sums[below])  # type: ignore[misc]
            rows.append([method, words, *(_told(found[:, place], 3, sign=True) for place in range(len(lags)))])
        before = table.score(method, lambda sums: 1 - sums["moved_untrained"] / sums["stayed_untrained"])
        rows.append(
            [method, "as it is, untrained", *(_told(before[:, place], 3, sign=True) for place in range(len(lags)))]
        )
    return page.table_of(heads, rows)


def _apart(model: TopographicVAE, frames: Tensor, lags: Sequence[int]) -> Sums:
    """Distances of centred latents, each frame's rolled, left and rolled back, to those of later frames."""
    latents = model.latents(frames)
    there = centred(latents)
    found: dict[str, list[float]] = {"moved": [], "stayed": [], "back": []}
    for lag in lags:
        before = latents[:, :-lag]
        guesses = {"moved": model.topography.roll(before, lag), "stayed": before}
        guesses["back"] = model.topography.roll(before, -lag)
        for name, guess in guesses.items():
            found[name].append(float((centred(guess) - there[:, lag:]).abs().sum()))
    return {name: np.asarray(values) for name, values in found.items()}


# ---- forecasts


@torch.no_grad()
def _forecasts(models: Mapping[str, TopographicVAE], cases: Sequence[Case], step: int) -> str:
    table = Table()
    for case in track(cases, "forecasting"):
        half = len(case.rain) // 2
        known, later = case.rain[:half], case.rain[half:]
        last = known[-1]
        margin = (case.around.shape[-1] - last.shape[-1]) // 2
        told: dict[str, Fields] = {"persistence": np.repeat(last[None, None], half, 1)}
        told["persistence, neighbourhood"] = _shifted(case.around[-1], margin, half)
        told["optical flow"] = optical_flow(case.around, half, margin)[None]
        for name, model in models.items():
            told |= {f"{name}, {kind}": members for kind, members in _foreseen(model, case.rain, half).items()}
        for method, members in told.items():
            table.add(method, case.block, law_sums(members, later))
    leads = [lead for lead in (1, 2, 4, 6, 9, 12) if lead <= half]
    lines = []
    scores = {"CRPS, mm/h": _ratio("crps", "pixels"), "FSS 1 mm/h": _fss, "CSI 0.1": _ratio("hits_0.1", "events_0.1")}
    heads = ["", *(f"{lead * step} min" for lead in leads)]
    for words, score in scores.items():
        rows = []
        for method in table.methods:
            values = table.score(method, score)
            rows.append([method, *(_told(values[:, lead - 1]) for lead in leads)])
        lines += [f"*{words}*", "", page.table_of(heads, rows), ""]
    lines += ["Differences to persistence, paired by block:", ""]
    for words, score in list(scores.items())[:2]:
        rows = []
        for method in [name for name in table.methods if name != "persistence"]:
            values = table.score(method, score, "persistence")
            rows.append([method, *(_told(values[:, lead - 1], 3, sign=True) for lead in leads)])
        lines += [f"*{words}*", "", page.table_of(heads, rows), ""]
    return "\n".join(lines)


def _foreseen(model: TopographicVAE, rain: Fields, half: int) -> dict[str, Fields]:
    """Laws ``(M, F, H, W)`` of the later frames: rolled, left as they are, and decoded from their own latents."""
    frames = torch.from_numpy(rain)[None, :, None]
    latents = model.latents(frames[:, :half])[:, -1]
    rolled = torch.stack([model.topography.roll(latents, lead) for lead in range(1, half + 1)], 1)
    own = torch.cat([model.latents(frames[:, lead : lead + half])[:, -1:] for lead in range(1, half + 1)], 1)
    made = {"rolled": rolled, "frozen": latents[:, None].expand_as(rolled), "ceiling": own}
    return {name: quantiles(model.likelihood, model.decode(entry)[0]) for name, entry in made.items()}


def _shifted(around: Fields, margin: int, count: int) -> Fields:
    """Members ``(M, F, H, W)``: the last frame displaced by up to 4 pixels."""
    side = around.shape[-1] - 2 * margin
    moves = range(-4, 5, 2)
    fields = [around[margin + y : margin + y + side, margin + x : margin + x + side] for y in moves for x in moves]
    filled = [np.where(np.isfinite(field), field, fields[len(fields) // 2]) for field in fields]
    return np.repeat(np.stack(filled)[:, None], count, 1)


if __name__ == "__main__":
    sys.exit(main())
