"""Where downloaded components and the marks of running shared servers are kept."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def cache_folder(name: str) -> Path:
    """Return (and make) a folder below `$GAVEL_CACHE`, or below `.cache` of the checkout."""
    folder = Path(os.environ.get("GAVEL_CACHE") or CHECKOUT / ".cache") / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path, mode: int = fcntl.LOCK_EX) -> Iterator[int]:
    """Hold a lock on a file. The system releases it when the process ends in any way. Blocks; gives the descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)
