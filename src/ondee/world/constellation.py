"""The microwave satellites of a world: their orbits and swaths, and when each passes over which cell.

Orbits are circles (Kepler) about a spherical Earth. The plane of a sun-synchronous orbit keeps its local time, by
definition; that of GPM precesses by the Earth's oblateness (Vallado 2013, eq. 9-38). The drift of local times over the
years, the fore-and-aft arc of conical scanners and the tilt of scan lines are left out: a cell is seen when the
satellite is abeam.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import Grid

__all__ = [
    "HALF_HOUR",
    "SATELLITES",
    "Pass",
    "Satellite",
    "choose",
    "ground_track",
    "half_hour_number",
    "is_imager",
    "passes",
    "reported_minute",
    "select",
]

HALF_HOUR = np.timedelta64(30, "m")
_EPOCH = np.datetime64("1900-01-01T00:00", "m")
_RADIUS = 6371.0
"""Radius of the Earth, km."""
_EQUATOR = 6378.137
"""Radius of the equator, km."""
_GRAVITY = 398600.4418
"""Gravitational parameter of the Earth, km³ s-2."""
_OBLATENESS = 1.08263e-3
"""J2."""
_SIDEREAL = 360.98564736629
"""Rotation of the Earth, degrees in a day."""
_STEP = 1.0
"""Minutes between points of a ground track; a parabola through three is good to 0.02 s."""
_AROUND = 20
"""Minutes before and after a period in which a pass may begin and end."""
_MARGIN = 300.0
"""Distance beyond the swath, km, up to which a track is followed, so that its nearest point lies inside it."""
_HALF_HOURLY, _PHASE = 22, 21
"""Keys of the draws of this room."""
_EARLIEST, _LATEST = -0.5, 29.5
"""Minutes that a half hour holds once they are rounded: those that read 0 to 29 (29.5 reads 30, kept out)."""


@dataclass(frozen=True)
class Satellite:
    """A satellite with a microwave sensor.

    Parameters
    ----------
    name, sensor
        Its own name and that of the sensor.
    code
        The number that IMERG writes for the sensor.
    imager
        Whether the sensor is an imager; otherwise it is a sounder.
    altitude, inclination, swath
        In km, degrees and km.
    local_time
        Hours of the ascending node, of a sun-synchronous orbit; None for another.
    """

    name: str
    sensor: str
    code: int
    imager: bool
    altitude: float
    inclination: float
    swath: float
    local_time: float | None

    @property
    def motion(self) -> float:
        """Degrees of its orbit in a minute."""
        return float(np.degrees(np.sqrt(_GRAVITY / (_RADIUS + self.altitude) ** 3)) * 60)

    @property
    def ground_speed(self) -> float:
        """Of the point below it, km in a minute, over an Earth at rest."""
        return float(np.radians(self.motion) * _RADIUS)

    @property
    def node_motion(self) -> float:
        """Degrees by which the ascending node moves eastward over the Earth in a minute: negative."""
        if self.local_time is not None:
            return -360.0 / 1440
        ratio = _EQUATOR / (_RADIUS + self.altitude)
        precession = -1.5 * _OBLATENESS * ratio**2 * self.motion * np.cos(np.radians(self.inclination))
        return float(precession - _SIDEREAL / 1440)


SATELLITES: tuple[Satellite, ...] = (
    Satellite("GPM", "GMI", 9, True, 407, 65.0, 885, None),
    Satellite("GCOM-W1", "AMSR2", 3, True, 700, 98.2, 1450, 13.5),
    Satellite("F16", "SSMIS", 5, True, 845, 98.8, 1707, 15.8),
    Satellite("F17", "SSMIS", 5, True, 848, 98.8, 1707, 18.6),
    Satellite("F18", "SSMIS", 5, True, 850, 98.8, 1707, 18.0),
    Satellite("MetOp-B", "MHS", 7, False, 820, 98.7, 2180, 21.5),
    Satellite("MetOp-C", "MHS", 7, False, 820, 98.7, 2180, 21.5),
    Satellite("NOAA-19", "MHS", 7, False, 870, 98.7, 2180, 15.8),
    Satellite("SNPP", "ATMS", 11, False, 824, 98.7, 2503, 13.5),
    Satellite("NOAA-20", "ATMS", 11, False, 824, 98.7, 2503, 13.5),
)
"""Satellites behind IMERG about 2018, after the tables of Hou et al. (2014, BAMS 95, 701) and Skofronick-Jackson et al.
(2018, QJRMS 144, 27): altitude, inclination, swath; local times, which drift, as published for that year."""

_SENSORS = tuple(dict.fromkeys(satellite.sensor for satellite in SATELLITES))


@dataclass(frozen=True, eq=False)
class Pass:
    """One satellite over the cells within one half hour.

    Parameters
    ----------
    sensor, code, satellite
        Names, and the number that IMERG writes.
    start
        Start of the half hour.
    minute
        Minute of the scan after `start`, ``(y, x)`` float32 from -0.5 to 29.5, so that it reads 0 to 29 when it is
        rounded; NaN outside the swath. It is what the sensor reports; where a fault of its clock is planted, the
        rain is that of another minute (:func:`ondee.world.microwave.rain_needed`).
    """

    sensor: str
    code: int
    satellite: str
    start: np.datetime64
    minute: NDArray[np.float32]


def is_imager(code: int) -> bool:
    """Whether the sensor of a code is an imager.

    Examples
    --------
    >>> is_imager(9), is_imager(7)
    (True, False)
    """
    return any(satellite.imager for satellite in SATELLITES if satellite.code == code)


def half_hour_number(start: np.datetime64) -> int:
    """Half hours since 1900, the key of what is random in one."""
    return int((start.astype("datetime64[m]") - _EPOCH) / HALF_HOUR)


def reported_minute(overpass: Pass) -> NDArray[np.float32]:
    """Whole minute that the product gives each cell, 0 to 29; NaN outside the swath."""
    return np.clip(np.rint(overpass.minute), 0, 29).astype(np.float32)


def passes(
    cells: Grid,
    start: np.datetime64,
    end: np.datetime64,
    *,
    schedule: Literal["orbits", "half-hourly"] = "orbits",
    sensors: Sequence[str] = _SENSORS,
    seed: int,
) -> list[Pass]:
    """Find the passes over some cells, by half hour.

    Parameters
    ----------
    cells
        Cells of a latitude-longitude grid (or, for half-hourly passes, of any).
    start, end
        Half hours that start from `start` on and before `end`. A longer period holds the same passes.
    schedule
        ``"orbits"``: as the satellites fly, phases by the seed. ``"half-hourly"``: in every half hour exactly one
        satellite sees all cells, in a random order in which each sensor comes equally often.
    sensors
        Names of the sensors.
    seed
        Of the phases, or of the order.

    Returns
    -------
    list of Pass
        In order of half hour, then of :data:`SATELLITES`.

    Raises
    ------
    ConfigError
        If a sensor or the schedule is unknown, or the times are no half hours.
    GridError
        If the orbits are asked for and the cells' place on the Earth is unknown.
    """
    first, last = half_hour_number(_checked(start)), half_hour_number(_checked(end))
    unknown = sorted(set(sensors) - set(_SENSORS))
    if unknown or not sensors:
        raise ConfigError(
            f"{unknown[0]!r} is no sensor" if unknown else "there is no sensor",
            where="sensors",
            fix="use some of: " + ", ".join(_SENSORS),
        )
    if schedule == "half-hourly":
        names = [name for name in _SENSORS if name in sensors]
        return [_half_hourly(cells, number, names, seed) for number in range(first, last)]
    if schedule == "orbits":
        fleet = [satellite for satellite in SATELLITES if satellite.sensor in sensors]
        return _by_orbits(cells, first, last, fleet, seed)
    raise ConfigError(f"{schedule!r} is no schedule", where="schedule", fix="use 'orbits' or 'half-hourly'")


def _checked(moment: np.datetime64) -> np.datetime64:
    stamp: np.datetime64 = moment.astype("datetime64[s]")
    if np.isnat(stamp) or stamp.astype(np.int64) % 1800 or stamp < _EPOCH:
        raise ConfigError(
            f"{moment} is no start of a half hour",
            where="start, end",
            fix="give whole half hours: np.datetime64('2018-06-04T12:30')",
        )
    return stamp


# ---- every half hour one


def _half_hourly(cells: Grid, number: int, names: Sequence[str], seed: int) -> Pass:
    """The one pass of a half hour: blocks of as many half hours as sensors hold each sensor once."""
    block, place = divmod(number, len(names))
    order = np.random.default_rng([seed, _HALF_HOURLY, 0, block]).permutation(len(names))
    sensor = names[order[place]]
    generator = np.random.default_rng([seed, _HALF_HOURLY, 1, number])
    choice, northward, along = generator.random(3)
    fleet = [satellite for satellite in SATELLITES if satellite.sensor == sensor]
    satellite = fleet[int(choice * len(fleet))]
    track = _along_track(cells, satellite, northward < 0.5) / satellite.ground_speed
    minute = _EARLIEST + along * (_LATEST - _EARLIEST - float(np.ptp(track))) + (track - track.min())
    return Pass(sensor, satellite.code, satellite.name, _EPOCH + number * HALF_HOUR, minute.astype(np.float32))


def _along_track(cells: Grid, satellite: Satellite, northward: bool) -> NDArray[np.float64]:
    """Distance of each cell along the track of a satellite that crosses the cells' middle, km."""
    unit = np.radians(1.0) * _RADIUS if cells.is_geographic else 1e-3
    middle = (cells.north + cells.south) / 2 if cells.is_geographic else 45.0
    x = (cells.x - cells.x.mean()) * unit * (np.cos(np.radians(middle)) if cells.is_geographic else 1.0)
    y = (cells.y - cells.y.mean()) * unit
    heading = np.arcsin(np.clip(np.cos(np.radians(satellite.inclination)) / np.cos(np.radians(middle)), -1, 1))
    east, north = np.sin(heading), np.cos(heading) * (1 if northward else -1)
    return np.asarray(x * east + (y * north)[:, np.newaxis])


