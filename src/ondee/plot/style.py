"""How every figure looks: one rain scale, one way to draw what was not observed, two styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ondee.errors import ConfigError
from ondee.output import check_target, whole

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = [
    "DRY",
    "RAIN_COLOURS",
    "RAIN_LEVELS",
    "SUFFIXES",
    "UNOBSERVED",
    "UNOBSERVED_HATCH",
    "Inks",
    "Scale",
    "Style",
    "encoded",
    "encoded_all",
    "enlarged",
    "finish_bar",
    "inks",
    "member_of",
    "moment",
    "new_figure",
    "save",
    "scale_of",
    "spelled",
    "styled",
    "unobserved_patch",
]

Style = Literal["paper", "screen"]
"""``paper`` is a figure for print, ``screen`` a larger one on a dark ground for slides."""

RAIN_LEVELS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Lower bounds of the classes of rain, mm h-1; the last class is open."""

# Drawn along one path in OKLCH: lightness falls by the same amount from class to class (about 9 in CIE L*), so that
# the order survives grey print and every kind of colour vision; hue turns from cyan through blue to dark red.
RAIN_COLOURS = (
    "#c3efeb",
    "#8edae2",
    "#59c2df",
    "#33a6df",
    "#3384dc",
    "#505dce",
    "#672db1",
    "#6b0074",
    "#560035",
    "#350419",
)
DRY = "#ffffff"
UNOBSERVED = "#d2d2d2"
UNOBSERVED_HATCH = "#b4b4b4"


class Inks(NamedTuple):
    """Colours of lines: the first to look at, the one against it, the one that stands back."""

    accent: str
    contrast: str
    muted: str


_INKS = {"paper": Inks("#2a6fc9", "#b3382c", "#6b7280"), "screen": Inks("#79b4ff", "#ff9a85", "#aab3c0")}

_ENLARGED = {"paper": 1.0, "screen": 1.5}
_MILLIMETRE = 1 / 25.4
SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Scale:
    """How the values of a quantity become colours.

    Parameters
    ----------
    levels
        Bounds of the classes for a discrete scale, lowest and highest value for a continuous one.
    colours
        Colours of the classes, or the stops of a continuous scale.
    discrete
        Whether each class has one colour.
    label
        Name and unit, for the colour bar.
    below, above
        Colour of values under the lowest and over the highest level; None where there are none to tell.
    """

    levels: tuple[float, ...]
    colours: tuple[str, ...]
    discrete: bool
    label: str
    below: str | None = None
    above: str | None = None

    def colormap(self) -> tuple[Any, Any]:
        """Colour map and normalisation of matplotlib."""
        from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, ListedColormap, Normalize

        if self.discrete:
            colormap: Any = ListedColormap(list(self.colours))
            norm: Any = BoundaryNorm(self.levels, len(self.colours))
        else:
            colormap = LinearSegmentedColormap.from_list("ondee", list(self.colours), N=512)
            norm = Normalize(*(self.levels[0], self.levels[-1]) if self.levels else (None, None))
        under, over = self.below or self.colours[0], self.above or self.colours[-1]
        return colormap.with_extremes(under=under, over=over, bad=(0, 0, 0, 0)), norm

    @property
    def extend(self) -> str:
        """Ends of the colour bar that go on: matplotlib's word. Dry lies under the rain scale and needs no arrow."""
        return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[
            self.below is not None and not self.discrete, self.above is not None
        ]


# The usual infrared enhancement: warm is dark, cold is light, and tops colder than 240 K take the colours of rain.
_INFRARED = ("#350419", "#6b0074", "#505dce", "#33a6df", "#c3efeb", "#ffffff", "#a0a0a0", "#141414")
_INFRARED_STOPS = (190.0, 202.0, 212.0, 222.0, 234.0, 240.0, 270.0, 310.0)


def member_of(field: xr.DataArray) -> str:
    """Which member of an ensemble a field is, in words.

    Examples
    --------
    >>> import xarray
    >>> member_of(xarray.DataArray(0.0, coords={"member": 3}, attrs={"members": 16}))
    'member 3 of 16'
    """
    total = field.attrs.get("members")
    return f"member {field['member'].values}" + (f" of {total}" if total else "")


