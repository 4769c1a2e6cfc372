import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives import RADAR, concatenated, radar, times
from ondee.collocation.calendar import floor_to, means, overlap, step_of, with_interval
from ondee.collocation.regrid import regrid
from ondee.errors import ConfigError, ReadError, UnitError

HALF = np.timedelta64(30, "m")


def test_a_half_hour_is_the_mean_of_its_six_frames():
    data = radar(times("2018-06-04T12:00", 12), missing=0.0)
    made = means(data, ["2018-06-04T12:00", "2018-06-04T12:30"])
    expected = data["rain_rate"].values.reshape(2, 6, *data["rain_rate"].shape[1:]).mean(axis=1)
    np.testing.assert_allclose(made["rain_rate"], expected, rtol=1e-5)
    assert made["rain_rate"].attrs["reference_kind"] == "30-min mean"


def test_labels_at_the_end_belong_to_the_half_hour_before():
    data = radar(times("2018-06-04T12:05", 6), missing=0.0, label="end")
    made = means(data, ["2018-06-04T12:00"])
    np.testing.assert_allclose(made["rain_rate"][0], data["rain_rate"].mean("time"), rtol=1e-5)


def test_an_absent_frame_is_missing_and_never_zero():
    data = radar(times("2018-06-04T12:00", 6), missing=0.0).isel(time=[0, 1, 2, 4, 5])
    assert means(data, ["2018-06-04T12:00"])["rain_rate"].isnull().all()
    loose = means(data, ["2018-06-04T12:00"], time_coverage=0.83)
    np.testing.assert_allclose(loose["rain_rate"][0], data["rain_rate"].mean("time"), rtol=1e-5)
    assert means(data, ["2018-06-04T18:00"])["rain_rate"].isnull().all()


def test_what_the_rule_removes_is_counted():
    data = radar(times("2018-06-04T12:00", 6), missing=0.0)
    data["rain_rate"][3, 10, 10:15] = np.nan
    made = means(data, ["2018-06-04T12:00"])
    assert made["rain_rate"].attrs["pixels_removed_by_time"] == 5
    assert int(made["rain_rate"].isnull().sum()) == 5


@settings(max_examples=30, deadline=None)
@given(minutes=st.sampled_from([5, 6, 10, 15, 30]), shift=st.integers(-14, 14), seed=st.integers(0, 1000))
def test_frames_count_by_the_time_they_share(minutes, shift, seed):
    """Any frame length and phase: the mean is the integral over the window divided by its length."""
    first = np.datetime64("2018-06-04T11:00", "ns") + np.timedelta64(shift, "m")
    stamps = first + np.arange(120 // minutes) * np.timedelta64(minutes, "m")
    data = radar(stamps, minutes=minutes, seed=seed, missing=0.0)
    made = means(data, ["2018-06-04T11:30"])["rain_rate"][0].values
    by_minute = data["rain_rate"].sel(
        time=np.datetime64("2018-06-04T11:30", "ns") + np.arange(30) * np.timedelta64(1, "m"), method="ffill"
    )
    np.testing.assert_allclose(made, by_minute.mean("time"), rtol=2e-5, atol=1e-6)


def test_overlapping_frames_are_refused():
    data = radar(times("2018-06-04T12:00", 6), minutes=10)
    with pytest.raises(ReadError, match="overlap in time"):
        means(data, ["2018-06-04T12:00"])
    repeated = concatenated(*[radar(["2018-06-04T12:00"])] * 2)
    with pytest.raises(ReadError, match="overlap in time"):
        means(repeated, ["2018-06-04T12:00"])


def test_snapshots_need_an_interval():
    data = radar(times("2018-06-04T12:00", 2, 15), minutes=0)
    with pytest.raises(ReadError, match="snapshots"):
        means(data, ["2018-06-04T12:00"])
    given_one = with_interval(data, 15, "start")
    np.testing.assert_allclose(
        means(given_one, ["2018-06-04T12:00"], time_coverage=0.9)["rain_rate"][0],
        data["rain_rate"].mean("time", skipna=False),
        rtol=1e-5,
    )
    with pytest.raises(ConfigError, match="cannot be used"):
        with_interval(data, 15, "middle")


def test_one_frame_over_the_whole_window_keeps_its_bits():
    data = radar(["2018-06-04T12:00"], minutes=30)
    np.testing.assert_array_equal(means(data, ["2018-06-04T12:00"])["rain_rate"], data["rain_rate"])


def test_steps_start_at_midnight():
    assert str(floor_to("2018-06-04T23:59", HALF).astype("datetime64[m]")) == "2018-06-04T23:30"
    assert step_of(np.datetime64("1970-01-04T05:00", "ns"), np.timedelta64(2, "D")) == np.datetime64("1970-01-03")
    bounds = np.array([["2018-06-04T12:00", "2018-06-04T12:05"]], "datetime64[ns]")
    assert overlap(bounds, bounds[:, 0], bounds[:, 1]).item() == 300


def test_codes_and_decibels_have_no_mean():
    data = radar(times("2018-06-04T12:00", 6)).rename(rain_rate="microwave_source")
    with pytest.raises(UnitError, match="no mean"):
        means(data, ["2018-06-04T12:00"])
    kept = means(data.isel(time=[0]), ["2018-06-04T12:00"], length=np.timedelta64(5, "m"))
    np.testing.assert_array_equal(kept["microwave_source"], data["microwave_source"][:1])
    with pytest.raises(UnitError, match="no mean"):
        regrid(data.rename(microwave_source="reflectivity"), RADAR.pad(-5))


def test_lost_bounds_are_named():
    with pytest.raises(ReadError, match="no time_bounds"):
        means(radar(times("2018-06-04T12:00", 6))[["rain_rate"]], ["2018-06-04T12:00"])
