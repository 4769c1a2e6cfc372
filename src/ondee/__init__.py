"""Rain seen from space: satellite rain judged against radar, and rain retrieved from infrared."""

from __future__ import annotations

from ondee.errors import OndeeError
from ondee.grid import Grid
from ondee.source import open

__all__ = ["Grid", "OndeeError", "__version__", "open"]

__version__ = "0.1.0"
