import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ondee.errors import UnitError
from ondee.units import VOCABULARY, canonical, require, tag, to_amount, to_rate


def amount(values, minutes):
    start = np.datetime64("2018-06-04T12:00", "ns")
    bounds = np.stack([np.full(len(values), start), start + np.array(minutes) * np.timedelta64(1, "m")], axis=1)
    array = tag(xr.DataArray(np.asarray(values, float), dims="time"), "rain_amount", grid_mapping="crs")
    return array, xr.DataArray(bounds, dims=("time", "bounds"))


def test_a_rate_is_an_amount_over_its_own_interval():
    array, bounds = amount([1.0, 1.0], [5, 60])
    rate = to_rate(array, bounds)
    assert rate.values.tolist() == pytest.approx([12.0, 1.0])
    assert rate.attrs["units"] == "mm h-1" and rate.attrs["grid_mapping"] == "crs" and rate.name == "rain_rate"


@given(st.lists(st.floats(1e-6, 100), min_size=1, max_size=5), st.integers(1, 1440))
def test_amount_and_rate_are_inverse(values, minutes):
    array, bounds = amount(values, [minutes] * len(values))
    np.testing.assert_allclose(to_amount(to_rate(array, bounds), bounds), array, rtol=1e-12)


def test_the_wrong_unit_is_refused_with_the_way_out():
    array, bounds = amount([1.0], [5])
    with pytest.raises(UnitError) as caught:
        require(array, "rain_rate", where="radar.h5")
    assert "to_rate" in caught.value.fix and caught.value.where == "radar.h5"
    with pytest.raises(UnitError, match="'mm' is needed"):
        to_rate(to_rate(array, bounds), bounds)
    with pytest.raises(UnitError, match="no length"):
        to_rate(*amount([1.0], [0]))
    with pytest.raises(UnitError, match="not in the vocabulary"):
        tag(array, "rain")
    with pytest.raises(UnitError, match="is in None"):
        require(xr.DataArray(1.0), "rain_rate", where="x")


def test_arithmetic_does_not_keep_a_false_name():
    rate = to_rate(*amount([1.0], [60]))
    wet = tag(rate > 0, "wet_fraction")
    assert wet.attrs["units"] == "1" and "standard_name" not in wet.attrs


def test_spellings_and_the_vocabulary_agree():
    for quantity in VOCABULARY.values():
        assert canonical(quantity.units) == quantity.units
        assert quantity.plausible[0] < quantity.plausible[1]
    assert {canonical(text) for text in ("mm/hr", "mm h-1", "mm  h-1", "mm h**-1")} == {"mm h-1"}
