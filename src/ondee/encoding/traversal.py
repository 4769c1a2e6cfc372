"""What each capsule tells of the rain: one frame decoded again and again while a capsule is rolled around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ondee.encoding.decoder import rain_of
from ondee.encoding.encoder import OBSERVED, Encoder
from ondee.errors import ConfigError
from ondee.progress import track
from ondee.topographic.model import Posterior, TopographicVAE
from ondee.topographic.topography import Topography, rolled

__all__ = ["Traversal", "traverse"]

_ROWS = 8
"""Most rows of capsules."""


@dataclass(frozen=True)
class Traversal:
    """A window of rain and what comes of rolling its capsules.

    Parameters
    ----------
    observed, reconstructed
        ``(S, side, side)``, mm h-1, NaN where not observed.
    turned
        ``(rows, S, side, side)``: the frame `middle` decoded with the capsules of a row rolled by 0, 1, 2 … places.
    names
        Of the rows.
    middle
        Number of the frame that is rolled.
    times
        Labels of the frames, UTC.
    at
        y and x of the centre of the window, in the coordinates of the grid.
    unit
        Of them.
    cell
        Height and width of a pixel, km.
    product, run
        The radar in words, and the name of the run.
    """

    observed: NDArray[np.float32]
    reconstructed: NDArray[np.float32]
    turned: NDArray[np.float32]
    names: tuple[str, ...]
    middle: int
    times: NDArray[np.datetime64]
    at: tuple[float, float]
    unit: str
    cell: tuple[float, float]
    product: str
    run: str


@torch.inference_mode()
def traverse(
    run: str | Path,
    radar: str | Path,
    *,
    start: str | None = None,
    at: tuple[float, float] | None = None,
    **chosen: Any,
) -> Traversal:
    """Roll the capsules of one window of a radar.

    Parameters
    ----------
    run
        Folder of a run of rain.
    radar
        A store, or a file or folder of radar.
    start
        Label from which on the first sequence is taken, UTC; that of the wettest window where None.
    at
        y and x of a point in the window, in the coordinates of the grid; the wettest window where None.
    **chosen
        As of :class:`~ondee.encoding.radar.Radar`: ``region`` and ``options``.

    Raises
    ------
    ConfigError
        If the radar is not what the model was made for, or less than half of every window, or of the one that is
        asked for, was observed.
    """
    encoder = Encoder(run, radar, start=start, **chosen)
    window = None if at is None else encoder.tiling.at(*at, where=f"--at {at[0]:g},{at[1]:g}")
    number, window = _wettest(encoder, range(len(encoder.radar) if start is None else 1), window)
    sequence, rain, _ = encoder.windows(number)
    observed, model = rain[window], encoder.model
    law = model.encode(torch.from_numpy(observed)[None, :, None])
    latents = model.topography.expected(law.z_mean, law.squares())
    middle = len(observed) // 2
    rows = _rows(model, law)
    turned = [[_turned(model.topography, latents[0, middle], row, n) for n in range(len(observed))] for _, row in rows]
    made = torch.stack([torch.stack(row) for row in turned]).numpy()
    y, x = encoder.tiling.centres()
    row, column = divmod(window, encoder.tiling.shape[1])
    return Traversal(
        observed=observed,
        reconstructed=rain_of(model, latents.numpy())[0][0],
        turned=rain_of(model, made)[0],
        names=tuple(name for name, _ in rows),
        middle=middle,
        times=sequence.times,
        at=(float(y[row]), float(x[column])),
        unit=encoder.tiling.grid.unit,
        cell=encoder.learnt.cell,
        product=encoder.radar.product,
        run=encoder.name,
    )


def _wettest(encoder: Encoder, numbers: Sequence[int], window: int | None) -> tuple[int, int]:
    """Sequence and window with most rain of those of which half was observed; `window` is taken where it is given."""
    best, found = -1.0, (0, 0)
    for number in track(numbers, "looking for the wettest window"):
        _, rain, share = encoder.windows(number)
        mean = np.nansum(rain, axis=(1, 2, 3), dtype=np.float64) / np.maximum(share * rain[0].size, 1)
        mean = np.where(share >= OBSERVED, mean, -1.0)
        place = int(mean.argmax()) if window is None else window
        if mean[place] > best:
            best, found = float(mean[place]), (number, place)
    if best < 0:
        raise ConfigError(
            f"less than half of {'every window' if window is None else 'the window'} was observed",
            where=encoder.radar.path,
            fix="give another --start or --at; `ondee look` tells the radar's coverage",
        )
    return found


def _rows(model: TopographicVAE, law: Posterior) -> list[tuple[str, list[int]]]:
    """Names of what is rolled, and its capsules: each, or groups of one speed, or all and those that are used most."""
    topography = model.topography
    speeds = topography.velocities()
    size = topography.capsules // len(speeds)
    each = [f"capsule {n}\n{_speed(speeds[n // size])}" for n in range(topography.capsules)]
    if topography.capsules <= _ROWS:
        return [(name, [n]) for n, name in enumerate(each)]
    if len(set(speeds)) > 1:
        alike: dict[tuple[float, ...], list[int]] = {}
        for capsule in range(topography.capsules):
            alike.setdefault(speeds[capsule // size], []).append(capsule)
        return [(f"{_listed(group)}\n{_speed(speed)}", group) for speed, group in alike.items()][:_ROWS]
    nats = sum(entry.sum((0, 1, 3)) for entry in law.divergence().values())
    assert isinstance(nats, Tensor)
    used = sorted(nats.argsort(descending=True)[: _ROWS - 1].tolist())
    everything = (f"all {topography.capsules}\n{_speed(speeds[0])}", list(range(topography.capsules)))
    return [everything, *((each[n], [n]) for n in used)]


def _listed(capsules: Sequence[int]) -> str:
    """Numbers of capsules, in words."""
    first, last = capsules[0], capsules[-1]
    if last - first + 1 == len(capsules):
        return f"capsules {first}–{last}" if len(capsules) > 1 else f"capsule {first}"
    return f"{len(capsules)} capsules"


def _speed(velocity: tuple[float, ...]) -> str:
    words = ", ".join(f"{speed:g}" for speed in velocity)
    return f"speed {words}" if len(velocity) == 1 else f"speed ({words})"


def _turned(topography: Topography, latents: Tensor, capsules: list[int], places: int) -> Tensor:
    """Latents ``(C, D)`` with some capsules rolled by whole places: waves go on, else the prior's centre comes in."""
    if topography.settings.entering == "wave" and any(_moves(topography, capsules[0])):
        made = latents.clone()
        made[capsules] = topography.roll(latents, places / max(map(abs, _moves(topography, capsules[0]))))[capsules]
        return made
    coherence, dimensions = topography.settings.coherence, topography.settings.dimensions
    is_open = coherence is not None and coherence.capsule == "open"
    chosen = latents[capsules]
    centre: Tensor | float = 0.0
    if is_open:
        centre = topography.centre.expand(topography.capsules, 1)[capsules]
    moved = rolled(chosen - centre, dimensions, _along(topography, capsules[0], places), is_open=is_open)
    made = latents.clone()
    made[capsules] = moved + centre
    return made


def _moves(topography: Topography, capsule: int) -> tuple[float, ...]:
    """Velocity of a capsule, places a frame."""
    velocities = topography.velocities()
    return velocities[capsule * len(velocities) // topography.capsules]


def _along(topography: Topography, capsule: int, places: int) -> tuple[float, ...]:
    """Whole places along each axis: those of a torus along the way that the capsule moves, or its last axis."""
    velocity = np.array(_moves(topography, capsule))
    largest = np.abs(velocity).max()
    if len(velocity) == 1 or not largest:
        return (0.0,) * (len(velocity) - 1) + (float(places),)
    return tuple(float(step) for step in np.rint(places * velocity / largest))
