"""Figures of the scores by source: where the volume goes wrong, and how far one must step back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.plot.findings import GATHERED, Result, group, sources_of
from ondee.plot.labels import legend_above
from ondee.plot.palette import Look, looks, truth_ink
from ondee.plot.series import Sheet, arms, plain_decades, quantity, series
from ondee.plot.style import Style, enlarged, inks, new_figure, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_parts", "draw_scales"]

_PARTS = (
    ("missed_rain", -1.0, "missed", "#b9691a"),
    ("hit_error", 1.0, "too much or too little in hits", "#8d96a3"),
    ("false_rain", 1.0, "false", "#2c83a8"),
)
"""Parts of the error: variable, its sign in the sum, words, colour."""
_REFERENCES = (("overpass", "against the radar at the overpass"), ("mean", "against the half-hour mean"))
_COHERENT = 0.5**0.5
_THRESHOLD = 0.1


def draw_parts(
    result: Result,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw how much rain each source misses, invents, and gets wrong where it finds it, in % of the rain.

    Tian et al. 2009 (Journal of Geophysical Research 114, D24101), eq. 3. The mark is their sum, with its interval.

    Parameters
    ----------
    result
        Groups of a validation; ``scores/source`` is drawn.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the decomposition is absent or defined nowhere, or the figure cannot be written.
    """
    found = group(result, "scores/source")
    _require(found, "total_error", *(name for name, *_ in _PARTS))
    known = found["comparison"].values.astype(str)
    references = [entry for entry in _REFERENCES if entry[0] in known]
    sources = sources_of(found, "total_error")
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(180 * scale, (6.6 * len(sources) + 26) * scale)
        panels: Any = figure.subplots(1, len(references), squeeze=False, sharey=True, sharex=True)[0]
        for ax, (reference, words) in zip(panels, references, strict=True):
            _bars(ax, found, reference, sources, style)
            ax.set_title(words)
        panels[0].set_yticks(range(len(sources)), sources)
        panels[0].set_ylim(len(sources) - 0.4, -0.6)
        _parts_legend(figure, style)
        figure.get_layout_engine().set(w_pad=0.05, wspace=0.03)  # type: ignore[union-attr, call-arg]
    if path is not None:
        save(figure, path, force=force)
    return figure


def _require(found: xr.Dataset, *variables: str) -> None:
    """Refuse to draw what is absent or defined nowhere.

    Raises
    ------
    ConfigError
        If a variable is.
    """
    for name in variables:
        if name not in found or not np.isfinite(found[name].values.astype(float)).any():
            raise ConfigError(
                f"{name} is defined nowhere", where="scores/source", fix="validate more half hours with rain"
            )


def _bars(ax: Axes, found: xr.Dataset, reference: str, sources: list[str], style: Style) -> None:
    """Draw the parts of the error of each source: rain too little to the left, too much to the right."""
    ax.axvline(0, color=inks(style).muted, linewidth=0.8, zorder=3)
    chosen = {"comparison": reference, "threshold": _THRESHOLD}
    for row, source in enumerate(sources):
        reached = [0.0, 0.0]
        for variable, sign, _, colour in _PARTS:
            part = 100 * sign * float(series(found, variable, source=source, **chosen).value)
            if not np.isfinite(part):
                continue
            side = int(part > 0)
            ax.barh(row, part, left=reached[side], height=0.62, color=colour, linewidth=0, zorder=2)
            reached[side] += part
        total = series(found, "total_error", source=source, **chosen)
        if not np.isfinite(total.value):
            ax.text(0, row, " not defined", va="center", fontsize="x-small", color=inks(style).muted)
            continue
        ink = truth_ink(style)
        rims: tuple[tuple[Any, float, float], ...] = ((ax.get_facecolor(), 2.6, 6.0), (ink, 1.2, 4.0))
        for rim, width, size in rims:
            look: dict[str, Any] = {"color": rim, "elinewidth": width, "marker": "D", "markersize": size}
            ax.errorbar(100 * total.value, row, xerr=100 * arms(*total), zorder=4, **look)
    ax.set_xlabel("share of the radar's rain (%)\n← too little   too much →")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", linewidth=0.4, alpha=0.35)


