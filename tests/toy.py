"""A linear-Gaussian world whose posterior is known in closed form, and networks that give the exact answer in it.

A field is made of patches of 8 x 8 pixels that are independent of one another and see the same image `c`, so that one
member is many draws. Given `c`, the rain of a patch is normal: mean `A c`, deviations that differ from pixel to pixel,
neighbours correlated.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ondee.condition import Batch, Condition, Predictors
from ondee.generative.diffusion import cosine_betas, scalings, signals
from ondee.generative.flow import preconditioned
from ondee.generative.noise import Noise
from ondee.retriever import Retriever, Statistics
from ondee.retriever.unet import bounded
from ondee.transform import RainTransform

SIDE = 8
PATCHES = 8
"""Patches along each side of a field."""
FIELD = SIDE * PATCHES
CENTRE = 10.0
"""Added to the toy's values to make rain in mm/h, far above 0: nothing is dry, and nothing is cut."""
PREDICTORS = Predictors(channels=("only",), minutes=(0,))
STATISTICS = Statistics((0.0,), (1.0,), 100.0, CENTRE, 1.0, 1.0)


class Toy:
    """The world: image, mixing, mean, deviation and covariance of a patch, float64."""

    def __init__(self, seed: int = 3) -> None:
        generator = np.random.default_rng([seed, 77])
        row, column = (part.ravel() for part in np.indices((SIDE, SIDE)))
        distance = np.hypot(row[:, None] - row, column[:, None] - column)
        mixing = np.exp(-distance)
        self.mixing = torch.from_numpy(1.5 * mixing / mixing.sum(1, keepdims=True))
        self.image = torch.from_numpy(generator.standard_normal(SIDE * SIDE))
        self.mean = self.mixing @ self.image
        self.deviation = torch.from_numpy(0.4 + 0.5 * (row + column) / (2 * SIDE - 2))
        self.covariance = self.deviation[:, None] * torch.from_numpy(np.exp(-distance / 1.5)) * self.deviation
        self.near = torch.from_numpy(distance <= 2)

    def condition(self, samples: int = 1) -> Condition:
        """The image in every patch."""
        field = self.image.float().reshape(SIDE, SIDE).tile(PATCHES, PATCHES)
        return Condition(field.expand(samples, 1, 1, FIELD, FIELD), torch.zeros(samples, 0, FIELD, FIELD))

    def draws(self, samples: int, seed: int = 5) -> Tensor:
        """True draws of patches ``(samples, 64)``, in the scaling of the toy."""
        normal = torch.from_numpy(np.random.default_rng([seed, 78]).standard_normal((samples, SIDE * SIDE)))
        return self.mean + normal @ torch.linalg.cholesky(self.covariance).T

    def batch(self, samples: int) -> Batch:
        """True rain to learn from."""
        rain = joined(self.draws(samples * PATCHES**2)).squeeze(1) + CENTRE
        return Batch(self.condition(samples), rain.float(), torch.ones(samples), range(samples))

    def drawn(self, model: Retriever, sampling: object = None, members: int = 64, seed: int = 11) -> Tensor:
        """Draws of a model ``(members x patches, 64)``, in the scaling of the toy."""
        noise = Noise(seed, keys=(0,), members=range(members))
        rain = model.eval().sample(self.condition(), noise, sampling)  # type: ignore[arg-type]
        return patches(rain.transpose(0, 1)).double() - CENTRE


def patches(field: Tensor) -> Tensor:
    """``(B, 1, H, W)`` to ``(B x patches, 64)``."""
    cut = field.reshape(-1, PATCHES, SIDE, PATCHES, SIDE).transpose(2, 3)
    return cut.reshape(-1, SIDE * SIDE)


def joined(parts: Tensor) -> Tensor:
    """``(B x patches, 64)`` to ``(B, 1, H, W)``."""
    cut = parts.reshape(-1, PATCHES, PATCHES, SIDE, SIDE).transpose(2, 3)
    return cut.reshape(-1, 1, FIELD, FIELD)


