"""Synthetic rain: its statistics lie inside those of real radar, and a seed is a promise."""

import itertools

import numpy as np
import pytest

from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid
from ondee.source import odim, odim_writer
from ondee.world.rain import REGIMES, rain

PLANE = Grid(LOCAL, 0, 0, 1000, 1000, 128, 128)
WET = ("frontal", "embedded", "convective")


def stamps(count: int) -> np.ndarray:
    return np.datetime64("2018-06-04T12:00", "ns") + np.arange(count) * np.timedelta64(5, "m")


def rates(count: int, *, seed: int, regime: str, grid: Grid = PLANE) -> tuple[np.ndarray, tuple[float, float]]:
    frames = list(rain(grid, stamps(count), seed=seed, regime=regime))
    wind = frames[0].attrs["wind_east"], frames[0].attrs["wind_north"]
    return np.stack([frame["rain_rate"].values[0] for frame in frames]), wind


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


def moved(field: np.ndarray, east: float, north: float) -> np.ndarray:
    """A periodic field moved by so many cells, by the phase of its Fourier coefficients."""
    ky, kx = (2 * np.pi * np.fft.fftfreq(size) for size in field.shape)
    phase = np.exp(-1j * (kx * east - ky[:, np.newaxis] * north))
    return np.fft.ifft2(np.fft.fft2(field) * phase).real


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    one, _ = rates(3, seed=7, regime="convective")
    two, _ = rates(3, seed=7, regime="convective")
    other, _ = rates(3, seed=8, regime="convective")
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("regime", REGIMES)
def test_a_frame_does_not_depend_on_how_many_are_asked_for(regime):
    many, _ = rates(9, seed=3, regime=regime)
    for few in (1, 4):
        assert rates(few, seed=3, regime=regime)[0].tobytes() == many[:few].tobytes()
    endless = rain(PLANE, stamps(10_000), seed=3, regime=regime)
    first = [frame["rain_rate"].values[0] for frame in itertools.islice(endless, 2)]
    assert np.stack(first).tobytes() == many[:2].tobytes()


@pytest.mark.parametrize("regime", REGIMES)
def test_dry_is_exactly_zero_and_nothing_is_missing(regime):
    values, _ = rates(3, seed=1, regime=regime)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert (values == 0).mean() > 0.2
    assert values[values > 0].min() >= 0.05 if (values > 0).any() else True
    assert values.max() < 250


# Ranges of the real events (wet share 0.02-0.97 of boxes, KNMI, FMI, MeteoSwiss, BOM, OPERA and MeteoNet):
# wet quantiles in mm/h; correlation after 5 and 15 min, at a fixed place and following the motion.
REAL = {"wet": (0.04, 0.67), "q50": (0.36, 1.6), "q90": (1.2, 6.8), "q99": (4.4, 23), "q999": (8.6, 54)}
REAL_CORRELATION = {"fixed 5": (0.50, 0.83), "following 5": (0.75, 0.95), "following 15": (0.59, 0.79)}


@pytest.mark.parametrize("regime", WET)
def test_statistics_lie_inside_those_of_real_events(regime):
    grid = Grid(LOCAL, 0, 0, 1000, 1000, 256, 256)
    parts, found = [], {name: [] for name in REAL_CORRELATION}
    for seed in (1, 2, 3):
        values, wind = rates(10, seed=seed, regime=regime, grid=grid)
        parts.append(values[::3])
        for start in (0, 3, 6):
            now = values[start]
            found["fixed 5"].append(correlation(now, values[start + 1]))
            for steps, name in ((1, "following 5"), (3, "following 15")):
                way = [speed * 0.3 * steps for speed in wind]
                found[name].append(correlation(moved(now, *way), values[start + steps]))
    sample = np.stack(parts)
    wet = sample[sample > 0.1]
    figures = dict(zip(("q50", "q90", "q99", "q999"), np.quantile(wet, [0.5, 0.9, 0.99, 0.999]), strict=True))
    figures["wet"] = (sample > 0.1).mean()
    for name, value in figures.items():
        low, high = REAL[name]
        assert low <= value <= high, (name, value)
    for name, values in found.items():
        low, high = REAL_CORRELATION[name]
        assert low <= np.mean(values) <= high, (name, np.mean(values))


