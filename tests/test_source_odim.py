"""ODIM_H5 composites: real files of three generations, our own files, and damaged ones."""

import contextlib
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import ondee
import real
from ondee import source
from ondee.errors import ConfigError, GridError, ReadError, StoreError, UnitError
from ondee.grid import LOCAL, Grid
from ondee.source import odim, odim_writer
from ondee.source.assembly import Variable, assemble

OPERA = "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84"
STEREOGRAPHIC = "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=45 +ellps=WGS84 +x_0=619652.07 +y_0=5262818.34 +datum=WGS84"
SMALL = Grid(OPERA, 1_500_000, -2_000_000, 2000, 2000, 40, 30)
NOON = np.datetime64("2018-06-04T12:00", "ns")

FACTS = {
    # file: product, variable, start and end in minutes from the nominal time, label,
    # wet share (>= 0.1 mm/h, mm; >= 7 dBZ), maximum, missing share, share of wet pixels of quality below 0.8
    "T_PAAH21_C_EUOC_20180824200000.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.125, 214.52, 0.4990, 0.9982
    ),
    "T_PAAH21_C_EUOC_20180824201500.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.123, 254.45, 0.4990, 0.9979
    ),
    "T_PAAH21_C_EUOC_20180824203000.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.123, 174.67, 0.4990, 0.9977
    ),
    "T_PAAH21_C_EUOC_20180824204500.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.120, 133.15, 0.4990, 0.9981
    ),
    "T_PAAH21_C_EUOC_20180824210000.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.119, 143.17, 0.4990, 0.9984
    ),
    "T_PAAH21_C_EUOC_20180824211500.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.118, 143.57, 0.4990, 0.9985
    ),
    "T_PAAH21_C_EUOC_20180824213000.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.117, 228.49, 0.4990, 0.9984
    ),
    "T_PAAH21_C_EUOC_20180824214500.hdf": (
        "OPERA ODYSSEY", "rain_rate", -10, 5, "unknown", 0.119, 157.85, 0.4990, 0.9987
    ),
    "T_PAAH22_C_EUOC_20241126010000.hdf": (
        "OPERA NIMBUS", "rain_rate", 0, 0, "centre", 0.093, 205.05, 0.4858, 0.0781
    ),
    "T_PAAH22_C_EUOC_20241126011500.hdf": (
        "OPERA NIMBUS", "rain_rate", 0, 0, "centre", 0.095, 162.88, 0.4851, 0.0789
    ),
    "T_PASH22_C_EUOC_20241126010000.hdf": (
        "OPERA NIMBUS", "rain_amount", -60, 0, "end", 0.113, 51.26, 0.4864, 0.1660
    ),
    "T_PABV21_C_EUOC_20241126010000.hdf": (
        "OPERA CIRRUS", "reflectivity", -10 + 1 / 60, 0, "end", 0.167, 78.0, 0.4909, 0.9306
    ),
}  # fmt: skip


def opera(name: str) -> Path:
    return real.path("opera") / name


def field(seed: int = 0, grid: Grid = SMALL, name: str = "rain_rate", scale: float = 5.0, quality: bool = True):
    """One frame with missing, dry and wet cells."""
    chance = np.random.default_rng(seed)
    values = np.round(chance.gamma(0.7, scale, (1, *grid.shape)), 2).astype(np.float32)
    values = np.minimum(values, np.float32(60.0))
    values[chance.random(values.shape) < 0.6] = odim.NO_ECHO if name == "reflectivity" else 0.0
    values[:, :5] = np.nan
    variables = {name: Variable(values)}
    if quality:
        index = np.round(chance.random(values.shape), 2).astype(np.float32)
        index[np.isnan(values)] = np.nan
        variables["quality"] = Variable(index)
    bounds = [(NOON - np.timedelta64(5, "m"), NOON)]
    return assemble(variables, grid, [NOON], bounds, label="end", product="test", where="test")


def written(tmp_path, *, layout="ODYSSEY", quantity="RATE", **options) -> Path:
    name = odim.QUANTITIES[quantity]
    return odim_writer.write(tmp_path / "file.h5", field(name=name, **options), layout=layout, quantity=quantity)


# ---- real files


