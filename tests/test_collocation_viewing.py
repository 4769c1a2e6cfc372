"""Angles, parallax and its correction, against pyorbital, satpy and the exact intersection by PROJ."""

import datetime as dt

import numpy as np
import pyproj
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.collocation.viewing import (
    ORBIT_RADIUS,
    cloud_top_height,
    correct_parallax,
    parallax,
    satellite_angles,
    satellite_longitude_of,
    sun_angles,
    true_position,
)
from ondee.errors import ConfigError, GridError, UnitError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid
from ondee.source.assembly import Variable, assemble
from ondee.source.cf_grid import geostationary
from ondee.units import VOCABULARY, tag

EUROPE = Grid(LATITUDE_LONGITUDE, -12.0, 60.0, 1.0, 1.0, 32, 26)
STEP = 3000.4031658172607
FRANCE = Grid(geostationary(0.0), -4e5, 4.66e6, STEP, STEP, 80, 60)
GEOD = pyproj.Geod(ellps="WGS84")


def apparent(longitude, latitude, height, satellite=0.0):
    """Where a cloud is seen, exactly: the line from the satellite through it, cut with the WGS 84 ellipsoid."""
    geocentric = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    angle = np.radians(satellite)
    start = ORBIT_RADIUS * np.array([np.cos(angle), np.sin(angle), 0.0])[:, None, None]
    sight = np.stack(geocentric.transform(longitude, latitude, np.broadcast_to(height, longitude.shape))) - start
    weight = (1 / np.array([6378137.0, 6378137.0, 6356752.314245]) ** 2)[:, None, None]
    p, q, r = ((one * two * weight).sum(axis=0) for one, two in ((sight, sight), (start, sight), (start, start)))
    t = (-q - np.sqrt(q**2 - p * (r - 1))) / p
    east, north, _ = geocentric.transform(*(start + t * sight), direction="INVERSE")
    return east, north


# ---- angles


@pytest.mark.parametrize("satellite", [0.0, 9.5, 41.5])
def test_satellite_angles_agree_with_pyorbital(satellite):
    orbital = pytest.importorskip("pyorbital.orbital")
    angles = satellite_angles(EUROPE, satellite_longitude=satellite)
    longitude, latitude = EUROPE.longitude_latitude()
    moment = dt.datetime(2020, 9, 6)
    azimuth, elevation = orbital.get_observer_look(
        satellite, 0.0, (ORBIT_RADIUS - 6378137) / 1000, moment, longitude, latitude, np.zeros_like(longitude)
    )
    np.testing.assert_allclose(angles["satellite_zenith_angle"], 90 - elevation, atol=2e-3)
    np.testing.assert_allclose(angles["satellite_azimuth_angle"], azimuth, atol=2e-3)


def test_satellite_stands_in_the_zenith_below_it_and_the_limb_is_flat():
    grid = Grid(LATITUDE_LONGITUDE, -0.05, 0.05, 0.1, 0.1, 1, 1)
    assert satellite_angles(grid, satellite_longitude=0.0)["satellite_zenith_angle"].item() < 1e-4
    far = Grid(LATITUDE_LONGITUDE, 80.0, 1.0, 1.0, 1.0, 20, 2)
    seen = satellite_angles(far, satellite_longitude=0.0)["satellite_zenith_angle"].values < 90
    assert seen[:, 0].all() and not seen[:, -1].any()
    assert np.isnan(parallax(far, satellite_longitude=0.0)["parallax_east"].values[:, -1]).all()
    np.testing.assert_array_equal(np.isfinite(true_position(far, 1000.0, satellite_longitude=0.0)[0]), seen)


def test_longitude_of_the_satellite_comes_from_the_view_or_is_asked_for():
    assert satellite_longitude_of(Grid(geostationary(9.5), 0, 0, 1, 1, 1, 1)) == 9.5
    assert satellite_longitude_of(FRANCE) == 0.0 and satellite_longitude_of(FRANCE, 3.4) == 3.4
    with pytest.raises(ConfigError, match="not known"):
        satellite_angles(EUROPE)
    with pytest.raises(GridError):
        satellite_angles(Grid(LOCAL, 0, 0, 1, 1, 2, 2))


