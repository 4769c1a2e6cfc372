"""What watches an event go by and writes what it sees: the radar, the truth, SEVIRI, and IMERG's constellation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any, Protocol

import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray

from ondee.grid import Grid
from ondee.output import disk_errors
from ondee.source import imerg_writer, odim_writer, seviri_netcdf
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.world import truth
from ondee.world.atmosphere import CHANNELS
from ondee.world.clouds import Cloud, Clouds
from ondee.world.constellation import Pass, choose, passes
from ondee.world.domain import radar_quality
from ondee.world.event import FRAME, IMAGE_DELAY, LAYOUT, QUANTITY, Event, image_path, imerg_path, radar_path
from ondee.world.infrared import brightness_temperature
from ondee.world.merging import REACH, Observation, half_hour, infrared_rain
from ondee.world.microwave import INSTRUMENTS, Instrument, observe, rain_needed, rough
from ondee.world.rain import State, states
from ondee.world.settings import Imerg, Radar, Seviri
from ondee.world.view import seviri_grid, seviri_scene

__all__ = ["frames_of", "simulate_event"]

_WRITING = Lock()
"""Held while a file is written: HDF5 lays the same data out otherwise where threads of one worker write at once."""
_GZIP = 1
"""Compression of the radar files: level 6 takes four times as long for a tenth of the bytes."""
_EARLIER, _LATER = np.timedelta64(120, "m"), np.timedelta64(60, "m")
"""How long before and after an event passes are made, to be carried into it."""
_MIDDLE = np.timedelta64(150, "s")
"""From the middle of a frame to its end."""
_WINDOW = list(CHANNELS).index("IR_108")


class _Recorder(Protocol):
    """Something that sees every state of an event in order."""

    def add(self, state: State) -> None:
        """See the next state."""

    def finish(self) -> dict[str, Any]:
        """Write what is left; returns what the event's record shall tell."""


def _recorders(event: Event) -> list[_Recorder]:
    """All that records an event, in an order in which images come before what uses them."""
    world = event.world
    made: list[_Recorder] = []
    if "rain" in world.true_fields:
        made.append(_TrueRain(event))
    if world.radar is not None:
        made.append(_RadarFiles(event, world.radar))
    images = _Images(event, world.seviri) if world.seviri is not None else None
    if images is not None:
        made.append(images)
    if world.imerg is not None:
        made.append(_ImergFiles(event, world.imerg, images))
    return made


class _TrueRain:
    """The true rain of the frames that the radar reports."""

    def __init__(self, event: Event) -> None:
        self._first = event.frames[0]
        self._shards = truth.Shards(event.out / "truth.zarr", truth.RAIN, event.number, event.frames.size)

    def add(self, state: State) -> None:
        if state.time >= self._first:
            self._shards.add(state.rate)

    def finish(self) -> dict[str, Any]:
        return {}


class _RadarFiles:
    """Five-minute amounts: the truth where a radar sees, missing where none does."""

    def __init__(self, event: Event, radar: Radar) -> None:
        self._event = event
        quality = radar_quality(event.world.grid, radar.range, radar.spacing)
        self._blind = np.isnan(quality)
        self._quality = Variable(quality[np.newaxis]) if radar.quality else None

    def add(self, state: State) -> None:
        if state.time < self._event.frames[0]:
            return
        amount = np.where(self._blind, np.float32(np.nan), state.rate * np.float32(FRAME / np.timedelta64(1, "h")))
        fields = {"rain_amount": Variable(amount[np.newaxis])}
        if self._quality is not None:
            fields["quality"] = self._quality
        frame = assemble(
            fields,
            self._event.world.grid,
            [state.time],
            time_bounds([state.time], FRAME, "end"),
            label="end",
            product="ondee synthetic radar",
            where="ondee.world.recorders",
        )
        path = radar_path(self._event.out, state.time)
        comment = "synthetic, made by ondee"
        with _WRITING:
            odim_writer.write(path, frame, quantity=QUANTITY, layout=LAYOUT, comment=comment, gzip=_GZIP, force=True)

    def finish(self) -> dict[str, Any]:
        return {}


