"""Figures of retrievals: place against kind, one scene side by side, and the spectra of all models in one picture."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.plot.labels import legend_above, name_beside, name_near
from ondee.plot.map import draw_map
from ondee.plot.palette import Look, looks, truth_ink
from ondee.plot.series import Scores, Sheet, arms, plain_decades, series, sheet, shown, stated
from ondee.plot.style import (
    DRY,
    RAIN_COLOURS,
    RAIN_LEVELS,
    Scale,
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

__all__ = ["INFRARED", "PROBABILITY", "draw_place_and_kind", "draw_retrievals", "draw_spectral_ratios"]

INFRARED = Scale((205.0, 300.0), ("#ffffff", "#101010"), False, "10.8 µm (K)", "#ffffff", "#101010")
"""Brightness temperatures as forecasters see them: cold tops white, warm ground dark."""
PROBABILITY = Scale((0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95), RAIN_COLOURS[1:7], True, "probability", DRY, RAIN_COLOURS[7])
"""Probabilities in classes, the first of them as white as dry."""

_POINT = ("model", "product", "evaluations", "noise_scale", "seconds")
_CROSS = ("place", "place_low", "place_high", "kind", "kind_low", "kind_high")
_SMALL, _LARGE = 4.5, 11.0
"""Width of the marks of the quickest and the slowest model, points."""
_BANDS = 4
"""Most curves that are drawn with their intervals: those of more would hide each other."""
_LEAST = -20.0
"""Ratio of spectra below which all is called smooth, dB."""


def draw_place_and_kind(
    points: xr.Dataset, path: str | Path | None = None, *, style: Style = "paper", force: bool = False
) -> Figure:
    """Draw every model and every way of drawing from it: the right place to the right, the right kind upwards.

    Filled marks are draws, hollow ones means and other products that are one field; a line joins the settings of one
    model. The larger the mark, the longer a field took.

    Parameters
    ----------
    points
        By ``point``: ``model``, ``product`` (``draw``, ``mean`` …), ``evaluations``, ``noise_scale``, ``seconds`` of a
        field (NaN where it was not timed), ``place`` and ``kind`` with ``_low`` and ``_high``. Attributes ``place`` and
        ``kind`` say what the axes show.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If a variable is absent, or the figure cannot be written.
    """
    absent = [name for name in (*_POINT, *_CROSS) if name not in points]
    if absent:
        raise ConfigError(
            f"there is no {absent[0]} of the points",
            where="points",
            fix="give " + ", ".join((*_POINT, *_CROSS)) + " by point",
        )
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(150 * scale, 110 * scale)
        ax = figure.add_subplot()
        models = list(dict.fromkeys(map(str, points["model"].values)))
        drawn = looks(models, style)
        several = _varied(points)
        entries, places = [], []
        for number in range(points.sizes["point"]):
            one = points.isel(point=number)
            look, x, y = drawn[str(one["model"].item())], float(one["place"]), float(one["kind"])
            if not np.isfinite([x, y]).all():
                continue
            _cross(ax, one, look, _width(points, number) * scale)
            entries.append((x, y, _words(one, several), look.colour))
            places += _along(one)
        for name in models:
            _join(ax, points.isel(point=points["model"].values.astype(str) == name), drawn[name])
        _ground(ax, points, style)
        name_near(ax, entries, places, distance=6.5, size=0.9)
        _key(figure, style)
    if path is not None:
        save(figure, path, force=force)
    return figure


def _varied(points: xr.Dataset) -> bool:
    """Whether any model was drawn from with more than one noise scale."""
    models, scales = points["model"].values.astype(str), points["noise_scale"].values.astype(float)
    return any(np.unique(scales[(models == name) & np.isfinite(scales)]).size > 1 for name in set(models))


def _words(one: xr.Dataset, several: bool) -> str:
    """Name of a point: model, evaluations, noise scale and seconds; of a field made of members model and product."""
    model, product = str(one["model"].item()), str(one["product"].item())
    evaluations, seconds = int(one["evaluations"]), float(one["seconds"])
    if product not in ("draw", "field"):
        return f"{model} {product}"
    parts = [model]
    if evaluations > 1:
        parts.append(f"{evaluations}×")
    if several and product == "draw" and np.isfinite(one["noise_scale"]) and float(one["noise_scale"]) != 1.0:
        parts.append(f"τ {float(one['noise_scale']):g}")
    if np.isfinite(seconds):
        parts.append(f"{seconds:.2g} s" if seconds < 100 else f"{seconds:.0f} s")
    return " · ".join(parts)


def _width(points: xr.Dataset, number: int) -> float:
    """Width of a mark: the logarithm of the seconds of a field, between the quickest and the slowest."""
    seconds = np.asarray(points["seconds"].values, float)
    held = np.log(seconds[np.isfinite(seconds) & (seconds > 0)])
    if not held.size or np.ptp(held) == 0 or not seconds[number] > 0:
        return (_SMALL + _LARGE) / 2
    return float(_SMALL + (_LARGE - _SMALL) * (np.log(seconds[number]) - held.min()) / np.ptp(held))


def _cross(ax: Axes, one: xr.Dataset, look: Look, size: float) -> None:
    """Draw one mark with its intervals."""
    mark = {**look.mark(size), "marker": "o"}
    if str(one["product"].item()) != "draw":
        mark["markerfacecolor"] = ax.get_facecolor()
        mark["markeredgewidth"] = 1.5
    bars: dict[str, Any] = {
        "xerr": arms(*(float(one[name]) for name in ("place", "place_low", "place_high"))),
        "yerr": arms(*(float(one[name]) for name in ("kind", "kind_low", "kind_high"))),
    }
    ax.errorbar(float(one["place"]), float(one["kind"]), **bars, color=look.colour, elinewidth=0.6, zorder=5, **mark)


def _along(one: xr.Dataset) -> list[tuple[float, float]]:
    """Places on the bars of a mark, which names leave free."""
    x, y = float(one["place"]), float(one["kind"])
    along: list[tuple[float, float]] = []
    for share in np.linspace(0, 1, 11):
        east = float(one["place_low"] + share * (one["place_high"] - one["place_low"]))
        north = float(one["kind_low"] + share * (one["kind_high"] - one["kind_low"]))
        along += [(east, y)] if np.isfinite(east) else []
        along += [(x, north)] if np.isfinite(north) else []
    return along


def _join(ax: Axes, points: xr.Dataset, look: Look) -> None:
    """Join the draws of one model, in the order in which they are given."""
    draws = points.isel(point=points["product"].values.astype(str) == "draw")
    if draws.sizes["point"] > 1:
        ax.plot(draws["place"], draws["kind"], color=look.colour, linewidth=0.8, alpha=0.5, zorder=3)


def _ground(ax: Axes, points: xr.Dataset, style: Style) -> None:
    """Set limits and words; the line where the place is as good as the reference's."""
    muted = inks(style).muted
    ax.invert_yaxis()
    top = float(np.nanmax([*points["kind"].values, *points["kind_high"].values, 0.5]))
    ax.set_ylim(top * 1.08, 0.0)
    ax.axvline(0, color=muted, linewidth=0.8, zorder=1)
    ax.grid(linewidth=0.4, alpha=0.3)
    low, high = ax.get_xlim()
    ax.set_xlim(low - 0.04 * (high - low), high + 0.12 * (high - low))
    words = (
        points.attrs.get("place", "difference to the reference"),
        points.attrs.get("kind", "mean error of spectrum and tail"),
    )
    ax.set_xlabel(f"where the rain is  →\n{words[0]}")
    ax.set_ylabel(f"what rain it is  →\n{words[1]} (dB)")
    ax.tick_params(colors=muted, labelcolor=truth_ink(style))


