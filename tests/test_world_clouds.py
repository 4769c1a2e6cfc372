"""Synthetic clouds: towers that lead their rain, anvils that outlive it, decks and decoys that know little of it."""

import dataclasses

import numpy as np
import pytest

from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid
from ondee.world.atmosphere import air_temperature, cloud_temperature, temperature, tropopause_height
from ondee.world.cells import LIVING
from ondee.world.clouds import Cloud, Clouds
from ondee.world.rain import REGIMES, State, states

PLANE = Grid(LOCAL, 0, 0, 1000, 1000, 128, 128)
NOON = np.datetime64("2018-07-04T12:00", "ns")
MINUTE = np.timedelta64(1, "m")


def stamps(count: int, minutes: int = 5) -> np.ndarray:
    return NOON + np.arange(count) * minutes * MINUTE


def skies(count: int, *, seed: int, regime: str, minutes: int = 5) -> list[tuple[State, Cloud]]:
    clouds = Clouds(PLANE, seed=seed, minutes=minutes)
    return [(state, clouds.at(state)) for state in states(PLANE, stamps(count, minutes), seed=seed, regime=regime)]


def lone(ages: np.ndarray, *, peak: float, life: float = 60.0, wind: tuple[float, float] = (10.0, 0.0)) -> list[State]:
    """States of a sky with nothing but one cell in its middle, which moves with the wind."""
    dry = np.zeros(PLANE.shape, np.float32)
    made = []
    for age in ages:
        cells = np.zeros(int(0 < age < life), LIVING)
        if cells.size:
            cells["x"] = 40 + wind[0] * 0.06 * age
            cells["y"] = 64 - wind[1] * 0.06 * age
            cells["age"], cells["life"], cells["peak"], cells["stretch"] = age, life, peak, 1.0
            cells["angle"] = 0.5e-5  # half of a digit that turns nothing: the median chance
        made.append(State(NOON + int(age) * MINUTE, dry, dry - 4, dry, cells, wind, "convective", 1))
    return made


def test_the_same_seed_gives_the_same_clouds_and_another_seed_others():
    one, two, other = (skies(3, seed=seed, regime="convective")[-1][1] for seed in (7, 7, 8))
    for field in dataclasses.fields(Cloud):
        first, second = getattr(one, field.name), getattr(two, field.name)
        assert np.asarray(first).tobytes() == np.asarray(second).tobytes()
    assert one.optical_depth.tobytes() != other.optical_depth.tobytes()


@pytest.mark.parametrize("regime", REGIMES)
def test_clear_is_nan_and_heights_are_possible(regime):
    for _, cloud in skies(4, seed=2, regime=regime, minutes=15):
        assert cloud.top_height.dtype == cloud.optical_depth.dtype == np.float32
        assert np.isfinite(cloud.optical_depth).all()
        assert cloud.optical_depth.min() == 0
        clear = np.isnan(cloud.top_height)
        assert 0.02 < clear.mean() < 0.9
        assert (cloud.optical_depth[~clear] > 0.3).all()
        assert cloud.top_height[~clear].min() >= 0
        assert cloud.top_height[~clear].max() < 15_000
        assert (cloud.ice_height[cloud.ice_depth > 0] >= cloud.low_height[cloud.ice_depth > 0]).all()


@pytest.mark.parametrize("regime", ["frontal", "embedded", "convective", "warm"])
def test_it_rains_out_of_clouds_only(regime):
    state, cloud = skies(6, seed=4, regime=regime, minutes=15)[-1]
    heavy = state.rate > 1
    assert heavy.any()
    assert np.isfinite(cloud.top_height[heavy]).mean() > 0.98


def test_warm_rain_falls_from_low_tops():
    state, cloud = skies(6, seed=4, regime="warm", minutes=15)[-1]
    wet = state.rate > 0.5
    assert np.quantile(cloud.low_height[wet], 0.99) <= 3500
    assert np.quantile(cloud.low_height[wet], 0.05) >= 1800
    assert cloud.anvil_depth.max() == 0


@pytest.mark.parametrize("regime", ["frontal", "embedded", "convective"])
def test_tops_are_only_loosely_tied_to_the_rain(regime):
    high, loose = [], []
    for seed in (1, 2, 3):
        state, cloud = skies(9, seed=seed, regime=regime, minutes=15)[-1]
        top = np.nan_to_num(cloud.top_height)
        loose.append(np.corrcoef(top.ravel(), np.log(state.rate.ravel() + 0.1))[0, 1])
        cold = top > 8000
        high.append((state.rate[cold] < 0.1).mean())
    assert 0.1 < np.mean(loose) < 0.8
    assert np.mean(high) > 0.15, "there is high cloud without rain"


