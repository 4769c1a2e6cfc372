"""Commands that judge IMERG against radar: floor, validate, combine, report, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ondee.cli.arguments import Flag, Interval, Names, Numbers, Options, Region, Required
from ondee.cli.console import console, print_json, typed

__all__ = ["combine", "demo", "floor", "report", "validate"]


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
    config: Path | None = None,
    by: Names = (),
    thresholds: Numbers = None,
    variable: Literal["rain_rate", "rain_rate_uncalibrated"] | None = None,
    height: str | None = None,
    coverage: float | None = None,
    time_coverage: float | None = None,
    half_width: float | None = None,
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
    config
        YAML file of settings and of the rules by which numbers are told; options on the command line override it.
    by
        Split results by these only: minute, age, infrared_weight, quality_index, wet_fraction, rain_maximum,
        rain_variability, phase, hour, season, height (comma between them).
    thresholds
        Rain rates of events in mm/h, as 0.1,1,5.
    variable
        The estimate of IMERG that is judged; rain_rate if left out.
    height
        Height of the ground in m, as FILE::VARIABLE.
    coverage
        Smallest observed share of a cell; 0.95 if left out.
    time_coverage
        Smallest observed share of a half hour, 1 if left out; 0.83 allows one of six frames to be absent.
    half_width
        Half width in minutes of the window around the pass; 2.5 if left out.
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
    shares = {"coverage": coverage, "time_coverage": time_coverage, "half_width": half_width, "mixed": mixed or None}
    settings = settings_of(config, by=by, thresholds=thresholds, variable=variable, **shares)
    how: dict[str, Any] = {"period": (start, end, shard_of(shard)), "workers": workers, "cluster": cluster}
    how |= {"draws": Draws(replicates, level, seed), "force": force, "command": typed()}
    _validation_plan(sides, settings, json, how) if dry_run else _validation(sides, settings, out, json, how)


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

    _show_validation(combined(folders, out, Draws(replicates, level, seed), typed()), json)


def report(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    style: Literal["paper", "screen"] = "paper",
    force: Flag = False,
) -> None:
    """Write what `ondee validate` found, or what autoencoders of sequences learnt, as one HTML page.

    Of a validation: sentences, tables, figures, a slider through the half hours. Of runs that `ondee train` made of
    `model: tvae`: sentences, a row for each, learning curves and rolls.

    Parameters
    ----------
    folder
        Folder of a validation, of a run, or of several runs.
    out
        HTML file; report.html in the folder if not given. The figures lie beside it in figures/, as PNG and SVG.
    style
        Style of the figures.
    force
        Overwrite an earlier report and its figures.
    """
    from ondee.command.report import report as work

    print(work(folder, out, style=style, force=force))


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

    One more event is seen in the infrared by three of the models that ship, where torch is installed.

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
        Keep the radar, IMERG and infrared files too, about 60 MB.
    json
        Print what was planted and found as JSON.
    force
        Replace the results of an earlier demo.
    """
    from ondee.command.demo import demo as work
    from ondee.command.demo import show

    found = work(out, size=size, seed=seed, workers=workers, keep=keep, force=force)
    print_json(found.as_dict()) if json else show(found, console())


def _show_floor(found: Any, as_json: bool) -> None:
    """Print the sampling floor."""
    from ondee.command.plain import as_dict
    from ondee.terminal import show_floor

    print_json(as_dict(found)) if as_json else show_floor(found, console())


def _validation_plan(sides: Any, settings: Any, as_json: bool, how: dict[str, Any]) -> None:
    """Print what a validation would do."""
    from ondee.command.validate import dry_run
    from ondee.terminal.validation import show_validation_plan

    made = dry_run(sides, settings, **how)
    print_json(made) if as_json else show_validation_plan(made, console())


def _validation(sides: Any, settings: Any, out: Path, as_json: bool, how: dict[str, Any]) -> None:
    """Do a validation and print its table."""
    from ondee.command.validate import validation

    _show_validation(validation(sides, settings, out, **how), as_json)


def _show_validation(found: Any, as_json: bool) -> None:
    """Print the table of a validation."""
    from ondee.command.validate import described
    from ondee.terminal.validation import show_validation

    if as_json:
        print_json(described(found))
    else:
        show_validation(found.groups["scores/source"], found.facts, console())
