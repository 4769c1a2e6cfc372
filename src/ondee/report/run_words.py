"""What runs of autoencoders learnt and which of them rolls, in sentences; and how their figures are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ondee.report.parts import told
from ondee.report.run_rows import duration, factors_of, is_of_factors, lags_of
from ondee.report.table import shown_value
from ondee.report.wording import counted, gathered
from ondee.run import LatentRun

__all__ = ["READINGS", "difference_words", "run_summary", "what_of"]

_WHAT = {"digits": "digits that turn, grow or change colour", "sprites": "sprites that move, turn or grow"}
_COMMIT = 10
_LEAST = 0.5
"""Mean capsule correlation from which on a run is said to roll."""

_LIKELIHOOD = (
    ("log-likelihood", "importance-weighted bound on log p of whole sequences", "which frame is wrong"),
    ("cross-entropy", "what is missed of the frames by one draw of the latents", "whether latents have any order"),
    ("divergence", "how much latents tell beyond their prior", "what they tell"),
)
_UNITS = ("active units", "latents that differ from their prior by 0.01 nats or more", "what they are used for")
READINGS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "factors": (
        *_LIKELIHOOD,
        (
            "equivariance error",
            "distance of rolled latents from later ones, summed over pairs of frames; beside it what the identity in "
            "place of the roll, an untrained model and chance have",
            "learning: latents that share their scale have little of it untrained",
        ),
        (
            "capsule correlation",
            "correlation of the roll that is observed with the change of the factor; 1 is perfect, and an untrained "
            "model, told beside it, can have much of it",
            "whether the decoder obeys the roll",
        ),
        (
            "rolled, frozen",
            "cross-entropy of later frames, decoded from the latents of the first frame rolled, or left as they are",
            "forecasts: latents share u with later frames unless the coherence is causal",
        ),
        _UNITS,
    ),
    "rain": (
        ("reconstruction", "what is missed of an observed pixel by posterior means", "whether latents have any order"),
        ("bound", "what is missed of a frame by one draw, and the divergence", "how much of a frame was observed"),
        ("CSI", "hits over hits, misses and false alarms of the expected rain", "how far off a miss is"),
        ("wet ratio", "expected wet pixels over observed ones", "where it rains"),
        (
            "roll skill",
            "1 less the error of rolled latents over that of latents left as they are; 0 is no better",
            "whether the decoder obeys the roll",
        ),
        (
            "rolled, frozen",
            "what is missed of an observed pixel so many frames ahead, decoded from latents rolled, or left as they "
            "are",
            "forecasts: latents share u with later frames unless the coherence is causal",
        ),
        _UNITS,
    ),
}
"""Figure, what it is, what it is blind to; of digits and sprites, and of rain."""


class Told(NamedTuple):
    """One sentence of the summary: its topic, by which the page sets it apart, and plain text."""

    topic: str
    text: str


def what_of(run: LatentRun) -> str:
    """What a run learns, in words with its size and step."""
    length = run.rain.get("frames")
    if run.sequences != "rain" or length is None:
        return _WHAT.get(run.sequences, run.sequences or "sequences")
    height, width = run.shape[1:]
    cell = " × ".join(f"{float(side):g}" for side in run.rain.get("cell_km", ()))
    step = run.rain.get("step_minutes")
    return f"radar rain, {length} frames of {height} × {width} pixels, {step} min apart, cells of {cell} km"


def run_summary(runs: Sequence[LatentRun]) -> list[Told]:
    """Sentences on runs: what they are, what is not finished, which one rolls best, and what to mind.

    Parameters
    ----------
    runs
        Of any kinds of sequences; each kind is told by itself.
    """
    made = []
    for kind in dict.fromkeys(run.sequences for run in runs):
        made += _of_kind([run for run in runs if run.sequences == kind])
    done = [run for run in runs if run.is_finished]
    return [*made, Told("open", _caution(done))] if done else made


def _of_kind(runs: Sequence[LatentRun]) -> list[Told]:
    """Sentences on runs of one kind of sequences."""
    done = [run for run in runs if run.is_finished]
    made = [Told("", _opening(runs, done))]
    made += [Told("open", _unfinished(run)) for run in runs if not run.is_finished]
    if done:
        made += _of_factors(done) if is_of_factors(done) else _of_rain(done)
        made += [Told("found", words) for words in (_ahead_only(done), difference_words(done)) if words]
    return made


# ---- what there is


def _opening(runs: Sequence[LatentRun], done: Sequence[LatentRun]) -> str:
    """Which runs, of what, how long, on which commit."""
    groups = {what: [run.name for run in runs if what_of(run) == what] for what in map(what_of, runs)}
    words = " ".join(f"{counted(len(held), 'run')} of {what}: {gathered(held)}." for what, held in groups.items())
    if not done:
        return words
    verb = "The finished ones" if len(done) < len(runs) else "They"
    words += f" {verb if len(done) > 1 else done[0].name} learnt for {_steps(run.steps for run in done)}"
    spent = [run.seconds for run in done if np.isfinite(run.seconds)]
    if spent:
        words += " in " + " to ".join(dict.fromkeys(duration(ends) for ends in (min(spent), max(spent))))
        words += " each" if len(done) > 1 else ""
    commits = list(dict.fromkeys(str(run.origin.get("commit") or "")[:_COMMIT] for run in done))
    known = [commit for commit in commits if commit]
    if known:
        words += f", on {'commit' if len(known) == 1 else 'commits'} {gathered(known)}"
    return words + ("." if len(known) == len(commits) else "; not all tell their commit.")


def _steps(values: Iterable[int]) -> str:
    held = sorted(set(values))
    return told(held[0]) + (f" to {told(held[-1])}" if len(held) > 1 else "") + (" step" if held == [1] else " steps")


def _unfinished(run: LatentRun) -> str:
    """How far a run has come."""
    asked = run.training.get("steps")
    words = f"{run.name} is unfinished: step {told(run.steps)}" + (f" of {told(asked)}" if asked else "")
    for key, where in (("loss", "on training sequences"), ("validation_loss", "on those of the validation")):
        step, value = run.last(key)
        if np.isfinite(value):
            words += f", loss {shown_value(value, 1)} nats a frame {where}"
            words += f" at step {told(step)}" if step != run.steps else ""
    return words + "; it has no figures yet."


def difference_words(done: Sequence[LatentRun]) -> str:
    """That figures of other data, other sequences or another law do not compare; empty where they do.

    Parameters
    ----------
    done
        Runs of one kind of sequences.
    """
    reasons = []
    if len({str(run.training.get("fingerprint")) for run in done}) > 1:
        reasons.append("data")
    if len({(run.shape, str(run.rain)) for run in done}) > 1:
        reasons.append("size, step or cell of their sequences")
    if len({run.settings.likelihood for run in done}) > 1:
        reasons.append("likelihood")
    if not reasons:
        return ""
    return f"The runs differ in {gathered(reasons)}: nats and scores of one row do not compare with those of another."


def _caution(done: Sequence[LatentRun]) -> str:
    rows = "each row is one training, so that a difference between two rows may be one of seeds"
    return (
        "All figures are of the validation split, from which nothing was learnt but by which settings may have been "
        f"chosen; {rows if len(done) > 1 else 'they are of one training'}. The test split was not looked at."
    )


# ---- which one rolls


def _of_factors(done: Sequence[LatentRun]) -> list[Told]:
    """The run with the highest mean capsule correlation, and what its rolls decode to."""
    names = factors_of(done)
    told_by = {run.name: [name for name in names if f"capcorr_{name}" in run.figures] for run in done if run.figures}
    judged = [run for run in done if told_by.get(run.name)]
    made = []
    if judged:
        mean = {run.name: np.mean([run.figures[f"capcorr_{name}"] for name in told_by[run.name]]) for run in judged}
        best = max(judged, key=lambda run: float(mean[run.name]))
        made.append(_correlated(best, told_by[best.name], alone=len(judged) == 1))
        others = [_of_factor(name, judged, best) for name in names]
        if any(others):
            made.append(Told("", "Other runs are ahead in single factors: " + "; ".join(filter(None, others)) + "."))
    decoded = [_decoded(run, names) for run in done if 0 in run.settings.lead]
    if any(decoded):
        words = "Decoded, the rolled first frame is nearer to later frames than the same left as it is in "
        made.append(Told("", words + "; ".join(filter(None, decoded)) + "."))
    return made


def _correlated(best: LatentRun, names: Sequence[str], *, alone: bool) -> Told:
    """How well the rolls of the best run follow the factors, beside those of the untrained model."""
    figures = best.figures
    own = float(np.mean([figures[f"capcorr_{name}"] for name in names]))
    before = float(np.mean([figures.get(f"capcorr_{name}_untrained", np.nan) for name in names]))
    listed = ", ".join(f"{name} {shown_value(figures[f'capcorr_{name}'], 2)}" for name in names)
    mean = f"mean capsule correlation {shown_value(own, 2)} ({listed}), {shown_value(before, 2)} untrained"
    if not own > max(before, 0.0):
        which = best.name if alone else f"No run, not even {best.name}"
        return Told("found", f"{which} {'does not roll' if alone else 'rolls'} more than untrained: {mean}.")
    if own < _LEAST:
        which = f"{best.name} hardly rolls" if alone else f"No run rolls well, {best.name} best"
        return Told("open", f"{which}: {mean}.")
    return Told("clear", f"{best.name} {'rolls' if alone else 'rolls best'}: {mean}.")


def _of_factor(name: str, judged: Sequence[LatentRun], best: LatentRun) -> str:
    """The run that is ahead of the best one in a factor; empty where none is."""
    key = f"capcorr_{name}"
    first = max((run for run in judged if key in run.figures), key=lambda run: run.figures[key], default=best)
    own, other = (shown_value(run.figures.get(key, np.nan), 2) for run in (first, best))
    return "" if first is best or own == other else f"{first.name} in {name} ({own})"


def _decoded(run: LatentRun, names: Sequence[str]) -> str:
    """For which factors the rolled first frame decodes to the later ones better than the frozen one."""
    pairs = {name: (run.figures.get(f"rolled_{name}"), run.figures.get(f"frozen_{name}")) for name in names}
    held = {
        name: rolled < frozen for name, (rolled, frozen) in pairs.items() if rolled is not None and frozen is not None
    }
    if not held:
        return ""
    return f"{gathered([name for name, is_better in held.items() if is_better]) or 'no factor'} ({run.name})"


def _of_rain(done: Sequence[LatentRun]) -> list[Told]:
    """The run with the highest roll skill one frame ahead beside the untrained one, and what its rolls decode to."""
    lag = next(iter(lags_of(done)), 0)
    key, ahead = f"roll_skill_{lag}", f"{counted(lag, 'frame')} ahead".replace("1 frame ahead", "one frame ahead")
    judged = [run for run in done if np.isfinite(run.figures.get(key, np.nan))]
    if not judged:
        return [Told("open", "No run tells a roll skill: nothing moved in the sequences that were judged.")]
    best = max(judged, key=lambda run: run.figures[key])
    own, before = best.figures[key], best.figures.get(f"{key}_untrained", np.nan)
    skill = f"a roll skill of {shown_value(own, 2)} {ahead}, {shown_value(before, 2)} untrained"
    alone = len(judged) == 1
    if own <= 0:
        which = (
            f"{best.name} does not roll as the rain moves: it has"
            if alone
            else (f"No run rolls as the rain moves: the highest is that of {best.name},")
        )
        first = f"{which} {skill}; latents left as they are lie nearer to those of later frames than rolled ones."
        made = [Told("found", first)]
    elif own <= before:
        which = f"{best.name} has a roll skill of" if alone else f"The highest roll skill is that of {best.name},"
        own_words, before_words = (shown_value(value, 2) for value in (own, before))
        made = [Told("found", f"{which} {own_words} {ahead}, no more than the {before_words} that it has untrained.")]
    else:
        made = [Told("clear", f"{best.name} {'rolls' if alone else 'rolls best'}: it has {skill}.")]
    own_frames = [run for run in judged if 0 in run.settings.lead]
    if own_frames:
        made.append(Told("", _decoded_rain(own_frames, lag, ahead)))
    return made


def _ahead_only(done: Sequence[LatentRun]) -> str:
    """Which runs have not learnt to decode a frame from its own latents; empty where all have."""
    names = [run.name for run in done if 0 not in run.settings.lead]
    if not names:
        return ""
    return (
        f"Only frames ahead were learnt by {gathered(names)}: a reconstruction there is one of frames ahead, not of "
        "the frame itself, and what frozen latents decode to was never learnt, so that it is not counted above."
    )


def _decoded_rain(judged: Sequence[LatentRun], lag: int, ahead: str) -> str:
    """Whether rolled latents decode to rain nearer to what came than latents left as they are."""
    pairs = {run.name: [run.figures.get(f"{kind}_{lag}", np.nan) for kind in ("rolled", "frozen")] for run in judged}
    better = {name: ends for name, ends in pairs.items() if ends[0] < ends[1]}
    words = "Decoded, rolled latents are nearer to the rain " + ahead + " than latents left as they are "
    if better:
        listed = [
            f"{name} ({' against '.join(shown_value(end, 3) for end in ends)} nats a pixel)"
            for name, ends in better.items()
        ]
        return f"{words}in {gathered(listed)}" + ("." if len(better) == len(pairs) else ", and in no other run.")
    listed = [f"{name} {' against '.join(shown_value(end, 3) for end in ends)}" for name, ends in pairs.items()]
    return f"{words}in no run: {', '.join(listed)} nats a pixel."
