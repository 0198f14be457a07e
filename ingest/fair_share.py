"""The fair share of a long request: others go on after a bounded amount of its work."""

from __future__ import annotations

_TURN_BYTES = 512 * 1024
_PER_ITEM_BYTES = 2_500
"""The work for one event or span, as the bytes that take as long, so that many tiny ones end a turn too."""


class FairShare:
    """Counts the work that a request has done since others last had their turn."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done = 0

    def over(self, size_bytes: int) -> bool:
        """Count an event or span of this size; return whether the request should let others go on before it."""
        self._done += size_bytes + _PER_ITEM_BYTES
        if self._done <= _TURN_BYTES:
            return False
        self._done = 0
        return True
