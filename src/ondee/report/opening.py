"""What a reader meets first, and what to cite: what was compared, on how much, and whether any of it was simulated."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from ondee.plot.findings import Result, sources_of
from ondee.report.wording import counted

__all__ = ["citations", "header", "title_of"]

_DOIS = {"Early": "10.5067/GPM/IMERG/3B-HH-E/07", "Late": "10.5067/GPM/IMERG/3B-HH-L/07"}
_FINAL = "10.5067/GPM/IMERG/3B-HH/07"


def simulated_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Which archives were simulated: ``imerg``, ``radar``, both or none.

    Examples
    --------
    >>> simulated_of({"simulated": True}), simulated_of({"simulated": False}), simulated_of({})
    (('imerg', 'radar'), (), ())
    """
    if not facts.get("simulated"):
        return ()
    return tuple(facts.get("simulated_archives") or ("imerg", "radar"))


def title_of(facts: Mapping[str, Any]) -> str:
    """Title of the page, which claims no real instrument where it was simulated.

    Examples
    --------
    >>> title_of({"title": "IMERG Final V07 against a radar", "simulated": True, "imerg": {"run": "Final"}})
    'Simulated IMERG Final against simulated radar'
    """
    title = str(facts.get("title") or "Satellite rain against radar")
    which = simulated_of(facts)
    if not which or "simulated" in title.casefold():
        return title
    words = {"imerg": " ".join(("IMERG", *_imerg(facts))), "radar": _radar(facts) or "radar"}
    if "radar" in which:
        words["radar"] = "radar"
    told = {name: f"simulated {held}" if name in which else held for name, held in words.items()}
    text = f"{told['imerg']} against {told['radar']}"
    return text[0].upper() + text[1:]


def header(facts: Mapping[str, Any], groups: Result, links: Mapping[str, str]) -> str:
    """Title, what was compared on how much, whether it was simulated, and links to the parts.

    Parameters
    ----------
    facts
        Of the validation.
    groups
        Groups of the validation, for the sensors that passed.
    links
        Anchor → words.
    """
    parts = [f"<h1>{escape(title_of(facts))}</h1>"]
    told = _compared(facts, groups)
    if told:
        parts.append(f"<p>{escape(told)}</p>")
    note = _simulated_words(facts)
    if note:
        parts.append(f'<p class="simulated">{escape(note)}</p>')
    listed = " ".join(f'<a href="#{anchor}">{escape(words)}</a>' for anchor, words in links.items())
    parts.append(f"<nav>{listed}</nav>")
    return "<header>\n" + "\n".join(parts) + "\n</header>"


def _compared(facts: Mapping[str, Any], groups: Result) -> str:
    """Period, half hours, days, passes, cells, as one line."""
    words = [str(facts["period"]).replace("T", " ") + " UTC"] if facts.get("period") else []
    for name, noun in (("half_hours", "half hour"), ("days", "day")):
        if facts.get(name):
            words.append(counted(int(facts[name]), noun))
    found = groups.get("sensors")
    if found is not None and "views" in found:
        scored = groups.get("scores/source")
        held = found["source"].values.astype(str)
        sensors = set(sources_of(scored, "correlation", sensors=True)) if scored is not None else set(held)
        passes = found["views"].values[np.isin(held, list(sensors))]
        if passes.size and int(passes.sum()):
            words.append(
                f"{counted(int(passes.sum()), 'rainy pass', 'rainy passes')} of {counted(passes.size, 'sensor')}"
            )
    if facts.get("cells"):
        words.append(f"{counted(int(facts['cells']), 'pair')} of IMERG cell and radar")
    return "  ·  ".join(words)


def _simulated_words(facts: Mapping[str, Any]) -> str:
    """Say that an archive was simulated; nothing where none was."""
    which = simulated_of(facts)
    if not which:
        return ""
    world = f" (world “{facts['world']}”)" if facts.get("world") else ""
    if len(which) > 1:
        return (
            f"Simulated: both archives were made by ondee simulate{world}. The numbers test the method; they say "
            "nothing about real sensors of these names."
        )
    name = {"imerg": "IMERG", "radar": "the radar"}[which[0]]
    return f"Simulated: {name} was made by ondee simulate{world}; the numbers say nothing about real sensors."


def citations(facts: Mapping[str, Any]) -> str:
    """What to cite, as a list; of what was simulated, the world alone.

    Parameters
    ----------
    facts
        Of the validation.
    """
    which = simulated_of(facts)
    lines = []
    if which:
        world = f", world “{escape(str(facts['world']))}”" if facts.get("world") else ""
        what = {"imerg": "IMERG", "radar": "radar"}
        names = " and ".join(what[name] for name in which)
        lines.append(f"<li>{names}: simulated with ondee{world}. Say so; there are no data to cite.</li>")
    if "imerg" not in which:
        run = " ".join(_imerg(facts))
        doi = next((doi for name, doi in _DOIS.items() if name in run), _FINAL)
        lines.append(
            f"<li>IMERG {escape(run)}: Huffman, G. J., E. F. Stocker, D. T. Bolvin, E. J. Nelkin, J. Tan (2023): GPM "
            "IMERG precipitation L3 half hourly 0.1 degree × 0.1 degree V07, NASA GES DISC, "
            f"doi:{doi}, with the date on which you fetched it. Name run and version: they differ.</li>"
        )
    if "radar" not in which:
        name = _radar(facts)
        lines.append(
            f"<li>Radar{': ' + escape(name) if name else ''}: as its provider asks; say which quality threshold and "
            "which coverage were used (below).</li>"
        )
    own = escape(str(facts.get("version") or ""))
    lines.append(f"<li>ondee {own}: CITATION.cff of its repository, with the command below.</li>")
    return f"<ul>\n{''.join(lines)}</ul>\n"


def _imerg(facts: Mapping[str, Any]) -> list[str]:
    """Run and version of IMERG, as far as they are known."""
    held = facts.get("imerg")
    known = held if isinstance(held, Mapping) else {}
    return [str(known[name]) for name in ("run", "version") if known.get(name)]


def _radar(facts: Mapping[str, Any]) -> str:
    """Product of the radar; empty where it is not known."""
    held = facts.get("radar")
    return str((held.get("product") if isinstance(held, Mapping) else held) or "")