def _key(figure: Figure, style: Style) -> None:
    """Say what filled and hollow marks are."""
    from matplotlib.lines import Line2D

    ink = truth_ink(style)
    ground: Any = figure.get_facecolor()
    both: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgecolor": ink, "markersize": 6}
    handles = [
        Line2D([], [], label="a draw", markerfacecolor=ink, **both),
        Line2D([], [], label="a mean or another single field", markerfacecolor=ground, **both),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, borderaxespad=0.0)


def draw_retrievals(
    scene: xr.Dataset, path: str | Path | None = None, *, style: Style = "paper", force: bool = False
) -> Figure:
    """Draw one scene: the infrared, the radar, what each model makes of it, and the probability of rain.

    Parameters
    ----------
    scene
        ``rain_rate (panel, y, x)`` in mm h-1 with the names of the panels, the radar first;
        ``brightness_temperature (y, x)`` in K or ``precipitation_likelihood (y, x)`` in % is drawn before and
        ``probability (y, x)`` after, where they are there; ``threshold`` among the attributes of the probability, in
        mm h-1; the grid.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If there are no panels of rain, or the figure cannot be written.
    """
    if "rain_rate" not in scene or scene["rain_rate"].dims != ("panel", "y", "x"):
        raise ConfigError(
            "there is no rain_rate with panel, y and x",
            where="scene",
            fix="give a Dataset of rain_rate (panel, y, x), the radar first",
        )
    fields = _panels(scene)
    grid = Grid.of(scene["rain_rate"].isel(panel=0))
    columns = min((3, 4), key=lambda count: (-len(fields) % count, -count))
    rows = -(-len(fields) // columns)
    with styled(style):
        scale = enlarged(style)
        each = (180.0 / columns - 5.0) * grid.ny * grid.dy / (grid.nx * grid.dx) + 7.0
        figure = new_figure(180.0 * scale, (each * rows + 28.0) * scale)
        layout = figure.add_gridspec(2, 1, height_ratios=(each * rows, 13.0))
        panels = layout[0].subgridspec(rows, columns).subplots(squeeze=False).ravel()
        for ax in panels[len(fields) :]:
            ax.set_visible(False)
        for number, (ax, (words, field, colours)) in enumerate(zip(panels, fields, strict=False)):
            draw_map(field, ax, title=textwrap.fill(words, 96 // columns), style=style, colour_bar=False, scale=colours)
            ax.tick_params(labelsize="x-small", length=2, pad=1.5)
            ax.set_xlabel("")
            ax.set_ylabel("")
            outer = number + columns >= len(fields)
            ax.tick_params(labelleft=number % columns == 0, labelbottom=outer)
        _bars(figure, layout[1], list(panels[: len(fields)]), fields)
        if "time" in scene.coords and not scene["time"].ndim:
            figure.suptitle(moment(scene["time"].values), x=0.01, ha="left", fontsize="medium", color=inks(style).muted)
    if path is not None:
        save(figure, path, force=force)
    return figure


def _panels(scene: xr.Dataset) -> list[tuple[str, xr.DataArray, Scale]]:
    """Title, field and scale of every map, in order."""
    rain = scene["rain_rate"]
    colours = scale_of("rain_rate", str(rain.attrs.get("units", "mm h-1")), "rain rate")
    made = [(str(field["panel"].values), field, colours) for field in (rain[k] for k in range(rain.sizes["panel"]))]
    if "brightness_temperature" in scene:
        made.insert(0, ("infrared", scene["brightness_temperature"], INFRARED))
    if "precipitation_likelihood" in scene:
        field = scene["precipitation_likelihood"]
        made.insert(0, ("likelihood", field, scale_of(str(field.name), "%", "likelihood of precipitation")))
    if "probability" in scene:
        field = scene["probability"]
        level = field.attrs.get("threshold")
        words = "probability of rain" if level is None else f"P(R ≥ {float(level):g} {spelled('mm h-1')})"
        made.append((words, field, PROBABILITY))
    return made


def _bars(figure: Figure, place: Any, panels: list[Axes], fields: list[tuple[str, xr.DataArray, Scale]]) -> None:
    """Draw one colour bar for each scale, side by side below all maps, and what grey hatching means."""
    firsts: dict[str, tuple[Axes, Scale]] = {}
    for ax, (_, _, scale) in zip(panels, fields, strict=True):
        firsts.setdefault(scale.label, (ax, scale))
    widths = [2.0 if scale.levels == RAIN_LEVELS else 1.0 for _, scale in firsts.values()]
    held = place.subgridspec(1, len(firsts), width_ratios=widths, wspace=0.12).subplots(squeeze=False)[0]
    for target, (label, (ax, scale)) in zip(held, firsts.items(), strict=True):
        bar = figure.colorbar(ax.images[0], cax=target, extend=scale.extend, label=label, orientation="horizontal")
        finish_bar(bar, scale)
    if any(not np.isfinite(field.values).all() for _, field, _ in fields):
        figure.legend(handles=[unobserved_patch()], loc="outside upper right", frameon=False, borderaxespad=0.0)


def draw_spectral_ratios(
    scores: Scores,
    path: str | Path | None = None,
    *,
    names: tuple[str, ...] = (),
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the power of every model over that of the radar against wavelength, of rain and of rain in decibels.

    Long waves are on the left; 0 dB is the radar. A blurred field falls off to the right.

    Parameters
    ----------
    scores
        Holds ``spectrum``.
    path
        Where to save the figure; not saved where None.
    names
        Estimates to draw; all where empty.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the score is absent, or the figure cannot be written.
    """
    found = stated(scores, "spectrum", "spectral_ratio")
    transforms = [str(name) for name in found["transform"].values]
    with sheet(scores, 90 * len(transforms), 80, path, style, force) as page:
        panels: Any = page.figure.subplots(1, len(transforms), sharex=True, sharey=True, squeeze=False)[0]
        held = [name for name in shown(found, "spectral_ratio", page.looks) if not names or name in names]
        page = page._replace(looks=looks(held, style))
        legend_above(page, held)
        for ax, transform in zip(panels, transforms, strict=True):
            _ratios(ax, page, found, held, transform)
        panels[0].set_ylabel("power over that of the radar (dB)")
    return page.figure


def _ratios(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str], transform: str) -> None:
    """Draw one panel of ratios."""
    waves: NDArray[np.float64] = found["wavelength"].values.astype(float)
    ink, muted = truth_ink(page.style), inks(page.style).muted
    ends: list[tuple[float, str, str]] = [(0.0, "radar", ink)]
    for name in names:
        ratio = series(found, "spectral_ratio", estimate=name, transform=transform)
        look = page.looks[name]
        if len(names) <= _BANDS:
            ax.fill_between(waves, ratio.low, ratio.high, color=look.colour, alpha=0.12, linewidth=0)
        ax.plot(waves, ratio.value, **look.line())
    ax.axhline(0, color=ink, linewidth=1.0, zorder=2.5)
    ax.axhspan(-1, 1, color=muted, alpha=0.12, linewidth=0, zorder=0)
    plain_decades(ax, "x")
    ax.set_xlim(float(waves.max()) * 1.05, float(waves.min()) / 1.05)
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, _LEAST), min(max(high, 2.0), -_LEAST))
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)
    ax.set_title({"rain": "Rain", "decibel": "Rain in decibels"}.get(transform, transform))
    ax.set_xlabel(f"wavelength ({found['wavelength'].attrs.get('units', 'km')})")
    name_beside(ax, ends)
