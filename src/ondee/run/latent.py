"""A run of an autoencoder of sequences, written down and read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ondee import __version__
from ondee.errors import ReadError
from ondee.run.folder import (
    CONFIG,
    OTHER_VERSION,
    PROVENANCE,
    WEIGHTS,
    configuration,
    fill,
    first_line,
    found,
    lines_of,
    write,
)
from ondee.topographic.model import TopographicVAE
from ondee.topographic.settings import LatentSettings

__all__ = ["RainLearnt", "described_latent", "fingerprint_of", "load_latent", "rain_learnt", "save_latent"]

_NEEDED = {"model", "settings", "shape", "training"}


@dataclass(frozen=True)
class RainLearnt:
    """What kind of rain a model has learnt, so that it is used on no other.

    Parameters
    ----------
    frames
        Of a sequence.
    step
        Minutes between frames.
    cell
        Height and width of a pixel, km.
    crop
        ``lagrangian`` where windows moved on with the rain, else ``eulerian``.
    """

    frames: int
    step: int
    cell: tuple[float, float]
    crop: str = "eulerian"

    def plain(self) -> dict[str, Any]:
        """As ``config.yaml`` says it."""
        return {"frames": self.frames, "step_minutes": self.step, "cell_km": list(self.cell), "crop": self.crop}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> RainLearnt:
        """From what ``config.yaml`` says."""
        height, width = (float(side) for side in told["cell_km"])
        return cls(int(told["frames"]), int(told["step_minutes"]), (height, width), str(told.get("crop", "eulerian")))


def save_latent(path: str | Path, model: TopographicVAE, *, about: Mapping[str, Any]) -> Path:
    """Write a trained autoencoder as a run.

    Parameters
    ----------
    path
        Folder of the run; made if it is not there.
    model
        The model.
    about
        ``training``, ``data``, ``figures`` and ``provenance`` as mappings of plain values, none needed; ``rain``, as
        of :meth:`RainLearnt.plain`, of a model of rain.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    folder = Path(path)
    config = described_latent(model, training=about.get("training", {}), rain=about.get("rain"))
    return write(folder, model, config, _card(folder.name, model, about), about)


def described_latent(
    model: TopographicVAE, *, training: Mapping[str, Any], rain: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What ``config.yaml`` says of an autoencoder, as plain values."""
    plain: dict[str, Any] = json.loads(
        json.dumps(
            {
                "model": "tvae",
                "settings": model.settings.model_dump(mode="json"),
                "shape": list(model.shape),
                **({"rain": dict(rain)} if rain else {}),
                "training": dict(training),
            }
        )
    )
    return plain


def load_latent(path: str | Path, device: str = "cpu") -> TopographicVAE:
    """Rebuild the autoencoder of a run.

    Parameters
    ----------
    path
        Folder of a run, or the name of one that ondee ships.
    device
        Where its weights go.

    Raises
    ------
    ReadError
        If there is no finished run, it is one of another kind, or its files do not fit together.
    """
    folder = found(path)
    config = configuration(folder, {"model", "training"})
    if config["model"] != "tvae":
        raise ReadError(
            f"the run holds the model {config['model']!r}, which is no autoencoder of sequences",
            where=folder,
            fix="give a run of a configuration with model: tvae; `ondee retrieve` takes the other ones",
        )
    model = model_of(folder, configuration(folder, _NEEDED))
    fill(model, folder / WEIGHTS)
    return model.to(device).eval()


def model_of(folder: Path, config: Mapping[str, Any]) -> TopographicVAE:
    """The autoencoder that the configuration of a run tells, its weights not yet those of the run.

    Parameters
    ----------
    folder
        Of the run, for the error.
    config
        What its ``config.yaml`` says.

    Raises
    ------
    ReadError
        If settings and shape of frames make no model.
    """
    try:
        settings = LatentSettings.model_validate(config["settings"])
        channels, height, width = (int(entry) for entry in config["shape"])
        if min(channels, height, width) < 1 or max(height, width) > 4096 or channels > 64:
            raise ValueError(f"frames of {channels} x {height} x {width} cannot be")
        return TopographicVAE(settings, (channels, height, width))
    except (ValueError, TypeError, KeyError, RuntimeError, ArithmeticError) as error:
        raise ReadError(
            f"the configuration of the run does not fit the model: {first_line(error)}",
            where=folder / CONFIG,
            fix=OTHER_VERSION,
        ) from error


def rain_learnt(path: str | Path) -> RainLearnt:
    """What kind of rain the autoencoder of a run has learnt.

    Parameters
    ----------
    path
        Folder of a run, or the name of one that ondee ships.

    Raises
    ------
    ReadError
        If there is no finished run, or it does not tell.
    """
    folder = found(path)
    config = configuration(folder, {"model", "training"})
    try:
        return RainLearnt.of(config["rain"] if "rain" in config else _told_before(folder, config))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ReadError(
            "the run does not tell length, step and cell of the rain that it learnt from",
            where=folder / CONFIG,
            fix="give a run that `ondee train` made with sequences: rain, or train it again",
        ) from error


def _told_before(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What older runs say elsewhere: their provenance tells ``5 min`` and ``2 x 2 km``."""
    data = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))["data"]
    told = config["training"] if isinstance(config["training"], dict) else {}
    cell = [float(side) for side in str(data["cell"]).removesuffix(" km").split(" x ")]
    step = int(str(data["step"]).removesuffix(" min"))
    crop = str(told.get("crop", "eulerian"))
    return {"frames": int(data["frames"]), "step_minutes": step, "cell_km": cell, "crop": crop}


def fingerprint_of(path: str | Path) -> str:
    """Hash of the weights of a run, by which what it made is known again.

    Parameters
    ----------
    path
        Folder of a run, or the name of one that ondee ships.

    Raises
    ------
    ReadError
        If there is no finished run.
    """
    with (found(path) / WEIGHTS).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _card(name: str, model: TopographicVAE, about: Mapping[str, Any]) -> str:
    """README.md of a run."""
    settings = model.settings
    coherence = settings.coherence
    if coherence is None:
        shared = "plain Gaussian latents"
    else:
        shared = f"{coherence.shape} coherence over {coherence.frames} frames and {coherence.width} places"
    channels, height, width = model.shape
    places = " x ".join(map(str, settings.dimensions))
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: ondee",
        "tags: [variational-autoencoder, equivariance, sequences]",
        "---",
        "",
        f"# {name}: an autoencoder of sequences with topographic latents",
        "",
        f"Made by ondee {__version__}. {sum(entry.numel() for entry in model.parameters()):,} parameters.",
        "",
        "## Model",
        "",
        f"- frames of {channels} x {height} x {width}, likelihood {settings.likelihood}",
        f"- {settings.capsules} capsules of {places} places",
        f"- {shared}",
        "",
        "## Learnt from",
        "",
        *(lines_of(dict(about.get("data", {}))) or ["- not told"]),
        "",
        "## Figures on sequences held out",
        "",
        *(lines_of(dict(about.get("figures", {}))) or ["- none"]),
        "",
        "## How to use it",
        "",
        "```python",
        "from ondee.run import load_latent",
        "",
        f'model = load_latent("{name}")',
        "latents = model.latents(frames)  # (B, S, C, D) of (B, S, channels, H, W)",
        "```",
        "",
        "## Licence",
        "",
        "Apache-2.0.",
        "",
    ]
    return "\n".join(lines)
