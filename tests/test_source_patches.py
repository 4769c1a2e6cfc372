import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from ondee import source
from ondee.errors import ConfigError, GridError, ReadError, UnitError
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.source.patches import CHANNELS, FORMAT
from ondee.source.pickles import unpickle_mapping

NAME = "sevmos_2019-08-09_18:10:00{}"
LAYERS = (*CHANNELS, "rain_rate", "rain_quality")


def layers(ny: int = 6, nx: int = 8) -> dict[str, np.ndarray]:
    """Channel c holds 220 + c K and a gradient; rain at one place; quality missing in a corner."""
    gradient = np.arange(ny * nx, dtype=np.float32).reshape(ny, nx) / 10
    found = {name: 220 + index + gradient for index, name in enumerate(CHANNELS)}
    rain, quality = np.zeros((ny, nx), dtype=np.float32), np.full((ny, nx), 80.0, dtype=np.float32)
    rain[2, 3], rain[0, 0], quality[0, 0], quality[1, 1] = 4.2, np.nan, np.nan, 255
    return {**found, "rain_rate": rain, "rain_quality": quality}


def check(data: xr.Dataset, ny: int = 6, nx: int = 8) -> None:
    expected = layers(ny, nx)
    assert data["channel"].values.tolist() == list(CHANNELS)
    for name in CHANNELS:
        assert np.allclose(data["brightness_temperature"].sel(channel=name)[0], expected[name])
    assert float(data["rain_rate"][0, 2, 3]) == pytest.approx(4.2)
    assert np.isnan(data["rain_rate"][0, 0, 0]) and float(data["rain_rate"][0, 5, 7]) == 0.0
    assert float(data["quality"][0, 2, 3]) == pytest.approx(0.8)
    assert np.isnan(data["quality"][0, 0, 0]) and np.isnan(data["quality"][0, 1, 1])
    assert data["time"].values[0] == np.datetime64("2019-08-09T18:10", "ns")
    assert data["time"].attrs["label"] == "unknown"


def saved(folder: Path, content: Any, box: str = "_3") -> Path:
    path = folder / NAME.format(f"{box}.npy")
    np.save(path, content, allow_pickle=True)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_dictionaries_of_every_protocol(protocol: int) -> None:
    found = unpickle_mapping(pickle.dumps(layers(), protocol), where="test")
    assert all(np.array_equal(found[name], layer, equal_nan=True) for name, layer in layers().items())


def test_pickled_dictionaries(tmp_path: Path) -> None:
    content = {**layers(), "cnn_output": np.zeros((6, 8)), "note": "by hand"}
    data = source.open(saved(tmp_path, content))
    check(data)
    assert data.attrs["product"] == "LATMOS sevmos box 3"


def test_masked_arrays_become_missing(tmp_path: Path) -> None:
    content: dict[str, Any] = layers()
    rain = np.ma.masked_array(content["rain_rate"], mask=np.zeros((6, 8), bool), fill_value=-1.0)
    rain[4, 4] = np.ma.masked
    content["rain_rate"] = rain
    fortran = np.ma.masked_array(np.asfortranarray(content["IR_108"]), mask=False)
    content["IR_108"] = fortran
    data = source.open(saved(tmp_path, content))
    check(data)
    assert np.isnan(data["rain_rate"][0, 4, 4])


def test_stacks_and_structures(tmp_path: Path) -> None:
    stack = np.stack([layers()[name] for name in LAYERS])
    check(source.open(saved(tmp_path, stack)))
    check(source.open(saved(tmp_path, np.moveaxis(stack, 0, -1))))
    check(source.open(saved(tmp_path, np.asfortranarray(stack))))
    structure = np.zeros((6, 8), dtype=[(name, "f4") for name in LAYERS])
    for name in LAYERS:
        structure[name] = layers()[name]
    check(source.open(saved(tmp_path, structure)))


def test_a_stack_in_another_order_is_refused(tmp_path: Path) -> None:
    stack = np.stack([layers()[name] for name in reversed(LAYERS)])
    with pytest.raises(ReadError, match="no temperatures in K"):
        source.open(saved(tmp_path, stack))
    with pytest.raises(ReadError, match="shape"):
        source.open(saved(tmp_path, stack[:5]))


