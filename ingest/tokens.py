"""The project tokens in memory: a request is matched to its team without a query."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from storage.background import Background
from storage.sql.engine import StoreError
from storage.sql.project_tokens import MAX_TOKEN_CHARS, ActiveTokens, ProjectToken, token_hash
from storage.sql.revision import Revision

_PERSONAL_PREFIXES = ("phx_", "gvl_")
_POLL_S = 1.0


class TokenPoller(Background):
    """Keeps the active tokens current from a background thread.

    A store that fails leaves the last good tokens in place. Before the first load there are none, and `ready` says so.

    Args:
        load: `ProjectTokens.active` of a store; raises `StoreError` if it cannot know.
        interval_s: seconds between two polls; a new or revoked token takes effect within two seconds.
    """

    def __init__(self, load: Callable[[Revision | None], ActiveTokens | None], interval_s: float = _POLL_S) -> None:
        super().__init__("gavel-tokens", every_s=min(interval_s, _POLL_S), stop_within_s=5.0, at_once=True)
        self._load = load
        self._current: ActiveTokens | None = None
        self._failing = False
        self._log = structlog.get_logger("gavel.ingest")

    @property
    def ready(self) -> bool:
        """Whether the tokens were ever loaded."""
        return self._current is not None

    def poll(self) -> bool:
        """Load once, from the calling thread, and return whether the store answered."""
        previous = self._current
        try:
            found = self._load(None if previous is None else previous.revision)
        except StoreError as error:
            if not self._failing:
                self._log.warning("token_load_failed", error=str(error), keeps=previous and len(previous.by_hash))
            self._failing = True
            return False
        self._failing = False
        if found is not None:
            self._current = found
        return True

    def find(self, token: str) -> ProjectToken | None:
        """Return the active token with this text, or None. Costs one hash and one look-up."""
        current = self._current
        return None if current is None else current.by_hash.get(token_hash(token))

    def _turn(self) -> None:
        self.poll()


def refuse_token(token: str) -> str | None:
    """Return why `token` cannot be a project token, or None. The answer holds nothing of it."""
    if token.startswith(_PERSONAL_PREFIXES):
        return "This is a personal API key. Send a project token; `gavel tokens create` makes one."
    if not token or len(token) > MAX_TOKEN_CHARS or not token.isascii() or "\0" in token:
        return f"A project token is ASCII text of 1 to {MAX_TOKEN_CHARS} characters."
    return None
