import numpy as np
import xarray as xr

from ondee.validation.sampling import floor_shares


def table(floor, mean, *, cells=100.0, seen=100.0):
    """Sums of squared errors by day of one sensor."""
    days = len(floor)
    errors = np.array([mean, floor]).T[:, :, None, None]
    weights = np.broadcast_to(np.array([cells, seen])[None, :, None, None], errors.shape)
    dims = ("time", "comparison", "source", "population")
    coordinates = {
        "time": np.datetime64("2018-06-01", "ns") + np.arange(days) * np.timedelta64(1, "D"),
        "comparison": ["mean", "floor"],
        "source": ["GMI"],
        "population": ["all"],
    }
    return xr.Dataset({"sum_square_errors": (dims, errors), "weight": (dims, weights)}, coords=coordinates)


def share(*given, **more):
    found = floor_shares(table(*given, **more), replicates=400, seed=0, level=0.95)
    return [float(found[f"floor_share{end}"].item()) for end in ("", "_low", "_high")]


def test_the_share_is_that_of_the_mean_squared_errors():
    assert np.isclose(share([1.0, 3.0, 2.0], [4.0, 4.0, 4.0])[0], 0.5)
    assert np.isclose(share([1.0, 3.0, 2.0], [4.0, 4.0, 4.0], seen=95.0)[0], 0.5 / 0.95)


def test_days_that_are_hard_for_both_do_not_widen_the_interval():
    rng = np.random.default_rng(3)
    hard = rng.lognormal(0, 1.2, 12)
    _, low, high = share(0.6 * hard, hard)
    assert np.isclose([low, high], 0.6).all()
    value, low, high = share(0.6 * rng.permutation(hard), hard)
    assert low < value < high and high / low > 1.5


def test_the_interval_covers_the_share():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(60):
        hard = rng.lognormal(0, 0.8, 14)
        _, low, high = share(0.7 * hard * rng.lognormal(0, 0.3, 14) / np.exp(0.045), hard)
        held += low <= 0.7 <= high
    assert held >= 52


def test_a_share_of_other_cells_or_of_nothing_is_not_told():
    assert np.isnan(share([1.0, 2.0], [4.0, 4.0], seen=60.0)).all()
    assert np.isnan(share([1.0, 2.0], [0.0, 0.0])).all()
    assert np.isnan(share([0.0, 0.0], [1.0, 2.0])).all()
