"""Likelihoods of pixels: proper laws, whose means, medians and draws agree, and to which missing pixels are nothing."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from ondee.topographic.likelihood import LIKELIHOODS, Censored, Hurdle, likelihood_of
from ondee.units import WET

RAINS = ("censored", "hurdle-gamma", "hurdle-lognormal")
PLANES = {
    "censored": [(0.0, 0.0), (-1.5, -1.0), (2.5, -3.0), (1.0, 0.3), (-4.0, 0.0)],
    "hurdle-gamma": [(0.0, 0.0, 0.0), (-2.0, -2.0, 1.0), (3.0, -5.0, -6.0), (1.0, 4.0, 2.0), (-1.0, 2.0, -4.0)],
    "hurdle-lognormal": [(0.0, 0.0, 0.0), (-2.0, -5.0, 0.5), (3.0, 1.5, -2.0), (1.0, -7.0, 0.0), (0.5, -1.0, 0.3)],
}
CASES = [(name, planes) for name in RAINS for planes in PLANES[name]]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def row(planes, count, dtype=torch.float64):
    """What a decoder might have made: the same planes at each pixel of one row."""
    return torch.tensor(planes, dtype=dtype)[:, None, None].expand(-1, 1, count)


def nats(name, planes, rates):
    observed = torch.as_tensor(np.asarray(rates, np.float64)).reshape(1, 1, -1)
    return likelihood_of(name).log_probability(row(planes, observed.shape[-1]), observed)[0, 0].numpy()


def softplus(value):
    return math.log1p(math.exp(value))


def law(name, planes):
    """Law of 10 log10 R of a censored Gaussian, or of the excess in mm/h, by SciPy; and the probability of rain."""
    if name == "censored":
        level = stats.norm(-10 + 10 * planes[0], 0.5 + 10 * softplus(planes[1]) / math.log(2))
        return level, level.sf(-10)
    wet = 1 / (1 + math.exp(-planes[0]))
    spread = 0.05 + softplus(planes[2])
    if name == "hurdle-lognormal":
        return stats.lognorm(spread, scale=math.exp(planes[1])), wet
    shape = 0.05 + softplus(planes[1])
    return stats.gamma(shape, scale=spread / shape), wet


def exceeded(name, planes, rate):
    """Probability of more than a rate, by SciPy."""
    found, wet = law(name, planes)
    return found.sf(10 * np.log10(rate)) if name == "censored" else wet * found.sf(rate - WET)


# ---- probabilities


@pytest.mark.parametrize(("name", "planes"), CASES)
def test_dry_and_wet_together_have_probability_one(name, planes):
    edge = 10 * math.log10(WET + 0.005)
    pieces = [np.linspace(-10 + 1e-9, edge - 1e-9, 3), np.linspace(edge + 1e-9, 80, 40_001)]
    wet = sum(integrate.simpson(np.exp(nats(name, planes, 10 ** (piece / 10))), x=piece) for piece in pieces)
    dry = np.exp(nats(name, planes, [0.0]))[0]
    assert dry + wet == pytest.approx(1, abs=2e-6)
    assert wet == pytest.approx(law(name, planes)[1], abs=2e-6)
    made = likelihood_of(name).wet(row(planes, 1))
    assert float(made) == pytest.approx(law(name, planes)[1], abs=1e-12)


def test_one_of_the_cases_has_most_of_its_rain_within_half_a_step_of_the_threshold():
    found, _ = law("hurdle-gamma", PLANES["hurdle-gamma"][2])
    assert found.cdf(0.005) > 0.5 and found.args[0] < 0.06


@pytest.mark.parametrize(("name", "planes"), CASES)
def test_rain_has_the_density_per_decibel_of_its_law(name, planes):
    rates = np.array([0.12, 0.5, 1.0, 7.0, 60.0])
    found, wet = law(name, planes)
    wanted = found.logpdf(10 * np.log10(rates))
    if name != "censored":
        wanted = math.log(wet) + found.logpdf(rates - WET) + np.log(rates * math.log(10) / 10)
    np.testing.assert_allclose(nats(name, planes, rates), wanted, rtol=1e-9)
    dry = found.logcdf(-10) if name == "censored" else math.log1p(-wet)
    assert nats(name, planes, [0.0])[0] == pytest.approx(dry, rel=1e-9)
    assert nats(name, planes, [0.05])[0] == nats(name, planes, [0.0])[0]


@pytest.mark.parametrize("planes", PLANES["hurdle-gamma"] + PLANES["hurdle-lognormal"])
@pytest.mark.parametrize("name", ["hurdle-gamma", "hurdle-lognormal"])
def test_rates_within_half_a_step_of_the_threshold_share_their_probability_evenly(name, planes):
    found, wet = law(name, planes)
    wanted = math.log(wet) + found.logcdf(0.005) - math.log(10 * math.log10(1.05))
    assert nats(name, planes, [0.1, 0.1049]) == pytest.approx([wanted] * 2, rel=1e-8)


@pytest.mark.parametrize("name", ["hurdle-gamma", "hurdle-lognormal"])
def test_the_share_of_the_least_rates_can_be_learnt_from(name):
    made = torch.tensor([0.3, -1.0, -0.5], dtype=torch.float64)[:, None, None].requires_grad_(True)
    observed = torch.full((1, 1, 1), 0.1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda planes: likelihood_of(name).log_probability(planes, observed), made)


def test_grey_values_have_a_cross_entropy():
    logits = torch.tensor([-3.0, 0.0, 0.4, 8.0])[None, None]
    observed = torch.tensor([0.0, 0.3, 1.0, 0.9])[None, None]
    share = torch.sigmoid(logits)
    wanted = observed * share.log() + (1 - observed) * torch.log1p(-share)
    bernoulli = likelihood_of("bernoulli")
    torch.testing.assert_close(bernoulli.log_probability(logits, observed), wanted)
    assert torch.equal(bernoulli.mean(logits), share)
    assert bernoulli.median(logits)[0, 0].tolist() == [0, 0, 1, 1]
    assert not bernoulli.is_rain and bernoulli.planes == 1


# ---- mean, median and draws


@pytest.mark.parametrize(("name", "planes"), CASES)
def test_the_mean_is_that_of_the_law(name, planes):
    found, wet = law(name, planes)
    wanted = wet * (WET + found.mean()) if name != "censored" else None
    if wanted is None:
        scaled = np.linspace(-10, max(80, found.mean() + 12 * found.std() + found.var()), 400_001)
        wanted = integrate.simpson(10 ** (scaled / 10) * found.pdf(scaled), x=scaled)
    assert float(likelihood_of(name).mean(row(planes, 1))) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("name", "planes"), CASES)
def test_draws_follow_the_law_and_rise_with_their_uniform_number(name, planes):
    count = 20_000
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    drawn = likelihood_of(name).draw(row(planes, count), uniform.reshape(1, 1, -1))[0, 0].numpy()
    assert (np.diff(drawn) >= 0).all()
    assert ((drawn == 0) | (drawn >= WET)).all()
    for rate in (0.0999, 0.11, 0.3, 1.0, 5.0, 40.0):
        wanted = exceeded(name, planes, max(rate, WET))
        assert (drawn > rate).mean() == pytest.approx(wanted, abs=1.01 / count)


@pytest.mark.parametrize(("name", "planes"), CASES)
def test_half_of_the_law_lies_beyond_the_median(name, planes):
    median = float(likelihood_of(name).median(row(planes, 1)))
    if median == 0:
        assert law(name, planes)[1] <= 0.5 + 1e-12
    else:
        assert median >= WET and exceeded(name, planes, median) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RAINS)
def test_rain_that_is_drawn_is_seen_as_rain(name, dtype):
    likelihood = likelihood_of(name)
    uniform = torch.linspace(0.001, 0.999, 999, dtype=dtype).reshape(1, 1, -1)
    for planes in (*PLANES[name], (0.0,) * likelihood.planes):
        made = row(planes, 999, dtype)
        for rates in (likelihood.draw(made, uniform), likelihood.median(made)):
            assert rates.dtype == dtype and bool(((rates == 0) | (rates >= WET)).all())


def test_draws_of_grey_values_are_white_with_the_probability_named():
    logits = torch.tensor([-2.0, 0.0, 1.0])[None, None].expand(1, 1000, 3)
    uniform = ((torch.arange(1000) + 0.5) / 1000)[None, :, None].expand(1, 1000, 3)
    drawn = likelihood_of("bernoulli").draw(logits, uniform)
    assert bool((drawn.diff(dim=1) >= 0).all())
    torch.testing.assert_close(drawn.mean(1), torch.sigmoid(logits[:, 0]), atol=1e-3, rtol=0)


def test_the_tails_of_a_uniform_number_give_finite_rain():
    uniform = torch.tensor([0.0, 1e-30, 1 - 2**-24, 1.0]).reshape(1, 1, -1)
    for name in RAINS:
        for planes in PLANES[name]:
            drawn = likelihood_of(name).draw(row(planes, 4, torch.float32), uniform)
            assert bool(torch.isfinite(drawn).all())


def test_planes_of_nought_are_a_censored_gaussian_at_the_threshold():
    mean, spread = Censored(least_spread=2.0).parameters_of(torch.zeros(2, 1, 1))
    assert (float(mean), float(spread)) == (-10.0, pytest.approx(12.0))
    _, least = Censored(least_spread=2.0).parameters_of(torch.full((2, 1, 1), -200.0))
    assert float(least) == 2.0


# ---- channels, and what is missing


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_each_channel_has_planes_of_its_own(name):
    likelihood = likelihood_of(name)
    generator = torch.Generator().manual_seed(3)
    made = torch.randn(2, 3, 2 * likelihood.planes, 4, 5, generator=generator)
    observed = torch.rand(2, 3, 2, 4, 5, generator=generator)
    both = likelihood.log_probability(made, observed)
    assert both.shape == observed.shape
    for channel in range(2):
        planes = made[:, :, channel * likelihood.planes : (channel + 1) * likelihood.planes]
        alone = likelihood.log_probability(planes, observed[:, :, channel : channel + 1])
        torch.testing.assert_close(both[:, :, channel : channel + 1], alone)
        for kind in ("mean", "median") + (("wet",) if likelihood.is_rain else ()):
            torch.testing.assert_close(
                getattr(likelihood, kind)(made)[:, :, channel : channel + 1], getattr(likelihood, kind)(planes)
            )


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_missing_pixels_count_for_nothing(name):
    likelihood = likelihood_of(name)
    generator = torch.Generator().manual_seed(4)
    made = (3 * torch.randn(likelihood.planes, 6, 6, generator=generator)).requires_grad_(True)
    observed = torch.rand(1, 6, 6, generator=generator)
    hidden = torch.rand(1, 6, 6, generator=generator) < 0.4
    whole = likelihood.log_probability(made, observed)
    for value in (math.nan, math.inf, -math.inf):
        nats = likelihood.log_probability(made, torch.where(hidden, value, observed))
        assert torch.equal(nats, torch.where(hidden, 0.0, whole))
        (gradient,) = torch.autograd.grad(nats.sum(), made)
        (wanted,) = torch.autograd.grad(whole[~hidden].sum(), made, retain_graph=True)
        assert bool((gradient[:, hidden[0]] == 0).all())
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_nats_and_gradients_are_finite_however_wrong_the_decoder_is(name):
    likelihood = likelihood_of(name)
    levels = torch.tensor([-60.0, -8.0, 0.0, 8.0, 60.0])
    made = torch.cartesian_prod(*[levels] * likelihood.planes).reshape(-1, likelihood.planes).T[..., None]
    rates = [0.0, 0.1, 0.105, 0.11, 1.0, 300.0] if likelihood.is_rain else [0.0, 0.5, 1.0]
    observed = torch.tensor([*rates, math.nan]).expand(1, made.shape[1], -1)
    made = made.expand(-1, -1, len(rates) + 1).clone().requires_grad_(True)
    found = likelihood.log_probability(made, observed)
    assert bool(torch.isfinite(found).all())
    found.sum().backward()
    assert bool(torch.isfinite(made.grad).all())


def test_every_likelihood_has_a_name():
    assert [type(likelihood_of(name)).__name__ for name in LIKELIHOODS] == ["Bernoulli", "Censored", "Hurdle", "Hurdle"]
    assert Hurdle("lognormal").amount == likelihood_of("hurdle-lognormal").amount
    assert likelihood_of("hurdle-gamma").amount == "gamma"
