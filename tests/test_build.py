import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

import ondee
import real
from archives import RADAR, radar, times, tree, write_frames
from ondee.building import build
from ondee.errors import ConfigError, StoreError
from ondee.grid import Grid
from ondee.output import locked
from ondee.store import Store

DAYS = [f"2018-06-{day:02d}" for day in (4, 5, 6, 7)]
LATTICE = {"region": [1.0, 45.5, 1.6, 46.0], "step": 0.1}


def archive(folder: Path, days=DAYS, *, minutes=30, count=8, **settings) -> None:
    """Some hours of radar on each day."""
    for day in days:
        write_frames(folder, times(f"{day}T10:00", count, minutes), minutes=minutes, **settings)


def configure(folder: Path, **changes) -> Path:
    """A configuration beside an archive."""
    settings = {
        "store": "store.zarr",
        "grid": LATTICE,
        "inputs": {"radar": {"paths": ["radar"], "statistics": True, "coverage": 0.5, "time_coverage": 0.5}},
        "splits": {"train": 1, "validation": 1, "test": 1, "gap": 0},
        "chunks": {"time": 12, "y": 8, "x": 8},
    } | changes
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An archive of four days and its store, built without interruption."""
    folder = tmp_path_factory.mktemp("built")
    archive(folder / "radar")
    path = configure(folder)
    report = build(path)
    return folder, path, report


def test_a_store_holds_the_means_and_says_what_it_is(built):
    folder, _, report = built
    assert (report.days, report.written, report.files, report.rejected) == (4, 4, 32, [])
    store = Store(folder / "store.zarr")
    assert store.complete
    data = store.dataset()
    assert Grid.of(data).same_as(Grid.lattice(tuple(LATTICE["region"])))
    assert data.sizes["time"] == 4 * 48
    from ondee.collocation import means, regrid

    day = ondee.open(folder / "radar", start="2018-06-05", end="2018-06-06")
    starts = times("2018-06-05T10:00", 8, 30)
    expected = regrid(means(day, starts, time_coverage=0.5), Grid.of(data), coverage=0.5)
    found = data["radar_rain_rate"].sel(time=starts)
    np.testing.assert_array_equal(found.values, expected["rain_rate"].values)
    assert found.attrs["units"] == "mm h-1"
    assert (data["written"] == 1).all()
    assert data["radar_frames"].sel(time=starts).values.tolist() == [1] * 8
    assert data["radar_rain_rate"].sel(time="2018-06-05T09:30").isnull().all()
    assert int(data["radar_frames"].sel(time="2018-06-05T09:30")) == 0


def test_splits_and_statistics_belong_together(built):
    store = Store(built[0] / "store.zarr")
    assert [len(store.split(name)) for name in ("train", "validation", "test")] == [96, 48, 48]
    data = store.dataset()["radar_rain_rate"].values
    for name in ("train", "validation", "test"):
        values = data[store.split(name)]
        seen = values[np.isfinite(values)].astype(float)
        found = store.summary["statistics"][name]["radar_rain_rate"]
        assert found["n"] == seen.size
        assert found["mean"] == pytest.approx(seen.mean(), rel=1e-9)
        assert found["std"] == pytest.approx(seen.std(), rel=1e-6)
        wet = seen[seen >= 0.1]
        assert found["wet"]["n"] == wet.size and found["wet"]["mean"] == pytest.approx(wet.mean(), rel=1e-9)


def test_the_same_configuration_again_does_nothing(built):
    folder, path, _ = built
    before = {name: (folder / "store.zarr" / name).stat().st_mtime_ns for name in tree(folder / "store.zarr")}
    report = build(path)
    assert (report.written, report.kept) == (0, 4)
    assert before == {name: (folder / "store.zarr" / name).stat().st_mtime_ns for name in tree(folder / "store.zarr")}
    dry = build(path, dry_run=True)
    assert dry.dry_run and dry.steps == 192 and dry.bytes > 0


def test_another_configuration_is_refused_with_its_difference(built):
    _, path, _ = built
    text = path.read_text()
    try:
        path.write_text(text.replace("coverage: 0.5", "coverage: 0.7", 1))
        with pytest.raises(StoreError, match=r"inputs.radar.coverage is 0.5 there and 0.7 here"):
            build(path)
    finally:
        path.write_text(text)


def test_force_makes_it_anew(tmp_path):
    archive(tmp_path / "radar", DAYS[:1])
    build(configure(tmp_path))
    path = configure(tmp_path, step=60)
    with pytest.raises(StoreError, match="step is 30 there and 60 here"):
        build(path)
    assert build(path, force=True).steps == 24


def test_a_changed_file_is_built_again_and_the_rest_kept(tmp_path):
    archive(tmp_path / "radar", DAYS[:2])
    path = configure(tmp_path)
    build(path)
    victim = sorted((tmp_path / "radar").glob("*20180605T1000*"))[0]
    stamp = ["2018-06-05T10:00"]
    radar(stamp, minutes=30, seed=9, quality=True).drop_vars("quality").to_netcdf(victim, engine="h5netcdf")
    with victim.open("ab") as stream:
        stream.write(b"\0")  # another size
    report = build(path)
    assert (report.written, report.kept) == (1, 1)


RUN = "import sys; from ondee.building import build; build(sys.argv[1], cluster=sys.argv[2] or None)"


def _kill_and_resume(path: Path, cluster: str, kills: int, seed: int) -> int:
    """Start a build and kill it, some times; then let it end. How many kills hit a running build."""
    random.seed(seed)
    hits = 0
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", RUN, str(path), cluster], stderr=subprocess.PIPE)
        store = path.parent / "store.zarr"
        begun = time.monotonic()
        while process.poll() is None and not store.exists() and time.monotonic() - begun < 60:
            time.sleep(0.005)
        time.sleep(random.uniform(0.0, 0.35))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            hits += 1
        process.communicate()
    done = subprocess.run([sys.executable, "-c", RUN, str(path), cluster], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return hits


@pytest.mark.parametrize("where", ["here", "cluster"])
def test_killed_again_and_again_and_resumed_gives_the_same_bytes(built, tmp_path, where):
    whole = tree(built[0] / "store.zarr")
    (tmp_path / "radar").symlink_to(built[0] / "radar")
    path = configure(tmp_path)
    if where == "here":
        hits = _kill_and_resume(path, "", 4, 3)
    else:
        distributed = pytest.importorskip("distributed")
        with (
            warnings.catch_warnings(),
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
            ) as cluster,
        ):
            hits = _kill_and_resume(path, cluster.scheduler_address, 2, 4)
    assert hits >= 1, "no kill came in time: the build is too short for this test"
    again = tree(tmp_path / "store.zarr")
    assert sorted(again) == sorted(whole)
    assert [name for name in whole if whole[name] != again[name]] == []


def test_worker_processes_write_the_same_bytes(built, tmp_path):
    (tmp_path / "radar").symlink_to(built[0] / "radar")
    build(configure(tmp_path), workers=2)
    assert tree(tmp_path / "store.zarr") == tree(built[0] / "store.zarr")


def test_unreadable_files_become_missing_steps_with_their_reason(tmp_path):
    archive(tmp_path / "radar", DAYS[:1])
    victims = sorted((tmp_path / "radar").glob("*.nc"))[2:4]
    victims[0].write_bytes(victims[0].read_bytes()[:1500])
    victims[1].write_bytes(b"this is not radar")
    (tmp_path / "radar" / "notes.txt").write_text("by hand")
    path = configure(tmp_path, max_rejected=0.5)
    report = build(path)
    assert {Path(bad["path"]).name for bad in report.rejected} == {victims[0].name, victims[1].name, "notes.txt"}
    assert all(bad["reason"] for bad in report.rejected)
    store = Store(tmp_path / "store.zarr")
    missing = store.record(DAYS[0])["inputs"]["radar"]["missing_steps"]
    assert "2018-06-04T11:00" in missing and "2018-06-04T11:30" in missing and "2018-06-04T10:00" not in missing
    assert store.dataset()["radar_rain_rate"].sel(time="2018-06-04T11:00").isnull().all()


def test_too_many_unreadable_files_stop_the_build(tmp_path):
    archive(tmp_path / "radar", DAYS[:1])
    victim = sorted((tmp_path / "radar").glob("*.nc"))[3]
    victim.write_bytes(victim.read_bytes()[:1500])
    with pytest.raises(StoreError, match="max_rejected"):
        build(configure(tmp_path))


def test_two_builds_of_one_store_at_once_are_refused(built):
    folder, path, _ = built
    with locked(folder / "store.zarr"), pytest.raises(StoreError, match="another process"):
        build(path)
    assert build(path).kept == 4
    assert not (folder / "store.zarr.lock").exists()


def test_a_disk_without_space_gives_an_error_and_the_build_goes_on_later(built, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        (tmp_path / "radar").symlink_to(built[0] / "radar")
        path = configure(tmp_path, store="small/store.zarr")
        with pytest.raises(StoreError, match="No space left"):
            build(path)
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        build(path)
        assert tree(small / "store.zarr") == tree(built[0] / "store.zarr")
    finally:
        subprocess.run(["umount", str(small)], check=False)


def test_a_read_only_target_gives_an_error(built, tmp_path):
    locked_up = tmp_path / "locked"
    locked_up.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(locked_up)], check=False).returncode:
        pytest.skip("only root can mount a read-only disk")
    try:
        (tmp_path / "radar").symlink_to(built[0] / "radar")
        with pytest.raises(StoreError, match="Read-only"):
            build(configure(tmp_path, store="locked/store.zarr"))
    finally:
        subprocess.run(["umount", str(locked_up)], check=False)


def test_packed_counts_go_through_unchanged(tmp_path):
    """A product of int16 counts on the store's own grid and step stays int16, bit for bit."""
    data = radar(times("2018-06-04T10:00", 4, 30), minutes=30)
    data["rain_rate"].values[:] = np.round(data["rain_rate"].values / 0.12) * 0.12
    data["rain_rate"].encoding = {"dtype": "int16", "scale_factor": 0.12, "_FillValue": -1}
    (tmp_path / "radar").mkdir()
    data.to_netcdf(tmp_path / "radar" / "one.nc", engine="h5netcdf")
    build(configure(tmp_path, grid={"like": "radar"}, inputs={"radar": {"paths": ["radar/*.nc"]}}))
    store = Store(tmp_path / "store.zarr")
    assert store.root["radar_rain_rate"].dtype == np.int16
    original = ondee.open(tmp_path / "radar")["rain_rate"]
    np.testing.assert_array_equal(
        store.dataset()["radar_rain_rate"].sel(time=original["time"]).astype("float32"), original
    )
    with pytest.raises(StoreError, match="does not fit its packing"):
        from ondee.store import Stored

        Stored("a", packing={"scale_factor": 0.12, "add_offset": 0.0}).packed(np.float32([0.05]), "here")


