"""Sums of the sampling floor, kept by block of time and tile of space, and the scores that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.calendar import step_of
from ondee.score.resampling import intervals

__all__ = ["LAGS", "POPULATIONS", "THRESHOLDS", "Frame", "Tally", "Window"]

THRESHOLDS = (0.1, 1.0)
"""Rain rates of the detection scores, mm h-1."""
LAGS = tuple(range(61))
"""Distances in time of two snapshots, minutes."""
POPULATIONS = ("rain", "all")
"""Cells in which it rained at any moment of the half hour, and all observed cells."""
MINUTES = 30
FEW = 30
"""Below this many blocks of time, tiles of space are resampled too."""

_MINUTE = np.timedelta64(60, "s").astype("timedelta64[ns]")
_Sums = dict[np.datetime64, NDArray[np.float64]]


@dataclass
class Frame:
    """One radar frame on the cells of the comparison; `rain` ``(y, x)`` in mm h-1."""

    start: np.datetime64
    end: np.datetime64
    rain: NDArray[np.float32]

    def minutes_of(self, start: np.datetime64) -> NDArray[np.int64]:
        """Minutes after `start` whose middle lies in the frame."""
        middles = (np.arange(MINUTES) + 0.5) * 60.0
        first, last = ((edge - start) / np.timedelta64(1, "s") for edge in (self.start, self.end))
        return np.flatnonzero((middles >= first) & (middles < last))


@dataclass
class Window:
    """One complete half hour: its frames and their mean, ``(y, x)`` in mm h-1."""

    start: np.datetime64
    frames: list[Frame]
    mean: NDArray[np.float32]


@dataclass
class Tally:
    """Sums per block of time and tile of space.

    Parameters
    ----------
    tiles
        Number of the tile of each cell, ``(y, x)``.
    block
        Length of a block of time.
    """

    tiles: NDArray[np.int64]
    block: np.timedelta64
    point: _Sums = field(default_factory=dict)
    event: _Sums = field(default_factory=dict)
    lag: _Sums = field(default_factory=dict)
    windows: int = 0
    rainy_cells: int = 0

    def add(self, window: Window) -> None:
        """Score each frame of a half hour against its mean."""
        point = self._block(self.point, window.start, (len(POPULATIONS), MINUTES, 6))
        event = self._block(self.event, window.start, (len(THRESHOLDS), MINUTES, 3))
        rained = window.mean > 0
        self.windows += 1
        self.rainy_cells += int(np.count_nonzero(rained))
        for frame in window.frames:
            minutes = frame.minutes_of(window.start)
            both = np.isfinite(frame.rain) & np.isfinite(window.mean)
            for population, chosen in enumerate((both & rained, both)):
                point[:, population, minutes] += self._moments(chosen, frame.rain, window.mean)[:, None, :]
            for index, threshold in enumerate(THRESHOLDS):
                seen, true = frame.rain >= threshold, window.mean >= threshold
                counts = [self._count(both & hit) for hit in (seen & true, ~seen & true, seen & ~true)]
                event[:, index, minutes] += np.stack(counts, axis=-1)[:, None, :]

    def pair(self, first: Window, second: Window) -> None:
        """Correlate the frames of one half hour with later ones of the same or the next half hours."""
        table = self._block(self.lag, first.start, (len(POPULATIONS), len(LAGS), 6))
        rained = (first.mean > 0) | (second.mean > 0)
        for early in first.frames:
            for late in second.frames:
                lag = round(float((late.start - early.start) / _MINUTE))
                if lag not in LAGS:
                    continue
                both = np.isfinite(early.rain) & np.isfinite(late.rain)
                for population, chosen in enumerate((both & rained, both)):
                    table[:, population, lag] += self._moments(chosen, early.rain, late.rain)

    def scores(self, *, replicates: int, seed: int) -> xr.Dataset:
        """Ratios of the sums, with percentile intervals over blocks.

        Parameters
        ----------
        replicates
            Bootstrap replicates.
        seed
            Seed of the draws.
        """
        point, event, lag = (self._blocks(table) for table in (self.point, self.event, self.lag))
        used = [index for index in range(len(LAGS)) if lag[:, 1, index, 0].sum() > 0]
        coordinates = {
            "minute": ("minute", np.arange(MINUTES), {"units": "min", "long_name": "minute of the snapshot"}),
            "population": ("population", list(POPULATIONS)),
            "threshold": ("threshold", list(THRESHOLDS), {"units": "mm h-1", "long_name": "rain threshold"}),
            "lag": ("lag", [LAGS[index] for index in used], {"units": "min", "long_name": "time between snapshots"}),
        }
        tables: tuple[tuple[str, NDArray[np.float64], _Score, tuple[str, ...], str], ...] = (
            ("correlation", point, _correlation, ("population", "minute"), "correlation with the half-hour mean"),
            ("normalised_rmse", point, _normalised_rmse, ("population", "minute"), "RMSE over mean rain"),
            ("probability_of_detection", event, _detection, ("threshold", "minute"), "probability of detection"),
            ("false_alarm_ratio", event, _false_alarm, ("threshold", "minute"), "false alarm ratio"),
            ("lag_correlation", lag[:, :, used], _correlation, ("population", "lag"), "correlation of two snapshots"),
        )
        data = {}
        for name, sums, score, dims, words in tables:
            draws = intervals(sums, score, replicates=replicates, seed=seed, kind="percentile")
            for suffix, values in (("", score(sums.sum(axis=0))), ("_low", draws[0]), ("_high", draws[1])):
                data[name + suffix] = (dims, values, {"units": "1", "long_name": words + _BOUND[suffix]})
        attributes = {
            "half_hours": self.windows,
            "rainy_cells": self.rainy_cells,
            "blocks": len(point),
            "block_length": str(self.block.astype("timedelta64[m]")),
            "replicates": replicates,
            "seed": seed,
        }
        return xr.Dataset(data, coords=coordinates, attrs=attributes)

    def _block(self, table: _Sums, start: np.datetime64, inner: tuple[int, ...]) -> NDArray[np.float64]:
        """Sums of the block in which a half hour lies."""
        key = step_of(start, self.block)
        if key not in table:
            table[key] = np.zeros((int(self.tiles.max()) + 1, *inner))
        return table[key]

    def _blocks(self, table: _Sums) -> NDArray[np.float64]:
        """All blocks as one array, ``(block, …)``, those without a single cell left out."""
        stacked = np.stack([table[key] for key in sorted(table)])
        enough = len(stacked) >= FEW
        stacked = stacked.sum(axis=1) if enough else stacked.reshape(-1, *stacked.shape[2:])
        used = stacked.reshape(len(stacked), -1).any(axis=1)
        return np.asarray(stacked[used])

    def _count(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(self.tiles[chosen], minlength=int(self.tiles.max()) + 1).astype(float)

    def _moments(
        self, chosen: NDArray[np.bool_], estimate: NDArray[np.float32], truth: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """n, Σs, Σr, Σs², Σr², Σsr per tile, ``(tile, 6)``."""
        tile = self.tiles[chosen]
        s, r = estimate[chosen].astype(float), truth[chosen].astype(float)
        size = int(self.tiles.max()) + 1
        return np.stack(
            [np.bincount(tile, weights=w, minlength=size) for w in (np.ones_like(s), s, r, s * s, r * r, s * r)],
            axis=-1,
        )


# ---- scores from sums

_Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_BOUND = {"": "", "_low": ", 2.5 percentile over blocks", "_high": ", 97.5 percentile over blocks"}


def _correlation(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation from moments."""
    n, s, r, ss, rr, sr = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (ss - s * s / n) * (rr - r * r / n)
        made = (sr - s * r / n) / np.sqrt(np.maximum(spread, 0.0))
    return np.where(spread > 0, made, np.nan)


def _normalised_rmse(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square difference over the mean of the truth."""
    n, _, r, ss, rr, sr = np.moveaxis(sums, -1, 0)
    return _ratio(np.sqrt(np.maximum(ss - 2 * sr + rr, 0.0) * n), r)


def _detection(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hits over hits and misses."""
    hit, miss, _ = np.moveaxis(counts, -1, 0)
    return _ratio(hit, hit + miss)


def _false_alarm(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """False alarms over hits and false alarms."""
    hit, _, false = np.moveaxis(counts, -1, 0)
    return _ratio(false, hit + false)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient, NaN where nothing stands below."""
    quotient = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient
