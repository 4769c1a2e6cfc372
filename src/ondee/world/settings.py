"""The configuration of a synthetic world: its place, its weather, what observes it, and what is wrong with that."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from ondee.config import Moment, Part, load
from ondee.grid import Grid
from ondee.world.domain import domain_grid, imerg_cells
from ondee.world.faults import MOST_LATE, Clock, FalseRain, Fault, Planted, SensorName, Shift, of, planted
from ondee.world.rain import REGIMES

__all__ = ["AFTER", "BEFORE", "Domain", "Imerg", "Radar", "Seviri", "World", "load_world"]

BEFORE, AFTER = 35, 65
"""Minutes of rain before and after an event: a scan of lags from -30 to +60 min needs them."""

_LAST = np.datetime64("2200-01-01", "s")
_LAST_OF_IMERG = np.datetime64("2038-01-01", "s")
"""No event ends later: stores count nanoseconds, which end in 2262, and files of IMERG seconds in 32 bits."""
_CELL = 11.2
"""Height of a cell of IMERG, and more than its width, km."""

_Cells = Annotated[int, Field(ge=0, le=50)]


def _once(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise ValueError(f"named twice: {twice[0]}")
    return values


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} km is an odd number; the plane of rain needs an even one")
    return value


_Side = Annotated[int, Field(ge=64, le=6000), AfterValidator(_even)]


class Domain(Part):
    """Where the world lies; its pixels are 1 km wide."""

    centre: tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-85, le=85)]] = (2.5, 47.0)
    """Longitude and latitude of the middle, degrees."""
    size: _Side | tuple[_Side, _Side] = 256
    """Width and height in km, even; one number for a square. What leaves it comes in on the other side."""
    projection: str | None = None
    """PROJ text of the plane, in metres; an equal-area plane about the centre if left out."""

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height, km."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)


class Radar(Part):
    """A radar composite: ODIM_H5 in the layout of Météo-France's mosaic, 5-minute amounts on 1 km."""

    range: Annotated[float, Field(ge=20, le=1000)] | None = 140.0
    """Distance in km beyond which a radar sees nothing; `null` for a radar that sees the whole domain."""
    spacing: Annotated[float, Field(ge=20, le=1000)] | None = None
    """Distance in km between radars, in rows about the middle of the domain; a single one in the middle if left out."""
    quality: bool = True
    """Whether the files hold a quality index: 1 at a radar, 0.5 at the end of its range."""


class Seviri(Part):
    """Brightness temperatures of eight thermal channels on the geostationary grid, CF NetCDF."""

    step: Literal[15, 30] = 15
    """Minutes between images."""


class Imerg(Part):
    """IMERG half-hourly files, cropped to the domain and a margin."""

    version: Annotated[str, Field(pattern=r"^V0[67][A-Z]$")] = "V07B"
    """Version with its letter; V06 and V07 differ in names and layout."""
    run: Literal["Early", "Late", "Final"] = "Final"
    """Run that the file names claim."""
    margin: _Cells = 3
    """Cells of 0.1 degree about the domain, all missing, for nothing is simulated there."""
    schedule: Literal["orbits", "half-hourly"] = "orbits"
    """`orbits`: satellites pass when their orbits bring them; `half-hourly`: one passes in every half hour."""
    sensors: Annotated[tuple[SensorName, ...], Field(min_length=1), AfterValidator(_once)] = (
        "GMI",
        "AMSR2",
        "SSMIS",
        "MHS",
        "ATMS",
    )
    """Microwave sensors in space; those not named do not fly."""
    rough: bool = False
    """Add jitter of position, a gain that changes from pass to pass, missed light rain and false rain."""


