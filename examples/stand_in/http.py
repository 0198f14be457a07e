"""Just enough of HTTP/1.1 for a server that must also be able to break it: cut, stall and send nonsense."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read whole. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body as an object; an empty one if it is none."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return value if isinstance(value, dict) else {}


class Reply:
    """Where the one reply to a request goes: `send` it whole, or `start` it and `write` parts, or `cut` the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0

    async def send(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        claimed_length: int | None = None,
    ) -> None:
        """Send a whole reply. `claimed_length` lies about the length of the body."""
        length = len(body) if claimed_length is None else claimed_length
        all_headers = {"content-type": content_type, "content-length": str(length), **(headers or {})}
        self._writer.write(self._head(status, all_headers) + body)
        await self._writer.drain()

    async def send_json(self, status: int, value: object, *, headers: Mapping[str, str] | None = None) -> None:
        """Send a value as JSON."""
        await self.send(status, orjson.dumps(value), headers=headers)

    async def start(self, status: int, content_type: str) -> None:
        """Send the head of a reply whose parts follow."""
        self._writer.write(self._head(status, {"content-type": content_type, "transfer-encoding": "chunked"}))
        await self._writer.drain()

    async def write(self, part: bytes) -> None:
        """Send one part; an empty one ends the reply."""
        self._writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        await self._writer.drain()

    async def hang(self, seconds: float) -> None:
        """Do nothing for so long, or until the client gives up and closes the connection."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not (self._reader.at_eof() or self._writer.is_closing()):
            await asyncio.sleep(0.1)

    def cut(self) -> None:
        """Drop the connection as a crashed peer does, whatever was sent of the reply."""
        self._writer.transport.abort()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.status = status
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode()


Handler = Callable[[Request, Reply], Awaitable[None]]


async def serve(handler: Handler, *, port: int, host: str = "127.0.0.1") -> asyncio.Server:
    """Start answering requests by `handler`; port 0 picks a free one."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                await handler(request, Reply(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which is its right
        finally:
            writer.close()

    return await asyncio.start_server(connection, host, port, limit=MAX_HEAD_BYTES, backlog=1024)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request of a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)
