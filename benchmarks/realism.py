"""How like real rain the synthetic rain is: both measured in the same boxes, with the same code.

``python -m benchmarks.realism`` measures radar events and the regimes of :mod:`ondee.world.rain`, and writes
``benchmarks/REALISM.md`` and the figure of ``docs/realism.md``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import xarray as xr
from numpy.typing import NDArray

import ondee
from benchmarks.realism_page import page
from ondee.errors import ReadError
from ondee.grid import LOCAL, Grid
from ondee.plot.realism import draw_realism
from ondee.score import finish, spectrum
from ondee.world.rain import REGIMES, rain

__all__ = ["Event", "main", "measure", "real_events", "synthetic_event"]

Frames = NDArray[np.float32]

ROOT = Path(__file__).resolve().parents[1]
SIDE = 128.0
"""Side of a box, km."""
EVERY = 15.0
"""Minutes from one measured frame to the next."""
WET = 0.1
"""Rain rate above which a pixel is wet, mm h-1."""
LAGS = (5, 10, 15, 30, 60)
PROBABILITIES = (0.5, 0.9, 0.99, 0.999)
RATES = np.geomspace(0.1, 200.0, 67)
SEEDS = range(61_000, 61_024)
"""Worlds of each regime; the regimes' numbers were chosen on others."""
_COVERED, _WETTEST_DRY = 0.95, 0.02
_FASTEST = 1.8
"""Fastest motion that is looked for, km per minute (30 m/s)."""


@dataclass(frozen=True)
class Event:
    """A sequence of frames on square pixels.

    Parameters
    ----------
    name
        As the table prints it.
    real
        Whether a radar saw it.
    frames
        Rain rate ``(time, y, x)`` in mm h-1, NaN where not observed.
    minutes
        Time of each frame.
    pixel
        Side of a pixel, km.
    periodic
        Whether what leaves the plane comes in opposite.
    """

    name: str
    real: bool
    frames: Frames
    minutes: NDArray[np.float64]
    pixel: float
    periodic: bool = False


# ---- events


def real_events(folder: Path) -> Iterator[Event]:
    """Radar events below a folder, each that is there.

    Raises
    ------
    ReadError
        If none is there.
    """
    names = {
        "KNMI 2010": ("rain_sequences", "knmi_20100826.nc"),
        "FMI 2016": ("rain_sequences", "fmi_20160928.nc"),
        "MeteoSwiss 2015": ("rain_sequences", "mch_20150515.nc"),
        "MeteoSwiss 2016": ("rain_sequences", "mch_20160711.nc"),
        "BOM 2018": ("rain_sequences", "bom_20180616.nc"),
        "OPERA 2018": ("opera", "T_PAAH21*"),
        "MeteoNet 2016": ("meteonet", "*.npz"),
    }
    found = 0
    for name, (below, pattern) in names.items():
        paths = sorted((folder / below).glob(pattern))
        if not paths:
            print(f"skipped {name}: no {folder / below / pattern}", file=sys.stderr)
            continue
        found += 1
        yield _event(name, ondee.open(*paths))
    if not found:
        raise ReadError("there is no radar event", where=folder, fix="give the folder that holds them with --data")


def _event(name: str, dataset: xr.Dataset) -> Event:
    """Event of a Dataset; pixels in degrees are sampled to 1 km, each the nearest."""
    grid = Grid.of(dataset, where=name)
    frames, pixel = dataset["rain_rate"].values, grid.dx / 1000
    if grid.is_geographic:
        degree, pixel = 111.195, 1.0
        rows = np.arange(int(grid.ny * grid.dy * degree)) / (grid.dy * degree)
        columns = np.arange(int(grid.nx * grid.dx * degree * np.cos(np.radians(grid.y.mean()))))
        columns = columns / (grid.dx * degree * np.cos(np.radians(grid.y.mean())))
        frames = frames[:, rows.astype(int)[:, np.newaxis], columns.astype(int)]
    times = dataset["time"].values
    minutes: NDArray[np.float64] = ((times - times[0]) / np.timedelta64(1, "m")).astype(np.float64)
    return Event(name, True, frames, minutes, pixel)


def synthetic_event(regime: str, seed: int, *, hours: int = 3, size: int = 256) -> Event:
    """Rain of one world, every five minutes on a plane of 1 km."""
    grid = Grid(LOCAL, 0, 0, 1000, 1000, size, size)
    times = np.datetime64("2018-06-04T12:00", "ns") + np.arange(12 * hours + 1) * np.timedelta64(5, "m")
    frames = np.concatenate([frame["rain_rate"].values for frame in rain(grid, times, seed=seed, regime=regime)])
    return Event(regime, False, frames, np.linspace(0, 60.0 * hours, 12 * hours + 1), 1.0, periodic=True)


# ---- boxes


