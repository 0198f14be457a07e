"""The answers of the front door: a response, or a refusal that each protocol words in its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MAX_RETRY_AFTER_S = 5
"""OTLP exporters give up at once when a longer wait is asked for than they have left."""


class Answer(NamedTuple):
    """A response: status, body, its media type, and further headers."""

    status: int
    body: bytes = b""
    media_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is refused as a whole.

    Attributes:
        detail: the problem and its remedy, which SDKs log. Holds nothing of the payload and no token.
        code: a short name of the reason.
        attr: the field at fault.
        retry_after_s: seconds after which the client may send again; None where that would not help.
        close: whether the connection must be closed, because the body was not read.
    """

    status: int
    code: str
    detail: str
    attr: str | None = None
    retry_after_s: int | None = None
    close: bool = field(default=False)

    @property
    def type(self) -> str:
        """The kind of error, in the words of the API."""
        return {400: "validation_error", 401: "authentication_error", 429: "throttled_error", 503: "server_error"}.get(
            self.status, "invalid_request"
        )


def invalid(code: str, detail: str, attr: str | None = None) -> Refusal:
    """Return a refusal for a request that can never be taken."""
    return Refusal(400, code, detail, attr)


def unauthorized(detail: str) -> Refusal:
    """Return a refusal for a request without a usable token."""
    return Refusal(401, "authentication_failed", detail)


def overloaded(code: str, detail: str, retry_after_s: int = 1) -> Refusal:
    """Return a refusal for a request that may be sent again soon; every client of ours retries a 503."""
    return Refusal(503, code, detail, retry_after_s=min(retry_after_s, MAX_RETRY_AFTER_S), close=True)