# ---- orbits


def ground_track(satellite: Satellite, minutes: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Points below a satellite, unit vectors from the middle of the Earth, ``(time, 3)``.

    Parameters
    ----------
    satellite
        One of :data:`SATELLITES`. Those that share an orbit are spaced evenly along it.
    minutes
        Since the start of 1900, UTC.
    seed
        Of the place in the orbit and, unless the orbit is sun-synchronous, of its node.
    """
    shared = [
        one.name for one in SATELLITES if (one.altitude, one.local_time) == (satellite.altitude, satellite.local_time)
    ]
    key = [seed, _PHASE, zlib.crc32(shared[0].encode())]
    place, node = 360 * np.random.default_rng(key).random(2)
    place += 360 * shared.index(satellite.name) / len(shared)
    if satellite.local_time is not None:
        node = satellite.local_time * 15
    angle = np.radians((place + satellite.motion * minutes) % 360)
    node_longitude = np.radians((node + satellite.node_motion * minutes) % 360)
    tilt = np.radians(satellite.inclination)
    latitude = np.arcsin(np.sin(tilt) * np.sin(angle))
    longitude = node_longitude + np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle))
    return _on_sphere(longitude, latitude)


def _on_sphere(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors of places given in radians."""
    across = np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=-1)


def _by_orbits(cells: Grid, first: int, last: int, fleet: Sequence[Satellite], seed: int) -> list[Pass]:
    """Passes of the half hours of some numbers."""
    longitude, latitude = cells.longitude_latitude()
    places = _on_sphere(np.radians(longitude), np.radians(latitude))
    found = []
    for satellite in fleet:
        for minutes in _crossings(places, satellite, first * 30, last * 30, seed):
            number = np.floor((minutes - _EARLIEST) / 30)
            for half_hour in np.unique(number[np.isfinite(number)]).astype(int):
                if first <= half_hour < last:
                    inside = np.where(number == half_hour, minutes - 30.0 * half_hour, np.nan).astype(np.float32)
                    start = _EPOCH + half_hour * HALF_HOUR
                    found.append(Pass(satellite.sensor, satellite.code, satellite.name, start, inside))
    return sorted(found, key=lambda one: one.start)


