"""Météo-France's archive and MeteoNet: real files, files made here in their layout, and damaged ones."""

import datetime as dt
import os
import pickle
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import real
from ondee import source
from ondee.errors import ConfigError, GridError, OndeeError, ReadError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer
from ondee.source import meteofrance_archive, meteonet
from ondee.source.meteofrance import FORMAT

RADAR = "meteonet/rainfall_NW_2016_08.3.npz"
MINUTE = np.timedelta64(1, "m")


def objects(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def moments(count: int, minutes: int = 5):
    start = dt.datetime(2016, 8, 21)
    return objects(*(start + dt.timedelta(minutes=minutes * number) for number in range(count)))


def codes(seed: int = 0, frames: int = 3, shape=(565, 784)):
    chance = np.random.default_rng(seed)
    values = np.where(chance.random((frames, *shape)) < 0.9, 0, chance.integers(1, 200, (frames, *shape)))
    values[:, :, :50] = -1
    return values.astype(np.int16)


def radar(folder: Path, name: str = "rainfall_NW_2016_08.3.npz", data=None, dates=None) -> Path:
    data = codes() if data is None else data
    dates = moments(len(data)) if dates is None else dates
    path = folder / name
    np.savez_compressed(path, data=data, dates=dates, miss_dates=moments(2, 7))
    return path


def coordinates(folder: Path, west=-5.837, north=51.891, zone="NW", shape=(565, 784)) -> Path:
    longitude, latitude = np.meshgrid(west + 0.01 * np.arange(shape[1]), north - 0.01 * np.arange(shape[0]))
    path = folder / f"radar_coords_{zone}.npz"
    np.savez_compressed(path, lats=latitude, lons=longitude)
    return path


def quality(folder: Path, name="rainfall_mean_quality-code_NW_2016_08.3.npz", days=(21,), shape=(565, 784)) -> Path:
    data = np.full((len(days), *shape), 90, dtype=np.int16)
    data[:, 100:110] = 255
    data[:, 200:210] = 40
    path = folder / name
    np.savez_compressed(
        path, data=data, dates=objects(*(dt.date(2016, 8, day) for day in days)), miss_dates=np.zeros(0)
    )
    return path


def frame(folder: Path, values=None, name="202006041205.npz") -> Path:
    if values is None:
        values = codes(shape=(1536, 1536), frames=1)[0]
    path = folder / name
    np.savez_compressed(path, values)
    return path


# ---- real MeteoNet


@real.needs("meteonet")
def test_real_radar_gives_the_expected_facts():
    path = real.path(RADAR)
    dataset = FORMAT.read((path,))
    rain, index = dataset["rain_rate"].values, dataset["quality"].values
    observed, wet = ~np.isnan(rain), rain >= np.float32(0.1)
    grid = Grid.of(dataset)
    assert (grid.west, grid.north, grid.dx) == pytest.approx((-5.842, 51.896, 0.01), abs=1e-9)
    assert grid.shape == (565, 784)
    assert dataset.attrs["product"] == "MeteoNet rainfall"
    assert dataset.attrs["missing_frames"] == 3123
    assert dataset.sizes["time"] == 45
    assert dataset["time"].values[[0, -1]].astype("datetime64[m]").astype(str).tolist() == [
        "2016-08-21T00:10",
        "2016-08-31T00:30",
    ]
    assert dataset["time"].attrs["label"] == "unknown"
    assert ((dataset["time_bounds"][:, 1] - dataset["time_bounds"][:, 0]) == 5 * MINUTE).all()
    assert (dataset["time_bounds"][:, 1] == dataset["time"]).all()
    assert np.count_nonzero(wet) / np.count_nonzero(observed) == pytest.approx(0.00681, abs=5e-6)
    assert float(np.nanmax(rain)) == pytest.approx(30.48, rel=1e-6)
    assert 1 - observed.mean() == pytest.approx(0.125052, abs=1e-6)
    assert "implausible_count" not in dataset["rain_rate"].attrs
    judged = ~np.isnan(index)
    assert np.flatnonzero(judged.any(axis=(1, 2))).tolist() == list(range(7))
    assert float(np.nanmin(index)) == pytest.approx(0.39)
    assert float(np.nanmax(index)) == pytest.approx(0.98)
    assert (index[wet & judged] < np.float32(0.8)).mean() == pytest.approx(0.2336, abs=5e-5)


@real.needs("meteonet")
def test_real_numbers_are_those_of_numpy():
    path = real.path(RADAR)
    rain = FORMAT.read((path,))["rain_rate"]
    with np.load(path, allow_pickle=True) as reference:
        data = reference["data"]
        dates = [np.datetime64(moment, "ns") for moment in reference["dates"]]
    assert rain["time"].values.tolist() == np.array(dates).tolist()
    assert np.array_equal(np.isnan(rain.values), data < 0)
    packed = np.round(np.where(np.isnan(rain.values), -1 * 0.12, rain.values) / rain.encoding["scale_factor"])
    np.testing.assert_array_equal(packed, data)


@real.needs("meteonet")
def test_a_folder_gives_frames_only_and_its_coordinates_and_quality_are_used():
    groups = FORMAT.gather(sorted(real.path("meteonet").glob("*.npz")))
    assert [group[0].name for group in groups] == ["rainfall_NW_2016_08.3.npz"]
    assert FORMAT.times(groups[0]).size == 45


@real.needs("meteonet")
def test_a_region_is_the_same_piece_of_the_whole():
    path, region = real.path(RADAR), (-2.0, 47.5, 0.5, 49.0)
    whole, piece = FORMAT.read((path,)), FORMAT.read((path,), region=region)
    rows, columns = Grid.of(whole).window(region)
    assert Grid.of(piece).same_as(Grid.of(whole).crop(rows, columns))
    for name in ("rain_rate", "quality"):
        np.testing.assert_array_equal(piece[name].values, whole[name].values[:, rows, columns])


# ---- MeteoNet radar made here


def test_without_coordinates_the_table_of_zones_is_used(tmp_path):
    north_west = FORMAT.read((radar(tmp_path),))
    assert north_west.attrs["coordinates_from"] == "table of zones"
    assert Grid.of(north_west) == meteonet.zone_grid("NW")
    data = codes(shape=(515, 784))
    south_east = FORMAT.read((radar(tmp_path, "rainfall_SE_2016_08.3.npz", data),))
    assert Grid.of(south_east) == meteonet.zone_grid("SE")
    assert Grid.of(south_east).south == pytest.approx(41.1)
    assert Grid.of(south_east).east == pytest.approx(9.842, abs=0.003)


@pytest.mark.parametrize(("west", "north"), [(-5.837, 51.891), (-5.842, 51.896)], ids=["centres", "corners"])
def test_centres_of_now_and_corners_of_the_first_release_give_one_grid(tmp_path, west, north):
    path = radar(tmp_path)
    coordinates(tmp_path, west, north)
    dataset = FORMAT.read((path,))
    assert dataset.attrs["coordinates_from"] == "radar_coords_NW.npz"
    assert Grid.of(dataset).same_as(meteonet.zone_grid("NW"))


def test_quality_is_that_of_the_day_and_missing_on_other_days(tmp_path):
    dates = objects(dt.datetime(2016, 8, 21, 23, 55), dt.datetime(2016, 8, 22), dt.datetime(2016, 8, 23))
    path = radar(tmp_path, dates=dates)
    assert "quality" not in FORMAT.read((path,))
    quality(tmp_path, days=(21, 23))
    index = FORMAT.read((path,))["quality"].values
    rain = FORMAT.read((path,))["rain_rate"].values
    assert np.isnan(index[1]).all()
    for step in (0, 2):
        assert np.isnan(index[step, 100:110]).all()
        assert (index[step, 200:210, 60:] == np.float32(0.4)).all()
        assert (index[step, 300:, 60:] == np.float32(0.9)).all()
    assert np.isnan(index[np.isnan(rain)]).all()


@pytest.mark.parametrize("label", ["start", "end", "centre", "unknown"])
def test_the_label_is_an_option(tmp_path, label):
    dataset = FORMAT.read((radar(tmp_path),), time_label=label, region=(-2, 48, -1, 49))
    start = (dataset["time_bounds"].values[:, 0] - dataset["time"].values) / np.timedelta64(1, "s")
    expected = {"start": 0, "end": -300, "centre": -150, "unknown": -300}[label]
    assert (start == expected).all()
    assert dataset["time"].attrs["label"] == label


def test_reflectivity_keeps_three_values(tmp_path):
    data = np.zeros((1, 565, 784), dtype=np.int16)
    data[0, 0, :4] = [255, 0, 8, 41]
    old = FORMAT.read((radar(tmp_path, "reflectivity_old_NW_2016_08.3.npz", data),))["reflectivity"]
    assert old.values[0, 0, :4].tolist() == pytest.approx([np.nan, -40, 8, 41], nan_ok=True)
    data[0, 0, :4] = [-200, -100, -90, 415]
    path = radar(tmp_path, "reflectivity_new_NW_2018_12.2.npz", data, objects(dt.datetime(2018, 12, 11)))
    new = FORMAT.read((path,))["reflectivity"]
    assert new.values[0, 0, :4].tolist() == pytest.approx([np.nan, -40, -9, 41.5], nan_ok=True)
    rain = FORMAT.read((path,), z_r=(200, 1.6))["rain_rate"].values[0, 0, :4]
    assert rain.tolist() == pytest.approx([np.nan, 0, 0.01, 14.3], nan_ok=True, abs=0.03)


@pytest.mark.parametrize("year", [1, 2017, 9999])
def test_dates_of_another_month_than_the_name_are_refused(tmp_path, year):
    path = radar(tmp_path, data=codes(frames=1), dates=objects(dt.datetime(year, 8, 21)))
    with pytest.raises(ReadError, match=r"no time of an observation|the name says 2016-08"):
        FORMAT.times((path,))


def test_dates_out_of_order_or_repeated_are_refused(tmp_path):
    for dates in (moments(3)[::-1], objects(*(dt.datetime(2016, 8, 21),) * 3)):
        with pytest.raises(ReadError, match="times come"):
            FORMAT.read((radar(tmp_path, dates=objects(*dates)),))


class Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_hostile_date_is_refused_and_not_executed(tmp_path):
    marker = tmp_path / "executed"
    path = radar(tmp_path, dates=objects(*moments(2), Hostile(f"touch {marker}")))
    for action in (FORMAT.times, FORMAT.read, lambda paths: source.granules(*paths, format="meteofrance")):
        with pytest.raises(ReadError, match="refused, not executed"):
            action((path,))
    assert not marker.exists()
    with np.load(path, allow_pickle=True) as loaded:
        assert loaded["dates"].size == 3
    assert marker.exists(), "the pickle was not hostile, so the test proves nothing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": codes(frames=2), "dates": moments(3)}, "its coordinates say"),
        ({"data": codes(shape=(515, 784))}, "its coordinates say"),
        ({"data": codes().astype(np.float32)}, "its coordinates say"),
        ({"dates": np.arange(3.0)}, "something else than dates"),
        ({"dates": objects("a", "b", "c")}, "something else than dates"),
        ({"data": objects(*codes())}, "refused"),
    ],
    ids=["counts", "zone", "floats", "numbers", "texts", "pickled data"],
)
def test_contradictions_are_refused(tmp_path, change, words):
    with pytest.raises(ReadError):
        FORMAT.read((radar(tmp_path, **change),))


