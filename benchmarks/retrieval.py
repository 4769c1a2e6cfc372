"""Judging of retrievals: ``python -m benchmarks.retrieval STORE --runs DIR [--split validation|test] …``.

Every model retrieves the same moments; `ondee.verification` judges them; tables go into ``benchmarks/RETRIEVAL.md`` as
the section of ``--name``, figures beside the documentation. What was retrieved stays in the working folder, so that a
run that was cut short, or one with a model more, goes on from there. ``--timing`` measures seconds instead.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from benchmarks import retrieval_page as page
from benchmarks import retrieval_timing as timing
from benchmarks.retrieval_clouds import clouds
from benchmarks.retrieval_fields import PRODUCTS, Entry, Moments, entries, evaluations, retrieved, truth_of
from ondee.batches.offered import IMAGES, RAIN
from ondee.collocation.reading import Reading
from ondee.command.scene import panels
from ondee.plot import draw_ranks, draw_reliability, draw_replicate, draw_spread_skill
from ondee.plot.retrieval import draw_place_and_kind, draw_retrievals, draw_spectral_ratios
from ondee.plot.series import Scores, drawable, series
from ondee.store import Store
from ondee.verification import Settings, Subject, Verification, subject, verify

__all__ = ["Judgement", "judge", "main"]

_SCORES = ("event", "fractions", "point", "distribution", "spectrum")
_ENSEMBLE = ("crps", "probability", "spread", "ranks", "replicate")
_THRESHOLDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_WINDOW = 64
"""Side of the tiles of spectra, pixels."""
_SMALL = 64
"""Side of the field on which evaluations are counted, pixels."""
_USUAL = ("detected",)
"""Products of the members that are judged of every model, beside the mean."""
_SHOWN = 3
"""Members drawn of the case."""
_ROOT = Path(__file__).parents[1]


class Judgement:
    """What the models retrieved, and how it was judged.

    Parameters
    ----------
    moments
        Where.
    models
        Which.
    work
        Working folder.
    members, seed, device
        As of :func:`benchmarks.retrieval_fields.retrieved`.
    whole
        The model of which every product is judged; of others draws, mean and detected field.
    block
        Length of a block of the bootstrap: days, or hours where there is but one day.
    workers, replicates
        Processes of the verification, and replicates of its bootstrap.
    """

    def __init__(
        self,
        moments: Moments,
        models: Sequence[Entry],
        work: Path,
        *,
        members: int,
        seed: int,
        device: str,
        whole: str = "flow",
        block: str = "1D",
        workers: int = 2,
        replicates: int = 1000,
    ) -> None:
        self.moments, self.models, self.block = moments, models, block
        self.how: dict[str, Any] = {"workers": workers, "replicates": replicates}
        all_of = [entry.retriever for entry in models]
        self.times: NDArray[np.datetime64] = moments.times(all_of)
        self.truth = truth_of(moments, all_of[0], self.times, work)
        self.folders: dict[str, Path] = {}
        self.described: dict[str, page.Described] = {}
        for entry in models:
            made = dict(retrieved(entry, moments, self.times, work, members=members, seed=seed, device=device))
            count = entry.members(members)
            products = PRODUCTS if entry.name == whole else _USUAL
            self.folders |= {
                name: made[name] for name in made if name == entry.name or name in _of_model(entry, products)
            }
            one, every = (self._evaluations(entry, number) for number in (1, count))
            self.described[entry.name] = page.Described(entry.model, "draw" if count > 1 else "field", one, count)
            if count > 1:
                for product in ("mean", *products):
                    self.described[f"{entry.name} {product}"] = page.Described(entry.model, product, every, 0)
        self.found = self._verified(work)

    def _evaluations(self, entry: Entry, members: int) -> int:
        whole = self.moments.scenes(entry.retriever)
        index = int(np.flatnonzero(whole.times == self.times[0])[0])
        window = [(0, min(_SMALL, side)) for side in whole.grid.shape]
        return evaluations(entry, whole.condition([index], *window), members)

    def _verified(self, work: Path) -> Verification:
        estimates = [_subject(name, folder) for name, folder in self.folders.items()]
        radar = _subject("radar", self.truth)
        # A tile must fit beside what the radar does not see at the edges.
        window = min(_WINDOW, 1 << ((min(radar.grid.shape) * 3 // 4).bit_length() - 1))
        settings = Settings(thresholds=_THRESHOLDS, scores=(*_SCORES, *_ENSEMBLE), window=window)
        return verify(radar, estimates, settings, work / "parts", block=self.block, **self.how)

    @property
    def named(self) -> dict[str, page.Described]:
        """Estimates that were judged, in the order of the tables: each model beside what is made of it."""
        held = {str(name) for name in self.found.scores["event"]["estimate"].values}
        return {name: one for name, one in self.described.items() if name in held}


def _of_model(entry: Entry, products: Sequence[str]) -> list[str]:
    """Names of fields made of a model's members."""
    return [f"{entry.name} {product}" for product in products]


def _subject(name: str, folder: Path) -> Subject:
    return subject(f"{name}={folder}", Reading(None, None, None), {})


