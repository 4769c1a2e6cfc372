"""The space of latents laid flat: frames of rain by two principal components, and one frame for each cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ondee.encoding.encoder import OBSERVED, Encoder, latents_of
from ondee.errors import ConfigError
from ondee.progress import track
from ondee.topographic.model import TopographicVAE
from ondee.units import WET

__all__ = ["CELLS", "FACTS", "Atlas", "atlas", "components", "facts_of", "moves_rain", "nearest"]

CELLS = (8, 6)
"""Cells along the first component and along the second."""
FACTS = ("wet_fraction", "log_wet_intensity", "east", "north", "observed_fraction")
"""What the components are correlated with."""
_FEWEST = 20
"""Frames from which on a picture is worth drawing."""
_LEAST_WET = 0.01
"""Share of the observed pixels that must be wet."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Atlas:
    """Frames of rain by the two leading principal components of their latents.

    Parameters
    ----------
    places
        Components of the frames, ``(n, 2)``.
    shares
        Share of the latents' variance that each of the two holds.
    facts
        Name → ``(n,)``, as of :func:`facts_of`.
    correlations
        Of each of the two with each of `FACTS`; None with what is the same in all frames.
    thumbnails
        ``(m, side, side)``, mm h-1, NaN where not observed.
    drawn
        Number of the frame of each thumbnail, ``(m,)``.
    cells
        Column from the left and row from below of each thumbnail, ``(m, 2)``.
    windows
        Windows whose middle frames were looked at.
    times
        Labels of the frames, UTC, ``(n,)``.
    cell
        Height and width of a pixel, km.
    product, run
        The radar in words, and the name of the run.
    """

    places: Floats
    shares: tuple[float, float]
    facts: Mapping[str, Floats]
    correlations: tuple[dict[str, float | None], dict[str, float | None]]
    thumbnails: NDArray[np.float32]
    drawn: NDArray[np.int64]
    cells: NDArray[np.int64]
    windows: int
    times: NDArray[np.datetime64]
    cell: tuple[float, float]
    product: str
    run: str


