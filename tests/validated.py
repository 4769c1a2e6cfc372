"""A finished validation of invented sensors, in the shape that ``ondee validate`` gives it."""

import numpy as np
import xarray as xr

from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.score import MEASURES

SENSORS = ("GMI", "AMSR2", "SSMIS", "MHS", "ATMS")
SOURCES = (*SENSORS, "morph", "mixed", "infrared", "microwave", "all")
COMPARISONS = ("mean", "overpass", "floor")
MINUTES = ("0–4", "5–9", "10–14", "15–19", "20–24", "25–29")
CLASSES = {
    "minute": MINUTES,
    "age": ("0–29", "30–59", "60–119", "120–239"),
    "infrared_weight": ("0", "1–24", "25–49", "50–74", "75–100"),
    "quality_index": ("0–0.4", "0.4–0.6", "0.6–0.8", "0.8–1"),
    "wet_fraction": ("0–0.25", "0.25–0.5", "0.5–0.75", "0.75–1"),
    "rain_maximum": ("0.1–1", "1–5", "5–20", "20–100"),
    "hour": tuple(f"{hour:02d}" for hour in range(12, 18)),
    "season": ("MAM", "JJA"),
}
THRESHOLDS = np.array([0.1, 0.5, 1.0, 2.0, 5.0])
SCALES = np.array([1, 3, 5, 11, 21])
WAVES = np.geomspace(22, 320, 12)
LAGS = np.arange(-30.0, 61.0, 5.0)
SHIFTS = np.arange(-3, 4)
CELLS = Grid(LATITUDE_LONGITUDE, 1.0, 49.6, 0.1, 0.1, 36, 26)
TOLERANCES = {"bias": 0.1, "east": 0.25, "north": 0.25, "clock": 2.5}
PLANTED = {("MHS", "bias"): 0.62, ("SSMIS", "east"): 1.02, ("ATMS", "clock"): 9.7}
NEUTRAL = {"bias": 1.0, "east": 0.0, "north": 0.0, "clock": 0.0}
SKILL = dict(zip(SOURCES, (0.82, 0.78, 0.66, 0.6, 0.68, 0.6, 0.5, 0.34, 0.71, 0.62), strict=True))
HINDRANCE = {"mean": 0.85, "overpass": 1.0, "floor": 1.12}


