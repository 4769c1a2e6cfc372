"""Microwave sensors: what each reports of the true rain, and how the faults planted in it change that.

A sensor sees the rain of the minute of its pass, widened by its footprint to R on each cell, and reports

    S = b · g · factor · pivot · (R / pivot)^exponent · exp(noise z - noise² / 2),

0 where that lies below its threshold, with a gain g of the pass, a normal number z of the cell and the planted
factor b; some dry cells get false rain. Every draw is keyed by the seed, the satellite and the half hour: the same
world with and without a fault differs by the fault and by nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.typing import NDArray

from ondee.collocation.area import weights
from ondee.collocation.footprint import FULL_WIDTH
from ondee.errors import ConfigError, GridError
from ondee.grid import Grid, transformer
from ondee.source.imerg_sensors import sensor
from ondee.units import WET
from ondee.world.constellation import Pass, half_hour_number
from ondee.world.faults import Bias, Blur, Clock, Dropout, FalseRain, Fault, Shift, of
from ondee.world.rain import State

__all__ = ["INSTRUMENTS", "Instrument", "Response", "area_means", "observe", "rain_needed", "rough", "seen"]

_ROOM = 20
"""Key of the draws of this room."""
_LIGHT = 0.5
"""Rain rate below which rain may be missed, mm h-1."""
_FALSE_MEAN = 0.3
"""Mean by which the sensor's own false rain exceeds its threshold, mm h-1."""
_FALSE_MOST = 3.0
"""Most by which it does, mm h-1."""
_TOGETHER = 1.0
"""Minutes of a pass that are taken as one moment."""


@dataclass(frozen=True)
class Instrument:
    """A kind of microwave sensor.

    Parameters
    ----------
    name
        As in the table of satellites.
    code
        The number that IMERG writes.
    footprint
        Full width at half maximum of the response, km.
    threshold
        Least rain rate that it reports, mm h-1.
    factor, exponent, pivot
        It reports ``factor pivot (R / pivot)^exponent`` of the rain rate R; pivot in mm h-1.
    noise
        Standard deviation of the logarithm of what it reports of a cell; the mean is kept.
    false_alarms
        Share of the dry cells, less than 0.1 mm h-1 through the footprint, that it reports wet.
    jitter
        Standard deviation of the place of a pass, in cells, along either axis.
    gain_spread
        Standard deviation of the logarithm of the gain of a pass; the mean gain is 1.
    missed
        Share of the cells of light rain, below 0.5 mm h-1, that it reports dry.
    """

    name: str
    code: int
    footprint: float
    threshold: float
    factor: float
    exponent: float
    pivot: float
    noise: float
    false_alarms: float
    jitter: float = 0.0
    gain_spread: float = 0.0
    missed: float = 0.0


INSTRUMENTS: dict[str, Instrument] = {
    name: Instrument(name, code, sensor(code).footprint, threshold, 1.0, exponent, 1.2, noise, false_alarms)
    for name, code, threshold, exponent, noise, false_alarms in (
        ("GMI", 9, 0.10, 1.00, 0.20, 0.002),
        ("AMSR2", 3, 0.12, 0.98, 0.25, 0.003),
        ("SSMIS", 5, 0.20, 0.95, 0.30, 0.004),
        ("MHS", 7, 0.25, 0.94, 0.40, 0.005),
        ("ATMS", 11, 0.25, 0.95, 0.35, 0.005),
    )
}
"""Sensors with no errors but footprint, threshold, a nearly linear response and noise.

The footprints are those of :data:`ondee.source.imerg_sensors.SENSORS`. Thresholds, exponents and noise are choices: the
sounders, which see rain by its ice, are given the rougher ones. An exponent below 1 adds to rain below the pivot what
it takes off above, so that the volume is kept: within 5 % of the rain of fronts and storms, before the threshold cuts
it.
"""


def rough(instrument: Instrument) -> Instrument:
    """Give a sensor the errors of real ones: misplaced passes, a gain of each pass, missed and false light rain.

    Examples
    --------
    >>> rough(INSTRUMENTS["GMI"]).gain_spread
    0.3
    """
    return replace(instrument, false_alarms=0.05, jitter=0.35, gain_spread=0.3, missed=0.5)


