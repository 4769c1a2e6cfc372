"""What a training is told: a model, what it learns from and looks at, and how long and how fast to learn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, create_model, model_validator

from ondee.config import Part, load
from ondee.errors import ConfigError
from ondee.topographic.settings import LatentSettings

__all__ = [
    "PAGE",
    "DropoutConfig",
    "LatentConfig",
    "LearningConfig",
    "PredictorsConfig",
    "TrainConfig",
    "differences",
    "read",
]

PAGE = "docs/retrieval.md"
"""Page of the documentation that shows a configuration."""
LATENT_PAGE = "docs/latent.md"
"""Page that shows the configuration of a model of sequences."""
_LATENT = "tvae"

_FREE = frozenset(
    {
        "data",
        "stores",
        "store",
        "run",
        "parts",
        "threads",
        "workers",
        "pictures",
        "logger",
        "checkpoint_every",
        "validate_every",
    }
)
"""Keys that may change while a training goes on: where things lie and what is told, not what is learnt.

What a store or a part holds is compared by its contents instead.
"""

Config = TypeVar("Config", bound="LearningConfig")

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


class LearningConfig(Part):
    """What every training is told, whatever it learns."""

    run: str | None = None
    """Folder of the run, beside the configuration unless absolute; the configuration's name if left out."""
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
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; null for any."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of weights, samples and noise."""
    precision: Literal["auto", "32", "bf16-mixed", "64"] = "auto"
    """Arithmetic: bf16-mixed on a GPU and 32 bits on a CPU where `auto`. What is kept is of 32 bits in any case."""
    validate_every: Annotated[int, Field(ge=1)] = 500
    """Steps between validations."""
    validation_samples: Annotated[int, Field(ge=1, le=65536)] = 128
    """Samples of the validation, always the same, on which the averaged weights are judged."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    """Steps after which work that is cut short need not be done again."""
    pictures: bool = True
    """Draw what the model makes of validation samples at every validation."""
    logger: Literal["none", "tensorboard"] = "none"
    """Also write the metrics for TensorBoard."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads on a CPU; all cores of the process if left out. Bits are the same only for the same number."""
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Processes that prepare samples beside the training; 0 prepares them in it. No result depends on it."""


class TrainConfig(LearningConfig):
    """Everything that makes a run of a model that turns images into rain."""

    store: str
    """Store to learn from, beside the configuration unless absolute."""
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
    flips: bool = True
    """Mirror samples at random, the parallax with them."""
    dropout: DropoutConfig = DropoutConfig()
    """What is left out of samples at random."""


class LatentConfig(LearningConfig):
    """Everything that makes a run of an autoencoder of sequences."""

    model: Literal["tvae"]
    """The autoencoder with topographic latents; without a coherence, the plain one."""
    sequences: Literal["digits", "sprites", "rain"]
    """What it learns: digits that turn, grow or change colour, sprites that move, turn or grow, or radar rain."""
    data: str | None = None
    """Folder with the files of MNIST, beside the configuration unless absolute; of digits alone."""
    stores: tuple[str, ...] = ()
    """Stores of radar rain, of one step and one size of cell, beside the configuration unless absolute."""
    shares: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Of the sequences that each store gives, where they are not to be in proportion to its frames."""
    rain: str = "radar_rain_rate"
    """Variable of the rain in the stores."""
    frames: Annotated[int, Field(ge=2, le=512)] = 12
    """Frames of a sequence of rain."""
    side: Annotated[int, Field(ge=8, le=1024)] = 64
    """Height and width of a sequence of rain, pixels."""
    crop: Literal["eulerian", "lagrangian"] = "eulerian"
    """Whether a sequence of rain stays where it is, or moves on with the rain."""
    together: tuple[Literal["rotation", "scale", "hue"], ...] = ()
    """Factors of digits that move side by side in every sequence; one of all at a time where empty."""
    weighted: bool = True
    """Whether sequences of rain, which are drawn more often where it rains, count by the inverse of their chance, so
    that all hours and places count alike; where not, rain counts for more."""
    settings: LatentSettings = LatentSettings()
    """Of the model."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """Adam, or stochastic gradient descent with momentum 0.9."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Whether the rate falls to 1 % after the warm-up, or stays."""
    divergence_warmup: Annotated[int, Field(ge=0)] = 0
    """Steps over which the weight of the divergence rises from 0 to what `divergence` says."""
    divergence: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Weight of the divergence: 1 for the bound on the likelihood, less for latents that tell more of a frame and are
    further from their prior."""
    batch: Annotated[int, Field(ge=1, le=65536)] = 8
    """Sequences of a step, over all devices together."""
    rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Highest learning rate."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps over which the rate rises to it."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight decay, decoupled with Adam."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; null for any."""
    precision: Literal["auto", "32", "bf16-mixed"] = "auto"
    """Arithmetic: bf16-mixed on a GPU and 32 bits on a CPU where `auto`."""
    workers: Literal[0] = 0
    """Sequences are made in the process that learns, images on its device."""

    @model_validator(mode="after")
    def _has_data(self) -> LatentConfig:
        if self.sequences == "digits" and self.data is None:
            raise ValueError("data: name the folder with the files of MNIST")
        if self.sequences == "rain" and not self.stores:
            raise ValueError("stores: name the stores with the rain")
        if self.sequences != "digits" and (self.data is not None or self.together):
            raise ValueError(f"{'data' if self.data is not None else 'together'}: it is of digits alone")
        if self.sequences != "rain" and self.stores:
            raise ValueError("stores: they are of rain alone")
        if self.shares and len(self.shares) != len(self.stores):
            raise ValueError(f"shares: there are {len(self.shares)} for {len(self.stores)} stores")
        if self.settings.network == "advective" and self.side % 8:
            raise ValueError(f"side: the advective network takes a multiple of 8, not {self.side}")
        if (self.sequences == "rain") == (self.settings.likelihood == "bernoulli"):
            raise ValueError("settings.likelihood: bernoulli is for grey values, the others are for rain")
        return self


