import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import real
from ondee import source
from ondee.errors import ConfigError, GridError, OndeeError, ReadError, StoreError, UnitError
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source.assembly import Variable, assemble
from ondee.source.hdf5 import attribute
from ondee.source.imerg import FORMAT, file_name, write
from ondee.source.imerg_fields import FIELDS, decode_time, parse_header, parse_name
from ondee.source.imerg_sensors import SENSORS, families, family_of, sensor

START = np.datetime64("2018-06-04T12:30")
FRANCE = (-5.5, 42.0, 8.5, 51.5)
V06 = "imerg/3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V06B.HDF5"
V07 = "imerg/3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V07A.HDF5"
ALL = tuple(field.quantity for field in FIELDS)


def made(grid: Grid, *, start: np.datetime64 = START, seed: int = 0, quantities: tuple[str, ...] = ALL) -> xr.Dataset:
    """A half hour of plausible values, a tenth of them missing."""
    draw, shape = np.random.default_rng(seed), (1, *grid.shape)

    def values(quantity: str) -> np.ndarray:
        field = next(field for field in FIELDS if field.quantity == quantity)
        high = {"microwave_source": 22, "microwave_minute": 30, "quality_index": 1}.get(quantity, 101)
        number = draw.integers(0, high, shape) if field.integer else draw.random(shape) * min(high, 50)
        return np.where(draw.random(shape) < 0.1, np.nan, number).astype(np.float32)

    return assemble(
        {quantity: Variable(values(quantity)) for quantity in quantities},
        grid,
        [start],
        [[start, start + np.timedelta64(30, "m")]],
        label="start",
        product="IMERG",
        where="test",
    )


def small(ny: int = 12, nx: int = 9) -> Grid:
    return Grid(LATITUDE_LONGITUDE, 1.3, 48.7, 0.1, 0.1, nx, ny)


