"""Whoever calls a provider keeps to the operator's limits: times, the size of a reply, and the addresses."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest

from config.outbound.callers import caller_of, timeouts_of
from config.settings import Settings
from config.settings.sections import Judge
from evaluators.llm_judge.caller import Timeouts
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.openai_caller import OpenAICaller
from evaluators.llm_judge.providers import make_endpoint
from processor.judge.role import Sources, build_caller
from tests.services.cache import CHECKOUT
from tests.unit.config.outbound.test_connections import listening
from tests.unit.config.test_judge_request import calls, product_modules

USERS = {
    "live runs": "processor/judge/role.py",
    "the API": "api/services/judging.py",
    "written reports": "reports/evaluation_reports/prose.py",
    "clustering": "reports/clustering/run.py",
    "gavel judge try": "cli/judge.py",
}
JUDGE = Judge(max_reply_bytes=65_536, connect_timeout_s=1.0, read_timeout_s=2.0, call_deadline_s=3.0)


def test_nobody_opens_a_caller_of_their_own() -> None:
    for name in ("OpenAICaller", "Timeouts"):
        assert not {path for path, tree in product_modules() if calls(tree, name)} - {
            "config/outbound/callers.py",
            "api/services/judging.py" if name == "Timeouts" else "",
            "reports/clustering/run.py" if name == "Timeouts" else "",
        }


@pytest.mark.parametrize("path", USERS.values(), ids=USERS)
def test_each_user_asks_the_one_function(path: str) -> None:
    assert calls(ast.parse((CHECKOUT / path).read_text()), "caller_of")


def test_the_times_are_the_operators_unless_the_caller_waits_less() -> None:
    whole = Timeouts(connect_s=1.0, read_s=2.0, call_s=3.0)
    assert timeouts_of(JUDGE) == whole
    assert timeouts_of(JUDGE, Timeouts(connect_s=5.0, read_s=1.5, call_s=30.0)) == Timeouts(
        connect_s=1.0, read_s=1.5, call_s=3.0
    )


def test_a_reply_over_the_operators_limit_is_given_up_by_every_user(tmp_path: Path) -> None:
    body = b'{"data": [{"id": "' + b"m" * 70_000 + b'"}]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    settings = Settings(data_dir=tmp_path, judge=JUDGE.model_copy(update={"allowed_hosts": ("127.0.0.1",)}))
    opened: list[Any] = [
        lambda: build_caller(settings, Sources()),
        lambda: caller_of(settings.judge, checked=False),
        lambda: caller_of(settings.judge),
    ]
    for opening in opened:
        with listening(head + body) as server, pytest.raises(ProviderFailure, match="65536 bytes"):
            asyncio.run(listed(opening, server.port))


async def listed(opening: Any, port: int) -> list[str]:
    caller: OpenAICaller = opening()
    try:
        return await caller.list_models(make_endpoint("custom", "k", base_url=f"http://127.0.0.1:{port}/v1"))
    finally:
        await caller.close()
