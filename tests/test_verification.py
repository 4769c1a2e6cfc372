import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from fields import LAEA, radar
from ondee import score
from ondee.collocation.reading import Reading
from ondee.command.verify import Outputs, Sides, verification, write_scores
from ondee.errors import ConfigError, GridError, ReadError
from ondee.grid import Grid
from ondee.output import write_netcdf
from ondee.verification import Settings, plan, subject, verify
from ondee.verification.pairing import batches, pairs

PLANE = Grid(LAEA, 3_000_000.0, -2_000_000.0, 2000.0, 2000.0, 40, 36)
QUICK = Settings(thresholds=(0.1, 1.0, 5.0), scales=(1, 3, 9), window=16)
DAYS = ("2018-06-04", "2018-06-05", "2018-06-06")


def rain(seed, frames=4, holes=True):
    """Smooth showers ``(time, y, x)``."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    noise = np.stack([gaussian_filter(rng.standard_normal(PLANE.shape), 2.0) for _ in range(frames)])
    values = np.where(noise > 0.05, np.minimum(np.exp(9 * noise) * 0.6, 90.0), 0.0).astype(np.float32)
    if holes:
        values[:, :3, -5:] = np.nan
    return values


def write(folder, name, values, start, **how):
    """One file of frames every 15 min, labelled with their end."""
    made = radar(values, grid=PLANE, start=f"{start}T12:15", step=15, **how)
    folder.mkdir(exist_ok=True, parents=True)
    write_netcdf(made, folder / name, force=True)
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Truth, a good and a bad estimate and an ensemble, over three days."""
    folder = tmp_path_factory.mktemp("archive")
    for index, day in enumerate(DAYS):
        truth = rain(index)
        quality = np.linspace(0, 1, truth.size).reshape(truth.shape)
        write(folder / "truth", f"{day}.nc", truth, day, quality=quality, product="radar")
        good, bad = rain(index + 10), rain(index + 20)
        mixed = np.where(np.random.default_rng(index).random(truth.shape) < 0.7, truth, good)
        mixed[:, -4:] = np.nan
        write(folder / "good", f"{day}.nc", mixed.astype("f4"), day, product="good")
        write(folder / "bad", f"{day}.nc", bad, day, product="bad")
        members = np.stack([rain(index + 30 + member) for member in range(4)], axis=1)
        one = radar(rain(0), grid=PLANE, start=f"{day}T12:15", step=15, product="ensemble")
        ensemble = one.drop_vars("rain_rate").assign(
            rain_rate=(("time", "member", "y", "x"), members, one["rain_rate"].attrs)
        )
        (folder / "ensemble").mkdir(exist_ok=True)
        write_netcdf(ensemble.assign_coords(member=np.arange(4)), folder / "ensemble" / f"{day}.nc")
    return folder


def found(archive, *names, **how):
    reading = Reading(**how)
    return [subject(f"{name}={archive / name}", reading, {}) for name in names]


def test_streamed_by_day_is_the_score_of_the_whole(archive, tmp_path):
    truth, good = found(archive, "truth", "good")
    made = verify(truth, [good], QUICK, tmp_path / "parts", replicates=200)
    import ondee

    whole = {name: ondee.open(archive / name)["rain_rate"] for name in ("truth", "good")}
    for name, direct in {
        "event": score.event(whole["good"], whole["truth"], thresholds=QUICK.thresholds),
        "fractions": score.fractions(whole["good"], whole["truth"], thresholds=QUICK.thresholds, scales=QUICK.scales),
        "point": score.point(whole["good"], whole["truth"]),
        "distribution": score.distribution(whole["good"], whole["truth"], thresholds=QUICK.thresholds, step=0.25),
    }.items():
        expected = score.finish(direct)
        got = made.scores[name].sel(estimate="good", stratum="all")
        for variable in expected.data_vars:
            np.testing.assert_allclose(got[variable], expected[variable], rtol=1e-9, err_msg=f"{name} {variable}")
    assert made.facts["estimates"]["good"]["frames"] == 12
    assert made.facts["frames"] == 12 and made.facts["days"] == 3 and made.facts["blocks"] == 6
    assert made.facts["pixel_km"] == pytest.approx(2.0)
    assert list(made.cases["panel"].values) == ["truth", "good"]


