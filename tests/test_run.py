import json
import math
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from ondee import run
from ondee.condition import Condition, Predictors
from ondee.errors import ConfigError, ReadError
from ondee.generative.noise import Noise
from ondee.retriever.flow import Flow
from ondee.retriever.flow import Settings as FlowSettings
from ondee.retriever.protocol import Sampling, Statistics
from ondee.retriever.unet import RegressionUNet, Settings

torch.set_num_threads(1)
PREDICTORS = Predictors(("IR_108", "WV_062"), (0, 15), ("scan_offset",))
STATISTICS = Statistics((260.0, 235.0), (20.0, 5.0), 80.0, 1.5, 2.0, 0.1)
SMALL = {"widths": (8, 16)}


def made(**more):
    torch.manual_seed(3)
    settings = FlowSettings(mean=Settings(**SMALL), source="mean", **SMALL, **more)
    flow = Flow(settings, PREDICTORS, STATISTICS)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    flow.rain.threshold.fill_(0.25)
    flow.residual.fill_(0.7)
    flow.sampling = Sampling(solver="midpoint", steps=2, noise_scale=0.9, persistence=0.5)
    return flow.eval()


def drawn(retriever):
    generator = torch.Generator().manual_seed(1)
    images = 250 + 20 * torch.randn(1, 2, 2, 16, 16, generator=generator)
    condition = Condition(images, torch.zeros(1, 1, 16, 16))
    return retriever.sample(condition, Noise(7, keys=(3,), members=(0, 1)))


ABOUT = {
    "training": {"batch": 4},
    "data": {"store": "a.zarr", "simulated": True},
    "figures": {"crps": 0.123456},
    "provenance": {"seed": 5},
}


@pytest.fixture
def saved(tmp_path):
    return run.save(tmp_path / "flow", made(), model="flow", about=ABOUT)


def test_the_place_of_the_satellite_is_kept_and_is_that_of_the_full_disk_where_it_is_not_told(saved):
    config = yaml.safe_load((saved / run.CONFIG).read_text())
    assert config["predictors"]["satellite_longitude"] == 0.0
    for longitude in (9.5, None):
        told = {**config, "predictors": {**config["predictors"], "satellite_longitude": longitude}}
        if longitude is None:
            del told["predictors"]["satellite_longitude"]
        (saved / run.CONFIG).write_text(yaml.safe_dump(told))
        assert run.load(saved).predictors.satellite_longitude == (longitude or 0.0)


def test_a_run_gives_back_the_model_that_was_saved(saved):
    before, after = made(), run.load(saved)
    assert type(after) is Flow and not after.training
    assert (after.settings, after.predictors, after.sampling) == (before.settings, before.predictors, before.sampling)
    assert {k: tuple(v) if isinstance(v, list) else v for k, v in vars(after.statistics).items()} == vars(STATISTICS)
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, after.state_dict()[name]), name
    assert torch.equal(drawn(before), drawn(after))


