"""The command line: arguments only. Each command's work lies in a module of `ondee.command`."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from ondee import __version__
from ondee.cli.archives import build, look, simulate
from ondee.cli.console import TOKENS
from ondee.cli.latents import atlas, decode, encode, traverse
from ondee.cli.retrieval import retrieve, train
from ondee.cli.validation import combine, demo, floor, report, validate
from ondee.cli.verification import verify
from ondee.errors import OndeeError

__all__ = ["app", "main"]

app = App(
    name="ondee",
    help="Rain seen from space: satellite rain judged against radar.",
    help_epilogue="`--debug` anywhere shows the traceback of an error.",
    version=__version__,
    default_parameter=Parameter(negative=()),
    help_format="markdown",
)
app.register_install_completion_command(help="Install the completion of your shell.")
_judging: tuple[Callable[..., None], ...] = (look, build, simulate, floor, validate, combine, report, verify)
_learning: tuple[Callable[..., None], ...] = (train, retrieve, encode, decode, traverse, atlas, demo)
for _command in (*_judging, *_learning):
    app.command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with 0, 1 for an error, 2 for wrong use, 130 when interrupted."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    TOKENS[:] = tokens
    debug = "--debug" in tokens
    with warnings.catch_warnings():
        warnings.showwarning = _note
        code = _run([token for token in tokens if token != "--debug"], debug)
    sys.exit(code)


def _run(tokens: list[str], debug: bool) -> int:
    """Run one command and give its exit code."""
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        command = " ".join(["ondee", *(error.command_chain or ())])
        print(f"error  {error}\nwhere  {command}\nfix    see {command} --help", file=sys.stderr)
        return 2
    except OndeeError as error:
        if debug:
            raise
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _note(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as one line."""
    print(f"note   {message}", file=sys.stderr)
