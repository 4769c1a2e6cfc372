"""From radar to latents: every window of a domain through the encoder of a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ondee.encoding.archive import Layout, check_latents, variables_of, written
from ondee.encoding.radar import Radar, Sequence
from ondee.encoding.tiling import Tiling
from ondee.errors import ConfigError
from ondee.progress import track
from ondee.run import fingerprint_of, load_latent, rain_learnt
from ondee.topographic.model import TopographicVAE

__all__ = ["OBSERVED", "Encoded", "Encoder", "encode", "latents_of", "plan"]

OBSERVED = 0.5
"""Share of a window that must be observed, as in training."""
_TOGETHER = 16
"""Windows that go through the networks together."""


@dataclass(frozen=True)
class Encoded:
    """What was encoded, or would be.

    Parameters
    ----------
    run, radar, out
        Name of the run, the radar in words, and the zarr.
    sequences, frames
        Number of sequences, and frames of each.
    first, last
        Labels of the first and the last frame of them, UTC.
    tiles
        Windows from north to south, and from west to east.
    side, cell
        Pixels along a window, and km along a pixel from north to south and from west to east.
    windows, unobserved
        Windows of all sequences, and those of which less than half was observed; the second is not known before.
    left_out
        Each stretch of frames that are in no sequence, in words.
    frames_left_out, rows_left_out, columns_left_out
        Frames in no sequence; rows and columns of the domain in no window.
    latents
        Capsules, and places of each.
    bytes
        Of all variables before they are compressed.
    dry_run
        Whether nothing was written.
    """

    run: str
    radar: str
    out: str
    sequences: int
    frames: int
    first: str
    last: str
    tiles: tuple[int, int]
    side: int
    cell: tuple[float, float]
    windows: int
    unobserved: int | None
    left_out: list[str]
    frames_left_out: int
    rows_left_out: int
    columns_left_out: int
    latents: tuple[int, int]
    bytes: int
    dry_run: bool


class Encoder:
    """A run and the radar that it is to see.

    Parameters
    ----------
    run
        Folder of a run of rain.
    radar
        A store, or a file or folder of radar.
    **chosen
        As of :class:`~ondee.encoding.radar.Radar`.

    Raises
    ------
    ConfigError
        If the radar is not what the model was made for.
    ReadError
        If run or radar cannot be read.
    """

    def __init__(self, run: str | Path, radar: str | Path, **chosen: Any) -> None:
        self.run, self.name = run, Path(run).resolve().name
        self.learnt = rain_learnt(run)
        self.model = rain_model(run)
        if self.learnt.crop == "lagrangian":
            warnings.warn("the model has learnt windows that move on with the rain; these stay in place", stacklevel=2)
        self.radar = Radar(radar, self.learnt, **chosen)
        self.tiling = Tiling.of(self.radar.grid, side_of(self.model, run), where=radar)

    def windows(self, number: int) -> tuple[Sequence, NDArray[np.float32], NDArray[np.float32]]:
        """A sequence, its windows ``(n, S, side, side)``, mm h-1, and the observed share of each, ``(n,)``."""
        sequence = self.radar.sequence(number)
        cut = self.tiling.cut(sequence.rain)
        return sequence, cut, np.isfinite(cut).mean((1, 2, 3), dtype=np.float64).astype(np.float32)


def rain_model(run: str | Path) -> TopographicVAE:
    """The model of a run, refused if it is none of rain.

    Raises
    ------
    ConfigError
        If it is none.
    """
    model = load_latent(run)
    if not model.likelihood.is_rain:
        raise ConfigError(
            "the model of the run has learnt grey values, no rain",
            where=run,
            fix="give a run that was trained with sequences: rain",
        )
    return model


def side_of(model: TopographicVAE, run: str | Path) -> int:
    """Pixels along a window of a model.

    Raises
    ------
    ConfigError
        If its windows are no squares of one channel.
    """
    channels, height, width = model.shape
    if channels != 1 or height != width:
        raise ConfigError(
            f"the frames of the model are {channels} x {height} x {width}, no square of rain",
            where=run,
            fix="give a run that was trained with sequences: rain",
        )
    return height


def plan(run: str | Path, radar: str | Path, out: str | Path, *, force: bool = False, **chosen: Any) -> Encoded:
    """Tell what :func:`encode` would do; of the radar only the first frames are read.

    Parameters
    ----------
    run, radar, out, force, **chosen
        As of :func:`encode`.
    """
    path = check_latents(out, force=force)
    encoder = Encoder(run, radar, **chosen)
    return _told(encoder, path, unobserved=None, dry_run=True)


def encode(run: str | Path, radar: str | Path, out: str | Path, *, force: bool = False, **chosen: Any) -> Encoded:
    """Write the latents of all windows of a radar.

    Parameters
    ----------
    run
        Folder of a run of rain.
    radar
        A store, or a file or folder of radar.
    out
        Ends in ``.zarr``.
    force
        Replace latents that are there.
    **chosen
        As of :class:`~ondee.encoding.radar.Radar`: ``start``, ``end``, ``region`` and ``options``.

    Raises
    ------
    ConfigError
        If `out` cannot be written, or the radar is not what the model was made for.
    ReadError, UnitError, StoreError
        If something cannot be read, or the disk refuses.
    """
    path = check_latents(out, force=force)
    encoder = Encoder(run, radar, **chosen)
    layout, unobserved = _layout(encoder), 0
    with written(path, layout) as archive:
        for number in track(range(len(encoder.radar)), "encoding sequences"):
            sequence, rain, share = encoder.windows(number)
            unobserved += int((share < OBSERVED).sum())
            archive.write(sequence.times, sequence.bounds, share, latents_of(encoder.model, rain, share))
    return _told(encoder, path, unobserved=unobserved, dry_run=False)


@torch.inference_mode()
def latents_of(
    model: TopographicVAE, rain: NDArray[np.float32], share: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Laws and topographic latents ``(n, S, C, D)`` of windows, NaN of those of which less than half was observed.

    Parameters
    ----------
    model
        In evaluation mode.
    rain
        ``(n, S, side, side)``, mm h-1, NaN where not observed.
    share
        Observed share of each window, ``(n,)``.
    """
    topography = model.topography
    shape = (*rain.shape[:2], topography.capsules, topography.places)
    made = {name: np.full(shape, np.nan, np.float32) for name in variables_of(topography)}
    seen = np.flatnonzero(share >= OBSERVED)
    for first in range(0, seen.size, _TOGETHER):
        some = seen[first : first + _TOGETHER]
        law = model.encode(torch.from_numpy(rain[some])[:, :, None])
        found: dict[str, Tensor | None] = {
            "z_mean": law.z_mean,
            "z_log_variance": law.z_log_variance,
            "u_mean": law.u_mean,
            "u_log_variance": law.u_log_variance,
            "topographic_latent": topography.expected(law.z_mean, law.squares()),
        }
        for name, values in found.items():
            if values is not None:
                made[name][some] = values.numpy()
    return made


