"""Collocation of real files against brute force: many points in each pixel, every half minute, a disc on the ground."""

import h5py
import numpy as np
import pyproj
import pytest
import xarray as xr

import real
from ondee.collocation import overpass, regrid
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source import open as open_any
from ondee.units import tag

OPERA = "opera/T_PAAH21_C_EUOC_20180824203000.hdf"
METEONET = "meteonet/rainfall_NW_2016_08.3.npz"
CROP = "seviri/seviri_bt_france_20200906_0000-0045.nc"
KNMI = "rain_sequences/knmi_20100826.nc"
LAEA = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +ellps=WGS84"
GEOS = "+proj=geos +h=35785831 +lon_0=0 +a=6378169 +b=6356583.8"
# The projection and the corner that the file states in its attribute projection_note.
DUTCH = {
    "crs": "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378137 +b=6356752 +units=m",
    "west": 0.0,
    "north": -3650e3,
}


def to_degrees(crs):
    return pyproj.Transformer.from_crs(crs, LATITUDE_LONGITUDE, always_xy=True)


@real.needs(OPERA)
def test_a_composite_on_imerg_cells_is_the_mean_of_many_points():
    """400 points in each pixel of 2 km: equal area in this projection, so each counts the same."""
    target = Grid(LATITUDE_LONGITUDE, 10.0, 47.5, 0.1, 0.1, 25, 20)
    made = regrid(open_any(real.path(OPERA))[["rain_rate"]], target, coverage=0.0, statistics=True)
    left, right, top, bottom = 965, 1080, 1370, 1600
    with h5py.File(real.path(OPERA)) as file:
        raw = file["dataset1/data1/data"][top:bottom, left:right]
    rain = np.where(raw == -9999000.0, np.nan, np.where(raw == -8888000.0, 0.0, raw))
    inside = (np.arange(20) + 0.5) / 20
    x = 2000.0 * (np.arange(left, right)[:, None] + inside).ravel()
    y = -2000.0 * (np.arange(top, bottom)[:, None] + inside).ravel()
    longitude, latitude = to_degrees(LAEA).transform(*np.meshgrid(x, y))
    column, row = np.floor((longitude - 10.0) * 10).astype(int), np.floor((47.5 - latitude) * 10).astype(int)
    held = (column >= 0) & (column < 25) & (row >= 0) & (row < 20)
    assert not (held[0].any() or held[-1].any() or held[:, 0].any() or held[:, -1].any())
    values, cell = np.repeat(np.repeat(rain, 20, axis=0), 20, axis=1)[held], (row * 25 + column)[held]
    assert np.isfinite(values).all()
    mean, wet = (np.bincount(cell, part, 500) / np.bincount(cell, minlength=500) for part in (values, values >= 0.1))
    assert mean.max() > 10 and (mean > 0.1).sum() > 100
    found = made["rain_rate"].values.ravel()
    # The points err where a pixel of 124 mm/h crosses an edge; with 90,000 of them the difference vanishes.
    np.testing.assert_allclose(found, mean, rtol=0.01, atol=0.1)
    assert np.abs(found - mean).mean() < 5e-3 * mean.mean()
    assert found.mean() == pytest.approx(mean.mean(), rel=2e-4)
    np.testing.assert_allclose(made["wet_fraction"].values.ravel(), wet, atol=6e-3)
    np.testing.assert_allclose(made["coverage"].values, 1.0, atol=1e-4)


