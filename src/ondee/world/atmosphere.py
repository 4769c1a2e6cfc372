"""The air of the synthetic world: a standard atmosphere shifted with the season, and the infrared that it lets through.

Temperature falls by 6.5 K per km to a tropopause of 216.65 K, as in the ICAO standard atmosphere, from an air
temperature at sea level that follows the season; the tropopause lies where the two meet. Gases are grey within a
channel: their optical depth above a height falls exponentially, vapour's scales with the moisture. Radiances follow
Planck's law at the channels' central wave numbers.

References
----------
.. [1] ICAO Doc 7488, Manual of the ICAO Standard Atmosphere, 3rd ed., 1993.
.. [2] S. M. Griffin, K. M. Bedka and C. S. Velden, A method for calculating the height of overshooting convective
   cloud tops using satellite-based IR imager and CloudSat cloud profiling radar observations, J. Appl. Meteor.
   Climatol. 55 (2016), 479-491.
.. [3] EUMETSAT, The conversion from effective radiances to equivalent brightness temperatures,
   EUM/MET/TEN/11/0569, 2012.
.. [4] J. Schmetz et al., An introduction to Meteosat Second Generation (MSG), Bull. Amer. Meteor. Soc. 83
   (2002), 977-992.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CHANNELS",
    "FINE",
    "Channel",
    "Tables",
    "air_temperature",
    "brightness",
    "cloud_temperature",
    "radiance",
    "tables",
    "temperature",
    "tropopause_height",
]

_LAPSE = 6.5e-3
"""K per m, below the tropopause [1]_."""
_TROPOPAUSE = 216.65
"""Temperature of the lower stratosphere, K [1]_."""
_WARMING = 20_000.0
"""Height in m above which the stratosphere warms by 1 K per km [1]_."""
_OVERSHOOT_LAPSE = 7.34e-3
"""K per m in tops that overshoot the tropopause [2]_."""
_FIRST, _SECOND = 1.19104e-5, 1.43877
"""Constants of Planck's law, mW m-2 sr-1 cm4 and K cm [3]_."""
_TOP, _STEP = 40_000.0, 100.0
"""Top of the atmosphere and thickness of its layers, m."""
_CEILING = 18_000.0
"""Highest cloud top, m."""
FINE = 10.0
"""Step of the tables in height, m."""


@dataclass(frozen=True)
class Channel:
    """What a channel sees of surface, gases and clouds.

    Parameters
    ----------
    wave_number
        Central wave number of Meteosat-11's channel, cm-1 [3]_.
    emissivity
        Of the ground.
    vapour, vapour_scale
        Optical depth of water vapour, vertical, of 25 kg m-2, and the height in m over which it falls by e.
    dry, dry_scale
        The same of well-mixed gases.
    ozone
        Vertical optical depth of ozone, about 22 km.
    ice, water
        Absorption optical depth of ice and water clouds over that at 10.8 um.
    ice_reflectivity, water_reflectivity
        Of opaque clouds.
    sunlight
        Radiance of a white surface under the sun in the zenith, mW m-2 sr-1 (cm-1)-1.
    noise, noise_at
        Standard deviation of the noise in K at a scene of so many K.
    """

    wave_number: float
    emissivity: float
    vapour: float
    vapour_scale: float
    dry: float
    dry_scale: float
    ozone: float
    ice: float
    water: float
    ice_reflectivity: float
    water_reflectivity: float
    sunlight: float
    noise: float
    noise_at: float


CHANNELS: dict[str, Channel] = {
    "IR_039": Channel(2555.280, 0.965, 0.06, 1500, 0.12, 6000, 0.00, 0.85, 0.75, 0.03, 0.18, 4.9, 0.17, 300),
    "WV_062": Channel(1596.080, 0.98, 60.0, 1600, 0.00, 6000, 0.00, 1.00, 1.00, 0.00, 0.00, 0.0, 0.21, 250),
    "WV_073": Channel(1361.748, 0.98, 10.0, 1600, 0.05, 6000, 0.00, 1.00, 1.00, 0.00, 0.00, 0.0, 0.12, 250),
    "IR_087": Channel(1147.433, 0.965, 0.17, 1500, 0.02, 6000, 0.01, 0.91, 1.00, 0.00, 0.00, 0.0, 0.10, 300),
    "IR_097": Channel(1034.851, 0.98, 0.12, 1500, 0.02, 6000, 0.42, 0.90, 1.00, 0.00, 0.00, 0.0, 0.29, 255),
    "IR_108": Channel(931.122, 0.98, 0.16, 1500, 0.01, 6000, 0.00, 1.00, 1.00, 0.00, 0.00, 0.0, 0.11, 300),
    "IR_120": Channel(839.113, 0.985, 0.24, 1500, 0.02, 6000, 0.00, 1.12, 1.18, 0.00, 0.00, 0.0, 0.15, 300),
    "IR_134": Channel(748.585, 0.985, 0.30, 1500, 0.75, 5000, 0.00, 1.15, 1.25, 0.00, 0.00, 0.0, 0.37, 270),
}
"""The thermal channels of SEVIRI, in the order and under the names of :mod:`ondee.source.seviri`."""


