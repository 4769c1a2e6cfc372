"""Encoder and decoder of rain that moves: what a frame holds, and a motion that carries it on.

Some latents hold the rain itself, begun from principal components; the others hold how it moves. The decoder draws
the rain, displaces it by a motion that it reads off all latents, and mends what it sees there.

References
----------
M. Jaderberg et al., Spatial transformer networks, NeurIPS 2015, arXiv 1506.02025 (the displaced image);
A. Dosovitskiy et al., FlowNet, ICCV 2015, arXiv 1504.06852 (correlation as a layer).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ondee.nn.autoencoder import ConvolutionalEncoder
from ondee.nn.waves import DAMPING, pitch

__all__ = ["WAVES", "AdvectiveDecoder", "AdvectiveEncoder", "Components"]

_DRY = -0.5
"""Level of dry pixels: decades of the rain rate over 0.1 mm/h, so 5 dB below the least rain."""
_REACH = 4
"""Largest displacement that is looked for, pixels of half the resolution."""
_FEATURES = 8
_LEAST = 1e-3
"""Least variance of what is seen at which a motion is looked for."""
_ROUNDS = 20
"""Rounds in which missing pixels are taken from the components."""
_COARSE = 4
"""Side of the grid on which motion is told."""
WAVES = 4
"""Capsules with waves: cosine and sine, southwards and eastwards."""
WAVELENGTH = 20.0
"""Pixels after which a wave comes back: more than twice what rain moves in a frame."""
_STEADY = -8.0
"""Logarithm of the variance that waves begin with."""
_CERTAIN = -6.0
"""Logarithm of the variance that the latents begin with: noise of a twentieth of what they tell."""
_SPREAD = -1.9
"""Plane of the spread at first: some two and a half decibels."""


class Components(nn.Module):
    """A linear path between frames and latents of variance 1, one matrix for both ways, which is not learnt further.

    Parameters
    ----------
    shape
        Height and width.
    latents
        Of the path.
    """

    def __init__(self, shape: tuple[int, int], latents: int) -> None:
        super().__init__()
        pixels = math.prod(shape)
        self.shape = shape
        self.basis: Tensor
        self.scale: Tensor
        self.mean: Tensor
        self.register_buffer("basis", torch.randn(latents, pixels) / math.sqrt(pixels))
        self.register_buffer("scale", torch.ones(latents))
        self.register_buffer("mean", torch.full((1, *shape), _DRY))

    def begin(self, mean: Tensor, basis: Tensor, scale: Tensor) -> None:
        """Take components that were found.

        Parameters
        ----------
        mean
            ``(H W,)``, decades over 0.1 mm/h.
        basis
            ``(latents, H W)``, orthonormal.
        scale
            Standard deviation along each, ``(latents,)``.
        """
        self.mean.copy_(mean.reshape(1, *self.shape))
        self.basis.copy_(basis)
        self.scale.copy_(scale)

    def latents(self, anomaly: Tensor, there: Tensor) -> Tensor:
        """``(N, 1, H, W)`` less the mean, and where it was observed, to ``(N, latents)``.

        What is missing is taken from the components themselves, from the mean in some rounds.
        """
        scale = self.scale.clamp(min=1e-3)
        filled = there * anomaly
        made = functional.linear(filled.flatten(1), self.basis) / scale
        if not self.training:  # windows that are learnt from are mostly whole
            for _ in range(_ROUNDS if bool((there < 1).any()) else 0):
                filled = torch.where(there > 0, anomaly, self.anomaly(made))
                made = functional.linear(filled.flatten(1), self.basis) / scale
        return made

    def anomaly(self, latents: Tensor) -> Tensor:
        """``(N, latents)`` to ``(N, 1, H, W)`` less the mean."""
        return ((latents * self.scale) @ self.basis).reshape(-1, 1, *self.shape)


class AdvectiveEncoder(nn.Module):
    """Laws of the latents that hold rain, from components and convolutions, and of the waves that tell its motion.

    How far the rain has come since the sequence began is the phase of a wave, a cosine and a sine southwards and as
    many eastwards. It enters the capsules that move at their first place, so that along them lies a wave whose pitch is
    the velocity.

    Parameters
    ----------
    components
        Linear path; it belongs to the decoder.
    places
        Of a capsule.
    history
        Steps from a frame to the next over which a velocity is averaged, 1 or more.
    widths, features
        Of the convolutions.
    heads
        Laws that are told, each of mean and logarithm of the variance: those of z, and of u.
    """

    def __init__(
        self, components: Components, places: int, history: int, widths: Sequence[int], features: int, heads: int = 2
    ) -> None:
        super().__init__()
        self._path = (components,)  # in a tuple it is no part of this network, and saved once
        self.staying, self.places, self.history = len(components.basis), places, history
        self.trunk = ConvolutionalEncoder((3, *components.shape), widths, features)
        self.seen = nn.Conv2d(2, _FEATURES, 3, padding=1)
        last = nn.Linear(64, 2)
        self.motion = nn.Sequential(nn.Linear((2 * _REACH + 1) ** 2 + 2, 64), nn.SiLU(), last)
        self.rain_heads = nn.ModuleList(_head(features, self.staying, float(number)) for number in range(heads))
        self.spreads = nn.Parameter(torch.full((heads, WAVES), _STEADY))
        _hush(last)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """``(B, S, 3, H, W)``: level, wet and observed, to ``(B S, 2 latents)`` of each head."""
        each = frames.flatten(0, 1)
        level, wet, there = each.chunk(3, dim=1)
        components = self._path[0]
        linear = components.latents(level + _DRY * (1 - wet) - components.mean, there)
        rain = self.trunk(each)
        waves = self._waves(self.velocity(frames)).flatten(0, 1)
        made = []
        for number, head in enumerate(self.rain_heads):
            mean, spread = head(rain).chunk(2, dim=-1)
            mean = (mean + linear if number == 0 else mean).float()
            moved = waves if number == 0 else torch.ones_like(waves)
            steady = self.spreads[number].repeat_interleave(self.places).expand_as(moved)
            made.append(torch.cat([mean, moved, spread.float(), steady], dim=-1))
        return made

    def _waves(self, velocity: Tensor) -> Tensor:
        """What enters the moving capsules, ``(B, S, 4 places)``, alike at all places, of velocities ``(B, S, 2)``."""
        phase = 2 * math.pi / WAVELENGTH * velocity.cumsum(1)
        waves = torch.stack([phase.cos(), phase.sin()], -1).flatten(2)
        return waves.repeat_interleave(self.places, -1)

    def velocity(self, frames: Tensor) -> Tensor:
        """Mean motion of the rain over the last steps, pixels a frame southwards and eastwards: ``(B, S, 2)``.

        The displacement at which frames are most like those before them, over the pixels that both have observed,
        mended by a small network. 0 of the first frame. `frames` are ``(B, S, 3, H, W)``.
        """
        batch, length = frames.shape[:2]
        if length == 1:
            return frames.new_zeros(batch, 1, 2)
        half = functional.avg_pool2d(frames.flatten(0, 1), 2)
        found = torch.tanh(self.seen(half[:, :2])).float()
        with torch.autocast(found.device.type, enabled=False):
            height, width = found.shape[-2:]
            taper = torch.hann_window(height + 2, False)[1:-1, None] * torch.hann_window(width + 2, False)[1:-1]
            weight = half[:, 2:].float() * taper.to(found.device)
            total = weight.sum((-2, -1), keepdim=True).clamp(min=1e-6)
            found = (found - (found * weight).sum((-2, -1), keepdim=True) / total) * weight
            spectra = torch.fft.rfft2(torch.cat([found, weight], 1), s=(2 * height, 2 * width))
            spectra = spectra.reshape(batch, length, *spectra.shape[1:])
            pairs = spectra[:, 1:] * spectra[:, :-1].conj()
            parts = torch.stack([pairs[:, :, :-1].sum(2), pairs[:, :, -1]], 2)
            both = torch.fft.irfft2(parts, s=(2 * height, 2 * width))
            near = torch.roll(both, (_REACH, _REACH), (-2, -1))[..., : 2 * _REACH + 1, : 2 * _REACH + 1]
            near = _recent(near, self.history)
            power = found.square().sum((1, 2, 3)) / weight.square().sum((1, 2, 3)).clamp(min=1e-3)
            power = power.reshape(batch, length, 1, 1)
            power = _recent(0.5 * (power[:, 1:] + power[:, :-1]), self.history).clamp(min=1e-4)
            surface = near[:, :, 0] / near[:, :, 1].clamp(min=1e-3) / power
            peak = _peak(surface) * (power[..., 0] > _LEAST)
            seen = torch.cat([surface.flatten(2), peak], -1)
        mended: Tensor = self.motion(seen).float()
        return functional.pad(2 * peak + mended, (0, 0, 1, 0))


def _peak(surface: Tensor) -> Tensor:
    """Place of the largest value of ``(…, N, N)`` about the middle, by parabolas through its neighbours: ``(…, 2)``."""
    side = surface.shape[-1]
    best = surface[..., 1:-1, 1:-1].flatten(-2).argmax(-1)
    row, column = best // (side - 2) + 1, best % (side - 2) + 1
    flat = surface.flatten(-2)

    def at(down: int, right: int) -> Tensor:
        return flat.gather(-1, ((row + down) * side + column + right)[..., None])[..., 0]

    here = at(0, 0)
    found = []
    for place, before, after in ((row, at(-1, 0), at(1, 0)), (column, at(0, -1), at(0, 1))):
        bend = (before - 2 * here + after).clamp(max=-1e-4)
        found.append(place - side // 2 + (0.5 * (before - after) / bend).clamp(-1, 1))
    there = (flat.amax(-1) > 0)[..., None]
    return torch.stack(found, -1) * there


def _recent(values: Tensor, count: int) -> Tensor:
    """Mean of the last `count` entries along the second axis, of as many as there are at the beginning."""
    total = values.cumsum(1)
    before = functional.pad(total[:, :-count], (0, 0) * (values.ndim - 2) + (count, 0))[:, : values.shape[1]]
    shape = (1, -1, *(1,) * (values.ndim - 2))
    held = torch.arange(1, values.shape[1] + 1, device=values.device, dtype=values.dtype).clamp(max=count)
    return (total - before) / held.reshape(shape)


def _hush(layer: nn.Linear | nn.Conv2d) -> Tensor:
    """Let a layer say little at first; gives its bias, which is 0."""
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()
    return layer.bias


def _head(features: int, latents: int, mean: float) -> nn.Linear:
    """A layer to means, about `mean` at first, and logarithms of variances, small at first."""
    made = nn.Linear(features, 2 * latents)
    bias = _hush(made)
    with torch.no_grad():
        bias[:latents] = mean
        bias[latents:] = _CERTAIN
    return made


class AdvectiveDecoder(nn.Module):
    """Draws the rain that some latents hold, displaced by how far the waves say that it has come.

    The size of the waves where they enter tells the time that has passed since a frame was seen, and their pitch the
    velocity.

    Parameters
    ----------
    shape
        Height and width, multiples of eight.
    staying, places
        Latents that hold rain, which come first, and places of each of the four capsules with waves.
    planes
        Of the likelihood: the first is the level, decades over 0.1 mm/h.
    width
        Channels of the convolutions.
    """

    def __init__(self, shape: tuple[int, int], staying: int, places: int, planes: int, width: int = 24) -> None:
        super().__init__()
        self.shape, self.staying, self.places, self.planes = shape, staying, places, planes
        self.components = Components(shape, staying)
        latents = staying + WAVES * places
        last = nn.Linear(48, 2 * _COARSE**2)
        self.motion = nn.Sequential(nn.Linear(latents + 3, 96), nn.SiLU(), nn.Linear(96, 48), nn.SiLU(), last)
        self.told = nn.Sequential(nn.Linear(latents + 3, 48), nn.SiLU(), nn.Linear(48, 16))
        self.small = tuple(side // 8 for side in shape)
        self.first = nn.Linear(staying, width * math.prod(self.small))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.SiLU()) for _ in range(2))
        self.mixed = nn.Conv2d(4 + 1 + width + 16, 2 * width, 3, padding=1)
        self.again = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.last = nn.Conv2d(2 * width, 4 * planes, 3, padding=1)
        _hush(last)
        bias = _hush(self.last)
        with torch.no_grad():
            bias[4:] = _SPREAD

    def passed(self, latents: Tensor) -> Tensor:
        """Frames since the rain was seen and its velocity, pixels a frame southwards and eastwards: ``(N, 3)``."""
        waves = latents[:, self.staying :].float().reshape(-1, 2, 2, self.places)
        first = waves[..., 0].square().sum((1, 2)) / 2
        frames = 0.5 * torch.log(first.clamp(min=1e-4)) / math.log(DAMPING)
        velocity = pitch(waves) * WAVELENGTH / (2 * math.pi)
        return torch.cat([frames[:, None], velocity], 1)

    def forward(self, latents: Tensor) -> Tensor:
        """``(N, latents)`` to ``(N, planes, H, W)``."""
        rain, passed = latents[:, : self.staying], self.passed(latents)
        known = torch.cat([latents, passed / passed.new_tensor([4.0, 2.0, 2.0])], 1)
        coarse = (passed[:, :1] * passed[:, 1:])[..., None, None] + passed[:, :1, None, None] * self.motion(
            known
        ).float().reshape(-1, 2, _COARSE, _COARSE)
        moved = functional.interpolate(coarse, size=self.shape, mode="bilinear", align_corners=False)
        field = self.components.anomaly(rain).float()
        field = _displaced(torch.cat([field, torch.ones_like(field)], 1), moved)
        level = field[:, :1] + self.components.mean
        made = self.first(rain).reshape(len(rain), -1, *self.small)
        for block in self.blocks:
            made = block(functional.interpolate(made, scale_factor=2.0, mode="nearest"))
        made = _displaced(made.float(), functional.avg_pool2d(moved, 2) / 2)
        told = self.told(known)[..., None, None].expand(-1, -1, *made.shape[-2:])
        seen = [functional.pixel_unshuffle(level, 2), functional.avg_pool2d(field[:, 1:], 2), made, told]
        made = functional.silu(self.mixed(torch.cat(seen, 1)))
        made = made + functional.silu(self.again(made))
        made = functional.pixel_shuffle(self.last(made), 2).float()
        return torch.cat([level + made[:, :1], made[:, 1:]], 1)


def _displaced(fields: Tensor, moved: Tensor) -> Tensor:
    """Fields ``(N, F, H, W)`` carried along by ``(N, 2, H, W)`` pixels; 0 comes in from beyond the edge."""
    height, width = fields.shape[-2:]
    y = torch.arange(height, device=fields.device, dtype=moved.dtype)[:, None] - moved[:, 0]
    x = torch.arange(width, device=fields.device, dtype=moved.dtype)[None, :] - moved[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return functional.grid_sample(fields, grid, align_corners=False, padding_mode="zeros")
