"""The flow that does not see the images, and the flow in one and two jumps, where their law is known.

Networks give the exact answer, so that only what is done with it is tested.
"""

import functools
import math

import pytest
import torch

from laws import TOY, build, follow, score_of, scored
from ondee.condition import Condition
from ondee.generative.flow import preconditioned
from ondee.generative.noise import Noise
from ondee.retriever import Sampling
from toy import CENTRE, FIELD, PATCHES, SIDE, ExactFlow, ExactRegression, joined, patches, undisguised

SMALL = {"widths": (8, 16)}
SIZE = 0.7
IDENTITY = torch.eye(SIDE**2, dtype=torch.float64)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---- a flow that does not see the images


class Rectified:
    """The law of the flow `pmrf`, in closed form but for one matrix.

    Over all images c, standard normal here, start and rain are both normal and belong together through the image::

        x0 = a A c + k z,   cov x0 = a^2 A A' + k^2
        x1 = A c + e,       cov x1 = A A' + S,         cov(x1, x0) = a A A'

    A velocity that sees the position alone is ``E[x1 - x0 | x_t] = cov(x1 - x0, x_t) P_t^-1 x_t`` with ``P_t`` the
    covariance of ``x_t = (1 - t) x0 + t x1``. As ``cov(x1, x0)`` is symmetric, the first factor is ``P_t' / 2``. The
    flow is linear, from s to t by a matrix M(s, t), and carries the covariance ``P_s`` into ``P_t``: over all images
    the draws are as the rain. For one image they are not its posterior, but normal about ``a M A c`` with covariance
    ``k^2 M M'``: where the mean already looks like rain, little is changed.
    """

    share, kappa = 0.8, 0.6
    mixed = TOY.mixing @ TOY.mixing.T

    @classmethod
    def covariance(cls, time):
        rain, start = cls.mixed + TOY.covariance, cls.share**2 * cls.mixed + cls.kappa**2 * IDENTITY
        return (1 - time) ** 2 * start + time**2 * rain + 2 * time * (1 - time) * cls.share * cls.mixed

    @classmethod
    def velocity(cls, time):
        rain, start = cls.mixed + TOY.covariance, cls.share**2 * cls.mixed + cls.kappa**2 * IDENTITY
        half = time * rain - (1 - time) * start + (1 - 2 * time) * cls.share * cls.mixed
        return half @ torch.linalg.inv(cls.covariance(time))

    @classmethod
    @functools.cache
    def across(cls, begin=0.0, end=1.0, steps=60):
        """M, by the classical Runge-Kutta method."""
        made, length = IDENTITY, (end - begin) / steps
        for number in range(steps):
            at = begin + number * length
            first, middle, last = (cls.velocity(at + part * length) for part in (0, 0.5, 1))
            one = first @ made
            two = middle @ (made + length / 2 * one)
            three = middle @ (made + length / 2 * two)
            made = made + length / 6 * (one + 2 * two + 2 * three + last @ (made + length * three))
        return made

    class Velocity(torch.nn.Module):
        def forward(self, position, time):
            matrix = Rectified.velocity(float(time[0])).float()
            return joined(patches(position) @ matrix.T) / SIZE

    class Jump(torch.nn.Module):
        def forward(self, planes, time):
            begin, length = float(time[0]), float(planes[0, 1, 0, 0])
            matrix = (Rectified.across(begin, begin + length) - IDENTITY).float() / length
            return joined(patches(planes[:, :1]) @ matrix.T) / SIZE


def rectified(solver, steps):
    model = build("flow", source="pmrf", constant=Rectified.kappa, mean=SMALL, **SMALL)
    model.mean.network, model.network = ExactRegression(TOY), Rectified.Velocity()
    model.residual.fill_(SIZE)
    return model, Sampling(solver=solver, steps=steps)


def fast_rectified(steps):
    model = build("flow-fast", flow={"source": "pmrf", "constant": Rectified.kappa, "mean": SMALL, **SMALL})
    model.flow.mean.network, model.network = ExactRegression(TOY), Rectified.Jump()
    model.flow.residual.fill_(SIZE)
    return model, Sampling(solver="euler", steps=steps)


def test_the_matrix_of_the_rectified_flow_carries_covariances_along():
    for begin, end in ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0)):
        moved = Rectified.across(begin, end)
        carried = moved @ Rectified.covariance(begin) @ moved.T
        torch.testing.assert_close(carried, Rectified.covariance(end), atol=1e-6, rtol=1e-6)


RECTIFIED = {
    "euler": lambda: rectified("euler", 200),
    "midpoint": lambda: rectified("midpoint", 20),
    "heun": lambda: rectified("heun", 20),
    "adams": lambda: rectified("adams", 40),
    "one jump": lambda: fast_rectified(1),
    "two jumps": lambda: fast_rectified(2),
}