def test_all_scores_of_all_kinds_have_values_and_intervals(archive, tmp_path):
    truth, *estimates = found(archive, "truth", "good", "bad", "ensemble")
    made = verify(truth, estimates, QUICK, tmp_path / "parts", replicates=200)
    names = ["good", "bad", "ensemble", "ensemble mean"]
    assert list(made.scores["event"]["estimate"].values) == names
    assert list(made.scores["ranks"]["estimate"].values) == ["ensemble"]
    axes = made.scores["axes"].sel(stratum="all")
    assert axes["localisation"].notnull().all()
    assert float(axes["localisation"].sel(estimate="good")) > float(axes["localisation"].sel(estimate="bad"))
    for name, scores in made.scores.items():
        first = next(iter(scores.data_vars))
        assert f"{first}_low" in scores, name
        assert scores[first].notnull().any(), name
    difference = made.scores["event"]["critical_success_index_difference"].sel(
        stratum="all", threshold=1.0, reference="good"
    )
    assert float(difference.sel(estimate="bad")) < 0
    # Frames are drawn alike for all estimates, so that the difference is known better than its parts.
    assert made.facts["reference"] == "good"


def test_one_sample_for_all_or_each_its_own(archive, tmp_path):
    truth, good, bad = found(archive, "truth", "good", "bad")
    samples = {}
    for sample in ("common", "own"):
        made = verify(
            truth, [good, bad], replace(QUICK, sample=sample, scores=("point",)), tmp_path / sample, replicates=200
        )
        samples[sample] = made.scores["point"]["samples"].sel(population="all", stratum="all").values
    seen = np.isfinite(rain(0)[0])
    assert samples["own"][1] == 12 * seen.sum()
    seen[-4:] = False
    assert samples["common"].tolist() == [12 * seen.sum()] * 2
    assert samples["own"][0] == 12 * seen.sum()


def test_strata_add_up_to_the_whole(archive, tmp_path):
    truth, good = found(archive, "truth", "good")
    made = verify(
        truth,
        [good],
        replace(QUICK, by=("hour", "quality", "season"), scores=("event",)),
        tmp_path / "p",
        replicates=200,
    )
    (sums,) = made.sums["event"]
    hits = sums["hits"].sum("time").sel(estimate="good", threshold=0.1)
    strata = [str(name) for name in hits["stratum"].values]
    assert strata[0] == "all"
    assert {name.split()[0] for name in strata} == {"all", "hour", "quality", "season"}
    for kind in ("hour", "quality", "season"):
        parts = [name for name in strata if name.startswith(kind)]
        assert float(hits.sel(stratum=parts).sum()) == float(hits.sel(stratum="all"))
    assert "hour 12" in strata and "season JJA" in strata


def test_persistence_is_the_truth_of_some_time_ago(archive, tmp_path):
    (truth,) = found(archive, "truth")
    made = verify(truth, [], replace(QUICK, lags=(15.0, 30.0), scores=("event",)), tmp_path / "p", replicates=200)
    whole = np.stack([rain(index) for index in range(3)])
    early, late = whole[:, :-1].reshape(-1, *PLANE.shape), whole[:, 1:].reshape(-1, *PLANE.shape)
    own = verify(truth, [], replace(QUICK, lags=(15.0,), scores=("event",)), tmp_path / "q", replicates=200).scores[
        "event"
    ]
    hits = ((early >= 1) & (late >= 1)).sum()
    either = ((early >= 1) | (late >= 1)).sum()
    assert float(own["critical_success_index"].sel(threshold=1.0, stratum="all").item()) == pytest.approx(hits / either)
    assert list(made.scores["event"]["estimate"].values) == ["persistence 15 min", "persistence 30 min"]
    # on the common sample, frames without the longer lag are left out for both
    (sums,) = made.sums["event"]
    total = sum(sums[name].sum("time").isel(stratum=0, threshold=0) for name in sums.data_vars)
    assert total.values.tolist() == [6 * np.isfinite(rain(0)[0]).sum()] * 2


def outputs(folder, name="scores.nc"):
    return Outputs(folder / name)


HOW = {"block": "auto", "replicates": 200, "level": 0.95, "reference": None, "workers": 1, "cluster": None}


