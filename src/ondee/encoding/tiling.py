"""A domain cut into the windows of a model, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import Grid

__all__ = ["Tiling"]


@dataclass(frozen=True)
class Tiling:
    """Windows of `side` x `side` pixels in the middle of a grid, side by side.

    Rows and columns that are no whole window are left out, as many at one edge as at the other.

    Parameters
    ----------
    grid
        The grid.
    side
        Rows and columns of a window.

    Examples
    --------
    >>> from ondee.grid import LOCAL
    >>> tiling = Tiling(Grid(LOCAL, 0, 0, 1000, 1000, 50, 35), 16)
    >>> tiling.shape, tiling.corner, tiling.left_out
    ((2, 3), (1, 1), (3, 2))
    """

    grid: Grid
    side: int

    @classmethod
    def of(cls, grid: Grid, side: int, *, where: str | Path) -> Tiling:
        """Tiling of a grid that holds one window at least.

        Raises
        ------
        ConfigError
            If it does not.
        """
        if min(grid.shape) < side:
            raise ConfigError(
                f"the radar has {grid.ny} x {grid.nx} cells; a window of the model has {side} x {side}",
                where=where,
                fix="give radar of a larger domain, or a wider --region",
            )
        return cls(grid, side)

    @property
    def shape(self) -> tuple[int, int]:
        """Windows from north to south, and from west to east."""
        return self.grid.ny // self.side, self.grid.nx // self.side

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the north-west pixel of the first window."""
        rows, columns = self.left_out
        return rows // 2, columns // 2

    @property
    def left_out(self) -> tuple[int, int]:
        """Rows and columns in no window."""
        return self.grid.ny % self.side, self.grid.nx % self.side

    @property
    def count(self) -> int:
        """Windows of a frame."""
        return self.shape[0] * self.shape[1]

    @property
    def _span(self) -> tuple[slice, slice]:
        (top, left), (rows, columns) = self.corner, self.shape
        return slice(top, top + rows * self.side), slice(left, left + columns * self.side)

    def window(self, number: int) -> tuple[slice, slice]:
        """Rows and columns of a window, counted from west to east and north to south."""
        row, column = divmod(number, self.shape[1])
        top, left = self.corner[0] + row * self.side, self.corner[1] + column * self.side
        return slice(top, top + self.side), slice(left, left + self.side)

    def cut(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows ``(n, S, side, side)`` of frames ``(S, y, x)``."""
        (rows, columns), side = self.shape, self.side
        inside = frames[:, *self._span].reshape(len(frames), rows, side, columns, side)
        return np.ascontiguousarray(inside.transpose(1, 3, 0, 2, 4).reshape(self.count, len(frames), side, side))

    def join(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames ``(S, y, x)`` of windows ``(n, S, side, side)``, NaN in no window."""
        (rows, columns), side, length = self.shape, self.side, windows.shape[1]
        made = np.full((length, *self.grid.shape), np.nan, np.float32)
        laid = windows.reshape(rows, columns, length, side, side).transpose(2, 0, 3, 1, 4)
        made[:, *self._span] = laid.reshape(length, rows * side, columns * side)
        return made

    def at(self, y: float, x: float, *, where: str) -> int:
        """Number of the window that holds a point, given in the coordinates of the grid.

        Raises
        ------
        ConfigError
            If none does.
        """
        row = np.floor(((self.grid.north - y) / self.grid.dy - self.corner[0]) / self.side)
        column = np.floor(((x - self.grid.west) / self.grid.dx - self.corner[1]) / self.side)
        if not (0 <= row < self.shape[0] and 0 <= column < self.shape[1]):
            y_centres, x_centres = self.centres()
            raise ConfigError(
                f"the point {y:g}, {x:g} lies in no window",
                where=where,
                fix=f"give y from {y_centres[-1]:g} to {y_centres[0]:g} and x from {x_centres[0]:g} to"
                f" {x_centres[-1]:g} {self.grid.unit}, the coordinates of the radar",
            )
        return int(row) * self.shape[1] + int(column)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centres of the windows, y and x, in the coordinates of the grid."""
        (top, left), (rows, columns) = self.corner, self.shape
        y = self.grid.north - (top + (np.arange(rows) + 0.5) * self.side) * self.grid.dy
        x = self.grid.west + (left + (np.arange(columns) + 0.5) * self.side) * self.grid.dx
        return np.asarray(y, np.float64), np.asarray(x, np.float64)

    def coordinates(self) -> dict[str, Any]:
        """Coordinates of the grid, and centres of the windows."""
        known = self.grid.coordinates()
        y, x = self.centres()
        named = {"tile_y": ("y", y), "tile_x": ("x", x)}
        for name, (axis, values) in named.items():
            words = {key: value for key, value in known[axis].attrs.items() if key != "axis"}
            known[name] = xr.DataArray(
                values, dims=name, attrs={**words, "long_name": f"{axis} of the window's centre"}
            )
        return known
