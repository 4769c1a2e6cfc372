"""Principal components of rain: those of numpy, with weights, and levels that keep dry and missing apart."""

import numpy as np
import pytest

from ondee.topographic.components import DRY_LEVEL, level_of, principal


def test_levels_are_decibels_and_dry_and_missing_stay_apart():
    rain = np.array([[0.0, 0.09, 0.1, 1.0, 10.0, np.nan]], np.float32)
    found = level_of(rain)[0]
    assert found[:5] == pytest.approx([DRY_LEVEL, DRY_LEVEL, -10, 0, 10], abs=1e-4)
    assert np.isnan(found[5])


def test_components_are_those_of_a_singular_value_decomposition():
    level = np.random.default_rng(0).standard_normal((60, 12)) * np.arange(1, 13)
    mean, basis, variance = principal(level, np.ones(60), 4)
    _, size, rows = np.linalg.svd(level - level.mean(0), full_matrices=False)
    assert mean == pytest.approx(level.mean(0))
    assert variance == pytest.approx(size[:4] ** 2 / 60)
    assert np.abs(np.sum(basis * rows[:4], 1)) == pytest.approx(np.ones(4))
    assert (np.take_along_axis(basis, np.abs(basis).argmax(1)[:, None], 1) > 0).all()


def test_a_weight_of_two_is_a_frame_seen_twice():
    level = np.random.default_rng(1).standard_normal((9, 5))
    weight = np.array([2.0] + [1.0] * 8)
    for found, wanted in zip(
        principal(level, weight, 3), principal(np.concatenate([level[:1], level]), np.ones(10), 3), strict=True
    ):
        assert found == pytest.approx(wanted)