def _crossings(
    places: NDArray[np.float64], satellite: Satellite, first: int, last: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Minutes since 1900 at which a satellite is abeam of each place, ``(y, x)``, for each time it comes by.

    The track is sampled at whole steps, whatever the period asked for, so that a pass is the same in any.
    """
    steps = np.arange((first - _AROUND) / _STEP, (last + _AROUND) / _STEP).astype(np.int64)
    track = ground_track(satellite, np.asarray(steps * _STEP, np.float64), seed)
    middle = places.mean(axis=(0, 1))
    middle /= np.linalg.norm(middle)
    reach = np.arccos(np.clip((places @ middle).min(), -1, 1)) + (satellite.swath / 2 + _MARGIN) / _RADIUS
    near = np.flatnonzero(track @ middle > np.cos(min(reach, np.pi)))
    for arc in np.split(near, np.flatnonzero(np.diff(near) > 1) + 1):
        if arc.size >= 3:
            nearness = places @ track[arc].T
            best = np.clip(nearness.argmax(axis=-1), 1, arc.size - 2)
            before, here, after = (np.take_along_axis(nearness, best[..., None] + k, -1)[..., 0] for k in (-1, 0, 1))
            offset = 0.5 * (before - after) / (before - 2 * here + after)
            closest = np.clip(here - 0.25 * (before - after) * offset, -1, 1)
            abeam = (np.abs(offset) <= 1) & (np.arccos(closest) * _RADIUS <= satellite.swath / 2)
            yield np.where(abeam, (steps[arc[0]] + best + offset) * _STEP, np.nan)


# ---- one a cell


def select(found: Iterable[Pass], shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Code of the sensor and reported minute of each cell: at most one sensor a cell.

    Parameters
    ----------
    found
        Passes of one half hour.
    shape
        Of the cells.

    Returns
    -------
    code, minute : ndarray
        ``(y, x)`` float32; code 0 and minute NaN where no sensor passed. An imager goes before a sounder, then the
        pass nearest to the middle of the half hour, then the earlier in the list.
    """
    code, minute = np.zeros(shape, np.float32), np.full(shape, np.nan, np.float32)
    listed = list(found)
    for overpass, chosen in zip(listed, choose(listed), strict=True):
        code[chosen] = overpass.code
        minute[chosen] = reported_minute(overpass)[chosen]
    return code, minute


def choose(found: Sequence[Pass]) -> list[NDArray[np.bool_]]:
    """Cells of each pass of one half hour, ``(y, x)``: a cell has one at most (see :func:`select`)."""
    if not found:
        return []
    rank = [
        np.where(np.isnan(one.minute), np.inf, np.abs(one.minute - 15) + (0 if is_imager(one.code) else 1000))
        for one in found
    ]
    best = np.argmin(rank, axis=0)
    return [(best == index) & np.isfinite(rank[index]) for index in range(len(found))]
