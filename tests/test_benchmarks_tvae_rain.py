"""What is said of latents of rain: laws, fractions, components and optical flow against what is known of them."""

import numpy as np
import pytest
import torch
import xarray as xr
from benchmarks import tvae_generated, tvae_rain, tvae_scores
from benchmarks.tvae_rivals import Components, level_of, neighbourhood, optical_flow

from moving import MOVE, field, make_store
from ondee.batches import Windows
from ondee.score import crps, finish, fractions
from ondee.training.session import train
from ondee.training.settings import LatentConfig

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A day of training and a day of test, with frames of 60 min that move by (-1, 2) pixels."""
    return make_store(tmp_path_factory.mktemp("rolls") / "rain.zarr", kinds=(0, 2))


def moving(count, shape=(48, 48)):
    whole = field(5)
    return np.stack([np.roll(whole, (MOVE[0] * k, MOVE[1] * k), (0, 1))[: shape[0], : shape[1]] for k in range(count)])


def arrays(members, truth):
    dims = ("member", "frame", "y", "x")
    where = {"y": np.arange(truth.shape[1]) * 2000.0, "x": np.arange(truth.shape[2]) * 2000.0}
    units = {"units": "mm h-1"}
    estimate = xr.DataArray(members, dims=dims, coords=where, attrs=units)
    return estimate, xr.DataArray(truth, dims=dims[1:], coords=where, attrs=units)


def test_laws_are_scored_as_ensembles_are():
    rng = np.random.default_rng(0)
    truth = moving(2)
    truth[:, :5] = np.nan
    members = np.stack([field(seed)[:48, :48] * rng.uniform(0.5, 2) for seed in range(6)])[:, None].repeat(2, 1)
    found = tvae_scores.law_sums(members, truth)
    known = finish(crps(*arrays(members, truth), over=("y", "x"), tails=[0.0]))
    np.testing.assert_allclose(found["crps"] / found["pixels"], known["ensemble_crps"].sel(tail=0.0), rtol=1e-5)
    assert found["pixels"].tolist() == [43 * 48] * 2


def test_fractions_of_a_single_field_are_those_of_the_score():
    truth, guess = moving(3)[[0, 2]][:, None]
    found = tvae_scores.law_sums(guess[None], truth)
    known = finish(fractions(*arrays(guess[None], truth), over=("y", "x"), thresholds=[1.0], scales=[9]))
    score = 1 - found["fss_apart"] / found["fss_most"]
    np.testing.assert_allclose(score, known["fractions_skill_score"].values.ravel(), atol=1e-3)


def test_a_neighbourhood_counts_what_is_observed():
    values = np.arange(49.0).reshape(1, 7, 7)
    there = np.ones((1, 7, 7), bool)
    there[0, 3, 2] = False
    found = neighbourhood(values, there, 3)
    around = values[0, 2:5, 2:5]
    assert found[0, 3, 3] == pytest.approx((around.sum() - values[0, 3, 2]) / 8)
    assert np.isnan(found[0, 3, 2]) and np.isnan(found[0, 0, 0]) and np.isfinite(found[0, 0, 3])


def test_optical_flow_carries_rain_on():
    pytest.importorskip("pysteps")
    frames = moving(9, (96, 96))
    told = optical_flow(frames[:6], 3, 24)
    true = frames[6:, 24:72, 24:72]
    stayed = np.abs(frames[5, 24:72, 24:72] - true).mean((1, 2))
    assert (np.abs(told - true).mean((1, 2)) < 0.4 * stayed).all()


def test_components_span_what_they_were_found_in(store):
    windows = Windows([store], "train", frames=5, side=16, seed=3)
    few, many = (Components.of(windows, size) for size in (8, 250))
    rain = windows.window(0).rain
    rain[:, 3, 3] = np.nan
    errors = []
    for one in (few, many):
        likelihood, made, frames = one.law(rain)
        mean, spread = likelihood.parameters_of(made)
        assert frames is rain and float(spread.min()) == pytest.approx(one.spread, rel=1e-4)
        errors.append(np.nanmean(np.abs(mean[:, 0].numpy() - level_of(rain))))
    assert errors[1] < 0.3 * errors[0] and many.spread < few.spread
    np.testing.assert_allclose(many.basis @ many.basis.T, np.eye(250), atol=1e-8)


def test_cases_lie_on_a_lattice_and_rain_where_they_begin(store):
    cases = tvae_rain.cases_of(store, "test", 3, 16, 6)
    assert cases and all(case.rain.shape == (6, 16, 16) and case.around.shape == (3, 32, 32) for case in cases)
    for case in cases:
        np.testing.assert_array_equal(case.around[:, 8:-8, 8:-8], case.rain[:3])
        assert (case.rain[2] >= 0.1).mean() >= 0.01
    assert len({case.block for case in cases}) > 1


def test_scores_come_with_intervals_of_blocks():
    table, rng = tvae_scores.Table(), np.random.default_rng(1)
    for block in range(40):
        error = rng.gamma(2.0, 1.0)
        for name, factor in (("good", 1.0), ("bad", 2.0)):
            table.add(name, f"{block // 2}", {"crps": np.array([factor * error, 1.0]), "pixels": np.array([2.0, 1.0])})
    score = tvae_scores.ratio("crps", "pixels")
    middle, low, high = table.score("good", score)
    assert low[0] < middle[0] < high[0] and middle[1] == low[1] == high[1] == 1.0
    apart = table.score("good", score, "bad")
    assert apart[2][0] < 0 and apart[0][0] == pytest.approx(-middle[0])


def test_the_page_holds_reconstructions_rolls_and_forecasts(store, tmp_path, monkeypatch):
    pytest.importorskip("pysteps")
    settings = {
        "network": "convolutional",
        "widths": [4, 8],
        "features": 16,
        "capsules": 2,
        "dimensions": [8],
        "coherence": {"frames": 2, "causal": True, "time": "open", "capsule": "open"},
        "normalised": True,
        "centre": 5.0,
        "likelihood": "censored",
    }
    told = {"model": "tvae", "sequences": "rain", "stores": [str(store.path)], "frames": 4, "side": 16, "batch": 2}
    more = {"steps": 2, "validation_samples": 2, "threads": 1, "pictures": False, "settings": settings}
    other = make_store(tmp_path / "validation.zarr", kinds=(1, 1))
    told["stores"].append(str(other.path))
    train(LatentConfig.model_validate({**told, **more}), out=tmp_path / "runs/tvae-rain")
    out = tmp_path / "T.md"
    monkeypatch.setattr(tvae_scores, "_REPLICATES", 100)
    words = [str(tmp_path / "runs"), str(store.path), "--train", str(store.path), "--stride", "8", "--out", str(out)]
    assert tvae_rain.main(words) == 0
    text = out.read_text()
    rows = ("| tvae-rain |", "| 16 components |", "left as it is", "rolled back", "| optical flow |", "| persistence |")
    for row in (*rows, "tvae-rain, rolled", "tvae-rain, frozen", "tvae-rain, ceiling"):
        assert row in text, row
    assert "nan" not in text and text.count("<!-- rain -->") == 1

    assert tvae_rain.main([*words, "--brief", "--name", "brief"]) == 0
    brief = out.read_text().split("<!-- brief -->")[1]
    assert "| tvae-rain |" in brief and "| tvae-rain, rolled |" in brief and "neighbourhood" not in brief
    score = text.split("**Reconstruction**")[1].split("| tvae-rain | ")[1].split(" |")[0]
    assert f"| tvae-rain | {score} |" in brief

    more = tmp_path / "G.md"
    assert tvae_generated.main([str(tmp_path / "runs"), str(store.path), "--count", "12", "--out", str(more)]) == 0
    text = more.read_text()
    for row in ("| rain.zarr |", "| tvae-rain, median |", "| tvae-rain, drawn |", "after 360 min", "8 to 32 km, dB"):
        assert row in text, row
    assert text.count("<!-- generated -->") == 1


def scored(sums, score):
    return score({name: values[None] for name, values in sums.items()})[0]


def test_what_lasts_and_what_is_fine_is_told():
    rng = np.random.default_rng(3)
    still = np.repeat(rng.gamma(0.5, 4.0, (1, 32, 32)), 12, 0).astype(np.float32)
    new = rng.gamma(0.5, 4.0, (12, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(scored(tvae_generated.sums_of(still), tvae_generated._lasting), 1.0, atol=1e-6)
    np.testing.assert_allclose(scored(tvae_generated.sums_of(new), tvae_generated._lasting), 0.0, atol=0.05)
    smooth = np.stack([np.roll(np.cumsum(np.cumsum(frame, 0), 1) / 99, 5, 0) for frame in new])
    fine, coarse = (scored(tvae_generated.sums_of(entry), tvae_generated._fine) for entry in (new, smooth))
    assert fine[0] > fine[1] and coarse[0] < coarse[1]


def test_quantiles_are_of_wet_pixels_and_missing_ones_count_for_nothing():
    rain = np.full((8, 16, 16), 5.0, np.float32)
    rain[:, :4], rain[:, 4:8] = 0.05, np.nan
    sums = tvae_generated.sums_of(rain, 2.0)
    assert sums["wet"] / sums["pixels"] == pytest.approx(2 / 3)
    assert sums["rain"] / sums["pixels"] == pytest.approx((0.05 + 2 * 5) / 3)
    assert scored(sums, tvae_generated._quantile(0.5)) == pytest.approx(5.0, rel=0.06)
    assert sums["whole"] == 0 and np.isnan(
        scored({**sums, "classes": 0 * sums["classes"]}, tvae_generated._quantile(0.5))
    )
