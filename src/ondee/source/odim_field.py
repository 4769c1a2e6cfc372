"""The arrays of an ODIM_H5 file: finding them, and decoding them by the attributes that hold for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ondee.errors import ReadError
from ondee.grid import Grid
from ondee.source.assembly import Variable
from ondee.source.hdf5 import attribute, require_written

__all__ = ["NO_ECHO", "QUANTITIES", "Field", "choose", "decode", "fields_of", "inherited", "quality_of"]

NO_ECHO = -40.0
"""Reflectivity in dBZ that stands for *undetect*: below -32 dBZ, which CIRRUS uses for measured echoes."""

QUANTITIES = {"RATE": "rain_rate", "ACRR": "rain_amount", "DBZH": "reflectivity", "TH": "reflectivity"}
"""ODIM quantity → name in the vocabulary, in the order of preference where a file holds several."""


@dataclass(frozen=True)
class Field:
    """One array of a file and the groups that may describe it, the nearest first."""

    place: str
    lineage: tuple[Any, ...]

    @property
    def is_quality(self) -> bool:
        """Whether it lies in a quality group of another array."""
        return "/quality" in self.place

    def what(self, name: str) -> Any:
        """Attribute of the nearest ``what`` that has it; None if none has.

        A quality group says itself how it is coded, or not at all: NIMBUS gives its quality no nodata,
        and the rain's own would not be meant.
        """
        if self.is_quality and name in ("quantity", "gain", "offset", "nodata", "undetect"):
            return inherited(self.lineage[:1], "what", name)
        return inherited(self.lineage, "what", name)

    def how(self, name: str) -> Any:
        """Attribute of the nearest ``how`` that has it; None if none has."""
        return inherited(self.lineage, "how", name)

    @property
    def dataset(self) -> int:
        """Number N of the ``datasetN`` that it lies in."""
        return int(self.place.split("/")[0].removeprefix("dataset"))

    @property
    def quantity(self) -> str:
        """The quantity, ``""`` where the file does not tell."""
        return str(self.what("quantity") or "")

    @property
    def values(self) -> h5py.Dataset:
        """The array, not yet read."""
        return self.lineage[0]["data"]


def inherited(lineage: Sequence[h5py.Group], kind: str, name: str) -> Any:
    """Attribute of the nearest group that has it (ODIM_H5: lower groups inherit)."""
    for group in lineage:
        described = group.get(kind)  # opened once: this is asked dozens of times of every file
        if described is not None and name in described.attrs:
            return attribute(described, name)
    return None


def _numbered(group: h5py.Group, stem: str) -> list[str]:
    """Names such as dataset1, dataset2 … dataset10, in order of their number."""
    names = [name for name in group if re.fullmatch(rf"{stem}\d+", name)]
    names = [name for name in names if isinstance(group[name], h5py.Group)]
    return sorted(names, key=lambda name: int(name.removeprefix(stem)))


def fields_of(file: h5py.File) -> Iterator[Field]:
    """Every array of a file, quality arrays included."""
    for dataset in _numbered(file, "dataset"):
        outer = file[dataset]
        groups: list[tuple[str, tuple[Any, ...]]] = [
            (f"{dataset}/{name}", (outer[name], outer, file)) for name in _numbered(outer, "data")
        ]
        groups += [
            (f"{place}/{name}", (lineage[0][name], *lineage))
            for place, lineage in list(groups)
            for name in _numbered(lineage[0], "quality")
        ]
        groups += [(f"{dataset}/{name}", (outer[name], outer, file)) for name in _numbered(outer, "quality")]
        for place, lineage in groups:
            if "data" in lineage[0] and isinstance(lineage[0]["data"], h5py.Dataset):
                yield Field(place, lineage)


def choose(fields: Sequence[Field], quantity: str | None, dataset: int | None, path: Path) -> Field:
    """Pick the one array to read."""
    plain = [field for field in fields if not field.is_quality]
    _require_composite(plain, path)
    present = sorted({field.quantity or "none" for field in plain})
    wanted = quantity or next((name for name in QUANTITIES if name in present), "")
    found = [field for field in plain if field.quantity == wanted and dataset in (None, field.dataset)]
    if not found or not wanted:
        raise ReadError(
            f"the file holds {', '.join(present)}"
            + (f", not {quantity}" if quantity else ": no rain, no reflectivity"),
            where=path if dataset is None else f"{path}, dataset{dataset}",
            fix="ask for a quantity that is there, or open a file with RATE, ACRR, DBZH or TH",
        )
    if len(found) > 1:
        raise ReadError(
            f"{wanted} comes {len(found)} times: " + ", ".join(field.place for field in found),
            where=path,
            fix=f"name one with dataset={found[0].dataset}",
        )
    return found[0]


def _require_composite(fields: Sequence[Field], path: Path) -> None:
    if not fields:
        raise ReadError(
            "no array lies in dataset1/data1/data",
            where=path,
            fix="the file is cut or no ODIM composite; fetch it again",
        )
    kind = str(fields[0].what("object") or "none")
    if kind not in ("COMP", "IMAGE"):
        raise ReadError(
            f"the object is {kind}: not a composite",
            where=path,
            fix="ondee reads gridded composites (COMP, IMAGE); polar volumes need a radar package such as wradlib",
        )


def quality_of(chosen: Field, fields: Sequence[Field]) -> Field | None:
    """Find the quality of a field: its own, its dataset's, or a dataset of its own (ODYSSEY)."""
    group = chosen.place.rsplit("/", 1)[0]
    own = [field for field in fields if field.place.startswith(f"{chosen.place}/quality")]
    shared = [field for field in fields if field.place.startswith(f"{group}/quality")]
    apart = [field for field in fields if not field.is_quality and field.quantity == "QIND"]
    return next((field for field in (*own, *shared, *apart) if _tells_quality(field)), None)


