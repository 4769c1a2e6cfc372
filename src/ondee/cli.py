"""The command line: arguments only. Each command's work lies in a module of its own."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from ondee import __version__
from ondee.errors import OndeeError

if TYPE_CHECKING:
    from rich.console import Console

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


_OWN = frozenset({"paths", "png", "region", "variable", "time", "channel", "format", "force"})
"""Names of the command's own parameters."""


def _region(_: Any, tokens: Sequence[Any]) -> tuple[float, float, float, float]:
    """Read ``W,S,E,N``."""
    numbers = [float(word) for word in tokens[0].value.split(",")]
    if len(numbers) != 4:
        raise ValueError("give four numbers: west,south,east,north in degrees")
    west, south, east, north = numbers
    return west, south, east, north


def _options(_: Any, tokens: Sequence[Any]) -> list[tuple[str, Any]]:
    """Read some ``NAME=VALUE``, each value as YAML reads it."""
    import yaml

    pairs = [token.value.partition("=") for token in tokens]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("write an option as NAME=VALUE")
    taken = [name for name, _, _ in pairs if name in _OWN]
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError("an option is given twice")
    if taken:
        raise ValueError(f"{taken[0]} is no option of a reader: write --{taken[0]}")
    try:
        return [(name, yaml.safe_load(value)) for name, _, value in pairs]
    except yaml.YAMLError as error:
        raise ValueError("a value cannot be understood: " + str(error).splitlines()[0]) from error


def _interval(_: Any, tokens: Sequence[Any]) -> tuple[float, str]:
    """Read ``MINUTES,LABEL``."""
    minutes, _, label = tokens[0].value.partition(",")
    if label not in ("start", "end", "centre"):
        raise ValueError("write minutes and label, as 5,start or 5,end")
    return float(minutes), label


Required = Annotated[Path, Parameter(required=True)]
Flag = Annotated[bool, Parameter(show_default=False)]
Region = Annotated[
    tuple[float, float, float, float] | None,
    Parameter(converter=_region, n_tokens=1, accepts_keys=False, allow_leading_hyphen=True, metavar="W,S,E,N"),
]
Options = Annotated[
    list[tuple[str, Any]] | None,
    Parameter(name="--option", converter=_options, n_tokens=1, accepts_keys=False, metavar="NAME=VALUE", negative=()),
]
Interval = Annotated[
    tuple[float, Literal["start", "end", "centre"]] | None,
    Parameter(converter=_interval, n_tokens=1, accepts_keys=False, metavar="MINUTES,LABEL"),
]


@app.command
def look(
    *paths: Required,
    json: Flag = False,
    png: Path | None = None,
    region: Region = None,
    variable: str | None = None,
    time: str | None = None,
    channel: str | None = None,
    format: str | None = None,
    option: Options = None,
    force: Flag = False,
) -> None:
    """Tell what files, folders or stores hold: product, period, grid, variables, rain, quality, and a small map.

    Parameters
    ----------
    paths
        Files, folders, stores.
    json
        Print the facts as JSON.
    png
        Draw the map into this file (.png, .svg or .pdf).
    region
        West,south,east,north in degrees: look at the cells that touch it only.
    variable
        Which variable to draw.
    time
        Which frame to draw, by its label in UTC, as 2018-06-04T12:30; the one with most rain if not given.
    channel
        Which channel to draw.
    format
        Read the files as this format, whatever they look like.
    option
        Option of the reader, as NAME=VALUE; may be given again.
    force
        Overwrite the file of --png.
    """
    from ondee.command.look import look as work

    chosen = {"region": region, "variable": variable, "time": time, "channel": channel, "format": format}
    found = work(paths, png=png, force=force, **chosen, **dict(option or ()))
    if json:
        _print_json(found.as_dict())
    else:
        from ondee.terminal import show_survey

        show_survey(found, _console())


