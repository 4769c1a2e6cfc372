"""Satellite rain judged against radar, cell by cell: the sampling floor, and IMERG by source, pass and kind of rain."""

from ondee.validation.configuration import load_settings
from ondee.validation.faults import Rules
from ondee.validation.inputs import Sides
from ondee.validation.result import Draws, Validation, read_validation, write_validation
from ondee.validation.run import combine, plan, refine, validate
from ondee.validation.settings import CUTS, Settings

__all__ = [
    "CUTS",
    "Draws",
    "Rules",
    "Settings",
    "Sides",
    "Validation",
    "combine",
    "load_settings",
    "plan",
    "read_validation",
    "refine",
    "validate",
    "write_validation",
]
