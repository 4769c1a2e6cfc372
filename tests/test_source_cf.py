"""Any CF NetCDF or zarr: real files first, then what can go wrong, then our own files to the last bit."""

import random
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import real
from ondee.errors import ConfigError, GridError, ReadError, UnitError
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source import cf, hdf5
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.source.cf_grid import geostationary

PAIR = "pair/seviri_pc_radklim_20210625.nc"


def read(path, **options):
    return cf.FORMAT.read((Path(path),), **options)


def facts(array):
    values = array.values
    seen = np.isfinite(values)
    return round(float((values[seen] >= 0.1).mean()), 3), float(values[seen].max()), round(float(1 - seen.mean()), 5)


def plain(values=None, *, units="mm h-1", name="rain_rate", steps=3, **attributes):
    """A small latitude-longitude file, rows from the north."""
    values = np.arange(steps * 4 * 5, dtype=np.float32).reshape(steps, 4, 5) if values is None else values
    return xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": units, **attributes})},
        coords={
            "time": np.datetime64("2020-05-01T12:00", "ns") + np.arange(steps) * np.timedelta64(5, "m"),
            "lat": ("lat", 50.0 - 0.1 * np.arange(4), {"units": "degrees_north"}),
            "lon": ("lon", 2.0 + 0.1 * np.arange(5), {"units": "degrees_east"}),
        },
    )


def written(folder, dataset, name="file.nc"):
    path = folder / name
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


# ---- the real files


@real.needs(PAIR)
def test_pair_lies_on_the_geostationary_grid_and_its_note_tells_the_label():
    pair = read(real.path(PAIR))
    grid = Grid.of(pair)
    assert grid.is_geostationary and grid.shape == (180, 252)
    assert grid.dx == pytest.approx(3000.4031658, abs=1e-6) and grid.dy == pytest.approx(grid.dx, abs=1e-6)
    assert (grid.west + grid.dx / 2) / grid.dx == pytest.approx(94, abs=1e-4)
    with h5py.File(real.path(PAIR)) as file:
        longitude, latitude = grid.longitude_latitude()
        assert np.abs(longitude - file["lon"][:]).max() < 1e-8 and np.abs(latitude - file["lat"][:]).max() < 1e-8
    assert pair["time"].attrs["label"] == "start" and pair.attrs["time_label_from"] == "note of rain_rate"
    assert pair["time_bounds"].values[0].tolist() == [
        np.datetime64(text, "ns").item() for text in ("2021-06-25T07:00", "2021-06-25T07:15")
    ]
    assert pair.sizes["time"] == 32 and set(pair.data_vars) == {"rain_rate", "precipitation_likelihood"}
    assert facts(pair["rain_rate"]) == (0.063, pytest.approx(48.71), 0.43856)
    assert facts(pair["precipitation_likelihood"]) == (0.111, 85.0, 0.0)
    assert pair["rain_rate"].encoding["scale_factor"] == 0.01


SEQUENCES = {
    "bom_20180616.nc": (61, (256, 256), 6, 0.326, 41.12, 0.0),
    "fmi_20160928.nc": (40, (1226, 760), 5, 0.309, 167.24, 0.24346),
    "knmi_20100826.nc": (92, (765, 700), 5, 0.528, 29.4, 0.74374),
    "mch_20150515.nc": (40, (640, 710), 5, 0.173, 115.54, 0.30879),
    "mch_20160711.nc": (40, (640, 710), 5, 0.133, 115.54, 0.29633),
}


@pytest.mark.parametrize("name", SEQUENCES)
@real.needs("rain_sequences")
def test_rain_sequences_are_local_planes_with_unknown_labels(name):
    steps, shape, minutes, wet, most, missing = SEQUENCES[name]
    rain = read(real.path(f"rain_sequences/{name}"))
    grid = Grid.of(rain)
    assert grid.is_local and grid.shape == shape and grid.dx == grid.dy == 1000.0
    assert rain.sizes["time"] == steps and rain["time"].attrs["label"] == "unknown"
    lengths = np.diff(rain["time_bounds"].values, axis=1) / np.timedelta64(1, "m")
    assert (lengths == minutes).all()
    assert facts(rain["rain_rate"]) == (wet, pytest.approx(most, rel=1e-6), missing)


