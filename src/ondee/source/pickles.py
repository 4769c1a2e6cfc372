"""Pickled dates and arrays, read without executing anything that a file says.

``numpy.load(allow_pickle=True)`` runs whatever a file names. Archives such as MeteoNet store their
dates as pickled objects, so they cannot be read without unpickling. Here a pickle may name dates,
NumPy arrays and NumPy scalars only; arrays are rebuilt by this module from plain type codes, so that
not even NumPy's own ``__setstate__`` sees what the file says. Anything else is refused.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import pickle
import pickletools
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondee.errors import ReadError

__all__ = ["unpickle", "unpickle_mapping"]

_PLAIN = (bool, int, float, str, bytes, type(None), dt.date, dt.timedelta, np.generic)
_TYPE_CODE = re.compile(r"[<>|=]?(?:O8?|[biufcmMSU]\d{1,4}|\?)")


class _RefusedError(Exception):
    """A pickle names or builds something that is not admitted."""


class _Token:
    """Stands for a class or function that a pickle may name; it holds no state that a pickle could change."""

    __slots__ = ()


class _NdArray(_Token):
    __slots__ = ()


class _Encode(_Token):
    """``_codecs.encode(text, "latin1")``: how protocol 2 spells bytes."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise _RefusedError(f"_codecs.encode to {encoding!r}")
        return text.encode("latin-1")


class _DtypeState:
    """A type code that a pickle names, and the byte order that its state adds."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, subarray, names, fields = state[1], state[2], state[3], state[4]
        if subarray is not None or names is not None or fields is not None:
            raise _RefusedError("a structured NumPy type")
        if order not in ("<", ">", "|", "="):
            raise _RefusedError(f"the byte order {order!r}")
        if len(state) > 8:
            raise _RefusedError("a NumPy type with metadata")
        self.code = order + self.code.lstrip("<>|=")

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.code)


class _Dtype(_Token):
    """``numpy.dtype(code, align, copy)``."""

    __slots__ = ()

    def __call__(self, code: str, align: object = False, copy: object = False) -> _DtypeState:
        if not isinstance(code, str) or not _TYPE_CODE.fullmatch(code):
            raise _RefusedError(f"the NumPy type {code!r}")
        return _DtypeState(code)


class _ArrayState:
    """What a pickle says of an array; the array itself is built by :meth:`array`."""

    __slots__ = ("content", "fortran", "kind", "shape")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.kind = _DtypeState("u1")
        self.fortran = False
        self.content: Any = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _DtypeState) or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise _RefusedError("an array of an unknown type or shape")
        self.shape, self.kind, self.fortran, self.content = tuple(shape), kind, bool(fortran), content

    def array(self) -> NDArray[Any]:
        dtype, count = self.kind.dtype(), math.prod(self.shape)
        order: Any = "F" if self.fortran else "C"
        if dtype.hasobject:
            if not isinstance(self.content, list) or len(self.content) != count:
                raise _RefusedError("an array whose shape does not fit its objects")
            strange = next((item for item in self.content if not isinstance(item, _PLAIN)), None)
            if strange is not None:
                raise _RefusedError(f"an object of type {type(strange).__name__}")
            objects = np.empty(count, dtype=object)
            objects[:] = self.content
            return objects.reshape(self.shape, order=order)
        content = self.content.encode("latin-1") if isinstance(self.content, str) else self.content
        if not isinstance(content, bytes) or len(content) != count * dtype.itemsize:
            raise _RefusedError("an array whose shape does not fit its bytes")
        return np.frombuffer(content, dtype=dtype).reshape(self.shape, order=order).copy()


class _Reconstruct(_Token):
    """``numpy.core.multiarray._reconstruct(ndarray, (0,), b"b")``: always an empty array, filled by its state."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> _ArrayState:
        if not isinstance(kind, _NdArray) or shape != (0,) or code not in (b"b", "b"):
            raise _RefusedError("an array that is not a plain numpy.ndarray")
        return _ArrayState()


