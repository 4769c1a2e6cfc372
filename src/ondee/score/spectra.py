"""Spectra: how much rain varies at each wavelength, and from which wavelength on the estimate varies with the truth."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.fft import rfft2

from ondee.errors import ConfigError
from ondee.score.catalogue import Measure, register
from ondee.score.contingency import ratio
from ondee.score.fields import pixel_sides, pixel_size
from ondee.score.sums import framewise

__all__ = ["decibels", "require_window", "spectrum"]

Floats = NDArray[np.float64]

_TRANSFORMS = ("rain", "decibel")
_FIELDS = ("estimate", "truth")
_BATCH = 256
"""Tiles that are transformed at once."""
_GAP = 5.0
"""Dry pixels lie so many decibels below the smallest rain: with 0.1 mm h-1 at -10 dB they are at -15 dB."""

_SHORTEST = 4.0
"""Shortest wavelength in the error of the spectrum, pixels: below it, a grid holds no shape."""
_MOST = 20.0
"""Largest error of a wavelength, dB: power that is all but absent is not worse for being absent to the tenth digit."""


def spectrum(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    over: str | Iterable[Hashable] | None = None,
    weights: xr.DataArray | None = None,
    window: int = 64,
    dry: float = 0.1,
    taper: str = "hann",
) -> xr.Dataset:
    r"""Sum power and cross power of square tiles by wavelength, of the rain and of its decibels.

    Each frame is cut into tiles of `window` pixels from its first row and column on. A tile with a missing pixel, or
    cut by the edge, is left out. From each tile its mean (weighted by the taper) is taken, the rest is tapered, and
    :math:`|F|^2/\sum w^2` is averaged over the directions of the wave vector into the classes
    ``round(window / wavelength)`` = 1, 2, … ``window // 2``. These do not depend on the size of the domain.

    Parameters
    ----------
    estimate, truth
        ``([member, ]…, y, x)``, NaN where not observed. Members are pooled.
    over
        Dimensions to sum over, ``y`` and ``x`` among them; all where None.
    weights
        Weight of each pixel; a tile has the mean of its pixels' weights.
    window
        Side of a tile in pixels, at least 8.
    dry
        Smallest rain in the unit of the data: what is below counts as dry, and lies 5 dB below it in
        the transform ``decibel``, 10 log10 R. For 0.1 mm h-1 that is -15 dB.
    taper
        ``"hann"``, or ``"none"`` for fields that are periodic.

    Returns
    -------
    xarray.Dataset
        Sums ``power`` (field, transform, wavelength), ``cross_power`` (transform, wavelength), ``modes`` (wavelength)
        and ``tiles``. Wavelengths are in km, or in pixels where the coordinates do not tell the size of a pixel (the
        setting ``pixel`` is then -1). The cross power is summed over all directions of the wave vector, so its
        imaginary part is zero.

    Raises
    ------
    ConfigError
        If an option is out of range, or the fields are smaller than a tile.
    GridError, UnitError
        If estimate and truth are not on the same pixels or in the same unit.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from ondee.score import finish, spectrum
    >>> rain = xr.DataArray(np.random.default_rng(0).gamma(0.5, 2.0, (32, 32)), dims=("y", "x"))
    >>> float(finish(spectrum(rain, rain, window=32)).effective_resolution.sel(transform="rain"))
    2.0
    """
    require_window(truth, window)
    if not dry > 0:
        raise ConfigError(f"dry must be more than 0, and is {dry}", where="dry", fix="use 0.1, in mm h-1")
    if taper not in ("hann", "none"):
        raise ConfigError(f"there is no taper {taper!r}", where="taper", fix="use 'hann' or 'none'")
    shape = _taper(window, taper)
    classes, modes = _classes(window, pixel_sides(truth))

    def kernel(e: NDArray[Any], t: NDArray[Any], w: Floats | None) -> dict[str, NDArray[Any]]:
        return _sum_tiles(e, t, w, shape, classes, modes, dry)

    pixel = pixel_size(truth)
    wavelength = window / np.arange(window // 2, 0, -1) * (1.0 if pixel < 0 else pixel)
    unit = {"units": "1" if pixel < 0 else "km", "long_name": "wavelength" + (" in pixels" if pixel < 0 else "")}
    return framewise(
        "spectrum",
        kernel,
        estimate,
        truth,
        over=over,
        weights=weights,
        outputs={
            "power": ("field", "transform", "wavelength"),
            "cross_power": ("transform", "wavelength"),
            "modes": ("wavelength",),
            "tiles": (),
        },
        coordinates={
            "field": list(_FIELDS),
            "transform": list(_TRANSFORMS),
            "wavelength": ("wavelength", wavelength, unit),
        },
        settings={"window": window, "dry": dry, "taper": taper, "pixel": pixel},
    )


def decibels(rain: NDArray[Any], dry: float) -> Floats:
    """Rain in decibels, 10 log10 R, and 5 dB below the smallest rain `dry` where it is less; NaN stays."""
    wet = rain >= rain.dtype.type(dry)
    made = np.where(wet, 10 * np.log10(np.where(wet, rain.astype(float), 1.0)), 10 * np.log10(dry) - _GAP)
    return np.where(np.isfinite(rain), made, np.nan)


def require_window(field: xr.DataArray, window: int) -> None:
    """Refuse a window that is too small to hold waves, or larger than the field.

    Raises
    ------
    ConfigError
        If it is.
    """
    if window != int(window) or window < 8:
        raise ConfigError(f"a window of {window} pixels is too small", where="window", fix="use 8 pixels or more")
    size = min((field.sizes[dim] for dim in ("y", "x") if dim in field.dims), default=window)
    if size < window:
        raise ConfigError(
            f"the fields have {size} pixels on a side, fewer than a window of {window}",
            where=", ".join(f"{dim} {field.sizes[dim]}" for dim in ("y", "x") if dim in field.dims),
            fix=f"use window={size}" if size >= 8 else "use larger fields, of 8 pixels at least",
        )


def _taper(window: int, kind: str) -> Floats:
    """Weights of a tile, ``(y, x)``: the product of two periodic Hann windows, or ones."""
    if kind == "none":
        return np.ones((window, window))
    edge = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.asarray(np.outer(edge, edge))


def _classes(window: int, sides: tuple[float, float]) -> tuple[NDArray[np.intp], Floats]:
    """Class of each mode of ``rfft2`` (shortest wavelength first, -1 for none), and how many modes it stands for.

    The half plane of a real transform stands for the whole: all columns but the first (and the last, where the window
    is even) count twice. Waves are measured in km, so oblong pixels do not turn circles into ellipses.
    """
    side = np.sqrt(sides[0] * sides[1])
    down = np.fft.fftfreq(window, 1 / window) * side / sides[0]
    right = np.arange(window // 2 + 1) * side / sides[1]
    wavenumber = np.round(np.hypot(down[:, np.newaxis], right)).astype(np.intp)
    most = window // 2
    twice = np.full(wavenumber.shape, 2.0)
    twice[:, 0] = 1.0
    if window % 2 == 0:
        twice[:, -1] = 1.0
    return np.where((wavenumber >= 1) & (wavenumber <= most), most - wavenumber, -1), twice


def _tiles(frame: NDArray[Any], window: int) -> NDArray[Any]:
    """Complete tiles of a frame, ``(tile, y, x)``."""
    rows, columns = (size // window for size in frame.shape)
    cut = frame[: rows * window, : columns * window].reshape(rows, window, columns, window)
    return cut.swapaxes(1, 2).reshape(rows * columns, window, window)


def _sum_tiles(
    e: NDArray[Any],
    t: NDArray[Any],
    w: Floats | None,
    taper: Floats,
    classes: NDArray[np.intp],
    modes: Floats,
    dry: float,
) -> dict[str, NDArray[Any]]:
    """Sums of one frame."""
    window, number = len(taper), len(taper) // 2
    ours, true = _tiles(e, window), _tiles(t, window)
    weight = np.ones(len(true)) if w is None else _tiles(w, window).mean(axis=(1, 2))
    whole = np.isfinite(true).all(axis=(1, 2)) & np.isfinite(ours).all(axis=(1, 2))
    ours, true, weight = ours[whole], true[whole], weight[whole]
    counted = weight.sum()
    # A tile that is constant in both, dry as a rule, has no power: most of a radar composite need not be transformed.
    alive = np.flatnonzero((np.ptp(ours, axis=(1, 2)) > 0) | (np.ptp(true, axis=(1, 2)) > 0))
    power = np.zeros((2, 2, *modes.shape))
    cross = np.zeros((2, *modes.shape))
    for first in range(0, len(alive), _BATCH):
        some = alive[first : first + _BATCH]
        for i, name in enumerate(_TRANSFORMS):
            one, two = (_waves(values[some], name, taper, dry) for values in (ours, true))
            power[0, i] += np.tensordot(weight[some], one.real**2 + one.imag**2, 1)
            power[1, i] += np.tensordot(weight[some], two.real**2 + two.imag**2, 1)
            cross[i] += np.tensordot(weight[some], one.real * two.real + one.imag * two.imag, 1)

    inside = classes.ravel() >= 0

    def by_class(values: Floats) -> Floats:
        flat = (values * modes).reshape(-1, modes.size)[:, inside]
        found = [np.bincount(classes.ravel()[inside], row, minlength=number) for row in flat]
        return np.reshape(found, (*values.shape[:-2], number)).astype(float)

    return {
        "power": by_class(power),
        "cross_power": by_class(cross),
        "modes": by_class(np.full(modes.shape, counted)),
        "tiles": np.asarray(counted),
    }


def _waves(tiles: NDArray[Any], transform: str, taper: Floats, dry: float) -> NDArray[np.complex128]:
    """Transform of tapered tiles, so scaled that its squares are power per mode."""
    values = decibels(tiles, dry) if transform == "decibel" else tiles.astype(float)
    mean = np.tensordot(values, taper, 2) / taper.sum()
    values -= mean[:, np.newaxis, np.newaxis]
    values[np.ptp(values, axis=(1, 2)) == 0] = 0.0  # what rounding leaves of a constant is no power
    return np.asarray(rfft2(values * taper / np.sqrt((taper**2).sum())))


def _finest(holds: xr.DataArray) -> xr.DataArray:
    """Smallest wavelength from which something holds for it and all longer ones; NaN if it fails for the longest."""
    wavelength = holds["wavelength"].values

    def smallest(flags: NDArray[np.bool_]) -> Floats:
        stays = np.logical_and.accumulate(flags[..., ::-1], axis=-1)[..., ::-1]
        found = np.where(stays, wavelength, np.inf).min(axis=-1)
        return np.where(np.isfinite(found), found, np.nan)

    return xr.DataArray(xr.apply_ufunc(smallest, holds, input_core_dims=[["wavelength"]]))


def _finish(sums: xr.Dataset) -> xr.Dataset:
    """Spectra, their ratio and coherence, and the resolutions read off them."""
    power = ratio(sums["power"], sums["modes"])
    ours, true = power.sel(field="estimate", drop=True), power.sel(field="truth", drop=True)
    defined = (ours > 0) & (true > 0)
    level = xr.DataArray(10 * np.log10((ours / true).where(defined)))
    cross = ratio(sums["cross_power"], sums["modes"])
    waves = sums["wavelength"].values
    shapes = np.flatnonzero(waves >= _SHORTEST / 2 * waves.min() - 1e-9)  # the shortest class is that of two pixels
    coherence = (cross / np.sqrt((ours * true).where(defined))).clip(-1.0, 1.0)
    return xr.Dataset(
        {
            "spectral_power": power,
            "spectral_ratio": level,
            "spectral_coherence": coherence,
            "effective_resolution": _finest(coherence >= np.sqrt(0.5)),
            "power_resolution": _finest(level >= 10 * np.log10(0.5)),
            "spectral_error": abs(level.isel(wavelength=shapes).clip(-_MOST, _MOST)).mean("wavelength"),
            "spectral_tiles": sums["tiles"],
        }
    )


_HARRIS = "Harris et al. 2001, Journal of Hydrometeorology 2, radially averaged spectra of rain"
_GUILLOTEAU = "Guilloteau et al. 2021, Journal of Hydrometeorology 22, spectral coherence of precipitation products"

register(
    "spectrum",
    _finish,
    (
        Measure(
            "spectral_power",
            "power per mode (dB2 where the transform is decibel)",
            r"S_{ff}(k)=\langle|F_f|^2\rangle_k/\textstyle\sum w^2",
            _HARRIS,
            "says nothing of where; waves longer than the window and tiles with a missing pixel are not in it",
            axis="what",
            units="data2",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
        Measure(
            "spectral_ratio",
            "power of the estimate over that of the truth",
            r"10\log_{10}(S_{ee}/S_{tt})",
            _HARRIS,
            "noise has power too: 0 dB at a wavelength does not mean that its rain is real",
            axis="what",
            units="dB",
            best=0.0,
            bounds=(-np.inf, np.inf),
        ),
        Measure(
            "spectral_coherence",
            "spectral coherence",
            r"\gamma(k)=S_{et}/\sqrt{S_{ee}S_{tt}},\ S_{et}=\mathrm{Re}\langle F_eF_t^*\rangle_k/\textstyle\sum w^2",
            _GUILLOTEAU,
            "blind to amplitude; a displaced field loses it at short waves; of one tile it is large by chance at long",
            bounds=(-1.0, 1.0),
        ),
        Measure(
            "effective_resolution",
            "effective resolution by coherence",
            r"\min\{\lambda:\gamma(\lambda')\ge\sqrt{1/2}\ \forall\lambda'\ge\lambda\}",
            _GUILLOTEAU,
            "lies between two pixels and the window; undefined where even the longest wave is not coherent",
            units="km",
            best=0.0,
            bounds=(0.0, np.inf),
            stepped=True,
        ),
        Measure(
            "power_resolution",
            "resolution by power",
            r"\min\{\lambda:S_{ee}(\lambda')/S_{tt}(\lambda')\ge 1/2\ \forall\lambda'\ge\lambda\}",
            "after Skamarock 2004, Monthly Weather Review 132, loss of power; half of it is a convention",
            "an estimate that puts noise at short waves looks well resolved",
            axis="what",
            units="km",
            best=0.0,
            bounds=(0.0, np.inf),
            stepped=True,
        ),
        Measure(
            "spectral_error",
            "mean distance of the spectra",
            r"\langle\min(20,|10\log_{10}(S_{ee}/S_{tt})|)\rangle_{\lambda\ge 4\Delta}",
            "defined here, from the ratio of the power spectra",
            "counts each class alike, so mostly short waves, from four pixels on; 20 dB is the most that a class adds",
            axis="what",
            units="dB",
            best=0.0,
            bounds=(0.0, 20.0),
        ),
        Measure(
            "spectral_tiles",
            "tiles in the spectrum, by weight",
            r"N",
            "count of complete tiles",
            "tiles of one frame are not independent",
            axis="context",
            best=np.nan,
            bounds=(0.0, np.inf),
        ),
    ),
)
