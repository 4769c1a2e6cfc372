"""Figures from Datasets, for print and for the screen."""

from ondee.plot.curve import draw_floor
from ondee.plot.map import draw_map
from ondee.plot.style import RAIN_COLOURS, RAIN_LEVELS, save, styled

__all__ = ["RAIN_COLOURS", "RAIN_LEVELS", "draw_floor", "draw_map", "save", "styled"]
