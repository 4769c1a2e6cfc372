"""U-Nets whose output at a pixel depends on a known neighbourhood only, so that a field may be computed in tiles.

Nothing in :class:`UNet` looks at a whole image: no attention, and a norm over the channels of each pixel in place of
one over space. Its output is the same whether a pixel is computed in a tile with a halo of :attr:`UNet.reach`, or in
one piece.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PlainUNet", "UNet"]


class ChannelNorm(nn.Module):
    """Divide the channels of each pixel by their root mean square: a norm that does not look at neighbours.

    Parameters
    ----------
    channels
        Number of channels.

    References
    ----------
    B. Zhang and R. Sennrich, Root mean square layer normalization, NeurIPS 2019, Eq. 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, values: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same."""
        size = values.square().mean(1, keepdim=True).add(1e-6).rsqrt()
        return values * (size * self.gain[:, None, None]).to(values.dtype)


class Block(nn.Module):
    """Two convolutions with a way around them; an embedding scales and shifts in between.

    Parameters
    ----------
    inputs, outputs
        Channels before and after.
    embedding
        Width of the embedding; 0 for none.
    dilation
        Spread of the first convolution.
    dropout
        Share of features dropped while training.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int = 0, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.before = ChannelNorm(inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        self.between = ChannelNorm(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.around = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.modulation = nn.Linear(embedding, 2 * outputs) if embedding else None
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        nn.init.zeros_(self.second.weight)
        if self.second.bias is not None:
            nn.init.zeros_(self.second.bias)

    def forward(self, values: Tensor, embedded: Tensor | None = None) -> Tensor:
        """``(B, C, H, W)`` and ``(B, embedding)`` to ``(B, outputs, H, W)``."""
        inner = self.between(self.first(functional.silu(self.before(values))))
        if self.modulation is not None and embedded is not None:
            scale, shift = self.modulation(embedded)[:, :, None, None].chunk(2, dim=1)
            inner = inner * (1 + scale) + shift
        made: Tensor = self.around(values) + self.second(self.dropout(functional.silu(inner)))
        return made


def embed(values: Tensor, width: int) -> Tensor:
    """Sines and cosines of numbers in about 0 to 1, at geometrically spaced frequencies.

    Parameters
    ----------
    values
        ``(B,)``.
    width
        Even number of features.

    References
    ----------
    A. Vaswani et al., Attention is all you need, NeurIPS 2017, Sect. 3.5, for a continuous argument.
    """
    half = width // 2
    rates = torch.exp(torch.linspace(0.0, math.log(256.0), half, device=values.device)) * math.pi / 2
    angles = values[:, None].float() * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class UNet(nn.Module):
    """A U-Net that computes at half resolution and coarser, and knows how far it looks.

    A mixing of channels at each pixel comes first, then pixels are folded 2 x 2 into channels, so that many input
    planes cost little.

    Parameters
    ----------
    inputs, outputs
        Planes before and after.
    widths
        Channels at 1/2, 1/4, 1/8 … of the resolution; as many levels as there are numbers.
    embedding
        Width of the embedding of a scalar (a time of a flow, a level of noise); 0 for a network without one.
    mixed
        Channels to which each pixel's planes are mixed first.
    dilations
        Spread of the blocks at the coarsest level.
    dropout
        Share of features dropped in the coarsest blocks while training.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (32, 64, 128),
        *,
        embedding: int = 0,
        mixed: int = 24,
        dilations: Sequence[int] = (1, 2),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.widths, self.dilations, self.embedding = tuple(widths), tuple(dilations), embedding
        self.embed = (
            nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
            if embedding
            else None
        )
        self.mix = nn.Conv2d(inputs, mixed, 1)
        self.enter = nn.Conv2d(4 * mixed, widths[0], 3, padding=1)
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([Block(fine, fine, embedding) for fine, _ in pairs])
        self.coarser = nn.ModuleList([nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs])
        self.bottom = nn.ModuleList([Block(widths[-1], widths[-1], embedding, d, dropout) for d in dilations])
        self.finer = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for fine, coarse in reversed(pairs)])
        self.up = nn.ModuleList([Block(2 * fine, fine, embedding) for fine, _ in reversed(pairs)])
        self.leave = nn.Sequential(ChannelNorm(widths[0]), nn.SiLU(), nn.Conv2d(widths[0], 4 * outputs, 3, padding=1))
        nn.init.zeros_(self.leave[2].weight)  # type: ignore[arg-type]

    @property
    def multiple(self) -> int:
        """Pixels of which height and width must be multiples: one pixel of the coarsest level."""
        return int(2 ** len(self.widths))

    @property
    def reach(self) -> int:
        """Pixels beyond which nothing of the input is seen, a multiple of :attr:`multiple`."""
        levels = len(self.widths)
        pixels = sum(2 * 2 * 2 ** (level + 1) for level in range(levels - 1))  # down and up: two convolutions each
        pixels += sum((d + 1) * 2**levels for d in self.dilations) + 2 * 2  # bottom; enter and leave
        return int(-(-pixels // self.multiple) * self.multiple + self.multiple)

    def forward(self, planes: Tensor, scalar: Tensor | None = None) -> Tensor:
        """``(B, inputs, H, W)`` and ``(B,)`` to ``(B, outputs, H, W)``."""
        embedded = None
        if self.embed is not None and scalar is not None:
            embedded = self.embed(embed(scalar, self.embedding))
        values = self.enter(functional.pixel_unshuffle(functional.silu(self.mix(planes)), 2))
        passed = []
        for block, coarser in zip(self.down, self.coarser, strict=True):
            values = block(values, embedded)
            passed.append(values)
            values = coarser(values)
        for block in self.bottom:
            values = block(values, embedded)
        for block, finer in zip(self.up, self.finer, strict=True):
            values = functional.interpolate(finer(values), scale_factor=2.0, mode="nearest")
            values = block(torch.cat([values, passed.pop()], dim=1), embedded)
        made: Tensor = functional.pixel_shuffle(self.leave(values), 2)
        return made.to(planes.dtype)


class PlainUNet(nn.Module):
    """The plain U-Net of many retrievals: batch norm, max pooling, transposed convolutions, at full resolution.

    Parameters
    ----------
    inputs, outputs
        Planes before and after.
    widths
        Channels at each level, from full resolution down.

    References
    ----------
    O. Ronneberger, P. Fischer and T. Brox, U-Net, MICCAI 2015, Fig. 1, with same-size convolutions and batch norm.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int] = (32, 64, 128, 256, 512)) -> None:
        super().__init__()
        self.widths = tuple(widths)
        before = (inputs, *widths[:-1])
        self.down = nn.ModuleList([_double(a, b) for a, b in zip(before, widths, strict=True)])
        pairs = list(itertools.pairwise(widths))[::-1]
        self.finer = nn.ModuleList([nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs])
        self.up = nn.ModuleList([_double(2 * fine, fine) for fine, _ in pairs])
        self.leave = nn.Conv2d(widths[0], outputs, 1)

    @property
    def multiple(self) -> int:
        """Pixels of which height and width must be multiples."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def reach(self) -> int:
        """Pixels beyond which nothing of the input is seen, a multiple of :attr:`multiple`."""
        levels = len(self.widths)
        pixels = sum(2 * 2 * 2**level for level in range(levels - 1)) + 2 * 2 ** (levels - 1)
        return int(-(-pixels // self.multiple) * self.multiple + self.multiple)

    def forward(self, planes: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        values, passed = planes, []
        for level, double in enumerate(self.down):
            values = double(values if level == 0 else functional.max_pool2d(values, 2))
            passed.append(values)
        passed.pop()
        for finer, double in zip(self.finer, self.up, strict=True):
            values = double(torch.cat([finer(values), passed.pop()], dim=1))
        made: Tensor = self.leave(values)
        return made.to(planes.dtype)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
