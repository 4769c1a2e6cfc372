"""Rows of runs: their settings and their figures, as tables of a page."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ondee.report.parts import cells, table, told
from ondee.report.table import shown_value
from ondee.report.wording import counted, gathered
from ondee.run import LatentRun
from ondee.topographic.coherence import Coherence

__all__ = [
    "coherence_words",
    "duration",
    "factors_of",
    "figure_tables",
    "is_of_factors",
    "lags_of",
    "settings_table",
    "shared_settings",
]

_OWN = ("capsules", "dimensions", "coherence", "steps", "seed")
"""Settings that have columns of their own."""
_UNTOLD = (
    *("model", "sequences", "settings", "taken", "pictures", "logger", "checkpoint_every", "validate_every"),
    *("threads", "workers"),
)
"""What is told elsewhere, or changes nothing learnt."""
_MOST = 4
"""Most further settings that stand in the row of a run; more of them have rows of their own."""
_EQUIVARIANCE = ("identity", "untrained", "chance")


@dataclass(frozen=True)
class Column:
    """A figure of the validation split.

    Parameters
    ----------
    head, below
        What it is called; its unit and the direction of better values.
    key
        Its name in ``provenance.json``.
    digits
        Digits behind the point.
    best
        Perfect value; infinite where more, or less, is better; NaN where none is.
    beside
        Words and key of what stands small below it.
    """

    head: str
    below: str
    key: str
    digits: int
    best: float = np.nan
    beside: tuple[tuple[str, str], ...] = ()


_GREY = (
    Column("log-likelihood", "nats a frame ↑", "log_likelihood", 1, np.inf),
    Column("cross-entropy", "nats a frame ↓", "reconstruction", 1, -np.inf),
    Column("divergence", "nats a frame", "divergence", 1),
    Column(
        "equivariance error",
        "sum over a sequence",
        "equivariance",
        0,
        beside=tuple((word, f"equivariance_{word}") for word in _EQUIVARIANCE),
    ),
    Column("active units of z", "below: of u", "active_units_z", 0, beside=(("u", "active_units_u"),)),
)
_RAIN = (
    Column("reconstruction", "nats a pixel ↓", "nats", 3, -np.inf),
    Column("bound", "nats a frame", "reconstruction", 0, beside=(("and divergence", "divergence"),)),
    Column("wet ratio", "→ 1", "wet_ratio", 2, 1.0),
    Column("active units of z", "below: of u", "active_units_z", 0, beside=(("u", "active_units_u"),)),
)


# ---- settings


def settings_table(runs: Sequence[LatentRun]) -> str:
    """One row for each run: coherence, capsules, size, steps, seed, what else differs, time, losses.

    Parameters
    ----------
    runs
        Of one kind of sequences.
    """
    more = _differing(runs)
    inside = more if len(more) <= _MOST else []
    heads = ["run", "coherence", "capsules<small>× places</small>", "parameters", "steps", "seed"]
    heads += [escape(_named(key)) for key in inside]
    heads += ["time learnt", "loss on validation<small>nats a frame</small>"]
    lines = []
    for run in runs:
        places = " × ".join(map(str, run.settings.dimensions))
        words, small = coherence_words(run.settings.coherence)
        late = "" if run.is_finished else f"<small>of {told(run.training.get('steps'))}</small>"
        row = [
            escape(words) + "".join(f"<small>{escape(part)}</small>" for part in small),
            f"{run.settings.capsules} × {places}",
            told(run.parameters),
            told(run.steps) + late,
            told(run.training.get("seed")),
            *(escape(_shown(_told(run).get(key))) for key in inside),
            duration(run.seconds),
            _losses(run),
        ]
        lines.append((row_name(run), "".join(f"<td>{cell}</td>" for cell in row)))
    return table("scores", heads, lines, caption="Settings") + ("" if inside else _apart(more, runs))


def row_name(run: LatentRun) -> str:
    """Name of the row of a run, as HTML."""
    return escape(run.name) + ("" if run.is_finished else "<small>unfinished</small>")


def _apart(keys: Sequence[str], runs: Sequence[LatentRun]) -> str:
    """Further settings that are not the same in all runs, one row for each."""
    if not keys:
        return ""
    held = [_told(run) for run in runs]
    lines = [(escape(_named(key)), cells(*(_shown(one.get(key)) for one in held))) for key in keys]
    heads = ["setting", *(escape(run.name) for run in runs)]
    return f"<details><summary>What else differs</summary>\n{table('scores', heads, lines)}</details>\n"


def _shown(value: Any) -> str:
    """A setting: a dash where there is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return told(value) or "–"


