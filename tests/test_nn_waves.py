"""Waves along capsules: their pitch is read off, and they go on."""

import math

import pytest
import torch

from ondee.nn.waves import DAMPING, continued, pitch


def wave(turn, places=8, phase=0.4, size=1.0):
    """Cosine and sine, newest first."""
    angle = phase - turn * torch.arange(places, dtype=torch.float64)
    return size * torch.stack([angle.cos(), angle.sin()])


@pytest.mark.parametrize("turn", [0.0, 0.3, -1.2, 3.0])
@pytest.mark.parametrize("size", [1.0, 0.1])
def test_the_pitch_of_a_wave_is_read_off_whatever_its_size(turn, size):
    assert float(pitch(wave(turn, size=size))) == pytest.approx(turn, abs=1e-9)


def test_the_newest_places_count_most():
    mixed = wave(0.2)
    mixed[:, 5:] = wave(1.0)[:, 5:]
    assert abs(float(pitch(mixed)) - 0.2) < 0.2 * (1.0 - 0.2)


@pytest.mark.parametrize("steps", [1, 3, 11])
def test_a_wave_goes_on_as_it_would_and_is_damped(steps):
    made = continued(wave(0.3), steps)
    later = wave(0.3, places=steps, phase=0.4 + 0.3 * steps)
    kept = DAMPING ** torch.arange(steps, 0, -1)
    assert torch.allclose(made, kept * later)


def test_an_empty_wave_has_no_pitch_and_a_finite_gradient():
    nothing = torch.zeros(3, 2, 5, requires_grad=True)
    assert pitch(nothing).tolist() == [0, 0, 0]
    continued(nothing, 2).sum().backward()
    assert torch.isfinite(nothing.grad).all()


def test_two_steps_are_twice_one_but_for_the_damping():
    once = torch.cat([continued(wave(0.5), 1), wave(0.5)], -1)
    twice = torch.cat([continued(once, 1), once], -1)[:, :2]
    whole = continued(wave(0.5), 2)
    angle = [torch.atan2(made[1, 0], made[0, 0]) for made in (twice, whole)]
    assert float(angle[0] - angle[1]) % (2 * math.pi) == pytest.approx(0, abs=1e-6)
