import json
import re
import zlib
from base64 import b64decode

import numpy as np
import pytest

from browser import CHROMIUM, Browser
from ondee.cli import main
from ondee.errors import ConfigError, StoreError
from ondee.plot.findings import Finding, findings, judged
from ondee.report.opening import citations, header, title_of
from ondee.report.sentences import summary
from ondee.report.slider import STEP, slider
from ondee.report.truth import truth_words
from ondee.report.validation import write_validation_report
from ondee.report.wording import plainly
from ondee.validation.result import Validation, write_validation
from test_report import Page
from validated import CELLS, MINUTES, cases, cut, emptied, facts, sensors, validated

# ---- sentences


def told(result):
    return [one.text for one in summary(result)]


def only(**given):
    return {"sensors": sensors(**given)}


def entry(kind, value, low, high, verdict="found", **given):
    about = {"source": "MHS", "tolerance": 0.1, "views": 60, "days": 10} | given
    return Finding(kind=kind, value=value, low=low, high=high, verdict=verdict, **about)


@pytest.mark.parametrize(
    ("kind", "numbers", "words"),
    [
        ("bias", (0.62, 0.55, 0.70), "38 % too little rain [30, 45]"),
        ("bias", (1.5, 1.32, 1.71), "50 % too much rain [32, 71]"),
        ("bias", (2.6, 2.1, 3.2), "2.6 times the rain [2.1, 3.2]"),
        ("east", (1.02, 0.8, 1.2), "1.02 cells too far east [0.80, 1.20]"),
        ("east", (-1.0, -1.3, -0.7), "1.00 cell too far west [0.70, 1.30]"),
        ("north", (-0.61, -0.9, -0.3), "0.61 cells too far south [0.30, 0.90]"),
        ("clock", (9.7, 8.3, 11.04), "9.7 min late [8.3, 11.0]"),
        ("clock", (-9.7, -11.04, 0.2), "9.7 min early [−0.2, 11.0]"),
        ("clock", (-0.001, -1, 1), "0.0 min early [−1.0, 1.0]"),
    ],
)
def test_a_fault_has_its_size_unit_direction_and_interval(kind, numbers, words):
    assert plainly(entry(kind, *numbers)) == words


def test_found_faults_lead_with_their_evidence():
    lines = told(validated())
    assert [line.split()[0] for line in lines[:3]] == ["SSMIS", "MHS", "ATMS"]
    assert re.fullmatch(r"MHS reports \d\d % too little rain \[\d\d, \d\d\] \(60 passes on 10 days\)\.", lines[1])
    assert re.match(r"SSMIS places its rain 1\.\d\d cells too far east \[", lines[0])
    assert re.match(r"ATMS reports its passes \d\.\d min late \[", lines[2])
    topics = [one.topic for one in summary(validated())]
    assert topics == sorted(topics, key=["found", "clear", "open", "reference", "floor", "minute"].index)


def test_two_faults_of_one_sensor_share_a_sentence():
    lines = told(only(planted={("MHS", "bias"): 1.5, ("MHS", "north"): -1.0, ("MHS", "clock"): -10.0}))
    found = [line for line in lines if line.startswith("MHS")]
    assert len(found) == 1 and found[0].count("; it ") == 2
    assert "too much rain" in found[0] and "too far south" in found[0] and "early" in found[0]


def test_nothing_found_where_nothing_is_wrong():
    lines = told(only(planted={}))
    assert lines[0] == "No fault was found in GMI, AMSR2, SSMIS, MHS and ATMS."
    assert "factor of 1.1, 0.25 cell and 2.5 min" in lines[1] and len(lines) == 2


def test_nothing_found_is_not_all_clear_where_intervals_are_wide():
    lines = told(only(planted={}, width=8.0))
    assert lines[0] == "No fault was found; that is no proof that there is none, as the following says."
    (line,) = [line for line in lines if line.startswith("Not resolved")]
    assert "amount, place and clock of GMI, AMSR2, SSMIS, MHS and ATMS" in line
    assert re.search(r"60 passes on 10 days are too wide, about \d0+ more passes needed each\.$", line)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"passes": 1, "days": 1}, "1 pass on 1 day is too few, at least 7 more passes and 5 more days needed each"),
        ({"passes": 0, "days": 0}, "no pass while the radar saw rain"),
        ({"passes": 40, "days": 5}, "at least 1 more day needed each"),
    ],
)
def test_what_is_not_resolved_says_why_and_what_is_missing(given, words):
    made = sensors(planted={}, width=20.0, **given)
    lines = told({"sensors": made})
    assert any(words in line for line in lines if line.startswith("Not resolved")), lines


