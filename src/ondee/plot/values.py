"""Figures of what rain it is: quantiles against quantiles, power and coherence by wavelength."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.plot.labels import legend_above, name_beside
from ondee.plot.palette import truth_ink
from ondee.plot.series import (
    Scores,
    Sheet,
    arms,
    plain_decades,
    probability_text,
    series,
    sheet,
    shown,
    stated,
)
from ondee.plot.style import Style, inks, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LEAST_RATIO", "draw_quantiles", "draw_spectra"]

_LEAST = 0.1
"""Smallest rain that the quantile figure shows, mm h-1."""
_MARKED = (0.99, 0.999, 0.9999)
_COHERENT = 0.5**0.5
"""Coherence from which half of the variance is shared."""
LEAST_RATIO = -30.0
"""Lowest power ratio that a panel shows, dB."""
_LEAST_POWER = 1e-4
"""Lowest power that a panel shows, relative to the least of the truth."""
_TRANSFORMS = {"rain": "rain", "decibel": "rain in decibels"}


def draw_quantiles(
    scores: Scores,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw quantiles of the estimates against those of the truth, from 0.1 mm/h, on decades.

    Below the diagonal an estimate rains less at that frequency than the truth. Marks are q99, q99.9 and q99.99. Bands
    are the intervals of the ratio of the two quantiles.

    Parameters
    ----------
    scores
        Holds ``distribution``.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the scores are absent, or the figure cannot be written.
    """
    found = stated(scores, "distribution", "quantile")
    with sheet(scores, 110, 110, path, style, force) as page:
        ax = page.figure.add_subplot()
        names = shown(found, "quantile", page.looks)
        legend_above(page, names)
        spots: list[tuple[float, float, float, str]] = []
        dry: list[str] = []
        for name in names:
            before = len(ax.lines)
            spots += _quantile_curve(ax, page, found, name)
            if len(ax.lines) == before:
                dry.append(name)
        plain_decades(ax, "x")
        plain_decades(ax, "y")
        reached = [value for value in (*ax.dataLim.max, 1.0) if np.isfinite(value)]
        top = float(max(reached)) * 1.3
        ax.set_xlim(_LEAST, top)
        ax.set_ylim(_LEAST, top)
        ax.set_aspect("equal")
        muted = inks(style).muted
        ax.plot([_LEAST, top], [_LEAST, top], color=muted, linewidth=0.7, zorder=1)
        ax.grid(linewidth=0.4, alpha=0.3)
        units = spelled(str(found["quantile"].attrs.get("units", "mm h-1")))
        ax.set_xlabel(f"quantile of the truth ({units})")
        ax.set_ylabel(f"same quantile of the estimate ({units})")
        _name_quantiles(ax, spots, muted)
        if dry:
            ax.text(
                0.02, 0.98, f"not drawn, below {_LEAST:g} {units}: " + ", ".join(dry), transform=ax.transAxes, va="top"
            ).set(fontsize="small", color=muted)
    return page.figure


def _quantile_curve(ax: Axes, page: Sheet, found: xr.Dataset, name: str) -> list[tuple[float, float, float, str]]:
    """Draw one estimate; give probability, truth, estimate and colour of its marks."""
    truth = series(found, "quantile", estimate=name, field="truth").value
    own = series(found, "quantile", estimate=name, field="estimate")
    held = (truth >= _LEAST) & (own.value >= _LEAST)
    if not held.any():
        return []
    look = page.looks[name]
    # The interval of the ratio: truth and estimate rain in the same weather, which their quotient no longer holds.
    ratio = series(found, "quantile_ratio", estimate=name) if "quantile_ratio" in found else None
    if ratio is not None:
        low, high = (truth[held] * np.atleast_1d(end)[held] for end in (ratio.low, ratio.high))
        ax.fill_between(truth[held], low.clip(min=_LEAST), high, color=look.colour, alpha=0.15, linewidth=0)
    ax.plot(truth[held], own.value[held], **look.line(), zorder=3)
    spots = []
    for index, probability in enumerate(found["probability"].values.astype(float)):
        if held[index] and np.isclose(probability, _MARKED, atol=1e-9).any():
            ax.plot(truth[index], own.value[index], linestyle="none", **look.mark(5 * page.scale), zorder=4)
            spots.append((float(probability), float(truth[index]), float(own.value[index]), look.colour))
    return spots


