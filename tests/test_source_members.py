"""Ensembles: files with members read into one vocabulary, and what works on single fields met with many."""

from io import StringIO
from itertools import permutations

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

import ondee
import ondee.plot.map as maps
from archives import radar as quarters
from ondee.building import build
from ondee.collocation import mask_by_quality, means, overpass, references, regrid, with_interval
from ondee.command.look import look
from ondee.errors import ConfigError, ReadError
from ondee.facts import facts, survey
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.output import write_netcdf
from ondee.plot.map import draw_map, one_frame
from ondee.source import cf, granules
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.terminal import show_survey
from ondee.units import to_amount, to_rate
from ondee.validation.floor import floor

GRID = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.05, 0.05, 12, 8)


def stamps(steps, start="2018-06-04T12:00"):
    return np.datetime64(start, "ns") + np.arange(steps) * np.timedelta64(5, "m")


def drops(steps=3, members=4, seed=0):
    """Rain ``(time, member, y, x)``: dry, wet, and pixels that some members do not know."""
    rng = np.random.default_rng(seed)
    shape = (steps, members, *GRID.shape)
    rain = np.where(rng.random(shape) < 0.4, rng.gamma(0.7, 3.0, shape), 0.0)
    rain[:, :, 0, :3] = np.nan
    rain[0, -1, 1, 1] = np.nan
    return rain.astype(np.float32)


def ensemble(rain=None, *, numbers=None, start="2018-06-04T12:00", quality=None):
    """The Dataset that a reader gives."""
    rain = drops() if rain is None else rain
    times = stamps(len(rain), start)
    data = {"rain_rate": Variable(rain, layer="member")}
    if quality is not None:
        data["quality"] = Variable(quality, layer="member")
    made = range(rain.shape[1]) if numbers is None else numbers
    bounds = time_bounds(times, 5, "start")
    return assemble(data, GRID, times, bounds, label="start", product="estimate", where="test", members=made)


def foreign(rain=None, *, name="member", numbers=None, along=None, **attributes):
    """The file of somebody else: latitude and longitude, no word about its members but a name."""
    rain = drops() if rain is None else rain
    made = xr.Dataset(
        {"rain": (("time", name, "lat", "lon"), rain, {"units": "mm/h"})},
        coords={
            "time": stamps(len(rain)),
            "lat": ("lat", GRID.y, {"units": "degrees_north"}),
            "lon": ("lon", GRID.x, {"units": "degrees_east"}),
        },
    )
    return made if numbers is None else made.assign_coords({along or name: (name, numbers, attributes)})


def written(folder, dataset, name="file.nc"):
    path = folder / name
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


def plain(dataset):
    """Values and coordinates, without the attributes of the files."""
    return dataset["rain_rate"].values, dataset["rain_rate"].dims, dataset["member"].values.tolist()


# ---- reading


@pytest.mark.parametrize("order", list(permutations(("time", "member", "lat", "lon"))), ids="-".join)
def test_any_order_of_the_dimensions_is_read_the_same(tmp_path, order):
    found = ondee.open(written(tmp_path, foreign(numbers=[3, 1, 4, 7]).transpose(*order)))
    assert found["rain_rate"].dims == ("time", "member", "y", "x")
    np.testing.assert_array_equal(found["rain_rate"].values, drops())
    assert found["member"].values.tolist() == [3, 1, 4, 7] and found["member"].dtype == np.int64
    assert found["member"].attrs["standard_name"] == "realization"


def test_rows_from_the_south_are_turned_in_every_member(tmp_path):
    found = ondee.open(written(tmp_path, foreign().isel(lat=slice(None, None, -1), lon=slice(None, None, -1))))
    np.testing.assert_array_equal(found["rain_rate"].values, drops())


@pytest.mark.parametrize("name", ["member", "realization", "ensemble", "number", "ens", "Ensemble_Member"])
@pytest.mark.parametrize("count", [1, 4])
def test_the_usual_names_mean_members(tmp_path, name, count):
    rain = drops(members=count)
    bare = ondee.open(written(tmp_path, foreign(rain, name=name), "bare.nc"))
    numbered = ondee.open(written(tmp_path, foreign(rain, name=name, numbers=np.arange(count) + 1.0), "numbered.nc"))
    assert plain(bare)[1:] == (("time", "member", "y", "x"), list(range(count)))
    assert plain(numbered)[1:] == (("time", "member", "y", "x"), list(range(1, count + 1)))
    np.testing.assert_array_equal(bare["rain_rate"].values, rain)


