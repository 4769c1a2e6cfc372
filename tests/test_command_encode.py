"""Encode, decode, traverse: what comes back is what the model reconstructs, and nothing is padded or overwritten."""

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import ondee
from fields import LAEA, radar
from learnt import make_store
from ondee import run
from ondee.cli import main
from ondee.command.encode import decode, encode, traverse
from ondee.encoding.tiling import Tiling
from ondee.encoding.traversal import traverse as turned
from ondee.errors import ConfigError, ReadError
from ondee.grid import Grid
from ondee.plot.latent import draw_traversal
from ondee.run import RainLearnt, rain_learnt
from ondee.topographic.model import LatentSettings, TopographicVAE
from ondee.topographic.topography import rolled
from ondee.training.material import gather
from ondee.training.settings import LatentConfig

torch.set_num_threads(1)

SIDE = 16
LEARNT = RainLearnt(4, 5, (2.0, 2.0))
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
GRID = Grid(LAEA, 0, 0, 2000, 2000, 50, 35)
SETTINGS = {
    "capsules": 4,
    "dimensions": [6],
    "coherence": {"frames": 3, "width": 1, "speeds": [0, 1], "time": "open", "capsule": "open"},
    "normalised": True,
    "centre": 5.0,
    "centres": "each",
    "network": "convolutional",
    "widths": [4, 8],
    "features": 16,
    "likelihood": "censored",
}


def make_run(folder, *, seed=1, learnt=LEARNT, **more):
    torch.manual_seed(seed)
    model = TopographicVAE(LatentSettings.model_validate({**SETTINGS, **more}), (1, SIDE, SIDE))
    if model.topography.is_topographic:
        with torch.no_grad():
            model.topography.centre += torch.randn_like(model.topography.centre)
    return run.save_latent(folder, model, about={"rain": learnt.plain()} if learnt else {})


@pytest.fixture(scope="module")
def tvae(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "tvae")


def rain():
    """Eleven frames: the north-east corner of the domain and the first windows of the first sequence unobserved."""
    rng = np.random.default_rng(4)
    made = np.where(rng.random((11, *GRID.shape)) < 0.4, rng.gamma(0.7, 3.0, (11, *GRID.shape)), 0.0)
    made[:, :20, 40:] = np.nan
    made[:4, :, :20] = np.nan
    return made.astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The frames as a file in which there is a gap after five of them."""
    path = tmp_path_factory.mktemp("radar") / "radar.nc"
    parts = [radar(rain()[:5], grid=GRID), radar(rain()[5:], grid=GRID, start="2018-06-04T13:00")]
    whole = xr.concat(parts, "time", data_vars="minimal")
    whole.attrs = parts[0].attrs
    whole.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Images and radar, every fifteen minutes on cells of 4 km, six hours a day."""
    return make_store(tmp_path_factory.mktemp("store") / "store.zarr")


@pytest.fixture(scope="module")
def encoded(tvae, file, tmp_path_factory):
    out = tmp_path_factory.mktemp("latents") / "latents.zarr"
    return encode(str(tvae), file, out=out), out


def opened(path):
    return xr.open_zarr(path, consolidated=False, chunks=None)


