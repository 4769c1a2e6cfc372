"""Every sampler against a posterior known in closed form, with networks that give the exact answer."""

import math
from collections.abc import Callable

import pytest
import torch

from laws import fair_crps
from ondee.condition import Condition, Predictors
from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.retriever import Retriever, Sampling, retriever
from ondee.retriever.unet import bounded
from toy import CENTRE, PREDICTORS, STATISTICS, ExactFlow, ExactNoise, ExactRegression, ExactResidual, Toy, undisguised

TOY = Toy()
SMALL = {"widths": (8, 16)}
SIZE = 0.7


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def flow(source: str) -> Retriever:
    """A flow with the exact velocity, from a mean that is wrong."""
    kind = retriever("flow")
    model = kind(kind.settings_type(source=source, mean=SMALL, **SMALL), PREDICTORS, STATISTICS)
    model.mean.network, model.network = ExactRegression(TOY), ExactFlow(TOY)
    model.residual.fill_(SIZE)
    return undisguised(model)


def ddpm(sampler: str | None = None, steps: int = 500) -> Retriever:
    """A chain with the exact noise."""
    kind = retriever("ddpm")
    model = kind(kind.settings_type(sampler=sampler, diffusion_steps=steps, **SMALL), PREDICTORS, STATISTICS)
    model.network = ExactNoise(TOY, steps)
    return undisguised(model)


def edm() -> Retriever:
    """A diffusion of the residual with the exact denoiser, about a mean that is wrong."""
    kind = retriever("edm")
    model = kind(kind.settings_type(mean=SMALL, **SMALL), PREDICTORS, STATISTICS)
    model.mean.network = ExactRegression(TOY)
    model.network = ExactResidual(TOY, SIZE)
    model.residual.fill_(SIZE)
    return undisguised(model)


CASES: dict[str, tuple[Callable[[], Retriever], Sampling | None]] = {
    **{
        f"flow {source} {solver}": (lambda source=source: flow(source), Sampling(solver=solver, steps=steps))
        for source in ("noise", "residual", "mean")
        for solver, steps in (("euler", 200), ("midpoint", 24), ("heun", 24), ("adams", 48))
    },
    "ddpm ancestral": (ddpm, None),
    "ddpm ancestral, fewer steps": (lambda: ddpm("ancestral"), Sampling(steps=400)),
    "ddpm ddim": (ddpm, Sampling(steps=200)),
    "ddpm ddim, all steps": (lambda: ddpm("ddim"), Sampling(steps=500)),
    "edm heun": (edm, Sampling(solver="heun", steps=60)),
    "edm euler": (edm, Sampling(solver="euler", steps=250)),
}
"""A model with its exact network, and how it draws; other models have files of their own beside this one."""


