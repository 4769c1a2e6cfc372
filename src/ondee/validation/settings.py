"""What a validation of satellite rain is asked to do, and when a number may be told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from ondee.errors import ConfigError
from ondee.score.contingency import rising

__all__ = ["CUTS", "Settings"]

CUTS = (
    "minute",
    "age",
    "infrared_weight",
    "quality_index",
    "wet_fraction",
    "rain_maximum",
    "rain_variability",
    "phase",
    "hour",
    "season",
    "height",
)
"""What results are split by, beside the source."""


@dataclass(frozen=True)
class Settings:
    """How satellite rain is compared with radar.

    Parameters
    ----------
    variable
        The estimate: ``rain_rate``, calibrated, or ``rain_rate_uncalibrated``.
    thresholds
        Rain rates of events, mm h-1; the lowest is also where rain begins in counts of rainy views and days.
    scales
        Widths of windows of the fractions skill score, odd numbers of cells.
    window
        Width of the tiles of spectra, cells; less where the domain is smaller.
    coverage
        Smallest observed share of a cell, in each radar frame.
    time_coverage
        Smallest observed share of the half hour, 1 for all frames.
    half_width
        The radar at the pass is the mean over the minute of the pass plus or minus so many minutes.
    by
        Names of :data:`CUTS`.
    minutes
        Bounds of classes of the minute of the pass, min. A class holds its lower bound, the last its upper bound too.
    ages
        Of the time since the last microwave pass at the cell, counted at the middle of the half hour, min; 0 where a
        sensor passes in the half hour itself. The last class is open.
    infrared_weights
        Of the weight of infrared, %.
    quality_indices
        Of IMERG's quality index.
    wet_fractions
        Of the wet share of the cell in the half-hour mean of the radar.
    rain_maxima
        Of the largest value in the cell of the half-hour mean of the radar, mm h-1. The last class is open.
    rain_variabilities
        Of the coefficient of variation in the cell of the half-hour mean of the radar. The last class is open.
    phases
        Of the probability that precipitation is liquid, %: solid below the first bound, liquid above the second.
    heights
        Of the height of the ground, m; the first class has no lower, the last no upper bound.
    map_threshold
        Rain rate of events in maps, mm h-1.
    cases
        Half hours with most rain that are kept as pictures.
    mixed
        Whether files of several runs and versions may be put together.
    least_views
        Half hours with rain that a source needs in a class, or it is not resolved. Passes within one system depend on
        each other, so this is a floor under the next rule and not a sample size.
    least_days
        Days with rain that it needs: blocks of the bootstrap, whose intervals hold less than they promise below eight.
    widest_bias
        Widest interval of the relative bias that counts as resolved; 1 is minus 50 % to plus 50 %.
    widest_correlation
        Widest interval of the correlation that counts as resolved.
    map_days
        Days with rain that a pixel of a map needs.
    bias_tolerance
        Relative bias, either way, that is no error worth naming.
    score_tolerance
        How far correlation, detection and false alarms may lie from the best without being an error worth naming.
    """

    variable: Literal["rain_rate", "rain_rate_uncalibrated"] = "rain_rate"
    thresholds: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    scales: tuple[int, ...] = (1, 3, 5, 11, 21)
    window: int = 32
    coverage: float = 0.95
    time_coverage: float = 1.0
    half_width: float = 2.5
    by: tuple[str, ...] = CUTS
    minutes: tuple[float, ...] = (0, 5, 10, 15, 20, 25, 30)
    ages: tuple[float, ...] = (0, 15, 45, 75, 120, 180)
    infrared_weights: tuple[float, ...] = (0, 1, 25, 50, 75, 100)
    quality_indices: tuple[float, ...] = (0, 0.2, 0.4, 0.6, 0.8, 1)
    wet_fractions: tuple[float, ...] = (0, 0.01, 0.25, 0.5, 0.75, 0.99, 1)
    rain_maxima: tuple[float, ...] = (0, 0.1, 0.5, 1, 2, 5, 10, 20)
    rain_variabilities: tuple[float, ...] = (0, 0.5, 1, 2, 4)
    phases: tuple[float, float] = (10, 90)
    heights: tuple[float, ...] = (200, 500, 1000, 1500, 2000)
    map_threshold: float = 0.1
    cases: int = 12
    mixed: bool = False
    least_views: int = 10
    least_days: int = 8
    widest_bias: float = 1.0
    widest_correlation: float = 0.5
    map_days: int = 8
    bias_tolerance: float = 0.1
    score_tolerance: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and field.name != "by":
                kind = int if field.name == "scales" else float
                object.__setattr__(self, field.name, tuple(kind(edge) for edge in rising(value, field.name)))
        if any(scale % 2 != 1 or scale < 1 for scale in self.scales):
            raise ConfigError(f"windows of {self.scales} cells", where="--scales", fix="give odd numbers, as 1,3,5,11")
        for name in self.by:
            if name not in CUTS:
                raise ConfigError(f"nothing is split by {name!r}", where="--by", fix="use some of: " + ", ".join(CUTS))
        if self.variable not in ("rain_rate", "rain_rate_uncalibrated"):
            raise ConfigError(
                f"{self.variable!r} is no estimate of IMERG that can be judged",
                where="--variable",
                fix="use rain_rate or rain_rate_uncalibrated",
            )
        for name in ("coverage", "time_coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}", where=f"--{name.replace('_', '-')}", fix="give a share up to 1"
                )
        if not self.half_width > 0 or self.window < 8 or len(self.phases) != 2:
            raise ConfigError(
                f"half_width {self.half_width}, window {self.window}, phases {self.phases} cannot be used",
                where="settings",
                fix="give half_width above 0, window of 8 or more, and two bounds for phases",
            )