def scale_of(name: str, units: str, long_name: str = "") -> Scale:
    """Scale of a quantity.

    Parameters
    ----------
    name
        Name in the vocabulary.
    units
        Unit of the values.
    long_name
        What the colour bar says beside the unit; `name` in words where it is empty.
    """
    words = long_name or name.replace("_", " ")
    label = words if units == "1" else f"{words} ({spelled(units)})"
    if units in ("mm h-1", "mm"):
        return Scale(RAIN_LEVELS, RAIN_COLOURS[:-1], True, label, DRY, RAIN_COLOURS[-1])
    if name == "brightness_temperature":
        return Scale((_INFRARED_STOPS[0], _INFRARED_STOPS[-1]), _infrared(), False, label, _INFRARED[0], _INFRARED[-1])
    sequence = (DRY, *RAIN_COLOURS[:-2])
    if name == "reflectivity":
        levels = tuple(float(level) for level in range(10, 60, 5))
        return Scale(levels, RAIN_COLOURS[:-1], True, label, DRY, RAIN_COLOURS[-1])
    if name in ("quality", "quality_index", "coverage", "wet_fraction"):
        return Scale((0.0, 1.0), sequence[::-1] if name.startswith("quality") else sequence, False, label)
    if units == "%":
        return Scale((0.0, 100.0), sequence, False, label)
    return Scale((), sequence, False, label)


def _infrared() -> tuple[str, ...]:
    """The infrared enhancement as evenly spaced stops, one every 2 K."""
    import numpy as np
    from matplotlib.colors import to_hex, to_rgb

    stops = np.array([to_rgb(colour) for colour in _INFRARED])
    values = np.arange(_INFRARED_STOPS[0], _INFRARED_STOPS[-1] + 1, 2.0)
    channels = [np.interp(values, _INFRARED_STOPS, stops[:, channel]) for channel in range(3)]
    return tuple(to_hex(colour) for colour in np.stack(channels, axis=1))


def spelled(units: str) -> str:
    """Write a unit as a figure prints it.

    Examples
    --------
    >>> spelled("mm h-1"), spelled("degree")
    ('mm h⁻¹', '°')
    """
    return {"mm h-1": "mm h⁻¹", "degree": "°"}.get(units, units)


def _settings(style: Style) -> dict[str, Any]:
    """Settings of matplotlib for a style."""
    size = 8.0 if style == "paper" else 12.0
    ink, ground = ("#1a1a1a", "#ffffff") if style == "paper" else ("#e8eaed", "#16181d")
    return {
        "font.family": "DejaVu Sans",
        "font.size": size,
        "axes.titlesize": size + 0.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": size,
        "xtick.labelsize": size - 1,
        "ytick.labelsize": size - 1,
        "legend.fontsize": size - 1,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "lines.linewidth": 1.6 if style == "paper" else 2.4,
        "hatch.linewidth": 0.4,
        "hatch.color": UNOBSERVED_HATCH,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": ground,
        "savefig.facecolor": ground,
        "axes.facecolor": ground,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), ink),
        "figure.dpi": 150,
        "savefig.dpi": 200,
        "svg.hashsalt": "ondee",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }


@contextmanager
def styled(style: Style = "paper") -> Iterator[None]:
    """Draw inside one of the two styles.

    Raises
    ------
    ConfigError
        If there is no such style.
    """
    if style not in ("paper", "screen"):
        raise ConfigError(f"{style!r} is no style", where="style", fix="use paper or screen")
    import matplotlib as mpl

    settings: Any = _settings(style)
    with mpl.rc_context(settings):
        yield


def inks(style: Style) -> Inks:
    """Colours of lines that show on the ground of a style."""
    return _INKS[style]


def enlarged(style: Style) -> float:
    """How many times as large as in print a figure of a style is."""
    return _ENLARGED[style]


