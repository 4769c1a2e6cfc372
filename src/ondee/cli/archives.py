"""Commands that read and make archives: look, build, simulate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ondee.cli.arguments import Flag, Options, Region, Required
from ondee.cli.console import console, print_json

__all__ = ["build", "look", "simulate"]


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
        print_json(found.as_dict())
    else:
        from ondee.terminal import show_survey

        show_survey(found, console())


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
    print_json(report) if json else show_build(report, console())


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
    print_json(report) if json else show(report, console())
