"""Météo-France: the open radar archive and MeteoNet. Real-time mosaics are ODIM_H5 and read by ``odim``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.grid import Region
from ondee.source import meteofrance_archive, meteonet, meteonet_satellite
from ondee.source.granule import Period

__all__ = ["FORMAT", "MeteoFrance"]

_LABELS = ("start", "end", "centre", "unknown")
_PARTS = (meteofrance_archive, meteonet, meteonet_satellite)


class MeteoFrance:
    """Reader of ``YYYYMMDDHHMM.npz`` (archive), MeteoNet radar ``.npz`` and MeteoNet satellite ``.nc``."""

    name = "meteofrance"
    long = True
    options: Mapping[str, str] = {
        "corner": "archive: whether 53.670 N 9.965 W is the outer 'edge' (default) or the 'centre' of the first pixel",
        "time_label": "which moment of the 5 min a time names: start, end, centre or unknown; "
        "default end for the archive, unknown (read as end) for MeteoNet",
        "z_r": "MeteoNet reflectivity: (a, b) of Z = a R^b, for example (200, 1.6), turns it into a rain rate",
        "minus_one": "MeteoNet infrared: whether -1 degC is 'missing' (default) or a 'value'",
    }

    def recognise(self, path: Path, head: bytes) -> bool:
        """Whether name and first bytes are those of one of the products."""
        return any(part.recognise(path, head) for part in _PARTS)

    def gather(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Take each file of frames by itself; MeteoNet's coordinates and quality go with their radar file."""
        frames = [path for path in paths if not meteonet.is_companion(path)]
        if not frames:
            raise ReadError(
                "these files accompany radar files: coordinates or quality, no frames",
                where=", ".join(map(str, paths)),
                fix="name the rainfall_*.npz file or the folder; what accompanies it is found beside it",
            )
        return [(path,) for path in frames]

    def times(self, paths: tuple[Path, ...]) -> NDArray[np.datetime64]:
        """Labels of the frames of one file."""
        found: NDArray[np.datetime64] = _part(paths[0]).times(paths[0])
        return found

    def read(
        self,
        paths: tuple[Path, ...],
        *,
        region: Region | None = None,
        period: Period | None = None,
        corner: str = "edge",
        time_label: str | None = None,
        z_r: tuple[float, float] | None = None,
        minus_one: str = "missing",
        **options: Any,
    ) -> xr.Dataset:
        """Read one file.

        Parameters
        ----------
        paths
            One file of frames.
        region
            West, south, east, north in degrees; only the cells that touch it are kept.
        period
            Labels from the first moment on and before the second; only these frames are kept.
        corner, time_label, z_r, minus_one
            See :attr:`options`.
        **options
            None are known.

        Returns
        -------
        xarray.Dataset
            ``rain_rate`` (mm h-1), ``reflectivity`` (dBZ), ``brightness_temperature`` (K), ``reflectance`` or
            ``cloud_type``; and ``quality`` (0–1) where MeteoNet's daily quality lies beside the radar file.

        Raises
        ------
        ReadError
            If the file is damaged, holds more than dates and numbers, or is of another size than its product.
        ConfigError
            If an option cannot be used.
        """
        (path,) = paths
        _check("corner", corner, ("edge", "centre"))
        _check("minus_one", minus_one, ("missing", "value"))
        if time_label is not None:
            _check("time_label", time_label, _LABELS)
        if options:
            _check("option", next(iter(options)), tuple(self.options))
        part = _part(path)
        if part is meteofrance_archive:
            return meteofrance_archive.read(path, region=region, corner=corner, time_label=time_label or "end")
        if part is meteonet:
            return meteonet.read(path, region=region, period=period, time_label=time_label or "unknown", z_r=z_r)
        return meteonet_satellite.read(path, region=region, period=period, minus_one=minus_one)


FORMAT = MeteoFrance()


def _part(path: Path) -> Any:
    """Find the module that reads a file."""
    for part in _PARTS:
        if part.fits(path) and not meteonet.is_companion(path):
            return part
    raise ReadError(
        "the name is none of Météo-France's products",
        where=path,
        fix="keep the names: 202001010005.npz, rainfall_NW_2016_08.3.npz, CT_NW_2016.nc; they tell time and zone",
    )


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(
            f"{name} is {value!r}", where="options of meteofrance", fix=f"use one of: {', '.join(allowed)}"
        )
