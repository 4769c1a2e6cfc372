"""The scores of ondee.score on cells sorted into views and classes.

The cells of a day are laid out as rows of a fixed length, each row of one view and one class, filled up with missing
values; the scores sum over each row, and rows of one view and class are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee import score
from ondee.validation.settings import Settings
from ondee.validation.strata import BY_TIME, Cut

__all__ = ["COMPARISONS", "SOURCE", "Cells", "Fields", "field_sums", "pointwise_sums", "tile_width"]

COMPARISONS = ("mean", "overpass", "floor")
"""IMERG against the radar's half-hour mean, IMERG against the radar at the pass, and the latter against the former."""
SOURCE = "source"
"""The cut that splits by nothing but the source."""
_LENGTH = 128
"""Cells of a row."""
_DAILY_LENGTH = 1024
_RAIN = {"units": "mm h-1"}
Score = Callable[[xr.DataArray, xr.DataArray], xr.Dataset]


@dataclass
class Cells:
    """Compared cells of a day, one after the other.

    Parameters
    ----------
    half_hour, comparison, source
        Numbers of the half hour within the day, of :data:`COMPARISONS`, and of the source.
    estimate, truth
        Rain, mm h-1; never missing.
    classes
        Cut → number of the class of each cell, −1 for none.
    """

    half_hour: NDArray[np.int16]
    comparison: NDArray[np.int8]
    source: NDArray[np.int16]
    estimate: NDArray[np.float32]
    truth: NDArray[np.float32]
    classes: Mapping[str, NDArray[np.int16]]


@dataclass
class Fields:
    """One view as fields ``(y, x)`` on the cells, NaN outside it."""

    half_hour: int
    comparison: int
    source: int
    estimate: NDArray[np.float32]
    truth: NDArray[np.float32]


def pointwise_sums(
    cells: Cells, starts: NDArray[np.datetime64], cuts: Mapping[str, Cut], settings: Settings
) -> dict[str, xr.Dataset]:
    """Sums of scores that know nothing of neighbours, by view and class; by day for those of fine classes of rain.

    Parameters
    ----------
    cells
        Of one day.
    starts
        Start of each half hour of the day.
    cuts
        How cells are split.
    settings
        With the thresholds.
    """
    made: dict[str, xr.Dataset] = {}
    if not cells.truth.size:
        return made
    whole = np.zeros(cells.truth.size, np.int16)
    for name in (SOURCE, *(name for name in cuts if name not in BY_TIME)):
        classes = whole if name == SOURCE else cells.classes.get(name)
        if classes is None or not (classes >= 0).any():
            continue
        keys = (cells.half_hour, cells.comparison, cells.source, classes)
        for own, sums in _by_rows(cells, keys, _coarse(settings), _LENGTH):
            made[f"sums/{name}/{own}"] = _labelled(sums, starts, with_class=name != SOURCE)
    day = starts.min().astype("datetime64[D]").astype("datetime64[ns]")
    keys = (whole, cells.comparison, cells.source, whole)
    for own, sums in _by_rows(cells, keys, _fine(settings), _DAILY_LENGTH):
        made[f"sums/day/{own}"] = _labelled(sums, np.array([day]), with_class=False)
    return made


def field_sums(
    views: Sequence[Fields], starts: NDArray[np.datetime64], coordinates: Mapping[str, xr.DataArray], settings: Settings
) -> dict[str, xr.Dataset]:
    """Sums of scores that look at neighbours, by view.

    Parameters
    ----------
    views
        Of one day.
    starts
        Start of each half hour of the day.
    coordinates
        ``y`` and ``x`` of the cells.
    settings
        With thresholds and scales.
    """
    if not views:
        return {}
    place = {name: coordinates[name] for name in ("y", "x")}
    dims = ("row", "y", "x")
    estimate, truth = (
        xr.DataArray(np.stack([getattr(view, name) for view in views]), dims=dims, coords=place, attrs=_RAIN)
        for name in ("estimate", "truth")
    )
    over = ("y", "x")
    found = {
        "fractions": score.fractions(estimate, truth, over=over, thresholds=settings.thresholds, scales=settings.scales)
    }
    window = tile_width(estimate.shape[1:], settings)
    if window is not None:
        found["spectrum"] = score.spectrum(estimate, truth, over=over, window=window)
    keys = [np.array([getattr(view, name) for view in views]) for name in ("half_hour", "comparison", "source")]
    nothing = np.zeros(len(views), np.int16)
    return {
        f"fields/{name}": _labelled(sums.assign_coords(_keys([*keys, nothing])), starts, with_class=False)
        for name, sums in found.items()
    }


