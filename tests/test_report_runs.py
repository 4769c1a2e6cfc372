"""The page of runs of autoencoders of sequences: rows, sentences, figures, what is not finished and what is refused."""

import json
import shutil
from base64 import b64decode

import pytest
import torch

from ondee import run
from ondee.cli import main
from ondee.errors import ConfigError, ReadError, StoreError
from ondee.output import whole
from ondee.plot.training import draw_learning
from ondee.report.run_words import run_summary
from ondee.report.runs import write_runs_report
from ondee.topographic.model import TopographicVAE
from ondee.topographic.settings import LatentSettings
from ondee.training.session import train
from ondee.training.settings import LatentConfig
from test_report import Page

torch.set_num_threads(1)

RAIN = {"frames": 12, "step_minutes": 5, "cell_km": [2.0, 2.0], "crop": "eulerian"}
PICTURE = b"\x89PNG\r\n\x1a\n of step "


def config(**more):
    told = {
        "model": "tvae",
        "sequences": "sprites",
        "settings": {"capsules": 2, "dimensions": [15], "widths": [1], "coherence": {"frames": 5, "width": 1}},
        "batch": 1,
        "steps": 2,
        "seed": 3,
        "validate_every": 1,
        "validation_samples": 1,
        "threads": 1,
        "pictures": False,
    }
    return LatentConfig.model_validate({**told, **more})


def write_run(folder, *, figures, kind="rain", steps=20, fingerprint="a", metrics=(), pictures=(), **settings):
    """A run that learnt nothing and says what it is told to say."""
    told = {"capsules": 2, "dimensions": [18], "network": "convolutional", "widths": [4], "features": 8}
    told |= {"coherence": {"frames": 3, "width": 1}, "likelihood": "censored" if kind == "rain" else "bernoulli"}
    model = TopographicVAE(LatentSettings.model_validate(told | settings), (1 if kind == "rain" else 3, 16, 16))
    about = {
        "training": {"sequences": kind, "steps": steps, "seed": 1, "batch": 8, "fingerprint": fingerprint},
        "figures": figures,
        "provenance": {"steps": steps, "seconds": {"training": 400.0}, "commit": "0123456789abcdef"},
        "rain": RAIN if kind == "rain" else {},
    }
    run.save_latent(folder, model, about=about)
    (folder / run.METRICS).write_text("".join(json.dumps(line) + "\n" for line in metrics))
    (folder / "pictures").mkdir()
    for step in pictures:
        (folder / "pictures" / f"{step:08d}.png").write_bytes(PICTURE + str(step).encode())
    (folder / "pictures" / "loss.png").write_bytes(b"no step")
    return folder


def rain_figures(skill, before, rolled=1.1, frozen=1.2):
    ahead = {"roll_skill_1": skill, "roll_skill_1_untrained": before, "rolled_1": rolled, "frozen_1": frozen}
    return {"nats": 0.95, "csi_0.1": 0.51, "csi_1": 0.39, "wet_ratio": 1.02, "pairs_1": 1084.9, **ahead}


def unfinish(folder):
    """As a training leaves its folder before it ends."""
    for name in (run.WEIGHTS, run.PROVENANCE, "README.md"):
        (folder / name).unlink()
    return folder


def words(*folders):
    return " ".join(one.text for folder in folders for one in run_summary(run.latent_runs(folder)))


