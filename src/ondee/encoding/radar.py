"""Radar rain in sequences: frames of files or of a store that follow one another, as many together as a model wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.batches.offered import cell_of, frames_of
from ondee.collocation.reading import Reading
from ondee.errors import ConfigError, GridError, ReadError
from ondee.grid import Grid, Region
from ondee.run import RainLearnt
from ondee.source import Granule, granules
from ondee.source.granule import inside
from ondee.source.stored import inputs
from ondee.store import Store

__all__ = ["Radar", "Sequence"]

_LOOSE = 0.1
"""Share of a step by which frames may be out of it."""
_NEAR = 0.01
"""Share by which the side of a cell may differ from the one that was learnt."""
_RAIN, _INPUT = "rain_rate", "radar"

Span = tuple[np.datetime64, np.datetime64]


@dataclass(frozen=True)
class Sequence:
    """Frames that follow one another.

    Parameters
    ----------
    rain
        ``(S, y, x)``, mm h-1, NaN where not observed.
    times, bounds
        Labels ``(S,)``, and the intervals that they stand for ``(S, 2)``.
    """

    rain: NDArray[np.float32]
    times: NDArray[np.datetime64]
    bounds: NDArray[np.datetime64]


class Radar:
    """Sequences of radar rain, each of the length, the step and the cell that a model has learnt.

    Frames that follow one another without a gap are cut from the first on; what is left of them at the end is in no
    sequence.

    Parameters
    ----------
    path
        A store, or a file or folder that :func:`ondee.open` reads.
    learnt
        Of the model.
    start, end
        Labels from the first moment on and before the second, UTC.
    region
        West, south, east, north in degrees; None for all.
    options
        Options of the reader, and ``format``.

    Attributes
    ----------
    grid
        Of the frames.
    starts
        Numbers of the frames with which sequences begin, ``(n,)``.
    times
        Labels of all frames, those in no sequence among them.
    left_out
        First and last label, and number, of frames in no sequence.

    Raises
    ------
    ConfigError
        If step or cell is another one, or no sequence is long enough.
    ReadError, UnitError
        If the radar cannot be read or holds no rain rate.
    """

    def __init__(
        self,
        path: str | Path,
        learnt: RainLearnt,
        *,
        start: str | None = None,
        end: str | None = None,
        region: Region | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.learnt = Path(path), learnt
        self._reading = Reading(region=region)
        self._pieces, self._place = self._found(self._chosen(options or {}))
        self.times = _between(np.array(sorted(self._place), "datetime64[ns]"), start, end, path)
        self._held: dict[int, xr.Dataset] = {}
        head = self._frames(self._place[self.times[0]])
        self.product = str(head.attrs.get("product", "radar"))
        self.label = dict(head["time"].attrs)
        self._require_cell()
        self._require_step()
        self.starts, self.left_out = self._cut()

    def __len__(self) -> int:
        return len(self.starts)

    def sequence(self, number: int) -> Sequence:
        """One sequence by its number."""
        first = int(self.starts[number])
        times = self.times[first : first + self.learnt.frames]
        pieces = [self._place[time] for time in times]
        self._held = {piece: held for piece, held in self._held.items() if piece in pieces}
        parts = [self._frames(piece).sel(time=time) for piece, time in zip(pieces, times, strict=True)]
        rain = np.stack([np.asarray(part[_RAIN].values, np.float32) for part in parts])
        return Sequence(rain, times, np.stack([part["time_bounds"].values for part in parts]))

    def labels(self) -> NDArray[np.datetime64]:
        """Labels of the frames of all sequences, ``(n, S)``."""
        return np.asarray(self.times[self.starts[:, None] + np.arange(self.learnt.frames)[None, :]])

    # ---- what is there

    def _chosen(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options with the radar chosen of a store that has several inputs."""
        chosen = {name: value for name, value in options.items() if value is not None}
        if "input" not in chosen and (self.path / "zarr.json").is_file():
            try:
                known = inputs(self.path)
            except ReadError:  # some other zarr, which its reader will tell
                return chosen
            if len(known) > 1 and _INPUT in known:
                chosen["input"] = _INPUT
        return chosen

    def _found(self, options: Mapping[str, Any]) -> tuple[list[Granule], dict[np.datetime64, int]]:
        """Pieces of what is read, and the piece with the frame of each time."""
        pieces: list[Granule] = []
        made: dict[np.datetime64, int] = {}
        for granule in granules(self.path, **options):
            labels = _written(granule)
            for piece in granule.pieces(self.learnt.frames):
                for stamp in labels[inside(labels, piece.period)]:
                    if stamp in made:
                        raise ReadError(
                            f"the time {np.datetime_as_string(stamp, 's')} comes twice",
                            where=f"{pieces[made[stamp]].paths[0]} and {piece.paths[0]}",
                            fix="keep one of the two files",
                        )
                    made[stamp] = len(pieces)
                pieces.append(piece)
        if not made:
            raise ReadError("no frame of rain was written there", where=self.path, fix="finish it with `ondee build`")
        return pieces, made

    def _frames(self, number: int) -> xr.Dataset:
        """A piece, kept until no sequence needs it."""
        if number not in self._held:
            piece = self._pieces[number]
            whole = self._reading.read(piece)
            found = whole.drop_vars([str(name) for name in whole.data_vars if name != _RAIN])
            if found[_RAIN].dims != ("time", "y", "x"):
                raise ReadError(
                    f"the rain has dimensions {', '.join(map(str, found[_RAIN].dims))}; time, y and x are needed",
                    where=piece.paths[0],
                    fix="choose one member with --option member=0",
                )
            grid = Grid.of(found, where=piece.paths[0])
            self.grid = getattr(self, "grid", grid)
            if not self.grid.same_as(grid):
                raise GridError(
                    f"the grid changes: {self.grid.describe()}, then {grid.describe()}",
                    where=piece.paths[0],
                    fix="give files of one grid, or build them into a store",
                )
            self._held[number] = found.load()
        return self._held[number]

    # ---- whether it is what was learnt

    def _require_cell(self) -> None:
        """Refuse cells of another size."""
        cell, wanted = cell_of(self.grid), self.learnt.cell
        ratios = [want / side for side, want in zip(cell, wanted, strict=True)]
        if all(abs(ratio - 1) <= _NEAR for ratio in ratios):
            return
        factor = round(ratios[0])
        divides = factor > 1 and all(abs(ratio / factor - 1) <= _NEAR for ratio in ratios)
        raise ConfigError(
            f"the cells of the radar are {_sides(cell)} wide; the model has learnt from cells of {_sides(wanted)}",
            where=self.path,
            fix=f"build a store with grid: {{ like: radar, coarsen: {factor} }} by `ondee build`, and give that"
            if divides
            else "give radar of that cell, or train a model on this one",
        )

    def _require_step(self) -> None:
        """Refuse frames of another step."""
        steps = np.diff(self.times) / np.timedelta64(1, "m")
        if not steps.size:
            return  # too short for a sequence anyhow, which is told
        usual = float(np.median(steps))
        if abs(usual / self.learnt.step - 1) <= _LOOSE:
            return
        ratio = self.learnt.step / usual
        divides = round(ratio) > 1 and abs(ratio / round(ratio) - 1) <= _LOOSE
        raise ConfigError(
            f"the frames of the radar are {usual:g} min apart; the model has learnt from steps of"
            f" {self.learnt.step} min",
            where=self.path,
            fix=f"build a store with step: {self.learnt.step} by `ondee build`, and give that"
            if divides
            else "give radar of that step, or train a model on this one",
        )

    def _cut(self) -> tuple[NDArray[np.int64], list[tuple[Span, int]]]:
        """Starts of sequences, and frames that are in none."""
        length = self.learnt.frames
        steps = np.diff(self.times) / np.timedelta64(1, "m")
        broken = np.abs(steps / self.learnt.step - 1) > _LOOSE
        starts: list[int] = []
        left: list[tuple[Span, int]] = []
        for run in np.split(np.arange(self.times.size), np.flatnonzero(broken) + 1):
            whole = run.size // length
            starts += [int(run[number * length]) for number in range(whole)]
            if tail := run.size - whole * length:
                left.append(((self.times[run[-tail]], self.times[run[-1]]), tail))
        if not starts:
            longest = max(count for _, count in left)
            raise ConfigError(
                f"no {length} frames follow one another every {self.learnt.step} min, which the model wants;"
                f" {longest} at most do",
                where=self.path,
                fix="give a longer period, or frames that are missing; `ondee look` tells the gaps",
            )
        return np.array(starts, np.int64), left


