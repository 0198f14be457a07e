"""The disk on which a process keeps its data."""

from __future__ import annotations

import shutil
from pathlib import Path

FULL_BELOW = 0.01
"""The free share below which a disk counts as full: databases refuse writes before the last byte is taken."""

REMEDY = "free space on it; the processes go on by themselves, and no run is lost"


def full_disk(folder: Path) -> str | None:
    """Return in words that the disk of a folder is full; None if it is not, or if the folder does not exist."""
    if not folder.exists():
        return None
    usage = shutil.disk_usage(folder)
    if usage.total == 0 or usage.free / usage.total >= FULL_BELOW:
        return None
    return f"the disk of {folder} is full: {usage.free // 2**20} of {usage.total // 2**20} MiB are free"