@pytest.mark.parametrize("moment", ["2020-09-06T00:30", "2021-06-21T12:10", "2015-01-03T08:00", "2035-12-21T15:30"])
def test_sun_angles_agree_with_pyorbital(moment):
    astronomy = pytest.importorskip("pyorbital.astronomy")
    angles = sun_angles(EUROPE, [moment])
    longitude, latitude = EUROPE.longitude_latitude()
    stamp = np.datetime64(moment, "ns")
    np.testing.assert_allclose(
        angles["sun_zenith_angle"][0], astronomy.sun_zenith_angle(stamp, longitude, latitude), atol=0.02
    )
    _, azimuth = astronomy.get_alt_az(stamp, longitude, latitude)
    turn = np.angle(np.exp(1j * (azimuth - np.radians(angles["sun_azimuth_angle"].values[0]))))
    assert np.degrees(np.abs(turn)).max() < 0.05


def test_sun_moves_with_the_line_that_is_scanned():
    offset = tag(xr.DataArray(np.full((1, EUROPE.ny), 660.0), dims=("time", "y")), "scan_offset")
    offset[0, 3] = np.nan
    label, seen, later = (
        sun_angles(EUROPE, [time], scan_offset=given)["sun_zenith_angle"].values[0]
        for time, given in (("2020-09-06T06:30", None), ("2020-09-06T06:30", offset), ("2020-09-06T06:41", None))
    )
    lines = np.arange(EUROPE.ny) != 3
    np.testing.assert_allclose(seen[lines], later[lines], atol=1e-4)
    np.testing.assert_allclose(seen[3], label[3], atol=1e-4)
    assert np.abs(seen - label)[lines].min() > 1.0
    with pytest.raises(UnitError):
        sun_angles(EUROPE, ["2020-09-06T06:30"], scan_offset=offset.assign_attrs(units="min"))


def test_every_array_is_of_the_vocabulary_and_on_the_grid():
    for dataset in (satellite_angles(FRANCE), parallax(FRANCE), sun_angles(FRANCE, ["2020-09-06"])):
        assert Grid.of(dataset).same_as(FRANCE)
        for name, array in dataset.data_vars.items():
            assert array.attrs["units"] == VOCABULARY[name].units and array.attrs["grid_mapping"] == "crs"


# ---- parallax


@pytest.mark.parametrize(("height", "tolerance"), [(2000.0, 0.002), (10000.0, 0.007), (15000.0, 0.011)])
def test_vectors_agree_with_the_exact_intersection(height, tolerance):
    vectors = parallax(EUROPE, satellite_longitude=0.0)
    longitude, latitude = EUROPE.longitude_latitude()
    azimuth, _, distance = GEOD.inv(longitude, latitude, *apparent(longitude, latitude, height))
    east = distance * np.sin(np.radians(azimuth)) - height * vectors["parallax_east"].values
    north = distance * np.cos(np.radians(azimuth)) - height * vectors["parallax_north"].values
    assert (np.hypot(east, north) / distance).max() < tolerance


def test_clouds_over_france_seem_farther_north_by_more_than_their_height():
    vectors = parallax(FRANCE)
    assert 1.0 < float(vectors["parallax_north"].min()) < float(vectors["parallax_north"].max()) < 2.0
    west_east = vectors["parallax_east"].values
    assert (west_east[:, 0] < 0).all() and (np.diff(west_east, axis=1) > 0).all()


@settings(max_examples=20, deadline=None)
@given(height=st.floats(0.0, 16000.0), satellite=st.floats(-10.0, 30.0))
def test_law_true_position_seen_again_is_the_apparent_one(height, satellite):
    longitude, latitude = EUROPE.longitude_latitude()
    east, north = true_position(EUROPE, height, satellite_longitude=satellite)
    again = apparent(east, north, height, satellite)
    assert GEOD.inv(longitude, latitude, *again)[2].max() < 0.5


