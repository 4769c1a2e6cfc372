"""Fractions and neighbours in windows: oracles, definitions written out, laws and known answers."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from ondee.errors import ConfigError, GridError, UnitError
from ondee.score import event, finish, merge, pool
from ondee.score.windows import fractions, neighbourhood

LEVELS = (0.1, 1.0, 4.0)
SIZES = (1, 3, 7, 15)
FEW = settings(max_examples=20, deadline=None)


def rain(shape, seed, smooth=2.0):
    """Showers, float32: about a third wet."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0,) * (len(shape) - 2) + (smooth,) * 2)
    noise /= noise.std()
    return np.where(noise > 0.4, np.exp(2 * noise - 1), 0.0).astype(np.float32)


def field(values, step=None, **coordinates):
    """Array with the last dimensions y and x; coordinates in m where a step is given."""
    dims = ("time", "y", "x")[-np.ndim(values) :]
    array = xr.DataArray(values, dims=dims, coords=coordinates, attrs={"units": "mm h-1"})
    if step is not None:
        for name, sign in (("y", -1), ("x", 1)):
            array[name] = (name, sign * step * np.arange(array.sizes[name]), {"units": "m"})
    return array


def holed(values, seed, share=0.2):
    """A copy with missing pixels, some in a block."""
    values = values.copy()
    values[np.random.default_rng(seed).random(values.shape) < share] = np.nan
    values[..., :4, -6:] = np.nan
    return values


# ---- oracles on complete data


@pytest.mark.parametrize("shape", [(40, 53), (11, 9)])
def test_fractions_skill_score_agrees_with_pysteps(shape):
    verification = pytest.importorskip("pysteps.verification.spatialscores")
    e, t = rain(shape, 1), rain(shape, 2)
    found = finish(fractions(field(e), field(t), thresholds=LEVELS, scales=SIZES, coverage=0.0, outside="dry"))
    for level in LEVELS:
        for size in SIZES:
            mine = found.fractions_skill_score.sel(threshold=level, scale=size).item()
            assert mine == pytest.approx(verification.fss(e, t, level, size), abs=1e-6)


@pytest.mark.parametrize("padding", [True, False])
def test_fractions_skill_score_agrees_with_scores(padding):
    spatial = pytest.importorskip("scores.spatial")
    e, t = rain((40, 53), 3), rain((40, 53), 4)
    # With zero padding scores 2.7 also counts windows centred one row below and one column right of the field.
    mine = [np.pad(array, (0, 1)) if padding else array for array in (e, t)]
    how = {"coverage": 0.0, "outside": "dry"} if padding else {"coverage": 1.0}
    found = finish(fractions(*map(field, mine), thresholds=LEVELS, scales=SIZES, **how))
    for level in LEVELS:
        for size in SIZES:
            theirs = spatial.fss_2d_single_field(
                e,
                t,
                event_threshold=level,
                window_size=(size, size),
                zero_padding=padding,
                threshold_operator=np.greater_equal,
            )
            here = found.fractions_skill_score.sel(threshold=level, scale=size).item()
            assert here == pytest.approx(float(theirs), abs=1e-6)


# ---- definitions, written out pixel by pixel


def windows(e, t, size, coverage, dry):
    """Each counting centre with the observed pixels of its window and the number that stands below its fractions."""
    height, width = t.shape
    reach = size // 2
    for y in range(height):
        for x in range(width):
            if np.isnan(e[y, x]) or np.isnan(t[y, x]):
                continue
            inside, beyond = [], 0
            for i in range(y - reach, y + reach + 1):
                for j in range(x - reach, x + reach + 1):
                    if not (0 <= i < height and 0 <= j < width):
                        beyond += 1
                    elif not (np.isnan(e[i, j]) or np.isnan(t[i, j])):
                        inside.append((i, j))
            below = len(inside) + (beyond if dry else 0)
            if below / size**2 >= coverage:
                yield (y, x), inside, below


def defined_fractions(e, t, weight, level, size, coverage, dry):
    difference = first = second = 0.0
    for centre, inside, below in windows(e, t, size, coverage, dry):
        p = sum(e[place] >= level for place in inside) / below
        q = sum(t[place] >= level for place in inside) / below
        difference += weight[centre] * (p - q) ** 2
        first += weight[centre] * p**2
        second += weight[centre] * q**2
    return difference, first, second


