"""From files to a store."""

from ondee.building.run import BuildReport, build

__all__ = ["BuildReport", "build"]