def same(first: xr.Dataset, second: xr.Dataset) -> bool:
    return set(first) == set(second) and all(
        np.array_equal(first[name].values, second[name].values, equal_nan=True) for name in first
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    """A whole granule, wet cells at known places only, so that it is quick to write."""
    values = np.zeros((1, 1800, 3600), dtype=np.float32)
    values[0, :, 0] = np.arange(1800) % 100  # by row
    values[0, 411, 1817] = 7.5  # 48.85 N, 1.75 E
    values[0, 420:430, 1800:1820] = np.nan
    grid = Grid(LATITUDE_LONGITUDE, -180, 90, 0.1, 0.1, 3600, 1800)
    codes = np.zeros_like(values)
    codes[0, 411, 1817] = 9
    data = assemble(
        {"rain_rate": Variable(values), "microwave_source": Variable(codes)},
        grid,
        [START],
        [[START, START + np.timedelta64(30, "m")]],
        label="start",
        product="IMERG",
        where="test",
    )
    return write(tmp_path_factory.mktemp("whole"), data), data


# ---- real files


EXPECTED = {
    V06: {
        "version": "V06",
        "version_file": "V06B",
        "missing": dict.fromkeys(ALL, 1.0)
        | {"microwave_source": 0.0, "infrared_weight": 0.0}
        | {"liquid_probability": 0.0},
    },
    V07: {
        "version": "V07",
        "version_file": "V07A",
        "missing": {
            "rain_rate": 0.3,
            "rain_rate_uncalibrated": 0.3,
            "microwave_rain_rate": 1.0,
            "microwave_source": 0.0,
            "microwave_minute": 1.0,
            "infrared_rain_rate": 1.0,
            "infrared_weight": 1.0,
            "random_error": 0.3,
            "quality_index": 0.3,
            "liquid_probability": 0.0,
        },
    },
}


@real.needs(V06, V07)
@pytest.mark.parametrize("name", [V06, V07])
def test_facts_of_the_real_files(name: str) -> None:
    data, expected = source.open(real.path(name)), EXPECTED[name]
    assert data.attrs["product"] == "IMERG" and data.attrs["run"] == "Final"
    assert data.attrs["version"] == expected["version"] and data.attrs["version_file"] == expected["version_file"]
    assert list(data["time"].values) == [np.datetime64("2000-06-01T00:00", "ns")]
    assert data["time"].attrs["label"] == "start"
    assert data["time_bounds"].values[0, 1] == np.datetime64("2000-06-01T00:30", "ns")
    assert Grid.of(data).same_as(Grid(LATITUDE_LONGITUDE, -180.0, -89.0, 0.1, 0.1, 10, 10))
    assert Grid.of(data).west == -180.0 and Grid.of(data).north == -89.0
    assert {quantity: float(data[quantity].isnull().mean()) for quantity in data} == pytest.approx(expected["missing"])
    assert data["rain_rate"].attrs["units"] == "mm h-1"
    if name == V07:
        # NASA leaves the three rows next to the Pole empty and calls the others dry.
        assert data["rain_rate"].isnull().values[0].all(axis=1).tolist() == [False] * 7 + [True] * 3
        assert float(data["rain_rate"].max()) == 0.0
        assert float(data["random_error"].max()) == pytest.approx(0.24)


@real.needs(V06, V07)
def test_real_versions_are_not_mixed() -> None:
    with pytest.raises(ReadError, match="versions are mixed"):
        source.open(real.path(V06), real.path(V07))


def structure(path: Path) -> dict[str, tuple[object, ...]]:
    """Names, types, shapes and attributes of everything in a file."""
    found: dict[str, tuple[object, ...]] = {}

    def visit(name: str, node: h5py.HLObject) -> None:
        kind = (node.dtype.str, node.shape) if isinstance(node, h5py.Dataset) else ()
        attributes = {
            key: node.attrs.get_id(key).dtype.kind
            if key in ("DIMENSION_LIST", "REFERENCE_LIST")
            else " ".join(str(attribute(node, key)).split())
            for key in node.attrs
        }
        found[name] = (*kind, attributes)

    with h5py.File(path) as file:
        file.visititems(visit)
        for key in ("FileHeader", "FileInfo"):
            found[key] = (list(parse_header(str(attribute(file, key)))), file.attrs.get_id(key).dtype.kind)
    return found


@real.needs(V06, V07)
@pytest.mark.parametrize("name", [V06, V07])
def test_written_files_have_the_structure_of_the_real_ones(name: str, tmp_path: Path) -> None:
    data = source.open(real.path(name))
    path = write(tmp_path, data, version=data.attrs["version_file"])
    ours, theirs = structure(path), structure(real.path(name))
    assert path.name == Path(name).name
    assert set(ours) == set(theirs)
    for node in theirs:
        mine, its = ours[node], theirs[node]
        if node == "Grid/time":  # NASA's long remark on leap seconds is its own
            mine[-1].pop("LongName"), its[-1].pop("LongName")
        assert mine == its, node
    again = source.open(path)
    assert same(again, data) and again.attrs["processed_by"] == "ondee"
    with h5py.File(path) as mine_file, h5py.File(real.path(name)) as real_file:
        for axis in ("lat", "lon", "lat_bnds", "time", "time_bnds"):
            assert np.allclose(mine_file["Grid"][axis][...], real_file["Grid"][axis][...], atol=2e-5)
        header = parse_header(str(attribute(mine_file, "FileHeader")))
        theirs_header = parse_header(str(attribute(real_file, "FileHeader")))
        changed = {key for key in header if header[key] != theirs_header[key]}
        assert changed == {"GenerationDateTime", "ProcessingSystem"}


@real.needs(V07)
def test_a_real_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = real.path(V07).read_bytes()
    lengths = np.random.default_rng(3).integers(0, len(content) - 1, 20)
    for length in lengths:
        path = tmp_path / Path(V07).name
        path.write_bytes(content[:length])
        with pytest.raises(ReadError):
            source.open(path)


# ---- whole granules


def test_a_region_of_a_whole_granule(whole: tuple[Path, xr.Dataset]) -> None:
    path, data = whole
    part = source.open(path, region=FRANCE)
    assert part["rain_rate"].shape == (1, 95, 140)
    assert part["y"].values[0] == pytest.approx(51.45) and part["x"].values[0] == pytest.approx(-5.45)
    assert float(part["rain_rate"].sel(y=48.85, x=1.75, method="nearest")[0]) == 7.5
    assert float(part["rain_rate"].sum()) == 7.5
    assert int(part["rain_rate"].isnull().sum()) == 10 * 20
    everything = source.open(path)
    assert same(everything, data)
    with h5py.File(path) as file:
        assert file["Grid/precipitation"].chunks == (1, 145, 1800)
        assert file["Grid/Intermediate/MWprecipSource"].chunks == (1, 291, 1800)
        assert file["Grid/precipitation"].shape == (1, 3600, 1800)
        assert file["Grid/precipitation"].maxshape == (None, 3600, 1800)
        assert file["Grid/precipitation"].compression == "gzip"


def test_a_region_outside_the_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, made(small()))
    with pytest.raises(GridError, match="outside"):
        source.open(path, region=(100.0, 10.0, 110.0, 20.0))


