"""Scenes to files of rain: what is in them, how they come about, and who reads them."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
import xarray as xr

import ondee
from archives import times, tree
from ondee.batches import Scenes
from ondee.cli import main
from ondee.command.retrieve import retrieve, show
from ondee.errors import ConfigError, GridError, OndeeError, ReadError, StoreError
from ondee.generative.detection import EVEN
from ondee.generative.noise import Noise
from ondee.grid import Grid
from ondee.output import locked
from ondee.retrieval import THRESHOLDS, ensemble_products, job, tiles
from ondee.retrieval.archive import Layout
from ondee.run import load, save
from ondee.store import Store
from retrieved import CHANNELS, GRID, PREDICTORS, images, small_flow, small_unet, write_images, write_runs, write_store

MEMBERS = 3
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store, runs, and the rain of a flow from all of its moments."""
    folder = tmp_path_factory.mktemp("retrieved")
    store, runs = write_store(folder), write_runs(folder / "runs")
    report = retrieve(runs["flow"], store, out=folder / "rain.zarr", members=MEMBERS, seed=7)
    return folder, store, runs, report


def opened(path):
    return xr.open_zarr(path, consolidated=False, chunks=None)


def test_the_rain_is_that_of_the_model(made):
    folder, store, runs, report = made
    assert (report["moments"], report["written"], report["kept"], report["members"]) == (12, 12, 0, MEMBERS)
    model, data = load(runs["flow"]), opened(folder / "rain.zarr")
    scenes = Scenes(Store(store), PREDICTORS, rain=None)
    assert data["time"].values.tolist() == scenes.times.tolist()
    for index in (0, 7):
        key = int(scenes.times[index].astype("datetime64[m]").astype(int))
        expected = model.sample(scenes.condition([index]), Noise(7, (key,), range(MEMBERS)))[0].numpy()
        np.testing.assert_allclose(data["rain_rate"][index], expected, **TOLERANCE)
        assert np.nanstd(expected) > 0.1 and not np.allclose(expected[0], expected[1], equal_nan=True)


def test_the_file_says_what_it_is(made):
    folder, _, _, report = made
    data = opened(folder / "rain.zarr")
    assert data["rain_rate"].dims == ("time", "member", "y", "x")
    assert data["rain_probability"].dims == ("time", "threshold", "y", "x")
    assert data["threshold"].values.tolist() == list(THRESHOLDS) and data["threshold"].attrs["units"] == "mm h-1"
    assert data["member"].attrs["standard_name"] == "realization"
    assert data["member"].values.tolist() == [0, 1, 2]
    assert Grid.of(data).same_as(GRID)
    assert data["time"].attrs["label"] == "start"
    bounds = data["time_bounds"].values
    assert (bounds[:, 0] == data["time"].values).all()
    assert (bounds[:, 1] - bounds[:, 0] == np.timedelta64(15, "m")).all()
    methods = {name: data[name].attrs.get("cell_methods", "") for name in report["products"]}
    assert methods["rain_rate_mean"] == "realization: mean"
    assert methods["rain_rate_median"] == "realization: median"
    assert methods["rain_rate_spread"] == "realization: standard_deviation"
    for name in report["products"]:
        assert data[name].attrs["units"] == ("1" if name == "rain_probability" else "mm h-1")
        assert data[name].attrs["grid_mapping"] == "crs" and data[name].dtype == np.float32
        known = data[name].attrs.get("standard_name")
        assert known == (None if name == "rain_probability" else "lwe_precipitation_rate")
    assert (data.attrs["model"], data.attrs["seed"]) == ("flow", 7)
    assert json.loads(data.attrs["sampling"])["solver"] == "heun"
    assert data.attrs["version"].startswith(f"ondee {ondee.__version__}")


def test_products_follow_from_the_members(made):
    folder, _, _, report = made
    data = opened(folder / "rain.zarr")
    names = ("members", "mean", "median", "probability", "matched", "detected", "spread")
    expected = ensemble_products(data["rain_rate"].values[5], names, EVEN)
    assert set(expected) == set(report["products"])
    for name, field in expected.items():
        np.testing.assert_array_equal(data[name].values[5], field)


