"""Flows along straight paths: interpolation, what a network must predict, and fixed-step solvers.

With source ``x0``, target ``x1`` and ``x_t = (1 - t) x0 + t x1`` the velocity ``v(x, t) = E[x1 - x0 | x_t = x]``
carries the law of x0 into that of x1 [1]_ [2]_. With a source that is independent of the target
``v(x, 0) = E[x1] - x``: one Euler step ends at the mean, whatever the noise.

References
----------
.. [1] Y. Lipman et al., Flow matching for generative modeling, ICLR 2023, Eq. 9 and 20.
.. [2] M. S. Albergo and E. Vanden-Eijnden, Building normalizing flows with stochastic interpolants, ICLR 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Evaluation", "between", "evaluations", "logit_normal", "preconditioned"]


def between(source: Tensor, target: Tensor, time: Tensor) -> Tensor:
    """Point at `time` ``(B,)`` on the straight path from source to target ``(B, …)``."""
    share = time.reshape(-1, *([1] * (source.ndim - 1)))
    return (1 - share) * source + share * target


def logit_normal(normal: Tensor) -> Tensor:
    """Times in 0 to 1 from standard normal numbers: most in the middle, where the velocity is hardest to tell.

    References
    ----------
    P. Esser et al., Scaling rectified flow transformers, ICML 2024, Eq. 19, with location 0 and scale 1.
    """
    return torch.sigmoid(normal)


def preconditioned(position: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Skip and scale such that ``velocity = skip + scale * network`` asks a network for unit variance.

    For source and target that are independent, of mean 0 and variance 1, ``skip`` is the best linear guess of the
    velocity from the position and ``scale`` the deviation of what is left:
    cov(x1 - x0, x_t) = 2 t - 1, var(x_t) = t^2 + (1 - t)^2.

    Parameters
    ----------
    position
        ``(B, …)``.
    time
        ``(B,)``.
    """
    share = time.reshape(-1, *([1] * (position.ndim - 1)))
    variance = share.square() + (1 - share).square()
    return (2 * share - 1) / variance * position, variance.rsqrt()


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a velocity by a solver.

    Parameters
    ----------
    time
        At which time.
    position
        ``position(states)``: where.
    update
        ``update(states, velocity)``: fields that follow from it.
    """

    time: float
    position: Callable[[Mapping[str, Tensor]], Tensor]
    update: Callable[[Mapping[str, Tensor], Tensor], dict[str, Tensor]]


def evaluations(solver: str, steps: int) -> list[Evaluation]:
    """The evaluations that carry ``field`` from time 0 to 1 in equal steps.

    Parameters
    ----------
    solver
        ``euler`` (one a step), ``midpoint`` or ``heun`` (two), ``adams`` (one a step and two in the first).
    steps
        Number of steps.

    References
    ----------
    E. Hairer, S. P. Norsett and G. Wanner, Solving ordinary differential equations I, 1993, Sect. II.1 and III.1
    (Eq. 1.3': Adams and Bashforth's of two steps, after a first one of midpoint).
    """
    length = 1.0 / steps
    made: list[Evaluation] = []
    for number in range(steps):
        first, further = _SOLVERS[solver]
        made += (further if number else first)(number * length, length)
    return made


def _euler(start: float, length: float) -> list[Evaluation]:
    return [Evaluation(start, _field, lambda states, slope: {"field": states["field"] + length * slope})]


def _midpoint(start: float, length: float) -> list[Evaluation]:
    return [
        Evaluation(start, _field, lambda states, slope: {"half": states["field"] + length / 2 * slope}),
        Evaluation(
            start + length / 2,
            lambda states: states["half"],
            lambda states, slope: {"field": states["field"] + length * slope},
        ),
    ]


def _heun(start: float, length: float) -> list[Evaluation]:
    return [
        Evaluation(start, _field, lambda states, slope: {"slope": slope}),
        Evaluation(
            start + length,
            lambda states: states["field"] + length * states["slope"],
            lambda states, slope: {"field": states["field"] + length / 2 * (states["slope"] + slope)},
        ),
    ]


def _adams_first(start: float, length: float) -> list[Evaluation]:
    half, whole = _midpoint(start, length)
    return [replace(half, update=lambda states, slope: {**half.update(states, slope), "slope": slope}), whole]


def _adams(start: float, length: float) -> list[Evaluation]:
    def update(states: Mapping[str, Tensor], slope: Tensor) -> dict[str, Tensor]:
        return {"field": states["field"] + length * (1.5 * slope - 0.5 * states["slope"]), "slope": slope}

    return [Evaluation(start, _field, update)]


def _field(states: Mapping[str, Tensor]) -> Tensor:
    return states["field"]


_Step = Callable[[float, float], list[Evaluation]]
_SOLVERS: dict[str, tuple[_Step, _Step]] = {
    "euler": (_euler, _euler),
    "midpoint": (_midpoint, _midpoint),
    "heun": (_heun, _heun),
    "adams": (_adams_first, _adams),
}
"""The first step and any further one."""
