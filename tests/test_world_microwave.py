"""Microwave sensors: each planted fault has its stated effect and no other; draws are keyed; rain is kept."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from ondee.errors import ConfigError, GridError
from ondee.grid import LOCAL, Grid
from ondee.world.constellation import SATELLITES, Pass
from ondee.world.faults import Bias, Blur, Clock, Dropout, FalseRain, Planted, Shift, planted
from ondee.world.microwave import INSTRUMENTS, Instrument, observe, rain_needed, rough, seen
from ondee.world.rain import State, states

PLANE = Grid("+proj=laea +lat_0=47 +lon_0=2.5 +ellps=WGS84", -128e3, 128e3, 1000, 1000, 256, 256)
CELLS = Grid.lattice((1.3, 46.1, 3.7, 47.9))
START = np.datetime64("2018-06-04T12:00")
FIVE = np.timedelta64(5, "m")
PERFECT = Instrument("MHS", 7, 22.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0)
NOISY = replace(PERFECT, threshold=0.25, noise=0.4, false_alarms=0.02, jitter=0.3, gain_spread=0.3, missed=0.2)


def changing() -> list[State]:
    """Showers that move and change, made here, so that no test hangs on the climate of the world's own rain."""
    generator = np.random.default_rng(3)
    one, two = (gaussian_filter(generator.standard_normal(PLANE.shape), 7, mode="wrap") for _ in range(2))
    made = []
    for number in range(-3, 8):
        gaussian = (np.cos(0.1 * number) * one + np.sin(0.1 * number) * two) / one.std()
        rate = np.maximum(3 * (np.exp(0.9 * gaussian) - 2.2), 0).astype(np.float32)
        rate = np.roll(rate, (-number, 3 * number), axis=(0, 1))
        made.append(still(rate, number, (10.0, 10.0 / 3)))
    return made


def still(rate: np.ndarray, number: int, wind: tuple[float, float] = (0.0, 0.0)) -> State:
    stamp = START.astype("datetime64[ns]") + number * FIVE
    return State(stamp, rate, rate, rate, np.zeros(0), wind, "embedded", 0)


_RAIN = changing()


@pytest.fixture(scope="module")
def rain() -> list[State]:
    return _RAIN


def overpass(minute: float = 12.0, *, start: np.datetime64 = START, satellite: str = "MetOp-B", cells=CELLS) -> Pass:
    return Pass("MHS", 7, satellite, start, np.full(cells.shape, minute, np.float32))


def report(rain, *faults, instrument=PERFECT, minute=12.0, seed=1, **keys) -> np.ndarray:
    return observe(instrument, overpass(minute, **keys), rain, PLANE, CELLS, seed=seed, faults=faults)


# ---- faults


@pytest.mark.parametrize("instrument", [PERFECT, replace(NOISY, threshold=0.0)])
def test_a_bias_multiplies_what_is_reported_and_touches_no_draw(rain, instrument):
    clean, biased = (
        report(rain, instrument=instrument),
        report(rain, Bias(sensor="MHS", factor=1.5), instrument=instrument),
    )
    np.testing.assert_allclose(biased, 1.5 * clean, rtol=1e-6)
    assert clean.max() > 2


def test_a_bias_acts_before_the_threshold(rain):
    instrument = replace(PERFECT, threshold=0.5)
    truth = report(rain)
    biased = report(rain, Bias(sensor="MHS", factor=1.5), instrument=instrument)
    between = (truth > 0.5 / 1.5 + 1e-6) & (truth < 0.5)
    assert between.sum() > 10
    np.testing.assert_allclose(biased[between], 1.5 * truth[between], rtol=1e-6)
    assert (report(rain, instrument=instrument)[between] == 0).all()


@pytest.mark.parametrize(("east", "north"), [(1, 0), (0, 1), (-2, 1)])
def test_a_shift_of_whole_cells_moves_the_field(rain, east, north):
    clean, moved = report(rain), report(rain, Shift(sensor="MHS", east=east, north=north))
    expected = np.roll(clean, (-north, east), axis=(0, 1))[3:-3, 3:-3]
    np.testing.assert_allclose(moved[3:-3, 3:-3], expected, atol=1e-4)
    assert np.abs(moved - clean).max() > 0.3