def test_the_cells_of_an_input_are_put_together(tmp_path):
    data = radar(times("2018-06-04T10:00", 2, 30), minutes=30)
    (tmp_path / "radar").mkdir()
    data.to_netcdf(tmp_path / "radar" / "one.nc", engine="h5netcdf")
    given = {"grid": {"like": "radar", "coarsen": 2}, "inputs": {"radar": {"paths": ["radar/*.nc"], "coverage": 1.0}}}
    build(configure(tmp_path, **given))
    original = ondee.open(tmp_path / "radar")["rain_rate"]
    made = Store(tmp_path / "store.zarr").dataset()["radar_rain_rate"].sel(time=original["time"])
    rows, columns = (size // 2 for size in original.shape[1:])
    blocks = original.values[:, : 2 * rows, : 2 * columns].reshape(2, rows, 2, columns, 2)
    np.testing.assert_allclose(made.values, blocks.mean((2, 4)), rtol=1e-3, atol=1e-3)


def test_large_days_are_split_into_even_shards():
    from ondee.store import Layout, Stored

    grid = Grid("+proj=laea +lat_0=46 +lon_0=2", 0, 0, 1000, 1000, 800, 800)
    variable = Stored("radar_rain_rate")
    layout = Layout(grid, ("2018-06-04",), 5, ("radar",), (variable,), (0,) * 288, (12, 128, 128), {})
    shard, chunk = layout.shard(variable)
    assert 288 % shard[0] == 0 and shard[0] % chunk[0] == 0
    assert np.prod(shard) * 4 <= 128 * 2**20
    assert all(outer % inner == 0 for outer, inner in zip(shard, chunk, strict=True))


def test_wrong_configurations_say_line_and_nearest_key(tmp_path):
    archive(tmp_path / "radar", DAYS[:1], count=1)
    path = configure(tmp_path)
    path.write_text(path.read_text().replace("statistics:", "statistic:"))
    with pytest.raises(ConfigError) as caught:
        build(path)
    assert "did you mean 'statistics'" in caught.value.fix and "line" in caught.value.where
    with pytest.raises(ConfigError, match="nothing is at"):
        build(configure(tmp_path, inputs={"radar": {"paths": ["nowhere/*.h5"]}}))
    with pytest.raises(ConfigError, match="the data have none"):
        build(configure(tmp_path, inputs={"radar": {"paths": ["radar"], "quality": 0.8}}))


@real.needs("opera", "meteonet")
def test_opera_and_meteonet_go_into_one_store(tmp_path):
    path = configure(
        tmp_path,
        grid={"region": [-5.0, 46.5, 1.5, 51.5], "step": 0.1},
        inputs={
            "opera": {
                "paths": [str(real.path("opera") / "T_PAAH21*.hdf")],
                "variables": ["rain_rate"],
            },
            "meteonet": {
                "paths": [str(real.path("meteonet"))],
                "variables": ["rain_rate"],
                "interval": {"minutes": 5, "label": "start"},
            },
        },
        max_rejected=0.2,
    )
    report = build(path)
    assert report.rejected == [] or all("LICENCE" in bad["path"] for bad in report.rejected)
    data = Store(tmp_path / "store.zarr").dataset()
    assert float(data["opera_rain_rate"].max()) > 1
    assert float(data["meteonet_rain_rate"].max()) > 0.2
    assert int((data["meteonet_rain_rate"].notnull().any(("y", "x"))).sum()) == 4


@real.needs("pair")
def test_the_pair_goes_into_a_store_unchanged(tmp_path):
    path = configure(
        tmp_path,
        grid={"like": "pair"},
        step=15,
        inputs={"pair": {"paths": [str(real.path("pair"))]}},
        splits={
            "periods": {
                "train": ["2021-06-25T07:00", "2021-06-25T11:00"],
                "test": ["2021-06-25T13:00", "2021-06-25T15:00"],
            }
        },
    )
    build(path)
    store = Store(tmp_path / "store.zarr")
    assert store.root["pair_rain_rate"].dtype == np.int16
    original = ondee.open(real.path("pair"))
    stored = store.dataset().sel(time=original["time"])
    for name in ("rain_rate", "precipitation_likelihood"):
        np.testing.assert_array_equal(stored[f"pair_{name}"].astype("float32"), original[name])
    assert RADAR.nx and len(store.split("train")) == 16


def test_a_file_in_a_wrong_unit_is_rejected_and_the_rest_built(tmp_path):
    archive(tmp_path / "radar", DAYS[:2])
    first = min((tmp_path / "radar").glob("*20180605*"))
    wrong = radar(["2018-06-05T10:00"], minutes=30)
    wrong["rain_rate"].attrs["units"] = "mm day-1"
    wrong.to_netcdf(first, engine="h5netcdf")
    report = build(configure(tmp_path, max_rejected=0.1))
    assert [Path(bad["path"]).name for bad in report.rejected] == [first.name]
    missing = Store(tmp_path / "store.zarr").record(DAYS[1])["inputs"]["radar"]["missing_steps"]
    assert "2018-06-05T10:00" in missing and "2018-06-05T10:30" not in missing
