"""Fit a finished run again: ``python tools/refit.py RUN STORE OUT``.

Threshold, curve, sampling and odds of a model come from validation days at the end of its training. Where the way of
fitting has changed since, this does it again with the weights as they are and writes the run to another folder, which
must not be there. Its provenance names the commit of the fit, and that of the training as ``trained_with``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
import yaml

from ondee import run
from ondee.batches import Scenes
from ondee.fitting import fit
from ondee.store import Store


def main() -> None:
    """Fit and write."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    place, store, out = (Path(text) for text in sys.argv[1:4])
    if out.exists():
        sys.exit(f"{out} is there: choose another folder")
    retriever = run.load(place)
    config = yaml.safe_load((place / run.CONFIG).read_text(encoding="utf-8"))
    origin = json.loads((place / run.PROVENANCE).read_text(encoding="utf-8"))
    told = config["training"]
    scenes = Scenes(Store(store), retriever.predictors, split="validation", images=told["images"], rain=told["rain"])
    figures = origin["figures"] | fit(retriever, scenes, seed=told["seed"])
    provenance = {key: value for key, value in origin.items() if key not in ("data", "figures", *run.machine())}
    about = {
        "training": told,
        "data": origin["data"],
        "figures": figures,
        "provenance": provenance | {"store": store.name, "trained_with": origin.get("trained_with", origin["commit"])},
    }
    run.save(out, retriever, model=config["model"], about=about)
    shutil.copyfile(place / run.METRICS, out / run.METRICS)
    print(figures)


if __name__ == "__main__":
    main()
