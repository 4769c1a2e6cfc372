"""What the README shows is run, and the configurations that ship can be read."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which `ondee demo` has run."""
    folder = tmp_path_factory.mktemp("readme")
    told = run(["demo", "--out", "demo", "--keep"], folder)
    assert "3 of 3 planted faults found" in told and "none of them accused" in told
    shutil.copytree(ROOT / "configs", folder / "configs")
    return folder


def run(arguments, folder):
    done = subprocess.run([sys.executable, "-m", "ondee.cli", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
