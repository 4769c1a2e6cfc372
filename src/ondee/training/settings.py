"""What a training is told: a model, a store, what is looked at, and how long and how fast to learn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from ondee.config import Part, load
from ondee.errors import ConfigError

__all__ = ["PAGE", "DropoutConfig", "PredictorsConfig", "TrainConfig", "differences", "read"]

PAGE = "docs/retrieval.md"
"""Page of the documentation that shows a configuration."""

_FREE = frozenset(
    {"store", "run", "parts", "threads", "workers", "pictures", "logger", "checkpoint_every", "validate_every"}
)
"""Keys that may change while a training goes on: where things lie and what is told, not what is learnt.

What a store or a part holds is compared by its contents instead.
"""

_Share = Annotated[float, Field(ge=0, lt=1)]


class PredictorsConfig(Part):
    """What a model looks at."""

    channels: tuple[str, ...] = ()
    """Channels of the images; empty for all that the store holds."""
    minutes: Annotated[tuple[Annotated[int, Field(ge=0, le=720)], ...], Field(min_length=1)] = (0, 15, 30, 45)
    """How long before the newest image each image was taken, min; 0 first."""
    auxiliary: tuple[str, ...] = (
        "scan_offset",
        "sun_zenith_cosine",
        "satellite_zenith_cosine",
        "parallax_east",
        "parallax_north",
    )
    """Planes beside the images, by name."""
    satellite_longitude: Annotated[float, Field(ge=-180, le=180)] = 0.0
    """Where the satellite stands, degrees east. Scan times are those of the full disk, not of a rapid scan."""

    @model_validator(mode="after")
    def _in_order(self) -> PredictorsConfig:
        if self.minutes[0] != 0 or any(a >= b for a, b in zip(self.minutes, self.minutes[1:], strict=False)):
            raise ValueError("minutes: begin with 0 and let each image be older than the one before")
        return self


class DropoutConfig(Part):
    """Shares of what is left out of samples, so that a missing image or a dead channel does no great harm later."""

    frame: _Share = 0.1
    """Probability that an older image is left out."""
    channel: _Share = 0.05
    """Probability that a channel is left out."""


class TrainConfig(Part):
    """Everything that makes a run."""

    store: str
    """Store to learn from, beside the configuration unless absolute."""
    run: str | None = None
    """Folder of the run, beside the configuration unless absolute; the configuration's name if left out."""
    model: str
    """Name of the model, or path of a Python file with a model of your own."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the model; its own page tells them."""
    parts: dict[str, str] = Field(default_factory=dict)
    """Runs from which parts of the model are taken, frozen, by the name of the part: `{ mean: RUN }`."""
    images: str = "seviri_brightness_temperature"
    """Variable of the images."""
    rain: str = "radar_rain_rate"
    """Variable of the rain to learn, mm/h."""
    predictors: PredictorsConfig = PredictorsConfig()
    """What the model looks at."""
    patch: Annotated[int, Field(ge=8, le=4096)] = 64
    """Height and width of a sample, pixels."""
    batch: Annotated[int, Field(ge=1, le=65536)] = 16
    """Samples of a step, over all devices together."""
    steps: Annotated[int, Field(ge=1, le=100_000_000)] = 20_000
    """Steps of the optimiser."""
    rate: Annotated[float, Field(gt=0, le=1)] = 3e-4
    """Highest learning rate."""
    warmup: Annotated[int, Field(ge=0)] = 200
    """Steps over which the rate rises to it, at most a quarter of all; then it falls as a cosine to 1 %."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Decoupled weight decay of AdamW; biases and scales have none."""
    ema: _Share = 0.999
    """Decay of the moving average of the weights, the ones that are kept; (1 + n) / (10 + n) in the first n steps."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    flips: bool = True
    """Mirror samples at random, the parallax with them."""
    dropout: DropoutConfig = DropoutConfig()
    """What is left out of samples at random."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of weights, samples and noise."""
    precision: Literal["auto", "32", "bf16-mixed", "64"] = "auto"
    """Arithmetic: bf16-mixed on a GPU and 32 bits on a CPU where `auto`. What is kept is of 32 bits in any case."""
    validate_every: Annotated[int, Field(ge=1)] = 500
    """Steps between validations."""
    validation_samples: Annotated[int, Field(ge=1, le=65536)] = 128
    """Patches of the validation days, always the same, on which the averaged weights are judged."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    """Steps after which work that is cut short need not be done again."""
    pictures: bool = True
    """Draw what the model makes of validation patches at every validation."""
    logger: Literal["none", "tensorboard"] = "none"
    """Also write the metrics for TensorBoard."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads on a CPU; all cores of the process if left out. Bits are the same only for the same number."""
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Processes that prepare samples beside the training; 0 prepares them in it. No result depends on it."""


def read(path: str | Path, **given: Any) -> TrainConfig:
    """Read a configuration, with the settings of its model checked and its paths made whole.

    Parameters
    ----------
    path
        YAML file.
    **given
        Values that take the place of those in the file, where not None: ``store``, ``run``, ``steps``, ``parts`` …;
        paths among them are relative to the working folder.

    Returns
    -------
    TrainConfig
        ``store``, ``run``, ``parts`` and the file of a model are absolute.

    Raises
    ------
    ConfigError
        If a key or a value is wrong, those of the model's settings included.
    """
    place = Path(path)
    config = load(place, TrainConfig, page=PAGE)
    folder = place.resolve().parent
    model = _beside(folder, config.model) if config.model.endswith(".py") else config.model
    load(place, _with_settings(model), page=PAGE)
    values = config.model_dump() | {
        "model": model,
        "store": _beside(folder, config.store),
        "run": _beside(folder, config.run or place.stem),
        "parts": {name: _beside(folder, run) for name, run in config.parts.items()},
    }
    more = {name: value for name, value in given.items() if value is not None}
    for name in {"store", "run"} & set(more):
        more[name] = _beside(Path.cwd(), str(more[name]))
    parts = {name: _beside(Path.cwd(), str(run)) for name, run in more.pop("parts", {}).items()}
    values["parts"] |= parts
    return _checked(values | more)


def _checked(values: Mapping[str, Any]) -> TrainConfig:
    """A configuration of plain values.

    Raises
    ------
    ConfigError
        If one is wrong: one that came from the command line, as those of the file have been checked.
    """
    try:
        return TrainConfig.model_validate(values)
    except ValueError as error:
        fault: list[Any] = getattr(error, "errors", list)()
        key = ".".join(map(str, fault[0]["loc"])) if fault else "options"
        words = str(fault[0]["msg"]) if fault else str(error).splitlines()[0]
        raise ConfigError(words[:1].lower() + words[1:], where=key, fix=f"mend the value of --{key}") from error


def _with_settings(model: str) -> type[TrainConfig]:
    """The configuration with the settings of a model in their place, so that errors name the line and the key."""
    from ondee.retriever.registry import retriever

    kind: Any = retriever(model).settings_type
    made: Any = create_model("TrainConfig", __base__=TrainConfig, settings=(kind, Field(default_factory=kind)))
    checked: type[TrainConfig] = made
    return checked


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In which keys two configurations of one training differ, in words; keys that change nothing learnt are left out.

    Parameters
    ----------
    before, now
        Configurations as plain values; a key that one of them lacks has its usual value.

    Examples
    --------
    >>> differences({"batch": 8, "store": "a"}, {"batch": 16, "store": "b"})
    ['batch is 8 there and 16 here']
    """
    there, here = (_flat({k: v for k, v in entry.items() if k not in _FREE}) for entry in (before, now))
    usual = _flat(TrainConfig(store="", model="").model_dump(mode="json"))
    there, here = usual | there, usual | here
    return [
        f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
        for key in sorted(there | here)
        if there.get(key) != here.get(key)
    ]


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys with dots between."""
    made: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        made |= _flat(value, name + ".") if isinstance(value, Mapping) else {name: _listed(value)}
    return made


def _listed(value: Any) -> Any:
    return [_listed(entry) for entry in value] if isinstance(value, list | tuple) else value


def _beside(folder: Path, path: str) -> str:
    return os.path.normpath(folder / Path(path).expanduser())
