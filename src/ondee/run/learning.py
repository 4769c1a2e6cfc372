"""How runs of autoencoders of sequences learnt and what they are worth, as their folders tell; finished ones or not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ondee.errors import ReadError, StoreError
from ondee.run.folder import AGAIN, CONFIG, METRICS, PROVENANCE, WEIGHTS, configuration, first_line, metrics_of
from ondee.run.latent import model_of
from ondee.topographic.settings import LatentSettings

__all__ = ["LatentRun", "latent_runs"]

_KIND = "tvae"
_PICTURES = "pictures"


@dataclass(frozen=True)
class LatentRun:
    """A run of an autoencoder of sequences.

    Parameters
    ----------
    folder
        Where it lies.
    settings
        Of the model.
    shape
        Channels, height and width of a frame.
    training
        What the training was told, as plain values.
    rain
        What kind of rain it learns, as of :meth:`RainLearnt.plain`; empty of anything else.
    origin
        What ``provenance.json`` says; empty where there is none yet.
    metrics
        Lines of ``metrics.jsonl``, in the order of their steps.
    parameters
        Number of weights that are learnt.
    """

    folder: Path
    settings: LatentSettings
    shape: tuple[int, int, int]
    training: Mapping[str, Any]
    rain: Mapping[str, Any]
    origin: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    parameters: int

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def sequences(self) -> str:
        """What it learns: ``digits``, ``sprites`` or ``rain``."""
        return str(self.training.get("sequences", ""))

    @property
    def is_finished(self) -> bool:
        """Whether weights and figures are there."""
        return (self.folder / WEIGHTS).is_file() and bool(self.figures)

    @property
    def figures(self) -> dict[str, float]:
        """Figures of the validation split by their names; empty before the training has finished."""
        held = self.origin.get("figures")
        told = held if isinstance(held, Mapping) else {}
        return {str(key): float(value) for key, value in told.items() if _is_number(value)}

    @property
    def steps(self) -> int:
        """Steps learnt so far, as far as they are written down."""
        held: Any = self.origin.get("steps")
        return int(held) if _is_number(held) else max((int(line["step"]) for line in self.metrics), default=0)

    @property
    def seconds(self) -> float:
        """Time spent on steps, s; NaN where it is not told."""
        told = self.origin.get("seconds")
        held: Any = told.get("training") if isinstance(told, Mapping) else self.last("seconds")[1]
        return float(held) if _is_number(held) else math.nan

    def last(self, key: str) -> tuple[int, float]:
        """Step and value of the last line of the metrics that holds a key; 0 and NaN where none does.

        Parameters
        ----------
        key
            ``loss`` or ``validation_loss``, nats a frame, or any other of ``metrics.jsonl``.
        """
        lines = [line for line in self.metrics if _is_number(line.get(key))]
        return (int(lines[-1]["step"]), float(lines[-1][key])) if lines else (0, math.nan)

    def picture(self) -> tuple[int, Path] | None:
        """Step and file of the last picture of validation sequences that the training left; None where it left none."""
        found = [(int(path.stem), path) for path in (self.folder / _PICTURES).glob("*.png") if path.stem.isdecimal()]
        return max(found, default=None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def latent_runs(path: str | Path) -> list[LatentRun]:
    """Read a run of an autoencoder of sequences, or all runs of a folder, in the order of what they learn and of names.

    Parameters
    ----------
    path
        Folder that ``ondee train`` wrote, or one that holds several such folders.

    Raises
    ------
    StoreError
        If there is no run.
    ReadError
        If one is of another model, or a file of it cannot be read.
    """
    folder = Path(path)
    places = [folder] if (folder / CONFIG).is_file() else sorted(entry.parent for entry in folder.glob(f"*/{CONFIG}"))
    if not places:
        raise StoreError(
            f"neither here nor in a folder in here is there a {CONFIG}, and so no run",
            where=folder,
            fix="give a folder that `ondee train --out` wrote, or one that holds several of them",
        )
    return sorted((_read(place) for place in places), key=lambda one: (one.sequences, one.name))


def _read(folder: Path) -> LatentRun:
    """One run, finished or not."""
    config = configuration(folder, {"model", "training"})
    if config["model"] != _KIND:
        raise ReadError(
            f"the run holds the model {config['model']!r}, which is no autoencoder of sequences",
            where=folder,
            fix="give runs of configurations with model: tvae; a report of retrievals is written by `ondee verify`",
        )
    config = configuration(folder, {"settings", "shape"})
    model = model_of(folder, config)
    training, rain = (config.get(key) for key in ("training", "rain"))
    return LatentRun(
        folder=folder,
        settings=model.settings,
        shape=model.shape,
        training=training if isinstance(training, Mapping) else {},
        rain=rain if isinstance(rain, Mapping) else {},
        origin=_origin(folder / PROVENANCE),
        metrics=tuple(metrics_of(folder / METRICS)),
        parameters=sum(entry.numel() for entry in model.parameters()),
    )


def _origin(path: Path) -> dict[str, Any]:
    """What ``provenance.json`` says; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReadError(f"the provenance cannot be read: {first_line(error)}", where=path, fix=AGAIN) from error
    return held if isinstance(held, dict) else {}
