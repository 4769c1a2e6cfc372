"""Displacements that are known in advance, against scikit-image and against plain loops."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from ondee.errors import ConfigError
from ondee.score.shifts import displacement
from ondee.score.sums import finish, merge, pool

MOMENTS = ("pairs", "truth_sum", "estimate_sum", "truth_squares", "estimate_squares", "products")


def showers(seed, height, width, smooth=2.5):
    """Smooth cells of rain between dry places."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), smooth)
    return (10 * np.maximum(field / field.std() - 0.3, 0)).astype(np.float32)


def shifted(seed, north, east, height=128, width=160, smooth=2.5):
    """Truth, and an estimate that lies so many pixels farther north and east; both cut from one larger field."""
    big = showers(seed, height + 40, width + 40, smooth)
    truth = big[20 : 20 + height, 20 : 20 + width]
    estimate = big[20 + north : 20 + north + height, 20 - east : 20 - east + width]
    return xr.DataArray(estimate, dims=("y", "x")), xr.DataArray(truth, dims=("y", "x"))


def with_holes(field, seed):
    """Lone holes, and a block."""
    hole = np.random.default_rng(seed).random(field.shape) < 0.1
    hole[30:50, 40:70] = True
    return field.where(~hole)


@pytest.mark.parametrize("transform", ["rain", "decibel"])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize(("east", "north"), [(3, -2), (-3, 2), (7, 5), (0, 0)])
def test_a_shift_of_whole_pixels_is_found(east, north, holes, transform):
    estimate, truth = shifted(1, north, east)
    if holes:
        estimate, truth = with_holes(estimate, 2), with_holes(truth, 3)
    made = finish(displacement(estimate, truth, transform=transform))
    for name in ("displacement", "local_displacement"):
        assert made[f"{name}_east"].item() == pytest.approx(east, abs=0.1)
        assert made[f"{name}_north"].item() == pytest.approx(north, abs=0.1)
    assert made.displacement_correlation.item() == pytest.approx(1, abs=1e-6)
    assert made.local_displacement_spread.item() < 0.2
    assert made.displacement_windows == (4 if holes else 6)  # the rim is cut to half a window: holes leave too little
    if (east, north) == (0, 0):
        assert made.unshifted_correlation.item() == pytest.approx(1, abs=1e-6)
    else:
        assert made.unshifted_correlation.item() < 0.8


def test_a_shift_by_parts_of_a_pixel_is_found():
    field = gaussian_filter(np.random.default_rng(4).normal(size=(128, 128)), 3, mode="wrap")
    rain = 5 + 10 * field / field.std()
    phase = np.fft.fftfreq(128)[:, None] * -2.4 + np.fft.rfftfreq(128) * 3.3  # 2.4 rows up is north
    moved = np.fft.irfft2(np.fft.rfft2(rain) * np.exp(-2j * np.pi * phase), (128, 128))
    made = finish(displacement(xr.DataArray(moved, dims=("y", "x")), xr.DataArray(rain, dims=("y", "x"))))
    assert made.displacement_east.item() == pytest.approx(3.3, abs=0.1)
    assert made.displacement_north.item() == pytest.approx(2.4, abs=0.1)


@pytest.mark.parametrize("southward", [False, True])
@pytest.mark.parametrize("westward", [False, True])
def test_the_coordinates_say_where_north_is_and_how_far(southward, westward):
    """Pixels of 2 km by 3 km; the same rain drawn from any corner has the same displacement."""
    estimate, truth = shifted(5, 2, 3)
    y = xr.Variable("y", 2000.0 * np.arange(128)[::-1], {"units": "m"})
    x = xr.Variable("x", 3000.0 * np.arange(160), {"units": "m"})
    order = {"y": slice(None, None, -1 if southward else 1), "x": slice(None, None, -1 if westward else 1)}
    estimate, truth = (field.assign_coords(y=y, x=x).isel(order) for field in (estimate, truth))
    made = finish(displacement(estimate, truth))
    assert made.displacement_north.item() == pytest.approx(4, abs=0.2)
    assert made.displacement_east.item() == pytest.approx(9, abs=0.3)
    assert made.local_displacement_north.item() == pytest.approx(4, abs=0.2)
    assert made.displacement_north.attrs["units"] == "km"
    bare = finish(displacement(*(field.drop_vars(["y", "x"]) for field in (estimate, truth))))
    assert bare.displacement_north.item() == pytest.approx(-2 if southward else 2, abs=0.1)
    assert bare.displacement_north.attrs["units"] == "1"


