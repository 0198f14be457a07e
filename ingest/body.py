"""Reading a request's body: reserved before it is read, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any

from ingest.answers import Refusal, overloaded
from ingest.budget import Reservation
from ingest.limits import BODY_TIMEOUT_S, CHUNK_TIMEOUT_S, MAX_WIRE_BYTES

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_STEP = 64 * 1024


class ClientGone(Exception):
    """The client closed the connection before its request was complete; nobody waits for an answer."""


async def read_body(
    receive: Receive,
    headers: Mapping[str, str],
    reservation: Reservation,
    *,
    complete: bool = False,
    limit: int = MAX_WIRE_BYTES,
    chunk_timeout_s: float = CHUNK_TIMEOUT_S,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> bytes:
    """Return the body as it came over the wire, reserved by its declared length or, without a token, as it comes.

    Args:
        complete: whether all of it has arrived, so that nothing can stall.

    Raises:
        Refusal: 408 for a body that stalls, 413 above `limit`, 503 without room. The connection is to be closed.
        ClientGone: the connection ended first.
    """
    declared = _declared(headers, limit)
    # A stranger who only announces bytes must not take them from the others, so that one's are reserved as they come.
    reserved = declared if reservation.assigned else min(declared, _STEP)
    reservation.grow(reserved)
    pieces = _Pieces(receive, limit, reservation, reserved)
    if complete:
        return await pieces.all(None)
    wait = _Wait(chunk_timeout_s, body_timeout_s)
    with nullcontext() if reservation.assigned else reservation.incoming(wait.give_way):
        return await pieces.all(wait)


class _Wait:
    """The wait for the pieces of a body, which ends early when others need its room."""

    def __init__(self, chunk_timeout_s: float, body_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunk_timeout_s = chunk_timeout_s
        self._give_up_s = self._loop.time() + body_timeout_s
        self._gives_way = False
        self._timeout: asyncio.Timeout | None = None

    def give_way(self) -> None:
        """End the wait soon. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._end)

    async def next(self, receive: Receive) -> MutableMapping[str, Any]:
        """Return the next message of a request.

        Raises:
            Refusal: 408, it did not come in time; 503, others need the room.
        """
        timeout_s = min(self._chunk_timeout_s, self._give_up_s - self._loop.time())
        try:
            async with asyncio.timeout(0 if self._gives_way else timeout_s) as self._timeout:
                return await receive()
        except TimeoutError as error:
            if self._gives_way:
                detail = "The body came slowly, and others needed its room. Send it again in a second."
                raise overloaded("no_room", detail) from error
            raise Refusal(408, "body_stalled", "The body did not come in time.", close=True) from error
        finally:
            self._timeout = None

    def _end(self) -> None:
        self._gives_way = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._loop.time())


class _Pieces:
    """The pieces of a body, which are reserved as they come."""

    def __init__(self, receive: Receive, limit: int, reservation: Reservation, reserved: int) -> None:
        self._receive = receive
        self._limit = limit
        self._reservation = reservation
        self._reserved = reserved

    async def all(self, wait: _Wait | None) -> bytes:
        """Return the body. Raises as `read_body` does."""
        body: bytes | bytearray = b""  # one block that grows: many small ones would leave holes where they were
        while True:
            message = await (self._receive() if wait is None else wait.next(self._receive))
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            self._reserve(len(body) + len(chunk))
            if not body:
                body = chunk
            elif chunk:
                if isinstance(body, bytes):
                    body = bytearray(body)
                body += chunk
            if not message.get("more_body", False):
                break
        if self._reserved > len(body):
            self._reservation.shrink(self._reserved - len(body))
        return bytes(body)

    def _reserve(self, total: int) -> None:
        if total > self._limit:
            raise _too_large(self._limit)
        if total > self._reserved:
            step = max(total - self._reserved, _STEP)
            self._reservation.grow(step)
            self._reserved += step


def _declared(headers: Mapping[str, str], limit: int) -> int:
    text = headers.get("content-length", "")
    if not text.isdigit():
        return 0
    declared = int(text) if len(text) < 16 else limit + 1
    if declared > limit:
        raise _too_large(limit)
    return declared


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413, "request_too_large", f"The body is larger than {limit} bytes. Send fewer events at a time.", close=True
    )
