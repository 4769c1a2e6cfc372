"""What every finished score is: its unit, range, best value, equation, source, and what it cannot see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from ondee.errors import ConfigError

__all__ = ["MEASURES", "SCORES", "Axis", "Finisher", "Measure", "finisher_of", "register"]

Axis = Literal["where", "what", "probability", "amount", "context"]
"""``where`` the rain is, ``what`` rain it is, the worth of a ``probability``, the ``amount``, or mere ``context``."""
Finisher = Callable[[xr.Dataset], xr.Dataset]


@dataclass(frozen=True)
class Measure:
    """One quantity that :func:`ondee.score.finish` gives.

    Parameters
    ----------
    name
        Variable name in the finished Dataset.
    long_name
        What a person calls it.
    equation
        Definition in LaTeX, without dollar signs.
    source
        Paper and equation, or textbook and section.
    blind
        What it does not see, or how it can mislead.
    axis
        What it judges.
    units
        ``"1"``, or ``"data"`` for the unit of the fields, ``"data2"`` for its square, or any UDUNITS string.
    best
        Value of a perfect estimate; NaN where there is none.
    bounds
        Smallest and largest value it can take.
    stepped
        Whether it can only be one of the scales that were looked at. Its interval is then that of the replicates
        themselves: a spread added to a step would give scales that nobody looked at.
    """

    name: str
    long_name: str
    equation: str
    source: str
    blind: str
    axis: Axis = "where"
    units: str = "1"
    best: float = 1.0
    bounds: tuple[float, float] = (0.0, 1.0)
    stepped: bool = False

    def attributes(self, units: str = "", *, pixels: bool = False) -> dict[str, str]:
        """CF attributes of the finished variable.

        Parameters
        ----------
        units
            Unit of the fields that were scored; empty where they carried none.
        pixels
            Whether lengths are in pixels, as the coordinates did not tell the size of one.
        """
        attributes = {"long_name": self.long_name}
        if self.units == "km" and pixels:
            return {"long_name": f"{self.long_name} in pixels", "units": "1"}
        if not self.units.startswith("data"):
            return {**attributes, "units": self.units}
        if not units:
            return attributes
        return {
            **attributes,
            "units": units if self.units == "data" else f"({units})2" if " " in units else f"{units}2",
        }

    def distance(self, value: xr.DataArray) -> xr.DataArray:
        """How far a value lies from the best one; on a logarithmic scale where the measure is a ratio with best 1.

        Parameters
        ----------
        value
            Values of this measure.
        """
        if np.isfinite(self.best) and self.best == 1.0 and self.bounds[1] == np.inf and self.bounds[0] == 0.0:
            with np.errstate(divide="ignore", invalid="ignore"):
                return xr.DataArray(abs(np.log(value)))
        return abs(value - self.best)


MEASURES: dict[str, Measure] = {}
"""Name of a finished variable → what it is. Filled by the modules of this room."""
SCORES: dict[str, tuple[str, ...]] = {}
"""Name of a score → the variables that it gives when finished."""
_FINISHERS: dict[str, Finisher] = {}


def register(score: str, finisher: Finisher, measures: Sequence[Measure]) -> None:
    """Make a score known: how its sums become ratios, and what those are.

    Parameters
    ----------
    score
        Name of the public function.
    finisher
        Sums, with any further dimensions, to finished variables of the same further dimensions.
    measures
        What the finisher gives.
    """
    _FINISHERS[score] = finisher
    SCORES[score] = tuple(measure.name for measure in measures)
    for measure in measures:
        known = MEASURES.setdefault(measure.name, measure)
        if known != measure:
            raise ConfigError(
                f"two scores give {measure.name}, and not the same",
                where=f"ondee.score, {score}",
                fix="give one of them another name",
            )


def finisher_of(score: str) -> Finisher:
    """Finisher of a score by its name.

    Raises
    ------
    ConfigError
        If there is no such score.
    """
    if score not in _FINISHERS:
        raise ConfigError(f"{score!r} is no score", where="sums", fix="use one of: " + ", ".join(sorted(_FINISHERS)))
    return _FINISHERS[score]