def test_one_sensor_only():
    lines = told(only(sources=("MHS",)))
    assert lines[0].startswith("MHS reports") and lines[1].endswith("MHS in place and clock.")
    assert lines[2].startswith(
        "With the half-hour mean of the radar alone this fault is also found; its intervals are "
    )


def test_how_much_the_overpass_brings_is_told():
    lines = told(only(passes=8))
    (line,) = [line for line in lines if line.startswith("With the half-hour mean")]
    assert "alone none of these 3 faults is found" in line
    assert re.search(r"; its intervals are [34]\.\d times as wide \(median of 20\)\.$", line)


def test_the_fault_that_the_mean_misses_is_named():
    made = sensors()
    place = {"comparison": 1, "source": list(made["source"].values).index("ATMS")}
    made["clock_verdict"][place] = "not resolved"
    (line,) = [line for line in told({"sensors": made}) if line.startswith("With the half-hour mean")]
    assert "alone 2 of these 3 faults are found, not the clock of ATMS;" in line


def test_without_any_value_nothing_is_claimed():
    lines = told(emptied(validated()))
    assert not [one for one in summary(emptied(validated())) if one.topic in ("found", "floor", "minute", "reference")]
    assert (
        lines[0].startswith("No fault was found; that is no proof") and "no pass while the radar saw rain" in lines[1]
    )
    assert told({}) == ["Nothing could be scored: no half hour has both IMERG and radar rain."]
    assert told({"cases": cases()}) == told({})


def test_sources_without_a_pass_are_judged_by_the_mean():
    made = sensors(sources=("MHS", "morph"), planted={("morph", "east"): 1.5})
    lost = (made["comparison"] == "overpass") & (made["source"] == "morph")
    made = made.assign(
        {n: made[n].where(~lost) for n in made if "comparison" in made[n].dims and made[n].dtype == float}
    )
    assert {(one.source, one.verdict) for one in judged({"sensors": made}) if one.kind == "east"} == {
        ("MHS", "clear"),
        ("morph", "found"),
    }
    assert any(
        re.match(r"morph places its rain 1\.\d\d cells too far east .*60 half hours", t)
        for t in told({"sensors": made})
    )
    assert len(findings({"sensors": made})) == 8


def shared(**shares):
    made = cut((*shares, "microwave")).copy(deep=True)
    values = np.array([*shares.values(), (0.72, 0.60, 0.86)]).T
    for suffix, row in zip(("", "_low", "_high"), values, strict=True):
        made[f"floor_share{suffix}"] = ("source", row)
    return {"scores/source": made}


def test_the_part_of_sampling_is_told_with_its_interval():
    (line,) = told(shared(GMI=(0.64, 0.50, 0.80), MHS=(0.4, 0.1, 0.9)))
    assert line.startswith("For all microwave passes together, sampling alone makes 72 % [60, 86] of the squared error")
    assert line.endswith("By sensor: GMI 64 % [50, 80], MHS 40 % [10, 90].")


def test_one_sensor_has_its_part_of_sampling_alone():
    (line,) = told(shared(GMI=(0.64, 0.50, 0.80)))
    assert line.startswith(
        "For GMI, sampling alone makes 64 % [50, 80] of the squared error against the half-hour mean:"
    )
    assert "By sensor" not in line


def test_a_share_above_one_is_explained_and_one_without_interval_still_told():
    (line,) = told(shared(GMI=(1.3, 1.1, 1.5), MHS=(0.4, np.nan, np.nan), ATMS=(np.nan, np.nan, np.nan)))
    assert "GMI 130 % [110, 150], MHS 40 %. Above 100 %, a blurred estimate" in line and "ATMS" not in line
    assert not [line for line in told(shared(ATMS=(np.nan,) * 3)) if "sampling" in line]


def minutes(correlation, half, bias=None):
    made = cut(("GMI", "microwave"), MINUTES, name="minute").copy(deep=True)
    made["resolved"] = made["resolved"] | True
    for name, values in (("correlation", correlation), ("relative_bias", bias)):
        for suffix, sign in (("", 0), ("_low", -1), ("_high", 1)):
            made[f"{name}{suffix}"].values[:] = ((np.zeros(6) if values is None else np.array(values)) + sign * half)[
                :, None
            ]
    return {"scores/minute": made}


