"""Topographic latents: what shares a scale, the law that follows, and what a roll does."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from ondee.errors import ConfigError
from ondee.topographic.coherence import Coherence
from ondee.topographic.topography import Topography, TopographySettings, rolled
from test_topographic_coherence import neighbours


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def topography(places=(6,), capsules=2, *, normalised=False, centre=30.0, centres="one", **coherence):
    shared = Coherence(**coherence) if coherence else None
    return Topography(
        TopographySettings(
            capsules=capsules,
            dimensions=places,
            coherence=shared,
            centre=centre,
            centres=centres,
            normalised=normalised,
        )
    )


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def summed(squares, coherence, speed):
    """Weighted sum of the neighbours of each latent ``(S, D)``, and the weight of those that are there."""
    length, places = squares.shape
    found, weights = np.zeros((2, length, places))
    for line, j, ((a, b), weight) in itertools.product(
        range(length), range(places), neighbours(coherence, speed).items()
    ):
        at = line + a if coherence.time == "open" else (line + a) % length
        there = j + b if coherence.capsule == "open" else (j + b) % places
        if 0 <= at < length and 0 <= there < places:
            found[line, j] += weight * squares[at, there]
            weights[line, j] += weight
    return found, weights


# ---- the shared scale

BANDS = {
    "published, 1/2": {"frames": 18, "width": 3},
    "published, 13/36": {"frames": 13, "width": 3},
    "published, 1/3, width 1": {"frames": 10, "width": 1},
    "odd, width 1": {"frames": 5, "width": 1},
    "bubble 5 by 3": {"shape": "bubble", "frames": 5, "width": 3},
    "bubble 5 by 5": {"shape": "bubble", "frames": 5, "width": 5},
    "no coherence in time": {"frames": 1, "width": 3},
    "causal": {"frames": 6, "width": 3, "causal": True},
    "open time": {"frames": 6, "width": 3, "time": "open"},
    "open capsules": {"frames": 5, "width": 3, "capsule": "open"},
    "open and causal": {"frames": 4, "width": 3, "causal": True, "time": "open", "capsule": "open"},
    "backwards": {"frames": 5, "width": 3, "speeds": (-1.0,)},
    "four speeds": {"frames": 6, "width": 3, "speeds": (0.0, 0.5, 1.0, 2.0)},
    "four speeds, open": {"frames": 7, "width": 3, "speeds": (0.0, 0.5, 1.0, 2.0), "time": "open", "capsule": "open"},
}


@pytest.mark.parametrize("sizes", [(7, 7), (5, 9), (9, 5)], ids=str)
@pytest.mark.parametrize(
    ("name", "normalised"),
    [(name, normalised) for name in BANDS for normalised in (False, True) if normalised or "open" not in name],
)
def test_the_scale_sums_the_neighbours_one_by_one(name, sizes, normalised):
    length, places = sizes
    made = topography((places,), 8, normalised=normalised, **BANDS[name])
    squares = normal(2, length, 8, places).square()
    found = made.variance(squares)
    coherence = made.settings.coherence
    speeds = coherence.speeds if coherence.shape == "shifting" else (1.0,)
    for capsule in (0, 1, 2, 5, 7):
        wanted, weights = summed(squares[1, :, capsule].numpy(), coherence, speeds[capsule * len(speeds) // 8])
        wanted = wanted / weights if normalised else wanted
        np.testing.assert_allclose(found[1, :, capsule], wanted, rtol=1e-6)


def test_the_block_of_a_torus_sums_five_by_five():
    made = topography((18, 18), 1, shape="bubble", frames=1, width=5)
    squares = normal(2, 1, 1, 18, 18).square()
    shifts = itertools.product(range(-2, 3), repeat=2)
    wanted = sum(torch.roll(squares, shift, (-2, -1)) for shift in shifts)
    torch.testing.assert_close(made.variance(squares.flatten(-2)), wanted.flatten(-2))


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 9),
    width=st.sampled_from((1, 3, 5)),
    speeds=st.sampled_from(((1.0,), (0.0, 0.5), (2.0, -1.0))),
    causal=st.booleans(),
    shape=st.sampled_from(("shifting", "bubble")),
    steps=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
)
def test_on_circles_the_scale_moves_with_the_latents(frames, width, speeds, causal, shape, steps):
    made = topography((7,), 2, shape=shape, frames=frames, width=width, speeds=speeds, causal=causal)
    squares = normal(1, 5, 2, 7, seed=frames).square()
    torch.testing.assert_close(
        made.variance(squares.roll(steps, (1, 3))), made.variance(squares).roll(steps, (1, 3)), rtol=1e-12, atol=1e-12
    )


def test_capsules_and_samples_share_nothing_with_each_other():
    made = topography((6,), 4, frames=5, width=3)
    squares = normal(2, 7, 4, 6).square()
    changed = squares.clone()
    changed[1, :, 2] += 1
    moved = (made.variance(changed) != made.variance(squares)).any(-1).any(1)
    assert moved.tolist() == [[False] * 4, [False, False, True, False]]


def test_latents_are_what_the_formula_says():
    made = topography((6,), 2, centre=3.0, frames=5, width=3).double()
    z, u = normal(2, 7, 2, 6), normal(2, 7, 2, 6, seed=1)
    wanted = (z + 3.0) / torch.sqrt(made.variance(u.square()) + 1e-6)
    torch.testing.assert_close(made(z, u), wanted)
    torch.testing.assert_close(made.expected(z, u.square()), wanted)


def test_each_capsule_may_have_a_centre_of_its_own():
    one, each = (topography((6,), 3, centre=5.0, centres=kind, frames=3, width=3) for kind in ("one", "each"))
    assert [entry.shape for entry in one.parameters()] == [(1, 1)]
    assert [entry.shape for entry in each.parameters()] == [(3, 1)]
    z, u = normal(1, 4, 3, 6).float(), normal(1, 4, 3, 6, seed=1).float()
    assert torch.equal(one(z, u), each(z, u))
    with torch.no_grad():
        each.centre[1] = 7.0
    moved = (each(z, u) != one(z, u)).flatten(0, 1).any(-1).any(0)
    assert moved.tolist() == [False, True, False]


def test_without_coherence_latents_are_plain():
    made = topography()
    z = normal(1, 4, 2, 6)
    assert not made.is_topographic and not list(made.parameters())
    assert made(z) is z and made.expected(z, None) is z
    with pytest.raises(ConfigError, match="share no scale"):
        made.variance(z)


def test_topographic_latents_need_u():
    with pytest.raises(ConfigError, match="need u"):
        topography(frames=3)(normal(1, 4, 2, 6))


def test_what_was_first_used_in_inference_can_be_learnt_through():
    made = topography(frames=3, width=3)
    z, u = normal(1, 4, 2, 6), normal(1, 4, 2, 6, seed=1)
    with torch.inference_mode():
        made(z, u)
    u.requires_grad_(True)
    made(z, u).sum().backward()
    assert float(u.grad.abs().min()) > 0 and float(made.centre.grad) != 0


def test_the_weights_that_are_kept_are_no_part_of_the_state():
    made = topography(frames=3, width=3)
    made.variance(normal(1, 4, 2, 6))
    assert list(made.state_dict()) == ["centre"]
    torch.testing.assert_close(copy.deepcopy(made).variance(normal(1, 4, 2, 6)), made.variance(normal(1, 4, 2, 6)))


# ---- the law


@pytest.mark.parametrize(
    ("coherence", "degrees"),
    [
        ({"frames": 3, "width": 1}, 3),
        ({"frames": 1, "width": 3}, 3),
        ({"frames": 5, "width": 3}, 13),
        ({"shape": "bubble", "frames": 5, "width": 5}, 25),
    ],
)
def test_latents_of_the_prior_have_the_law_of_student(coherence, degrees):
    count = 20_000
    made = topography((9,), 1, normalised=True, centre=0.0, **coherence)
    z, u = (normal(count, 9, 1, 9, seed=seed).float() for seed in (2, 3))
    drawn = made(z, u).detach()[:, 4, 0, 4].numpy()
    assert stats.kstest(drawn, stats.t(degrees).cdf).pvalue > 1e-3
    # The test can tell one law from its neighbours.
    assert stats.kstest(drawn, stats.t(1 if degrees == 3 else 4).cdf).pvalue < 1e-3
    wanted = stats.t(degrees).ppf([0.01, 0.25, 0.75, 0.99])
    density = stats.t(degrees).pdf(wanted)
    error = np.sqrt(np.array([0.01, 0.25, 0.25, 0.01]) * [0.99, 0.75, 0.75, 0.99] / count) / density
    assert (np.abs(np.quantile(drawn, [0.01, 0.25, 0.75, 0.99]) - wanted) < 4 * error).all()


def test_latents_with_twenty_five_neighbours_have_the_kurtosis_of_student():
    made = topography((5,), 1, normalised=True, centre=0.0, shape="bubble", frames=5, width=5)
    z, u = (normal(50_000, 5, 1, 5, seed=seed).float() for seed in (4, 5))
    drawn = made(z, u).detach()[:, 2, 0, 2].double().numpy()
    error = np.sqrt(24 / 50_000)  # of the kurtosis of a Gaussian; here a little more
    assert stats.kurtosis(drawn) == pytest.approx(6 / 21, abs=5 * error)
    assert drawn.var() == pytest.approx(25 / 23, abs=5 * np.sqrt((2 + 6 / 21) / 50_000) * 25 / 23)


# ---- rolls


def test_a_roll_by_whole_places_is_that_of_torch():
    latents = normal(2, 4, 3, 7)
    for step in (-9, -7, -1, 0, 1, 3, 7, 12):
        assert torch.equal(rolled(latents, (7,), (step,)), latents.roll(step, -1))


def test_a_roll_by_half_a_place_is_the_mean_of_two():
    latents = normal(2, 7)
    torch.testing.assert_close(rolled(latents, (7,), (0.5,)), (latents + latents.roll(1, -1)) / 2)
    torch.testing.assert_close(rolled(latents, (7,), (-0.25,)), 0.75 * latents + 0.25 * latents.roll(-1, -1))


def test_a_roll_on_a_torus_moves_along_both_axes():
    latents = normal(2, 3, 20)
    grid = latents.reshape(2, 3, 4, 5)
    assert torch.equal(rolled(latents, (4, 5), (1, -2)), grid.roll((1, -2), (-2, -1)).flatten(-2))
    along = (grid.roll(1, -2) + grid.roll((1, 1), (-2, -1))) / 2
    torch.testing.assert_close(rolled(latents, (4, 5), (1, 0.5)), along.flatten(-2))
    made = topography((4, 5), 3, frames=3, width=3)
    assert torch.equal(made.roll(latents, 2), grid.roll(2, -1).flatten(-2))


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(-20, 20), speeds=st.sampled_from(((1.0,), (0.0, 1.0), (2.0, -1.0), (3.0, 0.0))))
def test_rolling_back_undoes_a_roll_by_whole_places(frames, speeds):
    made = topography((7,), 4, frames=3, speeds=speeds)
    latents = normal(2, 3, 4, 7)
    assert torch.equal(made.roll(made.roll(latents, frames), -frames), latents)
    assert torch.equal(made.roll(made.roll(latents, frames), 2), made.roll(latents, frames + 2))


def test_each_group_rolls_by_its_own_speed():
    made = topography((7,), 8, frames=3, speeds=(0.0, 0.5, 1.0, 2.0))
    latents = normal(3, 8, 7)
    moved = made.roll(latents, 3)
    assert torch.equal(moved[:, :2], latents[:, :2])
    torch.testing.assert_close(moved[:, 2:4], (latents[:, 2:4].roll(1, -1) + latents[:, 2:4].roll(2, -1)) / 2)
    assert torch.equal(moved[:, 4:6], latents[:, 4:6].roll(3, -1))
    assert torch.equal(moved[:, 6:], latents[:, 6:].roll(6, -1))


@pytest.mark.parametrize("coherence", [{}, {"shape": "bubble", "frames": 5, "speeds": (0.0,)}])
def test_latents_without_a_movement_of_their_own_roll_by_one(coherence):
    latents = normal(3, 2, 6)
    assert torch.equal(topography(**coherence).roll(latents, 2), latents.roll(2, -1))


def open_capsules(speed=1.0, places=(4,)):
    return topography(
        places, 1, normalised=True, centre=9.0, frames=3, capsule="open", time="open", speeds=(speed,)
    ).double()


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        (0, [1, 2, 3, 50]),
        (1, [9, 1, 2, 3]),
        (3, [9, 9, 9, 1]),
        (4, [9, 9, 9, 9]),
        (11, [9, 9, 9, 9]),
        (-1, [2, 3, 50, 9]),
        (-6, [9, 9, 9, 9]),
        (0.5, [5, 1.5, 2.5, 26.5]),
        (-0.5, [1.5, 2.5, 26.5, 29.5]),
        (1.5, [9, 5, 1.5, 2.5]),
    ],
)
def test_what_enters_an_open_capsule_rests_at_the_centre(frames, wanted):
    latents = torch.tensor([[1.0, 2.0, 3.0, 50.0]], dtype=torch.float64)
    assert open_capsules().roll(latents, frames)[0].tolist() == pytest.approx(wanted, abs=1e-12)
    assert open_capsules(0.5).roll(latents, 2 * frames)[0].tolist() == pytest.approx(wanted, abs=1e-12)


def test_what_enters_an_open_capsule_of_two_axes_rests_at_the_centre():
    latents = torch.arange(6.0, dtype=torch.float64)[None]
    made = open_capsules(speed=(1.0, -1.0), places=(2, 3))
    assert made.roll(latents, 1)[0].tolist() == [9, 9, 9, 1, 2, 9]


def test_the_entering_value_of_an_open_capsule_is_learnt():
    made = open_capsules()
    made.roll(torch.zeros(1, 4, dtype=torch.float64), 3).sum().backward()
    assert float(made.centre.grad) == 3


# ---- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"capsules": 5, "coherence": {"speeds": (0.0, 1.0)}},
        {"coherence": {"time": "open"}},
        {"coherence": {"capsule": "open"}},
        {"coherence": {"speeds": ((1.0, 1.0),)}},
        {"dimensions": (2, 3, 4)},
        {"dimensions": ()},
        {"centres": "both"},
    ],
    ids=str,
)
def test_latents_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        TopographySettings(**wrong)


# ---- registers

REGISTER = {
    "capsules": 4,
    "dimensions": (5,),
    "coherence": {"frames": 2, "width": 1, "speeds": (0, 1), "capsule": "open", "time": "open"},
    "normalised": True,
    "carried": True,
}


def register(**changes):
    return Topography(TopographySettings.model_validate({**REGISTER, **changes}))


def test_a_register_holds_what_entered_before_and_moved_on():
    made = register()
    values = torch.arange(2 * 4 * 4 * 5.0).reshape(2, 4, 4, 5)
    found = made.carried(values)
    for frame, capsule, place in itertools.product(range(4), range(4), range(5)):
        back = min(frame, place) if capsule >= 2 else 0
        assert torch.equal(found[:, frame, capsule, place], values[:, frame - back, capsule, place - back])


def test_only_what_enters_a_register_is_drawn_anew():
    entered = register().entered(3)
    assert entered[:, :2].all()
    assert entered[0].all()
    assert entered[1:, 2:, 0].all()
    assert not entered[1:, 2:, 1:].any()


def test_a_register_of_two_places_a_frame_takes_in_two():
    made = register(capsules=1, coherence={**REGISTER["coherence"], "speeds": (2,)})
    values = torch.arange(15.0).reshape(1, 3, 1, 5)
    assert made.carried(values)[0, :, 0].tolist() == [[0, 1, 2, 3, 4], [5, 6, 0, 1, 2], [10, 11, 5, 6, 0]]
    assert made.entered(3)[2, 0].tolist() == [True, True, False, False, False]


def test_rolled_registers_are_those_of_the_next_frame_but_for_what_enters():
    made = register()
    z = made.carried(torch.randn(1, 6, 4, 5))
    assert torch.equal(made._moved(z[:, :-1], 1, is_open=True)[:, :, 2:, 1:], z[:, 1:, 2:, 1:])


@pytest.mark.parametrize(
    "wrong",
    [
        {"coherence": {**REGISTER["coherence"], "capsule": "circular"}},
        {"coherence": {**REGISTER["coherence"], "speeds": (0, 0.5)}},
        {"coherence": {**REGISTER["coherence"], "speeds": (0, -1)}},
        {"coherence": {**REGISTER["coherence"], "shape": "bubble"}},
        {"coherence": None},
        {"dimensions": (3, 3)},
    ],
)
def test_registers_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        TopographySettings.model_validate({**REGISTER, **wrong})


def test_a_wave_goes_on_where_a_register_would_be_empty():
    made = register(entering="wave", coherence={**REGISTER["coherence"], "speeds": (0, 1)}, centre=0.0)
    angle = 0.7 - 0.4 * torch.arange(5.0)
    latents = torch.zeros(1, 1, 4, 5)
    latents[:, :, 0] = 3.0
    latents[0, 0, 2], latents[0, 0, 3] = angle.cos(), angle.sin()
    moved = made.roll(latents, 2)[0, 0]
    assert torch.equal(moved[:2], latents[0, 0, :2])
    assert torch.allclose(moved[2:, 2:], latents[0, 0, 2:, :3])
    assert torch.allclose(moved[2, :2], torch.tensor([0.9**2 * math.cos(0.7 + 0.8), 0.9 * math.cos(0.7 + 0.4)]))
    between = made.roll(latents, 1.5)
    assert torch.allclose(between, 0.5 * (made.roll(latents, 1) + made.roll(latents, 2)))
    assert made.roll(latents, 9).shape == latents.shape
    assert torch.equal(made.roll(latents, 0), latents)


@pytest.mark.parametrize("wrong", [{"carried": False}, {"capsules": 6}])
def test_waves_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        TopographySettings.model_validate({**REGISTER, "entering": "wave", **wrong})
