"""Bodies that are made of the fields of a form, checked as those of the API are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from api.http.errors import Invalid, invalid_from
from api.schemas.parts import RequestBody

Body = TypeVar("Body", bound=RequestBody)


def checked(kind: type[Body], fields: Mapping[str, Any]) -> Body:
    """Return a body of these fields. Raises `Invalid`, whose text names the field for a person who filled in a form."""
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        problem = invalid_from(error.errors())
        place = "" if problem.attr is None else f"{problem.attr.replace('_', ' ')}: "
        raise Invalid(f"{place}{problem.detail.rstrip('.')}.", code=problem.code, attr=problem.attr) from error
