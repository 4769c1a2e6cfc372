"""A run: a folder that holds a trained model and all that is needed to use it, judge it and trust it.

``config.yaml`` rebuilds the model, ``model.safetensors`` holds its weights and scalings, ``README.md`` is its model
card, ``provenance.json`` says what made it, ``metrics.jsonl`` how it learnt. The folder is a repository as the model
hubs want it.
"""

from __future__ import annotations

from ondee.run.folder import CONFIG, METRICS, PROVENANCE, WEIGHTS, machine, metrics_of, write_text
from ondee.run.latent import RainLearnt, described_latent, fingerprint_of, load_latent, rain_learnt, save_latent
from ondee.run.learning import LatentRun, latent_runs
from ondee.run.retrieval import described, load, require, save

__all__ = [
    "CONFIG",
    "METRICS",
    "PROVENANCE",
    "WEIGHTS",
    "LatentRun",
    "RainLearnt",
    "described",
    "described_latent",
    "fingerprint_of",
    "latent_runs",
    "load",
    "load_latent",
    "machine",
    "metrics_of",
    "rain_learnt",
    "require",
    "save",
    "save_latent",
    "write_text",
]
