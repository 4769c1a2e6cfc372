"""The speed of the Topographic VAE: both ways make the same, and the page says what was measured."""

import gzip
import struct

import numpy as np
import pytest
import torch

pytest.importorskip("kornia")
from benchmarks import tvae
from benchmarks.tvae_plain import kernel, sequence

from ondee.topographic.coherence import Coherence
from ondee.topographic.model import LatentSettings, TopographicVAE
from ondee.topographic.sequences import Digits

torch.set_num_threads(1)


def digits_of(count=6, side=28):
    images = np.random.default_rng(3).integers(0, 256, (count, side, side)).astype(np.uint8)
    images[:, :2] = 0
    return Digits(images, seed=2)


@pytest.mark.parametrize("frames", [4, 5])
def test_both_make_the_same_of_the_same_weights(frames):
    torch.manual_seed(0)
    digits = digits_of(side=11)
    settings = LatentSettings(capsules=3, dimensions=(9,), coherence=Coherence(frames=frames), centre=30.0)
    ours = TopographicVAE(settings, digits.shape)
    plain = tvae.plain_of(ours)
    apart = tvae.differences(digits, ours, plain, range(3))
    assert set(apart) == {"frames", "logits", "loss", "gradient"} and max(apart.values()) < tvae.ALIKE
    with torch.no_grad():
        plain.neighbours[0, 0, 0, 0, 0] = 0  # one neighbour less
    assert tvae.differences(digits, ours, plain, range(3))["logits"] > 10 * tvae.ALIKE


def test_every_angle_size_and_hue_is_built_alike():
    digits = digits_of()
    for factor in range(3):
        drawn = [digits.values(number, factor)[1] for number in range(4)]
        made = tvae.plain_frames(digits, tvae.Work(range(4), drawn))
        assert torch.allclose(made, digits.batch(range(4), factor=factor).frames, atol=1e-5, rtol=0)


def test_a_quarter_turn_and_a_third_of_the_hues_are_exact():
    digit = torch.rand(7, 7, generator=torch.Generator().manual_seed(1))
    still, turned, green = sequence(digit, [0.0, 90.0, 0.0], [1.0] * 3, [0.0, 0.0, 120.0])
    assert torch.allclose(still[0], digit, atol=1e-5) and still[1:].max() < 1e-5
    assert torch.allclose(turned[0], torch.rot90(digit, 1), atol=1e-5)
    assert torch.allclose(green, still.roll(1, dims=0), atol=1e-5)
    assert kernel(13, 3).sum() == 37


def test_the_page_holds_what_was_measured(tmp_path, capsys):
    images = np.random.default_rng(4).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">I3I", 0x0803, *images.shape) + images.tobytes())
    )
    out = tmp_path / "T.md"
    words = ["--mnist", str(tmp_path), "--rounds", "2", "--batch", "1", "--out", str(out)]
    assert tvae.main(words) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith("# Topographic VAE") and "<!-- speed -->" in text and "<!-- /speed -->" in text
    for told in ("digits: MNIST, 5 images", "9,803,920 parameters", "processor:", "commit:", "date:", "load:"):
        assert told in text
    assert capsys.readouterr().out.strip() in text and str(tmp_path) not in text


def test_the_table_weighs_medians_against_what_was_asked():
    found = {
        "plain": np.array([[0.1, 0.4, 0.5]] * 3),
        "ours": np.array([[0.002, 0.1, 0.102], [0.001, 0.1, 0.1], [9, 9, 9]]),
    }
    rows = [line.split("|")[2:7] for line in tvae.table(found).splitlines()[2:]]
    assert [[cell.strip() for cell in row[:2]] for row in rows] == [
        ["100.0", "2.0"],
        ["400.0", "100.0"],
        ["500.0", "102.0"],
    ]
    assert [row[2].split()[0] for row in rows] == ["50.0", "4.0", "4.9"]
    assert [row[4].strip() for row in rows] == ["yes", "**no**", "**no**"]


def test_models_that_differ_are_not_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tvae, "differences", lambda *given: {"frames": 0.0, "logits": 1e-3, "loss": 0.0})
    assert tvae.main(["--rounds", "1", "--batch", "1", "--out", str(tmp_path / "T.md")]) == 1
    assert not (tmp_path / "T.md").exists() and "logits" in capsys.readouterr().err