def test_best_and_worst_minute_only_where_intervals_part():
    lines = told(minutes([0.6, 0.7, 0.8, 0.82, 0.7, 0.5], 0.02))
    assert lines[0] == (
        "Against the half-hour mean, microwave passes agree best in minutes 15–19 (correlation 0.82 [0.80, 0.84]) "
        "and worst in minutes 25–29 (correlation 0.50 [0.48, 0.52])."
    )
    assert lines[2].startswith(
        "A perfect snapshot (the sampling floor) agrees with the half-hour mean best in minutes 15–19"
    )
    (line,) = told(minutes([0.6, 0.7, 0.8, 0.82, 0.7, 0.5], 0.2))
    assert line == (
        "No minute of the half hour stands out against the half-hour mean, against the radar at the overpass and for a "
        "perfect snapshot: the intervals of best and worst overlap."
    )
    made = minutes([0.7] * 6, 0.02)
    made["scores/minute"]["resolved"][:] = False
    assert told(made)[0].endswith("is not resolved: too few rainy days.")


def test_a_sensor_that_is_wrong_in_some_minutes_is_named():
    lines = told(minutes([0.7] * 6, 0.05, bias=[-0.38, -0.3, -0.1, 0.01, 0.0, -0.05]))
    first = "GMI sees 38 % too little rain [33, 43] when it passes in minutes 0–4, but as much rain as the radar, "
    assert first + "within the interval, when it passes in minutes 20–24." in lines
    assert not [line for line in told(minutes([0.7] * 6, 0.3, bias=[-0.38, 0, 0, 0, 0, 0])) if "sees" in line]


# ---- the truth


PLANTED = {("MHS", "bias"): 0.62, ("SSMIS", "east"): 1.0, ("ATMS", "clock"): 10.0}


def test_the_truth_stands_beside_the_answer():
    made = only(planted=PLANTED)
    words = truth_words(made, PLANTED)
    assert words == (
        "The truth is known. Planted: MHS rain × 0.62; SSMIS 1 cell east; ATMS clock 10 min late. All three were "
        "found, and each interval holds the planted size. Of 17 sound pairs of sensor and fault none was accused."
    )


def test_a_fault_that_is_missed_and_a_sound_sensor_accused_are_told():
    words = truth_words(only(planted=PLANTED), {("MHS", "bias"): 0.62, ("GMI", "north"): -1.0})
    assert "Planted: MHS rain × 0.62; GMI 1 cell south. 1 of the two was found, not that of GMI" in words
    assert words.endswith(
        "Wrongly accused: SSMIS (shift east) and ATMS (clock late), of 18 sound pairs of sensor and fault."
    )
    assert "nothing was planted. Wrongly accused" in truth_words(only(planted=PLANTED), {})
    assert "None of the two was found" in truth_words(only(planted={}), {("MHS", "bias"): 0.6, ("GMI", "north"): -1.0})
    far = truth_words(only(planted=PLANTED), {("MHS", "bias"): 0.9})
    assert "It was found, but its interval misses the planted size." in far


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ({"simulated": True}, "Simulated IMERG Final V07B against simulated radar"),
        ({"simulated": True, "simulated_archives": ["radar"]}, "IMERG Final V07B against simulated radar"),
        ({"simulated": True, "simulated_archives": ["imerg"]}, "Simulated IMERG Final V07B against a radar composite"),
        ({"simulated": False}, "IMERG <made up> against radar"),
        ({}, "IMERG <made up> against radar"),
    ],
)
def test_a_title_claims_no_instrument_that_was_simulated(given, title):
    assert title_of(facts() | given) == title


def test_what_was_simulated_is_said_and_not_cited():
    made = facts() | {"simulated": True, "simulated_archives": ["imerg", "radar"], "world": "demo"}
    text = header(made, validated(), {})
    assert "both archives were made by ondee simulate (world “demo”)" in text and "rainy passes of 5 sensors" in text
    assert "doi" not in citations(made) and "there are no data to cite" in citations(made)
    assert "10.5067/GPM/IMERG/3B-HH/07" in citations(facts()) and "simulated" not in header(facts(), validated(), {})


# ---- the slider's fields


def test_fields_come_back_from_the_page_within_half_a_step():
    made = cases()
    text = slider(made)
    packed = re.search(r'id="slider-bytes">([^<]+)<', text)[1]
    held = zlib.decompress(b64decode(packed))
    count = made["rain_rate"].size
    values = np.frombuffer(held[: 2 * count], "<u2").reshape(made["rain_rate"].shape)
    truth = made["rain_rate"].values
    assert ((values == 65535) == np.isnan(truth)).all() and (values[truth == 0] == 0).all()
    assert np.nanmax(abs(np.where(values == 65535, np.nan, values * STEP) - truth)) <= STEP / 2 + 1e-5
    assert len(held) == 9 * count
    about = json.loads(re.search(r'id="slider-data">(.+?)</script>', text)[1])
    assert about["nx"] == CELLS.nx and len(about["times"]) == 8 and about["sources"]["-1"][0] == "morph"


