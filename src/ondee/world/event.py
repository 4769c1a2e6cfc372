"""One event of a world: its times, its weather and the names of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ondee.source import odim_writer
from ondee.source.imerg_fields import HALF_HOUR
from ondee.source.imerg_fields import file_name as imerg_name
from ondee.world.settings import AFTER, BEFORE, World

__all__ = ["FRAME", "IMAGE_DELAY", "LAYOUT", "QUANTITY", "Event", "image_path", "imerg_path", "radar_path"]

FRAME = np.timedelta64(5, "m")
"""Step of the rain and of the radar."""
IMAGE_DELAY = np.timedelta64(15, "m")
"""From the nominal time of an image to the end of the frame of rain whose middle lies nearest to its scan of Europe."""
LEAD = 140
"""Minutes of rain before an event: clouds need two hours to be complete, and passes before it are carried into it."""
LAYOUT, QUANTITY = "METEOFRANCE", "ACRR"
"""Radar files are five-minute amounts, as Météo-France's real-time mosaic holds them."""


@dataclass(frozen=True)
class Event:
    """One event of a world, a task of its own.

    Parameters
    ----------
    world
        The world.
    number
        Of the event, from 0.
    out
        Folder of the archive.
    """

    world: World
    number: int
    out: Path

    @property
    def start(self) -> np.datetime64:
        """Start of its first half hour, UTC."""
        return self.world.start_of(self.number)

    @property
    def end(self) -> np.datetime64:
        """End of its last half hour."""
        return self.start + np.timedelta64(self.world.hours, "h")

    @property
    def half_hours(self) -> NDArray[np.datetime64]:
        """Starts of its half hours."""
        return np.arange(self.start, self.end, HALF_HOUR)

    @property
    def frames(self) -> NDArray[np.datetime64]:
        """Ends of the radar's frames, from half an hour before the event to an hour after it."""
        first = self.start - np.timedelta64(BEFORE, "m") + FRAME
        return np.arange(first, self.end + np.timedelta64(AFTER, "m") + FRAME, FRAME)

    @property
    def simulated(self) -> NDArray[np.datetime64]:
        """Ends of all frames of rain that are made."""
        earlier = np.arange(self.start - np.timedelta64(LEAD, "m") + FRAME, self.frames[0], FRAME)
        return np.concatenate([earlier, self.frames])

    @property
    def images(self) -> NDArray[np.datetime64]:
        """Nominal times of SEVIRI's images, from half an hour before the event to an hour after it."""
        if self.world.seviri is None:
            return np.array([], "datetime64[s]")
        step = np.timedelta64(self.world.seviri.step, "m")
        half, hour = np.timedelta64(30, "m"), np.timedelta64(60, "m")
        return np.arange(self.start - half, self.end + hour, step)

    @property
    def regime(self) -> str:
        """Kind of weather."""
        return self.world.weather(self.number)[0]

    @property
    def seed(self) -> int:
        """Seed of its rain and clouds."""
        return self.world.weather(self.number)[1]

    @property
    def record(self) -> Path:
        """The file that says that the event is done, and what happened in it."""
        return self.out / "events" / f"{self.number:05d}.yaml"

    def files(self) -> list[Path]:
        """All files of the event but its record, in order."""
        world, made = self.world, []
        if world.radar is not None:
            made += [radar_path(self.out, time) for time in self.frames]
        made += [image_path(self.out, time) for time in self.images]
        if world.imerg is not None:
            made += [imerg_path(self, start) for start in self.half_hours]
        return made


def radar_path(out: Path, time: np.datetime64) -> Path:
    """File of a radar frame, by day, under Météo-France's name."""
    day = str(time.astype("datetime64[D]")).replace("-", "")
    return out / "radar" / day / odim_writer.file_name(time, LAYOUT, quantity=QUANTITY)


def image_path(out: Path, time: np.datetime64) -> Path:
    """File of an image of SEVIRI."""
    stamp = str(time.astype("datetime64[m]")).replace("-", "").replace(":", "").replace("T", "")
    return out / "seviri" / f"SEVIRI_{stamp}.nc"


def imerg_path(event: Event, start: np.datetime64) -> Path:
    """File of a half hour of IMERG, under NASA's name."""
    imerg = event.world.imerg
    assert imerg is not None
    return event.out / "imerg" / imerg_name(start, imerg.run, imerg.version)
