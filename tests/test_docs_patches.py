"""What the guide says of training on LATMOS patches: their store builds, a model learns from it and retrieves."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from ondee import run
from ondee.building import build
from ondee.errors import GridError
from ondee.retrieval import Options, retrieve
from ondee.source.patches import CHANNELS
from ondee.store import Store
from ondee.training.material import gather
from ondee.training.settings import read

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SIDE = 32


def write_patch(folder: Path, day: int, minute: int) -> None:
    rng = np.random.default_rng([day, minute])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    cold = np.sin((columns + minute) / 7 + day) * np.sin(rows / 9)
    layers = {name: (260 - 30 * cold + rng.normal(0, 1, cold.shape)).astype(np.float32) for name in CHANNELS}
    rain = np.where(cold > 0.5, np.round(rng.gamma(1, 3, cold.shape), 1), 0).astype(np.float32)
    rain[:3] = np.nan
    layers |= {"rain_rate": rain, "rain_quality": np.full(rain.shape, 90, np.float32)}
    np.save(folder / f"sevmos_2019-08-{day:02d}_12:{minute:02d}:00_1.npy", layers, allow_pickle=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    (folder / "patches").mkdir()
    for day in range(1, 25):
        write_patch(folder / "patches", day, 5)
    for name in ("patches-store", "train-patches"):
        shutil.copy(CONFIGS / f"{name}.yaml", folder)
    return folder


def test_patches_make_a_store_that_is_learnt_from_and_retrieved(place):
    torch.set_num_threads(1)
    report = build(place / "patches-store.yaml")
    assert (report.written, report.rejected) == (24, [])
    material = gather(read(place / "train-patches.yaml", settings={"widths": (8, 16)}, patch=16))
    assert material.model.predictors.channels == CHANNELS and material.model.predictors.auxiliary == ()
    assert material.model.predictors.cell == (1.0, 1.0) and len(material.training.scenes) == 15
    assert np.isfinite(material.training[0].images.numpy()).any()
    run.save(place / "run", material.model, model="unet", about={})
    store = place / "patches.zarr"
    done = retrieve(place / "run", store, place / "rain.zarr", Options(split="test"))
    assert done.moments == len(np.flatnonzero(Store(store).root["radar_frames"][:][Store(store).split("test")]))
    rain = xr.open_zarr(place / "rain.zarr", consolidated=False)["rain_rate"]
    assert rain.shape[-2:] == (SIDE, SIDE) and np.isfinite(rain.values).all()


def test_planes_that_need_a_place_are_refused_where_it_is_not_known(place):
    if not (place / "patches.zarr").exists():
        build(place / "patches-store.yaml")
    told = (place / "train-patches.yaml").read_text().replace("auxiliary: []", "auxiliary: [sun_zenith_cosine]")
    (place / "placed.yaml").write_text(told)
    with pytest.raises(GridError, match="position"):
        gather(read(place / "placed.yaml"))
