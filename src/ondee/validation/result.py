"""From the sums of all days to scores with intervals, maps, pictures and faults; written and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ondee import score
from ondee.errors import StoreError
from ondee.progress import track
from ondee.source.groups import group_names, read_attributes, read_group, write_groups
from ondee.validation.archive import SumsFile
from ondee.validation.chance import controlled, p_value
from ondee.validation.faults import Rules, faults
from ondee.validation.maps import finished_maps
from ondee.validation.provenance import facts_of
from ondee.validation.sampling import floor_shares
from ondee.validation.settings import Settings
from ondee.validation.sources import name_of
from ondee.validation.strata import Cut, cuts
from ondee.validation.sums import COMPARISONS, SOURCE
from ondee.validation.tables import Blocks, blocks_of, counts_of, sources_in, table_of

__all__ = ["SCORES", "Draws", "Validation", "finish_validation", "read_validation", "write_validation"]

SCORES = "scores.nc"
_EVERYWHERE = ("point", "event", "decomposition")
_WHOLE = (*_EVERYWHERE, "multiplicative", "fractions", "spectrum", "distribution")
"""Scores that are kept for each source, beside those of every class."""
_UNASKED = ("return_level",)
_ABOUT = ("pixel", "window", "wet")
_ENTRY = "entry"
_REPLICATED = 1 << 24
"""Most values of replicates that are held at once: 128 MB."""


@dataclass(frozen=True)
class Draws:
    """The bootstrap.

    Parameters
    ----------
    replicates
        Number of replicates, at least 100.
    level
        Probability of the intervals.
    seed
        Of the draws.
    """

    replicates: int = 1000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Parameters
    ----------
    groups
        ``scores/<cut>``, ``maps``, ``cases`` and, where faults were looked for, ``sensors``.
    facts
        What was compared, how, and on how much.
    """

    groups: Mapping[str, xr.Dataset]
    facts: Mapping[str, Any]


def finish_validation(sums: SumsFile, draws: Draws, command: str = "") -> Validation:
    """Divide sums into scores, with intervals over days.

    Parameters
    ----------
    sums
        Of all days.
    draws
        Of the bootstrap.
    command
        The line that was typed.

    Raises
    ------
    StoreError
        If no cell was compared.
    """
    if not any(name.startswith("sums/") for name in sums.names):
        raise StoreError(
            "no cell was compared: nowhere were radar and IMERG both there for a whole half hour",
            where=sums.path,
            fix="look at the radar's gaps with `ondee look`, or allow them: --time-coverage 0.8, --coverage 0.8",
        )
    settings = settings_in(sums)
    blocks = blocks_of(list(sums.days))
    known: list[Cut | None] = [None, *cuts(settings).values()]
    sources = sources_in([sums.read(f"sums/{SOURCE}/event")])
    groups: dict[str, xr.Dataset] = {}
    for cut, made in _scores(sums, known, blocks, sources, draws).items():
        name = SOURCE if cut is None else cut.name
        groups[f"scores/{name}"] = _resolved(made, sums, cut, sources, settings, draws)
    point = table_of(sums, "point", None, blocks, sources)
    if point is not None and f"scores/{SOURCE}" in groups:
        groups[f"scores/{SOURCE}"] = groups[f"scores/{SOURCE}"].assign(floor_shares(point, **asdict(draws)))
    if "maps/point" in sums.names:
        groups["maps"] = _maps(sums, blocks, settings, draws)
    if "cases" in sums.names:
        groups["cases"] = _cases(sums, settings)
    found = _sensors(sums, settings, draws)
    if found is not None:
        groups["sensors"] = found
    return Validation(groups, facts_of(sums, blocks, asdict(draws), command))