@real.needs("rain_sequences")
def test_local_plane_can_be_placed_and_only_then_cropped():
    path = real.path("rain_sequences/mch_20150515.nc")
    region = (7.0, 46.5, 8.0, 47.5)
    with pytest.raises(GridError):
        read(path, region=region)
    with pytest.raises(ConfigError):
        read(path, west=255000.0, north=480000.0)
    with pytest.raises(ConfigError):
        read(path, crs="EPSG:21781")
    placed = read(path, crs="EPSG:21781", west=255000.0, north=480000.0, region=region, time_label="end")
    longitude, latitude = Grid.of(placed).longitude_latitude()
    assert longitude.min() < 7.0 < 8.0 < longitude.max() and latitude.min() < 46.5 < 47.5 < latitude.max()
    assert longitude.max() < 8.1 and latitude.max() < 47.6
    assert placed["time"].attrs["label"] == "end"


@real.needs(PAIR)
def test_region_gives_the_same_numbers_as_the_whole():
    whole = read(real.path(PAIR))
    part = read(real.path(PAIR), region=(9.0, 50.0, 11.0, 52.0))
    assert part.sizes["y"] < 120 and part.sizes["x"] < 80
    same = whole["rain_rate"].sel(y=part["y"], x=part["x"], method="nearest")
    np.testing.assert_array_equal(part["rain_rate"].values, same.values)


@real.needs(PAIR)
def test_cut_netcdf4_is_claimed_and_refused(tmp_path):
    raw = real.path(PAIR).read_bytes()
    path = tmp_path / "cut.nc"
    for length in random.Random(3).sample(range(8, len(raw)), 20):
        path.write_bytes(raw[:length])
        assert cf.FORMAT.recognise(path, raw[:length][:512])
        for use in (read, lambda place: cf.FORMAT.times((place,))):
            with pytest.raises(ReadError):
                use(path)


# ---- our own files


def house(label="start", packing=None, steps=2):
    generator = np.random.default_rng(5)
    values = np.round(generator.gamma(0.3, 2.0, (steps, 2, 6, 7)), 2).astype(np.float32) + np.float32(200)
    values[0, 0, :2] = np.nan
    values[0, 1, 3, 3] = -3.0
    rain = np.round(generator.gamma(0.3, 2.0, (steps, 6, 7)), 2).astype(np.float32)
    times = np.datetime64("2020-05-01T12:00", "ns") + np.arange(steps) * np.timedelta64(15, "m")
    return assemble(
        {
            "brightness_temperature": Variable(values),
            "rain_rate": Variable(rain, packing or {}, {"cell_methods": "time: mean"}),
            "scan_offset": Variable(np.linspace(600, 700, steps * 6, dtype=np.float32).reshape(steps, 6)),
        },
        Grid(geostationary(0.0), -1e6, 4.7e6, 3000.4031658172607, 3000.4031658172607, 7, 6),
        times,
        time_bounds(times, 15, label),
        label=label,
        product="house",
        where="memory",
        channels=("WV_062", "IR_108"),
        version="1",
    )


@pytest.mark.parametrize("label", ["start", "end", "centre", "unknown"])
def test_own_netcdf_comes_back_to_the_last_bit(tmp_path, label):
    dataset = house(label)
    assert dataset["brightness_temperature"].attrs["implausible_count"] == 1
    xr.testing.assert_identical(read(written(tmp_path, dataset)), dataset)


@pytest.mark.parametrize("version", [2, 3])
def test_own_zarr_comes_back_to_the_last_bit(tmp_path, version):
    dataset = house()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_zarr(tmp_path / "store.zarr", zarr_format=version, consolidated=False)
    assert cf.FORMAT.recognise(tmp_path / "store.zarr", b"")
    xr.testing.assert_identical(read(tmp_path / "store.zarr"), dataset)


def test_packed_integers_stay_the_same_integers(tmp_path):
    packing = {"dtype": np.dtype("int16"), "scale_factor": 0.01, "add_offset": 0.0, "_FillValue": np.int16(-32768)}
    dataset = house(packing=packing)
    first = written(tmp_path, dataset, "first.nc")
    again = read(first)
    assert again["rain_rate"].encoding == packing
    second = written(tmp_path, again, "second.nc")
    with h5py.File(first) as one, h5py.File(second) as two:
        assert one["rain_rate"].dtype == np.int16
        np.testing.assert_array_equal(one["rain_rate"][:], two["rain_rate"][:])
    xr.testing.assert_identical(read(second), again)


def test_classic_netcdf_is_read_and_refused_when_cut(tmp_path):
    path = tmp_path / "classic.nc"
    dataset = house().drop_vars("brightness_temperature").drop_dims("channel")
    dataset.to_netcdf(path, engine="scipy", format="NETCDF3_64BIT")
    xr.testing.assert_identical(read(path), dataset)
    raw = path.read_bytes()
    for length in random.Random(4).sample(range(4, len(raw)), 20):
        path.write_bytes(raw[:length])
        with pytest.raises(ReadError):
            read(path)