@pytest.mark.parametrize(
    ("coverage", "outside"), [(0.5, "missing"), (0.0, "missing"), (0.9, "missing"), (0.0, "dry"), (0.7, "dry")]
)
@pytest.mark.parametrize("weighted", [True, False])
def test_fractions_follow_their_definition_with_holes_and_weights(coverage, outside, weighted):
    e, t = holed(rain((17, 21), 5), 50, 0.1), holed(rain((17, 21), 6), 60, 0.05)
    weight = np.random.default_rng(7).uniform(0.5, 2.0, t.shape) if weighted else np.ones(t.shape)
    sums = fractions(
        field(e),
        field(t),
        weights=field(weight) if weighted else None,
        thresholds=LEVELS,
        scales=(1, 3, 5, 9),
        coverage=coverage,
        outside=outside,
    )
    seen = np.isfinite(e) & np.isfinite(t)
    np.testing.assert_allclose(sums.pixels, weight[seen].sum(), rtol=1e-12)
    for level in LEVELS:
        assert sums.events.sel(threshold=level).item() == pytest.approx(weight[seen & (t >= level)].sum())
        for size in (1, 3, 5, 9):
            expected = defined_fractions(e, t, weight, np.float32(level), size, coverage, outside == "dry")
            here = sums.sel(threshold=level, scale=size)
            found = [here[name].item() for name in ("squared_difference", "estimate_square", "truth_square")]
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("coverage", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("weighted", [True, False])
def test_neighbourhood_follows_its_definition_with_holes_and_weights(coverage, weighted):
    e, t = holed(rain((17, 21), 8, 1.0), 80, 0.1), holed(rain((17, 21), 9, 1.0), 90, 0.05)
    weight = np.random.default_rng(7).uniform(0.5, 2.0, t.shape) if weighted else np.ones(t.shape)
    sizes = (1, 3, 7)
    sums = neighbourhood(
        field(e),
        field(t),
        weights=field(weight) if weighted else None,
        thresholds=LEVELS,
        scales=sizes,
        coverage=coverage,
    )
    for level in map(np.float32, LEVELS):
        for size in sizes:
            expected = np.zeros(4)
            for centre, inside, _ in windows(e, t, size, coverage, dry=False):
                near = [any(array[place] >= level for place in inside) for array in (e, t)]
                if t[centre] >= level:
                    expected[:2] += weight[centre] * np.array([near[0], True])
                if e[centre] >= level:
                    expected[2:] += weight[centre] * np.array([near[1], True])
            here = sums.sel(threshold=float(level), scale=size, method="nearest")
            names = ("detected_events", "truth_events", "confirmed_events", "estimate_events")
            np.testing.assert_allclose([here[name].item() for name in names], expected, rtol=1e-10)


def test_a_window_of_one_pixel_counts_as_event_does():
    e, t = field(holed(rain((30, 31), 10), 1)), field(holed(rain((30, 31), 11), 2))
    near = finish(neighbourhood(e, t, thresholds=LEVELS, scales=[1])).isel(scale=0)
    exact = finish(event(e, t, thresholds=LEVELS))
    for mine, other in (
        ("neighbourhood_detection", "probability_of_detection"),
        ("neighbourhood_success_ratio", "success_ratio"),
        ("neighbourhood_critical_success_index", "critical_success_index"),
    ):
        np.testing.assert_allclose(near[mine], exact[other], rtol=1e-12)
    assert near.neighbourhood_critical_success_index.min() > 0


# ---- known answers


def test_half_a_field_missing_leaves_the_score_where_treating_it_as_dry_does_not():
    verification = pytest.importorskip("pysteps.verification.spatialscores")
    t = rain((200, 200), 12, 4.0)
    whole = np.roll(t, (2, -3), (0, 1))
    half = whole.copy()
    half[:, :100] = np.nan
    settings = {"thresholds": [1.0], "scales": [11]}

    def score(e, o):
        return finish(fractions(field(e), field(o), **settings)).fractions_skill_score.item()

    assert score(whole, t) > 0.9
    assert score(half, t) == pytest.approx(score(whole, t), abs=0.01)
    assert score(half, t) == pytest.approx(score(half[:, 100:], t[:, 100:]), abs=1e-12)
    assert verification.fss(half, t, 1.0, 11) < verification.fss(whole, t, 1.0, 11) - 0.2


def test_useful_skill_and_skilful_scale_of_a_shifted_field():
    t = rain((120, 120), 13, 3.0)
    e = np.roll(t, 6, 1)
    found = finish(fractions(field(e, 2000.0), field(t, 2000.0), thresholds=[1.0], scales=(1, 3, 5, 9, 15, 25)))
    useful = 0.5 + 0.5 * (t >= 1.0).mean()
    assert found.useful_fractions_skill.item() == pytest.approx(useful)
    enough = found.scale.values[found.fractions_skill_score.values[0] >= useful]
    assert 1 < enough.min() < 25
    assert found.skilful_scale.item() == pytest.approx(2.0 * enough.min())
    assert found.skilful_scale.attrs["units"] == "km"


def test_a_scale_is_skilful_only_if_all_larger_ones_are():
    sums = fractions(
        field(rain((9, 9), 1), 1000.0), field(rain((9, 9), 2), 1000.0), thresholds=[1.0], scales=(1, 3, 5, 9)
    )

    def scale(skill):
        defined = np.isfinite(skill).astype(float)
        squares = {"squared_difference": 2 * (1 - np.nan_to_num(skill)) * defined}
        squares |= dict.fromkeys(("estimate_square", "truth_square"), defined)
        made = sums.assign({name: (("threshold", "scale"), values[np.newaxis]) for name, values in squares.items()})
        return finish(made.assign(events=0.0 * made.events)).skilful_scale.item()

    assert scale([0.2, 0.6, 0.7, 0.8]) == 3.0
    assert scale([0.6, 0.4, 0.7, 0.8]) == 5.0
    assert scale([0.5, 0.6, 0.7, 0.8]) == 1.0
    assert scale([0.2, 0.6, 0.7, np.nan]) == 3.0
    assert np.isnan(scale([0.6, 0.6, 0.7, 0.4]))


def test_skilful_scale_is_unknown_where_the_pixel_is():
    found = finish(fractions(field(rain((20, 20), 1)), field(rain((20, 20), 1))))
    assert found.attrs["pixel"] == -1.0
    assert found.skilful_scale.isnull().all()


def test_an_event_three_pixels_off_is_near_from_a_window_of_seven():
    t = np.zeros((30, 30))
    t[12, 12] = t[20, 5] = 3.0
    e = np.roll(t, 3, 1)
    found = finish(neighbourhood(field(e), field(t), thresholds=[1.0], scales=(1, 5, 7)))
    for name in ("detection", "success_ratio", "critical_success_index"):
        assert found[f"neighbourhood_{name}"].values.tolist() == [[0.0, 0.0, 1.0]]


def test_critical_success_is_zero_without_a_hit_and_unknown_without_an_event():
    dry, wet = np.zeros((8, 8)), np.zeros((8, 8))
    wet[4, 4] = 2.0

    def index(e, t):
        found = finish(neighbourhood(field(e), field(t), thresholds=[1.0], scales=[3]))
        return found.neighbourhood_critical_success_index.item()

    assert index(dry, wet) == index(wet, dry) == 0.0
    assert np.isnan(index(dry, dry))
    assert index(wet, wet) == 1.0


def test_a_threshold_is_met_in_the_precision_of_the_data():
    values = np.full((5, 5), 0.7, np.float32)
    for score in (fractions, neighbourhood):
        sums = score(field(values), field(values.astype(float) - 1e-12), thresholds=[0.7], scales=[1])
        kept = sums.estimate_square if score is fractions else sums.estimate_events
        other = sums.truth_square if score is fractions else sums.truth_events
        assert kept.item() == 25
        assert other.item() == 0  # float64 is compared as float64


# ---- laws


@FEW
@given(st.integers(0, 10**6), st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0]))
def test_a_margin_of_missing_pixels_changes_nothing(seed, rows, columns, coverage):
    e, t = holed(rain((14, 12), seed), seed, 0.05), rain((14, 12), seed + 1)
    around = ((rows, columns), (columns, rows))
    for score in (fractions, neighbourhood):
        padded = [field(np.pad(array, around, constant_values=np.nan)) for array in (e, t)]
        found = score(*padded, thresholds=LEVELS, scales=SIZES, coverage=coverage)
        expected = score(field(e), field(t), thresholds=LEVELS, scales=SIZES, coverage=coverage)
        xr.testing.assert_allclose(found, expected, rtol=1e-12)


