"""Rain seen from space: satellite rain judged against radar, and rain retrieved from infrared."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ondee.errors import OndeeError

if TYPE_CHECKING:
    from ondee.grid import Grid
    from ondee.source import open

__all__ = ["Grid", "OndeeError", "__version__", "open"]

__version__ = "0.1.0"

_ROOMS = {"Grid": "ondee.grid", "open": "ondee.source"}
"""Where the names are that need xarray: it is imported at their first use, so that `ondee --help` need not wait."""


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'ondee' has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
