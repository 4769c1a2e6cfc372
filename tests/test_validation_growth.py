"""What keeps a validation small: evidence by day and source; and the page that tells how it grows."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from ondee.validation.day import _evidence_of, _Tally
from ondee.validation.evidence import EVIDENCE, LAGS, REACH, REFERENCES
from ondee.validation.radar import Radar

SIZES = {"comparison": len(REFERENCES), "lag": len(LAGS), "shift_north": 2 * REACH + 1, "shift_east": 2 * REACH + 1}
DAY = np.datetime64("2018-06-04", "ns")


@pytest.fixture
def growth(monkeypatch):
    """The module that measures and writes the page."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from benchmarks import validation

    return validation


def sums(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.random(tuple(SIZES[dim] for dim in dims)) for name, dims in EVIDENCE.items()}


def runs(growth, memory=900.0, late=0.0):
    """Runs on a straight line of 35 s and 12 s a day, but for the last."""
    days = (3, 10, 30)
    seconds = [35.0 + 12.0 * number for number in days]
    seconds[-1] *= 1 + late
    return [growth.Run(number, 2 * cpu, cpu, memory, 1.0, 1.0) for number, cpu in zip(days, seconds, strict=True)]


def test_evidence_of_a_day_is_one_row_for_each_source():
    half_hour = np.timedelta64(30, "m")
    tally = _Tally(evidence=[(DAY + half_hour * (i // 3), (9, -1, 9)[i % 3], sums(i)) for i in range(6)])
    found = _evidence_of(tally, DAY)
    assert found["source"].values.tolist() == [-1, 9]
    assert (found["time"].values == DAY).all()
    for name in EVIDENCE:
        for row, own in enumerate(((1, 4), (0, 2, 3, 5))):
            np.testing.assert_allclose(found[name].values[row], sum(sums(i)[name] for i in own))


def test_the_radar_of_a_day_is_gone_with_the_day():
    gc.collect()
    gc.disable()
    try:
        radar = Radar((), None, None, None, {}, 0.95, 1.0, DAY)
        known = weakref.ref(radar)
        radar.close()
        del radar
        assert known() is None
    finally:
        gc.enable()


def test_a_line_is_found_and_what_leaves_it_is_told(growth):
    offset, slope, apart = growth.line(runs(growth))
    assert (offset, slope) == (pytest.approx(35.0), pytest.approx(12.0))
    assert apart < 1e-9
    assert growth.line(runs(growth, late=1.0))[2] > 0.15


@pytest.mark.parametrize(("wrong", "met"), [({}, True), ({"memory": 1600.0}, False), ({"late": 1.0}, False)])
def test_targets_that_are_missed_are_said_to_be(growth, wrong, met):
    text, found = growth.page(runs(growth, **wrong))
    assert found is met
    assert ("**no**" in text) is not met
