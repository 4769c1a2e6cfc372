"""The report of runs of autoencoders of sequences: one HTML file with sentences, rows, learning curves and rolls."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ondee.output import check_target, disk_errors, whole
from ondee.plot.rolls import draw_rolls
from ondee.plot.style import Style, encoded_all, styled
from ondee.plot.training import draw_learning
from ondee.report.figures import kept
from ondee.report.parts import bullets, cells, definitions, document, section, table, told
from ondee.report.run_rows import figure_tables, is_of_factors, settings_table, shared_settings
from ondee.report.run_words import READINGS, difference_words, run_summary
from ondee.report.wording import counted
from ondee.run import LatentRun, latent_runs, load_latent
from ondee.topographic.judging import unrolled
from ondee.topographic.sequences import Sprites

__all__ = ["write_runs_report"]

_NAMES = {"digits": "Digits", "rain": "Rain", "sprites": "Sprites"}
_HEADINGS = {
    "summary": "Summary",
    "rows": "Rows",
    "learning": "Learning curves",
    "rolls": "Rolls",
    "reading": "How to read the figures",
    "settings": "Settings and provenance",
}
_LEARNING = (
    "The loss against the step: of training sequences, each point the mean since the one before, and, with marks, of "
    "the averaged weights on the sequences of the validation, always the same ones. It is what "
    "is learnt by, with the leads and the weight of the divergence of each run; where these differ, curves do not "
    "compare."
)
_ROLLS = (
    "Of each sequence, from above: its frames, their reconstruction, and what the latents of the first frame decode to "
    "as they are rolled on."
)


def write_runs_report(
    runs: Sequence[LatentRun] | str | Path,
    path: str | Path,
    *,
    figures: str | Path | None = None,
    style: Style = "paper",
    force: bool = False,
) -> Path:
    """Write runs of autoencoders of sequences as one HTML file that needs no other file and no network.

    A summary in sentences, a row of each run with its settings and its figures of the validation split, the losses of
    all runs, and of each run sequences, their reconstruction and what the latents of the first frame roll to: drawn
    afresh of sprites, of digits and rain the last picture that the training left. Every figure is also written beside
    the page, as PNG and SVG.

    Parameters
    ----------
    runs
        From :func:`ondee.run.latent_runs`, or the folder of a run or of several.
    path
        Ends in ``.html``.
    figures
        Folder of the figures; ``figures`` beside `path` where None.
    style
        ``paper`` or ``screen``: how the figures look.
    force
        Overwrite files that exist.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ConfigError
        If a name cannot be used, there is no such style, or a file exists and `force` is not set.
    StoreError
        If there is no run, or the disk refuses.
    ReadError
        If a run is of another model, or a file of it cannot be read.
    """
    target = check_target(path, (".html", ".htm"), force=force)
    held = latent_runs(runs) if isinstance(runs, str | Path) else list(runs)
    folder = Path(figures) if figures is not None else target.parent / "figures"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with styled(style):
        text = _page(held, _Gallery(folder, target.parent, style, force))
    with whole(target, force=force) as draft:
        draft.write_text(text, encoding="utf-8")
    return target


class _Gallery:
    """Draws figures of runs and keeps them beside the page."""

    def __init__(self, folder: Path, beside: Path, style: Style, force: bool) -> None:
        self.folder, self.beside, self.style, self.force = folder, beside, style, force

    def keep(self, about: tuple[str, str, str], held: dict[str, bytes], shown: str) -> str:
        """A figure as HTML, its files written."""
        return kept(about, held, self.folder, self.beside, shown=shown, force=self.force)

    def learning(self, runs: Sequence[LatentRun]) -> str:
        """The losses of all runs, of each kind of sequences in a panel."""
        told_by = {run.name: list(run.metrics) for run in runs if run.metrics}
        if not told_by:
            return "<p>No run has metrics.</p>"
        panels = {run.name: _NAMES.get(run.sequences, run.sequences) for run in runs}
        drawn = draw_learning(told_by, panels=panels, style=self.style)
        about = ("learning-curves", "Loss against step", _LEARNING)
        return self.keep(about, encoded_all(drawn, (".png", ".svg")), ".svg")

    def rolls(self, run: LatentRun) -> str:
        """Sequences of a run, reconstructed and rolled."""
        name = f"rolls-{run.name}"
        if run.is_finished and run.sequences == "sprites":
            caption = "Drawn from the model as it is, for the first sequence of the validation of each factor."
            return self.keep(
                (name, run.name, caption), encoded_all(_rolled_sprites(run, self.style), (".png", ".svg")), ".png"
            )
        found = run.picture()
        if found is None:
            heading = f"<h3>{escape(run.name)}</h3>"
            return f'<article id="{escape(name)}">\n{heading}\n<p>The training left no picture.</p>\n</article>'
        step, picture = found
        asked = run.training.get("steps")
        caption = f"The last picture that the training left, from step {told(step)}"
        caption += f" of {told(asked)}." if asked else "."
        with disk_errors(picture):
            held = {".png": picture.read_bytes()}
        return self.keep((name, run.name, caption), held, ".png")


def _rolled_sprites(run: LatentRun, style: Style) -> Any:
    """A figure of one sequence of each factor."""
    model = load_latent(run.folder)
    source = Sprites(seed=int(run.training.get("seed", 0)), split="validation")
    frames = [source.batch([number], factor=number).frames for number in range(len(source.factors))]
    drawn = (np.concatenate(held) for held in zip(*(unrolled(model, one) for one in frames), strict=True))
    return draw_rolls(*drawn, names=tuple(source.factors), style=style)


# ---- the page


def _page(runs: Sequence[LatentRun], gallery: _Gallery) -> str:
    """Put the page together."""
    kinds = {
        kind: [run for run in runs if run.sequences == kind] for kind in dict.fromkeys(run.sequences for run in runs)
    }
    title = f"Autoencoders of sequences: {runs[0].name if len(runs) == 1 else counted(len(runs), 'run')}"
    parts = {
        "summary": bullets(run_summary(runs)),
        "rows": _rows(kinds),
        "learning": gallery.learning(runs),
        "rolls": "\n".join([f"<p>{_ROLLS}</p>", *(gallery.rolls(run) for run in runs)]),
        "reading": _reading(runs),
        "settings": _settings(kinds),
    }
    body = [_header(title, runs, list(parts))]
    body += [section(name, _HEADINGS[name], content) for name, content in parts.items()]
    return document(title, body, gallery.style)


def _header(title: str, runs: Sequence[LatentRun], anchors: Sequence[str]) -> str:
    """Title, how many runs of what, and links."""
    words = [
        f"{counted(sum(run.sequences == kind for run in runs), 'run')} of {kind or 'sequences'}"
        for kind in dict.fromkeys(run.sequences for run in runs)
    ]
    unfinished = sum(not run.is_finished for run in runs)
    words += [f"{unfinished} unfinished"] if unfinished else []
    words.append("figures of the validation split")
    links = " ".join(
        f'<a href="#{anchor}">{_HEADINGS[anchor].lower()}</a>' for anchor in anchors if anchor != "summary"
    )
    return f"<header>\n<h1>{escape(title)}</h1>\n<p>{escape('  ·  '.join(words))}</p>\n<nav>{links}</nav>\n</header>"


def _rows(kinds: dict[str, list[LatentRun]]) -> str:
    """Tables of each kind of sequences."""
    parts = [
        "<p>Rows are runs, figures are those of the validation split, one training each. ↑ more is better, ↓ less is, "
        "→ the best value. <b>Bold</b> is the best of a column where rows compare; one training of each does not "
        "say whether it would be so again. A dash: the run does not tell it.</p>"
    ]
    for kind, runs in kinds.items():
        heading = f"<h3>{escape(_NAMES.get(kind, kind))}</h3>\n" if len(kinds) > 1 else ""
        apart = difference_words([run for run in runs if run.is_finished])
        parts.append(heading + settings_table(runs) + figure_tables(runs, comparable=not apart))
    return "\n".join(parts)


def _reading(runs: Sequence[LatentRun]) -> str:
    """What each figure is and what it does not see."""
    wanted = {"factors" if is_of_factors([run]) else "rain" for run in runs}
    lines = [
        (escape(name), cells(what, blind))
        for kind in READINGS
        if kind in wanted
        for name, what, blind in READINGS[kind]
    ]
    return table("words", ("figure", "is", "blind to"), lines)


def _settings(kinds: dict[str, list[LatentRun]]) -> str:
    """Where each run comes from, and what is the same in all."""
    heads = ("run", "finished", "commit", "ondee", "torch", "learnt from")
    runs = [run for held in kinds.values() for run in held]
    parts = [table("words", heads, [(escape(run.name), cells(*_origin(run))) for run in runs])]
    for kind, held in kinds.items():
        machines = list(dict.fromkeys(str(run.origin["machine"]) for run in held if run.origin.get("machine")))
        shared = {**shared_settings(held), "machine": machines or "not told"}
        whose = f"Settings of {held[0].name}" if len(held) == 1 else f"The same in all runs of {kind}"
        parts.append(
            f"<h3>{escape(whose)}</h3>\n" + definitions([(key, key) for key in shared if key != "machine"], shared)
        )
    return "\n".join(parts)


def _origin(run: LatentRun) -> tuple[str, ...]:
    """Date, commit, versions and data of a run."""
    versions, data = (run.origin.get(key) for key in ("versions", "data"))
    versions, data = (held if isinstance(held, dict) else {} for held in (versions, data))
    finished = str(run.origin.get("finished") or "–").replace("T", " ").replace("+00:00", " UTC")
    commit = str(run.origin.get("commit") or "–")[:10]
    learnt = data.get("store")
    return (finished, commit, told(versions.get("ondee")), told(versions.get("torch")), told(learnt))
