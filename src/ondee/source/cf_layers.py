"""The one dimension of a CF variable that is neither time nor place: the members of an ensemble, or channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ondee.errors import ConfigError, ReadError
from ondee.source.assembly import MEMBER, Layer

__all__ = ["Layers", "is_member", "layer_of", "layers", "lone_member", "numbering", "one_member"]

_MEMBER = frozenset({"member", "members", "realization", "realisation", "ensemble", "ensemble_member", "number", "ens"})
_CHANNEL = frozenset({"channel", "channels", "band", "bands"})


@dataclass(frozen=True)
class Layers:
    """What a dimension tells apart.

    Parameters
    ----------
    kind
        Members or channels.
    labels
        Numbers of the members, or names of the channels, in the order of the file.
    """

    kind: Layer
    labels: tuple[int, ...] | tuple[str, ...]


def is_member(file: xr.Dataset, dim: str) -> bool:
    """Whether a dimension runs over an ensemble: it, or a coordinate along it, is called so (CF: ``realization``)."""
    return dim.lower() in _MEMBER or any(
        variable.dims == (dim,) and variable.attrs.get("standard_name") == "realization"
        for variable in file.variables.values()
    )


def layer_of(file: xr.Dataset, others: Sequence[str]) -> str | None:
    """The dimension, of those that are neither time nor place, that becomes one of the Dataset.

    Parameters
    ----------
    file
        The file, not decoded.
    others
        Dimensions of a variable beside time and place, one of them at most longer than one.

    Returns
    -------
    str or None
        The one that is longer than one, else one that is named as members or channels are; None for neither: it
        says nothing.
    """
    for dim in others:
        if file.sizes[dim] > 1:
            return dim
    return next((dim for dim in others if is_member(file, dim) or dim.lower() in _CHANNEL), None)


def layers(file: xr.Dataset, dim: str, where: object) -> Layers:
    """Members or channels along a dimension, with their numbers or names.

    Raises
    ------
    ReadError
        If members have no whole numbers.
    """
    return (
        Layers("member", _numbers(file, dim, where)) if is_member(file, dim) else Layers("channel", _names(file, dim))
    )


def numbering(file: xr.Dataset, dim: str) -> str | None:
    """Name of the variable that numbers the members along a dimension; None if they bear no numbers."""
    if dim in file.variables:
        return dim
    along = [str(name) for name, variable in file.variables.items() if variable.dims == (dim,)]
    named = [
        name for name in along if file[name].attrs.get("standard_name") == "realization" or name.lower() in _MEMBER
    ]
    return named[0] if named else None


def one_member(file: xr.Dataset, number: int, where: object) -> xr.Dataset:
    """Cut a file to one member of its ensemble, lazily.

    Raises
    ------
    ConfigError
        If the file holds no ensemble, or no such member.
    """
    dims = [str(dim) for dim in file.sizes if is_member(file, str(dim))]
    if not dims:
        raise ConfigError(
            f"member {number} is asked for, and the file holds no ensemble", where=where, fix="leave member out"
        )
    places: dict[str, slice] = {}
    for dim in dims:
        numbers = _numbers(file, dim, where)
        if number not in numbers:
            raise ConfigError(
                f"there is no member {number}",
                where=where,
                fix="its members are: " + ", ".join(map(str, numbers)),
            )
        places[dim] = slice(numbers.index(number), numbers.index(number) + 1)
    # A dimension without a coordinate would count from 0 again.
    bare = {dim: ([dim], [number]) for dim in dims if numbering(file, dim) is None}
    return file.isel(places).assign_coords(bare)


def lone_member(file: xr.Dataset) -> tuple[str, xr.Variable] | None:
    """The scalar coordinate that says which member the whole file is: its name and ours; None where there is none."""
    for name, variable in file.variables.items():
        if variable.ndim == 0 and variable.attrs.get("standard_name") == MEMBER["standard_name"]:
            number = variable.values
            if number.dtype.kind in "iu":
                return str(name), xr.Variable((), number.astype(np.int64), MEMBER)
    return None


def _numbers(file: xr.Dataset, dim: str, where: object) -> tuple[int, ...]:
    """Numbers of the members along a dimension: those of the file, else from 0."""
    name = numbering(file, dim)
    if name is None:
        return tuple(range(file.sizes[dim]))
    found = file[name].values
    if found.shape == (file.sizes[dim],) and found.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):
            whole = found.astype(np.int64)
        if (whole == found).all():
            return tuple(int(number) for number in whole)
    raise ReadError(
        f"the members have no whole numbers: {str(found.ravel()[:3].tolist())[:60]}",
        where=f"{where}, {name}",
        fix="number the members of the ensemble; or drop the coordinate, and they count from 0",
    )


def _names(file: xr.Dataset, dim: str) -> tuple[str, ...]:
    """Names of the channels along a dimension."""
    if dim not in file.variables:
        return tuple(str(index) for index in range(file.sizes[dim]))
    names = xr.decode_cf(file[[dim]].drop_attrs(deep=False))[dim].values
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
