"""SEVIRI and radar patches of the LATMOS team: ``sevmos_YYYY-MM-DD_HH:MM:SS[_box].npy`` or ``.nc``.

Seven SEVIRI channels in K, ``rain_rate`` in mm/h and ``rain_quality`` in 0–100 on one grid, the radar's.
The team's ``.npy`` files are pickled dictionaries of 2-D arrays; they pass a restricted unpickler that
executes nothing. A stack of nine layers in the order below and structured arrays are read too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, OndeeError, ReadError
from ondee.grid import LOCAL, Grid, Region
from ondee.source import cf, cf_grid, cf_variables
from ondee.source.assembly import Variable, assemble, nanoseconds, time_bounds
from ondee.source.granule import Format
from ondee.source.pickles import unpickle_mapping
from ondee.units import VOCABULARY

__all__ = ["CHANNELS", "FORMAT"]

CHANNELS = ("WV_062", "WV_073", "IR_087", "IR_097", "IR_108", "IR_120", "IR_134")
"""The channels, in the order of a stack; ``rain_rate`` and ``rain_quality`` follow them."""
_LAYERS = (*CHANNELS, "rain_rate", "rain_quality")
_NAME = re.compile(
    r"sevmos_(?P<day>\d{4}-\d{2}-\d{2})_(?P<hour>\d{2})[:_-](?P<minute>\d{2})[:_-](?P<second>\d{2})"
    r"(?:_(?P<box>[^.]+))?\.(?:npy|nc)"
)
_CELL = 1000.0
"""Nominal size of a cell in m: that of the radar mosaic, which the files do not state."""
_MINUTES = 5
_PLACE_UNKNOWN = "position unknown; cells of nominally {:g} m; row 0 is taken for north, which the file does not say"


class _Patches:
    """The format ``patches``."""

    name = "patches"
    long = False
    options: Mapping[str, str] = MappingProxyType(
        {
            "cell": "size of a cell in m, where the file does not tell (1000, that of the radar mosaic)",
            "crs": "coordinate reference system, where the file does not tell and the patch is known to lie somewhere",
            "west": "outer edge of the first column in m of crs",
            "north": "outer edge of the first row in m of crs",
        }
    )

    def recognise(self, path: Path, head: bytes) -> bool:
        """The team's file names."""
        return _NAME.fullmatch(path.name) is not None

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Every file is one moment."""
        return [(path,) for path in paths]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """The time in the name."""
        return nanoseconds([_named(paths[0])[0]], where=paths[0])

    def read(self, paths: tuple[Path, ...], *, region: Region | None = None, **options: Any) -> xr.Dataset:
        """Read one patch."""
        (path,) = paths
        stamp, box = _named(path)
        cell = float(options.get("cell", _CELL))
        placement = cf_grid.Placement(options.get("crs"), options.get("west"), options.get("north"))
        placement.check(path)
        if path.suffix == ".nc":
            variables, grid = _netcdf(path, placement, cell)
        else:
            variables = _variables(_arrays(path), path)
            grid = _nominal(variables, placement, cell, path)
        if region is not None:
            variables, grid = _cropped(variables, grid, grid.window(region, where=path))
        return assemble(
            variables,
            grid,
            [stamp],
            time_bounds([stamp], _MINUTES, "unknown"),
            label="unknown",
            product=f"LATMOS sevmos {'box ' + box if box else 'full'}",
            where=path,
            channels=CHANNELS,
            grid_comment=_PLACE_UNKNOWN.format(cell) if grid.is_local else "",
            time_comment="the files do not say whether the name tells the start or the end of the 5 minutes",
        )


FORMAT: Format = _Patches()


def _named(path: Path) -> tuple[np.datetime64, str]:
    """Time and box in a name.

    Raises
    ------
    ReadError
        If it is not one of the team's, or its time is none.
    """
    found = _NAME.fullmatch(path.name)
    try:
        if found is None:
            raise ValueError(path.name)
        stamp = np.datetime64(f"{found['day']}T{found['hour']}:{found['minute']}:{found['second']}", "s")
    except ValueError as error:
        raise ReadError(
            "the name tells no time",
            where=path,
            fix="name the file sevmos_YYYY-MM-DD_HH:MM:SS.npy, or …_<box>.npy for a part",
        ) from error
    return stamp, found["box"] or ""


# ---- numpy files


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Layers of a ``.npy`` file by name: of a pickled dictionary, a structured array, or a stack.

    Raises
    ------
    ReadError
        If the file is damaged, or is none of these.
    """
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            parse = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                parse = np.lib.format.read_array_header_2_0
            shape, fortran, dtype = parse(stream)
            content = stream.read()
        if dtype.hasobject:
            return unpickle_mapping(content, where=path)
        if len(content) != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
            raise ValueError(f"its header promises {shape}, its content is of another length")
        array = np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    except OndeeError:
        raise
    except Exception as error:  # NumPy raises nearly anything on a damaged header
        raise ReadError(
            f"the file cannot be read: {(str(error).splitlines() or [type(error).__name__])[0]}",
            where=path,
            fix="the file is cut, damaged or no .npy; fetch it again",
        ) from error
    if dtype.names is not None:
        return {name: array[name] for name in dtype.names}
    return _unstacked(array, path)


