"""The work of ``ondee validate`` and ``ondee combine``: compare, add up, finish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.validation import Draws, Settings, Sides, Validation, combine, load_settings, plan, validate

__all__ = ["combined", "described", "dry_run", "settings_of", "shard_of", "validation"]


def settings_of(config: Path | None = None, **given: Any) -> Settings:
    """Settings of a file and of the command line, which overrides it; the rest at their defaults.

    Parameters
    ----------
    config
        YAML file; none where None.
    **given
        Fields of :class:`ondee.validation.Settings`; None and empty ones are not given.
    """
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    return load_settings(config, chosen)


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Number of a shard and of how many.

    Parameters
    ----------
    text
        As ``1/4``.

    Raises
    ------
    ConfigError
        If it is something else.

    Examples
    --------
    >>> shard_of("2/12")
    (2, 12)
    """
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise ConfigError(f"{text!r} is no shard", where="--shard", fix="write 1/4 to 4/4, say")
    return int(number), int(count)


def dry_run(sides: Sides, settings: Settings, **how: Any) -> dict[str, Any]:
    """Tell what a validation would do.

    Parameters
    ----------
    sides, settings
        What is compared, and how.
    **how
        ``period`` and ``workers`` of :func:`ondee.validation.plan`; the rest is not needed.
    """
    return plan(sides, settings, period=how["period"], workers=how["workers"])


def validation(sides: Sides, settings: Settings, out: Path, **how: Any) -> Validation:
    """Compare satellite rain with radar and write sums and scores into a folder.

    Parameters
    ----------
    sides, settings
        What is compared, and how.
    out
        The folder.
    **how
        Further arguments of :func:`ondee.validation.validate`.

    Raises
    ------
    OndeeError
        As the readers and :func:`ondee.validation.validate` do.
    """
    return validate(sides, settings, out, **how)


def combined(folders: Sequence[Path], out: Path, draws: Draws, command: str) -> Validation:
    """Put the sums of shards together.

    Parameters
    ----------
    folders
        Results of validations of different days.
    out
        Folder of the result.
    draws
        Of the bootstrap.
    command
        The line that was typed.
    """
    return combine(folders, out, draws=draws, command=command)


def described(found: Validation) -> dict[str, Any]:
    """Scores by source and facts as plain values, which JSON can hold.

    Parameters
    ----------
    found
        What was found.
    """
    from ondee.command.plain import as_dict

    kept = {name: _numbers(group) for name, group in found.groups.items() if name.startswith(("scores/", "sensors"))}
    return {"facts": dict(found.facts), **{name: as_dict(group) for name, group in kept.items()}}


def _numbers(group: xr.Dataset) -> xr.Dataset:
    """A group without what is neither number nor text."""
    return group.drop_vars([name for name in group.data_vars if group[name].dtype == np.dtype(object)])
