"""Denoising diffusion as rain retrievals have had it: from noise to rain in hundreds of steps.

Rain as it is, scaled by the mean and deviation of wet pixels alone; the images of one moment go beside it as channels;
a network predicts the noise, all pixels alike. A draw makes one evaluation a step:

========================== ==================================================================================
steps of the sampling      each evaluation is
========================== ==================================================================================
as many as were learnt     a random step back (`ancestral`); rain is cut at the end only, as is usual
fewer                      a step of DDIM on as many of the learnt steps: no noise but that of the start
========================== ==================================================================================

`sampler` makes it one or the other whatever their number. DDIM cuts its guess of the rain at 0 and at the largest rate
at each step: from nearly pure noise a small error of the noise is an error of hundreds of mm/h, which long steps keep.
The noise scale of the sampling is a factor on all noise of a draw, that of the start and that of its steps.

References
----------
J. Ho et al., NeurIPS 2020 (DDPM, Algorithms 1 and 2); A. Nichol and P. Dhariwal, ICML 2021 (cosine schedule, fewer
steps); J. Song et al., ICLR 2021 (DDIM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.errors import ConfigError
from ondee.generative.diffusion import ancestral, cosine_betas, ddim, denoised, noised, signals, strided
from ondee.generative.noise import Noise
from ondee.nn.unet import UNet
from ondee.retriever.protocol import Retriever, Sampling, Stage, States, Statistics, by_member, weighted
from ondee.transform import Planes, RainTransform

__all__ = ["DDPM", "Settings"]


class Settings(Part):
    """Of the diffusion."""

    diffusion_steps: Annotated[int, Field(ge=2, le=4000)] = 500
    """Steps from rain to noise that are learnt."""
    most_beta: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Where the variances of the cosine schedule are cut."""
    sampler: Literal["ancestral", "ddim"] | None = None
    """How a draw goes back; left out: `ancestral` over all steps, `ddim` over fewer."""
    frames: Annotated[int, Field(ge=1, le=16)] = 1
    """Images looked at, from the newest; the predictors may hold more."""
    widths: Annotated[tuple[Annotated[int, Field(ge=4, le=1024)], ...], Field(min_length=1)] = (32, 64, 128)
    """Channels at 1/2, 1/4, 1/8 … of the resolution."""
    dilations: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (1, 2)
    """Spread of the blocks at the coarsest level."""
    embedding: Annotated[int, Field(ge=8, le=512, multiple_of=2)] = 64
    """Width of the embedding of the step."""
    sampling: Sampling | None = None
    """How members are drawn: `steps` evaluations, solver `euler`. Left out: every step that was learnt."""