def _layout(encoder: Encoder) -> Layout:
    model, radar, learnt = encoder.model, encoder.radar, encoder.learnt
    attributes: Mapping[str, Any] = {
        "product": f"latents of {radar.product}",
        "run": encoder.name,
        "run_fingerprint": fingerprint_of(encoder.run),
        "radar": radar.path.name,
        "side": encoder.tiling.side,
        **{f"learnt_{name}": value for name, value in learnt.plain().items()},
        "least_observed_fraction": OBSERVED,
        "frames_left_out": sum(count for _, count in radar.left_out),
    }
    return Layout(encoder.tiling, model.topography, learnt.frames, radar.label, attributes)


def _told(encoder: Encoder, path: Path, *, unobserved: int | None, dry_run: bool) -> Encoded:
    radar, tiling, learnt = encoder.radar, encoder.tiling, encoder.learnt
    topography = encoder.model.topography
    labels = radar.labels()
    return Encoded(
        run=encoder.name,
        radar=radar.product,
        out=str(path),
        sequences=len(radar),
        frames=learnt.frames,
        first=_stamp(labels.min()),
        last=_stamp(labels.max()),
        tiles=tiling.shape,
        side=tiling.side,
        cell=learnt.cell,
        windows=len(radar) * tiling.count,
        unobserved=unobserved,
        left_out=[f"{count} of {_stamp(first)} to {_stamp(last)}" for (first, last), count in radar.left_out],
        frames_left_out=sum(count for _, count in radar.left_out),
        rows_left_out=tiling.left_out[0],
        columns_left_out=tiling.left_out[1],
        latents=(topography.capsules, topography.places),
        bytes=_layout(encoder).bytes * len(radar),
        dry_run=dry_run,
    )


def _stamp(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "m"))
