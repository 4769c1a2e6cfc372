"""Sums from which means, spreads and extremes follow, for all pixels and for wet ones; they add up in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondee.units import WET

__all__ = ["add", "finish", "of"]

Sums = dict[str, Any]


def of(values: NDArray[np.float32]) -> Sums:
    """Sums of the observed values of one field, and of the wet ones.

    Parameters
    ----------
    values
        Any shape, NaN where not observed.
    """
    seen = values[np.isfinite(values)].astype(np.float64)
    return {"pixels": int(values.size), "all": _sums(seen), "wet": _sums(seen[seen >= WET])}


def _sums(values: NDArray[np.float64]) -> Sums:
    if values.size == 0:
        return {"n": 0, "sum": 0.0, "square": 0.0, "min": None, "max": None}
    return {
        "n": int(values.size),
        "sum": float(values.sum()),
        "square": float((values * values).sum()),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def add(parts: Iterable[Mapping[str, Any]]) -> Sums:
    """Add sums, in the order given.

    Examples
    --------
    >>> import numpy as np
    >>> total = add([of(np.float32([0.0, 1.0])), of(np.float32([np.nan, 3.0]))])
    >>> total["pixels"], total["all"]["n"], total["wet"]["sum"]
    (4, 3, 4.0)
    """
    made: Sums = {"pixels": 0, "all": _sums(np.empty(0)), "wet": _sums(np.empty(0))}
    for part in parts:
        made["pixels"] += part["pixels"]
        for kind in ("all", "wet"):
            here, there = made[kind], part[kind]
            for name in ("n", "sum", "square"):
                here[name] += there[name]
            for name, choose in (("min", min), ("max", max)):
                known = [value for value in (here[name], there[name]) if value is not None]
                here[name] = choose(known) if known else None
    return made


def finish(sums: Mapping[str, Any], *, rain: bool) -> dict[str, Any]:
    """Mean, standard deviation, minimum and maximum; for rain those of wet pixels too, and the wet fraction.

    Parameters
    ----------
    sums
        From :func:`of` and :func:`add`.
    rain
        Whether the variable is a rain rate.
    """
    made = {"observed_fraction": _over(sums["all"]["n"], sums["pixels"]), **_described(sums["all"])}
    if rain:
        made["wet_fraction"] = _over(sums["wet"]["n"], sums["all"]["n"])
        made["wet"] = _described(sums["wet"])
    return made


def _described(sums: Mapping[str, Any]) -> dict[str, Any]:
    n = sums["n"]
    if not n:
        return {"n": 0, "mean": None, "std": None, "min": None, "max": None}
    mean = sums["sum"] / n
    spread = max(sums["square"] / n - mean * mean, 0.0)
    return {"n": n, "mean": mean, "std": float(np.sqrt(spread)), "min": sums["min"], "max": sums["max"]}


def _over(above: int, below: int) -> float | None:
    return above / below if below else None
