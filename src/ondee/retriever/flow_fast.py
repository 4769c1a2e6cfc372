"""A flow in one or two evaluations: a network learns where a trained flow ends.

The flow is the teacher and stays as it is. From a start, its solver is followed in small steps; the student learns the
average velocity over a long stretch of that path, so that one evaluation goes where the teacher needs several. Starts
and ends of a path belong to each other: the student's squared error is least at the path itself, not at a mean over
paths, which is where one Euler step of the flow ends. It draws the same noise as the flow, so that the same seed gives
much the same members.

The paths come from the teacher and not from a consistency of the student with itself: the average velocity is then a
plain regression, with nothing to be differentiated along the path and nothing that can drift.

References
----------
T. Salimans and J. Ho, Progressive distillation for fast sampling of diffusion models, ICLR 2022, Sect. 3 (a student
takes in one step what the teacher does in several); Z. Geng et al., Mean flows for one-step generative modeling, arXiv
2505.13447, Eq. 3 (average velocity); X. Liu, C. Gong and Q. Liu, Flow straight and fast, ICLR 2023, Sect. 2.1 (learning
from pairs of start and end).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ondee.condition import Batch, Condition, Predictors
from ondee.config import Part
from ondee.errors import ConfigError
from ondee.generative.flow import evaluations, preconditioned
from ondee.generative.noise import Noise
from ondee.nn.unet import UNet
from ondee.retriever.flow import Flow
from ondee.retriever.flow import Settings as FlowSettings
from ondee.retriever.protocol import RainSettings, Retriever, Sampling, Stage, States, Statistics, by_member, weighted

__all__ = ["FlowFast", "Settings"]


class Settings(Part):
    """Of the fast flow."""

    flow: FlowSettings = FlowSettings()
    """The flow that is followed: as the run that it is taken from. The student's network has the same size."""
    jumps: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1)] = (1, 2)
    """Numbers of evaluations a draw that are learnt."""
    teacher_solver: Literal["euler", "midpoint", "heun"] = "euler"
    """Solver by which the flow's paths are followed while training."""
    teacher_steps: Annotated[int, Field(ge=2, le=64)] = 6
    """Steps of that solver; a multiple of each number of jumps."""
    stretch: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Starts are learnt with noise scales up to this much below and above 1."""
    rain: RainSettings = RainSettings()
    """Scaling of the rain: that of the flow."""
    sampling: Sampling = Sampling(solver="euler", steps=2)
    """How members are drawn until validation has said better."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if odd := [jump for jump in self.jumps if self.teacher_steps % jump]:
            raise ValueError(f"teacher_steps, {self.teacher_steps}, is no multiple of {odd[0]} jumps")
        if self.rain != self.flow.rain:
            raise ValueError("rain must be scaled as the flow scales it: give rain the settings of flow.rain")
        if self.sampling.solver != "euler" or self.sampling.steps not in self.jumps:
            raise ValueError("sampling needs the solver euler and a number of steps that is among jumps")
        return self