def test_encoded_and_decoded_is_what_the_model_reconstructs(tvae, encoded, tmp_path):
    decode(str(tvae), encoded[1], out=tmp_path / "rain.nc")
    found = ondee.open(tmp_path / "rain.nc")
    assert Grid.of(found).same_as(GRID) and found["rain_rate"].attrs["units"] == "mm h-1"
    model, frames, inside = run.load_latent(tvae), rain(), np.zeros((8, *GRID.shape), bool)
    first = np.datetime64("2018-06-04T12:00", "ns")
    stamps = np.r_[first + np.arange(4) * np.timedelta64(5, "m"), first + np.timedelta64(1, "h") * np.ones(4, int)]
    stamps[4:] += np.arange(4) * np.timedelta64(5, "m")
    assert (found["time"].values == stamps).all() and found["time"].attrs["label"] == "end"
    assert (np.diff(found["time_bounds"].values)[:, 0] == np.timedelta64(5, "m")).all()
    for sequence, chosen in enumerate((slice(0, 4), slice(5, 9))):
        for y in (1, 17):
            for x in (1, 17, 33):
                window = frames[chosen, y : y + SIDE, x : x + SIDE]
                place = np.s_[4 * sequence : 4 * sequence + 4, y : y + SIDE, x : x + SIDE]
                if np.isfinite(window).mean() < 0.5:
                    continue
                inside[place] = True
                with torch.no_grad():
                    seen = torch.from_numpy(window)[None, :, None]
                    wanted = model.reconstruct(seen)[0, :, 0].numpy()
                    wet = model.likelihood.wet(model.decode(model.latents(seen)))[0, :, 0].numpy()
                close(found["rain_rate"].values[place], wanted)
                close(found["rain_probability"].values[place], wet)
    assert inside[:4].any() and inside.mean() < 0.9
    for name in ("rain_rate", "rain_probability"):
        assert (np.isfinite(found[name].values) == inside).all()


def test_latents_are_those_of_the_model_and_say_where_they_lie(tvae, encoded, file):
    data, model = opened(encoded[1]), run.load_latent(tvae)
    assert data["z_mean"].dims == ("sequence", "frame", "tile_y", "tile_x", "capsule", "place")
    assert data["z_mean"].shape == (2, 4, 2, 3, 4, 6)
    window = torch.from_numpy(rain()[5:9, 17:33, 1:17])[None, :, None]
    with torch.no_grad():
        law, t = model.encode(window), model.latents(window)
    told = {name: values for name, values in vars(law).items() if values is not None}
    for name, wanted in {**told, "topographic_latent": t}.items():
        close(data[name].isel(sequence=1, tile_y=1, tile_x=0).values, wanted[0])
    assert data["tile_x"].values.tolist() == [18_000, 50_000, 82_000] and data["tile_y"].values[0] == -18_000
    assert data["speed"].values.tolist() == [0, 0, 1, 1]
    assert data["time"].values[1, 0] == np.datetime64("2018-06-04T13:00")
    told = {"run": "tvae", "run_fingerprint": run.fingerprint_of(tvae), "radar": file.name, "learnt_step_minutes": 5}
    assert told.items() <= data.attrs.items() and data.attrs["learnt_cell_km"] == [2.0, 2.0] and "commit" in data.attrs


def test_windows_less_than_half_observed_are_missing_and_counted(encoded):
    data = opened(encoded[1])
    shares = np.stack([Tiling(GRID, SIDE).cut(rain()[part]) for part in (slice(0, 4), slice(5, 9))])
    wanted = np.isfinite(shares).mean((2, 3, 4)).reshape(2, 2, 3)
    np.testing.assert_allclose(data["observed_fraction"].values, wanted, atol=1e-6)
    for name in ("z_mean", "u_log_variance", "topographic_latent"):
        there = np.isfinite(data[name].values)
        assert (there.all((1, 4, 5)) == (wanted >= 0.5)).all() and (there.any((1, 4, 5)) == (wanted >= 0.5)).all()
    assert encoded[0]["unobserved"] == (wanted < 0.5).sum() > 0


def test_frames_and_edges_that_fit_in_nothing_are_told(encoded, tvae, file, capsys, tmp_path):
    report = encoded[0]
    assert (report["sequences"], report["frames_left_out"]) == (2, 3)
    assert report["left_out"] == [
        "1 of 2018-06-04T12:20 to 2018-06-04T12:20",
        "2 of 2018-06-04T13:20 to 2018-06-04T13:25",
    ]
    assert (report["rows_left_out"], report["columns_left_out"]) == (3, 2)
    with pytest.raises(SystemExit) as ended:
        main(["encode", str(tvae), str(file), "--out", str(tmp_path / "l.zarr"), "--dry-run"])
    told = capsys.readouterr().out
    assert ended.value.code == 0 and "3 frames that are no whole sequence" in told and "3 rows and 2 columns" in told
    assert not (tmp_path / "l.zarr").exists()


