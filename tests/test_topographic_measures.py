"""Measures of a rolling latent: what a perfect roll, none at all, and chance score."""

import numpy as np
import pytest
import torch

from ondee.errors import ConfigError
from ondee.generative.noise import Noise
from ondee.topographic.coherence import Coherence
from ondee.topographic.judging import untrained
from ondee.topographic.measures import (
    active_units,
    capsule_correlation,
    capsule_rolls,
    centred,
    chance_of_error,
    equivariance_error,
    observed_rolls,
)
from ondee.topographic.model import TopographicVAE
from ondee.topographic.sequences import Sprites
from ondee.topographic.settings import LatentSettings
from ondee.topographic.topography import Topography, TopographySettings


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def turn(latents, frames):
    return latents.roll(frames, -1)


def still(latents, frames):
    return latents


def rolling(count, frames, capsules, places, seed=0):
    """Sequences whose capsules roll by exactly one place a frame."""
    first = normal(count, capsules, places, seed=seed)
    return torch.stack([first.roll(lag, -1) for lag in range(frames)], 1)


# ---- equivariance error


@pytest.mark.parametrize(("frames", "places"), [(12, 20), (20, 12), (18, 18), (1, 5)])
def test_a_perfect_roll_has_no_error(frames, places):
    latents = rolling(3, frames, 4, places)
    scaled = latents * torch.rand(3, frames, 4, 1, generator=torch.Generator().manual_seed(1)).add(0.1)
    assert equivariance_error(scaled, turn).tolist() == pytest.approx([0, 0, 0], abs=1e-3)
    made = Topography(TopographySettings(capsules=4, dimensions=(places,), coherence=Coherence(frames=3)))
    assert equivariance_error(scaled, made.roll).tolist() == pytest.approx([0, 0, 0], abs=1e-3)


def test_the_error_is_the_sum_over_all_pairs_written_out():
    latents = normal(2, 5, 3, 7).double()
    unit = latents / latents.square().sum(-1, keepdim=True).sqrt()
    for roll in (turn, still):
        wanted = torch.zeros(2, dtype=torch.float64)
        for first in range(5):
            for later in range(first + 1, 5):
                wanted += (roll(unit[:, first], later - first) - unit[:, later]).abs().sum((-2, -1))
        torch.testing.assert_close(equivariance_error(latents, roll), wanted)


def test_what_does_not_change_has_no_error_under_the_identity_alone():
    latents = normal(2, 1, 3, 7).expand(2, 6, 3, 7)
    assert equivariance_error(latents, still).tolist() == [0, 0]
    assert float(equivariance_error(latents, turn).min()) > 1


def test_the_error_does_not_depend_on_the_scale_of_capsules():
    latents = normal(4, 6, 3, 7)
    scales = torch.rand(4, 6, 3, 1, generator=torch.Generator().manual_seed(1)) * 100 + 1e-3
    torch.testing.assert_close(
        equivariance_error(latents, turn), equivariance_error(latents * scales, turn), rtol=1e-4, atol=1e-3
    )


def test_capsules_that_are_nought_do_not_spoil_the_error():
    latents = normal(1, 4, 2, 5)
    latents[:, 1, 0] = 0
    assert bool(torch.isfinite(equivariance_error(latents, turn)).all())


@pytest.mark.parametrize("sizes", [(18, 18, 18), (15, 15, 15), (12, 4, 20), (20, 3, 12), (4, 5, 2), (4, 5, 1)], ids=str)
def test_noise_has_the_error_of_chance(sizes):
    frames, capsules, places = sizes
    count = 200 if places > 2 else 5000
    found = equivariance_error(normal(count, frames, capsules, places, seed=2), turn)
    error = 4 * float(found.std()) / np.sqrt(count)
    assert float(found.mean()) == pytest.approx(chance_of_error(*sizes), abs=error)
    assert error < 0.03 * chance_of_error(*sizes)


def test_noise_of_the_published_size_has_the_error_of_the_plain_autoencoder():
    # T. A. Keller and M. Welling, arXiv 2109.01394, Table 1: 13,274 for the VAE of digits.
    assert chance_of_error(18, 18, 18) == pytest.approx(13_275, rel=0.01)


def test_chance_in_many_dimensions_is_that_of_gaussians():
    # Coordinates are then normal with variance 1 / D, and their mean distance is 2 / sqrt(pi D).
    assert chance_of_error(2, 1, 4000) == pytest.approx(4000 * 2 / np.sqrt(np.pi * 4000), rel=1e-3)


def test_what_enters_an_open_capsule_is_judged_on_the_scale_of_the_latents():
    settings = TopographySettings(
        capsules=1,
        dimensions=(6,),
        coherence=Coherence(frames=3, time="open", capsule="open"),
        normalised=True,
        centre=2.0,
    )
    latents = torch.full((1, 4, 1, 6), 2.0)
    latents[0, torch.arange(4), 0, torch.arange(4)] = 7.0  # moves on; behind it comes what rests
    made = equivariance_error(latents, Topography(settings).roll).detach()
    assert float(made) == pytest.approx(0, abs=1e-5)


