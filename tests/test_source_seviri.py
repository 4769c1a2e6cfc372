"""SEVIRI: the real HRIT segments and the real crop, native and NetCDF level 1.5 made here field by field."""

import random
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr

import ondee.source.seviri as seviri
import real
from ondee.errors import ConfigError, GridError, ReadError, StoreError, UnitError
from ondee.grid import Grid
from ondee.source import open as open_any
from ondee.source.cf_grid import geostationary
from ondee.source.hdf5 import MAGIC

HRIT = "seviri/hrit"
CROP = "seviri/seviri_bt_france_20200906_0000-0045.nc"
NATIVE = "MSG4-SEVI-MSG15-0100-NA-20200906004242.722000000Z-NA.nat"
LEVEL15 = "W_XX-EUMETSAT-Darmstadt,VIS+IR+HRV+IMAGERY,MSG4+SEVIRI_C_EUMG_20200906003010.nc"
FORMAT = seviri.FORMAT


def hrit():
    return sorted(real.path(HRIT).iterdir())


def linked(folder, *leave_out):
    """The real segments in a folder of their own, some left out."""
    for path in hrit():
        if not any(word in path.name for word in leave_out):
            (folder / path.name).symlink_to(path)
    return folder


# ---- the real image


@real.needs(HRIT, CROP)
def test_crop_and_segments_agree_where_they_overlap():
    segments = open_any(real.path(HRIT))
    crop = open_any(real.path(CROP), start="2020-09-06T00:30", end="2020-09-06T00:45")
    assert segments.attrs["product"] == crop.attrs["product"] == "SEVIRI"
    np.testing.assert_array_equal(segments["time"], crop["time"])
    np.testing.assert_array_equal(segments["time_bounds"], crop["time_bounds"])
    whole, part = Grid.of(segments), Grid.of(crop)
    assert whole.crs == part.crs or whole.projection.equals(part.projection)
    top, left = (whole.north - part.north) / whole.dy, (part.west - whole.west) / whole.dx
    assert (top, left) == (pytest.approx(273, abs=1e-6), pytest.approx(1523, abs=1e-6))
    block = segments.isel(y=slice(273, 273 + part.ny), x=slice(1523, 1523 + part.nx))
    for channel in ("IR_108", "WV_062"):
        one, two = (data["brightness_temperature"].sel(channel=channel).values for data in (block, crop))
        assert np.isfinite(one).all() and np.isfinite(two).all()
        assert np.abs(one - two).max() < 0.0051


@real.needs(CROP)
def test_crop_facts():
    crop = open_any(real.path(CROP))
    grid = Grid.of(crop)
    assert grid.shape == (434, 867) and grid.dx == pytest.approx(3000.40327858) and grid.is_geostationary
    assert crop["time"].attrs["label"] == "start" and crop.sizes["time"] == 4
    assert crop["channel"].values.tolist() == list(seviri.THERMAL)
    temperature = crop["brightness_temperature"]
    assert temperature.attrs["implausible_count"] == 1524
    assert temperature.attrs["implausible_extreme"] == pytest.approx(-2.97)
    masked = np.isnan(temperature.values)
    assert masked.sum() == 1524 and not masked[:, 1:].any()
    assert (np.nanmin(temperature), np.nanmax(temperature)) == (pytest.approx(205.2), pytest.approx(314.19))
    one = open_any(real.path(CROP), channels="IR_108")
    np.testing.assert_array_equal(one["brightness_temperature"][:, 0], temperature.sel(channel="IR_108"))
    with pytest.raises(ReadError, match="VIS006"):
        open_any(real.path(CROP), channels=("VIS006",))
    with pytest.raises(ConfigError):
        open_any(real.path(CROP), calibration="GSICS")


