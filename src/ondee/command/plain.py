"""Datasets as plain values, for those who ask for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["as_dict"]


def as_dict(found: xr.Dataset) -> dict[str, Any]:
    """Make a tree of plain values, which JSON can hold, of a Dataset; NaN becomes None.

    Parameters
    ----------
    found
        Any Dataset of numbers and texts.
    """
    return {
        "attributes": {str(name): _plain(value) for name, value in found.attrs.items()},
        "coordinates": {str(name): _plain(array.values) for name, array in found.coords.items()},
        "variables": {
            str(name): {"dims": [str(dim) for dim in array.dims], "values": _plain(array.values)}
            for name, array in found.data_vars.items()
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
