"""Diffusions: noise schedules, steps from noise to data, and what a network is asked for.

Two families. A discrete chain [1]_ keeps a share of the data, ``x_k = sqrt(a_k) x_0 + sqrt(1 - a_k) noise``; here
`a_k` is called the signal, 1 for clean data. The other [4]_ adds noise, ``x = x_0 + sigma noise``, and follows
``dx/dsigma = (x - D(x, sigma)) / sigma`` down to ``sigma = 0``, with D the best guess of the data.

References
----------
.. [1] J. Ho, A. Jain and P. Abbeel, Denoising diffusion probabilistic models, NeurIPS 2020.
.. [2] A. Nichol and P. Dhariwal, Improved denoising diffusion probabilistic models, ICML 2021.
.. [3] J. Song, C. Meng and S. Ermon, Denoising diffusion implicit models, ICLR 2021.
.. [4] T. Karras et al., Elucidating the design space of diffusion-based generative models, NeurIPS 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ondee.generative.flow import Evaluation

__all__ = [
    "ancestral",
    "cosine_betas",
    "ddim",
    "denoised",
    "karras_levels",
    "level_evaluations",
    "log_normal",
    "noised",
    "scalings",
    "signals",
    "strided",
]

_OFFSET = 0.008
"""Shift of the cosine schedule, so that its first steps are not too small ([2]_, below Eq. 17)."""


# ---- discrete chains


def cosine_betas(steps: int, most: float = 0.999) -> Tensor:
    """Variances of the noise added at each step of the cosine schedule ([2]_, Eq. 17).

    Parameters
    ----------
    steps
        Number of steps.
    most
        Where they are cut; the last would be 1, and leave nothing to go back from.

    Returns
    -------
    Tensor
        ``(steps,)``, float64.

    Examples
    --------
    >>> betas = cosine_betas(500, 0.8)
    >>> float(betas.max()), bool((betas.diff() >= 0).all())
    (0.8, True)
    """
    share = torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = torch.cos((share + _OFFSET) / (1 + _OFFSET) * math.pi / 2).square()
    return (1 - kept[1:] / kept[:-1]).clamp(0.0, most)


def signals(betas: Tensor) -> Tensor:
    """Share of the data's variance that is left after each step ([1]_, Eq. 4: the product of ``1 - beta``)."""
    return torch.cumprod(1 - betas, 0)


def strided(total: int, count: int) -> list[int]:
    """`count` steps of `total`, from the last to the first, as evenly as whole numbers go.

    Examples
    --------
    >>> strided(500, 6)
    [499, 399, 299, 200, 100, 0]
    >>> strided(4, 4), strided(500, 1)
    ([3, 2, 1, 0], [499])
    """
    if count == 1:
        return [total - 1]
    return [round((total - 1) * (count - 1 - number) / (count - 1)) for number in range(count)]


def noised(clean: Tensor, noise: Tensor, signal: Tensor | float) -> Tensor:
    """Data with noise at a signal ([1]_, Eq. 4); the three broadcast."""
    signal = torch.as_tensor(signal, dtype=clean.dtype, device=clean.device)
    return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def denoised(noisy: Tensor, noise: Tensor, signal: Tensor | float) -> Tensor:
    """The data that, with this noise, would be `noisy`: undoes :func:`noised`."""
    signal = torch.as_tensor(signal, dtype=noisy.dtype, device=noisy.device)
    return (noisy - (1 - signal).sqrt() * noise) / signal.sqrt()


def ancestral(noisy: Tensor, clean: Tensor, signal: float, after: float, noise: Tensor) -> Tensor:
    """One random step back: a draw of what was before, were `clean` the data ([1]_, Eq. 6 and 7).

    Parameters
    ----------
    noisy, clean
        Where the chain is, and the guess of the data there.
    signal, after
        Of the chain here and one step back, ``signal < after``; steps may be skipped. 1 for clean data.
    noise
        Standard normal.
    """
    kept = signal / after
    lost = 1 - signal
    mean = math.sqrt(after) * (1 - kept) / lost * clean + math.sqrt(kept) * (1 - after) / lost * noisy
    return mean + math.sqrt((1 - kept) * (1 - after) / lost) * noise


def ddim(noisy: Tensor, clean: Tensor, signal: float, after: float) -> Tensor:
    """One step back without new noise: the noise that is there is made smaller ([3]_, Eq. 12 with sigma = 0).

    Parameters
    ----------
    noisy, clean
        Where the chain is, and the guess of the data there.
    signal, after
        Of the chain here and after the step.
    """
    noise = (noisy - math.sqrt(signal) * clean) / math.sqrt(1 - signal)
    return math.sqrt(after) * clean + math.sqrt(1 - after) * noise


# ---- noise that is added


def karras_levels(steps: int, least: float = 0.002, most: float = 80.0, bend: float = 7.0) -> list[float]:
    """Levels of noise from `most` down to `least`, then 0 ([4]_, Eq. 5); short steps where noise is small.

    Parameters
    ----------
    steps
        Number of steps: one less than there are levels.
    least, most
        Smallest and largest deviation of the noise, in deviations of the data.
    bend
        Exponent rho: 1 for even steps.

    Examples
    --------
    >>> [round(level, 3) for level in karras_levels(4)]
    [80.0, 9.723, 0.47, 0.002, 0.0]
    """
    if steps == 1:
        return [most, 0.0]
    high, low = most ** (1 / bend), least ** (1 / bend)
    return [(high + number / (steps - 1) * (low - high)) ** bend for number in range(steps)] + [0.0]


def log_normal(normal: Tensor, centre: float, width: float) -> Tensor:
    """Levels of noise to learn at, from standard normal numbers ([4]_, Table 1)."""
    return torch.exp(centre + width * normal)


def scalings(level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Factors such that ``D(x) = skip x + made network(seen x)`` asks a network for unit variance from unit variance.

    Those of [4]_, Table 1, for data of variance 1. The squared error of D weighted by ``1 / made^2``, its `lambda`, is
    the squared error of the network.

    Parameters
    ----------
    level
        Deviation of the noise, in deviations of the data.

    Returns
    -------
    tuple of Tensor
        `skip`, `made` and `seen`, in the shape of `level`.
    """
    whole = level.square() + 1
    return 1 / whole, level * whole.rsqrt(), whole.rsqrt()


def level_evaluations(solver: str, levels: Sequence[float]) -> list[Evaluation]:
    """The evaluations of ``dx/dsigma`` that carry ``field`` down the levels ([4]_, Algorithm 1 for Heun's method).

    Parameters
    ----------
    solver
        ``euler``, or ``heun``: two evaluations a step but for the last, which ends where the slope is not defined.
    levels
        Falling, the last 0.
    """
    made: list[Evaluation] = []
    for start, end in pairwise(levels):
        made += _heun(start, end) if solver == "heun" and end > 0 else _euler(start, end)
    return made


def _euler(start: float, end: float) -> list[Evaluation]:
    return [
        Evaluation(
            start,
            lambda states: states["field"],
            lambda states, slope: {"field": states["field"] + (end - start) * slope},
        )
    ]


def _heun(start: float, end: float) -> list[Evaluation]:
    return [
        Evaluation(start, lambda states: states["field"], lambda states, slope: {"slope": slope}),
        Evaluation(
            end,
            lambda states: states["field"] + (end - start) * states["slope"],
            lambda states, slope: {"field": states["field"] + (end - start) / 2 * (states["slope"] + slope)},
        ),
    ]
