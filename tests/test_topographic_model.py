"""The Topographic VAE: its bound, its likelihood against closed forms, masks, leads, and what a sample depends on."""

import itertools
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import integrate, stats
from torch import nn

from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.topographic.coherence import Coherence
from ondee.topographic.likelihood import LIKELIHOODS, Likelihood
from ondee.topographic.model import LatentSettings, Posterior, TopographicVAE

SMALL = {"capsules": 2, "dimensions": (4,), "coherence": {"frames": 3, "width": 3}}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model(shape=(1, 6, 5), seed=0, **changes):
    torch.manual_seed(seed)
    return TopographicVAE(LatentSettings.model_validate({**SMALL, **changes}), shape)


def grey(count=3, length=5, shape=(1, 6, 5), seed=1):
    return torch.rand(count, length, *shape, generator=torch.Generator().manual_seed(seed))


class Gaussian(Likelihood):
    """Normal pixels about what the decoder made."""

    planes = 1
    is_rain = False

    def __init__(self, spread=1.0):
        self.spread = spread

    def _nats(self, made, observed):
        return torch.distributions.Normal(made, self.spread).log_prob(observed)

    def mean(self, made):
        return made

    median = mean

    def draw(self, made, uniform):
        return made + self.spread * torch.special.ndtri(uniform)


class Told(nn.Module):
    """Encoder that gives, for z and for u, a linear mean of the pixels and a variance of its own."""

    def __init__(self, *laws):
        super().__init__()
        self.laws = laws

    def forward(self, frames):
        flat = frames.flatten(1)
        return [
            torch.cat([flat @ weights + bias, torch.log(variance).expand(len(flat), -1)], -1)
            for weights, bias, variance in self.laws
        ]


class Linear(nn.Module):
    """Decoder ``x = A t + b``, as an image of one row."""

    def __init__(self, matrix, bias):
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, latents):
        return (latents @ self.matrix.T + self.bias)[:, None, None]


# ---- likelihood against closed forms

SPREAD, PIXELS, LENGTH = 0.6, 5, 3
# Orthogonal columns, so that the posterior of z is diagonal.
MATRIX = torch.linalg.qr(torch.randn(PIXELS, 4, generator=torch.Generator().manual_seed(3)))[0] * torch.tensor(
    [1.5, 0.2, 0.7, 1.0]
)
BIAS = torch.linspace(-1, 1, PIXELS)
SEEN = torch.randn(LENGTH, 1, 1, PIXELS, generator=torch.Generator().manual_seed(4)) * 1.2


def posterior():
    """Weights, bias and variance of the exact law of z."""
    variance = 1 / (1 + MATRIX.square().sum(0) / SPREAD**2)
    weights = MATRIX * variance / SPREAD**2
    return weights, -BIAS @ weights, variance


def linear(weights, bias, variance):
    settings = LatentSettings(capsules=2, dimensions=(2,), coherence=None)
    return TopographicVAE(
        settings,
        (1, 1, PIXELS),
        encoder=Told((weights, bias, variance)),
        decoder=Linear(MATRIX, BIAS),
        likelihood=Gaussian(SPREAD),
    )


def evidence():
    """Log p(x) of each frame, of x normal with mean b and covariance A A' + s²."""
    matrix = MATRIX.double().numpy()
    law = stats.multivariate_normal(BIAS.double().numpy(), matrix @ matrix.T + SPREAD**2 * np.eye(PIXELS))
    return law.logpdf(SEEN.double().numpy().reshape(LENGTH, PIXELS))


def copies(count):
    return SEEN[None].expand(count, -1, -1, -1, -1)


def test_with_the_exact_posterior_one_draw_gives_the_likelihood():
    made = linear(*posterior()).log_likelihood(copies(4), Noise(1, keys=range(4)), samples=1)
    assert made["sequence"].tolist() == pytest.approx([evidence().mean()] * 4, abs=1e-5)
    assert made["frame"].tolist() == pytest.approx([evidence().mean()] * 4, abs=1e-5)


