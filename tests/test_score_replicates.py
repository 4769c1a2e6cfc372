"""The replicate test: plain pairs, known answers, laws."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from ondee.errors import ConfigError, GridError, UnitError
from ondee.score import event, finish, merge, pool
from ondee.score.replicates import replicate
from ondee.score.windows import fractions

LEVELS = (0.1, 1.0, 4.0)
NAMES = ("critical_success_index", "fractions_skill_score", "correlation")


def fields(seed: int, members: int = 4, times: int = 2, side: int = 14, holes: float = 0.04):
    rng = np.random.default_rng(seed)
    base = np.where(rng.random((times, 1, side, side)) < 0.4, 0.0, rng.gamma(0.8, 3.0, (times, 1, side, side)))
    drawn = base * rng.gamma(2.0, 0.5, (times, members + 1, side, side))
    drawn[rng.random(drawn.shape) < holes] = np.nan
    every = xr.DataArray(
        drawn.astype("f4"),
        coords={"time": np.arange(times), "y": np.arange(side), "x": np.arange(side)},
        dims=("time", "member", "y", "x"),
        attrs={"units": "mm h-1"},
    )
    return every.isel(member=slice(1, None)), every.isel(member=0)


def exchangeable(seed: int, members: int = 8, times: int = 60, side: int = 40):
    """Truth and members of one law: rain in coherent cells whose chance and strength differ between places and days."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] * (2 * np.pi / side)
    phase = rng.uniform(0, 2 * np.pi, (times, 2, 1, 1))
    likely = 1.2 * np.sin(y + phase[:, 0]) * np.cos(x + phase[:, 1])
    noise = gaussian_filter(rng.normal(size=(times, members + 1, side, side)), (0, 0, 1.5, 1.5), mode="wrap")
    field = likely[:, None] + noise / noise.std()
    drawn = np.where(field > 0.3, np.exp(1.2 * (field - 0.3)) - 0.9, 0.0).astype("f4")
    every = xr.DataArray(drawn, coords={"time": np.arange(times)}, dims=("time", "member", "y", "x"))
    return every.isel(member=slice(1, None)), every.isel(member=0)


