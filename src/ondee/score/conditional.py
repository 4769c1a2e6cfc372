"""Any score in the classes of another variable: rain by brightness temperature, by height, by quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import xarray as xr

from ondee.errors import ConfigError, GridError
from ondee.score.contingency import rising
from ondee.score.fields import require_same_coordinates

__all__ = ["within"]


def within(
    score: Callable[..., xr.Dataset],
    estimate: xr.DataArray,
    truth: xr.DataArray,
    *,
    given: xr.DataArray,
    edges: Sequence[float],
    **settings: Any,
) -> xr.Dataset:
    """Sum a score in each class of another variable.

    A right distribution in the wrong places passes every pooled score of distribution; in the classes of the cloud's
    temperature it does not.

    Parameters
    ----------
    score
        A function of :mod:`ondee.score`, such as :func:`ondee.score.distribution`.
    estimate, truth
        The fields.
    given
        The other variable, on dimensions of the truth: brightness temperature at 10.8 µm, say. Where it is missing, or
        outside the edges, a pixel is in no class.
    edges
        Bounds of the classes, ascending, in the unit of `given`; a class holds its lower bound, the last its upper
        bound too.
    **settings
        Arguments of the score.

    Returns
    -------
    xarray.Dataset
        Sums with a further dimension ``given``, its coordinate the middle of each class; ``given_low`` and
        ``given_high`` are its bounds.

    Raises
    ------
    ConfigError
        If the edges do not ascend, or are fewer than two.
    GridError
        If `given` does not lie on the pixels of the truth.

    Examples
    --------
    >>> from ondee.score import finish, point, within
    >>> truth = xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="x")
    >>> cold = xr.DataArray([210.0, 215.0, 250.0, 290.0], dims="x")
    >>> sums = within(point, truth + 1, truth, given=cold, edges=[200, 220, 300])
    >>> finish(sums).mean_truth.sel(population="all").values.tolist()
    [1.5, 3.5]
    """
    bounds = rising(edges, "edges")
    if bounds.size < 2:
        raise ConfigError("one edge bounds no class", where="edges", fix="give at least two, such as (200, 220, 240)")
    if set(given.dims) - set(truth.dims):
        raise GridError(
            f"the other variable has dimensions that the truth lacks: {', '.join(map(str, given.dims))}",
            where="given",
            fix="give it on dimensions of the truth",
        )
    require_same_coordinates([truth, given])
    # By values: coordinates that differ by rounding alone would otherwise be aligned to nothing.
    other = given.drop_vars(list(given.coords)).broadcast_like(truth.drop_vars(list(truth.coords)))
    other = other.transpose(*truth.dims).assign_coords(truth.coords)
    parts = []
    for low, high in pairwise(bounds):
        inside = (other >= low) & ((other <= high) if high == bounds[-1] else (other < high))
        parts.append(score(estimate, truth.where(inside), **settings))
    attributes = {"units": str(given.attrs["units"])} if "units" in given.attrs else {}
    name = str(given.attrs.get("long_name", "given" if given.name is None else given.name))
    middles = xr.Variable("given", (bounds[:-1] + bounds[1:]) / 2, {**attributes, "long_name": name})
    made = xr.concat(parts, dim="given", join="outer", fill_value=0.0, combine_attrs="override")
    return made.assign_coords(
        given=middles,
        given_low=("given", bounds[:-1], {**attributes, "long_name": f"lower bound of {name}"}),
        given_high=("given", bounds[1:], {**attributes, "long_name": f"upper bound of {name}"}),
    )
