"""Where several images help: two models judged apart on tops that cool, that stay and that warm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.retrieval_fields import Entry, Moments
from benchmarks.retrieval_page import row_of_differences, table_of
from ondee.collocation.reading import Reading
from ondee.errors import ConfigError
from ondee.output import write_netcdf
from ondee.verification import Settings, subject, verify

__all__ = ["CLASSES", "classes_of", "clouds"]

CLASSES = ("cold and cooling", "cold and steady", "cold and warming", "warm")
"""Pixels by what the window channel did in half an hour, which the retrieval may know."""
_COLD, _CHANGE = 250.0, 4.0
"""A top is cold below so many K, and cools or warms by at least so many in half an hour."""
_AGE = 30
_CHANNEL = "IR_108"


def classes_of(now: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.int64]:
    """Number of the class of each pixel; -1 where either image is missing.

    Parameters
    ----------
    now, before
        Brightness temperatures of 10.8 µm half an hour apart, K.
    """
    change = now - before
    made = np.where(now >= _COLD, 3, np.where(change <= -_CHANGE, 0, np.where(change >= _CHANGE, 2, 1)))
    return np.where(np.isfinite(change), made, -1)


def clouds(
    entry: Entry,
    moments: Moments,
    times: NDArray[np.datetime64],
    truth: Path,
    folders: Sequence[tuple[str, Path]],
    work: Path,
) -> str:
    """Table of differences between two models in each class, as Markdown.

    Parameters
    ----------
    entry
        A model that looks at the window channel now and half an hour ago; its images make the classes.
    moments, times
        That were retrieved.
    truth
        Folder of the radar.
    folders
        Name and folder of the two models, that of several images first.
    work
        Working folder.

    Raises
    ------
    ConfigError
        If the model does not look at that channel and age.
    """
    masks = _masks(entry, moments, times)
    (one, _), (other, _) = folders
    settings = Settings(thresholds=(0.1, 1.0, 5.0), scores=("event", "fractions", "crps", "point"))
    estimates = [subject(f"{name}={folder}", Reading(None, None, None), {}) for name, folder in folders]
    rows = []
    for number, words in enumerate(CLASSES):
        place = truth.with_name(f"{truth.name}-{number}")
        _restrict(truth, place, times, masks == number)
        radar = subject(f"radar={place}", Reading(None, None, None), {})
        scores = verify(radar, estimates, settings, work / f"parts-{number}", block="1D", workers=2).scores
        share = f"{(masks == number).sum() / (masks >= 0).sum():.0%}"
        rows.append([words, share, *row_of_differences(scores, one, other)])
        rows.append(["", "", *row_of_differences(scores, f"{one} mean", f"{other} mean")])
    heads = ["pixels", "share", "difference", "CSI 0.1", "CSI 1", "CSI 5", "FSS 1", "FSS 5", "CRPS, mm/h"]
    return table_of(heads, rows)


def _masks(entry: Entry, moments: Moments, times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Class of every pixel of every moment."""
    seen = entry.retriever.predictors
    if _CHANNEL not in seen.channels or _AGE not in seen.minutes:
        raise ConfigError(
            f"{entry.name} does not look at {_CHANNEL} of {_AGE} min ago",
            where="--clouds",
            fix="name a model of four images first",
        )
    scenes = moments.scenes(entry.retriever)
    channel, frame = seen.channels.index(_CHANNEL), seen.minutes.index(_AGE)
    made = []
    for stamp in times:
        images = scenes.condition([int(np.flatnonzero(scenes.times == stamp)[0])]).images[0, :, channel].numpy()
        made.append(classes_of(images[0], images[frame]))
    return np.stack(made)


def _restrict(truth: Path, place: Path, times: NDArray[np.datetime64], mask: NDArray[np.bool_]) -> None:
    """Write the radar again, missing outside a class."""
    place.mkdir(exist_ok=True)
    for file in sorted(truth.glob("*.nc")):
        if (place / file.name).exists():
            continue
        with xr.open_dataset(file, engine="h5netcdf") as held:
            day = held.load()
        chosen = np.searchsorted(times, day["time"].values)
        day["rain_rate"] = day["rain_rate"].where(xr.DataArray(mask[chosen], dims=("time", "y", "x")))
        write_netcdf(day, place / file.name, force=True)
