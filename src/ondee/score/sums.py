"""Sums first, ratios last: how fields become sums, how sums are put together, and how they are divided."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, GridError
from ondee.score.catalogue import MEASURES, finisher_of
from ondee.score.fields import Fields, Output

__all__ = ["finish", "framewise", "merge", "pointwise", "pool"]

_CHUNK = 1 << 20
"""Most values that a pointwise kernel sees at once: temporaries stay in the processor's cache or near it."""

_ROUNDING = 1e-9
"""How far beyond its bounds rounding may take a score."""

Array = NDArray[Any]
Kernel = Callable[..., Mapping[str, Array]]


def pointwise(
    score: str,
    kernel: Kernel,
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None,
    weights: xr.DataArray | None,
    outputs: Mapping[str, Output],
    coordinates: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    others: Sequence[xr.DataArray] = (),
    stack: bool = False,
    same_units: bool = True,
) -> xr.Dataset:
    """Sum a kernel over pixels that know nothing of their neighbours.

    Parameters
    ----------
    score
        Name of the public function.
    kernel
        ``kernel(estimate, truth, weight, *others)`` on arrays ``(kept, pooled)``; `weight` is float64 and 0 where
        either is missing (and both are 0 there). With `stack` the estimate is ``(member, kept, pooled)``. It gives
        for each output an array ``(kept, *added)``, a sum over ``pooled``.
    estimate, truth
        The fields. The estimate may have dimensions of its own: ``member``, which is pooled (or stacked), and others,
        which are kept.
    over
        Dimensions to sum over; all of the truth's where None.
    weights
        Weight of each pixel, on some or all of the truth's dimensions; missing or 0 leaves it out.
    outputs
        Output → dimensions that the kernel adds.
    coordinates
        Coordinates of the added dimensions, as xarray takes them.
    settings
        What two sums must agree in, to be merged.
    others
        Further arrays on the truth's dimensions.
    stack
        Give all members to the kernel at once.
    same_units
        Whether estimate and truth must have the same unit.

    Returns
    -------
    xarray.Dataset
        Sums, float64, with the kept dimensions first.

    Raises
    ------
    GridError
        If coordinates differ, or a dimension is absent.
    UnitError
        If the units differ.
    ConfigError
        If `stack` is asked for and there is no ``member``.
    """
    made = Fields.of(estimate, truth, over, weights, others, stack=stack, same_units=same_units)
    sums: dict[str, Array] = {}
    for piece in _chunks(made.truth.shape, made.members if stack else 1):
        t = _table(made.truth[piece])
        further = [_table(other[piece]) for other in made.others]
        weight = np.ones(t.shape) if made.weight is None else _table(made.weight[piece]).astype(float)
        for part in made.estimates(stack, piece):
            e = part.reshape(*part.shape[: int(stack)], *t.shape)
            seen = np.isfinite(t) & (np.isfinite(e).all(axis=0) if stack else np.isfinite(e))
            seen &= np.isfinite(weight) & (weight > 0)
            found = kernel(
                np.where(seen, e, _nought(e)), np.where(seen, t, _nought(t)), np.where(seen, weight, 0.0), *further
            )
            for name, values in found.items():
                whole = sums.setdefault(name, np.zeros((len(made.truth), *np.shape(values)[1:])))
                whole[piece[0]] += values
    return made.dataset(score, sums, outputs, coordinates or {}, settings or {})


