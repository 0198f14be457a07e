"""Memory that requests may take: bytes are reserved before they are read or made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from ingest.answers import Refusal, overloaded

_SHARE = 4
"""One token may hold this part of the memory, so that one team cannot close the door for the others."""
_UNDISTURBED_S = 2.0
"""Seconds that a body without a known token may take before it gives way to others."""


class ByteBudget:
    """The bytes that all requests of a process may hold together. Safe to share between threads.

    Args:
        max_bytes: the setting `ingest.max_bytes`.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.reserved = 0
        self.by_token: dict[int, int] = {}
        self.lock = threading.Lock()
        self.incoming: dict[Reservation, tuple[float, Callable[[], object]]] = {}

    def open(self) -> Reservation:
        """Return a reservation of nothing yet."""
        return Reservation(self)

    def make_room(self) -> None:
        """Let the oldest body on its way give way, unless it is new. Strangers could hold all memory with slow ones."""
        for reservation, (since_s, give_way) in self.incoming.items():
            if monotonic() - since_s > _UNDISTURBED_S:
                del self.incoming[reservation]
                give_way()
            return


class Reservation:
    """The bytes that one request holds. `release` must be called when it ends, however it ends."""

    __slots__ = ("_budget", "_bytes", "_token_id")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._bytes = 0
        self._token_id: int | None = None

    @property
    def assigned(self) -> bool:
        """Whether the request has named a token that is known."""
        return self._token_id is not None

    def grow(self, amount: int) -> None:
        """Reserve `amount` more bytes.

        Raises:
            Refusal: 503, there is no room for them now; 413, there is not as much room for one token.
        """
        budget = self._budget
        with budget.lock:
            if budget.reserved + amount > budget.max_bytes:
                budget.make_room()
                raise overloaded("no_room", "Too many requests are being worked on. Send this again in a second.")
            if self._token_id is not None:
                self._hold(self._token_id, amount, self._bytes + amount)
            budget.reserved += amount
            self._bytes += amount

    @contextmanager
    def incoming(self, give_way: Callable[[], object]) -> Iterator[None]:
        """For the time of the block, let `give_way` be called, once and from any thread, when others need the room."""
        budget = self._budget
        with budget.lock:
            budget.incoming[self] = (monotonic(), give_way)
        try:
            yield
        finally:
            with budget.lock:
                budget.incoming.pop(self, None)

    def shrink(self, amount: int) -> None:
        """Give `amount` bytes back before the request ends."""
        budget = self._budget
        with budget.lock:
            budget.reserved -= amount
            self._bytes -= amount
            if self._token_id is not None:
                budget.by_token[self._token_id] -= amount

    def assign(self, token_id: int) -> None:
        """Count the bytes for a token, once the request has said which.

        Raises:
            Refusal: 503, its requests hold their share already; 413, this one alone is larger.
        """
        if self._token_id is not None:
            return
        with self._budget.lock:
            self._hold(token_id, self._bytes, self._bytes)
        self._token_id = token_id

    def release(self) -> None:
        """Give everything back."""
        self.shrink(self._bytes)
        with self._budget.lock:
            if self._token_id is not None and not self._budget.by_token.get(self._token_id):
                self._budget.by_token.pop(self._token_id, None)

    def _hold(self, token_id: int, amount: int, own: int) -> None:
        held = self._budget.by_token.get(token_id, 0) + amount
        share = self._budget.max_bytes // _SHARE
        if own > share:  # it would never fit, however often it is sent
            detail = f"The request takes more than the {share} bytes that one token may hold. Send fewer events."
            raise Refusal(413, "request_too_large", detail, close=True)
        if held > share:
            raise overloaded(
                "no_room", "The requests with this token hold their share of the memory. Send this again in a second."
            )
        self._budget.by_token[token_id] = held
