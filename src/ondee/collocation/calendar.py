"""The calendar: frames into half hours, with an absent frame missing and never zero."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ondee.errors import ConfigError, ReadError, UnitError
from ondee.source.assembly import Label, time_bounds
from ondee.units import refuse_mean, tag

__all__ = ["HALF_HOUR", "floor_to", "means", "overlap", "step_of", "with_interval"]

HALF_HOUR = np.timedelta64(30, "m")
_SECOND = np.timedelta64(1, "s")
_EVEN = 1e-6


def floor_to(times: ArrayLike, step: np.timedelta64) -> NDArray[np.datetime64]:
    """Start of the step, counted from midnight UTC, in which each time lies.

    Examples
    --------
    >>> str(floor_to("2018-06-04T12:44", np.timedelta64(30, "m")).astype("datetime64[m]"))
    '2018-06-04T12:30'
    """
    stamps = np.asarray(times, "datetime64[ns]")
    day = stamps.astype("datetime64[D]").astype("datetime64[ns]")
    span = step.astype("timedelta64[ns]")
    return np.asarray(day + (stamps - day) // span * span)


def step_of(time: np.datetime64, step: np.timedelta64) -> np.datetime64:
    """Start of the step in which one time lies; steps longer than a day count from 1970."""
    if step > np.timedelta64(1, "D"):
        epoch, span = np.datetime64(0, "ns"), step.astype("timedelta64[ns]")
        return np.datetime64(epoch + (time - epoch) // span * span)
    return np.datetime64(floor_to(time, step).item(), "ns")


def with_interval(dataset: xr.Dataset, minutes: float, label: Label) -> xr.Dataset:
    """Say which interval each frame stands for, where the product gives a snapshot or a doubtful label.

    Parameters
    ----------
    dataset
        With ``time``.
    minutes
        Length of the interval.
    label
        What ``time`` names: the ``"start"``, ``"end"`` or ``"centre"`` of it.

    Raises
    ------
    ConfigError
        If `label` or `minutes` is not usable.
    """
    if label not in ("start", "end", "centre") or not minutes > 0:
        raise ConfigError(
            f"an interval of {minutes} min labelled {label!r} cannot be used",
            where="interval",
            fix="give minutes above 0, and label start, end or centre",
        )
    span = np.timedelta64(round(minutes * 60), "s")
    made = dataset.assign_coords(time_bounds=(("time", "bounds"), time_bounds(dataset["time"].values, span, label)))
    made["time"].attrs = {**dataset["time"].attrs, "label": label, "interval_given": f"{minutes:g} min"}
    return made


def overlap(
    bounds: NDArray[np.datetime64], start: NDArray[np.datetime64], end: NDArray[np.datetime64]
) -> NDArray[np.float64]:
    """Seconds that each frame shares with each window.

    Parameters
    ----------
    bounds
        ``(frames, 2)``.
    start, end
        ``(windows,)``.

    Returns
    -------
    ndarray
        ``(windows, frames)``.
    """
    first = np.maximum(bounds[None, :, 0], start[:, None])
    last = np.minimum(bounds[None, :, 1], end[:, None])
    return np.asarray(np.maximum((last - first) / _SECOND, 0.0))


def means(
    dataset: xr.Dataset,
    starts: ArrayLike,
    *,
    length: np.timedelta64 = HALF_HOUR,
    time_coverage: float = 1.0,
) -> xr.Dataset:
    """Mean of the frames over each window, at each pixel.

    Parameters
    ----------
    dataset
        Frames with ``time_bounds``; a frame counts by the time it shares with the window. Every member of an ensemble
        is averaged by itself.
    starts
        Start of each window, ``(window,)``, UTC.
    length
        Length of a window.
    time_coverage
        Smallest share of the window that must be observed at a pixel: 1 asks for 6 of 6 five-minute frames,
        0.83 for 5 of 6. A pixel below it is missing.

    Returns
    -------
    xarray.Dataset
        ``time`` = start of each window, label ``"start"``. Each variable says in ``frames_of_window_mean`` how many
        frames a window had on average, and in ``pixels_removed_by_time`` how many pixels were observed in
        part of a window but for less than `time_coverage`.

    Raises
    ------
    ReadError
        If frames overlap each other, or are snapshots without an interval.
    ConfigError
        If the first dimension of a variable is not time.
    UnitError
        If a variable that has no mean (codes, clocks, decibels) has several frames in a window, or an amount of rain
        is not that of a whole window.
    """
    windows = np.atleast_1d(np.asarray(starts, "datetime64[ns]"))
    ends = windows + length.astype("timedelta64[ns]")
    bounds = _bounds(dataset)
    shared = overlap(bounds, windows, ends) / float(length / _SECOND)
    data = {}
    for name, array in dataset.data_vars.items():
        if not {"time", "y", "x"} <= set(array.dims):
            continue
        if array.dims[0] != "time":
            raise ConfigError(
                f"{name} has the dimensions {array.dims}; time must be the first",
                where=dataset.attrs.get("product", "ondee.collocation.means"),
                fix="put it first: dataset.transpose('time', ...)",
            )
        if ((shared > 0).sum(axis=1) > 1).any():
            refuse_mean(name, where=dataset.attrs.get("product", "ondee.collocation.means"))
        if name == "rain_amount":
            _refuse_amount(bounds, shared, length, dataset.attrs.get("product", "ondee.collocation.means"))
        value, seen = _weighted(np.asarray(array.values, np.float32), shared)
        short = (seen < time_coverage - _EVEN) | (seen == 0)
        value[short] = np.nan
        kept = {key: entry for key, entry in array.attrs.items() if key.startswith(("pixels_removed", "wet_pixels"))}
        data[str(name)] = tag(
            xr.DataArray(value, dims=array.dims),
            str(name),
            grid_mapping="crs",
            cell_methods=f"time: mean ({length / np.timedelta64(1, 'm'):g} min)",
            reference_kind=f"{length / np.timedelta64(1, 'm'):g}-min mean",
            frames_of_window_mean=float((shared > 0).sum(axis=1).mean()),
            pixels_removed_by_time=int(np.count_nonzero(short & (seen > 0))),
            **kept,
        )
    time = xr.DataArray(
        windows,
        dims="time",
        attrs={"standard_name": "time", "axis": "T", "bounds": "time_bounds", "label": "start"},
    )
    coordinates = {
        name: dataset.coords[name] for name in ("x", "y", "crs", "channel", "member") if name in dataset.coords
    }
    limits = np.stack([windows, ends], axis=1)
    return xr.Dataset(
        data,
        coords={**coordinates, "time": time, "time_bounds": (("time", "bounds"), limits)},
        attrs=dataset.attrs,
    )


def _refuse_amount(
    bounds: NDArray[np.datetime64], shared: NDArray[np.float64], length: np.timedelta64, where: object
) -> None:
    """Refuse amounts of other intervals than the windows: the mean of six is a sixth of the rain."""
    used = shared.max(axis=0) > 0
    if (bounds[used, 1] - bounds[used, 0] != length).any() or ((shared > _EVEN) & (shared < 1 - _EVEN)).any():
        raise UnitError(
            f"rain_amount is not over the windows of {length / np.timedelta64(1, 'm'):g} min: it has no mean",
            where=where,
            fix="turn it into a rate first: ondee.units.to_rate, or `rate: true` in the config",
        )


def _weighted(
    values: NDArray[np.float32], shared: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted mean over the frames of each window, and the share of the window observed at each pixel."""
    shape = (shared.shape[0], *values.shape[1:])
    total, seen = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for window, weights in enumerate(shared):
        for frame in np.flatnonzero(weights):
            observed = np.isfinite(values[frame])
            weight = np.float32(weights[frame])
            total[window] += np.where(observed, values[frame] * weight, np.float32(0))
            seen[window] += observed * weight
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= seen
    return total, seen


def _bounds(dataset: xr.Dataset) -> NDArray[np.datetime64]:
    """Start and end of each frame; frames that cannot be averaged are refused."""
    product = dataset.attrs.get("product", "dataset")
    if "time_bounds" not in dataset.coords:
        raise ReadError(
            "there are no time_bounds: nothing says which interval each frame stands for",
            where=product,
            fix="drop variables with drop_vars (a selection by name loses time_bounds), or call with_interval",
        )
    bounds = np.asarray(dataset["time_bounds"].values)
    if (bounds[:, 1] <= bounds[:, 0]).any():
        raise ReadError(
            "the frames are snapshots: nothing says which interval each stands for",
            where=product,
            fix="give the interval: ondee.collocation.with_interval(dataset, 15, 'end'), or `interval:` in the config",
        )
    if (bounds[1:, 0] < bounds[:-1, 1]).any():
        index = int(np.argmax(bounds[1:, 0] < bounds[:-1, 1]))
        raise ReadError(
            f"frames overlap in time: {bounds[index, 0]} to {bounds[index, 1]}, then from {bounds[index + 1, 0]}",
            where=product,
            fix="keep frames that do not overlap, or give their true interval with ondee.collocation.with_interval",
        )
    return bounds
