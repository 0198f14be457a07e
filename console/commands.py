"""Commands of a shell that read what a page exports: `gavel` on a machine of the store, and `curl` anywhere."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from urllib.parse import urlencode

from console.visit import Visit


def gavel(visit: Visit, *words: str) -> str:
    """Return a command line of `gavel` for the team of the page."""
    return shlex.join(["gavel", *words, "--team", str(visit.team)])


def curl(visit: Visit, path: str, query: Mapping[str, str] | None = None) -> str:
    """Return a call of the API, with the key in a variable. `path` is below `/api/projects/{team}/`."""
    address = f"{visit.base}/api/projects/{visit.team}/{path}" + (f"?{urlencode(query)}" if query else "")
    return f'curl -H "Authorization: Bearer $GAVEL_API_KEY" {shlex.quote(address)}'
