"""SAL against pysteps and plain loops; objects whose matches are known."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ondee.errors import ConfigError
from ondee.score.shapes import objects, sal
from ondee.score.sums import finish, merge, pool


def frames(values):
    return xr.DataArray(np.asarray(values, np.float32), dims=("time", "y", "x")[-np.ndim(values) :])


def cells(places, size=100, width=6.0, floor=0.1):
    """Round cells, each (row, column, highest rain), dry below `floor`."""
    y, x = np.mgrid[:size, :size]
    field = sum(top * np.exp(-((y - i) ** 2 + (x - j) ** 2) / (2 * width**2)) for i, j, top in places)
    return np.where(field >= floor, field, 0.0).astype(np.float32)


def blocks(places, shape=(40, 60)):
    """Rectangles, each (top, left, height, width, rain)."""
    field = np.zeros(shape, np.float32)
    for top, left, height, width, rain in places:
        field[top : top + height, left : left + width] = rain
    return field


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([(30, 30, 8.0), (70, 75, 20.0)], [(32, 27, 10.0), (66, 70, 15.0)]),
        ([(50, 50, 8.0)], [(30, 20, 10.0), (25, 75, 5.0), (76, 50, 15.0)]),
    ],
)
def test_sal_is_the_one_of_pysteps(one, two):
    """Where cells are apart and larger than 50 pixels, its storms are our objects."""
    scores = pytest.importorskip("pysteps.verification.salscores")
    estimate, truth = cells(one), cells(two, width=7.0)
    theirs = scores.sal(estimate.astype(float), truth.astype(float), thr_factor=1 / 15, thr_quantile=0.95)
    made = finish(sal(frames(estimate), frames(truth)))
    ours = [made[f"sal_{name}"].item() for name in ("structure", "amplitude", "location")]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def plain_sal(e, t, factor, quantile, wet):
    """Definition by loops over objects and pixels, of fields with NaN."""
    seen = [(y, x) for y, x in itertools.product(*map(range, t.shape)) if np.isfinite(e[y, x] + t[y, x])]
    made = []
    for field in (e, t):
        rain = {place: float(field[place]) for place in seen}
        level = factor * np.quantile([value for value in rain.values() if value >= wet], quantile)
        todo, volumes, weights, objects_ = {p for p, value in rain.items() if value >= level}, [], [], []
        while todo:
            grown, edge = set(), [todo.pop()]
            while edge:
                y, x = edge.pop()
                grown.add((y, x))
                for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                    if near in todo:
                        todo.remove(near)
                        edge.append(near)
            total = sum(rain[p] for p in grown)
            weights.append(total)
            volumes.append(total / max(rain[p] for p in grown))
            objects_.append([sum(rain[p] * p[k] for p in grown) / total for k in (0, 1)])
        whole = sum(rain.values())
        centre = [sum(value * p[k] for p, value in rain.items()) / whole for k in (0, 1)]
        away = [np.hypot(o[0] - centre[0], o[1] - centre[1]) for o in objects_]
        made.append((np.average(volumes, weights=weights), whole, centre, np.average(away, weights=weights)))
    (v, d, c, r), (v0, d0, c0, r0) = made
    rows, columns = ([p[k] for p in seen] for k in (0, 1))
    largest = np.hypot(max(rows) - min(rows) + 1, max(columns) - min(columns) + 1)
    location = (np.hypot(c[0] - c0[0], c[1] - c0[1]) + 2 * abs(r - r0)) / largest
    return (v - v0) / (v + v0) * 2, (d - d0) / (d + d0) * 2, location


def test_sal_follows_the_definition_on_fields_with_holes():
    rng = np.random.default_rng(1)
    one, two = (ndimage.gaussian_filter(rng.normal(size=(3, 24, 30)), (0, 1.5, 1.5)) for _ in "et")
    one, two = (np.where(field > 0.1, 30 * field, 0).astype(np.float32) for field in (one, two))
    one[rng.random(one.shape) < 0.1] = np.nan
    two[:, :3] = np.nan
    weight = np.array([1.0, 2.0, 0.5])
    options = {"factor": 0.2, "quantile": 0.9, "wet": 4.0}
    known = np.array([plain_sal(e, t, **options) for e, t in zip(one, two, strict=True)])
    weights = xr.DataArray(weight, dims="time")
    made = finish(sal(frames(one), frames(two), weights=weights, **options))
    names = ("structure", "amplitude", "location")
    mean = np.average(known, axis=0, weights=weight)
    np.testing.assert_allclose([made[f"sal_{name}"].item() for name in names], mean, rtol=1e-6)
    magnitude = np.average(abs(known), axis=0, weights=weight)
    np.testing.assert_allclose([made[f"sal_absolute_{name}"].item() for name in names[:2]], magnitude[:2], rtol=1e-6)


def test_sal_of_known_errors():
    """Doubled rain, moved rain, peaked rain; and frames where one is dry."""
    truth = cells([(50, 50, 9.0)])
    double = finish(sal(frames(2 * truth), frames(truth)))
    assert double.sal_amplitude.item() == pytest.approx(2 / 3)
    assert double.sal_structure.item() == pytest.approx(0, abs=1e-6) == double.sal_location.item()
    moved = finish(sal(frames(np.roll(truth, (6, 8), (0, 1))), frames(truth)))
    assert moved.sal_location.item() == pytest.approx(10 / np.hypot(100, 100))
    assert moved.sal_amplitude.item() == pytest.approx(0, abs=1e-6)
    assert finish(sal(frames(cells([(50, 50, 9.0)], width=3.0)), frames(truth))).sal_structure < -0.5
    dry = np.zeros_like(truth)
    mixed = finish(sal(frames([dry, truth, dry, truth]), frames([truth, truth, dry, dry])))
    assert mixed.sal_defined_share.item() == pytest.approx(1 / 3)
    assert mixed.sal_amplitude.item() == 0
    assert finish(sal(frames(dry), frames(dry))).sal_structure.isnull()
    gone = finish(sal(frames(truth * np.nan), frames(truth)))
    assert all(values.isnull() for values in gone.values())


def test_objects_of_known_matches():
    """One hit moved by (3, 4), one missed, two invented, and a speck that is too small."""
    truth = blocks([(2, 2, 6, 10, 2.0), (28, 2, 5, 5, 2.0)])
    estimate = blocks([(5, 6, 6, 10, 2.0), (2, 40, 4, 4, 2.0), (30, 45, 3, 3, 9.0), (20, 20, 1, 3, 5.0)])
    made = finish(objects(frames(estimate), frames(truth), thresholds=(1.0, 5.0)))
    low = made.sel(threshold=1.0)
    assert low.object_count.values.tolist() == [3.0, 2.0]
    assert low.object_detection == 0.5
    assert low.object_false_share.item() == pytest.approx(2 / 3)
    assert low.object_centroid_distance.item() == pytest.approx(5)
    assert low.object_intersection_over_union.item() == pytest.approx(18 / 102)
    assert low.object_area_ratio == 1.0
    high = made.sel(threshold=5.0)
    assert high.object_count.values.tolist() == [1.0, 0.0]
    assert high.object_detection.isnull() and high.object_false_share == 1.0
    assert high.object_centroid_distance.isnull()


def test_distances_of_objects_are_in_km_on_oblong_pixels():
    y, x = xr.Variable("y", 4.0 * np.arange(40)[::-1], {"units": "km"}), xr.Variable("x", np.arange(60.0))
    x.attrs["units"] = "km"
    truth = frames(blocks([(2, 2, 6, 10, 2.0)])).assign_coords(y=y, x=x)
    estimate = frames(blocks([(5, 7, 6, 10, 2.0)])).assign_coords(y=y, x=x)
    made = finish(objects(estimate, truth, thresholds=(1.0,)))
    assert made.object_centroid_distance.item() == pytest.approx(13)  # 12 km south, 5 km east
    assert made.object_centroid_distance.attrs["units"] == "km"


def test_matching_is_the_best_of_all():
    """Against a search through every way to match, on random rectangles with holes."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        fields = []
        for _field in "et":
            draws = [(rng.integers(0, 30), rng.integers(0, 50), *rng.integers(2, 9, 2), 2.0) for _ in range(4)]
            fields.append(blocks(draws))
        fields[0][10:13, 5:20] = np.nan
        one, two = ((f >= 1) & np.isfinite(fields[0]) for f in fields)
        labels = [ndimage.label(f) for f in (one, two)]
        sets = [
            [s for k in range(1, n + 1) if len(s := {tuple(p) for p in np.argwhere(f == k)}) >= 4] for f, n in labels
        ]
        best = (-1.0,)
        few, many = (0, 1) if len(sets[0]) <= len(sets[1]) else (1, 0)
        for order in itertools.permutations(range(len(sets[many])), len(sets[few])):
            total = [0.0, 0, 0.0, 0.0]
            for k, m in enumerate(order):
                a, b = sets[few][k], sets[many][m]
                apart = np.hypot(*(np.mean(list(a), axis=0) - np.mean(list(b), axis=0)))
                shared = len(a & b) / len(a | b)
                if apart < 10 or shared >= 0.2:
                    total = [
                        total[0] + (shared + max(0, 1 - apart / 10)) / 2,
                        total[1] + 1,
                        total[2] + shared,
                        total[3] + apart,
                    ]
            best = max(best, tuple(total))
        sums = objects(frames(fields[0]), frames(fields[1]), thresholds=(1.0,)).isel(threshold=0)
        assert sums.objects.values.tolist() == [len(sets[0]), len(sets[1])]
        found = [sums[name].item() for name in ("matched", "overlap", "distance")]
        np.testing.assert_allclose(found, best[1:], rtol=1e-9)


