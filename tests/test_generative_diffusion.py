"""Diffusions: schedules, steps back, and what a network is asked for; laws and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.generative import diffusion

FEW = settings(max_examples=50, deadline=None)

shares = st.floats(1e-4, 0.999)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


# ---- schedules


def test_the_cosine_schedule_is_that_of_the_paper():
    betas = diffusion.cosine_betas(500, 0.8)
    signal = diffusion.signals(betas)

    def kept(step: int) -> float:
        return math.cos((step / 500 + 0.008) / 1.008 * math.pi / 2) ** 2

    assert betas.dtype == torch.float64 and betas.shape == (500,)
    for step in (0, 1, 250, 450):
        assert float(betas[step]) == pytest.approx(1 - kept(step + 1) / kept(step))
        assert float(signal[step]) == pytest.approx(kept(step + 1) / kept(0))
    assert float(betas.max()) == 0.8
    assert int((betas == 0.8).sum()) == 1  # of 500 steps, the last alone is cut
    assert float(diffusion.cosine_betas(500)[-1]) == 0.999


@FEW
@given(steps=st.integers(2, 1000), most=st.floats(0.5, 0.999))
def test_a_chain_loses_its_signal_step_by_step(steps, most):
    betas = diffusion.cosine_betas(steps, most)
    signal = diffusion.signals(betas)
    assert (betas > 0).all() and (betas <= most).all()
    assert (signal.diff() < 0).all() and 0 < signal[-1] < signal[0] < 1


@FEW
@given(total=st.integers(2, 2000), data=st.data())
def test_strided_steps_run_from_the_last_to_the_first_without_repeats(total, data):
    count = data.draw(st.integers(2, total))
    taken = diffusion.strided(total, count)
    assert len(taken) == count
    assert taken[0] == total - 1 and taken[-1] == 0
    strides = -np.diff(taken)
    assert (strides > 0).all() and strides.max() - strides.min() <= 2


def test_all_steps_and_one_step():
    assert diffusion.strided(7, 7) == [6, 5, 4, 3, 2, 1, 0]
    assert diffusion.strided(7, 1) == [6]


# ---- steps of a chain


@FEW
@given(signal=shares)
def test_denoised_undoes_noised(signal):
    clean, noise = normal(3, 4), normal(3, 4, seed=1)
    noisy = diffusion.noised(clean, noise, signal)
    torch.testing.assert_close(diffusion.denoised(noisy, noise, signal), clean)


def test_noised_takes_one_signal_a_sample():
    clean, noise = normal(2, 1, 3, 3), normal(2, 1, 3, 3, seed=1)
    signal = torch.tensor([0.9, 0.2], dtype=torch.float64)
    made = diffusion.noised(clean, noise, signal[:, None, None, None])
    for number in range(2):
        torch.testing.assert_close(made[number], diffusion.noised(clean[number], noise[number], float(signal[number])))


@FEW
@given(pair=st.tuples(shares, shares).filter(lambda pair: pair[0] < pair[1] * 0.999))
def test_an_ancestral_step_from_the_true_data_gives_the_chain_one_step_back(pair):
    # The step is linear: its weights on the data, on the noise that was there, and on the new noise.
    signal, after = pair
    one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    of_data = diffusion.ancestral(diffusion.noised(one, none, signal), one, signal, after, none)
    of_noise = diffusion.ancestral(diffusion.noised(none, one, signal), none, signal, after, none)
    of_new = diffusion.ancestral(none, none, signal, after, one)
    assert float(of_data) == pytest.approx(math.sqrt(after))
    assert float(of_noise**2 + of_new**2) == pytest.approx(1 - after)
    assert float(of_new) > 0


@pytest.mark.parametrize("step", [1, 7, 250, 499])
def test_an_ancestral_step_is_algorithm_2(step):
    betas = diffusion.cosine_betas(500, 0.8)
    signal = diffusion.signals(betas)
    beta, kept, after = (float(part) for part in (betas[step], signal[step], signal[step - 1]))
    noisy, guess, new = normal(50), normal(50, seed=1), normal(50, seed=2)
    expected = (noisy - beta / math.sqrt(1 - kept) * guess) / math.sqrt(1 - beta)
    expected += math.sqrt((1 - after) / (1 - kept) * beta) * new
    clean = diffusion.denoised(noisy, guess, kept)
    torch.testing.assert_close(diffusion.ancestral(noisy, clean, kept, after, new), expected)


@FEW
@given(pair=st.tuples(shares, shares))
def test_ddim_keeps_the_noise_that_is_there(pair):
    signal, after = pair
    clean, noise = normal(20), normal(20, seed=1)
    made = diffusion.ddim(diffusion.noised(clean, noise, signal), clean, signal, after)
    torch.testing.assert_close(made, diffusion.noised(clean, noise, after))


@FEW
@given(signal=shares)
def test_the_last_step_gives_the_guess_of_the_data(signal):
    noisy, clean, new = normal(9), normal(9, seed=1), normal(9, seed=2)
    torch.testing.assert_close(diffusion.ddim(noisy, clean, signal, 1.0), clean)
    torch.testing.assert_close(diffusion.ancestral(noisy, clean, signal, 1.0, new), clean)


def test_a_whole_chain_with_the_exact_noise_gives_the_law_of_the_data():
    # Data of mean 2 and deviation 0.5: the noise that is expected at a signal is known.
    kept = diffusion.signals(diffusion.cosine_betas(500, 0.8)).tolist()
    field = {"ancestral": normal(20000), "ddim": normal(20000)}
    for step in diffusion.strided(500, 500):
        signal, after = kept[step], kept[step - 1] if step else 1.0
        for name, noisy in field.items():
            left = (noisy - math.sqrt(signal) * 2) / (signal * 0.25 + 1 - signal)
            clean = diffusion.denoised(noisy, math.sqrt(1 - signal) * left, signal)
            if name == "ddim":
                field[name] = diffusion.ddim(noisy, clean, signal, after)
            else:
                field[name] = diffusion.ancestral(noisy, clean, signal, after, normal(20000, seed=step + 1))
    for made in field.values():
        assert float(made.mean()) == pytest.approx(2, abs=0.02)
        assert float(made.std()) == pytest.approx(0.5, rel=0.02)


# ---- noise that is added


@FEW
@given(
    steps=st.integers(2, 60),
    least=st.floats(1e-3, 0.1),
    most=st.floats(5, 200),
    bend=st.floats(1, 12),
)
def test_levels_fall_from_the_largest_to_none(steps, least, most, bend):
    levels = diffusion.karras_levels(steps, least, most, bend)
    assert len(levels) == steps + 1
    assert levels[0] == pytest.approx(most) and levels[-2] == pytest.approx(least) and levels[-1] == 0
    assert (np.diff(levels) < 0).all()
    roots = np.array(levels[:-1]) ** (1 / bend)
    assert np.allclose(np.diff(roots), np.diff(roots)[0])


def test_one_level_is_the_largest():
    assert diffusion.karras_levels(1) == [80.0, 0.0]


def test_levels_to_learn_at_are_log_normal():
    levels = diffusion.log_normal(normal(50000), -0.4, 1.2)
    assert (levels > 0).all()
    assert float(levels.log().mean()) == pytest.approx(-0.4, abs=0.03)
    assert float(levels.log().std()) == pytest.approx(1.2, rel=0.02)


@FEW
@given(level=st.floats(1e-3, 200))
def test_a_network_is_shown_and_asked_for_unit_variance(level):
    skip, made, seen = (float(part) for part in diffusion.scalings(torch.tensor(level, dtype=torch.float64)))
    # With data and noise of variance 1 and level^2, the network's target is (data - skip x) / made.
    of_data, of_noise = (1 - skip) / made, -skip * level / made
    assert seen**2 * (1 + level**2) == pytest.approx(1)
    assert of_data**2 + of_noise**2 == pytest.approx(1)
    # What is asked for is what no linear guess from the input could know.
    assert of_data + of_noise * level == pytest.approx(0, abs=1e-6)


def solve(solver: str, levels: list[float], guess, start: torch.Tensor) -> torch.Tensor:
    states = {"field": start}
    for entry in diffusion.level_evaluations(solver, levels):
        position = entry.position(states)
        states |= entry.update(states, (position - guess(position, entry.time)) / entry.time)
    return states["field"]


@pytest.mark.parametrize("solver", ["euler", "heun"])
@FEW
@given(steps=st.integers(1, 12))
def test_when_the_data_are_one_value_any_number_of_steps_ends_there(solver, steps):
    start = 80 * normal(10)
    made = solve(solver, diffusion.karras_levels(steps), lambda position, level: torch.full_like(position, 3.0), start)
    torch.testing.assert_close(made, torch.full_like(made, 3.0))


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_the_order_of_the_solvers(solver, order):
    # For data of variance 1, x(sigma) is sqrt(1 + sigma^2) times x(0).
    def error(steps: int) -> float:
        levels = diffusion.karras_levels(steps, 0.002, 10.0)
        start = torch.full((1,), math.sqrt(1 + levels[0] ** 2), dtype=torch.float64)
        return abs(float(solve(solver, levels, lambda position, level: position / (1 + level**2), start)) - 1)

    errors = [error(steps) for steps in (64, 128, 256)]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.25)
    assert errors[-1] < 0.02


def test_heun_evaluates_twice_a_step_but_for_the_last():
    levels = diffusion.karras_levels(5)
    times = [entry.time for entry in diffusion.level_evaluations("heun", levels)]
    assert times == [levels[0], levels[1], levels[1], levels[2], levels[2], levels[3], levels[3], levels[4], levels[4]]
    assert [entry.time for entry in diffusion.level_evaluations("euler", levels)] == levels[:-1]
