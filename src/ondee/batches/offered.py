"""What a store offers to look at, and whether that is what is looked at."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

from ondee.batches.surroundings import known_names
from ondee.collocation.viewing import satellite_longitude_of
from ondee.condition import Predictors
from ondee.errors import ConfigError, StoreError, UnitError
from ondee.grid import Grid
from ondee.retriever.protocol import Statistics
from ondee.store import Store

__all__ = [
    "IMAGES",
    "RAIN",
    "cell_of",
    "frames_of",
    "grid_of",
    "ground_of",
    "predictors_of",
    "require_minutes",
    "require_rain",
    "require_same",
    "require_satellite",
    "statistics_of",
    "variable_of",
]

IMAGES, RAIN = "seviri_brightness_temperature", "radar_rain_rate"
"""Names of the usual variables."""
USUAL = ("scan_offset", "sun_zenith_cosine", "satellite_zenith_cosine", "parallax_east", "parallax_north")
"""Auxiliary planes that every located grid has."""
_NEAR = 0.05
"""Degrees by which two longitudes of one satellite may differ."""


def predictors_of(
    store: Store,
    *,
    channels: Sequence[str] | None = None,
    minutes: Sequence[int] = (0, 15, 30, 45),
    auxiliary: Sequence[str] = USUAL,
    images: str = IMAGES,
    satellite_longitude: float = 0.0,
) -> Predictors:
    """What a store has to look at.

    Parameters
    ----------
    store
        A complete store.
    channels
        Channels of the images, in order; all of them if None.
    minutes
        Age of each frame, min: 0, then ever older, multiples of the store's step.
    auxiliary
        Names from :data:`ondee.condition.AUXILIARY`.
    images
        Variable of the images; without a channel dimension it is one channel of that name.
    satellite_longitude
        Where the satellite stands, degrees east.

    Raises
    ------
    ConfigError
        If a channel or a plane is not there, the minutes do not fit the store's step, or the grid is the view of a
        satellite that stands elsewhere.
    UnitError
        If the variable does not say its units, or brightness temperatures are not in K.
    StoreError
        If the variable is not there.
    """
    variable = variable_of(store, images)
    there = tuple(variable["channels"]) or (images,)
    chosen = there if channels is None else tuple(channels)
    _require_channels(chosen, there, f"{store.path}, {images}")
    require_minutes(minutes, int(store.about["step_minutes"]), store)
    known_names(auxiliary)
    ground_of(store, auxiliary)
    grid = grid_of(store)
    require_satellite(satellite_longitude, grid, store.path)
    return Predictors(
        chosen,
        tuple(int(minute) for minute in minutes),
        tuple(auxiliary),
        _units(variable, store),
        cell_of(grid),
        float(satellite_longitude),
    )


def statistics_of(store: Store, predictors: Predictors, *, images: str = IMAGES, rain: str = RAIN) -> Statistics:
    """Statistics of the training days, from the summary of a store.

    Parameters
    ----------
    store
        A complete store.
    predictors
        From :func:`predictors_of`.
    images, rain
        Variables.

    Raises
    ------
    StoreError
        If the store is not complete, or its training days hold no images, no rain or a constant channel.
    ConfigError
        If a channel is not there.
    UnitError
        If rain is not in mm h-1.
    """
    known = _training(store)
    variable = variable_of(store, images)
    require_rain(variable_of(store, rain), store)
    _require_channels(predictors.channels, tuple(variable["channels"]) or (images,), f"{store.path}, {images}")
    of_images, of_rain = known[images], known[rain]
    per_channel = [of_images[name] if variable["channels"] else of_images for name in predictors.channels]
    for name, entry in zip(predictors.channels, per_channel, strict=True):
        if not entry["n"] or not entry["std"] > 0:
            raise StoreError(
                f"channel {name} is {'constant' if entry['n'] else 'missing'} on all training days",
                where=f"{store.path}, {images}",
                fix="leave it out of channels, or build a store with training days that have it",
            )
    if not of_rain["n"] or not of_rain["wet"].get("n"):
        raise StoreError(
            "there is no rain on the training days, so nothing can be learned from them",
            where=f"{store.path}, {rain}",
            fix="give training days with rain under splits",
        )
    return Statistics(
        mean=[float(entry["mean"]) for entry in per_channel],
        deviation=[float(entry["std"]) for entry in per_channel],
        rain_largest=float(of_rain["max"]),
        rain_wet_mean=float(of_rain["wet"]["mean"]),
        rain_wet_deviation=float(of_rain["wet"]["std"]),
        wet_fraction=float(of_rain["wet_fraction"]),
    )


# ---- what a store says of itself


def variable_of(store: Store, name: str) -> Mapping[str, Any]:
    """The description of a variable."""
    known = {entry["name"]: entry for entry in store.about["variables"]}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise StoreError(
            f"there is no variable {name}",
            where=store.path,
            fix=(f"did you mean {near[0]}? " if near else "") + "the store holds " + ", ".join(known),
        )
    found: Mapping[str, Any] = known[name]
    return found


def _units(variable: Mapping[str, Any], store: Store) -> str:
    units = variable["attributes"].get("units")
    if not units:
        raise UnitError(
            f"{variable['name']} does not say its units",
            where=store.path,
            fix="build the store anew from files whose variables have units",
        )
    if (
        "brightness_temperature" in (variable["name"] + str(variable["attributes"].get("standard_name")))
        and units != "K"
    ):
        raise UnitError(
            f"{variable['name']} is in {units!r}; K is needed",
            where=store.path,
            fix="build the store from brightness temperatures in K",
        )
    return str(units)


def require_rain(variable: Mapping[str, Any], store: Store) -> None:
    """Refuse a variable that is no rain rate.

    Raises
    ------
    UnitError
        If it is in another unit, or has channels.
    """
    if variable["attributes"].get("units") != "mm h-1" or variable["channels"]:
        raise UnitError(
            f"{variable['name']} is in {variable['attributes'].get('units')!r}; a rain rate in 'mm h-1' is needed",
            where=store.path,
            fix="name a rain rate under rain, or build the store with rate: true under the radar's input",
        )


def _require_channels(chosen: Sequence[str], there: Sequence[str], where: str) -> None:
    for name in chosen:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            raise ConfigError(
                f"there is no channel {name}",
                where=where,
                fix=(f"did you mean {near[0]}? " if near else "") + "the store holds " + ", ".join(there),
            )
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(
            "no channel, or one named twice", where=where, fix="name each channel once: " + ", ".join(there)
        )


def require_minutes(minutes: Sequence[int], step: int, store: Store) -> None:
    """Refuse ages of frames, in minutes, that do not lie on the steps of a store.

    Raises
    ------
    ConfigError
        If the first is not 0, or another no larger multiple of the step.
    """
    ages = np.asarray(minutes, float)
    if not ages.size or ages[0] != 0 or (np.diff(ages) <= 0).any() or (ages % step != 0).any():
        raise ConfigError(
            f"frames {list(minutes)} minutes old do not fit a store with a step of {step} min",
            where=store.path,
            fix=f"give 0 first, then ever larger multiples of {step}, e.g. [0, {step}, {2 * step}]",
        )


def require_same(predictors: Predictors, variable: Mapping[str, Any], store: Store) -> None:
    """Refuse predictors that the variable does not offer."""
    there = tuple(variable["channels"]) or (variable["name"],)
    _require_channels(predictors.channels, there, f"{store.path}, {variable['name']}")
    units = _units(variable, store)
    if units != predictors.units:
        raise UnitError(
            f"{variable['name']} is in {units!r}; {predictors.units!r} is looked at",
            where=store.path,
            fix="use the images that the predictors were made from",
        )


def require_satellite(longitude: float, grid: Grid, where: object) -> None:
    """Refuse images that another satellite took, where their grid tells it.

    Parameters
    ----------
    longitude
        Where the satellite is said to stand, degrees east.
    grid
        Of the images; only the view of a satellite tells where it stood.
    where
        Of the images, for the error.

    Raises
    ------
    ConfigError
        If the grid is the view from elsewhere.
    """
    if not grid.is_geostationary:
        return
    stood = satellite_longitude_of(grid)
    if abs((stood - longitude + 180) % 360 - 180) > _NEAR:
        raise ConfigError(
            f"the images were taken from {stood:g} degrees east, not from {longitude:g}",
            where=where,
            fix=f"set satellite_longitude: {stood:g} under predictors to train on them; a model is used on images of"
            " the place that it was trained for",
        )


def _training(store: Store) -> Mapping[str, Any]:
    """Statistics of the training days."""
    summary = store.summary
    known = summary.get("statistics", {}).get("train")
    if not known:
        raise StoreError(
            "the store has no statistics of training days" if summary else "the store is not complete",
            where=store.path,
            fix="give training days under splits" if summary else "finish it with `ondee build CONFIG.yaml`",
        )
    found: Mapping[str, Any] = known
    return found


def frames_of(store: Store, variable: str) -> NDArray[np.int64]:
    """Number of frames of a variable's input at each time.

    Raises
    ------
    StoreError
        If the variable belongs to no input.
    """
    owners = [name for name in store.about["inputs"] if variable.startswith(f"{name}_")]
    if not owners:
        raise StoreError(
            f"{variable} belongs to none of the inputs " + ", ".join(store.about["inputs"]),
            where=store.path,
            fix="build the store anew with `ondee build CONFIG.yaml`",
        )
    return np.asarray(store.root[f"{max(owners, key=len)}_frames"][:])  # type: ignore[index]


def ground_of(store: Store, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Planes of the ground that the store holds and that are asked for."""
    given = {}
    for name in ("elevation", "land"):
        if name not in names:
            continue
        if name not in store.root:
            raise ConfigError(
                f"{name} is asked for and the store has none",
                where=store.path,
                fix=f"leave {name} out of auxiliary, or add a variable {name}(y, x) to the store",
            )
        given[name] = np.asarray(store.root[name][...], np.float32)  # type: ignore[index]
    return given


def grid_of(store: Store) -> Grid:
    """The grid of a store."""
    return Grid.of(store.dataset(), where=store.path)


def cell_of(grid: Grid) -> tuple[float, float]:
    """Height and width of a cell in km: in the middle of the grid if it is in degrees."""
    if not grid.is_geographic:
        return grid.dy / 1000, grid.dx / 1000
    globe = Geod(ellps="WGS84")
    x, y = (grid.west + grid.east) / 2, (grid.north + grid.south) / 2
    height = globe.inv(x, y - grid.dy / 2, x, y + grid.dy / 2)[2]
    width = globe.inv(x - grid.dx / 2, y, x + grid.dx / 2, y)[2]
    return height / 1000, width / 1000