def read(path: str | Path, **given: Any) -> TrainConfig | LatentConfig:
    """Read a configuration, with the settings of its model checked and its paths made whole.

    Parameters
    ----------
    path
        YAML file; ``model: tvae`` tells a model of sequences.
    **given
        Values that take the place of those in the file, where not None: ``store``, ``run``, ``steps``, ``parts``,
        ``data`` …; paths among them are relative to the working folder.

    Returns
    -------
    TrainConfig or LatentConfig
        ``store``, ``data``, ``run``, ``parts`` and the file of a model are absolute.

    Raises
    ------
    ConfigError
        If a key or a value is wrong, those of the model's settings included.
    """
    place = Path(path)
    more = {name: value for name, value in given.items() if value is not None}
    for name in {"store", "run", "data"} & set(more):
        more[name] = _beside(Path.cwd(), str(more[name]))
    more["parts"] = {name: _beside(Path.cwd(), str(run)) for name, run in more.get("parts", {}).items()}
    return _read_latent(place, more) if _is_latent(place) else _read_retrieval(place, more)


def _is_latent(place: Path) -> bool:
    """Whether a file tells a model of sequences; whatever else is wrong with it is told later."""
    try:
        held = yaml.safe_load(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return False
    return isinstance(held, dict) and held.get("model") == _LATENT


def _read_latent(place: Path, given: dict[str, Any]) -> LatentConfig:
    config = load(place, LatentConfig, page=LATENT_PAGE)
    if odd := [name for name in ("store", "parts") if given.pop(name, None)]:
        raise ConfigError(
            "a model of sequences takes no parts, and its stores are named in its configuration",
            where=f"--{odd[0].rstrip('s')}",
            fix="leave it out; stores: names those of rain, data: the folder of digits",
        )
    folder = place.resolve().parent
    values = config.model_dump() | {"run": _beside(folder, config.run or place.stem)}
    if config.data is not None:
        values["data"] = _beside(folder, config.data)
    values["stores"] = tuple(_beside(folder, store) for store in config.stores)
    return _checked(LatentConfig, values | given)


def _read_retrieval(place: Path, given: dict[str, Any]) -> TrainConfig:
    config = load(place, TrainConfig, page=PAGE)
    if "data" in given:
        raise ConfigError("this model learns from a store", where="--data", fix="give --store")
    folder = place.resolve().parent
    model = _beside(folder, config.model) if config.model.endswith(".py") else config.model
    load(place, _with_settings(model), page=PAGE)
    values = config.model_dump() | {
        "model": model,
        "store": _beside(folder, config.store),
        "run": _beside(folder, config.run or place.stem),
        "parts": {name: _beside(folder, run) for name, run in config.parts.items()},
    }
    values["parts"] |= given.pop("parts")
    return _checked(TrainConfig, values | given)


def _checked(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A configuration of plain values.

    Raises
    ------
    ConfigError
        If one is wrong: one that came from the command line, as those of the file have been checked.
    """
    try:
        return kind.model_validate(values)
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
    usual = _flat(_usual(now))
    there, here = usual | there, usual | here
    return [
        f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
        for key in sorted(there | here)
        if there.get(key) != here.get(key)
    ]


def _usual(values: Mapping[str, Any]) -> dict[str, Any]:
    """Usual values of a configuration like this one."""
    if values.get("model") == _LATENT:
        return LatentConfig(model="tvae", sequences="sprites").model_dump(mode="json")
    return TrainConfig(store="", model="").model_dump(mode="json")


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