@real.needs(METEONET, CROP)
@pytest.mark.parametrize(("footprint", "error"), [(None, 2e-3), (1.6, 0.03)])
def test_radar_through_the_footprint_of_seviri(footprint, error):
    """A million points in the response of each of some rainy cells; the response is a Gaussian in the scan plane."""
    whole = Grid.of(open_any(real.path(CROP), start="2020-09-06", end="2020-09-06T00:10"))
    target = whole.crop(*whole.window((-4.5, 47.0, 1.0, 50.5)))
    radar = open_any(real.path(METEONET), start="2016-08-21T00:55", end="2016-08-21T01:00")[["rain_rate"]]
    found = regrid(radar, target, footprint=footprint)["rain_rate"].values[0]
    rain = radar["rain_rate"].values[0]
    deviation = None if footprint is None else footprint / np.sqrt(8 * np.log(2))
    half = 0.5 if deviation is None else 4 * deviation
    offset = half * ((np.arange(1000) + 0.5) / 500 - 1)
    response = np.ones(1000) if deviation is None else np.exp(-0.5 * (offset / deviation) ** 2)
    strongest = np.argsort(np.nan_to_num(found).ravel())[::-1][:40:10]
    for row, column in zip(*np.unravel_index(strongest, target.shape), strict=True):
        x, y = target.x[column] + offset * target.dx, target.y[row] - offset * target.dy
        longitude, latitude = to_degrees(GEOS).transform(*np.meshgrid(x, y))
        pixels = rain[np.floor((51.896 - latitude) * 100).astype(int), np.floor((longitude + 5.842) * 100).astype(int)]
        expected = (np.outer(response, response) * pixels).sum() / response.sum() ** 2
        assert expected > 0.3
        assert found[row, column] == pytest.approx(expected, rel=error)


@real.needs(KNMI)
def test_dutch_radar_lies_around_its_antenna():
    """That day only De Bilt measured: a disc of 200 km around 52.103° N 5.179° E, which turned images would miss."""
    radar = open_any(real.path(KNMI), start="2010-08-26T00:00", end="2010-08-26T00:05", **DUTCH)
    longitude, latitude = Grid.of(radar).longitude_latitude()
    antenna = np.full_like(longitude, 5.179), np.full_like(latitude, 52.103)
    disc = pyproj.Geod(ellps="WGS84").inv(*antenna, longitude, latitude)[2] < 200e3
    seen = np.isfinite(radar["rain_rate"].values[0])
    assert (disc & seen).sum() / (disc | seen).sum() > 0.99
    for turned in (seen[::-1], seen[:, ::-1]):
        assert (disc & turned).sum() / (disc | turned).sum() < 0.8


@real.needs(KNMI)
@pytest.mark.parametrize(("label", "half_width"), [("start", 2.5), ("end", 7.5)])
def test_radar_at_the_pass_is_that_of_every_half_minute(label, half_width):
    radar = open_any(real.path(KNMI), start="2010-08-26T00:00", end="2010-08-26T02:00", time_label=label, **DUTCH)
    target = Grid.lattice((4.0, 51.5, 6.0, 52.5))
    cells = regrid(radar, target)
    starts = np.array(["2010-08-26T00:00", "2010-08-26T01:00"], "datetime64[ns]")
    draw = np.random.default_rng(1)
    minute = draw.integers(0, 30, (2, *target.shape)).astype(np.float32)
    minute[draw.random(minute.shape) < 0.1] = np.nan
    passes = xr.DataArray(minute, dims=("time", "y", "x"), coords={"time": starts, **target.coordinates()})
    found = overpass(cells, tag(passes, "microwave_minute"), half_width=half_width)["rain_rate"].values
    # Frame k holds for the five minutes from 5 k - before minutes after midnight.
    before = 5 if label == "end" else 0
    rain, expected = cells["rain_rate"].values, np.full(found.shape, np.nan)
    for step, row, column in np.argwhere(np.isfinite(minute)):
        middles = 60 * step + minute[step, row, column] - half_width + np.arange(4 * half_width) / 2 + 0.25
        frames = np.floor((middles + before) / 5).astype(int)
        if frames.min() >= 0:
            expected[step, row, column] = rain[frames, row, column].mean()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.isfinite(found[1]).sum() > 150 and np.isnan(found[0]).sum() > np.isnan(minute[0]).sum()
