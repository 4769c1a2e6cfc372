"""Satellites: orbits as published, passes that do not depend on the period asked for, at most one sensor a cell."""

from collections import Counter

import numpy as np
import pytest

from ondee.errors import ConfigError, GridError
from ondee.grid import LOCAL, Grid
from ondee.source.imerg_sensors import SENSORS
from ondee.world.constellation import (
    HALF_HOUR,
    SATELLITES,
    Pass,
    choose,
    ground_track,
    half_hour_number,
    is_imager,
    passes,
    reported_minute,
    select,
)

FRANCE = Grid.lattice((-4.0, 42.5, 8.0, 51.0), 0.5)
SQUARE = Grid.lattice((0.9, 45.9, 4.1, 48.1))
START = np.datetime64("2018-06-04T00:00")
DAYS = 10
NAMES = [satellite.name for satellite in SATELLITES]
BY_NAME = {satellite.name: satellite for satellite in SATELLITES}
# Orbital periods in minutes as published by the agencies.
PERIODS = {"GPM": 92.6, "GCOM-W1": 98.8, "F17": 101.8, "MetOp-B": 101.3, "NOAA-19": 102.1, "SNPP": 101.4}


@pytest.fixture(scope="module")
def found() -> list[Pass]:
    return passes(FRANCE, START, START + np.timedelta64(DAYS, "D"), seed=4)


