"""What no format may do with bad input: fail with a traceback, give a wrong number, run code, hang, or hide a fault."""

import contextlib
import datetime as dt
import io
import itertools
import json
import os
import pickle
import random
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
import yaml

import archives
import ondee
from fields import FRANCE, LAEA, radar, showers
from ondee import cli, source
from ondee.building import build
from ondee.errors import ConfigError, GridError, OndeeError, ReadError, UnitError
from ondee.facts import survey
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source import imerg, odim_writer, seviri, weather4cast
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.source.cf_grid import geostationary
from ondee.source.hdf5 import MAGIC
from ondee.source.odim import FORMAT as ODIM
from ondee.source.odim_field import NO_ECHO
from ondee.source.options import CHECKS
from ondee.source.patches import CHANNELS
from ondee.source.pickles import unpickle
from ondee.units import to_amount
from ondee.validation.floor import floor

OPERA = Grid(LAEA, 1_500_000, -2_000_000, 2000, 2000, 40, 30)
TIMES = archives.times("2018-06-01T00:00", 3)


# ---- one small file of each format


def _odim(folder: Path, **settings) -> Path:
    path = folder / "T_PAAH21_C_EUOC_20180604120000.hdf"
    data = radar(showers(OPERA, 1), grid=OPERA, quality=np.full((1, *OPERA.shape), 0.9), step=15)
    return odim_writer.write(path, data, quantity="RATE", layout="NIMBUS", **settings)


def _imerg(folder: Path, start="2018-06-04T12:00", run="Final") -> Path:
    stamp = np.array([start], "datetime64[ns]")
    rain = {"rain_rate": Variable(showers(frames=1)), "quality_index": Variable(np.full((1, *FRANCE.shape), 0.5, "f4"))}
    data = assemble(rain, FRANCE, stamp, time_bounds(stamp, 30, "start"), label="start", product="IMERG", where="")
    return imerg.write(folder, data, run=run)


def _netcdf(folder: Path) -> Path:
    path = folder / "radar.nc"
    radar(showers()).to_netcdf(path, engine="h5netcdf")
    return path


def _satellite(channels=("IR_108", "WV_062"), values=(280.0, 230.0), start="2018-06-04T12:00", grid=FRANCE):
    stamp = np.array([start], "datetime64[ns]")
    field = np.broadcast_to(np.array(values, np.float32)[None, :, None, None], (1, len(channels), *grid.shape)).copy()
    temperature = {"brightness_temperature": Variable(field)}
    bounds = time_bounds(stamp, 15, "start")
    return assemble(temperature, grid, stamp, bounds, label="start", product="SEVIRI", where="", channels=channels)


def _seviri(folder: Path) -> Path:
    path = folder / "seviri.nc"
    seviri.write(path, _satellite())
    return path


def _array(values) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def _object(content: bytes, shape=(1,)) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


