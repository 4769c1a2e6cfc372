"""From the sums of days to scores with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from ondee import score
from ondee.collocation.calendar import step_of
from ondee.errors import ConfigError
from ondee.verification.record import Record
from ondee.verification.strata import ALL

__all__ = ["Blocks", "Verification"]

ESTIMATE, STRATUM = "estimate", "stratum"


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Parameters
    ----------
    scores
        Score → finished Dataset ``(estimate, stratum, …)`` with ``_low`` and ``_high`` of each variable, and paired
        differences ``_difference`` from every estimate (``reference``).
    sums
        Score → sums by block of time, ``(estimate, time, stratum, …)``, a Dataset for each set of estimates that share
        dimensions.
    facts
        What was compared, how, and on how much.
    cases
        The rainiest frame: ``rain_rate (panel, y, x)``, the truth first; None where there is none.
    """

    scores: Mapping[str, xr.Dataset]
    sums: Mapping[str, Sequence[xr.Dataset]]
    facts: Mapping[str, Any]
    cases: xr.Dataset | None = None


@dataclass
class Blocks:
    """Sums by block of time, filled a day at a time.

    Parameters
    ----------
    length
        Length of a block.
    """

    length: np.timedelta64
    held: dict[tuple[str, str], dict[np.datetime64, dict[str, xr.Dataset]]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Add the sums of a day."""
        for name, estimates in record.sums.items():
            for estimate, places in estimates.items():
                held = self.held.setdefault((name, estimate), {})
                for (label, start), sums in places.items():
                    block = held.setdefault(step_of(np.datetime64(start, "ns"), self.length), {})
                    block[label] = score.merge(block[label], sums) if label in block else sums

    def names(self) -> list[str]:
        """Scores that were summed, in order."""
        return list(dict.fromkeys(name for name, _ in self.held))

    def estimates(self, name: str) -> list[str]:
        """Estimates that have a score."""
        return [estimate for own, estimate in self.held if own == name]

    def sums(self, name: str, estimate: str) -> xr.Dataset:
        """Sums of one estimate, ``(time, stratum, …)``."""
        blocks = self.held[name, estimate]
        times = sorted({time for (_, _), held in self.held.items() for time in held})
        labels = sorted({label for held in blocks.values() for label in held}, key=lambda label: (label != ALL, label))
        pattern = next(iter(next(iter(blocks.values())).values()))
        parts = [
            xr.concat(
                [blocks.get(time, {}).get(label, _nothing(pattern)) for label in labels],
                dim=xr.Variable(STRATUM, labels),
                join="outer",
                fill_value=0.0,
                combine_attrs="override",
            )
            for time in times
        ]
        stamps = xr.Variable("time", np.array(times, "datetime64[ns]"))
        return xr.concat(parts, dim=stamps, join="outer", fill_value=0.0, combine_attrs="override")

    def groups(self, name: str) -> list[xr.Dataset]:
        """Sums of a score, ``(estimate, time, stratum, …)``: together where estimates share dimensions and settings."""
        groups: list[list[tuple[str, xr.Dataset]]] = []
        for estimate in self.estimates(name):
            made = self.sums(name, estimate)
            for group in groups:
                if _alike(group[0][1], made):
                    group.append((estimate, made))
                    break
            else:
                groups.append([(estimate, made)])
        return [_side_by_side(group) for group in groups]


def _alike(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether sums can stand side by side: the same settings, dimensions and labels."""
    same = one.attrs == other.attrs and one.sizes == other.sizes and one.coords.keys() == other.coords.keys()
    return same and all(one[name].equals(other[name]) for name in one.coords)


def _side_by_side(group: Sequence[tuple[str, xr.Dataset]]) -> xr.Dataset:
    names = xr.Variable(ESTIMATE, [name for name, _ in group])
    return xr.concat([sums for _, sums in group], dim=names, join="exact", combine_attrs="override")


def _nothing(pattern: xr.Dataset) -> xr.Dataset:
    return xr.zeros_like(pattern)


def finished(groups: Iterable[xr.Dataset], order: Sequence[str], how: Mapping[str, Any]) -> xr.Dataset:
    """Scores of all estimates with intervals, and all their paired differences; what an estimate lacks is missing.

    Parameters
    ----------
    groups
        Sums of one score, ``(estimate, time, …)``.
    order
        Names of all estimates, in the order of the result.
    how
        Arguments of :func:`ondee.score.bootstrap`.
    """
    parts = []
    for sums in groups:
        names = [str(name) for name in sums[ESTIMATE].values]
        parts.append(score.bootstrap(sums, against=names if len(names) > 1 else None, **how))
    made = parts[0] if len(parts) == 1 else xr.concat(parts, dim=ESTIMATE, join="outer", combine_attrs="override")
    here = [name for name in order if name in made[ESTIMATE].values]
    ordered: xr.Dataset = made.sel({ESTIMATE: here})
    return ordered


def choose_reference(wanted: str | None, names: Sequence[str]) -> str:
    """Name of the reference estimate: the first unless another is asked for.

    Raises
    ------
    ConfigError
        If there is no estimate of that name.
    """
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise ConfigError(
            f"no estimate is called {wanted!r}", where="--reference", fix="use one of: " + ", ".join(names)
        )
    return wanted
