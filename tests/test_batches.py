import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ondee.batches import Patches, Scenes, auxiliary, collate, predictors_of, statistics_of
from ondee.batches.planes import free_memory
from ondee.collocation.scan import nominal_scan_offset
from ondee.collocation.viewing import parallax, satellite_angles, sun_angles
from ondee.condition import AUXILIARY
from ondee.errors import ConfigError, GridError, OndeeError, StoreError, UnitError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid
from ondee.source.cf_grid import geostationary
from ondee.store import Layout, Store, Stored

torch.set_num_threads(1)
GRID = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -40_000, 48_000, 4000, 4000, 20, 24)
DAYS = ("2018-06-04", "2018-06-05", "2018-06-07")
CHANNELS = ("IR_108", "WV_062", "IR_120")
PACKING = {"scale_factor": 0.01, "add_offset": 300.0}
IMAGES = Stored("seviri_brightness_temperature", CHANNELS, PACKING, {"units": "K"})
HEIGHT = Stored("cloud_height", (), {}, {"units": "%"})
RAIN = Stored("radar_rain_rate", (), {}, {"units": "mm h-1"})
STEPS = np.r_[0:12, 40:52]
"""Steps of each day that have images; the radar lacks every fifth of them."""


def contents(day: int) -> dict[str, np.ndarray]:
    """A day: channel 0 rises southwards and channel 1 eastwards, a hole at a corner, showers in the east."""
    rng = np.random.default_rng(day)
    rows, columns = np.mgrid[:24, :20]
    images = np.full((96, 3, 24, 20), np.nan)
    base = np.stack([220 + rows, 240 + columns, 200 + 0 * rows])
    images[STEPS] = base + 0.05 * np.arange(STEPS.size)[:, None, None, None] + 0.2 * day
    images[STEPS, 2] += rng.integers(0, 4000, (STEPS.size, 24, 20)) / 100
    images[:, :, :3, :2] = np.nan
    rain = np.full((96, 24, 20), np.nan)
    rain[STEPS] = np.where(columns > 13, rng.gamma(0.5, 4.0, (STEPS.size, 24, 20)), 0.0)
    rain[:, 20:, :4] = np.nan
    frames = np.zeros(96, np.int16)
    frames[STEPS] = 1
    observed = frames.copy()
    observed[STEPS[::5]] = 0
    rain[observed == 0] = np.nan
    made = {"seviri": frames, "radar": observed, "cloud": frames, IMAGES.name: np.round(images, 2).astype(np.float32)}
    return {**made, RAIN.name: rain.astype(np.float32), HEIGHT.name: images[:, 0].astype(np.float32)}


def summary(store: Store) -> dict:
    """Statistics of the training days as a build leaves them, by numpy alone."""
    chosen = store.split("train")
    data = store.dataset().isel(time=chosen)

    def of(values: np.ndarray) -> dict:
        seen = values[np.isfinite(values)].astype(float)
        return {"n": seen.size, "mean": seen.mean(), "std": seen.std(), "max": seen.max()}

    rain = data[RAIN.name].values
    entry = {**of(rain), "wet": of(rain[rain >= 0.1]), "wet_fraction": float((rain[np.isfinite(rain)] >= 0.1).mean())}
    images = {name: of(data[IMAGES.name].values[:, place]) for place, name in enumerate(CHANNELS)}
    return {"statistics": {"train": {IMAGES.name: images, RAIN.name: entry, HEIGHT.name: of(data[HEIGHT.name].values)}}}


def make(path, *, images: Stored = IMAGES, rain: Stored = RAIN, grid: Grid = GRID, finish=True) -> Store:
    splits = np.repeat([0, 0, 1], 96)
    inputs, variables = ("seviri", "radar", "cloud"), (images, rain, HEIGHT)
    layout = Layout(grid, DAYS, 15, inputs, variables, tuple(splits.tolist()), (12, 16, 20), {})
    store = Store.create(path, layout)
    for number in range(len(DAYS)):
        made = contents(number)
        for variable in variables:
            store.write(variable.name, 96 * number, variable.packed(made[variable.name], path))
        for name in inputs:
            store.write(f"{name}_frames", 96 * number, made[name])
        store.write("written", 96 * number, np.ones(96, np.uint8))
    if finish:
        store.finish(summary(store))
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(tmp_path_factory.mktemp("batches") / "store.zarr")


