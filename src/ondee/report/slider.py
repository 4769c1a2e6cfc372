"""The time slider of a validation: half hours as maps side by side, drawn in the page from packed fields."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer
from ondee.plot.heat import DIVERGING
from ondee.plot.map import coast_and_borders
from ondee.plot.palette import MODEL_COLOURS
from ondee.plot.style import DRY, RAIN_COLOURS, RAIN_LEVELS, UNOBSERVED, UNOBSERVED_HATCH
from ondee.validation.sources import name_of, ordered

__all__ = ["STEP", "script", "slider"]

STEP = 0.01
"""Steps in which the page holds rain rates, mm h-1."""
_MISSING = 65535
_MOST_BYTES = 24_000_000
"""Fields before packing; of more, the first half hours in order of rain are shown."""
_NO_PASS = "#e3e6eb"
_FAMILIES = {-1: "#b9c0ca", -2: "#98a1ad", -3: "#767f8c"}
_DIFFERENCES = (-10.0, -5.0, -2.0, -0.5, 0.5, 2.0, 5.0, 10.0)
_MINUTES = ("#fdebd0", "#fbcf94", "#f5ab55", "#dd7f2d", "#ad551c", "#6d3410")
_PANELS = (
    ("rain_rate", "IMERG"),
    ("radar_mean", "radar, mean of the half hour"),
    ("radar_overpass", "radar at the overpass"),
    ("difference", "IMERG − radar"),
    ("source", "source of the estimate"),
    ("minute", "minute of the pass"),
)


def script() -> str:
    """The program of the slider."""
    return (files("ondee.report") / "slider.js").read_text(encoding="utf-8")


def slider(cases: xr.Dataset) -> str:
    """The slider as HTML, with its fields inside.

    Parameters
    ----------
    cases
        ``rain_rate``, ``radar_mean``, ``radar_overpass``, ``microwave_source``, ``microwave_minute`` and
        ``quality_index`` ``(time, y, x)``, with the grid. Sources are numbered as
        :mod:`ondee.validation.sources` does.
    """
    chosen = _fitting(cases).sortby("time")
    grid = Grid.of(chosen["rain_rate"].assign_coords(crs=chosen["crs"]))
    sources = _sources(chosen)
    shrink = float(np.cos(np.radians((grid.north + grid.south) / 2))) if grid.is_geographic else 1.0
    about: dict[str, Any] = {
        "nx": grid.nx,
        "ny": grid.ny,
        "west": grid.west,
        "north": grid.north,
        "dx": grid.dx,
        "dy": grid.dy,
        "geographic": grid.is_geographic,
        "aspect": round(grid.ny * grid.dy / (grid.nx * grid.dx * shrink), 4),
        "times": [_stamp(time) for time in chosen["time"].values],
        "step": STEP,
        "unit": "mm h⁻¹",
        "panels": _scales(),
        "sources": {str(number): entry for number, entry in sources.items()},
        "no_pass": _NO_PASS,
        "unobserved": [UNOBSERVED, UNOBSERVED_HATCH],
        "lines": _lines(grid),
    }
    held = json.dumps(about, ensure_ascii=False).replace("<", "\\u003c")
    packed = b64encode(zlib.compress(_bytes(chosen), 9)).decode("ascii")
    maps = "\n".join(_panel(name, words, sources, about["aspect"]) for name, words in _PANELS)
    last = len(about["times"]) - 1
    return (
        '<div id="slider">\n<div class="controls">\n'
        '<button type="button" class="back" aria-label="half hour before">◀</button>\n'
        '<button type="button" class="play">▶ play</button>\n'
        '<button type="button" class="on" aria-label="half hour after">▶</button>\n'
        f'<input type="range" min="0" max="{last}" value="0" step="1" aria-label="half hour">\n'
        f"<output>{escape(about['times'][0])}</output>\n"
        '<label>difference against <select><option value="radar_mean">the mean of the half hour</option>'
        '<option value="radar_overpass">the overpass</option></select></label>\n</div>\n'
        '<p class="summed"></p>\n'
        '<p class="reading" aria-live="polite">The maps are drawn by a script of this page.</p>\n'
        f'<div class="maps">\n{maps}\n</div>\n'
        f'<script type="application/json" id="slider-data">{held}</script>\n'
        f'<script type="text/plain" id="slider-bytes">{packed}</script>\n</div>\n'
        "<noscript><p>The slider needs scripts; all figures and tables of this page do without.</p></noscript>"
    )


def _fitting(cases: xr.Dataset) -> xr.Dataset:
    """The half hours with most rain that the page can carry; all of them as a rule."""
    each = 9 * cases.sizes["y"] * cases.sizes["x"]
    most = max(1, _MOST_BYTES // each)
    if cases.sizes["time"] <= most:
        return cases
    totals = cases["radar_mean"].sum(("y", "x")).values
    return cases.isel(time=np.sort(np.argsort(-totals, kind="stable")[:most]))


def _stamp(start: np.datetime64) -> str:
    """A half hour in words.

    Examples
    --------
    >>> _stamp(np.datetime64("2018-06-04T14:30"))
    '2018-06-04 14:30–15:00 UTC'
    """
    ends = [np.datetime_as_string(time, "m") for time in (start, start + np.timedelta64(30, "m"))]
    return f"{str(ends[0]).replace('T', ' ')}–{str(ends[1])[11:]} UTC"


def _bytes(cases: xr.Dataset) -> bytes:
    """Rain in steps as 16 bits, little-endian, then source, minute and quality (%) as 8 bits."""
    parts = []
    for name in ("rain_rate", "radar_mean", "radar_overpass"):
        values = _field(cases, name)
        steps = np.clip(np.rint(np.nan_to_num(values) / STEP), 0, _MISSING - 1)
        parts.append(np.where(np.isfinite(values), steps, _MISSING).astype("<u2").tobytes())
    parts.append(np.nan_to_num(_field(cases, "microwave_source")).astype(np.int8).tobytes())
    for name, factor in (("microwave_minute", 1.0), ("quality_index", 100.0)):
        values = _field(cases, name) * factor
        whole = np.clip(np.rint(np.nan_to_num(values)), 0, 254)
        parts.append(np.where(np.isfinite(values), whole, 255).astype(np.uint8).tobytes())
    return b"".join(parts)


def _field(cases: xr.Dataset, name: str) -> NDArray[np.float64]:
    """Values of a field; NaN everywhere where it is absent."""
    if name not in cases:
        return np.full(cases["rain_rate"].shape, np.nan)
    values: NDArray[np.float64] = cases[name].transpose("time", "y", "x").values.astype(float)
    return values


def _sources(cases: xr.Dataset) -> dict[int, tuple[str, str]]:
    """Name and colour of each source that occurs; sensors are coloured, what is between passes is grey."""
    codes = np.unique(_field(cases, "microwave_source"))
    held = [int(code) for code in codes[np.isfinite(codes)] if int(code) != 0]
    colours = MODEL_COLOURS["paper"]
    sensors = [number for number in ordered(held) if number > 0]
    made = {number: (name_of(number), colours[place % len(colours)]) for place, number in enumerate(sensors)}
    return made | {n: (name_of(n), _FAMILIES.get(n, _FAMILIES[-3])) for n in ordered(held) if n < 0}


def _scales() -> dict[str, dict[str, Any]]:
    """Levels and colours of each panel; one colour more than levels."""
    rain = {"levels": list(RAIN_LEVELS), "colours": [DRY, *RAIN_COLOURS]}
    return {
        **dict.fromkeys(("rain_rate", "radar_mean", "radar_overpass"), rain),
        "difference": {"levels": list(_DIFFERENCES), "colours": list(DIVERGING)},
        "source": {"levels": [], "colours": [DRY]},
        "minute": {"levels": [5, 10, 15, 20, 25], "colours": list(_MINUTES)},
    }


def _panel(name: str, words: str, sources: dict[int, tuple[str, str]], aspect: float) -> str:
    """One map with its legend."""
    swatches = "".join(
        f'<span><i style="background:{colour}"></i>{escape(text)}</span>' for colour, text in _legend(name, sources)
    )
    grey = '<span><i class="unobserved"></i>not observed</span>'
    words = escape(words)
    shape = f'style="aspect-ratio:1/{aspect}"'
    return (
        f'<figure class="map"><figcaption><b>{words}</b>{_UNITS.get(name, "")}</figcaption>\n'
        f'<canvas data-panel="{name}" role="img" aria-label="{words}" {shape}></canvas>\n'
        f'<div class="legend">{swatches}{grey}</div></figure>'
    )


_UNITS = {
    **dict.fromkeys(("rain_rate", "radar_mean", "radar_overpass", "difference"), " (mm h⁻¹)"),
    "minute": " (min after the start)",
}


def _legend(name: str, sources: dict[int, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Colour and words of each class."""
    if name == "source":
        for text, colour in sources.values():
            yield colour, text
        return
    if name == "minute":
        for place, colour in enumerate(_MINUTES):
            yield colour, f"{5 * place}–{5 * place + 4}"
    elif name == "difference":
        ends = [f"{level:g}".replace("-", "−") for level in _DIFFERENCES]
        words = [f"< {ends[0]}", *(f"{low} to {high}" for low, high in pairwise(ends)), f"≥ {ends[-1]}"]
        yield from zip(DIVERGING, words, strict=True)
    else:
        yield DRY, "dry"
        for level, colour in zip(RAIN_LEVELS, RAIN_COLOURS, strict=True):
            yield colour, f"≥ {level:g}"
    if name in ("minute", "radar_overpass", "difference"):
        yield _NO_PASS, "no pass"


