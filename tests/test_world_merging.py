"""Half hours: what passed is taken as it is, the rest is carried, averaged and marked; files read back equal."""

import numpy as np
import pytest
import xarray as xr

import ondee
from ondee.grid import Grid
from ondee.source import imerg_writer
from ondee.source.imerg_sensors import family_of
from ondee.units import VOCABULARY
from ondee.world.constellation import HALF_HOUR, Pass, passes
from ondee.world.merging import REACH, Observation, half_hour, infrared_rain
from ondee.world.microwave import INSTRUMENTS, observe, seen
from ondee.world.rain import states

PLANE = Grid("+proj=laea +lat_0=47 +lon_0=2.5 +ellps=WGS84", -128e3, 128e3, 1000, 1000, 256, 256)
CELLS = Grid.lattice((1.0, 46.0, 4.0, 48.0))
START = np.datetime64("2018-06-04T12:00")
FIVE = np.timedelta64(5, "m")
SHAPE = CELLS.shape
STILL = (0.0, 0.0)
INFRARED = np.full(SHAPE, 0.7, np.float32)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(0.5, 2, SHAPE).astype(np.float32)


def observation(half_hours: int, minute: float = 15, *, sensor: str = "GMI", seed: int = 1, seen=None) -> Observation:
    minutes = np.full(SHAPE, minute, np.float32)
    rate = noise(seed)
    if seen is not None:
        minutes[~seen], rate[~seen] = np.nan, np.nan
    satellite = {"GMI": "GPM", "MHS": "MetOp-B"}[sensor]
    return Observation(Pass(sensor, INSTRUMENTS[sensor].code, satellite, START + half_hours * HALF_HOUR, minutes), rate)


def merged(*observations: Observation, motion=STILL, infrared=INFRARED, **keys) -> xr.Dataset:
    return half_hour(START, observations, infrared, motion, CELLS, seed=1, **keys).isel(time=0)


def quantity(dataset: xr.Dataset, name: str) -> np.ndarray:
    return dataset[name].values


def test_where_a_sensor_passed_its_rain_stands_and_elsewhere_none_is_claimed():
    west = np.broadcast_to(np.arange(SHAPE[1]) < 12, SHAPE)
    one = observation(0, 7, seen=west)
    found = merged(one, observation(-1, seed=2))
    np.testing.assert_array_equal(quantity(found, "rain_rate")[west], one.rate[west])
    np.testing.assert_array_equal(quantity(found, "microwave_rain_rate"), one.rate)
    assert (quantity(found, "microwave_source")[west] == 9).all()
    assert (quantity(found, "microwave_minute")[west] == 7).all()
    assert (quantity(found, "microwave_source")[~west] == 0).all()
    assert np.isnan(quantity(found, "microwave_minute")[~west]).all()
    assert (quantity(found, "infrared_weight")[west] == 0).all()
    for name in ("rain_rate", "quality_index", "random_error", "infrared_weight"):
        assert np.isfinite(quantity(found, name)).all()


def test_of_two_passes_in_a_cell_the_imager_counts():
    found = merged(observation(0, 15, sensor="MHS", seed=2), observation(0, 3, sensor="GMI", seed=1))
    np.testing.assert_array_equal(quantity(found, "rain_rate"), noise(1))
    assert (quantity(found, "microwave_source") == 9).all()


def test_a_recent_pass_is_carried_along_the_motion():
    width = 111_195 * 0.1 * np.cos(np.radians(47))
    speed = 3 * width / (30 * 60)  # three cells in the half hour between
    found = quantity(merged(observation(-1), motion=(speed, 0.0)), "rain_rate")
    best = max(range(-8, 9), key=lambda east: matching(found, noise(1), east))
    assert 2 <= best <= 4
    assert matching(found, noise(1), best) > 0.999
    backward = quantity(merged(observation(1), motion=(speed, 0.0)), "rain_rate")
    best = max(range(-8, 9), key=lambda east: matching(backward, noise(1), east))
    assert -4 <= best <= -2


def matching(field: np.ndarray, before: np.ndarray, east: int) -> float:
    """Correlation with an earlier field moved by some cells, away from the border and from averages with infrared."""
    inner = np.s_[2:-2, 9:-9]
    return float(np.corrcoef(field[inner].ravel(), np.roll(before, east, axis=1)[inner].ravel())[0, 1])


