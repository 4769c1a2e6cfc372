"""Coarse maps of a field in characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.grid import Grid
from ondee.plot.style import DRY, UNOBSERVED, Scale, member_of, moment, scale_of

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["block_map", "coarse"]

_SHADES = ".:-=+*oO#%@"
"""Classes in plain text, the first for dry; a blank is not observed."""
_WIDTH, _HEIGHT = 64, 44


def coarse(field: xr.DataArray, rows: int, columns: int) -> NDArray[np.float64]:
    """Mean of the observed pixels of each block of a field; NaN where a block has none.

    Parameters
    ----------
    field
        ``(y, x)``.
    rows, columns
        Number of blocks; as many as there are pixels at most.
    """
    values = np.asarray(field.values, dtype=np.float64)
    seen = np.isfinite(values)
    top = np.linspace(0, values.shape[0], min(rows, values.shape[0]), endpoint=False).astype(int)
    left = np.linspace(0, values.shape[1], min(columns, values.shape[1]), endpoint=False).astype(int)
    total = np.add.reduceat(np.add.reduceat(np.where(seen, values, 0.0), top, axis=0), left, axis=1)
    count = np.add.reduceat(np.add.reduceat(seen.astype(np.float64), top, axis=0), left, axis=1)
    mean: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def block_map(field: xr.DataArray, *, colour: bool, width: int = _WIDTH) -> Text:
    """Draw a coarse map of a field, north up, with its legend.

    Parameters
    ----------
    field
        ``(y, x)``, with its grid.
    colour
        Whether to use coloured half blocks; plain characters otherwise.
    width
        Number of characters across.
    """
    from rich.text import Text

    grid = Grid.of(field)
    height = grid.dy / grid.dx
    if grid.is_geographic:
        height /= max(0.1, float(np.cos(np.radians((grid.north + grid.south) / 2))))
    rows = round(width * grid.ny * height / grid.nx)
    if rows > _HEIGHT:
        width, rows = max(8, round(width * _HEIGHT / rows)), _HEIGHT
    rows = max(2, rows + rows % 2)
    values = coarse(field, rows if colour else rows // 2, width)
    scale = scale_of(str(field.name), str(field.attrs.get("units", "")), str(field.attrs.get("long_name", "")))
    levels = _levels(scale, values)
    when = f"  {moment(field['time'].values)}" if "time" in field.coords else ""
    channel = f"  {field['channel'].values}" if "channel" in field.coords else ""
    member = f"  {member_of(field)}" if "member" in field.coords else ""
    text = Text(f"{scale.label}{channel}{member}{when}, mean of each block\n")
    if colour:
        _draw_blocks(text, values, levels, scale)
    else:
        _draw_shades(text, values, levels, cold_is_dark=field.name == "brightness_temperature")
    return text


def _levels(scale: Scale, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower bounds of the classes, ascending: those of the scale, or even steps."""
    if scale.discrete:
        return np.asarray(scale.levels)
    known = values[np.isfinite(values)]
    low, high = scale.levels or ((float(known.min()), float(known.max())) if known.size else (0.0, 1.0))
    return np.linspace(low, max(high, low + 1e-6), 10)[1:-1]


def _colours(scale: Scale, count: int) -> list[str]:
    """Colour of each class, the first for values under all levels."""
    if scale.discrete:
        return [scale.below or DRY, *scale.colours, scale.above or scale.colours[-1]][: count + 1]
    picked = np.linspace(0, len(scale.colours) - 1, count + 1).round().astype(int)
    return [scale.colours[index] for index in picked]


def _draw_blocks(text: Text, values: NDArray[np.float64], levels: NDArray[np.float64], scale: Scale) -> None:
    """Two blocks in one character: the upper in its colour, the lower in the colour of the ground."""
    colours = _colours(scale, len(levels))
    classes = np.where(np.isfinite(values), np.searchsorted(levels, np.nan_to_num(values), side="right"), -1)
    shade = [*colours, UNOBSERVED]
    if len(classes) % 2:
        classes = np.vstack([classes, np.full((1, classes.shape[1]), -1)])
    for upper, lower in zip(classes[::2], classes[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append("▀", style=f"{shade[above]} on {shade[below]}")
        text.append("\n")
    text.append("  ", style=f"on {UNOBSERVED}")
    text.append(" not observed ")
    for name, index in _legend(levels, scale).items():
        text.append("  ", style=f"on {shade[index]}")
        text.append(f" {name} ")


def _draw_shades(text: Text, values: NDArray[np.float64], levels: NDArray[np.float64], *, cold_is_dark: bool) -> None:
    """One character a block."""
    shades = _SHADES[: len(levels) + 1][:: -1 if cold_is_dark else 1]
    classes = np.searchsorted(levels, np.nan_to_num(values), side="right")
    frame = "+" + "-" * values.shape[1] + "+\n"
    text.append(frame)
    for row, seen in zip(classes, np.isfinite(values), strict=True):
        line = "".join(shades[index] if there else " " for index, there in zip(row, seen, strict=True))
        text.append(f"|{line}|\n")
    text.append(frame)
    bounds = "  ".join(f"{shades[index + 1]} {level:.3g}" for index, level in enumerate(levels))
    text.append(f"blank: not observed  {shades[0]} below  {bounds} and more")


def _legend(levels: NDArray[np.float64], scale: Scale) -> Mapping[str, int]:
    """Words of the legend and the classes they name."""
    named = {f"< {levels[0]:.3g}": 0}
    for index in range(0, len(levels), 3):
        named[f"≥ {levels[index]:.3g}"] = index + 1
    return named