def test_cut_short_and_resumed_gives_the_same_bytes(archive, tmp_path, monkeypatch):
    sides = Sides([f"good={archive / 'good'}", f"e={archive / 'ensemble'}", str(archive / "truth")])
    few = replace(QUICK, scores=("event", "point", "ranks", "distribution"))
    verification(sides, few, outputs(tmp_path, "whole.nc"), **HOW)
    import ondee.verification.run as run

    done = []
    own = run.score_day

    def cut(task):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(own(task))
        return done[-1]

    monkeypatch.setattr(run, "score_day", cut)
    with pytest.raises(KeyboardInterrupt):
        verification(sides, few, outputs(tmp_path), **HOW)
    assert not (tmp_path / "scores.nc").exists()
    assert len(list((tmp_path / "scores.nc.parts").glob("*.npz"))) == 1
    counted = []
    monkeypatch.setattr(run, "score_day", lambda task: counted.append(task.day) or own(task))
    verification(sides, few, outputs(tmp_path), **HOW)
    assert counted == list(DAYS[1:])
    assert (tmp_path / "scores.nc").read_bytes() == (tmp_path / "whole.nc").read_bytes()
    assert not (tmp_path / "scores.nc.parts").exists()


def test_workers_change_nothing(archive, tmp_path):
    sides = Sides([f"good={archive / 'good'}", str(archive / "truth")])
    few = replace(QUICK, scores=("event", "point"))
    for workers in (1, 2):
        verification(sides, few, outputs(tmp_path, f"{workers}.nc"), **{**HOW, "workers": workers})
    assert (tmp_path / "1.nc").read_bytes() == (tmp_path / "2.nc").read_bytes()


def test_changed_files_are_scored_again(archive, tmp_path):
    import shutil

    for name in ("truth", "good"):
        shutil.copytree(archive / name, tmp_path / name)
    parts = tmp_path / "parts"
    few = replace(QUICK, scores=("event",))
    first = verify(*_two(tmp_path), few, parts, replicates=200)
    write(tmp_path / "good", f"{DAYS[1]}.nc", rain(99), DAYS[1], product="good")
    second = verify(*_two(tmp_path), few, parts, replicates=200)
    csi = [
        float(made.scores["event"]["critical_success_index"].isel(estimate=0, threshold=0, stratum=0))
        for made in (first, second)
    ]
    assert csi[0] != csi[1]
    fresh = verify(*_two(tmp_path), few, tmp_path / "fresh", replicates=200)
    xr.testing.assert_identical(fresh.scores["event"], second.scores["event"])


def _two(folder):
    truth, good = found(folder, "truth", "good")
    return truth, [good]


def test_frames_that_one_side_lacks_are_told(archive, tmp_path):
    import shutil

    shutil.copytree(archive / "good", tmp_path / "good")
    (tmp_path / "good" / f"{DAYS[1]}.nc").unlink()
    (truth,), (good, bad) = found(archive, "truth"), (*found(tmp_path, "good"), *found(archive, "bad"))
    made = verify(truth, [good, bad], replace(QUICK, scores=("event",)), tmp_path / "p", replicates=200)
    told = made.facts["estimates"]
    assert (told["good"]["frames"], told["good"]["missing_frames"]) == (8, 4)
    assert (told["bad"]["frames"], told["bad"]["missing_frames"]) == (12, 0)
    assert made.facts["blocks"] == 4


def test_intervals_must_be_the_same(archive, tmp_path):
    (truth,) = found(archive, "truth")
    (late,) = found(archive, "good", interval=(10.0, "start"))
    with pytest.raises(ReadError, match="over the same interval") as told:
        verify(truth, [late], replace(QUICK, scores=("event",)), tmp_path / "p", replicates=200)
    assert "truth 2018-06-04T12:00 to 2018-06-04T12:15" in told.value.what
    made = verify(
        truth,
        found(archive, "good", interval=(15.0, "end")),
        replace(QUICK, scores=("event",)),
        tmp_path / "q",
        replicates=200,
    )
    assert made.facts["frames"] == 12


def test_another_grid_is_refused(archive, tmp_path):
    grid = Grid(LAEA, PLANE.west + 1000, PLANE.north, 2000.0, 2000.0, 40, 36)
    for day in DAYS:
        made = radar(rain(1), grid=grid, start=f"{day}T12:15", step=15, product="shifted")
        write_netcdf(made, tmp_path / f"{day}.nc")
    (truth,) = found(archive, "truth")
    with pytest.raises(GridError, match=r"shifted lies on .*, the truth on"):
        verify(truth, [subject(f"shifted={tmp_path}", Reading(), {})], QUICK, tmp_path / "p", replicates=200)


