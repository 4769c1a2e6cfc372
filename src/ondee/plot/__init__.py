"""Figures from Datasets, for print and for the screen."""

from ondee.plot.curve import draw_floor
from ondee.plot.detection import draw_fractions, draw_performance, draw_roc
from ondee.plot.map import draw_map
from ondee.plot.overview import draw_axes, draw_cases, draw_strata
from ondee.plot.probabilities import draw_ranks, draw_reliability, draw_spread_skill
from ondee.plot.replicates import draw_replicate
from ondee.plot.style import RAIN_COLOURS, RAIN_LEVELS, encoded, save, styled
from ondee.plot.values import draw_quantiles, draw_spectra

__all__ = [
    "RAIN_COLOURS",
    "RAIN_LEVELS",
    "draw_axes",
    "draw_cases",
    "draw_floor",
    "draw_fractions",
    "draw_map",
    "draw_performance",
    "draw_quantiles",
    "draw_ranks",
    "draw_reliability",
    "draw_replicate",
    "draw_roc",
    "draw_spectra",
    "draw_spread_skill",
    "draw_strata",
    "encoded",
    "save",
    "styled",
]