def atlas(run: str | Path, radar: str | Path, **chosen: Any) -> Atlas:
    """Lay the middle frames of all sequences and windows of a radar out by their topographic latents.

    Each latent counts by how much it changes the decoded rain.

    A frame is taken if half of it and of its sequence was observed, and 1 % of what was observed is wet. An axis points
    to where its strongest correlation is positive.

    Parameters
    ----------
    run
        Folder of a run of rain.
    radar
        A store, or a file or folder of radar.
    **chosen
        As of :class:`~ondee.encoding.radar.Radar`: ``start``, ``end``, ``region`` and ``options``.

    Raises
    ------
    ConfigError
        If the radar is not what the model was made for, or fewer than 20 frames are taken.
    ReadError, UnitError
        If something cannot be read.
    """
    encoder = Encoder(run, radar, **chosen)
    latents, facts, origins = _frames(encoder)
    places, shares = components(latents * moves_rain(encoder.model, latents))
    found = [_correlations(axis, facts) for axis in places.T]
    signs = np.array([_sign(entry) for entry in found])
    first, second = (_turned(entry, sign) for entry, sign in zip(found, signs, strict=True))
    drawn, cells = nearest(places * signs, CELLS)
    return Atlas(
        places=places * signs,
        shares=shares,
        facts=facts,
        correlations=(first, second),
        thumbnails=_thumbnails(encoder, origins[drawn]),
        drawn=drawn,
        cells=cells,
        windows=len(encoder.radar) * encoder.tiling.count,
        times=encoder.radar.labels()[origins[:, 0], encoder.learnt.frames // 2],
        cell=encoder.learnt.cell,
        product=encoder.radar.product,
        run=encoder.name,
    )


@torch.inference_mode()
def moves_rain(model: TopographicVAE, latents: Floats, count: int = 6) -> Floats:
    """How much each latent changes the decoded rain, per unit of the latent: root mean square of log(1 + R), ``(d,)``.

    Latents have sizes of their own, which say nothing of what they do; so they can be compared.

    Parameters
    ----------
    model
        Of rain.
    latents
        ``(n, d)``; each is moved by its standard deviation.
    count
        Frames, evenly from all, at which that is done.
    """
    chosen = latents[np.linspace(0, len(latents) - 1, min(count, len(latents))).astype(int)]
    sizes = latents.std(0)
    found = np.zeros(latents.shape[1])
    shape = (-1, model.topography.capsules, model.topography.places)
    for start in chosen:
        moved = np.concatenate([start[None], start + np.diag(sizes)]).astype(np.float32).reshape(shape)
        parts = torch.split(torch.from_numpy(moved), 64)
        rain = torch.cat([model.likelihood.median(model.decode(part)) for part in parts])
        level = torch.log1p(rain.clamp(max=200))
        found += (level[1:] - level[:1]).square().flatten(1).mean(1).double().numpy() / len(chosen)
    return np.asarray(np.sqrt(found) / np.maximum(sizes, 1e-9))


def components(latents: Floats) -> tuple[Floats, tuple[float, float]]:
    """Two leading principal components ``(n, 2)`` of latents ``(n, d)``, and the shares of variance that they hold.

    Parameters
    ----------
    latents
        At least two of them that are not alike.

    Examples
    --------
    >>> places, shares = components(np.array([[0.0, 0, 1], [3, 0, 1], [0, 1, 1], [3, 1, 1]]))
    >>> np.abs(places).round(6).tolist(), tuple(np.round(shares, 6).tolist())
    ([[1.5, 0.5], [1.5, 0.5], [1.5, 0.5], [1.5, 0.5]], (0.9, 0.1))
    """
    left, sizes, _ = np.linalg.svd(latents - latents.mean(0), full_matrices=False)
    shares = sizes[:2] ** 2 / (sizes**2).sum()
    return left[:, :2] * sizes[:2], (float(shares[0]), float(shares[1]))


def nearest(places: Floats, shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each cell of a grid over all points the one that lies in it nearest to its middle.

    Parameters
    ----------
    places
        Points ``(n, 2)``.
    shape
        Columns and rows of the grid.

    Returns
    -------
    tuple
        Number of the point, ``(m,)``, and column and row of the cell, ``(m, 2)``; empty cells are left out.

    Examples
    --------
    >>> nearest(np.array([[0.0, 0], [1.2, 1], [2, 2], [8, 4]]), (2, 1))
    (array([2, 3]), array([[0, 0],
           [1, 0]]))
    """
    low, span = places.min(0), np.ptp(places, axis=0)
    scaled = (places - low) / np.where(span > 0, span, 1) * shape
    cells = np.minimum(scaled.astype(np.int64), np.array(shape) - 1)
    order = np.argsort(((scaled - cells - 0.5) ** 2).sum(1), kind="stable")
    _, first = np.unique(cells[order] @ np.array([1, shape[0]]), return_index=True)
    return order[first], cells[order[first]]


def facts_of(frames: NDArray[np.float32]) -> dict[str, Floats]:
    """What frames of rain are, from their observed pixels; NaN of what a frame without rain has not.

    Parameters
    ----------
    frames
        ``(n, y, x)``, mm h-1, NaN where not observed.

    Returns
    -------
    dict
        ``wet_fraction``; ``log_wet_intensity``, the decimal logarithm of the mean rain of wet pixels, mm h-1; ``east``
        and ``north``, of the rain's centre of mass from the middle of the frame, in frames; ``observed_fraction``; and
        ``mean``, of the rain, mm h-1.
    """
    seen, wet = np.isfinite(frames), frames >= WET
    rain, count = np.where(seen, frames, 0).astype(np.float64), seen.sum((1, 2))
    rows, columns = ((np.arange(size) + 0.5) / size - 0.5 for size in frames.shape[1:])
    total = rain.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "wet_fraction": wet.sum((1, 2)) / count,
            "log_wet_intensity": np.log10((rain * wet).sum((1, 2)) / wet.sum((1, 2))),
            "east": rain.sum(1) @ columns / total,
            "north": -(rain.sum(2) @ rows) / total,
            "observed_fraction": seen.mean((1, 2)),
            "mean": total / count,
        }


def _frames(encoder: Encoder) -> tuple[Floats, dict[str, Floats], NDArray[np.int64]]:
    """Latents ``(n, d)`` and facts of the frames that are taken, and the sequence and window of each, ``(n, 2)``."""
    middle = encoder.learnt.frames // 2
    latents: list[NDArray[np.float32]] = []
    facts: list[dict[str, Floats]] = []
    origins: list[NDArray[np.int64]] = []
    for number in track(range(len(encoder.radar)), "encoding sequences"):
        _, rain, share = encoder.windows(number)
        known = facts_of(rain[:, middle])
        taken = (share >= OBSERVED) & (known["observed_fraction"] >= OBSERVED) & (known["wet_fraction"] >= _LEAST_WET)
        windows = np.flatnonzero(taken)
        made = latents_of(encoder.model, rain[windows], share[windows])["topographic_latent"][:, middle]
        latents.append(made.reshape(windows.size, -1))
        facts.append({name: values[windows] for name, values in known.items()})
        origins.append(np.stack([np.full(windows.size, number), windows], axis=1))
    count = sum(map(len, origins))
    if count < _FEWEST:
        raise ConfigError(
            f"{count} of {len(encoder.radar) * encoder.tiling.count} windows are observed and have rain in their"
            f" middle frame; a picture takes {_FEWEST}",
            where=encoder.radar.path,
            fix="give a longer or a wetter period; `ondee look` tells coverage and rain",
        )
    together = {name: np.concatenate([entry[name] for entry in facts]) for name in facts[0]}
    return np.concatenate(latents).astype(np.float64), together, np.concatenate(origins)


def _correlations(axis: Floats, facts: Mapping[str, Floats]) -> dict[str, float | None]:
    return {name: float(np.corrcoef(axis, facts[name])[0, 1]) if np.ptp(facts[name]) > 0 else None for name in FACTS}


def _sign(correlations: Mapping[str, float | None]) -> float:
    """Of the strongest correlation."""
    return -1.0 if max((entry or 0.0 for entry in correlations.values()), key=abs) < 0 else 1.0


def _turned(correlations: Mapping[str, float | None], sign: float) -> dict[str, float | None]:
    return {name: None if value is None else sign * value for name, value in correlations.items()}


def _thumbnails(encoder: Encoder, origins: NDArray[np.int64]) -> NDArray[np.float32]:
    """Middle frames of some sequences and windows, read once more: an archive has more of them than memory holds."""
    made = np.empty((len(origins), encoder.tiling.side, encoder.tiling.side), np.float32)
    for number in np.unique(origins[:, 0]):
        frame = encoder.radar.sequence(int(number)).rain[encoder.learnt.frames // 2]
        for place in np.flatnonzero(origins[:, 0] == number):
            made[place] = frame[encoder.tiling.window(int(origins[place, 1]))]
    return made
