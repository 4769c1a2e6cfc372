"""Models are found by name or by file, and everything that ships keeps the shape that all of them have."""

import inspect
import textwrap

import pytest
import torch

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.retriever import Retriever, Sampling, Statistics, names, retriever

EXPECTED = {"crps", "ddpm", "edm", "flow", "flow-fast", "matched", "quantile", "threshold", "unet"}
SMALL = {"widths": (8, 16)}
SETTINGS = {
    "crps": SMALL,
    "ddpm": {"widths": (8, 16)},
    "edm": {**SMALL, "mean": SMALL},
    "flow": {**SMALL, "mean": SMALL},
    "flow-fast": {"flow": {**SMALL, "mean": SMALL}},
    "matched": {"mean": SMALL},
    "quantile": SMALL,
    "threshold": {},
    "unet": SMALL,
}
PREDICTORS = Predictors(("IR_108", "WV_062"), (0, 15), ("sun_zenith_cosine",))
STATISTICS = Statistics((270.0, 230.0), (15.0, 8.0), 80.0, 1.5, 2.0, 0.1)

MODEL = """
    from __future__ import annotations

    from typing import Annotated

    import torch
    from pydantic import Field

    from ondee.config import Part
    from ondee.retriever import Retriever, Stage


    class Settings(Part):
        factor: Annotated[float, Field(ge=0)] = 1.0


    class Constant(Retriever):
        settings_type = Settings
        stochastic = False

        def loss(self, batch, noise):
            return {"loss": torch.zeros(())}

        def stages(self, sampling):
            def work(condition, states, noise):
                return {"rain": torch.full((len(condition), 1, *condition.shape), self.settings.factor)}

            return [Stage(work, shared=True)]
"""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(1)


def written(folder, text, name="own.py"):
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(path)


def settings(kind, name):
    """Small settings: each only where the model has it."""
    return kind.settings_type(**SETTINGS.get(name, {}))


def scene(side=20):
    generator = torch.Generator().manual_seed(2)
    images = 250 + 15 * torch.randn(2, 2, 2, side, side, generator=generator)
    images[0, 1] = torch.nan
    images[:, :, :, 3, 4] = torch.nan
    condition = Condition(images, torch.full((2, 1, side, side), 0.4))
    rain = torch.rand(2, side, side, generator=generator).sub(0.6).clamp(min=0).mul(20)
    rain[:, :2] = torch.nan
    return Batch(condition, rain, torch.tensor([0.5, 1.5]), (10, 25))


def test_the_names_are_the_modules_of_the_room():
    assert set(names()) == EXPECTED and names() == sorted(names())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_model_says_what_it_is(name):
    kind = retriever(name)
    assert issubclass(kind, Retriever) and not inspect.isabstract(kind)
    assert issubclass(kind.settings_type, Part) and kind.settings_type is not Part
    silent = [key for key, field in kind.settings_type.model_fields.items() if not field.description]
    assert silent == [] and kind.__doc__
    made = kind(settings(kind, name), PREDICTORS, STATISTICS)
    assert all(isinstance(getattr(made, part), Retriever) for part in kind.taken)
    frozen = {id(values) for part in kind.taken for values in getattr(made, part).parameters()}
    assert frozen.isdisjoint(id(values) for values in made.trained())
    made.train()
    assert all(not getattr(made, part).training for part in kind.taken)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_model_learns_and_draws_from_images_with_holes(name):
    kind = retriever(name)
    made = kind(settings(kind, name), PREDICTORS, STATISTICS)
    batch = scene(16 * -(-20 // made.multiple) if made.multiple > 4 else 20)
    noise = Noise(3, batch.keys, (0,), (0, batch.condition.shape[0]), (0, batch.condition.shape[1]))
    made.prepare(batch)
    parts = made.train().loss(batch, noise)
    assert all(part.ndim == 0 and torch.isfinite(part) for part in parts.values()) and "loss" in parts
    if made.trained():
        parts["loss"].backward()
        assert all(torch.isfinite(values.grad).all() for values in made.trained() if values.grad is not None)
        assert any(values.grad is not None and float(values.grad.abs().sum()) > 0 for values in made.trained())
    made.eval()
    odd = batch.condition.window((0, 13), (0, 15))
    quick = Sampling(solver="euler", steps=2)
    drawn = made.sample(odd, noise.of((0, 1, 5)), quick)
    assert drawn.shape == (2, 3, 13, 15)
    assert bool(torch.isnan(drawn[:, :, 3, 4]).all()) and int(torch.isnan(drawn).sum()) == 6
    seen = drawn[torch.isfinite(drawn)]
    assert float(seen.min()) >= 0 and float(seen.max()) <= 1.5 * STATISTICS.rain_largest + 1e-3
    assert torch.equal(drawn.nan_to_num(), made.sample(odd, noise.of((0, 1, 5)), quick).nan_to_num())
    if not made.stochastic:
        assert torch.equal(drawn[:, 0].nan_to_num(), drawn[:, 2].nan_to_num())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_model_keeps_nothing_outside_its_weights(name):
    kind = retriever(name)
    first, second = (kind(settings(kind, name), PREDICTORS, STATISTICS) for _ in range(2))
    batch = scene(32)
    noise = Noise(3, batch.keys, (0, 2))
    first.prepare(batch)
    with torch.no_grad():
        for values in first.parameters():
            values.add_(0.01 * torch.randn_like(values))
    second.load_state_dict(first.state_dict())
    quick = Sampling(solver="euler", steps=2)
    drawn, again = (made.eval().sample(batch.condition, noise, quick) for made in (first, second))
    assert torch.equal(drawn.nan_to_num(-1), again.nan_to_num(-1))


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(ConfigError, match="no model 'flwo'") as told:
        retriever("flwo")
    assert "flow-fast" in told.value.fix and ".py" in told.value.fix
    for name in ("protocol", "registry", "flow_fast", "../flow"):
        with pytest.raises(ConfigError, match="there is no model"):
            retriever(name)


def test_a_file_of_one_s_own_is_a_model_and_its_settings_are_checked(tmp_path):
    kind = retriever(written(tmp_path, MODEL))
    assert kind.__name__ == "Constant"
    made = kind(kind.settings_type(factor=3), PREDICTORS, STATISTICS)
    assert float(made.sample(scene().condition, Noise(1, (1, 2))).nan_to_num(3.0).mean()) == 3.0
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        kind.settings_type(factor=-1)


def test_files_that_hold_no_model_or_two_are_refused(tmp_path):
    two = MODEL + "\n\n    class Other(Constant):\n        pass\n"
    for text, count in (("x = 1\n", 0), ("from ondee.retriever import Retriever\n", 0), (two, 2)):
        with pytest.raises(ConfigError, match=f"{count} models are defined there"):
            retriever(written(tmp_path, text))


def test_files_that_are_not_there_or_do_not_run_are_refused_in_three_lines(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        retriever(str(tmp_path / "none.py"))
    for text, words in (
        ("1 / 0\n", "ZeroDivisionError"),
        ("def f(:\n", "SyntaxError"),
        ("import gone_\n", "gone_"),
    ):
        with pytest.raises(ConfigError, match=words) as told:
            retriever(written(tmp_path, text))
        assert "own.py" in told.value.where and len(str(told.value).splitlines()) == 3
