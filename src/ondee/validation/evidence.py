"""What one view of one sensor says of its gain, its place and its clock: a few additive sums.

A clock that is wrong looks like a shift, since rain moves: 10 min read as half a cell. The correlation with radar is
therefore scanned over shifts and lags together, of radar blurred as the sensor blurs. A gain is not a ratio of totals:
a sensor that sees 25 km at once and nothing below its threshold would read 0.8 without being wrong. The two volumes
are compared above one rain rate, which for the radar is that rate over the gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ondee.collocation.footprint import blur
from ondee.collocation.match import at_the_pass
from ondee.grid import Grid
from ondee.source.imerg_sensors import sensor

__all__ = ["EVIDENCE", "LAGS", "REACH", "REFERENCES", "View", "evidence", "evidence_coordinates", "log_gain"]

Floats = NDArray[np.float64]

REFERENCES = ("overpass", "mean")
"""With what a view is compared: radar at the minute of the pass, or its mean over the half hour."""
LAGS = tuple(range(-30, 65, 5))
"""Minutes by which the radar is later than the time that the product states."""
REACH = 3
"""Farthest shift, in cells."""
HALF_WIDTH = 2.5
"""Half of the window around the pass, minutes."""
_DRY = 0.1
"""Rain rates below it are equal in the scan: ln(max(R, 0.1) / 0.1)."""
_STRONG = 1.0
"""Rain rate above which volumes are compared, mm h-1: above what sensors miss or invent."""
_FEWEST = 8
"""Cells of radar above that rate, for a view to say something of the gain."""
_WIDEST = np.log(10.0)
"""Largest gain, either way, as a logarithm."""
_SCAN = ("comparison", "lag", "shift_north", "shift_east")

EVIDENCE: dict[str, tuple[str, ...]] = {
    "views": (),
    "gain_views": ("comparison",),
    "gain_sum": ("comparison",),
    "gain_squares": ("comparison",),
    "covariance": _SCAN,
    "estimate_variance": _SCAN,
    "radar_variance": _SCAN,
}
"""Sum → its dimensions. All add: over the views of a day, over days, over archives."""


@dataclass(frozen=True)
class View:
    """What one source contributed to one half hour.

    Parameters
    ----------
    start
        Start of the half hour.
    source
        Name of the sensor, or ``"morph"``, ``"mixed"``, ``"infrared"``.
    code
        IMERG's code of the sensor, 0 where none passed.
    estimate
        ``(y, x)`` in mm h-1, NaN outside the cells of this source.
    minute
        ``(y, x)``: minutes of the pass after `start`, NaN where none passed.
    """

    start: np.datetime64
    source: str
    code: int
    estimate: NDArray[np.float32]
    minute: NDArray[np.float32]


def evidence_coordinates() -> dict[str, tuple[str, list[str] | NDArray[np.int64], dict[str, str]]]:
    """Coordinates of the sums, as xarray takes them."""
    shifts = np.arange(-REACH, REACH + 1)
    return {
        "comparison": ("comparison", list(REFERENCES), {"long_name": "radar reference"}),
        "lag": ("lag", np.array(LAGS), {"units": "min", "long_name": "time of the radar after the stated time"}),
        "shift_north": ("shift_north", shifts, {"units": "1", "long_name": "northward shift of the estimate in cells"}),
        "shift_east": ("shift_east", shifts, {"units": "1", "long_name": "eastward shift of the estimate in cells"}),
    }


def evidence(view: View, frames: NDArray[np.float32], bounds: Floats, cells: Grid) -> dict[str, Floats]:
    """Sums of one view.

    Parameters
    ----------
    view
        The view.
    frames
        ``(frame, y, x)``: radar rain on the cells of the view in mm h-1, NaN where not observed; from 35 min before
        the half hour to 95 min after its start for all lags. A lag that is not wholly observed counts nowhere.
    bounds
        ``(frame, 2)``: minutes after the start of the half hour.
    cells
        The grid.

    Returns
    -------
    dict
        The sums of :data:`EVIDENCE`, float64.
    """
    gains = np.zeros((3, len(REFERENCES)))
    scan = np.zeros((3, len(REFERENCES), len(LAGS), 2 * REACH + 1, 2 * REACH + 1))
    wide = blur(frames, cells, sensor(view.code).footprint)
    shown = _transformed(view.estimate)
    for index, kind in enumerate(REFERENCES):
        for number, lag in enumerate(LAGS):
            radar = _radar(kind, view, wide, bounds, float(lag))
            if not np.isfinite(radar).any():
                continue
            if lag == 0:
                gains[:, index] = _gain(view.estimate, radar)
            _add_scan(shown, _transformed(radar), scan[:, index, number])
    made = dict(zip(("covariance", "estimate_variance", "radar_variance"), scan, strict=True))
    return {
        "views": np.ones(()),
        "gain_views": gains[0],
        "gain_sum": gains[1],
        "gain_squares": gains[2],
        **made,
    }


def log_gain(estimate: Floats, radar: Floats, threshold: float = _STRONG) -> float:
    r"""Logarithm of the factor that gives radar the volume of the estimate above one rain rate.

    The root :math:`g` of :math:`\sum S\,[S\ge t]=\sum gR\,[gR\ge t]`. Where a sensor multiplies rain and then cuts what
    is below its threshold, or misses and invents light rain, this is its factor; a ratio of totals is not. Places do
    not matter, only amounts.

    Parameters
    ----------
    estimate, radar
        Values of the same cells, mm h-1, none missing.
    threshold
        The rain rate :math:`t`, mm h-1.

    Returns
    -------
    float
        :math:`\ln g`, between −ln 10 and ln 10; NaN where the radar has no rain.

    Examples
    --------
    >>> rain = np.linspace(0.0, 9.0, 50)
    >>> round(float(np.exp(log_gain(1.5 * rain, rain))), 3)
    1.5
    """
    volume = float(estimate[estimate >= threshold].sum())
    falling = np.sort(radar)[::-1]
    below = np.concatenate([[0.0], np.cumsum(falling, dtype=np.float64)])
    if not below[-1] > 0:
        return float("nan")
    low, high = -_WIDEST, _WIDEST
    for _ in range(40):
        middle = (low + high) / 2
        above = np.searchsorted(-falling, -threshold / np.exp(middle), side="right")
        low, high = (middle, high) if np.exp(middle) * below[above] < volume else (low, middle)
    return float((low + high) / 2)


def _gain(estimate: NDArray[np.float32], radar: NDArray[np.float32]) -> Floats:
    """Count, sum and sum of squares of the logarithm of the gain: of one view, or of none."""
    both = np.isfinite(estimate) & np.isfinite(radar)
    if np.count_nonzero(radar[both] >= _STRONG) < _FEWEST:
        return np.zeros(3)
    found = log_gain(estimate[both].astype(np.float64), radar[both].astype(np.float64))
    return np.array([1.0, found, found**2])


def _radar(kind: str, view: View, frames: NDArray[np.float32], bounds: Floats, lag: float) -> NDArray[np.float32]:
    """Radar at the pass, or over the half hour, some minutes later than the product says."""
    if kind == "overpass":
        return np.asarray(at_the_pass(frames, bounds, view.minute + np.float32(lag), HALF_WIDTH))
    middle = np.full(view.estimate.shape, 15.0 + lag, np.float32)
    return np.asarray(at_the_pass(frames, bounds, middle, 15.0))


def _transformed(rain: NDArray[np.float32]) -> Floats:
    """Logarithm of the rain, without what is below 0.1 mm/h: heavy cores do not outweigh all else."""
    return np.log(np.maximum(rain.astype(np.float64), _DRY) / _DRY)


@njit(cache=True)
def _add_scan(estimate: Floats, radar: Floats, out: Floats) -> None:
    """Covariance and variances over pairs of cells, for every shift; centred within the view, so that they add."""
    rows, columns = estimate.shape
    reach = out.shape[1] // 2
    for north in range(-reach, reach + 1):
        for east in range(-reach, reach + 1):
            n = 0.0
            s = r = ss = rr = sr = 0.0
            # Row 0 is north: an estimate that lies `north` cells too far north is met at row i - north.
            for i in range(max(0, -north), min(rows, rows - north)):
                for j in range(max(0, east), min(columns, columns + east)):
                    x = estimate[i, j]
                    y = radar[i + north, j - east]
                    if x == x and y == y:
                        n += 1.0
                        s += x
                        r += y
                        ss += x * x
                        rr += y * y
                        sr += x * y
            if n > 1.0:
                out[0, north + reach, east + reach] += sr - s * r / n
                out[1, north + reach, east + reach] += ss - s * s / n
                out[2, north + reach, east + reach] += rr - r * r / n
