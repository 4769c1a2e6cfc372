import numpy as np
import pytest
import xarray as xr

from archives import radar, times
from ondee.collocation import overpass, references
from ondee.errors import ConfigError, GridError, UnitError
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.units import tag

CELLS = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.1, 0.1, 6, 5)
START = "2018-06-04T12:00"


def passes(minute, start=START):
    """Minutes of the pass on the cells."""
    values = np.broadcast_to(np.asarray(minute, np.float32), (1, *CELLS.shape)).copy()
    stamps = np.array([start], "datetime64[ns]")
    array = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": stamps, **CELLS.coordinates()})
    return tag(array, "microwave_minute")


def frames(**settings):
    """Radar on the cells from half an hour before to half an hour after."""
    return radar(times("2018-06-04T11:30", 18), grid=CELLS, missing=0.0, **settings)


@pytest.mark.parametrize("minute", [0, 3, 7, 12.5, 29])
@pytest.mark.parametrize("half_width", [2.5, 5.0, 7.5])
def test_radar_at_the_pass_is_the_mean_over_its_window(minute, half_width):
    data = frames()
    made = overpass(data, passes(minute), half_width=half_width)["rain_rate"][0]
    # The integral, second by second, over frames that hold for five minutes each.
    seconds = np.arange(-half_width * 60, half_width * 60) + 0.5 + minute * 60
    index = ((seconds + 30 * 60) // 300).astype(int)
    np.testing.assert_allclose(made, data["rain_rate"].values[index].mean(axis=0), rtol=1e-4, atol=1e-6)


def test_each_cell_has_its_own_minute():
    minutes = np.arange(CELLS.nx * CELLS.ny).reshape(CELLS.shape) % 30
    data = frames()
    whole = overpass(data, passes(minutes))["rain_rate"][0].values
    for row, column in ((0, 0), (2, 3), (4, 5)):
        alone = overpass(data, passes(minutes[row, column]))["rain_rate"][0].values
        assert whole[row, column] == pytest.approx(alone[row, column], rel=1e-6)


def test_no_pass_and_no_radar_are_missing():
    minutes = np.full(CELLS.shape, 10.0)
    minutes[0, 0] = np.nan
    data = frames().isel(time=slice(0, 7))  # radar ends at 12:05
    made = overpass(data, passes(minutes))["rain_rate"][0]
    assert made.isnull().all()
    partly = overpass(frames(), passes(minutes))["rain_rate"][0]
    assert partly[0, 0].isnull() and partly[1:].notnull().all()


def test_a_gap_in_the_window_is_missing_unless_allowed():
    data = frames()
    data["rain_rate"][8] = np.nan  # 12:10 to 12:15
    assert overpass(data, passes(10))["rain_rate"].isnull().all()
    half = overpass(data, passes(10), time_coverage=0.5)["rain_rate"][0]
    np.testing.assert_allclose(half, data["rain_rate"][7], rtol=1e-6)


def test_the_two_references_stand_side_by_side():
    data = frames()
    made = references(data, passes(12))
    assert list(made["reference"].values) == ["mean", "overpass"]
    np.testing.assert_allclose(made["rain_rate"][0, 0], data["rain_rate"][6:12].mean("time"), rtol=1e-5)
    np.testing.assert_allclose(made["rain_rate"][1, 0], overpass(data, passes(12))["rain_rate"][0])
    assert "overpass minute ± 2.5 min" in made["rain_rate"].attrs["reference_kind"]


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(GridError, match="different grids"):
        overpass(radar(times(START, 6)), passes(3))
    with pytest.raises(ConfigError, match="no width"):
        overpass(frames(), passes(3), half_width=0)
    wrong = passes(3)
    wrong.attrs["units"] = "h"
    with pytest.raises(UnitError, match="'min' is needed"):
        overpass(frames(), wrong)
