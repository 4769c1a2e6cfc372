"""The section on retrievals: one picture, numbers of the models, and what they cannot say."""

import re
from base64 import b64decode

import numpy as np
import pytest
import xarray as xr

from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.report.retrieval import retrieval_section

GRID = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -64000, 64000, 4000, 4000, 32, 32)
ESTIMATES = ["unet", "ddpm", "flow, a draw", "flow mean"]


@pytest.fixture(scope="module")
def scene():
    """Radar, regression, diffusion and flow; the radar lacks a corner."""
    rng = np.random.default_rng(5)
    rain = rng.gamma(0.4, 3.0, (4, *GRID.shape)).astype(np.float32)
    rain[0, :4, :4] = np.nan
    return xr.Dataset(
        {
            "rain_rate": (("panel", "y", "x"), rain, {"units": "mm h-1"}),
            "brightness_temperature": (("y", "x"), rng.uniform(215, 290, GRID.shape), {"units": "K"}),
        },
        coords={**GRID.coordinates(), "panel": ["radar", "unet", "ddpm", "flow, member <1>"]},
    )


@pytest.fixture
def numbers():
    return xr.Dataset(
        {
            "critical_success_index": (("estimate", "threshold"), np.arange(8.0).reshape(4, 2) / 10),
            "wet_fraction_ratio": ("estimate", [0.9, 1.2, np.nan, 1.0]),
            "largest_ratio": ("estimate", [0.3, 1.4, 1.1, 0.8]),
            "evaluations": ("estimate", [1, 500, 8, 128]),
            "seconds": ("estimate", [0.01, 5.0, 0.1, 1.6]),
        },
        coords={"estimate": ESTIMATES, "threshold": [0.1, 1.0]},
        attrs={"moments": 4, "members": 16, "size": 256},
    )


def test_the_section_shows_a_picture_the_numbers_and_says_what_they_are(scene, numbers):
    text = retrieval_section(scene, numbers)
    assert text.startswith('<section id="retrieval">') and text.endswith("</section>")
    held = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    assert b64decode(held[1]).startswith(b"\x89PNG") and "member &lt;1&gt;" in text
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', text)
    assert [name for name, _ in rows] == ESTIMATES
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for _, row in rows]
    assert cells[1] == ["0.20", "0.30", "1.20", "1.40", "500", "5.00"] and cells[2][2] == "–"
    assert "No skill is claimed on real infrared" in text and "4 moments of one event on 256 km" in text


def test_without_torch_it_says_how_to_install_it():
    text = retrieval_section(None)
    assert "ondee[retrieval]" in text and "<img" not in text


def test_numbers_that_lack_a_variable_are_refused(scene, numbers):
    with pytest.raises(ConfigError, match="seconds"):
        retrieval_section(scene, numbers.drop_vars("seconds"))
