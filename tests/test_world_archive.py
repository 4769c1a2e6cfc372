"""A synthetic archive: its files open and agree with its truth; the same bytes however they came about."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from distributed import LocalCluster

import ondee
from archives import tree
from ondee.cli import main
from ondee.collocation import weights
from ondee.errors import OndeeError, StoreError
from ondee.grid import Grid, transformer
from ondee.world.archive import simulate
from ondee.world.settings import World, load_world

ROOT = Path(__file__).parents[1]
SMALL = World(
    name="small",
    seed=5,
    domain={"size": 96},
    events=2,
    hours=1,
    regimes=("frontal", "embedded"),
    radar={"range": 45},
    seviri={},
    imerg={"margin": 2, "schedule": "half-hourly"},
    faults=[{"clock": {"sensor": "GMI", "minutes": 10}}],
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "archive"
    simulate(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def rain(archive):
    return ondee.open(archive / "truth.zarr")["rain_rate"].load()


def test_radar_is_the_truth_where_it_sees(archive, rain):
    radar = ondee.open(archive / "radar")
    assert radar.sizes["time"] == 2 * 32 and (radar["time"].values == rain["time"].values).all()
    x, y = np.meshgrid(radar["x"] - radar["x"].mean(), radar["y"] - radar["y"].mean())
    sees = np.hypot(x, y) <= 45_000
    amount = radar["rain_amount"].values
    assert np.isnan(amount[:, ~sees]).all() and np.isfinite(amount[:, sees]).all()
    # The file holds amounts to 0.01 mm in 5 min, the truth rates to 0.01 mm/h.
    assert np.abs(amount[:, sees] * 12 - rain.values[:, sees]).max() < 0.0651
    assert ((rain.values[:, sees] == 0) <= (amount[:, sees] == 0)).all()
    assert (rain.values[:, sees] > 1).any()
    quality = radar["quality"].values[0]
    assert np.isnan(quality[~sees]).all() and np.nanmin(quality) >= 0.5


def test_frames_reach_from_before_an_event_to_after_it(archive):
    bounds = ondee.open(archive / "radar")["time_bounds"].values
    assert bounds[0, 0] == np.datetime64("2018-06-04T11:25") and bounds[31, 1] == np.datetime64("2018-06-04T14:05")
    images = ondee.open(archive / "seviri")["time"].values
    assert images[0] == np.datetime64("2018-06-04T11:30") and images[9] == np.datetime64("2018-06-04T13:45")
    half_hours = ondee.open(archive / "imerg")["time"].values
    assert half_hours[0] == np.datetime64("2018-06-04T12:00") and half_hours.size == 4


def test_imerg_sees_the_true_rain_at_the_true_minute(archive, rain):
    imerg, told = ondee.open(archive / "imerg"), yaml.safe_load((archive / "truth.yaml").read_text())
    grid, cells = Grid.of(rain), Grid.of(imerg)
    assert cells.same_as(SMALL.cells.pad(2))
    passes = {one["start"]: one for event in told["events"] for one in event["passes"]}
    inside = (slice(2, -2), slice(2, -2))
    middles = rain["time"].values - np.timedelta64(150, "s")
    alike, mirrored = [], []
    for number, start in enumerate(imerg["time"].values):
        one = passes[str(start.astype("datetime64[m]"))]
        field = imerg.isel(time=number)
        assert np.isnan(field["rain_rate"].values[[0, 1, -2, -1]]).all()
        assert np.isnan(field["microwave_source"].values[:, [0, 1, -2, -1]]).all()
        assert (field["microwave_source"].values[inside] == one["code"]).all()
        minute = field["microwave_minute"].values[inside]
        assert abs(minute.mean() - np.mean(one["minutes"])) <= 1
        late = np.mean(one["minutes"]) - np.mean(one["true_minutes"])
        assert late == pytest.approx(10 if one["sensor"] == "GMI" else 0)
        moment = start + np.timedelta64(round(60 * np.mean(one["true_minutes"])), "s")
        nearest = int(np.abs(middles - moment).argmin())
        mean = (weights(grid, cells, cache=False).matrix() @ rain.values[nearest].ravel()).reshape(cells.shape)[inside]
        seen = field["microwave_rain_rate"].values[inside]
        if mean.std() > 0:
            alike.append(np.corrcoef(np.sqrt(mean).ravel(), np.sqrt(seen).ravel())[0, 1])
            mirrored.append(np.corrcoef(np.sqrt(mean[::-1, ::-1]).ravel(), np.sqrt(seen).ravel())[0, 1])
    assert np.mean(alike) > 0.7 and np.mean(alike) > np.mean(mirrored) + 0.3


def test_cold_pixels_are_high_clouds_seen_from_aslant(archive):
    image = ondee.open(archive / "seviri")["brightness_temperature"].sel(channel="IR_108")
    tops = xr.open_zarr(archive / "truth.zarr", group="clouds", consolidated=False, chunks=None)
    assert tops.sizes["time"] == image.sizes["time"] == 20
    assert 180 < float(image.min()) < 260 and 280 < float(image.max()) < 330
    assert float(image.notnull().mean()) > 0.5
    assert correlation(image, tops, north=10_000) < min(-0.5, correlation(image, tops, north=0) - 0.1)


def correlation(image, tops, north):
    """Of brightness temperatures with the heights of the cloud tops so many metres south of them."""
    view, plane = Grid.of(image), Grid.of(tops)
    x, y = transformer(view.crs, plane.crs).transform(*np.meshgrid(view.x, view.y))
    column, row = ((x - plane.west) // plane.dx).astype(int), ((plane.north - y + north) // plane.dy).astype(int)
    on = (column >= 0) & (column < plane.nx) & (row >= 0) & (row < plane.ny)
    height = np.nan_to_num(tops["cloud_top_height"].values)[:, row[on], column[on]]
    kelvin = image.values[:, on]
    known = np.isfinite(kelvin)
    return np.corrcoef(height[known], kelvin[known])[0, 1]


def test_the_truth_tells_all_that_was_planted(archive):
    told = yaml.safe_load((archive / "truth.yaml").read_text())
    assert told["complete"] and World.model_validate(told["world"]) == SMALL
    assert [event["regime"] for event in told["events"]] == ["frontal", "embedded"]
    winds = xr.open_zarr(archive / "truth.zarr", consolidated=False)
    assert winds["wind_east"].values.tolist() == [event["wind"]["east"] for event in told["events"]]
    assert len(told["events"][0]["passes"]) == 2


def test_workers_do_not_change_a_byte(archive, tmp_path):
    simulate(SMALL, tmp_path / "two", workers=2)
    assert tree(tmp_path / "two") == tree(archive)


def test_threads_of_a_cluster_do_not_change_a_byte(archive, tmp_path):
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        simulate(SMALL, tmp_path / "dask", cluster=cluster.scheduler_address)
    assert tree(tmp_path / "dask") == tree(archive)


def test_killed_and_resumed_gives_the_same_bytes(archive, tmp_path):
    (tmp_path / "world.yaml").write_text(yaml.safe_dump(SMALL.resolved()))
    out = tmp_path / "archive"
    command = [sys.executable, "-m", "ondee.cli", "simulate", str(tmp_path / "world.yaml"), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        limit = time.monotonic() + 60
        while len(list((out / "radar").rglob("*.h5"))) < 40 and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
    assert (out / "events/00000.yaml").exists() and not (out / "events/00001.yaml").exists()
    assert yaml.safe_load((out / "truth.yaml").read_text())["complete"] is False
    before = (out / "events/00000.yaml").stat().st_mtime_ns
    report = simulate(SMALL, out)
    assert (report.written, report.kept) == (1, 1) and (out / "events/00000.yaml").stat().st_mtime_ns == before
    assert tree(out) == tree(archive)


def test_a_finished_archive_is_left_as_it_is(archive, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(archive, copy)
    report = simulate(SMALL, copy)
    assert (report.written, report.kept) == (0, 2) and report.bytes == sum(map(len, tree(copy).values()))
    assert tree(copy) == tree(archive)


def test_what_was_removed_is_made_again(archive, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(archive, copy)
    next((copy / "radar/20180605").glob("*")).unlink()
    assert simulate(SMALL, copy, dry_run=True).kept == 1
    assert simulate(SMALL, copy).written == 1 and tree(copy) == tree(archive)
    shutil.rmtree(copy / "truth.zarr")
    assert simulate(SMALL, copy).written == 2 and tree(copy) == tree(archive)


def test_the_page_reads_an_archive(archive, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/world.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "tiny").symlink_to(archive)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "True True\n('time', 'y', 'x') m\n", done.stderr


BARE = World(name="bare", seed=5, domain={"size": 64}, hours=1, regimes=("frontal",), imerg={"schedule": "half-hourly"})


def test_versions_hold_the_same_rain(tmp_path):
    for version in ("V06B", "V07B"):
        world = BARE.model_copy(update={"imerg": BARE.imerg.model_copy(update={"version": version})})
        simulate(world, tmp_path / version)
    old, new = (ondee.open(tmp_path / version / "imerg") for version in ("V06B", "V07B"))
    assert old.attrs["version"] == "V06" and new.attrs["version"] == "V07"
    for name in new.data_vars:
        np.testing.assert_array_equal(old[name].values, new[name].values)
    assert tree(tmp_path / "V06B/radar") == tree(tmp_path / "V07B/radar")


def test_orbits_and_other_parts_leave_the_rain_as_it_is(tmp_path):
    parts = {"imerg": {"schedule": "orbits", "run": "Early"}, "radar": {"range": None, "quality": False}}
    other = World.model_validate({**BARE.resolved(), **parts})
    simulate(BARE, tmp_path / "one")
    simulate(other, tmp_path / "other")
    first, second = (ondee.open(tmp_path / name / "truth.zarr")["rain_rate"].values for name in ("one", "other"))
    np.testing.assert_array_equal(first, second)
    radar, imerg = ondee.open(tmp_path / "other/radar"), ondee.open(tmp_path / "other/imerg")
    assert "quality" not in radar and np.isfinite(radar["rain_amount"].values).all()
    assert imerg.attrs["run"] == "Early"


def test_another_world_is_refused_and_replaced_when_asked(tmp_path):
    out = tmp_path / "archive"
    simulate(BARE, out)
    (out / "notes.txt").write_text("mine")
    (out / "radar/notes.txt").write_text("mine too")
    other = World.model_validate({**BARE.resolved(), "seed": 6, "imerg": None, "start": "2018-07-01T00:00"})
    with pytest.raises(StoreError) as caught:
        simulate(other, out)
    assert "is" in caught.value.what and "there" in caught.value.what and "--force" in caught.value.fix
    assert (out / "imerg").exists()
    simulate(other, out, force=True)
    (out / "notes.txt").unlink()
    (out / "radar/notes.txt").unlink()
    simulate(other, tmp_path / "fresh")
    assert tree(out) == tree(tmp_path / "fresh") and not (out / "imerg").exists()


def test_foreign_files_are_not_replaced_untold(tmp_path):
    first = simulate(BARE, tmp_path, dry_run=True)
    assert first.files == {"radar": 32, "imerg": 2} and first.events == 1
    name = "3B-HHR.MS.MRG.3IMERG.20180604-S120000-E122959.0720.V07B.HDF5"
    (tmp_path / "imerg").mkdir()
    (tmp_path / "imerg" / name).write_text("NASA's own")
    with pytest.raises(StoreError, match="no part of this archive"):
        simulate(BARE, tmp_path)
    assert (tmp_path / "imerg" / name).read_text() == "NASA's own"


@pytest.mark.parametrize("text", ["[1", "just text", "ondee: 1\n", "world: {}\nondee: '0.1.0'\n"])
def test_a_strange_record_is_refused(tmp_path, text):
    (tmp_path / "truth.yaml").write_text(text)
    with pytest.raises(StoreError):
        simulate(BARE, tmp_path)


def test_a_dry_run_writes_nothing_and_is_near(archive, tmp_path):
    out = tmp_path / "archive"
    report = simulate(SMALL, out, dry_run=True)
    assert not out.exists() and report.dry_run and report.written == 0
    assert report.files == {"radar": 64, "seviri": 20, "imerg": 4}
    real = sum(map(len, tree(archive).values()))
    assert 0.4 < report.bytes / real < 2.5 and report.seconds > 0
    assert simulate(SMALL, archive, dry_run=True).kept == 2


def test_the_command_tells_what_it_wrote(tmp_path, capsys):
    config = tmp_path / "world.yaml"
    config.write_text(yaml.safe_dump(BARE.resolved()))
    for words in (["--dry-run"], [], []):
        with pytest.raises(SystemExit) as ended:
            main(["simulate", str(config), "--out", str(tmp_path / "archive"), *words])
        assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "nothing is written" in told and "1 made now" in told and "1 found done" in told and "32 files" in told
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "archive")])
    assert ended.value.code == 1 and "cannot be read" in capsys.readouterr().err


def test_the_shipped_worlds_can_be_made():
    configs = sorted((ROOT / "configs").glob("world-*.yaml"))
    reports = {path.stem: simulate(load_world(path), "nowhere", dry_run=True) for path in configs}
    assert {"world-tiny", "world-france", "world-europe"} <= set(reports)
    assert reports["world-tiny"].seconds < 20 < reports["world-france"].seconds < reports["world-europe"].seconds


@pytest.mark.parametrize(
    ("domain", "what"),
    [
        ({"centre": (179.5, 50.0)}, "meridian of 180"),
        ({"centre": (0.0, 85.0), "size": 2000}, "pole"),
        ({"centre": (178.5, 10.0), "size": 128}, "beyond IMERG's grid"),
        ({"centre": (0.0, 85.0), "size": 128}, "beyond IMERG's grid"),
    ],
)
def test_a_domain_that_cannot_be_seen_is_refused_before_the_work(tmp_path, domain, what):
    with pytest.raises(OndeeError, match=what):
        simulate(World(domain=domain, seviri={}, imerg={"margin": 50}), tmp_path / "archive")
    assert not (tmp_path / "archive").exists()


_NO_SPACE = """
import resource, signal, sys
from ondee.errors import StoreError
from ondee.world.archive import simulate
from ondee.world.settings import World

world = World(domain={"size": 64}, hours=1, truth=(), **{name: {} if name == sys.argv[2] else None for name in PARTS})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
try:
    simulate(world, sys.argv[1])
except StoreError as error:
    print(error)
""".replace("PARTS", "('radar', 'imerg', 'seviri')")


@pytest.mark.parametrize("part", ["radar", "imerg", "seviri"])
def test_a_disk_that_takes_no_more_gives_an_error_and_no_crash(tmp_path, part):
    """The HDF5 library itself ends the process with a segmentation fault."""
    command = [sys.executable, "-c", _NO_SPACE, str(tmp_path / "archive"), part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    what, where, fix = done.stdout.strip().splitlines()
    assert "cannot be written" in what and part in where and "make space" in fix
    assert not [path for path in (tmp_path / "archive").rglob("*.part") if path.is_file()]
