"""A run of a model that turns images into rain: what it may be used on, written down and asked for."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ondee import __version__
from ondee.condition import AUXILIARY, Predictors
from ondee.errors import ConfigError, ReadError
from ondee.output import disk_errors
from ondee.retriever.protocol import Retriever, Sampling, Statistics
from ondee.retriever.registry import retriever as model_class
from ondee.run.folder import (
    CONFIG,
    OTHER_VERSION,
    WEIGHTS,
    configuration,
    fill,
    first_line,
    found,
    lines_of,
    write,
)

__all__ = ["described", "load", "require", "save"]

_OWN_MODEL = "model.py"
_CELL_TOLERANCE = 0.05


# ---- writing


def save(path: str | Path, retriever: Retriever, *, model: str, about: Mapping[str, Any]) -> Path:
    """Write a trained model as a run; the weights, written last, mark it as finished.

    Parameters
    ----------
    path
        Folder of the run; made if it is not there.
    retriever
        The model, with threshold and sampling fitted.
    model
        Its name, or the path of the Python file that holds it, which is copied into the run.
    about
        ``training`` (its configuration), ``data`` (what it learnt from), ``figures`` (what validation found, by name),
        ``provenance`` (whatever else is known); each a mapping of plain values, none needed.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    folder = Path(path)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if model.endswith(".py") and Path(model).resolve() != (folder / _OWN_MODEL).resolve():
            shutil.copyfile(model, folder / _OWN_MODEL)
    config = described(retriever, model=model, training=about.get("training", {}))
    return write(folder, retriever, config, _card(folder.name, config, retriever, about), about)


def described(retriever: Retriever, *, model: str, training: Mapping[str, Any]) -> dict[str, Any]:
    """What ``config.yaml`` says of a model, as plain values.

    Parameters
    ----------
    retriever
        The model.
    model
        Its name, or the path of the file that holds it.
    training
        Configuration of its training.
    """
    plain: dict[str, Any] = json.loads(
        json.dumps(
            {
                "model": _OWN_MODEL if model.endswith(".py") else model,
                "settings": retriever.settings.model_dump(mode="json"),
                "predictors": asdict(retriever.predictors),
                "statistics": {name: _number(value) for name, value in asdict(retriever.statistics).items()},
                "sampling": retriever.sampling.model_dump(mode="json"),
                "training": dict(training),
            }
        )
    )
    return plain


def _number(value: Any) -> Any:
    return [float(entry) for entry in value] if isinstance(value, list | tuple) else float(value)


# ---- reading


def load(path: str | Path, device: str = "cpu") -> Retriever:
    """Rebuild the model of a run.

    Parameters
    ----------
    path
        Folder of a run, or the name of one that ondee ships, if there is no folder of that name.
    device
        Where its weights go.

    Returns
    -------
    Retriever
        For use, not for training.

    Raises
    ------
    ReadError
        If there is no finished run, or its files do not fit together.
    """
    folder = found(path)
    if configuration(folder, {"model", "training"})["model"] == "tvae":
        raise ReadError(
            "the run holds an autoencoder of sequences, which retrieves no rain from images",
            where=folder,
            fix="give a run of a retrieval; ondee.run.load_latent opens this one",
        )
    config = configuration(folder, {"model", "settings", "predictors", "statistics", "sampling", "training"})
    name = str(config["model"])
    if name.endswith(".py") and name != _OWN_MODEL:
        raise ReadError(
            f"the run names the model {name}, which is none of its files",
            where=folder / CONFIG,
            fix=f"copy the file into the run as {_OWN_MODEL}, if you trust it: it is executed; set model: {_OWN_MODEL}",
        )
    made = model_class(str(folder / name) if name.endswith(".py") else name)
    try:
        settings = made.settings_type.model_validate(config["settings"])
        predictors = _predictors(config["predictors"])
        retriever = made(settings, predictors, Statistics(**config["statistics"]))
        retriever.sampling = Sampling.model_validate(config["sampling"])
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, ArithmeticError) as error:
        raise ReadError(
            f"the configuration of the run does not fit the model {name!r}: {first_line(error)}",
            where=folder / CONFIG,
            fix=OTHER_VERSION,
        ) from error
    fill(retriever, folder / WEIGHTS)
    return retriever.to(device).eval()


