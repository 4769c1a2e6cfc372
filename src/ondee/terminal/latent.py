"""What latents made of a storm, as a few sentences."""

from __future__ import annotations

import xarray as xr
from rich.console import Console

from ondee.report.latent import forecast_words
from ondee.report.retrieval import INSTALL

__all__ = ["show_forecast"]


def show_forecast(numbers: xr.Dataset | None, console: Console) -> None:
    """Print how well a storm was reconstructed and told ahead.

    Parameters
    ----------
    numbers
        As of :func:`ondee.report.latent.latent_section`; None where torch is not installed, which is told.
    console
        Where to print.

    Raises
    ------
    ConfigError
        If numbers lack a variable.
    """
    if numbers is None:
        text = f"Latents of rain were left out, since torch is not installed: {INSTALL}"
    else:
        text = f"Latents of rain, one storm, which proves nothing. {forecast_words(numbers)}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
