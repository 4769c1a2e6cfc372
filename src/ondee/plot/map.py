"""Maps of a field, in the field's own projection."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ondee.errors import ConfigError
from ondee.grid import LATITUDE_LONGITUDE, Grid, Region, transformer
from ondee.plot.style import (
    UNOBSERVED,
    UNOBSERVED_HATCH,
    Scale,
    Style,
    finish_bar,
    member_of,
    moment,
    new_figure,
    scale_of,
    styled,
    unobserved_patch,
)
from ondee.units import DEGREE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coast_and_borders", "draw_map", "one_frame"]

_FAR = 120.0
"""Width of a region, degrees, from which lines are drawn thin."""
_INK = "#222222"


class Lines(NamedTuple):
    """Coastlines or borders: longitude and latitude of each line, degrees."""

    coast: list[NDArray[np.float64]]
    border: list[NDArray[np.float64]]


@lru_cache(maxsize=1)
def coast_and_borders() -> Lines:
    """Coastlines and borders of the Earth, Natural Earth 1:50m, each line ``(n, 2)`` in degrees."""
    with (files("ondee.plot") / "natural_earth_50m.npz").open("rb") as stream, np.load(stream) as held:
        kind, size, first, steps = held["kind"], held["size"], held["first"], held["steps"]
        scale, translate = held["scale"], held["translate"]
    ends = np.cumsum(size - 1)
    lines = Lines([], [])
    for number, end in enumerate(ends):
        walked = np.cumsum(steps[end - size[number] + 1 : end], axis=0, dtype=np.int64)
        points = np.concatenate([first[number][None], first[number] + walked])
        (lines.border if kind[number] else lines.coast).append(points * scale + translate)
    return lines


def one_frame(
    dataset: xr.Dataset,
    variable: str | None = None,
    time: str | None = None,
    channel: str | None = None,
    member: int | None = None,
) -> xr.DataArray:
    """Choose one field of a Dataset.

    Parameters
    ----------
    dataset
        From :func:`ondee.open`.
    variable
        Name of the variable; the first one where None.
    time
        Label of the frame, ISO text; the first one where None.
    channel
        Name of the channel; the first one where None.
    member
        Number of the member of an ensemble; the first one where None.

    Returns
    -------
    xarray.DataArray
        ``(y, x)`` with its time, and product, run, version and the number of ``members`` as attributes.

    Raises
    ------
    ConfigError
        If there is no such variable, frame, channel or member.
    """
    names = [str(name) for name, array in dataset.data_vars.items() if {"y", "x"} <= set(array.dims)]
    name = names[0] if variable is None and names else variable
    if name not in names:
        raise ConfigError(
            f"there is no field {name!r}",
            where=dataset.attrs.get("product", "dataset"),
            fix="its fields are: " + (", ".join(names) or "none"),
        )
    field = dataset[name]
    if "time" in field.dims:
        field = field.isel(time=0 if time is None else _position(field, time))
    if "channel" in field.dims:
        known = [str(entry) for entry in field["channel"].values]
        if channel is not None and channel not in known:
            raise ConfigError(
                f"there is no channel {channel!r}", where=name, fix="its channels are: " + ", ".join(known)
            )
        field = field.isel(channel=0 if channel is None else known.index(channel))
    if "member" in field.dims:
        field = _member(field, member)
    elif member is not None:
        raise ConfigError(f"{name} has no members", where=name, fix="leave member out")
    return field.assign_attrs({name: dataset.attrs.get(name, "") for name in ("product", "run", "version")})


def _member(field: xr.DataArray, member: int | None) -> xr.DataArray:
    """One member of an ensemble, which knows of how many it is."""
    count = field.sizes["member"]
    known = [int(number) for number in field["member"].values] if "member" in field.coords else list(range(count))
    if member is not None and member not in known:
        raise ConfigError(
            f"there is no member {member}", where=field.name, fix="its members are: " + ", ".join(map(str, known))
        )
    return field.isel(member=0 if member is None else known.index(member)).assign_attrs(members=count)


def _position(field: xr.DataArray, time: str) -> int:
    """Number of the frame with this label."""
    stamps = field["time"].values
    try:
        found = np.flatnonzero(stamps == np.datetime64(time).astype("datetime64[ns]"))
    except ValueError:
        found = np.array([], dtype=np.int64)
    if not found.size:
        span = " to ".join(np.datetime_as_string(stamps[[0, -1]], "m"))
        raise ConfigError(
            f"there is no frame at {time}", where="time", fix=f"name a frame of {span} UTC, as 2018-06-04T12:30"
        )
    return int(found[0])


def draw_map(
    field: xr.DataArray,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    style: Style = "paper",
    colour_bar: bool = True,
    scale: Scale | None = None,
) -> Figure:
    """Draw one field on its own grid, with coast, borders, graticule, scale bar and colour bar.

    Grey hatching is what was not observed, white what was observed dry: the two are never the same colour.

    Parameters
    ----------
    field
        ``(y, x)``, with the coordinate ``crs`` of :meth:`ondee.Grid.coordinates`.
    ax
        Axes to draw on; a new figure where None.
    title
        Title; product and time where None.
    style
        ``paper`` or ``screen``.
    colour_bar
        Whether to add the colour bar.
    scale
        How values become colours; that of the quantity where None.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConfigError
        If the field has other dimensions than y and x.
    """
    if field.dims != ("y", "x"):
        raise ConfigError(
            f"a map needs (y, x); the field has {field.dims}",
            where=field.name,
            fix="choose one time, channel and member with .isel(time=0), or ondee.plot.map.one_frame",
        )
    grid = Grid.of(field, where=field.name)
    with styled(style):
        if ax is None:
            figure = new_figure(*_size(grid, style))
            ax = figure.add_subplot()
        else:
            figure = ax.get_figure(root=True)  # type: ignore[assignment]
        image = _draw_field(ax, field, grid, scale or _scale(field))
        if grid.is_local:
            _kilometre_axes(ax)
        else:
            region = _reach(grid)
            infrared = field.name == "brightness_temperature"
            inks = ("#ffc93c", "#000000a0") if infrared else (_INK, "#ffffffa0")
            _draw_lines(ax, grid, region, ink=inks[0], halo=inks[1])
            _draw_graticule(ax, grid, region)
        _draw_scale_bar(ax, grid)
        ax.set_title(_title(field, round(figure.get_size_inches()[0] * 12)) if title is None else title)
        if colour_bar:
            _draw_colour_bar(figure, ax, image, field, scale or _scale(field))
    return figure


def _size(grid: Grid, style: Style) -> tuple[float, float]:
    """Width and height in mm of a figure that the grid fills."""
    width = 120.0 if style == "paper" else 220.0
    margin = 0.24 if _is_wide(grid) else 0.11
    return width, float(np.clip(width * 0.80 * _height(grid) + margin * width, 0.3 * width, 1.6 * width))


def _height(grid: Grid) -> float:
    """Height of the map over its width."""
    return grid.ny * grid.dy * _aspect(grid) / (grid.nx * grid.dx)


def _is_wide(grid: Grid) -> bool:
    """Whether a map is so wide that its colour bar lies below it."""
    return _height(grid) < 0.4


def _aspect(grid: Grid) -> float:
    """Length on the paper of one unit of y over one unit of x."""
    if not grid.is_geographic:
        return 1.0
    return 1.0 / max(0.1, float(np.cos(np.radians((grid.north + grid.south) / 2))))


def _scale(field: xr.DataArray) -> Scale:
    """Scale of the quantity of a field."""
    return scale_of(str(field.name), str(field.attrs.get("units", "")), str(field.attrs.get("long_name", "")))


def _draw_field(ax: Axes, field: xr.DataArray, grid: Grid, scale: Scale) -> Any:
    """Draw the values, each class in its colour, over the hatching of what was not observed."""
    values = np.ma.masked_invalid(np.asarray(field.values, dtype=np.float32))
    colormap, norm = scale.colormap()
    if not scale.levels and values.count():
        norm.vmin, norm.vmax = float(values.min()), max(float(values.max()), float(values.min()) + 1e-6)
    ax.patch.set(facecolor=UNOBSERVED, hatch="//////", edgecolor=UNOBSERVED_HATCH, linewidth=0)
    image = ax.imshow(
        values,
        cmap=colormap,
        norm=norm,
        extent=(grid.west, grid.east, grid.south, grid.north),
        origin="upper",
        interpolation="nearest",
        zorder=1,
    )
    ax.set_xlim(grid.west, grid.east)
    ax.set_ylim(grid.south, grid.north)
    ax.set_aspect(_aspect(grid))
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
    return image


def _reach(grid: Grid) -> Region:
    """Box of longitude and latitude around the grid, with a margin; the whole Earth where a pole lies inside."""
    west, south, east, north = grid.region()
    if east - west > 180.0:
        return (-180.0, max(-90.0, south - 2.0), 180.0, min(90.0, north + 2.0))
    margin = 0.05 * max(east - west, north - south) + 0.5
    return (west - margin, max(-90.0, south - margin), east + margin, min(90.0, north + margin))


def _projected(line: NDArray[np.float64], grid: Grid, region: Region) -> list[NDArray[np.float64]]:
    """The parts of a line ``(n, 2)`` in degrees that lie in the region, in the coordinates of the grid."""
    west, south, east, north = region
    near = (line[:, 0] >= west) & (line[:, 0] <= east) & (line[:, 1] >= south) & (line[:, 1] <= north)
    near = near | np.r_[near[1:], False] | np.r_[False, near[:-1]]
    if not near.any():
        return []
    x, y = transformer(LATITUDE_LONGITUDE, grid.crs).transform(line[near, 0], line[near, 1])
    points = np.stack([x, y], axis=1)
    numbers = np.flatnonzero(near)
    broken = (np.diff(numbers) > 1) | ~np.isfinite(points[1:]).all(axis=1) | ~np.isfinite(points[:-1]).all(axis=1)
    parts = np.split(points, np.flatnonzero(broken) + 1)
    return [part for part in parts if len(part) > 1 and np.isfinite(part).all()]


def _draw_lines(ax: Axes, grid: Grid, region: Region, *, ink: str, halo: str) -> None:
    """Draw coast and borders, with a halo so that they show on every colour."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    lines = coast_and_borders()
    thin = 0.5 if region[2] - region[0] > _FAR else 1.0
    for kind, width, dashes in ((lines.coast, 0.7 * thin, "solid"), (lines.border, 0.5 * thin, (0, (4, 2)))):
        parts = [part for line in kind for part in _projected(line, grid, region)]
        ax.add_collection(
            LineCollection(
                parts,
                colors=ink,
                linewidths=width,
                linestyles=[dashes],
                path_effects=[withStroke(linewidth=width + 0.7 * thin, foreground=halo)],
                zorder=3,
            ),
            autolim=False,
        )


