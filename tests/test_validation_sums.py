"""Sums: merged in any way they are the same bytes; days are added; shards that contradict each other are refused."""

import errno
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from observed import SETTINGS, sides
from ondee.errors import ConfigError, StoreError
from ondee.source.groups import group_names, read_attributes, read_group, write_groups
from ondee.validation import combine, read_validation, validate
from ondee.validation import run as running
from ondee.validation.archive import SumsFile
from ondee.validation.record import stacked


@pytest.fixture(scope="module")
def archive(compared):
    return compared


@pytest.fixture(scope="module")
def whole(compared):
    return (compared / "out" / "sums.nc").read_bytes()


@pytest.fixture(autouse=True)
def without_scores(monkeypatch):
    """Sums only: to finish scores takes longest, and follows from them."""
    monkeypatch.setattr(running, "_finished", lambda *_: None)


def test_two_halves_are_the_whole(archive, whole, tmp_path):
    for number in (1, 2):
        validate(sides(archive), SETTINGS, tmp_path / f"half{number}", period=(None, None, (number, 2)))
    combine([tmp_path / "half2", tmp_path / "half1"], tmp_path / "both")
    assert (tmp_path / "both" / "sums.nc").read_bytes() == whole


def test_two_processes_make_the_same_bytes(archive, whole, tmp_path):
    validate(sides(archive), SETTINGS, tmp_path / "out", workers=2)
    assert (tmp_path / "out" / "sums.nc").read_bytes() == whole


def test_dask_makes_the_same_bytes(archive, whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        validate(sides(archive), SETTINGS, tmp_path / "out", cluster=address)
    assert (tmp_path / "out" / "sums.nc").read_bytes() == whole


def test_further_days_are_added(archive, whole, tmp_path, monkeypatch):
    """The first day is redone, as the radar after its midnight is there now; a day before it would not be."""
    calls = []
    original = running.validate_day
    monkeypatch.setattr(running, "validate_day", lambda task: (calls.append(task.day), original(task))[1])
    for name in ("imerg", "radar"):
        (tmp_path / name).mkdir()
        for path in (archive / name).iterdir():
            if "20180604" in path.name:
                shutil.copy2(path, tmp_path / name)
    validate(sides(tmp_path), SETTINGS, tmp_path / "out")
    assert calls == ["2018-06-04"]
    assert list(SumsFile(tmp_path / "out" / "sums.nc").days) == ["2018-06-04"]
    validate(sides(archive), SETTINGS, tmp_path / "out")
    assert calls == ["2018-06-04", "2018-06-04", "2018-06-05"]
    assert (tmp_path / "out" / "sums.nc").read_bytes() == whole
    validate(sides(tmp_path), SETTINGS, tmp_path / "again")
    with pytest.raises(StoreError, match="2018-06-04 is in both"):
        combine([tmp_path / "out", tmp_path / "again"], tmp_path / "both")


def test_the_same_day_twice_counts_once(archive, whole, tmp_path):
    combine([archive / "out", archive / "out"], tmp_path / "both")
    assert (tmp_path / "both" / "sums.nc").read_bytes() == whole
    with pytest.raises(StoreError, match="already"):
        combine([archive / "out"], tmp_path / "both")


def test_what_is_no_validation_is_told(tmp_path, archive, whole):
    (tmp_path / "sums.nc").write_bytes(b"nothing")
    (tmp_path / "scores.nc").write_bytes(b"nothing")
    for work in (lambda folder: combine([folder], tmp_path / "out"), read_validation):
        with pytest.raises(StoreError, match="damaged, or no result"):
            work(tmp_path)
        with pytest.raises(StoreError, match=r"there is no s\w+.nc, and so no result of a validation"):
            work(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="no folder is given"):
        combine([], tmp_path / "out")
    with pytest.raises(ConfigError, match="shard 3/2"):
        validate(sides(archive), SETTINGS, tmp_path / "out", period=(None, None, (3, 2)))


def test_other_readers_open_the_file(archive, whole):
    with xr.open_datatree(archive / "out" / "scores.nc", engine="h5netcdf") as tree:
        held = tree["scores/source"].to_dataset().load()
    ours = read_validation(archive / "out").groups["scores/source"]
    np.testing.assert_array_equal(held["relative_bias"], ours["relative_bias"])
    assert list(held["source"].values) == list(ours["source"].values)
    assert held["resolved"].dtype == bool


def test_groups_come_back_as_they_were(tmp_path):
    made = xr.Dataset(
        {
            "number": (("time", "word"), np.arange(6.0).reshape(2, 3), {"units": "mm h-1"}),
            "flag": ("word", np.array([True, False, True])),
        },
        coords={
            "time": np.array(["2018-06-04T12:00", "2018-06-04T12:30"], "datetime64[ns]"),
            "word": ["a", "é", "c"],
            "crs": ((), 0, {"crs_wkt": "text"}),
        },
        attrs={"score": "point", "wet": 0.1},
    )
    write_groups(tmp_path / "x.nc", [("deep/one", made), ("two", made)], {"about": "{}"})
    assert group_names(tmp_path / "x.nc") == ["deep/one", "two"]
    assert read_attributes(tmp_path / "x.nc")["about"] == "{}"
    assert read_group(tmp_path / "x.nc", "deep/one").identical(made)


class Small(io.BytesIO):
    """A disk of so many bytes."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def write(self, data):
        if self.tell() + len(data) > self.size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("size", [100, 5_000, 40_000])
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(tmp_path, monkeypatch, size):
    made = xr.Dataset({"sum": (("row", "class"), np.random.default_rng(0).random((300, 40)))})
    monkeypatch.setattr(Path, "open", lambda *_, **__: Small(size))
    with pytest.raises(StoreError, match="No space left"):
        write_groups(tmp_path / "x.nc", [("one", made), ("two", made)], {})
    assert not list(tmp_path.iterdir())


def test_tables_that_differ_are_not_put_together():
    one = xr.Dataset({"hits": (("row", "threshold"), np.ones((1, 2)))}, coords={"threshold": [0.1, 1.0]})
    other = one.assign_coords(threshold=[0.1, 2.0])
    with pytest.raises(StoreError, match="threshold"):
        stacked([one, other], "sums/source/event")