def _name_quantiles(ax: Axes, spots: list[tuple[float, float, float, str]], muted: str) -> None:
    """Name the marked quantiles once each, on the axis of the truth."""
    for probability in sorted({spot[0] for spot in spots}):
        at = float(np.median([spot[1] for spot in spots if spot[0] == probability]))
        ax.axvline(at, color=muted, linewidth=0.5, linestyle=(0, (2, 2)), alpha=0.7, zorder=1)
        text = ax.text(at, _LEAST * 1.1, probability_text(probability), color=muted, fontsize="small")
        text.set(rotation=90, ha="right", va="bottom")


def draw_spectra(
    scores: Scores,
    path: str | Path | None = None,
    *,
    style: Style = "paper",
    force: bool = False,
) -> Figure:
    """Draw power, its ratio to the truth and coherence against wavelength, for rain and for rain in decibels.

    Long waves are on the left. Where the ratio falls below 0 dB the estimate is smoother than the truth. The mark on
    the line of √½ is the effective resolution: coherence stays above the line at all longer waves.

    Parameters
    ----------
    scores
        Holds ``spectrum``.
    path
        Where to save the figure; not saved where None.
    style
        ``paper`` or ``screen``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the scores are absent, or the figure cannot be written.
    """
    found = stated(scores, "spectrum", "spectral_power", "spectral_ratio", "spectral_coherence")
    transforms = [str(name) for name in found["transform"].values] if "transform" in found.dims else [""]
    with sheet(scores, 90 * len(transforms), 150, path, style, force) as page:
        panels: Any = page.figure.subplots(3, len(transforms), sharex=True, squeeze=False, height_ratios=(1.25, 1, 1))
        names = shown(found, "spectral_ratio", page.looks)
        legend_above(page, names)
        for column, transform in enumerate(transforms):
            _power_panel(panels[0, column], page, found, names, transform)
            _ratio_panel(panels[1, column], page, found, names, transform)
            _coherence_panel(panels[2, column], page, found, names, transform)
        for ax in panels[1:, 1:].ravel():
            ax.set_ylabel("")
        _share_heights(panels[1])
    return page.figure


def _share_heights(row: Any) -> None:
    """Give the panels of a row the same limits."""
    lows, highs = zip(*(ax.get_ylim() for ax in row), strict=True)
    for ax in row:
        ax.set_ylim(min(lows), max(highs))


def _waves(found: xr.Dataset) -> tuple[Any, str]:
    """Wavelengths and their unit."""
    waves = found["wavelength"]
    units = str(waves.attrs.get("units", "km" if float(found.attrs.get("pixel", -1.0)) > 0 else "1"))
    return waves.values.astype(float), "pixels" if units == "1" else units


def _wave_axis(ax: Axes, found: xr.Dataset) -> None:
    """Long waves left, on decades, with round numbers."""
    waves, _ = _waves(found)
    plain_decades(ax, "x")
    ax.set_xlim(float(waves.max()) * 1.05, float(waves.min()) / 1.05)
    ax.grid(axis="y", linewidth=0.4, alpha=0.35)


def _power_panel(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str], transform: str) -> None:
    """Draw the power of each estimate, and of the truth in ink."""
    waves, _ = _waves(found)
    ink = truth_ink(page.style)
    for name in names:
        power = series(found, "spectral_power", estimate=name, transform=transform, field="estimate")
        ax.plot(waves, power.value, **page.looks[name].line(), zorder=3)
    truths = [series(found, "spectral_power", estimate=n, transform=transform, field="truth").value for n in names]
    held = max(truths, key=lambda values: int(np.isfinite(values).sum()))
    ax.plot(waves, held, color=ink, linewidth=1.6 * page.scale, zorder=2.5)
    ax.set_yscale("log")
    _wave_axis(ax, found)
    _power_limits(ax, held)
    if np.isfinite(held).any():
        shortest = int(np.argmin(np.where(np.isfinite(held), waves, np.inf)))
        name_beside(ax, [(float(held[shortest]), "truth", ink)])
    words = _TRANSFORMS.get(transform, transform)
    ax.set_title(f"Power of {words}" if words else "Power")
    ax.set_ylabel("power, dB²" if transform == "decibel" else "power, (mm h⁻¹)²")


