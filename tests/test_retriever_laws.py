"""What models without steps draw where rain is Gaussian and its law is known: mean, covariance and CRPS.

Networks give the exact answer, so that only what is done with it is tested; maps of quantiles are fitted.
"""

import itertools
import math

import pytest
import torch

from laws import TOY, build, fair_crps, follow, score_of, scored
from ondee.condition import Batch, Condition
from ondee.generative.noise import Noise
from ondee.retriever import Sampling
from toy import CENTRE, FIELD, PATCHES, SIDE, ExactRegression, joined, patches

SMALL = {"widths": (8, 16)}
NORMAL = torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
LEVELS = tuple(round(0.01 * number, 2) for number in range(1, 100))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---- networks that give the exact answer


class Members(torch.nn.Module):
    """A member from images and one plane of noise."""

    off = 0.0

    def forward(self, planes):
        mean = patches(planes[:, :1]).double() @ TOY.mixing.T
        noise = patches(planes[:, -1:]).double()
        return joined(mean + noise @ torch.linalg.cholesky(TOY.covariance).T).float() + self.off


class Quantiles(torch.nn.Module):
    """The lowest quantile, and the steps up as the model asks for them."""

    def __init__(self, levels):
        super().__init__()
        self.places, self.off = NORMAL.icdf(torch.tensor(levels, dtype=torch.float64)), 0.0

    def forward(self, planes):
        mean = joined(patches(planes[:, :1]).double() @ TOY.mixing.T)
        spread = joined(TOY.deviation.expand(len(planes) * PATCHES**2, -1))
        steps = spread * self.places.diff()[:, None, None]
        return torch.cat([mean + spread * self.places[0] + self.off, 2.2 + steps.expm1().log()], dim=1).float()


class Truth(torch.nn.Module):
    """Mean and spread as they are."""

    off = 0.0

    def forward(self, planes):
        made = ExactRegression(TOY)(planes)
        return torch.cat([made[:, :1] / 0.8 + self.off, made[:, 1:]], dim=1)


# ---- models without steps


def crps():
    model = build("crps", noise_planes=1, **SMALL)
    model.network = Members()
    return model


def quantile(levels=LEVELS):
    model = build("quantile", levels=levels, **SMALL)
    model.network = Quantiles(levels)
    return model


def regression():
    model = build("unet", **SMALL)
    model.network = Truth()
    return model


