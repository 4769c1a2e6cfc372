"""The rows of the Topographic VAE: every finished run of a folder, judged on sequences that nothing was tuned on.

``python -m benchmarks.tvae_rows RUNS [--mnist FOLDER]`` judges what is new, keeps the figures beside each run, writes
the tables and draws the rolls. ``configs/tvae-*.yaml`` are the rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from benchmarks import retrieval_page as page
from ondee import run
from ondee.generative import noise
from ondee.plot.rolls import draw_capsule_rolls, draw_rolls
from ondee.plot.style import save
from ondee.topographic import judging, measures, sequences
from ondee.topographic.judging import judge, unrolled
from ondee.topographic.measures import capsule_correlation, capsule_rolls
from ondee.topographic.model import TopographicVAE
from ondee.topographic.sequences import Factors
from ondee.topographic.sprites import SHAPES
from ondee.training.latents import sequences_of
from ondee.training.settings import LatentConfig

__all__ = ["by_shape", "grouped", "main", "order", "seeds_told", "tables", "turned"]

_SEED = 11
_KEPT = "judged.json"
_TOGETHER = 16
_OPENING = "# Topographic VAE, measured\n\nNumbers are written by commands, none by hand.\n"
_ROWS = ("18", "15", "13", "10", "5", "bubble", "0", "vae")
_NAMES = {
    "18": "TVAE, 18 frames",
    "15": "TVAE, 15 frames",
    "13": "TVAE, 13 frames",
    "10": "TVAE, 10 frames",
    "5": "TVAE, 5 frames",
    "bubble": "BubbleVAE",
    "0": "TVAE, L = 0",
    "vae": "VAE",
}
_SETS = {"digits": "MNIST", "sprites": "dSprites"}


def order(names: Sequence[str]) -> list[str]:
    """Runs in the order of the table: by set, then by coherence, then by seed.

    Parameters
    ----------
    names
        As ``tvae-mnist-13`` or ``tvae-mnist-13-seed2``.
    """
    known = [name for name in names if len(name.split("-")) > 2 and name.split("-")[2] in _ROWS]
    return sorted(known, key=lambda name: (name.split("-")[1], _ROWS.index(name.split("-")[2]), name))


def judged(place: Path, mnist: Path | None, count: int) -> dict[str, Any]:
    """Figures of a run on the test split, from the file beside it where they were found before.

    Parameters
    ----------
    place
        Folder of the run.
    mnist
        Folder of the digits.
    count
        Sequences of each factor.
    """
    model, config = run.load_latent(place), _config(place, mnist)
    source = _source(config)
    kept = place / _KEPT
    told = {"count": count, "seed": _SEED, "finished": _origin(place)["finished"], "code": _code()}
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if found["told"] == told:
            return found
    figures = judge(model, source, seed=_SEED, count=count)
    found = {"told": told, "figures": figures, "sequences": config.sequences, "factors": list(source.factors)}
    kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _config(place: Path, mnist: Path | None) -> LatentConfig:
    told = yaml.safe_load((place / run.CONFIG).read_text(encoding="utf-8"))["training"]
    told = {key: value for key, value in told.items() if key not in ("fingerprint", "taken")}
    return LatentConfig.model_validate({**told, "data": str(mnist) if told["sequences"] == "digits" else None})


def _code() -> str:
    """Print of the code that the figures come from."""
    texts = [Path(str(module.__file__)).read_bytes() for module in (judging, measures, noise, sequences)]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:12]


def _source(config: LatentConfig) -> Factors:
    source = sequences_of(config, "test")
    assert isinstance(source, Factors), "the rows are of digits and sprites"
    return source


def _origin(place: Path) -> dict[str, Any]:
    origin: dict[str, Any] = json.loads((place / run.PROVENANCE).read_text(encoding="utf-8"))
    return origin


def tables(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of all rows, one pair for each set: of several seeds the median and, in brackets, the ends.

    Parameters
    ----------
    found
        Figures by the name of the run.
    """
    parts = []
    for kind, title in _SETS.items():
        chosen = {name: entry for name, entry in found.items() if entry["sequences"] == kind}
        if chosen:
            parts += [f"**{title}**", "", _likely(chosen), _rolling(chosen)]
    return "\n".join(parts)


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Runs of each row: those whose names differ by the seed alone.

    Parameters
    ----------
    names
        As ``tvae-mnist-13`` or ``tvae-mnist-13-seed2``.
    """
    rows: dict[str, list[str]] = {}
    for name in names:
        rows.setdefault(re.sub(r"-seed\d+$", "", name), []).append(name)
    return rows


def _likely(found: Mapping[str, Mapping[str, Any]]) -> str:
    told = {"log p(x)": "log_likelihood", "as published": "log_likelihood_frame"}
    told |= {"cross-entropy": "reconstruction", "divergence": "divergence"}
    told |= {"active z": "active_units_z", "active u": "active_units_u", "E": "equivariance"}
    for name in ("identity", "untrained", "centred", "centred, identity"):
        told[name] = "equivariance_" + name.replace(", ", "_")
    told["one draw"] = "equivariance_drawn"
    rows = []
    for row, names in grouped(found).items():
        figures = [found[name]["figures"] for name in names]
        cells = [
            _spread([made.get(key) for made in figures], _number, is_alone=head not in ("log p(x)", "as published"))
            for head, key in told.items()
        ]
        rows.append([_named(row), *cells])
    return page.table_of(["", *told], rows)


def _rolling(found: Mapping[str, Mapping[str, Any]]) -> str:
    factors = next(iter(found.values()))["factors"]
    heads = ["", *(f"CapCorr {name}" for name in factors), *(f"rolled / frozen, {name}" for name in factors)]
    groups = {row: [found[name]["figures"] for name in names] for row, names in grouped(found).items()}
    rows = []
    for row, figures in groups.items():
        pairs = [
            " / ".join(f"{np.median([made[f'{kind}_{key}'] for made in figures]):.0f}" for kind in ("rolled", "frozen"))
            for key in factors
        ]
        shares = [_spread([made.get(f"capcorr_{key}") for made in figures], _share) for key in factors]
        rows.append([_named(row), *shares, *pairs])
    row, figures = next(iter(groups.items()))
    before = [_spread([made.get(f"capcorr_{key}_untrained") for made in figures], _share) for key in factors]
    rows.append([f"{_named(row)}, before any training", *before, *("–" for _ in factors)])
    return page.table_of(heads, rows)


def _spread(values: Sequence[float | None], form: Callable[[float | None], str], *, is_alone: bool = False) -> str:
    """Median of the seeds and, in brackets, the lowest and the highest; or the median by itself."""
    known = [value for value in values if value is not None]
    if not known:
        return form(None)
    told = [form(float(chosen(known))) for chosen in (np.median, np.min, np.max)]
    return told[0] if is_alone or told[1] == told[2] else f"{told[0]} [{told[1]}, {told[2]}]"


def _trained(found: Mapping[str, Mapping[str, Any]], origins: Mapping[str, Mapping[str, Any]]) -> str:
    """Steps, minutes and seeds of the runs of each set."""
    told = []
    for kind, title in _SETS.items():
        chosen = [origins[name] for name, entry in found.items() if entry["sequences"] == kind]
        if chosen:
            steps = sorted({f"{entry['steps']:,}" for entry in chosen})
            minutes = [entry["seconds"]["training"] / 60 for entry in chosen]
            ends = dict.fromkeys(f"{end:.0f}" for end in (min(minutes), max(minutes)))
            told.append(f"{title} {', '.join(steps)} steps, {' to '.join(ends)} min on one thread")
    return "; ".join(told)


def seeds_told(seeds: Mapping[str, int]) -> str:
    """Which seeds the rows were trained with; rows that have fewer than others are named.

    Parameters
    ----------
    seeds
        By the name of the run.
    """
    groups = {row: sorted(seeds[name] for name in names) for row, names in grouped(seeds).items()}
    usual = max(groups.values(), key=len, default=[])
    told = ", ".join(map(str, usual))
    if len(usual) > 1:
        told += "; tables tell the median and, in brackets, the lowest and the highest"
    fewer = [f"{row} {', '.join(map(str, of))}" for row, of in groups.items() if of != usual]
    return "; ".join([told, *(["fewer or others: " + ", ".join(fewer)] if fewer else [])])


def _named(name: str) -> str:
    words = name.split("-")
    return ", ".join([_NAMES[words[2]], *words[3:]])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # no −0.00


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    is_short = abs(value) >= 100 or value == round(value)
    return (f"{value:,.0f}" if is_short else f"{value:.1f}").replace("-", "−")


def rolls(model: TopographicVAE, source: Factors, title: str, path: Path) -> None:
    """Draw one sequence of each factor, its reconstruction, and the roll of its first frame.

    Parameters
    ----------
    model, source
        Of what.
    title
        Above the figure.
    path
        Of the figure.
    """
    names = list(source.factors)
    frames = torch.cat([source.batch([place], factor=place).frames for place in range(len(names))])
    seen, made, moved = unrolled(model, frames)
    save(draw_rolls(seen, made, moved, names=tuple(names), title=title), path, force=True)


@torch.no_grad()
def turned(place: Path, mnist: Path | None, count: int) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Observed roll of test sequences and the change of the factor that moves, for each factor.

    Parameters
    ----------
    place
        Folder of the run.
    mnist
        Folder of the digits.
    count
        Sequences of each factor.
    """
    model, source = run.load_latent(place), _source(_config(place, mnist))
    found = {}
    for factor, (name, size) in enumerate(source.factors.items()):
        batches = [range(first, min(first + _TOGETHER, count)) for first in range(0, count, _TOGETHER)]
        drawn = [source.batch([factor * count + number for number in some], factor=factor) for some in batches]
        latents = torch.cat([model.latents(one.frames) for one in drawn])
        found[name] = capsule_rolls(latents, np.concatenate([one.value for one in drawn]), size)
    return found


