"""The work of ``ondee floor``: measure, write, draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from ondee.output import check_target, write_netcdf
from ondee.plot.style import SUFFIXES, Style
from ondee.source import granules
from ondee.validation.floor import floor

__all__ = ["measure"]


def measure(
    radar: Sequence[Path],
    reading: Mapping[str, Any],
    *,
    out: Path | None = None,
    png: Path | None = None,
    style: Style = "paper",
    force: bool = False,
    **settings: Any,
) -> xr.Dataset:
    """Measure the sampling floor of some radar files, write it and draw it.

    Parameters
    ----------
    radar
        Files or folders of one product.
    reading
        Arguments of :func:`ondee.source.granules`.
    out, png
        Where to write and to draw; neither where None.
    style
        Style of the figure.
    force
        Overwrite `out` and `png`.
    **settings
        Arguments of :func:`ondee.validation.floor.floor`.

    Raises
    ------
    ConfigError
        If a file cannot be written; this is found before the work is done.
    OndeeError
        As the reader and :func:`ondee.validation.floor.floor` do.
    """
    if out is not None:
        check_target(out, (".nc",), force=force)
    if png is not None:
        check_target(png, SUFFIXES, force=force)
    found = floor(granules(*radar, **reading), **settings)
    if out is not None:
        write_netcdf(found, out, force=force)
    if png is not None:
        from ondee.plot import draw_floor

        draw_floor(found, png, style=style, force=force)
    return found