def test_only_the_frame_variant_grows_with_the_draws_of_an_exact_posterior():
    made = linear(*posterior()).log_likelihood(copies(2), Noise(1, keys=range(2)), samples=7)
    assert made["sequence"].tolist() == pytest.approx([evidence().mean()] * 2, abs=1e-5)
    assert made["frame"].tolist() == pytest.approx([evidence().mean() + math.log(7)] * 2, abs=1e-5)


def wrong():
    weights, bias, variance = posterior()
    return weights, bias + torch.tensor([0.1, -0.3, 0.1, 0.0]), variance * torch.tensor([1.3, 1.0, 1.5, 1.2])


def averaged(found, length):
    """Log of the mean weight over independent estimates of a sequence, and its standard error."""
    weights = np.exp(length * (found - found.max()))
    mean = weights.mean()
    return found.max() + np.log(mean) / length, weights.std(ddof=1) / np.sqrt(len(found)) / mean / length


def test_with_a_wrong_posterior_many_draws_converge_to_the_likelihood():
    made = linear(*wrong()).log_likelihood(copies(400), Noise(2, keys=range(400)), samples=25)["sequence"]
    found, error = averaged(made.double().numpy(), LENGTH)
    assert found == pytest.approx(evidence().mean(), abs=4 * error)
    assert error < 0.005


def test_few_draws_of_a_wrong_posterior_are_a_bound_that_rises():
    means, errors = [], []
    for samples in (1, 4, 16):
        made = linear(*wrong()).log_likelihood(copies(400), Noise(3, keys=range(400)), samples)["sequence"]
        means.append(float(made.mean()))
        errors.append(float(made.std()) / 20)
    assert means[0] + 2 * errors[0] < means[1] and means[1] + 2 * errors[1] < means[2]
    assert means[2] < evidence().mean() + 2 * errors[2]


def test_one_draw_falls_short_by_the_divergence_of_the_posteriors():
    laws = []
    for weights, bias, variance in (wrong(), posterior()):
        laws.append(torch.distributions.Normal(SEEN.reshape(LENGTH, PIXELS) @ weights + bias, variance.sqrt()))
    gap = float(torch.distributions.kl_divergence(*laws).sum(-1).mean())
    built = linear(*wrong())
    made = built.log_likelihood(copies(1000), Noise(4, keys=range(1000)), 1)["sequence"]
    error = 4 * float(made.std()) / np.sqrt(1000)
    assert float(made.mean()) == pytest.approx(evidence().mean() - gap, abs=error)
    # The loss is the same bound, with its divergence in closed form.
    loss = float(built.loss(copies(1000), Noise(5, keys=range(1000)))["loss"])
    assert loss == pytest.approx(gap - evidence().mean(), abs=error)
    assert error < 0.3 * gap


CENTRE, GAIN = 1.5, 0.8


def coherent(time):
    """One latent a frame whose scale is shared by two frames."""
    settings = LatentSettings(
        capsules=1,
        dimensions=(1,),
        coherence=Coherence(frames=2, width=1, causal=True, time=time),
        centre=CENTRE,
        normalised=time == "open",
    )
    laws = [(torch.zeros(1, 1), torch.tensor([shift]), torch.tensor([1.2])) for shift in (0.1, 0.0)]
    return TopographicVAE(
        settings,
        (1, 1, 1),
        encoder=Told(*laws),
        decoder=Linear(torch.full((1, 1), GAIN), torch.zeros(1)),
        likelihood=Gaussian(SPREAD),
    )


def test_frames_that_share_their_scale_have_the_likelihood_of_the_whole_sequence():
    values = np.array([1.9, 0.7])
    frames = torch.tensor(values, dtype=torch.float32).reshape(1, 2, 1, 1, 1).expand(400, -1, -1, -1, -1)

    def joint(v):
        # On a circle of two frames both have v = u1² + u2², exponential of mean 2; given v, x is normal.
        law = stats.norm(GAIN * CENTRE / np.sqrt(v), np.sqrt(GAIN**2 / v + SPREAD**2))
        return law.pdf(values[0]) * law.pdf(values[1]) * 0.5 * np.exp(-v / 2)

    wanted = math.log(integrate.quad(joint, 0, 60, limit=200)[0]) / 2
    made = coherent("circular").log_likelihood(frames, Noise(6, keys=range(400)), samples=50)
    found, error = averaged(made["sequence"].double().numpy(), 2)
    assert found == pytest.approx(wanted, abs=4 * error) and error < 0.01


