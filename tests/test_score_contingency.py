import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee import score
from ondee.errors import ConfigError
from test_score_sums import field

FEW = settings(max_examples=25, deadline=None)
NAMES = {
    "probability_of_detection": "probability_of_detection",
    "false_alarm_ratio": "false_alarm_ratio",
    "success_ratio": "success_ratio",
    "false_detection_rate": "probability_of_false_detection",
    "critical_success_index": "critical_success_index",
    "frequency_bias": "frequency_bias",
    "equitable_threat_score": "equitable_threat_score",
    "heidke_skill_score": "heidke_skill_score",
    "extremal_dependence": "symmetric_extremal_dependence_index",
    "base_rate": "base_rate",
}


@pytest.mark.parametrize("threshold", [0.1, 1.0, 5.0])
def test_agrees_with_scores(threshold):
    categorical = pytest.importorskip("scores.categorical")
    estimate, truth = field(1), field(2)
    truth = truth.where(field(3) > 0, estimate)  # so that there is skill
    found = score.finish(score.event(estimate, truth, thresholds=[threshold])).isel(threshold=0)
    manager = categorical.BinaryContingencyManager(
        (estimate >= threshold).astype(float), (truth >= threshold).astype(float)
    )
    for ours, theirs in NAMES.items():
        with np.errstate(all="ignore"):
            other = getattr(manager, theirs)()
        np.testing.assert_allclose(found[ours], other, atol=1e-12, err_msg=ours)


def test_agrees_with_pysteps():
    verification = pytest.importorskip("pysteps.verification.detcatscores")
    estimate, truth = field(1), field(2)
    found = score.finish(score.event(estimate, truth, thresholds=[1.0])).isel(threshold=0)
    theirs = verification.det_cat_fct(
        estimate.values, truth.values, 1.0, scores=["POD", "FAR", "CSI", "ETS", "HSS", "BIAS"]
    )
    ours = {
        "POD": "probability_of_detection",
        "FAR": "false_alarm_ratio",
        "CSI": "critical_success_index",
        "ETS": "equitable_threat_score",
        "HSS": "heidke_skill_score",
        "BIAS": "frequency_bias",
    }
    for name, own in ours.items():
        np.testing.assert_allclose(found[own], theirs[name], atol=1e-6, err_msg=name)


@FEW
@given(seed=st.integers(0, 1000), holes=st.floats(0.0, 0.9))
def test_counts_with_holes_are_those_of_the_definition(seed, holes):
    estimate, truth = field(seed, holes=holes), field(seed + 1, holes=holes / 2)
    sums = score.event(estimate, truth, thresholds=[0.5, 2.0])
    for index, level in enumerate((0.5, 2.0)):
        counts = {"hits": 0, "false_alarms": 0, "misses": 0, "correct_negatives": 0}
        for e, t in zip(estimate.values.ravel(), truth.values.ravel(), strict=True):
            if np.isfinite(e) and np.isfinite(t):
                name = {(1, 1): "hits", (1, 0): "false_alarms", (0, 1): "misses", (0, 0): "correct_negatives"}
                counts[name[int(e >= level), int(t >= level)]] += 1
        assert {name: int(sums[name][index]) for name in counts} == counts


@FEW
@given(seed=st.integers(0, 1000), order=st.permutations(range(4)))
def test_order_of_members_and_more_missing_pixels_change_nothing(seed, order):
    members, truth = field(seed, (4, 6, 7), ("member", "y", "x")), field(seed + 1, (6, 7), ("y", "x"))
    sums = score.event(members, truth)
    xr.testing.assert_identical(sums, score.event(members.isel(member=order), truth))
    bare = [array.drop_vars(["y", "x"]) for array in (members, truth)]
    padded = bare[1].pad(y=(2, 3), x=1)
    xr.testing.assert_identical(sums, score.event(bare[0].pad(y=(2, 3), x=1, constant_values=7.0), padded))


def test_a_perfect_estimate_is_perfect_and_an_empty_one_is_not_defined():
    truth = field(3, holes=0.1)
    found = score.finish(score.event(truth, truth, thresholds=[1.0])).isel(threshold=0)
    for name, value in found.data_vars.items():
        best = score.MEASURES[name].best
        if np.isfinite(best):
            assert float(value) == best, name
    nothing = score.finish(score.event(truth * np.nan, truth))
    assert all(nothing[name].isnull().all() for name in nothing.data_vars)


def test_extremal_dependence_at_its_limits():
    truth = xr.DataArray([0.0, 0.0, 1.0, 1.0], dims="x")
    found = {
        name: float(
            score.finish(score.event(xr.DataArray(values, dims="x"), truth, thresholds=[1.0])).extremal_dependence[0]
        )
        for name, values in {
            "perfect": [0.0, 0, 1, 1],
            "no false alarm": [0.0, 0, 0, 1],
            "nothing seen": [1.0, 0, 0, 0],
            "never an alarm": [0.0, 0, 0, 0],
        }.items()
    }
    assert found["perfect"] == found["no false alarm"] == 1.0
    assert found["nothing seen"] == -1.0
    assert np.isnan(found["never an alarm"])


def test_values_are_compared_in_their_own_precision():
    truth = xr.DataArray(np.float32([0.7, 0.3, 0.2, 0.1]), dims="x")
    for level in (0.7, 0.3, 0.2, 0.1):
        assert float(score.event(truth, truth, thresholds=[level]).hits[0]) == (truth >= np.float32(level)).sum()


def test_thresholds_of_another_quantity():
    truth = field(1, units="mm h-1")
    likelihood = (field(2) * 10).assign_attrs(units="%")
    sums = score.event(likelihood, truth, thresholds=[0.1, 1.0], estimate_thresholds=[10.0, 50.0, 90.0])
    assert sums.hits.dims == ("threshold", "estimate_threshold")
    assert sums.estimate_threshold.attrs["units"] == "%"
    assert sums.threshold.attrs["units"] == "mm h-1"
    np.testing.assert_allclose(sums.hits[1, 2], ((likelihood >= 90) & (truth >= 1)).sum())


@pytest.mark.parametrize("wrong", [[], [1.0, 1.0], [2.0, 1.0], [np.nan], [[1.0]]])
def test_thresholds_must_ascend(wrong):
    with pytest.raises(ConfigError, match="thresholds must be finite and ascend"):
        score.event(field(1), field(2), thresholds=wrong)


def test_weights_leave_no_correct_negatives_by_rounding():
    rng = np.random.default_rng(0)
    for _ in range(20):
        kind = rng.integers(0, 3, 60)
        estimate, truth = (xr.DataArray(np.where(kind != only, 3.0, 0.0), dims="x") for only in (0, 1))
        sums = score.event(estimate, truth, weights=xr.DataArray(rng.random(60), dims="x"), thresholds=[1.0])
        assert sums["correct_negatives"].item() == 0.0
        assert score.finish(sums)["extremal_dependence"].item() == -1.0
