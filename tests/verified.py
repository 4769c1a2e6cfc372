"""Finished scores of invented estimates, in the shape that a verification gives them."""

import numpy as np
import xarray as xr

from fields import FRANCE, radar
from ondee.score import MEASURES

NAMES = ("IMERG Late V07", "U-Net", "flow, 16 members", "SEVIRI likelihood")
SKILL = {"IMERG Late V07": 0.55, "U-Net": 0.78, "flow, 16 members": 0.76, "SEVIRI likelihood": 0.6}
SMOOTH = {"IMERG Late V07": 0.5, "U-Net": 1.0, "flow, 16 members": 0.12, "SEVIRI likelihood": 0.7}
THRESHOLDS = np.array([0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
PROBABILITY = "SEVIRI likelihood"


def dataset(names, tables, coords, *, width=0.04, reference=None, attrs=None, strata=None, units=None):
    """Values by estimate ``f(name) -> array`` with intervals and paired differences."""
    rng = np.random.default_rng(7)
    data = {}
    for variable, (dims, of) in tables.items():
        values = np.stack([np.asarray(of(name), float) for name in names])
        all_dims = ("estimate", *dims)
        if strata:
            sway = 1 + 0.08 * np.sin(np.arange(len(strata)) * 0.6)
            values = np.stack([values * s for s in sway], axis=1)
            all_dims = ("estimate", "stratum", *dims)
        spread = width * np.abs(values) * (0.7 + 0.6 * rng.random(values.shape))
        attributes = {
            "units": (units or {}).get(variable, "1"),
            "long_name": MEASURES[variable].long_name if variable in MEASURES else variable.replace("_", " "),
        }
        data[variable] = (all_dims, values, attributes)
        data[f"{variable}_low"] = (all_dims, values - spread, attributes)
        data[f"{variable}_high"] = (all_dims, values + spread * 1.1, attributes)
        if reference in names:
            gap = values - values[list(names).index(reference)]
            gap[list(names).index(reference)] = np.nan
            for suffix, shift in (("", 0.0), ("_low", -1.2), ("_high", 1.2)):
                data[f"{variable}_difference{suffix}"] = (all_dims, gap + shift * spread, attributes)
    made = xr.Dataset(data, coords={"estimate": list(names), **coords}, attrs=attrs or {})
    return made.assign_coords(stratum=list(strata)) if strata else made


def scores(names=NAMES, *, strata=("all", *(f"hour {h:02d}" for h in range(24))), reference="U-Net", members=16):
    """Every score of the report."""
    nan = np.nan
    level = THRESHOLDS
    threshold = ("threshold", level, {"units": "mm h-1"})

    def rain(name, values):
        return np.full(np.shape(values), nan) if name == PROBABILITY else values

    def ensemble(name, values):
        return values if "members" in name else np.full(np.shape(values), nan)

    def likely(name, values):
        return values if "members" in name or name == PROBABILITY else np.full(np.shape(values), nan)

    def pod(name):
        return rain(name, SKILL[name] * level ** (-0.18 - 0.3 * SMOOTH[name] * (level > 2)) * 0.6)

    def success(name):
        return rain(name, (SKILL[name] + 0.1 * SMOOTH[name]) * level**-0.15 * 0.6)

    scale = np.array([1, 3, 5, 11, 21])
    wave = np.geomspace(12, 380, 18)
    q = np.unique(np.r_[np.linspace(0.5, 0.99, 25), 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999])
    true_q = 0.02 * (-np.log(1 - q)) ** 3.2
    given = np.linspace(0, 1, members + 1)

    def quantile(name):
        shape = 1 - 0.22 * SMOOTH[name]
        return rain(name, np.stack([np.where(true_q > 0, true_q**shape * 1.05, 0), true_q]))

    def power(name):
        truth = np.stack([wave**2.2 * 1e-3, wave**2.6 * 1e-2])
        return rain(name, np.stack([truth * 10 ** (ratio(name) / 10), truth]))

    def ratio(name):
        return np.stack([-18 * SMOOTH[name] * np.exp(-wave / 60), -9 * SMOOTH[name] * np.exp(-wave / 50)])

    def coherence(name):
        return np.stack([SKILL[name] * 1.25 * (1 - np.exp(-wave / r)) for r in (70, 50)]).clip(0, 0.98)

    def resolved(name):
        reached = [row >= 0.5**0.5 for row in coherence(name)]
        return np.array([wave[row].min() if row.any() else nan for row in reached])

    def met(name):
        return np.stack([SKILL[name] * level**-0.4 * share for share in (0.5, 0.58)]).clip(0, 0.9)

    def decline(name, values):
        return rain(name, values)

    fss = lambda name: rain(  # noqa: E731
        name, (SKILL[name] * (1 + 0.1 * np.log(scale))[None, :] * level[:, None] ** -0.2 * 0.75).clip(0, 0.99)
    )
    return {
        "event": dataset(
            names,
            {
                "probability_of_detection": (("threshold",), pod),
                "success_ratio": (("threshold",), success),
                "false_alarm_ratio": (("threshold",), lambda n: 1 - success(n)),
                "false_detection_rate": (("threshold",), lambda n: 0.08 * level**-0.6 * (1 - success(n))),
                "critical_success_index": (("threshold",), lambda n: 1 / (1 / pod(n) + 1 / success(n) - 1)),
                "frequency_bias": (("threshold",), lambda n: pod(n) / success(n)),
            },
            {"threshold": threshold},
            reference=reference,
            strata=strata,
        ),
        "fractions": dataset(
            names,
            {
                "fractions_skill_score": (("threshold", "scale"), fss),
                "useful_fractions_skill": (("threshold",), lambda n: rain(n, 0.5 + 0.06 * level**-0.5)),
                "skilful_scale": (("threshold",), lambda n: rain(n, 8.0 * level**0.5 / SKILL[n])),
            },
            {"threshold": threshold, "scale": ("scale", scale)},
            reference=reference,
            strata=strata,
            attrs={"pixel": 4.0},
            units={"skilful_scale": "km"},
        ),
        "point": dataset(
            names,
            {
                "correlation": (("population",), lambda n: rain(n, SKILL[n] * np.array([0.9, 0.7, 0.5]))),
                "relative_bias": (
                    ("population",),
                    lambda n: rain(n, np.array([0.04, 0.02, 0.01]) * (3 * SMOOTH[n] - 1)),
                ),
            },
            {"population": ["all", "either", "hits"]},
            reference=reference,
        ),
        "distribution": dataset(
            names,
            {
                "quantile": (("field", "probability"), quantile),
                "quantile_ratio": (("probability",), lambda n: quantile(n)[0] / np.where(true_q > 0, true_q, nan)),
                "wet_fraction_ratio": ((), lambda n: rain(n, 1 + 0.4 * SMOOTH[n])),
            },
            {"field": ["estimate", "truth"], "probability": q},
            reference=reference,
            units={"quantile": "mm h-1"},
        ),
        "spectrum": dataset(
            names,
            {
                "spectral_power": (("field", "transform", "wavelength"), power),
                "spectral_ratio": (("transform", "wavelength"), lambda n: decline(n, ratio(n))),
                "spectral_coherence": (("transform", "wavelength"), lambda n: decline(n, coherence(n))),
                "effective_resolution": (("transform",), lambda n: rain(n, resolved(n))),
                "power_resolution": (("transform",), lambda n: rain(n, np.array([90.0, 60.0]) * SMOOTH[n])),
                "spectral_error": (("transform",), lambda n: rain(n, np.abs(ratio(n)).mean(axis=1))),
            },
            {
                "field": ["estimate", "truth"],
                "transform": ["rain", "decibel"],
                "wavelength": ("wavelength", wave, {"units": "km"}),
            },
            reference=reference,
            attrs={"pixel": 4.0},
            units={
                "spectral_ratio": "dB",
                "spectral_error": "dB",
                "effective_resolution": "km",
                "power_resolution": "km",
            },
        ),
        "probability": dataset(
            names,
            {
                "forecast_probability": (
                    ("threshold", "probability_class"),
                    lambda n: likely(n, np.tile(given, (7, 1))),
                ),
                "observed_frequency": (
                    ("threshold", "probability_class"),
                    lambda n: likely(n, np.tile(0.05 + 0.9 * given ** (1.0 + SMOOTH[n]), (7, 1))),
                ),
                "class_share": (
                    ("threshold", "probability_class"),
                    lambda n: likely(n, np.tile(np.exp(-6 * given) / np.exp(-6 * given).sum(), (7, 1))),
                ),
                "roc_detection": (
                    ("threshold", "probability_class"),
                    lambda n: likely(n, np.tile((1 - given) ** (0.25 / SKILL[n]), (7, 1))),
                ),
                "roc_false_detection": (
                    ("threshold", "probability_class"),
                    lambda n: likely(n, np.tile((1 - given) ** 2.5, (7, 1))),
                ),
                "roc_area": (("threshold",), lambda n: likely(n, np.full(7, 0.8 + 0.1 * SKILL[n]))),
                "brier_skill_score": (("threshold",), lambda n: likely(n, SKILL[n] - 0.3 - 0.01 * level)),
            },
            {"threshold": threshold, "probability_class": np.arange(members + 1)},
            reference=reference,
        ),
        "ranks": dataset(
            names,
            {
                "rank_frequency": (
                    ("population", "rank"),
                    lambda n: ensemble(n, np.stack([_bowl(members, 0.1), _bowl(members, 0.8)])),
                ),
                "outlier_share": (("population",), lambda n: ensemble(n, np.array([0.13, 0.2]))),
            },
            {"population": ["all", "wet"], "rank": np.arange(members + 1)},
            reference=reference,
        ),
        "spread": dataset(
            names,
            {
                "spread_by_class": (("spread_class",), lambda n: ensemble(n, np.geomspace(0.05, 8, 10))),
                "rmse_by_class": (("spread_class",), lambda n: ensemble(n, np.geomspace(0.08, 9, 10))),
                "spread_skill_ratio": ((), lambda n: ensemble(n, 0.91)),
            },
            {"spread_class": np.arange(10)},
            reference=reference,
            units={"spread_by_class": "mm h-1", "rmse_by_class": "mm h-1"},
        ),
        "replicate": dataset(
            names,
            {
                "replicate_critical_success_index": (("against", "threshold"), lambda n: ensemble(n, met(n))),
                "replicate_fractions_skill_score": (("against", "threshold"), lambda n: ensemble(n, met(n) ** 0.6)),
                "replicate_gap_critical_success_index": (
                    ("threshold",),
                    lambda n: ensemble(n, met(n)[1] - met(n)[0]),
                ),
            },
            {"against": ["truth", "member"], "threshold": threshold},
            attrs={"scale": 5},
        ),
        "crps": dataset(
            names,
            {"fair_crps": (("tail",), lambda n: ensemble(n, np.array([0.21, 0.15, 0.05])))},
            {"tail": [0.0, 1.0, 5.0]},
            reference=reference,
            units={"fair_crps": "mm h-1"},
        ),
        "axes": dataset(
            names,
            {
                "localisation": ((), lambda n: rain(n, SKILL[n])),
                "realism_error": ((), lambda n: rain(n, 0.4 + 5.5 * SMOOTH[n])),
                "tail_error": ((), lambda n: rain(n, 0.2 + 2.5 * SMOOTH[n])),
            },
            {},
            reference=reference,
            attrs={"localisation_threshold": 1.0, "localisation_scale_km": 20.0},
            units={"realism_error": "dB", "tail_error": "dB"},
        ),
    }


def dry(made, name):
    """The same scores where one estimate never rains: nothing detected, no power, decibels of nothing."""
    wrong = {
        "probability_of_detection": 0.0,
        "critical_success_index": 0.0,
        "frequency_bias": 0.0,
        "false_detection_rate": 0.0,
        "fractions_skill_score": 0.0,
        "quantile_ratio": 0.0,
        "wet_fraction_ratio": 0.0,
        "spectral_ratio": -np.inf,
        "spectral_error": np.inf,
        "realism_error": np.inf,
        "localisation": 0.0,
        "relative_bias": -1.0,
        "spread_by_class": 0.0,
        "rmse_by_class": 0.0,
        "class_share": 1.0,
        "observed_frequency": 0.1,
        "forecast_probability": 0.0,
        "rank_frequency": 0.0,
        "replicate_critical_success_index": 0.0,
    }
    held = {}
    for score, found in made.items():
        found = found.copy(deep=True)
        for variable in map(str, found.data_vars):
            stem = variable.removesuffix("_low").removesuffix("_high")
            own = found[variable].sel(estimate=name)
            if stem in ("quantile", "spectral_power"):
                own = own.where(own["field"] == "truth", 0.0)
            else:
                own = own * 0 + wrong.get(stem, np.nan)
            found[variable].loc[{"estimate": name}] = own.transpose(*found[variable].sel(estimate=name).dims)
        held[score] = found
    return held


def _bowl(members, depth):
    shape = 1 + depth * (2 * np.linspace(0, 1, members + 1) - 1) ** 2
    return shape / shape.sum()


def cases(names=NAMES[:3], grid=FRANCE):
    """A truth and estimates of one time."""
    frames = []
    y, x = np.mgrid[: grid.ny, : grid.nx]
    for number in range(len(names) + 1):
        rng = np.random.default_rng(3)
        rain = np.zeros(grid.shape)
        for _ in range(25):
            cx, cy, r = rng.integers(0, grid.nx), rng.integers(0, grid.ny), rng.uniform(1.5, 8) * (1 + 0.4 * number)
            rain += rng.gamma(0.8, 6) / (1 + 0.5 * number) * np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / r**2))
        rain[rain < 0.05] = 0
        rain[(x - grid.nx * 0.9) ** 2 + (y - grid.ny * 0.1) ** 2 < 300] = np.nan
        frames.append(rain.astype(np.float32))
    made = radar(np.stack(frames[:1]), grid=grid)
    field = made["rain_rate"].isel(time=0)
    panel = xr.concat([field.copy(data=frame) for frame in frames], "panel").assign_coords(panel=["truth", *names])
    return panel.to_dataset(name="rain_rate")


def facts(names=NAMES):
    """What was verified."""
    return {
        "title": "Four estimates against the radar <composite> of France",
        "command": "ondee verify imerg/ unet.zarr flow.zarr cloud/ radar/ --by hour --out scores.nc",
        "period": "2018-05-01T00:00 to 2018-08-31T23:30",
        "truth": "Météo-France mosaic",
        "frames": 5904,
        "days": 123,
        "pixels": 63_000_000,
        "pixel_km": 4.0,
        "block": "1D",
        "blocks": 123,
        "replicates": 1000,
        "level": 0.95,
        "thresholds": list(THRESHOLDS),
        "scales": [1, 3, 5, 11, 21],
        "reference": "U-Net",
        "version": "0.1.0",
        "date": "2026-11-21",
        "commit": "9c6a69b",
        "estimates": {
            name: {
                "product": name,
                "files": 123,
                "variable": "rain_rate",
                "members": 16 if "members" in name else None,
                "frames": 5900,
                "missing_frames": 4,
            }
            for name in names
        },
    }
