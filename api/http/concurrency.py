"""Optimistic concurrency: a client says which state its change is meant for.

The `ETag` of an evaluation is `"<version>-<revision>"`: the revision changes with every change, the version with
those that alter judging. `If-Match` takes an ETag, a bare version, or `*`.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header

from api.http.errors import Invalid
from config.definitions import Evaluation
from storage.sql.evaluations import Expected as Expected  # noqa: PLC0414  # the console reads it here

_TAG = re.compile(r'^(?:W/)?"?(\d{1,9})(?:-(\d{1,18}))?"?$')


async def _read(
    if_match: Annotated[str | None, Header(description="ETag or version that the change is meant for.")] = None,
) -> Expected:
    if if_match is None or if_match.strip() == "*":
        return Expected()
    expected = read_tag(if_match)
    if expected is None:
        raise Invalid("If-Match takes the ETag of the evaluation, a version, or *.", attr="If-Match")
    return expected


def read_tag(text: str) -> Expected | None:
    """Return what an ETag or a version names; None for another text."""
    found = _TAG.match(text.strip())
    if found is None:
        return None
    revision = found.group(2)
    return Expected(int(found.group(1)), int(revision) if revision else None)


ExpectedParam = Annotated[Expected, Depends(_read)]


def etag(evaluation: Evaluation) -> str:
    """Return the ETag of an evaluation."""
    return f'"{evaluation.version}-{evaluation.revision}"'