def _power_limits(ax: Axes, truth: NDArray[np.float64]) -> None:
    """Show all power down to some decades below the truth: what is less says no more, and would flatten the rest."""
    curves = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    seen = curves[np.isfinite(curves) & (curves > 0)]
    whole = truth[np.isfinite(truth) & (truth > 0)]
    if not seen.size:
        return
    floor = _LEAST_POWER * float(whole.min()) if whole.size else 0.0
    top, low = float(seen.max()), max(float(seen.min()), floor)
    margin = max(top / low, 2.0) ** 0.05
    ax.set_ylim(max(low / margin, floor), top * margin)


def _ratio_limits(ax: Axes, ends: list[NDArray[np.float64]]) -> None:
    """Show all ratios and bands down to the least one."""
    held = np.concatenate(ends)
    held = held[np.isfinite(held)].clip(min=LEAST_RATIO)
    low, top = float(min(held.min(initial=0.0), -4.5)), float(held.max(initial=0.0))
    margin = 0.05 * (top - low)
    ax.set_ylim(max(low - margin, LEAST_RATIO), top + margin)


def _ratio_panel(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str], transform: str) -> None:
    """Draw the power of the estimate over that of the truth, dB."""
    waves, _ = _waves(found)
    ends: list[NDArray[np.float64]] = []
    for name in names:
        ratio = series(found, "spectral_ratio", estimate=name, transform=transform)
        look = page.looks[name]
        ax.fill_between(waves, ratio.low, ratio.high, color=look.colour, alpha=0.15, linewidth=0)
        ax.plot(waves, ratio.value, **look.line())
        ends += [np.broadcast_to(part, waves.shape) for part in ratio]
    ax.axhline(0, color=truth_ink(page.style), linewidth=0.8, zorder=1)
    ax.axhline(-3.01, color=inks(page.style).muted, linewidth=0.6, linestyle=(0, (2, 2)), zorder=1)
    _wave_axis(ax, found)
    _ratio_limits(ax, ends)
    ax.annotate(
        "half the power",
        (0.01, -3.01),
        xycoords=ax.get_yaxis_transform(),
        xytext=(0, -2),
        textcoords="offset points",
        va="top",
        fontsize="x-small",
        color=inks(page.style).muted,
    )
    ax.set_ylabel("power ratio\nto the truth (dB)")


def _coherence_panel(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str], transform: str) -> None:
    """Draw coherence with the truth, and mark the effective resolution with its interval."""
    waves, units = _waves(found)
    least = 0.0
    for name in names:
        coherence = series(found, "spectral_coherence", estimate=name, transform=transform)
        look = page.looks[name]
        ax.fill_between(waves, coherence.low, coherence.high, color=look.colour, alpha=0.15, linewidth=0)
        ax.plot(waves, coherence.value, **look.line())
        held = coherence.value[np.isfinite(coherence.value)]
        least = min(least, float(held.min(initial=0.05)) - 0.05)
    muted = inks(page.style).muted
    ax.axhline(_COHERENT, color=muted, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    ax.text(1.0, _COHERENT, " √½", color=muted, fontsize="small", transform=ax.get_yaxis_transform(), va="center")
    _wave_axis(ax, found)
    ax.set_ylim(least, 1)
    if least < 0:
        ax.axhline(0, color=muted, linewidth=0.6, zorder=1)
    if "effective_resolution" in found:
        _resolution_marks(ax, page, found, names, transform)
    ax.set_ylabel("coherence\nwith the truth")
    ax.set_xlabel(f"wavelength ({units})")


def _resolution_marks(ax: Axes, page: Sheet, found: xr.Dataset, names: list[str], transform: str) -> None:
    """Mark effective resolutions on the line of √½, one above another where their intervals would lie on each other."""
    step = 0.055 * float(np.ptp(ax.get_ylim()))
    taken: list[tuple[float, float, int]] = []
    for name in names:
        at = series(found, "effective_resolution", estimate=name, transform=transform)
        value = float(at.value)
        if not np.isfinite(value):
            continue
        ends = [value, *(float(end) for end in (at.low, at.high) if np.isfinite(end))]
        low, high = min(ends) / 1.04, max(ends) * 1.04
        used = {level for left, right, level in taken if low < right and left < high}
        level = min(
            (one for one in range(-len(names), len(names) + 1) if one not in used), key=lambda one: (abs(one), -one)
        )
        taken.append((low, high, level))
        look = page.looks[name]
        ax.errorbar(
            value,
            _COHERENT + level * step,
            xerr=arms(at.value, at.low, at.high),
            color=look.colour,
            elinewidth=0.9,
            **look.mark(4.5 * page.scale),
            zorder=5,
        )