def test_damaged_zarr_is_refused(tmp_path):
    place = tmp_path / "store.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        house().to_zarr(place, zarr_format=3, consolidated=False)
    chunk = next(
        path for path in sorted((place / "rain_rate").rglob("*")) if path.is_file() and path.name != "zarr.json"
    )
    chunk.write_bytes(chunk.read_bytes()[:9])
    with pytest.raises(ReadError):
        read(place)
    shutil.rmtree(place / "rain_rate")
    (place / "zarr.json").write_text("{")
    with pytest.raises(ReadError):
        read(place)


# ---- axes and grids


@settings(max_examples=16, deadline=None)
@given(south_first=st.booleans(), east_first=st.booleans(), columns_first=st.booleans())
def test_law_order_in_the_file_does_not_matter(tmp_path_factory, south_first, east_first, columns_first):
    folder = tmp_path_factory.mktemp("order")
    straight = read(written(folder, plain(), "straight.nc"))
    turned = plain().isel(
        lat=slice(None, None, -1 if south_first else 1), lon=slice(None, None, -1 if east_first else 1)
    )
    if columns_first:
        turned = turned.transpose("lon", "time", "lat")
    xr.testing.assert_identical(read(written(folder, turned, "turned.nc")), straight)
    assert Grid.of(straight).same_as(Grid(LATITUDE_LONGITUDE, 1.95, 50.05, 0.1, 0.1, 5, 4))
    region = (2.16, 49.8, 2.3, 49.94)
    cropped = read(folder / "turned.nc", region=region)
    np.testing.assert_array_equal(cropped["rain_rate"], straight["rain_rate"].isel(y=slice(1, 3), x=slice(2, 4)))


@pytest.mark.parametrize("longitude", [0.0, 9.5, 45.5])
def test_two_dimensional_coordinates_reveal_the_satellite(tmp_path, longitude):
    grid = Grid(geostationary(longitude), -9e5, 4.6e6, 3000.4031658, 3000.4031658, 40, 30)
    lon, lat = grid.longitude_latitude()
    file = xr.Dataset(
        {"tb": (("time", "ny", "nx"), np.full((1, 30, 40), 250.0, np.float32), {"units": "K"})},
        coords={
            "time": [np.datetime64("2020-01-01", "ns")],
            "lat": (("ny", "nx"), lat.astype(np.float32), {"units": "degrees_north"}),
            "lon": (("ny", "nx"), lon.astype(np.float32), {"units": "degrees_east"}),
        },
    ).isel(ny=slice(None, None, -1))
    found = Grid.of(read(written(tmp_path, file)))
    assert found.is_geostationary and found.same_as(grid, tolerance=5e-3)


def test_curvilinear_coordinates_are_refused_with_the_option_that_helps(tmp_path):
    polar = Grid("+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10", -3e5, -3.6e6, 2000.0, 2000.0, 30, 20)
    lon, lat = polar.longitude_latitude()
    file = xr.Dataset(
        {"rain_rate": (("time", "y", "x"), np.zeros((1, 20, 30), np.float32), {"units": "mm/h"})},
        coords={"time": [np.datetime64("2020-01-01", "ns")], "lat": (("y", "x"), lat), "lon": (("y", "x"), lon)},
    )
    path = written(tmp_path, file)
    with pytest.raises(ReadError, match="no regular grid") as caught:
        read(path)
    assert "crs=" in caught.value.fix
    assert Grid.of(read(path, crs=polar.crs)).same_as(polar)


def test_grid_mapping_in_kilometres_and_radians(tmp_path):
    grid = Grid("EPSG:3035", 3.0e6, 3.1e6, 2000.0, 2000.0, 5, 4)
    file = (
        plain()
        .rename(lat="y", lon="x")
        .assign_coords(
            x=("x", grid.x / 1000, {"units": "km", "standard_name": "projection_x_coordinate"}),
            y=("y", grid.y / 1000, {"units": "km", "standard_name": "projection_y_coordinate"}),
        )
    )
    file["laea"] = ((), np.int32(0), grid.projection.to_cf())
    file["rain_rate"].attrs["grid_mapping"] = "laea: x y"
    assert Grid.of(read(written(tmp_path, file))).same_as(grid)
    view = Grid(geostationary(0.0), -1e6, 4e6, 3000.0, 3000.0, 5, 4)
    file = file.assign_coords(
        x=("x", view.x / 35785831.0, {"units": "rad", "standard_name": "projection_x_coordinate"}),
        y=("y", view.y / 35785831.0, {"units": "rad", "standard_name": "projection_y_coordinate"}),
    )
    file["laea"] = ((), np.int32(0), view.projection.to_cf())
    assert Grid.of(read(written(tmp_path, file, "view.nc"))).same_as(view)