def test_damaged_companions_are_named(tmp_path):
    path = radar(tmp_path)
    place = coordinates(tmp_path, shape=(565, 783))
    with pytest.raises(ReadError, match="coordinates say"):
        FORMAT.read((path,))
    latitude = np.random.default_rng(0).random((565, 784))
    np.savez(place, lats=latitude, lons=latitude)
    with pytest.raises(ReadError) as caught:
        FORMAT.read((path,))
    assert caught.value.where == str(place)
    place.unlink()
    other = quality(tmp_path, shape=(515, 784))
    with pytest.raises(ReadError) as caught:
        FORMAT.read((path,))
    assert caught.value.where == str(other)


def test_companions_alone_are_no_frames(tmp_path):
    with pytest.raises(ReadError, match="no frames"):
        FORMAT.gather([coordinates(tmp_path), quality(tmp_path)])
    with pytest.raises(ReadError):
        FORMAT.times((coordinates(tmp_path),))


# ---- archive


def test_the_archive_is_a_rate_and_keeps_its_integers(tmp_path):
    values = codes(shape=(1536, 1536), frames=1)[0]
    dataset = FORMAT.read((frame(tmp_path, values),))
    rain = dataset["rain_rate"]
    assert rain.attrs["units"] == "mm h-1"
    assert rain.values[0][values == 100][0] == pytest.approx(12.0)
    assert np.array_equal(np.isnan(rain.values[0]), values < 0)
    assert np.array_equal(rain.values[0] == 0, values == 0)
    assert rain.encoding == {"scale_factor": 0.12, "add_offset": 0.0, "dtype": "int16", "_FillValue": -1}
    told = values >= 0
    np.testing.assert_array_equal(np.round(rain.values[0][told] / 0.12), values[told])
    assert dataset["time"].values[0] == np.datetime64("2020-06-04T12:05")
    assert dataset["time_bounds"].values[0, 0] == np.datetime64("2020-06-04T12:00")
    assert dataset["time"].attrs["label"] == "end"


