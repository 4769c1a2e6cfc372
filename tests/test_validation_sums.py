"""Sums: merged in any way they are the same bytes; days are added; shards that contradict each other are refused."""

import shutil

import numpy as np
import pytest
import xarray as xr

from observed import imerg_archive, radar_archive
from ondee.errors import ConfigError, StoreError
from ondee.source.groups import group_names, read_attributes, read_group, write_groups
from ondee.validation import Draws, Settings, Sides, combine, read_validation, validate
from ondee.validation.archive import SumsFile
from ondee.validation.record import stacked

SETTINGS = Settings(by=("minute",), thresholds=(0.1, 0.4), scales=(1, 3))
DRAWS = Draws(100)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    imerg_archive(folder / "imerg", "2018-06-04T22:30", 6)
    radar_archive(folder / "radar", "2018-06-04T22:30", 6, changing=True)
    return folder


@pytest.fixture(scope="module")
def whole(archive):
    validate(sides(archive), SETTINGS, archive / "whole", draws=DRAWS)
    return (archive / "whole" / "sums.nc").read_bytes()


def sides(folder):
    return Sides(str(folder / "imerg"), str(folder / "radar"))


def halves(archive, folder, **how):
    for number in (1, 2):
        validate(
            sides(archive), SETTINGS, folder / f"half{number}", period=(None, None, (number, 2)), draws=DRAWS, **how
        )
    combine([folder / "half2", folder / "half1"], folder / "both", draws=DRAWS)
    return (folder / "both" / "sums.nc").read_bytes()


def test_two_halves_are_the_whole(archive, whole, tmp_path):
    assert halves(archive, tmp_path) == whole
    ours, theirs = (read_validation(folder) for folder in (archive / "whole", tmp_path / "both"))
    for name, group in ours.groups.items():
        assert group.identical(theirs.groups[name]), name


def test_two_processes_make_the_same_bytes(archive, whole, tmp_path):
    validate(sides(archive), SETTINGS, tmp_path / "out", draws=DRAWS, workers=2)
    assert (tmp_path / "out" / "sums.nc").read_bytes() == whole


def test_dask_makes_the_same_bytes(archive, whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        validate(sides(archive), SETTINGS, tmp_path / "out", draws=DRAWS, cluster=address)
    assert (tmp_path / "out" / "sums.nc").read_bytes() == whole


def test_further_days_are_added(archive, whole, tmp_path, monkeypatch):
    """The first day is redone, as the radar after its midnight is there now; a day before it would not be."""
    from ondee.validation import run as running

    calls = []
    original = running.validate_day
    monkeypatch.setattr(running, "validate_day", lambda task: (calls.append(task.day), original(task))[1])
    for name in ("imerg", "radar"):
        (tmp_path / name).mkdir()
        for path in (archive / name).iterdir():
            if "20180604" in path.name:
                shutil.copy2(path, tmp_path / name)
    validate(sides(tmp_path), SETTINGS, tmp_path / "out", draws=DRAWS)
    assert calls == ["2018-06-04"]
    assert list(SumsFile(tmp_path / "out" / "sums.nc").days) == ["2018-06-04"]
    validate(sides(archive), SETTINGS, tmp_path / "out", draws=DRAWS)
    assert calls == ["2018-06-04", "2018-06-04", "2018-06-05"]
    assert (tmp_path / "out" / "sums.nc").read_bytes() == whole
    validate(sides(tmp_path), SETTINGS, tmp_path / "again", draws=DRAWS)
    with pytest.raises(StoreError, match="2018-06-04 is in both"):
        combine([tmp_path / "out", tmp_path / "again"], tmp_path / "both", draws=DRAWS)


def test_the_same_day_twice_counts_once(archive, whole, tmp_path):
    combine([archive / "whole", archive / "whole"], tmp_path / "both", draws=DRAWS)
    assert (tmp_path / "both" / "sums.nc").read_bytes() == whole
    with pytest.raises(StoreError, match="already"):
        combine([archive / "whole"], tmp_path / "both", draws=DRAWS)


def test_what_is_no_validation_is_told(tmp_path, archive, whole):
    (tmp_path / "sums.nc").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="no sums"):
        combine([tmp_path], tmp_path / "out")
    with pytest.raises(StoreError, match="no validation"):
        read_validation(tmp_path)
    with pytest.raises(ConfigError, match="shard 3/2"):
        validate(sides(archive), SETTINGS, tmp_path / "out", period=(None, None, (3, 2)))


def test_other_readers_open_the_file(archive, whole):
    with xr.open_datatree(archive / "whole" / "scores.nc", engine="h5netcdf") as tree:
        held = tree["scores/source"].to_dataset().load()
    ours = read_validation(archive / "whole").groups["scores/source"]
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


def test_tables_that_differ_are_not_put_together():
    one = xr.Dataset({"hits": (("row", "threshold"), np.ones((1, 2)))}, coords={"threshold": [0.1, 1.0]})
    other = one.assign_coords(threshold=[0.1, 2.0])
    with pytest.raises(StoreError, match="threshold"):
        stacked([one, other], "sums/source/event")