def undisguised(model: Retriever) -> Retriever:
    """A model whose rain is the number that it predicts plus the centre: nothing is dry, nothing is capped."""
    model.rain = RainTransform("raw", centre=CENTRE, scale=1.0)
    model.rain.threshold.fill_(-math.inf)
    return model


class _Exact(nn.Module):
    """A network that computes its answer for one value of its scalar at a time."""

    def __init__(self, toy: Toy) -> None:
        super().__init__()
        self.toy = toy
        self.off = 0.0
        """Added to every answer, to see what an error does."""

    def forward(self, planes: Tensor, scalar: Tensor) -> Tensor:
        made = torch.empty_like(planes[:, :1])
        for value in scalar.unique():
            chosen = scalar == value
            made[chosen] = self.answer(planes[chosen], float(value))
        return made + self.off

    def truth(self, planes: Tensor) -> Tensor:
        """Mean of the rain from the image that the network is shown, which is that of every sample."""
        return (patches(planes[:1, :1]) @ self.toy.mixing.T.float()).repeat(len(planes), 1)

    def answer(self, planes: Tensor, scalar: float) -> Tensor:
        raise NotImplementedError


class ExactRegression(nn.Module):
    """A mean that is 0.8 of the true one, and the true spread: what comes after has to correct it."""

    def __init__(self, toy: Toy) -> None:
        super().__init__()
        self.toy = toy

    def forward(self, planes: Tensor) -> Tensor:
        mean = 0.8 * (patches(planes[:, :1]).double() @ self.toy.mixing.T)
        spread = self.toy.deviation.expand_as(mean)
        low, high = (float(bounded(torch.tensor(raw))) for raw in (-math.inf, math.inf))
        raw = torch.logit((spread - low) / (high - low)) + 1.0
        return torch.cat([joined(part).float() for part in (mean, raw, torch.zeros_like(mean))], dim=1)


class ExactFlow(_Exact):
    """Velocity from a normal source, of mean and kappa as in the channels, to the rain."""

    def answer(self, planes: Tensor, scalar: float) -> Tensor:
        position, start, kappa, scaled = (patches(planes[:, -4 + number, None]) for number in range(4))
        kappa = kappa.exp()
        noise, rain = (1 - scalar) * kappa[0].double().square().diag(), scalar * self.toy.covariance
        gain = torch.linalg.solve(scalar * rain + (1 - scalar) * noise, rain - noise)
        target = self.truth(planes)
        left = position - scalar * target - (1 - scalar) * start
        velocity = target - start + left @ gain.float()
        skip, scale = preconditioned(scaled, torch.full((len(scaled),), scalar, dtype=scaled.dtype))
        return joined((velocity / kappa - skip) / scale)


class ExactNoise(_Exact):
    """The noise in rain at a step of a chain."""

    def __init__(self, toy: Toy, total: int) -> None:
        super().__init__(toy)
        self.kept = signals(cosine_betas(total, 0.8)).tolist()

    def answer(self, planes: Tensor, scalar: float) -> Tensor:
        kept = self.kept[round(scalar * len(self.kept)) - 1]
        whole = kept * self.toy.covariance + (1 - kept) * torch.eye(SIDE * SIDE, dtype=torch.float64)
        left = patches(planes[:, -1, None]) - math.sqrt(kept) * self.truth(planes)
        return joined(math.sqrt(1 - kept) * left @ torch.linalg.inv(whole).float())


class ExactResidual(_Exact):
    """The residual without its noise."""

    def __init__(self, toy: Toy, size: float) -> None:
        super().__init__(toy)
        self.size = size

    def answer(self, planes: Tensor, scalar: float) -> Tensor:
        level = math.exp(8 * (scalar - 0.5))
        skip, made, seen = (float(part) for part in scalings(torch.tensor(level, dtype=torch.float64)))
        mean, position = patches(planes[:, -2, None]), patches(planes[:, -1, None]) / seen
        centre = (self.truth(planes) - mean) / self.size
        covariance = self.toy.covariance / self.size**2
        whole = covariance + level**2 * torch.eye(SIDE * SIDE, dtype=torch.float64)
        clean = centre + (position - centre) @ torch.linalg.solve(whole, covariance).float()
        return joined((clean - skip * position) / made)
