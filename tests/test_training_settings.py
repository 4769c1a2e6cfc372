import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ondee.config import load
from ondee.errors import ConfigError
from ondee.training.settings import TrainConfig, differences, read

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("train-*.yaml"))


def written(folder, text):
    path = folder / "train.yaml"
    path.write_text(text)
    return path


def refused(folder, text, **given):
    with pytest.raises(ConfigError) as caught:
        read(written(folder, text), **given)
    return caught.value


def test_neither_the_settings_nor_the_command_line_load_torch():
    code = "import sys, ondee.training, ondee.cli; print([n for n in ('torch', 'lightning') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_that_ship_can_be_read(path):
    config = read(path)
    assert Path(config.store).is_absolute() and Path(config.run).name == path.stem
    assert set(config.parts) == {
        name for name in ("mean", "flow") if name in yaml.safe_load(path.read_text()).get("parts", {})
    }


def test_paths_are_beside_the_file_and_those_given_beside_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "configs", "store: ../a.zarr\nmodel: flow\nparts: { mean: unet }\n")
    config = read(path)
    assert (config.store, config.run) == (str(tmp_path / "a.zarr"), str(tmp_path / "configs" / "train"))
    assert config.parts == {"mean": str(tmp_path / "configs" / "unet")}
    config = read(path, store="b.zarr", run="here", parts={"mean": "other"}, steps=7)
    assert (config.store, config.run) == (str(tmp_path / "b.zarr"), str(tmp_path / "here"))
    assert (config.parts, config.steps) == ({"mean": str(tmp_path / "other")}, 7)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("store: a\nmodel: unet\nbacth: 4\n", "line 3, bacth", "did you mean 'batch'"),
        ("store: a\nmodel: unet\nsettings:\n  width: [8]\n", "line 4, settings.width", "did you mean 'widths'"),
        ("store: a\nmodel: unet\nsettings: { widths: [2] }\n", "line 3, settings.widths", "mend the value"),
        ("store: a\nmodel: unet\nsettings: { rain: { kind: cube } }\n", "line 3, settings.rain.kind", "mend"),
        ("store: a\nmodel: unett\n", "model", "unet"),
        ("store: a\nmodel: none.py\n", "none.py", "path of the Python file"),
        ("model: unet\n", "line 1, store", "add `store:`"),
        ("store: a\nmodel: unet\npredictors: { minutes: [15, 30] }\n", "line 3, predictors.minutes", "mend"),
        ("store: a\nmodel: unet\nrate: .nan\n", "line 3, rate", "mend"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(tmp_path, text, line, words):
    error = refused(tmp_path, text)
    assert line in error.where and words in error.fix


def test_a_wrong_option_is_named(tmp_path):
    error = refused(tmp_path, "store: a\nmodel: unet\n", steps=0)
    assert error.where == "steps" and "greater" in error.what


def test_differences_are_told_but_for_what_changes_nothing_learnt():
    before = {"batch": 8, "store": "a", "threads": 1, "settings": {"widths": [8, 16]}}
    now = {"batch": 8, "store": "b", "threads": 2, "settings": {"widths": (8, 32)}}
    assert differences(before, now) == ["settings.widths is [8, 16] there and [8, 32] here"]
    assert differences(before, {**before, "run": "x"}) == []


def test_a_key_that_is_not_told_has_its_usual_value():
    seen = {"minutes": [0, 15]}
    assert differences({"predictors": seen}, {"predictors": {**seen, "satellite_longitude": 0.0}}) == []
    rapid = {"predictors": {**seen, "satellite_longitude": 9.5}}
    assert differences({"predictors": seen}, rapid) == ["predictors.satellite_longitude is 0.0 there and 9.5 here"]


def test_the_page_that_shows_a_configuration_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"docs/retrieval\.md"):
        load(tmp_path / "none.yaml", TrainConfig, page="docs/retrieval.md")
    with pytest.raises(ConfigError, match=r"docs/retrieval\.md"):
        read(tmp_path / "none.yaml")
