"""The work of ``ondee encode``, ``decode``, ``traverse`` and ``atlas``: latents, rain of them, and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ondee.command.train import needs_torch
from ondee.errors import ConfigError
from ondee.output import check_target
from ondee.plot.style import SUFFIXES, Style

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["atlas", "decode", "encode", "show", "traverse"]


def encode(
    run: str,
    radar: Path,
    *,
    out: Path,
    reading: Mapping[str, Any] | None = None,
    start: str | None = None,
    end: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Write the latents of radar rain, or tell what that would take.

    Parameters
    ----------
    run
        Folder of a run of rain.
    radar
        A store, or a file or folder of radar.
    out
        Ends in ``.zarr``.
    reading
        ``region``, and ``options`` of the reader.
    start, end
        Labels from the first moment on and before the second, UTC.
    force
        Replace latents that are there.
    dry_run
        Only tell sequences, windows and size.

    Returns
    -------
    dict
        The fields of :class:`ondee.encoding.encoder.Encoded`.

    Raises
    ------
    OndeeError
        As :func:`ondee.encoding.encode` does; ConfigError if torch is not installed.
    """
    needs_torch("torch", "safetensors")
    from ondee import encoding

    work = encoding.plan if dry_run else encoding.encode
    return asdict(work(run, radar, out, start=start, end=end, force=force, **(reading or {})))


def decode(run: str, latents: Path, *, out: Path, force: bool = False) -> dict[str, Any]:
    """Write the rain of latents.

    Parameters
    ----------
    run
        Folder of the run that encoded them.
    latents
        From :func:`encode`.
    out
        Ends in ``.nc``.
    force
        Overwrite a file that is there.

    Returns
    -------
    dict
        The fields of :class:`ondee.encoding.decoder.Decoded`.

    Raises
    ------
    OndeeError
        As :func:`ondee.encoding.decode` does; ConfigError if torch is not installed.
    """
    needs_torch("torch", "safetensors")
    from ondee import encoding

    return asdict(encoding.decode(run, latents, out, force=force))


def traverse(
    run: str,
    radar: Path,
    *,
    out: Path,
    reading: Mapping[str, Any] | None = None,
    start: str | None = None,
    at: tuple[float, ...] | None = None,
    style: Style = "paper",
    force: bool = False,
) -> dict[str, Any]:
    """Draw what comes of rolling the capsules of one window.

    Parameters
    ----------
    run
        Folder of a run of rain.
    radar
        A store, or a file or folder of radar.
    out
        Figure to write.
    reading
        ``region``, and ``options`` of the reader.
    start
        Label from which on the sequence is taken, UTC; that of the wettest window where None.
    at
        y and x of a point in the window, in the coordinates of the radar; the wettest window where None.
    style
        Style of the figure.
    force
        Overwrite a file that is there.

    Returns
    -------
    dict
        What was drawn: ``first``, ``last``, ``at``, ``unit``, ``rows`` and ``out``.

    Raises
    ------
    OndeeError
        As :func:`ondee.encoding.traverse` does; ConfigError if torch is not installed, the figure cannot be written,
        or `at` is no point.
    """
    needs_torch("torch", "safetensors")
    check_target(out, SUFFIXES, force=force)
    if at is not None and len(at) != 2:
        raise ConfigError(f"{len(at)} numbers are no point", where="--at", fix="give y,x in the radar's coordinates")
    from ondee import encoding
    from ondee.plot.latent import draw_traversal
    from ondee.plot.style import moment, save

    point = None if at is None else (at[0], at[1])
    found = encoding.traverse(run, radar, start=start, at=point, **(reading or {}))
    first, last = (moment(found.times[place]) for place in (0, -1))
    figure = draw_traversal(
        found.observed,
        found.reconstructed,
        found.turned,
        found.names,
        times=found.times,
        middle=found.middle,
        cell=found.cell,
        title=f"{found.product.partition(', input ')[0]}\n{first.removesuffix(' UTC')} to {last[11:]}",
        style=style,
    )
    save(figure, out, force=force)
    rows = [name.replace("\n", ", ") for name in found.names]
    return {"first": first, "last": last, "at": list(found.at), "unit": found.unit, "rows": rows, "out": str(out)}


