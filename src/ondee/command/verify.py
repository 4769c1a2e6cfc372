"""The work of ``ondee verify``: find, score, write, draw."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from ondee.collocation.reading import Reading
from ondee.errors import ConfigError
from ondee.output import check_target, disk_errors, whole
from ondee.plot.style import Style
from ondee.region import Region
from ondee.source.assembly import Label
from ondee.verification import Settings, Subject, Verification, forget, plan, subject, verify

__all__ = ["Outputs", "Sides", "described", "dry_run", "verification", "write_scores"]


@dataclass(frozen=True)
class Sides:
    """How the two sides are read.

    Parameters
    ----------
    specs
        ``[NAME=]PATH[::VARIABLE]`` of each estimate, then of the truth.
    region
        West, south, east, north in degrees.
    quality
        Lowest quality of the truth.
    interval, truth_interval
        Minutes and label of frames, where files leave them open.
    formats
        Formats of estimates and of the truth, None to recognise them.
    options, truth_options
        Options of the readers.
    """

    specs: Sequence[str]
    region: Region | None = None
    quality: float | None = None
    interval: tuple[float, Label] | None = None
    truth_interval: tuple[float, Label] | None = None
    formats: tuple[str | None, str | None] = (None, None)
    options: Mapping[str, Any] = field(default_factory=dict)
    truth_options: Mapping[str, Any] = field(default_factory=dict)

    def found(self, mixed: bool) -> tuple[Subject, list[Subject]]:
        """Truth and estimates.

        Raises
        ------
        OndeeError
            If a path names nothing, or a file cannot be read.
        """
        *specs, last = self.specs
        ours = Reading(self.region, None, self.interval)
        theirs = Reading(self.region, self.quality, self.truth_interval)
        truth = subject(last, theirs, self.truth_options, format=self.formats[1], mixed=mixed)
        if truth.members or truth.reading.variable != "rain_rate":
            raise ConfigError(
                f"the truth is {truth.reading.variable}" + (f" of {truth.members} members" if truth.members else ""),
                where=last,
                fix="give observed rain as the last argument: ondee verify ESTIMATE… TRUTH",
            )
        return truth, [subject(spec, ours, self.options, format=self.formats[0], mixed=mixed) for spec in specs]


@dataclass(frozen=True)
class Outputs:
    """What is written.

    Parameters
    ----------
    out
        NetCDF file of scores and sums.
    report
        HTML file; none where None.
    figures
        Folder of figures; none where None.
    suffix
        Ending of the figures.
    style
        Their style.
    force
        Overwrite what is there.
    """

    out: Path
    report: Path | None = None
    figures: Path | None = None
    suffix: str = ".png"
    style: Style = "paper"
    force: bool = False

    def check(self) -> None:
        """Refuse names that cannot be written, before the work.

        Raises
        ------
        ConfigError
            If a file exists and may not be overwritten, or a folder does not exist.
        """
        check_target(self.out, (".nc",), force=self.force)
        if self.report is not None:
            check_target(self.report, (".html",), force=self.force)
        if self.figures is not None and self.figures.exists() and not self.figures.is_dir():
            raise ConfigError("this is no folder", where=self.figures, fix="name a folder for the figures")
        held = sorted(self.figures.glob(f"*{self.suffix}")) if self.figures is not None else []
        if held and not self.force:
            raise ConfigError("there are figures already", where=held[0], fix="name another folder, or add --force")


def dry_run(sides: Sides, settings: Settings, *, block: str, reference: str | None) -> dict[str, Any]:
    """Tell what a verification would do.

    Parameters
    ----------
    sides
        What is compared.
    settings
        How to score.
    block, reference
        As in :func:`ondee.verification.verify`.
    """
    truth, estimates = sides.found(settings.mixed)
    return plan(truth, estimates, settings, block=block, reference=reference)


def verification(sides: Sides, settings: Settings, outputs: Outputs, **how: Any) -> Verification:
    """Score estimates against the truth, write the scores, the report and the figures.

    Parameters
    ----------
    sides
        What is compared.
    settings
        How to score.
    outputs
        Where results go.
    **how
        ``block``, ``replicates``, ``level``, ``reference``, ``workers`` and ``cluster`` of
        :func:`ondee.verification.verify`, and ``command``, the line that was typed.

    Raises
    ------
    OndeeError
        As the readers and :func:`ondee.verification.verify` do.
    """
    outputs.check()
    truth, estimates = sides.found(settings.mixed)
    parts = outputs.out.with_name(outputs.out.name + ".parts")
    command = how.pop("command", "")
    found = verify(truth, estimates, settings, parts, **how)
    found = Verification(found.scores, found.sums, {**found.facts, "command": command}, found.cases)
    write_scores(found, outputs.out, force=outputs.force)
    forget(parts)
    if outputs.figures is not None:
        from ondee.report import draw_all

        with disk_errors(outputs.figures):
            outputs.figures.mkdir(parents=True, exist_ok=True)
        draw_all(
            found.scores,
            found.facts,
            found.cases,
            outputs.figures,
            suffix=outputs.suffix,
            style=outputs.style,
            force=outputs.force,
        )
    if outputs.report is not None:
        from ondee.report import write_report

        write_report(outputs.report, found.scores, found.facts, found.cases, style=outputs.style, force=outputs.force)
    return found


def write_scores(found: Verification, path: Path, *, force: bool = False) -> None:
    """Write scores and sums as groups of one NetCDF file.

    Parameters
    ----------
    found
        What was found.
    path
        Ends in ``.nc``. The group of each score holds ratios with their intervals; ``sums`` holds a group for each
        score, and in it one for each set of estimates that share dimensions.
    force
        Overwrite a file that exists.
    """
    groups = {f"/{name}": scores for name, scores in found.scores.items()}
    for name, parts in found.sums.items():
        groups |= {f"/sums/{name}/{index}": sums for index, sums in enumerate(parts)}
    attributes = {
        "Conventions": "CF-1.11",
        "title": found.facts["title"],
        "facts": json.dumps(found.facts, default=str),
    }
    groups["/"] = xr.Dataset(attrs=attributes)
    with whole(path, force=force) as draft:
        xr.DataTree.from_dict(groups).to_netcdf(draft, engine="h5netcdf")


def described(found: Verification) -> dict[str, Any]:
    """Scores and facts as plain values, which JSON can hold."""
    from ondee.command.plain import as_dict

    return {"facts": dict(found.facts), "scores": {name: as_dict(scores) for name, scores in found.scores.items()}}