@app.command
def build(
    config: Path,
    /,
    *,
    workers: int = 1,
    cluster: str | None = None,
    dry_run: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Build the store that a configuration describes, or go on where an earlier build was cut short.

    Parameters
    ----------
    config
        The configuration, YAML.
    workers
        Number of processes.
    cluster
        Address of a dask scheduler, as tcp://host:8786, to run there instead.
    dry_run
        Only tell what would be done.
    json
        Print the report as JSON.
    force
        Replace a store that another configuration made.
    """
    from ondee.building import build as work
    from ondee.terminal import show_build

    report = asdict(work(config, workers=workers, cluster=cluster, dry_run=dry_run, force=force))
    _print_json(report) if json else show_build(report, _console())


@app.command
def floor(
    *radar: Required,
    out: Path | None = None,
    png: Path | None = None,
    region: Region = None,
    quality: float | None = None,
    interval: Interval = None,
    coverage: float = 0.95,
    block: str = "1h",
    replicates: int = 1000,
    seed: int = 0,
    style: Literal["paper", "screen"] = "paper",
    format: str | None = None,
    option: Options = None,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Measure the sampling floor: how a perfect snapshot scores against the half-hour mean of the same radar.

    Parameters
    ----------
    radar
        Radar files or folders of one product.
    out
        Write the scores into this NetCDF file.
    png
        Draw the figure into this file (.png, .svg or .pdf).
    region
        West,south,east,north in degrees: use the cells that touch it only.
    quality
        Lowest radar quality to keep, 0 to 1; `ondee look` tells what each threshold removes.
    interval
        Minutes and label of each frame, as 5,start, where the files leave them open.
    coverage
        Smallest observed share of a cell.
    block
        Length of a bootstrap block in time, as 1h or 1D.
    replicates
        Number of bootstrap replicates.
    seed
        Seed of the bootstrap.
    style
        Style of the figure.
    format
        Read the files as this format, whatever they look like.
    option
        Option of the reader, as NAME=VALUE; may be given again.
    json
        Print the scores as JSON.
    force
        Overwrite the files of --out and --png.
    """
    from ondee.command.floor import measure

    how = {"region": region, "quality": quality, "interval": interval, "coverage": coverage, "block": block}
    what = {"format": format, **dict(option or ())}
    draws = {"replicates": replicates, "seed": seed}
    found = measure(radar, what, out=out, png=png, style=style, force=force, **how, **draws)
    _show_floor(found, json)


@app.command
def demo(*, out: Path = Path("demo"), hours: int = 6, seed: int = 1, json: Flag = False, force: Flag = False) -> None:
    """Write synthetic radar files, read them back, and measure and draw their sampling floor.

    Parameters
    ----------
    out
        Folder for the radar files, floor.nc, floor.png and map.png.
    hours
        Hours of radar, a frame every five minutes.
    seed
        Seed of the synthetic rain.
    json
        Print the scores as JSON.
    force
        Replace the results of an earlier demo.
    """
    from ondee.command.demo import demo as work

    found = work(out, hours=hours, seed=seed, force=force)
    _show_floor(found.floor, json)
    if not json:
        _console().print(found.meaning, highlight=False)


def _show_floor(found: Any, as_json: bool) -> None:
    """Print the sampling floor."""
    from ondee.command.floor import as_dict
    from ondee.terminal import show_floor

    _print_json(as_dict(found)) if as_json else show_floor(found, _console())


def _console() -> Console:
    """Standard output; as wide as the tables need where it is not a terminal."""
    from rich.console import Console

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows few letters
    console = Console()
    return console if console.is_terminal else Console(width=120, color_system=None)


def _print_json(tree: Any) -> None:
    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file name in no known encoding, or a terminal that knows few letters
        text = json.dumps(tree, indent=2, allow_nan=False)
    print(text)


def _note(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as one line."""
    print(f"note   {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with 0, 1 for an error, 2 for wrong use, 130 when interrupted."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
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


if __name__ == "__main__":
    main()