def test_only_the_chunks_of_the_region_are_read(whole: tuple[Path, xr.Dataset], tmp_path: Path) -> None:
    """Destroy a chunk far from the region: the region must not notice, the whole granule must."""
    path = tmp_path / whole[0].name
    shutil.copy(whole[0], path)
    with h5py.File(path) as file:
        chunk = file["Grid/precipitation"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * min(chunk.size, 64))
    assert float(source.open(path, region=FRANCE)["rain_rate"].sum()) == 7.5
    with pytest.raises(ReadError):
        source.open(path)


@settings(max_examples=15, deadline=None)
@given(
    first=st.tuples(st.integers(0, 3560), st.integers(0, 1760)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    version=st.sampled_from(["V06", "V07"]),
    run=st.sampled_from(["Early", "Late", "Final"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, first: tuple[int, int], size: tuple[int, int], version: str, run: str
) -> None:
    west, north = (first[0] - 1800) / 10, (first[1] + size[1] - 900) / 10
    data = made(Grid(LATITUDE_LONGITUDE, west, north, 0.1, 0.1, *size), quantities=("rain_rate", "microwave_source"))
    path = write(tmp_path_factory.mktemp("written"), data, version=version, run=run)
    again = source.open(path)
    assert same(again, data) and Grid.of(again) == Grid.of(data)
    assert (again.attrs["run"], again.attrs["version"]) == (run, version)


# ---- subsets and changed files


def changed(path: Path, change: object) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)  # type: ignore[operator]
    return path


def subset(path: Path, source_path: Path, names: dict[str, str], *, latitude_first: bool = False) -> Path:
    """What a subset service writes: variables at the root, under the names given; no header."""
    with h5py.File(source_path) as old, h5py.File(path, "w") as new:
        for name in ("lat", "lon", "time"):
            new[name] = old["Grid"][name][...]
            for key in ("units", "standard_name"):
                new[name].attrs[key] = old["Grid"][name].attrs[key]
        for name, node in names.items():
            values = old[node][...]
            new[name] = values.transpose(0, 2, 1) if latitude_first else values
            for key in ("units", "_FillValue"):
                if key in old[node].attrs:
                    new[name].attrs[key] = old[node].attrs[key]
    return path


@pytest.mark.parametrize("latitude_first", [False, True])
@pytest.mark.parametrize(
    ("name", "variable", "node", "version"),
    [
        ("{}.HDF5.nc4", "precipitation", "Grid/precipitation", "V07"),
        ("{}.HDF5.SUB.nc4", "precipitationCal", "Grid/precipitationCal", "V06"),
        ("{}.HDF5.SUB.hdf5", "Grid_precipitation", "Grid/precipitation", "V07"),
    ],
)
def test_subsets(tmp_path: Path, name: str, variable: str, node: str, version: str, latitude_first: bool) -> None:
    data = made(small())
    whole_file = write(tmp_path, data, version=version)
    path = tmp_path / name.format(whole_file.name.removesuffix(".HDF5"))
    subset(path, whole_file, {variable: node}, latitude_first=latitude_first)
    again = source.open(path)
    assert list(again) == ["rain_rate"] and again.attrs["version"] == version
    assert same(again, data[["rain_rate"]])
    piece = source.open(path, region=(1.6, 48.0, 1.9, 48.3))
    assert same(piece, data[["rain_rate"]].sel(y=slice(48.3, 48.0), x=slice(1.6, 1.9)))


def test_flattened_groups_and_a_new_name(tmp_path: Path) -> None:
    data = made(small())
    file = write(tmp_path, data)
    path = subset(
        tmp_path / "rain_over_paris.nc4",
        file,
        {
            "Intermediate_MWprecipitation": "Grid/Intermediate/MWprecipitation",
            "Grid_Intermediate_MWobservationTime": "Grid/Intermediate/MWobservationTime",
        },
    )
    again = source.open(path)
    assert same(again, data[["microwave_rain_rate", "microwave_minute"]])
    assert again.attrs["run"] == "unknown" and "version" not in again.attrs
    assert again["time"].values[0] == START


def test_a_square_subset_turned_round_is_told_by_its_dimensions(tmp_path: Path) -> None:
    data = made(small(7, 7), quantities=("rain_rate",))
    path = write(tmp_path, data)

    def turn(file: h5py.File) -> None:
        old = file["Grid/precipitation"]
        values, attributes = old[...].transpose(0, 2, 1), dict(old.attrs)
        del file["Grid/precipitation"]
        new = file.create_dataset("Grid/precipitation", data=values)
        for key in ("units", "_FillValue"):
            new.attrs[key] = attributes[key]
        for dimension, name in zip(new.dims, ("time", "lat", "lon"), strict=True):
            dimension.attach_scale(file["Grid"][name])

    assert same(source.open(changed(path, turn)), data)


def test_latitudes_from_north_to_south(tmp_path: Path) -> None:
    data = made(small())
    path = write(tmp_path, data)

    def turn(file: h5py.File) -> None:
        grid = file["Grid"]
        grid["lat"][...] = grid["lat"][...][::-1]
        grid["lat_bnds"][...] = grid["lat_bnds"][...][::-1]
        grid["precipitation"][...] = grid["precipitation"][...][:, :, ::-1]

    again = source.open(changed(path, turn), variables=("rain_rate",))
    assert same(again, data[["rain_rate"]])
    piece = source.open(path, variables=("rain_rate",), region=(1.6, 48.0, 1.9, 48.3))
    assert same(piece, data[["rain_rate"]].sel(y=slice(48.3, 48.0), x=slice(1.6, 1.9)))


@pytest.mark.parametrize(
    "latitudes",
    [
        lambda lat: lat[::-1],  # turned without its bounds
        lambda lat: np.where(np.arange(lat.size) == 4, lat + 0.1, lat),  # twice the same
        lambda lat: lat + 0.05,  # edges instead of centres
        lambda lat: lat * 2,
        lambda lat: lat * np.nan,
        lambda lat: lat + 200,
        lambda lat: lat * 1e30,
    ],
)
def test_latitudes_that_contradict_themselves_are_refused(tmp_path: Path, latitudes: object) -> None:
    path = write(tmp_path, made(small()))

    def spoil(file: h5py.File) -> None:
        file["Grid/lat"][...] = latitudes(file["Grid/lat"][...])  # type: ignore[operator]

    with pytest.raises(ReadError, match="lat cannot be trusted"):
        source.open(changed(path, spoil))


def test_packed_by_a_tool(tmp_path: Path) -> None:
    data = made(small(), quantities=("rain_rate",))
    path = write(tmp_path, data)

    def pack(file: h5py.File) -> None:
        raw = file["Grid/precipitation"][...]
        packed = np.where(raw < 0, -32768, np.rint((raw - 25.0) / 0.001)).astype(np.int16)
        del file["Grid/precipitation"]
        node = file.create_dataset("Grid/precipitation", data=packed)
        node.attrs.update({"units": "mm/hr", "_FillValue": np.int16(-32768), "scale_factor": 0.001, "add_offset": 25.0})

    again = source.open(changed(path, pack))
    assert np.array_equal(again["rain_rate"].isnull(), data["rain_rate"].isnull())
    assert float(abs(again["rain_rate"] - data["rain_rate"]).max()) < 0.0006


def test_an_unknown_version_with_known_fields_is_read(tmp_path: Path) -> None:
    data = made(small())
    path = write(tmp_path, data)
    newer = path.with_name(path.name.replace("V07B", "V08A"))

    def rename(file: h5py.File) -> None:
        header = file.attrs["FileHeader"].decode().replace("V07B", "V08A")
        file.attrs["FileHeader"] = np.bytes_(header)

    again = source.open(changed(path, rename).rename(newer))
    assert same(again, data) and again.attrs["version"] == "V08"


def test_letters_may_differ_versions_may_not(tmp_path: Path) -> None:
    path = write(tmp_path, made(small()), run="Late")
    again = source.open(path.rename(path.with_name(path.name.replace("V07B", "V07C"))))
    assert (again.attrs["version_file"], again.attrs["version_header"]) == ("V07C", "V07B")
    other = path.with_name(path.name.replace("V07B", "V06B"))
    path.with_name(path.name.replace("V07B", "V07C")).rename(other)
    with pytest.raises(ReadError, match="version is V06 by the name of the file and V07"):
        source.open(other)


# ---- runs, times and other lies


def test_runs_are_not_mixed(tmp_path: Path) -> None:
    later = START + np.timedelta64(30, "m")
    paths = [write(tmp_path, made(small()), run="Early"), write(tmp_path, made(small(), start=later), run="Final")]
    with pytest.raises(ReadError, match="runs are mixed: Early and Final"):
        source.open(*paths)
    both = [paths[0], write(tmp_path, made(small(), start=later), run="Early")]
    assert source.open(*both).sizes["time"] == 2


def test_a_run_renamed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, made(small()), run="Early")
    final = path.rename(path.with_name(path.name.replace("3B-HHR-E", "3B-HHR")))
    with pytest.raises(ReadError, match="run is Final by the name of the file and Early by its header"):
        source.open(final)


def test_a_time_renamed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, made(small()))
    other = path.rename(tmp_path / file_name("2018-06-04T13:00"))
    with pytest.raises(ReadError, match="times differ"):
        source.open(other)


