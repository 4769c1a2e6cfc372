"""The network that carries rain along: motion is seen, told by waves, read off again, and moves what is drawn."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from ondee.encoding.traversal import _rows, _turned
from ondee.generative.noise import Noise
from ondee.nn.advective import WAVES, AdvectiveDecoder, _displaced
from ondee.topographic.model import TopographicVAE
from ondee.topographic.settings import LatentSettings

TOLD = {
    "network": "advective",
    "widths": (4, 8),
    "features": 16,
    "history": 2,
    "capsules": 6,
    "dimensions": (9,),
    "likelihood": "censored",
    "coherence": {"frames": 3, "width": 1, "speeds": (0, 1, 1), "causal": True, "time": "open", "capsule": "open"},
    "normalised": True,
    "carried": True,
    "entering": "wave",
    "centre": 0.0,
    "centres": "each",
    "lead": (0, 2),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model(side=32, seed=0, **changes):
    torch.manual_seed(seed)
    return TopographicVAE(LatentSettings.model_validate({**TOLD, **changes}), (1, side, side)).eval()


def moving(south, east, frames=8, side=32, seed=0):
    """Rain that moves by whole pixels a frame, mm/h."""
    wide = side + 8 * frames
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((wide, wide)), 2.5)
    field = 6 * np.clip(field / field.std() - 0.3, 0, None)
    y, x = 4 * frames, 4 * frames
    cut = [
        field[y - south * frame : y - south * frame + side, x - east * frame : x - east * frame + side]
        for frame in range(frames)
    ]
    return torch.tensor(np.stack(cut), dtype=torch.float32)[None, :, None]


@pytest.mark.parametrize(("south", "east"), [(0, 0), (2, 3), (-1, 2), (0, -4)])
@torch.no_grad()
def test_the_motion_of_rain_is_seen_before_anything_is_learnt(south, east):
    made = model()
    velocity = made.encoder.velocity(made.seen(moving(south, east)))[0]
    assert velocity[0].tolist() == [0, 0]  # nothing is known before the first frame
    assert velocity[2:].median(0).values.tolist() == pytest.approx([south, east], abs=0.35)


@pytest.mark.parametrize("lead", [0, 1, 4])
@torch.no_grad()
def test_the_decoder_reads_time_and_velocity_off_the_rolled_waves(lead):
    made = model()
    latents = made.latents(moving(2, -3, frames=9))[:, -1]
    frames, south, east = made.decoder.passed(made.topography.roll(latents, lead).flatten(1))[0].tolist()
    assert frames == pytest.approx(lead, abs=0.05)
    assert (south, east) == pytest.approx((2, -3), abs=0.35)


@torch.no_grad()
def test_a_roll_carries_the_rain_along_and_frozen_latents_leave_it():
    made = model(side=64, capsules=40, dimensions=(9,), coherence={**TOLD["coherence"], "speeds": [0] * 9 + [1]})
    rain = moving(1, 2, frames=12, side=64)
    level = torch.log10(rain.clamp(min=0.1)) + 1 - 0.5 * (rain < 0.1)
    _, _, basis = torch.linalg.svd(level.flatten(2)[0] - level.flatten(2)[0].mean(0), full_matrices=False)
    parts = made.decoder.components
    parts.basis.zero_()
    parts.basis[: len(basis)] = basis
    parts.mean.copy_(level[0].mean(0))
    made.decoder.last.weight.zero_()
    latents = made.latents(rain[:, :9])[:, -1:]
    told = {lead: made.decode(made.topography.roll(latents, lead))[0, 0, 0] for lead in (0, 3)}
    inner = (slice(12, -4), slice(12, -4))
    apart = {lead: float((told[lead] - level[0, 8 + 3, 0])[inner].abs().mean()) for lead in told}
    assert apart[3] < 0.5 * apart[0]


def test_displaced_fields_come_from_upstream_and_nothing_from_beyond_the_edge():
    field = torch.arange(64.0).reshape(1, 1, 8, 8) + 1
    moved = torch.zeros(1, 2, 8, 8)
    moved[:, 0], moved[:, 1] = 2, -1
    made = _displaced(field, moved)
    assert torch.allclose(made[..., 2:, :-1], field[..., :-2, 1:], atol=1e-4)
    assert not made[..., :2, :].any()
    assert not made[..., -1].any()


@torch.no_grad()
def test_the_linear_path_gives_back_what_its_components_span():
    parts = AdvectiveDecoder((8, 8), 5, 3, 2).components
    basis = torch.linalg.qr(torch.randn(64, 5)).Q.T
    parts.begin(torch.zeros(64), basis, torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2]))
    spanned = (torch.randn(7, 5) @ basis).reshape(7, 1, 8, 8)
    whole = torch.ones(7, 1, 8, 8)
    assert torch.allclose(parts.anomaly(parts.latents(spanned, whole)), spanned, atol=1e-5)


@torch.no_grad()
def test_missing_pixels_are_taken_from_the_components():
    parts = AdvectiveDecoder((8, 8), 5, 3, 2).components.eval()
    parts.begin(torch.zeros(64), torch.linalg.qr(torch.randn(64, 5)).Q.T, torch.ones(5))
    spanned = parts.anomaly(torch.randn(7, 5))
    there = torch.ones(7, 1, 8, 8)
    there[:, :, :2, :3] = 0
    found = parts.latents(torch.where(there > 0, spanned, 99.0), there)
    first = parts.latents(spanned * there, torch.ones_like(there))
    apart = [(parts.anomaly(entry) - spanned).abs().mean() for entry in (found, first)]
    assert apart[0] < 0.2 * apart[1]


def test_every_parameter_is_learnt_and_missing_pixels_leave_gradients_finite():
    made = model().train()
    rain = moving(1, 1)
    rain[:, 3, :, :10] = torch.nan
    rain[:, 5] = torch.nan
    made.loss(rain, Noise(0, keys=[0]))["loss"].backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_dry_frames_have_no_motion_and_finite_gradients():
    made = model().train()
    rain = torch.zeros(1, 5, 1, 32, 32)
    made.loss(rain, Noise(0, keys=[0]))["loss"].backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in made.parameters() if parameter.grad is not None)
    assert made.encoder.velocity(made.seen(rain)).abs().max() < 1


@torch.no_grad()
def test_later_frames_change_nothing_before_them():
    made, rain = model(), moving(1, 2)
    other = rain.clone()
    other[:, 5:] = 0
    assert torch.allclose(made.latents(rain)[:, :5], made.latents(other)[:, :5], atol=1e-6)
    assert not torch.allclose(made.latents(rain)[:, 5:], made.latents(other)[:, 5:], atol=1e-2)


@torch.no_grad()
def test_a_single_frame_has_rain_and_no_motion():
    made = model()
    latents = made.latents(moving(1, 2)[:, :1])
    assert latents.shape == (1, 1, 6, 9)
    assert made.decoder.passed(latents.flatten(2)[:, 0])[0].tolist() == pytest.approx([0, 0, 0], abs=0.01)


@torch.no_grad()
def test_the_waves_have_the_pitch_of_the_displacement():
    made = model()
    law = made.encode(moving(0, 2, frames=10))
    cosine, sine = law.z_mean[0, -1, -WAVES:][2:, :6].numpy()
    pitch = np.diff(np.unwrap(np.arctan2(sine, cosine)))
    assert pitch == pytest.approx(np.full(5, -2 * math.pi * 2 / 20), abs=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"likelihood": "bernoulli"},
        {"history": 0},
        {"carried": False},
        {"coherence": {**TOLD["coherence"], "speeds": (1, 0, 1)}},
        {"coherence": {**TOLD["coherence"], "speeds": (0, 2, 2)}},
        {"coherence": {**TOLD["coherence"], "speeds": (0, 1)}},
        {"coherence": {**TOLD["coherence"], "speeds": (1,)}},
        {"dimensions": (2,)},
        {"entering": "centre"},
        {"coherence": None},
    ],
)
def test_settings_that_cannot_be_advected_are_refused(wrong):
    with pytest.raises(ValidationError):
        LatentSettings.model_validate({**TOLD, **wrong})


@torch.no_grad()
def test_a_figure_rolls_capsules_of_one_speed_together_and_lets_waves_go_on():
    made = model(capsules=12, coherence={**TOLD["coherence"], "speeds": (0, 0, 1)})
    law = made.encode(moving(1, 2))
    rows = _rows(made, law)
    assert [(name, capsules) for name, capsules in rows] == [
        ("capsules 0–7\nspeed 0", list(range(8))),
        ("capsules 8–11\nspeed 1", [8, 9, 10, 11]),
    ]
    latents = made.topography.expected(law.z_mean, law.squares())[0, 4]
    turned = _turned(made.topography, latents, rows[1][1], 3)
    assert torch.equal(turned, made.topography.roll(latents, 3))
    assert turned[8:, 0].abs().sum() > 1  # not the empty place of an open end
    assert torch.equal(_turned(made.topography, latents, rows[0][1], 2)[8:], latents[8:])
