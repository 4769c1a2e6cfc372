"""Figures that sum a verification up: the two axes, one case as maps, and a score by strata."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.plot.labels import halo, legend_above, name_near
from ondee.plot.map import draw_map
from ondee.plot.palette import truth_ink
from ondee.plot.series import Scores, Sheet, arms, quantity, series, sheet, shown, stated
from ondee.plot.style import (
    Style,
    enlarged,
    finish_bar,
    inks,
    moment,
    new_figure,
    save,
    scale_of,
    spelled,
    styled,
    unobserved_patch,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_axes", "draw_cases", "draw_strata", "strata_of"]

_COLUMNS = 3
"""Most maps side by side."""
_WIDE = 0.6
"""Height of a map over its width below which only two stand side by side."""
_SEASONS = ("DJF", "MAM", "JJA", "SON")


def draw_axes(
    scores: Scores,
    path: str | Path | None = None,
    *,
    reference: str | None = None,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the two-axis picture: where the rain is to the right, what rain it is upwards, one mark an estimate.

    The ideal is the upper right corner; bars are intervals. A field that is right but blurred lies right and low, a
    sharp one in the wrong place left and high.

    Parameters
    ----------
    scores
        Holds ``axes`` with ``localisation`` and ``realism_error``; its attributes name threshold and scale.
    path
        Where to save the figure; not saved where None.
    reference
        Estimate to name as the reference; the attribute ``reference`` of ``axes`` where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the scores are absent, or the figure cannot be written.
    """
    found = stated(scores, "axes", "localisation", "realism_error")
    named = str(found.attrs.get("reference", "")) if reference is None else reference
    with sheet(scores, 130, 100, path, style, force) as page:
        ax = page.figure.add_subplot()
        both = shown(found, "localisation", shown(found, "realism_error", page.looks))
        entries, places = [], []
        for name in both:
            x, y = (series(found, wanted, estimate=name) for wanted in ("localisation", "realism_error"))
            look = page.looks[name]
            cross: dict[str, Any] = {"xerr": arms(x.value, x.low, x.high), "yerr": arms(y.value, y.low, y.high)}
            ax.errorbar(
                x.value,
                y.value,
                **cross,
                color=look.colour,
                elinewidth=1.0,
                **look.mark(7 * page.scale),
                clip_on=False,
                zorder=5,
            )
            words = f"{name} (reference)" if name == named else name
            entries.append((float(x.value), float(y.value), words, look.colour))
            for ends, at in ((x, y), (y, x)):
                for share in np.linspace(0, 1, 15):
                    moved = float(ends.low + share * (ends.high - ends.low))
                    if np.isfinite(moved):
                        places.append((moved, float(at.value)) if ends is x else (float(at.value), moved))
        _axes_ground(ax, page, found, len(both))
        name_near(ax, entries, [*places, *_below_ideal(ax)], distance=7.0, size=1.0)
        rest = [name for name in page.looks if name not in both]
        if rest:
            ax.text(0.0, 1.02, "not on both axes: " + ", ".join(rest), transform=ax.transAxes, fontsize="small")
    return page.figure


