"""Encoders and decoders of single frames: fully connected ones, and convolutional ones.

An encoder gives two numbers for each latent, mean and logarithm of the variance; a decoder gives planes for a
likelihood. Frames of a sequence go through them side by side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ondee.nn.products import connected

__all__ = ["ConvolutionalDecoder", "ConvolutionalEncoder", "DenseDecoder", "DenseEncoder", "Heads", "WholeImage"]


class DenseEncoder(nn.Module):
    """Fully connected layers from all pixels to the law of the latents.

    Parameters
    ----------
    shape
        Planes, height and width of a frame.
    latents
        Latents of a frame.
    hidden
        Widths of the layers between, in latents.

    References
    ----------
    T. A. Keller and M. Welling, arXiv 2109.01394, appendix: three and two times the latents between.
    """

    def __init__(self, shape: tuple[int, int, int], latents: int, hidden: Sequence[int] = (3, 2)) -> None:
        super().__init__()
        widths = [math.prod(shape), *(entry * latents for entry in hidden), 2 * latents]
        self.layers = _dense(widths)

    def forward(self, frames: Tensor) -> Tensor:
        """``(N, planes, H, W)`` to ``(N, 2 latents)``."""
        return connected(frames.flatten(1), _parts(self.layers))


class DenseDecoder(nn.Module):
    """Fully connected layers from latents to planes.

    Parameters
    ----------
    shape
        Planes, height and width of what is made.
    latents
        Latents of a frame.
    hidden
        Widths of the layers between, in latents.
    """

    def __init__(self, shape: tuple[int, int, int], latents: int, hidden: Sequence[int] = (2, 3)) -> None:
        super().__init__()
        self.shape = shape
        widths = [latents, *(entry * latents for entry in hidden)]
        self.layers = nn.Sequential(_dense(widths), nn.ReLU()) if hidden else nn.Identity()
        self.last = WholeImage(widths[-1], shape)

    def forward(self, latents: Tensor) -> Tensor:
        """``(N, latents)`` to ``(N, planes, H, W)``."""
        return connected(latents, [*_parts(self.layers), self.last.part()]).reshape(-1, *self.shape)


class WholeImage(nn.ConvTranspose2d):
    """A transposed convolution as large as the image, which is a fully connected layer with one bias for a plane.

    Its weights are kept as those of a transposed convolution are, inputs first: of a layer to many more outputs
    the gradients are quicker so. They begin as those of a fully connected layer.

    Parameters
    ----------
    inputs
        Numbers of which an image is made.
    shape
        Planes, height and width of the image.
    """

    def __init__(self, inputs: int, shape: tuple[int, int, int]) -> None:
        super().__init__(inputs, shape[0], shape[1:])

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights as :class:`torch.nn.Linear` does; biases are 0."""
        bound = 1 / math.sqrt(self.in_channels)
        drawn = torch.empty(self.weight[0].numel(), self.in_channels).uniform_(-bound, bound)
        self.weight.copy_(drawn.T.reshape(self.weight.shape))
        assert self.bias is not None
        self.bias.zero_()

    def part(self) -> tuple[Tensor, Tensor]:
        """Weight ``(pixels, inputs)`` and bias ``(pixels,)`` of the fully connected layer."""
        assert self.bias is not None
        return self.weight.flatten(1).T, self.bias[:, None].expand(-1, math.prod(self.kernel_size)).flatten()


def _dense(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _parts(layers: nn.Module) -> list[tuple[Tensor, Tensor | None]]:
    """Weight and bias of each fully connected layer."""
    return [(layer.weight, layer.bias) for layer in layers.modules() if isinstance(layer, nn.Linear)]


class Heads(nn.Module):
    """One trunk and several heads on it, so that the laws of z and u share what they see.

    Parameters
    ----------
    trunk
        ``(N, planes, H, W)`` to features ``(N, F)``.
    features
        F.
    latents
        Latents of a frame.
    heads
        How many.
    """

    def __init__(self, trunk: nn.Module, features: int, latents: int, heads: int = 2) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(features, 2 * latents) for _ in range(heads))

    def forward(self, frames: Tensor) -> list[Tensor]:
        """``(N, planes, H, W)`` to ``(N, 2 latents)`` of each head."""
        seen = self.trunk(frames)
        return [head(seen) for head in self.heads]


class ConvolutionalEncoder(nn.Module):
    """Convolutions that halve the frame, and one layer from what is left.

    Parameters
    ----------
    shape
        Planes, height and width of a frame.
    widths
        Channels at 1/2, 1/4, 1/8 … of the resolution.
    features
        Numbers that come out.
    """

    def __init__(self, shape: tuple[int, int, int], widths: Sequence[int], features: int) -> None:
        super().__init__()
        planes, height, width = shape
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((planes, *widths)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), _norm(outputs), nn.SiLU()]
        left = [_halved(side, len(widths)) for side in (height, width)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * math.prod(left), features), nn.SiLU())

    def forward(self, frames: Tensor) -> Tensor:
        """``(N, planes, H, W)`` to ``(N, features)``."""
        made: Tensor = self.layers(frames)
        return made


class ConvolutionalDecoder(nn.Module):
    """One layer to a small frame, then doubled and convolved: no checkerboard, as there are no transposed convolutions.

    Parameters
    ----------
    shape
        Planes, height and width of what is made.
    latents
        Latents of a frame.
    widths
        Channels at 1/2, 1/4, 1/8 … of the resolution, as of the encoder.
    """

    def __init__(self, shape: tuple[int, int, int], latents: int, widths: Sequence[int]) -> None:
        super().__init__()
        planes, height, width = shape
        self.size = (height, width)
        self.small = tuple(_halved(side, len(widths)) for side in (height, width))
        self.first = nn.Linear(latents, widths[-1] * math.prod(self.small))
        pairs = itertools.pairwise((*widths[::-1], widths[0]))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), _norm(outputs), nn.SiLU())
            for inputs, outputs in pairs
        )
        self.last = nn.Conv2d(widths[0], planes, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """``(N, latents)`` to ``(N, planes, H, W)``."""
        made: Tensor = functional.silu(self.first(latents)).reshape(len(latents), -1, *self.small)
        for block in self.blocks:
            made = block(functional.interpolate(made, scale_factor=2.0, mode="nearest"))
        made = self.last(made)
        return made[..., : self.size[0], : self.size[1]]


def _halved(side: int, times: int) -> int:
    """Side after halvings that round up."""
    for _ in range(times):
        side = (side + 1) // 2
    return side


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels), channels)
