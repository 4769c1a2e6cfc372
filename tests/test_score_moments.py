"""Pixel against pixel: published libraries where data are complete, plain loops where there are holes, and laws."""

import math

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.errors import ConfigError, UnitError
from ondee.score.catalogue import MEASURES
from ondee.score.moments import decomposition, multiplicative, point, rank_correlation
from ondee.score.sums import finish, merge, pool

SCORES = (point, multiplicative, decomposition, rank_correlation)


def rain(seed, shape=(3, 12, 9), holes=0.2, step=None, dtype=np.float64, members=0):
    """Truth and estimate with dry, wet and missing pixels; in multiples of `step` where given."""
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(shape) < 0.6, rng.gamma(0.7, 3.0, shape), 0.0)
    full = (members, *shape) if members else shape
    estimate = np.where(rng.random(full) < 0.7, truth * rng.lognormal(0.1, 0.6, full), rng.exponential(0.4, full))
    estimate[rng.random(full) < 0.3] = 0.0
    if step:
        truth, estimate = (np.round(values / step) * step for values in (truth, estimate))
    truth[rng.random(shape) < holes] = np.nan
    estimate[rng.random(full) < holes] = np.nan
    dims = ("time", "y", "x")
    return (
        xr.DataArray(estimate.astype(dtype), dims=(("member",) if members else ()) + dims, attrs={"units": "mm h-1"}),
        xr.DataArray(truth.astype(dtype), dims=dims, attrs={"units": "mm h-1"}),
    )


def pairs(estimate, truth, weights=None):
    """Observed pairs and their weight, one by one."""
    own = np.ones(truth.shape) if weights is None else weights.broadcast_like(truth).values
    fields = estimate.values.reshape(-1, truth.size)
    return [
        (float(s), float(r), float(w))
        for field in fields
        for s, r, w in zip(field, truth.values.ravel(), own.ravel(), strict=True)
        if math.isfinite(s) and math.isfinite(r) and math.isfinite(w) and w > 0
    ]


def weight_of(truth, seed=5):
    rng = np.random.default_rng(seed)
    values = rng.random(truth.shape[-2:])
    values[0, :3] = 0.0
    values[1, :2] = np.nan
    return xr.DataArray(values, dims=("y", "x"))


def test_point_agrees_with_scores():
    continuous = pytest.importorskip("scores.continuous")
    estimate, truth = rain(1, holes=0.0)
    made = finish(point(estimate, truth)).sel(population="all")
    for name, oracle in {
        "mean_error": continuous.mean_error,
        "mean_absolute_error": continuous.mae,
        "root_mean_square_error": continuous.rmse,
        "kling_gupta_efficiency": continuous.kge,
        "correlation": continuous.correlation.pearsonr,
    }.items():
        assert float(made[name]) == pytest.approx(float(oracle(estimate, truth)), rel=1e-9), name
    assert float(made.root_mean_square_error) ** 2 == pytest.approx(float(continuous.mse(estimate, truth)), rel=1e-9)
    assert float(made.relative_bias) == pytest.approx(float(continuous.pbias(estimate, truth)) / 100, rel=1e-9)
    assert float(made.samples) == truth.size


@pytest.mark.parametrize("population", ["all", "either", "hits"])
@pytest.mark.parametrize("weighted", [False, True])
def test_point_by_its_definition(population, weighted):
    estimate, truth = rain(2, members=2)
    weights = weight_of(truth) if weighted else None
    made = finish(point(estimate, truth, weights=weights)).sel(population=population)
    wanted = {"all": 0, "either": 1, "hits": 2}[population]
    kept = [pair for pair in pairs(estimate, truth, weights) if (pair[0] >= 0.1) + (pair[1] >= 0.1) >= wanted]
    s, r, w = map(np.array, zip(*kept, strict=True))
    mean_s, mean_r = (s * w).sum() / w.sum(), (r * w).sum() / w.sum()
    var_s, var_r = (w * (s - mean_s) ** 2).sum() / w.sum(), (w * (r - mean_r) ** 2).sum() / w.sum()
    correlation = (w * (s - mean_s) * (r - mean_r)).sum() / w.sum() / math.sqrt(var_s * var_r)
    root = math.sqrt((w * (s - r) ** 2).sum() / w.sum())
    expected = {
        "mean_error": mean_s - mean_r,
        "relative_bias": mean_s / mean_r - 1,
        "mean_absolute_error": (w * abs(s - r)).sum() / w.sum(),
        "root_mean_square_error": root,
        "normalised_rmse": root / mean_r,
        "correlation": correlation,
        "kling_gupta_efficiency": 1
        - math.dist((correlation, math.sqrt(var_s / var_r), mean_s / mean_r), (1.0, 1.0, 1.0)),
        "mean_estimate": mean_s,
        "mean_truth": mean_r,
        "samples": len(kept),
    }
    assert set(expected) == set(made.data_vars)
    for name, value in expected.items():
        assert float(made[name]) == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_multiplicative_recovers_the_law():
    rng = np.random.default_rng(3)
    truth = xr.DataArray(rng.lognormal(1.0, 1.0, 40_000), dims="x")
    estimate = np.exp(0.3 + 0.7 * np.log(truth) + rng.normal(0, 0.25, truth.size))
    made = finish(multiplicative(estimate, truth, wet=1e-3))
    assert float(made.multiplicative_offset) == pytest.approx(0.3, abs=0.01)
    assert float(made.multiplicative_slope) == pytest.approx(0.7, abs=0.01)
    assert float(made.multiplicative_scatter) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("step", "tolerance"), [(0.5, 1e-9), (None, 1e-6)])