# ---- observed rolls and capsule correlation


@pytest.mark.parametrize("places", [2, 12, 15, 18])
def test_rolls_are_observed(places):
    first = normal(places, 5, places)
    later = torch.stack([first[step].roll(step, -1) for step in range(places)])
    assert (observed_rolls(first, later + 30) == np.arange(places)[:, None]).all()


def sequences(size, frames, places, capsules=5, seed=0):
    """Perfect rolls, with every value of the factor at the first frame several times."""
    values = np.arange(8 * size) % size
    return rolling(len(values), frames, capsules, places, seed), values


@pytest.mark.parametrize(
    ("size", "frames", "places"), [(18, 18, 18), (15, 15, 15), (5, 15, 15), (15, 15, 20), (5, 15, 12), (10, 20, 12)]
)
def test_a_perfect_roll_is_wholly_correlated(size, frames, places):
    latents, values = sequences(size, frames, places)
    assert capsule_correlation(latents, values, size) == pytest.approx(1)
    rolled, moved = capsule_rolls(latents, values, size)
    assert rolled.tolist() == moved.tolist() and set(moved) <= set(values)
    # Some capsules may do as they like.
    latents[:, :, :2] = normal(*latents[:, :, :2].shape, seed=3)
    assert capsule_correlation(latents, values, size) == pytest.approx(1)
    # A roll in the other direction is not the one asked for.
    assert capsule_correlation(latents.flip(-1), values, size) < 0.5


@pytest.mark.parametrize("size", [5, 15])
def test_what_does_not_roll_has_no_correlation(size):
    _, values = sequences(size, 15, 15)
    latents = normal(len(values), 1, 5, 15).expand(-1, 15, -1, -1)
    assert capsule_correlation(latents, values, size) == 0
    assert capsule_correlation(rolling(len(values), 15, 5, 15), np.full(len(values), 3), size) == 0


@pytest.mark.parametrize("size", [15, 5])
def test_noise_has_no_correlation(size):
    # Sequences of one cycle that begin at 0 would be right by themselves; they are left out.
    count = 4000
    values = np.arange(count) % size
    latents = normal(count, 15, 1, 15, seed=5)
    assert abs(capsule_correlation(latents, values, size)) < 4 / np.sqrt(count)


def test_sequences_that_begin_at_nought_alone_tell_nothing():
    assert capsule_correlation(rolling(8, 15, 5, 15), np.zeros(8, np.int64), 15) == 0


@pytest.mark.parametrize(("size", "frames", "places"), [(18, 15, 18), (10, 15, 15), (15, 15, 12)])
def test_sequences_that_cannot_tell_are_refused(size, frames, places):
    with pytest.raises(ConfigError, match=r"whole cycles|tell 15 values apart"):
        capsule_correlation(normal(4, frames, 2, places), np.arange(4), size)


# ---- smaller ones


def test_centred_capsules_have_no_mean_and_keep_their_shape():
    latents = normal(2, 3, 4, 5) + 30
    made = centred(latents)
    torch.testing.assert_close(made.mean(-1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.diff(dim=-1), latents.diff(dim=-1), atol=1e-5, rtol=0)


def test_units_count_that_differ_from_the_prior():
    divergence = torch.zeros(500, 2, 3)
    assert active_units(divergence) == 0
    divergence[:, 0, 1] = 0.02
    divergence[:3, 1, 2] = 1  # in a few frames alone
    assert active_units(divergence) == 1 and active_units(divergence, least=0.005) == 2


@pytest.mark.parametrize("network", [{}, {"network": "convolutional", "widths": [8, 8], "features": 8}])
def test_nothing_learnt_is_left_in_an_untrained_model(network):
    told = {"capsules": 2, "dimensions": (3,), "coherence": {"frames": 3, "width": 1}, "centre": 7.0, **network}
    model = TopographicVAE(LatentSettings.model_validate(told), (1, 12, 12))
    with torch.no_grad():
        for learnt in model.parameters():
            learnt.fill_(3.0)
    before, after = (dict(untrained(model, seed).named_parameters()) for seed in (1, 2))
    for name, weights in before.items():
        assert not bool((weights == 3).any()), name
        assert weights.unique().numel() == 1 or not torch.equal(weights, after[name]), name
    assert bool((before["topography.centre"] == 7).all())


@pytest.mark.parametrize("factor", [0, 3])
def test_one_draw_of_an_untrained_model_rolls_and_its_means_do_not(factor):
    torch.manual_seed(0)
    told = {"capsules": 15, "dimensions": (15,), "coherence": {"frames": 10, "width": 1}}
    model = TopographicVAE(LatentSettings.model_validate(told), (1, 64, 64)).eval()
    source = Sprites(seed=0, split="test")
    drawn = source.batch(range(32), factor=factor)
    size = list(source.factors.values())[factor]
    with torch.no_grad():
        noisy = model.topography(*model.sampled(model.encode(drawn.frames), Noise(0, keys=range(32))))
        assert capsule_correlation(noisy, drawn.value, size) > 0.99
        assert abs(capsule_correlation(model.latents(drawn.frames), drawn.value, size)) < 0.4
