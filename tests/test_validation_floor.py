import numpy as np
import pytest

import real
from archives import radar, times, write_frames
from ondee.errors import ConfigError, ReadError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid
from ondee.source import granules
from ondee.validation.floor import cells_of, floor

WIDE = Grid(LATITUDE_LONGITUDE, 1.0, 46.0, 0.02, 0.02, 60, 50)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radar")
    write_frames(folder, times("2018-06-04T12:00", 13), grid=WIDE, missing=0.0, amount=9.0)
    return folder


def test_every_score_is_its_definition(archive):
    """Against plain numpy on the same cells."""
    import ondee
    from ondee.collocation import regrid

    made = floor(granules(archive), coverage=0.95, replicates=100)
    assert made.attrs["half_hours"] == 2
    cells = regrid(ondee.open(archive), cells_of(WIDE))["rain_rate"].values[:12].reshape(2, 6, -1)
    mean = cells.mean(axis=1)
    for slot in range(6):
        snapshot = cells[:, slot]
        for population, chosen in (("rain", mean > 0), ("all", np.isfinite(mean))):
            s, r = snapshot[chosen].astype(float), mean[chosen].astype(float)
            at = made.sel(population=population).isel(minute=5 * slot + 2)
            assert float(at["correlation"]) == pytest.approx(np.corrcoef(s, r)[0, 1], abs=1e-5)
            rmse = np.sqrt(((s - r) ** 2).mean()) / r.mean()
            assert float(at["normalised_rmse"]) == pytest.approx(rmse, rel=1e-4)
        for threshold in (0.1, 1.0):
            seen, true = snapshot >= np.float32(threshold), mean >= np.float32(threshold)
            at = made.sel(threshold=threshold).isel(minute=5 * slot)
            assert float(at["probability_of_detection"]) == pytest.approx((seen & true).sum() / true.sum(), abs=0.02)
            assert float(at["false_alarm_ratio"]) == pytest.approx((seen & ~true).sum() / seen.sum(), abs=0.02)
    lag = made["lag_correlation"].sel(population="all", lag=25)
    pairs = [(0, 5), (1, 6), (2, 7), (3, 8), (4, 9), (5, 10), (6, 11)]
    frames = cells.reshape(12, -1)
    s, r = (np.concatenate([frames[pair[k]] for pair in pairs]) for k in (0, 1))
    assert float(lag) == pytest.approx(np.corrcoef(s, r)[0, 1], abs=1e-5)
    assert float(made["lag_correlation"].sel(population="rain", lag=0)) == pytest.approx(1.0)


def test_intervals_hold_the_value_and_a_seed_gives_the_same_bits(archive):
    made, again = floor(granules(archive), seed=4), floor(granules(archive), seed=4)
    assert made.identical(again)
    for name in ("correlation", "normalised_rmse", "probability_of_detection", "lag_correlation"):
        low, value, high = (made[name + suffix].values for suffix in ("_low", "", "_high"))
        known = np.isfinite(low) & np.isfinite(high)
        assert known.any()
        assert (low[known] <= high[known]).all()
        assert ((low[known] <= value[known] + 0.02) & (value[known] <= high[known] + 0.02)).mean() > 0.9


def test_a_snapshot_of_steady_rain_is_perfect(tmp_path):
    """Where the rain does not change, the floor is no error at all."""
    rain = np.random.default_rng(0).gamma(1, 2, (1, *WIDE.shape))
    for stamp in times("2018-06-04T12:00", 6):
        name = str(stamp.astype("datetime64[m]")).replace(":", "")
        radar([stamp], grid=WIDE, values=rain).to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
    made = floor(granules(tmp_path), replicates=100)
    np.testing.assert_allclose(made["correlation"], 1.0, atol=1e-6)
    np.testing.assert_allclose(made["normalised_rmse"], 0.0, atol=1e-4)
    np.testing.assert_allclose(made["probability_of_detection"].sel(threshold=1.0), 1.0)


def test_the_cells_are_imergs_own():
    cells = cells_of(Grid(LATITUDE_LONGITUDE, 1.03, 46.07, 0.01, 0.01, 60, 50))
    assert (cells.west, cells.north, cells.dx) == pytest.approx((1.0, 46.1, 0.1))
    local = cells_of(Grid(LOCAL, 0, 255_000, 1000, 1000, 256, 255))
    assert local.shape == (25, 25) and local.dx == 10_000
    with pytest.raises(ConfigError, match="smaller than one cell"):
        cells_of(Grid(LOCAL, 0, 5000, 1000, 1000, 5, 5))


def test_what_cannot_be_scored_is_refused(archive, tmp_path):
    write_frames(tmp_path, times("2018-06-04T12:00", 5), grid=WIDE)
    with pytest.raises(ReadError, match="no half hour is complete"):
        floor(granules(tmp_path))
    with pytest.raises(ReadError, match="overlap"):
        floor(granules(archive), interval=(10, "start"))
    with pytest.raises(ConfigError, match="no length of a block"):
        floor(granules(archive), block="7h")
    with pytest.raises(ConfigError, match="too few"):
        floor(granules(archive), replicates=3)


@real.needs("meteonet/rainfall_NW_2016_08.3.npz")
@pytest.mark.filterwarnings("ignore:.*left out")
def test_meteonet_gives_the_known_floor():
    """28 August 2016: two regions together gave nRMSE 2.06 and 2.18 at the ends and lag correlations .47 and .04."""
    made = floor(granules(real.path("meteonet")), interval=(5, "start"))
    assert made.attrs["half_hours"] == 4
    at = made.sel(population="rain")

    def interval(name, **place):
        return tuple(float(at[name + side].sel(**place)) for side in ("_low", "_high"))

    for known, (low, high) in (
        (2.06, interval("normalised_rmse", minute=0)),
        (2.18, interval("normalised_rmse", minute=29)),
        (0.57, interval("correlation", minute=29)),
        (0.47, interval("lag_correlation", lag=10)),
        (0.04, interval("lag_correlation", lag=25)),
    ):
        assert low <= known <= high
    ends, middle = at["correlation"].sel(minute=[0, 29]), at["correlation"].sel(minute=[12, 17])
    assert float(ends.max()) + 0.15 < float(middle.min())
