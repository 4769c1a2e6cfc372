"""SEVIRI of Meteosat Second Generation: native, HRIT and NetCDF level 1.5 through satpy, and CF NetCDF.

Rows of the level-1.5 image run from south to north and columns from east to west; every Dataset out of here is
turned to north-up and west-left with its coordinates. A time is the nominal start of a repeat cycle (15 min, rapid
scan 5 min); when a line was truly seen stands in ``scan_offset(time, y)``, seconds after it: Europe is seen about
10 min after the nominal start of a full scan.

Calibration and position are satpy's, which follows EUMETSAT's MSG Level 1.5 Image Data Format Description; names
of HRIT files are those of real segments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.grid import Grid, Region
from ondee.source import cf
from ondee.source.assembly import Variable, assemble, nanoseconds
from ondee.source.granule import Format
from ondee.source.hdf5 import MAGIC, tells
from ondee.source.seviri_image import REFLECTIVE, THERMAL, Part, Reader, image, require_whole
from ondee.source.seviri_netcdf import PACKING, read_netcdf, write

__all__ = ["FORMAT", "PACKING", "REFLECTIVE", "SEVIRI", "THERMAL", "read", "write"]

_HRIT = re.compile(
    r"[HL]-000-.{6}-(?P<platform>.{4})_(?P<service>.{7})-(?P<content>.{9})-(?P<part>.{9})-(?P<time>\d{12})-(?P<flag>.{2})$"
)
_NATIVE = re.compile(r"MSG\d-SEVI-MSG15-.*\.nat$")
_NATIVE_HEAD = b"FormatName                  : NATIVE"
_LEVEL15_NETCDF = re.compile(r"W_XX-EUMETSAT-Darmstadt,VIS\+IR\+HRV\+IMAGERY,.*SEVIRI_C_EUMG_\d{14}\.nc$")
_CHANNELS = frozenset((*THERMAL, *REFLECTIVE))


class SEVIRI:
    """The format: images of SEVIRI."""

    name = "seviri"
    long = False
    options: Mapping[str, str] = {
        "channels": "names of the channels, e.g. ('WV_062', 'IR_108', 'VIS006'); all thermal ones if not given",
        "calibration": "nominal, GSICS or meirink-2023 (native and HRIT only)",
        "mask_bad_lines": "whether lines marked as bad become missing (HRIT, NetCDF: yes if not given; never native)",
    }

    def recognise(self, path: Path, head: bytes) -> bool:
        """Know native files by name or header, HRIT and level-1.5 NetCDF by name, other NetCDF by its channels."""
        if path.is_dir():
            return False
        if _reader(path) is not None or head.startswith(_NATIVE_HEAD):
            return True
        return head.startswith(MAGIC) and tells(path, _holds_channels)

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Group the segments, channels, prologue and epilogue of one HRIT slot; all else stands alone."""
        slots: dict[tuple[str, ...], list[Path]] = {}
        for path in paths:
            match = _HRIT.match(path.name)
            key = (match["platform"], match["service"], match["time"]) if match else (str(path),)
            slots.setdefault(key, []).append(path)
        return [tuple(sorted(group)) for group in slots.values()]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Nominal starts: of HRIT from the name, of the others from the header."""
        match = _HRIT.match(paths[0].name)
        if match:
            return nanoseconds([_slot(match["time"], paths[0])], where=paths[0])
        reader = _reader_of(paths[0])
        if reader is None:
            return cf.FORMAT.times(paths)
        with image(paths, reader, None) as part:
            return np.array([part.start])

    def read(self, paths: tuple[Path, ...], *, region: Region | None = None, **options: Any) -> xr.Dataset:
        """Read one group; see :func:`read`."""
        return read(paths, region=region, **options)


FORMAT: Format = SEVIRI()


def read(
    paths: tuple[Path, ...],
    *,
    region: Region | None = None,
    channels: Sequence[str] | str | None = None,
    calibration: str = "nominal",
    mask_bad_lines: bool | None = None,
) -> xr.Dataset:
    """Read one image, or one NetCDF of many; only the lines and columns of the region are computed.

    Parameters
    ----------
    paths
        The files of one group.
    region
        West, south, east, north in degrees.
    channels, calibration, mask_bad_lines
        The options of the format.

    Returns
    -------
    xarray.Dataset
        ``brightness_temperature(time, channel, y, x)`` in K; ``reflectance`` (fraction, not divided by the cosine
        of the sun's zenith angle) if a reflective channel was asked for, each NaN in the channels of the other;
        ``scan_offset(time, y)`` in s. The Grid covers the segments from the first to the last that is there;
        what is absent between them is NaN.

    Raises
    ------
    ConfigError
        If satpy is not installed or an option cannot be used.
    ReadError
        If a file is missing or damaged, or a channel is not there.
    """
    chosen = _checked(channels, paths[0])
    if _HRIT.match(paths[0].name):
        return _read_hrit(paths, region, chosen, calibration, mask_bad_lines)
    reader = _reader_of(paths[0])
    if reader is None:
        return read_netcdf(paths[0], region, chosen, calibration, mask_bad_lines)
    with image(paths, reader, chosen, calibration=calibration, mask_bad_lines=mask_bad_lines) as part:
        grid = part.place.grid
        rows, columns = _window(grid, region, paths[0])
        canvas = _Canvas(tuple(part.arrays), grid.crop(rows, columns))
        canvas.paint(part, rows, columns, 0)
        return canvas.dataset(part, calibration, paths[0])


# ---- recognising


def _reader(path: Path) -> Reader | None:
    """Satpy's reader of a file, by its name; None for a NetCDF of brightness temperatures."""
    if _HRIT.match(path.name):
        return "seviri_l1b_hrit"
    if _NATIVE.match(path.name):
        return "seviri_l1b_native"
    return "seviri_l1b_nc" if _LEVEL15_NETCDF.match(path.name) else None


def _reader_of(path: Path) -> Reader | None:
    """As :func:`_reader`, for a file that may be a native one under another name, which satpy would not take."""
    found = _reader(path)
    if found is not None:
        return found
    try:
        with path.open("rb") as stream:
            renamed = stream.read(len(_NATIVE_HEAD)) == _NATIVE_HEAD
    except OSError as error:
        raise ReadError(
            f"the file cannot be opened: {error.strerror}", where=path, fix="check the path and its permissions"
        ) from error
    if renamed:
        raise ReadError(
            "this native SEVIRI file was renamed; satpy knows it by its name only",
            where=path,
            fix="give it back its name, MSG4-SEVI-MSG15-0100-NA-YYYYMMDDhhmmss.mmm000000Z-….nat",
        )
    return None


def _holds_channels(file: h5py.File) -> bool:
    """Whether an HDF5 file has a 4-D variable and a channel coordinate that names channels of SEVIRI only."""
    if "channel" not in file or not any(isinstance(node, h5py.Dataset) and node.ndim == 4 for node in file.values()):
        return False
    names = {name.decode() if isinstance(name, bytes) else str(name) for name in file["channel"][...].ravel()}
    return bool(names) and names <= _CHANNELS


def _slot(text: str, path: Path) -> np.datetime64:
    """Nominal start of a slot from the name of an HRIT file."""
    try:
        return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:]}", "s")
    except ValueError as error:
        raise ReadError(
            f"{text} in the name of the file is no time", where=path, fix="give the file back its own name"
        ) from error


