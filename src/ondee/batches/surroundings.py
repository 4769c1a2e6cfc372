"""What goes beside the images: when each pixel is seen, sun, satellite, parallax, ground, day and hour."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ondee.collocation.scan import nominal_scan_offset
from ondee.collocation.viewing import parallax, satellite_angles, sun_angles
from ondee.condition import AUXILIARY
from ondee.errors import ConfigError, GridError
from ondee.grid import LATITUDE_LONGITUDE, Grid

__all__ = ["Surroundings", "auxiliary"]

Plane = NDArray[np.float32]

_TURN = 2 * np.pi / 1440
"""By which the Earth turns in a minute of mean solar time, radians."""
_YEAR = 365.2425
_PLACES = Grid(LATITUDE_LONGITUDE, -45.0, 90.0, 90.0, 90.0, 2, 2)
"""Four places; the zenith angles of the sun there tell its direction."""
_ALL = slice(None)


def auxiliary(
    grid: Grid,
    times: ArrayLike,
    names: Sequence[str],
    *,
    satellite_longitude: float,
    interval_minutes: float,
    elevation: ArrayLike | None = None,
    land: ArrayLike | None = None,
) -> Plane:
    """Planes of :data:`ondee.condition.AUXILIARY` for some moments.

    Parameters
    ----------
    grid
        Of the images.
    times
        Start of the slot of the newest image, which is that of the radar's interval, UTC, ``(n,)``.
    names
        Which planes, in order.
    satellite_longitude
        Degrees east.
    interval_minutes
        Length of the radar's interval, min.
    elevation, land
        Height of the ground in m and share of land, ``(y, x)``.

    Returns
    -------
    numpy.ndarray
        ``(n, planes, y, x)`` float32, NaN where not known.

    Raises
    ------
    ConfigError
        If a name is unknown, or a plane must be given and is not.
    GridError
        If the position of the grid is unknown, or a given plane has another shape.
    """
    ground = {"elevation": elevation, "land": land}
    given = {name: np.asarray(plane, np.float32) for name, plane in ground.items() if plane is not None}
    made = Surroundings(grid, names, satellite_longitude, interval_minutes, given)
    stamps = np.atleast_1d(np.asarray(times, "datetime64[ns]"))
    clock = made.clock(stamps)
    planes = np.empty((stamps.size, len(names), *grid.shape), np.float32)
    for index in range(stamps.size):
        made.fill(planes[index], clock[index])
    return planes


class Surroundings:
    """Auxiliary planes of one grid: what does not change is computed once, the rest where it is asked for.

    Parameters
    ----------
    grid, names, satellite_longitude, interval_minutes
        As in :func:`auxiliary`.
    given
        Planes ``(y, x)`` that cannot be computed: ``elevation``, ``land``.

    Raises
    ------
    ConfigError, GridError
        As in :func:`auxiliary`.
    """

    def __init__(
        self,
        grid: Grid,
        names: Sequence[str],
        satellite_longitude: float,
        interval_minutes: float,
        given: dict[str, Plane],
    ) -> None:
        known_names(names)
        self.grid, self.names = grid, tuple(names)
        self._longitude, self._interval = float(satellite_longitude), float(interval_minutes)
        self._static = {name: self._constant(name, given) for name in names if name not in _CHANGING}
        self._normal: Plane | None = None
        self._east: Plane | None = None
        if "sun_zenith_cosine" in names:
            self._normal = self._normals()
        if {"hour_sine", "hour_cosine"} & set(names):
            angle = np.radians(grid.longitude_latitude()[0])
            self._east = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)

    def clock(self, times: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """What of a moment the planes depend on, ``(n, 7)``: sun's direction, day's and hour's sine and cosine."""
        stamps = np.asarray(times, "datetime64[ns]")
        made = np.zeros((stamps.size, 7))
        if self._normal is not None and stamps.size:
            cosines = np.cos(np.radians(sun_angles(_PLACES, stamps)["sun_zenith_angle"].values.astype(np.float64)))
            places = _directions(*(np.radians(plane) for plane in _PLACES.longitude_latitude())).reshape(3, 4).T
            made[:, :3] = cosines.reshape(-1, 4) @ np.linalg.pinv(places).T
        days = (stamps - stamps.astype("datetime64[Y]")) / np.timedelta64(1, "D")
        minutes = (stamps - stamps.astype("datetime64[D]")) / np.timedelta64(1, "m") + self._interval / 2
        made[:, 3], made[:, 4] = np.sin(2 * np.pi * days / _YEAR), np.cos(2 * np.pi * days / _YEAR)
        made[:, 5], made[:, 6] = np.sin(minutes * _TURN), np.cos(minutes * _TURN)
        return made

    def fill(self, planes: Plane, clock: NDArray[np.float64], rows: slice = _ALL, columns: slice = _ALL) -> None:
        """Write the planes of a moment, given its row of :meth:`clock`, into ``(planes, rows, columns)``."""
        for index, name in enumerate(self.names):
            if name in self._static:
                planes[index] = self._static[name][rows, columns]
            elif name == "day_sine":
                planes[index] = clock[3]
            elif name == "day_cosine":
                planes[index] = clock[4]
            elif name == "sun_zenith_cosine" and self._normal is not None:
                east, ninety, pole = self._normal[:, rows, columns]
                sun = clock.astype(np.float32)
                planes[index] = east * sun[0] + ninety * sun[1] + pole * sun[2]
            elif self._east is not None:
                cosine, sine = self._east[:, rows, columns]
                a, b = np.float32(clock[5]), np.float32(clock[6])
                planes[index] = a * cosine + b * sine if name == "hour_sine" else b * cosine - a * sine

    # ---- made once

    def _constant(self, name: str, given: dict[str, Plane]) -> Plane:
        """A plane that does not change in time."""
        if name in ("elevation", "land"):
            return self._ground(name, given)
        if name == "scan_offset":
            return nominal_scan_offset(self.grid, satellite_longitude=self._longitude) - np.float32(self._interval / 2)
        if name == "satellite_zenith_cosine":
            angles = satellite_angles(self.grid, satellite_longitude=self._longitude)["satellite_zenith_angle"]
            made: Plane = np.cos(np.radians(angles.values)).astype(np.float32)
            return made
        plane: Plane = parallax(self.grid, satellite_longitude=self._longitude)[name].values.astype(np.float32)
        return plane

    def _ground(self, name: str, given: dict[str, Plane]) -> Plane:
        if name not in given:
            raise ConfigError(
                f"{name} is asked for and not given",
                where="auxiliary",
                fix=f"leave {name} out of auxiliary, or give it as a variable {name}(y, x) on the same grid",
            )
        if given[name].shape != self.grid.shape:
            raise GridError(
                f"{name} is {given[name].shape} where the grid is {self.grid.shape}",
                where="auxiliary",
                fix=f"regrid {name} to {self.grid.describe()}",
            )
        return given[name]

    def _normals(self) -> Plane:
        """Direction of the zenith in axes that the sun's label time turns, ``(3, y, x)``.

        A pixel is seen some minutes after its label: the Earth has turned by then, so that it sees the sun as a place
        further east saw it at the label.
        """
        longitude, latitude = (np.radians(plane) for plane in self.grid.longitude_latitude())
        later = nominal_scan_offset(self.grid, satellite_longitude=self._longitude)
        return _directions(longitude + np.nan_to_num(later) * _TURN, latitude).astype(np.float32)


_CHANGING = ("sun_zenith_cosine", "day_sine", "day_cosine", "hour_sine", "hour_cosine")


def known_names(names: Sequence[str]) -> None:
    """Refuse names that are no auxiliary planes, and names given twice.

    Raises
    ------
    ConfigError
        If there are any.
    """
    for name in names:
        if name not in AUXILIARY:
            near = difflib.get_close_matches(name, AUXILIARY, n=1)
            raise ConfigError(
                f"there is no auxiliary plane {name!r}",
                where="auxiliary",
                fix=(f"did you mean {near[0]}? " if near else "") + "use some of " + ", ".join(AUXILIARY),
            )
    if len(set(names)) != len(names):
        raise ConfigError(
            "an auxiliary plane is named twice", where=f"auxiliary: {', '.join(names)}", fix="name each once"
        )


def _directions(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors ``(3, y, x)`` towards the zenith, from radians."""
    return np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