def test_motion_towards_the_north_carries_to_smaller_rows():
    found = quantity(merged(observation(-1), motion=(0.0, 3 * 11_119.5 / 1800)), "rain_rate")
    inner = np.s_[6:-6, 3:-3]
    best = max(
        range(-6, 7), key=lambda row: np.corrcoef(found[inner].ravel(), np.roll(noise(1), row, 0)[inner].ravel())[0, 1]
    )
    assert -4 <= best <= -2


def test_without_any_pass_there_is_infrared_alone():
    found = merged(observation(8), observation(-8))
    assert np.timedelta64(240, "m") > REACH
    np.testing.assert_array_equal(quantity(found, "rain_rate"), INFRARED)
    assert (quantity(found, "infrared_weight") == 100).all()
    assert set(family_of(quantity(found, "microwave_source"), quantity(found, "infrared_weight")).ravel()) == {
        "infrared"
    }


def test_the_early_run_does_not_know_what_comes():
    found = merged(observation(1), backward=False)
    assert (quantity(found, "infrared_weight") == 100).all()
    np.testing.assert_array_equal(quantity(found, "rain_rate"), quantity(merged(), "rain_rate"))


def test_quality_falls_and_infrared_gains_with_the_age_of_the_pass():
    series = [merged(observation(-age)) for age in range(7)]
    quality = [float(one.quality_index.mean()) for one in series]
    weight = [float(one.infrared_weight.mean()) for one in series]
    assert quality[0] == pytest.approx(0.95)
    assert (np.diff(quality) < 0).sum() >= 5
    assert quality[1] > quality[-1] > float(merged().quality_index.mean()) - 1e-6
    assert weight[0] == weight[1] == 0
    assert (np.diff(weight[2:]) > 0).all()
    assert 1 <= weight[2] < weight[-1] <= 99
    sounder = float(merged(observation(0, sensor="MHS")).quality_index.mean())
    assert quality[1] < sounder < quality[0]


def test_passes_before_and_after_are_averaged_by_their_age():
    early, late = observation(-1, 10, seed=2), observation(1, 5, seed=3)  # 35 and 20 minutes from the middle
    found = quantity(merged(early, late), "rain_rate")
    share = np.linalg.lstsq(np.stack([early.rate.ravel(), late.rate.ravel()], 1), found.ravel(), rcond=None)[0]
    assert share.sum() == pytest.approx(1, abs=0.01)
    assert 0.5 < share[1] < 0.75
    assert float(merged(early, late).quality_index.mean()) > float(merged(late).quality_index.mean())


def test_the_nearest_pass_is_carried_and_older_ones_fill_what_it_left():
    west = np.broadcast_to(np.arange(SHAPE[1]) < 12, SHAPE)
    found = quantity(merged(observation(-2, 29, seed=3), observation(-1, seed=2, seen=west)), "rain_rate")
    np.testing.assert_allclose(found[west & (noise(2) >= 0.03)], noise(2)[west & (noise(2) >= 0.03)], rtol=1e-5)
    east = np.corrcoef(found[~west], noise(3)[~west])[0, 1]
    assert east > 0.99


def test_a_pass_is_not_carried_within_its_own_half_hour():
    west = np.broadcast_to(np.arange(SHAPE[1]) < 12, SHAPE)
    found = merged(observation(0, 0, seen=west), motion=(25.0, 0.0))
    assert (quantity(found, "infrared_weight") == np.where(west, 0, 100)).all()


def test_weights_are_whole_and_name_their_family():
    found = merged(observation(-3))
    weight = quantity(found, "infrared_weight")
    np.testing.assert_array_equal(weight, np.rint(weight))
    assert set(family_of(quantity(found, "microwave_source"), weight).ravel()) == {"mixed"}
    morphed = merged(observation(-1))
    assert set(family_of(quantity(morphed, "microwave_source"), quantity(morphed, "infrared_weight")).ravel()) == {
        "morph"
    }


def test_the_order_of_passes_and_those_out_of_reach_do_not_count():
    given = [observation(k, seed=k + 9, sensor="MHS" if k % 2 else "GMI") for k in (-6, -2, -1, 0, 1, 5)]
    one = merged(*given, motion=(12.0, 5.0))
    other = merged(*given[::-1], observation(7), observation(-7), motion=(12.0, 5.0))
    xr.testing.assert_identical(one, other)


