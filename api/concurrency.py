"""Optimistic concurrency: a client says which state its change is meant for.

The `ETag` of an evaluation is `"<version>-<revision>"`: the revision changes with every change, the version with
those that alter judging. `If-Match` takes an ETag, a bare version, or `*`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

from api.errors import Invalid
from config.definitions import Evaluation

_TAG = re.compile(r'^(?:W/)?"?(\d{1,9})(?:-(\d{1,18}))?"?$')


@dataclass(frozen=True, slots=True)
class Expected:
    """The state that a change is meant for; None: any."""

    version: int | None = None
    revision: int | None = None


def _read(
    if_match: Annotated[str | None, Header(description="ETag or version that the change is meant for.")] = None,
) -> Expected:
    if if_match is None or if_match.strip() == "*":
        return Expected()
    found = _TAG.match(if_match.strip())
    if found is None:
        raise Invalid("If-Match takes the ETag of the evaluation, a version, or *.", attr="If-Match")
    revision = found.group(2)
    return Expected(int(found.group(1)), int(revision) if revision else None)


ExpectedParam = Annotated[Expected, Depends(_read)]


def etag(evaluation: Evaluation) -> str:
    """Return the ETag of an evaluation."""
    return f'"{evaluation.version}-{evaluation.revision}"'
