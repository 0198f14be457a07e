"""The stand-in provider: models at the paths of their protocols, control at `/_…`.

| control | does |
|---|---|
| `POST /_script` | appends rules (`script.py`); answers 422 with the reason for one that cannot be |
| `GET /_requests` | the log of requests, newest last: `?since=N` from number N on, `?bodies=1` with the newest bodies |
| `GET /_stats` | counts by status, in flight now and at most, and the rules with how often each was used |
| `POST /_settings` | `latency_s`, `jitter_s`, and `max_concurrent`: above it requests are refused with 429 |
| `POST /_reset` | forgets rules, log, counts and settings |
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from examples.stand_in import anthropic_protocol, openai_protocol
from examples.stand_in.answer import Answer, Prompt, answer_to, treated
from examples.stand_in.http import Reply, Request
from examples.stand_in.script import FAILURES, Call, Failure, Script

LOGGED_REQUESTS = 20_000
LOGGED_BODIES = 1_000
HANG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How the provider behaves when no rule says otherwise. Jitter depends on the request, not on chance."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    max_concurrent: int | None = None


@dataclass(slots=True)
class Entry:
    """One line of the log; `status` 0 means that no reply was sent, `done_at` None that none is yet."""

    number: int
    at: float
    path: str
    model: str
    api_key: str
    mode: str
    stream: bool
    rule: int | None
    action: str
    status: int = 0
    done_at: float | None = None
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Counts:
    """The calls since the last reset. `statuses` are those of calls that have ended."""

    received: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class StandIn:
    """The state of one server. `handle` answers one request."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._defaults = settings or Settings()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the settings that the server started with."""
        self.settings = self._defaults
        self.script = Script()
        self._log: deque[Entry] = deque(maxlen=LOGGED_REQUESTS)
        self._counts = _Counts()

    async def handle(self, request: Request, reply: Reply) -> None:
        """Answer one request; the entry point for the server."""
        if request.path.startswith("/_"):
            await self._control(request, reply)
        elif request.method == "GET":
            await self._list_models(request, reply)
        else:
            await self._call_model(request, reply)

    async def _control(self, request: Request, reply: Reply) -> None:
        match request.method, request.path:
            case "POST", "/_script":
                try:
                    self.script.add(request.json().get("rules", []))
                except ValueError as wrong:
                    await reply.send_json(422, {"error": str(wrong)})
                    return
                await reply.send_json(200, {"rules": len(self.script.rules)})
            case "POST", "/_settings":
                self.settings = Settings(**{**asdict(self.settings), **request.json()})
                await reply.send_json(200, asdict(self.settings))
            case "POST", "/_reset":
                self.reset()
                await reply.send_json(200, {})
            case "GET", "/_requests":
                await reply.send_json(200, {"requests": self._requests(request.query)})
            case "GET", "/_stats":
                await reply.send_json(200, self._stats())
            case _:
                await reply.send_json(404, {"error": f"no {request.method} {request.path}"})

    def _requests(self, query: Any) -> list[dict[str, Any]]:
        since, bodies = int(query.get("since", 0)), query.get("bodies") == "1"
        entries = [asdict(entry) for entry in self._log if entry.number >= since]
        if not bodies:
            for entry in entries:
                del entry["body"]
        return entries

    def _stats(self) -> dict[str, Any]:
        return {
            "received": self._counts.received,
            "in_flight": self._counts.in_flight,
            "most_in_flight": self._counts.most_in_flight,
            "statuses": {str(status): count for status, count in sorted(self._counts.statuses.items())},
            "rules": self.script.counters(),
        }

    async def _list_models(self, request: Request, reply: Reply) -> None:
        call = Call(request.path, "", _api_key(request), dict(request.headers), "plain", False, False, "")
        _, action = self.script.decide(call)
        if action["do"] in FAILURES:
            await _refuse(request, reply, action)
        elif request.path.endswith("/models"):
            await reply.send_json(200, openai_protocol.models())
        else:
            await reply.send_json(200, openai_protocol.model(request.path.rpartition("/")[2]))

    async def _call_model(self, request: Request, reply: Reply) -> None:
        body = request.json()
        prompt = _read_prompt(request.path, body)
        call = Call(
            path=request.path,
            model=str(body.get("model", "")),
            api_key=_api_key(request),
            headers=dict(request.headers),
            mode=prompt.mode,
            stream=bool(body.get("stream")),
            has_temperature=body.get("temperature") is not None,
            text=request.body.decode(errors="replace"),
        )
        rule, action = self.script.decide(call)
        counts = self._counts  # a reset makes new ones, in which this call does not end
        entry = self._enter(call, rule, action, body)
        try:
            await self._treat(request, reply, body, prompt, action)
        finally:
            counts.in_flight -= 1
            counts.statuses[reply.status] += 1
            entry.status, entry.done_at = reply.status, time.time()

    def _enter(self, call: Call, rule: int | None, action: dict[str, Any], body: dict[str, Any]) -> Entry:
        counts = self._counts
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        number, counts.received = counts.received, counts.received + 1
        seen = (call.path, call.model, call.api_key, call.mode, call.stream)
        entry = Entry(number, time.time(), *seen, rule=rule, action=action["do"], body=body)
        self._log.append(entry)
        if len(self._log) > LOGGED_BODIES:
            self._log[-1 - LOGGED_BODIES].body = {}
        return entry

    async def _treat(
        self, request: Request, reply: Reply, body: dict[str, Any], prompt: Prompt, action: dict[str, Any]
    ) -> None:
        if self.settings.max_concurrent is not None and self._counts.in_flight > self.settings.max_concurrent:
            action = {"do": "rate_limited", "retry_after": "1"}
        kind = action["do"]
        if kind == "hang":
            await reply.hang(action.get("seconds", HANG_S))
            reply.cut()
        elif kind == "cut":
            reply.cut()
        elif kind in FAILURES:
            await _refuse(request, reply, action)
        elif kind in _BROKEN_BODIES:
            content_type, broken = _BROKEN_BODIES[kind]
            await reply.send(200, broken, content_type=content_type)
        else:
            await asyncio.sleep(self._latency(prompt) + (action.get("seconds", 5.0) if kind == "slow" else 0))
            await _answer(request, reply, body, treated(answer_to(prompt, request.headers), action), kind)

    def _latency(self, prompt: Prompt) -> float:
        share = int(hashlib.sha256(prompt.seed.encode()).hexdigest()[:6], 16) / 0xFFFFFF
        return self.settings.latency_s + self.settings.jitter_s * share


