"""What rain it is: numpy and scipy as oracles of exact classes, bounds for the default ones, and laws."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.errors import ConfigError
from ondee.score.catalogue import MEASURES
from ondee.score.classes import class_edges, class_of, rain_classes
from ondee.score.distributions import PROBABILITIES, distribution
from ondee.score.sums import finish, merge, pool

KINDS = ("exact", None)


def rain(seed, shape=(3, 20, 15), holes=0.2, step=None, dtype=np.float64, members=0):
    rng = np.random.default_rng(seed)
    full = (members, *shape) if members else shape
    truth = np.where(rng.random(shape) < 0.6, rng.gamma(0.5, 4.0, shape), 0.0)
    estimate = np.where(rng.random(full) < 0.7, rng.gamma(0.8, 2.0, full), 0.0)
    if step:
        truth, estimate = (np.round(values / step) * step for values in (truth, estimate))
    truth[rng.random(shape) < holes] = np.nan
    estimate[rng.random(full) < holes] = np.nan
    dims = ("time", "y", "x")
    return (
        xr.DataArray(estimate.astype(dtype), dims=(("member",) if members else ()) + dims, attrs={"units": "mm h-1"}),
        xr.DataArray(truth.astype(dtype), dims=dims, attrs={"units": "mm h-1"}),
    )


def observed(estimate, truth):
    """Values of both fields where both are observed."""
    s, r = np.broadcast_arrays(estimate.values, truth.values)
    seen = np.isfinite(s) & np.isfinite(r)
    return {"estimate": s[seen].astype(float), "truth": r[seen].astype(float)}


@pytest.mark.parametrize(("holes", "members"), [(0.0, 0), (0.3, 2)])
@pytest.mark.parametrize("step", [None, 0.5])
def test_exact_classes_agree_with_numpy_and_scipy(holes, members, step):
    estimate, truth = rain(1, holes=holes, members=members, step=step)
    values = observed(estimate, truth)
    made = finish(distribution(estimate, truth, classes="exact", thresholds=(0.1, 1.0, 5.0)))
    for field, own in values.items():
        found = made.sel(field=field)
        below = np.array(PROBABILITIES) * (1 - 1e-13)  # numpy rounds 0.55 * 900 up, and takes the value above
        wanted = np.quantile(own, below, method="inverted_cdf")
        np.testing.assert_allclose(found["quantile"], wanted, rtol=1e-12)
        assert float(found.wet_fraction) == pytest.approx((own >= 0.1).mean(), rel=1e-12)
        assert float(found.mean_value) == pytest.approx(own.mean(), rel=1e-12)
        np.testing.assert_allclose(found.exceedance, [(own >= level).mean() for level in (0.1, 1.0, 5.0)], rtol=1e-12)
    pair = values["estimate"], values["truth"]
    assert float(made.wasserstein_distance) == pytest.approx(scipy.stats.wasserstein_distance(*pair), rel=1e-9)
    assert float(made.energy_distance) == pytest.approx(scipy.stats.energy_distance(*pair) ** 2, rel=1e-9)
    ratios = made["quantile"].sel(field="estimate") / made["quantile"].sel(field="truth")
    np.testing.assert_allclose(made.quantile_ratio, ratios.where(np.isfinite(ratios)))
    assert float(made.wet_fraction_ratio) == pytest.approx((pair[0] >= 0.1).mean() / (pair[1] >= 0.1).mean())


def test_a_probability_that_is_met_is_not_passed_for_rounding():
    """0.55 * 900 is 495.00000000000006 in double precision; the 495th value is meant."""
    values = xr.DataArray(np.arange(1.0, 901.0), dims="x")
    made = finish(distribution(values, values, classes="exact", probabilities=(0.29, 0.55, 0.57, 0.7)))
    assert made["quantile"].sel(field="truth").values.tolist() == [261.0, 495.0, 513.0, 630.0]


def test_energy_distance_by_its_pairs():
    estimate, truth = rain(2, shape=(1, 8, 9))
    s, r = observed(estimate, truth).values()

    def gap(one, other):
        return np.mean([[abs(a - b) for b in other] for a in one])

    found = finish(distribution(estimate, truth, classes="exact")).energy_distance
    assert float(found) == pytest.approx(2 * gap(s, r) - gap(s, s) - gap(r, r), rel=1e-9)


def test_weights_agree_with_numpy_and_scipy():
    estimate, truth = rain(3, holes=0.1)
    weights = xr.DataArray(np.random.default_rng(1).random(truth.shape[1:]), dims=("y", "x"))
    made = finish(distribution(estimate, truth, weights=weights, classes="exact"))
    seen = np.isfinite(estimate.values) & np.isfinite(truth.values)
    s, r, w = (values[seen] for values in (estimate.values, truth.values, weights.broadcast_like(truth).values))
    for field, own in (("estimate", s), ("truth", r)):
        wanted = np.quantile(own, PROBABILITIES, method="inverted_cdf", weights=w)
        np.testing.assert_allclose(made["quantile"].sel(field=field), wanted)
        assert float(made.mean_value.sel(field=field)) == pytest.approx((own * w).sum() / w.sum())
    wanted = scipy.stats.wasserstein_distance(s, r, w, w)
    assert float(made.wasserstein_distance) == pytest.approx(wanted, rel=1e-9)
    assert float(made.energy_distance) == pytest.approx(scipy.stats.energy_distance(s, r, w, w) ** 2, rel=1e-9)


def test_default_classes_are_nearly_exact():
    estimate, truth = rain(4, shape=(4, 150, 150), dtype=np.float32)
    coarse, exact = (finish(distribution(estimate, truth, classes=kind)) for kind in (None, "exact"))
    for name in ("wet_fraction", "mean_value", "exceedance", "wet_fraction_ratio"):
        xr.testing.assert_allclose(coarse[name], exact[name], rtol=1e-9)
    np.testing.assert_allclose(coarse["quantile"], exact["quantile"], rtol=0.01)
    assert float(coarse.wasserstein_distance) == pytest.approx(float(exact.wasserstein_distance), rel=2e-3)
    assert float(coarse.energy_distance) == pytest.approx(float(exact.energy_distance), rel=2e-3)


def test_a_quantile_stays_in_its_class_and_ascends():
    estimate, truth = rain(5, shape=(2, 60, 60))
    probabilities = np.linspace(0.001, 0.9995, 900)
    made = finish(distribution(estimate, truth, probabilities=probabilities))
    assert (np.diff(made["quantile"]) >= 0).all()
    edges = rain_classes()
    for field, own in observed(estimate, truth).items():
        sharp = np.quantile(own, probabilities, method="inverted_cdf")
        place = np.searchsorted(edges, sharp, side="right") - 1
        found = made["quantile"].sel(field=field).values
        assert (found >= edges[place] * (1 - 1e-12)).all()
        assert (found <= edges[place + 1] * (1 + 1e-12)).all()


def test_end_classes_keep_what_lies_beyond():
    truth = xr.DataArray([-0.5, 0.0, 0.0, 1e-4, 600.0, 900.0], dims="x")
    made = finish(distribution(truth + 0.0, truth, probabilities=(0.1, 0.3, 0.99)))
    assert float(made.mean_value.sel(field="truth")) == pytest.approx(float(truth.mean()))
    low, middle, high = made["quantile"].sel(field="truth").values
    assert low == middle == pytest.approx(-0.5 / 3)  # what is negative counts with the dry
    assert 600 <= high <= 1000


def test_default_edges():
    edges = rain_classes()
    assert edges[0] == 0 and 0 < edges[1] < 1e-40 and edges[2] == 0.01 and edges[-1] == 500
    assert np.allclose(edges[3:] / edges[2:-1], 1.03, atol=1e-3)
    places = [class_of(value, edges) for value in (-1.0, 0.0, 1e-9, 0.01, 499.0, 500.0, 1e9)]
    assert places == [0, 0, 1, 2, edges.size - 2, edges.size - 1, edges.size - 1]
    assert class_of(3.0, np.array([0.0])) == 0
    assert class_edges(100).size == 100
    assert class_edges((1.0, 2.0)).tolist() == [1.0, 2.0]


def test_return_levels():
    rng = np.random.default_rng(6)
    truth = xr.DataArray(rng.exponential(2.0, (1000, 20)), dims=("time", "x"))
    estimate = 2 * truth
    made = finish(distribution(estimate, truth, classes="exact", step=0.5, periods=(0.25, 24, 240, 5000, 20_000)))
    found = made.return_level.sel(field="truth").values
    own = np.sort(truth.values.ravel())
    for period, level in zip((24, 240, 5000), found[1:4], strict=True):
        assert (own > level).mean() <= 0.5 / period < (own >= level).mean() + 1e-12
    assert found[1] == pytest.approx(-2 * np.log(0.5 / 24), rel=0.05)
    assert np.isnan(found[0])  # shorter than a frame
    assert np.isnan(found[4])  # less than one exceedance is expected in 20 000 frames of half an hour
    np.testing.assert_allclose(made.return_level.sel(field="estimate"), 2 * found)
    assert finish(distribution(estimate, truth)).return_level.isnull().all()


def test_step_from_time_bounds():
    estimate, truth = rain(7)
    start = np.datetime64("2024-06-01T00:00", "ns") + np.arange(3) * np.timedelta64(1, "h")
    bounds = xr.DataArray(np.stack([start, start + np.timedelta64(5, "m")], axis=1), dims=("time", "bounds"))
    made = distribution(estimate, truth, step=bounds)
    assert made.attrs["step"] == pytest.approx(1 / 12)
    assert finish(made).return_level.isel(period=0).notnull().all()
    bounds[2, 1] += np.timedelta64(5, "m")
    with pytest.raises(ConfigError, match="no one length"):
        distribution(estimate, truth, step=bounds)


@pytest.mark.parametrize("kind", KINDS)
def test_any_partition_merges(kind):
    estimate, truth = rain(8, members=3, step=0.1)
    whole = distribution(estimate, truth, classes=kind)
    parts = [
        distribution(estimate.isel(member=[m], y=rows), truth.isel(y=rows), classes=kind)
        for m in (2, 0, 1)
        for rows in (slice(0, 5), slice(5, None))
    ]
    xr.testing.assert_allclose(merge(*parts), whole, rtol=1e-12)
    xr.testing.assert_allclose(finish(merge(*parts)), finish(whole), rtol=1e-12)
    kept = distribution(estimate, truth, classes=kind, over=("x", "y"))
    xr.testing.assert_allclose(pool(kept, "time"), whole, rtol=1e-12)
    xr.testing.assert_allclose(
        finish(kept).isel(time=1),
        finish(distribution(estimate.isel(time=1), truth.isel(time=1), classes=kind)),
        rtol=1e-9,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_missing_pixels_change_nothing(kind):
    estimate, truth = rain(9)
    wanted = distribution(estimate, truth, classes=kind)
    wider = [estimate.pad(x=4, constant_values=77.0), truth.pad(x=4, constant_values=np.nan)]
    xr.testing.assert_allclose(distribution(*wider, classes=kind), wanted, rtol=1e-12)
    weights = xr.ones_like(truth.isel(time=0, drop=True)).fillna(1.0).pad(x=4, constant_values=0.0)
    wider[1] = truth.pad(x=4, constant_values=33.0)
    xr.testing.assert_allclose(distribution(*wider, weights=weights, classes=kind), wanted, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_estimate_scores_best(kind):
    _, truth = rain(10)
    made = finish(distribution(truth, truth, classes=kind))
    for name, values in made.data_vars.items():
        best = MEASURES[name].best
        if np.isfinite(best):
            assert (values.isnull() | (values == best)).all(), name
    assert made.quantile_ratio.notnull().any()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_observed_gives_no_score(kind):
    estimate, truth = rain(11)
    made = finish(distribution(estimate, (truth * np.nan).assign_attrs(truth.attrs), classes=kind))
    assert all(values.isnull().all() for values in made.data_vars.values())
    empty = distribution(estimate, (truth * np.nan).assign_attrs(truth.attrs), classes=kind)
    whole = distribution(estimate, truth, classes=kind)
    xr.testing.assert_allclose(finish(merge(empty, whole)), finish(whole))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(0, 400, width=32), min_size=1, max_size=30),
    st.floats(0.125, 8, width=32),
    st.sampled_from(KINDS),
)
def test_a_shift_moves_the_distribution_by_itself(values, shift, kind):
    """Mean and Wasserstein distance of a shifted sample; exactly so for exact classes, a lower bound else."""
    truth = xr.DataArray(values, dims="x")
    made = finish(distribution(truth + shift, truth, classes=kind))
    tolerance = 1e-9 if kind == "exact" else 0.04
    scale = max(values) + shift
    assert float(made.wasserstein_distance) == pytest.approx(shift, abs=tolerance * scale)
    assert float(made.wasserstein_distance) >= shift * (1 - 1e-9)
    assert float(made.energy_distance) <= 2 * float(made.wasserstein_distance) * (1 + 1e-9)


def test_single_precision_reaches_its_threshold():
    truth = xr.DataArray(np.array([0.1, 0.7, 0.0], np.float32), dims="x")
    made = finish(distribution(truth.astype(float), truth, thresholds=(0.1, 0.7)))
    np.testing.assert_allclose(made.exceedance.sel(field="truth"), [2 / 3, 1 / 3])
    assert float(made.wet_fraction.sel(field="truth")) == pytest.approx(2 / 3)


def test_units_and_extra_dimensions():
    estimate, truth = rain(12)
    several = xr.concat([estimate, truth], xr.Variable("estimate", ["a", "b"]))
    made = finish(distribution(several, truth, over=("y", "x"), step=0.5))
    assert made["quantile"].attrs["units"] == made.energy_distance.attrs["units"] == "mm h-1"
    assert set(made["quantile"].dims) == {"estimate", "time", "field", "probability"}
    assert set(made.wasserstein_distance.dims) == {"estimate", "time"}
    assert (made.wasserstein_distance.sel(estimate="b") == 0).all()


def test_what_cannot_be_used_is_refused():
    estimate, truth = rain(13)
    for match, given_settings in {
        "no classes": {"classes": "fine"},
        "between 0 and 1": {"probabilities": (0.5, 1.0)},
        "between 0 and inf": {"periods": (0.0, 1.0)},
        "no one length": {"step": 0.0},
        "ascend": {"classes": (3.0, 1.0)},
    }.items():
        with pytest.raises(ConfigError, match=match):
            distribution(estimate, truth, **given_settings)
    many = xr.DataArray(np.random.default_rng(0).random((300, 600)), dims=("time", "x"))
    with pytest.raises(ConfigError, match="too many"):
        distribution(many, many, classes="exact", over="x")
    with pytest.raises(ConfigError, match="differ"):
        merge(distribution(estimate, truth), distribution(estimate, truth, classes=(0.0, 1.0, 2.0)))
