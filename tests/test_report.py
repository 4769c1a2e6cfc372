import io
import re
from base64 import b64decode
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from ondee.errors import ConfigError
from ondee.report import Column, draw_all, tabulate, write_report
from ondee.report.table import direction
from ondee.score import Measure
from ondee.terminal.verification import show_verification
from verified import NAMES, PROBABILITY, cases, dataset, dry, facts, scores

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Elements of a page, and whether they close as they should."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.elements, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag):
        return [attrs for found, attrs in self.elements if found == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    told = facts() | {"command": "ondee verify 'a<b>&c' radar/ --out scores.nc"}
    write_report(path, scores(), told, cases(NAMES[:3]))
    return Page(path.read_text(encoding="utf-8"))


# ---- the page


def test_the_page_needs_nothing_else(page):
    assert not page.wrong and not page.open
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object"})
    addresses = [attrs.get(name) for _, attrs in page.elements for name in ("src", "href") if attrs.get(name)]
    assert addresses and all(address.startswith(("data:image/", "#")) for address in addresses)


def test_every_link_of_the_page_leads_somewhere(page):
    anchors = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(anchors) == len(set(anchors))
    assert {attrs["href"][1:] for attrs in page.all("a")} <= set(anchors)


def test_every_image_is_an_image_with_words(page):
    images = page.all("img")
    assert len(images) == 13  # maps, two axes, nine figures, two of strata
    for attrs in images:
        kind, _, data = attrs["src"].partition(";base64,")
        held = b64decode(data, validate=True)
        assert attrs["alt"]
        assert held.startswith(b"\x89PNG" if kind.endswith("png") else b"<?xml")
    assert len(page.all("figure")) == len(page.all("figcaption")) == 13


def test_text_of_the_user_is_escaped(page):
    text = "".join(page.words)
    assert "against the radar <composite> of France" in text and "ondee verify 'a<b>&c' radar/" in text
    assert not page.all("composite") and "b" in {tag for tag, _ in page.elements}


def test_the_page_has_its_parts_in_order(page):
    parts = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert parts == ["case", "two-axes", "table", "figures", "strata", "blind", "settings"]
    figures = [attrs["id"] for tag, attrs in page.elements if tag == "article"]
    probabilities = ["reliability", "roc", "ranks", "spread", "replicate"]
    assert figures[:9] == ["performance", "fractions", "quantiles", "spectra", *probabilities]
    text = "".join(page.words)
    for told in ("ignores misses", "5\u202f904", "95 % intervals", "9c6a69b", "number of blocks", "SEVIRI likelihood"):
        assert told in text
    assert "{level}" not in text and not re.search(r"\bnan\b", text)


def test_a_page_of_little(tmp_path):
    made = {"event": scores((NAMES[0],), strata=None, reference=None)["event"]}
    path = write_report(tmp_path / "little.html", made, {})
    text = path.read_text(encoding="utf-8")
    assert text.count("<img") == 1 and "Verification of rain" in text and "realism" not in text
    empty = write_report(tmp_path / "empty.html", {}, {"title": "nothing"})
    assert "No score of the table is defined" in empty.read_text(encoding="utf-8")


def test_the_level_of_the_intervals_is_told(tmp_path):
    path = write_report(tmp_path / "r.html", {"axes": scores()["axes"]}, facts() | {"level": 0.9})
    text = path.read_text(encoding="utf-8")
    assert "90 % intervals" in text and "95 %" not in text


def test_a_dark_report(tmp_path):
    path = write_report(tmp_path / "dark.html", {"axes": scores()["axes"]}, {}, style="screen")
    assert "--paper: #16181d" in path.read_text(encoding="utf-8")


def test_reports_are_not_overwritten_untold(tmp_path):
    path = tmp_path / "r.html"
    write_report(path, {}, {})
    with pytest.raises(ConfigError, match="the file exists"):
        write_report(path, {}, {})
    write_report(path, {}, {}, force=True)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(tmp_path / "r.pdf", {}, {})
    with pytest.raises(ConfigError, match="no style"):
        write_report(tmp_path / "s.html", {}, {}, style="poster")


def test_all_figures_into_a_folder(tmp_path):
    made = draw_all(scores(strata=None), facts(), cases(NAMES[:1]), tmp_path, suffix=".png")
    assert [path.stem for path in made][:3] == ["case", "axes", "performance"] and len(made) == 11
    with pytest.raises(ConfigError, match="the file exists"):
        draw_all({}, {}, cases(NAMES[:1]), tmp_path)


@pytest.mark.parametrize("names", [NAMES, NAMES[:1], NAMES[1:3][::-1], NAMES[2:3]])
def test_an_estimate_that_never_rains_draws(names, tmp_path):
    made = dry(scores(names, strata=None, reference=None), names[0])
    drawn = {path.stem for path in draw_all(made, {}, None, tmp_path, suffix=".svg")}
    assert {"fractions", "quantiles"} <= drawn and ("axes" in drawn) == (len(names) > 1)
    assert ({"spread", "replicate", "reliability"} <= drawn) == any("members" in name for name in names)


def test_the_caption_says_what_leaves_the_spectra(tmp_path):
    made = {"spectrum": scores()["spectrum"].copy(deep=True)}
    assert "leave the panel" not in write_report(tmp_path / "a.html", made, {}).read_text(encoding="utf-8")
    made["spectrum"]["spectral_ratio"][0] = -50.0
    assert "Ratios below −30 dB leave" in write_report(tmp_path / "b.html", made, {}).read_text(encoding="utf-8")


def test_one_reference_is_told_and_many_are_not(tmp_path):
    made = {"axes": scores()["axes"]}
    told = "Differences were taken against U-Net."
    assert told in write_report(tmp_path / "a.html", made, facts()).read_text(encoding="utf-8")
    gaps = [name for name in made["axes"].data_vars if "_difference" in name]
    made["axes"] = made["axes"].assign({name: made["axes"][name].expand_dims(reference=["U-Net"]) for name in gaps})
    assert told not in write_report(tmp_path / "b.html", made, facts()).read_text(encoding="utf-8")


# ---- the table


def cell(rows, estimate, variable):
    found = [row for row in rows if row.estimate == estimate and row.variable == variable]
    assert len(found) == 1
    return found[0]


def one_column(values, *, low=None, high=None, differences=None, variable="critical_success_index"):
    """Table of one column; differences are (value, low, high) against the first."""
    names = list(values)
    data = {variable: ("estimate", list(values.values()))}
    if low is not None:
        data |= {f"{variable}_low": ("estimate", low), f"{variable}_high": ("estimate", high)}
    if differences is not None:
        for suffix, held in zip(("", "_low", "_high"), zip(*differences, strict=True), strict=True):
            data[f"{variable}_difference{suffix}"] = ("estimate", list(held))
    made = xr.Dataset(data, coords={"estimate": names})
    return tabulate({"event": made}, [Column("event", variable, "score", "where")])


NAN3 = (np.nan, np.nan, np.nan)


def test_the_table_has_values_units_and_arrows():
    rows = tabulate(scores())
    held = cell(rows, "U-Net", "localisation")
    assert held.value == 0.78 and held.low < 0.78 < held.high and held.best and held.resolved
    assert held.column == "FSS ≥ 1 mm h⁻¹, 20 km" and held.arrow == "↑" and held.units == ""
    realism = cell(rows, "flow, 16 members", "realism_error")
    assert realism.best and realism.arrow == "↓" and realism.units == "dB" and realism.axis == "what"
    assert cell(rows, NAMES[0], "frequency_bias").arrow == "→ 1"
    assert cell(rows, NAMES[0], "frequency_bias").column == "frequency bias ≥ 1 mm h⁻¹"
    assert np.isnan(cell(rows, PROBABILITY, "localisation").value)
    assert cell(rows, PROBABILITY, "brier_skill_score").column == "Brier skill ≥ 0.1 mm h⁻¹"
    assert {len([row for row in rows if row.column == name]) for name in {row.column for row in rows}} == {4}
    assert asdict(rows[0])["estimate"] == NAMES[0]


@pytest.mark.parametrize(
    ("variable", "values", "best"),
    [
        ("critical_success_index", {"a": 0.2, "b": 0.4}, "b"),
        ("false_alarm_ratio", {"a": 0.2, "b": 0.4}, "a"),
        ("frequency_bias", {"a": 0.5, "b": 1.9}, "b"),  # a factor of 2 lies farther from 1 than one of 1.9
        ("critical_success_index", {"a": 0.2, "b": float("nan")}, None),
        ("base_rate", {"a": 0.2, "b": 0.4}, None),
    ],
)
def test_best_is_what_lies_nearest_to_the_perfect_value(variable, values, best):
    rows = one_column(values, variable=variable)
    assert [row.estimate for row in rows if row.best] == ([] if best is None else [best])
    if best is None:
        assert all(row.resolved for row in rows)


def test_the_paired_difference_decides_where_one_of_the_two_is_the_reference():
    values, low, high = {"a": 0.5, "b": 0.45, "c": 0.48}, [0.4, 0.35, 0.38], [0.6, 0.55, 0.58]
    differences = [NAN3, (-0.05, -0.07, -0.03), (-0.02, -0.05, 0.01)]
    rows = {row.estimate: row for row in one_column(values, low=low, high=high, differences=differences)}
    assert rows["a"].best and rows["b"].resolved and not rows["c"].resolved
    turned = [NAN3, (0.1, 0.05, 0.15), (-0.02, -0.05, 0.01)]
    rows = {
        row.estimate: row for row in one_column({"a": 0.5, "b": 0.6, "c": 0.48}, low=low, high=high, differences=turned)
    }
    assert rows["b"].best and rows["a"].resolved  # the reference is told from the best by the best one's difference
    assert rows["c"].resolved  # 0.05…0.15 and −0.05…0.01 do not overlap
    close = [NAN3, (0.1, 0.0, 0.2), (0.02, -0.05, 0.1)]
    rows = {
        row.estimate: row for row in one_column({"a": 0.5, "b": 0.6, "c": 0.52}, low=low, high=high, differences=close)
    }
    assert not rows["a"].resolved and not rows["c"].resolved


def test_all_that_print_as_the_best_are_best():
    rows = one_column({"a": 0.5049, "b": 0.4951, "c": 0.4949}, low=[0.5, 0.49, 0.4], high=[0.51, 0.5, 0.45])
    assert [(row.best, row.resolved) for row in rows] == [(True, True), (True, True), (False, True)]
    overlapping = one_column({"a": 0.503, "b": 0.499, "c": 0.49}, low=[0.4] * 3, high=[0.6] * 3)
    assert [(row.best, row.resolved) for row in overlapping] == [(True, True), (True, True), (False, False)]


def test_without_differences_intervals_must_not_overlap():
    rows = one_column({"a": 0.5, "b": 0.3, "c": 0.45}, low=[0.45, 0.25, 0.4], high=[0.55, 0.35, 0.5])
    assert [row.resolved for row in rows] == [True, True, False]
    assert [row.resolved for row in one_column({"a": 0.5, "b": 0.3})] == [True, False]


def test_differences_against_every_estimate_are_used():
    names, variable = ["a", "b", "c"], "critical_success_index"
    gap = np.array([0.5, 0.6, 0.58])[:, None] - np.array([0.5, 0.6, 0.58])[None]
    made = xr.Dataset(
        {
            variable: ("estimate", [0.5, 0.6, 0.58]),
            **{
                f"{variable}_difference{suffix}": (("estimate", "reference"), gap + shift)
                for suffix, shift in (("", 0), ("_low", -0.03), ("_high", 0.03))
            },
        },
        coords={"estimate": names, "reference": names},
    )
    rows = tabulate({"event": made}, [Column("event", variable, "score", "where")])
    assert [(row.best, row.resolved) for row in rows] == [(False, True), (True, True), (False, False)]


def test_the_many_thresholds_of_a_probability_give_no_single_number():
    values = np.array([[[0.3, 0.3]], [[0.2, 0.4]]])
    made = xr.Dataset(
        {"critical_success_index": (("estimate", "threshold", "estimate_threshold"), values)},
        coords={"estimate": ["rain", "likelihood"], "threshold": [1.0], "estimate_threshold": [10.0, 50.0]},
    )
    rows = tabulate({"event": made})
    assert rows[0].value == 0.3 and np.isnan(rows[1].value)


def test_a_column_without_values_is_left_out():
    assert not tabulate({})
    made = scores((NAMES[0],), reference=None)
    rows = tabulate(made)
    assert "fair_crps" not in {row.variable for row in rows} and not any(row.best for row in rows)
    assert all(row.resolved for row in rows)


def test_estimates_that_a_score_does_not_hold_are_not_those_it_holds():
    made = scores(reference=None)
    made["crps"] = made["crps"].sel(estimate=["flow, 16 members"])
    made["event"] = made["event"].sel(estimate=list(NAMES[:2]))
    rows = tabulate(made)
    assert (
        np.isnan(cell(rows, "U-Net", "fair_crps").value) and cell(rows, "flow, 16 members", "fair_crps").value == 0.21
    )
    assert np.isnan(cell(rows, "flow, 16 members", "critical_success_index").value)
    assert cell(rows, "U-Net", "critical_success_index").best


@pytest.mark.parametrize(
    ("best", "bounds", "arrow"),
    [(1.0, (0.0, 1.0), "↑"), (0.0, (0.0, np.inf), "↓"), (0.0, (-np.inf, np.inf), "→ 0"), (np.nan, (0.0, 1.0), "")],
)
def test_arrows(best, bounds, arrow):
    assert direction(Measure("x", "x", "x", "x", "x", best=best, bounds=bounds)) == arrow


# ---- the terminal


def printed(rows, told, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="standard")
    show_verification(rows, told, console)
    return console.file.getvalue()


def test_the_terminal_prints_the_same_table():
    text = printed(tabulate(scores()), facts(), 140)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert plain.startswith("Four estimates against the radar <composite> of France")
    assert re.search(r"FSS ≥ 1 mm h⁻¹, 20 km ↑ +0\.55 \[0\.53, 0\.5\d\] +0\.78", plain)
    assert re.search(r"\x1b\[1m *0\.78 \[0\.7", text) and re.search(r"\x1b\[2m *0\.76 \[0\.7", text)
    assert "what rain it is" in plain and "SEVIRI likelihood" in plain and "reference U-Net" in plain
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 140


def test_a_narrow_terminal_gets_several_tables():
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed(tabulate(scores()), {}, 80))
    assert plain.count("FSS ≥ 1") >= 2 and "…" not in plain
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 80


def test_names_with_brackets_are_printed_as_they_are():
    names = ("[bold]x[/]", "y")
    made = dataset(names, {"localisation": ((), lambda n: 0.5), "realism_error": ((), lambda n: 1.0)}, {})
    assert "[bold]x[/]" in printed(tabulate({"axes": made}), {"title": "[red]t"}, 100)
