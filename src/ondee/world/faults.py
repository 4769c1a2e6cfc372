"""Faults planted in the microwave sensors of a world: what a validation has to find, by name and by size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ondee.world.rain import REGIMES

__all__ = [
    "MOST_LATE",
    "Bias",
    "Blur",
    "Clock",
    "Dropout",
    "FalseRain",
    "Fault",
    "Planted",
    "SensorName",
    "Shift",
    "of",
    "planted",
    "sizes",
]

SensorName: TypeAlias = Literal["GMI", "AMSR2", "SSMIS", "MHS", "ATMS"]
"""Sensors of the synthetic constellation. A fault strikes every satellite that carries the sensor."""

_Share = Annotated[float, Field(ge=0, le=1)]
MOST_LATE = 60.0
"""Most minutes by which a clock is wrong: the rain that a pass sees is made for as long before and after an event."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Bias(_Part):
    """The sensor reports a multiple of the rain."""

    sensor: SensorName
    """Name of the sensor."""
    factor: Annotated[float, Field(gt=0, le=20)]
    """Factor of what is reported, applied before the detection threshold."""


class Shift(_Part):
    """The reported rain lies beside the true rain."""

    sensor: SensorName
    """Name of the sensor."""
    east: Annotated[float, Field(ge=-20, le=20)] = 0.0
    """Cells of 0.1 degree towards the east."""
    north: Annotated[float, Field(ge=-20, le=20)] = 0.0
    """Cells of 0.1 degree towards the north."""


class Clock(_Part):
    """The reported minute is not that of the scan."""

    sensor: SensorName
    """Name of the sensor."""
    minutes: Annotated[float, Field(ge=-MOST_LATE, le=MOST_LATE)]
    """Minutes by which the reported time is later than the scan."""


class Blur(_Part):
    """The footprint is wider than it should be."""

    sensor: SensorName
    """Name of the sensor."""
    km: Annotated[float, Field(ge=0, le=200)]
    """Full width at half maximum of a Gaussian that is added to the footprint, km."""


class Dropout(_Part):
    """Some wet cells are reported dry."""

    sensor: SensorName
    """Name of the sensor."""
    fraction: _Share
    """Share of the wet cells."""


class FalseRain(_Part):
    """In one kind of weather, all sensors report rain where there is none."""

    regime: str
    """Kind of weather, one of those of the rain."""
    fraction: _Share
    """Share of the dry cells: those with less than 0.1 mm h-1 through the footprint."""
    rate: Annotated[float, Field(gt=0, le=200)] = 1.0
    """Rain rate reported there, mm h-1; a sensor whose detection threshold is higher does not report it."""

    @field_validator("regime")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in REGIMES:
            raise ValueError(f"{value!r} is no regime; use one of: " + ", ".join(REGIMES))
        return value


Fault: TypeAlias = Bias | Shift | Clock | Blur | Dropout | FalseRain
"""Any of the faults."""

_Kind = TypeVar("_Kind", Bias, Shift, Clock, Blur, Dropout)


class Planted(_Part):
    """One entry of a list of faults: a map of one key, the kind of fault.

    Examples
    --------
    >>> Planted.model_validate({"bias": {"sensor": "MHS", "factor": 1.5}}).fault
    Bias(sensor='MHS', factor=1.5)
    """

    bias: Bias | None = None
    """What the sensor reports is multiplied."""
    shift: Shift | None = None
    """What the sensor reports lies beside the true rain."""
    clock: Clock | None = None
    """The reported minute is later than the scan."""
    blur: Blur | None = None
    """The footprint is wider."""
    dropout: Dropout | None = None
    """Wet cells are reported dry."""
    regime: FalseRain | None = None
    """Dry cells are reported wet in one kind of weather."""

    @model_validator(mode="after")
    def _one(self) -> Planted:
        if len(self.model_fields_set) != 1 or None in (found := self._found()) or not found:
            raise ValueError("an entry names one fault: " + ", ".join(type(self).model_fields))
        return self

    def _found(self) -> list[Fault | None]:
        return [getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set]

    @property
    def fault(self) -> Fault:
        """The one fault."""
        (found,) = self._found()
        assert found is not None
        return found


def planted(entries: Iterable[Planted]) -> tuple[Fault, ...]:
    """Faults of a list of entries."""
    return tuple(entry.fault for entry in entries)


def of(faults: Sequence[Fault], kind: type[_Kind], sensor: str) -> list[_Kind]:
    """Faults of one kind that strike a sensor.

    Examples
    --------
    >>> of([Bias(sensor="MHS", factor=1.5), Clock(sensor="MHS", minutes=10)], Clock, "MHS")
    [Clock(sensor='MHS', minutes=10.0)]
    """
    return [fault for fault in faults if isinstance(fault, kind) and fault.sensor == sensor]


def sizes(faults: Iterable[Fault]) -> dict[tuple[str, str], float]:
    """Sizes of the faults that a validation measures, by sensor and kind.

    Parameters
    ----------
    faults
        Any faults; blur, dropout and false rain have no such size and are left out.

    Returns
    -------
    dict
        ``(sensor, "bias")`` → factor, ``"east"`` and ``"north"`` → cells, ``"clock"`` → minutes late.

    Examples
    --------
    >>> sizes([Shift(sensor="MHS", north=-1.0), Bias(sensor="GMI", factor=1.5)])
    {('MHS', 'north'): -1.0, ('GMI', 'bias'): 1.5}
    """
    made: dict[tuple[str, str], float] = {}
    for fault in faults:
        if isinstance(fault, Bias) and fault.factor != 1:
            made[fault.sensor, "bias"] = fault.factor
        elif isinstance(fault, Clock) and fault.minutes:
            made[fault.sensor, "clock"] = fault.minutes
        elif isinstance(fault, Shift):
            made |= {
                (fault.sensor, axis): float(cells)
                for axis, cells in (("east", fault.east), ("north", fault.north))
                if cells
            }
    return made