def _unstacked(array: NDArray[Any], path: Path) -> dict[str, NDArray[Any]]:
    """Layers of ``(9, y, x)`` or ``(y, x, 9)``, in the order of :data:`CHANNELS` as far as their values can tell."""
    if array.ndim != 3 or len(_LAYERS) not in (array.shape[0], array.shape[-1]) or array.dtype.kind not in "iuf":
        raise ReadError(
            f"the array has shape {array.shape}",
            where=path,
            fix=f"it must be (9, y, x) or (y, x, 9), in the order {', '.join(_LAYERS)}; or a dictionary of these",
        )
    stack = array if array.shape[0] == len(_LAYERS) else np.moveaxis(array, -1, 0)
    layers = dict(zip(_LAYERS, stack, strict=True))
    low, high = VOCABULARY["brightness_temperature"].plausible
    for name in CHANNELS:
        known = layers[name][np.isfinite(layers[name])]
        if known.size and not low <= np.median(known) <= high:
            raise ReadError(
                f"the layer of {name} holds no temperatures in K: its median is {np.median(known):.4g}",
                where=path,
                fix="stack the layers in the order " + ", ".join(_LAYERS),
            )
    return layers


def _variables(layers: Mapping[str, NDArray[Any]], path: Path) -> dict[str, Variable]:
    """Quantities of the layers: temperatures must be whole, rain and quality may be absent."""
    plain = {name: layers[name] for name in _LAYERS if name in layers}
    absent = [name for name in CHANNELS if name not in plain]
    shapes = {layer.shape for layer in plain.values()}
    if absent or len(shapes) != 1 or any(layer.dtype.kind not in "iuf" or layer.ndim != 2 for layer in plain.values()):
        raise ReadError(
            "there is no " + ", ".join(absent) if absent else "the layers are not numbers on one 2-D grid",
            where=f"{path}: {', '.join(f'{name} {np.shape(layer)}' for name, layer in layers.items())}",
            fix="the file must hold " + ", ".join(_LAYERS) + ", each (y, x)",
        )
    temperatures = np.stack([plain[name] for name in CHANNELS]).astype(np.float32)
    variables = {"brightness_temperature": Variable(temperatures[None])}
    if "rain_rate" in plain:
        variables["rain_rate"] = Variable(plain["rain_rate"].astype(np.float32)[None])
    if "rain_quality" in plain:
        variables["quality"] = _quality(plain["rain_quality"].astype(np.float32)[None])
    return variables


def _quality(percent: NDArray[np.float32]) -> Variable:
    """Quality 0–1 from 0–100; anything else says that nothing was observed."""
    values = np.where((percent >= 0) & (percent <= 100), percent / np.float32(100), np.float32(np.nan))
    return Variable(values, attributes={"comment": "rain_quality of the file, divided by 100"})


