"""A body that stalls is given up after the specification's 10 s for a piece and 60 s in all; the time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.ingest.front import TOKEN, Front
from tests.virtual_time import run

PIECE = b" "


def answered(front: Front, pauses_s: Iterator[float]) -> tuple[int, float]:
    """Send a body piece by piece, with these pauses before the pieces; return the status and when it came."""

    async def sent() -> tuple[int, float]:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(next(pauses_s))
            return {"type": "http.request", "body": PIECE, "more_body": True}

        answers: list[Any] = []

        async def send(message: Any) -> None:
            answers.append(message)

        headers = [(b"authorization", b"Bearer " + TOKEN.encode())]
        scope = {"type": "http", "method": "POST", "path": "/batch", "query_string": b"", "headers": headers}
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await front.app(scope, receive, send)
        return answers[0]["status"], loop.time() - began_s

    return run(sent())


def test_a_piece_may_take_ten_seconds(front: Front) -> None:
    status, after_s = answered(front, iter([0.0, 9.9, 9.9, 1_000.0]))
    assert (status, after_s) == (408, pytest.approx(9.9 + 9.9 + 10))


def test_a_body_may_take_sixty_seconds(front: Front) -> None:
    status, after_s = answered(front, iter([9.0] * 1_000))
    assert (status, after_s) == (408, pytest.approx(60))
