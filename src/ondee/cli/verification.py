"""The command that scores estimates against a truth: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ondee.cli.arguments import Flag, Interval, Names, Numbers, Options, Region, RequiredText, TruthOptions
from ondee.cli.console import console, print_json, typed

__all__ = ["verify"]


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
    how |= {"workers": workers, "cluster": cluster, "command": typed()}
    outputs = Outputs(out, report, figures, suffix, style, force)
    _show_plan(sides, settings, json, how) if dry_run else _show_scores(outputs, sides, settings, json, how)


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
    print_json(made) if as_json else show_plan(made, console())


def _show_scores(outputs: Any, sides: Any, settings: Any, as_json: bool, how: dict[str, Any]) -> None:
    """Do a verification and print its table."""
    from ondee.command.verify import described, verification
    from ondee.report import tabulate
    from ondee.terminal import show_verification

    found = verification(sides, settings, outputs, **how)
    print_json(described(found)) if as_json else show_verification(tabulate(found.scores), found.facts, console())
