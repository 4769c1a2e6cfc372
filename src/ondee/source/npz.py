"""Arrays of an ``.npz`` file: headers are read first, sizes checked before memory is taken, pickles restricted."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ondee.errors import OndeeError, ReadError
from ondee.source.pickles import unpickle

__all__ = ["Member", "Npz", "opened"]

_LARGEST_PICKLE = 64 * 2**20
"""Bytes of a pickled member: a month of 5-min dates takes less than 1 MB."""


@dataclass(frozen=True)
class Member:
    """What the header of one array in an ``.npz`` says.

    Parameters
    ----------
    name
        Name of the array, without ``.npy``.
    shape, dtype
        Its shape and type.
    fortran
        Whether the last index varies slowest.
    size
        Bytes of its content, as the archive says.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    size: int


class Npz:
    """The arrays of an open ``.npz`` file. Made by :func:`opened`.

    Parameters
    ----------
    path
        The file.
    archive
        The zip archive, open.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return [name.removesuffix(".npy") for name in self._archive.namelist() if name.endswith(".npy")]

    def member(self, name: str) -> Member:
        """Read the header of one array.

        Raises
        ------
        ReadError
            If the array is not there, or its shape does not fit the size that the archive gives it.
        """
        with self._stream(name) as (_, member):
            return member

    def array(self, name: str) -> NDArray[Any]:
        """Read one array whole; objects pass the restricted unpickler.

        Raises
        ------
        ReadError
            If it is absent, damaged, or holds objects that are not admitted.
        """
        with self._stream(name) as (stream, member):
            if member.dtype.hasobject:
                found = unpickle(_exactly(stream, member.size), where=f"{self.path}, {name}")
                if found.shape != member.shape:
                    raise ValueError("the pickled array has another shape than its header says")
                return found
            flat = np.frombuffer(_exactly(stream, member.size), dtype=member.dtype)
            return flat.reshape(member.shape, order="F" if member.fortran else "C")

    def each(self, name: str) -> Iterator[NDArray[Any]]:
        """Read an array along its first dimension, one item in memory at a time.

        Raises
        ------
        ReadError
            If it is absent or damaged, holds objects, or is stored in Fortran order.
        """
        with self._stream(name) as (stream, member):
            if member.dtype.hasobject or member.fortran or not member.shape:
                raise ValueError(f"{name} is not a stack of plain arrays in C order")
            length = math.prod(member.shape[1:]) * member.dtype.itemsize
            for _ in range(member.shape[0]):
                yield np.frombuffer(_exactly(stream, length), dtype=member.dtype).reshape(member.shape[1:])
            if stream.read(1):
                raise ValueError(f"{name} is longer than its header says")

    @contextmanager
    def _stream(self, name: str) -> Iterator[tuple[IO[bytes], Member]]:
        """Open one array just after its header."""
        entry = f"{name}.npy"
        if entry not in self._archive.namelist():
            raise ReadError(
                f"there is no array {name!r}; there is {', '.join(self.names) or 'none'}",
                where=self.path,
                fix="the file is of another product; name its format, or fetch it again",
            )
        information = self._archive.getinfo(entry)
        with self._archive.open(information) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version} of the NumPy format")
            parse = np.lib.format.read_array_header_1_0
            if version == (2, 0):
                parse = np.lib.format.read_array_header_2_0
            shape, fortran, dtype = parse(stream)
            size = information.file_size - stream.tell()
            member = Member(name, shape, dtype, fortran, size)
            _check_size(member)
            yield stream, member


@contextmanager
def opened(path: Path) -> Iterator[Npz]:
    """Open an ``.npz`` file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReadError
        If it cannot be opened, or any part of it that is used inside the block cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Npz(path, archive)
    except OndeeError:
        raise
    except Exception as error:  # zipfile and NumPy raise nearly anything on a damaged file
        text = str(error).strip("'\"")
        raise ReadError(
            f"the file cannot be read: {text.splitlines()[0] if text else type(error).__name__}",
            where=path,
            fix="the file is cut, damaged or of another product; fetch it again",
        ) from error


def _check_size(member: Member) -> None:
    """Refuse a member whose header and size disagree, before any memory is taken for it."""
    if any(size < 0 for size in member.shape):
        raise ValueError(f"{member.name} has a negative shape")
    if member.dtype.hasobject:
        if member.size > _LARGEST_PICKLE:
            raise ValueError(f"{member.name} is a pickle of {member.size / 2**20:.0f} MB")
        return
    expected = math.prod(member.shape) * member.dtype.itemsize
    if member.size != expected:
        raise ValueError(f"{member.name} takes {member.size} bytes, its shape {member.shape} needs {expected}")


def _exactly(stream: IO[bytes], count: int) -> bytes:
    """Read so many bytes, no fewer."""
    content = stream.read(count)
    if len(content) != count:
        raise EOFError("the file ends too early")
    return content
