"""Known answers of a verification: an ensemble from the truth's own law, its mean, and copies of that mean."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fields import LAEA, radar
from ondee.collocation.reading import Reading
from ondee.grid import Grid
from ondee.output import write_netcdf
from ondee.verification import Settings, subject, verify

PLANE = Grid(LAEA, 3_000_000.0, -2_000_000.0, 1000.0, 1000.0, 64, 64)
DAYS, FRAMES, MEMBERS = 12, 4, 8
WANTED = Settings(
    thresholds=(0.1, 1.0, 2.0),
    scales=(1, 5, 21),
    window=32,
    scores=("event", "fractions", "point", "distribution", "spectrum", "spread", "ranks", "replicate"),
)


def unit(rng, width):
    """Unit Gaussian fields of a day, ``(frame, y, x)``, as smooth as a kernel of some pixels."""
    noise = gaussian_filter(rng.standard_normal((FRAMES, *PLANE.shape)), (0, width, width), mode="wrap")
    return noise / noise.std()


def draws(seed):
    """Truth, ensemble and one more draw of a day: all of one law, given what they share."""
    rng = np.random.default_rng(seed)
    shared = unit(rng, 3.0)
    fields = np.stack([np.sqrt(0.6) * shared + np.sqrt(0.4) * unit(rng, 1.0) for _ in range(MEMBERS + 2)], axis=1)
    rain = np.where(fields > 0.2, 0.1 + np.expm1(0.6 * (fields - 0.2)), 0.0).astype(np.float32)
    rain[:, :, :3, -5:] = np.nan
    return rain[:, 0], rain[:, 1:-1], rain[:, -1]


def write(folder, day, values):
    """Frames ``(time, [member, ]y, x)`` of a day."""
    folder.mkdir(exist_ok=True)
    made = radar(np.zeros((FRAMES, *PLANE.shape)), grid=PLANE, start=f"{day}T12:15", step=15, product=folder.name)
    if values.ndim == 4:
        kept = made["rain_rate"].attrs
        made = made.drop_vars("rain_rate").assign(rain_rate=(("time", "member", "y", "x"), values, kept))
        made = made.assign_coords(member=np.arange(values.shape[1]))
    else:
        made["rain_rate"].values[:] = values
    write_netcdf(made, folder / f"{day}.nc")


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Scores of the ensemble, of its mean, of one draw, and of an ensemble of copies of the mean."""
    folder = tmp_path_factory.mktemp("law")
    for index in range(DAYS):
        day = np.datetime64("2018-06-04") + index
        truth, members, draw = draws(index)
        mean = np.broadcast_to(members.mean(1, keepdims=True), members.shape)
        for name, values in {"truth": truth, "honest": members, "copies": mean, "draw": draw}.items():
            write(folder / name, day, values)
    truth, *estimates = (subject(str(folder / name), Reading(), {}) for name in ("truth", "honest", "copies", "draw"))
    made = verify(truth, estimates, WANTED, folder / "parts", replicates=400)
    assert made.facts["blocks"] == DAYS
    return {name: found.sel(stratum="all") for name, found in made.scores.items()}


def test_ranks_of_the_truth_are_flat(scores):
    ranks = scores["ranks"].sel(estimate="honest")
    frequency = ranks["rank_frequency"]
    assert frequency.sizes["rank"] == MEMBERS + 1
    np.testing.assert_allclose(frequency.sel(population="all"), 1 / (MEMBERS + 1), rtol=0.05)
    assert float(ranks["rank_flatness"].sel(population="all")) < 0.03
    assert float(ranks["outlier_share"].sel(population="all")) == pytest.approx(2 / (MEMBERS + 1), rel=0.03)


def test_spread_is_the_error(scores):
    spread = scores["spread"].sel(estimate="honest")
    assert float(spread["spread_skill_ratio"]) == pytest.approx(1.0, abs=0.03)
    assert float(spread["spread_skill_ratio_low"]) < 1 < float(spread["spread_skill_ratio_high"])


