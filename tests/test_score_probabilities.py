"""Probabilities of an event: plain definitions, published libraries, known answers, laws."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.errors import ConfigError, UnitError
from ondee.score import finish, merge, pool
from ondee.score.probabilities import probability

LEVELS = (0.1, 1.0, 4.0)


def case(seed: int, members: int = 6, times: int = 3, side: int = 14, holes: float = 0.05):
    """Members and truth of some skill, with holes, the members inside the days."""
    rng = np.random.default_rng(seed)
    base = np.where(rng.random((times, side, side)) < 0.5, 0.0, rng.gamma(0.8, 3.0, (times, side, side)))
    coords = {"time": np.arange(times), "y": np.arange(side), "x": np.arange(side)}
    drawn = base[:, None] * rng.gamma(2.0, 0.5, (times, members + 1, side, side))
    drawn[rng.random(drawn.shape) < holes] = np.nan
    every = xr.DataArray(
        drawn.astype("f4"), coords=coords, dims=("time", "member", "y", "x"), attrs={"units": "mm h-1"}
    )
    return every.isel(member=slice(1, None)), every.isel(member=0)


def likelihood(seed: int, units: str = "%"):
    estimate, truth = case(seed)
    share = (estimate >= 0.1).mean("member").where(truth.notnull() & (truth != 0.7))
    noisy = (share + 0.2 * np.random.default_rng(seed).normal(size=share.shape)).clip(0, 1)
    return (noisy * (100 if units == "%" else 1)).astype("f4").assign_attrs(units=units), truth


def cases(share: xr.DataArray, truth: xr.DataArray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Probability and event of each pixel that has both."""
    share = share.transpose(*truth.dims)
    seen = share.notnull().values & truth.notnull().values
    return share.values[seen].astype(float), truth.values[seen] >= np.float32(level)


def test_brier_and_its_parts_are_their_definitions() -> None:
    estimate, truth = case(0)
    whole = estimate.notnull().all("member")
    found = finish(probability(estimate, truth, thresholds=LEVELS))
    for k, level in enumerate(LEVELS):
        share = (estimate >= np.float32(level)).mean("member").where(whole)
        p, o = cases(share, truth, level)
        assert 0 < p.size < truth.size
        rate = o.mean()
        reliability = resolution = 0.0
        for c in range(7):
            inside = np.isclose(p, c / 6)
            assert found.class_share.values[k, c] == pytest.approx(inside.mean())
            if inside.any():
                assert found.observed_frequency.values[k, c] == pytest.approx(o[inside].mean())
                assert found.forecast_probability.values[k, c] == pytest.approx(c / 6)
                reliability += inside.mean() * (c / 6 - o[inside].mean()) ** 2
                resolution += inside.mean() * (o[inside].mean() - rate) ** 2
        got = found.isel(threshold=k)
        assert float(got.brier_score) == pytest.approx(((p - o) ** 2).mean(), abs=1e-9)
        assert float(got.reliability) == pytest.approx(reliability, abs=1e-9)
        assert float(got.resolution) == pytest.approx(resolution, abs=1e-9)
        assert float(got.uncertainty) == pytest.approx(rate * (1 - rate))
        parts = float(got.reliability - got.resolution + got.uncertainty)  # one value in each class: nothing is left
        assert float(got.brier_score) == pytest.approx(parts, abs=1e-9)
        assert float(got.brier_skill_score) == pytest.approx(1 - float(got.brier_score) / (rate * (1 - rate)))
        ordered = [(p[o][:, None] > p[~o]).mean() + 0.5 * (p[o][:, None] == p[~o]).mean()]  # Mann-Whitney
        assert float(got.roc_area) == pytest.approx(ordered[0], abs=1e-9)
        for c in range(7):
            assert got.roc_detection.values[c] == pytest.approx((p[o] > (c - 0.5) / 6).mean())
            assert got.roc_false_detection.values[c] == pytest.approx((p[~o] > (c - 0.5) / 6).mean())


