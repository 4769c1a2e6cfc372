"""The work of ``ondee train``: read the configuration, train, draw pictures as it goes."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ondee.errors import ConfigError

__all__ = ["dry_run", "needs_torch", "train"]


def needs_torch(*packages: str) -> None:
    """Refuse to go on without what retrievals need.

    Parameters
    ----------
    *packages
        Names of the packages.

    Raises
    ------
    ConfigError
        If one is not installed.
    """
    for name in packages:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"{name} is not installed", where="this Python", fix="pip install 'ondee[retrieval]'")


def train(config: Path, *, force: bool = False, on: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """Train a model as a configuration says, or go on where an earlier training stopped.

    Parameters
    ----------
    config
        YAML file.
    force
        Remove a run that another configuration made.
    on
        Fields of :class:`ondee.training.session.Devices`.
    **given
        Values in place of those of the file, where not None.

    Returns
    -------
    dict
        What was done; empty in all processes but the first.
    """
    needs_torch("torch", "lightning", "safetensors")
    from ondee.training.session import Devices
    from ondee.training.session import train as work
    from ondee.training.settings import read

    made = work(read(config, **given), on=Devices(**(on or {})), force=force, draw=_draw)
    return asdict(made) if made is not None else {}


def dry_run(config: Path, *, on: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """Tell what a training would do and how long it would take.

    Parameters
    ----------
    config, on, **given
        As in :func:`train`.
    """
    needs_torch("torch", "lightning", "safetensors")
    from ondee.training.estimate import estimate
    from ondee.training.session import Devices
    from ondee.training.settings import read

    return estimate(read(config, **given), Devices(**(on or {})))


def _draw(folder: Path, scene: Any, metrics: list[dict[str, Any]]) -> None:
    """Write the pictures of a validation, and the curve of the losses anew."""
    from ondee.plot.style import save
    from ondee.plot.training import draw_learning

    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    save(_pictured(scene), pictures / f"{scene.step:08d}.png", force=True)
    save(draw_learning(metrics), pictures / "loss.png", force=True)


def _pictured(scene: Any) -> Any:
    """A figure of patches, or of sequences."""
    if hasattr(scene, "rolled"):
        from ondee.plot.rolls import draw_rolls

        title = f"validation sequences after {scene.step} steps"
        return draw_rolls(scene.frames, scene.reconstructed, scene.rolled, rain=scene.is_rain, title=title)
    from ondee.plot.training import draw_patches

    drawn = (scene.infrared, scene.radar, scene.drawn)
    title = f"validation patches after {scene.step} steps"
    return draw_patches(*drawn, channel=scene.channel, cell=scene.cell, title=title)
