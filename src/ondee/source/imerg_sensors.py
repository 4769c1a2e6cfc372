"""The microwave sensors behind IMERG, as data: code, name, family; and the stratum of every cell.

Codes of ``HQprecipSource`` (V06) and ``MWprecipSource`` (V07) as other open-source readers of IMERG list them; no
file holds the table. 2, 8 and 10 stand in older lists only. A code that is in none is kept as its own stratum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ondee.errors import UnitError

__all__ = ["SENSORS", "Sensor", "families", "family_of", "flags", "sensor"]


@dataclass(frozen=True, slots=True)
class Sensor:
    """One microwave sensor, or group of equal sensors.

    Parameters
    ----------
    code
        The number that IMERG writes.
    name
        Sensor and platforms.
    family
        ``"imager"``, ``"sounder"``, ``"infrared sounder"`` or ``"combined"``; ``"none"`` for no
        observation; ``"code 99"`` for a code that stands in no table.
    footprint
        Nominal full width at half maximum of what it resolves in rain, km; 0 where that is not known.
    """

    code: int
    name: str
    family: str
    footprint: float = 0.0


SENSORS: tuple[Sensor, ...] = (
    Sensor(0, "no observation", "none"),
    Sensor(1, "TMI", "imager", 12.0),
    Sensor(2, "TCI", "combined"),
    Sensor(3, "AMSR2", "imager", 9.0),
    Sensor(4, "SSMI F13 F14 F15", "imager", 32.0),
    Sensor(5, "SSMIS F16 F17 F18 F19", "imager", 35.0),
    Sensor(6, "AMSU-B", "sounder", 22.0),
    Sensor(7, "MHS", "sounder", 22.0),
    Sensor(8, "Megha-Tropiques", "code 8"),
    Sensor(9, "GMI", "imager", 12.0),
    Sensor(10, "GCI", "combined"),
    Sensor(11, "ATMS", "sounder", 24.0),
    Sensor(12, "AIRS", "infrared sounder"),
    Sensor(13, "TOVS", "infrared sounder"),
    Sensor(14, "CrIS", "infrared sounder"),
    Sensor(15, "AMSR-E", "imager", 11.0),
    Sensor(16, "SSMI F11", "imager", 32.0),
    Sensor(20, "SAPHIR", "sounder", 14.0),
    Sensor(21, "ATMS NOAA-21", "sounder", 24.0),
)
"""Footprints are geometric means of published axes: of the channel near 37 GHz of the imagers (TMI 16 x 9 km,
Kummerow et al. 1998; AMSR2 12 x 7, AMSR-E 14 x 8, Imaoka et al. 2010; GMI 15.6 x 9.4, Draper et al. 2015; SSMI
37 x 28, Hollinger et al. 1990; SSMIS 41 x 31, Kunkee et al. 2008), and of the 183 GHz channels of the sounders,
averaged over their swaths."""
_BY_CODE = {entry.code: entry for entry in SENSORS}


def sensor(code: int) -> Sensor:
    """Look a sensor up; a code that no table holds is a family of its own, not an error.

    Examples
    --------
    >>> sensor(9)
    Sensor(code=9, name='GMI', family='imager', footprint=12.0)
    >>> sensor(99)
    Sensor(code=99, name='code 99', family='code 99', footprint=0.0)
    """
    return _BY_CODE.get(code, Sensor(code, f"code {code}", f"code {code}"))


def families() -> tuple[str, ...]:
    """Strata that the table can give, in the order in which a figure shows them."""
    ordered = dict.fromkeys(["imager", "sounder", *(entry.family for entry in SENSORS if entry.code)])
    return (*ordered, "morph", "mixed", "infrared")


def flags() -> dict[str, object]:
    """CF attributes ``flag_values`` and ``flag_meanings`` of the codes (CF conventions, section 3.5)."""
    return {
        "flag_values": [entry.code for entry in SENSORS],
        "flag_meanings": " ".join(entry.name.replace(" ", "_") for entry in SENSORS),
    }


def family_of(source: ArrayLike, infrared_weight: ArrayLike) -> NDArray[np.str_]:
    """Say from what the rain of every cell was made.

    Parameters
    ----------
    source
        Codes of the microwave sensor, any shape, NaN where missing.
    infrared_weight
        Weight of infrared in the merged estimate, %, same shape, NaN where missing.

    Returns
    -------
    ndarray of str
        The family of the sensor where one passed. Where none did (code 0): ``"morph"`` for weight 0,
        ``"mixed"`` for 0 < weight < 100, ``"infrared"`` for 100. ``""`` where that is not known:
        the code is missing, or it is 0 and the weight is missing or outside 0–100 %.

    Raises
    ------
    UnitError
        If the shapes differ, or a code is no whole number.

    Examples
    --------
    >>> family_of([9, 7, 0, 0, 0, 99, np.nan], [0, 0, 0, 40, 100, 0, 0]).tolist()
    ['imager', 'sounder', 'morph', 'mixed', 'infrared', 'code 99', '']
    """
    codes, weights = np.asarray(source, dtype=np.float64), np.asarray(infrared_weight, dtype=np.float64)
    known = np.isfinite(codes)
    if codes.shape != weights.shape or (codes[known] != np.rint(codes[known])).any():
        raise UnitError(
            "sensor codes must be whole numbers on the cells of the infrared weight",
            where="ondee.source.imerg_sensors.family_of",
            fix="give microwave_source and infrared_weight of one granule, not averaged or regridded",
        )
    strata = np.full(codes.shape, "", dtype="<U16")
    for code in np.unique(codes[known]).astype(int):
        if code != 0:
            strata[codes == code] = sensor(int(code)).family
    none = codes == 0
    strata[none & (weights == 0)] = "morph"
    strata[none & (weights > 0) & (weights < 100)] = "mixed"
    strata[none & (weights == 100)] = "infrared"
    return strata
