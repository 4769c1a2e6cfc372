"""From passes to half hours as IMERG makes them: the sensor that passed, else passes carried along the motion.

Where a sensor passed within the half hour, its rain is taken as it is. Elsewhere the nearest passes before and after
are carried along an estimated motion to the middle of the half hour (morphing: Joyce et al. 2004, J. Hydrometeor. 5,
487) and averaged with each other and with an infrared estimate by their precision, as a Kalman filter does (Joyce and
Xie 2011, J. Hydrometeor. 12, 1547). An estimate whose correlation with the truth is r has the precision
r² / (1 - r²), and that of a carried pass falls with its age. The averages are too smooth and too often wet, as those
of IMERG before V07; no gauges adjust them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.footprint import FULL_WIDTH
from ondee.grid import Grid
from ondee.source.assembly import Variable, assemble
from ondee.source.imerg_sensors import flags
from ondee.world.constellation import HALF_HOUR, Pass, choose, half_hour_number, is_imager, reported_minute
from ondee.world.microwave import Response, area_means
from ondee.world.rain import State

__all__ = ["REACH", "Observation", "half_hour", "infrared_rain"]

REACH = np.timedelta64(180, "m")
"""How long before and after a half hour passes are carried into it."""
_MOTION, _INFRARED = 23, 24
"""Keys of the draws of this room."""
_SPEED_ERROR, _DIRECTION_ERROR = 0.15, 0.2
"""Standard deviations of the estimated motion: of the logarithm of its speed, and of its direction in radians."""
_CORRELATION, _FOLD = 0.85, 100.0
"""Correlation of a carried pass with the truth at once, and the minutes after which it has fallen by e."""
_INFRARED_CORRELATION = 0.45
_INFRARED_AFTER = 30.0
"""Age of the nearest pass, in minutes, from which infrared is listened to."""
_QUALITY = {True: 0.95, False: 0.88}
"""Quality index of the pass of an imager and of a sounder."""
_LEAST = 0.03
"""Rain rates below are 0 in an average, mm h-1."""
_INFRARED_WIDTH, _CLOUD_WIDTH = 50_000.0, 20_000.0
"""Full width at half maximum, m, of the infrared estimate made of rain, and of that made of brightness temperature."""
_NOISE, _NOISE_REACH = 0.6, 4.0
"""Standard deviation of the logarithm of the infrared estimate, and the reach of its errors in cells."""
_INFRARED_MOST = 20.0
"""Largest infrared estimate, mm h-1."""


@dataclass(frozen=True, eq=False)
class Observation:
    """What a sensor reports of a pass.

    Parameters
    ----------
    overpass
        The pass.
    rate
        ``(y, x)`` float32 in mm h-1, NaN outside the swath, as :func:`ondee.world.microwave.observe` gives it.
    """

    overpass: Pass
    rate: NDArray[np.float32]


def half_hour(
    start: np.datetime64,
    observations: Sequence[Observation],
    infrared: NDArray[np.float32],
    motion: tuple[float, float],
    cells: Grid,
    *,
    seed: int,
    backward: bool = True,
) -> xr.Dataset:
    """Merge passes and infrared into one half hour.

    Parameters
    ----------
    start
        Start of the half hour.
    observations
        All passes whose half hours start within :data:`REACH` of `start`, in any order; others are not used.
    infrared
        Infrared estimate, ``(y, x)`` in mm h-1.
    motion
        True motion of the rain towards east and north, m s-1; an error is added to it.
    cells
        The cells, of 0.1 degree for a file.
    seed
        Of the error of the motion, keyed by the half hour.
    backward
        Whether later passes are carried back, as in the Late and Final runs; not in the Early run.

    Returns
    -------
    xarray.Dataset
        One time with ``rain_rate`` and the other quantities of an IMERG file, as
        :func:`ondee.source.imerg_writer.write` takes them. ``rain_rate_uncalibrated`` is the same rain, as no
        gauges are simulated, and ``liquid_probability`` is 100 %.
    """
    used = sorted(
        (one for one in observations if abs(one.overpass.start - start) <= REACH),
        key=lambda one: (one.overpass.start, one.overpass.code, one.overpass.satellite),
    )
    layers = [layer for moment in sorted({one.overpass.start for one in used}) for layer in _layers(used, moment)]
    guess = _estimated(motion, seed, start)
    microwave, source, minute = (np.full(cells.shape, fill, np.float32) for fill in (np.nan, 0.0, np.nan))
    quality = np.zeros(cells.shape)
    for layer in layers:
        if layer.overpass.start == start:
            here = np.isfinite(layer.rate)
            microwave[here], source[here] = layer.rate[here], layer.overpass.code
            minute[here] = reported_minute(layer.overpass)[here]
            quality[here] = _QUALITY[is_imager(layer.overpass.code)]
    ways = [_carried([layer for layer in layers if layer.overpass.start < start], start, guess, cells)]
    if backward:
        ways.append(_carried([layer for layer in layers if layer.overpass.start > start], start, guess, cells))
    merged, weight, expected = _averaged(ways, infrared)
    passed = np.isfinite(microwave)
    rate = np.where(passed, microwave, merged).astype(np.float32)
    quality = np.where(passed, quality, expected)
    values = {
        "rain_rate": rate,
        "rain_rate_uncalibrated": rate,
        "microwave_rain_rate": microwave,
        "microwave_source": source,
        "microwave_minute": minute,
        "infrared_rain_rate": infrared,
        "infrared_weight": np.where(passed, 0.0, weight),
        "random_error": np.sqrt((1 - quality**2) * rate * (rate + 1)),
        "quality_index": quality,
        "liquid_probability": np.full(cells.shape, 100.0),
    }
    return assemble(
        {
            name: Variable(np.asarray(field, np.float32)[None], {}, flags() if name == "microwave_source" else {})
            for name, field in values.items()
        },
        cells,
        [start],
        [[start, start + HALF_HOUR]],
        label="start",
        product="ondee synthetic IMERG",
        where="ondee.world.merging",
    )


def infrared_rain(
    state: State,
    grid: Grid,
    cells: Grid,
    start: np.datetime64,
    *,
    seed: int,
    temperature: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Estimate rain from infrared: smooth, and wrong over regions of some ten cells.

    Parameters
    ----------
    state
        True rain, near the middle of the half hour.
    grid, cells
        The plane of the rain, and the cells of the estimate.
    start
        Start of the half hour, the key of the errors.
    seed
        Of the errors.
    temperature
        Brightness temperature at 10.8 µm on the plane, ``(y, x)`` in K: rain is a power law of it (Vicente et al. 1998,
        BAMS 79, 1883), halved, for that law is one of heavy convection, and none above 250 K. Without it,
        the true rain is smoothed instead.

    Returns
    -------
    ndarray
        ``(y, x)`` float32 in mm h-1, nowhere missing.
    """
    width = _INFRARED_WIDTH if temperature is None else _CLOUD_WIDTH
    rain = state.rate if temperature is None else _power_law(temperature)
    response = Response(grid, width / FULL_WIDTH)
    smooth = response.field(response.spectrum(rain, 0.0, 0.0, 1.0))
    mean = (area_means(grid, cells) @ smooth.ravel()).reshape(cells.shape)
    generator = np.random.default_rng([seed, _INFRARED, half_hour_number(start)])
    noise = scipy.ndimage.gaussian_filter(generator.standard_normal(cells.shape), _NOISE_REACH, mode="wrap")
    noise *= 2 * np.sqrt(np.pi) * _NOISE_REACH * _NOISE  # smoothing had left 1 / (2 sqrt(pi) reach) of the deviation
    estimate = np.minimum(mean * np.exp(noise - _NOISE**2 / 2), _INFRARED_MOST)
    return np.where(estimate < _LEAST, 0.0, estimate).astype(np.float32)


