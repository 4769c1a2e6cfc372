import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from archives import RADAR, radar, times
from ondee.collocation.area import weights
from ondee.collocation.regrid import apply, apply_statistics, mask_by_quality, regrid
from ondee.errors import ConfigError, GridError
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.units import require

CELLS = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.1, 0.1, 6, 5)


def brute(matrix, frame, wet):
    """Definitions, cell by cell, in double precision."""
    rows = scipy.sparse.csr_array(matrix.matrix()).astype(np.float64)
    out = np.full((5, rows.shape[0]), np.nan)
    for cell in range(rows.shape[0]):
        entries = slice(rows.indptr[cell], rows.indptr[cell + 1])
        w, v = rows.data[entries], frame.ravel()[rows.indices[entries]].astype(np.float64)
        seen = np.isfinite(v)
        out[1, cell] = w[seen].sum()
        if not seen.any():
            continue
        w, v = w[seen] / w[seen].sum(), v[seen]
        mean = (w * v).sum()
        spread = np.sqrt(max((w * v * v).sum() - mean**2, 0))
        out[0, cell], out[2, cell], out[3, cell] = mean, w[v >= np.float32(wet)].sum(), v.max()
        out[4, cell] = spread / mean if mean >= 0.1 * wet else np.nan
    return out.reshape(5, *matrix.target.shape)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), missing=st.floats(0, 1), shift=st.floats(-0.05, 0.05))
def test_value_coverage_and_statistics_are_their_definitions(seed, missing, shift):
    target = Grid(LATITUDE_LONGITUDE, 1.0 + shift, 46.0 - shift, 0.1, 0.1, 6, 5)
    matrix = weights(RADAR, target, cache=False)
    rng = np.random.default_rng(seed)
    frame = (rng.gamma(0.3, 3, RADAR.shape) * (rng.uniform(size=RADAR.shape) < 0.4)).astype(np.float32)
    frame[rng.uniform(size=frame.shape) < missing] = np.nan
    value, coverage = apply(matrix, frame)
    expected = brute(matrix, frame, 0.1)
    np.testing.assert_allclose(value, expected[0], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(coverage, expected[1], atol=2e-6)
    for found, true in zip(apply_statistics(matrix, frame, wet=0.1), expected[2:], strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-4, atol=1e-5)


def test_counts_and_rates_give_the_same():
    matrix = weights(RADAR, CELLS, cache=False)
    counts = np.random.default_rng(1).integers(-1, 300, RADAR.shape).astype(np.int16)
    rate = np.where(counts < 0, np.nan, counts * 0.12).astype(np.float32)
    for a, b in zip(apply(matrix, counts, missing=-1, scale=0.12), apply(matrix, rate), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_missing_is_never_dry():
    """A cell half missing, half at 2 mm/h, has 2 mm/h on half its area, and is missing under the usual rule."""
    rain = np.full((1, *RADAR.shape), 2.0, np.float32)
    rain[:, :, :5] = np.nan  # half of the first column of cells
    data = radar(["2018-06-04T12:00"], values=rain)
    loose, strict = regrid(data, CELLS, coverage=0.4), regrid(data, CELLS)
    np.testing.assert_allclose(loose["rain_rate"], 2.0)
    assert strict["rain_rate"][0, :, 0].isnull().all() and strict["rain_rate"][0, :, 1:].notnull().all()
    np.testing.assert_allclose(strict["coverage"][0, :, 0], 0.5, atol=1e-5)
    assert strict["rain_rate"].attrs["cells_removed_by_coverage"] == CELLS.ny


def test_a_cell_without_pixels_is_missing_and_not_zero():
    wider = Grid(LATITUDE_LONGITUDE, 0.5, 46.5, 0.1, 0.1, 20, 20)
    made = regrid(radar(["2018-06-04T12:00"], missing=0.0), wider, coverage=0.0)
    assert made["rain_rate"][0, 0, 0].isnull() and made["coverage"][0, 0, 0] == 0


def test_the_result_is_named_and_has_its_statistics():
    made = regrid(radar(times("2018-06-04T12:00", 3)), CELLS, coverage=0.5, statistics=True)
    require(made["rain_rate"], "rain_rate", where="test")
    assert set(made.data_vars) == {"rain_rate", "coverage", "wet_fraction", "rain_maximum", "rain_variability"}
    assert Grid.of(made).same_as(CELLS)
    assert (made["rain_maximum"] >= made["rain_rate"] - 1e-5).all()
    assert made["time_bounds"].shape == (3, 2)


def test_values_on_another_grid_are_refused():
    with pytest.raises(GridError, match="not on the source grid"):
        apply(weights(RADAR, CELLS, cache=False), np.zeros((3, 3), np.float32))


def test_quality_removes_pixels_before_the_mean_and_counts_them():
    data = radar(["2018-06-04T12:00"], quality=True, missing=0.0)
    masked = mask_by_quality(data, 0.8)
    low = data["quality"] < 0.8
    assert masked["rain_rate"].isnull().equals(low.drop_attrs()) or (masked["rain_rate"].isnull() == low).all()
    assert masked["rain_rate"].attrs["pixels_removed_by_quality"] == int(low.sum())
    wet = int((low & (data["rain_rate"] >= 0.1)).sum())
    assert masked["rain_rate"].attrs["wet_pixels_removed_by_quality"] == wet > 0
    assert mask_by_quality(data, None) is data


def test_unknown_quality_is_kept_or_removed_as_asked():
    data = radar(["2018-06-04T12:00"], quality=True, missing=0.0)
    data["quality"][0, 0, :10] = np.nan
    assert mask_by_quality(data, 0.5)["rain_rate"][0, 0, :10].notnull().all()
    assert mask_by_quality(data, 0.5, unknown="remove")["rain_rate"][0, 0, :10].isnull().all()


def test_a_threshold_without_quality_is_refused():
    with pytest.raises(ConfigError, match="the data have none"):
        mask_by_quality(radar(["2018-06-04T12:00"]), 0.8)
    with pytest.raises(ConfigError, match="cannot be used"):
        mask_by_quality(radar(["2018-06-04T12:00"], quality=True), 80)
