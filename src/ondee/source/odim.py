"""ODIM_H5 radar composites: OPERA's three generations, Météo-France's mosaics, and any that follows the format.

The format is EUMETNET OPERA's data information model, ODIM_H5. Where an attribute stands (``data1/what``,
``dataset1/what`` or ``what``) differs from producer to producer; the nearest group that has it wins. *nodata*
(no radar looked) becomes NaN; *undetect* (a radar looked and saw nothing) becomes 0 for rain and
:data:`NO_ECHO` for reflectivity. The two are never confused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyproj
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.grid import LATITUDE_LONGITUDE, Grid, Region, transformer
from ondee.source.assembly import Label, Variable, assemble, nanoseconds
from ondee.source.hdf5 import MAGIC, attribute, opened, tells
from ondee.source.odim_field import NO_ECHO, QUANTITIES, Field, choose, decode, fields_of, inherited, quality_of
from ondee.units import tag, to_rate

__all__ = ["FORMAT", "NO_ECHO", "QUANTITIES", "Odim"]

_CORNERS = ("UL", "UR", "LL", "LR")
_AROUND = np.timedelta64(1, "h")
"""How far outside its interval a nominal time may lie: services round it."""


class Odim:
    """Reader of ODIM_H5 composites (objects COMP and IMAGE)."""

    name = "odim"
    long = False
    options: Mapping[str, str] = {
        "quantity": "which quantity to read: RATE, ACRR, DBZH or TH; default the first of these that is there",
        "dataset": "number N of the group datasetN, where a file holds the quantity more than once",
        "as_rate": "True turns ACRR (mm) into a mean rate (mm/h) over its interval",
        "z_r": "(a, b) of Z = a R^b, for example (200, 1.6), turns DBZH into a rain rate",
        "corner_tolerance": "largest departure of the file's corners from its grid, in cells; default 0.02",
    }

    def recognise(self, path: Path, head: bytes) -> bool:
        """Whether the file is HDF5 and calls itself ODIM."""
        return head.startswith(MAGIC) and tells(path, _is_odim)

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Take each file by itself."""
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Nominal time of the file: ``what/date`` and ``what/time``."""
        with opened(paths[0]) as file:
            return nanoseconds([_nominal(file, paths[0])], where=paths[0])

    def read(
        self,
        paths: tuple[Path, ...],
        *,
        region: Region | None = None,
        quantity: str | None = None,
        dataset: int | None = None,
        as_rate: bool = False,
        z_r: tuple[float, float] | None = None,
        corner_tolerance: float = 0.02,
        **options: Any,
    ) -> xr.Dataset:
        """Read one composite.

        Parameters
        ----------
        paths
            One file.
        region
            West, south, east, north in degrees; only the cells that touch it are read.
        quantity, dataset, as_rate, z_r, corner_tolerance
            See :attr:`options`.
        **options
            None are known.

        Returns
        -------
        xarray.Dataset
            ``rain_rate`` (mm h-1), ``rain_amount`` (mm) or ``reflectivity`` (dBZ), and ``quality`` (0–1) where the
            file has one; all ``(time=1, y, x)``. Quality is NaN where the quantity is: NIMBUS writes 0 there, which
            is no judgement of an observation. ``time`` is the file's nominal time, ``time_bounds`` its start and end;
            equal bounds are a snapshot, labelled ``"centre"``.

        Raises
        ------
        ReadError
            If the file is damaged, not a composite, lacks the quantity, or its corners contradict its grid.
        ConfigError
            If an option cannot be used.
        """
        (path,) = paths
        _check_options(quantity, options)
        with opened(path) as file:
            held = list(fields_of(file))
            chosen = choose(held, quantity, dataset, path)
            quality = quality_of(chosen, held)
            stamp = _nominal(file, path)
            bounds = _interval(chosen, path)
            _check_nominal(stamp, bounds, path)
            grid = _grid(chosen, corner_tolerance, path)
            rows, columns = slice(None), slice(None)
            if region is not None:
                rows, columns = grid.window(region, where=path)
            main = decode(chosen, grid, rows, columns, path)
            name, variable = QUANTITIES[chosen.quantity], main
            if z_r is not None:
                name, variable = _rate_from_reflectivity(name, main, z_r, path)
            elif as_rate:
                name, variable = _rate_from_amount(name, main, bounds, path)
            variables = {name: variable}
            if quality is not None:
                found = decode(quality, grid, rows, columns, path, quality=True)
                found.values[np.isnan(main.values)] = np.nan
                variables["quality"] = found
            product = _product(file, chosen, path)
            conventions = str(attribute(file, "Conventions", ""))
            source = str(chosen.what("source") or "")
        return assemble(
            variables,
            grid.crop(rows, columns),
            [stamp],
            [bounds],
            label=_label(stamp, bounds),
            product=product,
            where=path,
            odim_version=conventions,
            source=source,
        )


FORMAT = Odim()


def _is_odim(file: h5py.File) -> bool:
    """Whether the file calls itself ODIM, by its conventions or by the version of its ``what``."""
    if str(attribute(file, "Conventions", "")).startswith("ODIM_H5"):
        return True
    return "what" in file and str(attribute(file["what"], "version", "")).startswith("H5rad")


def _product(file: h5py.File, field: Field, path: Path) -> str:
    """Name the product from what the file says of itself."""
    source, title = str(field.what("source") or ""), str(field.what("prodname") or "").upper()
    if re.search(r"\bORG:247\b", source):
        known = next((name for name in ("NIMBUS", "CIRRUS", "ODYSSEY") if name in title), None)
        if known is None:
            old = str(attribute(file, "Conventions", "")) in ("ODIM_H5/V2_0", "ODIM_H5/V2_1", "ODIM_H5/V2_2")
            known = "ODYSSEY" if old else "CIRRUS" if field.what("product") == "MAX" else "NIMBUS"
        return f"OPERA {known}"
    if re.search(r"\bORG:0?85\b", source) or "metropole" in source or path.name.startswith("T_IPRN"):
        return "Météo-France mosaic"
    return "ODIM composite"


# ---- time


def _moment(date: Any, time: Any, what: str, path: Path) -> np.datetime64:
    """YYYYMMDD and HHMMSS as a moment in UTC."""
    text = f"{date} {time}"
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d) (\d\d)(\d\d)(\d\d)", text)
    try:
        if match is None:
            raise ValueError(text)
        year, month, day, hour, minute, second = match.groups()
        return np.datetime64(f"{year}-{month}-{day}T{hour}:{minute}:{second}", "s")
    except ValueError as error:
        raise ReadError(
            f"the {what} {text!r} is no date and time",
            where=path,
            fix="ODIM writes YYYYMMDD and HHMMSS; the file is damaged or does not follow it",
        ) from error


def _nominal(file: h5py.File, path: Path) -> np.datetime64:
    what = file["what"]
    return _moment(attribute(what, "date"), attribute(what, "time"), "nominal time", path)


def _interval(field: Field, path: Path) -> tuple[np.datetime64, np.datetime64]:
    start = _moment(field.what("startdate"), field.what("starttime"), "start", path)
    end = _moment(field.what("enddate"), field.what("endtime"), "end", path)
    return start, end


def _check_nominal(stamp: np.datetime64, bounds: tuple[np.datetime64, np.datetime64], path: Path) -> None:
    """Refuse a nominal time that is far from what the array stands for, and an end before its start."""
    start, end = bounds
    if not (start <= end and start - _AROUND <= stamp <= end + _AROUND):
        raise ReadError(
            f"the nominal time is {stamp.astype('M8[s]')}, but the data are from {start.astype('M8[s]')} "
            f"to {end.astype('M8[s]')}",
            where=path,
            fix="the file is damaged or wrongly stamped; fetch it again",
        )


def _label(stamp: np.datetime64, bounds: tuple[np.datetime64, np.datetime64]) -> Label:
    """Which moment of its interval the nominal time names; ``"unknown"`` where it is none of the three."""
    start, end = bounds
    if stamp - start == end - stamp:
        return "centre"
    return "end" if stamp == end else "start" if stamp == start else "unknown"


# ---- space


def _grid(field: Field, tolerance: float, path: Path) -> Grid:
    """Grid from the projection, the size and the four corners, which are outer edges of the corner cells.

    Corners are snapped to whole multiples of the cell size from the projection's false origin if they lie
    within `tolerance` of one (NIMBUS rounds them by 2.5 m); then all four must lie within `tolerance` of the grid.
    """
    where = {
        name: inherited(field.lineage, "where", name) for name in ("projdef", "xsize", "ysize", "xscale", "yscale")
    }
    corners = [
        tuple(inherited(field.lineage, "where", f"{corner}_{axis}") for axis in ("lon", "lat")) for corner in _CORNERS
    ]
    absent = [name for name, value in where.items() if value is None]
    if absent or any(None in corner for corner in corners):
        raise ReadError(
            f"where/{absent[0] if absent else 'UL_lon … LR_lat'} is missing",
            where=path,
            fix="the file does not follow ODIM_H5 (table of 'where' for composites); fetch it again",
        )
    projection = str(where["projdef"])
    if not (0 < float(where["xscale"]) < np.inf and 0 < float(where["yscale"]) < np.inf):
        raise ReadError(
            "where/xscale and yscale are no lengths",
            where=path,
            fix="the file is damaged; fetch it again",
        )
    nx, ny = int(where["xsize"]), int(where["ysize"])
    dx, dy = float(where["xscale"]), float(where["yscale"])
    longitude, latitude = np.array(corners, dtype=np.float64).T
    try:
        x, y = transformer(LATITUDE_LONGITUDE, projection).transform(longitude, latitude)
    except pyproj.exceptions.ProjError as error:
        raise ReadError(
            f"the projection {projection!r} is not understood", where=path, fix="where/projdef must be a PROJ string"
        ) from error
    if not np.isfinite([x, y]).all():
        raise ReadError(
            "a corner of the grid lies nowhere in its projection",
            where=path,
            fix="where/projdef or the corners are damaged; fetch the file again",
        )
    wests = x - np.array([0, nx, 0, nx]) * dx
    norths = y + np.array([0, 0, ny, ny]) * dy
    west, north = _snapped(wests, dx, tolerance), _snapped(norths, dy, tolerance)
    departure = max(np.abs(wests - west).max() / dx, np.abs(norths - north).max() / dy)
    if not departure <= tolerance:
        raise ReadError(
            f"the corners depart by {departure:.3g} cells from a grid of {ny} x {nx} cells of {dy:g} x {dx:g} m",
            where=path,
            fix="the corners are damaged, or rounded: corner_tolerance=… admits that much",
        )
    return Grid(projection, west, north, dx, dy, nx, ny)


def _snapped(edges: NDArray[np.float64], step: float, tolerance: float) -> float:
    """Find the edge that four corners agree on, on a multiple of the step if one is near."""
    middle = float(np.median(edges))
    whole = round(middle / step) * step if np.isfinite(middle) else middle
    return whole + 0.0 if abs(whole - middle) <= tolerance * step else middle


# ---- conversions


def _rate_from_reflectivity(
    name: str, variable: Variable, z_r: tuple[float, float], path: Path
) -> tuple[str, Variable]:
    """Rain rate of Z = a R^b (Marshall and Palmer 1948: a = 200, b = 1.6); no echo is 0 mm h-1."""
    if name != "reflectivity":
        raise ConfigError(
            f"z_r turns reflectivity into rain; the quantity read is {name}",
            where=path,
            fix='leave z_r out, or give quantity="DBZH" where the file holds it',
        )
    a, b = (float(value) for value in z_r)
    decibel = variable.values.astype(np.float64)
    rate = ((10.0 ** (decibel / 10.0) / a) ** (1.0 / b)).astype(np.float32)
    rate[variable.values == np.float32(NO_ECHO)] = 0.0
    kept = {key: value for key, value in variable.attributes.items() if key != "comment"}
    return "rain_rate", Variable(rate, {}, {**kept, "z_r": [a, b]})


def _rate_from_amount(
    name: str, variable: Variable, bounds: tuple[np.datetime64, np.datetime64], path: Path
) -> tuple[str, Variable]:
    """Mean rain rate of an amount over its interval."""
    if name != "rain_amount":
        raise ConfigError(
            f"as_rate turns an amount into a rate; the quantity read is {name}",
            where=path,
            fix='leave as_rate out, or give quantity="ACRR" where the file holds it',
        )
    if not bounds[0] < bounds[1]:
        raise ReadError(
            "the accumulation starts and ends at the same time", where=path, fix="leave as_rate out to read mm"
        )
    amount = tag(xr.DataArray(variable.values, dims=("time", "y", "x")), "rain_amount")
    limits = xr.DataArray(np.array([bounds]), dims=("time", "bounds"))
    packing = dict(variable.packing)
    hours = float((bounds[1] - bounds[0]) / np.timedelta64(1, "h"))
    for key in ("scale_factor", "add_offset"):
        if key in packing:
            packing[key] = packing[key] / hours
    rate = to_rate(amount, limits).values.astype(np.float32)
    return "rain_rate", Variable(rate, packing, variable.attributes)


def _check_options(quantity: str | None, options: Mapping[str, Any]) -> None:
    if options:
        raise ConfigError(
            f"the odim reader has no option {next(iter(options))!r}",
            where="options of odim",
            fix="its options are: " + ", ".join(Odim.options),
        )
    if quantity is not None and quantity not in QUANTITIES:
        raise ConfigError(
            f"{quantity!r} is no quantity that ondee reads",
            where="quantity",
            fix="use one of: " + ", ".join(QUANTITIES),
        )
