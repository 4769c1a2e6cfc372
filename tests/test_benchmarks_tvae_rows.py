"""The rows of sprites: what is judged, told and drawn of a run."""

import numpy as np
import pytest
import torch
from benchmarks import tvae_rows

from ondee.training.session import train
from ondee.training.settings import LatentConfig

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of sprites that has learnt two steps."""
    folder = tmp_path_factory.mktemp("rows")
    settings = {"capsules": 2, "dimensions": (15,), "widths": (1,), "coherence": {"frames": 5, "width": 1}}
    told = {"model": "tvae", "sequences": "sprites", "settings": settings, "batch": 1, "steps": 2, "threads": 1}
    more = {"validation_samples": 1, "pictures": False}
    train(LatentConfig.model_validate({**told, **more}), out=folder / "tvae-dsprites-5")
    return folder


def test_rows_are_in_the_order_of_their_coherence():
    names = ["tvae-mnist-vae", "tvae-dsprites-5-seed2", "tvae-dsprites-15", "tvae-mnist-18", "tvae-rain-0", "notes"]
    kept = ["tvae-dsprites-15", "tvae-dsprites-5-seed2", "tvae-mnist-18", "tvae-mnist-vae"]
    assert tvae_rows.order([name for name in names if name != "tvae-rain-0"]) == kept


def test_the_page_tells_factors_and_shapes_and_draws_rolls(runs, tmp_path):
    out = tmp_path / "T.md"
    words = [str(runs), "--count", "6", "--images", str(tmp_path), "--out", str(out), "--name", "tried"]
    assert tvae_rows.main(words) == 0
    text = out.read_text()
    for row in ("**dSprites**", "CapCorr orientation", "| square | ellipse | heart |", "of 18 sequences together"):
        assert row in text, row
    assert "nan" not in text and text.count("<!-- tried -->") == 1
    assert {path.name for path in tmp_path.glob("*.png")} == {"tvae_dsprites_5.png", "tvae_dsprites_capsules.png"}


def test_rolls_of_all_sequences_that_can_tell_are_given(runs):
    found = tvae_rows.turned(runs / "tvae-dsprites-5", None, 20)
    assert list(found) == ["x", "y", "orientation", "scale"]
    for name, (rolled, moved) in found.items():
        assert rolled.shape == moved.shape and 10 < len(moved) <= 20
        assert moved.min() >= (name != "scale") and rolled.max() < (5 if name == "scale" else 15)
        assert rolled.dtype == np.int64
