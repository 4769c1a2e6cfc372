"""Shapes: objects of rain, their structure, amount and place, and which of them were found."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import ratio, rising, threshold_coordinate
from ondee.score.fields import pixel_sides, pixel_size
from ondee.score.sums import framewise

__all__ = ["objects", "sal"]

Floats = NDArray[np.float64]

_SAL = ("structure", "amplitude", "location", "absolute_structure", "absolute_amplitude", "frames", "wet_frames")
_MATCHED = ("matched", "overlap", "distance")


def sal(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    factor: float = 1 / 15,
    quantile: float = 0.95,
    wet: float = 0.1,
) -> xr.Dataset:
    """Sum structure, amplitude and location (SAL) over frames.

    An object is a connected set of pixels (along rows and columns) of at least `factor` times the `quantile` of a
    frame's wet pixels, each field with its own threshold (Wernli 2008, 2009). A frame without an object
    in one of the fields has no structure and no location; it is counted, and left out of all three.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed: such a pixel is in no object, sum or extent. Members are
        pooled: each is compared with the truth.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        A pixel of weight 0 is left out; a frame has the mean weight of the others.
    factor
        Share of the quantile that is an object's threshold.
    quantile
        Of the wet pixels.
    wet
        Smallest rain of a wet pixel, in the unit of the data.

    Returns
    -------
    xarray.Dataset
        Sums ``structure``, ``amplitude``, ``location``, ``absolute_structure``, ``absolute_amplitude`` over ``frames``
        with objects in both, and ``wet_frames`` with objects in either.

    Raises
    ------
    ConfigError
        If `factor`, `quantile` or `wet` is out of range.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.
    """
    if not (0 < factor <= 1 and 0 < quantile <= 1 and wet > 0):
        raise ConfigError(
            "factor and quantile must be in (0, 1], wet more than 0",
            where=f"factor={factor}, quantile={quantile}, wet={wet}",
            fix="use factor=1/15, quantile=0.95, wet=0.1",
        )
    sides = _relative_sides(truth)

    def kernel(e: NDArray[Any], t: NDArray[Any], w: Floats | None) -> dict[str, NDArray[Any]]:
        return dict(zip(_SAL, map(np.asarray, _sal_of_frame(e, t, w, factor, quantile, wet, sides)), strict=True))

    return framewise(
        "sal",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(_SAL, ()),
        settings={"factor": float(factor), "quantile": float(quantile), "wet": float(wet)},
    )


def objects(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    thresholds: Sequence[float] = (0.1, 1.0, 5.0),
    smallest: int = 4,
    distance: float = 10.0,
    overlap: float = 0.2,
) -> xr.Dataset:
    """Find objects of rain and match each with at most one of the other field.

    An object is a connected set of pixels (along rows and columns) that reach a threshold. Two may match when their
    centroids (plain, not weighted by rain) lie less than `distance` apart, or when they share at least `overlap` of
    their union. Of all ways to match, the one of the highest total of (IoU + max(0, 1 − distance/`distance`))/2 is
    taken.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed: such a pixel is in no object. Members are pooled.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        A pixel of weight 0 is left out; the objects of a frame have the mean weight of the others.
    thresholds
        In the unit of the data.
    smallest
        Fewest pixels of an object.
    distance
        In pixels.
    overlap
        Intersection over union.

    Returns
    -------
    xarray.Dataset
        Sums ``objects``, ``matched_area`` (field, threshold), ``matched``, ``overlap``, ``distance`` (threshold) and
        ``frames``.

    Raises
    ------
    ConfigError
        If thresholds do not ascend, or another option is out of range.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.
    """
    levels = rising(thresholds, "thresholds")
    if not (smallest >= 1 and distance > 0 and 0 < overlap <= 1):
        raise ConfigError(
            "smallest must be 1 or more, distance more than 0, overlap in (0, 1]",
            where=f"smallest={smallest}, distance={distance}, overlap={overlap}",
            fix="use smallest=4, distance=10.0, overlap=0.2",
        )
    sides = _relative_sides(truth)
    pixel = pixel_size(truth)

    def kernel(e: NDArray[Any], t: NDArray[Any], w: Floats | None) -> dict[str, NDArray[Any]]:
        frame = _frame_weight(t, w)
        number, area, pairs = np.zeros((2, levels.size)), np.zeros((2, levels.size)), np.zeros((3, levels.size))
        for k, level in enumerate(levels):
            ours, true = (_found(field >= field.dtype.type(level), smallest) for field in (e, t))
            number[:, k] = ours.number, true.number
            if ours.number and true.number:
                area[:, k], pairs[:, k] = _match(ours, true, distance, overlap, sides)
        pairs[2] *= 1.0 if pixel < 0 else pixel
        made = {"objects": number, "matched_area": area, **dict(zip(_MATCHED, pairs, strict=True))}
        return {**{name: values * frame for name, values in made.items()}, "frames": np.asarray(frame)}

    return framewise(
        "objects",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={
            "objects": ("field", "threshold"),
            "matched_area": ("field", "threshold"),
            **dict.fromkeys(_MATCHED, ("threshold",)),
            "frames": (),
        },
        coordinates={"field": ["estimate", "truth"], "threshold": threshold_coordinate(levels, truth)},
        settings={"smallest": smallest, "distance": float(distance), "overlap": float(overlap), "pixel": pixel},
    )


@dataclass(frozen=True)
class _Labels:
    """Objects of a field: labels from 1, and pixels and centroid of each."""

    labels: NDArray[np.int32]
    number: int
    area: Floats
    centroid: Floats


def _found(reached: NDArray[np.bool_], smallest: int = 1) -> _Labels:
    """Connected sets of at least so many pixels."""
    labels, number = ndimage.label(reached)
    place = np.nonzero(labels)
    which = labels[place]
    area = np.bincount(which, minlength=number + 1)
    kept = area >= smallest
    kept[0] = False
    new = np.where(kept, np.cumsum(kept), 0)
    sums = [np.bincount(which, weights=axis, minlength=number + 1)[kept] for axis in place]
    sizes = area[kept].astype(float)
    return _Labels(new[labels], int(kept.sum()), sizes, np.stack(sums, axis=1) / sizes[:, np.newaxis])


def _match(
    ours: _Labels, true: _Labels, distance: float, overlap: float, sides: tuple[float, float]
) -> tuple[list[float], list[float]]:
    """Areas of the matched objects in both, and their number, total IoU and total distance in pixels."""
    both = (ours.labels > 0) & (true.labels > 0)
    joint = np.bincount(
        (ours.labels[both] - 1) * true.number + true.labels[both] - 1, minlength=ours.number * true.number
    ).reshape(ours.number, true.number)
    shared = joint / (ours.area[:, np.newaxis] + true.area - joint)
    apart = np.hypot(*((ours.centroid[:, np.newaxis] - true.centroid) * sides).transpose(2, 0, 1))
    allowed = (apart < distance) | (shared >= overlap)
    worth = np.where(allowed, 0.5 * (shared + np.maximum(0.0, 1 - apart / distance)), 0.0)
    one, two = linear_sum_assignment(worth, maximize=True)
    kept = allowed[one, two]
    one, two = one[kept], two[kept]
    return (
        [float(ours.area[one].sum()), float(true.area[two].sum())],
        [float(len(one)), float(shared[one, two].sum()), float(apart[one, two].sum())],
    )


def _relative_sides(field: xr.DataArray) -> tuple[float, float]:
    """Sides of a pixel in sides of the square that is as large."""
    down, right = pixel_sides(field)
    return float(np.sqrt(down / right)), float(np.sqrt(right / down))


def _frame_weight(t: NDArray[Any], w: Floats | None) -> float:
    """Mean weight of the observed pixels; 0 where there are none."""
    seen = np.isfinite(t)
    if not seen.any():
        return 0.0
    return 1.0 if w is None else float(w[seen].mean())


def _sal_of_frame(
    e: NDArray[Any],
    t: NDArray[Any],
    w: Floats | None,
    factor: float,
    quantile: float,
    wet: float,
    sides: tuple[float, float],
) -> tuple[float, ...]:
    """Values of `_SAL` for one frame."""
    frame = _frame_weight(t, w)
    seen = np.isfinite(t)
    found = [_volume_and_distance(np.where(seen, field, 0), factor, quantile, wet, sides) for field in (e, t)]
    present = [one is not None for one in found]
    if found[0] is None or found[1] is None or frame == 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, frame * any(present)
    ours, true = found[0], found[1]
    # The largest distance is that of the observed extent, so that a margin of missing pixels changes nothing.
    extent = [np.ptp(np.flatnonzero(seen.any(axis=1 - axis))) + 1 for axis in (0, 1)]
    largest = np.hypot(extent[0] * sides[0], extent[1] * sides[1])
    structure = (ours.volume - true.volume) / (0.5 * (ours.volume + true.volume))
    amplitude = (ours.total - true.total) / (0.5 * (ours.total + true.total))
    between = np.hypot(*(ours.centre - true.centre))
    location = (between + 2 * abs(ours.distance - true.distance)) / largest
    return tuple(
        frame * float(value) for value in (structure, amplitude, location, abs(structure), abs(amplitude), 1.0, 1.0)
    )


@dataclass(frozen=True)
class _Rain:
    """What SAL knows of a field: its sum and centre, and its objects' scaled volume and distance from the centre."""

    total: float
    centre: Floats
    volume: float
    distance: float


