"""The figures of a report, each with what it shows and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from ondee.plot.detection import draw_fractions, draw_performance, draw_roc
from ondee.plot.overview import draw_axes, draw_cases, draw_strata, strata_of
from ondee.plot.probabilities import draw_ranks, draw_reliability, draw_spread_skill
from ondee.plot.replicates import draw_replicate
from ondee.plot.series import drawable
from ondee.plot.style import Style, save
from ondee.plot.values import LEAST_RATIO, draw_quantiles, draw_spectra

__all__ = ["Picture", "axes_picture", "case_maps", "draw_all", "level_of", "pictures", "strata_pictures"]

Scores = Mapping[str, xr.Dataset]
Figure = Any
"""A figure of matplotlib, which only the plot room imports."""


@dataclass(frozen=True)
class Picture:
    """One figure of a report.

    Parameters
    ----------
    name
        Anchor in the page.
    title
        Heading.
    caption
        What it shows and how to read it.
    draw
        Draws it in a style.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Style], Any]


_ENTRIES: tuple[tuple[str, str, tuple[str, ...], Callable[..., Any], str], ...] = (
    (
        "performance",
        "Detections and false alarms",
        ("event", "success_ratio", "probability_of_detection"),
        draw_performance,
        "How much of the rain is found (up) and how much of what is claimed is there (right); each mark is a threshold "
        "of rain, the first and the last are named. The upper right corner is perfect. Curved lines join equal "
        "critical success index, rays equal frequency bias: above the ray of 1 rain is claimed too often, below it "
        "too seldom. Crosses are {level} intervals.",
    ),
    (
        "fractions",
        "How far one must step back",
        ("fractions", "fractions_skill_score"),
        draw_fractions,
        "The fractions skill score compares the share of wet pixels in windows of growing size: 1 is perfect. Above "
        "the dashed line a field is useful at that size. A curve that rises late has its rain in the wrong place, one "
        "that never reaches 1 has the wrong amount of it. Bands are {level} intervals.",
    ),
    (
        "quantiles",
        "How hard it rains",
        ("distribution", "quantile"),
        draw_quantiles,
        "Quantiles of each estimate against the same quantiles of the truth, from 0.1 mm/h on. On the diagonal both "
        "rain equally hard equally often; below it the estimate is too weak there. Marks are q99, q99.9 and q99.99, "
        "the rain that 1, 0.1 and 0.01 % of the pixels reach. Bands are {level} intervals of the ratio "
        "of the two. Nothing is said of where it rains.",
    ),
    (
        "spectra",
        "Texture by scale",
        ("spectrum", "spectral_ratio", "spectral_power", "spectral_coherence"),
        draw_spectra,
        "Top: variance by wavelength, long waves on the left, the truth in ink. Middle: the same as a ratio to the "
        "truth; below 0 dB the estimate is smoother than the truth, at −3 dB half the power is lost. Bottom: "
        "coherence, which asks whether the waves lie in the right place (below 0: in the opposite one); the mark at "
        "the line of √½ is the effective resolution, from which on all longer waves are at least half right. An "
        "estimate can have full power and no coherence: invented detail.",
    ),
    (
        "reliability",
        "Whether a probability means what it says",
        ("probability", "observed_frequency", "forecast_probability", "class_share"),
        draw_reliability,
        "How often it rained where each probability was given. On the diagonal a probability is a frequency. The "
        "probabilities of an ensemble are shares of its members: with few of them even an honest ensemble gives a "
        "curve a little flatter than the diagonal; only a clearly flatter one is too sure of itself. The dotted line "
        "is the base rate; in the shaded part a forecast is better than always giving it. Below: how often each "
        "probability is given.",
    ),
    (
        "roc",
        "Whether yes can be told from no",
        ("probability", "roc_detection", "roc_false_detection"),
        draw_roc,
        "Detections against false detections as the limit of the probability falls; the upper left corner is perfect, "
        "the diagonal is chance. Single marks are estimates that give no probability. The curve does not change if "
        "probabilities are badly calibrated, so read it with the reliability.",
    ),
    (
        "ranks",
        "Whether the truth could be a member",
        ("ranks", "rank_frequency"),
        draw_ranks,
        "The rank of the truth among the members, relative to an even share: 1 everywhere is right. High ends mean too "
        "little spread, a hump too much, a slope bias. Bars: pixels where it rains in truth or in a "
        "member; line: all pixels, dry ties broken by lot. An even histogram is necessary, not sufficient.",
    ),
    (
        "spread",
        "Whether the ensemble knows its error",
        ("spread", "rmse_by_class", "spread_by_class"),
        draw_spread_skill,
        "Error of the ensemble mean against the spread of the ensemble, in classes of spread. On the diagonal the "
        "ensemble knows how wrong it is; above it is too sure of itself. The spread of few members is itself a guess, "
        "so its extremes exaggerate: even an honest ensemble then leaves the diagonal at the ends, above it on the "
        "left and below it on the right. Bands are {level} intervals.",
    ),
    (
        "replicate",
        "Whether the truth can be told from a member",
        ("replicate", "replicate_critical_success_index"),
        draw_replicate,
        "Solid: how well a member meets the truth; dashed: how well it meets another member. If both curves of an "
        "ensemble are equal the truth could be one of its members. Dashed above solid: members are too much alike, the "
        "spread is too small; dashed below solid: they scatter more than the truth does. How high the curves lie says "
        "how much of the rain can be foretold, not how honest the ensemble is. Bands are {level} intervals, those of "
        "members with each other have thin edges.",
    ),
)


