"""Configurations: frozen models, read from YAML, with errors that name the line and the nearest key."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, overload

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ondee.errors import ConfigError

__all__ = ["BuildConfig", "Chunks", "GridConfig", "InputConfig", "Interval", "Moment", "Part", "Splits", "load"]

Model = TypeVar("Model", bound=BaseModel)

_Share = Annotated[float, Field(ge=0, le=1)]


def _iso(value: Any) -> Any:
    """Text of what YAML takes for a date by itself."""
    return value.isoformat() if isinstance(value, dt.date) else value


def _real(value: str) -> str:
    """Refuse the 30th of February, and years in which nothing was observed."""
    if not 1950 <= dt.datetime.fromisoformat(value).year < 2200:
        raise ValueError("a time between 1950 and 2200 is needed")
    return value


Moment = Annotated[
    str,
    BeforeValidator(_iso),
    Field(pattern=r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?$"),
    AfterValidator(_real),
]
"""A moment in UTC, as `2018-06-01` or `2018-06-01T12:00`."""


def _is_box(west: float, south: float, east: float, north: float) -> bool:
    return -360 <= west < east <= 540 and east - west <= 360 and -90 <= south < north <= 90


class Part(BaseModel):
    """Base of all configurations: they are frozen, and refuse unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=False, use_attribute_docstrings=True, allow_inf_nan=False
    )


class GridConfig(Part):
    """The grid of a store: that of an input, a latitude-longitude lattice, or one spelled out.

    Give `like` (the name of an input, cropped to `region` if that is given), or `region` and `step` in degrees,
    or `crs`, `west`, `north`, `dx`, `dy`, `nx`, `ny`.
    """

    like: str | None = None
    """Name of the input whose grid is taken."""
    coarsen: Annotated[int, Field(ge=1, le=1000)] = 1
    """Cells of the input's grid along each side of a cell of the store; rows and columns left over at the south and the
    east are not kept. Used with `like` alone."""
    region: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees: the cells that touch it."""
    step: Annotated[float, Field(gt=0)] = 0.1
    """Cell size in degrees of a lattice on multiples of it; 0.1 is IMERG's. Used with `region` alone."""
    crs: str | None = None
    """Projection of a grid spelled out, as PROJ, WKT or EPSG text."""
    west: float | None = None
    """Outer edge of the first column, in the unit of `crs` (m or degrees)."""
    north: float | None = None
    """Outer edge of the first row, in the unit of `crs`."""
    dx: float | None = None
    """Width of a cell, in the unit of `crs`."""
    dy: float | None = None
    """Height of a cell, in the unit of `crs`."""
    nx: int | None = None
    """Number of columns."""
    ny: int | None = None
    """Number of rows."""

    @model_validator(mode="after")
    def _one_way(self) -> GridConfig:
        spelled = [self.west, self.north, self.dx, self.dy, self.nx, self.ny]
        if self.crs is not None:
            if None in spelled or self.like:
                raise ValueError("crs needs west, north, dx, dy, nx and ny beside it, and no like")
        elif self.region is not None and not _is_box(*self.region):
            raise ValueError("region: give west, south, east, north in degrees, west < east and south < north")
        elif self.coarsen > 1 and self.like is None:
            raise ValueError("coarsen needs like: the name of the input whose cells are put together")
        elif self.like is None and self.region is None:
            raise ValueError("give like: an input's name, or region: [west, south, east, north], or crs and its edges")
        return self


class Interval(Part):
    """What each frame stands for, where the product leaves it open."""

    minutes: Annotated[float, Field(gt=0, le=44640)]
    """Length of the interval, min."""
    label: Literal["start", "end", "centre"]
    """What the product's time label names."""