def _volume_and_distance(
    field: NDArray[Any], factor: float, quantile: float, wet: float, sides: tuple[float, float]
) -> _Rain | None:
    """Objects of a field with 0 where missing, as in Wernli 2008, section 2; None without an object."""
    raining = field[field >= field.dtype.type(wet)]
    if not raining.size:
        return None
    field = field.astype(float)
    level = factor * np.quantile(raining.astype(float), quantile)
    labels, number = ndimage.label(field >= level)
    place = np.nonzero(labels)
    which, values = labels[place] - 1, field[place]
    rain = np.bincount(which, values, minlength=number)
    highest = np.zeros(number)
    np.maximum.at(highest, which, values)
    moments = [np.bincount(which, values * axis, minlength=number) for axis in place]
    centres = np.stack(moments, axis=1) / rain[:, np.newaxis] * sides
    total = field.sum()
    centre = np.array([np.arange(field.shape[i]) @ field.sum(axis=1 - i) for i in (0, 1)]) / total * sides
    distances = np.hypot(*(centres - centre).T)
    return _Rain(
        float(total),
        centre,
        float((rain * rain / highest).sum() / rain.sum()),
        float((rain * distances).sum() / rain.sum()),
    )


def _finish_sal(sums: xr.Dataset) -> xr.Dataset:
    """Means over frames."""
    made = {f"sal_{name}": ratio(sums[name], sums["frames"]) for name in _SAL[:5]}
    return xr.Dataset({**made, "sal_defined_share": ratio(sums["frames"], sums["wet_frames"])})


