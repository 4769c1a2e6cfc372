"""Runs whose files are cut, garbled or not there: whoever reads them says what, where and how to mend it."""

import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from learnt import write_scene_runs
from ondee import run
from ondee.cli import main
from ondee.errors import OndeeError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A finished run of a flow."""
    return write_scene_runs(tmp_path_factory.mktemp("sound"))[-1]


@pytest.fixture
def damaged(sound, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(sound, tmp_path / "flow")


def told(capsys, *arguments):
    """The three lines with which a command ends."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    err = capsys.readouterr().err
    assert ended.value.code == 1 and [line[:7] for line in err.splitlines()] == ["error  ", "where  ", "fix    "], err
    return err


def refused(capsys, folder, *words):
    """A retrieval with a damaged run is refused before its scenes are looked at."""
    err = told(capsys, "retrieve", folder, "scenes.zarr", "--out", folder.parent / "rain.zarr")
    assert all(word in err for word in (str(folder), *words))
    assert not list(folder.parent.glob("rain*"))


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 200, 0.1, 0.5, 0.9, -100, -1])
def test_weights_that_are_cut(damaged, capsys, kept):
    path = damaged / run.WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    refused(capsys, damaged, run.WEIGHTS, "cannot be read", "copy the run again")


@pytest.mark.parametrize("start", [b"\xff" * 8, b"\x00" * 8, b"PK\x03\x04\x00\x00\x00\x00", b"\x40" + b"\x00" * 7])
def test_weights_whose_beginning_is_garbled(damaged, capsys, start):
    path = damaged / run.WEIGHTS
    path.write_bytes(start + path.read_bytes()[len(start) :])
    refused(capsys, damaged, run.WEIGHTS, "copy the run again")


def test_weights_without_a_name_or_of_another_size(damaged, capsys):
    path = damaged / run.WEIGHTS
    state = load_file(path)
    name = next(name for name in state if name.startswith("network"))
    for changed in ({name: torch.zeros(3)}, {"new": torch.zeros(3)}):
        save_file(state | changed, path)
        refused(capsys, damaged, run.WEIGHTS, *changed)
    del state[name]
    save_file(state, path)
    refused(capsys, damaged, run.WEIGHTS, name)


@pytest.mark.parametrize("name", [run.WEIGHTS, run.CONFIG])
@pytest.mark.parametrize("kind", ["absent", "folder"])
def test_a_file_that_is_not_there(damaged, capsys, name, kind):
    (damaged / name).unlink()
    if kind == "folder":
        (damaged / name).mkdir()
    refused(capsys, damaged, "its training is not finished" if name == run.WEIGHTS else "there is no run")


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe\x00", b"- 1\n", b"model: flow\n", b"model: [flow\n", b"model: &a [*a]\n", b"\x00\x01", b"{}"],
)
def test_a_configuration_that_is_none(damaged, capsys, text):
    (damaged / run.CONFIG).write_bytes(text)
    refused(capsys, damaged, run.CONFIG)


def test_a_configuration_that_is_cut(damaged, capsys):
    """Wherever it is cut, nothing that its values depend on is filled in silently."""
    path = damaged / run.CONFIG
    whole = path.read_text()
    last = whole.index("training:")
    for kept in range(0, last, 7):
        path.write_text(whole[:kept])
        refused(capsys, damaged, run.CONFIG)
    path.write_text(whole[:last] + "[" * 5000)
    refused(capsys, damaged, run.CONFIG, "cannot be read")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(damaged, capsys, value):
    path = damaged / run.WEIGHTS
    state = load_file(path)
    name = next(name for name in state if name.startswith("network"))
    state[name].view(-1)[0] = value
    save_file(state, path)
    refused(capsys, damaged, run.WEIGHTS, "hold no numbers", name)


def leaves(tree, above=()):
    """Paths to all values of nested mappings and lists, and to those themselves."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in parts:
        yield (*above, key)
        yield from leaves(value, (*above, key))


@pytest.mark.parametrize(
    "odd",
    [None, "x", -1, 0, 10**400, float("nan"), float("inf"), [], {}, [[1]], {"a": 1}, True],
    ids=lambda odd: repr(odd)[:5],
)
def test_any_value_of_a_configuration_may_be_odd(damaged, odd):
    """A run is refused in three lines or taken, whatever its configuration says."""
    path = damaged / run.CONFIG
    config = yaml.safe_load(path.read_text())
    for *above, last in list(leaves(config)):
        changed = yaml.safe_load(path.read_text())
        place = changed
        for key in above:
            place = place[key]
        place[last] = odd
        copy = damaged / "odd"
        copy.mkdir(exist_ok=True)
        (copy / run.CONFIG).write_text(yaml.safe_dump(changed))
        (copy / run.WEIGHTS).write_bytes((damaged / run.WEIGHTS).read_bytes())
        try:
            run.load(copy)
        except OndeeError as error:
            assert str(error).count("\n") == 2


@pytest.mark.parametrize("name", [run.PROVENANCE, run.METRICS, "README.md", "checkpoint.pt"])
def test_what_a_retrieval_does_not_need_may_be_broken(damaged, name):
    (damaged / name).write_bytes(b"\xff{")
    assert run.load(damaged).stochastic
    (damaged / name).unlink()
    assert run.load(damaged).stochastic


def test_a_run_is_no_archive(damaged, capsys):
    for words in (["look", damaged], ["verify", damaged, damaged, "--out", damaged.parent / "scores.nc"]):
        assert str(damaged) in told(capsys, *words)
