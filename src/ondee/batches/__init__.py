"""From a store to tensors: moments, patches to learn from, and what goes beside the images."""

from ondee.batches.offered import IMAGES, RAIN, cell_of, predictors_of, statistics_of
from ondee.batches.patches import Patch, Patches, collate
from ondee.batches.scenes import Scenes
from ondee.batches.surroundings import Surroundings, auxiliary

__all__ = [
    "IMAGES",
    "RAIN",
    "Patch",
    "Patches",
    "Scenes",
    "Surroundings",
    "auxiliary",
    "cell_of",
    "collate",
    "predictors_of",
    "statistics_of",
]