def write_validation(made: Validation, path: Path) -> None:
    """Write scores, maps, pictures and facts as groups of one NetCDF file, replacing an earlier one.

    Parameters
    ----------
    made
        What was found.
    path
        ``scores.nc`` in the folder of the sums from which it can be made again.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    attributes = {"title": made.facts["title"], "facts": json.dumps(made.facts, default=str)}
    write_groups(path, made.groups.items(), attributes)


def read_validation(folder: str | Path) -> Validation:
    """Read back what :func:`write_validation` wrote.

    Parameters
    ----------
    folder
        Folder of a validation, or its ``scores.nc``.

    Raises
    ------
    StoreError
        If there is none.
    """
    path = Path(folder)
    path = path / SCORES if path.is_dir() else path
    if not path.is_file():
        raise StoreError(
            f"there is no {SCORES}, and so no result of a validation",
            where=path.parent if path.name == SCORES else path,
            fix="give the folder that `ondee validate --out` wrote",
        )
    try:
        facts = json.loads(read_attributes(path)["facts"])
        groups = {name: read_group(path, name) for name in group_names(path)}
    except (OSError, KeyError, ValueError) as error:
        raise StoreError(
            "this file is damaged, or no result of a validation",
            where=path,
            fix="give the folder that `ondee validate --out` wrote, or validate again",
        ) from error
    return Validation(groups, facts)


# ---- scores


def settings_in(sums: SumsFile) -> Settings:
    """The settings with which sums were made."""
    held = {**sums.about["settings"], **sums.about["rules"]}
    known = {field.name for field in fields(Settings)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in held.items() if name in known
    }
    return Settings(**given | {"rules": Rules(**held.get("rules", {}))})


def _scores(
    sums: SumsFile, known: Sequence[Cut | None], blocks: Blocks, sources: Sequence[int], draws: Draws
) -> dict[Cut | None, xr.Dataset]:
    """All scores of all cuts; each is drawn for all cuts together: a loop over cuts would take far longer."""
    made: dict[Cut | None, dict[str, xr.DataArray]] = {cut: {} for cut in known}
    attributes: dict[str, Any] = {}
    for name in track(_WHOLE, "intervals", len(_WHOLE)):
        tables = {
            cut: table
            for cut in (known if name in _EVERYWHERE else known[:1])
            if (table := table_of(sums, name, cut, blocks, sources)) is not None
        }
        if tables:
            attributes |= {key: value for key, value in tables[next(iter(tables))].attrs.items() if key in _ABOUT}
            for cut, finished in _finished(tables, blocks, draws).items():
                for own, values in finished.data_vars.items():
                    if not str(own).startswith(_UNASKED):
                        made[cut].setdefault(str(own), values)
    return {cut: xr.Dataset(found, attrs=attributes) for cut, found in made.items() if found}


def _finished(tables: Mapping[Cut | None, xr.Dataset], blocks: Blocks, draws: Draws) -> dict[Cut | None, xr.Dataset]:
    """One score with its intervals: what holds anything, laid out in one row, drawn some at a time, and put back."""
    heads = {cut: ("comparison", "source", *(() if cut is None else (cut.name,))) for cut in tables}
    rows, places = [], {}
    for cut, table in tables.items():
        bare = table.drop_vars([*heads[cut]]).stack({_ENTRY: heads[cut]}, create_index=False)
        bare = bare.transpose("time", _ENTRY, ...)
        places[cut] = np.flatnonzero(_held(bare))
        rows.append(bare.isel({_ENTRY: places[cut]}))
    row = rows[0] if len(rows) == 1 else xr.concat(rows, dim=_ENTRY, data_vars="minimal", combine_attrs="override")
    if not row.sizes[_ENTRY]:
        return {}
    how: dict[str, Any] = {"block": blocks.spelled, "replicates": draws.replicates}
    how |= {"seed": draws.seed, "level": draws.level}
    most = _entries(row, draws)
    parts = [
        score.bootstrap(row.isel({_ENTRY: slice(first, first + most)}), **how)
        for first in range(0, row.sizes[_ENTRY], most)
    ]
    drawn = xr.concat(parts, dim=_ENTRY, data_vars="minimal", combine_attrs="override") if len(parts) > 1 else parts[0]
    made, first = {}, 0
    for cut, place in places.items():
        own = drawn.isel({_ENTRY: slice(first, first + place.size)})
        made[cut] = _put_back(own, place, tables[cut], heads[cut])
        first += place.size
    return made


def _held(table: xr.Dataset) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Entries that hold anything."""
    held = np.zeros(table.sizes[_ENTRY], bool)
    for values in table.data_vars.values():
        if _ENTRY in values.dims:
            other = tuple(axis for axis, dim in enumerate(values.dims) if dim != _ENTRY)
            held |= (values.values != 0).any(axis=other)
    return held


