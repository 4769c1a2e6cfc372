"""The threshold that validation days decide: rain as frequent as the radar's, whatever rates members share."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ondee.fitting import judge, matching_curve, wet_threshold
from ondee.transform import RainTransform
from ondee.units import WET

SHAPE = (6, 60, 60)


def rain(seed: int, share: float) -> Tensor:
    """Fields of which a share is wet."""
    draw = np.random.default_rng(seed)
    rates = np.where(draw.random(SHAPE) < share, WET + draw.gamma(1.0, 2.0, SHAPE), 0.0)
    return torch.from_numpy(rates.astype(np.float32))


def wet(fields: Tensor) -> float:
    """Share of pixels that are wet."""
    return float((fields >= WET).double().mean())


def decoded(drawn: Tensor, threshold: float) -> Tensor:
    """Fields with a threshold applied."""
    transform = RainTransform("log")
    transform.set_threshold(threshold)
    return transform.decided(drawn)


@pytest.mark.parametrize("share", [0.05, 0.09, 0.11, 0.2])
def test_dry_pixels_that_share_one_rate_do_not_all_become_wet(share: float) -> None:
    truth, transform = rain(1, 0.1), RainTransform("log")
    values = transform(rain(2, share))  # every dry pixel at the middle of its spread, as a matched histogram has it
    with transform.undecided():
        drawn = transform.inverse(values)
    threshold = wet_threshold(drawn[:, None], truth)
    transform.set_threshold(threshold)
    assert wet(decoded(drawn, threshold)) == pytest.approx(min(share, wet(truth)), abs=0.01)
    assert torch.equal(transform.inverse(values), decoded(drawn, threshold))


def test_rain_is_as_frequent_as_the_radars() -> None:
    draw = np.random.default_rng(3)
    drawn = torch.from_numpy(10 ** draw.normal(-1.2, 0.8, (6, 4, 60, 60))).float()
    truth = rain(4, 0.1)
    truth[:, :20] = math.nan
    threshold = wet_threshold(drawn, truth)
    assert wet(decoded(drawn[:, :, 20:], threshold)) == pytest.approx(wet(truth[:, 20:]), abs=1e-3)


def test_a_rate_of_nothing_is_never_wet() -> None:
    drawn = rain(5, 0.02)[:, None]
    assert wet(decoded(drawn, wet_threshold(drawn, rain(6, 0.1)))) == pytest.approx(wet(drawn))


def test_no_pixel_is_wet_where_the_radar_saw_no_rain() -> None:
    drawn = rain(7, 0.3)[:, None]
    assert wet(decoded(drawn, wet_threshold(drawn, torch.zeros(SHAPE)))) == 0.0


def test_members_like_the_radar_are_judged_without_fault() -> None:
    fields = [rain(seed, 0.1) for seed in range(9)]
    found = judge(torch.stack(fields[1:], 1), fields[0])
    assert found.spread_skill == pytest.approx(1.0, abs=0.05)
    assert found.tail == pytest.approx(1.0, abs=0.25)
    assert found.decibels < 1.0


def test_pixels_without_radar_change_no_judgement() -> None:
    fields = [rain(seed, 0.1) for seed in range(5)]
    truth, drawn = fields[0].clone(), torch.stack(fields[1:], 1)
    truth[:, :10] = math.nan
    other = drawn.clone()
    other[:, :, :10] = 300.0
    assert judge(drawn, truth) == judge(other, truth)


def test_the_curve_gives_members_the_rates_of_the_radar() -> None:
    draw = np.random.default_rng(8)
    drawn = torch.from_numpy(10 ** draw.normal(-1.2, 0.5, (6, 2, 60, 60))).float()
    truth = rain(9, 0.3)
    transform = RainTransform("log", largest=200.0)
    transform.set_threshold(wet_threshold(drawn, truth))
    before = transform.decided(drawn)
    transform.set_curve(*matching_curve(drawn, truth))
    after = transform.decided(drawn)
    for share in (0.8, 0.9, 0.99, 0.997):
        wanted = np.quantile(truth, share)
        assert np.quantile(after, share) == pytest.approx(wanted, rel=0.03)
        assert abs(np.quantile(before, share) - wanted) > 0.2 * wanted
    assert bool(((drawn[:, :, 1:] - drawn[:, :, :-1]) * (after[:, :, 1:] - after[:, :, :-1]) >= 0).all())


def test_a_curve_survives_saving_and_none_is_made_where_it_does_not_rain() -> None:
    drawn, truth = rain(10, 0.3)[:, None], rain(11, 0.2)
    assert matching_curve(drawn, torch.zeros(SHAPE)) is None
    one, other = RainTransform("log"), RainTransform("log")
    one.set_curve(*matching_curve(drawn, truth))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.decided(drawn), other.decided(drawn))
