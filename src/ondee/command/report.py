"""The work of ``ondee report``: a page from the folder of a validation, or from runs of autoencoders of sequences."""

from __future__ import annotations

from pathlib import Path

from ondee.command.train import needs_torch
from ondee.errors import StoreError
from ondee.plot.style import Style
from ondee.report.validation import write_validation_report
from ondee.validation.result import SCORES, read_validation

__all__ = ["report"]

_CONFIG = "config.yaml"
"""What tells the folder of a run; its room needs torch, which a validation does not."""


def report(folder: Path, out: Path | None = None, *, style: Style = "paper", force: bool = False) -> Path:
    """Write the report of a validation, or of runs of autoencoders of sequences, and its figures.

    Parameters
    ----------
    folder
        Folder of a validation, or its ``scores.nc``; or folder of a run, or one that holds several.
    out
        HTML file; ``report.html`` in the folder where None. The figures lie beside it in ``figures``.
    style
        ``paper`` or ``screen``: how the figures look.
    force
        Overwrite a report and figures that exist.

    Raises
    ------
    StoreError
        If the folder holds neither a validation nor a run.
    ReadError
        If a run is of another model, or a file of it cannot be read.
    ConfigError
        If a file exists and `force` is not set, or there are runs and torch is not installed.
    """
    home = folder if folder.is_dir() else folder.parent
    target = out or home / "report.html"
    if folder.is_file() or (folder / SCORES).is_file():
        return write_validation_report(read_validation(folder), target, style=style, force=force)
    if not (folder / _CONFIG).is_file() and not any(folder.glob(f"*/{_CONFIG}")):
        raise StoreError(
            f"there is no {SCORES} of a validation, and no {_CONFIG} of a run here or in a folder in here",
            where=folder,
            fix="give a folder that `ondee validate --out` or `ondee train --out` wrote, or one of several runs",
        )
    needs_torch("torch", "safetensors")
    from ondee.report.runs import write_runs_report

    return write_runs_report(folder, target, style=style, force=force)
