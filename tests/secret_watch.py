"""Looks for secrets in whatever the tests make the project print, log or answer.

Every provider key that a test uses begins with `sk-`, has a digit run and is long enough not to be its own
mask; API keys begin with the project's prefix. A test whose captured output or whose responses hold one fails.
"""

from __future__ import annotations

import re
from typing import Any

SECRET = re.compile(r"\bsk-[a-z]+-[0-9]{9,}|\bgvl_[A-Za-z0-9_-]{20,}")


def find(text: str) -> str | None:
    """Return the beginning of a secret in `text`, enough to find it by, or None."""
    found = SECRET.search(text)
    return None if found is None else f"{found[0][:8]}…"


def check_response(response: Any) -> None:
    """Fail if an HTTP response holds a secret; an event hook of HTTP clients."""
    response.read()
    found = find(response.text) or find(str(dict(response.headers)))
    assert found is None, f"{response.request.method} {response.request.url.path} answered with the secret {found}"
