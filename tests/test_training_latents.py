"""Training of models of sequences: it learns, gives the same bits after a kill, and its runs can be used."""

import gzip
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from ondee import run
from ondee.cli import main
from ondee.errors import ConfigError, ReadError, StoreError
from ondee.training.latents import Sequences
from ondee.training.lesson import Lesson
from ondee.training.material import gather
from ondee.training.session import train
from ondee.training.settings import LatentConfig, read

torch.set_num_threads(1)

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("tvae-*.yaml"))
ROWS = [path for path in CONFIGS if "rain" not in path.stem]


def config(**more):
    told = {
        "model": "tvae",
        "sequences": "sprites",
        "settings": {"capsules": 4, "dimensions": [15], "coherence": {"frames": 5, "width": 1}},
        "batch": 2,
        "steps": 8,
        "seed": 3,
        "validate_every": 4,
        "validation_samples": 4,
        "checkpoint_every": 3,
        "threads": 1,
        "pictures": False,
    }
    return LatentConfig.model_validate({**told, **more})


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent") / "tvae"
    return train(config(), out=folder), folder


@pytest.fixture(scope="module")
def rainy(tmp_path_factory):
    from learnt import make_store

    return make_store(tmp_path_factory.mktemp("rain") / "store.zarr").path


@pytest.fixture
def digits(tmp_path):
    """Files of the size of MNIST's header and few digits."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, count in (("train-images-idx3-ubyte", 48_004), ("t10k-images-idx3-ubyte", 4)):
        header = b"\0\0\x08\x03" + np.array([count, 4, 4], ">u4").tobytes()
        values = np.arange(count * 16, dtype=np.uint64).astype(np.uint8).tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + values, 1))
    return folder


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_the_configurations_that_ship_can_be_read(path):
    found = read(path, data="somewhere" if "mnist" in path.stem else None)
    size = 18 if "mnist" in path.stem else 15
    assert isinstance(found, LatentConfig) and Path(found.run).name == path.stem
    assert (found.settings.capsules, found.settings.dimensions) == (size, (size,))


def test_there_is_a_row_for_every_coherence_and_both_sets():
    assert len(ROWS) == 12
    told = [yaml.safe_load(path.read_text())["settings"]["coherence"] for path in ROWS]
    assert sum(entry is None for entry in told) == 2 and sum("shape" in (entry or {}) for entry in told) == 4


def test_a_run_says_what_it_learnt_and_loads(whole):
    done, folder = whole
    told = yaml.safe_load((folder / "config.yaml").read_text())
    assert told["model"] == "tvae" and told["training"]["sequences"] == "sprites" and "data" not in told["training"]
    assert {"capcorr_x", "rolled_scale", "equivariance_chance", "log_likelihood"} <= done.figures.keys()
    model = run.load_latent(folder)
    frames = torch.rand(1, 15, 1, 64, 64)
    assert model.latents(frames).shape == (1, 15, 4, 15) and not model.training
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert losses[0]["step"] == 4 and losses[-1]["validation_loss"] < losses[0]["validation_loss"]


def test_an_image_is_the_same_whatever_the_batch_it_is_in():
    material = gather(config())
    both, one = (next(iter(gather(config(batch=size)).loader(0))) for size in (2, 1))
    device = torch.device("cpu")
    assert torch.equal(material.placed(both, device).frames[:1], material.placed(one, device).frames)


def test_killed_and_resumed_gives_the_same_bits(whole, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    usual = Lesson.training_step

    def dies(self, batch, batch_idx):
        if self.first + batch_idx == 5:
            raise Killed
        return usual(self, batch, batch_idx)

    monkeypatch.setattr(Lesson, "training_step", dies)
    with pytest.raises(Killed):
        train(config(), out=tmp_path / "cut")
    monkeypatch.setattr(Lesson, "training_step", usual)
    assert train(config(), out=tmp_path / "cut").first == 3
    first, second = weights(whole[1]), weights(tmp_path / "cut")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert train(config(), out=tmp_path / "cut").first == 8


def test_descent_with_momentum_keeps_its_rate_and_resumes(tmp_path):
    slow = config(optimiser="sgd", schedule="constant", rate=1e-4, steps=4, checkpoint_every=2, ema=0)
    train(slow, out=tmp_path / "sgd")
    lines = [json.loads(line) for line in (tmp_path / "sgd" / "metrics.jsonl").read_text().splitlines()]
    assert [line["rate"] for line in lines if "rate" in line] == [1e-4]


def test_another_configuration_is_refused(whole):
    with pytest.raises(StoreError, match=r"settings.capsules is 4 there and 5 here"):
        train(config(settings={"capsules": 5, "dimensions": [15], "coherence": None}), out=whole[1])


def test_what_cannot_be_asked_for_is_refused(tmp_path):
    def refused(text, **given):
        path = tmp_path / "tvae.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read(path, **given)
        return str(caught.value.what) + str(caught.value.where)

    base = "model: tvae\nsequences: sprites\n"
    assert "data" in refused("model: tvae\nsequences: digits\n")
    assert "capsuls" in refused(base + "settings: { capsuls: 3 }\n")
    assert "shared out" in refused(base + "settings: { capsules: 3, coherence: { speeds: [0, 1] } }\n")
    assert "odd number" in refused(base + "settings: { coherence: { width: 2 } }\n")
    assert "open end" in refused(base + "settings: { coherence: { time: open } }\n")
    assert "axes" in refused(base + "settings: { coherence: { speeds: [[1, 2]] } }\n")
    assert "store" in refused(base, store="a.zarr")
    assert "store" in refused("store: a\nmodel: unet\n", data="b")


def test_digits_are_read_and_missing_ones_are_named(digits, tmp_path):
    small = {"capsules": 2, "dimensions": [18], "coherence": {"frames": 3, "width": 1}}
    told = config(sequences="digits", data=str(digits), settings=small, steps=2, validate_every=2)
    material = gather(told)
    assert material.model.shape == (3, 4, 4) and len(material.validation.images) == 4
    with pytest.raises(ReadError, match="no digits"):
        gather(config(sequences="digits", data=str(tmp_path), settings=small))


def rain(store, **more):
    settings = {
        "capsules": 2,
        "dimensions": [8],
        "coherence": {"frames": 3, "width": 1, "causal": True, "time": "open", "capsule": "open"},
        "normalised": True,
        "centre": 5.0,
        "network": "convolutional",
        "widths": [4, 8],
        "features": 16,
        "likelihood": "censored",
    }
    told = {"sequences": "rain", "stores": [str(store)], "frames": 4, "side": 16, "settings": settings, "rate": 3e-3}
    return config(**{**told, **more})


def test_rain_is_learnt_weighted_and_judged(rainy, tmp_path, monkeypatch):
    told = rain(rainy, steps=30, validate_every=15, checkpoint_every=10, pictures=True)
    monkeypatch.setattr("ondee.training.latents._FITTED_ON", 2)
    done = train(
        told, out=tmp_path / "rain", draw=lambda folder, scene, _: (folder / "drawn").write_text(str(scene.is_rain))
    )
    assert (tmp_path / "rain" / "drawn").read_text() == "True"
    lines = [json.loads(line) for line in (tmp_path / "rain" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert losses[-1] < losses[0]
    assert {"nats", "csi_0.1", "csi_1", "roll_skill_1", "rolled_3", "frozen_3", "wet_ratio"} <= done.figures.keys()
    assert run.load_latent(tmp_path / "rain").likelihood.is_rain
    batch = gather(told).placed(next(iter(gather(told).loader(0))), torch.device("cpu"))
    assert batch.weight.shape == (2,)


def test_the_tiny_configuration_of_rain_learns_it(rainy, tmp_path, monkeypatch):
    monkeypatch.setattr("ondee.training.latents._FITTED_ON", 8)
    shipped = read(Path(__file__).parents[1] / "configs/tvae-rain-tiny.yaml")
    told = {"stores": (str(rainy),), "pictures": False, "validation_samples": 16}
    done = train(shipped.model_copy(update=told), out=tmp_path / "tiny")
    lines = [json.loads(line) for line in (tmp_path / "tiny" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert len(losses) == 2 and losses[1] < losses[0]
    # The waves of this rain go on by a pixel a frame: rolled latents tell what comes, those that stay do not.
    found = done.figures
    assert all(found[f"rolled_{lag}"] < found[f"frozen_{lag}"] for lag in (1, 2, 3))
    assert found["rolled_3"] < 1.05 * found["nats"] and found["frozen_3"] > 1.2 * found["nats"]
    assert min(found["roll_skill_2"], found["roll_skill_3"]) > 0
    assert all(found[f"roll_skill_{lag}"] > found[f"roll_skill_{lag}_untrained"] for lag in (1, 2, 3))


def test_processes_share_the_loss_of_weighted_sequences_as_one_would(rainy):
    material = gather(rain(rainy, batch=4))
    batch = material.placed(next(iter(material.loader(0))), torch.device("cpu"))
    whole = material.loss(material.model, batch, 0)["loss"]
    parts = [
        Sequences(batch.keys[place : place + 2], batch.frames[place : place + 2], batch.weight[place : place + 2])
        for place in (0, 2)
    ]
    counted = torch.stack([material.observed(part) for part in parts])
    losses = torch.stack([material.loss(material.model, part, 0)["loss"] for part in parts])
    torch.testing.assert_close((losses * counted / counted.mean()).mean(), whole)
    assert batch.weight.std() > 0


@pytest.mark.parametrize("changes", [{"frames": 2}, {"frames": 3}])
def test_short_sequences_of_rain_are_judged_as_far_as_they_go(rainy, changes, monkeypatch):
    monkeypatch.setattr("ondee.training.latents._FITTED_ON", 2)
    material = gather(rain(rainy, **changes))
    found = material.fit(material.model)
    assert "roll_skill_1" in found and f"roll_skill_{changes['frames']}" not in found


@pytest.mark.parametrize(
    ("settings", "absent"),
    [({"lead": (1,)}, "log_likelihood"), ({"dimensions": (10,)}, "capcorr_x"), ({"dimensions": (3, 5)}, "capcorr_x")],
)
def test_what_a_model_cannot_have_is_left_out(settings, absent, monkeypatch):
    monkeypatch.setattr("ondee.training.latents._FITTED_ON", 2)
    material = gather(
        config(settings={"capsules": 2, "dimensions": (15,), "coherence": {"frames": 3, "width": 1}, **settings})
    )
    found = material.fit(material.model)
    assert absent not in found and "rolled_x" in found


def test_a_loss_that_is_no_number_names_the_batch(rainy, tmp_path):
    told = rain(rainy, steps=2)
    told = told.model_copy(update={"settings": told.settings.model_copy(update={"likelihood": "hurdle-gamma"})})
    lesson = Lesson(gather(told))
    lesson._trainer = types.SimpleNamespace(global_rank=0, world_size=1, strategy=None)
    with torch.no_grad():
        next(lesson.model.decoder.parameters()).fill_(torch.nan)
    batch = lesson.material.placed(next(iter(lesson.material.loader(0))), torch.device("cpu"))
    with pytest.raises(ReadError, match="the loss is not finite") as caught:
        lesson.training_step(batch, 0)
    assert "batch 0, samples 0, 1" in str(caught.value.where) and "set a `clip`" in caught.value.fix


def test_weights_decay_and_the_shift_does_not():
    optimiser = gather(config(weight_decay=0.1)).optimiser()
    model = gather(config()).model
    still = sum(entry.numel() for entry in optimiser.param_groups[1]["params"])
    assert still == 1 + sum(entry.numel() for entry in model.parameters() if entry.ndim == 1)


def test_rain_and_its_likelihood_belong_together(rainy):
    with pytest.raises(ValueError, match="bernoulli is for grey values"):
        rain(rainy, settings={"likelihood": "bernoulli"})
    with pytest.raises(ValueError, match="bernoulli is for grey values"):
        config(settings={"likelihood": "censored"})
    with pytest.raises(ValueError, match="name the stores"):
        rain(rainy, stores=[])
    with pytest.raises(ConfigError, match="follow one another"):
        gather(rain(rainy, frames=40))


def test_a_run_of_another_kind_is_refused(whole, tmp_path):
    with pytest.raises(ReadError, match="no autoencoder"):
        run.load_latent("unet")
    with pytest.raises(ReadError, match="autoencoder of sequences") as caught:
        run.load(whole[1])
    assert "load_latent" in caught.value.fix


def test_the_command_trains_draws_and_tells(tmp_path, capsys):
    path = tmp_path / "tvae.yaml"
    told = json.loads(config(steps=2, validate_every=2, pictures=True).model_dump_json(exclude={"run"}))
    path.write_text(yaml.safe_dump(told))
    for more in (["--dry-run", "--json"], ["--out", str(tmp_path / "run")]):
        with pytest.raises(SystemExit) as ended:
            main(["train", str(path), *more])
        assert ended.value.code == 0
    assert '"parameters"' in capsys.readouterr().out
    assert (tmp_path / "run" / "pictures" / "00000002.png").stat().st_size > 1000


def test_the_rows_can_be_trained_on_the_published_schedule(tmp_path):
    tool = Path(__file__).parents[1] / "tools" / "train_tvae.sh"
    words = [
        "--schedule",
        "paper",
        "--only",
        "tvae-dsprites-10",
        "--seeds",
        "2",
        "--work",
        str(tmp_path),
        "--dry-run",
    ]
    shown = {**os.environ, "ONDEE": str(Path(sys.executable).with_name("ondee"))}
    done = subprocess.run([tool, *words], capture_output=True, text=True, env=shown)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("== tvae-dsprites-10, seed 2") == 1
    first = read(tmp_path / "configs" / "tvae-dsprites-10-seed2.yaml")
    assert first.seed == 2
    assert (first.optimiser, first.schedule, first.steps, first.rate) == ("sgd", "constant", 600_000, 1e-4)
    shipped = read(Path(__file__).parents[1] / "configs" / "tvae-dsprites-10.yaml")
    assert (shipped.optimiser, shipped.schedule, shipped.steps, shipped.rate) == ("adam", "cosine", 5000, 1e-3)


ADVECTIVE = {
    "network": "advective",
    "widths": (4, 8),
    "features": 16,
    "history": 2,
    "capsules": 6,
    "dimensions": (4,),
    "likelihood": "censored",
    "coherence": {"frames": 2, "width": 1, "speeds": (0, 1, 1), "causal": True, "time": "open", "capsule": "open"},
    "normalised": True,
    "carried": True,
    "entering": "wave",
    "centre": 0.0,
    "lead": (0, 1),
}


def test_the_network_that_carries_rain_along_begins_with_the_components_of_its_rain(rainy, tmp_path, monkeypatch):
    monkeypatch.setattr("ondee.training.latents._FITTED_ON", 2)
    monkeypatch.setattr("ondee.training.latents._WINDOWS", 20)
    told = rain(rainy, settings=ADVECTIVE, weighted=False, divergence=0.1, steps=4)
    material = gather(told)
    components = material.model.decoder.components
    mean, basis, variance = material.training.components(8)
    assert components.basis.numpy() == pytest.approx(basis, abs=1e-6)
    assert components.scale.numpy() == pytest.approx(np.sqrt(variance) / 10, rel=1e-4)
    assert components.mean.numpy().ravel() == pytest.approx((mean + 10) / 10, abs=1e-5)
    batch = material.placed(next(iter(material.loader(0))), torch.device("cpu"))
    assert batch.weight is None
    train(told, out=tmp_path / "waves")
    loaded = run.load_latent(tmp_path / "waves")
    assert torch.equal(loaded.decoder.components.basis, components.basis)  # it is not learnt further
    assert not any(name.startswith("encoder") and "basis" in name for name in loaded.state_dict())
    assert torch.equal(loaded.decoder.components.basis, loaded.encoder._path[0].basis)


def test_the_network_that_carries_rain_along_takes_sides_of_eight_pixels(rainy):
    with pytest.raises(ValueError, match="multiple of 8, not 20"):
        rain(rainy, settings=ADVECTIVE, side=20)


def test_the_weight_of_the_divergence_is_that_of_the_configuration(rainy):
    parts = {}
    for weight in (0.25, 1.0):
        material = gather(rain(rainy, divergence=weight))
        batch = material.placed(next(iter(material.loader(0))), torch.device("cpu"))
        parts[weight] = material.loss(material.model, batch, 0)
    told = parts[0.25]
    assert torch.isclose(told["loss"], told["reconstruction"] + 0.25 * (told["divergence_z"] + told["divergence_u"]))
    assert parts[1.0]["loss"] > told["loss"]
