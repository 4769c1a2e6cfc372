"""Straight flows: paths, preconditioning, and solvers against a published one and against their order."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.generative import flow
from ondee.retriever.protocol import Sampling

FEW = settings(max_examples=50, deadline=None)
SOLVERS = ("euler", "midpoint", "heun", "adams")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def solve(solver: str, steps: int, velocity, start: torch.Tensor) -> torch.Tensor:
    states = {"field": start}
    for entry in flow.evaluations(solver, steps):
        states |= entry.update(states, velocity(entry.time, entry.position(states)))
    return states["field"]


def curved(time, position):
    """A velocity that is linear neither in time nor in place."""
    return torch.sin(3 * position) + 2 * time**2 - position * time


# ---- paths


@FEW
@given(time=st.floats(0, 1))
def test_a_path_is_straight_from_source_to_target(time):
    source, target = normal(2, 1, 3, 3), normal(2, 1, 3, 3, seed=1)
    made = flow.between(source, target, torch.tensor([time, 0.0], dtype=torch.float64))
    torch.testing.assert_close(made[0], source[0] + time * (target - source)[0])
    torch.testing.assert_close(made[1], source[1])


def test_times_are_most_frequent_in_the_middle():
    times = flow.logit_normal(normal(50000))
    assert ((times > 0) & (times < 1)).all()
    assert float(times.median()) == pytest.approx(0.5, abs=0.01)
    middle = ((times > 0.4) & (times < 0.6)).double().mean()
    assert float(middle) == pytest.approx(math.erf(math.log(0.6 / 0.4) / math.sqrt(2)), abs=0.01)


@FEW
@given(time=st.floats(0, 1))
def test_a_network_is_asked_for_unit_variance_that_no_linear_guess_knows(time):
    # Weights on source and target, both of variance 1, of what is left of the velocity after the skip.
    share = torch.tensor([time], dtype=torch.float64)
    weights = []
    for source, target in ((1.0, 0.0), (0.0, 1.0)):
        position = torch.full((1, 1), (1 - time) * source + time * target, dtype=torch.float64)
        skip, scale = flow.preconditioned(position, share)
        weights.append(float((target - source - skip) / scale))
    assert weights[0] ** 2 + weights[1] ** 2 == pytest.approx(1)
    assert weights[0] * (1 - time) + weights[1] * time == pytest.approx(0, abs=1e-9)


# ---- solvers


@pytest.mark.parametrize(("solver", "method"), [("euler", "euler"), ("midpoint", "midpoint"), ("heun", "heun2")])
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_solvers_agree_with_torchdiffeq(solver, method, steps):
    torchdiffeq = pytest.importorskip("torchdiffeq")
    start = normal(5, 4)
    grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    expected = torchdiffeq.odeint(curved, start, grid, method=method)[-1]
    torch.testing.assert_close(solve(solver, steps, curved, start), expected)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("adams", 2)])
def test_the_order_of_the_solvers(solver, order):
    # dx/dt = -2 t x has the solution x(0) exp(-t^2).
    start = torch.ones(1, dtype=torch.float64)
    errors = [
        abs(float(solve(solver, steps, lambda time, position: -2 * time * position, start)) - math.exp(-1))
        for steps in (32, 64, 128)
    ]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize("solver", SOLVERS)
@FEW
@given(steps=st.integers(1, 20))
def test_a_straight_flow_needs_one_step(solver, steps):
    start, way = normal(6), normal(6, seed=1)
    torch.testing.assert_close(solve(solver, steps, lambda time, position: way, start), start + way)


@pytest.mark.parametrize("solver", SOLVERS)
def test_evaluations_lie_in_time_and_are_counted(solver):
    times = [entry.time for entry in flow.evaluations(solver, 4)]
    assert len(times) == {"euler": 4, "midpoint": 8, "heun": 8, "adams": 5}[solver]
    assert len(times) == Sampling(solver=solver, steps=4).evaluations
    assert times[0] == 0 and times == sorted(times)
    assert max(times) == {"euler": 0.75, "midpoint": 0.875, "heun": 1.0, "adams": 0.75}[solver]


def test_adams_looks_back_at_one_velocity():
    # Midpoint to 1/3, then x + h (3 f - f_before) / 2 at 1/3 and 2/3.
    start = normal(5)
    half = start + curved(0, start) / 6
    first = start + curved(1 / 6, half) / 3
    second = first + (1.5 * curved(1 / 3, first) - 0.5 * curved(0, start)) / 3
    third = second + (1.5 * curved(2 / 3, second) - 0.5 * curved(1 / 3, first)) / 3
    torch.testing.assert_close(solve("adams", 3, curved, start), third)


def test_one_euler_step_from_an_independent_source_is_the_mean():
    # Data of mean 2: at time 0 the velocity is E[x1] - x.
    start = normal(100)
    made = solve("euler", 1, lambda time, position: 2.0 - position, start)
    torch.testing.assert_close(made, torch.full_like(made, 2.0))


def test_many_steps_carry_noise_into_the_law_of_the_data():
    # Data of mean 2 and deviation 0.5, source standard normal: the velocity is known.
    def velocity(time: float, position: torch.Tensor) -> torch.Tensor:
        gain = (0.25 * time - (1 - time)) / (0.25 * time**2 + (1 - time) ** 2)
        return 2 + gain * (position - 2 * time)

    start = normal(1000)
    torch.testing.assert_close(solve("heun", 200, velocity, start), 2 + 0.5 * start, atol=1e-3, rtol=0)
