"""Views: from what rain was made, when a sensor last passed, and what each cell is split by."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondee.errors import ConfigError
from ondee.validation.half_hour import HalfHour
from ondee.validation.passes import Passes
from ondee.validation.settings import CUTS, Settings
from ondee.validation.sources import ALL, MICROWAVE, name_of, ordered, sources_of
from ondee.validation.strata import cuts, time_classes
from ondee.validation.sums import tile_width

START = np.datetime64("2018-06-04T12:00", "ns")
HALF_HOUR = np.timedelta64(30, "m")


def test_sources_have_short_names_that_differ():
    names = [name_of(code) for code in (9, 3, 5, 7, 11, 21, 4, 16, 99, -1, -2, -3, 0)]
    assert names[:5] == ["GMI", "AMSR2", "SSMIS", "MHS", "ATMS"]
    assert len(set(names)) == len(names)
    assert names[-4:] == ["morph", "mixed", "infrared", "unknown"]
    assert ordered([ALL, -1, 99, 7, MICROWAVE, 9, 21]) == [9, 7, 21, 99, -1, MICROWAVE, ALL]


def test_what_is_not_known_is_a_source_of_its_own():
    code = np.array([9, 0, 0, 0, 0, np.nan, 99], np.float32)
    weight = np.array([0, 0, 40, 100, np.nan, 0, 0], np.float32)
    assert sources_of(code, weight).tolist() == [9, -1, -2, -3, 0, 0, 99]


def test_age_counts_from_the_minute_of_the_last_pass():
    passes, none = Passes((1, 3)), np.zeros((1, 3), bool)
    minute = np.array([[5.0, np.nan, np.nan]], np.float32)
    passes.add(START, np.isfinite(minute), minute)
    for number in range(1, 6):
        passes.add(START + number * HALF_HOUR, none, np.full((1, 3), np.nan, np.float32))
    now = START + 6 * HALF_HOUR
    passed = np.array([[False, False, True]])
    age = passes.age(now, passed, 180.0)
    assert age[0, 2] == 0.0
    assert np.isposinf(age[0, 0])  # 190 minutes ago, which is as good as never
    assert np.isposinf(age[0, 1])  # none in 195 known minutes
    assert passes.age(now, passed, 200.0)[0, 0] == 190.0
    assert np.isnan(passes.age(now, passed, 200.0)[0, 1])  # 195 minutes are known, 200 are needed


def test_a_gap_in_the_files_makes_ages_unknown():
    passes, minute = Passes((1, 1)), np.array([[5.0]], np.float32)
    passes.add(START, np.isfinite(minute), minute)
    later = START + 2 * HALF_HOUR
    assert np.isnan(passes.age(later, np.array([[False]]), 180.0)[0, 0])
    passes.add(later, np.array([[False]]), np.full((1, 1), np.nan, np.float32))
    assert np.isnan(passes.age(later + HALF_HOUR, np.array([[False]]), 180.0)[0, 0])


@given(
    st.lists(st.floats(-10, 400, width=32), min_size=1), st.sampled_from(["minute", "age", "quality_index", "phase"])
)
def test_every_value_is_in_one_class_or_none(values, name):
    cut = cuts(Settings())[name]
    found = cut.classes(np.array(values, np.float32))
    edges = np.asarray(cut.edges, np.float32)
    for value, number in zip(np.array(values, np.float32), found, strict=True):
        inside = [
            low <= value < high or (value == high and index == edges.size - 2)
            for index, (low, high) in enumerate(pairwise(edges))
        ]
        assert (inside.index(True) if any(inside) else -1) == number


def test_missing_is_in_no_class_and_the_unbounded_in_the_last():
    known = cuts(Settings())
    for name in CUTS:
        if known[name].edges is not None:
            assert known[name].classes(np.array([np.nan])).tolist() == [-1]
            assert len(known[name].labels) == len(known[name].edges) - 1
    assert known["age"].classes(np.array([np.inf, 180.0, 179.0])).tolist() == [5, 5, 4]
    assert known["phase"].classes(np.array([0, 9, 10, 90, 91, 100.0])).tolist() == [0, 0, 1, 1, 2, 2]
    assert known["minute"].labels == ("0–4", "5–9", "10–14", "15–19", "20–24", "25–29")
    assert known["infrared_weight"].labels[:2] == ("0", "1–24")


def test_times_have_an_hour_and_a_season():
    times = np.array(["2018-12-31T23:30", "2018-03-01T00:00", "2018-08-31T12:00"], "datetime64[ns]")
    assert time_classes("hour", times).tolist() == [23, 0, 12]
    assert time_classes("season", times).tolist() == [0, 1, 2]


def half_hour(**given):
    whole = {
        "start": START,
        "estimate": np.array([[1.0, 0.0, np.nan, 2.0]]),
        "source": np.array([[9, 9, 9, -1]], np.int16),
        "minute": np.array([[3.0, 4.0, 5.0, np.nan]]),
        "mean": np.array([[0.0, 1.0, 1.0, 1.0]]),
        "at_pass": np.array([[0.5, np.nan, 1.0, np.nan]]),
    } | given
    kept = ("start", "source")
    return HalfHour(**{name: v if name in kept else v.astype(np.float32) for name, v in whole.items()})


def test_comparisons_of_a_pass_share_their_cells():
    mean, at_pass, floor = (valid for *_, valid in half_hour().pairs())
    assert at_pass.tolist() == floor.tolist() == [[True, False, False, False]]
    assert mean.tolist() == [[True, False, False, True]]  # the second cell has no radar at its pass


def test_without_a_minute_only_the_mean_is_left():
    mean, at_pass, _ = (valid for *_, valid in half_hour(minute=np.full((1, 4), np.nan)).pairs())
    assert mean.tolist() == [[True, True, False, True]]
    assert not at_pass.any()


def test_tiles_fit_the_domain():
    settings = Settings(window=32)
    assert [tile_width(shape, settings) for shape in ((40, 90), (20, 90), (7, 90))] == [32, 16, None]


@pytest.mark.parametrize(
    "given", [{"by": ("colour",)}, {"scales": (2,)}, {"coverage": 0.0}, {"thresholds": (1.0, 0.1)}, {"half_width": 0.0}]
)
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(ConfigError):
        Settings(**given)
