"""What the command line prints: tables and coarse maps."""

from ondee.terminal.blocks import block_map, coarse
from ondee.terminal.faults import show_outcomes
from ondee.terminal.latent import show_forecast
from ondee.terminal.plan import show_plan
from ondee.terminal.retrieval import show_retrievals
from ondee.terminal.tables import show_build, show_floor, show_survey
from ondee.terminal.verification import show_verification

__all__ = [
    "block_map",
    "coarse",
    "show_build",
    "show_floor",
    "show_forecast",
    "show_outcomes",
    "show_plan",
    "show_retrievals",
    "show_survey",
    "show_verification",
]
