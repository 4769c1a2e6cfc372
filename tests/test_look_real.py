"""What ``ondee look --json`` tells of every real file, against one table worked out without ondee.

The numbers come from the bytes of the files: h5py and zipfile for arrays, nodata, undetect and packing; for
the HRIT segments the ten-bit counts, the calibration in the prologue and the Planck function.
"""

import contextlib
import io
import json
from dataclasses import dataclass, field
from functools import cache

import pytest

import real
from ondee import cli

LAEA = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +ellps=WGS84"
GEOS = "+proj=geos +lon_0=0 +h=35785831"
LATITUDE_LONGITUDE = "WGS 84 (CRS84)"
LOCAL = "local plane"


@dataclass(frozen=True)
class Place:
    """Shape (rows, columns), size of a cell, west and north edge, unit, and how the CRS is called."""

    shape: tuple[int, int]
    cell: float
    west: float
    north: float
    unit: str
    crs: str


@dataclass(frozen=True)
class Held:
    """One variable; `maximum` None where nothing was observed, `wet` None where it is not rain or not observed."""

    units: str
    maximum: float | None
    missing: float
    wet: float | None = None
    implausible: int = 0


@dataclass(frozen=True)
class Expected:
    """One product: label, length and step of its intervals in minutes, and its variables."""

    product: str
    first: str
    last: str
    frames: int
    label: str
    interval: float
    step: float | None
    place: Place
    held: dict[str, Held]
    more: dict[str, object] = field(default_factory=dict)


POLE = Place((10, 10), 0.1, -180.0, -89.0, "degree", LATITUDE_LONGITUDE)
EUROPE = Place((2200, 1900), 2000.0, 0.0, 0.0, "m", LAEA)
EUROPE_FINE = Place((4400, 3800), 1000.0, 0.0, 0.0, "m", LAEA)
NOTHING = Held("mm h-1", None, 1.0)
DRY = Held("mm h-1", 0.0, 0.3, wet=0.0)


def imerg(version, rain, error, quality, weight):
    """Ten by ten cells at the pole: codes everywhere, no microwave pass."""
    held = {
        "rain_rate": rain,
        "rain_rate_uncalibrated": rain,
        "microwave_rain_rate": NOTHING,
        "microwave_source": Held("1", 0.0, 0.0),
        "microwave_minute": Held("min", None, 1.0),
        "infrared_rain_rate": NOTHING,
        "infrared_weight": weight,
        "random_error": error,
        "quality_index": quality,
        "liquid_probability": Held("%", 0.0, 0.0),
    }
    time = "2000-06-01T00:00:00"
    return Expected("IMERG", time, time, 1, "start", 30.0, None, POLE, held, {"run": "Final", "version": version})


def odyssey(time, maximum, missing, wet, quality_missing):
    """A composite of 15 min that ends five minutes after its label."""
    held = {"rain_rate": Held("mm h-1", maximum, missing, wet), "quality": Held("1", 0.9, quality_missing)}
    return Expected("OPERA ODYSSEY", time, time, 1, "unknown", 15.0, None, EUROPE, held)


def nimbus(time, maximum, missing, wet):
    """A snapshot: its start is its end."""
    held = {"rain_rate": Held("mm h-1", maximum, missing, wet), "quality": Held("1", 1.0, missing)}
    return Expected("OPERA NIMBUS", time, time, 1, "centre", 0.0, None, EUROPE, held)


def radar(product, first, last, frames, step, place, maximum, missing, wet):
    """A sequence whose labels nobody explains."""
    held = {"rain_rate": Held("mm h-1", maximum, missing, wet)}
    return Expected(product, first, last, frames, "unknown", step, step, place, held)


def plane(rows, columns):
    """A plane whose first centre is at 0: the edge lies half a cell before it."""
    return Place((rows, columns), 1000.0, -500.0, rows * 1000.0 - 500.0, "m", LOCAL)


