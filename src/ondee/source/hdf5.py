"""Opening HDF5 files so that a damaged one gives an error and never a wrong number."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from ondee.errors import OndeeError, ReadError

__all__ = ["MAGIC", "attribute", "opened", "require_written", "tells"]

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
    except OndeeError:
        raise
    except Exception as error:  # h5py raises nearly anything on a damaged file
        what = "a group or variable is missing" if isinstance(error, KeyError) else "the file cannot be read"
        raise ReadError(
            f"{what}: {_first_line(error)}",
            where=path,
            fix="the file is cut, damaged or of another product; fetch it again",
        ) from error


def tells(path: Path, answer: Callable[[h5py.File], bool]) -> bool:
    """Answer a question about an HDF5 file; False if it is damaged.

    Parameters
    ----------
    path
        The file.
    answer
        Finds the answer in the open file.
    """
    try:
        with opened(path) as file:
            return answer(file)
    except OndeeError:
        return False


def require_written(node: h5py.Dataset, missing: Collection[Any], *, where: object) -> None:
    """Refuse an array of which a part was never written, unless that part reads as missing.

    HDF5 makes room for chunks as they are written, and reads those that are not there as the fill value, which is 0 if
    nobody chose another: a file whose writer was killed would be dry where it has nothing.

    Parameters
    ----------
    node
        The array.
    missing
        Codes of missing values.
    where
        The file, for errors.

    Raises
    ------
    ReadError
        If a part is absent.
    """
    if node.is_virtual or not node.size:
        return
    if node.chunks is None:
        whole = node.id.get_storage_size() > 0 or node.external is not None
    else:
        pairs = zip(node.shape, node.chunks, strict=True)
        whole = node.id.get_num_chunks() >= math.prod(-(-size // chunk) for size, chunk in pairs)
    if not whole and not (node.fillvalue != node.fillvalue or node.fillvalue in missing):
        raise ReadError(
            f"a part of {node.name} was never written",
            where=where,
            fix="the writing of the file was cut short; fetch or make it again",
        )


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