def test_frames_of_open_time_have_the_likelihood_of_the_whole_sequence():
    values = np.array([1.9, 0.7])
    frames = torch.tensor(values, dtype=torch.float32).reshape(1, 2, 1, 1, 1).expand(400, -1, -1, -1, -1)
    # The first frame has v = u1², the second the mean of u1² and u2².
    place, weight = np.polynomial.hermite_e.hermegauss(200)
    first, second = np.meshgrid(place, place, indexing="ij")
    density = np.ones_like(first)
    for value, v in ((values[0], first**2), (values[1], (first**2 + second**2) / 2)):
        v = v + 1e-6
        density *= stats.norm.pdf(value, GAIN * CENTRE / np.sqrt(v), np.sqrt(GAIN**2 / v + SPREAD**2))
    wanted = math.log((weight[:, None] * weight * density).sum() / (2 * math.pi)) / 2
    made = coherent("open").log_likelihood(frames, Noise(7, keys=range(400)), samples=50)
    found, error = averaged(made["sequence"].double().numpy(), 2)
    assert found == pytest.approx(wanted, abs=4 * error) and error < 0.01


def test_the_frame_variant_sums_the_weights_of_each_frame_by_itself():
    made = model()
    frames, noise = grey(2, 4), Noise(8, keys=(3, 9))
    law = made.encode(frames)
    laws = {
        "z": torch.distributions.Normal(law.z_mean, (0.5 * law.z_log_variance).exp()),
        "u": torch.distributions.Normal(law.u_mean, (0.5 * law.u_log_variance).exp()),
    }
    prior = torch.distributions.Normal(0.0, 1.0)
    weights = []
    with torch.no_grad():
        for number in range(5):
            z, u = made.sampled(law, noise, f" of draw {number}")
            share = torch.sigmoid(made.decode(made.topography(z, u)))
            nats = (frames * share.log() + (1 - frames) * torch.log1p(-share)).sum((2, 3, 4))
            for name, values in (("z", z), ("u", u)):
                nats += (prior.log_prob(values) - laws[name].log_prob(values)).sum((2, 3))
            weights.append(nats)
    each = torch.stack(weights)
    found = made.log_likelihood(frames, noise, samples=5)
    torch.testing.assert_close(found["frame"].float(), torch.logsumexp(each, 0).mean(-1), atol=1e-4, rtol=1e-5)
    whole = (torch.logsumexp(each.sum(-1), 0) - math.log(5)) / 4
    torch.testing.assert_close(found["sequence"].float(), whole, atol=1e-4, rtol=1e-5)
    assert not any(torch.equal(first, second) for first, second in itertools.pairwise(weights))


# ---- loss