class Hostile:
    """Pickles as a call that would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("wrap", [lambda evil: {"rain_rate": evil}, lambda evil: {evil: 1}, lambda evil: evil])
def test_hostile_pickles_are_refused_not_executed(tmp_path: Path, wrap: Any) -> None:
    mark = tmp_path / "executed"
    path = saved(tmp_path, np.array(wrap(Hostile(mark)), dtype=object))
    with pytest.raises(ReadError, match="refused, not executed"):
        source.open(path)
    assert not mark.exists()


def test_a_hostile_mask_is_refused() -> None:
    content = pickle.dumps({"a": np.ma.masked_array([1.0, 2.0], mask=[True, False])}, 4)
    assert np.isnan(unpickle_mapping(content, where="x")["a"][0])
    shorter = content.replace(b"C\x02\x01\x00", b"C\x01\x01")
    assert shorter != content
    with pytest.raises(ReadError):
        unpickle_mapping(shorter, where="x")


def test_cut_files_are_refused(tmp_path: Path) -> None:
    for content in (layers(), np.stack([layers()[name] for name in LAYERS])):
        path = saved(tmp_path, content)
        whole = path.read_bytes()
        for length in np.random.default_rng(5).integers(0, len(whole) - 1, 20):
            path.write_bytes(whole[:length])
            with pytest.raises(ReadError):
                source.open(path)


def test_missing_and_unequal_layers_are_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = layers()
    without = {name: layer for name, layer in content.items() if name != "IR_097"}
    with pytest.raises(ReadError, match="there is no IR_097"):
        source.open(saved(tmp_path, without))
    with pytest.raises(ReadError, match="one 2-D grid"):
        source.open(saved(tmp_path, content | {"rain_rate": np.zeros((3, 3))}))
    images = {name: content[name] for name in CHANNELS}
    assert list(source.open(saved(tmp_path, images))) == ["brightness_temperature"]


def test_place(tmp_path: Path) -> None:
    path = saved(tmp_path, layers())
    grid = Grid.of(source.open(path))
    assert grid.is_local and (grid.dx, grid.dy) == (1000.0, 1000.0)
    assert Grid.of(source.open(path, cell=3000)).dx == 3000.0
    with pytest.raises(GridError, match="position on the Earth is unknown"):
        source.open(path, region=(0, 40, 5, 50))
    lambert = "EPSG:2154"
    placed = source.open(path, crs=lambert, west=600000.0, north=6800000.0)
    assert Grid.of(placed).same_as(Grid(lambert, 600000.0, 6800000.0, 1000.0, 1000.0, 8, 6))
    longitude, latitude = Grid.of(placed).longitude_latitude()
    here = (float(longitude[3, 2]), float(latitude[3, 2]), float(longitude[1, 4]), float(latitude[1, 4]))
    part = source.open(path, crs=lambert, west=600000.0, north=6800000.0, region=here)
    assert part.sizes["y"] < 6 and float(part["rain_rate"].max()) == pytest.approx(4.2)
    for wrong in ({"crs": lambert}, {"west": 0.0}, {"cell": 0}):
        with pytest.raises(ConfigError):
            source.open(path, **wrong)


def netcdf(folder: Path, **coordinates: Any) -> Path:
    """Layers as the team's NetCDF files hold them: fills, a valid range, no unit for the quality."""
    content = layers()
    rain = np.where(np.isnan(content["rain_rate"]), -999.0, content["rain_rate"]).astype(np.float32)
    quality = np.nan_to_num(content["rain_quality"], nan=-9).astype(np.int32)
    data = {name: (("y", "x"), content[name], {"units": "K"}) for name in CHANNELS}
    data["rain_rate"] = (("y", "x"), rain, {"units": "mm/h", "missing_value": -999.0, "valid_range": [0.0, 300.0]})
    data["rain_quality"] = (("y", "x"), quality, {})
    path = folder / NAME.format(".nc")
    file = xr.Dataset(data, coords=coordinates)
    file.to_netcdf(path, engine="h5netcdf", encoding={name: {"_FillValue": None} for name in file.variables})
    return path


def test_netcdf_without_a_place(tmp_path: Path) -> None:
    data = source.open(netcdf(tmp_path))
    check(data)
    assert Grid.of(data).is_local and data.attrs["product"] == "LATMOS sevmos full"


def test_netcdf_with_a_place_from_south_to_north(tmp_path: Path) -> None:
    latitude = ("y", 45.0 + 0.01 * np.arange(6), {"units": "degrees_north", "standard_name": "latitude"})
    longitude = ("x", 1.0 + 0.01 * np.arange(8), {"units": "degrees_east", "standard_name": "longitude"})
    data = source.open(netcdf(tmp_path, y=latitude, x=longitude))
    grid = Grid.of(data)
    assert grid.same_as(Grid(LATITUDE_LONGITUDE, 0.995, 45.055, 0.01, 0.01, 8, 6))
    assert float(data["rain_rate"].sel(y=45.02, x=1.03, method="nearest")[0]) == pytest.approx(4.2)
    assert float(data["rain_rate"][0, 3, 3]) == pytest.approx(4.2), "row 2 from the south is row 3 from the north"


def test_netcdf_with_a_place_that_is_none(tmp_path: Path) -> None:
    latitude = ("y", np.array([45.0, 45.1, 45.3, 45.9, 46.0, 49.0]), {"units": "degrees_north"})
    longitude = ("x", 1.0 + 0.01 * np.arange(8), {"units": "degrees_east"})
    with pytest.raises(ReadError):
        source.open(netcdf(tmp_path, y=latitude, x=longitude))


def test_netcdf_in_another_unit(tmp_path: Path) -> None:
    path = netcdf(tmp_path)
    with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as file:
        wrong = file.load()
    wrong["rain_rate"].attrs["units"] = "mm"
    wrong.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(UnitError):
        source.open(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ReadError):
        source.open(path)


def test_boxes_are_not_mixed(tmp_path: Path) -> None:
    first = saved(tmp_path, layers(), "_1")
    second = tmp_path / "sevmos_2019-08-09_18:15:00_2.npy"
    np.save(second, layers(), allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(ReadError, match="products are mixed"):
        source.open(first, second)
    assert source.open(first, second.rename(tmp_path / "sevmos_2019-08-09_18:15:00_1.npy")).sizes["time"] == 2


def test_recognising() -> None:
    for ending, known in ((".npy", True), ("_12.npy", True), (".nc", True), (".png", False)):
        assert FORMAT.recognise(Path(NAME.format(ending)), b"") is known
    with pytest.raises(ReadError, match="tells no time"):
        FORMAT.times((Path("sevmos_2019-13-09_18:10:00.npy"),))