def framewise(
    score: str,
    kernel: Kernel,
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None,
    weights: xr.DataArray | None = None,
    outputs: Mapping[str, Output],
    coordinates: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    others: Sequence[xr.DataArray] = (),
    stack: bool = False,
    same_units: bool = True,
) -> xr.Dataset:
    """Sum a kernel over frames ``(y, x)`` whose pixels know their neighbours.

    Parameters
    ----------
    score, estimate, truth, over, weights, outputs, coordinates, settings, others, stack, same_units
        As in :func:`pointwise`; `over` must hold ``y`` and ``x``.
    kernel
        ``kernel(estimate, truth, weight, *others)`` on one frame, float32 ``(y, x)`` with NaN where missing (in
        either: a pixel that one lacks is missing in both), `weight` None or ``(y, x)`` and 0 where missing. With
        `stack` the estimate is ``(member, y, x)``, missing where any member is.

    Returns
    -------
    xarray.Dataset
        Sums over frames, float64, with the kept dimensions first.

    Raises
    ------
    GridError
        If coordinates differ, a dimension is absent, or ``y`` and ``x`` are not among those summed over.
    UnitError
        If the units differ.
    ConfigError
        If `stack` is asked for and there is no ``member``.
    """
    made = Fields.of(estimate, truth, over, weights, others, stack=stack, same_units=same_units)
    if made.pooled[-2:] != ("y", "x"):
        raise GridError(
            f"{score} looks at neighbours, so it sums over y and x",
            where=f"over={made.pooled}",
            fix="use over=('y', 'x') or more dimensions, on fields that have y and x",
        )
    sums: dict[str, Array] = {}
    shape = made.truth.shape
    for index in np.ndindex(*shape[:-2]):
        t = made.truth[index]
        further = [other[index] for other in made.others]
        for e in made.estimates(stack, index):
            seen = np.isfinite(t) & (np.isfinite(e).all(axis=0) if stack else np.isfinite(e))
            weight = None
            if made.weight is not None:
                weight = made.weight[index].astype(float)
                seen &= np.isfinite(weight) & (weight > 0)
                weight = np.where(seen, weight, 0.0)
            hole = np.float32(np.nan)
            found = kernel(np.where(seen, e, hole), np.where(seen, t, hole), weight, *further)
            for name, values in found.items():
                whole = sums.setdefault(name, np.zeros((shape[0], *np.shape(values))))
                whole[index[0]] += values
    if not sums:  # no frame at all: a missing one says which sums there are
        frame = np.full(shape[-2:], np.nan, np.float32)
        further = [np.zeros(frame.shape, other.dtype) for other in made.others]
        found = kernel(np.stack([frame] * made.members) if stack else frame, frame, None, *further)
        sums = {name: np.zeros((shape[0], *np.shape(values))) for name, values in found.items()}
    return made.dataset(score, sums, outputs, coordinates or {}, settings or {})


def _nought(values: Array) -> Array:
    """Zero that leaves the precision of floating values, and makes floating ones of counts, which hold no 0.1."""
    return np.zeros((), values.dtype if values.dtype.kind == "f" else np.float64)


def merge(*parts: xr.Dataset) -> xr.Dataset:
    """Put sums of the same score together, whatever the partition: of times, of regions, of strata, of members.

    Scores that look at neighbours see none across the border of two regions, and regions must have pixels of one size.

    Parameters
    ----------
    *parts
        Sums of one score with the same settings. Where their coordinates differ (other times, say), the result has
        all of them.

    Raises
    ------
    ConfigError
        If they are of different scores or settings, or there are none.
    GridError
        If a dimension has labels twice, or has no labels and differs in size.
    """
    if not parts:
        raise ConfigError("there are no sums to merge", where="ondee.score.merge", fix="give at least one")
    first = parts[0]
    for part in parts[1:]:
        if part.attrs != first.attrs or {*map(str, part.data_vars)} != {*map(str, first.data_vars)}:
            unlike = sorted(
                str(name) for name in {*part.attrs, *first.attrs} if part.attrs.get(name) != first.attrs.get(name)
            )
            raise ConfigError(
                "these sums do not belong together: " + (", ".join(unlike) or "variables") + " differ",
                where="ondee.score.merge",
                fix="merge sums of one score, made with the same settings",
            )
    if len(parts) == 1:
        return first
    alike = all(part.sizes == first.sizes and _same_labels(part, first) for part in parts[1:])
    aligned = parts if alike else _aligned(parts)
    total = aligned[0].copy(deep=True)
    for name in total.coords.keys() - total.indexes.keys():  # bounds of classes, say: each part knows its own
        for part in aligned[1:]:
            total[name] = total[name].fillna(part[name])
    for name, array in total.data_vars.items():
        values = array.values
        for part in aligned[1:]:
            values = values + part[name].transpose(*array.dims).values
        total[name] = array.copy(data=values)
    return total.assign_attrs(first.attrs)