def test_every_whole_number_of_the_archive_survives_its_packing():
    values = np.arange(-1, np.iinfo(np.int16).max + 1, dtype=np.int32)
    rain = meteofrance_archive.rate(values)
    again = np.where(np.isnan(rain), -1, np.round(rain.astype(np.float64) / 0.12))
    np.testing.assert_array_equal(again, values)


def test_floats_of_the_archive(tmp_path):
    values = codes(shape=(1536, 1536), frames=1)[0].astype(np.float32)
    assert FORMAT.read((frame(tmp_path, values),))["rain_rate"].encoding["dtype"] == "int16"
    values[10, 100] = 0.5
    values[11, 100] = np.nan
    rain = FORMAT.read((frame(tmp_path, values),))["rain_rate"]
    assert "dtype" not in rain.encoding
    assert rain.values[0, 10, 100] == pytest.approx(0.06)
    assert np.isnan(rain.values[0, 11, 100])


def test_the_corner_of_the_archive_is_an_option(tmp_path):
    path = frame(tmp_path)
    edge, centre = (Grid.of(FORMAT.read((path,), corner=corner)) for corner in ("edge", "centre"))
    forward = transformer(LATITUDE_LONGITUDE, meteofrance_archive.PROJECTION)
    x, y = forward.transform(-9.965, 53.670)
    assert (edge.west, edge.north) == pytest.approx((x, y), abs=0.01)
    assert (centre.x[0], centre.y[0]) == pytest.approx((x, y), abs=0.01)
    assert edge.shape == centre.shape == (1536, 1536)
    west, south, east, north = edge.region()
    assert west < -5 and east > 9 and south < 42 and north > 51


