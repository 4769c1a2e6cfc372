"""Strata: what results are split by, beside the whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["ALL", "QUALITY_EDGES", "pixel_strata", "time_strata"]

ALL = "all"
QUALITY_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bounds of the classes of quality; the last holds its upper bound too."""
_UNKNOWN = "quality unknown"
_SEASONS = ("DJF", "DJF", "MAM", "MAM", "MAM", "JJA", "JJA", "JJA", "SON", "SON", "SON", "DJF")


def time_strata(names: Sequence[str], starts: NDArray[np.datetime64]) -> dict[str, NDArray[np.bool_]]:
    """Which frames belong to which stratum, the whole first.

    Parameters
    ----------
    names
        Some of ``hour``, ``month``, ``season``; others are left to :func:`pixel_strata`.
    starts
        Start of each frame's interval, UTC.

    Examples
    --------
    >>> starts = np.array(["2018-06-04T12:55", "2018-06-04T13:00"], "datetime64[ns]")
    >>> {name: chosen.tolist() for name, chosen in time_strata(["hour"], starts).items()}
    {'all': [True, True], 'hour 12': [True, False], 'hour 13': [False, True]}
    """
    months = starts.astype("datetime64[M]").astype(int) % 12
    hours = ((starts - starts.astype("datetime64[D]")) // np.timedelta64(1, "h")).astype(int)
    labels = {
        "hour": [f"hour {hour:02d}" for hour in hours],
        "month": [f"month {month + 1:02d}" for month in months],
        "season": [f"season {_SEASONS[month]}" for month in months],
    }
    found = {ALL: np.ones(starts.size, bool)}
    for name in names:
        for label in sorted(set(labels.get(name, []))):
            found[label] = np.array([own == label for own in labels[name]])
    return found


def pixel_strata(names: Sequence[str], quality: xr.DataArray | None) -> dict[str, xr.DataArray]:
    """Which pixels belong to which stratum.

    Parameters
    ----------
    names
        Only ``quality`` splits pixels.
    quality
        Quality of the truth, ``(time, y, x)``, 0–1; unknown quality is a stratum of its own.
    """
    if "quality" not in names:
        return {}
    if quality is None:
        return {_UNKNOWN: xr.DataArray(True)}
    found = {}
    for low, high in pairwise(QUALITY_EDGES):
        last = high == QUALITY_EDGES[-1]
        found[f"quality {low:g}-{high:g}"] = (quality >= low) & ((quality <= high) if last else (quality < high))
    found[_UNKNOWN] = quality.isnull()
    return found
