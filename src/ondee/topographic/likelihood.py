"""How probable observed pixels are, given what a decoder made of the latents; missing ones count for nothing.

================= ======================================= ==========================================================
likelihood        planes of the decoder                   of
================= ======================================= ==========================================================
`bernoulli`       logit                                   grey values in [0, 1], as in the published model
`censored`        mean and spread of 10 log10 R           rain: one Gaussian, all of it below 0.1 mm/h being dry
`hurdle-gamma`    logit of rain, shape, mean              rain: wet or dry, then an excess over 0.1 mm/h
`hurdle-lognormal` logit of rain, mean and spread of log  the same with another law of the excess
================= ======================================= ==========================================================

Densities of wet pixels are per decibel of the rain rate (base measure dB, not mm/h) for all of them, so that their
nats can be compared; dry pixels have probabilities. On quantised rates a narrow law gains nats: the least spreads
differ between the laws and are told with them. The Bernoulli one of grey values is a cross-entropy and no density.

References
----------
T. A. Keller and M. Welling, arXiv 2109.01394 (Bernoulli); J. Tobin, Econometrica 26, 24-36, 1958 (censored Gaussian);
J. G. Cragg, Econometrica 39, 829-844, 1971 (hurdle).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ondee.units import WET

__all__ = ["LIKELIHOODS", "Bernoulli", "Censored", "Hurdle", "Likelihood", "RainLikelihood", "likelihood_of"]

_NEPERS = math.log(10) / 10
"""Natural logarithm in a decibel."""
_HALF_STEP = 0.005
"""Excess over the threshold below which rates are not told apart, mm/h: half of the step on which radars report."""
_HALF_STEP_WIDTH = 10 * math.log10((WET + _HALF_STEP) / WET)
"""The same, dB."""
_LOG_ROOT = 0.5 * math.log(2 * math.pi)


class Likelihood(ABC):
    """Of pixels given the planes of a decoder.

    Every method takes `made` ``(…, planes, H, W)`` and gives fields ``(…, channels, H, W)``.
    """

    planes: ClassVar[int]
    """Planes that a decoder makes for a channel of the image."""
    is_rain: ClassVar[bool] = False
    """Whether pixels are rain rates, mm h-1; grey values otherwise."""

    def log_probability(self, made: Tensor, observed: Tensor) -> Tensor:
        """Nats of each pixel, 0 where it is missing (NaN)."""
        if observed.device.type == "cpu" and bool(torch.isfinite(observed.sum())):  # nothing is missing
            return self._nats(made, observed)
        there = torch.isfinite(observed)
        # A finite value under the mask keeps the gradients of what is masked finite, and zero.
        found = self._nats(made, torch.nan_to_num(observed, nan=0.0, posinf=0.0, neginf=0.0))
        return torch.where(there, found, 0.0)

    @abstractmethod
    def _nats(self, made: Tensor, observed: Tensor) -> Tensor: ...

    @abstractmethod
    def mean(self, made: Tensor) -> Tensor:
        """Expected pixels."""

    @abstractmethod
    def median(self, made: Tensor) -> Tensor:
        """Median of each pixel."""

    @abstractmethod
    def draw(self, made: Tensor, uniform: Tensor) -> Tensor:
        """Pixels from uniform numbers ``(…, channels, H, W)``: the quantile that each number names."""


class RainLikelihood(Likelihood):
    """Of rain rates, mm h-1."""

    is_rain = True

    @abstractmethod
    def wet(self, made: Tensor) -> Tensor:
        """Probability of at least 0.1 mm/h."""


class Bernoulli(Likelihood):
    """Grey values as probabilities of white."""

    planes = 1

    def _nats(self, made: Tensor, observed: Tensor) -> Tensor:
        return -functional.binary_cross_entropy_with_logits(made, observed, reduction="none")

    def mean(self, made: Tensor) -> Tensor:
        """Probability of white."""
        return torch.sigmoid(made)

    def median(self, made: Tensor) -> Tensor:
        """White where it is more likely than not."""
        return (made > 0).to(made.dtype)

    def draw(self, made: Tensor, uniform: Tensor) -> Tensor:
        """White or black."""
        return (uniform >= torch.sigmoid(-made)).to(made.dtype)


class Censored(RainLikelihood):
    """A Gaussian of 10 log10 R of which all below the threshold is dry.

    Parameters
    ----------
    least_spread
        Smallest spread, dB, so that a likelihood of quantised rates cannot grow without bound.
    """

    planes = 2

    def __init__(self, least_spread: float = 0.5) -> None:
        self.least_spread = least_spread
        self.threshold = 10 * math.log10(WET)

    def parameters_of(self, made: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread, dB; planes of 0 mean the threshold itself and ten decibels more than the least."""
        mean, raw = _planes(made, 2)
        mean = self.threshold + 10 * mean
        return mean, self.least_spread + 10 * functional.softplus(raw) / math.log(2)

    def _nats(self, made: Tensor, observed: Tensor) -> Tensor:
        mean, spread = self.parameters_of(made)
        level = 10 * torch.log10(observed.clamp(min=WET))
        off = (level - mean) / spread
        wet = -0.5 * off.square() - spread.log() - _LOG_ROOT
        dry = torch.special.log_ndtr((self.threshold - mean) / spread)
        return torch.where(observed >= WET, wet, dry)

    def mean(self, made: Tensor) -> Tensor:
        """Expected rain rate, mm/h: that of a log-normal law cut at the threshold."""
        mean, spread = self.parameters_of(made)
        mean, spread = mean.double(), spread.double()
        scaled = spread * _NEPERS
        share: Tensor = torch.special.ndtr((mean - self.threshold) / spread + scaled)
        return (torch.exp(mean * _NEPERS + 0.5 * scaled.square()) * share).to(made.dtype)

    def median(self, made: Tensor) -> Tensor:
        """Rain rate that is exceeded with probability one half, mm/h."""
        mean, _ = self.parameters_of(made)
        return torch.where(mean >= self.threshold, torch.exp(mean * _NEPERS).clamp(min=WET), 0.0)

    def wet(self, made: Tensor) -> Tensor:
        """Probability of rain."""
        mean, spread = self.parameters_of(made)
        share: Tensor = torch.special.ndtr((mean - self.threshold) / spread)
        return share

    def draw(self, made: Tensor, uniform: Tensor) -> Tensor:
        """Rain rates, mm/h."""
        mean, spread = self.parameters_of(made)
        level = mean + spread * torch.special.ndtri(uniform.clamp(1e-7, 1 - 1e-7))
        return torch.where(level >= self.threshold, torch.exp(level * _NEPERS).clamp(min=WET), 0.0)


