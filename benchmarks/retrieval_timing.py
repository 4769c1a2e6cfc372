"""Seconds of a field and member of every model, side by side in one run and one thread."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.retrieval_fields import Entry, evaluations
from ondee.condition import Condition
from ondee.generative.noise import Noise
from ondee.retriever import Retriever
from ondee.retriever.protocol import padded

__all__ = ["RESULT", "Row", "condition_of", "measured", "seconds_of", "table", "write"]

RESULT = "timing.json"
_SMALL = 64
_REPEATS = 3


@dataclass(frozen=True)
class Row:
    """Cost of one model.

    Parameters
    ----------
    name
        As in the tables.
    parameters
        Numbers that it learnt.
    evaluations
        Of a network, for one member.
    shared, member
        Seconds of what all members share, and of one member beside it.
    timed
        Evaluations that were timed; the rest of a long chain was reckoned from them.
    """

    name: str
    parameters: int
    evaluations: int
    shared: float
    member: float
    timed: int

    @property
    def alone(self) -> float:
        """Seconds of a field of one member."""
        return self.shared + self.member


def condition_of(retriever: Retriever, size: int) -> Condition:
    """A condition of random content: what is computed does not depend on what is seen.

    Parameters
    ----------
    retriever
        Who looks at it.
    size
        Height and width, pixels.
    """
    seen = retriever.predictors
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1, len(seen.minutes), len(seen.channels), size, size, generator=generator)
    mean = torch.tensor(list(retriever.statistics.mean))[:, None, None]
    deviation = torch.tensor(list(retriever.statistics.deviation))[:, None, None]
    return Condition(mean + deviation * noise, torch.zeros(1, len(seen.auxiliary), size, size))


@torch.no_grad()
def seconds_of(entry: Entry, condition: Condition, most: int = 0) -> tuple[float, float, int]:
    """Seconds of the shared stages, of one member's, and how many of those were timed.

    Parameters
    ----------
    entry
        The model.
    condition
        What it looks at.
    most
        Stages of a member after which a longer chain is reckoned from those timed; 0 for none.
    """
    retriever = entry.retriever
    whole = padded(condition, retriever.multiple)
    noise = Noise(0, (0,), (0,)).window((0, whole.shape[0]), (0, whole.shape[1]))
    states: dict[str, torch.Tensor] = {}
    stages = retriever.stages(entry.sampling)
    own = sum(not stage.shared for stage in stages)
    shared = member = 0.0
    done = 0
    for stage in stages:
        if not stage.shared and most and done >= most:
            continue
        begun = time.perf_counter()
        states |= stage.work(whole, states, noise)
        spent = time.perf_counter() - begun
        if stage.shared:
            shared += spent
        else:
            member, done = member + spent, done + 1
    return shared, member * own / max(done, 1), done


def measured(models: Sequence[Entry], size: int, most: int) -> list[Row]:
    """Time all models in turn, best of three rounds, in one thread.

    Parameters
    ----------
    models
        Which.
    size
        Height and width of the field, pixels.
    most
        As of :func:`seconds_of`.
    """
    torch.set_num_threads(1)
    conditions = {entry.name: condition_of(entry.retriever, size) for entry in models}
    best: dict[str, tuple[float, float, int]] = {}
    for _ in range(_REPEATS):
        for entry in models:
            found = seconds_of(entry, conditions[entry.name], most)
            held = best.get(entry.name, found)
            best[entry.name] = (min(held[0], found[0]), min(held[1], found[1]), found[2])
            print(f"{entry.name}: {found[0] + found[1]:.2f} s a member", flush=True)
    rows = []
    for entry in models:
        small = conditions[entry.name].window((0, _SMALL), (0, _SMALL))
        parameters = sum(weights.numel() for weights in entry.retriever.parameters())
        rows.append(Row(entry.name, parameters, evaluations(entry, small), *best[entry.name]))
    return rows


def table(rows: Sequence[Row], rival: str) -> str:
    """Rows as Markdown, with how many times faster than the rival each is.

    Parameters
    ----------
    rows
        From :func:`measured`.
    rival
        Name of the model that the others are compared with.
    """
    theirs = next((row.alone for row in rows if row.name == rival), None)
    lines = [
        f"| | parameters | evaluations | shared, s | a member, s | alone, s | times faster than {rival} |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        faster = "–" if theirs is None else f"{theirs / row.alone:.1f}"
        told = f"{row.evaluations}" + (f" ({row.timed} timed)" if 0 < row.timed < row.evaluations else "")
        numbers = f"{row.shared:.3g} | {row.member:.3g} | {row.alone:.3g}"
        lines.append(f"| {row.name} | {row.parameters:,} | {told} | {numbers} | {faster} |")
    return "\n".join(lines) + "\n"


def write(rows: Sequence[Row], folder: Path) -> None:
    """Keep the seconds for the figure of the two axes.

    Parameters
    ----------
    rows
        From :func:`measured`.
    folder
        Working folder.
    """
    (folder / RESULT).write_text(json.dumps({"seconds": {row.name: row.alone for row in rows}}, indent=1))