def _tells_quality(field: Field) -> bool:
    """Whether an array is an overall quality index, and no distance, height or class."""
    if field.quantity:
        return field.quantity == "QIND"
    task = str(inherited(field.lineage[:1], "how", "task") or "").lower()
    return task == "" or "qi_total" in task or "quality" in task


def decode(field: Field, grid: Grid, rows: slice, columns: slice, path: Path, *, quality: bool = False) -> Variable:
    """Read the cells of a window and decode them: ``(1, y, x)``, float32."""
    place = f"{path}, {field.place}"
    values = field.values
    if values.shape != grid.shape or values.dtype.kind not in "iuf":
        raise ReadError(
            f"the array is {values.dtype} of shape {values.shape}, where/ysize and xsize say numbers of {grid.shape}",
            where=place,
            fix="the file is damaged; fetch it again",
        )
    code = {name: field.what(name) for name in ("gain", "offset", "nodata", "undetect")}
    absent = [name for name, value in code.items() if value is None]
    if quality:
        absent = [name for name in absent if name in ("gain", "offset")]
    if absent:
        raise ReadError(
            f"{absent[0]} is missing: the numbers cannot be understood",
            where=place,
            fix="the file does not follow ODIM_H5; fetch it again or ask its producer",
        )
    gain, offset = float(code["gain"]), float(code["offset"])
    if not (0 < gain < np.inf and np.isfinite(offset)):
        raise ReadError(
            f"gain is {gain:g}, offset {offset:g}: the numbers cannot be understood",
            where=place,
            fix="the file is damaged; fetch it again",
        )
    if code["nodata"] == code["undetect"] and not quality:
        raise ReadError(
            f"nodata and undetect are both {code['nodata']}: missing and dry cannot be told apart",
            where=place,
            fix="ask the producer of the file which of the two it is; ondee does not guess",
        )
    require_written(values, [code["nodata"]], where=place)
    raw = values[rows, columns]
    with np.errstate(over="ignore", invalid="ignore"):
        decoded = (raw.astype(np.float64) * gain + offset).astype(np.float32)
    decoded[_equal(raw, code["nodata"])] = np.nan
    reflectivity = QUANTITIES.get(field.quantity) == "reflectivity"
    silent = np.nan if quality else NO_ECHO if reflectivity else 0.0
    decoded[_equal(raw, code["undetect"])] = silent
    packing = _packing(raw.dtype, gain, offset, code["nodata"], silent)
    return Variable(decoded[np.newaxis], packing, _attributes(field, quality=quality))


def _attributes(field: Field, *, quality: bool) -> dict[str, Any]:
    """Attributes worth keeping: the quantity, the task of the quality, the Z-R relation of the producer."""
    if quality:
        task = field.how("task")
        return {} if task is None else {"task": str(task)}
    kept: dict[str, Any] = {"odim_quantity": field.quantity}
    if QUANTITIES[field.quantity] == "reflectivity":
        kept["comment"] = f"{NO_ECHO:g} dBZ stands for no echo (undetect)"
    relation = {name: field.how(name) for name in ("zr_a", "zr_b")}
    return kept | {name: float(value) for name, value in relation.items() if value is not None}


def _equal(raw: NDArray[Any], code: Any) -> NDArray[np.bool_]:
    """Where an array holds a code, NaN included."""
    if code is None:
        return np.zeros(raw.shape, dtype=np.bool_)
    return np.asarray(np.isnan(raw) if np.isnan(float(code)) else raw == code)


def _packing(dtype: np.dtype[Any], gain: float, offset: float, nodata: Any, silent: float) -> dict[str, Any]:
    """How a store can hold the values without loss; nothing for floats, or if no code stands for what is silent."""
    if dtype.kind not in "iu" or nodata is None:
        return {}
    silent_code = 0.0 if np.isnan(silent) else (silent - offset) / gain
    limits = np.iinfo(dtype)
    if abs(silent_code - round(silent_code)) > 1e-6 or not all(
        limits.min <= value <= limits.max for value in (silent_code, float(nodata))
    ):
        return {}
    return {"scale_factor": gain, "add_offset": offset, "dtype": str(dtype), "_FillValue": int(nodata)}
