"""The two parts of an answer leave in one piece, and a long answer is not held."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ingest.connection import _MAX_HELD_BYTES, _JoinedWrites


class _Transport:
    def __init__(self) -> None:
        self.calls: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.calls

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def _run(*steps: tuple[Any, ...]) -> list[bytes | str]:
    """Return the calls of a transport after steps of writes; None ends a step, "close" closes."""
    transport = _Transport()

    async def write_all() -> None:
        joined = _JoinedWrites(cast("asyncio.Transport", transport), asyncio.get_running_loop())
        assert joined.get_extra_info("peername") == "the peername"
        for step in steps:
            for data in step:
                if data == "close":
                    joined.close()
                else:
                    joined.write(data)
            await asyncio.sleep(0)

    asyncio.run(write_all())
    return transport.calls


def test_writes_of_one_step_leave_together() -> None:
    assert _run((b"head", b"body"), (b"next",)) == [b"headbody", b"next"]


def test_the_answer_leaves_before_the_connection_is_closed() -> None:
    assert _run((b"head", b"body", "close"), (b"late",)) == [b"headbody", "closed"]


def test_many_bytes_are_not_held() -> None:
    piece = bytes(_MAX_HELD_BYTES)
    assert _run((piece, b"x", b"y")) == [piece + b"x", b"y"]
