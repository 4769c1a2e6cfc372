"""Members pixel by pixel and patch by patch: known answers, plain definitions, published libraries, laws."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ondee.errors import ConfigError, GridError, UnitError
from ondee.score import finish, merge, pool
from ondee.score.joint import patch_start
from ondee.score.members import crps, energy, ranks, spread, variogram
from ondee.score.ties import keys, uniform

SCORES = {
    "crps": lambda e, t, **k: crps(e, t, tails=(0.0, 0.5, 2.0), **k),
    "spread": spread,
    "ranks": ranks,
    "energy": lambda e, t, **k: energy(e, t, patch=3, **k),
    "variogram": lambda e, t, **k: variogram(e, t, patch=2, **k),
}


def rain(seed: int, times: int = 3, members: int = 5, side: int = 12, holes: float = 0.1, dtype: str = "f4"):
    """Rain with dry pixels, ties and holes on a grid that does not begin at 0; the ensemble lies inside the days."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        values = np.where(rng.random(shape) < 0.6, 0.0, np.round(rng.gamma(0.7, 3.0, shape), 1))
        return np.where(rng.random(shape) < holes, np.nan, values).astype(dtype)

    coords = {
        "time": np.datetime64("2021-06-01", "ns") + np.arange(times) * np.timedelta64(30, "m"),
        "y": 48.45 - 0.1 * np.arange(side),
        "x": 2.05 + 0.1 * np.arange(side),
    }
    units = {"units": "mm h-1"}
    truth = xr.DataArray(draw(times, side, side), coords=coords, dims=("time", "y", "x"), attrs=units)
    inside = draw(times, members, side, side)
    inside[np.isnan(inside) & (rng.random(inside.shape) < 0.8)] = 0.0  # holes of any member add up
    return xr.DataArray(inside, coords=coords, dims=("time", "member", "y", "x"), attrs=units), truth


