"""Keeps the API keys of the last seconds, so that a request with a known key asks the store nothing for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from storage.sql.api_keys import ApiKey

KEPT_S = 1.5
"""Age at which a key is read again: a revoked key works no longer than this, far below the promised two seconds."""
_MOST = 10_000


class KnownKeys:
    """Keys by the hash of their secret. Belongs to one event loop; secrets themselves are not kept."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._keys: OrderedDict[bytes, tuple[float, ApiKey]] = OrderedDict()

    def get(self, secret: str, *, now: datetime) -> ApiKey | None:
        """Return the key if it was read a moment ago and has not expired since."""
        until, key = self._keys.get(_place(secret), (0.0, None))
        if key is None or self._monotonic_s() >= until or (key.expires_at is not None and key.expires_at <= now):
            return None
        return key

    def keep(self, secret: str, key: ApiKey) -> None:
        """Remember a key that the store has just given."""
        place = _place(secret)
        self._keys[place] = (self._monotonic_s() + KEPT_S, key)
        self._keys.move_to_end(place)
        if len(self._keys) > _MOST:
            self._keys.popitem(last=False)


def _place(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
