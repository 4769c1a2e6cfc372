"""Sequences of radar rain to learn from: windows in space and time of one or several stores, one for every number."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ondee.batches.offered import RAIN, cell_of, frames_of, grid_of, require_rain, variable_of
from ondee.batches.patches import chance_of
from ondee.batches.planes import StoredPlanes, free_memory
from ondee.errors import ConfigError
from ondee.store import Store

__all__ = ["Window", "Windows", "motion"]

Fields = NDArray[np.float32]

_ROOM = 52
"""Key of this module's random numbers."""
_PLACES, _CHANCES = 0, 1
_OBSERVED = 0.5
"""Share of a window that must be observed."""
_TRIED = 512
"""Windows that are looked at to find the mean chance."""
_MOST = 100_000
"""Tries after which there is taken to be nothing observed."""
_SHARE = 4
"""One part in so many of the free memory may be taken."""
_OVERLAP = 0.3
"""Least share of the largest overlap of two frames at which their correlation is looked at."""
_FASTEST = 8
"""Largest motion that is looked for, pixels per frame."""


@dataclass(frozen=True)
class Window:
    """Rain of one window.

    Parameters
    ----------
    rain
        ``(S, H, W)``, mm h-1, NaN where not observed.
    weight
        By which it counts, so that weighted means are those over all windows of which half was observed.
    time
        Start of the first frame, UTC.
    shift
        Motion of the window, pixels per frame southwards and eastwards; 0 of one that stays.
    """

    rain: NDArray[np.float32]
    weight: float
    time: np.datetime64
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class _Run:
    """Frames of one store that follow one another without a gap."""

    planes: StoredPlanes
    first: int
    count: int
    start: np.datetime64
    shape: tuple[int, int]


@dataclass(frozen=True)
class _Place:
    """Where and when a window begins."""

    run: _Run
    first: int
    top: int
    left: int


