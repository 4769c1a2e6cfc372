"""The published Topographic VAE written plainly: one frame after another, layers as convolutions of the whole image.

It is what :mod:`benchmarks.tvae` measures against, made from the description of the design: every frame of every
sequence is turned, scaled and coloured by itself, with the general functions of kornia; layers are convolutions and
transposed convolutions as large as the image; the sum over neighbours is a transposed convolution in three dimensions
with a fixed kernel, of every capsule of every sequence by itself; laws are those of PyTorch's distributions, and each
draw comes with its densities, which an estimate of the likelihood needs.

References
----------
T. A. Keller and M. Welling, Topographic VAEs learn equivariant capsules, NeurIPS 2021, arXiv 2109.01394.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from kornia.enhance import adjust_hue
from kornia.geometry.transform import get_rotation_matrix2d, warp_affine
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

__all__ = ["PlainVAE", "kernel", "sequence"]

_SMALL = 1e-6


def sequence(digit: Tensor, angles: Sequence[float], scales: Sequence[float], hues: Sequence[float]) -> Tensor:
    """Frames of one digit, ``(S, 3, H, W)``, turned anticlockwise about its centre, bilinear, 0 outside.

    Parameters
    ----------
    digit
        ``(H, W)``, grey values in [0, 1]; it becomes the red channel.
    angles, hues
        Degrees, one a frame.
    scales
        One a frame.
    """
    height, width = digit.shape
    nought = torch.zeros_like(digit)
    red = torch.stack([digit, nought, nought])[None]
    middle = torch.tensor([[(width - 1) / 2, (height - 1) / 2]])
    made = torch.zeros(len(angles), 3, height, width)
    for place, (angle, scale, hue) in enumerate(zip(angles, scales, hues, strict=True)):
        turn = get_rotation_matrix2d(middle, torch.tensor([angle]), torch.full((1, 2), scale))
        frame = warp_affine(red, turn, dsize=(height, width))
        made[place] = adjust_hue(frame, torch.tensor([math.radians(hue)]))[0]
    return made


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
        nn.ConvTranspose2d(latents, 2 * latents, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * latents, 3 * latents, 1),
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
        self.register_buffer("neighbours", kernel(frames, width)[None, None, :, :, None])

    def summed(self, squares: Tensor) -> Tensor:
        """Squares summed over their neighbours around both circles, ``(B, S, C, D)``."""
        batch, length = squares.shape[:2]
        before, after = (self.size - 1) // 2, self.size // 2
        edge = self.size - 1
        # Frames and places are the first two axes of a volume that is one thick, and capsules are a batch of volumes.
        each = squares.transpose(1, 2).reshape(batch * self.capsules, 1, length, self.places, 1)
        around = functional.pad(each, (0, 0, before, after, before, after), mode="circular")
        made = functional.conv_transpose3d(around, self.neighbours, padding=(edge, edge, 0))
        return made.reshape(batch, self.capsules, length, self.places).transpose(1, 2)

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
        shape = (batch, length, self.capsules, self.places)
        flat = frames.reshape(batch * length, *frames.shape[2:])
        drawn, divergence = [], torch.zeros(())
        for encoder, noise in ((self.z_encoder, z_noise), (self.u_encoder, u_noise)):
            mean, log_variance = (part.reshape(shape) for part in encoder(flat).chunk(2, dim=1))
            law, prior = Normal(mean, torch.exp(0.5 * log_variance)), Normal(0.0, 1.0)
            draw = law.loc + law.scale * noise
            drawn.append((draw, law.log_prob(draw), prior.log_prob(draw)))  # type: ignore[no-untyped-call]
            divergence = divergence + kl_divergence(law, prior).sum()
        (z, *_), (u, *_) = drawn
        latents = (z + self.centre) / torch.sqrt(self.summed(u**2) + _SMALL)
        logits = self.decoder(latents.reshape(batch * length, math.prod(shape[2:]), 1, 1))
        white = Bernoulli(torch.sigmoid(logits).clamp(0, 1), validate_args=False)  # grey values are none of its own
        missed = -white.log_prob(flat).sum()  # type: ignore[no-untyped-call]
        return logits.reshape(frames.shape), (missed + divergence) / (batch * length)