def judge(
    judgement: Judgement, pairs: Sequence[tuple[str, str]], goals: Sequence[str], command: str, *, brief: bool = False
) -> str:
    """Tables of a judgement as Markdown.

    Parameters
    ----------
    judgement
        What was found.
    pairs
        Who is compared with whom.
    goals
        Names of the flow, the regression and the rival; no table of goals where one is not there.
    command
        That was typed.
    brief
        One table and the differences alone.
    """
    scores, named, facts = judgement.found.scores, judgement.named, judgement.found.facts
    told = {
        "split": judgement.moments.split,
        "moments": judgement.times.size,
        "days": facts["days"],
        "pixels": facts["pixels"],
        "intervals": f"{facts['level']:.0%}, blocks of {facts['block']} ({facts['blocks']} of them)",
    }
    if brief:
        parts = [page.head(command, told), page.brief(scores, named)]
        return "\n\n".join([*(part.strip() for part in parts), *_differences(scores, named, pairs)])
    parts = [page.head(command, told), "**Where the rain is**", page.where(scores, named)]
    parts += ["**What rain it is**", page.what(scores, named), "**How sure it is**", page.how_sure(scores, named)]
    parts += _differences(scores, named, pairs)
    parts += ["**Who is best at what**", page.winners(scores, list(named))]
    if all(name in named for name in goals):
        parts += ["**What was asked for**", page.goals_table(page.goals(scores, named, *goals))]
    return "\n\n".join(part.strip() for part in parts)