def test_true_position_agrees_with_satpy_within_its_flat_earth():
    module = pytest.importorskip("satpy.modifiers.parallax")
    longitude, latitude = EUROPE.longitude_latitude()
    east, north = true_position(EUROPE, 10000.0, satellite_longitude=0.0)
    other = module.get_parallax_corrected_lonlats(
        0.0, 0.0, ORBIT_RADIUS - 6378137, longitude, latitude, np.full_like(longitude, 10000.0)
    )
    moved = GEOD.inv(longitude, latitude, east, north)[2]
    assert (GEOD.inv(east, north, *other)[2] / moved).max() < 0.01


# ---- height


def temperatures(values):
    return tag(xr.DataArray(np.asarray(values, np.float32), dims=("y", "x")), "brightness_temperature")


def test_height_follows_the_lapse_rate_within_its_bounds():
    height = cloud_top_height(temperatures([[288.0, 255.5, 300.0], [150.0, np.nan, 223.0]]), surface_temperature=288.0)
    np.testing.assert_allclose(height, [[0, 5000, 0], [16000, np.nan, 10000]], atol=0.5)
    assert (height.attrs["at_ground_count"], height.attrs["at_ceiling_count"]) == (1, 1)
    assert height.attrs["units"] == "m" and height.attrs["ceiling"] == 16000.0
    surface = xr.DataArray([288.0, 268.0], dims="y")
    low = cloud_top_height(temperatures([[255.5], [255.5]]), surface_temperature=surface)
    assert low.dims == ("y", "x")
    np.testing.assert_allclose(low, [[5000], [12500 / 6.5]], rtol=1e-5)


def test_height_takes_the_window_channel_and_refuses_what_it_cannot_use():
    channels = xr.concat([temperatures([[210.0]]), temperatures([[255.5]])], dim="channel").assign_coords(
        channel=["WV_062", "IR_108"]
    )
    assert cloud_top_height(channels, surface_temperature=288.0).item() == pytest.approx(5000, abs=0.5)
    with pytest.raises(ConfigError):
        cloud_top_height(channels.isel(channel=[0]), surface_temperature=288.0)
    with pytest.raises(ConfigError):
        cloud_top_height(temperatures([[250.0]]), surface_temperature=288.0, lapse_rate=0.0)
    with pytest.raises(UnitError):
        cloud_top_height(temperatures([[250.0]]).assign_attrs(units="degC"), surface_temperature=288.0)


# ---- correction


def scene(temperature, grid=FRANCE):
    times = np.array(["2020-09-06T12:00"], "datetime64[ns]")
    return assemble(
        {
            "brightness_temperature": Variable(temperature[None, None].astype(np.float32)),
            "scan_offset": Variable(np.full((1, grid.ny), 640.0, np.float32)),
        },
        grid,
        times,
        np.stack([times, times + np.timedelta64(15, "m")], axis=1),
        label="start",
        product="SEVIRI",
        where="memory",
        channels=("IR_108",),
    )


def heights(plane, grid=FRANCE):
    return tag(xr.DataArray(plane, dims=("y", "x"), coords=grid.coordinates()), "cloud_top_height")


