"""Gain, place and clock of a sensor: from fields to sums, from sums to a verdict."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from benchmarks.faults import EXPERIMENTS, Trial, observed
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.validation.evidence import EVIDENCE, LAGS, REACH, View, evidence, evidence_coordinates, log_gain
from ondee.validation.faults import KINDS, Rules, faults, joint_peak

CELLS = Grid(LATITUDE_LONGITUDE, 0.0, 48.0, 0.1, 0.1, 24, 20)
START = np.datetime64("2018-06-04T12:00", "ns")
ENDS = np.arange(-30.0, 100.0, 5.0)
BOUNDS = np.column_stack([ENDS - 5, ENDS])
GMI = 9


def moving_rain(seed=0, speed=0.25, holes=False):
    """Frames ``(frame, y, x)`` of rain that moves `speed` cells to the east in five minutes and changes."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(CELLS.nx), np.arange(CELLS.ny))
    frames = np.zeros((ENDS.size, *CELLS.shape), np.float32)
    for _ in range(14):
        left, top, peak, wide = rng.uniform(-8, 24), rng.uniform(0, 20), rng.gamma(2.0, 4.0), rng.uniform(1.0, 2.5)
        birth = rng.uniform(-40, 60)
        for index, end in enumerate(ENDS):
            life = np.exp(-(((end - birth) / 40) ** 2))
            distance = (x - left - speed * index) ** 2 + (y - top) ** 2
            frames[index] += peak * life * np.exp(-distance / (2 * wide**2))
    frames[frames < 0.05] = 0.0
    if holes:
        frames[:, 3:6, 10:13] = np.nan
        frames[4] = np.nan
    return frames


def at_minute(frames, minute):
    """The frame whose middle is nearest to a minute."""
    return frames[int(np.argmin(abs(BOUNDS.mean(axis=1) - minute)))]


def view(estimate, minute=12.5, code=0):
    passed = np.where(np.isfinite(estimate), np.float32(minute), np.float32(np.nan))
    return View(START, "GMI", code, estimate.astype(np.float32), passed)


def rows(*parts, days=None):
    """Evidence of several views, a day apart."""
    data = {name: (("view", *dims), np.stack([part[name] for part in parts])) for name, dims in EVIDENCE.items()}
    time = START + (np.arange(len(parts)) if days is None else np.array(days)) * np.timedelta64(1, "D")
    return xr.Dataset(
        data, coords={"time": ("view", time), "source": ("view", ["GMI"] * len(parts)), **evidence_coordinates()}
    )


# ---- the gain


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.3, 3.0), seed=st.integers(0, 1000))
def test_the_gain_is_the_factor_whatever_is_missed_or_invented_below_one_millimetre(factor, seed):
    rng = np.random.default_rng(seed)
    rain = rng.gamma(0.5, 6.0, 400)
    estimate = factor * rain
    light = estimate < 0.9
    estimate[light] = np.where(rng.random(np.count_nonzero(light)) < 0.5, 0.0, estimate[light])
    assert np.exp(log_gain(rng.permutation(estimate), rain)) == pytest.approx(factor, rel=0.02)


def test_a_ratio_of_totals_is_not_the_gain_of_a_sensor_with_a_threshold():
    rain = np.random.default_rng(3).gamma(0.3, 2.0, 5000)
    estimate = np.where(rain < 0.5, 0.0, rain)
    assert estimate.sum() / rain.sum() < 0.9
    assert np.exp(log_gain(estimate, rain)) == pytest.approx(1.0, abs=0.01)


def test_there_is_no_gain_without_rain():
    assert np.isnan(log_gain(np.ones(5), np.zeros(5)))
    assert log_gain(np.zeros(9), np.full(9, 3.0)) == pytest.approx(-np.log(10), abs=1e-6)
    dry = evidence(view(np.zeros(CELLS.shape)), np.zeros((ENDS.size, *CELLS.shape), np.float32), BOUNDS, CELLS)
    assert dry["gain_views"].tolist() == [0.0, 0.0]
    assert dry["views"] == 1.0


# ---- the scan


def test_the_scan_is_the_centred_moments_of_all_pairs_that_are_seen():
    frames = moving_rain(holes=True)
    estimate = np.roll(at_minute(frames, 12.5), 1, axis=1)
    estimate[:2] = np.nan
    found = evidence(view(estimate), frames, BOUNDS, CELLS)
    shown = np.log(np.maximum(estimate.astype(float), 0.1) / 0.1)
    for lag in (-5, 0, 20):
        radar = np.log(np.maximum(at_minute(frames, 12.5 + lag).astype(float), 0.1) / 0.1)
        radar[np.isnan(estimate)] = np.nan  # where no sensor passed, no minute is known
        for north, east in ((0, 0), (2, -3), (-1, 1)):
            pairs = []
            for i in range(CELLS.ny):
                for j in range(CELLS.nx):
                    row, column = i + north, j - east
                    if 0 <= row < CELLS.ny and 0 <= column < CELLS.nx:
                        pairs.append((shown[i, j], radar[row, column]))
            s, r = np.array([pair for pair in pairs if np.isfinite(pair).all()]).T
            place = (0, LAGS.index(lag), north + REACH, east + REACH)
            assert found["covariance"][place] == pytest.approx(((s - s.mean()) * (r - r.mean())).sum())
            assert found["estimate_variance"][place] == pytest.approx(((s - s.mean()) ** 2).sum())
            assert found["radar_variance"][place] == pytest.approx(((r - r.mean()) ** 2).sum())


