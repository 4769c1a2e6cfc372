"""Ensembles as fields: how the members' patches lie about the truth's, and how unlike neighbouring pixels are."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import ratio
from ondee.score.fields import MEMBER
from ondee.score.sums import framewise

__all__ = ["energy", "patch_start", "variogram"]

Array = NDArray[Any]
_LANES = 16
"""Patches whose variograms are worked out side by side."""
_OFF_EDGE = 0.25
"""Share of a step by which coordinates are moved before pixels are numbered: centres at whole or at half steps both
keep clear of the border between two numbers, where rounding would decide."""


def energy(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    patch: int = 16,
) -> xr.Dataset:
    r"""Sum the distances from the members' patches to the truth's, and among them.

    Patches lie on the grid's own origin (pixel numbers that are multiples of `patch`), so parts of a domain have the
    same patches as the whole, as far as a part's border does not cut them. Only complete ones count: a patch in which
    any pixel is missing is left out, since a distance between vectors of fewer pixels is not comparable. A patch
    weighs as the mean weight of its pixels.

    Parameters
    ----------
    estimate
        ``(member, …, y, x)``; a pixel that any member lacks is missing.
    truth
        ``(…, y, x)``, in the same unit.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel.
    patch
        Side of a patch, pixels.

    Returns
    -------
    xarray.Dataset
        Sums ``error_distance`` and ``member_distance`` (mean distances of a patch, times its weight) and ``weight``.
        :func:`~ondee.score.finish` gives the fair energy score.

    Raises
    ------
    ConfigError
        If there are no members, or `patch` is below 1.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit, or ``y`` and ``x`` are not summed over.

    Notes
    -----
    :math:`\frac1M\sum_i\|x_i-y\|-\frac{1}{2M(M-1)}\sum_{i,j}\|x_i-x_j\|` with Euclidean norms over the patch. With
    patches of one pixel it is the fair continuous ranked probability score.

    References
    ----------
    Gneiting and Raftery 2007, JASA 102, 359-378, §4.3; Ferro 2014, QJRMS 140, 1917-1923 (fair scores).
    """
    return _by_patch("energy", _add_distances, estimate, truth, over, weights, patch)


def variogram(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    patch: int = 8,
) -> xr.Dataset:
    r"""Sum how far the members' differences between two pixels are from the truth's, over all pairs in a patch.

    Patches are those of :func:`energy`: on the grid's own origin, complete ones only.

    Parameters
    ----------
    estimate
        ``(member, …, y, x)``; a pixel that any member lacks is missing.
    truth
        ``(…, y, x)``, in the same unit.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel.
    patch
        Side of a patch, pixels.

    Returns
    -------
    xarray.Dataset
        Sums ``difference`` (squared, of the patch, times its weight), ``member_variance`` (of the members' mean, so
        much of it is chance) and ``weight``. :func:`~ondee.score.finish` gives the variogram score, plain and fair.

    Raises
    ------
    ConfigError
        If there are no members, or `patch` is below 1.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit, or ``y`` and ``x`` are not summed over.

    Notes
    -----
    :math:`\sum_{k,l}\left(|y_k-y_l|^p-\frac1M\sum_i|x_{ik}-x_{il}|^p\right)^2` with p = 0.5 and all pairs of pixels
    of the same weight. The plain score of few members is too large by the variance of their mean; the fair one has
    that taken off.

    References
    ----------
    Scheuerer and Hamill 2015, Monthly Weather Review 143, 1321-1334.
    """
    return _by_patch("variogram", _add_variograms, estimate, truth, over, weights, patch)


_NAMES = {"energy": ("error_distance", "member_distance"), "variogram": ("difference", "member_variance")}


def _by_patch(
    score: str,
    add: Callable[[Array, Array, Array, int, int, int, Array], None],
    estimate: xr.DataArray,
    truth: xr.DataArray,
    over: str | Iterable[Hashable] | None,
    weights: xr.DataArray | None,
    patch: int,
) -> xr.Dataset:
    """Run a kernel over frames that goes through their patches."""
    if patch < 1:
        raise ConfigError(f"a patch of {patch} pixels", where=f"{score}, patch", fix="give a side of at least 1 pixel")
    top, left = (patch_start(truth, dim, patch) for dim in ("y", "x"))
    names = (*_NAMES[score], "weight")

    def kernel(e: Array, t: Array, w: Array | None) -> dict[str, Array]:
        found = np.zeros(len(names))
        add(e, t, np.ones(t.shape) if w is None else w, patch, top, left, found)
        return {name: np.asarray(value) for name, value in zip(names, found, strict=True)}

    return framewise(
        score,
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs=dict.fromkeys(names, ()),
        settings={"members": estimate.sizes.get(MEMBER, 0), "patch": int(patch)},
        stack=True,
    )


def patch_start(field: xr.DataArray, dim: str, patch: int) -> int:
    """Position of the first patch along a dimension, of those on the grid's own origin.

    Parameters
    ----------
    field
        With a regular coordinate on `dim`, rising or falling; without one, patches begin at the first pixel.
    dim
        Its name.
    patch
        Side of a patch, pixels.

    Examples
    --------
    >>> field = xr.DataArray([0.0, 0.0, 0.0], coords={"x": [6.5, 7.5, 8.5]}, dims="x")
    >>> patch_start(field, "x", 4), patch_start(field[::-1], "x", 4)
    (2, 1)
    """
    if dim not in field.coords or dim not in field.dims or field.sizes[dim] < 2:
        return 0
    values = np.asarray(field[dim].values, float)
    step = (values[-1] - values[0]) / (values.size - 1)
    if not np.isfinite(step) or step == 0:
        return 0
    number = int(np.floor(values[0] / abs(step) + _OFF_EDGE))
    return -number % patch if step > 0 else (number + 1) % patch


@njit(cache=True, error_model="numpy", nogil=True)
def _gather(members: Array, truth: Array, weight: Array, row: int, column: int, patch: int, cell: Array) -> float:
    """Copy a patch, truth last, into ``(member + 1, pixel)``; gives its weight, 0 where a pixel is missing."""
    total = 0.0
    count = len(members)
    for i in range(patch):
        for j in range(patch):
            y, x, p = row + i, column + j, i * patch + j
            w = weight[y, x]
            if not w > 0.0 or np.isnan(truth[y, x]):
                return 0.0
            total += w
            cell[count, p] = truth[y, x]
            for m in range(count):
                cell[m, p] = members[m, y, x]
    return total / (patch * patch)


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _distance(one: Array, other: Array) -> float:
    """Euclidean distance; the order of summation is free, so that several terms are added at once."""
    total = 0.0
    for p in range(len(one)):
        total += (one[p] - other[p]) ** 2
    return float(np.sqrt(total))


@njit(cache=True, error_model="numpy", nogil=True)
def _add_distances(members: Array, truth: Array, weight: Array, patch: int, top: int, left: int, found: Array) -> None:
    """Add mean distance to the truth, mean distance of two members and weight of every complete patch."""
    count = len(members)
    cell = np.empty((count + 1, patch * patch))
    for row in range(top, truth.shape[0] - patch + 1, patch):
        for column in range(left, truth.shape[1] - patch + 1, patch):
            w = _gather(members, truth, weight, row, column, patch, cell)
            if w > 0.0:
                error, apart = 0.0, 0.0
                for i in range(count):
                    error += _distance(cell[i], cell[count])
                    for j in range(i + 1, count):
                        apart += _distance(cell[i], cell[j])
                found[0] += w * error / count
                found[1] += w * 2.0 * apart / max(1, count * (count - 1))
                found[2] += w


@njit(cache=True, error_model="numpy", nogil=True)
def _add_variograms(members: Array, truth: Array, weight: Array, patch: int, top: int, left: int, found: Array) -> None:
    """Add squared difference of the variograms, variance of the members' mean and weight of every complete patch."""
    cell = np.zeros((len(members) + 1, patch * patch, _LANES))
    share = np.zeros(_LANES)
    lane = 0
    for row in range(top, truth.shape[0] - patch + 1, patch):
        for column in range(left, truth.shape[1] - patch + 1, patch):
            share[lane] = _gather(members, truth, weight, row, column, patch, cell[:, :, lane])
            if share[lane] > 0.0:
                lane += 1
            if lane == _LANES:
                _add_lanes(cell, share, found)
                lane = 0
    share[lane:] = 0.0  # what lies there is an older patch
    _add_lanes(cell, share, found)


