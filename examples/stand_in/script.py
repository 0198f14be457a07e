"""Misbehaviour on command: rules that say which requests get which treatment, how often.

A rule is `{"match": {…}, "times": N | null, "after": N, "action": "name" | {"do": "name", …}}`; the first rule that
matches and is not used up decides. `MATCHERS` and `ACTIONS` list the allowed names; any other name is refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """The parts of a request to a model that rules can see.

    Attributes:
        mode: how the caller wants its answer shaped: json_schema, tool_call, json_mode or plain.
        text: the whole request body.
    """

    path: str
    model: str
    api_key: str
    headers: dict[str, str]
    mode: str
    stream: bool
    has_temperature: bool
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal in the provider's error format."""

    status: int
    code: str
    message: str
    type: str = "invalid_request_error"
    param: str | None = None


FAILURES: dict[str, Failure] = {
    "rate_limited": Failure(429, "rate_limit_exceeded", "Rate limit reached for requests.", "requests"),
    "overloaded": Failure(503, "overloaded", "The engine is currently overloaded.", "server_error"),
    "server_error": Failure(500, "server_error", "The server had an error while processing.", "server_error"),
    "bad_gateway": Failure(502, "bad_gateway", "Bad gateway.", "server_error"),
    "request_timeout": Failure(408, "timeout", "The request took too long.", "server_error"),
    "unauthorized": Failure(401, "invalid_api_key", "Incorrect API key provided."),
    "forbidden": Failure(403, "permission_denied", "You are not allowed to use this model."),
    "quota": Failure(429, "insufficient_quota", "You exceeded your current quota.", "insufficient_quota"),
    "payment_required": Failure(402, "insufficient_credits", "Insufficient credits."),
    "model_not_found": Failure(404, "model_not_found", "The model does not exist or you do not have access to it."),
    "context_too_long": Failure(
        400, "context_length_exceeded", "This model's maximum context length is 128000 tokens.", param="messages"
    ),
    "content_filtered": Failure(400, "content_filter", "The prompt triggered the content management policy."),
    "refuse_json_schema": Failure(
        400, "unsupported_value", "'response_format' of type 'json_schema' is not supported.", param="response_format"
    ),
    "refuse_tools": Failure(400, "unsupported_parameter", "Tools are not supported with this model.", param="tools"),
    "refuse_json_mode": Failure(
        400, "unsupported_value", "'response_format' of type 'json_object' is not supported.", param="response_format"
    ),
    "refuse_temperature": Failure(
        400, "unsupported_value", "'temperature' does not support 0 with this model.", param="temperature"
    ),
    "bad_request": Failure(400, "invalid_value", "Invalid value."),
}
"""Actions that refuse with an error body.

`{"do": …, "retry_after": "2"}` adds that header (`retry_after_ms` too); `status`, `code`, `message`, `type` and
`param` replace the values here.
"""

ONLY_MODE = {"refuse_json_schema": "json_schema", "refuse_tools": "tool_call", "refuse_json_mode": "json_mode"}
"""Refusals of one way of structured output leave requests that do not use it alone."""

MISBEHAVIOURS: dict[str, str] = {
    "slow": "answers after `seconds` (default 5)",
    "hang": "reads the request and never answers",
    "cut": "drops the connection without an answer",
    "cut_body": "drops the connection in the middle of the answer",
    "malformed": "status 200 with a body that is not JSON",
    "html": "status 200 with a gateway's web page",
    "empty_body": "status 200 with an empty body",
    "no_choices": "status 200 with an empty list of choices",
    "answer": "answers `content` instead (and `finish_reason`; `sure`: the probability of its verdict)",
    "empty_answer": "an answer without text",
    "not_json": "an answer in prose, whatever shape was asked for",
    "fenced": "the right answer, in a Markdown fence between sentences",
    "truncated": "the first half of the right answer, finish reason `length`",
    "refusal": "a refusal in the place that the protocol has for it",
    "filtered_finish": "no text, finish reason `content_filter`",
    "normal": "the right answer (to let some requests pass before a later rule)",
}
ACTIONS = frozenset(FAILURES) | frozenset(MISBEHAVIOURS)
MATCHERS = frozenset({"model", "path", "api_key", "mode", "stream", "contains", "header"})


@dataclass(slots=True)
class Rule:
    """One rule and how often it was used."""

    match: dict[str, Any]
    action: dict[str, Any]
    times: int | None = None
    after: int = 0
    seen: int = 0
    used: int = 0

    def applies(self, call: Call) -> bool:
        """Tell whether the call matches, apart from counts."""
        if not all(_holds(name, wanted, call) for name, wanted in self.match.items()):
            return False
        name = self.action["do"]
        if name == "refuse_temperature":
            return call.has_temperature
        return ONLY_MODE.get(name, call.mode) == call.mode

    def take(self) -> bool:
        """Count one matching call; tell whether the rule treats it."""
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.used >= self.times):
            return False
        self.used += 1
        return True


def _holds(name: str, wanted: Any, call: Call) -> bool:
    if name == "contains":
        return str(wanted) in call.text
    if name == "header":
        return all(call.headers.get(header.lower()) == value for header, value in wanted.items())
    if name == "path":
        return call.path.endswith(wanted)
    return bool(getattr(call, name) == wanted)


@dataclass(slots=True)
class Script:
    """The rules in force, in order."""

    rules: list[Rule] = field(default_factory=list)

    def add(self, raw_rules: list[dict[str, Any]]) -> None:
        """Append rules; raise ValueError for one that asks for what there is not, and add none."""
        self.rules += [_parse(raw) for raw in raw_rules]

    def decide(self, call: Call) -> tuple[int | None, dict[str, Any]]:
        """Return the rule's number (None if none applies) and what to do."""
        for number, rule in enumerate(self.rules):
            if rule.applies(call) and rule.take():
                return number, rule.action
        return None, _commanded(call)

    def counters(self) -> list[dict[str, Any]]:
        """Return every rule with its counts."""
        return [asdict(rule) for rule in self.rules]


COMMANDING_KEYS = {
    "sk-invalid": "unauthorized",
    "sk-forbidden": "forbidden",
    "sk-quota": "quota",
    "sk-rate-limited": "rate_limited",
}


def _commanded(call: Call) -> dict[str, Any]:
    """Return what the request itself asks for: header `x-stand-in`, model `scripted:ACTION`, or a special key."""
    wanted = call.headers.get("x-stand-in") or call.model.partition("scripted:")[2] or COMMANDING_KEYS.get(call.api_key)
    if not call.api_key:
        wanted = "unauthorized"
    action = {"do": wanted or "normal"}
    return action if ONLY_MODE.get(action["do"], call.mode) == call.mode else {"do": "normal"}


def _parse(raw: dict[str, Any]) -> Rule:
    action = raw.get("action", "normal")
    action = {"do": action} if isinstance(action, str) else dict(action)
    match = raw.get("match", {})
    if action.get("do") not in ACTIONS:
        raise ValueError(f"unknown action {action.get('do')!r}; there are {', '.join(sorted(ACTIONS))}")
    if unknown := set(match) - MATCHERS:
        raise ValueError(f"cannot match on {', '.join(sorted(unknown))}; there are {', '.join(sorted(MATCHERS))}")
    if unknown := set(raw) - {"match", "action", "times", "after"}:
        raise ValueError(f"a rule has no {', '.join(sorted(unknown))}")
    return Rule(match, action, raw.get("times"), raw.get("after", 0))