def test_multiplicative_by_its_definition(step, tolerance):
    """Exact where each class holds one value, else within what a parabola leaves of a curve."""
    estimate, truth = rain(4, shape=(4, 20, 20), step=step)
    made = finish(multiplicative(estimate, truth))
    kept = [(s, r) for s, r, _ in pairs(estimate, truth) if s >= 0.1 and r >= 0.1]
    s, r = map(np.array, zip(*kept, strict=True))
    fit = scipy.stats.linregress(np.log(r), np.log(s))
    assert float(made.multiplicative_offset) == pytest.approx(fit.intercept, rel=1e-9)
    assert float(made.multiplicative_slope) == pytest.approx(fit.slope, rel=1e-9)
    left = np.log(s) - fit.intercept - fit.slope * np.log(r)
    assert float(made.multiplicative_scatter) == pytest.approx(left.std(), rel=1e-9)
    fitted = np.exp(fit.intercept) * r**fit.slope
    error = ((s - r) ** 2).sum()
    assert float(made.systematic_error_share) == pytest.approx(((fitted - r) ** 2).sum() / error, rel=tolerance)
    assert float(made.random_error_share) == pytest.approx(((s - fitted) ** 2).sum() / error, rel=tolerance)


def test_decomposition_by_its_definition():
    estimate, truth = rain(6, members=2)
    weights = weight_of(truth)
    levels = (0.1, 1.0, 4.0)
    made = finish(decomposition(estimate, truth, thresholds=levels, weights=weights))
    for level in levels:
        part = dict.fromkeys(("over", "under", "missed", "false", "rest", "truth", "estimate"), 0.0)
        for s, r, w in pairs(estimate, truth, weights):
            part["truth"] += w * r
            part["estimate"] += w * s
            if s >= level and r >= level:
                part["over" if s > r else "under"] += w * abs(s - r)
            elif r >= level:
                part["missed"] += w * r
                part["rest"] += w * s
            elif s >= level:
                part["false"] += w * s
                part["rest"] -= w * r
            else:
                part["rest"] += w * (s - r)
        found = made.sel(threshold=level)
        for name, value in {
            "total_error": part["estimate"] - part["truth"],
            "hit_error": part["over"] - part["under"],
            "hit_overestimate": part["over"],
            "hit_underestimate": part["under"],
            "missed_rain": part["missed"],
            "false_rain": part["false"],
            "dry_residual": part["rest"],
        }.items():
            assert float(found[name]) == pytest.approx(value / part["truth"], rel=1e-9, abs=1e-12), name


rates = st.one_of(st.just(0.0), st.just(np.nan), st.floats(0.01, 300.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(rates, rates), min_size=1, max_size=40))
def test_the_parts_make_the_whole(values):
    estimate, truth = (xr.DataArray(list(column), dims="x") for column in zip(*values, strict=True))
    made = finish(decomposition(estimate, truth))
    parts = made.hit_error - made.missed_rain + made.false_rain + made.dry_residual
    scale = float(1 + abs(made.total_error).max() + made.hit_overestimate.max() + made.false_rain.max())
    np.testing.assert_allclose(made.total_error, parts, rtol=0, atol=1e-12 * (scale if np.isfinite(scale) else 1))
    seen = truth.notnull() & estimate.notnull()
    assert bool(made.total_error.notnull().all()) == bool(truth.where(seen).sum() > 0)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_ranks_agree_with_scipy(holes):
    estimate, truth = rain(7, step=0.25, holes=holes)
    values = np.unique(np.concatenate([field.values[np.isfinite(field)] for field in (estimate, truth)]))
    made = finish(rank_correlation(estimate, truth, classes=values))
    s, r, _ = map(np.array, zip(*pairs(estimate, truth), strict=True))
    assert float(made.spearman_correlation) == pytest.approx(scipy.stats.spearmanr(s, r).statistic, rel=1e-9)


def test_default_classes_hardly_change_ranks():
    estimate, truth = rain(8, shape=(2, 100, 100))
    s, r, _ = map(np.array, zip(*pairs(estimate, truth), strict=True))
    made = finish(rank_correlation(estimate, truth))
    assert made.sizes == {}
    assert float(made.spearman_correlation) == pytest.approx(scipy.stats.spearmanr(s, r).statistic, abs=1e-3)


