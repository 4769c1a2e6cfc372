"""Windows of radar rain: where they lie, how they are drawn, and that they move with the rain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moving import MOVE, RAIN, field, make_store
from ondee.batches import Windows
from ondee.batches.windows import motion
from ondee.errors import ConfigError, StoreError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("windows") / "rain.zarr")


def windows(store, split="train", **more):
    return Windows([store], split, **{"frames": 5, "side": 16, "seed": 3, **more})


def test_a_window_is_a_piece_of_the_store(store):
    found = windows(store)
    for k in range(20):
        one = found.window(k)
        first = int((one.time - np.datetime64("2018-06-04", "ns")) / np.timedelta64(1, "h"))
        assert not first <= 10 < first + 5 and one.rain.shape == (5, 16, 16)
        whole = store.dataset()[RAIN.name].isel(time=slice(first, first + 5)).values
        views = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(whole, nan=-1), (16, 16), (1, 2))
        same = (views == np.nan_to_num(one.rain, nan=-1)[:, None, None]).all((0, 3, 4))
        assert same.any()


def test_splits_and_gaps_are_never_crossed(store):
    train, test = windows(store), windows(store, "test")
    assert train.count == (10 - 4) + (13 - 4) and test.count == 15
    times = {test.window(k).time.astype("datetime64[D]") for k in range(30)}
    assert times == {np.datetime64("2018-06-06")}
    assert windows(store, frames=13).count == 1


def test_a_number_gives_the_same_window_in_any_batch_and_from_disk(store, monkeypatch):
    found = windows(store)
    rain, weights = found.batch([4, 9, 2])
    one, weight = found.batch([9])
    assert rain.shape == (3, 5, 1, 16, 16) and weights.shape == (3,)
    assert np.array_equal(rain[1], one[0], equal_nan=True) and weights[1] == weight[0]
    monkeypatch.setattr("ondee.batches.windows._TRIED", 16)  # they change the weights alone
    monkeypatch.setattr("ondee.batches.windows.free_memory", lambda: 0)
    again, _ = windows(store).batch([9])
    assert np.array_equal(again, one, equal_nan=True)
    assert not np.array_equal(windows(store, seed=4).batch([9])[0], one, equal_nan=True)


def test_weighted_means_are_those_of_all_windows(store):
    wet, even = (windows(store, least=least) for least in (0.1, 1.0))
    drawn = [wet.window(k) for k in range(3000)]
    weights = np.array([one.weight for one in drawn])
    means = np.array([np.nanmean(one.rain) for one in drawn])
    plain = np.array([np.nanmean(even.window(k).rain) for k in range(3000)])
    error = np.hypot(plain.std(), (weights * (means - plain.mean())).std()) / np.sqrt(3000)
    assert means.mean() > plain.mean() + 4 * error
    assert (weights * means).sum() / weights.sum() == pytest.approx(plain.mean(), abs=4 * error)
    assert weights.mean() == pytest.approx(1, abs=0.1)


def test_what_is_missing_stays_missing_and_dry_stays_dry(store):
    found = windows(store)
    rain = np.concatenate([found.window(k).rain for k in range(60)])
    assert np.isnan(rain).any() and (rain == 0).any() and (rain > 1).any()


def test_a_window_that_moves_on_sees_the_rain_stand_still(tmp_path):
    still = make_store(tmp_path / "moving.zarr", missing=False)
    found = windows(still, crop="lagrangian", least=0.01, frames=4)
    changes = []
    for k in range(12):
        one = found.window(k)
        assert np.allclose(one.shift, MOVE, atol=0.35), one.shift
        inside = np.isfinite(one.rain).all(0)
        changes.append(np.abs(np.diff(one.rain[:, inside], axis=0)).mean() / one.rain[:, inside].mean())
    stays = windows(still, least=0.01, frames=4)
    others = [np.abs(np.diff(stays.window(k).rain, axis=0)).mean() / stays.window(k).rain.mean() for k in range(12)]
    assert np.median(changes) < 0.2 * np.median(others)


@given(st.integers(-6, 6), st.integers(-6, 6), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_motion_is_found_to_a_fraction_of_a_pixel(south, east, seed):
    whole = field(seed, (128, 128))
    frames = np.stack([np.roll(whole, (south * k, east * k), (0, 1))[:64, :64] for k in range(4)])
    if (frames > 0.1).mean() > 0.05:
        assert np.allclose(motion(frames), (south, east), atol=0.5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("where", ["disc", "strip"])
def test_the_edge_of_what_is_observed_does_not_hold_the_rain_back(where, seed):
    whole = np.clip(field(seed, (192, 192)) + 4, 0, None)  # broad rain, to the edge of coverage
    frames = np.stack([np.roll(whole, (-k, 3 * k), (0, 1))[:96, :96] for k in range(5)])
    y, x = np.mgrid[:96, :96]
    frames[:, (np.hypot(y - 40, x - 30) > 45) if where == "disc" else x < 40] = np.nan
    assert np.allclose(motion(frames), (-1, 3), atol=0.4)


def test_dry_and_missing_fields_do_not_move():
    assert motion(np.zeros((3, 32, 32), np.float32)) == (0, 0)
    assert motion(np.full((3, 32, 32), np.nan, np.float32)) == (0, 0)


def test_what_cannot_be_cut_is_refused(store, tmp_path):
    for more in ({"frames": 15}, {"side": 41}):
        with pytest.raises(ConfigError, match="follow one another"):
            windows(store, **more)
    with pytest.raises(StoreError):
        windows(store, "nowhere")
    other = make_store(tmp_path / "other.zarr", step=30)
    with pytest.raises(ConfigError, match="steps of 30, 60 min"):
        Windows([store, other], "train", frames=5, side=16)
    blind = make_store(tmp_path / "blind.zarr", blind=True)
    with pytest.raises(ConfigError, match="less than half"):
        windows(blind)
    assert Windows([store, store], "train", frames=5, side=16).count == 2 * windows(store).count


# ---- shares of stores


def test_stores_give_the_shares_that_are_asked_for(store, tmp_path):
    other = make_store(tmp_path / "other.zarr", missing=False)
    found = Windows([store, other], "train", frames=5, side=16, seed=3, least=1.0, shares=(1.0, 3.0))
    runs = [found._candidate(np.random.default_rng(k))[0].run.planes.path for k in range(400)]
    assert np.mean([path == other.path for path in runs]) == pytest.approx(0.75, abs=0.06)
    starts = {found._start(np.random.default_rng(k)) for k in range(2000)}
    assert starts == set(range(found.count))


def test_shares_of_stores_without_the_split_go_to_the_others(store, tmp_path):
    other = make_store(tmp_path / "no training.zarr", kinds=(1, 2))
    alone = windows(store)
    both = Windows([other, store], "train", frames=5, side=16, seed=3, shares=(5.0, 1.0))
    assert both.count == alone.count
    assert {both._start(np.random.default_rng(k)) for k in range(300)} == set(range(alone.count))


@pytest.mark.parametrize("shares", [(1.0,), (1.0, 0.0), (1.0, -2.0)])
def test_shares_that_cannot_be_are_refused(store, shares):
    with pytest.raises(ConfigError, match="have the shares"):
        Windows([store, store], "train", frames=5, side=16, shares=shares)


# ---- a lattice of windows


def test_a_lattice_covers_every_run_side_by_side(store):
    found = list(windows(store).lattice(4, margin=4, known=3))
    # Runs of 10 and 13 frames hold 2 and 3 windows of 5, four frames apart; the grid two by three of 16 pixels.
    assert len(found) == (2 + 3) * 2 * 3
    whole = store.dataset()[RAIN.name]
    for one, around in found:
        first = int((one.time - np.datetime64("2018-06-04", "ns")) / np.timedelta64(1, "h"))
        frames = whole.isel(time=slice(first, first + 5)).values
        assert one.weight == 1 and one.rain.shape == (5, 16, 16) and around.shape == (3, 24, 24)
        np.testing.assert_array_equal(around[:, 4:-4, 4:-4], one.rain[:3])
        assert any(
            np.array_equal(frames[:, y : y + 16, x : x + 16], one.rain, equal_nan=True)
            for y in (0, 16)
            for x in (0, 16, 32)
        )
    assert np.isnan(found[0][1][:, :4]).all()
    assert next(iter(windows(store).lattice(4)))[1].shape == (5, 16, 16)
