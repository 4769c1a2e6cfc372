"""The figures of retrievals: every model is drawn where its scores say, every panel with the scale of its quantity."""

import numpy as np
import pytest
import xarray as xr

import verified
from ondee.errors import ConfigError
from ondee.grid import Grid
from ondee.plot.retrieval import INFRARED, draw_place_and_kind, draw_retrievals, draw_spectral_ratios
from ondee.plot.style import RAIN_LEVELS

GRID = Grid("+proj=laea +lat_0=46.5 +lon_0=2.5 +ellps=WGS84", -64000, 64000, 4000, 4000, 32, 32)
NAMES = ("model", "product", "evaluations", "noise_scale", "seconds", "place", "kind")
ENTRIES = (
    ("unet", "field", 1, np.nan, 0.02, 0.0, 5.2),
    ("ddpm", "draw", 500, 1.0, 80.0, -0.11, 1.0),
    ("flow", "draw", 4, 1.0, 0.4, -0.07, 1.2),
    ("flow", "draw", 8, 1.0, 0.8, -0.08, 0.6),
    ("flow", "draw", 8, 0.8, 0.8, -0.06, 1.1),
    ("flow", "mean", 8, 1.0, 12.8, 0.01, 4.5),
)


@pytest.fixture
def points():
    """A regression, a slow model, and a quick one with three ways of drawing and a mean."""
    made = xr.Dataset({name: ("point", [entry[k] for entry in ENTRIES]) for k, name in enumerate(NAMES)})
    for name, width in (("place", 0.02), ("kind", 0.4)):
        made[f"{name}_low"], made[f"{name}_high"] = made[name] - width, made[name] + width
    return made.assign_attrs(place="CSI less that of the U-Net", kind="error")


@pytest.fixture
def scene():
    """Radar, two retrievals, infrared and probability on 32 x 32 cells; the radar lacks a corner."""
    rng = np.random.default_rng(3)
    rain = rng.gamma(0.4, 3.0, (3, *GRID.shape)).astype(np.float32)
    rain[0, :5, :5] = np.nan
    warm = rng.uniform(215, 290, GRID.shape)
    return xr.Dataset(
        {
            "rain_rate": (("panel", "y", "x"), rain, {"units": "mm h-1"}),
            "brightness_temperature": (("y", "x"), warm, {"units": "K"}),
            "probability": (("y", "x"), (rain[1:] > 1).mean(0), {"units": "1", "threshold": 1.0}),
        },
        coords={**GRID.coordinates(), "panel": ["radar", "unet", "flow"], "time": np.datetime64("2018-06-14", "ns")},
    )


def marks(ax):
    return [line for line in ax.get_lines() if line.get_marker() == "o"]


def test_every_model_lies_where_its_scores_say_and_better_is_up(points, tmp_path):
    figure = draw_place_and_kind(points, tmp_path / "axes.png")
    assert (tmp_path / "axes.png").stat().st_size > 10_000
    ax = figure.axes[0]
    drawn = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marks(ax)]
    assert drawn == [entry[-2:] for entry in ENTRIES]
    assert ax.get_ylim()[0] > ax.get_ylim()[1] == 0.0
    words = {text.get_text() for text in ax.texts}
    assert {"unet · 0.02 s", "ddpm · 500× · 80 s", "flow · 8× · τ 0.8 · 0.8 s", "flow mean"} <= words


def test_slow_models_have_large_marks_and_single_fields_hollow_ones(points):
    figure = draw_place_and_kind(points)
    ax = figure.axes[0]
    sizes = [line.get_markersize() for line in marks(ax)]
    assert sizes[0] == min(sizes) and sizes[1] == max(sizes) and sizes[2] < sizes[3] < sizes[5]
    hollow = [line.get_markerfacecolor() != line.get_markeredgecolor() for line in marks(ax)]
    assert hollow == [True, False, False, False, False, True]


def test_a_point_without_scores_or_seconds_is_left_out_or_named_without_them(points):
    points["place"].values[1] = np.nan
    points["seconds"].values[:] = np.nan
    ax = draw_place_and_kind(points).axes[0]
    assert len(marks(ax)) == 5 and "unet" in {text.get_text() for text in ax.texts}


def test_points_that_lack_a_variable_are_refused(points):
    with pytest.raises(ConfigError, match="seconds"):
        draw_place_and_kind(points.drop_vars("seconds"))


@pytest.mark.parametrize("style", ("paper", "screen"))
def test_a_scene_is_drawn_with_one_scale_a_quantity(scene, tmp_path, style):
    figure = draw_retrievals(scene, tmp_path / "scene.png", style=style)
    assert (tmp_path / "scene.png").stat().st_size > 10_000
    maps = [ax for ax in figure.axes if ax.images]
    titles = [ax.get_title(loc="left") for ax in maps]
    assert titles == ["infrared", "radar", "unet", "flow", "P(R ≥ 1 mm h⁻¹)"]
    assert len({tuple(ax.images[0].norm.boundaries) for ax in maps[1:4]}) == 1
    assert tuple(maps[1].images[0].norm.boundaries) == RAIN_LEVELS
    cold, warm = maps[0].images[0].cmap(np.array([0.0, 1.0]))[:, 0]
    assert cold > 0.95 and warm < 0.1 and maps[0].images[0].norm.vmin == INFRARED.levels[0]
    labels = [ax.get_xlabel() for ax in figure.axes if not ax.images and ax.get_xlabel()]
    assert labels == ["10.8 µm (K)", "rain rate (mm h⁻¹)", "probability"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["not observed"]


def test_rain_alone_is_drawn_too_and_its_absence_is_refused(scene):
    alone = scene.drop_vars(["brightness_temperature", "probability"])
    assert sum(bool(ax.images) for ax in draw_retrievals(alone).axes) == 3
    with pytest.raises(ConfigError, match="panel"):
        draw_retrievals(alone.isel(panel=0))


def test_a_likelihood_takes_the_place_of_the_infrared(scene):
    likely = scene["probability"].assign_attrs(units="%") * 100
    figure = draw_retrievals(scene.drop_vars("brightness_temperature").assign(precipitation_likelihood=likely))
    first = next(ax for ax in figure.axes if ax.images)
    assert first.get_title(loc="left") == "likelihood" and first.images[0].norm.vmax == 100


def test_ratios_of_spectra_are_those_of_the_scores():
    scores = verified.scores()
    figure = draw_spectral_ratios(scores, names=("U-Net", "flow, 16 members"))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Rain", "Rain in decibels"]
    ax = figure.axes[0]
    drawn = [line.get_ydata() for line in ax.get_lines() if len(line.get_ydata()) > 2]
    ratio = scores["spectrum"]["spectral_ratio"].isel(stratum=0, missing_dims="ignore").isel(transform=0)
    np.testing.assert_allclose(drawn[0], ratio.sel(estimate="U-Net"))
    np.testing.assert_allclose(drawn[1], ratio.sel(estimate="flow, 16 members"))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["U-Net", "flow, 16 members"]
    with pytest.raises(ConfigError, match="spectral_ratio"):
        draw_spectral_ratios({"event": scores["event"]})
