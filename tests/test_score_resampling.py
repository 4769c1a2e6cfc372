from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.errors import ConfigError, GridError
from ondee.score import event, finish, fractions, pool
from ondee.score.resampling import block_length, bootstrap, intervals, predecessors

DAY = np.timedelta64(1, "D")


def fields(days=30, pixels=60, seed=0, estimates=("a", "b"), step=DAY):
    """Rain of some estimates and of the truth that share the weather of each day."""
    rng = np.random.default_rng(seed)
    time = np.datetime64("2018-06-01", "ns") + np.arange(days) * step
    weather = rng.gamma(1.0, 1.0, (days, 1)) * (rng.random((days, 1)) > 0.2)
    truth = weather * rng.gamma(0.5, 3.0, (days, pixels))
    found = [truth * rng.lognormal(0, 0.3 + 0.3 * k, truth.shape) for k in range(len(estimates))]
    kept = {"time": time}
    return (
        xr.DataArray(np.stack(found), dims=("estimate", "time", "x"), coords={"estimate": list(estimates), **kept}),
        xr.DataArray(truth, dims=("time", "x"), coords=kept),
    )


def counted(**settings_):
    estimate, truth = fields(**settings_)
    return event(estimate, truth, over="x", thresholds=[0.1, 5.0])


def ratio(sums):
    """One score of sums ``(…, 2)``."""
    made = np.full(sums.shape[:-1], np.nan)
    np.divide(sums[..., 0], sums[..., 1], out=made, where=sums[..., 1] > 0)
    return made


def test_the_interval_holds_the_estimate_and_keeps_the_range():
    sums = counted()
    made = bootstrap(sums, replicates=200)
    whole = finish(pool(sums, "time"))
    for name in whole.data_vars:
        xr.testing.assert_identical(made[name], whole[name])
        low, high = made[f"{name}_low"], made[f"{name}_high"]
        assert (low <= whole[name]).all() and (whole[name] <= high).all(), name
    csi = made.critical_success_index
    assert (made.critical_success_index_low > 0).all() and (made.critical_success_index_high < 1).all()
    assert (made.critical_success_index_low < csi).all()
    assert (
        made.critical_success_index_low.attrs["long_name"] == "critical success index, lower end of the 95 % interval"
    )
    assert (made.attrs["blocks"], made.attrs["interval"]) == (30, "adjusted")


def test_how_many_replicates_are_divided_at_once_does_not_change_a_bit(monkeypatch):
    sums = counted(days=70)
    whole = bootstrap(sums, replicates=230, against="b")
    monkeypatch.setattr("ondee.score.resampling._HELD", 1)
    xr.testing.assert_identical(bootstrap(sums, replicates=230, against="b"), whole)


def test_percentiles_are_those_of_a_plain_bootstrap():
    """The same draws, replicate by replicate, with the sums of each drawn day added one by one."""
    sums = counted().sel(estimate="a", threshold=0.1)
    made = bootstrap(sums, replicates=120, seed=3, kind="percentile")
    a, b, c = (sums[name].values for name in ("hits", "false_alarms", "misses"))
    rng = np.random.default_rng(3)
    found = []
    for size in (50, 50, 20):
        for counts in rng.multinomial(30, np.full(30, 1 / 30), size=size):
            days = [day for day, times in enumerate(counts) for _ in range(times)]
            found.append(sum(a[d] for d in days) / sum(a[d] + b[d] + c[d] for d in days))
    low, high = np.percentile(found, [2.5, 97.5])
    assert float(made.critical_success_index_low) == pytest.approx(low, abs=1e-12)
    assert float(made.critical_success_index_high) == pytest.approx(high, abs=1e-12)


def test_the_adjusted_interval_is_its_formula():
    """Written out for a mean: the jackknife influence of a day is its deviation, and the scale is the score itself."""
    from scipy.stats import norm, t

    rng = np.random.default_rng(5)
    values = rng.gamma(0.5, 1.0, 50)
    for day in range(1, 50):
        values[day] += 0.6 * values[day - 1]
    sums = np.stack([values, np.ones(50)], axis=-1)
    previous = np.arange(50) - 1
    low, high = intervals(sums, ratio, previous=previous, replicates=300, seed=2)
    first, last = intervals(sums, ratio, replicates=300, seed=2, kind="percentile")
    d = (values.mean() - values) * -1
    bootstrap_error = (last - first) / (2 * norm.ppf(0.975)) * np.sqrt(50 / 49)
    error = max(bootstrap_error, np.sqrt((d**2).sum() / (50 * 49)))
    rho = -1.0
    for s in (d, np.sign(d) * np.sqrt(abs(d))):
        e = s - s.mean()
        rho = max(rho, (e[1:] * e[:-1]).mean() / (e**2).mean())
    rho = np.clip(rho + (1 + 3 * rho) / 50, 0, 0.85)
    length = (1 + rho) / (1 - rho)
    kurtosis = ((d**4).sum() - (d**2).sum() ** 2 / 50) / (2 * (d**2).sum() ** 2)
    half = t.ppf(0.975, min(max(1 / (length * kurtosis), 2), 49)) * error * np.sqrt(length)
    assert rho > 0.2
    lowest, highest = intervals(sums, ratio, replicates=300, seed=2, kind="percentile", level=1 - 1e-13)
    reach = highest - lowest  # an interval goes no further beyond the draws than they spread
    assert low == pytest.approx(max(values.mean() - half, lowest - reach), rel=1e-9)
    assert high == pytest.approx(min(values.mean() + half, highest + reach), rel=1e-9)