def measures(values, dims, *, width=0.05, seed=0):
    """Variables with intervals from ``name -> array``."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, array in values.items():
        array = np.asarray(array, float)
        spread = width * (0.3 + abs(array)) * (0.6 + 0.8 * rng.random(array.shape))
        known = MEASURES[name]
        units = {"data": "mm h-1", "data2": "(mm h-1)2"}.get(known.units, known.units)
        about = {"long_name": known.long_name, "units": units}
        made[name] = (dims[name], array, about)
        made[f"{name}_low"] = (dims[name], array - spread, about)
        made[f"{name}_high"] = (dims[name], array + spread, about)
    return made


def cut(sources, classes=None, *, name="source", seed=0):
    """One group of ``scores/…``."""
    rng = np.random.default_rng([seed, len(name)])
    size = 1 if classes is None else len(classes)
    turn = np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
    shape = (len(COMPARISONS), len(sources), size)
    skill = np.array([SKILL[source] for source in sources])[None, :, None]
    hindrance = np.array(list(HINDRANCE.values()))[:, None, None]
    r = skill * hindrance * (1 - 0.12 * turn**2 * (hindrance < 1)) + rng.normal(0, 0.015, shape)
    r = r.clip(0.02, 0.985)
    rmse = (2.6 * np.sqrt(1 - r**2)) * np.where(np.arange(3) == 2, 0.62, 1.0)[:, None, None]
    bias = np.array([PLANTED.get((s, "bias"), 1.03) - 1 for s in sources])[None, :, None]
    bias = np.where(np.arange(3)[:, None, None] == 2, 0.0, bias) + rng.normal(0, 0.03, shape)
    people, levels = np.array([1.0, 0.92, 0.85]), (THRESHOLDS / 0.1) ** -0.12
    head = ("comparison", "source", name) if classes is not None else ("comparison", "source")
    values = {
        "relative_bias": bias[..., None] * people,
        "correlation": r[..., None] * people,
        "root_mean_square_error": rmse[..., None] / people,
        "probability_of_detection": (0.3 + 0.6 * r[..., None]).clip(0, 1) * levels,
        "false_alarm_ratio": 1 - (0.3 + 0.62 * r[..., None]).clip(0, 1) * levels,
        "critical_success_index": 0.9 * r[..., None] * levels,
        "hit_error": 0.5 * bias[..., None] * levels,
        "missed_rain": 0.3 * (1 - r[..., None]) / levels,
        "false_rain": 0.3 * (1 - r[..., None]) / levels + 0.3 * bias.clip(0)[..., None],
    }
    values["total_error"] = values["hit_error"] - values["missed_rain"] + values["false_rain"]
    point = ("relative_bias", "correlation", "root_mean_square_error")
    dims = {key: (*head, "population") if key in point else (*head, "threshold") for key in values}
    if classes is None:
        fss = (r[..., 0, None, None] * 0.9 * levels[:, None] * SCALES[None] ** 0.11).clip(0, 0.99)
        coherence = (r[..., 0, None, None] * 1.18 * (1 - np.exp(-WAVES / np.array([[70], [50]])))).clip(0, 0.99)
        values |= {"fractions_skill_score": fss, "spectral_coherence": coherence}
        ok = coherence >= 0.5**0.5
        values["effective_resolution"] = np.where(ok.any(-1), np.where(ok, WAVES, np.inf).min(-1), np.nan)
        dims["fractions_skill_score"] = (*head, "threshold", "scale")
        dims["spectral_coherence"] = (*head, "transform", "wavelength")
        dims["effective_resolution"] = (*head, "transform")
        values = {key: array if key in list(values)[-3:] else array[:, :, 0] for key, array in values.items()}
    for number, source in enumerate(sources):
        if source in ("morph", "mixed", "infrared"):
            for array in values.values():
                array[1:, number] = np.nan
    made = measures(values, dims, width=0.05 if size == 1 else 0.09, seed=seed)
    count = rng.integers(2, 60, shape[1:]) * (5 if classes is None else 1)
    counts = count if classes is not None else count[:, 0]
    made["views"] = (head[1:], counts, {"units": "1"})
    made["days"] = (head[1:], np.minimum(counts, 10), {"units": "1"})
    made["resolved"] = (head, np.broadcast_to(counts >= 8, (3, *counts.shape)))
    coords = {
        "comparison": list(COMPARISONS),
        "source": list(sources),
        "population": ["all", "either", "hits"],
        "threshold": ("threshold", THRESHOLDS, {"units": "mm h-1"}),
    }
    if classes is None:
        coords |= {"scale": ("scale", SCALES), "transform": ["rain", "decibel"]}
        coords |= {"wavelength": ("wavelength", WAVES, {"units": "km"})}
    else:
        coords[name] = (name, list(classes))
    return xr.Dataset(made, coords=coords, attrs={"pixel": 10.0})


def sensors(sources=SENSORS, planted=PLANTED, *, passes=60, days=10, width=1.0, seed=1):
    """The group ``sensors``: what was found of bias, shift and clock, the half-hour mean less sharp."""
    rng = np.random.default_rng(seed)
    reach = {"bias": 0.07, "east": 0.12, "north": 0.12, "clock": 1.2}
    made, shape = {}, (2, len(sources))
    for kind, tolerance in TOLERANCES.items():
        truth = np.array([planted.get((source, kind), NEUTRAL[kind]) for source in sources])
        scale = width * reach[kind] * np.array([[1.0], [4.0]]) * np.sqrt(60 / max(passes, 1))
        value = truth + 0.3 * scale * rng.normal(size=shape)
        low, high = value - scale, value + scale
        if kind == "bias":
            value, low, high = truth * np.exp(value - truth), truth * np.exp(-scale), truth * np.exp(scale)
            low, high = low * value / truth, high * value / truth
        edge = (1 / (1 + tolerance), 1 + tolerance) if kind == "bias" else (-tolerance, tolerance)
        outside = (low > edge[1]) | (high < edge[0])
        narrow = (np.log(high / low) < 2 * np.log(1.3)) if kind == "bias" else high - low < 4 * tolerance
        verdict = np.where(outside, "found", np.where(narrow, "clear", "not resolved"))
        dims = ("comparison", "source")
        units = {"bias": "1", "clock": "min"}.get(kind, "cell")
        for suffix, held in (("", value), ("_low", low), ("_high", high), ("_p", rng.random(shape))):
            made[f"{kind}{suffix}"] = (dims, held, {"units": units})
        made[f"{kind}_tolerance"] = ((), tolerance, {"units": units})
        made[f"{kind}_verdict"] = (dims, verdict.astype(str))
    clock = np.array([planted.get((source, "clock"), 0.0) for source in sources])
    skill = np.array([SKILL.get(source, 0.7) for source in sources])
    far = LAGS[None, None] - np.array([0.0, 2.0])[:, None, None] + clock[None, :, None]
    wide = np.array([22.0, 40.0])[:, None, None]
    curve = skill[None, :, None] * np.array([1.0, 0.9])[:, None, None] * np.exp(-((far / wide) ** 2))
    made["lag_correlation"] = (("comparison", "source", "lag"), curve)
    made["lag_correlation_low"] = (("comparison", "source", "lag"), curve - 0.04)
    made["lag_correlation_high"] = (("comparison", "source", "lag"), curve + 0.04)
    east = np.array([planted.get((source, "east"), 0.0) for source in sources])[:, None, None]
    north = np.array([planted.get((source, "north"), 0.0) for source in sources])[:, None, None]
    distance = (SHIFTS[None, None] - east) ** 2 + (SHIFTS[None, :, None] - north) ** 2
    surface = np.stack([1.0 * skill[:, None, None] * np.exp(-distance / 5.0)] * 2)
    made["shift_correlation"] = (("comparison", "source", "shift_north", "shift_east"), surface)
    made["views"] = ("source", np.full(len(sources), passes))
    made["days"] = ("source", np.full(len(sources), days))
    coords = {
        "comparison": ["overpass", "mean"],
        "source": list(sources),
        "lag": ("lag", LAGS, {"units": "min"}),
        "shift_north": SHIFTS,
        "shift_east": SHIFTS,
    }
    return xr.Dataset(made, coords=coords)


def maps(grid=CELLS, *, seed=3):
    """The group ``maps``: a corner that no radar sees, an edge that is not resolved."""
    rng = np.random.default_rng(seed)
    north, east = np.meshgrid(np.linspace(1, -1, grid.ny), np.linspace(-1, 1, grid.nx), indexing="ij")
    shape = (3, 2, grid.ny, grid.nx)
    smooth = 0.5 * np.sin(3 * east) * np.cos(2 * north)
    fields = {
        "relative_bias": 0.5 * smooth + rng.normal(0, 0.06, shape),
        "correlation": (0.7 - 0.2 * east**2 + rng.normal(0, 0.04, shape)).clip(-1, 1),
        "probability_of_detection": (0.75 + 0.2 * smooth + rng.normal(0, 0.03, shape)).clip(0, 1),
        "false_alarm_ratio": (0.3 - 0.2 * smooth + rng.normal(0, 0.03, shape)).clip(0, 1),
    }
    dims = ("comparison", "group", "y", "x")
    made = {}
    for name, values in fields.items():
        values[..., north - east > 1.5] = np.nan
        about = {"long_name": MEASURES[name].long_name, "units": "1"}
        made[name] = (dims, values, about)
        made[f"{name}_low"], made[f"{name}_high"] = (dims, values - 0.15, about), (dims, values + 0.15, about)
        settled = abs(values) > 0.12 if name == "relative_bias" else np.broadcast_to(east < 0.75, shape)
        made[f"{name}_resolved"] = (dims, settled & np.isfinite(values))
    made["days"] = (dims, np.full(shape, 9))
    coords = {"comparison": list(COMPARISONS), "group": ["all", "microwave"], **grid.coordinates()}
    return xr.Dataset(made, coords=coords)


def cases(grid=CELLS, *, count=8, seed=5):
    """The group ``cases``: showers that drift east, IMERG a little late and blurred."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2018-06-04T13:00", "ns") + np.arange(count) * np.timedelta64(30, "m")
    rows, columns = np.indices(grid.shape)
    mean = np.zeros((count, *grid.shape))
    for _ in range(14):
        y, x, peak, size = rng.uniform(0, grid.ny), rng.uniform(-8, grid.nx), rng.gamma(2, 6), rng.uniform(1, 3)
        for step in range(count):
            mean[step] += peak * np.exp(-((rows - y) ** 2 + (columns - x - 2 * step) ** 2) / (2 * size**2))
    mean = np.where(mean < 0.1, 0.0, mean)
    imerg = np.roll(mean, 1, axis=2) * rng.lognormal(0, 0.3, mean.shape)
    imerg = np.where(imerg < 0.15, 0.0, imerg)
    pass_ = mean * rng.lognormal(0, 0.25, mean.shape)
    minute = (5 + 0.4 * rows)[None] + np.arange(count)[:, None, None]
    code = np.array([9, 3, 5, 7, 11, 0, 7, 9] * count)[:count, None, None] * np.ones((1, *grid.shape))
    code[:, :, :6] = -1
    code[code == 0] = -2
    minute = np.where(code < 0, np.nan, minute)
    pass_ = np.where(code < 0, np.nan, pass_)
    for field in (mean, pass_):
        field[:, :4, :5] = np.nan
    imerg[2, 20:, 30:] = np.nan
    rain = {"units": "mm h-1"}
    dims = ("time", "y", "x")
    return xr.Dataset(
        {
            "rain_rate": (dims, imerg.astype(np.float32), rain),
            "radar_mean": (dims, mean.astype(np.float32), rain),
            "radar_overpass": (dims, pass_.astype(np.float32), rain),
            "microwave_source": (dims, code.astype(np.float32)),
            "microwave_minute": (dims, minute.astype(np.float32), {"units": "min"}),
            "quality_index": (dims, np.full(mean.shape, 0.7, np.float32)),
        },
        coords={"time": times, **grid.coordinates()},
    )