def _parts_legend(figure: Figure, style: Style) -> None:
    """Name the parts above the panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=colour, label=words) for *_, words, colour in _PARTS]
    look: dict[str, Any] = {"color": truth_ink(style), "linewidth": 1.2, "marker": "D", "markersize": 4}
    handles.append(Line2D([], [], label="sum, with interval", **look))
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, borderaxespad=0.0)


def draw_scales(
    result: Result,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw the fractions skill score by window and the coherence by wavelength, one curve a source.

    Below the effective resolution, the mark on the line of √½, the rain is more often in the wrong place than right.

    Parameters
    ----------
    result
        Groups of a validation; ``scores/source`` is drawn, against the radar at the overpass where the source has one,
        else against the half-hour mean.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If neither score is there, or the figure cannot be written.
    """
    found = group(result, "scores/source")
    held = [name for name in ("fractions_skill_score", "spectral_coherence") if name in found]
    held = [name for name in held if np.isfinite(found[name].values.astype(float)).any()]
    if not held:
        _require(found, "fractions_skill_score")
    with styled(style):
        scale = enlarged(style)
        figure = new_figure(180 * scale if len(held) > 1 else 105 * scale, 92 * scale)
        panels: Any = figure.subplots(1, len(held), squeeze=False)[0]
        names = list(dict.fromkeys(name for variable in held for name in sources_of(found, variable)))
        page = Sheet(figure, style, _looks(names, style), scale)
        legend_above(page, names)
        for ax, variable in zip(panels, held, strict=True):
            draw = _fractions if variable == "fractions_skill_score" else _coherence
            draw(ax, page, found, sources_of(found, variable))
        figure.get_layout_engine().set(w_pad=0.06)  # type: ignore[union-attr, call-arg]
    if path is not None:
        save(figure, path, force=force)
    return figure


def _looks(names: list[str], style: Style) -> dict[str, Look]:
    """Looks of the sources; what gathers several stands in ink."""
    made = looks([name for name in names if name not in ("microwave", "all")], style)
    ink = truth_ink(style)
    made |= {"microwave": Look(ink, (0, (5, 1.6)), "s", False), "all": Look(ink, "solid", "o", False)}
    return {name: made[name] for name in names}


def _comparison(found: xr.Dataset, variable: str, source: str) -> str:
    """Reference of a source: the overpass where a sensor passed, the mean for what lies between and for the whole."""
    if source == "microwave" or source not in GATHERED:
        held = series(found, variable, source=source, comparison="overpass")
        if np.isfinite(held.value).any():
            return "overpass"
    return "mean"


def _fractions(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str]) -> None:
    """Draw the fractions skill score against the width of the window."""
    pixel = float(found.attrs.get("pixel", found.attrs.get("pixel_km", -1.0)))
    scales = found["scale"].values.astype(float)
    widths = scales * pixel if pixel > 0 else scales
    threshold = _middle(found["threshold"].values.astype(float)) if "threshold" in found.coords else 1.0
    for name in names:
        chosen = {"comparison": _comparison(found, "fractions_skill_score", name), "threshold": threshold}
        curve = series(found, "fractions_skill_score", source=name, **chosen)
        look = page.looks[name]
        moved = widths * 1.018 ** (names.index(name) - (len(names) - 1) / 2)
        mark = look.mark(3.5 * page.scale)
        ax.plot(moved, curve.value, **look.line(), **mark, linewidth=1.3)
        ax.errorbar(
            moved, curve.value, yerr=arms(*curve), color=look.colour, linestyle="none", elinewidth=0.8, zorder=1
        )
    plain_decades(ax, "x")
    ax.set_xlim(widths[0] / 1.1, widths[-1] * 1.1)
    ax.set_ylim(0, 1)
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)
    ax.set_xlabel("width of the window (km)" if pixel > 0 else "width of the window (cells)")
    ax.set_ylabel("fractions skill score")
    ax.set_title(f"Rain of at least {threshold:g} mm h⁻¹")


def _middle(thresholds: Any) -> float:
    """The threshold nearest to 1 mm/h."""
    return float(thresholds[np.argmin(abs(np.log(np.maximum(thresholds, 1e-9))))])


def _coherence(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str]) -> None:
    """Draw the coherence with the radar against the wavelength, and the effective resolutions."""
    waves = found["wavelength"]
    marked: list[float] = []
    for name in names:
        reference = _comparison(found, "spectral_coherence", name)
        chosen = {"source": name, "comparison": reference, "transform": "rain"}
        curve = series(found, "spectral_coherence", **chosen)
        look = page.looks[name]
        ax.fill_between(waves.values, curve.low, curve.high, color=look.colour, alpha=0.10, linewidth=0)
        ax.plot(waves.values, curve.value, **look.line(), linewidth=1.3)
        if "effective_resolution" in found:
            at = series(found, "effective_resolution", **chosen)
            if np.isfinite(at.value):
                level = _COHERENT + 0.028 * sum(abs(np.log(at.value / other)) < 0.06 for other in marked)
                marked.append(float(at.value))
                bars: dict[str, Any] = {"elinewidth": 0.9, **look.mark(5 * page.scale)}
                ax.errorbar(at.value, level, xerr=arms(*at), color=look.colour, zorder=5, **bars)
    muted = inks(page.style).muted
    ax.axhline(_COHERENT, color=muted, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    ax.text(1.0, _COHERENT, " √½", color=muted, fontsize="small", transform=ax.get_yaxis_transform(), va="center")
    plain_decades(ax, "x")
    ax.set_xlim(float(waves.max()) * 1.05, float(waves.min()) / 1.05)
    ax.set_ylim(min(0.0, float(ax.dataLim.y0)), 1)
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)
    ax.set_xlabel(quantity(waves, "wavelength"))
    ax.set_ylabel("coherence with the radar")
    ax.set_title("Marks: effective resolution")
