import json
import math

import numpy as np
import pytest

import ondee.facts as module
import real
from fields import FRANCE, LAEA, Fake, radar, showers
from ondee.errors import ConfigError, ReadError
from ondee.facts import facts, survey
from ondee.facts.tally import Choice, tally_of
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer

ANY = Choice(None, None, None)


def told(*datasets, choice=ANY):
    """Facts of Datasets, one granule each."""
    tallies = []
    for granule in Fake({f"{n}.h5": dataset for n, dataset in enumerate(datasets)}).granules():
        dataset = granule.read()
        tally_of(tallies, granule, dataset).add(granule, dataset, choice)
    return [tally.finish() for tally in tallies]


def test_numbers_are_those_of_numpy():
    rain = showers(frames=3)
    (found,) = told(radar(rain))
    (entry,) = found.variables
    assert (found.frames, found.files, found.step, found.interval, found.label) == (3, 1, 5.0, 5.0, "end")
    assert (found.first, found.last) == ("2018-06-04T12:00:00", "2018-06-04T12:10:00")
    assert entry.statistics.minimum == 0 and entry.statistics.maximum == np.nanmax(rain)
    assert entry.statistics.mean == pytest.approx(np.nanmean(rain, dtype=float), rel=1e-6)
    assert entry.statistics.missing_share == pytest.approx(np.isnan(rain).mean())
    assert entry.statistics.wet_fraction == pytest.approx((rain >= 0.1).sum() / np.isfinite(rain).sum())


def test_granules_merge_to_the_same_facts():
    rain = showers(frames=4)
    (whole,) = told(radar(rain))
    (parts,) = told(radar(rain[:1]), radar(rain[1:], start="2018-06-04T12:05"))
    assert parts.files == 2
    trees = [entry.as_dict() for entry in (whole, parts)]
    for tree in trees:
        del tree["files"]
    assert trees[0] == trees[1]


def test_missing_and_repeated_frames_are_counted():
    rain = showers(frames=3)
    late = radar(rain, start="2018-06-04T12:25")
    (found,) = told(radar(rain), late, late)
    assert (found.frames, found.step, found.missing_frames, found.repeated_frames) == (6, 5.0, 2, 3)


def test_products_and_grids_are_told_apart():
    other = Grid(LAEA, 700_000, -2_400_000, 2000, 2000, 60, 50)
    found = told(
        radar(showers()),
        radar(showers(), start="2018-06-04T13:00", product="another"),
        radar(showers(other), grid=other, start="2018-06-04T13:00"),
    )
    assert [entry.product for entry in found] == ["a radar", "another", "a radar"]
    assert [entry.grid.unit for entry in found] == ["degree", "degree", "m"]
    assert found[2].grid.shape == (50, 60) and found[2].grid.crs.startswith("+proj=laea")


def test_quality_thresholds_tell_the_wet_share_that_they_remove():
    rain = np.zeros((1, 10, 12), np.float32)
    rain[0, 0, :10] = 1.0
    quality = np.ones_like(rain)
    quality[0, 0, :4], quality[0, 0, 4:7], quality[0, 0, 7:8], quality[0, 0, 8] = 0.1, 0.4, 0.7, np.nan
    quality[0, 5:] = 0.0  # dry pixels do not count
    (found,) = told(radar(rain, grid=FRANCE.crop(slice(0, 10), slice(0, 12)), quality=quality))
    entry = found.variables[0]
    assert entry.removed_by_quality == {"0.2": 0.4, "0.5": 0.7, "0.8": 0.8}
    assert entry.unknown_quality == 0.1
    assert found.variables[1].removed_by_quality is None


def test_an_amount_is_wet_from_the_rate_that_it_means():
    amounts = np.full((1, 10, 12), 0.05, np.float32)
    grid = FRANCE.crop(slice(0, 10), slice(0, 12))
    (five,) = told(radar(amounts, grid=grid, name="rain_amount"))
    (hour,) = told(radar(amounts, grid=grid, name="rain_amount", step=60))
    assert five.variables[0].statistics.wet_fraction == 1.0
    assert hour.variables[0].statistics.wet_fraction == 0.0


def test_implausible_values_are_counted_and_the_worst_is_told():
    rain = showers(frames=2)
    rain[0, 20, 20], rain[1, 30, 30] = 1205.0, -3.0
    (found,) = told(radar(rain[:1]), radar(rain[1:], start="2018-06-04T12:05"))
    assert (found.variables[0].implausible_count, found.variables[0].implausible_extreme) == (2, 1205.0)