class Hurdle(RainLikelihood):
    """Rain or none; where it rains, an excess over the threshold of a Gamma or a log-normal law.

    Parameters
    ----------
    amount
        Law of the excess.
    """

    planes = 3

    def __init__(self, amount: Literal["gamma", "lognormal"] = "gamma") -> None:
        self.amount = amount

    def _split(self, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logit, first, second = _planes(made, 3)
        return logit, first, second

    def law(self, made: Tensor) -> torch.distributions.Distribution:
        """Law of the excess over the threshold, mm/h."""
        _, first, second = self._split(made)
        size = 0.05 + functional.softplus(second)  # spread of a log-normal law, mean of a Gamma law
        if self.amount == "lognormal":
            return torch.distributions.LogNormal(first, size, validate_args=False)
        shape = 0.05 + functional.softplus(first)
        return torch.distributions.Gamma(shape, shape / size, validate_args=False)

    def _nats(self, made: Tensor, observed: Tensor) -> Tensor:
        logit, _, _ = self._split(made)
        law = self.law(made)
        excess = (observed - WET).clamp(min=_HALF_STEP)
        # Per decibel: dR = R ln(10) / 10 dB. A density may be without bound at no excess: near it, their mean is taken.
        amount = law.log_prob(excess) + torch.log((WET + excess) * _NEPERS)
        least = self._log_share(law) - math.log(_HALF_STEP_WIDTH)
        amount = torch.where(observed - WET >= _HALF_STEP, amount, least)
        return torch.where(observed >= WET, functional.logsigmoid(logit) + amount, functional.logsigmoid(-logit))

    def _log_share(self, law: Any) -> Tensor:
        """Log probability of an excess of less than half a step."""
        if isinstance(law, torch.distributions.LogNormal):
            below: Tensor = torch.special.log_ndtr((math.log(_HALF_STEP) - law.loc) / law.scale)
            return below
        assert isinstance(law, torch.distributions.Gamma)
        # The series of the incomplete Gamma function, which has a gradient with respect to the shape; as the mean is
        # at least ten half steps, each term is less than a tenth of the one before.
        scaled = law.rate * _HALF_STEP
        term = total = torch.ones_like(scaled)
        for number in range(1, 9):
            term = term * scaled / (law.concentration + number)
            total = total + term
        shape = law.concentration
        return shape * scaled.log() - scaled - torch.lgamma(shape + 1) + total.log()

    def wet(self, made: Tensor) -> Tensor:
        """Probability of rain."""
        return torch.sigmoid(self._split(made)[0])

    def mean(self, made: Tensor) -> Tensor:
        """Expected rain rate, mm/h."""
        law = self.law(made)
        return self.wet(made) * (WET + law.mean)

    def median(self, made: Tensor) -> Tensor:
        """Rain rate that is exceeded with probability one half, mm/h."""
        return self.draw(made, torch.full_like(self.wet(made), 0.5))

    def draw(self, made: Tensor, uniform: Tensor) -> Tensor:
        """Rain rates, mm/h."""
        wet = self.wet(made)
        share = ((uniform - (1 - wet)) / wet.clamp(min=1e-7)).clamp(1e-6, 1 - 1e-6)
        return torch.where(uniform >= 1 - wet, WET + self._quantile(made, share), 0.0)

    def _quantile(self, made: Tensor, share: Tensor) -> Tensor:
        law: Any = self.law(made)
        if isinstance(law, torch.distributions.LogNormal):
            quantile: Tensor = law.icdf(share)  # type: ignore[no-untyped-call]
            return quantile
        assert isinstance(law, torch.distributions.Gamma)
        return _gamma_quantile(law.concentration, share) / law.rate


def _planes(made: Tensor, count: int) -> tuple[Tensor, ...]:
    """Planes of the decoder, each ``(…, channels, H, W)``."""
    *before, planes, height, width = made.shape
    return made.reshape(*before, planes // count, count, height, width).unbind(-3)


def _gamma_quantile(shape: Tensor, share: Tensor) -> Tensor:
    """Quantile of the Gamma law of scale 1, by SciPy; no gradient goes through it."""
    from scipy.special import gammaincinv

    found = gammaincinv(shape.detach().cpu().double().numpy(), share.detach().cpu().double().numpy())
    return torch.from_numpy(found).to(shape)


LIKELIHOODS = ("bernoulli", "censored", "hurdle-gamma", "hurdle-lognormal")


def likelihood_of(name: str) -> Likelihood:
    """A likelihood by its name, one of :data:`LIKELIHOODS`.

    Parameters
    ----------
    name
        As in a configuration.

    Examples
    --------
    >>> likelihood_of("censored").planes
    2
    """
    made: dict[str, Likelihood] = {
        "bernoulli": Bernoulli(),
        "censored": Censored(),
        "hurdle-gamma": Hurdle("gamma"),
        "hurdle-lognormal": Hurdle("lognormal"),
    }
    return made[name]