TABLE = {
    "imerg/3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V06B.HDF5": imerg(
        "V06", NOTHING, NOTHING, Held("1", None, 1.0), Held("%", 0.0, 0.0)
    ),
    "imerg/3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V07A.HDF5": imerg(
        "V07", DRY, Held("mm h-1", 0.24, 0.3), Held("1", 0.0, 0.3), Held("%", None, 1.0)
    ),
    "opera/T_PAAH21_C_EUOC_20180824200000.hdf": odyssey("2018-08-24T20:00:00", 214.52, 0.498976, 0.125, 0.875694),
    "opera/T_PAAH21_C_EUOC_20180824201500.hdf": odyssey("2018-08-24T20:15:00", 254.45, 0.498997, 0.123, 0.877606),
    "opera/T_PAAH21_C_EUOC_20180824203000.hdf": odyssey("2018-08-24T20:30:00", 174.67, 0.498985, 0.123, 0.876253),
    "opera/T_PAAH21_C_EUOC_20180824204500.hdf": odyssey("2018-08-24T20:45:00", 133.15, 0.498985, 0.120, 0.877820),
    "opera/T_PAAH21_C_EUOC_20180824210000.hdf": odyssey("2018-08-24T21:00:00", 143.17, 0.499020, 0.119, 0.877792),
    "opera/T_PAAH21_C_EUOC_20180824211500.hdf": odyssey("2018-08-24T21:15:00", 143.57, 0.498981, 0.118, 0.878997),
    "opera/T_PAAH21_C_EUOC_20180824213000.hdf": odyssey("2018-08-24T21:30:00", 228.49, 0.498989, 0.117, 0.879025),
    "opera/T_PAAH21_C_EUOC_20180824214500.hdf": odyssey("2018-08-24T21:45:00", 157.85, 0.498988, 0.119, 0.878169),
    "opera/T_PAAH22_C_EUOC_20241126010000.hdf": nimbus("2024-11-26T01:00:00", 205.05, 0.485751, 0.093),
    "opera/T_PAAH22_C_EUOC_20241126011500.hdf": nimbus("2024-11-26T01:15:00", 162.88, 0.485123, 0.095),
    "opera/T_PABV21_C_EUOC_20241126010000.hdf": Expected(
        "OPERA CIRRUS",
        "2024-11-26T01:00:00",
        "2024-11-26T01:00:00",
        1,
        "end",
        599 / 60,
        None,
        EUROPE_FINE,
        {"reflectivity": Held("dBZ", 78.0, 0.490947), "quality": Held("1", 1.0, 0.878079)},
    ),
    "opera/T_PASH22_C_EUOC_20241126010000.hdf": Expected(
        "OPERA NIMBUS",
        "2024-11-26T01:00:00",
        "2024-11-26T01:00:00",
        1,
        "end",
        60.0,
        None,
        EUROPE,
        {"rain_amount": Held("mm", 51.26, 0.486363, 0.113), "quality": Held("1", 1.0, 0.486363)},
    ),
    "meteonet/rainfall_NW_2016_08.3.npz": Expected(
        "MeteoNet rainfall",
        "2016-08-21T00:10:00",
        "2016-08-31T00:30:00",
        45,
        "unknown",
        5.0,
        5.0,
        Place((565, 784), 0.01, -5.842, 51.896, "degree", LATITUDE_LONGITUDE),
        {"rain_rate": Held("mm h-1", 30.48, 0.125052, 0.007), "quality": Held("1", 0.98, 0.863917)},
        {"missing_frames": 2840},
    ),
    "seviri/seviri_bt_france_20200906_0000-0045.nc": Expected(
        "SEVIRI",
        "2020-09-06T00:00:00",
        "2020-09-06T00:45:00",
        4,
        "start",
        15.0,
        15.0,
        Place((434, 867), 3000.403, -1000634.5, 4751138.6, "m", GEOS),
        {"brightness_temperature": Held("K", 314.19, 0.000127, implausible=1524)},
    ),
    "seviri/hrit": Expected(
        "SEVIRI",
        "2020-09-06T00:30:00",
        "2020-09-06T00:30:00",
        1,
        "start",
        15.0,
        None,
        Place((928, 3712), 3000.403, -5570248.7, 5570248.7, "m", GEOS),
        {"brightness_temperature": Held("K", 303.5514, 0.444078)},
        {"files": 6},
    ),
    "pair/seviri_pc_radklim_20210625.nc": Expected(
        "github RebWiegels/MSG-SEVIRI-CNN-wet-dry data/ (MIT; data DWD RADKLIM and NWC SAF)",
        "2021-06-25T07:00:00",
        "2021-06-25T14:45:00",
        32,
        "start",
        15.0,
        15.0,
        Place((180, 252), 3000.403, 280537.7, 4844151.0, "m", GEOS),
        {
            "rain_rate": Held("mm h-1", 48.71, 0.438558, 0.063),
            "precipitation_likelihood": Held("%", 85.0, 0.0),
        },
    ),
    "rain_sequences/bom_20180616.nc": radar(
        "BOM single-radar rainfall accumulation scaled to a rate",
        "2018-06-16T10:00:00",
        "2018-06-16T16:00:00",
        61,
        6.0,
        plane(256, 256),
        41.12,
        0.0,
        0.326,
    ),
    "rain_sequences/fmi_20160928.nc": radar(
        "FMI lowest-elevation composite, Z=223R^1.53 applied to dBZ",
        "2016-09-28T14:45:00",
        "2016-09-28T18:00:00",
        40,
        5.0,
        plane(1226, 760),
        167.24,
        0.243458,
        0.309,
    ),
    "rain_sequences/knmi_20100826.nc": radar(
        "KNMI 5-min accumulation composite x 12",
        "2010-08-26T00:00:00",
        "2010-08-26T07:35:00",
        92,
        5.0,
        plane(765, 700),
        29.4,
        0.743737,
        0.528,
    ),
    "rain_sequences/mch_20150515.nc": radar(
        "MeteoSwiss AQC composite, Z=316R^1.5 lookup in mm per 5 min, x 12",
        "2015-05-15T15:45:00",
        "2015-05-15T19:00:00",
        40,
        5.0,
        plane(640, 710),
        115.54,
        0.308787,
        0.173,
    ),
    "rain_sequences/mch_20160711.nc": radar(
        "MeteoSwiss AQC composite, Z=316R^1.5 lookup in mm per 5 min, x 12",
        "2016-07-11T20:45:00",
        "2016-07-12T00:00:00",
        40,
        5.0,
        plane(640, 710),
        115.54,
        0.296328,
        0.133,
    ),
}