def _predictors(told: Mapping[str, Any]) -> Predictors:
    """Predictors as a run tells them, each of its kind."""
    if odd := set(told) - {field.name for field in fields(Predictors)}:
        raise ValueError(f"predictors have no {min(odd)!r}")
    made: Predictors = TypeAdapter(Predictors).validate_python(dict(told))
    if not made.channels or len(set(made.channels)) < len(made.channels):
        raise ValueError("predictors need channels, each named once")
    if made.minutes[:1] != (0,) or any(a >= b for a, b in itertools.pairwise(made.minutes)):
        raise ValueError("minutes of the predictors must begin with 0 and rise")
    if unknown := set(made.auxiliary) - set(AUXILIARY):
        raise ValueError(f"there is no auxiliary plane {min(unknown)!r}")
    if not min(made.cell) > 0:
        raise ValueError("the cell of the predictors must be larger than 0")
    return made


# ---- what a model may be used on


def require(retriever: Retriever, offered: Predictors, where: object) -> None:
    """Refuse images that a model was not trained on.

    Parameters
    ----------
    retriever
        The model.
    offered
        What there is; more channels and planes than needed do no harm, nor do images that are not there at some
        moments.
    where
        Of what is offered, for the error.

    Raises
    ------
    ConfigError
        If a channel or a plane is not there, the unit is another one, or pixels differ in size by more than 5 %.
    """
    needed = retriever.predictors
    lacking = [name for name in needed.channels if name not in offered.channels]
    if lacking:
        raise ConfigError(
            f"the model looks at {', '.join(lacking)}, which the images do not have",
            where=where,
            fix=f"give images with the channels {', '.join(needed.channels)}; there are {', '.join(offered.channels)}",
        )
    if offered.units != needed.units:
        raise ConfigError(
            f"the images are in {offered.units!r}; the model was trained on {needed.units!r}",
            where=where,
            fix=f"give brightness temperatures in {needed.units}",
        )
    unlike = [abs(ours / theirs - 1) for ours, theirs in zip(offered.cell, needed.cell, strict=True)]
    if max(unlike) > _CELL_TOLERANCE:
        raise ConfigError(
            f"pixels are {_size(offered.cell)} km; the model was trained on {_size(needed.cell)} km",
            where=where,
            fix=f"regrid the images to cells of {_size(needed.cell)} km with `ondee build`, or train on such a store",
        )
    absent = [name for name in needed.auxiliary if name not in offered.auxiliary]
    if absent:
        raise ConfigError(
            f"the model needs {', '.join(absent)} beside the images",
            where=where,
            fix="add them to the store, or train a model without them (predictors.auxiliary)",
        )


def _size(cell: tuple[float, float]) -> str:
    return " x ".join(f"{side:.3g}" for side in cell)


# ---- the model card


def _card(name: str, config: Mapping[str, Any], retriever: Retriever, about: Mapping[str, Any]) -> str:
    """README.md of a run: data, size, figures, licence, use and limits."""
    data, figures = dict(about.get("data", {})), dict(about.get("figures", {}))
    parameters = sum(parameter.numel() for parameter in retriever.parameters())
    seen = config["predictors"]
    minutes = ", ".join(f"-{entry}" if entry else "0" for entry in seen["minutes"])
    simulated = bool(data.get("simulated"))
    limits = [
        "Rain under thick cloud that looks alike from above is not resolved; one member is one possibility, not the "
        "best guess. Take the mean or the probabilities for pixel scores.",
        f"It was trained on pixels of {_size(tuple(seen['cell']))} km and refuses others.",
    ]
    if simulated:
        limits.insert(0, "It was trained on a synthetic world: no skill is claimed on real infrared.")
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: ondee",
        "tags: [precipitation, satellite, infrared, radar]",
        "---",
        "",
        f"# {name}: rain from infrared, model `{config['model']}`",
        "",
        f"Made by ondee {__version__}. {parameters:,} parameters.",
        "",
        "## Looks at",
        "",
        f"- channels {', '.join(seen['channels'])}, in {seen['units']}",
        f"- images at {minutes} min",
        f"- beside them {', '.join(seen['auxiliary']) or 'nothing'}",
        "",
        "## Learnt from",
        "",
        *(lines_of(data) or ["- not told"]),
        "",
        "## Figures on the validation days",
        "",
        *(lines_of(figures) or ["- none"]),
        "",
        "## How to use it",
        "",
        "```sh",
        "pip install 'ondee[retrieval]'",
        f"ondee retrieve {name} SCENES --members 16 --seed 7 --out rain.zarr",
        "```",
        "",
        "## Limits",
        "",
        *(f"- {entry}" for entry in limits),
        "",
        "## Licence",
        "",
        "Apache-2.0.",
        "",
    ]
    return "\n".join(lines)
