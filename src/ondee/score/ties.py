"""Random numbers that belong to a pixel, to break ties: the same however the fields are cut into parts."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

__all__ = ["keys", "uniform"]

_PLACE = ("y", "x")


def keys(field: xr.DataArray, seed: int) -> list[xr.DataArray]:
    """Keys of the pixels of a field, made of the values of their coordinates and never of their position.

    Parameters
    ----------
    field
        ``(…)``. A dimension without a coordinate is keyed by position: give it one to score a field by parts.
    seed
        Another seed, other numbers.

    Returns
    -------
    list of xarray.DataArray
        Two arrays, uint64, whose ``^`` is the key: one on ``y`` and ``x``, as far as the field has them, the other on
        all other dimensions.
    """
    first = xr.DataArray(np.uint64(_digest(f"seed {int(seed)}".encode())))
    made = [first, xr.DataArray(np.uint64(0))]
    for dim in field.dims:
        values = field[dim].values if dim in field.coords else np.arange(field.sizes[dim])
        hashed = _scramble(_bits(values) ^ np.uint64(_digest(str(dim).encode())))
        coords = {dim: field[dim]} if dim in field.coords else {}
        which = int(dim in _PLACE)
        made[which] = made[which] ^ xr.DataArray(hashed, dims=(dim,), coords=coords)
    return made


def _bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    """One uint64 for each value: times in ns, numbers as float64, anything else through its text."""
    if values.dtype.kind in "mM":
        unit = "datetime64[ns]" if values.dtype.kind == "M" else "timedelta64[ns]"
        return values.astype(unit).astype(np.int64).view(np.uint64)
    if values.dtype.kind in "iufb":
        return (values.astype(np.float64) + 0.0).view(np.uint64)  # + 0.0 makes one zero of the two
    return np.array([_digest(str(value).encode()) for value in values.ravel()], np.uint64).reshape(values.shape)


def _digest(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _scramble(key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA, figure 15): neighbours become unlike."""
    key = key + np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


_scramble_one: Any = njit(cache=True)(_scramble)


@njit(cache=True)
def uniform(key: np.uint64) -> float:
    """Random number in [0, 1) of a key; 53 bits of it."""
    return float(_scramble_one(key) >> np.uint64(11)) * 2.0**-53
