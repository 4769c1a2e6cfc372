"""From a store to tensors: moments, patches and sequences to learn from, and what goes beside the images."""

from ondee.batches.offered import IMAGES, RAIN, cell_of, predictors_of, statistics_of
from ondee.batches.patches import Patch, Patches, collate
from ondee.batches.scenes import Scenes
from ondee.batches.surroundings import Surroundings, auxiliary
from ondee.batches.windows import Window, Windows

__all__ = [
    "IMAGES",
    "RAIN",
    "Patch",
    "Patches",
    "Scenes",
    "Surroundings",
    "Window",
    "Windows",
    "auxiliary",
    "cell_of",
    "collate",
    "predictors_of",
    "statistics_of",
]