@real.needs(HRIT)
def test_segments_show_known_geography_and_the_limb():
    image = open_any(real.path(HRIT), channels="IR_108")
    grid = Grid.of(image)
    assert grid.shape == (928, 3712)
    longitude, latitude = grid.longitude_latitude()
    seen = np.isfinite(image["brightness_temperature"].values[0, 0])
    assert seen.sum() == 1915005 and not (seen & ~np.isfinite(longitude)).any()
    assert seen.sum() / np.isfinite(longitude).sum() > 0.99

    def median(west, south, east, north):
        box = (longitude > west) & (longitude < east) & (latitude > south) & (latitude < north)
        return float(np.nanmedian(image["brightness_temperature"].values[0, 0][box]))

    # A clear September night: the sea is warm, the land and the Alps are not. Mirrored columns would turn this over.
    assert median(4, 41, 6.5, 42.5) > 292 > 287 > median(-6.5, 41, -4, 42.5)
    assert median(8, 43, 9.5, 44) > 291 > 283 > median(7, 46, 10, 46.8)


@real.needs(HRIT)
def test_lines_carry_their_true_time():
    image = open_any(real.path(HRIT), region=(-5.0, 42.0, 8.0, 51.0))
    offset = image["scan_offset"]
    assert offset.dims == ("time", "y") and offset.attrs["units"] == "s"
    # Europe is seen 10 to 12 min after the nominal start, from south to north, a line in 0.2 s.
    assert 600 < float(offset.min()) < float(offset.max()) < 720
    assert (np.diff(offset.values[0]) <= 0).all()
    assert (offset.values[0, 0] - offset.values[0, -1]) / offset.sizes["y"] == pytest.approx(0.2, rel=0.05)


@real.needs(HRIT)
def test_region_gives_the_same_numbers_and_opens_only_its_segment(monkeypatch):
    whole = open_any(real.path(HRIT))
    opened = []
    original = seviri.image
    monkeypatch.setattr(
        seviri, "image", lambda paths, *rest, **more: opened.append(paths) or original(paths, *rest, **more)
    )
    part = open_any(real.path(HRIT), region=(2.0, 46.0, 4.0, 48.0))
    assert all("000008" in path.name for paths in opened for path in paths[:2])
    same = whole.sel(y=part["y"], x=part["x"], method="nearest")
    for name in ("brightness_temperature", "scan_offset"):
        np.testing.assert_array_equal(part[name].values, same[name].values)
    with pytest.raises(GridError):
        open_any(real.path(HRIT), region=(2.0, -30.0, 4.0, -20.0))


@real.needs(HRIT)
def test_absent_segments_are_missing_or_not_in_the_grid(tmp_path):
    whole = open_any(real.path(HRIT))
    only = open_any(linked(tmp_path, "000007"))
    assert Grid.of(only).shape == (464, 3712)
    np.testing.assert_array_equal(only["brightness_temperature"], whole["brightness_temperature"][..., :464, :])
    (tmp_path / "two").mkdir()
    holed = open_any(linked(tmp_path / "two", "WV_062___-000007"))
    assert Grid.of(holed).shape == (928, 3712)
    values = holed["brightness_temperature"].sel(channel="WV_062").values[0]
    assert np.isnan(values[464:]).all() and np.isfinite(values[400:464]).any()
    # The detectors of two channels see a line a few tenths of a second apart.
    np.testing.assert_allclose(holed["scan_offset"], whole["scan_offset"], atol=1.0)


@real.needs(HRIT)
@pytest.mark.parametrize(
    ("leave_out", "said"),
    [(("PRO",), "-PRO"), (("EPI",), "-EPI"), (("IR_108", "WV_062"), "no segment")],
)
def test_missing_files_of_a_slot_are_named(tmp_path, leave_out, said):
    linked(tmp_path, *leave_out)
    with pytest.raises(ReadError) as caught:
        open_any(tmp_path)
    assert said in str(caught.value) and "202009060030" in str(caught.value)


@real.needs(HRIT)
def test_cut_segments_prologues_and_epilogues_are_refused(tmp_path):
    generator = random.Random(11)
    linked(tmp_path)
    for word, times in (("IR_108___-000008", 10), ("PRO", 5), ("EPI", 5)):
        path = next(path for path in tmp_path.iterdir() if word in path.name)
        raw = path.read_bytes()
        for length in generator.sample(range(len(raw)), times):
            path.unlink()
            path.write_bytes(raw[:length])
            with pytest.raises(ReadError) as caught:
                open_any(tmp_path, region=(2.0, 46.0, 4.0, 48.0))
            assert "cut" in caught.value.fix
        path.write_bytes(raw)
    open_any(tmp_path, region=(2.0, 46.0, 4.0, 48.0))


