from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ondee import source
from ondee.errors import GridError, ReadError, UnitError
from ondee.grid import Grid
from ondee.source.nwcsaf import FORMAT

VIEW = "+proj=geos +a=6378137.000000 +b=6356752.300000 +lon_0=0.000000 +h=35785863.000000 +sweep=y"
WEST, NORTH, CELL = -300000.0, 4500000.0, 3000.0
NX, NY = 60, 40
NAME = "S_NWC_{}_MSG4_Europe-VISIR_20180601T070000Z.nc"
HEADER = {
    "nominal_product_time": "2018-06-01T07:00:00Z",
    "time_coverage_start": "2018-06-01T07:09:10Z",
    "time_coverage_end": "2018-06-01T07:12:30Z",
    "source": "NWC/GEO version v2018.1",
    "satellite_identifier": "MSG4",
    "gdal_projection": VIEW,
    "gdal_xgeo_up_left": WEST,
    "gdal_ygeo_up_left": NORTH,
    "gdal_xgeo_low_right": WEST + NX * CELL,
    "gdal_ygeo_low_right": NORTH - NY * CELL,
}


def product(
    folder: Path, kind: str = "CRR", *, header: dict[str, Any] | None = None, drop: tuple[str, ...] = ()
) -> Path:
    """A file in the layout of the SAF's data output format: packed, corners in the header, row 0 north."""
    path = folder / NAME.format(kind)
    rain = np.zeros((NY, NX), dtype=np.uint16)
    rain[10, 20], rain[11, 21], rain[0, :], rain[39, 59] = 123, 500, 65535, 501
    with h5py.File(path, "w") as file:
        for key, value in (HEADER | (header or {})).items():
            if key not in drop:
                file.attrs[key] = value
        for name, values in (
            ("nx", WEST + CELL * (np.arange(NX) + 0.5)),
            ("ny", NORTH - CELL * (np.arange(NY) + 0.5)),
        ):
            file[name] = values
            file[name].attrs["units"] = "m"
        if kind.startswith("CRR"):
            name = "crr_intensity" if kind == "CRR" else "crrph_intensity"
            node = file.create_dataset(name, data=rain, chunks=(20, 20), compression="gzip")
            node.attrs.update({"units": "mm/h", "scale_factor": np.float32(0.1), "add_offset": np.float32(0.0)})
            node.attrs.update({"_FillValue": np.uint16(65535), "valid_range": np.array([0, 500], dtype=np.uint16)})
            file["crr"] = np.zeros((NY, NX), dtype=np.uint8)
            file["crr"].attrs["_FillValue"] = np.uint8(255)
        else:
            percent = np.full((NY, NX), 30, dtype=np.uint8)
            percent[0, 0] = 255
            node = file.create_dataset("pc", data=percent)
            node.attrs.update({"units": "%", "scale_factor": 1.0, "add_offset": 0.0, "_FillValue": np.uint8(255)})
    return path


@pytest.mark.parametrize("kind", ["CRR", "CRRPh", "CRR-Ph"])
def test_rain_rate(tmp_path: Path, kind: str) -> None:
    data = source.open(product(tmp_path, kind))
    rain = data["rain_rate"]
    assert rain.shape == (1, NY, NX) and rain.attrs["units"] == "mm h-1"
    assert float(rain[0, 10, 20]) == pytest.approx(12.3) and float(rain[0, 11, 21]) == pytest.approx(50.0)
    assert bool(rain[0, 0].isnull().all()) and int(rain.isnull().sum()) == NX + 1, "fill, and one above the valid range"
    assert float(rain[0, 5, 5]) == 0.0
    assert rain.encoding["scale_factor"] == pytest.approx(0.1) and rain.encoding["_FillValue"] == 65535
    assert data["time"].values[0] == np.datetime64("2018-06-01T07:00", "ns") and data["time"].attrs["label"] == "start"
    expected = np.array(["2018-06-01T07:09:10", "2018-06-01T07:12:30"], dtype="datetime64[ns]")
    assert (data["time_bounds"].values[0] == expected).all()
    assert data.attrs["product"] == f"NWC SAF GEO {kind}" and data.attrs["version"] == "NWC/GEO version v2018.1"
    grid = Grid.of(data)
    assert grid.is_geostationary and (grid.west, grid.north, grid.dx, grid.dy) == (WEST, NORTH, CELL, CELL)


def test_likelihood(tmp_path: Path) -> None:
    data = source.open(product(tmp_path, "PC"))
    likelihood = data["precipitation_likelihood"]
    assert np.isnan(likelihood[0, 0, 0]) and float(likelihood[0, 3, 3]) == 30.0
    assert likelihood.attrs["units"] == "%" and "rain_rate" not in data


