import io
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from ondee.cli import main
from ondee.command import demo
from ondee.command.demo import world_of
from ondee.errors import ConfigError
from ondee.terminal import show_forecast, show_retrievals
from ondee.terminal.faults import outcome_words
from ondee.validation.outcome import Outcome
from ondee.world.faults import sizes


def test_what_was_simulated_is_removed_and_results_stay(tmp_path):
    for name in ("radar", "imerg", "validation", "infrared", "storm"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("a")
    (tmp_path / "report.html").write_text("")
    demo._forget(tmp_path, demo._ARCHIVE)
    assert {path.name for path in tmp_path.iterdir()} == {"validation", "report.html"}


def test_without_torch_the_demo_goes_on_and_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert demo._retrieved(tmp_path, 4) is None and demo._rolled(tmp_path, world_of()) is None
    assert not any(tmp_path.iterdir())
    for show in (show_retrievals, show_forecast):
        console = Console(record=True, width=120, file=io.StringIO())
        show(None, console)
        assert "pip install 'ondee[retrieval]'" in console.export_text()


def test_the_terminal_says_how_many_faults_were_found_and_where_to_read_on():
    console = Console(record=True, width=200, file=io.StringIO())
    found = Outcome("MHS", "bias", 1.5, 1.4, 1.3, 1.6, "found")
    missed = Outcome("GMI", "clock", 10.0, 0.0, -1.0, 1.0, "clear")
    demo.show(demo.Demo(Path("demo/report.html"), (found, missed), 18, None), console)
    text = console.export_text()
    assert "1 of 2 planted faults found" in text and "none of them accused" in text
    assert "Open demo/report.html" in text


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


def test_the_terminal_tells_of_the_storm_and_json_holds_its_numbers():
    numbers = xr.Dataset(
        {"reconstructed": 0.83, "rolled": ("lead", [0.7, 0.61]), "persistent": ("lead", [0.77, np.nan])},
        coords={"lead": [10, 30]},
    )
    console = Console(record=True, width=300, file=io.StringIO())
    show_forecast(numbers, console)
    text = console.export_text()
    assert "one storm, which proves nothing" in text and "0.83" in text and "30 min ahead 0.61 and undefined" in text
    plain = demo.Demo(Path("demo/report.html"), (), 20, None, numbers).as_dict()
    assert plain["retrieved"] is None and plain["forecast"]["variables"]["persistent"]["values"] == [0.77, None]


def test_results_are_not_replaced_unasked(tmp_path, capsys):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--out", str(tmp_path), "--size", "160"])
    told = capsys.readouterr().err
    assert ended.value.code == 1 and "of an earlier demo" in told and "--force" in told
    assert (tmp_path / "report.html").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


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


def test_the_largest_demo_is_a_world_and_a_larger_one_is_refused():
    assert world_of(1800).domain.sides[0] == 1800
    with pytest.raises(ConfigError, match="1802 km"):
        world_of(1802)