def test_a_file_that_its_user_renamed(tmp_path: Path) -> None:
    data = made(small())
    path = write(tmp_path, data, run="Late", version="V06").rename(tmp_path / "my_rain.h5")
    again = source.open(path)
    assert again.attrs["run"] == "Late" and again.attrs["version"] == "V06"
    assert same(again, data) and again["time"].values[0] == START


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file["Grid/time"].attrs.__setitem__("units", "furlongs since 1970-01-01"),
        lambda file: file["Grid/time"].__setitem__(..., 0),
        lambda file: file.__delitem__("Grid"),
        lambda file: file["Grid"].__delitem__("lat"),
        lambda file: file.move("Grid", "Gitter"),
        lambda file: [
            file["Grid"].__delitem__(name) for name in list(file["Grid"]) if name not in ("lat", "lon", "time")
        ],
    ],
)
def test_spoilt_files_are_refused(tmp_path: Path, spoil: object) -> None:
    path = changed(write(tmp_path, made(small())), spoil)
    with pytest.raises(ReadError):
        source.open(path)


def test_another_unit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, made(small()))
    changed(path, lambda file: file["Grid/precipitation"].attrs.__setitem__("units", np.bytes_("mm")))
    with pytest.raises(UnitError, match="is in 'mm'; rain_rate in 'mm h-1' is needed"):
        source.open(path)
    changed(path, lambda file: [file["Grid/precipitation"].attrs.__delitem__(key) for key in ("units", "Units")])
    with pytest.raises(UnitError, match="None"):
        source.open(path)
    assert "microwave_rain_rate" in source.open(path, variables=["microwave_rain_rate"])