def validated(**given):
    """All groups of a validation."""
    made = {"scores/source": cut(SOURCES)}
    for number, (name, classes) in enumerate(CLASSES.items()):
        made[f"scores/{name}"] = cut(SOURCES, classes, name=name, seed=number + 1)
    return made | {"sensors": sensors(**given), "maps": maps(), "cases": cases()}


def facts():
    """What is known of the invented validation."""
    return {
        "title": "IMERG <made up> against radar",
        "imerg": {"product": "IMERG", "run": "Final", "version": "V07B"},
        "radar": {"product": "a radar composite"},
        "period": "2018-06-04T12:00 to 2018-06-13T15:00",
        "half_hours": 60,
        "days": 10,
        "cells": 936,
        "level": 0.95,
        "settings": {"thresholds": [0.1, 1.0], "least_days": 5},
        "command": "ondee validate imerg/ radar/ --out 'validation <x>'",
        "version": "0.3.0",
        "commit": "abc1234",
        "date": "2026-11-21T09:00",
        "machine": "Linux x86_64, Python 3.11",
    }


def emptied(made):
    """The same groups without a single value."""
    held = {}
    for name, group in made.items():
        lost = {
            own: values * np.nan if values.dtype.kind == "f" else xr.full_like(values, "not resolved")
            for own, values in group.data_vars.items()
            if values.dtype.kind in "fU"
        }
        counts = {own: xr.zeros_like(values) for own, values in group.data_vars.items() if values.dtype.kind in "iub"}
        held[name] = group.assign(lost | counts)
    return held
