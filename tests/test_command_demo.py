import io
import json
import re

import numpy as np
import pytest
import torch
import xarray as xr
from rich.console import Console

from learnt import write_scene_runs
from ondee.cli import main
from ondee.command import demo
from ondee.command.demo import SETTINGS, world_of
from ondee.errors import ConfigError
from ondee.terminal import show_retrievals
from ondee.terminal.faults import outcome_words
from ondee.validation.outcome import Outcome
from ondee.validation.result import read_validation
from ondee.world.faults import sizes

SEED = 4
torch.set_num_threads(1)


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main(["demo", *map(str, words)])
    return ended.value.code or 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One small demo, its answer as JSON; its models have learnt nothing, and are quick."""
    out = tmp_path_factory.mktemp("made") / "demo"
    models = write_scene_runs(tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ondee.command.demo.MODELS", models)
        printed = []
        patch.setattr("sys.stdout.write", printed.append, raising=False)
        code = run("--out", out, "--size", 160, "--seed", SEED, "--workers", 2, "--json")
    return out, code, json.loads("".join(printed))


def test_the_planted_faults_are_found_with_their_size(made):
    _, code, told = made
    assert code == 0
    planted = sizes(world_of(160, SEED).planted)
    answers = {(one["sensor"], one["kind"]): one for one in told["outcomes"] if one["planted"] is not None}
    assert answers.keys() == planted.keys() and len(planted) == 3
    for place, size in planted.items():
        one = answers[place]
        assert one["verdict"] == "found" and one["planted"] == size
        assert abs(one["value"] - size) < {"bias": 0.25, "clock": 2.5}.get(place[1], 0.3), one
    assert told["quiet"] + len(told["outcomes"]) == 20


def test_the_page_says_what_was_planted_and_the_archive_is_gone(made):
    out, _, told = made
    text = (out / "report.html").read_text(encoding="utf-8")
    assert told["report"] == str(out / "report.html")
    assert (
        "The truth is known. Planted: " in text and "planted × 1.5" in text and "planted +1" in text.replace("−", "+")
    )
    assert {path.name for path in out.iterdir()} == {
        "world.yaml", "half-hours.yaml", "half-hours.zarr", "validation", "report.html", "figures",
    }  # fmt: skip
    found = read_validation(out / "validation")
    assert found.facts["half_hours"] == 60 and found.facts["days"] == 10
    assert found.facts["command"].endswith(f"--size 160 --seed {SEED}")
    assert found.groups["scores/minute"].sizes["minute"] == len(SETTINGS.minutes) - 1 == 3
    assert found.groups["cases"].sizes["time"] == SETTINGS.cases == 24


def test_the_page_shows_rain_from_infrared_and_the_answer_holds_its_numbers(made):
    out, _, told = made
    text = (out / "report.html").read_text(encoding="utf-8")
    assert text.count('<section id="retrieval">') == 1 and '<a href="#retrieval">rain from infrared</a>' in text
    assert text.index('id="retrieval"') < text.index('id="blind"')
    numbers = told["retrieved"]
    assert numbers["coordinates"]["estimate"] == ["unet", "ddpm", "flow, a draw", "flow mean"]
    assert numbers["variables"]["evaluations"]["values"] == [1, 3, 2, 32] and numbers["attributes"]["moments"] >= 4


def test_without_torch_the_demo_goes_on_and_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert demo._retrieved(tmp_path, SEED) is None and not any(tmp_path.iterdir())
    console = Console(record=True, width=120, file=io.StringIO())
    show_retrievals(None, console)
    assert "pip install 'ondee[retrieval]'" in console.export_text()


def test_the_terminal_shows_every_estimate():
    console = Console(record=True, width=120, file=io.StringIO())
    numbers = xr.Dataset(
        {
            "critical_success_index": (("estimate", "threshold"), [[0.52, 0.4], [np.nan, 0.3]]),
            "wet_fraction_ratio": ("estimate", [0.9, 1.2]),
            "largest_ratio": ("estimate", [0.3, 1.4]),
            "evaluations": ("estimate", [1, 500]),
            "seconds": ("estimate", [0.01, 5.0]),
        },
        coords={"estimate": ["unet", "ddpm"], "threshold": [0.1, 1.0]},
        attrs={"moments": 4, "members": 1, "size": 256},
    )
    show_retrievals(numbers, console)
    lines = console.export_text().splitlines()
    assert "4 moments of an event that no model has seen, over 256 km; 1 member of the flow" in lines[0]
    assert lines[2].split() == ["unet", "0.52", "0.40", "0.90", "0.30", "1", "0.01"]
    assert lines[3].split() == ["ddpm", "–", "0.30", "1.20", "1.40", "500", "5.00"]


def test_results_are_not_replaced_unasked(made, capsys):
    out, *_ = made
    before = (out / "report.html").read_bytes()
    assert run("--out", out, "--size", 160) == 1
    told = capsys.readouterr().err
    assert "of an earlier demo" in told and "--force" in told
    assert (out / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "words"), [((150, 1), "150 km"), ((161, 1), "161 km"), ((256, -1), "the seed is -1")]
)
def test_a_demo_that_cannot_be_made_is_refused(given, words):
    with pytest.raises(ConfigError, match=words) as refused:
        world_of(*given)
    assert refused.value.fix


def test_the_seed_draws_which_sensors_are_faulty_and_which_way():
    planted = [sizes(world_of(256, seed).planted) for seed in range(8)]
    assert all(len(one) == 3 and len({sensor for sensor, _ in one}) == 3 for one in planted)
    assert len({tuple(sorted(one.items())) for one in planted}) > 4
    for one in planted:
        kinds = {kind: size for (_, kind), size in one.items()}
        assert kinds["bias"] == 1.5 and abs(kinds["clock"]) == 10
        assert abs(kinds.get("east", kinds.get("north"))) == 1
    assert sizes(world_of(256, 3).planted) == sizes(world_of(160, 3).planted)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            Outcome("MHS", "bias", 1.5, 1.3, 1.2, 1.4, "found"),
            "MHS, rain × 1.5: found, 30 % too much rain [20, 40]; the",
        ),
        (Outcome("MHS", "east", -1.0, -0.9, -1.1, -0.7, "found"), "MHS, 1 cell west: found, 0.90 cells too far west ["),
        (
            Outcome("MHS", "clock", -10.0, 0.0, -1.0, 1.0, "clear"),
            "MHS, clock 10 min early: not found (clear), 0.0 min",
        ),
    ],
)
def test_each_fault_has_a_sentence(one, words):
    assert outcome_words(one).startswith(words)
    missed = re.search("misses what was planted", outcome_words(one))
    assert bool(missed) == (not one.held)
