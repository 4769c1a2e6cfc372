"""Who is judged and by whom: estimates and truth as lists of pieces that are read one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.collocation.reading import Reading, rains
from ondee.errors import ConfigError, GridError, ReadError
from ondee.grid import Grid
from ondee.progress import track
from ondee.score.fields import pixel_size
from ondee.source import granules, identity, matching, require_same
from ondee.source.granule import Granule, inside
from ondee.units import VOCABULARY, tells_rain

__all__ = ["Frame", "Piece", "Subject", "pixel_of", "subject"]

AROUND = np.timedelta64(3, "h")
"""The label of a frame lies at most so far from its interval, or twice as far as that of the first frame."""
_VALUES = 1 << 23
"""Most values of a piece: 32 MB of float32."""
_PROBABILITIES = ("precipitation_likelihood", "rain_probability")
"""What is scored as a probability of rain."""


@dataclass(frozen=True)
class Frame:
    """One frame of a subject: its interval and its values ``([member, ]y, x)``."""

    start: np.datetime64
    end: np.datetime64
    label: np.datetime64
    values: xr.DataArray
    quality: xr.DataArray | None
    grid: Grid


@dataclass(frozen=True)
class Piece:
    """A granule, or a part of a long one, and the labels of its frames, for which its file need not be opened again."""

    granule: Granule
    times: NDArray[np.datetime64]

    @cached_property
    def first(self) -> np.datetime64:
        """Its first label."""
        return np.datetime64(self.times.min())

    @cached_property
    def last(self) -> np.datetime64:
        """Its last label."""
        return np.datetime64(self.times.max())


@dataclass(frozen=True)
class Subject:
    """An estimate, or the truth.

    Parameters
    ----------
    name
        What it is called in tables and figures.
    pieces
        In order of time.
    reading
        How they are read.
    product
        Name of the product.
    members
        Members of the ensemble, 0 for a single field.
    offset
        From a label to the start of its interval.
    step
        Hours that a frame stands for; None where frames are snapshots, or of several products.
    grid
        Grid of the first frame.
    identity
        What all its files agree on, unless they are mixed.
    mixed
        Whether files may be of several products and grids.
    """

    name: str
    pieces: tuple[Piece, ...]
    reading: Reading
    product: str
    members: int
    offset: np.timedelta64
    step: float | None
    grid: Grid
    identity: Mapping[str, str]
    mixed: bool = False

    @property
    def files(self) -> list[Path]:
        """All its files."""
        return sorted({path for piece in self.pieces for path in piece.granule.paths})

    def days(self) -> list[np.datetime64]:
        """Days in which an interval starts."""
        found: set[Any] = set()
        offsets = {self.offset, np.timedelta64(0, "ns")} if self.mixed else {self.offset}  # labels may mean two things
        for piece in self.pieces:
            for offset in offsets:
                found |= set((piece.times + offset).astype("datetime64[D]").tolist())
        return [np.datetime64(day, "D") for day in sorted(found)]

    def near(self, begin: np.datetime64, end: np.datetime64) -> list[Piece]:
        """Pieces that may hold an interval which starts in a period."""
        around = max(AROUND, 2 * abs(self.offset))
        return [piece for piece in self.pieces if piece.first - around < end and piece.last + around >= begin]

    def frames(self, begin: np.datetime64, end: np.datetime64) -> Iterator[Frame]:
        """Frames whose interval starts in a period, in order of time; files may interlace.

        Raises
        ------
        OndeeError
            If a file cannot be read, files do not belong together, or a frame comes twice.
        """
        last: Frame | None = None
        for together in _overlapping(self.near(begin, end)):
            found = [frame for piece in together for frame in self._of_piece(piece) if begin <= frame.start < end]
            for frame in sorted(found, key=lambda one: one.start) if len(together) > 1 else found:
                if last is not None and frame.start <= last.start:
                    raise ReadError(
                        f"the interval from {np.datetime_as_string(frame.start, 's')} comes twice",
                        where=f"{self.name}: {together[-1].granule.paths[0]}",
                        fix="keep one of the files (a reprocessed product beside the old one?)",
                    )
                yield frame
                last = frame

    def _of_piece(self, piece: Piece) -> Iterator[Frame]:
        """Frames of one piece."""
        where = piece.granule.paths[0]
        dataset = self.reading.read(piece.granule)
        grid = Grid.of(dataset, where=where)
        if self.mixed:
            _require_pixel(self.grid, grid, where)
        else:
            require_same(self.identity, identity(dataset), where=where)
            if not grid.same_as(self.grid):
                raise GridError(
                    f"the grid changes: {self.grid.describe()}, then {grid.describe()}",
                    where=where,
                    fix="give files of one grid, or --mixed for a collection of events of one pixel size",
                )
        values = dataset[self.reading.variable]
        quality = dataset.get("quality")
        for index, (start, stop) in enumerate(np.asarray(dataset["time_bounds"].values)):
            frame = values.isel(time=index, drop=True)
            seen = None if quality is None else quality.isel(time=index, drop=True)
            yield Frame(start, stop, dataset["time"].values[index], frame, seen, grid)


def _overlapping(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces in groups whose times interlace; nearly always groups of one."""
    held: list[Piece] = []
    for piece in pieces:
        if held and piece.first > max(one.last for one in held):
            yield held
            held = []
        held.append(piece)
    if held:
        yield held