@real.needs(HRIT)
def test_mixed_slots_and_compressed_segments_are_refused(tmp_path):
    for path in hrit():
        shutil.copy(path, tmp_path / path.name.replace("202009060030", "202009060045"))
    with pytest.raises(ReadError, match="0045"):
        open_any(tmp_path)
    (tmp_path / "packed").mkdir()
    for path in hrit():
        segment = "IR_108" in path.name or "WV_062" in path.name
        target = path.name[:-2] + "C_" if segment else path.name
        (tmp_path / "packed" / target).symlink_to(path)
    with pytest.raises(ConfigError) as caught:
        open_any(tmp_path / "packed")
    assert "wavelet" in caught.value.what and "pip install pyPublicDecompWT" in caught.value.fix


@real.needs(HRIT)
def test_options_are_checked(tmp_path):
    with pytest.raises(ConfigError, match="HRV"):
        open_any(real.path(HRIT), channels="HRV")
    with pytest.raises(ReadError, match="IR_120"):
        open_any(real.path(HRIT), channels=("IR_120",))
    with pytest.raises(ConfigError, match="calibration"):
        open_any(real.path(HRIT), calibration="guess")
    region = (2.0, 46.0, 4.0, 48.0)
    nominal, gsics = (open_any(real.path(HRIT), region=region, calibration=kind) for kind in ("nominal", "GSICS"))
    difference = np.abs(nominal["brightness_temperature"] - gsics["brightness_temperature"])
    assert 0.01 < float(difference.max()) < 2.0


def test_without_satpy_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "satpy", None)
    (tmp_path / NATIVE).write_bytes(b"FormatName                  : NATIVE")
    with pytest.raises(ConfigError) as caught:
        FORMAT.read((tmp_path / NATIVE,))
    assert caught.value.fix == "pip install 'ondee[seviri]'"


