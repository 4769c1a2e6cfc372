"""Small archives of radar and IMERG with known rain, in the files that their agencies write."""

from pathlib import Path

import numpy as np

from archives import radar, times
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source.assembly import Variable, assemble
from ondee.source.imerg_writer import write
from ondee.validation import Draws, Settings, Sides, validate
from ondee.validation.archive import SumsFile

RADAR = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.02, 0.02, 50, 45)
"""A radar grid of 0.02 degree: ten by nine cells of IMERG."""
CELLS = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.1, 0.1, 10, 9)
CODES = (9, 5, 7, 0, 0, 11)
HALF_HOUR = np.timedelta64(30, "m")
START = "2018-06-04T22:30"
SETTINGS = Settings(by=("minute", "hour"), thresholds=(0.1, 0.4), scales=(1, 3))
DRAWS = Draws(100)


def steady(stamps, rate=None, grid=RADAR, seed=0):
    """Radar fields that change every half hour only, on blocks of a cell, or of one rate."""
    fields = []
    for stamp in stamps:
        number = int(stamp.astype("datetime64[ns]").astype("int64") // (1800 * 10**9))
        rng = np.random.default_rng([seed, number])
        rain = rng.gamma(0.8, 3.0, CELLS.shape) * (rng.uniform(size=CELLS.shape) < 0.6)
        fields.append(np.kron(rain if rate is None else np.full(CELLS.shape, rate), np.ones((5, 5))))
    return np.stack(fields)


def radar_archive(
    folder: Path, start: str, half_hours: int, *, changing=False, grid=RADAR, seed=0, missing=0.0
) -> Path:
    """Five-minute frames of a radar, labelled by their start, a file for each half hour."""
    folder.mkdir(parents=True, exist_ok=True)
    for stamp in times(start, half_hours, 30):
        frames = stamp + np.arange(6) * np.timedelta64(5, "m")
        values = None if changing else steady(frames, seed=seed)
        name = str(stamp.astype("datetime64[m]")).replace(":", "").replace("-", "")
        made = radar(frames, grid=grid, seed=seed, missing=missing, values=values)
        made.to_netcdf(folder / f"radar_{name}.nc", engine="h5netcdf")
    return folder


def granule(start, number, *, cells=CELLS, seed=0, rain=None):
    """One half hour of IMERG: a microwave sensor over part of the cells, morphing and infrared over the rest."""
    rng = np.random.default_rng([seed, 7, int(np.datetime64(start, "s").astype("int64"))])
    shape = cells.shape
    own = rng.gamma(0.8, 3.0, shape) * (rng.uniform(size=shape) < 0.6) if rain is None else rain
    code = np.full(shape, float(CODES[number % len(CODES)]))
    code[:, -3:] = 0.0
    code[0, 0] = np.nan
    minute = np.where(code > 0, (5 * number + np.arange(shape[0])[:, None] // 3) % 30, np.nan)
    weight = np.where(code > 0, 0.0, rng.choice([0.0, 40.0, 100.0], shape))
    data = {
        "rain_rate": np.where(rng.uniform(size=shape) < 0.02, np.nan, own) if rain is None else own,
        "microwave_source": code,
        "microwave_minute": minute,
        "infrared_weight": weight,
        "quality_index": rng.uniform(0, 1, shape),
        "liquid_probability": rng.choice([0.0, 50.0, 100.0], shape),
    }
    stamp = np.datetime64(start, "ns")
    variables = {name: Variable(values[None].astype(np.float32)) for name, values in data.items()}
    return assemble(
        variables, cells, [stamp], [[stamp, stamp + HALF_HOUR]], label="start", product="IMERG", where="tests"
    )


def imerg_archive(
    folder: Path, start: str, half_hours: int, *, version="V07B", run="Final", cells=CELLS, seed=0, rain=None
) -> Path:
    """Half hours of IMERG; `rain(start)` gives the rain ``(y, x)`` where it is not random."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, stamp in enumerate(times(start, half_hours, 30)):
        held = None if rain is None else rain(stamp)
        write(folder, granule(stamp, number, cells=cells, seed=seed, rain=held), version=version, run=run)
    return folder


def sides(folder: Path, **given) -> Sides:
    """The two archives of a folder."""
    return Sides(str(folder / "imerg"), str(folder / "radar"), **given)


def compare(folder: Path) -> Path:
    """Six half hours across a midnight and their validation."""
    imerg_archive(folder / "imerg", START, 6)
    radar_archive(folder / "radar", START, 6, changing=True, missing=0.001)
    validate(sides(folder), SETTINGS, folder / "out", draws=DRAWS)
    return folder


def tables(path: Path) -> dict:
    """All tables of a file of sums."""
    held = SumsFile(path)
    return {name: held.read(name) for name in held.names}