class World(Part):
    """Everything that makes a synthetic archive."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]*$", max_length=60)] = "world"
    """What the world is called."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of all that is drawn; the same seed gives the same files."""
    domain: Domain = Domain()
    """Where it lies."""
    start: Moment = "2018-06-04T12:00"
    """Start of the first event, UTC, a full or half hour."""
    events: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Number of events; each has weather of its own."""
    hours: Annotated[int, Field(ge=1, le=744)] = 3
    """Length of an event, hours."""
    every: Annotated[int, Field(ge=3)] | None = None
    """Hours between starts of events; a day if left out, or `hours` and two more if that is longer."""
    regimes: Annotated[dict[str, Annotated[float, Field(ge=0, le=1e6)]] | tuple[str, ...], Field(min_length=1)] = (
        "convective",
        "embedded",
        "frontal",
    )
    """Kinds of weather: a list that events go through in turn, or weights by which one is drawn for each event."""
    radar: Radar | None = Radar()
    """The radar composite; `null` for none."""
    seviri: Seviri | None = None
    """Images of SEVIRI, and the clouds that they show; none if left out."""
    imerg: Imerg | None = Imerg()
    """IMERG; `null` for none."""
    faults: tuple[Planted, ...] = ()
    """Faults planted in IMERG's sensors."""
    truth: Annotated[tuple[Literal["rain", "cloud_top_height"], ...], AfterValidator(_once)] = (
        "rain",
        "cloud_top_height",
    )
    """What `truth.zarr` holds, beside the motion; cloud tops only where SEVIRI's images are made."""

    @model_validator(mode="after")
    def _fits(self) -> World:
        if self.first.minute % 30 or self.first.second:
            raise ValueError(f"start: {self.start} is no full or half hour")
        least = self.hours + 2
        if self.events > 1 and self.spacing < least:
            raise ValueError(
                f"every: events of {self.hours} hours every {self.spacing} hours overlap: rain reaches {BEFORE} min "
                f"before and {AFTER} min after each; give every: {least} or more, or fewer hours"
            )
        unknown = [name for name in self.regimes if name not in REGIMES]
        if unknown:
            raise ValueError(f"regimes: {unknown[0]!r} is none of " + ", ".join(REGIMES))
        if isinstance(self.regimes, dict) and not sum(self.regimes.values()) > 0:
            raise ValueError("regimes: all weights are 0")
        if self.radar is None and self.seviri is None and self.imerg is None:
            raise ValueError("radar, seviri and imerg are all null: nothing would be written")
        limit = _LAST if self.imerg is None else _LAST_OF_IMERG
        if self.start_of(self.events - 1) + np.timedelta64(self.hours, "h") >= limit:
            raise ValueError(f"events: the last of {self.events} would end after {limit.astype('datetime64[D]')}")
        self._check_faults()
        return self

    def _check_faults(self) -> None:
        if self.planted and self.imerg is None:
            raise ValueError("faults: they strike IMERG's sensors, and imerg is null")
        flying = self.imerg.sensors if self.imerg is not None else ()
        for sensor in {fault.sensor for fault in self.planted if not isinstance(fault, FalseRain)}:
            if sensor not in flying:
                raise ValueError(f"faults: the sensor {sensor} does not fly: imerg has {', '.join(flying)}")
            late = sum(clock.minutes for clock in of(self.planted, Clock, sensor))
            if abs(late) > MOST_LATE:
                raise ValueError(f"faults: the clocks of {sensor} add up to {late:g} min, more than {MOST_LATE:g}")
            shifts = of(self.planted, Shift, sensor)
            cells = max(abs(sum(shift.east for shift in shifts)), abs(sum(shift.north for shift in shifts)))
            if cells * _CELL > min(self.domain.sides):
                raise ValueError(
                    f"faults: the shifts of {sensor} add up to {cells:g} cells, more than the domain of "
                    f"{min(self.domain.sides)} km is wide"
                )

    # ---- what follows from it

    @property
    def first(self) -> dt.datetime:
        """Start of the first event."""
        return dt.datetime.fromisoformat(self.start)

    @property
    def spacing(self) -> int:
        """Hours between starts of events."""
        return max(24, self.hours + 2) if self.every is None else self.every

    def start_of(self, event: int) -> np.datetime64:
        """Start of an event, UTC."""
        return np.datetime64(self.first, "s") + np.timedelta64(self.spacing * 3600 * event, "s")

    def weather(self, event: int) -> tuple[str, int]:
        """Regime and seed of an event, which depend on nothing but the world's seed and the event's number."""
        seed = int(np.random.SeedSequence([self.seed, 40, event]).generate_state(1)[0])
        if isinstance(self.regimes, tuple):
            return self.regimes[event % len(self.regimes)], seed
        names, weights = list(self.regimes), np.array(list(self.regimes.values()))
        drawn = np.random.default_rng([self.seed, 41, event]).choice(len(names), p=weights / weights.sum())
        return names[int(drawn)], seed

    @property
    def true_fields(self) -> tuple[str, ...]:
        """What ``truth.zarr`` holds: cloud tops only where there are clouds."""
        return tuple(name for name in self.truth if name == "rain" or self.seviri is not None)

    def resolved(self) -> dict[str, Any]:
        """The configuration with all defaults, as plain values that make the same world again."""
        tree = self.model_dump(mode="json")
        tree["faults"] = [entry.model_dump(mode="json", exclude_unset=True) for entry in self.faults]
        return tree

    @property
    def planted(self) -> tuple[Fault, ...]:
        """The faults themselves."""
        return planted(self.faults)

    @cached_property
    def grid(self) -> Grid:
        """Grid of the domain, on which rain is made and the radar reports."""
        return domain_grid(self.domain.centre, self.domain.sides, self.domain.projection)

    @cached_property
    def cells(self) -> Grid:
        """IMERG cells that lie wholly in the domain."""
        return imerg_cells(self.grid)


def load_world(path: str | Path) -> World:
    """Read the configuration of a world.

    Parameters
    ----------
    path
        YAML file.

    Raises
    ------
    ConfigError
        If it cannot be read, or a key or value is wrong; the error names the line, and the nearest key.
    """
    return load(path, World, page="docs/world.md")