@pytest.mark.parametrize("name", FACTS)
@real.needs("opera")
def test_real_files_give_the_expected_facts(name):
    product, variable, start, end, label, wet, maximum, missing, below = FACTS[name]
    dataset = odim.FORMAT.read((opera(name),))
    values, quality = dataset[variable].values, dataset["quality"].values
    observed = ~np.isnan(values)
    is_wet = values >= np.float32(7.0 if variable == "reflectivity" else 0.1)
    assert dataset.attrs["product"] == product
    offsets = (dataset["time_bounds"].values[0] - dataset["time"].values[0]) / np.timedelta64(1, "m")
    assert offsets == pytest.approx([start, end])
    assert dataset["time"].attrs["label"] == label
    assert np.count_nonzero(is_wet) / np.count_nonzero(observed) == pytest.approx(wet, abs=5e-4)
    assert float(np.nanmax(values)) == pytest.approx(maximum, rel=1e-6)
    assert 1 - observed.mean() == pytest.approx(missing, abs=5e-5)
    assert 1 - (quality[is_wet] >= np.float32(0.8)).mean() == pytest.approx(below, abs=5e-5)
    assert "implausible_count" not in dataset[variable].attrs
    assert np.isnan(quality[~observed]).all()


@real.needs("opera")
def test_the_three_generations_lie_on_the_same_extent():
    names = ("T_PAAH21_C_EUOC_20180824200000.hdf", "T_PAAH22_C_EUOC_20241126010000.hdf")
    odyssey, nimbus, cirrus = (
        Grid.of(odim.FORMAT.read((opera(name),), region=None))
        for name in (*names, "T_PABV21_C_EUOC_20241126010000.hdf")
    )
    assert odyssey == nimbus
    for grid in (odyssey, cirrus):
        assert (grid.west, grid.north, grid.east, grid.south) == (0.0, 0.0, 3_800_000.0, -4_400_000.0)
    assert cirrus.shape == (4400, 3800)


@real.needs("opera")
def test_real_numbers_are_those_of_the_file():
    path = opera("T_PAAH22_C_EUOC_20241126010000.hdf")
    dataset = odim.FORMAT.read((path,))
    with h5py.File(path) as file:
        raw = file["dataset1/data1/data"][:]
    rain = dataset["rain_rate"].values[0]
    assert np.array_equal(np.isnan(rain), raw == -9999000)
    assert (rain[raw == -8888000] == 0).all()
    told = raw > -1e6
    np.testing.assert_array_equal(rain[told], raw[told].astype(np.float32))
    assert dataset["rain_rate"].attrs["zr_a"] == 200.0
    assert dataset["rain_rate"].attrs["zr_b"] == 1.6


@real.needs("opera")
def test_a_region_is_the_same_piece_of_the_whole():
    path = opera("T_PAAH21_C_EUOC_20180824200000.hdf")
    region = (2.0, 47.0, 6.0, 50.0)
    whole, piece = odim.FORMAT.read((path,)), odim.FORMAT.read((path,), region=region)
    rows, columns = Grid.of(whole).window(region)
    assert Grid.of(piece).same_as(Grid.of(whole).crop(rows, columns))
    xr.testing.assert_identical(
        piece["rain_rate"].drop_vars("crs"), whole["rain_rate"][:, rows, columns].drop_vars("crs")
    )
    assert piece["rain_rate"].size < whole["rain_rate"].size / 50


@real.needs("opera")
def test_the_same_places_are_wet_in_rate_and_reflectivity():
    """NIMBUS (2 km) and CIRRUS (1 km) of one moment: a flipped or shifted axis would show."""
    rain = odim.FORMAT.read((opera("T_PAAH22_C_EUOC_20241126010000.hdf"),))["rain_rate"].values[0] >= 1.0
    echo = odim.FORMAT.read((opera("T_PABV21_C_EUOC_20241126010000.hdf"),))["reflectivity"].values[0]
    strong = (np.nan_to_num(echo, nan=-99).reshape(2200, 2, 1900, 2).max(axis=(1, 3))) >= 23.0
    both = np.corrcoef(rain.ravel(), strong.ravel())[0, 1]
    shifted = np.corrcoef(rain.ravel(), np.roll(strong, 6, axis=0).ravel())[0, 1]
    flipped = np.corrcoef(rain.ravel(), strong[::-1].ravel())[0, 1]
    assert both > 0.5
    assert both > shifted + 0.1
    assert flipped < 0.1