def test_a_missing_frame_degrades_and_does_not_fail(made):
    folder, store, _, _ = made
    data, given = opened(folder / "rain.zarr"), opened(store)
    stamps = given["time"].values[given["seviri_frames"].values > 0]
    assert data["time"].values.tolist() == stamps.tolist()
    older = np.isin(stamps - np.timedelta64(15, "m"), stamps)
    assert data["frames_seen"].values.tolist() == [[1, int(there)] for there in older]
    assert 0 < older.sum() < older.size
    pictures = given["seviri_brightness_temperature"].sel(time=stamps).values
    seen = np.isfinite(pictures).any(1)
    seen[1:] |= seen[:-1] & older[1:, None, None]
    assert (np.isfinite(data["rain_rate"].values) == seen[:, None]).all()
    assert 0.9 < seen[~older].mean() < 1


def test_nothing_depends_on_how_the_work_is_cut(made, tmp_path):
    folder, store, runs, _ = made
    expected = opened(folder / "rain.zarr")["rain_rate"].values
    common = {"members": MEMBERS, "seed": 7, "products": ("members",), "split": "test"}
    for name, how in {"tiles": {"tile": 20, "batch": 1}, "batch": {"batch": 16}, "two": {"members": 2}}.items():
        # A part of the time, and a part of the members, are parts of the whole.
        retrieve(runs["flow"], store, out=tmp_path / f"{name}.zarr", **{**common, **how})
        part = opened(tmp_path / f"{name}.zarr")
        assert part["time"].size == 4
        members = part.sizes["member"]
        np.testing.assert_allclose(part["rain_rate"].values, expected[-4:, :members], **TOLERANCE)
    retrieve(runs["flow"], store, out=tmp_path / "seed.zarr", **{**common, "seed": 8})
    assert not np.allclose(opened(tmp_path / "seed.zarr")["rain_rate"].values, expected[-4:], equal_nan=True)


def test_two_processes_write_what_one_does(made, tmp_path):
    folder, store, runs, _ = made
    report = retrieve(runs["flow"], store, out=tmp_path / "rain.zarr", members=MEMBERS, seed=7, workers=2)
    assert report["written"] == 12
    one, two = opened(folder / "rain.zarr"), opened(tmp_path / "rain.zarr")
    assert one.attrs == two.attrs
    for name in one.data_vars:
        np.testing.assert_allclose(two[name].values, one[name].values, **TOLERANCE)


def stopped(monkeypatch, count):
    """Let a retrieval die in its block after so many."""
    work, done = job.draw, []

    def draw(*arguments):
        done.append(1)
        if len(done) > count:
            raise KeyboardInterrupt
        return work(*arguments)

    monkeypatch.setattr(job, "draw", draw)