@dataclass(frozen=True)
class Tables:
    """Radiances of a channel by height of an opaque black cloud, and of the clear sky.

    All are linear in the logarithm of the moisture over 25 kg m-2; the second of each pair is the slope.

    Parameters
    ----------
    overcast
        Radiance at the top above a black cloud with its top at 0, 10, 20 … m, ``(2, height)``.
    above
        Transmittance from such a height to space, ``(2, height)``.
    air
        Radiance of the clear air, ``(2,)``.
    through
        Transmittance of the clear air, ``(2,)``.
    """

    overcast: NDArray[np.float32]
    above: NDArray[np.float32]
    air: tuple[float, float]
    through: tuple[float, float]


def air_temperature(time: np.datetime64) -> float:
    """Mean air temperature at sea level in K: 292 K in late July and 276 K in late January, as in central Europe."""
    days = (time.astype("datetime64[s]") - time.astype("datetime64[Y]").astype("datetime64[s]")) / np.timedelta64(
        1, "D"
    )
    return float(284.0 + 8.0 * np.cos(2 * np.pi * (days - 205) / 365.25))


def tropopause_height(air: float) -> float:
    """Height of the tropopause in m over air of that temperature at sea level, K: 11.6 km in July, 9.1 in January."""
    return (air - _TROPOPAUSE) / _LAPSE


def temperature(height: ArrayLike, air: float) -> NDArray[np.float64]:
    """Temperature of the air in K at a height in m [1]_."""
    heights = np.asarray(height, np.float64)
    below = np.maximum(air - _LAPSE * heights, _TROPOPAUSE)
    return below + 1e-3 * np.maximum(heights - _WARMING, 0.0)


def cloud_temperature(height: ArrayLike, air: float) -> NDArray[np.float64]:
    """Temperature of a cloud top in K: that of the air, but colder where it overshoots the tropopause [2]_."""
    heights = np.asarray(height, np.float64)
    over = np.maximum(heights - tropopause_height(air), 0.0)
    return np.maximum(air - _LAPSE * heights, _TROPOPAUSE) - _OVERSHOOT_LAPSE * over


def radiance(temperatures: ArrayLike, wave_number: float) -> NDArray[np.float32]:
    """Planck radiance in mW m-2 sr-1 (cm-1)-1 of a temperature in K."""
    values = np.asarray(temperatures, np.float32)
    made: NDArray[np.float32] = np.float32(_FIRST * wave_number**3) / (
        np.exp(np.float32(_SECOND * wave_number) / values) - np.float32(1)
    )
    return made


def brightness(radiances: NDArray[np.float32], wave_number: float) -> NDArray[np.float32]:
    """Temperature in K of a Planck radiance in mW m-2 sr-1 (cm-1)-1."""
    made: NDArray[np.float32] = np.float32(_SECOND * wave_number) / np.log1p(
        np.float32(_FIRST * wave_number**3) / radiances
    )
    return made


def tables(channel: Channel, air: float, air_mass: float) -> Tables:
    """Tables of a channel.

    Parameters
    ----------
    channel
        What it sees.
    air
        Air temperature at sea level, K.
    air_mass
        Length of the line of sight over the vertical.
    """
    heights = np.arange(0.0, _TOP + _STEP, _STEP)
    fine = np.arange(0.0, _CEILING + FINE, FINE)
    found = []
    for moisture in (np.exp(-0.2), np.exp(0.2)):
        depth = channel.vapour * moisture * np.exp(-heights / channel.vapour_scale)
        depth = depth + channel.dry * np.exp(-heights / channel.dry_scale)
        depth = depth + channel.ozone / (1.0 + np.exp((heights - 22_000.0) / 2500.0))
        transmittance = np.exp(-air_mass * depth)
        middle = radiance(temperature((heights[1:] + heights[:-1]) / 2, air), channel.wave_number)
        emitted = np.diff(transmittance) * middle
        upward = np.append(emitted[::-1].cumsum()[::-1], 0.0)
        cloud = radiance(cloud_temperature(fine, air), channel.wave_number)
        above = np.interp(fine, heights, transmittance)
        found.append((np.interp(fine, heights, upward) + above * cloud, above, upward[0], transmittance[0]))
    low, high = found
    pairs = [np.stack([(one + two) / 2, (two - one) / 0.4]) for one, two in zip(low, high, strict=True)]
    overcast, above, air_radiance, through = pairs
    return Tables(
        overcast.astype(np.float32),
        above.astype(np.float32),
        (float(air_radiance[0]), float(air_radiance[1])),
        (float(through[0]), float(through[1])),
    )
