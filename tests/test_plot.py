import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from fields import FRANCE, LAEA, radar, showers
from ondee.errors import ConfigError
from ondee.grid import LOCAL, Grid
from ondee.plot import RAIN_COLOURS, RAIN_LEVELS, draw_floor, draw_map, save, styled
from ondee.plot.map import coast_and_borders, one_frame
from ondee.plot.style import DRY, UNOBSERVED, scale_of
from ondee.source.assembly import Variable, assemble

GEOSTATIONARY = "+proj=geos +h=35785831 +lon_0=0 +sweep=y"
GRIDS = {
    "degrees": FRANCE,
    "laea": Grid(LAEA, 700_000, -2_400_000, 5000, 5000, 200, 180),
    "stereographic": Grid("+proj=stere +lat_0=90 +lat_ts=45 +lon_0=0", -400_000, -3_700_000, 8000, 8000, 100, 100),
    "geostationary": Grid(GEOSTATIONARY, -600_000, 4_900_000, 12_000, 12_000, 100, 60),
    "disk": Grid(GEOSTATIONARY, -5.57e6, 5.57e6, 100_000, 100_000, 111, 111),
    "pole": Grid("+proj=stere +lat_0=90", -3e6, 3e6, 60_000, 60_000, 100, 100),
    "plane": Grid(LOCAL, 0, 256_000, 2000, 2000, 128, 128),
}


def linear(colour):
    values = np.array(to_rgb(colour))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lightness(values):
    """CIE L* of linear RGB."""
    luminance = values @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(luminance) - 16 if luminance > 0.008856 else 903.3 * luminance


# Linear RGB as seen without red, green or blue cones: Machado, Oliveira & Fernandes 2009, table 1, severity 1.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_rain_grows_darker_class_by_class_for_every_eye(kind):
    seen = [np.clip(np.asarray(BLINDNESS[kind]) @ linear(colour), 0, 1) for colour in (DRY, *RAIN_COLOURS)]
    assert max(np.diff([lightness(values) for values in seen])) < -5


def test_every_level_has_its_colour():
    colormap, norm = scale_of("rain_rate", "mm h-1").colormap()
    for level, colour in zip(RAIN_LEVELS, RAIN_COLOURS, strict=True):
        assert colormap(norm(level * 1.01))[:3] == pytest.approx(to_rgb(colour))
    assert colormap(norm(0.0))[:3] == to_rgb(DRY) and colormap(norm(0.099))[:3] == to_rgb(DRY)
    assert colormap(norm(np.ma.masked_invalid([np.nan])))[0, 3] == 0


def test_coast_and_borders_lie_on_the_earth():
    lines = coast_and_borders()
    points = np.concatenate([*lines.coast, *lines.border])
    assert len(points) > 70_000
    assert np.abs(points[:, 0]).max() <= 180.001 and points[:, 1].min() > -90 and points[:, 1].max() < 84
    assert max(np.abs(np.diff(line[:, 0])).max() for line in (*lines.coast, *lines.border)) < 20

    def nearest(kind, longitude, latitude):
        every = np.concatenate(kind)
        return np.hypot((every[:, 0] - longitude) * np.cos(np.radians(latitude)), every[:, 1] - latitude).min()

    assert nearest(lines.coast, -4.77, 48.33) < 0.1  # Pointe de Corsen, the westernmost land of France
    assert nearest(lines.border, 7.59, 47.59) < 0.1  # where France, Germany and Switzerland meet
    assert nearest(lines.coast, 2.35, 48.85) > 1  # Paris