def test_work_cut_short_goes_on_to_the_same_bytes(made, tmp_path, monkeypatch):
    _, store, runs, _ = made
    monkeypatch.setattr(Layout, "block", 2)
    common = {"members": MEMBERS, "seed": 7, "batch": 3}
    retrieve(runs["flow"], store, out=tmp_path / "whole.zarr", **common)
    out = tmp_path / "rain.zarr"
    with monkeypatch.context() as patch:
        stopped(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            retrieve(runs["flow"], store, out=out, **common)
    assert not out.exists(), "what is not whole does not bear the name"
    parts = tmp_path / "rain.zarr.parts"
    assert len(list((parts / "done").iterdir())) == 2
    (parts / "data.zarr" / "rain_rate" / "c" / "0.0.0.0.abc.partial").write_bytes(b"half")
    shard = next((parts / "data.zarr" / "rain_rate" / "c").glob("2/**/0"), None)
    assert shard is None
    with locked(parts), pytest.raises(StoreError, match="another process"):
        retrieve(runs["flow"], store, out=out, **common)
    with pytest.raises(StoreError, match="another retrieval was begun there"):
        retrieve(runs["flow"], store, out=out, **{**common, "seed": 8})
    report = retrieve(runs["flow"], store, out=out, **common)
    assert (report["written"], report["kept"]) == (8, 4)
    assert tree(out) == tree(tmp_path / "whole.zarr")
    assert not parts.exists() and not parts.with_name("rain.zarr.parts.lock").exists()


def test_the_same_again_does_nothing_and_another_is_refused(made, tmp_path):
    folder, store, runs, _ = made
    out = tmp_path / "rain.zarr"
    shutil.copytree(folder / "rain.zarr", out)
    before = tree(out)
    report = retrieve(runs["flow"], store, out=out, members=MEMBERS, seed=7)
    assert (report["written"], report["kept"]) == (0, 12)
    with pytest.raises(ConfigError, match="another retrieval"):
        retrieve(runs["flow"], store, out=out, members=MEMBERS, seed=8)
    assert tree(out) == before
    retrieve(runs["flow"], store, out=out, members=2, seed=8, split="test", force=True)
    assert opened(out).sizes["member"] == 2
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis").write_text("all of it")
    with pytest.raises(ConfigError, match="something is there already"):
        retrieve(runs["flow"], store, out=tmp_path / "mine.zarr")


def test_a_netcdf_holds_the_same(made, tmp_path):
    folder, store, runs, _ = made
    out = tmp_path / "rain.nc"
    retrieve(runs["flow"], store, out=out, members=MEMBERS, seed=7)
    with xr.open_dataset(out) as found:
        expected = opened(folder / "rain.zarr")
        xr.testing.assert_equal(found.load(), expected.load())
        assert found.attrs["signature"] == expected.attrs["signature"]
    assert retrieve(runs["flow"], store, out=out, members=MEMBERS, seed=7)["kept"] == 12
    with pytest.raises(ConfigError, match="another retrieval"):
        retrieve(runs["flow"], store, out=out, members=MEMBERS, seed=8)
    xr.testing.assert_equal(ondee.open(out)["rain_rate_mean"], ondee.open(folder / "rain.zarr")["rain_rate_mean"])


def test_a_regression_gives_one_field(made, tmp_path):
    _, store, runs, _ = made
    out = tmp_path / "rain.zarr"
    report = retrieve(runs["unet"], store, out=out, split="test")
    assert (report["members"], report["evaluations"], report["products"]) == (0, 1, ("rain_rate",))
    data = ondee.open(out)
    assert data["rain_rate"].dims == ("time", "y", "x")
    scenes = Scenes(Store(store), PREDICTORS, rain=None, split="test")
    expected = load(runs["unet"]).sample(scenes.condition(range(4)), Noise(0, range(4)))[:, 0].numpy()
    np.testing.assert_allclose(data["rain_rate"].values, expected, **TOLERANCE)
    with pytest.raises(ConfigError, match="this model gives one field"):
        retrieve(runs["unet"], store, out=tmp_path / "other.zarr", products=("mean",))


def test_members_that_persist_are_alike_from_image_to_image(made, tmp_path):
    folder, store, runs, _ = made
    common = {"members": MEMBERS, "seed": 7, "products": ("members",), "split": "test"}
    retrieve(runs["flow"], store, out=tmp_path / "rain.zarr", persistence=0.95, **common)
    fields = {"new": opened(folder / "rain.zarr")["rain_rate"].values[-4:]}
    fields["lasting"] = opened(tmp_path / "rain.zarr")["rain_rate"].values

    def alike(rain):
        departures = np.nan_to_num(rain - rain.mean(1, keepdims=True))
        return np.corrcoef(departures[2].ravel(), departures[3].ravel())[0, 1]

    assert abs(alike(fields["new"])) < 0.1 and alike(fields["lasting"]) > 0.3


# ---- files


def test_files_give_what_their_store_gives(made, tmp_path):
    folder, _, runs, _ = made
    out = tmp_path / "rain.zarr"
    report = retrieve(runs["flow"], folder / "seviri", out=out, members=MEMBERS, seed=7)
    assert report["moments"] == 12
    found, expected = opened(out), opened(folder / "rain.zarr")
    assert found["frames_seen"].values.tolist() == expected["frames_seen"].values.tolist()
    np.testing.assert_allclose(found["rain_rate"].values, expected["rain_rate"].values, **TOLERANCE)
    xr.testing.assert_equal(found["time_bounds"], expected["time_bounds"])
    few = retrieve(
        runs["flow"], folder / "seviri", out=tmp_path / "few.nc", members=1, start="2018-06-05", end="2018-06-05T12:40"
    )
    assert (few["moments"], few["first"], few["last"]) == (2, "2018-06-05T12:00", "2018-06-05T12:30")
    assert few["products"] == ("rain_rate",)


def test_a_channel_that_dies_degrades_and_does_not_fail(made, tmp_path):
    _, _, runs, _ = made
    stamps = times("2018-06-04T12:00", 3, 15)
    write_images(tmp_path / "files", stamps[:2])
    write_images(tmp_path / "files", stamps[2:], channels=CHANNELS[:1])
    retrieve(runs["unet"], tmp_path / "files", out=tmp_path / "rain.zarr")
    rain = opened(tmp_path / "rain.zarr")["rain_rate"].values
    assert np.isfinite(rain).mean((1, 2)).min() > 0.9


def test_scenes_that_do_not_fit_the_model_are_refused(made, tmp_path):
    folder, store, runs, _ = made
    out = tmp_path / "rain.zarr"
    stamps = times("2018-06-04T12:00", 2, 15)
    coarse = Grid(GRID.crs, GRID.west, GRID.north, 4500.0, 4500.0, 20, 20)
    write_images(tmp_path / "coarse", stamps, grid=coarse)
    with pytest.raises(ConfigError, match=r"pixels are 4.5 x 4.5 km; the model was trained on 4 x 4 km"):
        retrieve(runs["flow"], tmp_path / "coarse", out=out)
    write_images(tmp_path / "blind", stamps, channels=("IR_108",))
    with pytest.raises(ConfigError, match="WV_062"):
        retrieve(runs["flow"], tmp_path / "blind", out=out)
    with pytest.raises(ReadError, match="no images among"):
        retrieve(runs["flow"], folder / "radar", out=out)
    write_images(tmp_path / "two", stamps[:1])
    write_images(tmp_path / "two", stamps[1:], grid=Grid(GRID.crs, GRID.west, GRID.north, 4000.0, 4000.0, 20, 20))
    with pytest.raises(GridError, match="grid changes"):
        retrieve(runs["unet"], tmp_path / "two", out=out)
    images(times("2018-06-04T12:00", 1)).to_netcdf(tmp_path / "two" / "again.nc", engine="h5netcdf")
    with pytest.raises(ReadError, match="comes twice"):
        retrieve(runs["unet"], tmp_path / "two", out=out)
    wide = PREDICTORS.__class__((*CHANNELS, "VIS006"), PREDICTORS.minutes, PREDICTORS.auxiliary)
    with pytest.raises(ConfigError, match="VIS006"):
        statistics = small_flow().statistics
        model = small_unet()
        made_of = type(statistics)((1.0,) * 3, (1.0,) * 3, 30.0, 1.0, 1.0, 0.1)
        save(tmp_path / "wide", type(model)(model.settings, wide, made_of), model="unet", about={})
        retrieve(tmp_path / "wide", store, out=out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("rain_rate_spread", "the standard deviation of the rain rate of the members, which is not scored as rain"),
        ("rain_probability", "rain_probability holds 4 fields of each time, which are no members"),
    ],
)
def test_spread_and_probabilities_are_not_scored_as_rain(made, tmp_path, capsys, variable, words):
    folder, store, _, _ = made
    options = ["--truth-option", "input=radar", "--out", str(tmp_path / "scores.nc"), "--dry-run"]
    with pytest.raises(SystemExit) as ended:
        main(["verify", f"{folder / 'rain.zarr'}::{variable}", str(store), *options])
    told = capsys.readouterr().err
    assert ended.value.code == 1 and len(told.splitlines()) == 3 and words in told
    for name in ("rain_rate", "rain_rate_mean", "rain_rate_median", "rain_rate_matched", "rain_rate_detected"):
        assert re.search(rf"\b{name}\b", told.splitlines()[2])