def test_the_divergence_is_that_of_torch():
    values = [torch.randn(2, 3, 2, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    law = Posterior(*values)
    for name, (mean, log_variance) in {"z": values[:2], "u": values[2:]}.items():
        wanted = torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
        )
        torch.testing.assert_close(law.divergence()[name], wanted, atol=1e-5, rtol=1e-5)
    assert set(Posterior(*values[:2]).divergence()) == {"z"} and Posterior(*values[:2]).squares() is None


def test_draws_and_squares_follow_the_posterior():
    mean, log_variance = torch.tensor([0.5, -2.0]), torch.tensor([0.3, -1.0])
    law = Posterior(mean, log_variance, mean, log_variance)
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    for drawn in law.drawn(noise, noise):
        torch.testing.assert_close(drawn, mean + noise * torch.exp(log_variance / 2))
        torch.testing.assert_close(drawn.square().mean(0), law.squares(), rtol=0.01, atol=0)


def test_the_loss_is_the_sum_of_its_parts_a_frame():
    made, frames, noise = model(), grey(), Noise(1, keys=range(3))
    parts = made.loss(frames, noise)
    law = made.encode(frames)
    for name, nats in law.divergence().items():
        torch.testing.assert_close(parts[f"divergence_{name}"], nats.sum((2, 3)).mean())
    logits = made.decode(made.topography(*made.sampled(law, noise)))
    crossed = nn.functional.binary_cross_entropy_with_logits(logits, frames, reduction="none")
    torch.testing.assert_close(parts["reconstruction"], crossed.sum((2, 3, 4)).mean())
    half = made.loss(frames, noise, weight=0.25)["loss"]
    divergence = parts["divergence_z"] + parts["divergence_u"]
    torch.testing.assert_close(parts["loss"], parts["reconstruction"] + divergence)
    torch.testing.assert_close(half, parts["reconstruction"] + 0.25 * divergence)


def test_without_coherence_there_is_no_u():
    made = model(coherence=None)
    parts = made.loss(grey(), Noise(1, keys=range(3)))
    assert set(parts) == {"loss", "reconstruction", "divergence_z"}
    assert made.encode(grey()).u_mean is None and len(made.encoder) == 1


@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_a_sample_draws_the_same_in_any_batch(network):
    made = model(network=network, widths=(4, 4), features=16)
    frames = grey()
    whole = made.loss(frames, Noise(7, keys=(4, 11, 90)))
    alone = [made.loss(frames[row : row + 1], Noise(7, keys=(key,))) for row, key in enumerate((4, 11, 90))]
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([entry[name] for entry in alone]).mean(), rtol=1e-5, atol=1e-5)
    both = made.log_likelihood(frames, Noise(7, keys=(4, 11, 90)), 3)
    last = made.log_likelihood(frames[2:], Noise(7, keys=(90,), members=(5,)), 3)
    for name in both:
        torch.testing.assert_close(both[name][2:], last[name], rtol=1e-5, atol=1e-5)


def test_the_same_seed_gives_the_same_loss_and_another_does_not():
    made, frames = model(), grey()
    first, again, other = (made.loss(frames, Noise(seed, keys=range(3)))["loss"].item() for seed in (1, 1, 2))
    assert first == again != other


def test_z_and_u_are_drawn_apart():
    made = model()
    z, u = made.sampled(Posterior(*[torch.zeros(2, 5, 2, 4)] * 4), Noise(1, keys=(0, 1)))
    assert abs(float(np.corrcoef(z.flatten(), u.flatten())[0, 1])) < 4 / np.sqrt(80)


# ---- leads


class Shown(nn.Module):
    """Decoder that shows the latents as pixels."""

    def forward(self, latents):
        return latents[:, None, None]


def shown(lead):
    """A model whose latents are the pixels themselves, to within a thousandth."""
    settings = LatentSettings(capsules=2, dimensions=(4,), coherence=None, lead=lead)
    encoder = Told((torch.eye(8), torch.zeros(8), torch.full((8,), 1e-20)))
    return TopographicVAE(settings, (1, 1, 8), encoder=encoder, decoder=Shown(), likelihood=Gaussian())


@pytest.mark.parametrize("lead", [0, 1, 3])
def test_a_lead_compares_the_roll_of_a_frame_with_the_frame_so_far_ahead(lead):
    frames = torch.randn(2, 5, 1, 1, 8, generator=torch.Generator().manual_seed(1))
    kept = 5 - lead
    rolled = frames[:, :kept].reshape(2, kept, 2, 4).roll(lead, -1).reshape(2, kept, 1, 1, 8)
    nats = -torch.distributions.Normal(rolled, 1.0).log_prob(frames[:, lead:])
    found = shown((lead,)).loss(frames, Noise(1, keys=range(2)))["reconstruction"]
    torch.testing.assert_close(found, nats.sum((2, 3, 4)).mean(), rtol=1e-5, atol=1e-5)


