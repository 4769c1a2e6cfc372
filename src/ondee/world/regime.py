"""Kinds of weather: the numbers that make synthetic rain frontal, convective, warm or all but dry.

They were chosen so that the rain lies inside the range of radar events; ``docs/realism.md`` shows both.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["REGIMES", "Regime"]


@dataclass(frozen=True)
class Regime:
    """A kind of weather.

    Parameters
    ----------
    lifetime, growth
        Minutes after which a pattern of 64 km has a correlation of 1/e with itself, seen along the wind; it
        goes with the scale to the power `growth`.
    spectrum
        Exponent of the power spectrum of the Gaussian field.
    threshold
        Value of the unit Gaussian field above which it rains: it sets the wet fraction.
    edge_rate, steepness
        Rain rate is ``edge_rate exp(steepness (G - threshold))``, in mm h-1, softened to 0 at the edge.
    most
        Rain rate that the stratiform rain nears but does not reach, in mm h-1.
    stretch
        Ratio of the axes of the patterns, which lie along a direction of their own.
    speed
        Of the wind, in m s-1: that of cells and of patterns of some ten km.
    propagation
        Share of the wind at which the largest patterns and the systems of cells move.
    cells
        Cells born in an hour on 100 x 100 km.
    peak
        Median of the cells' largest rain rate, in mm h-1.
    lines
        Share of the systems of cells that are lines, which lie along the patterns.
    texture
        How much the Gaussian field varies the cells: their rain rate is multiplied by ``exp(texture G)``, nearly.
    """

    lifetime: float
    growth: float
    spectrum: float
    threshold: float
    edge_rate: float
    steepness: float
    most: float
    stretch: float
    speed: float
    propagation: float
    cells: float
    peak: float
    lines: float
    texture: float


REGIMES = {
    "frontal": Regime(
        lifetime=85,
        growth=0.75,
        spectrum=2.6,
        threshold=0.2,
        edge_rate=0.35,
        steepness=1.2,
        most=40.0,
        stretch=2.1,
        speed=17.0,
        propagation=0.6,
        cells=1.0,
        peak=10.0,
        lines=0.8,
        texture=0.45,
    ),
    "embedded": Regime(
        lifetime=80,
        growth=0.75,
        spectrum=2.6,
        threshold=0.55,
        edge_rate=0.31,
        steepness=1.4,
        most=50.0,
        stretch=2.5,
        speed=12.5,
        propagation=0.5,
        cells=5.0,
        peak=16.0,
        lines=0.6,
        texture=0.45,
    ),
    "convective": Regime(
        lifetime=150,
        growth=1.05,
        spectrum=2.5,
        threshold=1.0,
        edge_rate=0.34,
        steepness=1.6,
        most=60.0,
        stretch=4.0,
        speed=10.0,
        propagation=0.55,
        cells=10.0,
        peak=21.0,
        lines=0.95,
        texture=0.65,
    ),
    "warm": Regime(
        lifetime=100,
        growth=1.0,
        spectrum=2.7,
        threshold=0.9,
        edge_rate=0.4,
        steepness=1.35,
        most=15.0,
        stretch=2.0,
        speed=8.0,
        propagation=0.8,
        cells=4.0,
        peak=7.5,
        lines=0.3,
        texture=0.6,
    ),
    "dry": Regime(
        lifetime=80,
        growth=0.7,
        spectrum=2.7,
        threshold=2.4,
        edge_rate=0.27,
        steepness=1.0,
        most=10.0,
        stretch=1.6,
        speed=10.0,
        propagation=0.8,
        cells=0.0,
        peak=10.0,
        lines=0.0,
        texture=0.45,
    ),
}
"""The kinds of weather that :func:`ondee.world.rain.rain` makes."""
