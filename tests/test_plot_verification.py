import itertools

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

import ondee.plot as plot
from fields import LAEA
from ondee.errors import ConfigError
from ondee.grid import LOCAL, Grid
from ondee.plot.overview import strata_of
from ondee.plot.palette import MODEL_COLOURS, looks
from ondee.plot.series import arms, chosen_thresholds, estimates_of, series
from test_plot import BLINDNESS, linear
from verified import NAMES, PROBABILITY, cases, dataset, scores

FIGURES = {
    "axes": (plot.draw_axes, "axes", "localisation"),
    "performance": (plot.draw_performance, "event", "success_ratio"),
    "fractions": (plot.draw_fractions, "fractions", "fractions_skill_score"),
    "quantiles": (plot.draw_quantiles, "distribution", "quantile"),
    "spectra": (plot.draw_spectra, "spectrum", "spectral_ratio"),
    "reliability": (plot.draw_reliability, "probability", "observed_frequency"),
    "ranks": (plot.draw_ranks, "ranks", "rank_frequency"),
    "roc": (plot.draw_roc, "probability", "roc_detection"),
    "strata": (plot.draw_strata, "fractions", "fractions_skill_score"),
    "spread": (plot.draw_spread_skill, "spread", "rmse_by_class"),
    "replicate": (plot.draw_replicate, "replicate", "replicate_critical_success_index"),
}
IDEAL = ["all", *(f"hour {hour:02d}" for hour in range(24))]


def words(figure):
    """All texts of a figure, with the boxes they fill."""
    figure.canvas.draw()
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    texts = [*legends, *(text for ax in figure.axes for text in ax.texts)]
    return {text.get_text(): text.get_window_extent() for text in texts if text.get_text()}


def overlap(one, other):
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    tall = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, wide) * max(0.0, tall)


# ---- looks


