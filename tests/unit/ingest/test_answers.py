"""No client is asked to wait longer than its exporter would, and every protocol says when to come back."""

from __future__ import annotations

import pytest

from ingest.answers import MAX_RETRY_AFTER_S, overloaded
from ingest.app import word
from ingest.door import over_rate
from ingest.routes import ROUTES


@pytest.mark.parametrize("protocol", sorted({route.protocol for route in ROUTES.values()}))
def test_every_wait_is_one_to_five_seconds(protocol: str) -> None:
    refusals = [overloaded("x", "x", 30), *(over_rate(wait_s, status=429) for wait_s in (0.0, 0.001, 2.4, 4.9, 1e9))]
    found = [dict(word(each, protocol, {}).headers)[b"retry-after"] for each in refusals]
    assert found == [b"5", b"1", b"1", b"3", b"5", b"5"]
    assert MAX_RETRY_AFTER_S == 5