def test_weights_count_as_often_as_they_say():
    estimate, truth = rain(9, holes=0.1)
    count = xr.DataArray(np.random.default_rng(0).integers(0, 4, truth.shape), dims=truth.dims)
    index = np.repeat(np.arange(truth.size), count.values.ravel())
    often = [xr.DataArray(field.values.ravel()[index], dims="x", attrs=field.attrs) for field in (estimate, truth)]
    for score in SCORES:
        made, wanted = finish(score(estimate, truth, weights=count)), finish(score(*often))
        xr.testing.assert_allclose(
            made.drop_vars("samples", errors="ignore"), wanted[[*made]].drop_vars("samples", errors="ignore"), rtol=1e-9
        )


@pytest.mark.parametrize("score", SCORES)
def test_any_partition_merges(score):
    estimate, truth = rain(10, shape=(4, 8, 6), members=3)
    whole = score(estimate, truth)
    parts = [
        score(estimate.isel(member=[m], time=slice(*times)), truth.isel(time=slice(*times)))
        for m in range(3)
        for times in ((0, 1), (1, 4))
    ]
    xr.testing.assert_allclose(merge(*parts), whole, rtol=1e-12)
    xr.testing.assert_allclose(pool(score(estimate, truth, over=("y", "x")), "time"), whole, rtol=1e-12)
    xr.testing.assert_allclose(score(estimate.isel(member=[2, 0, 1]), truth), whole, rtol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_missing_pixels_change_nothing(score):
    estimate, truth = rain(11)
    more = [field.pad(y=3, x=2, constant_values=np.nan) for field in (estimate, truth.fillna(7.0))]
    more[1] = more[1].fillna(50.0)
    seen = estimate.fillna(3.0), truth
    xr.testing.assert_allclose(score(more[0], more[1]), score(estimate, truth.fillna(7.0)), rtol=1e-12)
    xr.testing.assert_allclose(
        score(seen[0].pad(x=2, constant_values=9.0), truth.pad(x=2, constant_values=np.nan)), score(*seen), rtol=1e-12
    )


@pytest.mark.parametrize("score", SCORES)
def test_a_perfect_estimate_scores_best(score):
    _, truth = rain(12)
    made = finish(score(truth, truth))
    for name, values in made.data_vars.items():
        best = MEASURES[name].best
        if np.isfinite(best):
            np.testing.assert_allclose(values, best, atol=1e-7, err_msg=name)
        assert values.attrs["long_name"]


@pytest.mark.parametrize("score", SCORES)
def test_nothing_observed_or_all_dry_gives_no_score(score):
    _, truth = rain(13)
    for values in (truth * np.nan, xr.zeros_like(truth.fillna(0.0))):
        made = finish(score(values.assign_attrs(truth.attrs), values.assign_attrs(truth.attrs)))
        zero = {"samples", "mean_error", "mean_absolute_error", "root_mean_square_error", "mean_estimate", "mean_truth"}
        for name in set(made.data_vars) - zero:
            assert made[name].isnull().all(), name


def test_single_precision_reaches_its_threshold():
    truth = xr.DataArray(np.full(4, 0.1, np.float32), dims="x")
    assert float(finish(point(truth, truth.astype(float) + 1.0)).samples.sel(population="hits")) == 4
    made = finish(decomposition(truth, 2 * truth, thresholds=[0.1, 0.2]))
    np.testing.assert_allclose(made.missed_rain, [0.0, 1.0])


def test_kept_dimensions_and_estimates_stay():
    estimate, truth = rain(14)
    several = xr.concat([estimate, truth], xr.Variable("estimate", ["a", "b"]))
    for score in SCORES:
        made = finish(score(several, truth, over=("y", "x")))
        for name in made.data_vars:
            assert made[name].sizes["estimate"] == 2 and made[name].sizes["time"] == 3, name
        alone = finish(score(estimate.isel(time=1), truth.isel(time=1)))
        picked = made.sel(estimate="a", drop=True).isel(time=1)
        xr.testing.assert_allclose(picked.transpose(*alone.dims), alone, rtol=1e-9)


def test_a_constant_field_has_no_correlation():
    truth = xr.DataArray(np.linspace(0, 4, 20), dims="x")
    made = finish(point(xr.full_like(truth, 0.3), truth))
    assert made.correlation.isnull().all()
    assert made.kling_gupta_efficiency.isnull().all()


def test_what_cannot_be_used_is_refused():
    estimate, truth = rain(15)
    with pytest.raises(ConfigError, match="positive"):
        multiplicative(estimate, truth, wet=0.0)
    with pytest.raises(ConfigError, match="too few"):
        rank_correlation(estimate, truth, classes=3)
    with pytest.raises(ConfigError, match="ascend"):
        decomposition(estimate, truth, thresholds=(1.0, 0.5))
    with pytest.raises(UnitError):
        point(estimate.assign_attrs(units="mm"), truth)
    with pytest.raises(ConfigError, match="differ"):
        merge(point(estimate, truth), point(estimate, truth, wet=0.5))
