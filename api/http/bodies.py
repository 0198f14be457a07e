"""Reads request bodies: once, up to a limit, as JSON that every store can keep and give back.

Every body takes this one path. A route gets JSON whose declared type is exactly `application/json`, without NUL,
lone surrogates and NaN, and with a bounded depth. A form-encoded body (what `curl -d` sends) becomes the JSON
object that it stands for. A body of any other type is refused, because a route could only misread it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import ApiError, Invalid, TooLarge
from config.storable import is_storable

MAX_DEPTH = 64
"""Levels of lists and objects in a body; deeper ones are refused rather than overflow a stack somewhere."""

_FORM_WORDS = {"true": True, "false": False}
_FORM = b"application/x-www-form-urlencoded"
_JSON = b"application/json"
_MAX_FORM_FIELDS = 1000
_MAX_LENGTH_DIGITS = 18
_WANTED = "Send a JSON object, with Content-Type: application/json."


class StorableBody:
    """Reads the body before anything else looks at it, and refuses values that no store could keep."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
            if body:
                scope, body = _as_json(scope, body)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared: bytes = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > _MAX_LENGTH_DIGITS or int(declared) > self._max):
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


def _as_json(scope: Scope, body: bytes) -> tuple[Scope, bytes]:
    """Return the request with a body that is storable JSON, and a content type that says so and nothing else.

    Raises:
        Invalid: the body is of another type, compressed, not readable, or cannot be stored.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise Invalid("The body is compressed; send it without Content-Encoding.", code="parse_error")
    media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if media_type == _FORM:
        body = _form_to_json(body)
    elif media_type == _JSON or (media_type.startswith(b"application/") and media_type.endswith(b"+json")):
        _check_json(body)
    else:
        raise Invalid(_WANTED, code="parse_error")
    kept = [(k, v) for k, v in scope["headers"] if k not in (b"content-type", b"content-length", b"transfer-encoding")]
    kept += [(b"content-type", _JSON), (b"content-length", str(len(body)).encode())]
    return {**scope, "headers": kept}, body


def _check_json(body: bytes) -> None:
    try:
        _check_storable(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The body is not JSON: {error}", code="parse_error") from error


def _form_to_json(body: bytes) -> bytes:
    """Return a form's fields as an object; lists, objects, `true` and `false` are read as JSON writes them."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError as error:
        raise Invalid(f"The form cannot be read: {error}", code="parse_error") from error
    fields = {name: _form_value(name, value) for name, value in pairs}
    if len(fields) < len(pairs):
        raise Invalid("A field of the form comes twice; send it once.", code="parse_error")
    _check_storable(fields)
    return orjson.dumps(fields)


def _form_value(name: str, value: str) -> Any:
    if value[:1] not in ("[", "{"):
        return _FORM_WORDS.get(value, value)
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        detail = "A form value that begins with [ or { is read as JSON, and this one is not; send a JSON body instead."
        raise Invalid(detail, code="parse_error", attr=name[:100] if is_storable(name) else None) from error


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
            elif isinstance(item, str) and not is_storable(item):
                raise Invalid("The body holds a NUL character, which cannot be stored.", code="parse_error")
        if not below:
            return
        level = below
    raise Invalid(f"The body is nested more than {MAX_DEPTH} levels deep.", code="parse_error")
