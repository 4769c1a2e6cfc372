"""Scalings are undone, keep missing, dry and wet apart, and travel with the weights."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ondee.condition import Condition, Predictors
from ondee.generative.noise import Noise
from ondee.transform import DRY, Planes, RainTransform
from ondee.units import WET

KINDS = ["log", "log1p", "sqrt", "raw"]
WET_RATES = st.lists(st.floats(WET * 1.001, 900), min_size=1, max_size=20)


def noise(keys=(0,), rows=4, columns=5, seed=1):
    return Noise(seed, keys, (0,), (0, rows), (0, columns))


@pytest.mark.parametrize("kind", KINDS)
@given(rates=WET_RATES)
def test_wet_rates_come_back(kind, rates):
    rain = torch.tensor(rates)[None, None]
    transform = RainTransform(kind)
    torch.testing.assert_close(transform.inverse(transform(rain)), rain, rtol=2e-5, atol=2e-5)
    spread = transform(rain, noise(rows=1, columns=len(rates)))
    torch.testing.assert_close(transform.inverse(spread), rain, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(rates=WET_RATES)
def test_more_rain_is_never_less_when_scaled(kind, rates):
    scaled = RainTransform(kind)(torch.tensor([0.0, *sorted(rates)])[None, None])
    assert bool((scaled.diff() >= 0).all()) and bool((scaled[..., 1:] > scaled[..., :1]).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [0.0, 0.24])
def test_missing_stays_missing_and_dry_stays_dry(kind, step):
    rain = torch.zeros(1, 4, 5)
    rain[0, 1, 2], rain[0, 3, 0] = torch.nan, 4.0
    transform = RainTransform(kind, step=step)
    for given_noise in (None, noise()):
        scaled = transform(rain, given_noise)
        assert torch.equal(torch.isnan(scaled), torch.isnan(rain))
        back = transform.inverse(scaled)
        assert torch.equal(torch.isnan(back), torch.isnan(rain))
        assert bool((back[rain == 0] == 0).all()) and float(back[0, 3, 0]) == pytest.approx(4.0, abs=step / 2 + 1e-4)


def test_dry_pixels_are_spread_under_a_logarithm_and_only_there():
    rain = torch.zeros(3, 40, 40)
    drawn = noise((0, 1, 2), 40, 40)
    transform = RainTransform("log")
    scaled = transform(rain, drawn)
    raw = torch.pow(10.0, scaled * transform.scale + transform.centre)
    assert DRY[0] - 1e-6 <= float(raw.min()) and float(raw.max()) <= DRY[1] + 1e-6
    assert float(raw.mean()) == pytest.approx(sum(DRY) / 2, rel=0.01) and float(raw.std()) > 0.003
    assert len(transform(rain).unique()) == 1
    assert len(RainTransform("sqrt")(rain, drawn).unique()) == 1
    again = transform(rain[1:2], noise((1,), 40, 40))
    assert torch.equal(again, scaled[1:2])  # keyed by the sample, not by its place in a batch
    assert not torch.equal(scaled[0], scaled[1])


def test_quantised_rates_are_spread_over_their_step_without_a_bias():
    rain = torch.full((1, 64, 64), 1.2)
    transform = RainTransform("raw", step=0.24)
    back = transform.inverse(transform(rain, noise(rows=64, columns=64)))
    assert 1.08 <= float(back.min()) < 1.09 and 1.31 < float(back.max()) <= 1.3201
    assert float(back.mean()) == pytest.approx(1.2, abs=0.01)
    torch.testing.assert_close(transform.inverse(transform(rain)), rain)


@pytest.mark.parametrize("kind", KINDS)
def test_values_below_the_threshold_are_dry_and_those_at_it_are_not(kind):
    transform = RainTransform(kind)
    at = transform.threshold.reshape(1, 1)
    assert float(transform.inverse(at)) == pytest.approx(WET, rel=1e-3)
    assert float(transform.inverse(at - 1e-4)) == 0.0
    assert float(transform(torch.tensor([[WET]]))) == pytest.approx(float(at), abs=1e-6)
    values = torch.linspace(-3, 4, 200)[None]
    before = (transform.inverse(values) > 0).sum()
    transform.threshold.add_(0.5)
    after = transform.inverse(values)
    assert int((after > 0).sum()) < int(before) and float(after[after > 0].min()) > WET


@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_capped_at_the_largest_and_never_negative_nor_infinite(kind):
    values = torch.tensor([[-1e4, -10.0, 0.0, 5.0, 100.0, 1e6]])
    capped = RainTransform(kind, largest=80.0).inverse(values)
    assert float(capped.max()) == 80.0 and float(capped.min()) == 0.0
    free = RainTransform(kind).inverse(values)
    assert torch.isfinite(free).all() and float(free.min()) == 0.0


def test_threshold_and_cap_travel_with_the_weights():
    fitted = RainTransform("log", largest=120.0)
    fitted.threshold.fill_(-0.7)
    other = RainTransform("log")
    assert math.isinf(float(other.largest))
    other.load_state_dict(fitted.state_dict())
    assert set(fitted.state_dict()) == {"threshold", "largest", "curve"}
    assert (float(other.threshold), float(other.largest)) == (pytest.approx(-0.7), 120.0)


# ---- planes


PREDICTORS = Predictors(("WV_062", "IR_108"), (0, 15, 30), ("elevation", "satellite_zenith_cosine"))


def scene():
    images = torch.full((2, 3, 2, 4, 5), 250.0)
    images[:, :, 0] = 230.0
    auxiliary = torch.stack([torch.full((4, 5), 500.0), torch.full((4, 5), 0.7)]).expand(2, -1, -1, -1).clone()
    return Condition(images, auxiliary)


def planes():
    return Planes(PREDICTORS, torch.tensor([240.0, 270.0]), torch.tensor([5.0, 10.0]))


def test_planes_are_standardised_and_as_many_as_they_say():
    made = planes()(scene())
    assert made.shape == (2, PREDICTORS.planes, 4, 5) and PREDICTORS.planes == 6 + 3 + 2 + 2
    wanted = [-2.0] * 6 + [1.0] * 5 + [0.5, 0.5]
    torch.testing.assert_close(made[1, :, 2, 3], torch.tensor(wanted))


def test_what_is_missing_is_zero_with_a_mask_that_says_so():
    condition = scene()
    condition.images[0, 1, :, 2, 3] = torch.nan  # one frame of a pixel
    condition.images[0, :, 1, 0, 0] = torch.nan  # one channel of another
    condition.auxiliary[0, 0, 1, 1] = torch.nan
    made = planes()(condition)
    assert torch.isfinite(made).all()
    frame, channel = made[0, :, 2, 3], made[0, :, 0, 0]
    assert frame[:6].tolist() == [-2, -2, 0, 0, -2, -2] and frame[6:9].tolist() == [1, 0, 1]
    assert channel[:6].tolist() == [-2, 0, -2, 0, -2, 0] and channel[9:11].tolist() == [1, 0]
    assert float(made[0, 11, 1, 1]) == 0.0
    assert torch.equal(made[1], planes()(scene())[1])


def test_nothing_seen_is_all_zero_but_for_what_is_known_beside():
    condition = scene()
    condition.images[:] = torch.nan
    made = planes()(condition)
    assert float(made[:, :11].abs().max()) == 0.0 and float(made[:, 11:].min()) == pytest.approx(0.5)


def test_values_far_out_are_held_within_eight_deviations():
    condition = scene()
    condition.images[0, 0, 0, 0, 0] = 1e5
    assert float(planes()(condition)[0, 0, 0, 0]) == 8.0


def test_a_model_of_fewer_frames_sees_the_newest_of_them():
    condition = scene()
    condition.images[:, 0] += 10.0
    fewer = Planes(
        replace(PREDICTORS, minutes=PREDICTORS.minutes[:1]), torch.tensor([240.0, 270.0]), torch.tensor([5.0, 10.0])
    )
    assert torch.equal(fewer(condition), fewer(condition.frames(1))) and fewer(condition)[0, 0, 0, 0] == 0.0


def test_statistics_of_the_channels_travel_with_the_weights():
    other = Planes(PREDICTORS)
    other.load_state_dict(planes().state_dict())
    assert torch.equal(other(scene()), planes()(scene()))
