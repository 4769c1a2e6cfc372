"""Spectra against pysteps, Parseval, a plain definition, and resolutions that are known in advance."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.errors import ConfigError
from ondee.score.spectra import spectrum
from ondee.score.sums import finish, merge, pool


def rain_of(seed, shape):
    """Rain, much of it dry."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.4, rng.gamma(0.7, 3.0, shape), 0.0).astype(np.float32)


def frames(values, **coordinates):
    values = np.asarray(values)
    return xr.DataArray(values, dims=("time", "y", "x")[-values.ndim :], coords=coordinates)


def power_law(rng, size, slope):
    """A periodic field whose power per mode is k to minus `slope`, and its wavenumbers in cycles per pixel."""
    wavenumber = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    wavenumber[0, 0] = np.inf
    waves = np.fft.rfft2(rng.normal(size=(size, size))) * wavenumber ** (-slope / 2)
    return waves, wavenumber


def test_power_without_taper_is_the_one_of_pysteps():
    """On one tile, without a taper, power is that of `rapsd` for the wavenumbers 1 to 31 that both know."""
    spectral = pytest.importorskip("pysteps.utils.spectral")
    one, two = rain_of(1, (64, 64)), rain_of(2, (64, 64))
    made = finish(spectrum(frames(one), frames(two), taper="none"))
    for field, values in (("estimate", one), ("truth", two)):
        theirs = spectral.rapsd(values.astype(float), fft_method=np.fft)
        ours = made.spectral_power.sel(transform="rain", field=field).values[::-1]
        np.testing.assert_allclose(ours[:31], theirs[1:], rtol=1e-6)
        decibel = np.where(values >= 0.1, 10 * np.log10(np.maximum(values, 0.1)), -15.0)
        theirs = spectral.rapsd(decibel, fft_method=np.fft)
        ours = made.spectral_power.sel(transform="decibel", field=field).values[::-1]
        np.testing.assert_allclose(ours[:31], theirs[1:], rtol=1e-6)


def test_total_power_is_the_variance():
    """Parseval: of fields without waves beyond the last class, all tiles' power is their variance."""
    rng = np.random.default_rng(0)
    wavenumber = np.hypot(np.fft.fftfreq(32, 1 / 32)[:, None], np.fft.rfftfreq(32, 1 / 32))
    tiles = [np.fft.irfft2(np.fft.rfft2(rng.normal(size=(32, 32))) * (np.round(wavenumber) <= 16)) for _ in range(6)]
    whole = np.block([tiles[:3], tiles[3:]])
    sums = spectrum(frames(whole), frames(whole), window=32, taper="none")
    total = float(sums.power.sel(transform="rain", field="truth").sum()) / 32**2
    assert total == pytest.approx(sum(tile.var() for tile in tiles), rel=1e-6)
    assert sums.tiles == 6


