"""Area-conservative regridding that knows what was observed."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.collocation.area import Weights, weights
from ondee.errors import ConfigError, GridError
from ondee.grid import Grid
from ondee.units import VOCABULARY, WET, refuse_mean, tag

__all__ = ["apply", "apply_statistics", "mask_by_quality", "regrid"]

_EVEN = 1e-4
"""Rounding of a full coverage: sums of single-precision shares, and of the areal scale inside a pixel."""


def apply(
    matrix: Weights, values: NDArray[np.float32], *, missing: int | None = None, scale: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean of the observed pixels of each cell, and the share of the cell they cover.

    Parameters
    ----------
    matrix
        Area weights.
    values
        ``(…, y, x)`` on the source grid: floats with NaN where not observed, or int16 counts.
    missing
        For counts: every value at or below it is not observed.
    scale
        For counts: factor to the unit wanted.

    Returns
    -------
    value, coverage : ndarray
        ``(…, y, x)`` on the target grid, float32: Σ w v / Σ w and Σ w over observed pixels.

    Raises
    ------
    GridError
        If `values` are not on the source grid.
    """
    frames = _frames(matrix, values)
    shape = (frames.shape[0], matrix.target.ny * matrix.target.nx)
    value, coverage = np.empty(shape, np.float32), np.empty(shape, np.float32)
    if np.issubdtype(frames.dtype, np.integer):
        lowest = frames.dtype.type(np.iinfo(frames.dtype).min if missing is None else missing)
    else:
        lowest = frames.dtype.type(-np.inf)
    _mean(matrix.start, matrix.index, matrix.share, frames, lowest, np.float32(scale), value, coverage)
    out = (*values.shape[:-2], *matrix.target.shape)
    return value.reshape(out), coverage.reshape(out)