@njit(cache=True, error_model="numpy", nogil=True)
def _add_lanes(cell: Array, share: Array, found: Array) -> None:
    """Add patches that lie side by side, ``(member + 1, pixel, patch)``: several roots are drawn at once."""
    count, size, width = cell.shape[0] - 1, cell.shape[1], cell.shape[2]
    mean, square = np.empty(width), np.empty(width)
    difference, variance = np.zeros(width), np.zeros(width)
    for k in range(size):
        for p in range(k + 1, size):
            mean[:] = 0.0
            square[:] = 0.0
            for m in range(count):
                one, other = cell[m, p], cell[m, k]
                for lane in range(width):
                    apart = abs(one[lane] - other[lane])
                    mean[lane] += np.sqrt(apart)
                    square[lane] += apart  # the square of a root is the difference itself
            one, other = cell[count, p], cell[count, k]
            for lane in range(width):
                average = mean[lane] / count
                difference[lane] += (np.sqrt(abs(one[lane] - other[lane])) - average) ** 2
                variance[lane] += square[lane] / count - average * average
    for lane in range(width):
        found[0] += share[lane] * 2.0 * difference[lane]  # a pair counts in either order
        found[1] += share[lane] * 2.0 * variance[lane] / max(1, count - 1)
        found[2] += share[lane]


