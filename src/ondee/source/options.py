"""Options of the readers: checked for their type and range before a file is opened, so that no file is blamed.

A name means the same thing in every reader that has it, so that one table checks them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pyproj

from ondee.errors import ConfigError

__all__ = ["CHECKS", "checked"]


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give options in their own types; None is no option at all, so that the default holds.

    Parameters
    ----------
    options
        Name → value, all of them known to :data:`CHECKS`.

    Raises
    ------
    ConfigError
        If one is of another type or out of range.

    Examples
    --------
    >>> checked({"z_r": [200, 1.6], "quantity": None, "variables": "rain_rate"})
    {'z_r': (200.0, 1.6), 'variables': ('rain_rate',)}
    """
    return {name: CHECKS[name](name, value) for name, value in options.items() if value is not None}


def _number(name: str, value: Any, *, low: float = -1e12, high: float = 1e12) -> float:
    """A number in ``[low, high]``; True is none."""
    try:
        number = float(value) if type(value) is not bool and isinstance(value, Real) else np.nan
    except OverflowError:
        number = np.nan
    if not low <= number <= high:
        raise _refused(name, value, "a number" if low == -1e12 else f"a number from {low:g} to {high:g}")
    return number


def _whole(name: str, value: Any) -> int:
    if type(value) is bool or not isinstance(value, Integral):
        raise _refused(name, value, "a whole number")
    return int(value)


def _switch(name: str, value: Any) -> bool:
    """True or False; a text such as "no" would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise _refused(name, value, "True or False")
    return bool(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(name, value, "a text")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """Texts, from one or from a sequence."""
    several = (value,) if isinstance(value, str) else value
    if not isinstance(several, Sequence) or not several or not all(isinstance(entry, str) for entry in several):
        raise _refused(name, value, "a name, or a list of names")
    return tuple(several)


def _mapping(name: str, value: Any) -> dict[str, str | None]:
    pairs = list(value.items()) if isinstance(value, Mapping) else [(None, None)]
    if not all(isinstance(key, str) and isinstance(entry, str | None) for key, entry in pairs):
        raise _refused(name, value, "a mapping, such as {'file_variable': 'text'}")
    return dict(pairs)


def _pair(name: str, value: Any, check: Callable[[str, Any], Any], needed: str) -> tuple[Any, Any]:
    """Two values of a kind."""
    pair = list(value) if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes) else []
    try:
        first, second = (check(name, part) for part in pair)
    except (ConfigError, ValueError) as error:
        raise _refused(name, value, needed) from error
    return first, second


def _projection(name: str, value: Any) -> str:
    """A coordinate reference system that PROJ understands, as text."""
    try:
        pyproj.CRS.from_user_input(_text(name, value))
    except pyproj.exceptions.CRSError as error:
        raise _refused(name, value, "a PROJ string, an EPSG code such as 'EPSG:3035', or WKT") from error
    return str(value)


def _refused(name: str, value: Any, needed: str) -> ConfigError:
    return ConfigError(f"{name} is {repr(value)[:60]}", where=f"option {name}", fix=f"give {needed}")


CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("calibration", "corner", "input", "minus_one", "quantity", "time_label"), _text),
    **dict.fromkeys(("channels", "variables"), _texts),
    **dict.fromkeys(("names", "units"), _mapping),
    **dict.fromkeys(("as_rate", "mask_bad_lines"), _switch),
    **dict.fromkeys(("west", "north"), _number),
    "cell": partial(_number, low=1e-3),
    "corner_tolerance": partial(_number, low=0.0, high=0.5),
    "crs": _projection,
    **dict.fromkeys(("dataset", "member"), _whole),
    "frames": partial(_pair, check=_whole, needed="two whole numbers: frames=(first, stop)"),
    "minutes": partial(_number, low=0.0, high=44640.0),
    "z_r": partial(_pair, check=partial(_number, low=1e-6, high=1e6), needed="a and b of Z = a R^b: z_r=(200, 1.6)"),
}
"""Name of an option → its check, which gives it in its own type."""
