"""Sequences of digits and sprites: drawn by number, moved as the geometry says, held out as promised; and IDX files."""

import colorsys
import gzip
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from scipy import ndimage

import real
from ondee.errors import ConfigError, ReadError
from ondee.topographic.digits import SPLITS, digits_of, read_idx
from ondee.topographic.sequences import ANGLES, HUES, SCALES, Digits, Sprites, coloured, split_of, turned
from ondee.topographic.sprites import SHAPES, draw_sprites

TRAINED, TESTED = "mnist/train-images-idx3-ubyte.gz", "mnist/t10k-images-idx3-ubyte.gz"
ANIMATION = "dsprites/dsprites.gif"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def blots(count=12, side=28):
    """Smooth blots in place of digits, 0 to 255, black near the edges."""
    drawn = np.random.default_rng(1).random((count, side, side))
    drawn[:, [*range(4), *range(side - 4, side)]] = 0
    drawn[:, :, [*range(4), *range(side - 4, side)]] = 0
    smooth = ndimage.gaussian_filter(drawn, (0, 1, 1))
    return (255 * smooth / smooth.max()).astype(np.uint8)


def digits(**changes):
    return Digits(blots(), **{"seed": 5, **changes})


SOURCES = {
    "digits": digits,
    "sprites": lambda: Sprites(seed=5),
    "held out sprites": lambda: Sprites(seed=5, split="test"),
}


# ---- drawn by number


@pytest.mark.parametrize("name", SOURCES)
def test_a_number_names_the_same_sequence_in_any_batch(name):
    source = SOURCES[name]()
    together = source.batch(range(20))
    alone, turned_round = source.batch([17]), SOURCES[name]().batch([3, 17, 0])
    assert torch.equal(alone.frames[0], together.frames[17]) and torch.equal(turned_round.frames[1], alone.frames[0])
    assert alone.factor[0] == together.factor[17] and turned_round.value[2] == together.value[0]
    assert together.frames.shape == (20, source.frames, *source.shape)
    assert together.frames.dtype == torch.float32
    assert float(together.frames.min()) >= 0 and float(together.frames.max()) <= 1
    assert len({frames.numpy().tobytes() for frames in together.frames}) == 20


@pytest.mark.parametrize("name", SOURCES)
def test_all_factors_and_starting_values_occur(name):
    source = SOURCES[name]()
    drawn = [source.values(number, None) for number in range(600)]
    share = np.bincount([moving for moving, _ in drawn]) / 600
    assert np.abs(share - 1 / len(source.factors)).max() < 4 * 0.5 / np.sqrt(600)
    for factor, size in source.factors.items():
        assert {int(values[factor][0]) for _, values in drawn} == set(range(size))


@pytest.mark.parametrize("name", SOURCES)
def test_only_the_factor_that_is_asked_for_moves_through_all_of_its_values(name):
    source = SOURCES[name]()
    for number, (factor, moving) in itertools.product(range(10), enumerate(source.factors)):
        told, values = source.values(number, factor)
        assert told == factor
        for key, entries in values.items():
            size = source.factors.get(key)
            if key == moving:
                assert (np.diff(entries) % size == 1).all() and set(entries) == set(range(size))
            else:
                assert len(set(entries)) == 1
        batch = source.batch([number], factor=factor)
        assert batch.factor.tolist() == [factor] and batch.value.tolist() == [values[moving][0]]


@pytest.mark.parametrize(("first", "second"), [({"seed": 5}, {"seed": 6}), ({"stream": "train"}, {"stream": "test"})])
def test_seeds_and_splits_of_digits_draw_unlike_sequences(first, second):
    one, other = (digits(**changes).batch(range(5)).frames for changes in (first, second))
    assert not any(torch.equal(left, right) for left, right in itertools.product(one, other))


def test_factors_can_move_together():
    source = digits(together=("rotation", "hue"))
    for number in range(20):
        moving, values = source.values(number, None)
        assert list(source.factors)[moving] in ("rotation", "hue")
        for factor in ("rotation", "hue"):
            assert (np.diff(values[factor]) % 18 == 1).all()
        assert len(set(values["scale"])) == 1
    assert source.values(0, 2)[0] == 2 and source.values(0, 1)[0] == 0