def test_a_lag_that_was_not_wholly_observed_counts_nowhere():
    frames = moving_rain()
    frames[-4:] = np.nan
    found = evidence(view(at_minute(frames, 12.5)), frames, BOUNDS, CELLS)
    assert (found["radar_variance"][0, LAGS.index(60) - 0] > 0).any()
    assert (found["radar_variance"][1, LAGS.index(60)] == 0).all()
    assert (found["radar_variance"][1, LAGS.index(45)] > 0).all()


def test_a_source_without_minutes_is_compared_with_the_mean_only():
    frames = moving_rain()
    nowhere = np.full(CELLS.shape, np.nan, np.float32)
    found = evidence(View(START, "morph", 0, at_minute(frames, 12.5), nowhere), frames, BOUNDS, CELLS)
    assert (found["covariance"][0] == 0).all()
    assert (found["covariance"][1] != 0).any()


# ---- the peak


@settings(max_examples=30, deadline=None)
@given(top=st.tuples(st.floats(-20, 50), st.floats(-1.9, 1.9), st.floats(-1.9, 1.9)), lean=st.floats(-0.6, 0.6))
def test_the_top_of_a_quadratic_is_found_though_lag_and_shift_lean_on_each_other(top, lean):
    lag, north, east = np.meshgrid(np.array(LAGS), *[np.arange(-REACH, REACH + 1)] * 2, indexing="ij")
    a, b, c = (lag - top[0]) / 5, north - top[1], east - top[2]
    correlation = 0.9 - 0.02 * (a**2 + b**2 + c**2 + lean * a * c + 0.5 * lean * b * c)
    assert joint_peak(correlation[np.newaxis])[0] == pytest.approx(np.array(top), abs=0.05)


def test_a_peak_on_the_rim_is_out_of_reach():
    ramp = np.broadcast_to(np.arange(2 * REACH + 1.0), (1, len(LAGS), 2 * REACH + 1, 2 * REACH + 1))
    assert np.isnan(joint_peak(np.array(ramp))).all()
    assert np.isnan(joint_peak(np.full(ramp.shape, np.nan))).all()


# ---- verdicts


def planted(north=0, east=0, late=0, factor=1.0, views=10):
    """Evidence of views that are displaced, late and too strong."""
    parts = []
    for seed in range(views):
        frames = moving_rain(seed, speed=(-0.3, 0.2, 0.4)[seed % 3])
        seen = factor * np.roll(at_minute(frames, 12.5), (-north, east), axis=(0, 1))
        parts.append(evidence(view(seen, 12.5 + late), frames, BOUNDS, CELLS))
    return rows(*parts)


@pytest.mark.parametrize(
    ("fault", "kind", "size"),
    [
        ({"east": 1}, "east", 1.0),
        ({"north": -1}, "north", -1.0),
        ({"late": 10}, "clock", 10.0),
        ({"late": -15}, "clock", -15.0),
        ({"factor": 1.5}, "bias", 1.5),
        ({"factor": 0.6}, "bias", 0.6),
    ],
)
def test_a_fault_is_found_with_its_sign_and_size_and_nothing_else_is(fault, kind, size):
    found = faults(planted(**fault), replicates=200).sel(comparison="overpass", source="GMI")
    assert float(found[kind]) == pytest.approx(size, abs=0.2 * abs(size))
    verdicts = {name: str(found[f"{name}_verdict"].item()) for name in KINDS}
    assert verdicts == {name: "found" if name == kind else "clear" for name in KINDS}
    assert float(found[f"{kind}_low"]) < float(found[kind]) < float(found[f"{kind}_high"])


def test_too_few_passes_or_days_are_not_resolved():
    many = planted(east=1, views=9)
    for few in (many.isel(view=slice(0, 5)), many.assign_coords(time=("view", np.repeat(many.time.values[:3], 3)))):
        found = faults(few, replicates=200)
        assert set(found["east_verdict"].values.ravel()) == {"not resolved"}
    assert int(faults(many, replicates=200)["days"].item()) == 9


def test_views_of_a_day_may_be_added_up_beforehand():
    many = planted(east=1, views=8)
    twice = many.assign_coords(time=("view", np.repeat(many.time.values[:4], 2)))
    added = [
        twice.isel(view=[i, i + 1])
        .sum("view")
        .expand_dims("view")
        .assign_coords(time=("view", twice.time.values[i : i + 1]), source=("view", ["GMI"]))
        for i in range(0, 8, 2)
    ]
    one = faults(twice, replicates=200)
    other = faults(xr.concat(added, dim="view"), replicates=200)
    xr.testing.assert_allclose(one.drop_vars("source"), other.drop_vars("source"))


def test_the_order_of_views_changes_nothing():
    many = planted(late=5, views=8)
    xr.testing.assert_allclose(
        faults(many, replicates=200), faults(many.isel(view=slice(None, None, -1)), replicates=200)
    )


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="must be positive"):
        Rules(shift=0.0)
    with pytest.raises(ConfigError, match="no interval"):
        Rules(views=1)
    with pytest.raises(ConfigError, match="no sums 'covariance'"):
        faults(planted(views=3).drop_vars("covariance"))
    with pytest.raises(ConfigError, match="too few for an interval"):
        faults(planted(views=3), replicates=5)


# ---- worlds


def test_faults_planted_in_a_world_are_found_and_no_others():
    plain = dataclasses.replace(EXPERIMENTS[1], name="plain")
    trial = Trial(1, 5, days=12, passes=10, experiments=(plain,))
    found = faults(observed(trial)["plain"], replicates=200).sel(comparison="overpass")
    named = {
        (str(sensor), kind)
        for kind in KINDS
        for sensor in found["source"].values
        if str(found[f"{kind}_verdict"].sel(source=sensor).item()) == "found"
    }
    assert named == {("AMSR2", "bias"), ("SSMIS", "north"), ("MHS", "clock"), ("ATMS", "clock")}
