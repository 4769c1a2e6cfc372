"""From latents back to rain: every window through the decoder of the run that encoded it, and put into its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from ondee.encoding.archive import Stored, stored
from ondee.encoding.encoder import rain_model, side_of
from ondee.errors import ConfigError
from ondee.output import check_target, write_netcdf
from ondee.progress import track
from ondee.run import fingerprint_of
from ondee.source.assembly import Variable, assemble
from ondee.topographic.likelihood import RainLikelihood
from ondee.topographic.model import TopographicVAE
from ondee.units import WET

__all__ = ["Decoded", "decode", "rain_of"]

_TOGETHER = 64
"""Frames that go through the decoder together."""
_MOST = 4 * 2**30
"""Bytes from which the rain is refused: it is written in one piece."""


@dataclass(frozen=True)
class Decoded:
    """What was decoded.

    Parameters
    ----------
    run, latents, out
        Name of the run, the zarr and the file.
    frames
        Number of frames.
    first, last
        Labels of the first and the last one, UTC.
    grid
        In words.
    missing
        Share of the pixels that is missing.
    implausible
        Pixels whose expected rain was beyond what is plausible, and is missing.
    bytes
        Of the rain, before it is compressed.
    """

    run: str
    latents: str
    out: str
    frames: int
    first: str
    last: str
    grid: str
    missing: float
    implausible: int
    bytes: int


def decode(run: str | Path, latents: str | Path, out: str | Path, *, force: bool = False) -> Decoded:
    """Write the rain of latents: expected rain, and the probability that it is wet.

    Parameters
    ----------
    run
        Folder of the run that encoded them.
    latents
        Zarr from :func:`~ondee.encoding.encoder.encode`.
    out
        Ends in ``.nc``.
    force
        Overwrite a file that is there.

    Raises
    ------
    ConfigError
        If `out` cannot be written, the latents are those of another run, or their rain is too large for one file.
    ReadError, StoreError
        If something cannot be read, or the disk refuses.
    """
    path = check_target(out, (".nc",), force=force)
    model, held = rain_model(run), stored(latents)
    _require_run(held, run, latents)
    side_of(model, run)
    data = held.data
    count, length = data.sizes["sequence"], data.sizes["frame"]
    size = 2 * 4 * count * length * held.tiling.grid.ny * held.tiling.grid.nx
    if size > _MOST:
        raise ConfigError(
            f"the rain would take {size / 2**30:.1f} GiB and is written in one piece",
            where=latents,
            fix="encode less with --start and --end, and decode it piece by piece",
        )
    rain, wet = (np.empty((count * length, *held.tiling.grid.shape), np.float32) for _ in range(2))
    for number in track(range(count), "decoding sequences"):
        frames = slice(number * length, (number + 1) * length)
        expected, probable = rain_of(model, held.latents(number))
        rain[frames], wet[frames] = held.tiling.join(expected), held.tiling.join(probable)
    made = _dataset(held, rain, wet)
    packed = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    write_netcdf(made, path, force=force, **{str(name): dict(packed) for name in made.data_vars})
    times = made["time"].values
    return Decoded(
        run=Path(run).resolve().name,
        latents=str(latents),
        out=str(path),
        frames=times.size,
        first=str(np.datetime_as_string(times[0], "m")),
        last=str(np.datetime_as_string(times[-1], "m")),
        grid=held.tiling.grid.describe(),
        missing=float(np.isnan(made["rain_rate"].values).mean()),
        implausible=int(made["rain_rate"].attrs.get("implausible_count", 0)),
        bytes=size,
    )


def _require_run(held: Stored, run: str | Path, latents: str | Path) -> None:
    """Refuse latents that another run encoded."""
    told = held.data.attrs.get("run_fingerprint")
    if told != fingerprint_of(run):
        raise ConfigError(
            f"the latents were encoded by another run, {held.data.attrs.get('run', 'unknown')} of weights {told}",
            where=latents,
            fix="give the run that encoded them, or encode the radar with this one",
        )


@torch.inference_mode()
def rain_of(model: TopographicVAE, latents: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Expected rain, mm h-1, and probability of 0.1 mm h-1 or more, of windows; NaN where the latents are missing.

    Parameters
    ----------
    model
        Of rain, in evaluation mode.
    latents
        Topographic ones, ``(n, S, C, D)``.

    Returns
    -------
    tuple
        ``(n, S, side, side)`` each.
    """
    likelihood = model.likelihood
    assert isinstance(likelihood, RainLikelihood)
    flat = latents.reshape(-1, *latents.shape[-2:])
    rain, wet = (np.full((len(flat), *model.shape[1:]), np.nan, np.float32) for _ in range(2))
    there = np.flatnonzero(np.isfinite(flat).all((1, 2)))
    for first in range(0, there.size, _TOGETHER):
        some = there[first : first + _TOGETHER]
        planes = model.decode(torch.from_numpy(flat[some]))
        rain[some], wet[some] = likelihood.mean(planes)[:, 0].numpy(), likelihood.wet(planes)[:, 0].numpy()
    shape = (*latents.shape[:2], *model.shape[1:])
    return rain.reshape(shape), wet.reshape(shape)


def _dataset(held: Stored, rain: NDArray[np.float32], wet: NDArray[np.float32]) -> xr.Dataset:
    """CF rain on the grid of the radar."""
    data = held.data
    carried = {
        "model_run": "run",
        "model_fingerprint": "run_fingerprint",
        "radar": "radar",
        "ondee_version": "ondee_version",
        "commit": "commit",
    }
    told: dict[str, Any] = {name: data.attrs.get(key) for name, key in carried.items()}
    words: dict[str, dict[str, Any]] = {
        "rain_rate": {"long_name": "expected rain rate, decoded from the means of the latents"},
        "rain_probability": {"long_name": f"probability of a rain rate of {WET} mm h-1 or more", "threshold": WET},
    }
    fields = {
        "rain_rate": Variable(rain, attributes=words["rain_rate"]),
        "rain_probability": Variable(wet, attributes=words["rain_probability"]),
    }
    return assemble(
        fields,
        held.tiling.grid,
        data["time"].values.ravel(),
        data["time_bounds"].values.reshape(-1, 2),
        label=data["time"].attrs.get("label", "unknown"),
        product=f"rain decoded from {data.attrs.get('product', 'latents')}",
        where=data.attrs.get("radar", "latents"),
        **told,
    )
