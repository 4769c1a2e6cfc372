"""Configurations: frozen models, read from YAML, with errors that name the line and the nearest key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ondee.errors import ConfigError

__all__ = ["BuildConfig", "Chunks", "GridConfig", "InputConfig", "Interval", "Splits", "load"]

_Share = Annotated[float, Field(ge=0, le=1)]
_Moment = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=False)


class GridConfig(_Part):
    """The grid of a store: that of an input, a latitude-longitude lattice, or one spelled out.

    Give `like` (the name of an input, cropped to `region` if that is given), or `region` and `step` in degrees,
    or `crs`, `west`, `north`, `dx`, `dy`, `nx`, `ny`.
    """

    like: str | None = None
    region: tuple[float, float, float, float] | None = None
    step: Annotated[float, Field(gt=0)] = 0.1
    crs: str | None = None
    west: float | None = None
    north: float | None = None
    dx: float | None = None
    dy: float | None = None
    nx: int | None = None
    ny: int | None = None

    @model_validator(mode="after")
    def _one_way(self) -> GridConfig:
        spelled = [self.west, self.north, self.dx, self.dy, self.nx, self.ny]
        if self.crs is not None:
            if None in spelled or self.like:
                raise ValueError("crs needs west, north, dx, dy, nx and ny beside it, and no like")
        elif self.like is None and self.region is None:
            raise ValueError("give like: an input's name, or region: [west, south, east, north], or crs and its edges")
        return self


class Interval(_Part):
    """What each frame stands for, where the product leaves it open."""

    minutes: Annotated[float, Field(gt=0)]
    label: Literal["start", "end", "centre"]


class InputConfig(_Part):
    """One product: where its files lie and how it comes onto the store's grid and times."""

    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files, folders or glob patterns, beside the configuration file unless absolute."""
    format: str | None = None
    options: dict[str, Any] = {}
    """Options of the reader."""
    variables: tuple[str, ...] = ()
    """Quantities to store; empty for all the reader gives."""
    rate: bool = False
    """Turn rain_amount into rain_rate."""
    quality: _Share | None = None
    """Lowest quality kept, applied before anything is averaged. It belongs to the product."""
    unknown_quality: Literal["keep", "remove"] = "keep"
    interval: Interval | None = None
    time: Literal["mean", "label"] = "mean"
    """``mean``: average over each step; ``label``: the frame whose label is the start of the step."""
    time_coverage: _Share = 1.0
    coverage: _Share = 0.95
    footprint: Annotated[float, Field(gt=0, le=10)] | None = None
    """Width of the target instrument's response, in cells of the store's grid."""
    statistics: bool = False
    """Add wet fraction, maximum and variability of rain inside each cell."""


class Splits(_Part):
    """Days for training, validation and test, contiguous, with a gap between.

    Either a repeating cycle of days (`train`, `validation`, `test`, each followed by `gap`), or periods by name.
    """

    train: Annotated[int, Field(ge=1)] = 14
    validation: Annotated[int, Field(ge=0)] = 3
    test: Annotated[int, Field(ge=0)] = 3
    gap: Annotated[int, Field(ge=0)] = 1
    periods: dict[Literal["train", "validation", "test"], tuple[_Moment, _Moment]] | None = None
    """Start and end (exclusive) of each split, instead of the cycle."""


class Chunks(_Part):
    """Inner chunks of the store: what one training patch reads."""

    time: Annotated[int, Field(ge=1)] = 12
    y: Annotated[int, Field(ge=8)] = 128
    x: Annotated[int, Field(ge=8)] = 128


class BuildConfig(_Part):
    """Everything that makes a store."""

    store: str | None = None
    """Where to write; the configuration's name with ``.zarr`` if left out."""
    grid: GridConfig
    step: Annotated[int, Field(gt=0, le=1440)] = 30
    """Minutes between the store's times; a divisor of a day."""
    start: _Moment | None = None
    end: _Moment | None = None
    inputs: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], InputConfig], Field(min_length=1)]
    splits: Splits = Splits()
    chunks: Chunks = Chunks()
    max_rejected: _Share = 0.01
    """Largest share of unreadable files; above it the build stops."""

    @model_validator(mode="after")
    def _fits(self) -> BuildConfig:
        if 1440 % self.step:
            raise ValueError(f"step: {self.step} min does not divide a day")
        if self.grid.like is not None and self.grid.like not in self.inputs:
            raise ValueError(f"grid: like: {self.grid.like!r} is none of the inputs {sorted(self.inputs)}")
        return self


def load(path: str | Path) -> BuildConfig:
    """Read the configuration of a build.

    Parameters
    ----------
    path
        YAML file.

    Raises
    ------
    ConfigError
        If it cannot be read, or a key or value is wrong; the error names the line, and the nearest key.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"the configuration cannot be read: {str(error).splitlines()[0]}",
            where=place,
            fix="give a YAML file; docs/collocation.md shows one",
        ) from error
    if not isinstance(content, dict):
        raise ConfigError("the configuration is empty", where=place, fix="docs/collocation.md shows one")
    try:
        return BuildConfig.model_validate(content)
    except ValidationError as error:
        raise _explained(error, node, place) from error


def _explained(error: ValidationError, node: yaml.Node | None, place: Path) -> ConfigError:
    """The first fault of a configuration, with its line and a way out."""
    fault = error.errors()[0]
    keys = [str(key) for key in fault["loc"]]
    line = _line(node, keys)
    where = f"{place}, line {line}" + (f", {'.'.join(keys)}" if keys else "")
    if fault["type"] == "extra_forbidden":
        known = _keys_at(keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "the keys here are: " + ", ".join(known)
        return ConfigError(f"there is no key {keys[-1]!r}", where=where, fix=fix)
    if fault["type"] == "missing":
        place_of_key = f"below {'.'.join(keys[:-1])}" if keys[:-1] else "at the top level"
        return ConfigError(f"{keys[-1]!r} is missing", where=where, fix=f"add `{keys[-1]}:` {place_of_key}")
    message = str(fault["msg"]).removeprefix("Value error, ")
    return ConfigError(message[:1].lower() + message[1:], where=where, fix=f"mend the value {fault['input']!r:.80}")


def _line(node: yaml.Node | None, keys: list[str]) -> int:
    """Line of the deepest part of a path of keys that the file holds."""
    line = 1
    for key in keys:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(((name, value) for name, value in node.value if str(name.value) == key), None)
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            found = (node.value[int(key)], node.value[int(key)])
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _keys_at(keys: list[str]) -> list[str]:
    """Keys that a model allows at a place."""
    parts: dict[str, type[BaseModel]] = {"grid": GridConfig, "splits": Splits, "chunks": Chunks, "interval": Interval}
    if not keys:
        model: type[BaseModel] = BuildConfig
    elif keys[-1] in parts:
        model = parts[keys[-1]]
    else:
        model = InputConfig
    return sorted(model.model_fields)
