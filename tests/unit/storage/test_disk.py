"""When a disk counts as full, and how that is said."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from storage.disk import full_disk


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_counts_as_full_below_a_hundredth_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 1000 * 2**20
    for free_mib, is_full in ((0, True), (9, True), (10, False), (500, False)):
        usage = Usage(total, total - free_mib * 2**20, free_mib * 2**20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, found=usage: found)
        told = full_disk(tmp_path)
        assert (told is not None) == is_full
        if told is not None:
            assert told == f"the disk of {tmp_path} is full: {free_mib} of 1000 MiB are free"


def test_a_folder_that_does_not_exist_yet_has_no_disk(tmp_path: Path) -> None:
    assert full_disk(tmp_path / "later") is None