# ---- the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("validation")
    write_validation_report(Validation(validated(), facts()), home / "report.html", planted=PLANTED)
    return home


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(page, folder):
    assert not page.wrong and not page.open
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "iframe", "object", "video"})
    assert all(attrs["src"].startswith("data:image/") for attrs in page.all("img"))
    assert not [attrs for attrs in page.all("script") if "src" in attrs]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=.https?:|url\(|@import|fetch\(", text)


def test_links_lead_to_places_and_figures(page, folder):
    anchors = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(anchors) == len(set(anchors))
    places = [attrs["href"] for attrs in page.all("a")]
    assert {place[1:] for place in places if place.startswith("#")} <= set(anchors)
    files = {place for place in places if not place.startswith("#")}
    assert len(files) == 20 and all((folder / place).stat().st_size > 1000 for place in files)
    assert files == {f"figures/{path.name}" for path in (folder / "figures").iterdir()}


def test_the_page_has_its_parts_in_order(page):
    parts = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    order = "summary verdicts minutes timing half-hours maps sources strata blind data settings"
    assert parts == order.split()
    text = " ".join(page.words)
    for words in (
        "IMERG <made up> against radar",
        "too far east",
        "not resolved",
        "sampling floor",
        "10.5067/GPM",
        "abc1234",
    ):
        assert words in text
    assert not re.search(r"\bnan\b|\{level\}", text)
    assert len(page.all("img")) == len(page.all("article")) == 10 and len(page.all("canvas")) == 6


def test_tables_are_tables(page):
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))
    assert sum("found" in attrs.get("class", "") for attrs in page.all("td")) == 3
    assert any(attrs.get("title") == "not resolved" for attrs in page.all("td"))


def test_planted_sizes_stand_in_the_table_and_in_the_figure(page):
    text = " ".join(page.words)
    for words in ("found; planted × 0.62", "found; planted +1 cell", "found; planted +10 min", "Arrows point at what"):
        assert words in text
    assert "clear; planted" not in text


def test_a_page_of_nothing_and_of_little(tmp_path):
    empty = write_validation_report(Validation({}, {}), tmp_path / "empty.html")
    assert "Nothing could be scored" in empty.read_text(encoding="utf-8")
    lost = write_validation_report(
        Validation(emptied(validated()), facts()), tmp_path / "lost.html", figures=tmp_path / "lost"
    )
    text = lost.read_text(encoding="utf-8")
    assert "that is no proof" in text and 'class="found"' not in text


def test_the_command_reads_what_was_written(tmp_path, capsys):
    (tmp_path / "v").mkdir()
    write_validation(Validation(only(), facts()), tmp_path / "v" / "scores.nc")
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "v")])
    assert not ended.value.code, capsys.readouterr().err
    assert (tmp_path / "v" / "report.html").exists() and (tmp_path / "v" / "figures" / "faults.svg").exists()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "v")])
    assert ended.value.code == 1 and "the file exists" in capsys.readouterr().err


def test_what_is_no_validation_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no result of a validation"):
        write_validation_report(tmp_path, tmp_path / "r.html")
    with pytest.raises(ConfigError, match="no style"):
        write_validation_report(Validation({}, {}), tmp_path / "r.html", style="poster")


# ---- in a browser


