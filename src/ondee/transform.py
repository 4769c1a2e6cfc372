"""Scalings of images and rain, saved with the weights and applied by models alone."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from ondee.condition import AUXILIARY, Condition, Predictors
from ondee.generative.noise import Noise
from ondee.units import WET

__all__ = ["DRY", "KNOTS", "Planes", "RainTransform"]

DRY = (0.015, 0.027)
"""Rates between which dry pixels are spread before a logarithm, mm h-1: no flow can reach a single value."""
KNOTS = 48
"""Knots of the curve that calibrates rates."""
_FLOOR = 0.1
"""Rates below it count as dry, mm h-1."""

Kind = Literal["log", "log1p", "sqrt", "raw"]
_DEFAULTS: dict[str, tuple[float, float]] = {
    "log": (-0.051, 0.528),
    "log1p": (0.1, 0.35),
    "sqrt": (0.2, 0.6),
    "raw": (0.15, 1.0),
}


class Planes(nn.Module):
    """Condition to the planes that a network sees: standardised, zero where missing, with masks beside.

    Parameters
    ----------
    predictors
        Names of what comes in.
    mean, deviation
        Of each channel, in the units of the images, from the training days.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, predictors: Predictors, mean: Tensor | None = None, deviation: Tensor | None = None) -> None:
        super().__init__()
        channels = len(predictors.channels)
        self.predictors = predictors
        self._kept: tuple[weakref.ref[Condition] | None, Tensor | None] = (None, None)
        self.register_buffer("mean", torch.zeros(channels) if mean is None else mean.float())
        self.register_buffer("deviation", torch.ones(channels) if deviation is None else deviation.float())

    def forward(self, condition: Condition) -> Tensor:
        """``(B, planes, H, W)``: images, which frames and which channels are there, auxiliary planes.

        Of a condition with more frames than the predictors have, the newest are taken.
        All evaluations of a draw look at the same condition: its planes are kept until another is asked for.
        """
        if torch.is_grad_enabled():
            return self._made(condition)
        kept, planes = self._kept
        if kept is None or kept() is not condition or planes is None:
            planes = self._made(condition)
            self._kept = (weakref.ref(condition), planes)
        return planes

    def _made(self, condition: Condition) -> Tensor:
        images = condition.images[:, : len(self.predictors.minutes)]
        scaled = (images - self.mean[:, None, None]) / self.deviation[:, None, None]
        seen = torch.isfinite(scaled)
        there = seen.to(scaled.dtype)
        parts = [torch.where(seen, scaled, 0.0).clamp(-8, 8).flatten(1, 2), there.mean(2), there.mean(1)]
        if self.predictors.auxiliary:
            known = [AUXILIARY[name] for name in self.predictors.auxiliary]
            centre = images.new_tensor([entry.centre for entry in known])[:, None, None]
            scale = images.new_tensor([entry.scale for entry in known])[:, None, None]
            parts.append(torch.nan_to_num((condition.auxiliary - centre) / scale, nan=0.0))
        return torch.cat(parts, dim=1)


