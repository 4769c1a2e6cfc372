"""Train small models side by side: how many images, which source, which scaling; and all kinds on one real day.

``python -m benchmarks.ablations STORE --out RUNS [--pair] [--only NAME …]`` trains them one after the other, each
in a folder of its own, and goes on where it was cut short. ``python -m benchmarks.retrieval`` judges them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ondee.training.session import train
from ondee.training.settings import TrainConfig

WIDTHS = [16, 32, 64]
"""Of all networks here: a quarter of a million parameters each."""
LONG, SHORT = 3000, 1500
"""Steps: of what is compared by the number of images and of every regression; of flows that differ otherwise."""


def variants() -> dict[str, dict[str, Any]]:
    """Configuration of each run by its name, in the order in which they are trained: parts come first."""
    made: dict[str, dict[str, Any]] = {}
    for minutes in ([0, 15, 30, 45], [0], [0, 15]):
        frames = len(minutes)
        looks = {"minutes": minutes}
        made[f"unet-t{frames}"] = {
            "model": "unet",
            "steps": LONG,
            "predictors": looks,
            "settings": {"widths": WIDTHS},
        }
        made[f"flow-t{frames}"] = {
            "model": "flow",
            "steps": LONG,
            "predictors": looks,
            "settings": {"widths": WIDTHS},
            "parts": {"mean": f"unet-t{frames}"},
        }
    four = made["flow-t4"] | {"steps": SHORT}
    for source in ("mean", "noise", "residual", "pmrf"):
        made[f"flow-{source}"] = four | {"settings": {"widths": WIDTHS, "source": source}}
    for kind in ("log1p", "sqrt", "raw"):
        rain = {"rain": {"kind": kind}, "widths": WIDTHS}
        made[f"unet-{kind}"] = made["unet-t4"] | {"settings": rain}
        made[f"flow-{kind}"] = four | {"settings": rain, "parts": {"mean": f"unet-{kind}"}}
    return made


def pair_variants() -> dict[str, dict[str, Any]]:
    """The models on the pair of likelihood and radar: small, for there are nineteen fields to learn from."""
    looks = {"minutes": [0, 15, 30, 45]}
    common = {
        "images": "satellite_precipitation_likelihood",
        "predictors": looks,
        "batch": 8,
        "validation_samples": 64,
        "settings": {"widths": WIDTHS},
    }
    mean = {"parts": {"mean": "unet"}}
    return {
        "unet": common | {"model": "unet", "steps": 600},
        "flow": common | {"model": "flow", "steps": 1200} | mean,
        "crps": common | {"model": "crps", "steps": 600},
        "ddpm": common | {"model": "ddpm", "steps": 1200, "predictors": {"minutes": [0]}},
        "matched": common | {"model": "matched", "settings": {}} | mean,
        "matched-noise": common | {"model": "matched", "settings": {"kind": "noise"}} | mean,
        "threshold": common | {"model": "threshold", "settings": {}},
    }


def configured(store: Path, out: Path, name: str, given: Mapping[str, Any], threads: int) -> TrainConfig:
    """The configuration of one run."""
    parts = {part: str(out / run) for part, run in given.get("parts", {}).items()}
    common = {
        "store": str(store),
        "run": str(out / name),
        "rate": 1e-3,
        "warmup": 100,
        "seed": 1,
        "workers": 0,
        "precision": "bf16-mixed",
    }
    often = {"validate_every": 500, "checkpoint_every": 500, "threads": threads}
    return TrainConfig.model_validate({**common, **often, **given, "parts": parts})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--pair", action="store_true", help="the models of the real pair")
    parser.add_argument("--only", nargs="*", help="names of runs to train")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    for name, given in (pair_variants() if asked.pair else variants()).items():
        if asked.only and name not in asked.only:
            continue
        done = train(configured(asked.store.resolve(), asked.out.resolve(), name, given, asked.threads))
        print(name, done.figures if done is not None else "", flush=True)


if __name__ == "__main__":
    main()