def _power_law(temperature: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rain rate of a brightness temperature."""
    kelvin = np.clip(temperature.astype(np.float64), 195.0, 330.0)
    rate = 0.5 * 1.1183e11 * np.exp(-3.6382e-2 * kelvin**1.2)
    return np.where(kelvin < 250, np.minimum(rate, _INFRARED_MOST), 0.0).astype(np.float32)


# ---- passes carried along the motion


def _layers(observations: Sequence[Observation], start: np.datetime64) -> list[Observation]:
    """Observations of one half hour, each cut to the cells in which it is the one that counts."""
    listed = [one for one in observations if one.overpass.start == start]
    chosen = choose([one.overpass for one in listed])
    return [
        Observation(one.overpass, np.where(cells, one.rate, np.float32(np.nan)))
        for one, cells in zip(listed, chosen, strict=True)
    ]


def _estimated(motion: tuple[float, float], seed: int, start: np.datetime64) -> tuple[float, float]:
    """Motion as the merging knows it, m s-1."""
    speed, turn = np.random.default_rng([seed, _MOTION, half_hour_number(start)]).standard_normal(2)
    factor, turn = np.exp(_SPEED_ERROR * speed), _DIRECTION_ERROR * turn
    east = factor * (np.cos(turn) * motion[0] - np.sin(turn) * motion[1])
    north = factor * (np.sin(turn) * motion[0] + np.cos(turn) * motion[1])
    return float(east), float(north)


def _carried(
    layers: Sequence[Observation], start: np.datetime64, motion: tuple[float, float], cells: Grid
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Rain of the nearest pass in time, carried to the middle of the half hour, and its age in minutes; NaN where none.

    The motion leads from the pass to the half hour, or back to it, as the sign of the time between tells. Whole values
    are carried by whole cells.
    """
    carried, age = np.full(cells.shape, np.nan, np.float32), np.full(cells.shape, np.nan)
    after = [(_minutes_after(layer, start), layer) for layer in layers if np.isfinite(layer.rate).any()]
    for minutes, layer in sorted(after, key=lambda pair: abs(pair[0])):
        east, north = (speed * minutes * 60 / size for speed, size in zip(motion, _cell_size(cells), strict=True))
        moved = _moved(layer.rate, round(east), round(north))
        new = np.isnan(carried) & np.isfinite(moved)
        carried[new], age[new] = moved[new], abs(minutes)
    return carried, age


def _minutes_after(layer: Observation, start: np.datetime64) -> float:
    """Minutes from a pass to the middle of a half hour; negative for a later pass."""
    minute = float(reported_minute(layer.overpass)[np.isfinite(layer.rate)].mean())
    return float((start - layer.overpass.start) / np.timedelta64(1, "m")) + 15 - minute


def _cell_size(cells: Grid) -> tuple[float, float]:
    """Width and height of the middle cell, m."""
    if not cells.is_geographic:
        return cells.dx, cells.dy
    degree = np.radians(1.0) * 6_371_000
    return float(cells.dx * degree * np.cos(np.radians((cells.north + cells.south) / 2))), float(cells.dy * degree)


def _moved(field: NDArray[np.float32], east: int, north: int) -> NDArray[np.float32]:
    """A field moved by whole cells, NaN where it comes from outside."""
    rows, columns = field.shape
    moved = np.full_like(field, np.nan)
    if abs(north) < rows and abs(east) < columns:
        target = moved[max(-north, 0) : rows - max(north, 0), max(east, 0) : columns + min(east, 0)]
        target[:] = field[max(north, 0) : rows + min(north, 0), max(-east, 0) : columns - max(east, 0)]
    return moved


# ---- averages


def _averaged(
    ways: Sequence[tuple[NDArray[np.float32], NDArray[np.float64]]], infrared: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Average by precision of carried passes and infrared.

    Returns
    -------
    rate, weight, correlation : ndarray
        ``(y, x)``: mm h-1; whole per cent of infrared, 1 to 99 where both count; the correlation to be expected.
    """
    shape = infrared.shape
    total, sum_of_rates, nearest = np.zeros(shape), np.zeros(shape), np.full(shape, np.inf)
    for rate, age in ways:
        known = np.isfinite(age)
        precision = _precision(_CORRELATION * np.exp(-np.where(known, age, 0.0) / _FOLD)) * known
        total += precision
        sum_of_rates += precision * np.where(known, rate, 0.0)
        nearest = np.minimum(nearest, np.where(known, age, np.inf))
    listened = np.where(nearest > _INFRARED_AFTER, _precision(np.array(_INFRARED_CORRELATION)), 0.0)
    alone = total == 0
    share = listened / (total + listened)
    weight = np.where((share > 0) & ~alone, np.clip(np.rint(100 * share), 1, 99), 100 * share)
    total += listened
    average = (sum_of_rates + listened * infrared) / total
    return np.where(average < _LEAST, 0.0, average), weight, np.sqrt(total / (1 + total))


def _precision(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Precision of an estimate from its correlation with the truth."""
    return np.asarray(correlation**2 / (1 - correlation**2))
