"""Radar into latents and back: windows of a domain, what a model of sequences makes of them, and rain from it."""

from __future__ import annotations

from ondee.encoding.atlas import Atlas, atlas
from ondee.encoding.decoder import decode
from ondee.encoding.encoder import encode, plan
from ondee.encoding.traversal import Traversal, traverse

__all__ = ["Atlas", "Traversal", "atlas", "decode", "encode", "plan", "traverse"]
