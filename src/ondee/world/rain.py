"""Synthetic rain whose statistics are those of radar: stratiform fields and convective cells, carried by a wind.

Stratiform rain is a Gaussian field with a power-law spectrum. Each Fourier coefficient is a second-order
autoregressive process whose lifetime grows with its scale (Seed 2003; Bowler et al. 2006, STEPS); its phase turns
with the wind, that of the largest patterns slower, so that a frame costs one inverse transform. Convective cells are
born in clusters and lines, grow and decay in 40 to 100 min and move with the wind. The plane is periodic: what leaves
it comes in opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.source.assembly import Variable, assemble, time_bounds
from ondee.world.cells import Cells
from ondee.world.gaussian import GaussianField
from ondee.world.regime import REGIMES, Regime

__all__ = ["REGIMES", "Regime", "State", "rain", "states"]


@dataclass(frozen=True)
class State:
    """The rain of one time, with what made it.

    Parameters
    ----------
    time
        End of the interval that the frame stands for.
    rate
        Rain rate in mm h-1, ``(y, x)`` float32; dry is exactly 0, nothing is missing.
    gaussian
        Unit Gaussian field of the stratiform rain, ``(y, x)`` float32: the larger, the nearer to rain.
    convective
        Part of the rate that the cells make, in mm h-1, ``(y, x)`` float32.
    cells
        The living cells, a structured array: their centre ``x`` east of the western and ``y`` south of the northern
        edge in pixels (periodic), ``age`` and ``life`` in minutes, ``peak`` in mm h-1 at their height, ``stretch``
        (square root of the ratio of their axes) and ``angle`` of the long axis (radians from east, towards south).
    wind
        Towards east and towards north, in m s-1.
    regime
        Name of the regime.
    seed
        Seed of the world.
    """

    time: np.datetime64
    rate: NDArray[np.float32]
    gaussian: NDArray[np.float32]
    convective: NDArray[np.float32]
    cells: NDArray[np.void]
    wind: tuple[float, float]
    regime: str
    seed: int


_SOFT = 0.25
"""Width of the soft edge, in standard deviations of the Gaussian field."""
_HIGHEST = 2.0
"""Value of the Gaussian field above which it makes cells no stronger."""
_LEAST = 0.05
"""Rain rates below are exactly 0, in mm h-1: less than any radar reports."""


def rain(
    grid: Grid,
    times: Sequence[np.datetime64] | NDArray[np.datetime64],
    *,
    seed: int,
    regime: str = "embedded",
    diurnal: float = 0.0,
) -> Iterator[xr.Dataset]:
    """Make rain, one frame at a time, in memory that does not grow with their number.

    Parameters
    ----------
    grid
        Square cells in metres, an even number of rows and of columns.
    times
        Ends of the frames, evenly spaced; a single one stands for five minutes. A frame is the field in the
        middle of its interval.
    seed
        The same seed, grid, regime, first time and spacing give the same frames, however many are asked for.
    regime
        One of :data:`REGIMES`.
    diurnal
        Daily cycle of the births of cells, 0 to 1: they are ``1 + diurnal`` times as many as on average at 16 UTC, and
        ``1 - diurnal`` times at 4 UTC.

    Yields
    ------
    xarray.Dataset
        ``rain_rate(time=1, y, x)`` in mm h-1; dry is exactly 0, nothing is missing. The attributes ``wind_east``
        and ``wind_north`` tell the true motion in m s-1.

    Raises
    ------
    ConfigError
        If the cells are not square or not in metres, their rows or columns odd or fewer than 16, the times are
        none or not evenly spaced, the regime is unknown, the seed is negative or `diurnal` lies outside 0 to 1.

    Examples
    --------
    >>> from ondee.grid import LOCAL
    >>> plane = Grid(LOCAL, 0, 0, 1000, 1000, 64, 64)
    >>> stamps = np.datetime64("2018-06-04T12:00") + np.arange(3) * np.timedelta64(5, "m")
    >>> [frame.rain_rate.shape for frame in rain(plane, stamps, seed=1)]
    [(1, 64, 64), (1, 64, 64), (1, 64, 64)]
    """
    stamps = np.asarray(times, dtype="datetime64[ns]")
    made = states(grid, times, seed=seed, regime=regime, diurnal=diurnal)
    return _frames(made, grid, stamps, _spacing(stamps))


def states(
    grid: Grid,
    times: Sequence[np.datetime64] | NDArray[np.datetime64],
    *,
    seed: int,
    regime: str = "embedded",
    diurnal: float = 0.0,
) -> Iterator[State]:
    """Make rain as :func:`rain` does, with the cells and the field that made it.

    Parameters
    ----------
    grid, times, seed, regime, diurnal
        As of :func:`rain`.

    Yields
    ------
    State
        One for each time.

    Raises
    ------
    ConfigError
        As of :func:`rain`.

    Examples
    --------
    >>> from ondee.grid import LOCAL
    >>> plane = Grid(LOCAL, 0, 0, 1000, 1000, 64, 64)
    >>> stamps = np.datetime64("2018-06-04T12:00") + np.arange(2) * np.timedelta64(5, "m")
    >>> [state.rate.shape for state in states(plane, stamps, seed=1, regime="convective")]
    [(64, 64), (64, 64)]
    """
    stamps = np.asarray(times, dtype="datetime64[ns]")
    step = _spacing(stamps)
    _check(grid, regime, seed, diurnal)
    return _states(grid, stamps, step, seed, regime, diurnal)


def _states(
    grid: Grid, stamps: NDArray[np.datetime64], step: np.timedelta64, seed: int, regime: str, diurnal: float
) -> Iterator[State]:
    kind, minutes = REGIMES[regime], float(step / np.timedelta64(1, "s")) / 60
    direction = np.random.default_rng([seed, 0]).uniform(0, 2 * np.pi, 2)
    wind = float(kind.speed * np.cos(direction[0])), float(kind.speed * np.sin(direction[0]))
    field = GaussianField(grid, kind, minutes, direction[1], wind, seed)
    cells = Cells(
        grid,
        births=_births(kind.cells, stamps[0], step, diurnal),
        peak=kind.peak,
        lines=kind.lines,
        direction=float(direction[1]),
        wind=wind,
        propagation=kind.propagation,
        minutes=minutes,
        seed=seed,
    )
    for index, stamp in enumerate(stamps):
        drift = wind[0] * 60 * minutes * index, wind[1] * 60 * minutes * index
        gaussian = field.at(index)
        living = cells.at(index, drift)
        convective = _textured(cells.rate(living), gaussian, kind.texture)
        rate = _stratiform(gaussian, kind) + convective
        rate[rate < _LEAST] = 0.0
        yield State(stamp, rate, gaussian, convective, living, wind, regime, seed)


def _births(mean: float, first: np.datetime64, step: np.timedelta64, diurnal: float) -> Callable[[int], float]:
    """Births of cells in an hour on 100 x 100 km as a function of the step, most at 16 UTC."""
    day = np.timedelta64(1, "D")

    def births(number: int) -> float:
        now = first + number * step
        return float(mean * (1 + diurnal * np.cos(2 * np.pi * ((now - now.astype("datetime64[D]")) / day - 2 / 3))))

    return births


def _frames(
    made: Iterator[State], grid: Grid, stamps: NDArray[np.datetime64], step: np.timedelta64
) -> Iterator[xr.Dataset]:
    """Dataset of each state's rain."""
    times = None
    for index, state in enumerate(made):
        if times is None:
            times = _times(state, grid, stamps, step)
        # A cut through what was assembled once costs a tenth of assembling each frame.
        frame = times.isel(time=slice(index, index + 1)).copy(deep=False)  # with attributes of its own
        frame.variables["rain_rate"].data = state.rate[np.newaxis]
        yield frame