def test_a_region_of_the_archive(tmp_path):
    path, region = frame(tmp_path), (2.0, 48.0, 3.0, 49.0)
    whole, piece = FORMAT.read((path,)), FORMAT.read((path,), region=region)
    rows, columns = Grid.of(whole).window(region)
    np.testing.assert_array_equal(piece["rain_rate"].values, whole["rain_rate"].values[:, rows, columns])
    assert Grid.of(piece).same_as(Grid.of(whole).crop(rows, columns))


def test_a_crop_of_the_archive_is_refused(tmp_path):
    with pytest.raises(ReadError, match="1536"):
        FORMAT.read((frame(tmp_path, np.zeros((800, 800), dtype=np.int16)),))


def test_spikes_of_the_archive_are_masked_and_counted(tmp_path):
    values = np.zeros((1536, 1536), dtype=np.int16)
    values[5, 5:7] = [10042, 4000]
    rain = FORMAT.read((frame(tmp_path, values),))["rain_rate"]
    assert rain.attrs["implausible_count"] == 1
    assert rain.attrs["implausible_extreme"] == pytest.approx(1205.04)
    assert np.isnan(rain.values[0, 5, 5])
    assert rain.values[0, 5, 6] == pytest.approx(480.0)


def test_an_impossible_time_in_the_name(tmp_path):
    with pytest.raises(ReadError, match="no date"):
        FORMAT.times((frame(tmp_path, name="202013410000.npz"),))


