"""A region: a box of longitude and latitude."""

from __future__ import annotations

from typing import Any

import numpy as np

from ondee.errors import ConfigError

__all__ = ["Region", "four_numbers"]

Region = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


def four_numbers(region: Any) -> Region:
    """Give a region as four numbers.

    Raises
    ------
    ConfigError
        If it is not four finite numbers.
    """
    try:
        west, south, east, north = (float(edge) for edge in region if not isinstance(region, str))
        if not np.isfinite([west, south, east, north]).all() or max(map(abs, (west, south, east, north))) > 720.0:
            raise ValueError(region)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the region {region!r} is not four numbers in degrees",
            where="region",
            fix="give west, south, east, north, such as (-5.5, 42.0, 8.5, 51.5)",
        ) from error
    return west, south, east, north
