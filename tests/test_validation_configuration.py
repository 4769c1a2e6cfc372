"""The settings of a validation in a file: complete, equal to the defaults, refused with the line."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from ondee.command.validate import settings_of
from ondee.errors import ConfigError
from ondee.validation import Rules, Settings, load_settings

SHIPPED = Path(__file__).parents[1] / "configs" / "validation.yaml"


def test_the_shipped_file_holds_every_key_with_its_default_and_a_word_about_it():
    text = SHIPPED.read_text(encoding="utf-8")
    held = yaml.safe_load(text)
    assert set(held) == {field.name for field in fields(Settings)}
    assert set(held["rules"]) == {field.name for field in fields(Rules)}
    assert load_settings(SHIPPED, {}) == Settings()
    spoken = {"by", "rules", "quality_indices"}  # the heading above them says it
    for name in (set(held) | set(held["rules"])) - spoken:
        assert re.search(rf"^ *{name}:.*# \S", text, re.MULTILINE), name


def test_the_command_line_overrides_the_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("coverage: 0.5\nthresholds: [1, 2]\nrules: {views: 20}\n")
    made = settings_of(path, coverage=0.8, thresholds=None, by=())
    assert (made.coverage, made.thresholds, made.by) == (0.8, (1.0, 2.0), Settings().by)
    assert made.rules == Rules(views=20)
    assert settings_of(None, variable="rain_rate_uncalibrated") == Settings(variable="rain_rate_uncalibrated")


@pytest.mark.parametrize(
    ("written", "line", "told"),
    [
        ("least_view: 3", "line 2, least_view", "least_views"),
        ("rules: {view: 3}", "line 2, rules.view", "views"),
        ("rules:\n  days: 8\n  clock: -1", "line 4, rules.clock", "clock is -1.0; it must be positive"),
        ("rules: {views: 1}", "line 2, rules", "no interval"),
        ("scales: [2]", "line 2, scales", "give odd numbers"),
        ("thresholds: [0, 1]", "line 2, thresholds", "every cell is an event"),
        ("by: [minut]", "line 2, by", "nothing is split by 'minut'"),
        ("least_days: 0", "line 2, least_days", "give 1 or more"),
        ("window: 4", "line 2, window", "give 8 or more"),
        ("minutes: [5]", "line 2, minutes", "bound no class"),
        ("widest_bias: .inf", "line 2, widest_bias", "finite"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path, written, line, told):
    path = tmp_path / "own.yaml"
    path.write_text(f"half_width: 2\n{written}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert line in str(caught.value.where)
    assert told in f"{caught.value.what} {caught.value.fix}"
