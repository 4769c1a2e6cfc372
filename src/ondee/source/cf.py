"""Any CF NetCDF (3 or 4) or zarr of rain, brightness temperature, likelihood, reflectivity or quality.

Variables are found by their own name, by ``standard_name``, or by a small table of usual names; the Grid
from the grid mapping, the axes, or the regular grid behind 2-D longitude and latitude; the interval of a
time from its bounds, or from its step. What is ambiguous is refused with the option that settles it.

References
----------
CF Conventions 1.11: 2.5 (missing data), 4.4 (time), 5.6 (grid mappings), 7.1 (bounds), 8.1 (packed data).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import OndeeError, ReadError
from ondee.grid import Region
from ondee.source.assembly import Label, Variable, assemble
from ondee.source.cf_grid import Layout, Placement, axis_of, layout
from ondee.source.cf_layers import Layers, is_member, layer_of, layers, lone_member, numbering, one_member
from ondee.source.cf_time import Times, find_time, read_labels, read_times
from ondee.source.cf_variables import decoded, resolve
from ondee.source.granule import Format, Period, inside
from ondee.source.hdf5 import MAGIC
from ondee.source.hdf5 import opened as readable

__all__ = ["CF", "FORMAT", "opened", "read_file"]

_NETCDF3 = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_OPTIONS = {
    "names": "mapping of file variable to quantity, for variables that do not tell by themselves; None leaves one out",
    "units": "mapping of file variable to unit, for variables that state none",
    "time_label": "what a time label names: start, end or centre of its interval",
    "member": "number of the one member of an ensemble to read",
    "minutes": "length of the interval of a frame in minutes, where the file has no time bounds",
    "crs": "coordinate reference system of x and y, where the file has none",
    "west": "outer edge of the first column in metres of crs, where x counts from the image's corner",
    "north": "outer edge of the first row in metres of crs, where y counts from the image's corner",
}


@contextmanager
def opened(path: Path) -> Iterator[xr.Dataset]:
    """Open a NetCDF file or zarr lazily, nothing decoded.

    Parameters
    ----------
    path
        A file, or the directory of a zarr.

    Raises
    ------
    ReadError
        If it cannot be opened, or a part that is used inside the block cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = xr.open_dataset(path, **_engine(path), decode_cf=False, chunks=None, cache=False)
        with file:
            yield file
    except OndeeError:
        raise
    except Exception as error:  # xarray, h5netcdf, scipy and zarr raise nearly anything on a damaged file
        raise ReadError(
            f"the file cannot be read as NetCDF or zarr: {type(error).__name__}: {_first_line(error)}",
            where=path,
            fix="the file is cut, damaged or no NetCDF; fetch it again",
        ) from error