def observe(
    instrument: Instrument,
    overpass: Pass,
    states: Sequence[State],
    grid: Grid,
    cells: Grid,
    *,
    seed: int,
    faults: Sequence[Fault] = (),
) -> NDArray[np.float32]:
    """Rain rate that a sensor reports of a pass.

    Parameters
    ----------
    instrument
        The sensor.
    overpass
        Its pass: which cells, at which minute.
    states
        The true rain, in order of time and evenly spaced, for at least the times of :func:`rain_needed`.
    grid
        The plane of the rain, periodic.
    cells
        The cells of the pass, such as IMERG's of 0.1 degree. Those beyond the plane see its periodic continuation.
    seed
        Of the draws, which are keyed by the satellite and the half hour.
    faults
        Faults of this and of other sensors.

    Returns
    -------
    ndarray
        ``(y, x)`` float32 in mm h-1, NaN outside the swath, 0 or at least the threshold of the sensor.

    Raises
    ------
    ConfigError
        If the states do not hold the time of the scan.
    GridError
        If the cells lie further than the width of the plane beyond it.
    """
    draws = _Draws.of(overpass, cells, seed)
    rain = seen(instrument, overpass, states, grid, cells, seed=seed, faults=faults)
    dry = rain < WET
    gain = np.exp(instrument.gain_spread * draws.gain - instrument.gain_spread**2 / 2)
    noise = np.exp(instrument.noise * draws.noise - instrument.noise**2 / 2)
    signal = gain * instrument.factor * instrument.pivot * (rain / instrument.pivot) ** instrument.exponent * noise
    signal[(rain < _LIGHT) & (draws.missed < instrument.missed)] = 0.0
    false_rain = instrument.threshold + np.minimum(_FALSE_MEAN * draws.false_size, _FALSE_MOST)
    signal = np.where(dry & (draws.false_rain < instrument.false_alarms), false_rain, signal)
    for bias in of(faults, Bias, instrument.name):
        signal *= bias.factor
    for fault in faults:
        if isinstance(fault, FalseRain) and fault.regime == states[0].regime:
            signal[dry & (draws.regime < fault.fraction)] = fault.rate
    signal[signal < instrument.threshold] = 0.0
    for dropout in of(faults, Dropout, instrument.name):
        signal[draws.dropout < dropout.fraction] = 0.0
    signal[np.isnan(overpass.minute)] = np.nan
    return np.asarray(signal, dtype=np.float32)


def rain_needed(overpass: Pass, faults: Sequence[Fault] = ()) -> tuple[np.datetime64, np.datetime64]:
    """First and last moment of the rain that a pass sees; a clock fault moves them."""
    minutes = overpass.minute[np.isfinite(overpass.minute)] - _late(overpass.sensor, faults)
    if not minutes.size:
        return overpass.start, overpass.start
    first, last = (np.timedelta64(round(float(edge) * 60e9), "ns") for edge in (minutes.min(), minutes.max()))
    start = overpass.start.astype("datetime64[ns]")
    return start + first, start + last


def seen(
    instrument: Instrument,
    overpass: Pass,
    states: Sequence[State],
    grid: Grid,
    cells: Grid,
    *,
    seed: int,
    faults: Sequence[Fault] = (),
) -> NDArray[np.float64]:
    """True rain as the footprint of a pass sees it, where and when the sensor looks; arguments of :func:`observe`.

    Returns
    -------
    ndarray
        ``(y, x)`` in mm h-1, also outside the swath.
    """
    draws = _Draws.of(overpass, cells, seed)
    shifts = of(faults, Shift, instrument.name)
    east, north = sum(shift.east for shift in shifts), sum(shift.north for shift in shifts)
    lattice = Grid(
        cells.crs, cells.west - east * cells.dx, cells.north - north * cells.dy, cells.dx, cells.dy, cells.nx, cells.ny
    )
    means = area_means(grid, lattice)
    displaced = instrument.jitter * draws.place @ _cell_in_plane(grid, cells)
    widths = [instrument.footprint, *(blur.km for blur in of(faults, Blur, instrument.name))]
    deviation = float(np.hypot.reduce(widths)) * 1000 / FULL_WIDTH
    response = Response(grid, deviation)
    minute = overpass.minute - _late(instrument.name, faults)
    found = np.zeros(cells.shape)
    for moment, chosen in _moments(minute):
        field = _at(states, overpass.start, moment, response, (float(displaced[0]), float(displaced[1])))
        found[chosen] = (means @ field.ravel()).reshape(cells.shape)[chosen]
    return found


