"""Atlas: frames lie where their latents say, and each cell shows the one that is nearest to its middle."""

import json

import numpy as np
import pytest
import torch
from rich.console import Console

from fields import radar
from ondee import run
from ondee.cli import main
from ondee.command.encode import atlas, show
from ondee.encoding.atlas import CELLS, Atlas, components, facts_of, moves_rain, nearest
from ondee.encoding.atlas import atlas as laid_out
from ondee.encoding.tiling import Tiling
from ondee.errors import ConfigError
from ondee.grid import LOCAL, Grid
from ondee.plot.atlas import draw_atlas
from ondee.run import RainLearnt
from ondee.topographic.model import LatentSettings, TopographicVAE

torch.set_num_threads(1)

SIDE, SEQUENCES, LENGTH = 8, 4, 3
GRID = Grid(LOCAL, 0, 0, 2000, 2000, 26, 25)
SETTINGS = {
    "capsules": 3,
    "dimensions": [4],
    "coherence": {"frames": 2, "width": 1},
    "network": "convolutional",
    "widths": [4],
    "features": 8,
    "likelihood": "censored",
}


@pytest.fixture(scope="module")
def tvae(tmp_path_factory):
    torch.manual_seed(3)
    model = TopographicVAE(LatentSettings.model_validate(SETTINGS), (1, SIDE, SIDE))
    about = {"rain": RainLearnt(LENGTH, 5, (2.0, 2.0)).plain()}
    return run.save_latent(tmp_path_factory.mktemp("runs") / "tvae", model, about=about)


def rain():
    """Nine windows and four sequences; of a window less than half is observed, one is dry in its middle frame."""
    rng = np.random.default_rng(5)
    shape = (SEQUENCES * LENGTH, *GRID.shape)
    made = np.where(rng.random(shape) < rng.uniform(0.05, 0.95, (shape[0], 1, 1)), rng.gamma(0.7, 3, shape), 0)
    made[:LENGTH, :5, :9] = np.nan
    made[4, -9:, -9:] = 0.0
    made[-2:, 10:12, 12:14] = np.nan
    return made.astype(np.float32)


def windows():
    """Sequences, windows, frames, rows, columns."""
    return Tiling(GRID, SIDE).cut(rain()).reshape(9, SEQUENCES, LENGTH, SIDE, SIDE).swapaxes(0, 1)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("radar") / "radar.nc"
    radar(rain(), grid=GRID).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def found(tvae, file):
    return laid_out(tvae, file)


def test_every_middle_frame_that_is_observed_and_wet_is_taken_and_no_other(found):
    frames = windows()[:, :, 1].reshape(-1, SIDE, SIDE)
    left_out = [0, 9 + 8]
    wet = np.delete([np.nanmean(np.where(np.isfinite(f), f >= 0.1, np.nan)) for f in frames], left_out)
    np.testing.assert_allclose(found.facts["wet_fraction"], wet)
    assert found.windows == 36 and len(found.places) == 34
    times = np.datetime64("2018-06-04T12:05") + np.arange(SEQUENCES) * np.timedelta64(15, "m")
    np.testing.assert_array_equal(found.times, np.delete(np.repeat(times, 9), left_out))


def test_distances_of_the_latents_bound_those_in_the_plane_and_the_plane_holds_the_told_variance(found, tvae):
    model, frames = run.load_latent(tvae), np.delete(windows().reshape(-1, LENGTH, SIDE, SIDE), [0, 17], 0)
    with torch.no_grad():
        latents = model.latents(torch.from_numpy(frames)[:, :, None])[:, 1].flatten(1).double().numpy()
    latents = latents * moves_rain(model, latents)
    centred = latents - latents.mean(0)
    spread, _ = np.linalg.eigh(centred.T @ centred)
    np.testing.assert_allclose((found.places**2).sum(0), spread[::-1][:2], rtol=1e-4)
    np.testing.assert_allclose(found.shares, spread[::-1][:2] / spread.sum(), rtol=1e-4)
    assert 1 > found.shares[0] > found.shares[1] > 0
    far, near = (np.linalg.norm(a[:, None] - a[None], axis=-1) for a in (centred, found.places))
    assert (near <= far + 1e-4).all()