def _axes_ground(ax: Axes, page: Sheet, found: xr.Dataset, count: int) -> None:
    """Set limits, words and the ideal corner."""
    muted = inks(page.style).muted
    low = float(np.nanmin([ax.dataLim.x0, 0.95])) if count else 0.0
    high = float(np.nanmax([ax.dataLim.y1, 0.5])) if count else 1.0
    ax.set_xlim(max(0.0, np.floor((low - 0.04) * 20) / 20), 1.0)
    ax.set_ylim(high * 1.12, 0.0)
    ax.plot(1, 0, marker="*", markersize=13 * page.scale, color=truth_ink(page.style), clip_on=False, zorder=7)
    ax.annotate(
        "ideal",
        (1, 0),
        xytext=(-9, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        color=truth_ink(page.style),
        zorder=8,
        path_effects=halo(ax),
    )
    ax.grid(linewidth=0.4, alpha=0.3)
    attributes = found.attrs
    words = "fractions skill score"
    if "localisation_threshold" in attributes:
        units = spelled(str(attributes.get("localisation_units", "mm h-1")))
        words += f", rain of at least {float(attributes['localisation_threshold']):g} {units}"
    if "localisation_scale_km" in attributes and float(attributes["localisation_scale_km"]) > 0:
        words += f", within {float(attributes['localisation_scale_km']):.3g} km"
    ax.set_xlabel(f"where the rain is  →\n{words}")
    ax.set_ylabel("what rain it is  →\nmean error of spectrum and tail (dB)")
    ax.tick_params(colors=muted, labelcolor=truth_ink(page.style))


def _below_ideal(ax: Axes) -> list[tuple[float, float]]:
    """Places that the word beside the star fills."""
    import matplotlib as mpl

    figure: Any = ax.get_figure(root=True)
    figure.canvas.draw()
    letter = float(mpl.rcParams["font.size"]) * figure.dpi / 72
    corner = ax.transData.transform((1.0, 0.0))
    spots = [(corner[0] - letter * (1 + step), corner[1] - letter) for step in np.linspace(0.0, 3.0, 7)]
    return [(float(x), float(y)) for x, y in ax.transData.inverted().transform(spots)]


def draw_cases(
    cases: xr.Dataset,
    path: str | Path | None = None,
    *,
    variable: str = "rain_rate",
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the truth and each estimate of one time side by side, with one colour bar.

    Parameters
    ----------
    cases
        ``variable (panel, y, x)`` with the names of the panels, the truth first, and the grid.
    path
        Where to save the figure; not saved where None.
    variable
        What to draw.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If there is no such variable with panels, or the figure cannot be written.
    """
    if variable not in cases or cases[variable].dims != ("panel", "y", "x"):
        raise ConfigError(
            f"there is no {variable} with panel, y and x",
            where="cases",
            fix="give a Dataset of rain_rate (panel, y, x), the truth first",
        )
    fields = cases[variable]
    grid = Grid.of(fields.isel(panel=0))
    count = fields.sizes["panel"]
    aspect = 1.0 / max(0.1, float(np.cos(np.radians((grid.north + grid.south) / 2)))) if grid.is_geographic else 1.0
    tall = grid.ny * grid.dy * aspect / (grid.nx * grid.dx)
    columns = 2 if count in (2, 4) or (tall < _WIDE and count > 1) else min(count, _COLUMNS)
    rows = -(-count // columns)
    with styled(style):
        scale = enlarged(style)
        width = min(180.0, 85.0 * columns)
        each = (width - 8.0 * columns) / columns * tall + 10.0
        figure = new_figure(width * scale, (each * rows + 18.0) * scale)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in panels[count:]:
            ax.set_visible(False)
        for number, ax in enumerate(panels[:count]):
            field = fields.isel(panel=number)
            draw_map(
                field, ax, title=textwrap.fill(str(field["panel"].values), 84 // columns), style=style, colour_bar=False
            )
            ax.tick_params(labelsize="x-small", length=2, pad=1.5)
            if number % columns:
                ax.tick_params(labelleft=grid.is_local)
        _shared_bar(figure, list(panels[:count]), fields)
    if path is not None:
        save(figure, path, force=force)
    return figure


def _shared_bar(figure: Figure, panels: list[Any], fields: xr.DataArray) -> None:
    """Draw one colour bar below all maps, and what grey hatching means."""
    scale = scale_of(str(fields.name), str(fields.attrs.get("units", "mm h-1")), str(fields.attrs.get("long_name", "")))
    bar = figure.colorbar(
        panels[0].images[0],
        ax=panels,
        extend=scale.extend,
        label=scale.label + _stamp(fields),
        location="bottom",
        aspect=50,
        shrink=0.7,
        fraction=0.05,
        pad=0.02,
    )
    finish_bar(bar, scale)
    if not np.isfinite(fields.values).all():
        bar.ax.legend(handles=[unobserved_patch()], loc="center left", bbox_to_anchor=(1.04, 0.5), frameon=False)


def _stamp(fields: xr.DataArray) -> str:
    """Time of the maps, where it is one."""
    if "time" not in fields.coords or fields["time"].ndim:
        return ""
    return "  ·  " + moment(fields["time"].values)


def strata_of(dataset: xr.Dataset) -> dict[str, list[str]]:
    """Strata of each variable they were cut by: ``hour 06`` is the stratum 06 of hour; the first, all, is of none.

    Parameters
    ----------
    dataset
        Finished scores with a coordinate ``stratum``.

    Examples
    --------
    >>> import xarray
    >>> strata_of(xarray.Dataset(coords={"stratum": ["all", "hour 00", "season DJF", "season JJA", "season MAM"]}))
    {'hour': ['hour 00'], 'season': ['season DJF', 'season MAM', 'season JJA']}
    """
    made: dict[str, list[str]] = {}
    for name in [str(entry) for entry in dataset["stratum"].values][1:] if "stratum" in dataset.dims else []:
        made.setdefault(name.partition(" ")[0], []).append(name)
    return {by: sorted(names, key=_season) for by, names in made.items()}


def _season(name: str) -> int:
    """Place of a season in the year; others keep their order."""
    last = name.rpartition(" ")[2]
    return _SEASONS.index(last) if last in _SEASONS else 0


def draw_strata(
    scores: Scores,
    path: str | Path | None = None,
    *,
    score: str = "fractions",
    variable: str = "fractions_skill_score",
    by: str | None = None,
    style: Style = "paper",
    force: bool = False,
    **chosen: Any,
) -> Figure:
    """Draw a score in each stratum of one variable, such as the hour of the day.

    Parameters
    ----------
    scores
        Holds `score` with a dimension ``stratum``, whose names are ``variable bin``, the first ``all``.
    path
        Where to save the figure; not saved where None.
    score, variable
        What to draw.
    by
        Variable of the strata; the first one where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.
    **chosen
        Further dimensions of the variable and what to choose of them, such as ``threshold=1.0``; the first where
        nothing is said.

    Raises
    ------
    ConfigError
        If the scores or the strata are absent, or the figure cannot be written.
    """
    found = stated(scores, score, variable)
    strata = strata_of(found)
    wanted = next(iter(strata), "") if by is None else by
    if wanted not in strata:
        raise ConfigError(
            f"there are no strata of {wanted!r}" if wanted else "there are no strata",
            where=f"scores[{score!r}]",
            fix="verify with strata (--by hour), or choose one of: " + (", ".join(strata) or "none"),
        )
    free = [str(dim) for dim in found[variable].dims if dim not in ("estimate", "stratum", *chosen)]
    chosen |= {dim: found[dim].values[0].item() for dim in free if dim in found.coords}
    labels = [name.partition(" ")[2] or name for name in strata[wanted]]
    with sheet(scores, float(np.clip(9 * len(labels) + 40, 100, 180)), 86, path, style, force) as page:
        ax = page.figure.add_subplot()
        names = shown(found, variable, page.looks)
        legend_above(page, names, marks=True)
        for number, name in enumerate(names):
            parts = [series(found, variable, estimate=name, stratum=stratum, **chosen) for stratum in strata[wanted]]
            whole = series(found, variable, estimate=name, **chosen)
            _stratum_curve(ax, page, name, np.array(parts, dtype=float).T, float(whole.value), (number, len(names)))
        ax.set_xticks(range(len(labels)), labels)
        if sum(map(len, labels)) > 90:
            ax.tick_params(axis="x", rotation=40)
        ax.set_xlim(-0.6, len(labels) - 0.4)
        ax.set_xlabel(wanted.replace("_", " "))
        ax.set_ylabel(quantity(found[variable]))
        ax.grid(axis="y", linewidth=0.4, alpha=0.35)
        ax.set_title(_choice(found, chosen), fontweight="normal", fontsize="medium")
    return page.figure


def _choice(found: xr.Dataset, chosen: dict[str, Any]) -> str:
    """What was chosen of the further dimensions, in words."""
    words = []
    for dim, label in chosen.items():
        if dim == "threshold":
            words.append(f"≥ {label:g} {spelled(str(found[dim].attrs.get('units', 'mm h-1')))}")
        elif dim == "scale" and float(found.attrs.get("pixel", -1.0)) > 0:
            words.append(f"window of {label * float(found.attrs['pixel']):.3g} km")
        else:
            words.append(f"{dim.replace('_', ' ')} {label:g}" if isinstance(label, float) else f"{dim} {label}")
    return ", ".join(words)


def _stratum_curve(ax: Axes, page: Sheet, name: str, parts: Any, whole: float, turn: tuple[int, int]) -> None:
    """Draw one estimate: a curve with its band over many strata, marks with bars side by side over few."""
    value, low, high = parts
    look = page.looks[name]
    places = np.arange(value.size, dtype=float)
    many = value.size > 6
    if many:
        ax.fill_between(places, low, high, color=look.colour, alpha=0.15, linewidth=0)
        ax.plot(places, value, **look.line(), **look.mark(3.5 * page.scale), linewidth=1.3)
    else:
        places = places + (turn[0] - (turn[1] - 1) / 2) * min(0.16, 0.7 / turn[1])
        bars = arms(value, low, high)
        ax.errorbar(
            places, value, yerr=bars, color=look.colour, linestyle="none", elinewidth=1.0, **look.mark(5 * page.scale)
        )
    if np.isfinite(whole):
        ax.axhline(whole, **look.line(), linewidth=0.6, alpha=0.6, zorder=1)