CHANNELS = {
    "seviri/seviri_bt_france_20200906_0000-0045.nc": {
        "IR_039": (205.20, 314.19, 279.720),
        "WV_062": (213.98, 250.16, 238.552),
        "WV_073": (213.64, 267.86, 256.721),
        "IR_087": (213.30, 294.26, 280.613),
        "IR_097": (221.04, 270.14, 257.670),
        "IR_108": (212.67, 296.86, 282.711),
        "IR_120": (213.63, 295.81, 281.683),
        "IR_134": (214.44, 270.61, 260.722),
    },
    "seviri/hrit": {"WV_062": (204.3382, 255.1517, 237.2785), "IR_108": (203.2362, 303.5514, 281.1561)},
}
"""Minimum, maximum and mean of each channel, K."""

REMOVED = {
    "opera/T_PAAH21_C_EUOC_20180824200000.hdf": (0.530313, 0.966843, 0.998196, 0.0),
    "opera/T_PAAH22_C_EUOC_20241126010000.hdf": (0.011759, 0.020418, 0.078150, 0.0),
    "opera/T_PASH22_C_EUOC_20241126010000.hdf": (0.032499, 0.048498, 0.165993, 0.0),
    "meteonet/rainfall_NW_2016_08.3.npz": (0.0, 0.005050, 0.124553, 0.466819),
}
"""Share of the wet pixels whose quality is below 0.2, 0.5 and 0.8, and of those that have none."""

COMPANIONS = {
    "meteonet/radar_coords_NW.npz",
    "meteonet/rainfall_mean_quality-code_NW_2016_08.3.npz",
    "meteonet/LICENCE.md",
}
FOLDERS = ("imerg", "opera", "meteonet", "seviri", "pair", "rain_sequences")