def test_wrong_magic_and_cut_files(tmp_path: Path) -> None:
    path = write(tmp_path, made(small()))
    content = path.read_bytes()
    path.write_bytes(b"GIF89a" + content[6:])
    with pytest.raises(ReadError):
        source.open(path)
    for length in np.random.default_rng(1).integers(0, len(content) - 1, 20):
        path.write_bytes(content[:length])
        with pytest.raises(ReadError):
            source.open(path)


@pytest.mark.parametrize(
    "name",
    [
        "3B-HHR.MS.MRG.3IMERG.20181345-S000000-E002959.0000.V07B.HDF5",
        "3B-HHR.MS.MRG.3IMERG.20180604-S001000-E003959.0010.V07B.HDF5",
        "3B-HHR.MS.MRG.3IMERG.20180604-S003000-E005959.0060.V07B.HDF5",
        "3B-HHR.MS.MRG.3IMERG.20180604-S003000-E002959.0030.V07B.HDF5",
        "3B-HHR-X.MS.MRG.3IMERG.20180604-S003000-E005959.0030.V07B.HDF5",
    ],
)
def test_names_that_contradict_themselves(name: str) -> None:
    with pytest.raises(ReadError, match="contradicts itself"):
        parse_name(name, where=name)


def test_all_missing_stays_missing(tmp_path: Path) -> None:
    data = made(small(), quantities=("rain_rate", "microwave_source"))
    path = write(tmp_path, data.where(False).assign_attrs(data.attrs))
    again = source.open(path)
    assert bool(again["rain_rate"].isnull().all()) and bool(again["microwave_source"].isnull().all())