def text_of(page):
    return " ".join(" ".join(page.words).split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of sprites, one of which was stopped."""
    home = tmp_path_factory.mktemp("runs")
    train(config(), out=home / "rolling")
    shutil.copytree(home / "rolling", home / "stopped")
    unfinish(home / "stopped")
    with whole(home / "stopped" / run.METRICS, force=True) as draft:
        lines = (home / "rolling" / run.METRICS).read_bytes().splitlines(keepends=True)
        draft.write_bytes(b"".join(lines[:1]) + b'{"step": 2, "lo')
    return home


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "rows.html"
    write_runs_report(runs, out)
    return out, Page(out.read_text(encoding="utf-8"))


# ---- the page


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere(page):
    out, held = page
    assert not held.wrong and not held.open
    anchors = {attrs["id"] for _, attrs in held.elements if "id" in attrs}
    for attrs in held.all("a"):
        assert attrs["href"].lstrip("#") in anchors or (out.parent / attrs["href"]).is_file()
    names = {path.name for path in (out.parent / "figures").iterdir()}
    assert names == {"learning-curves.png", "learning-curves.svg", "rolls-rolling.png", "rolls-rolling.svg"}
    images = [attrs["src"].partition(";base64,") for attrs in held.all("img")]
    starts = [b64decode(data)[:5] for _, _, data in images]
    assert [start[:4] for start in starts] == [b"<?xm", b"\x89PNG"]


def test_rows_tell_settings_and_figures(page, runs):
    text = text_of(page[1])
    figures = run.latent_runs(runs / "rolling")[0].figures
    for told in ("shifting", "5 frames × 1 place", "2 × 15", f"frozen {figures['frozen_scale']:.1f}"):
        assert told in text
    assert (
        f"{figures['capcorr_x']:.2f}".replace("-", "−") in text
        and "Capsule correlation" in text
        and "orientation" in text
    )
    assert "equivariance_drawn" in text and "identity" in text  # figures without a column, and those beside one
    assert "figures of the validation split" in text and "one training" in text


def test_what_is_not_finished_is_listed_with_its_last_metrics(page, runs):
    text = text_of(page[1])
    stopped = next(one for one in run.latent_runs(runs) if one.name == "stopped")
    assert not stopped.is_finished and stopped.figures == {} and stopped.steps == 1
    loss = f"{stopped.last('validation_loss')[1]:.1f}"
    assert f"stopped is unfinished: step 1 of 2, loss {loss} nats a frame on those of the validation" in text
    assert "The training left no picture" in text and "1 unfinished" in text


def test_the_same_runs_give_the_same_bytes(page, runs, tmp_path):
    again = write_runs_report(runs, tmp_path / "rows.html")
    assert again.read_bytes() == page[0].read_bytes()
    for path in (tmp_path / "figures").iterdir():
        assert path.read_bytes() == (page[0].parent / "figures" / path.name).read_bytes()


def test_the_command_writes_and_does_not_overwrite(tmp_path, capsys):
    write_run(tmp_path / "tvae", figures=rain_figures(0.3, 0.1), metrics=[{"step": 20, "loss": 5.0}], pictures=(9, 10))

    def report(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["report", str(tmp_path / "tvae"), *arguments])
        return ended.value.code or 0, capsys.readouterr()

    assert report()[0] == 0
    text = (tmp_path / "tvae" / "report.html").read_text(encoding="utf-8")
    assert "from step 10 of 20" in text
    assert (tmp_path / "tvae" / "figures" / "rolls-tvae.png").read_bytes() == PICTURE + b"10"
    code, told = report()
    assert code == 1 and "the file exists" in told.err
    assert report("--force", "--style", "screen")[1].out.strip().endswith("report.html")


def test_kinds_stand_apart_and_other_keys_leave_a_dash(tmp_path):
    write_run(tmp_path / "rain", figures=rain_figures(-0.2, -0.1))
    write_run(tmp_path / "more", figures={**rain_figures(0.2, 0.1), "roll_skill_2": 0.1, "rolled_2": 1.3}, steps=30)
    write_run(tmp_path / "digits", kind="digits", figures={"capcorr_hue": 0.9, "rolled_hue": 3.0, "frozen_hue": 9.0})
    page = Page(write_runs_report(tmp_path, tmp_path / "rows.html").read_text(encoding="utf-8"))
    text = text_of(page)
    assert "1 run of digits · 2 runs of rain" in text
    assert "Capsule correlation" in text and "hue" in text and "2 frames ahead" in text and "–" in text
    assert "No run has metrics" in text and "16 × 16 pixels, 5 min apart, cells of 2 × 2 km" in text


# ---- the sentences


@pytest.mark.parametrize(
    ("skill", "before", "told"),
    [
        (0.34, 0.1, "b rolls best: it has a roll skill of 0.34 one frame ahead, 0.10 untrained"),
        (
            0.34,
            0.4,
            "The highest roll skill is that of b, 0.34 one frame ahead, no more than the 0.40 that it has untrained",
        ),
        (-0.5, -0.4, "No run rolls as the rain moves: the highest is that of b, a roll skill of −0.50"),
    ],
)
def test_no_run_of_rain_is_praised_for_what_it_has_not_learnt(tmp_path, skill, before, told):
    write_run(tmp_path / "a", figures=rain_figures(-2.0, -0.3, rolled=1.3))
    write_run(tmp_path / "b", figures=rain_figures(skill, before))
    text = words(tmp_path)
    assert told in text
    assert "in b (1.100 against 1.200 nats a pixel), and in no other run" in text
    assert "validation split" in text and "one of seeds" in text
    assert "7 min" in text and "on commit 0123456789." in text


def test_what_does_not_compare_is_said(tmp_path):
    write_run(tmp_path / "a", figures=rain_figures(0.2, 0.1))
    write_run(tmp_path / "b", figures=rain_figures(0.3, 0.1), fingerprint="b", likelihood="hurdle-gamma", lead=[1])
    text = words(tmp_path)
    assert "The runs differ in data and likelihood:" in text
    assert "Only frames ahead were learnt by b" in text and "than latents left as they are in a" in text
    page = write_runs_report(tmp_path, tmp_path / "rows.html").read_text(encoding="utf-8")
    assert 'class="best"' not in page


def test_factors_are_told_by_the_run_that_is_ahead(tmp_path):
    first = {"capcorr_hue": 0.9, "capcorr_scale": 0.5, "capcorr_hue_untrained": 0.1, "capcorr_scale_untrained": 0.1}
    decoded = {"rolled_hue": 3.0, "frozen_hue": 9.0, "rolled_scale": 8.0, "frozen_scale": 7.0}
    write_run(tmp_path / "a", kind="digits", figures={**first, **decoded})
    assert "a rolls: mean capsule correlation 0.70 (hue 0.90, scale 0.50), 0.10 untrained" in words(tmp_path)
    write_run(tmp_path / "b", kind="digits", figures={**first, **decoded, "capcorr_hue": 0.2, "capcorr_scale": 0.6})
    text = words(tmp_path)
    assert "a rolls best" in text and "Other runs are ahead in single factors: b in scale (0.60)" in text
    assert "left as it is in hue (a); hue (b)." in text
    write_run(
        tmp_path / "c" / "d", kind="digits", figures={**first, "capcorr_hue": 0.0, "capcorr_scale": 0.1, **decoded}
    )
    assert "d does not roll more than untrained" in words(tmp_path / "c")


def test_a_run_without_figures_is_unfinished(tmp_path):
    write_run(tmp_path / "a", figures={}, pictures=(5,))
    assert "a is unfinished: step 20 of 20" in words(tmp_path)
    assert "they are found when a training ends" in write_runs_report(tmp_path, tmp_path / "r.html").read_text()


# ---- refusals


def test_what_is_no_run_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "empty")])
    told = capsys.readouterr().err
    assert ended.value.code == 1 and [line.split()[0] for line in told.splitlines()] == ["error", "where", "fix"]
    assert "scores.nc" in told and "ondee train --out" in told
    with pytest.raises(StoreError, match="no run"):
        write_runs_report(tmp_path / "empty", tmp_path / "r.html")
    write_run(tmp_path / "tvae", figures={})
    with pytest.raises(ConfigError, match="no style"):
        write_runs_report(tmp_path / "tvae", tmp_path / "r.html", style="poster")


def test_a_retrieval_is_refused_by_its_folder(tmp_path):
    write_run(tmp_path / "tvae", figures={})
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / run.CONFIG).write_text("model: unet\ntraining: {}\n")
    with pytest.raises(ReadError, match="'unet'") as caught:
        write_runs_report(tmp_path, tmp_path / "r.html")
    assert caught.value.where == str(tmp_path / "unet") and "ondee verify" in caught.value.fix
    assert not (tmp_path / "r.html").exists()


def test_damage_is_told_by_its_file(tmp_path):
    folder = write_run(tmp_path / "tvae", figures={})
    (folder / run.PROVENANCE).write_text("{")
    with pytest.raises(ReadError, match="provenance cannot be read"):
        run.latent_runs(folder)
    (folder / run.PROVENANCE).write_text('{"figures": 3, "steps": "many", "seconds": 4}')
    held = run.latent_runs(folder)[0]
    assert held.figures == {} and held.steps == 0 and not held.is_finished


# ---- learning curves


def test_losses_of_several_runs_share_a_figure_and_not_an_axis_of_other_data():
    lines = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "validation_loss": 1.5}]
    lower = [{**line, **{key: -line[key] for key in line if "loss" in key}} for line in lines]
    figure = draw_learning({"a": lines, "b": lines, "c": lower}, panels={"a": "Rain", "b": "Rain", "c": "Digits"})
    rain, digits = figure.axes
    assert [ax.get_title(loc="left") for ax in (rain, digits)] == ["Rain", "Digits"]
    assert [list(line.get_ydata()) for line in rain.lines] == 2 * [[2.0, 1.0], [1.5]]
    assert (rain.get_yscale(), digits.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in rain.get_legend().get_texts()] == ["a", "b", "training sequences"]
    assert len(draw_learning({"a": lines}).axes) == 1
