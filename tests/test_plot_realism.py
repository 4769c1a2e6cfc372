"""The figure of realism: every regime with rain is drawn beside the radar events, and what lacks is refused."""

import numpy as np
import pytest
import xarray as xr

from ondee.errors import ConfigError
from ondee.plot.realism import draw_realism


@pytest.fixture
def table() -> xr.Dataset:
    """Two radar events, two regimes, and one without rain; a lag that one event lacks is NaN."""
    number = np.arange(5.0)
    wet = np.where(number == 4, np.nan, 0.1 + 0.1 * number)
    rate, lag, wavelength = np.geomspace(0.1, 100, 20), np.array([5, 10, 15, 30, 60]), 128 / np.arange(64, 0, -1)
    correlation = np.exp(-lag / (20 + 5 * number[:, None, None]) / np.array([1, 2])[:, None])
    correlation[0, :, 2] = np.nan
    exceedance = np.exp(-rate / (1 + number[:, None])) * (rate < 50)
    hollow = np.where(number == 4, np.nan, 1.0)
    return xr.Dataset(
        {
            "real": ("event", [True, True, False, False, False]),
            "wet_fraction": ("event", wet),
            "wet_fraction_low": ("event", wet / 2),
            "wet_fraction_high": ("event", wet * 2),
            "quantile": (("event", "probability"), hollow[:, None] * np.array([0.5, 2, 8]) * (1 + number[:, None])),
            "exceedance": (("event", "rate"), hollow[:, None] * exceedance),
            "correlation": (("event", "frame", "lag"), hollow[:, None, None] * correlation),
            "spectral_power": (
                ("event", "transform", "wavelength"),
                hollow[:, None, None] * np.stack([wavelength**2, wavelength**2.5]) * (1 + number[:, None, None]),
            ),
        },
        coords={
            "event": ["one radar", "another", "frontal", "convective", "dry"],
            "probability": [0.5, 0.9, 0.99],
            "rate": rate,
            "frame": ["fixed", "following"],
            "lag": lag,
            "transform": ["rain", "decibel"],
            "wavelength": wavelength,
        },
    )


@pytest.mark.parametrize("style", ("paper", "screen"))
def test_every_regime_with_rain_is_drawn(table, tmp_path, style):
    figure = draw_realism(table, tmp_path / "realism.png", style=style)
    assert (tmp_path / "realism.png").stat().st_size > 10_000
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["frontal", "convective", "a radar event", "range of the radar events"]
    assert [ax.get_title(loc="left")[0] for ax in figure.axes] == list("abcdef")
    fixed = figure.axes[3]
    drawn = [line.get_ydata() for line in fixed.get_lines()]
    np.testing.assert_allclose(drawn[-1], table["correlation"].sel(event="convective", frame="fixed"))
    assert drawn[0].size == 4 and drawn[1].size == 5  # one event lacks a lag
    names = [text.get_text() for text in figure.axes[5].texts]
    assert names == ["one radar", "another", "frontal", "convective"]


def test_a_table_without_its_variables_is_refused(table):
    with pytest.raises(ConfigError, match="exceedance"):
        draw_realism(table.drop_vars("exceedance"))
