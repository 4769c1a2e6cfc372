"""Where retrieved rain goes: a CF zarr or NetCDF that is there whole or not at all, written block by block.

While the work goes on, ``NAME.parts`` holds a zarr that grows and a mark for each block of moments that is done; work
cut short goes on from there. At the end the zarr takes its name, or becomes a NetCDF.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from ondee.errors import ConfigError, StoreError
from ondee.grid import Grid
from ondee.output import check_target, disk_errors, whole
from ondee.retrieval.products import PRODUCTS, THRESHOLDS
from ondee.source.assembly import MEMBER

__all__ = ["Layout", "Parts", "check_out", "signature_of"]

_SIDE = 256
"""Rows and columns of a chunk."""
_BLOCK_BYTES = 64 * 2**20
_BLOCK_MOMENTS = 8
_NETCDF_BYTES = 4 * 2**30
"""Bytes of the largest variable from which a NetCDF is refused: it is written in one piece."""
_COPIES = 4
"""Copies of the members of a moment that are held on their way to the products and the file."""
_DATA, _DONE = "data.zarr", "done"


@dataclass(frozen=True)
class Layout:
    """Shape and contents of a retrieval.

    Parameters
    ----------
    grid
        Of the fields.
    times
        Starts of the intervals that the fields stand for, ``(n,)``.
    step
        Their length, min.
    members
        Number of members; 0 for a single field.
    minutes
        Age of each frame that the model looks at, min.
    products
        Names from :data:`~ondee.retrieval.products.PRODUCTS`.
    attributes
        Of the whole file, ``signature`` among them: all that its values depend on.
    """

    grid: Grid
    times: NDArray[np.datetime64]
    step: int
    members: int
    minutes: tuple[int, ...]
    products: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def block(self) -> int:
        """Moments that are written together: a shard."""
        return int(min(max(1, _BLOCK_BYTES // (4 * max(1, self.members) * self._cells)), _BLOCK_MOMENTS))

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First moment of each block, and one past its last."""
        count = len(self.times)
        return [(first, min(first + self.block, count)) for first in range(0, count, self.block)]

    @property
    def layers(self) -> dict[str, int]:
        """Variables and their layers: members, thresholds, or 0 for a single field."""
        sizes = {"member": self.members, "threshold": len(THRESHOLDS), "": 0}
        return {PRODUCTS[name].variable: sizes[PRODUCTS[name].layer] for name in self.products}

    @property
    def bytes(self) -> int:
        """Bytes of all variables before they are compressed."""
        return sum(4 * max(1, size) for size in self.layers.values()) * self._cells * len(self.times)

    @property
    def largest(self) -> int:
        """Bytes of the largest variable."""
        return 4 * max(1, *self.layers.values()) * self._cells * len(self.times)

    @property
    def _cells(self) -> int:
        return self.grid.ny * self.grid.nx


def check_out(out: str | Path, *, force: bool) -> Path:
    """Check where a retrieval is to go, before the work; what is there may be its own result.

    Raises
    ------
    ConfigError
        If the name ends otherwise than in ``.zarr`` or ``.nc``, or its folder cannot be written.
    """
    path = Path(out)
    if path.suffix.lower() == ".nc":
        return check_target(path, (".nc",), force=force or signature_of(path) is not None)
    if path.suffix.lower() != ".zarr":
        raise ConfigError(
            f"a file ending in {path.suffix or 'nothing'!r} cannot be written here",
            where=path,
            fix="end the name in .zarr or .nc",
        )
    if not path.parent.is_dir():
        raise ConfigError("the folder does not exist", where=path.parent, fix=f"mkdir -p {path.parent}")
    return path