@pytest.mark.parametrize(
    ("specs", "settings", "how", "words"),
    [
        (["good", "good", "truth"], {}, {}, "two estimates are called 'good'"),
        (["truth"], {}, {}, "there is no estimate"),
        (["good", "truth"], {}, {"reference": "better"}, "no estimate is called 'better'"),
        (["good", "truth"], {}, {"block": "7h"}, "no length of a block"),
        (["good", "truth"], {"scores": ("skill",)}, {}, "'skill' is no score"),
        (["good", "nothing"], {}, {}, "no such file or folder"),
        (["good::rain", "truth"], {}, {}, "'rain' is not in the vocabulary"),
        (["good::quality", "truth"], {}, {}, "there is no quality"),
        (["truth", "ensemble"], {}, {}, "the truth is rain_rate of 4 members"),
    ],
)
def test_wrong_use_is_told_before_the_work(archive, tmp_path, specs, settings, how, words):
    from ondee.errors import OndeeError

    sides = Sides([str(archive / spec) for spec in specs])
    with pytest.raises(OndeeError, match=words):
        verification(sides, replace(QUICK, **settings), outputs(tmp_path), **{**HOW, **how})
    assert not list(tmp_path.glob("*.nc"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": ("day",)},
        {"sample": "all"},
        {"lags": (0.0,)},
        {"lags": (float("inf"),)},
        {"scales": (2,)},
        {"thresholds": (1.0, 0.1)},
        {"scales": (-1,)},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError):
        Settings(**wrong)


def test_results_are_not_overwritten(archive, tmp_path):
    (tmp_path / "scores.nc").write_text("mine")
    sides = Sides([str(archive / "good"), str(archive / "truth")])
    with pytest.raises(ConfigError, match="the file exists"):
        verification(sides, QUICK, outputs(tmp_path), **HOW)
    assert (tmp_path / "scores.nc").read_text() == "mine"


def test_ensembles_of_any_size_are_paired_by_their_fair_score(archive, tmp_path):
    truth, many = found(archive, "truth", "ensemble")
    (tmp_path / "few").mkdir()
    for path in (archive / "ensemble").glob("*.nc"):
        with xr.open_dataset(path) as held:
            write_netcdf(held.isel(member=slice(2)).load(), tmp_path / "few" / path.name)
    few = subject(f"few={tmp_path / 'few'}", Reading(), {})
    settings = replace(QUICK, scores=("crps",))
    made = verify(truth, [many, few], settings, tmp_path / "parts", replicates=100).scores["crps"].sel(tail=0.0)
    scores = made["fair_crps"].sel(estimate=["ensemble", "few"]).values
    gap = made["fair_crps_difference"].sel(estimate="few", reference="ensemble")
    assert np.isfinite(scores).all() and gap.values == pytest.approx(scores[1] - scores[0])


def test_the_plan_says_what_would_be_done(archive):
    truth, *estimates = found(archive, "truth", "good", "ensemble")
    made = plan(truth, estimates, replace(QUICK, lags=(15.0,)))
    assert made["days"] == 3 and made["block"] == "30m" and made["members"] == {"ensemble": 4}
    assert list(made["scores"]) == ["good", "ensemble", "ensemble mean", "persistence 15 min"]
    assert "crps" in made["scores"]["ensemble"] and "crps" not in made["scores"]["good"]
    json.dumps(made)


def test_blocks_follow_the_length_of_the_archive(archive, monkeypatch):
    truth, good = found(archive, "truth", "good")
    from ondee.verification import run

    for days, step, length in (
        (1, 1, "1h"),
        (2, 1, "3h"),
        (4, 3, "6h"),
        (12, 6, "1D"),
        (128, 6, "1D"),
        (129, 6, "2D"),
        (3650, 24, "29D"),
    ):
        times = np.datetime64("2018-01-01", "ns") + np.arange(0, days * 24, step) * np.timedelta64(1, "h")
        piece = replace(truth.pieces[0], times=times)
        assert run._spelled(run._block("auto", replace(truth, pieces=(piece,)))) == length
    assert plan(truth, [good], QUICK, block="5D")["block"] == "5D"


def test_short_blocks_give_the_same_scores(archive, tmp_path):
    truth, good = found(archive, "truth", "good")
    few = replace(QUICK, scores=("event",), by=("hour",))
    made = {
        block: verify(truth, [good], few, tmp_path / block, replicates=200, block=block)
        for block in ("30m", "1D", "2D")
    }
    assert [made[block].facts["blocks"] for block in made] == [6, 3, 2]
    scores = [found.scores["event"]["critical_success_index"] for found in made.values()]
    xr.testing.assert_allclose(scores[0], scores[1])
    xr.testing.assert_allclose(scores[0], scores[2])


def test_the_file_holds_scores_and_sums(archive, tmp_path):
    truth, good = found(archive, "truth", "good")
    made = verify(truth, [good], replace(QUICK, scores=("event",)), tmp_path / "p", replicates=200)
    write_scores(made, tmp_path / "scores.nc")
    with xr.open_datatree(tmp_path / "scores.nc", engine="h5netcdf") as tree:
        xr.testing.assert_allclose(tree["event"].to_dataset(), made.scores["event"])
        sums = tree["sums/event/0"].to_dataset().load()
        facts = json.loads(tree.attrs["facts"])
    again = score.finish(score.pool(sums, "time"))
    xr.testing.assert_allclose(again["critical_success_index"], made.scores["event"]["critical_success_index"])
    assert facts["truth"] == "radar"


def test_pieces_and_batches_change_nothing(archive, monkeypatch):
    truth, good = found(archive, "truth", "good")
    begin, end = np.datetime64("2018-06-04", "ns"), np.datetime64("2018-06-07", "ns")

    def all_of(values):
        listed = list(batches(pairs(truth, [good], (15.0,), begin, end), values))
        return len(listed), xr.concat([batch.estimates["good"] for batch in listed], "time")

    many, one = all_of(1), all_of(1 << 30)
    assert (many[0], one[0]) == (12, 1)
    xr.testing.assert_identical(many[1], one[1])
    monkeypatch.setattr("ondee.verification.subjects._VALUES", 1)
    (fine,) = found(archive, "good")
    assert len(fine.pieces) == 12


def test_a_likelihood_is_a_forecast_of_rain(tmp_path):
    """Probability, its thresholds as events, and a map of its own."""
    truth = rain(5, frames=8)
    likelihood = np.clip(60 * np.nan_to_num(truth) + 20 * rain(6, frames=8, holes=False), 0, 100).astype(np.float32)
    made = radar(truth, grid=PLANE, start="2018-06-04T12:15", step=15, product="both")
    chance = made["rain_rate"].copy(data=likelihood).assign_attrs(units="%", long_name="likelihood of precipitation")
    write_netcdf(made.assign(precipitation_likelihood=chance), tmp_path / "both.nc")
    path = str(tmp_path / "both.nc")
    sides = Sides([f"likelihood={path}::precipitation_likelihood", path])
    out = Outputs(tmp_path / "s.nc", tmp_path / "r.html", tmp_path / "figures")
    found = verification(sides, Settings(thresholds=(0.1, 1.0)), out, **HOW)
    direct = score.finish(score.probability(chance, made["rain_rate"], thresholds=[0.1]))
    got = found.scores["probability"].isel(estimate=0, stratum=0)
    for name in ("brier_score", "brier_skill_score", "roc_area", "reliability"):
        np.testing.assert_allclose(got[name], direct[name], rtol=1e-9)
        assert (got[f"{name}_low"] <= got[name]).all() and (got[name] <= got[f"{name}_high"]).all()
    event = found.scores["event"].isel(estimate=0, stratum=0)
    assert event["critical_success_index"].dims == ("threshold", "estimate_threshold")
    hits = ((likelihood >= 50) & (truth >= 0.1)).sum()
    assert float(event["probability_of_detection"].sel(estimate_threshold=50.0).item()) == pytest.approx(
        hits / (truth >= 0.1).sum()
    )
    assert list(found.cases["precipitation_likelihood_panel"].values) == ["likelihood"]
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"case", "case-precipitation-likelihood", "reliability", "roc", "performance"} <= drawn
    assert "Whether a probability means what it says" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("thresholds", [(0.1, 1.0, 5.0), (0.0, 0.1), (1.0,)])
