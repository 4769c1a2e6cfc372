"""What a validation of satellite rain is asked to do, and when a number may be told."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np

from ondee.errors import ConfigError
from ondee.score.contingency import rising
from ondee.validation.faults import Rules

__all__ = ["CUTS", "JUDGING", "Settings"]

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
JUDGING = (
    "least_views",
    "least_days",
    "widest_bias",
    "widest_correlation",
    "map_days",
    "bias_tolerance",
    "score_tolerance",
    "rules",
)
"""Settings that judge finished scores: sums do not depend on them."""


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
        Days with rain that it needs: blocks of the bootstrap. On clean worlds intervals hold what they promise from
        four days on, but below six those of correlations are often wider than is allowed (docs/validate.md).
    widest_bias
        Widest interval of the relative bias that counts as resolved; 0.6 is 30 % either way, as for faults.
    widest_correlation
        Widest interval of the correlation that counts as resolved.
    map_days
        Days with rain that a pixel of a map needs.
    bias_tolerance
        Relative bias, either way, that is no error worth naming.
    score_tolerance
        How far correlation, detection and false alarms may lie from the best without being an error worth naming.
    rules
        When a fault of a sensor counts as found, as absent, or as not resolved.
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
    least_views: int = 8
    least_days: int = 6
    widest_bias: float = 0.6
    widest_correlation: float = 0.5
    map_days: int = 8
    bias_tolerance: float = 0.1
    score_tolerance: float = 0.1
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        for own in fields(self):
            value = getattr(self, own.name)
            if isinstance(value, tuple) and own.name != "by":
                kind = int if own.name == "scales" else float
                object.__setattr__(self, own.name, tuple(kind(edge) for edge in rising(value, own.name)))
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
        if len(self.phases) != 2:
            raise ConfigError(f"phases are {self.phases}", where="settings", fix="give two bounds: solid, liquid")
        for name in ("minutes", "infrared_weights", "quality_indices", "wet_fractions"):
            if len(getattr(self, name)) < 2:
                raise ConfigError(f"{name} bound no class", where="settings", fix="give two bounds or more")
        self._require_least()

    def _require_least(self) -> None:
        """Refuse numbers that are too small to mean anything."""
        above = ("half_width", "map_threshold", "widest_bias", "widest_correlation")
        least = {"window": 8, "cases": 0, "least_views": 1, "least_days": 1, "map_days": 1}
        for name in (*above, *least, "bias_tolerance", "score_tolerance"):
            value, bound = getattr(self, name), least.get(name, 0)
            if not np.isfinite(value) or value < bound or (name in above and value == 0):
                wanted = f"{bound} or more" if name not in above else "a number above 0"
                raise ConfigError(f"{name} is {value}", where=f"settings, {name}", fix=f"give {wanted}")
        if not self.thresholds[0] > 0:
            raise ConfigError(
                f"thresholds begin at {self.thresholds[0]} mm/h, where every cell is an event",
                where="--thresholds",
                fix="begin above 0, as 0.1,1,5",
            )
