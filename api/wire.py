"""What happens to a request before it is routed, and to every response: ASGI middleware without a framework.

- a path serves with and without its trailing slash, without a redirect (which would lose a POST's body);
- a body is read once, up to a limit, and is JSON that can be stored: no NUL, no lone surrogate, no NaN, not
  nested without end. A form-encoded body (what `curl -d` sends) becomes the JSON object that it stands for;
- security headers go on every response.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, Invalid, TooLarge

MAX_DEPTH = 64
"""Levels of lists and objects in a body; deeper ones are refused rather than overflow a stack somewhere."""

_FORM_WORDS = {"true": True, "false": False}
_FORM = b"application/x-www-form-urlencoded"
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class SecurityHeaders:
    """Adds the headers that keep a response from being sniffed, framed, cached or run; a route's own win."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class TrailingSlash:
    """Routes end in a slash; a request that leaves it out means the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"].startswith("/api/") and not scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"] + "/", "raw_path": (scope.get("raw_path") or b"") + b"/"}
        await self._app(scope, receive, send)


class StorableInput:
    """Reads the body and refuses what no store could keep, before anything else looks at it."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check_address(scope)
            body = await self._read(scope, receive)
            if body:
                scope, body = _as_json(scope, body)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client went away
                return b""
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is over {self._max} bytes (setting api.max_body_bytes).")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _check_address(scope: Scope) -> None:
    if "\x00" in scope["path"] or "\x00" in unquote(scope["query_string"].decode("latin-1")):
        raise Invalid("The address holds a NUL character.")


def _as_json(scope: Scope, body: bytes) -> tuple[Scope, bytes]:
    """Return the request with a body that is storable JSON. A body of another type passes: no route reads it."""
    media_type = dict(scope["headers"]).get(b"content-type", b"").split(b";")[0].strip().lower()
    if media_type == _FORM:
        body = _form_to_json(body)
        headers = [(k, v) for k, v in scope["headers"] if k not in (b"content-type", b"content-length")]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        return {**scope, "headers": headers}, body
    if media_type == b"application/json" or media_type.endswith(b"+json"):
        try:
            _check_storable(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise Invalid(f"The body is not JSON: {error}", code="parse_error") from error
    return scope, body


def _form_to_json(body: bytes) -> bytes:
    """A form's fields become an object's; lists, objects, `true` and `false` are read as JSON writes them."""
    fields: dict[str, Any] = {}
    try:
        for name, value in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000):
            fields[name] = orjson.loads(value) if value[:1] in ("[", "{") else _FORM_WORDS.get(value, value)
        _check_storable(fields)
        return orjson.dumps(fields)
    except orjson.JSONEncodeError as error:
        raise Invalid(f"The form holds text that is not UTF-8: {error}", code="parse_error") from error
    except ValueError as error:
        raise Invalid(f"The form cannot be read: {error}", code="parse_error") from error


def _check_storable(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str) and "\x00" in item:
                raise Invalid("The body holds a NUL character, which cannot be stored.", code="parse_error")
        if not below:
            return
        level = below
    raise Invalid(f"The body is nested more than {MAX_DEPTH} levels deep.", code="parse_error")
