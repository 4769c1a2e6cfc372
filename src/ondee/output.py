"""Where results go: names checked before the work, files whole or absent, nothing overwritten untold, one writer."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from ondee.errors import ConfigError, OndeeError, StoreError

__all__ = ["check_target", "disk_errors", "locked", "whole", "write_netcdf"]


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
        If the name cannot be used, or the file exists and `force` is not set.
    StoreError
        If the disk refuses.
    """
    target = check_target(path, (".nc",), force=force)
    with whole(target, force=force) as draft:
        dataset.to_netcdf(draft, engine="h5netcdf", encoding=encoding)
    return target


@contextmanager
def whole(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a name to write to; when the block ends well, what was written there takes the place of `path`.

    Parameters
    ----------
    path
        The file to make.
    force
        Replace a file that exists.

    Raises
    ------
    StoreError
        If the file exists and `force` is not set, or the disk refuses.
    """
    if path.exists() and not force:
        raise StoreError("the file exists", where=path, fix="give another name, or force=True to replace it")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_errors(path):
        try:
            yield draft
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into an error with its way out.

    Parameters
    ----------
    path
        What was to be written.

    Raises
    ------
    StoreError
        If there is no space, no permission, or the disk is read-only.
    """
    try:
        yield
    except OndeeError:
        raise
    except OSError as error:
        raise StoreError(
            f"this cannot be written: {error.strerror or error}",
            where=error.filename or path,
            fix="make space, or choose a folder that exists and is yours; long work goes on where it stopped",
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold what is written for one process; the lock falls with it, however it ends.

    Parameters
    ----------
    path
        What is written, a folder or a file; the lock lies beside it.

    Raises
    ------
    StoreError
        If another process holds it.
    """
    lock = path.with_name(path.name + ".lock")
    with disk_errors(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = lock.exists() and os.path.samestat(lock.stat(), os.fstat(handle))
        except OSError:
            ours = False
        if not ours:
            raise StoreError(
                "another process is writing this", where=path, fix="wait for it, or write to another place"
            )
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(handle)
