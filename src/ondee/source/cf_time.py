"""What the time coordinate of a CF file means: labels, intervals, and which moment the labels name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.source.assembly import Label, nanoseconds, time_bounds

__all__ = ["Times", "find_time", "read_labels", "read_times"]

_NOTE = re.compile(r"time[s]? label[s]? the (start|end)\b", re.IGNORECASE)
_ENCODING = ("units", "calendar", "_FillValue", "scale_factor", "add_offset", "bounds")


_AROUND = np.timedelta64(1, "h")
"""How far from its interval a label may lie at least: services round it."""


@dataclass(frozen=True)
class Times:
    """Labels ``(time,)``, bounds ``(time, 2)``, what the labels name, and who says so."""

    labels: NDArray[np.datetime64]
    bounds: NDArray[np.datetime64]
    label: Label
    told_by: str


def find_time(file: xr.Dataset, *, where: object) -> str:
    """Name of the time coordinate.

    Raises
    ------
    ReadError
        If there is none.
    """
    for name in (*(name for name in ("time", "valid_time") if name in file.variables), *map(str, file.variables)):
        attributes = file[name].attrs
        if file[name].ndim <= 1 and (
            attributes.get("standard_name") == "time"
            or str(attributes.get("axis", "")).upper() == "T"
            or (name.lower() in ("time", "valid_time") and " since " in str(attributes.get("units", "")))
        ):
            return name
    raise ReadError(
        "the file has no time coordinate",
        where=where,
        fix="add time(time) with units 'minutes since …'; a file without a time cannot be placed in an archive",
    )


def read_labels(file: xr.Dataset, name: str, *, where: object) -> NDArray[np.datetime64]:
    """Labels of the frames, ``(time,)``, without touching the data."""
    return np.atleast_1d(_decoded(file, name, file[name].attrs, where))


def read_times(
    file: xr.Dataset,
    name: str,
    *,
    stated: str | None,
    minutes: float | None,
    cell_methods: str = "",
    notes: Mapping[str, str],
    where: object,
) -> Times:
    """Labels and bounds.

    Parameters
    ----------
    file
        The file, not decoded.
    name
        Its time coordinate.
    stated
        What the user says that labels name: ``start``, ``end``, ``centre``; None to take it from the file.
    minutes
        Length of an interval as the user says it; None for the bounds of the file, else the smallest step.
    cell_methods
        Those of the variables: ``time: point`` makes snapshots.
    notes
        Where → text in which the file may say in words what a label names.
    where
        The file, for errors.

    Raises
    ------
    ReadError
        If times or bounds cannot be decoded.
    ConfigError
        If `stated` is no label, or contradicts what the file's bounds say.
    """
    if stated is not None and stated not in get_args(Label):
        raise ConfigError(f"{stated!r} is no time label", where="time_label", fix="give start, end, centre or unknown")
    labels = read_labels(file, name, where=where)
    label, told_by = _told(stated, str(file[name].attrs.get("label", "")), notes)
    bounds = _bounds(file, name, where)
    if bounds is not None and minutes is None:
        if bounds.shape != (labels.size, 2):
            raise ReadError(
                f"time bounds have shape {bounds.shape}, the times say {(labels.size, 2)}",
                where=where,
                fix="the file is damaged; fetch it again, or give the length of a step: minutes=…",
            )
        around = np.maximum(bounds[:, 1] - bounds[:, 0], _AROUND)
        if ((labels < bounds[:, 0] - around) | (labels > bounds[:, 1] + around)).any():
            raise ReadError(
                "times lie far outside their own bounds",
                where=f"{where}, {name}",
                fix="mend the bounds, or give the length of a step instead: minutes=…",
            )
        implied = _implied(labels, bounds)
        if stated is not None and implied not in ("unknown", stated):
            raise ConfigError(
                f"time_label={stated!r} contradicts the time bounds of the file, which say {implied!r}",
                where=where,
                fix=f"leave time_label out, or give time_label={implied!r}",
            )
        return Times(labels, bounds, *((label, told_by) if told_by else (implied, "time bounds")))
    if minutes is not None:
        length = np.timedelta64(round(minutes * 60e9), "ns")
    elif "time: point" in cell_methods or labels.size < 2:
        length = np.timedelta64(0, "ns")
    else:
        # Unordered labels are refused where the Dataset is made; here they must only not fail.
        length = np.abs(np.diff(labels)).min()
    return Times(labels, time_bounds(labels, length, label), label, told_by)


def _told(stated: str | None, attribute: str, notes: Mapping[str, str]) -> tuple[Label, str]:
    """What a label names, and who says so: the user, an attribute, or a note in words."""
    known: dict[str, Label] = {"start": "start", "end": "end", "centre": "centre"}
    if stated is not None:
        return known.get(stated, "unknown"), "time_label given when opening"
    if attribute in get_args(Label):
        return known.get(attribute, "unknown"), "attribute label of the time coordinate"
    told = {match[1].lower(): place for place, text in notes.items() if (match := _NOTE.search(text))}
    if len(told) == 1:
        word, place = next(iter(told.items()))
        return known[word], place
    return "unknown", ""


def _implied(labels: NDArray[np.datetime64], bounds: NDArray[np.datetime64]) -> Label:
    """What labels name, from where they lie in their bounds; a snapshot is labelled by its moment."""
    names: tuple[Label, Label] = ("start", "end")
    for name, column in zip(names, bounds.T, strict=True):
        if (labels == column).all():
            return name
    middle = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) // 2
    return "centre" if (labels == middle).all() else "unknown"


def _bounds(file: xr.Dataset, name: str, where: object) -> NDArray[np.datetime64] | None:
    """Bounds of the file, if it has any."""
    for bounds in (str(file[name].attrs.get("bounds", "")), f"{name}_bounds", f"{name}_bnds"):
        if bounds in file.variables:
            inherited = {key: value for key, value in file[name].attrs.items() if key in ("units", "calendar")}
            decoded = _decoded(file, bounds, {**inherited, **file[bounds].attrs}, where)
            return decoded.reshape(1, -1) if decoded.ndim == 1 else decoded
    return None


def _decoded(file: xr.Dataset, name: str, attributes: Mapping[str, Any], where: object) -> NDArray[np.datetime64]:
    """A coordinate of times as datetime64[ns]."""
    kept = {key: value for key, value in attributes.items() if key in _ENCODING and key != "bounds"}
    raw = file[name].variable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what xarray cannot decode is refused below
            decoded = xr.decode_cf(xr.Dataset({"time": (raw.dims, raw.values, kept)}))["time"].values
    except (ValueError, OverflowError, TypeError, KeyError, ImportError) as error:
        raise ReadError(
            f"the times cannot be understood: units {kept.get('units')!r}, calendar {kept.get('calendar')!r}",
            where=f"{where}, {name}",
            fix="write times as 'minutes since 2018-06-01 00:00:00' in the standard calendar, UTC",
        ) from error
    if decoded.dtype.kind != "M":
        raise ReadError(
            f"{name} holds no times: units {kept.get('units')!r}, calendar {kept.get('calendar')!r}",
            where=where,
            fix="write times as 'minutes since 2018-06-01 00:00:00' in the standard calendar, UTC",
        )
    return nanoseconds(decoded, where=f"{where}, {name}")
