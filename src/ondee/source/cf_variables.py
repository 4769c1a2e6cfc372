"""Which variable of a CF file is which quantity, and its values in the unit of the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError, ReadError
from ondee.source.assembly import Variable
from ondee.units import VOCABULARY, canonical, require

__all__ = ["decoded", "kept_attributes", "resolve"]

_RAIN = ("rain_rate", "rain_amount")
_ALIASES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bt", "tb", "tbb", "brightness_temp", "btemp", "t_b"), ("brightness_temperature",)),
    **dict.fromkeys(
        (
            *("rr", "rain", "rainrate", "rainfall", "rainfall_rate", "rain_intensity", "radar_rain", "rate"),
            *("precip", "precipitation", "precipitation_rate", "precip_rate", "precipitation_intensity"),
            "crr_intensity",
        ),
        _RAIN,
    ),
    **dict.fromkeys(
        ("acrr", "rainfall_amount", "precipitation_amount", "precip_accum", "accumulation", "crr_accum"),
        ("rain_amount",),
    ),
    **dict.fromkeys(
        ("dbz", "dbzh", "dbz_h", "radar_reflectivity", "equivalent_reflectivity_factor"), ("reflectivity",)
    ),
    **dict.fromkeys(("refl", "albedo"), ("reflectance",)),
    **dict.fromkeys(("qi", "qind", "quality_flag_fraction"), ("quality",)),
    **dict.fromkeys(("pc", "precipitation_probability", "rain_likelihood"), ("precipitation_likelihood",)),
}
_STANDARD: dict[str, tuple[str, ...]] = {
    **{entry.standard_name: (name,) for name, entry in VOCABULARY.items() if entry.standard_name},
    "brightness_temperature": ("brightness_temperature",),
    "rainfall_rate": _RAIN[:1],
    "rainfall_amount": _RAIN[1:],
    "precipitation_amount": _RAIN[1:],
    "toa_reflectance": ("reflectance",),
}
_CELSIUS = frozenset(
    {"degC", "deg_C", "degree_C", "degrees_C", "degree_Celsius", "degrees_Celsius", "celsius", "Celsius", "°C"}
)
_DROPPED = frozenset(
    {"units", "standard_name", "long_name", "grid_mapping", "coordinates", "scale_factor", "add_offset", "_FillValue"}
    | {"missing_value", "valid_min", "valid_max", "valid_range", "_Unsigned", "ancillary_variables", "DIMENSION_LIST"}
    | {"_Netcdf4Dimid", "_Netcdf4Coordinates", "REFERENCE_LIST", "CLASS", "NAME", "_ARRAY_DIMENSIONS"}
)


def resolve(
    file: xr.Dataset, candidates: Sequence[str], names: Mapping[str, str | None], *, where: object
) -> dict[str, list[str]]:
    """Say which variables are which quantity.

    A variable counts by the name that the user gives it, else by its own name if that is one of the
    vocabulary, else by its ``standard_name``, else by a small table of usual names.

    Parameters
    ----------
    file
        The file, not decoded.
    candidates
        Variables on the horizontal grid.
    names
        Variable → quantity, as the user says it; None to leave a variable out.
    where
        The file, for errors.

    Returns
    -------
    dict
        Quantity → its variables: one, or several channels of one quantity in variables of their own.

    Raises
    ------
    ReadError
        If none, or more than one variable that is no channel, is a quantity that ondee knows.
    ConfigError
        If `names` names a variable that is not there or a quantity that is not in the vocabulary.
    """
    _check_names(candidates, names, where)
    found: dict[str, dict[int, list[str]]] = {}
    for name in candidates:
        told = _quantity(name, file[name].attrs, names)
        if told is not None:
            rank, quantity = told
            found.setdefault(quantity, {}).setdefault(rank, []).append(name)
    if not found:
        raise ReadError(
            f"no variable is a quantity that ondee knows; there are {_listed(file, candidates)}",
            where=where,
            fix="say what is what: ondee.open(path, names={'file_variable': 'quantity'}); "
            "quantities: rain_rate, rain_amount, brightness_temperature …",
        )
    return {quantity: _best(quantity, ranked, file, where) for quantity, ranked in found.items()}


def _check_names(candidates: Sequence[str], names: Mapping[str, str | None], where: object) -> None:
    if not isinstance(names, Mapping):
        raise ConfigError("names is no mapping", where="names", fix="give names={'file_variable': 'quantity'}")
    for name, quantity in names.items():
        if name not in candidates:
            raise ConfigError(
                f"names: there is no variable {name!r} on the grid of the file",
                where=where,
                fix="use one of: " + (", ".join(candidates) or "none"),
            )
        if quantity and quantity not in VOCABULARY:
            raise ConfigError(
                f"names: {quantity!r} is not in the vocabulary",
                where=where,
                fix="use one of: " + ", ".join(sorted(VOCABULARY)),
            )


def _quantity(name: str, attributes: Mapping[str, Any], names: Mapping[str, str | None]) -> tuple[int, str] | None:
    """Quantity of a variable and how it was known: 0 the user, 1 its name, 2 its standard name, 3 a usual name."""
    if name in names:
        quantity = names[name]
        return (0, quantity) if quantity else None
    if name in VOCABULARY:
        return 1, name
    units = canonical(str(attributes.get("units", "")))
    known = ((2, _STANDARD.get(str(attributes.get("standard_name", "")))), (3, _ALIASES.get(name.lower())))
    for rank, quantities in known:
        if quantities:
            fitting = [quantity for quantity in quantities if VOCABULARY[quantity].units == units]
            return rank, (fitting or quantities)[0]
    return None


def _best(quantity: str, ranked: Mapping[int, list[str]], file: xr.Dataset, where: object) -> list[str]:
    """Variables that hold a quantity by the best evidence there is."""
    variables = ranked[min(ranked)]
    channels = quantity in ("brightness_temperature", "reflectance") and all(
        file[name].dims == file[variables[0]].dims and file[name].ndim <= 3 for name in variables
    )
    if len(variables) > 1 and not channels:
        raise ReadError(
            f"{len(variables)} variables could be {quantity}: {_listed(file, variables)}",
            where=where,
            fix=f"say which: ondee.open(path, names={{{variables[0]!r}: {quantity!r}}})",
        )
    return variables


def _listed(file: xr.Dataset, names: Sequence[str]) -> str:
    return ", ".join(f"{name} [{file[name].attrs.get('units', 'no unit')}]" for name in names) or "none"


# ---- values


def decoded(
    raw: NDArray[Any], attributes: Mapping[str, Any], quantity: str, *, units: str | None, where: object
) -> Variable:
    """Values of a variable in the unit of its quantity.

    Parameters
    ----------
    raw
        As the file holds them, time first.
    attributes
        Of the variable in the file: fill, scale, valid range, unit.
    quantity
        What it is.
    units
        Its unit as the user says it; None for that of the file.
    where
        The file, for errors.

    Raises
    ------
    UnitError
        If the unit is another one than the quantity's; only °C becomes K.
    ReadError
        If the variable holds no numbers.
    """
    if raw.dtype.kind not in "iuf":
        raise ReadError(
            f"the variable of {quantity} holds no numbers but {raw.dtype}",
            where=where,
            fix="open a file that holds numbers, or name another variable with names={…}",
        )
    scale, offset = _number(attributes, "scale_factor", 1.0), _number(attributes, "add_offset", 0.0)
    if not (np.isfinite([scale, offset]).all() and scale):
        raise ReadError(
            f"scale_factor is {scale:g}, add_offset {offset:g}: the numbers cannot be understood",
            where=where,
            fix="each must be one finite number, and the scale not 0; the file is damaged; fetch it again",
        )
    if str(attributes.get("_Unsigned", "")).lower() == "true" and raw.dtype.kind == "i":
        raw = raw.view(f"u{raw.dtype.itemsize}")
    attributes_kept = kept_attributes(attributes)
    stated = units if units is not None else attributes.get("units")
    if quantity == "brightness_temperature" and stated in _CELSIUS:
        offset += 273.15
        attributes_kept["comment"] = _with("converted from degrees Celsius to K on reading", attributes_kept)
    else:
        carrier = xr.DataArray(0.0, attrs={} if stated is None else {"units": str(stated)}, name=quantity)
        require(carrier, quantity, where=f"{where}; units={{variable: unit}} states a unit that the file lacks")
    missing = _missing(raw, attributes)
    values = _unpacked(raw, scale, offset)
    if values is not raw:
        values[missing] = np.nan
    elif (missing & ~np.isnan(raw)).any():
        values = np.where(missing, np.float32(np.nan), raw)
    return Variable(values, _packing(raw, attributes, scale, offset), attributes_kept)


def _unpacked(raw: NDArray[Any], scale: float, offset: float) -> NDArray[np.float32]:
    """Values of the numbers in a file; single precision without a scale is not held twice."""
    plain = (scale, offset) == (1.0, 0.0)
    if plain and raw.dtype == np.float32 and raw.dtype.isnative:
        return raw
    values = np.empty(raw.shape, dtype=np.float32)
    # One field at a time: the double-precision product of a whole event need not fit in memory.
    for index in np.ndindex(raw.shape[:-2]):
        exact = raw[index].astype(np.float64)
        values[index] = exact if plain else exact * scale + offset
    return values


def kept_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a file's variable that say more than the vocabulary does."""
    return {name: _plain(value) for name, value in attributes.items() if name not in _DROPPED}


