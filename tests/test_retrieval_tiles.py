"""Rain drawn in tiles is rain drawn in one piece, whatever the domain, the tiles, the members and the moments."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.generative.noise import Noise
from ondee.retrieval import Work, draw
from ondee.retrieval import tiles as engine
from ondee.retrieval.tiles import evaluation_seconds, tiles
from retrieved import scene, small_flow, small_unet

MODELS = {
    "heun": small_flow(),
    "midpoint": small_flow(solver="midpoint", steps=1, persistence=0.5),
    "euler": small_flow(solver="euler", steps=3, noise_scale=0.8),
    "probabilistic": small_unet(),
    "plain": small_unet("plain"),
}
for model in MODELS.values():
    model.rain.threshold.fill_(-50.0)  # a step in the rain would make a jump of the last bit of a number
NOISE = Noise(7, (1000, 1015), (0, 1, 2))
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def untiled(model, condition, noise=NOISE):
    """The rain in one piece."""
    return model.sample(condition, noise).numpy()


def tiled(model, condition, work, noise=NOISE):
    drawn = draw(model, lambda rows, columns: condition.window(rows, columns), condition.shape, noise, None, work)
    members = len(noise.members)
    return np.broadcast_to(drawn.rain, (len(condition), members, *condition.shape)), drawn


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(sorted(MODELS)),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(1, 64),
    members=st.integers(1, 4),
)
def test_tiles_leave_no_trace(name, height, width, tile, members):
    tile = max(tile, max(height, width) // 4)  # sixteen tiles are enough
    condition = scene(height, width)
    found, drawn = tiled(MODELS[name], condition, Work(tile, members))
    np.testing.assert_allclose(found, untiled(MODELS[name], condition), **TOLERANCE)
    assert drawn.frames.shape == (2, 2) and drawn.frames[:, 0].tolist() == [height > 1] * 2


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_halo_is_needed(name):
    condition = scene(90, 70)
    expected = untiled(MODELS[name], condition)
    assert np.nanstd(expected) > 0.01, "a model that gives one value everywhere proves nothing"
    found, _ = tiled(MODELS[name], condition, Work(32, 2))
    np.testing.assert_allclose(found, expected, **TOLERANCE)
    bare, _ = tiled(MODELS[name], condition, Work(32, 2, halo=0))
    assert np.nanmax(np.abs(bare - expected)) > 0.01


def test_moments_do_not_know_of_each_other():
    condition = scene(40, 50)
    together, _ = tiled(MODELS["heun"], condition, Work(32, 3))
    for index, key in enumerate(NOISE.keys):
        alone = scene(40, 50)
        alone = type(alone)(alone.images[index : index + 1], alone.auxiliary[index : index + 1])
        found, _ = tiled(MODELS["heun"], alone, Work(64, 1), Noise(7, (key,), NOISE.members))
        np.testing.assert_allclose(found[0], together[index], **TOLERANCE)


def test_fields_on_disk_are_the_same(monkeypatch):
    condition = scene(50, 41)
    expected, _ = tiled(MODELS["midpoint"], condition, Work(32, 2))
    monkeypatch.setattr(engine, "ON_DISK", 1)
    found, drawn = tiled(MODELS["midpoint"], condition, Work(32, 2))
    np.testing.assert_array_equal(found, expected)
    assert isinstance(drawn.rain, np.memmap)


def test_no_window_is_larger_than_tile_and_halo():
    model, condition, asked = MODELS["euler"], scene(60, 52), []

    def read(rows, columns):
        asked.append((rows, columns))
        return condition.window(rows, columns)

    largest = []
    before = model.velocity
    model.velocity = lambda position, *others: (largest.append(position.shape), before(position, *others))[1]
    try:
        draw(model, read, condition.shape, NOISE, None, Work(16, 2))
    finally:
        del model.velocity
    assert max(shape[0] for shape in largest) == 2 * 2
    assert max(max(shape[2:]) for shape in largest) <= 16 + 2 * model.reach
    seen = np.zeros(condition.shape, int)
    for rows, columns in asked:
        seen[slice(*rows), slice(*columns)] += 1
    assert (seen == 1).all(), "every pixel is read once"


@given(height=st.integers(1, 40), width=st.integers(1, 40), tile=st.integers(1, 200), halo=st.integers(0, 60))
def test_tiles_cover_the_domain_once(height, width, tile, halo):
    multiple, shape = 8, (8 * height, 8 * width)
    count = np.zeros(shape, int)
    for part in tiles(shape, tile, halo, multiple):
        count[part.given] += 1
        spans = (part.rows, part.columns, part.seen_rows, part.seen_columns)
        assert all(edge % multiple == 0 for span in spans for edge in span)
        for own, seen, size in zip(spans[:2], spans[2:], shape, strict=True):
            assert own[1] - own[0] <= max(tile, multiple)
            assert seen[0] <= max(0, own[0] - halo) and seen[1] >= min(size, own[1] + halo)
    assert (count == 1).all()


def test_the_time_is_told_of_one_tile():
    condition = scene(90, 80)
    told = evaluation_seconds(
        MODELS["euler"],
        lambda rows, columns: condition.window(rows, columns),
        condition.shape,
        NOISE,
        None,
        Work(32, 2),
    )
    assert 0 < told < 60
