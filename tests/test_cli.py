import ast
import inspect
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

import ondee
from fields import FRANCE, LAEA, radar, showers
from ondee import cli
from ondee.facts import survey
from ondee.grid import Grid
from ondee.terminal import block_map, coarse, show_survey


@pytest.fixture
def folder(tmp_path):
    radar(showers(frames=3)).to_netcdf(tmp_path / "radar.nc", engine="h5netcdf")
    return tmp_path


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


def test_version(capsys):
    assert run(capsys, "--version")[:2] == (0, f"{ondee.__version__}\n")


COMMANDS = [
    "look",
    "build",
    "floor",
    "verify",
    "simulate",
    "validate",
    "combine",
    "report",
    "train",
    "retrieve",
    "encode",
    "decode",
    "traverse",
    "atlas",
    "demo",
]


def test_every_command_is_tested():
    assert {name for name in cli.app if not name.startswith("-")} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    documented = inspect.signature(getattr(cli, command)).parameters
    for name in documented:
        assert name.replace("_", "-") in out.lower().replace("\n", " "), name


@pytest.mark.parametrize("command", COMMANDS)
def test_bodies_are_short(command):
    (function,) = ast.parse(inspect.getsource(getattr(cli, command))).body
    body = function.body[1:] if ast.get_docstring(function) else function.body
    assert body[-1].end_lineno - body[0].lineno + 1 <= 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lok",), 'Did you mean "look"?'),
        (("look", "--jsn", "x"), "Did you mean --json?"),
        (("look",), "requires an argument"),
        (("look", "x.nc", "--region", "1,2"), "west,south,east,north"),
        (("look", "x.nc", "--option", "corner"), "NAME=VALUE"),
        (("floor", "x.nc", "--interval", "5,middle"), "5,start"),
        (("floor", "x.nc", "--style", "poster"), "paper"),
        (("build",), "CONFIG"),
    ],
)
def test_wrong_use_ends_with_2_and_three_lines(capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert [line.split()[0] for line in err.splitlines()] == ["error", "where", "fix"]


def test_an_error_ends_with_1_and_three_lines(capsys, tmp_path):
    code, out, err = run(capsys, "look", tmp_path / "none.nc")
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == "error  there is no such file or folder"
    assert [line.split()[0] for line in err.splitlines()] == ["error", "where", "fix"]


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ondee.OndeeError):
        cli.main(["--debug", "look", str(tmp_path / "none.nc")])


def test_interrupted(capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ondee.command.look.look", stop)
    assert run(capsys, "look", "x.nc")[0] == 130


def test_a_closed_pipe_is_no_error(folder):
    command = f"{sys.executable} -m ondee.cli look --json {folder / 'radar.nc'} | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


def test_look_prints_facts(capsys, folder):
    code, out, err = run(capsys, "look", folder / "radar.nc")
    assert (code, err) == (0, "")
    for words in (
        "a radar",
        "2018-06-04 12:00:00 to 2018-06-04 12:10:00 UTC",
        "3 in 1 file, every 5 min, none missing",
    ):
        assert words in out
    assert "blank: not observed" in out


def test_look_json_is_pure_and_the_same_facts(capsys, folder):
    (folder / "notes.txt").write_text("no radar")
    code, out, err = run(capsys, "look", folder, "--json")
    assert (code, err) == (0, "")
    tree = json.loads(out)
    assert tree == json.loads(json.dumps(survey(folder).as_dict()))
    assert tree["left_out"] == {str(folder / "notes.txt"): "no reader knows this file"}
    assert tree["products"][0]["variables"][0]["statistics"]["wet_fraction"] == pytest.approx(0.3, abs=0.05)


def test_look_at_a_region(capsys, folder):
    _, out, _ = run(capsys, "look", folder / "radar.nc", "--json", "--region", "-2,45,1,47")
    assert json.loads(out)["products"][0]["grid"]["shape"] == [20, 30]


def test_look_draws_and_does_not_overwrite(capsys, folder):
    arguments = ("look", folder / "radar.nc", "--png", folder / "map.png")
    assert run(capsys, *arguments)[0] == 0
    assert (folder / "map.png").read_bytes()[:4] == b"\x89PNG"
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "") and "the file exists" in err
    assert run(capsys, *arguments, "--force")[0] == 0


def test_look_refuses_to_draw_two_products_as_one(capsys, folder):
    radar(showers(), product="another").to_netcdf(folder / "other.nc", engine="h5netcdf")
    code, _, err = run(capsys, "look", folder, "--png", folder / "map.png")
    assert code == 1 and "2 products" in err
    assert not (folder / "map.png").exists()


def test_options_reach_the_reader(capsys, folder):
    code, _, err = run(capsys, "look", folder / "radar.nc", "--option", "cornre=edge")
    assert code == 1 and "no option 'cornre'" in err