def _entries(row: xr.Dataset, draws: Draws) -> int:
    """How many entries may be drawn at once."""
    one = row.isel({_ENTRY: 0, "time": 0})
    widest = sum(values.size for values in one.data_vars.values())
    return int(np.clip(_REPLICATED // (draws.replicates * min(widest, 128) * 2), 16, 4096))


def _put_back(
    drawn: xr.Dataset, place: np.ndarray[Any, np.dtype[np.intp]], table: xr.Dataset, head: tuple[str, ...]
) -> xr.Dataset:
    """Entries at their places in ``(comparison, source[, class])``, missing where nothing was compared."""
    shape = tuple(table.sizes[dim] for dim in head)
    data: dict[str, Any] = {}
    for name, values in drawn.data_vars.items():
        if _ENTRY not in values.dims:
            continue
        ordered = values.transpose(_ENTRY, ...)
        dense = np.full((int(np.prod(shape)), *ordered.shape[1:]), np.nan)
        dense[place] = ordered.values
        data[str(name)] = ((*head, *ordered.dims[1:]), dense.reshape(*shape, *ordered.shape[1:]), values.attrs)
    coordinates = {name: value for name, value in drawn.coords.items() if _ENTRY not in value.dims}
    return xr.Dataset(data, coords={**coordinates, **{dim: table.coords[dim] for dim in head}})


def _resolved(
    made: xr.Dataset, sums: SumsFile, cut: Cut | None, sources: Sequence[int], settings: Settings, draws: Draws
) -> xr.Dataset:
    """How much there is behind each number, and whether it may be told."""
    counts = counts_of(sums, cut, sources)
    head = ("source",) if cut is None else ("source", cut.name)

    def own(values: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
        return values[:, 0] if cut is None else values

    about = {
        "views": (counts.views, "half hours that were compared"),
        "rainy_views": (counts.rainy, "half hours with rain"),
        "days": (counts.days, "days with rain"),
    }
    made = made.assign(
        {name: (head, own(values), {"units": "1", "long_name": told}) for name, (values, told) in about.items()}
    )
    enough = own((counts.rainy >= settings.least_views) & (counts.days >= settings.least_days))
    everywhere = made.sel(population="all", drop=True)
    narrow = np.ones((len(COMPARISONS), *enough.shape), bool)
    for name, widest in (("relative_bias", settings.widest_bias), ("correlation", settings.widest_correlation)):
        width = (everywhere[f"{name}_high"] - everywhere[f"{name}_low"]).transpose("comparison", *head).values
        narrow &= width <= widest  # an interval that is not known is not narrow
    made["resolved"] = (
        ("comparison", *head),
        narrow & enough,
        {"long_name": "enough views and days, narrow intervals"},
    )
    value, low, high = (
        everywhere[f"relative_bias{end}"].transpose("comparison", *head).values for end in ("", "_low", "_high")
    )
    p = p_value(value, low, high, 0.0, settings.bias_tolerance, draws.level)
    single = [position for position, number in enumerate(sources) if number > -10]
    adjusted = np.full(p.shape, np.nan)
    for index in range(len(COMPARISONS)):
        adjusted[index, single] = controlled(np.where(enough, p[index], np.nan)[single])
    made["relative_bias_p"] = (
        ("comparison", *head),
        adjusted,
        {"units": "1", "long_name": "p of the relative bias, controlled over sources and classes"},
    )
    if cut is not None:
        made[cut.name].attrs = {"long_name": cut.long_name, "quantity_units": cut.units}
        if cut.edges is not None:
            made = made.assign_coords(
                {
                    f"{cut.name}_low": (cut.name, list(cut.edges[:-1])),
                    f"{cut.name}_high": (cut.name, list(cut.edges[1:])),
                }
            )
    return made


# ---- maps, pictures, faults


def _maps(sums: SumsFile, blocks: Blocks, settings: Settings, draws: Draws) -> xr.Dataset:
    """Maps, from sums of days that are joined to blocks one variable at a time."""
    point, event = (_joined(sums.read(f"maps/{name}"), blocks) for name in ("point", "event"))
    return finished_maps(
        point,
        event,
        settings,
        replicates=draws.replicates,
        level=draws.level,
        seed=draws.seed,
        span=np.timedelta64(blocks.days, "D"),
    )


def _joined(daily: xr.Dataset, blocks: Blocks) -> xr.Dataset:
    """Sums of blocks, ``(day, place, y, x)``; of events also the days with rain at each cell."""
    number = blocks.number(daily["day"].values)
    first = np.flatnonzero(np.diff(number, prepend=-1))
    data: dict[str, Any] = {}
    for name, variable in daily.data_vars.items():
        if "day" in variable.dims:
            values = np.add.reduceat(variable.transpose("day", ...).values, first, axis=0)
            data[str(name)] = (("day", *(dim for dim in variable.dims if dim != "day")), values)
    if "hits" in daily:
        data["rain_days"] = (("place", "y", "x"), ((daily["hits"] + daily["misses"]) > 0).sum("day").values)
    coordinates = {name: daily.coords[name] for name in ("place", "y", "x", "crs") if name in daily.coords}
    return xr.Dataset(data, coords={"day": blocks.starts[number[first]], **coordinates}, attrs=daily.attrs)


def _cases(sums: SumsFile, settings: Settings) -> xr.Dataset:
    """The half hours with most rain, in order of time."""
    held = sums.read("cases")
    order = np.lexsort([held["time"].values, -held["total"].values])[: settings.cases]
    return held.isel(time=np.sort(order)).drop_vars("total")


def _sensors(sums: SumsFile, settings: Settings, draws: Draws) -> xr.Dataset | None:
    """What is wrong with each sensor, and the rules by which that was judged."""
    if "evidence" not in sums.names:
        return None
    held = sums.read("evidence")
    names = np.array([name_of(int(number)) for number in held["source"].values])
    named = held.assign_coords(source=("view", names))
    found = faults(named, settings.rules, replicates=draws.replicates, seed=draws.seed, level=draws.level)
    return found.assign_attrs(asdict(settings.rules))
