"""What the command line prints: tables and coarse maps."""

from ondee.terminal.blocks import block_map, coarse
from ondee.terminal.tables import show_build, show_floor, show_survey

__all__ = ["block_map", "coarse", "show_build", "show_floor", "show_survey"]