def test_a_run_tells_what_it_is(saved):
    assert {path.name for path in saved.iterdir()} == {
        "config.yaml",
        "model.safetensors",
        "README.md",
        "provenance.json",
    }
    card = (saved / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == "apache-2.0" and header["library_name"] == "ondee"
    count = sum(parameter.numel() for parameter in made().parameters())
    for words in (
        f"{count:,} parameters",
        "IR_108, WV_062",
        "synthetic",
        "crps: 0.1235",
        "ondee retrieve flow",
        "a.zarr",
    ):
        assert words in card, words
    told = json.loads((saved / "provenance.json").read_text())
    assert told["seed"] == 5 and told["versions"]["torch"] and told["figures"] == {"crps": 0.123456}


def test_saving_twice_gives_the_same_bytes(tmp_path):
    first, second = (run.save(tmp_path / name / "flow", made(), model="flow", about=ABOUT) for name in "ab")
    for name in ("config.yaml", "model.safetensors", "README.md"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_an_infinite_cap_and_missing_statistics_survive(tmp_path):
    unet = RegressionUNet(Settings(**SMALL), PREDICTORS, replace(STATISTICS, rain_largest=math.inf))
    again = run.load(run.save(tmp_path / "r", unet, model="unet", about={}))
    assert again.rain.largest == math.inf


def test_a_model_of_ones_own_goes_with_its_run(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("from ondee.retriever.unet import RegressionUNet\n\n\nclass Own(RegressionUNet):\n    '''Mine.'''\n")
    from ondee.retriever.registry import retriever

    unet = retriever(str(own))(Settings(**SMALL), PREDICTORS, STATISTICS)
    folder = run.save(tmp_path / "r", unet, model=str(own), about={})
    own.unlink()
    again = run.load(folder)
    assert type(again).__name__ == "Own" and yaml.safe_load((folder / "config.yaml").read_text())["model"] == "model.py"


def test_what_ships_is_found_by_name_unless_a_folder_has_it(tmp_path, monkeypatch):
    run.save(tmp_path / "shipped" / "flow", made(), model="flow", about={})
    monkeypatch.setattr(run.folder, "_SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    assert run.load("flow").sampling.steps == 2
    with pytest.raises(ReadError, match="ships: flow"):
        run.load("flaw")
    (tmp_path / "flow").mkdir()
    with pytest.raises(ReadError, match="no run"):
        run.load("flow")


# ---- what is refused


def refused(folder, kind=ReadError):
    with pytest.raises(kind) as caught:
        run.load(folder)
    assert str(caught.value).count("\n") == 2
    return caught.value


def test_an_unfinished_run_is_refused_with_the_way_on(saved):
    (saved / "model.safetensors").unlink()
    assert "ondee train" in refused(saved).fix


def test_weights_cut_short_are_refused(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read" in refused(saved).what
    path.write_bytes(b"")
    assert "cannot be read" in refused(saved).what


@pytest.mark.parametrize("fault", ["missing", "more", "shape"])
def test_weights_of_another_model_are_refused(saved, fault):
    path = saved / "model.safetensors"
    state = load_file(path)
    if fault == "missing":
        del state["residual"]
    elif fault == "more":
        state["unknown"] = torch.zeros(1)
    else:
        state["residual"] = torch.zeros(3)
    save_file(state, path)
    assert ("unknown" if fault == "more" else "residual") in refused(saved).what


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config.pop("statistics"), "lacks statistics"),
        (lambda config: config["settings"].update(widths=[1]), "does not fit"),
        (lambda config: config["settings"].update(novelty=1), "novelty"),
        (lambda config: config["predictors"].update(bands=[1]), "bands"),
        (lambda config: config["statistics"].pop("mean"), "mean"),
        (lambda config: config["sampling"].update(steps=0), "steps"),
        (lambda config: config.update(predictors=None), "does not fit"),
        (lambda config: config.update(statistics=[1]), "does not fit"),
        (lambda config: config["statistics"].update(mean="abc"), "does not fit"),
        (lambda config: config["settings"].update(widths=[]), "widths"),
        (lambda config: config["predictors"].update(channels=["IR_108"] * 2), "once"),
        (lambda config: config["predictors"].update(minutes=[-15, 0]), "minutes"),
        (lambda config: config["predictors"].update(minutes=["a", "b"]), "minutes"),
        (lambda config: config["predictors"].update(auxiliary=["moon"]), "moon"),
        (lambda config: config["predictors"].update(cell=[0, 0]), "cell"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(saved, change, words):
    path = saved / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))
    assert words in refused(saved).what


@pytest.mark.parametrize("text", ["", "5", "[1, 2]", "- [1]", "a: [", "\x00"])
def test_a_configuration_that_is_none_is_refused(saved, text):
    (saved / "config.yaml").write_text(text)
    assert refused(saved).where.endswith("config.yaml")


def test_a_file_from_elsewhere_is_not_executed(saved, tmp_path):
    (tmp_path / "other.py").write_text("raise SystemExit('executed')")
    path = saved / "config.yaml"
    for name in (str(tmp_path / "other.py"), "../other.py"):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"model": name}))
        assert "none of its files" in refused(saved).what


def test_an_unknown_model_is_refused(saved):
    path = saved / "config.yaml"
    path.write_text(path.read_text().replace("model: flow", "model: flaw", 1))
    assert "flow" in refused(saved, ConfigError).fix


# ---- what a model may be used on


def test_images_like_those_of_the_training_are_taken():
    run.require(made(), PREDICTORS, "here")
    more = replace(PREDICTORS, channels=("WV_062", "IR_120", "IR_108"), cell=(4.1, 3.9), minutes=(0,))
    run.require(made(), more, "here")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels": ("WV_062", "VIS_006")}, "looks at IR_108"),
        ({"units": "degC"}, "'degC'"),
        ({"cell": (4.0, 3.0)}, "4 x 3 km"),
        ({"cell": (4.3, 4.0)}, "4.3 x 4 km"),
        ({"auxiliary": ()}, "scan_offset"),
    ],
)
def test_other_images_are_refused(change, words):
    with pytest.raises(ConfigError, match="error") as caught:
        run.require(made(), replace(PREDICTORS, **change), "scenes.zarr")
    assert words in caught.value.what and caught.value.where == "scenes.zarr"