def test_the_standard_name_means_members_whatever_the_dimension_is_called(tmp_path):
    settings = {"name": "run", "numbers": [2, 4, 6, 8], "standard_name": "realization"}
    for along in ("run", "which"):
        found = ondee.open(written(tmp_path, foreign(**settings, along=along), f"{along}.nc"))
        assert found["member"].values.tolist() == [2, 4, 6, 8]
        assert "variables_not_read" not in found.attrs
    assert ondee.open(written(tmp_path, foreign(name="run"), "no.nc"))["rain_rate"].dims[1] == "channel"


@pytest.mark.parametrize("numbers", [["a", "b", "c", "d"], [0.5, 1.0, 2.0, 3.0], [0.0, 1.0, np.nan, 3.0]])
def test_members_without_whole_numbers_are_refused(tmp_path, numbers):
    path = written(tmp_path, foreign(numbers=numbers))
    with pytest.raises(ReadError, match="no whole numbers"):
        ondee.open(path)


def test_two_members_of_one_number_are_refused(tmp_path):
    path = written(tmp_path, foreign(numbers=[1, 2, 2, 3]))
    with pytest.raises(ReadError, match="2 members have the number 2"):
        ondee.open(path)


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(ReadError, match=r"rain_rate has shape .* its coordinates say"):
        ensemble(numbers=[0, 1])
    with pytest.raises(ReadError, match="its coordinates say"):
        ensemble(numbers=[])


def test_members_beside_another_dimension_are_refused(tmp_path):
    path = written(tmp_path, foreign().expand_dims(step=2))
    with pytest.raises(ReadError, match="at most one beside them"):
        ondee.open(path)


def test_quantities_of_different_members_are_refused(tmp_path):
    made = foreign(numbers=[0, 1, 2, 3])
    quality = (("time", "ens", "lat", "lon"), np.ones((3, 2, *GRID.shape), np.float32), {"units": "1"})
    path = written(tmp_path, made.assign(quality=quality))
    with pytest.raises(ReadError, match="different members"):
        ondee.open(path)
    assert "quality" not in ondee.open(path, names={"quality": None})


def test_channels_and_members_may_stand_in_one_file(tmp_path):
    warm = np.full((3, 2, *GRID.shape), 250, np.float32)
    image = (("time", "channel", "lat", "lon"), warm, {"units": "K"})
    made = foreign().assign(brightness_temperature=image).assign_coords(channel=["IR_108", "WV_062"])
    found = ondee.open(written(tmp_path, made))
    assert found["rain_rate"].dims[1] == "member" and found["brightness_temperature"].dims[1] == "channel"
    assert found["channel"].values.tolist() == ["IR_108", "WV_062"]


def test_fill_values_and_packing_are_those_of_every_member(tmp_path):
    made = foreign()
    encoding = {"rain": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1, "zlib": True}}
    made.to_netcdf(tmp_path / "packed.nc", engine="h5netcdf", encoding=encoding)
    packed = ondee.open(tmp_path / "packed.nc")
    np.testing.assert_allclose(packed["rain_rate"].values, drops(), atol=0.0051)
    assert packed["rain_rate"].encoding["scale_factor"] == 0.01
    made.to_netcdf(tmp_path / "filled.nc", engine="h5netcdf", encoding={"rain": {"_FillValue": np.float32(-9)}})
    np.testing.assert_array_equal(ondee.open(tmp_path / "filled.nc")["rain_rate"].values, drops())


# ---- one member


