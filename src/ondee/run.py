"""A run: a folder that holds a trained model and all that is needed to use it, judge it and trust it.

``config.yaml`` rebuilds the model, ``model.safetensors`` holds its weights and scalings, ``README.md`` is its model
card, ``provenance.json`` says what made it, ``metrics.jsonl`` how it learnt. The folder is a repository as the model
hubs want it.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ondee import __version__, provenance
from ondee.condition import AUXILIARY, Predictors
from ondee.errors import ConfigError, ReadError
from ondee.output import disk_errors, whole
from ondee.retriever.protocol import Retriever, Sampling, Statistics
from ondee.retriever.registry import retriever as model_class

__all__ = [
    "CONFIG",
    "METRICS",
    "PROVENANCE",
    "WEIGHTS",
    "described",
    "load",
    "machine",
    "require",
    "save",
    "write_text",
]

CONFIG, WEIGHTS, CARD = "config.yaml", "model.safetensors", "README.md"
METRICS, PROVENANCE = "metrics.jsonl", "provenance.json"
_OWN_MODEL = "model.py"
_SHIPPED = Path(__file__).parent / "weights"
_CELL_TOLERANCE = 0.05
_PACKAGES = ("ondee", "torch", "lightning", "numpy", "safetensors")


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
    from safetensors.torch import save_file

    folder = Path(path)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if model.endswith(".py") and Path(model).resolve() != (folder / _OWN_MODEL).resolve():
            shutil.copyfile(model, folder / _OWN_MODEL)
    config = described(retriever, model=model, training=about.get("training", {}))
    write_text(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))
    write_text(folder / CARD, _card(folder.name, config, retriever, about))
    origin = {**machine(), **about.get("provenance", {}), "data": about.get("data", {})}
    origin["figures"] = dict(about.get("figures", {}))
    write_text(folder / PROVENANCE, json.dumps(origin, indent=1, default=str) + "\n")
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in retriever.state_dict().items()}
    with whole(folder / WEIGHTS, force=True) as draft:
        save_file(state, draft, metadata={"format": "pt"})  # more than one entry would come in any order
    return folder


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


def write_text(path: Path, text: str) -> None:
    """Write a text that appears whole or not at all, in place of what was there."""
    with whole(path, force=True) as draft:
        draft.write_text(text, encoding="utf-8")


def machine() -> dict[str, Any]:
    """Versions, commit and machine, as provenance tells them."""
    import torch

    return {
        "versions": {name: provenance.version_of(name) for name in _PACKAGES},
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "threads": torch.get_num_threads(),
    }


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
    folder = _found(path)
    if not (folder / WEIGHTS).is_file():
        raise ReadError(
            f"the run has no {WEIGHTS}: its training is not finished",
            where=folder,
            fix="go on with `ondee train` and the same configuration and --out",
        )
    config = _configuration(folder)
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
            f"the configuration of the run does not fit the model {name!r}: {_first(error)}",
            where=folder / CONFIG,
            fix="use the ondee that made the run (provenance.json tells its version), or train it again",
        ) from error
    _fill(retriever, folder / WEIGHTS)
    return retriever.to(device).eval()


def _found(path: str | Path) -> Path:
    folder = Path(path)
    if (folder / CONFIG).is_file():
        return folder
    shipped = sorted(entry.parent.name for entry in _SHIPPED.glob(f"*/{CONFIG}"))
    if not folder.exists() and str(path) in shipped:
        return _SHIPPED / str(path)
    names = ", or one that ondee ships: " + ", ".join(shipped) if shipped else ""
    raise ReadError("there is no run", where=folder, fix=f"give a folder that `ondee train` wrote{names}")


def _configuration(folder: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ReadError(
            f"the configuration of the run cannot be read: {_first(error)}", where=folder / CONFIG, fix=_AGAIN
        ) from error
    held = config if isinstance(config, dict) else {}
    # What a training was told is not needed here; it comes last, and tells that nothing before it was cut off.
    missing = {"model", "settings", "predictors", "statistics", "sampling", "training"} - set(held)
    if missing:
        raise ReadError(
            f"the configuration of the run lacks {', '.join(sorted(missing))}", where=folder / CONFIG, fix=_AGAIN
        )
    return held


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


def _fill(retriever: Retriever, path: Path) -> None:
    """Put weights from a file into a model."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise ReadError(f"the weights cannot be read: {_first(error)}", where=path, fix=_AGAIN) from error
    wanted = retriever.state_dict()
    wrong = [name for name in sorted(wanted | state) if name not in state or name not in wanted]
    wrong += [name for name in sorted(set(wanted) & set(state)) if wanted[name].shape != state[name].shape]
    if wrong:
        raise ReadError(
            f"{len(wrong)} of the weights do not fit the model, {wrong[0]!r} first",
            where=path,
            fix="use the ondee that made the run (provenance.json tells its version), or train it again",
        )
    odd = [name for name, weight in retriever.named_parameters() if not bool(state[name].isfinite().all())]
    if odd:
        raise ReadError(f"{len(odd)} of the weights hold no numbers, {odd[0]!r} first", where=path, fix=_AGAIN)
    retriever.load_state_dict(state)


_AGAIN = "copy the run again from where it came from, or train it again"


def _first(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return " ".join(lines[:3]) if isinstance(error, ValidationError) else lines[0]


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
        *([f"- {key.replace('_', ' ')}: {value}" for key, value in data.items()] or ["- not told"]),
        "",
        "## Figures on the validation days",
        "",
        *([f"- {key.replace('_', ' ')}: {_shown(value)}" for key, value in figures.items()] or ["- none"]),
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


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