def apply_statistics(
    matrix: Weights, values: NDArray[np.float32], *, wet: float = WET
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What happens inside each cell: wet fraction, maximum, coefficient of variation.

    Parameters
    ----------
    matrix
        Area weights.
    values
        ``(…, y, x)`` on the source grid, NaN where not observed.
    wet
        Threshold of a wet pixel, in the unit of `values`.

    Returns
    -------
    wet_fraction, maximum, variability : ndarray
        ``(…, y, x)`` on the target grid; variability (standard deviation over mean) is NaN
        where the mean is below a tenth of `wet`: there it would only tell how thin a wet pixel's edge in the cell is.
    """
    frames = _frames(matrix, values)
    shape = (frames.shape[0], matrix.target.ny * matrix.target.nx)
    outputs = tuple(np.empty(shape, np.float32) for _ in range(3))
    _inside(matrix.start, matrix.index, matrix.share, frames, wet, *outputs)
    out = (*values.shape[:-2], *matrix.target.shape)
    return outputs[0].reshape(out), outputs[1].reshape(out), outputs[2].reshape(out)


def regrid(
    dataset: xr.Dataset,
    target: Grid,
    *,
    coverage: float = 0.95,
    footprint: float | None = None,
    statistics: bool = False,
    wet: float = WET,
) -> xr.Dataset:
    """Average a Dataset over the cells of another grid.

    Parameters
    ----------
    dataset
        Variables ``(time[, channel or member], y, x)`` on their own grid; every member is averaged by itself.
    target
        The grid wanted.
    coverage
        Smallest share of a cell that must be observed; a cell below it is missing.
    footprint
        Width of the target instrument's response in cells (see :func:`ondee.collocation.area.weights`).
    statistics
        Add ``wet_fraction``, ``rain_maximum`` and ``rain_variability`` of ``rain_rate`` inside each cell.
    wet
        Threshold of a wet pixel, mm h-1.

    Returns
    -------
    xarray.Dataset
        The same variables on `target`, and ``coverage``, the observed share of each cell (of ``rain_rate`` if it
        is there, of the first variable otherwise). The attribute ``cells_removed_by_coverage`` counts, for each
        variable, the cells that were partly observed but by less than `coverage`.

    Raises
    ------
    GridError
        If the grids do not overlap, or one is a local plane and the other not.
    UnitError
        If a variable has no mean: codes, clocks, decibels.
    """
    source = Grid.of(dataset)
    matrix = weights(source, target, footprint=footprint)
    fields = [name for name in dataset.data_vars if {"y", "x"} <= set(dataset[name].dims)]
    first = "rain_rate" if "rain_rate" in fields else fields[0]
    data: dict[str, xr.DataArray] = {}
    for name in fields:
        refuse_mean(name, where=dataset.attrs.get("product", "ondee.collocation.regrid"))
        array = dataset[name]
        value, share = apply(matrix, np.asarray(array.values, np.float32))
        short = (share < coverage - _EVEN) | (share == 0)
        removed = int(np.count_nonzero(short & (share > _EVEN)))
        value[short] = np.nan
        cell_methods = "area: mean (of the observed part)"
        kept = {
            key: array.attrs[key] for key in ("reference_kind", "flag_values", "flag_meanings") if key in array.attrs
        }
        data[str(name)] = tag(
            xr.DataArray(value, dims=array.dims),
            str(name),
            grid_mapping="crs",
            cell_methods=cell_methods,
            cells_removed_by_coverage=removed,
            **kept,
        )
        if name == first:
            whole = np.minimum(share, np.float32(1))
            data["coverage"] = tag(xr.DataArray(whole, dims=array.dims), "coverage", grid_mapping="crs")
            if statistics and name == "rain_rate":
                data |= _statistics(matrix, array, short, wet)
    kept_coordinates = ("time", "channel", "member", "time_bounds")
    coordinates = {name: dataset.coords[name] for name in kept_coordinates if name in dataset.coords}
    return xr.Dataset(data, coords={**coordinates, **target.coordinates()}, attrs=dict(dataset.attrs))


def _statistics(matrix: Weights, rain: xr.DataArray, short: NDArray[np.bool_], wet: float) -> dict[str, xr.DataArray]:
    """Sub-cell statistics of rain, missing where the mean is."""
    names = ("wet_fraction", "rain_maximum", "rain_variability")
    arrays = apply_statistics(matrix, np.asarray(rain.values, np.float32), wet=wet)
    made = {}
    for name, values in zip(names, arrays, strict=True):
        values[short] = np.nan
        made[name] = tag(xr.DataArray(values, dims=rain.dims), name, grid_mapping="crs", wet_threshold_mm_per_h=wet)
    return made


def mask_by_quality(
    dataset: xr.Dataset, threshold: float | None, *, unknown: str = "keep", wet: float = WET
) -> xr.Dataset:
    """Make pixels of too low a quality missing, before anything is averaged.

    Parameters
    ----------
    dataset
        With ``quality`` (0–1) beside its rain. A quality without members holds for every member of an ensemble.
    threshold
        Lowest quality kept; None keeps all. It belongs to the product: 0.8 suits MeteoNet and deletes
        99.8 % of the rain of OPERA's 2018 composites.
    unknown
        What to do where rain is observed and quality is not: ``"keep"`` or ``"remove"``. OPERA 2018 gives no
        quality where it is dry.
    wet
        Threshold of a wet pixel, for the count, mm h-1.

    Returns
    -------
    xarray.Dataset
        Without ``quality`` below the threshold. Each rain variable says in its attributes ``pixels_removed_by_quality``
        and ``wet_pixels_removed_by_quality`` how many pixels it lost.

    Raises
    ------
    ConfigError
        If a threshold is asked of a Dataset that has no quality, or is none; or the quality has members, and the rain
        has none.
    """
    if threshold is None:
        return dataset
    if "quality" not in dataset:
        raise ConfigError(
            f"a quality of {threshold} is asked for, and the data have none",
            where=dataset.attrs.get("product", "dataset"),
            fix="leave the quality threshold out, or open the quality file with the data",
        )
    if unknown not in ("keep", "remove") or not 0 <= threshold <= 1:
        raise ConfigError(
            f"quality threshold {threshold}, unknown {unknown!r} cannot be used",
            where="ondee.collocation.mask_by_quality",
            fix="give a threshold between 0 and 1, and unknown='keep' or 'remove'",
        )
    quality = dataset["quality"]
    low = quality < threshold
    if unknown == "remove":
        low = low | quality.isnull()
    made = dataset.copy()
    for name in dataset.data_vars:
        quantity = VOCABULARY.get(str(name))
        if quantity is not None and (quantity.standard_name.startswith("lwe_") or name == "reflectivity"):
            array = dataset[name]
            _refuse_wider(quality, array)
            lost = low & array.notnull()
            made[name] = array.where(~low)
            made[name].encoding = dict(array.encoding)
            made[name].attrs = {
                **array.attrs,
                "quality_threshold": threshold,
                "pixels_removed_by_quality": int(lost.sum()),
                "wet_pixels_removed_by_quality": int((lost & (array >= wet)).sum()),
            }
    return made


def _refuse_wider(quality: xr.DataArray, rain: xr.DataArray) -> None:
    """Refuse a quality that would make several fields of one."""
    wider = [str(dim) for dim in quality.dims if dim not in rain.dims]
    if wider:
        raise ConfigError(
            f"the quality has the dimension {wider[0]}, {rain.name} has not",
            where="ondee.collocation.mask_by_quality",
            fix=f"choose the quality that belongs to it: dataset['quality'].isel({wider[0]}=0)",
        )


# ---- kernels


def _frames(matrix: Weights, values: NDArray[Any]) -> NDArray[Any]:
    """Values as ``(frames, source cells)``, checked against the grid."""
    if values.shape[-2:] != matrix.source.shape:
        raise GridError(
            f"values of shape {values.shape[-2:]} are not on the source grid {matrix.source.shape}",
            where="ondee.collocation.regrid",
            fix="make the weights from the grid of these values",
        )
    return np.ascontiguousarray(values).reshape(-1, matrix.source.nx * matrix.source.ny)


@njit(cache=True, error_model="numpy")
def _mean(start: Any, index: Any, share: Any, frames: Any, missing: Any, scale: Any, value: Any, coverage: Any) -> None:
    """Observed is what lies above `missing`: no NaN does, and no fill value."""
    cells = start.size - 1
    for t in range(frames.shape[0]):
        frame = frames[t]
        for i in range(cells):
            total = np.float32(0.0)
            seen = np.float32(0.0)
            for k in range(start[i], start[i + 1]):
                v = frame[index[k]]
                if v > missing:
                    total += share[k] * np.float32(v)
                    seen += share[k]
            coverage[t, i] = seen
            value[t, i] = scale * total / seen if seen > 0.0 else np.float32(np.nan)


@njit(cache=True, error_model="numpy")
def _inside(
    start: Any,
    index: Any,
    share: Any,
    frames: Any,
    wet: float,
    wet_fraction: Any,
    maximum: Any,
    variability: Any,
) -> None:
    cells = start.size - 1
    for t in range(frames.shape[0]):
        frame = frames[t]
        for i in range(cells):
            seen = 0.0
            total = 0.0
            square = 0.0
            wet_share = 0.0
            highest = -np.inf
            for k in range(start[i], start[i + 1]):
                v = np.float64(frame[index[k]])
                if v == v:
                    w = np.float64(share[k])
                    seen += w
                    total += w * v
                    square += w * v * v
                    wet_share += w if v >= wet else 0.0
                    highest = max(highest, v)
            if seen > 0.0:
                mean = total / seen
                spread = max(square / seen - mean * mean, 0.0)
                wet_fraction[t, i] = wet_share / seen
                maximum[t, i] = highest
                variability[t, i] = np.sqrt(spread) / mean if mean >= 0.1 * wet else np.nan
            else:
                wet_fraction[t, i] = np.nan
                maximum[t, i] = np.nan
                variability[t, i] = np.nan