def test_moments_and_correlation_follow_the_definition_on_fields_with_holes():
    rng = np.random.default_rng(6)
    one, two = showers(7, 11, 13, 1.0), showers(8, 11, 13, 1.0)
    one[rng.random(one.shape) < 0.1] = np.nan
    weight = rng.random(one.shape)
    weight[0, 1] = 0.0
    fields = [xr.DataArray(values, dims=("y", "x")) for values in (one, two, weight)]
    sums = displacement(fields[0], fields[1], weights=fields[2], window=8, reach=3, coverage=0.3)
    seen = np.isfinite(one) & (weight > 0)
    made = {name: np.zeros((7, 7)) for name in MOMENTS}
    windows = 0
    for top in (0, 8):
        for left in (0, 8):
            inside = seen[top : top + 8, left : left + 8]
            around = np.s_[max(0, top - 3) : top + 11, max(0, left - 3) : left + 11]
            rain = two[top : top + 8, left : left + 8][inside].max(initial=0) >= 0.1
            if inside.sum() < 0.3 * 64 or not rain or one[around][seen[around]].max() < 0.1:
                continue
            windows += 1
            for y in range(top, min(top + 8, 11)):
                for x in range(left, min(left + 8, 13)):
                    for down in range(-3, 4):
                        for right in range(-3, 4):
                            v, u = y + down, x + right
                            if not (0 <= v < 11 and 0 <= u < 13 and seen[y, x] and seen[v, u]):
                                continue
                            t, e, w = float(two[y, x]), float(one[v, u]), weight[y, x]
                            terms = (w, w * t, w * e, w * t * t, w * e * e, w * t * e)
                            for name, term in zip(MOMENTS, terms, strict=True):
                                made[name][3 - down, 3 + right] += term
    assert windows >= 2
    for name in MOMENTS:
        np.testing.assert_allclose(sums[name], made[name], rtol=1e-6, atol=1e-9)
    n, st_, se, stt, see, ste = (made[name] for name in MOMENTS)
    known = (ste / n - st_ * se / n**2) / np.sqrt((stt / n - (st_ / n) ** 2) * (see / n - (se / n) ** 2))
    assert finish(sums).unshifted_correlation.item() == pytest.approx(known[3, 3], rel=1e-6)
    best = np.where(n >= 0.5 * n.max(), known, -1).max()
    assert finish(sums).displacement_correlation.item() == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(("east", "north"), [(4, -3), (-5, 1)])
def test_whole_shifts_are_those_of_scikit_image(east, north):
    """One window with a mask: the same peak as the masked correlation of scikit-image."""
    registration = pytest.importorskip("skimage.registration")
    estimate, truth = shifted(9, north, east, 64, 64)
    hole = np.random.default_rng(10).random((64, 64)) < 0.2
    hole[10:25, 30:44] = True
    estimate, truth = estimate.where(~hole), truth.where(~hole)
    shift, *_ = registration.phase_cross_correlation(
        np.nan_to_num(truth.values),
        np.nan_to_num(estimate.values),
        reference_mask=~hole,
        moving_mask=~hole,
        overlap_ratio=0.5,
    )
    made = finish(displacement(estimate, truth))
    # Theirs brings the estimate back onto the truth, in rows and columns.
    assert (shift[0], -shift[1]) == (np.round(made.displacement_north.item()), np.round(made.displacement_east.item()))
    assert (np.round(made.displacement_east.item()), np.round(made.displacement_north.item())) == (east, north)


def test_windows_that_move_apart_spread_and_cancel():
    """Half of the windows lie 4 pixels east and half 4 west: no mean displacement, a spread of 4."""
    parts = [shifted(11 + k, 0, sign * 4, 64, 64) for k, sign in enumerate((1, -1, 1, -1))]
    both = [xr.concat([pair[k] for pair in parts], "time") for k in (0, 1)]
    made = finish(displacement(*both))
    assert made.local_displacement_east.item() == pytest.approx(0, abs=0.1)
    assert made.local_displacement_spread.item() == pytest.approx(4, abs=0.15)
    assert made.displacement_windows == 4
    kept = finish(displacement(*both, over=("y", "x")))
    np.testing.assert_allclose(kept.displacement_east, [4, -4, 4, -4], atol=0.15)