def _nominal(variables: Mapping[str, Variable], placement: cf_grid.Placement, cell: float, path: Path) -> Grid:
    """The grid of a file that does not tell: a local plane, or where the user says."""
    ny, nx = next(iter(variables.values())).values.shape[-2:]
    if not cell > 0:
        raise ConfigError(f"a cell of {cell:g} m has no size", where=path, fix="give cell in m, such as cell=1000")
    if placement.crs is None:
        return Grid(LOCAL, 0.0, ny * cell, cell, cell, nx, ny)
    if placement.west is None or placement.north is None:
        raise ConfigError(
            "a crs alone does not place a patch",
            where=path,
            fix="give crs, west and north together, in m of crs, outer edges",
        )
    return Grid(placement.crs, placement.west, placement.north, cell, cell, nx, ny)


def _cropped(
    variables: Mapping[str, Variable], grid: Grid, window: tuple[slice, slice]
) -> tuple[dict[str, Variable], Grid]:
    """The part of a patch in a window."""
    rows, columns = window
    cut = {
        name: Variable(variable.values[..., rows, columns], variable.packing, variable.attributes)
        for name, variable in variables.items()
    }
    return cut, grid.crop(rows, columns)


# ---- NetCDF files


def _netcdf(path: Path, placement: cf_grid.Placement, cell: float) -> tuple[dict[str, Variable], Grid]:
    """Quantities and grid of a ``.nc`` file: fills, valid ranges and units as it states them."""
    with cf.opened(path) as file:
        held = [name for name in _LAYERS if name in file.variables]
        dims = {name: tuple(str(dim) for dim in file[name].dims if file.sizes[dim] > 1) for name in held}
        if not held or any(len(each) != 2 for each in dims.values()):
            raise ReadError(
                "the file holds no 2-D layers of a patch",
                where=f"{path}: {', '.join(map(str, file.variables))}",
                fix="the file must hold " + ", ".join(_LAYERS) + ", each (y, x)",
            )
        y, x = _axes(dims[held[0]], file)
        layers = {name: _layer(file[name].variable, name, dims[name], (y, x), path) for name in held}
        try:
            place = cf_grid.layout(file, y, x, held, placement, where=path)
        except ReadError:
            if placement.crs is not None or any(_tells_place(variable) for variable in file.variables.values()):
                raise
            place = None
    if place is not None:
        layers = {name: place.north_up(layer) for name, layer in layers.items()}
    variables = _variables(layers, path)
    return variables, place.grid if place is not None else _nominal(variables, placement, cell, path)


def _axes(dims: tuple[str, ...], file: xr.Dataset) -> tuple[str, str]:
    """Which dimension runs along y and which along x: by name and attributes, else in this order."""
    kinds = [cf_grid.axis_of(dim, file.variables.get(dim)) for dim in dims]
    return (dims[1], dims[0]) if kinds == ["x", "y"] else (dims[0], dims[1])


def _layer(
    variable: xr.Variable, name: str, dims: tuple[str, ...], order: tuple[str, str], path: Path
) -> NDArray[np.float32]:
    """One layer ``(y, x)``, NaN where the file says fill or invalid."""
    if set(dims) != set(order):
        raise ReadError(
            f"{name} lies on {dims}, the other layers on {order}",
            where=path,
            fix="put all layers of the patch on the same dimensions",
        )
    quantity = {"rain_rate": "rain_rate", "rain_quality": "quality"}.get(name, "brightness_temperature")
    units = VOCABULARY[quantity].units if quantity == "quality" or "units" not in variable.attrs else None
    single = {dim: 0 for dim in variable.dims if dim not in order}
    raw = np.asarray(variable.isel(single).transpose(*order).values)
    layer: NDArray[np.float32] = cf_variables.decoded(
        raw[None], variable.attrs, quantity, units=units, where=f"{path}, {name}"
    ).values[0]
    return layer


def _tells_place(variable: xr.Variable) -> bool:
    """Whether a variable is a coordinate with a unit: a place that cannot be understood is no unknown place."""
    return str(variable.attrs.get("units", "")).lower() in ("degrees_north", "degrees_east", "m", "km", "rad")
