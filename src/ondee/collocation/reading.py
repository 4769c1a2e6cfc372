"""One quantity out of granules, whatever the product holds: rate or amount, its interval said, its quality kept."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from ondee.collocation.calendar import with_interval
from ondee.collocation.regrid import mask_by_quality
from ondee.errors import ConfigError, ReadError
from ondee.region import Region
from ondee.source.assembly import Label
from ondee.source.granule import Granule
from ondee.units import VOCABULARY, require, to_rate

__all__ = ["Reading"]


@dataclass(frozen=True)
class Reading:
    """How a quantity is read from the granules of one product.

    Parameters
    ----------
    region
        West, south, east, north in degrees; None for all.
    quality
        Lowest quality kept (0–1); None keeps all.
    interval
        Minutes and label of each frame (``(5, "start")``), where the product leaves them open.
    variable
        The quantity. Amounts of rain become rates.
    """

    region: Region | None = None
    quality: float | None = None
    interval: tuple[float, Label] | None = None
    variable: str = "rain_rate"

    def __post_init__(self) -> None:
        if self.variable not in VOCABULARY:
            raise ConfigError(
                f"{self.variable!r} is not in the vocabulary",
                where="variable",
                fix="use one of: " + ", ".join(sorted(VOCABULARY)),
            )

    def read(self, granule: Granule) -> xr.Dataset:
        """Read one granule: the quantity in its unit, with ``time_bounds``, and its quality if it has one.

        Raises
        ------
        ReadError
            If the granule cannot be read or does not hold the quantity.
        UnitError
            If it holds it in another unit.
        ConfigError
            If a quality is asked of a product that has none.
        """
        dataset = granule.read(self.region)
        if self.interval is not None:
            dataset = with_interval(dataset, *self.interval)
        wanted = self.variable
        if wanted == "rain_rate" and wanted not in dataset and "rain_amount" in dataset:
            dataset = dataset.assign(rain_rate=to_rate(dataset["rain_amount"], dataset["time_bounds"]))
        if wanted not in dataset:
            asked = "rain" if wanted == "rain_rate" else wanted
            raise ReadError(
                f"there is no {asked} among {', '.join(map(str, dataset.data_vars))}",
                where=granule.paths[0],
                fix="open radar rain; reflectivity becomes rain with the reader's option z_r"
                if wanted == "rain_rate"
                else "name a variable that the file holds; `ondee look` lists them",
            )
        require(dataset[wanted], wanted, where=granule.paths[0])
        return mask_by_quality(dataset, self.quality)