@real.needs("opera")
def test_eight_files_open_as_one():
    names = sorted(name for name in FACTS if "PAAH21" in name)
    dataset = ondee.open(*(opera(name) for name in names), region=(2.0, 47.0, 6.0, 50.0))
    assert dataset.sizes["time"] == 8
    assert (np.diff(dataset["time"].values) == np.timedelta64(15, "m")).all()
    with pytest.raises(ReadError, match="mixed"):
        ondee.open(opera(names[0]), opera("T_PAAH22_C_EUOC_20241126010000.hdf"), region=(2.0, 47.0, 3.0, 48.0))


def structure(path: Path):
    """Groups, attributes and storage of a file, without what differs from frame to frame."""
    found = {}

    def visit(name, node):
        entry = {
            key: (
                node.attrs.get_id(key).dtype.kind if key in FREE else node.attrs.get_id(key).dtype,
                type(node.attrs[key]) if key in FREE else str(node.attrs[key]),
            )
            for key in node.attrs
        }
        if isinstance(node, h5py.Dataset):
            entry["storage"] = (node.ndim, node.dtype, node.chunks, node.compression, node.compression_opts)
        found[name] = entry

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


CORNERS = {f"{corner}_{axis}" for corner in ("UL", "UR", "LL", "LR") for axis in ("lat", "lon")}
FREE = CORNERS | {"projdef", "xsize", "ysize", "nodes", "comment"}


@pytest.mark.parametrize(
    ("name", "quantity", "layout"),
    [
        ("T_PAAH21_C_EUOC_20180824200000.hdf", "RATE", "ODYSSEY"),
        ("T_PAAH22_C_EUOC_20241126010000.hdf", "RATE", "NIMBUS"),
        ("T_PASH22_C_EUOC_20241126010000.hdf", "ACRR", "NIMBUS"),
        ("T_PABV21_C_EUOC_20241126010000.hdf", "DBZH", "CIRRUS"),
    ],
)
@real.needs("opera")
def test_our_files_have_the_structure_of_the_real_ones(tmp_path, name, quantity, layout):
    dataset = odim.FORMAT.read((opera(name),), region=(-5.0, 42.0, 12.0, 55.0))  # a piece: gzip 9 takes its time
    ours = odim_writer.write(tmp_path / name, dataset, quantity=quantity, layout=layout)
    assert odim_writer.file_name(dataset["time"].values[0], layout, quantity=quantity) == name
    mine, theirs = structure(ours), structure(opera(name))
    for found in (mine, theirs):  # radar lists, Z-R relations and heights are the producer's own
        found["how"] = {}
        found.pop("dataset1/data1/how", None)
        found["where"] = {key: value for key, value in found["where"].items() if not key.startswith("z")}
    assert mine == theirs
    again = odim.FORMAT.read((ours,))
    assert again.attrs == dataset.attrs
    for variable in dataset:
        np.testing.assert_array_equal(again[variable].values, dataset[variable].values)


# ---- our own files


@pytest.mark.parametrize(
    ("layout", "quantity", "quality"),
    [
        (layout, quantity, quality)
        for layout, chosen in odim_writer.LAYOUTS.items()
        for quantity in chosen.names
        for quality in (True, False)
    ],
)
def test_what_is_written_is_read_back(tmp_path, layout, quantity, quality):
    dataset = field(name=odim.QUANTITIES[quantity], quality=quality)
    path = odim_writer.write(
        tmp_path / odim_writer.file_name(NOON, layout, quantity=quantity), dataset, layout=layout, quantity=quantity
    )
    again = odim.FORMAT.read((path,))
    assert Grid.of(again).same_as(SMALL)
    assert set(again) == set(dataset)
    xr.testing.assert_equal(again["time"], dataset["time"])
    xr.testing.assert_equal(again["time_bounds"].variable, dataset["time_bounds"].variable)
    assert again["time"].attrs["label"] == "end"
    for name in dataset:
        np.testing.assert_array_equal(np.isnan(again[name].values), np.isnan(dataset[name].values))
        np.testing.assert_allclose(again[name].values, dataset[name].values, atol=1e-5)
    expected = "Météo-France mosaic" if layout == "METEOFRANCE" else f"OPERA {layout}"
    assert again.attrs["product"] == expected
    assert odim.FORMAT.times((path,)).tolist() == [NOON.astype("datetime64[ns]").item()]