@given(seed=st.integers(0, 1000), cut=st.integers(1, 2))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("score", [sal, objects])
def test_laws(score, seed, cut):
    """Merging times, the order of members, and missing pixels around the field change nothing."""
    rng = np.random.default_rng(seed)
    one, two = (ndimage.gaussian_filter(rng.normal(size=(3, 2, 20, 26)), (0, 0, 1.5, 1.5)) for _ in "et")
    one, two = np.maximum(20 * one, 0).astype(np.float32), np.maximum(20 * two[:, 0], 0).astype(np.float32)
    one[:, :, 9, 3] = np.nan
    estimate = xr.DataArray(one, dims=("time", "member", "y", "x"), coords={"time": np.arange(3)})
    truth = xr.DataArray(two, dims=("time", "y", "x"), coords={"time": np.arange(3)})
    whole = score(estimate, truth)
    parts = [slice(0, cut), slice(cut, 3)]
    xr.testing.assert_allclose(merge(*(score(estimate.isel(time=p), truth.isel(time=p)) for p in parts)), whole)
    xr.testing.assert_allclose(score(estimate[:, ::-1], truth), whole)
    xr.testing.assert_allclose(pool(score(estimate, truth, over=("y", "x")), "time"), whole)
    wide = {"y": (4, 7), "x": (3, 9)}
    xr.testing.assert_allclose(score(estimate.pad(wide), truth.pad(wide)), whole)
    perfect = finish(score(truth, truth))
    if score is sal:
        for name in ("structure", "amplitude", "location", "absolute_structure", "absolute_amplitude"):
            assert perfect[f"sal_{name}"].item() == 0
    else:
        known = {
            "detection": 1,
            "false_share": 0,
            "intersection_over_union": 1,
            "area_ratio": 1,
            "centroid_distance": 0,
        }
        for name, value in known.items():
            assert (perfect[f"object_{name}"].dropna("threshold") == value).all()


@pytest.mark.parametrize(
    ("score", "options"),
    [
        (sal, {"factor": 0.0}),
        (sal, {"quantile": 1.5}),
        (objects, {"thresholds": (1.0, 0.5)}),
        (objects, {"smallest": 0}),
        (objects, {"overlap": 0.0}),
    ],
)
def test_options_out_of_range_are_refused(score, options):
    rain = frames(np.ones((20, 20)))
    with pytest.raises(ConfigError) as caught:
        score(rain, rain, **options)
    assert caught.value.fix
