"""The neighbours of a topographic latent: counted, and summed one by one as they are defined."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ondee.topographic.coherence import Coherence

COUNTS = [
    (Coherence(frames=18, width=3), 52),
    (Coherence(frames=13, width=3), 37),
    (Coherence(frames=5, width=3), 13),
    (Coherence(frames=1, width=3), 3),
    (Coherence(frames=15, width=1), 15),
    (Coherence(frames=10, width=1), 10),
    (Coherence(frames=5, width=1), 5),
    (Coherence(shape="bubble", frames=5, width=3), 15),
    (Coherence(shape="bubble", frames=5, width=5), 25),
    (Coherence(shape="bubble", frames=1, width=3), 3),
]
"""Neighbours of the published models: the non-zeros of their matrices W."""


def neighbours(coherence, speed=1):
    """Weight of each offset (a, b) along one axis, from the definition of the neighbourhood."""
    frames, half = coherence.frames, coherence.width // 2
    before = frames - 1 if coherence.causal else (frames - 1) // 2
    window = range(-before, frames - before)
    found = {}
    for a in window:
        if coherence.shape == "bubble":
            found |= {(a, b): 1.0 for b in range(-half, half + 1)}
            continue
        ends = [window[0] * Fraction(speed), window[-1] * Fraction(speed), -half, half]
        for step in range(-half, half + 1):
            place = a * Fraction(speed) + step
            if min(ends) <= place <= max(ends):
                for b in range(-3 * frames - half, 3 * frames + half + 1):
                    share = max(Fraction(0), 1 - abs(b - place))
                    if share:
                        found[a, b] = found.get((a, b), 0.0) + float(share)
    return found


def listed(coherence, group=0, axes=1):
    made = {}
    for lag, corner, weight in coherence.offsets(group, axes):
        made[lag, *corner] = made.get((lag, *corner), 0.0) + weight
    return made


@pytest.mark.parametrize(("coherence", "count"), COUNTS)
def test_there_are_as_many_neighbours_as_in_the_published_models(coherence, count):
    offsets = list(coherence.offsets(0))
    assert len(offsets) == len(set(offsets)) == count
    assert {weight for *_, weight in offsets} == {1.0}


@pytest.mark.parametrize(("frames", "width"), list(itertools.product((3, 5, 8, 13, 18), (1, 3))))
def test_a_shifting_band_holds_all_pairs_of_its_window_that_are_near_its_diagonal(frames, width):
    before = (frames - 1) // 2
    window = range(-before, frames - before)
    band = {(a, b) for a in window for b in window if abs(a - b) <= width // 2}
    assert set(listed(Coherence(frames=frames, width=width))) == band


def test_of_an_even_number_of_frames_the_later_half_is_longer():
    assert list(Coherence(frames=4).lags()) == [-1, 0, 1, 2]
    assert list(Coherence(frames=5).lags()) == [-2, -1, 0, 1, 2]
    assert list(Coherence(frames=4, causal=True).lags()) == [-3, -2, -1, 0]


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 12),
    width=st.sampled_from((1, 3, 5)),
    speed=st.sampled_from((-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0)),
    causal=st.booleans(),
    shape=st.sampled_from(("shifting", "bubble")),
)
def test_neighbours_are_those_of_the_definition(frames, width, speed, causal, shape):
    coherence = Coherence(shape=shape, frames=frames, width=width, speeds=(speed,), causal=causal)
    assert listed(coherence) == pytest.approx(neighbours(coherence, speed))


@pytest.mark.parametrize("shape", ["shifting", "bubble"])
def test_a_causal_neighbourhood_holds_the_frame_itself_and_none_later(shape):
    lags = {lag for lag, *_ in Coherence(shape=shape, frames=7, causal=True).offsets(0)}
    assert lags == set(range(-6, 1))


@pytest.mark.parametrize("time", ["circular", "open"])
@pytest.mark.parametrize("capsule", ["circular", "open"])
@pytest.mark.parametrize(("frames", "width", "sizes"), [(5, 3, (9, 7)), (4, 1, (5, 8)), (9, 3, (6, 4)), (1, 3, (2, 5))])
def test_the_matrix_holds_every_neighbour_once_for_each_way_to_reach_it(time, capsule, frames, width, sizes):
    coherence = Coherence(frames=frames, width=width, time=time, capsule=capsule)
    length, places = sizes
    wanted = np.zeros((length, places, length, places))
    for line, j, (a, b) in itertools.product(range(length), range(places), neighbours(coherence)):
        at, there = line + a, j + b
        if time == "circular":
            at %= length
        if capsule == "circular":
            there %= places
        if 0 <= at < length and 0 <= there < places:
            wanted[line, j, at, there] += 1
    made = coherence.matrix(length, (places,))
    np.testing.assert_array_equal(made, wanted.reshape(length * places, -1))


@pytest.mark.parametrize(("coherence", "count"), COUNTS)
def test_on_circular_axes_every_row_and_column_sums_to_the_number_of_neighbours(coherence, count):
    for sizes in ((18, 18), (12, 20), (4, 3)):
        made = coherence.matrix(sizes[0], sizes[1:])
        assert (made.sum(0) == count).all() and (made.sum(1) == count).all()


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 9),
    width=st.sampled_from((1, 3, 5)),
    speed=st.sampled_from((0.0, 0.5, 1.0, 2.0)),
    causal=st.booleans(),
    length=st.integers(1, 7),
    places=st.integers(1, 7),
)
def test_open_ends_keep_the_latent_itself_and_never_add(frames, width, speed, causal, length, places):
    given_ends = {"frames": frames, "width": width, "speeds": (speed,), "causal": causal}
    ends = Coherence(**given_ends, time="open", capsule="open").matrix(length, (places,))
    around = Coherence(**given_ends).matrix(length, (places,))
    assert (np.diag(ends) >= 1).all()
    assert (ends <= around).all()


def test_on_a_torus_a_block_spans_both_axes():
    coherence = Coherence(shape="bubble", frames=1, width=5)
    made = coherence.matrix(1, (18, 18)).reshape(18, 18, 18, 18)
    assert set(made.sum((2, 3)).ravel()) == {25}
    rows, columns = np.nonzero(made[1, 17])
    assert set(rows) == {17, 0, 1, 2, 3} and set(columns) == {15, 16, 17, 0, 1}


def test_on_a_torus_a_band_moves_along_both_axes():
    coherence = Coherence(frames=3, width=1, speeds=((1.0, -2.0),))
    assert listed(coherence, axes=2) == {(-1, -1, 2): 1, (0, 0, 0): 1, (1, 1, -2): 1}
    assert listed(Coherence(frames=3, width=1), axes=2) == {(-1, 0, -1): 1, (0, 0, 0): 1, (1, 0, 1): 1}


def test_half_a_place_is_divided_evenly():
    coherence = Coherence(frames=3, width=1, speeds=(1.0, 0.5))
    wanted = {(-1, -1): 0.5, (-1, 0): 0.5, (0, 0): 1.0, (1, 0): 0.5, (1, 1): 0.5}
    assert listed(coherence, group=1) == wanted
    assert listed(Coherence(frames=3, width=1, speeds=((0.5, -0.5),)), axes=2)[1, 1, -1] == 0.25


def test_each_speed_is_a_group_and_a_block_has_but_one():
    assert Coherence(speeds=(0.0, 0.5, 1.0)).groups == 3
    assert Coherence(shape="bubble", speeds=(0.0, 0.5, 1.0)).groups == 1
    assert Coherence(shape="bubble", speeds=(0.0,)).velocity(0, 2) == (0.0, 1.0)
    assert Coherence(speeds=(0.0, (2.0, 3.0))).velocity(1, 2) == (2.0, 3.0)


@pytest.mark.parametrize("wrong", [{"width": 2}, {"frames": 0}, {"speeds": ()}, {"shape": "ring"}, {"time": "shut"}])
def test_a_neighbourhood_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError):
        Coherence(**wrong)


def test_a_speed_along_another_number_of_axes_is_refused():
    with pytest.raises(ValueError, match="2 axes was given for capsules of 1"):
        Coherence(speeds=((1.0, 1.0),)).velocity(0, 1)
