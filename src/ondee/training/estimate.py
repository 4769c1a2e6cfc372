"""What a training would take, told from three of its steps."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from torch import nn

from ondee.training.material import Material, gather, trained
from ondee.training.memory import keep_memory
from ondee.training.session import Devices, checked, precision_of
from ondee.training.settings import LearningConfig

__all__ = ["estimate"]

_TRIED = 3


def estimate(config: LearningConfig, on: Devices | None = None) -> dict[str, Any]:
    """Tell what a training would do, from three steps of it.

    Parameters
    ----------
    config, on
        As in :func:`train`.

    Returns
    -------
    dict
        Parameters, moments of each split, bytes of a batch, memory, seconds of a step and of all.
    """
    on = checked(on or Devices(), config)
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    keep_memory()
    material = gather(config)
    gpu = on.accelerator != "cpu" and torch.cuda.is_available()
    model = material.model.to("cuda" if gpu else "cpu")
    seconds, size = _tried(material, model, on, gpu)
    devices = (on.devices if isinstance(on.devices, int) else 1) * on.nodes
    return {
        "model": material.told()["model"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained_parameters": sum(parameter.numel() for parameter in trained(model)),
        "moments": material.counts(),
        "steps": config.steps,
        "batch": config.batch,
        "batch_megabytes": round(size / 1e6, 1),
        "memory_megabytes": round(_memory(gpu) / 1e6),
        "device": torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads",
        "step_seconds": round(seconds / devices, 4),
        "training_seconds": round(seconds / devices * config.steps),
    }


def _tried(material: Material, model: nn.Module, on: Devices, gpu: bool) -> tuple[float, int]:
    """Seconds of a step, the first left out, and bytes of a batch."""
    config = material.config
    device = torch.device("cuda" if gpu else "cpu")
    optimiser = material.optimiser() if trained(model) else None
    for group in optimiser.param_groups if optimiser is not None else []:
        group["lr"] = 0.0  # the steps are timed, not learnt from
    taken, size = [], 0
    batches = iter(material.loader(max(0, config.steps - _TRIED)))
    for batch in batches:
        began = time.monotonic()
        batch = material.placed(batch, device)
        with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in precision_of(config, on)):
            losses = material.loss(model, batch, 0)
        if optimiser is not None:
            optimiser.zero_grad()
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        float(losses["loss"].detach())
        taken.append(time.monotonic() - began)
        size = material.size(batch)
    return min(taken[1:] or taken), size


def _memory(gpu: bool) -> int:
    """Largest memory so far, bytes: of the GPU, or of the process."""
    if gpu:
        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
