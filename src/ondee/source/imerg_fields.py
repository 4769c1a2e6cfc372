"""What an IMERG half-hourly file is called and holds: file names, header text, and the names of its fields.

The names are those of real granules of V06B and V07A, and of the descriptions that data services publish of
granules of both versions. Fields are found by the names that are there, never by the version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ondee.errors import ConfigError, ReadError
from ondee.units import VOCABULARY

__all__ = [
    "FIELDS",
    "HALF_HOUR",
    "RUNS",
    "Field",
    "Name",
    "decode_time",
    "file_name",
    "find",
    "leaf",
    "moment",
    "parse_header",
    "parse_name",
    "run_of",
]

HALF_HOUR = np.timedelta64(30, "m")
RUNS = {"Early": "-E", "Late": "-L", "Final": ""}
"""Run → the suffix that marks it in names: ``3B-HHR-E``, ``3B-HH-L/07``, ``3B-HHR``."""

_NAME = re.compile(
    r"3B-HHR(?P<run>-[A-Z]+)?\.MS\.MRG\.3IMERG\.(?P<day>\d{8})-S(?P<start>\d{6})-E(?P<end>\d{6})"
    r"\.(?P<minute>\d{4})\.(?P<version>V\d{2}[A-Z]?)",
)
_EPOCH = re.compile(
    r"(?P<unit>second|minute|hour|day)s? since (?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?:\.0*)?)? ?(?:UTC|Z)?",
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_PREFIX = re.compile(r"^/?(?:Grid[_./])?(?:Intermediate[_./])?")
_RUN_BY_SUFFIX = {suffix: run for run, suffix in RUNS.items()}


@dataclass(frozen=True, slots=True)
class Field:
    """One quantity and the names that IMERG has given it.

    Parameters
    ----------
    quantity
        Name in the vocabulary.
    names
        Names in the files, the newest first.
    unit_stated
        Whether NASA states its unit in the file, so that a file without it is suspect.
    integer
        Whether it is stored as int16.
    """

    quantity: str
    names: tuple[str, ...]
    unit_stated: bool = True
    integer: bool = False

    @property
    def units(self) -> str:
        """Unit in the vocabulary."""
        return VOCABULARY[self.quantity].units


FIELDS: tuple[Field, ...] = (
    Field("rain_rate", ("precipitation", "precipitationCal")),
    Field("rain_rate_uncalibrated", ("precipitationUncal",)),
    Field("microwave_rain_rate", ("MWprecipitation", "HQprecipitation")),
    Field("microwave_source", ("MWprecipSource", "HQprecipSource"), unit_stated=False, integer=True),
    Field("microwave_minute", ("MWobservationTime", "HQobservationTime"), integer=True),
    Field("infrared_rain_rate", ("IRprecipitation",)),
    Field("infrared_weight", ("IRinfluence", "IRkalmanFilterWeight"), unit_stated=False, integer=True),
    Field("random_error", ("randomError",)),
    Field("quality_index", ("precipitationQualityIndex",), unit_stated=False),
    Field("liquid_probability", ("probabilityLiquidPrecipitation",), integer=True),
)


@dataclass(frozen=True, slots=True)
class Name:
    """What a file name says.

    Parameters
    ----------
    run
        ``"Early"``, ``"Late"`` or ``"Final"``.
    start
        Start of the half hour, UTC.
    version
        With its letter, such as ``"V07B"``.
    """

    run: str
    start: np.datetime64
    version: str


def parse_name(name: str, *, where: object) -> Name | None:
    """Read the run, time and version in a file name; None if it is not one of NASA's.

    Raises
    ------
    ReadError
        If the name contradicts itself.

    Examples
    --------
    >>> parse_name("3B-HHR-L.MS.MRG.3IMERG.20180604-S123000-E125959.0750.V06B.RT-H5", where="").run
    'Late'
    """
    found = _NAME.search(name)
    if found is None:
        return None
    start: np.datetime64
    midnight: np.datetime64
    text, end, minute = found["day"] + found["start"], found["end"], int(found["minute"])
    try:
        midnight = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}", "s")
        start = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:12]}:{text[12:]}", "s")
    except ValueError:
        start = midnight = np.datetime64("NaT")
    last = str((start + HALF_HOUR - np.timedelta64(1, "s")).astype("datetime64[s]"))[11:].replace(":", "")
    run = _RUN_BY_SUFFIX.get(found["run"] or "")
    if run is None or np.isnat(start) or minute % 30 or start - midnight != np.timedelta64(minute, "m") or last != end:
        raise ReadError(
            f"the file name contradicts itself: {found.group()}",
            where=where,
            fix="give the file back the name that NASA gave it, or one that is not like NASA's",
        )
    return Name(run, start, found["version"])


def file_name(
    start: np.datetime64 | str, run: str = "Final", version: str = "V07", *, near_real_time: bool = False
) -> str:
    """Give the name that NASA gives a half-hourly file.

    Parameters
    ----------
    start
        Start of the half hour, UTC.
    run
        ``"Early"``, ``"Late"`` or ``"Final"``.
    version
        Such as ``"V07"``, with or without its letter (``B`` if without).
    near_real_time
        Whether it ends as on the near-real-time server: ``.RT-H5``.

    Raises
    ------
    ConfigError
        If the time is not on a half hour, or run or version are none of these.

    Examples
    --------
    >>> file_name("2018-06-04T12:30", "Late", near_real_time=True)
    '3B-HHR-L.MS.MRG.3IMERG.20180604-S123000-E125959.0750.V07B.RT-H5'
    """
    stamp = np.datetime64(str(start), "s")
    midnight = stamp.astype("datetime64[D]")
    seconds = int((stamp - midnight) / np.timedelta64(1, "s"))
    if run not in RUNS or seconds % 1800 or not re.fullmatch(r"V\d\d[A-Z]?", version):
        raise ConfigError(
            f"there is no IMERG {run} {version} file that starts at {stamp}",
            where="file_name",
            fix="give a start on the half hour, run = 'Early', 'Late' or 'Final', and a version like 'V07' or 'V07B'",
        )
    end = stamp + HALF_HOUR - np.timedelta64(1, "s")
    clocks = [str(moment)[11:].replace(":", "") for moment in (stamp, end)]
    full = version if len(version) == 4 else f"{version}B"
    ending = "RT-H5" if near_real_time else "HDF5"
    return (
        f"3B-HHR{RUNS[run]}.MS.MRG.3IMERG.{str(midnight).replace('-', '')}-S{clocks[0]}-E{clocks[1]}"
        f".{seconds // 60:04d}.{full}.{ending}"
    )


def parse_header(text: str) -> dict[str, str]:
    r"""Read the lines ``key=value;`` of a ``FileHeader`` attribute.

    Examples
    --------
    >>> parse_header("AlgorithmID=3IMERGHH;\nGranuleStart=;\n")
    {'AlgorithmID': '3IMERGHH', 'GranuleStart': ''}
    """
    pairs = (line.split("=", 1) for line in text.split(";\n") if "=" in line)
    return {key.strip(): value.strip().rstrip(";") for key, value in pairs}


def run_of(header: dict[str, str], *, where: object) -> str | None:
    """Tell the run from the header: by the name it gives the file, else its DOI or short name; None if it is silent."""
    named = parse_name(header.get("FileName", ""), where=where)
    if named is not None:
        return named.run
    for key, pattern in (("DOI", r"/3B-HH(-[EL])?/"), ("DOIshortName", r"3IMERGHH([EL])?$")):
        found = re.search(pattern, header.get(key, ""))
        if found is not None:
            letter = (found[1] or "").lstrip("-")
            return _RUN_BY_SUFFIX[f"-{letter}" if letter else ""]
    return None


def leaf(name: str) -> str:
    """Name of a field without the groups that a subset service wrote into it.

    Examples
    --------
    >>> leaf("Grid_Intermediate_MWprecipitation"), leaf("precipitationCal")
    ('MWprecipitation', 'precipitationCal')
    """
    return _PREFIX.sub("", name)


def find(names: Iterable[str]) -> dict[str, str]:
    """Which quantities are there, and under which name: quantity → name, in the order of :data:`FIELDS`."""
    held = set(names)
    found = ((field.quantity, next((name for name in field.names if name in held), "")) for field in FIELDS)
    return {quantity: name for quantity, name in found if name}


def decode_time(value: float, units: str, *, where: object) -> np.datetime64:
    """Decode the variable ``time``: plain seconds since its epoch, 1970 in V06 and 1980-01-06 in V07.

    The calendar that NASA writes beside it ("julian") is a label only; leap seconds are not counted.

    Parameters
    ----------
    value
        The raw number.
    units
        Such as ``"seconds since 1980-01-06 00:00:00 UTC"``.
    where
        What to name in an error.

    Raises
    ------
    ReadError
        If the unit cannot be understood or the number is no time.

    Examples
    --------
    >>> str(decode_time(643852800, "seconds since 1980-01-06 00:00:00 UTC", where=""))
    '2000-06-01T00:00:00'
    """
    epoch = _EPOCH.fullmatch(units.strip())
    seconds = value * _SECONDS[epoch["unit"]] if epoch is not None else np.nan
    if epoch is None or not abs(seconds) < 1e11:
        raise ReadError(
            f"{value:g} {units!r} is no time",
            where=where,
            fix="the unit must read like 'seconds since 1980-01-06 00:00:00 UTC'; fetch the file again",
        )
    return moment(f"{epoch['day']}T{epoch['clock'] or '00:00'}", where=where) + np.timedelta64(round(seconds), "s")


def moment(text: str, *, where: object) -> np.datetime64:
    """Read an ISO time to the second.

    Raises
    ------
    ReadError
        If it is none.
    """
    try:
        return np.datetime64(text, "s")
    except ValueError as error:
        raise ReadError(
            f"the time {text!r} cannot be understood",
            where=where,
            fix="the header of the file is damaged; fetch it again",
        ) from error