def test_one_member_is_read_alone_and_stays_known(tmp_path):
    for name, numbers in (("bare.nc", None), ("numbered.nc", [5, 6, 7, 8])):
        path = written(tmp_path, foreign(numbers=numbers), name)
        wanted = 2 if numbers is None else 7
        found = ondee.open(path, member=wanted)
        assert found["rain_rate"].dims == ("time", "y", "x") and int(found["member"]) == wanted
        np.testing.assert_array_equal(found["rain_rate"].values, drops()[:, 2])
        again = ondee.open(write_netcdf(found, tmp_path / f"one_{name}"))
        xr.testing.assert_identical(found, again)
    with pytest.raises(ConfigError, match="there is no member 4"):
        ondee.open(path, member=4)
    with pytest.raises(ConfigError, match="whole number"):
        ondee.open(path, member="first")
    with pytest.raises(ConfigError, match="no ensemble"):
        ondee.open(written(tmp_path, foreign().isel(member=0), "field.nc"), member=0)


# ---- writing and joining


@pytest.mark.parametrize(
    "encoding",
    [{}, {"rain_rate": {"dtype": "float32", "zlib": True, "complevel": 4, "chunksizes": (1, 4, 8, 12)}}],
    ids=["plain", "compressed"],
)
def test_what_is_written_is_read_again(tmp_path, encoding):
    first = ondee.open(written(tmp_path, foreign(numbers=[3, 1, 4, 7])))
    second = ondee.open(write_netcdf(first, tmp_path / "again.nc", **encoding))
    xr.testing.assert_identical(first, second)
    assert second["rain_rate"].dtype == np.float32 and Grid.of(second) == Grid.of(first)
    first.to_zarr(tmp_path / "again.zarr", consolidated=False, zarr_format=2)
    xr.testing.assert_identical(first, ondee.open(tmp_path / "again.zarr"))


def test_files_are_joined_in_time(tmp_path):
    whole = drops(steps=5)
    write_netcdf(ensemble(whole[:2]), tmp_path / "a.nc")
    write_netcdf(ensemble(whole[2:], start="2018-06-04T12:10"), tmp_path / "b.nc")
    xr.testing.assert_identical(ondee.open(tmp_path), ensemble(whole))
    xr.testing.assert_identical(
        ondee.open(tmp_path, start="2018-06-04T12:05", end="2018-06-04T12:15"), ensemble(whole).isel(time=slice(1, 3))
    )


@pytest.mark.parametrize("numbers", [[0, 1, 2], [4, 5, 6, 7], [3, 2, 1, 0], [0, 1, 2, 4]])
def test_other_members_are_not_joined(tmp_path, numbers):
    write_netcdf(ensemble(), tmp_path / "a.nc")
    other = ensemble(drops(members=len(numbers)), numbers=numbers, start="2018-06-04T13:00")
    write_netcdf(other, tmp_path / "b.nc")
    with pytest.raises(ReadError, match=r"members are mixed: 4 \(0 to 3\) and "):
        ondee.open(tmp_path)
    assert len(survey(tmp_path).products) == 2


def test_one_field_is_not_joined_to_an_ensemble(tmp_path):
    write_netcdf(ensemble(), tmp_path / "a.nc")
    late = ensemble(start="2018-06-04T13:00")
    write_netcdf(late.isel(member=2), tmp_path / "b.nc")
    write_netcdf(late.isel(member=2, drop=True), tmp_path / "c.nc")
    for name, words in (("b.nc", "one [(]2[)]"), ("c.nc", "none")):
        with pytest.raises(ReadError, match=f"members are mixed: .* and {words}"):
            ondee.open(tmp_path / "a.nc", tmp_path / name)


def test_a_variable_with_members_is_not_joined_to_one_without(tmp_path):
    ones = np.ones((3, 4, *GRID.shape), np.float32)
    write_netcdf(ensemble(quality=ones), tmp_path / "a.nc")
    write_netcdf(ensemble(quality=ones[:, 0], start="2018-06-04T13:00"), tmp_path / "b.nc")
    with pytest.raises(ReadError, match="quality has the dimensions"):
        ondee.open(tmp_path)


# ---- memory


def test_pieces_hold_fewer_frames_the_more_members_there_are(tmp_path):
    path = written(tmp_path, foreign(drops(steps=40, members=16)))
    (granule,) = granules(path)
    pieces = granule.pieces()
    assert granule.members == 16 and [piece.times.size for piece in pieces] == [6] * 6 + [4]
    assert [piece.times.size for piece in granule.pieces(20)] == [20, 20]
    np.testing.assert_array_equal(pieces[1].read()["rain_rate"].values, drops(steps=40, members=16)[6:12])
    (one,) = granules(path, member=3)
    assert one.members == 1 and one.pieces() == [one]
    (field,) = granules(written(tmp_path, quarters(stamps(5)), "field.nc"))
    assert field.members == 1


