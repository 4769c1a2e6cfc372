"""What the README shows is run, and the configurations that ship can be read."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ondee.command.demo import SETTINGS, world_of
from ondee.command.storm import LEADS
from ondee.validation.result import read_validation
from ondee.world.faults import sizes

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which `ondee demo` has run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "told.json").write_text(run(["demo", "--out", "demo", "--keep", "--json"], folder))
    shutil.copytree(ROOT / "configs", folder / "configs")
    return folder


@pytest.fixture(scope="module")
def told(place):
    """What the demo answered."""
    return json.loads((place / "told.json").read_text())


def run(arguments, folder):
    done = subprocess.run([sys.executable, "-m", "ondee.cli", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_finds_the_planted_faults_with_their_size(told):
    planted = sizes(world_of().planted)
    answers = {(one["sensor"], one["kind"]): one for one in told["outcomes"]}
    assert answers.keys() == planted.keys() and len(planted) == 3 and told["quiet"] == 17
    for place, size in planted.items():
        one = answers[place]
        assert one["verdict"] == "found" and one["planted"] == size
        assert abs(one["value"] - size) < {"bias": 0.25, "clock": 2.5}.get(place[1], 0.3), one


def test_the_page_of_the_demo_says_what_was_planted(place, told):
    out = place / "demo"
    text = (out / "report.html").read_text(encoding="utf-8")
    assert told["report"] == "demo/report.html" and "The truth is known. Planted: " in text
    assert "planted × 1.5" in text and "planted +1" in text.replace("−", "+")
    assert {"world.yaml", "half-hours.zarr", "validation", "report.html", "figures"} <= {f.name for f in out.iterdir()}
    found = read_validation(out / "validation")
    assert found.facts["half_hours"] == 60 and found.facts["days"] == 10
    assert found.facts["command"].endswith("--size 256 --seed 1")
    assert found.groups["scores/minute"].sizes["minute"] == len(SETTINGS.minutes) - 1 == 3
    assert found.groups["cases"].sizes["time"] == SETTINGS.cases == 24


def test_the_page_of_the_demo_shows_rain_from_infrared(place, told):
    text = (place / "demo/report.html").read_text(encoding="utf-8")
    assert text.count('<section id="retrieval">') == 1 and '<a href="#retrieval">rain from infrared</a>' in text
    assert text.index('id="retrieval"') < text.index('id="blind"')
    numbers = told["retrieved"]
    assert numbers["coordinates"]["estimate"] == ["unet", "ddpm", "flow, a draw", "flow mean"]
    evaluations = numbers["variables"]["evaluations"]["values"]
    assert evaluations[:3] == [1, 500, 7] and evaluations[3] == 7 * numbers["attributes"]["members"]
    assert numbers["attributes"]["moments"] >= 4


def test_the_page_of_the_demo_shows_a_storm_in_latents(place, told):
    text = (place / "demo/report.html").read_text(encoding="utf-8")
    assert text.count('<section id="latents">') == 1 and '<a href="#latents">latents of rain</a>' in text
    assert text.index('id="retrieval"') < text.index('id="latents"') < text.index('id="blind"')
    numbers = told["forecast"]
    assert numbers["coordinates"]["lead"] == list(LEADS) and numbers["attributes"]["run"] == "rain"
    values = {name: numbers["variables"][name]["values"] for name in ("reconstructed", "rolled", "persistent")}
    assert 0 < values["reconstructed"] <= 1 and all(0 <= skill <= 1 for skill in values["rolled"])
    assert f"last frame left as it is {values['persistent'][0]:.2f}" in text


def test_python_runs_as_it_stands(place):
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) <= 12
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mean, coverage = map(float, done.stdout.split())
    assert 0 < mean < 5 and 0 <= coverage <= 1
    assert (place / "demo/half_hour.png").exists()


def commands():
    lines = [line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("ondee ")]


def test_there_are_commands_and_configurations():
    assert len(commands()) >= 5 and len(list((ROOT / "configs").glob("*.yaml"))) >= 3


@pytest.mark.parametrize("line", commands())
def test_command_runs_as_it_stands(place, line):
    assert run(line.split()[1:], place)


def test_make_knows_the_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE) or target == "it", target


def test_what_the_readme_points_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configuration_can_be_read(path):
    from ondee.config import load
    from ondee.training import read
    from ondee.validation.configuration import load_settings
    from ondee.world.settings import load_world

    if path.name.startswith("world-"):
        assert load_world(path).events >= 1
    elif path.name == "validation.yaml":
        assert load_settings(path, {}).thresholds
    elif path.name.startswith(("train-", "tvae-")):
        assert read(path).steps
    else:
        assert load(path).inputs
