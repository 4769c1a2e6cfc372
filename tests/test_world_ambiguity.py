"""The infrared does not tell the rain: four images along the motion tell more than one, and leave much open."""

from pathlib import Path

import pytest

TRAIN, TEST = range(53_000, 53_006), range(53_010, 53_016)


def test_four_images_along_the_motion_beat_one_and_both_leave_spread(monkeypatch):
    """A small piece of `python -m benchmarks.ambiguity`, of which the documentation shows the whole."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from benchmarks.ambiguity import experiment

    results = experiment("convective", TRAIN, TEST, kinds=("one", "four following"))
    for kind, found in results.items():
        print(kind, found)
    one, following = results.values()
    assert one.gain == 0 == one.gain_error
    assert following.gain == pytest.approx(following.correlation - one.correlation)
    assert following.gain > 2 * following.gain_error > 0
    for found in results.values():
        assert 0.3 < found.correlation < 0.8
        assert found.spread > 0.5, "half of the rain lies in a range at least half as wide as its mean"
