"""The lines of the log on the way of a run name the event, the result and the trace."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from structlog.contextvars import get_contextvars

from processor.events.identity import result_uuid
from processor.judge.runs import JudgeRuns


def test_a_run_names_its_ids_in_each_line_of_the_log_and_leaves_none_behind() -> None:
    seen: list[dict[str, Any]] = []
    runs: Any = JudgeRuns.__new__(JudgeRuns)
    task = SimpleNamespace(event_uuid="u1", run_key="k1", evaluation_id="e1")
    event = SimpleNamespace(task=task, generation=SimpleNamespace(properties={"$ai_trace_id": "t" * 500}))

    async def run(_event: Any) -> list[Any]:
        seen.append(dict(get_contextvars()))
        return []

    runs._read, runs._run = lambda _message: event, run
    asyncio.run(runs.handle(None))
    event.generation.properties["$ai_trace_id"] = ["not a text"]
    asyncio.run(runs.handle(None))
    ids = {"event_uuid": "u1", "result_id": result_uuid("k1")}
    assert seen == [{**ids, "trace_id": "t" * 100}, ids]
    assert get_contextvars() == {}
