"""Area weights between any two grids: which share of each target cell is covered by which source cell.

Source cells are quadrilaterals, their corners carried into the plane of the target; each is clipped
against the target's rectangular cells (Sutherland and Hodgman 1974), so a weight is the area of an exact
polygon. Areas are true areas on the ellipsoid: a latitude-longitude target is clipped in the cylindrical equal-area
plane, where meridians and parallels are straight; in any other plane a piece takes the areal scale of its
source cell. What a source cell holds is therefore shared out without loss.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numba import njit
from numpy.typing import NDArray

from ondee.errors import GridError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer

__all__ = ["Weights", "cell_area", "response", "weights"]

_NARROWEST, _WIDEST = 0.8, 10.0
"""Footprints that can be represented, in cells: a narrower one is hardly wider than the mean over a cell."""
_SLIVER = 1e-6
"""Share of a cell below which an overlap is rounding."""
_FORMAT = 5
"""Version of the cached files: raise it when the computation changes."""


@dataclass(frozen=True)
class Weights:
    """A sparse matrix from source cells to target cells, in compressed rows.

    Parameters
    ----------
    source, target
        The two grids.
    start
        First entry of each target cell's row, ``(target cells + 1,)``.
    index
        Source cell (row-major) of each entry.
    share
        Share of the target cell (or of its footprint) that the entry covers; a row sums to 1 where the
        source covers the whole cell, to less at its border.
    """

    source: Grid
    target: Grid
    start: NDArray[np.int64]
    index: NDArray[np.int32]
    share: NDArray[np.float32]

    def matrix(self) -> scipy.sparse.csr_array:
        """The weights as a SciPy matrix, ``(target cells, source cells)``."""
        shape = (self.target.nx * self.target.ny, self.source.nx * self.source.ny)
        return scipy.sparse.csr_array((self.share, self.index, self.start), shape=shape)

    def reach(self) -> NDArray[np.float64]:
        """Share of each target cell that the source grid covers, ``(ny, nx)``."""
        total = np.add.reduceat(np.append(self.share, 0.0).astype(np.float64), self.start[:-1])
        return np.where(np.diff(self.start) > 0, total, 0.0).reshape(self.target.shape)


def weights(source: Grid, target: Grid, *, footprint: float | None = None, cache: bool = True) -> Weights:
    """Area weights from one grid to another, computed once for each pair.

    Parameters
    ----------
    source, target
        Any two grids, both located, or both on the same local plane.
    footprint
        Full width at half maximum of the target instrument's Gaussian response, in target cells; None for
        the plain area mean. SEVIRI's thermal channels sample every 3 km and resolve 4.8 km: 1.6
        (Schmetz et al. 2002, BAMS 83, 977).
    cache
        Keep the weights on disk, below ``$ONDEE_CACHE`` or ``~/.cache/ondee``.

    Returns
    -------
    Weights

    Raises
    ------
    GridError
        If one grid is on a local plane and the other is not, or they do not overlap at all.
    """
    if footprint is not None and not _NARROWEST <= footprint <= _WIDEST:
        raise GridError(
            f"a footprint of {footprint} cells is not usable",
            where="ondee.collocation.weights",
            fix=f"give the full width at half maximum in target cells, {_NARROWEST:g} to {_WIDEST:g} (SEVIRI: 1.6); "
            "leave it out for the plain mean of each cell, which is no wider",
        )
    return _remembered(source, target, footprint, cache)


@lru_cache(maxsize=16)
def _remembered(source: Grid, target: Grid, footprint: float | None, cache: bool) -> Weights:
    place = _cache_folder() / f"weights-{_FORMAT}-{source.digest}-{target.digest}-{footprint}.npz"
    if cache and (found := _load(place, source, target)) is not None:
        return found
    made = _footprint_weights(source, target, footprint) if footprint else _area_weights(source, target)
    if made.index.size == 0:
        raise GridError(
            "the two grids do not overlap",
            where=f"source {source.describe()}; target {target.describe()}",
            fix="choose a target that lies inside the source; `ondee look` tells the region of a file",
        )
    if cache:
        _save(place, made)
    return made


# ---- area


def cell_area(grid: Grid) -> NDArray[np.float64]:
    """True area of each cell on the ellipsoid, ``(ny, nx)`` in m²; NaN where the view misses the Earth."""
    if grid.is_local:
        return np.full(grid.shape, grid.dx * grid.dy)
    plane = _equal_area_plane(grid)
    x, y = _corners(grid, plane)
    if grid.is_geographic:
        return np.broadcast_to(np.abs(np.diff(y[:, :1], axis=0)) * np.diff(x[:1], axis=1), grid.shape).copy()
    return np.asarray(_quadrilateral_areas(x, y))


def _equal_area_plane(grid: Grid) -> str:
    """Cylindrical equal-area projection centred on a grid, on the grid's own ellipsoid."""
    ellipsoid = grid.projection.ellipsoid
    assert ellipsoid is not None
    longitude, _ = transformer(grid.crs, LATITUDE_LONGITUDE).transform(
        grid.west + grid.dx * grid.nx / 2, grid.north - grid.dy * grid.ny / 2
    )
    centre = float(longitude) if np.isfinite(longitude) else 0.0
    return f"+proj=cea +lon_0={centre!r} +a={ellipsoid.semi_major_metre!r} +b={ellipsoid.semi_minor_metre!r} +units=m"


