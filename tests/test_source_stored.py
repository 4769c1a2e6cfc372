import json

import numpy as np
import pytest
import yaml

import ondee
from archives import times, write_frames
from ondee.building import build
from ondee.errors import ConfigError, ReadError
from ondee.facts import survey
from ondee.source import granules
from ondee.source.stored import inputs
from ondee.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of two inputs on two days, of which one has only the first."""
    folder = tmp_path_factory.mktemp("store")
    write_frames(folder / "one", times("2018-06-04T10:00", 4, 30), minutes=30)
    write_frames(folder / "one", times("2018-06-05T10:00", 4, 30), minutes=30)
    write_frames(folder / "two", times("2018-06-04T11:00", 2, 30), minutes=30, seed=5)
    settings = {
        "grid": {"region": [1.0, 45.5, 1.6, 46.0]},
        "inputs": {name: {"paths": [name], "coverage": 0.5, "time_coverage": 0.5} for name in ("one", "two")},
    }
    (folder / "both.yaml").write_text(yaml.safe_dump(settings))
    build(folder / "both.yaml")
    return folder / "both.zarr"


def test_one_input_opens_as_any_product(store):
    data = ondee.open(store, input="two")
    assert list(data.data_vars) == ["rain_rate", "coverage"]
    assert data.sizes["time"] == 2 and data["time"].attrs["label"] == "start"
    whole = Store(store).dataset()["two_rain_rate"].sel(time=data["time"])
    np.testing.assert_array_equal(data["rain_rate"], whole)
    assert "input two" in data.attrs["product"]
    piece = ondee.open(store, input="one", start="2018-06-05", region=(1.1, 45.6, 1.3, 45.8))
    assert piece.sizes == {"time": 4, "y": 2, "x": 2, "bounds": 2}


def test_absent_steps_are_absent(store):
    assert granules(store)[0].times.size == 8
    assert ondee.open(store, input="one").sizes["time"] == 8


def test_look_tells_each_input(store):
    found = {entry.product: entry for entry in survey(store).products}
    assert sorted(entry.frames for entry in found.values()) == [2, 8]
    assert {variable.name for entry in found.values() for variable in entry.variables} == {"rain_rate", "coverage"}


def test_the_input_must_be_named_among_several(store):
    assert inputs(store) == ("one", "two")
    with pytest.raises(ConfigError, match="several inputs"):
        ondee.open(store)
    with pytest.raises(ConfigError, match="no input 'three'"):
        ondee.open(store, input="three")


def test_a_folder_that_is_no_store_is_not_taken_for_one(tmp_path):
    (tmp_path / "zarr.json").write_text(json.dumps({"attributes": {}}))
    with pytest.raises(ReadError, match="no store"):
        inputs(tmp_path)