# ---- satellite


def satellite(folder: Path, name="IR108_NW_2016.nc", values=None, flipped=False, fill=None) -> Path:
    shape = (2, 188, 261)
    if values is None:
        values = np.random.default_rng(3).integers(-60, 25, shape).astype(np.int16)
    latitude = 46.25 + 0.03 * np.arange(shape[1])
    longitude = -5.842 + 0.03 * np.arange(shape[2])
    path = folder / name
    with h5py.File(path, "w") as file:
        file["lat"] = latitude[::-1] if flipped else latitude
        file["lon"] = longitude
        file["time"] = np.array([0, 60], dtype=np.int64)
        file["time"].attrs["units"] = "minutes since 2016-01-01 00:00:00"
        data = file.create_dataset(name.split("_")[0], data=values[:, ::-1] if flipped else values)
        if fill is not None:
            data.attrs["_FillValue"] = fill
    return path


def test_infrared_is_in_kelvin_and_north_is_up(tmp_path):
    values = np.random.default_rng(3).integers(-60, -5, (2, 188, 261)).astype(np.int16)
    values[0, 0, 0] = -30  # the southernmost, westernmost pixel
    for flipped in (False, True):
        dataset = FORMAT.read((satellite(tmp_path, values=values, flipped=flipped),))
        temperature = dataset["brightness_temperature"]
        assert temperature.dims == ("time", "channel", "y", "x")
        assert dataset["channel"].values.tolist() == ["IR_108"]
        assert temperature.values[0, 0, -1, 0] == pytest.approx(243.15)
        np.testing.assert_allclose(temperature.values[:, 0], values[:, ::-1] + 273.15, rtol=1e-6)
        assert Grid.of(dataset).south == pytest.approx(46.235)
        assert dataset["time"].values.astype("datetime64[m]").astype(str).tolist() == [
            "2016-01-01T00:00",
            "2016-01-01T01:00",
        ]
        region = (-3.0, 47.0, -1.0, 48.0)
        rows, columns = Grid.of(dataset).window(region)
        piece = FORMAT.read((satellite(tmp_path, values=values, flipped=flipped),), region=region)
        np.testing.assert_array_equal(piece["brightness_temperature"].values, temperature.values[:, :, rows, columns])


def test_minus_one_degree_is_missing_unless_told_otherwise(tmp_path):
    values = np.full((2, 188, 261), -20, dtype=np.int16)
    values[1, 5] = -1
    path = satellite(tmp_path, values=values)
    missing = FORMAT.read((path,))["brightness_temperature"]
    assert np.isnan(missing.values).sum() == 261
    assert missing.attrs["minus_one_count"] == 261
    kept = FORMAT.read((path,), minus_one="value")["brightness_temperature"]
    assert float(kept.max()) == pytest.approx(272.15)
    values[0, 0] = -99
    filled = FORMAT.read((satellite(tmp_path, values=values, fill=np.int16(-99)),))["brightness_temperature"]
    assert np.isnan(filled.values).sum() == 261
    assert float(filled.max()) == pytest.approx(272.15)


