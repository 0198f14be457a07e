"""Reads HTTP replies with a limit, packed and unpacked, because whoever answers may send anything.

The client's own decoder unpacks each chunk whole: 600 kB of gzip can become 1 GB. Here a hook replaces the reply's
stream by one that unpacks at most the limit, so that no more than that is ever in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx2

ACCEPTED_ENCODINGS = "gzip, deflate"
"""The encodings that the hook can unpack step by step, as a value of `Accept-Encoding`."""
_PIECE = 64 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS


class ReplyTooLarge(httpx2.HTTPError):
    """A reply has more bytes than the limit, packed or unpacked."""


class ReplyUnreadable(httpx2.HTTPError):
    """A reply is packed in a way that was not asked for, or is broken."""


def limit_replies(max_bytes: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return a response hook of an HTTP client that bounds the bodies of its replies.

    Reading such a body raises `ReplyTooLarge` or `ReplyUnreadable`.
    """

    async def hook(response: httpx2.Response) -> None:
        length = response.headers.get("content-length", "")
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > max_bytes):
            await response.aclose()
            raise ReplyTooLarge(f"the reply has more than {max_bytes} bytes")
        if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            await response.aclose()
            raise ReplyUnreadable(f"the reply is encoded as {encoding[:20]!r}, which was not asked for")
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101  # the hook of an asynchronous client
        response.stream = _Limited(stream, max_bytes, packed=encoding not in ("identity", ""))
        for name in ("content-encoding", "content-length"):
            if name in response.headers:
                del response.headers[name]

    return hook


class _Limited(httpx2.AsyncByteStream):
    """A body that ends with an error where the limit is reached."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int, *, packed: bool) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._packed = packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._max_bytes
        packed_left = self._max_bytes
        unpack = _Unpacker() if self._packed else None
        async for chunk in self._stream:
            packed_left -= len(chunk)
            if packed_left < 0:
                raise ReplyTooLarge(f"the reply has more than {self._max_bytes} bytes")
            for piece in unpack.feed(chunk) if unpack else (chunk,):
                left -= len(piece)
                if left < 0:
                    raise ReplyTooLarge(f"the reply has more than {self._max_bytes} bytes when unpacked")
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Unpacker:
    """Unpacks gzip and deflate, several members included, in pieces of bounded size."""

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` unpacks to, at most `_PIECE` bytes at a time."""
        while True:
            if self._engine.eof and data:
                self._engine = zlib.decompressobj(_GZIP_OR_ZLIB)
            piece = self._unpack(data)
            data = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail
            if piece:
                yield piece
            elif not (self._engine.eof and data):
                return  # without input, output that is still held inside came first

    def _unpack(self, data: bytes) -> bytes:
        try:
            piece = self._engine.decompress(data, _PIECE)
        except zlib.error as error:
            if self._started:
                raise ReplyUnreadable("the reply's compressed body is broken") from error
            self._engine, self._started = zlib.decompressobj(_RAW_DEFLATE), True
            return self._unpack(data)
        self._started = self._started or bool(data)
        return piece
