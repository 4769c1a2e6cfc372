"""Every model draws in tiles what it draws in one piece, whatever members and moments go together.

The same values are summed in another order in a tile, and nothing else is different: in float64 a tile departs from
the whole by less than a billionth. In float32 a sum is off by a unit of rounding, 1.2e-7, of the largest number in it.
All that most models handle is of the order of 1, and their rain agrees to 1e-5. A diffusion is another matter. It
starts from noise of 40 deviations (`edm`), or divides by the root of a signal that is nearly none (`ddpm`: at the first
step of 500 the guess of the rain is some thousands), so that what comes out cannot be known better than a few units of
rounding of that amplitude: so much is allowed, and no more.
"""

import functools

import numpy as np
import pytest
import torch

from ondee.condition import Batch, Condition
from ondee.generative.noise import Noise
from ondee.retrieval import Work, draw
from ondee.retrieval import tiles as engine
from ondee.retriever import Sampling, names, retriever
from ondee.retriever.protocol import padded
from retrieved import PREDICTORS, STATISTICS, randomised, scene

WIDTHS = {"widths": (8, 16)}
MEAN = {**WIDTHS, "dropout": 0.0}
NOISE = Noise(7, (1000, 1015), (0, 4))
SHAPE = 76, 52
ROUNDING = float(torch.finfo(torch.float32).eps)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(name, **settings):
    """A model of random weights, norms that have seen data, and what it measures measured."""
    kind = retriever(name)
    torch.manual_seed(0)
    scale = 1.2 if settings.get("kind") == "plain" and name == "unet" else 0.7
    model = randomised(kind(kind.settings_type(**settings), PREDICTORS, STATISTICS), scale)
    generator = torch.Generator().manual_seed(9)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.copy_(0.3 * torch.randn(part.num_features, generator=generator))
            part.running_var.copy_(0.5 + torch.rand(part.num_features, generator=generator))
    if name in ("matched", "threshold"):
        condition = scene(64, 64, 4, seed=5)
        texture = 2 * torch.randn(4, 8, 8, generator=generator).repeat_interleave(8, 1).repeat_interleave(8, 2)
        rain = 0.5 * torch.exp(texture + torch.randn(4, 64, 64, generator=generator))
        model.prepare(Batch(condition, rain, torch.ones(4), range(4)))
    model.rain.threshold.fill_(-1e4)  # a step in the rain would make a jump of the last bit of a number
    return model.eval()


def flow(source, solver="midpoint", steps=2, **more):
    return lambda: (
        build("flow", source=source, mean=MEAN, embedding=8, **WIDTHS),
        Sampling(solver=solver, steps=steps, **more),
    )


def fast(source, steps):
    inner = {"source": source, "mean": MEAN, "embedding": 8, **WIDTHS}
    return lambda: (build("flow-fast", flow=inner), Sampling(solver="euler", steps=steps))


def chain(total, steps):
    return lambda: (build("ddpm", diffusion_steps=total, embedding=8, **WIDTHS), Sampling(steps=steps))


def edm(solver, steps):
    return lambda: (build("edm", mean=MEAN, embedding=8, **WIDTHS), Sampling(solver=solver, steps=steps))


def once(name, scale=1.0, **settings):
    return lambda: (build(name, **settings), Sampling(solver="euler", steps=1, noise_scale=scale))


CASES = {
    "unet, probabilistic": once("unet", **WIDTHS),
    "unet, plain": once("unet", kind="plain", **WIDTHS),
    "flow, noise": flow("noise"),
    "flow, residual": flow("residual", persistence=0.5),
    "flow, mean, midpoint": flow("mean", noise_scale=1.2),
    "flow, mean, heun": flow("mean", "heun"),
    "flow, mean, euler": flow("mean", "euler", 4),
    "flow, mean, adams": flow("mean", "adams", 3),
    "flow, pmrf": flow("pmrf"),
    "flow-fast, one jump": fast("mean", 1),
    "flow-fast, two jumps": fast("mean", 2),
    "flow-fast, pmrf": fast("pmrf", 2),
    "crps": once("crps", 1.1, **WIDTHS),
    "quantile": once("quantile", 0.9, **WIDTHS),
    "ddpm, ancestral": chain(8, 8),
    "ddpm, ddim": chain(8, 4),
    "ddpm, ddim of 500": chain(500, 5),
    "edm, euler": edm("euler", 4),
    "edm, heun": edm("heun", 3),
    "matched, plain": once("matched", kind="plain", mean=MEAN),
    "matched, noise": once("matched", kind="noise", mean=MEAN),
    "threshold": once("threshold"),
}
DOUBLE = [name for name in CASES if name.split(",")[0] not in ("matched", "threshold")]
"""All but the maps of quantiles, which are float32 by themselves."""
SINGLE = ("crps", "quantile")
"""Whose network gives float32 whatever it computes in."""