def coherence_words(coherence: Coherence | None) -> tuple[str, tuple[str, ...]]:
    """Shape of a coherence, and its extent.

    Examples
    --------
    >>> coherence_words(Coherence(frames=6, speeds=(0.0, 0.0, 1.0), causal=True))
    ('shifting', ('6 frames × 3 places', 'speeds 0 (2×) and 1', 'causal'))
    >>> coherence_words(None)
    ('none', ('plain latents',))
    """
    if coherence is None:
        return "none", ("plain latents",)
    frames = "1 frame" if coherence.frames == 1 else f"{coherence.frames} frames"
    places = "1 place" if coherence.width == 1 else f"{coherence.width} places"
    words = [f"{frames} × {places}"]
    if coherence.shape == "shifting" and coherence.speeds != (1.0,):
        groups = [(_speed(speed), len(list(held))) for speed, held in itertools.groupby(coherence.speeds)]
        words.append("speeds " + gathered([speed + (f" ({count}×)" if count > 1 else "") for speed, count in groups]))
    words += ["causal"] * coherence.causal
    ends = [name for name, end in (("time", coherence.time), ("place", coherence.capsule)) if end == "open"]
    words += [f"open ends of {' and '.join(ends)}"] if ends else []
    return coherence.shape, tuple(words)


def _speed(speed: float | tuple[float, ...]) -> str:
    return f"({' '.join(f'{part:g}' for part in speed)})" if isinstance(speed, tuple) else f"{speed:g}"