def _degrees(value: float, letters: str) -> str:
    """Write a longitude (letters EW) or latitude (NS)."""
    letter = letters[0] if value > 0 else letters[1] if value < 0 else ""
    return f"{abs(value):g}°{letter}"


def _spacing(span: float) -> float:
    """Distance of the lines of a graticule, degrees: about five in the span."""
    choices = np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0])
    return float(choices[np.argmin(np.abs(np.log(choices * 5 / span)))])


def _draw_graticule(ax: Axes, grid: Grid, region: Region) -> None:
    """Draw meridians and parallels, labelled in degrees where they leave the map at the bottom and at the left."""
    from matplotlib.collections import LineCollection

    west, south, east, north = region
    step_x, step_y = _spacing(east - west), _spacing(north - south)
    meridians = np.arange(np.ceil(west / step_x), np.floor(east / step_x) + 1) * step_x
    parallels = np.arange(np.ceil(south / step_y), np.floor(north / step_y) + 1) * step_y
    drawn: list[NDArray[np.float64]] = []
    ticks: dict[str, dict[float, str]] = {"x": {}, "y": {}}
    along = np.linspace(0.0, 1.0, 721)
    for value in meridians:
        line = np.stack([np.full(along.size, value), south + (north - south) * along], axis=1)
        drawn += _graticule_line(line, grid, region, ticks["x"], _degrees(round(value, 6), "EW"), edge="bottom")
    for value in parallels:
        line = np.stack([west + (east - west) * along, np.full(along.size, value)], axis=1)
        drawn += _graticule_line(line, grid, region, ticks["y"], _degrees(round(value, 6), "NS"), edge="left")
    ax.add_collection(LineCollection(drawn, colors="#5a5a5a", linewidths=0.3, alpha=0.6, zorder=2), autolim=False)
    ax.set_xticks(list(ticks["x"]), list(ticks["x"].values()))
    ax.set_yticks(list(ticks["y"]), list(ticks["y"].values()))
    if not ticks["y"]:
        _label_inside(ax, grid, parallels)


