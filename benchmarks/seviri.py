"""Apply a model of the synthetic world to real SEVIRI images, to see whether what comes out is sane.

``python -m benchmarks.seviri IMAGES [--run flow] [--out docs/images/retrieval_seviri.png]`` brings the images onto
cells of 4 km, retrieves the newest of them and draws it. No radar is compared, and no skill follows from the picture.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
import yaml

import ondee
from ondee.building import build
from ondee.grid import Grid
from ondee.plot.retrieval import draw_retrievals
from ondee.retrieval import Options, retrieve
from ondee.store import Store
from ondee.units import tag

CELL = 4.0
_SHOWN = 3
_LEAST = 1.0
"""Rate whose probability is drawn, mm h-1."""


def configuration(images: Path) -> dict[str, object]:
    """Configuration of a store of the images on an equal-area grid about their middle."""
    with ondee.open(str(images)) as dataset:
        grid = Grid.of(dataset["brightness_temperature"])
    longitude, latitude = grid.longitude_latitude()
    west, east = float(np.nanmin(longitude)), float(np.nanmax(longitude))
    south, north = float(np.nanmin(latitude)), float(np.nanmax(latitude))
    middle = ((west + east) / 2, (south + north) / 2)
    width = (east - west) * 111.2 * np.cos(np.radians(middle[1]))
    columns, rows = (int(0.8 * side / CELL) for side in (width, (north - south) * 111.2))
    return {
        "store": "seviri.zarr",
        "grid": {
            "crs": f"+proj=laea +lat_0={middle[1]:.2f} +lon_0={middle[0]:.2f} +ellps=WGS84",
            "west": -500.0 * CELL * columns,
            "north": 500.0 * CELL * rows,
            "dx": 1000 * CELL,
            "dy": 1000 * CELL,
            "nx": columns,
            "ny": rows,
        },
        "step": 15,
        "inputs": {
            "seviri": {"paths": [str(images.resolve())], "variables": ["brightness_temperature"], "time": "label"}
        },
    }


def picture(store: Path, rain: Path) -> xr.Dataset:
    """The newest moment: infrared, members, mean and probability."""
    images, made = Store(store).dataset(), xr.open_zarr(rain, consolidated=False)
    last = made.isel(time=-1)
    names = [f"member {number + 1}" for number in range(_SHOWN)] + ["mean", "matched mean", "detected"]
    members = [last["rain_rate"].isel(member=number, drop=True) for number in range(_SHOWN)]
    fields = [*members, last["rain_rate_mean"], last["rain_rate_matched"], last["rain_rate_detected"]]
    panels = xr.concat([field.drop_vars("threshold", errors="ignore") for field in fields], "panel", coords="minimal")
    coldness = images["seviri_brightness_temperature"].sel(time=last["time"], channel="IR_108")
    probability = last["rain_probability"].sel(threshold=_LEAST)
    scene = xr.Dataset(
        {
            "rain_rate": tag(panels.assign_coords(panel=names), "rain_rate"),
            "brightness_temperature": coldness.drop_vars(["channel", "split", "written"], errors="ignore"),
            "probability": probability.drop_vars("threshold").assign_attrs(threshold=_LEAST),
        }
    )
    return scene.assign_coords(crs=made["crs"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--run", default="flow")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("docs/images/retrieval_seviri.png"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "seviri.yaml"
        plan.write_text(yaml.safe_dump(configuration(asked.images)))
        build(plan)
        store, rain = Path(folder) / "seviri.zarr", Path(folder) / "rain.zarr"
        with ondee.open(str(asked.images)) as dataset:
            newest = str(dataset["time"].values.max().astype("datetime64[m]"))
        retrieve(asked.run, store, rain, Options(members=asked.members, seed=asked.seed, batch=4, start=newest))
        draw_retrievals(picture(store, rain), asked.out, force=True)
    print(asked.out)


if __name__ == "__main__":
    main()
