"""Numbers and times of forms that a browser never sends end no page."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from api.http.errors import Invalid
from console.pages.editor import expected_of
from console.pages.operations import _chosen
from console.visit import read_number

ODD = ["", "-1", "1.0", "\u00b2", "\u0663", "9" * 10, "9" * 5_000]


@pytest.mark.parametrize("text", ODD)
def test_a_number_that_is_none_is_none(text: str) -> None:
    assert read_number(text) is None


def test_a_number_is_read() -> None:
    assert (read_number("0"), read_number("123456789")) == (0, 123_456_789)


@pytest.mark.parametrize(
    "tag", ["3", "-17", "3-", "1.0-17", "\u00b2-17", "3-\u00b2", "9" * 10 + "-17", "3-" + "9" * 5_000]
)
def test_a_form_of_a_version_that_cannot_be_is_refused(tag: str) -> None:
    with pytest.raises(Invalid):
        expected_of(tag)


@pytest.mark.parametrize("field", ["since", "ends"])
@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9" * 5_000, "0:" + "9" * 5_000]
)
def test_a_damaged_choice_of_letters_is_refused(field: str, text: str) -> None:
    form: dict[str, Any] = {"all": "on", "action": "redrive", "ends": "0:7", field: text}
    visit: Any = SimpleNamespace(form=form, field=lambda name: form.get(name, ""), now=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="damaged"):
        _chosen(visit)