def test_files_without_a_place_are_refused(tmp_path):
    path = written(tmp_path, plain().drop_vars(["lat", "lon"]))
    with pytest.raises(ReadError, match="where its pixels lie"):
        read(path)
    crooked = plain().assign_coords(lat=("lat", [50.0, 49.9, 49.7, 49.6], {"units": "degrees_north"}))
    with pytest.raises(ReadError, match="regular grid"):
        read(written(tmp_path, crooked, "crooked.nc"))
    unitless = plain().rename(lat="y", lon="x")
    unitless["x"].attrs, unitless["y"].attrs = {}, {}
    with pytest.raises(ReadError):
        read(written(tmp_path, unitless, "unitless.nc"))


# ---- times


def test_label_comes_from_bounds_options_and_notes(tmp_path):
    path = written(tmp_path, plain())
    unknown = read(path)
    assert unknown["time"].attrs["label"] == "unknown" and "time_label_from" not in unknown.attrs
    start = read(path, time_label="start", minutes=2.5)
    assert (start["time_bounds"].values[:, 0] == start["time"].values).all()
    assert (np.diff(start["time_bounds"].values, axis=1) == np.timedelta64(150, "s")).all()
    noted = plain(note="time labels the END of the 5 min")
    assert read(written(tmp_path, noted, "noted.nc")).attrs["time_label_from"] == "note of rain_rate"
    bounded = plain()
    bounded["time"].attrs["bounds"] = "bnds"
    steps = bounded["time"].values
    bounded["bnds"] = (("time", "two"), np.stack([steps, steps + np.timedelta64(5, "m")], 1))
    for variable in ("time", "bnds"):
        bounded[variable].encoding["units"] = "seconds since 2020-01-01"
    path = written(tmp_path, bounded, "bounded.nc")
    assert read(path)["time"].attrs["label"] == "start"
    with pytest.raises(ConfigError, match="contradicts"):
        read(path, time_label="end")
    with pytest.raises(ConfigError):
        read(path, time_label="middle")


@pytest.mark.parametrize("order", [(0, 0, 1), (2, 0, 1)])
def test_repeated_and_unsorted_times_are_refused(tmp_path, order):
    with pytest.raises(ReadError, match="times come"):
        read(written(tmp_path, plain().isel(time=list(order))))


def test_times_that_cannot_be_understood_are_refused(tmp_path):
    for attributes in ({"units": "fortnights"}, {"units": "minutes since yesterday"}, {}):
        file = plain()
        file = file.assign_coords(time=("time", [0, 5, 10], {"standard_name": "time", **attributes}))
        with pytest.raises(ReadError, match="time"):
            read(written(tmp_path, file))
    with pytest.raises(ReadError, match="no time coordinate"):
        read(written(tmp_path, plain().isel(time=0).drop_vars("time")))


def test_one_frame_without_time_dimension_is_a_snapshot(tmp_path):
    frame = read(written(tmp_path, plain().isel(time=1)))
    assert frame.sizes["time"] == 1 and (np.diff(frame["time_bounds"].values) == np.timedelta64(0)).all()


# ---- variables and units


@pytest.mark.parametrize(
    ("name", "units", "quantity"),
    [
        ("rr", "mm/hr", "rain_rate"),
        ("precipitation", "mm", "rain_amount"),
        ("precipitation", "kg m-2 h-1", "rain_rate"),
        ("TB", "Kelvin", "brightness_temperature"),
        ("DBZH", "dBZ", "reflectivity"),
        ("qind", "1", "quality"),
    ],
)
def test_usual_names_and_spellings(tmp_path, name, units, quantity):
    values = np.full((3, 4, 5), 200.0 if quantity == "brightness_temperature" else 0.5, np.float32)
    rain = read(written(tmp_path, plain(values, units=units, name=name)))
    assert list(rain.data_vars) == [quantity]
    np.testing.assert_array_equal(rain[quantity].values, values)


