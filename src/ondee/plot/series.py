"""Choosing what a figure of scores shows: values with their intervals, the names beside them, the legend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.plot.palette import Look, looks
from ondee.plot.style import Style, enlarged, new_figure, save, spelled, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Scores",
    "Series",
    "Sheet",
    "arms",
    "chosen_thresholds",
    "drawable",
    "estimates_of",
    "held_thresholds",
    "lowest",
    "plain_decades",
    "probability_text",
    "quantity",
    "series",
    "sheet",
    "shown",
    "stated",
    "unit_square",
]

Scores = Mapping[str, xr.Dataset]
"""Score name → its finished Dataset with a dimension ``estimate``."""


class Series(NamedTuple):
    """Values of one estimate with the ends of their interval; NaN where there are none."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Sheet(NamedTuple):
    """What a figure function draws on: the figure, its style, and the look of each estimate."""

    figure: Figure
    style: Style
    looks: dict[str, Look]
    scale: float


def estimates_of(scores: Scores) -> list[str]:
    """Names of all estimates, in the order of the Dataset that has most, then of the others."""
    held = [
        [str(name) for name in np.atleast_1d(one["estimate"].values)] for one in scores.values() if "estimate" in one
    ]
    names = max(held, key=len, default=[])
    return list(dict.fromkeys([*names, *(name for one in held for name in one)]))


def series(dataset: xr.Dataset, variable: str, **chosen: Any) -> Series:
    """Values of a variable and its interval, where ``stratum`` is the first one unless chosen.

    Parameters
    ----------
    dataset
        Finished scores.
    variable
        Name of the variable.
    **chosen
        Dimension → its label (numbers: the nearest one). A dimension that the variable lacks is passed over; of a
        name that is not there all is NaN.
    """
    made: list[NDArray[np.float64]] = []
    repeats = False
    for name in (variable, f"{variable}_low", f"{variable}_high"):
        if name not in dataset:
            made.append(np.full_like(made[0], np.nan) if made else np.array(np.nan))
            continue
        array = dataset[name]
        for dim, label in {"stratum": None, **chosen}.items():
            if dim in array.dims:
                place = _position(array, dim, label)
                array = array.isel({dim: place}) if place >= 0 else array.isel({dim: 0}) * np.nan
        repeats = _repeats(array) if name == variable else repeats
        if repeats and "estimate_threshold" in array.dims:
            array = array.isel(estimate_threshold=0)
        array = array.transpose(..., "estimate_threshold", missing_dims="ignore")
        made.append(np.asarray(array.values, dtype=float))
    return Series(*made)


def _repeats(array: xr.DataArray) -> bool:
    """Whether the thresholds of a probability change nothing: a field of rain that stood beside one."""
    if "estimate_threshold" not in array.dims:
        return False
    values = array.transpose("estimate_threshold", ...).values
    return bool(((values == values[:1]) | (np.isnan(values) & np.isnan(values[:1]))).all())


def _position(array: xr.DataArray, dim: str, label: Any) -> int:
    """Number of a label: the first where None, the nearest of numbers; -1 where there is no such name."""
    if label is None:
        return 0
    if dim not in array.coords:
        return int(label)
    held = array[dim].values
    if held.dtype.kind in "iuf":
        return int(np.nanargmin(abs(held.astype(float) - float(label))))
    found = np.flatnonzero(held.astype(str) == str(label))
    return int(found[0]) if found.size else -1


def drawable(scores: Scores, score: str, *variables: str) -> bool:
    """Whether a score is there with these variables, each of them defined somewhere."""
    if score not in scores or any(name not in scores[score] for name in variables):
        return False
    return not _undefined(scores, score, *variables)


def _undefined(scores: Scores, score: str, *variables: str) -> list[str]:
    """Variables that are NaN everywhere."""
    return [name for name in variables if not np.isfinite(scores[score][name].values.astype(float)).any()]