def test_three_values_stay_three(tmp_path):
    path = written(tmp_path)
    with h5py.File(path) as file:
        raw = file["dataset1/data1/data"][:]
    rain = odim.FORMAT.read((path,))["rain_rate"].values[0]
    assert np.isnan(rain[raw == -9999000]).all()
    assert (rain[raw == -8888000] == 0).all()
    assert (rain[raw > 0] > 0).all()
    assert min((raw == -9999000).sum(), (raw == -8888000).sum(), (raw > 0).sum()) > 50


def test_packed_integers_keep_their_packing(tmp_path):
    path = written(tmp_path, layout="METEOFRANCE", quantity="ACRR")
    amount = odim.FORMAT.read((path,))["rain_amount"]
    assert amount.encoding == {"scale_factor": 0.01, "add_offset": 0.0, "dtype": "uint16", "_FillValue": 65535}
    rate = odim.FORMAT.read((path,), as_rate=True)["rain_rate"]
    assert rate.attrs["units"] == "mm h-1"
    np.testing.assert_allclose(rate.values, amount.values * 12, rtol=1e-6)
    assert rate.encoding["scale_factor"] == pytest.approx(0.12)
    with h5py.File(path) as file:
        raw = file["dataset1/data1/data"][:]
    told = raw < 65534
    np.testing.assert_array_equal(np.round(rate.values[0][told] / rate.encoding["scale_factor"]), raw[told])


def test_the_real_mosaic_of_meteo_france_lands_on_its_grid(tmp_path):
    """Projection and corners as the service writes them: a grid of whole multiples of 500 m."""
    grid = Grid(STEREOGRAPHIC, 0, 1_736_000, 500, 500, 3472, 3472)
    corners = {
        "UL": (-9.965, 53.67),
        "UR": (17.564202528305234, 52.54813781717718),
        "LL": (-6.715173408021557, 38.14493289858148),
        "LR": (11.976054526221487, 37.45745953865351),
    }
    path = tmp_path / "T_IPRN20_C_LFPW_20180604120000.h5"
    small = grid.crop(slice(0, 30), slice(0, 40))
    dataset = field(grid=small, name="rain_amount")
    odim_writer.write(path, dataset, quantity="ACRR", layout="METEOFRANCE")
    with h5py.File(path, "a") as file:
        where = file["where"].attrs
        for name, (longitude, latitude) in corners.items():
            where[f"{name}_lon"], where[f"{name}_lat"] = longitude, latitude
        where["xsize"] = where["ysize"] = 3472
        for place in ("dataset1/data1/data", "dataset1/data1/quality1/data"):
            dtype = file[place].dtype
            del file[place]
            file.create_dataset(place, data=np.zeros(grid.shape, dtype), chunks=(150, 3472), compression="gzip")
    found = odim.FORMAT.read((path,), region=(2.0, 48.0, 3.0, 49.0))
    rows, columns = grid.window((2.0, 48.0, 3.0, 49.0))
    assert Grid.of(found).same_as(grid.crop(rows, columns))
    assert Grid.of(found).west % 500 == 0
    assert found.attrs["product"] == "Météo-France mosaic"


def test_reflectivity_becomes_rain_only_when_asked(tmp_path):
    path = written(tmp_path, layout="CIRRUS", quantity="DBZH", scale=20.0)
    echo = odim.FORMAT.read((path,))["reflectivity"]
    rain = odim.FORMAT.read((path,), z_r=(200, 1.6))["rain_rate"]
    assert "no echo" in echo.attrs["comment"]
    assert rain.attrs["z_r"] == [200.0, 1.6]
    assert (rain.values[echo.values == odim.NO_ECHO] == 0).all()
    assert np.array_equal(np.isnan(rain.values), np.isnan(echo.values))
    wet = echo.values > 0
    np.testing.assert_allclose(200 * rain.values[wet].astype(float) ** 1.6, 10 ** (echo.values[wet] / 10.0), rtol=1e-4)
    assert rain.values[wet][np.argmin(np.abs(echo.values[wet] - 23))] == pytest.approx(1.0, rel=0.2)


def test_spikes_are_masked_and_counted(tmp_path):
    path = written(tmp_path)
    with h5py.File(path, "a") as file:
        file["dataset1/data1/data"][10, 10:13] = [1205.0, 600.0, 499.0]
    rain = odim.FORMAT.read((path,))["rain_rate"]
    assert np.isnan(rain.values[0, 10, 10:12]).all()
    assert rain.values[0, 10, 12] == 499.0
    assert rain.attrs["implausible_count"] == 2
    assert rain.attrs["implausible_extreme"] == 1205.0


