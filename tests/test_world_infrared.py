"""Synthetic infrared: what channels show of air, ground and clouds, and SEVIRI's slant, blurred, noisy view of it."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import ondee
from ondee.collocation.viewing import parallax
from ondee.errors import ConfigError, GridError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid, transformer
from ondee.source.seviri import THERMAL
from ondee.source.seviri_netcdf import write
from ondee.world.atmosphere import CHANNELS, air_temperature, brightness, cloud_temperature, radiance
from ondee.world.clouds import Cloud, Clouds
from ondee.world.infrared import brightness_temperature, surface_temperature
from ondee.world.rain import states
from ondee.world.view import scan_offset, seviri_grid, seviri_scene

FRANCE = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -64_000, 64_000, 1000, 1000, 128, 128)
NOON = np.datetime64("2018-07-04T12:00", "ns")
MIDNIGHT = np.datetime64("2018-07-05T00:00", "ns")
INDEX = {name: number for number, name in enumerate(CHANNELS)}


def sky(grid: Grid = FRANCE, **fields: object) -> Cloud:
    """A clear sky, or one with the fields given, each a number or an array."""
    empty = {field.name: 0.0 for field in dataclasses.fields(Cloud)}
    planes = {name: np.full(grid.shape, fields.get(name, value), np.float32) for name, value in empty.items()}
    planes["optical_depth"] = planes["low_depth"] + planes["ice_depth"]
    top = np.where(planes["ice_depth"] > 0.3, planes["ice_height"], planes["low_height"])
    planes["top_height"] = np.where(planes["optical_depth"] > 0.3, top, np.float32(np.nan))
    return Cloud(**{**planes, "air": air_temperature(NOON)})


def seen(cloud: Cloud, time: np.datetime64 = MIDNIGHT) -> dict[str, float]:
    """Mean brightness temperature of each channel."""
    values = brightness_temperature(cloud, FRANCE, time, seed=1).mean(axis=(1, 2))
    return dict(zip(CHANNELS, values.tolist(), strict=True))


def test_the_channels_are_those_of_the_reader():
    assert tuple(CHANNELS) == THERMAL


@given(st.floats(180, 330), st.sampled_from(list(CHANNELS)))
@settings(max_examples=50, deadline=None)
def test_brightness_turns_radiance_back(value, name):
    wave = CHANNELS[name].wave_number
    assert float(brightness(radiance(value, wave), wave)) == pytest.approx(value, abs=0.02)


# Clear pixels over France and the Mediterranean, Meteosat-11, 6 September 2020, 0 UTC: between the 50th and 99th
# percentile of each channel, three kelvin wider because another night's air is not the same.
REAL = {
    "IR_039": (282.5, 293.1),
    "WV_062": (239.3, 247.1),
    "WV_073": (258.5, 266.5),
    "IR_087": (284.0, 293.1),
    "IR_097": (260.2, 268.4),
    "IR_108": (286.1, 295.6),
    "IR_120": (285.6, 294.1),
    "IR_134": (263.5, 269.0),
}


def test_the_clear_sky_at_night_is_that_of_a_real_scene():
    for name, value in seen(sky(moisture=-0.2)).items():
        low, high = REAL[name]
        assert low - 3 <= value <= high + 3, (name, value)


def test_moisture_dims_the_water_vapour_channels_and_the_split_window():
    dry, moist = seen(sky(moisture=-0.3)), seen(sky(moisture=0.3))
    assert dry["WV_062"] - moist["WV_062"] > 3
    assert dry["WV_073"] - moist["WV_073"] > 3
    assert moist["IR_108"] - moist["IR_120"] > dry["IR_108"] - dry["IR_120"] + 0.3
    assert abs(dry["IR_097"] - moist["IR_097"]) < 2


def test_the_ground_is_warm_by_day_and_clouds_shade_it():
    clear, cloudy = sky(), sky(low_height=5000, low_depth=20)
    afternoon = NOON + np.timedelta64(60, "m")
    ground = {t: surface_temperature(clear, FRANCE, t, seed=1).mean() for t in (MIDNIGHT, NOON, afternoon)}
    assert ground[MIDNIGHT] + 10 < ground[NOON] < ground[afternoon] + 1
    assert surface_temperature(cloudy, FRANCE, NOON, seed=1).mean() < ground[NOON] - 4
    assert seen(clear, NOON)["IR_039"] > seen(clear, NOON)["IR_087"] - 1, "sunlight adds to 3.9 um"


@pytest.mark.parametrize("height", [3000.0, 7000.0, 11_000.0])
def test_an_opaque_cloud_is_as_cold_as_its_top_in_the_window(height):
    expected = float(cloud_temperature(height, air_temperature(NOON)))
    assert seen(sky(ice_height=height, ice_depth=50))["IR_108"] == pytest.approx(expected, abs=1.0)


def test_water_vapour_hides_low_clouds_and_shows_high_ones():
    clear, low, high = seen(sky()), seen(sky(low_height=1500, low_depth=20)), seen(sky(ice_height=11_000, ice_depth=20))
    assert abs(low["WV_062"] - clear["WV_062"]) < 0.3
    assert clear["IR_108"] - low["IR_108"] > 4
    assert clear["WV_062"] - high["WV_062"] > 15
    assert abs(high["WV_062"] - high["IR_108"]) < 2


def test_low_clouds_leave_no_edge_in_the_water_vapour_channel_in_moist_or_dry_air():
    for moisture in (-0.5, 0.5):
        low = seen(sky(low_height=1200, low_depth=20, moisture=moisture))["WV_062"]
        assert low == pytest.approx(seen(sky(moisture=moisture))["WV_062"], abs=0.3)


def test_the_split_window_reveals_thin_cirrus_and_8_7_um_its_ice():
    clear, thin, thick = (seen(sky(ice_height=10_000, ice_depth=depth)) for depth in (0, 0.5, 20))
    split = [found["IR_108"] - found["IR_120"] for found in (clear, thin, thick)]
    assert split[1] > split[0] + 1
    assert split[1] > split[2] + 2
    assert abs(split[2]) < 0.5
    ice = thin["IR_087"] - thin["IR_108"]
    water = seen(sky(low_height=3000, low_depth=0.5))
    assert ice > water["IR_087"] - water["IR_108"] + 1


def test_water_clouds_are_darker_at_3_9_um_by_night_and_brighter_by_day():
    low = sky(low_height=1500, low_depth=30)
    assert seen(low)["IR_039"] < seen(low)["IR_108"] - 2
    assert seen(low, NOON)["IR_039"] > seen(low, NOON)["IR_108"] + 5


def test_a_plane_of_unknown_position_is_seen_as_if_in_france():
    local = Grid(LOCAL, 0, 0, 1000, 1000, 128, 128)
    one, two = (brightness_temperature(sky(), grid, NOON, seed=1) for grid in (local, FRANCE))
    np.testing.assert_allclose(one, two, atol=0.2)


# ---- the view


def test_seviri_grid_is_a_block_of_the_real_one():
    real = Grid(seviri_grid((0, 45, 1, 46)).crs, -1000634.4934, 4751138.5916, 3000.40328, 3000.40328, 867, 434)
    made = seviri_grid((0.0, 45.0, 3.0, 48.0))
    assert real.block(made) is not None
    west, south, east, north = made.region()
    assert west <= 0 and south <= 45 and east >= 3 and north >= 48


def test_europe_is_scanned_ten_to_twelve_minutes_after_the_start_from_south_to_north():
    offset = scan_offset(seviri_grid((-5, 42, 8, 52)))
    assert (np.diff(offset) <= 0).all(), "row 0 is north and comes last"
    assert 9.5 * 60 < offset[-1] < offset[0] < 12 * 60
    equator = scan_offset(seviri_grid((-1, -1, 1, 1)))
    assert equator.mean() == pytest.approx(6.2 * 60, abs=10)
    with pytest.raises(ConfigError, match="no part of"):
        scan_offset(Grid(seviri_grid((0, 45, 1, 46)).crs, 0, 4e6, 3000, 3000, 10, 10))


def tower(height: float) -> tuple[Cloud, np.ndarray]:
    """A scene with an opaque cloud of 16 x 16 km in the middle, and its infrared."""
    depth = np.zeros(FRANCE.shape)
    depth[56:72, 56:72] = 50
    cloud = sky(ice_height=height, ice_depth=depth)
    return cloud, brightness_temperature(cloud, FRANCE, MIDNIGHT, seed=1)


def middle(scene: xr.Dataset) -> tuple[float, float]:
    """Where the cloud appears, on the plane of FRANCE, m."""
    window = scene["brightness_temperature"].sel(channel="IR_108").values[0]
    dark = np.clip(282 - np.nan_to_num(window, nan=300), 0, None)
    longitude, latitude = Grid.of(scene).longitude_latitude()
    x, y = transformer(LATITUDE_LONGITUDE, FRANCE.crs).transform(longitude, latitude)
    return float((dark * x).sum() / dark.sum()), float((dark * y).sum() / dark.sum())


@pytest.mark.parametrize("height", [4000.0, 8000.0, 12_000.0])
def test_a_top_appears_away_from_the_satellite_by_its_parallax(height):
    grid = seviri_grid(FRANCE.region())
    cloud, bt = tower(height)
    flat = dataclasses.replace(cloud, top_height=np.full(FRANCE.shape, np.nan, np.float32))
    here, there = (middle(seviri_scene(c, bt, FRANCE, grid, MIDNIGHT, seed=1)) for c in (flat, cloud))
    lean = parallax(FRANCE, satellite_longitude=0.0)
    east, north = (float(lean[name].values[64, 64]) * height for name in ("parallax_east", "parallax_north"))
    assert there[0] - here[0] == pytest.approx(east, abs=700)
    assert there[1] - here[1] == pytest.approx(north, abs=700)
    assert north > height, "at 46 N a top moves north by more than its height"


def test_a_high_top_hides_what_lies_behind_it():
    """A warm patch of ground north of a tower is not seen from the south."""
    cloud, bt = tower(12_000.0)
    bt = bt.copy()
    bt[:, 46:52, 58:70] = 330.0
    grid = seviri_grid(FRANCE.region())
    hidden = seviri_scene(cloud, bt, FRANCE, grid, MIDNIGHT, seed=1)["brightness_temperature"]
    flat = dataclasses.replace(cloud, top_height=np.full(FRANCE.shape, np.nan, np.float32))
    shown = seviri_scene(flat, bt, FRANCE, grid, MIDNIGHT, seed=1)["brightness_temperature"]
    assert float(shown.sel(channel="IR_108").max()) > 303
    assert float(hidden.sel(channel="IR_108").max()) < 300


def test_noise_is_that_of_the_channel_and_larger_where_it_is_cold():
    grid = seviri_grid(FRANCE.region())
    for value in (300.0, 220.0):
        bt = np.full((8, *FRANCE.shape), value, np.float32)
        scene = seviri_scene(sky(), bt, FRANCE, grid, NOON, seed=3)["brightness_temperature"].values[0]
        for name, channel in CHANNELS.items():
            found = np.nanstd(scene[INDEX[name]])
            if value == 300 and channel.noise_at == 300:
                assert found == pytest.approx(channel.noise, rel=0.12), name
            if value == 220:
                assert found > channel.noise, name
    assert np.nanstd(scene[INDEX["IR_039"]]) > 3


def test_the_footprint_averages_radiances_over_more_than_a_pixel():
    bt = np.full((8, *FRANCE.shape), 290.0, np.float32)
    bt[:, 63:66, 63:66] = 230.0
    scene = seviri_scene(sky(), bt, FRANCE, seviri_grid(FRANCE.region()), NOON, seed=3)
    window = scene["brightness_temperature"].values[0, INDEX["IR_108"]]
    dip = 290 - window
    assert 4 < np.nanmax(dip) < 25
    assert np.count_nonzero(dip > 1.0) >= 3


def test_a_scene_is_written_and_read_back(tmp_path):
    clouds = Clouds(FRANCE, seed=2, minutes=15)
    times = NOON + np.arange(2) * np.timedelta64(15, "m")
    for state in states(FRANCE, times, seed=2, regime="embedded"):
        cloud = clouds.at(state)
    bt = brightness_temperature(cloud, FRANCE, state.time, seed=2)
    assert bt.dtype == np.float32
    grid = seviri_grid((1.0, 45.0, 6.0, 48.0))
    scene = seviri_scene(cloud, bt, FRANCE, grid, NOON, seed=2)
    again = seviri_scene(cloud, bt, FRANCE, grid, NOON, seed=2)
    assert scene["brightness_temperature"].values.tobytes() == again["brightness_temperature"].values.tobytes()
    other = seviri_scene(cloud, bt, FRANCE, grid, NOON + np.timedelta64(15, "m"), seed=2)
    assert not np.array_equal(scene["brightness_temperature"], other["brightness_temperature"], equal_nan=True)
    path = tmp_path / "scene.nc"
    write(path, scene)
    read = ondee.open(path)
    found, made = read["brightness_temperature"], scene["brightness_temperature"]
    assert found["channel"].values.tolist() == list(CHANNELS)
    np.testing.assert_allclose(found.values, made.values, atol=0.0051)
    np.testing.assert_allclose(read["scan_offset"].values, scene["scan_offset"].values)
    assert Grid.of(read).same_as(grid)
    assert read["time"].attrs["label"] == "start"
    missing = np.isnan(made.values[0])
    assert (missing == missing[:1]).all(), "a pixel is missing in all channels or in none"
    longitude, latitude = grid.longitude_latitude()
    inside = (abs(longitude - 2.5) < 0.6) & (abs(latitude - 46.5) < 0.4)
    assert not missing[:, inside].any()
    assert missing[:, longitude > 4.5].all(), "where it was not simulated, nothing is observed"


def test_what_cannot_be_seen_is_refused():
    local = Grid(LOCAL, 0, 0, 1000, 1000, 128, 128)
    bt = np.full((8, *local.shape), 290, np.float32)
    with pytest.raises(GridError):
        seviri_scene(sky(), bt, local, seviri_grid((0, 45, 3, 48)), NOON, seed=1)
    with pytest.raises(GridError, match="does not see"):
        seviri_grid((170, 0, 175, 5))