@pytest.fixture(scope="module")
def scenes(store):
    return Scenes(store, predictors_of(store, minutes=(0, 15, 45)), split="train")


# ---- what is offered


def test_predictors_say_what_the_store_holds(store):
    found = predictors_of(store)
    assert (found.channels, found.minutes, found.units, found.cell) == (CHANNELS, (0, 15, 30, 45), "K", (4.0, 4.0))
    some = predictors_of(store, channels=["IR_120", "IR_108"], minutes=[0], auxiliary=())
    assert (some.channels, some.minutes, some.auxiliary) == (("IR_120", "IR_108"), (0,), ())
    single = predictors_of(store, images="cloud_height", auxiliary=())
    assert (single.channels, single.units) == (("cloud_height",), "%")


def test_a_cell_in_degrees_is_told_in_km_in_the_middle(tmp_path):
    grid = Grid(LATITUDE_LONGITUDE, 0.0, 61.2, 0.1, 0.1, 20, 24)
    height, width = predictors_of(make(tmp_path / "s.zarr", grid=grid)).cell
    assert height == pytest.approx(11.14, abs=0.02) and width == pytest.approx(5.58, abs=0.02)


def test_the_satellite_stands_where_it_is_said_to_and_the_planes_follow(store, tmp_path):
    usual, rapid = predictors_of(store), predictors_of(store, satellite_longitude=9.5)
    assert (usual.satellite_longitude, rapid.satellite_longitude) == (0.0, 9.5) and usual != rapid
    place = usual.auxiliary.index("parallax_east")
    east = [float(Scenes(store, seen).condition([0]).auxiliary[0, place].mean()) for seen in (usual, rapid)]
    assert east[0] > 0 > east[1]  # the grid lies east of the one and west of the other
    expected = parallax(GRID, satellite_longitude=9.5)["parallax_east"].values.mean()
    assert east[1] == pytest.approx(float(expected), rel=1e-5)
    view = Grid(geostationary(9.5), -400_000.0, 4_400_000.0, 3000.0, 3000.0, 20, 24)
    seen = make(tmp_path / "rapid.zarr", grid=view)
    with pytest.raises(ConfigError, match=r"(?s)from 9.5 degrees east, not from 0.*satellite_longitude: 9.5"):
        predictors_of(seen)
    assert predictors_of(seen, satellite_longitude=9.5).satellite_longitude == 9.5
    with pytest.raises(ConfigError, match="not from 0"):
        Scenes(seen, replace(usual, cell=(3.0, 3.0)))


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        ({"channels": ["IR_018"]}, ConfigError, "did you mean IR_108"),
        ({"channels": []}, ConfigError, "no channel"),
        ({"channels": ["IR_108", "IR_108"]}, ConfigError, "twice"),
        ({"minutes": [0, 10]}, ConfigError, "step of 15 min"),
        ({"minutes": [15, 30]}, ConfigError, "0 first"),
        ({"minutes": [0, 30, 15]}, ConfigError, "ever larger"),
        ({"minutes": []}, ConfigError, "step of 15 min"),
        ({"auxiliary": ["sun_zenith"]}, ConfigError, "did you mean sun_zenith_cosine"),
        ({"auxiliary": ["land", "land"]}, ConfigError, "twice"),
        ({"auxiliary": ["elevation"]}, ConfigError, "the store has none"),
        ({"images": "seviri_brightness"}, StoreError, "did you mean seviri_brightness_temperature"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(store, asked, kind, words):
    with pytest.raises(kind, match=words):
        predictors_of(store, **asked)


def test_units_must_be_told_and_right(tmp_path, store):
    celsius = make(tmp_path / "celsius.zarr", images=replace(IMAGES, attributes={"units": "degC"}))
    with pytest.raises(UnitError, match="K is needed"):
        predictors_of(celsius)
    silent = make(tmp_path / "silent.zarr", images=replace(IMAGES, attributes={}))
    with pytest.raises(UnitError, match="does not say its units"):
        predictors_of(silent)
    amount = make(tmp_path / "amount.zarr", rain=replace(RAIN, attributes={"units": "mm"}))
    for refused in (
        lambda: statistics_of(amount, predictors_of(amount)),
        lambda: Scenes(amount, predictors_of(amount)),
    ):
        with pytest.raises(UnitError, match="mm h-1"):
            refused()
    with pytest.raises(UnitError, match="'%'; 'K' is looked at"):
        Scenes(store, replace(predictors_of(store), channels=("cloud_height",)), images="cloud_height")


def test_statistics_are_those_of_the_training_days(store):
    found = statistics_of(store, predictors_of(store, channels=["WV_062", "IR_108"]))
    days = [contents(0), contents(1)]
    images = np.concatenate([day[IMAGES.name] for day in days])
    np.testing.assert_allclose(found.mean, [np.nanmean(images[:, 1]), np.nanmean(images[:, 0])], rtol=1e-5)
    np.testing.assert_allclose(found.deviation, [np.nanstd(images[:, 1]), np.nanstd(images[:, 0])], rtol=1e-5)
    rain = np.concatenate([day[RAIN.name] for day in days])
    assert found.rain_largest == pytest.approx(np.nanmax(rain))
    assert found.rain_wet_mean == pytest.approx(rain[rain >= 0.1].mean(), rel=1e-5)
    assert found.wet_fraction == pytest.approx((rain[np.isfinite(rain)] >= 0.1).mean())
    assert len(statistics_of(store, predictors_of(store, images="cloud_height"), images="cloud_height").mean) == 1


def test_statistics_that_cannot_scale_anything_are_refused(tmp_path):
    made = make(tmp_path / "store.zarr", finish=False)
    predictors = predictors_of(made)
    with pytest.raises(StoreError, match="not complete"):
        statistics_of(made, predictors)
    whole = summary(made)
    for place, words in (((IMAGES.name, "IR_108", "std"), "constant"), ((IMAGES.name, "IR_108", "n"), "missing")):
        known = pickle.loads(pickle.dumps(whole))
        known["statistics"]["train"][place[0]][place[1]][place[2]] = 0
        made.finish(known)
        with pytest.raises(StoreError, match=f"IR_108 is {words}"):
            statistics_of(made, predictors)
    known = pickle.loads(pickle.dumps(whole))
    known["statistics"]["train"][RAIN.name]["wet"] = {"n": 0}
    made.finish(known)
    with pytest.raises(StoreError, match="no rain"):
        statistics_of(made, predictors)
    made.finish({"statistics": {"test": {}}})
    with pytest.raises(StoreError, match="no statistics of training days"):
        statistics_of(made, predictors)


# ---- moments


def test_moments_are_those_with_image_and_radar(store):
    predictors = predictors_of(store)
    counts = {split: len(Scenes(store, predictors, split=split)) for split in ("train", "validation", None)}
    radar = STEPS.size - len(STEPS[::5])
    assert counts == {"train": 2 * radar, "validation": radar, None: 3 * radar}
    assert len(Scenes(store, predictors, rain=None)) == 3 * STEPS.size
    with pytest.raises(StoreError, match="no moment has"):
        Scenes(store, predictors, split="test")
    with pytest.raises(StoreError, match="is no split"):
        Scenes(store, predictors, split="tests")
    blind = Scenes(store, predictors, rain=None)
    with pytest.raises(ConfigError, match="no rain"):
        blind.batch([0])


def test_a_step_that_was_not_written_is_no_moment(tmp_path):
    made = make(tmp_path / "store.zarr")
    made.write("written", 96, np.zeros(96, np.uint8))
    found = Scenes(made, predictors_of(made), split="train")
    assert (found.times < np.datetime64("2018-06-05")).all()


def test_frames_are_those_of_the_minutes_before_and_nan_where_absent(store):
    scenes = Scenes(store, predictors_of(store, minutes=(0, 15, 45)))
    data = store.dataset()
    batch = scenes.batch(range(len(scenes)))
    lacking = 0
    for place, time in enumerate(scenes.times):
        for frame, minutes in enumerate((0, 15, 45)):
            found = batch.condition.images[place, frame].numpy()
            earlier = time - np.timedelta64(minutes, "m")
            expected = data[IMAGES.name].reindex(time=[earlier]).values[0].astype(np.float32)
            np.testing.assert_array_equal(found, expected)
            lacking += int(np.isnan(found).all())
        np.testing.assert_array_equal(batch.rain[place].numpy(), data[RAIN.name].sel(time=time).values)
        assert torch.isfinite(batch.condition.images[place, 0]).any(), "the newest is there"
    assert 0 < lacking < len(scenes) * 2
    assert list(batch.keys) == [int(time.astype("datetime64[m]").astype(int)) for time in scenes.times]
    assert (batch.weight == 1).all()


def test_a_day_that_is_not_in_the_store_lends_no_frame(store):
    scenes = Scenes(store, predictors_of(store, minutes=(0, 1440)), rain=None)
    images = scenes.condition(range(len(scenes))).images
    there = torch.isfinite(images[:, 1]).flatten(1).any(1).numpy()
    np.testing.assert_array_equal(there, scenes.times.astype("datetime64[D]") == np.datetime64("2018-06-05"))


@pytest.mark.parametrize("packing", [PACKING, {}])
@pytest.mark.parametrize("channels", [None, ("IR_120", "IR_108")])
def test_held_and_read_from_disk_are_the_same(tmp_path, packing, channels):
    made = make(tmp_path / "store.zarr", images=replace(IMAGES, packing=packing))
    predictors = predictors_of(made, channels=channels, minutes=(0, 15, 30, 300))
    held, lazy = (Scenes(made, predictors, split="train", held=value) for value in (True, False))
    assert held.held and not lazy.held
    for rows, columns in ((None, None), ((3, 17), (5, 6)), ((0, 24), (11, 20))):
        first, second = (scenes.batch([4, 0, 9, 15], rows, columns) for scenes in (held, lazy))
        for one, two in (
            (first.condition.images, second.condition.images),
            (first.condition.auxiliary, second.condition.auxiliary),
            (first.rain, second.rain),
        ):
            torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)
    assert held.size == lazy.size > 0
    whole = held.condition([2]).window((4, 9), (1, 8))
    part = held.condition([2], (4, 9), (1, 8))
    torch.testing.assert_close(whole.images, part.images, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(whole.auxiliary, part.auxiliary, rtol=0, atol=0)


def test_what_is_larger_than_a_quarter_of_the_memory_is_not_held(store, monkeypatch):
    predictors = predictors_of(store)
    assert free_memory() > 0
    size = Scenes(store, predictors).size
    for free, held in ((4 * size, True), (4 * size - 1, False)):
        monkeypatch.setattr("ondee.batches.scenes.free_memory", lambda free=free: free)
        assert Scenes(store, predictors).held is held


def test_windows_and_moments_that_are_not_there_are_refused(scenes):
    for rows in ((0, 25), (-1, 5), (5, 5)):
        with pytest.raises(ConfigError, match="no window"):
            scenes.condition([0], rows)
    for index in (-1, len(scenes)):
        with pytest.raises(ConfigError, match="no moment"):
            scenes.batch([index])


# ---- what goes beside the images


def test_planes_agree_with_the_view_of_satellite_and_sun(store):
    scenes = Scenes(store, predictors_of(store))
    found = dict(zip(scenes.predictors.auxiliary, scenes.condition([7]).auxiliary[0].numpy(), strict=True))
    offset = nominal_scan_offset(GRID, satellite_longitude=0.0)
    np.testing.assert_allclose(found["scan_offset"], offset - 7.5, atol=1e-6)
    assert 2.5 < found["scan_offset"].min() < found["scan_offset"].max() < 4.5
    assert (found["scan_offset"][0] > found["scan_offset"][-1]).all(), "the south is scanned first"
    shift = parallax(GRID, satellite_longitude=0.0)
    for name in ("parallax_east", "parallax_north"):
        np.testing.assert_allclose(found[name], shift[name].values, atol=1e-6)
    zenith = satellite_angles(GRID, satellite_longitude=0.0)["satellite_zenith_angle"].values
    np.testing.assert_allclose(found["satellite_zenith_cosine"], np.cos(np.radians(zenith)), atol=1e-6)
    lines = xr.DataArray(60 * offset[None, :, 10], dims=("time", "y"), attrs={"units": "s"})
    sun = sun_angles(GRID, scenes.times[7:8], scan_offset=lines.rename("scan_offset"))["sun_zenith_angle"].values[0]
    np.testing.assert_allclose(found["sun_zenith_cosine"][:, 10], np.cos(np.radians(sun[:, 10])), atol=2e-5)


@settings(max_examples=30, deadline=None)
@given(minute=st.integers(0, 525_599), longitude=st.floats(-60, 60))
def test_sines_and_cosines_are_of_one_angle_and_noon_is_where_the_sun_stands(minute, longitude):
    grid = Grid(LATITUDE_LONGITUDE, longitude, 45.0, 1.0, 1.0, 2, 2)
    names = ("day_sine", "day_cosine", "hour_sine", "hour_cosine")
    time = np.datetime64("2018-01-01", "ns") + np.timedelta64(minute, "m")
    planes = auxiliary(grid, time, names, satellite_longitude=0.0, interval_minutes=10)[0].astype(float)
    np.testing.assert_allclose(planes[0] ** 2 + planes[1] ** 2, 1, atol=1e-6)
    hours = (np.degrees(np.arctan2(planes[2], planes[3])) / 15) % 24
    expected = ((minute + 5) / 60 + (longitude + 0.5) / 15) % 24
    assert abs((hours[0, 0] - expected + 12) % 24 - 12) < 1e-4
    days = (np.arctan2(planes[0], planes[1]) / (2 * np.pi)) % 1 * 365.2425
    assert abs((days[0, 0] - minute / 1440 + 182) % 365.2425 - 182) < 1e-3


def test_every_plane_can_be_made_and_those_of_the_ground_must_be_given(tmp_path):
    height, land = np.arange(480.0).reshape(GRID.shape), np.ones(GRID.shape)
    times = ["2018-06-04T12:00", "2018-12-04T00:00"]
    options = {"satellite_longitude": 0.0, "interval_minutes": 15}
    planes = auxiliary(GRID, times, tuple(AUXILIARY), **options, elevation=height, land=land)
    assert planes.shape == (2, len(AUXILIARY), *GRID.shape) and planes.dtype == np.float32
    assert np.isfinite(planes).all()
    np.testing.assert_array_equal(planes[1, list(AUXILIARY).index("elevation")], height)
    sun = planes[:, list(AUXILIARY).index("sun_zenith_cosine")]
    assert sun[0].min() > 0.8 and sun[1].max() < -0.8
    assert auxiliary(GRID, times, (), **options).shape == (2, 0, *GRID.shape)
    with pytest.raises(ConfigError, match="elevation is asked for"):
        auxiliary(GRID, times, ["elevation"], **options)
    with pytest.raises(GridError, match="land is"):
        auxiliary(GRID, times, ["land"], **options, land=land[1:])
    with pytest.raises(GridError, match="position"):
        auxiliary(Grid(LOCAL, 0, 0, 1000, 1000, 4, 4), times, ["scan_offset"], **options)
    made = make(tmp_path / "store.zarr")
    made.root.create_array("elevation", data=height, dimension_names=("y", "x"))
    made = Store(made.path)
    scenes = Scenes(made, predictors_of(made, auxiliary=["elevation"]))
    np.testing.assert_array_equal(scenes.condition([0]).auxiliary[0, 0].numpy(), height)


# ---- patches


def same(first, second) -> None:
    for name in ("images", "auxiliary", "rain"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=0, atol=0, equal_nan=True)
    assert (first.weight, first.key) == (second.weight, second.key)


@pytest.fixture(scope="module")
def patches(scenes):
    return Patches(scenes, 8, seed=3)


@settings(max_examples=25, deadline=None)
@given(numbers=st.lists(st.integers(0, 2**40), min_size=1, max_size=6), shuffle=st.randoms(use_true_random=False))
def test_a_patch_depends_on_its_number_alone(scenes, patches, numbers, shuffle):
    first = {k: patches[k] for k in numbers}
    anew = Patches(scenes, 8, seed=3)
    shuffle.shuffle(numbers)
    for k in numbers:
        same(first[k], anew[k])
        assert first[k].key == k


@pytest.mark.parametrize(("start", "held"), [("fork", True), ("fork", False), ("spawn", None)])
def test_workers_give_the_same_patches(store, start, held):
    scenes = Scenes(store, predictors_of(store, minutes=(0, 15)), split="train", held=held)
    patches = Patches(scenes, 8, seed=5)
    expected = [patches[k] for k in range(8)]
    loader = DataLoader(patches, 4, sampler=range(8), num_workers=1, collate_fn=collate, multiprocessing_context=start)
    found = list(loader)
    assert [list(batch.keys) for batch in found] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for number, batch in enumerate(found):
        here = collate(expected[4 * number : 4 * number + 4])
        torch.testing.assert_close(batch.rain, here.rain, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(batch.weight, here.weight, rtol=0, atol=0)
        for name in ("images", "auxiliary"):
            one, two = getattr(batch.condition, name), getattr(here.condition, name)
            torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)


def test_seeds_and_numbers_differ(scenes, patches):
    other = Patches(scenes, 8, seed=4)
    assert not torch.equal(patches[0].auxiliary, other[0].auxiliary) or not torch.equal(patches[0].rain, other[0].rain)
    places = {(float(patches[k].rain.nansum()), float(patches[k].images.nansum())) for k in range(30)}
    assert len(places) > 20


def test_a_flip_turns_the_parallax_and_keeps_all_else_together(store):
    scenes = Scenes(store, predictors_of(store, minutes=(0,)), split="train")
    patches = Patches(scenes, 8, seed=1, frame_dropout=0, channel_dropout=0)
    names = scenes.predictors.auxiliary
    north, east = names.index("parallax_north"), names.index("parallax_east")
    whole = scenes.batch(range(len(scenes)))
    turned = set()
    for k in range(40):
        patch = patches[k]
        images, planes, rain = patch.images[0].numpy(), patch.auxiliary.numpy().copy(), patch.rain.numpy()
        upside, left = images[0, -1, -1] < images[0, 0, -1], images[1, -1, -1] < images[1, -1, 0]
        if np.isnan(images).any():
            continue
        turned.add((bool(upside), bool(left)))
        for axis, is_turned, name in ((-2, upside, north), (-1, left, east)):
            if is_turned:
                images, planes, rain = (np.flip(field, axis) for field in (images, planes, rain))
                planes[name] = -planes[name]
        # What stands in channels 0 and 1 tells rows and columns; the third finds the moment.
        fields = whole.condition.images[:, 0].numpy()
        found = [
            (place, y, x)
            for place in range(len(scenes))
            for y, x in np.argwhere(fields[place, 0] == images[0, 0, 0])
            if y <= 16 and x <= 12 and np.array_equal(fields[place, :, y : y + 8, x : x + 8], images)
        ]
        assert len(found) == 1
        place, y, x = found[0]
        np.testing.assert_array_equal(whole.rain[place, y : y + 8, x : x + 8].numpy(), rain)
        np.testing.assert_array_equal(whole.condition.auxiliary[place, :, y : y + 8, x : x + 8].numpy(), planes)
    assert len(turned) == 4


def test_without_flips_north_stays_up(scenes):
    patches = Patches(scenes, 8, seed=1, flips=False)
    sign = scenes.predictors.auxiliary.index("parallax_north")
    assert all((patches[k].auxiliary[sign] > 0).all() for k in range(20))


def test_weights_are_one_on_average_and_undo_the_choice(scenes):
    patches = Patches(scenes, 8, seed=2, least=0.1)
    made = [patches[k] for k in range(1500)]
    weight = np.array([patch.weight for patch in made])
    wet = np.array([float((patch.rain >= 0.1).sum() / patch.rain.isfinite().sum()) for patch in made])
    rain = scenes.batch(range(len(scenes))).rain.numpy()
    windows = np.lib.stride_tricks.sliding_window_view(rain, (8, 8), axis=(1, 2)).reshape(-1, 64)
    truth = ((windows >= 0.1).sum(1) / np.isfinite(windows).sum(1)).mean()
    assert weight.mean() == pytest.approx(1, abs=0.1)
    assert (weight * wet).mean() / weight.mean() == pytest.approx(truth, rel=0.1)
    assert wet.mean() > 1.3 * truth, "wet patches are shown more often"
    assert weight.max() / weight.min() <= 10 + 1e-6, "no patch counts more than the least chance allows"


def test_dropout_takes_older_frames_and_channels_but_never_all(scenes):
    patches = Patches(scenes, 8, seed=6, frame_dropout=0.95, channel_dropout=0.95)
    older = []
    for k in range(60):
        seen = torch.isfinite(patches[k].images).flatten(2).any(2)
        assert seen[0].any()
        assert ((seen == seen[0]) | ~seen).all(), "a channel is gone from all frames"
        older.append(bool(seen[1:].any()))
    assert 0 < sum(older) < 30


def test_missing_stays_missing_and_dry_stays_dry(store):
    scenes = Scenes(store, predictors_of(store, minutes=(0,)), split="train")
    patches = Patches(scenes, 20, seed=6, frame_dropout=0, channel_dropout=0, flips=False)
    for k in range(10):
        patch = patches[k]
        top = int(torch.isfinite(patch.images[0, 0, :, 0]).int().argmax())
        assert torch.isnan(patch.images[0, :, :top, :2]).all() and torch.isfinite(patch.images[0, :, top:]).all()
        assert (patch.rain[: 20 - 4, :14] == 0).all(), "observed dry"
        first = int(torch.isnan(patch.rain[:, 0]).sum())
        assert top == max(0, 3 - first), "hole of the images and hole of the radar lie as far apart as on the grid"
        assert torch.isnan(patch.rain[20 - first :, :4]).all() and torch.isfinite(patch.rain[: 20 - first]).all()


def test_patches_that_cannot_be_are_refused(scenes, tmp_path):
    for wrong in ({"size": 21}, {"least": 0.0}, {"frame_dropout": 1.0}, {"channel_dropout": -0.1}, {"seed": -1}):
        with pytest.raises(ConfigError, match="make no patches"):
            Patches(scenes, **({"size": 8, "seed": 1} | wrong))
    blind = make(tmp_path / "store.zarr")
    for start in (0, 96, 192):
        blind.write(RAIN.name, start, np.full((96, *GRID.shape), np.nan, np.float32))
    with pytest.raises(OndeeError, match="observed nothing"):
        Patches(Scenes(blind, predictors_of(blind)), 8, seed=1)
    unseen = Scenes(scenes.store, scenes.predictors, rain=None)
    with pytest.raises(ConfigError, match="no rain"):
        Patches(unseen, 8, seed=1)
