"""What an ensemble tells: its members, its middle, how sure it is, and one field that looks like rain.

References
----------
.. [1] E. E. Ebert, Ability of a poor man's ensemble to predict the probability and distribution of precipitation,
   Monthly Weather Review 129 (2001), 2461-2480, Sect. 2b: the probability-matched mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.generative.detection import detected
from ondee.units import VOCABULARY

__all__ = ["PRODUCTS", "THRESHOLDS", "Product", "chosen", "ensemble_products", "matched"]

THRESHOLDS = (0.1, 1.0, 5.0, 10.0)
"""Rates of which the probability is told, mm h-1."""

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Product:
    """One variable of a retrieval.

    Parameters
    ----------
    variable
        Its name.
    layer
        Dimension beside time and place; empty if it has none.
    attributes
        CF attributes beyond those of the vocabulary.
    of
        Members ``(M, n)`` at seen pixels, and how likely rain must be to be called rain, to values ``(n,)``, or
        ``(layer, n)``.
    """

    variable: str
    layer: str
    attributes: Mapping[str, Any]
    of: Callable[[Field, Field], Field]

    @property
    def described(self) -> dict[str, Any]:
        """All its attributes."""
        return {**VOCABULARY[self.variable].attributes(), **self.attributes, "grid_mapping": "crs"}


def matched(members: Field) -> Field:
    """Probability-matched mean: in place like the mean, in its values like the members [1]_.

    Pixels are ranked by the mean, and given the values of all members pooled, of which every M-th is taken: the
    middle one of each M. No pixel is wet where all members are dry.

    Parameters
    ----------
    members
        ``(M, n)``, mm h-1.

    Examples
    --------
    >>> matched(np.array([[0, 9, 1, 0], [0, 5, 7, 0], [0, 4, 0, 1]], np.float32)).tolist()
    [0.0, 7.0, 1.0, 0.0]
    """
    count, size = members.shape
    mean = members.mean(0, dtype=np.float64)
    pooled = np.sort(members, axis=None)
    made = np.empty(size, np.float32)
    made[np.argsort(mean, kind="stable")] = pooled[count // 2 :: count]
    return made


def _probability(members: Field) -> Field:
    return np.stack([(members >= threshold).mean(0, dtype=np.float64) for threshold in THRESHOLDS]).astype(np.float32)


_RATE = {"standard_name": "lwe_precipitation_rate"}
PRODUCTS: dict[str, Product] = {
    "members": Product("rain_rate", "member", {}, lambda members, _: members),
    "mean": Product(
        "rain_rate_mean",
        "",
        {**_RATE, "cell_methods": "realization: mean"},
        lambda members, _: members.mean(0, dtype=np.float64).astype(np.float32),
    ),
    "median": Product(
        "rain_rate_median",
        "",
        {**_RATE, "cell_methods": "realization: median"},
        lambda members, _: np.median(members, axis=0).astype(np.float32),
    ),
    "probability": Product(
        "rain_probability",
        "threshold",
        {"cell_methods": "realization: mean (comment: of 1 where rain_rate >= threshold, else 0)"},
        lambda members, _: _probability(members),
    ),
    "matched": Product(
        "rain_rate_matched",
        "",
        {**_RATE, "comment": "probability-matched mean of the members (Ebert 2001): the best realistic field"},
        lambda members, _: matched(members),
    ),
    "detected": Product(
        "rain_rate_detected",
        "",
        {
            **_RATE,
            "comment": "up to this rate, rain is as likely as scores best on validation days (Lipton et al. 2014)",
        },
        detected,
    ),
    "spread": Product(
        "rain_rate_spread",
        "",
        {**_RATE, "cell_methods": "realization: standard_deviation", "comment": "divided by members - 1"},
        lambda members, _: members.std(0, dtype=np.float64, ddof=1).astype(np.float32),
    ),
}
"""Products of a retrieval, by the names under which they are asked for."""


def chosen(wanted: Sequence[str], members: int, *, stochastic: bool) -> tuple[str, ...]:
    """Names of the products to make.

    Parameters
    ----------
    wanted
        Some names; all that make sense if empty.
    members
        Number of members.
    stochastic
        Whether members differ from one another.

    Raises
    ------
    ConfigError
        If there is no such product, or it cannot be made of what there is.
    """
    unknown = [name for name in wanted if name not in PRODUCTS]
    if unknown:
        raise ConfigError(
            f"there is no product {unknown[0]!r}", where="--products", fix="use some of: " + ", ".join(PRODUCTS)
        )
    several = stochastic and members > 1
    possible = tuple(PRODUCTS) if several else ("members",)
    told = [name for name in wanted if name not in possible]
    if told:
        raise ConfigError(
            f"{told[0]} is a product of several members"
            + ("; this model gives one field" if not stochastic else ", and 1 is asked for"),
            where="--products",
            fix="ask for members alone" + ("" if not stochastic else ", or for more of them: --members 16"),
        )
    return tuple(name for name in possible if not wanted or name in wanted)


def ensemble_products(rain: Field, names: Sequence[str], odds: Field) -> dict[str, Field]:
    """Make the products of one moment.

    Parameters
    ----------
    rain
        ``(M, H, W)`` mm h-1, NaN where no image shows anything, for all members alike.
    names
        From :func:`chosen`.
    odds
        How likely rain must be to be called rain, as the model says (its ``odds``).

    Returns
    -------
    dict
        Name of the variable → ``([layer, ]H, W)``.
    """
    seen = np.isfinite(rain[0])
    members = rain[:, seen]
    made: dict[str, Field] = {}
    for name in names:
        product = PRODUCTS[name]
        if name == "members":
            made[product.variable] = rain
            continue
        values = product.of(members, odds)
        field = np.full((*values.shape[:-1], *seen.shape), np.nan, np.float32)
        field[..., seen] = values
        made[product.variable] = field
    return made