def test_visible_and_cloud_type(tmp_path):
    values = np.full((2, 188, 261), 37, dtype=np.int16)
    values[0, 0, 0] = -1
    visible = FORMAT.read((satellite(tmp_path, "VIS06_SE_2017.nc", values),))["reflectance"]
    assert float(visible.max()) == pytest.approx(0.37)
    assert np.isnan(visible.values).sum() == 1
    values = np.full((2, 188, 261), 9, dtype=np.uint8)
    values[0, 0, :2] = [0, 20]
    cloud = FORMAT.read((satellite(tmp_path, "CT_NW_2016.nc", values),))["cloud_type"]
    assert cloud.dims == ("time", "y", "x")
    assert np.isnan(cloud.values).sum() == 2
    assert float(cloud.max()) == 9.0


def test_damaged_satellite_files(tmp_path):
    path = satellite(tmp_path)
    content = path.read_bytes()
    chance = random.Random(1)
    for _ in range(20):
        path.write_bytes(content[: chance.randrange(len(content))])
        with pytest.raises(ReadError):
            FORMAT.read((path,))
    for name, unit in (("time", "furlongs since 2016-01-01"), ("time", ""), ("time", "days since 2016-13-01")):
        path.write_bytes(content)
        with h5py.File(path, "a") as file:
            file[name].attrs["units"] = unit
        with pytest.raises(ReadError):
            FORMAT.read((path,))
    path.write_bytes(content)
    path.rename(tmp_path / "WV062_NW_2016.nc")
    with pytest.raises(ReadError):
        FORMAT.read((tmp_path / "WV062_NW_2016.nc",))


# ---- all of them


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("make", [frame, radar], ids=["archive", "meteonet"])
def test_cut_files_give_a_read_error(tmp_path, make, seed):
    path = make(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: random.Random(seed).randrange(len(content))])
    with pytest.raises(ReadError) as caught:
        FORMAT.read((path,))
    assert str(path) in caught.value.where


def test_recognition_by_name_and_magic(tmp_path):
    made = [frame(tmp_path), radar(tmp_path), coordinates(tmp_path), quality(tmp_path), satellite(tmp_path)]
    for path in made:
        assert FORMAT.recognise(path, path.read_bytes()[:512])
        assert not FORMAT.recognise(path, b"GRIB")
        assert not FORMAT.recognise(path.with_name("other.npz"), path.read_bytes()[:512])
    with pytest.raises(ReadError, match="name"):
        FORMAT.times((tmp_path / "other.npz",))


def test_a_renamed_file_of_another_key(tmp_path):
    path = tmp_path / "202006041205.npz"
    np.savez(path, rain=np.zeros((1536, 1536), dtype=np.int16))
    with pytest.raises(ReadError, match="there is rain"):
        FORMAT.read((path,))
    np.savez(path, pickle.dumps("text"))
    with pytest.raises(ReadError):
        FORMAT.read((path,))


@pytest.mark.parametrize(
    "options",
    [{"corner": "left"}, {"time_label": "middle"}, {"minus_one": "nan"}, {"quantity": "RATE"}, {"z_r": (200, 1.6)}],
    ids=str,
)
def test_options_that_cannot_be_used(tmp_path, options):
    with pytest.raises(ConfigError):
        FORMAT.read((radar(tmp_path),), **options)


def test_a_region_elsewhere_is_an_error_of_ondee(tmp_path):
    for path in (frame(tmp_path), radar(tmp_path), satellite(tmp_path)):
        with pytest.raises(GridError) as caught:
            FORMAT.read((path,), region=(40.0, 10.0, 41.0, 11.0))
        assert isinstance(caught.value, OndeeError)


@real.needs("meteonet/rainfall_NW_2016_08.3.npz")
def test_a_long_file_is_read_in_pieces_that_make_the_whole():
    from ondee.source import granules, join

    granule = granules(real.path("meteonet/rainfall_NW_2016_08.3.npz"))[0]
    pieces = granule.pieces(10)
    assert [len(piece.times) for piece in pieces] == [10, 10, 10, 10, 5]
    whole = granule.read()
    joined = join([(piece.paths, piece.read()) for piece in pieces])
    xr.testing.assert_equal(whole, joined)
