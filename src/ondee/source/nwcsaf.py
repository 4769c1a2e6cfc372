"""NWC SAF GEO rain: convective rainfall rate (CRR, CRR-Ph) and precipitating clouds (PC), NetCDF, v2016 to v2021.

Layout, as public sample files and other open-source readers have it: variables ``(ny, nx)`` with scale, offset
and fill; the view in the global attribute ``gdal_projection`` and the outer corners in ``gdal_xgeo_up_left`` …
``gdal_ygeo_low_right``; row 0 north. ``crr_intensity`` is mm/h in steps of 0.1 with fill 65535; ``crr`` is a class
and no rate; ``pc`` is a likelihood in %.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ReadError, UnitError
from ondee.grid import Grid, Region
from ondee.source.assembly import Variable, assemble, nanoseconds
from ondee.source.granule import Format
from ondee.source.hdf5 import attribute, opened, require_written
from ondee.units import VOCABULARY, canonical

__all__ = ["FORMAT"]

_NAME = re.compile(
    r"S_NWC_(?P<product>CRR-?Ph|CRR|PC|PC-?Ph)_(?P<satellite>[^_]+)_(?P<region>.+)_(?P<time>\d{8}T\d{6})Z(?P<rest>_PLAX)?\.nc"
)
_QUANTITIES = {
    "crr_intensity": "rain_rate",
    "crrph_intensity": "rain_rate",
    "pc": "precipitation_likelihood",
    "pcph": "precipitation_likelihood",
}
"""Name in the file → quantity."""
_CORNERS = ("gdal_xgeo_up_left", "gdal_ygeo_up_left", "gdal_xgeo_low_right", "gdal_ygeo_low_right")


class _Nwcsaf:
    """The format ``nwcsaf``."""

    name = "nwcsaf"
    long = False
    options: Mapping[str, str] = MappingProxyType({})

    def recognise(self, path: Path, head: bytes) -> bool:
        """The SAF's file name of one of the rain products."""
        return _NAME.fullmatch(path.name) is not None

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Every file is one image."""
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Nominal start of the scan."""
        named = _named_time(paths[0])
        if named is None:
            with opened(paths[0]) as file:
                named = _start(file, paths[0])
        return nanoseconds([named], where=paths[0])

    def read(self, paths: tuple[Path, ...], *, region: Region | None = None, **options: Any) -> xr.Dataset:
        """Read one image, only the rows and columns that the region touches."""
        (path,) = paths
        with opened(path) as file:
            start = _start(file, path)
            node, quantity = _field(file, path)
            grid = _grid(file, node.shape[-2:], path)
            rows, columns = slice(0, grid.ny), slice(0, grid.nx)
            if region is not None:
                rows, columns = grid.window(region, where=path)
            values, packing = _values(node, rows, columns)
            bounds = _bounds(file, start, path)
            attributes: dict[str, Any] = {
                "version": str(attribute(file, "source", "")),
                "satellite": str(attribute(file, "satellite_identifier", "")),
                "institution": str(attribute(file, "institution", "")),
                "region": str(attribute(file, "region_name", "")),
            }
        return assemble(
            {quantity: Variable(values[None], packing)},
            grid.crop(rows, columns),
            [start],
            [bounds],
            label="start",
            product=_product(path, quantity),
            where=path,
            time_comment="nominal start of the scan; time_bounds tell when the region was scanned, if the file does",
            **attributes,
        )


FORMAT: Format = _Nwcsaf()


def _product(path: Path, quantity: str) -> str:
    found = _NAME.fullmatch(path.name)
    short = found["product"] if found else {"rain_rate": "CRR"}.get(quantity, "PC")
    displaced = ", parallax corrected" if found and found["rest"] else ""
    return f"NWC SAF GEO {short}{displaced}"


# ---- time


def _named_time(path: Path) -> np.datetime64 | None:
    """Nominal time in the file name."""
    found = _NAME.fullmatch(path.name)
    return None if found is None else _time(found["time"], path)


def _time(text: str, path: Path) -> np.datetime64:
    """A time such as ``2018-06-01T07:00:00Z`` or ``20180601T070000``."""
    digits = re.sub(r"\D", "", text)
    try:
        return np.datetime64(
            f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}", "s"
        )
    except ValueError as error:
        raise ReadError(
            f"the time {text!r} cannot be understood",
            where=path,
            fix="the name or header of the file is damaged; fetch it again",
        ) from error


def _start(file: h5py.File, path: Path) -> np.datetime64:
    """Nominal start of the scan, on which name and header must agree."""
    text = attribute(file, "nominal_product_time")
    by_header = None if text is None else _time(str(text), path)
    by_name = _named_time(path)
    found = by_name if by_header is None else by_header
    if found is None or (by_name is not None and by_name != found):
        raise ReadError(
            f"the nominal time is {by_name} by the name of the file and {by_header} by its header",
            where=path,
            fix="give the file back its name: S_NWC_CRR_<satellite>_<region>_YYYYMMDDTHHMMSSZ.nc",
        )
    return found


def _bounds(file: h5py.File, start: np.datetime64, path: Path) -> list[np.datetime64]:
    """When the region was scanned; a moment, the nominal start, where the file does not tell."""
    texts = [attribute(file, f"time_coverage_{end}") for end in ("start", "end")]
    if None in texts:
        return [start, start]
    first, last = (_time(str(text), path) for text in texts)
    if not start <= first <= last <= start + np.timedelta64(1, "h"):
        raise ReadError(
            f"the region was scanned from {first} to {last}, the image is of {start}",
            where=path,
            fix="the header of the file is damaged; fetch it again",
        )
    return [first, last]