_BROKEN_BODIES = {
    "malformed": ("application/json", b'{"id": "chatcmpl-1", "choices": [{"message": {"role": "assist'),
    "html": ("text/html", b"<html><body><h1>Welcome to the gateway</h1></body></html>"),
    "empty_body": ("application/json", b""),
    "no_choices": (
        "application/json",
        b'{"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "output": []}',
    ),
}

Whole = Callable[[Mapping[str, Any], Answer], dict[str, Any]]
Stream = Callable[[Mapping[str, Any], Answer], Iterator[bytes]]
_PROTOCOLS: dict[str, tuple[Whole, Stream]] = {
    "completions": (openai_protocol.chat_completion, openai_protocol.chat_stream),
    "responses": (openai_protocol.response, openai_protocol.response_stream),
    "messages": (anthropic_protocol.message, anthropic_protocol.message_stream),
}


async def _answer(request: Request, reply: Reply, body: dict[str, Any], answer: Answer, kind: str) -> None:
    path = request.path
    if path.endswith("/embeddings"):
        await reply.send_json(200, openai_protocol.embeddings(body))
        return
    protocol = _PROTOCOLS.get(path.rpartition("/")[2])
    if protocol is None:
        await reply.send_json(404, openai_protocol.error(Failure(404, "not_found", f"There is nothing at {path}.")))
        return
    whole, stream = protocol
    if kind == "cut_body":
        await reply.send(200, b'{"id": "chatcmpl-1", "obj', claimed_length=4000)
        reply.cut()
    elif body.get("stream"):
        await reply.start(200, "text/event-stream")
        for event in stream(body, answer):
            await reply.write(event)
        await reply.write(b"")
    else:
        await reply.send_json(
            200, whole(body, answer), headers={"x-request-id": f"req_{openai_protocol.seed_of(body)[:24]}"}
        )


async def _refuse(request: Request, reply: Reply, action: dict[str, Any]) -> None:
    base = FAILURES[action["do"]]
    changed = {name: action[name] for name in ("status", "code", "message", "type", "param") if name in action}
    failure = replace(base, **changed)
    dress = anthropic_protocol.error if request.path.endswith("/messages") else openai_protocol.error
    headers = {
        name.replace("_", "-"): str(action[name]) for name in ("retry_after", "retry_after_ms") if name in action
    }
    await reply.send_json(failure.status, dress(failure), headers=headers)


def _read_prompt(path: str, body: dict[str, Any]) -> Prompt:
    if path.endswith("/messages"):
        return anthropic_protocol.prompt(body)
    if path.endswith("/responses"):
        return openai_protocol.responses_prompt(body)
    return openai_protocol.chat_prompt(body)


def _api_key(request: Request) -> str:
    headers = request.headers
    return (
        headers.get("api-key") or headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    )
