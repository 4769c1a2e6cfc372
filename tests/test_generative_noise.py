"""Noise that depends on what it is for: windows, keys, members, moments, persistence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ondee.generative.noise import BLOCK, Noise, drawn_integers, keyed

WIDE = (-2 * BLOCK, 3 * BLOCK)
windows = (
    st.tuples(st.integers(*WIDE), st.integers(*WIDE)).map(sorted).filter(lambda pair: pair[0] < pair[1]).map(tuple)
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(np.corrcoef(first.flatten().numpy(), second.flatten().numpy())[0, 1])


# ---- windows


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@settings(max_examples=30, deadline=None)
@given(rows=windows, columns=windows)
def test_a_window_draws_what_the_whole_field_has_there(kind, rows, columns):
    noise = Noise(7, keys=(3,), members=(0, 4), rows=WIDE, columns=WIDE)
    whole = getattr(noise, kind)("start")
    part = getattr(noise.window(rows, columns), kind)("start")
    top, left = rows[0] - WIDE[0], columns[0] - WIDE[0]
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    assert part.shape == (1, 2, height, width)
    assert torch.equal(part, whole[..., top : top + height, left : left + width])


@settings(max_examples=20, deadline=None)
@given(rows=windows, columns=windows)
def test_windows_agree_under_persistence(rows, columns):
    noise = Noise(7, keys=(45,), rows=(-BLOCK, BLOCK), columns=(-BLOCK, BLOCK), persistence=0.4)
    rows, columns = ((max(low, -BLOCK), min(high, BLOCK)) for low, high in (rows, columns))
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return
    whole = noise.normal("start")
    there = whole[..., rows[0] + BLOCK : rows[1] + BLOCK, columns[0] + BLOCK : columns[1] + BLOCK]
    assert torch.equal(noise.window(rows, columns).normal("start"), there)


# ---- what a value depends on


def test_batch_and_members_do_not_change_a_draw():
    together = Noise(7, keys=(5, 20, 35), members=(0, 1, 2)).normal("start")
    for number, key in enumerate((5, 20, 35)):
        for member in range(3):
            alone = Noise(7, keys=(key,), members=(member,)).normal("start")
            assert torch.equal(alone[0, 0], together[number, member])
    turned = Noise(7, keys=(35, 5, 20), members=(2, 0)).normal("start")
    assert torch.equal(turned[:, 0], together[[2, 0, 1], 2])
    assert torch.equal(Noise(7, keys=(5,)).of((2,)).normal("start"), together[:1, 2:])


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 8},
        {"keys": (4,)},
        {"keys": (-3,)},
        {"keys": (3 + 2**32,)},
        {"members": (1,)},
        {"rows": (BLOCK, 3 * BLOCK)},
        {"rows": (-2 * BLOCK, 0)},
        {"columns": (2 * BLOCK, 4 * BLOCK)},
        {"stream": "other"},
        {"stream": "start "},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_whatever_differs_makes_independent_noise(other, kind):
    usual = {"seed": 7, "keys": (3,), "members": (0,), "rows": (0, 2 * BLOCK), "columns": (0, 2 * BLOCK)}
    made = []
    for changes in ({}, other):
        asked = {**usual, "stream": "start", **changes}
        stream = asked.pop("stream")
        made.append(getattr(Noise(**asked), kind)(stream))
    assert abs(correlation(*made)) < 5 / np.sqrt(made[0].numel())


def test_rows_and_columns_are_not_confused():
    noise = Noise(7, keys=(0,), rows=(0, BLOCK), columns=(BLOCK, 2 * BLOCK)).normal("start")
    other = Noise(7, keys=(0,), rows=(BLOCK, 2 * BLOCK), columns=(0, BLOCK)).normal("start")
    assert abs(correlation(noise, other)) < 5 / BLOCK


def test_draws_are_the_same_in_every_version():
    made = Noise(7, keys=(26_000_000,), members=(3,), rows=(100, 102), columns=(-1, 1)).normal("start")
    np.testing.assert_allclose(made.flatten().numpy(), [0.702217, 1.787207, 0.169444, 0.285049], atol=1e-6)


# ---- laws


def test_moments_and_distribution():
    noise = Noise(7, keys=range(4), members=range(4), rows=(0, 128), columns=(0, 128))
    normal = noise.normal("start")
    assert normal.dtype == torch.float32 and normal.shape == (4, 4, 128, 128)
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 1e-4
    assert float(normal.var()) == pytest.approx(1, abs=5 * np.sqrt(2 / normal.numel()))
    assert abs(correlation(normal[..., 1:], normal[..., :-1])) < 5 / np.sqrt(normal.numel())
    assert abs(correlation(normal[..., 1:, :], normal[..., :-1, :])) < 5 / np.sqrt(normal.numel())
    uniform = noise.uniform("start")
    assert uniform.dtype == torch.float32
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 1
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-4


def test_scalars_are_one_number_a_sample_whatever_else_is_drawn():
    keys = range(5000)
    drawn = Noise(7, keys=keys).scalars("time")
    assert drawn.shape == (5000,) and drawn.dtype == torch.float32
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-4
    assert torch.equal(Noise(7, keys=(17, 4)).scalars("time"), drawn[[17, 4]])
    assert torch.equal(Noise(7, keys=(17,), rows=(5, 9), members=(3,)).scalars("time"), drawn[[17]])
    uniform = Noise(7, keys=keys).scalars("time", uniform=True)
    assert float(uniform.min()) >= 0 and float(uniform.max()) <= 1
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 1e-4
    assert abs(correlation(Noise(7, keys=keys).scalars("step"), drawn)) < 5 / np.sqrt(5000)


def test_vectors_are_normal_and_independent():
    drawn = Noise(7, keys=range(400)).vectors("z", 50)
    assert drawn.shape == (400, 50) and drawn.dtype == torch.float32
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-4
    error = 5 / np.sqrt(drawn.numel())
    assert abs(correlation(drawn[1:], drawn[:-1])) < error and abs(correlation(drawn[:, 1:], drawn[:, :-1])) < error
    for other in (Noise(8, keys=range(400)).vectors("z", 50), Noise(7, keys=range(400)).vectors("u", 50)):
        assert abs(correlation(drawn, other)) < error


def test_vectors_depend_on_the_key_of_their_sample_alone():
    drawn = Noise(7, keys=(3, -2, 2**40, 11)).vectors("z", 9)
    alone = Noise(7, keys=(2**40, 3), members=(4,), rows=(5, 9), columns=(0, 1), persistence=0.5).vectors("z", 9)
    assert torch.equal(alone, drawn[[2, 0]])
    assert torch.equal(Noise(7, keys=(-2,)).vectors("z", 9), drawn[1:2])
    # Fewer numbers are the first of more.
    for many in (4, 16, 17, 5000):
        assert torch.equal(Noise(7, keys=(3,)).vectors("z", many)[:, :9], drawn[:1, :many])
    assert Noise(7, keys=(3,)).vectors("z", 0).shape == (1, 0)


def test_vectors_are_the_same_in_every_version():
    made = Noise(7, keys=(26_000_000,)).vectors("z", 3)
    np.testing.assert_allclose(made[0].numpy(), [-0.364122, 1.695296, -0.272454], atol=1e-5)


# ---- generators by key


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 8},
        {"stream": "orbits"},
        {"key": 4},
        {"key": -3},
        {"member": 1},
        {"row": 0},
        {"column": 0},
        {"key": 2**33},
    ],
    ids=str,
)
def test_whatever_differs_makes_an_independent_generator(other):
    usual = {"seed": 7, "stream": "orbit", "key": 3, "member": 0}
    first, second = (keyed(**{**usual, **changes}).random(4000) for changes in ({}, other))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(4000)


def test_the_same_key_makes_the_same_generator():
    assert (keyed(7, "orbit", 3, 1).random(5) == keyed(7, "orbit", 3, 1).random(5)).all()
    assert (keyed(7, "orbit", 3).random(5) == keyed(7, "orbit", 3, 0, -1, -1).random(5)).all()
    assert (keyed(7, "orbit", 3).random(5) == keyed(7 - 2**64, "orbit", 3 + 2**64).random(5)).all()


def test_blocks_of_the_lattice_have_the_generator_of_their_key():
    block = Noise(7, keys=(3,), members=(2,), rows=(BLOCK, 2 * BLOCK), columns=(-BLOCK, 0)).uniform("dry")
    wanted = keyed(7, "dry", 3, 2, 1, -1).random((BLOCK, BLOCK), np.float32)
    assert (block[0, 0].numpy() == wanted).all()


# ---- persistence


@pytest.mark.parametrize("persistence", [0.3, 0.8])
def test_persistent_noise_is_a_first_order_process_of_variance_one(persistence):
    keys = [-30, -15, 0, 15, 30]
    made = Noise(7, keys=keys, rows=(0, 256), columns=(0, 256), persistence=persistence).normal("start")[:, 0]
    error = 5 / 256
    assert stats.kstest(made[0].flatten().numpy(), "norm").pvalue > 1e-4
    for lag in (1, 2, 3):
        assert correlation(made[0], made[lag]) == pytest.approx(persistence**lag, abs=error)
    # First order: beyond the moment before, the one before that says nothing.
    left = [made[number] - persistence * made[number - 1] for number in (2, 3, 4)]
    for rest in left:
        assert float(rest.var()) == pytest.approx(1 - persistence**2, abs=0.03)
    assert abs(correlation(left[0], left[1])) < error
    assert abs(correlation(left[1], made[0])) < error


def test_persistence_follows_the_step_between_moments():
    noise = Noise(7, keys=(0, 10), rows=(0, 256), columns=(0, 256), persistence=0.6, step=10).normal("start")
    assert correlation(noise[0], noise[1]) == pytest.approx(0.6, abs=0.02)


def test_persistent_moments_can_be_drawn_alone_and_members_stay_independent():
    noise = Noise(7, keys=(0, 15), members=(0, 1), persistence=0.7)
    both = noise.normal("start")
    alone = Noise(7, keys=(15,), members=(1,), persistence=0.7).normal("start")
    assert torch.equal(alone[0, 0], both[1, 1])
    assert abs(correlation(both[:, 0], both[:, 1])) < 6 / BLOCK


def test_uniform_noise_does_not_persist():
    noise = Noise(7, keys=(0, 15), persistence=0.9)
    assert torch.equal(noise.uniform("dry"), Noise(7, keys=(0, 15)).uniform("dry"))


# ---- devices


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))],
)
def test_values_do_not_depend_on_the_device(device):
    usual, there = Noise(7, keys=(0,)), Noise(7, keys=(0,), device=torch.device(device))
    assert there.normal("start").device.type == device and there.scalars("time").device.type == device
    assert torch.equal(there.normal("start").cpu(), usual.normal("start"))
    assert torch.equal(there.uniform("start").cpu(), usual.uniform("start"))
    assert torch.equal(there.scalars("time").cpu(), usual.scalars("time"))
    assert torch.equal(there.vectors("z", 5).cpu(), usual.vectors("z", 5))


def test_a_device_is_asked_of_every_draw():
    noise = Noise(7, keys=(0,), device="meta")
    assert noise.normal("start").device.type == "meta" and noise.uniform("start").device.type == "meta"
    assert noise.scalars("time").device.type == "meta" and noise.vectors("z", 5).device.type == "meta"


def test_integers_are_those_of_their_key_and_fill_their_range():
    sizes = (3, 10, 1, 50_000)
    drawn = np.array([drawn_integers(7, "dice", key, sizes) for key in range(6000)])
    assert drawn_integers(7, "dice", 5, sizes) == drawn[5].tolist() == drawn_integers(7, "dice", 5, (*sizes, 9))[:4]
    others = [
        drawn_integers(8, "dice", 5, sizes),
        drawn_integers(7, "die", 5, sizes),
        drawn_integers(7, "dice", 5, sizes, 1),
    ]
    assert all(other != drawn[5].tolist() for other in others)
    assert (drawn.min(0) == [0, 0, 0, drawn[:, 3].min()]).all() and (drawn.max(0) < sizes).all()
    for place in (0, 1):
        counts = np.bincount(drawn[:, place], minlength=sizes[place])
        assert stats.chisquare(counts).pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 4 / np.sqrt(len(drawn))
    assert abs(np.corrcoef(drawn[:-1, 3], drawn[1:, 3])[0, 1]) < 4 / np.sqrt(len(drawn))
