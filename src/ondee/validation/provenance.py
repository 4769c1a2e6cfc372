"""What a result says of itself: what was compared, how, on how much, and whether any of it was simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ondee import __version__
from ondee.collocation.calendar import HALF_HOUR
from ondee.provenance import commit, machine
from ondee.source.hdf5 import attribute, tells
from ondee.validation.archive import SumsFile
from ondee.validation.half_hour import LONGEST_FRAME
from ondee.validation.sums import SOURCE
from ondee.validation.tables import Blocks

__all__ = ["facts_of", "simulated"]

_MANIFEST = "truth.yaml"
"""What `ondee simulate` writes beside its archives."""
_OURS = "made by ondee"


def facts_of(sums: SumsFile, blocks: Blocks, draws: Mapping[str, Any], command: str) -> dict[str, Any]:
    """What was compared, how, and on how much.

    Parameters
    ----------
    sums
        Of all days.
    blocks
        Blocks of the bootstrap.
    draws
        Replicates, level and seed.
    command
        The line that was typed.
    """
    counted = [entry.counts for entry in sums.days.values()]
    rows = sums.read(f"sums/{SOURCE}/point")
    times = rows["time"].values
    whole_cells = rows.isel(row=np.flatnonzero(rows["comparison"].values == 0), population=0)["samples"]
    about = sums.about
    imerg, radar = dict(about["imerg"]), dict(about["radar"])
    return {
        "title": f"IMERG {imerg['run']} {imerg['version']} against {radar['product'] or 'radar'}",
        "imerg": imerg,
        "radar": {"product": radar["product"], "grid": about["grid"][1], "frame_minutes": radar["frame_minutes"]},
        **about["origin"],
        "period": f"{np.datetime_as_string(times.min(), 'm')} to {np.datetime_as_string(times.max() + HALF_HOUR, 'm')}",
        "half_hours": int(np.unique(times).size),
        "half_hours_without_radar": sum(int(entry["half_hours_without_radar"]) for entry in counted),
        "days": len(sums.days),
        "cells": int(whole_cells.sum()),
        "region": about["cells"][2:],
        "grid": about["cells"][1],
        "block": blocks.spelled,
        "blocks": int(blocks.starts.size),
        **draws,
        "reading": about["reading"],
        "settings": {**about["settings"], **about["rules"]},
        "left_out": _left_out(sums),
        "command": command,
        "version": __version__,
        "commit": commit(),
        "date": str(np.datetime64("now", "m")),
        "machine": machine(),
    }


def _left_out(sums: SumsFile) -> list[str]:
    """What could not be scored, in words."""
    told = []
    minutes = float(sums.about["radar"]["frame_minutes"])
    if minutes > LONGEST_FRAME:
        told.append(f"radar at the pass: frames of {minutes:g} minutes do not tell the minute of a pass")
    if "fields/spectrum" not in sums.names:
        told.append("spectra: the domain has fewer than 8 cells on a side")
    elif not sums.read("fields/spectrum")["tiles"].any():
        told.append("spectra: no tile was wholly observed by one source")
    if "sums/height/point" not in sums.names:
        told.append("height: no heights of the ground were given (--height FILE::VARIABLE)")
    if "evidence" not in sums.names:
        told.append("faults of sensors: no evidence was gathered")
    return told


def simulated(imerg: Path, processed_by: str, radar: Path) -> dict[str, Any]:
    """Whether either archive was simulated, and by which world.

    Parameters
    ----------
    imerg, radar
        A file of each.
    processed_by
        What the IMERG file says of who made it.

    Returns
    -------
    dict
        ``simulated``: whether any was; ``simulated_archives``: which of ``"imerg"`` and ``"radar"``; ``world``: name of
        the world, empty where it is not told.
    """
    names = [_world(path) for path in (imerg, radar)]
    made = [processed_by == "ondee" or names[0] is not None, names[1] is not None or tells(radar, _ours)]
    which = [name for name, ours in zip(("imerg", "radar"), made, strict=True) if ours]
    world = ", ".join(dict.fromkeys(name for name in names if name))
    return {"simulated": bool(which), "simulated_archives": which, "world": world}


def _world(path: Path) -> str | None:
    """Name of the world whose manifest lies beside an archive; None where there is none."""
    for folder in _above(path):
        try:
            held = yaml.safe_load((folder / _MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(held, dict) and "ondee" in held and isinstance(held.get("world"), dict):
            return str(held["world"].get("name") or "")
    return None


def _above(path: Path) -> Sequence[Path]:
    """The three folders above a file: an archive may hold folders of days."""
    return list(path.resolve().parents)[:3]


def _ours(file: Any) -> bool:
    """Whether the comment of an open ODIM file says that ondee made it."""
    return "how" in file and _OURS in str(attribute(file["how"], "comment", ""))