def test_leads_count_alike():
    frames, noise = torch.randn(2, 5, 1, 1, 8, generator=torch.Generator().manual_seed(1)), Noise(1, keys=range(2))
    each = [shown((lead,)).loss(frames, noise)["reconstruction"] for lead in (0, 2, 4)]
    found = shown((0, 2, 4)).loss(frames, noise)["reconstruction"]
    torch.testing.assert_close(found, torch.stack(each).mean())


def test_leads_count_by_their_shares():
    whole, parts = grey(), {}
    for lead in (0, 1):
        parts[lead] = model(lead=(lead,)).loss(whole, Noise(0, keys=range(3)))["reconstruction"].item()
    made = model(lead=(0, 1), lead_shares=(3, 1)).loss(whole, Noise(0, keys=range(3)))["reconstruction"]
    assert made.item() == pytest.approx(0.75 * parts[0] + 0.25 * parts[1], rel=1e-5)
    with pytest.raises(ValidationError):
        model(lead=(0, 1), lead_shares=(1,))


@pytest.mark.parametrize("lead", [5, 6])
def test_a_lead_beyond_the_sequence_is_refused(lead):
    with pytest.raises(ConfigError, match="5 frames"):
        shown((0, lead)).loss(torch.zeros(1, 5, 1, 1, 8), Noise(1, keys=(0,)))


# ---- missing pixels


def rain(seed=2):
    drawn = torch.rand(2, 5, 1, 6, 5, generator=torch.Generator().manual_seed(seed))
    return torch.where(drawn > 0.5, 20 * (drawn - 0.5).square(), 0.0)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_missing_pixels_leave_loss_and_gradients_finite(likelihood, network):
    made = model(likelihood=likelihood, network=network, widths=(4, 4), features=16)
    whole = grey(2) if likelihood == "bernoulli" else rain()
    hidden = torch.rand(whole.shape, generator=torch.Generator().manual_seed(5)) < 0.3
    hidden[0, 2] = hidden[1] = True
    noise = Noise(1, keys=(0, 1))
    losses, gradients = [], []
    for value in (math.nan, math.inf, -math.inf):
        parts = made.loss(torch.where(hidden, value, whole), noise)
        made.zero_grad()
        parts["loss"].backward()
        losses.append(float(parts["loss"].detach()))
        gradients.append([values.grad.clone() for values in made.parameters()])
    assert math.isfinite(losses[0]) and losses[0] == losses[1] == losses[2]
    for entries in zip(*gradients, strict=True):
        assert bool(torch.isfinite(entries[0]).all())
        assert torch.equal(entries[0], entries[1]) and torch.equal(entries[0], entries[2])
    assert bool(torch.isfinite(made.log_likelihood(torch.where(hidden, math.nan, whole), noise, 2)["sequence"]).all())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_frame_that_is_wholly_missing_counts_for_nothing(likelihood):
    made = model(likelihood=likelihood)
    planes = made.seen_planes
    made.encoder = Told(*[(torch.zeros(30 * planes, 8), torch.zeros(8), torch.ones(8))] * 2)  # sees nothing
    frames = (grey(2) if likelihood == "bernoulli" else rain()).clone()
    noise = Noise(1, keys=(0, 1))
    latents = made.topography(*made.sampled(made.encode(frames), noise))
    nats = made.likelihood.log_probability(made.decode(latents), frames).sum((2, 3, 4))
    frames[1, 3] = math.nan
    nats[1, 3] = 0
    torch.testing.assert_close(made.loss(frames, noise)["reconstruction"], -nats.mean())
    frames[:] = math.nan
    assert made.loss(frames, noise)["reconstruction"].item() == 0


def test_the_encoder_of_rain_is_told_level_rain_and_coverage():
    made = model(likelihood="censored", shape=(1, 1, 6))
    frames = torch.tensor([0.0, 0.05, 0.1, 1.0, 100.0, math.nan])[None, None, None, None]
    seen = made.seen(frames)[0, 0, :, 0]
    torch.testing.assert_close(seen[0], torch.tensor([0.0, 0.0, 0.0, 1.0, 3.0, 0.0]), atol=1e-6, rtol=0)
    assert seen[1].tolist() == [0, 0, 1, 1, 1, 0] and seen[2].tolist() == [1, 1, 1, 1, 1, 0]


