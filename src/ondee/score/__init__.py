"""Scores on two axes: where the rain is, and what rain it is.

Every score is a function ``score.<name>(estimate, truth, *, over=None, weights=None, …)`` on arrays of xarray that
gives **sums** as a Dataset: :func:`merge` puts sums together, :func:`pool` sums over a dimension that was kept,
:func:`finish` divides, :func:`bootstrap` gives intervals. Missing pixels leave numerator and denominator; counts are
pooled, ratios are never averaged.
"""

from __future__ import annotations

from ondee.score.axes import axes
from ondee.score.catalogue import MEASURES, SCORES, Measure
from ondee.score.conditional import within
from ondee.score.contingency import THRESHOLDS, event
from ondee.score.distributions import distribution
from ondee.score.members import crps, energy, ranks, spread, variogram
from ondee.score.moments import decomposition, multiplicative, point, rank_correlation
from ondee.score.probabilities import probability
from ondee.score.replicates import replicate
from ondee.score.resampling import bootstrap
from ondee.score.scaling import intermittency, structure
from ondee.score.shapes import objects, sal
from ondee.score.shifts import displacement
from ondee.score.spectra import spectrum
from ondee.score.sums import finish, merge, pool
from ondee.score.windows import fractions, neighbourhood

__all__ = [
    "MEASURES",
    "SCORES",
    "THRESHOLDS",
    "Measure",
    "axes",
    "bootstrap",
    "crps",
    "decomposition",
    "displacement",
    "distribution",
    "energy",
    "event",
    "finish",
    "fractions",
    "intermittency",
    "merge",
    "multiplicative",
    "neighbourhood",
    "objects",
    "point",
    "pool",
    "probability",
    "rank_correlation",
    "ranks",
    "replicate",
    "sal",
    "spectrum",
    "spread",
    "structure",
    "variogram",
    "within",
]