def _engine(path: Path) -> dict[str, Any]:
    """Arguments that make xarray use the one right backend."""
    if path.is_dir():
        return {"engine": "zarr", "consolidated": False}
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(MAGIC):
        with readable(path) as file:  # what fails here would leave an h5netcdf.File half made, with a traceback
            file.attrs.get("_nc3_strict")
        return {"engine": "h5netcdf", "phony_dims": "sort"}
    if head.startswith(_NETCDF3[2]):
        raise ReadError(
            "the file is a NetCDF of the 64-bit data kind (CDF-5), which no reader here knows",
            where=path,
            fix="turn it into NetCDF-4: nccopy -k nc4 IN OUT",
        )
    if head.startswith(_NETCDF3[:2]):
        return {"engine": "scipy"}
    raise ReadError(
        "the file begins neither as HDF5 nor as NetCDF",
        where=path,
        fix="check the file: it may be cut, compressed, or a web page saved under a wrong name",
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip("'\"").splitlines()
    return lines[0] if lines else "no more is known"


class CF:
    """The format: CF NetCDF and zarr."""

    name = "cf"
    long = True
    options: Mapping[str, str] = _OPTIONS

    def recognise(self, path: Path, head: bytes) -> bool:
        """Claim every zarr, and every HDF5 and NetCDF that no reader before this one knows, cut ones as well."""
        if path.is_dir():
            return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
        return head.startswith((MAGIC, *_NETCDF3))

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """One file, one group."""
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Labels of the frames."""
        with opened(paths[0]) as file:
            _require_content(file, paths[0])
            return read_labels(file, find_time(file, where=paths[0]), where=paths[0])

    def members(self, paths: tuple[Path, ...]) -> int:
        """Most members that a frame holds; 1 where there is no ensemble."""
        with opened(paths[0]) as file:
            return max([1, *(file.sizes[dim] for dim in file.sizes if is_member(file, str(dim)))])

    def read(self, paths: tuple[Path, ...], *, region: Region | None = None, **options: Any) -> xr.Dataset:
        """Read one file; see :func:`read_file`."""
        with opened(paths[0]) as file:
            return read_file(file, where=paths[0], region=region, **options)


FORMAT: Format = CF()


def read_file(
    file: xr.Dataset,
    *,
    where: object,
    region: Region | None = None,
    period: Period | None = None,
    names: Mapping[str, str | None] | None = None,
    units: Mapping[str, str] | None = None,
    time_label: str | None = None,
    member: int | None = None,
    minutes: float | None = None,
    crs: str | None = None,
    west: float | None = None,
    north: float | None = None,
    product: str | None = None,
    assumed: Label = "unknown",
) -> xr.Dataset:
    """Read an opened file.

    Parameters
    ----------
    file
        From :func:`opened`.
    where
        The file, for errors.
    region
        West, south, east, north in degrees; only the cells that touch it are loaded.
    period
        Labels from the first moment on and before the second; only these frames are loaded.
    names, units, time_label, member, minutes, crs, west, north
        The options of the format.
    product
        Name of the product, where a reader of a narrower format knows it; None to take that of the file.
    assumed
        What a label names where neither file nor user says it, but the narrower format does.

    Returns
    -------
    xarray.Dataset
        ``(time[, channel], y, x)``, or ``(time, member, y, x)`` of an ensemble; the attribute ``variables_not_read``
        lists what was left out, and ``time_label_from`` says who told what a label names.

    Raises
    ------
    ReadError
        If something that is needed is missing, damaged or ambiguous.
    UnitError
        If a variable is in another unit than its quantity.
    ConfigError
        If `member` is asked for and not there.
    GridError
        If `region` lies outside the grid, or the position of the grid is unknown.
    """
    _require_content(file, where)
    if member is not None:
        file = one_member(file, member, where)
    time = find_time(file, where=where)
    y, x, candidates = _gridded(file, time, where)
    quantities = resolve(file, candidates, names or {}, where=where)
    chosen = [name for variables in quantities.values() for name in variables]
    if "scan_offset" in file.data_vars and set(file["scan_offset"].dims) == {*file[time].dims, y}:
        chosen.append("scan_offset")
    place = layout(file, y, x, chosen, Placement(crs, west, north), where=where)
    rows, columns = slice(0, place.grid.ny), slice(0, place.grid.nx)
    if region is not None:
        rows, columns = place.grid.window(region, where=where)
    moments = _times(file, time, chosen, time_label, minutes, assumed, where)
    if period is not None and file[time].ndim:
        kept = inside(moments.labels, period)
        file = file.isel({file[time].dims[0]: kept})
        moments = replace(moments, labels=moments.labels[kept], bounds=moments.bounds[kept])
    cut = _Cut(file, place, rows, columns, str(file[time].dims[0]) if file[time].ndim else None, units or {}, where)
    variables, labels = cut.variables(quantities, "scan_offset" in chosen)
    dataset = assemble(
        variables,
        place.grid.crop(rows, columns),
        moments.labels,
        moments.bounds,
        label=moments.label,
        product=product or _product(file, where),
        where=where,
        channels=tuple(map(str, labels.get("channel", ()))),
        members=tuple(map(int, labels.get("member", ()))),
    )
    if member is not None and "member" in dataset.dims:
        dataset = dataset.isel(member=0)
    lone = lone_member(file)
    if lone is not None and "member" not in dataset.coords:
        dataset = dataset.assign_coords(member=lone[1])
        chosen.append(lone[0])
    dataset.attrs = {**_kept(file, product is None), **dataset.attrs}
    left_out = sorted(set(map(str, file.data_vars)) - set(chosen) - _machinery(file, chosen, time))
    if left_out:
        dataset.attrs["variables_not_read"] = ", ".join(left_out)
    if moments.told_by and "label" not in file[time].attrs:
        dataset.attrs["time_label_from"] = moments.told_by
    return dataset


def _require_content(file: xr.Dataset, where: object) -> None:
    if not file.variables:
        raise ReadError(
            "the file holds no variables at its root",
            where=where,
            fix="name the format (format=…) if this is a product of its own; CF files hold their variables at the root",
        )


def _gridded(file: xr.Dataset, time: str, where: object) -> tuple[str, str, list[str]]:
    """Horizontal dimensions and the data variables on them; the first variable decides between several grids."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, variable in file.data_vars.items():
        if axis_of(str(name), variable.variable) and variable.ndim <= 2 and "grid_mapping" not in variable.attrs:
            continue  # 2-D longitude or latitude
        kinds = {str(dim): axis_of(str(dim), file.variables.get(dim)) for dim in variable.dims}
        rows = [dim for dim, kind in kinds.items() if kind == "y"]
        columns = [dim for dim, kind in kinds.items() if kind == "x"]
        others = [dim for dim in kinds if dim not in rows + columns and dim not in file[time].dims]
        if len(rows) == 1 and len(columns) == 1 and sum(file.sizes[dim] > 1 for dim in others) <= 1:
            found.setdefault((rows[0], columns[0]), []).append(str(name))
    if not found:
        listed = ", ".join(f"{name}{variable.dims}" for name, variable in list(file.data_vars.items())[:8]) or "none"
        raise ReadError(
            f"no variable has a row and a column dimension, and at most one beside them and time; there are {listed}",
            where=where,
            fix="name the dimensions y and x (or lat and lon), or give their coordinates axis = 'Y' and 'X'; "
            "of two more dimensions, write one entry of one of them as a file",
        )
    (y, x), candidates = next(iter(found.items()))
    return y, x, candidates


def _times(
    file: xr.Dataset,
    time: str,
    chosen: Sequence[str],
    time_label: str | None,
    minutes: float | None,
    assumed: Label,
    where: object,
) -> Times:
    """Times of the file; where nobody says what a label names, the format does."""
    texts = {
        f"{key} of {name}": str(file[name].attrs[key])
        for name in (time, *chosen)
        for key in ("note", "comment")
        if key in file[name].attrs
    }
    texts.update({f"{key} of the file": str(file.attrs[key]) for key in ("note", "comment") if key in file.attrs})
    methods = " ".join(str(file[name].attrs.get("cell_methods", "")) for name in chosen)
    arguments: dict[str, Any] = {"minutes": minutes, "cell_methods": methods, "notes": texts, "where": where}
    found = read_times(file, time, stated=time_label, **arguments)
    if found.label == "unknown" and assumed != "unknown":
        return replace(read_times(file, time, stated=assumed, **arguments), told_by="the custom of the product")
    return found


class _Cut:
    """The part of a file that is wanted, loaded variable by variable."""

    def __init__(
        self,
        file: xr.Dataset,
        place: Layout,
        rows: slice,
        columns: slice,
        time: str | None,
        units: Mapping[str, str],
        where: object,
    ) -> None:
        self.file, self.place, self.time, self.units, self.where = file, place, time, units, where
        self.cells = place.in_file(rows, columns)

    def variables(
        self, quantities: Mapping[str, Sequence[str]], scan_offset: bool
    ) -> tuple[dict[str, Variable], dict[str, Sequence[int | str]]]:
        """Values of every quantity, and the names of the channels and numbers of the members."""
        parts = {quantity: [self._load(name, quantity) for name in names] for quantity, names in quantities.items()}
        labels: dict[str, Sequence[int | str]] = {}
        variables: dict[str, Variable] = {}
        for quantity, loaded in parts.items():
            found = Layers("channel", tuple(quantities[quantity])) if len(loaded) > 1 else loaded[0][1]
            if found is not None and found.labels != labels.setdefault(found.kind, found.labels):
                raise ReadError(
                    f"two quantities have different {found.kind}s: {labels[found.kind]} and {found.labels}",
                    where=self.where,
                    fix="open them one at a time: leave one out with names={variable: None}",
                )
            variables[quantity] = loaded[0][0] if len(loaded) == 1 else _stacked([part for part, _ in loaded])
        if scan_offset:
            variables["scan_offset"] = self._load("scan_offset", "scan_offset")[0]
        return variables, labels

    def _load(self, name: str, quantity: str) -> tuple[Variable, Layers | None]:
        """One variable as ``(time[, channel or member], y[, x])``, and what the second dimension tells apart."""
        array = self.file[name].isel({dim: cells for dim, cells in self.cells.items() if dim in self.file[name].dims})
        spatial = [dim for dim in (self.place.y, self.place.x) if dim in array.dims]
        others = [str(dim) for dim in array.dims if dim not in (*spatial, self.time)]
        extra = layer_of(self.file, others)
        array = array.isel({dim: 0 for dim in others if dim != extra})
        order = [dim for dim in (self.time, extra, *spatial) if dim in array.dims]
        raw = np.asarray(array.variable.transpose(*order).values)
        if self.time is None or self.time not in array.dims:
            raw = raw[None]
        if len(spatial) == 2:
            raw = self.place.north_up(raw)
        elif self.place.flip_y:
            raw = raw[..., ::-1]
        raw = np.ascontiguousarray(raw)  # under the same name: the file's own order need not stay in memory
        values = decoded(
            raw,
            array.attrs,
            quantity,
            units=self.units.get(name),
            where=f"{self.where}, {name}",
        )
        if extra is None:
            return values, None
        found = layers(self.file, extra, self.where)
        return replace(values, layer=found.kind), found


def _stacked(parts: Sequence[Variable]) -> Variable:
    """Channels that the file holds as variables of their own, as one variable."""
    packing = parts[0].packing if all(part.packing == parts[0].packing for part in parts) else {}
    return Variable(np.stack([part.values for part in parts], axis=1), packing)


# ---- what the Dataset says of itself


def _product(file: xr.Dataset, where: object) -> str:
    """Name of the product: the first line of the first attribute that tells."""
    for name in ("product", "title", "source", "id"):
        text = str(file.attrs.get(name, "")).strip()
        if text:
            return text.splitlines()[0]
    return "CF data"


def _kept(file: xr.Dataset, whole: bool) -> dict[str, Any]:
    """Global attributes of the file, as plain Python values."""
    machinery = {"_NCProperties", "proj4", "Conventions", "coordinates"} | (set() if whole else {"product"})
    return {
        str(name): value.item() if isinstance(value, np.generic) else value
        for name, value in file.attrs.items()
        if name not in machinery
    }


def _machinery(file: xr.Dataset, chosen: Sequence[str], time: str) -> set[str]:
    """Variables that serve others: coordinates, bounds, grid mappings."""
    serving = {str(file[time].attrs.get("bounds", "")), f"{time}_bounds", f"{time}_bnds", "crs", "spatial_ref", time}
    for name in file.variables:
        attributes = file[name].attrs
        serving.add(str(attributes.get("bounds", "")))
        serving.update(str(attributes.get("grid_mapping", "")).replace(":", " ").split()[:1])
        if axis_of(str(name), file.variables[name]) and name not in chosen:
            serving.add(str(name))
    serving.update(numbering(file, str(dim)) or "" for dim in file.sizes if is_member(file, str(dim)))
    return serving
