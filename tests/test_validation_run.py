"""A validation of small archives whose scores can be counted by hand."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

import ondee
import real
from archives import radar, times
from observed import (
    CELLS,
    DRAWS,
    RADAR,
    SETTINGS,
    START,
    granule,
    imerg_archive,
    radar_archive,
    sides,
    steady,
    tables,
)
from ondee.errors import ConfigError, GridError, ReadError, StoreError
from ondee.grid import Grid
from ondee.source.imerg_writer import write
from ondee.validation import Rules, Settings, Sides, combine, plan, read_validation, validate
from ondee.validation import run as running
from ondee.validation.archive import SumsFile
from ondee.validation.provenance import simulated
from ondee.validation.result import settings_in


@pytest.fixture(scope="module")
def archive(compared):
    return compared


@pytest.fixture(scope="module")
def found(compared):
    return read_validation(compared / "out")


@pytest.fixture
def without_scores(monkeypatch):
    """Sums only: to finish scores takes longest, and follows from them."""
    monkeypatch.setattr(running, "_finished", lambda *_: None)


def references(archive):
    """Half-hour means and radar at the pass, with nothing but loops."""
    frames = ondee.open(archive / "radar")
    fine = frames["rain_rate"].values.reshape(-1, 9, 5, 10, 5)
    # Rows of the radar differ a little in area: cells of a degree grid shrink towards the pole.
    latitude = frames["y"].values.reshape(9, 5)
    weight = np.cos(np.deg2rad(latitude))[None, :, :, None, None] * np.isfinite(fine)
    total = weight.sum(axis=(2, 4)) / np.cos(np.deg2rad(latitude)).sum(axis=1)[None, :, None] / 5
    cells = np.nansum(weight * np.nan_to_num(fine), axis=(2, 4)) / weight.sum(axis=(2, 4))
    cells[total < 0.95 - 1e-4] = np.nan
    bounds = frames["time_bounds"].values
    pairs = []
    for path in sorted((archive / "imerg").iterdir()):
        satellite = ondee.open(path).isel(time=0)
        start = satellite["time"].values
        minutes = (bounds - start) / np.timedelta64(60, "s")
        inside = (minutes[:, 0] >= 0) & (minutes[:, 1] <= 30)
        mean = cells[inside].mean(axis=0) if inside.sum() == 6 else np.full((9, 10), np.nan)
        at_pass = np.full((9, 10), np.nan)
        minute = satellite["microwave_minute"].values
        for place in np.argwhere(np.isfinite(minute)):
            low, high = minute[tuple(place)] - 2.5, minute[tuple(place)] + 2.5
            shared = np.clip(np.minimum(minutes[:, 1], high) - np.maximum(minutes[:, 0], low), 0, None)
            if shared.sum() == 5:
                at_pass[tuple(place)] = (shared[shared > 0] * cells[(shared > 0, *place)]).sum() / 5
        pairs.append((satellite, mean, at_pass))
    return pairs


def test_moments_are_those_of_a_plain_loop(archive, found):
    rows = {"mean": [], "overpass": [], "floor": []}
    for satellite, mean, at_pass in references(archive):
        estimate = satellite["rain_rate"].values
        own = (satellite["microwave_source"].values == 5) & (satellite["microwave_minute"].values >= 5)
        own &= satellite["microwave_minute"].values < 10
        valid = own & np.isfinite(estimate) & np.isfinite(mean) & np.isfinite(at_pass)
        for name, s, r in (("mean", estimate, mean), ("overpass", estimate, at_pass), ("floor", at_pass, mean)):
            rows[name].append(np.stack([s[valid], r[valid]]))
    scores = found.groups["scores/minute"].sel(source="SSMIS", minute="5–9", population="all")
    for name, parts in rows.items():
        s, r = np.concatenate(parts, axis=1)
        assert s.size > 40
        own = scores.sel(comparison=name)
        np.testing.assert_allclose(own["relative_bias"], (s.sum() - r.sum()) / r.sum(), rtol=2e-4)
        np.testing.assert_allclose(own["correlation"], np.corrcoef(s, r)[0, 1], atol=2e-4)
        np.testing.assert_allclose(own["root_mean_square_error"], np.sqrt(((s - r) ** 2).mean()), rtol=2e-4)
        hits, misses = ((s >= 0.4) & (r >= 0.4)).sum(), ((s < 0.4) & (r >= 0.4)).sum()
        assert float(own["probability_of_detection"].sel(threshold=0.4)) == pytest.approx(hits / (hits + misses))


def test_a_class_holds_what_the_whole_holds(found):
    """Classes of the hour are a partition: their pixels add up to those of the source."""
    whole = found.groups["scores/source"]["samples"].sel(population="all")
    parts = found.groups["scores/hour"]["samples"].sel(population="all").sum("hour")
    np.testing.assert_array_equal(whole.fillna(0), parts)
    single = [name for name in whole["source"].values if name not in ("all", "microwave")]
    np.testing.assert_array_equal(whole.sel(source="all").fillna(0), whole.sel(source=single).fillna(0).sum("source"))


def test_facts_and_pictures(found):
    assert found.facts["half_hours"] == 6
    assert found.facts["days"] == 2
    assert found.facts["imerg"] == {"product": "IMERG", "run": "Final", "version": "V07"}
    assert (np.diff(found.groups["cases"]["time"]) > np.timedelta64(0)).all()
    assert not found.groups["scores/source"]["resolved"].any()  # two days tell nothing
    assert {"comparison", "group", "y", "x"} == set(found.groups["maps"]["relative_bias"].dims)


def test_versions_of_the_same_rain_have_the_same_sums(archive, tmp_path, without_scores):
    imerg_archive(tmp_path / "old", START, 6, version="V06B")
    validate(Sides(str(tmp_path / "old"), str(archive / "radar")), SETTINGS, tmp_path / "out")
    ours, theirs = (tables(folder / "sums.nc") for folder in (archive / "out", tmp_path / "out"))
    assert ours.keys() == theirs.keys()
    assert SumsFile(tmp_path / "out" / "sums.nc").about["imerg"]["version"] == "V06"
    for name, table in ours.items():
        assert table.equals(theirs[name]), name


def test_the_floor_is_no_error_where_rain_does_not_change(tmp_path):
    radar_archive(tmp_path / "radar", "2018-06-04T11:30", 4)
    frames = {stamp: steady([stamp])[0, ::5, ::5] for stamp in times("2018-06-04T12:00", 2, 30)}
    imerg_archive(tmp_path / "imerg", "2018-06-04T12:00", 2, rain=lambda stamp: frames[stamp])
    made = validate(sides(tmp_path), SETTINGS, tmp_path / "out", draws=DRAWS)
    scores = made.groups["scores/minute"].sel(population="all", source="microwave")
    inner = scores.sel(minute=["5–9"])  # no window reaches into another half hour
    for name in ("mean", "overpass", "floor"):
        error = inner.sel(comparison=name)["root_mean_square_error"]
        assert float(error.item()) < 1e-4
        assert float(inner.sel(comparison=name)["correlation"].item()) > 0.999999


def test_missing_is_not_dry(tmp_path):
    """A radar that sees nothing in half of its cells changes no score of the others."""
    stamps = times("2018-06-04T12:00", 6)
    folder = tmp_path / "radar"
    folder.mkdir()
    rain = steady(stamps)
    rain[:, :, 25:] = np.nan
    radar(stamps, grid=RADAR, values=rain, missing=0).to_netcdf(folder / "radar.nc", engine="h5netcdf")
    held = steady(stamps[:1])[0, ::5, ::5] + 1.0
    imerg_archive(tmp_path / "imerg", "2018-06-04T12:00", 1, rain=lambda _: held)
    settings = Settings(by=(), thresholds=(0.1, 1.0), scales=(1,))
    made = validate(sides(tmp_path), settings, tmp_path / "out", draws=DRAWS)
    scores = made.groups["scores/source"].sel(population="all", comparison="mean", source="all")
    assert float(scores["samples"]) <= 45
    assert float(scores["mean_error"]) == pytest.approx(1.0, abs=1e-4)


def test_what_was_cut_short_goes_on(archive, tmp_path, monkeypatch, without_scores):
    out, calls = tmp_path / "out", []

    def work(task):
        calls.append(task.day)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(task)

    original = running.validate_day
    monkeypatch.setattr(running, "validate_day", work)
    with pytest.raises(KeyboardInterrupt):
        validate(sides(archive), SETTINGS, out, draws=DRAWS)
    assert not (out / "sums.nc").exists()
    validate(sides(archive), SETTINGS, out, draws=DRAWS)
    assert calls == ["2018-06-04", "2018-06-05", "2018-06-05"]
    assert (out / "sums.nc").read_bytes() == (archive / "out" / "sums.nc").read_bytes()
    assert not (out / "sums.parts").exists()
    validate(sides(archive), SETTINGS, out, draws=DRAWS)
    assert len(calls) == 3  # nothing is done twice


def test_a_day_that_changed_is_redone_only_if_asked(archive, tmp_path, without_scores):
    shutil.copytree(archive / "imerg", tmp_path / "imerg")
    shutil.copytree(archive / "out", tmp_path / "out")
    both = Sides(str(tmp_path / "imerg"), str(archive / "radar"))
    os.utime(sorted((tmp_path / "imerg").iterdir())[0], (0, 0))
    with pytest.raises(ConfigError, match="2018-06-04 have changed"):
        validate(both, SETTINGS, tmp_path / "out")
    before = SumsFile(tmp_path / "out" / "sums.nc").days["2018-06-04"].signature
    validate(both, SETTINGS, tmp_path / "out", force=True)
    assert SumsFile(tmp_path / "out" / "sums.nc").days["2018-06-04"].signature != before


def test_other_rules_are_taken_without_comparing_anew(archive, tmp_path, monkeypatch, without_scores):
    shutil.copytree(archive / "out", tmp_path / "out")
    monkeypatch.setattr(running, "validate_day", None)
    lenient = replace(SETTINGS, least_days=1, rules=Rules(views=3, days=3))
    validate(sides(archive), lenient, tmp_path / "out")
    assert settings_in(SumsFile(tmp_path / "out" / "sums.nc")) == lenient
    with pytest.raises(StoreError, match="rules: least_days"):
        combine([archive / "out", tmp_path / "out"], tmp_path / "both", draws=DRAWS)


def test_other_settings_do_not_mix(archive, found):
    with pytest.raises(StoreError, match="thresholds"):
        validate(sides(archive), Settings(by=SETTINGS.by, scales=(1, 3)), archive / "out", draws=DRAWS)


def test_foreign_folders_are_left_alone(archive, tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(StoreError, match="thesis"):
        validate(sides(archive), SETTINGS, tmp_path, draws=DRAWS)


def test_places_that_do_not_meet_are_named_both(archive, tmp_path):
    south = Grid(CELLS.crs, 1.0, -60.0, 0.1, 0.1, 10, 9)
    imerg_archive(tmp_path / "imerg", START, 1, cells=south)
    with pytest.raises(GridError) as caught:
        validate(Sides(str(tmp_path / "imerg"), str(archive / "radar")), SETTINGS, tmp_path / "out")
    assert "45.1 to 46.0 °N" in caught.value.what
    assert "-60.9 to -60.0 °N" in caught.value.what


@real.needs("imerg")
def test_real_granules_at_the_pole_do_not_meet_a_radar_of_europe(archive, tmp_path):
    with pytest.raises(GridError, match=r"45.1 to 46.0 °N, IMERG -180.0 to -179.0 °E, -90.0 to -89.0 °N"):
        validate(Sides(str(real.path("imerg")), str(archive / "radar")), SETTINGS, tmp_path / "out")


def test_times_that_do_not_meet_are_named_both(archive, tmp_path):
    imerg_archive(tmp_path / "imerg", "2019-01-01T00:00", 1)
    with pytest.raises(ReadError, match=r"IMERG 2019-01-01T00:00.*radar 2018-06-04T22:30"):
        validate(Sides(str(tmp_path / "imerg"), str(archive / "radar")), SETTINGS, tmp_path / "out")


def test_runs_are_not_mixed_untold(archive, tmp_path, without_scores):
    imerg_archive(tmp_path / "imerg", START, 1)
    write(tmp_path / "imerg", granule("2018-06-04T23:00", 1), version="V07B", run="Early")
    both = Sides(str(tmp_path / "imerg"), str(archive / "radar"))
    with pytest.raises(ReadError, match="Early V07 and Final V07"):
        validate(both, SETTINGS, tmp_path / "out")
    mixed = Settings(by=(), thresholds=(0.1, 1.0), scales=(1,), mixed=True)
    validate(both, mixed, tmp_path / "out")
    assert SumsFile(tmp_path / "out" / "sums.nc").about["imerg"]["run"] == "Early, Final"


def test_sides_in_the_wrong_order_are_told(archive):
    with pytest.raises((ReadError, GridError)):
        validate(Sides(str(archive / "radar"), str(archive / "radar")), SETTINGS, archive / "no")
    with pytest.raises(ReadError, match="radar is wanted"):
        validate(Sides(str(archive / "imerg"), str(archive / "imerg")), SETTINGS, archive / "no")


def test_a_plan_counts_passes(archive):
    made = plan(sides(archive), SETTINGS)
    assert made["half_hours"] == 6
    assert made["passes"] == {"GMI": 1, "SSMIS": 1, "MHS": 1, "ATMS": 1}
    assert made["period"] == ["2018-06-04", "2018-06-05"]


def test_height_splits_cells(archive, tmp_path):
    import xarray as xr

    latitude, longitude = np.arange(45.025, 46.2, 0.05), np.arange(0.925, 2.2, 0.05)
    height = np.where(longitude[None, :] < 1.5, 100.0, 1200.0) * np.ones((latitude.size, 1))
    ground = xr.Dataset({"z": (("lat", "lon"), height, {"units": "m"})}, coords={"lat": latitude, "lon": longitude})
    ground.to_netcdf(tmp_path / "ground.nc", engine="h5netcdf")
    settings = Settings(by=("height",), thresholds=(0.1, 1.0), scales=(1,))
    both = sides(archive, height=f"{tmp_path / 'ground.nc'}::z")
    made = validate(both, settings, tmp_path / "out", draws=DRAWS, period=("2018-06-04", "2018-06-04", None))
    cells = made.groups["scores/height"]["samples"].sel(population="all", comparison="mean", source="all")
    assert (cells.sel(height=["< 200", "1000–1500"]) > 50).all()
    assert np.isnan(cells.sel(height="200–500"))


def long_radar(folder, minutes, start="2018-06-04T12:00"):
    """Frames of so many minutes over an hour."""
    step = np.timedelta64(minutes, "m")
    stamps = np.datetime64(start, "ns") + np.arange(max(1, 60 // minutes)) * step
    folder.mkdir()
    made = radar(stamps, grid=RADAR, minutes=minutes, values=steady(stamps), missing=0)
    made.to_netcdf(folder / "radar.nc", engine="h5netcdf")


def test_frames_longer_than_a_pass_give_no_radar_at_the_pass(tmp_path):
    """Half-hour frames would be a perfect floor: all cells are judged against the mean, and the facts say so."""
    long_radar(tmp_path / "radar", 30)
    imerg_archive(tmp_path / "imerg", "2018-06-04T12:00", 2)
    settings = Settings(by=(), thresholds=(0.1, 1.0), scales=(1,))
    made = validate(sides(tmp_path), settings, tmp_path / "out", draws=DRAWS)
    samples = made.groups["scores/source"]["samples"].sel(population="all", source="microwave")
    assert samples.sel(comparison="mean") > 50
    assert not samples.sel(comparison=["overpass", "floor"]).fillna(0).any()
    assert "30 minutes" in made.facts["left_out"][0]


def test_frames_longer_than_the_half_hour_are_refused(tmp_path):
    long_radar(tmp_path / "radar", 60)
    imerg_archive(tmp_path / "imerg", "2018-06-04T12:00", 2)
    with pytest.raises(ReadError, match="60 minutes"):
        validate(sides(tmp_path), SETTINGS, tmp_path / "out")


def test_simulated_archives_say_so(archive, found, tmp_path):
    assert (found.facts["simulated"], found.facts["simulated_archives"], found.facts["world"]) == (True, ["imerg"], "")
    (tmp_path / "radar" / "20180604").mkdir(parents=True)
    (tmp_path / "truth.yaml").write_text("ondee: 1\nworld: {name: tiny}\n")
    path = tmp_path / "radar" / "20180604" / "x.h5"
    assert simulated(tmp_path / "imerg" / "x.HDF5", "PPS", path)["world"] == "tiny"
    assert simulated(archive / "imerg" / "x", "PPS", archive / "radar" / "x") == {
        "simulated": False,
        "simulated_archives": [],
        "world": "",
    }
    assert len(found.facts["commit"]) in (0, 40)