def test_single_precision_without_a_fill_is_not_copied():
    raw = drops()
    assert cf.decoded(raw, {"units": "mm h-1"}, "rain_rate", units=None, where="test").values is raw
    attributes = {"units": "mm h-1", "_FillValue": np.float32(0)}
    made = cf.decoded(raw, attributes, "rain_rate", units=None, where="test").values
    assert np.isnan(made[raw == 0]).all() and not np.isnan(raw[raw == 0]).any()


# ---- looking


def test_facts_are_over_all_members(tmp_path):
    rain, quality = drops(), np.full((3, *GRID.shape), 0.4, np.float32)
    found = facts(write_netcdf(ensemble(rain, quality=quality), tmp_path / "a.nc"))
    entry = found.variables[0]
    assert (found.members, found.frames, entry.channels) == (4, 3, {}) and found.as_dict()["members"] == 4
    assert entry.dims == ("time", "member", "y", "x")
    assert entry.statistics.maximum == np.nanmax(rain)
    assert entry.statistics.mean == pytest.approx(np.nanmean(rain, dtype=float), rel=1e-6)
    assert entry.statistics.missing_share == pytest.approx(np.isnan(rain).mean())
    assert entry.statistics.wet_fraction == pytest.approx((rain >= 0.1).sum() / np.isfinite(rain).sum())
    assert entry.removed_by_quality == {"0.2": 0.0, "0.5": 1.0, "0.8": 1.0}
    assert facts(written(tmp_path, quarters(stamps(2)), "field.nc")).members is None


def test_quality_of_each_member_is_counted_with_it(tmp_path):
    rain = np.ones((1, 2, *GRID.shape), np.float32)
    quality = np.stack([np.full(GRID.shape, 0.1), np.full(GRID.shape, 0.9)])[None].astype(np.float32)
    (entry, _) = facts(write_netcdf(ensemble(rain, quality=quality), tmp_path / "a.nc")).variables
    assert entry.removed_by_quality == {"0.2": 0.5, "0.5": 0.5, "0.8": 0.5}


def test_the_map_is_of_the_first_member_and_says_so(tmp_path, monkeypatch):
    rain = drops()
    rain[1, 0] = 3.0  # the rainiest frame of the first member, not of the others
    path = write_netcdf(ensemble(rain, numbers=[2, 3, 4, 5]), tmp_path / "a.nc")
    found = look([path], png=tmp_path / "a.png")
    preview = found.products[0].preview
    np.testing.assert_array_equal(preview.values, rain[1, 0])
    assert "member 2 of 4" in maps._title(preview, 200)
    console = Console(width=100, record=True, file=StringIO())
    show_survey(found, console)
    told = console.export_text()
    assert "members" in told and "member 2 of 4" in told
    (other,) = survey(path, member=4).products
    assert other.members is None and "member 4" in maps._title(other.preview, 200)
    assert other.variables[0].statistics.maximum == np.nanmax(rain[:, 2])


def test_a_map_is_of_one_member():
    made = ensemble(numbers=[2, 3, 4, 5])
    for field in (made["rain_rate"], made["rain_rate"].isel(time=0)):
        with pytest.raises(ConfigError, match="a map needs"):
            draw_map(field)
    first, third = one_frame(made), one_frame(made, member=4)
    np.testing.assert_array_equal(first.values, drops()[0, 0])
    np.testing.assert_array_equal(third.values, drops()[0, 2])
    assert draw_map(third).axes[0].get_title(loc="left").count("member 4 of 4") == 1
    with pytest.raises(ConfigError, match="there is no member 0"):
        one_frame(made, member=0)
    with pytest.raises(ConfigError, match="has no members"):
        one_frame(made.isel(member=0, drop=True), member=0)


# ---- bringing together: every member as if it were alone


def each(work, dataset):
    """Members one by one."""
    alone = [work(dataset.isel(member=number, drop=True)) for number in range(dataset.sizes["member"])]
    return {str(name): np.stack([part[name].values for part in alone], axis=1) for name in alone[0].data_vars}


