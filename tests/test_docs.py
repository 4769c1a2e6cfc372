"""What the documentation shows is run, its configuration holds every key, and the shipped configurations build."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from archives import times
from ondee import config
from ondee.building import build
from ondee.command.verify import Outputs, Sides, verification
from ondee.grid import LATITUDE_LONGITUDE, Grid
from ondee.score import SCORES
from ondee.source import imerg_writer, seviri_netcdf
from ondee.source.assembly import Variable, assemble
from ondee.source.cf_grid import geostationary
from ondee.store import Store
from ondee.verification import Settings
from ondee.world.archive import simulate
from ondee.world.settings import World

ROOT = Path(__file__).resolve().parents[1]
MODELS = (config.BuildConfig, config.GridConfig, config.InputConfig, config.Interval, config.Splits, config.Chunks)


def blocks(page, language):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the radar of the demo's first hour, and of what comes before and after; and the configurations."""
    folder = tmp_path_factory.mktemp("docs")
    world = {"start": "2018-06-04T12:00", "hours": 1, "regimes": ["convective"], "imerg": None, "truth": ["rain"]}
    simulate(World.model_validate(world), folder / "demo")
    shutil.copytree(ROOT / "configs", folder / "configs")
    return folder


def run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tutorial_runs_as_it_stands(place):
    code = "\n".join(blocks("tutorial.md", "python"))
    assert len([line for line in code.splitlines() if line.strip()]) <= 35
    told = run(code, place).splitlines()
    assert told[0] == "Météo-France mosaic 32 frames every 5.0 min"
    assert told[1] == "{'time': 13, 'y': 256, 'x': 256} mm h-1" and told[2].endswith("% not observed")
    assert told[3] == "1 day written from 32 files"
    assert told[4].startswith("5 half hours; the wettest: 2018-06-04T1")
    assert (place / "demo/half_hour.png").stat().st_size > 10_000


def test_the_page_of_scores_runs_and_prints_what_it_shows(tmp_path):
    told = run("\n".join(blocks("scores.md", "python")), tmp_path)
    shown = "".join(blocks("scores.md", "text"))
    assert told == shown and len(told.splitlines()) == 8