class FlowFast(Retriever):
    """Average velocities along the paths of a frozen flow."""

    settings_type = Settings
    taken = ("flow",)

    def __init__(self, settings: Settings, predictors: Predictors, statistics: Statistics) -> None:
        super().__init__(settings, predictors, statistics)
        self.flow = Flow(settings.flow, predictors, statistics).frozen()
        self.network = UNet(
            self.flow.network.mix.in_channels + 1,
            1,
            settings.flow.widths,
            embedding=settings.flow.embedding,
            dilations=settings.flow.dilations,
        )

    def average(self, position: Tensor, time: Tensor, length: Tensor, planes: Tensor, source: States) -> Tensor:
        """Average velocity from `time` to `time + length`, in the scaling of the rain.

        Parameters
        ----------
        position
            ``(B, 1, H, W)``.
        time, length
            ``(B,)``.
        planes
            What the network sees of the condition, ``(B, K, H, W)``.
        source
            Mean and kappa of the flow's source, ``(B, 1, H, W)`` each.
        """
        mean, kappa = source["mean"], source["kappa"]
        scaled = (position - mean) / kappa
        ahead = length[:, None, None, None].expand_as(position)
        if self.settings.flow.source == "pmrf":
            made = self.network(torch.cat([position, ahead], dim=1), time)
            return self.flow.residual * cast(Tensor, made)
        skip, scale = preconditioned(scaled, time)
        made = self.network(torch.cat([planes, position, mean, kappa.log(), scaled, ahead], dim=1), time)
        return cast(Tensor, kappa * (skip + scale * made))

    # ---- learning

    @torch.no_grad()
    def prepare(self, batch: Batch) -> None:
        """Begin where the teacher is: its velocity, whatever the length of the jump."""
        own = self.network.state_dict()
        for name, values in self.flow.network.state_dict().items():
            if name == "mix.weight":
                own[name].zero_()
                own[name][:, : values.shape[1]] = values
            else:
                own[name].copy_(values)

    @torch.no_grad()
    def path(self, condition: Condition, start: Tensor, source: States) -> Tensor:
        """The teacher's path from its start, ``(B, teacher_steps + 1, H, W)``.

        Parameters
        ----------
        condition
            Images of B moments.
        start
            ``(B, 1, H, W)``.
        source
            Mean and kappa of the flow's source.
        """
        planes = self.flow.planes(condition)
        states: dict[str, Tensor] = {"field": start}
        points = [start]
        for entry in evaluations(self.settings.teacher_solver, self.settings.teacher_steps):
            time = torch.full((len(start),), entry.time, device=start.device)
            velocity = self.flow.velocity(entry.position(states), time, planes, source["mean"], source["kappa"])
            made = entry.update(states, velocity)
            if "field" in made:
                points.append(made["field"])
            states |= made
        return torch.cat(points, dim=1)

    def loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Squared error of the average velocity over kappa squared, on one stretch of the path of each sample."""
        with torch.no_grad():
            source = self.flow.source(batch.condition)
        scale = 1 + self.settings.stretch * (2 * noise.scalars("scale", uniform=True) - 1)
        start = source["mean"] + scale[:, None, None, None] * source["kappa"] * noise.normal("start")
        path = self.path(batch.condition, start, source)
        steps = self.settings.teacher_steps
        stretches = torch.tensor(
            [
                (number * (steps // jump), steps // jump)  # where on the path it begins, and how many steps it is long
                for jump in self.settings.jumps
                for number in range(jump)
            ],
            device=path.device,
        )
        chosen = (noise.scalars("stretch", uniform=True) * len(stretches)).long().clamp(max=len(stretches) - 1)
        first, count = stretches[chosen].unbind(1)
        sample = torch.arange(len(path), device=path.device)
        begin, end = path[sample, first][:, None], path[sample, first + count][:, None]
        time, length = first / steps, count / steps
        wanted = (end - begin) / length[:, None, None, None]
        made = self.average(begin, time, length, self.flow.planes(batch.condition), source)
        if self.settings.flow.source == "pmrf":
            size = self.flow.residual
        else:
            size = source["kappa"] * preconditioned(begin, time)[1]
        error = ((made - wanted) / size).square()[:, 0]
        # The teacher says what happens where there was no radar as well; where nothing was seen, there is nothing.
        seen = torch.where(batch.condition.seen, 0.0, torch.nan)
        return {"loss": weighted(error, seen, batch.weight)}

    # ---- drawing

    def candidates(self) -> Sequence[Sampling]:
        """As many jumps as were learnt, and noise a little less or more than 1."""
        kept = {"persistence": self.sampling.persistence}
        return [
            Sampling(solver="euler", steps=steps, noise_scale=scale, **kept)
            for steps in self.settings.jumps
            for scale in (0.9, 1.0, 1.1)
        ]

    def stages(self, sampling: Sampling) -> Sequence[Stage]:
        """The source and the start of the flow, then one stage for each jump, the last with rain.

        Raises
        ------
        ConfigError
            If so many jumps were not learnt.
        """
        jumps = self.settings.jumps
        if sampling.solver != "euler" or sampling.steps not in jumps:
            raise ConfigError(
                f"{sampling.steps} steps of the solver {sampling.solver} were not learnt",
                where="sampling of flow-fast",
                fix=f"draw with the solver euler and {' or '.join(map(str, jumps))} steps, or train with more jumps",
            )
        moves = [Stage(partial(self._jump, number, sampling.steps)) for number in range(sampling.steps)]
        return [*self.flow.stages(sampling)[:2], *moves]

    def _jump(self, number: int, count: int, condition: Condition, states: States, noise: Noise) -> dict[str, Tensor]:
        field = states["field"]
        members = field.shape[1]
        flat = field.flatten(0, 1)[:, None]
        source = {name: by_member(states[name], members) for name in ("mean", "kappa")}
        time, length = (torch.full((len(flat),), value, device=flat.device) for value in (number / count, 1 / count))
        velocity = self.average(flat, time, length, by_member(self.flow.planes(condition), members), source)
        made = field + velocity.reshape(field.shape) / count
        return {"field": made, "rain": self.rain.inverse(made)} if number == count - 1 else {"field": made}
