"""Some Datasets and what they are, in one file of NumPy arrays: whole or absent.

What a task leaves behind are some hundred small arrays, which HDF5 takes ten times as long to write and read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.output import whole

__all__ = ["SUFFIX", "read_about", "read_bundle", "write_bundle"]

SUFFIX = ".npz"
"""Ending of a bundle."""
_HEAD = "about"


def write_bundle(
    path: Path, about: Mapping[str, Any], datasets: Mapping[str, xr.Dataset], *, packed: bool = False
) -> None:
    """Write Datasets, and what is to be known of them.

    Parameters
    ----------
    path
        The file; replaced if it exists.
    about
        Plain values, as JSON holds them.
    datasets
        Name → Dataset.
    packed
        Compress the arrays.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    arrays: dict[str, Any] = {}
    described: dict[str, Any] = {}
    for name, dataset in datasets.items():
        variables = {}
        for own, variable in dataset.variables.items():
            values = variable.values
            arrays[f"{name}|{own}"] = values.astype(str) if values.dtype == object else values
            variables[str(own)] = [list(variable.dims), dict(variable.attrs), own in dataset.coords]
        described[name] = [dict(dataset.attrs), variables]
    head = json.dumps({"about": about, "datasets": described}, default=_plain)
    save = np.savez_compressed if packed else np.savez
    with whole(path, force=True) as draft, draft.open("wb") as stream:
        save(stream, **arrays | {_HEAD: np.array(head)})


def read_bundle(path: Path, names: Collection[str] | None = None) -> tuple[dict[str, Any], dict[str, xr.Dataset]]:
    """Read what is to be known of a bundle, and its Datasets.

    Parameters
    ----------
    path
        The file.
    names
        Datasets that are wanted; all where None.
    """
    with np.load(path, allow_pickle=False) as held:
        head = json.loads(str(held[_HEAD]))
        found = {}
        for name, (attributes, variables) in head["datasets"].items():
            if names is not None and name not in names:
                continue
            made = {
                own: xr.Variable(dims, held[f"{name}|{own}"], own_attributes)
                for own, (dims, own_attributes, _) in variables.items()
            }
            coordinates = {own: made.pop(own) for own, (*_, serves) in variables.items() if serves}
            found[name] = xr.Dataset(made, coords=coordinates, attrs=attributes)
    return head["about"], found


def read_about(path: Path) -> dict[str, Any] | None:
    """What is to be known of a bundle, without its arrays; None if there is no such file, or it was cut short."""
    try:
        with np.load(path, allow_pickle=False) as held:
            about: dict[str, Any] = json.loads(str(held[_HEAD]))["about"]
            return about
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as JSON holds them."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
