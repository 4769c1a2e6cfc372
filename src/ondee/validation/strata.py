"""Classes that cells fall into: by pass, by how IMERG was made, by the rain that the radar saw, by time and place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ondee.validation.settings import CUTS, Settings

__all__ = ["BY_TIME", "Cut", "cuts", "time_classes"]

BY_TIME = ("hour", "season")
"""Classes that follow from the time of a half hour alone."""
_SEASONS = ("DJF", "MAM", "JJA", "SON")
_WHOLE = frozenset({"minute", "age", "infrared_weight"})
"""Quantities that are whole numbers, so that a class is told by its first and last."""


@dataclass(frozen=True)
class Cut:
    """One way to split cells.

    Parameters
    ----------
    name
        One of :data:`~ondee.validation.settings.CUTS`.
    edges
        Bounds of the classes; infinite where a class is open. None for classes of time.
    labels
        Name of each class.
    units, long_name
        Of the quantity behind it.
    """

    name: str
    edges: tuple[float, ...] | None
    labels: tuple[str, ...]
    units: str
    long_name: str

    def classes(self, values: NDArray[np.floating]) -> NDArray[np.int16]:
        """Number of the class of each value; −1 where it is missing or in none.

        Examples
        --------
        >>> cut = Cut("minute", (0.0, 15.0, 30.0), ("0–14", "15–29"), "min", "minute of the pass")
        >>> cut.classes(np.array([0.0, 14.9, 15.0, 30.0, 31.0, np.nan])).tolist()
        [0, 0, 1, 1, -1, -1]
        """
        edges = np.asarray(self.edges, np.float32)
        found = np.searchsorted(edges, values, side="right") - 1
        found[(values == edges[-1]) & np.isfinite(values)] = edges.size - 2
        found[~np.isfinite(values) & ~np.isposinf(values) | (found >= edges.size - 1) | (found < 0)] = -1
        if np.isinf(edges[-1]):
            found[np.isposinf(values)] = edges.size - 2
        return found.astype(np.int16)


def cuts(settings: Settings) -> dict[str, Cut]:
    """All cuts of a validation by their name, in order.

    Parameters
    ----------
    settings
        With the bounds of the classes.
    """
    inf = float("inf")
    solid, liquid = settings.phases
    known: dict[str, tuple[tuple[float, ...], str, str]] = {
        "minute": (settings.minutes, "min", "minute of the pass in its half hour"),
        "age": ((*settings.ages, inf), "min", "time since the last microwave pass"),
        "infrared_weight": (settings.infrared_weights, "%", "weight of infrared"),
        "quality_index": (settings.quality_indices, "1", "quality index"),
        "wet_fraction": (settings.wet_fractions, "1", "wet fraction of the cell"),
        "rain_maximum": ((*settings.rain_maxima, inf), "mm h-1", "maximum in the cell"),
        "rain_variability": ((*settings.rain_variabilities, inf), "1", "coefficient of variation in the cell"),
        "height": ((-inf, *settings.heights, inf), "m", "height of the ground"),
    }
    made = {name: Cut(name, edges, _labels(name, edges), *about) for name, (edges, *about) in known.items()}
    # Solid is below the first bound, liquid above the second: both bounds are mixed.
    edges = (-inf, solid, float(np.nextafter(np.float32(liquid), np.float32(inf))), inf)
    made["phase"] = Cut("phase", edges, ("solid", "mixed", "liquid"), "%", "phase of precipitation")
    hours = tuple(f"{hour:02d}" for hour in range(24))
    made["hour"] = Cut("hour", None, hours, "h", "hour of the day, UTC")
    made["season"] = Cut("season", None, _SEASONS, "1", "season")
    return {name: made[name] for name in CUTS if name in settings.by}


def time_classes(name: str, starts: NDArray[np.datetime64]) -> NDArray[np.int16]:
    """Number of the class of each time.

    Parameters
    ----------
    name
        One of :data:`BY_TIME`.
    starts
        Starts of half hours, UTC.
    """
    if name == "hour":
        return np.asarray((starts - starts.astype("datetime64[D]")) // np.timedelta64(1, "h"), np.int16)
    months = starts.astype("datetime64[M]").astype(int) % 12
    return np.asarray((months + 1) % 12 // 3, np.int16)


def _labels(name: str, edges: Sequence[float]) -> tuple[str, ...]:
    """Names of the classes between bounds."""
    made = []
    for index, (low, high) in enumerate(pairwise(edges)):
        last = index == len(edges) - 2
        if np.isinf(high):
            made.append(f"≥ {low:g}")
        elif np.isinf(low):
            made.append(f"< {high:g}")
        elif name in _WHOLE and high - low == 1 and not last:
            made.append(f"{low:g}")
        elif name in _WHOLE:
            made.append(f"{low:g}–{high - (0 if last and name == 'infrared_weight' else 1):g}")
        else:
            made.append(f"{low:g}–{high:g}")
    return tuple(made)
