"""Standard output, and the command line that was typed."""

from __future__ import annotations

import json
import shlex
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["TOKENS", "console", "print_json", "typed"]

TOKENS: list[str] = []
"""What was typed after the name of the program."""


def console() -> Console:
    """Standard output; as wide as the tables need where it is not a terminal."""
    from rich.console import Console

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows few letters
    console = Console()
    return console if console.is_terminal else Console(width=120, color_system=None)


def print_json(tree: Any) -> None:
    """Print as JSON, in letters that standard output knows."""
    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file name in no known encoding, or a terminal that knows few letters
        text = json.dumps(tree, indent=2, allow_nan=False)
    print(text)


def typed() -> str:
    """The command line as it was typed."""
    return shlex.join(["ondee", *TOKENS])
