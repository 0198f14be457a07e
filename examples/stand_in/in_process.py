"""The stand-in provider without sockets: an HTTP transport that hands requests to it in the same event loop.

For tests in virtual time (`tests/virtual_time.py`), where an hour of misbehaviour takes a second.
"""

from __future__ import annotations

from typing import Any

import httpx2

from examples.stand_in.http import Reply, Request
from examples.stand_in.server import StandIn


class _Wire:
    """The two ends of a connection that a `Reply` writes to and reads from."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.aborted = False
        self.transport = self

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        return

    def abort(self) -> None:
        self.aborted = True

    def at_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.aborted


class InProcess(httpx2.AsyncBaseTransport):
    """Sends every request to `server`, whatever its host. `down` refuses connections."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        self.down = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the stand-in's reply, or raise what a broken connection raises."""
        if self.down:
            raise httpx2.ConnectError("connection refused", request=request)
        wire: Any = _Wire()
        body = await request.aread()
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, request.url.path, dict(request.url.params), headers, body)
        await self.server.handle(asked, Reply(wire, wire))
        head, _, content = bytes(wire.sent).partition(b"\r\n\r\n")
        if not head:
            raise httpx2.ReadError("connection reset", request=request)
        lines = head.decode("latin-1").split("\r\n")
        fields = {name: value for name, _, value in (line.partition(": ") for line in lines[1:])}
        claimed = int(fields.get("content-length", len(content)))
        if claimed != len(content):
            raise httpx2.RemoteProtocolError("incomplete body", request=request)
        return httpx2.Response(int(lines[0].split(" ")[1]), headers=fields, content=content, request=request)
