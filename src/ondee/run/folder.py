"""The folder of a run: its files, how they are written whole, and how they are read back with care."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ondee import provenance
from ondee.errors import ReadError
from ondee.output import disk_errors, whole

__all__ = [
    "CONFIG",
    "METRICS",
    "PROVENANCE",
    "WEIGHTS",
    "configuration",
    "fill",
    "found",
    "machine",
    "metrics_of",
    "write",
    "write_text",
]

CONFIG, WEIGHTS, CARD = "config.yaml", "model.safetensors", "README.md"
METRICS, PROVENANCE = "metrics.jsonl", "provenance.json"
_SHIPPED = Path(__file__).parents[1] / "weights"
_PACKAGES = ("ondee", "torch", "lightning", "numpy", "safetensors")
AGAIN = "copy the run again from where it came from, or train it again"
OTHER_VERSION = "use the ondee that made the run (provenance.json tells its version), or train it again"


# ---- writing


def write(path: Path, model: Any, config: Mapping[str, Any], card: str, about: Mapping[str, Any]) -> Path:
    """Write the files of a run; the weights, written last, mark it as finished.

    Parameters
    ----------
    path
        Folder of the run; made if it is not there.
    model
        A torch module.
    config
        What ``config.yaml`` says.
    card
        Text of ``README.md``.
    about
        ``data``, ``figures`` and ``provenance`` as mappings of plain values, none needed.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    from safetensors.torch import save_file

    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    write_text(path / CONFIG, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=120))
    write_text(path / CARD, card)
    origin = {**machine(), **about.get("provenance", {}), "data": about.get("data", {})}
    origin["figures"] = dict(about.get("figures", {}))
    write_text(path / PROVENANCE, json.dumps(origin, indent=1, default=str) + "\n")
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    with whole(path / WEIGHTS, force=True) as draft:
        save_file(state, draft, metadata={"format": "pt"})  # more than one entry would come in any order
    return path


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


def lines_of(values: Mapping[str, Any]) -> list[str]:
    """A model card's list of what is told by name."""
    return [f"- {key.replace('_', ' ')}: {_shown(value)}" for key, value in values.items()]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ---- reading


def found(path: str | Path) -> Path:
    """Folder of a finished run, or of one that ondee ships under that name.

    Raises
    ------
    ReadError
        If there is none.
    """
    folder = _named(path)
    if not (folder / WEIGHTS).is_file():
        raise ReadError(
            f"the run has no {WEIGHTS}: its training is not finished",
            where=folder,
            fix="go on with `ondee train` and the same configuration and --out",
        )
    return folder


def _named(path: str | Path) -> Path:
    folder = Path(path)
    if (folder / CONFIG).is_file():
        return folder
    shipped = sorted(entry.parent.name for entry in _SHIPPED.glob(f"*/{CONFIG}"))
    if not folder.exists() and str(path) in shipped:
        return _SHIPPED / str(path)
    names = ", or one that ondee ships: " + ", ".join(shipped) if shipped else ""
    raise ReadError("there is no run", where=folder, fix=f"give a folder that `ondee train` wrote{names}")


def configuration(folder: Path, needed: set[str]) -> dict[str, Any]:
    """What ``config.yaml`` says.

    Raises
    ------
    ReadError
        If it cannot be read, or lacks something.
    """
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ReadError(
            f"the configuration of the run cannot be read: {first_line(error)}", where=folder / CONFIG, fix=AGAIN
        ) from error
    held = config if isinstance(config, dict) else {}
    # What a training was told is not needed here; it comes last, and tells that nothing before it was cut off.
    missing = needed - set(held)
    if missing:
        raise ReadError(
            f"the configuration of the run lacks {', '.join(sorted(missing))}", where=folder / CONFIG, fix=AGAIN
        )
    return held


def metrics_of(path: Path, last: float = math.inf) -> list[dict[str, Any]]:
    """Lines of metrics up to a step, whose last one may have been cut short; none where there is no file.

    Parameters
    ----------
    path
        ``metrics.jsonl`` of a run.
    last
        Step of the last line wanted.

    Raises
    ------
    ReadError
        If a line before the last one cannot be read.
    """
    kept: list[dict[str, Any]] = []
    texts = path.read_bytes().splitlines() if path.is_file() else []
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
            kept += [line] if line["step"] <= last else []
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if number == len(texts):
                break
            raise ReadError(
                f"line {number} of the metrics cannot be read",
                where=path,
                fix="remove the line, or the file: nothing is learnt from it, and the training goes on",
            ) from error
    return kept


def fill(model: Any, path: Path) -> None:
    """Put weights from a file into a model.

    Raises
    ------
    ReadError
        If they cannot be read, do not fit, or hold no numbers.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise ReadError(f"the weights cannot be read: {first_line(error)}", where=path, fix=AGAIN) from error
    wanted = model.state_dict()
    wrong = [name for name in sorted(wanted | state) if name not in state or name not in wanted]
    wrong += [name for name in sorted(set(wanted) & set(state)) if wanted[name].shape != state[name].shape]
    if wrong:
        raise ReadError(
            f"{len(wrong)} of the weights do not fit the model, {wrong[0]!r} first",
            where=path,
            fix=OTHER_VERSION,
        )
    odd = [name for name, weight in model.named_parameters() if not bool(state[name].isfinite().all())]
    if odd:
        raise ReadError(f"{len(odd)} of the weights hold no numbers, {odd[0]!r} first", where=path, fix=AGAIN)
    model.load_state_dict(state)


def first_line(error: Exception) -> str:
    """What an error says first; three lines of one that names a place in the values."""
    lines = str(error).splitlines() or [type(error).__name__]
    return " ".join(lines[:3]) if isinstance(error, ValidationError) else lines[0]