def departures(draws: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean, and covariance of neighbours, less their true values, in standard errors."""
    count = len(draws)
    variance = TOY.covariance.diag()
    mean = (draws.mean(0) - TOY.mean) / (variance / count).sqrt()
    error = ((variance[:, None] * variance + TOY.covariance.square()) / count).sqrt()
    covariance = (torch.cov(draws.T) - TOY.covariance) / error
    return mean, covariance[TOY.near]


@pytest.mark.parametrize("case", CASES)
def test_draws_follow_the_exact_posterior(case):
    build, sampling = CASES[case]
    draws = TOY.drawn(build(), sampling)
    mean, covariance = departures(draws)
    assert mean.abs().max() < 5
    assert covariance.abs().max() < 5
    # All pixels together: a bias far below the error of one of them shows.
    assert abs((draws.mean(0) - TOY.mean).mean()) < 0.02
    assert abs(torch.cov(draws.T).diag().div(TOY.covariance.diag()).mean() - 1) < 0.025
    # Fair CRPS of a perfect ensemble is, at each pixel, its deviation over the root of pi.
    ensembles = draws.reshape(-1, 8, draws.shape[1])
    score = fair_crps(ensembles, TOY.draws(len(ensembles)))
    expected = TOY.deviation / math.sqrt(math.pi)
    assert abs(score.div(expected).mean() - 1) < 0.04
    assert (score / expected - 1).abs().max() < 0.2


def test_the_comparison_notices_a_sampler_with_too_few_steps():
    _, covariance = departures(TOY.drawn(flow("noise"), Sampling(steps=4)))
    assert covariance.abs().max() > 10


@pytest.mark.parametrize("source", ["noise", "residual", "mean"])
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_one_euler_step_of_a_flow_is_the_mean_whatever_the_noise(source, scale):
    draws = TOY.drawn(flow(source), Sampling(steps=1, noise_scale=scale), members=5)
    torch.testing.assert_close(draws, TOY.mean.expand_as(draws), atol=1e-4, rtol=0)


@pytest.mark.parametrize("build", [lambda: flow("noise"), lambda: flow("mean"), ddpm, edm])
def test_the_loss_is_least_at_the_exact_answer(build):
    # All three losses are, per pixel, the squared error of the network: an error of d on top adds d squared.
    model = build()
    batch = TOY.batch(16)
    noise = Noise(3, keys=batch.keys, rows=(0, 64), columns=(0, 64))
    found = {}
    for off in (0.0, 0.3, -0.3):
        model.network.off = off
        found[off] = float(model.loss(batch, noise)["loss"])
    assert found[0.3] > found[0.0] and found[-0.3] > found[0.0]
    assert (found[0.3] + found[-0.3]) / 2 - found[0.0] == pytest.approx(0.09, rel=1e-3)
    assert found[0.3] - found[0.0] == pytest.approx(0.09, rel=0.3)


@pytest.mark.parametrize("build", [lambda: flow("mean"), edm])
def test_prepare_measures_the_size_of_the_residual(build):
    model = build()
    model.prepare(TOY.batch(16))
    expected = (TOY.covariance.diag() + (0.2 * TOY.mean).square()).mean().sqrt()
    assert float(model.residual) == pytest.approx(float(expected), rel=0.02)


def test_the_noise_scale_scales_the_spread():
    wide = TOY.drawn(edm(), Sampling(solver="heun", steps=24, noise_scale=1.2), members=32)
    usual = TOY.drawn(edm(), Sampling(solver="heun", steps=24), members=32)
    # The way back is linear here: the same noise, 1.2 times as large, ends 1.2 times as far from the mean.
    torch.testing.assert_close(wide - TOY.mean, 1.2 * (usual - TOY.mean), atol=0.02, rtol=0)


def test_the_exact_regression_is_what_it_says():
    model = edm()
    made = model.mean.predict(TOY.condition())
    torch.testing.assert_close(made["mean"][0, 0, :8, :8].flatten(), 0.8 * TOY.mean.float())
    torch.testing.assert_close(made["spread"][0, 0, 8:16, :8].flatten(), TOY.deviation.float())
    assert float(bounded(torch.tensor(0.0))) > 0


# ---- networks that have something to learn


@pytest.mark.parametrize(("name", "least"), [("ddpm", 0.65), ("edm", 0.9)])
def test_a_small_network_learns(name, least):
    # The answer that the loss begins with is none at all, with a loss of about 1.
    kind = retriever(name)
    raw = {"rain": {"kind": "raw"}}
    nested = {} if name == "ddpm" else {"mean": {**SMALL, **raw}, **raw}
    torch.manual_seed(4)
    model = kind(kind.settings_type(**SMALL, **nested), PREDICTORS, STATISTICS)
    model.rain = undisguised(edm()).rain
    batch = TOY.batch(4)
    model.prepare(batch)
    optimiser = torch.optim.Adam(model.trained(), lr=5e-3)
    found = []
    for step in range(60):
        noise = Noise(1, keys=range(4 * step, 4 * step + 4), rows=(0, 64), columns=(0, 64))
        loss = model.loss(batch, noise)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    assert found[0] == pytest.approx(1, abs=0.3)
    assert sum(found[-10:]) / 10 < least
    assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)


# ---- rain without radar, scaling and cuts


@pytest.mark.parametrize("build", [lambda: flow("mean"), ddpm, edm])
def test_pixels_without_radar_are_no_target(build):
    model = build()
    batch = TOY.batch(2)
    noise = Noise(3, keys=batch.keys, rows=(0, 64), columns=(0, 64))
    batch.rain[:, :, 32:] = math.nan
    whole = float(model.loss(batch, noise)["loss"])
    assert math.isfinite(whole)
    # Patches do not see one another here: rain in the other half must not matter, once its weight is none.
    model.network.register_forward_hook(lambda module, seen, made: torch.where(_right(made), made + 100.0, made))
    assert float(model.loss(batch, noise)["loss"]) == pytest.approx(whole, rel=1e-6)


def _right(field: torch.Tensor) -> torch.Tensor:
    return (torch.arange(field.shape[-1]) >= 32).expand(field.shape)


def small_ddpm(**more: object) -> Retriever:
    kind = retriever("ddpm")
    return kind(kind.settings_type(**SMALL, **more), PREDICTORS, STATISTICS)


def test_ddpm_scales_rain_by_its_wet_pixels_and_cuts_it_at_the_end():
    model = small_ddpm()
    assert (model.rain.kind, model.rain.centre, model.rain.scale) == ("raw", CENTRE, 1.0)
    assert float(model.rain.largest) == 150.0
    assert float(model.rain.inverse(torch.tensor(-CENTRE + 0.05))) == 0.0
    assert float(model.rain.inverse(torch.tensor(1e4))) == 150.0


def test_ddim_of_a_poor_network_stays_within_possible_rain():
    model = small_ddpm().eval()
    sampling = Sampling(steps=10)
    noise = Noise(1, keys=(0,), members=(0, 1))
    states: dict[str, torch.Tensor] = {}
    for number, stage in enumerate(model.stages(sampling)):
        states |= stage.work(TOY.condition(), states, noise)
        if number:
            assert (states["field"].abs() < 150).all()
    assert (states["rain"] <= 150).all()


def test_ddpm_looks_at_the_newest_frames_alone():
    kind = retriever("ddpm")
    torch.manual_seed(0)
    model = kind(kind.settings_type(**SMALL), Predictors(("only",), (0, 15)), STATISTICS).eval()
    torch.nn.init.normal_(model.network.leave[2].weight, std=0.1)
    images = torch.randn(1, 2, 1, 16, 16)
    condition = Condition(images, torch.zeros(1, 0, 16, 16))
    noise = Noise(1, keys=(0,))
    first = model.sample(condition, noise, Sampling(steps=3))
    condition.images[:, 1] = torch.randn(16, 16)
    assert torch.equal(model.sample(condition, noise, Sampling(steps=3)), first)
    condition.images[:, 0, 0, 3, 4] = math.nan
    gone = model.sample(condition, noise, Sampling(steps=3))
    assert gone[0, 0].isnan().nonzero().tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("build", "sampling", "words"),
    [
        (small_ddpm, Sampling(steps=501), "501 steps are asked for, and 500 were learnt"),
        (small_ddpm, Sampling(solver="heun", steps=5), "has no solver 'heun'"),
        (edm, Sampling(solver="midpoint", steps=5), "not taken by .midpoint"),
        (edm, Sampling(solver="adams", steps=5), "not taken by .adams"),
    ],
)
def test_a_sampling_that_cannot_be_is_refused(build, sampling, words):
    with pytest.raises(ConfigError, match=words) as caught:
        build().stages(sampling)
    assert caught.value.fix


def test_ddpm_refuses_more_frames_than_there_are():
    with pytest.raises(ConfigError, match="looks at 2 images, and the predictors hold 1"):
        small_ddpm(frames=2)


def test_edm_refuses_a_mean_of_another_scaling():
    kind = retriever("edm")
    with pytest.raises(ConfigError, match="the mean scales rain by 'log', and the model by 'sqrt'"):
        kind(kind.settings_type(rain={"kind": "sqrt"}, **SMALL), PREDICTORS, STATISTICS)


def test_as_many_stages_as_evaluations():
    assert len(small_ddpm().stages(Sampling(steps=500))) == 1 + 500
    assert len(small_ddpm().stages(Sampling(steps=7))) == 1 + 7
    assert len(edm().stages(Sampling(solver="heun", steps=5))) == 2 + 9
    assert len(edm().stages(Sampling(solver="euler", steps=5))) == 2 + 5