class RainTransform(nn.Module):
    """Rain rate to a number that a network can predict, and back.

    ``log``: ``y = (log10 R - mu) / s`` with rates below 0.1 mm/h spread over 0.015 to 0.027 mm/h; ``log1p``,
    ``sqrt`` and ``raw`` are ``ln(1 + R)``, ``sqrt(R)`` and ``R``, shifted and scaled alike.

    Parameters
    ----------
    kind
        Which.
    centre, scale
        Subtracted and divided by; of the log those of LDCast [1]_ unless given.
    step
        Step in mm h-1 on which the radar's product is quantised; rates are spread over it in training. 0 for none.
    threshold
        Transformed value below which a decoded pixel is dry: fitted so that rain is as frequent as the radar's.
    largest
        Rate above which a decoded pixel is capped, mm h-1: 1.5 times the largest of the training days.

    Notes
    -----
    A calibration may follow the way back: a rising curve from rates drawn to rates of the radar that are as rare
    [2]_, straight between knots in the logarithm of both, and of slope 1 beyond them.

    References
    ----------
    .. [1] J. Leinonen et al., Latent diffusion models for generative precipitation nowcasting, arXiv 2304.12891.
    .. [2] H. A. Panofsky and G. W. Brier, Some applications of statistics to meteorology, 1968, pp. 40-45.
    """

    threshold: Tensor
    largest: Tensor
    curve: Tensor

    def __init__(
        self,
        kind: Kind = "log",
        *,
        centre: float | None = None,
        scale: float | None = None,
        step: float = 0.0,
        largest: float = math.inf,
    ) -> None:
        super().__init__()
        self.kind, self.step, self._undecided = kind, step, False
        usual = _DEFAULTS[kind]
        self.centre = usual[0] if centre is None else centre
        self.scale = usual[1] if scale is None else scale
        self.register_buffer("threshold", torch.tensor(self._scaled(torch.tensor(WET)).item()))
        self.register_buffer("largest", torch.tensor(float(largest)))
        self.register_buffer("curve", torch.logspace(-1, 3, KNOTS).repeat(2, 1))

    def forward(self, rain: Tensor, noise: Noise | None = None) -> Tensor:
        """Rain ``(B, H, W)`` mm h-1 to the same shape; NaN stays NaN.

        Parameters
        ----------
        rain
            Rain rates.
        noise
            Spreads dry and quantised rates; without it the middle of each spread is taken.
        """
        spread = 0.5 if noise is None else noise.uniform("dry")[:, 0]
        if self.step > 0:
            within = 0.0 if noise is None else noise.uniform("quantised")[:, 0] - 0.5
            rain = torch.where(rain > 0, (rain + within * self.step).clamp(min=0.0), rain)
        if self.kind == "log":
            dry = DRY[0] + spread * (DRY[1] - DRY[0])
            rain = torch.where(rain < _FLOOR, dry, rain)
        return self._scaled(rain)

    def inverse(self, values: Tensor) -> Tensor:
        """Back to mm h-1: 0 below the threshold, from it on wet (0.1 mm/h or more), capped at the largest rate."""
        raw = values * self.scale + self.centre
        if self.kind == "log":
            rain = torch.pow(10.0, raw.clamp(max=3.0))
        elif self.kind == "log1p":
            rain = torch.expm1(raw.clamp(max=7.0))
        elif self.kind == "sqrt":
            rain = raw.clamp(min=0.0).square()
        else:
            rain = raw
        rain = rain.clamp(min=0.0).minimum(self.largest)
        return rain if self._undecided else self._decided(rain, values < self.threshold)

    def decided(self, rain: Tensor) -> Tensor:
        """Rates that :meth:`undecided` gave, with threshold, curve and cap applied; NaN stays NaN."""
        return torch.where(torch.isnan(rain), rain, self._decided(rain, self._scaled(rain) < self.threshold))

    def _decided(self, rain: Tensor, dry: Tensor) -> Tensor:
        return torch.where(dry, 0.0, self._calibrated(rain).clamp(min=WET).minimum(self.largest))

    def set_curve(self, drawn: Tensor, radar: Tensor) -> None:
        """Calibrate rates: those drawn become those of the radar.

        Parameters
        ----------
        drawn, radar
            :data:`KNOTS` rates each, above 0 and rising, mm h-1.
        """
        self.curve.copy_(torch.stack([drawn, radar]).to(self.curve))

    def _calibrated(self, rain: Tensor) -> Tensor:
        """Rates along the curve; a curve of equal rates changes nothing."""
        drawn, radar = self.curve[0].log(), self.curve[1].log()
        place = rain.clamp(min=1e-6).log()
        upper = torch.bucketize(place.detach().contiguous(), drawn).clamp(1, KNOTS - 1)
        share = (place - drawn[upper - 1]) / (drawn[upper] - drawn[upper - 1]).clamp(min=1e-6)
        made = radar[upper - 1] + share.clamp(0, 1) * (radar[upper] - radar[upper - 1])
        beyond = (place - drawn[-1]).clamp(min=0) + (place - drawn[0]).clamp(max=0)
        equal = torch.equal(self.curve[0], self.curve[1])
        return rain if equal else torch.exp(made + beyond)

    def set_threshold(self, rate: float) -> None:
        """Call pixels wet from a rate on, mm h-1, whatever the scaling."""
        self.threshold.fill_(self._scaled(torch.tensor(float(rate))).item())

    @contextmanager
    def undecided(self) -> Iterator[None]:
        """Give rates as they are for a while, none of them called dry."""
        self._undecided = True
        try:
            yield
        finally:
            self._undecided = False

    def _scaled(self, rain: Tensor) -> Tensor:
        if self.kind == "log":
            raw = torch.log10(rain)
        elif self.kind == "log1p":
            raw = torch.log1p(rain)
        elif self.kind == "sqrt":
            raw = torch.sqrt(rain)
        else:
            raw = rain
        return (raw - self.centre) / self.scale