class DDPM(Retriever):
    """Noise to rain by the steps of a learnt chain."""

    settings_type = Settings
    calibrated = False
    kept: Tensor

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        if settings.frames > len(predictors.minutes):
            raise ConfigError(
                f"the model looks at {settings.frames} images, and the predictors hold {len(predictors.minutes)}",
                where="settings, frames",
                fix=f"set frames: {len(predictors.minutes)}, or add minutes to the predictors",
            )
        looked_at = replace(predictors, minutes=predictors.minutes[: settings.frames])
        self.planes = Planes(looked_at, self.planes.mean, self.planes.deviation)
        self.rain = RainTransform(
            "raw",
            centre=statistics.rain_wet_mean,
            scale=statistics.rain_wet_deviation,
            largest=1.5 * statistics.rain_largest,
        )
        self.sampling = settings.sampling or Sampling(steps=settings.diffusion_steps)
        kept = signals(cosine_betas(settings.diffusion_steps, settings.most_beta))
        self.register_buffer("kept", kept.float(), persistent=False)
        self._signals = kept.tolist()
        more: dict[str, Any] = {"embedding": settings.embedding, "dilations": settings.dilations}
        self.network = UNet(looked_at.planes + 1, 1, settings.widths, **more)

    def predicted(self, noisy: Tensor, step: Tensor, planes: Tensor) -> Tensor:
        """The noise in rain that has been noised.

        Parameters
        ----------
        noisy
            ``(B, 1, H, W)``, in the scaling of the rain.
        step
            ``(B,)``: 0 for the first step from rain to noise.
        planes
            What the network sees of the condition, ``(B, K, H, W)``.
        """
        share = (step + 1) / self.settings.diffusion_steps
        return cast(Tensor, self.network(torch.cat([planes, noisy], dim=1), share))

    # ---- learning

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Squared error of the noise at a random step of each sample; all observed pixels count alike."""
        # Where there was no radar, dry rain stands in for what the network sees; it is no target there.
        clean = self.rain(torch.nan_to_num(batch.rain, nan=0.0))[:, None]
        total = self.settings.diffusion_steps
        step = (noise.scalars("step", uniform=True) * total).long().clamp(max=total - 1)
        added = noise.normal("added")
        noisy = noised(clean, added, self.kept[step][:, None, None, None])
        error = (self.predicted(noisy, step, self.planes(batch.condition)) - added).square()
        return {"loss": weighted(error[:, 0], batch.rain, batch.weight)}

    # ---- drawing

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The start, then one stage for each step, the last with rain.

        Raises
        ------
        ConfigError
            If more steps are asked for than were learnt, or a solver of two evaluations.
        """
        total = self.settings.diffusion_steps
        if sampling.solver != "euler":
            raise ConfigError(
                f"a chain of steps has no solver {sampling.solver!r}",
                where="sampling, solver",
                fix="set solver: euler, one evaluation a step; steps decides between ancestral and DDIM",
            )
        if sampling.steps > total:
            raise ConfigError(
                f"{sampling.steps} steps are asked for, and {total} were learnt",
                where="sampling, steps",
                fix=f"set steps to {total} for the whole chain, or to fewer for DDIM",
            )
        sampler = self.settings.sampler or ("ancestral" if sampling.steps == total else "ddim")
        taken = strided(total, sampling.steps)
        moves = [
            Stage(partial(self._move, sampler == "ancestral", step, after, sampling.noise_scale))
            for step, after in zip(taken, [*taken[1:], None], strict=True)
        ]
        return [Stage(partial(self._start, sampling.noise_scale)), *moves]

    def _start(self, scale: float, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        return {"field": scale * noise.normal("start")}

    def _move(
        self,
        random: bool,
        step: int,
        after: int | None,
        scale: float,
        condition: Condition,
        states: States,
        noise: Noise,
    ) -> dict[str, Tensor]:
        field = states["field"]
        batch, members, height, width = field.shape
        flat = field.reshape(batch * members, 1, height, width)
        steps = torch.full((len(flat),), step, device=flat.device)
        added = self.predicted(flat, steps, by_member(self.planes(condition), members)).reshape(field.shape)
        signal, next_signal = self._signals[step], 1.0 if after is None else self._signals[after]
        clean = denoised(field, added, signal)
        if not random:
            moved = ddim(field, self._possible(clean), signal, next_signal)
        elif after is None:
            moved = clean
        else:
            moved = ancestral(field, clean, signal, next_signal, scale * noise.normal(f"ancestral {step}"))
        if after is not None:
            return {"field": moved}
        # An older image may show a pixel that those looked at do not: there is no retrieval there.
        seen = condition.frames(self.settings.frames).seen[:, None]
        return {"field": moved, "rain": torch.where(seen, self.rain.inverse(moved), torch.nan)}

    def _possible(self, clean: Tensor) -> Tensor:
        """Rain between none and the largest rate, in its scaling."""
        none, largest = ((rain - self.rain.centre) / self.rain.scale for rain in (0.0, self.rain.largest))
        return clean.clamp(min=none).minimum(torch.as_tensor(largest, dtype=clean.dtype, device=clean.device))
