from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee import score
from ondee.errors import ConfigError, GridError, UnitError
from ondee.score.fields import spacing
from ondee.score.sums import framewise, pointwise

FEW = settings(max_examples=25, deadline=None)


def field(seed, shape=(4, 6, 7), dims=("time", "y", "x"), holes=0.0, **attrs):
    """Rain with dry, wet and missing pixels."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(shape) < 0.5, rng.gamma(0.7, 3.0, shape), 0.0)
    values[rng.random(shape) < holes] = np.nan
    coordinates = {dim: np.arange(size) for dim, size in zip(dims, shape, strict=True)}
    return xr.DataArray(values.astype("f4"), dims=dims, coords=coordinates, attrs=attrs)


def total(e, t, w):
    return {"of_estimate": (w * e).sum(axis=1), "of_truth": (w * t).sum(axis=1), "weight": w.sum(axis=1)}


OUTPUTS = {"of_estimate": (), "of_truth": (), "weight": ()}


def test_dimensions_that_are_kept_come_first_whatever_their_order():
    truth, estimate = field(1), field(2).transpose("x", "time", "y")
    made = pointwise("event", total, estimate, truth, over=("x", "y"), weights=None, outputs=OUTPUTS)
    assert made["of_truth"].dims == ("time",)
    np.testing.assert_allclose(made["of_truth"], truth.sum(("y", "x")), rtol=1e-6)
    np.testing.assert_allclose(made["of_estimate"], estimate.sum(("y", "x")), rtol=1e-6)


def test_own_dimensions_of_the_estimate_are_kept_and_members_are_pooled():
    truth = field(1)
    models = xr.concat([field(2), field(3)], dim=xr.Variable("estimate", ["a", "b"]))
    made = pointwise("event", total, models, truth, over=None, weights=None, outputs=OUTPUTS)
    assert made["of_estimate"].dims == ("estimate",)
    np.testing.assert_allclose(made["of_estimate"], models.sum(("time", "y", "x")), rtol=1e-6)
    pooled = pointwise(
        "event", total, models.rename(estimate="member"), truth, over=None, weights=None, outputs=OUTPUTS
    )
    np.testing.assert_allclose(pooled["of_estimate"], models.sum(), rtol=1e-6)
    np.testing.assert_allclose(pooled["weight"], 2 * truth.size)


@FEW
@given(seed=st.integers(0, 1000), holes=st.floats(0.0, 0.9), weighted=st.booleans())
def test_a_missing_pixel_counts_nowhere(seed, holes, weighted):
    truth, estimate = field(seed, holes=holes), field(seed + 1, holes=holes)
    weights = field(seed + 2, holes=0.2) if weighted else None
    made = pointwise("event", total, estimate, truth, over=None, weights=weights, outputs=OUTPUTS)
    seen = np.isfinite(truth.values) & np.isfinite(estimate.values)
    weight = np.ones(truth.shape)
    if weighted:
        seen &= np.isfinite(weights.values) & (weights.values > 0)
        weight = weights.values
    np.testing.assert_allclose(made["of_truth"], np.where(seen, weight * truth.values, 0).sum(), rtol=1e-5)
    np.testing.assert_allclose(made["weight"], np.where(seen, weight, 0).sum(), rtol=1e-6)


def test_pieces_of_a_large_field_give_the_same_sums(monkeypatch):
    truth, estimate = field(1, (5, 40, 30), holes=0.1), field(2, (5, 40, 30))
    whole = [score.event(estimate, truth, over=over) for over in (None, "time", ("y", "x"))]
    monkeypatch.setattr("ondee.score.sums._CHUNK", 97)
    for over, one in zip((None, "time", ("y", "x")), whole, strict=True):
        xr.testing.assert_identical(one, score.event(estimate, truth, over=over))


def test_frames_are_given_one_at_a_time_with_holes_in_both():
    truth, estimate = field(1, holes=0.2), field(2, holes=0.2)
    shapes = []

    def kernel(e, t, w):
        shapes.append(e.shape)
        assert w is None
        assert (np.isnan(e) == np.isnan(t)).all()
        return {"of_truth": np.nansum(t)}

    made = framewise("event", kernel, estimate, truth, over=None, outputs={"of_truth": ()})
    assert shapes == [(6, 7)] * 4
    np.testing.assert_allclose(made["of_truth"], truth.where(estimate.notnull()).sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (field(2).assign_coords(time=np.arange(4) + 1), "estimate and truth differ in time"),
        (field(2, (4, 6, 8)), "estimate and truth differ in x"),
        (field(2).isel(time=0, drop=True), "the estimate has no dimension 'time'"),
    ],
)
def test_other_pixels_are_refused(estimate, words):
    with pytest.raises(GridError, match=words):
        score.event(estimate, field(1))


def test_coordinates_may_differ_by_rounding():
    truth = field(1)
    moved = field(1).assign_coords(x=truth.x + 1e-7)
    assert float(score.finish(score.event(moved, truth)).critical_success_index[0]) == 1.0


def test_units_must_agree():
    with pytest.raises(UnitError, match="'mm', the truth in 'mm h-1'"):
        score.event(field(1, units="mm"), field(2, units="mm h-1"))
    with pytest.raises(UnitError, match="None, the truth in 'mm h-1'"):
        score.event(field(1), field(2, units="mm h-1"))
    made = score.event(field(1, units="mm/h"), field(2, units="mm h-1"))
    assert made.attrs["data_units"] == "mm h-1"


def test_members_of_the_truth_and_absent_dimensions_are_refused():
    with pytest.raises(GridError, match="the truth has members"):
        score.event(field(1).rename(time="member"), field(2).rename(time="member"))
    with pytest.raises(GridError, match="no dimension 'z'"):
        score.event(field(1), field(2), over="z")


@FEW
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(1, 11), max_size=4))
def test_any_partition_merges_to_the_whole(seed, cuts):
    truth, estimate = field(seed, (12, 5, 6), holes=0.2), field(seed + 1, (12, 5, 6))
    edges = [0, *sorted(set(cuts)), 12]
    for over in (None, ("y", "x")):
        parts = [score.event(estimate[a:b], truth[a:b], over=over) for a, b in pairwise(edges)]
        xr.testing.assert_allclose(score.merge(*parts[::-1]).sortby([]), score.event(estimate, truth, over=over))


def test_merging_keeps_all_labels_and_refuses_other_settings():
    truth, estimate = field(1), field(2)
    early, late = (score.event(estimate[s], truth[s], over=("y", "x")) for s in (slice(0, 3), slice(2, 4)))
    made = score.merge(early, late)
    assert made.sizes["time"] == 4
    np.testing.assert_allclose(made.hits.sel(time=2), 2 * early.hits.sel(time=2))
    with pytest.raises(ConfigError, match="data_units differ"):
        score.merge(early, early.assign_attrs(data_units="K"))
    with pytest.raises(ConfigError, match="no sums"):
        score.merge()


def test_pool_and_finish():
    sums = score.event(field(1), field(2), over=("y", "x"))
    pooled = score.pool(sums, "time")
    xr.testing.assert_allclose(pooled, score.event(field(1), field(2)))
    made = score.finish(pooled)
    assert made.critical_success_index.attrs == {"long_name": "critical success index", "units": "1"}
    assert score.finish(sums).critical_success_index.dims == ("time", "threshold")
    with pytest.raises(GridError, match="no dimension 'member'"):
        score.pool(sums, "member")
    with pytest.raises(ConfigError, match="is no score"):
        score.finish(xr.Dataset())


def test_spacing_in_kilometres():
    plane = field(1).assign_coords(
        y=("y", np.arange(6) * -2000.0, {"units": "m"}), x=("x", np.arange(7) * 1.0, {"units": "km"})
    )
    assert spacing(plane) == (2.0, 1.0)
    degrees = field(1).assign_coords(
        y=("y", 60 - np.arange(6) * 0.1, {"units": "degrees_north"}),
        x=("x", np.arange(7) * 0.1, {"units": "degrees_east"}),
    )
    assert spacing(degrees) == pytest.approx((11.1195, 11.1195 * np.cos(np.deg2rad(59.75))))
    assert np.isnan(spacing(field(1))).all()


def test_within_the_classes_of_another_variable():
    truth, estimate = field(1), field(2)
    cold = xr.DataArray(np.linspace(200, 300, 42).reshape(6, 7), dims=("y", "x"), attrs={"units": "K"}, name="cloud")
    cold[0, 0] = np.nan
    sums = score.within(score.event, estimate, truth, given=cold, edges=[205, 250, 300])
    assert sums["given"].attrs == {"units": "K", "long_name": "cloud"}
    for index, inside in enumerate([(cold >= 205) & (cold < 250), (cold >= 250) & (cold <= 300)]):
        alone = score.event(estimate, truth.where(inside))
        xr.testing.assert_allclose(sums.isel(given=index, drop=True), alone)
    for edges, words in (([1.0], "one edge"), ([2.0, 1.0], "ascend")):
        with pytest.raises(ConfigError, match=words):
            score.within(score.event, estimate, truth, given=cold, edges=edges)
    with pytest.raises(GridError, match="lacks"):
        score.within(score.event, estimate, truth, given=cold.rename(x="z"), edges=[1, 2])


def test_whole_numbers_are_compared_with_thresholds_between_them():
    truth = xr.DataArray([0, 0, 1, 3], dims="x")
    found = score.event(truth.astype("uint8"), truth, thresholds=[0.1])
    assert found["hits"].item() == 2 and found["correct_negatives"].item() == 2
    members = xr.DataArray([[0.0], [0.9]], dims=("member", "x"))
    assert score.ranks(members, truth[:1])["count"].sel(population="wet").sum() == 1


def test_no_frames_give_sums_of_zero():
    none = field(1, (0, 32, 32), units="mm h-1")
    members = none.expand_dims(member=2)
    one = field(1, (1, 32, 32), units="mm h-1")
    calls = {name: {} for name in ("fractions", "neighbourhood", "structure", "intermittency", "sal", "objects")}
    calls |= {name: {"window": 16} for name in ("spectrum", "displacement")}
    calls |= {name: {} for name in ("energy", "variogram", "replicate")}
    for name, how in calls.items():
        function = getattr(score, name)
        stacked = name in ("energy", "variogram", "replicate")
        made = function(members if stacked else none, none, over=("y", "x"), **how)
        assert made.sizes["time"] == 0, name
        score.finish(made)
        whole = function(one.expand_dims(member=2) if stacked else one, one, over=("y", "x"), **how)
        xr.testing.assert_identical(score.merge(whole, made), whole)
        assert all((made[sum] == 0).all() for sum in made)


def test_rounding_leaves_scores_within_their_bounds():
    sums = score.event(field(1), field(2), thresholds=[1.0])
    sums["hits"][:], sums["misses"][:] = 1.0, -1e-15
    assert score.finish(sums)["probability_of_detection"].item() == 1.0
    sums["misses"][:] = -0.5
    assert score.finish(sums)["probability_of_detection"].item() == 2.0


def test_merging_keeps_the_bounds_of_all_classes():
    truth, cold = field(1), field(2) * 10
    parts = [score.within(score.event, truth, truth, given=cold, edges=edges) for edges in ((0, 5), (5, 90))]
    made = score.merge(*parts)
    assert made["given_low"].values.tolist() == [0.0, 5.0]
    assert made["given_high"].values.tolist() == [5.0, 90.0]


def test_sums_without_labels_of_their_own_are_refused():
    one, two = (score.event(field(1)[:n].drop_vars("time"), field(1)[:n].drop_vars("time"), over="x") for n in (3, 4))
    with pytest.raises(GridError, match="side by side"):
        score.merge(one, two)


def test_a_dimension_that_the_sums_have_too_is_refused():
    truth = field(1)
    estimate = truth.expand_dims(threshold=[1, 2])
    with pytest.raises(GridError, match="'threshold'"):
        score.event(estimate, truth)


def test_a_single_pixel_elsewhere_is_another_pixel():
    one = xr.DataArray([1.0], dims="x", coords={"x": [2000.0]})
    score.event(one, one.assign_coords(x=np.float32([2000.0])))
    with pytest.raises(GridError):
        score.event(one, one.assign_coords(x=[2001.9]))
