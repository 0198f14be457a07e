"""Front doors for the tests of the ingest role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ingest.rig import IngestRig


@pytest.fixture
def rig(kafka: str, tmp_path: Path) -> Iterator[IngestRig]:
    """A front door and topics of the test's own."""
    with IngestRig(kafka, tmp_path).running() as rig:
        yield rig


@pytest.fixture(scope="module")
def shared(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestRig]:
    """One front door for the tests of a file that look only at answers."""
    with IngestRig(kafka, tmp_path_factory.mktemp("ingest")).running() as rig:
        yield rig