def test_the_page_of_scores_is_that_of_the_catalogue(tmp_path):
    tool = [sys.executable, str(ROOT / "tools/scores_page.py"), "--check"]
    done = subprocess.run(tool, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_stale_page_of_scores_is_noticed():
    spec = importlib.util.spec_from_file_location("scores_page", ROOT / "tools/scores_page.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = (ROOT / "docs/scores.md").read_text(encoding="utf-8")
    assert tool.page(text.replace("$$a/(a+b+c)$$", "$$a/(a+b)$$")) == text
    for name in SCORES:
        assert f"<!-- generated: {name} -->" in text
    with pytest.raises(SystemExit, match="sal"):
        tool.page(text.replace("<!-- generated: sal -->", ""))


def test_the_configuration_of_the_guide_can_be_read_and_shows_every_key(tmp_path):
    (text,) = blocks("collocation.md", "yaml")
    (tmp_path / "guide.yaml").write_text(text)
    made = config.load(tmp_path / "guide.yaml")
    assert made.start == "2018-06-01" and made.inputs["radar"].quality == 0.5
    shown = set(re.findall(r"(\w+):", text))
    assert [name for model in MODELS for name in model.model_fields if name not in shown] == []


def test_every_key_says_what_it_does():
    silent = [name for model in MODELS for name, field in model.model_fields.items() if not field.description]
    assert silent == []


def test_radar_half_hours_builds_and_the_guide_reads_it(place):
    report = build(place / "configs/radar-half-hours.yaml")
    assert (report.written, report.rejected) == (1, [])
    store = Store(place / "demo/radar-half-hours.zarr")
    data = store.dataset()
    assert int((data["radar_frames"] == 6).sum()) == 5 and float(data["radar_rain_rate"].max()) > 1
    assert {"radar_wet_fraction", "radar_rain_maximum", "radar_rain_variability", "radar_coverage"} <= set(data)
    (code,) = blocks("collocation.md", "python")
    told = run(code, place).splitlines()
    assert float(told[0].split()[0]) > 0.1 and "2018-06-04T00:00" in told[1]


def test_imerg_radar_builds(place, tmp_path):
    grid = Grid.lattice((-5.5, 42.0, 8.5, 51.5))
    (tmp_path / "imerg").mkdir()
    for start in times("2018-06-04T12:00", 2, 30):
        minute = np.full((1, *grid.shape), 7.0, np.float32)
        fields = {
            "rain_rate": Variable(np.full((1, *grid.shape), 0.25, np.float32)),
            "microwave_rain_rate": Variable(np.full((1, *grid.shape), 0.5, np.float32)),
            "microwave_source": Variable(np.full((1, *grid.shape), 9.0, np.float32)),
            "microwave_minute": Variable(minute),
            "quality_index": Variable(np.full((1, *grid.shape), 0.8, np.float32)),
        }
        bounds = [[start, start + np.timedelta64(30, "m")]]
        made = assemble(fields, grid, [start], bounds, label="start", product="IMERG", where="test")
        imerg_writer.write(tmp_path / "imerg", made)
    data = built(place, tmp_path, "imerg-radar")
    first = data.sel(time="2018-06-04T12:00")
    assert float(first["imerg_microwave_minute"].max()) == 7 and float(first["imerg_rain_rate"].min()) == 0.25
    store = str(tmp_path / "imerg-radar.zarr")
    sides = Sides(
        [f"IMERG={store}", store], options={"input": "imerg"}, truth_options={"input": "radar"}
    )  # as the guide to verification says
    found = verification(
        sides,
        Settings(scores=("point",)),
        Outputs(tmp_path / "scores.nc"),
        block="auto",
        replicates=100,
        level=0.95,
        reference=None,
        workers=1,
        cluster=None,
    )
    assert found.facts["estimates"]["IMERG"]["frames"] == 2
    assert float(found.scores["point"]["mean_estimate"].sel(population="all").item()) == 0.25
    assert float(first["radar_rain_rate"].max()) > 0.1 and int(data["imerg_frames"].sum()) == 2


def test_seviri_radar_builds(place, tmp_path):
    from ondee.grid import transformer

    x, y = transformer(LATITUDE_LONGITUDE, geostationary(0)).transform(2.5, 47.0)
    grid = Grid(geostationary(0), round(x, -3) - 90_000, round(y, -3) + 90_000, 3000.4, 3000.4, 60, 60)
    stamps = times("2018-06-04T12:00", 2, 15)
    channels = ("WV_062", "WV_073", "IR_087", "IR_097", "IR_108", "IR_120", "IR_134")
    values = np.full((2, len(channels), *grid.shape), 250.0, np.float32)
    bounds = [[stamp, stamp + np.timedelta64(15, "m")] for stamp in stamps]
    made = assemble(
        {"brightness_temperature": Variable(values)},
        grid,
        stamps,
        bounds,
        label="start",
        product="SEVIRI",
        where="test",
        channels=channels,
    )
    (tmp_path / "seviri").mkdir()
    seviri_netcdf.write(tmp_path / "seviri/seviri_bt.nc", made)
    data = built(place, tmp_path, "seviri-radar")
    first = data.sel(time="2018-06-04T12:00")
    assert first["seviri_brightness_temperature"].dims == ("channel", "y", "x")
    assert float(first["seviri_brightness_temperature"].max()) == pytest.approx(250)
    assert int(first["radar_frames"]) == 3 and float(first["radar_rain_rate"].max()) > 0.1


def built(place, folder, name) -> xr.Dataset:
    """Build a shipped configuration beside links to its data."""
    (folder / "radar").symlink_to(place / "demo/radar")
    shutil.copy(ROOT / f"configs/{name}.yaml", folder)
    report = build(folder / f"{name}.yaml")
    assert report.rejected == []
    return Store(folder / f"{name}.zarr").dataset()
