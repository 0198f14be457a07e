"""Large blocks of memory, given back to the system as soon as they are freed."""

from __future__ import annotations

import ctypes

_MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's mallopt(3)."""
_MAPPED_FROM = 1024 * 1024


def map_large_blocks() -> None:
    """Let the C library map every block from 1 MiB alone, so that freeing one returns its pages at once.

    By default glibc raises this bound to the size of any mapped block that is freed. The bodies and rows of large
    requests then lie in its heap between smaller blocks, and the process stays as large as all of them together were.
    Does nothing with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MAPPED_FROM)