def test_regimes_differ_as_their_names_say():
    share, peak = {}, {}
    for regime in REGIMES:
        values, _ = rates(2, seed=5, regime=regime, grid=Grid(LOCAL, 0, 0, 1000, 1000, 256, 256))
        share[regime], peak[regime] = (values > 0.1).mean(), np.quantile(values, 0.9995)
    assert share["dry"] < 0.02 < share["convective"] < share["frontal"]
    assert peak["dry"] < peak["frontal"] < peak["convective"]


@pytest.mark.parametrize("regime", WET)
def test_rain_moves_with_the_wind_that_is_told(regime):
    """The true displacement explains the next frame better than any other within 8 km."""
    values, wind = rates(2, seed=11, regime=regime)
    east, north = (speed * 0.3 for speed in wind)
    true = correlation(moved(values[0], east, north), values[1])
    for angle in np.arange(0, 2 * np.pi, np.pi / 4):
        for reach in (3.0, 8.0):
            way = east + reach * np.cos(angle), north + reach * np.sin(angle)
            assert correlation(moved(values[0], *way), values[1]) < true


def test_power_falls_with_wave_number_as_in_radar():
    """Slope of the radially averaged spectrum of rain, 4-64 km: real events 1.8-3.0."""
    values, _ = rates(1, seed=2, regime="frontal", grid=Grid(LOCAL, 0, 0, 1000, 1000, 256, 256))
    power = np.abs(np.fft.fft2(values[0] - values[0].mean())) ** 2
    number = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    edges = np.geomspace(1 / 64, 1 / 4, 9)
    mean = [power[(number >= low) & (number < high)].mean() for low, high in itertools.pairwise(edges)]
    slope = -np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(mean), 1)[0]
    assert 1.8 <= slope <= 3.0


def test_small_patterns_live_shorter_than_large_ones():
    values, wind = rates(4, seed=4, regime="frontal", grid=Grid(LOCAL, 0, 0, 1000, 1000, 256, 256))
    before, after = moved(values[0], *(0.9 * speed for speed in wind)), values[3]
    number = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))

    def coherence(low: float, high: float) -> float:
        ring = (number >= low) & (number < high)
        one, two = np.fft.fft2(before)[ring], np.fft.fft2(after)[ring]
        return float(np.real(np.vdot(one, two)) / np.sqrt(np.vdot(one, one).real * np.vdot(two, two).real))

    assert coherence(1 / 128, 1 / 32) > coherence(1 / 32, 1 / 12) > coherence(1 / 12, 1 / 4)


def test_a_frame_can_be_written_and_read_as_radar(tmp_path):
    projection = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +ellps=WGS84"
    grid = Grid(projection, 1_000_000, -2_400_000, 1000, 1000, 64, 64)
    for frame in rain(grid, stamps(2), seed=1, regime="frontal"):
        name = odim_writer.file_name(frame["time"].values[0], "ODYSSEY")
        path = odim_writer.write(tmp_path / name, frame, comment="synthetic")
        again = odim.FORMAT.read((path,))
        np.testing.assert_array_equal(again["rain_rate"].values, frame["rain_rate"].values)
        assert (again["time_bounds"].values == frame["time_bounds"].values).all()
        assert Grid.of(again).same_as(grid)


def test_what_cannot_be_made_is_refused_at_once():
    with pytest.raises(ConfigError, match="regime"):
        rain(PLANE, stamps(2), seed=1, regime="monsoon")
    with pytest.raises(ConfigError, match="evenly"):
        rain(PLANE, stamps(4)[[0, 1, 3]], seed=1)
    with pytest.raises(ConfigError, match="evenly"):
        rain(PLANE, stamps(2)[::-1], seed=1)
    with pytest.raises(ConfigError, match="seed"):
        rain(PLANE, stamps(2), seed=-1)
    for grid in (
        Grid(LOCAL, 0, 0, 1000, 1000, 128, 64),
        Grid(LOCAL, 0, 0, 1000, 500, 64, 64),
        Grid(LATITUDE_LONGITUDE, 0, 50, 0.1, 0.1, 64, 64),
        Grid(LOCAL, 0, 0, 1000, 1000, 63, 63),
    ):
        with pytest.raises(ConfigError, match="square"):
            rain(grid, stamps(2), seed=1)
