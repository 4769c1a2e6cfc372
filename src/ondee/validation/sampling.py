"""The part of sampling in an error: the squared error of the radar at the pass over that of the estimate."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.score.resampling import intervals

__all__ = ["SHARE", "floor_shares"]

SHARE = "floor_share"
_SUMS = ("sum_square_errors", "weight")
_ALIKE = 0.9
"""Share of the compared cells that must have a pass: the two errors are to be those of the same rain."""


def floor_shares(table: xr.Dataset, *, replicates: int, seed: int, level: float) -> xr.Dataset:
    """Give the share of each source with its interval over blocks of days, both errors drawn together.

    The mean squared error of the comparison ``floor`` (radar at the pass against the radar's half-hour mean) is divided
    by that of ``mean`` (the estimate against the same mean). It is undefined where a tenth of the cells or more have no
    pass, as those of all sources together may. Both errors are drawn by the same days, so the interval is narrower than
    that of two errors apart. A share above 1 is possible: an
    estimate that blurs may lie nearer to a mean than a snapshot without error.

    Parameters
    ----------
    table
        Sums of the score ``point``: ``sum_square_errors`` and ``weight`` ``(time, comparison, source, population)``.
    replicates, seed, level
        Of the bootstrap.

    Returns
    -------
    xarray.Dataset
        ``floor_share``, ``floor_share_low``, ``floor_share_high`` ``(source)``; NaN where undefined.
    """
    own = table[list(_SUMS)].sel(population="all", comparison=["floor", "mean"]).transpose("time", "source", ...)
    sums = np.stack([own[name].values for name in _SUMS], axis=-1)
    made = np.full((3, table.sizes["source"]), np.nan)
    for place in range(table.sizes["source"]):
        held = sums[:, place][(sums[:, place] > 0).any(axis=(1, 2))]
        total = held.sum(axis=0)
        if len(held) and total[0, 1] >= _ALIKE * total[1, 1] > 0:
            made[0, place] = np.exp(_logarithm(total[np.newaxis])[0])
        if np.isfinite(made[0, place]):
            made[1:, place] = np.exp(intervals(held, _logarithm, replicates=replicates, seed=seed, level=level))
    about = {"units": "1", "long_name": "squared error of the sampling floor over that of the estimate"}
    return xr.Dataset({f"{SHARE}{end}": ("source", made[row], about) for row, end in enumerate(("", "_low", "_high"))})


def _logarithm(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the share from sums ``(draw, comparison, quantity)``; NaN where either error is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = sums[:, :, 0] / sums[:, :, 1]
        share = np.log(error[:, 0] / error[:, 1])
    return np.where(np.isfinite(share), share, np.nan)
