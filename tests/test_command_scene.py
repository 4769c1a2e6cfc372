"""The scene of the demo: an event no model has seen, and what three models make of every moment of it."""

import numpy as np
import pytest
import torch

from learnt import write_scene_runs
from ondee.command.scene import event_of, retrieved_scene
from ondee.report.retrieval import retrieval_section

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_scene_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    return retrieved_scene(tmp_path_factory.mktemp("scene"), seed=3, models=runs, members=4)


def test_the_scene_holds_every_panel_of_the_rainiest_moment(made):
    scene = made.scene
    assert list(scene["panel"].values) == [
        *("radar", "unet", "ddpm", "flow, member 1", "flow, member 2", "flow, member 3", "flow mean")
    ]
    radar = scene["rain_rate"].sel(panel="radar").values
    assert np.isfinite(radar).mean() > 0.9 and np.nanmax(radar) > 1.0
    cold = scene["brightness_temperature"].values
    assert 180 < np.nanmin(cold) < 260 < np.nanmax(cold) < 320
    members = scene["rain_rate"].isel(panel=slice(3, 6)).values
    assert (members[0] != members[1]).any()
    chance = scene["probability"].values
    assert set(np.unique(chance[np.isfinite(chance)])) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_numbers_are_those_of_the_models_and_make_a_section(made):
    numbers = made.numbers
    assert list(numbers["estimate"].values) == ["unet", "ddpm", "flow, a draw", "flow mean"]
    assert numbers["evaluations"].values.tolist() == [1, 3, 2, 8]
    skill = numbers["critical_success_index"].values
    assert ((skill >= 0) & (skill <= 1) | np.isnan(skill)).all() and numbers.attrs["moments"] >= 4
    assert (numbers["seconds"] > 0).all()
    text = retrieval_section(made.scene, numbers)
    assert "flow, a draw" in text and 'src="data:image/png' in text


def test_the_weather_depends_on_the_seed_alone():
    assert event_of(3) == event_of(3) and event_of(3) != event_of(4)