@pytest.mark.parametrize("case", RECTIFIED)
def test_a_flow_that_sees_no_image_has_its_law_for_one_image_and_that_of_rain_over_all(case):
    model, sampling = RECTIFIED[case]()
    moved = Rectified.across()
    spread = Rectified.kappa**2 * moved @ moved.T
    follow(TOY.drawn(model, sampling), Rectified.share * moved @ TOY.mean, spread)
    # Now an image for each patch, its rain, and members.
    count, members = 48, 4
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(count * PATCHES**2, SIDE**2, generator=generator, dtype=torch.float64)
    rain = images @ TOY.mixing.T + TOY.draws(len(images)) - TOY.mean
    condition = Condition(joined(images).float()[:, None], torch.zeros(count, 0, FIELD, FIELD))
    made = model.eval().sample(condition, Noise(2, range(count), range(members)), sampling)
    draws = torch.stack([patches(made[:, [member]]) for member in range(members)], dim=1).double() - CENTRE
    follow(draws[:, 0], torch.zeros(SIDE**2, dtype=torch.float64), Rectified.mixed + TOY.covariance)
    off = (Rectified.share * moved - IDENTITY) @ TOY.mixing
    between = (off @ off.T).diag() + TOY.covariance.diag()  # of rain about the middle of its members
    zero = torch.zeros(())
    scored(draws, rain, score_of(zero, spread.diag(), zero, between))


def test_one_euler_step_of_a_flow_that_sees_no_image_is_the_best_guess_from_its_start_alone():
    model, sampling = rectified("euler", 1)
    start = Noise(11, (0,), range(5), (0, FIELD), (0, FIELD)).normal("start")
    begun = Rectified.share * TOY.mean + Rectified.kappa * patches(start.transpose(0, 1)).double()
    gain = Rectified.share * Rectified.mixed @ torch.linalg.inv(Rectified.covariance(0.0))
    torch.testing.assert_close(TOY.drawn(model, sampling, members=5), begun @ gain.T, atol=1e-4, rtol=0)


# ---- the flow in one and two jumps


class Jump(torch.nn.Module):
    """Average velocity of the exact flow from a source of kappa K to rain of covariance S, both known to the network.

    Of an independent source, ``P_t = (1 - t)^2 K K + t^2 S`` and the velocity about the mean is ``P' / 2 P^-1``. With
    ``S = K R K`` all ``K^-1 P_t K^-1 = (1 - t)^2 + t^2 R`` have the same eigenvectors, so that the flow from s to t is
    the root of the one over the root of the other.
    """

    def forward(self, planes, time):
        position, start, kappa, scaled, ahead = (patches(planes[:, number, None]) for number in range(-5, 0))
        begin, kappa = float(time[0]), kappa.exp()
        assert (time == begin).all() and (ahead == ahead[0, 0]).all()
        end = begin + float(ahead[0, 0])
        size = kappa[0].double()
        values, vectors = torch.linalg.eigh(TOY.covariance / size[:, None] / size)
        before, after = ((1 - at) ** 2 + at**2 * values for at in (begin, end))
        across = size[:, None] * (vectors * (after / before).sqrt() @ vectors.T) / size
        mean = (patches(planes[:, :1]).double() @ TOY.mixing.T).float()
        centres = [(1 - at) * start + at * mean for at in (begin, end)]
        moved = centres[1] + (position - centres[0]) @ across.T.float()
        skip, scale = preconditioned(scaled, torch.full((len(scaled),), begin))
        return joined(((moved - position) / (end - begin) / kappa - skip) / scale)


def fast(source):
    model = build("flow-fast", flow={"source": source, "mean": SMALL, **SMALL})
    model.flow.mean.network, model.flow.network, model.network = ExactRegression(TOY), ExactFlow(TOY), Jump()
    model.flow.residual.fill_(SIZE)
    undisguised(model.flow)
    return model


@pytest.mark.parametrize("source", ["noise", "residual", "mean"])
def test_a_flow_in_one_or_two_jumps_has_the_exact_posterior_and_the_members_of_the_flow(source):
    model = fast(source)
    slow = TOY.drawn(model.flow, Sampling(solver="midpoint", steps=60), members=6)
    for steps in (1, 2):
        sampling = Sampling(solver="euler", steps=steps)
        draws = TOY.drawn(model, sampling)
        follow(draws, TOY.mean, TOY.covariance)
        ensembles = draws.reshape(-1, 8, SIDE**2)
        scored(ensembles, TOY.draws(len(ensembles)), TOY.deviation / math.sqrt(math.pi))
        torch.testing.assert_close(draws[: len(slow)], slow, atol=0.02, rtol=0)