def test_half_a_cell_lies_between(rain):
    clean, half, whole = (report(rain, Shift(sensor="MHS", east=east)) for east in (0.0, 0.5, 1.0))
    assert np.abs(half - (clean + whole) / 2).mean() < 0.2 * np.abs(whole - clean).mean()


@pytest.mark.parametrize("minutes", [10.0, -5.0])
def test_a_late_clock_reports_the_rain_of_an_earlier_minute(rain, minutes):
    late = report(rain, Clock(sensor="MHS", minutes=minutes), minute=18)
    np.testing.assert_allclose(late, report(rain, minute=18 - minutes), atol=1e-5)
    assert np.abs(late - report(rain, minute=18)).max() > 0.3


def test_a_late_clock_may_reach_into_the_half_hour_before(rain):
    first, last = rain_needed(overpass(2.0), [Clock(sensor="MHS", minutes=10)])
    assert first == last == START - np.timedelta64(8, "m")
    before = START - np.timedelta64(30, "m")
    late = report(rain, Clock(sensor="MHS", minutes=10), minute=2)
    np.testing.assert_allclose(late, report(rain, minute=22, start=before), atol=1e-5)


def test_a_blur_widens_the_footprint_as_gaussians_do(rain):
    blurred = report(rain, Blur(sensor="MHS", km=24), instrument=replace(PERFECT, footprint=18.0))
    np.testing.assert_allclose(blurred, report(rain, instrument=replace(PERFECT, footprint=30.0)), atol=1e-5)
    assert blurred.var() < report(rain).var()


def test_dropout_takes_its_share_of_wet_cells_and_leaves_the_rest(rain):
    clean, dropped = report(rain, instrument=NOISY), report(rain, Dropout(sensor="MHS", fraction=0.3), instrument=NOISY)
    gone = (clean > 0) & (dropped == 0)
    np.testing.assert_array_equal(dropped[~gone], clean[~gone])
    assert gone.sum() / (clean > 0).sum() == pytest.approx(0.3, abs=0.08)


def test_false_rain_falls_on_its_share_of_dry_cells_in_its_regime_only(rain):
    clean = report(rain)
    wrong = report(rain, FalseRain(regime="embedded", fraction=0.25, rate=2.0))
    changed = wrong != clean
    assert (clean[changed] < 0.1).all()
    assert (wrong[changed] == 2.0).all()
    assert changed.sum() / (clean < 0.1).sum() == pytest.approx(0.25, abs=0.1)
    np.testing.assert_array_equal(report(rain, FalseRain(regime="frontal", fraction=0.25)), clean)
    deaf = replace(PERFECT, threshold=2.5)
    silent = report(rain, FalseRain(regime="embedded", fraction=0.25, rate=2.0), instrument=deaf)
    np.testing.assert_array_equal(silent, report(rain, instrument=deaf))


def test_a_fault_of_another_sensor_changes_nothing(rain):
    others = [
        Bias(sensor="GMI", factor=2),
        Shift(sensor="ATMS", east=2),
        Clock(sensor="SSMIS", minutes=20),
        Blur(sensor="AMSR2", km=50),
        Dropout(sensor="GMI", fraction=1.0),
    ]
    np.testing.assert_array_equal(report(rain, *others, instrument=NOISY), report(rain, instrument=NOISY))


@settings(max_examples=8, deadline=None)
@given(one=st.floats(0.5, 2), two=st.floats(0.5, 2), east=st.floats(-1, 1))
def test_faults_of_one_kind_add_up(one, two, east):
    rain = _RAIN
    both = report(rain, Bias(sensor="MHS", factor=one), Bias(sensor="MHS", factor=two), Shift(sensor="MHS", east=east))
    once = report(rain, Bias(sensor="MHS", factor=one * two), *(Shift(sensor="MHS", east=east / 2) for _ in range(2)))
    np.testing.assert_allclose(both, once, rtol=1e-4, atol=1e-4)