def test_clear_sky_stays_and_a_cloud_goes_to_its_true_place():
    generator = np.random.default_rng(2)
    warm = generator.uniform(280, 290, FRANCE.shape)
    clear = correct_parallax(scene(warm), heights(np.zeros(FRANCE.shape)))
    xr.testing.assert_equal(clear, scene(warm))
    cloudy, top = warm.copy(), np.zeros(FRANCE.shape)
    cloudy[20:24, 30:35], top[20:24, 30:35] = 220.0, 10000.0
    moved = correct_parallax(scene(cloudy), heights(top))["brightness_temperature"].values[0, 0]
    rows, columns = np.nonzero(moved == 220.0)
    longitude, latitude = FRANCE.longitude_latitude()
    seen_again = apparent(longitude[rows, columns][None], latitude[rows, columns][None], 10000.0)
    centre = [np.full_like(seen_again[0], plane[20:24, 30:35].mean()) for plane in (longitude, latitude)]
    assert rows.size == 20 and rows.min() > 20 and GEOD.inv(*seen_again, *centre)[2].max() < 14000
    # The ground behind the cloud was never seen; the cloud hides the ground below its true place.
    hidden = np.isnan(moved)
    assert hidden.sum() == 20 - np.sum(top[rows, columns] > 0) and (top[hidden] > 0).all()
    clear_cells = ~hidden & (moved != 220.0)
    np.testing.assert_array_equal(moved[clear_cells], cloudy[clear_cells].astype(np.float32))


def test_highest_cloud_wins():
    temperature, top = np.full(FRANCE.shape, 285.0), np.zeros(FRANCE.shape)
    temperature[10, 40], top[10, 40] = 215.0, 12000.0
    goal = correct_parallax(scene(temperature), heights(top))["brightness_temperature"].values[0, 0]
    row, column = (int(index[0]) for index in np.nonzero(goal == 215.0))
    for other in (0.0, 300.0, 800.0):
        top[row, column], temperature[row, column] = other, 260.0
        again = correct_parallax(scene(temperature), heights(top))["brightness_temperature"].values[0, 0]
        assert again[row, column] == 215.0


def test_missing_heights_are_missing_or_take_the_fallback():
    temperature = np.full(FRANCE.shape, 250.0)
    top = np.zeros(FRANCE.shape)
    top[30:, :] = np.nan
    gone = correct_parallax(scene(temperature), heights(top))["brightness_temperature"].values[0, 0]
    assert np.isnan(gone[30:]).all() and np.isfinite(gone[:30]).all()
    stays = correct_parallax(scene(temperature), heights(top), fallback=0.0)["brightness_temperature"].values[0, 0]
    assert np.isfinite(stays).all()


def test_constant_height_moves_the_whole_image_south():
    rows = np.repeat(np.arange(FRANCE.ny)[:, None] + 200.0, FRANCE.nx, axis=1)
    moved = correct_parallax(scene(rows), 9000.0)
    values = moved["brightness_temperature"].values[0, 0]
    shift = np.nanmedian((np.arange(FRANCE.ny)[:, None] + 200.0) - values)
    assert shift == pytest.approx(9000 * np.median(true_shift_in_rows()), abs=0.6)
    assert np.isnan(values[0]).all() and "constant height 9000 m" in moved.attrs["parallax_correction"]
    assert moved["scan_offset"].equals(scene(rows)["scan_offset"])


def true_shift_in_rows():
    """Rows per metre of height, from the exact positions."""
    longitude, latitude = FRANCE.longitude_latitude()
    seen = apparent(longitude, latitude, 9000.0)
    to_view = pyproj.Transformer.from_crs("OGC:CRS84", FRANCE.crs, always_xy=True)
    return (to_view.transform(*seen)[1] - FRANCE.y[:, None]) / FRANCE.dy / 9000.0


def test_heights_of_another_grid_or_unit_are_refused():
    temperature = np.full(FRANCE.shape, 250.0)
    other = Grid(FRANCE.crs, FRANCE.west + 9e4, FRANCE.north, FRANCE.dx, FRANCE.dy, FRANCE.nx, FRANCE.ny)
    with pytest.raises(GridError):
        correct_parallax(scene(temperature), heights(np.zeros(FRANCE.shape), other))
    with pytest.raises(GridError):
        correct_parallax(scene(temperature), heights(np.zeros(FRANCE.shape)).drop_vars(["crs", "x", "y"])[:9])
    with pytest.raises(UnitError):
        correct_parallax(scene(temperature), heights(np.zeros(FRANCE.shape)).assign_attrs(units="km"))
