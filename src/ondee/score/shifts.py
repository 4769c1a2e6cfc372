"""Shifts: how far, and which way, the rain of the estimate lies from that of the truth."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import ratio
from ondee.score.fields import pixel_sides, pixel_size
from ondee.score.spectra import decibels, require_window
from ondee.score.sums import framewise

__all__ = ["displacement"]

Floats = NDArray[np.float64]

_MOMENTS = ("pairs", "truth_sum", "estimate_sum", "truth_squares", "estimate_squares", "products")
_LOCAL = ("windows", "east", "north", "east_squared", "north_squared")
_SHIFTS = ["shift_north", "shift_east"]
_BATCH = 32
"""Windows that are transformed at once: about 50 MB."""


def displacement(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    window: int = 64,
    reach: int = 16,
    threshold: float = 0.1,
    coverage: float = 0.5,
    correlation: float = 0.5,
    transform: str = "rain",
) -> xr.Dataset:
    """Sum the moments of truth and shifted estimate, for every shift of whole pixels within reach.

    The frame is cut into windows of the truth from its first row and column on, and each is compared with the
    estimate around it, `reach` pixels farther on all sides. Pairs that lack a pixel are left out (Padfield 2012), and
    so are windows with less than `coverage` of their pixels observed, and those where truth or estimate nowhere reach
    `threshold`: rain that was missed or invented has no displacement.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed. Members are pooled. Row 0 is north and column 0 west, unless
        coordinates ``y`` and ``x`` say otherwise.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel; a pair has that of its pixel in the truth.
    window
        Side of a window in pixels, at least 8.
    reach
        Farthest shift in pixels along each axis, at least 2.
    threshold
        Smallest rain that counts, in the unit of the data.
    coverage
        Least observed share of a window.
    correlation
        Least correlation at the peak of a single window, for it to count in the local displacements.
    transform
        What is correlated: ``"rain"``, led by the heaviest cores, or ``"decibel"`` (10 log10 R, and 5 dB below
        `threshold` where it is less), led by the outlines of the rain.

    Returns
    -------
    xarray.Dataset
        Sums ``pairs``, ``truth_sum``, ``estimate_sum``, ``truth_squares``, ``estimate_squares``, ``products``
        (shift_north, shift_east), pooled over windows; and ``windows``, ``east``, ``north``, ``east_squared``,
        ``north_squared``: sums over windows with a peak of their own within reach. Shifts are in pixels.

    Raises
    ------
    ConfigError
        If an option is out of range, or the fields are smaller than a window.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.
    """
    require_window(truth, window)
    _require_options(reach, coverage, correlation, transform)
    # A shift down the rows goes south and one along the columns east, unless the coordinates run the other way.
    flips = (_ascends(truth, "y", False), not _ascends(truth, "x", True))

    def kernel(e: NDArray[Any], t: NDArray[Any], w: Floats | None) -> dict[str, NDArray[Any]]:
        moments = np.zeros((6, 2 * reach + 1, 2 * reach + 1))
        local = np.zeros(5)
        for true, weight, ours in _windows(e, t, w, window, reach, threshold, coverage):
            if transform == "decibel":
                true, ours = decibels(true, threshold), decibels(ours, threshold)
            found = _moments(true, weight, ours, reach)
            # Rows run south, so shifts to the north are rows in reverse.
            found = found[:, :, :: 1 if flips[0] else -1, :: -1 if flips[1] else 1]
            moments += found.sum(axis=1)
            north, east, peak = _peak(_correlate(*found))
            kept = np.isfinite(north) & (peak >= correlation)
            n, d = north[kept], east[kept]
            local += [kept.sum(), d.sum(), n.sum(), (d**2).sum(), (n**2).sum()]
        return {**dict(zip(_MOMENTS, moments, strict=True)), **dict(zip(_LOCAL, local, strict=True))}

    steps = np.arange(-reach, reach + 1)
    sides = pixel_sides(truth)
    return framewise(
        "displacement",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={**dict.fromkeys(_MOMENTS, tuple(_SHIFTS)), **dict.fromkeys(_LOCAL, ())},
        coordinates={
            "shift_north": ("shift_north", steps, {"units": "1", "long_name": "shift to the north in pixels"}),
            "shift_east": ("shift_east", steps, {"units": "1", "long_name": "shift to the east in pixels"}),
        },
        settings={
            "window": window,
            "reach": reach,
            "threshold": float(threshold),
            "coverage": float(coverage),
            "correlation": float(correlation),
            "transform": transform,
            "pixel": pixel_size(truth),
            "pixel_north": sides[0],
            "pixel_east": sides[1],
        },
    )


def _require_options(reach: int, coverage: float, correlation: float, transform: str) -> None:
    if transform not in ("rain", "decibel"):
        raise ConfigError(f"there is no transform {transform!r}", where="transform", fix="use 'rain' or 'decibel'")
    if reach != int(reach) or reach < 2:
        raise ConfigError(f"a reach of {reach} pixels is too short", where="reach", fix="use 2 pixels or more")
    for name, value in (("coverage", coverage), ("correlation", correlation)):
        if not 0 < value <= 1:
            raise ConfigError(f"{name} must be in (0, 1], and is {value}", where=name, fix="use 0.5")


def _ascends(field: xr.DataArray, name: str, otherwise: bool) -> bool:
    """Whether a coordinate grows with its index."""
    if name not in field.coords or field.sizes[name] < 2:
        return otherwise
    values = field[name].values
    return bool(values[-1] > values[0])


def _windows(
    e: NDArray[Any], t: NDArray[Any], w: Floats | None, window: int, reach: int, threshold: float, coverage: float
) -> Iterator[tuple[NDArray[Any], Floats, NDArray[Any]]]:
    """Batches of windows that have something to compare: truth and weights, and the estimate around them."""
    rows, columns = (-(-size // window) for size in t.shape)
    after = (rows * window - t.shape[0], columns * window - t.shape[1])
    true = np.pad(t, ((0, after[0]), (0, after[1])), constant_values=np.nan)
    weight = np.isfinite(true).astype(float)
    if w is not None:
        weight[: t.shape[0], : t.shape[1]] *= w
    ours = np.pad(e, ((reach, reach + after[0]), (reach, reach + after[1])), constant_values=np.nan)

    def cut(frame: NDArray[Any], side: int) -> NDArray[Any]:
        return sliding_window_view(frame, (side, side))[::window, ::window]

    true_cut, weight_cut, ours_cut = cut(true, window), cut(weight, window), cut(ours, window + 2 * reach)
    seen = (weight_cut > 0).mean(axis=(2, 3)) >= coverage
    level = t.dtype.type(threshold)
    seen &= (true_cut >= level).any(axis=(2, 3)) & (ours_cut >= level).any(axis=(2, 3))
    where = np.argwhere(seen)
    for first in range(0, len(where), _BATCH):
        i, j = where[first : first + _BATCH].T
        yield true_cut[i, j], weight_cut[i, j], ours_cut[i, j]


def _moments(truth: NDArray[Any], weight: Floats, estimate: NDArray[Any], reach: int) -> Floats:
    """Six moments of each window for each shift, ``(moment, window, down, right)``.

    Sums of ``truth(p) · estimate(p + shift)`` and the like, by the convolution theorem (Padfield 2012, IEEE
    Transactions on Image Processing 21). The estimate's side is the window plus twice the reach, so nothing wraps.
    """
    side = estimate.shape[-1]
    size = (next_fast_len(side, real=True),) * 2
    t = np.nan_to_num(truth.astype(float))
    e = np.nan_to_num(estimate.astype(float))
    seen = np.isfinite(estimate).astype(float)
    fixed = [np.conj(rfft2(values, size)) for values in (weight, weight * t, weight * t * t)]
    moving = [rfft2(values, size) for values in (seen, e, e * e)]
    made = [
        irfft2(fixed[i] * moving[j], size)[..., : 2 * reach + 1, : 2 * reach + 1]
        for i, j in ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    ]
    return np.stack(made)


def _correlate(n: Floats, st: Floats, se: Floats, stt: Floats, see: Floats, ste: Floats) -> Floats:
    """Correlation at each shift; NaN where it rests on less than half as many pairs as another shift does."""
    spread_t, spread_e = n * stt - st**2, n * see - se**2
    # What transforms leave of a variance of zero is some 1e-13 of its terms.
    defined = (spread_t > 1e-9 * n * stt) & (spread_e > 1e-9 * n * see)
    defined &= (n > 0) & (n >= 0.5 * n.max(axis=(-2, -1), keepdims=True))
    below = np.sqrt(np.where(defined, spread_t, 1.0)) * np.sqrt(np.where(defined, spread_e, 1.0))
    return np.where(defined, np.clip((n * ste - st * se) / below, -1.0, 1.0), np.nan)


def _peak(correlation: Floats) -> tuple[Floats, Floats, Floats]:
    """Where correlation is highest, in shifts along both axes, by a parabola through its neighbours; and how high.

    NaN for shifts where the highest lies on the rim: the peak is then out of reach.
    """
    *before, rows, columns = correlation.shape
    flat = correlation.reshape(int(np.prod(before)), rows, columns)
    filled = np.where(np.isfinite(flat), flat, -np.inf)
    best = filled.reshape(len(flat), rows * columns).argmax(axis=1)
    i, j = np.unravel_index(best, (rows, columns))
    inside = (i > 0) & (i < rows - 1) & (j > 0) & (j < columns - 1)
    y, x = np.clip(i, 1, rows - 2), np.clip(j, 1, columns - 2)
    each = np.arange(len(flat))
    here = flat[each, i, j]
    north = i - rows // 2 + _vertex(flat[each, y - 1, x], flat[each, y, x], flat[each, y + 1, x])
    east = j - columns // 2 + _vertex(flat[each, y, x - 1], flat[each, y, x], flat[each, y, x + 1])
    found = inside & np.isfinite(here)
    shape = tuple(before)
    return (
        np.where(found, north, np.nan).reshape(shape),
        np.where(found, east, np.nan).reshape(shape),
        np.where(np.isfinite(here), here, np.nan).reshape(shape),
    )


def _vertex(before: Floats, here: Floats, after: Floats) -> Floats:
    """Place of the top of a parabola through three points; 0 where a neighbour is missing or it is flat."""
    bend = before - 2 * here + after
    bent = np.isfinite(bend) & (bend < 0)
    return np.where(bent, 0.5 * (before - after) / np.where(bent, bend, 1.0), 0.0)


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Peak of the pooled correlation, and mean and spread of the local peaks, in km."""
    surface = xr.apply_ufunc(
        _correlate,
        *(sums[name] for name in _MOMENTS),
        input_core_dims=[_SHIFTS] * 6,
        output_core_dims=[_SHIFTS],
    )
    north, east, peak = xr.apply_ufunc(_peak, surface, input_core_dims=[_SHIFTS], output_core_dims=[[], [], []])
    number = sums["windows"]
    mean_east, mean_north = ratio(sums["east"], number), ratio(sums["north"], number)
    spread = (ratio(sums["east_squared"], number) - mean_east**2).clip(0.0) * sums.attrs["pixel_east"] ** 2
    spread = spread + (ratio(sums["north_squared"], number) - mean_north**2).clip(0.0) * sums.attrs["pixel_north"] ** 2
    return xr.Dataset(
        {
            "displacement_east": east * sums.attrs["pixel_east"],
            "displacement_north": north * sums.attrs["pixel_north"],
            "displacement_correlation": peak,
            "unshifted_correlation": surface.sel(shift_north=0, shift_east=0, drop=True),
            "local_displacement_east": mean_east * sums.attrs["pixel_east"],
            "local_displacement_north": mean_north * sums.attrs["pixel_north"],
            "local_displacement_spread": np.sqrt(spread),
            "displacement_windows": number,
        }
    )


