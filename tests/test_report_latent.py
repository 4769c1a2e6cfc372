"""The section on latents of rain: a picture, numbers of one storm, and what they cannot say."""

import re
from base64 import b64decode

import numpy as np
import pytest
import xarray as xr

from ondee.report.latent import forecast_words, latent_section


@pytest.fixture
def storm():
    """An hour of three frames, two leads, on cells of 2 km; a corner was not observed."""
    rng = np.random.default_rng(1)
    sizes = {"observed": ("time", 3), "reconstructed": ("time", 3)}
    sizes |= dict.fromkeys(("came", "rolled", "persistent"), ("lead", 2))
    made = {name: ((dim, "y", "x"), rng.gamma(0.4, 3.0, (n, 16, 16))) for name, (dim, n) in sizes.items()}
    made["observed"][1][:, :4, :4] = np.nan
    times = np.datetime64("2018-06-04T12:00", "ns") + np.arange(3) * np.timedelta64(5, "m")
    side = 2000.0 * np.arange(16)
    return xr.Dataset(made, coords={"time": times, "lead": [10, 30], "y": -side, "x": side})


@pytest.fixture
def numbers():
    about = {"run": "<rain>", "latents": 216, "pixels": 4096, "seed": 1, "size": 256}
    return xr.Dataset(
        {"reconstructed": 0.834, "rolled": ("lead", [0.71, np.nan]), "persistent": ("lead", [0.76, 0.5])},
        coords={"lead": [10, 30]},
        attrs={**about, "learnt_seed": 5, "learnt_size": 800},
    )


def test_the_section_shows_a_picture_the_numbers_and_what_they_are_not(storm, numbers):
    text = latent_section(storm, numbers)
    assert text.startswith('<section id="latents">') and text.endswith("</section>")
    held = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    assert b64decode(held[1]).startswith(b"\x89PNG") and "<code>&lt;rain&gt;</code>" in text
    assert "seed 1, 256 km wide" in text and "seed 5, 800 km wide" in text and "216 numbers" in text
    assert "Known up to 2018-06-04 12:10 UTC" in text
    assert "One storm proves nothing" in text and "docs/latent.md" in text


def test_words_give_each_number_its_place(numbers):
    assert forecast_words(numbers) == (
        "At 0.1 mm/h the reconstruction of the known frames has a critical success index of 0.83. 10 min ahead that of "
        "the rolled latents is 0.71 and that of the last frame left as it is 0.76; 30 min ahead undefined and 0.50."
    )


def test_without_torch_it_says_how_to_install_it():
    text = latent_section(None)
    assert "ondee[retrieval]" in text and "<img" not in text


def test_a_picture_alone_claims_nothing(storm):
    text = latent_section(storm)
    assert "<img" in text and "seed" not in text and "critical success index" not in text
