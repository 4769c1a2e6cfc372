"""Two factors at once: what is compared with what, and the page."""

import gzip
import struct

import numpy as np
import pytest
import torch
from benchmarks import tvae_together

from ondee import run
from ondee.topographic.model import LatentSettings, TopographicVAE

torch.set_num_threads(1)
TOLD = {"capsules": 2, "dimensions": (18,), "coherence": {"frames": 5, "width": 3}}


def model(side=28):
    torch.manual_seed(0)
    return TopographicVAE(LatentSettings.model_validate(TOLD), (3, side, side)).eval()


@torch.no_grad()
def test_frames_are_held_against_rolled_and_left_latents_of_the_first():
    made, frames = model(8), torch.rand(2, 4, 3, 8, 8)
    latents = made.latents(frames)

    def nats(entry, truth):
        return float(torch.nn.functional.binary_cross_entropy(made.likelihood.mean(made.decode(entry)), truth)) * 192

    own, rolled, left = tvae_together.rolled_and_frozen(made, frames)
    assert own == pytest.approx(nats(latents, frames), rel=1e-5)
    assert left == pytest.approx(nats(latents[:, :1].expand(-1, 3, -1, -1), frames[:, 1:]), rel=1e-5)
    moved = torch.stack([torch.roll(latents[:, 0], lag, -1) for lag in (1, 2, 3)], 1)
    assert rolled == pytest.approx(nats(moved, frames[:, 1:]), rel=1e-5)


def test_the_page_has_a_row_for_each_run_and_a_figure(tmp_path):
    digits = np.random.default_rng(0).integers(0, 255, (6, 28, 28), dtype=np.uint8)
    head = struct.pack(">HBB3I", 0, 8, 3, *digits.shape)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + digits.tobytes()))
    for name in ("one", "two"):
        run.save_latent(tmp_path / name, model(), about={})
    out = tmp_path / "T.md"
    out.write_text("# T\n")
    words = [str(tmp_path / "one"), str(tmp_path / "two"), "--mnist", str(tmp_path), "--count", "2"]
    assert tvae_together.main([*words, "--images", str(tmp_path), "--out", str(out)]) == 0
    text = out.read_text()
    assert "| one |" in text and "| two |" in text and "rotation and hue" in text
    assert (tmp_path / "tvae_together.png").stat().st_size > 10_000
