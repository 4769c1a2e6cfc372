"""The section of a report that shows a storm in latents: reconstructed, rolled on, and beside what then came."""

from __future__ import annotations

from html import escape

import numpy as np
import xarray as xr

from ondee.errors import ConfigError
from ondee.plot.latent import draw_forecast
from ondee.plot.style import Style, encoded, moment
from ondee.report.parts import image, section
from ondee.report.retrieval import INSTALL
from ondee.units import WET

__all__ = ["LATENT_ANCHOR", "LATENT_HEADING", "TOLD", "forecast_words", "latent_section"]

LATENT_ANCHOR, LATENT_HEADING = "latents", "Latents of rain"
TOLD = (10, 30)
"""Minutes ahead of which the words tell."""
_NEEDED = ("reconstructed", "rolled", "persistent")


def latent_section(storm: xr.Dataset | None, numbers: xr.Dataset | None = None, *, style: Style = "paper") -> str:
    """Make the section, as HTML.

    Parameters
    ----------
    storm
        As of :func:`ondee.plot.latent.draw_forecast`; None where torch is not installed: the section then says how to
        install it.
    numbers
        Critical success index at 0.1 mm/h: ``reconstructed``, ``rolled (lead)``, ``persistent (lead)``; attributes
        ``run``, ``latents`` and ``pixels`` of a frame, ``seed`` and ``size`` (km) of the world, ``learnt_seed`` and
        ``learnt_size`` of the one that was learnt from.
    style
        ``paper`` or ``screen``.

    Raises
    ------
    ConfigError
        If numbers are given that lack a variable or a lead.
    """
    if storm is None:
        words = f"<p>Latents of rain need torch, which is not installed: <code>{escape(INSTALL)}</code>.</p>"
        return section(LATENT_ANCHOR, LATENT_HEADING, words)
    told = (
        "The last known frames of radar and their reconstruction; below, what came in the next hour, the "
        "latents of the framed frame rolled on and decoded, and that frame left as it is"
    )
    shown = image(encoded(draw_forecast(storm, style=style), ".png"), "png", told)
    caption = (
        f"{told}. Known up to {moment(storm['time'].values[-1])}. What is decoded is the median of each pixel: dry "
        "where rain is less likely than not, and smoother than radar."
    )
    parts = [f"<figure>\n{shown}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"]
    if numbers is not None:
        parts = [_opening(numbers), *parts, f"<p>{escape(forecast_words(numbers))} {_caution()}</p>"]
    return section(LATENT_ANCHOR, LATENT_HEADING, "\n".join(parts))


def forecast_words(numbers: xr.Dataset) -> str:
    """How well the reconstruction and both forecasts tell where it rained, in two sentences of plain text.

    Parameters
    ----------
    numbers
        As of :func:`latent_section`.

    Raises
    ------
    ConfigError
        If a variable or a lead is not there.
    """
    absent = [name for name in _NEEDED if name not in numbers]
    absent += [f"lead of {lead} min" for lead in TOLD if not absent and lead not in numbers["lead"].values]
    if absent:
        raise ConfigError(
            f"there is no {absent[0]} of the storm",
            where="numbers",
            fix=f"give {', '.join(_NEEDED)}, the forecasts by lead ({', '.join(map(str, TOLD))} min among them)",
        )
    ahead = [tuple(_value(numbers[name].sel(lead=lead)) for name in ("rolled", "persistent")) for lead in TOLD]
    (rolled, persistent), *later = ahead
    return (
        f"At {WET:g} mm/h the reconstruction of the known frames has a critical success index of "
        f"{_value(numbers['reconstructed'])}. {TOLD[0]} min ahead that of the rolled latents is {rolled} and that of "
        f"the last frame left as it is {persistent}"
        + "".join(f"; {lead} min ahead {one} and {other}" for lead, (one, other) in zip(TOLD[1:], later, strict=True))
        + "."
    )


def _value(array: xr.DataArray) -> str:
    value = float(array)
    return f"{value:.2f}" if np.isfinite(value) else "undefined"


def _opening(numbers: xr.Dataset) -> str:
    names = ("run", "pixels", "latents", "seed", "size", "learnt_seed", "learnt_size")
    about = {name: escape(str(numbers.attrs.get(name, "?"))) for name in names}
    return (
        "<p>The shipped autoencoder <code>{run}</code> writes each frame of {pixels} pixels as {latents} numbers, its "
        "latents, which are made to roll as rain moves: rolled on, they are a forecast. The storm is the wettest "
        "window of the wettest afternoon of the demo's own world (seed {seed}, {size} km wide), of which the model has "
        "learnt nothing: the synthetic archive that it learnt from is another one (seed {learnt_seed}, "
        "{learnt_size} km wide).</p>"
    ).format(**about)


def _caution() -> str:
    return (
        "One storm proves nothing: the table over events, with intervals and beside optical flow, is in the page "
        "on latents of the documentation (<code>docs/latent.md</code>)."
    )