def test_a_minute_outside_the_half_hour_is_no_minute(tmp_path: Path) -> None:
    data = made(small())
    path = write(tmp_path / file_name(START), data)
    with h5py.File(path, "r+") as file:
        node = file["Grid/Intermediate/MWobservationTime"]
        node[0, 0, 0], node[0, 1, 0] = 200, -1
    minute = source.open(path)["microwave_minute"]
    assert minute.attrs["implausible_count"] == 2
    assert np.isnan(minute.values[0, -1, :2]).all()


def test_only_what_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path, made(small(), quantities=("rain_rate", "random_error")))
    assert list(source.open(path, variables="random_error")) == ["random_error"]
    with pytest.raises(ReadError, match="microwave_source is not in the file") as caught:
        source.open(path, variables=("microwave_source",))
    assert "rain_rate, random_error" in caught.value.fix
    with pytest.raises(ConfigError, match="no quantity of IMERG"):
        source.open(path, variables=("temperature",))


def test_recognising(tmp_path: Path) -> None:
    name = "3B-HHR-L.MS.MRG.3IMERG.20240101-S000000-E002959.0000.V07B"
    for ending, known in ((".RT-H5", True), (".HDF5", True), (".HDF5.SUB.nc4", True), (".30min.tif", False)):
        assert FORMAT.recognise(Path(name + ending), b"") is known
    plain = tmp_path / "other.nc"
    with h5py.File(plain, "w") as file:
        file["lat"], file["lon"], file["precipitation"] = np.arange(3.0), np.arange(3.0), np.zeros((3, 3))
    assert not FORMAT.recognise(plain, plain.read_bytes()[:512])


# ---- writing


def test_writing_refuses(tmp_path: Path) -> None:
    data = made(small())
    path = write(tmp_path, data)
    with pytest.raises(StoreError, match="exists"):
        write(path, data)
    assert write(path, data, force=True) == path
    coarse = Grid(LATITUDE_LONGITUDE, 0.0, 50.0, 0.25, 0.25, 4, 4)
    shifted = Grid(LATITUDE_LONGITUDE, 0.05, 50.0, 0.1, 0.1, 4, 4)
    for grid in (coarse, shifted):
        with pytest.raises(StoreError, match="grid is not IMERG's"):
            write(tmp_path / "a.HDF5", made(grid))
    with pytest.raises(StoreError, match="no whole numbers"):
        write(tmp_path / "b.HDF5", data.assign(infrared_weight=data["infrared_weight"] + 0.5))
    with pytest.raises(UnitError):
        write(tmp_path / "c.HDF5", data.drop_vars("rain_rate"))
    with pytest.raises(ConfigError):
        write(tmp_path / "d.HDF5", data, version="V05")
    with pytest.raises(ConfigError):
        write(tmp_path / "e.HDF5", data, run="Soon")
    with pytest.raises(StoreError, match="cannot be written"):
        write(tmp_path / "absent" / "f.HDF5", data)
    assert [found.name for found in tmp_path.iterdir()] == [path.name], "nothing half written stays behind"