def test_the_floor_of_a_world(capsys, tmp_path):
    (tmp_path / "world.yaml").write_text("hours: 1\nimerg: null\ntruth: []\ndomain: {size: 128}\nradar: {range: 70}\n")
    code, out, err = run(capsys, "simulate", tmp_path / "world.yaml", "--out", tmp_path / "world", "--json")
    assert (code, err) == (0, "") and json.loads(out)["files"]["radar"] == 32
    radar, out, png = tmp_path / "world/radar", tmp_path / "f.nc", tmp_path / "f.svg"
    code, told, _ = run(capsys, "floor", radar, "--out", out, "--png", png)
    assert code == 0 and "RMSE/mean" in told and out.exists() and png.exists()


# ---- in a terminal


def test_coarse_blocks_are_means_of_observed_pixels():
    field = radar(showers())["rain_rate"].isel(time=0)
    blocks = coarse(field, 9, 10)
    values = field.values.reshape(9, 10, 10, 12).transpose(0, 2, 1, 3).reshape(9, 10, 120).astype(float)
    assert blocks == pytest.approx(np.nanmean(values, axis=-1))
    assert np.isnan(coarse(field * np.nan, 4, 4)).all()


def test_missing_dry_and_wet_are_drawn_apart():
    grid = Grid(LAEA, 0, 0, 1000, 1000, 60, 60)
    rain = np.zeros((1, 60, 60), np.float32)
    rain[0, :20], rain[0, 40:] = np.nan, 3.0
    lines = block_map(radar(rain, grid=grid)["rain_rate"].isel(time=0), colour=False, width=30).plain.splitlines()
    rows = [line[1:-1] for line in lines[2:-2]]
    assert {rows[0], rows[len(rows) // 2], rows[-1]} == {" " * len(rows[0]), "." * len(rows[0]), "*" * len(rows[0])}
    assert "* 2" in lines[-1] and "blank: not observed" in lines[-1]


@pytest.mark.parametrize(("colours", "marks"), [(None, "|"), ("truecolor", "▀")])
def test_colours_only_where_the_terminal_has_them(folder, colours, marks):
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
    console = Console(file=file, force_terminal=colours is not None, color_system=colours, width=100)
    show_survey(survey(folder / "radar.nc"), console)
    told = written.getvalue().decode()
    assert marks in told
    assert ("\x1b[" in told) == (colours is not None)


def test_a_small_grid_is_drawn():
    grid = FRANCE.crop(slice(0, 2), slice(0, 3))
    assert block_map(radar(np.ones((1, 2, 3)), grid=grid)["rain_rate"].isel(time=0), colour=True).plain


def test_verify_tells_what_it_would_do_and_what_it_found(capsys, tmp_path):
    frames = showers(frames=8)
    radar(frames, step=15, product="radar").to_netcdf(tmp_path / "truth.nc", engine="h5netcdf")
    radar(frames * 0.5, step=15, product="half").to_netcdf(tmp_path / "half.nc", engine="h5netcdf")
    specs = (f"half={tmp_path / 'half.nc'}", tmp_path / "truth.nc", "--out", tmp_path / "scores.nc")
    how = (
        "--persistence",
        "15,30",
        "--scores",
        "event,point",
        "--thresholds",
        "0.5,1",
        "--by",
        "hour",
        "--sample",
        "own",
    )
    code, out, _ = run(capsys, "verify", *specs, *how, "--dry-run")
    assert code == 0 and not (tmp_path / "scores.nc").exists()
    assert "split by    hour; pixels: own" in out and "half" in out and "persistence 15 min" in out
    code, out, err = run(capsys, "verify", *specs, *how, "--replicates", "200")
    assert code == 0, err
    assert "CSI ≥ 1 mm h⁻¹ ↑" in out and "persistence 30 min" in out and (tmp_path / "scores.nc").exists()
    code, out, err = run(capsys, "verify", *specs, *how)
    assert code == 1 and err.startswith("error  the file exists") and len(err.splitlines()) == 3
    code, out, err = run(capsys, "verify", *specs, *how, "--force", "--json", "--replicates", "200")
    told = json.loads(out)
    assert told["facts"]["command"].startswith("ondee verify half=") and "--json" in told["facts"]["command"]
    csi = told["scores"]["event"]["variables"]["probability_of_detection"]
    assert csi["dims"] == ["estimate", "stratum", "threshold"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--thresholds", "a,b"), "thresholds"),
        (("--persistence", "x"), "persistence"),
        (("--interval", "15"), "write minutes and label"),
        (("--truth-option", "quantity"), "NAME=VALUE"),
        (("--sample", "mine"), "sample"),
    ],
)
def test_verify_refuses_what_it_cannot_read(capsys, tmp_path, arguments, words):
    code, _, err = run(capsys, "verify", "a.nc", "b.nc", "--out", tmp_path / "s.nc", *arguments)
    assert code == 2 and words in err and len(err.splitlines()) == 3