def boxes(event: Event, side: float = SIDE) -> Iterator[tuple[int, int, int]]:
    """Frame, row and column of the boxes that are observed and wet enough, one frame every 15 min."""
    size, step = round(side / event.pixel), float(np.diff(event.minutes).min())
    every = max(1, round(EVERY / step)) * step
    for index in np.flatnonzero(event.minutes % every == 0):
        for row in range(0, event.frames.shape[1] - size + 1, size):
            for column in range(0, event.frames.shape[2] - size + 1, size):
                box = event.frames[index, row : row + size, column : column + size]
                seen = np.isfinite(box)
                if seen.mean() >= _COVERED and (box[seen] > WET).mean() >= _WETTEST_DRY:
                    yield int(index), row, column


def _read(event: Event, index: int, row: int, column: int, size: int) -> Frames:
    """A square of a frame, NaN outside the frame unless the plane is periodic."""
    frame = event.frames[index]
    rows, columns = np.arange(row, row + size), np.arange(column, column + size)
    if event.periodic:
        turned: Frames = frame[np.ix_(rows % frame.shape[0], columns % frame.shape[1])]
        return turned
    box = np.full((size, size), np.nan, np.float32)
    inside = (rows >= 0) & (rows < frame.shape[0]), (columns >= 0) & (columns < frame.shape[1])
    box[np.ix_(*inside)] = frame[np.ix_(rows[inside[0]], columns[inside[1]])]
    return box


# ---- motion and memory


def correlation(one: Frames, two: Frames) -> float:
    """Pearson correlation of two squares, NaN where less than four fifths are seen in both or one is constant."""
    both = np.isfinite(one) & np.isfinite(two)
    if both.mean() < 0.8:
        return float("nan")
    a, b = one[both].astype(float), two[both].astype(float)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def _displacement(box: Frames, wide: Frames) -> tuple[int, int]:
    """Rows and columns by which a box lies most alike in a wider square around it, from the latter's middle."""
    reach = (wide.shape[0] - box.shape[0]) // 2
    shape = [scipy.fft.next_fast_len(wide.shape[0], real=True)] * 2
    template, field = np.nan_to_num(box - np.nanmean(box)), np.nan_to_num(wide)
    product = np.conj(scipy.fft.rfft2(template, s=shape)) * scipy.fft.rfft2(field, s=shape)
    together = scipy.fft.irfft2(product, s=shape)[: 2 * reach + 1, : 2 * reach + 1]
    sums = [np.pad(part.astype(float).cumsum(0).cumsum(1), ((1, 0), (1, 0))) for part in (field, field * field)]
    size = box.shape[0]
    mean, square = ((s[size:, size:] - s[:-size, size:] - s[size:, :-size] + s[:-size, :-size]) / size**2 for s in sums)
    spread = np.sqrt(np.maximum(square - mean**2, 1e-6 * square.max() + 1e-12))
    best = np.unravel_index(int(np.argmax(together / spread)), spread.shape)
    return int(best[0]) - reach, int(best[1]) - reach


def memory(event: Event, index: int, row: int, column: int) -> tuple[NDArray[np.float64], float]:
    """Correlation of a box with itself later, ``(fixed | following, lag)``, and its speed in m s-1.

    The displacement that makes the correlation largest is looked for around that of the lag before, in proportion;
    for the first lag within 30 m/s.
    """
    size = round(SIDE / event.pixel)
    now = _read(event, index, row, column, size)
    found, speed = np.full((2, len(LAGS)), np.nan), np.nan
    before: tuple[float, float, float] | None = None
    for place, lag in enumerate(LAGS):
        later = int(np.argmin(abs(event.minutes - event.minutes[index] - lag)))
        minutes = float(event.minutes[later] - event.minutes[index])
        if minutes <= 0 or abs(minutes - lag) > 2:
            continue
        found[0, place] = correlation(now, _read(event, later, row, column, size))
        down, right, reach = 0.0, 0.0, _FASTEST * minutes
        if before is not None:
            down, right = (step * minutes / before[2] for step in before[:2])
            reach = 2 * event.pixel + 0.3 * (minutes - before[2]) * 0.6
        reach, down, right = int(np.ceil(reach / event.pixel)), round(down), round(right)
        wide = _read(event, later, row + down - reach, column + right - reach, size + 2 * reach)
        step = _displacement(now, wide)
        down, right = down + step[0], right + step[1]
        found[1, place] = correlation(now, _read(event, later, row + down, column + right, size))
        before = float(down), float(right), minutes
        if lag <= 15:
            speed = float(np.hypot(down, right)) * event.pixel * 1000 / 60 / minutes
    return found, speed


# ---- shape


def anisotropy(box: Frames) -> float:
    """Difference over sum of the axes of the power-weighted wave vectors' directions, 4 to 64 km: 0 to 1."""
    size = box.shape[0]
    taper = np.outer(np.hanning(size), np.hanning(size))
    power = np.abs(scipy.fft.fft2((box - box.mean()) * taper)) ** 2
    ky, kx = np.meshgrid(*[scipy.fft.fftfreq(size, SIDE / size)] * 2, indexing="ij")
    wave = np.hypot(kx, ky)
    ring = (wave >= 1 / 64) & (wave <= 1 / 4)
    angle = 2 * np.arctan2(ky[ring], kx[ring])
    return float(np.abs((power[ring] * np.exp(1j * angle)).sum()) / power[ring].sum())


