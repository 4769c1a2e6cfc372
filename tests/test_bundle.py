"""Datasets in one file of arrays: what comes back is what went in, and a file that was cut short tells nothing."""

import numpy as np
import pytest
import xarray as xr

from ondee.bundle import read_about, read_bundle, write_bundle


@pytest.fixture
def datasets():
    rain = xr.DataArray(
        np.array([[0.0, np.nan], [1.5, 2.0]], np.float32),
        dims=("time", "x"),
        attrs={"units": "mm h-1", "seen": np.int64(3)},
    )
    named = xr.Dataset(
        {"rain": rain, "count": ("time", [1, 2])},
        coords={"source": ("x", np.array(["GMI", "code 99"], object)), "time": [np.datetime64("2018-06-04", "ns")] * 2},
        attrs={"pixel": 0.1},
    )
    return {"sums/minute": named, "empty": xr.Dataset()}


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_read_is_what_was_written(tmp_path, datasets, packed):
    about = {"day": "2018-06-04", "counts": {"half_hours": 2}}
    write_bundle(tmp_path / "a.npz", about, datasets, packed=packed)
    told, found = read_bundle(tmp_path / "a.npz")
    assert told == about == read_about(tmp_path / "a.npz") and list(found) == list(datasets)
    for name, dataset in datasets.items():
        xr.testing.assert_identical(found[name], dataset)
        assert set(found[name].coords) == set(dataset.coords)
    assert found["sums/minute"]["rain"].dtype == np.float32


def test_only_what_is_wanted_is_read(tmp_path, datasets):
    write_bundle(tmp_path / "a.npz", {}, datasets)
    assert list(read_bundle(tmp_path / "a.npz", ["empty"])[1]) == ["empty"]


def test_absent_foreign_and_cut_files_tell_nothing(tmp_path, datasets):
    assert read_about(tmp_path / "none.npz") is None
    write_bundle(tmp_path / "a.npz", {"day": "2018-06-04"}, datasets)
    whole = (tmp_path / "a.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        assert read_about(tmp_path / "cut.npz") is None
    np.savez(tmp_path / "foreign.npz", about=np.array("{}"))
    assert read_about(tmp_path / "foreign.npz") is None
