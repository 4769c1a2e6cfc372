"""Sums over moving windows by a summed-area table, of which only the rows that a window reaches are held.

A table has a row and a column of zeros before its first pixel, so that the sum over any rectangle is the difference of
four entries (Crow 1984, Summed-area tables for texture mapping, SIGGRAPH 18, 207). It is continued by `margin` columns
on both sides: no window is clipped in x, and the inner loops are free of branches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["fraction_sums", "neighbour_sums"]


@njit(cache=True)
def fraction_sums(
    estimate: Any,
    truth: Any,
    estimate_levels: Any,
    truth_levels: Any,
    weight: Any,
    scales: Any,
    least: Any,
    dry: bool,
) -> Any:
    """Sums of squares of the event fractions in windows around each observed pixel.

    Parameters
    ----------
    estimate, truth
        ``(y, x)``, NaN where missing, and missing in both where missing in either.
    estimate_levels, truth_levels
        Thresholds in the precision of each field, ``(threshold,)``.
    weight
        ``(y, x)`` float64, or of size 0 where every pixel weighs 1.
    scales
        Odd widths of the windows in pixels, ascending, ``(scale,)``.
    least
        Fewest observed pixels of a window that counts, ``(scale,)``.
    dry
        Whether pixels beyond the edge count as observed and dry.

    Returns
    -------
    numpy.ndarray
        ``(3, threshold, scale)``: squared difference, square of the estimate, square of the truth.
    """
    height, width = truth.shape
    thresholds = truth_levels.size
    margin = scales[-1] // 2
    estimates, truths, observed = _tables(thresholds, margin, width)
    in_estimate, in_truth = np.empty(width, np.int32), np.empty(width, np.int32)
    seen, centre, share = np.empty(width, np.int32), np.empty(width), np.empty(width)
    sums = np.zeros((3, thresholds, scales.size))
    for line in range(height + margin):
        if line < height:
            _extend(observed[0], line, truth[line], -np.inf, margin)
            for k in range(thresholds):
                _extend(estimates[k], line, estimate[line], estimate_levels[k], margin)
                _extend(truths[k], line, truth[line], truth_levels[k], margin)
        y = line - margin
        if y < 0:
            continue
        for s in range(scales.size):
            reach = scales[s] // 2
            top, bottom = max(y - reach, 0), min(y + reach + 1, height)
            _window(observed[0], top, bottom, margin, reach, seen)
            if dry:
                _add_outside(seen, scales[s], bottom - top)
            _centres(truth[y], weight[y] if weight.size else centre[:0], seen, least[s], centre)
            for x in range(width):
                share[x] = centre[x] / (np.float64(seen[x]) * seen[x]) if centre[x] > 0.0 else 0.0
            for k in range(thresholds):
                _window(estimates[k], top, bottom, margin, reach, in_estimate)
                _window(truths[k], top, bottom, margin, reach, in_truth)
                difference, first, second = _squares(in_estimate, in_truth, share)
                sums[0, k, s] += difference
                sums[1, k, s] += first
                sums[2, k, s] += second
    return sums


@njit(cache=True)
def neighbour_sums(
    estimate: Any, truth: Any, estimate_levels: Any, truth_levels: Any, weight: Any, scales: Any, least: Any
) -> Any:
    """Events of one field at the centre of a window that holds an event of the other field, and all events.

    Parameters
    ----------
    estimate, truth, estimate_levels, truth_levels, weight, scales, least
        As in :func:`fraction_sums`.

    Returns
    -------
    numpy.ndarray
        ``(4, threshold, scale)``: true events with an estimated one near, true events, estimated events with a true
        one near, estimated events.
    """
    height, width = truth.shape
    thresholds = truth_levels.size
    margin = scales[-1] // 2
    estimates, truths, observed = _tables(thresholds, margin, width)
    in_estimate, in_truth = np.empty(width, np.int32), np.empty(width, np.int32)
    seen, centre = np.empty(width, np.int32), np.empty(width)
    sums = np.zeros((4, thresholds, scales.size))
    for line in range(height + margin):
        if line < height:
            _extend(observed[0], line, truth[line], -np.inf, margin)
            for k in range(thresholds):
                _extend(estimates[k], line, estimate[line], estimate_levels[k], margin)
                _extend(truths[k], line, truth[line], truth_levels[k], margin)
        y = line - margin
        if y < 0:
            continue
        for s in range(scales.size):
            reach = scales[s] // 2
            top, bottom = max(y - reach, 0), min(y + reach + 1, height)
            _window(observed[0], top, bottom, margin, reach, seen)
            _centres(truth[y], weight[y] if weight.size else centre[:0], seen, least[s], centre)
            for k in range(thresholds):
                _window(estimates[k], top, bottom, margin, reach, in_estimate)
                _window(truths[k], top, bottom, margin, reach, in_truth)
                near, events = _matched(truth[y], truth_levels[k], in_estimate, centre)
                sums[0, k, s] += near
                sums[1, k, s] += events
                near, events = _matched(estimate[y], estimate_levels[k], in_truth, centre)
                sums[2, k, s] += near
                sums[3, k, s] += events
    return sums


# ---- the table


@njit(cache=True)
def _tables(thresholds: int, margin: int, width: int) -> Any:
    """Empty tables: of the estimate's events, of the truth's, and of observed pixels."""
    depth, columns = 2 * margin + 2, width + 2 * margin + 1
    return (
        np.zeros((thresholds, depth, columns), np.int32),
        np.zeros((thresholds, depth, columns), np.int32),
        np.zeros((1, depth, columns), np.int32),
    )


@njit(cache=True)
def _extend(table: Any, line: int, values: Any, level: float, margin: int) -> None:
    """Enter the events of a line: row ``line + 1`` of the table, in the place of one that no window reaches now."""
    depth = table.shape[0]
    above, here = table[line % depth], table[(line + 1) % depth]
    before = margin + 1
    total = np.int32(0)
    for x in range(values.size):
        total += np.int32(values[x] >= level)
        here[before + x] = np.int32(above[before + x] + total)
    here[:before] = 0
    here[before + values.size :] = here[margin + values.size]


@njit(cache=True)
def _window(table: Any, top: int, bottom: int, margin: int, reach: int, count: Any) -> None:
    """Counts in the windows of lines `top` to `bottom` (not included) around each pixel of a line."""
    depth = table.shape[0]
    left, right = margin - reach, margin + reach + 1
    width = count.size
    lower_left, lower_right = table[bottom % depth][left : left + width], table[bottom % depth][right : right + width]
    upper_left, upper_right = table[top % depth][left : left + width], table[top % depth][right : right + width]
    for x in range(width):
        count[x] = np.int32(lower_right[x] - lower_left[x] - upper_right[x] + upper_left[x])


@njit(cache=True)
def _add_outside(seen: Any, scale: int, lines: int) -> None:
    """Count the pixels of each window that lie beyond the edge as observed."""
    reach = scale // 2
    for x in range(seen.size):
        columns = min(x + reach + 1, seen.size) - max(x - reach, 0)
        seen[x] += np.int32(scale * scale - lines * columns)


@njit(cache=True)
def _centres(values: Any, weight: Any, seen: Any, least: int, centre: Any) -> None:
    """Weight of each window by its centre; 0 where the centre or too much of the window is not observed."""
    for x in range(values.size):
        if np.isnan(values[x]) or seen[x] < least:
            centre[x] = 0.0
        else:
            centre[x] = weight[x] if weight.size else 1.0


# ---- sums over a line


@njit(cache=True, fastmath={"reassoc", "contract"})
def _squares(first: Any, second: Any, share: Any) -> Any:
    """Weighted squares of the difference and of both. The order of summing is left to the compiler, for speed."""
    difference = 0.0
    of_first = 0.0
    of_second = 0.0
    for x in range(share.size):
        one, other = np.float64(first[x]), np.float64(second[x])
        difference += share[x] * ((one - other) * (one - other))
        of_first += share[x] * (one * one)
        of_second += share[x] * (other * other)
    return difference, of_first, of_second


@njit(cache=True, fastmath={"reassoc", "contract"})
def _matched(values: Any, level: float, others: Any, centre: Any) -> Any:
    """Weight of the events that have others near, and of all events."""
    near = 0.0
    events = 0.0
    for x in range(values.size):
        event = centre[x] if values[x] >= level else 0.0
        events += event
        near += event if others[x] > 0 else 0.0
    return near, events