@torch.no_grad()
def by_shape(place: Path, count: int) -> dict[str, tuple[float, float]]:
    """Capsule correlation of the orientation of each shape of sprites, of the model and of an untrained one.

    Parameters
    ----------
    place
        Folder of a run of sprites.
    count
        Sequences of all shapes together.
    """
    model, source = run.load_latent(place), _source(_config(place, None))
    fresh, factor = judging.untrained(model, _SEED), list(source.factors).index("orientation")
    latents, values, shapes = [], [], []
    for first in range(0, count, _TOGETHER):
        numbers = range(first, min(first + _TOGETHER, count))
        drawn = source.batch(numbers, factor=factor)
        latents.append(torch.stack([one.latents(drawn.frames) for one in (model, fresh)]))
        values.append(drawn.value)
        shapes += [int(source.values(number, factor)[1]["shape"][0]) for number in numbers]
    both, value, shape = torch.cat(latents, 1), np.concatenate(values), np.array(shapes)
    size = source.factors["orientation"]
    return {
        name: (
            capsule_correlation(both[0, shape == which], value[shape == which], size),
            capsule_correlation(both[1, shape == which], value[shape == which], size),
        )
        for which, name in enumerate(SHAPES)
    }


def _shapes(found: Mapping[str, Mapping[str, tuple[float, float]]], count: int) -> str:
    """A table of the orientation by shape."""
    rows = []
    for row, names in grouped(found).items():
        each = [[found[name][shape] for name in names] for shape in SHAPES]
        made, before = ([_spread([pair[end] for pair in pairs], _share) for pairs in each] for end in (0, 1))
        rows.append([_named(row), *(f"{one} ({other})" for one, other in zip(made, before, strict=True))])
    words = f"CapCorr of the orientation by shape, of {count} sequences together; in parentheses before any training:"
    return "\n".join([words, "", page.table_of(["", *SHAPES], rows)])


