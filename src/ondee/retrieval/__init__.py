"""Scenes to rain: members drawn tile by tile without seams, and what the ensemble tells, in one CF file."""

from __future__ import annotations

from ondee.retrieval.job import plan, retrieve
from ondee.retrieval.options import Options, Retrieved
from ondee.retrieval.products import PRODUCTS, THRESHOLDS, ensemble_products, matched
from ondee.retrieval.scenes import FileScenes, Images, StoredScenes, scenes_of
from ondee.retrieval.tiles import Drawn, Tile, Work, draw

__all__ = [
    "PRODUCTS",
    "THRESHOLDS",
    "Drawn",
    "FileScenes",
    "Images",
    "Options",
    "Retrieved",
    "StoredScenes",
    "Tile",
    "Work",
    "draw",
    "ensemble_products",
    "matched",
    "plan",
    "retrieve",
    "scenes_of",
]
