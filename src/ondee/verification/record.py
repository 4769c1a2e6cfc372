"""The record of a day: its sums in one file of NumPy arrays, whole or absent, from which a verification goes on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.output import whole
from ondee.score import merge

__all__ = ["SUFFIX", "Case", "Place", "Record", "read_record", "signature_of", "write_record"]

Place = tuple[str, str]
"""Stratum, and start of the block of time."""
_PLACE = "place"
SUFFIX = ".npz"
"""Ending of a record."""
_ABOUT = "about"


@dataclass(frozen=True)
class Case:
    """A frame worth drawing: the start of its interval, and its rain summed over pixels."""

    start: str
    rain: float


@dataclass
class Record:
    """Sums of one day.

    Parameters
    ----------
    day
        ISO date.
    signature
        Of the files and settings behind it.
    sums
        Score → name of the estimate → stratum and start of the block → sums.
    frames, pixels
        Frames of the truth, and observed pixels of those that were scored.
    seen
        Name of the estimate → frames that it had.
    case
        Its frame with most rain.
    """

    day: str
    signature: str
    sums: dict[str, dict[str, dict[Place, xr.Dataset]]] = field(default_factory=dict)
    frames: int = 0
    pixels: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    case: Case | None = None

    def add(self, score: str, estimate: str, place: Place, sums: xr.Dataset) -> None:
        """Add sums to those that are there."""
        held = self.sums.setdefault(score, {}).setdefault(estimate, {})
        held[place] = merge(held[place], sums) if place in held else sums

    def offer(self, case: Case) -> None:
        """Keep a case if it has more rain."""
        if self.case is None or case.rain > self.case.rain:
            self.case = case


def write_record(record: Record, path: Path) -> None:
    """Write the record of a day.

    A day has several hundred small arrays, which HDF5 takes ten times as long to write and read as all its scores.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    arrays: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, estimates in record.sums.items():
        groups[name] = {}
        for index, (estimate, places) in enumerate(estimates.items()):
            stacked = xr.concat(
                list(places.values()), dim=_PLACE, join="outer", fill_value=0.0, combine_attrs="override"
            )
            variables = {}
            for own, variable in stacked.variables.items():
                values = variable.values
                arrays[f"{name}/{index}/{own}"] = values.astype(str) if values.dtype == object else values
                variables[str(own)] = [list(variable.dims), _plain(variable.attrs), own in stacked.coords]
            groups[name][estimate] = [list(places), _plain(stacked.attrs), variables]
    about = {
        "signature": record.signature,
        "day": record.day,
        "frames": record.frames,
        "pixels": record.pixels,
        "seen": record.seen,
        "case": None if record.case is None else [record.case.start, record.case.rain],
        "groups": groups,
    }
    with whole(path, force=True) as draft, draft.open("wb") as stream:
        np.savez(stream, **arrays | {_ABOUT: np.array(json.dumps(about))})


def read_record(path: Path) -> Record:
    """Read the record of a day."""
    with np.load(path, allow_pickle=False) as held:
        about = json.loads(str(held[_ABOUT]))
        record = Record(about["day"], about["signature"], frames=about["frames"], pixels=about["pixels"])
        record.seen = about["seen"]
        record.case = None if about["case"] is None else Case(*about["case"])
        for name, estimates in about["groups"].items():
            for index, (estimate, (places, attributes, variables)) in enumerate(estimates.items()):
                made = {
                    own: xr.Variable(dims, held[f"{name}/{index}/{own}"], own_attributes)
                    for own, (dims, own_attributes, _) in variables.items()
                }
                coordinates = {own: made.pop(own) for own, (*_, serves) in variables.items() if serves}
                stacked = xr.Dataset(made, coords=coordinates, attrs=attributes)
                record.sums.setdefault(name, {})[estimate] = {
                    (stratum, block): stacked.isel({_PLACE: position}, drop=True)
                    for position, (stratum, block) in enumerate(places)
                }
    return record


def signature_of(path: Path) -> str | None:
    """Signature of a record; None if there is none, or it was cut short."""
    try:
        with np.load(path, allow_pickle=False) as held:
            return str(json.loads(str(held[_ABOUT]))["signature"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as JSON holds them."""
    return {
        str(name): value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in attributes.items()
    }