@real.needs(HRIT, CROP)
def test_no_crash_at_exit_with_everything_open(tmp_path):
    code = f"""
import h5py, ondee.source
held = h5py.File({str(real.path(CROP))!r})
ondee.source.open({str(real.path(CROP))!r}, channels="IR_108")
ondee.source.open({str(real.path(HRIT))!r}, region=(2.0, 46.0, 4.0, 48.0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ---- native, made field by field


def native(folder, *, channels="--------X---", first_line=3301, first_column=1601, lines=24, columns=40):
    """A native file of IR_108 (or more) with counts that tell their line and column; rows from the south."""
    header_module = pytest.importorskip("satpy.readers.seviri_l1b_native_hdr")
    header = np.zeros(1, dtype=header_module.get_native_header(True))
    header["15_MAIN_PRODUCT_HEADER"]["FormatName"] = (b"FormatName                  : ", b"NATIVE\n")
    header["15_MAIN_PRODUCT_HEADER"]["QQOV"] = (b"QQOV                        : ", b"OK\n")
    texts = {
        "SelectedBandIDs": channels,
        "SouthLineSelectedRectangle": first_line,
        "NorthLineSelectedRectangle": first_line + lines - 1,
        "EastColumnSelectedRectangle": first_column,
        "WestColumnSelectedRectangle": first_column + columns - 1,
        "NumberLinesVISIR": lines,
        "NumberColumnsVISIR": columns,
        "NumberLinesHRV": 3 * lines,
        "NumberColumnsHRV": 3 * columns,
    }
    for name, value in texts.items():
        header["15_SECONDARY_PRODUCT_HEADER"][name] = (name.encode(), str(value).encode())
    data = header["15_DATA_HEADER"]
    data["SatelliteStatus"]["SatelliteDefinition"]["SatelliteId"] = 324
    data["GeometricProcessing"]["EarthModel"] = (2, 6378.169, 6356.5838, 6356.5838)
    day = 22894  # 2020-09-06 after 1958-01-01
    cycle = data["ImageAcquisition"]["PlannedAcquisitionTime"]
    cycle["TrueRepeatCycleStart"] = (day, 30 * 60_000 + 10_000, 0, 0)
    cycle["PlannedRepeatCycleEnd"] = (day, 45 * 60_000 + 10_000, 0, 0)
    grid = data["ImageDescription"]["ReferenceGridVIS_IR"]
    grid["ColumnDirGridStep"] = grid["LineDirGridStep"] = 3.0004031658172607
    grid["GridOrigin"] = 2
    data["ImageDescription"]["Level15ImageProduction"]["PlannedChanProcessing"] = 2
    slope, offset = 0.20503568, -10.456819
    data["RadiometricProcessing"]["Level15ImageCalibration"]["CalSlope"] = slope
    data["RadiometricProcessing"]["Level15ImageCalibration"]["CalOffset"] = offset

    count = channels.count("X")
    counts = 300 + (np.arange(lines)[:, None] * columns + np.arange(columns)) % 500
    record = np.dtype(
        [
            ("head", "u1", 22 + 16 + 1 + 2 + 10 + 4 + 1),
            ("days", ">u2"),
            ("milliseconds", ">u4"),
            ("flags", "u1", 3),
            ("line", "u1", columns * 5 // 4),
        ]
    )
    body = np.zeros((lines, count), dtype=record)
    body["days"] = day
    body["milliseconds"] = (40 * 60_000 + 300 * np.arange(lines))[:, None]
    bits = ((counts[:, :, None] >> np.arange(9, -1, -1)) & 1).astype(np.uint8).reshape(lines, -1)
    body["line"] = np.packbits(bits, axis=1)[:, None]
    trailer = np.zeros(1, dtype=header_module.native_trailer)
    path = folder / NATIVE
    path.write_bytes(header.tobytes() + body.tobytes() + trailer.tobytes())
    return path, counts, (slope, offset)


def planck(counts, slope, offset):
    """Brightness temperature of spectral radiance, MSG-4 IR_108 with its effective wave number, slope and offset."""
    radiance = counts * slope + offset
    wave, first, second = 930.659, 1.19104273e-5, 1.43877523
    return (second * wave / np.log(1 + wave**3 * first / radiance) - 0.6256) / 0.9983


def test_native_image_is_turned_north_up_with_its_coordinates(tmp_path):
    path, counts, coefficients = native(tmp_path)
    assert FORMAT.recognise(path, path.read_bytes()[:512])
    assert FORMAT.times((path,)).tolist() == [np.datetime64("2020-09-06T00:30", "ns").item()]
    image = open_any(path)
    grid = Grid.of(image)
    # Line 1857 and column 1857, counted from the south-east, hold the sub-satellite point (EUM/MSG/ICD/105, 3.1.4.2).
    step = 3000.4031658172607
    assert grid.shape == counts.shape and grid.crs == Grid(geostationary(0), 0, 0, 1, 1, 1, 1).crs
    assert grid.y[-1] == pytest.approx((3301 - 1856) * step, abs=1.0)
    assert grid.x[-1] == pytest.approx((1856 - 1601) * step, abs=1.0)
    values = image["brightness_temperature"].values[0, 0]
    np.testing.assert_allclose(values, planck(counts, *coefficients)[::-1, ::-1], atol=0.1)
    order = [np.argsort(plane.ravel(), kind="stable") for plane in (counts, values[::-1, ::-1])]
    np.testing.assert_array_equal(*order)
    np.testing.assert_allclose(image["scan_offset"].values[0], 600 + 0.3 * np.arange(24)[::-1], atol=1e-3)
    assert (np.diff(image["time_bounds"].values) == np.timedelta64(15, "m")).all()
    with pytest.raises(ConfigError, match="native"):
        open_any(path, mask_bad_lines=True)


def test_reflectance_is_a_fraction_and_keeps_to_its_channels(tmp_path):
    path, _, _ = native(tmp_path, channels="X-------X---")
    both = open_any(path, channels=("VIS006", "IR_108"))
    assert both["reflectance"].attrs["units"] == "1"
    assert np.isnan(both["reflectance"].sel(channel="IR_108")).all()
    assert np.isnan(both["brightness_temperature"].sel(channel="VIS006")).all()
    import satpy

    scene = satpy.Scene(reader="seviri_l1b_native", filenames=[str(path)])
    scene.load(["VIS006"])
    percent = scene["VIS006"].values[::-1, ::-1] / 100
    expected = np.where((percent >= 0) & (percent <= 1.6), percent, np.nan)
    np.testing.assert_allclose(both["reflectance"].sel(channel="VIS006").values[0], expected, rtol=1e-6)
    assert list(open_any(path).data_vars) == ["brightness_temperature", "scan_offset"]


def test_cut_and_renamed_native_files_are_refused(tmp_path):
    path, _, _ = native(tmp_path)
    raw = path.read_bytes()
    for length in random.Random(6).sample(range(len(raw)), 20):
        path.write_bytes(raw[:length])
        with pytest.raises(ReadError):
            FORMAT.read((path,))
    other = tmp_path / "image.nat"
    other.write_bytes(raw)
    assert FORMAT.recognise(other, raw[:512])
    with pytest.raises(ReadError, match="renamed"):
        FORMAT.read((other,))


# ---- level-1.5 NetCDF, made field by field


def level15(folder, lines=20, columns=24):
    """A level-1.5 NetCDF of IR_108 whose third line from the south is bad; south and west first."""
    bands = ("num_rows_vis_ir", "channels_vis_ir_dim")
    counts = (300 + np.arange(lines * columns).reshape(lines, columns) % 500).astype(np.uint16)
    milliseconds = np.repeat(40 * 60_000 + 300 * np.arange(lines)[:, None], 11, axis=1)
    validity, quality = np.ones((lines, 11), np.int16), np.ones((lines, 11), np.int16)
    validity[2], quality[2] = 3, 4
    prefix = "channel_data_visir_data_"
    days = np.full((lines, 11), 22894)
    attributes = {"scale_factor": 0.20503568, "add_offset": -10.456819, "comment": "", "long_name": "", "valid_min": 0}
    file = xr.Dataset(
        {
            "ch9": (("num_rows_vis_ir", "num_columns_vis_ir"), counts, {**attributes, "valid_max": 1023}),
            "planned_chan_processing": ("channels_dim", np.full(12, 2)),
            f"{prefix}l10_line_mean_acquisition_time_day": (bands, days),
            f"{prefix}l10_line_mean_acquisition_msec": (bands, milliseconds),
            f"{prefix}line_validity": (bands, validity),
            f"{prefix}line_geometric_quality": (bands, quality),
            f"{prefix}line_radiometric_quality": (bands, quality),
            **{f"orbit_polynomial_{axis}": (("rows", "terms"), np.zeros((2, 8))) for axis in "xyz"},
            **{
                f"orbit_polynomial_{end}_time_{what}": ("rows", np.zeros(2, int))
                for end in ("start", "end")
                for what in ("day", "msec")
            },
        },
        attrs={
            "equatorial_radius": 6378.169,
            "north_polar_radius": 6356.5838,
            "south_polar_radius": 6356.5838,
            "longitude_of_SSP": 0.0,
            "nominal_longitude": 0.0,
            "satellite_id": 324,
            "true_repeat_cycle_start_day": 22894,
            "true_repeat_cycle_start_mi_sec": 30 * 60_000 + 10_000,
            "planned_repeat_cycle_end_day": 22894,
            "planned_repeat_cycle_end_mi_sec": 45 * 60_000 + 10_000,
            "south_most_line": 3301,
            "north_most_line": 3300 + lines,
            "east_most_pixel": 1601,
            "west_most_pixel": 1600 + columns,
            "vis_ir_grid_origin": "0x02",
            "vis_ir_column_dir_grid_step": 3.0004031658172607,
            "vis_ir_line_dir_grid_step": 3.0004031658172607,
            "type_of_earth_model": "0x02",
            "nominal_image_scanning": "T",
        },
    )
    path = folder / LEVEL15
    file.to_netcdf(path, engine="h5netcdf")
    return path, counts


def test_level15_netcdf_loses_its_bad_line_and_no_other(tmp_path):
    pytest.importorskip("satpy")
    path, counts = level15(tmp_path)
    assert FORMAT.recognise(path, MAGIC)
    image = open_any(path)
    values = image["brightness_temperature"].values[0, 0]
    # Rows come from the south in the file: its third line is the third from below here.
    lost = np.isnan(values).all(axis=1)
    assert np.flatnonzero(lost).tolist() == [counts.shape[0] - 3]
    whole = open_any(path, mask_bad_lines=False)["brightness_temperature"].values[0, 0]
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(values[~lost], whole[~lost])
    np.testing.assert_array_equal(
        np.argsort(whole[::-1].ravel(), kind="stable"), np.argsort(counts.ravel(), kind="stable")
    )
    np.testing.assert_allclose(image["scan_offset"].values[0], 600 + 0.3 * np.arange(20)[::-1], atol=1e-3)
    grid = Grid.of(image)
    assert grid.y[-1] == pytest.approx((3301 - 1856) * 3000.4031658, abs=1.0)
    assert grid.x[-1] == pytest.approx((1856 - 1601) * 3000.4031658, abs=1.0)
    with pytest.raises(ConfigError, match="nominal"):
        open_any(path, calibration="GSICS")


def test_cut_level15_netcdf_is_refused(tmp_path):
    pytest.importorskip("satpy")
    path, _ = level15(tmp_path)
    raw = path.read_bytes()
    for length in random.Random(7).sample(range(len(raw)), 20):
        path.write_bytes(raw[:length])
        with pytest.raises(ReadError):
            FORMAT.read((path,))


# ---- the writer


def image_of(values):
    from ondee.source.assembly import Variable, assemble

    times = np.array(["2020-09-06T00:30", "2020-09-06T00:45"], "datetime64[ns]")
    return assemble(
        {"brightness_temperature": Variable(values), "scan_offset": Variable(np.full((2, 6), 640.2, np.float32))},
        Grid(geostationary(0.0), -1e6, 4.7e6, 3000.4031658172607, 3000.4031658172607, 7, 6),
        times,
        np.stack([times, times + np.timedelta64(15, "m")], axis=1),
        label="start",
        product="SEVIRI",
        where="memory",
        channels=("WV_062", "IR_108"),
    )


def test_written_image_comes_back_within_its_packing_and_then_exactly(tmp_path):
    values = np.random.default_rng(1).uniform(200, 300, (2, 2, 6, 7)).astype(np.float32)
    values[0, 0, 0, 0] = np.nan
    dataset = image_of(values)
    path = tmp_path / "seviri.nc"
    seviri.write(path, dataset)
    assert FORMAT.recognise(path, MAGIC)
    once = open_any(path)
    difference = np.abs(once["brightness_temperature"] - dataset["brightness_temperature"])
    assert float(difference.max()) <= 0.00502 and np.isnan(once["brightness_temperature"].values[0, 0, 0, 0])
    seviri.write(tmp_path / "again.nc", once)
    xr.testing.assert_identical(open_any(tmp_path / "again.nc"), once)
    np.testing.assert_array_equal(once["scan_offset"], dataset["scan_offset"])
    with h5py.File(path) as file:
        assert file["bt"].dtype == np.int16 and file["bt"].attrs["_FillValue"] == -32768
        assert "+proj=geos" in file.attrs["proj4"]
    with xr.open_dataset(path, engine="h5netcdf") as anyone:
        np.testing.assert_allclose(anyone["bt"], once["brightness_temperature"], atol=1e-4)
        assert anyone["bt"].attrs["standard_name"] == "toa_brightness_temperature"


def test_writer_refuses_what_it_must(tmp_path):
    dataset = image_of(np.full((2, 2, 6, 7), 250.0, np.float32))
    path = tmp_path / "seviri.nc"
    seviri.write(path, dataset)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="exists"):
        seviri.write(path, dataset)
    assert path.read_bytes() == before
    seviri.write(path, dataset, force=True)
    with pytest.raises(StoreError):
        seviri.write(tmp_path / "nowhere" / "seviri.nc", dataset)
    dataset["brightness_temperature"].attrs["units"] = "degC"
    with pytest.raises(UnitError):
        seviri.write(tmp_path / "other.nc", dataset)
    assert sorted(child.name for child in tmp_path.iterdir()) == ["seviri.nc"]