def look(*arguments):
    """Exit code, standard output and standard error of ``ondee look --json``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main(["look", "--json", *map(str, arguments)])
    return ended.value.code, out.getvalue(), err.getvalue()


@cache
def told(relative):
    """The one product that ``ondee look --json`` tells of a file."""
    code, out, err = look(real.path(relative))
    assert (code, err) == (0, "")
    tree = json.loads(out)
    assert tree["left_out"] == {}
    (product,) = tree["products"]
    return product


def statistics(product, name):
    """Statistics of one variable."""
    (found,) = (entry for entry in product["variables"] if entry["name"] == name)
    return found


@real.needs(*FOLDERS)
def test_the_table_holds_every_file():
    root = real.path(".")
    here = {str(path.relative_to(root)) for name in FOLDERS for path in (root / name).rglob("*") if path.is_file()}
    segments = {name for name in here if name.startswith("seviri/hrit/")}
    assert len(segments) == 6
    assert here - segments | {"seviri/hrit"} == set(TABLE) | COMPANIONS


@real.needs(*FOLDERS)
@pytest.mark.parametrize("relative", TABLE)
def test_look_tells_the_facts(relative):
    expected, found = TABLE[relative], told(relative)
    for name in ("product", "first", "last", "frames", "label", "step"):
        assert found[name] == getattr(expected, name), name
    assert found["interval"] == pytest.approx(expected.interval, abs=1e-5)
    more = {"run": None, "version": None, "files": 1, "missing_frames": 0, "repeated_frames": 0, **expected.more}
    assert {name: found[name] for name in more} == more
    assert [entry["name"] for entry in found["variables"]] == list(expected.held)
    for name, held in expected.held.items():
        entry = statistics(found, name)
        numbers = entry["statistics"]
        assert entry["units"] == held.units, name
        assert entry["implausible_count"] == held.implausible, name
        assert numbers["maximum"] == (None if held.maximum is None else pytest.approx(held.maximum, rel=1e-6)), name
        assert numbers["missing_share"] == pytest.approx(held.missing, abs=6e-7), name
        rounded = None if numbers["wet_fraction"] is None else round(numbers["wet_fraction"], 3)
        assert rounded == held.wet, name


@real.needs(*FOLDERS)
@pytest.mark.parametrize("relative", TABLE)
def test_look_tells_the_grid(relative):
    place, found = TABLE[relative].place, told(relative)["grid"]
    assert (tuple(found["shape"]), found["unit"]) == (place.shape, place.unit)
    assert found["cell"] == [pytest.approx(place.cell, rel=1e-6)] * 2
    near = pytest.approx((place.west, place.north), abs=1e-3 * place.cell)
    assert (found["west"], found["north"]) == near
    assert found["crs"].startswith(place.crs)
    assert (found["region"] is None) == (place.crs == LOCAL)


@real.needs("seviri")
@pytest.mark.parametrize("relative", CHANNELS)
def test_look_tells_each_channel(relative):
    entry = statistics(told(relative), "brightness_temperature")
    found = {
        name: tuple(numbers[key] for key in ("minimum", "maximum", "mean"))
        for name, numbers in entry["channels"].items()
    }
    assert list(found) == list(CHANNELS[relative])
    for name, numbers in CHANNELS[relative].items():
        assert found[name] == pytest.approx(numbers, abs=6e-4), name
    shares = {name: numbers["missing_share"] for name, numbers in entry["channels"].items()}
    if relative.endswith(".nc"):  # the 1524 pixels of -3 K, which are all of the 3.9 µm channel
        assert entry["implausible_extreme"] == pytest.approx(-2.97, abs=1e-4)
        assert shares.pop("IR_039") == pytest.approx(1524 / (4 * 434 * 867), abs=1e-8)
        assert set(shares.values()) == {0.0}


@real.needs("opera", "meteonet")
@pytest.mark.parametrize("relative", REMOVED)
def test_look_tells_what_a_quality_threshold_removes(relative):
    entry = told(relative)["variables"][0]
    found = (*(entry["removed_by_quality"][limit] for limit in ("0.2", "0.5", "0.8")), entry["unknown_quality"])
    assert found == pytest.approx(REMOVED[relative], abs=6e-7)


@real.needs("meteonet")
def test_companions_by_themselves_are_refused_and_beside_the_frames_used():
    for relative in sorted(COMPANIONS):
        code, out, err = look(real.path(relative))
        assert (code, out) == (1, "")
        assert [line.split()[0] for line in err.splitlines()] == ["error", "where", "fix"]
    code, out, _ = look(real.path("meteonet"))
    tree = json.loads(out)
    assert code == 0 and set(tree["left_out"]) == {str(real.path("meteonet/LICENCE.md"))}
    assert tree["products"] == [told("meteonet/rainfall_NW_2016_08.3.npz")]


@real.needs("opera")
def test_a_folder_is_told_as_its_files_together():
    """Eight composites of one evening are one product of 15 min steps; those of 2024 are three more."""
    code, out, _ = look(real.path("opera"))
    assert code == 0
    found = {(entry["product"], entry["variables"][0]["name"]): entry for entry in json.loads(out)["products"]}
    assert {key: entry["frames"] for key, entry in found.items()} == {
        ("OPERA CIRRUS", "reflectivity"): 1,
        ("OPERA NIMBUS", "rain_amount"): 1,
        ("OPERA NIMBUS", "rain_rate"): 2,
        ("OPERA ODYSSEY", "rain_rate"): 8,
    }
    evening = found["OPERA ODYSSEY", "rain_rate"]
    assert (evening["step"], evening["missing_frames"]) == (15.0, 0)
    own = [expected.held["rain_rate"] for expected in TABLE.values() if expected.product == "OPERA ODYSSEY"]
    numbers = evening["variables"][0]["statistics"]
    assert numbers["maximum"] == pytest.approx(max(held.maximum for held in own), rel=1e-6)
    assert numbers["missing_share"] == pytest.approx(sum(held.missing for held in own) / 8, abs=6e-7)