def _checked(channels: Sequence[str] | str | None, where: object) -> tuple[str, ...] | None:
    """Channels that the user asks for, refused if SEVIRI has no such channel at 3 km."""
    if channels is None:
        return None
    names = (channels,) if isinstance(channels, str) else tuple(channels)
    wrong = [name for name in names if name not in _CHANNELS]
    if wrong or not names or len(set(names)) < len(names):
        what = f"{wrong[0]!r} is no channel of SEVIRI at 3 km" if wrong else "channels are none, or one comes twice"
        raise ConfigError(what, where=where, fix="choose among " + ", ".join((*THERMAL, *REFLECTIVE)))
    return names


# ---- putting images together


class _Canvas:
    """The arrays of one image, filled from its parts; what no part covers stays missing."""

    def __init__(self, channels: Sequence[str], grid: Grid) -> None:
        self.channels, self.grid = tuple(channels), grid
        self.kinds = {
            "brightness_temperature": [name for name in channels if name in THERMAL],
            "reflectance": [name for name in channels if name in REFLECTIVE],
        }
        shape = (1, len(self.channels), *grid.shape)
        self.values = {kind: np.full(shape, np.nan, dtype=np.float32) for kind, names in self.kinds.items() if names}
        self.offset = np.full((1, grid.ny), np.nan, dtype=np.float32)

    def paint(self, part: Part, rows: slice, columns: slice, top: int) -> None:
        """Put a block of a part at a row of the canvas."""
        target = slice(top, top + rows.stop - rows.start)
        for kind, names in self.kinds.items():
            for name in names:
                if name in part.arrays:
                    block = part.block(name, rows, columns)
                    if kind == "reflectance":
                        block = block / np.float32(100.0)
                    self.values[kind][0, self.channels.index(name), target] = block
        self.offset[0, target] = part.scan_offset(rows)

    def dataset(self, part: Part, calibration: str, where: object) -> xr.Dataset:
        """The Dataset."""
        comment = {"reflectance": {"comment": "not divided by the cosine of the sun zenith angle"}}
        variables = {kind: Variable(values, {}, comment.get(kind, {})) for kind, values in self.values.items()}
        variables["scan_offset"] = Variable(self.offset)
        return assemble(
            variables,
            self.grid,
            np.array([part.start]),
            np.array([[part.start, part.end]]),
            label="start",
            product="SEVIRI",
            where=where,
            channels=self.channels,
            calibration=calibration,
            **part.attributes,
        )