@pytest.mark.parametrize("name", GRIDS)
def test_a_map_on_every_projection(name, tmp_path):
    grid = GRIDS[name]
    figure = draw_map(one_frame(radar(showers(grid), grid=grid)))
    save(figure, tmp_path / "map.png")
    ax = figure.axes[0]
    assert (ax.get_xlim(), ax.get_ylim()) == ((grid.west, grid.east), (grid.south, grid.north))
    assert ax.get_title(loc="left") == "a radar  ·  2018-06-04 12:00 UTC"
    labels = [text.get_text() for text in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    if name in ("plane",):
        assert ax.get_xlabel() == "east (km)" and len(ax.collections) == 0
    else:
        assert name == "disk" or any("°" in label for label in labels)
        assert len(ax.collections) == 3


def test_unobserved_is_neither_dry_nor_wet(tmp_path):
    rain = np.zeros((1, 90, 120), np.float32)
    rain[0, :, :40], rain[0, :, 80:] = np.nan, 3.0
    figure = draw_map(one_frame(radar(rain)), colour_bar=False)
    canvas = figure.canvas
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    box = figure.axes[0].get_window_extent()
    row = pixels.shape[0] - int(box.y0 + 0.37 * box.height)
    left, middle, right = (
        pixels[row - 4 : row + 4, int(box.x0 + share * box.width) :][:, :8].reshape(-1, 3).mean(axis=0) / 255
        for share in (0.08, 0.41, 0.92)
    )
    assert middle == pytest.approx(to_rgb(DRY), abs=0.1)
    assert right == pytest.approx(to_rgb(RAIN_COLOURS[4]), abs=0.1)
    assert left == pytest.approx(to_rgb(UNOBSERVED), abs=0.1) and np.abs(left - middle).max() > 0.1


@pytest.mark.parametrize("style", ["paper", "screen"])
@pytest.mark.parametrize("quantity", ["brightness_temperature", "quality", "reflectivity", "precipitation_likelihood"])
def test_other_quantities(quantity, style, tmp_path):
    times = np.array(["2018-06-04T12:00"], "datetime64[ns]")
    low = {"brightness_temperature": 200.0}.get(quantity, 0.0)
    high = {"quality": 1.0, "brightness_temperature": 300.0}.get(quantity, 60.0)
    values = np.linspace(low, high, 90 * 120, dtype=np.float32).reshape(1, 1, 90, 120)
    made = assemble(
        {quantity: Variable(values)},
        FRANCE,
        times,
        [[times[0], times[0]]],
        label="start",
        product="p",
        where="test",
        channels=("IR_108",),
    )
    figure = draw_map(one_frame(made, channel="IR_108"), style=style)
    assert figure.axes[0].get_title(loc="left") == "p  ·  IR_108  ·  2018-06-04 12:00 UTC"
    save(figure, tmp_path / "map.png")


@pytest.mark.parametrize("choice", [{"variable": "rain"}, {"time": "2018-06-05"}, {"time": "noon"}])
def test_a_frame_that_is_not_there(choice):
    with pytest.raises(ConfigError, match="there is no"):
        one_frame(radar(showers()), **choice)


def test_a_title_says_run_and_version_and_stays_above_its_map():
    field = one_frame(radar(showers()).assign_attrs(run="Late", version="V07"))
    assert draw_map(field).axes[0].get_title(loc="left") == "a radar Late V07  ·  2018-06-04 12:00 UTC"
    wordy = draw_map(field.assign_attrs(product="a product with a very long name " * 3))
    lines = wordy.axes[0].get_title(loc="left").split("\n")
    assert len(lines) == 3 and lines[-1] == "2018-06-04 12:00 UTC" and max(map(len, lines)) <= 57
    wordy.canvas.draw()
    brief = draw_map(field)
    brief.canvas.draw()
    assert wordy.axes[0].get_window_extent().width == pytest.approx(brief.axes[0].get_window_extent().width, rel=0.05)


def test_a_wide_map_has_its_colour_bar_below():
    wide = Grid(GEOSTATIONARY, -5.57e6, 5.57e6, 100_000, 100_000, 111, 28)
    figure = draw_map(one_frame(radar(showers(wide), grid=wide)))
    figure.canvas.draw()
    field, bar = (ax.get_window_extent() for ax in figure.axes)
    assert bar.y1 < field.y0 and bar.width > 3 * bar.height


def test_latitudes_stand_on_the_map_where_no_parallel_reaches_its_edge():
    figure = draw_map(one_frame(radar(showers(GRIDS["disk"]), grid=GRIDS["disk"])))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "60°N" in words and "0°" in words and "60°S" in words


def test_a_map_needs_one_field():
    with pytest.raises(ConfigError, match="a map needs"):
        draw_map(radar(showers())["rain_rate"])


# ---- the sampling floor


def floor(populations=("rain", "all")):
    minute, lag, thresholds = np.arange(30), np.arange(0, 65, 5), [0.1, 1.0]
    bow = 0.9 - 0.3 * ((minute - 14.5) / 15) ** 2
    tables = {
        "correlation": (("population", "minute"), np.tile(bow, (len(populations), 1))),
        "normalised_rmse": (("population", "minute"), np.tile(2 - bow, (len(populations), 1))),
        "probability_of_detection": (("threshold", "minute"), np.stack([bow, bow - 0.1])),
        "false_alarm_ratio": (("threshold", "minute"), np.stack([1 - bow, 1.1 - bow])),
        "lag_correlation": (("population", "lag"), np.tile(np.exp(-lag / 20), (len(populations), 1))),
    }
    data = {
        name + suffix: (dims, values + shift)
        for name, (dims, values) in tables.items()
        for suffix, shift in (("", 0.0), ("_low", -0.05), ("_high", 0.05))
    }
    return xr.Dataset(
        data,
        coords={"minute": minute, "lag": lag, "threshold": thresholds, "population": list(populations)},
        attrs={"product": "a radar", "half_hours": 12, "rainy_cells": 6439, "blocks": 72, "resolution": "0.1 degree"},
    )


@pytest.mark.parametrize("style", ["paper", "screen"])
def test_the_floor_has_four_panels_with_bands_and_names(style, tmp_path):
    figure = draw_floor(floor(), tmp_path / "floor.png", style=style)
    assert len(figure.axes) == 4
    for ax, curves in zip(figure.axes, (2, 2, 4, 2), strict=True):
        assert len(ax.lines) == len(ax.collections) == len(ax.texts) == curves
        heights = sorted(text.get_window_extent().y0 for text in ax.texts)
        assert min(np.diff(heights)) > 5, "two names overlap"
    assert "6\u202f439 cells with rain" in figure.get_suptitle()


def test_errors_that_lie_far_apart_are_drawn_on_decades():
    made = floor()
    assert draw_floor(made).axes[1].get_yscale() == "linear"
    for suffix in ("", "_low", "_high"):
        made[f"normalised_rmse{suffix}"][1] *= 6
    panel = draw_floor(made).axes[1]
    assert panel.get_yscale() == "log"
    heights = sorted(text.get_window_extent().y0 for text in panel.texts)
    assert len(heights) == 2 and np.diff(heights)[0] > 20


def test_the_floor_says_when(tmp_path):
    words = draw_floor(floor().assign_attrs(period="2018-06-04T12:00 to 2018-06-04T18:00")).get_suptitle()
    assert "2018-06-04 12:00 to 2018-06-04 18:00 UTC" in words


def test_the_floor_survives_undefined_scores(tmp_path):
    made = floor()
    made["false_alarm_ratio"][1] = np.nan
    made["correlation"][0, 10:15] = np.nan
    draw_floor(made, tmp_path / "floor.pdf")
    assert (tmp_path / "floor.pdf").read_bytes()[:4] == b"%PDF"


def test_a_floor_without_its_scores_is_refused():
    with pytest.raises(ConfigError, match="no lag_correlation"):
        draw_floor(floor().drop_vars("lag_correlation"))


# ---- saving


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(suffix, tmp_path):
    for name in ("a", "b"):
        draw_floor(floor(), tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_saving_refuses(tmp_path):
    figure = draw_map(one_frame(radar(showers())))
    save(figure, tmp_path / "map.png")
    with pytest.raises(ConfigError, match="the file exists"):
        save(figure, tmp_path / "map.png")
    save(figure, tmp_path / "map.png", force=True)
    with pytest.raises(ConfigError, match="cannot be written"):
        save(figure, tmp_path / "map.gif")
    with pytest.raises(ConfigError, match="folder does not exist"):
        save(figure, tmp_path / "none" / "map.png")


def test_there_are_two_styles():
    with pytest.raises(ConfigError, match="no style"), styled("poster"):
        pass