def stated(scores: Scores, score: str, *variables: str) -> xr.Dataset:
    """Give the Dataset of a score.

    Raises
    ------
    ConfigError
        If the score or one of the variables is absent, or defined nowhere.
    """
    if not drawable(scores, score, *variables):
        absent = [name for name in variables if score not in scores or name not in scores[score]]
        raise ConfigError(
            f"there is no {absent[0]} to draw"
            if absent
            else f"{_undefined(scores, score, *variables)[0]} is defined nowhere",
            where=f"scores[{score!r}]",
            fix=f"compute the score {score!r} of an estimate that has it, or leave this figure out",
        )
    return scores[score]


def shown(dataset: xr.Dataset, variable: str, names: Iterable[str]) -> list[str]:
    """Estimates for which a variable is defined anywhere, in their order."""
    held = {str(name) for name in dataset["estimate"].values}
    return [
        name
        for name in names
        if name in held and np.isfinite(dataset[variable].sel(estimate=name).values.astype(float)).any()
    ]


def held_thresholds(array: xr.DataArray) -> NDArray[np.float64]:
    """Thresholds at which a variable is defined for any estimate."""
    others = tuple(array.dims.index(dim) for dim in array.dims if dim != "threshold")
    held: NDArray[np.float64] = array["threshold"].values[np.isfinite(array.values).any(axis=others)].astype(float)
    return held


def lowest(dataset: xr.Dataset, variable: str) -> float:
    """Lowest threshold at which a variable is defined for any estimate."""
    return float(held_thresholds(dataset[variable])[0])


def chosen_thresholds(dataset: xr.Dataset, variable: str, most: int = 3) -> list[float]:
    """Up to `most` thresholds at which a variable is defined, from the lowest to the highest."""
    held = held_thresholds(dataset[variable])
    picked = np.unique(np.linspace(0, held.size - 1, min(most, held.size)).round().astype(int))
    return [float(held[index]) for index in picked]


def arms(value: Any, low: Any, high: Any) -> NDArray[np.float64]:
    """Lengths of the arms of a cross; 0 where there is no interval."""
    reach = np.nan_to_num(np.array([value - low, high - value], dtype=float), posinf=0.0, neginf=0.0).clip(min=0.0)
    return np.asarray(reach[:, None] if reach.ndim == 1 else reach)


def quantity(array: xr.DataArray, words: str = "") -> str:
    """Name and unit of a variable or coordinate, as an axis prints them."""
    name = words or str(array.attrs.get("long_name", str(array.name).replace("_", " ")))
    units = str(array.attrs.get("units", "1"))
    return name if units in ("1", "") else f"{name} ({spelled(units)})"


def probability_text(probability: float) -> str:
    """Write the probability of a quantile.

    Examples
    --------
    >>> probability_text(0.5), probability_text(0.999)
    ('q50', 'q99.9')
    """
    return f"q{round(100 * probability, 6):g}"


@contextmanager
def sheet(
    scores: Scores, width: float, height: float, path: str | Path | None, style: Style, force: bool
) -> Iterator[Sheet]:
    """Open a figure in a style, and save it when it is drawn.

    Parameters
    ----------
    scores
        All scores of the report, for the look of each estimate.
    width, height
        Size on paper, mm.
    path
        Where to save; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.
    """
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(width * scale, height * scale)
        yield Sheet(figure, style, looks(estimates_of(scores), style), scale)
        if path is not None:
            save(figure, path, force=force)


def plain_decades(ax: Axes, which: str, steps: Sequence[int] = (1, 2, 5)) -> None:
    """Make an axis logarithmic with plain numbers.

    Parameters
    ----------
    ax
        The panel.
    which
        ``x`` or ``y``.
    steps
        Numbers of a decade that carry a label.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    getattr(ax, f"set_{which}scale")("log")
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(FixedLocator([step * 10.0**power for power in range(-9, 10) for step in steps]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def unit_square(ax: Axes) -> None:
    """Show 0 to 1 on both axes, in a square."""
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    ax.set_xticks(np.arange(0, 1.01, 0.2))
    ax.set_yticks(np.arange(0, 1.01, 0.2))