def _label_inside(ax: Axes, grid: Grid, parallels: NDArray[np.float64]) -> None:
    """Write latitudes on the central meridian, where the parallels do not reach the edge of the map."""
    from matplotlib.patheffects import withStroke

    to_degrees = transformer(grid.crs, LATITUDE_LONGITUDE)
    centre = float(to_degrees.transform((grid.west + grid.east) / 2, (grid.south + grid.north) / 2)[0])
    if not np.isfinite(centre):
        return
    for value in parallels:
        x, y = transformer(LATITUDE_LONGITUDE, grid.crs).transform(centre, value)
        if grid.west < x < grid.east and grid.south < y < grid.north:
            text = ax.text(x, y, _degrees(round(float(value), 6), "NS"), ha="center", va="center", zorder=4)
            text.set(fontsize="x-small", color=_INK, path_effects=[withStroke(linewidth=1.6, foreground="white")])


def _graticule_line(
    line: NDArray[np.float64], grid: Grid, region: Region, ticks: dict[float, str], label: str, *, edge: str
) -> list[NDArray[np.float64]]:
    """Project one line of the graticule and note where it crosses the edge of the map that carries its label."""
    across, target, low, high = (
        (1, grid.south, grid.west, grid.east) if edge == "bottom" else (0, grid.west, grid.south, grid.north)
    )
    parts = _projected(line, grid, region)
    for part in parts:
        distance = part[:, across] - target
        for index in np.flatnonzero(np.diff(np.signbit(distance))):
            share = distance[index] / (distance[index] - distance[index + 1])
            place = part[index, 1 - across] + share * (part[index + 1, 1 - across] - part[index, 1 - across])
            if low < place < high:
                ticks[float(place)] = label
    return parts


