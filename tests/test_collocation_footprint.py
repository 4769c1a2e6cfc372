"""The footprint of a sensor, on cells."""

import numpy as np
import pytest

from ondee.collocation.footprint import blur, cell_size
from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid

CELLS = Grid(LATITUDE_LONGITUDE, 0.0, 49.0, 0.1, 0.1, 60, 40)


def test_cells_are_narrower_than_high_towards_the_pole():
    assert cell_size(CELLS) == pytest.approx((11.1, 11.1 * np.cos(np.deg2rad(47))), rel=2e-3)
    assert cell_size(Grid(LOCAL, 0, 0, 2000, 3000, 4, 4)) == (3.0, 2.0)


def test_the_width_is_that_of_the_response_in_kilometres():
    rain = np.zeros(CELLS.shape)
    rain[20, 30] = 1.0
    made = blur(rain, CELLS, 40.0)
    height, width = cell_size(CELLS)
    for axis, side in ((0, height), (1, width)):
        profile = made.sum(axis=1 - axis)
        place = np.arange(profile.size)
        deviation = np.sqrt((profile * (place - (profile * place).sum()) ** 2).sum()) * side
        assert deviation * 2.3548 == pytest.approx(40.0, rel=0.02)
    assert made.sum() == pytest.approx(1.0, rel=1e-4)


def test_what_is_missing_stays_missing_and_counts_nowhere():
    rain = np.full(CELLS.shape, 2.0, np.float32)
    rain[:10] = np.nan
    made = blur(rain, CELLS, 30.0)
    assert np.isnan(made[:10]).all()
    assert made[10:] == pytest.approx(2.0)


def test_no_width_changes_nothing():
    rain = np.random.default_rng(0).gamma(0.3, 2.0, (3, *CELLS.shape)).astype(np.float32)
    assert blur(rain, CELLS, 0.0) == pytest.approx(rain)


def test_a_negative_width_is_refused():
    with pytest.raises(ConfigError, match="no width"):
        blur(np.zeros(CELLS.shape), CELLS, -1.0)
