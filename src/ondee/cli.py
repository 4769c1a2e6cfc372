"""The command line: arguments only. Each command's work lies in a module of its own."""

from __future__ import annotations

import json
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from ondee import __version__
from ondee.arguments import (
    Flag,
    Interval,
    Names,
    Numbers,
    Options,
    Region,
    Required,
    RequiredText,
    TruthOptions,
)
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


_TOKENS: list[str] = []
"""What was typed after the name of the program."""


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
def verify(
    *paths: RequiredText,
    out: Path,
    report: Path | None = None,
    figures: Path | None = None,
    suffix: Literal[".png", ".svg", ".pdf"] = ".png",
    style: Literal["paper", "screen"] = "paper",
    by: Names = (),
    scores: Names = (),
    thresholds: Numbers = None,
    scales: Numbers = None,
    persistence: Numbers = None,
    sample: Literal["common", "own"] = "common",
    mixed: Flag = False,
    reference: str | None = None,
    region: Region = None,
    quality: float | None = None,
    interval: Interval = None,
    truth_interval: Interval = None,
    window: int = 64,
    block: str = "auto",
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    workers: int = 1,
    cluster: str | None = None,
    format: str | None = None,
    truth_format: str | None = None,
    option: Options = None,
    truth_option: TruthOptions = None,
    dry_run: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Score estimates of rain against the truth: where it is and what rain it is, with intervals and a report.

    Estimates and truth must share grid and intervals (`ondee build` brings them together). Missing pixels count
    nowhere. A run that was cut short goes on where it stopped.

    Parameters
    ----------
    paths
        Estimates, then the truth: each a file, folder, store or quoted pattern, as [NAME=]PATH[::VARIABLE]. A
        likelihood (PATH::precipitation_likelihood) is scored as a forecast of rain above the first threshold.
    out
        Write scores with their intervals, and the sums behind them, into this NetCDF file.
    report
        Write figures and tables into this HTML file.
    figures
        Draw each figure into this folder.
    suffix
        Kind of figures.
    style
        Style of figures.
    by
        Split results by some of hour, month, season, quality (comma between them).
    scores
        Only these scores (comma between them).
    thresholds
        Rain rates of events in mm/h, as 0.1,1,5.
    scales
        Widths of windows, odd numbers of pixels, as 1,3,5,11,21.
    persistence
        Also score the truth of so many minutes ago, as 10,20,30.
    sample
        Pixels that all estimates share, or each estimate's own.
    mixed
        Files may be of several products and grids, as a collection of events is.
    reference
        Name of the estimate that figures call the reference; the first if not given.
    region
        West,south,east,north in degrees: use the cells that touch it only.
    quality
        Lowest quality of the truth to keep, 0 to 1.
    interval
        Minutes and label of the estimates' frames, as 15,start, where the files leave them open.
    truth_interval
        Minutes and label of the truth's frames.
    window
        Width of the tiles of spectra and displacements, pixels.
    block
        Length of a bootstrap block, as 1D or 6h; auto is a day, longer in long archives, shorter in short ones.
    replicates
        Number of bootstrap replicates.
    level
        Level of the intervals.
    seed
        Seed of whatever is drawn.
    workers
        Number of processes; each takes a day.
    cluster
        Address of a dask scheduler, as tcp://host:8786, to run there instead.
    format
        Read the estimates as this format, whatever they look like.
    truth_format
        Read the truth as this format.
    option
        Option of the estimates' reader, as NAME=VALUE; may be given again.
    truth_option
        Option of the truth's reader, as NAME=VALUE; may be given again.
    dry_run
        Only tell what would be compared.
    json
        Print scores as JSON.
    force
        Overwrite the files of --out, --report and --figures.
    """
    from ondee.command.verify import Outputs, Sides

    options = ((format, truth_format), dict(option or ()), dict(truth_option or ()))
    sides = Sides(paths, region, quality, interval, truth_interval, *options)
    asked = (by, scores, thresholds, scales, persistence)
    settings = _settings(*asked, sample=sample, mixed=mixed, window=window, seed=seed)
    how: dict[str, Any] = {"block": block, "reference": reference, "replicates": replicates, "level": level}
    how |= {"workers": workers, "cluster": cluster, "command": _typed()}
    outputs = Outputs(out, report, figures, suffix, style, force)
    _show_plan(sides, settings, json, how) if dry_run else _show_scores(outputs, sides, settings, json, how)


@app.command
def simulate(
    config: Path,
    /,
    *,
    out: Path,
    workers: int = 1,
    cluster: str | None = None,
    dry_run: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Make the archive of a synthetic world, whose truth is known, in the file formats of real ones.

    It holds radar (ODIM_H5), SEVIRI (CF NetCDF) and IMERG (NASA's HDF5), with the planted errors of its sensors, and
    the truth behind them. A run that was cut short goes on where it stopped.

    Parameters
    ----------
    config
        The configuration of the world, YAML.
    out
        Folder of the archive.
    workers
        Number of processes; each takes an event.
    cluster
        Address of a dask scheduler, as tcp://host:8786, to run there instead.
    dry_run
        Only tell what would be made, how large it is and how long it takes.
    json
        Print the report as JSON.
    force
        Replace the archive of another world in the folder.
    """
    from ondee.command.simulate import show
    from ondee.command.simulate import simulate as work

    report = work(config, out, workers=workers, cluster=cluster, dry_run=dry_run, force=force)
    _print_json(report) if json else show(report, _console())


@app.command
def report(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    style: Literal["paper", "screen"] = "paper",
    force: Flag = False,
) -> None:
    """Write what `ondee validate` found as one HTML page: sentences, tables, figures, a slider through the half hours.

    Parameters
    ----------
    folder
        Folder of a validation.
    out
        HTML file; report.html in the folder if not given. The figures lie beside it in figures/, as PNG and SVG.
    style
        Style of the figures.
    force
        Overwrite an earlier report and its figures.
    """
    from ondee.command.report import report as work

    print(work(folder, out, style=style, force=force))


@app.command
def validate(
    imerg: str,
    radar: str,
    /,
    *,
    out: Path,
    region: Region = None,
    quality: float | None = None,
    interval: Interval = None,
    start: str | None = None,
    end: str | None = None,
    shard: str | None = None,
    by: Names = (),
    thresholds: Numbers = None,
    variable: Literal["rain_rate", "rain_rate_uncalibrated"] = "rain_rate",
    height: str | None = None,
    coverage: float = 0.95,
    time_coverage: float = 1.0,
    half_width: float = 2.5,
    mixed: Flag = False,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    workers: int = 1,
    cluster: str | None = None,
    format: str | None = None,
    option: Options = None,
    dry_run: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Judge half-hourly IMERG against radar by sensor, minute of the pass and kind of rain, beside the sampling floor.

    Radar is averaged to IMERG's cells and half hours, and for microwave cells also taken at the minute of the pass. A
    run that was cut short goes on where it stopped; with further files, their days are added.

    Parameters
    ----------
    imerg
        IMERG granules: file, folder or quoted pattern.
    radar
        Radar of one product: file, folder or quoted pattern.
    out
        Folder of sums.nc and scores.nc.
    region
        West,south,east,north in degrees: use the cells that touch it only.
    quality
        Lowest radar quality to keep, 0 to 1.
    interval
        Minutes and label of each radar frame, as 5,start, where the files leave them open.
    start
        First day, as 2018-06-04.
    end
        Last day.
    shard
        Do this part of the days only, as 1/12; `ondee combine` puts parts together.
    by
        Split results by these only: minute, age, infrared_weight, quality_index, wet_fraction, rain_maximum,
        rain_variability, phase, hour, season, height (comma between them).
    thresholds
        Rain rates of events in mm/h, as 0.1,1,5.
    variable
        The estimate of IMERG that is judged.
    height
        Height of the ground in m, as FILE::VARIABLE.
    coverage
        Smallest observed share of a cell.
    time_coverage
        Smallest observed share of a half hour; 0.83 allows one of six frames to be absent.
    half_width
        Half width in minutes of the window around the pass.
    mixed
        Files may be of several runs and versions of IMERG.
    replicates
        Number of bootstrap replicates.
    level
        Level of the intervals.
    seed
        Seed of the bootstrap.
    workers
        Number of processes; each takes a day.
    cluster
        Address of a dask scheduler, as tcp://host:8786, to run there instead.
    format
        Read the radar as this format, whatever its files look like.
    option
        Option of the radar's reader, as NAME=VALUE; may be given again.
    dry_run
        Only tell what would be compared.
    json
        Print results as JSON.
    force
        Redo days whose files have changed, and replace results of other settings.
    """
    from ondee.command.validate import settings_of, shard_of
    from ondee.validation import Draws, Sides

    sides = Sides(imerg, radar, region, quality, interval, format, dict(option or ()), height)
    shares = {"coverage": coverage, "time_coverage": time_coverage, "half_width": half_width, "mixed": mixed}
    settings = settings_of(by=by, thresholds=thresholds, variable=variable, **shares)
    how: dict[str, Any] = {"period": (start, end, shard_of(shard)), "workers": workers, "cluster": cluster}
    how |= {"draws": Draws(replicates, level, seed), "force": force, "command": _typed()}
    _validation_plan(sides, settings, json, how) if dry_run else _validation(sides, settings, out, json, how)


@app.command
def combine(
    *folders: Required,
    out: Path,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    json: Flag = False,
) -> None:
    """Put results of `ondee validate` on different days together, such as those of a job array.

    Parameters
    ----------
    folders
        Folders that `ondee validate --out` wrote.
    out
        Folder of the result.
    replicates
        Number of bootstrap replicates.
    level
        Level of the intervals.
    seed
        Seed of the bootstrap.
    json
        Print results as JSON.
    """
    from ondee.command.validate import combined
    from ondee.validation import Draws

    _show_validation(combined(folders, out, Draws(replicates, level, seed), _typed()), json)


@app.command
def demo(
    *,
    out: Path = Path("demo"),
    size: int = 256,
    seed: int = 1,
    workers: int = 2,
    keep: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Plant faults in three sensors of a synthetic IMERG, and find them: ten stormy afternoons, validated and reported.

    Parameters
    ----------
    out
        Folder of the report, the scores and the store.
    size
        Width and height of the world, km.
    seed
        Seed of the weather, of which sensors are faulty, and of which way.
    workers
        Number of processes; no result depends on it.
    keep
        Keep the radar and IMERG files too, about 50 MB.
    json
        Print what was planted and found as JSON.
    force
        Replace the results of an earlier demo.
    """
    from ondee.command.demo import demo as work
    from ondee.command.demo import show

    found = work(out, size=size, seed=seed, workers=workers, keep=keep, force=force)
    _print_json(found.as_dict()) if json else show(found, _console())


def _show_floor(found: Any, as_json: bool) -> None:
    """Print the sampling floor."""
    from ondee.command.plain import as_dict
    from ondee.terminal import show_floor

    _print_json(as_dict(found)) if as_json else show_floor(found, _console())


def _settings(
    by: tuple[str, ...],
    scores: tuple[str, ...],
    thresholds: tuple[float, ...] | None,
    scales: tuple[float, ...] | None,
    persistence: tuple[float, ...] | None,
    **others: Any,
) -> Any:
    """Settings of a verification, those that are not given at their defaults."""
    from ondee.verification import Settings

    given: dict[str, Any] = {"thresholds": thresholds, "scales": scales, "lags": persistence}
    return Settings(by=by, scores=scores, **{name: value for name, value in given.items() if value}, **others)


def _show_plan(sides: Any, settings: Any, as_json: bool, how: dict[str, Any]) -> None:
    """Print what a verification would do."""
    from ondee.command.verify import dry_run
    from ondee.terminal import show_plan

    made = dry_run(sides, settings, block=how["block"], reference=how["reference"])
    _print_json(made) if as_json else show_plan(made, _console())


def _show_scores(outputs: Any, sides: Any, settings: Any, as_json: bool, how: dict[str, Any]) -> None:
    """Do a verification and print its table."""
    from ondee.command.verify import described, verification
    from ondee.report import tabulate
    from ondee.terminal import show_verification

    found = verification(sides, settings, outputs, **how)
    _print_json(described(found)) if as_json else show_verification(tabulate(found.scores), found.facts, _console())


def _validation_plan(sides: Any, settings: Any, as_json: bool, how: dict[str, Any]) -> None:
    """Print what a validation would do."""
    from ondee.command.validate import dry_run
    from ondee.terminal.validation import show_validation_plan

    made = dry_run(sides, settings, **how)
    _print_json(made) if as_json else show_validation_plan(made, _console())


def _validation(sides: Any, settings: Any, out: Path, as_json: bool, how: dict[str, Any]) -> None:
    """Do a validation and print its table."""
    from ondee.command.validate import validation

    _show_validation(validation(sides, settings, out, **how), as_json)


def _show_validation(found: Any, as_json: bool) -> None:
    """Print the table of a validation."""
    from ondee.command.validate import described
    from ondee.terminal.validation import show_validation

    if as_json:
        _print_json(described(found))
    else:
        show_validation(found.groups["scores/source"], found.facts, _console())


def _typed() -> str:
    """The command line as it was typed."""
    return shlex.join(["ondee", *_TOKENS])


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
    _TOKENS[:] = tokens
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