class _Images:
    """Images of SEVIRI, the true cloud tops, and the 10.8 micrometre image that IMERG's infrared is made of."""

    def __init__(self, event: Event, seviri: Seviri) -> None:
        self._event, self._step = event, np.timedelta64(seviri.step, "m")
        self._times = event.images + IMAGE_DELAY
        self._clouds = Clouds(event.world.grid, seed=event.seed, minutes=seviri.step)
        self._grid = seviri_grid(event.world.grid.region())
        self.nominal: np.datetime64 = np.datetime64("NaT")
        self.window: NDArray[np.float32] = np.zeros(0, np.float32)
        self._shards = None
        if "cloud_top_height" in event.world.true_fields:
            field, frames = truth.CLOUD_TOPS, event.images.size
            self._shards = truth.Shards(event.out / "truth.zarr", field, event.number, frames)

    def add(self, state: State) -> None:
        if (state.time - self._times[0]) % self._step != np.timedelta64(0):
            return
        cloud = self._clouds.at(state)
        if self._times[0] <= state.time <= self._times[-1]:
            self._write(state, cloud)

    def _write(self, state: State, cloud: Cloud) -> None:
        event = self._event
        plane, seed = event.world.grid, event.seed
        temperatures = brightness_temperature(cloud, plane, state.time - _MIDDLE, seed=seed)
        self.nominal, self.window = state.time - IMAGE_DELAY, temperatures[_WINDOW]
        scene = seviri_scene(cloud, temperatures, plane, self._grid, self.nominal, seed=seed)
        with _WRITING:
            seviri_netcdf.write(image_path(event.out, self.nominal), scene, force=True)
        if self._shards is not None:
            self._shards.add(cloud.top_height)

    def finish(self) -> dict[str, Any]:
        return {}


class _ImergFiles:
    """IMERG: passes as they come, and each half hour as soon as all passes that are carried into it have come."""

    def __init__(self, event: Event, imerg: Imerg, images: _Images | None) -> None:
        self._event, self._imerg, self._images = event, imerg, images
        self._faults, self._cells = event.world.planted, event.world.cells
        self._pending = _passes(event, imerg)
        self._recent: deque[State] = deque()
        self._observations: list[Observation] = []
        self._infrared: dict[np.datetime64, NDArray[np.float32]] = {}
        self._waiting = deque(event.half_hours)
        self._told: list[dict[str, Any]] = []
        kinds: dict[str, Instrument] = {name: INSTRUMENTS[name] for name in imerg.sensors}
        self._instruments = {name: rough(kind) if imerg.rough else kind for name, kind in kinds.items()}

    def add(self, state: State) -> None:
        self._recent.append(state)
        seen = state.time - _MIDDLE
        for overpass, _, _ in [entry for entry in self._pending if entry[2] <= seen]:
            self._observe(overpass)
        self._pending = [entry for entry in self._pending if entry[2] > seen]
        earliest = min((first for _, first, _ in self._pending), default=seen)
        while self._recent[0].time < min(earliest, seen) - 2 * FRAME:
            self._recent.popleft()
        self._estimate(state)
        while self._waiting and self._waiting[0] in self._infrared and self._has_passed(self._waiting[0] + REACH):
            self._merge(self._waiting.popleft(), state)

    def finish(self) -> dict[str, Any]:
        return {"passes": self._told}

    def _has_passed(self, moment: np.datetime64) -> bool:
        """Whether all passes of half hours that start until a moment are observed."""
        return all(overpass.start > moment for overpass, _, _ in self._pending)

    def _observe(self, overpass: Pass) -> None:
        """What the sensor of a pass reports, and what is told of it."""
        world = self._event.world
        instrument = self._instruments[overpass.sensor]
        rate = observe(
            instrument, overpass, self._recent, world.grid, self._cells, seed=world.seed, faults=self._faults
        )
        self._observations.append(Observation(overpass, rate))
        first, last = rain_needed(overpass, self._faults)
        if self._event.start <= overpass.start < self._event.end:
            true = [round(float((moment - overpass.start) / np.timedelta64(1, "m")), 2) for moment in (first, last)]
            said = [round(float(edge(overpass.minute)), 2) for edge in (np.nanmin, np.nanmax)]
            self._told.append(
                {
                    "sensor": overpass.sensor,
                    "satellite": overpass.satellite,
                    "code": overpass.code,
                    "start": str(overpass.start.astype("datetime64[m]")),
                    "minutes": said,
                    "true_minutes": true,
                    "share": round(float(np.isfinite(overpass.minute).mean()), 3),
                }
            )

    def _estimate(self, state: State) -> None:
        """The infrared estimate of the half hour in whose middle a state lies."""
        start = state.time - IMAGE_DELAY
        if start in self._infrared or start not in self._waiting:
            return
        world, images = self._event.world, self._images
        window = images.window if images is not None and images.nominal == start else None
        self._infrared[start] = infrared_rain(
            state, world.grid, self._cells, start, seed=world.seed, temperature=window
        )

    def _merge(self, start: np.datetime64, state: State) -> None:
        """Write a half hour, and forget what no later one needs."""
        imerg = self._imerg
        merged = half_hour(
            start,
            self._observations,
            self._infrared.pop(start),
            state.wind,
            self._cells,
            seed=self._event.world.seed,
            backward=imerg.run != "Early",
        )
        path = imerg_path(self._event, start)
        padded = _padded(merged, imerg.margin)
        with _WRITING:
            imerg_writer.write(path, padded, version=imerg.version, run=imerg.run, force=True)
        self._observations = [one for one in self._observations if one.overpass.start > start - REACH]


