"""Two axes in two numbers: where the rain is, and what rain it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from ondee.score.catalogue import Measure, finisher_of, register

__all__ = ["axes"]

_PARTS = ("fractions", "spectrum", "distribution")
_TAIL = 0.999
_SCALE = 20.0
_MOST = 20.0
"""Largest error of the tail, dB, which is also that of an estimate without any."""


def axes(
    sums: Mapping[str, Sequence[xr.Dataset]], *, pixel: float, thresholds: Sequence[float], scale: float = _SCALE
) -> xr.Dataset | None:
    """Put the sums together from which the two axes are made, so that one bootstrap serves both.

    Parameters
    ----------
    sums
        Score → sums of its estimates; ``fractions``, ``spectrum`` and ``distribution`` are needed.
    pixel
        Side of a pixel in km; -1 where unknown: `scale` is then in pixels.
    thresholds
        Thresholds that were counted; localisation uses 1 of the data's unit, or the one nearest to it.
    scale
        Width of the window of localisation, km; the nearest that was counted is used.

    Returns
    -------
    xarray.Dataset or None
        Sums that :func:`~ondee.score.finish` turns into ``localisation`` and ``realism_error``; None where a score
        is absent.
    """
    if not all(name in sums for name in _PARTS):
        return None
    found = {name: sums[name][0] for name in _PARTS}
    common = [
        name
        for name in found["fractions"]["estimate"].values
        if all(name in part["estimate"].values for part in found.values())
    ]
    if not common:
        return None
    widths = found["fractions"]["scale"].values
    side = pixel if pixel > 0 else 1.0
    width = widths[np.argmin(np.abs(np.log(widths * side / scale)))]
    levels = np.asarray(thresholds, float)
    threshold = levels[np.argmin(np.abs(np.log(levels / 1.0)))]
    parts = []
    attributes: dict[str, object] = {"score": "axes", "data_units": found["fractions"].attrs.get("data_units", "")}
    for name, part in found.items():
        part = part.sel(estimate=common)
        if name == "fractions":
            part = part.sel(threshold=[threshold], scale=[width])
        parts.append(part.rename({old: f"{name}__{old}" for old in [*part.data_vars, *_own(part)]}))
        attributes |= {f"{name}__{key}": value for key, value in part.attrs.items()}
    made = xr.merge(parts, join="outer", compat="no_conflicts", fill_value=0.0, combine_attrs="drop")
    attributes |= {
        "localisation_threshold": float(threshold),
        "localisation_scale_km": float(width * pixel) if pixel > 0 else -1.0,
    }
    return made.assign_attrs(attributes)


_SHARED = ("time", "estimate", "stratum", "replicate", "block")


def _own(part: xr.Dataset) -> list[str]:
    """Coordinates and dimensions that belong to one score alone."""
    return [str(name) for name in dict.fromkeys((*part.coords, *part.dims)) if name not in _SHARED]


def _part(sums: xr.Dataset, name: str) -> xr.Dataset:
    """Sums of one of the scores, under their own names."""
    head = f"{name}__"
    mine = sums[[name for name in sums.variables if str(name).startswith(head)]]
    names = {old: str(old)[len(head) :] for old in {*mine.variables, *mine.dims} if str(old).startswith(head)}
    attributes = {key[len(head) :]: value for key, value in sums.attrs.items() if str(key).startswith(head)}
    return mine.rename(names).assign_attrs(attributes)


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Localisation and realism from the three scores."""
    fractions, spectrum, distribution = (finisher_of(name)(_part(sums, name)) for name in _PARTS)
    localisation = fractions["fractions_skill_score"].isel(threshold=0, scale=0, drop=True)
    spectral = spectrum["spectral_error"].sel(transform="rain", drop=True)
    tail = distribution["quantile_ratio"].sel(probability=_TAIL, method="nearest", drop=True)
    tail_error = abs((10 * np.log10(tail)).clip(-_MOST, _MOST))
    return xr.Dataset(
        {
            "localisation": localisation,
            "realism_error": (spectral + tail_error) / 2,
            "tail_error": tail_error,
        }
    )


register(
    "axes",
    _finish,
    (
        Measure(
            "localisation",
            "localisation (FSS at one threshold and scale)",
            r"\mathrm{FSS}(\tau,n)",
            "Roberts and Lean 2008, Monthly Weather Review 136, 78-97",
            "one threshold and one scale stand for all; see the fractions skill score by scale",
        ),
        Measure(
            "realism_error",
            "realism error",
            r"\tfrac12\left(\langle\min(20,|10\log_{10}(S_{ee}/S_{tt})|)\rangle_{\lambda\ge 4\Delta}+"
            r"\min(20,|10\log_{10}(Q_S(0.999)/Q_R(0.999))|)\right)",
            "defined here",
            "a field in the wrong place, or of the wrong phase, can have none",
            axis="what",
            units="dB",
            best=0.0,
            bounds=(0.0, 20.0),
        ),
        Measure(
            "tail_error",
            "error of the 99.9 % quantile",
            r"\min(20,|10\log_{10}(Q_S(0.999)/Q_R(0.999))|)",
            "defined here",
            "sees one quantile; where less than 0.1 % of the true pixels are wet it is not defined",
            axis="what",
            units="dB",
            best=0.0,
            bounds=(0.0, 20.0),
        ),
    ),
)
