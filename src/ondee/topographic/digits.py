"""Images and labels in the IDX format of the MNIST digits.

References
----------
Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits: a header of two zero bytes, a type, the
number of axes and their sizes (big-endian), then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError

__all__ = ["SPLITS", "digits_of", "read_idx"]

SPLITS = ("train", "validation", "test")
_UNSIGNED = 0x08
_TRAINED = 48_000
"""The first so many of the 60,000 are learnt from; the others are the validation's."""
_GET = "put train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz of MNIST into the folder"


def digits_of(folder: str | Path, split: str) -> NDArray[np.uint8]:
    """The digits of a split, ``(N, 28, 28)``, 0 to 255.

    Parameters
    ----------
    folder
        With the files of MNIST, compressed or not.
    split
        One of :data:`SPLITS`: 48,000 and 12,000 of the training file, 10,000 of the test file.

    Raises
    ------
    ReadError
        If a file is missing, is none, or holds too few digits.
    ConfigError
        If there is no such split.
    """
    if split not in SPLITS:
        raise ConfigError(
            f"there is no split {split!r} of the digits", where="split", fix=f"give one of {', '.join(SPLITS)}"
        )
    name = "t10k-images-idx3-ubyte" if split == "test" else "train-images-idx3-ubyte"
    place = next((path for path in (Path(folder) / f"{name}.gz", Path(folder) / name) if path.is_file()), None)
    if place is None:
        raise ReadError("there are no digits", where=Path(folder) / f"{name}.gz", fix=_GET)
    images = read_idx(place)
    if images.ndim != 3:
        raise ReadError(f"it holds arrays of {images.ndim} axes, not images", where=place, fix=_GET)
    chosen = {"train": images[:_TRAINED], "validation": images[_TRAINED:], "test": images}[split]
    if not len(chosen):
        raise ReadError(
            f"{len(images):,} digits leave none for the {split} split, which begins at {_TRAINED:,}",
            where=place,
            fix=_GET,
        )
    return chosen


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """Array of bytes of an IDX file, compressed or not.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReadError
        If it is no IDX file of bytes, or is cut short.
    """
    place = Path(path)
    try:
        data = place.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(f"the file cannot be read: {error}", where=place, fix="copy it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED or not data[3]:
        raise ReadError("this is no IDX file of bytes", where=place, fix=_GET)
    begin = 4 + 4 * data[3]
    if len(data) < begin:
        raise ReadError("the file ends within its header", where=place, fix="copy it again: it was cut short")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    if len(data) - begin != math.prod(shape):
        raise ReadError(
            f"the file holds {len(data) - begin:,} values, and its header says {math.prod(shape):,}",
            where=place,
            fix="copy it again: it was cut short",
        )
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)