@pytest.mark.parametrize("window", [8, 9])
def test_sums_follow_the_definition_on_fields_with_holes(window):
    """A loop over tiles and modes of the full plane, complex, with oblong pixels and weights."""
    one, two = rain_of(3, (30, 35)), rain_of(4, (30, 35))
    one[3, 4] = two[20, 20] = np.nan
    weight = np.random.default_rng(5).random((30, 35)).astype(np.float32)
    y, x = xr.Variable("y", 3.0 * np.arange(30)[::-1], {"units": "km"}), xr.Variable("x", 2.0 * np.arange(35.0))
    x.attrs["units"] = "km"
    a, b, w = (frames(values, y=y, x=x) for values in (one, two, weight))
    sums = spectrum(a, b, weights=w, window=window)
    number = window // 2
    power, cross, modes, tiles = np.zeros((2, number)), np.zeros(number, complex), np.zeros(number), 0.0
    edge = [0.5 - 0.5 * np.cos(2 * np.pi * i / window) for i in range(window)]
    taper = np.array([[p * q for q in edge] for p in edge])
    side = 6.0**0.5
    for i in range(30 // window):
        for j in range(35 // window):
            place = np.s_[i * window : (i + 1) * window, j * window : (j + 1) * window]
            if np.isnan(one[place]).any() or np.isnan(two[place]).any():
                continue
            share = weight[place].astype(float).mean()
            tiles += share
            waves = [
                np.fft.fft2(taper * (f[place] - np.average(f[place].astype(float), weights=taper))) for f in (one, two)
            ]
            for m, down in enumerate(np.fft.fftfreq(window, 1 / window)):
                for n, right in enumerate(np.fft.fftfreq(window, 1 / window)):
                    k = round(np.hypot(down * side / 3, right * side / 2))
                    if 1 <= k <= number:
                        for f in (0, 1):
                            power[f, number - k] += share * abs(waves[f][m, n]) ** 2 / (taper**2).sum()
                        cross[number - k] += share * waves[0][m, n] * waves[1][m, n].conj() / (taper**2).sum()
                        modes[number - k] += share
    assert sums.tiles.item() == pytest.approx(tiles, rel=1e-6)
    np.testing.assert_allclose(sums.modes, modes, rtol=1e-6)
    np.testing.assert_allclose(sums.power.sel(transform="rain"), power, rtol=1e-6)
    np.testing.assert_allclose(sums.cross_power.sel(transform="rain"), cross.real, rtol=1e-6)
    np.testing.assert_allclose(cross.imag, 0, atol=1e-9)
    np.testing.assert_allclose(sums.wavelength, side * window / np.arange(number, 0, -1), rtol=1e-4)
    assert sums.attrs["pixel"] == pytest.approx(side, rel=1e-4)


@pytest.mark.parametrize("wavelength", [5.0, 10.0])
@pytest.mark.parametrize("filtered", [False, True])
def test_noise_sets_a_known_effective_resolution(wavelength, filtered):
    """Power k^-3 low-passed by G and noise of power N: coherence² = G²P/(G²P + N) is ½ where G²P = N."""
    size = 512
    rng = np.random.default_rng(int(wavelength) + filtered)
    waves, wavenumber = power_law(rng, size, 3.0)
    width = wavelength / 4 if filtered else 0.0
    low = np.exp(-0.5 * (2 * np.pi * wavenumber * width / 2) ** 2) if filtered else np.ones_like(wavenumber)
    low[0, 0] = 1.0
    crossing = 1 / wavelength
    gain = np.exp(-0.5 * (np.pi * crossing * width) ** 2)
    noise = np.sqrt(gain**2 * crossing**-3.0)
    truth = np.fft.irfft2(waves, (size, size))
    estimate = np.fft.irfft2(waves * low, (size, size)) + noise * rng.normal(size=(size, size))
    made = finish(spectrum(frames(estimate.astype(np.float32)), frames(truth.astype(np.float32))))
    found = 64 / float(made.effective_resolution.sel(transform="rain"))
    assert abs(found - 64 / wavelength) <= 1.0  # one class


def test_a_sharp_low_pass_gives_its_cut_by_power_and_by_coherence():
    """What is beyond the cut is replaced by independent rain of the same power: power sees nothing, coherence does."""
    size, cut = 512, 1 / 8
    rng = np.random.default_rng(7)
    waves, wavenumber = power_law(rng, size, 3.0)
    other, _ = power_law(rng, size, 3.0)
    truth = np.fft.irfft2(waves, (size, size))
    low = np.fft.irfft2(waves * (wavenumber < cut), (size, size))
    masked = np.fft.irfft2(np.where(wavenumber < cut, waves, other), (size, size))
    y = xr.Variable("y", 2.0 * np.arange(size)[::-1], {"units": "km"})
    x = xr.Variable("x", 2.0 * np.arange(size), {"units": "km"})
    truth, low, masked = (frames(values, y=y, x=x) for values in (truth, low, masked))
    blurred, noisy = (finish(spectrum(e, truth)).sel(transform="rain") for e in (low, masked))
    assert 64 * 2 / blurred.power_resolution.item() == pytest.approx(8, abs=1)
    assert 64 * 2 / noisy.effective_resolution.item() == pytest.approx(8, abs=1)
    assert noisy.power_resolution.item() == 4.0  # two pixels of 2 km
    assert noisy.effective_resolution.attrs == {"long_name": "effective resolution by coherence", "units": "km"}


def test_a_class_that_is_coherent_by_chance_claims_no_resolution():
    """Coherence must stay above √½ from the longest wave on: a lone class beyond a gap does not count."""
    rain = frames(rain_of(8, (64, 64)))
    sums = spectrum(rain, rain, window=64)
    sums["cross_power"].loc[{"wavelength": sums.wavelength[20]}] *= 0.5
    made = finish(sums)
    assert (made.effective_resolution == sums.wavelength[21].item()).all()
    sums["cross_power"].loc[{"wavelength": sums.wavelength[-1]}] *= 0.5
    assert finish(sums).effective_resolution.isnull().all()
    sums["power"].loc[{"wavelength": sums.wavelength[5], "field": "estimate"}] *= 0.4
    assert (finish(sums).power_resolution == sums.wavelength[6].item()).all()
    assert (finish(sums).spectral_error == 0).all()  # shorter than four pixels: no shape
    sums["power"].loc[{"wavelength": sums.wavelength[20], "field": "estimate"}] *= 0.4
    sums["power"].loc[{"wavelength": sums.wavelength[25], "field": "estimate"}] *= 1e-9
    long = int((sums.wavelength >= 4).sum())
    assert finish(sums).spectral_error.values == pytest.approx((-10 * np.log10(0.4) + 20) / long)


@given(seed=st.integers(0, 1000), cut=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_laws(seed, cut):
    """Merging times, the order of members, and missing pixels beyond the edge change nothing."""
    one, two = rain_of(seed, (4, 2, 20, 26)), rain_of(seed + 1, (4, 20, 26))
    one[:, :, 2, 3] = np.nan
    estimate = xr.DataArray(one, dims=("time", "member", "y", "x"), coords={"time": np.arange(4)})
    truth = xr.DataArray(two, dims=("time", "y", "x"), coords={"time": np.arange(4)})
    whole = spectrum(estimate, truth, window=8)
    parts = [slice(0, cut), slice(cut, 4)]
    pieces = merge(*(spectrum(estimate.isel(time=p), truth.isel(time=p), window=8) for p in parts))
    xr.testing.assert_allclose(pieces, whole)
    xr.testing.assert_allclose(spectrum(estimate[:, ::-1], truth, window=8), whole)
    xr.testing.assert_allclose(pool(spectrum(estimate, truth, over=("y", "x"), window=8), "time"), whole)
    wide = {"y": (0, 9), "x": (0, 5)}
    xr.testing.assert_allclose(spectrum(estimate.pad(wide), truth.pad(wide), window=8), whole)
    perfect = finish(spectrum(truth, truth, window=8))
    assert (perfect.effective_resolution == 2).all() and (perfect.power_resolution == 2).all()
    np.testing.assert_allclose(perfect.spectral_coherence, 1, rtol=1e-12)
    np.testing.assert_allclose(perfect.spectral_error, 0, atol=1e-12)


def test_dry_and_unobserved_tiles():
    """Dry tiles count, unobserved ones do not, and neither makes a number out of nothing."""
    dry = frames(np.zeros((16, 16), np.float32))
    rain = frames(rain_of(9, (16, 16)))
    made = finish(spectrum(dry, dry, window=8))
    assert made.spectral_tiles == 4
    assert made.spectral_coherence.isnull().all() and made.effective_resolution.isnull().all()
    assert (made.spectral_power == 0).all()
    assert finish(spectrum(dry + 3, rain, window=8)).spectral_ratio.isnull().all()
    nothing = finish(spectrum(rain * np.nan, rain, window=8))
    assert nothing.spectral_tiles == 0 and nothing.spectral_power.isnull().all()
    assert nothing.effective_resolution.attrs["units"] == "1"


@pytest.mark.parametrize(
    ("options", "fix"),
    [({"window": 4}, "8 pixels"), ({"window": 64}, "window=32"), ({"dry": 0.0}, "0.1"), ({"taper": "box"}, "hann")],
)
def test_options_out_of_range_are_refused(options, fix):
    rain = frames(rain_of(0, (32, 40)))
    with pytest.raises(ConfigError) as caught:
        spectrum(rain, rain, **{"window": 32, **options})
    assert fix in caught.value.fix
