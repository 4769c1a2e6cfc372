"""What a validation says of each sensor: value, interval, tolerance and verdict of each kind of fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.plot.style import Style, inks

__all__ = [
    "GATHERED",
    "KINDS",
    "REFERENCES",
    "Finding",
    "Kind",
    "Result",
    "Verdict",
    "class_of",
    "findings",
    "group",
    "in_order",
    "ink_of",
    "judged",
    "signed",
    "sources_of",
]

Result = Mapping[str, xr.Dataset]
"""Group of ``scores.nc`` → its Dataset: ``scores/<cut>``, ``sensors``, ``maps``, ``cases``."""
Verdict = Literal["found", "clear", "not resolved"]

REFERENCES = {"overpass": "radar at the overpass", "mean": "radar's half-hour mean"}
"""What a sensor is compared with, in words."""
_FIRST = ("GMI", "AMSR2", "SSMIS", "MHS", "ATMS")
"""Sensors of the present constellation, imagers first."""
GATHERED = ("morph", "mixed", "infrared", "unknown", "microwave", "all")
"""Sources that are no single sensor."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Parameters
    ----------
    name
        Variable of the group ``sensors``.
    title
        Name and unit, for an axis.
    neutral
        Value of a sensor without fault.
    unit
        What follows a value.
    digits
        Digits behind the point.
    """

    name: str
    title: str
    neutral: float
    unit: str
    digits: int

    def band(self, tolerance: float) -> tuple[float, float]:
        """Values that are as good as none: a factor either way for the gain, a distance either way for the rest.

        Examples
        --------
        >>> [round(edge, 3) for edge in KINDS["bias"].band(0.25)], KINDS["east"].band(0.25)
        ([0.8, 1.25], (-0.25, 0.25))
        """
        if self.name == "bias":
            return 1.0 / (1.0 + tolerance), 1.0 + tolerance
        return self.neutral - tolerance, self.neutral + tolerance


KINDS = {
    kind.name: kind
    for kind in (
        Kind("bias", "gain (×)", 1.0, "×", 2),
        Kind("east", "shift east (cells)", 0.0, "cells", 2),
        Kind("north", "shift north (cells)", 0.0, "cells", 2),
        Kind("clock", "clock late (min)", 0.0, "min", 1),
    )
}
"""The kinds of fault, in the order of a table."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault of one sensor.

    Parameters
    ----------
    source
        Name of the sensor.
    kind
        Key of :data:`KINDS`.
    value, low, high
        Estimate and its interval; NaN where undefined.
    tolerance
        Reach around no fault that is as good as none.
    verdict
        ``found`` where the interval lies beyond the tolerance, ``clear`` where it is narrow and reaches into it.
    views, days
        Passes, and days on which they fell.
    """

    source: str
    kind: str
    value: float
    low: float
    high: float
    tolerance: float
    verdict: str
    views: int
    days: int

    @property
    def is_sensor(self) -> bool:
        """Whether the source is one microwave sensor."""
        return self.source not in GATHERED

    @property
    def about(self) -> Kind:
        """The kind, with its unit and neutral value."""
        return KINDS[self.kind]


def group(result: Result, name: str) -> xr.Dataset:
    """Give one group of a validation.

    Raises
    ------
    ConfigError
        If it is not there.
    """
    if name not in result:
        raise ConfigError(
            f"the validation has no group {name!r}",
            where="scores.nc",
            fix="run `ondee validate` again; it writes this group when there is something to put into it",
        )
    return result[name]


def findings(result: Result, comparison: str = "overpass") -> list[Finding]:
    """Every sensor and kind, sensor by sensor; nothing where the group ``sensors`` is absent.

    Parameters
    ----------
    result
        Groups of a validation.
    comparison
        Reference against which the faults were estimated: ``overpass`` or ``mean``.
    """
    if "sensors" not in result:
        return []
    held = result["sensors"]
    if "comparison" in held.dims:
        if comparison not in held["comparison"].values.astype(str):
            return []
        held = held.sel(comparison=comparison)
    made = []
    for source in in_order(map(str, held["source"].values)):
        one = held.sel(source=source)
        for kind in KINDS:
            if kind in one:
                made.append(_finding(one, source, kind))
    return made


def judged(result: Result) -> list[Finding]:
    """Every sensor and kind against the radar at the overpass, or against the half-hour mean where a source has none.

    Parameters
    ----------
    result
        Groups of a validation.
    """
    sharp, blunt = findings(result), findings(result, "mean")
    passing, known = ({entry.source for entry in held if np.isfinite(entry.value)} for held in (sharp, blunt))
    chosen = [entry for entry in blunt if entry.source in known - passing]
    taken = {entry.source for entry in chosen}
    chosen += [entry for entry in sharp or blunt if entry.source not in taken]
    order = in_order({entry.source for entry in chosen})
    return sorted(chosen, key=lambda entry: order.index(entry.source))


def _finding(one: xr.Dataset, source: str, kind: str) -> Finding:
    """One entry; what no interval supports is not resolved."""
    value, low, high = (_number(one, f"{kind}{suffix}") for suffix in ("", "_low", "_high"))
    verdict = str(one[f"{kind}_verdict"].values) if f"{kind}_verdict" in one else ""
    if verdict not in ("found", "clear") or not np.isfinite([value, low, high]).all():
        verdict = "not resolved"
    tolerance = _number(one, f"{kind}_tolerance")
    counts = [_number(one, name) for name in ("views", "days")]
    views, days = (int(count) if np.isfinite(count) else 0 for count in counts)
    return Finding(source, kind, value, low, high, tolerance, verdict, views, days)


def _number(dataset: xr.Dataset, name: str) -> float:
    """A scalar; NaN where it is absent."""
    return float(dataset[name].values) if name in dataset and not dataset[name].ndim else float("nan")


def sources_of(dataset: xr.Dataset, variable: str, *, sensors: bool | None = None) -> list[str]:
    """Sources for which a variable is defined anywhere.

    Parameters
    ----------
    dataset
        A group of scores.
    variable
        Which variable.
    sensors
        True for microwave sensors alone, False for what is no single sensor, None for all.
    """
    wanted = []
    for source in in_order(map(str, dataset["source"].values)):
        alone = source not in GATHERED
        if sensors is not None and sensors != alone:
            continue
        if np.isfinite(dataset[variable].sel(source=source).values.astype(float)).any():
            wanted.append(source)
    return wanted


def class_of(dataset: xr.Dataset, cut: str) -> tuple[str, list[str]]:
    """Dimension of the classes of a cut, and their names as a figure prints them.

    Parameters
    ----------
    dataset
        The group ``scores/<cut>``.
    cut
        Name of the cut.

    Raises
    ------
    ConfigError
        If the group has no dimension of classes.
    """
    dimension = cut if cut in dataset.dims else "class"
    if dimension not in dataset.dims:
        raise ConfigError(
            f"scores/{cut} has no classes", where="scores.nc", fix="run `ondee validate` again with this version"
        )
    labels = dataset[dimension].values if dimension in dataset.coords else range(dataset.sizes[dimension])
    return dimension, [_label(label) for label in labels]


def _label(label: Any) -> str:
    """A class in words: numbers without needless digits."""
    return f"{label:g}" if isinstance(label, float | np.floating) else str(label)


def in_order(sources: Iterable[str]) -> list[str]:
    """Sources in the order of every figure and table: sensors, then what lies between passes, then the totals.

    Parameters
    ----------
    sources
        Names.

    Examples
    --------
    >>> in_order(["all", "morph", "ATMS", "SAPHIR", "GMI"])
    ['GMI', 'ATMS', 'SAPHIR', 'morph', 'all']
    """
    order = {name: place for place, name in enumerate((*_FIRST, None, *GATHERED))}
    return sorted(sources, key=lambda source: (order.get(source, len(_FIRST)), source))


def ink_of(verdict: str, style: Style) -> str:
    """Colour of a verdict: strong for what was found, quiet for what is clear, grey for what is open."""
    accent, contrast, muted = inks(style)
    return {"found": contrast, "clear": accent}.get(verdict, muted)


def signed(value: float, digits: int = 2) -> str:
    """A value with its sign, 0 without.

    Parameters
    ----------
    value
        Any number.
    digits
        Digits behind the point.

    Examples
    --------
    >>> signed(-0.001), signed(1.2), signed(-0.25)
    ('0.00', '+1.20', '−0.25')
    """
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")
