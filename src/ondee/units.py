"""The vocabulary: the name, unit and CF attributes of every quantity that ondee knows.

One table, :data:`VOCABULARY`, says how each quantity is called, in which unit it is held and
within which bounds a value is physically plausible. xarray keeps attributes through arithmetic
(``rain > 0`` still claims mm h-1), so a changed quantity is named anew with :func:`tag`, and a
public function asks for what it needs with :func:`require`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ondee.errors import UnitError

__all__ = [
    "DEGREE",
    "VOCABULARY",
    "WET",
    "Quantity",
    "canonical",
    "refuse_mean",
    "require",
    "tag",
    "tells_rain",
    "to_amount",
    "to_rate",
]


WET = 0.1
"""Rain rate from which a pixel counts as wet, mm h-1."""
DEGREE = 111.195
"""Kilometres of a degree of a great circle, on a sphere of 6371 km."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One entry of the vocabulary.

    Parameters
    ----------
    name
        Variable name inside every ondee Dataset.
    units
        UDUNITS string; ``"1"`` for a fraction, ``"code"`` is never used: a code has unit ``"1"``.
    long_name
        What a person calls it.
    standard_name
        CF standard name, or ``""`` where CF has none.
    plausible
        Inclusive bounds of a physically plausible value, in `units`.
    averaged
        Whether a mean of it makes sense; False for codes, clocks and decibels.
    """

    name: str
    units: str
    long_name: str
    standard_name: str = ""
    plausible: tuple[float, float] = (-np.inf, np.inf)
    averaged: bool = True

    def attributes(self) -> dict[str, str]:
        """CF attributes of a variable of this quantity."""
        attributes = {"units": self.units, "long_name": self.long_name}
        if self.standard_name:
            attributes["standard_name"] = self.standard_name
        return attributes


# 500 mm/h: about 60 dBZ with Z = 200 R^1.6; a 5-min mean over 1 km above it is an echo that is no rain.
_RAIN = (0.0, 500.0)
_PERCENT = (0.0, 100.0)
_FRACTION = (0.0, 1.0)

VOCABULARY: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("rain_rate", "mm h-1", "rain rate", "lwe_precipitation_rate", _RAIN),
        Quantity("rain_amount", "mm", "rain amount", "lwe_thickness_of_precipitation_amount", (0.0, 1000.0)),
        Quantity(
            "reflectivity", "dBZ", "radar reflectivity", "equivalent_reflectivity_factor", (-40.0, 80.0), averaged=False
        ),
        Quantity("quality", "1", "quality of the observation, 0 worst, 1 best", "", _FRACTION),
        Quantity(
            "brightness_temperature",
            "K",
            "brightness temperature",
            "toa_brightness_temperature",
            (150.0, 345.0),
        ),
        Quantity("reflectance", "1", "reflectance", "toa_bidirectional_reflectance", (0.0, 1.6)),
        Quantity("precipitation_likelihood", "%", "likelihood of precipitation", "", _PERCENT),
        Quantity("cloud_type", "1", "cloud type code", averaged=False),
        # IMERG
        Quantity("rain_rate_uncalibrated", "mm h-1", "rain rate before gauge adjustment", "", _RAIN),
        Quantity("microwave_rain_rate", "mm h-1", "rain rate of the microwave pass", "", _RAIN),
        Quantity("microwave_source", "1", "code of the microwave sensor that passed", averaged=False),
        Quantity(
            "microwave_minute",
            "min",
            "minute of the microwave pass after the start of the half hour",
            plausible=(0.0, 30.0),
            averaged=False,
        ),
        Quantity("infrared_rain_rate", "mm h-1", "rain rate from infrared", "", _RAIN),
        Quantity("infrared_weight", "%", "weight of infrared in the merged estimate", "", _PERCENT),
        Quantity("random_error", "mm h-1", "random error of the rain rate", "", (0.0, np.inf)),
        Quantity("quality_index", "1", "IMERG precipitation quality index", "", _FRACTION),
        Quantity("liquid_probability", "%", "probability that precipitation is liquid", "", _PERCENT),
        # collocation
        Quantity("coverage", "1", "share of the cell's area and time that was observed", "", _FRACTION),
        Quantity("wet_fraction", "1", "share of the observed area that is wet", "", (0.0, 1.0 + 1e-6)),
        Quantity("rain_maximum", "mm h-1", "largest rain rate inside the cell", "", _RAIN),
        Quantity("rain_variability", "1", "coefficient of variation of rain inside the cell", "", (0.0, np.inf)),
        # retrieval
        Quantity("rain_rate_mean", "mm h-1", "mean rain rate of the members", "", _RAIN),
        Quantity("rain_rate_median", "mm h-1", "median rain rate of the members", "", _RAIN),
        Quantity("rain_rate_matched", "mm h-1", "probability-matched mean rain rate of the members", "", _RAIN),
        Quantity("rain_rate_detected", "mm h-1", "rain rate up to which rain is likely enough", "", _RAIN),
        Quantity("rain_rate_spread", "mm h-1", "standard deviation of the rain rate of the members", "", _RAIN),
        Quantity("rain_probability", "1", "probability that the rain rate reaches a threshold", "", _FRACTION),
        # viewing
        Quantity("scan_offset", "s", "time of the scan line after the label of the image"),
        Quantity("satellite_zenith_angle", "degree", "satellite zenith angle", "sensor_zenith_angle", (0.0, 180.0)),
        Quantity("satellite_azimuth_angle", "degree", "satellite azimuth angle", "sensor_azimuth_angle"),
        Quantity("sun_zenith_angle", "degree", "sun zenith angle", "solar_zenith_angle", (0.0, 180.0)),
        Quantity("sun_azimuth_angle", "degree", "sun azimuth angle", "solar_azimuth_angle"),
        Quantity("parallax_east", "1", "eastward apparent displacement per unit of cloud height"),
        Quantity("parallax_north", "1", "northward apparent displacement per unit of cloud height"),
        Quantity("cloud_top_height", "m", "height of the cloud top", "cloud_top_altitude", (-500.0, 25000.0)),
    )
}

_NO_RAIN = frozenset({"random_error", "rain_maximum", "rain_rate_spread"})
"""Quantities in the unit of a rain rate that are none: how wrong it may be, or how large inside a cell."""

_SPELLINGS = {
    "mm h-1": {
        "mm/h",
        "mm/hr",
        "mm hr-1",
        "mm h^-1",
        "mm.h-1",
        "mm h**-1",
        "kg m-2 h-1",
        "mm / h",
        "mm/hour",
    },
    "mm": {"millimeter", "millimetre", "kg m-2", "kg/m2"},
    "%": {"percent", "per cent"},
    "1": {"", "dimensionless", "-", "none"},
    "K": {"kelvin", "Kelvin", "degK"},
    "dBZ": {"dbz", "DBZ"},
    "min": {"minute", "minutes"},
    "degree": {"degrees", "deg"},
}
_CANONICAL = {spelling: units for units, spellings in _SPELLINGS.items() for spelling in spellings}


def canonical(units: str) -> str:
    """Give the vocabulary's spelling of a unit.

    Examples
    --------
    >>> canonical("mm/hr"), canonical("percent"), canonical("furlong")
    ('mm h-1', '%', 'furlong')
    """
    text = re.sub(r"\s+", " ", units.strip())
    return _CANONICAL.get(text, text)


def tag(array: xr.DataArray, quantity: str, **attributes: Any) -> xr.DataArray:
    """Name an array and give it the attributes of its quantity, dropping all it had before.

    Parameters
    ----------
    array
        Values, already in the unit of the vocabulary.
    quantity
        A name in :data:`VOCABULARY`.
    **attributes
        Further attributes (``grid_mapping``, ``cell_methods`` …).

    Raises
    ------
    UnitError
        If the quantity is not in the vocabulary.
    """
    entry = VOCABULARY.get(quantity)
    if entry is None:
        raise UnitError(
            f"{quantity!r} is not in the vocabulary",
            where="ondee.units.tag",
            fix="use one of: " + ", ".join(sorted(VOCABULARY)),
        )
    named = array.rename(quantity)
    named.attrs = {**entry.attributes(), **attributes}
    return named


def require(array: xr.DataArray, quantity: str, *, where: object) -> xr.DataArray:
    """Return the array if it holds the quantity in its unit; refuse it otherwise.

    Parameters
    ----------
    array
        Any DataArray.
    quantity
        The name in :data:`VOCABULARY` that is needed.
    where
        The file or argument to name in the error.

    Raises
    ------
    UnitError
        If the unit is absent or another one. Nothing is converted behind the caller's back.
    """
    entry = VOCABULARY[quantity]
    units = array.attrs.get("units")
    if units is None or canonical(str(units)) != entry.units:
        name = "the array" if array.name is None else array.name
        raise UnitError(
            f"{name} is in {units!r}; {quantity} in {entry.units!r} is needed",
            where=where,
            fix=_conversion(str(units), entry),
        )
    return array


def tells_rain(name: object) -> bool:
    """Whether a quantity is a rain rate, and not its error, its spread or its probability.

    Examples
    --------
    >>> tells_rain("rain_rate_mean"), tells_rain("rain_rate_spread"), tells_rain("rain_probability")
    (True, False, False)
    """
    entry = VOCABULARY.get(str(name))
    return entry is not None and entry.units == VOCABULARY["rain_rate"].units and entry.name not in _NO_RAIN


def refuse_mean(name: object, *, where: object) -> None:
    """Refuse to average a quantity that has no mean.

    Raises
    ------
    UnitError
        If the quantity is a code, a clock or a logarithm.
    """
    entry = VOCABULARY.get(str(name))
    if entry is not None and not entry.averaged:
        raise UnitError(
            f"{name} holds codes, clocks or decibels, which have no mean",
            where=where,
            fix="keep it on its own grid and step, leave it out, or turn reflectivity into rain (option z_r)",
        )


def _conversion(units: str, entry: Quantity) -> str:
    """Say how a wrong unit becomes the right one."""
    if canonical(units) == "mm" and entry.units == "mm h-1":
        return "call ondee.units.to_rate(amount), which divides by the length of time_bounds"
    if canonical(units) == "mm h-1" and entry.units == "mm":
        return "call ondee.units.to_amount(rate), which multiplies by the length of time_bounds"
    return f"convert the values to {entry.units!r}, then call ondee.units.tag(array, {entry.name!r})"


def _hours(time_bounds: xr.DataArray) -> xr.DataArray:
    """Length of each time step in hours; on plain arrays, since this is done for every frame of an archive."""
    edges = time_bounds.transpose("time", "bounds").values
    hours = (edges[:, 1] - edges[:, 0]) / np.timedelta64(1, "h")
    if not (hours > 0).all():
        raise UnitError(
            "a step of no length cannot carry an amount",
            where="time_bounds",
            fix="give the true start and end of the accumulation in time_bounds(time, bounds)",
        )
    times = {"time": time_bounds.coords["time"]} if "time" in time_bounds.coords else {}
    return xr.DataArray(hours, dims="time", coords=times)


def to_rate(amount: xr.DataArray, time_bounds: xr.DataArray) -> xr.DataArray:
    """Turn an amount (mm) over its interval into a mean rate (mm h-1).

    Parameters
    ----------
    amount
        ``(time, y, x)`` in mm.
    time_bounds
        ``(time, bounds)``: start and end of each accumulation.

    Raises
    ------
    UnitError
        If `amount` is not in mm or an interval has no length.
    """
    require(amount, "rain_amount", where="ondee.units.to_rate")
    return tag(amount / _hours(time_bounds), "rain_rate", **_kept(amount))


def to_amount(rate: xr.DataArray, time_bounds: xr.DataArray) -> xr.DataArray:
    """Turn a mean rate (mm h-1) over its interval into an amount (mm).

    Parameters
    ----------
    rate
        ``(time, y, x)`` in mm h-1.
    time_bounds
        ``(time, bounds)``: start and end of each mean.

    Raises
    ------
    UnitError
        If `rate` is not in mm h-1 or an interval has no length.
    """
    require(rate, "rain_rate", where="ondee.units.to_amount")
    return tag(rate * _hours(time_bounds), "rain_amount", **_kept(rate))


def _kept(array: xr.DataArray) -> dict[str, Any]:
    """Attributes that survive a change of quantity."""
    return {name: array.attrs[name] for name in ("grid_mapping",) if name in array.attrs}