def test_values_repeat_after_a_whole_cycle():
    frames = Sprites(seed=1).batch([4], factor=3).frames[0]
    assert torch.equal(frames[:5], frames[5:10]) and torch.equal(frames[:5], frames[10:])
    assert not torch.equal(frames[0], frames[1])


# ---- digits


def test_the_published_values_of_the_factors():
    assert ANGLES[:3] == (0, 20, 40) and ANGLES[-1] == 340 and HUES[0] == -180 and HUES[-1] == 160
    assert len(ANGLES) == len(SCALES) == len(HUES) == 18 and min(SCALES) == 0.6 and max(SCALES) == 1.26


def test_what_neither_turns_nor_grows_is_the_red_digit():
    grey = torch.from_numpy(blots()) / 255
    still = turned(grey, torch.zeros(12, 2), torch.ones(12, 2))
    torch.testing.assert_close(still, grey[:, None].expand_as(still), atol=1e-5, rtol=0)
    made = coloured(still, torch.zeros(12, 2))
    assert torch.equal(made[:, :, 0], still) and not made[:, :, 1:].any()


def test_a_sequence_holds_the_digit_as_its_values_say():
    source = digits()
    for factor in range(3):
        _, values = source.values(7, factor)
        image = torch.from_numpy(blots()[values["digit"][0]]) / 255
        angles, scales, hues = (
            torch.tensor(told)[values[name]].float()[None]
            for name, told in (("rotation", ANGLES), ("scale", SCALES), ("hue", HUES))
        )
        wanted = coloured(turned(image[None], angles, scales), hues)
        torch.testing.assert_close(source.batch([7], factor=factor).frames, wanted)


@pytest.mark.parametrize("side", [28, 27])
def test_quarter_turns_displace_nothing(side):
    image = torch.from_numpy(blots(3, side)) / 255
    made = turned(image, torch.tensor([[90.0, 180.0, 270.0, 360.0]]).expand(3, 4), torch.ones(3, 4))
    for number in range(4):
        torch.testing.assert_close(made[:, number], torch.rot90(image, number + 1, (-2, -1)), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("shape", "angle", "scale"), [((28, 28), 20, 0.76), ((28, 28), 200, 1.26), ((21, 33), -65, 1.1)]
)
def test_turns_are_those_of_scipy(shape, angle, scale):
    image = np.random.default_rng(2).random(shape).astype(np.float32)
    turn = np.deg2rad(angle)
    # Rows, then columns: what is at an offset comes from the offset turned back and divided by the scale.
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / scale
    centre = (np.array(shape) - 1) / 2
    wanted = ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="grid-constant")
    made = turned(torch.from_numpy(image)[None], *(torch.tensor([[float(entry)]]) for entry in (angle, scale)))
    np.testing.assert_allclose(made[0, 0], wanted, atol=2e-5)


def test_a_larger_scale_makes_a_larger_digit():
    place = torch.arange(28) - 13.5
    image = torch.exp(-0.5 * (place.square()[:, None] + place.square()) / 3**2)[None]
    made = turned(image, torch.zeros(1, 18), torch.tensor(SCALES)[None])
    torch.testing.assert_close(made.sum((-2, -1))[0], image.sum() * torch.tensor(SCALES).square(), rtol=0.01, atol=0)


@settings(max_examples=60, deadline=None)
@given(st.floats(-720, 720))
def test_a_hue_is_that_of_the_colour_circle(angle):
    made = coloured(torch.full((1, 1, 1, 1), 0.5), torch.tensor([[angle]], dtype=torch.float64)).flatten()
    wanted = colorsys.hsv_to_rgb((angle / 360) % 1, 1, 0.5)
    assert made.tolist() == pytest.approx(wanted, abs=1e-9)


# ---- sprites


def orbits():
    """Every orbit: shape, factor that moves, values of the others (that of the factor itself is 0)."""
    sizes = Sprites(seed=0).factors
    for shape, moving in itertools.product(range(3), sizes):
        others = [range(size) if name != moving else (0,) for name, size in sizes.items()]
        for values in itertools.product(*others):
            yield shape, moving, dict(zip(sizes, values, strict=True))