def test_values_are_plausible_and_named():
    found = merged(observation(-1), observation(2, sensor="MHS"), motion=(8.0, 8.0))
    for name, array in found.data_vars.items():
        assert array.attrs["units"] == VOCABULARY[str(name)].units
        assert "implausible_count" not in array.attrs
        assert array.dtype == np.float32
    assert (quantity(found, "random_error") >= 0).all()
    assert found.attrs["product"] == "ondee synthetic IMERG"


@pytest.mark.parametrize("version", ["V06", "V07"])
def test_a_half_hour_is_written_as_nasa_writes_it_and_read_back_equal(tmp_path, version):
    west = np.broadcast_to(np.arange(SHAPE[1]) < 12, SHAPE)
    made = half_hour(START, [observation(0, seen=west), observation(-1)], INFRARED, (9.0, 1.0), CELLS, seed=1)
    path = imerg_writer.write(tmp_path, made, version=version)
    read = ondee.open(path)
    assert set(read.data_vars) == set(made.data_vars)
    for name in made.data_vars:
        np.testing.assert_array_equal(read[name].values, made[name].values, err_msg=str(name))
    assert Grid.of(read).same_as(CELLS)
    assert read.time.values[0] == START


# ---- infrared, and all together


@pytest.fixture(scope="module")
def rain():
    stamps = START.astype("datetime64[ns]") + np.arange(-24, 20) * FIVE
    return list(states(PLANE, stamps, seed=3, regime="embedded"))


def test_infrared_is_smooth_positive_and_keyed(rain):
    state = rain[27]
    first, again, other = (
        infrared_rain(state, PLANE, CELLS, start, seed=1) for start in (START, START, START + HALF_HOUR)
    )
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first.dtype == np.float32
    assert (first >= 0).all()
    truth = seen(INSTRUMENTS["GMI"], observation(0, 12).overpass, rain, PLANE, CELLS, seed=1)
    assert roughness(first) < 0.4 * roughness(truth)
    assert 0.2 < np.corrcoef(first.ravel(), truth.ravel())[0, 1] < 0.95


def roughness(field: np.ndarray) -> float:
    return float((np.diff(field, axis=1) ** 2).mean() / field.var())


def test_colder_clouds_give_more_rain_and_warm_ones_none(rain):
    means = [
        float(
            infrared_rain(
                rain[27], PLANE, CELLS, START, seed=1, temperature=np.full(PLANE.shape, kelvin, np.float32)
            ).mean()
        )
        for kelvin in (280.0, 245.0, 230.0, 210.0)
    ]
    assert means[0] == 0
    assert 0 < means[1] < means[2] < means[3] < 20


def likenesses(seed: int) -> list[float]:
    """Correlation with the truth: carried the right way, not at all, the wrong way, infrared, with the pass."""
    stamps = START.astype("datetime64[ns]") + np.arange(-13, 14) * FIVE
    rain = list(states(PLANE, stamps, seed=seed, regime="embedded"))
    found = passes(CELLS, START - 2 * HALF_HOUR, START + 2 * HALF_HOUR, schedule="half-hourly", seed=seed)
    given = [Observation(one, observe(INSTRUMENTS[one.sensor], one, rain, PLANE, CELLS, seed=2)) for one in found]
    infrared = infrared_rain(rain[16], PLANE, CELLS, START, seed=seed)
    truth = seen(INSTRUMENTS["AMSR2"], observation(0, 15).overpass, rain, PLANE, CELLS, seed=1)
    others = [one for one in given if one.overpass.start != START]
    east, north = rain[0].wind
    fields = [
        quantity(merged(*others, motion=(sign * east, sign * north), infrared=infrared), "rain_rate")
        for sign in (1, 0, -1)
    ]
    fields += [infrared, quantity(merged(*given, infrared=infrared), "rain_rate")]
    inner = np.s_[3:-3, 3:-3]
    return [float(np.corrcoef(field[inner].ravel(), truth[inner].ravel())[0, 1]) for field in fields]


def test_carried_rain_resembles_the_truth_because_it_is_carried():
    right, still, wrong, infrared, passed = np.mean([likenesses(seed) for seed in range(6)], axis=0)
    assert right > still + 0.1 > wrong + 0.2
    assert right > infrared
    assert passed > infrared + 0.05