TARGET = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.1, 0.1, 6, 4)
SHARED = np.linspace(0, 1, 3 * GRID.ny * GRID.nx, dtype=np.float32).reshape(3, *GRID.shape)


@pytest.mark.parametrize(
    "work",
    [
        lambda rain: regrid(rain, TARGET, coverage=0.5, statistics=True),
        lambda rain: means(rain, ["2018-06-04T12:00"], length=np.timedelta64(15, "m"), time_coverage=0.6),
        lambda rain: with_interval(rain, 10, "end"),
        lambda rain: to_rate(to_amount(rain["rain_rate"], rain["time_bounds"]), rain["time_bounds"]).to_dataset(),
    ],
    ids=["regrid", "means", "with_interval", "units"],
)
def test_every_member_is_treated_as_if_it_were_alone(work):
    made = work(ensemble(numbers=[2, 3, 4, 5]))
    assert made["rain_rate"].dims == ("time", "member", "y", "x")
    assert made["member"].values.tolist() == [2, 3, 4, 5] and made["member"].attrs["standard_name"] == "realization"
    for name, values in each(work, ensemble()).items():
        np.testing.assert_array_equal(made[name].values, values, err_msg=name)


def test_a_quality_without_members_holds_for_all():
    made = mask_by_quality(ensemble(quality=SHARED), 0.5)
    assert made["rain_rate"].dims == ("time", "member", "y", "x") and made["quality"].dims == ("time", "y", "x")
    wanted = np.where(SHARED[:, None] < 0.5, np.nan, drops())
    np.testing.assert_array_equal(made["rain_rate"].values, wanted)
    lost = np.isfinite(drops()).sum() - np.isfinite(wanted).sum()
    assert made["rain_rate"].attrs["pixels_removed_by_quality"] == lost


def test_a_quality_of_members_is_refused_for_a_rain_without():
    made = ensemble(quality=np.repeat(SHARED[:, None], 4, axis=1))
    assert mask_by_quality(made, 0.5)["rain_rate"].dims == ("time", "member", "y", "x")
    with pytest.raises(ConfigError, match="the quality has the dimension member"):
        mask_by_quality(made.assign(rain_rate=made["rain_rate"].isel(member=0, drop=True)), 0.5)


def test_time_must_come_first():
    with pytest.raises(ConfigError, match="time must be the first"):
        means(ensemble().transpose("member", "time", ...), ["2018-06-04T12:00"])


def test_the_pass_of_a_sensor_is_compared_with_one_field():
    made = ensemble()
    minute = xr.DataArray(
        np.full((1, *GRID.shape), 7.0, np.float32),
        dims=("time", "y", "x"),
        coords={"time": stamps(1), **GRID.coordinates()},
        attrs={"units": "min"},
    )
    for work in (overpass, references):
        with pytest.raises(ConfigError, match="one member at a time"):
            work(made, minute)
        assert "rain_rate" in work(made.isel(member=1), minute)


def test_a_floor_is_of_one_field(tmp_path):
    path = write_netcdf(ensemble(drops(steps=12)), tmp_path / "a.nc")
    with pytest.raises(ConfigError, match=r"\(time, y, x\) is needed"):
        floor(granules(path))


def test_a_build_takes_one_member(tmp_path):
    (tmp_path / "in").mkdir()
    write_netcdf(ensemble(drops(steps=12), numbers=[2, 3, 4, 5]), tmp_path / "in" / "a.nc")
    text = """
store: out.zarr
step: 5
grid: {like: estimate}
inputs:
  estimate: {paths: [in], time: label}
splits: {train: 1, validation: 0, test: 0, gap: 0}
"""
    path = tmp_path / "members.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="an ensemble of 4 members") as told:
        build(path)
    assert "options: {member: 2}" in told.value.fix and not (tmp_path / "out.zarr").exists()
    path.write_text(text.replace("time: label", "time: label, options: {member: 3}"))
    build(path)
    stored = ondee.open(tmp_path / "out.zarr")
    np.testing.assert_array_equal(stored["rain_rate"].values, drops(steps=12)[:, 1])
