"""The model of the guide is taken from the page, registered by its path, trained, and drawn from."""

import re
from pathlib import Path

import pytest
import torch

from ondee.condition import Batch, Condition, Predictors
from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.retriever import Statistics, retriever
from ondee.training import settings as training

PAGE = Path(__file__).resolve().parents[1] / "docs/extending.md"
PREDICTORS = Predictors(("IR_108", "WV_062"), (0, 15), ("sun_zenith_cosine",))
STATISTICS = Statistics((270.0, 230.0), (15.0, 8.0), 200.0, 3.0, 4.0, 1.0)


def block(name, language):
    """The block of the page that a comment names."""
    found = re.findall(
        rf"<!-- {re.escape(name)} -->\n```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(found) == 1, name
    return found[0]


@pytest.fixture
def folder(tmp_path):
    for name, language in (("linear.py", "python"), ("linear.yaml", "yaml")):
        (tmp_path / name).write_text(block(name, language), encoding="utf-8")
    return tmp_path


def scene(number, side=16):
    """Rain whose logarithm is linear in two channels of the newest image, and a little noise; a corner is missing."""
    generator = torch.Generator().manual_seed(number)
    standard = torch.randn(8, 2, 2, side, side, generator=generator)
    images = standard * torch.tensor([15.0, 8.0])[:, None, None] + torch.tensor([270.0, 230.0])[:, None, None]
    rain = torch.pow(10.0, 0.5 - 0.2 * standard[:, 0, 0] + 0.1 * standard[:, 0, 1])
    rain = rain * torch.pow(10.0, 0.05 * torch.randn(8, side, side, generator=generator))
    rain[:, :5, :5] = torch.nan
    condition = Condition(images, torch.full((8, 1, side, side), 0.3))
    return Batch(condition, rain, torch.ones(8), [8 * number + sample for sample in range(8)])


def test_the_model_of_the_page_has_thirty_lines_or_so_and_is_found_by_its_path(folder):
    text = (folder / "linear.py").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 30
    kind = retriever(str(folder / "linear.py"))
    assert kind.__name__ == "Linear" and not kind.stochastic


def test_the_model_of_the_page_learns_the_weights_that_made_the_rain_and_draws(folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind = retriever(str(folder / "linear.py"))
    model = kind(kind.settings_type(), PREDICTORS, STATISTICS)
    model.prepare(scene(0))
    optimiser = torch.optim.Adam(model.trained(), 0.05)
    for number in range(80):
        batch = scene(number)
        made = model.train().loss(batch, Noise(1, batch.keys, (0,), (0, 16), (0, 16)))
        optimiser.zero_grad()
        made["loss"].backward()
        optimiser.step()
    weights = model.total.weight.detach()[0, :, 0, 0] * model.rain.scale
    assert float(weights[0]) == pytest.approx(-0.2, abs=0.02) and float(weights[1]) == pytest.approx(0.1, abs=0.02)
    assert float(weights[2:4].abs().max()) < 0.02  # the image before the newest one says nothing here
    assert float(made["loss"].detach()) == pytest.approx((0.05 / model.rain.scale) ** 2, rel=0.3)
    batch = scene(10_000)
    drawn = model.eval().sample(batch.condition, Noise(7, batch.keys, (0, 1)))
    assert drawn.shape == (8, 2, 16, 16) and torch.equal(drawn[:, 0], drawn[:, 1])
    there = torch.isfinite(batch.rain)
    assert float((drawn[:, 0][there] / batch.rain[there]).log10().std()) < 0.08
    part = model.sample(batch.condition.window((3, 10), (5, 16)), Noise(7, batch.keys, (0,)))
    torch.testing.assert_close(part, drawn[:, :1, 3:10, 5:16])


def test_the_configuration_of_the_page_is_read_with_the_model_s_own_settings(folder):
    config = training.read(folder / "linear.yaml")
    assert config.model == str(folder / "linear.py") and config.steps == 500 and config.predictors.minutes == (0, 15)
    wrong = (folder / "linear.yaml").read_text(encoding="utf-8").replace("{ kind: log }", "{ kind: cube }")
    (folder / "wrong.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"kind"):
        training.read(folder / "wrong.yaml")


def test_the_noise_of_the_page_is_as_it_is_shown(capsys):
    exec(compile(block("noise", "python"), str(PAGE), "exec"), {})
    shown = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [capsys.readouterr().out] == shown
