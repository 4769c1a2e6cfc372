"""How likely rain must be to be called rain."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ondee.generative.detection import EVEN, RATES, best_odds, detected

AMOUNTS = st.sampled_from([0.0, 0.0, 0.1, 0.3, 1.0, 1.1, 2.5, 10.0, 80.0, 300.0])
ODDS = st.lists(st.floats(0.01, 0.9), min_size=RATES.size, max_size=RATES.size).map(
    lambda some: np.sort(np.array(some, np.float32))[::-1].copy()
)


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 30))


@given(SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=AMOUNTS)), ODDS)
def test_a_rate_is_reached_where_it_and_all_below_are_likely_enough(members, odds):
    found = detected(members, odds)
    likely = [(members >= rate).mean(0) >= needed - 1e-6 for rate, needed in zip(RATES, odds, strict=True)]
    wanted = np.logical_and.accumulate(likely)
    for rate, there in zip(RATES, wanted, strict=True):
        np.testing.assert_array_equal(found >= rate, there)
    assert (found <= members.max(0)).all() and ((found == 0) | (found >= RATES[0])).all()


def test_even_odds_give_the_median_of_an_odd_number_of_members():
    members = np.random.default_rng(1).gamma(0.5, 3.0, (7, 500)).astype(np.float32)
    median = np.median(members, axis=0)
    np.testing.assert_array_equal(detected(members, EVEN), np.where(median >= RATES[0], median, 0))


def drawn(days=40, members=16):
    """Rain whose probability at each pixel is known: members and radar of the same law, rates of one mean each."""
    rng = np.random.default_rng(3)
    mean = rng.gamma(0.7, 1.0, (days, 1, 30, 30))
    made = rng.exponential(1.0, (days, members + 1, 30, 30)) * mean
    return torch.from_numpy(made[:, :-1]).float(), torch.from_numpy(made[:, -1]).float()


def index(called, rains):
    return (called & rains).sum() / (called | rains).sum()


def test_the_odds_found_score_best_on_other_days():
    members, radar = drawn()
    odds = best_odds(members[:20], radar[:20])
    assert (np.diff(odds) <= 0).all() and 0.02 < odds[-1] < odds[0] < 0.5
    flat = np.moveaxis(members[20:].numpy(), 1, 0).reshape(16, -1)
    truth = radar[20:].numpy().ravel()
    field, mean, median = detected(flat, odds), flat.mean(0), np.median(flat, axis=0)
    for rate in (0.1, 1.0, 3.0):
        rains = truth >= rate
        scores = [index(flat_field >= np.float32(rate), rains) for flat_field in (field, mean, median, flat[0])]
        every = [index((flat >= rate).mean(0) >= k / 16, rains) for k in range(1, 17)]
        assert scores[0] >= max(scores[1:]) - 1e-3, rate
        assert scores[0] == pytest.approx(max(every), abs=0.01), rate


def test_rates_too_rare_to_tell_go_with_the_next_lower_one_and_what_is_missing_counts_nowhere():
    members, radar = drawn()
    kept = best_odds(members, radar.clamp(max=2.0))
    beyond = RATES > 2.0
    assert len(set(kept[beyond].tolist())) == 1 and kept[beyond][0] == kept[~beyond][-1]
    holes = radar.clone()
    holes[:, :10] = torch.nan
    np.testing.assert_array_equal(best_odds(members, holes), best_odds(members[..., 10:, :], radar[..., 10:, :]))
    np.testing.assert_array_equal(best_odds(members, torch.zeros_like(radar)), EVEN)
