"""Retrievals of rain from infrared images: one module a model, all of one shape.

A model is a module with one class derived from :class:`~ondee.retriever.protocol.Retriever`; ``model: NAME`` in the
configuration of a training finds it by the name of the module.
"""

from __future__ import annotations

from ondee.retriever.protocol import Retriever, Sampling, Stage, Statistics
from ondee.retriever.registry import names, retriever

__all__ = ["Retriever", "Sampling", "Stage", "Statistics", "names", "retriever"]