def test_an_ensemble_is_judged_as_a_whole_and_by_its_tails(thresholds):
    from ondee.verification.suite import suite

    crps = {entry.name: entry.sums for entry in suite("ensemble", replace(QUICK, thresholds=thresholds))}["crps"]
    truth = xr.DataArray(np.ones((1, 2, 2)), dims=("time", "y", "x"))
    assert crps(truth.expand_dims(member=2), truth)["tail"].values.tolist() == [0.0, *filter(None, thresholds)]


def test_a_name_may_be_long(archive):
    assert subject(f"{'n' * 300}={archive / 'good'}", Reading(), {}).name == "n" * 300


def split(folder, values, turns, product="radar", start="2018-06-04", **how):
    """Frames dealt to several files in turn, so that the files interlace."""
    made = radar(values, grid=PLANE, start=f"{start}T12:15", step=15, product=product, **how)
    folder.mkdir(exist_ok=True)
    for turn in range(turns):
        write_netcdf(made.isel(time=slice(turn, None, turns)), folder / f"{turn}.nc")


def test_files_may_interlace(tmp_path):
    truth, estimate = rain(1, frames=8), rain(2, frames=8)
    split(tmp_path / "truth", truth, 2)
    split(tmp_path / "good", estimate, 3, product="good")
    reading = Reading(interval=(15.0, "end"))  # a file of every second frame would stand for half an hour
    made = verify(
        subject(str(tmp_path / "truth"), reading, {}),
        [subject(str(tmp_path / "good"), reading, {})],
        replace(QUICK, scores=("event",), lags=(15.0,), sample="own"),
        tmp_path / "p",
        replicates=200,
    )
    assert made.facts["estimates"]["good"] | {"frames": 8, "missing_frames": 0} == made.facts["estimates"]["good"]
    whole = [xr.DataArray(values, dims=("time", "y", "x"), attrs={"units": "mm h-1"}) for values in (estimate, truth)]
    direct = score.finish(score.event(*whole, thresholds=QUICK.thresholds))
    got = made.scores["event"].sel(estimate="good", stratum="all")
    np.testing.assert_allclose(got["critical_success_index"], direct["critical_success_index"])
    assert made.facts["estimates"]["persistence 15 min"]["frames"] == 7


