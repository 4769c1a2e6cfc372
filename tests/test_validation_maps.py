"""Maps: sums at each cell, ratios, and what may be told of a cell."""

import numpy as np
import pytest
import xarray as xr

from ondee import score
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.validation.chance import controlled, p_value
from ondee.validation.maps import PLACES, DayMaps, finished_maps
from ondee.validation.settings import Settings

CELLS = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.1, 0.1, 4, 3)
DAYS = np.datetime64("2018-06-01", "ns") + np.arange(12) * np.timedelta64(1, "D")
ABOUT = {"units": "mm h-1"}


def day(number, factor=1.0):
    rng = np.random.default_rng([4, number])
    truth = rng.gamma(0.5, 2.0, (10, *CELLS.shape)).astype(np.float32) * (rng.random((10, *CELLS.shape)) < 0.6)
    estimate = (factor * truth * rng.lognormal(0, 0.2, truth.shape)).astype(np.float32)
    estimate[rng.random(truth.shape) < 0.1] = np.nan
    return estimate, truth


def summed(factor=1.0, settings=None):
    """Sums of twelve days, all against the half-hour mean."""
    points, events = [], []
    for number, start in enumerate(DAYS):
        maps = DayMaps(CELLS, settings or Settings())
        for estimate, truth in zip(*day(number, factor), strict=True):
            valid = np.isfinite(estimate)
            maps.add(0, estimate, truth, valid, np.zeros(CELLS.shape, bool))
        made = maps.tables(start)
        points.append(made["maps/point"])
        events.append(made["maps/event"])
    point, event = (xr.concat(parts, "day", data_vars="minimal") for parts in (points, events))
    rainy = ((event["hits"] + event["misses"]) > 0).sum("day")
    return point, event.assign(rain_days=rainy)


def finished(factor=1.0, settings=None, **given):
    settings = settings or Settings(map_days=5)
    how = {"replicates": 200, "level": 0.95, "seed": 0, "span": np.timedelta64(1, "D")} | given
    return finished_maps(*summed(factor), settings, **how)


def test_maps_are_the_scores_of_the_cells():
    made = finished()
    estimate, truth = (np.concatenate(parts) for parts in zip(*(day(n) for n in range(12)), strict=True))
    fields = [xr.DataArray(values, dims=("time", "y", "x"), attrs=ABOUT) for values in (estimate, truth)]
    own = score.finish(score.point(*fields, over="time")).sel(population="all")
    event = score.finish(score.event(*fields, over="time", thresholds=[0.1])).isel(threshold=0)
    here = made.sel(comparison="mean", group="all")
    for name in ("relative_bias", "correlation"):
        np.testing.assert_allclose(here[name], own[name], rtol=1e-5, atol=1e-6)
        assert (here[f"{name}_low"] <= here[name]).all()
        assert (here[name] <= here[f"{name}_high"]).all()
    for name in ("probability_of_detection", "false_alarm_ratio"):
        np.testing.assert_allclose(here[name], event[name], rtol=1e-5)


def test_a_map_without_cells_is_missing_and_not_resolved():
    made = finished().sel(comparison="overpass")
    assert made["relative_bias"].isnull().all()
    assert not made["relative_bias_resolved"].any()
    assert set(made["days"].values.ravel()) == {0}


def test_a_large_bias_is_resolved_and_none_is_not():
    assert finished(2.5).sel(comparison="mean", group="all")["relative_bias_resolved"].all()
    assert not finished(1.0).sel(comparison="mean", group="all")["relative_bias_resolved"].any()


def test_few_days_with_rain_resolve_nothing():
    made = finished(2.5, Settings(map_days=13)).sel(comparison="mean", group="all")
    assert not made["relative_bias_resolved"].any()
    assert (made["days"] == 12).all()


def test_p_falls_with_the_error_and_asks_for_more_than_the_tolerance():
    value = np.array([0.0, 0.05, 0.1, 0.3, 0.9, np.nan])
    p = p_value(value, value - 0.1, value + 0.1, 0.0, 0.1, 0.95)
    assert (np.diff(p[:5]) <= 0).all()
    assert p[2] == pytest.approx(0.5, abs=0.01)  # an error of just the tolerance
    assert np.isnan(p[5])
    mirrored = p_value(-value, -value - 0.1, -value + 0.1, 0.0, 0.1, 0.95)
    np.testing.assert_allclose(p, mirrored)


def test_controlled_p_is_never_smaller_and_keeps_holes():
    p = np.array([[0.001, np.nan], [0.04, 0.5]])
    made = controlled(p)
    assert np.isnan(made[0, 1])
    held = np.isfinite(p)
    assert (made[held] >= p[held]).all()
    # Benjamini and Yekutieli 2001: n (1 + 1/2 + 1/3) / rank
    assert made[0, 0] == pytest.approx(0.001 * 3 * (1 + 1 / 2 + 1 / 3))
    assert np.isnan(controlled(np.full(3, np.nan))).all()


def test_places_are_those_of_the_comparisons():
    assert [place[0] for place in PLACES] == ["mean", "mean", "overpass", "floor"]