@FEW
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.4, 1.0]))
def test_missing_in_one_is_missing_in_both(seed, share):
    e, t = rain((13, 15), seed), rain((13, 15), seed + 1)
    holes = np.random.default_rng(seed).random(t.shape) < share
    one, other = np.where(holes, np.float32(np.nan), e), np.where(holes, np.float32(np.nan), t)
    weight = np.where(holes, 0.0, 1.0)
    for score in (fractions, neighbourhood):
        both = score(field(one), field(other), thresholds=LEVELS)
        xr.testing.assert_identical(score(field(one), field(t), thresholds=LEVELS), both)
        xr.testing.assert_identical(score(field(e), field(other), thresholds=LEVELS), both)
        weighed = score(field(e), field(t), weights=field(weight), thresholds=LEVELS)
        xr.testing.assert_allclose(weighed, both, rtol=1e-12)
        if share == 1.0:
            assert all(float(abs(both[name]).sum()) == 0 for name in both.data_vars)
            assert all(finish(both)[name].isnull().all() for name in finish(both).data_vars)


@FEW
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_frames_and_members_merge_in_any_order(seed, cut):
    e, t = field(holed(rain((4, 12, 13), seed), seed, 0.05)), field(rain((4, 12, 13), seed + 1))
    other = field(rain((4, 12, 13), seed + 2))
    members = xr.concat([e, other], "member")
    for score in (fractions, neighbourhood):
        whole = score(members, t, thresholds=LEVELS)
        parts = [
            score(members.isel(time=piece, member=[k]), t.isel(time=piece), thresholds=LEVELS)
            for piece in (slice(cut, None), slice(cut))
            for k in (1, 0)
        ]
        xr.testing.assert_allclose(merge(*parts), whole, rtol=1e-10)
        xr.testing.assert_allclose(score(members.isel(member=[1, 0]), t, thresholds=LEVELS), whole, rtol=1e-10)
        kept = score(members, t, over=("y", "x"), thresholds=LEVELS)
        assert all("time" in kept[name].dims for name in kept.data_vars)
        xr.testing.assert_allclose(pool(kept, "time"), whole, rtol=1e-10)