def test_files_say_the_same_twice(tmp_path: Path) -> None:
    data = made(small())
    assert write(tmp_path / "1.h5", data).read_bytes() == write(tmp_path / "2.h5", data).read_bytes()


def test_names() -> None:
    name = file_name("2018-06-04T23:30", "Early", "V06", near_real_time=True)
    assert name == "3B-HHR-E.MS.MRG.3IMERG.20180604-S233000-E235959.1410.V06B.RT-H5"
    found = parse_name(name, where="")
    assert found is not None and (found.run, found.version, str(found.start)) == (
        "Early",
        "V06B",
        "2018-06-04T23:30:00",
    )
    with pytest.raises(ConfigError):
        file_name("2018-06-04T23:31")


def test_the_calendar_is_a_label_only() -> None:
    assert decode_time(959817600, "seconds since 1970-01-01 00:00:00 UTC", where="") == np.datetime64("2000-06-01")
    assert decode_time(643852800, "seconds since 1980-01-06 00:00:00 UTC", where="") == np.datetime64("2000-06-01")
    assert decode_time(11109.0, "days since 1970-01-01", where="") == np.datetime64("2000-06-01")


# ---- sensors


def test_sensor_table() -> None:
    assert len({entry.code for entry in SENSORS}) == len(SENSORS)
    imagers = {entry.code for entry in SENSORS if entry.family == "imager"}
    sounders = {entry.code for entry in SENSORS if entry.family == "sounder"}
    assert imagers == {1, 3, 4, 5, 9, 15, 16} and sounders == {6, 7, 11, 20, 21}
    assert sensor(99).family == "code 99"
    assert {"imager", "sounder", "morph", "mixed", "infrared"} <= set(families())


def test_strata() -> None:
    source_codes = [[9, 20, 0, 0], [0, 0, 0, 42], [np.nan, 12, 5, 0]]
    weights = [[50, 0, 0, 1], [99, 100, np.nan, 0], [0, 0, np.nan, 101]]
    assert family_of(source_codes, weights).tolist() == [
        ["imager", "sounder", "morph", "mixed"],
        ["mixed", "infrared", "", "code 42"],
        ["", "infrared sounder", "imager", ""],
    ]
    with pytest.raises(UnitError):
        family_of([1.5], [0])


def test_an_unknown_sensor_is_read_as_it_is(tmp_path: Path) -> None:
    data = made(small(), quantities=("rain_rate", "microwave_source", "infrared_weight"))
    data["microwave_source"][:] = 99
    again = source.open(write(tmp_path, data))
    assert set(np.unique(again["microwave_source"])) == {99.0}
    assert set(family_of(again["microwave_source"], again["infrared_weight"]).ravel()) == {"code 99"}
    assert 9 in again["microwave_source"].attrs["flag_values"]
    meanings = again["microwave_source"].attrs["flag_meanings"].split()
    assert len(meanings) == len(again["microwave_source"].attrs["flag_values"])
    assert again["microwave_source"].encoding["dtype"] == "int16"


def test_errors_are_three_lines(tmp_path: Path) -> None:
    path = tmp_path / file_name("2018-06-04T12:30")
    path.write_bytes(b"")
    with pytest.raises(OndeeError) as caught:
        source.open(path)
    assert re.fullmatch(r"error  .+\nwhere  .+\nfix    .+", str(caught.value))
