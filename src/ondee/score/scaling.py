"""Scaling: how rain differs over a distance, and how it fills space as one looks more coarsely."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import ratio, rising
from ondee.score.fields import pixel_size
from ondee.score.sums import framewise

__all__ = ["intermittency", "structure"]

Floats = NDArray[np.float64]

_FIELDS = ["estimate", "truth"]


def structure(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    orders: Sequence[float] = (0.5, 1.0, 2.0, 3.0),
    lags: Sequence[int] = (1, 2, 4, 8, 16, 32),
) -> xr.Dataset:
    """Sum powers of the differences between pixels at some distance, along rows and along columns.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed: a pair with such a pixel counts nowhere. Members are pooled.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel; a pair has the mean of its two.
    orders
        Powers, more than 0.
    lags
        Distances in pixels. A lag that is longer than the field has no pairs.

    Returns
    -------
    xarray.Dataset
        Sums ``increments`` (field, order, lag) and ``pairs`` (lag). :func:`~ondee.score.finish` gives the structure
        function as its root of order q, in the unit of the data, and the exponent of its scaling.

    Raises
    ------
    ConfigError
        If orders or lags are not positive and ascending, or a lag is no whole number.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.
    """
    powers = rising(orders, "orders")
    distances = _whole(lags, "lags")
    if powers[0] <= 0:
        raise ConfigError("an order must be more than 0", where=f"orders={orders!r}", fix="use (0.5, 1.0, 2.0, 3.0)")

    def kernel(e: NDArray[Any], t: NDArray[Any], w: Floats | None) -> dict[str, Floats]:
        weight = np.empty((0, 0)) if w is None else np.ascontiguousarray(w)
        made = np.zeros((2, powers.size, distances.size))
        pairs = np.zeros(distances.size)
        for i, field in enumerate((e, t)):
            pairs[:] = 0.0  # both lack the same pixels, so both have the same pairs
            _increments(np.ascontiguousarray(field), weight, powers, distances, made[i], pairs)
        return {"increments": made, "pairs": pairs}

    return framewise(
        "structure",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={"increments": ("field", "order", "lag"), "pairs": ("lag",)},
        coordinates={
            "field": _FIELDS,
            "order": ("order", powers, {"units": "1", "long_name": "order of the structure function"}),
            "lag": ("lag", distances, {"units": "1", "long_name": "distance in pixels"}),
        },
        settings={"pixel": pixel_size(truth)},
    )


def intermittency(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    scales: Sequence[int] = (1, 2, 4, 8, 16, 32),
    threshold: float = 0.1,
) -> xr.Dataset:
    """Count the boxes that hold rain, from pixels to large boxes.

    Frames are cut into boxes of the largest scale from their first row and column on; those that are cut by the edge
    or lack a pixel are left out. The smaller boxes lie in these, so that every scale sees the same pixels and the
    share of wet boxes cannot fall as they grow.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed. Members are pooled.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel; a box has the mean of its pixels'.
    scales
        Sides of the boxes in pixels, each a divisor of the next.
    threshold
        A box is wet when a pixel of it reaches this, in the unit of the data.

    Returns
    -------
    xarray.Dataset
        Sums ``wet_boxes`` (field, scale) and ``boxes`` (scale).

    Raises
    ------
    ConfigError
        If a scale is no divisor of the next, or the fields are smaller than the largest.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.
    """
    sides = _whole(scales, "scales")
    if (sides[1:] % sides[:-1]).any():
        raise ConfigError(
            f"each scale must divide the next, and they are {tuple(map(int, sides))}",
            where="scales",
            fix="use powers of two, such as (1, 2, 4, 8)",
        )
    size = min((truth.sizes[dim] for dim in ("y", "x") if dim in truth.dims), default=int(sides[-1]))
    if size < sides[-1]:
        raise ConfigError(
            f"the fields have {size} pixels on a side, fewer than the largest box, {sides[-1]}",
            where="scales",
            fix=f"use smaller scales, up to {size}",
        )

    def kernel(e: NDArray[Any], t: NDArray[Any], w: Floats | None) -> dict[str, Floats]:
        largest = int(sides[-1])
        seen: NDArray[np.bool_] = np.asarray(_boxes(np.isfinite(t), largest).all(axis=(2, 3)))
        wet = np.empty((2, sides.size))
        boxes = np.empty(sides.size)
        for k, side in enumerate(map(int, sides)):
            within = np.repeat(np.repeat(seen, largest // side, axis=0), largest // side, axis=1).astype(float)
            if w is not None:
                within *= _boxes(w, side).mean(axis=(2, 3))[: len(within), : within.shape[1]]
            boxes[k] = within.sum()
            for i, field in enumerate((e, t)):
                reached = np.asarray(_boxes(field >= field.dtype.type(threshold), side).any(axis=(2, 3)))
                wet[i, k] = within[reached[: len(within), : within.shape[1]]].sum()
        return {"wet_boxes": wet, "boxes": boxes}

    return framewise(
        "intermittency",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={"wet_boxes": ("field", "scale"), "boxes": ("scale",)},
        coordinates={
            "field": _FIELDS,
            "scale": ("scale", sides, {"units": "1", "long_name": "side of a box in pixels"}),
        },
        settings={"threshold": float(threshold), "pixel": pixel_size(truth)},
    )


def _whole(values: Sequence[int], name: str) -> NDArray[np.int64]:
    """Whole numbers from 1 that ascend."""
    found = rising(values, name)
    if (found != np.round(found)).any() or found[0] < 1:
        raise ConfigError(
            f"{name} must be whole numbers of pixels, and are {values!r}", where=name, fix="use (1, 2, 4, 8)"
        )
    return found.astype(np.int64)


def _boxes(frame: NDArray[Any], side: int) -> NDArray[Any]:
    """Complete boxes of a frame, ``(row, column, y, x)``."""
    rows, columns = (size // side for size in frame.shape)
    cut = frame[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.swapaxes(1, 2)


@njit(cache=True)
def _increments(field: Any, weight: Any, orders: Any, lags: Any, made: Any, pairs: Any) -> None:
    """Add powers of differences along rows and columns; equal values, dry ones as a rule, cost no power."""
    height, width = field.shape
    for k in range(lags.size):
        for way in range(2):
            down = lags[k] if way == 0 else 0
            right = lags[k] if way == 1 else 0
            for y in range(height - down):
                for x in range(width - right):
                    one, two = field[y, x], field[y + down, x + right]
                    if np.isnan(one) or np.isnan(two):
                        continue
                    w = 1.0 if weight.size == 0 else 0.5 * (weight[y, x] + weight[y + down, x + right])
                    pairs[k] += w
                    if one == two:
                        continue
                    step = abs(np.float64(two) - np.float64(one))
                    for q in range(orders.size):
                        order = orders[q]
                        if order == 1.0:
                            made[q, k] += w * step
                        elif order == 2.0:
                            made[q, k] += w * step * step
                        elif order == 3.0:
                            made[q, k] += w * step * step * step
                        elif order == 0.5:
                            made[q, k] += w * np.sqrt(step)
                        else:
                            made[q, k] += w * step**order


def _slope(values: xr.DataArray, dim: str) -> xr.DataArray:
    """Least-squares slope of ln values against ln of a coordinate, over where they are more than 0."""
    level = xr.DataArray(np.log(values.where(values > 0)))
    place = xr.DataArray(np.log(values[dim].astype(float))).where(level.notnull())
    place = place - place.mean(dim)
    above = (place * (level - level.mean(dim))).sum(dim)
    return xr.DataArray(above / (place**2).sum(dim).where(level.notnull().sum(dim) >= 2))


def _finish_structure(sums: xr.Dataset) -> xr.Dataset:
    """Mean powers of differences, their roots, and their growth with distance."""
    mean = ratio(sums["increments"], sums["pairs"])
    return xr.Dataset(
        {"structure_function": mean ** (1 / sums["order"]), "scaling_exponent": _slope(mean, "lag")},
    )


def _finish_intermittency(sums: xr.Dataset) -> xr.Dataset:
    """Share of wet boxes, and its growth with their size."""
    wet = ratio(sums["wet_boxes"], sums["boxes"])
    return xr.Dataset({"wet_fraction_by_scale": wet, "intermittency_codimension": _slope(wet, "scale")})


_FRISCH = "Frisch 1995, Turbulence, Cambridge University Press, ch. 8 (structure functions)"
_LOVEJOY = "Lovejoy and Schertzer 1990, Journal of Applied Meteorology 29, box counting of rain"

register(
    "structure",
    _finish_structure,
    (
        Measure(
            "structure_function",
            "structure function, root of its order",
            r"S_q(l)^{1/q}=\langle|X(\mathbf{p}+l)-X(\mathbf{p})|^q\rangle^{1/q}",
            _FRISCH,
            "says nothing of where; high orders rest on few pixels; along rows and columns only",
            axis="what",
            units="data",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "scaling_exponent",
            "exponent of the structure function",
            r"\zeta(q)=\mathrm{d}\ln S_q/\mathrm{d}\ln l",
            _FRISCH,
            "a straight line through the lags, whether or not they lie on one",
            axis="what",
            best=np.nan,
            bounds=(-np.inf, np.inf),
        ),
    ),
)
register(
    "intermittency",
    _finish_intermittency,
    (
        Measure(
            "wet_fraction_by_scale",
            "share of wet boxes",
            r"f(n)=N_{\mathrm{wet}}(n)/N(n)",
            _LOVEJOY,
            "one wet pixel makes a box wet: it follows the drizzle, not the rain",
            axis="what",
            best=np.nan,
        ),
        Measure(
            "intermittency_codimension",
            "codimension of the rain's support",
            r"C=\mathrm{d}\ln f/\mathrm{d}\ln n",
            _LOVEJOY,
            "0 for rain that fills the plane, 2 for lone points; falls where large boxes are all wet",
            axis="what",
            best=np.nan,
            bounds=(0.0, 2.0),
        ),
    ),
)