def _require_pixel(one: Grid, other: Grid, where: object) -> None:
    """Refuse to pool pixels of two sizes."""
    sides = [pixel_of(grid) for grid in (one, other)]
    if not np.isclose(sides[0], sides[1], rtol=1e-3):
        raise GridError(
            f"pixels are of {sides[0]:.4g} km and of {sides[1]:.4g} km",
            where=where,
            fix="pool events of one pixel size, or regrid them first: scales in pixels would mean two things",
        )


def pixel_of(grid: Grid) -> float:
    """Side of a pixel in km, -1 where it is not known.

    Parameters
    ----------
    grid
        Any grid.
    """
    coordinates = grid.coordinates()
    field = xr.DataArray(np.zeros(grid.shape), dims=("y", "x"), coords={name: coordinates[name] for name in "yx"})
    return pixel_size(field)


def subject(
    spec: str, reading: Reading, options: Mapping[str, Any], *, format: str | None = None, mixed: bool = False
) -> Subject:
    """Find the files of an estimate or of the truth.

    Parameters
    ----------
    spec
        ``[NAME=]PATH[::VARIABLE]``; the path is a file, a folder, a store, or a pattern such as ``radar/*.h5``.
    reading
        How it is read; a variable in `spec` takes the place of its variable.
    options
        Options of the reader.
    format
        Name of a format, to bypass recognition.
    mixed
        Whether files may be of several products and grids.

    Raises
    ------
    ConfigError
        If the path names nothing, or the variable is not in the vocabulary, no rain and no probability of it.
    ReadError
        If a file is of no known format or cannot be read.
    """
    name, path, variable = _parts(spec)
    chosen = replace(reading, variable=variable) if variable else reading
    found = granules(*matching(path), format=format, **options)
    head = _first_frame(found, chosen)
    values = head[chosen.variable]
    _require_rain(values, head, found[0].paths[0])
    members = int(values.sizes.get("member", 0))
    start, end = head["time_bounds"].values[0]
    # A file is read whole, whichever of its variables is wanted.
    most = max(1, _VALUES // max(1, sum(array.isel(time=0).size for array in head.data_vars.values())))
    return Subject(
        name or _default_name(path),
        tuple(_pieces(found, most, name or path)),
        chosen,
        str(head.attrs.get("product", "")),
        members,
        np.timedelta64(start - head["time"].values[0]),
        None if mixed or end <= start else float((end - start) / np.timedelta64(1, "h")),
        Grid.of(head, where=found[0].paths[0]),
        identity(head),
        mixed,
    )


def _require_rain(values: xr.DataArray, head: xr.Dataset, where: object) -> None:
    """Refuse what is no rain and no probability of it, and what is no field and no ensemble.

    Raises
    ------
    ConfigError
        With the names of what the file holds instead.
    """
    name = str(values.name)
    named = [entry for entry in rains(head) if _is_field(head.get(entry, head.get("rain_amount")))]
    named += [entry for entry in _PROBABILITIES if _is_field(head.get(entry))]
    held = ", ".join(named) or "none; `ondee look` lists what it holds"
    if not tells_rain(name) and name not in _PROBABILITIES:
        raise ConfigError(
            f"{name} is the {VOCABULARY[name].long_name}, which is not scored as rain",
            where=where,
            fix=f"name rain that the file holds, as PATH::VARIABLE: {held}",
        )
    if not _is_field(values):
        raise ConfigError(
            f"{name} holds {values.isel(time=0, y=0, x=0).size} fields of each time, which are no members",
            where=where,
            fix=f"score one field or an ensemble at a time, as PATH::VARIABLE: {held}",
        )


def _is_field(values: xr.DataArray | None) -> bool:
    """Whether there are values, and at each time one field or one of each member."""
    return values is not None and set(values.dims) - {"member"} == {"time", "y", "x"}


def _pieces(found: Sequence[Granule], most: int, name: str) -> Iterator[Piece]:
    """Pieces in order of time."""
    listed = []
    for granule in track(found, f"listing {name}"):
        labels = granule.times
        for piece in granule.pieces(most):
            listed.append(Piece(piece, labels[inside(labels, piece.period)]))
    yield from sorted(listed, key=lambda piece: (piece.first, piece.granule.paths))


def _first_frame(found: Sequence[Granule], reading: Reading) -> xr.Dataset:
    """The first frame; one input of a store may begin later than another."""
    for granule in found:
        for piece in granule.pieces(1):
            head = reading.read(piece)
            if head.sizes["time"]:
                return head
    raise ReadError(
        "there is no frame", where=found[0].paths[0], fix="name files that hold frames; `ondee look` tells their times"
    )


def _parts(spec: str) -> tuple[str, str, str]:
    """Name, path and variable of a specification.

    Examples
    --------
    >>> _parts("U-Net=out/unet::rain_rate"), _parts("radar/day=1/x.h5")
    (('U-Net', 'out/unet', 'rain_rate'), ('', 'radar/day=1/x.h5', ''))
    """
    rest, _, variable = spec.partition("::")
    name, equals, path = rest.partition("=")
    if not equals or "/" in name or os.path.exists(rest):  # noqa: PTH110 - false, not an error, of a long name
        name, path = "", rest
    return name.strip(), path, variable.strip()


def _default_name(path: str) -> str:
    """Last part of a path, without its endings."""
    return Path(path).name.split(".")[0] or Path(path).resolve().name