def atlas(
    run: str,
    radar: Path,
    *,
    out: Path,
    reading: Mapping[str, Any] | None = None,
    start: str | None = None,
    end: str | None = None,
    style: Style = "paper",
    force: bool = False,
) -> dict[str, Any]:
    """Draw frames of rain by the two leading principal components of their latents.

    Parameters
    ----------
    run
        Folder of a run of rain.
    radar
        A store, or a file or folder of radar.
    out
        Figure to write.
    reading
        ``region``, and ``options`` of the reader.
    start, end
        Labels from the first moment on and before the second, UTC.
    style
        Style of the figure.
    force
        Overwrite a file that is there.

    Returns
    -------
    dict
        ``frames`` of ``windows``, ``thumbnails``, ``first``, ``last``, ``variance`` that each axis holds,
        ``correlations`` of each axis, and ``out``.

    Raises
    ------
    OndeeError
        As :func:`ondee.encoding.atlas` does; ConfigError if torch is not installed or the figure cannot be written.
    """
    needs_torch("torch", "safetensors")
    check_target(out, SUFFIXES, force=force)
    from ondee import encoding
    from ondee.plot.atlas import draw_atlas
    from ondee.plot.style import moment, save

    found = encoding.atlas(run, radar, start=start, end=end, **(reading or {}))
    save(draw_atlas(found, style=style), out, force=force)
    return {
        "frames": len(found.places),
        "windows": found.windows,
        "thumbnails": len(found.drawn),
        "first": moment(found.times.min()),
        "last": moment(found.times.max()),
        "variance": list(found.shares),
        "correlations": list(found.correlations),
        "out": str(out),
    }


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print what :func:`encode`, :func:`decode`, :func:`traverse` or :func:`atlas` made, or would make.

    Parameters
    ----------
    report
        From one of them.
    console
        Where to print.
    """
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    tells = {"sequences": _encoded, "grid": _decoded, "correlations": _laid_out, "rows": _drawn}
    rows = next(tell for key, tell in tells.items() if key in report)(report)
    for label, text in rows.items():
        table.add_row(label, text)
    console.print(table, highlight=False, markup=False)


def _encoded(report: Mapping[str, Any]) -> dict[str, str]:
    (rows, columns), (height, width) = report["tiles"], report["cell"]
    capsules, places = report["latents"]
    edges = [f"{report[f'{name}_left_out']} {name}" for name in ("rows", "columns") if report[f"{name}_left_out"]]
    made = {
        "radar": report["radar"],
        "sequences": f"{report['sequences']} of {report['frames']} frames, {_span(report)}",
        "left out": f"{report['frames_left_out']} frames that are no whole sequence: " + _listed(report["left_out"])
        if report["left_out"]
        else "no frame",
        "windows": f"{rows} x {columns} of {report['side']} x {report['side']} pixels of {height:g} x {width:g} km"
        + (f"; {' and '.join(edges)} at the edges are in none" if edges else ""),
        "latents": f"{capsules} capsules of {places} places, of {report['windows']} windows in all",
        "out": f"{report['out']}, {'at most ' * report['dry_run']}{_size(report['bytes'])} before compression"
        + "  (dry run: nothing is written)" * report["dry_run"],
    }
    if report["unobserved"]:
        made["missing"] = f"{report['unobserved']} windows, of which less than half was observed"
    return made


def _decoded(report: Mapping[str, Any]) -> dict[str, str]:
    made = {
        "frames": f"{report['frames']}, {_span(report)}",
        "grid": report["grid"],
        "missing": f"{report['missing']:.1%} of the pixels",
        "out": f"{report['out']}, {_size(report['bytes'])} before compression",
    }
    if report["implausible"]:
        made["implausible"] = f"{report['implausible']} pixels beyond what rain can be are missing"
    return made


def _drawn(report: Mapping[str, Any]) -> dict[str, str]:
    y, x = report["at"]
    return {
        "window": f"centre y {y:.9g}, x {x:.9g} {report['unit']}; {_span(report)}",
        "rolled": "; ".join(report["rows"]),
        "out": report["out"],
    }


def _laid_out(report: Mapping[str, Any]) -> dict[str, str]:
    held = zip(("first axis", "second axis"), report["variance"], report["correlations"], strict=True)
    return {
        "frames": f"{report['frames']} of {report['windows']} windows, {_span(report)}; {report['thumbnails']} drawn",
        **{name: f"{share:.0%} of the variance; r = " + _related(found) for name, share, found in held},
        "out": report["out"],
    }


def _related(correlations: Mapping[str, float | None]) -> str:
    """Correlations, the strongest first."""
    known = {name.replace("_", " "): value for name, value in correlations.items() if value is not None}
    return ", ".join(f"{known[name]:.2f} {name}" for name in sorted(known, key=lambda name: -abs(known[name])))


def _span(report: Mapping[str, Any]) -> str:
    first, last = (str(report[name])[:16].replace("T", " ") for name in ("first", "last"))
    return f"{first} to {last} UTC"


def _listed(stretches: list[str], most: int = 3) -> str:
    told = "; ".join(entry.replace("T", " ") for entry in stretches[:most])
    return told + (f"; and {len(stretches) - most} more stretches" if len(stretches) > most else "")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