# ---- the sensor


def test_nothing_lies_between_dry_and_the_threshold_and_nothing_outside_the_swath(rain):
    cut = overpass()
    cut.minute[:, :7] = np.nan
    found = observe(rough(INSTRUMENTS["MHS"]), cut, rain, PLANE, CELLS, seed=3)
    assert found.dtype == np.float32
    assert np.isnan(found[:, :7]).all()
    rest = found[:, 7:]
    assert np.isfinite(rest).all()
    assert rest[rest > 0].min() >= 0.25
    assert (rest == 0).any()


def test_draws_belong_to_the_seed_the_satellite_and_the_half_hour(rain):
    base = report(rain, instrument=NOISY)
    assert base.tobytes() == report(rain, instrument=NOISY).tobytes()
    later = [replace_time(state, np.timedelta64(30, "m")) for state in rain]
    for other in (
        report(rain, instrument=NOISY, seed=2),
        report(rain, instrument=NOISY, satellite="MetOp-C"),
        report(later, instrument=NOISY, start=START + np.timedelta64(30, "m")),
    ):
        assert (other != base).mean() > 0.2
    assert len({zlib.crc32(satellite.name.encode()) for satellite in SATELLITES}) == len(SATELLITES)


def replace_time(state: State, by: np.timedelta64) -> State:
    return replace(state, time=state.time + by)


def test_what_a_cell_reports_does_not_depend_on_the_swath(rain):
    whole = report(rain, instrument=NOISY)
    cut = overpass()
    cut.minute[5:9] = np.nan
    part = observe(NOISY, cut, rain, PLANE, CELLS, seed=1)
    known = np.isfinite(part)
    np.testing.assert_array_equal(part[known], whole[known])


def test_the_footprint_keeps_the_rain():
    plane = Grid(LOCAL, 0, 0, 1000, 1000, 200, 200)
    cells = Grid(LOCAL, 0, 0, 10_000, 10_000, 20, 20)
    rain = list(states(plane, START.astype("datetime64[ns]") + np.arange(1, 4) * FIVE, seed=2, regime="embedded"))
    found = seen(PERFECT, overpass(7.5, cells=cells), rain, plane, cells, seed=1)
    assert found.mean() == pytest.approx(rain[1].rate.mean(), rel=1e-4)
    found = seen(PERFECT, overpass(5.0, cells=cells), rain, plane, cells, seed=1)
    assert found.mean() == pytest.approx((rain[0].rate.mean() + rain[1].rate.mean()) / 2, rel=1e-4)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_exponents_keep_the_volume(name):
    instrument = replace(INSTRUMENTS[name], threshold=0.0, noise=0.0, false_alarms=0.0)
    reported, true = 0.0, 0.0
    for regime in ("frontal", "embedded", "convective"):
        for seed in (1, 2, 3, 4):
            stamps = START.astype("datetime64[ns]") + np.arange(1, 3) * FIVE
            rain = list(states(PLANE, stamps, seed=seed, regime=regime))
            reported += observe(instrument, overpass(2.5), rain, PLANE, CELLS, seed=1).sum()
            true += seen(instrument, overpass(2.5), rain, PLANE, CELLS, seed=1).sum()
    assert reported / true == pytest.approx(1, abs=0.05)
    assert 0.94 <= instrument.exponent <= 1


def test_noise_and_gain_keep_the_mean_and_have_their_spread(rain):
    truth = report(rain)
    wet = truth > 0.5
    spread = replace(PERFECT, noise=0.4, gain_spread=0.3)
    logarithms = [
        np.log(observe(spread, overpass(), rain, PLANE, CELLS, seed=seed)[wet] / truth[wet]) for seed in range(60)
    ]
    gains = np.array([part.mean() for part in logarithms])
    assert gains.std() == pytest.approx(0.3, rel=0.3)
    assert np.mean([part.std() for part in logarithms]) == pytest.approx(0.4, rel=0.1)
    for kind, seeds in ((replace(PERFECT, noise=0.4), 60), (replace(PERFECT, gain_spread=0.3), 1500)):
        ratios = [observe(kind, overpass(), rain[5:7], PLANE, CELLS, seed=seed)[wet].sum() for seed in range(seeds)]
        assert np.mean(ratios) / truth[wet].sum() == pytest.approx(1, abs=0.03)