def test_a_latent_counts_by_what_it_does_to_the_rain_and_not_by_its_size(tvae):
    model = run.load_latent(tvae)
    latents = np.random.default_rng(0).standard_normal((9, model.topography.size))
    with torch.no_grad():
        model.decoder.first.weight[:, 1] = 0  # no longer heard
    counted = moves_rain(model, latents)
    assert counted[1] == 0 and (np.delete(counted, 1) > 0).all()
    with torch.no_grad():
        model.decoder.first.weight[:, 2] /= 8
    larger = latents * np.where(np.arange(latents.shape[1]) == 2, 8, 1)
    np.testing.assert_allclose(moves_rain(model, larger)[2] * 8, counted[2], rtol=1e-3)


def test_axes_point_to_where_the_strongest_correlation_is_positive(found):
    for axis, told in zip(found.places.T, found.correlations, strict=True):
        assert max(told.values(), key=abs) > 0
        for name, value in told.items():
            np.testing.assert_allclose(value, np.corrcoef(axis, found.facts[name])[0, 1])


def test_a_cell_shows_the_frame_in_it_that_is_nearest_to_its_middle_and_no_frame_twice(found):
    frames = np.delete(windows()[:, :, 1].reshape(-1, SIDE, SIDE), [0, 17], 0)
    np.testing.assert_array_equal(found.thumbnails, frames[found.drawn])
    low, high = found.places.min(0), found.places.max(0)
    scaled = (found.places - low) / (high - low) * CELLS
    inside = np.minimum(scaled.astype(int), np.array(CELLS) - 1)
    assert len({tuple(cell) for cell in inside}) == len(found.cells) == len(set(found.drawn.tolist())) > 10
    for number, cell in zip(found.drawn, found.cells, strict=True):
        rivals = np.flatnonzero((inside == cell).all(1))
        off = np.linalg.norm(scaled[rivals] - cell - 0.5, axis=1)
        assert number == rivals[off.argmin()]


def test_points_on_the_rim_and_points_all_alike_in_one_axis_have_a_cell():
    picked, cells = nearest(np.array([[0.0, 7.0], [4.0, 7.0], [3.9, 7.0]]), (4, 3))
    assert picked.tolist() == [0, 2] and cells.tolist() == [[0, 0], [3, 0]]


def test_facts_of_a_frame_leave_missing_pixels_out():
    frame = np.zeros((1, 4, 4), np.float32)
    frame[0, 0, 3], frame[0, 0, 2], frame[0, 3] = 10.0, 0.05, np.nan
    told = {name: float(value[0]) for name, value in facts_of(frame).items()}
    wanted = {"wet_fraction": 1 / 12, "log_wet_intensity": 1.0, "north": 0.375, "observed_fraction": 0.75}
    wanted |= {"mean": 10.05 / 12, "east": (10 * 0.375 + 0.05 * 0.125) / 10.05}
    assert told == pytest.approx(wanted, rel=1e-5)


def test_what_is_the_same_in_all_frames_correlates_with_nothing(tvae, tmp_path):
    whole = np.where(np.isfinite(rain()), rain(), 1.0)
    radar(whole, grid=GRID).to_netcdf(tmp_path / "whole.nc", engine="h5netcdf")
    for told in laid_out(tvae, tmp_path / "whole.nc").correlations:
        assert told["observed_fraction"] is None and abs(told["wet_fraction"]) <= 1


def test_two_components_hold_all_of_a_plane_and_keep_its_distances():
    points = np.random.default_rng(1).normal(size=(30, 2))
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))
    places, shares = components(points @ turn[:2] + 3.0)
    assert sum(shares) == pytest.approx(1)
    distances = [np.linalg.norm(entry[:, None] - entry[None], axis=-1) for entry in (points, places)]
    np.testing.assert_allclose(*distances, atol=1e-12)


# ---- the figure


