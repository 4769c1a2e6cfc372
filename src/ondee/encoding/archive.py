"""Latents on disk: a zarr that grows sequence by sequence and is there whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee import __version__, provenance
from ondee.encoding.tiling import Tiling
from ondee.errors import ConfigError, ReadError
from ondee.grid import Grid
from ondee.output import disk_errors
from ondee.topographic.topography import Topography

__all__ = ["Archive", "Layout", "Stored", "check_latents", "stored", "variables_of", "written"]

_TITLE = "latents of a Topographic VAE"
_DIMS = ("sequence", "frame", "tile_y", "tile_x", "capsule", "place")
_WORDS = {
    "z_mean": "mean of z",
    "z_log_variance": "logarithm of the variance of z",
    "u_mean": "mean of u",
    "u_log_variance": "logarithm of the variance of u",
    "topographic_latent": "topographic latent t of the means, as the decoder sees it",
}
_CLOCK = {"units": "seconds since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian", "dtype": "int64"}


def variables_of(topography: Topography) -> list[str]:
    """Names of the latents that a model has: of u only where it is topographic."""
    return [name for name in _WORDS if topography.is_topographic or not name.startswith("u_")]


@dataclass(frozen=True)
class Layout:
    """Shape and contents of latents.

    Parameters
    ----------
    tiling
        Windows of the domain.
    topography
        Of the model.
    frames
        Of a sequence.
    label
        Attributes of the radar's times.
    attributes
        Of the whole zarr.
    """

    tiling: Tiling
    topography: Topography
    frames: int
    label: Mapping[str, Any]
    attributes: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the latents of one sequence."""
        return (1, self.frames, *self.tiling.shape, self.topography.capsules, self.topography.places)

    @property
    def bytes(self) -> int:
        """Bytes of a sequence before they are compressed."""
        return 4 * (math.prod(self.shape) * len(variables_of(self.topography)) + self.tiling.count)

    def piece(
        self,
        number: int,
        times: NDArray[np.datetime64],
        bounds: NDArray[np.datetime64],
        share: NDArray[np.float32],
        latents: Mapping[str, NDArray[np.float32]],
    ) -> xr.Dataset:
        """One sequence as a Dataset; the first one brings the coordinates that all share.

        Parameters
        ----------
        number
            Of the sequence.
        times, bounds
            ``(S,)`` and ``(S, 2)``.
        share
            Observed share of each window, ``(n,)``.
        latents
            Name → ``(n, S, C, D)``.
        """
        rows, columns = self.tiling.shape
        words = {key: value for key, value in self.label.items() if key != "axis"}
        made: dict[str, Any] = {
            "observed_fraction": (
                ("sequence", "tile_y", "tile_x"),
                share.reshape(1, rows, columns),
                {"long_name": "share of the window's pixels, of all its frames, that was observed", "units": "1"},
            )
        }
        for name, values in latents.items():
            laid = values.reshape(rows, columns, *values.shape[1:]).transpose(2, 0, 1, 3, 4)[None]
            made[name] = (_DIMS, laid, {"long_name": _WORDS[name], "units": "1"})
        coordinates = {
            **(self._shared() if not number else {}),
            "sequence": ("sequence", [number], {"long_name": "number of the sequence", "units": "1"}),
            "time": (("sequence", "frame"), times[None], words),
            "time_bounds": (("sequence", "frame", "bounds"), bounds[None]),
        }
        served = {"Conventions": "CF-1.11", "title": _TITLE, **self.attributes}
        made_by = {"ondee_version": __version__, "commit": provenance.commit()}
        return xr.Dataset(made, coords=coordinates, attrs={**served, **made_by})

    def _shared(self) -> dict[str, Any]:
        """The grid and its windows, numbers of frames, capsules and places, and how fast each capsule rolls."""
        topography = self.topography
        speeds = np.repeat(topography.velocities(), topography.capsules // len(topography.velocities()), axis=0)
        made: dict[str, Any] = {
            **self.tiling.coordinates(),
            "frame": ("frame", np.arange(self.frames), {"long_name": "number of the frame in it", "units": "1"}),
            "capsule": ("capsule", np.arange(topography.capsules), {"long_name": "capsule", "units": "1"}),
            "place": ("place", np.arange(topography.places), {"long_name": "place in the capsule", "units": "1"}),
        }
        for axis, speed in zip(("speed",) if speeds.shape[1] == 1 else ("speed_y", "speed_x"), speeds.T, strict=True):
            made[axis] = ("capsule", speed, {"long_name": "places that the capsule rolls in a frame", "units": "1"})
        return made


class Archive:
    """Latents that are being written.

    Parameters
    ----------
    path
        Of the zarr.
    layout
        Of the latents.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout, self.count = path, layout, 0

    def write(
        self,
        times: NDArray[np.datetime64],
        bounds: NDArray[np.datetime64],
        share: NDArray[np.float32],
        latents: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Add a sequence; what is given is as of :meth:`Layout.piece`."""
        piece = self.layout.piece(self.count, times, bounds, share, latents)
        if self.count:
            piece.to_zarr(self.path, append_dim="sequence", consolidated=False)
        else:
            encoding: dict[str, Any] = {"time": dict(_CLOCK), "time_bounds": dict(_CLOCK)}
            encoding |= {str(name): {"chunks": entry.shape} for name, entry in piece.data_vars.items()}
            for name in ("time", "time_bounds", "sequence"):
                encoding.setdefault(name, {})["chunks"] = (512, *piece[name].shape[1:])
            piece.to_zarr(self.path, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
        self.count += 1


def check_latents(out: str | Path, *, force: bool) -> Path:
    """Check where latents are to go, before the work.

    Raises
    ------
    ConfigError
        If the name ends otherwise than in ``.zarr``, its folder cannot be written, latents are there and `force` is not
        set, or something else is there.
    """
    path = Path(out)
    if path.suffix.lower() != ".zarr":
        raise ConfigError(
            f"a file ending in {path.suffix or 'nothing'!r} cannot be written here",
            where=path,
            fix="end the name in .zarr",
        )
    if not path.parent.is_dir():
        raise ConfigError("the folder does not exist", where=path.parent, fix=f"mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError("the folder cannot be written", where=path.parent, fix="write to a folder that is yours")
    if path.exists() and not _are_latents(path):
        raise ConfigError("there is something else of that name", where=path, fix="choose another name")
    if path.exists() and not force:
        raise ConfigError("the file exists", where=path, fix="choose another name, or overwrite it with --force")
    return path


def _are_latents(path: Path) -> bool:
    try:
        told = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return bool(told["title"] == _TITLE)
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def written(path: Path, layout: Layout) -> Iterator[Archive]:
    """Write latents beside `path`, and give them its name when all are there, in the place of what was there.

    Parameters
    ----------
    path
        From :func:`check_latents`.
    layout
        Of the latents.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_errors(path):
        try:
            yield Archive(draft, layout)
            if path.exists():
                shutil.rmtree(path)
            draft.replace(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@dataclass(frozen=True)
class Stored:
    """Latents that were written.

    Parameters
    ----------
    data
        As xarray opens them.
    tiling
        Windows of the domain.
    """

    data: xr.Dataset
    tiling: Tiling

    def latents(self, number: int) -> NDArray[np.float32]:
        """Topographic latents ``(n, S, C, D)`` of the windows of a sequence."""
        found = self.data["topographic_latent"].isel(sequence=number).values.astype(np.float32)
        return found.transpose(1, 2, 0, 3, 4).reshape(self.tiling.count, len(found), *found.shape[3:])


def stored(path: str | Path) -> Stored:
    """Open latents.

    Parameters
    ----------
    path
        Of the zarr.

    Raises
    ------
    ReadError
        If there are none, or they are damaged.
    """
    place = Path(path)
    if not place.exists():
        raise ReadError("there is no such file or folder", where=place, fix="check the path")
    if not _are_latents(place):
        raise ReadError("these are no latents of ondee", where=place, fix="make some with `ondee encode RUN RADAR`")
    try:
        data: xr.Dataset = xr.open_zarr(place, consolidated=False, chunks=None)
        tiling = Tiling(Grid.of(data, where=place), int(data.attrs["side"]))
        rows_and_columns = data["topographic_latent"].shape[2:4]
        if rows_and_columns != tiling.shape or not {"time", "time_bounds"} <= set(data.coords):
            raise ValueError(f"{rows_and_columns} windows do not fit the grid")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadError(
            f"the latents are damaged: {(str(error).splitlines() or [type(error).__name__])[0]}",
            where=place,
            fix="encode the radar again",
        ) from error
    return Stored(data, tiling)