def _finish_energy(sums: xr.Dataset) -> xr.Dataset:
    """Fair energy score; not defined for a single member."""
    score = ratio(sums["error_distance"] - sums["member_distance"] / 2, sums["weight"])
    return xr.Dataset({"energy_score": score if int(sums.attrs["members"]) > 1 else score * np.nan})


def _finish_variogram(sums: xr.Dataset) -> xr.Dataset:
    """Variogram score, plain, and fair where there are two members."""
    fair = ratio(sums["difference"] - sums["member_variance"], sums["weight"])
    return xr.Dataset(
        {
            "variogram_score": ratio(sums["difference"], sums["weight"]),
            "fair_variogram_score": fair if int(sums.attrs["members"]) > 1 else fair * np.nan,
        }
    )


_SCHEUERER = "Scheuerer and Hamill 2015, Monthly Weather Review 143"

register(
    "energy",
    _finish_energy,
    (
        Measure(
            "energy_score",
            "fair energy score of patches",
            r"\frac1M\sum_i\|x_i-y\|-\frac{1}{2M(M-1)}\sum_{i,j}\|x_i-x_j\|",
            "Gneiting and Raftery 2007, JASA 102, §4.3; Ferro 2014, QJRMS 140",
            "hardly sees wrong correlations between pixels; grows with the side of the patch",
            axis="probability",
            units="data",
            best=0.0,
            bounds=(-np.inf, np.inf),
        ),
    ),
)
register(
    "variogram",
    _finish_variogram,
    (
        Measure(
            "variogram_score",
            "variogram score of patches, order 0.5",
            r"\sum_{k,l}\Big(|y_k-y_l|^{1/2}-\frac1M\sum_i|x_{ik}-x_{il}|^{1/2}\Big)^2",
            _SCHEUERER,
            "does not see an error that all pixels share; falls as members are added; grows with the patch",
            axis="probability",
            units="data",
            best=0.0,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "fair_variogram_score",
            "fair variogram score of patches, order 0.5",
            r"\sum_{k,l}\Big[\Big(|y_k-y_l|^{1/2}-\frac1M\sum_i|x_{ik}-x_{il}|^{1/2}\Big)^2-\frac{s_{kl}^2}{M}\Big]",
            _SCHEUERER + "; made fair as in Ferro 2014, QJRMS 140",
            "does not see an error that all pixels share; grows with the patch",
            axis="probability",
            units="data",
            best=0.0,
            bounds=(-np.inf, np.inf),
        ),
    ),
)