@functools.cache
def model_of(name):
    return CASES[name]()


@functools.cache
def whole(name):
    """Rain in one piece, and the largest number that the draw goes through."""
    model, sampling = model_of(name)
    condition = scene(*SHAPE)
    return model.sample(condition, NOISE, sampling).numpy(), amplitude(model, condition, sampling)


def amplitude(model, condition, sampling):
    """Largest number among the fields between stages, and for a chain among its guesses of the rain."""
    condition = padded(condition, model.multiple)
    noise = NOISE.window((0, condition.shape[0]), (0, condition.shape[1]))
    states, largest = {}, 1.0
    with torch.no_grad():
        for stage in model.stages(sampling):
            made = stage.work(condition, states, noise.of((0,)) if stage.shared else noise)
            states |= made
            largest = max([largest, *(float(field.abs().max()) for key, field in made.items() if key != "rain")])
    return largest / float(model.kept[-1].sqrt()) if hasattr(model, "kept") else largest


def tiled(model, condition, sampling, work, noise=NOISE):
    read = lambda rows, columns: condition.window(rows, columns)  # noqa: E731
    drawn = draw(model, read, condition.shape, noise, sampling, work).rain
    return np.broadcast_to(drawn, (len(condition), len(noise.members), *condition.shape))


def close(found, expected, largest):
    """Within 1e-5, or four units of rounding of the largest number that the draw goes through."""
    tolerance = max(1e-5, 4 * ROUNDING * largest)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_every_model_is_here():
    assert {name.split(",")[0] for name in CASES} == set(names())


@pytest.mark.parametrize("name", CASES)
def test_tiles_and_groups_of_members_leave_no_trace(name):
    model, sampling = model_of(name)
    expected, largest = whole(name)
    assert np.nanstd(expected) > 0.05, "a model that gives one value everywhere proves nothing"
    assert np.isnan(expected[0, :, 2:4, 3:5]).all() and np.isnan(expected).mean() < 0.05
    assert (np.nanmax(np.abs(expected[:, 0] - expected[:, 1])) > 1e-3) == model.stochastic
    condition = scene(*SHAPE)
    close(tiled(model, condition, sampling, Work(32, 1)), expected, largest)
    if model.reach:
        bare = tiled(model, condition, sampling, Work(32, 2, halo=0))
        with pytest.raises(AssertionError):
            close(bare, expected, largest)


def test_only_diffusions_are_allowed_more_than_a_hundred_thousandth():
    allowed = {name for name in CASES if 4 * ROUNDING * whole(name)[1] > 1e-5}
    assert allowed == {name for name in CASES if name.startswith(("ddpm", "edm"))}


@pytest.mark.parametrize("name", DOUBLE)
def test_in_float64_a_tile_departs_by_less_than_a_billionth(name, monkeypatch):
    for draws in ("normal", "uniform"):
        before = getattr(Noise, draws)
        monkeypatch.setattr(Noise, draws, lambda self, stream, before=before: before(self, stream).double())
    monkeypatch.setattr(engine, "_empty", lambda shape, value=0.0: np.full(shape, value))
    condition = scene(44, 52)
    condition = Condition(condition.images.double(), condition.auxiliary.double())
    torch.set_default_dtype(torch.float64)
    try:
        model, sampling = CASES[name]()
        model.double()
        expected = model.sample(condition, NOISE, sampling).numpy()
        found = tiled(model, condition, sampling, Work(16, 2))
    finally:
        torch.set_default_dtype(torch.float32)
    tolerance = 4 * ROUNDING if name in SINGLE else 1e-9
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_a_moment_and_a_member_alone_are_what_they_are_among_sixteen_and_three(name):
    model, sampling = model_of(name)
    condition = scene(16, 20, moments=16)
    keys = tuple(range(0, 240, 15))
    together = model.sample(condition, Noise(7, keys, (0, 1, 4)), sampling).numpy()
    for moment in (0, 9, 15):
        alone = Condition(condition.images[[moment]], condition.auxiliary[[moment]])
        found = model.sample(alone, Noise(7, (keys[moment],), (4,)), sampling).numpy()
        close(found[0, 0], together[moment, 2], whole(name)[1])