@given(seed=st.integers(0, 50), order=st.permutations(range(12)), replicates=st.sampled_from([100, 130]))
@settings(max_examples=6, deadline=None)
def test_a_seed_gives_the_same_interval_in_any_order(seed, order, replicates):
    sums = counted(days=12, pixels=20)
    made = bootstrap(sums, seed=seed, replicates=replicates)
    turned = sums[list(sums.data_vars)[::-1]].isel(time=list(order), estimate=[1, 0])
    again = bootstrap(turned, seed=seed, replicates=replicates).sel(estimate=["a", "b"])
    for name in made.data_vars:
        np.testing.assert_allclose(again[name], made[name], rtol=1e-9, atol=1e-12)
    one, other = (bootstrap(sums, seed=seed + k, replicates=replicates, kind="percentile") for k in (0, 1))
    assert not other.critical_success_index_low.identical(one.critical_success_index_low)


def test_one_estimate_alone_gets_the_interval_that_it_has_among_others():
    sums = counted()
    both, alone = bootstrap(sums, replicates=200), bootstrap(sums.sel(estimate=["b"]), replicates=200)
    xr.testing.assert_allclose(both.sel(estimate=["b"]), alone)


def test_a_paired_difference_is_narrower_than_two_intervals_would_have_it():
    sums = counted(days=40)
    made = bootstrap(sums, replicates=200, against="a").sel(threshold=0.1)
    name = "critical_success_index"
    gap = made[f"{name}_difference"]
    assert float(gap.sel(estimate="a")) == 0.0
    assert float(made[f"{name}_difference_low"].sel(estimate="a")) == 0.0
    assert float(gap.sel(estimate="b")) == pytest.approx(
        float(made[name].sel(estimate="b") - made[name].sel(estimate="a"))
    )
    low, high = (float(made[f"{name}_difference_{end}"].sel(estimate="b")) for end in ("low", "high"))
    assert low < float(gap.sel(estimate="b")) < high < 0  # b is the worse one, and the interval says so
    widths = (made[f"{name}_high"] - made[f"{name}_low"]).values
    assert high - low < np.hypot(*widths)
    assert made[f"{name}_difference"].attrs["long_name"] == "critical success index, difference"


def test_a_constant_shift_of_all_days_has_no_uncertainty():
    sums = np.stack([np.full(30, 3.0), np.full(30, 4.0)], axis=-1)
    assert intervals(sums, ratio, bounds=(0.0, 1.0)) == pytest.approx([0.75, 0.75], abs=1e-12)


def test_blocks_are_days_of_the_calendar_and_empty_ones_do_not_count():
    hours = counted(days=24 * 6, step=np.timedelta64(1, "h"))
    assert bootstrap(hours, replicates=100).attrs["blocks"] == 6
    assert bootstrap(hours, replicates=100, block="6h").attrs["blocks"] == 24
    days = hours.resample(time="1D").sum()
    days.attrs.update(hours.attrs)
    one, other = bootstrap(hours, replicates=100), bootstrap(days, replicates=100)
    np.testing.assert_allclose(one.critical_success_index_low, other.critical_success_index_low)
    empty = xr.zeros_like(days).assign_coords(time=days["time"] + 20 * DAY)
    more = bootstrap(xr.concat([days, empty], "time", combine_attrs="override"), replicates=100)
    assert more.attrs["blocks"] == 6
    np.testing.assert_array_equal(more.critical_success_index_low, other.critical_success_index_low)
    dry = empty.assign(correct_negatives=empty.correct_negatives + 60)
    drier = bootstrap(xr.concat([days, dry], "time", combine_attrs="override"), replicates=100)
    assert drier.attrs["blocks"] == 12


def test_too_many_blocks_are_joined():
    sums = counted(days=1500, pixels=5)
    made = bootstrap(sums, replicates=100)
    assert (made.attrs["blocks"], made.attrs["block"]) == (751, "2880 min")  # pairs of days of the calendar