@pytest.mark.parametrize("name", ["critical_success_index", "fractions_skill_score", "correlation"])
def test_the_truth_is_one_more_member(scores, name):
    replicate = scores["replicate"].sel(estimate="honest")
    gap = f"replicate_gap_{name}"
    assert (replicate[f"{gap}_low"] < 0).all() and (replicate[f"{gap}_high"] > 0).all()
    assert (abs(replicate[gap]) < 0.02).all()
    assert (replicate[f"replicate_{name}"] > 0.1).all()  # 0 beside 0 would be no test


def test_a_member_rains_as_the_truth_does(scores):
    for name in ("honest", "draw"):
        found = scores["distribution"].sel(estimate=name)
        assert float(found["wet_fraction_ratio"]) == pytest.approx(1.0, abs=0.02)
        np.testing.assert_allclose(found["quantile_ratio"].sel(probability=[0.9, 0.99], method="nearest"), 1, atol=0.05)
        ratio = scores["spectrum"]["spectral_ratio"].sel(estimate=name, transform="rain")
        assert float(abs(ratio.sel(wavelength=slice(2, 5))).mean()) < 0.3  # dB


def test_the_error_of_a_draw_is_the_variance_twice(scores):
    error = scores["point"]["root_mean_square_error"].sel(population="all")
    expected = np.sqrt(2 / (1 + 1 / MEMBERS))  # 2 V beside V (1 + 1/M)
    for name in ("honest", "draw"):
        assert float(error.sel(estimate=name) / error.sel(estimate="honest mean")) == pytest.approx(expected, rel=0.02)
    assert float(scores["spread"]["ensemble_mean_rmse"].sel(estimate="honest")) == pytest.approx(
        float(error.sel(estimate="honest mean")), rel=1e-6
    )


def test_the_mean_is_no_rain(scores):
    distribution = scores["distribution"].sel(estimate="honest mean")
    assert float(distribution["wet_fraction_ratio_low"]) > 1.2
    assert float(distribution["quantile_ratio"].sel(probability=0.999, method="nearest")) < 0.9
    assert float(distribution["quantile_ratio_high"].sel(probability=0.99, method="nearest")) < 1
    ratio = scores["spectrum"]["spectral_ratio"].sel(estimate="honest mean", transform="rain")
    # what members do not share is divided by M in the mean: 9 dB where it is all there is
    np.testing.assert_allclose(ratio.sel(wavelength=slice(2.5, 5)), -10 * np.log10(MEMBERS), atol=1.2)
    assert abs(float(ratio.isel(wavelength=-1))) < 3


def test_the_mean_is_better_placed_and_less_real(scores):
    csi = scores["event"]["critical_success_index"].sel(threshold=1.0)
    axes = scores["axes"]
    for name in ("honest", "draw"):
        assert float(csi.sel(estimate="honest mean")) > float(csi.sel(estimate=name))
        mean, drawn = (axes["realism_error"].sel(estimate=which) for which in ("honest mean", name))
        assert float(mean) > 4 * float(drawn)
        assert float(axes["realism_error_low"].sel(estimate="honest mean")) > float(
            axes["realism_error_high"].sel(estimate=name)
        )


def test_copies_of_the_mean_are_no_ensemble(scores):
    copies = {name: scores[name].sel(estimate="copies") for name in ("ranks", "spread", "replicate", "point")}
    assert float(copies["spread"]["spread_skill_ratio_high"]) < 0.01
    frequency = copies["ranks"]["rank_frequency"].sel(population="wet")
    assert float(frequency.isel(rank=[0, -1]).sum()) > 0.99
    assert float(copies["ranks"]["rank_flatness_low"].sel(population="all")) > 0.5
    for name in ("critical_success_index", "fractions_skill_score", "correlation"):
        assert (copies["replicate"][f"replicate_gap_{name}_low"] > 0.05).all()
    mean = scores["point"].sel(estimate="honest mean")
    np.testing.assert_allclose(copies["point"]["root_mean_square_error"], mean["root_mean_square_error"], rtol=1e-6)
