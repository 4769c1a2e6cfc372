"""What a verification is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ondee.errors import ConfigError
from ondee.score import THRESHOLDS
from ondee.score.contingency import rising

__all__ = ["STRATA", "Settings"]

STRATA = ("hour", "month", "season", "quality")
"""What results can be split by: hour and month of the truth's interval in UTC, season, quality of the truth."""


@dataclass(frozen=True)
class Settings:
    """How estimates are scored.

    Parameters
    ----------
    thresholds
        Rain rates of events, mm h-1.
    scales
        Widths of windows, odd numbers of pixels.
    by
        Names of :data:`STRATA`.
    scores
        Names of scores; all that suit an estimate where empty.
    sample
        ``common``: only pixels that the truth and every estimate observe, so that estimates can be compared;
        ``own``: each estimate on all that it shares with the truth.
    mixed
        Whether the files of one side may be of several products and grids, as a collection of events is.
    lags
        Minutes of the persistence forecasts to add: the truth itself, so much earlier.
    window
        Width of the tiles of spectra and displacements, pixels.
    seed
        Seed of whatever is drawn.
    block
        Minutes of a block of time of the bootstrap, at most a day: sums are kept for each.
    step
        Hours that a frame stands for, which return levels need; found from the truth where None.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    scales: tuple[int, ...] = (1, 3, 5, 11, 21)
    by: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    sample: Literal["common", "own"] = "common"
    mixed: bool = False
    lags: tuple[float, ...] = ()
    window: int = 64
    seed: int = 0
    block: int = 1440
    step: float | None = None

    def __post_init__(self) -> None:
        if self.window < 8:
            raise ConfigError(f"tiles of {self.window} pixels", where="--window", fix="give 8 pixels or more, as 64")
        object.__setattr__(self, "thresholds", tuple(float(level) for level in rising(self.thresholds, "thresholds")))
        scales = rising(self.scales, "scales")
        if (scales % 2 != 1).any() or scales[0] < 1:
            raise ConfigError(
                f"windows of {self.scales} pixels", where="--scales", fix="give odd numbers, as 1,3,5,11,21"
            )
        object.__setattr__(self, "scales", tuple(int(scale) for scale in scales))
        for name in self.by:
            if name not in STRATA:
                raise ConfigError(
                    f"nothing is split by {name!r}", where="--by", fix="use some of: " + ", ".join(STRATA)
                )
        if self.sample not in ("common", "own"):
            raise ConfigError(f"{self.sample!r} is no sample", where="--sample", fix="use common or own")
        if any(not 0 < lag < float("inf") for lag in self.lags):
            raise ConfigError(
                f"persistence over {self.lags} minutes", where="--persistence", fix="give minutes above 0"
            )