@pytest.mark.parametrize("kind", ["adjusted", "percentile"])
def test_what_a_day_or_two_cannot_say_is_nan(kind):
    sums = counted(days=1)
    made = bootstrap(sums, replicates=100, kind=kind)
    assert np.isfinite(made.critical_success_index).all()
    assert made.critical_success_index_low.isnull().all()
    none = bootstrap(xr.zeros_like(counted()), replicates=100, kind=kind, against="a")
    assert none.attrs["blocks"] == 0
    assert none.critical_success_index_high.isnull().all()


def test_a_score_that_rests_on_one_day_has_no_interval():
    rare = np.zeros((30, 2))
    rare[4] = 3.0, 4.0
    assert np.isnan(intervals(rare, ratio, bounds=(0.0, 1.0))).all()
    rare[9] = 1.0, 4.0
    low, high = intervals(rare, ratio, bounds=(0.0, 1.0))
    assert low < 0.5 < high


def test_the_range_is_kept_at_its_ends():
    rng = np.random.default_rng(1)
    trials = rng.poisson(20, 40) + 1.0
    hits = trials - np.isin(np.arange(40), (3, 17))
    low, high = intervals(np.stack([hits, trials], axis=-1), ratio, bounds=(0.0, 1.0))
    assert 0.9 < low < hits.sum() / trials.sum() < high <= 1.0
    low, high = intervals(np.stack([trials - hits, trials], axis=-1), ratio, bounds=(0.0, np.inf))
    assert 0.0 <= low < 1 - hits.sum() / trials.sum() < high


def test_gaps_between_days_break_the_memory():
    starts = np.array(["2018-06-01", "2018-06-02", "2018-06-05", "2018-06-06"], "datetime64[s]")
    assert predecessors(starts, np.timedelta64(86400, "s")).tolist() == [-1, 0, -1, 2]
    assert predecessors(starts[:0], DAY).tolist() == []


def test_block_lengths():
    assert block_length("30m") == np.timedelta64(30, "m")
    assert block_length("5D") == np.timedelta64(5, "D")
    for wrong in ("7h", "10m", "36h", "D", "", "1.5h", "-1D"):
        with pytest.raises(ConfigError, match="no length of a block"):
            block_length(wrong)


def test_what_cannot_be_drawn_is_refused():
    sums = counted()
    for given_, words in (
        ({"replicates": 10}, "too few"),
        ({"level": 95}, "no probability"),
        ({"kind": "normal"}, "no kind of interval"),
        ({"against": "c"}, "no estimate 'c'"),
        ({"block": "7h"}, "no length"),
    ):
        with pytest.raises(ConfigError, match=words):
            bootstrap(sums, **given_)
    with pytest.raises(GridError, match="no times"):
        bootstrap(pool(sums, "time"))
    with pytest.raises(ConfigError, match="no estimate"):
        bootstrap(sums.sel(estimate="a", drop=True), against="a")


def test_the_interval_covers_where_percentiles_and_pixels_do_not(monkeypatch):
    """A small piece of `python -m benchmarks.coverage`, of which the documentation shows the whole."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from benchmarks import coverage

    truth = coverage.population(200_000)
    made = coverage.coverage(0.3, 40, truth, count=60)
    adjusted, percentile, pixels = (made[name][0] for name in ("adjusted", "percentile", "pixels"))
    assert adjusted.mean() > 0.92
    assert (adjusted >= 0.85).all()
    assert percentile.mean() < 0.91
    assert pixels.max() < 0.5


def test_a_scale_that_is_one_of_few_has_an_interval_of_those():
    rng = np.random.default_rng(3)
    time = np.datetime64("2018-06-01", "ns") + np.arange(30) * np.timedelta64(1, "D")
    axes = {"time": time, **{name: (name, np.arange(40) * 1000.0, {"units": "m"}) for name in "yx"}}
    fields = [xr.DataArray(rng.gamma(0.2, 3.0, (30, 40, 40)), dims=("time", "y", "x"), coords=axes) for _ in range(2)]
    fields[0] = 0.6 * fields[0] + 0.4 * fields[1]
    sums = fractions(*fields, over=("y", "x"), thresholds=[1.0], scales=(1, 3, 5, 11))
    made = bootstrap(sums, replicates=200)
    ends = [float(made[f"skilful_scale{end}"].item()) for end in ("_low", "", "_high")]
    assert ends == sorted(ends)
    assert set(ends) <= {1.0, 3.0, 5.0, 11.0}


def test_no_block_at_all_gives_no_interval():
    made = bootstrap(counted(days=3).isel(time=[]))
    assert made.attrs["blocks"] == 0 and made["critical_success_index_low"].isnull().all()
