"""From what the rain of a cell was made: a sensor, morphing, a mixture, or infrared; numbers, names and their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ondee.source.imerg_sensors import SENSORS, family_of, sensor

__all__ = ["ALL", "MICROWAVE", "UNKNOWN", "is_microwave", "name_of", "ordered", "sources_of"]

MORPH, MIXED, INFRARED = -1, -2, -3
UNKNOWN = 0
MICROWAVE, ALL = -10, -11
"""All cells that a microwave sensor saw, and all cells; sensors have the numbers that IMERG gives them, above 0."""
_NAMES = {
    MORPH: "morph",
    MIXED: "mixed",
    INFRARED: "infrared",
    UNKNOWN: "unknown",
    MICROWAVE: "microwave",
    ALL: "all",
}
_FIRST_WORDS = Counter(entry.name.split()[0] for entry in SENSORS)
_FIRST = (9, 3, 5, 7, 11)
"""Sensors of the present constellation, in the order of a table: by the age of the design, imagers first."""


def is_microwave(number: int) -> bool:
    """Whether a source is a microwave sensor, or all of them."""
    return number > 0 or number == MICROWAVE


def name_of(number: int) -> str:
    """Name of a source: that of the sensor, without its platforms where that is enough.

    Examples
    --------
    >>> name_of(5), name_of(4), name_of(99), name_of(-1)
    ('SSMIS', 'SSMI F13 F14 F15', 'code 99', 'morph')
    """
    if number in _NAMES:
        return _NAMES[number]
    name = sensor(number).name
    first = name.split()[0]
    return first if _FIRST_WORDS[first] == 1 else name


def ordered(numbers: Iterable[int]) -> list[int]:
    """Sources in the order of a table: sensors, then morphing, mixtures, infrared, unknown ones, and the totals."""
    found = set(numbers)
    known = [number for number in _FIRST if number in found]
    others = sorted(number for number in found if number > 0 and number not in _FIRST)
    last = [number for number in (MORPH, MIXED, INFRARED, UNKNOWN, MICROWAVE, ALL) if number in found]
    return [*known, *others, *last]


def sources_of(code: NDArray[np.float32], infrared_weight: NDArray[np.float32]) -> NDArray[np.int16]:
    """Number of the source of every cell.

    Parameters
    ----------
    code
        Of the microwave sensor, NaN where missing.
    infrared_weight
        Weight of infrared, %, NaN where missing.
    """
    families = family_of(code, infrared_weight)
    made = np.where(np.nan_to_num(code) > 0, np.nan_to_num(code), 0).astype(np.int16)
    for number in (MORPH, MIXED, INFRARED):
        made[families == _NAMES[number]] = number
    return made
