"""What topographic latents know of rain: reconstruction, rolls and forecasts on events that nothing was learnt from.

``python -m benchmarks.tvae_rain RUNS STORE … --train STORE …`` judges every run of rain in a folder on the test split
of some stores, beside principal components of equal size, persistence, optical flow and the autoencoder's own ceiling.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import retrieval_page as page
from benchmarks.tvae_rivals import Components, Fields, optical_flow
from benchmarks.tvae_scores import LEVELS, QUANTILES, SCALE, SEED, Sums, Table, fss, law_sums, quantiles, ratio, spelt
from ondee import run
from ondee.batches import Window, Windows
from ondee.batches.windows import motion
from ondee.generative.noise import Noise
from ondee.nn.advective import AdvectiveDecoder
from ondee.progress import track
from ondee.store import Store
from ondee.topographic.judging import untrained
from ondee.topographic.likelihood import Likelihood
from ondee.topographic.measures import centred
from ondee.topographic.model import TopographicVAE
from ondee.units import WET

__all__ = ["main"]


_LAGS = 6
_WET_SHARE = 0.01
"""Least share of wet pixels of a frame that is looked at."""


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
    parser.add_argument("--brief", action="store_true", help="one row for each run, without what it is beside")
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
    learnt = Windows([Store(path) for path in given.train], "train", frames=frames, side=side, seed=SEED)
    size = max(model.topography.size for model in models.values())
    components = [Components.of(learnt, count) for count in (*given.components, size)]
    head = page.head(
        shlex.join(["python", "-m", "benchmarks.tvae_rain", *(_short(word) for word in typed)]),
        {
            "split": f"{given.split} of {', '.join(store.path.name for store in stores)}",
            "cases": f"{len(cases)}, of {frames} known and {frames} later frames of {learnt.step} min on "
            f"{side} x {side} pixels of {learnt.cell[0]:g} km",
            "intervals": f"95%, blocks of one hour ({len({case.block for case in cases})} of them)",
            "fractions": f"windows of {SCALE} x {SCALE} pixels",
        },
    )
    told = _brief if given.brief else _whole
    text = "\n".join([head, told(models, components, cases, learnt.step)])
    if not given.out.exists():
        given.out.write_text("# Topographic VAE, measured\n", encoding="utf-8")
    page.put(given.out, given.name, text)
    print(text)
    return 0


def _whole(
    models: Mapping[str, TopographicVAE], components: Sequence[Components], cases: Sequence[Case], step: int
) -> str:
    return "\n".join(
        [
            "**Reconstruction** of the known frames",
            "",
            _reconstructions(_reconstructed_by(models, components, cases)),
            "**Rolls** of posterior means, 1 less the distance to what is there over that of another guess",
            "",
            _rolls(_rolled_by(models, cases), step),
            "**Motion** of the next half hour",
            "",
            _motions(models, cases),
            "**Forecasts**",
            "",
            _forecasts(_foretold_by(models, cases), step),
        ]
    )


def _brief(
    models: Mapping[str, TopographicVAE], components: Sequence[Components], cases: Sequence[Case], step: int
) -> str:
    """Reconstruction, skill of the roll, and forecasts by the roll, a row for each."""
    known, rolls = _reconstructed_by(models, components, cases), _rolled_by(models, cases)
    later = _foretold_by(models, cases)
    rows = []
    for name in known.methods:
        row = [known.score(name, score) for score in (ratio("crps", "pixels"), fss, ratio("nats", "pixels"))]
        skill: list[str] = ["–"] * 3
        if name in models:
            found = rolls.score(name, lambda sums: 1 - sums["moved"] / sums["stayed"])
            skill = [spelt(found[:, place], 3, sign=True) for place in range(3)]
        rows.append([name, *(spelt(values) for values in row), *skill])
    heads = ["", "CRPS, mm/h", "FSS 1", "nats a pixel", *(f"roll skill, {lag * step} min" for lag in (1, 2, 3))]
    leads = _leads(len(cases[0].rain) // 2)
    chosen = [place for place, lead in enumerate(leads) if lead in (2, 6, 12)]
    beside = []
    for name in later.methods:
        crps, fractions = (later.score(name, score) for score in (ratio("crps", "pixels"), fss))
        if name.endswith(("rolled", "frozen")) or name in ("persistence", "optical flow"):
            beside.append([name, *(spelt(one[:, place]) for one in (crps, fractions) for place in chosen)])
    words = [f"{score}, {leads[place] * step} min" for score in ("CRPS, mm/h", "FSS 1") for place in chosen]
    return "\n".join(
        [
            "*Reconstruction of the known frames, and skill of the roll beside latents left as they are*",
            "",
            page.table_of(heads, rows),
            "",
            "*Forecasts*",
            "",
            page.table_of(["", *words], beside),
        ]
    )


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


# ---- reconstruction


@torch.no_grad()
def _reconstructed_by(
    models: Mapping[str, TopographicVAE], components: Sequence[Components], cases: Sequence[Case]
) -> Table:
    table = Table()
    for case in track(cases, "reconstructing"):
        known = case.rain[: len(case.rain) // 2]
        frames = torch.from_numpy(known)[None, :, None]
        for name, model in models.items():
            made, seen = model.told(model.latents(frames), frames)
            table.add(name, case.block, _reconstructed(model.likelihood, made[0], seen[0, :, 0].numpy()))
        for one in components:
            table.add(f"{one.size} components", case.block, _reconstructed(*one.law(known)))
    return table


def _reconstructions(table: Table) -> str:
    heads = ["", "CRPS, mm/h", "CSI 0.1", "CSI 1", "FSS 1", "wet ratio", "nats a pixel", "spectrum, dB"]
    rows = []
    for method in table.methods:
        row = [table.score(method, ratio("crps", "pixels"))]
        row += [table.score(method, ratio(f"hits_{level:g}", f"events_{level:g}")) for level in LEVELS]
        row += [table.score(method, fss), table.score(method, ratio("wet", "wet_observed"))]
        row += [table.score(method, ratio("nats", "pixels"))]
        slope = table.score(method, lambda sums: 10 * np.log10(sums["power"] / sums["power_observed"]))
        rows.append([method, *(spelt(values) for values in row), spelt(slope, 1)])
    last = table.methods[-1]
    lines = [page.table_of(heads, rows), "", f"Differences to the {last}, paired by block:", ""]
    beside = []
    for method in table.methods[:-1]:
        parts = [ratio("crps", "pixels"), ratio("hits_0.1", "events_0.1"), ratio("hits_1", "events_1"), fss]
        parts += [ratio("nats", "pixels")]
        beside.append([method, *(spelt(table.score(method, part, last), 3, sign=True) for part in parts)])
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
def _rolled_by(models: Mapping[str, TopographicVAE], cases: Sequence[Case]) -> Table:
    lags = range(1, min(_LAGS, len(cases[0].rain) // 2 - 1) + 1)
    table = Table()
    for name, model in models.items():
        fresh = untrained(model, SEED)
        for number, case in enumerate(track(cases, f"rolling {name}")):
            known = torch.from_numpy(case.rain[: len(case.rain) // 2])[None, :, None]
            mixed = known[:, np.random.default_rng([SEED, number]).permutation(known.shape[1])]
            before, other = _apart(fresh, known, lags), _apart(model, mixed, lags)
            sums = _apart(model, known, lags) | {f"{key}_untrained": before[key] for key in ("moved", "stayed")}
            sums["moved_mixed"] = other["moved"]
            table.add(name, case.block, sums | _observed_rolls(model, known, lags))
    return table


def _rolls(table: Table, step: int) -> str:
    lags = range(1, table.score(table.methods[0], lambda sums: sums["moved"]).shape[1] + 1)
    heads = ["", "against", *(f"{lag * step} min" for lag in lags)]
    rows = []
    kinds = {"left as it is": "stayed", "rolled back": "back", "frames in another order": "moved_mixed"}
    for method in table.methods:
        for words, below in kinds.items():
            found = table.score(method, lambda sums, below=below: 1 - sums["moved"] / sums[below])  # type: ignore[misc]
            rows.append([method, words, *(spelt(found[:, place], 3, sign=True) for place in range(len(lags)))])
        kinds_of_skill = {
            "as it is, untrained": lambda sums: 1 - sums["moved_untrained"] / sums["stayed_untrained"],
            "as it is, capsules that move": lambda sums: (
                1 - sums["moved_going"] / np.where(sums["stayed_going"] > 0, sums["stayed_going"], np.nan)
            ),
        }
        for words, skill in kinds_of_skill.items():
            values = table.score(method, skill)
            if np.isfinite(values).all():
                rows.append([method, words, *(spelt(values[:, place], 3, sign=True) for place in range(len(lags)))])
    turned = []
    for method in table.methods:
        values = table.score(method, ratio("turned", "turns"))
        if np.isfinite(values).all() and values.any():
            turned.append([method, *(spelt(values[:, place], 2) for place in range(len(lags)))])
    heads_of_rolls = ["", *(f"{lag} frames" for lag in lags)]
    words_of_rolls = (
        "*Observed roll* of the capsules that move, in frames: the one that comes nearest to the later latents"
    )
    return "\n".join([page.table_of(heads, rows), "", words_of_rolls, "", page.table_of(heads_of_rolls, turned)])


def _apart(model: TopographicVAE, frames: Tensor, lags: Sequence[int]) -> Sums:
    """Distances of latents, each frame's rolled, left and rolled back, to those of later frames.

    Each capsule is taken less its mean and at length 1, as in the equivariance error.
    """
    latents = model.latents(frames)
    there, going = _alike(latents), _going(model)
    names = ("moved", "stayed", "back", "moved_going", "stayed_going")
    found: dict[str, list[float]] = {name: [] for name in names}
    for lag in lags:
        before = latents[:, :-lag]
        guesses = {"moved": model.topography.roll(before, lag), "stayed": before}
        guesses["back"] = model.topography.roll(before, -lag)
        for name, guess in guesses.items():
            apart = (_alike(guess) - there[:, lag:]).abs().sum(-1)
            found[name].append(float(apart.sum()))
            if name != "back":
                found[f"{name}_going"].append(float(apart[..., going].sum()))
    return {name: np.asarray(values) for name, values in found.items()}


def _alike(latents: Tensor) -> Tensor:
    """Capsules less their means, at length 1."""
    off = centred(latents)
    made: Tensor = off / off.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return made


def _going(model: TopographicVAE) -> Tensor:
    """Whether each capsule moves, ``(C,)``."""
    velocities = model.topography.velocities()
    each = torch.tensor([any(velocity) for velocity in velocities])
    return each.repeat_interleave(model.topography.capsules // len(velocities))


def _observed_rolls(model: TopographicVAE, frames: Tensor, lags: Sequence[int]) -> Sums:
    """Sums over frames of the roll, in frames, that brings moving capsules nearest to later ones, and their number."""
    latents, going = model.latents(frames), _going(model)
    counts = [float(latents[:, lag:, 0, 0].numel()) for lag in lags]
    if not model.topography.is_topographic or not going.any():
        return {"turned": np.zeros(len(lags)), "turns": np.asarray(counts)}
    rolls = range(-2, max(lags) + 3)
    moved = torch.stack([_alike(model.topography.roll(latents, roll))[..., going, :] for roll in rolls])
    there = _alike(latents)[..., going, :]
    turned = []
    for lag in lags:
        nearest = (moved[:, :, :-lag] - there[None, :, lag:]).abs().sum((-2, -1)).argmin(0)
        turned.append(float((nearest + rolls[0]).sum()))
    return {"turned": np.asarray(turned), "turns": np.asarray(counts)}


# ---- motion


@torch.no_grad()
def _motions(models: Mapping[str, TopographicVAE], cases: Sequence[Case]) -> str:
    """How well the motion of the next half hour is told: by waves, and by the correlation of the known frames."""
    table = Table()
    for case in track(cases, "telling motion"):
        half = len(case.rain) // 2
        known = case.rain[:half]
        true = np.array(motion(case.rain[half - 1 : half + _LAGS]))
        told = {"correlation of the known frames": np.array(motion(known[-_LAGS:])), "none": np.zeros(2)}
        for name, model in models.items():
            if isinstance(model.decoder, AdvectiveDecoder):
                latents = model.latents(torch.from_numpy(known)[None, :, None])[:, -1]
                told[name] = model.decoder.passed(latents.flatten(1))[0, 1:].double().numpy()
        for name, values in told.items():
            sums = {"apart": ((values - true) ** 2).sum(), "both": (values * true).sum()}
            sums |= {"told": (values**2).sum(), "true": (true**2).sum(), "cases": np.asarray(1.0)}
            table.add(name, case.block, {key: np.asarray(value, float) for key, value in sums.items()})
    rows = []
    for name in table.methods:
        error = table.score(name, lambda sums: np.sqrt(sums["apart"] / sums["cases"]))
        along = table.score(name, lambda sums: sums["both"] / np.sqrt(np.maximum(sums["told"] * sums["true"], 1e-12)))
        rows.append([name, spelt(error, 2), spelt(along, 2)])
    return page.table_of(["", "error, pixels a frame", "cosine"], rows)


# ---- forecasts


def _leads(half: int) -> list[int]:
    """Frames ahead that are told, of so many later ones."""
    return [lead for lead in (1, 2, 4, 6, 9, 12) if lead <= half]


@torch.no_grad()
def _foretold_by(models: Mapping[str, TopographicVAE], cases: Sequence[Case]) -> Table:
    table = Table()
    half = len(cases[0].rain) // 2
    leads = _leads(half)
    chosen = [lead - 1 for lead in leads]
    for number, case in enumerate(track(cases, "forecasting")):
        known, later = case.rain[:half], case.rain[half:][chosen]
        last = known[-1]
        margin = (case.around.shape[-1] - last.shape[-1]) // 2
        told: dict[str, Fields] = {"persistence": np.repeat(last[None, None], len(leads), 1)}
        told["persistence, neighbourhood"] = _shifted(case.around[-1], margin, len(leads))
        told["optical flow"] = optical_flow(case.around, half, margin)[None, chosen]
        for name, model in models.items():
            told |= {f"{name}, {kind}": law for kind, law in _foreseen(model, case.rain, leads, number).items()}
        for method, members in told.items():
            table.add(method, case.block, law_sums(members, later))
    return table


def _forecasts(table: Table, step: int) -> str:
    leads = _leads(12)[: table.score(table.methods[0], fss).shape[1]]
    lines = []
    scores = {"CRPS, mm/h": ratio("crps", "pixels"), "FSS 1 mm/h": fss, "CSI 0.1": ratio("hits_0.1", "events_0.1")}
    heads = ["", *(f"{lead * step} min" for lead in leads)]
    for words, score in scores.items():
        rows = []
        for method in table.methods:
            values = table.score(method, score)
            rows.append([method, *(spelt(values[:, place]) for place in range(len(leads)))])
        lines += [f"*{words}*", "", page.table_of(heads, rows), ""]
    lines += ["Differences to persistence, paired by block:", ""]
    for words, score in list(scores.items())[:2]:
        rows = []
        for method in [name for name in table.methods if name != "persistence"]:
            values = table.score(method, score, "persistence")
            rows.append([method, *(spelt(values[:, place], 3, sign=True) for place in range(len(leads)))])
        lines += [f"*{words}*", "", page.table_of(heads, rows), ""]
    return "\n".join(lines)


def _foreseen(model: TopographicVAE, rain: Fields, leads: Sequence[int], number: int) -> dict[str, Fields]:
    """Laws ``(M, F, H, W)`` of later frames.

    ``rolled``: decoded from the rolled latents of the last known frame; ``sampled``: from rolled draws of them, each
    giving one quantile; ``frozen``: from latents left as they are; ``ceiling``: from the later frame's own.
    """
    half = len(rain) // 2
    frames = torch.from_numpy(rain)[None, :, None]
    latents = model.latents(frames[:, :half])[:, -1]
    rolled = torch.stack([model.topography.roll(latents, lead) for lead in leads], 1)
    own = torch.cat([model.latents(frames[:, lead : lead + half])[:, -1:] for lead in leads], 1)
    made = {"rolled": rolled, "frozen": latents[:, None].expand_as(rolled), "ceiling": own}
    found = {name: quantiles(model.likelihood, model.decode(entry)[0]) for name, entry in made.items()}
    posterior, noise = model.encode(frames[:, :half]), Noise(SEED, keys=[number])
    members = []
    order = np.random.default_rng([SEED, number]).permutation(QUANTILES)
    for member, level in enumerate((order + 0.5) / QUANTILES):
        drawn = model.topography(*model.sampled(posterior, noise, f" of member {member}"))[:, -1]
        planes = model.decode(torch.stack([model.topography.roll(drawn, lead) for lead in leads], 1))[0]
        uniform = torch.full((len(leads), 1, *rain.shape[1:]), float(level))
        members.append(model.likelihood.draw(planes, uniform)[:, 0].numpy())
    return found | {"sampled": np.stack(members)}


def _shifted(around: Fields, margin: int, count: int) -> Fields:
    """Members ``(M, F, H, W)``: the last frame displaced by up to 4 pixels."""
    side = around.shape[-1] - 2 * margin
    moves = range(-4, 5, 2)
    fields = [around[margin + y : margin + y + side, margin + x : margin + x + side] for y in moves for x in moves]
    filled = [np.where(np.isfinite(field), field, fields[len(fields) // 2]) for field in fields]
    return np.repeat(np.stack(filled)[:, None], count, 1)


if __name__ == "__main__":
    sys.exit(main())