def test_a_frame_that_comes_twice_is_refused(archive, tmp_path):
    write(tmp_path / "truth", "one.nc", rain(1), DAYS[0])
    write(tmp_path / "truth", "two.nc", rain(2), DAYS[0])
    (good,) = found(archive, "good")
    with pytest.raises(ReadError, match="the interval from 2018-06-04T12:00:00 comes twice"):
        verify(
            subject(str(tmp_path / "truth"), Reading(), {}),
            [good],
            replace(QUICK, scores=("event",)),
            tmp_path / "p",
            replicates=200,
        )


@pytest.mark.parametrize("side", [2000.0, 1000.0])
def test_a_grid_that_changes_from_day_to_day(tmp_path, side):
    for index, day in enumerate(DAYS[:2]):
        grid = PLANE if index == 0 else Grid(LAEA, PLANE.west + 6000, PLANE.north, side, side, 40, 36)
        made = radar(rain(index), grid=grid, start=f"{day}T12:15", step=15)
        write_netcdf(made, tmp_path / f"{day}.nc")
    few = replace(QUICK, scores=("event",), lags=(15.0,))
    with pytest.raises(GridError, match="the grid changes"):
        verify(subject(str(tmp_path), Reading(), {}), [], few, tmp_path / "p", replicates=200)
    collection = subject(str(tmp_path), Reading(), {}, mixed=True)
    if side == 2000.0:
        made = verify(collection, [], replace(few, mixed=True), tmp_path / "q", replicates=200)
        assert made.facts["frames"] == 8
    else:
        with pytest.raises(GridError, match="pixels are of 2 km and of 1 km"):
            verify(collection, [], replace(few, mixed=True), tmp_path / "q", replicates=200)


def test_a_small_field_is_told_before_the_work_and_scored_with_smaller_tiles(tmp_path):
    grid = Grid(LAEA, PLANE.west, PLANE.north, 2000.0, 2000.0, 20, 12)
    made = radar(rain(1, holes=False)[:, :12, :20], grid=grid, start="2018-06-04T12:15", step=15)
    write_netcdf(made, tmp_path / "small.nc")
    truth = subject(str(tmp_path / "small.nc"), Reading(), {})
    with pytest.raises(ConfigError, match="tiles of 16 pixels do not fit into 12 x 20 pixels") as told:
        verify(truth, [], replace(QUICK, lags=(15.0,)), tmp_path / "p", replicates=200)
    assert "--window 8" in told.value.fix and not (tmp_path / "p").exists()
    found = verify(truth, [], replace(QUICK, lags=(15.0,), window=8), tmp_path / "p", replicates=200)
    assert float(found.scores["spectrum"]["spectral_tiles"].max()) > 0


