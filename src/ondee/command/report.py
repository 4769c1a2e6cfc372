"""The work of ``ondee report``: a page from the folder of a validation."""

from __future__ import annotations

from pathlib import Path

from ondee.plot.style import Style
from ondee.report.validation import write_validation_report
from ondee.validation.result import read_validation

__all__ = ["report"]


def report(folder: Path, out: Path | None = None, *, style: Style = "paper", force: bool = False) -> Path:
    """Write the report of a validation and its figures.

    Parameters
    ----------
    folder
        Folder of a validation, or its ``scores.nc``.
    out
        HTML file; ``report.html`` in the folder where None. The figures lie beside it in ``figures``.
    style
        ``paper`` or ``screen``: how the figures look.
    force
        Overwrite a report and figures that exist.

    Raises
    ------
    StoreError
        If the folder holds no validation.
    ConfigError
        If a file exists and `force` is not set.
    """
    found = read_validation(folder)
    home = folder if folder.is_dir() else folder.parent
    return write_validation_report(found, out or home / "report.html", style=style, force=force)
