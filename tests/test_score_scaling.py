"""Structure functions and intermittency against plain loops, and fields whose scaling is known."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.errors import ConfigError
from ondee.score.scaling import intermittency, structure
from ondee.score.sums import finish, merge


def rain_of(seed, shape):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.2, rng.gamma(0.7, 3.0, shape), 0.0).astype(np.float32)


def frames(values):
    return xr.DataArray(values, dims=("time", "y", "x")[-np.ndim(values) :])


def test_structure_follows_the_definition_on_fields_with_holes():
    one, two = rain_of(1, (9, 11)), rain_of(2, (9, 11))
    one[2, 3] = two[7, 7] = np.nan
    weight = np.random.default_rng(3).random((9, 11))
    orders, lags = (0.5, 1.0, 1.7, 2.0, 3.0), (1, 3, 20)
    sums = structure(frames(one), frames(two), weights=frames(weight), orders=orders, lags=lags)
    seen = ~np.isnan(one + two)
    made, pairs = np.zeros((2, 5, 3)), np.zeros(3)
    for k, lag in enumerate(lags):
        for y in range(9):
            for x in range(11):
                for v, u in ((y + lag, x), (y, x + lag)):
                    if v < 9 and u < 11 and seen[y, x] and seen[v, u]:
                        w = (weight[y, x] + weight[v, u]) / 2
                        pairs[k] += w
                        for f, field in enumerate((one, two)):
                            step = abs(float(field[v, u]) - float(field[y, x]))
                            made[f, :, k] += [w * step**q for q in orders]
    np.testing.assert_allclose(sums.pairs, pairs, rtol=1e-12)
    np.testing.assert_allclose(sums.increments, made, rtol=1e-9)
    done = finish(sums)
    np.testing.assert_allclose(
        done.structure_function.sel(order=2.0, field="truth").values[:2], np.sqrt(made[1, 3, :2] / pairs[:2])
    )
    assert done.structure_function.sel(lag=20).isnull().all()


def test_a_slope_scales_with_the_order_and_noise_does_not():
    """R = x has S_q(l) of l^q along x; white noise has an exponent of zero."""
    ramp = frames(np.broadcast_to(np.arange(64.0), (1, 64)).copy())
    noise = frames(np.random.default_rng(0).normal(size=(1, 64)))
    made = finish(structure(ramp, noise, lags=(1, 2, 4)))
    np.testing.assert_allclose(made.structure_function.sel(field="estimate"), np.tile([1.0, 2.0, 4.0], (4, 1)))
    np.testing.assert_allclose(made.scaling_exponent.sel(field="estimate"), made.order, rtol=1e-12)
    walk = np.cumsum(np.random.default_rng(1).normal(size=(1, 200_000)), axis=1)
    made = finish(structure(frames(walk), frames(walk), orders=(1.0, 2.0), lags=(1, 2, 4, 8)))
    np.testing.assert_allclose(made.scaling_exponent.sel(field="truth"), [0.5, 1.0], atol=0.02)


def test_boxes_follow_the_definition_on_fields_with_holes():
    one, two = rain_of(4, (19, 26)), rain_of(5, (19, 26))
    one[1, 1] = two[12, 20] = np.nan
    weight = np.random.default_rng(6).random((19, 26))
    sums = intermittency(frames(one), frames(two), weights=frames(weight), scales=(1, 2, 8), threshold=0.5)
    wet, boxes = np.zeros((2, 3)), np.zeros(3)
    for top in range(0, 16, 8):
        for left in range(0, 24, 8):
            if np.isnan((one + two)[top : top + 8, left : left + 8]).any():
                continue
            for k, side in enumerate((1, 2, 8)):
                for y in range(top, top + 8, side):
                    for x in range(left, left + 8, side):
                        place = np.s_[y : y + side, x : x + side]
                        boxes[k] += weight[place].mean()
                        for f, field in enumerate((one, two)):
                            wet[f, k] += weight[place].mean() * (field[place] >= 0.5).any()
    assert boxes[2] > 0
    np.testing.assert_allclose(sums.boxes, boxes)
    np.testing.assert_allclose(sums.wet_boxes, wet)


def test_known_codimensions():
    """Rain everywhere has 0, lines have 1, lone points have 2, and a dry field none."""
    full, line, point, dry = np.ones((32, 32)), np.zeros((32, 32)), np.zeros((32, 32)), np.zeros((32, 32))
    line[16], point[5, 9] = 1.0, 1.0
    for field, known in ((full, 0.0), (line, 1.0), (point, 2.0), (dry, np.nan)):
        made = finish(intermittency(frames(field), frames(full)))
        found = made.intermittency_codimension.sel(field="estimate").item()
        assert found == pytest.approx(known, abs=1e-12, nan_ok=True)
    assert made.wet_fraction_by_scale.sel(field="truth").values.tolist() == [1.0] * 6


@given(seed=st.integers(0, 1000), cut=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize(("score", "options"), [(structure, {"lags": (1, 2, 5)}), (intermittency, {"scales": (1, 4)})])
def test_laws(score, options, seed, cut):
    """Merging times, the order of members, and missing pixels beyond the edge change nothing."""
    one, two = rain_of(seed, (4, 2, 10, 13)), rain_of(seed + 1, (4, 10, 13))
    one[:, :, 9, 3] = np.nan
    estimate = xr.DataArray(one, dims=("time", "member", "y", "x"), coords={"time": np.arange(4)})
    truth = xr.DataArray(two, dims=("time", "y", "x"), coords={"time": np.arange(4)})
    whole = score(estimate, truth, **options)
    parts = [slice(0, cut), slice(cut, 4)]
    pieces = merge(*(score(estimate.isel(time=p), truth.isel(time=p), **options) for p in parts))
    xr.testing.assert_allclose(pieces, whole)
    xr.testing.assert_allclose(score(estimate[:, ::-1], truth, **options), whole)
    wide = {"y": (0, 7), "x": (0, 5)}
    xr.testing.assert_allclose(score(estimate.pad(wide), truth.pad(wide), **options), whole)
    perfect = finish(score(truth, truth, **options))
    for values in perfect.values():
        xr.testing.assert_allclose(values.sel(field="estimate", drop=True), values.sel(field="truth", drop=True))


@pytest.mark.parametrize(
    ("score", "options"),
    [
        (structure, {"orders": (0.0, 1.0)}),
        (structure, {"lags": (0, 1)}),
        (structure, {"lags": (1, 1.5)}),
        (intermittency, {"scales": (2, 3)}),
        (intermittency, {"scales": (1, 64)}),
    ],
)
def test_options_out_of_range_are_refused(score, options):
    rain = frames(rain_of(0, (20, 40)))
    with pytest.raises(ConfigError) as caught:
        score(rain, rain, **options)
    assert "use" in caught.value.fix
