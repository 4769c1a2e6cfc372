"""Types of arguments on the command line, and how their text is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

__all__ = [
    "Flag",
    "Interval",
    "Names",
    "Numbers",
    "Options",
    "Parts",
    "Point",
    "Region",
    "Required",
    "RequiredText",
    "TruthOptions",
]

_OWN = frozenset({"paths", "png", "region", "variable", "time", "channel", "format", "force"})
"""Names of the command's own parameters."""


def _region(_: Any, tokens: Sequence[Any]) -> tuple[float, float, float, float]:
    """Read ``W,S,E,N``."""
    numbers = [float(word) for word in tokens[0].value.split(",")]
    if len(numbers) != 4:
        raise ValueError("give four numbers: west,south,east,north in degrees")
    west, south, east, north = numbers
    return west, south, east, north


def _options(_: Any, tokens: Sequence[Any]) -> list[tuple[str, Any]]:
    """Read some ``NAME=VALUE``, each value as YAML reads it."""
    import yaml

    pairs = [token.value.partition("=") for token in tokens]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("write an option as NAME=VALUE")
    taken = [name for name, _, _ in pairs if name in _OWN]
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError("an option is given twice")
    if taken:
        raise ValueError(f"{taken[0]} is no option of a reader: write --{taken[0]}")
    try:
        return [(name, yaml.safe_load(value)) for name, _, value in pairs]
    except yaml.YAMLError as error:
        raise ValueError("a value cannot be understood: " + str(error).splitlines()[0]) from error


def _parts(_: Any, tokens: Sequence[Any]) -> list[tuple[str, str]]:
    """Read some ``NAME=FOLDER``."""
    pairs = [token.value.partition("=") for token in tokens]
    if not all(name and equals and folder for name, equals, folder in pairs):
        raise ValueError("write a part as NAME=FOLDER")
    return [(name, folder) for name, _, folder in pairs]


def _numbers(_: Any, tokens: Sequence[Any]) -> tuple[float, ...]:
    """Read ``0.1,1,5``."""
    return tuple(float(word) for word in tokens[0].value.split(","))


def _words(_: Any, tokens: Sequence[Any]) -> tuple[str, ...]:
    """Read ``hour,season``."""
    return tuple(word.strip() for word in tokens[0].value.split(",") if word.strip())


def _interval(_: Any, tokens: Sequence[Any]) -> tuple[float, str]:
    """Read ``MINUTES,LABEL``."""
    minutes, _, label = tokens[0].value.partition(",")
    if label not in ("start", "end", "centre"):
        raise ValueError("write minutes and label, as 5,start or 5,end")
    return float(minutes), label


Required = Annotated[Path, Parameter(required=True)]
RequiredText = Annotated[str, Parameter(required=True, metavar="ESTIMATE… TRUTH")]
Numbers = Annotated[
    tuple[float, ...] | None, Parameter(converter=_numbers, n_tokens=1, accepts_keys=False, metavar="N,N,…")
]
Point = Annotated[
    tuple[float, ...] | None,
    Parameter(converter=_numbers, n_tokens=1, accepts_keys=False, allow_leading_hyphen=True, metavar="Y,X"),
]
Names = Annotated[
    tuple[str, ...],
    Parameter(converter=_words, n_tokens=1, accepts_keys=False, metavar="NAME,NAME,…", show_default=False),
]
Flag = Annotated[bool, Parameter(show_default=False)]
Region = Annotated[
    tuple[float, float, float, float] | None,
    Parameter(converter=_region, n_tokens=1, accepts_keys=False, allow_leading_hyphen=True, metavar="W,S,E,N"),
]
Options = Annotated[
    list[tuple[str, Any]] | None,
    Parameter(name="--option", converter=_options, n_tokens=1, accepts_keys=False, metavar="NAME=VALUE", negative=()),
]
Parts = Annotated[
    list[tuple[str, str]] | None,
    Parameter(converter=_parts, n_tokens=1, accepts_keys=False, metavar="NAME=FOLDER", negative=()),
]
TruthOptions = Annotated[
    list[tuple[str, Any]] | None,
    Parameter(
        name="--truth-option", converter=_options, n_tokens=1, accepts_keys=False, metavar="NAME=VALUE", negative=()
    ),
]
Interval = Annotated[
    tuple[float, Literal["start", "end", "centre"]] | None,
    Parameter(converter=_interval, n_tokens=1, accepts_keys=False, metavar="MINUTES,LABEL"),
]
