"""What is asked of a retrieval, and what it tells when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from ondee.errors import ConfigError
from ondee.retriever.protocol import Sampling

__all__ = ["Options", "Retrieved", "moment"]

_RANGES: dict[str, tuple[int, int, str]] = {
    "members": (1, 1000, "all members of a moment are held together; 1000 tell a probability to 0.02"),
    "seed": (0, 2**63 - 1, "it is a key of 63 bits"),
    "tile": (1, 2**15, "no image has more rows or columns"),
    "batch": (1, 2**13, "8 moments of 1000 members are the most that is at work together"),
}
"""Least and most of each whole number, and why no more."""
_STEPS = "each step evaluates the network once or twice for every member"


@dataclass(frozen=True)
class Options:
    """What is retrieved, and how the work is cut.

    Parameters
    ----------
    members
        Members of the ensemble; a model that gives one field gives one.
    seed
        Of all noise.
    split
        Split of a store; all its moments where None.
    start, end
        Keep moments with ``start <= time < end`` (ISO text, UTC).
    products
        Names from :data:`~ondee.retrieval.products.PRODUCTS`; all that make sense if empty.
    solver, steps, noise_scale, persistence
        Fields of :class:`~ondee.retriever.protocol.Sampling`; as fitted where None.
    tile
        Most rows and columns computed together.
    batch
        Most fields (moments x members) computed together.
    """

    members: int = 16
    seed: int = 0
    split: str | None = None
    start: str | None = None
    end: str | None = None
    products: tuple[str, ...] = ()
    solver: str | None = None
    steps: int | None = None
    noise_scale: float | None = None
    persistence: float | None = None
    tile: int = 256
    batch: int = 8

    def __post_init__(self) -> None:
        for name, (least, most, why) in _RANGES.items():
            given = getattr(self, name)
            if not least <= given <= most:
                limits = f"{least} to {most}: {why}" if given > most else f"{least} on"
                raise ConfigError(f"{name} is {given}", where=f"--{name}", fix=f"use a whole number from {limits}")

    def sampling(self, fitted: Sampling) -> Sampling:
        """How members are drawn.

        Raises
        ------
        ConfigError
            If a number is out of its range.
        """
        asked = {name: getattr(self, name) for name in ("solver", "steps", "noise_scale", "persistence")}
        given = {name: value for name, value in asked.items() if value is not None}
        try:
            return Sampling.model_validate({**fitted.model_dump(), **given})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]).replace("_", "-")
            limits = str(first["msg"]) + (f"; {_STEPS}" if name == "steps" else "")
            raise ConfigError(f"{name} cannot be {first['input']!r}", where=f"--{name}", fix=limits) from error


def moment(text: str, *, where: str) -> np.datetime64:
    """A time from its text.

    Parameters
    ----------
    text
        ISO text, UTC.
    where
        The option, for the error.

    Raises
    ------
    ConfigError
        If it is none, or of a year so far off that NumPy would make another one of it.
    """
    year = 0
    try:
        found = np.datetime64(text)
        year = int(found.astype("datetime64[Y]").astype(int)) + 1970
    except ValueError:
        pass
    if not 0 < year < 10_000:
        raise ConfigError(f"{text!r} is not a time", where=where, fix="write times as 2018-06-04T12:30, in UTC")
    micro: np.datetime64 = found.astype("datetime64[us]")
    return micro


@dataclass(frozen=True)
class Retrieved:
    """What a retrieval made, or would make.

    Parameters
    ----------
    out, run, model, scenes, grid
        In words.
    moments, first, last
        How many moments, and the first and the last of them.
    members
        Members of each; 0 for a single field.
    products
        Names of the variables.
    sampling
        How members are drawn.
    tiles, halo
        Tiles of a field, and the pixels that each sees around it.
    evaluations
        Evaluations of the network for one member.
    bytes
        Of the file; in a dry run those of its values before they are compressed.
    seconds
        Of this run; in a dry run an estimate for one process.
    written, kept
        Moments made now, and found done.
    dry_run
        Whether nothing was done.
    """

    out: str
    run: str
    model: str
    scenes: str
    grid: str
    moments: int
    first: str
    last: str
    members: int
    products: tuple[str, ...]
    sampling: dict[str, Any]
    tiles: int
    halo: int
    evaluations: int
    bytes: int = 0
    seconds: float = 0.0
    written: int = 0
    kept: int = 0
    dry_run: bool = False
