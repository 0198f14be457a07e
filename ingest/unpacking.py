"""Decompression with an output limit: 200 KB of gzip hold 200 MiB, so no output is made without asking first."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator

import zstandard
from isal import igzip_lib, isal_zlib

from ingest.answers import Refusal, invalid
from ingest.budget import Reservation
from ingest.limits import MAX_UNPACKED_BYTES, MIB

GZIP_MAGIC = b"\x1f\x8b"
_STEP = MIB
_PIECE = 64 * 1024
_GZIP_WINDOW, _ZLIB_WINDOW = 31, 15
_MAX_MEMBERS = 1_000
_ZSTD_WINDOW_LOG = 23
"""Frames that need more than 8 MiB of history are refused; RFC 9659 sets this bound for HTTP."""

Unpack = Callable[[bytes], Iterator[bytes]]


def unpack(body: bytes, encoding: str, reservation: Reservation) -> bytes:
    """Return the content of `body`, whose encoding is `gzip`, `deflate`, `zstd` or empty.

    The output is reserved step by step. The packed bytes are given back at the end.

    Raises:
        Refusal: 400 for damaged data, 413 above the limit, 415 for another encoding, 503 without room.
    """
    if encoding in ("", "identity"):
        return body
    how = UNPACKERS.get(encoding)
    if how is None:
        raise Refusal(415, "unsupported_encoding", f"Send the body as it is, or as {', '.join(UNPACKERS)}.")
    steps: list[bytes] = []
    total = 0
    try:
        for step in how(body):
            total += len(step)
            if total > MAX_UNPACKED_BYTES:
                raise Refusal(413, "request_too_large", f"The body unpacks to more than {MAX_UNPACKED_BYTES} bytes.")
            reservation.grow(len(step))
            steps.append(step)
    except (igzip_lib.IsalError, zstandard.ZstdError, EOFError) as error:  # type: ignore[misc]  # typed as a value
        raise invalid("bad_compression", f"The body is not complete {encoding} data.") from error
    reservation.shrink(len(body))
    return b"".join(steps)


def _gzip(body: bytes) -> Iterator[bytes]:
    """Yield the content of all members of a gzip file."""
    at = 0
    for _ in range(_MAX_MEMBERS):
        at = yield from _stream(isal_zlib.decompressobj(_GZIP_WINDOW), body, at)
        if body[at : at + 1] in (b"", b"\0") and not body[at:].strip(b"\0"):  # a file may be padded with zeros
            return
    raise EOFError


def _deflate(body: bytes) -> Iterator[bytes]:
    yield from _stream(isal_zlib.decompressobj(_ZLIB_WINDOW), body, 0)


def _stream(stream: isal_zlib.Decompress, body: bytes, at: int) -> Generator[bytes, None, int]:
    """Yield the content of the stream that begins at `at`; return where it ends.

    The input is given in pieces, because the library copies its unused rest at the end of each stream.
    """
    view = memoryview(body)
    while piece := view[at : at + _PIECE]:
        at += len(piece)
        data: bytes | memoryview = piece
        more = True
        while more:
            step = stream.decompress(data, _STEP)
            if step:
                yield step
            if stream.eof:
                return at - len(stream.unused_data)
            data = stream.unconsumed_tail
            more = bool(data) or len(step) == _STEP
    raise EOFError


def _zstd(body: bytes) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG)
    total = 0
    with decompressor.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        while step := reader.read(_STEP):
            total += len(step)
            yield step
    # The reader ends without an error where a frame is cut, so its own length is the only witness.
    if total < zstandard.frame_content_size(body):
        raise EOFError


UNPACKERS: dict[str, Unpack] = {"gzip": _gzip, "deflate": _deflate, "zstd": _zstd}
