"""The work of ``ondee look``: facts, and a map if one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ondee.errors import ConfigError
from ondee.facts import Survey, survey
from ondee.output import check_target
from ondee.plot.style import SUFFIXES

__all__ = ["look"]


def look(paths: Sequence[Path], *, png: Path | None = None, force: bool = False, **chosen: Any) -> Survey:
    """Survey some paths and draw the preview of the product that has one.

    Parameters
    ----------
    paths
        Files, folders, stores.
    png
        Where to draw; nothing is drawn where None.
    force
        Overwrite `png`.
    **chosen
        Arguments of :func:`ondee.facts.survey`.

    Raises
    ------
    ConfigError
        If `png` cannot be written, or there is more than one product to draw.
    OndeeError
        As :func:`ondee.facts.survey` does.
    """
    if png is not None:
        check_target(png, SUFFIXES, force=force)
    found = survey(*paths, **chosen)
    if png is not None:
        shown = [entry for entry in found.products if entry.preview is not None]
        if len(shown) != 1 or shown[0].preview is None:
            raise ConfigError(
                f"there are {len(shown)} products to draw: " + ", ".join(entry.product for entry in shown),
                where=png,
                fix="name the files of one product, or choose with --variable, --time or --channel",
            )
        from ondee.plot import draw_map, save

        save(draw_map(shown[0].preview), png, force=force)
    return found