def duration(seconds: float) -> str:
    """A time in the unit in which one says it.

    Examples
    --------
    >>> duration(3.24), duration(671.8), duration(10_000.0), duration(float("nan"))
    ('3.2 s', '11 min', '2.8 h', '–')
    """
    if not np.isfinite(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _losses(run: LatentRun) -> str:
    """Last loss on validation over that on training."""
    (step, judged), (_, learnt) = run.last("validation_loss"), run.last("loss")
    late = f" at step {told(step)}" if step and not run.is_finished else ""
    below = f"{'training ' if np.isfinite(learnt) else ''}{shown_value(learnt, 1)}"
    return f"{shown_value(judged, 1)}{late}<small>{below}</small>"


def shared_settings(runs: Sequence[LatentRun]) -> dict[str, str]:
    """Settings that are the same in all runs, by their names in words.

    Parameters
    ----------
    runs
        Of one kind of sequences.
    """
    apart = set(_differing(runs))
    return {_named(key): _shown(value) for key, value in _told(runs[0]).items() if key not in apart}


def _differing(runs: Sequence[LatentRun]) -> list[str]:
    """Settings without a column of their own that are not the same in all runs."""
    held = [_told(run) for run in runs]
    keys = dict.fromkeys(key for one in held for key in one)
    return [key for key in keys if any(one.get(key) != held[0].get(key) for one in held[1:])]


def _told(run: LatentRun) -> dict[str, Any]:
    """Settings of a run; those that it does not tell have their usual values where the model knows them."""
    plain = {**run.training, **run.settings.model_dump(mode="json")}
    return {key: value for key, value in plain.items() if key not in (*_OWN, *_UNTOLD)}


def _named(key: str) -> str:
    return {"fingerprint": "fingerprint of the data", "ema": "decay of the average"}.get(key, key.replace("_", " "))


# ---- figures


def is_of_factors(runs: Iterable[LatentRun]) -> bool:
    """Whether runs learn images whose factors are known, digits or sprites."""
    return all(run.sequences != "rain" for run in runs)


def factors_of(runs: Iterable[LatentRun]) -> list[str]:
    """Factors that the figures of runs tell of, in their order."""
    return [name for name in _ends(runs, "rolled_") if not name.isdecimal()]


def lags_of(runs: Iterable[LatentRun]) -> list[int]:
    """Frames ahead that the figures of runs of rain tell of."""
    return sorted(int(name) for name in _ends(runs, "rolled_") if name.isdecimal())


def _ends(runs: Iterable[LatentRun], begin: str) -> list[str]:
    """What follows a beginning of keys."""
    return list(dict.fromkeys(key.removeprefix(begin) for run in runs for key in run.figures if key.startswith(begin)))


def figure_tables(runs: Sequence[LatentRun], *, comparable: bool = True) -> str:
    """Figures of the validation split, one row for each run: how well it tells the data, what rolls, all others.

    Parameters
    ----------
    runs
        Of one kind of sequences; those that are not finished have dashes.
    comparable
        Whether figures of one row compare with those of another: the best of a column is bold.
    """
    if not any(run.figures for run in runs):
        return "<p>No run has figures yet: they are found when a training ends.</p>\n"
    grey = is_of_factors(runs)
    tables = {"Reconstruction and latents": list(_GREY) if grey else _with_levels(runs)}
    tables |= _of_factors(runs) if grey else _of_lags(runs)
    parts = [_table(columns, runs, caption, comparable) for caption, columns in tables.items()]
    return "".join(parts) + _further([one for columns in tables.values() for one in columns], runs)


def _of_factors(runs: Sequence[LatentRun]) -> dict[str, list[Column]]:
    names = factors_of(runs)
    correlated = [
        Column(name, "↑", f"capcorr_{name}", 2, np.inf, (("untrained", f"capcorr_{name}_untrained"),)) for name in names
    ]
    decoded = [Column(name, "↓", f"rolled_{name}", 1, -np.inf, (("frozen", f"frozen_{name}"),)) for name in names]
    return {"Capsule correlation": correlated, "Later frames from the first one rolled, nats a frame": decoded}


def _with_levels(runs: Sequence[LatentRun]) -> list[Column]:
    levels = [Column(f"CSI, ≥ {level} mm/h", "↑", f"csi_{level}", 2, np.inf) for level in _ends(runs, "csi_")]
    return [_RAIN[0], *levels, *_RAIN[1:]]


def _of_lags(runs: Sequence[LatentRun]) -> dict[str, list[Column]]:
    skills, decoded = [], []
    for lag in lags_of(runs):
        ahead, key = counted(lag, "frame") + " ahead", f"roll_skill_{lag}"
        skills.append(Column(ahead, "↑", key, 2, np.inf, (("untrained", f"{key}_untrained"),)))
        decoded.append(Column(ahead, "↓", f"rolled_{lag}", 3, -np.inf, (("frozen", f"frozen_{lag}"),)))
    return {"Roll skill": skills, "Rain from rolled latents, nats a pixel": decoded}


def _table(columns: Sequence[Column], runs: Sequence[LatentRun], caption: str, comparable: bool) -> str:
    """Figures in columns; one that no run has is left out."""
    shown = [column for column in columns if any(column.key in run.figures for run in runs)]
    heads = ["run", *(f"{escape(one.head)}<small>{escape(one.below) or '&nbsp;'}</small>" for one in shown)]
    compared = runs if comparable else []
    best = {one.key: _best(one, [run.figures.get(one.key, np.nan) for run in compared]) for one in shown}
    lines = []
    for run in runs:
        lines.append((row_name(run), "".join(_cell(one, run.figures, best[one.key]) for one in shown)))
    return table("scores", heads, lines, caption=caption) if shown else ""


def _best(column: Column, values: Sequence[float]) -> str:
    """How the best value of a column is printed; empty where there is nothing to compare."""
    finite = [value for value in values if np.isfinite(value)]
    if np.isnan(column.best) or len({shown_value(value, column.digits) for value in finite}) < 2:
        return ""
    sign = np.sign(column.best)
    far = {value: -sign * value if np.isinf(column.best) else abs(value - column.best) for value in finite}
    return shown_value(min(far, key=lambda value: far[value]), column.digits)


def _cell(column: Column, figures: Mapping[str, float], best: str) -> str:
    """A value over what stands beside it."""
    value = figures.get(column.key, np.nan)
    if not np.isfinite(value):
        return '<td class="open">–</td>'
    text = shown_value(value, column.digits)
    small = "".join(
        f"<small>{escape(word)} {shown_value(figures[key], column.digits)}</small>"
        for word, key in column.beside
        if key in figures
    )
    return f'<td class="best"><b>{text}</b>{small}</td>' if text == best else f"<td>{text}{small}</td>"


def _further(columns: Sequence[Column], runs: Sequence[LatentRun]) -> str:
    """Figures without a column, one row for each."""
    known = {key for one in columns for key in (one.key, *(beside for _, beside in one.beside))}
    keys = dict.fromkeys(key for run in runs for key in run.figures if key not in known | {"validation_loss"})
    if not keys:
        return ""
    told_runs = [run for run in runs if run.figures]
    lines = [
        (f"<code>{escape(key)}</code>", "".join(f"<td>{_plain(run.figures.get(key))}</td>" for run in told_runs))
        for key in keys
    ]
    held = table("scores", ["figure", *(escape(run.name) for run in told_runs)], lines)
    return f"<details><summary>Further figures of the runs</summary>\n{held}</details>\n"


def _plain(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.5g}".replace("-", "−")
