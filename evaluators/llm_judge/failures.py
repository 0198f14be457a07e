"""What goes wrong when a provider is called, sorted by what is to be done about it.

ProviderFailure
  kind            what to do
  unavailable     again in place, then park: connection, time-out, 408, 409, 5xx, an unreadable reply
  rate_limited    the same, and fewer calls at a time: 429
  unauthorized    park; the key is invalid: 401
  forbidden       park; the key lacks a permission: 403
  quota           park; the account is out of money or quota: 402, `insufficient_quota`
  model_not_found park: 404
  context_too_long  once more with less text, then skip
  content_filtered  skip
  unsupported_format, unsupported_temperature   again without it
  bad_request     any other refusal of the request: the next rung of the ladder, then park as `model_not_supported`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

FailureKind = Literal[
    "unavailable",
    "rate_limited",
    "unauthorized",
    "forbidden",
    "quota",
    "model_not_found",
    "context_too_long",
    "content_filtered",
    "unsupported_format",
    "unsupported_temperature",
    "bad_request",
]

TRANSIENT: frozenset[FailureKind] = frozenset({"unavailable", "rate_limited"})
REASONS: dict[FailureKind, str] = {
    "unauthorized": "provider_key_invalid",
    "forbidden": "provider_key_permission_denied",
    "quota": "provider_key_quota_exceeded",
    "model_not_found": "model_not_found",
    "bad_request": "model_not_supported",
}
"""Status reason of an evaluation that cannot be judged because of a lasting failure."""

_QUOTA_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits"}
)
_QUOTA = re.compile(r"credit balance is too low|insufficient (?:credits|balance|funds)", re.IGNORECASE)
_CONTEXT = re.compile(
    r"context.?(?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens"
    r"|token count.{0,40}exceeds|reduce the length|input is too long|exceeds the maximum (?:number of )?tokens",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    r"content.?(?:filter|management polic|policy)|safety (?:system|filter|settings)|prohibited.?content|was flagged",
    re.IGNORECASE,
)
_CONTENT_CODES = frozenset(
    {"content_filter", "content_policy_violation", "content_filtered", "ResponsibleAIPolicyViolation"}
)
_FORMAT = re.compile(
    r"response_?format|json_schema|json_object|json mode|structured output|guided_|grammar|tool_choice|tool use"
    r"|tools? (?:is|are) not|support(?:s|ed)? tools|support tool|function.?call",
    re.IGNORECASE,
)
_MODEL = re.compile(r"model.{0,80}(?:not found|does not exist|not exist|no longer|deprecated|retired)", re.IGNORECASE)
_SECRET = re.compile(r"\b(?:sk|key|pk|gsk|AIza|fw|tgp)[-_]?[\w*-]{8,}|Bearer\s+\S+")


class ProviderFailure(Exception):
    """A call that gave no answer.

    Attributes:
        status: of HTTP; None if there was no reply.
        retry_after_s: what the provider asked for; None if nothing.
        detail: for a person; no payload, no key.
    """

    def __init__(
        self, kind: FailureKind, detail: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.kind: FailureKind = kind
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s


def classify_status(status: int, body: object, headers: Mapping[str, str], *, now_s: float) -> ProviderFailure:
    """Return the failure that an HTTP reply of `status` (not 2xx) means.

    Args:
        body: the decoded JSON body, or its text.
        now_s: epoch seconds, for `Retry-After` with a date.
    """
    code, param, message = _error_fields(body)
    kind = _kind(status, code, param, message)
    text = scrub(message) or "no message"
    detail = f"HTTP {status}{f' {code}' if code else ''}: {text}"[:300]
    return ProviderFailure(kind, detail, status=status, retry_after_s=retry_after(headers, now_s=now_s))


def _kind(status: int, code: str, param: str, message: str) -> FailureKind:
    if status == 402 or code in _QUOTA_CODES or (status in (400, 403, 429) and _QUOTA.search(message)):
        return "quota"
    if status == 429:
        return "rate_limited"
    if status == 401:
        return "unauthorized"
    if status in (408, 409, 425) or (status >= 500 and status != 501):
        return "unavailable"
    if code in _CONTENT_CODES:
        return "content_filtered"
    if status == 403:
        return "forbidden"
    if status == 413 or code == "context_length_exceeded":
        return "context_too_long"
    return _refusal(status, code, param, message)


def _refusal(status: int, code: str, param: str, message: str) -> FailureKind:
    """Sort a refusal of the request itself by what its fields and then its words complain about."""
    if code == "model_not_found":
        return "model_not_found"
    if param == "temperature" or (not param and "temperature" in message.lower()):
        return "unsupported_temperature"
    if param.split(".", maxsplit=1)[0] in ("response_format", "tools", "tool_choice") or _FORMAT.search(message):
        return "unsupported_format"
    if _CONTEXT.search(message):
        return "context_too_long"
    if _CONTENT.search(message):
        return "content_filtered"
    if status == 404 or _MODEL.search(message):
        return "model_not_found"
    return "bad_request"


def _error_fields(body: object) -> tuple[str, str, str]:
    """Return (code, param, message) of the error shapes that OpenAI-compatible servers send."""
    if isinstance(body, list) and body:
        body = body[0]  # Gemini's endpoint wraps the object in a list
    if not isinstance(body, Mapping):
        return "", "", str(body or "")
    error: Any = body.get("error", body)
    if not isinstance(error, Mapping):
        return "", "", str(error)
    code = error.get("code")
    kind = error.get("type")
    if not isinstance(code, str) or not code:
        code = kind if isinstance(kind, str) else ""
    inner = error.get("innererror")
    if isinstance(inner, Mapping) and isinstance(inner.get("code"), str):
        code = inner["code"]
    message = error.get("message") or error.get("detail") or body.get("detail") or ""
    return code, str(error.get("param") or ""), message if isinstance(message, str) else str(message)


def scrub(text: str) -> str:
    """Return a provider's message on one line, without anything that looks like a key."""
    return _SECRET.sub("[key]", " ".join(text.split()))[:250]


def retry_after(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """Return the seconds that `retry-after-ms` or `Retry-After` (seconds or an HTTP date) ask for, or None."""
    raw = headers.get("retry-after-ms")
    if raw is not None:
        seconds = _number(raw)
        if seconds is not None:
            return seconds / 1000
    raw = headers.get("retry-after")
    if raw is None:
        return None
    seconds = _number(raw)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(raw)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())


def _number(raw: str) -> float | None:
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
