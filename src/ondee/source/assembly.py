"""From the arrays of a reader to the one Dataset of the house, checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ondee.errors import ReadError
from ondee.grid import Grid
from ondee.units import VOCABULARY

__all__ = ["MEMBER", "Label", "Layer", "Variable", "assemble", "nanoseconds", "time_bounds"]

Label = Literal["start", "end", "centre", "unknown"]
"""Which moment of its interval a time coordinate names."""

Layer = Literal["channel", "member"]
"""What the second of four dimensions tells apart: channels, or the members of an ensemble."""

MEMBER = {"standard_name": "realization", "long_name": "member of the ensemble", "units": "1"}
"""Attributes of the coordinate ``member``."""

_NANOSECONDS = np.dtype("datetime64[ns]")


@dataclass(frozen=True)
class Variable:
    """One quantity as a reader found it.

    Parameters
    ----------
    values
        ``(time, y, x)``, ``(time, channel, y, x)`` or ``(time, member, y, x)``, row 0 north, in the vocabulary's
        unit, NaN where not observed; ``(time, y)`` for what holds for a whole scan line.
    packing
        ``scale_factor``, ``add_offset``, ``dtype`` and ``_FillValue`` of the file, if it held packed integers:
        a store keeps them, so that nothing is lost and nothing is invented.
    attributes
        Further attributes (``comment``, ``flag_values`` …).
    layer
        What the second of four dimensions is.
    """

    values: NDArray[np.float32]
    packing: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    layer: Layer = "channel"


def nanoseconds(times: ArrayLike, *, where: object) -> NDArray[np.datetime64]:
    """Times as datetime64[ns], which NumPy would silently turn into others before 1678 and after 2262.

    Parameters
    ----------
    times
        Any shape, in any unit.
    where
        The file, for errors.

    Raises
    ------
    ReadError
        If a time is out of range.
    """
    fine = np.asarray(times, dtype=_NANOSECONDS)
    coarse = np.asarray(times, dtype="datetime64[us]")
    wrong = (fine.astype(coarse.dtype) != coarse) & ~np.isnat(coarse)
    if wrong.any():
        raise ReadError(
            f"{coarse[wrong].ravel()[0].astype('datetime64[s]')} is no time of an observation",
            where=where,
            fix="the file is damaged or wrongly named; fetch it again",
        )
    return fine


def time_bounds(times: ArrayLike, length: np.timedelta64 | int, label: Label) -> NDArray[np.datetime64]:
    """Start and end of each interval from its label.

    Parameters
    ----------
    times
        Labels, ``(time,)``.
    length
        Length of an interval (an int is minutes).
    label
        What the labels name. ``"unknown"`` is read as ``"end"``, the custom of radar services,
        and stays marked as unknown on the time coordinate.

    Returns
    -------
    ndarray
        ``(time, 2)``, datetime64[ns].

    Examples
    --------
    >>> time_bounds(["2018-06-01T12:00"], 5, "end").astype("datetime64[m]").tolist()[0][0].isoformat()
    '2018-06-01T11:55:00'
    """
    stamps = np.asarray(times, dtype=_NANOSECONDS)
    span = np.timedelta64(length, "m") if isinstance(length, int) else length
    span = span.astype("timedelta64[ns]")
    start = {"start": stamps, "centre": stamps - span // 2}.get(label, stamps - span)
    return np.stack([start, start + span], axis=1)


def assemble(
    variables: Mapping[str, Variable],
    grid: Grid,
    times: ArrayLike,
    bounds: ArrayLike,
    *,
    label: Label,
    product: str,
    where: object,
    channels: tuple[str, ...] = (),
    members: Sequence[int] = (),
    **attributes: Any,
) -> xr.Dataset:
    """Make the Dataset that every reader returns.

    Values outside the plausible range of their quantity become missing; how many, and the most
    extreme, stand in the attributes ``implausible_count`` and ``implausible_extreme`` of the variable.

    Parameters
    ----------
    variables
        Quantity name → :class:`Variable`.
    grid
        Grid of the last two dimensions.
    times
        The product's own labels, ``(time,)``, UTC, strictly ascending.
    bounds
        Start and end of the interval each value stands for, ``(time, 2)``; equal for a snapshot.
    label
        Which moment of the interval the label names.
    product
        Name of the product, as a person says it.
    where
        The file, for errors.
    channels
        Names of the ``channel`` dimension, if a variable has one.
    members
        Numbers of the ``member`` dimension, if a variable is an ensemble.
    **attributes
        Global attributes: ``version``, ``run``, ``institution``, ``licence`` …

    Raises
    ------
    ReadError
        If times are not strictly ascending, a bound is before its start, a shape does not fit the grid, or two
        members have one number.
    """
    stamps, limits = nanoseconds(times, where=where), nanoseconds(bounds, where=where)
    _check_times(stamps, limits, where)
    coordinates: dict[str, Any] = {
        "time": xr.Variable(
            "time",
            stamps,
            attrs={"standard_name": "time", "axis": "T", "bounds": "time_bounds", "label": label},
            encoding={"units": "seconds since 1970-01-01 00:00:00"},
        ),
        # Variables, not DataArrays: xarray would build an index for each of them twice.
        **{name: coordinate.variable for name, coordinate in grid.coordinates().items()},
        "time_bounds": xr.Variable(("time", "bounds"), limits),
    }
    if channels:
        coordinates["channel"] = ("channel", np.asarray(channels, dtype=str))
    if len(members):
        coordinates["member"] = _members(members, where)
    sizes = {"time": stamps.size, "channel": len(channels), "member": len(members), "y": grid.ny, "x": grid.nx}
    data = {name: xr.Variable(*_variable(name, variable, sizes, where)) for name, variable in variables.items()}
    known = {name: value for name, value in attributes.items() if value not in (None, "")}
    return xr.Dataset(data, coords=coordinates, attrs={"Conventions": "CF-1.11", "product": product, **known})


def _check_times(stamps: NDArray[np.datetime64], limits: NDArray[np.datetime64], where: object) -> None:
    if np.isnat(stamps).any() or np.isnat(limits).any():
        raise ReadError("a time is not set", where=where, fix="the file is damaged; fetch it again")
    if (np.diff(stamps) <= np.timedelta64(0)).any():
        index = int(np.argmax(np.diff(stamps) <= np.timedelta64(0)))
        kind = "twice" if stamps[index] == stamps[index + 1] else "out of order"
        raise ReadError(
            f"times come {kind}: {stamps[index]} then {stamps[index + 1]}",
            where=where,
            fix="sort the frames by time and remove repeated ones; ondee never reorders inside a file",
        )
    if limits.shape != (stamps.size, 2) or (limits[:, 1] < limits[:, 0]).any():
        raise ReadError(
            "time_bounds do not give a start and a later end for each time",
            where=where,
            fix="the file is damaged; fetch it again",
        )


def _members(numbers: Sequence[int], where: object) -> xr.Variable:
    """The coordinate of an ensemble."""
    known, counts = np.unique(np.asarray(numbers, dtype=np.int64), return_counts=True)
    if known.size < len(numbers):
        raise ReadError(
            f"{counts.max()} members have the number {known[np.argmax(counts)]}",
            where=where,
            fix="number the members of the ensemble, each differently; or drop the coordinate, and they count from 0",
        )
    return xr.Variable("member", np.asarray(numbers, dtype=np.int64), MEMBER)


def _variable(
    name: str, variable: Variable, sizes: Mapping[str, int], where: object
) -> tuple[tuple[str, ...], NDArray[np.float32], dict[str, Any], dict[str, Any]]:
    """Dimensions, values, attributes and encoding of one variable, its implausible values masked and counted."""
    values = np.asarray(variable.values, dtype=np.float32)
    dims = {4: ("time", variable.layer, "y", "x"), 2: ("time", "y")}.get(values.ndim, ("time", "y", "x"))
    expected = tuple(sizes[dim] for dim in dims)
    if values.shape != expected:
        raise ReadError(
            f"{name} has shape {values.shape}, its coordinates say {expected}",
            where=where,
            fix="the file is damaged or of another product; fetch it again, or name its format",
        )
    attributes = {**({"grid_mapping": "crs"} if "x" in dims else {}), **variable.attributes}
    low, high = VOCABULARY[name].plausible
    with np.errstate(invalid="ignore"):
        wrong = (values < low) | (values > high) | np.isinf(values)
    count = int(np.count_nonzero(wrong))
    if count:
        extremes = values[wrong]
        attributes["implausible_count"] = count
        attributes["implausible_extreme"] = float(extremes[np.argmax(np.abs(extremes))])
        values = np.where(wrong, np.float32(np.nan), values)
    attrs = {**VOCABULARY[name].attributes(), **attributes}
    return dims, values, attrs, dict(variable.packing)