# ---- what is typed


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"members": 0}, "members is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"tile": 0}, "tile is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"members": 10_000_000_000}, "members is 10000000000"),
        ({"tile": 10_000_000_000}, "tile is 10000000000"),
        ({"batch": 10_000_000_000}, "batch is 10000000000"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"steps": 10_000_000_000}, "steps cannot be 10000000000"),
        ({"persistence": float("nan")}, "persistence cannot be nan"),
        ({"start": "999999999"}, "'999999999' is not a time"),
        ({"end": "NaT"}, "'NaT' is not a time"),
        ({"steps": 0}, "steps cannot be 0"),
        ({"solver": "rk4"}, "solver cannot be 'rk4'"),
        ({"noise_scale": 7.0}, "noise-scale cannot be 7.0"),
        ({"products": ("mode",)}, "no product 'mode'"),
        ({"start": "noon"}, "'noon' is not a time"),
        ({"start": "2020-01-01"}, "no moment that is asked for"),
        ({"split": "best"}, "'best' is no split"),
        ({"out": "rain.tif"}, "cannot be written here"),
        ({"out": "nowhere/rain.zarr"}, "the folder does not exist"),
        ({"out": "nowhere/rain.nc"}, "the folder does not exist"),
        ({"run": "nothing"}, "there is no run"),
        ({"scenes": "nothing"}, "there is no such file"),
    ],
)
def test_what_cannot_be_is_refused(made, tmp_path, monkeypatch, given, told):
    _, store, runs, _ = made
    monkeypatch.chdir(tmp_path)
    asked = {"run": runs["flow"], "scenes": store, "out": "rain.zarr"} | given
    for dry in (False, True):
        with pytest.raises(OndeeError, match=told) as raised:
            retrieve(asked.pop("run"), asked.pop("scenes"), **asked, dry_run=dry)
        assert str(raised.value).count("\n") == 2
        asked = {"run": runs["flow"], "scenes": store, "out": "rain.zarr"} | given
    assert not list(tmp_path.iterdir())


