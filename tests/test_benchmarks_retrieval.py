"""The judging of retrievals: numbers of the tables are those of the scores, and nothing is retrieved twice."""

import re

import numpy as np
import pytest
import torch
import xarray as xr
from benchmarks import retrieval_page as page
from benchmarks.retrieval import main
from benchmarks.retrieval_clouds import CLASSES, classes_of
from benchmarks.retrieval_fields import Moments, entries, evaluations
from benchmarks.retrieval_timing import condition_of, seconds_of

from learnt import CHANNELS, make_store
from ondee import run, score
from ondee.batches import predictors_of, statistics_of
from ondee.errors import ConfigError
from ondee.retriever import Sampling, flow, unet
from retrieved import randomised

torch.set_num_threads(1)
SMALL = unet.Settings(widths=(8, 16), dropout=0.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store of three days, and runs of two models with random weights."""
    folder = tmp_path_factory.mktemp("judged")
    store = make_store(folder / "store.zarr")
    predictors = predictors_of(store, minutes=(0, 15, 30))
    statistics = statistics_of(store, predictors)
    settings = flow.Settings(widths=(8, 16), mean=SMALL, embedding=8, sampling=Sampling(solver="heun", steps=2))
    models = {
        "unet": unet.RegressionUNet(SMALL, predictors, statistics),
        "flow": flow.Flow(settings, predictors, statistics),
    }
    for name, model in models.items():
        run.save(folder / "runs" / name, randomised(model), model=name, about={})
    return folder


def judged(place, *more):
    fixed = ["--runs", place / "runs", "--work", place / "work", "--out", place / "R.md", "--images", place / "images"]
    fixed += ["--workers", 1, "--replicates", 100]
    return main([str(word) for word in (place / "store.zarr", *fixed, *more)])


@pytest.fixture(scope="module")
def text(place):
    words = ("--models", "unet", "flow", "flow@steps=1,solver=euler", "--members", 3, "--moments", 6, "--rival", "unet")
    more = ("--block", "1h", "--pairs", "flow:flow (steps 1, solver euler)", "flow mean:unet")
    assert judged(place, *words, *more) == 0
    return (place / "R.md").read_text(encoding="utf-8")


def test_the_tables_hold_what_the_scores_say(place, text):
    assert text.startswith("# Retrievals, judged") and "<!-- world -->" in text and "- split: validation" in text
    folders = {name.name.split("-")[0]: name for name in (place / "work").iterdir() if name.is_dir()}
    with xr.open_mfdataset(str(folders["unet"] / "rain/*.nc"), engine="h5netcdf") as held:
        estimate = held["rain_rate"].load()
    with xr.open_mfdataset(str(folders["radar"] / "*.nc"), engine="h5netcdf") as held:
        truth = held["rain_rate"].load()
    assert truth.sizes["time"] == 6 and set(truth["time"].dt.strftime("%F").values) == {"2018-06-06"}
    made = score.finish(score.event(estimate, truth, thresholds=(0.1,)))
    skill = float(made["critical_success_index"].item())
    row = next(line for line in text.splitlines() if line.startswith("| unet | 1 |"))
    assert f"{skill:.3f}" in row.split("|")[3]
    assert "| flow, a draw | 4 |" in text and "| flow (steps 1, solver euler), a draw | 1 |" in text
    assert "| flow mean − unet |" in text and "**Who is best at what**" in text


def test_figures_are_drawn_and_nothing_is_retrieved_twice(place, text):
    names = {path.stem for path in (place / "images").iterdir()}
    assert names == {f"retrieval_world_{what}" for what in
                     ("axes", "spectra", "cases", "ranks", "spread", "reliability", "replicate")}  # fmt: skip
    before = {path: path.stat().st_mtime_ns for path in (place / "work").rglob("2018*.nc")}
    (place / "R.md").write_text(text.replace("- moments: 6", "- moments: 66") + "\nkept\n", encoding="utf-8")
    words = ("--models", "unet", "flow", "--members", 3, "--moments", 6, "--rival", "unet", "--block", "1h", "--brief")
    judged(place, *words)
    after = {path: path.stat().st_mtime_ns for path in (place / "work").rglob("2018*.nc")}
    assert before == after
    again = (place / "R.md").read_text(encoding="utf-8")
    assert "- moments: 66" not in again and again.endswith("kept\n") and again.count("<!-- world -->") == 1


def test_a_draw_can_be_changed_by_name_and_a_wrong_word_is_told(place):
    made = entries(["flow@steps=3,members=2", "quick=flow@solver=euler"], place / "runs")
    assert [entry.name for entry in made] == ["flow (steps 3, members 2)".replace(", members 2", ""), "quick"]
    assert made[0].sampling == Sampling(solver="heun", steps=3) and made[0].members(16) == 2
    assert made[1].sampling.evaluations == 2 and made[1].members(16) == 16
    assert [entry.name for entry in entries([], place / "runs")] == ["flow", "unet"]
    with pytest.raises(ConfigError, match="step"):
        entries(["flow@step=3"], place / "runs")
    with pytest.raises(ConfigError, match="called"):
        entries(["flow", "flow"], place / "runs")


def test_evaluations_are_those_of_one_member_and_long_chains_are_reckoned(place):
    regression, chain = entries(["unet", "flow@solver=euler,steps=40"], place / "runs")
    small = condition_of(chain.retriever, 16)
    assert small.images.shape == (1, 3, len(CHANNELS), 16, 16)
    assert (evaluations(regression, small), evaluations(chain, small)) == (1, 40)
    assert (evaluations(regression, small, 16), evaluations(chain, small, 3)) == (1, 120)
    shared, member, timed = seconds_of(chain, small, 4)
    assert timed == 4 and shared > 0 and member > 0
    _, member, timed = seconds_of(regression, small, 4)
    assert (member, timed) == (0.0, 0)


def test_timing_goes_into_a_section_of_its_own(place, text):
    assert judged(place, "--timing", "--size", 32, "--models", "unet", "flow", "--rival", "flow") == 0
    told = (place / "R.md").read_text(encoding="utf-8")
    section = re.search(r"<!-- world timing -->\n(.*?)<!-- /world timing -->", told, re.DOTALL)[1]
    rows = [line.split("|") for line in section.splitlines() if line.startswith(("| unet", "| flow"))]
    assert [row[1].strip() for row in rows] == ["unet", "flow"]
    assert float(rows[1][-2]) == 1.0 and (place / "work/timing.json").exists()


def test_moments_are_spread_evenly_over_a_split(place):
    from ondee.store import Store

    (entry,) = entries(["unet"], place / "runs")
    moments = Moments(Store(place / "store.zarr"), "test", 3)
    times = moments.times([entry.retriever])
    assert times.size == 3 and np.unique(np.diff(times)).size <= 2
    assert set(times.astype("datetime64[D]").astype(str)) == {"2018-06-08"}


def test_clouds_fall_into_classes_that_miss_nothing_seen():
    now = np.array([220.0, 220.0, 220.0, 290.0, np.nan, 220.0])
    before = np.array([230.0, 221.0, 210.0, 220.0, 220.0, np.nan])
    assert classes_of(now, before).tolist() == [0, 1, 2, 3, -1, -1] and len(CLASSES) == 4


def test_a_section_replaces_its_own_and_no_other(tmp_path):
    path = tmp_path / "R.md"
    page.put(path, "one", "1")
    page.put(path, "one timing", r"2 \1")
    page.put(path, "one", "3")
    held = path.read_text(encoding="utf-8")
    assert "<!-- one -->\n3\n<!-- /one -->" in held and "<!-- one timing -->\n2 \\1\n" in held and "\n1\n" not in held