def test_kilometres_are_metres(tmp_path: Path) -> None:
    view = "+proj=geos +a=6378.137000 +b=6356.752300 +lon_0=0.000000 +h=35785.863000"
    (tmp_path / "km").mkdir()
    in_km = source.open(product(tmp_path / "km", header={"gdal_projection": view}))
    in_m = source.open(product(tmp_path))
    first, second = Grid.of(in_km), Grid.of(in_m)
    assert first.same_as(second)
    assert np.allclose(first.longitude_latitude(), second.longitude_latitude(), equal_nan=True)


def test_a_region_is_cut(tmp_path: Path) -> None:
    path = product(tmp_path)
    everything = source.open(path)
    grid = Grid.of(everything)
    longitude, latitude = grid.longitude_latitude()
    box = (longitude[15, 25], latitude[25, 15], longitude[15, 40], latitude[15, 25])
    part = source.open(path, region=tuple(map(float, box)))
    assert part.sizes["y"] < NY and part.sizes["x"] < NX
    same = everything.sel(y=part["y"], x=part["x"])
    assert np.array_equal(part["rain_rate"], same["rain_rate"], equal_nan=True)
    with pytest.raises(GridError):
        source.open(path, region=(150.0, -10.0, 160.0, 0.0))


def test_a_moment_where_the_scan_is_not_told(tmp_path: Path) -> None:
    data = source.open(product(tmp_path, drop=("time_coverage_start", "time_coverage_end", "nominal_product_time")))
    assert (data["time_bounds"].values == np.datetime64("2018-06-01T07:00", "ns")).all()


@pytest.mark.parametrize(
    ("header", "drop", "message"),
    [
        ({"nominal_product_time": "2018-06-01T07:15:00Z"}, (), "nominal time"),
        ({"nominal_product_time": "yesterday"}, (), "cannot be understood"),
        ({"time_coverage_end": "2018-06-01T06:12:30Z"}, (), "was scanned"),
        ({}, ("gdal_projection",), "does not say where"),
        ({}, ("gdal_xgeo_up_left",), "does not say where"),
        ({"gdal_ygeo_up_left": 0.0}, (), "upside down"),
        ({"gdal_xgeo_up_left": WEST - 100 * CELL}, (), "contradicts the corners"),
        ({"gdal_projection": "+proj=geos +a=0.1782 +b=0.1776 +h=1.0 +lon_0=0"}, (), "normalised"),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: dict[str, Any], drop: tuple[str, ...], message: str) -> None:
    with pytest.raises(ReadError, match=message):
        source.open(product(tmp_path, header=header, drop=drop))


def test_rows_turned_round_are_refused(tmp_path: Path) -> None:
    path = product(tmp_path)
    with h5py.File(path, "r+") as file:
        file["ny"][...] = file["ny"][...][::-1]
    with pytest.raises(ReadError, match="ny contradicts"):
        source.open(path)


def test_classes_are_no_rate(tmp_path: Path) -> None:
    path = product(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["crr_intensity"]
    with pytest.raises(ReadError, match="classes of rain only"):
        source.open(path)


def test_another_unit_or_shape_is_refused(tmp_path: Path) -> None:
    path = product(tmp_path)
    with h5py.File(path, "r+") as file:
        file["crr_intensity"].attrs["units"] = "mm"
    with pytest.raises(UnitError):
        source.open(path)
    with h5py.File(path, "r+") as file:
        del file["crr_intensity"]
        file["crr_intensity"] = np.zeros((2, NY, NX), dtype=np.uint16)
        file["crr_intensity"].attrs["units"] = "mm/h"
    with pytest.raises(ReadError, match="shape"):
        source.open(path)


def test_cut_files_and_forecasts(tmp_path: Path) -> None:
    path = product(tmp_path)
    content = path.read_bytes()
    for length in np.random.default_rng(2).integers(0, len(content) - 1, 20):
        path.write_bytes(content[:length])
        with pytest.raises(ReadError):
            source.open(path)
    extrapolated = NAME.format("CRR").replace(".nc", "_030.nc")
    assert not FORMAT.recognise(Path(extrapolated), b""), "a file extrapolated by 30 minutes is no observation"
    assert FORMAT.recognise(Path(NAME.format("PC").replace(".nc", "_PLAX.nc")), b"")
    assert not FORMAT.recognise(Path(NAME.format("CTTH")), b"")