def test_members_that_do_not_fit_in_memory_are_refused(made, tmp_path, monkeypatch):
    _, store, runs, _ = made
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr("ondee.retrieval.archive.os.sysconf", sizes.__getitem__)
    most = 4096 * 1000 // (4 * 4 * GRID.ny * GRID.nx)
    for dry in (False, True):
        with pytest.raises(ConfigError, match=f"{most + 1} members of a moment") as raised:
            retrieve(runs["flow"], store, out=tmp_path / "rain.zarr", members=most + 1, dry_run=dry)
        assert raised.value.fix == f"ask for at most {most} members"
    assert retrieve(runs["flow"], store, out=tmp_path / "rain.zarr", members=most, batch=1, dry_run=True)["dry_run"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_memory_that_is_not_there_is_told(made, tmp_path, monkeypatch, error):
    _, store, runs, _ = made

    def fails(*_, **__):
        raise error

    for name, dry in (("draw", False), ("evaluation_seconds", True)):
        monkeypatch.setattr(job, name, fails)
        with pytest.raises(ConfigError, match="memory is too small") as raised:
            retrieve(runs["unet"], store, out=tmp_path / "rain.zarr", dry_run=dry)
        assert "--tile" in raised.value.fix


def test_a_field_that_the_disk_cannot_take_is_told(made, tmp_path, monkeypatch):
    _, store, runs, _ = made

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiles, "ON_DISK", 0)
    monkeypatch.setattr("ondee.retrieval.tiles.os.posix_fallocate", full)
    with pytest.raises(StoreError, match="No space left") as raised:
        retrieve(runs["unet"], store, out=tmp_path / "rain.zarr")
    assert "TMPDIR" in raised.value.fix