def hurdle(seed: int, times: int = 40, members: int = 15, side: int = 64):
    """Truth and members from one law, which varies from place to place: a chance of rain, and a gamma law of it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] * (2 * np.pi / side)
    phase = rng.uniform(0, 2 * np.pi, (times, 2, 1, 1))
    chance = 0.5 + 0.45 * np.sin(y + phase[:, 0]) * np.cos(x + phase[:, 1])
    scale = 0.5 + 2.0 * chance
    shape = (times, members + 1, side, side)
    drawn = np.where(rng.random(shape) < chance[:, None], rng.gamma(1.0, 1.0, shape) * scale[:, None], 0.0)
    coords = {"time": np.arange(times), "y": np.arange(side) + 0.5, "x": np.arange(side) + 0.5}
    every = xr.DataArray(drawn.astype("f4"), coords=coords, dims=("time", "member", "y", "x"))
    return every.isel(member=slice(1, None)), every.isel(member=0)


def pixels(estimate: xr.DataArray, truth: xr.DataArray):
    """Every pixel that truth and all members have: truth, members."""
    e = estimate.transpose("member", "time", "y", "x").values.astype(float)
    for t, y, x in np.ndindex(*truth.shape):
        if np.isfinite(truth.values[t, y, x]) and np.isfinite(e[:, t, y, x]).all():
            yield float(truth.values[t, y, x]), e[:, t, y, x]


# ---- continuous ranked probability score


def test_crps_agrees_with_libraries_on_complete_data() -> None:
    sr = pytest.importorskip("scoringrules")
    estimate, truth = rain(0, members=7, holes=0.0, dtype="f8")
    found = finish(crps(estimate, truth, tails=(0.0, 0.5, 4.0)))
    for k, (name, cut) in itertools.product(range(3), (("fair", "fair_crps"), ("nrg", "ensemble_crps"))):
        tail = (-np.inf, 0.5, 4.0)[k]
        expected = sr.twcrps_ensemble(truth.values, estimate.values, a=tail, m_axis=1, estimator=name).mean()
        assert found[cut].values[k] == pytest.approx(expected, abs=1e-9)
    xs = pytest.importorskip("xskillscore")
    assert found.ensemble_crps.values[0] == pytest.approx(float(xs.crps_ensemble(truth, estimate)), abs=1e-9)
    assert found.fair_crps.attrs["units"] == "mm h-1"


@pytest.mark.parametrize("members", [1, 2, 3, 5, 16, 33])
def test_crps_is_its_definition_with_holes(members: int) -> None:
    estimate, truth = rain(members, members=members, holes=0.05)
    fair, plain, n = np.zeros(3), np.zeros(3), 0
    for y, x in pixels(estimate, truth):
        for k, cut in enumerate((-np.inf, 0.5, 2.0)):
            own, true = [max(value, cut) for value in x], max(y, cut)
            error = np.mean([abs(value - true) for value in own])
            apart = sum(abs(a - b) for a in own for b in own)
            fair[k] += error - (apart / (2 * members * (members - 1)) if members > 1 else np.nan)
            plain[k] += error - apart / (2 * members**2)
        n += 1
    assert 0 < n < truth.size
    found = finish(crps(estimate, truth, tails=(0.0, 0.5, 2.0)))
    np.testing.assert_allclose(found.fair_crps, fair / n, atol=1e-6)
    np.testing.assert_allclose(found.ensemble_crps, plain / n, atol=1e-6)


def test_nothing_is_cut_at_zero() -> None:
    below = xr.DataArray([-3.0, -1.0], dims="x")
    members = xr.DataArray([[-2.0, -2.0], [-5.0, 0.0]], dims=("member", "x"))
    assert finish(crps(members, below, tails=[0.0])).fair_crps.values[0] == pytest.approx(
        ((1 + 2 - 3) + (1 + 1 - 2)) / 4
    )
    assert finish(crps(members, below, tails=[0.0])).ensemble_crps.values[0] == pytest.approx((0.75 + 0.5) / 2)


def test_the_fair_score_does_not_reward_more_members() -> None:
    estimate, truth = hurdle(1, times=20, members=30)
    few, many = (finish(crps(estimate.isel(member=slice(m)), truth)).isel(tail=0) for m in (3, 30))
    assert float(few.fair_crps) == pytest.approx(float(many.fair_crps), rel=0.01)
    assert float(few.ensemble_crps) > 1.2 * float(many.ensemble_crps)


# ---- spread


def test_spread_is_its_definition_with_holes() -> None:
    estimate, truth = rain(3)
    edges = np.array([0.0, 0.5, 1.0, 3.0])
    variance, error, n = np.zeros(4), np.zeros(4), np.zeros(4)
    for y, x in pixels(estimate, truth):
        k = np.searchsorted(edges, x.std(ddof=1), side="right") - 1
        variance[k] += x.var(ddof=1)
        error[k] += (x.mean() - y) ** 2
        n[k] += 1
    found = finish(spread(estimate, truth, classes=edges))
    np.testing.assert_allclose(found.spread_by_class, np.sqrt(6 / 5 * variance / n), rtol=1e-6)
    np.testing.assert_allclose(found.rmse_by_class, np.sqrt(error / n), rtol=1e-6)
    np.testing.assert_allclose(found.spread_class_share, n / n.sum())
    assert float(found.ensemble_spread) == pytest.approx(np.sqrt(6 / 5 * variance.sum() / n.sum()), rel=1e-6)
    assert float(found.spread_skill_ratio) == pytest.approx(np.sqrt(6 / 5 * variance.sum() / error.sum()), rel=1e-6)


# ---- ranks


def test_ranks_agree_with_xskillscore_without_ties() -> None:
    xs = pytest.importorskip("xskillscore")
    rng = np.random.default_rng(4)
    truth = xr.DataArray(rng.normal(size=(30, 20)), dims=("y", "x"))
    estimate = xr.DataArray(rng.normal(0.2, 1.3, (9, 30, 20)), dims=("member", "y", "x"))
    expected = xs.rank_histogram(truth, estimate, random_for_tied=False).values
    np.testing.assert_array_equal(ranks(estimate, truth)["count"].sel(population="all"), expected)


def test_ties_are_shared_out_evenly_and_holes_left_out() -> None:
    estimate, truth = rain(5, times=60, side=16)
    expected, wet, n = np.zeros(6), np.zeros(6), 0
    for y, x in pixels(estimate, truth):
        below, ties = int((x < y).sum()), int((x == y).sum())
        share = np.zeros(6)
        share[below : below + ties + 1] = 1 / (ties + 1)
        expected += share
        wet += share * (max(y, x.max()) >= np.float32(0.1))
        n += 1
    count = ranks(estimate, truth)["count"]
    assert float(count.sel(population="all").sum()) == n
    assert float(count.sel(population="wet").sum()) == pytest.approx(wet.sum())
    np.testing.assert_allclose(count.sel(population="all"), expected, atol=5 * np.sqrt(n / 6))
    assert chisquare(count.sel(population="all"), expected).pvalue > 1e-3
    frequency = finish(ranks(estimate, truth)).sel(population="all")
    share = count.sel(population="all").values / n
    assert float(frequency.rank_flatness) == pytest.approx(abs(share - 1 / 6).sum())
    assert float(frequency.outlier_share) == pytest.approx(share[0] + share[-1])


def test_ties_belong_to_the_pixel_and_the_seed() -> None:
    estimate, truth = rain(6)
    whole = ranks(estimate, truth)
    xr.testing.assert_identical(
        whole, ranks(estimate.transpose("x", "member", "y", "time"), truth.transpose("x", "y", "time"))
    )
    xr.testing.assert_identical(
        whole, ranks(estimate.isel(y=slice(None, None, -1)), truth.isel(y=slice(None, None, -1)))
    )
    assert not whole["count"].equals(ranks(estimate, truth, seed=1)["count"])
    days = ranks(estimate, truth, over=("y", "x"))
    second = ranks(estimate.isel(time=[1]), truth.isel(time=[1]), over=("y", "x"))
    xr.testing.assert_identical(days.isel(time=[1]), second)


def test_keyed_numbers_are_uniform() -> None:
    field = xr.DataArray(np.zeros((4, 50, 50)), dims=("time", "y", "x"), coords={"time": np.arange(4).astype("M8[D]")})
    moment, place = keys(field, 0)
    drawn = np.array([uniform(np.uint64(key)) for key in (moment ^ place).values.ravel()])
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert np.unique(drawn).size == drawn.size
    assert chisquare(np.histogram(drawn, 50, (0, 1))[0]).pvalue > 1e-3
    in_rows = drawn.reshape(4, 50, 50)
    for one, other in (
        (in_rows[:-1], in_rows[1:]),
        (in_rows[:, :-1], in_rows[:, 1:]),
        (in_rows[..., :-1], in_rows[..., 1:]),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.04
    text = field.isel(time=0).rename(y="station").assign_coords(station=[f"s{k}" for k in range(50)], x=np.arange(50))
    assert np.unique((lambda a, b: a ^ b)(*keys(text, 3)).values).size == 2500


# ---- patches


def test_energy_and_variogram_agree_with_scoringrules() -> None:
    sr = pytest.importorskip("scoringrules")
    estimate, truth = rain(7, times=2, members=6, side=16, holes=0.0, dtype="f8")
    plain = {"time": np.arange(2)}
    estimate, truth = (array.drop_vars(["y", "x"]).assign_coords(plain) for array in (estimate, truth))
    e, t = (array.transpose("time", ..., "y", "x").values for array in (estimate, truth))
    cut = [(k, slice(i, i + 4), slice(j, j + 4)) for k in range(2) for i in range(0, 16, 4) for j in range(0, 16, 4)]
    true = np.array([t[k, i, j].ravel() for k, i, j in cut])
    own = np.array([e[k][:, i, j].reshape(6, -1) for k, i, j in cut])
    found = finish(energy(estimate, truth, patch=4))
    assert float(found.energy_score) == pytest.approx(sr.es_ensemble(true, own, estimator="fair").mean(), rel=1e-9)
    found = finish(variogram(estimate, truth, patch=4))
    for name, estimator in (("variogram_score", "nrg"), ("fair_variogram_score", "fair")):
        expected = sr.vs_ensemble(true, own, p=0.5, estimator=estimator).mean()
        assert float(found[name]) == pytest.approx(expected, rel=1e-9)


def test_patches_are_complete_ones_on_the_grid() -> None:
    estimate, truth = rain(8, times=2, members=4, side=11, holes=0.02)
    side = 3
    rows = np.floor(truth.y.values / 0.1).astype(int)  # centres lie at half steps
    columns = np.floor(truth.x.values / 0.1).astype(int)
    e = estimate.transpose("member", "time", "y", "x").values.astype(float)
    weights = xr.DataArray(np.linspace(0.5, 1.5, 11), coords={"y": truth.y}, dims="y")
    scores, shares, lost = [], [], 0
    for k, row, column in itertools.product(range(2), np.unique(rows // side), np.unique(columns // side)):
        i, j = np.flatnonzero(rows // side == row), np.flatnonzero(columns // side == column)
        if i.size < side or j.size < side:
            continue
        y, x = truth.values[k][np.ix_(i, j)].ravel(), np.array([m[k][np.ix_(i, j)].ravel() for m in e])
        if not (np.isfinite(y).all() and np.isfinite(x).all()):
            lost += 1
            continue
        apart = sum(np.linalg.norm(a - b) for a in x for b in x)
        scores.append(np.mean([np.linalg.norm(a - y) for a in x]) - apart / (2 * 4 * 3))
        shares.append(weights.values[i].mean())
    assert lost and scores
    found = energy(estimate, truth, patch=side, weights=weights)
    assert float(found["weight"]) == pytest.approx(sum(shares))
    assert float(finish(found).energy_score) == pytest.approx(np.average(scores, weights=shares), rel=1e-6)


def test_patches_of_one_pixel_give_the_fair_crps() -> None:
    estimate, truth = rain(9)
    one = float(finish(energy(estimate, truth, patch=1)).energy_score)
    assert one == pytest.approx(float(finish(crps(estimate, truth, tails=[0.0])).fair_crps[0]), rel=1e-6)


@pytest.mark.parametrize("start", [0.0, 0.05, 3.15, 7.0])
def test_patches_do_not_depend_on_where_a_part_begins(start: float) -> None:
    x = start + 0.1 * np.arange(40)
    whole = xr.DataArray(np.zeros(40), coords={"x": x}, dims="x")
    first = patch_start(whole, "x", 8)
    for cut in range(30):
        assert (cut + patch_start(whole[cut:], "x", 8) - first) % 8 == 0
    back = whole[::-1]
    assert (40 - patch_start(back, "x", 8) - first) % 8 == 0


def test_variogram_sees_lost_structure_and_energy_hardly() -> None:
    rng = np.random.default_rng(10)
    field = rng.normal(size=(21, 40, 1, 1)) * np.ones((1, 1, 8, 8))  # every patch is flat
    mixed = rng.normal(size=(20, 40, 8, 8))
    truth = xr.DataArray(field[0], dims=("time", "y", "x"))
    right, wrong = (xr.DataArray(v, dims=("member", "time", "y", "x")) for v in (field[1:], mixed))
    good, bad = (float(finish(variogram(e, truth)).fair_variogram_score) for e in (right, wrong))
    assert good == pytest.approx(0.0, abs=1e-9)
    assert bad > 100


# ---- known answers


def test_an_ensemble_of_the_truths_own_law_is_flat_and_spreads_as_it_errs() -> None:
    estimate, truth = hurdle(11)
    counts = ranks(estimate, truth)["count"]
    for population in ("all", "wet"):
        assert chisquare(counts.sel(population=population)).pvalue > 0.01
    assert float(finish(ranks(estimate, truth)).rank_flatness.max()) < 0.02
    found = finish(spread(estimate, truth))
    assert float(found.spread_skill_ratio) == pytest.approx(1.0, abs=0.03)


def test_error_follows_spread_by_class_where_members_are_many() -> None:
    rng = np.random.default_rng(16)
    deviation = rng.uniform(0.2, 4.0, (60, 100))
    drawn = xr.DataArray(rng.normal(size=(121, 60, 100)) * deviation, dims=("member", "y", "x"))
    found = finish(spread(drawn.isel(member=slice(1, None)), drawn.isel(member=0), classes=(0.0, 1.0, 2.0, 3.0)))
    np.testing.assert_allclose(found.spread_by_class, found.rmse_by_class, rtol=0.06)
    assert float(found.spread_by_class[3]) > 4 * float(found.spread_by_class[0])


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_plain_average_is_not(noise: float) -> None:
    estimate, truth = hurdle(12, times=10)
    rng = np.random.default_rng(0)
    average = estimate.mean("member").expand_dims(member=15)
    dull = (average + noise * abs(rng.normal(size=average.shape))).astype("f4")
    found = finish(ranks(dull, truth))
    assert (found.rank_flatness > 0.5).all()
    assert chisquare(ranks(dull, truth)["count"].sel(population="wet")).pvalue < 1e-9
    assert float(finish(spread(dull, truth)).spread_skill_ratio) < 0.5


# ---- laws


@given(st.integers(0, 10**6), st.sampled_from(sorted(SCORES)))
@settings(max_examples=25, deadline=None)
def test_order_of_members_does_not_matter(seed: int, name: str) -> None:
    estimate, truth = rain(seed, times=2, side=7)
    mixed = estimate.isel(member=np.random.default_rng(seed).permutation(5))
    xr.testing.assert_allclose(SCORES[name](estimate, truth), SCORES[name](mixed, truth), rtol=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(sorted(SCORES)), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_parts_add_up(seed: int, name: str, cut: int) -> None:
    estimate, truth = rain(seed, times=4, side=7)
    whole = SCORES[name](estimate, truth)
    parts = [slice(None, cut), slice(cut, None)]
    by_time = [SCORES[name](estimate.isel(time=part), truth.isel(time=part)) for part in parts]
    xr.testing.assert_allclose(merge(*by_time), whole, rtol=1e-9)
    kept = [SCORES[name](estimate.isel(time=part), truth.isel(time=part), over=("y", "x")) for part in parts]
    xr.testing.assert_allclose(pool(merge(*kept), "time"), whole, rtol=1e-9)
    if name in ("crps", "spread", "ranks"):
        tiles = [SCORES[name](estimate.isel(x=part), truth.isel(x=part)) for part in parts]
        xr.testing.assert_allclose(merge(*tiles), whole, rtol=1e-9)
        columns = SCORES[name](estimate, truth, over="time")
        assert columns["weight" if name == "crps" else "count" if name == "ranks" else "variance"].dims[:2] == (
            "y",
            "x",
        )
        xr.testing.assert_allclose(pool(columns, ("y", "x")), whole, rtol=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(sorted(SCORES)))
@settings(max_examples=20, deadline=None)
def test_missing_pixels_add_nothing(seed: int, name: str) -> None:
    estimate, truth = rain(seed, times=2, side=7)
    whole = SCORES[name](estimate, truth)
    margin = {"y": (2, 3), "x": (1, 4)}

    def wider(array: xr.DataArray) -> xr.DataArray:
        y, x = 48.45 - 0.1 * np.arange(-2, 10), 2.05 + 0.1 * np.arange(-1, 11)
        return array.pad(margin, constant_values=np.nan).assign_coords(y=y, x=x)

    if name != "ranks":  # whose keys are coordinates, to the last bit
        xr.testing.assert_allclose(SCORES[name](wider(estimate), wider(truth)), whole, rtol=1e-9)
    dry = xr.full_like(truth, np.nan).isel(time=[0]).assign_coords(time=[np.datetime64("2030-01-01", "ns")])
    longer = xr.concat([truth, dry], "time")
    padded = xr.concat([estimate, estimate.isel(time=[0]).assign_coords(time=dry.time)], "time")
    xr.testing.assert_allclose(SCORES[name](padded, longer), whole, rtol=1e-9)
    none = SCORES[name](estimate, xr.full_like(truth, np.nan))
    assert all(float(abs(none[variable]).sum()) == 0 for variable in none)
    finish(none)  # undefined, and without a warning


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_weights_are_repetitions(seed: int) -> None:
    estimate, truth = rain(seed, times=3, side=6)
    weights = xr.DataArray([1.0, 2.0, 0.0], coords={"time": truth.time}, dims="time")
    repeated = xr.concat([truth.isel(time=[0, 1]), truth.isel(time=[1])], "time").drop_vars("time")
    members = xr.concat([estimate.isel(time=[0, 1]), estimate.isel(time=[1])], "time").drop_vars("time")
    for name in ("crps", "spread", "energy", "variogram"):
        weighted = SCORES[name](estimate, truth, weights=weights)
        xr.testing.assert_allclose(weighted, SCORES[name](members, repeated), rtol=1e-9)


@pytest.mark.parametrize("name", ["crps", "spread", "energy", "variogram"])
def test_members_that_are_the_truth_are_perfect(name: str) -> None:
    _, truth = rain(13)
    found = finish(SCORES[name](truth.expand_dims(member=4), truth))
    best = {
        "fair_crps",
        "ensemble_crps",
        "ensemble_mean_rmse",
        "energy_score",
        "variogram_score",
        "fair_variogram_score",
    }
    assert all(abs(found[variable]).max() < 1e-12 for variable in best & set(found))


def test_other_dimensions_of_the_estimate_are_kept() -> None:
    estimate, truth = rain(14)
    both = xr.concat([estimate, estimate * 2], "estimate").assign_coords(estimate=["a", "b"])
    both.attrs = estimate.attrs
    for name, score in SCORES.items():
        found = score(both, truth)
        for label, alone in (("a", estimate), ("b", (estimate * 2).assign_attrs(estimate.attrs))):
            xr.testing.assert_allclose(found.sel(estimate=label, drop=True), score(alone, truth), rtol=1e-9)
        assert all("estimate" in finish(found)[variable].dims for variable in finish(found)), name


# ---- refusals


def test_what_cannot_be_scored_is_refused() -> None:
    estimate, truth = rain(15)
    for score in SCORES.values():
        with pytest.raises(ConfigError, match="no dimension 'member'"):
            score(truth, truth)
        with pytest.raises(UnitError):
            score(estimate.assign_attrs(units="mm"), truth)
    one = estimate.isel(member=[0])
    with pytest.raises(ConfigError, match="two members"):
        spread(one, truth)
    with pytest.raises(ConfigError, match="rise from 0"):
        spread(estimate, truth, classes=[1.0, 2.0])
    with pytest.raises(ConfigError, match="tails"):
        crps(estimate, truth, tails=[2.0, 1.0])
    with pytest.raises(ConfigError, match="patch"):
        energy(estimate, truth, patch=0)
    with pytest.raises(GridError, match="neighbours"):
        variogram(estimate, truth, over="time")
    with pytest.raises(ConfigError, match="do not belong together"):
        merge(ranks(estimate, truth), ranks(estimate, truth, seed=1))
    assert np.isnan(finish(crps(one, truth)).fair_crps).all()
    assert np.isnan(finish(energy(one, truth)).energy_score)
    assert np.isnan(finish(variogram(one, truth)).fair_variogram_score)
