"""Bringing observations together in space and in time."""

from ondee.collocation.area import Weights, cell_area, weights
from ondee.collocation.calendar import floor_to, means, with_interval
from ondee.collocation.match import overpass, references
from ondee.collocation.regrid import mask_by_quality, regrid

__all__ = [
    "Weights",
    "cell_area",
    "floor_to",
    "mask_by_quality",
    "means",
    "overpass",
    "references",
    "regrid",
    "weights",
    "with_interval",
]
