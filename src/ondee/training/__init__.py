"""Training: a configuration and a store become a run that anyone can load. Only this room knows Lightning.

The configuration, :class:`~ondee.training.settings.TrainConfig`, needs no torch; :func:`ondee.training.session.train`
does the work.
"""

from __future__ import annotations

from ondee.training.settings import TrainConfig, read

__all__ = ["TrainConfig", "read"]