def _objects(*items) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _meteonet(folder: Path, **members: bytes) -> Path:
    path = folder / "rainfall_NW_2016_08.3.npz"
    held = {
        "data": _array(np.zeros((1, 565, 784), np.int16)),
        "dates": _array(_objects(dt.datetime(2016, 8, 21))),
        "miss_dates": _array(_objects()),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (held | members).items():
            archive.writestr(f"{name}.npy", content)
    return path


def _patch(folder: Path, content: bytes | None = None) -> Path:
    path = folder / "sevmos_2019-08-09_18:10:00.npy"
    layers = {name: np.full((6, 8), 250.0) for name in CHANNELS}
    path.write_bytes(_array(layers) if content is None else content)
    return path


def _weather4cast(folder: Path) -> Path:
    path = folder / "roxi_0004.train.rates.crop.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("rates.crop", data=np.ones((1, 1, 252, 252), np.float32), compression="gzip")
    return path


MAKERS = {
    maker.__name__.strip("_"): maker for maker in (_odim, _imerg, _netcdf, _seviri, _meteonet, _patch, _weather4cast)
}


@pytest.fixture(scope="module", params=MAKERS)
def sound(request, tmp_path_factory):
    """A file of one format."""
    path = MAKERS[request.param](tmp_path_factory.mktemp(request.param))
    assert ondee.open(path).sizes["time"]
    return path


# ---- damaged files


def _attempt(path: Path) -> None:
    """Open a file, tell its times and its facts: an error of ours, or none; no warning about numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for act in (lambda: ondee.open(path).load(), lambda: source.granules(path)[0].times, lambda: survey(path)):
            try:
                act()
            except OndeeError as error:
                assert str(error).count("\n") == 2


def test_files_cut_or_damaged_anywhere_give_errors_of_three_lines(sound, tmp_path, capfd):
    content, chance = sound.read_bytes(), random.Random(0)
    path = tmp_path / sound.name
    for number in range(40):
        damaged = bytearray(content)
        # A byte changed in HDF5's own metadata can send the HDF5 library round for ever; such files are only cut.
        if number % 3 == 0 or content.startswith(MAGIC):
            del damaged[chance.randrange(len(content)) :]
        else:
            for place in range(chance.choice((1, 3, 9))):
                reach = min(len(content), 4096 if number % 3 == 1 else len(content))
                spot, value = chance.randrange(reach), chance.choice((0, 255, chance.randrange(256), place))
                damaged[spot] = value
        path.write_bytes(bytes(damaged))
        _attempt(path)
    # h5netcdf closes files badly that it could not open: Python then prints "Exception ignored in …".
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", MAKERS)
def test_files_that_vanish_or_turn_into_folders_after_they_were_listed(name, tmp_path):
    path = MAKERS[name](tmp_path)
    (granule,) = source.granules(path)
    path.unlink()
    with pytest.raises(ReadError):
        granule.read()
    path.mkdir()
    with pytest.raises(ReadError):
        granule.read()


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(("odim", "imerg", "netcdf", "meteonet"), 2)))
def test_a_file_under_the_name_of_another_product(name, other, tmp_path):
    """It is read as what it is, or refused; never as what it is called."""
    (tmp_path / "other").mkdir()
    called = MAKERS[other](tmp_path / "other").name
    path = MAKERS[name](tmp_path)
    expected = ondee.open(path).attrs["product"]
    renamed = path.rename(tmp_path / "other" / called)
    with contextlib.suppress(OndeeError):
        assert ondee.open(renamed).attrs["product"] == expected


def test_parts_that_were_never_written_are_not_dry(tmp_path):
    path = _odim(tmp_path)
    with h5py.File(path, "a") as file:
        group = file["dataset1/data1"]
        del group["data"]
        data = group.create_dataset("data", shape=OPERA.shape, dtype="f8", chunks=(10, 10))
        data[:10] = 0.0
    with pytest.raises(ReadError, match="never written"):
        ondee.open(path)
    with h5py.File(path, "a") as file:
        del file["dataset1/data1/data"]
        nodata = file["dataset1/data1/what"].attrs["nodata"]
        file["dataset1/data1"].create_dataset("data", shape=OPERA.shape, dtype="f8", chunks=(10, 10), fillvalue=nodata)
    assert np.isnan(ondee.open(path)["rain_rate"]).all()


# ---- folders and paths


def _foreign(folder: Path) -> Path:
    """A folder with one radar file and all that may lie beside it."""
    inside = folder / "foreign"
    inside.mkdir()
    _netcdf(inside)
    for name in ("notes.txt", "with space é.nc", "new\nline.hdf", "\x1b[31mred.h5", os.fsdecode(b"bad\xff.hdf")):
        (inside / name).write_bytes(b"x")
    for name in ("empty.h5", "202001010005.npz", ".hidden.nc", "MSG4-SEVI-MSG15-x.nat"):
        (inside / name).touch()
    os.mkfifo(inside / "3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V07A.HDF5")
    (inside / "nowhere.hdf").symlink_to("nothing")
    (inside / "zero.nc").symlink_to("/dev/zero")
    (inside / "deeper").mkdir()
    (inside / "deeper" / "back").symlink_to(inside)
    for name, content in (("a.zarr", "{"), ("b.zarr", "")):
        (inside / name).mkdir()
        (inside / name / "zarr.json").write_text(content)
    return inside


def _look(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["look", *map(str, arguments)])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    if ended.value.code:
        assert (told.out, [line.split()[0] for line in told.err.splitlines()]) == ("", ["error", "where", "fix"])
    return ended.value.code, told.out, told.err


def test_a_folder_with_foreign_files(tmp_path, capsys):
    inside = _foreign(tmp_path)
    code, out, err = _look(capsys, inside, "--json")
    assert (code, err) == (0, "")
    tree = json.loads(out)
    assert [entry["files"] for entry in tree["products"]] == [1]
    reasons = {Path(path).name: reason for path, reason in tree["left_out"].items()}
    assert "pipe" in reasons["3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V07A.HDF5"]
    assert "pipe or a device" in reasons["zero.nc"] and "leads nowhere" in reasons["nowhere.hdf"]
    assert ".hidden.nc" not in reasons and len(reasons) == 13
    assert len(source.by_formats(inside)[0]["cf"]) == 3  # the radar and two broken zarr, once each


def test_every_foreign_file_by_itself(tmp_path, capsys):
    for path in (*_foreign(tmp_path).iterdir(), tmp_path / "none", tmp_path / ("x" * 300), Path("/dev/null")):
        if path.name not in ("radar.nc", "deeper"):
            assert _look(capsys, path, "--json")[0] == 1, path


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "sevmos_2020-01-01_00:00:00.npy"
    os.mkfifo(path)
    for options in ({}, {"format": "cf"}):
        with pytest.raises(ReadError, match="pipe"):
            ondee.open(path, **options)


def test_files_without_a_frame_say_so(tmp_path):
    path = tmp_path / "none.nc"
    radar(showers()).isel(time=slice(0)).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ReadError, match="no frame"):
        ondee.open(path)
    with pytest.raises(ReadError, match="no frame"):
        survey(path)


# ---- options and regions


def test_every_option_has_a_check():
    formats = [source._format(name) for name in source.FORMATS]
    assert {name for kind in formats for name in kind.options} <= set(CHECKS)


JUNK = ("abc", "", 5, -1, 0, float("nan"), 10**400, True, [], (1, 2), ("a", "b"), {"a": 1}, object(), b"x")


@pytest.mark.parametrize("name", ["odim", "netcdf", "meteonet", "seviri", "patch", "weather4cast", "imerg"])
def test_options_of_another_type_are_named_before_the_file_is_blamed(name, tmp_path):
    path = MAKERS[name](tmp_path)
    (kind,) = (granule.format for granule in source.granules(path))
    for option, value in itertools.product(kind.options, JUNK):
        try:
            ondee.open(path, **{option: value})
        except OndeeError as error:
            assert "cannot be read" not in error.what, (option, value)


@pytest.mark.parametrize(
    "region", [(1, 2), 5, "1234", (None,) * 4, (float("nan"), 1, 2, 3), (-float("inf"), 1, 2, 3), (1e300, 1, 2e300, 3)]
)
def test_a_region_is_four_numbers(region, tmp_path):
    with pytest.raises(ConfigError, match="not four numbers"):
        ondee.open(_imerg(tmp_path), region=region)


@pytest.mark.parametrize("crs", [LAEA, geostationary(0.0)])
@pytest.mark.parametrize(
    "region", [(-180, -90, 180, 90), (0, 30, 180, 90), (-90, -60, 90, 60), (350, 40, 370, 60), (-30, 50, 60, 88)]
)
def test_a_region_beyond_the_grid_loses_no_cell(crs, region):
    grid = Grid(crs, 0, 0, 20_000, 20_000, 190, 220)
    if "geos" in crs:
        grid = Grid(crs, -5_570_000, 5_570_000, 55_700, 55_700, 200, 200)
    west, south, east, north = region
    longitude, latitude = grid.longitude_latitude()
    held = ((longitude - west) % 360 <= east - west) & (latitude >= south) & (latitude <= north)
    rows, columns = grid.window(region)
    inside = np.zeros(grid.shape, dtype=bool)
    inside[rows, columns] = True
    assert held.any() and not (held & ~inside).any()


def test_longitudes_turn():
    globe = Grid(LATITUDE_LONGITUDE, 0.0, 90.0, 1.0, 1.0, 360, 180)
    assert globe.window((-5, 40, -1, 50)) == (slice(40, 50), slice(355, 359))
    assert globe.window((-5, 40, 8, 50))[1] == slice(0, 360)
    assert globe.window((-180, -90, 180, 90)) == (slice(0, 180), slice(0, 360))
    with pytest.raises(GridError, match="no area"):
        globe.window((170, -10, -170, 10))


def test_a_start_in_the_year_9999_is_not_another_year(tmp_path):
    path = _netcdf(tmp_path)
    assert ondee.open(path, end="9999-01-01").sizes["time"] == 2
    with pytest.raises(ReadError, match="no frame lies"):
        ondee.open(path, start="9999-01-01")


# ---- the command line


def test_options_of_the_command_line(tmp_path, capsys):
    path = _odim(tmp_path)
    code, out, _ = _look(capsys, path, "--json", "--option", "dataset=1", "--option", "quantity=RATE")
    assert code == 0 and json.loads(out)["products"]
    code, _, err = _look(capsys, path, "--option", "dataset=7", "--option", "quantity=RATE")
    assert code == 1 and "dataset7" in err
    for words, option in (
        ("write --region", "region=5"),
        ("cannot be understood", "z_r=["),
        ("cannot be understood", "z_r=!!python/object:os.system [ls]"),
    ):
        code, _, err = _look(capsys, path, "--option", option)
        assert code == 2 and words in err
    code, _, err = _look(capsys, path, "--option", "dataset=1", "--option", "dataset=2")
    assert code == 2 and "twice" in err


def test_an_error_is_three_lines_whatever_a_file_is_called():
    error = ReadError("it\nbroke", where="a\x1b[31m\nb.nc", fix="mend it")
    assert str(error).splitlines() == ["error  it\\nbroke", "where  a\\x1b[31m\\nb.nc", "fix    mend it"]


def test_a_terminal_of_few_letters(tmp_path):
    import subprocess
    import sys

    folder = tmp_path / "météo"
    folder.mkdir()
    for extra in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-m", "ondee.cli", "look", str(_netcdf(folder)), *extra],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        assert (done.returncode, done.stderr) == (0, b"")


# ---- several files


def _saved(folder: Path, name: str, data: xr.Dataset) -> Path:
    path = folder / name
    data.to_netcdf(path, engine="h5netcdf")
    return path


def test_channels_in_another_order_are_not_put_together(tmp_path):
    one = _saved(tmp_path, "a.nc", _satellite())
    two = _saved(tmp_path, "b.nc", _satellite(("WV_062", "IR_108"), (230.0, 280.0), "2018-06-04T12:15"))
    with pytest.raises(ReadError, match="channels are mixed"):
        ondee.open(one, two)


def test_labels_of_two_kinds_are_not_put_together(tmp_path):
    one = radar(showers())
    two = radar(showers(), start="2018-06-04T13:00")
    two["time"].attrs["label"] = "start"
    with pytest.raises(ReadError, match="time labels are mixed"):
        ondee.open(_saved(tmp_path, "a.nc", one), _saved(tmp_path, "b.nc", two))


def test_spikes_are_counted_through_a_join(tmp_path):
    paths = []
    for hour, spike in ((12, 1205.0), (13, 0.0), (14, 1300.0)):
        rain = np.full((2, *FRANCE.shape), spike, np.float32)
        start = f"2018-06-04T{hour}:00"
        values = radar(np.zeros_like(rain), start=start)
        values["rain_rate"].values[:] = rain
        paths.append(_saved(tmp_path, f"{hour}.nc", values))
    attributes = ondee.open(*paths)["rain_rate"].attrs
    assert attributes["implausible_count"] == 4 * FRANCE.nx * FRANCE.ny
    assert attributes["implausible_extreme"] == 1300.0


def test_two_packings_are_not_written_as_one(tmp_path):
    first, second = radar(showers()), radar(showers(), start="2018-06-04T13:00")
    packing = {"dtype": np.dtype("int16"), "scale_factor": 0.1, "_FillValue": -1, "add_offset": 0.0}
    first["rain_rate"].encoding = packing
    parts = [((Path("a"),), first), ((Path("b"),), second)]
    assert source.join(parts)["rain_rate"].encoding == {}
    second["rain_rate"].encoding = dict(packing)
    assert source.join(parts)["rain_rate"].encoding == packing


# ---- attributes that lie


def _edited(path: Path, group: str, name: str, value) -> Path:
    with h5py.File(path, "a") as file:
        if value is None:
            del file[group].attrs[name]
        else:
            file[group].attrs[name] = value
    return path


WHAT = "dataset1/data1/what"


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        *((WHAT, "gain", value) for value in (0.0, -1.0, np.nan, np.inf, "abc", None, np.array([1.0, 2.0]))),
        *((WHAT, "offset", value) for value in (np.nan, "x", None)),
        *((WHAT, name, value) for name in ("nodata", "undetect") for value in ("x", None)),
        (WHAT, "nodata", -8888000.0),
        *((WHAT, "quantity", value) for value in ("XXX", None, np.array([b"RATE", b"DBZH"]))),
        *(("what", name, value) for name in ("date", "time") for value in ("x", None)),
        ("what", "date", "20180605"),
        ("what", "date", "99990605"),
        *(("where", name, value) for name in ("xscale", "yscale") for value in (0.0, -2.0, np.nan, np.inf, "x", None)),
        *(("where", name, value) for name in ("xsize", "ysize") for value in (0, 41, 2**40, np.inf, "x", None)),
        *(("where", "projdef", value) for value in ("", "+proj=longlat", "+proj=geos +h=1", 5, None)),
        *(("where", "UL_lon", value) for value in (np.nan, 1e300, 0.0, "x", None)),
    ],
)
def test_odim_attributes_that_lie_are_refused(group, name, value, tmp_path):
    path = _edited(_odim(tmp_path), group, name, value)
    with warnings.catch_warnings(), pytest.raises(OndeeError):
        warnings.simplefilter("error")
        ondee.open(path)


@pytest.mark.parametrize("kind", ["c8", "S1", "?", "f4,f4"])
def test_odim_arrays_that_hold_no_numbers_are_refused(kind, tmp_path):
    path = _odim(tmp_path)
    with h5py.File(path, "a") as file:
        del file["dataset1/data1/data"]
        file["dataset1/data1"].create_dataset("data", data=np.zeros(OPERA.shape, kind))
    with pytest.raises(ReadError, match="the array is"):
        ondee.open(path)


def test_a_packing_that_cannot_hold_no_echo_is_not_kept(tmp_path):
    path = _odim(tmp_path)
    with h5py.File(path, "a") as file:
        del file["dataset1/data1/data"]
        codes = np.tile(np.array([0, 255, 100, 200], np.uint8), OPERA.ny * OPERA.nx // 4).reshape(OPERA.shape)
        file["dataset1/data1"].create_dataset("data", data=codes)
        file[WHAT].attrs.update(quantity="DBZH", gain=0.5, offset=-32.0, nodata=255.0, undetect=0.0)
    data = ODIM.read((path,))
    data.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
    again = ondee.open(tmp_path / "again.nc")["reflectivity"].values
    assert again[0, 0, :4].tolist() == pytest.approx([NO_ECHO, np.nan, 18.0, 68.0], nan_ok=True)


def _plain(**changes) -> xr.Dataset:
    """A CF file that ondee did not write."""
    values = np.arange(3 * 6 * 8, dtype=np.int16).reshape(3, 6, 8)
    coordinates = {
        "time": ("time", [0.0, 5.0, 10.0], {"units": "minutes since 2018-06-01", "standard_name": "time"}),
        "lat": ("lat", np.linspace(50, 49.5, 6), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(0, 0.7, 8), {"units": "degrees_east"}),
    }
    rain = (("time", "lat", "lon"), values, {"units": "mm h-1", "scale_factor": 0.1, **changes})
    return xr.Dataset({"rain_rate": rain}, coords=coordinates)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: value} for name in ("scale_factor", "add_offset") for value in (np.nan, np.inf, np.array([0.1, 0.2]))),
        {"scale_factor": 0.0},
        {"missing_value": "x"},
        {"valid_range": np.array([0.0])},
        {"valid_min": "a"},
        {"units": "mm"},
        {"units": 5},
        {"grid_mapping": "crs"},
    ],
)
def test_cf_attributes_that_lie_are_refused(changes, tmp_path):
    data = _plain(**changes)
    if "grid_mapping" in changes:
        data["crs"] = ((), 0, {"crs_wkt": "PROJCS[broken"})
    with pytest.raises(OndeeError):
        ondee.open(_saved(tmp_path, "a.nc", data))


@pytest.mark.parametrize(
    "bounds", [[[0, np.nan], [5, 10], [10, 15]], [[100, 105], [105, 110], [110, 115]], [[5, 0], [5, 10], [10, 15]]]
)
def test_time_bounds_that_lie_are_refused(bounds, tmp_path):
    data = _plain()
    data["time"].attrs["bounds"] = "time_bnds"
    data["time_bnds"] = (("time", "nv"), np.array(bounds, float))
    with pytest.raises(ReadError):
        ondee.open(_saved(tmp_path, "a.nc", data))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lat", np.linspace(95, 94.5, 6)),
        ("lat", [50, 49.9, 49.8, 49.6, 49.5, 49.4]),
        ("lat", [50, 49.9, np.nan, 49.7, 49.6, 49.5]),
        ("lon", np.zeros(8)),
        ("time", [0.0, 5.0, 5.0]),
        ("time", [0.0, 10.0, 5.0]),
        ("time", [0.0, np.nan, 5.0]),
        ("time", [0.0, 5.0, 5e9]),
    ],
)
def test_coordinates_that_lie_are_refused(name, values, tmp_path):
    data = _plain()
    data = data.assign_coords({name: (name, np.asarray(values, float), data[name].attrs)})
    with warnings.catch_warnings(), pytest.raises(ReadError):
        warnings.simplefilter("error", RuntimeWarning)
        ondee.open(_saved(tmp_path, "a.nc", data))


def test_data_turned_with_their_coordinates_are_the_same(tmp_path):
    data = _plain()
    straight = ondee.open(_saved(tmp_path, "a.nc", data))
    for turned in ({"lat": slice(None, None, -1)}, {"lon": slice(None, None, -1)}):
        again = ondee.open(_saved(tmp_path, "b.nc", data.isel(turned)))
        assert np.array_equal(again["rain_rate"], straight["rain_rate"])


def test_a_radar_is_no_satellite(tmp_path):
    with pytest.raises(ReadError, match="no brightness temperature"):
        ondee.open(_saved(tmp_path, "a.nc", _plain()), format="seviri")


# ---- hostile pickles


class _Run:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _bombs(mark: Path):
    command = f"touch '{mark}'"
    for protocol in range(6):
        yield pickle.dumps(_Run(os.system, command), protocol)
        yield pickle.dumps({"IR_108": _Run(eval, f"__import__('os').system({command!r})")}, protocol)
        yield pickle.dumps(_Run(np.fromfile, "/etc/passwd"), protocol)
    yield b"(S'x'\nios\nsystem\n."
    yield b"(cos\nsystem\nS'x'\no."
    yield b"\x80\x04\x8c\x08datetime\x8c\x08sys\x93."
    yield b"cnumpy\nndarray\n}S'x'\nI1\nsb."
    yield b"\x80\x02\x82\x01."  # a registered extension
    yield b"Pxyz\n."  # a persistent object
    yield b"\x80\x05\x97."  # a buffer outside
    yield b"\x80\x05\x96" + (2**36).to_bytes(8, "little") + b"x."  # 64 GB that are not there
    yield b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x."
    yield b"\x80\x02K\x01r\xff\xff\xff\x7f."  # place 2147483647 of a memory that is taken whole
    yield b"K\x01p99999999999\n."
    yield b"I" + b"9" * 100_000 + b"\n."
    yield b"(" * 100_000 + b"t" * 100_000 + b"."
    yield b""


def test_no_pickle_runs_or_takes_the_memory(tmp_path):
    resource = pytest.importorskip("resource")
    mark = tmp_path / "ran"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb in _bombs(mark):
        for path in (_patch(tmp_path, bomb), _patch(tmp_path, _object(bomb, ()))):
            with pytest.raises(ReadError):
                ondee.open(path)
        with pytest.raises(ReadError):
            unpickle(bomb, where="test")
    path = _meteonet(tmp_path, dates=_object(next(_bombs(mark))))
    with pytest.raises(ReadError, match="refused, not executed"):
        ondee.open(path)
    assert not mark.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


@pytest.mark.parametrize("shape", ["(10**9,565,784)", "(-1,565,784)", "(1000000000,565,784)", "(1,565,True)"])
def test_headers_that_lie_about_the_size(shape, tmp_path):
    header = f"{{'descr':'<i2','fortran_order':False,'shape':{shape},}}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(2000)
    for path in (_meteonet(tmp_path, data=content), _patch(tmp_path, content)):
        with pytest.raises(ReadError):
            ondee.open(path)


def test_a_time_that_nanoseconds_cannot_hold_is_refused(tmp_path):
    path = _patch(tmp_path).rename(tmp_path / "sevmos_9999-08-09_18:10:00.npy")
    for act in (lambda: ondee.open(path), lambda: source.granules(path)):
        with pytest.raises(ReadError, match="no time of an observation"):
            act()


# ---- stores and scores


def _configured(folder: Path, **settings) -> Path:
    path = folder / "store.yaml"
    inputs = {"radar": {"paths": ["radar"], "coverage": 0.5, **settings.pop("radar", {})}}
    content = {"grid": {"region": [-4.0, 43.0, 5.0, 50.0]}, "inputs": inputs, "max_rejected": 1, **settings}
    path.write_text(yaml.safe_dump(content))
    return path


def _folder(tmp_path: Path, **files: xr.Dataset) -> None:
    (tmp_path / "radar").mkdir()
    for name, data in files.items():
        _saved(tmp_path / "radar", f"{name}.nc", data)


@pytest.mark.parametrize("day", ["2018-06-04", "2018-06-06"])
def test_a_store_does_not_mix_runs_even_on_different_days(day, tmp_path):
    (tmp_path / "radar").mkdir()
    _imerg(tmp_path / "radar", "2018-06-04T10:00")
    _imerg(tmp_path / "radar", f"{day}T12:00", "Early")
    report = build(_configured(tmp_path))
    assert [entry["reason"] for entry in report.rejected] == ["runs are mixed: Final and Early"]


def test_a_store_does_not_average_channels_of_another_order(tmp_path):
    other = _satellite(("WV_062", "IR_108"), (230.0, 280.0), "2018-06-04T12:15")
    _folder(tmp_path, a=_satellite(), b=other)
    report = build(_configured(tmp_path, radar={"time_coverage": 0.5}))
    assert "channels are mixed" in report.rejected[0]["reason"]
    stored = ondee.open(tmp_path / "store.zarr")["brightness_temperature"]
    assert float(stored.sel(channel="IR_108").min()) == pytest.approx(280.0)


def test_amounts_are_not_averaged(tmp_path):
    frames = radar(np.full((6, *FRANCE.shape), 6.0), start="2018-06-04T12:05")
    amount = to_amount(frames["rain_rate"], frames["time_bounds"])
    _folder(tmp_path, a=frames.drop_vars("rain_rate").assign(rain_amount=amount))
    with pytest.raises(UnitError, match="has no mean"):
        build(_configured(tmp_path))
    build(_configured(tmp_path, radar={"rate": True}), force=True)
    assert float(ondee.open(tmp_path / "store.zarr")["rain_rate"].max()) == pytest.approx(6.0)


def test_two_frames_of_one_label_are_refused(tmp_path):
    _folder(tmp_path, a=radar(showers()), b=radar(showers(seed=1)))
    with pytest.raises(ReadError, match="2 frames bear the label"):
        build(_configured(tmp_path, step=5, radar={"time": "label"}))


def test_inputs_that_cannot_be_read_say_why(tmp_path):
    _folder(tmp_path, a=radar(showers()))
    for words, radar_settings in (
        ("no file of input radar can be read", {"format": "odim"}),
        ("pipe or a device", {"paths": ["/dev/null"]}),
        ("nothing is at", {"paths": ["radar/**a"]}),
    ):
        with pytest.raises(ConfigError, match=words):
            build(_configured(tmp_path, radar=radar_settings))
    with pytest.raises(ConfigError, match="the store cannot be /"):
        build(_configured(tmp_path, store="/"))
    with pytest.raises(GridError, match="too large"):
        build(_configured(tmp_path, grid={"region": [1, 45, 2, 46], "step": 1e-9}))


def test_all_missing_goes_through_everything(tmp_path):
    frames = radar(np.full((12, *FRANCE.shape), np.nan), start="2018-06-04T12:05")
    _folder(tmp_path, a=frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        (entry,) = survey(tmp_path / "radar").products
        assert entry.variables[0].statistics.missing_share == 1.0
        json.dumps(entry.as_dict(), allow_nan=False)
        build(_configured(tmp_path))
        assert np.isnan(ondee.open(tmp_path / "store.zarr")["rain_rate"]).all()
        scores = floor(source.granules(tmp_path / "radar"), replicates=100)
        assert np.isnan(scores["correlation"]).all()


def test_the_floor_does_not_mix_products(tmp_path):
    later = radar(showers(frames=6, seed=1), start="2018-06-04T12:35", product="another radar")
    _folder(tmp_path, a=radar(showers(frames=6), start="2018-06-04T12:05"), b=later)
    with pytest.raises(ReadError, match="products are mixed"):
        floor(source.granules(tmp_path / "radar"), replicates=100)


def test_weather4cast_frames_are_numbered(tmp_path):
    path = _weather4cast(tmp_path)
    assert weather4cast.FORMAT.times((path,)).size == 1
    with pytest.raises(ConfigError, match="frames"):
        ondee.open(path, frames=5)