def track(name: str, days: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minutes since 1900, longitude and latitude in degrees, four points a minute."""
    first = half_hour_number(START) * 30
    minutes = first + np.arange(0, days * 1440, 0.25)
    x, y, z = ground_track(BY_NAME[name], minutes, 4).T
    return minutes, np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(z))


@pytest.mark.parametrize("name", NAMES)
def test_the_track_reaches_the_latitude_of_the_inclination(name):
    _, _, latitude = track(name, 0.3)
    inclination = BY_NAME[name].inclination
    assert np.abs(latitude).max() == pytest.approx(min(inclination, 180 - inclination), abs=0.05)


@pytest.mark.parametrize(("name", "period"), PERIODS.items())
def test_the_period_is_the_published_one(name, period):
    minutes, _, latitude = track(name, 1)
    rising = minutes[1:][(latitude[:-1] < 0) & (latitude[1:] >= 0)]
    assert np.diff(rising).mean() == pytest.approx(period, abs=0.35)


@pytest.mark.parametrize("name", NAMES)
def test_a_sun_synchronous_orbit_crosses_the_equator_at_its_local_time(name):
    satellite = BY_NAME[name]
    minutes, longitude, latitude = track(name, 20)
    rising = np.flatnonzero((latitude[:-1] < 0) & (latitude[1:] >= 0)) + 1
    local = (minutes[rising] / 60 + longitude[rising] / 15) % 24
    if satellite.local_time is None:
        # GPM comes by at all hours within 83 days: an earlier local time by some 18 minutes each day.
        daily = np.diff(np.unwrap(local, period=24)).sum() / 20
        assert daily == pytest.approx(-24 / 82.5, rel=0.05)
    else:
        assert np.abs(local - satellite.local_time).max() < 0.05


def test_satellites_of_one_orbit_are_spaced_along_it():
    minutes = half_hour_number(START) * 30 + np.arange(0, 90, 10.0)
    one, other = (ground_track(BY_NAME[name], minutes, 4) for name in ("MetOp-B", "MetOp-C"))
    np.testing.assert_allclose((one * other).sum(axis=1), -1, atol=0.2)


def test_codes_are_those_of_imerg():
    names = {entry.code: (entry.name.split()[0], entry.family) for entry in SENSORS}
    for satellite in SATELLITES:
        assert names[satellite.code] == (satellite.sensor, "imager" if satellite.imager else "sounder")
        assert is_imager(satellite.code) == satellite.imager


@pytest.mark.parametrize(
    ("sensor", "least", "most"),
    [("GMI", 0.7, 1.8), ("AMSR2", 1.2, 2.0), ("SSMIS", 1.5, 2.2), ("MHS", 2.0, 2.8), ("ATMS", 2.3, 3.1)],
)
def test_a_satellite_sees_a_cell_of_france_about_as_often_a_day_as_in_reality(found, sensor, least, most):
    fleet = [satellite.name for satellite in SATELLITES if satellite.sensor == sensor]
    for name in fleet:
        views = sum(np.isfinite(one.minute).mean() for one in found if one.satellite == name) / DAYS
        assert least < views < most


def test_sun_synchronous_satellites_come_at_their_hours(found):
    middle = 2.0 / 15
    for one in found:
        local_time = BY_NAME[one.satellite].local_time
        if local_time is not None:
            hour = (one.start - one.start.astype("datetime64[D]")) / np.timedelta64(1, "h") + middle
            away = min(abs((hour - local_time - half + 12) % 24 - 12) for half in (0, 12))
            assert away < 3.5


def test_a_cell_is_seen_when_the_satellite_is_abeam_and_inside_the_swath(found):
    longitude, latitude = (np.radians(part) for part in FRANCE.longitude_latitude())
    places = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )
    for one in found[:: len(found) // 25]:
        satellite = BY_NAME[one.satellite]
        row, column = np.argwhere(np.isfinite(one.minute))[0]
        minute = half_hour_number(one.start) * 30 + float(one.minute[row, column])
        moments = minute + np.array([-0.2, 0.0, 0.2])
        distance = 6371 * np.arccos(ground_track(satellite, moments, 4) @ places[row, column])
        assert distance[1] <= satellite.swath / 2 + 1
        assert distance[1] < min(distance[0], distance[2])


@pytest.mark.parametrize("name", ["GPM", "F17", "SNPP"])
def test_the_cells_seen_are_those_within_half_a_swath_of_the_track(found, name):
    longitude, latitude = (np.radians(part) for part in FRANCE.longitude_latitude())
    places = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )
    mine = [one for one in found if one.satellite == name][2:8]
    partly = 0
    for one in mine:
        middle = half_hour_number(one.start) * 30 + float(np.nanmean(one.minute))
        below = ground_track(BY_NAME[name], middle + np.arange(-8, 8, 0.1), 4)
        distance = 6371 * np.arccos((places @ below.T).max(axis=-1))
        group = [
            other.minute for other in found if other.satellite == name and abs(other.start - one.start) <= HALF_HOUR
        ]
        seen = np.isfinite(group).any(axis=0)
        half = BY_NAME[name].swath / 2
        assert seen[distance < half - 2].all()
        assert not seen[distance > half + 2].any()
        partly += not seen.all()
    assert partly


def test_a_pass_is_the_same_in_any_period(found):
    first, last = START + np.timedelta64(29, "h"), START + np.timedelta64(47, "h")
    few = passes(FRANCE, first, last, seed=4)
    same = [one for one in found if first <= one.start < last]
    assert [(one.satellite, one.start) for one in few] == [(one.satellite, one.start) for one in same]
    for one, other in zip(few, same, strict=True):
        np.testing.assert_array_equal(one.minute, other.minute)


def test_minutes_lie_in_their_half_hour_and_no_pass_is_empty(found):
    for one in found:
        known = one.minute[np.isfinite(one.minute)]
        assert known.size
        assert known.min() >= -0.5
        assert known.max() <= 29.5
        whole = reported_minute(one)
        assert set(np.unique(whole[np.isfinite(whole)])) <= set(range(30))
        assert one.start.astype("datetime64[s]").astype(int) % 1800 == 0


def test_another_seed_gives_other_phases(found):
    other = passes(FRANCE, START, START + np.timedelta64(1, "D"), seed=5)
    assert [(one.satellite, one.start) for one in other] != [
        (one.satellite, one.start) for one in found if one.start < START + np.timedelta64(1, "D")
    ]


# ---- half-hourly


def half_hourly(hours: int, seed: int = 1, sensors=("GMI", "SSMIS", "MHS", "ATMS"), start=START) -> list[Pass]:
    end = start + np.timedelta64(hours, "h")
    return passes(SQUARE, start, end, schedule="half-hourly", sensors=sensors, seed=seed)


def test_every_half_hour_has_one_pass_and_sensors_come_equally_often():
    every = half_hourly(200)
    assert [one.start for one in every] == [START + number * HALF_HOUR for number in range(400)]
    assert set(Counter(one.sensor for one in every).values()) == {100}
    assert all(np.isfinite(one.minute).all() for one in every)
    assert {one.satellite for one in every if one.sensor == "MHS"} == {"MetOp-B", "MetOp-C", "NOAA-19"}
    order = [one.sensor for one in every]
    assert len({tuple(order[k : k + 4]) for k in range(0, 400, 4)}) > 12


def test_minutes_of_half_hourly_passes_are_uniform_and_grow_along_the_track():
    every = half_hourly(400)
    minutes = np.array([reported_minute(one)[10, 15] for one in every])
    share = np.array([((minutes >= low) & (minutes < low + 5)).mean() for low in range(0, 30, 5)])
    np.testing.assert_allclose(share, 1 / 6, atol=0.05)
    for one in every[:20]:
        assert -0.5 <= one.minute.min() < one.minute.max() <= 29.5
        span = float(np.ptp(one.minute[:, 15]))
        heading = np.arcsin(np.cos(np.radians(BY_NAME[one.satellite].inclination)) / np.cos(np.radians(47)))
        along = 2.1 * 111.2 * np.cos(heading)  # km from the first row's middle to the last's
        assert span == pytest.approx(along / BY_NAME[one.satellite].ground_speed, rel=0.02)
    for one in every:
        # All but GPM fly westward over the ground, north- or southbound.
        assert (one.minute[10, 0] > one.minute[10, -1]) == (one.satellite != "GPM")
    northward = np.mean([one.minute[0, 15] > one.minute[-1, 15] for one in every])
    assert 0.35 < northward < 0.65


def test_a_half_hourly_pass_is_the_same_in_any_period():
    every, few = half_hourly(24), half_hourly(2, start=START + np.timedelta64(7, "h"))
    for one, other in zip(every[14:18], few, strict=True):
        assert (one.satellite, one.start) == (other.satellite, other.start)
        assert one.minute.tobytes() == other.minute.tobytes()


def test_half_hourly_passes_need_no_place_on_the_earth():
    cells = Grid(LOCAL, 0, 0, 10_000, 10_000, 20, 20)
    (one,) = passes(cells, START, START + HALF_HOUR, schedule="half-hourly", seed=1)
    assert np.ptp(one.minute) < 1.2
    with pytest.raises(GridError):
        passes(cells, START, START + HALF_HOUR, seed=1)


# ---- one a cell


def field(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_an_imager_goes_before_a_sounder_then_the_nearest_to_the_middle():
    nothing = np.nan
    given = [
        Pass("MHS", 7, "MetOp-B", START, field(15, 15, nothing, nothing, 3)),
        Pass("GMI", 9, "GPM", START, field(2, nothing, nothing, 2, nothing)),
        Pass("SSMIS", 5, "F17", START, field(27, nothing, nothing, 18, nothing)),
        Pass("ATMS", 11, "SNPP", START, field(15, 4, nothing, 15, 14.6)),
    ]
    code, minute = select(given, (1, 5))
    np.testing.assert_array_equal(code, field(5, 7, 0, 5, 11))
    np.testing.assert_array_equal(minute, field(27, 15, nothing, 18, 15))
    chosen = np.array(choose(given))
    assert (chosen.sum(axis=0) <= 1).all()


def test_a_half_hour_without_a_pass_has_no_source():
    code, minute = select([], (2, 3))
    assert (code == 0).all()
    assert np.isnan(minute).all()


def test_at_most_one_sensor_sees_a_cell(found):
    by_start: dict[np.datetime64, list[Pass]] = {}
    for one in found:
        by_start.setdefault(one.start, []).append(one)
    shared = [group for group in by_start.values() if len(group) > 1]
    assert shared
    for group in shared:
        chosen = np.array(choose(group))
        assert (chosen.sum(axis=0) == np.isfinite([one.minute for one in group]).any(axis=0)).all()


# ---- what is refused


@pytest.mark.parametrize(
    "keys",
    [
        {"sensors": ("TMI",)},
        {"sensors": ()},
        {"schedule": "hourly"},
        {"start": np.datetime64("2018-06-04T00:10")},
        {"start": np.datetime64("NaT")},
    ],
)
def test_what_cannot_be_asked_for_is_refused(keys):
    settings = {"start": START, "schedule": "orbits", **keys}
    with pytest.raises(ConfigError):
        passes(SQUARE, settings.pop("start"), START + HALF_HOUR, seed=1, **settings)