def atlas_of(**changed):
    made = {
        "places": np.array([[0.0, 0.0], [8.0, 6.0], [0.4, 0.5]]),
        "shares": (0.61, 0.2),
        "facts": {"wet_fraction": np.array([0.1, 0.5, 0.2]), "mean": np.array([0.01, 1.0, 0.2])},
        "correlations": (
            {"wet_fraction": 0.9, "log_wet_intensity": 0.4, "east": -0.6, "north": None, "observed_fraction": 0.1},
            dict.fromkeys(("wet_fraction", "log_wet_intensity", "east", "north", "observed_fraction"), 0.3),
        ),
        "thumbnails": np.array([np.eye(4), np.full((4, 4), np.nan)], np.float32),
        "drawn": np.array([2, 1]),
        "cells": np.array([[0, 0], [7, 5]]),
        "windows": 4,
        "times": np.array(["2018-06-04T12:00", "2018-06-04T13:00", "2018-06-05T12:00"], "datetime64[ns]"),
        "cell": (2.0, 2.0),
        "product": "a radar, input radar of a store",
        "run": "tvae",
    }
    return Atlas(**{**made, **changed})


def test_thumbnails_lie_within_their_cells_and_none_over_another():
    figure = draw_atlas(atlas_of())
    first, second = (image.get_extent() for image in figure.axes[0].get_images())
    assert first[0] > 0 and first[1] < 1 and first[2] > 0 and first[3] < 1
    assert second[0] > 7 and second[1] < 8 and second[2] > 5 and second[3] < 6
    shown = figure.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, np.eye(4))
    assert figure.axes[0].get_images()[1].get_array().mask.all()


def test_axes_tell_their_variance_and_only_what_they_correlate_with_strongly():
    axis = draw_atlas(atlas_of()).axes[0]
    told = axis.get_xlabel().replace("\n", " ")
    assert (
        "61%" in told and "0.90 with wet fraction" in told and "−0.60 with place of the rain from west to east" in told
    )
    assert "0.40" not in told and axis.get_ylabel() == "second principal component, 20% of the variance"


def test_all_points_are_drawn_in_both_small_panels_and_the_shown_ones_ringed():
    figure = draw_atlas(atlas_of(), style="screen")
    panels = [axis for axis in figure.axes if len(axis.collections) == 2 and len(axis.collections[0].get_offsets()) > 2]
    assert len(panels) == 2
    for axis, values in zip(panels, ([0.1, 0.5, 0.2], [0.01, 1.0, 0.2]), strict=True):
        points, rings = axis.collections
        np.testing.assert_allclose(points.get_array(), values)
        np.testing.assert_array_equal(rings.get_offsets(), [[0.4, 0.5], [8.0, 6.0]])


def test_frames_of_one_mean_rain_are_drawn():
    same = {"wet_fraction": np.ones(3), "mean": np.ones(3)}
    draw_atlas(atlas_of(facts=same)).draw_without_rendering()


# ---- the command


def test_the_command_tells_what_it_drew_and_overwrites_nothing_untold(tvae, file, found, tmp_path, capsys):
    picture = tmp_path / "a.png"
    picture.touch()
    with pytest.raises(ConfigError, match="the file exists"):
        atlas(str(tvae), file, out=picture)
    with pytest.raises(SystemExit) as ended:
        main(["atlas", str(tvae), str(file), "--out", str(picture), "--json", "--force"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and picture.read_bytes()[:4] == b"\x89PNG"
    assert (told["frames"], told["windows"], told["thumbnails"]) == (34, 36, len(found.cells))
    assert told["variance"] == pytest.approx(found.shares)
    assert told["correlations"][1] == pytest.approx(found.correlations[1])
    show(told, Console(width=200))
    words = capsys.readouterr().out
    assert "34 of 36 windows, 2018-06-04 12:05 to 2018-06-04 12:50 UTC" in words
    assert f"{found.shares[1]:.0%} of the variance" in words and f"{max(told['correlations'][1].values()):.2f}" in words


def test_fewer_than_twenty_frames_are_refused(tvae, file, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["atlas", str(tvae), str(file), "--out", str(tmp_path / "a.png"), "--end", "2018-06-04T12:30"])
    told = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 1 and [line.split()[0] for line in told] == ["error", "where", "fix"]
    assert "16 of 18 windows" in told[0] and not (tmp_path / "a.png").exists()