def test_a_rough_sensor_misses_light_rain_and_reports_false_rain(rain):
    truth = report(rain)
    instrument = replace(rough(INSTRUMENTS["GMI"]), name="MHS", footprint=22.0, jitter=0.0, noise=0.0, gain_spread=0.0)
    light, dry = (truth > 0.11) & (truth < 0.5), truth < 0.1
    shares = np.array(
        [
            [(found[light] == 0).mean(), (found[dry] > 0).mean()]
            for found in (observe(instrument, overpass(), rain, PLANE, CELLS, seed=seed) for seed in range(12))
        ]
    ).mean(axis=0)
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1] == pytest.approx(0.05, abs=0.02)


def test_jitter_moves_a_pass_by_its_spread_of_cells():
    plane = Grid(LOCAL, 0, 0, 1000, 1000, 200, 200)
    cells = Grid(LOCAL, 0, 0, 10_000, 10_000, 20, 20)
    x, y = np.meshgrid(np.arange(200) + 0.5, np.arange(200) + 0.5)
    blob = (20 * np.exp(-((x - 100) ** 2 + (y - 100) ** 2) / 800)).astype(np.float32)
    rain = [still(blob, number) for number in (1, 2)]
    places = []
    for seed in range(150):
        found = seen(replace(PERFECT, jitter=0.35), overpass(5.0, cells=cells), rain, plane, cells, seed=seed)
        places.append([(found.sum(axis=0) @ cells.x), (found.sum(axis=1) @ cells.y)] / found.sum() / 10_000)
    places = np.array(places)
    np.testing.assert_allclose(places.std(axis=0), 0.35, rtol=0.2)
    np.testing.assert_allclose(places.mean(axis=0), [10, -10], atol=0.1)
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.25


def test_rain_between_two_frames_has_moved_along_the_wind():
    plane = Grid(LOCAL, 0, 0, 1000, 1000, 128, 128)
    cells = Grid(LOCAL, 10_000, -10_000, 1000, 1000, 100, 100)
    rate = np.random.default_rng(1).gamma(0.3, 2, (128, 128)).astype(np.float32)
    east, north = 4, 2  # pixels in five minutes
    wind = east * 1000 / 300, north * 1000 / 300
    rain = [still(np.roll(rate, (-north * k, east * k), (0, 1)), k + 1, wind) for k in range(3)]
    instrument = replace(PERFECT, footprint=5.0)
    middle = seen(instrument, overpass(5.0, cells=cells), rain, plane, cells, seed=1)
    at = seen(instrument, overpass(2.5, cells=cells), rain, plane, cells, seed=1)
    np.testing.assert_allclose(middle[5:-5, 5:-5], np.roll(at, (-1, 2), (0, 1))[5:-5, 5:-5], atol=1e-4)


def test_a_pass_across_frames_sees_each_cell_at_its_own_minute(rain):
    minute = np.broadcast_to(np.linspace(6, 11, CELLS.ny, dtype=np.float32)[:, None], CELLS.shape).copy()
    mixed = observe(PERFECT, Pass("MHS", 7, "MetOp-B", START, minute), rain, PLANE, CELLS, seed=1)
    early, late = report(rain, minute=6.5), report(rain, minute=10.5)
    np.testing.assert_allclose(mixed[0], early[0], atol=1e-5)
    np.testing.assert_allclose(mixed[-1], late[-1], atol=1e-5)