def laboratory(values):
    """CIELAB of linear RGB."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = matrix @ np.clip(values, 0, 1) / (matrix @ np.ones(3))
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("style", MODEL_COLOURS)
@pytest.mark.parametrize("kind", ["none", "protan", "deutan"])
def test_eight_models_differ_for_these_eyes(style, kind):
    seen = [laboratory(np.asarray(BLINDNESS[kind]) @ linear(colour)) for colour in MODEL_COLOURS[style]]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 17
    ground = laboratory(linear("#ffffff" if style == "paper" else "#16181d"))
    assert min(abs(colour[0] - ground[0]) for colour in seen) > 25


def test_every_estimate_has_a_look_of_its_own():
    made = looks([f"model {number}" for number in range(16)], "paper")
    assert len({(look.colour, look.marker, look.hollow) for look in made.values()}) == 16
    assert len({(look.colour, str(look.dashes)) for look in made.values()}) == 16


def test_a_look_stays_where_an_estimate_has_no_values():
    made = scores()
    roc = plot.draw_roc(made)
    colours = dict(zip([t.get_text() for t in roc.legends[0].get_texts()], roc.legends[0].get_lines(), strict=True))
    assert colours[PROBABILITY].get_color() == MODEL_COLOURS["paper"][NAMES.index(PROBABILITY)]
    assert colours["flow, 16 members"].get_color() == MODEL_COLOURS["paper"][2]


# ---- every figure


@pytest.mark.parametrize("style", ["paper", "screen"])
@pytest.mark.parametrize("name", FIGURES)
def test_figures_draw_what_is_there(name, style, tmp_path):
    draw, _, _ = FIGURES[name]
    figure = draw(scores(), tmp_path / f"{name}.png", style=style)
    assert (tmp_path / f"{name}.png").stat().st_size > 5000
    labels = [ax.get_xlabel() for ax in figure.axes if ax.get_visible()]
    assert any(labels)
    for one, other in itertools.combinations(words(figure).items(), 2):
        shared = overlap(one[1], other[1])
        assert shared <= 0.12 * min(one[1].width * one[1].height, other[1].width * other[1].height), (one, other)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_one_estimate_without_intervals(name):
    draw, _, _ = FIGURES[name]
    one = scores(("flow, 16 members",), reference=None)
    bare = {
        score: held.drop_vars([v for v in held.data_vars if str(v).endswith(("_low", "_high"))])
        for score, held in one.items()
    }
    assert draw(bare).axes


@pytest.mark.parametrize("name", FIGURES)
def test_figures_refuse_what_is_not_there(name):
    draw, score, variable = FIGURES[name]
    made = scores()
    with pytest.raises(ConfigError, match=r"there is no .* to draw"):
        draw({key: held for key, held in made.items() if key != score})
    made[score] = made[score].assign({variable: made[score][variable] * np.nan})
    with pytest.raises(ConfigError, match="is defined nowhere"):
        draw(made)


def test_figures_are_the_same_twice(tmp_path):
    for name in "ab":
        plot.draw_axes(scores(), tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


# ---- what they show


def test_the_two_axes_put_the_better_right_and_up():
    made = scores()
    figure = plot.draw_axes(made, reference="U-Net")
    ax = figure.axes[0]
    assert ax.get_xlim()[1] == 1.0 and ax.get_ylim()[1] == 0.0 and ax.get_ylim()[0] > ax.get_ylim()[1]
    marks = {line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines}
    assert marks["*"] == (1, 0)
    assert marks["s"] == pytest.approx((0.78, 5.9))
    told = words(figure)
    assert "U-Net (reference)" in told and f"not on both axes: {PROBABILITY}" in told and "ideal" in told
    assert "1 mm h⁻¹" in ax.get_xlabel() and "20 km" in ax.get_xlabel() and "(dB)" in ax.get_ylabel()


def test_names_of_marks_that_lie_close_do_not_touch():
    names = tuple(f"model number {number}" for number in range(6))
    made = dataset(
        names,
        {
            "localisation": ((), lambda n: 0.7 + 0.004 * names.index(n)),
            "realism_error": ((), lambda n: 2 + 0.03 * names.index(n)),
        },
        {},
    )
    told = {name: box for name, box in words(plot.draw_axes({"axes": made})).items() if name in names}
    assert len(told) == 6
    assert max(overlap(one, other) for one, other in itertools.combinations(told.values(), 2)) < 10


def test_the_performance_diagram_names_first_and_last_thresholds():
    figure = plot.draw_performance(scores())
    ax = figure.axes[0]
    told = [text.get_text() for text in ax.texts]
    assert told.count("0.1") >= 3 and told.count("20") == 3
    curves = [line for line in ax.lines if line.get_marker() in ("o", "s", "^")]
    assert [len(line.get_xdata()) for line in curves] == [7, 7, 7]
    event = scores()["event"].isel(stratum=0)
    np.testing.assert_allclose(curves[0].get_xdata(), event["success_ratio"].sel(estimate="IMERG Late V07"))


def test_a_probability_beside_rain_has_a_curve_of_its_own_thresholds():
    plain = scores()["event"].isel(stratum=0, drop=True)
    levels = np.array([10.0, 50.0, 90.0])
    mixed = plain.expand_dims(estimate_threshold=levels).copy(deep=True)
    mixed["estimate_threshold"].attrs["units"] = "%"
    place = {"estimate": NAMES.index(PROBABILITY), "threshold": 0}
    for variable, values in (
        ("probability_of_detection", [0.9, 0.6, 0.2]),
        ("success_ratio", [0.3, 0.6, 0.8]),
        ("false_detection_rate", [0.2, 0.1, 0.01]),
    ):
        array = mixed[variable].transpose("estimate", "threshold", "estimate_threshold").copy()
        array[place] = values
        mixed[variable] = array
    figure = plot.draw_performance({"event": mixed})
    curves = {line.get_marker(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(curves["D"].get_xdata(), [0.3, 0.6, 0.8])
    assert len(curves["o"].get_xdata()) == 7
    told = [text.get_text() for text in figure.axes[0].texts]
    assert "≥ 10 %" in told and "≥ 90 %" in told
    roc = plot.draw_roc({"event": mixed, "probability": scores()["probability"]})
    assert [t.get_text() for t in roc.legends[0].get_texts()].count(PROBABILITY) == 1


def test_fractions_use_kilometres_where_the_pixel_is_known():
    made = scores()
    figure = plot.draw_fractions(made)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["≥ 0.1 mm h⁻¹", "≥ 2 mm h⁻¹", "≥ 20 mm h⁻¹"]
    assert figure.axes[0].get_xlabel() == "window (km)"
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), [4, 12, 20, 44, 84])
    made["fractions"] = made["fractions"].assign_attrs(pixel=-1.0)
    assert plot.draw_fractions(made).axes[0].get_xlabel() == "window (pixels)"
    assert "useful" in words(figure)


def test_quantiles_start_at_a_tenth_and_mark_the_tail():
    figure = plot.draw_quantiles(scores())
    ax = figure.axes[0]
    assert ax.get_xlim()[0] == 0.1 and ax.get_xscale() == ax.get_yscale() == "log"
    assert {"q99", "q99.9", "q99.99"} <= set(words(figure))
    assert all(line.get_xdata()[0] >= 0.1 for line in ax.lines if len(line.get_xdata()) > 3)


def test_spectra_have_long_waves_left_and_mark_the_resolution():
    figure = plot.draw_spectra(scores())
    assert len(figure.axes) == 6
    for ax in figure.axes:
        assert ax.get_xlim()[0] > ax.get_xlim()[1] and ax.get_xscale() == "log"
    found = scores()["spectrum"]["effective_resolution"].sel(estimate="U-Net", transform="rain").item()
    marks = [line for line in figure.axes[4].lines if line.get_marker() == "s"]
    assert [line.get_xdata()[0] for line in marks] == [found]
    assert figure.axes[4].get_xlabel() == "wavelength (km)" and "truth" in words(figure)


def test_the_reliability_draws_the_lines_of_no_skill_and_no_resolution():
    figure = plot.draw_reliability(scores(), threshold=5.0)
    assert {"no skill", "base rate"} <= set(words(figure))
    assert figure.axes[0].get_title(loc="left") == "Rain of at least 5 mm h⁻¹"
    inset = figure.axes[1]
    assert len(inset.lines) == 2 and inset.get_yscale() == "log"
    assert {line.get_linestyle() for line in inset.lines} == {"None"}
    many = plot.draw_reliability(scores(members=30))
    assert "None" not in {line.get_linestyle() for line in many.axes[1].lines}


def test_the_replicate_test_has_two_curves_an_ensemble():
    names = ("one, 8 members", "two, 8 members")
    level = np.array([0.1, 1.0, 5.0])
    pairs = {name: np.array([[0.5, 0.4, 0.2], [0.6, 0.5, 0.3]]) - 0.1 * number for number, name in enumerate(names)}
    made = dataset(
        names,
        {"replicate_critical_success_index": (("against", "threshold"), lambda name: pairs[name])},
        {"against": ["truth", "member"], "threshold": ("threshold", level, {"units": "mm h-1"})},
    )
    figure = plot.draw_replicate({"replicate": made})
    assert len(figure.axes) == 1 and figure.axes[0].get_xlabel() == "threshold (mm h⁻¹)"
    assert {"member with truth", "member with member", *names} == {t.get_text() for t in figure.legends[0].get_texts()}
    for number, name in enumerate(names):
        own = [line for line in figure.axes[0].lines if line.get_color() == MODEL_COLOURS["paper"][number]]
        held = {line.get_linestyle(): line.get_ydata() for line in own if line.get_linewidth() > 1}
        np.testing.assert_allclose(held["-"], pairs[name][0])
        np.testing.assert_allclose(held["--"], pairs[name][1])
    both = plot.draw_replicate(scores())
    assert both.axes[1].get_ylabel() == "fractions skill score, window of 5 pixels"


def test_negative_coherence_is_shown():
    made = scores()
    assert plot.draw_spectra(made).axes[4].get_ylim() == (0, 1)
    coherence = made["spectrum"]["spectral_coherence"].copy(deep=True)
    coherence[1, :, 0] = -0.3
    made["spectrum"] = made["spectrum"].assign(spectral_coherence=coherence)
    assert plot.draw_spectra(made).axes[4].get_ylim() == pytest.approx((-0.35, 1))


def test_resolutions_that_lie_together_are_moved_apart():
    made = scores()
    same = made["spectrum"]["effective_resolution"] * 0 + 50.0
    made["spectrum"] = made["spectrum"].assign({f"effective_resolution{end}": same for end in ("", "_low", "_high")})
    ax = plot.draw_spectra(made).axes[4]
    heights = sorted(line.get_ydata()[0] for line in ax.lines if line.get_marker() in ("o", "s", "^"))
    assert np.diff(heights).min() > 0.04 and 0.5**0.5 in heights


def test_a_blurred_estimate_does_not_stretch_the_spectra():
    made = scores()
    found = made["spectrum"].copy(deep=True)
    found["spectral_ratio"][0] = -90.0
    found["spectral_power"][0, 0] *= 1e-12
    made["spectrum"] = found
    figure = plot.draw_spectra(made)
    least = found["spectral_power"].sel(field="truth", transform="rain").min().item()
    assert figure.axes[2].get_ylim()[0] == -30.0 == figure.axes[3].get_ylim()[0]
    assert figure.axes[0].get_ylim()[0] == pytest.approx(1e-4 * least)


def test_thresholds_that_coincide_are_named_once():
    made = scores()
    event = made["event"].copy(deep=True)
    for variable in ("success_ratio", "probability_of_detection"):
        event[variable].loc[{"estimate": "U-Net"}] = event[variable].sel(estimate="flow, 16 members").values + 1e-4
    figure = plot.draw_performance({"event": event})
    told = [text for text in figure.axes[0].texts if text.get_text() in ("20", "0.1") and text.get_path_effects()]
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in told]
    assert len(told) >= 4
    assert max(overlap(one, other) for one, other in itertools.combinations(boxes, 2)) < 10


def test_an_even_rank_histogram_lies_on_one():
    even = dataset(
        ("a", "b"),
        {"rank_frequency": (("population", "rank"), lambda n: np.full((2, 9), 1 / 9))},
        {"population": ["all", "wet"], "rank": np.arange(9)},
    )
    wider = even.reindex(rank=np.arange(17))  # members of another ensemble: the ranks of this one end before
    figure = plot.draw_ranks({"ranks": wider})
    assert len(figure.axes) == 2
    for ax in figure.axes:
        assert [bar.get_height() for bar in ax.patches[:9]] == pytest.approx([1.0] * 9)
        assert ax.get_xlabel() == "rank among 8 members"


def test_strata_of_two_variables():
    names = ["all", "hour 00", "hour 06", "season DJF", "season JJA", "season MAM"]
    made = scores(strata=names)
    assert list(strata_of(made["event"])) == ["hour", "season"]
    figure = plot.draw_strata(made, score="event", variable="frequency_bias", by="season", threshold=1.0)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["DJF", "MAM", "JJA"]
    assert ax.get_title(loc="left") == "≥ 1 mm h⁻¹" and ax.get_xlabel() == "season"
    with pytest.raises(ConfigError, match="no strata of 'moon'"):
        plot.draw_strata(made, score="event", variable="frequency_bias", by="moon")
    with pytest.raises(ConfigError, match="there are no strata"):
        plot.draw_strata(scores(strata=None))


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_cases_share_one_scale(count, tmp_path):
    names = [f"model {number}" for number in range(count)]
    figure = plot.draw_cases(cases(names), tmp_path / "case.png")
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title(loc="left") for ax in shown] == ["truth", *names]
    assert len({ax.images[0].norm(3.0) for ax in shown}) == 1
    bars = [ax for ax in figure.axes if "rain rate (mm h⁻¹)" in ax.get_xlabel()]
    assert len(bars) == 1 and "2018-06-04 12:00 UTC" in bars[0].get_xlabel()
    assert bars[0].get_legend().get_texts()[0].get_text() == "not observed"


@pytest.mark.parametrize(
    "grid", [Grid(LAEA, 700_000, -2_400_000, 5000, 5000, 160, 70), Grid(LOCAL, 0, 0, 2e3, 2e3, 64, 64)]
)
def test_cases_on_other_grids(grid):
    assert len([ax for ax in plot.draw_cases(cases(["one"], grid)).axes if ax.images]) == 2


def test_cases_need_panels():
    with pytest.raises(ConfigError, match="with panel, y and x"):
        plot.draw_cases(cases().isel(panel=0))


# ---- choosing


def test_names_come_in_the_order_of_the_longest_score():
    one, other = (xr.Dataset(coords={"estimate": list(names)}) for names in ("bc", "abcd"))
    assert estimates_of({"one": one, "other": other, "third": xr.Dataset(coords={"estimate": ["e"]})}) == list("abcde")


def test_a_series_takes_the_first_stratum_and_the_nearest_threshold():
    made = scores(strata=IDEAL)["event"]
    found = series(made, "frequency_bias", estimate="U-Net", threshold=0.97)
    assert found.value == made["frequency_bias"].sel(estimate="U-Net", threshold=1.0, stratum="all")
    assert found.low < found.value < found.high
    bare = series(made.drop_vars("frequency_bias_low"), "frequency_bias", estimate="U-Net", threshold=1.0)
    assert np.isnan(bare.low) and arms(bare.value, bare.low, bare.high)[0, 0] == 0


def test_thresholds_without_values_are_not_chosen():
    made = scores()["fractions"]
    held = made["fractions_skill_score"].where(made["threshold"] < 4)
    assert chosen_thresholds(made.assign(fractions_skill_score=held), "fractions_skill_score") == [0.1, 1.0, 2.0]


def test_a_figure_as_bytes():
    figure = plot.draw_axes(scores())
    held = plot.encoded(plot.draw_axes(scores()), ".svg")
    assert held == plot.encoded(figure, ".svg") and b"<text" not in held and b"font-family" not in held
    assert plot.encoded(figure, ".png")[:4] == b"\x89PNG"
    with pytest.raises(ConfigError, match=r"is no '\.gif'"):
        plot.encoded(figure, ".gif")
    assert to_rgb(MODEL_COLOURS["paper"][0])
