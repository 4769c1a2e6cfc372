"""IMERG half-hourly rain (3IMERGHH): V06, V07 and their kin; Early, Late and Final; whole granules and subsets.

IMERG is a snapshot, not a mean: where a microwave sensor passed, the rain is that of
``microwave_minute``; elsewhere it is morphed, or made from infrared. ``time`` names the start of the
half hour and ``time_bounds`` its two ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError, UnitError
from ondee.grid import Region
from ondee.source.assembly import Variable, assemble, nanoseconds
from ondee.source.granule import Format
from ondee.source.hdf5 import MAGIC, attribute, opened, require_written, tells
from ondee.source.imerg_axes import AXES, Axis, cut, snapped
from ondee.source.imerg_fields import (
    FIELDS,
    HALF_HOUR,
    Field,
    Name,
    decode_time,
    file_name,
    find,
    leaf,
    moment,
    parse_header,
    parse_name,
    run_of,
)
from ondee.source.imerg_sensors import flags
from ondee.source.imerg_writer import write
from ondee.units import canonical

__all__ = ["FORMAT", "file_name", "write"]

_ENDINGS = (".hdf5", ".rt-h5", ".h5", ".nc4", ".nc", ".he5")
_BY_QUANTITY = {field.quantity: field for field in FIELDS}
_GENERAL = frozenset({"precipitation", "randomError"})
"""Names that other products give their variables too."""
_MISSING = -9999
"""NASA's codes of missing values are -9999 and -9999.9; no field has a valid value down there."""
_PACKED = MappingProxyType({"dtype": "int16", "_FillValue": _MISSING, "scale_factor": 1.0, "add_offset": 0.0})


class _Imerg:
    """The format ``imerg``."""

    name = "imerg"
    long = False
    options: Mapping[str, str] = MappingProxyType(
        {"variables": "quantities to read, such as ('rain_rate', 'microwave_source'); all that are there by default"}
    )

    def recognise(self, path: Path, head: bytes) -> bool:
        """NASA's name with an HDF5 ending, or, of a renamed file, the header or the fields of IMERG."""
        if path.name.startswith("3B-HHR") and path.name.lower().endswith(_ENDINGS):
            return True
        return head.startswith(MAGIC) and tells(path, lambda file: _is_imerg(_Content(file, path)))

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Every file is a granule."""
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Start of the half hour: from the name; a renamed file is opened."""
        name = parse_name(paths[0].name, where=paths[0])
        if name is not None:
            return nanoseconds([name.start], where=paths[0])
        with opened(paths[0]) as file:
            return nanoseconds([_Content(file, paths[0]).start()], where=paths[0])

    def read(self, paths: tuple[Path, ...], *, region: Region | None = None, **options: Any) -> xr.Dataset:
        """Read one granule: of each variable, only the chunks that the region touches."""
        (path,) = paths
        with opened(path) as file:
            content = _Content(file, path)
            start = content.start()
            attributes: dict[str, Any] = {**content.attributes()}
            lon, lat = content.axis("lon"), content.axis("lat")
            place = None if region is None else tuple(region)
            rows, columns, grid = cut(lon, lat, place)
            # The grid counts rows from the north, an axis of the file from the south.
            upward_rows = slice(lat.size - rows.stop, lat.size - rows.start)
            window = lon.in_file(columns), lat.in_file(upward_rows)
            variables = {
                quantity: content.variable(quantity, (lon.size, lat.size), window)
                for quantity in content.chosen(options.get("variables"))
            }
        return assemble(
            variables,
            grid,
            [start],
            [[start, start + HALF_HOUR]],
            label="start",
            product="IMERG",
            where=path,
            **attributes,
        )


FORMAT: Format = _Imerg()


def _is_imerg(content: _Content) -> bool:
    """Whether a renamed HDF5 file is a half-hourly IMERG file or a piece of one."""
    if content.header:
        return content.header.get("AlgorithmID", "").startswith("3IMERGHH")
    return {"lat", "lon"} <= set(content.places) and bool(set(content.fields.values()) - _GENERAL)


