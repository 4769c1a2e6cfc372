"""Opening HDF5 files so that a damaged one gives an error and never a wrong number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from ondee.errors import ReadError

__all__ = ["MAGIC", "attribute", "opened"]

MAGIC = b"\x89HDF\r\n\x1a\n"


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReadError
        If the file cannot be opened, or any part of it that is used inside the block cannot be read.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        what = "a group or variable is missing" if isinstance(error, KeyError) else "the file cannot be read"
        raise ReadError(
            f"{what}: {_first_line(error)}",
            where=path,
            fix="the file is cut, damaged or of another product; fetch it again",
        ) from error


def attribute(node: h5py.HLObject, name: str, default: Any = None) -> Any:
    """One attribute as a plain Python value: text decoded, one-element arrays unwrapped."""
    if name not in node.attrs:
        return default
    value = node.attrs[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip("\x00 ")
    if getattr(value, "size", 0) == 1:
        value = value.reshape(-1)[0] if hasattr(value, "reshape") else value
        return (
            value.decode("utf-8", "replace").strip("\x00 ")
            if isinstance(value, bytes)
            else value.item()
            if hasattr(value, "item")
            else value
        )
    return value


def _first_line(error: BaseException) -> str:
    return str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
