"""The work of ``ondee demo``: synthetic radar into real files, and from the files to the sampling floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from ondee.command.look import look
from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, Grid, transformer
from ondee.output import check_target, write_netcdf
from ondee.progress import track
from ondee.source import granules, odim_writer
from ondee.units import to_amount
from ondee.validation.floor import floor
from ondee.world.rain import rain

__all__ = ["Demo", "demo", "write_radar"]

LAYOUT, QUANTITY = "METEOFRANCE", "ACRR"
"""Five-minute amounts, as Météo-France's real-time mosaic holds them."""
_NAME = "synthetic radar"
_SIZE = 256
_RANGE = 140_000.0
"""Distance in metres beyond which the synthetic radar sees nothing."""
_START = np.datetime64("2018-06-04T12:00", "ns")
_STEP = np.timedelta64(5, "m")
_PROJECTION = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +ellps=WGS84"
_CENTRE = (2.5, 47.0)


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Parameters
    ----------
    floor
        The sampling floor, as :func:`ondee.validation.floor.floor` gives it.
    meaning
        Two sentences that say what it means.
    """

    floor: xr.Dataset
    meaning: str


def demo(out: Path, *, hours: int = 6, seed: int = 1, force: bool = False) -> Demo:
    """Write synthetic radar as ODIM_H5, read it back, and measure and draw its sampling floor.

    Parameters
    ----------
    out
        Folder for ``radar/``, ``floor.nc``, ``floor.png`` and ``map.png``; made if it does not exist.
    hours
        Hours of radar, a frame every five minutes.
    seed
        Seed of the rain.
    force
        Replace the results of an earlier demo.

    Raises
    ------
    ConfigError
        If `hours` is less than 1, or a result exists and `force` is not set.
    StoreError
        If a radar file cannot be written, or exists and `force` is not set.
    """
    from ondee.plot import draw_floor, draw_map, save

    if hours < 1:
        raise ConfigError(f"{hours} hours hold no half hour", where="--hours", fix="ask for at least 1")
    (out / "radar").mkdir(parents=True, exist_ok=True)
    for name in ("floor.nc", "floor.png", "map.png"):
        check_target(out / name, (".nc", ".png"), force=force)
    files = write_radar(out / "radar", hours=hours, seed=seed, force=force)
    found = floor(granules(*files)).assign_attrs(product=_NAME)
    write_netcdf(found, out / "floor.nc", force=force)
    draw_floor(found, out / "floor.png", force=force)
    shown = look(files[len(files) // 2 : len(files) // 2 + 1], as_rate=True).products[0].preview
    assert shown is not None
    save(draw_map(shown.assign_attrs(product=_NAME)), out / "map.png", force=force)
    return Demo(found, meaning(found, out))


def write_radar(folder: Path, *, hours: int, seed: int, force: bool = False) -> Sequence[Path]:
    """Write five-minute amounts on a grid of 1 km over France, one ODIM_H5 file a frame.

    Parameters
    ----------
    folder
        An existing folder.
    hours
        Hours of radar.
    seed
        Seed of the rain.
    force
        Replace files that exist.

    Returns
    -------
    sequence of pathlib.Path
        In order of time.
    """
    grid = _grid()
    far = np.hypot(*np.meshgrid(grid.x - grid.x.mean(), grid.y - grid.y.mean())) > _RANGE
    times = _START + np.arange(1, hours * 12 + 1) * _STEP
    files = []
    for frame in track(rain(grid, times, seed=seed), "writing radar", len(times)):
        amount = to_amount(frame["rain_rate"], frame["time_bounds"])
        made = frame.drop_vars("rain_rate").assign(rain_amount=amount.where(~xr.DataArray(far, dims=("y", "x"))))
        made["rain_amount"].attrs = amount.attrs
        name = odim_writer.file_name(frame["time"].values[0], LAYOUT, quantity=QUANTITY)
        files.append(
            odim_writer.write(
                folder / name, made, quantity=QUANTITY, layout=LAYOUT, comment="synthetic, made by ondee", force=force
            )
        )
    return files


def _grid() -> Grid:
    """A square of 256 km in the projection of the European composites, centred on France."""
    x, y = transformer(LATITUDE_LONGITUDE, _PROJECTION).transform(*_CENTRE)
    half = _SIZE * 500.0
    return Grid(_PROJECTION, round(x, -3) - half, round(y, -3) + half, 1000.0, 1000.0, _SIZE, _SIZE)


def meaning(found: xr.Dataset, out: Path) -> str:
    """Say what a sampling floor means.

    Parameters
    ----------
    found
        From :func:`ondee.validation.floor.floor`.
    out
        Folder of the results.
    """
    rainy = found.sel(population="rain")
    first, middle, last = (float(rainy["correlation"].sel(minute=minute)) for minute in (0, 14, 29))
    error = float(rainy["normalised_rmse"].sel(minute=0))
    return (
        f"A perfect sensor that passes in the first five minutes of a half hour correlates {first:.2f}\n"
        f"with its mean, one in the middle {middle:.2f}, one in the last five {last:.2f}. The first has an error of\n"
        f"{error:.2f} times the mean rain. None of this is an error of the sensor.\n"
        f"The figure is {out / 'floor.png'}, a frame {out / 'map.png'}, the scores {out / 'floor.nc'}."
    )