def _differences(scores: Scores, named: Mapping[str, page.Described], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Differences between pairs that were judged, with a heading."""
    known = [(one, other) for one, other in pairs if one in named and other in named]
    return ["**Differences**, paired by day", page.differences(scores, known).strip()] if known else []


def points_of(judgement: Judgement, reference: str, seconds: dict[str, float], flow: str) -> xr.Dataset:
    """Place and kind of every model, and of what is made of the members of the flow, for the figure.

    Parameters
    ----------
    judgement
        What was found.
    reference
        Whose place is 0.
    seconds
        Of one member, by model; what is not there was not timed.
    flow
        Name of the flow.
    """
    scores, named = judgement.found.scores, judgement.named
    sampling = {entry.name: entry.sampling.noise_scale for entry in judgement.models}
    rows = []
    for name, one in named.items():
        if (one.product not in ("draw", "field") and one.model != flow) or one.product == "median":
            continue
        place = series(
            scores["event"], "critical_success_index_difference", estimate=name, reference=reference, threshold=1.0
        )
        kind = series(scores["axes"], "realism_error", estimate=name)
        source = next(e.name for e in judgement.models if name in (e.name, *_of_model(e, ("mean", *PRODUCTS))))
        members = judgement.described[source].members if one.product not in ("draw", "field") else 1
        spent = seconds.get(source, np.nan) * members
        cross = [float(np.asarray(part)) for part in (*place, *kind)]
        rows.append((one.model, one.product, one.evaluations, sampling[source], spent, *cross))
    columns = ("model", "product", "evaluations", "noise_scale", "seconds")
    names = (*columns, "place", "place_low", "place_high", "kind", "kind_low", "kind_high")
    made = xr.Dataset({name: ("point", [row[k] for row in rows]) for k, name in enumerate(names)})
    words = f"critical success index, rain of at least 1 mm h⁻¹, less that of {reference}"
    return made.assign_attrs(place=words, kind="mean error of spectrum and tail")


def scene_of(judgement: Judgement, drawn: Sequence[str], flow: str) -> xr.Dataset:
    """The rainiest moment, for the figure of cases.

    Parameters
    ----------
    judgement
        What was found.
    drawn
        Models of which one field is shown before the flow.
    flow
        Of which members, mean and probability are shown.
    """
    cases = judgement.found.cases
    stamp = np.datetime64(cases["time"].item() if cases is not None else judgement.times[0], "ns")

    def rain(folder: Path) -> xr.DataArray:
        with xr.open_dataset(folder / f"{stamp.astype('datetime64[D]')}.nc", engine="h5netcdf") as held:
            return held["rain_rate"].sel(time=stamp).load()

    radar = rain(judgement.truth)
    fields = {}
    for name in drawn:
        field = rain(judgement.folders[name])
        fields[name] = field.isel(member=0).values if "member" in field.dims else field.values
    scenes = judgement.moments.scenes(judgement.models[0].retriever)
    image = scenes.newest(int(np.flatnonzero(scenes.times == stamp)[0]))
    made = panels(radar.values, fields, rain(judgement.folders[flow]).values, flow, image, _SHOWN)
    return made.assign_coords({**{name: radar.coords[name] for name in ("y", "x", "crs")}, "time": stamp})


def figures(judgement: Judgement, folder: Path, prefix: str, names: argparse.Namespace) -> None:
    """Draw everything as PNG.

    Parameters
    ----------
    judgement
        What was found.
    folder, prefix
        Where: ``folder/prefix_axes.png`` and so on.
    names
        With ``flow``, ``rival``, ``regression`` and ``work``.
    """
    scores, named = judgement.found.scores, judgement.named
    folder.mkdir(parents=True, exist_ok=True)

    def path(what: str) -> Path:
        return folder / f"{prefix}_{what}.png"

    if names.regression in named:
        held = names.work / timing.RESULT
        spent = json.loads(held.read_text()) if held.exists() else {}
        seconds = {name: float(value) for name, value in spent.get("seconds", {}).items()}
        draw_place_and_kind(points_of(judgement, names.regression, seconds, names.flow), path("axes"), force=True)
    plain = [entry.name for entry in judgement.models if not entry.changes.keys() - {"members"}]
    drawn = [name for name in plain if name in named]
    if drawable(scores, "spectrum", "spectral_ratio"):
        draw_spectral_ratios(scores, path("spectra"), names=(*drawn, f"{names.flow} mean"), force=True)
    if names.flow in named and named[names.flow].members >= _SHOWN:
        others = [name for name in (names.regression, names.rival) if name in judgement.folders]
        draw_retrievals(scene_of(judgement, others, names.flow), path("cases"), force=True)
    few = {score: _of(held, drawn) for score, held in scores.items()}
    if any(named[name].product == "draw" for name in drawn):
        draw_ranks(few, path("ranks"), force=True)
        draw_spread_skill(few, path("spread"), force=True)
        draw_reliability(few, path("reliability"), force=True)
        draw_replicate(few, path("replicate"), force=True)


def _of(held: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """A score of some estimates."""
    return held.sel(estimate=[name for name in names if name in held["estimate"].values])


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge or time; 0 if it went well."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--models", nargs="*", default=[], metavar="[NAME=]RUN[@KEY=VALUE,…]", help="all if not given")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--moments", type=int, default=None, help="so many, spread evenly; all if not given")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pairs", nargs="*", default=[], metavar="ONE:OTHER", help="differences to tell")
    for name in ("flow", "regression", "rival"):
        usual = {"flow": "flow", "regression": "unet", "rival": "ddpm"}[name]
        parser.add_argument(f"--{name}", default=usual, help=f"which model is the {name}")
    parser.add_argument("--block", default="1D", help="of the bootstrap; auto or hours where there is but one day")
    parser.add_argument("--workers", type=int, default=2, help="processes of the verification")
    parser.add_argument("--replicates", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="world", help="section of the file, and beginning of the figures' names")
    parser.add_argument("--work", type=Path, default=Path("retrieval-work"), help="folder of what was retrieved")
    parser.add_argument("--out", type=Path, default=_ROOT / "benchmarks/RETRIEVAL.md")
    parser.add_argument("--images", type=Path, default=_ROOT / "docs/images")
    parser.add_argument("--images-variable", default=IMAGES, help="of the store")
    parser.add_argument("--rain-variable", default=RAIN, help="of the store")
    parser.add_argument(
        "--clouds", metavar="ONE:OTHER", help="differences by what the clouds did, as the section clouds"
    )
    parser.add_argument("--brief", action="store_true", help="one table and the differences, no figures")
    parser.add_argument("--timing", action="store_true", help="measure seconds of a field instead, one thread")
    parser.add_argument("--size", type=int, default=512, help="side of the field that is timed")
    parser.add_argument("--timed", type=int, default=20, help="most evaluations of a chain that are timed; 0 for all")
    given = parser.parse_args(typed)
    given.work.mkdir(parents=True, exist_ok=True)
    models = entries(given.models, given.runs)
    words = (Path(word).name if Path(word).is_absolute() else word for word in typed)
    command = "python -m benchmarks.retrieval " + shlex.join(words)
    if given.timing:
        rows = timing.measured(models, given.size, given.timed)
        timing.write(rows, given.work)
        text = page.head(command, {"field": f"{given.size} x {given.size} pixels", "threads": torch.get_num_threads()})
        page.put(given.out, f"{given.name} timing", f"{text}\n{timing.table(rows, given.rival)}")
        return 0
    judgement = Judgement(
        Moments(Store(given.store), given.split, given.moments, given.images_variable, given.rain_variable),
        models,
        given.work,
        members=given.members,
        seed=given.seed,
        device=given.device,
        whole=given.flow,
        block=given.block,
        workers=given.workers,
        replicates=given.replicates,
    )
    pairs = [(one, other) for one, _, other in (text.partition(":") for text in given.pairs)]
    pairs = pairs or [(given.flow, given.rival), (f"{given.flow} mean", given.regression)]
    goals = (given.flow, given.regression, given.rival)
    text = judge(judgement, pairs, goals, command, brief=given.brief)
    page.put(given.out, given.name, text)
    if not given.brief:
        figures(judgement, given.images, f"retrieval_{given.name}", given)
    print(text)
    if given.clouds:
        one, _, other = given.clouds.partition(":")
        entry = next(entry for entry in models if entry.name == one)
        folders = [(name, judgement.folders[name]) for name in (one, other)]
        made = clouds(entry, judgement.moments, judgement.times, judgement.truth, folders, given.work)
        page.put(given.out, "clouds", f"{page.head(command, {'split': given.split})}\n{made}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
