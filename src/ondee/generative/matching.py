"""Classical ways to give a field the right histogram and the right texture, as plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ondee.errors import ConfigError

__all__ = ["QuantileMap", "Texture", "correlations"]


class QuantileMap(nn.Module):
    """A rising map that gives one quantity the distribution of another: equal quantiles go with each other.

    Between its knots the map is linear; below the first it gives the least value of the other quantity, above the last
    the largest. Knots lie where the other quantity is above its least value, half of them ever closer to the top.

    Parameters
    ----------
    knots
        How many.

    References
    ----------
    P. A. Arkin and B. N. Meisner, The relationship between large-scale convective rainfall and cold cloud over the
    western hemisphere, Mon. Weather Rev. 115, 1987 (a share of cold pixels for a share of rain); A. J. Calheiros and
    I. Zawadzki, Reflectivity-rain rate relationships for radar hydrology in Brazil, J. Clim. Appl. Meteorol. 26, 1987
    (matching of probabilities).
    """

    knots: Tensor
    values: Tensor
    least: Tensor

    def __init__(self, knots: int = 512) -> None:
        super().__init__()
        self.register_buffer("knots", torch.zeros(knots))
        # NaN until measured: a map that was never fitted gives no number at all.
        self.register_buffer("values", torch.full((knots,), torch.nan))
        self.register_buffer("least", torch.tensor(torch.nan))

    def fit(self, quantity: Tensor, other: Tensor, weight: Tensor) -> None:
        """Measure the map.

        Parameters
        ----------
        quantity, other
            Pixels of both, ``(N,)``, finite.
        weight
            Of each pixel, ``(N,)``, positive.

        Raises
        ------
        ConfigError
            If there are no pixels, or the other quantity is the same everywhere.
        """
        if len(other) == 0 or float(other.min()) == float(other.max()):
            raise ConfigError(
                "no map can be measured: " + ("no pixel was observed" if len(other) == 0 else "rain never changes"),
                where="the pixels that a matching of quantiles is fitted on",
                fix="train on days with rain, or give a larger batch to fit on",
            )
        ranked, shares = _distribution(quantity, weight)
        rates, rate_shares = _distribution(other, weight)
        dry = float(rate_shares[int(torch.searchsorted(rates, rates[0], right=True)) - 1])
        wanted = _levels(1 - dry, len(other), len(self.knots)).to(shares)
        knots = ranked[torch.searchsorted(shares, wanted, right=True).clamp(max=len(ranked) - 1)]
        knots = torch.unique(torch.cat([knots[:-1], ranked[-1:]]))
        # Values that occur many times stand for the middle of all the quantiles that they take up.
        before = _at(shares, torch.searchsorted(ranked, knots) - 1)
        level = (before + _at(shares, torch.searchsorted(ranked, knots, right=True) - 1)) / 2
        values = rates[torch.searchsorted(rate_shares, level).clamp(max=len(rates) - 1)]
        spare = len(self.knots) - len(knots)
        self.knots.copy_(torch.cat([knots, knots[-1:].expand(spare)]))
        self.values.copy_(torch.cat([values, values[-1:].expand(spare)]))
        self.least.copy_(rates[0])

    def forward(self, quantity: Tensor) -> Tensor:
        """Any shape to the same; NaN stays NaN."""
        quantity = quantity.float().contiguous()
        place = torch.searchsorted(self.knots, quantity, right=True)
        left, right = (place - 1).clamp(min=0), place.clamp(max=len(self.knots) - 1)
        width = self.knots[right] - self.knots[left]
        share = torch.where(width > 0, (quantity - self.knots[left]) / width.clamp(min=1e-12), 0.0)
        made = self.values[left] + share * (self.values[right] - self.values[left])
        made = torch.where(place == 0, self.least, made)
        return torch.where(torch.isfinite(quantity), made, torch.nan)


class Texture(nn.Module):
    """A filter that gives white noise the correlations of measured fields, alike in all directions.

    Parameters
    ----------
    radius
        Pixels from the middle of the filter to its edge.

    References
    ----------
    A. W. Seed, A dynamic and spatial scaling approach to advection forecasting, J. Appl. Meteorol. 42, 2003, Sect. 2
    (noise filtered to a measured spectrum); the filter is the inverse transform of the spectrum's root, cut to size.
    """

    kernel: Tensor

    def __init__(self, radius: int = 16) -> None:
        super().__init__()
        self.radius = radius
        self.register_buffer("kernel", torch.full((2 * radius + 1, 2 * radius + 1), torch.nan))

    def fit(self, fields: Tensor) -> None:
        """Measure the filter on fields ``(B, H, W)``, NaN where not known; the noise has their variance."""
        radius = self.radius
        lags = correlations(fields, 2 * radius)
        axis = torch.arange(-2 * radius, 2 * radius + 1, dtype=lags.dtype)
        distance = (axis[:, None].square() + axis[None, :].square()).sqrt()
        # Averages over rings make it alike in all directions; a taper keeps what few pairs say out.
        ring = distance.round().long().flatten()
        known = torch.isfinite(lags).flatten()
        total = torch.zeros(int(ring.max()) + 1, dtype=lags.dtype)
        count = total.clone().index_add_(0, ring[known], torch.ones_like(lags.flatten()[known]))
        total.index_add_(0, ring[known], lags.flatten()[known])
        around = (total / count.clamp(min=1))[ring].reshape(lags.shape)
        taper = torch.cos(torch.pi / 2 * (distance / (2 * radius)).clamp(max=1)).square()
        spectrum = torch.fft.fft2(torch.fft.ifftshift(around * taper)).real.clamp(min=0)
        kernel = torch.fft.fftshift(torch.fft.ifft2(spectrum.sqrt()).real)[radius:-radius, radius:-radius]
        size = torch.nanmean(fields.double().square()) / kernel.square().sum()
        self.kernel.copy_(kernel * size.sqrt())

    def forward(self, white: Tensor) -> Tensor:
        """White noise ``(B, M, H + 2 radius, W + 2 radius)`` to correlated noise ``(B, M, H, W)``."""
        flat = functional.conv2d(white.flatten(0, 1)[:, None], self.kernel[None, None])
        return flat.reshape(*white.shape[:2], *flat.shape[-2:])


def correlations(fields: Tensor, most: int) -> Tensor:
    """Mean product of pixels up to `most` pixels apart, ``(2 most + 1, 2 most + 1)``, no shift in the middle.

    Parameters
    ----------
    fields
        ``(B, H, W)`` of mean 0, NaN where not known: only pairs of known pixels count.
    most
        Largest shift along rows and columns; NaN where no pair is so far apart.
    """
    known = torch.isfinite(fields)
    filled = torch.where(known, fields, 0.0).double()
    # Room for the largest shift beside the field, in whole blocks of 32: transforms of primes are slow.
    size = [-(-(length + most) // 32) * 32 for length in fields.shape[-2:]]
    products, pairs = (
        torch.fft.irfft2(torch.fft.rfft2(part, s=size).abs().square().sum(0), s=size)
        for part in (filled, known.double())
    )
    pairs = pairs.round()
    mean = torch.where(pairs > 0, products / pairs.clamp(min=1), torch.nan)
    shifts = torch.arange(-most, most + 1)
    return mean[shifts % size[0]][:, shifts % size[1]]


def _distribution(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Values in rising order, and the share of the weight up to and with each."""
    ranked, order = values.sort()
    share = weight.double()[order].cumsum(0)
    return ranked, share / share[-1]


def _at(shares: Tensor, place: Tensor) -> Tensor:
    return torch.where(place >= 0, shares[place.clamp(min=0)], 0.0)


def _levels(wet: float, count: int, knots: int) -> Tensor:
    """Quantile levels from 1 - `wet` to 1: half of them evenly spaced, half ever closer to 1."""
    even = torch.linspace(1, 0, knots // 2 + 1, dtype=torch.float64)[:-1]
    tail = torch.logspace(0, -torch.log10(torch.tensor(float(max(count, 10)))).item(), knots - len(even)).double()
    beyond: Tensor = wet * torch.cat([even, tail]).sort(descending=True).values
    return 1 - beyond