def test_only_what_lies_between_start_and_end_is_encoded(tvae, file, tmp_path):
    report = encode(str(tvae), file, out=tmp_path / "l.zarr", start="2018-06-04T13:05", end="2018-06-04T13:25")
    assert (report["first"], report["last"], report["left_out"]) == ("2018-06-04T13:05", "2018-06-04T13:20", [])
    with pytest.raises(ConfigError, match="no frame of the radar"):
        encode(str(tvae), file, out=tmp_path / "m.zarr", start="2019-01-01")
    with pytest.raises(ConfigError, match="no 4 frames follow one another every 5 min, which the model wants; 2"):
        encode(str(tvae), file, out=tmp_path / "m.zarr", start="2018-06-04T13:20")
    assert not list(tmp_path.glob("*m.zarr*"))


def test_a_store_of_several_inputs_is_read_where_its_radar_has_frames(store, tmp_path):
    model = make_run(tmp_path / "tvae", learnt=RainLearnt(5, 15, (4.0, 4.0)))
    report = encode(str(model), store.path, out=tmp_path / "l.zarr", start="2018-06-06")
    assert (report["sequences"], report["frames_left_out"], report["tiles"]) == (8, 8, (2, 2))
    assert report["first"] == "2018-06-06T09:00"
    decode(str(model), tmp_path / "l.zarr", out=tmp_path / "rain.nc")
    found = ondee.open(tmp_path / "rain.nc")
    seen = torch.from_numpy(store.dataset()["radar_rain_rate"].sel(time=found["time"][5:10])[:, 16:, 16:].values)
    wanted = run.load_latent(model).reconstruct(seen[None, :, None]).detach()[0, :, 0]
    close(found["rain_rate"].values[5:10, 16:, 16:], wanted)


@pytest.mark.parametrize(
    ("learnt", "words", "fix"),
    [
        (RainLearnt(4, 5, (4.0, 4.0)), "2 x 2 km wide; the model has learnt from cells of 4 x 4 km", "coarsen: 2"),
        (RainLearnt(4, 5, (1.0, 1.0)), "cells of 1 x 1 km", "give radar of that cell"),
        (RainLearnt(4, 10, (2.0, 2.0)), "5 min apart; the model has learnt from steps of 10 min", "step: 10"),
        (RainLearnt(4, 2, (2.0, 2.0)), "steps of 2 min", "give radar of that step"),
    ],
)
def test_radar_of_another_step_or_cell_is_refused(learnt, words, fix, file, tmp_path):
    model = make_run(tmp_path / "tvae", learnt=learnt)
    with pytest.raises(ConfigError, match=words) as caught:
        encode(str(model), file, out=tmp_path / "l.zarr")
    assert fix in caught.value.fix and not (tmp_path / "l.zarr").exists()


def test_a_domain_smaller_than_a_window_is_refused(tvae, tmp_path):
    small = radar(np.ones((4, 10, 50)), grid=GRID.crop(slice(0, 10), slice(0, 50)))
    small.to_netcdf(tmp_path / "small.nc", engine="h5netcdf")
    with pytest.raises(ConfigError, match="10 x 50 cells; a window of the model has 16 x 16"):
        encode(str(tvae), tmp_path / "small.nc", out=tmp_path / "l.zarr")