def _late(sensor: str, faults: Sequence[Fault]) -> float:
    """Minutes by which the clock of a sensor is late."""
    return sum(clock.minutes for clock in of(faults, Clock, sensor))


def _moments(minute: NDArray[np.float32]) -> list[tuple[float, NDArray[np.bool_]]]:
    """Moments that stand for the minutes of a pass, each with its cells."""
    known = np.isfinite(minute)
    if not known.any():
        return []
    first, last = float(minute[known].min()), float(minute[known].max())
    count = max(1, int(np.ceil((last - first) / _TOGETHER)))
    width = (last - first) / count
    part = np.where(known, np.minimum((np.where(known, minute, first) - first) / max(width, 1e-9), count - 1), 0)
    return [(first + (number + 0.5) * width, part.astype(np.int64) == number) for number in range(count)]


# ---- the rain of a moment


class Response:
    """Spectra of fields, moved and widened by a Gaussian: one product a field, as both are separable.

    Parameters
    ----------
    grid
        The periodic plane of the fields.
    deviation
        Standard deviation of the Gaussian, m.
    """

    def __init__(self, grid: Grid, deviation: float) -> None:
        self._east = 2 * np.pi * scipy.fft.rfftfreq(grid.nx, grid.dx)
        self._south = 2 * np.pi * scipy.fft.fftfreq(grid.ny, grid.dy)
        self._along = np.exp(-0.5 * (self._east * deviation) ** 2)
        self._down = np.exp(-0.5 * (self._south * deviation) ** 2)
        self._shape = grid.shape

    def spectrum(self, rate: NDArray[np.float32], east: float, north: float, share: float) -> NDArray[np.complex64]:
        """Spectrum of a share of a field, widened and moved by so many metres."""
        spectrum: NDArray[np.complex64] = scipy.fft.rfft2(rate)
        spectrum *= (share * self._along * np.exp(-1j * self._east * east)).astype(np.complex64)
        spectrum *= (self._down * np.exp(1j * self._south * north)).astype(np.complex64)[:, np.newaxis]
        return spectrum

    def field(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Field of a spectrum; rounding below 0 is cut."""
        field: NDArray[np.float32] = scipy.fft.irfft2(spectrum, s=self._shape, overwrite_x=True)
        return np.maximum(field, 0, out=field)


def _at(
    states: Sequence[State], start: np.datetime64, minute: float, response: Response, displaced: tuple[float, float]
) -> NDArray[np.float32]:
    """Rain of a moment, widened and displaced: the frames around it, moved along the wind, blended.

    A frame labelled by its end is the rain in the middle of its interval. Half a step before the first and after
    the last, that frame alone is moved.
    """
    stamps = np.array([state.time for state in states], dtype="datetime64[ns]")
    step = float(np.median(np.diff(stamps)) / np.timedelta64(1, "s")) if stamps.size > 1 else 300.0
    seconds = (stamps - start.astype("datetime64[ns]")) / np.timedelta64(1, "s") - step / 2
    moment = minute * 60
    after = int(np.searchsorted(seconds, moment))
    pair = sorted({max(after - 1, 0), min(after, len(states) - 1)})
    apart = np.abs(moment - seconds[pair])
    if apart.min() > step / 2 + 1 or (len(pair) == 2 and apart.sum() > 1.5 * step):
        raise ConfigError(
            f"the true rain of minute {minute:.1f} after {start} is not among the {len(states)} states given",
            where="ondee.world.microwave.observe",
            fix="give the states of all times that rain_needed(overpass, faults) tells, in order",
        )
    shares = [1.0] if len(pair) == 1 else (apart[::-1] / apart.sum()).tolist()
    total = None
    for index, share in zip(pair, shares, strict=True):
        if share:
            passed = moment - seconds[index]
            east, north = (speed * passed + offset for speed, offset in zip(states[index].wind, displaced, strict=True))
            part = response.spectrum(states[index].rate, east, north, share)
            total = part if total is None else total + part
    assert total is not None
    return response.field(total)


# ---- from the plane to cells


@lru_cache(maxsize=64)
def area_means(grid: Grid, cells: Grid) -> scipy.sparse.csr_array:
    """Matrix of the means over cells, ``(cells, pixels)``: beyond its border the plane begins anew."""
    x, y = _in_plane(grid, cells, *np.meshgrid(cells.x_edges, cells.y_edges))
    beyond = np.array([grid.west - x.min(), x.max() - grid.east, grid.south - y.min(), y.max() - grid.north])
    margin = max(0, int(np.ceil(beyond.max() / grid.dx)) + 1) if beyond.max() > 0 else 0
    if not margin <= min(grid.nx, grid.ny):
        raise GridError(
            f"the cells reach {beyond.max() / 1000:.0f} km beyond the plane of the rain",
            where="ondee.world.microwave",
            fix="choose cells that lie on the plane, with a margin of less than its width",
        )
    padded = grid.pad(margin) if margin else grid
    found = weights(padded, cells)
    rows, columns = np.divmod(found.index.astype(np.int64), padded.nx)
    pixels = (rows - margin) % grid.ny * grid.nx + (columns - margin) % grid.nx
    shape = (cells.nx * cells.ny, grid.nx * grid.ny)
    matrix = scipy.sparse.csr_array((found.share, pixels, found.start), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _in_plane(
    grid: Grid, cells: Grid, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of the cells' plane in the plane of the rain."""
    if grid.crs == cells.crs:
        return x, y
    for one in (grid, cells):
        one.require_located("ondee.world.microwave")
    moved_x, moved_y = transformer(cells.crs, grid.crs).transform(x, y)
    return np.asarray(moved_x), np.asarray(moved_y)


@lru_cache(maxsize=64)
def _cell_in_plane(grid: Grid, cells: Grid) -> NDArray[np.float64]:
    """Metres east and north in the plane of one cell east and of one cell north, mid-way, ``(2, 2)``."""
    x, y = (cells.west + cells.east) / 2, (cells.south + cells.north) / 2
    places_x, places_y = _in_plane(grid, cells, x + np.array([0, cells.dx, 0]), y + np.array([0, 0, cells.dy]))
    return np.column_stack([places_x[1:] - places_x[0], places_y[1:] - places_y[0]])


# ---- draws


@dataclass(frozen=True)
class _Draws:
    """All that is random in a pass, drawn whether or not it is used, so that no draw depends on another's use."""

    place: NDArray[np.float64]
    gain: float
    noise: NDArray[np.float64]
    missed: NDArray[np.float64]
    false_rain: NDArray[np.float64]
    false_size: NDArray[np.float64]
    regime: NDArray[np.float64]
    dropout: NDArray[np.float64]

    @classmethod
    def of(cls, overpass: Pass, cells: Grid, seed: int) -> _Draws:
        """Draws of a pass."""
        satellite = zlib.crc32(overpass.satellite.encode())
        key = [seed, _ROOM, overpass.code, satellite, half_hour_number(overpass.start)]
        generator = np.random.default_rng(key)
        place, gain = generator.standard_normal(2), float(generator.standard_normal())
        noise, size = generator.standard_normal(cells.shape), generator.standard_exponential(cells.shape)
        missed, false_rain, regime, dropout = generator.random((4, *cells.shape))
        return cls(place, gain, noise, missed, false_rain, size, regime, dropout)
