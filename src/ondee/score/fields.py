"""Estimate, truth and weights as arrays of one order, once it is sure that they lie on the same pixels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, GridError, UnitError
from ondee.units import DEGREE, canonical

__all__ = ["MEMBER", "Fields", "Output", "pixel_sides", "pixel_size", "require_same_coordinates", "spacing"]

MEMBER = "member"
"""Dimension of an ensemble."""
Array = NDArray[Any]
Output = tuple[str, ...]
"""Names of the dimensions that a kernel adds to those that are kept."""


@dataclass(frozen=True)
class Fields:
    """Estimate, truth and weights as arrays of the same order of dimensions: ``(kept, *pooled)``."""

    estimate: Array
    truth: Array
    weight: Array | None
    others: list[Array]
    kept: dict[str, Any]
    pooled: tuple[str, ...]
    members: int
    units: str

    @classmethod
    def of(
        cls,
        estimate: xr.DataArray,
        truth: xr.DataArray,
        over: str | Iterable[Hashable] | None,
        weights: xr.DataArray | None,
        others: Sequence[xr.DataArray],
        *,
        stack: bool,
        same_units: bool,
    ) -> Fields:
        """Bring fields into one order of dimensions; refuse those that are not on the same pixels or in one unit."""
        require_same_coordinates([truth, estimate, *([] if weights is None else [weights]), *others])
        units = _units(estimate, truth) if same_units else canonical(str(truth.attrs.get("units", "")))
        _require_dimensions(estimate, truth, weights, others, stack)
        pooled = _pooled(truth, over)
        own = [dim for dim in estimate.dims if dim not in truth.dims and dim != MEMBER]
        kept = [*own, *(dim for dim in truth.dims if dim not in pooled)]
        sizes = {dim: (estimate if dim in own else truth).sizes[dim] for dim in (*kept, *pooled)}
        order = (*kept, *pooled)

        def ordered(array: xr.DataArray, first: tuple[Hashable, ...] = ()) -> Array:
            """Values in the common order, without a copy where they are in it already."""
            wanted = (*first, *order)
            found = array.transpose(*(dim for dim in wanted if dim in array.dims)).values
            places = tuple(slice(None) if dim in array.dims else np.newaxis for dim in wanted)
            full = np.broadcast_to(found[places], (*found.shape[: len(first)], *(sizes[dim] for dim in order)))
            rows = int(np.prod([sizes[dim] for dim in kept]))
            return full.reshape((*found.shape[: len(first)], rows, *(sizes[dim] for dim in pooled)))

        values = estimate if MEMBER in estimate.dims else estimate.expand_dims(MEMBER)
        coordinates = {
            str(dim): source.coords[dim] for dim in kept for source in (truth, estimate) if dim in source.coords
        }
        return cls(
            ordered(values, (MEMBER,)),
            ordered(truth),
            None if weights is None else ordered(weights),
            [ordered(other) for other in others],
            {"dims": tuple(map(str, kept)), "sizes": tuple(sizes[dim] for dim in kept), "coords": coordinates},
            tuple(map(str, pooled)),
            values.sizes[MEMBER],
            units,
        )

    def estimates(self, stack: bool, piece: Any) -> Iterator[Array]:
        """The estimate's part: all members at once, or one after the other."""
        if stack:
            yield self.estimate[(slice(None), *piece)]
        else:
            yield from (member[piece] for member in self.estimate)

    def dataset(
        self,
        score: str,
        sums: Mapping[str, Array],
        outputs: Mapping[str, Output],
        coordinates: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> xr.Dataset:
        """Sums with their dimensions, coordinates and settings."""
        taken = {*self.kept["dims"]} & {dim for added in outputs.values() for dim in added}
        if taken:
            name = min(taken)
            raise GridError(
                f"the fields have a dimension {name!r}, and so have the sums of {score}",
                where=f"dimensions {', '.join(self.kept['dims'])}",
                fix=f"give it another name: estimate.rename({name}='estimate')",
            )
        data = {
            name: ((*self.kept["dims"], *added), np.reshape(sums[name], (*self.kept["sizes"], *sums[name].shape[1:])))
            for name, added in outputs.items()
        }
        attributes = {"score": score, "data_units": self.units, **settings}
        return xr.Dataset(data, coords={**self.kept["coords"], **coordinates}, attrs=attributes)


def spacing(field: xr.DataArray) -> tuple[float, float]:
    """Distance of neighbouring pixels along y and x in km; NaN where the coordinates do not tell.

    Parameters
    ----------
    field
        With coordinates ``y`` and ``x`` in ``m``, ``km`` or degrees. On a grid of longitude and latitude the eastward
        distance is the one in the middle.
    """
    found = []
    for name in ("y", "x"):
        values = np.asarray(field[name].values, float) if name in field.coords else np.empty(0)
        step = abs(values[-1] - values[0]) / (values.size - 1) if values.size > 1 else np.nan
        units = str(field[name].attrs.get("units", "")) if name in field.coords else ""
        if units.startswith("degree"):
            middle = float(np.mean(field["y"].values)) if "y" in field.coords else 0.0
            found.append(step * DEGREE * (np.cos(np.deg2rad(middle)) if name == "x" else 1.0))
        else:
            found.append(step * {"m": 1e-3, "km": 1.0}.get(units, np.nan))
    return float(found[0]), float(found[1])


def pixel_sides(field: xr.DataArray) -> tuple[float, float]:
    """Sides of a pixel along y and x in km, to five digits; 1 and 1 where the coordinates do not tell.

    Digits beyond would let sums of the same grid differ by the rounding of its coordinates.
    """
    sides = spacing(field)
    if not all(np.isfinite(side) and side > 0 for side in sides):
        return 1.0, 1.0
    return float(f"{sides[0]:.5g}"), float(f"{sides[1]:.5g}")


def pixel_size(field: xr.DataArray) -> float:
    """Side of the square that is as large as a pixel, km; -1 where the coordinates do not tell."""
    sides = spacing(field)
    if not all(np.isfinite(side) and side > 0 for side in sides):
        return -1.0
    return float(f"{np.sqrt(sides[0] * sides[1]):.5g}")


def _pooled(truth: xr.DataArray, over: str | Iterable[Hashable] | None) -> tuple[Hashable, ...]:
    """Dimensions to sum over, y and x last."""
    wanted = truth.dims if over is None else (over,) if isinstance(over, str) else tuple(over)
    wanted = tuple(dim for dim in wanted if dim != MEMBER)  # members are always pooled or stacked
    absent = [dim for dim in wanted if dim not in truth.dims]
    if absent:
        raise GridError(
            f"the truth has no dimension {absent[0]!r}",
            where=f"over={over!r}",
            fix="sum over some of: " + ", ".join(map(str, truth.dims)),
        )
    return (*(dim for dim in truth.dims if dim in wanted and dim not in ("y", "x")), *(d for d in "yx" if d in wanted))


def _units(estimate: xr.DataArray, truth: xr.DataArray) -> str:
    """Unit of both."""
    found = [canonical(str(array.attrs["units"])) if "units" in array.attrs else None for array in (estimate, truth)]
    if found[0] != found[1]:
        raise UnitError(
            f"the estimate is in {found[0]!r}, the truth in {found[1]!r}",
            where=f"{_name(estimate, 'estimate')} and {_name(truth, 'truth')}",
            fix="bring both into one unit and say so with ondee.units.tag(array, 'rain_rate')",
        )
    return found[1] or ""


def _require_dimensions(
    estimate: xr.DataArray,
    truth: xr.DataArray,
    weights: xr.DataArray | None,
    others: Sequence[xr.DataArray],
    stack: bool,
) -> None:
    if stack and MEMBER not in estimate.dims:
        raise ConfigError(
            "an ensemble is needed: the estimate has no dimension 'member'",
            where=f"estimate with {', '.join(map(str, estimate.dims))}",
            fix="give the members along a dimension 'member'; a single field is scored by event, point and fractions",
        )
    if MEMBER in truth.dims:
        raise GridError("the truth has members", where="truth", fix="choose one: truth.isel(member=0)")
    lacking = [dim for dim in truth.dims if dim not in estimate.dims]
    if lacking:
        raise GridError(
            f"the estimate has no dimension {lacking[0]!r}",
            where=f"estimate with {', '.join(map(str, estimate.dims))}",
            fix="give an estimate for each truth, such as estimate.broadcast_like(truth)",
        )
    for array in [*([] if weights is None else [weights]), *others]:
        if set(array.dims) - set(truth.dims):
            raise GridError(
                f"the weights have dimensions that the truth lacks: {', '.join(map(str, array.dims))}",
                where=_name(array, "weights"),
                fix="give them on dimensions of the truth",
            )


def require_same_coordinates(arrays: Sequence[xr.DataArray]) -> None:
    """Refuse fields that are not on the same pixels at the same times; nothing is matched behind the caller's back.

    Parameters
    ----------
    arrays
        Arrays that share dimensions.

    Raises
    ------
    GridError
        If a dimension that they share has another size or other coordinates.
    """
    for dim in {dim for array in arrays for dim in array.dims}:
        sizes = {array.sizes[dim] for array in arrays if dim in array.dims}
        held = [array[dim].values for array in arrays if dim in array.coords and dim in array.dims]
        if len(sizes) > 1 or not all(_same(held[0], values) for values in held[1:]):
            raise GridError(
                f"estimate and truth differ in {dim}",
                where=f"{dim}: " + " and ".join(_span(array, dim) for array in arrays if dim in array.dims),
                fix="bring both onto one grid and clock first: ondee.collocation.regrid and means, or xarray.align",
            )


def _same(one: Array, other: Array) -> bool:
    """Whether coordinates agree, numbers up to a thousandth of their step."""
    if one.dtype.kind not in "iuf" or other.dtype.kind not in "iuf":
        return bool(np.array_equal(one, other))
    if not one.size or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return bool(np.array_equal(one, other))
    step = abs(float(one[-1]) - float(one[0])) / (one.size - 1) if one.size > 1 else 1e-3 * abs(float(one[0]))
    return bool(np.allclose(one, other, rtol=0.0, atol=1e-3 * step + 1e-12))


def _name(array: xr.DataArray, otherwise: str) -> str:
    return otherwise if array.name is None else str(array.name)


def _span(array: xr.DataArray, dim: Hashable) -> str:
    values = array[dim].values if dim in array.coords else np.arange(array.sizes[dim])
    return f"{array.sizes[dim]} from {values[0]} to {values[-1]}" if values.size else "none"
