"""Sphinx configuration. The tables of units, formats and keys are made from the code, so that they cannot go stale."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ondee import __version__, config
from ondee.plot.style import spelled
from ondee.source import FORMATS
from ondee.units import VOCABULARY

project = "ondee"
author = "The ondee developers"
copyright = "The ondee developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ondee {__version__}"
html_static_path: list[str] = []
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
sys.path.insert(0, str(Path(__file__).parents[1]))


NO_BREAK = "\N{NO-BREAK SPACE}"


def _bounds(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "–"
    return (f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} and more").replace("-", "−")


def units_table() -> list[str]:
    """Rows of the vocabulary in Markdown."""
    rows = ["| name | unit | meaning, CF standard name | plausible |", "|---|---|---|---|"]
    for entry in VOCABULARY.values():
        meaning = entry.long_name + (f"<br>`{entry.standard_name}`" if entry.standard_name else "")
        units = spelled(entry.units).replace(" ", NO_BREAK)
        plausible = _bounds(*entry.plausible).replace(" ", NO_BREAK)
        rows.append(f"| `{entry.name}` | {units} | {meaning} | {plausible} |")
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


def _kind(annotation: Any) -> str:
    """Type of a key as a person says it; the names of the choices where there are few."""
    origin, inside = get_origin(annotation), [entry for entry in get_args(annotation) if entry is not type(None)]
    if origin is Annotated:
        return _kind(inside[0])
    if origin is Literal:
        return ", ".join(f"`{entry}`" for entry in inside)
    if origin in (Union, UnionType):
        return _kind(inside[0])
    if origin is tuple:
        return f"list of {'text' if inside[0] is str else len(inside)}" + ("" if inside[0] is str else " numbers")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys below"
    if origin is dict:
        return "keys below" if BaseModel in getattr(inside[-1], "__mro__", ()) else "mapping"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]


def _default(field: FieldInfo) -> str:
    """Default of a key."""
    if field.is_required():
        return "**needed**"
    value = field.default
    if value is None or isinstance(value, BaseModel) or value in ((), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def configuration_table() -> list[str]:
    """Keys of the configuration of a build in Markdown, one table for each part."""
    parts = (
        ("At the top level", config.BuildConfig),
        ("Below `grid`: one of three ways", config.GridConfig),
        ("Below `inputs`, for each name", config.InputConfig),
        ("Below `interval`", config.Interval),
        ("Below `splits`", config.Splits),
        ("Below `chunks`", config.Chunks),
    )
    rows: list[str] = []
    for title, model in parts:
        rows += [f"**{title}**", "", "| key | value | default | what it does |", "|---|---|---|---|"]
        for name, field in model.model_fields.items():
            words = (field.description or "").replace("\n", " ").replace("|", chr(92) + "|")
            rows.append(f"| `{name}` | {_kind(field.annotation)} | {_default(field)} | {words} |")
        rows.append("")
    return rows


def commands_text() -> list[str]:
    """Help of every command, as the terminal shows it."""
    from cyclopts import App
    from rich.console import Console

    from ondee.cli import app

    rows: list[str] = []
    for name in (name for name in app if not name.startswith("-")):
        console = Console(width=76, color_system=None, force_terminal=False)
        with console.capture() as capture:
            app.help_print([name], console=console)
        assert isinstance(app, App)
        body = "\n".join(line.rstrip() for line in capture.get().splitlines()).strip()
        rows += [f"## {name}", "", "```text", *body.splitlines(), "```", ""]
    return rows


class Generated(Directive):
    """Puts Markdown that the code made into a page: ``{generated} units``."""

    required_arguments = 1
    makers = {  # noqa: RUF012
        "units": units_table,
        "formats": formats_table,
        "configuration": configuration_table,
        "commands": commands_text,
    }

    def run(self) -> list[nodes.Node]:
        """Parse the made lines where the directive stands."""
        lines = StringList(self.makers[self.arguments[0]](), source="generated")
        holder = nodes.section() if self.arguments[0] == "commands" else nodes.Element()
        self.state.nested_parse(lines, self.content_offset, holder, match_titles=True)
        return list(holder.children)


def setup(app: object) -> None:
    """Register the directive."""
    app.add_directive("generated", Generated)  # type: ignore[attr-defined]
