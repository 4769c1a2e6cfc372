"""The storm of the demo: the wettest window, told from what was known of it alone, and scored where it was observed."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from fields import LAEA, radar
from learnt import make_store
from ondee import run
from ondee.command.demo import world_of
from ondee.command.storm import LEADS, LEARNT_FROM, rolled_storm, wettest_day
from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.plot.latent import draw_forecast
from ondee.report.latent import latent_section
from ondee.run import RainLearnt
from ondee.topographic.model import LatentSettings, TopographicVAE
from ondee.world.settings import load_world

torch.set_num_threads(1)

SIDE, FRAMES, FIRST = 16, 12, 3
FINE = Grid(LAEA, 0, 0, 1000, 1000, 4 * SIDE, 2 * SIDE)


def fine_rain():
    """27 frames of two windows side by side; it rains most in the eastern one from the fourth frame on."""
    rng = np.random.default_rng(2)
    made = np.where(rng.random((FIRST + 2 * FRAMES, *FINE.shape)) < 0.5, rng.gamma(0.7, 2.0, FINE.shape), 0.0)
    made[FIRST:, :, 2 * SIDE :] *= 3
    made[:, :6, -6:] = np.nan
    made[:, 10, 40] = np.nan
    return made.astype(np.float32)


def storm_of(folder, tvae, change=None):
    rain = fine_rain()
    if change is not None:
        change(rain)
    (folder / "radar").mkdir()
    radar(rain, grid=FINE).to_netcdf(folder / "radar/rain.nc", engine="h5netcdf")
    return rolled_storm(folder / "storm", folder / "radar", world_of(), "2018-06-04", run=str(tvae))


@pytest.fixture(scope="module")
def tvae(tmp_path_factory):
    """A model that has learnt nothing, whose capsules roll, and of which most pixels are wet."""
    coherence = {"frames": 3, "width": 1, "speeds": [0, 1], "causal": True, "time": "open", "capsule": "open"}
    more = {"normalised": True, "centre": 2.0, "centres": "each", "widths": [4, 8], "features": 16}
    settings = {"capsules": 4, "dimensions": [6], "network": "convolutional", "likelihood": "censored"}
    torch.manual_seed(1)
    model = TopographicVAE(LatentSettings.model_validate({**settings, **more, "coherence": coherence}), (1, SIDE, SIDE))
    with torch.no_grad():
        model.topography.centre += torch.randn_like(model.topography.centre)
        for weight in model.decoder.parameters():
            weight += 0.3 * torch.randn_like(weight)
    about = {"rain": RainLearnt(FRAMES, 5, (2.0, 2.0)).plain()}
    return run.save_latent(tmp_path_factory.mktemp("runs") / "tvae", model, about=about)


@pytest.fixture(scope="module")
def made(tvae, tmp_path_factory):
    return storm_of(tmp_path_factory.mktemp("storm"), tvae)


def test_the_window_is_the_wettest_and_its_cells_are_means_of_what_was_observed(made):
    cells = fine_rain()[:, :, 2 * SIDE :].reshape(-1, SIDE, 2, SIDE, 2)
    seen = np.isfinite(cells).mean((2, 4))
    known = made.storm["observed"].values
    whole = seen[FIRST : FIRST + FRAMES] == 1
    expected = cells.mean((2, 4))[FIRST : FIRST + FRAMES]
    np.testing.assert_allclose(known[whole], expected[whole], rtol=1e-5)
    assert np.isnan(known[seen[FIRST : FIRST + FRAMES] == 0]).all()
    places = [FIRST + FRAMES - 1 + lead // 5 for lead in LEADS]
    both = whole[0]
    np.testing.assert_allclose(made.storm["came"].values[:, both], cells.mean((2, 4))[places][:, both], rtol=1e-5)
    first, last = made.storm["time"].values[[0, -1]]
    assert first == np.datetime64("2018-06-04T12:15", "ns") and last - first == np.timedelta64(55, "m")


def test_forecasts_are_the_last_latents_rolled_and_the_last_frame_kept(made, tvae):
    model, storm = run.load_latent(tvae), made.storm
    known = torch.from_numpy(storm["observed"].values)[None, :, None]
    with torch.no_grad():
        latents = model.latents(known)[0]
        again = model.likelihood.median(model.decode(latents))[:, 0].numpy()
        ahead = torch.stack([model.topography.roll(latents[-1], lead // 5) for lead in LEADS])
        rolled = model.likelihood.median(model.decode(ahead))[:, 0].numpy()
    np.testing.assert_allclose(storm["reconstructed"].values, again, atol=1e-5)
    np.testing.assert_allclose(storm["rolled"].values, rolled, atol=1e-5)
    assert not np.allclose(rolled[0], rolled[-1]) and (again > 0.1).any()
    for kept in storm["persistent"].values:
        np.testing.assert_array_equal(kept, storm["observed"].values[-1])


def test_what_comes_later_changes_no_forecast(made, tvae, tmp_path):
    def double(rain):
        rain[FIRST + FRAMES :] *= 2

    other = storm_of(tmp_path, tvae, double).storm
    for name in ("observed", "reconstructed", "rolled", "persistent"):
        np.testing.assert_array_equal(other[name].values, made.storm[name].values)
    assert np.nanmean(other["came"]) == pytest.approx(2 * np.nanmean(made.storm["came"]), rel=1e-4)


def test_scores_are_counted_by_hand_where_both_sides_are(made):
    def skill(estimate, truth):
        there = np.isfinite(estimate) & np.isfinite(truth)
        seen, true = (estimate >= 0.1) & there, (truth >= 0.1) & there
        return (seen & true).sum() / (seen | true).sum()

    storm, numbers = made.storm, made.numbers
    assert float(numbers["reconstructed"]) == skill(storm["reconstructed"].values, storm["observed"].values)
    for name in ("rolled", "persistent"):
        expected = [skill(storm[name].values[k], storm["came"].values[k]) for k in range(len(LEADS))]
        np.testing.assert_allclose(numbers[name].values, expected)
    text = latent_section(storm, numbers)
    assert f"{float(numbers['persistent'].sel(lead=30)):.2f}" in text and 'src="data:image/png' in text
    assert numbers.attrs["latents"] == 24 and numbers.attrs["pixels"] == 256


def test_the_wettest_day_is_found_and_one_without_rain_refused(tmp_path, monkeypatch):
    store = make_store(tmp_path / "store.zarr")
    rain = store.dataset()["radar_rain_rate"]
    totals = {day: float(rain.sel(time=day).sum()) for day in store.days}
    assert wettest_day(store) == max(totals, key=totals.get)
    monkeypatch.setattr(store, "dataset", lambda: rain.to_dataset() * 0)
    with pytest.raises(ConfigError, match="no rain"):
        wettest_day(store)


def test_the_world_that_was_learnt_is_the_one_that_is_told_and_another_than_the_demos():
    learnt = load_world(Path(__file__).parents[1] / "configs/world-retrieval.yaml")
    assert {"seed": learnt.seed, "size": learnt.domain.size} == LEARNT_FROM
    assert world_of().seed != learnt.seed and world_of(1000).domain.size != learnt.domain.size


@pytest.mark.parametrize("style", ("paper", "screen"))
def test_the_figure_has_a_row_of_each_in_one_scale(made, tmp_path, style):
    figure = draw_forecast(made.storm, tmp_path / "storm.png", style=style)
    assert (tmp_path / "storm.png").stat().st_size > 10_000
    rows = [ax for ax in figure.axes if ax.images]
    names = [ax.get_yticklabels()[0].get_text().replace("\n", " ") for ax in rows]
    assert names == ["radar", "reconstructed", "what came", "latents rolled on", "last frame as it is"]
    assert len({tuple(ax.images[0].norm.boundaries) for ax in rows}) == 1
    strip = rows[0].images[0].get_array()
    np.testing.assert_array_equal(strip.filled(np.nan)[:, -SIDE:], made.storm["observed"].values[-1])
    assert [label.get_text() for label in rows[0].get_xticklabels()][-2:] == ["13:00 UTC", "13:10 UTC"]
    assert rows[2].get_xticklabels()[0].get_text() == "+10 min, 13:20"
    assert len([ax for ax in figure.axes if ax.get_ylabel() == "rain rate (mm h⁻¹)"]) == 1


def test_a_storm_without_forecast_is_not_drawn(made):
    with pytest.raises(ConfigError, match="rolled"):
        draw_forecast(made.storm.drop_vars("rolled"))
    with pytest.raises(ConfigError, match="lead of 30 min"):
        latent_section(made.storm, made.numbers.sel(lead=[10, 20]))
    with pytest.raises(ConfigError, match="persistent"):
        latent_section(made.storm, xr.Dataset({"rolled": 1.0, "reconstructed": 1.0}))