def _aligned(parts: Sequence[xr.Dataset]) -> tuple[xr.Dataset, ...]:
    """Sums on all labels, 0 where a part has none."""
    try:
        return xr.align(*parts, join="outer", fill_value=dict.fromkeys(parts[0].data_vars, 0.0))
    except ValueError as error:
        raise GridError(
            f"these sums cannot be put side by side: {error}",
            where="ondee.score.merge",
            fix="give dimensions coordinates whose labels differ, such as the time of each frame",
        ) from error


def _same_labels(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether coordinates are equal; looked at first, since aligning many small sums costs more than adding them."""
    return one.coords.keys() == other.coords.keys() and all(
        np.array_equal(one.coords[name].values, other.coords[name].values) for name in one.coords
    )


def pool(sums: xr.Dataset, over: str | Iterable[Hashable]) -> xr.Dataset:
    """Sum over dimensions that were kept.

    Parameters
    ----------
    sums
        From a score.
    over
        Dimensions to sum over.

    Raises
    ------
    GridError
        If a dimension is absent.
    """
    wanted = (over,) if isinstance(over, str) else tuple(over)
    absent = [name for name in wanted if name not in sums.dims]
    if absent:
        raise GridError(
            f"the sums have no dimension {absent[0]!r}",
            where="ondee.score.pool",
            fix="pool over some of: " + ", ".join(map(str, sums.dims)),
        )
    return sums.sum(wanted, keep_attrs=True)


def finish(sums: xr.Dataset) -> xr.Dataset:
    """Divide sums into scores.

    Parameters
    ----------
    sums
        From a score, :func:`merge` or :func:`pool`. Dimensions that were kept stay: pool first what is to be pooled.

    Returns
    -------
    xarray.Dataset
        Scores with unit and long name; NaN where a score is not defined.

    Raises
    ------
    ConfigError
        If these are no sums of a score.
    """
    score = str(sums.attrs.get("score", ""))
    with np.errstate(invalid="ignore", divide="ignore"):
        made = finisher_of(score)(sums)
    units = str(sums.attrs.get("data_units", ""))
    scores: dict[str, xr.DataArray] = {}
    for name, values in made.data_vars.items():
        measure = MEASURES[str(name)]
        scores[str(name)] = _bounded(values, *measure.bounds)
        scores[str(name)].attrs = measure.attributes(units, pixels=sums.attrs.get("pixel") == -1.0)
    return made.assign(scores).assign_attrs(sums.attrs)


def _bounded(values: xr.DataArray, low: float, high: float) -> xr.DataArray:
    """Values at their bounds where rounding alone took them beyond; what lies farther out stays to be seen."""
    if not (np.isfinite(low) or np.isfinite(high)):
        return values.copy(deep=False)
    plain = values.values
    near = (plain >= low - _ROUNDING) & (plain <= high + _ROUNDING)
    return values.copy(data=np.where(near, np.clip(plain, low, high), plain))


def _chunks(shape: tuple[int, ...], members: int) -> Iterator[tuple[slice, ...]]:
    """Boxes of at most so many values that cover an array, whole along the last axes.

    Boxes and not ranges of a flattened array: where the members lie inside the days, or a weight is given for each
    row only, flattening would copy the whole archive for every chunk.
    """
    lengths, left = [], max(1, _CHUNK // max(1, members))
    for size in reversed(shape):
        lengths.append(max(1, min(size, left)))
        left //= lengths[-1]
    starts = [range(0, max(1, size), length) for size, length in zip(shape, reversed(lengths), strict=True)]
    for corner in product(*starts):
        yield tuple(slice(begin, begin + length) for begin, length in zip(corner, reversed(lengths), strict=True))


def _table(values: Array) -> Array:
    """Kept by pooled: ``(kept, *pooled)`` with the pooled dimensions in one."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))