def _times(state: State, grid: Grid, stamps: NDArray[np.datetime64], step: np.timedelta64) -> xr.Dataset:
    """Dataset of all times, whose rain takes no memory and is put in frame by frame."""
    dry = np.zeros((1, *grid.shape), np.float32)
    one = assemble(
        {"rain_rate": Variable(dry)},
        grid,
        stamps[:1],
        time_bounds(stamps[:1], step, "end"),
        label="end",
        product="ondee synthetic rain",
        where="ondee.world.rain",
        regime=state.regime,
        seed=state.seed,
        wind_east=state.wind[0],
        wind_north=state.wind[1],
    )
    nothing = np.broadcast_to(dry, (stamps.size, *grid.shape))
    labels, rain = one["time"], one["rain_rate"]
    every = {
        "time": ("time", stamps, labels.attrs, labels.encoding),
        "time_bounds": (("time", "bounds"), time_bounds(stamps, step, "end")),
    }
    kept = one.drop_vars(["time", "time_bounds", "rain_rate"])
    return kept.assign(rain_rate=(rain.dims, nothing, rain.attrs, rain.encoding)).assign_coords(every)


def _stratiform(gaussian: NDArray[np.float32], kind: Regime) -> NDArray[np.float32]:
    """Rain rate of a Gaussian field, 0 below the threshold."""
    rate = np.zeros_like(gaussian)
    wet = gaussian > kind.threshold
    above = gaussian[wet] - np.float32(kind.threshold)
    rate[wet] = np.float32(kind.edge_rate) * np.exp(np.float32(kind.steepness) * above)
    rate[wet] *= 1 - np.exp(-above / np.float32(_SOFT))
    rate /= 1 + rate / np.float32(kind.most)
    return rate


def _textured(rate: NDArray[np.float32], gaussian: NDArray[np.float32], texture: float) -> NDArray[np.float32]:
    """Rain rate of cells, textured by the Gaussian field."""
    near = rate > 0
    pattern = np.minimum(gaussian[near], np.float32(_HIGHEST))
    rate[near] *= np.exp(np.float32(texture) * pattern - np.float32(texture**2 / 2))
    return rate


def _spacing(stamps: NDArray[np.datetime64]) -> np.timedelta64:
    """The one step between times."""
    if not stamps.size:
        raise ConfigError("there is no time", where="times", fix="give at least one time")
    if stamps.size < 2:
        return np.timedelta64(5, "m")
    steps = np.unique(np.diff(stamps))
    if steps.size != 1 or not steps[0] > np.timedelta64(0):
        raise ConfigError(
            "the times are not evenly spaced, one after the other",
            where="times",
            fix="give times such as start + np.arange(12) * np.timedelta64(5, 'm')",
        )
    found: np.timedelta64 = steps[0]
    return found


def _check(grid: Grid, regime: str, seed: int, diurnal: float) -> None:
    if not 0 <= diurnal <= 1:
        raise ConfigError(f"the daily cycle is {diurnal}", where="diurnal", fix="use 0 for none, up to 1")
    if seed < 0:
        raise ConfigError(f"the seed is {seed}", where="seed", fix="use 0 or a larger whole number")
    if regime not in REGIMES:
        raise ConfigError(f"{regime!r} is no regime", where="regime", fix="use one of: " + ", ".join(REGIMES))
    if grid.dx != grid.dy or grid.is_geographic or grid.nx % 2 or grid.ny % 2 or min(grid.shape) < 16:
        raise ConfigError(
            f"rain is made on square cells in metres, an even number of rows and columns, not on {grid.describe()}",
            where="grid",
            fix="make it on such a grid and regrid it with ondee.collocation",
        )