def test_nothing_observed_is_missing_not_dry(tmp_path):
    dataset = field()
    dataset["rain_rate"][:] = np.nan
    path = odim_writer.write(tmp_path / "all.hdf", dataset)
    assert np.isnan(odim.FORMAT.read((path,))["rain_rate"].values).all()


def test_the_same_frame_gives_the_same_bytes(tmp_path):
    one = odim_writer.write(tmp_path / "one.hdf", field())
    two = odim_writer.write(tmp_path / "two.hdf", field())
    assert one.read_bytes() == two.read_bytes()
    with h5py.File(one) as file:
        assert h5py.h5o.get_info(file["dataset1/data1/data"].id).mtime == 0
        assert h5py.h5o.get_info(file["dataset1"].id).mtime == 0


def test_quantities_are_chosen_and_inherited(tmp_path):
    """RATE in data1, DBZH in data2, codes told once for both, in dataset1/what."""
    path = written(tmp_path)
    with h5py.File(path, "a") as file:
        second = file.create_group("dataset1/data2")
        second["data"] = np.full(SMALL.shape, 30.0)
        second.create_group("what").attrs["quantity"] = "DBZH"
        del file["dataset1/what"].attrs["quantity"]
        file["dataset1/data1"].create_group("what").attrs["quantity"] = "RATE"
        file["what"].attrs["undetect"] = file["dataset1/what"].attrs["undetect"]
        del file["dataset1/what"].attrs["undetect"]
    assert "rain_rate" in odim.FORMAT.read((path,))
    assert float(odim.FORMAT.read((path,), quantity="DBZH")["reflectivity"].max()) == 30.0
    with pytest.raises(ReadError, match="not ACRR"):
        odim.FORMAT.read((path,), quantity="ACRR")


def test_a_quantity_that_comes_twice_must_be_named(tmp_path):
    path = written(tmp_path)
    with h5py.File(path, "a") as file:
        file.copy("dataset1", "dataset3")
        file["dataset3/data1/data"][...] = 7.0
    with pytest.raises(ReadError, match="2 times"):
        odim.FORMAT.read((path,))
    assert float(odim.FORMAT.read((path,), dataset=3)["rain_rate"].max()) == 7.0


def test_a_quality_that_is_a_distance_is_left_out(tmp_path):
    path = written(tmp_path, layout="NIMBUS")
    with h5py.File(path, "a") as file:
        file["dataset1/data1/quality1/how"].attrs["task"] = "se.smhi.composite.distance.radar"
    assert "quality" not in odim.FORMAT.read((path,))


# ---- damaged and foreign files


@pytest.mark.parametrize("seed", range(20))
def test_cut_files_give_a_read_error(tmp_path, seed):
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: random.Random(seed).randrange(len(content))])
    with pytest.raises(ReadError) as caught:
        odim.FORMAT.read((path,))
    assert str(path) in caught.value.where
    with pytest.raises(ReadError):
        source.open(path)


@pytest.mark.parametrize("seed", range(60))
def test_a_flipped_bit_gives_no_traceback_of_a_library(tmp_path, seed):
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    with contextlib.suppress(ReadError, GridError):
        odim.FORMAT.read((path,))


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"PK\x03\x04"])
def test_other_magic_is_not_recognised(tmp_path, content):
    path = tmp_path / "T_PAAH21_C_EUOC_20180824200000.hdf"
    path.write_bytes(content)
    assert not odim.FORMAT.recognise(path, content)
    with pytest.raises(ReadError):
        odim.FORMAT.read((path,))


def damage(path: Path, kind: str) -> None:
    with h5py.File(path, "a") as file:
        what = file["dataset1/what"].attrs
        if kind.startswith("no group "):
            del file[kind.removeprefix("no group ")]
        elif kind.startswith("no attribute "):
            del what[kind.removeprefix("no attribute ")]
        elif kind == "velocity":
            what["quantity"] = "VRADH"
        elif kind == "size":
            file["where"].attrs["xsize"] = 41
        elif kind == "corner":
            file["where"].attrs["UR_lon"] += 0.01
        elif kind == "no corner":
            del file["where"].attrs["UR_lon"]
        elif kind == "projection":
            file["where"].attrs["projdef"] = "+proj=nonsense"
        elif kind == "scale":
            file["where"].attrs["xscale"] = 0.0
        elif kind == "volume":
            file["what"].attrs["object"] = "PVOL"
        elif kind == "date":
            file["what"].attrs["date"] = "20180631"
        elif kind == "short time":
            what["starttime"] = "1200"
        elif kind == "end before start":
            what["enddate"] = "20180603"
        elif kind == "text for a number":
            what["gain"] = "one"
        elif kind == "group for an array":
            del file["dataset1/data1/data"]
            file.create_group("dataset1/data1/data")


