import json
import logging
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from learnt import CHANNELS, make_store
from ondee import run
from ondee.cli import main
from ondee.command import train as command
from ondee.errors import ConfigError, OndeeError, ReadError, StoreError
from ondee.output import locked
from ondee.training.diary import CHECKPOINT, Diary, checkpoint
from ondee.training.estimate import estimate
from ondee.training.lesson import Lesson, rate_at
from ondee.training.material import Numbers, gather, trained
from ondee.training.session import Devices, train
from ondee.training.settings import TrainConfig

torch.set_num_threads(1)


def rule():
    """Fitting by a fixed rule, quick and seen: what it sets must be in the run."""

    def fit(retriever, scenes, *, seed):
        assert not any(parameter.requires_grad for parameter in retriever.parameters()) and len(scenes) == 24
        retriever.rain.threshold.fill_(0.125)
        retriever.sampling = retriever.sampling.model_copy(update={"noise_scale": 0.75})
        return {"wet_bias": 1.25}

    module = types.ModuleType("ondee.fitting")
    module.fit = fit
    return module


@pytest.fixture(autouse=True)
def fitted(monkeypatch):
    monkeypatch.setitem(sys.modules, "ondee.fitting", rule())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("training") / "store.zarr").path


@pytest.fixture(scope="module")
def config(store):
    return TrainConfig.model_validate(
        {
            "store": str(store),
            "model": "unet",
            "settings": {"widths": [8, 16], "dropout": 0.2},
            "predictors": {"minutes": [0, 15], "auxiliary": ["scan_offset", "parallax_north"]},
            "patch": 16,
            "batch": 4,
            "steps": 12,
            "rate": 3e-3,
            "warmup": 4,
            "validate_every": 6,
            "validation_samples": 6,
            "checkpoint_every": 4,
            "pictures": False,
            "threads": 1,
            "workers": 0,
        }
    )


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that was never interrupted; what fitting sets in it is as in all others."""
    folder = tmp_path_factory.mktemp("whole") / "unet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ondee.fitting", rule())
        train(config, out=folder)
    return folder


def changed(config, **more):
    return TrainConfig.model_validate(config.model_dump() | more)


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(first, second, tolerance=None):
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for name in a:
        if tolerance is None:
            assert torch.equal(a[name], b[name]), name
        else:
            assert torch.allclose(a[name], b[name], rtol=0, atol=tolerance), (name, (a[name] - b[name]).abs().max())
    return True


def lines(folder):
    return [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]


class Killed(BaseException):
    """The process ends here."""


def killed_at(monkeypatch, step):
    """Let a training die in the middle of a step, after what was written before it."""
    usual = Lesson.training_step

    def dies(self, batch, batch_idx):
        if self.first + batch_idx == step:
            raise Killed
        return usual(self, batch, batch_idx)

    monkeypatch.setattr(Lesson, "training_step", dies)
    return usual


# ---- from end to end


def test_a_training_makes_a_run_that_knows_more_than_at_first(config, tmp_path):
    long = changed(config, steps=120, settings={"widths": [8, 16], "dropout": 0.0}, validate_every=60)
    done = train(long, out=tmp_path / "unet")
    assert (done.steps, done.first, done.figures["wet_bias"]) == (120, 0, 1.25)
    judged = [line["validation_loss"] for line in lines(tmp_path / "unet") if "validation_loss" in line]
    assert len(judged) == 2 and judged[1] < 0.9 * judged[0] and done.figures["validation_loss"] == judged[1]
    told = [line for line in lines(tmp_path / "unet") if "loss" in line]
    assert [line["step"] for line in told] == [50, 100, 120] and told[-1]["loss"] < told[0]["loss"]
    assert {"squared_error", "likelihood", "wet", "gradient", "rate", "seconds", "waiting_share"} <= set(told[0])
    assert all(0 <= line["waiting_share"] <= 1 for line in told)
    names = {path.name for path in (tmp_path / "unet").iterdir()}
    assert names == {"config.yaml", "model.safetensors", "README.md", "metrics.jsonl", "provenance.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]
    again = run.load(tmp_path / "unet")
    assert float(again.rain.threshold) == 0.125 and again.sampling.noise_scale == 0.75
    assert again.predictors.channels == CHANNELS
    facts = json.loads((tmp_path / "unet" / "provenance.json").read_text())
    assert facts["store_config"] == {"seed": 0} and facts["data"]["train_moments"] == 24 and facts["seed"] == 0


def test_the_terminal_stays_clean(config, tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        train(config, out=tmp_path / "unet")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("lightning.pytorch").level != logging.ERROR


def test_the_same_training_gives_the_same_bits_and_another_seed_others(config, whole, tmp_path):
    train(changed(config, workers=2), out=tmp_path / "a")
    assert same(whole, tmp_path / "a")
    train(changed(config, seed=1), out=tmp_path / "b")
    with pytest.raises(AssertionError):
        same(whole, tmp_path / "b")


@pytest.mark.parametrize("step", [2, 9])
def test_a_training_that_was_killed_ends_in_the_same_bits(config, whole, tmp_path, monkeypatch, step):
    usual = killed_at(monkeypatch, step)
    with pytest.raises(Killed):
        train(config, out=tmp_path / "cut")
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    with pytest.raises(ReadError, match="not finished"):
        run.load(tmp_path / "cut")
    monkeypatch.setattr(Lesson, "training_step", usual)
    done = train(config, out=tmp_path / "cut")
    assert done.first == step // 4 * 4 and same(whole, tmp_path / "cut")
    timeless = [
        [{k: v for k, v in line.items() if k not in ("seconds", "waiting_share")} for line in lines(folder)]
        for folder in (whole, tmp_path / "cut")
    ]
    assert timeless[0] == timeless[1]


def test_half_as_many_bits_learn_much_the_same_and_keep_whole_ones(config, whole, tmp_path, monkeypatch):
    short = changed(config, precision="bf16-mixed")
    train(short, out=tmp_path / "one")
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "one").values())
    ends = [
        [line["validation_loss"] for line in lines(f) if "validation_loss" in line][-1]
        for f in (whole, tmp_path / "one")
    ]
    assert ends[0] != ends[1] and ends[1] == pytest.approx(ends[0], rel=0.03)
    usual = killed_at(monkeypatch, 9)
    with pytest.raises(Killed):
        train(short, out=tmp_path / "cut")
    monkeypatch.setattr(Lesson, "training_step", usual)
    train(short, out=tmp_path / "cut")
    assert same(tmp_path / "one", tmp_path / "cut")


def test_a_training_that_was_killed_before_it_was_saved_is_finished(config, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run, "save", lambda *_, **__: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(config, out=tmp_path / "cut")
    assert train(config, out=tmp_path / "cut").first == 12 and same(whole, tmp_path / "cut")
    assert not (tmp_path / "cut" / CHECKPOINT).exists()


def test_a_finished_training_is_left_alone(config, whole):
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.iterdir()}
    done = train(changed(config, threads=2, workers=1), out=whole)
    assert (done.steps, done.first, done.figures["wet_bias"]) == (12, 12, 1.25)
    assert before == {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.iterdir()}
    torch.set_num_threads(1)


def test_another_configuration_is_refused_with_the_difference(config, tmp_path):
    train(config, out=tmp_path / "unet")
    with pytest.raises(StoreError, match=r"rate is 0\.003 there and 0\.001 here") as caught:
        train(changed(config, rate=1e-3), out=tmp_path / "unet")
    assert "--force" in caught.value.fix
    done = train(changed(config, rate=1e-3), out=tmp_path / "unet", force=True)
    assert done.first == 0 and yaml.safe_load((tmp_path / "unet/config.yaml").read_text())["training"]["rate"] == 1e-3


def test_a_store_that_moved_is_the_same_and_another_is_not(config, store, whole, tmp_path):
    moved = tmp_path / "moved.zarr"
    moved.symlink_to(store)
    assert train(changed(config, store=str(moved)), out=whole).first == 12
    other = make_store(tmp_path / "other.zarr", seed=1).path
    with pytest.raises(StoreError, match="holds other data"):
        train(changed(config, store=str(other)), out=whole)


def test_a_folder_with_something_else_is_refused(config, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="something else"):
        train(config, out=tmp_path)
    train(config, out=tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_trainings_do_not_write_one_run(config, tmp_path):
    with locked(tmp_path / "unet"), pytest.raises(StoreError, match="another training"):
        train(config, out=tmp_path / "unet")


def test_a_state_cut_short_is_refused(config, tmp_path, monkeypatch):
    usual = killed_at(monkeypatch, 9)
    with pytest.raises(Killed):
        train(config, out=tmp_path / "unet")
    monkeypatch.setattr(Lesson, "training_step", usual)
    path = tmp_path / "unet" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ReadError, match="cannot be read") as caught:
        train(config, out=tmp_path / "unet")
    path.unlink()
    assert "remove this file" in caught.value.fix and train(config, out=tmp_path / "unet").first == 0


# ---- several processes

SCRIPT = """
import sys, types
module = types.ModuleType("ondee.fitting")
module.fit = lambda retriever, scenes, *, seed: {}
sys.modules["ondee.fitting"] = module
from pathlib import Path
from ondee.training.session import Devices, train
from ondee.training.settings import TrainConfig
config = TrainConfig.model_validate_json(Path(sys.argv[1]).read_text())
train(config, out=sys.argv[2], on=Devices("cpu", 2, 1, "ddp"))
"""


def test_two_processes_learn_what_one_does(config, tmp_path):
    steady = changed(config, settings={"widths": [8, 16], "dropout": 0.0}, steps=6, rate=1e-3)
    (tmp_path / "config.json").write_text(steady.model_dump_json())
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "config.json"), str(tmp_path / "2")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    train(steady, out=tmp_path / "1")
    first, second = ({**weights(tmp_path / count)} for count in "12")
    start = gather(steady).model.state_dict()
    moved = max(float((first[name] - start[name]).abs().max()) for name in first if name.startswith("network"))
    assert moved > 1e-4
    for name in first:
        if name != "rain.threshold":
            assert torch.allclose(first[name], second[name], rtol=0, atol=1e-6), name


def test_numbers_of_all_processes_are_those_of_one():
    one = list(Numbers(3, 6, 8))
    parts = [list(Numbers(3, 6, 8, rank, 4)) for rank in range(4)]
    assert [sorted(number for part in parts for number in part[step]) for step in range(3)] == one
    assert one[0] == list(range(24, 32)) and len(Numbers(3, 6, 8)) == 3


# ---- what nothing can be learnt from


def stops(config, out):
    with pytest.raises(ReadError, match="the training stopped") as caught:
        train(config, out=out)
    assert str(caught.value).count("\n") == 2
    return caught.value


def test_a_loss_that_is_not_finite_stops_with_batch_samples_and_plane(config, tmp_path):
    def spoil(images, rain):
        rain[:, 10:20, 10:20] = 1e30

    spoilt = make_store(tmp_path / "spoilt.zarr", change=spoil).path
    raw = changed(config, store=str(spoilt), settings={"rain": {"kind": "raw"}, "widths": [8, 16]})
    error = stops(raw, tmp_path / "run")
    assert "batch 0, samples 0, 1, 2, 3" in error.where and "rain of the radar" in error.where
    assert "1e+30 mm h-1" in error.where and "squared_error" in error.what


def test_a_gradient_that_is_not_finite_stops_before_it_is_taken(config, tmp_path, monkeypatch):
    from ondee.retriever.unet import RegressionUNet

    usual = RegressionUNet.loss

    def odd(self, batch, noise):
        made = usual(self, batch, noise)
        zero = (self.network.mix.weight * 0).square().sum() if batch.keys[0] == 8 else 0.0
        return {**made, "loss": made["loss"] + (torch.sqrt(zero) if batch.keys[0] == 8 else 0.0)}

    monkeypatch.setattr(RegressionUNet, "loss", odd)
    error = stops(config, tmp_path / "run")
    assert "gradient" in error.what and error.where.startswith("batch 2, samples 8, 9, 10, 11") and "rate" in error.fix


# ---- parts


def test_a_part_is_taken_from_its_run_and_stays_as_it_is(config, tmp_path):
    train(config, out=tmp_path / "unet")
    flow = changed(
        config, model="flow", settings={"widths": [8, 16]}, parts={"mean": str(tmp_path / "unet")}, batch=2, steps=4
    )
    train(flow, out=tmp_path / "flow")
    whole, part = weights(tmp_path / "flow"), weights(tmp_path / "unet")
    for name, tensor in part.items():
        assert torch.equal(whole[f"mean.{name}"], tensor), name
    again = run.load(tmp_path / "flow")
    assert again.settings.mean.widths == (8, 16) and again.settings.mean.dropout == 0.2
    assert float(again.residual) != 1.0  # measured before learning
    train(changed(config, seed=5), out=tmp_path / "other")
    with pytest.raises(StoreError, match="another run"):
        train(changed(flow, parts={"mean": str(tmp_path / "other")}), out=tmp_path / "flow")


def test_a_part_that_is_missing_or_does_not_fit_is_refused(config, tmp_path):
    flow = changed(config, model="flow", settings={"widths": [8, 16]})
    with pytest.raises(ConfigError, match="needs a run for its part 'mean'") as caught:
        train(flow, out=tmp_path / "flow")
    assert "train it first" in caught.value.fix
    with pytest.raises(ConfigError, match="no finished run") as caught:
        train(changed(flow, parts={"mean": str(tmp_path / "none")}), out=tmp_path / "flow")
    assert "train it first" in caught.value.fix
    with pytest.raises(ConfigError, match="has no part 'mean'"):
        train(changed(config, parts={"mean": "x"}), out=tmp_path / "flow")
    train(config, out=tmp_path / "unet")
    narrow = changed(flow, parts={"mean": str(tmp_path / "unet")}, predictors={"minutes": [0], "auxiliary": []})
    with pytest.raises(ConfigError, match="the part 'mean' looks at"):
        train(narrow, out=tmp_path / "flow")
    assert not (tmp_path / "flow").exists()


def test_a_model_without_anything_to_learn_is_measured_and_kept(config, tmp_path):
    done = train(changed(config, model="threshold", settings={}), out=tmp_path / "threshold")
    assert done.steps == 0 and float(run.load(tmp_path / "threshold").rain.threshold) == 0.125


# ---- what is refused


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"patch": 15}, "patch"),
        ({"patch": 64}, "64"),
        ({"rain": "radar_rain"}, "radar_rain"),
        ({"images": "seviri"}, "seviri"),
        ({"settings": {"widths": [2]}}, "widths"),
        ({"predictors": {"channels": ["IR_999"]}}, "IR_999"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(config, tmp_path, more, words):
    with pytest.raises(OndeeError) as caught:
        train(changed(config, **more), out=tmp_path / "run")
    assert words in str(caught.value) and str(caught.value).count("\n") == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (Devices(strategy="fsdp"), "--strategy"),
        (Devices("cpu", 3), "multiple of 3"),
        (Devices("cpu", 0), "--devices"),
        (Devices("cpu", "some"), "--devices"),
        (Devices("cpu", 1, 0), "--nodes"),
        (Devices("tpu"), "Lightning refuses"),
        pytest.param(
            Devices("gpu"), "--accelerator cpu", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU")
        ),
    ],
)
def test_devices_that_cannot_be_used_are_refused(config, tmp_path, on, words):
    with pytest.raises(ConfigError) as caught:
        train(config, out=tmp_path / "run", on=on)
    assert words in str(caught.value)


def test_a_missing_package_is_named_with_its_install_line():
    with pytest.raises(ConfigError, match=r"no_such_package is not installed") as caught:
        command.needs_torch("torch", "no_such_package")
    assert "ondee[retrieval]" in caught.value.fix


def test_tensorboard_is_written_or_missed_with_its_install_line(config, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    train(changed(config, logger="tensorboard"), out=tmp_path / "a")
    assert list((tmp_path / "a" / "tensorboard").glob("events*"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        train(changed(config, logger="tensorboard"), out=tmp_path / "b")


# ---- pieces


def test_the_rate_rises_then_falls_to_a_hundredth():
    rates = [rate_at(step, 1000, 2.0, 100) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02) and max(rates) == rates[100] == 2.0 and rates[-1] == pytest.approx(0.02)
    assert (np.diff(rates[:100]) > 0).all()
    assert (np.diff(rates[100:]) < 0).all()
    assert rates[549] == pytest.approx(2 * (0.01 + 0.99 / 2), rel=1e-2)
    assert rate_at(0, 1, 2.0, 200) == 2.0 and rate_at(2, 8, 2.0, 200) == 2.0


def test_the_average_is_ramped_and_buffers_are_copied(config):
    lesson = Lesson(gather(config))
    name, fast = next(iter(lesson.model.named_parameters()))
    slow = dict(lesson.average.named_parameters())[name]
    before = slow.clone()
    with torch.no_grad():
        fast += 1.0
    lesson.model.rain.threshold.fill_(9.0)
    lesson._follow(0.75)
    assert torch.allclose(slow, before + 0.25) and float(lesson.average.rain.threshold) == 9.0
    assert not slow.requires_grad and not lesson.average.training and trained(lesson.model)


def test_dropout_and_noise_of_a_step_depend_on_its_number_alone(config):
    lesson = Lesson(gather(config))
    for parameter in lesson.model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    lesson._trainer = types.SimpleNamespace(global_rank=0, world_size=1)
    batch = next(iter(lesson.material.loader(5)))
    first = lesson.training_step(batch, 5)
    torch.randn(100)
    assert torch.equal(lesson.training_step(batch, 5), first)
    assert not torch.equal(lesson.training_step(batch, 6), first)


def test_validation_looks_at_the_same_patches_with_noise_of_their_own(config):
    first, second = (list(gather(config).judged()) for _ in range(2))
    assert [len(batch.keys) for batch in first] == [4, 2]
    assert all(torch.equal(a.rain.nan_to_num(), b.rain.nan_to_num()) for a, b in zip(first, second, strict=True))
    assert first[0].keys == second[0].keys and min(first[0].keys) >= 2**40


def test_metrics_after_the_state_and_a_line_cut_short_are_left_out(config, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2}\n{"step": 4}\n{"step": 6}\n{"st')
    diary = Diary(tmp_path, None or types.SimpleNamespace(config=config), {"step": 4})
    assert diary._kept == [{"step": 2}, {"step": 4}] and checkpoint(tmp_path) is None


# ---- the command


def written(config, folder):
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(json.loads(config.model_dump_json(exclude={"run"}))))
    return path


def test_the_command_trains_and_draws(config, tmp_path, capsys):
    path = written(changed(config, pictures=True, checkpoint_every=6), tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["train", str(path), "--out", str(tmp_path / "r"), "--steps", "6", "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 6 and told["run"] == str(tmp_path / "r")
    assert {file.name for file in (tmp_path / "r" / "pictures").iterdir()} == {"00000006.png", "loss.png"}
    assert all(file.stat().st_size > 5000 for file in (tmp_path / "r" / "pictures").iterdir())
    with pytest.raises(SystemExit) as ended:
        main(["train", str(path), "--out", str(tmp_path / "r"), "--steps", "6"])
    out = capsys.readouterr()
    assert ended.value.code == 0 and "wet bias" in out.out and out.err == ""


def test_a_dry_run_tells_size_and_time_and_writes_nothing(config, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", str(written(config, tmp_path)), "--out", str(tmp_path / "r"), "--dry-run", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and not (tmp_path / "r").exists()
    material = gather(config)
    assert told["parameters"] == sum(p.numel() for p in material.model.parameters())
    assert told["moments"] == {"train": 24, "validation": 24} and told["step_seconds"] > 0
    assert told["batch_megabytes"] == pytest.approx(4 * (2 * 2 + 2 + 1) * 16 * 16 * 4 / 1e6, abs=0.06)
    assert told["training_seconds"] == pytest.approx(12 * told["step_seconds"], abs=1)
    assert estimate(changed(config, model="threshold", settings={}))["trained_parameters"] == 0


def test_interrupting_is_told_as_such(config, tmp_path, monkeypatch, capsys):
    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lesson, "training_step", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["train", str(written(config, tmp_path)), "--out", str(tmp_path / "r")])
    assert ended.value.code == 130 and capsys.readouterr().err in ("", "interrupted\n")


def test_pictures_show_rain_and_what_was_not_observed():
    from ondee.plot.style import encoded
    from ondee.plot.training import draw_learning, draw_patches

    rain = np.where(np.arange(16) > 8, 3.0, 0.0) * np.ones((2, 16, 16))
    rain[0, :4] = np.nan
    figure = draw_patches(260 + rain, rain, np.stack([rain, rain], 1), channel="IR_108", cell=(4.0, 4.0), title="now")
    titles = [ax.get_title(loc="left") for ax in figure.axes[:4]]
    assert titles == ["IR_108", "radar", "member 0", "member 1"] and encoded(figure, ".png")
    shown = figure.axes[1].images[0].get_array()
    assert shown.mask[:4].all() and not shown.mask[4:].any()
    curve = draw_learning([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "validation_loss": 1.5}])
    assert [list(line.get_ydata()) for line in curve.axes[0].lines] == [[2.0, 1.0], [1.5]]