def _kilometre_axes(ax: Axes) -> None:
    """Label a local plane in kilometres."""
    from matplotlib.ticker import FuncFormatter

    kilometres = FuncFormatter(lambda value, _: f"{value / 1000:g}")
    ax.xaxis.set_major_formatter(kilometres)
    ax.yaxis.set_major_formatter(kilometres)
    ax.set_xlabel("east (km)")
    ax.set_ylabel("north (km)")


def _draw_scale_bar(ax: Axes, grid: Grid) -> None:
    """Draw a bar of a round number of kilometres, true in the middle of the map."""
    from matplotlib.patches import Rectangle

    per_kilometre = _unit_per_kilometre(grid)
    width = grid.nx * grid.dx
    choices = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000], dtype=np.float64)
    length = float(choices[np.argmin(np.abs(choices * per_kilometre / width - 0.18))])
    share = length * per_kilometre / width
    tall = width / (grid.ny * grid.dy * _aspect(grid))  # heights are shares of the map's height
    box: dict[str, Any] = {"transform": ax.transAxes, "zorder": 4}
    ax.add_patch(
        Rectangle((0.018, 0.02 * tall), share + 0.024, 0.058 * tall, facecolor="white", alpha=0.85, linewidth=0, **box)
    )
    ax.add_patch(Rectangle((0.03, 0.030 * tall), share, 0.009 * tall, facecolor=_INK, linewidth=0, **box))
    words: dict[str, Any] = {"ha": "center", "va": "bottom", "color": _INK, "fontsize": "x-small"}
    ax.text(0.03 + share / 2, 0.044 * tall, f"{length:g} km", **words, **box)


def _unit_per_kilometre(grid: Grid) -> float:
    """Units of x that one kilometre on the ground measures, in the middle of the map."""
    if grid.is_geographic:
        return _aspect(grid) / DEGREE
    if grid.is_local:
        return 1000.0
    import pyproj

    x, y = (grid.west + grid.east) / 2, (grid.south + grid.north) / 2
    step = grid.dx * max(1.0, grid.nx / 20)
    longitude, latitude = transformer(grid.crs, LATITUDE_LONGITUDE).transform([x - step / 2, x + step / 2], [y, y])
    if not np.isfinite([*longitude, *latitude]).all():
        return 1e-3
    metres = pyproj.Geod(ellps="WGS84").inv(longitude[0], latitude[0], longitude[1], latitude[1])[2]
    return float(step / metres * 1000.0)


def _draw_colour_bar(figure: Figure, ax: Axes, image: Any, field: xr.DataArray, scale: Scale) -> None:
    """Draw the colour bar and, beside it, the square that means not observed."""
    wide = _is_wide(Grid.of(field))
    place: dict[str, Any] = {"location": "bottom", "aspect": 45, "shrink": 0.8} if wide else {"aspect": 28}
    bar = figure.colorbar(image, ax=ax, extend=scale.extend, fraction=0.045, pad=0.02, label=scale.label, **place)
    finish_bar(bar, scale)
    if not np.isfinite(np.asarray(field.values)).all():
        ax.legend(
            handles=[unobserved_patch()],
            loc="upper left",
            frameon=True,
            framealpha=0.85,
            fancybox=False,
            edgecolor="none",
            labelcolor=_INK,
            facecolor="white",
            borderpad=0.3,
            handlelength=1.4,
            handleheight=1.0,
        )


def _title(field: xr.DataArray, width: int) -> str:
    """Product, run, version, channel, member and time, in lines of at most `width` letters."""
    named = [str(field.attrs.get(name, "")) for name in ("product", "run", "version")]
    parts = [" ".join(word for word in named if word) or str(field.attrs.get("long_name", field.name))]
    if "channel" in field.coords:
        parts.append(str(field["channel"].values))
    if "member" in field.coords:
        parts.append(member_of(field))
    if "time" in field.coords:
        parts.append(moment(field["time"].values))
    title = "  ·  ".join(part for part in parts if part)
    if len(title) <= width:
        return title
    rest = "  ·  ".join(part for part in parts[1:] if part)
    return "\n".join([*textwrap.wrap(parts[0], width), *([rest] if rest else [])])