def test_a_retrieval_that_was_begun_and_damaged_is_told(made, tmp_path, monkeypatch):
    _, store, runs, _ = made
    out = tmp_path / "rain.zarr"

    def stops(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "draw", stops)
        with pytest.raises(KeyboardInterrupt):
            retrieve(runs["unet"], store, out=out)
    begun = tmp_path / "rain.zarr.parts"
    (begun / "data.zarr" / "rain_rate" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="damaged") as raised:
        retrieve(runs["unet"], store, out=out)
    assert "remove this folder" in raised.value.fix and raised.value.where == str(begun)
    shutil.rmtree(begun)
    assert retrieve(runs["unet"], store, out=out)["written"] == 12


@pytest.mark.parametrize("force", [False, True])
def test_what_rain_is_made_from_is_not_replaced(made, tmp_path, force):
    store = shutil.copytree(made[1], tmp_path / "scenes.zarr")
    for scenes in (store, store / "seviri_brightness_temperature"):
        with pytest.raises(ConfigError, match="take the place"):
            retrieve(made[2]["flow"], scenes, out=tmp_path / "scenes.zarr", force=force)
    assert (store / "zarr.json").exists()


def test_files_have_no_split(made, tmp_path):
    folder, _, runs, _ = made
    with pytest.raises(ConfigError, match="asked of files"):
        retrieve(runs["flow"], folder / "seviri", out=tmp_path / "rain.zarr", split="test")


def test_a_dry_run_tells_and_writes_nothing(made, tmp_path):
    from io import StringIO

    from rich.console import Console

    _, store, runs, done = made
    report = retrieve(runs["flow"], store, out=tmp_path / "rain.zarr", members=16, tile=16, steps=4, dry_run=True)
    assert not list(tmp_path.iterdir())
    assert (report["moments"], report["members"], report["tiles"], report["evaluations"]) == (12, 16, 9, 8)
    assert report["bytes"] == 12 * 35 * 38 * 4 * (16 + 4 + 5)
    assert 0 < report["seconds"] < 600 and (report["written"], report["kept"]) == (0, 0)
    for told, words in ((report, ("dry run", "about", "9 tiles")), (done, ("2018-06-04 12:00", "UTC", "s a field"))):
        text = StringIO()
        show(told, Console(file=text, width=200))
        assert all(word in text.getvalue() for word in words)


# ---- who reads it


def test_look_and_verify_read_it(made, tmp_path, capsys, monkeypatch):
    folder, store, _, _ = made
    rain = folder / "rain.zarr"
    from ondee.facts import survey

    (product,) = survey(rain).products
    assert "flow" in product.product
    monkeypatch.chdir(tmp_path)
    words = [f"flow={rain}::rain_rate", f"average={rain}::rain_rate_mean", f"matched={rain}::rain_rate_matched"]
    options = ["--truth-option", "input=radar", "--out", "scores.nc", "--window", "32", "--replicates", "100"]
    with pytest.raises(SystemExit) as ended:
        main(["verify", *words, str(store), *options, "--scores", "event,crps,point"])
    assert not ended.value.code
    with xr.open_dataset("scores.nc", group="point") as point:
        errors = (
            point["root_mean_square_error"].isel(stratum=0)
            if "stratum" in point.dims
            else point["root_mean_square_error"]
        )
        np.testing.assert_allclose(errors.sel(estimate="average"), errors.sel(estimate="flow mean"), rtol=1e-4)
        assert set(point["estimate"].values) == {"flow", "flow mean", "average", "matched"}
    with xr.open_dataset("scores.nc", group="crps") as crps:
        assert (crps["fair_crps"].sel(estimate="flow") > 0).all()
