"""What a training asks of the C library: that memory which it frees stays with the process."""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = ["keep_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of the parameters in <malloc.h>."""
_LARGEST = 32 * 2**20
"""Largest block, bytes, that the library can be told to take from what it has."""
_CHOSEN = ("trim_threshold", "mmap_threshold")
"""What a user may have set by MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_ or GLIBC_TUNABLES."""


def keep_memory() -> bool:
    """Keep what is freed for what is asked for next, until the process ends.

    A step of learning on a CPU frees its gradients and activations, and the next one asks for as much again. As it is
    set, the GNU C library gives large blocks back to the system each time, and the system hands them out anew page by
    page, zeroed: up to a quarter of the time of a step. The most memory that a process takes does not change.

    Returns
    -------
    bool
        Whether it was asked for: not of another C library, nor where the user's environment sets it.

    References
    ----------
    mallopt(3), M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
    """
    held = [name for name in os.environ if name.startswith("MALLOC_")] + [os.environ.get("GLIBC_TUNABLES", "")]
    if platform.libc_ver()[0] != "glibc" or any(name in words.lower() for words in held for name in _CHOSEN):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_TRIM_THRESHOLD, 2**31 - 1) and library.mallopt(_MMAP_THRESHOLD, _LARGEST))