def test_what_has_no_displacement():
    """Dry fields, rain that one lacks, shifts beyond reach and constant rain: not a number, and never a wrong one."""
    estimate, truth = shifted(15, 0, 12, 64, 64)
    far = finish(displacement(estimate, truth, reach=8))
    assert far.displacement_windows == 0 and far.displacement_east.isnull()
    assert finish(displacement(estimate, truth)).displacement_windows == 1
    ramp = xr.DataArray(np.tile(np.arange(64.0), (64, 1)), dims=("y", "x"))
    for e, t in ((estimate * 0, truth), (truth, truth * 0), (truth * 0, truth * 0), (truth * 0 + 3, truth * 0 + 3)):
        made = finish(displacement(e, t))
        assert made.displacement_windows == 0
        assert all(made[name].isnull() for name in made if name != "displacement_windows")
    # a ramp is alike at every shift along it, so that only what does not need a peak is defined
    assert finish(displacement(ramp, ramp)).unshifted_correlation.item() == pytest.approx(1)
    hidden = truth.where(np.arange(64) < 20)
    assert finish(displacement(hidden, truth)).displacement_correlation.isnull()


@given(seed=st.integers(0, 1000), cut=st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_laws(seed, cut):
    """Merging times, the order of members, and missing pixels beyond the edge change nothing."""
    fields = [showers(seed + k, 20, 26, 1.0) for k in range(9)]
    one, two = np.reshape(fields[:6], (3, 2, 20, 26)), np.reshape(fields[6:], (3, 20, 26))
    one[:, :, 9, 3] = np.nan
    estimate = xr.DataArray(one, dims=("time", "member", "y", "x"), coords={"time": np.arange(3)})
    truth = xr.DataArray(two, dims=("time", "y", "x"), coords={"time": np.arange(3)})
    options = {"window": 8, "reach": 3, "correlation": 0.2}
    whole = displacement(estimate, truth, **options)
    parts = [slice(0, cut), slice(cut, 3)]
    pieces = merge(*(displacement(estimate.isel(time=p), truth.isel(time=p), **options) for p in parts))
    close = {"rtol": 1e-9, "atol": 1e-6}
    xr.testing.assert_allclose(pieces, whole, **close)
    xr.testing.assert_allclose(displacement(estimate[:, ::-1], truth, **options), whole, **close)
    xr.testing.assert_allclose(pool(displacement(estimate, truth, over=("y", "x"), **options), "time"), whole, **close)
    wide = {"y": (0, 7), "x": (0, 9)}
    xr.testing.assert_allclose(displacement(estimate.pad(wide), truth.pad(wide), **options), whole, **close)
    perfect = finish(displacement(truth, truth, **options))
    assert perfect.displacement_correlation.item() == pytest.approx(1)
    assert abs(perfect.displacement_east.item()) < 0.5 and abs(perfect.displacement_north.item()) < 0.5


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"window": 64}, "window=32"),
        ({"window": 4}, "8 pixels"),
        ({"reach": 1}, "2 pixels"),
        ({"coverage": 0.0}, "0.5"),
        ({"correlation": 2.0}, "0.5"),
        ({"transform": "log"}, "decibel"),
    ],
)
def test_options_out_of_range_are_refused(options, fix):
    rain = xr.DataArray(showers(0, 32, 40), dims=("y", "x"))
    with pytest.raises(ConfigError) as caught:
        displacement(rain, rain, **{"window": 32, **options})
    assert fix in caught.value.fix


def test_few_pairs_at_a_far_shift_do_not_make_a_peak():
    """A strip of 5 columns: a few pairs at far shifts correlate better by chance than the rain at its place."""
    truth = xr.DataArray(showers(16, 8, 8, 1.0), dims=("y", "x")).where(np.arange(8) < 5)
    estimate = truth + xr.DataArray(
        np.random.default_rng(17).gamma(1.0, 1.0, (8, 8)).astype(np.float32), dims=("y", "x")
    )
    sums = displacement(estimate, truth, window=8, reach=5)
    n, t, e, tt, ee, te = (sums[name].values for name in MOMENTS)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = (n * te - t * e) / np.sqrt((n * tt - t**2) * (n * ee - e**2))
    few = (n > 1.5) & (n < 0.5 * n.max())
    honest = np.nanmax(chance[n >= 0.5 * n.max()])
    assert np.nanmax(chance[few]) > honest
    made = finish(sums)
    assert abs(made.displacement_east.item()) < 0.5 and abs(made.displacement_north.item()) < 0.5
    assert made.displacement_correlation.item() == pytest.approx(honest)