class _Bytes(_Token):
    """``bytes()``: how protocols below 3 spell no bytes at all."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


class _Scalar(_Token):
    """``numpy.core.multiarray.scalar(dtype, bytes)``."""

    __slots__ = ()

    def __call__(self, kind: _DtypeState, content: bytes | str) -> Any:
        raw = content.encode("latin-1") if isinstance(content, str) else content
        dtype = kind.dtype()
        if dtype.hasobject or not isinstance(raw, bytes) or len(raw) != dtype.itemsize:
            raise _RefusedError("a NumPy scalar of another size than its type")
        return np.frombuffer(raw, dtype=dtype)[0]


class _MaskedArray(_Token):
    __slots__ = ()


class _MaskedState(_ArrayState):
    """What a pickle says of a masked array of numbers; it becomes a float array, NaN where masked."""

    __slots__ = ("mask",)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *plain, mask, _ = state
        super().__setstate__(tuple(plain))
        self.mask = mask

    def array(self) -> NDArray[Any]:
        values = super().array()
        mask = self.mask.encode("latin-1") if isinstance(self.mask, str) else self.mask
        if values.dtype.kind not in "iuf" or not isinstance(mask, bytes) or len(mask) != values.size:
            raise _RefusedError("a masked array whose mask does not fit its numbers")
        order: Any = "F" if self.fortran else "C"
        masked = np.frombuffer(mask, dtype=bool).reshape(self.shape, order=order)
        return np.where(masked, np.nan, values)


class _Mareconstruct(_Token):
    """``numpy.ma.core._mareconstruct(MaskedArray, ndarray, (0,), b"b")``."""

    __slots__ = ()

    def __call__(self, kind: object, base: object, shape: object, code: object) -> _MaskedState:
        if not isinstance(kind, _MaskedArray) or not isinstance(base, _NdArray) or shape != (0,):
            raise _RefusedError("an array that is not a plain numpy.ma.MaskedArray")
        return _MaskedState()


_ADMITTED: dict[tuple[str, str], object] = {
    ("datetime", "datetime"): dt.datetime,
    ("datetime", "date"): dt.date,
    ("datetime", "timedelta"): dt.timedelta,
    ("numpy", "ndarray"): _NdArray(),
    ("numpy", "dtype"): _Dtype(),
    ("numpy.ma.core", "MaskedArray"): _MaskedArray(),
    ("numpy.ma", "MaskedArray"): _MaskedArray(),
    ("numpy.ma.core", "_mareconstruct"): _Mareconstruct(),
    ("_codecs", "encode"): _Encode(),
    ("__builtin__", "bytes"): _Bytes(),
    ("builtins", "bytes"): _Bytes(),
    **{
        (module, name): stand_in
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, stand_in in (("_reconstruct", _Reconstruct()), ("scalar", _Scalar()))
    },
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that looks names up in :data:`_ADMITTED` and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None

    def persistent_load(self, identifier: Any) -> Any:
        raise _RefusedError("a reference to an object outside the file")


def _loaded(content: bytes) -> Any:
    """What a pickle holds, after a look at its instructions.

    NumPy arrays of numbers and dates need neither registered extensions nor buffers outside the pickle, and number
    what they remember in order; a number out of order makes Python's unpickler take memory for all below it.
    """
    for number, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        if instruction.name.startswith(("EXT", "BYTEARRAY", "NEXT_BUFFER", "READONLY_BUFFER")):
            raise _RefusedError(f"the instruction {instruction.name}")
        if instruction.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= number:
            raise _RefusedError(f"a memory of {argument} places")
    return _Unpickler(io.BytesIO(content), encoding="latin1").load()


def unpickle(content: bytes, *, where: object) -> NDArray[Any]:
    """Rebuild the array that a pickle holds, without running code of the file's choice.

    Parameters
    ----------
    content
        The bytes of the pickle (any protocol).
    where
        The file, for errors.

    Returns
    -------
    ndarray
        An array of numbers, or of dates (``object``).

    Raises
    ------
    ReadError
        If the pickle names anything but dates and NumPy arrays and scalars, or is damaged.

    Examples
    --------
    >>> import pickle
    >>> unpickle(pickle.dumps(np.array([1, 2])), where="dates.npy").tolist()
    [1, 2]
    """
    try:
        found = _loaded(content)
        if not isinstance(found, _ArrayState):
            raise _RefusedError(f"an object of type {type(found).__name__} where an array is expected")
        return found.array()
    except _RefusedError as error:
        raise ReadError(
            f"the pickle holds {error}; refused, not executed",
            where=where,
            fix="fetch the file from its producer: ondee admits dates and NumPy arrays and scalars only",
        ) from None
    except Exception as error:  # a damaged pickle can raise anything at all
        raise ReadError(
            f"the pickled dates cannot be read: {type(error).__name__}",
            where=where,
            fix="the file is cut or damaged; fetch it again",
        ) from None


def unpickle_mapping(content: bytes, *, where: object) -> dict[str, NDArray[Any]]:
    """Rebuild a dictionary of arrays, as ``numpy.save(path, {"name": array})`` pickles it, without running its code.

    Parameters
    ----------
    content
        The bytes of the pickle (any protocol).
    where
        The file, for errors.

    Returns
    -------
    dict
        Name → array; masked arrays as floats, NaN where masked.

    Raises
    ------
    ReadError
        If the pickle names anything but NumPy arrays and scalars and dates, is damaged, or holds no dictionary.

    Examples
    --------
    >>> import pickle
    >>> unpickle_mapping(pickle.dumps({"rain": np.array([1, 2])}), where="patch.npy")
    {'rain': array([1, 2])}
    """
    try:
        found = _loaded(content)
        if isinstance(found, _ArrayState) and found.shape == () and isinstance(found.content, list):
            (found,) = found.content
        if not isinstance(found, dict):
            raise _RefusedError(f"an object of type {type(found).__name__} where a dictionary is expected")
        return {
            str(name): value.array() if isinstance(value, _ArrayState) else np.asarray(value)
            for name, value in found.items()
            if isinstance(value, (_ArrayState, *_PLAIN))
        }
    except _RefusedError as error:
        raise ReadError(
            f"the pickle holds {error}; refused, not executed",
            where=where,
            fix="fetch the file from its producer: ondee admits a dictionary of NumPy arrays only",
        ) from None
    except Exception as error:  # a damaged pickle can raise anything at all
        raise ReadError(
            f"the pickled arrays cannot be read: {type(error).__name__}",
            where=where,
            fix="the file is cut or damaged; fetch it again",
        ) from None
