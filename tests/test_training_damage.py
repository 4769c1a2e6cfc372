"""Trainings that are to go on from files that are cut, garbled or not there."""

import json
import shutil
import sys
import types

import pytest
import torch
import yaml

from learnt import make_store, write_scene_runs
from ondee import run
from ondee.cli import main
from ondee.training.diary import CHECKPOINT
from ondee.training.lesson import Lesson

torch.set_num_threads(1)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True, scope="module")
def fitted():
    """Nothing is fitted: that takes its time."""
    module = types.ModuleType("ondee.fitting")
    module.fit = lambda retriever, scenes, *, seed: {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ondee.fitting", module)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration of a few small steps."""
    folder = tmp_path_factory.mktemp("damage")
    make_store(folder / "store.zarr")
    words = {
        "store": "store.zarr",
        "model": "unet",
        "settings": {"widths": [8, 16]},
        "predictors": {"minutes": [0, 15], "auxiliary": ["scan_offset"]},
        "patch": 16,
        "batch": 2,
        "steps": 6,
        "warmup": 1,
        "validate_every": 3,
        "validation_samples": 2,
        "checkpoint_every": 2,
        "pictures": False,
        "threads": 1,
        "workers": 0,
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(words))
    return folder / "train.yaml"


def trained(config, folder, *more):
    with pytest.raises(SystemExit) as ended:
        main(["train", str(config), "--out", str(folder), "--json", *map(str, more)])
    return ended.value.code


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "unet"
    assert trained(config, folder) == 0
    return folder


@pytest.fixture(scope="module")
def begun(config, tmp_path_factory):
    """A training that was killed in its fifth step, after four were kept."""
    folder = tmp_path_factory.mktemp("begun") / "unet"
    usual = Lesson.training_step

    def dies(self, batch, batch_idx):
        if self.first + batch_idx == 5:
            raise Killed
        return usual(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lesson, "training_step", dies)
        with pytest.raises(Killed):
            main(["train", str(config), "--out", str(folder)])
    return folder


def refused(config, folder, capsys, *words):
    """The training says in three lines what is wrong."""
    capsys.readouterr()
    code, err = trained(config, folder), capsys.readouterr().err
    assert code == 1 and [line[:7] for line in err.splitlines()] == ["error  ", "where  ", "fix    "], err
    assert all(word in err for word in words), err


def goes_on(config, folder, capsys):
    """The step from which the training went on to its end."""
    capsys.readouterr()
    assert trained(config, folder) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 6 and run.load(folder)
    return found["first"]


# ---- a finished run


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'{"steps": 6}', b'{"steps": "many", "seconds": {"training": 1}}', b"\xff\xfe"]
)
def test_provenance_of_a_finished_run(config, finished, tmp_path, capsys, text):
    folder = shutil.copytree(finished, tmp_path / "unet")
    (folder / run.PROVENANCE).write_bytes(text)
    refused(config, folder, capsys, run.PROVENANCE, "cannot be read")
    (folder / run.PROVENANCE).unlink()
    refused(config, folder, capsys, run.PROVENANCE)


def test_weights_of_a_finished_run(config, finished, tmp_path, capsys):
    folder = shutil.copytree(finished, tmp_path / "unet")
    (folder / run.WEIGHTS).write_bytes((finished / run.WEIGHTS).read_bytes()[:-8])
    refused(config, folder, capsys, run.WEIGHTS, "cannot be read")


@pytest.mark.parametrize("text", ["", "5", "[" * 5000, "model: unet\n", "training: 7\n", "\x00"])
def test_a_configuration_that_cannot_be_read_is_not_written_over(config, finished, tmp_path, capsys, text):
    folder = shutil.copytree(finished, tmp_path / "unet")
    (folder / run.CONFIG).write_text(text)
    refused(config, folder, capsys, "tells of no training", "--force")
    assert (folder / run.CONFIG).read_text() == text
    assert trained(config, folder, "--force") == 0 and run.load(folder)


def test_a_part_of_a_damaged_run_is_not_taken(config, tmp_path, capsys):
    part = write_scene_runs(tmp_path)[0]
    words = yaml.safe_load(config.read_text()) | {"model": "flow", "parts": {"mean": part}}
    words["settings"] = {"widths": [8, 16], "embedding": 8}
    path = tmp_path / "flow.yaml"
    path.write_text(yaml.safe_dump(words | {"store": str(config.parent / "store.zarr")}))
    weights = tmp_path / "unet" / run.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:500])
    refused(path, tmp_path / "out", capsys, str(weights), "cannot be read")


# ---- one that is to go on


@pytest.mark.parametrize("kept", [0, 1, 1000, 0.5, -1])
def test_a_state_that_is_cut(config, begun, tmp_path, capsys, kept):
    folder = shutil.copytree(begun, tmp_path / "unet")
    path = folder / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    refused(config, folder, capsys, CHECKPOINT, "cannot be read", "remove this file")


@pytest.mark.parametrize("state", [None, 5, [1, 2], {}, {"step": 4}, {"step": "4"}])
def test_a_state_that_is_none(config, begun, tmp_path, capsys, state):
    folder = shutil.copytree(begun, tmp_path / "unet")
    torch.save(state, folder / CHECKPOINT)
    refused(config, folder, capsys, CHECKPOINT, "lacks", "remove this file")
    (folder / CHECKPOINT).unlink()
    assert goes_on(config, folder, capsys) == 0


@pytest.mark.parametrize("part", ["weights", "average"])
@pytest.mark.parametrize("change", ["shape", "absent", "more", "none"])
def test_a_state_of_another_model(config, begun, tmp_path, capsys, part, change):
    folder = shutil.copytree(begun, tmp_path / "unet")
    state = torch.load(folder / CHECKPOINT, weights_only=True)
    name = next(iter(state[part]))
    if change == "absent":
        del state[part][name]
    else:
        changed = {"shape": torch.zeros(2, 2, 2), "more": torch.zeros(1), "none": None}[change]
        state[part]["new" if change == "more" else name] = changed
    torch.save(state, folder / CHECKPOINT)
    refused(config, folder, capsys, CHECKPOINT, "of another model", "remove this file")


@pytest.mark.parametrize(
    "line", [b"5", b"[]", b"{", b"null", b'{"loss": 1}', b'{"step": "x"}', b"\xff\xfe", b"[" * 5000]
)
def test_a_broken_line_of_metrics(config, begun, tmp_path, capsys, line):
    """In the middle it is refused; as the last line it was cut short, and the training goes on."""
    folder = shutil.copytree(begun, tmp_path / "unet")
    path = folder / run.METRICS
    whole = path.read_bytes()
    path.write_bytes(line + b"\n" + whole)
    refused(config, folder, capsys, run.METRICS, "line 1 of the metrics", "remove the line")
    path.write_bytes(whole + line)
    assert goes_on(config, folder, capsys) == 4
    assert [entry["step"] for entry in run.metrics_of(path)][-1] == 6


def test_a_training_without_its_metrics_goes_on(config, begun, tmp_path, capsys):
    folder = shutil.copytree(begun, tmp_path / "unet")
    (folder / run.METRICS).unlink()
    assert goes_on(config, folder, capsys) == 4
