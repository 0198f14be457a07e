from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.report_rig import Rig, report_clickhouse, report_rig
from tests.services.clickhouse_http import ClickHouseFront


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseFront]:
    with report_clickhouse(tmp_path_factory.mktemp("clickhouse")) as found:
        yield found


@pytest.fixture
def rig(tmp_path: Path, front: ClickHouseFront) -> Iterator[Rig]:
    with report_rig(tmp_path, front) as found:
        yield found