def test_wrong_and_absent_units_are_refused(tmp_path):
    for units in ("m s-1", "inch/h", ""):
        with pytest.raises(UnitError) as caught:
            read(written(tmp_path, plain(units=units)))
        assert caught.value.fix
    assert read(tmp_path / "file.nc", units={"rain_rate": "mm h-1"})["rain_rate"].attrs["units"] == "mm h-1"


def test_celsius_becomes_kelvin_and_says_so(tmp_path):
    file = plain(np.full((3, 4, 5), -40.0, np.float32), units="degC", name="bt")
    file["bt"].encoding = {"dtype": "int16", "scale_factor": 0.1, "add_offset": 0.0, "_FillValue": np.int16(-999)}
    found = read(written(tmp_path, file))["brightness_temperature"]
    np.testing.assert_allclose(found, 233.15, atol=1e-4)
    assert "Celsius" in found.attrs["comment"] and found.encoding["add_offset"] == pytest.approx(273.15)


def test_ambiguity_is_refused_and_settled_by_names(tmp_path):
    file = plain(name="radar_a", standard_name="lwe_precipitation_rate")
    file["radar_b"] = file["radar_a"] * 2
    file["radar_b"].attrs = dict(file["radar_a"].attrs)
    path = written(tmp_path, file)
    with pytest.raises(ReadError, match=r"radar_a.*radar_b") as caught:
        read(path)
    assert "names=" in caught.value.fix
    chosen = read(path, names={"radar_b": "rain_rate"})
    np.testing.assert_array_equal(chosen["rain_rate"], file["radar_b"])
    assert chosen.attrs["variables_not_read"] == "radar_a"
    assert chosen.identical(read(path, names={"radar_a": None}))
    for names in ({"radar_c": "rain_rate"}, {"radar_a": "snow"}):
        with pytest.raises(ConfigError):
            read(path, names=names)
    with pytest.raises(ReadError, match="no variable is a quantity"):
        read(written(tmp_path, plain(name="temperature", units="K"), "other.nc"))


def test_channels_in_variables_of_their_own_are_stacked(tmp_path):
    file = plain(
        np.full((3, 4, 5), 250.0, np.float32), units="K", name="IR_108", standard_name="toa_brightness_temperature"
    )
    file["WV_062"] = (file["IR_108"] - 20).assign_attrs(file["IR_108"].attrs)
    found = read(written(tmp_path, file))["brightness_temperature"]
    assert found["channel"].values.tolist() == ["IR_108", "WV_062"]
    assert float(found.sel(channel="WV_062").mean()) == 230.0


def test_missing_is_never_dry(tmp_path):
    values = np.zeros((3, 4, 5), np.int16)
    values[0], values[1, 0], values[2, 0] = -1, 30000, 250
    file = plain(values, scale_factor=0.01, missing_value=np.int16(-1), valid_max=np.int16(20000))
    rain = read(written(tmp_path, file))["rain_rate"].values
    assert np.isnan(rain[0]).all() and np.isnan(rain[1, 0]).all()
    assert (rain[1, 1:] == 0).all() and (rain[2, 0] == np.float32(2.5)).all()
    empty = read(written(tmp_path, plain(np.full((3, 4, 5), np.nan, np.float32)), "empty.nc"))
    assert np.isnan(empty["rain_rate"].values).all()


def test_spikes_become_missing_and_are_counted(tmp_path):
    values = np.zeros((3, 4, 5), np.float32)
    values[1, 2, 3] = 1205.0
    rain = read(written(tmp_path, plain(values)))["rain_rate"]
    assert rain.attrs["implausible_count"] == 1 and rain.attrs["implausible_extreme"] == 1205.0
    assert np.isnan(rain.values[1, 2, 3]) and np.isfinite(rain.values).sum() == values.size - 1


# ---- what is no CF file


def test_other_hdf5_and_wrong_magic(tmp_path):
    path = tmp_path / "groups.h5"
    with h5py.File(path, "w") as file:
        file["group/numbers"] = np.zeros((3, 3))
    assert cf.FORMAT.recognise(path, hdf5.MAGIC)
    with pytest.raises(ReadError, match="no variables at its root"):
        read(path)
    with h5py.File(path, "w") as file:
        file["numbers"] = np.zeros((3, 3))
    with pytest.raises(ReadError):
        read(path)
    web = tmp_path / "page.nc"
    web.write_bytes(b"<html>not found</html>")
    assert not cf.FORMAT.recognise(web, b"<html>not found</html>")
    with pytest.raises(ReadError, match="neither"):
        read(web)
    web.write_bytes(b"CDF\x05" + bytes(40))
    with pytest.raises(ReadError, match="CDF-5"):
        read(web)