def signature_of(path: Path) -> str | None:
    """Signature of a retrieval that is there; None if there is none."""
    if not path.exists():
        return None
    try:
        if path.is_dir():
            return str(json.loads((path / "zarr.json").read_text())["attributes"]["signature"])
        with xr.open_dataset(path, decode_cf=False) as held:
            return str(held.attrs["signature"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Parts:
    """A retrieval under way.

    Parameters
    ----------
    out
        What it will become.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.with_name(out.name + ".parts")
        self.data = self.folder / _DATA

    def begin(self, layout: Layout, *, force: bool) -> None:
        """Make it empty, or go on with what is there.

        Raises
        ------
        StoreError
            If another retrieval was begun there and `force` is not set, or the disk refuses.
        """
        wanted = layout.attributes["signature"]
        if self.folder.exists() and signature_of(self.data) not in (wanted, None) and not force:
            raise StoreError(
                "another retrieval was begun there and is not finished",
                where=self.folder,
                fix="repeat its command to finish it, choose another name for --out, or begin anew with --force",
            )
        with disk_errors(self.folder):
            if signature_of(self.data) != wanted:
                shutil.rmtree(self.folder, ignore_errors=True)
                draft = self.folder / "empty.zarr"
                (self.folder / _DONE).mkdir(parents=True)
                _write_empty(draft, layout)
                draft.replace(self.data)
            for left in self.data.rglob("*.partial"):
                left.unlink()

    def is_done(self, first: int) -> bool:
        """Whether the block that begins with this moment is written."""
        return self._mark(first).exists()

    def write(self, first: int, variables: Mapping[str, NDArray[Any]]) -> None:
        """Write a block of moments and mark it as done.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        with disk_errors(self.folder), self._damages():
            root = zarr.open_group(self.data, mode="r+")
            for name, values in variables.items():
                root[name][first : first + len(values)] = values  # type: ignore[index]
            self._mark(first).touch()

    def finish(self) -> None:
        """Give the result its name, in the place of what was there.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        with disk_errors(self.out):
            if self.out.suffix.lower() == ".nc":
                with self._damages():
                    self._write_netcdf()
            else:
                if self.out.exists():
                    shutil.rmtree(self.out)
                self.data.replace(self.out)
            shutil.rmtree(self.folder)

    def _write_netcdf(self) -> None:
        with xr.open_zarr(self.data, consolidated=False, chunks=None) as held:
            encoding: dict[str, Any] = {str(name): {"_FillValue": None} for name in held.coords}
            for name, variable in held.data_vars.items():
                # A fresh encoding: that of zarr means nothing to HDF5.
                packed = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
                real = variable.dtype.kind == "f"
                encoding[str(name)] = {**packed, "_FillValue": np.float32(np.nan)} if real else {"_FillValue": None}
            seconds = {"units": "seconds since 1970-01-01 00:00:00", "dtype": "int64"}
            encoding |= {"time": {**encoding["time"], **seconds}, "time_bounds": {**encoding["time_bounds"], **seconds}}
            bare = held.drop_encoding()
            with whole(self.out, force=True) as draft:
                bare.to_netcdf(draft, engine="h5netcdf", encoding=encoding)

    @contextmanager
    def _damages(self) -> Iterator[None]:
        """Tell what zarr makes of files that were damaged since they were begun."""
        try:
            yield
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            raise StoreError(
                f"the retrieval that was begun there is damaged: {_first(error)}",
                where=self.folder,
                fix="remove this folder: the retrieval then begins anew",
            ) from error

    def _mark(self, first: int) -> Path:
        return self.folder / _DONE / f"{first:08d}"


def refuse_large_netcdf(out: Path, layout: Layout) -> None:
    """Refuse a NetCDF that would not fit in memory.

    Raises
    ------
    ConfigError
        If its largest variable is larger than 4 GiB.
    """
    if out.suffix.lower() == ".nc" and layout.largest > _NETCDF_BYTES:
        raise ConfigError(
            f"a NetCDF with a variable of {layout.largest / 2**30:.1f} GiB would be written in one piece",
            where=out,
            fix="end the name in .zarr, which is written block by block, or narrow --start and --end",
        )


def refuse_large_moments(layout: Layout, processes: int) -> None:
    """Refuse members that would not fit in memory: those of a moment are held together.

    Raises
    ------
    ConfigError
        If this machine has less memory than they take.
    """
    needed = _COPIES * layout.members * 4 * layout.grid.ny * layout.grid.nx
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed * processes <= there:
        return
    some = there * layout.members // (needed * processes)
    each = f" in each of {processes} processes" if processes > 1 else ""
    raise ConfigError(
        f"{layout.members} members of a moment take {needed / 2**30:.1f} GiB{each}; this machine has "
        f"{there / 2**30:.1f} GiB",
        where=f"--members {layout.members}, {layout.grid.describe()}",
        fix=f"ask for at most {some} members" if some else "use fewer --workers, or a store of a smaller region",
    )


def _write_empty(path: Path, layout: Layout) -> None:
    """Metadata and coordinates, the variables empty."""
    served = ["crs", "time_bounds"]
    attributes = {"Conventions": "CF-1.11", **layout.attributes, "coordinates": " ".join(served)}
    root = zarr.create_group(path, zarr_format=3, attributes=attributes)
    clock = {"units": "seconds since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian"}
    stamp = {**clock, "standard_name": "time", "axis": "T", "bounds": "time_bounds", "label": "start"}
    _coordinate(root, "time", _seconds(layout.times), ("time",), stamp)
    bounds = np.stack([_seconds(layout.times), _seconds(layout.times) + 60 * layout.step], axis=1)
    _coordinate(root, "time_bounds", bounds, ("time", "bounds"), clock)
    for name, array in layout.grid.coordinates().items():
        _coordinate(root, name, array.values, tuple(map(str, array.dims)), dict(array.attrs))
    layers = {PRODUCTS[name].layer for name in layout.products}
    if "member" in layers and layout.members:
        _coordinate(root, "member", np.arange(layout.members, dtype=np.int64), ("member",), MEMBER)
    if "threshold" in layers:
        words = {"standard_name": "lwe_precipitation_rate", "long_name": "threshold", "units": "mm h-1"}
        _coordinate(root, "threshold", np.array(THRESHOLDS), ("threshold",), words)
    ages = {"long_name": "age of the frame before the newest one", "units": "min"}
    _coordinate(root, "frame", np.array(layout.minutes, np.int64), ("frame",), ages)
    seen: dict[str, Any] = {
        "long_name": "whether the frame was there",
        "flag_values": [0, 1],
        "flag_meanings": "no yes",
    }
    root.create_array(
        "frames_seen",
        shape=(len(layout.times), len(layout.minutes)),
        chunks=(layout.block, len(layout.minutes)),
        dtype=np.int8,
        fill_value=0,
        dimension_names=("time", "frame"),
        attributes=seen,
    )
    for name in layout.products:
        _empty_variable(root, layout, name)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _seconds(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return times.astype("datetime64[s]").astype(np.int64)


def _coordinate(
    root: zarr.Group, name: str, values: NDArray[Any], dims: tuple[str, ...], attributes: Mapping[str, Any]
) -> None:
    root.create_array(name, data=np.asarray(values), dimension_names=dims, attributes=dict(attributes))


def _empty_variable(root: zarr.Group, layout: Layout, name: str) -> None:
    product, ny, nx = PRODUCTS[name], layout.grid.ny, layout.grid.nx
    rows, columns = min(ny, _SIDE), min(nx, _SIDE)
    size = layout.layers[product.variable]
    middle = (size,) if size else ()
    root.create_array(
        product.variable,
        shape=(len(layout.times), *middle, ny, nx),
        shards=(layout.block, *middle, -(-ny // rows) * rows, -(-nx // columns) * columns),
        chunks=(1, *middle, rows, columns),
        dtype=np.float32,
        fill_value=np.float32(np.nan),
        compressors=ZstdCodec(level=5),
        dimension_names=("time", *((product.layer,) if size else ()), "y", "x"),
        attributes=product.described,
    )
