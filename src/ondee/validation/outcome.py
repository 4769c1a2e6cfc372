"""What was found of each fault, beside what was planted: the answer checked, where it is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import xarray as xr

from ondee.validation.faults import KINDS

__all__ = ["Outcome", "outcomes"]


@dataclass(frozen=True)
class Outcome:
    """What became of one kind of fault in one sensor.

    Parameters
    ----------
    sensor, kind
        Sensor, and one of :data:`~ondee.validation.faults.KINDS`.
    planted
        Its true size; None where nothing was planted.
    value, low, high
        What was measured, with its interval.
    verdict
        ``"found"``, ``"clear"`` or ``"not resolved"``.
    """

    sensor: str
    kind: str
    planted: float | None
    value: float
    low: float
    high: float
    verdict: str

    @property
    def truth(self) -> float:
        """The planted size, or that of none: 1 of a bias, else 0."""
        return self.planted if self.planted is not None else float(self.kind == "bias")

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high

    @property
    def right(self) -> bool:
        """Whether a planted fault was found with an interval that holds its size, or a sound sensor not accused."""
        return (self.verdict == "found") == (self.planted is not None) and (self.planted is None or self.held)


def outcomes(
    sensors: xr.Dataset, planted: Mapping[tuple[str, str], float], *, comparison: str = "overpass"
) -> Iterator[Outcome]:
    """Go through every source and kind of fault.

    Parameters
    ----------
    sensors
        From :func:`ondee.validation.faults.faults`.
    planted
        True size by sensor and kind; what is absent was not planted.
    comparison
        The reference, ``"overpass"`` or ``"mean"``.
    """
    at = sensors.sel(comparison=comparison)
    for kind in KINDS:
        for sensor in map(str, at["source"].values):
            here = at.sel(source=sensor)
            value, low, high = (float(here[f"{kind}{end}"]) for end in ("", "_low", "_high"))
            verdict = str(here[f"{kind}_verdict"].item())
            yield Outcome(sensor, kind, planted.get((sensor, kind)), value, low, high, verdict)
