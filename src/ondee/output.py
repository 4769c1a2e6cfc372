"""Where results go: a name that is checked before the work, and never overwritten without being told to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import xarray as xr

from ondee.errors import ConfigError

__all__ = ["check_target", "write_netcdf"]


def check_target(path: str | Path, suffixes: tuple[str, ...], *, force: bool = False) -> Path:
    """Check a file name before the work that fills it.

    Parameters
    ----------
    path
        The file to write.
    suffixes
        Endings that are allowed.
    force
        Whether a file that exists may be overwritten.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ConfigError
        If the ending is another one, the folder does not exist or is not writable, or the file exists and `force` is
        not set.
    """
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise ConfigError(
            f"a file ending in {target.suffix or 'nothing'!r} cannot be written here",
            where=target,
            fix="end the name in " + " or ".join(suffixes),
        )
    if not target.parent.is_dir():
        raise ConfigError("the folder does not exist", where=target.parent, fix=f"mkdir -p {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise ConfigError("the folder cannot be written", where=target.parent, fix="write to a folder that is yours")
    if target.is_dir():
        raise ConfigError("there is a folder of that name", where=target, fix="choose another name")
    if target.exists() and not force:
        raise ConfigError("the file exists", where=target, fix="choose another name, or overwrite it with --force")
    return target


def write_netcdf(dataset: xr.Dataset, path: str | Path, *, force: bool = False, **encoding: Any) -> Path:
    """Write a Dataset as NetCDF; it appears whole or not at all.

    Parameters
    ----------
    dataset
        Any Dataset.
    path
        Ends in ``.nc``.
    force
        Overwrite a file that exists.
    **encoding
        Variable name → its encoding.

    Raises
    ------
    ConfigError
        If the file cannot be written, or exists and `force` is not set.
    """
    target = check_target(path, (".nc",), force=force)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        dataset.to_netcdf(part, engine="h5netcdf", encoding=encoding)
        part.replace(target)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise ConfigError(
            f"the file cannot be written: {reason}", where=target, fix="free some space, or write to another folder"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target
