"""Replies of a provider that means harm, through the real client and a real server on the loopback interface."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable

import pytest

from evaluators.llm_judge import make_endpoint
from evaluators.llm_judge.caller import Completion, Timeouts
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.openai_caller import OpenAICaller
from tests.services.waiting import PATIENCE_S

ANSWER = '{"reasoning":"It says four.","verdict":true}'
REPLY = json.dumps({"choices": [{"message": {"content": ANSWER}, "finish_reason": "stop"}]}).encode()
LIMIT = 1024 * 1024
Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sending(*pieces: bytes, pause_s: float = 0.0, repeat: int = 1) -> Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in [*pieces[:1], *(pieces[1:] * repeat)]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return serve


async def ask(serve: Server, *, call_s: float = PATIENCE_S) -> Completion | ProviderFailure:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    caller = OpenAICaller(Timeouts(connect_s=PATIENCE_S, read_s=PATIENCE_S, call_s=call_s), max_reply_bytes=LIMIT)
    endpoint = make_endpoint("custom", "k", base_url=f"http://127.0.0.1:{port}/v1")
    payload = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    try:
        return await caller.complete(endpoint, payload, marker="e")
    except ProviderFailure as failure:
        return failure
    finally:
        await caller.close()
        server.close()


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


PACKINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "two gzip members": ("gzip", lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:])),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_ordinary_reply_is_read_however_it_is_packed(packing: str) -> None:
    encoding, pack = PACKINGS[packing]
    found = asyncio.run(ask(sending(http(pack(REPLY), f"content-encoding: {encoding}"))))
    assert isinstance(found, Completion)
    assert found.text == ANSWER


TOO_LARGE: dict[str, Server] = {
    "a length beyond the limit": sending(http(b"{", length=LIMIT + 1)),
    "a length beyond any number": sending(http(b"{", length=10**30)),
    "a body beyond the limit": sending(http(b" " * (LIMIT + 1))),
    "a body without an end": sending(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"8000\r\n" + b" " * 0x8000 + b"\r\n", repeat=100_000
    ),
    "a gzip that unpacks beyond the limit": sending(http(gzip.compress(b" " * (LIMIT + 1)), "content-encoding: gzip")),
    "a deflate that unpacks beyond it": sending(http(raw_deflate(b" " * (LIMIT + 1)), "content-encoding: deflate")),
    "many gzip members": sending(http(gzip.compress(b" " * 65_536) * 17, "content-encoding: gzip")),
    "an error body beyond the limit": sending(
        http(gzip.compress(b" " * (2 * LIMIT)), "content-encoding: gzip", status="500 Internal Server Error")
    ),
}


@pytest.mark.parametrize("serve", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_reply_beyond_the_limit_is_given_up(serve: Server) -> None:
    found = asyncio.run(ask(serve))
    assert isinstance(found, ProviderFailure)
    assert found.kind == "unavailable"
    assert str(LIMIT) in found.detail or "connection failed" in found.detail


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 1000])
def test_a_packing_that_was_not_asked_for_is_given_up(encoding: str) -> None:
    found = asyncio.run(ask(sending(http(REPLY, f"content-encoding: {encoding}"))))
    assert isinstance(found, ProviderFailure)
    assert "not asked for" in found.detail


def test_a_broken_packing_is_given_up() -> None:
    found = asyncio.run(ask(sending(http(gzip.compress(REPLY * 50)[:-20] + b"x" * 200, "content-encoding: gzip"))))
    assert isinstance(found, ProviderFailure)
    assert found.kind == "unavailable"


def test_a_reply_that_drips_is_given_up_at_the_deadline_of_the_call() -> None:
    drip = sending(http(b"", length=1000), b" ", pause_s=0.05, repeat=1000)
    found = asyncio.run(ask(drip, call_s=0.5))
    assert isinstance(found, ProviderFailure)
    assert "within 0.5 s" in found.detail


def test_memory_does_not_grow_with_what_a_packed_reply_unpacks_to() -> None:
    """600 kB of gzip took 1.2 GB: its memory stays that of the limit, however much it would become."""

    def most(megabytes: int) -> int:
        bomb = gzip.compress(b" " * (megabytes * 1024 * 1024), compresslevel=9)
        reply = sending(http(bomb, "content-encoding: gzip"))
        tracemalloc.start()
        found = asyncio.run(ask(reply))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(found, ProviderFailure)
        return peak

    most(4)  # modules that the first call loads do not count
    assert most(128) < most(8) + 2 * LIMIT
