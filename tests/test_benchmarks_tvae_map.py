"""The map of digits on a torus: what counts as alike, and what each place likes."""

import gzip
import struct

import numpy as np
import pytest
import torch
from benchmarks import tvae_map

torch.set_num_threads(1)


def test_neighbours_are_counted_around_the_torus():
    halves = np.repeat([[0], [1]], 6, 0).repeat(12, 1)
    assert tvae_map.alike(halves) == pytest.approx((10 / 12 + 1) / 2)
    board = np.indices((12, 12)).sum(0) % 2
    assert tvae_map.alike(board) == 0.0
    assert tvae_map.alike_by_chance(board) == pytest.approx(0.5, abs=0.03)


def test_the_page_tells_both_models_and_the_figure_is_drawn(tmp_path):
    rng = np.random.default_rng(4)
    for name, count in (("train", 40), ("t10k", 30)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        for kind, values, axes in (("images-idx3", images, 3), ("labels-idx1", images[:, 0, 0] % 10, 1)):
            data = struct.pack(f">{axes + 1}I", 0x0800 + axes, *values.shape) + values.tobytes()
            (tmp_path / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(data))
    out = tmp_path / "T.md"
    words = ["--mnist", str(tmp_path), "--steps", "2", "--images", str(tmp_path), "--out", str(out)]
    assert tvae_map.main(words) == 0
    text = out.read_text()
    assert "| before any training |" in text and "| trained |" in text and "nan" not in text
    assert (tmp_path / "tvae_map.png").stat().st_size > 10_000


def test_a_place_likes_the_digit_at_which_it_is_most_active():
    model = tvae_map.trained(np.zeros((1, 28, 28), np.float32), 0)
    digits = np.random.default_rng(5).random((40, 28, 28), np.float32)
    found = tvae_map.liked(model, digits)
    with torch.no_grad():
        latents = torch.cat([model.latents(torch.from_numpy(one)[None, None, None]) for one in digits]).flatten(1)
    assert np.mean(found == latents.argmax(0).numpy()) > 0.98  # ties within rounding
