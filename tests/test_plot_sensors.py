import numpy as np
import pytest

from ondee.errors import ConfigError
from ondee.plot.classes import cuts_of, draw_classes
from ondee.plot.findings import KINDS, class_of, findings, group, judged, signed
from ondee.plot.heat import HEAT, draw_minutes, heat_of, printed
from ondee.plot.map import draw_map
from ondee.plot.scans import draw_displacements, draw_lags
from ondee.plot.score_maps import draw_score_maps
from ondee.plot.sensors import draw_faults
from ondee.plot.sources import draw_parts, draw_scales
from ondee.plot.style import Scale, encoded, encoded_all
from validated import CLASSES, SENSORS, emptied, sensors, validated

FIGURES = (
    (draw_faults, {}),
    (draw_minutes, {}),
    (draw_lags, {}),
    (draw_displacements, {}),
    (draw_score_maps, {"comparison": "mean", "source": "all"}),
    (draw_parts, {}),
    (draw_scales, {}),
    (draw_classes, {"variable": "relative_bias"}),
)
NAMES = [draw.__name__ for draw, _ in FIGURES]


@pytest.fixture(scope="module")
def made():
    return validated()


def words(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]


@pytest.mark.parametrize(("draw", "given"), FIGURES, ids=NAMES)
def test_every_axis_has_a_name_and_a_unit(draw, given, made):
    figure = draw(made, **given)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    told = words(figure)
    assert shown and "nan" not in " ".join(told).lower()
    units = ("(", "correlation", "fractions skill", "coherence", "minute", "°", "season", "width")
    labels = [label for ax in shown for label in (ax.get_xlabel(), ax.get_ylabel(), ax.get_title("left")) if label]
    assert any(unit in label for label in labels for unit in units)
    if draw is not draw_score_maps:
        assert any(ax.get_xlabel() for ax in shown)


@pytest.mark.parametrize(("draw", "given"), FIGURES, ids=NAMES)
def test_what_is_absent_or_empty_is_refused_with_a_way_out(draw, given, made):
    for poor in ({}, emptied(made)):
        with pytest.raises(ConfigError) as raised:
            draw(poor, **given)
        assert raised.value.fix and raised.value.where


@pytest.mark.parametrize("style", ["paper", "screen"])
def test_figures_are_saved_in_both_styles(style, tmp_path, made):
    for suffix in (".png", ".svg"):
        draw_faults(made, tmp_path / f"faults{suffix}", style=style)
        assert (tmp_path / f"faults{suffix}").stat().st_size > 5000
    with pytest.raises(ConfigError, match="the file exists"):
        draw_faults(made, tmp_path / "faults.png", style=style)


def test_one_sensor_is_enough():
    alone = {"sensors": sensors(sources=("MHS",))}
    for draw in (draw_faults, draw_lags, draw_displacements):
        assert "MHS" in words(draw(alone))


def test_the_table_prints_each_value_and_hatches_what_is_not_resolved(made):
    figure = draw_minutes(made)
    found = made["scores/minute"]
    told = words(figure)
    for heat in HEAT:
        value, *_, settled = heat_of(found, heat.variable, "overpass", list(SENSORS), "minute")
        assert {printed(heat.variable, number) for number in value.ravel()} <= set(told)
        assert value.shape == settled.shape == (5, 6) and not settled.all()
    rows = [*SENSORS, "microwave"]
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    wanted = ~found["resolved"].sel(comparison="overpass", source=rows).values
    floor = ~found["resolved"].sel(comparison="floor", source="microwave").values
    assert len(hatched) == wanted.sum() + floor.sum()


def test_the_clock_lies_where_radar_fits_best(made):
    """A clock that is late by ten minutes saw the rain of ten minutes before."""
    figure = draw_lags(made)
    panel = next(ax for ax in figure.axes if ax.get_title("left") == "ATMS")
    best = [float(line.get_xdata()[0]) for line in panel.lines if len(line.get_xdata()) == 1]
    clock = next(entry for entry in findings(made) if entry.source == "ATMS" and entry.kind == "clock")
    assert clock.value > 8 and any(x == -10.0 for x in best) and any(abs(x + clock.value) < 1e-9 for x in best)


def test_findings_read_the_group(made):
    held = findings(made)
    assert len(held) == 4 * len(SENSORS) and {entry.kind for entry in held} == set(KINDS)
    assert {(entry.source, entry.kind) for entry in held if entry.verdict == "found"} == {
        ("MHS", "bias"),
        ("SSMIS", "east"),
        ("ATMS", "clock"),
    }
    assert not findings({}) and not findings(made, "floor")
    assert all(entry.verdict == "not resolved" and entry.views == 0 for entry in judged(emptied(made)))


def test_a_verdict_without_an_interval_is_not_believed(made):
    held = made["sensors"].copy(deep=True)
    held["clock_low"].values[:] = np.nan
    verdicts = {entry.verdict for entry in findings({"sensors": held}) if entry.kind == "clock"}
    assert verdicts == {"not resolved"}


def test_cuts_are_found_in_their_order(made):
    assert cuts_of(made, "correlation") == list(CLASSES)
    assert class_of(made["scores/minute"], "minute")[1][:2] == ["0–4", "5–9"]
    with pytest.raises(ConfigError, match="no group"):
        group(made, "nothing")


def test_a_map_of_any_quantity_and_of_a_scale_of_its_own(made):
    field = made["maps"]["correlation"].isel(comparison=0, group=0, drop=True)
    assert draw_map(field).axes[0].images[0].get_clim() == pytest.approx((float(field.min()), float(field.max())))
    given = draw_map(field, scale=Scale((-1.0, 1.0), ("#000000", "#ffffff"), False, "correlation"))
    assert given.axes[0].images[0].get_clim() == (-1.0, 1.0)


def test_files_of_one_figure_are_those_of_each_kind(made):
    held = encoded_all(draw_faults(made), (".png", ".svg"))
    assert held[".png"].startswith(b"\x89PNG") and held[".svg"].startswith(b"<?xml")
    assert encoded_all(draw_faults(made), (".png", ".svg")) == held
    alone = encoded(draw_faults(made), ".png")
    assert alone[16:24] == held[".png"][16:24]


def test_signs():
    assert [signed(value) for value in (0.0, -0.004, 0.126, -1.5)] == ["0.00", "0.00", "+0.13", "−1.50"]