def textured():
    """A wrong mean, the true spread, noise through a known filter, and a map that changes nothing."""
    model = build("matched", kind="noise", mean=SMALL)
    model.mean.network = ExactRegression(TOY)
    axis = torch.exp(-0.5 * (torch.arange(-16, 17) / 0.8) ** 2) * (torch.arange(-16, 17).abs() <= 3)
    kernel = axis[:, None] * axis * torch.linspace(0.5, 1.5, 33)[:, None]
    model.texture.kernel.copy_(kernel / kernel.square().sum().sqrt())
    model.map.knots.copy_(torch.linspace(-40, 40, len(model.map.knots)))
    model.map.values.copy_(model.map.knots)
    model.map.least.fill_(-40)
    row, column = (part.flatten() for part in torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"))
    padded = torch.nn.functional.pad(model.texture.kernel.double(), (8, 8, 8, 8))
    shifted = {
        (down, right): float((padded * padded.roll((down, right), (0, 1))).sum())
        for down in range(-7, 8)
        for right in range(-7, 8)
    }
    pairs = zip(((row[:, None] - row).flatten()).tolist(), ((column[:, None] - column).flatten()).tolist(), strict=True)
    together = torch.tensor([shifted[pair] for pair in pairs], dtype=torch.float64).reshape(SIDE**2, SIDE**2)
    return model, TOY.deviation[:, None] * together * TOY.deviation


def straight_variance(levels):
    """Variance of a law whose quantiles are those of a normal one at the levels, and straight between and beyond."""
    places = NORMAL.icdf(torch.tensor(levels, dtype=torch.float64)).tolist()
    first = places[0] - levels[0] * (places[1] - places[0]) / (levels[1] - levels[0])
    last = places[-1] + (1 - levels[-1]) * (places[-1] - places[-2]) / (levels[-1] - levels[-2])
    parts = zip(itertools.pairwise([0, *levels, 1]), itertools.pairwise([first, *places, last]), strict=True)
    return sum((end - begin) * (low**2 + low * high + high**2) / 3 for (begin, end), (low, high) in parts)


@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_members_of_an_exact_network_with_noise_follow_the_posterior(scale):
    draws = TOY.drawn(crps(), Sampling(solver="euler", steps=1, noise_scale=scale))
    follow(draws, TOY.mean, scale**2 * TOY.covariance)
    ensembles, variance = draws.reshape(-1, 8, SIDE**2), TOY.covariance.diag()
    scored(ensembles, TOY.draws(len(ensembles)), score_of(TOY.mean, scale**2 * variance, TOY.mean, variance))


@pytest.mark.parametrize("levels", [LEVELS, (0.2, 0.4, 0.6, 0.8), (0.1, 0.25, 0.75, 0.9)])
def test_draws_from_quantiles_follow_the_posterior_of_each_pixel_and_nothing_else(levels):
    draws = TOY.drawn(quantile(levels), Sampling(solver="euler", steps=1))
    variance = straight_variance(levels)
    follow(draws, TOY.mean, (variance * TOY.deviation.square()).diag())
    if levels == LEVELS:
        assert variance == pytest.approx(0.98, abs=0.001)  # a straight line beyond the last level has no long tail
        ensembles = draws.reshape(-1, 8, SIDE**2)
        scored(ensembles, TOY.draws(len(ensembles)), TOY.deviation / math.sqrt(math.pi))


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_a_regression_with_noise_follows_its_own_mean_and_filter(scale):
    model, covariance = textured()
    draws = TOY.drawn(model, Sampling(solver="euler", steps=1, noise_scale=scale))
    follow(draws, 0.8 * TOY.mean, scale**2 * covariance)
    ensembles, variance = draws.reshape(-1, 8, SIDE**2), TOY.covariance.diag()
    expected = score_of(0.8 * TOY.mean, scale**2 * covariance.diag(), TOY.mean, variance)
    scored(ensembles, TOY.draws(len(ensembles)), expected)


def test_a_regression_gives_the_mean_and_its_score_is_the_mean_error():
    draws = TOY.drawn(regression(), members=2)
    torch.testing.assert_close(draws, TOY.mean.expand_as(draws), atol=1e-4, rtol=0)
    variance = TOY.covariance.diag()
    error = (TOY.draws(4000) - draws[0]).abs().mean(0)
    expected = score_of(TOY.mean, torch.zeros_like(variance), TOY.mean, variance)
    torch.testing.assert_close(error, expected, atol=0, rtol=0.08)


def exact_losses():
    """Loss of the exact answer in closed form: of the score of two members, of quantiles, of mean and spread."""
    score = float(TOY.deviation.mean()) / math.sqrt(math.pi)
    levels = NORMAL.icdf(torch.tensor(LEVELS, dtype=torch.float64))
    variance = TOY.deviation.square()
    return {
        "crps": (crps, "loss", score * (1 + (1 - 0.95) / 2)),
        "quantile": (quantile, "loss", float(TOY.deviation.mean() * NORMAL.log_prob(levels).exp().mean())),
        "unet": (regression, "squared_error", float(variance.mean())),
        "unet, spread": (regression, "likelihood", float((0.5 + TOY.deviation.log()).mean())),
    }


@pytest.mark.parametrize("case", ["crps", "quantile", "unet", "unet, spread"])
def test_the_loss_is_least_at_the_exact_answer_and_has_the_value_that_follows(case):
    make, part, expected = exact_losses()[case]
    model, batch, found = make(), TOY.batch(16), {}
    for off in (0.0, 0.3, -0.3):
        model.network.off = off
        found[off] = float(model.loss(batch, Noise(3, batch.keys, rows=(0, FIELD), columns=(0, FIELD)))[part])
    assert found[0.0] == pytest.approx(expected, rel=0.03, abs=0.01)
    assert min(found[0.3], found[-0.3]) > found[0.0] + 0.01


# ---- matching of quantiles


class Shrunk(torch.nn.Module):
    """The mean of the rain, of less variance than the rain."""

    def forward(self, planes):
        return torch.cat([-KNOWN * SPREAD * planes[:, :1], torch.zeros_like(planes[:, :2])], dim=1)


SPREAD, KNOWN = 1.5, 0.8
"""Deviation of the rain, and its correlation with the image but for the sign."""


def pixels(seed, count=4, side=128):
    """Images, standard normal, and rain that falls with them."""
    generator = torch.Generator().manual_seed(seed)
    image, other = torch.randn(2, count, side, side, generator=generator)
    rain = CENTRE + SPREAD * (math.sqrt(1 - KNOWN**2) * other - KNOWN * image)
    keys = range(seed * count, (seed + 1) * count)
    return Batch(Condition(image[:, None, None], image.new_zeros(count, 0, side, side)), rain, torch.ones(count), keys)


@pytest.mark.parametrize("name", ["threshold", "matched"])
def test_matched_quantiles_of_normal_values_are_a_straight_line_with_the_variance_of_rain(name):
    model = build(name) if name == "threshold" else build(name, mean=SMALL)
    if name == "matched":
        model.mean.network = Shrunk()
    model.prepare(pixels(1))
    batch = pixels(2)
    drawn = model.eval().sample(batch.condition, Noise(1, batch.keys))[:, 0]
    image = batch.condition.images[:, 0, 0]
    common = image.abs() < 2
    torch.testing.assert_close(drawn[common], (CENTRE - SPREAD * image)[common], atol=0.1, rtol=0)
    assert float(drawn.mean()) == pytest.approx(CENTRE, abs=0.03)
    assert float(drawn.std()) == pytest.approx(SPREAD, rel=0.015)
    # Of one member, the score is the mean error: rain less its guess has the variance 2 (1 - correlation) that of rain.
    expected = math.sqrt(2 / math.pi) * SPREAD * math.sqrt(2 * (1 - KNOWN))
    assert float((drawn - batch.rain).abs().mean()) == pytest.approx(expected, rel=0.015)


def test_matched_noise_fitted_on_normal_rain_is_its_posterior():
    model = build("matched", kind="noise", mean=SMALL)
    model.mean.network = Shrunk()
    model.prepare(pixels(1))
    batch = pixels(2)
    drawn = model.eval().sample(batch.condition, Noise(1, batch.keys, range(4))) - CENTRE
    left = drawn + KNOWN * SPREAD * batch.condition.images[:, 0]
    spread = SPREAD * math.sqrt(1 - KNOWN**2)
    assert float(left.mean()) == pytest.approx(0, abs=0.03)
    assert float(left.std()) == pytest.approx(spread, rel=0.02)
    for axis in (2, 3):  # no neighbour knows of another, as in the rain
        pair = left.narrow(axis, 1, left.shape[axis] - 1) * left.narrow(axis, 0, left.shape[axis] - 1)
        assert float(pair.mean()) / spread**2 == pytest.approx(0, abs=0.03)
    score = fair_crps(drawn.permute(0, 2, 3, 1).reshape(-1, 4, 1), (batch.rain - CENTRE).reshape(-1, 1))
    assert float(score) == pytest.approx(spread / math.sqrt(math.pi), rel=0.02)
