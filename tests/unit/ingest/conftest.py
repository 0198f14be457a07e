from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.ingest.front import Front


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """A front door that takes requests."""
    with Front(tmp_path).open() as front:
        yield front
