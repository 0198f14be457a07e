"""Bodies sent to the front door by somebody who wants it to fall over."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from isal import isal_zlib

from ingest import budget as budget_module
from ingest.answers import Refusal
from ingest.body import ClientGone, read_body
from ingest.budget import ByteBudget
from ingest.capture_v0 import _out_of_form
from ingest.capture_v1 import _body as _v1_body
from ingest.limits import MAX_UNPACKED_BYTES, MIB
from ingest.otlp import envelope, json_form
from ingest.sent_events import decode_request
from ingest.unpacking import unpack
from tests.integration.ingest.rig import IngestRig, generation
from tests.services.waiting import PATIENCE_S, until


@pytest.fixture
def rig(kafka: str, tmp_path: Path) -> Iterator[IngestRig]:
    with IngestRig(kafka, tmp_path).running() as rig:
        yield rig


def bomb(size: int) -> bytes:
    """Return gzip data of `size` zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    step = bytes(MIB)
    return b"".join(packer.compress(step) for _ in range(size // MIB)) + packer.flush()


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(rig: IngestRig) -> None:
    answer = rig.http.post("/batch", content=bomb(200 * MIB), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert rig.count("gavel_ingest_requests_total", protocol="v0", status="413") == 1
    assert rig.server.door.budget.reserved == 0
    assert rig.messages() == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_unpacking_never_holds_more_than_the_limit(encoding: str) -> None:
    packers: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}
    data = packers[encoding](bytes(MAX_UNPACKED_BYTES + 1))
    reservation = ByteBudget(10 * MAX_UNPACKED_BYTES).open()
    with pytest.raises(Refusal) as refused:
        unpack(data, encoding, reservation)
    assert refused.value.status == 413


def test_what_is_unpacked_is_reserved_first() -> None:
    budget = ByteBudget(4 * MIB)
    reservation = budget.open()
    with pytest.raises(Refusal) as refused:
        unpack(gzip.compress(bytes(8 * MIB)), "gzip", reservation)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 1)
    assert budget.reserved <= budget.max_bytes
    reservation.release()
    assert budget.reserved == 0


def test_many_empty_members_end() -> None:
    with pytest.raises(Refusal) as refused:
        unpack(gzip.compress(b"") * 5_000, "gzip", ByteBudget(MIB).open())
    assert refused.value.status == 400


def test_many_members_are_not_copied_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the whole rest given to each member, twenty megabytes of them took minutes."""
    given: list[int] = []
    real = isal_zlib.decompressobj

    class Counting:
        def __init__(self, window: int) -> None:
            self._stream = real(window)

        def decompress(self, data: Any, most: int) -> bytes:
            given.append(len(data))
            return self._stream.decompress(data, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    monkeypatch.setattr(isal_zlib, "decompressobj", Counting)
    with pytest.raises(Refusal):
        unpack(gzip.compress(b"") * 100_000, "gzip", ByteBudget(64 * MIB).open())
    assert max(given) <= 64 * 1024
    text = bytes(range(256)) * 20_000
    members = gzip.compress(text) + gzip.compress(b"") + gzip.compress(text) + bytes(100)
    assert unpack(members, "gzip", ByteBudget(64 * MIB).open()) == text * 2
    with pytest.raises(Refusal):
        unpack(members[:-200], "gzip", ByteBudget(64 * MIB).open())
    with pytest.raises(Refusal):
        unpack(members + b"x", "gzip", ByteBudget(64 * MIB).open())


def test_a_request_that_never_fits_into_the_share_of_its_token_is_not_to_be_sent_again() -> None:
    reservation = ByteBudget(1000).open()
    reservation.assign(1)
    with pytest.raises(Refusal) as refused:
        reservation.grow(251)
    assert (refused.value.status, refused.value.retry_after_s) == (413, None)


@pytest.mark.parametrize("place", ["properties", "$set", "plain"])
def test_an_event_with_too_many_properties_is_refused_alone(rig: IngestRig, place: str) -> None:
    many: dict[str, Any] = {f"k{number}": 1 for number in range(10_001)}
    bad = generation(1)
    if place == "$set":
        bad["$set"] = many
    else:
        bad["properties"] |= many if place == "plain" else {**many, "$set": {}}
    assert rig.batch(bad, generation(2)).json() == {"status": "Ok", "rejected": 1}
    good = generation(3)
    good["properties"]["$ai_input"] = [many, many]
    assert rig.batch(good).json() == {"status": "Ok"}


def test_a_form_of_escapes_is_bounded() -> None:
    with pytest.raises(Refusal) as refused:
        _out_of_form(b"data=" + b"%7B" * 300_001, "")
    assert refused.value.status == 413
    wide = b"data={" + "😀".encode() + b"a" * 1_000_000
    tracemalloc.start()
    try:
        assert _out_of_form(wide, "") == wide[5:]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


def test_a_zstd_frame_may_not_ask_for_a_large_window() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packed.compress(bytes(MIB)) + packed.flush()
    with pytest.raises(Refusal) as refused:
        unpack(body, "zstd", ByteBudget(100 * MIB).open())
    assert refused.value.status == 400


def test_a_declared_length_over_the_limit_is_refused_unread(rig: IngestRig) -> None:
    with socket.create_connection(("127.0.0.1", rig.server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in connection.recv(65536).split(b"\r\n")[0]


def test_a_body_longer_than_declared_is_no_second_request(rig: IngestRig) -> None:
    body = json.dumps({"api_key": rig.token, "batch": [generation(1)]}).encode()
    head = b"POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", rig.server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head + body + b'{"more": 1}')
        answer = connection.recv(65536)
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert answer.count(b"HTTP/1.1") == 1
    assert len(rig.messages()) <= 1


def test_a_client_that_goes_away_leaves_nothing_behind(rig: IngestRig) -> None:
    with socket.create_connection(("127.0.0.1", rig.server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert rig.http.get("/livez").status_code == 200
    for _ in range(100):
        if rig.count("gavel_ingest_requests_total", protocol="v0", status="gone"):
            break
        rig.http.get("/livez")
    assert rig.server.door.budget.reserved == 0


def _receive(*messages: dict[str, Any], then_stall: bool = False) -> Any:
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        if queue:
            return queue.pop(0)
        if then_stall:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive


def chunk(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_that_stalls_is_given_up() -> None:
    receive = _receive(chunk(b"{"), then_stall=True)
    with pytest.raises(Refusal) as refused:
        asyncio.run(read_body(receive, {"content-length": "100"}, ByteBudget(MIB).open(), chunk_timeout_s=0.05))
    assert (refused.value.status, refused.value.close) == (408, True)


def test_one_byte_after_the_other_does_not_go_on_for_ever() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return chunk(b" ")

    with pytest.raises(Refusal) as refused:
        asyncio.run(read_body(receive, {}, ByteBudget(MIB).open(), chunk_timeout_s=5, body_timeout_s=0.1))
    assert refused.value.status == 408


def test_a_body_without_a_length_is_bounded_too() -> None:
    receive = _receive(*[chunk(bytes(1000))] * 10)
    with pytest.raises(Refusal) as refused:
        asyncio.run(read_body(receive, {}, ByteBudget(MIB).open(), limit=5000))
    assert refused.value.status == 413


def test_without_room_the_body_is_not_read() -> None:
    budget = ByteBudget(1000)
    holding = budget.open()
    holding.grow(900)
    reservation = budget.open()
    asked: list[int] = []

    async def receive() -> dict[str, Any]:
        asked.append(1)
        return chunk(b"x" * 500, more=False)

    with pytest.raises(Refusal) as refused:
        asyncio.run(read_body(receive, {"content-length": "500"}, reservation))
    assert (refused.value.status, asked) == (503, [])
    reservation.release()
    assert budget.reserved == 900


def test_a_length_that_is_not_a_number_reserves_nothing() -> None:
    body = asyncio.run(read_body(_receive(chunk(b"{}", more=False)), {"content-length": "-5"}, ByteBudget(MIB).open()))
    assert body == b"{}"
    with pytest.raises(ClientGone):
        asyncio.run(read_body(_receive(), {}, ByteBudget(MIB).open()))


def test_one_token_holds_a_quarter_of_the_memory_at_most() -> None:
    budget = ByteBudget(1000)
    first = budget.open()
    first.grow(200)
    first.assign(1)
    second = budget.open()
    second.grow(100)
    with pytest.raises(Refusal):
        second.assign(1)
    second.assign(2)
    with pytest.raises(Refusal):
        first.grow(100)
    first.release()
    third = budget.open()
    third.grow(250)
    third.assign(1)
    second.release()
    third.release()
    assert (budget.reserved, budget.by_token) == (0, {})


def test_strangers_who_announce_bodies_and_send_nothing_take_no_room_from_the_others(rig: IngestRig) -> None:
    """Twenty announce 32 MiB each; together that is more than twice what all requests may hold."""
    connections = [socket.create_connection(("127.0.0.1", rig.server.port), timeout=PATIENCE_S) for _ in range(20)]
    try:
        for connection in connections:
            connection.sendall(b"POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n{")
        assert rig.batch(generation(1)).json() == {"status": "Ok"}
        assert rig.server.door.budget.reserved < 2 * MIB
    finally:
        for connection in connections:
            connection.close()


def test_slow_bodies_of_strangers_give_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "_UNDISTURBED_S", 0.0)
    budget = ByteBudget(MIB)

    async def scene() -> tuple[Refusal, bytes]:
        slow = asyncio.create_task(read_body(_receive(chunk(bytes(MIB)), then_stall=True), {}, one := budget.open()))
        for _ in range(5):
            await asyncio.sleep(0.001)
        with pytest.raises(Refusal):
            await read_body(_receive(chunk(b"x" * 10, more=False)), {"content-length": "10"}, budget.open())
        with pytest.raises(Refusal) as refused:
            await asyncio.wait_for(slow, PATIENCE_S)
        one.release()
        later = _receive(chunk(b"x" * 10, more=False))
        return refused.value, await read_body(later, {"content-length": "10"}, budget.open())

    refused, body = asyncio.run(scene())
    assert (refused.status, refused.retry_after_s, refused.close, body) == (503, 1, True, b"x" * 10)


def test_a_body_with_a_known_token_or_a_new_one_does_not_give_way() -> None:
    budget = ByteBudget(MIB)

    async def scene() -> list[bool]:
        known, new = budget.open(), budget.open()
        known.assign(1)
        bodies = [
            asyncio.create_task(read_body(_receive(chunk(bytes(100_000)), then_stall=True), {}, each))
            for each in (known, new)
        ]
        for _ in range(5):
            await asyncio.sleep(0.001)
        with pytest.raises(Refusal):
            budget.open().grow(MIB)
        await asyncio.sleep(0.01)
        ended = [body.done() for body in bodies]
        for body in bodies:
            body.cancel()
        return ended

    assert asyncio.run(scene()) == [False, False]


def test_with_a_token_the_announced_bytes_are_reserved(rig: IngestRig) -> None:
    head = f"POST /batch?token={rig.token} HTTP/1.1\r\nHost: x\r\nContent-Length: {30 * MIB}\r\n\r\n{{".encode()
    connections = [socket.create_connection(("127.0.0.1", rig.server.port), timeout=PATIENCE_S) for _ in range(3)]
    try:
        for connection in connections[:2]:
            connection.sendall(head)
        until(lambda: rig.server.door.budget.reserved == 60 * MIB, lambda: str(rig.server.door.budget.reserved))
        connections[2].sendall(head)
        answer = connections[2].recv(65536).decode()
        assert " 503 " in answer.splitlines()[0]
        assert "no_room" in answer
        assert "retry-after: 1" in answer
    finally:
        for connection in connections:
            connection.close()


def peak_mib(text: bytes, read: Callable[[bytes], object]) -> float:
    """Return the memory in MiB that `read` takes to refuse `text`, which must be refused with 413."""
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as refused:
            read(text)
        assert refused.value.status == 413
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


SPANS = b'{"resourceSpans": [%s]}'


@pytest.mark.parametrize(
    ("unit", "around", "read"),
    [
        (b"{}", b'{"api_key": "gvt_x", "batch": [%s]}', decode_request),
        (b"0", b'{"api_key": "gvt_x", "batch": [%s]}', decode_request),
        (b"[]", b'{"batch": [%s]}', decode_request),
        (b'""', b"[%s]", decode_request),
        (b"{}", b"[%s]", decode_request),
        (b"{}", b'{"batch": [%s]}', _v1_body),
        (b"{}", SPANS, lambda text: list(json_form.walk(text))),
        (b"{}", SPANS % b'{"scopeSpans": [%s]}', lambda text: list(json_form.walk(text))),
        (b"0", SPANS % b'{"scopeSpans": [{"spans": [%s]}]}', lambda text: list(json_form.walk(text))),
    ],
)
def test_millions_of_tiny_elements_take_less_memory_than_the_text(
    unit: bytes, around: bytes, read: Callable[[bytes], object]
) -> None:
    """8 MiB of `{},` make 350 MiB of structs, and gzip packs them into 8 KiB."""
    text = around % b",".join([unit] * (8 * MIB // (len(unit) + 1)))
    assert peak_mib(text, read) < 30


@pytest.mark.parametrize("unit", [b"\x0a\x00", b"\x10\x00", b"\x0a\x02\x12\x00", b"\x0a\x04\x12\x02\x08\x00"])
def test_millions_of_tiny_fields_are_not_walked(unit: bytes) -> None:
    assert peak_mib(unit * (8 * MIB // len(unit)), lambda text: list(envelope.walk(text))) < 30


def test_as_many_events_as_allowed_are_taken_whatever_is_inside_them() -> None:
    event = json.dumps({**generation(1), "properties": {"a": [[{}, 1, "],[{"]] * 300}})
    text = f'{{"api_key": "x", "batch": [{", ".join([event] * 1_500)}, 5]}}'.encode()
    assert len(text) > 4 * MIB
    _, events = decode_request(text)
    assert len(events) == 1_501