def test_one_orbit_in_ten_is_kept_for_each_split_that_is_not_learnt_from():
    found = Counter(split_of(*orbit) for orbit in itertools.islice(orbits(), 0, None, 3))
    count = found.total()
    assert set(found) == set(SPLITS)
    for split in ("validation", "test"):
        assert found[split] / count == pytest.approx(0.1, abs=4 * 0.3 / np.sqrt(count))


def test_where_an_orbit_begins_does_not_matter():
    for shape, moving, starts in itertools.islice(orbits(), 0, None, 1009):
        assert len({split_of(shape, moving, {**starts, moving: value}) for value in range(5)}) == 1


@pytest.mark.parametrize("factor", [None, 0, 3])
def test_sequences_of_two_splits_have_no_orbit_in_common(factor):
    found = []
    for seed, split in enumerate(SPLITS):
        source = Sprites(seed=seed, split=split)
        found.append(set())
        for number in range(200):
            moving, values = source.values(number, factor)
            name = list(source.factors)[moving]
            others = tuple(int(values[key][0]) for key in source.factors if key != name)
            found[-1].add((int(values["shape"][0]), name, others))
            assert (
                split_of(int(values["shape"][0]), name, {key: int(values[key][3]) for key in source.factors}) == split
            )
    assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
    assert min(map(len, found)) > 50


def test_another_split_is_refused():
    with pytest.raises(ConfigError, match="there is no split"):
        Sprites(seed=0, split="all")


