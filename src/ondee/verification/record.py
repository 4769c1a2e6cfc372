"""The record of a day: its sums in one bundle, from which a verification goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from ondee.bundle import read_about, read_bundle, write_bundle
from ondee.score import merge

__all__ = ["Case", "Place", "Record", "read_record", "signature_of", "write_record"]

Place = tuple[str, str]
"""Stratum, and start of the block of time."""
_PLACE = "place"


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

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    stacks: dict[str, xr.Dataset] = {}
    places: dict[str, dict[str, list[Place]]] = {}
    for name, estimates in record.sums.items():
        places[name] = {estimate: list(held) for estimate, held in estimates.items()}
        for index, held in enumerate(estimates.values()):
            stacks[f"{name}/{index}"] = xr.concat(
                list(held.values()), dim=_PLACE, join="outer", fill_value=0.0, combine_attrs="override"
            )
    about = {
        "signature": record.signature,
        "day": record.day,
        "frames": record.frames,
        "pixels": record.pixels,
        "seen": record.seen,
        "case": None if record.case is None else [record.case.start, record.case.rain],
        "places": places,
    }
    write_bundle(path, about, stacks)


def read_record(path: Path) -> Record:
    """Read the record of a day."""
    about, stacks = read_bundle(path)
    record = Record(about["day"], about["signature"], frames=about["frames"], pixels=about["pixels"])
    record.seen = about["seen"]
    record.case = None if about["case"] is None else Case(*about["case"])
    for name, estimates in about["places"].items():
        for index, (estimate, places) in enumerate(estimates.items()):
            stack = stacks[f"{name}/{index}"]
            record.sums.setdefault(name, {})[estimate] = {
                (stratum, block): stack.isel({_PLACE: position}, drop=True)
                for position, (stratum, block) in enumerate(places)
            }
    return record


def signature_of(path: Path) -> str | None:
    """Signature of a record; None if there is none, or it was cut short."""
    about = read_about(path)
    return None if about is None else str(about["signature"])
