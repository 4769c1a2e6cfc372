"""Radar at the minute of the satellite's pass, beside its half-hour mean; the two kinds are never pooled."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ondee.collocation.calendar import HALF_HOUR, means
from ondee.errors import ConfigError, GridError
from ondee.grid import Grid
from ondee.units import require, tag

__all__ = ["HALF_WIDTHS", "at_the_pass", "overpass", "references"]

HALF_WIDTHS = (2.5, 5.0, 7.5)
"""Half widths of the window around the pass, minutes."""

_MINUTE = np.timedelta64(60, "s").astype("timedelta64[ns]")
_EVEN = 1e-6


def overpass(
    radar: xr.Dataset, minute: xr.DataArray, *, half_width: float = 2.5, time_coverage: float = 1.0
) -> xr.Dataset:
    """Radar rain at each cell at the minute at which the microwave sensor passed.

    Parameters
    ----------
    radar
        ``rain_rate(time, y, x)`` in mm h-1 on the satellite's grid, with ``time_bounds``; frames before and after
        the half hour are used where the window reaches them.
    minute
        ``(time, y, x)``: minutes of the pass after each ``time`` (start of the half hour), NaN where none passed
        (IMERG's ``microwave_minute``).
    half_width
        The window is ``time + minute ± half_width``, in minutes; frames count by the time they share with it.
    time_coverage
        Smallest share of the window that must be observed.

    Returns
    -------
    xarray.Dataset
        ``rain_rate(time, y, x)``, NaN where no sensor passed or the radar did not observe; the kind of reference
        stands in the attribute ``reference_kind``.

    Raises
    ------
    UnitError
        If the rain is not a rate in mm h-1 or the minute not in minutes.
    GridError
        If radar and satellite are not on one grid.
    ConfigError
        If the window has no width, or the rain is an ensemble.
    """
    _refuse_members(radar["rain_rate"])
    require(radar["rain_rate"], "rain_rate", where="radar")
    require(minute, "microwave_minute", where="satellite")
    if not half_width > 0:
        raise ConfigError(
            f"a window of ± {half_width} min has no width",
            where="half_width",
            fix="use 2.5, 5 or 7.5 minutes",
        )
    if not Grid.of(radar, where="radar").same_as(Grid.of(minute, where="satellite")):
        raise GridError(
            "radar and satellite are on different grids",
            where="ondee.collocation.overpass",
            fix="bring the radar to the satellite's grid first: ondee.collocation.regrid(radar, Grid.of(satellite))",
        )
    reach = np.timedelta64(round(half_width * 60), "s").astype("timedelta64[ns]")
    rain = np.asarray(radar["rain_rate"].values, np.float32)
    bounds = np.asarray(radar["time_bounds"].values)
    made = np.full(minute.shape, np.nan, np.float32)
    for step, start in enumerate(minute["time"].values):
        passed = np.asarray(minute.values[step], np.float64)
        near = np.flatnonzero((bounds[:, 1] > start - reach) & (bounds[:, 0] < start + HALF_HOUR + reach))
        made[step] = at_the_pass(rain[near], (bounds[near] - start) / _MINUTE, passed, half_width, time_coverage)
    kind = f"overpass minute ± {half_width:g} min"
    array = xr.DataArray(made, dims=minute.dims)
    tagged = tag(array, "rain_rate", grid_mapping="crs", reference_kind=kind, cell_methods="time: mean (window)")
    coordinates = {
        name: minute.coords[name] for name in ("time", "time_bounds", "x", "y", "crs") if name in minute.coords
    }
    return xr.Dataset({"rain_rate": tagged}, coords=coordinates, attrs=dict(radar.attrs))


def _refuse_members(rain: xr.DataArray) -> None:
    """Refuse an ensemble: what the sensor is compared with is one field."""
    if rain.dims != ("time", "y", "x"):
        raise ConfigError(
            f"the rain has the dimensions {rain.dims}; (time, y, x) is needed",
            where="radar",
            fix="take one member at a time: radar.isel(member=0)",
        )


def at_the_pass(
    rain: np.ndarray, bounds: np.ndarray, passed: np.ndarray, half_width: float = 2.5, time_coverage: float = 1.0
) -> np.ndarray:
    """Mean of the frames that share time with each cell's own window.

    Parameters
    ----------
    rain
        ``(frame, y, x)`` in mm h-1, NaN where not observed.
    bounds
        ``(frame, 2)``: minutes after the start at which each frame begins and ends.
    passed
        ``(y, x)``: middle of each cell's window in minutes after the start, NaN where none is wanted.
    half_width
        Half of the window, minutes.
    time_coverage
        Smallest share of the window that must be observed.

    Returns
    -------
    numpy.ndarray
        ``(y, x)``, float32; NaN where too little was observed.
    """
    total, seen = np.zeros(passed.shape, np.float32), np.zeros(passed.shape, np.float32)
    known = passed[np.isfinite(passed)]
    if known.size:
        near = (bounds[:, 1] > known.min() - half_width) & (bounds[:, 0] < known.max() + half_width)
        rain, bounds = rain[near], bounds[near]
    for frame, (first, last) in zip(rain, bounds, strict=True):
        shared = np.minimum(last, passed + half_width) - np.maximum(first, passed - half_width)
        weight = np.where(np.isfinite(frame) & (shared > 0), shared, 0.0).astype(np.float32)
        total += weight * np.where(weight > 0, frame, np.float32(0))
        seen += weight
    share = seen / np.float32(2 * half_width)
    enough = (share >= time_coverage - _EVEN) & (share > 0) & np.isfinite(passed)
    return np.divide(total, seen, out=np.full(passed.shape, np.nan, np.float32), where=enough)


def references(
    radar: xr.Dataset,
    minute: xr.DataArray,
    *,
    half_width: float = 2.5,
    time_coverage: float = 1.0,
) -> xr.Dataset:
    """Both references side by side: the half-hour mean and the radar at the pass.

    Parameters
    ----------
    radar, minute, half_width, time_coverage
        As for :func:`overpass`.

    Returns
    -------
    xarray.Dataset
        ``rain_rate(reference, time, y, x)``; the coordinate ``reference`` is ``"mean"`` or ``"overpass"``, so that
        no score can pool the two without naming them.
    """
    _refuse_members(radar["rain_rate"])
    others = [name for name in radar.data_vars if name != "rain_rate"]
    mean = means(radar.drop_vars(others), minute["time"].values, time_coverage=time_coverage)
    at_pass = overpass(radar, minute, half_width=half_width, time_coverage=time_coverage)
    both = np.stack([mean["rain_rate"].values, at_pass["rain_rate"].values])
    kinds = [str(part["rain_rate"].attrs["reference_kind"]) for part in (mean, at_pass)]
    array = tag(
        xr.DataArray(both, dims=("reference", *minute.dims)),
        "rain_rate",
        grid_mapping="crs",
        reference_kind=" | ".join(kinds),
    )
    return xr.Dataset(
        {"rain_rate": array},
        coords={**at_pass.coords, "reference": ("reference", ["mean", "overpass"])},
        attrs=dict(radar.attrs),
    )