@FEW
@given(st.integers(0, 10**6))
def test_a_perfect_estimate_is_perfect(seed):
    t = field(holed(rain((16, 14), seed), seed, 0.05), 1000.0)
    near, shares = finish(neighbourhood(t, t, thresholds=LEVELS)), finish(fractions(t, t, thresholds=LEVELS))
    for found in (*near.data_vars.values(), shares.fractions_skill_score):
        assert (found.isnull() | (found == 1.0)).all()
    assert (shares.fractions_skill_score.isel(threshold=0, scale=0)) == 1.0
    assert shares.skilful_scale.isel(threshold=0) == 1.0


def test_finishing_keeps_any_further_dimension():
    e, t = field(rain((3, 20, 22), 1), 1000.0), field(rain((3, 20, 22), 2), 1000.0)
    for score in (fractions, neighbourhood):
        kept = score(xr.concat([e, t], "estimate"), t, over=("y", "x"))
        together = finish(kept)
        for k in range(3):
            alone = finish(kept.isel(time=k, estimate=0))
            xr.testing.assert_allclose(together.isel(time=k, estimate=0), alone)


def test_order_of_dimensions_and_of_memory_do_not_matter():
    e, t = rain((20, 22), 1), rain((20, 22), 2)
    turned = field(np.asfortranarray(e)).transpose("x", "y")
    for score in (fractions, neighbourhood):
        xr.testing.assert_allclose(score(turned, field(np.asfortranarray(t))), score(field(e), field(t)), rtol=1e-12)


# ---- refusals


@pytest.mark.parametrize("score", [fractions, neighbourhood])
@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": (2,)},
        {"scales": (3, 1)},
        {"scales": (-1, 3)},
        {"scales": (1.5,)},
        {"coverage": 1.5},
        {"coverage": float("nan")},
        {"thresholds": (1.0, 0.1)},
        {"thresholds": ()},
    ],
)
def test_impossible_settings_are_refused(score, wrong):
    with pytest.raises(ConfigError):
        score(field(rain((8, 8), 1)), field(rain((8, 8), 2)), **wrong)


def test_what_lies_outside_is_missing_or_dry():
    with pytest.raises(ConfigError, match="wet"):
        fractions(field(rain((8, 8), 1)), field(rain((8, 8), 2)), outside="wet")


def test_fields_without_neighbours_and_other_units_are_refused():
    e, t = field(rain((2, 8, 8), 1)), field(rain((2, 8, 8), 2))
    with pytest.raises(GridError, match="neighbours"):
        fractions(e, t, over="time")
    with pytest.raises(UnitError):
        neighbourhood(e.assign_attrs(units="K"), t)


def test_sums_of_other_settings_do_not_merge():
    e, t = field(rain((8, 8), 1)), field(rain((8, 8), 2))
    with pytest.raises(ConfigError, match="coverage"):
        merge(fractions(e, t), fractions(e, t, coverage=0.6))