class InputConfig(Part):
    """One product: where its files lie and how it comes onto the store's grid and times."""

    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files, folders or glob patterns, beside the configuration file unless absolute."""
    format: str | None = None
    """Name of the reader, to bypass recognition."""
    options: dict[str, Any] = {}
    """Options of the reader, by name."""
    variables: tuple[str, ...] = ()
    """Quantities to store; empty for all the reader gives."""
    rate: bool = False
    """Turn `rain_amount` (mm) into `rain_rate` (mm/h)."""
    quality: _Share | None = None
    """Lowest quality kept, 0 to 1, applied before anything is averaged; none if left out. It belongs to the product."""
    unknown_quality: Literal["keep", "remove"] = "keep"
    """What becomes of pixels without a quality, where `quality` is given."""
    interval: Interval | None = None
    """What each frame stands for, where the product leaves it open or gives a snapshot."""
    time: Literal["mean", "label"] = "mean"
    """`mean`: average over each step; `label`: the frame whose label is the start of the step, as it is."""
    time_coverage: _Share = 1.0
    """Smallest share of a step that must be observed at a pixel: 1 asks for 6 of 6 five-minute frames, 0.83 for 5."""
    coverage: _Share = 0.95
    """Smallest share of a cell's area that must be observed."""
    footprint: Annotated[float, Field(ge=0.8, le=10)] | None = None
    """Full width at half maximum of the target instrument's response, in cells of the store; none if left out."""
    statistics: bool = False
    """Add `wet_fraction`, `rain_maximum` and `rain_variability` of the rain inside each cell."""


class Splits(Part):
    """Days for training, validation and test, contiguous, with a gap between.

    Either a repeating cycle of days (`train`, `validation`, `test`, each followed by `gap`), or periods by name.
    """

    train: Annotated[int, Field(ge=1)] = 14
    """Days of training in a cycle."""
    validation: Annotated[int, Field(ge=0)] = 3
    """Days of validation in a cycle."""
    test: Annotated[int, Field(ge=0)] = 3
    """Days of test in a cycle."""
    gap: Annotated[int, Field(ge=0)] = 1
    """Days after each that belong to none, so that no split shares weather with the next."""
    periods: dict[Literal["train", "validation", "test"], tuple[Moment, Moment]] | None = None
    """Start and end (exclusive), UTC, of each split by its name, instead of the cycle."""


class Chunks(Part):
    """Inner chunks of the store: what one training patch reads."""

    time: Annotated[int, Field(ge=1)] = 12
    """Steps; the largest divisor of a shard that does not exceed it is taken."""
    y: Annotated[int, Field(ge=8)] = 128
    """Rows, at most those of the grid."""
    x: Annotated[int, Field(ge=8)] = 128
    """Columns, at most those of the grid."""


class BuildConfig(Part):
    """Everything that makes a store."""

    store: str | None = None
    """Where to write, beside the configuration unless absolute; the configuration's name with `.zarr` if left out."""
    grid: GridConfig
    """The one grid of the store."""
    step: Annotated[int, Field(gt=0, le=1440)] = 30
    """Minutes between the store's times; a divisor of a day."""
    start: Moment | None = None
    """First moment, UTC (`2018-06-01` or `2018-06-01T12:00`); that of the files if left out."""
    end: Moment | None = None
    """Moment before which to stop, UTC; that of the files if left out."""
    inputs: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], InputConfig], Field(min_length=1)]
    """Products by names of your own (small letters, digits, underscores); the names begin those of the variables."""
    splits: Splits = Splits()
    """Which times are for training, validation and test."""
    chunks: Chunks = Chunks()
    """Inner chunks of the store."""
    max_rejected: _Share = 0.01
    """Largest share of unreadable files; above it the build stops."""

    @model_validator(mode="after")
    def _fits(self) -> BuildConfig:
        if 1440 % self.step:
            raise ValueError(f"step: {self.step} min does not divide a day")
        if self.grid.like is not None and self.grid.like not in self.inputs:
            raise ValueError(f"grid: like: {self.grid.like!r} is none of the inputs {sorted(self.inputs)}")
        return self


@overload
def load(path: str | Path) -> BuildConfig: ...
@overload
def load(path: str | Path, model: type[Model], *, page: str = ...) -> Model: ...