DAMAGES = [
    *(f"no group {name}" for name in ("what", "where", "dataset1/what", "dataset1/data1", "dataset1")),
    *(f"no attribute {name}" for name in ("gain", "offset", "nodata", "undetect", "quantity", "starttime", "enddate")),
    "velocity", "size", "corner", "no corner", "projection", "scale", "volume", "date", "short time",
    "end before start", "text for a number", "group for an array",
]  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_give_a_read_error(tmp_path, kind):
    path = written(tmp_path, quality=kind != "no group dataset1/data1")
    damage(path, kind)
    with pytest.raises(ReadError) as caught:
        odim.FORMAT.read((path,))
    assert str(path) in caught.value.where
    assert caught.value.fix


def test_rounded_corners_are_read_when_that_is_admitted(tmp_path):
    path = written(tmp_path)
    with h5py.File(path, "a") as file:
        for name in ("UL_lat", "UR_lat", "LL_lat", "LR_lat", "UL_lon", "UR_lon", "LL_lon", "LR_lon"):
            file["where"].attrs[name] = round(file["where"].attrs[name], 2)
    with pytest.raises(ReadError, match="corners depart"):
        odim.FORMAT.read((path,))
    assert Grid.of(odim.FORMAT.read((path,), corner_tolerance=0.5)).same_as(SMALL)


@pytest.mark.parametrize(
    "options",
    [
        {"quantity": "VRADH"},
        {"z_r": (200, 1.6)},
        {"z_r": (200,), "quantity": "RATE"},
        {"z_r": "Marshall-Palmer"},
        {"as_rate": True},
        {"threshold": 0.8},
    ],
    ids=str,
)
def test_options_that_cannot_be_used(tmp_path, options):
    with pytest.raises(ConfigError):
        odim.FORMAT.read((written(tmp_path),), **options)


def test_a_region_outside_the_grid(tmp_path):
    with pytest.raises(GridError):
        odim.FORMAT.read((written(tmp_path),), region=(-60.0, 10.0, -50.0, 20.0))


# ---- writing what cannot be written


def test_the_writer_refuses_what_the_format_cannot_hold(tmp_path):
    path = tmp_path / "file.hdf"
    with pytest.raises(ConfigError, match="no layout"):
        odim_writer.write(path, field(), layout="RADOLAN")
    with pytest.raises(ConfigError, match="carry"):
        odim_writer.write(path, field(), layout="METEOFRANCE", quantity="RATE")
    with pytest.raises(ConfigError, match="rain_amount is needed"):
        odim_writer.write(path, field(), quantity="ACRR")
    with pytest.raises(ConfigError, match="holds 0 to 655"):
        odim_writer.write(path, field(name="rain_amount") + 700, layout="METEOFRANCE", quantity="ACRR")
    wrong = field()
    wrong["rain_rate"].attrs["units"] = "mm"
    with pytest.raises(UnitError):
        odim_writer.write(path, wrong)
    with pytest.raises(GridError):
        odim_writer.write(path, field(grid=Grid(LOCAL, 0, 0, 1000, 1000, 40, 30)))
    two = xr.concat([field(), field()], dim="time", data_vars="minimal")
    with pytest.raises(ConfigError, match="one time step"):
        odim_writer.write(path, two)
    odd = field()
    odd["time_bounds"] = odd["time_bounds"] - np.timedelta64(1, "ms")
    with pytest.raises(ConfigError, match="whole second"):
        odim_writer.write(path, odd)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    path = odim_writer.write(tmp_path / "file.hdf", field(1))
    before = path.read_bytes()
    with pytest.raises(StoreError, match="exists"):
        odim_writer.write(path, field(2))
    assert path.read_bytes() == before
    odim_writer.write(path, field(2), force=True)
    assert path.read_bytes() != before


def test_a_target_that_cannot_be_written(tmp_path):
    (tmp_path / "folder").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="cannot be written"):
        odim_writer.write(tmp_path / "folder" / "file.hdf", field())