def _corners(grid: Grid, plane: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of all cells in a plane, ``(ny + 1, nx + 1)``; infinite where they are not seen."""
    x, y = np.meshgrid(grid.x_edges, grid.y_edges)
    if plane == grid.crs:
        return x, y
    moved_x, moved_y = transformer(grid.crs, plane).transform(x, y)
    return np.asarray(moved_x), np.asarray(moved_y)


def _area_weights(source: Grid, target: Grid) -> Weights:
    """Weights by exact clipping in the target's plane."""
    _require_one_world(source, target)
    equal_area = target.crs if target.is_local else _equal_area_plane(target)
    plane = equal_area if target.is_geographic else target.crs
    if target.is_geographic:
        along_x, _ = transformer(target.crs, plane).transform(target.x_edges, np.zeros(target.nx + 1))
        _, along_y = transformer(target.crs, plane).transform(np.full(target.ny + 1, target.x[0]), target.y_edges)
        x_edges, y_edges = np.asarray(along_x), np.asarray(along_y)
    else:
        x_edges, y_edges = target.x_edges, target.y_edges
    corners_x, corners_y = _corners(source, plane)
    if target.is_geographic:
        corners_x = _cut_at_the_seam(corners_x, target)
    cells, pixels, pieces = _clip(corners_x, corners_y, x_edges, y_edges[::-1].copy())
    rows, columns = target.ny - 1 - cells // target.nx, cells % target.nx
    if plane == equal_area:
        share = pieces / (np.abs(np.diff(y_edges))[rows] * np.diff(x_edges)[columns])
    else:
        true = _quadrilateral_areas(*_corners(source, equal_area)) / _quadrilateral_areas(corners_x, corners_y)
        share = pieces * true.ravel()[pixels] / _quadrilateral_areas(*_corners(target, equal_area))[rows, columns]
    kept = share > _SLIVER
    return _compressed(source, target, (rows * target.nx + columns)[kept], pixels[kept], share[kept])


def _cut_at_the_seam(x: NDArray[np.float64], target: Grid) -> NDArray[np.float64]:
    """Leave out source cells that straddle the meridian opposite the target: in the plane they would span the world."""
    ellipsoid = target.projection.ellipsoid
    assert ellipsoid is not None
    known = np.where(np.isfinite(x), x, np.nan)
    torn = np.abs(np.diff(known, axis=1)) > np.pi * ellipsoid.semi_major_metre / 2
    if not torn.any():
        return x
    cut = x.copy()
    cut[:, 1:][torn] = np.nan
    return cut


def _require_one_world(source: Grid, target: Grid) -> None:
    if source.is_local != target.is_local:
        (source if source.is_local else target).require_located("ondee.collocation.weights")


def _compressed(
    source: Grid, target: Grid, cell: NDArray[np.int64], index: NDArray[np.int64], share: NDArray[np.float64]
) -> Weights:
    """Entries in order of target cell, then source cell."""
    shape = (target.nx * target.ny, source.nx * source.ny)
    matrix = scipy.sparse.coo_array((share, (cell, index)), shape=shape).tocsr()
    matrix.sum_duplicates()
    return Weights(
        source,
        target,
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


def response(target: Grid, width: float) -> tuple[Grid, scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """A Gaussian response that reaches beyond the cell, as sums along either axis of a finer grid.

    The response is sampled on cells half as wide as the target's, out to three standard deviations. The mean over
    such a cell widens it by the variance of the cell, 1/12 of its squared width, which is taken off beforehand
    (Sheppard's correction).

    Parameters
    ----------
    target
        Grid of the instrument.
    width
        Full width at half maximum, in cells.

    Returns
    -------
    fine : Grid
        Cells half as wide, with a margin.
    along_y, along_x : scipy.sparse.csr_array
        Shares of the fine rows in each row, and of the fine columns in each column.
    """
    deviation = np.sqrt(width**2 / (8 * np.log(2)) - 0.5**2 / 12)
    margin = int(np.ceil(3 * deviation))
    padded = target.pad(margin)
    fine = Grid(padded.crs, padded.west, padded.north, padded.dx / 2, padded.dy / 2, 2 * padded.nx, 2 * padded.ny)
    offsets = (np.arange(-2 * margin, 2 * margin + 2) - 0.5) / 2
    profile = np.exp(-0.5 * (offsets / deviation) ** 2)
    profile /= profile.sum()
    return fine, _response(target.ny, fine.ny, profile), _response(target.nx, fine.nx, profile)


def _footprint_weights(source: Grid, target: Grid, width: float) -> Weights:
    """Weights through a Gaussian response."""
    fine, along_y, along_x = response(target, width)
    both = scipy.sparse.kron(along_y, along_x, format="csr")
    matrix = (both @ _area_weights(source, fine).matrix()).tocoo()
    return _compressed(source, target, matrix.row, matrix.col, matrix.data)


def _response(cells: int, fine: int, profile: NDArray[np.float64]) -> scipy.sparse.csr_array:
    """One-dimensional response, ``(cells, fine cells)``."""
    rows = np.repeat(np.arange(cells), profile.size)
    columns = (2 * np.arange(cells)[:, None] + np.arange(profile.size)[None, :]).ravel()
    return scipy.sparse.csr_array((np.tile(profile, cells), (rows, columns)), shape=(cells, fine))


# ---- clipping


@njit(cache=True)
def _quadrilateral_areas(x: Any, y: Any) -> Any:
    rows, columns = x.shape[0] - 1, x.shape[1] - 1
    areas = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            first = (x[i, j] - x[i + 1, j + 1]) * (y[i, j + 1] - y[i + 1, j])
            second = (x[i, j + 1] - x[i + 1, j]) * (y[i, j] - y[i + 1, j + 1])
            area = 0.5 * abs(first - second)
            areas[i, j] = area if np.isfinite(area) else np.nan
    return areas


@njit(cache=True)
def _cut(px: Any, py: Any, count: int, along_x: bool, limit: float, above: bool, qx: Any, qy: Any) -> int:
    """Keep the part of a polygon on one side of a line; the number of corners left."""
    kept = 0
    sign = 1.0 if above else -1.0
    for k in range(count):
        nxt = k + 1 if k + 1 < count else 0
        here = sign * ((px[k] if along_x else py[k]) - limit)
        there = sign * ((px[nxt] if along_x else py[nxt]) - limit)
        if here >= 0.0:
            qx[kept], qy[kept] = px[k], py[k]
            kept += 1
        if (here > 0.0 and there < 0.0) or (here < 0.0 and there > 0.0):
            part = here / (here - there)
            qx[kept] = px[k] + part * (px[nxt] - px[k])
            qy[kept] = py[k] + part * (py[nxt] - py[k])
            kept += 1
    return kept


@njit(cache=True)
def _polygon_area(px: Any, py: Any, count: int) -> float:
    total = 0.0
    for k in range(1, count - 1):
        total += (px[k] - px[0]) * (py[k + 1] - py[0]) - (px[k + 1] - px[0]) * (py[k] - py[0])
    return 0.5 * abs(total)


@njit(cache=True)
def _clip(corners_x: Any, corners_y: Any, x_edges: Any, y_edges: Any) -> Any:
    """Clip every source cell against the target's cells (edges ascending).

    Returns target cell (rows counted from the south), source cell, and area of each piece.
    """
    rows, columns = corners_x.shape[0] - 1, corners_x.shape[1] - 1
    width = x_edges.size - 1
    size = 2 * rows * columns + 1024
    out_cell = np.empty(size, np.int64)
    out_pixel = np.empty(size, np.int64)
    out_area = np.empty(size, np.float64)
    found = 0
    ax, ay = np.empty(16), np.empty(16)
    bx, by = np.empty(16), np.empty(16)
    for i in range(rows):
        for j in range(columns):
            ax[0], ay[0] = corners_x[i, j], corners_y[i, j]
            ax[1], ay[1] = corners_x[i, j + 1], corners_y[i, j + 1]
            ax[2], ay[2] = corners_x[i + 1, j + 1], corners_y[i + 1, j + 1]
            ax[3], ay[3] = corners_x[i + 1, j], corners_y[i + 1, j]
            low_x, high_x = ax[:4].min(), ax[:4].max()
            low_y, high_y = ay[:4].min(), ay[:4].max()
            if not (np.isfinite(low_x + high_x + low_y + high_y)):
                continue
            if high_x <= x_edges[0] or low_x >= x_edges[-1] or high_y <= y_edges[0] or low_y >= y_edges[-1]:
                continue
            left = max(np.searchsorted(x_edges, low_x, side="right") - 1, 0)
            right = min(np.searchsorted(x_edges, high_x, side="left"), x_edges.size - 1)
            bottom = max(np.searchsorted(y_edges, low_y, side="right") - 1, 0)
            top = min(np.searchsorted(y_edges, high_y, side="left"), y_edges.size - 1)
            for row in range(bottom, top):
                for column in range(left, right):
                    ax[0], ay[0] = corners_x[i, j], corners_y[i, j]
                    ax[1], ay[1] = corners_x[i, j + 1], corners_y[i, j + 1]
                    ax[2], ay[2] = corners_x[i + 1, j + 1], corners_y[i + 1, j + 1]
                    ax[3], ay[3] = corners_x[i + 1, j], corners_y[i + 1, j]
                    count = _cut(ax, ay, 4, True, x_edges[column], True, bx, by)
                    count = _cut(bx, by, count, True, x_edges[column + 1], False, ax, ay)
                    count = _cut(ax, ay, count, False, y_edges[row], True, bx, by)
                    count = _cut(bx, by, count, False, y_edges[row + 1], False, ax, ay)
                    area = _polygon_area(ax, ay, count)
                    if area <= 0.0:
                        continue
                    if found == size:
                        size *= 2
                        out_cell = np.append(out_cell, np.empty_like(out_cell))
                        out_pixel = np.append(out_pixel, np.empty_like(out_pixel))
                        out_area = np.append(out_area, np.empty_like(out_area))
                    out_cell[found] = row * width + column
                    out_pixel[found] = i * columns + j
                    out_area[found] = area
                    found += 1
    return out_cell[:found], out_pixel[:found], out_area[:found]


# ---- cache


def _cache_folder() -> Path:
    chosen = os.environ.get("ONDEE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "ondee"


def _load(place: Path, source: Grid, target: Grid) -> Weights | None:
    """Weights of an earlier run; None if there are none or they cannot be read."""
    try:
        with np.load(place) as file:
            return Weights(source, target, file["start"], file["index"], file["share"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _save(place: Path, made: Weights) -> None:
    """Keep weights; a folder that cannot be written only costs their computation next time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False) as stream:
            np.savez(stream, start=made.start, index=made.index, share=made.share)
        Path(stream.name).replace(place)
    except OSError:
        return
