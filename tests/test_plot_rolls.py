"""Figures of rolls and of maps: what is drawn is what was given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ondee.plot.rolls import draw_capsule_rolls, draw_places


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("style", ["paper", "screen"])
def test_each_pair_of_roll_and_change_is_a_mark_as_large_as_it_is_frequent(style):
    moved = np.array([1, 1, 1, 2, 4])
    rolls = {"rolls": {"x": (moved, moved), "hue": (np.array([0, 0, 0, 0, 3]), moved)}}
    figure = draw_capsule_rolls({**rolls, "stays": rolls["rolls"]}, style=style)
    assert len(figure.axes) == 4 and [axis.get_title(loc="left") for axis in figure.axes] == ["x", "hue", "", ""]
    marks = figure.axes[1].collections[0]
    assert marks.get_offsets().tolist() == [[1, 0], [2, 0], [4, 3]]
    np.testing.assert_allclose(marks.get_sizes() / marks.get_sizes().min(), [3, 1, 1])
    assert "stays" in figure.axes[2].get_ylabel() and "steps" in figure.axes[3].get_xlabel()


def test_images_lie_where_their_places_are():
    images = np.arange(6, dtype=float).reshape(2, 3, 1, 1) / 6 * np.ones((4, 5))
    figure = draw_places([images, 1 - images], ["one", "other"])
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["one", "other"]
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (8, 15)
    np.testing.assert_allclose(shown[2, ::5], np.arange(3) / 6)
    np.testing.assert_allclose(shown[6, 2::5], np.arange(3, 6) / 6)