class _Content:
    """What an open file holds.

    Parameters
    ----------
    file
        The file.
    path
        Its path, whose name counts.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file, self.path = file, path
        self.places: dict[str, str] = {}
        for place in ("Grid", "Grid/Intermediate", "/", "Intermediate"):
            group = file.get(place)
            if isinstance(group, h5py.Group):
                for name in group:
                    self.places.setdefault(leaf(name), f"{place}/{name}")
        self.fields = find(self.places)
        self.header = parse_header(str(attribute(file, "FileHeader", "")))
        self.name: Name | None = parse_name(path.name, where=path)

    # ---- which granule it is

    def start(self) -> np.datetime64:
        """Start of the half hour, on which name, header and raw time must agree.

        Raises
        ------
        ReadError
            If they do not, or none of them is there.
        """
        told: dict[str, np.datetime64] = {}
        if self.name is not None:
            told["its name"] = self.name.start
        raw = self._raw_time()
        if raw is not None:
            told["its variable time"] = raw
        text = self.header.get("StartGranuleDateTime", "")
        if text:
            told["its header"] = moment(text[:19], where=self.path)
        if not told:
            raise ReadError(
                "nothing tells the time of the granule",
                where=self.path,
                fix="give the file back the name that NASA gave it: 3B-HHR….MS.MRG.3IMERG.YYYYMMDD-S…",
            )
        if len(set(told.values())) > 1:
            raise ReadError(
                "the times differ: " + ", ".join(f"{time} by {source}" for source, time in told.items()),
                where=self.path,
                fix="the file is damaged or wrongly renamed; fetch it again",
            )
        return next(iter(told.values()))

    def _raw_time(self) -> np.datetime64 | None:
        """The variable ``time``; its calendar ("julian") is a label only: it counts plain seconds since its epoch."""
        if "time" not in self.places:
            return None
        node = self._dataset("time")
        if node.size != 1:
            raise ReadError(
                f"the file holds {node.size} times; a granule holds one",
                where=self.path,
                fix="split the file into half hours, or read it as plain CF: format='cf'",
            )
        units = str(_units(node))
        return decode_time(float(node[...].reshape(-1)[0]), units, where=f"{self.path}, time")

    def attributes(self) -> dict[str, str]:
        """Run, version and origin, checked one against the other.

        Raises
        ------
        ReadError
            If name and header tell of two runs or two versions.
        """
        header_run = run_of(self.header, where=self.path)
        header_version = self.header.get("ProductVersion", "")
        header_version = f"V{header_version}" if header_version[:1].isdigit() else header_version
        run = header_run or "unknown"
        version = header_version
        if self.name is not None:
            run, version = self.name.run, self.name.version
            # Letters may differ: since 2026 files named V07C say V07B inside.
            for what, by_name, by_header in (
                ("run", run, header_run or run),
                ("version", version[:3], header_version[:3] or version[:3]),
            ):
                if by_name != by_header:
                    raise ReadError(
                        f"the {what} is {by_name} by the name of the file and {by_header} by its header",
                        where=self.path,
                        fix="the file was renamed; give it back the name that its FileHeader tells",
                    )
        return {
            "run": run,
            "version": version[:3],
            "version_file": version,
            "version_header": header_version,
            "algorithm": self.header.get("AlgorithmVersion", ""),
            "doi": self.header.get("DOI", ""),
            "processed_by": self.header.get("ProcessingSystem", ""),
        }

    # ---- where it lies

    def axis(self, which: str) -> Axis:
        """Snap the centres of an axis to the 0.1 degree cells of the whole Earth.

        Raises
        ------
        ReadError
            If the axis is absent, or its centres (or their bounds) are not those of consecutive cells.
        """
        names, edge, most = AXES[which]
        name = next((name for name in names if name in self.places), names[0])
        raw = self._dataset(name)[...]
        fault, axis = snapped(raw.tobytes(), raw.dtype.str, edge, most)
        if axis is not None and not axis.upwards and f"{name}_bnds" in self.places:
            # NASA counts upwards. An axis that was turned round by itself still has its bounds as they were.
            ends = np.asarray(self._dataset(f"{name}_bnds")[...], dtype=np.float64)
            if ends.shape != (raw.size, 2) or np.abs(ends.mean(axis=1) - raw).max() > 1e-3:
                fault, axis = f"it contradicts {name}_bnds", None
        if axis is None:
            raise ReadError(
                f"{name} cannot be trusted: {fault}",
                where=self.path,
                fix="the file was damaged or changed by a tool; fetch it again",
            )
        return axis

    # ---- what it holds

    def chosen(self, variables: Sequence[str] | str | None) -> list[str]:
        """Quantities to read.

        Raises
        ------
        ConfigError
            If one is no quantity of IMERG.
        ReadError
            If one is not in this file, or none is.
        """
        if not self.fields:
            raise ReadError(
                "no field of IMERG is in the file: it holds " + (", ".join(sorted(self.places)) or "nothing"),
                where=self.path,
                fix="the file is of another product, or its group Grid is missing; fetch it again",
            )
        asked = [variables] if isinstance(variables, str) else list(variables or self.fields)
        for quantity in asked:
            if quantity not in _BY_QUANTITY:
                raise ConfigError(
                    f"{quantity!r} is no quantity of IMERG",
                    where="variables",
                    fix="use some of: " + ", ".join(_BY_QUANTITY),
                )
            if quantity not in self.fields:
                raise ReadError(
                    f"{quantity} is not in the file",
                    where=self.path,
                    fix="ask for what it holds: " + ", ".join(self.fields),
                )
        return asked

    def variable(
        self, quantity: str, sizes: tuple[int, int], window: tuple[tuple[slice, int], tuple[slice, int]]
    ) -> Variable:
        """Read a window of one field.

        Parameters
        ----------
        quantity
            What to read.
        sizes
            Number of longitudes and of latitudes in the file.
        window
            For longitude and latitude: the slice in the file and the step into ascending order.

        Returns
        -------
        Variable
            ``(1, y, x)``, row 0 north, NaN where missing.
        """
        field, node = _BY_QUANTITY[quantity], self._dataset(self.fields[quantity])
        self._check_units(node, field)
        lon_first = self._lon_first(node, sizes)
        (columns, column_step), (rows, row_step) = window
        leading = (0,) * (node.ndim - 2)
        require_written(node, [fill for fill in (node.fillvalue,) if fill <= _MISSING], where=self.path)
        block = node[(*leading, columns, rows)].T if lon_first else node[(*leading, rows, columns)]
        values = _decoded(node, block[::-row_step, ::column_step])
        return Variable(
            values[None], _PACKED if field.integer else {}, flags() if quantity == "microwave_source" else {}
        )

    def _check_units(self, node: h5py.Dataset, field: Field) -> None:
        """Refuse a field in another unit, or without one where NASA states it; a code has none."""
        units = _units(node)
        if field.quantity == "microwave_source" or (units is None and not field.unit_stated):
            return
        if units is None or canonical(str(units)) != field.units:
            raise UnitError(
                f"{node.name} is in {units!r}; {field.quantity} in {field.units!r} is needed",
                where=self.path,
                fix="the file was changed by a tool, or is no half-hourly IMERG; fetch it again",
            )

    def _lon_first(self, node: h5py.Dataset, sizes: tuple[int, int]) -> bool:
        """Whether the last two dimensions are (lon, lat), NASA's order, and not (lat, lon)."""
        shape = node.shape[-2:] if node.shape is not None else ()
        if node.ndim not in (2, 3) or any(size != 1 for size in node.shape[:-2]) or sorted(shape) != sorted(sizes):
            raise ReadError(
                f"{node.name} has shape {node.shape}, its coordinates say (1, {sizes[0]}, {sizes[1]})",
                where=self.path,
                fix="the file is damaged or was changed by a tool; fetch it again",
            )
        if sizes[0] != sizes[1]:
            return bool(shape == sizes)
        scales = [dimension[0].name.rsplit("/", 1)[-1] for dimension in node.dims if len(dimension)]
        if len(scales) != node.ndim:
            scales = str(attribute(node, "DimensionNames", "lon,lat")).split(",")
        return leaf(scales[-1].strip()) not in AXES["lon"][0]

    def _dataset(self, name: str) -> h5py.Dataset:
        """A variable by its own name."""
        node = self.file.get(self.places.get(name, name))
        if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "iuf":
            raise ReadError(
                f"there is no variable {name!r}" if node is None else f"{name!r} holds no numbers",
                where=self.path,
                fix="the file is damaged or of another product; fetch it again",
            )
        return node


def _units(node: h5py.Dataset) -> Any:
    """Unit of a variable; NASA writes it twice, tools may keep one."""
    return attribute(node, "units") or attribute(node, "Units")


def _decoded(node: h5py.Dataset, block: NDArray[Any]) -> NDArray[np.float32]:
    """Values as float32, NaN where a code says missing; unpacked, should a tool have packed them."""
    fill = attribute(node, "_FillValue")
    if "scale_factor" in node.attrs or "add_offset" in node.attrs:
        scale, offset = attribute(node, "scale_factor", 1.0), attribute(node, "add_offset", 0.0)
        values = (block * float(scale) + float(offset)).astype(np.float32)
    else:
        values = block.astype(np.float32)
    missing = values <= _MISSING
    if fill is not None:
        missing |= block == fill
    values[missing] = np.nan
    return values