def test_an_estimate_that_is_always_dry(archive, tmp_path):
    for index, day in enumerate(DAYS):
        write(tmp_path / "dry", f"{day}.nc", 0 * rain(index), day, product="dry")
    sides = Sides([f"good={archive / 'good'}", f"dry={tmp_path / 'dry'}", str(archive / "truth")])
    out = Outputs(tmp_path / "s.nc", tmp_path / "r.html")
    found = verification(sides, QUICK, out, **HOW)
    axes = found.scores["axes"].sel(stratum="all", estimate="dry")
    assert float(axes["localisation"]) == 0 and float(axes["tail_error"]) == 20
    assert out.report.stat().st_size > 100_000


def test_quality_in_some_files_only(archive, tmp_path):
    write(tmp_path / "truth", "one.nc", rain(1), DAYS[0])
    write(tmp_path / "truth", "two.nc", rain(2), DAYS[1], quality=np.full((4, *PLANE.shape), 0.5))
    (good,) = found(archive, "good")
    truth = subject(str(tmp_path / "truth"), Reading(), {})
    few = replace(QUICK, scores=("event",), by=("quality",))
    made = verify(truth, [good], few, tmp_path / "p", replicates=200)
    (sums,) = made.sums["event"]
    hits = sums["hits"].sum("time").isel(estimate=0, threshold=0)
    assert set(hits["stratum"].values) >= {"all", "quality 0.4-0.6", "quality unknown"}
    parts = [name for name in hits["stratum"].values if name != "all"]
    assert float(hits.sel(stratum=parts).sum()) == float(hits.sel(stratum="all"))
    assert float(hits.sel(stratum="quality unknown")) > 0 and float(hits.sel(stratum="quality 0.4-0.6")) > 0


def test_settings_of_the_bootstrap_and_old_figures_are_told_before_the_work(archive, tmp_path):
    sides = Sides([f"good={archive / 'good'}", str(archive / "truth")])
    for how, words in (
        ({"level": 2.0}, "2.0 is no probability"),
        ({"replicates": 5}, "too few"),
        ({"workers": 0}, "0 workers"),
    ):
        with pytest.raises(ConfigError, match=words):
            verification(sides, replace(QUICK, scores=("event",)), outputs(tmp_path), **{**HOW, **how})
        assert not list((tmp_path / "scores.nc.parts").glob("*.npz"))
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_bytes(b"mine")
    out = Outputs(tmp_path / "s.nc", None, tmp_path / "figures")
    with pytest.raises(ConfigError, match="there are figures already"):
        verification(sides, replace(QUICK, scores=("event",)), out, **HOW)
    assert (tmp_path / "figures" / "mine.png").read_bytes() == b"mine"


def test_only_its_own_records_are_removed(archive, tmp_path):
    sides = Sides([f"good={archive / 'good'}", str(archive / "truth")])
    parts = tmp_path / "scores.nc.parts"
    parts.mkdir()
    (parts / "notes.txt").write_text("mine")
    verification(sides, replace(QUICK, scores=("event",)), outputs(tmp_path), **HOW)
    assert [path.name for path in parts.iterdir()] == ["notes.txt"]


def test_daily_amounts_in_files_of_their_own(tmp_path):
    """The label of a daily amount lies a day after its start, in the morning of the next day."""
    fields = {name: rain(seed, frames=5) for seed, name in enumerate(("truth", "good"))}
    for name, values in fields.items():
        (tmp_path / name).mkdir()
        for index, value in enumerate(values):
            made = radar(value[None], grid=PLANE, start=f"2018-06-0{index + 1}T06:00", step=1440, product=name)
            write_netcdf(made, tmp_path / name / f"{index}.nc")
    truth, good = (subject(str(tmp_path / name), Reading(), {}) for name in ("truth", "good"))
    made = verify(truth, [good], replace(QUICK, scores=("event",)), tmp_path / "p", replicates=200)
    assert made.facts["estimates"]["good"]["frames"] == 5 and made.facts["frames"] == 5
    whole = [
        xr.DataArray(fields[name], dims=("time", "y", "x"), attrs={"units": "mm h-1"}) for name in ("good", "truth")
    ]
    direct = score.finish(score.event(*whole, thresholds=QUICK.thresholds))["critical_success_index"]
    got = made.scores["event"]["critical_success_index"].sel(estimate="good", stratum="all")
    np.testing.assert_allclose(got, direct)
