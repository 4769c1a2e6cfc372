"""Datasets as groups of one NetCDF file, written and read many at a time.

Any NetCDF reader opens the files. Reading goes straight to the arrays: what each group holds also stands in one
attribute of it, since to look up the dimensions of some hundred variables takes far longer than to read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from ondee.errors import StoreError
from ondee.output import whole

__all__ = ["group_names", "read_attributes", "read_group", "write_groups"]

_LAYOUT = "layout"
_EPOCH = "seconds since 1970-01-01"
_TIME = {"units": _EPOCH, "calendar": "proleptic_gregorian"}


def write_groups(path: Path, groups: Iterable[tuple[str, xr.Dataset]], attributes: Mapping[str, Any]) -> None:
    """Write Datasets into one file, which appears whole or not at all and replaces an earlier one.

    Parameters
    ----------
    path
        The file.
    groups
        Name, with ``/`` between levels, and Dataset; asked for one after the other.
    attributes
        Of the file.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    with whole(path, force=True) as draft, draft.open("w+b", buffering=0) as stream:
        disk = _Disk(stream, path)
        with disk.answered(), h5netcdf.File(disk, "w") as file:
            file.attrs.update({"Conventions": "CF-1.11", **attributes})
            for name, dataset in groups:
                _write(file.create_group(name), dataset)
                disk.require()


class _Disk:
    """A file that keeps from the HDF5 library what the disk refuses, and raises it at the end.

    The library cannot close a file on a full disk, and takes the process with it. After the first refusal nothing is
    written any more.
    """

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path = stream, path
        self._refusal: OSError | None = None
        self.seek, self.tell, self.read = stream.seek, stream.tell, stream.read

    def write(self, data: bytes) -> int:
        if self._refusal is None:
            try:
                self._stream.write(data)
            except OSError as error:
                self._refusal = error
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        found = self._stream.read(len(buffer)) if self._refusal is None else b""
        buffer[:] = found.ljust(len(buffer), b"\0")
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        return size or 0 if self._refusal is not None else self._stream.truncate(size)

    def flush(self) -> None:
        if self._refusal is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._refusal = error

    def require(self) -> None:
        """Raise what the disk refused."""
        if self._refusal is not None:
            raise StoreError(
                f"this cannot be written: {self._refusal.strerror or self._refusal}",
                where=self._path,
                fix="make space, or choose a folder that exists and is yours; then run again: what is done is kept",
            ) from self._refusal

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Raise what the disk refused, when the file is closed."""
        try:
            yield
        finally:
            self.flush()
            self.require()


def _write(group: Any, dataset: xr.Dataset) -> None:
    for dim, size in dataset.sizes.items():
        group.dimensions[str(dim)] = size
    layout: dict[str, Any] = {}
    for name, variable in dataset.variables.items():
        values, more = _stored(np.asarray(variable.values))
        packed = {"compression": "gzip", "compression_opts": 1} if values.ndim and values.dtype.kind in "fiu" else {}
        if not values.size:
            packed = {}
        kind = h5py.string_dtype() if values.dtype.kind == "O" else values.dtype
        made = group.create_variable(str(name), tuple(map(str, variable.dims)), kind, data=values, **packed)
        own = {str(key): value for key, value in variable.attrs.items()}
        made.attrs.update({**own, **more})
        layout[str(name)] = [list(map(str, variable.dims)), name in dataset.coords]
    group.attrs.update({str(key): value for key, value in dataset.attrs.items()})
    group.attrs[_LAYOUT] = json.dumps(layout)


def _stored(values: np.ndarray[Any, np.dtype[Any]]) -> tuple[np.ndarray[Any, np.dtype[Any]], dict[str, str]]:
    """Values as NetCDF holds them, and the attributes that tell what they are."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]").astype(np.int64), dict(_TIME)
    if values.dtype.kind == "b":
        return values.astype(np.int8), {"dtype": "bool"}
    if values.dtype.kind in "UO":
        return values.astype(object), {}
    return values, {}


def read_attributes(path: Path) -> dict[str, Any]:
    """Attributes of a file.

    Raises
    ------
    OSError
        If it is none.
    """
    with h5py.File(path, "r") as file:
        return {str(name): value for name, value in file.attrs.items()}


def group_names(path: Path) -> list[str]:
    """Names of all groups that hold data, in order.

    Raises
    ------
    OSError
        If it is no such file.
    """
    found: list[str] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, node: found.append(name) if _LAYOUT in node.attrs else None)
    return found


def read_group(path: Path, name: str) -> xr.Dataset:
    """Read one group.

    Parameters
    ----------
    path
        A file of :func:`write_groups`.
    name
        Name of the group.

    Raises
    ------
    OSError
        If it is no such file.
    KeyError
        If it has no such group.
    """
    with h5py.File(path, "r") as file:
        group = file[name]
        layout = json.loads(group.attrs[_LAYOUT])
        made = {own: _variable(group[own], dims) for own, (dims, _) in layout.items()}
        attributes = {str(key): _value(value) for key, value in group.attrs.items() if not _ours(key)}
    coordinates = {own: made.pop(own) for own, (_, serves) in layout.items() if serves}
    return xr.Dataset(made, coords=coordinates, attrs=attributes)


_HDF5 = frozenset({"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates"})


def _ours(key: str) -> bool:
    """Whether an attribute belongs to the file format."""
    return key in _HDF5 or key in (_LAYOUT, "_NCProperties", "_nc3_strict")


def _variable(node: h5py.Dataset, dims: list[str]) -> xr.Variable:
    attributes = {str(key): _value(value) for key, value in node.attrs.items() if not _ours(key)}
    values = node[()]
    if attributes.get("units") == _EPOCH:
        values = np.asarray(values).astype("datetime64[s]").astype("datetime64[ns]")
        attributes = {key: value for key, value in attributes.items() if key not in _TIME}
    elif attributes.get("dtype") == "bool":
        values = np.asarray(values).astype(bool)
        del attributes["dtype"]
    elif h5py.check_string_dtype(node.dtype) is not None:
        text = np.asarray(node.asstr()[()])
        values = text.astype(str)
    return xr.Variable(dims, values, attributes)


def _value(value: Any) -> Any:
    """An attribute as Python holds it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
        return value.item()
    return value