def _plain(value: Any) -> Any:
    """A one-element array as a Python number."""
    return np.asarray(value).reshape(-1)[0].item() if isinstance(value, np.generic) else value


def _with(comment: str, attributes: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (str(attributes.get("comment", "")), comment)))


def _number(attributes: Mapping[str, Any], name: str, default: float) -> float:
    told = np.asarray(attributes.get(name, default))
    return float(told.reshape(-1)[0]) if told.size == 1 else np.nan


def _missing(raw: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Where a value is fill, missing, or outside the valid range that the file states (CF-1.11, section 2.5.1)."""
    missing = np.isnan(raw) if raw.dtype.kind == "f" else np.zeros(raw.shape, dtype=bool)
    for name in ("_FillValue", "missing_value"):
        for fill in np.atleast_1d(np.asarray(attributes.get(name, []))):
            # Unsigned data in a signed type: the fill is written signed as well (NetCDF users' guide, _Unsigned).
            same = fill.astype(raw.dtype) if raw.dtype.kind == "u" else fill
            missing |= raw == same
    low, high = np.asarray(attributes.get("valid_range", (None, None)), dtype=object).reshape(-1)[:2]
    low, high = attributes.get("valid_min", low), attributes.get("valid_max", high)
    if low is not None:
        missing |= raw < np.asarray(low)
    if high is not None:
        missing |= raw > np.asarray(high)
    return missing


def _packing(raw: NDArray[Any], attributes: Mapping[str, Any], scale: float, offset: float) -> dict[str, Any]:
    """How to write the values again without loss: integers stay the same integers."""
    if raw.dtype.kind == "f":
        return {}
    fill = attributes.get("_FillValue", attributes.get("missing_value"))
    if fill is None:
        fill = np.iinfo(raw.dtype).min if raw.dtype.kind == "i" else np.iinfo(raw.dtype).max
        if (raw == fill).any():
            return {}
    fill = np.asarray(fill).reshape(-1)[0].astype(raw.dtype)
    return {"dtype": raw.dtype.newbyteorder("="), "scale_factor": scale, "add_offset": offset, "_FillValue": fill}
