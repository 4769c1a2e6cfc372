import numpy as np
import pytest

from ondee.collocation.scan import nominal_scan_offset, scan_offset, seviri_disk
from ondee.errors import ConfigError, GridError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid


@pytest.mark.parametrize("longitude", [0.0, 9.5, 41.5])
def test_a_cell_is_seen_with_the_line_that_holds_it(longitude):
    part = seviri_disk(longitude).crop(slice(400, 700), slice(1500, 1800))
    found = nominal_scan_offset(part, satellite_longitude=longitude)
    lines = np.broadcast_to(scan_offset(part)[:, None] / 60, part.shape)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, lines, atol=1e-5)


def test_the_south_is_seen_first_and_the_disk_in_twelve_and_a_half_minutes():
    grid = Grid(LATITUDE_LONGITUDE, -10.0, 60.0, 1.0, 1.0, 20, 120)
    found = nominal_scan_offset(grid, satellite_longitude=0.0)
    assert (np.diff(found, axis=0) <= 0).all()
    equator = found[59:61].mean()
    assert equator == pytest.approx(742.4 / 60 / 2, abs=0.05)
    assert 0 < found.min() < 1.5 and 11 < found.max() < 12.4


def test_what_the_satellite_does_not_see_has_no_time():
    grid = Grid(LATITUDE_LONGITUDE, 60.0, 10.0, 10.0, 10.0, 12, 2)
    found = nominal_scan_offset(grid, satellite_longitude=0.0)
    assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 3:]).all()


def test_grids_that_are_no_part_or_nowhere_are_refused():
    with pytest.raises(ConfigError, match="no part of"):
        scan_offset(Grid(seviri_disk(0.0).crs, 0, 4e6, 3000, 3000, 10, 10))
    with pytest.raises(GridError, match="position"):
        nominal_scan_offset(Grid(LOCAL, 0, 0, 1000, 1000, 4, 4), satellite_longitude=0.0)