def moment(time: Any) -> str:
    """Write a time as maps tell it.

    Examples
    --------
    >>> import numpy
    >>> moment(numpy.datetime64("2018-06-04T12:30:59"))
    '2018-06-04 12:30 UTC'
    """
    import numpy as np

    return str(np.datetime_as_string(np.asarray(time), "m")).replace("T", " ") + " UTC"


def finish_bar(bar: Any, scale: Scale) -> None:
    """Draw the frame of a colour bar thin, and name the bounds of its classes where it has classes.

    Parameters
    ----------
    bar
        A colour bar of matplotlib.
    scale
        Of the values that it explains.
    """
    bar.outline.set_linewidth(0.4)
    if scale.discrete:
        bar.set_ticks(list(scale.levels), labels=[f"{level:g}" for level in scale.levels])
        bar.ax.tick_params(length=0)


def unobserved_patch() -> Any:
    """The square that says in a legend what was not observed."""
    from matplotlib.patches import Patch

    look: dict[str, Any] = {"facecolor": UNOBSERVED, "edgecolor": UNOBSERVED_HATCH, "linewidth": 0}
    return Patch(hatch="//////", label="not observed", **look)


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure, its size in millimetres, that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width * _MILLIMETRE, height * _MILLIMETRE), layout="compressed")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | Path, *, force: bool = False) -> Path:
    """Write a figure; its format follows the suffix. The same figure gives the same bytes.

    Parameters
    ----------
    figure
        A figure of this package, or any other.
    path
        ``.png``, ``.svg`` or ``.pdf``.
    force
        Overwrite a file that exists.

    Raises
    ------
    ConfigError
        If the suffix is another one, the folder does not exist or cannot be written, or the file exists and
        `force` is not set.
    StoreError
        If the disk refuses.
    """
    target = check_target(path, SUFFIXES, force=force)
    with whole(target, force=force) as draft:
        _write(figure, draft, target.suffix.lower(), text="none")
    return target


def encoded(figure: Figure, suffix: str = ".svg") -> bytes:
    """Give a figure as the bytes of a file that needs no fonts, to be put into a page.

    Parameters
    ----------
    figure
        A figure of this package, or any other.
    suffix
        ``.png``, ``.svg`` or ``.pdf``; letters of an SVG are drawn as outlines, so that it looks alike everywhere.

    Raises
    ------
    ConfigError
        If the suffix is another one.
    """
    if suffix not in SUFFIXES:
        raise ConfigError(f"a figure is no {suffix!r}", where="suffix", fix="use one of " + ", ".join(SUFFIXES))
    held = BytesIO()
    _write(figure, held, suffix, text="path")
    return held.getvalue()


def encoded_all(figure: Figure, suffixes: Sequence[str]) -> dict[str, bytes]:
    """Give a figure as the bytes of several kinds of file; its layout is found once, which takes most of the time.

    Parameters
    ----------
    figure
        A figure of this package; its layout is fixed from then on.
    suffixes
        Kinds of file, as for :func:`encoded`.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # "none" would keep a stand-in, for which every file is drawn twice
    canvas: Any = figure.canvas
    box = figure.get_tightbbox(canvas.get_renderer()).padded(0.05)
    made = {}
    for suffix in suffixes:
        held = BytesIO()
        _write(figure, held, suffix, text="path", box=box)
        made[suffix] = held.getvalue()
    return made


def _write(
    figure: Figure, target: Path | BytesIO, suffix: str, *, text: Literal["none", "path"], box: Any = "tight"
) -> None:
    """Write a figure without date or version, so that the same figure gives the same bytes."""
    import matplotlib as mpl

    kinds: dict[str, dict[str, Any]] = {
        ".png": {"Software": "ondee"},
        ".svg": {"Date": None, "Creator": "ondee"},
        ".pdf": {"CreationDate": None, "Creator": "ondee", "Producer": None},
    }
    drawn: dict[str, Any] = {"facecolor": figure.get_facecolor(), "bbox_inches": box, "pad_inches": 0.05}
    with mpl.rc_context({"svg.hashsalt": "ondee", "svg.fonttype": text, "pdf.fonttype": 42}):
        figure.savefig(target, format=suffix[1:], metadata=kinds[suffix], **drawn)