def axes_picture(scores: Scores, facts: Mapping[str, Any]) -> Picture | None:
    """The two-axis picture, where it can be drawn."""
    reference = str(facts.get("reference") or "")
    if not drawable(scores, "axes", "localisation", "realism_error"):
        return None
    return Picture(
        "axes",
        "Where the rain is, and what rain it is",
        "Right: rain in the right place, as the fractions skill score. Up: rain of the right kind, as the mean "
        "error of the power spectrum and of the heavy tail in decibels, 0 at the top. The star is a perfect estimate. "
        "A blurred mean lies right and low, a sharp field in the wrong place left and high. Bars are {level} "
        "intervals; two marks whose bars overlap may still be told apart by the paired bootstrap of the table.".replace(
            "{level}", level_of(facts)
        ),
        lambda style: draw_axes(scores, reference=reference or None, style=style),
    )


def level_of(facts: Mapping[str, Any]) -> str:
    """Level of the intervals, as a caption prints it.

    Examples
    --------
    >>> level_of({"level": 0.9})
    '90 %'
    """
    return f"{100 * float(facts.get('level', 0.95)):g} %"


def pictures(scores: Scores, facts: Mapping[str, Any]) -> Iterator[Picture]:
    """All other figures that these scores allow."""
    for name, title, needs, draw, caption in _ENTRIES:
        if drawable(scores, needs[0], *needs[1:]):
            told = caption.replace("{level}", level_of(facts))
            if name == "spectra" and (scores["spectrum"]["spectral_ratio"] < LEAST_RATIO).any():
                told += f" Ratios below −{-LEAST_RATIO:g} dB leave the panel."
            yield Picture(name, title, told, _bound(draw, scores))


def _bound(draw: Callable[..., Any], scores: Scores, **given: Any) -> Callable[[Style], Any]:
    """A figure function that waits for its style."""
    return lambda style: draw(scores, style=style, **given)


def strata_pictures(scores: Scores, facts: Mapping[str, Any]) -> Iterator[Picture]:
    """Localisation and frequency bias in the strata of each variable."""
    about = scores["axes"].attrs if "axes" in scores else {}
    threshold = float(about.get("localisation_threshold", 1.0))
    wanted = (
        ("fractions", "fractions_skill_score", "where the rain is: the fractions skill score, 1 is perfect"),
        ("event", "frequency_bias", "how often rain is claimed relative to how often it falls, 1 is perfect"),
    )
    for score, variable, words in wanted:
        if not drawable(scores, score, variable):
            continue
        found = scores[score]
        chosen: dict[str, Any] = {"threshold": threshold}
        if "scale" in found[variable].dims:
            pixel, wide = float(found.attrs.get("pixel", -1.0)), float(about.get("localisation_scale_km", -1.0))
            middle = float(found["scale"].values[found.sizes["scale"] // 2])
            chosen["scale"] = wide / pixel if pixel > 0 and wide > 0 else middle
        for by in strata_of(found):
            title = f"{variable.replace('_', ' ').capitalize()} by {by.replace('_', ' ')}"
            caption = (
                f"In each {by.replace('_', ' ')}, {words}. Thin level lines are the values over all; bands and "
                f"bars are {level_of(facts)} intervals. Many strata invite chance: believe a difference that is large, "
                "expected and lasts."
            )
            draw = _bound(draw_strata, scores, score=score, variable=variable, by=by, **chosen)
            yield Picture(f"strata-{variable}-{by}".replace("_", "-"), title, caption, draw)


def case_maps(cases: xr.Dataset | None) -> Iterator[tuple[str, xr.Dataset, str]]:
    """Give name, Dataset and variable of each set of maps of a case: rain first, then likelihoods.

    Parameters
    ----------
    cases
        ``rain_rate (panel, y, x)``; any other variable has a dimension of names of its own, ``<variable>_panel``. None
        gives nothing.
    """
    if cases is None:
        return
    yield "case", cases, "rain_rate"
    for variable in map(str, cases.data_vars):
        if variable != "rain_rate":
            own = cases[[variable]].rename({f"{variable}_panel": "panel"})
            yield f"case-{variable.replace('_', '-')}", own, variable


def draw_all(
    scores: Scores,
    facts: Mapping[str, Any],
    cases: xr.Dataset | None,
    folder: str | Path,
    *,
    suffix: str = ".png",
    style: Style = "paper",
    force: bool = False,
) -> list[Path]:
    """Draw every figure of a report into a folder: case, axes, performance and so on.

    Parameters
    ----------
    scores, facts, cases
        As for :func:`ondee.report.write_report`.
    folder
        Where to save; it must exist.
    suffix
        ``.png``, ``.svg`` or ``.pdf``.
    style
        ``paper`` or ``screen``.
    force
        Overwrite files that exist.

    Raises
    ------
    ConfigError
        If the folder does not exist or a file exists and `force` is not set.
    """
    made = []
    for name, case, variable in case_maps(cases):
        figure = draw_cases(case, variable=variable, style=style)
        made.append(save(figure, Path(folder) / f"{name}{suffix}", force=force))
    first = axes_picture(scores, facts)
    for picture in (*([first] if first else []), *pictures(scores, facts), *strata_pictures(scores, facts)):
        made.append(save(picture.draw(style), Path(folder) / f"{picture.name}{suffix}", force=force))
    return made