def gaps(sums: xr.Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Gap and its standard error, by leaving out one day after the other."""
    whole = finish(pool(sums, "time"))
    n = sums.sizes["time"]
    left = xr.concat([finish(pool(sums.isel(time=np.delete(np.arange(n), k)), "time")) for k in range(n)], "left")
    made = {}
    for name in NAMES:
        label = f"replicate_gap_{name}"
        error = np.sqrt((n - 1) * left[label].var("left"))
        made[name] = (np.atleast_1d(whole[label].values), np.atleast_1d(error.values))
    return made


def plain(estimate: xr.DataArray, truth: xr.DataArray, level: float, scale: int) -> dict[str, list[float]]:
    """Scores of all pairs, formed one by one."""
    e = estimate.transpose("member", "time", "y", "x").values.astype(float)
    t = truth.values.astype(float)
    hidden = np.isnan(t) | np.isnan(e).any(axis=0)
    every = np.where(hidden, np.nan, np.concatenate([e, t[None]]))
    m = len(e)
    made: dict[str, list[float]] = {name: [] for name in NAMES}
    for pairs in ([(i, m) for i in range(m)], list(itertools.permutations(range(m), 2))):
        hits = events = 0
        difference = squares = 0.0
        ones, others = [], []
        for i, j in pairs:
            a, b = every[i] >= np.float32(level), every[j] >= np.float32(level)
            hits += (a & b).sum()
            events += (a | b).sum()
            ones.append(every[i][~hidden])
            others.append(every[j][~hidden])
            for k, y, x in np.argwhere(~hidden):
                window = np.s_[
                    k, max(0, y - scale // 2) : y + scale // 2 + 1, max(0, x - scale // 2) : x + scale // 2 + 1
                ]
                seen = ~hidden[window]
                if seen.sum() >= 0.5 * scale**2:
                    p, q = a[window][seen].mean(), b[window][seen].mean()
                    difference += (p - q) ** 2
                    squares += p**2 + q**2
        made["critical_success_index"].append(hits / events)
        made["fractions_skill_score"].append(1 - difference / squares)
        made["correlation"].append(float(np.corrcoef(np.concatenate(ones), np.concatenate(others))[0, 1]))
    return made


@pytest.mark.parametrize("scale", [1, 3, 5])
def test_closed_forms_are_all_pairs_with_holes(scale: int) -> None:
    estimate, truth = fields(scale, members=3, side=9)
    found = finish(replicate(estimate, truth, thresholds=(0.1, 2.0), scale=scale))
    for k, level in enumerate((0.1, 2.0)):
        expected = plain(estimate, truth, level, scale)
        for name in NAMES:
            got = found[f"replicate_{name}"]
            got = got.isel(threshold=k) if "threshold" in got.dims else got
            np.testing.assert_allclose(got, expected[name], rtol=1e-6)
            gap = found[f"replicate_gap_{name}"]
            gap = gap.isel(threshold=k) if "threshold" in gap.dims else gap
            assert float(gap) == pytest.approx(expected[name][1] - expected[name][0], abs=1e-6)


def test_against_the_truth_it_is_the_score_of_the_members_pooled() -> None:
    estimate, truth = fields(4, side=30, members=6)
    whole = estimate.where(estimate.notnull().all("member"))
    found = finish(replicate(estimate, truth, thresholds=LEVELS, scale=5)).sel(against="truth")
    expected = finish(event(whole, truth, thresholds=LEVELS)).critical_success_index
    np.testing.assert_allclose(found.replicate_critical_success_index, expected, rtol=1e-9)
    expected = finish(fractions(whole, truth, thresholds=LEVELS, scales=(5,))).fractions_skill_score
    np.testing.assert_allclose(found.replicate_fractions_skill_score, expected.isel(scale=0), rtol=1e-9)


def test_of_the_truths_own_law_no_gap_is_left() -> None:
    estimate, truth = exchangeable(5)
    for name, (gap, error) in gaps(replicate(estimate, truth, over=("y", "x"), thresholds=LEVELS)).items():
        assert (error < 0.02).all(), name
        assert (abs(gap) < 3 * error).all(), (name, gap, error)


def test_a_plain_average_and_timid_members_leave_one() -> None:
    estimate, truth = exchangeable(6, times=30)
    average = estimate.mean("member")
    copies = average.expand_dims(member=8)
    timid = average + 0.3 * (estimate - average)
    for dull in (copies, timid):
        for name, (gap, error) in gaps(replicate(dull, truth, over=("y", "x"), thresholds=(0.5, 1.0))).items():
            assert (gap > 0.1).all() and (gap > 5 * error).all(), name
    wild = estimate.roll(y=20).where(estimate.member % 2 == 1, estimate)  # half of them rain elsewhere
    found = finish(replicate(wild, truth, thresholds=(0.5,)))
    assert float(found.replicate_gap_correlation) < 0.02


def test_members_that_are_the_truth_are_perfect() -> None:
    _, truth = fields(7)
    found = finish(replicate(truth.expand_dims(member=3), truth, thresholds=(0.1, 1.0)))
    for name in NAMES:
        np.testing.assert_allclose(found[f"replicate_{name}"], 1.0)
        np.testing.assert_allclose(found[f"replicate_gap_{name}"], 0.0, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_laws(seed: int, cut: int) -> None:
    estimate, truth = fields(seed, times=4, side=9)
    whole = replicate(estimate, truth, thresholds=LEVELS, scale=3)
    mixed = estimate.isel(member=np.random.default_rng(seed).permutation(4))
    xr.testing.assert_allclose(replicate(mixed, truth, thresholds=LEVELS, scale=3), whole, rtol=1e-9)
    parts = [slice(None, cut), slice(cut, None)]
    made = [
        replicate(estimate.isel(time=s), truth.isel(time=s), over=("y", "x"), thresholds=LEVELS, scale=3) for s in parts
    ]
    xr.testing.assert_allclose(pool(merge(*made), "time"), whole, rtol=1e-9)
    margin = {"y": (3, 2), "x": (1, 4)}
    wider = [array.drop_vars(["y", "x"]).pad(margin, constant_values=np.nan) for array in (estimate, truth)]
    xr.testing.assert_allclose(replicate(*wider, thresholds=LEVELS, scale=3), whole, rtol=1e-9)
    weights = xr.full_like(truth, 3.0).fillna(3.0)
    xr.testing.assert_allclose(replicate(estimate, truth, thresholds=LEVELS, scale=3, weights=weights), whole * 3)


def test_where_there_is_nothing_it_is_undefined() -> None:
    estimate, truth = fields(8)
    for nothing in (xr.full_like(truth, np.nan), xr.zeros_like(truth)):
        found = finish(replicate(xr.zeros_like(estimate), nothing))
        assert all(np.isnan(found[name]).all() for name in found)
    flat = finish(replicate(xr.full_like(estimate, 0.7), xr.full_like(truth, 0.7)))
    assert np.isnan(flat.replicate_correlation).all()
    assert set(flat.replicate_correlation["against"].values) == {"truth", "member"}


def test_what_cannot_be_tested_is_refused() -> None:
    estimate, truth = fields(9)
    with pytest.raises(ConfigError, match="two members"):
        replicate(estimate.isel(member=[0]), truth)
    with pytest.raises(ConfigError, match="no dimension 'member'"):
        replicate(truth, truth)
    for scale in (0, 4):
        with pytest.raises(ConfigError, match="no centre"):
            replicate(estimate, truth, scale=scale)
    with pytest.raises(ConfigError, match="coverage"):
        replicate(estimate, truth, coverage=1.5)
    with pytest.raises(GridError, match="neighbours"):
        replicate(estimate, truth, over="time")
    with pytest.raises(UnitError):
        replicate(estimate, truth.assign_attrs(units="mm"))