def test_a_top_grows_before_the_rain_peaks_and_its_anvil_outlives_it():
    ages = np.arange(0, 200, 5)
    clouds = Clouds(PLANE, seed=3, minutes=5)
    tops, ice = [], []
    for state in lone(ages, peak=60.0):
        cloud = clouds.at(state)
        if state.cells.size:
            tops.append(cloud.low_height[64, int(state.cells["x"][0])])
        ice.append(float((cloud.anvil_depth > 0.5).sum()))
    half = int(np.searchsorted(ages[1:], 30 * 0.5))
    assert tops[half] > 0.75 * max(tops), "at half of the way to its heaviest rain the top nearly stands"
    assert max(tops) > 9000
    area = dict(zip(ages.tolist(), ice, strict=True))
    assert area[10] < area[30] < area[60]
    assert area[100] > 100, "40 min after the rain the anvil is there"
    assert area[180] == 0, "two hours after it, it is gone"


def test_an_anvil_drifts_downwind_of_its_tower():
    clouds = Clouds(PLANE, seed=3, minutes=5)
    columns = np.arange(128)
    for state in lone(np.arange(0, 65, 5), peak=60.0):
        cloud = clouds.at(state)
        if state.time == NOON + 55 * MINUTE:
            centre = float((cloud.anvil_depth.sum(axis=0) * columns).sum() / cloud.anvil_depth.sum())
            assert 3 < centre - float(state.cells["x"][0]) < 30


def test_stronger_cells_reach_higher_and_the_strongest_overshoot():
    heights = []
    for peak in (5.0, 20.0, 60.0, 120.0):
        clouds = Clouds(PLANE, seed=3, minutes=5)
        heights.append(max(float(clouds.at(state).low_height.max()) for state in lone(np.arange(0, 60, 5), peak=peak)))
    assert heights == sorted(heights)
    assert heights[0] < 7000
    assert heights[-1] > tropopause_height(air_temperature(NOON))


def test_there_is_cirrus_thin_and_thick_without_rain():
    state, cloud = skies(2, seed=5, regime="dry")[-1]
    dry = state.rate == 0
    assert (dry & (cloud.ice_depth > 0.05) & (cloud.ice_depth < 1)).mean() > 0.05
    assert (dry & (cloud.ice_depth > 2)).mean() > 0.005


def test_clouds_hardly_depend_on_the_step_of_time():
    """Every 5 or every 15 min: the same patterns, the same anvils but for what a coarse step misses."""
    fine = skies(25, seed=6, regime="convective", minutes=5)[-1][1]
    clouds = Clouds(PLANE, seed=6, minutes=15)
    coarse = [clouds.at(s) for i, s in enumerate(states(PLANE, stamps(25), seed=6, regime="convective")) if i % 3 == 0]
    assert np.allclose(fine.moisture, coarse[-1].moisture, atol=1e-3)
    assert np.corrcoef(fine.anvil_depth.ravel(), coarse[-1].anvil_depth.ravel())[0, 1] > 0.9
    assert 0.7 < fine.anvil_depth.mean() / coarse[-1].anvil_depth.mean() < 1.4


def test_the_air_is_the_standard_atmosphere_shifted():
    assert temperature(0, 288.15) == pytest.approx(288.15)
    assert temperature(5000, 288.15) == pytest.approx(255.65)
    assert tropopause_height(288.15) == pytest.approx(11_000)
    assert temperature(15_000, 288.15) == pytest.approx(216.65)
    assert cloud_temperature(12_000, 288.15) == pytest.approx(216.65 - 7.34)
    july, january = (air_temperature(np.datetime64(day, "ns")) for day in ("2018-07-24", "2018-01-22"))
    assert july == pytest.approx(292, abs=0.1)
    assert january == pytest.approx(276, abs=0.1)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ConfigError, match="cannot be made"):
        Clouds(Grid(LATITUDE_LONGITUDE, 0, 50, 0.1, 0.1, 64, 64), seed=1)
    with pytest.raises(ConfigError, match="cannot be made"):
        Clouds(PLANE, seed=1, minutes=0)
    made = list(states(PLANE, stamps(3), seed=1, regime="dry"))
    clouds = Clouds(PLANE, seed=1)
    clouds.at(made[0])
    with pytest.raises(ConfigError, match="does not follow"):
        clouds.at(made[2])
    with pytest.raises(ConfigError, match="does not follow"):
        Clouds(Grid(LOCAL, 0, 0, 1000, 1000, 64, 64), seed=1).at(made[0])
