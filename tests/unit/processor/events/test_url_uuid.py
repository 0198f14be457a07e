from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

import pytest

from processor.events.identity import url_uuid


@pytest.mark.parametrize("name", ["", "gavel://otlp/1/a/b", "é\u2028", *(f"n{number}" for number in range(50))])
def test_a_name_has_the_uuid_of_the_standard_library(name: str) -> None:
    assert url_uuid(name) == str(uuid5(NAMESPACE_URL, name))
