"""Which scores suit an estimate, and how each is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import xarray as xr

from ondee import score
from ondee.errors import ConfigError
from ondee.verification.settings import Settings

__all__ = ["ENSEMBLE", "FIELD", "PROBABILITY", "TILED", "Entry", "suite"]

FIELD = (
    "event",
    "fractions",
    "neighbourhood",
    "point",
    "multiplicative",
    "decomposition",
    "rank_correlation",
    "distribution",
    "spectrum",
    "structure",
    "intermittency",
    "displacement",
    "sal",
    "objects",
)
"""Scores of a rain field; those of all members pooled for an ensemble."""
ENSEMBLE = ("crps", "probability", "spread", "ranks", "energy", "variogram", "replicate")
"""Scores of an ensemble."""
PROBABILITY = ("probability", "event")
"""Scores of a probability."""
_BY_STRATUM = frozenset(
    {"event", "fractions", "point", "decomposition", "distribution", "crps", "probability", "spread", "replicate"}
)
"""Scores that are small enough to be kept for each stratum and block of time."""
TILED = frozenset({"spectrum", "displacement", "intermittency"})
"""Scores of tiles as wide as the setting `window`."""
_LIKELIHOODS = tuple(range(10, 100, 10))
"""Thresholds of a likelihood as an event, in %."""

Sums = Callable[[xr.DataArray, xr.DataArray], xr.Dataset]


@dataclass(frozen=True)
class Entry:
    """One score: how it is called on a batch, and whether it is split by strata."""

    name: str
    sums: Sums
    stratified: bool


def suite(kind: str, settings: Settings) -> list[Entry]:
    """List the scores of an estimate.

    Parameters
    ----------
    kind
        ``field``, ``ensemble`` or ``probability``.
    settings
        What is asked for.

    Raises
    ------
    ConfigError
        If a score is asked for that does not exist.
    """
    unknown = sorted(set(settings.scores) - {*FIELD, *ENSEMBLE})
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r} is no score", where="--scores", fix="use some of: " + ", ".join((*FIELD, *ENSEMBLE))
        )
    names = {"field": FIELD, "ensemble": (*FIELD, *ENSEMBLE), "probability": PROBABILITY}[kind]
    chosen = [name for name in names if not settings.scores or name in settings.scores]
    calls = _calls(kind, settings)
    return [Entry(name, calls[name], name in _BY_STRATUM) for name in chosen]


def _calls(kind: str, settings: Settings) -> Mapping[str, Sums]:
    """How each score is called; each keeps time."""
    thresholds, scales, over = settings.thresholds, settings.scales, ("y", "x")
    wet = thresholds[:1]
    boxes = [1 << power for power in range(min(settings.window.bit_length(), 6))]
    tails = (0.0, *(level for level in thresholds[-3:] if level > 0))  # 0 is the whole distribution

    def event(estimate: xr.DataArray, truth: xr.DataArray) -> xr.Dataset:
        if kind != "probability":
            return score.event(estimate, truth, over=over, thresholds=thresholds)
        levels = _LIKELIHOODS if estimate.attrs.get("units") == "%" else tuple(level / 100 for level in _LIKELIHOODS)
        return score.event(estimate, truth, over=over, thresholds=wet, estimate_thresholds=levels)

    def probability(estimate: xr.DataArray, truth: xr.DataArray) -> xr.Dataset:
        return score.probability(estimate, truth, over=over, thresholds=wet if kind == "probability" else thresholds)

    return {
        "event": event,
        "probability": probability,
        "fractions": lambda e, t: score.fractions(e, t, over=over, thresholds=thresholds, scales=scales),
        "neighbourhood": lambda e, t: score.neighbourhood(e, t, over=over, thresholds=thresholds, scales=scales),
        "decomposition": lambda e, t: score.decomposition(e, t, over=over, thresholds=thresholds),
        "distribution": lambda e, t: score.distribution(e, t, over=over, thresholds=thresholds, step=settings.step),
        "crps": lambda e, t: score.crps(e, t, over=over, tails=tails),
        "ranks": lambda e, t: score.ranks(e, t, over=over, seed=settings.seed),
        "replicate": lambda e, t: score.replicate(e, t, over=over, thresholds=thresholds),
        "spectrum": lambda e, t: score.spectrum(e, t, over=over, window=settings.window),
        "intermittency": lambda e, t: score.intermittency(e, t, over=over, scales=boxes),
        "displacement": lambda e, t: score.displacement(e, t, over=over, window=settings.window),
        "objects": lambda e, t: score.objects(e, t, over=over, thresholds=thresholds),
        **{
            name: _plain(name)
            for name in (
                *("point", "multiplicative", "rank_correlation", "structure", "sal"),
                *("spread", "energy", "variogram"),
            )
        },
    }


def _plain(name: str) -> Sums:
    """A score that takes no further setting."""
    function = getattr(score, name)

    def call(estimate: xr.DataArray, truth: xr.DataArray) -> xr.Dataset:
        made: xr.Dataset = function(estimate, truth, over=("y", "x"))
        return made

    return call
