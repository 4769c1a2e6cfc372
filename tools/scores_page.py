"""Write the entries of docs/scores.md from the catalogue of scores, so that page and code cannot differ.

Entries stand between ``<!-- generated: score -->`` and ``<!-- end -->``; all other text is left alone::

    python tools/scores_page.py          # writes docs/scores.md anew
    python tools/scores_page.py --check  # exits with 1 if that would change it
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

from ondee.score import MEASURES, SCORES, Measure

PAGE = Path(__file__).resolve().parents[1] / "docs/scores.md"
WIDTH = 120
PLACE = re.compile(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
UNITS = {"1": "no unit", "data": "unit of the data", "data2": "unit of the data, squared"}
PLAIN = {r"\,": r"\thinspace ", r"\{": r"\lbrace ", r"\}": r"\rbrace ", r"\|": r"\Vert "}
"""Forges read a backslash before punctuation as Markdown, even within dollars: commands that have no such sign."""


def equation(words: str) -> str:
    """LaTeX that means the same where Markdown is read first."""
    for sign, plain in PLAIN.items():
        words = words.replace(sign, plain)
    return re.sub(r"(\\(?:Vert|lbrace|rbrace|thinspace)) (?=[^A-Za-z]|$)", r"\1", words)


def number(value: float) -> str:
    """A bound as a person writes it: thirds stay thirds."""
    part = Fraction(value).limit_denominator(12)
    exact = math.isclose(float(part), value, rel_tol=1e-12, abs_tol=1e-12)
    thirds = exact and part.denominator % 3 == 0
    return (str(part) if thirds else f"{value:g}").replace("-", "\N{MINUS SIGN}")


def bounds(low: float, high: float) -> str:
    """Range of a measure."""
    if math.isinf(low) and math.isinf(high):
        return "unbounded"
    if math.isinf(high):
        return f"{number(low)} or more"
    return f"{number(high)} or less" if math.isinf(low) else f"{number(low)} to {number(high)}"


def typeset(words: str) -> str:
    """Minus signs, dashes between pages, and nothing that would begin a list if a line began with it."""
    words = re.sub(r"(?<=\d)-(?=\d)", "\N{EN DASH}", words.replace(" - ", " \N{MINUS SIGN} "))
    words = re.sub(r"(?<![\w)])-(?=\d)", "\N{MINUS SIGN}", words)
    return re.sub(r" (?=(\d+[.)]|[-+*])(\s|$))", "\N{NO-BREAK SPACE}", words)


def entry(measure: Measure) -> list[str]:
    """Lines of one measure."""
    best = "no best value" if math.isnan(measure.best) else f"best {number(measure.best)}"
    facts = f"{UNITS.get(measure.units, measure.units)} · {bounds(*measure.bounds)} · {best} · {measure.axis}."
    words = f"{facts} *Source:* " + typeset(f"{measure.source}.") + " *Blind:* " + typeset(f"{measure.blind}.")
    wrapped = textwrap.wrap(words, WIDTH, break_on_hyphens=False)
    return [f"**`{measure.name}`** · {measure.long_name}", "", f"$${equation(measure.equation)}$$", "", *wrapped, ""]


def page(text: str) -> str:
    """The page with all entries written anew.

    Raises
    ------
    SystemExit
        If a score has no place on the page, or more than one, or a place is of no score.
    """
    places = PLACE.findall(text)
    wrong = sorted({name for name in places if places.count(name) > 1} | set(places) ^ set(SCORES))
    if wrong:
        raise SystemExit(f"{PAGE.name}: not exactly one place for {', '.join(wrong)}")

    def filled(match: re.Match[str]) -> str:
        lines = [line for name in SCORES[match[1]] for line in entry(MEASURES[name])]
        return "\n".join([f"<!-- generated: {match[1]} -->", "", *lines, "<!-- end -->"])

    return PLACE.sub(filled, text)


def main() -> None:
    """Write the page, or say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is stale")
    check = parser.parse_args().check
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if check and new != old:
        sys.exit(f"{PAGE.name} is stale: run python tools/scores_page.py")
    if new != old:
        PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