def test_libraries_agree_on_complete_data() -> None:
    xs = pytest.importorskip("xskillscore")
    estimate, truth = case(1, holes=0.0)
    level = 1.0
    event, events = truth >= np.float32(level), estimate >= np.float32(level)
    share = events.mean("member")
    found = finish(probability(estimate, truth, thresholds=[level])).isel(threshold=0)
    assert float(found.brier_score) == pytest.approx(float(xs.brier_score(event, events)), abs=1e-6)
    edges = np.linspace(-1 / 12, 13 / 12, 8)
    curve = xs.reliability(event, share, probability_bin_edges=edges)
    np.testing.assert_allclose(found.observed_frequency, curve.values, atol=1e-6)
    np.testing.assert_allclose(found.class_share, curve.samples / curve.samples.sum(), atol=1e-6)
    area = xs.roc(event.astype(float), share, bin_edges=(np.arange(7) - 0.5) / 6)
    assert float(found.roc_area) == pytest.approx(float(area), abs=1e-6)


def test_scores_library_and_pysteps_agree() -> None:
    estimate, truth = case(2, holes=0.0)
    event = (truth >= 0.1).astype(float)
    share = (estimate >= np.float32(0.1)).mean("member")
    found = finish(probability(share.assign_attrs(units="1"), truth, classes=7)).isel(threshold=0)
    brier = pytest.importorskip("scores.probability").brier_score(share, event)
    assert float(found.brier_score) == pytest.approx(float(brier), abs=1e-9)
    curve = pytest.importorskip("scores.plotdata").roc(
        share, event, thresholds=[max(0, c / 6 - 0.01) for c in range(7)]
    )
    np.testing.assert_allclose(found.roc_detection, curve.POD.values[:7], atol=1e-9)  # theirs ends in (0, 0)
    np.testing.assert_allclose(found.roc_false_detection, curve.POFD.values[:7], atol=1e-9)
    assert float(found.roc_area) == pytest.approx(float(curve.AUC), abs=1e-9)
    steps = pytest.importorskip("pysteps.verification.probscores")
    diagram = steps.reldiag_init(0.1, n_bins=7, min_count=1)
    steps.reldiag_accum(diagram, share.values.astype(float).ravel(), truth.values.astype(float).ravel())
    _, frequency = steps.reldiag_compute(diagram)  # seven bins hold one share of six members each
    np.testing.assert_allclose(found.observed_frequency, frequency, atol=1e-9)


@pytest.mark.parametrize("units", ["%", "1"])
def test_a_probability_is_scored_exactly_and_its_parts_within_classes(units: str) -> None:
    estimate, truth = likelihood(3, units)
    p, o = cases(estimate / (100 if units == "%" else 1), truth, 0.1)
    sums = probability(estimate, truth)
    found = finish(sums).isel(threshold=0)
    assert float(found.threshold) == 0.1
    assert found.sizes["probability_class"] == 21
    assert float(found.brier_score) == pytest.approx(((p - o) ** 2).mean(), abs=1e-6)
    inside = np.floor(p * 20 + 0.5).astype(int)
    within = sum(((p[inside == c] - p[inside == c].mean()) ** 2).sum() for c in np.unique(inside)) / p.size
    joint = (
        sum(
            ((p[inside == c] - p[inside == c].mean()) * (o[inside == c] - o[inside == c].mean())).sum()
            for c in np.unique(inside)
        )
        / p.size
    )
    parts = float(found.reliability - found.resolution + found.uncertainty) + within - 2 * joint
    assert abs(within) > 1e-5
    assert float(found.brier_score) == pytest.approx(parts, abs=1e-6)


def test_units_and_members_say_the_same() -> None:
    estimate, truth = case(4)
    share = (estimate >= np.float32(0.1)).mean("member").where(estimate.notnull().all("member"))
    members = probability(estimate, truth, thresholds=[0.1])
    for scale, units in ((1, "1"), (100, "%"), (100, "percent")):
        given_as = probability((share * scale).assign_attrs(units=units), truth, classes=7)
        for name in members:
            np.testing.assert_allclose(given_as[name], members[name], rtol=1e-9)
    whole = (share.fillna(0) * 100).round().astype("u1").assign_attrs(units="%")
    assert float(finish(probability(whole, truth)).roc_area[0]) > 0.5


def test_a_probability_for_each_threshold() -> None:
    estimate, truth = case(5)
    levels = xr.DataArray(list(LEVELS), coords={"threshold": list(LEVELS)}, dims="threshold")
    share = (estimate >= levels.astype("f4")).mean("member").where(estimate.notnull().all("member"))
    each = probability(share.assign_attrs(units="1"), truth, over=("y", "x"), classes=7)
    members = probability(estimate, truth, over=("y", "x"), thresholds=LEVELS)
    assert each["weight"].dims == members["weight"].dims == ("time", "threshold", "probability_class")
    for name in members:
        np.testing.assert_allclose(each[name], members[name], rtol=1e-9)
    assert finish(each).brier_score.dims == ("time", "threshold")
    with pytest.raises(ConfigError, match="dimension threshold"):
        probability(share.assign_attrs(units="1"), truth, thresholds=LEVELS)