def power(
    event: Event, places: Sequence[tuple[int, int, int]], side: float
) -> tuple[xr.DataArray, NDArray[np.float64]]:
    """Mean spectral power ``(transform, wavelength)`` of boxes and the slopes from 4 km to half the side."""
    size = round(side / event.pixel)
    grid = Grid(LOCAL, 0, 0, event.pixel * 1000, event.pixel * 1000, size, size)
    stack = np.stack([np.nan_to_num(_read(event, *place, size)) for place in places])
    field = xr.DataArray(stack, dims=("time", "y", "x"), coords=grid.coordinates(), attrs={"units": "mm h-1"})
    found = finish(spectrum(field, field, window=size)).spectral_power.sel(field="truth")
    wavelength = np.sort(found["wavelength"].values.astype(float))[::-1]
    at = np.geomspace(max(4.0, 2 * event.pixel), side / 2, 17)
    known = np.log(wavelength[::-1])  # ascending
    slopes = [
        np.polyfit(np.log(at), np.interp(np.log(at), known, np.log(one[::-1])), 1)[0]
        for one in found.sortby("wavelength", ascending=False).transpose("transform", "wavelength").values
    ]
    return found, np.array(slopes)


# ---- one event


def measure(name: str, events: Sequence[Event]) -> xr.Dataset:
    """All figures of an event, or of several worlds of one regime, as a Dataset without the dimension ``event``."""
    places = [(event, place) for event in events for place in boxes(event)]
    if not places:
        return xr.Dataset({"box_frames": 0, "real": events[0].real}).expand_dims(event=[name])
    size = round(SIDE / events[0].pixel)
    stack = np.stack([_read(event, *place, size) for event, place in places])
    seen = np.isfinite(stack)
    wet = (stack > WET).sum((1, 2)) / seen.sum((1, 2))
    rates = stack[stack > WET]
    memories = [memory(event, *place) for event, place in places]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a lag that an event does not have stays NaN
        correlations = np.nanmean([one[0] for one in memories], axis=0)
    spectra: list[tuple[int, xr.DataArray]] = []
    slopes: list[tuple[int, NDArray[np.float64]]] = []
    wide: list[tuple[int, NDArray[np.float64]]] = []
    for event in events:
        for side, kept in ((SIDE, slopes), (2 * SIDE, wide)):
            own = list(boxes(event, side)) if round(side / event.pixel) <= min(event.frames.shape[1:]) else []
            if own:
                shape = power(event, own, side)
                kept.append((len(own), shape[1]))
                if side == SIDE:
                    spectra.append((len(own), shape[0]))
    total = sum(count for count, _ in spectra)
    return (
        xr.Dataset(
            {
                "real": events[0].real,
                "box_frames": len(places),
                "boxes": len({(id(event), *place[1:]) for event, place in places}),
                "wet_fraction": float(wet.mean()),
                "wet_fraction_low": float(np.quantile(wet, 0.1)),
                "wet_fraction_high": float(np.quantile(wet, 0.9)),
                "wet_mean": float(rates.mean(dtype=float)),
                "quantile": ("probability", np.quantile(rates, PROBABILITIES)),
                "exceedance": ("rate", [(rates > rate).mean() for rate in RATES]),
                "correlation": (("frame", "lag"), correlations),
                "speed": float(np.nanmean([one[1] for one in memories])),
                "anisotropy": float(np.mean([anisotropy(np.nan_to_num(box)) for box in stack])),
                "spectral_slope": ("transform", _mean(slopes)),
                "wide_spectral_slope": ("transform", _mean(wide)),
                "spectral_power": sum(count / total * one for count, one in spectra),
            },
            coords={
                "probability": list(PROBABILITIES),
                "rate": ("rate", RATES, {"units": "mm h-1"}),
                "frame": ["fixed", "following"],
                "lag": ("lag", list(LAGS), {"units": "min"}),
            },
        )
        .drop_vars("field")
        .expand_dims(event=[name])
    )


def _mean(counted: Sequence[tuple[int, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Mean of the slopes of worlds, each by its number of boxes."""
    if not counted:
        return np.full(2, np.nan)
    return np.average([one for _, one in counted], axis=0, weights=[count for count, _ in counted])


def main() -> int:
    """Measure, draw and write; 0 if every synthetic figure lies in the real range or is explained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of radar events")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("REALISM.md"))
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "images" / "realism.png")
    arguments = parser.parse_args()
    try:
        measured = []
        for event in real_events(arguments.data):
            print(f"measuring {event.name} …", file=sys.stderr)
            measured.append(measure(event.name, [event]))
    except ReadError as error:
        print(error, file=sys.stderr)
        return 1
    for regime in REGIMES:
        print(f"measuring {regime} …", file=sys.stderr)
        measured.append(measure(regime, [synthetic_event(regime, seed) for seed in SEEDS]))
    table = xr.concat(measured, "event", join="outer", data_vars="all")
    text, unexplained = page(table, len(SEEDS))
    arguments.out.write_text(text, encoding="utf-8")
    draw_realism(table, arguments.figure, force=True)
    print(text)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
