"""Putting the Datasets of one product one after the other, once it is sure that they are of one product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.errors import ReadError
from ondee.grid import Grid

__all__ = ["identity", "join", "require_same"]


def join(parts: Sequence[tuple[tuple[Path, ...], xr.Dataset]]) -> xr.Dataset:
    """Put Datasets of one product one after the other in time.

    Parameters
    ----------
    parts
        The files of each Dataset and the Dataset, in order of time.

    Raises
    ------
    ReadError
        If product, run, members, grid or variables differ, or a time comes twice.
    """
    (first_paths, first), *others = parts
    grid, wanted = Grid.of(first, where=first_paths[0]), identity(first)
    for paths, part in others:
        require_same(wanted, identity(part), where=f"{first_paths[0]} and {paths[0]}")
        if not grid.same_as(Grid.of(part, where=paths[0])):
            raise ReadError(
                "grids differ",
                where=f"{first_paths[0]} and {paths[0]}",
                fix="open the files of one grid, or regrid each with ondee.collocation",
            )
        if set(part.data_vars) != set(first.data_vars):
            raise ReadError(
                f"variables differ: {', '.join(sorted(map(str, set(part.data_vars) ^ set(first.data_vars))))}",
                where=f"{first_paths[0]} and {paths[0]}",
                fix="open the files that hold the same variables, or name them with variables=…",
            )
        for name in map(str, first.data_vars):
            if part[name].dims != first[name].dims:
                raise ReadError(
                    f"{name} has the dimensions {first[name].dims} and {part[name].dims}",
                    where=f"{first_paths[0]} and {paths[0]}",
                    fix="open the files of one kind at a time",
                )
    if not others:
        return first
    _refuse_repeats(parts)
    ordered = sorted((part for _, part in parts), key=lambda part: part["time"].values[0])
    coordinates = {name: first.coords[name] for name in ("x", "y", "crs")}
    joined = xr.concat(
        [part.drop_vars(["x", "y", "crs"]) for part in ordered],
        dim="time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    ).assign_coords(coordinates)
    if (np.diff(joined["time"].values) <= np.timedelta64(0)).any():
        raise ReadError(
            "the times of the files interlace",
            where=f"{first_paths[0]} and others",
            fix="open one product at a time; two files must not share a period",
        )
    for name in map(str, first.data_vars):
        joined[name].attrs.update(_counts([part[name].attrs for part in ordered]))
        # What was packed in two ways cannot be written again in the one of the first file.
        same = all(part[name].encoding == first[name].encoding for part in ordered)
        joined[name].encoding = dict(first[name].encoding) if same else {}
    return joined


def identity(dataset: xr.Dataset) -> dict[str, str]:
    """What all files of one product agree on beside their grid and variables.

    Parameters
    ----------
    dataset
        As a reader gives it.
    """
    quantities = {str(array.attrs.get("odim_quantity", "")) for array in dataset.data_vars.values()}
    channels = map(str, dataset["channel"].values) if "channel" in dataset.coords else ()
    return {
        **{f"{name}s": str(dataset.attrs.get(name)) for name in ("product", "run", "version")},
        "time labels": str(dataset["time"].attrs.get("label")),
        "channels": ", ".join(channels),
        "members": _members(dataset),
        "quantities": ", ".join(sorted(quantities - {""})),
    }


def require_same(wanted: Mapping[str, str], found: Mapping[str, str], *, where: object) -> None:
    """Refuse to put files together that are of two products, runs, versions, or otherwise not alike.

    Parameters
    ----------
    wanted, found
        From :func:`identity`.
    where
        The files, for errors.

    Raises
    ------
    ReadError
        If they differ.
    """
    for name, value in wanted.items():
        if found[name] != value:
            raise ReadError(
                f"{name} are mixed: {value} and {found[name]}",
                where=where,
                fix=f"give only files of the same {name}",
            )


def _members(dataset: xr.Dataset) -> str:
    """The members of an ensemble in words: how many, and their numbers."""
    if "member" not in dataset.coords:
        return "none"
    numbers = np.atleast_1d(dataset["member"].values)
    one_by_one = (np.diff(numbers) == 1).all() and numbers.size > 2
    told = f"{numbers[0]} to {numbers[-1]}" if one_by_one else ", ".join(map(str, numbers))
    return f"{numbers.size if dataset['member'].ndim else 'one'} ({told})"


def _refuse_repeats(parts: Sequence[tuple[tuple[Path, ...], xr.Dataset]]) -> None:
    """Refuse the same time from two files."""
    seen: dict[np.datetime64, Path] = {}
    for paths, part in parts:
        for stamp in part["time"].values:
            if stamp in seen:
                raise ReadError(
                    f"the time {np.datetime_as_string(stamp, 's')} comes twice",
                    where=f"{seen[stamp]} and {paths[0]}",
                    fix="keep one of the two files (a reprocessed product beside the old one?)",
                )
            seen[stamp] = paths[0]


def _counts(attributes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of values that were masked or doubtful, summed over the parts, and the most extreme of them."""
    names = {name for entry in attributes for name in entry if name.endswith("_count")}
    made: dict[str, Any] = {name: sum(int(entry.get(name, 0)) for entry in attributes) for name in sorted(names)}
    extremes = [entry["implausible_extreme"] for entry in attributes if "implausible_extreme" in entry]
    return made | ({"implausible_extreme": max(extremes, key=abs)} if extremes else {})
