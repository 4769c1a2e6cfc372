"""The sampling floor in words: how much of an error a perfect snapshot would make too."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ondee.plot.findings import Result, sources_of
from ondee.plot.series import Series
from ondee.validation.sampling import SHARE

__all__ = ["sampling_words"]


def sampling_words(result: Result) -> list[str]:
    """Tell the part of sampling in the squared error against the half-hour mean, of all sensors and of each.

    Parameters
    ----------
    result
        Groups of a validation; ``scores/source`` is used.
    """
    found = result.get("scores/source")
    if found is None or SHARE not in found:
        return []
    shares = {source: _share(found, source) for source in map(str, found["source"].values)}
    sensors = [source for source in sources_of(found, SHARE, sensors=True) if np.isfinite(shares[source].value)]
    if not sensors:
        return []
    together = len(sensors) > 1 and "microwave" in shares and bool(np.isfinite(shares["microwave"].value))
    lead, rest = ("microwave", sensors) if together else (sensors[0], sensors[1:])
    name = "all microwave passes together" if together else lead
    text = (
        f"For {name}, sampling alone makes {_percent(shares[lead])} of the squared error against the half-hour mean: "
        "so much the radar itself errs when it is seen only at the minute of the pass."
    )
    if rest:
        text += f" By sensor: {', '.join(f'{source} {_percent(shares[source])}' for source in rest)}."
    if any(float(shares[source].value) > 1 for source in (lead, *rest)):
        text += " Above 100 %, a blurred estimate lies nearer to the mean than a sharp snapshot does."
    return [text]


def _share(found: xr.Dataset, source: str) -> Series:
    """The share of one source with its interval."""
    return Series(*(found[f"{SHARE}{end}"].sel(source=source).values for end in ("", "_low", "_high")))


def _percent(share: Series) -> str:
    """A share in percent with its interval, where there is one."""
    value, low, high = (100 * float(part) for part in share)
    return f"{value:.0f} %" + (f" [{low:.0f}, {high:.0f}]" if np.isfinite([low, high]).all() else "")
