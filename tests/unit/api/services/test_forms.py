"""A field of a form that cannot be used is named for a person, and refused as the API refuses it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from api.http.errors import Invalid
from api.schemas.datasets import DatasetCreate
from api.schemas.label_queues import LabelQueueCreate
from api.services.forms import checked


@pytest.mark.parametrize(
    ("fields", "code", "attr", "text"),
    [
        ({"name": ""}, "blank", "name", "name: This field may not be blank."),
        ({}, "required", "name", "name: This field is required."),
        ({"name": "x" * 401}, "max_length", "name", "name: String should have at most 400 characters."),
    ],
)
def test_a_field_that_cannot_be_used_is_named(fields: dict[str, Any], code: str, attr: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked(DatasetCreate, fields)
    assert (caught.value.code, caught.value.attr, caught.value.detail) == (code, attr, text)


def test_a_name_of_two_words_reads_as_the_form_has_it() -> None:
    fields = {"evaluation": str(uuid4()), "mode": "random", "size": 10, "labellers_per_item": 99}
    with pytest.raises(Invalid, match=r"^labellers per item: "):
        checked(LabelQueueCreate, fields)
