"""Statistics that need a package of the extra `quality`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.http.errors import Unavailable
from quality.extra import ExtraMissing


@contextmanager
def extra_needed() -> Iterator[None]:
    """Turn a package that is not installed into an honest 503 that names the command."""
    try:
        yield
    except ExtraMissing as error:
        raise Unavailable(str(error), code="extra_missing") from error