class Windows:
    """A window of radar rain for every number ``k >= 0``, keyed by ``(seed, k)`` alone.

    Times and places are drawn evenly and taken with a chance that grows with the rain, as in
    :class:`ondee.batches.Patches`, by the rain of a window that stays; the weight is the inverse of the chance.

    Parameters
    ----------
    stores
        Stores of radar rain of one step and one size of cell.
    split
        Name of the split; a window never leaves it.
    frames, side
        Frames of a window, and its height and width in pixels.
    seed
        Of everything drawn.
    crop
        ``eulerian``: the window stays where it is. ``lagrangian``: it moves on with the rain, by the mean
        motion that is found around it over all of its frames, the later ones included: a window for what grows
        and decays, not for forecasts.
    least
        Chance of a dry window to be taken; 1 to draw all evenly.
    rain
        Variable of the rain.
    shares
        Of windows that each store gives, in any unit, where they are not to be in proportion to its frames; those of
        stores without frames of the split go to the others.

    Attributes
    ----------
    step
        Minutes between frames.
    cell
        Height and width of a pixel, km.

    Raises
    ------
    ConfigError
        If the stores differ in step or cell, a window does not fit, or nothing was observed.
    StoreError, UnitError
        If a store has no rain rate, or none of the split.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        split: str,
        *,
        frames: int = 12,
        side: int = 64,
        seed: int = 0,
        crop: Literal["eulerian", "lagrangian"] = "eulerian",
        least: float = 0.1,
        rain: str = RAIN,
        shares: Sequence[float] = (),
    ) -> None:
        self.frames, self.side, self.seed, self.crop, self.least = frames, side, seed, crop, least
        self.where = ", ".join(str(store.path) for store in stores)
        self.step, self.cell = _common(stores)
        held = [[run for run in _runs(store, split, rain) if _fits(run, frames, side)] for store in stores]
        self._runs = list(itertools.chain.from_iterable(held))
        if not self._runs:
            raise ConfigError(
                f"no {frames} frames of the split {split!r} follow one another on {side} x {side} pixels",
                where=self.where,
                fix="ask for shorter or smaller windows, or build a store with longer days in that split",
            )
        self._settle()
        self._starts = np.cumsum([run.count - frames + 1 for run in self._runs])
        self._stores = _shared_out(held, shares, self.where)
        self.mean_chance = self._mean()

    @property
    def count(self) -> int:
        """Starts of windows in time, over all stores."""
        return int(self._starts[-1])

    def window(self, k: int) -> Window:
        """The window of a number."""
        draw = np.random.default_rng([self.seed, _ROOM, _PLACES, k])
        for _ in range(_MOST):
            place, rain, chance = self._candidate(draw)
            if draw.random() < chance:
                time = place.run.start + np.timedelta64(place.first * self.step, "m")
                weight = self.mean_chance / chance
                if self.crop == "eulerian":
                    return Window(rain, weight, time)
                shift = self._shift(place)
                return Window(self._rain(place, shift), weight, time, shift)
        return self._refuse()

    def batch(self, numbers: Sequence[int], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Rain ``(B, S, 1, H, W)``, mm h-1, and weights ``(B,)`` of some numbers.

        Parameters
        ----------
        numbers
            Of the windows.
        device
            Where the tensors go.
        """
        found = [self.window(int(number)) for number in numbers]
        rain = torch.from_numpy(np.stack([one.rain for one in found])[:, :, None])
        return rain.to(device), torch.tensor([one.weight for one in found], dtype=torch.float32, device=device)

    def lattice(self, stride: int, margin: int = 0, known: int | None = None) -> Iterator[tuple[Window, Fields]]:
        """Every window on a lattice in time and space, side by side, each with its first frames and what lies around.

        Parameters
        ----------
        stride
            Frames from one window to the next.
        margin
            Pixels on each side of the window in the second field; beyond the grid they are missing.
        known
            First frames that the second field holds; all where None.

        Yields
        ------
        tuple
            The window, of weight 1, and rain ``(known, H + 2 margin, W + 2 margin)``.
        """
        count = self.frames if known is None else known
        for run in self._runs:
            (ny, nx), side = run.shape, self.side
            for first in range(0, run.count - self.frames + 1, stride):
                for top, left in itertools.product(range(0, ny - side + 1, side), range(0, nx - side + 1, side)):
                    place = _Place(run, first, top, left)
                    time = run.start + np.timedelta64(first * self.step, "m")
                    around = self._rain(place, (0.0, 0.0), margin)[:count] if margin else None
                    rain = self._rain(place, (0.0, 0.0))
                    yield Window(rain, 1.0, time), rain[:count] if around is None else around

    # ---- where and when

    def _candidate(self, draw: np.random.Generator) -> tuple[_Place, NDArray[np.float32], float]:
        """An even draw of time and place, the rain of a window that stays there, and its chance."""
        start = self._start(draw)
        number = int(np.searchsorted(self._starts, start, side="right"))
        run = self._runs[number]
        first = start - (int(self._starts[number - 1]) if number else 0)
        (ny, nx), side = run.shape, self.side
        place = _Place(run, first, int(draw.integers(ny - side + 1)), int(draw.integers(nx - side + 1)))
        rain = self._rain(place, (0.0, 0.0))
        return place, rain, chance_of(rain, self.least, _OBSERVED)

    def _start(self, draw: np.random.Generator) -> int:
        """Number of a start in time, of all stores alike or of one that was drawn by its share."""
        if self._stores is None:
            return int(draw.integers(self.count))
        edges, ends = self._stores
        store = int(np.searchsorted(edges, draw.random(), side="right"))
        runs = np.concatenate([[0], self._starts])
        return int(draw.integers(runs[ends[store]], runs[ends[store + 1]]))

    def _rain(self, place: _Place, shift: tuple[float, float], margin: int = 0) -> NDArray[np.float32]:
        """Rain of a window that moves on, with a margin around it."""
        side = self.side + 2 * margin
        rain = np.full((self.frames, side, side), np.nan, np.float32)
        for frame in range(self.frames):
            y, x = (round(at + frame * move) - margin for at, move in zip((place.top, place.left), shift, strict=True))
            _cut(place.run, place.first + frame, y, x, rain[frame])
        return rain

    def _shift(self, place: _Place) -> tuple[float, float]:
        """Mean motion of the rain around a window, pixels per frame."""
        return motion(self._rain(place, (0.0, 0.0), self.side // 2))

    def _mean(self) -> float:
        """Mean chance of a window that is half observed: what makes the weights 1 on average."""
        draw = np.random.default_rng([self.seed, _ROOM, _CHANCES])
        found = (self._candidate(draw)[2] for _ in range(_TRIED))
        observed = [chance for chance in found if chance > 0]
        if not observed:
            self._refuse()
        return float(np.mean(observed))

    def _refuse(self) -> NoReturn:
        raise ConfigError(
            "the radar observed less than half of every window looked at",
            where=self.where,
            fix="ask for smaller windows, or look at the radar's coverage with `ondee look`",
        )

    def _settle(self) -> None:
        """Keep all in memory if it takes at most a quarter of what is free."""
        planes = {id(run.planes): run.planes for run in self._runs}
        if sum(entry.size for entry in planes.values()) <= free_memory() // _SHARE:
            for entry in planes.values():
                entry.hold()


def motion(rain: NDArray[np.float32]) -> tuple[float, float]:
    """Mean motion of rain between frames.

    Parameters
    ----------
    rain
        ``(S, H, W)``, mm h-1, NaN where not observed.

    Returns
    -------
    tuple of float
        Southwards and eastwards, pixels per frame, at most 8 along each axis; 0 where nothing is to be seen.

    Notes
    -----
    The place of the largest correlation of neighbouring frames, summed over all pairs; at each displacement it is taken
    over the pixels that both frames have observed, so that the edge of what is observed, which stands still, does not
    count as rain that does. A parabola through the peak and its neighbours gives fractions of a pixel.
    """
    there = np.isfinite(rain) * _taper(rain.shape[-2:])
    level = np.log1p(np.where(np.isfinite(rain), rain, 0.0))
    mean = (level * there).sum((-2, -1), keepdims=True) / np.maximum(there.sum((-2, -1), keepdims=True), 1e-9)
    anomaly = (level - mean) * there
    if not np.abs(anomaly).max() > 0:
        return 0.0, 0.0
    reach = min(_FASTEST, *(side // 4 for side in rain.shape[-2:]))
    overlap = _correlated(there, reach)
    near = np.where(
        overlap > _OVERLAP * overlap.max(), _correlated(anomaly, reach) / np.maximum(overlap, 1e-9), -np.inf
    )
    y, x = np.unravel_index(int(near.argmax()), near.shape)
    return _peak(near[:, x], int(y)) - reach, _peak(near[y], int(x)) - reach


def _correlated(fields: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Sum over pairs of frames of the later one times the earlier one displaced, by displacements up to `reach`."""
    shape = tuple(2 * side for side in fields.shape[-2:])
    spectra = np.fft.rfft2(fields, s=shape)
    surface = np.fft.irfft2((spectra[1:] * spectra[:-1].conj()).sum(0), s=shape)
    return np.asarray(np.roll(surface, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1])


def _peak(values: NDArray[np.float64], at: int) -> float:
    """Place of the top of a parabola through the largest value and its neighbours."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, here, after = values[at - 1 : at + 2]
    bend = before - 2 * here + after
    return at + (0.5 * (before - after) / bend if np.isfinite(bend) and bend < 0 else 0.0)


def _taper(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.hanning(shape[0])[:, None] * np.hanning(shape[1])[None, :]


def _cut(run: _Run, frame: int, top: int, left: int, out: NDArray[np.float32]) -> None:
    """Write one frame of a window into `out`; what lies beyond the grid stays missing."""
    (ny, nx), (height, width) = run.shape, out.shape
    rows, columns = slice(max(top, 0), min(top + height, ny)), slice(max(left, 0), min(left + width, nx))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = np.empty((1, 1, rows.stop - rows.start, columns.stop - columns.start), np.float32)
    run.planes.read(np.array([run.first + frame]), rows, columns, part)
    out[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = part[0, 0]


def _fits(run: _Run, frames: int, side: int) -> bool:
    return run.count >= frames and min(run.shape) >= side


def _shared_out(
    held: Sequence[Sequence[_Run]], shares: Sequence[float], where: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Upper edges in 0 to 1 of the stores that have frames, and their first and last run; None without shares."""
    if not shares:
        return None
    if len(shares) != len(held) or min(shares) <= 0:
        raise ConfigError(
            f"{len(held)} stores have the shares {', '.join(f'{share:g}' for share in shares)}",
            where=where,
            fix="give one share above 0 for each store",
        )
    there = [(share, len(runs)) for share, runs in zip(shares, held, strict=True) if runs]
    edges = np.cumsum([share for share, _ in there]) / sum(share for share, _ in there)
    edges[-1] = 1.0
    return edges, np.cumsum([0, *(count for _, count in there)])


def _common(stores: Sequence[Store]) -> tuple[int, tuple[float, float]]:
    """Step and cell that all stores share."""
    steps = {int(store.about["step_minutes"]) for store in stores}
    cells = {tuple(round(side, 2) for side in cell_of(grid_of(store))) for store in stores}
    if len(steps) != 1 or len(cells) != 1:
        raise ConfigError(
            f"the stores have steps of {', '.join(map(str, sorted(steps)))} min and cells of "
            + ", ".join(f"{y:g} x {x:g} km" for y, x in sorted(cells)),
            where=", ".join(str(store.path) for store in stores),
            fix="build all of them with one step and one size of cell",
        )
    y, x = cells.pop()
    return steps.pop(), (y, x)


def _runs(store: Store, split: str, rain: str) -> list[_Run]:
    """Runs of frames of a split."""
    require_rain(variable_of(store, rain), store)
    stamps = np.asarray(store.root["time"][:]).astype("datetime64[s]").astype("datetime64[ns]")  # type: ignore[index]
    usable = (np.asarray(store.root["written"][:]) == 1) & (frames_of(store, rain) > 0)  # type: ignore[index]
    chosen = np.zeros(usable.size, bool)
    chosen[store.split(split)] = True
    usable = np.flatnonzero(usable & chosen)
    step = np.timedelta64(int(store.about["step_minutes"]), "m")
    if not usable.size:
        return []
    planes = StoredPlanes(store.path, rain, None, usable)
    apart = (np.diff(usable) != 1) | (np.diff(stamps[usable]) != step)
    shape = grid_of(store).shape
    return [
        _Run(planes, int(run[0]), int(run.size), stamps[run[0]], shape)
        for run in np.split(usable, np.flatnonzero(apart) + 1)
    ]