def test_nothing_observed_is_null_in_json_and_no_zero():
    (found,) = told(radar(np.full((1, 90, 120), np.nan)))
    tree = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    statistics = tree["variables"][0]["statistics"]
    assert statistics == dict.fromkeys(("minimum", "maximum", "mean", "wet_fraction"), None) | {"missing_share": 1.0}
    assert math.isnan(found.variables[0].statistics.maximum)


def test_the_preview_is_the_rainiest_frame_or_the_one_asked_for():
    rain = showers(frames=3)
    rain[0], rain[2] = 0, 0
    (found,) = told(radar(rain))
    assert found.preview["time"].values == np.datetime64("2018-06-04T12:05")
    (found,) = told(radar(rain), choice=Choice(None, np.datetime64("2018-06-04T12:10", "ns"), None))
    assert found.preview["time"].values == np.datetime64("2018-06-04T12:10")


@pytest.mark.parametrize(
    "grid",
    [
        Grid(LAEA, 0, 0, 8000, 8000, 475, 550),
        Grid("+proj=geos +h=35785831 +lon_0=0 +sweep=y", -5.57e6, 5.57e6, 20000, 20000, 557, 557),
        Grid("+proj=stere +lat_0=90", -3e6, 2.5e6, 10000, 10000, 560, 530),
    ],
)
def test_region_of_a_large_grid_is_that_of_all_its_corners(grid):
    x, y = np.meshgrid(grid.x_edges, grid.y_edges)
    longitude, latitude = transformer(grid.crs, LATITUDE_LONGITUDE).transform(x, y)
    seen = np.isfinite(longitude)
    longitude, latitude = longitude[seen], latitude[seen]
    expected = (longitude.min(), latitude.min(), longitude.max(), latitude.max())
    assert grid.region() == pytest.approx(expected, abs=0.6 if grid.projection.to_wkt().count("Polar") else 0)


# ---- files


def netcdf(path, **arguments):
    dataset = radar(showers(), **arguments)
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


def test_a_folder_with_foreign_and_damaged_files(tmp_path):
    whole = netcdf(tmp_path / "a.nc").read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("not a radar image")
    found = survey(tmp_path)
    assert [entry.product for entry in found.products] == ["a radar"]
    assert set(found.left_out) == {str(tmp_path / "cut.nc"), str(tmp_path / "notes.txt")}
    assert found.left_out[str(tmp_path / "notes.txt")] == "no reader knows this file"


def test_a_named_file_that_is_damaged_is_an_error(tmp_path):
    whole = netcdf(tmp_path / "a.nc").read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError):
        survey(tmp_path / "cut.nc")


def test_facts_of_two_products_are_refused(tmp_path):
    netcdf(tmp_path / "a.nc")
    netcdf(tmp_path / "b.nc", product="another")
    assert len(survey(tmp_path).products) == 2
    with pytest.raises(ConfigError, match="2 products"):
        facts(tmp_path)


@pytest.mark.parametrize(
    "choice", [{"variable": "rain"}, {"time": "2018-06-04T23:00"}, {"channel": "IR_108", "variable": "brightness"}]
)
def test_a_field_that_is_not_there_is_refused(tmp_path, choice):
    with pytest.raises(ConfigError, match="no field") as caught:
        survey(netcdf(tmp_path / "a.nc"), **choice)
    assert "rain_rate" in caught.value.fix


def test_a_time_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="not a time"):
        survey(netcdf(tmp_path / "a.nc"), time="noon")


def test_one_granule_is_held_at_a_time(monkeypatch, tmp_path):
    """Memory does not grow with the number of files: no Dataset outlives its turn."""
    import gc
    import weakref

    alive = []
    dataset = radar(showers())

    class Watched(Fake):
        def read(self, paths, *, region=None, **options):
            gc.collect()
            assert sum(reference() is not None for reference in alive) <= 1
            made = dataset.copy(deep=True)
            made["time"] = made["time"] + np.timedelta64(10 * self.reads, "m")
            self.reads += 1
            alive.append(weakref.ref(made))
            return made

    fake = Watched({f"{n}.h5": dataset for n in range(6)})
    monkeypatch.setattr(module, "by_formats", lambda *paths, format: ({"fake": []}, {}))
    monkeypatch.setattr(module, "gathered", lambda name, files, **options: fake.granules())
    assert survey(tmp_path).products[0].frames == 12
    assert fake.reads == 6


OPERA_2018 = "opera/T_PAAH21_C_EUOC_20180824201500.hdf"


@real.needs(OPERA_2018)
def test_a_threshold_of_opera_2018_deletes_its_rain():
    found = facts(real.path(OPERA_2018))
    entry = found.variables[0]
    assert entry.removed_by_quality["0.8"] > 0.99
    assert entry.removed_by_quality["0.2"] < 0.7
