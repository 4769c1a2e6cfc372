import pickle

import numpy as np
import pytest
import xarray as xr

from ondee.errors import GridError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid

GEOS = "+proj=geos +h=35785831 +lon_0=0 +a=6378169 +rf=295.488065897014"
IMERG = Grid(LATITUDE_LONGITUDE, -180, 90, 0.1, 0.1, 3600, 1800)


def test_centres_and_edges_give_the_same_grid():
    grid = Grid("+proj=laea +lat_0=55 +lon_0=10", -1000.0, 5000.0, 2000.0, 1000.0, 7, 4)
    again = Grid.from_centres(grid.crs, grid.x, grid.y)
    assert again.same_as(grid) and again.shape == (4, 7)
    assert grid.x_edges[0] == grid.west and grid.x_edges[-1] == grid.east
    assert grid.y_edges[0] == grid.north and grid.y_edges[-1] == grid.south
    single = np.float32(IMERG.x), np.float32(IMERG.y)
    assert Grid.from_centres(LATITUDE_LONGITUDE, *single).same_as(IMERG, tolerance=2e-3)


def test_a_dataset_carries_its_grid_exactly(tmp_path):
    grid = Grid(GEOS, -999134.29, 4749638.39, 3000.403165817, 3000.403165817, 5, 4)
    data = xr.Dataset({"a": (("y", "x"), np.zeros(grid.shape))}, coords=grid.coordinates())
    assert Grid.of(data) == grid
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    again = xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf", decode_coords="all")
    assert Grid.of(again) == grid and grid.is_geostationary
    assert pickle.loads(pickle.dumps(grid)).digest == grid.digest


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1, 0], [1, 0], "wrong order"),
        ([0, 1], [0, 1], "wrong order"),
        ([0, 1, 2.1], [1, 0], "not evenly spaced"),
        ([0], [1, 0], "too few"),
    ],
)
def test_centres_that_are_no_grid_are_refused(x, y, words):
    with pytest.raises(GridError, match=words):
        Grid.from_centres(LOCAL, x, y)


def test_a_coarser_grid_begins_at_the_same_corner_and_drops_what_is_left_over():
    grid = Grid(LOCAL, -500, 764_500, 1000, 1000, 701, 765)
    two = grid.coarser(2)
    assert (two.west, two.north, two.dx, two.dy, two.shape) == (-500, 764_500, 2000, 2000, (382, 350))
    assert grid.coarser(1) == grid
    with pytest.raises(GridError, match="800 by 800"):
        grid.coarser(800)


def test_a_window_holds_all_cells_that_touch_a_region():
    region = (-5.42, 42.03, 8.5, 51.31)
    rows, columns = IMERG.window(region)
    crop = IMERG.crop(rows, columns)
    assert (crop.west, crop.south, crop.east, crop.north) == pytest.approx((-5.5, 42.0, 8.5, 51.4))
    west, south, east, north = crop.region()
    assert west <= region[0] and south <= region[1] and east >= region[2] and north >= region[3]
    assert IMERG.block(crop) == (rows, columns)
    assert crop.block(IMERG) is None
    assert IMERG.block(Grid(LATITUDE_LONGITUDE, 0.05, 50, 0.1, 0.1, 5, 5)) is None


def test_the_window_of_a_geostationary_view_holds_its_region():
    disk = Grid(GEOS, -5567248.0, 5570248.0, 6000.8, 6000.8, 1856, 1856)
    crop = disk.crop(*disk.window((-5.0, 42.0, 8.0, 51.0)))
    longitude, latitude = crop.longitude_latitude()
    inside = (longitude > -5) & (longitude < 8) & (latitude > 42) & (latitude < 51)
    whole_longitude, whole_latitude = disk.longitude_latitude()
    seen = (whole_longitude > -5) & (whole_longitude < 8) & (whole_latitude > 42) & (whole_latitude < 51)
    assert inside.sum() == seen.sum() > 10_000
    with pytest.raises(GridError, match=r"not seen|outside"):
        disk.window((150.0, 0.0, 160.0, 10.0))


def test_regions_that_cannot_be_cut_are_refused():
    france = Grid(LATITUDE_LONGITUDE, -5, 51, 0.1, 0.1, 100, 90)
    with pytest.raises(GridError, match="outside"):
        france.window((20.0, 45.0, 21.0, 46.0))
    with pytest.raises(GridError, match="no area"):
        france.window((5.0, 45.0, 3.0, 46.0))
    with pytest.raises(GridError, match="position on the Earth is unknown"):
        Grid(LOCAL, 0, 10, 1, 1, 10, 10).window((0.0, 0.0, 1.0, 1.0))
    with pytest.raises(GridError, match="no area"):
        Grid(LOCAL, 0, 10, 0, 1, 10, 10)
    with pytest.raises(GridError, match="not a coordinate reference system"):
        Grid("+proj=nonsense", 0, 10, 1, 1, 10, 10)
    with pytest.raises(GridError, match="no coordinate 'crs'"):
        Grid.of(xr.Dataset())
