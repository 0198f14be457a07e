"""Whose fault a reply with an error is: reads the error object of any provider and asks the table of refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from evaluators.llm_judge.failures import FailureKind, ProviderFailure
from evaluators.llm_judge.masking import shown
from evaluators.llm_judge.output import printable
from evaluators.llm_judge.refusals import RULES
from evaluators.llm_judge.refusals.rule import UNKNOWN_STATUS
from evaluators.llm_judge.refusals.size import asks_more_than_ever
from evaluators.llm_judge.retry_after import retry_after

_CODE_FIELDS = frozenset(
    {"code", "type", "status", "reason", "error_type", "error_code", "errorcode", "__type", "statuscode", "status_code"}
)
_WORD_FIELDS = frozenset(
    {"message", "detail", "details", "msg", "error", "error_message", "errormessage", "error_msg", "status_msg", "raw"}
)
_NESTED = frozenset(
    {"error", "errors", "innererror", "message", "details", "detail", "metadata", "provider_specific_fields"}
) | {"base_resp", "fieldviolations"}
_PARAM_FIELDS = frozenset({"param", "parameter", "field", "loc"})
_MOST_PARAMS = 20
_DEPTH = 6
_NODES = 200
_WORDS = 4_000
"""Characters of a provider's words that are read."""
_STATUS_OF = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "badrequesterror": 400,
    "validation": 422,
    "authentication_error": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "timeout_error": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "api_error": 500,
    "server_error": 500,
    "internal": 500,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "overloaded_error": 529,
}
"""The status that an error's type or gRPC status stands for, where a reply has no other."""
_PASSING = frozenset({408, 409, 425, 499})
_NOT_IMPLEMENTED = 501


@dataclass(frozen=True, slots=True)
class Evidence:
    """The content of an error object.

    Attributes:
        codes: its codes, types and statuses in lower case, those of nested errors included.
        params: the request's parameters that it names, as paths, and the first and the last name of each path.
        shown_param: the first of them, as it stands; empty if none.
        words: its messages, those of nested errors included.
        recognised: whether the body looks like a provider's error object, so that its words may be shown.
    """

    codes: frozenset[str] = frozenset()
    params: frozenset[str] = frozenset()
    shown_param: str = ""
    words: str = ""
    recognised: bool = False

    @property
    def code(self) -> str:
        """One code to show: the most telling, which is a word and the longest."""
        return max((code for code in self.codes if not code.isdigit()), key=len, default="")[:80]


def classify_status(status: int, body: object, headers: Mapping[str, str], *, now_s: float) -> ProviderFailure:
    """Return the failure that an HTTP reply of `status` (not 2xx) means.

    Args:
        body: the decoded JSON body, or its text.
        headers: by name; any case if the mapping knows of none.
        now_s: epoch seconds, for `Retry-After` with a date.
    """
    if 300 <= status < 400:
        target = shown(headers.get("location", "").partition("?")[0]) or "an address that it does not name"
        detail = f"HTTP {status}: the address redirects to {target}; set the base URL to the final address"
        return ProviderFailure("wrong_address", detail, status=status)
    body = _decoded(body) if isinstance(body, str | bytes) else body
    found = read_error(body)
    kind = _kind(status, found)
    if kind == "model_not_found" and status == 404 and not _names_a_model(found):
        kind = "wrong_address"
    return ProviderFailure(
        kind,
        _detail(status, kind, found),
        status=status,
        retry_after_s=retry_after(headers, found.words, body, now_s=now_s),
    )


def classify_error(error: object, headers: Mapping[str, str], *, now_s: float) -> ProviderFailure:
    """Return the failure that an error object inside a 200 means, by the status that it names or stands for."""
    found = read_error(error)
    status = _named_status(error) or next((_STATUS_OF[code] for code in sorted(found.codes) if code in _STATUS_OF), 0)
    kind: FailureKind = _kind(status, found) if found.recognised else "unavailable"
    if status == UNKNOWN_STATUS and kind == "bad_request":
        kind = "unavailable"  # nothing says that the request is at fault, so that it is worth asking again
    detail = f"an error inside HTTP 200: {_detail(status, kind, found)}"
    waits = retry_after(headers, found.words, error, now_s=now_s)
    return ProviderFailure(kind, detail, status=status or None, retry_after_s=waits)