def _drawn(names: Sequence[str], given: argparse.Namespace) -> None:
    """Draw of each set the sequences of the longest coherence, and observed rolls of it and of the plain VAE.

    It is the first seed that is drawn; ``ondee report`` has pictures of all runs.
    """
    first = {row: runs[0] for row, runs in grouped(names).items()}
    for kind in {row.split("-")[1] for row in first}:
        chosen = [row for row in first if row.split("-")[1] == kind]
        longest, place = chosen[0], given.runs / first[chosen[0]]
        source, target = _source(_config(place, given.mnist)), given.images / f"{longest.replace('-', '_')}.png"
        rolls(run.load_latent(place), source, _named(longest), target)
        told = {_named(row): turned(given.runs / first[row], given.mnist, given.count) for row in (longest, chosen[-1])}
        save(draw_capsule_rolls(told), given.images / f"tvae_{kind}_capsules.png", force=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, write and draw."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tvae_rows", description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--mnist", type=Path, default=None, help="folder of the digits")
    parser.add_argument("--only", nargs="*", help="names of runs")
    parser.add_argument("--count", type=int, default=96, help="sequences of each factor")
    parser.add_argument("--name", default="fast", help="of the section")
    parser.add_argument("--images", type=Path, default=None, help="folder for the figures")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("TVAE.md"))
    given = parser.parse_args(typed)
    torch.set_num_threads(1)
    if given.mnist is None and any("-mnist-" in place.name for place in given.runs.glob("tvae-*")):
        parser.error("there are runs of digits: give --mnist FOLDER")
    names = given.only or [place.parent.name for place in given.runs.glob(f"tvae-*/{run.WEIGHTS}")]
    found = {}
    for name in order(names):
        found[name] = judged(given.runs / name, given.mnist, given.count)
        print(name, flush=True)
    if given.images is not None:
        _drawn(list(found), given)
    sprites = [name for name, entry in found.items() if entry["sequences"] == "sprites"]
    shapes = {name: by_shape(given.runs / name, 3 * given.count) for name in sprites}
    origins = {name: _origin(given.runs / name) for name in found}
    seeds = {name: _config(given.runs / name, given.mnist).seed for name in found}
    facts = {
        "split": f"test, {given.count} sequences of each factor, log p(x) of 32 with 10 draws",
        "training": _trained(found, origins),
        "seeds": seeds_told(seeds),
        "trained on commit": ", ".join(sorted({entry["commit"][:7] or "unknown" for entry in origins.values()})),
        "chance": "; ".join(
            f"E {entry['figures']['equivariance_chance']:,.0f} on {_SETS[entry['sequences']]}"
            for entry in {entry["sequences"]: entry for entry in found.values()}.values()
        ),
    }
    words = (Path(word).name if Path(word).is_absolute() else word for word in typed)
    text = "\n".join([page.head(shlex.join(["python", "-m", "benchmarks.tvae_rows", *words]), facts), tables(found)])
    if shapes:
        text += "\n" + _shapes(shapes, 3 * given.count)
    if not given.out.exists():
        given.out.write_text(_OPENING, encoding="utf-8")
    page.put(given.out, given.name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