_PADFIELD = "Padfield 2012, IEEE Transactions on Image Processing 21, masked normalised cross-correlation"
_ANY = (-np.inf, np.inf)
_POOLED = "one shift for all: errors to all sides cancel, see the local spread; undefined at the rim of the reach"
_LOCALLY = "only of windows whose own peak is clear and within reach: the worst placed rain is left out"

register(
    "displacement",
    _finish,
    (
        Measure(
            "displacement_east",
            "eastward displacement of the estimate",
            r"d_x,\ \mathbf{d}=\arg\max_{\mathbf{s}}\rho(R(\mathbf{p}),S(\mathbf{p}+\mathbf{s}))",
            _PADFIELD,
            _POOLED,
            units="km",
            best=0.0,
            bounds=_ANY,
        ),
        Measure(
            "displacement_north",
            "northward displacement of the estimate",
            r"d_y,\ \mathbf{d}=\arg\max_{\mathbf{s}}\rho(R(\mathbf{p}),S(\mathbf{p}+\mathbf{s}))",
            _PADFIELD,
            _POOLED,
            units="km",
            best=0.0,
            bounds=_ANY,
        ),
        Measure(
            "displacement_correlation",
            "correlation at the best shift",
            r"\max_{\mathbf{s}}\rho(\mathbf{s})",
            _PADFIELD,
            "a maximum over many shifts: above zero even by chance; windows without rain in both are left out",
            best=1.0,
            bounds=(-1.0, 1.0),
        ),
        Measure(
            "unshifted_correlation",
            "correlation without a shift",
            r"\rho(\mathbf{0})",
            _PADFIELD,
            "of the windows that have rain in both, so not the correlation of the whole field",
            bounds=(-1.0, 1.0),
        ),
        Measure(
            "local_displacement_east",
            "mean eastward displacement of windows",
            r"\langle d_x\rangle",
            _PADFIELD,
            _LOCALLY,
            units="km",
            best=0.0,
            bounds=_ANY,
        ),
        Measure(
            "local_displacement_north",
            "mean northward displacement of windows",
            r"\langle d_y\rangle",
            _PADFIELD,
            _LOCALLY,
            units="km",
            best=0.0,
            bounds=_ANY,
        ),
        Measure(
            "local_displacement_spread",
            "spread of the displacements of windows",
            r"\sqrt{\langle|\mathbf{d}-\langle\mathbf{d}\rangle|^2\rangle}",
            _PADFIELD,
            _LOCALLY,
            units="km",
            best=0.0,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "displacement_windows",
            "windows with a displacement of their own",
            r"N",
            "count of windows",
            "windows of one frame are not independent",
            axis="context",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
    ),
)