def _finish_objects(sums: xr.Dataset) -> xr.Dataset:
    """Shares of objects, and means over the matched."""
    number, area = sums["objects"], sums["matched_area"]
    ours, true = number.sel(field="estimate", drop=True), number.sel(field="truth", drop=True)
    return xr.Dataset(
        {
            "object_count": ratio(number, sums["frames"]),
            "object_detection": ratio(sums["matched"], true),
            "object_false_share": ratio(ours - sums["matched"], ours),
            "object_intersection_over_union": ratio(sums["overlap"], sums["matched"]),
            "object_centroid_distance": ratio(sums["distance"], sums["matched"]),
            "object_area_ratio": ratio(area.sel(field="estimate", drop=True), area.sel(field="truth", drop=True)),
        }
    )


_WERNLI = "Wernli et al. 2008, Monthly Weather Review 136, 4470-4487"
_DAVIS = "after Davis et al. 2006, Monthly Weather Review 134, object-based verification"
_MEAN = "a mean over frames: signs cancel, and frames without rain in one of the fields are left out"
_MATCH = "of matched objects only: what was missed or invented is not in it"
_CUT = "objects cut by the edge of what was observed count like whole ones"

register(
    "sal",
    _finish_sal,
    (
        Measure(
            "sal_structure",
            "structure (SAL)",
            r"S=\frac{V_e-V_t}{(V_e+V_t)/2},\ V=\frac{\sum_nR_nV_n}{\sum_nR_n},\ V_n=R_n/R_n^{\max}",
            _WERNLI,
            _MEAN,
            axis="what",
            best=0.0,
            bounds=(-2.0, 2.0),
        ),
        Measure(
            "sal_amplitude",
            "amplitude (SAL)",
            r"A=\frac{D(R_e)-D(R_t)}{(D(R_e)+D(R_t))/2}",
            _WERNLI,
            _MEAN,
            axis="amount",
            best=0.0,
            bounds=(-2.0, 2.0),
        ),
        Measure(
            "sal_location",
            "location (SAL)",
            r"L=\frac{|\mathbf{x}_e-\mathbf{x}_t|}{d}+2\frac{|r_e-r_t|}{d},\ "
            r"r=\frac{\sum_nR_n|\mathbf{x}-\mathbf{x}_n|}{\sum_nR_n}",
            _WERNLI,
            "sees the centre of mass and the scatter about it: a rotated field has the same; depends on the domain",
            best=0.0,
            bounds=(0.0, 2.0),
        ),
        Measure(
            "sal_absolute_structure",
            "absolute structure (SAL)",
            r"\langle|S|\rangle",
            _WERNLI,
            "does not tell too flat from too peaked",
            axis="what",
            best=0.0,
            bounds=(0.0, 2.0),
        ),
        Measure(
            "sal_absolute_amplitude",
            "absolute amplitude (SAL)",
            r"\langle|A|\rangle",
            _WERNLI,
            "does not tell too much from too little",
            axis="amount",
            best=0.0,
            bounds=(0.0, 2.0),
        ),
        Measure(
            "sal_defined_share",
            "share of wet frames with objects in both",
            r"N_{\mathrm{both}}/N_{\mathrm{either}}",
            _WERNLI,
            "does not tell which of the two was dry",
            axis="context",
        ),
    ),
)
register(
    "objects",
    _finish_objects,
    (
        Measure(
            "object_count",
            "objects in a frame",
            r"N_f/N_{\mathrm{frames}}",
            _DAVIS,
            _CUT,
            axis="what",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "object_detection",
            "share of objects that were found",
            r"N_{\mathrm{matched}}/N_t",
            _DAVIS,
            "an object is one, however large; an estimate with objects everywhere finds all",
        ),
        Measure(
            "object_false_share",
            "share of the estimate's objects without a match",
            r"(N_e-N_{\mathrm{matched}})/N_e",
            _DAVIS,
            "an object is one, however large; parts of a broken object count as false",
            best=0.0,
        ),
        Measure(
            "object_intersection_over_union",
            "intersection over union of matched objects",
            r"\langle|A_e\cap A_t|/|A_e\cup A_t|\rangle",
            _DAVIS,
            _MATCH,
        ),
        Measure(
            "object_centroid_distance",
            "distance of the centroids of matched objects",
            r"\langle|\mathbf{x}_e-\mathbf{x}_t|\rangle",
            _DAVIS,
            _MATCH,
            units="km",
            best=0.0,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "object_area_ratio",
            "area of matched objects, estimate over truth",
            r"\sum|A_e|/\sum|A_t|",
            _DAVIS,
            _MATCH,
            axis="what",
            bounds=(0.0, np.inf),
        ),
    ),
)