def _window(grid: Grid, region: Region | None, where: object) -> tuple[slice, slice]:
    return (slice(0, grid.ny), slice(0, grid.nx)) if region is None else grid.window(region, where=where)


def _read_hrit(
    paths: tuple[Path, ...],
    region: Region | None,
    channels: tuple[str, ...] | None,
    calibration: str,
    mask_bad_lines: bool | None,
) -> xr.Dataset:
    """One slot of HRIT, segment by segment: only those that the region touches are opened."""
    ends, segments = _sorted_out(paths)
    present = {name for names in segments.values() for name in names}
    names = channels or tuple(name for name in THERMAL if name in present)
    absent = [name for name in names if name not in present]
    if absent or not names:
        raise ReadError(
            f"there is no segment of {absent[0]}" if absent else "there is no segment of a thermal channel",
            where=paths[0].parent,
            fix="ask for channels=(…) among "
            + (", ".join(sorted(present & _CHANNELS)) or "none")
            + ", or fetch the segments",
        )
    wanted = {number: {name: own[name] for name in names if name in own} for number, own in segments.items()}
    wanted = {number: own for number, own in wanted.items() if own}
    for path in (*ends, *(path for own in wanted.values() for path in own.values())):
        _require_readable(path)

    def opened(number: int) -> Any:
        files = (*wanted[number].values(), *ends)
        return image(
            files, "seviri_l1b_hrit", tuple(wanted[number]), calibration=calibration, mask_bad_lines=mask_bad_lines
        )

    first, last = min(wanted), max(wanted)
    with opened(last) as part:
        lines, north = part.place.grid.ny, part.place.grid
        _require_slot(part, paths[0])
    whole = Grid(north.crs, north.west, north.north, north.dx, north.dy, north.nx, lines * (last - first + 1))
    rows, columns = _window(whole, region, paths[0].parent)
    canvas = _Canvas(names, whole.crop(rows, columns))
    for number in sorted(wanted, reverse=True):
        top = (last - number) * lines
        own = slice(max(rows.start - top, 0), min(rows.stop - top, lines))
        if own.start < own.stop:
            with opened(number) as part:
                canvas.paint(part, own, columns, top + own.start - rows.start)
    return canvas.dataset(part, calibration, paths[0].parent)


def _sorted_out(paths: Sequence[Path]) -> tuple[tuple[Path, Path], dict[int, dict[str, Path]]]:
    """Prologue and epilogue of a slot, and its segments: number → channel → file."""
    ends: dict[str, Path] = {}
    segments: dict[int, dict[str, Path]] = {}
    for path in paths:
        match = _HRIT.match(path.name)
        if match is None:
            continue
        part, content = match["part"].strip("_"), match["content"].strip("_")
        if part in ("PRO", "EPI"):
            ends[part] = path
        elif part.isdigit() and content in _CHANNELS:
            segments.setdefault(int(part), {})[content] = path
    name = paths[0].name
    for part, kind in (("PRO", "prologue"), ("EPI", "epilogue")):
        if part not in ends:
            raise ReadError(
                f"the {kind} of the slot is missing",
                where=paths[0],
                fix=f"put the file {name[:26]}_________-{part}______-{name[46:58]}-__ beside the segments",
            )
    if not segments:
        raise ReadError(
            "the slot has a prologue and an epilogue but no segment of a channel at 3 km",
            where=paths[0],
            fix=f"put the segments {name[:26]}IR_108___-00000N___-{name[46:58]}-__ beside them",
        )
    return (ends["PRO"], ends["EPI"]), segments


def _require_readable(path: Path) -> None:
    """Refuse a segment that is cut, or compressed where nothing can expand it."""
    match = _HRIT.match(path.name)
    if match and match["flag"].startswith("C") and find_spec("pyPublicDecompWT") is None:
        raise ConfigError(
            "the segment is wavelet-compressed, and the decompression library is not installed",
            where=path,
            fix="pip install pyPublicDecompWT, or expand the segments with EUMETSAT's xRITDecompress first",
        )
    require_whole(path)


def _require_slot(part: Part, path: Path) -> None:
    """Refuse a file whose name and prologue disagree on the slot."""
    match = _HRIT.match(path.name)
    if match is not None and _slot(match["time"], path) != part.start:
        raise ReadError(
            f"the name says the slot {match['time']}, the prologue {part.start.astype('datetime64[m]')}",
            where=path,
            fix="give the files back their own names; do not mix the files of two slots",
        )