def _kind(status: int, found: Evidence) -> FailureKind:
    words = found.words or " ".join(found.codes)
    for rule in RULES:
        if rule.applies(status, found.codes, found.params, words):
            return "context_too_long" if rule.kind == "rate_limited" and asks_more_than_ever(words) else rule.kind
    if status in _PASSING or (status >= 500 and status != _NOT_IMPLEMENTED):
        return "unavailable"
    if status == 404:
        return "model_not_found"
    return "bad_request"


def _names_a_model(found: Evidence) -> bool:
    """Whether a 404 comes from an API that knows of models, and not from a server that has no such path."""
    if not found.recognised:
        return False
    words = found.words.strip().lower()
    return words not in ("not found", "404 page not found", "resource not found", "404", "") or bool(
        found.codes & {"model_not_found", "deploymentnotfound", "not_found_error"}
    )


def _detail(status: int, kind: FailureKind, found: Evidence) -> str:
    text = shown(found.words) if found.recognised else "the reply is not a provider's error object"
    code = f" {shown(found.code)}" if found.code else ""
    param = shown(found.shown_param) if found.recognised else ""
    text += f" ({param})" if param and param not in text else ""
    advice = "; is the base URL the API's address?" if kind == "wrong_address" else ""
    head = f"HTTP {status}" if status else "no status"
    return f"{head}{code}: {text or 'no message'}"[:300] + advice


def read_error(body: object) -> Evidence:
    """Return what an error body of any OpenAI-compatible server says. Reads a bounded part of it."""
    if isinstance(body, str | bytes):
        body = _decoded(body)
    if isinstance(body, list) and body:
        body = body[0]  # Gemini's endpoint wraps the object in a list
    if not isinstance(body, Mapping):
        return Evidence(words=printable(body[:_WORDS]) if isinstance(body, str) else "")
    codes: set[str] = set()
    words: list[str] = []
    params: list[str] = []
    for name, value in _fields(body):
        key = name.lower()
        if isinstance(value, str):
            if key in _PARAM_FIELDS and value.lower() not in ("", "none", "null") and len(params) < _MOST_PARAMS:
                params.append(value[:100].removeprefix("body."))
            if key in _CODE_FIELDS:
                codes.add(value[:100].strip().lower().rpartition("#")[2])  # AWS puts the namespace before
            elif key in _WORD_FIELDS and sum(map(len, words)) < _WORDS:
                words.append(value[:_WORDS])
        elif key in _CODE_FIELDS and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
            codes.add(str(value))
    if not words:  # such as xAI's `code` that is a sentence
        words = [code for code in sorted(codes) if " " in code]
    known = bool(words or any(name in body for name in ("error", "errors", "detail", "message", "base_resp", "code")))
    ends = [end for path in params for end in (path, path.partition(".")[0].partition("[")[0], path.rpartition(".")[2])]
    return Evidence(
        codes=frozenset(map(printable, codes)),
        params=frozenset(ends),
        shown_param=printable(params[0]) if params else "",
        words=printable("\n".join(words)[:_WORDS]),
        recognised=known,
    )


def _fields(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the scalar fields of an error object and of those nested in it, breadth first, at most `_NODES`."""
    level: list[Any] = [body]
    seen = 0
    for _ in range(_DEPTH):
        below: list[Any] = []
        for node in level:
            items = node.items() if isinstance(node, Mapping) else (("error", each) for each in node)
            for name, value in items:
                seen += 1
                if seen > _NODES or not isinstance(name, str):
                    return
                if isinstance(value, str) and name.lower() in ("raw", "message", "error", "detail", "body"):
                    inner = _decoded(value)
                    if isinstance(inner, Mapping | list):
                        below.append(inner)
                        continue
                if name.lower() == "loc" and isinstance(value, list):  # the path of a value that pydantic refuses
                    yield name, ".".join(str(each)[:100] for each in value[:_DEPTH])
                elif isinstance(value, Mapping | list):
                    if name.lower() in _NESTED or isinstance(node, list):
                        below.append(value)
                else:
                    yield name, value
        level = below


def _decoded(text: str | bytes) -> object:
    """Return the JSON in a text that looks like JSON, else the text itself; bytes that are not JSON become text."""
    start = text[:64].lstrip()[:1]
    if start in ("{", "[", b"{", b"[") and len(text) <= 16 * _WORDS:
        try:
            return orjson.loads(text)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                pass
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _named_status(error: object) -> int:
    """Return the HTTP status that an error object names, or 0."""
    node = error[0] if isinstance(error, list) and error else error
    for _ in range(3):
        if not isinstance(node, Mapping):
            return 0
        for name in ("code", "status", "status_code", "http_status"):
            value = node.get(name)
            if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
                return value
        node = node.get("error")
    return 0
