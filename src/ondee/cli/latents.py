"""Commands that use a model of sequences of rain: encode, decode, traverse, atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ondee.cli.arguments import Flag, Options, Point, Region
from ondee.cli.console import console, print_json

__all__ = ["atlas", "decode", "encode", "traverse"]


def encode(
    run: str,
    radar: Path,
    /,
    *,
    out: Path,
    start: str | None = None,
    end: str | None = None,
    region: Region = None,
    format: str | None = None,
    option: Options = None,
    dry_run: Flag = False,
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Write the latents of radar rain: every window of its domain through the encoder of a Topographic VAE.

    The domain is cut into the model's windows, side by side, and its frames into sequences of the model's length that
    follow one another without a gap. Frames at the end that are no whole sequence are left out and told.

    Parameters
    ----------
    run
        Folder of a run that was trained with sequences: rain.
    radar
        Store with the radar, or a file or folder of it, of the step and cell that the model has learnt.
    out
        Zarr folder (.zarr) of the latents.
    start
        First frame, UTC, as 2018-06-04T12:00.
    end
        Moment before which to stop, UTC.
    region
        West,south,east,north in degrees: cut windows from the cells that touch it only.
    format
        Read the files as this format, whatever they look like.
    option
        Option of the reader, as NAME=VALUE; may be given again.
    dry_run
        Only tell sequences, windows and size.
    json
        Print the outcome as JSON.
    force
        Replace latents that are there.
    """
    from ondee.command.encode import encode as work
    from ondee.command.encode import show

    reading = {"region": region, "options": {"format": format, **dict(option or ())}}
    found = work(run, radar, out=out, reading=reading, start=start, end=end, force=force, dry_run=dry_run)
    print_json(found) if json else show(found, console())


def decode(run: str, latents: Path, /, *, out: Path, json: Flag = False, force: Flag = False) -> None:
    """Write the rain of latents: expected rain and the probability that it is wet, on the grid of the radar.

    Parameters
    ----------
    run
        Folder of the run that encoded them.
    latents
        Zarr folder that `ondee encode` wrote.
    out
        NetCDF file (.nc) of the rain.
    json
        Print the outcome as JSON.
    force
        Overwrite a file that is there.
    """
    from ondee.command.encode import decode as work
    from ondee.command.encode import show

    found = work(run, latents, out=out, force=force)
    print_json(found) if json else show(found, console())


def traverse(
    run: str,
    radar: Path,
    /,
    *,
    out: Path,
    start: str | None = None,
    at: Point = None,
    region: Region = None,
    format: str | None = None,
    option: Options = None,
    style: Literal["paper", "screen"] = "paper",
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Draw a sequence of radar rain, its reconstruction, and what comes of rolling each capsule of its middle frame.

    Parameters
    ----------
    run
        Folder of a run that was trained with sequences: rain.
    radar
        Store with the radar, or a file or folder of it, of the step and cell that the model has learnt.
    out
        Figure (.png, .svg or .pdf).
    start
        Moment from which on the first sequence is drawn, UTC; all are searched for the wettest window if left out.
    at
        A point in the window, as y,x in the coordinates of the radar; the wettest window if left out.
    region
        West,south,east,north in degrees: cut windows from the cells that touch it only.
    format
        Read the files as this format, whatever they look like.
    option
        Option of the reader, as NAME=VALUE; may be given again.
    style
        Style of the figure.
    json
        Print the outcome as JSON.
    force
        Overwrite a file that is there.
    """
    from ondee.command.encode import show
    from ondee.command.encode import traverse as work

    reading = {"region": region, "options": {"format": format, **dict(option or ())}}
    found = work(run, radar, out=out, reading=reading, start=start, at=at, style=style, force=force)
    print_json(found) if json else show(found, console())


def atlas(
    run: str,
    radar: Path,
    /,
    *,
    out: Path,
    start: str | None = None,
    end: str | None = None,
    region: Region = None,
    format: str | None = None,
    option: Options = None,
    style: Literal["paper", "screen"] = "paper",
    json: Flag = False,
    force: Flag = False,
) -> None:
    """Draw frames of radar rain at the places that the two leading principal components of their latents give them.

    One frame of every window and sequence is taken, the middle one, if half of it was observed and 1 % of that is wet.

    Parameters
    ----------
    run
        Folder of a run that was trained with sequences: rain.
    radar
        Store with the radar, or a file or folder of it, of the step and cell that the model has learnt.
    out
        Figure (.png, .svg or .pdf).
    start
        First frame, UTC, as 2018-06-04T12:00.
    end
        Moment before which to stop, UTC.
    region
        West,south,east,north in degrees: cut windows from the cells that touch it only.
    format
        Read the files as this format, whatever they look like.
    option
        Option of the reader, as NAME=VALUE; may be given again.
    style
        Style of the figure.
    json
        Print the outcome as JSON.
    force
        Overwrite a file that is there.
    """
    from ondee.command.encode import atlas as work
    from ondee.command.encode import show

    reading = {"region": region, "options": {"format": format, **dict(option or ())}}
    found = work(run, radar, out=out, reading=reading, start=start, end=end, style=style, force=force)
    print_json(found) if json else show(found, console())
