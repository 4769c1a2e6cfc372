"""Sphinx configuration. The tables of units and formats are made from the code, so that they cannot go stale."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from ondee import __version__
from ondee.source import FORMATS
from ondee.units import VOCABULARY

project = "ondee"
author = "The ondee developers"
copyright = "The ondee developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ondee {__version__}"
html_static_path: list[str] = []
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
html_math_renderer = "mathjax"
sys.path.insert(0, str(Path(__file__).parents[1]))


def _bounds(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "–"
    return f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} and more"


def units_table() -> list[str]:
    """Rows of the vocabulary in Markdown."""
    rows = ["| name | unit | meaning | CF standard name | plausible |", "|---|---|---|---|---|"]
    for entry in VOCABULARY.values():
        standard = f"`{entry.standard_name}`" if entry.standard_name else ""
        rows.append(
            f"| `{entry.name}` | {entry.units} | {entry.long_name} | {standard} | {_bounds(*entry.plausible)} |"
        )
    return rows


def formats_table() -> list[str]:
    """Options of every reader in Markdown."""
    rows = ["| reader | option | what it does |", "|---|---|---|"]
    for name in FORMATS:
        reader = importlib.import_module(f"ondee.source.{name}").FORMAT
        first = f"`{name}`"
        for option, words in reader.options.items():
            rows.append(f"| {first} | `{option}` | {words.replace('|', chr(92) + '|')} |")
            first = ""
        if not reader.options:
            rows.append(f"| {first} | – | none |")
    return rows


def commands_text() -> list[str]:
    """Help of every command, as the terminal shows it."""
    from cyclopts import App
    from rich.console import Console

    from ondee.cli import app

    rows: list[str] = []
    for name in ("look", "build", "floor", "demo"):
        console = Console(width=96, color_system=None, force_terminal=False)
        with console.capture() as capture:
            app.help_print([name], console=console)
        assert isinstance(app, App)
        body = "\n".join(line.rstrip() for line in capture.get().splitlines()).strip()
        rows += [f"## {name}", "", "```text", *body.splitlines(), "```", ""]
    return rows


class Generated(Directive):
    """Puts Markdown that the code made into a page: ``{generated} units``."""

    required_arguments = 1
    makers = {"units": units_table, "formats": formats_table, "commands": commands_text}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Parse the made lines where the directive stands."""
        lines = StringList(self.makers[self.arguments[0]](), source="generated")
        holder = nodes.section() if self.arguments[0] == "commands" else nodes.Element()
        self.state.nested_parse(lines, self.content_offset, holder, match_titles=True)
        return list(holder.children)


def setup(app: object) -> None:
    """Register the directive."""
    app.add_directive("generated", Generated)  # type: ignore[attr-defined]