@pytest.fixture(scope="module")
def browser(folder, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    made = Browser(tmp_path_factory.mktemp("browser"))
    made.resize(1600)
    made.call("Page.navigate", url=f"file://{folder}/report.html")
    made.until("document.readyState === 'complete' && document.getElementById('slider').dataset.checksum !== undefined")
    yield made
    made.close()


STATE = "JSON.stringify([slider.dataset.step, slider.dataset.checksum, slider.querySelector('output').textContent])"


def state(browser):
    return json.loads(browser.evaluate(STATE.replace("slider.", "document.getElementById('slider').")))


def test_the_slider_moves(browser):
    browser.evaluate("location.hash = '#step=0'")
    browser.until("document.getElementById('slider').dataset.step === '0'")
    first = state(browser)
    assert "2018-06-04 13:00–13:30 UTC" in first[2] and "1 of 8" in first[2]
    browser.press("ArrowRight")
    second = state(browser)
    assert second[0] == "1" and second[1] != first[1] and "13:30–14:00" in second[2]
    browser.press("ArrowLeft")
    assert state(browser) == first
    browser.press("ArrowLeft")
    assert state(browser)[0] == "7"
    browser.evaluate(
        "(r => { r.value = 5; r.dispatchEvent(new Event('input')); })(document.querySelector('input[type=range]'))"
    )
    assert state(browser)[0] == "5"
    browser.evaluate("location.hash = '#step=6'")
    browser.until("document.getElementById('slider').dataset.step === '6'")
    browser.evaluate("location.hash = '#step=0'")
    browser.until("document.getElementById('slider').dataset.step === '0'")
    assert state(browser) == first


def test_the_half_hour_is_summed_up(browser):
    browser.evaluate("location.hash = '#step=2'")
    browser.until("document.getElementById('slider').dataset.step === '2'")
    words = browser.evaluate("document.querySelector('.summed').textContent")
    made = cases().isel(time=2)
    both = np.isfinite(made["rain_rate"].values) & np.isfinite(made["radar_mean"].values)
    assert words.startswith("SSMIS, morph, minutes ") and f"mean over {both.sum()} cells that both saw" in words
    means = [float(number) for number in re.findall(r"([\d.]+) mm h⁻¹", words)]
    wanted = [made[name].values[both].mean() for name in ("rain_rate", "radar_mean")]
    assert np.allclose(means, wanted, atol=0.011)


def test_play_goes_on_and_stops(browser):
    browser.evaluate("location.hash = '#step=3'; document.querySelector('button.play').click()")
    browser.until("document.getElementById('slider').dataset.step === '4'")
    browser.evaluate("document.querySelector('button.play').click()")
    assert "play" in browser.evaluate("document.querySelector('button.play').textContent")


def test_values_are_read_where_the_reader_points(browser):
    made = cases()
    row, column = 12, 20
    browser.evaluate("location.hash = '#step=2'")
    browser.until("document.getElementById('slider').dataset.step === '2'")
    browser.evaluate(
        "(c => { const b = c.getBoundingClientRect(); c.dispatchEvent(new PointerEvent('pointermove', {clientX: "
        f"b.left + b.width * {(column + 0.5) / CELLS.nx}, clientY: b.top + b.height * {(row + 0.5) / CELLS.ny}"
        "})); })(document.querySelector('canvas'))"
    )
    words = browser.evaluate("document.querySelector('.reading').textContent")
    rain = float(made["rain_rate"].values[2, row, column])
    assert f"{CELLS.x[column]:.2f}° E, {CELLS.y[row]:.2f}° N" in words
    shown = float(re.search(r"IMERG ([\d.]+) mm h⁻¹", words)[1])
    assert abs(shown - rain) <= 0.006 and "SSMIS passed in minute" in words


def test_missing_is_neither_dry_nor_wet(browser):
    """Colour in the page of a cell that was not observed, that was dry, and where it rained."""
    made = cases()["rain_rate"].values[2]
    places = {
        "missing": np.argwhere(np.isnan(made))[0],
        "dry": np.argwhere(made == 0)[0],
        "wet": np.argwhere(made > 5)[0],
    }
    browser.evaluate("location.hash = '#step=2'")
    browser.until("document.getElementById('slider').dataset.step === '2'")
    found = {}
    for name, (row, column) in places.items():
        x, y = (
            f"Math.floor({share})"
            for share in (f"c.width * {(column + 0.3) / CELLS.nx}", f"c.height * {(row + 0.3) / CELLS.ny}")
        )
        found[name] = browser.evaluate(
            "(c => { const t = document.createElement('canvas');"
            "const p = t.getContext('2d', {willReadFrequently: true}); "
            f"p.drawImage(c, {x}, {y}, 1, 1, 0, 0, 1, 1); return Array.from(p.getImageData(0, 0, 1, 1).data); "
            "})(document.querySelector('canvas'))"
        )
    assert found["dry"][:3] == [255, 255, 255] and len({tuple(ink) for ink in found.values()}) == 3


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_the_screen(browser, width, dark):
    browser.resize(width, dark=dark)
    wide = browser.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]")
    assert max(wide[:2]) <= width == wide[2]
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 120) == dark
    ink = browser.evaluate("getComputedStyle(document.body).color")
    assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > 600) == dark
    size = browser.evaluate(
        "Math.min(...[...document.querySelectorAll('p, li, td')].map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert size >= 13
    assert browser.evaluate("Math.min(...[...document.querySelectorAll('canvas')].map(c => c.clientWidth))") >= 150


def test_the_page_is_quiet_and_alone(browser):
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert sum(url.startswith("file:") for url in browser.requests) == 1
