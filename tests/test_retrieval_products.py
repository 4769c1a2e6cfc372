"""What an ensemble tells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ondee.errors import ConfigError
from ondee.generative.detection import EVEN
from ondee.retrieval import PRODUCTS, THRESHOLDS, ensemble_products, matched
from ondee.retrieval.products import chosen

RATES = st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.5, 1.0, 2.5, 10.0, 80.0])
ENSEMBLES = st.tuples(st.integers(1, 6), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=RATES)
)


@given(ENSEMBLES)
def test_the_matched_mean_has_the_members_values_in_the_order_of_the_mean(members):
    found, mean = matched(members), members.mean(0, dtype=float)
    order = np.argsort(mean, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    np.testing.assert_array_equal(np.sort(found), np.sort(members, axis=None)[len(members) // 2 :: len(members)])
    assert (found[mean == 0] == 0).all(), "dry where all members are"
    wet, pooled = (found > 0).mean(), (members > 0).mean()
    assert abs(wet - pooled) <= 1 / members.shape[1], "as wet as the members"


@given(arrays(np.float32, 30, elements=RATES))
def test_the_matched_mean_of_one_field_is_that_field(field):
    # Ties of the mean are ties of the field, so nothing is left to choose.
    np.testing.assert_array_equal(matched(np.stack([field] * 3)), field)


def test_products_are_what_their_names_say():
    rng = np.random.default_rng(1)
    rain = (rng.gamma(0.4, 4.0, (5, 20, 30)) * (rng.uniform(size=(5, 20, 30)) < 0.5)).astype(np.float32)
    hole = rng.uniform(size=(20, 30)) < 0.1
    rain[:, hole] = np.nan
    made = ensemble_products(rain, tuple(PRODUCTS), EVEN)
    assert set(made) == {product.variable for product in PRODUCTS.values()}
    np.testing.assert_array_equal(made["rain_rate"], rain)
    np.testing.assert_allclose(made["rain_rate_mean"], rain.mean(0), rtol=1e-6)
    np.testing.assert_allclose(made["rain_rate_median"], np.median(rain, axis=0), rtol=1e-6)
    np.testing.assert_allclose(made["rain_rate_spread"], rain.std(0, ddof=1), rtol=1e-5)
    for index, threshold in enumerate(THRESHOLDS):
        share = np.where(hole, np.nan, (rain >= threshold).mean(0))
        np.testing.assert_allclose(made["rain_probability"][index], share, rtol=1e-6)
    for name, field in made.items():
        assert field.dtype == np.float32
        assert (np.isnan(field) == hole).all(), name
    assert np.nanmax(made["rain_rate_matched"]) > np.nanmax(made["rain_rate_mean"])


def test_a_scene_without_images_is_missing_and_not_dry():
    made = ensemble_products(np.full((3, 4, 5), np.nan, np.float32), tuple(PRODUCTS), EVEN)
    assert all(np.isnan(field).all() for field in made.values())


def test_products_that_cannot_be_are_refused():
    assert chosen((), 16, stochastic=True) == tuple(PRODUCTS)
    assert chosen(("matched", "mean"), 16, stochastic=True) == ("mean", "matched")
    assert chosen((), 1, stochastic=True) == chosen((), 1, stochastic=False) == ("members",)
    with pytest.raises(ConfigError, match="no product 'mode'"):
        chosen(("mode",), 16, stochastic=True)
    with pytest.raises(ConfigError, match="this model gives one field"):
        chosen(("mean",), 1, stochastic=False)
    with pytest.raises(ConfigError, match="1 is asked for"):
        chosen(("spread",), 1, stochastic=True)