def _passes(event: Event, imerg: Imerg) -> list[tuple[Pass, np.datetime64, np.datetime64]]:
    """Passes that count somewhere, each with the first and last moment of the rain that it sees."""
    world = event.world
    found = passes(
        world.cells,
        event.start - _EARLIER,
        event.end + _LATER,
        schedule=imerg.schedule,
        sensors=imerg.sensors,
        seed=world.seed,
    )
    by_start: dict[np.datetime64, list[Pass]] = {}
    for overpass in found:
        by_start.setdefault(overpass.start, []).append(overpass)
    made = []
    first, last = event.simulated[0] - FRAME, event.simulated[-1]
    for listed in by_start.values():
        for overpass, chosen in zip(listed, choose(listed), strict=True):
            begin, end = rain_needed(overpass, world.planted)
            if chosen.any() and first <= begin and end <= last - _MIDDLE:
                made.append((overpass, begin, end))
    return made


def _padded(merged: xr.Dataset, margin: int) -> xr.Dataset:
    """A half hour with a margin of missing cells about it."""
    cells = Grid.of(merged)
    fields = {}
    for name, array in merged.data_vars.items():
        around = ((0, 0), (margin, margin), (margin, margin))
        fields[str(name)] = Variable(np.pad(array.values, around, constant_values=np.nan))
    return assemble(
        fields,
        cells.pad(margin),
        merged["time"].values,
        merged["time_bounds"].values,
        label="start",
        product="ondee synthetic IMERG",
        where="ondee.world.recorders",
    )


def frames_of(event: Event) -> Iterator[int]:
    """Simulate and write an event, yielding after each frame; its record is written last.

    Parameters
    ----------
    event
        The event. What an earlier, unfinished run wrote of it is replaced.

    Yields
    ------
    int
        Number of the frame.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    with disk_errors(event.out):
        for folder in {path.parent for path in [*event.files(), event.record]}:
            folder.mkdir(parents=True, exist_ok=True)
        made = _recorders(event)
        wind = (0.0, 0.0)
        simulated = states(event.world.grid, event.simulated, seed=event.seed, regime=event.regime)
        for number, state in enumerate(simulated):
            wind = state.wind
            for recorder in made:
                recorder.add(state)
            yield number
        told: dict[str, Any] = {}
        for recorder in made:
            told |= recorder.finish()
        _write_record(event, wind, told)


def simulate_event(event: Event) -> int:
    """Simulate and write an event; returns its number of frames."""
    return sum(1 for _ in frames_of(event))


def _write_record(event: Event, wind: tuple[float, float], told: Mapping[str, Any]) -> None:
    record = {
        "event": event.number,
        "start": str(event.start.astype("datetime64[m]")),
        "end": str(event.end.astype("datetime64[m]")),
        "regime": event.regime,
        "seed": event.seed,
        "wind": {"east": round(wind[0], 3), "north": round(wind[1], 3)},
        **told,
    }
    half = event.record.with_suffix(".partial")
    half.write_text(yaml.safe_dump(record, sort_keys=False, default_flow_style=None), encoding="utf-8")
    half.replace(event.record)
