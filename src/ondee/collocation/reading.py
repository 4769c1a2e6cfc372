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
from ondee.units import VOCABULARY, require, tells_rain, to_rate

__all__ = ["Reading", "rains"]


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
                fix=_instead(wanted, rains(dataset)),
            )
        require(dataset[wanted], wanted, where=granule.paths[0])
        return mask_by_quality(dataset, self.quality)


def rains(dataset: xr.Dataset) -> list[str]:
    """Names of the rain rates of a Dataset, an amount that becomes one among them.

    Parameters
    ----------
    dataset
        With the names of the vocabulary.
    """
    found = sorted(str(name) for name in dataset.data_vars if tells_rain(name))
    return found if found or "rain_amount" not in dataset else ["rain_rate"]


def _instead(wanted: str, held: list[str]) -> str:
    """What to ask for in place of a quantity that is not there."""
    if wanted != "rain_rate":
        return "name a variable that the file holds; `ondee look` lists them"
    if held:
        return "name the rain that the file holds, as PATH::VARIABLE: " + ", ".join(held)
    return "open radar rain; reflectivity becomes rain with the reader's option z_r"
