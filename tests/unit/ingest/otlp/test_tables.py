from __future__ import annotations

import pytest

from ingest.otlp import conventions
from ingest.otlp.readers import _READERS
from ingest.otlp.tables import page_text
from tests.services.cache import CHECKOUT

PAGE = CHECKOUT / "docs" / "sending-events.md"


def test_the_page_shows_the_tables_of_this_release() -> None:
    assert page_text(PAGE.read_text()) == PAGE.read_text(), "run `make docs`"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        page_text("# Sending events")


def test_every_source_has_a_reader() -> None:
    tables = (
        conventions.GENERATION_PROPERTIES,
        conventions.SPAN_PROPERTIES,
        conventions.PROPERTIES,
        conventions.OF_SPAN_OR_RESOURCE,
    )
    used = {source.how for table in tables for sources in table.values() for source in sources}
    assert used == set(_READERS)