def load(path: str | Path, model: type[BaseModel] = BuildConfig, *, page: str = "docs/collocation.md") -> BaseModel:
    """Read a configuration: that of a build, or of whatever a model describes.

    Parameters
    ----------
    path
        YAML file.
    model
        What the file must hold.
    page
        Page of the documentation that shows one.

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
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"the configuration cannot be read: {str(error).splitlines()[0]}",
            where=place,
            fix=f"give a YAML file; {page} shows one",
        ) from error
    twice = _twice(node, set())
    if twice is not None:
        raise ConfigError(
            f"the key {twice.value!r} comes twice",
            where=f"{place}, line {twice.start_mark.line + 1}",
            fix="keep one of the two; the last would silently win",
        )
    if not isinstance(content, dict):
        raise ConfigError("the configuration is empty", where=place, fix=f"{page} shows one")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _explained(error, node, place, model) from error


def _twice(node: yaml.Node | None, been: set[int]) -> yaml.Node | None:
    """Find a key that its mapping holds already."""
    if id(node) in been or not isinstance(node, yaml.CollectionNode):
        return None
    been.add(id(node))
    children = node.value
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in names and key.value != "<<":
                return key if isinstance(key, yaml.Node) else None
            names.add(str(key.value))
        children = [value for _, value in node.value]
    return next((found for child in children if (found := _twice(child, been)) is not None), None)


def _explained(error: ValidationError, node: yaml.Node | None, place: Path, model: type[BaseModel]) -> ConfigError:
    """One fault of a configuration, with its line and a way out: a misspelt key before what is missing for it."""
    paths = [
        (fault, _written(fault["loc"], node, absent=fault["type"] in ("missing", "extra_forbidden")))
        for fault in error.errors()
    ]
    # Of the alternatives for a value, the one that was meant fails deepest.
    fault, keys = max(paths, key=lambda pair: (pair[0]["type"] == "extra_forbidden", len(pair[1])))
    message = str(fault["msg"]).removeprefix("Value error, ")
    value, message = _named(keys, fault["input"], message)
    where = f"{place}, line {_line(node, keys)}" + (f", {'.'.join(keys)}" if keys else "")
    if fault["type"] == "extra_forbidden":
        known = _keys_at(model, keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "the keys here are: " + ", ".join(known)
        return ConfigError(f"there is no key {keys[-1]!r}", where=where, fix=fix)
    if fault["type"] == "missing":
        place_of_key = f"below {'.'.join(keys[:-1])}" if keys[:-1] else "at the top level"
        return ConfigError(f"{keys[-1]!r} is missing", where=where, fix=f"add `{keys[-1]}:` {place_of_key}")
    return ConfigError(message[:1].lower() + message[1:], where=where, fix=f"mend the value {value!r:.80}")


def _named(keys: list[str], value: Any, message: str) -> tuple[Any, str]:
    """Follow the keys with which a message begins (``step: 7 does not ...``); they are added to the path."""
    key, colon, rest = message.partition(": ")
    if not colon or not isinstance(value, Mapping) or key not in value:
        return value, message
    keys.append(key)
    return _named(keys, value[key], rest)


def _child(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value, or item twice, below a node; None if it is not there."""
    if isinstance(node, yaml.MappingNode):
        return next(((name, value) for name, value in node.value if str(name.value) == key), None)
    if isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
        return node.value[int(key)], node.value[int(key)]
    return None


def _written(place: Sequence[str | int], node: yaml.Node | None, *, absent: bool) -> list[str]:
    """A path of keys without what the file does not hold: pydantic adds the names of alternatives to it."""
    kept = []
    for number, key in enumerate(map(str, place), 1):
        found = _child(node, key)
        if found is not None:
            node = found[1]
        if found is not None or (absent and number == len(place)):
            kept.append(key)
    return kept


def _line(node: yaml.Node | None, keys: list[str]) -> int:
    """Line of the deepest part of a path of keys that the file holds."""
    line = 1
    for key in keys:
        found = _child(node, key)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _keys_at(model: type[BaseModel], keys: list[str]) -> list[str]:
    """Keys that a model allows at a place: fields are walked down, names and numbers in between passed over."""
    here = [model]
    for key in keys:
        fields = [part.model_fields[key].annotation for part in here if key in part.model_fields]
        here = [part for annotation in fields for part in _models(annotation)] or here
    return sorted({name for part in here for name in part.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Models inside a type, such as those of a list, a mapping or alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _models(inner)]
