"""The figures of a validation, each with what it shows and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ondee.errors import ConfigError
from ondee.plot.classes import draw_classes
from ondee.plot.findings import Result
from ondee.plot.heat import draw_minutes
from ondee.plot.scans import draw_displacements, draw_lags
from ondee.plot.score_maps import draw_score_maps, gathered
from ondee.plot.sensors import draw_faults
from ondee.plot.sources import draw_parts, draw_scales
from ondee.plot.style import Style
from ondee.report.gallery import Picture, level_of
from ondee.report.truth import Planted
from ondee.report.wording import counted
from ondee.report.wording import gathered as enumerated

__all__ = ["exhibits"]

_ENTRIES: tuple[tuple[str, str, str, Callable[..., Any], dict[str, str], str], ...] = (
    (
        "faults",
        "faults",
        "Faults at a glance",
        draw_faults,
        {},
        "Each sensor's gain (1 is right), the displacement of its rain and the error of its clock, with {level} "
        "intervals; shaded is the tolerance. A fault counts as found only where the whole interval lies beyond the "
        "tolerance. Large marks: against the radar at the minute of the pass; small ones: against the half-hour mean, "
        "which knows less.{planted}",
    ),
    (
        "minutes",
        "sensor-minute",
        "Sensors by the minute of their pass",
        draw_minutes,
        {},
        "Scores against the radar at the overpass, by the minute of the pass after the start of the half hour. Brown "
        "is too little rain, blue too much; darker is more for the rest. Hatched is not resolved: too few passes or "
        "days, or too wide an interval; the number is then a hint. The sampling floor is another comparison: the radar "
        "at the minute of the pass against its own half-hour mean, what a perfect snapshot would score.",
    ),
    (
        "timing",
        "lags",
        "The clock of each sensor",
        draw_lags,
        {},
        "Correlation with the radar so many minutes later than the pass that IMERG states; dots mark the highest "
        "points. The bar at the foot is the clock with its interval, from a scan of lag and displacement together: "
        "left of 0 the rain is that of an earlier moment, so the stated minute is late.",
    ),
    (
        "timing",
        "displacements",
        "The place of each sensor",
        draw_displacements,
        {},
        "Correlation when the rain of a sensor is taken to lie so many cells east and north of the radar's. The "
        "cross is the displacement with its {level} interval, the small box the tolerance; a cell is 0.1°.",
    ),
    (
        "maps",
        "maps-mean",
        "All estimates against the half-hour mean",
        draw_score_maps,
        {"comparison": "mean", "source": "all"},
        "Bias, correlation, detection and false alarms of every cell. Without a dot: an error beyond the tolerance "
        "that stands when all cells are tested together (Benjamini and Yekutieli). Pale and dotted: none that could "
        "be told from a tolerable one on so few days. Hatched grey: not observed. {settled}",
    ),
    (
        "maps",
        "maps-overpass",
        "Microwave against the radar at the overpass",
        draw_score_maps,
        {"comparison": "overpass", "source": "microwave"},
        "The same for cells that a microwave sensor saw, against the radar of that minute: what is left when sampling "
        "is out of the way. {settled}",
    ),
    (
        "sources",
        "parts",
        "Where the volume goes wrong",
        draw_parts,
        {},
        "Rain that a source missed, rain that it invented, and what it got wrong where both rain, as shares of the "
        "radar's rain. The diamond is their sum. A small sum can hide a large miss and an equal invention.",
    ),
    (
        "sources",
        "scales",
        "How far one must step back",
        draw_scales,
        {},
        "Fractions skill score in windows of growing size; 1 is perfect.{coherence} Sensors are judged by the radar at "
        "the overpass, all else by the half-hour mean, “all” as well. Bars and bands are {level} intervals.",
    ),
    (
        "strata",
        "strata-correlation",
        "When it works: correlation",
        draw_classes,
        {"variable": "correlation"},
        "Against the half-hour mean, by how the estimate was made. Grey: the sampling floor of the cells that a sensor "
        "saw; no snapshot can lie above it for long. Open marks are not resolved. Classes by what the radar saw are "
        "classes of the truth: a score in them is conditional, and need not be fair to the estimate.",
    ),
    (
        "strata",
        "strata-bias",
        "When it works: relative bias",
        draw_classes,
        {"variable": "relative_bias"},
        "As above; 0 is right, 50 % is half too much, an arrow at the top is more than 200 %. In classes of "
        "the rain that the radar saw the bias falls from left to right even for a perfect random error: heavy classes "
        "hold the radar's own chance maxima.",
    ),
)


def exhibits(result: Result, facts: Mapping[str, Any], planted: Planted | None = None) -> Iterator[tuple[str, Picture]]:
    """Section and picture of all figures; drawing one raises where the validation does not allow it.

    Parameters
    ----------
    result
        Groups of a validation.
    facts
        With the level of the intervals.
    planted
        What was planted, where the truth is known.
    """
    for place, name, title, draw, chosen, caption in _ENTRIES:
        told = caption.replace("{level}", level_of(facts))
        if "{settled}" in told:
            told = told.replace("{settled}", _settled(result, chosen["comparison"], chosen["source"])).rstrip()
        told = told.replace("{coherence}", _COHERENCE if _held(result, "spectral_coherence") else "")
        told = told.replace("{planted}", " Arrows point at what was planted." if planted else "")
        given: dict[str, Any] = chosen | ({"planted": planted} if draw is draw_faults else {})
        yield place, Picture(name, title, told, _waiting(draw, result, given))


_COHERENCE = (
    " Right: coherence with the radar by wavelength; the mark on the line of √½ is the effective resolution, from "
    "which on all longer waves are at least half right. A curve without a mark never gets there."
)


def _held(result: Result, name: str) -> bool:
    """Whether a score by source is defined anywhere."""
    found = result.get("scores/source")
    return found is not None and name in found and bool(np.isfinite(found[name].values.astype(float)).any())


def _settled(result: Result, comparison: str, source: str) -> str:
    """How many cells of a map are resolved, by score."""
    maps = result.get("maps")
    if maps is None:
        return ""
    chosen = {"comparison": comparison} | ({gathered(maps): source} if gathered(maps) else {})
    held = maps.sel(chosen)
    parts, cells = [], 0
    for name, words in _MAPPED.items():
        if name in held and f"{name}_resolved" in held:
            known = np.isfinite(held[name].values)
            cells = max(cells, int(known.sum()))
            parts.append((words, int((known & held[f"{name}_resolved"].values.astype(bool)).sum())))
    if not cells:
        return ""
    told = enumerated([f"{count} in {words}" for words, count in parts if count])
    return f"Beyond the tolerance are, of {counted(cells, 'cell')}: {told or 'none in any score'}."


_MAPPED = {
    "relative_bias": "bias",
    "correlation": "correlation",
    "probability_of_detection": "detection",
    "false_alarm_ratio": "false alarms",
}


def _waiting(draw: Callable[..., Any], result: Result, chosen: Mapping[str, Any]) -> Callable[[Style], Any]:
    """A figure function that waits for its style, and gives None where there is nothing to draw."""

    def call(style: Style) -> Any:
        try:
            return draw(result, style=style, **chosen)
        except ConfigError:
            return None

    return call
