"""The configuration of a world: what it refuses, and what follows from it."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml

from ondee.errors import ConfigError, OndeeError
from ondee.grid import LATITUDE_LONGITUDE, transformer
from ondee.world.domain import domain_grid, imerg_cells, radar_quality
from ondee.world.faults import Bias, Clock, Planted
from ondee.world.settings import Domain, Imerg, Radar, Seviri, World, load_world

PAGE = Path(__file__).parents[1] / "docs/world.md"
MODELS = (World, Domain, Radar, Seviri, Imerg)


def rows(model, before="| "):
    """The table of a model's keys, as the page holds it."""
    for name, field in model.model_fields.items():
        default = "needed"
        if hasattr(type(field.default), "model_fields"):
            default = "see below"
        elif not field.is_required():
            default = f"`{shown(field.default)}`"
        yield f"{before}`{name}` | {default} | {' '.join(field.description.split())} |"


def fault_rows():
    """The table of the faults: each kind, what it is, and its keys."""
    for name, field in Planted.model_fields.items():
        model = next(part for part in get_args(field.annotation) if part is not type(None))
        yield f"| `{name}` | | | {field.description} |"
        yield from rows(model, "| | ")


def shown(value):
    """A default as YAML."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return yaml.safe_dump(value).removesuffix("\n").removesuffix("\n...").strip("'")


def written(tmp_path, text):
    path = tmp_path / "world.yaml"
    path.write_text(text)
    return path


def test_defaults_make_a_world(tmp_path):
    world = load_world(written(tmp_path, "name: mine\n"))
    assert world.grid.shape == (256, 256) and world.grid.dx == 1000 and world.spacing == 24
    assert world.cells.dx == 0.1 and world.seviri is None and world.planted == () and world.true_fields == ("rain",)


@pytest.mark.parametrize(
    ("text", "what", "where", "fix"),
    [
        ("nam: a\n", "no key 'nam'", "line 1, nam", "'name'"),
        ("name: a\nradar:\n  rnge: 100\n", "no key 'rnge'", "line 3, radar.rnge", "'range'"),
        ("name: a\nfaults:\n  - bias: {sensor: MHS, factr: 2}\n", "no key 'factr'", "faults.0.bias.factr", "'factor'"),
        ("faults:\n  - bais: {sensor: MHS, factor: 2}\n", "no key 'bais'", "line 2, faults.0.bais", "'bias'"),
        ("faults: [{bias: {sensor: MHZ, factor: 2}}]\n", "'GMI'", "faults.0.bias.sensor", "MHZ"),
        ("faults: [{bias: {sensor: MHS, factor: 2}, blur: {sensor: MHS, km: 9}}]\n", "names one fault", "faults.0", ""),
        (
            "imerg: {sensors: [GMI]}\nfaults: [{bias: {sensor: MHS, factor: 2}}]\n",
            "MHS does not fly",
            "line 2",
            "",
        ),
        ("imerg: null\nfaults: [{bias: {sensor: MHS, factor: 2}}]\n", "imerg is null", "line 2", ""),
        ("imerg: null\nfaults: [{regime: {regime: dry, fraction: 0.1}}]\n", "imerg is null", "line 2", ""),
        (
            "faults: [{clock: {sensor: MHS, minutes: 40}}, {clock: {sensor: MHS, minutes: 30}}]\n",
            "add up to 70 min",
            "line 1",
            "",
        ),
        (
            "domain: {size: 64}\nfaults: [{shift: {sensor: MHS, north: 6}}]\n",
            "add up to 6 cells",
            "line 2",
            "",
        ),
        ("name: a\nregimes: {frontl: 1}\n", "'frontl' is none of", "line 2, regimes", ""),
        ("regimes: {frontal: heavy}\n", "valid number", "line 1, regimes.frontal", "heavy"),
        ("regimes: {frontal: 0}\n", "all weights are 0", "line 1, regimes", ""),
        ("regimes: []\n", "at least 1", "regimes", ""),
        ("start: 2018-06-04T12:10\n", "no full or half hour", "line 1, start", "12:10"),
        ("start: '2018-02-30'\n", "out of range", "start", ""),
        ("hours: 3\nevents: 2\nevery: 4\n", "give every: 5", "line 3, every", "4"),
        ("domain: {size: 129}\n", "odd", "domain.size", "129"),
        ("domain: {size: [128, 32]}\n", "greater than or equal to 64", "domain.size.1", "32"),
        ("radar: null\nimerg: null\n", "nothing would be written", "", ""),
        ("imerg: {sensors: [GMI, GMI]}\n", "named twice: GMI", "imerg.sensors", ""),
        ("truth: [rain, rain]\n", "named twice: rain", "truth", ""),
        ("regimes: {frontal: 1.0e+308, warm: 1.0e+308}\n", "less than or equal to", "regimes.frontal", ""),
        ("start: 2037-12-31\nhours: 30\n", "would end after 2038-01-01", "", ""),
        ("start: 2018-06-04\nevents: 100000\nimerg: null\n", "would end after 2200-01-01", "", ""),
        ("imerg: {version: V08A}\n", "match pattern", "imerg.version", "V08A"),
        ("a: &a {rnge: 3}\nradar: {<<: *a}\n", "no key", "", ""),
        ("", "empty", "", "docs/world.md"),
        ("a: [", "cannot be read", "", "docs/world.md"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, text, what, where, fix):
    with pytest.raises(ConfigError) as caught:
        load_world(written(tmp_path, text))
    assert what in caught.value.what and where in caught.value.where and fix in caught.value.fix


def test_a_single_event_needs_no_distance():
    assert World(hours=3, every=4).spacing == 4
    assert World(hours=30).spacing == 32


def test_faults_are_told_in_order():
    world = World(faults=[{"bias": {"sensor": "MHS", "factor": 1.5}}, {"clock": {"sensor": "GMI", "minutes": 10}}])
    assert world.planted == (Bias(sensor="MHS", factor=1.5), Clock(sensor="GMI", minutes=10))


def test_the_resolved_configuration_makes_the_same_world():
    world = World(
        name="a b",
        seed=7,
        domain={"size": (128, 96)},
        regimes={"frontal": 1, "dry": 2},
        radar=None,
        seviri={},
        faults=[{"shift": {"sensor": "MHS", "east": 1}}],
    )
    assert World.model_validate(yaml.safe_load(yaml.safe_dump(world.resolved()))) == world


def test_weather_depends_on_seed_and_number_only():
    drawn = World(seed=3, events=200, regimes={"frontal": 3, "dry": 1})
    weather = [drawn.weather(number) for number in range(200)]
    assert weather[:5] == [World(seed=3, events=5, regimes={"frontal": 3, "dry": 1}).weather(k) for k in range(5)]
    share = np.mean([regime == "frontal" for regime, _ in weather])
    assert 0.65 < share < 0.85 and len({seed for _, seed in weather}) == 200
    assert [World(regimes=("dry", "warm")).weather(k)[0] for k in range(3)] == ["dry", "warm", "dry"]
    assert World(seed=4).weather(0)[1] != World(seed=3).weather(0)[1]


@pytest.mark.parametrize(
    ("centre", "size"),
    [((2.5, 47.0), (256, 256)), ((-70.0, -40.0), (300, 128)), ((179, 60), (64, 64))],
)
def test_the_domain_lies_about_its_centre(centre, size):
    grid = domain_grid(centre, size)
    assert grid.shape == size[::-1]
    x, y = transformer(LATITUDE_LONGITUDE, grid.crs).transform(*centre)
    assert abs(grid.x.mean() - x) <= 500 and abs(grid.y.mean() - y) <= 500


def test_imerg_cells_lie_wholly_in_the_domain_and_fill_most_of_it():
    grid = domain_grid((2.5, 47.0), (400, 200))
    cells = imerg_cells(grid)
    longitude, latitude = np.meshgrid(cells.x_edges, cells.y_edges)
    x, y = transformer(LATITUDE_LONGITUDE, grid.crs).transform(longitude, latitude)
    assert x.min() >= grid.west and x.max() <= grid.east and y.min() >= grid.south and y.max() <= grid.north
    area = cells.nx * cells.ny * 11.132 * 11.132 * np.cos(np.radians(47))
    assert 0.82 < area / (400 * 200) < 1
    assert round(cells.west * 10, 9) % 1 == 0 and round(cells.north * 10, 9) % 1 == 0


@pytest.mark.parametrize(
    ("projection", "what"),
    [("+proj=longlat", "metres"), ("+proj=laea +units=km", "metres"), ("nonsense", "not a coord")],
)
def test_other_projections_are_refused(projection, what):
    with pytest.raises(OndeeError, match=what):
        domain_grid((2.5, 47.0), (128, 128), projection)


def test_the_projection_of_a_real_product_can_be_used():
    stere = "+proj=stere +lat_0=90 +lat_ts=45 +lon_0=0 +a=6378137 +rf=298.252840776245"
    grid = domain_grid((2.5, 47.0), (256, 256), stere)
    assert abs(grid.longitude_latitude()[0].mean() - 2.5) < 0.05


def test_quality_falls_from_the_radar_to_its_end():
    grid = domain_grid((2.5, 47.0), (200, 200))
    quality = radar_quality(grid, 80.0, None)
    assert np.isnan(quality[0, 0]) and np.nanmin(quality) >= 0.5 and quality[100, 100] == 1
    assert (np.diff(quality[100, 100:179]) <= 0).all()
    assert np.isfinite(quality).mean() == pytest.approx(np.pi * 80**2 / 200**2, rel=0.01)
    assert np.isfinite(radar_quality(grid, 80.0, 100.0)).all()
    assert (radar_quality(grid, None, None) == 1).all()


def test_the_page_tells_every_key_and_its_default():
    text = PAGE.read_text(encoding="utf-8")
    wanted = [row for model in MODELS for row in rows(model)] + list(fault_rows())
    assert [row for row in wanted if row not in text] == []


def test_the_configuration_of_the_page_can_be_read_and_simulated_again(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    world = load_world(written(tmp_path, text))
    assert len(world.planted) == 3 and World.model_validate(world.resolved()) == world
