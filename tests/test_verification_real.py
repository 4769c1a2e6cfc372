"""Real radar, and a real satellite beside it: what is known of them must come out."""

import json

import numpy as np
import pytest
import xarray as xr

import ondee
import real
from ondee import cli

PAIR = "pair/seviri_pc_radklim_20210625.nc"
EVENT = "rain_sequences/mch_20150515.nc"


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code == 0


@real.needs(PAIR)
def test_the_likelihood_of_the_satellite(tmp_path, capsys):
    path = real.path(PAIR)
    out, report = tmp_path / "scores.nc", tmp_path / "report.html"
    run("verify", f"likelihood={path}::precipitation_likelihood", path, "--out", out, "--report", report, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["facts"]["frames"] == 32 and told["facts"]["block"] == "30m"
    made = ondee.open(path)
    rain, chance = (made[name].values.astype(float) for name in ("rain_rate", "precipitation_likelihood"))
    seen = np.isfinite(rain) & np.isfinite(chance)
    wet, chance = rain[seen] >= 0.1, chance[seen] / 100
    with xr.open_datatree(out, engine="h5netcdf") as tree:
        found = tree["probability"].to_dataset().load().isel(estimate=0, stratum=0, threshold=0)
        event = tree["event"].to_dataset().load().isel(estimate=0, stratum=0, threshold=0)
    assert float(found["brier_score"]) == pytest.approx(np.mean((chance - wet) ** 2), rel=1e-5)
    assert found["brier_score_low"] < found["brier_score"] < found["brier_score_high"]
    assert 0.75 < float(found["roc_area_low"]) < float(found["roc_area"]) < float(found["roc_area_high"]) < 0.9
    # far too timid: it rains more often than the likelihood says
    known = found.where(found["class_share"] > 1e-3, drop=True).isel(probability_class=slice(1, None))
    assert (known["observed_frequency"] > known["forecast_probability"]).all()
    hits, claims = (wet & (chance >= 0.3)).sum(), (chance >= 0.3).sum()
    csi = float(event["critical_success_index"].sel(estimate_threshold=30.0))
    assert csi == pytest.approx(hits / (claims + wet.sum() - hits), rel=1e-3)
    page = report.read_text()
    assert page.count("<img") >= 4 and "likelihood" in page


@real.needs(EVENT)
def test_persistence_decays(tmp_path, capsys):
    path = real.path(EVENT)
    scores = "event,fractions,distribution"
    run("verify", path, "--persistence", "10,30", "--scores", scores, "--out", tmp_path / "s.nc")
    assert "persistence 10 min" in capsys.readouterr().out
    with xr.open_datatree(tmp_path / "s.nc", engine="h5netcdf") as tree:
        event = tree["event"].to_dataset().load().isel(stratum=0)
        fractions = tree["fractions"].to_dataset().load().isel(stratum=0)
        amounts = tree["distribution"].to_dataset().load().isel(stratum=0)
    csi = event["critical_success_index"].sel(threshold=1.0)
    assert (np.diff(csi) < 0).all() and 0.2 < float(csi[0]) < 0.8
    assert (np.diff(fractions["fractions_skill_score"].sel(threshold=1.0).values, axis=0) < 0).all()
    assert (np.diff(fractions["fractions_skill_score"].sel(threshold=1.0).values, axis=1) > 0).all()
    assert ((amounts["wet_fraction_ratio"] > 1.0) & (amounts["wet_fraction_ratio"] < 1.15)).all()  # the rain retreats
    rain = ondee.open(path)["rain_rate"].values
    early, late = rain[4:-2], rain[6:]  # ten minutes apart, on the frames that both lags have
    seen = np.isfinite(early) & np.isfinite(late) & np.isfinite(rain[:-6])
    hits = ((early >= 1) & (late >= 1) & seen).sum()
    either = (((early >= 1) | (late >= 1)) & seen).sum()
    assert float(csi[0]) == pytest.approx(hits / either, rel=1e-9)
