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


def test_runs_that_differ_by_their_seed_are_one_row():
    names = ["tvae-mnist-18-seed1", "tvae-mnist-18-seed10", "tvae-mnist-18-turning", "tvae-mnist-5"]
    found = tvae_rows.grouped(names)
    assert found == {"tvae-mnist-18": names[:2], "tvae-mnist-18-turning": names[2:3], "tvae-mnist-5": names[3:]}


def _figures(likelihood, share, rolled):
    """A run with one factor."""
    told = {"log_likelihood": likelihood, "divergence": 7.25, "equivariance_untrained": 40.0, "capcorr_x": share}
    figures = {**told, "capcorr_x_untrained": 0.5, "rolled_x": rolled, "frozen_x": 9.0}
    return {"figures": figures, "sequences": "sprites", "factors": ["x"]}


def test_seeds_of_a_row_are_told_by_their_median_and_ends():
    runs = [_figures(-300.0, 0.2, 3), _figures(-200.0, 0.9, 5), _figures(-100.0, 0.3, 2)]
    found = {f"tvae-dsprites-15-seed{seed}": run for seed, run in enumerate(runs, 1)}
    text = tvae_rows.tables(
        {**found, "tvae-dsprites-5": _figures(-4.0, -0.25, 8), "tvae-dsprites-vae": _figures(-4.0, -0.004, 8)}
    )
    assert "| TVAE, 15 frames | −200 [−300, −100] | – | – | 7.2 |" in text and "| 40 |" in text
    assert "| TVAE, 15 frames | 0.30 [0.20, 0.90] | 3 / 9 |" in text
    assert "| TVAE, 5 frames | −0.25 | 8 / 9 |" in text and "| VAE | 0.00 | 8 / 9 |" in text
    assert "| TVAE, 15 frames, before any training | 0.50 | – |" in text


def test_rows_with_fewer_seeds_than_others_are_named():
    seeds = {"tvae-mnist-18-seed2": 2, "tvae-mnist-18-seed1": 1, "tvae-mnist-5-seed1": 1, "tvae-mnist-vae-seed3": 3}
    told = tvae_rows.seeds_told(seeds)
    assert told.startswith("1, 2; tables tell the median and, in brackets, the lowest and the highest")
    assert told.endswith("; fewer or others: tvae-mnist-5 1, tvae-mnist-vae 3")


def test_the_page_tells_factors_and_shapes_and_draws_rolls(runs, tmp_path):
    out = tmp_path / "T.md"
    words = [str(runs), "--count", "6", "--images", str(tmp_path), "--out", str(out), "--name", "tried"]
    assert tvae_rows.main(words) == 0
    text = out.read_text()
    assert "- seeds: 0\n" in text and "- trained on commit: " in text
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