def test_sprites_are_drawn_by_the_published_numbers():
    source = Sprites(seed=3)
    _, values = source.values(11, 2)
    frames = source.batch([11], factor=2).frames[0, :, 0]
    told = {name: torch.from_numpy(entries) for name, entries in values.items()}
    wanted = draw_sprites(told["shape"], told["scale"] + 1, 2 * told["orientation"], 2 * told["x"], 2 * told["y"])
    assert torch.equal(frames, wanted) and set(frames.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("shape", range(3))
def test_a_sprite_keeps_its_size_as_it_turns_and_moves_and_grows_as_its_scale(shape):
    one = torch.ones(1, dtype=torch.int64)
    whole = draw_sprites(shape * one, 5 * one, 0 * one, 16 * one, 16 * one).sum()
    for size, orientation, x in itertools.product((0, 2, 5), (0, 7, 39), (0, 9, 31)):
        made = draw_sprites(shape * one, size * one, orientation * one, x * one, 5 * one)
        # A pixel more or less along the outline, of about 2 pi r.
        assert float(made.sum()) == pytest.approx(float(whole) * (0.5 + 0.1 * size) ** 2, abs=20)
        rows, columns = torch.nonzero(made[0], as_tuple=True)
        if SHAPES[shape] != "heart":
            assert float(columns.float().mean()) + 0.5 == pytest.approx(16 + 32 * x / 31, abs=0.5)
            assert float(rows.float().mean()) + 0.5 == pytest.approx(16 + 32 * 5 / 31, abs=0.5)


def test_the_last_orientation_is_the_first_one_again():
    for shape in range(3):
        first, last, middle = draw_sprites(
            torch.full((3,), shape), torch.full((3,), 5), torch.tensor([0, 39, 20]), *[torch.full((3,), 16)] * 2
        )
        assert int((first != last).sum()) <= 8 and (int((first != middle).sum()) > 8 or SHAPES[shape] != "heart")


@real.needs(ANIMATION)
@pytest.mark.parametrize(
    ("shape", "begin", "most"), [("heart", 0, 0.02), ("ellipse", 192, 0.01), ("square", 256, 0.001)]
)
def test_sprites_look_as_published(shape, begin, most):
    sizes = [*range(6), *range(5, -1, -1), *range(6)]  # up, down and up, then a turn; the heart then goes around
    order = [(size, 0, 0, 0) for size in sizes] + [(5, turn, 0, 0) for turn in range(40)]
    if shape == "heart":
        there = range(32)
        order += [(5, 0, 0, y) for y in there] + [(5, 0, x, 31) for x in there]
        order += [(5, 0, 31, y) for y in reversed(there)] + [(5, 0, x, 0) for x in reversed(there)]
    with Image.open(real.path(ANIMATION)) as animation:
        frames = np.array([np.array(frame.convert("L")) for frame in ImageSequence.Iterator(animation)]) > 127
    published = frames[begin : begin + len(order)]
    told = torch.tensor(order).T
    made = draw_sprites(torch.full((len(order),), SHAPES.index(shape)), *told).numpy() > 0.5
    assert (made != published).sum() <= most * published.sum()


# ---- IDX files


def idx(values, kind=0x08):
    header = bytes([0, 0, kind, values.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in values.shape)
    return header + values.tobytes()


VALUES = np.random.default_rng(0).integers(0, 256, (7, 5, 4)).astype(np.uint8)


@pytest.mark.parametrize("values", [VALUES, VALUES[0, 0], VALUES[:0], VALUES[None]], ids=["3", "1", "none", "4"])
@pytest.mark.parametrize("packed", [gzip.compress, bytes], ids=["gz", "plain"])
def test_an_idx_file_is_read_back(tmp_path, values, packed):
    place = tmp_path / "values"
    place.write_bytes(packed(idx(values)))
    found = read_idx(place)
    assert found.dtype == np.uint8 and found.shape == values.shape and (found == values).all()


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


DAMAGED = {
    "empty": b"",
    "three bytes": idx(VALUES)[:3],
    "no axes": idx(VALUES)[:3] + b"\0" + idx(VALUES)[4:],
    "cut within its header": idx(VALUES)[:10],
    "cut between sizes": idx(VALUES)[:8],
    "cut short": idx(VALUES)[:-1],
    "too long": idx(VALUES) + b"\0",
    "of another type": idx(VALUES.astype(">i4"), 0x0C),
    "text": b"<html>not found</html>",
    "sizes beyond all measure": b"\0\0\x08\x04" + b"\0\1\0\0" * 4,
    "compressed, cut": gzip.compress(idx(VALUES))[:-20],
    "compressed, damaged": flipped(gzip.compress(idx(VALUES)), 40),
    "compressed, header alone": gzip.compress(idx(VALUES))[:6],
    "compressed, checksum": flipped(gzip.compress(idx(VALUES)), -8 + len(gzip.compress(idx(VALUES)))),
    "compressed nonsense": gzip.compress(b"nonsense"),
    "marked as compressed": b"\x1f\x8b" + idx(VALUES),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_idx_file_is_told_with_its_place_and_a_remedy(tmp_path, name):
    place = tmp_path / "t10k-images-idx3-ubyte.gz"
    place.write_bytes(DAMAGED[name])
    for read in (lambda: read_idx(place), lambda: digits_of(tmp_path, "test")):
        with pytest.raises(ReadError) as caught:
            read()
        error, where, fix = str(caught.value).splitlines()
        assert error.startswith("error  ") and where == f"where  {place}" and len(fix) > len("fix    ")


def test_missing_digits_are_told_with_their_place_and_a_remedy(tmp_path):
    for split in SPLITS:
        with pytest.raises(ReadError) as caught:
            digits_of(tmp_path, split)
        assert caught.value.where.startswith(str(tmp_path)) and "idx3-ubyte" in caught.value.fix
    with pytest.raises(ReadError):
        read_idx(tmp_path)
    with pytest.raises(ReadError):
        read_idx(tmp_path / "absent")


def test_labels_are_no_images(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(VALUES[0, 0]))
    with pytest.raises(ReadError, match="1 axes"):
        digits_of(tmp_path, "test")


def test_compressed_digits_come_before_plain_ones(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(VALUES[:2]))
    assert len(digits_of(tmp_path, "test")) == 2
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(VALUES)))
    assert len(digits_of(tmp_path, "test")) == 7


@real.needs(TRAINED, TESTED)
def test_the_published_digits_are_split_without_overlap():
    folder = real.path("mnist")
    splits = {split: digits_of(folder, split) for split in SPLITS}
    assert [len(images) for images in splits.values()] == [48_000, 12_000, 10_000]
    whole = read_idx(real.path(TRAINED))
    assert whole.shape == (60_000, 28, 28) and splits["test"].shape == (10_000, 28, 28)
    assert (splits["train"] == whole[:48_000]).all() and (splits["validation"] == whole[48_000:]).all()
    seen = [{image.tobytes() for image in images} for images in splits.values()]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