def test_an_honest_probability_is_reliable_and_certainty_is_perfect() -> None:
    rng = np.random.default_rng(6)
    p = xr.DataArray(rng.beta(0.4, 1.0, 60_000), dims="x", attrs={"units": "1"})
    truth = xr.DataArray((rng.random(p.size) < p.values) * 5.0, dims="x")
    found = finish(probability(p, truth)).isel(threshold=0)
    assert float(found.reliability) < 2e-4
    full = found.class_share > 0.01
    np.testing.assert_allclose(found.observed_frequency[full], found.forecast_probability[full], atol=0.05)
    assert float(finish(probability(p**3, truth.assign_attrs(units="mm h-1"))).reliability[0]) > 0.01
    sure = finish(probability((truth > 0).astype(float).assign_attrs(units="1"), truth)).isel(threshold=0)
    assert [float(sure[name]) for name in ("brier_score", "brier_skill_score", "roc_area")] == [0.0, 1.0, 1.0]
    assert float(sure.reliability) == 0.0
    assert float(sure.resolution) == pytest.approx(float(sure.uncertainty))


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_laws(seed: int, cut: int) -> None:
    estimate, truth = case(seed, times=4, side=6)
    whole = probability(estimate, truth, thresholds=LEVELS)
    mixed = estimate.isel(member=np.random.default_rng(seed).permutation(6))
    xr.testing.assert_allclose(probability(mixed, truth, thresholds=LEVELS), whole, rtol=1e-9)
    parts = [slice(None, cut), slice(cut, None)]
    for dim in ("time", "x"):
        made = [probability(estimate.isel({dim: s}), truth.isel({dim: s}), thresholds=LEVELS) for s in parts]
        xr.testing.assert_allclose(merge(*made), whole, rtol=1e-9)
    kept = probability(estimate, truth, over="time", thresholds=LEVELS)
    xr.testing.assert_allclose(pool(kept, ("y", "x")), whole, rtol=1e-9)
    finish(kept)  # pixels without any event or observation: undefined, and without a warning
    margin = {"y": (1, 2), "x": (0, 3)}
    wider = [array.drop_vars(["y", "x"]).pad(margin, constant_values=np.nan) for array in (estimate, truth)]
    xr.testing.assert_allclose(probability(*wider, thresholds=LEVELS), whole, rtol=1e-9)
    heavier = probability(estimate, truth, thresholds=LEVELS, weights=xr.full_like(truth, 2.0).fillna(2.0))
    xr.testing.assert_allclose(heavier, whole * 2, rtol=1e-9)


def test_a_sample_without_events_has_no_skill_to_speak_of() -> None:
    estimate, truth = case(7)
    found = finish(probability(estimate, truth * 0, thresholds=[1.0])).isel(threshold=0)
    assert np.isnan(found.roc_area) and np.isnan(found.brier_skill_score) and np.isnan(found.roc_detection).all()
    assert float(found.uncertainty) == 0.0


def test_what_is_no_probability_is_refused() -> None:
    estimate, truth = case(8)
    one = estimate.isel(member=0)
    for units in ({"units": "mm h-1"}, {}):
        bare = one.copy()
        bare.attrs = units
        with pytest.raises(UnitError, match="neither an ensemble nor a probability") as raised:
            probability(bare, truth)
        assert "member" in raised.value.fix and "%" in raised.value.fix
    for value, units in ((1.5, "1"), (-0.1, "1"), (101.0, "%")):
        with pytest.raises(UnitError, match="a probability of"):
            probability(xr.full_like(truth, value).assign_attrs(units=units), truth)
    with pytest.raises(UnitError):
        probability(estimate.assign_attrs(units="mm"), truth)
    with pytest.raises(ConfigError, match="classes"):
        probability(estimate, truth, classes=1)
    with pytest.raises(ConfigError, match="thresholds"):
        probability(estimate, truth, thresholds=(2.0, 1.0))
    likely, _ = likelihood(8)
    with pytest.raises(ConfigError, match="do not belong together"):
        merge(probability(estimate, truth, thresholds=[0.1], classes=21), probability(likely, truth))