def _lines(grid: Grid) -> dict[str, list[list[float]]]:
    """Coast and borders in cells from the upper left corner, as flat lists of x and y."""
    held = coast_and_borders()
    return {"coast": _inside(held.coast, grid), "border": _inside(held.border, grid)}


def _inside(lines: list[NDArray[np.float64]], grid: Grid) -> list[list[float]]:
    """The parts of lines that lie on the grid."""
    if grid.is_local:
        return []
    west, south, east, north = grid.region()
    project = transformer(LATITUDE_LONGITUDE, grid.crs)
    made = []
    for line in lines:
        near = (line[:, 0] > west - 1) & (line[:, 0] < east + 1) & (line[:, 1] > south - 1) & (line[:, 1] < north + 1)
        if not near.any():
            continue
        x, y = project.transform(line[:, 0], line[:, 1])
        places = np.stack([(x - grid.west) / grid.dx, (grid.north - y) / grid.dy], axis=1)
        places[~near | ~np.isfinite(places).all(axis=1)] = np.nan
        for part in np.split(places, np.flatnonzero(~np.isfinite(places[:, 0]))):
            kept = part[np.isfinite(part[:, 0])]
            if len(kept) > 1:
                made.append([float(number) for number in np.round(kept, 2).ravel()])
    return made