# ---- the whole of it


@pytest.mark.parametrize(
    ("sizes", "shape", "count"),
    # The sizes of T. A. Keller and M. Welling, arXiv 2109.01394, appendix: digits 2352-972-648-648 twice and
    # 324-648-972-2352, sprites 4096-675-450-450 twice and 225-450-675-4096; and mu.
    [(18, (3, 28, 28), 9_803_920), (15, (1, 64, 64), 9_716_177)],
)
def test_the_published_models_have_as_many_parameters(sizes, shape, count):
    settings = LatentSettings() if sizes == 18 else LatentSettings(capsules=15, dimensions=(15,))
    with torch.device("meta"):
        made = TopographicVAE(settings, shape)
    assert sum(values.numel() for values in made.parameters()) == count
    latents, pixels = sizes**2, math.prod(shape)
    widths = [(pixels, 3 * latents), (3 * latents, 2 * latents), (2 * latents, 2 * latents)]
    encoder = sum(inputs * outputs + outputs for inputs, outputs in widths)
    decoder = 2 * latents**2 + 6 * latents**2 + 5 * latents + 3 * latents * pixels + shape[0]
    assert count == 2 * encoder + decoder + 1


@pytest.mark.parametrize("network", ["dense", "convolutional"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_parameter_is_learnt_and_frames_keep_their_shape(network, likelihood):
    made = model(network=network, likelihood=likelihood, widths=(4, 4), features=16, shape=(2, 9, 13), centres="each")
    frames = grey(2, 4, (2, 9, 13)) * (1 if likelihood == "bernoulli" else 3)
    made.loss(frames, Noise(1, keys=(0, 1)))["loss"].backward()
    for name, values in made.named_parameters():
        assert values.grad is not None and float(values.grad.abs().max()) > 0, name
    with torch.no_grad():
        assert made.reconstruct(frames).shape == frames.shape
        assert made.latents(frames).shape == (2, 4, 2, 4)


def test_latents_are_those_of_the_posterior_means():
    made, frames = model(), grey()
    law = made.encode(frames)
    squares = law.u_mean.square() + law.u_log_variance.exp()
    wanted = (law.z_mean + 30) / torch.sqrt(made.topography.variance(squares) + 1e-6)
    torch.testing.assert_close(made.latents(frames), wanted)
    plain = model(coherence=None)
    assert torch.equal(plain.latents(frames), plain.encode(frames).z_mean)


def test_frames_share_their_scale_and_nothing_else():
    made, frames = model(coherence={"frames": 2, "width": 1, "causal": True}), grey(1, 6)
    changed = frames.clone()
    changed[0, 2] = 1 - changed[0, 2]
    with torch.no_grad():
        moved = (made.latents(changed) != made.latents(frames)).flatten(2).any(-1)[0]
    assert moved.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize("wrong", [{"network": "recurrent"}, {"likelihood": "poisson"}, {"lead": (-1,)}, {"beta": 1}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        LatentSettings(**wrong)


def test_a_model_that_only_looks_ahead_has_no_likelihood_of_a_frame():
    with pytest.raises(ConfigError, match="never the frame itself"):
        model(lead=(1, 2)).log_likelihood(torch.zeros(1, 5, 1, 8, 8), Noise(0, keys=(0,)))


@pytest.mark.parametrize("network", ["dense", "convolutional"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "censored", "hurdle-gamma", "hurdle-lognormal"])
def test_all_likelihoods_are_learnt_in_half_precision(likelihood, network):
    made = model(network=network, widths=(4, 4), features=16, likelihood=likelihood)
    frames = grey() * (1 if likelihood == "bernoulli" else 3)
    with torch.autocast("cpu", torch.bfloat16):
        half = made.loss(frames, Noise(1, keys=range(3)))["loss"]
    whole = made.loss(frames, Noise(1, keys=range(3)))["loss"]
    assert half.dtype == torch.float32 and half.item() == pytest.approx(whole.item(), rel=0.02)


# ---- registers and history

CARRIED = {
    "capsules": 2,
    "dimensions": (4,),
    "coherence": {"frames": 2, "width": 1, "speeds": (0, 1), "capsule": "open", "time": "open", "causal": True},
    "normalised": True,
    "carried": True,
}


def test_what_a_register_carries_on_has_no_divergence_of_its_own():
    made = model(**CARRIED)
    posterior = made.encode(grey())
    each = posterior.divergence()["z"]
    assert each.shape == (3, 5, 2, 4)
    assert not each[:, 1:, 1, 1:].any()
    assert each[:, 1:, 1, 0].all()


def test_with_nothing_observed_a_model_with_registers_has_the_likelihood_one():
    made = model(**CARRIED, likelihood="censored")
    nothing = torch.full((1, 3, 1, 6, 5), math.nan)
    one = made.log_likelihood(nothing, Noise(1, keys=[0]), samples=1)["sequence"]
    many = made.log_likelihood(nothing, Noise(1, keys=[0]), samples=3000)["sequence"]
    assert abs(float(one)) > 0.02  # the posterior is not the prior
    assert abs(float(many)) < 0.02


def test_draws_of_a_register_move_on_with_their_noise():
    made = model(**CARRIED)
    z, u = made.sampled(made.encode(grey()), Noise(1, keys=range(3)))
    for drawn in (z, u):
        assert torch.equal(drawn[:, 1:, 1, 1:], drawn[:, :-1, 1, :-1])
        assert not torch.equal(drawn[:, 1:, 0, 1:], drawn[:, :-1, 0, :-1])


def test_the_history_of_a_frame_is_what_came_before_it():
    made = model(history=2)
    frames = grey()
    seen = made._with_history(made.seen(frames))
    assert seen.shape[2] == 3
    assert torch.equal(seen[:, 4, 1], frames[:, 3, 0])
    assert torch.equal(seen[:, 4, 2], frames[:, 2, 0])
    assert not seen[:, 1, 2].any()


def test_a_history_longer_than_the_sequence_is_empty_before_it():
    made = model(history=7)
    assert made._with_history(made.seen(grey(length=2))).shape == (3, 2, 8, 6, 5)
    assert made.latents(grey(length=2)).shape == (3, 2, 2, 4)


@pytest.mark.parametrize("frames", [1, 3])
def test_latents_of_the_prior_have_the_law_of_student(frames):
    made = model(coherence={"frames": frames, "width": 3}, centre=0.0)
    latents = made.prior(5, Noise(1, keys=range(5000)))
    assert latents.shape == (5000, 5, 2, 4)
    neighbours = len(list(Coherence(frames=frames, width=3).offsets(0)))
    one = latents[:, 2, 1, 3].detach().numpy() * math.sqrt(neighbours)
    assert stats.kstest(one, stats.t(neighbours).cdf).pvalue > 0.01
    assert stats.kstest(one, stats.norm.cdf).pvalue < 0.01


def test_latents_of_the_prior_are_the_same_in_any_batch():
    for made in (model(coherence=None), model(**CARRIED)):
        many, one = (made.prior(5, Noise(1, keys=keys)) for keys in (range(4), [2]))
        assert torch.allclose(many[2], one[0], rtol=1e-6) and not torch.equal(many[1], many[2])
    assert torch.equal(made.topography.carried(many), many)


def test_a_model_that_only_looks_ahead_tells_later_frames():
    frames = grey()
    for lead in ([0, 2], [1], [2, 1]):
        made = model(lead=lead)
        latents = made.latents(frames)
        planes, seen = made.told(latents, frames)
        ahead = min(lead)
        assert torch.equal(seen, frames[:, ahead:])
        assert torch.equal(planes, made.decode(made.topography.roll(latents[:, : 5 - ahead], ahead)))
