"""The published Topographic VAE written plainly: one frame after another, layers as convolutions of the whole image.

It is what :mod:`benchmarks.tvae` measures against, made from the description of the design alone: every frame of every
sequence is turned, scaled and coloured by itself, as general functions for images do it, and what is summed over
neighbours is a transposed convolution with a fixed kernel.

References
----------
T. A. Keller and M. Welling, Topographic VAEs learn equivariant capsules, NeurIPS 2021, arXiv 2109.01394.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PlainVAE", "hue_shifted", "kernel", "sequence", "warped"]

_SMALL = 1e-6


def sequence(digit: Tensor, angles: Sequence[float], scales: Sequence[float], hues: Sequence[float]) -> Tensor:
    """Frames of one digit, ``(S, 3, H, W)``.

    Parameters
    ----------
    digit
        ``(H, W)``, grey values in [0, 1]; it becomes the red channel.
    angles, hues
        Degrees, one a frame.
    scales
        One a frame.
    """
    nought = torch.zeros_like(digit)
    red = torch.stack([digit, nought, nought])[None]
    made = []
    for angle, scale, hue in zip(angles, scales, hues, strict=True):
        frame = warped(red, angle, scale)
        made.append(hue_shifted(frame, hue))
    return torch.cat(made)


def warped(image: Tensor, angle: float, scale: float) -> Tensor:
    """An image turned anticlockwise about its centre and scaled, bilinear, 0 outside.

    Parameters
    ----------
    image
        ``(1, 3, H, W)``.
    angle
        Degrees.
    scale
        Of the image.
    """
    height, width = image.shape[-2:]
    x, y = (width - 1) / 2, (height - 1) / 2
    turn = torch.deg2rad(torch.tensor(angle))
    cosine, sine = scale * torch.cos(turn), scale * torch.sin(turn)
    forward = torch.eye(3)[None].clone()
    forward[:, 0, 0], forward[:, 0, 1] = cosine, sine
    forward[:, 1, 0], forward[:, 1, 1] = -sine, cosine
    forward[:, 0, 2] = (1 - cosine) * x - sine * y
    forward[:, 1, 2] = sine * x + (1 - cosine) * y
    # From pixels to the coordinates of the grid, -1 to 1, in which the way back is asked for.
    unit = torch.tensor([[1 / x, 0.0, -1.0], [0.0, 1 / y, -1.0], [0.0, 0.0, 1.0]])[None]
    back = torch.inverse(unit @ forward @ torch.inverse(unit))
    grid = functional.affine_grid(back[:, :2], list(image.shape), align_corners=True)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def hue_shifted(image: Tensor, degrees: float) -> Tensor:
    """An image with all of its hues moved.

    Parameters
    ----------
    image
        ``(1, 3, H, W)``, red, green and blue.
    degrees
        How far.
    """
    hue, saturation, value = _hsv(image)
    return _rgb(torch.remainder(hue + degrees / 360, 1), saturation, value)


def _hsv(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value, 0 to 1, ``(1, H, W)`` each."""
    red, green, blue = image.unbind(1)
    value, largest = image.max(1)
    spread = value - image.min(1).values
    saturation = torch.where(value > 0, spread / torch.where(value > 0, value, 1.0), 0.0)
    safe = torch.where(spread > 0, spread, 1.0)
    sixths = torch.stack([(green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe])
    hue = sixths.gather(0, largest[None])[0] / 6
    return torch.remainder(hue, 1), saturation, value


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Red, green and blue, ``(1, 3, H, W)``."""
    sixths = hue * 6
    sector = sixths.floor()
    part = sixths - sector
    low = value * (1 - saturation)
    falling = value * (1 - saturation * part)
    rising = value * (1 - saturation * (1 - part))
    choices = torch.stack(
        [
            torch.stack([value, falling, low, low, rising, value]),
            torch.stack([rising, value, value, falling, low, low]),
            torch.stack([low, low, rising, value, value, falling]),
        ]
    )
    chosen = torch.remainder(sector.long(), 6)[None, None].expand(3, -1, -1, -1, -1)
    return choices.gather(1, chosen)[:, 0].transpose(0, 1)


def kernel(size: int, width: int) -> Tensor:
    """Band of ones about the diagonal, ``(size, size)``: over frames, and over places of a capsule.

    Parameters
    ----------
    size
        Frames that are summed.
    width
        Places that are summed at one frame, an odd number.
    """
    place = torch.arange(size)
    return (torch.abs(place[:, None] - place[None]) <= width // 2).float()


def _encoder(planes: int, side: int, latents: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(planes, 3 * latents, side),
        nn.ReLU(),
        nn.Conv2d(3 * latents, 2 * latents, 1),
        nn.ReLU(),
        nn.Conv2d(2 * latents, 2 * latents, 1),
    )


def _decoder(planes: int, side: int, latents: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(latents, 2 * latents, 1),
        nn.ReLU(),
        nn.Conv2d(2 * latents, 3 * latents, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(3 * latents, planes, side),
    )


class PlainVAE(nn.Module):
    """Encoders of z and u, sums over neighbours, decoder and bound.

    Parameters
    ----------
    planes, side
        Of the frames, which are square.
    capsules, places
        C and D.
    frames, width
        Of the neighbourhood, as of :func:`kernel`.
    centre
        Where mu begins.
    """

    neighbours: Tensor

    def __init__(
        self,
        planes: int = 3,
        side: int = 28,
        *,
        capsules: int = 18,
        places: int = 18,
        frames: int = 13,
        width: int = 3,
        centre: float = 30.0,
    ) -> None:
        super().__init__()
        latents = capsules * places
        self.capsules, self.places, self.size = capsules, places, frames
        self.z_encoder = _encoder(planes, side, latents)
        self.u_encoder = _encoder(planes, side, latents)
        self.decoder = _decoder(planes, side, latents)
        self.centre = nn.Parameter(torch.tensor([centre]))
        self.register_buffer("neighbours", kernel(frames, width)[None, None, :, None, :])

    def summed(self, squares: Tensor) -> Tensor:
        """Squares summed over their neighbours around both circles, ``(B, S, C, D)``."""
        before, after = (self.size - 1) // 2, self.size // 2
        around = functional.pad(squares[:, None], (before, after, 0, 0, before, after), mode="circular")
        edge = self.size - 1
        return functional.conv_transpose3d(around, self.neighbours, padding=(edge, 0, edge))[:, 0]

    def forward(self, frames: Tensor, z_noise: Tensor, u_noise: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the frames, and the bound on the negative log-likelihood, nats a frame.

        Parameters
        ----------
        frames
            ``(B, S, 3, H, W)``.
        z_noise, u_noise
            Standard normal, ``(B, S, C, D)``.
        """
        batch, length = frames.shape[:2]
        flat = frames.reshape(batch * length, *frames.shape[2:])
        z_mean, z_log = self.z_encoder(flat).chunk(2, dim=1)
        u_mean, u_log = self.u_encoder(flat).chunk(2, dim=1)
        shape = (batch, length, self.capsules, self.places)
        z = z_mean.reshape(shape) + z_noise * torch.exp(0.5 * z_log.reshape(shape))
        u = u_mean.reshape(shape) + u_noise * torch.exp(0.5 * u_log.reshape(shape))
        latents = (z + self.centre) / torch.sqrt(self.summed(u**2) + _SMALL)
        logits = self.decoder(latents.reshape(batch * length, math.prod(shape[2:]), 1, 1))
        missed = functional.binary_cross_entropy(torch.sigmoid(logits), flat, reduction="sum")
        divergence = _divergence(z_mean, z_log) + _divergence(u_mean, u_log)
        return logits.reshape(frames.shape), (missed + divergence) / (batch * length)


def _divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