def test_nothing_is_overwritten_untold(tvae, encoded, file, store, tmp_path):
    out, picture, decoded = tmp_path / "l.zarr", tmp_path / "t.png", tmp_path / "r.nc"
    some = {"end": "2018-06-04T12:20"}
    encode(str(tvae), file, out=out, **some)
    for work in (
        lambda force: encode(str(tvae), file, out=out, force=force),
        lambda force: decode(str(tvae), encoded[1], out=decoded, force=force),
        lambda force: traverse(str(tvae), file, out=picture, force=force),
    ):
        for path in (picture, decoded):
            path.touch()
        with pytest.raises(ConfigError, match="the file exists"):
            work(False)
    assert opened(out).sizes["sequence"] == 1 and not picture.stat().st_size and not decoded.stat().st_size
    encode(str(tvae), file, out=out, force=True)
    assert opened(out).sizes["sequence"] == 2 and len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ConfigError, match="something else of that name"):
        encode(str(tvae), file, out=store.path, force=True)


def test_work_cut_short_leaves_nothing(tvae, file, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ondee.encoding.encoder.latents_of", stop)
    with pytest.raises(KeyboardInterrupt):
        encode(str(tvae), file, out=tmp_path / "l.zarr")
    assert not list(tmp_path.iterdir())


def test_latents_of_other_weights_and_what_are_none_are_refused(encoded, tmp_path):
    with pytest.raises(ConfigError, match="another run, tvae"):
        decode(str(make_run(tmp_path / "tvae", seed=2)), encoded[1], out=tmp_path / "r.nc")
    with pytest.raises(ReadError, match="no latents of ondee"):
        decode(str(tmp_path / "tvae"), tmp_path, out=tmp_path / "r.nc")


def test_a_plain_autoencoder_has_no_u(file, tmp_path):
    model = make_run(tmp_path / "vae", coherence=None)
    encode(str(model), file, out=tmp_path / "l.zarr")
    data = opened(tmp_path / "l.zarr")
    assert "u_mean" not in data
    np.testing.assert_array_equal(data["topographic_latent"].values, data["z_mean"].values)


# ---- what a run tells of its rain


def test_a_run_of_rain_tells_what_it_learnt_and_older_ones_are_understood(store, tmp_path):
    told = {
        "model": "tvae",
        "sequences": "rain",
        "stores": [str(store.path)],
        "frames": 5,
        "side": SIDE,
        "settings": SETTINGS,
    }
    material = gather(LatentConfig.model_validate({**told, "crop": "lagrangian"}))
    wanted = RainLearnt(5, 15, (4.0, 4.0), "lagrangian")
    assert RainLearnt.of(material.described()["rain"]) == wanted and "rain" not in material.told()["settings"]
    about = {"training": material.told(), "data": material.data}
    material.save(tmp_path / "new", material.model, about)
    assert rain_learnt(tmp_path / "new") == wanted
    run.save_latent(tmp_path / "old", material.model, about=about)
    assert "rain" not in yaml.safe_load((tmp_path / "old" / "config.yaml").read_text())
    assert rain_learnt(tmp_path / "old") == wanted
    with pytest.warns(UserWarning, match="move on with the rain"):
        encode(str(tmp_path / "old"), store.path, out=tmp_path / "l.zarr", dry_run=True)


def test_a_run_that_does_not_tell_its_rain_is_refused(file, tmp_path):
    with pytest.raises(ReadError, match="does not tell length, step and cell"):
        encode(str(make_run(tmp_path / "tvae", learnt=None)), file, out=tmp_path / "l.zarr")


# ---- the figure


def test_the_wettest_window_is_drawn_and_each_capsule_rolls_by_itself(tvae, file):
    found = turned(tvae, file)
    windows = np.stack([Tiling(GRID, SIDE).cut(rain()[part]) for part in (slice(0, 4), slice(5, 9))])
    seen = np.isfinite(windows)
    means = np.nansum(windows, (2, 3, 4)) / np.maximum(seen.sum((2, 3, 4)), 1) * (seen.mean((2, 3, 4)) >= 0.5)
    sequence, window = np.unravel_index(means.argmax(), means.shape)
    np.testing.assert_array_equal(found.observed, windows[sequence, window])
    model = run.load_latent(tvae)
    with torch.no_grad():
        seen = torch.from_numpy(found.observed)[None, :, None]
        latents, centre = model.latents(seen)[0, 2], model.topography.centre
        close(found.reconstructed, model.reconstruct(seen)[0, :, 0])
        assert found.turned.shape == (4, 4, SIDE, SIDE) and found.middle == 2
        for capsule in range(4):
            for places in range(4):
                moved = latents.clone()
                moved[capsule] = centre[capsule] + rolled(
                    latents[capsule] - centre[capsule], (6,), (places,), is_open=True
                )
                wanted = model.likelihood.mean(model.decode(moved[None]))[0, 0]
                close(found.turned[capsule, places], wanted)


def test_a_torus_rolls_along_its_last_axis_where_nothing_moves(file, tmp_path):
    model = make_run(tmp_path / "vae", capsules=3, dimensions=[2, 3], coherence=None)
    found, net = turned(model, file, start="2018-06-04T13:00"), run.load_latent(model)
    with torch.no_grad():
        latents = net.latents(torch.from_numpy(found.observed)[None, :, None])[0, 2]
        latents[1] = rolled(latents[1], (2, 3), (0, 2))
        close(found.turned[1, 2], net.likelihood.mean(net.decode(latents[None]))[0, 0])
    assert found.names[1] == "capsule 1\nspeed (0, 1)"


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"capsules": 12}, 2),
        ({"capsules": 12, "coherence": {"frames": 3, "width": 1}}, 8),
    ],
)
def test_the_figure_has_a_row_for_each_capsule_or_group(settings, names, file, tmp_path, monkeypatch):
    drawn = []

    def watched(*given, **more):
        drawn.append(draw_traversal(*given, **more))
        return drawn[0]

    monkeypatch.setattr("ondee.plot.latent.draw_traversal", watched)
    model = make_run(tmp_path / "tvae", **settings)
    told = traverse(str(model), file, out=tmp_path / "t.png", start="2018-06-04T13:00", at=(-30_000.0, 10_000.0))
    assert len(told["rows"]) == names and (tmp_path / "t.png").read_bytes()[:4] == b"\x89PNG"
    strips = [axis for axis in drawn[0].axes if axis.get_images()]
    assert len(strips) == 2 + names == len(drawn[0].axes) - 1
    assert {axis.get_images()[0].get_array().shape for axis in strips} == {(SIDE, 4 * SIDE)}
    assert "mm h⁻¹" in drawn[0].axes[-1].get_ylabel() and told["at"] == [-18_000.0, 18_000.0]


def test_a_window_that_is_not_there_or_was_not_observed_is_refused(tvae, file, tmp_path):
    for at, words in (((0.0, -1e6), "lies in no window"), ((-10_000.0, 90_000.0), "less than half of the window")):
        with pytest.raises(ConfigError, match=words):
            traverse(str(tvae), file, out=tmp_path / "t.png", at=at)
    with pytest.raises(ConfigError, match="3 numbers are no point"):
        traverse(str(tvae), file, out=tmp_path / "t.png", at=(1.0, 2.0, 3.0))


def test_the_commands_print_what_they_made(tvae, file, tmp_path, capsys):
    latents, decoded = str(tmp_path / "l.zarr"), str(tmp_path / "r.nc")
    for words, expected in (
        (["encode", str(tvae), str(file), "--out", latents, "--json"], '"sequences": 2'),
        (["decode", str(tvae), latents, "--out", decoded, "--json"], '"frames": 8'),
        (
            ["traverse", str(tvae), str(file), "--out", str(tmp_path / "t.png"), "--at=-30000,10000"],
            "capsule 3, speed 1",
        ),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        told = capsys.readouterr()
        assert ended.value.code == 0 and not told.err and expected in told.out, told