def test_cells_beyond_the_plane_see_its_periodic_continuation():
    plane = Grid(LOCAL, 0, 0, 1000, 1000, 100, 100)
    rate = np.random.default_rng(1).gamma(0.3, 2, (100, 100)).astype(np.float32)
    rain = [still(rate, 1), still(rate, 2)]
    wide = Grid(LOCAL, -20_000, 20_000, 10_000, 10_000, 14, 14)
    found = seen(PERFECT, overpass(5.0, cells=wide), rain, plane, wide, seed=1)
    np.testing.assert_allclose(found[:, :4], found[:, 10:], rtol=1e-4)
    np.testing.assert_allclose(found[:4], found[10:], rtol=1e-4)
    own = Grid(LOCAL, 0, 0, 10_000, 10_000, 10, 10)
    np.testing.assert_allclose(
        found[2:-2, 2:-2], seen(PERFECT, overpass(5.0, cells=own), rain, plane, own, seed=1), rtol=1e-4
    )


# ---- what is refused


def test_rain_that_is_not_there_is_refused(rain):
    with pytest.raises(ConfigError, match=r"minute 12\.0") as error:
        report(rain[:2])
    assert "rain_needed" in error.value.fix
    with pytest.raises(ConfigError, match="true rain"):
        report([rain[0], rain[1], rain[8], rain[9]])


def test_cells_far_from_the_plane_are_refused(rain):
    away = Grid.lattice((20.0, 46.0, 22.0, 48.0))
    with pytest.raises(GridError, match="beyond the plane"):
        observe(PERFECT, overpass(cells=away), rain, PLANE, away, seed=1)


def test_faults_are_read_from_a_list_of_maps_of_one_key():
    text = """
    - bias: {sensor: MHS, factor: 1.5}
    - shift: {sensor: SSMIS, east: 1}
    - clock: {sensor: ATMS, minutes: 10}
    - blur: {sensor: GMI, km: 20}
    - dropout: {sensor: AMSR2, fraction: 0.2}
    - regime: {regime: warm, fraction: 0.1}
    """
    entries = [Planted.model_validate(entry) for entry in yaml.safe_load(text)]
    assert planted(entries) == (
        Bias(sensor="MHS", factor=1.5),
        Shift(sensor="SSMIS", east=1.0, north=0.0),
        Clock(sensor="ATMS", minutes=10),
        Blur(sensor="GMI", km=20),
        Dropout(sensor="AMSR2", fraction=0.2),
        FalseRain(regime="warm", fraction=0.1, rate=1.0),
    )
    again = [Planted.model_validate(entry.model_dump(exclude_none=True)) for entry in entries]
    assert again == entries


def test_the_page_shows_the_sensors_and_faults_that_there_are():
    page = (Path(__file__).parents[1] / "docs/constellation.md").read_text(encoding="utf-8")
    rows = [row.strip("| \n").split(" | ") for row in page.splitlines() if row.startswith("| ")]
    for instrument in INSTRUMENTS.values():
        told = next(row for row in rows if row[0] == instrument.name)
        assert told[2:] == [
            f"{instrument.footprint:g} km",
            f"{instrument.threshold:.2f} mm/h",
            f"{instrument.exponent:.2f}",
            f"{instrument.noise:.2f}",
            f"{100 * instrument.false_alarms:.1f} %",
        ]
        assert told[1].split(", ") == [one.name for one in SATELLITES if one.sensor == instrument.name]
        assert {one.code for one in SATELLITES if one.sensor == instrument.name} == {instrument.code}
    (block,) = [part.split("```")[0] for part in page.split("```yaml")[1:]]
    entries = [Planted.model_validate(entry) for entry in yaml.safe_load(block)["faults"]]
    assert [next(iter(entry.model_fields_set)) for entry in entries] == list(Planted.model_fields)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"bias": None},
        {"bias": {"sensor": "MHS", "factor": 1.5}, "blur": {"sensor": "MHS", "km": 3}},
        {"bias": {"sensor": "TMI", "factor": 1.5}},
        {"bias": {"sensor": "MHS", "factor": 0}},
        {"bias": {"sensor": "MHS", "factor": float("inf")}},
        {"dropout": {"sensor": "MHS", "fraction": 1.2}},
        {"regime": {"regime": "hail", "fraction": 0.2}},
        {"drift": {"sensor": "MHS", "km": 1}},
    ],
)
def test_what_is_no_fault_is_refused(entry):
    with pytest.raises(ValidationError):
        Planted.model_validate(entry)