def tile_width(shape: Sequence[int], settings: Settings) -> int | None:
    """Width of the tiles of spectra: as set, or the largest power of two that fits; None where 8 cells do not fit.

    Parameters
    ----------
    shape
        Rows and columns of the domain.
    settings
        With the width that is wanted.
    """
    least = min(shape)
    if least < 8:
        return None
    return settings.window if settings.window <= least else 1 << (int(least).bit_length() - 1)


def _coarse(settings: Settings) -> dict[str, Score]:
    """Scores that are kept for each view and class."""
    levels = settings.thresholds
    return {
        "point": lambda e, t: score.point(e, t, over="cell", wet=levels[0]),
        "event": lambda e, t: score.event(e, t, over="cell", thresholds=levels),
        "decomposition": lambda e, t: score.decomposition(e, t, over="cell", thresholds=levels),
    }


def _fine(settings: Settings) -> dict[str, Score]:
    """Scores of many classes of rain, kept for each day and source."""
    levels = settings.thresholds
    return {
        "multiplicative": lambda e, t: score.multiplicative(e, t, over="cell", wet=levels[0]),
        "distribution": lambda e, t: score.distribution(e, t, over="cell", thresholds=levels, wet=levels[0]),
    }


def _by_rows(
    cells: Cells, keys: tuple[NDArray[np.integer], ...], scores: Mapping[str, Score], length: int
) -> Iterator[tuple[str, xr.Dataset]]:
    """Sums of scores for each combination of keys that holds a cell."""
    held = np.flatnonzero(keys[-1] >= 0)
    order = held[np.lexsort([key[held] for key in reversed(keys)])]
    ordered = [key[order] for key in keys]
    new = np.ones(order.size, bool)
    new[1:] = np.any([np.diff(key) != 0 for key in ordered], axis=0)
    first = np.flatnonzero(new)
    size = np.diff(np.append(first, order.size))
    rows = -(-size // length)
    begin = np.concatenate([[0], np.cumsum(rows)[:-1]])
    group = np.cumsum(new) - 1
    place = np.arange(order.size) - first[group]
    row, column = begin[group] + place // length, place % length
    fields = []
    for values in (cells.estimate, cells.truth):
        laid = np.full((int(rows.sum()), length), np.nan, np.float32)
        laid[row, column] = values[order]
        fields.append(xr.DataArray(laid, dims=("row", "cell"), attrs=_RAIN))
    labels = _keys([key[first] for key in ordered])
    for name, own in scores.items():
        sums = own(*fields)
        added = {
            str(variable): (
                values.dims,
                np.add.reduceat(values.values, begin, axis=0) if "row" in values.dims else values.values,
            )
            for variable, values in sums.data_vars.items()
        }
        yield name, xr.Dataset(added, coords={**sums.coords, **labels}, attrs=sums.attrs)


def _keys(keys: Sequence[NDArray[np.integer]]) -> dict[str, tuple[str, NDArray[np.integer]]]:
    names = ("half_hour", "comparison", "source", "class")
    return {name: ("row", key.astype(np.int16)) for name, key in zip(names, keys, strict=True)}


def _labelled(sums: xr.Dataset, starts: NDArray[np.datetime64], *, with_class: bool) -> xr.Dataset:
    """Rows with their time instead of a number."""
    time = starts[sums["half_hour"].values].astype("datetime64[ns]")
    return sums.drop_vars(["half_hour", *([] if with_class else ["class"])]).assign_coords(time=("row", time))