def _written(granule: Granule) -> NDArray[np.datetime64]:
    """Labels of frames that hold rain: a store has steps without, and steps in which another input alone has frames."""
    times = granule.times
    if granule.format.name != "stored":
        return times
    (path,) = granule.paths
    store = Store(path)
    name = str(granule.options.get("input", inputs(path)[0]))
    stamps = np.asarray(store.root["time"][:]).astype("datetime64[s]").astype("datetime64[ns]")  # type: ignore[index]
    there = frames_of(store, f"{name}_{_RAIN}") > 0
    there &= np.asarray(store.root["written"][:]) == 1  # type: ignore[index]
    return times[np.isin(times, stamps[there])]


def _between(
    times: NDArray[np.datetime64], start: str | None, end: str | None, where: str | Path
) -> NDArray[np.datetime64]:
    """Times from `start` on and before `end`."""
    try:
        fine = times.astype("datetime64[us]")
        first = None if start is None else np.datetime64(start).astype(fine.dtype)
        last = None if end is None else np.datetime64(end).astype(fine.dtype)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"a time cannot be understood: {error}",
            where=f"--start {start}, --end {end}",
            fix="write times as 2018-06-04 or 2018-06-04T12:30, in UTC",
        ) from error
    chosen = np.ones(times.shape, bool)
    if first is not None:
        chosen &= fine >= first
    if last is not None:
        chosen &= fine < last
    if not chosen.any():
        raise ConfigError(
            f"no frame of the radar lies between {start} and {end}",
            where=where,
            fix="widen --start and --end; `ondee look` tells the period",
        )
    return times[chosen]


def _sides(cell: tuple[float, float]) -> str:
    return " x ".join(f"{side:.4g}" for side in cell) + " km"
