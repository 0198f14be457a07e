"""docs/trust.md shows a request of every kind, and each of them works."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from api.schemas.trust import EnablingWarning
from quality.compute import KINDS, compute
from quality.refusals import Reason
from tests.services.cache import CHECKOUT

PAGE = (CHECKOUT / "docs" / "trust.md").read_text()
WARNINGS = {warning for literal in get_args(EnablingWarning) for warning in get_args(literal)}
REQUESTS: list[dict[str, Any]] = [
    json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request_: request_["kind"])
def test_a_request_of_the_page_gives_figures(request_: dict[str, Any]) -> None:
    assert "refused" not in compute(request_)


def test_the_page_shows_every_kind() -> None:
    assert {request_["kind"] for request_ in REQUESTS} == set(KINDS)


def test_the_page_explains_every_reason_of_a_refusal() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \| [A-Z]", PAGE, re.MULTILINE))
    assert explained - WARNINGS == set(get_args(Reason))


def test_the_page_says_what_to_do_about_every_warning() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [A-Z]", PAGE, re.MULTILINE)) >= WARNINGS
