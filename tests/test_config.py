import pytest

from ondee.config import load
from ondee.errors import ConfigError

GOOD = """\
grid: {region: [-5, 42, 8, 51]}
inputs:
  radar:
    paths: [radar]
"""


def test_defaults_are_filled_in(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    made = load(path)
    assert made.step == 30 and made.inputs["radar"].coverage == 0.95 and made.inputs["radar"].quality is None


@pytest.mark.parametrize(
    ("text", "what", "where", "fix"),
    [
        (GOOD + "    qualty: 0.8\n", "'qualty'", "line 5, inputs.radar.qualty", "did you mean 'quality'"),
        (GOOD + "stepp: 15\n", "'stepp'", "line 5", "did you mean 'step'"),
        (GOOD + "step: 7\n", "does not divide a day", "", ""),
        (GOOD + "max_rejected: 2\n", "less than or equal to 1", "line 5, max_rejected", "2"),
        ("inputs: {radar: {paths: [radar]}}\n", "'grid' is missing", "", "add `grid:`"),
        (GOOD.replace("region: [-5, 42, 8, 51]", "like: satellite"), "none of the inputs", "", ""),
        (GOOD.replace("{region: [-5, 42, 8, 51]}", "{}"), "give like", "line 1, grid", ""),
        (GOOD + "start: yesterday\n", "match pattern", "line 5, start", ""),
        (GOOD + "start: 2018-02-30\n", "cannot be read", "", ""),
        (GOOD + "start: '2018-02-30'\n", "out of range", "line 5, start", ""),
        (GOOD + "end: '9999-01-01'\n", "between 1950 and 2200", "line 5, end", ""),
        (GOOD + "step: 30\nstep: 60\n", "'step' comes twice", "line 6", "keep one"),
        (GOOD + "  radar: {paths: [other]}\n", "'radar' comes twice", "line 5", "keep one"),
        (GOOD.replace("-5, 42", ".nan, 42"), "finite", "line 1, grid.region.0", ""),
        (GOOD.replace("-5, 42, 8", "8, 42, -5"), "west < east", "line 1, grid", ""),
        (GOOD + "    interval: {minutes: .inf, label: end}\n", "finite", "line 5", ""),
        (GOOD + "store: !!python/object/apply:os.getcwd []\n", "cannot be read", "", ""),
        ("a: &a [*a]\n" + GOOD, "no key 'a'", "line 1", ""),
        ("[" * 5000, "cannot be read", "", ""),
        ("", "empty", "", ""),
        ("a: [", "cannot be read", "", ""),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, text, what, where, fix):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert what in caught.value.what and where in caught.value.where and fix in caught.value.fix


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml")