# ---- place


def _grid(file: h5py.File, shape: tuple[int, ...], path: Path) -> Grid:
    """The geostationary grid of the global attributes, checked against ``nx`` and ``ny`` where they are metres.

    Raises
    ------
    ReadError
        If the view or its corners are absent, upside down, in normalised units, or contradict ``nx`` and ``ny``.
    """
    projection = str(attribute(file, "gdal_projection", ""))
    corners = [attribute(file, name) for name in _CORNERS]
    radius = re.search(r"\+a=([\d.]+)", projection)
    if radius is None or any(not isinstance(corner, int | float) for corner in corners):
        raise ReadError(
            "the file does not say where its pixels lie",
            where=f"{path}, gdal_projection and gdal_xgeo_up_left …",
            fix="ondee reads NWC/GEO products of a geostationary region; PPS and older HDF5 products are others",
        )
    if float(radius[1]) < 1000.0:
        raise ReadError(
            "the view is in normalised units",
            where=f"{path}, gdal_projection",
            fix="ondee reads NWC/GEO v2016 to v2021 of Meteosat Second Generation, in metres or kilometres",
        )
    if float(radius[1]) < 1e5:
        # v2016 wrote the view in km, the corners in m.
        projection = re.sub(
            r"\+(a|b|h)=([\d.]+)", lambda part: f"+{part[1]}={float(part[2]) * 1000.0:.3f}", projection
        ).replace("+units=km", "+units=m")
    west, north, east, south = (float(corner) for corner in corners)
    ny, nx = shape
    if not (np.isfinite(corners).all() and west < east and south < north):
        raise ReadError(
            f"the corners are upside down: west {west}, north {north}, east {east}, south {south}",
            where=f"{path}, gdal_xgeo_up_left …",
            fix="the file is damaged; fetch it again",
        )
    grid = Grid(projection, west, north, (east - west) / nx, (north - south) / ny, nx, ny)
    for name, centres, cell in (("nx", grid.x, grid.dx), ("ny", grid.y, grid.dy)):
        node = file.get(name)
        if isinstance(node, h5py.Dataset) and canonical(str(attribute(node, "units", ""))) == "m":
            own = np.asarray(node[...], dtype=np.float64)
            # Some versions give corners of pixels here, others centres: half a pixel is no contradiction.
            if own.shape != centres.shape or not np.abs(own - centres).max() < 0.75 * cell:
                raise ReadError(
                    f"{name} contradicts the corners of the image",
                    where=path,
                    fix="the file was cut or turned by a tool that left its header; fetch it again",
                )
    return grid


# ---- values


def _field(file: h5py.File, path: Path) -> tuple[h5py.Dataset, str]:
    """The rain of the file, its shape and unit checked.

    Raises
    ------
    ReadError
        If the file holds classes only, or none of the rain products.
    UnitError
        If it is in another unit.
    """
    held = [name for name in file if isinstance(file.get(name), h5py.Dataset)]
    name = next((name for name in _QUANTITIES if name in held), None)
    if name is None:
        raise ReadError(
            "the file holds classes of rain only (crr), no rate" if "crr" in held else "the file holds no rain",
            where=f"{path}: {', '.join(held) or 'nothing'}",
            fix="ondee reads " + ", ".join(_QUANTITIES) + "; fetch the product that holds one of them",
        )
    node, quantity = file[name], _QUANTITIES[name]
    units = attribute(node, "units")
    if units is None or canonical(str(units)) != VOCABULARY[quantity].units:
        raise UnitError(
            f"{name} is in {units!r}; {quantity} in {VOCABULARY[quantity].units!r} is needed",
            where=path,
            fix="the file was changed by a tool; fetch it again",
        )
    if node.ndim not in (2, 3) or any(size != 1 for size in node.shape[:-2]) or 0 in node.shape:
        raise ReadError(
            f"{name} has shape {node.shape}; one image (ny, nx) is expected",
            where=path,
            fix="the file is damaged or of another product; fetch it again",
        )
    return node, quantity


def _values(node: h5py.Dataset, rows: slice, columns: slice) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Values in the unit of the file, NaN at its fill and outside its valid range; and how they were packed."""
    require_written(node, [attribute(node, "_FillValue")], where=f"{node.file.filename}, {node.name}")
    raw = node[(*(0,) * (node.ndim - 2), rows, columns)]
    scale, offset = float(attribute(node, "scale_factor", 1.0)), float(attribute(node, "add_offset", 0.0))
    fill, valid = attribute(node, "_FillValue"), node.attrs.get("valid_range")
    missing = np.zeros(raw.shape, dtype=bool) if fill is None else raw == fill
    if valid is not None and np.size(valid) == 2:
        low, high = np.asarray(valid).reshape(2)
        missing |= (raw < low) | (raw > high)
    values = (raw * scale + offset).astype(np.float32)
    values[missing] = np.nan
    if raw.dtype.kind not in "iu" or fill is None:
        return values, {}
    return values, {"dtype": str(raw.dtype), "scale_factor": scale, "add_offset": offset, "_FillValue": int(fill)}
